//! Intents over HTTP, as the agent uses them: several owners share one session, each change is a difference, a refusal
//! changes nothing.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, run};
use rutter_lab::Bgpd;
use serde_json::{Value, json};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

/// An intent for the instance of the configuration file, with these routes and peers.
fn intent(routes: &Value, peers: &Value) -> Value {
    json!({"instances": [{
        "name": "main", "localASN": RUTTER, "routerID": "192.0.2.1", "routes": routes, "peers": peers,
    }]})
}

#[test]
fn owners_add_up_and_leave_separately() {
    run("intents", &["frr", "bird"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &["prefix: 203.0.1.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        frr.wait_path("203.0.1.0/24")?;
        let before = frr.wait_established("10.0.1.1")?;

        let routes = json!([{"prefix": "203.0.2.0/24", "communities": ["65000:2"], "source": "a test"}]);
        bgpd.put_intent("one", &intent(&routes, &json!([])))?;
        let path = frr.wait_path("203.0.2.0/24")?;
        ensure!(path.communities.contains("65000:2"), "{path:?}");

        // Another owner brings a peer and a route; both owners' routes reach both peers.
        let peers = json!([{"name": "bird", "address": "10.0.2.2", "peerASN": 65_002, "families": ["ipv4-unicast"],
                            "timers": {"connectRetrySeconds": 1}}]);
        bgpd.put_intent("two", &intent(&json!([{"prefix": "203.0.3.0/24"}]), &peers))?;
        for prefix in ["203.0.1.0/24", "203.0.2.0/24", "203.0.3.0/24"] {
            bird.wait_path(prefix)?;
            frr.wait_path(prefix)?;
        }

        // Level-triggered: what is no longer in the intent goes away, the same again changes nothing.
        let routes = json!([{"prefix": "203.0.4.0/24"}]);
        bgpd.put_intent("one", &intent(&routes, &json!([])))?;
        frr.wait_path("203.0.4.0/24")?;
        frr.wait_gone("203.0.2.0/24")?;
        let bird_before = bird.wait_established("10.0.2.1")?;
        for _ in 0..5 {
            bgpd.put_intent("one", &intent(&routes, &json!([])))?;
            bgpd.put_intent("two", &intent(&json!([{"prefix": "203.0.3.0/24"}]), &peers))?;
        }
        bird.ensure_same_session("10.0.2.1", &bird_before)?;

        let reply = bgpd.request("DELETE", "/v1/intents/two", None)?;
        ensure!((200..300).contains(&reply.status), "{reply:?}");
        bird.wait_down("10.0.2.1", Duration::from_secs(10))?;
        frr.wait_gone("203.0.3.0/24")?;
        frr.wait_path("203.0.1.0/24")?;
        frr.wait_path("203.0.4.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before)
    });
}

#[test]
fn a_refused_intent_changes_nothing() {
    run("intents-refused", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &[]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        bgpd.put_intent("one", &intent(&json!([{"prefix": "203.0.1.0/24"}]), &json!([])))?;
        frr.wait_path("203.0.1.0/24")?;
        let before = frr.wait_established("10.0.1.1")?;
        let refused = [
            json!([{"prefix": "203.0.2.1/24"}]),
            json!([{"prefix": "203.0.2.0/24", "communities": ["no-such-community"]}]),
            json!([{"prefix": "203.0.2.0/24", "noSuchField": 1}]),
            json!([{"prefix": "203.0.2.0/24", "nextHop": "fe80::1"}, {"prefix": "203.0.2.0/24"}]),
        ];
        for routes in refused {
            let body = intent(&routes, &json!([])).to_string();
            let reply = bgpd.request("PUT", "/v1/intents/one", Some(&body))?;
            ensure!((400..500).contains(&reply.status), "{routes} was answered {reply:?}");
            ensure!(reply.json()?["error"].is_string(), "{reply:?}");
        }
        let reply = bgpd.request("PUT", "/v1/intents/one", Some("{not json"))?;
        ensure!((400..500).contains(&reply.status), "{reply:?}");
        frr.ensure_absent_for("203.0.2.0/24", Duration::from_secs(1))?;
        frr.wait_path("203.0.1.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before)
    });
}

/// bgpd without a file, as on a Kubernetes node: everything comes over the API.
#[test]
fn everything_over_the_api() {
    run("intents-only", &["frr"], |star| {
        let bgpd: Bgpd = star.bgpd("instances: []\n")?;
        // An FRR that dials would be refused afterwards, and forget what it was told.
        let passive = Wants { session: " neighbor 10.0.1.1 passive", ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", passive))?;
        let whole = json!({"instances": [{
            "name": "from-api", "localASN": RUTTER, "routerID": "192.0.2.1", "listenPort": 179,
            "peers": [{"name": "frr", "address": "10.0.1.2", "peerASN": 65_001,
                       "timers": {"connectRetrySeconds": 1}}],
            "routes": [{"prefix": "203.0.1.0/24"}, {"prefix": "2001:db8::/32", "nextHop": "fd00:1::1"}],
        }]});
        bgpd.put_intent("kubernetes", &whole)?;
        frr.wait_path("203.0.1.0/24")?;
        let reply = bgpd.request("DELETE", "/v1/intents/kubernetes", None)?;
        ensure!((200..300).contains(&reply.status), "{reply:?}");
        frr.wait_gone("203.0.1.0/24")?;
        let session = frr.wait_down("10.0.1.1", Duration::from_secs(10))?;
        ensure!(session.last_error.contains("Cease/"), "{session:?}");
        Ok(())
    });
}
