//! Moving over from Cilium's BGP control plane: its definitions and its objects stay as they are, rutter goes on with them, and
//! the definitions can be replaced by rutter's underneath without anybody on the network noticing.

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star, run};
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Frr, wait_for};
use serde_json::{Value, json};

use crate::cluster;
use crate::operator::{await_node_config, node_config, operate};

const NODE: &str = "moving";
const RUTTER: &str = "10.0.1.1";
const ROUTER: &str = "10.0.1.2";
/// As Cilium's CiliumNode has it; the Node itself says something else.
const POD_CIDR: &str = "10.77.1.0/24";

/// What a person wrote for Cilium.
const WRITTEN: &str = "
apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: { name: moving }
spec:
  nodeSelector: { matchLabels: { bgp: moving } }
  bgpInstances:
    - name: main
      localASN: 65001
      peers:
        - { name: tor, peerASN: 65000, peerAddress: 10.0.1.2, peerConfigRef: { name: moving } }
        - { name: gone-soon, peerASN: 65000, peerAddress: 10.0.1.9, peerConfigRef: { name: moving } }
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: { name: moving }
spec:
  timers: { connectRetryTimeSeconds: 1, holdTimeSeconds: 9, keepAliveTimeSeconds: 3 }
  families: [{ afi: ipv4, safi: unicast, advertisements: { matchLabels: { test: moving } } }]
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: { name: moving, labels: { test: moving } }
spec:
  advertisements:
    - advertisementType: PodCIDR
    - advertisementType: Service
      service: { addresses: [LoadBalancerIP] }
      selector: { matchLabels: { test: moving } }
";

#[test]
fn a_cluster_that_ran_cilium_goes_on_with_rutter() {
    run("moving", &["frr"], |star| {
        let cluster = ControlPlane::start("moving-plane", &[])?;
        cluster.install_crds(&cluster::real_crds())?;
        let left = leave_as_cilium_did(&cluster)?;
        let frr = router(star)?;
        cluster.attach(&star.hub)?;
        let _bgpd = star.bgpd("instances: []\n")?;
        let operator = operate(&cluster, &[])?;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let agent = star.hub.agent(NODE, &["--kubeconfig", &kubeconfig])?;
        frr.wait_path(POD_CIDR)?;

        // The node configuration is the one that Cilium's operator made, and its status is ours now.
        let config = await_node_config(&cluster, NODE, |config| {
            let peers = config["status"]["bgpInstances"][0]["peers"].as_array().cloned().unwrap_or_default();
            peers.iter().any(|peer| peer["name"] == "tor" && peer["peeringState"] == "established")
        })?;
        ensure!(config["metadata"]["uid"] == left, "it was made anew: {config:#}");

        // What Cilium's operator had written goes when the person takes it back.
        let without =
            WRITTEN.lines().filter(|line| !line.contains("gone-soon")).collect::<Vec<_>>().join("\n");
        cluster.apply(&without)?;
        let config = await_node_config(&cluster, NODE, |config| {
            config["spec"]["bgpInstances"][0]["peers"].as_array().is_some_and(|peers| peers.len() == 1)
        })?;
        ensure!(config["metadata"]["uid"] == left, "it was made anew: {config:#}");

        // Our definitions in place of Cilium's: nothing happens, and the next change still takes effect.
        let before = heard(&frr)?;
        cluster.install_crds(&cluster::checkout("deploy/crds"))?;
        std::thread::sleep(std::time::Duration::from_secs(3));
        ensure!(heard(&frr)? == before, "FRR had heard {before}, then {}", heard(&frr)?);
        cluster.write(&service("172.31.1.1"))?;
        frr.wait_path("172.31.1.1/32")?;

        // And back: rutter's processes go, the definitions are Cilium's again, every object is still right.
        let before = heard(&frr)?;
        agent.daemon().kill()?;
        operator.daemon().kill()?;
        cluster.install_crds(&cluster::real_crds())?;
        let config = node_config(&cluster, NODE)?.context("the node configuration has gone")?;
        ensure!(
            config["metadata"]["uid"] == left && config["spec"]["bgpInstances"][0]["localASN"] == 65001,
            "{config:#}"
        );
        ensure!(heard(&frr)? == before, "FRR had heard {before}, then {}", heard(&frr)?);
        Ok(())
    });
}

/// What stands in a cluster when Cilium's operator and agents have been stopped. The node configuration's uid.
fn leave_as_cilium_did(cluster: &ControlPlane) -> Result<Value> {
    cluster.write_node(&Node {
        name: NODE,
        labels: &[("bgp", "moving")],
        pod_cidrs: &["10.88.1.0/24"],
        internal_ips: &[RUTTER],
    })?;
    cluster.write(&json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": NODE, "labels": {"bgp": "moving"}},
        "spec": {
            "addresses": [{"type": "InternalIP", "ip": RUTTER}],
            "ipam": {"podCIDRs": [POD_CIDR]},
        },
    }))?;
    cluster.apply(WRITTEN)?;
    let owner = cluster.get("ciliumbgpclusterconfig", "moving")?;
    let config = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumBGPNodeConfig",
        "metadata": {
            "name": NODE,
            "ownerReferences": [{
                "apiVersion": "cilium.io/v2", "kind": "CiliumBGPClusterConfig", "name": "moving",
                "uid": owner["metadata"]["uid"], "controller": true,
            }],
        },
        "spec": {"bgpInstances": owner["spec"]["bgpInstances"]},
    });
    let path = "/apis/cilium.io/v2/ciliumbgpnodeconfigs";
    let target = format!("{path}?fieldManager=cilium-operator-generic");
    let reply = cluster.request("POST", &target, Some(&config.to_string()))?;
    ensure!(reply.status == 201, "{reply:?}");
    let made = reply.json()?;
    let status = json!([{"op": "replace", "path": "/status", "value": {"bgpInstances": [{
        "name": "main", "localASN": 65001,
        "peers": [{"name": "tor", "peerAddress": ROUTER, "peerASN": 65000, "peeringState": "idle"}],
    }]}}]);
    let target = format!("{path}/{NODE}/status?fieldManager=CiliumBGPNodeConfigStatusReconciler");
    let reply = cluster.connection()?.send(
        "PATCH",
        &target,
        "application/json-patch+json",
        Some(&status.to_string()),
    )?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(made["metadata"]["uid"].clone())
}

fn router(star: &Star) -> Result<Frr> {
    star.peer(1)?.frr(&format!(
        "router bgp 65000\n bgp router-id {ROUTER}\n no bgp ebgp-requires-policy\n \
         neighbor {RUTTER} remote-as 65001\n neighbor {RUTTER} timers connect 1\n"
    ))
}

/// What the router has heard so far, in words that must not change.
fn heard(frr: &Frr) -> Result<String> {
    wait_for(PATIENCE, "FRR's counters", || {
        let shown = frr.show_json(&format!("show bgp neighbors {RUTTER} json"))?;
        let peer = &shown[RUTTER];
        ensure!(peer["bgpState"] == "Established", "{}", peer["bgpState"]);
        let updates = peer["messageStats"]["updatesRecv"].as_u64().context("FRR counts no UPDATEs")?;
        Ok(format!("{updates} UPDATEs, {} session(s)", peer["connectionsEstablished"]))
    })
}

fn service(address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "moving", "namespace": "default", "labels": {"test": "moving"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    })
}
