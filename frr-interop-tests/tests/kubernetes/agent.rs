//! The agent on a real API server: what it reads takes effect, what it knows of the sessions it writes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{PATIENCE, run};
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::cluster;
use crate::one_node::{OneNode, kubeconfig, words};

/// Cilium's own: the status is written at most this often.
const INTERVAL: Duration = Duration::from_secs(5);

fn node_config(node: &OneNode<'_>) -> Result<Value> {
    node.cluster.get("ciliumbgpnodeconfig", node.name)
}

/// Waits until the status of the node configuration's one peer is right.
fn wait_peer(node: &OneNode<'_>, what: &str, right: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(PATIENCE, what, || {
        let config = node_config(node)?;
        let peer = &config["status"]["bgpInstances"][0]["peers"][0];
        ensure!(right(peer), "{:#}", config["status"]);
        Ok(config["status"].clone())
    })
}

#[test]
fn objects_of_the_server_take_effect() {
    run("agent", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "agent", &[])?;
        node.write_service("agent-one", "172.30.1.1")?;
        node.wait_routes(&["10.200.1.0/24", "172.30.1.1/32"])?;
        // Another address, then none.
        node.write_service("agent-one", "172.30.1.2")?;
        node.wait_routes(&["10.200.1.0/24", "172.30.1.2/32"])?;
        node.cluster.delete("service", "agent-one")?;
        node.wait_routes(&["10.200.1.0/24"])?;
        // The instances go with the node configuration, and come with the next one.
        let session = node.session()?;
        let config = node_config(&node)?;
        node.cluster.delete("ciliumbgpnodeconfig", node.name)?;
        node.wait_routes(&[])?;
        let spec = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig",
            "metadata": {"name": node.name}, "spec": config["spec"]});
        node.cluster.write(&spec)?;
        node.wait_routes(&["10.200.1.0/24"])?;
        ensure!(
            node.session()?.incarnation != session.incarnation,
            "the session was to end with its instance"
        );
        Ok(())
    });
}

#[test]
fn the_status_tells_the_sessions() {
    run("agent-status", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "agent-status", &[])?;
        let status = wait_peer(&node, "the session to be reported", |peer| {
            peer["peeringState"] == "established" && peer["routeCount"][0]["advertised"] == 1
        })?;
        let instance = &status["bgpInstances"][0];
        ensure!(instance["name"] == "main" && instance["localASN"] == 65001, "{instance:#}");
        let peer = &instance["peers"][0];
        ensure!(
            peer["name"] == "tor" && peer["peerASN"] == 65000 && peer["peerAddress"] == "10.0.1.2",
            "{peer:#}"
        );
        let timers = json!({"appliedHoldTimeSeconds": 9, "appliedKeepaliveSeconds": 3});
        ensure!(peer["timers"] == timers, "{peer:#}");
        let count = &peer["routeCount"][0];
        ensure!(count["afi"] == "ipv4" && count["safi"] == "unicast" && count["advertised"] == 1, "{peer:#}");
        // FRR sends a route back to where it came from.
        ensure!(count["received"].is_u64() && peer["routeCount"][1].is_null(), "{peer:#}");
        let established = peer["establishedTime"].as_str().context("no establishedTime")?.to_owned();
        ensure!(established.ends_with('Z'), "{established}");
        let condition = &status["conditions"][0];
        ensure!(condition["type"] == "cilium.io/BGPReconcileError", "{condition:#}");
        ensure!(
            condition["status"] == "False" && condition["reason"] == "ReconcileSucceeded",
            "{condition:#}"
        );

        // Its manager is Cilium's, and it owns the status only.
        let managed = node.cluster.kubectl(&[
            "get",
            "ciliumbgpnodeconfig",
            node.name,
            "--show-managed-fields",
            "-o",
            "json",
        ])?;
        let managed: Value = serde_json::from_str(&managed)?;
        let ours = managed["metadata"]["managedFields"].as_array().into_iter().flatten();
        let ours: Vec<_> =
            ours.filter(|entry| entry["manager"] == "CiliumBGPNodeConfigStatusReconciler").collect();
        ensure!(ours.len() == 1 && ours[0]["subresource"] == "status", "{managed:#}");

        // An error: the condition turns, and its time with it.
        let since = condition["lastTransitionTime"].clone();
        std::thread::sleep(Duration::from_millis(1100));
        node.cluster.delete("ciliumbgppeerconfig", node.name)?;
        let status = wait_for(PATIENCE, "the error to be reported", || {
            let status = node_config(&node)?["status"].clone();
            ensure!(status["conditions"][0]["status"] == "True", "{status:#}");
            Ok(status)
        })?;
        let condition = &status["conditions"][0];
        ensure!(condition["reason"] == "ReconcileFailed", "{condition:#}");
        ensure!(
            condition["message"].as_str().is_some_and(|text| text.starts_with("main: ")),
            "{condition:#}"
        );
        ensure!(condition["lastTransitionTime"] != since, "{condition:#}");
        Ok(())
    });
}

#[test]
fn the_status_is_written_rarely_and_only_on_change() {
    run("agent-rarely", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "agent-rarely", &[])?;
        wait_peer(&node, "the session to be reported", |peer| peer["peeringState"] == "established")?;
        // Nothing changes: nothing is written.
        std::thread::sleep(INTERVAL + Duration::from_secs(2));
        let quiet = node.asked()?.patches;
        std::thread::sleep(3 * INTERVAL);
        ensure!(node.asked()?.patches == quiet, "a status that did not change was written");
        // The number of routes changes all the time.
        let begun = Instant::now();
        let mut number = 0;
        while begun.elapsed() < 4 * INTERVAL {
            number += 1;
            node.write_service(&format!("agent-rarely-{number}"), &format!("172.30.2.{}", number % 250))?;
            std::thread::sleep(Duration::from_millis(300));
        }
        let written = node.asked()?.patches - quiet;
        let most = u64::from(u32::try_from(begun.elapsed().as_millis())?) / 5000 + 1;
        println!("{number} changes in {:?}: {written} writes of the status", begun.elapsed());
        ensure!((2..=most).contains(&written), "{written} writes, at most {most}");
        Ok(())
    });
}

#[test]
fn a_status_that_nobody_wants_is_cleared_once() {
    run("agent-no-status", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "agent-no-status", &[])?;
        wait_peer(&node, "the session to be reported", |peer| peer["peeringState"] == "established")?;
        node.agent.daemon().kill()?;
        let config = kubeconfig(node.cluster);
        let options = words(&config, &["--enable-bgp-control-plane-status-report=false"]);
        let silent = star.hub.agent(node.name, &options)?;
        wait_for(PATIENCE, "the status to be cleared", || {
            let status = node_config(&node)?["status"].clone();
            ensure!(status.as_object().is_none_or(serde_json::Map::is_empty), "{status:#}");
            Ok(())
        })?;
        std::thread::sleep(2 * INTERVAL);
        let status = node_config(&node)?["status"].clone();
        ensure!(status.as_object().is_none_or(serde_json::Map::is_empty), "{status:#}");
        silent.daemon().ensure_running()
    });
}
