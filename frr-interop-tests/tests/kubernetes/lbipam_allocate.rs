//! Addresses out of pools on a real API server: given, kept, refused and released, with conditions, Events, metrics and history.

use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::ControlPlane;
use rutter_lab::{Operator, wait_for};
use serde_json::{Value, json};

use crate::cluster;
use crate::lbipam::{
    addresses, await_addresses, await_object, condition, create, delete, events, merge, namespace, path,
    pool, read, requests, service, verdict,
};
use crate::operator::operate;

/// A control plane and an operator for the tests of this file; each has a namespace and pools of its own.
fn plane() -> Result<&'static (ControlPlane, Operator)> {
    static PLANE: OnceLock<Result<(ControlPlane, Operator), String>> = OnceLock::new();
    let start = || -> Result<(ControlPlane, Operator)> {
        let dual = ["--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"];
        let cluster = cluster::private("lbipam", &dual)?;
        let operator = operate(&cluster, &["--lbipam-pool-grace", "2s"])?;
        Ok((cluster, operator))
    };
    PLANE
        .get_or_init(|| start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

const SATISFIED: &str = "cilium.io/IPAMRequestSatisfied";

#[test]
fn from_pool_to_status_with_everything_that_shows_it() -> Result<()> {
    let (cluster, operator) = plane()?;
    let mut api = cluster.connection()?;
    namespace(cluster, "first")?;
    let web = service("first", "web");
    create(&mut api, &web)?;
    let pool = pool("first", Some("first"), &["172.16.1.0/29"]);
    create(&mut api, &pool)?;
    let given = await_addresses(cluster, &path(&web), &["172.16.1.0"])?;
    let verdict = condition(&given, SATISFIED);
    ensure!(verdict["message"] == "" && verdict["lastTransitionTime"].is_string(), "{verdict}");
    ensure!(verdict.get("observedGeneration").is_none(), "{verdict}");
    let full = await_object(cluster, &path(&pool), "to be counted", |pool| {
        condition(pool, "cilium.io/IPsUsed")["message"] == "1"
    })?;
    for (type_, status, reason, message) in [
        ("cilium.io/PoolConflict", "False", "resolved", ""),
        ("cilium.io/IPsTotal", "Unknown", "noreason", "8"),
        ("cilium.io/IPsAvailable", "Unknown", "noreason", "7"),
        ("cilium.io/IPsUsed", "Unknown", "noreason", "1"),
    ] {
        let condition = condition(&full, type_);
        let said = [&condition["status"], &condition["reason"], &condition["message"]];
        ensure!(said == [status, reason, message], "{condition}");
        ensure!(condition["observedGeneration"] == 1, "{condition}");
    }
    let columns = cluster.kubectl(&["get", "ippools", "first"])?;
    let row: Vec<&str> = columns.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    ensure!(row.get(..4) == Some(&["first", "false", "False", "7"]), "{columns}");
    // One that asks for what is taken.
    let mut other = service("first", "other");
    other["metadata"]["annotations"] = json!({"lbipam.cilium.io/ips": "172.16.1.0"});
    create(&mut api, &other)?;
    await_object(cluster, &path(&other), "to be refused", |service| {
        crate::lbipam::verdict(service) == "False/already_allocated"
    })?;
    wait_for(PATIENCE, "Events", || {
        let said = [events(cluster, "first", "web")?, events(cluster, "first", "other")?];
        ensure!(said[0].contains(&"IPAllocated: 172.16.1.0 from pool first".to_owned()), "{said:?}");
        ensure!(
            said[1].iter().any(|event| event.starts_with("IPAllocationFailed: already_allocated")),
            "{said:?}"
        );
        Ok(())
    })?;
    let described = cluster.kubectl(&["describe", "service", "-n", "first", "web"])?;
    ensure!(described.contains("IPAllocated"), "kubectl describe shows it: {described}");
    // It is released, and the one that waits gets it.
    delete(&mut api, &path(&web))?;
    await_addresses(cluster, &path(&other), &["172.16.1.0"])?;
    let told = operator.get("/v1/lbipam/history/172.16.1.0")?;
    let entries: Vec<String> = told["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            format!(
                "{} {}",
                entry["service"].as_str().unwrap_or_default(),
                entry["what"].as_str().unwrap_or_default()
            )
        })
        .collect();
    ensure!(entries == ["first/other allocated", "first/web released", "first/web allocated"], "{told:#}");
    ensure!(told["holders"] == json!(["first/other"]), "{told:#}");
    let all = operator.get("/v1/lbipam")?;
    let ours = all["pools"].as_array().into_iter().flatten().find(|pool| pool["name"] == "first");
    ensure!(ours.is_some_and(|pool| pool["ipv4"]["used"] == "1" && pool["ipv6"]["total"] == "0"), "{all:#}");
    ensure!(operator.request("GET", "/v1/lbipam/history/x")?.status == 400, "no address");
    Ok(())
}

#[test]
fn dual_stack_refusals_and_types_that_change() -> Result<()> {
    let (cluster, _) = plane()?;
    let mut api = cluster.connection()?;
    namespace(cluster, "dual")?;
    create(&mut api, &pool("dual", Some("dual"), &["172.16.2.0/30", "fd00:2::/126"]))?;
    let mut both = service("dual", "both");
    both["spec"]["ipFamilyPolicy"] = "RequireDualStack".into();
    create(&mut api, &both)?;
    await_addresses(cluster, &path(&both), &["172.16.2.0", "fd00:2::"])?;
    // Not a load balancer any more: the server empties the list, the condition is ours to remove.
    let foreign = json!({"status": {"conditions": [{"type": "example.org/Mine", "status": "True", "reason": "x",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let patch = serde_json::to_string(&foreign)?;
    let reply = api.send(
        "PATCH",
        &format!("{}/status", path(&both)),
        "application/strategic-merge-patch+json",
        Some(&patch),
    )?;
    ensure!(reply.status == 200, "{}", reply.body);
    merge(
        &mut api,
        &path(&both),
        &json!({"spec": {"type": "ClusterIP", "allocateLoadBalancerNodePorts": null}}),
    )?;
    let left = await_object(cluster, &path(&both), "to have no condition of ours", |service| {
        verdict(service).is_empty() && addresses(service).is_empty()
    })?;
    ensure!(condition(&left, "example.org/Mine")["status"] == "True", "{left:#}");
    // What cannot be understood is no reason to give any address.
    let mut odd = service("dual", "odd");
    odd["metadata"]["annotations"] = json!({"lbipam.cilium.io/ips": "172.16.2.x"});
    create(&mut api, &odd)?;
    let refused = await_object(cluster, &path(&odd), "to be refused", |service| {
        verdict(service) == "False/invalid_request"
    })?;
    ensure!(addresses(&refused).is_empty(), "{refused:#}");
    // A class of somebody else's: not even a condition. It stays so while others are served.
    let mut foreign = service("dual", "foreign");
    foreign["spec"]["loadBalancerClass"] = "example.org/lb".into();
    create(&mut api, &foreign)?;
    let mut last = service("dual", "last");
    last["spec"]["loadBalancerClass"] = "io.cilium/bgp-control-plane".into();
    create(&mut api, &last)?;
    await_object(cluster, &path(&last), "to be served", |service| !addresses(service).is_empty())?;
    let foreign = read(cluster, &path(&foreign))?;
    ensure!(verdict(&foreign).is_empty() && addresses(&foreign).is_empty(), "{foreign:#}");
    Ok(())
}

#[test]
fn a_pool_that_is_renamed_keeps_its_addresses_and_one_that_is_gone_does_not() -> Result<()> {
    let (cluster, operator) = plane()?;
    let mut api = cluster.connection()?;
    namespace(cluster, "named")?;
    let (old, new) = (
        pool("old-name", Some("named"), &["172.16.3.0/29"]),
        pool("new-name", Some("named"), &["172.16.3.0/28"]),
    );
    create(&mut api, &old)?;
    let mut web = service("named", "web");
    web["metadata"]["annotations"] = json!({"lbipam.cilium.io/ips": "172.16.3.5"});
    create(&mut api, &web)?;
    await_addresses(cluster, &path(&web), &["172.16.3.5"])?;
    merge(&mut api, &path(&web), &json!({"metadata": {"annotations": {"lbipam.cilium.io/ips": null}}}))?;
    delete(&mut api, &path(&old))?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    create(&mut api, &new)?;
    await_object(cluster, &path(&new), "to count it", |pool| {
        condition(pool, "cilium.io/IPsUsed")["message"] == "1"
    })?;
    await_addresses(cluster, &path(&web), &["172.16.3.5"])?;
    let history = operator.get("/v1/lbipam/history/172.16.3.5")?;
    ensure!(
        history["entries"].as_array().is_some_and(|entries| entries.len() == 1),
        "it never left: {history:#}"
    );
    // Gone for longer than the time of grace.
    delete(&mut api, &path(&new))?;
    await_object(cluster, &path(&web), "to lose the address", |service| {
        addresses(service).is_empty() && verdict(service) == "False/no_pool"
    })?;
    wait_for(PATIENCE, "Events", || {
        let said = events(cluster, "named", "web")?;
        ensure!(said.iter().any(|event| event.starts_with("IPReleased: 172.16.3.5")), "{said:?}");
        Ok(())
    })
}

/// A Service that is deleted and created again finds its address where it was; after the time that it asked for, anybody may have it.
#[test]
fn an_address_is_kept_for_who_comes_back() -> Result<()> {
    let (cluster, operator) = plane()?;
    let mut api = cluster.connection()?;
    namespace(cluster, "kept")?;
    create(&mut api, &pool("kept", Some("kept"), &["172.16.6.0/31"]))?;
    let mut web = service("kept", "web");
    web["metadata"]["annotations"] = json!({"rutter.dev/reservation-grace": "6s"});
    create(&mut api, &web)?;
    await_addresses(cluster, &path(&web), &["172.16.6.0"])?;
    let ours = || -> Result<Vec<Value>> {
        let all = read(cluster, "/apis/rutter.dev/v1alpha1/loadbalanceripreservations")?;
        Ok(all["items"].as_array().cloned().unwrap_or_default())
    };
    wait_for(PATIENCE, "a reservation", || {
        let all = ours()?;
        ensure!(all.iter().any(|object| object["spec"]["addresses"] == json!(["172.16.6.0"])), "{all:?}");
        Ok(())
    })?;
    delete(&mut api, &path(&web))?;
    wait_for(PATIENCE, "it to be noted that the Service is gone", || {
        let all = ours()?;
        ensure!(all.iter().any(|object| object["status"]["releasedAt"].is_string()), "{all:?}");
        Ok(())
    })?;
    let other = service("kept", "other");
    create(&mut api, &other)?;
    await_addresses(cluster, &path(&other), &["172.16.6.1"])?;
    create(&mut api, &web)?;
    await_addresses(cluster, &path(&web), &["172.16.6.0"])?;
    wait_for(PATIENCE, "it to be noted that the Service is back", || {
        let all = ours()?;
        ensure!(all.iter().all(|object| object["status"]["releasedAt"].is_null()), "{all:?}");
        Ok(())
    })?;
    delete(&mut api, &path(&web))?;
    let third = service("kept", "third");
    create(&mut api, &third)?;
    await_object(cluster, &path(&third), "to be refused", |service| verdict(service).starts_with("False/"))?;
    await_addresses(cluster, &path(&third), &["172.16.6.0"])?;
    wait_for(PATIENCE, "the reservation to go", || {
        let all = ours()?;
        ensure!(all.is_empty(), "{all:?}");
        Ok(())
    })?;
    ensure!(operator.get("/v1/lbipam")?["failing"] == json!([]), "{:#}", operator.get("/v1/lbipam")?);
    Ok(())
}

#[test]
fn pools_in_conflict_and_with_bad_blocks_say_so() -> Result<()> {
    let (cluster, _) = plane()?;
    let mut api = cluster.connection()?;
    namespace(cluster, "odd")?;
    let mut bad = pool("odd-block", Some("odd"), &["172.16.4.0/29"]);
    bad["spec"]["blocks"] = json!([{"cidr": "172.16.4.0/29"}, {"start": "172.16.4.300"}]);
    create(&mut api, &bad)?;
    let said = await_object(cluster, &path(&bad), "to complain", |pool| {
        condition(pool, "rutter.dev/InvalidBlock")["status"] == "True"
    })?;
    ensure!(condition(&said, "cilium.io/IPsTotal")["message"] == "8", "the good block serves: {said:#}");
    let web = service("odd", "web");
    create(&mut api, &web)?;
    await_addresses(cluster, &path(&web), &["172.16.4.0"])?;
    // A condition of somebody else's survives.
    let mut with_foreign = read(cluster, &path(&bad))?;
    with_foreign["status"]["conditions"].as_array_mut().into_iter().for_each(|conditions| {
        conditions.push(json!({"type": "example.org/Mine", "status": "True", "reason": "x", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}));
    });
    let reply = api.request("PUT", &format!("{}/status", path(&bad)), Some(&with_foreign.to_string()))?;
    ensure!(reply.status == 200, "{}", reply.body);
    merge(&mut api, &path(&bad), &json!({"spec": {"blocks": [{"cidr": "172.16.4.0/29"}]}}))?;
    let good = await_object(cluster, &path(&bad), "to be content", |pool| {
        condition(pool, "rutter.dev/InvalidBlock").is_null()
    })?;
    ensure!(condition(&good, "example.org/Mine")["message"] == "m", "{good:#}");
    // The younger one loses, and the Service of the older one keeps its address.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let young = pool("odd-young", Some("odd"), &["172.16.4.4/30"]);
    create(&mut api, &young)?;
    let said = await_object(cluster, &path(&young), "to be in conflict", |pool| {
        condition(pool, "cilium.io/PoolConflict")["status"] == "True"
    })?;
    ensure!(condition(&said, "cilium.io/PoolConflict")["reason"] == "cidr_overlap", "{said:#}");
    await_addresses(cluster, &path(&web), &["172.16.4.0"])?;
    wait_for(PATIENCE, "Events", || {
        let said = [events(cluster, "default", "odd-block")?, events(cluster, "default", "odd-young")?];
        ensure!(said[0].iter().any(|event| event.starts_with("InvalidBlock: ")), "{said:?}");
        ensure!(said[1].iter().any(|event| event.starts_with("PoolConflict: ")), "{said:?}");
        Ok(())
    })?;
    let row = cluster.kubectl(&["get", "ippools", "odd-young", "--no-headers"])?;
    ensure!(row.split_whitespace().nth(2) == Some("True"), "{row}");
    Ok(())
}

#[test]
fn a_service_costs_one_write_and_metrics_have_both_generations_names() -> Result<()> {
    let cluster = cluster::private("lbipam-cost", &[])?;
    let operator = operate(&cluster, &[])?;
    let mut api = cluster.connection()?;
    create(&mut api, &pool("cost", None, &["172.16.5.0/24", "fd00:5::/64"]))?;
    for number in 0..50 {
        create(&mut api, &service("default", &format!("cost-{number}")))?;
    }
    let counted = |count: &str| {
        let count = count.to_owned();
        move |pool: &Value| condition(pool, "cilium.io/IPsUsed")["message"] == count.as_str()
    };
    let path = "/apis/cilium.io/v2/ciliumloadbalancerippools/cost";
    await_object(&cluster, path, "to count all", counted("50"))?;
    ensure!(requests(&operator, "patch", "services/status")? == 50, "{:#}", operator.get("/v1/status")?);
    ensure!(requests(&operator, "patch", "ciliumloadbalancerippools/status")? <= 6, "at most one per second");
    let metrics = operator.request("GET", "/metrics")?.body;
    for (prefix, suffix) in
        [("cilium_lbipam", ""), ("cilium_lbipam", "_total"), ("cilium_operator_lbipam", "")]
    {
        for line in [
            format!("{prefix}_conflicting_pools{suffix} 0"),
            format!("{prefix}_ips_available{suffix}{{pool=\"cost\"}} 18446744073709552000"),
            format!("{prefix}_ips_used{suffix}{{pool=\"cost\"}} 50"),
            format!("{prefix}_services_matching{suffix} 50"),
            format!("{prefix}_services_unsatisfied{suffix} 0"),
        ] {
            ensure!(metrics.lines().any(|other| other == line), "{line} is not in {metrics}");
        }
    }
    let histogram =
        "cilium_lbipam_event_processing_time_seconds_count{event=\"upsert\",resource=\"service\"}";
    ensure!(metrics.contains(histogram), "{metrics}");
    let family = "rutter_operator_lbipam_addresses{family=\"IPv4\",pool=\"cost\",state=\"available\"} 206";
    ensure!(metrics.contains(family), "{metrics}");
    // Another process adopts everything as it is: not one write, and no Event again.
    let before = events(&cluster, "default", "cost-7")?;
    drop(operator);
    let operator = operate(&cluster, &[])?;
    wait_for(PATIENCE, "the new one to have taken over", || {
        let status = operator.get("/v1/lbipam")?;
        ensure!(status["leader"] == true && status["counts"]["services"] == 50, "{status:#}");
        Ok(())
    })?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    for resource in ["services/status", "ciliumloadbalancerippools/status"] {
        ensure!(requests(&operator, "patch", resource)? == 0, "{resource} was written");
    }
    ensure!(requests(&operator, "create", "events")? == 0, "Events were told again");
    ensure!(requests(&operator, "list", "services")? <= 1, "listed more than once");
    ensure!(events(&cluster, "default", "cost-7")? == before, "{before:?}");
    Ok(())
}
