//! `--check`: what a person with a wrong file sees.

use std::fs;
use std::process::Command;

fn check(text: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("router.yaml"), text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_bgpd"))
        .args(["--check", "--config", "router.yaml", "--socket", "/nowhere/bgpd.sock"])
        .current_dir(folder.path())
        .output()
        .expect("bgpd starts");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (text, output.status.code())
}

const HEAD: &str = "\
instances:
  - name: main
    localASN: 65001
    routerID: 10.0.0.1
";

#[test]
fn a_good_file_is_ok() {
    let peers = "    peers:\n      - name: tor\n        address: 192.0.2.1\n        peerASN: 65010\n";
    assert_eq!(
        check(&format!("{HEAD}{peers}")),
        ("router.yaml: OK (1 instances, 1 peers, 0 routes)\nonly the file was checked: no bgpd answers at \
             /nowhere/bgpd.sock (--socket PATH names another, --against OLD compares two files)\n".to_owned(), Some(0))
    );
}

#[test]
fn every_error_says_where_and_what_to_do() {
    let cases = [
        ("instances: [\n", "router.yaml:"),
        (
            "listen: 1\n",
            "router.yaml:1:1: listen: unknown field `listen`, expected one of api, log, hostname, instances",
        ),
        (
            &format!("{HEAD}    listenPort: 70000\n"),
            "router.yaml:5:17: instances[0].listenPort: must be a whole number from 0 to 65535",
        ),
        (
            &format!(
                "{HEAD}    peers:\n      - name: tor\n        address: 192.0.2.1\n        peerASN: 23456\n"
            ),
            "router.yaml:8:18: instances[0].peers[0].peerASN: 23456 is reserved",
        ),
        (
            &format!(
                "{HEAD}    peers:\n      - name: tor\n        address: 192.0.2.1\n        timers: {{holdSeconds: 2}}\n"
            ),
            "router.yaml:8:31: instances[0].peers[0].timers.holdSeconds: 2 is out of range; write 0 or 3 to 65535",
        ),
        (
            &format!("{HEAD}    peers:\n      - name: tor\n        address: fe80::1\n"),
            "router.yaml:7:18: instances[0].peers[0].address: needs interface",
        ),
        (
            &format!("{HEAD}    routes:\n      - prefix: 10.1.2.3/16\n"),
            "router.yaml:6:17: instances[0].routes[0].prefix: 10.1.2.3/16 has host bits set; write 10.1.0.0/16",
        ),
        (
            &format!("{HEAD}  - name: main\n    localASN: 1\n    routerID: 10.0.0.2\n"),
            "router.yaml:5:11: instances[1].name: main is also at instances[0].name",
        ),
    ];
    for (text, expected) in cases {
        let (output, code) = check(text);
        assert!(output.starts_with(expected), "expected {expected}\ngot      {output}for:\n{text}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_password_in_a_wrong_file_is_not_repeated() {
    let secret = "x".repeat(81);
    let (output, code) = check(&format!(
        "{HEAD}    peers:\n      - name: tor\n        address: 192.0.2.1\n        password: {secret}\n"
    ));
    assert!(output.starts_with("router.yaml:8:19: instances[0].peers[0].password:"), "{output}");
    assert!(!output.contains(&secret), "{output}");
    assert_eq!(code, Some(1));
}

#[test]
fn wrong_options_have_another_status() {
    let output = Command::new(env!("CARGO_BIN_EXE_bgpd")).arg("--check").output().expect("bgpd starts");
    assert_eq!(output.status.code(), Some(2));
}
