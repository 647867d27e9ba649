//! Addresses that the cluster itself uses: nodes, pods, cluster IPs.
//!
//! Invariant: whatever is written and cannot be read as an address or a range is left out here; who writes it hears of it
//! elsewhere.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use lbipam::{ClusterRange, RangeUse};

use crate::snapshot::Snapshot;

/// Every range that is in use, sorted, none of them twice.
#[must_use]
pub fn cluster_ranges(snapshot: &Snapshot) -> Vec<ClusterRange> {
    let mut ranges = Vec::new();
    for name in snapshot.node_names() {
        let Some(node) = snapshot.node(name) else { continue };
        let mut add = |net: IpNet, what| {
            ranges.push(ClusterRange { net: net.trunc(), what, of: format!("Node {name}").into() });
        };
        for (_, address) in node.addresses() {
            add(single(address), RangeUse::Node);
        }
        let of_pools = node.pool_cidrs().flat_map(|(_, cidrs)| cidrs).map(String::as_str);
        for cidr in node.pod_cidrs().into_iter().chain(of_pools).filter_map(|cidr| cidr.parse().ok()) {
            add(cidr, RangeUse::Pods);
        }
    }
    for (name, range) in snapshot.service_cidrs.iter() {
        let cidrs = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
        for net in cidrs.filter_map(|cidr| cidr.parse::<IpNet>().ok()) {
            let of = format!("ServiceCIDR {name}").into();
            ranges.push(ClusterRange { net: net.trunc(), what: RangeUse::Services, of });
        }
    }
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// Whether the ranges of two snapshots can be different.
#[must_use]
pub fn cluster_ranges_may_differ(before: &Snapshot, after: &Snapshot) -> bool {
    !Arc::ptr_eq(&before.nodes, &after.nodes)
        || !Arc::ptr_eq(&before.cilium_nodes, &after.cilium_nodes)
        || !Arc::ptr_eq(&before.service_cidrs, &after.service_cidrs)
}

fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::manifests::Directory;

    fn ranges(manifests: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(Path::new(folder.path()).join("a.yaml"), manifests).unwrap();
        let mut directory = Directory::new(folder.path());
        directory.refresh(Timestamp::UNIX_EPOCH);
        assert_eq!(directory.report().to_string(), "");
        cluster_ranges(&directory.snapshot()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nodes_pods_and_services() {
        let manifests = "apiVersion: v1
kind: Node
metadata: {name: w1}
spec: {podCIDRs: [10.244.1.0/24, 'fd00:1::/64']}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: w1}]}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: w2}
spec:
  addresses: [{type: InternalIP, ip: 192.0.2.2}, {type: CiliumInternalIP, ip: 10.0.2.9}]
  ipam: {pools: {allocated: [{pool: default, cidrs: [10.0.2.0/25]}]}}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16]}
";
        let expected = [
            "10.0.2.0/25 (pod addresses of Node w2)",
            "10.0.2.9/32 (node addresses of Node w2)",
            "10.96.0.0/16 (cluster IPs of ServiceCIDR kubernetes)",
            "10.244.1.0/24 (pod addresses of Node w1)",
            "192.0.2.1/32 (node addresses of Node w1)",
            "192.0.2.2/32 (node addresses of Node w2)",
            "fd00:1::/64 (pod addresses of Node w1)",
        ];
        assert_eq!(ranges(manifests), expected);
    }
}
