//! Why a route is where it is: every refusal and every choice of the RIB by name.
//!
//! Nothing is dropped silently. What [`Ineligible`] keeps out of the decision stays in the Adj-RIB-In with that reason,
//! [`SelectionReason`] says which step of RFC 4271 §9.1.2.2 decided, and [`NotAdvertised`] why a peer was not sent a route.
//!
//! Invariant: each variant has one label (metrics, JSON) and one text (people), and both are stable.

use std::fmt;
use std::sync::Arc;

/// Why a received path takes no part in the decision process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ineligible {
    /// Our own AS is in the AS_PATH (RFC 4271 §9.1.2).
    AsLoop,
    /// ORIGINATOR_ID is our router ID (RFC 4456 §8).
    OwnOriginatorId,
    /// Our cluster ID is in the CLUSTER_LIST (RFC 4456 §8).
    ClusterLoop,
    /// The AS_PATH of an external peer does not start with its AS (RFC 4271 §6.3).
    FirstAsMismatch,
    /// The next hop is missing or no host's address (RFC 4271 §6.3).
    InvalidNextHop,
    /// The next hop is our own address (RFC 4271 §5.1.3).
    OwnNextHop,
    /// The next hop cannot be resolved (RFC 4271 §9.1.2).
    UnreachableNextHop,
    /// The prefix is no unicast destination (RFC 4271 §6.3).
    NotUnicast,
    /// ONLY_TO_CUSTOMER says that the path may not come from this neighbour: a leak (RFC 9234 §5).
    RouteLeak,
    /// The import policy rejected the path.
    ImportPolicy,
}

impl Ineligible {
    /// All reasons, in the order of [`Ineligible::index`].
    pub const ALL: [Self; 10] = [
        Self::AsLoop,
        Self::OwnOriginatorId,
        Self::ClusterLoop,
        Self::FirstAsMismatch,
        Self::InvalidNextHop,
        Self::OwnNextHop,
        Self::UnreachableNextHop,
        Self::NotUnicast,
        Self::RouteLeak,
        Self::ImportPolicy,
    ];

    /// Position in [`Ineligible::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Stable name for metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AsLoop => "as_loop",
            Self::OwnOriginatorId => "own_originator_id",
            Self::ClusterLoop => "cluster_loop",
            Self::FirstAsMismatch => "first_as_mismatch",
            Self::InvalidNextHop => "invalid_next_hop",
            Self::OwnNextHop => "own_next_hop",
            Self::UnreachableNextHop => "unreachable_next_hop",
            Self::NotUnicast => "not_unicast",
            Self::RouteLeak => "route_leak",
            Self::ImportPolicy => "import_policy",
        }
    }
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsLoop => "AS path contains our own AS",
            Self::OwnOriginatorId => "originator is ourselves",
            Self::ClusterLoop => "cluster list contains our own cluster",
            Self::FirstAsMismatch => "AS path does not start with the neighbor's AS",
            Self::InvalidNextHop => "next hop is missing or not a host address",
            Self::OwnNextHop => "next hop is our own address",
            Self::UnreachableNextHop => "next hop is inaccessible",
            Self::NotUnicast => "prefix is multicast, loopback or link-local",
            Self::RouteLeak => "only-to-customer does not allow it to come from this neighbor",
            Self::ImportPolicy => "rejected by the import policy",
        })
    }
}

/// The step of the decision process that told two paths apart.
///
/// For the best path: the last step that was needed to leave it alone. For another: the step at which it lost. The texts
/// are FRR's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SelectionReason {
    /// There was no other path.
    FirstPath,
    /// A route that is kept as a last resort comes after all others (RFC 9494).
    LongLivedStale,
    /// Routes of our own come before learned ones.
    LocalRoute,
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Shorter AS_PATH.
    AsPath,
    /// Lower ORIGIN.
    Origin,
    /// Lower MED, among paths of one neighbouring AS.
    Med,
    /// External before internal.
    PeerType,
    /// Nearer next hop.
    IgpMetric,
    /// Lower router ID, or ORIGINATOR_ID where there is one.
    RouterId,
    /// Shorter CLUSTER_LIST (RFC 4456 §9).
    ClusterLength,
    /// Lower peer address.
    NeighborAddress,
}

impl SelectionReason {
    /// Stable name for metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FirstPath => "first_path",
            Self::LongLivedStale => "long_lived_stale",
            Self::LocalRoute => "local_route",
            Self::LocalPref => "local_pref",
            Self::AsPath => "as_path",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::PeerType => "peer_type",
            Self::IgpMetric => "igp_metric",
            Self::RouterId => "router_id",
            Self::ClusterLength => "cluster_length",
            Self::NeighborAddress => "neighbor_address",
        }
    }
}

impl fmt::Display for SelectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstPath => "First path received",
            Self::LongLivedStale => "Path Staleness",
            Self::LocalRoute => "Local Route",
            Self::LocalPref => "Local Pref",
            Self::AsPath => "AS Path",
            Self::Origin => "Origin",
            Self::Med => "MED",
            Self::PeerType => "Peer Type",
            Self::IgpMetric => "IGP Metric",
            Self::RouterId => "Router ID",
            Self::ClusterLength => "Cluster length",
            Self::NeighborAddress => "Neighbor IP",
        })
    }
}

/// Why a peer is not sent a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdvertised {
    /// No such prefix, or every path to it is ineligible.
    NoBestPath,
    /// The session is not established.
    PeerDown,
    /// The family was not negotiated with the peer.
    FamilyNotNegotiated,
    /// The best path came from this very peer.
    LearnedFromPeer,
    /// Learned from an internal peer, and neither it nor this internal peer is a route reflector client (RFC 4456 §6).
    InternalToInternal,
    /// The path carries LLGR_STALE and the peer does not know long-lived stale routes (RFC 9494 §4.3).
    LongLivedStale,
    /// The path carries NO_ADVERTISE (RFC 1997).
    NoAdvertise,
    /// The path carries NO_EXPORT and the peer is external (RFC 1997).
    NoExport,
    /// The path carries NO_EXPORT_SUBCONFED and the peer is external (RFC 1997).
    NoExportSubconfed,
    /// The path carries ONLY_TO_CUSTOMER, and the peer is no customer (RFC 9234 §5).
    OnlyToCustomer,
    /// The export policy rejected it.
    ExportPolicy {
        /// The policy.
        policy: Arc<str>,
        /// The statement; none: the policy's default action.
        statement: Option<Arc<str>>,
    },
    /// There is no next hop this peer could use: the session has no local address of the family and the peer does not
    /// take a next hop of the other family (RFC 8950).
    NoNextHop,
    /// The attributes leave no room for a prefix in the longest message the peer reads (RFC 8654 §4).
    TooLong,
}

impl NotAdvertised {
    /// Stable name for metrics and JSON.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoBestPath => "no_best_path",
            Self::PeerDown => "peer_down",
            Self::FamilyNotNegotiated => "family_not_negotiated",
            Self::LearnedFromPeer => "learned_from_peer",
            Self::InternalToInternal => "internal_to_internal",
            Self::LongLivedStale => "long_lived_stale",
            Self::NoAdvertise => "no_advertise",
            Self::NoExport => "no_export",
            Self::NoExportSubconfed => "no_export_subconfed",
            Self::OnlyToCustomer => "only_to_customer",
            Self::ExportPolicy { .. } => "export_policy",
            Self::NoNextHop => "no_next_hop",
            Self::TooLong => "too_long",
        }
    }
}

impl fmt::Display for NotAdvertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBestPath => "there is no best path",
            Self::PeerDown => "the session is not established",
            Self::FamilyNotNegotiated => "the address family was not negotiated",
            Self::LearnedFromPeer => "the best path was learned from this peer",
            Self::InternalToInternal => {
                "learned from an internal peer, and no route reflector client is involved"
            }
            Self::LongLivedStale => "community llgr-stale, which this peer does not know",
            Self::NoAdvertise => "community no-advertise",
            Self::NoExport => "community no-export",
            Self::NoExportSubconfed => "community local-AS (no-export-subconfed)",
            Self::OnlyToCustomer => "only-to-customer is set, and this peer is no customer",
            Self::ExportPolicy { policy, statement: Some(statement) } => {
                return write!(f, "rejected by statement {statement:?} of export policy {policy:?}");
            }
            Self::ExportPolicy { policy, statement: None } => {
                return write!(f, "rejected by the default action of export policy {policy:?}");
            }
            Self::NoNextHop => "no local address that this peer could use as next hop",
            Self::TooLong => "the attributes do not fit into one message",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_where_their_index_says() {
        for (position, reason) in Ineligible::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position);
        }
    }

    #[test]
    fn rejections_name_policy_and_statement() {
        let rejection =
            NotAdvertised::ExportPolicy { policy: "to-tor".into(), statement: Some("PodCIDR-ipv4".into()) };
        let text = "rejected by statement \"PodCIDR-ipv4\" of export policy \"to-tor\"";
        assert_eq!(rejection.to_string(), text);
    }
}
