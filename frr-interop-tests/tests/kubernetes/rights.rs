//! deploy/: the manifests apply, and the programs do their work with exactly the rights that are in rbac.yaml.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::operator::{await_node_config, cluster_config, node_config, read};
use crate::{cluster, lbipam};

const NAMESPACE: &str = "rutter-system";

fn can(cluster: &ControlPlane, who: &str, what: &[&str]) -> Result<bool> {
    let mut words = vec!["auth", "can-i", "--as", who];
    words.extend(what);
    Ok(cluster.try_kubectl(&words)?.success)
}

/// No answer of the server was "forbidden", and every kind was read.
fn ensure_content(status: &Value) -> Result<()> {
    ensure!(status["apiServer"]["certain"] == true, "{status:#}");
    let refused = status["apiServer"]["requests"].as_array().into_iter().flatten().find(|request| {
        // Finding out that something does not exist (yet) is no refusal of rights.
        request["code"] == "4xx" && !matches!(request["resource"].as_str(), Some("leases" | "apis"))
    });
    ensure!(refused.is_none(), "{refused:?}");
    ensure!(!status["findings"].to_string().contains("ApiForbidden"), "{:#}", status["findings"]);
    Ok(())
}

#[test]
fn operator_and_agent_work_with_the_rights_of_rbac_yaml_and_no_more() -> Result<()> {
    let cluster = cluster::private("rights", &[])?;
    for file in ["rbac", "operator", "node"] {
        cluster.apply_file(&cluster::checkout(&format!("deploy/{file}.yaml")))?;
    }
    let operator = cluster.kubeconfig_for(NAMESPACE, "rutter-operator")?.display().to_string();
    let agent = cluster.kubeconfig_for(NAMESPACE, "rutter-agent")?.display().to_string();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let host = cluster.host();
    let run = |name: &str, port| {
        host.operator(name, at(port), &["--kubeconfig", &operator, "--k8s-namespace", NAMESPACE])
    };
    let (first, second) = (run("op-1", 9973)?, run("op-2", 9974)?);
    wait_for(PATIENCE, "one operator to lead", || {
        let [first, second] = [first.get("/v1/status")?, second.get("/v1/status")?];
        ensure!(first["leader"] != second["leader"], "{:#} {:#}", first["lease"], second["lease"]);
        ensure_content(&first)?;
        ensure_content(&second)
    })?;

    // One of everything that they write.
    let labels = [("bgp", "rights")];
    for name in ["rights-1", "rights-2"] {
        cluster.write_node(&Node {
            name,
            labels: &labels,
            internal_ips: &["192.0.2.1"],
            ..Node::default()
        })?;
    }
    let peer = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig", "metadata": {"name": "rights-peer"},
                      "spec": {"authSecretRef": "rights"}});
    cluster.apply(&peer.to_string())?;
    cluster.apply(&cluster_config("rights", "rights", 65001, &["rights-peer"]))?;
    await_node_config(&cluster, "rights-1", |_| true)?;
    await_node_config(&cluster, "rights-2", |_| true)?;
    cluster.apply(&cluster_config("rights", "rights", 65002, &["rights-peer"]))?;
    await_node_config(&cluster, "rights-1", |config| config["spec"]["bgpInstances"][0]["localASN"] == 65002)?;
    cluster.write_node(&Node { name: "rights-2", labels: &[("bgp", "no")], ..Node::default() })?;
    wait_for(PATIENCE, "conditions, and the node that is not selected any more", || {
        ensure!(node_config(&cluster, "rights-2")?.is_none(), "rights-2 is still configured");
        for (plural, name) in [("ciliumbgpclusterconfigs", "rights"), ("ciliumbgppeerconfigs", "rights-peer")]
        {
            let object = read(&cluster, plural, name)?.context("gone")?;
            ensure!(object["status"]["conditions"].is_array(), "{object:#}");
        }
        Ok(())
    })?;
    // Addresses, with everything that is told about them.
    let mut api = cluster.connection()?;
    let mut pool = lbipam::pool("rights", None, &["172.19.0.0/24"]);
    pool["metadata"]["annotations"] =
        json!({"rutter.dev/safe-shrink": "true", "rutter.dev/refuse-cluster-ranges": "true"});
    lbipam::create(&mut api, &pool)?;
    let web = lbipam::service("default", "rights");
    lbipam::create(&mut api, &web)?;
    lbipam::await_addresses(&cluster, &lbipam::path(&web), &["172.19.0.0"])?;
    wait_for(PATIENCE, "the spec in force, and an Event", || {
        let pool = lbipam::read(&cluster, &lbipam::path(&pool))?;
        ensure!(pool["metadata"]["annotations"]["rutter.dev/accepted-spec"].is_string(), "{pool:#}");
        ensure!(!lbipam::events(&cluster, "default", "rights")?.is_empty(), "no Event");
        Ok(())
    })?;
    let bgpd = host.bgpd("instances: []\n").context("bgpd")?;
    let node = host.agent("rights-1", &["--kubeconfig", &agent])?;
    wait_for(PATIENCE, "the agent's status report", || {
        ensure_content(&node.get("/v1/status")?)?;
        let config = node_config(&cluster, "rights-1")?.context("gone")?;
        ensure!(config["status"]["conditions"].is_array(), "{:#}", config["status"]);
        Ok(())
    })?;
    drop(bgpd);
    for operator in [&first, &second] {
        ensure_content(&operator.get("/v1/status")?)?;
        ensure!(operator.get("/v1/status")?["failing"] == json!([]), "{:#}", operator.get("/v1/status")?);
    }

    let [operator, agent] =
        ["operator", "agent"].map(|name| format!("system:serviceaccount:{NAMESPACE}:rutter-{name}"));
    for (who, what) in [
        (&operator, &["get", "secrets", "-n", "default"][..]),
        (&operator, &["get", "secrets", "-n", NAMESPACE]),
        (&operator, &["update", "ciliumbgpclusterconfigs.cilium.io"]),
        (&operator, &["update", "nodes"]),
        (&operator, &["patch", "services"]),
        (&operator, &["update", "services"]),
        (&operator, &["delete", "ciliumloadbalancerippools.cilium.io"]),
        (&operator, &["create", "ciliumloadbalancerippools.cilium.io"]),
        (&operator, &["list", "events"]),
        (&operator, &["update", "leases", "-n", "kube-system"]),
        (&agent, &["list", "secrets", "-n", "default"]),
        (&agent, &["patch", "ciliumbgpnodeconfigs.cilium.io"]),
        (&agent, &["patch", "services"]),
        (&agent, &["list", "pods"]),
        (&agent, &["create", "leases", "-n", NAMESPACE]),
    ] {
        ensure!(!can(&cluster, who, what)?, "{who} may {what:?}");
    }
    Ok(())
}

#[test]
fn people_with_rutterctl_reach_the_pods_and_nothing_else() -> Result<()> {
    let cluster = cluster::private("rights-people", &[])?;
    cluster.apply_file(&cluster::checkout("deploy/rbac.yaml"))?;
    let binding = [
        "create",
        "rolebinding",
        "-n",
        NAMESPACE,
        "rutterctl-alice",
        "--clusterrole",
        "rutterctl",
        "--user",
        "alice",
    ];
    cluster.kubectl(&binding)?;
    for what in
        [&["list", "pods", "-n", NAMESPACE][..], &["get", "pods", "--subresource=proxy", "-n", NAMESPACE]]
    {
        ensure!(can(&cluster, "alice", what)?, "alice may not {what:?}");
    }
    for what in [
        &["list", "pods", "-n", "kube-system"][..],
        &["get", "pods", "--subresource=proxy", "-n", "kube-system"],
        &["create", "pods", "--subresource=proxy", "-n", NAMESPACE],
        &["create", "pods", "--subresource=exec", "-n", NAMESPACE],
        &["list", "secrets", "-n", NAMESPACE],
    ] {
        ensure!(!can(&cluster, "alice", what)?, "alice may {what:?}");
    }
    Ok(())
}
