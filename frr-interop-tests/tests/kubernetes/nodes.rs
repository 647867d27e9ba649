//! Three nodes on a control plane: each with its bgpd, its agent that listens, and the agent's pod; FRR as their ToR.
//!
//! Everything is named after the test, so that tests share a control plane: nodes `<test>-w1` to `-w3`, the namespace
//! `<test>` for the pods, objects `<test>`, advertisements with label `advertise: <test>`.

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{PATIENCE, Star};
use rutter_lab::kube::{ControlPlane, Node, Pod};
use rutter_lab::{Agent, Bgpd, Frr, Ran, wait_for};
use serde_json::{Value, json};

use crate::cluster;

pub(crate) const TOR_ASN: u32 = 65_000;
const NODE_ASN: u32 = 65_001;
/// The port that agents listen on.
const AGENT_PORT: u16 = 9972;

/// The nodes and the ToR.
pub(crate) struct Rack<'c> {
    pub(crate) test: &'static str,
    pub(crate) cluster: &'c ControlPlane,
    pub(crate) star: Star,
    pub(crate) tor: Frr,
    pub(crate) nodes: Vec<RackNode>,
}

/// One node.
pub(crate) struct RackNode {
    pub(crate) agent: Agent,
    pub(crate) bgpd: Bgpd,
}

impl<'c> Rack<'c> {
    /// Starts everything and waits until every session is established.
    pub(crate) fn start(test: &'static str, cluster: &'c ControlPlane) -> Result<Self> {
        let star = Star::new(test, &["w1", "w2", "w3"])?;
        let tor = star.hub.frr(&frr())?;
        cluster.apply(&objects(test))?;
        let mut nodes = Vec::new();
        for number in 1..=3 {
            nodes.push(node(test, cluster, &star, number)?);
        }
        let rack = Self { test, cluster, star, tor, nodes };
        for number in 1..=3 {
            rack.established(number, true)?;
        }
        Ok(rack)
    }

    /// Waits until the session of a node is up, or down.
    pub(crate) fn established(&self, number: u8, up: bool) -> Result<()> {
        let neighbor = format!("10.0.{number}.2");
        wait_for(PATIENCE, &format!("the session with {neighbor} to be up: {up}"), || {
            let shown = self.tor.show_json("show bgp ipv4 unicast summary json")?;
            let state = &shown["peers"][&neighbor]["state"];
            ensure!((*state == "Established") == up, "{state}");
            Ok(())
        })
    }

    /// rutterctl on the first node, as a person would run it there; its failure is for the caller to judge.
    pub(crate) fn rutterctl(&self, words: &[&str]) -> Result<Ran> {
        let line: Vec<&str> = ["rutterctl", "--all-nodes", "--namespace", self.test]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        self.cluster.run_on(self.star.peer(1)?, &line)
    }

    /// The same with `-o json`, whatever the exit status.
    pub(crate) fn rutterctl_json(&self, words: &[&str]) -> Result<Value> {
        let ran = self.rutterctl(&[words, &["-o", "json"]].concat())?;
        serde_json::from_str(&ran.stdout).with_context(|| format!("{words:?}: {ran:?}"))
    }

    /// Waits until FRR has a prefix from these nodes and from no other.
    pub(crate) fn heard_from(&self, prefix: &str, numbers: &[u8]) -> Result<()> {
        wait_for(PATIENCE, &format!("{prefix} from {numbers:?}"), || {
            let shown = self.tor.show_json(&format!("show bgp ipv4 unicast {prefix} json"))?;
            let paths = shown["paths"].as_array().cloned().unwrap_or_default();
            let mut from: Vec<String> = paths
                .iter()
                .map(|path| path["peer"]["peerId"].as_str().unwrap_or_default().to_owned())
                .collect();
            from.sort_unstable();
            let expected: Vec<String> = numbers.iter().map(|number| format!("10.0.{number}.2")).collect();
            ensure!(from == expected, "{from:?}");
            Ok(())
        })
    }

    /// `<test>-w1` and so on.
    pub(crate) fn name(&self, number: u8) -> String {
        format!("{}-w{number}", self.test)
    }
}

fn node(test: &str, cluster: &ControlPlane, star: &Star, number: u8) -> Result<RackNode> {
    let (host, name) = (star.peer(number.into())?, format!("{test}-w{number}"));
    let at = cluster.attach(host)?;
    let internal = format!("10.0.{number}.2");
    let pod_cidr = format!("10.24{number}.0.0/24");
    cluster.write_node(&Node {
        name: &name,
        labels: &[("rack", test)],
        pod_cidrs: &[&pod_cidr],
        internal_ips: &[&internal],
    })?;
    cluster.write(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig", "metadata": {"name": name},
        "spec": {"bgpInstances": [{"name": "main", "localASN": NODE_ASN, "peers": [{
            "name": "tor", "peerAddress": format!("10.0.{number}.1"), "peerASN": TOR_ASN,
            "peerConfigRef": {"name": test},
        }]}]},
    }))?;
    let bgpd = host.bgpd("instances: []\n")?;
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let listen = format!("0.0.0.0:{AGENT_PORT}");
    let agent = host.agent(&name, &["--kubeconfig", &kubeconfig, "--listen", &listen])?;
    cluster.write_pod(&Pod {
        namespace: test,
        name: &format!("rutter-agent-{number}"),
        labels: &[("app.kubernetes.io/name", "rutter-agent")],
        node: &name,
        ip: &at.address.to_string(),
        ports: &[("http", AGENT_PORT)],
        unready: false,
    })?;
    Ok(RackNode { agent, bgpd })
}

fn frr() -> String {
    let mut text = "router bgp 65000\n bgp router-id 10.0.0.1\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n no bgp network import-check\n".to_owned();
    for number in 1..=3 {
        text.push_str(&format!(
            " neighbor 10.0.{number}.2 remote-as {NODE_ASN}\n neighbor 10.0.{number}.2 timers connect 1\n"
        ));
    }
    text.push_str(" address-family ipv4 unicast\n  maximum-paths 8\n  network 203.0.113.0/24\n");
    for number in 1..=3 {
        text.push_str(&format!("  neighbor 10.0.{number}.2 activate\n"));
    }
    text + " exit-address-family\n"
}

fn objects(test: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{ name: {test} }}
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {{ name: {test} }}
spec:
  timers: {{ connectRetryTimeSeconds: 1, holdTimeSeconds: 9, keepAliveTimeSeconds: 3 }}
  families: [{{ afi: ipv4, safi: unicast, advertisements: {{ matchLabels: {{ advertise: {test} }} }} }}]
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {{ name: {test}, labels: {{ advertise: {test} }} }}
spec:
  advertisements:
    - {{ advertisementType: PodCIDR }}
    - advertisementType: Service
      service: {{ addresses: [LoadBalancerIP] }}
      selector: {{ matchLabels: {{ expose: {test} }} }}
      attributes: {{ communities: {{ standard: [\"65000:99\"] }} }}
"
    )
}

/// Runs a test body with a rack on the shared control plane; on failure the logs of all daemons go with the error.
#[track_caller]
pub(crate) fn run(test: &'static str, body: impl FnOnce(&Rack<'_>) -> Result<()>) {
    let rack = cluster::shared().and_then(|cluster| Rack::start(test, cluster));
    let rack = rack.unwrap_or_else(|error| panic!("{error:#}"));
    if let Err(error) = body(&rack) {
        panic!("{error:#}\n{}", rack.star.lab.logs());
    }
}
