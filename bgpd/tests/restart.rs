//! One bgpd after another in the same folder: what the next one knows of the one before.

use nix::sys::signal::Signal;
use rutter_api::intent::Intent;
use serde_json::json;

use crate::fixture::{Bgpd, PORT, address, peer, router};

#[tokio::test]
async fn what_was_wanted_over_the_api_comes_back_after_a_crash_and_not_after_a_stop() {
    let (a, b) = (address(), address());
    let restart = ", gracefulRestart: {restartSeconds: 60}";
    let far = Bgpd::start(&router(b, 65002, &[peer("a", b, a, 65001, restart)], "")).await;
    let mut bgpd = Bgpd::start_with(None, &["--on-sigterm", "restart"]).await;
    let intent: Intent = serde_json::from_value(json!({"holdSeconds": 600, "instances": [{
        "name": "main", "localASN": 65001, "routerID": a, "listenPort": PORT, "listenAddresses": [a],
        "peers": [{"name": "b", "address": b, "peerASN": 65002, "port": PORT, "localAddress": a, "passive": true,
                   "gracefulRestart": {"restartSeconds": 60}}],
        "routes": [{"prefix": "10.1.0.0/16", "nextHop": "192.0.2.1"}],
    }]}))
    .expect("an intent");
    bgpd.client.put_intent("agent", &intent).await.expect("applied");
    far.until(a, "Established").await;
    let routes = async |bgpd: &Bgpd, count: u32| {
        let what = format!("{count} routes at the far end");
        bgpd.wait(&what, async || {
            let now = far.json("/v1/show/bgp/ipv4").await["totalRoutes"].clone();
            if now == count { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    };
    routes(&bgpd, 1).await;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        bgpd.signal(signal);
        bgpd.ended().await;
        let table = far.json("/v1/show/bgp/ipv4").await;
        assert_eq!(table["routes"]["10.1.0.0/16"][0]["stale"], true, "{signal}: it is kept: {table:#}");
        drop(bgpd.spawn_again(&["--on-sigterm", "restart"]));
        bgpd.ready().await;
        far.until(a, "Established").await;
        let owners = bgpd.json("/v1/intents").await;
        assert_eq!(
            (&owners[0]["owner"], &owners[0]["holdSeconds"]),
            (&json!("agent"), &json!(600)),
            "{owners}"
        );
        bgpd.wait("the restart is over", async || {
            let table = far.json("/v1/show/bgp/ipv4").await;
            let path = &table["routes"]["10.1.0.0/16"][0];
            if path.is_object() && path["stale"] != true { Ok(()) } else { Err(table.to_string()) }
        })
        .await;
    }
    assert!(bgpd.log().contains("leaving for a restart"), "{}", bgpd.log());
    bgpd.signal(Signal::SIGINT);
    bgpd.ended().await;
    drop(bgpd.spawn_again(&[]));
    bgpd.ready().await;
    assert_eq!(bgpd.json("/v1/intents").await, json!([]), "a stop is an end");
    routes(&bgpd, 0).await;
}
