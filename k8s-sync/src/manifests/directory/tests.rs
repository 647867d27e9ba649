//! Tests of `manifests::directory`: directories that change under our feet.

use tempfile::TempDir;

use super::*;

struct Lab {
    folder: TempDir,
    directory: Directory,
    clock: i64,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        Self { folder, directory, clock: 0 }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.folder.path().join(file)).unwrap();
    }

    fn refresh(&mut self) -> bool {
        self.clock += 1;
        self.directory.refresh(Timestamp::from_second(self.clock).unwrap())
    }

    fn nodes(&self) -> Vec<String> {
        self.directory.snapshot().nodes.keys().cloned().collect()
    }

    fn findings(&self) -> Vec<String> {
        self.directory.report().iter().map(|f| format!("{} {f}", f.reason.name())).collect()
    }
}

fn node(name: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n")
}

#[test]
fn files_of_all_sorts_below_the_directory() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.write("deep/er/b.yml", &format!("{}---\n{}", node("b"), node("c")));
    lab.write("d.json", r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "d"}}"#);
    lab.write("notes.txt", "not a manifest");
    lab.write(".hidden/e.yaml", &node("e"));
    assert!(lab.refresh());
    assert_eq!(lab.nodes(), ["a", "b", "c", "d"]);
    assert!(lab.findings().is_empty());
    assert!(!lab.refresh(), "nothing changed");
}

#[test]
fn linked_files_are_followed_as_in_a_mounted_config_map() {
    let mut lab = Lab::new();
    lab.write("..data/a.yaml", &node("a"));
    std::os::unix::fs::symlink("..data/a.yaml", lab.folder.path().join("a.yaml")).unwrap();
    lab.refresh();
    assert_eq!(lab.nodes(), ["a"]);
}

#[test]
fn a_file_that_vanishes_removes_its_objects() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.write("b.yaml", &node("b"));
    lab.refresh();
    lab.remove("a.yaml");
    assert!(lab.refresh());
    assert_eq!(lab.nodes(), ["b"]);
}

#[test]
fn a_file_that_is_no_yaml_stays_as_it_was() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.refresh();
    lab.write("a.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: [\n");
    assert!(lab.refresh());
    assert_eq!(lab.nodes(), ["a"]);
    let findings = lab.findings();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].starts_with("Syntax a.yaml:"), "{findings:?}");
    lab.write("a.yaml", &node("b"));
    lab.refresh();
    assert_eq!(lab.nodes(), ["b"]);
    assert!(lab.findings().is_empty());
}

#[test]
fn a_bad_document_keeps_what_was_there_and_the_good_ones_count() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &format!("{}---\n{}---\n{}", node("a"), node("b"), node("c")));
    lab.refresh();
    let bad = "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\nspec: {podCIDR: 7}\n";
    lab.write("a.yaml", &format!("{bad}---\n{}spec: {{podCIDR: 10.0.0.0/24}}\n", node("b")));
    lab.refresh();
    assert_eq!(lab.nodes(), ["a", "b", "c"], "a file with a mistake removes nothing");
    let snapshot = lab.directory.snapshot();
    assert!(snapshot.nodes["b"].spec.is_some(), "its good documents count");
    assert!(snapshot.nodes["a"].spec.is_none(), "the bad one is as it was");
    assert_eq!(
        lab.findings(),
        [
            "WrongType a.yaml:5: Node a: spec.podCIDR: must be a string (write it in quotes), not an integer (7)"
        ]
    );
    lab.write("a.yaml", &node("b"));
    lab.refresh();
    assert_eq!(lab.nodes(), ["b"]);
}

#[test]
fn an_empty_file_is_taken_for_half_written() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.refresh();
    lab.write("a.yaml", "");
    lab.refresh();
    assert_eq!(lab.nodes(), ["a"]);
    assert_eq!(lab.directory.report().count(crate::report::Severity::Warning), 1);
    lab.write("a.yaml", "# moved elsewhere\n");
    lab.refresh();
    assert!(lab.nodes().is_empty());
}

#[test]
fn of_two_files_with_the_same_object_the_first_stays() {
    let mut lab = Lab::new();
    lab.write("b.yaml", &format!("{}spec: {{podCIDR: 10.0.1.0/24}}\n", node("n")));
    lab.refresh();
    lab.write("a.yaml", &format!("# later\n{}spec: {{podCIDR: 10.0.2.0/24}}\n", node("n")));
    lab.refresh();
    let cidr = |lab: &Lab| lab.directory.snapshot().nodes["n"].spec.clone().unwrap().pod_cidr.unwrap();
    assert_eq!(cidr(&lab), "10.0.1.0/24", "who was there first stays, whatever the names");
    let findings = lab.findings();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].starts_with("DuplicateObject a.yaml:2: Node n: is also in b.yaml:1"), "{findings:?}");
    lab.remove("b.yaml");
    lab.refresh();
    assert_eq!(cidr(&lab), "10.0.2.0/24");
    assert!(lab.findings().is_empty());
}

#[test]
fn the_same_object_twice_in_one_file() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &format!("{}---\n{}", node("n"), node("n")));
    lab.refresh();
    assert_eq!(lab.nodes(), ["n"]);
    assert!(lab.findings()[0].contains("is also in a.yaml:1"), "{:?}", lab.findings());
}

#[test]
fn a_directory_that_is_gone_changes_nothing() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.refresh();
    fs::remove_dir_all(lab.folder.path()).unwrap();
    assert!(lab.refresh());
    assert_eq!(lab.nodes(), ["a"]);
    assert!(lab.findings()[0].starts_with("DirectoryUnreadable"), "{:?}", lab.findings());
    fs::create_dir(lab.folder.path()).unwrap();
    lab.write("b.yaml", &node("b"));
    lab.refresh();
    assert_eq!(lab.nodes(), ["b"]);
    assert!(lab.findings().is_empty());
}

#[test]
fn who_came_first_is_remembered_as_creation_time() {
    let config = |name: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumBGPClusterConfig\nmetadata: {{name: {name}}}\nspec: {{bgpInstances: [{{name: i}}]}}\n"
        )
    };
    let mut lab = Lab::new();
    lab.write("z.yaml", &config("zeta"));
    lab.refresh();
    lab.write("a.yaml", &config("alpha"));
    lab.write("z.yaml", &format!("# edited\n{}", config("zeta")));
    lab.refresh();
    let snapshot = lab.directory.snapshot();
    let created = |name: &str| snapshot.cluster_configs[name].metadata.creation_timestamp.clone().unwrap().0;
    assert!(created("zeta") < created("alpha"));
}

#[test]
fn places_of_objects_and_fields() {
    let mut lab = Lab::new();
    lab.write("c.yaml", "# first line\napiVersion: cilium.io/v2\nkind: CiliumBGPClusterConfig\nmetadata: {name: c}\nspec:\n  bgpInstances:\n    - name: i\n      localASN: 1\n");
    lab.refresh();
    let object = ObjectRef::cluster("CiliumBGPClusterConfig", "c");
    let line = |field| lab.directory.locate(&object, field).unwrap().line;
    assert_eq!(line(None), 2);
    assert_eq!(line(Some("spec.bgpInstances[0].localASN")), 8);
    assert_eq!(line(Some("spec.bgpInstances[0].localPort")), 7, "the nearest thing that is written");
}

#[test]
fn what_a_file_held_before_we_came_is_not_known() {
    let mut lab = Lab::new();
    assert!(!lab.directory.is_certain(), "nothing has been read");
    lab.write("a.yaml", "a: [");
    lab.write("b.yaml", &node("b"));
    lab.refresh();
    assert!(!lab.directory.is_certain());
    lab.write("a.yaml", &node("a"));
    lab.refresh();
    assert!(lab.directory.is_certain());
    lab.write("a.yaml", "a: [");
    lab.refresh();
    assert!(lab.directory.is_certain(), "it was right before, and that is in force");
}

#[test]
fn a_link_that_leads_nowhere_removes_nothing() {
    let mut lab = Lab::new();
    lab.write("elsewhere/a.txt", &node("a"));
    std::os::unix::fs::symlink("elsewhere/a.txt", lab.folder.path().join("a.yaml")).unwrap();
    lab.refresh();
    lab.remove("elsewhere/a.txt");
    lab.refresh();
    assert_eq!(lab.nodes(), ["a"]);
    assert!(
        lab.findings()[0].starts_with("FileUnreadable a.yaml: cannot be read (No such"),
        "{:?}",
        lab.findings()
    );
    lab.remove("a.yaml");
    lab.refresh();
    assert!(lab.nodes().is_empty() && lab.findings().is_empty());
}

#[test]
fn links_in_a_circle_are_walked_once() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.write("deep/b.yaml", &node("b"));
    for name in ["up", "up2", "up3"] {
        std::os::unix::fs::symlink("..", lab.folder.path().join("deep").join(name)).unwrap();
    }
    std::os::unix::fs::symlink("loop.yaml", lab.folder.path().join("loop.yaml")).unwrap();
    lab.refresh();
    assert_eq!(lab.nodes(), ["a", "b"]);
    let findings = lab.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("FileUnreadable loop.yaml"), "{findings:?}");
}

#[test]
fn a_mounted_config_map_is_swapped_at_once() {
    let mut lab = Lab::new();
    lab.write("..1/a.yaml", &node("a"));
    lab.write("..1/b.yaml", &node("b"));
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, lab.folder.path().join(to)).unwrap();
    link("..1", "..data");
    link("..data/a.yaml", "a.yaml");
    link("..data/b.yaml", "b.yaml");
    let root = lab.folder.path().to_owned();
    lab.refresh();
    assert_eq!(lab.nodes(), ["a", "b"]);
    lab.write("..2/a.yaml", &node("c"));
    std::os::unix::fs::symlink("..2", root.join("..new")).unwrap();
    fs::rename(root.join("..new"), root.join("..data")).unwrap();
    lab.refresh();
    assert_eq!(lab.nodes(), ["b", "c"], "the link to b is still there");
    lab.remove("b.yaml");
    lab.refresh();
    assert_eq!(lab.nodes(), ["c"]);
    assert!(lab.findings().is_empty());
}

#[test]
fn text_in_other_encodings() {
    let mut lab = Lab::new();
    let write = |file: &str, bytes: &[u8]| fs::write(lab.folder.path().join(file), bytes).unwrap();
    write("bom.yaml", format!("\u{feff}{}", node("bom")).as_bytes());
    write("crlf.yaml", node("crlf").replace('\n', "\r\n").as_bytes());
    write("end.yaml", format!("---\n{}...\n---\n# nothing\n---\n", node("end")).as_bytes());
    let wide: Vec<u8> = node("wide").encode_utf16().flat_map(u16::to_le_bytes).collect();
    write("wide.yaml", &[b"\xff\xfe", wide.as_slice()].concat());
    write("latin.yaml", b"# one\n# Z\xfcrich\n");
    lab.refresh();
    assert_eq!(lab.nodes(), ["bom", "crlf", "end"]);
    let findings = lab.findings();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].starts_with("Syntax latin.yaml:2: is not UTF-8 text"), "{findings:?}");
    assert!(findings[1].starts_with("Syntax wide.yaml:1: is UTF-16 text; save it as UTF-8"), "{findings:?}");
}

#[test]
fn text_that_changes_under_the_same_stamps_is_seen() {
    let mut lab = Lab::new();
    lab.write("a.yaml", &node("a"));
    lab.refresh();
    lab.write("a.yaml", &node("b"));
    lab.refresh();
    assert_eq!(lab.nodes(), ["b"], "same size, and on a coarse clock the same times");
}

#[test]
fn of_a_large_file_only_what_changed_is_read_again() {
    let config = |name: &str, odd: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumBGPPeerConfig\nmetadata: {{name: {name}}}\nspec:\n  ebgpMultihop: 2\n{odd}---\n"
        )
    };
    let mut lab = Lab::new();
    lab.write("a.yaml", &[config("a", ""), config("b", "  odd: 1\n"), config("c", "")].concat());
    lab.refresh();
    let held = |lab: &Lab, name: &str| Arc::clone(&lab.directory.snapshot().peer_configs[name]);
    let line = |lab: &Lab, name: &str| {
        let object = ObjectRef::cluster("CiliumBGPPeerConfig", name);
        let line = |field| lab.directory.locate(&object, field).unwrap().line;
        (line(None), line(Some("spec.ebgpMultihop")))
    };
    let (a, c) = (held(&lab, "a"), held(&lab, "c"));
    assert_eq!((line(&lab, "a"), line(&lab, "c")), ((1, 5), (14, 18)));
    assert!(lab.findings()[0].starts_with("UnknownField a.yaml:12:"), "{:?}", lab.findings());
    lab.write(
        "a.yaml",
        &[config("a", ""), "# more\n".into(), config("b", "  odder: 1\n"), config("c", "")].concat(),
    );
    lab.refresh();
    assert!(Arc::ptr_eq(&a, &held(&lab, "a")) && Arc::ptr_eq(&c, &held(&lab, "c")));
    assert_eq!((line(&lab, "a"), line(&lab, "c")), ((1, 5), (15, 19)), "places move with the text");
    assert!(lab.findings()[0].starts_with("UnknownField a.yaml:13:"), "{:?}", lab.findings());
    lab.write("a.yaml", &[config("a", ""), config("b", ""), "a: [\n".into()].concat());
    lab.refresh();
    assert!(lab.findings()[0].starts_with("Syntax a.yaml:1"), "{:?}", lab.findings());
    assert_eq!(lab.directory.snapshot().peer_configs.len(), 3);
}
