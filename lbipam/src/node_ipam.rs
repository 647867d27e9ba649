//! Node IPAM: a load balancer without addresses of its own, whose ingress are addresses of nodes.
//!
//! For Services of class `io.cilium/node`, or of none if that is the default. Nothing is allocated, so nothing is remembered:
//! nodes and endpoints in, ingress out. Invariant: the same nodes give the same list in the same order, whatever it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rutter_crds::TextSelector;

use crate::plan::ServiceChange;
use crate::service::{Family, FamilyPolicy, Ingress, Service, TrafficPolicy, Words};
use crate::settings::{DefaultIpam, Settings};

/// The class of Services that are served here.
pub const CLASS: &str = "io.cilium/node";
/// The annotation that says which nodes count.
pub const MATCH_NODE_LABELS: &str = "io.cilium.nodeipam/match-node-labels";
/// The label of nodes that no load balancer uses.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The taint of nodes that the cluster autoscaler is about to remove.
const GOING: &str = "ToBeDeletedByClusterAutoscaler";

/// A node, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Words,
    /// Keys of its taints.
    pub taints: Box<[Box<str>]>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its addresses of type ExternalIP.
    pub external: Box<[IpAddr]>,
    /// Its addresses of type InternalIP.
    pub internal: Box<[IpAddr]>,
}

/// What Node IPAM has to say about all its Services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePlan {
    /// Services whose ingress is to be another one. They have no condition.
    pub services: Vec<ServiceChange>,
    /// Services whose annotation cannot be read; their ingress stays as it is.
    pub unreadable: Vec<Unreadable>,
}

/// A Service whose annotation [`MATCH_NODE_LABELS`] is no selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// The Service.
    pub service: Arc<Service>,
    /// What is wrong, where, and what to write.
    pub message: Box<str>,
}

/// The nodes that load balancers may use.
#[derive(Clone, Debug, Default)]
pub struct Nodes<'n> {
    candidates: Vec<&'n Node>,
    /// Lists that do not depend on endpoints, by families and annotation: there are few of them and many Services.
    known: BTreeMap<Asked, Arc<[IpAddr]>>,
}

/// Families and the annotation.
type Asked = (Box<[Family]>, Option<Box<str>>);

/// Whether a Service is served by Node IPAM.
#[must_use]
pub fn handles(settings: &Settings, service: &Service) -> bool {
    let ours = match service.class.as_deref() {
        Some(class) => class == CLASS,
        None => settings.default_ipam == DefaultIpam::NodeIpam,
    };
    settings.node_ipam && service.load_balancer && ours
}

impl<'n> Nodes<'n> {
    /// Of all nodes, those that count. Whether a node is ready is of no matter.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = &'n Node>) -> Self {
        let counts = |node: &&Node| {
            !node.deleting
                && node.labels.get(EXCLUDED).is_none()
                && !node.taints.iter().any(|taint| **taint == *GOING)
        };
        Self { candidates: nodes.into_iter().filter(counts).collect(), known: BTreeMap::new() }
    }

    /// Looks at one Service. `ready` are the nodes on which it has a ready endpoint; it is asked only if that matters.
    pub fn add_to(
        &mut self,
        plan: &mut NodePlan,
        settings: &Settings,
        service: &Arc<Service>,
        ready: impl FnOnce() -> BTreeSet<Box<str>>,
    ) {
        if !handles(settings, service) || service.deleting {
            return;
        }
        let text = service.annotations.get(MATCH_NODE_LABELS);
        let Some(selector) = TextSelector::parse(text.unwrap_or_default()) else {
            let message = format!(
                "annotation {MATCH_NODE_LABELS}: {:?} is no label selector, so the addresses stay as they are; \
                 write for example \"zone=a\" or \"tier in (edge, front), !spot\"",
                text.unwrap_or_default()
            );
            plan.unreadable.push(Unreadable { service: Arc::clone(service), message: message.into() });
            return;
        };
        let wanted = families(settings, service);
        let addresses = match service.traffic_policy {
            TrafficPolicy::Local => {
                let ready = ready();
                addresses(self.selected(&selector).filter(|node| ready.contains(&node.name)), &wanted)
            }
            TrafficPolicy::Cluster => {
                let key = (wanted.clone(), text.map(Into::into));
                let known = self.known.get(&key).map(Arc::clone);
                let found = known.unwrap_or_else(|| addresses(self.selected(&selector), &wanted));
                self.known.insert(key, Arc::clone(&found));
                found
            }
        };
        plan.services.extend(change(service, &addresses));
    }

    fn selected(&self, selector: &TextSelector) -> impl Iterator<Item = &'n Node> {
        self.candidates.iter().copied().filter(move |node| selector.matches(|key| node.labels.get(key)))
    }
}

/// The families that a Service has addresses of. Without an API server `ipFamilies` can be empty.
fn families(settings: &Settings, service: &Service) -> Box<[Family]> {
    let mut families = service.families.to_vec();
    if families.is_empty() {
        families = [Family::V4, Family::V6].into_iter().filter(|family| settings.has(*family)).collect();
        if service.family_policy == FamilyPolicy::SingleStack {
            families.truncate(1);
        }
    }
    families.sort_unstable();
    families.dedup();
    families.into_boxed_slice()
}

/// External addresses if there is any of a wanted family, else internal ones; in the order of their texts.
fn addresses<'n>(nodes: impl Iterator<Item = &'n Node>, wanted: &[Family]) -> Arc<[IpAddr]> {
    let (mut external, mut internal) = (BTreeSet::new(), BTreeSet::new());
    let wanted = |address: &&IpAddr| wanted.contains(&Family::of(**address));
    for node in nodes {
        external.extend(node.external.iter().filter(wanted));
        internal.extend(node.internal.iter().filter(wanted));
    }
    let mut list: Vec<IpAddr> = if external.is_empty() { internal } else { external }.into_iter().collect();
    list.sort_by_cached_key(ToString::to_string);
    list.into()
}

/// The change, if the list is another one. Entries that stay keep what others wrote into them.
fn change(service: &Arc<Service>, addresses: &[IpAddr]) -> Option<ServiceChange> {
    let present = service.ingress.iter().map(|entry| entry.ip);
    if present.eq(addresses.iter().copied().map(Some)) {
        return None;
    }
    let entry = |address: &IpAddr| {
        let kept = service.ingress.iter().find(|entry| entry.ip == Some(*address));
        kept.cloned().unwrap_or_else(|| Ingress::of(*address))
    };
    Some(ServiceChange {
        service: Arc::clone(service),
        ingress: Some(addresses.iter().map(entry).collect()),
        condition: None,
        causes: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
