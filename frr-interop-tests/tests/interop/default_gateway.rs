//! Auto-discovery by default gateway and type Interface: the agent follows the kernel's routes, links and addresses, and a
//! session moves to the router that the default route names.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star, run};
use rutter_lab::{Daemon, http_request, rutter_binary, wait_for};
use serde_json::Value;

use crate::daemons::{Wants, frr};

const MANIFESTS: &str = "apiVersion: v1
kind: Node
metadata: {name: hub}
spec: {podCIDRs: [172.20.1.0/24, 'fd00:20:1::/64']}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: cluster}
spec:
  bgpInstances:
    - name: main
      localASN: 65000
      peers:
        - name: gateway
          peerASN: 0
          autoDiscovery: {mode: DefaultGateway, defaultGateway: {addressFamily: FAMILY}}
          peerConfigRef: {name: peer}
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {name: peer}
spec:
  timers: {connectRetryTimeSeconds: 1, holdTimeSeconds: 9, keepAliveTimeSeconds: 3}
  families: [{afi: FAMILY, safi: unicast, advertisements: {}}]
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {name: adverts}
spec:
  advertisements:
    - {advertisementType: PodCIDR}
    - {advertisementType: Interface, interface: {name: lo}, attributes: {communities: {standard: ['65000:7']}}}
";

fn agent(star: &Star, family: &str) -> Result<Daemon> {
    let folder = star.hub.folder().join("manifests");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("bgp.yaml"), MANIFESTS.replace("FAMILY", family))?;
    let path = |name: &str| star.hub.folder().join(name).display().to_string();
    let program = rutter_binary("rutter-agent")?.display().to_string();
    let (manifests, bgpd, own) = (folder.display().to_string(), path("bgpd.sock"), path("agent.sock"));
    star.hub.spawn(
        "agent",
        &[&program, "--node", "hub", "--manifests", &manifests, "--bgpd-socket", &bgpd, "--socket", &own],
    )
}

/// The reasons of the agent's findings, with their texts.
fn findings(star: &Star) -> Result<Vec<(String, String)>> {
    let reply = http_request(&star.hub.folder().join("agent.sock"), "GET", "/v1/status", None)?;
    let status: Value = reply.json()?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let list = status["findings"].as_array().cloned().unwrap_or_default();
    Ok(list.iter().map(|finding| (text(finding, "reason"), text(finding, "message"))).collect())
}

fn wait_finding(star: &Star, reason: &str, words: &str) -> Result<()> {
    wait_for(PATIENCE, &format!("finding {reason} with {words:?}"), || {
        let findings = findings(star)?;
        ensure!(findings.iter().any(|(name, text)| name == reason && text.contains(words)), "{findings:?}");
        Ok(())
    })
}

#[test]
fn the_session_follows_the_default_route() {
    run("default-gateway", &["one", "two"], |star| {
        let hub = &star.hub;
        let first = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let second = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let _bgpd = star.bgpd("instances: []\n")?;
        let _agent = agent(star, "ipv4")?;
        wait_finding(star, "NoDefaultGateway", "no such route")?;

        // A default route appears: its gateway is the peer, whatever its ASN.
        hub.ip(&["route", "add", "default", "via", "10.0.1.2", "dev", "eth1", "metric", "100"])?;
        first.wait_established("10.0.1.1")?;
        ensure!(first.wait_path("172.20.1.0/24")?.as_path == "65000", "the AS path");

        // Addresses of an interface come and go with it; the session does not notice.
        let before = first.wait_established("10.0.1.1")?;
        hub.ip(&["addr", "add", "10.9.9.9/32", "dev", "lo"])?;
        let path = first.wait_path("10.9.9.9/32")?;
        ensure!(path.communities.contains("65000:7"), "{path:?}");
        hub.ip(&["addr", "del", "10.9.9.9/32", "dev", "lo"])?;
        first.wait_gone("10.9.9.9/32")?;
        first.ensure_same_session("10.0.1.1", &before)?;

        // A worse route changes nothing, a better one moves the session.
        hub.ip(&["route", "add", "default", "via", "10.0.2.2", "dev", "eth2", "metric", "200"])?;
        second.ensure_absent_for("172.20.1.0/24", Duration::from_secs(1))?;
        first.ensure_same_session("10.0.1.1", &before)?;
        hub.ip(&["route", "add", "default", "via", "10.0.2.2", "dev", "eth2", "metric", "50"])?;
        second.wait_established("10.0.2.1")?;
        second.wait_path("172.20.1.0/24")?;
        first.wait_down("10.0.1.1", Duration::from_secs(10))?;
        first.wait_gone("172.20.1.0/24")?;

        // The link of the better one goes down: back again.
        hub.ip(&["link", "set", "eth2", "down"])?;
        first.wait_established("10.0.1.1")?;
        first.wait_path("172.20.1.0/24")?;

        // No default route: no peer, and a finding that says so.
        hub.ip(&["route", "del", "default", "dev", "eth1"])?;
        first.wait_down("10.0.1.1", Duration::from_secs(10))?;
        wait_finding(star, "NoDefaultGateway", "no such route")
    });
}

#[test]
fn an_ipv6_gateway_that_is_not_link_local() {
    run("default-gateway-v6", &["one"], |star| {
        let hub = &star.hub;
        let router = star.peer(1)?.frr(&frr(1, 65_001, "fd00:1::1", Wants::default()))?;
        let _bgpd = star.bgpd("instances: []\n")?;
        let _agent = agent(star, "ipv6")?;
        hub.ip(&["-6", "route", "add", "default", "via", "fe80::1", "dev", "eth1", "metric", "10"])?;
        wait_finding(star, "NoDefaultGateway", "link-local")?;
        hub.ip(&["-6", "route", "add", "default", "via", "fd00:1::2", "dev", "eth1", "metric", "1024"])?;
        router.wait_established("fd00:1::1")?;
        router.wait_path("fd00:20:1::/64")?;
        Ok(())
    });
}
