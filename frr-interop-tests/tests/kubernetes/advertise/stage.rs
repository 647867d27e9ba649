//! What the tests of advertisements share: one node of the shared cluster with agent and bgpd, and an FRR beside it.
//!
//! The node's CiliumBGPNodeConfig is written by hand, so that a test needs no operator. Every test has a namespace, a node
//! and a label of its own, all called like the test.

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star};
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Agent, Bgpd, Frr, wait_for};
use serde_json::{Value, json};

use crate::cluster;

/// ASN of the node.
pub(crate) const NODE_ASN: u32 = 65_000;

/// A node and its router.
pub(crate) struct Stage {
    pub(crate) cluster: &'static ControlPlane,
    pub(crate) star: Star,
    pub(crate) frr: Frr,
    pub(crate) agent: Agent,
    pub(crate) test: String,
    router_asn: u32,
    _bgpd: Bgpd,
}

/// Runs a test on a stage; on failure the logs of all daemons go with the error.
#[track_caller]
pub(crate) fn run(test: &str, router_asn: u32, options: &[&str], body: impl FnOnce(&Stage) -> Result<()>) {
    let outcome = Stage::new(test, router_asn, options)
        .map_err(|error| format!("{error:#}"))
        .and_then(|stage| body(&stage).map_err(|error| format!("{error:#}\n{}", stage.star.lab.logs())));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

impl Stage {
    fn new(test: &str, router_asn: u32, options: &[&str]) -> Result<Self> {
        let cluster = cluster::shared()?;
        let star = Star::new(test, &["frr"])?;
        cluster.attach(&star.hub)?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": test}});
        cluster.apply(&namespace.to_string())?;
        cluster.write_node(&Node {
            name: test,
            pod_cidrs: &["172.20.1.0/24", "fd00:20:1::/64"],
            internal_ips: &["10.0.1.1"],
            ..Node::default()
        })?;
        let select = json!({"matchLabels": {"test": test}});
        cluster.write(&json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig", "metadata": {"name": test},
            "spec": {
                "timers": {"connectRetryTimeSeconds": 1, "holdTimeSeconds": 9, "keepAliveTimeSeconds": 3},
                "families": [
                    {"afi": "ipv4", "safi": "unicast", "advertisements": select},
                    {"afi": "ipv6", "safi": "unicast", "advertisements": select},
                ],
            },
        }))?;
        let frr = star.peer(1)?.frr(&frr_config(router_asn))?;
        let bgpd = star.bgpd("instances: []\n")?;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let options: Vec<&str> =
            ["--kubeconfig", &kubeconfig].into_iter().chain(options.iter().copied()).collect();
        let agent = star.hub.agent(test, &options)?;
        let stage = Self { cluster, star, frr, agent, test: test.to_owned(), router_asn, _bgpd: bgpd };
        stage.configure_node(router_asn)?;
        Ok(stage)
    }

    /// Writes the node's configuration, with the router's ASN as this test believes it to be.
    pub(crate) fn configure_node(&self, router_asn: u32) -> Result<()> {
        let peer = |name: &str, address: &str| json!({"name": name, "peerAddress": address, "peerASN": router_asn, "peerConfigRef": {"name": self.test}});
        self.cluster.write(&json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig", "metadata": {"name": self.test},
            "spec": {"bgpInstances": [{
                "name": "main", "localASN": NODE_ASN, "routerID": "192.0.2.1",
                "peers": [peer("frr", "10.0.1.2"), peer("frr-v6", "fd00:1::2")],
            }]},
        }))
    }

    /// Writes the advertisement that the node's peers select.
    pub(crate) fn advertise(&self, entries: &Value) -> Result<()> {
        self.cluster.write(&json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPAdvertisement",
            "metadata": {"name": self.test, "labels": {"test": self.test}}, "spec": {"advertisements": entries},
        }))
    }

    /// A Service of the test's namespace, labelled with its name; its load-balancer addresses stand in for LB IPAM.
    pub(crate) fn service(&self, name: &str, spec: &Value, addresses: &[&str]) -> Result<()> {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": self.test, "labels": {"app": name, "test": self.test}},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
        });
        if let (Some(into), Some(more)) = (service["spec"].as_object_mut(), spec.as_object()) {
            into.extend(more.clone());
        }
        if !addresses.is_empty() {
            let ingress: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
            service["status"] = json!({"loadBalancer": {"ingress": ingress}});
        }
        self.cluster.write(&service)
    }

    /// Both sessions are up.
    pub(crate) fn wait_established(&self) -> Result<()> {
        self.frr.wait_established("10.0.1.1")?;
        self.frr.wait_established("fd00:1::1")?;
        Ok(())
    }

    /// Waits until the agent reports a reason, and returns its message.
    pub(crate) fn wait_finding(&self, reason: &str) -> Result<String> {
        wait_for(PATIENCE, &format!("finding {reason}"), || {
            let status = self.agent.get("/v1/status")?;
            let found = status["findings"].as_array().into_iter().flatten();
            let mut found = found.filter(|finding| finding["reason"] == reason);
            let first = found.next().and_then(|finding| finding["message"].as_str()).map(str::to_owned);
            ensure!(first.is_some(), "{}", status["findings"]);
            Ok(first.unwrap_or_default())
        })
    }

    /// The ASN the router really has.
    pub(crate) fn router_asn(&self) -> u32 {
        self.router_asn
    }
}

fn frr_config(asn: u32) -> String {
    let neighbor = |address: &str| {
        format!(" neighbor {address} remote-as {NODE_ASN}\n neighbor {address} timers connect 1\n")
    };
    format!(
        "router bgp {asn}\n bgp router-id 10.0.1.2\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n{}{} \
         address-family ipv4 unicast\n  neighbor 10.0.1.1 activate\n exit-address-family\n \
         address-family ipv6 unicast\n  neighbor fd00:1::1 activate\n exit-address-family\nexit\n",
        neighbor("10.0.1.1"),
        neighbor("fd00:1::1"),
    )
}
