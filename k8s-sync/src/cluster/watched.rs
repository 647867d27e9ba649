//! Which kinds are followed, where the API has them, and how much of each a process needs.
//!
//! A new kind is one row in [`Watched::place`] and one arm wherever the compiler then complains.

use super::address::{Address, encode};
use super::reflection::Scope;

/// A kind that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Watched {
    Node,
    CiliumNode,
    Service,
    EndpointSlice,
    Secret,
    ClusterConfig,
    PeerConfig,
    Advertisement,
    Override,
    NodeConfig,
    PodIPPool,
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
    /// Names and labels only: what the objects hold is none of our business.
    pub(super) metadata_only: bool,
}

impl Source {
    fn all(watched: Watched) -> Self {
        Self { watched, namespace: None, selector: String::new(), metadata_only: false }
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

/// What a process of this scope follows.
pub(super) fn sources(scope: &Scope, secrets_namespace: Option<&str>) -> Vec<Source> {
    let mut sources = match scope {
        Scope::Node { name } => vec![
            Source::named(Watched::Node, name),
            Source::named(Watched::CiliumNode, name),
            Source::named(Watched::NodeConfig, name),
            Source::all(Watched::Service),
            // Slices of headless Services are never looked at, and often the greater part.
            Source {
                selector: "labelSelector=%21service.kubernetes.io%2Fheadless".to_owned(),
                ..Source::all(Watched::EndpointSlice)
            },
            Source::all(Watched::PeerConfig),
            Source::all(Watched::Advertisement),
            Source::all(Watched::PodIPPool),
        ],
        Scope::Cluster => vec![
            Source::all(Watched::Node),
            Source::all(Watched::CiliumNode),
            Source::all(Watched::ClusterConfig),
            Source::all(Watched::Override),
            Source::all(Watched::NodeConfig),
            Source::all(Watched::PeerConfig),
        ],
    };
    if let Some(namespace) = secrets_namespace {
        let secrets = Source::all(Watched::Secret);
        let metadata_only = *scope == Scope::Cluster;
        sources.push(Source { namespace: Some(namespace.to_owned()), metadata_only, ..secrets });
    }
    sources
}
