//! What the operator would write, as objects that a person can read, compare, or apply.
//!
//! Conditions are printed under `status` of an object that holds nothing else: they are what a status update would carry,
//! but for the transition time, which only exists once they are written.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::conditions::ObjectConditions;
use k8s_sync::lbipam::{Allocation, Local, Memory};
use k8s_sync::manifests::Directory;
use k8s_sync::object::Service;
use k8s_sync::report::{Finding, Report, Severity};
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::{LocalNode, intent_for_node, node_configs};
use lbipam::plan::SATISFIED;
use rutter_crds::CiliumLoadBalancerIPPool;
use serde_json::{Value, json};

/// Objects to write and everything there is to say about them.
pub(crate) struct Plan {
    pub(crate) objects: Vec<Value>,
    pub(crate) report: Report,
}

/// Plans for a directory.
pub(crate) fn plan(
    manifests: &Path,
    secrets_namespace: Option<String>,
    allocation: Allocation,
) -> anyhow::Result<Plan> {
    if !manifests.is_dir() {
        bail!(
            "{} is no directory; write --manifests DIR with a directory of YAML or JSON files",
            manifests.display()
        );
    }
    let options = Options { secrets_namespace, ..Options::default() };
    let mut directory = Directory::new(manifests);
    directory.refresh(Timestamp::now());
    let written = directory.snapshot();
    let allocator = Local::look(&written, allocation, Memory::beside(manifests)?, Timestamp::now());
    let snapshot = allocator.snapshot();
    let plan = node_configs(&snapshot, &options);
    let mut report = directory.report().clone();
    report.merge(allocator.report().clone());
    report.merge(plan.report);
    for (node, config) in plan.node_configs.iter().chain(&plan.foreign) {
        let found = intent_for_node(&snapshot, Some(config), &LocalNode::named(node), &options).report;
        report.extend(found.iter().filter(|finding| concerns_all(finding)).cloned());
    }
    report.locate(|object, field| directory.locate(object, field));
    let mut objects = Vec::new();
    for config in plan.node_configs.values() {
        objects.push(
            serde_json::to_value(config.as_ref())
                .context("a node configuration cannot be written as JSON")?,
        );
    }
    objects.extend(plan.conditions.iter().map(status_of));
    objects.extend(service_statuses(&written, &snapshot));
    let made =
        snapshot.lb_reservations.iter().filter(|(name, _)| !written.lb_reservations.contains_key(*name));
    objects.extend(made.map(|(_, reservation)| json!(reservation)));
    objects.extend(snapshot.lb_pools.iter().filter_map(|(name, pool)| pool_status(name, pool)));
    Ok(Plan { objects, report })
}

/// Whether what a node's agent will say is a mistake of the manifests. That a service has no endpoint on one node is not,
/// and its interfaces and routes only the node itself knows.
fn concerns_all(finding: &Finding) -> bool {
    finding.severity() < Severity::Info && !finding.reason.needs_the_node()
}

fn status_of(conditions: &ObjectConditions) -> Value {
    let list: Vec<Value> = conditions
        .conditions
        .iter()
        .map(|condition| {
            let mut json = json!(condition);
            if let Some(generation) = conditions.observed_generation {
                json["observedGeneration"] = json!(generation);
            }
            json
        })
        .collect();
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": conditions.object.kind,
        "metadata": {"name": conditions.object.name},
        "status": {"conditions": list},
    })
}

/// Statuses of Services that differ from those that are written.
fn service_statuses(written: &Snapshot, snapshot: &Snapshot) -> Vec<Value> {
    let differs = |service: &&Arc<Service>| {
        let before = written.services.get(&service.name).and_then(|before| before.ipam.as_ref());
        match (before, &service.ipam) {
            (Some(before), Some(now)) => {
                (&before.ingress, &before.condition) != (&now.ingress, &now.condition)
            }
            _ => false,
        }
    };
    let status = |ipam: &lbipam::Service| {
        let conditions: Vec<Value> = ipam
            .condition
            .iter()
            .map(|verdict| {
                let status = if verdict.satisfied { "True" } else { "False" };
                json!({"type": SATISFIED, "status": status, "reason": verdict.reason, "message": verdict.message})
            })
            .collect();
        json!({"loadBalancer": {"ingress": ipam.ingress}, "conditions": conditions})
    };
    let object = |service: &Arc<Service>| {
        let (name, status) = (&service.name, status(service.ipam.as_ref()?));
        Some(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": name.namespace, "name": name.name},
            "status": status,
        }))
    };
    snapshot.services.values().filter(differs).filter_map(object).collect()
}

fn pool_status(name: &str, pool: &CiliumLoadBalancerIPPool) -> Option<Value> {
    let mut conditions = json!(pool.status.as_ref()?.conditions);
    for condition in conditions.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut) {
        condition.remove("lastTransitionTime");
    }
    Some(json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumLoadBalancerIPPool",
        "metadata": {"name": name},
        "status": {"conditions": conditions},
    }))
}

impl Plan {
    /// One YAML document per object.
    pub(crate) fn to_yaml(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for object in &self.objects {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(object).context("an object cannot be written as YAML")?);
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        Ok(text)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.report.count(Severity::Error) > 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MANIFESTS: &str = "apiVersion: v1
kind: Node
metadata: {name: w1}
---
apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: c, generation: 4}
spec: {bgpInstances: [{name: i, localASN: 65001, peers: [{name: p, peerAddress: 192.0.2.1, peerConfigRef: {name: none}}]}]}
";

    #[test]
    fn node_configs_then_conditions() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), MANIFESTS).unwrap();
        let plan = plan(folder.path(), None, Allocation::default()).unwrap();
        assert_eq!(plan.objects.len(), 2);
        assert_eq!(plan.objects[0]["kind"], "CiliumBGPNodeConfig");
        assert_eq!(plan.objects[0]["metadata"]["ownerReferences"][0]["name"], "c");
        assert_eq!(plan.objects[0]["spec"]["bgpInstances"][0]["peers"][0]["peerASN"], 0);
        let missing = &plan.objects[1]["status"]["conditions"][1];
        assert_eq!(missing["reason"], "PeerConfigsMissing");
        assert_eq!((&missing["status"], &missing["observedGeneration"]), (&json!("True"), &json!(4)));
        assert!(plan.has_errors());
        assert_eq!(plan.to_yaml().unwrap().matches("---\n").count(), 2);
    }

    #[test]
    fn what_it_prints_is_a_manifest_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), MANIFESTS).unwrap();
        let first = plan(folder.path(), None, Allocation::default()).unwrap();
        let printed = serde_saphyr::to_string(&first.objects[0]).unwrap();
        fs::write(folder.path().join("b.yaml"), printed).unwrap();
        let second = plan(folder.path(), None, Allocation::default()).unwrap();
        assert_eq!(first.objects, second.objects, "{}", second.report);
    }

    #[test]
    fn what_only_the_agents_would_refuse_is_said_too() {
        let folder = tempfile::tempdir().unwrap();
        let more = "apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {name: none}
spec: {transport: {sourceInterface: eth7}, families: [{afi: ipv4, safi: unicast, advertisements: {}}]}
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {name: odd}
spec: {advertisements: [{advertisementType: PodCIDR, attributes: {localPreference: -5}}]}
";
        let node = "metadata: {name: w1}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.9}]}";
        let manifests = MANIFESTS.replace("metadata: {name: w1}", node);
        fs::write(folder.path().join("a.yaml"), format!("{manifests}---\n{more}")).unwrap();
        let printed = plan(folder.path(), None, Allocation::default()).unwrap().report.to_string();
        assert!(!printed.contains("SourceInterfaceUnusable"), "{printed}");
        let manifests =
            format!("{manifests}---\n{}", more.replace("transport: {sourceInterface: eth7}, ", ""));
        fs::write(folder.path().join("a.yaml"), manifests).unwrap();
        let plan = plan(folder.path(), None, Allocation::default()).unwrap();
        assert!(plan.report.to_string().contains("LocalPreferenceOutOfRange"), "{}", plan.report);
        assert!(plan.has_errors());
    }

    #[test]
    fn addresses_of_services_and_conditions_of_pools() {
        let folder = tempfile::tempdir().unwrap();
        let text = "apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: {name: p}
spec: {blocks: [{cidr: 172.16.1.0/24}], allowFirstLastIPs: 'No'}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {type: ClusterIP, ports: [{port: 80}]}
";
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        let printed = |allocation| plan(folder.path(), None, allocation).unwrap();
        let objects = printed(Allocation::default()).objects;
        assert_eq!(objects.len(), 2, "{objects:?}");
        assert_eq!(objects[0]["metadata"], json!({"namespace": "default", "name": "web"}));
        let expected = json!({
            "loadBalancer": {"ingress": [{"ip": "172.16.1.1"}]},
            "conditions": [{"type": "cilium.io/IPAMRequestSatisfied", "status": "True", "reason": "satisfied", "message": ""}],
        });
        assert_eq!(objects[0]["status"], expected);
        let conditions = objects[1]["status"]["conditions"].as_array().unwrap();
        let used = conditions.iter().find(|condition| condition["type"] == "cilium.io/IPsUsed").unwrap();
        assert_eq!((&used["message"], &used["status"]), (&json!("3"), &json!("Unknown")));
        assert!(used.get("lastTransitionTime").is_none());
        let off = Allocation { lb_ipam: false, ..Allocation::default() };
        assert_eq!(printed(off).objects.len(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there() {
        let error = plan(Path::new("/nowhere"), None, Allocation::default()).err().unwrap().to_string();
        assert!(error.contains("/nowhere is no directory"), "{error}");
    }
}
