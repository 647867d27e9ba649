//! `rutterctl lbipam` on manifests: what it prints, byte for byte, and its exit status. `UPDATE_GOLDEN=1` records anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lbipam")
}

fn rutterctl(words: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_rutterctl")).args(words).current_dir(folder()).output().expect("it runs")
}

/// Every moment as the same word.
fn without_times(text: &str) -> String {
    const MOMENT: usize = "2026-01-02 03:04:05".len();
    let parts: Vec<&str> = text.split(" UTC").collect();
    let (last, before) = parts.split_last().expect("a text has a part");
    before.iter().map(|part| format!("{}<then>", &part[..part.len() - MOMENT])).collect::<String>() + last
}

#[test]
fn answers_are_those_that_are_recorded() {
    let commands = std::fs::read_to_string(folder().join("commands")).expect("the commands");
    let mut said = String::new();
    for command in commands.lines() {
        let words: Vec<&str> = ["lbipam"].into_iter().chain(command.split_whitespace()).collect();
        let output = rutterctl(&words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let code = output.status.code().expect("it was not killed");
        let errors = if err.is_empty() {
            String::new()
        } else {
            format!("! {}\n", err.trim_end().replace('\n', "\n! "))
        };
        writeln!(said, "$ rutterctl lbipam {command}\n{out}{errors}[{code}]\n").expect("a text grows");
    }
    let said = without_times(&said);
    let recorded = folder().join("answers.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&recorded, &said).expect("it can be written");
    }
    let expected = std::fs::read_to_string(&recorded).unwrap_or_default();
    assert_eq!(said, expected, "UPDATE_GOLDEN=1 records what is printed now");
}

#[test]
fn without_a_cluster_it_says_what_else_there_is() {
    let output = rutterctl(&["lbipam", "--kubeconfig", "/nowhere", "show"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--manifests DIR answers from files") && said.contains("/nowhere"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn words_that_are_not_understood() {
    for words in
        [&["lbipam"][..], &["lbipam", "explain"], &["lbipam", "plan"], &["lbipam", "explain", "a/b/c"]]
    {
        let output = rutterctl(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    let help = rutterctl(&["lbipam", "plan", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Exit status: 0 nobody loses an address"));
}
