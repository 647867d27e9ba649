//! The law of the house, held by tests: which crate may import which, what the pure crates may depend on, and how long
//! a file and a function may grow. Each failure says what to do.
//!
//! The lists here and docs/decisions/001-crate-arrows.md say the same; changing one means changing the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Importer and what it may import of this workspace, dev-dependencies included.
const ARROWS: &[(&str, &[&str])] = &[
    ("bgp-wire", &[]),
    ("bgp-wire-oracle", &["bgp-wire"]),
    ("bgp-core", &["bgp-wire"]),
    ("bgp-sim", &["bgp-core", "bgp-wire"]),
    ("rutter-api", &["bgp-wire"]),
    ("bgpd", &["bgp-core", "bgp-wire", "rutter-api"]),
    ("rutter-crds", &[]),
    ("kube-lease", &[]),
    ("lbipam", &["rutter-crds"]),
    ("k8s-sync", &["lbipam", "rutter-crds", "rutter-api"]),
    ("rutter-agent", &["k8s-sync", "lbipam", "rutter-crds", "rutter-api"]),
    ("rutter-operator", &["k8s-sync", "kube-lease", "lbipam", "rutter-crds", "rutter-api"]),
    ("rutterctl", &["k8s-sync", "lbipam", "rutter-api"]),
    ("rutter-lab", &[]),
    ("frr-interop-tests", &["rutter-api", "rutter-lab"]),
    ("xtask", &["rutter-crds", "rutter-api", "rutter-lab"]),
];

/// Everything that may stand anywhere below bgp-wire and bgp-core. No runtime, no socket, no clock, no thread-local
/// randomness; what is here was read for that. The three serde crates make values of a speaker that is handed over
/// (decision 005).
const PURE: &[&str] = &[
    "array-const-fn-init",
    "autocfg",
    "bgp-wire",
    "bytes",
    "either",
    "equivalent",
    "foldhash",
    "hashbrown",
    "ipnet",
    "num-traits",
    "prefix-trie",
    "proc-macro2",
    "quote",
    "rand_core",
    "rand_pcg",
    "serde",
    "serde_core",
    "serde_derive",
    "smallvec",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
];

const FILE_LINES: usize = 1_000;
const FUNCTION_LINES: usize = 120;

#[test]
fn only_drawn_arrows_exist() {
    let metadata = metadata();
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let law: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(allowed) = law.get(package.name.as_str()) else {
            wrong.push(format!("{} is not in ARROWS: draw it there and in decision 001", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| members.contains(&d.name)) {
            if !allowed.contains(&dependency.name.as_str()) && dependency.name != package.name.as_str() {
                wrong.push(format!("{} must not import {}", package.name, dependency.name));
            }
        }
    }
    for name in law.keys() {
        if !members.contains(*name) {
            wrong.push(format!("{name} is in ARROWS but is no member of the workspace"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn codec_and_speaker_stay_pure() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for root in ["bgp-wire", "bgp-core"] {
        for name in normal_tree(&metadata, root) {
            if name != root && !PURE.contains(&name.as_str()) {
                wrong.push(format!(
                    "{root} depends on {name}, which is not on the allow list: leave it out, or read it for sockets, \
                     clocks and randomness and add it to PURE"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_readable() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("a source file is readable");
        let lines = text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{}: {lines} lines, ceiling {FILE_LINES}: split it by idea", path.display()));
        }
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lengths = Lengths::default();
        lengths.visit_file(&file);
        for (name, length) in lengths.0.into_iter().filter(|(_, length)| *length > FUNCTION_LINES) {
            wrong.push(format!("{}: fn {name} has {length} lines, ceiling {FUNCTION_LINES}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|path| !path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests")))
        .filter(|path| {
            let text = std::fs::read_to_string(path).expect("a source file is readable");
            // Tests beside a module are described by it. A fuzz target is `#![no_main]` first; everything else opens with its own description.
            !text.lines().take(3).any(|line| line.starts_with("//!"))
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "these files do not open with `//!`:\n{}", wrong.join("\n"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in files_with("md") {
        let text = std::fs::read_to_string(&page).expect("a page is readable");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let folder = page.parent().expect("a page lies in a folder");
            if !folder.join(path).exists() {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[derive(Default)]
struct Lengths(Vec<(String, usize)>);

impl Lengths {
    fn note(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        self.0.push((name.to_string(), span.end().line - span.start().line + 1));
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().expect("cargo metadata runs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Names in the tree of normal dependencies below `root`, `root` included, as resolved for this platform.
fn normal_tree(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("metadata is resolved");
    let start = metadata.workspace_packages().iter().find(|p| p.name == root).expect("a member").id.clone();
    let mut seen: BTreeSet<PackageId> = BTreeSet::from([start.clone()]);
    let mut queue = VecDeque::from([start]);
    while let Some(id) = queue.pop_front() {
        let node = resolve.nodes.iter().find(|node| node.id == id).expect("every package has a node");
        for dependency in &node.deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                && seen.insert(dependency.pkg.clone())
            {
                queue.push_back(dependency.pkg.clone());
            }
        }
    }
    seen.iter().map(|id| metadata[id].name.to_string()).collect()
}

fn sources() -> Vec<PathBuf> {
    files_with("rs")
}

/// Files of the checkout with this extension, build output left out.
fn files_with(wanted: &str) -> Vec<PathBuf> {
    let root = root();
    walkdir::WalkDir::new(&root)
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            !(entry.depth() > 0 && name.starts_with('.')) && name != "target" && name != "book"
        })
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == wanted))
        .collect()
}
