//! Others write the same statuses, rights are missing, a write is refused: what is not ours survives, and one object that
//! cannot be written holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::wait_for;
use serde_json::{Value, json};

use crate::cluster;
use crate::lbipam::{
    addresses, await_addresses, await_object, condition, create, delete, ensure_unique, events, holders,
    merge, path, pool, read, requests, service, verdict,
};
use crate::operator::{operate, operator};

/// Writes a condition of its own and the ports of the ingress list into the status of some Services, again and again, as a
/// controller does that takes its objects from a cache: with the version it read, and anew when it is refused.
fn hammer(
    cluster: &ControlPlane,
    paths: Vec<String>,
    stop: &Arc<AtomicBool>,
    count: &Arc<AtomicU32>,
) -> Result<std::thread::JoinHandle<Result<()>>> {
    let mut api = cluster.connection()?;
    let (stop, count) = (Arc::clone(stop), Arc::clone(count));
    Ok(std::thread::spawn(move || {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            for path in &paths {
                let mut object = api.request("GET", path, None)?.json()?;
                if !object["status"].is_object() {
                    continue;
                }
                let mine = json!({"type": "example.org/Mine", "status": "True", "reason": "x",
                    "message": format!("round {round}"), "lastTransitionTime": "2026-01-01T00:00:00Z"});
                let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let mut conditions: Vec<Value> =
                    conditions.into_iter().filter(|other| other["type"] != "example.org/Mine").collect();
                conditions.push(mine);
                object["status"]["conditions"] = conditions.into();
                for entry in object["status"]["loadBalancer"]["ingress"].as_array_mut().into_iter().flatten()
                {
                    entry["ipMode"] = "Proxy".into();
                    entry["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
                }
                let reply = api.request("PUT", &format!("{path}/status"), Some(&object.to_string()))?;
                ensure!(matches!(reply.status, 200 | 409), "{} {}", reply.status, reply.body);
                if reply.status == 200 {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }))
}

#[test]
fn what_others_write_into_the_same_status_survives() -> Result<()> {
    const SERVICES: usize = 8;
    let cluster = cluster::private("lbipam-writers", &[])?;
    let _operator = operate(&cluster, &[])?;
    let mut api = cluster.connection()?;
    let (one, two) = (pool("one", None, &["172.18.1.0/24"]), pool("two", None, &["172.18.2.0/24"]));
    create(&mut api, &one)?;
    let services: Vec<Value> =
        (0..SERVICES).map(|number| service("default", &format!("both-{number}"))).collect();
    for service in &services {
        create(&mut api, service)?;
    }
    let paths: Vec<String> = services.iter().map(path).collect();
    for path in &paths {
        await_object(&cluster, path, "to be served", |service| addresses(service).len() == 1)?;
    }
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let hammer = hammer(&cluster, paths.clone(), &stop, &count)?;
    // Meanwhile everybody asks for a second address, then for none, and moves to another pool and back.
    for round in 0..8 {
        for (number, path) in paths.iter().enumerate() {
            let kept = format!("172.18.1.{number}");
            let asked = format!("{kept},172.18.1.{}", 100 + 10 * round + number);
            merge(&mut api, path, &json!({"metadata": {"annotations": {"lbipam.cilium.io/ips": asked}}}))?;
        }
        for (number, path) in paths.iter().enumerate() {
            let expected = [format!("172.18.1.{number}"), format!("172.18.1.{}", 100 + 10 * round + number)];
            await_addresses(&cluster, path, &[&expected[0], &expected[1]])?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    hammer.join().map_err(|_panic| anyhow!("the other writer panicked"))??;
    println!("{} writes of another program in between", count.load(Ordering::Relaxed));
    ensure!(count.load(Ordering::Relaxed) > 20, "it hardly wrote");
    for path in &paths {
        let service = read(&cluster, path)?;
        ensure!(condition(&service, "example.org/Mine")["status"] == "True", "{service:#}");
        // The first address was there all the time: what was written into it is still there.
        let kept = &service["status"]["loadBalancer"]["ingress"][0];
        ensure!(kept["ipMode"] == "Proxy" && kept["ports"][0]["port"] == 80, "{service:#}");
        ensure!(verdict(&service) == "True/satisfied", "{service:#}");
    }
    // Somebody empties a status: it gets what it had.
    let reply = api.send(
        "PATCH",
        &format!("{}/status", paths[0]),
        "application/merge-patch+json",
        Some(&json!({"status": {"loadBalancer": {"ingress": null}, "conditions": null}}).to_string()),
    )?;
    ensure!(reply.status == 200, "{}", reply.body);
    await_addresses(&cluster, &paths[0], &["172.18.1.0", "172.18.1.170"])?;
    drop(two);
    ensure_unique(&holders(&mut api)?)
}

/// A status that may not be written, by a policy as people have them, is told and tried again; all others are served at once.
#[test]
fn one_service_that_cannot_be_written_holds_up_no_other() -> Result<()> {
    let cluster = cluster::private("lbipam-refused", &[])?;
    let operator = operate(&cluster, &[])?;
    cluster.apply(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: no-status }
spec:
  failurePolicy: Fail
  matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [services/status] }] }
  validations: [{ expression: \"object.metadata.name != 'locked'\", message: not that one }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: no-status }
spec: { policyName: no-status, validationActions: [Deny] }
",
    )?;
    // A policy takes a moment to be in force.
    std::thread::sleep(Duration::from_secs(3));
    let mut api = cluster.connection()?;
    create(&mut api, &pool("refused", None, &["172.18.3.0/24"]))?;
    let locked = service("default", "locked");
    create(&mut api, &locked)?;
    for number in 0..20 {
        create(&mut api, &service("default", &format!("open-{number}")))?;
    }
    wait_for(PATIENCE, "all others to be served", || {
        let count = holders(&mut api)?.len();
        ensure!(count == 20, "{count}");
        Ok(())
    })?;
    wait_for(PATIENCE, "the refusal to be told", || {
        let failing = &operator.get("/v1/lbipam")?["failing"][0];
        ensure!(failing["object"] == "Service default/locked", "{failing}");
        ensure!(failing["error"].as_str().is_some_and(|error| error.contains("not that one")), "{failing}");
        Ok(())
    })?;
    ensure!(events(&cluster, "default", "locked")?.is_empty(), "what was not written is not told");
    cluster.delete("validatingadmissionpolicybinding", "no-status")?;
    await_object(&cluster, &path(&locked), "to be served", |service| addresses(service).len() == 1)?;
    // Gone while it is written about: no trace, no error.
    let gone = service("default", "gone");
    for _ in 0..20 {
        create(&mut api, &gone)?;
        delete(&mut api, &path(&gone))?;
    }
    await_object(
        &cluster,
        "/apis/cilium.io/v2/ciliumloadbalancerippools/refused",
        "to count again",
        |pool| condition(pool, "cilium.io/IPsUsed")["message"] == "21",
    )?;
    ensure!(operator.get("/v1/lbipam")?["failing"] == json!([]), "{:#}", operator.get("/v1/lbipam")?);
    ensure_unique(&holders(&mut api)?)
}

/// A cluster without the kind of pools is left alone; with the kind, but without the right to read Services, too.
#[test]
fn what_cannot_be_read_is_no_reason_to_write() -> Result<()> {
    let cluster = cluster::private("lbipam-blind", &[])?;
    let mut api = cluster.connection()?;
    create(&mut api, &pool("blind", None, &["172.18.4.0/24"]))?;
    let web = service("default", "web");
    create(&mut api, &web)?;
    let first = operate(&cluster, &[])?;
    await_addresses(&cluster, &path(&web), &["172.18.4.0"])?;
    drop(first);
    // Pools, but no Services: an operator with the rights of before.
    for file in ["rbac", "operator"] {
        cluster.apply_file(&cluster::checkout(&format!("deploy/{file}.yaml")))?;
    }
    let role = cluster.get("clusterrole", "rutter-operator")?;
    let rules: Vec<Value> = role["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule["resources"] != json!(["services"]))
        .cloned()
        .collect();
    merge(
        &mut api,
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/rutter-operator",
        &json!({"rules": rules}),
    )?;
    let kubeconfig = cluster.kubeconfig_for("rutter-system", "rutter-operator")?.display().to_string();
    let options = ["--kubeconfig", &kubeconfig, "--k8s-namespace", "rutter-system"];
    let blind =
        cluster.host().operator("blind", std::net::SocketAddr::from(([127, 0, 0, 1], 9974)), &options)?;
    wait_for(PATIENCE, "it to lead and to say what it may not", || {
        let status = blind.get("/v1/status")?;
        ensure!(
            status["leader"] == true && status["findings"].to_string().contains("ApiForbidden"),
            "{status:#}"
        );
        Ok(())
    })?;
    // Node configurations do not need Services.
    cluster.write_node(&Node { name: "blind-1", labels: &[("bgp", "blind")], ..Node::default() })?;
    cluster.apply(&crate::operator::cluster_config("blind", "blind", 65001, &[]))?;
    crate::operator::await_node_config(&cluster, "blind-1", |_| true)?;
    delete(&mut api, "/apis/cilium.io/v2/ciliumloadbalancerippools/blind")?;
    std::thread::sleep(Duration::from_secs(3));
    for resource in ["services/status", "ciliumloadbalancerippools/status"] {
        ensure!(requests(&blind, "patch", resource)? == 0, "{resource} was written");
    }
    ensure!(addresses(&read(&cluster, &path(&web))?) == ["172.18.4.0"], "it lost its address");
    drop(blind);
    // No kind, no pools: dormant, whatever stands in statuses.
    cluster.delete("crd", "ciliumloadbalancerippools.cilium.io")?;
    let dormant = operator(&cluster, "dormant", 9975, &["--lbipam-pool-grace", "1s"])?;
    wait_for(PATIENCE, "the dormant one to lead", || {
        let status = dormant.get("/v1/status")?;
        ensure!(status["leader"] == true && status["apiServer"]["certain"] == true, "{status:#}");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(4));
    let kept = read(&cluster, &path(&web))?;
    ensure!(addresses(&kept) == ["172.18.4.0"] && verdict(&kept) == "True/satisfied", "{kept:#}");
    // It wakes with the first pool.
    cluster.install_crds(&cluster::checkout("deploy/crds/ciliumloadbalancerippools.yaml"))?;
    create(&mut api, &pool("again", None, &["172.18.4.0/24"]))?;
    let other = service("default", "other");
    create(&mut api, &other)?;
    wait_for(2 * PATIENCE, "the kind to be found again", || {
        let other = read(&cluster, &path(&other))?;
        ensure!(addresses(&other) == ["172.18.4.1"], "{:#}", other["status"]);
        Ok(())
    })
}

/// An operator that starts anew finds a disabled pool and one in conflict with addresses given: nobody loses anything.
#[test]
fn disabled_and_conflicting_pools_strip_nothing_at_a_restart() -> Result<()> {
    let cluster = cluster::private("lbipam-restart", &[])?;
    let mut api = cluster.connection()?;
    let (off, old, young) = (
        pool("off", Some("default"), &["172.18.5.0/24"]),
        pool("old", Some("kube-system"), &["172.18.6.0/25"]),
        pool("young", Some("kube-public"), &["172.18.6.128/25"]),
    );
    let first = operate(&cluster, &[])?;
    create(&mut api, &off)?;
    create(&mut api, &old)?;
    std::thread::sleep(Duration::from_secs(1));
    create(&mut api, &young)?;
    let services = [service("default", "a"), service("kube-system", "b"), service("kube-public", "c")];
    for service in &services {
        create(&mut api, service)?;
    }
    let expected = ["172.18.5.0", "172.18.6.0", "172.18.6.128"];
    for (service, address) in services.iter().zip(expected) {
        await_addresses(&cluster, &path(service), &[address])?;
    }
    merge(&mut api, &path(&off), &json!({"spec": {"disabled": true}}))?;
    merge(&mut api, &path(&old), &json!({"spec": {"blocks": [{"cidr": "172.18.6.0/24"}]}}))?;
    await_object(&cluster, &path(&young), "to lose the conflict", |pool| {
        condition(pool, "cilium.io/PoolConflict")["status"] == "True"
    })?;
    drop(first);
    let second = operate(&cluster, &[])?;
    // The older pool grew over an address that is given: nobody else gets it.
    let next = service("kube-system", "next");
    create(&mut api, &next)?;
    await_addresses(&cluster, &path(&next), &["172.18.6.1"])?;
    for (service, address) in services.iter().zip(expected) {
        await_addresses(&cluster, &path(service), &[address])?;
    }
    let waits = service("default", "waits");
    create(&mut api, &waits)?;
    await_object(&cluster, &path(&waits), "to be refused", |service| verdict(service) == "False/no_pool")?;
    ensure!(requests(&second, "patch", "services/status")? == 2, "only the new ones were written");
    Ok(())
}

/// Node IPAM on a server: addresses of nodes, and an Event for an annotation that is no selector.
#[test]
fn node_ipam_follows_nodes() -> Result<()> {
    let cluster = cluster::private("lbipam-nodes", &[])?;
    let _operator = operate(&cluster, &["--enable-node-ipam"])?;
    let mut api = cluster.connection()?;
    for (name, ip) in [("n-1", "192.0.2.1"), ("n-2", "192.0.2.2")] {
        cluster.write_node(&Node {
            name,
            labels: &[("edge", name)],
            internal_ips: &[ip],
            ..Node::default()
        })?;
    }
    let mut web = service("default", "web");
    web["spec"]["loadBalancerClass"] = "io.cilium/node".into();
    create(&mut api, &web)?;
    let has = |expected: &'static [&'static str]| move |service: &Value| addresses(service) == expected;
    await_object(&cluster, &path(&web), "to have both nodes", has(&["192.0.2.1", "192.0.2.2"]))?;
    let match_nodes =
        |text: &str| json!({"metadata": {"annotations": {"io.cilium.nodeipam/match-node-labels": text}}});
    merge(&mut api, &path(&web), &match_nodes("edge=n-2"))?;
    await_object(&cluster, &path(&web), "to have one node", has(&["192.0.2.2"]))?;
    merge(&mut api, &path(&web), &match_nodes("edge=("))?;
    wait_for(PATIENCE, "an Event", || {
        let said = events(&cluster, "default", "web")?;
        ensure!(said.iter().any(|event| event.starts_with("InvalidAnnotation: ")), "{said:?}");
        Ok(())
    })?;
    ensure!(addresses(&read(&cluster, &path(&web))?) == ["192.0.2.2"], "it stays as it was");
    Ok(())
}
