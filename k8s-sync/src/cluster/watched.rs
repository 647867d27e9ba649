//! Which kinds are followed, where the API has them, and how much of each a process needs.
//!
//! A new kind is one row in [`Watched::place`] and one arm wherever the compiler then complains.

use rutter_crds::schema::{OWN_GROUP, OWN_VERSION};

use super::address::{Address, encode};
use super::reflection::{Parts, Scope};

/// A kind that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Watched {
    Node,
    CiliumNode,
    Service,
    EndpointSlice,
    Secret,
    ServiceCIDR,
    ClusterConfig,
    PeerConfig,
    Advertisement,
    Override,
    NodeConfig,
    PodIPPool,
    LbPool,
    LbReservation,
}

/// Where the API has a kind.
pub(super) struct Place {
    pub(super) kind: &'static str,
    pub(super) group: &'static str,
    /// Versions that are understood, the best first.
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    /// Whether a cluster without this kind is as good as one with it.
    pub(super) optional: bool,
}

const CILIUM: &str = "cilium.io";
/// Clusters from Cilium 1.16 and 1.17 serve the older version only.
const BOTH: &[&str] = &["v2", "v2alpha1"];

impl Watched {
    pub(super) fn place(self) -> Place {
        let row = |kind, group, versions, plural, optional| Place { kind, group, versions, plural, optional };
        match self {
            Self::Node => row("Node", "", &["v1"], "nodes", false),
            Self::CiliumNode => row("CiliumNode", CILIUM, &["v2"], "ciliumnodes", true),
            Self::Service => row("Service", "", &["v1"], "services", false),
            Self::EndpointSlice => row("EndpointSlice", "discovery.k8s.io", &["v1"], "endpointslices", false),
            Self::Secret => row("Secret", "", &["v1"], "secrets", false),
            // Servers before 1.33 have no such kind, and know the ranges by flag only.
            Self::ServiceCIDR => row("ServiceCIDR", "networking.k8s.io", &["v1"], "servicecidrs", true),
            Self::ClusterConfig => {
                row("CiliumBGPClusterConfig", CILIUM, BOTH, "ciliumbgpclusterconfigs", false)
            }
            Self::PeerConfig => row("CiliumBGPPeerConfig", CILIUM, BOTH, "ciliumbgppeerconfigs", false),
            Self::Advertisement => {
                row("CiliumBGPAdvertisement", CILIUM, BOTH, "ciliumbgpadvertisements", false)
            }
            Self::Override => {
                row("CiliumBGPNodeConfigOverride", CILIUM, BOTH, "ciliumbgpnodeconfigoverrides", false)
            }
            Self::NodeConfig => row("CiliumBGPNodeConfig", CILIUM, BOTH, "ciliumbgpnodeconfigs", false),
            Self::PodIPPool => row("CiliumPodIPPool", CILIUM, &["v2alpha1", "v2"], "ciliumpodippools", true),
            // Without the kind there is no pool, and without a pool nothing is allocated.
            Self::LbPool => row("CiliumLoadBalancerIPPool", CILIUM, BOTH, "ciliumloadbalancerippools", true),
            // Our own kind: a cluster that came from Cilium may not have it.
            Self::LbReservation => row(
                "LoadBalancerIPReservation",
                OWN_GROUP,
                &[OWN_VERSION],
                "loadbalanceripreservations",
                true,
            ),
        }
    }
}

/// A kind and the part of its objects that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) watched: Watched,
    pub(super) namespace: Option<String>,
    /// A selector as it stands in the query.
    pub(super) selector: String,
    pub(super) detail: Detail,
}

/// How much is kept of each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Names and labels: what the objects hold is none of our business, and not even sent.
    Metadata,
    /// What translation reads.
    Translation,
    /// Of Services also what allocation of their addresses reads.
    Allocation,
}

impl Source {
    fn all(watched: Watched) -> Self {
        Self { watched, namespace: None, selector: String::new(), detail: Detail::Translation }
    }

    fn named(watched: Watched, name: &str) -> Self {
        let selector = format!("fieldSelector=metadata.name%3D{}", encode(name));
        Self { selector, ..Self::all(watched) }
    }

    /// The collection in one of the kind's versions.
    pub(super) fn address(&self, version: &str) -> Address {
        let place = self.watched.place();
        let address = Address::group(place.group, version, place.plural);
        match &self.namespace {
            Some(namespace) => address.namespace(namespace),
            None => address,
        }
    }
}

/// Slices of headless Services are never looked at, and often the greater part.
const NOT_HEADLESS: &str = "labelSelector=%21service.kubernetes.io%2Fheadless";

/// What a process of this scope follows.
pub(super) fn sources(scope: &Scope, secrets_namespace: Option<&str>) -> Vec<Source> {
    let mut sources = match scope {
        Scope::Node { name } => vec![
            Source::named(Watched::Node, name),
            Source::named(Watched::CiliumNode, name),
            Source::named(Watched::NodeConfig, name),
            Source::all(Watched::Service),
            Source { selector: NOT_HEADLESS.to_owned(), ..Source::all(Watched::EndpointSlice) },
            Source::all(Watched::PeerConfig),
            Source::all(Watched::Advertisement),
            Source::all(Watched::PodIPPool),
        ],
        Scope::Cluster(parts) => parts.sources(),
    };
    if let Some(namespace) = secrets_namespace.filter(|_| scope.reads_secrets()) {
        let detail = if matches!(scope, Scope::Node { .. }) { Detail::Translation } else { Detail::Metadata };
        let namespace = Some(namespace.to_owned());
        sources.push(Source { namespace, detail, ..Source::all(Watched::Secret) });
    }
    sources
}

impl Parts {
    fn sources(self) -> Vec<Source> {
        let Self { bgp, lb_ipam, node_ipam, cluster_ranges } = self;
        let allocates = lb_ipam || node_ipam;
        [
            (Source::all(Watched::Node), bgp || node_ipam || cluster_ranges),
            (Source::all(Watched::CiliumNode), bgp || cluster_ranges),
            (Source::all(Watched::ClusterConfig), bgp),
            (Source::all(Watched::Override), bgp),
            (Source::all(Watched::NodeConfig), bgp),
            (Source::all(Watched::PeerConfig), bgp),
            (Source::all(Watched::ServiceCIDR), cluster_ranges),
            (Source { detail: Detail::Allocation, ..Source::all(Watched::Service) }, allocates),
            (Source::all(Watched::LbPool), lb_ipam),
            (Source::all(Watched::LbReservation), lb_ipam),
            (Source { selector: NOT_HEADLESS.to_owned(), ..Source::all(Watched::EndpointSlice) }, node_ipam),
        ]
        .into_iter()
        .filter_map(|(source, wanted)| wanted.then_some(source))
        .collect()
    }
}
