//! What the tests of LB IPAM share: Services and pools to write, and what to look for in them.
//!
//! An operator gives addresses to all Services of its control plane. So these tests have control planes of their own, or keep
//! to a namespace and a pool that selects it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::ControlPlane;
use rutter_lab::{HttpConnection, Operator, wait_for};
use serde_json::{Value, json};

/// A pool with these CIDRs for the Services of one namespace, or of all.
pub(crate) fn pool(name: &str, namespace: Option<&str>, cidrs: &[&str]) -> Value {
    let blocks: Vec<Value> = cidrs.iter().map(|cidr| json!({"cidr": cidr})).collect();
    let mut spec = json!({"blocks": blocks});
    if let Some(namespace) = namespace {
        spec["serviceSelector"] = json!({"matchLabels": {"io.kubernetes.service.namespace": namespace}});
    }
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": name}, "spec": spec})
}

/// A Service of type LoadBalancer without node ports, of which a server has few.
pub(crate) fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "selector": {"app": name},
                 "ports": [{"port": 80, "protocol": "TCP"}]}})
}

/// Where the API has an object of these tests.
pub(crate) fn path(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["kind"].as_str() {
        Some("Service") => {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            format!("/api/v1/namespaces/{namespace}/services/{name}")
        }
        _ => format!("/apis/cilium.io/v2/ciliumloadbalancerippools/{name}"),
    }
}

/// Creates an object on an open connection: quicker than kubectl.
pub(crate) fn create(connection: &mut HttpConnection, object: &Value) -> Result<Value> {
    let path = path(object);
    let collection = path.rsplit_once('/').map(|(collection, _)| collection).unwrap_or_default();
    let reply = connection.request("POST", collection, Some(&object.to_string()))?;
    ensure!(reply.status == 201, "{} {}", reply.status, reply.body);
    reply.json()
}

/// Merges this into an object.
pub(crate) fn merge(connection: &mut HttpConnection, path: &str, patch: &Value) -> Result<Value> {
    let reply = connection.send("PATCH", path, "application/merge-patch+json", Some(&patch.to_string()))?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.body);
    reply.json()
}

pub(crate) fn delete(connection: &mut HttpConnection, path: &str) -> Result<()> {
    let reply = connection.request("DELETE", path, None)?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.body);
    Ok(())
}

pub(crate) fn namespace(cluster: &ControlPlane, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let reply = cluster.request("POST", "/api/v1/namespaces", Some(&object.to_string()))?;
    ensure!(reply.status == 201, "{}", reply.body);
    Ok(())
}

pub(crate) fn read(cluster: &ControlPlane, path: &str) -> Result<Value> {
    let reply = cluster.request("GET", path, None)?;
    ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.body);
    reply.json()
}

/// The addresses in a Service's status.
pub(crate) fn addresses(service: &Value) -> Vec<String> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    ingress.into_iter().flatten().filter_map(|entry| entry["ip"].as_str().map(str::to_owned)).collect()
}

/// A condition of an object; null if it has none of the type.
pub(crate) fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.cloned().unwrap_or_default()
}

/// Status and reason of the condition of LB IPAM on a Service.
pub(crate) fn verdict(service: &Value) -> String {
    let condition = condition(service, "cilium.io/IPAMRequestSatisfied");
    match (condition["status"].as_str(), condition["reason"].as_str()) {
        (Some(status), Some(reason)) => format!("{status}/{reason}"),
        _ => String::new(),
    }
}

/// Waits until an object is like this.
pub(crate) fn await_object(
    cluster: &ControlPlane,
    path: &str,
    what: &str,
    like: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_for(PATIENCE, &format!("{path} {what}"), || {
        let object = read(cluster, path)?;
        ensure!(like(&object), "{:#}", object["status"]);
        Ok(object)
    })
}

/// Waits until a Service has exactly these addresses and is satisfied.
pub(crate) fn await_addresses(cluster: &ControlPlane, path: &str, expected: &[&str]) -> Result<Value> {
    await_object(cluster, path, &format!("to have {expected:?}"), |service| {
        addresses(service) == expected && verdict(service) == "True/satisfied"
    })
}

/// All addresses in statuses of all Services, each with who has it.
pub(crate) fn holders(connection: &mut HttpConnection) -> Result<BTreeMap<String, Vec<String>>> {
    let reply = connection.request("GET", "/api/v1/services", None)?;
    ensure!(reply.status == 200, "{}", reply.body);
    let list = reply.json()?;
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in list["items"].as_array().context("no items")? {
        for address in addresses(service) {
            let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            holders.entry(address).or_default().push(name);
        }
    }
    Ok(holders)
}

/// Fails if an address stands in two statuses.
pub(crate) fn ensure_unique(holders: &BTreeMap<String, Vec<String>>) -> Result<()> {
    match holders.iter().find(|(_, services)| services.len() > 1) {
        Some((address, services)) => Err(anyhow!("{address} was given to {services:?}")),
        None => Ok(()),
    }
}

/// Messages of the Events about an object, with their reason.
pub(crate) fn events(cluster: &ControlPlane, namespace: &str, name: &str) -> Result<Vec<String>> {
    let list = read(
        cluster,
        &format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name={name}"),
    )?;
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let events = list["items"].as_array().into_iter().flatten();
    Ok(events.map(|event| format!("{}: {}", text(event, "reason"), text(event, "message"))).collect())
}

/// How many requests an operator has made of a verb and resource that were answered well.
pub(crate) fn requests(operator: &Operator, verb: &str, resource: &str) -> Result<u64> {
    let status = operator.get("/v1/status")?;
    let requests = status["apiServer"]["requests"].as_array().context("no requests")?;
    let wanted = |request: &&Value| {
        request["verb"] == verb && request["resource"] == resource && request["code"] == "2xx"
    };
    Ok(requests.iter().filter(wanted).filter_map(|request| request["count"].as_u64()).sum())
}
