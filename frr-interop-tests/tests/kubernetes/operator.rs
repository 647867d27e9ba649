//! rutter-operator on a real API server: node configurations, and every condition of ClusterConfigs and PeerConfigs with
//! every status, reason and message, there and back.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::Operator;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::cluster;

/// A control plane with an operator that has no switches set, for the tests of this file.
fn plane() -> Result<&'static ControlPlane> {
    static PLANE: OnceLock<Result<(ControlPlane, Operator), String>> = OnceLock::new();
    let start = || -> Result<(ControlPlane, Operator)> {
        let cluster = cluster::private("operator", &[])?;
        let operator = operate(&cluster, &[])?;
        Ok((cluster, operator))
    };
    PLANE
        .get_or_init(|| start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map(|(cluster, _)| cluster)
        .map_err(|error| anyhow!("{error}"))
}

/// An operator on the control plane's own host, as leader. Only one at a time with the same port.
pub(crate) fn operate(cluster: &ControlPlane, options: &[&str]) -> Result<Operator> {
    let operator = operator(cluster, "operator", 9973, options)?;
    wait_for(PATIENCE, "the operator to lead", || {
        let status = operator.get("/v1/status")?;
        ensure!(status["leader"] == true && status["apiServer"]["certain"] == true, "{status:#}");
        Ok(())
    })?;
    Ok(operator)
}

/// An operator on the control plane's own host.
pub(crate) fn operator(cluster: &ControlPlane, name: &str, port: u16, options: &[&str]) -> Result<Operator> {
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let mut all = vec!["--kubeconfig", kubeconfig.as_str()];
    all.extend(options);
    cluster.host().operator(name, SocketAddr::from(([127, 0, 0, 1], port)), &all)
}

/// An object of Cilium's, if it exists.
pub(crate) fn read(cluster: &ControlPlane, plural: &str, name: &str) -> Result<Option<Value>> {
    let reply = cluster.request("GET", &format!("/apis/cilium.io/v2/{plural}/{name}"), None)?;
    match reply.status {
        200 => Ok(Some(reply.json()?)),
        404 => Ok(None),
        status => Err(anyhow!("GET {plural}/{name}: {status} {}", reply.body)),
    }
}

pub(crate) fn node_config(cluster: &ControlPlane, node: &str) -> Result<Option<Value>> {
    read(cluster, "ciliumbgpnodeconfigs", node)
}

/// Waits until the node's configuration is there and like this.
pub(crate) fn await_node_config(
    cluster: &ControlPlane,
    node: &str,
    like: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_for(PATIENCE, &format!("CiliumBGPNodeConfig {node}"), || {
        let config = node_config(cluster, node)?.context("it does not exist")?;
        ensure!(like(&config), "{config:#}");
        Ok(config)
    })
}

fn await_no_node_config(cluster: &ControlPlane, node: &str) -> Result<()> {
    wait_for(PATIENCE, &format!("CiliumBGPNodeConfig {node} to go"), || {
        ensure!(node_config(cluster, node)?.is_none(), "it is still there");
        Ok(())
    })
}

/// Waits for a condition: status, reason, message.
fn await_condition(
    cluster: &ControlPlane,
    plural: &str,
    name: &str,
    type_: &str,
    wanted: (&str, &str, &str),
) -> Result<Value> {
    wait_for(PATIENCE, &format!("{type_} of {plural}/{name} to be {wanted:?}"), || {
        let object = read(cluster, plural, name)?.context("it does not exist")?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        let found = found.with_context(|| format!("no such condition: {conditions:?}"))?;
        let (status, reason, message) = wanted;
        ensure!(
            found["status"] == status && found["reason"] == reason && found["message"] == message,
            "{found}"
        );
        ensure!(found["observedGeneration"] == object["metadata"]["generation"], "{found}");
        Ok(found.clone())
    })
}

fn write_node(cluster: &ControlPlane, name: &str, label: &str) -> Result<()> {
    cluster.write_node(&Node { name, labels: &[("bgp", label)], ..Node::default() })
}

pub(crate) fn cluster_config(name: &str, label: &str, asn: u32, peer_configs: &[&str]) -> String {
    let peers: Vec<Value> = peer_configs
        .iter()
        .enumerate()
        .map(|(at, config)| {
            json!({"name": format!("peer-{at}"), "peerASN": 65000, "peerAddress": format!("192.0.2.{}", at + 1),
                   "peerConfigRef": {"name": config}})
        })
        .collect();
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPClusterConfig", "metadata": {"name": name},
           "spec": {"nodeSelector": {"matchLabels": {"bgp": label}},
                    "bgpInstances": [{"name": "main", "localASN": asn, "peers": peers}]}})
    .to_string()
}

fn peer_config(name: &str, secret: Option<&str>) -> String {
    let mut object = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig",
                            "metadata": {"name": name}, "spec": {}});
    if let Some(secret) = secret {
        object["spec"]["authSecretRef"] = secret.into();
    }
    object.to_string()
}

fn owner(config: &Value) -> &Value {
    &config["metadata"]["ownerReferences"][0]["name"]
}

const CLUSTER: &str = "ciliumbgpclusterconfigs";
const PEER: &str = "ciliumbgppeerconfigs";

#[test]
fn every_selected_node_gets_a_configuration_and_only_those() -> Result<()> {
    let cluster = plane()?;
    for (node, label) in [("sel-1", "sel"), ("sel-2", "sel"), ("sel-3", "other-sel")] {
        write_node(cluster, node, label)?;
    }
    cluster.apply(&cluster_config("sel", "sel", 65001, &["sel-peer"]))?;
    let config = await_node_config(cluster, "sel-1", |_| true)?;
    let reference = &config["metadata"]["ownerReferences"][0];
    ensure!(
        reference["kind"] == "CiliumBGPClusterConfig"
            && reference["name"] == "sel"
            && reference["controller"] == true,
        "{reference}"
    );
    let uid = cluster.get("ciliumbgpclusterconfig", "sel")?["metadata"]["uid"].clone();
    ensure!(reference["uid"] == uid && reference["apiVersion"] == "cilium.io/v2", "{reference}");
    let expected = json!({"bgpInstances": [{"name": "main", "localASN": 65001, "peers": [
        {"name": "peer-0", "peerASN": 65000, "peerAddress": "192.0.2.1", "peerConfigRef": {"name": "sel-peer"}}]}]});
    ensure!(config["spec"] == expected, "{:#}", config["spec"]);
    let managers = &config["metadata"]["managedFields"];
    ensure!(managers[0]["manager"] == "rutter-operator-node-configs", "{managers}");
    await_node_config(cluster, "sel-2", |_| true)?;
    ensure!(node_config(cluster, "sel-3")?.is_none(), "sel-3 is not selected");
    // The operator's own deletion: the node is there and not selected any more, and back.
    write_node(cluster, "sel-2", "nothing")?;
    await_no_node_config(cluster, "sel-2")?;
    write_node(cluster, "sel-2", "sel")?;
    await_node_config(cluster, "sel-2", |_| true)?;
    // A node that is gone.
    cluster.delete("node", "sel-2")?;
    await_no_node_config(cluster, "sel-2")?;
    // An update in place: the object is the same one.
    cluster.apply(&cluster_config("sel", "sel", 65009, &[]))?;
    let updated = await_node_config(cluster, "sel-1", |config| {
        config["spec"]["bgpInstances"][0]["localASN"] == 65009
            && config["spec"]["bgpInstances"][0]["peers"].is_null()
    })?;
    ensure!(updated["metadata"]["uid"] == config["metadata"]["uid"], "it was made anew");
    Ok(())
}

#[test]
fn an_override_changes_one_node_and_its_removal_changes_it_back() -> Result<()> {
    let cluster = plane()?;
    for node in ["ovr-1", "ovr-2"] {
        write_node(cluster, node, "ovr")?;
    }
    cluster.apply(&cluster_config("ovr", "ovr", 65001, &["ovr-peer"]))?;
    let plain = await_node_config(cluster, "ovr-1", |_| true)?;
    let change = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfigOverride", "metadata": {"name": "ovr-1"},
        "spec": {"bgpInstances": [{"name": "main", "localASN": 65101, "localPort": 1179, "routerID": "10.255.0.1",
                 "peers": [{"name": "peer-0", "localAddress": "192.0.2.100"}]}]}});
    cluster.apply(&change.to_string())?;
    await_node_config(cluster, "ovr-1", |config| {
        let instance = &config["spec"]["bgpInstances"][0];
        instance["localASN"] == 65101
            && instance["localPort"] == 1179
            && instance["routerID"] == "10.255.0.1"
            && instance["peers"][0]["localAddress"] == "192.0.2.100"
            && instance["peers"][0]["peerAddress"] == "192.0.2.1"
    })?;
    let other = await_node_config(cluster, "ovr-2", |_| true)?;
    ensure!(other["spec"] == plain["spec"], "{other:#}");
    cluster.delete("ciliumbgpnodeconfigoverride", "ovr-1")?;
    await_node_config(cluster, "ovr-1", |config| config["spec"] == plain["spec"])?;
    Ok(())
}

#[test]
fn cluster_conditions_true_and_false_and_back() -> Result<()> {
    const NO_NODE: &str = "cilium.io/NoMatchingNode";
    const MISSING: &str = "cilium.io/MissingPeerConfigs";
    let cluster = plane()?;
    let unavailable = ("True", "MatchingNodeUnavailable", "No node matches spec.nodeSelector");
    let selected = ("False", "MatchingNodeSelected", "");
    let b_and_a =
        ("True", "PeerConfigsMissing", "Referenced CiliumBGPPeerConfig(s) are missing: [cond-a cond-b]");
    let only_a = ("True", "PeerConfigsMissing", "Referenced CiliumBGPPeerConfig(s) are missing: [cond-a]");
    let resolved = ("False", "PeerConfigsResolved", "");
    // b before a, and a twice: sorted and unique in the message.
    cluster.apply(&cluster_config("cond", "cond", 65001, &["cond-b", "cond-a", "cond-a"]))?;
    let condition = |type_, wanted| await_condition(cluster, CLUSTER, "cond", type_, wanted);
    let first = condition(NO_NODE, unavailable)?;
    let missing = condition(MISSING, b_and_a)?;
    condition("cilium.io/ConflictingClusterConfig", ("False", "ClusterConfigValidated", ""))?;
    let object = cluster.get("ciliumbgpclusterconfig", "cond")?;
    let types: Vec<&str> = object["status"]["conditions"]
        .as_array()
        .map(|list| list.iter().filter_map(|condition| condition["type"].as_str()).collect())
        .unwrap_or_default();
    ensure!(
        types == ["cilium.io/ConflictingClusterConfig", MISSING, NO_NODE],
        "not sorted by type: {types:?}"
    );
    let described = cluster.kubectl(&["describe", "ciliumbgpclusterconfig", "cond"])?;
    ensure!(described.contains("No node matches spec.nodeSelector"), "{described}");

    // Somebody else's condition stays, whatever happens to ours.
    let foreign = json!({"status": {"conditions": [{"type": "example.com/Seen", "status": "True", "reason": "Looked",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}, "apiVersion": "cilium.io/v2",
        "kind": "CiliumBGPClusterConfig", "metadata": {"name": "cond"}});
    apply_status(cluster, "cond", &foreign)?;

    sleep(Duration::from_millis(1100));
    write_node(cluster, "cond-1", "cond")?;
    let second = condition(NO_NODE, selected)?;
    ensure!(second["lastTransitionTime"] != first["lastTransitionTime"], "the status changed: {second}");
    // The message changes, the status does not, and neither does the time.
    cluster.apply(&peer_config("cond-b", None))?;
    let fewer = condition(MISSING, only_a)?;
    ensure!(fewer["lastTransitionTime"] == missing["lastTransitionTime"], "{fewer} after {missing}");
    cluster.apply(&peer_config("cond-a", None))?;
    condition(MISSING, resolved)?;
    // A new generation is observed even if nothing else changes.
    cluster.apply(&cluster_config("cond", "cond", 65002, &["cond-a"]))?;
    condition(NO_NODE, selected)?;
    // And back.
    cluster.delete("ciliumbgppeerconfig", "cond-a")?;
    condition(MISSING, only_a)?;
    cluster.delete("node", "cond-1")?;
    condition(NO_NODE, unavailable)?;
    condition("example.com/Seen", ("True", "Looked", "")).or_else(|_| {
        let object = cluster.get("ciliumbgpclusterconfig", "cond")?;
        let kept = object["status"]["conditions"].as_array().is_some_and(|list| {
            list.iter().any(|condition| {
                condition["type"] == "example.com/Seen"
                    && condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"
            })
        });
        ensure!(kept, "{object:#}");
        Ok(Value::Null)
    })?;
    // Nothing is written while nothing changes.
    let before = cluster.get("ciliumbgpclusterconfig", "cond")?["metadata"]["resourceVersion"].clone();
    cluster.apply(&peer_config("cond-unrelated", None))?;
    await_condition(cluster, PEER, "cond-unrelated", "cilium.io/MissingAuthSecret", NOT_CONFIGURED)?;
    let after = cluster.get("ciliumbgpclusterconfig", "cond")?["metadata"]["resourceVersion"].clone();
    ensure!(before == after, "it was written again");
    Ok(())
}

fn apply_status(cluster: &ControlPlane, name: &str, object: &Value) -> Result<()> {
    let file = cluster.host().folder().join(format!("{name}-status.json"));
    std::fs::write(&file, object.to_string())?;
    let file = file.display().to_string();
    cluster.kubectl(&[
        "apply",
        "--server-side",
        "--subresource=status",
        "--field-manager=somebody",
        "-f",
        &file,
    ])?;
    Ok(())
}

const NOT_CONFIGURED: (&str, &str, &str) =
    ("False", "AuthSecretNotConfigured", "Auth Secret is not configured");

#[test]
fn peer_conditions_follow_the_secret() -> Result<()> {
    let cluster = plane()?;
    let condition = |wanted| await_condition(cluster, PEER, "auth", "cilium.io/MissingAuthSecret", wanted);
    let missing = ("True", "AuthSecretMissing", "Referenced Auth Secret \"auth-secret\" is missing");
    let validated = ("False", "AuthSecretValidated", "");
    cluster.apply(&peer_config("auth", None))?;
    condition(NOT_CONFIGURED)?;
    cluster.apply(&peer_config("auth", Some("auth-secret")))?;
    condition(missing)?;
    // In another namespace it does not count.
    let secret = |namespace: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "auth-secret", "namespace": namespace},
               "stringData": {"password": "x"}})
        .to_string()
    };
    cluster.apply(&secret("default"))?;
    sleep(Duration::from_millis(500));
    condition(missing)?;
    cluster.apply(&secret("kube-system"))?;
    condition(validated)?;
    cluster.delete_in("kube-system", "secret", "auth-secret")?;
    condition(missing)?;
    // kubectl apply takes the field away again.
    cluster.apply(&peer_config("auth", None))?;
    condition(NOT_CONFIGURED)?;
    Ok(())
}

#[test]
fn the_first_owner_keeps_a_node_and_hands_it_over() -> Result<()> {
    const CONFLICT: &str = "cilium.io/ConflictingClusterConfig";
    let cluster = plane()?;
    write_node(cluster, "own-1", "own")?;
    write_node(cluster, "own-2", "own")?;
    cluster.apply(&cluster_config("own-first", "own", 65001, &[]))?;
    let config = await_node_config(cluster, "own-1", |config| owner(config) == "own-first")?;
    await_node_config(cluster, "own-2", |_| true)?;
    // First by name, and yet the later one.
    cluster.apply(&cluster_config("own-also", "own", 65002, &[]))?;
    let conflict =
        ("True", "ClusterConfigConflict", "Selecting the same node(s) with ClusterConfig(s): [own-first]");
    let validated = ("False", "ClusterConfigValidated", "");
    await_condition(cluster, CLUSTER, "own-also", CONFLICT, conflict)?;
    await_condition(cluster, CLUSTER, "own-first", CONFLICT, validated)?;
    ensure!(owner(&node_config(cluster, "own-1")?.context("gone")?) == "own-first");
    // The first lets go: the other one has it at the next pass, without the sessions' object ever being away.
    cluster.apply(&cluster_config("own-first", "elsewhere", 65001, &[]))?;
    let handed = await_node_config(cluster, "own-1", |config| owner(config) == "own-also")?;
    ensure!(handed["metadata"]["uid"] == config["metadata"]["uid"], "it was deleted in between");
    ensure!(handed["metadata"]["ownerReferences"].as_array().map(Vec::len) == Some(1), "{handed:#}");
    ensure!(handed["spec"]["bgpInstances"][0]["localASN"] == 65002, "{handed:#}");
    await_condition(cluster, CLUSTER, "own-also", CONFLICT, validated)?;
    // Back again: now it is the other one that comes late.
    cluster.apply(&cluster_config("own-first", "own", 65001, &[]))?;
    let conflict =
        ("True", "ClusterConfigConflict", "Selecting the same node(s) with ClusterConfig(s): [own-also]");
    await_condition(cluster, CLUSTER, "own-first", CONFLICT, conflict)?;
    Ok(())
}

#[test]
fn a_deleted_configuration_is_collected_with_what_it_owns() -> Result<()> {
    let cluster = plane()?;
    cluster.controller_manager()?;
    write_node(cluster, "gc-1", "gc")?;
    cluster.apply(&cluster_config("gc", "gc", 65001, &[]))?;
    await_node_config(cluster, "gc-1", |_| true)?;
    cluster.delete("ciliumbgpclusterconfig", "gc")?;
    wait_for(Duration::from_secs(40), "the garbage collector", || {
        ensure!(node_config(cluster, "gc-1")?.is_none(), "gc-1 is still there");
        Ok(())
    })
}

#[test]
fn metrics_have_ciliums_names_and_count_requests() -> Result<()> {
    let cluster = plane()?;
    write_node(cluster, "met-1", "met")?;
    cluster.apply(&cluster_config("met", "met", 65001, &[]))?;
    await_node_config(cluster, "met-1", |_| true)?;
    let reply = cluster.host().http(([127, 0, 0, 1], 9973).into(), "GET", "/metrics", None)?;
    for line in [
        "# TYPE cilium_bgp_control_plane_reconcile_run_duration_seconds histogram",
        "rutter_operator_leader{holder=",
        "rutter_operator_api_requests_total{code=\"2xx\",resource=\"ciliumbgpnodeconfigs\",verb=\"apply\"}",
        "rutter_operator_api_requests_total{code=\"2xx\",resource=\"leases\",verb=\"update\"}",
        "rutter_operator_changes_total{change=\"apply\",resource_kind=\"CiliumBGPNodeConfig\"}",
    ] {
        ensure!(reply.body.contains(line), "no {line:?} in\n{}", reply.body);
    }
    let health = cluster.host().http(([127, 0, 0, 1], 9973).into(), "GET", "/v1/health", None)?;
    ensure!(health.json()?["leader"] == true, "{}", health.body);
    Ok(())
}

#[test]
fn a_write_that_is_refused_is_counted_and_tried_again() -> Result<()> {
    let cluster = cluster::private("operator-refused", &[])?;
    let operator = operate(&cluster, &[])?;
    // Whoever may not write this name: a policy of the cluster's owner.
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-ref-2"}, "spec": {"failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiGroups": ["cilium.io"], "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"], "resources": ["ciliumbgpnodeconfigs"]}]},
        "validations": [{"expression": "object.metadata.name != 'ref-2'", "message": "not that one"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-ref-2"}, "spec": {"policyName": "no-ref-2", "validationActions": ["Deny"]}});
    cluster.apply(&policy.to_string())?;
    cluster.apply(&binding.to_string())?;
    sleep(Duration::from_secs(2));
    for node in ["ref-1", "ref-2", "ref-3"] {
        write_node(&cluster, node, "ref")?;
    }
    cluster.apply(&cluster_config("ref", "ref", 65001, &[]))?;
    await_node_config(&cluster, "ref-1", |_| true)?;
    await_node_config(&cluster, "ref-3", |_| true)?;
    wait_for(PATIENCE, "the refusal to be told", || {
        let status = operator.get("/v1/status")?;
        let failing = &status["failing"][0];
        ensure!(
            failing["object"] == "CiliumBGPNodeConfig ref-2"
                && failing["error"].as_str().is_some_and(|error| error.contains("not that one")),
            "{status:#}"
        );
        let metrics = operator.request("GET", "/metrics")?.body;
        let counter = "cilium_operator_bgp_control_plane_reconcile_errors_total{resource_kind=\"CiliumBGPClusterConfig\",resource_name=\"ref\"}";
        ensure!(metrics.contains(counter), "{metrics}");
        Ok(())
    })?;
    cluster.delete("validatingadmissionpolicybinding", "no-ref-2")?;
    let begun = Instant::now();
    wait_for(Duration::from_secs(40), "ref-2 to be tried again", || {
        node_config(&cluster, "ref-2")?.context("it does not exist").map(drop)
    })?;
    println!("tried again {:.1} s after it was allowed", begun.elapsed().as_secs_f64());
    Ok(())
}
