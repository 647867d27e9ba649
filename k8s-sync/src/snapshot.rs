//! The snapshot: all objects that translation looks at, at one moment.
//!
//! Invariant: a snapshot never changes once it was handed out, and holds at most one object per kind and name. Where the
//! objects came from (files, an API server) is of no matter from here on. A copy costs one reference per kind: whoever
//! keeps a snapshot up to date changes only the maps that it alone holds, and copies the others first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use rutter_crds::{
    CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig, CiliumBGPNodeConfigOverride,
    CiliumBGPPeerConfig, CiliumLoadBalancerIPPool, CiliumNode, CiliumPodIPPool, LoadBalancerIPReservation,
};

use crate::object::{EndpointSlice, NamespacedName, Object, SecretObject, Service};

/// All objects that matter, shared and immutable.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Nodes by name.
    pub nodes: Arc<BTreeMap<String, Arc<Node>>>,
    /// CiliumNodes by name.
    pub cilium_nodes: Arc<BTreeMap<String, Arc<CiliumNode>>>,
    /// Services.
    pub services: Arc<BTreeMap<Arc<NamespacedName>, Arc<Service>>>,
    /// EndpointSlices by the Service they belong to; those that belong to none are not kept.
    pub endpoint_slices: Arc<BTreeMap<NamespacedName, Vec<Arc<EndpointSlice>>>>,
    /// Ranges of cluster IPs by name.
    pub service_cidrs: Arc<BTreeMap<String, Arc<ServiceCIDR>>>,
    /// Secrets.
    pub secrets: Arc<BTreeMap<NamespacedName, SecretObject>>,
    /// Cluster configurations by name.
    pub cluster_configs: Arc<BTreeMap<String, Arc<CiliumBGPClusterConfig>>>,
    /// Peer configurations by name.
    pub peer_configs: Arc<BTreeMap<String, Arc<CiliumBGPPeerConfig>>>,
    /// Advertisements by name.
    pub advertisements: Arc<BTreeMap<String, Arc<CiliumBGPAdvertisement>>>,
    /// Overrides by the name of their node.
    pub overrides: Arc<BTreeMap<String, Arc<CiliumBGPNodeConfigOverride>>>,
    /// Existing node configurations by the name of their node.
    pub node_configs: Arc<BTreeMap<String, Arc<CiliumBGPNodeConfig>>>,
    /// Pools of pod addresses by name.
    pub pod_ip_pools: Arc<BTreeMap<String, Arc<CiliumPodIPPool>>>,
    /// Pools of load balancers' addresses by name.
    pub lb_pools: Arc<BTreeMap<String, Arc<CiliumLoadBalancerIPPool>>>,
    /// Reservations of load balancers' addresses by name.
    pub lb_reservations: Arc<BTreeMap<String, Arc<LoadBalancerIPReservation>>>,
}

/// What a Node and its CiliumNode say together.
#[derive(Clone, Debug)]
pub struct NodeView<'s> {
    node: Option<&'s Node>,
    cilium_node: Option<&'s CiliumNode>,
}

impl Snapshot {
    /// A snapshot of these objects. Of two with the same kind and name the later one counts.
    #[must_use]
    pub fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut snapshot = Self::default();
        for object in objects {
            snapshot.insert(object);
        }
        snapshot
    }

    /// Adds an object, or replaces the one of its kind and name.
    pub fn insert(&mut self, object: Object) {
        let name = object.name().to_owned();
        match object {
            Object::Node(node) => {
                Arc::make_mut(&mut self.nodes).insert(name, node);
            }
            Object::CiliumNode(node) => {
                Arc::make_mut(&mut self.cilium_nodes).insert(name, node);
            }
            Object::Service(service) => {
                Arc::make_mut(&mut self.services).insert(Arc::clone(&service.name), service);
            }
            Object::EndpointSlice(slice) => self.insert_slice(slice),
            Object::Secret(secret) => {
                Arc::make_mut(&mut self.secrets).insert(NamespacedName::of(&secret.0.metadata), secret);
            }
            Object::ServiceCIDR(range) => {
                Arc::make_mut(&mut self.service_cidrs).insert(name, range);
            }
            Object::CiliumBGPClusterConfig(config) => {
                Arc::make_mut(&mut self.cluster_configs).insert(name, config);
            }
            Object::CiliumBGPPeerConfig(config) => {
                Arc::make_mut(&mut self.peer_configs).insert(name, config);
            }
            Object::CiliumBGPAdvertisement(advertisement) => {
                Arc::make_mut(&mut self.advertisements).insert(name, advertisement);
            }
            Object::CiliumBGPNodeConfigOverride(overrides) => {
                Arc::make_mut(&mut self.overrides).insert(name, overrides);
            }
            Object::CiliumBGPNodeConfig(config) => {
                Arc::make_mut(&mut self.node_configs).insert(name, config);
            }
            Object::CiliumPodIPPool(pool) => {
                Arc::make_mut(&mut self.pod_ip_pools).insert(name, pool);
            }
            Object::CiliumLoadBalancerIPPool(pool) => {
                Arc::make_mut(&mut self.lb_pools).insert(name, pool);
            }
            Object::LoadBalancerIPReservation(reservation) => {
                Arc::make_mut(&mut self.lb_reservations).insert(name, reservation);
            }
        }
    }

    /// The slices of a Service stay sorted by name.
    fn insert_slice(&mut self, slice: Arc<EndpointSlice>) {
        let Some(service) = slice.service() else { return };
        let slices = Arc::make_mut(&mut self.endpoint_slices).entry(service).or_default();
        match slices.binary_search_by(|other| other.name.cmp(&slice.name)) {
            Ok(at) => slices[at] = slice,
            Err(at) => slices.insert(at, slice),
        }
    }

    /// Names of all nodes, from Nodes and CiliumNodes.
    #[must_use]
    pub fn node_names(&self) -> BTreeSet<&str> {
        self.nodes.keys().chain(self.cilium_nodes.keys()).map(String::as_str).collect()
    }

    /// What is known about a node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeView<'_>> {
        let view = NodeView {
            node: self.nodes.get(name).map(Arc::as_ref),
            cilium_node: self.cilium_nodes.get(name).map(Arc::as_ref),
        };
        (view.node.is_some() || view.cilium_node.is_some()).then_some(view)
    }
}

impl<'s> NodeView<'s> {
    /// Labels of the node. The Node decides if it exists: CiliumNode labels are a mirror of it, and a mirror that a
    /// stopped Cilium left behind must not keep a node selected.
    #[must_use]
    pub fn labels(&self) -> Option<&'s BTreeMap<String, String>> {
        let metadata = match (self.node, self.cilium_node) {
            (Some(node), _) => &node.metadata,
            (None, Some(node)) => &node.metadata,
            (None, None) => return None,
        };
        metadata.labels.as_ref()
    }

    /// One of the [labels](Self::labels).
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&'s str> {
        self.labels()?.get(key).map(String::as_str)
    }

    /// Addresses with their kind (`InternalIP`, ...), those of the CiliumNode first.
    pub fn addresses(&self) -> impl Iterator<Item = (&'s str, IpAddr)> {
        let cilium =
            self.cilium_node.into_iter().flat_map(|node| &node.spec.addresses).filter_map(|address| {
                Some((address.type_.as_deref()?, address.ip.as_deref()?.parse().ok()?))
            });
        let plain = self
            .node
            .and_then(|node| node.status.as_ref()?.addresses.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|address| Some((address.type_.as_str(), address.address.parse().ok()?)));
        cilium.chain(plain)
    }

    /// CIDRs out of pools that the node holds (IPAM mode `multi-pool`), with the name of the pool.
    pub fn pool_cidrs(&self) -> impl Iterator<Item = (&'s str, &'s [String])> {
        let pools = self.cilium_node.and_then(|node| node.spec.ipam.as_ref()?.pools.as_ref());
        pools
            .into_iter()
            .flat_map(|pools| &pools.allocated)
            .map(|allocation| (allocation.pool.as_str(), allocation.cidrs.as_slice()))
    }

    /// Whether the node holds pieces of pools and its CiliumNode has no pod CIDR: then those of the Node, which a controller may
    /// hand out all the same, are used by no pod.
    #[must_use]
    pub fn lives_on_pools(&self) -> bool {
        let ipam = self.cilium_node.and_then(|node| node.spec.ipam.as_ref());
        ipam.is_some_and(|ipam| ipam.pod_cidrs.is_empty())
            && self.pool_cidrs().any(|(_, cidrs)| !cidrs.is_empty())
    }

    /// Pod CIDRs as written. A CiliumNode that has some decides: with `cluster-pool` IPAM the Node's are others.
    #[must_use]
    pub fn pod_cidrs(&self) -> Vec<&'s str> {
        let cilium = self.cilium_node.and_then(|node| node.spec.ipam.as_ref()).map(|ipam| &ipam.pod_cidrs);
        if let Some(cidrs) = cilium.filter(|cidrs| !cidrs.is_empty()) {
            return cidrs.iter().map(String::as_str).collect();
        }
        let Some(spec) = self.node.and_then(|node| node.spec.as_ref()) else { return Vec::new() };
        match (&spec.pod_cidrs, &spec.pod_cidr) {
            (Some(cidrs), _) if !cidrs.is_empty() => cidrs.iter().map(String::as_str).collect(),
            (_, Some(cidr)) => vec![cidr.as_str()],
            _ => Vec::new(),
        }
    }
}
