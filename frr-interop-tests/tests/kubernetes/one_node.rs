//! One node of a cluster: bgpd, the agent and FRR as its router, with objects of its own names.
//!
//! The node configuration is written by the test, as an operator would write it; there is no operator.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Session, Star};
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Agent, Bgpd, Frr, HttpConnection, wait_for};
use serde_json::{Value, json};

/// FRR's address for rutter's node.
const NODE: &str = "10.0.1.1";

/// A node that runs.
pub(crate) struct OneNode<'t> {
    pub(crate) cluster: &'t ControlPlane,
    /// Name of the node and of everything that belongs to the test.
    pub(crate) name: &'t str,
    pub(crate) frr: Frr,
    pub(crate) agent: Agent,
    pub(crate) _bgpd: Bgpd,
}

/// What an agent has asked of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) lists: u64,
    pub(crate) watches: u64,
    pub(crate) patches: u64,
    pub(crate) all: u64,
}

impl<'t> OneNode<'t> {
    /// Starts everything and waits for the session. The agent gets these options besides its usual ones.
    pub(crate) fn start(
        cluster: &'t ControlPlane,
        star: &Star,
        name: &'t str,
        options: &[&str],
    ) -> Result<Self> {
        cluster.attach(&star.hub)?;
        cluster.write_node(&Node {
            name,
            pod_cidrs: &["10.200.1.0/24"],
            internal_ips: &["192.0.2.1"],
            ..Node::default()
        })?;
        cluster.apply(&objects(name))?;
        let frr = star.peer(1)?.frr(&format!(
            "router bgp 65000\n bgp router-id 10.0.1.2\n no bgp ebgp-requires-policy\n \
             neighbor {NODE} remote-as 65001\n neighbor {NODE} timers connect 1\n"
        ))?;
        let bgpd = star.bgpd("instances: []\n")?;
        let agent = star.hub.agent(name, &words(&kubeconfig(cluster), options))?;
        let node = Self { cluster, name, frr, agent, _bgpd: bgpd };
        node.frr.wait_established(NODE)?;
        node.wait_routes(&["10.200.1.0/24"])?;
        Ok(node)
    }

    /// A Service of type LoadBalancer with this address, which the test's advertisement selects.
    pub(crate) fn write_service(&self, service: &str, address: &str) -> Result<()> {
        self.cluster.write(&self.service(service, address))
    }

    pub(crate) fn service(&self, service: &str, address: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": "default", "labels": {"test": self.name}},
            "spec": {
                "type": "LoadBalancer",
                "allocateLoadBalancerNodePorts": false,
                "ports": [{"port": 80}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
        })
    }

    /// Changes the address of a Service on a connection of the caller.
    pub(crate) fn move_service(
        &self,
        connection: &mut HttpConnection,
        service: &str,
        address: &str,
    ) -> Result<()> {
        let target = format!("/api/v1/namespaces/default/services/{service}/status");
        let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string();
        let reply = connection.send("PATCH", &target, "application/merge-patch+json", Some(&patch))?;
        ensure!(reply.status == 200, "PATCH {target} answers {}: {}", reply.status, reply.body);
        Ok(())
    }

    /// The prefixes that FRR has from the node.
    pub(crate) fn routes(&self) -> Result<BTreeSet<String>> {
        let shown = self.frr.show_json("show bgp ipv4 unicast json")?;
        let routes = shown["routes"].as_object().context("FRR shows no routes")?;
        Ok(routes.keys().cloned().collect())
    }

    /// Waits until FRR has exactly these prefixes.
    pub(crate) fn wait_routes(&self, prefixes: &[&str]) -> Result<()> {
        let wanted: BTreeSet<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        wait_for(PATIENCE, "FRR to have exactly the routes that are due", || {
            let routes = self.routes()?;
            let missing: Vec<_> = wanted.difference(&routes).collect();
            let surplus: Vec<_> = routes.difference(&wanted).collect();
            ensure!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
            Ok(())
        })
        .map_err(|error| error.context(format!("the agent says {:#}", self.status().unwrap_or_default())))
    }

    /// How many UPDATE messages FRR has got from the node.
    pub(crate) fn updates(&self) -> Result<u64> {
        let shown = self.frr.show_json(&format!("show bgp neighbors {NODE} json"))?;
        shown[NODE]["messageStats"]["updatesRecv"].as_u64().context("FRR counts no UPDATEs")
    }

    pub(crate) fn session(&self) -> Result<Session> {
        self.frr.session(NODE.parse()?)
    }

    /// What the agent says about itself.
    pub(crate) fn status(&self) -> Result<Value> {
        self.agent.get("/v1/status")
    }

    /// Waits until the agent has a finding of this reason, or has none.
    pub(crate) fn wait_finding(&self, reason: &str, there: bool, within: Duration) -> Result<()> {
        wait_for(within, &format!("the finding {reason}: {there}"), || {
            let status = self.status()?;
            let findings = status["findings"].as_array().cloned().unwrap_or_default();
            ensure!(findings.iter().any(|finding| finding["reason"] == reason) == there, "{findings:?}");
            Ok(())
        })
    }

    /// What the agent has asked of the server since it started.
    pub(crate) fn asked(&self) -> Result<Asked> {
        let status = self.status()?;
        let mut asked = Asked::default();
        for row in status["apiServer"]["requests"].as_array().into_iter().flatten() {
            let count = row["count"].as_u64().unwrap_or_default();
            asked.all += count;
            match row["verb"].as_str() {
                Some("list") => asked.lists += count,
                Some("watch") => asked.watches += count,
                Some("patch") => asked.patches += count,
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// The options that lead an agent to this server.
pub(crate) fn kubeconfig(cluster: &ControlPlane) -> String {
    format!("--kubeconfig={}", cluster.kubeconfig().display())
}

pub(crate) fn words<'w>(first: &'w str, more: &[&'w str]) -> Vec<&'w str> {
    std::iter::once(first).chain(more.iter().copied()).collect()
}

/// What an operator and a person would write for this node.
fn objects(name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2
kind: CiliumBGPNodeConfig
metadata: {{ name: {name} }}
spec:
  bgpInstances:
    - name: main
      localASN: 65001
      routerID: 10.0.1.1
      peers:
        - {{ name: tor, peerASN: 65000, peerAddress: 10.0.1.2, peerConfigRef: {{ name: {name} }} }}
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {{ name: {name} }}
spec:
  timers: {{ connectRetryTimeSeconds: 1, holdTimeSeconds: 9, keepAliveTimeSeconds: 3 }}
  families: [{{ afi: ipv4, safi: unicast, advertisements: {{ matchLabels: {{ test: {name} }} }} }}]
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {{ name: {name}, labels: {{ test: {name} }} }}
spec:
  advertisements:
    - advertisementType: PodCIDR
    - advertisementType: Service
      service: {{ addresses: [LoadBalancerIP] }}
      selector: {{ matchLabels: {{ test: {name} }} }}
"
    )
}
