//! The built `rutterctl` against a bgpd that answers from a list: what is asked, printed and returned.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

/// Answers by request line, without the HTTP version.
struct FakeBgpd {
    folder: tempfile::TempDir,
    asked: Receiver<String>,
}

impl FakeBgpd {
    fn new(answers: &[(&str, u16, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("bgpd.sock")).expect("a socket");
        let answers: HashMap<String, (u16, String)> = answers
            .iter()
            .map(|(line, status, body)| ((*line).to_owned(), (*status, (*body).to_owned())))
            .collect();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut head = Vec::new();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a line");
                    let line = line.trim_end().to_owned();
                    if line.is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().expect("a number");
                    }
                    head.push(line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("the body");
                let line = head[0].trim_end_matches(" HTTP/1.1").to_owned();
                let unknown = (404, format!("{{\"error\": \"nothing at {line}\"}}"));
                let (status, answer) = answers.get(&line).cloned().unwrap_or(unknown);
                let response =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                // The client may already be gone, which is its own affair.
                _ = stream.write_all(response.as_bytes());
                _ = sender.send(format!("{line}{}", String::from_utf8_lossy(&body)));
            }
        });
        Self { folder, asked }
    }

    fn run(&self, line: &str) -> Output {
        let socket = self.folder.path().join("bgpd.sock");
        rutterctl(&format!("--socket {} {line}", socket.display()))
    }
}

fn rutterctl(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rutterctl")).args(line.split_whitespace()).output().expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn text_is_printed_as_bgpd_sent_it() {
    let bgpd = FakeBgpd::new(&[("GET /v1/show/bgp/summary?format=text", 200, "\nIPv4 Unicast Summary:\n")]);
    let output = bgpd.run("sh bgp su");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("\nIPv4 Unicast Summary:\n", Some(0)));
    assert_eq!(bgpd.asked.recv().expect("a request"), "GET /v1/show/bgp/summary?format=text");
}

#[test]
fn json_is_indented_in_the_order_it_came() {
    let target = "GET /v1/show/bgp/ipv4/10.0.0.0%2F8?format=json&instance=65001";
    let bgpd = FakeBgpd::new(&[(target, 200, r#"{"prefix":"10.0.0.0/8","paths":[]}"#)]);
    for line in ["show bgp 10.0.0.0/8 json --instance 65001", "show bgp 10.0.0.0/8 -o json --instance 65001"]
    {
        let output = bgpd.run(line);
        assert_eq!(
            stdout(&output),
            "{\n  \"prefix\": \"10.0.0.0/8\",\n  \"paths\": []\n}\n",
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_refusal_is_one_line_or_json() {
    let refusal = r#"{"bgpNoSuchNeighbor":true,"error":"% No such neighbor or address family"}"#;
    let bgpd = FakeBgpd::new(&[
        ("GET /v1/show/bgp/neighbors/x?format=text", 404, "% No such neighbor or address family\n"),
        ("GET /v1/show/bgp/neighbors/x?format=json", 404, refusal),
    ]);
    let output = bgpd.run("show bgp neighbors x");
    let expected = "% No such neighbor or address family\n";
    assert_eq!((stderr(&output).as_str(), stdout(&output).as_str()), (expected, ""));
    assert_eq!(output.status.code(), Some(1));
    let output = bgpd.run("show bgp neighbors x json");
    assert!(stdout(&output).starts_with("{\n  \"bgpNoSuchNeighbor\": true,\n"), "{}", stdout(&output));
    assert_eq!((stderr(&output).as_str(), output.status.code()), ("", Some(1)));
}

#[test]
fn words_that_are_not_understood() {
    let output = rutterctl("show bgp neighbors 10.0.0.1 filtered-routes");
    let expected = "% Unknown command: show bgp neighbors 10.0.0.1 filtered-routes\n  possible after 'show bgp neighbors \
                    10.0.0.1': advertised-routes, history, json, received-routes, \
                    routes\n";
    assert_eq!((stderr(&output).as_str(), output.status.code()), (expected, Some(2)));
    assert_eq!(rutterctl("configure terminal").status.code(), Some(2));
    assert_eq!(rutterctl("show bgp --nonsense").status.code(), Some(2));
}

#[test]
fn nobody_listens() {
    let output = rutterctl("--socket /nowhere/bgpd.sock bgp peers");
    let expected = "cannot reach bgpd at /nowhere/bgpd.sock: No such file or directory; is bgpd running? use --socket \
                    PATH\n";
    assert_eq!((stderr(&output).as_str(), output.status.code()), (expected, Some(1)));
}

#[test]
fn cilium_tables_come_from_json() {
    let peers = r#"[{"name":"tor","local-asn":65001,"peer-asn":65000,"peer-address":"10.0.0.1","peer-port":179,
        "session-state":"established","uptime-nanoseconds":61000000000,
        "families":[{"afi":"ipv4","safi":"unicast","received":2,"advertised":1}],"graceful-restart":{}}]"#;
    let bgpd = FakeBgpd::new(&[("GET /v1/bgp/peers?format=json", 200, peers)]);
    let expected = "\
Node   Local AS   Peer AS   Peer Address   Session State   Uptime   Family         Received   Advertised
n1     65001      65000     10.0.0.1       established     1m1s     ipv4/unicast   2          1
";
    assert_eq!(stdout(&bgpd.run("bgp peers --node n1")), expected);
    let json = stdout(&bgpd.run("bgp peers --node n1 -o json"));
    assert!(json.starts_with("{\n  \"n1\": [\n    {\n      \"name\": \"tor\",\n"), "{json}");
    assert!(stdout(&bgpd.run("bgp peers -o json")).starts_with("[\n  {\n    \"name\": \"tor\",\n"));
}

#[test]
fn an_intent_is_checked_and_put() {
    let applied =
        r#"{"changes":[{"instance":"a","peer":"tor","effect":"sessionReset","reason":"port 179 -> 1790"}]}"#;
    let bgpd = FakeBgpd::new(&[("PUT /v1/intents/me", 200, applied)]);
    let path = bgpd.folder.path().join("intent.yaml");
    let write = |keepalive: u16| {
        let text = format!(
            "instances:\n- name: a\n  localASN: 65001\n  routerID: 10.0.0.1\n  peers:\n  - name: tor\n    \
             address: 10.0.0.2\n    timers: {{holdSeconds: 9, keepaliveSeconds: {keepalive}}}\n"
        );
        std::fs::write(&path, text).expect("a file");
    };
    write(30);
    let output = bgpd.run(&format!("intent put me {}", path.display()));
    let expected = format!(
        "{} cannot be applied: instances[0].peers[0].timers.keepaliveSeconds: contradicts holdSeconds: 30 is more than \
         the hold time of 9 s; write 3 or less\n",
        path.display()
    );
    assert_eq!((stderr(&output), output.status.code()), (expected, Some(1)));
    assert!(bgpd.asked.try_recv().is_err(), "nothing was sent");
    write(3);
    let output = bgpd.run(&format!("intent put me {}", path.display()));
    assert_eq!(stdout(&output), "a/tor: session reset (port 179 -> 1790)\n", "{}", stderr(&output));
    let asked = bgpd.asked.recv().expect("a request");
    assert!(
        asked.starts_with("PUT /v1/intents/me{\"instances\":[{\"name\":\"a\",\"localASN\":65001,"),
        "{asked}"
    );
}

#[test]
fn intents_are_listed() {
    let list = r#"[{"owner":"kubernetes","instances":1,"peers":2,"routes":3,"ageSeconds":75}]"#;
    let bgpd = FakeBgpd::new(&[("GET /v1/intents", 200, list)]);
    let expected = "\
Owner        Instances   Peers   Routes   Age        Kept for
kubernetes   1           2       3        00:01:15   ever
";
    assert_eq!(stdout(&bgpd.run("intent list")), expected);
}

#[test]
fn orders_are_sent_and_answered_in_words() {
    let neighbors = r#"{"10.0.0.1":{},"eth0":{}}"#;
    let path = "/v1/control/bgp/neighbors";
    let bgpd = FakeBgpd::new(&[
        (&format!("POST {path}/tor/disable?text=new%20optics"), 204, ""),
        (&format!("POST {path}/tor/enable"), 204, ""),
        (&format!("POST {path}/10.0.0.1/reset"), 204, ""),
        (&format!("POST {path}/eth0/reset"), 409, r#"{"error":"eth0: the session is not established"}"#),
        ("GET /v1/show/bgp/neighbors", 200, neighbors),
    ]);
    let output = bgpd.run("nei tor shut message new optics");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("tor: shut down\n", Some(0)));
    assert_eq!(stdout(&bgpd.run("no neighbor tor shutdown")), "tor: shutdown taken back\n");
    let output = bgpd.run("clear bgp nobody");
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let output = bgpd.run("clear bgp all");
    let expected = "10.0.0.1: session reset\neth0: not done: bgpd: eth0: the session is not established\n";
    assert_eq!((stdout(&output).as_str(), output.status.code()), (expected, Some(0)), "{}", stderr(&output));
    let output = bgpd.run("clear bgp");
    assert!(stderr(&output).starts_with("% Command incomplete: clear bgp\n"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(2));
}

/// The socket's path must not be longer than the kernel takes; a long one says so instead of failing oddly.
#[test]
fn a_socket_path_can_be_too_long() {
    let path = PathBuf::from("/tmp").join("x".repeat(200));
    let output = rutterctl(&format!("--socket {} bgp peers", path.display()));
    assert!(stderr(&output).contains("cannot reach bgpd at /tmp/xxx"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

/// A checkout's folder of manifests.
fn manifests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/bgp-lab")
}

#[test]
fn manifests_are_explained_without_asking_anybody() {
    let place = manifests().display().to_string();
    let output = rutterctl(&format!("explain --manifests {place} service default/webpod"));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.starts_with("Service default/webpod: LoadBalancer"), "{text}");
    assert!(text.contains("bgpd: not asked"), "{text}");
    // The address is written nowhere: LB IPAM gives it.
    assert!(text.contains("  address    172.16.1.1 (LoadBalancerIP)\n"), "{text}");
    assert!(text.contains("172.16.1.1/32 for Service default/webpod LoadBalancerIP"), "{text}");
    let one = rutterctl(&format!("explain --manifests {place} --node k8s-w1 -o json service default/webpod"));
    let list: serde_json::Value = serde_json::from_str(&stdout(&one)).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(
        (&list[0]["node"], &list[0]["bgpd"]["state"]),
        (&"k8s-w1".into(), &"notAsked".into()),
        "{list:#}"
    );

    let unknown = rutterctl(&format!("explain --manifests {place} service default/none"));
    assert_eq!(
        (stderr(&unknown).as_str(), unknown.status.code()),
        ("there is no Service default/none\n", Some(1))
    );
    let node = rutterctl(&format!("explain --manifests {place} --node nobody prefix 10.0.0.1"));
    assert!(
        stderr(&node).contains("has no Node \"nobody\"; it has: k8s-ctr, k8s-w0, k8s-w1"),
        "{}",
        stderr(&node)
    );
    for (words, expected) in [
        ("explain router x", "write service, node or prefix"),
        ("explain prefix 10.0.0.1/8", "it has bits beyond its length"),
        ("explain service a/b/c", "write NAMESPACE/NAME"),
    ] {
        let output = rutterctl(words);
        assert!(stderr(&output).contains(expected) && output.status.code() == Some(2), "{}", stderr(&output));
    }
}

#[test]
fn whom_a_command_asks_is_said_where_it_cannot_be() {
    for (line, expected) in [
        ("--socket /x --all-nodes bgp peers", "give one or the other"),
        ("--kubeconfig /nowhere bgp peers", "cannot use the kubeconfig /nowhere"),
        ("--all-nodes clear bgp all", "orders go to one bgpd over its socket"),
        (
            "--agent-socket /nowhere/agent.sock --socket /nowhere/bgpd.sock status",
            "cannot reach rutter-agent at /nowhere/agent.sock",
        ),
    ] {
        let output = rutterctl(line);
        assert!(stderr(&output).contains(expected), "{line}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
}

#[test]
fn as_a_plugin_it_asks_the_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("kubectl-rutter");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rutterctl"), &plugin).expect("a link");
    let output = Command::new(&plugin)
        .args(["bgp", "peers"])
        .env("KUBECONFIG", "/nowhere/config")
        .output()
        .expect("it runs");
    assert!(stderr(&output).contains("cannot use the kubeconfig"), "{}", stderr(&output));
}

#[test]
fn a_plain_router_explains_prefixes_too() {
    let answer = r#"{"prefix":"10.1.0.0/16","instances":[{"instance":"main","paths":[{"best":true,"reason":"first_path",
        "message":"First path received","attributes":"[{Origin: i}]","since":{"epoch":0,"string":""}}],"peers":[{"name":"far",
        "address":"192.0.2.1","state":"Active","stateSeconds":7,"down":"connect failed: Connection refused",
        "told":{"told":"withheld","reason":"peer_down","message":"the session is not established"}}]}]}"#;
    let bgpd = FakeBgpd::new(&[("GET /v1/explain/bgp/prefix/10.1.0.0%2F16", 200, answer)]);
    let output = bgpd.run("--agent-socket /nowhere/agent.sock explain prefix 10.1.0.0/16");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for expected in [
        "table of main: 10.1.0.0/16 our own, best: First path received",
        "session Active for 00:00:07 (connect failed: Connection refused); 10.1.0.0/16 not sent: peer_down",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}
