//! A new bgpd takes everything over from the running one: no peer notices.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rutter_api::intent::Intent;
use serde_json::{Value, json};

use crate::fixture::{Bgpd, address, peer, router};

fn handover_socket(bgpd: &Bgpd) -> PathBuf {
    PathBuf::from(format!("{}.handover", bgpd.socket().display()))
}

/// A frame of the hand-over: length, kind 1, JSON.
fn frame(value: &Value) -> Vec<u8> {
    let json = value.to_string().into_bytes();
    let length = u32::try_from(json.len()).expect("short").to_be_bytes();
    [&length[..], &[1], &json].concat()
}

fn read_frame(stream: &mut UnixStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a frame");
    let [a, b, c, d, kind] = head;
    let mut content = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
    stream.read_exact(&mut content).expect("a whole frame");
    (kind, content)
}

fn hello(formats: &[u32]) -> Value {
    json!({"formats": formats, "version": "test", "want": "TakeOver"})
}

/// How often the session with a peer came up and went down, by this side's own count.
async fn flaps(bgpd: &Bgpd, peer: std::net::Ipv4Addr) -> (Value, Value) {
    let shown = bgpd.json(&format!("/v1/show/bgp/neighbors/{peer}")).await;
    let shown = &shown[peer.to_string()];
    assert!(shown["connectionsEstablished"].is_u64(), "{shown}");
    (shown["connectionsEstablished"].clone(), shown["connectionsDropped"].clone())
}

async fn wait_routes(bgpd: &Bgpd, count: u32) {
    bgpd.wait(&format!("{count} routes"), async || {
        let now = bgpd.json("/v1/show/bgp/ipv4").await["totalRoutes"].clone();
        if now == count { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

struct Pair {
    bgpd: Bgpd,
    far: Bgpd,
    here: std::net::Ipv4Addr,
    there: std::net::Ipv4Addr,
}

/// Two bgpd with a session, without graceful restart; each has a route of the other.
async fn pair(more: &str) -> Pair {
    let (here, there) = (address(), address());
    let route = |prefix: &str| format!("    routes:\n      - {{prefix: {prefix}, nextHop: 192.0.2.1}}\n");
    let far = router(there, 65002, &[peer("here", there, here, 65001, more)], &route("10.2.0.0/16"));
    let far = Bgpd::start(&far).await;
    let passive = format!(", passive: true{more}");
    let config = router(here, 65001, &[peer("there", here, there, 65002, &passive)], &route("10.1.0.0/16"));
    let bgpd = Bgpd::start(&config).await;
    far.until(here, "Established").await;
    wait_routes(&bgpd, 2).await;
    wait_routes(&far, 2).await;
    Pair { bgpd, far, here, there }
}

#[tokio::test]
async fn a_session_goes_on_in_another_process() {
    let Pair { mut bgpd, far, here, there } = pair("").await;
    let intent: Intent = serde_json::from_value(json!({"holdSeconds": 600, "instances": [{
        "name": "main", "localASN": 65001, "routerID": here,
        "routes": [{"prefix": "10.9.0.0/16", "nextHop": "192.0.2.1"}],
    }]}))
    .expect("an intent");
    bgpd.client.put_intent("agent", &intent).await.expect("applied");
    wait_routes(&far, 3).await;
    let mode = std::fs::metadata(handover_socket(&bgpd)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = (flaps(&bgpd, there).await, flaps(&far, here).await);
    let updates = far.peer(here).await["msgRcvd"].clone();
    for round in 1..=5 {
        let mut old = bgpd.spawn_again(&["--take-over=or-fail"]);
        let status =
            tokio::task::spawn_blocking(move || old.wait()).await.expect("no panic").expect("our child");
        assert!(status.success(), "round {round}: {status}; log:\n{}", bgpd.log());
        bgpd.ready().await;
        assert_eq!((flaps(&bgpd, there).await, flaps(&far, here).await), before, "round {round}");
    }
    assert_eq!(bgpd.json("/v1/intents").await[0]["owner"], "file");
    assert_eq!(bgpd.json("/v1/intents").await[1]["holdSeconds"], 600);
    let after = far.peer(here).await["msgRcvd"].clone();
    let sent = after.as_u64().expect("a number") - updates.as_u64().expect("a number");
    assert!(sent < 8, "nothing but KEEPALIVEs: {sent} messages");
    // Both ways it goes on: routes from there, routes from here, and the hold timer.
    let routes = "    routes:\n      - {prefix: 10.2.0.0/16, nextHop: 192.0.2.1}\n      - {prefix: 10.3.0.0/16, nextHop: 192.0.2.1}\n";
    far.reload(&router(there, 65002, &[peer("here", there, here, 65001, "")], routes));
    wait_routes(&bgpd, 4).await;
    bgpd.client.delete_intent("agent").await.expect("deleted");
    wait_routes(&far, 3).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((flaps(&bgpd, there).await, flaps(&far, here).await), before, "past the hold time");
    let metrics = bgpd.text("/metrics").await;
    assert!(metrics.contains("bgpd_handover_pause_microseconds{"), "{metrics}");
    assert!(bgpd.log().contains("session taken over"), "{}", bgpd.log());
}

#[tokio::test]
async fn a_new_configuration_is_applied_as_any_change() {
    let Pair { mut bgpd, far, here, there } = pair("").await;
    let before = (flaps(&bgpd, there).await, flaps(&far, here).await);
    let routes = "    routes:\n      - {prefix: 10.7.0.0/16, nextHop: 192.0.2.1}\n";
    let passive = ", passive: true, description: new";
    let config = router(here, 65001, &[peer("there", here, there, 65002, passive)], routes);
    std::fs::write(bgpd.config_file(), config).expect("written");
    let mut old = bgpd.spawn_again(&["--take-over"]);
    tokio::task::spawn_blocking(move || old.wait()).await.expect("no panic").expect("our child");
    bgpd.ready().await;
    far.wait("the other route", async || {
        let table = far.json("/v1/show/bgp/ipv4").await;
        let routes = &table["routes"];
        if routes["10.7.0.0/16"].is_array() && routes["10.1.0.0/16"].is_null() {
            Ok(())
        } else {
            Err(table.to_string())
        }
    })
    .await;
    assert_eq!((flaps(&bgpd, there).await, flaps(&far, here).await), before);
}

#[tokio::test]
async fn who_asks_and_dies_is_forgotten() {
    let Pair { bgpd, far, here, there } = pair("").await;
    let before = (flaps(&bgpd, there).await, flaps(&far, here).await);
    // One that cannot read what is written, one that says nothing, one that dies with everything in its hands, one that
    // says the wrong word, and one that reads nothing at all.
    let mut stream = UnixStream::connect(handover_socket(&bgpd)).expect("open");
    stream.write_all(&frame(&hello(&[99]))).expect("sent");
    let (_, answer) = read_frame(&mut stream);
    let answer = String::from_utf8(answer).expect("JSON");
    assert!(answer.contains("Refused") && answer.contains("writes hand-over format 1"), "{answer}");
    drop(UnixStream::connect(handover_socket(&bgpd)).expect("open"));
    for word in ["", "perhaps"] {
        let mut stream = UnixStream::connect(handover_socket(&bgpd)).expect("open");
        stream.write_all(&frame(&hello(&[1]))).expect("sent");
        let (_, answer) = read_frame(&mut stream);
        assert!(String::from_utf8(answer).expect("JSON").contains("Follows"));
        while read_frame(&mut stream).0 != 5 {}
        if !word.is_empty() {
            stream.write_all(&frame(&json!(word))).expect("sent");
        }
    }
    let mut silent = UnixStream::connect(handover_socket(&bgpd)).expect("open");
    silent.write_all(&frame(&hello(&[1]))).expect("sent");
    tokio::time::sleep(Duration::from_secs(6)).await;
    wait_routes(&bgpd, 2).await;
    assert_eq!((flaps(&bgpd, there).await, flaps(&far, here).await), before, "log:\n{}", bgpd.log());
    assert!(bgpd.log().contains("this bgpd goes on"), "{}", bgpd.log());
}

#[tokio::test]
async fn a_running_bgpd_of_another_format_leaves_for_a_graceful_restart() {
    let (here, folder) = (address(), tempfile::tempdir().expect("a folder"));
    let socket = folder.path().join("bgpd.sock");
    let listener = UnixListener::bind(folder.path().join("bgpd.sock.handover")).expect("bound");
    let config = folder.path().join("bgpd.yaml");
    std::fs::write(&config, router(here, 65001, &[], "")).expect("written");
    let start = |word: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bgpd"));
        command.arg(word).arg("--socket").arg(&socket).arg("--config").arg(&config);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        command.spawn().expect("bgpd starts")
    };
    let strict = start("--take-over=or-fail");
    let (mut stream, _) = listener.accept().expect("asked");
    read_frame(&mut stream);
    stream.write_all(&frame(&json!({"Follows": {"format": 77, "version": "9.9"}}))).expect("sent");
    let output = strict.wait_with_output().expect("our child");
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("(version 9.9) hands over in format 77, this one reads 1"), "{said}");

    let mut patient = start("--take-over");
    let (mut stream, _) = listener.accept().expect("asked");
    read_frame(&mut stream);
    stream.write_all(&frame(&json!({"Refused": {"reason": "no"}}))).expect("sent");
    let (mut stream, _) = listener.accept().expect("asked again");
    let (_, asked) = read_frame(&mut stream);
    assert!(String::from_utf8_lossy(&asked).contains("\"Leave\""), "{asked:?}");
    stream.write_all(&frame(&json!("Leaves"))).expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!socket.exists(), "it waits until the other one has ended");
    drop(stream);
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        assert!(std::time::Instant::now() < limit, "it does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    patient.kill().expect("our child");
    patient.wait().expect("our child");
}

#[tokio::test]
async fn without_anybody_there_it_is_a_plain_start_and_who_cannot_be_taken_over_leaves() {
    let restart = ", gracefulRestart: {restartSeconds: 60}";
    let Pair { mut bgpd, far, here, there: _ } = pair(restart).await;
    bgpd.signal(Signal::SIGINT);
    bgpd.ended().await;
    drop(bgpd.spawn_again(&["--take-over"]));
    bgpd.ready().await;
    far.until(here, "Established").await;
    assert!(bgpd.log().contains("a plain start"), "{}", bgpd.log());
    wait_routes(&far, 2).await;
    // As a bgpd asks that cannot take over.
    let mut stream = UnixStream::connect(handover_socket(&bgpd)).expect("open");
    stream.write_all(&frame(&json!({"formats": [], "version": "x", "want": "Leave"}))).expect("sent");
    assert!(String::from_utf8_lossy(&read_frame(&mut stream).1).contains("Leaves"));
    assert!(bgpd.ended().await.success());
    assert_eq!(stream.read(&mut [0; 8]).expect("closed"), 0);
    let table = far.json("/v1/show/bgp/ipv4").await;
    assert_eq!(table["routes"]["10.1.0.0/16"][0]["stale"], true, "it is kept: {table:#}");
    drop(bgpd.spawn_again(&[]));
    bgpd.ready().await;
    bgpd.wait("the graceful restart is over", async || {
        let log = bgpd.log();
        if log.contains("graceful restart: routes are advertised") { Ok(()) } else { Err(String::new()) }
    })
    .await;
}
