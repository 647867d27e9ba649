//! What the administrator of a node or cluster decides for all objects: Cilium's own switches, by their names.

use std::fmt;
use std::str::FromStr;

/// Options of translation. The defaults are Cilium's, but for [`Ipam`] and `exclude_from_load_balancers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Namespace of the Secrets with BGP passwords (`bgp-secrets-namespace`). Absent: passwords are not available.
    pub secrets_namespace: Option<String>,
    /// Whether a Service without endpoints is advertised (`enable-no-service-endpoints-routable`).
    pub no_service_endpoints_routable: bool,
    /// Whether routes to load-balancer addresses say INCOMPLETE (`enable-bgp-legacy-origin-attribute`).
    pub legacy_origin_attribute: bool,
    /// The service proxy whose Services are ours (`k8s-service-proxy-name`). Empty: those that name none.
    pub service_proxy_name: String,
    /// Whether IPv4 addresses of Services are served (`enable-ipv4`).
    pub enable_ipv4: bool,
    /// Whether IPv6 addresses of Services are served (`enable-ipv6`).
    pub enable_ipv6: bool,
    /// Who gives pods their addresses (`ipam`).
    pub ipam: Ipam,
    /// Whether a node with the label `node.kubernetes.io/exclude-from-external-load-balancers` stops announcing
    /// LoadBalancer and External IPs. Cilium's BGP does not look at the label.
    pub exclude_from_load_balancers: bool,
    /// Where router IDs come from that nobody wrote (`bgp-router-id-allocation-mode`).
    pub router_ids: RouterIds,
}

/// Where router IDs come from that nobody wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouterIds {
    /// Each node's agent takes the node's IPv4 address (`default`).
    #[default]
    Node,
    /// The operator takes them out of this IPv4 CIDR (`ip-pool`, `bgp-router-id-allocation-ip-pool`), as it was written.
    Pool(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            secrets_namespace: Some("kube-system".to_owned()),
            no_service_endpoints_routable: true,
            legacy_origin_attribute: false,
            service_proxy_name: String::new(),
            enable_ipv4: true,
            enable_ipv6: true,
            ipam: Ipam::Any,
            exclude_from_load_balancers: true,
            router_ids: RouterIds::Node,
        }
    }
}

/// IPAM modes. Cilium's own words; `any` is ours, for any CNI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipam {
    /// Whatever the objects of the node have: its pod CIDRs, and what it holds out of pools.
    #[default]
    Any,
    /// Pod CIDRs of the Node.
    Kubernetes,
    /// Pod CIDRs of the CiliumNode.
    ClusterPool,
    /// Pieces of CiliumPodIPPools.
    MultiPool,
    /// Addresses of a CiliumNode's own list; no CIDRs.
    Crd,
    /// AWS.
    Eni,
    /// Azure.
    Azure,
    /// Alibaba Cloud.
    AlibabaCloud,
    /// Another CNI plugin's; no CIDRs.
    DelegatedPlugin,
}

/// Modes and their words.
const MODES: [(Ipam, &str); 9] = [
    (Ipam::Any, "any"),
    (Ipam::Kubernetes, "kubernetes"),
    (Ipam::ClusterPool, "cluster-pool"),
    (Ipam::MultiPool, "multi-pool"),
    (Ipam::Crd, "crd"),
    (Ipam::Eni, "eni"),
    (Ipam::Azure, "azure"),
    (Ipam::AlibabaCloud, "alibabacloud"),
    (Ipam::DelegatedPlugin, "delegated-plugin"),
];

impl Ipam {
    /// The mode as the option spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        MODES.iter().find(|(mode, _)| *mode == self).map_or("any", |(_, word)| word)
    }

    /// Whether nodes have pod CIDRs.
    pub(crate) fn has_pod_cidrs(self) -> bool {
        matches!(self, Self::Any | Self::Kubernetes | Self::ClusterPool)
    }

    /// Whether nodes hold pieces of pools.
    pub(crate) fn has_pools(self) -> bool {
        matches!(self, Self::Any | Self::MultiPool)
    }
}

impl fmt::Display for Ipam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no IPAM mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no IPAM mode; write any, kubernetes, cluster-pool, multi-pool, crd, eni, azure, alibabacloud or delegated-plugin"
)]
pub struct UnknownIpam(String);

impl FromStr for Ipam {
    type Err = UnknownIpam;

    fn from_str(word: &str) -> Result<Self, UnknownIpam> {
        let found = MODES.iter().find(|(_, candidate)| *candidate == word);
        found.map(|(mode, _)| *mode).ok_or_else(|| UnknownIpam(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_by_their_words() {
        for (mode, word) in MODES {
            assert_eq!((word.parse(), mode.as_str()), (Ok(mode), word));
        }
        assert!("multipool".parse::<Ipam>().unwrap_err().to_string().contains("multi-pool"));
    }
}
