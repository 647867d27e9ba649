//! Keys between two bgpd: changed while the session goes on, and closed where the kernel cannot have them.

use std::time::Duration;

use rutter_api::client::Client;

use crate::fixture::{Bgpd, address, peer, router};

const ROUTE: &str = "    routes: [{prefix: 10.1.0.0/16, nextHop: 192.0.2.1}]\n";

#[tokio::test]
async fn both_ends_change_a_password_and_keep_the_session() {
    let (a, b) = (address(), address());
    let config = |local, remote, asn: u32, far: u32, password: &str, routes: &str| {
        let more = format!(", password: {password}");
        router(local, asn, &[peer("far", local, remote, far, &more)], routes)
    };
    let left = Bgpd::start(&config(a, b, 65001, 65002, "geheim-1", "")).await;
    let right = Bgpd::start(&config(b, a, 65002, 65001, "geheim-1", "")).await;
    left.until(b, "Established").await;
    right.until(a, "Established").await;
    left.reload(&config(a, b, 65001, 65002, "geheim-2", ""));
    tokio::time::sleep(Duration::from_secs(1)).await;
    right.reload(&config(b, a, 65002, 65001, "geheim-2", ""));
    tokio::time::sleep(Duration::from_millis(500)).await;
    left.reload(&config(a, b, 65001, 65002, "geheim-2", ROUTE));
    right
        .wait("a route comes over the session with the new key", async || {
            let routes = right.json("/v1/show/bgp/ipv4").await["routes"].clone();
            if routes["10.1.0.0/16"].is_array() { Ok(()) } else { Err(routes.to_string()) }
        })
        .await;
    for (bgpd, far) in [(&left, b), (&right, a)] {
        let row = bgpd.peer(far).await;
        assert_eq!(
            (&row["connectionsEstablished"], &row["connectionsDropped"]),
            (&1.into(), &0.into()),
            "{row:#}"
        );
        assert!(!bgpd.log().contains("geheim"), "{}", bgpd.log());
    }
}

#[tokio::test]
async fn keys_that_the_kernel_cannot_have_keep_the_session_down_and_say_so() {
    let (a, b) = (address(), address());
    let keys = ", tcpAo: {keys: [{sendId: 1, recvId: 1, algorithm: hmac-sha-1-96, secret: geheim}]}";
    let left = Bgpd::start(&router(a, 65001, &[peer("far", a, b, 65002, keys)], "")).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("far", b, a, 65001, keys)], "")).await;
    let health = left.client.health().await.expect("healthy");
    if health.tcp_ao {
        left.until(b, "Established").await;
    } else {
        left.wait("the log says so", async || {
            let log = left.log();
            let loud = log.contains("this kernel has no TCP-AO")
                && log.contains("connections from this peer are refused");
            if loud { Ok(()) } else { Err(log) }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (bgpd, far) in [(&left, b), (&right, a)] {
            assert_ne!(bgpd.peer(far).await["state"], "Established", "{}", bgpd.log());
        }
    }
    let shown =
        left.text("/v1/show/bgp/neighbors").await + &left.text("/v1/intents/file").await + &left.log();
    assert!(!shown.contains("geheim"), "{shown}");
    // An unsigned end is not let in either.
    let plain = Bgpd::start_with(None, &[]).await;
    let intent = serde_json::json!({"instances": [{"name": "m", "localASN": 65002, "routerID": "10.0.0.9",
        "peers": [{"name": "p", "address": a.to_string(), "port": crate::fixture::PORT, "peerASN": 65001,
            "timers": {"connectRetrySeconds": 1, "holdSeconds": 9, "keepaliveSeconds": 3}, "localAddress": b.to_string()}]}]});
    let client: &Client = &plain.client;
    client.put_intent("x", &serde_json::from_value(intent).expect("an intent")).await.expect("applied");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_ne!(plain.peer(a).await["state"], "Established");
}

#[tokio::test]
async fn ttl_security_hears_only_those_who_are_near() {
    let (a, b) = (address(), address());
    let secure = ", ttlSecurityHops: 1";
    let left = Bgpd::start(&router(a, 65001, &[peer("far", a, b, 65002, secure)], "")).await;
    // An external peer without it sends with a TTL of 1.
    let right = Bgpd::start(&router(b, 65002, &[peer("far", b, a, 65001, "")], "")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (bgpd, far) in [(&left, b), (&right, a)] {
        assert_ne!(bgpd.peer(far).await["state"], "Established", "{}", bgpd.log());
    }
    right.reload(&router(b, 65002, &[peer("far", b, a, 65001, secure)], ""));
    left.until(b, "Established").await;
    right.until(a, "Established").await;
}

#[tokio::test]
async fn a_range_of_neighbours_signs_with_one_key() {
    let (a, b, c) = (address(), address(), address());
    let range = format!("{}/24", std::net::Ipv4Addr::from(u32::from(a) & 0xffff_ff00));
    let middle = |password: &str, limit: u32| {
        let more = format!(
            "    dynamicPeers: [{{name: rack, ranges: [{range}], limit: {limit}, peerASNs: [65002, 65003], \
             password: {password}, timers: {{holdSeconds: 9, keepaliveSeconds: 3}}}}]\n"
        );
        router(a, 65001, &[], &format!("{ROUTE}{more}"))
    };
    let bgpd = Bgpd::start(&middle("geheim-1", 1)).await;
    let far = |local, asn, password: &str| {
        router(local, asn, &[peer("middle", local, a, 65001, &format!(", password: {password}"))], "")
    };
    let one = Bgpd::start(&far(b, 65002, "geheim-1")).await;
    one.until(a, "Established").await;
    bgpd.until(b, "Established").await;
    let row = bgpd.peer(b).await;
    assert_eq!((&row["dynamicPeer"], &row["remoteAs"]), (&true.into(), &65002.into()), "{row:#}");
    assert!(bgpd.text("/v1/show/bgp/summary?format=text").await.contains(&format!("*r65002({b})")));
    let two = Bgpd::start(&far(c, 65003, "geheim-2")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_ne!(two.peer(a).await["state"], "Established", "the wrong key");
    two.reload(&far(c, 65003, "geheim-1"));
    bgpd.wait("the limit is reached", async || {
        let metrics = bgpd.text("/metrics").await;
        let line = metrics.lines().find(|line| line.contains("dynamic-limit"));
        if line.is_some() { Ok(()) } else { Err(bgpd.log()) }
    })
    .await;
    bgpd.reload(&middle("geheim-1", 2));
    two.until(a, "Established").await;
    assert_eq!(one.peer(a).await["connectionsDropped"], 0, "{}", one.log());
    assert!(!bgpd.log().contains("geheim"), "{}", bgpd.log());
}
