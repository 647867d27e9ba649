//! rutter-operator with other switches than the usual ones, and in clusters that somebody else has left behind.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::Operator;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::cluster;
use crate::operator::{await_node_config, cluster_config, node_config, operate, read};

fn stop(operator: &Operator) -> Result<()> {
    operator.daemon().terminate(Duration::from_secs(10)).map(drop)
}

fn select(cluster: &ControlPlane, node: &str) -> Result<()> {
    cluster.write_node(&Node { name: node, labels: &[("bgp", "sw")], ..Node::default() })
}

/// Type, status and reason of all conditions of an object, as the server lists them.
fn conditions(cluster: &ControlPlane, plural: &str, name: &str) -> Result<Vec<String>> {
    let object = read(cluster, plural, name)?.context("it does not exist")?;
    let words = |condition: &Value| {
        ["type", "status", "reason"]
            .map(|key| condition[key].as_str().unwrap_or_default().to_owned())
            .join(" ")
    };
    Ok(object["status"]["conditions"]
        .as_array()
        .map(|list| list.iter().map(words).collect())
        .unwrap_or_default())
}

fn await_conditions(cluster: &ControlPlane, plural: &str, name: &str, wanted: &[&str]) -> Result<()> {
    wait_for(PATIENCE, &format!("the conditions of {name}"), || {
        let found = conditions(cluster, plural, name)?;
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
}

const CLUSTER: &str = "ciliumbgpclusterconfigs";
const PEER: &str = "ciliumbgppeerconfigs";

/// Reasons of both generations, back and forth, and no conditions at all.
#[test]
fn reasons_of_older_releases_and_no_reports_at_all() -> Result<()> {
    let cluster = cluster::private("switches", &[])?;
    select(&cluster, "sw-1")?;
    cluster.apply(&cluster_config("sw", "sw", 65001, &["sw-missing"]))?;
    cluster.apply(&cluster_config("sw-second", "sw", 65002, &[]))?;
    cluster.apply(&cluster_config("sw-none", "no-such-node", 65002, &[]))?;
    let peer = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig", "metadata": {"name": "sw-peer"},
                      "spec": {"authSecretRef": "none"}});
    cluster.apply(&peer.to_string())?;
    let old = |conflict: &str, missing: &str, none: &str| {
        [
            format!("cilium.io/ConflictingClusterConfig {conflict} ConflictingClusterConfigs"),
            format!("cilium.io/MissingPeerConfigs {missing} MissingPeerConfigs"),
            format!("cilium.io/NoMatchingNode {none} NoMatchingNode"),
        ]
    };
    let check = |name: &str, words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        await_conditions(&cluster, CLUSTER, name, &words)
    };
    let operator = operate(&cluster, &["--bgp-condition-reasons", "1.19"])?;
    check("sw", &old("False", "True", "False"))?;
    check("sw-second", &old("True", "False", "False"))?;
    check("sw-none", &old("False", "False", "True"))?;
    await_conditions(&cluster, PEER, "sw-peer", &["cilium.io/MissingAuthSecret True MissingAuthSecret"])?;
    stop(&operator)?;

    let operator = operate(&cluster, &[])?;
    check(
        "sw",
        &[
            "cilium.io/ConflictingClusterConfig False ClusterConfigValidated".to_owned(),
            "cilium.io/MissingPeerConfigs True PeerConfigsMissing".to_owned(),
            "cilium.io/NoMatchingNode False MatchingNodeSelected".to_owned(),
        ],
    )?;
    await_conditions(&cluster, PEER, "sw-peer", &["cilium.io/MissingAuthSecret True AuthSecretMissing"])?;
    stop(&operator)?;

    // Without a namespace for secrets the peer configurations' conditions stay as they are; nobody keeps them.
    let operator = operate(&cluster, &["--bgp-secrets-namespace="])?;
    let other = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig", "metadata": {"name": "sw-other"}, "spec": {}});
    cluster.apply(&other.to_string())?;
    cluster.apply(&cluster_config("sw-late", "sw", 65003, &[]))?;
    check(
        "sw-late",
        &[
            "cilium.io/ConflictingClusterConfig True ClusterConfigConflict".to_owned(),
            "cilium.io/MissingPeerConfigs False PeerConfigsResolved".to_owned(),
            "cilium.io/NoMatchingNode False MatchingNodeSelected".to_owned(),
        ],
    )?;
    ensure!(conditions(&cluster, PEER, "sw-other")?.is_empty(), "sw-other has conditions");
    stop(&operator)?;

    // No reports: what is ours goes, what is somebody else's stays, and node configurations are kept all the same.
    let foreign = json!({"op": "add", "path": "/status/conditions/-", "value": {"type": "example.com/Seen", "status": "True",
        "reason": "Looked", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}});
    cluster.kubectl(&[
        "patch",
        "ciliumbgpclusterconfig",
        "sw",
        "--subresource=status",
        "--type=json",
        "-p",
        &json!([foreign]).to_string(),
    ])?;
    let _operator = operate(&cluster, &["--enable-bgp-control-plane-status-report=false"])?;
    await_conditions(&cluster, CLUSTER, "sw", &["example.com/Seen True Looked"])?;
    await_conditions(&cluster, CLUSTER, "sw-none", &[])?;
    await_conditions(&cluster, PEER, "sw-peer", &[])?;
    select(&cluster, "sw-2")?;
    await_node_config(&cluster, "sw-2", |_| true)?;
    ensure!(conditions(&cluster, CLUSTER, "sw-none")?.is_empty(), "conditions are back");
    Ok(())
}

#[test]
fn router_ids_out_of_a_pool() -> Result<()> {
    let cluster = cluster::private("pool", &[])?;
    for node in ["pool-1", "pool-2"] {
        select(&cluster, node)?;
    }
    cluster.apply(&cluster_config("pool", "sw", 65001, &[]))?;
    let id = |node: &str| -> Result<String> {
        let config = node_config(&cluster, node)?.context("it does not exist")?;
        Ok(config["spec"]["bgpInstances"][0]["routerID"].as_str().unwrap_or_default().to_owned())
    };
    let await_id = |node: &str, wanted: &str| {
        wait_for(PATIENCE, &format!("{node} to have {wanted}"), || {
            let found = id(node)?;
            ensure!(found == wanted, "{found:?}");
            Ok(())
        })
    };
    let pool =
        ["--bgp-router-id-allocation-mode=ip-pool", "--bgp-router-id-allocation-ip-pool=10.255.0.0/30"];
    let operator = operate(&cluster, &pool)?;
    await_id("pool-1", "10.255.0.0")?;
    await_id("pool-2", "10.255.0.1")?;
    // Another run restores what it finds: the first by name gets no better one.
    cluster.delete("node", "pool-1")?;
    wait_for(PATIENCE, "pool-1 to go", || {
        ensure!(node_config(&cluster, "pool-1")?.is_none(), "it is there");
        Ok(())
    })?;
    stop(&operator)?;
    let operator = operate(&cluster, &pool)?;
    sleep(Duration::from_millis(500));
    await_id("pool-2", "10.255.0.1")?;
    select(&cluster, "pool-0")?;
    await_id("pool-0", "10.255.0.0")?;
    // An override outside of the pool, one that is free inside, one that is not.
    let change = |id: &str| {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfigOverride", "metadata": {"name": "pool-2"},
               "spec": {"bgpInstances": [{"name": "main", "routerID": id}]}})
        .to_string()
    };
    cluster.apply(&change("192.0.2.7"))?;
    await_id("pool-2", "192.0.2.7")?;
    cluster.apply(&change("10.255.0.3"))?;
    await_id("pool-2", "10.255.0.3")?;
    cluster.apply(&change("10.255.0.0"))?;
    let finding = |operator: &Operator, reason: &str| {
        wait_for(PATIENCE, reason, || {
            let status = operator.get("/v1/status")?;
            let found = status["findings"]
                .as_array()
                .is_some_and(|findings| findings.iter().any(|finding| finding["reason"] == reason));
            ensure!(found, "{:#}", status["findings"]);
            Ok(())
        })
    };
    finding(&operator, "RouterIdTaken")?;
    await_id("pool-2", "10.255.0.3")?;
    for node in ["pool-3", "pool-4", "pool-5"] {
        select(&cluster, node)?;
    }
    finding(&operator, "RouterIdPoolExhausted")?;
    stop(&operator)?;
    // A pool that is none: degraded, and nobody loses an ID.
    let bad = ["--bgp-router-id-allocation-mode=ip-pool", "--bgp-router-id-allocation-ip-pool=fd00::/64"];
    let operator = operate(&cluster, &bad)?;
    finding(&operator, "RouterIdPoolInvalid")?;
    await_id("pool-0", "10.255.0.0")?;
    stop(&operator)?;
    let _operator = operate(&cluster, &[])?;
    await_id("pool-0", "")?;
    await_node_config(&cluster, "pool-5", |_| true)?;
    Ok(())
}

/// Two configurations that were there before the operator: the older one, then the name.
#[test]
fn of_two_that_were_there_before_the_older_one_owns() -> Result<()> {
    let cluster = cluster::private("before", &[])?;
    select(&cluster, "before-1")?;
    cluster.apply(&cluster_config("z-older", "sw", 65001, &[]))?;
    sleep(Duration::from_millis(1100));
    cluster.apply(&cluster_config("a-newer", "sw", 65002, &[]))?;
    let _operator = operate(&cluster, &[])?;
    let owner = |config: &Value| config["metadata"]["ownerReferences"][0]["name"] == "z-older";
    await_node_config(&cluster, "before-1", owner)?;
    await_conditions(
        &cluster,
        CLUSTER,
        "a-newer",
        &[
            "cilium.io/ConflictingClusterConfig True ClusterConfigConflict",
            "cilium.io/MissingPeerConfigs False PeerConfigsResolved",
            "cilium.io/NoMatchingNode False MatchingNodeSelected",
        ],
    )
}

/// Cilium's operator stopped after it had written everything, by updates.
#[test]
fn what_ciliums_operator_left_behind_is_taken_over() -> Result<()> {
    let cluster = cluster::private("take-over", &[])?;
    select(&cluster, "over-1")?;
    select(&cluster, "over-2")?;
    cluster.apply(&cluster_config("over", "sw", 65001, &[]))?;
    let config = cluster.get("ciliumbgpclusterconfig", "over")?;
    let left = |node: &str, spec: Value| {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig", "metadata": {"name": node, "ownerReferences": [
            {"apiVersion": "cilium.io/v2", "kind": "CiliumBGPClusterConfig", "name": "over",
             "uid": config["metadata"]["uid"], "controller": true}]}, "spec": spec})
    };
    let same = json!({"bgpInstances": [{"name": "main", "localASN": 65001}]});
    let old = json!({"bgpInstances": [
        {"name": "main", "localASN": 65009, "localPort": 1179, "peers": [{"name": "gone", "peerAddress": "192.0.2.9", "peerASN": 1}]},
        {"name": "gone", "localASN": 65010}]});
    let mut written = Vec::new();
    for (node, spec) in [("over-1", &same), ("over-2", &old)] {
        let to = "/apis/cilium.io/v2/ciliumbgpnodeconfigs?fieldManager=cilium-operator-generic";
        let reply = cluster.request("POST", to, Some(&left(node, spec.clone()).to_string()))?;
        ensure!(reply.status == 201, "{}", reply.body);
        written.push(reply.json()?);
    }
    // And the conditions, with the reasons of an older release.
    let mut object = config.clone();
    object["status"] = json!({"conditions": [{"type": "cilium.io/NoMatchingNode", "status": "False", "reason": "NoMatchingNode",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]});
    let to = "/apis/cilium.io/v2/ciliumbgpclusterconfigs/over/status?fieldManager=cilium-operator-generic";
    let reply = cluster.request("PUT", to, Some(&object.to_string()))?;
    ensure!(reply.status == 200, "{}", reply.body);

    let operator = operate(&cluster, &[])?;
    let second = await_node_config(&cluster, "over-2", |config| config["spec"] == same)?;
    ensure!(second["metadata"]["uid"] == written[1]["metadata"]["uid"], "it was made anew");
    await_conditions(
        &cluster,
        CLUSTER,
        "over",
        &[
            "cilium.io/ConflictingClusterConfig False ClusterConfigValidated",
            "cilium.io/MissingPeerConfigs False PeerConfigsResolved",
            "cilium.io/NoMatchingNode False MatchingNodeSelected",
        ],
    )?;
    let object = cluster.get("ciliumbgpclusterconfig", "over")?;
    let time = &object["status"]["conditions"][2]["lastTransitionTime"];
    ensure!(time == "2026-01-01T00:00:00Z", "the status did not change, and the time is {time}");
    let first = node_config(&cluster, "over-1")?.context("gone")?;
    let version = |config: &Value| config["metadata"]["resourceVersion"].clone();
    ensure!(version(&first) == version(&written[0]), "what was right already is not written");
    // And back: Cilium's operator writes by updates again, and nothing stands in its way.
    stop(&operator)?;
    let mut back = second;
    back["spec"] = old.clone();
    let to = "/apis/cilium.io/v2/ciliumbgpnodeconfigs/over-2?fieldManager=cilium-operator-generic";
    let reply = cluster.request("PUT", to, Some(&back.to_string()))?;
    ensure!(reply.status == 200 && reply.json()?["spec"] == old, "{}", reply.body);
    let _operator = operate(&cluster, &[])?;
    await_node_config(&cluster, "over-2", |config| config["spec"] == same)?;
    Ok(())
}

/// Any CNI: without the CiliumNode kind, Nodes decide; with it, Nodes still do.
#[test]
fn with_and_without_the_cilium_node_kind() -> Result<()> {
    let cluster = cluster::private("any-cni", &[])?;
    cluster.delete("customresourcedefinition", "ciliumnodes.cilium.io")?;
    select(&cluster, "cni-1")?;
    cluster.apply(&cluster_config("cni", "sw", 65001, &[]))?;
    let _operator = operate(&cluster, &[])?;
    await_node_config(&cluster, "cni-1", |_| true)?;
    cluster.install_crds(&cluster::checkout("k8s-sync/crds/tests/data/ciliumnodes.yaml"))?;
    // A CiliumNode that Cilium left behind, with the label that the Node has not, selects nothing.
    let object = |name: &str| {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode",
               "metadata": {"name": name, "labels": {"bgp": "sw"}}, "spec": {}})
    };
    cluster.write_node(&Node { name: "cni-2", labels: &[("bgp", "no")], ..Node::default() })?;
    cluster.apply(&object("cni-2").to_string())?;
    // One without a Node is a node all the same.
    cluster.apply(&object("cni-3").to_string())?;
    wait_for(Duration::from_secs(60), "the kind to be found and cni-3 to be selected", || {
        node_config(&cluster, "cni-3")?.context("not selected").map(drop)
    })?;
    ensure!(node_config(&cluster, "cni-2")?.is_none(), "cni-2 is selected");
    Ok(())
}

/// Clusters from Cilium 1.16 and 1.17 have the BGP kinds as v2alpha1 only.
#[test]
fn where_only_the_older_version_is_served() -> Result<()> {
    let cluster = cluster::private("v2alpha1", &[])?;
    for kind in ["clusterconfigs", "peerconfigs", "advertisements", "nodeconfigs", "nodeconfigoverrides"] {
        let name = format!("ciliumbgp{kind}.cilium.io");
        let definition = cluster.get("customresourcedefinition", &name)?;
        let versions = definition["spec"]["versions"].as_array().context("no versions")?;
        let v2 = versions.iter().position(|version| version["name"] == "v2").context("no v2")?;
        let patch = json!([{"op": "replace", "path": format!("/spec/versions/{v2}/served"), "value": false}]);
        cluster.kubectl(&[
            "patch",
            "customresourcedefinition",
            &name,
            "--type=json",
            "-p",
            &patch.to_string(),
        ])?;
    }
    let old = "/apis/cilium.io/v2alpha1";
    wait_for(PATIENCE, "v2 to be gone", || {
        let reply = cluster.request("GET", "/apis/cilium.io/v2/ciliumbgpnodeconfigs", None)?;
        ensure!(reply.status == 404, "{}", reply.status);
        Ok(())
    })?;
    select(&cluster, "old-1")?;
    let config =
        cluster_config("old", "sw", 65001, &["old-missing"]).replace("cilium.io/v2", "cilium.io/v2alpha1");
    cluster.apply(&config)?;
    let _operator = operate(&cluster, &[])?;
    wait_for(PATIENCE, "the node configuration and conditions in v2alpha1", || {
        let config = cluster.request("GET", &format!("{old}/ciliumbgpnodeconfigs/old-1"), None)?;
        ensure!(config.status == 200, "{}", config.body);
        let owner = &config.json()?["metadata"]["ownerReferences"][0];
        ensure!(owner["apiVersion"] == "cilium.io/v2alpha1" && owner["name"] == "old", "{owner}");
        let object = cluster.request("GET", &format!("{old}/ciliumbgpclusterconfigs/old"), None)?.json()?;
        let reason = &object["status"]["conditions"][1]["reason"];
        ensure!(reason == "PeerConfigsMissing", "{object:#}");
        Ok(())
    })
}
