//! What a change would do, said before it is done: `PUT ?dry_run`, `--check FILE`, `--check FILE --against OLD`.

use std::process::Command;
use std::time::{Duration, Instant};

use rutter_api::control::Effect;
use rutter_api::intent::Intent;
use serde_json::json;

use crate::fixture::{Bgpd, address, peer, router};

fn check(arguments: &[&std::ffi::OsStr]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_bgpd"))
        .arg("--check")
        .args(arguments)
        .output()
        .expect("bgpd starts");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[tokio::test]
async fn a_file_is_checked_against_the_running_bgpd_and_nothing_changes() {
    let (a, b, c) = (address(), address(), address());
    let config = |more_b: &str, more_c: &str| {
        router(a, 65001, &[peer("b", a, b, 65002, more_b), peer("c", a, c, 65003, more_c)], "")
    };
    let middle = Bgpd::start(&config("", ", password: geheim-1")).await;
    let far = Bgpd::start(&router(b, 65002, &[peer("a", b, a, 65001, "")], "")).await;
    far.until(a, "Established").await;
    middle.until(b, "Established").await;

    let new = middle.config_file().with_file_name("new.yaml");
    let text = config(", families: [ipv4-unicast], description: rack", ", password: geheim-2")
        .replace("holdSeconds: 9", "holdSeconds: 12");
    std::fs::write(&new, text).expect("written");
    let socket = middle.socket().as_os_str();
    let (output, code) = check(&[new.as_os_str(), "--socket".as_ref(), socket]);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        "new.yaml: OK (1 instances, 2 peers, 0 routes)",
        "would do this:",
        "main/b: session reset (families none -> [\"ipv4-unicast\"])",
        "      families: reset (both OPENs agree on them",
        "      timers.holdSeconds: next session (",
        "      description: none (",
        "main/c: changed, session kept (timers.holdSeconds 9 -> 12 from the next session on, password)",
        "1 session reset, 0 peers not touched",
    ] {
        assert!(output.contains(expected), "{expected:?} is not in:\n{output}");
    }
    assert!(!output.contains("geheim"), "{output}");

    // The same without a running bgpd, from the file it has.
    let old = middle.config_file();
    let (output, code) = check(&[new.as_os_str(), "--against".as_ref(), old.as_os_str()]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("main/b: session reset (families none -> [\"ipv4-unicast\"])"), "{output}");
    assert!(output.contains("main/c: changed, session kept"), "{output}");
    assert!(!output.contains("geheim"), "{output}");
    let (output, code) = check(&[new.as_os_str(), "--socket".as_ref(), "/nowhere/bgpd.sock".as_ref()]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("only the file was checked: no bgpd answers at /nowhere/bgpd.sock"), "{output}");

    assert_eq!(middle.peer(b).await["connectionsEstablished"], 1, "{}", middle.log());
    assert!(!middle.log().contains("geheim"), "{}", middle.log());
}

#[tokio::test]
async fn a_put_can_be_tried_and_a_burst_is_applied_together() {
    let bgpd = Bgpd::start(&router(address(), 65001, &[], "")).await;
    let intent = |number: u32| -> Intent {
        let routes: Vec<_> = (0..=number)
            .map(|route| json!({"prefix": format!("10.9.{route}.0/24"), "nextHop": "192.0.2.1"}))
            .collect();
        serde_json::from_value(json!({"instances": [
            {"name": "main", "localASN": 65001, "routerID": "10.0.0.1", "routes": routes}]}))
        .expect("an intent")
    };
    let planned = bgpd.client.plan_intent("a", &intent(2), None).await.expect("a plan");
    assert_eq!(planned.changes.len(), 1, "{planned:?}");
    assert_eq!((planned.changes[0].effect, &*planned.changes[0].reason), (Effect::RoutesChanged, "3 added"));
    assert!(bgpd.client.intent("a").await.is_err(), "a plan is not held");

    let started = Instant::now();
    let burst = (0..20).map(|number| {
        let (client, intent) = (bgpd.client.clone(), intent(number));
        tokio::spawn(async move { client.put_intent("a", &intent).await.expect("applied") })
    });
    let burst: Vec<_> = burst.collect();
    let mut answers = Vec::new();
    for one in burst {
        answers.push(one.await.expect("no panic"));
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // The first is applied at once. What comes meanwhile, and as long again after it, is applied together, and answered
    // with all that was done.
    let applications = bgpd.log().lines().filter(|line| line.contains("applied")).count();
    answers.sort_by_key(|answer| format!("{answer:?}"));
    answers.dedup();
    assert!(answers.len() <= applications, "{answers:?}");
    let held = bgpd.client.intent("a").await.expect("it is held");
    let routes = bgpd.client.intents().await.expect("a list").iter().map(|one| one.routes).max();
    assert_eq!(routes, Some(held.instances[0].routes.len()), "the last one is in force");
    let again = bgpd.client.plan_intent("file", &Intent::default(), None).await.expect("a plan");
    assert!(again.changes.iter().all(|change| change.peer.is_none()), "{again:?}");
}
