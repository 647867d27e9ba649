//! The book's page on what happens to sessions: every row names tests, and every test it names exists.

use std::path::{Path, PathBuf};

/// What the first part of a test's name stands for.
const PLACES: &[(&str, &str)] = &[
    ("interop", "frr-interop-tests/tests/interop"),
    ("bgpd", "bgpd/tests"),
    ("bgpd-src", "bgpd/src"),
    ("core", "bgpd/core/src"),
    ("sim", "bgpd/sim/tests"),
];

#[test]
fn every_row_is_shown_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let page = std::fs::read_to_string(root.join("docs/src/sessions.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let rows: Vec<&str> = rows.filter(|line| !line.starts_with("| when…")).collect();
    assert!(rows.len() > 30, "only {} rows were read", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, _, shown_by] = cells.as_slice() else {
            wrong.push(format!("not three cells: {row}"));
            continue;
        };
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(
            names.iter().filter(|name| !exists(root, name)).map(|name| format!("no such test: {name}")),
        );
    }
    assert!(wrong.is_empty(), "docs/src/sessions.md:\n{}", wrong.join("\n"));
}

/// Whether some file of this name's module has a test function of this name.
fn exists(root: &Path, name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let [place, modules @ .., function] = parts.as_slice() else { return false };
    let Some((_, folder)) = PLACES.iter().find(|(short, _)| short == place) else { return false };
    let base: PathBuf = std::iter::once(root.join(folder)).chain(modules.iter().map(PathBuf::from)).collect();
    let files = [base.with_extension("rs"), base.join("mod.rs"), base.join("tests.rs")];
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).any(|text| has_test(&text, function))
}

fn has_test(text: &str, function: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("fn ") || line.starts_with("async fn ") || line.starts_with("pub") {
            let named = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            if is_test && named == Some(function) {
                return true;
            }
            is_test = false;
        }
    }
    false
}

#[test]
fn a_name_is_found_only_where_it_is_a_test() {
    let text = "#[test]\nfn real() {}\n\nfn helper() {}\n#[tokio::test]\nasync fn later() {}\n";
    assert!(has_test(text, "real") && has_test(text, "later"));
    assert!(!has_test(text, "helper") && !has_test(text, "absent"));
}
