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
