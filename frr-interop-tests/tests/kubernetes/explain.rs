//! `explain` says what is so: every answer is held against FRR and against the octets that a raw peer received.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{PATIENCE, RawPeer, UPDATE};
use rutter_lab::kube::EndpointSlice;
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::nodes::{Rack, run};

const VIP: &str = "172.30.9.1/32";

/// The Service, with an endpoint on each of these nodes.
fn service(rack: &Rack<'_>, label: &str, numbers: &[u8]) -> Result<()> {
    rack.cluster.write(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": rack.test, "labels": {"expose": label}},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "172.30.9.1"}]}},
    }))?;
    let endpoints: Vec<(String, String)> =
        numbers.iter().map(|number| (format!("10.24{number}.0.5"), rack.name(*number))).collect();
    let endpoints: Vec<(&str, &str, bool)> =
        endpoints.iter().map(|(address, node)| (address.as_str(), node.as_str(), true)).collect();
    rack.cluster.write_endpoint_slice(&EndpointSlice {
        namespace: rack.test,
        name: "web-1",
        service: "web",
        ports: &[("", 80)],
        endpoints: &endpoints,
    })
}

/// The explanation of the Service by node number.
fn explained(rack: &Rack<'_>, number: u8) -> Result<Value> {
    let all = rack.rutterctl_json(&["explain", "service", &format!("{}/web", rack.test)])?;
    let name = rack.name(number);
    let found = all.as_array().into_iter().flatten().find(|one| one["node"] == *name);
    found.cloned().with_context(|| format!("no explanation of {name}: {all}"))
}

/// Waits until a node's answer has this verdict and, if any, this reason.
fn verdict(rack: &Rack<'_>, number: u8, verdict: &str, reason: Option<&str>) -> Result<Value> {
    wait_for(PATIENCE, &format!("node {number} to say {verdict} {reason:?}"), || {
        let answer = explained(rack, number)?;
        let outcome = &answer["outcome"];
        ensure!(outcome["verdict"] == verdict, "{outcome:#}");
        let reasons: Vec<&str> = outcome["stops"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|stop| stop["reason"].as_str())
            .collect();
        ensure!(reason.is_none_or(|reason| reasons.contains(&reason)), "{outcome:#}");
        Ok(answer)
    })
}

/// What bgpd says a peer was told.
fn told(answer: &Value, peer: &str) -> Value {
    let peers = answer["bgpd"]["prefixes"][0]["instances"][0]["peers"].as_array();
    let found = peers.into_iter().flatten().find(|one| one["name"] == peer);
    found.map(|peer| peer["told"].clone()).unwrap_or_default()
}

#[test]
fn every_answer_is_true() {
    run("explain", |rack| {
        let mut raw = raw_peer(rack)?;
        service(rack, "explain", &[1, 2])?;
        rack.heard_from(VIP, &[1, 2])?;
        announced(rack, &mut raw)?;
        refused(rack)?;
        session_down(rack)?;
        prefix_and_node(rack)
    });
}

/// A peer made of bytes beside the first node, as one more peer of its configuration.
fn raw_peer(rack: &Rack<'_>) -> Result<RawPeer> {
    let host = rack.star.lab.host("raw")?;
    let node = rack.star.peer(1)?;
    rack.star.lab.link(node.port("eth1", &["10.0.9.2/24"]), host.port("eth0", &["10.0.9.1/24"]))?;
    rack.cluster.write(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig", "metadata": {"name": rack.name(1)},
        "spec": {"bgpInstances": [{"name": "main", "localASN": 65_001, "peers": [
            {"name": "tor", "peerAddress": "10.0.1.1", "peerASN": 65_000, "peerConfigRef": {"name": rack.test}},
            {"name": "raw", "peerAddress": "10.0.9.1", "peerASN": 65_009, "peerConfigRef": {"name": rack.test}},
        ]}]},
    }))?;
    let mut raw = RawPeer::accept(&host, "10.0.9.1")?;
    raw.establish(65_009, Ipv4Addr::new(10, 0, 9, 1))?;
    Ok(raw)
}

fn announced(rack: &Rack<'_>, raw: &mut RawPeer) -> Result<()> {
    let answer = verdict(rack, 1, "announced", None)?;
    let peers = &answer["instances"][0]["peers"];
    let statement = format!("Service-web-{}-LoadBalancerIP-ipv4", rack.test);
    for peer in peers.as_array().into_iter().flatten() {
        let offered = &peer["offered"][0];
        ensure!(offered["prefix"] == VIP && offered["statement"] == *statement, "{peer:#}");
        ensure!(offered["actions"]["addCommunities"][0] == "65000:99", "{peer:#}");
    }
    let tor = told(&answer, "tor");
    ensure!(tor["routes"][0]["statement"] == *statement, "{tor:#}");
    ensure!(tor["routes"][0]["nextHop"] == "10.0.1.2", "{tor:#}");

    // The time: FRR says when it came, to the second.
    let shown = rack.tor.show_json(&format!("show bgp ipv4 unicast {VIP} json"))?;
    let path =
        shown["paths"].as_array().into_iter().flatten().find(|path| path["peer"]["peerId"] == "10.0.1.2");
    let came = path.and_then(|path| path["lastUpdate"]["epoch"].as_u64()).context("FRR has no time")?;
    let sent = tor["routes"][0]["sent"]["epoch"].as_u64().with_context(|| format!("no time: {tor:#}"))?;
    ensure!(came.abs_diff(sent) <= 2, "sent at {sent}, came at {came}");

    // The octets: one of the UPDATEs that the raw peer got is the one that is shown.
    let update = told(&answer, "raw")["routes"][0]["update"].as_str().unwrap_or_default().to_owned();
    let frames = raw.drain(Duration::from_secs(1))?;
    let hex = |body: &[u8]| body.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let updates: Vec<String> =
        frames.iter().filter(|frame| frame.kind == UPDATE).map(|frame| hex(&frame.body)).collect();
    ensure!(
        update.len() > 38 && updates.iter().any(|body| *body == update[38..]),
        "{update} is none of {updates:?}"
    );

    verdict(rack, 2, "announced", None)?;
    verdict(rack, 3, "notOffered", Some("NoLocalEndpoint"))?;
    let text = rack.rutterctl(&["explain", "service", &format!("{}/web", rack.test)])?;
    let line = format!("{}: not announced: NoLocalEndpoint", rack.name(3));
    ensure!(text.success && text.stdout.lines().any(|one| one == line), "{text:?}");
    ensure!(text.stdout.contains(&format!("UPDATE {update}")), "{text:?}");
    Ok(())
}

/// The object changes, and the chain ends somewhere else.
fn refused(rack: &Rack<'_>) -> Result<()> {
    service(rack, "explain", &[1])?;
    rack.heard_from(VIP, &[1])?;
    verdict(rack, 2, "notOffered", Some("NoLocalEndpoint"))?;

    service(rack, "other", &[1])?;
    rack.heard_from(VIP, &[])?;
    let answer = verdict(rack, 1, "notOffered", Some("ServiceNotSelected"))?;
    let said = answer["outcome"]["stops"][0]["message"].as_str().unwrap_or_default();
    ensure!(said.contains("expose=explain: expose is \"other\""), "{said}");
    // What the agent's findings say about the same address has the same name.
    service(rack, "explain", &[1])?;
    rack.heard_from(VIP, &[1])?;
    let findings = rack.nodes[2].agent.get("/v1/status")?["findings"].clone();
    let named = findings.as_array().into_iter().flatten();
    let ours = named.filter(|finding| finding["object"]["namespace"] == rack.test);
    ensure!(ours.into_iter().any(|finding| finding["reason"] == "NoLocalEndpoint"), "{findings:#}");
    let unknown = rack.rutterctl(&["explain", "service", &format!("{}/none", rack.test)])?;
    let expected = format!("there is no Service {}/none\n", rack.test);
    ensure!(!unknown.success && unknown.stderr == expected, "{unknown:?}");
    Ok(())
}

/// The session is down: everything up to it is right, and it is said that it is the session.
fn session_down(rack: &Rack<'_>) -> Result<()> {
    rack.tor.configure(&["router bgp 65000", "neighbor 10.0.1.2 shutdown"])?;
    rack.established(1, false)?;
    let answer = verdict(rack, 1, "partlyAnnounced", Some("peer_down"))?;
    ensure!(
        told(&answer, "raw")["told"] == "sent" && told(&answer, "tor")["told"] == "withheld",
        "{answer:#}"
    );
    let node = rack.rutterctl_json(&["explain", "node", &rack.name(1)])?;
    ensure!(node[0]["outcome"]["verdict"] == "partlyAnnounced", "{node:#}");
    rack.tor.configure(&["router bgp 65000", "no neighbor 10.0.1.2 shutdown"])?;
    rack.established(1, true)?;
    verdict(rack, 1, "announced", None)?;
    Ok(())
}

fn prefix_and_node(rack: &Rack<'_>) -> Result<()> {
    let all = rack.rutterctl_json(&["explain", "prefix", "172.30.9.1"])?;
    let named = |answer: &Value| answer["services"][0]["name"] == format!("{}/web", rack.test);
    ensure!(all.as_array().is_some_and(|all| all.len() == 3 && all.iter().all(named)), "{all:#}");
    // A route of somebody else: there in the Adj-RIB-In, kept out by policy, by name.
    wait_for(PATIENCE, "the ToR's own route to be explained", || {
        let learned =
            rack.rutterctl_json(&["--node", &rack.name(1), "explain", "prefix", "203.0.113.0/24"])?;
        let path = &learned[0]["bgpd"]["prefixes"][0]["instances"][0]["paths"][0];
        ensure!(path["peer"] == "tor" && path["reason"] == "import_policy", "{learned:#}");
        ensure!(path["best"] == false, "{learned:#}");
        Ok(())
    })?;
    let node = rack.rutterctl(&["explain", "node", &rack.name(2)])?;
    let up = "1 of 1 session established";
    ensure!(node.success && node.stdout.contains(up) && node.stdout.contains("10.0.2.2"), "{node:?}");
    Ok(())
}
