//! Names, labels and values of a scrape, against a written page.

use k8s_sync::conditions::{Condition, ObjectConditions};
use k8s_sync::object::ObjectRef;
use k8s_sync::report::{Finding, Reason, Report};
use rutter_api::cilium::peers::FamilyState;
use rutter_api::control::Applied;

use crate::status::LastApplied;

use super::*;

fn peer(address: &str, state: SessionState) -> Peer {
    let family = FamilyState {
        afi: "ipv4".to_owned(),
        safi: "unicast".to_owned(),
        received: 3,
        accepted: 3,
        advertised: 2,
    };
    Peer {
        instance: "main".to_owned(),
        name: "tor".to_owned(),
        local_asn: 65_001,
        peer_asn: 65_000,
        peer_address: address.parse().unwrap(),
        session_state: state,
        families: vec![family],
        ..Peer::default()
    }
}

fn outcome() -> Outcome {
    let intent = r#"{"instances": [{"name": "main", "localASN": 65001, "routerID": "10.0.0.1", "routes": [{"prefix": "10.1.0.0/24"}]},
        {"name": "odd", "localASN": 65009, "routerID": "10.0.0.1"}]}"#;
    let mut report = Report::default();
    for line in [1, 2] {
        report.add(Finding::at("a.yaml", line, Reason::Syntax { error: "odd".to_owned() }));
    }
    let condition = Condition::reconcile_error(&[("odd".to_owned(), "no peer".to_owned())]);
    let object = ObjectRef::cluster("CiliumBGPNodeConfig", "w1");
    Outcome {
        intent: Arc::new(serde_json::from_str(intent).unwrap()),
        report,
        conditions: vec![ObjectConditions { object, observed_generation: None, conditions: vec![condition] }],
        ..Outcome::default()
    }
}

#[test]
fn names_labels_and_values_are_as_written() {
    let (metrics, outcome) = (Metrics::new(), outcome());
    metrics.put(&outcome, Duration::from_millis(30), Put::Applied);
    metrics.put(&outcome, Duration::from_secs(3), Put::Failed);
    let now = Timestamp::now();
    let mut last = LastApplied::now(&outcome.intent, &Applied::default());
    last.time = now - Duration::from_secs(90);
    let bgpd = BgpdState { reachable: true, last_applied: Some(last), ..BgpdState::default() };
    let peers = [peer("192.0.2.1", SessionState::Established), peer("2001:db8::1", SessionState::Active)];
    let requests = [RequestCount { verb: "watch", resource: "services".to_owned(), code: "2xx", count: 4 }];
    let scene = Scene {
        outcome: &outcome,
        bgpd: &bgpd,
        peers: Some(&peers),
        requests: &requests,
        objects: &[("Service", 7)],
        restarts: &[("Service", 3)],
        now,
    };
    let text = metrics.render(&scene).unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("# HELP") && !line.contains("_bucket")).collect();
    let page = include_str!("golden.txt");
    assert_eq!(lines, page.lines().collect::<Vec<_>>(), "{text}");
    assert_eq!(text.matches("_bucket{instance_name=\"main\",le=\"0.05\"} 1").count(), 1, "{text}");
}

#[test]
fn a_bgpd_that_does_not_answer_has_no_sessions() {
    let (outcome, bgpd) = (Outcome::default(), BgpdState::default());
    let scene = Scene {
        outcome: &outcome,
        bgpd: &bgpd,
        peers: None,
        requests: &[],
        objects: &[],
        restarts: &[],
        now: Timestamp::UNIX_EPOCH,
    };
    let text = Metrics::new().render(&scene).unwrap();
    assert!(!text.contains("session_state"), "{text}");
    assert!(text.contains("rutter_agent_bgpd_up 0"), "{text}");
    assert!(text.contains("rutter_agent_intent_puts_total{outcome=\"refused\"} 0"), "{text}");
}
