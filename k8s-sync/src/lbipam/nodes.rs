//! Node IPAM: what it looks at, out of a snapshot.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as api;
use lbipam::Settings;
use lbipam::node_ipam::{Node, NodePlan, Nodes};

use crate::object::NamespacedName;
use crate::snapshot::Snapshot;

/// What Node IPAM wants to be written. Nodes are what their Node objects say; a CiliumNode adds nothing.
#[must_use]
pub fn node_plan(settings: &Settings, snapshot: &Snapshot) -> NodePlan {
    let mut plan = NodePlan::default();
    if !settings.node_ipam {
        return plan;
    }
    let nodes: Vec<Node> = snapshot.nodes.values().map(|node| seen(node)).collect();
    let mut nodes = Nodes::new(&nodes);
    for (name, service) in snapshot.services.iter() {
        if let Some(service) = &service.ipam {
            nodes.add_to(&mut plan, settings, service, || ready_nodes(snapshot, name));
        }
    }
    plan
}

/// Whether the plan of another snapshot can be another one.
#[must_use]
pub fn node_plan_may_differ(before: &Snapshot, after: &Snapshot) -> bool {
    !Arc::ptr_eq(&before.nodes, &after.nodes)
        || !Arc::ptr_eq(&before.services, &after.services)
        || !Arc::ptr_eq(&before.endpoint_slices, &after.endpoint_slices)
}

/// Nodes on which a Service has a ready endpoint.
fn ready_nodes(snapshot: &Snapshot, service: &NamespacedName) -> BTreeSet<Box<str>> {
    let slices = snapshot.endpoint_slices.get(service).into_iter().flatten();
    let endpoints = slices.flat_map(|slice| &slice.spec.endpoints);
    endpoints.filter(|endpoint| endpoint.ready).filter_map(|endpoint| endpoint.node.clone()).collect()
}

fn seen(node: &api::Node) -> Node {
    let addresses = |of_type: &str| -> Box<[IpAddr]> {
        let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        all.filter(|address| address.type_ == of_type)
            .filter_map(|address| address.address.parse().ok())
            .collect()
    };
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let labels = node.metadata.labels.iter().flatten();
    Node {
        name: node.metadata.name.as_deref().unwrap_or_default().into(),
        labels: labels.map(|(key, value)| (&**key, &**value)).collect(),
        taints: taints.map(|taint| taint.key.as_str().into()).collect(),
        deleting: node.metadata.deletion_timestamp.is_some(),
        external: addresses("ExternalIP"),
        internal: addresses("InternalIP"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::manifests::Directory;

    const MANIFESTS: &str = "apiVersion: v1
kind: Node
metadata: {name: w1, labels: {zone: a}}
status: {addresses: [{type: Hostname, address: w1}, {type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: 'fd00::1'}]}
---
apiVersion: v1
kind: Node
metadata: {name: w2, labels: {zone: a}}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}, {type: ExternalIP, address: '2001:db8::2'}]}
---
apiVersion: v1
kind: Node
metadata: {name: w3, labels: {zone: a}}
spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}
status: {addresses: [{type: InternalIP, address: 192.0.2.3}]}
---
apiVersion: v1
kind: Service
metadata: {name: all, annotations: {io.cilium.nodeipam/match-node-labels: zone in (a)}}
spec: {type: LoadBalancer, loadBalancerClass: io.cilium/node, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec: {type: LoadBalancer, loadBalancerClass: io.cilium/node, externalTrafficPolicy: Local, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: local-1, labels: {kubernetes.io/service-name: local}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], nodeName: w2}, {addresses: [10.0.0.2], nodeName: w1, conditions: {ready: false}}]
---
apiVersion: v1
kind: Service
metadata: {name: unreadable, annotations: {io.cilium.nodeipam/match-node-labels: zone in a}}
spec: {type: LoadBalancer, loadBalancerClass: io.cilium/node, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {type: LoadBalancer, ports: [{port: 80}]}
";

    #[test]
    fn from_objects_to_addresses() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), MANIFESTS).unwrap();
        let mut directory = Directory::new(folder.path());
        directory.refresh(Timestamp::UNIX_EPOCH);
        assert_eq!(directory.report().to_string(), "");
        let settings = Settings { node_ipam: true, ..Settings::default() };
        let plan = node_plan(&settings, &directory.snapshot());
        let found: Vec<String> = plan
            .services
            .iter()
            .map(|change| {
                let list = change.ingress.iter().flatten().filter_map(|entry| entry.ip);
                let list: Vec<String> = list.map(|ip| ip.to_string()).collect();
                format!("{} {}", change.service.key, list.join(" "))
            })
            .collect();
        assert_eq!(found, ["default/all 192.0.2.1 192.0.2.2", "default/local 192.0.2.2"]);
        assert_eq!(plan.unreadable.len(), 1);
        assert_eq!(node_plan(&Settings::default(), &directory.snapshot()), NodePlan::default());
    }
}
