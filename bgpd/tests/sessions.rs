//! Sessions and routes between two bgpds.

use crate::fixture::{Bgpd, PORT, address, peer, router};

#[tokio::test]
async fn routes_pass_and_every_view_agrees() {
    let (a, b) = (address(), address());
    let routes = "    routes:\n      - {prefix: 10.1.0.0/16, nextHop: 192.0.2.1, communities: [65001:7], med: 5}\n      - {prefix: 10.2.0.0/24, nextHop: 192.0.2.1}\n";
    let left = Bgpd::start(&router(a, 65001, &[peer("right", a, b, 65002, "")], routes)).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("left", b, a, 65001, ", passive: true")], "")).await;
    left.until(b, "Established").await;
    right.until(a, "Established").await;
    right
        .wait("two routes", async || {
            let count = right.peer(a).await["pfxRcd"].clone();
            if count == 2 { Ok(()) } else { Err(count.to_string()) }
        })
        .await;

    let table = right.json("/v1/show/bgp/ipv4").await;
    assert_eq!(table["totalRoutes"], 2, "{table:#}");
    let path = &table["routes"]["10.1.0.0/16"][0];
    assert_eq!((&path["path"], &path["metric"]), (&"65001".into(), &5.into()), "{path:#}");
    assert_eq!(path["nexthops"][0]["ip"], "192.0.2.1");
    let lookup = right.json("/v1/show/bgp/ipv4/10.1.2.3").await;
    assert_eq!(lookup["prefix"], "10.1.0.0/16");
    assert_eq!(lookup["paths"][0]["community"]["string"], "65001:7");
    assert_eq!(
        right.json("/v1/show/bgp/ipv4/10.1.0.0%2F16").await,
        right.json("/v1/show/bgp/ipv4/10.1.0.0/16").await
    );

    let sent = left.json(&format!("/v1/show/bgp/neighbors/{b}/advertised-routes")).await;
    assert_eq!(sent["totalPrefixCounter"], 2, "{sent:#}");
    assert_eq!(sent["advertisedRoutes"]["10.2.0.0/24"]["path"], "65001", "as it stood in the UPDATE");
    let received = right.json("/v1/show/bgp/neighbors/left/received-routes").await;
    assert_eq!(received["totalPrefixCounter"], 2, "by name too: {received:#}");

    let text = right.text("/v1/show/bgp/ipv4?format=text").await;
    assert!(text.contains(" *>  10.2.0.0/24 "), "{text}");
    let summary = right.text("/v1/show/bgp/summary?format=text").await;
    assert!(summary.contains(&format!("r65001({a})")), "{summary}");

    let metrics = right.text("/metrics").await;
    let labels =
        format!("instance_name=\"main\",local_asn=\"65002\",neighbor=\"{a}:{PORT}\",neighbor_asn=\"65001\"");
    assert!(
        metrics.contains(&format!("cilium_bgp_control_plane_session_state{{{labels}}} 1\n")),
        "{metrics}"
    );
    let received =
        format!("cilium_bgp_control_plane_received_routes{{afi=\"ipv4\",{labels},safi=\"unicast\"}} 2\n");
    assert!(metrics.contains(&received), "{metrics}");

    let neighbor = &right.json("/v1/show/bgp/neighbors/left").await[a.to_string()];
    assert!(neighbor["bgpTcpMssSynced"].as_u64() > Some(500), "{neighbor:#}");

    let peers = right.json("/v1/bgp/peers").await;
    assert_eq!(
        (&peers[0]["session-state"], &peers[0]["name"]),
        (&"established".into(), &"left".into()),
        "{peers:#}"
    );
    let available = right.json("/v1/bgp/routes?table=available&family=ipv4").await;
    assert_eq!(available.as_array().map(Vec::len), Some(2), "{available:#}");
}

#[tokio::test]
async fn two_instances_of_one_process_speak_to_each_other() {
    let (a, b) = (address(), address());
    let one = router(
        a,
        65001,
        &[peer("other", a, b, 65002, "")],
        "    routes: [{prefix: 10.1.0.0/16, nextHop: 192.0.2.1}]\n",
    );
    let two = router(b, 65002, &[peer("other", b, a, 65001, "")], "")
        .replace("name: main", "name: second")
        .replace("hostname: r65002\ninstances:\n", "");
    let bgpd = Bgpd::start(&format!("{one}{two}")).await;
    bgpd.wait("the route is there", async || {
        let table = bgpd.json("/v1/show/bgp/ipv4?instance=second").await;
        if table["routes"]["10.1.0.0/16"][0]["valid"] == true { Ok(()) } else { Err(table.to_string()) }
    })
    .await;
    let summary = bgpd.json("/v1/show/bgp/summary?instance=second").await;
    assert_eq!(summary["ipv4Unicast"]["vrfName"], "second");
}

#[tokio::test]
async fn passwords_must_agree() {
    let (a, b, c) = (address(), address(), address());
    let left = Bgpd::start(&router(
        a,
        65001,
        &[
            peer("good", a, b, 65002, ", password: geheim"),
            peer("bad", a, c, 65003, ", password: geheim, passive: true"),
        ],
        "",
    ))
    .await;
    let good = Bgpd::start(&router(b, 65002, &[peer("left", b, a, 65001, ", password: geheim")], "")).await;
    let bad = Bgpd::start(&router(c, 65003, &[peer("left", c, a, 65001, ", password: falsch")], "")).await;
    good.until(a, "Established").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_ne!(bad.peer(a).await["state"], "Established");
    let intent = left.text("/v1/intents/file").await;
    assert!(!intent.contains("geheim") && !left.log().contains("geheim"), "{intent}");
}

#[tokio::test]
async fn strangers_are_refused_and_counted() {
    let (a, stranger) = (address(), address());
    let bgpd = Bgpd::start(&router(a, 65001, &[], "")).await;
    // The API answers a moment before the instance has opened its port.
    let mut stream = None;
    bgpd.wait("the port is open", async || {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((stranger, 0).into()).expect("bound");
        stream = Some(socket.connect((a, PORT).into()).await.map_err(|error| error.to_string())?);
        Ok(())
    })
    .await;
    let mut stream = stream.expect("connected");
    let mut said = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await.expect("closed in order");
    assert_eq!(said.get(16..), Some([0, 21, 3, 6, 5].as_slice()), "Cease/Connection Rejected: {said:?}");
    bgpd.wait("the refusal is counted", async || {
        let metrics = bgpd.text("/metrics").await;
        let line = "bgpd_connections_refused_total{instance_name=\"main\",reason=\"unknown-peer\"} 1\n";
        if metrics.contains(line) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_is_given_up_after_the_hold_time() {
    let (a, b) = (address(), address());
    let impatient = ", families: [ipv4-unicast]";
    let fast = peer("right", a, b, 65002, impatient)
        .replace("holdSeconds: 9, keepaliveSeconds: 3", "holdSeconds: 3, keepaliveSeconds: 1");
    let left = Bgpd::start(&router(a, 65001, &[fast], "")).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("left", b, a, 65001, "")], "")).await;
    left.until(b, "Established").await;
    right.signal(nix::sys::signal::Signal::SIGSTOP);
    left.wait("the hold timer expires", async || {
        let neighbor = &left.json("/v1/show/bgp/neighbors").await[b.to_string()];
        let reason = neighbor["lastNotificationReason"].clone();
        if reason == "Hold Timer Expired" { Ok(()) } else { Err(format!("{neighbor:#}")) }
    })
    .await;
    right.signal(nix::sys::signal::Signal::SIGCONT);
    left.until(b, "Established").await;
}

#[tokio::test]
async fn a_prefix_limit_holds_until_an_operator_resets() {
    let (a, b) = (address(), address());
    let routes = |count: u8| {
        let one = |number: u8| format!("{{prefix: 10.{number}.0.0/16, nextHop: 192.0.2.1}}");
        format!("    routes: [{}]\n", (0..count).map(one).collect::<Vec<_>>().join(", "))
    };
    let left = Bgpd::start(&router(a, 65001, &[peer("right", a, b, 65002, "")], &routes(3))).await;
    let limited = peer("left", b, a, 65001, ", maxPrefixes: 2");
    let right = Bgpd::start(&router(b, 65002, &[limited], "")).await;
    right.until(a, "Idle (PfxCt)").await;
    left.wait("the peer is told", async || {
        let neighbor = left.json("/v1/show/bgp/neighbors").await[b.to_string()].clone();
        let reason = &neighbor["lastNotificationReason"];
        if reason == "Cease/Maximum Number of Prefixes Reached" {
            Ok(())
        } else {
            Err(format!("{neighbor:#}"))
        }
    })
    .await;
    left.reload(&router(a, 65001, &[peer("right", a, b, 65002, "")], &routes(2)));
    left.wait("two routes", async || {
        let total = left.json("/v1/show/bgp/ipv4").await["totalRoutes"].clone();
        if total == 2 { Ok(()) } else { Err(total.to_string()) }
    })
    .await;
    assert_eq!(right.peer(a).await["state"], "Idle (PfxCt)", "nothing but a reset ends it");
    right.order("left", "reset").await;
    right.until(a, "Established").await;
}

#[tokio::test]
async fn tables_can_be_read_in_pages() {
    let a = address();
    let routes: Vec<String> = (0..9).map(|number| format!("{{prefix: 10.{number}.0.0/16}}")).collect();
    let bgpd = Bgpd::start(&router(a, 65001, &[], &format!("    routes: [{}]\n", routes.join(", ")))).await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = bgpd.json(&format!("/v1/show/bgp/ipv4?limit=4{after}")).await;
        let routes = page["routes"].as_object().cloned().unwrap_or_default();
        assert_eq!(page["totalRoutes"], routes.len());
        let Some(last) = routes.keys().next_back() else { break };
        after = format!("&after={last}");
        seen.extend(routes.into_iter().map(|(prefix, _)| prefix));
    }
    let expected: Vec<String> = (0..9).map(|number| format!("10.{number}.0.0/16")).collect();
    assert_eq!(seen, expected);
}
