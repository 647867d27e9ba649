//! The store: what all reflectors have read, as one snapshot that is always up to date.
//!
//! Invariants: a reader gets a snapshot in constant time and never waits for a writer that decodes; what does not differ
//! from what is there wakes nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::watch;

use super::watched::Watched;
use crate::object::{EndpointSlice, NamespacedName, Object};
use crate::snapshot::Snapshot;

#[derive(Debug)]
pub(super) struct Store {
    snapshot: Mutex<Snapshot>,
    /// Counts changes.
    version: watch::Sender<u64>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { snapshot: Mutex::default(), version: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Something that a reader may care about is different now.
    pub(super) fn wake(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// The object there is. `service` finds an EndpointSlice.
    pub(super) fn get(
        &self,
        watched: Watched,
        key: &NamespacedName,
        service: Option<&NamespacedName>,
    ) -> Option<Object> {
        let snapshot = self.lock();
        let name = &key.name;
        Some(match watched {
            Watched::Node => Object::Node(Arc::clone(snapshot.nodes.get(name)?)),
            Watched::CiliumNode => Object::CiliumNode(Arc::clone(snapshot.cilium_nodes.get(name)?)),
            Watched::Service => Object::Service(Arc::clone(snapshot.services.get(key)?)),
            Watched::EndpointSlice => {
                let slices = snapshot.endpoint_slices.get(service?)?;
                let found = slices.binary_search_by(|slice| (*slice.name).cmp(name)).ok()?;
                Object::EndpointSlice(Arc::clone(&slices[found]))
            }
            Watched::Secret => Object::Secret(snapshot.secrets.get(key)?.clone()),
            Watched::ServiceCIDR => Object::ServiceCIDR(Arc::clone(snapshot.service_cidrs.get(name)?)),
            Watched::ClusterConfig => {
                Object::CiliumBGPClusterConfig(Arc::clone(snapshot.cluster_configs.get(name)?))
            }
            Watched::PeerConfig => Object::CiliumBGPPeerConfig(Arc::clone(snapshot.peer_configs.get(name)?)),
            Watched::Advertisement => {
                Object::CiliumBGPAdvertisement(Arc::clone(snapshot.advertisements.get(name)?))
            }
            Watched::Override => {
                Object::CiliumBGPNodeConfigOverride(Arc::clone(snapshot.overrides.get(name)?))
            }
            Watched::PodIPPool => Object::CiliumPodIPPool(Arc::clone(snapshot.pod_ip_pools.get(name)?)),
            Watched::LbPool => Object::CiliumLoadBalancerIPPool(Arc::clone(snapshot.lb_pools.get(name)?)),
            Watched::LbReservation => {
                Object::LoadBalancerIPReservation(Arc::clone(snapshot.lb_reservations.get(name)?))
            }
            Watched::NodeConfig => Object::CiliumBGPNodeConfig(Arc::clone(snapshot.node_configs.get(name)?)),
        })
    }

    /// One object is new, or different. `known` says that an earlier version of it was there.
    pub(super) fn apply(&self, watched: Watched, key: &NamespacedName, object: Object, known: bool) {
        let service = match &object {
            Object::EndpointSlice(slice) => slice.service(),
            _ => None,
        };
        let before = self.get(watched, key, service.as_ref());
        if known && before.is_none() && watched == Watched::EndpointSlice {
            // It may have moved from one Service to another, or belong to none now.
            remove_slice(&mut self.lock(), key, None);
        }
        let same = before.is_some_and(|before| is_same(&before, &object));
        self.lock().insert(object);
        if !same {
            self.wake();
        }
    }

    /// One object is gone.
    pub(super) fn remove(&self, watched: Watched, key: &NamespacedName, service: Option<&NamespacedName>) {
        let snapshot = &mut *self.lock();
        let name = &key.name;
        match watched {
            Watched::Node => drop(Arc::make_mut(&mut snapshot.nodes).remove(name)),
            Watched::CiliumNode => drop(Arc::make_mut(&mut snapshot.cilium_nodes).remove(name)),
            Watched::Service => drop(Arc::make_mut(&mut snapshot.services).remove(key)),
            Watched::EndpointSlice => remove_slice(snapshot, key, service),
            Watched::Secret => drop(Arc::make_mut(&mut snapshot.secrets).remove(key)),
            Watched::ServiceCIDR => drop(Arc::make_mut(&mut snapshot.service_cidrs).remove(name)),
            Watched::ClusterConfig => drop(Arc::make_mut(&mut snapshot.cluster_configs).remove(name)),
            Watched::PeerConfig => drop(Arc::make_mut(&mut snapshot.peer_configs).remove(name)),
            Watched::Advertisement => drop(Arc::make_mut(&mut snapshot.advertisements).remove(name)),
            Watched::Override => drop(Arc::make_mut(&mut snapshot.overrides).remove(name)),
            Watched::PodIPPool => drop(Arc::make_mut(&mut snapshot.pod_ip_pools).remove(name)),
            Watched::LbPool => drop(Arc::make_mut(&mut snapshot.lb_pools).remove(name)),
            Watched::LbReservation => drop(Arc::make_mut(&mut snapshot.lb_reservations).remove(name)),
            Watched::NodeConfig => drop(Arc::make_mut(&mut snapshot.node_configs).remove(name)),
        }
        self.wake();
    }

    /// These are all objects of a kind now.
    pub(super) fn replace(&self, watched: Watched, objects: Vec<Object>) {
        let fresh = Snapshot::new(objects);
        let mut guard = self.lock();
        let snapshot = &mut *guard;
        match watched {
            Watched::Node => snapshot.nodes = fresh.nodes,
            Watched::CiliumNode => snapshot.cilium_nodes = fresh.cilium_nodes,
            Watched::Service => snapshot.services = fresh.services,
            Watched::EndpointSlice => snapshot.endpoint_slices = fresh.endpoint_slices,
            Watched::Secret => snapshot.secrets = fresh.secrets,
            Watched::ServiceCIDR => snapshot.service_cidrs = fresh.service_cidrs,
            Watched::ClusterConfig => snapshot.cluster_configs = fresh.cluster_configs,
            Watched::PeerConfig => snapshot.peer_configs = fresh.peer_configs,
            Watched::Advertisement => snapshot.advertisements = fresh.advertisements,
            Watched::Override => snapshot.overrides = fresh.overrides,
            Watched::PodIPPool => snapshot.pod_ip_pools = fresh.pod_ip_pools,
            Watched::LbPool => snapshot.lb_pools = fresh.lb_pools,
            Watched::LbReservation => snapshot.lb_reservations = fresh.lb_reservations,
            Watched::NodeConfig => snapshot.node_configs = fresh.node_configs,
        }
        drop(guard);
        self.wake();
    }

    /// How many objects of a kind there are.
    pub(super) fn count(&self, watched: Watched) -> usize {
        let snapshot = self.lock();
        match watched {
            Watched::Node => snapshot.nodes.len(),
            Watched::CiliumNode => snapshot.cilium_nodes.len(),
            Watched::Service => snapshot.services.len(),
            Watched::EndpointSlice => snapshot.endpoint_slices.values().map(Vec::len).sum(),
            Watched::Secret => snapshot.secrets.len(),
            Watched::ServiceCIDR => snapshot.service_cidrs.len(),
            Watched::ClusterConfig => snapshot.cluster_configs.len(),
            Watched::PeerConfig => snapshot.peer_configs.len(),
            Watched::Advertisement => snapshot.advertisements.len(),
            Watched::Override => snapshot.overrides.len(),
            Watched::PodIPPool => snapshot.pod_ip_pools.len(),
            Watched::LbPool => snapshot.lb_pools.len(),
            Watched::LbReservation => snapshot.lb_reservations.len(),
            Watched::NodeConfig => snapshot.node_configs.len(),
        }
    }
}

/// Where it should be, else wherever it is: the label that says so may have changed.
fn remove_slice(snapshot: &mut Snapshot, key: &NamespacedName, service: Option<&NamespacedName>) {
    let holds = |slices: &Vec<Arc<EndpointSlice>>| slices.iter().any(|slice| *slice.name == key.name);
    let expected = service.filter(|service| snapshot.endpoint_slices.get(service).is_some_and(holds));
    let anywhere = || {
        let all = snapshot.endpoint_slices.iter();
        let found =
            all.filter(|(service, _)| service.namespace == key.namespace).find(|(_, slices)| holds(slices));
        found.map(|(service, _)| service.clone())
    };
    let Some(service) = expected.cloned().or_else(anywhere) else { return };
    let all = Arc::make_mut(&mut snapshot.endpoint_slices);
    if let Some(slices) = all.get_mut(&service) {
        slices.retain(|slice| *slice.name != key.name);
        if slices.is_empty() {
            all.remove(&service);
        }
    }
}

/// Whether two versions of an object are the same but for their resource version.
fn is_same(before: &Object, now: &Object) -> bool {
    let meta = |a: &ObjectMeta, b: &ObjectMeta| {
        a.labels == b.labels
            && a.annotations == b.annotations
            && a.owner_references == b.owner_references
            && a.deletion_timestamp == b.deletion_timestamp
            && (&a.uid, a.generation) == (&b.uid, b.generation)
    };
    if let (Some(before), Some(now)) = (before.metadata(), now.metadata())
        && !meta(before, now)
    {
        return false;
    }
    match (before, now) {
        (Object::Node(a), Object::Node(b)) => a.spec == b.spec && a.status == b.status,
        (Object::CiliumNode(a), Object::CiliumNode(b)) => a.spec == b.spec,
        (Object::Service(a), Object::Service(b)) => a.says_the_same(b),
        (Object::EndpointSlice(a), Object::EndpointSlice(b)) => a.spec == b.spec,
        (Object::ServiceCIDR(a), Object::ServiceCIDR(b)) => a.spec == b.spec,
        (Object::Secret(a), Object::Secret(b)) => a.0.data == b.0.data && a.0.type_ == b.0.type_,
        (Object::CiliumBGPClusterConfig(a), Object::CiliumBGPClusterConfig(b)) => {
            a.spec == b.spec && a.status == b.status
        }
        (Object::CiliumBGPPeerConfig(a), Object::CiliumBGPPeerConfig(b)) => {
            a.spec == b.spec && a.status == b.status
        }
        (Object::CiliumBGPAdvertisement(a), Object::CiliumBGPAdvertisement(b)) => a.spec == b.spec,
        (Object::CiliumPodIPPool(a), Object::CiliumPodIPPool(b)) => a.spec == b.spec,
        (Object::CiliumLoadBalancerIPPool(a), Object::CiliumLoadBalancerIPPool(b)) => {
            a.spec == b.spec && a.status == b.status
        }
        (Object::LoadBalancerIPReservation(a), Object::LoadBalancerIPReservation(b)) => {
            a.spec == b.spec && a.status == b.status
        }
        (Object::CiliumBGPNodeConfigOverride(a), Object::CiliumBGPNodeConfigOverride(b)) => a.spec == b.spec,
        (Object::CiliumBGPNodeConfig(a), Object::CiliumBGPNodeConfig(b)) => {
            a.spec == b.spec && a.status == b.status
        }
        _ => false,
    }
}
