//! What a daemon shows of a route and of a session, in one shape for all daemons.
//!
//! Invariant: nothing is guessed. What a daemon does not show stays empty, and a text that cannot be read is an error.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// One path to a prefix, as a daemon shows it in its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenPath {
    /// AS_PATH in FRR's form: `65001 65002 {1,2}`.
    pub as_path: String,
    /// ORIGIN: `IGP`, `EGP` or `incomplete`.
    pub origin: String,
    /// The global next hop.
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, where the daemon shows it.
    pub local_pref: Option<u32>,
    /// Whether ATOMIC_AGGREGATE is present.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<(u32, Ipv4Addr)>,
    /// Communities as `65001:100`; well-known ones in numbers too.
    pub communities: BTreeSet<String>,
    /// Large communities as `1:2:3`.
    pub large_communities: BTreeSet<String>,
    /// Extended communities as `RT:65001:6`.
    pub extended_communities: BTreeSet<String>,
    /// ORIGINATOR_ID.
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST.
    pub cluster_list: Vec<Ipv4Addr>,
    /// Attributes the daemon does not know, where it shows them.
    pub unknown: Vec<UnknownAttribute>,
    /// The neighbour it came from; absent for the daemon's own routes.
    pub from: Option<IpAddr>,
    /// Whether the daemon uses this path.
    pub best: bool,
    /// Whether it is used beside the best one.
    pub multipath: bool,
}

/// An attribute a daemon carries without knowing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAttribute {
    /// Attribute type code.
    pub code: u8,
    /// Attribute flags, where the daemon shows them.
    pub flags: Option<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// One neighbour of a daemon, as the daemon shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Whether the session is Established.
    pub established: bool,
    /// The daemon's own word for the state.
    pub state: String,
    /// Changes whenever the session is established anew: a count or a time, as the daemon shows it.
    pub incarnation: String,
    /// What the daemon says about the last end of the session; empty if there was none.
    pub last_error: String,
}

/// `65535:65281` for a 32-bit community.
pub(crate) fn community_text(community: u32) -> String {
    format!("{}:{}", community >> 16, community & 0xffff)
}
