//! `show bgp ipv4|ipv6 unicast PREFIX|ADDRESS`: everything about the paths of one prefix.
//!
//! Invariant: a prefix that is not in the table is an empty object in JSON and one line in text, never an error.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::PathAttributes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attributes::{AsPath, Communities, ExtendedCommunities, Origin};
use super::ordered::Ordered;
use super::table::{NextHop, Scope, is_false};
use super::text;

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ShowPrefixLookup)]
pub enum PrefixLookup {
    /// The prefix itself, or for an address the longest prefix that covers it.
    Found(Box<PrefixEntry>),
    /// An empty object.
    NotInTable {},
}

/// A prefix and its paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowPrefixEntry)]
pub struct PrefixEntry {
    /// The prefix.
    pub prefix: String,
    /// Table version at its last change.
    pub version: u64,
    /// Peers it was sent to. Absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_to: Option<Ordered<AdvertisedTo>>,
    /// The paths, in the order of the table.
    pub paths: Vec<PathDetail>,
}

/// A peer that a prefix was sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowAdvertisedTo)]
pub struct AdvertisedTo {
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// One path with all its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowPathDetail)]
pub struct PathDetail {
    /// AS_PATH.
    pub aspath: AsPath,
    /// Not advertised because an aggregate covers it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suppressed: bool,
    /// Kept over the restart of its peer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
    /// ASN in AGGREGATOR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator_as: Option<u32>,
    /// Address in AGGREGATOR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub aggregator_id: Option<Ipv4Addr>,
    /// ORIGIN.
    pub origin: Origin,
    /// ONLY_TO_CUSTOMER (RFC 9234).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otc: Option<u32>,
    /// MULTI_EXIT_DISC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// LOCAL_PREF, if the path has one or a policy set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loc_prf: Option<u32>,
    /// 32768 for own routes, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// May be used.
    pub valid: bool,
    /// Table version at the prefix' last change.
    pub version: u64,
    /// An own route.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sourced: bool,
    /// An own aggregate.
    #[serde(default, skip_serializing_if = "is_false")]
    pub aggregated: bool,
    /// From this router.
    #[serde(default, skip_serializing_if = "is_false")]
    pub local: bool,
    /// ATOMIC_AGGREGATE is present.
    #[serde(default, skip_serializing_if = "is_false")]
    pub atomic_aggregate: bool,
    /// Used beside the winner, or a winner that is not alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multipath: bool,
    /// Present on winners, of all paths or of those from one AS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bestpath: Option<BestPath>,
    /// COMMUNITIES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community: Option<Communities>,
    /// EXTENDED COMMUNITIES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_community: Option<ExtendedCommunities>,
    /// LARGE_COMMUNITY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_community: Option<Communities>,
    /// ORIGINATOR_ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_list: Option<ClusterList>,
    /// Path identifier under which its peer sent it (RFC 7911); absent without add-path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addpath_rx_id: Option<u32>,
    /// Path identifier under which peers that take several paths are sent it, while there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addpath_tx_id_all: Option<u32>,
    /// When it came or changed.
    pub last_update: LastUpdate,
    /// Seconds until a stale path goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart_seconds_remaining: Option<u64>,
    /// Seconds until a long-lived stale path goes away (RFC 9494).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llgr_seconds_remaining: Option<u64>,
    /// Where it leads.
    pub nexthops: Vec<NextHop>,
    /// Who sent it.
    pub peer: PathPeer,
    /// Why the path is not the winner, in words. rutter's own; FRR has no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_best_reason: Option<String>,
    /// Why the route exists, from its owner: `Service default/web LoadBalancerIP`. rutter's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl PathDetail {
    /// A path with everything that its attributes tell. Marks, next hops and version are left to the caller.
    #[must_use]
    pub fn new(attributes: &PathAttributes, peer: PathPeer, last_update: LastUpdate) -> Self {
        let clusters = attributes.cluster_list.to_vec();
        Self {
            aspath: AsPath::from(&attributes.as_path),
            suppressed: false,
            stale: false,
            aggregator_as: attributes.aggregator.as_ref().map(|aggregator| aggregator.asn),
            aggregator_id: attributes.aggregator.as_ref().map(|aggregator| aggregator.address),
            origin: attributes.origin.into(),
            otc: attributes.only_to_customer,
            metric: attributes.med,
            loc_prf: attributes.local_pref,
            weight: None,
            valid: false,
            version: 0,
            sourced: false,
            aggregated: false,
            local: false,
            atomic_aggregate: attributes.atomic_aggregate,
            multipath: false,
            bestpath: None,
            community: Communities::of(&attributes.communities),
            extended_community: ExtendedCommunities::of(&attributes.extended_communities),
            large_community: Communities::of(&attributes.large_communities),
            originator_id: attributes.originator_id,
            cluster_list: (!clusters.is_empty()).then_some(ClusterList { list: clusters }),
            addpath_rx_id: None,
            addpath_tx_id_all: None,
            last_update,
            graceful_restart_seconds_remaining: None,
            llgr_seconds_remaining: None,
            nexthops: Vec::new(),
            peer,
            not_best_reason: None,
            source: None,
        }
    }
}

/// What a winner won.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowBestPath)]
pub struct BestPath {
    /// Best of the paths from this AS; 0 means from our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bestpath_from_as: Option<u32>,
    /// Best of all paths.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overall: bool,
    /// Why it won over the next best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_reason: Option<String>,
}

/// CLUSTER_LIST (RFC 4456).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowClusterList)]
pub struct ClusterList {
    /// The cluster IDs.
    #[schema(value_type = Vec<String>)]
    pub list: Vec<Ipv4Addr>,
}

/// When a path came or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowLastUpdate)]
pub struct LastUpdate {
    /// In seconds since 1970.
    pub epoch: u64,
    /// As [`text::date`], in UTC.
    pub string: String,
}

impl LastUpdate {
    /// From seconds since 1970.
    #[must_use]
    pub fn at(epoch: u64) -> Self {
        Self { epoch, string: text::date(epoch) }
    }
}

/// The peer that sent a path. For own routes the unspecified address and our own router ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowPathPeer)]
pub struct PathPeer {
    /// Its address.
    pub peer_id: String,
    /// Its BGP Identifier.
    #[schema(value_type = String)]
    pub router_id: Ipv4Addr,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The interface it is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `internal` or `external`; absent for own routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<super::table::PathFrom>,
}

impl PrefixLookup {
    /// FRR's layout.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Found(entry) => entry.to_text(),
            Self::NotInTable {} => "% Network not in table\n".to_owned(),
        }
    }
}

impl PrefixEntry {
    /// FRR's layout.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("BGP routing table entry for {}, version {}\n", self.prefix, self.version);
        _ = writeln!(out, "Paths: ({} available, {})", self.paths.len(), self.outcome());
        match &self.advertised_to {
            Some(peers) if !peers.is_empty() => {
                let names: Vec<_> =
                    peers.iter().map(|(key, peer)| text::named(peer.hostname.as_deref(), key)).collect();
                _ = writeln!(out, "  Advertised to non peer-group peers:\n  {}", names.join(" "));
            }
            _ => out.push_str("  Not advertised to any peer\n"),
        }
        for path in &self.paths {
            path.render(&mut out);
        }
        out
    }

    /// Which path is best, and what keeps it from being advertised.
    fn outcome(&self) -> String {
        let Some(best) =
            self.paths.iter().position(|path| path.bestpath.as_ref().is_some_and(|best| best.overall))
        else {
            return "no best path".to_owned();
        };
        let path = &self.paths[best];
        let carries = |name: &str| path.community.as_ref().is_some_and(|all| all.contains(name));
        let restriction = if carries("no-advertise") {
            ", not advertised to any peer"
        } else if carries("no-export") {
            ", not advertised to EBGP peer"
        } else if carries("local-AS") {
            ", not advertised outside local AS"
        } else {
            ""
        };
        let aggregate = if path.suppressed { ", Advertisements suppressed by an aggregate." } else { "" };
        format!("best #{}, table default{restriction}{aggregate}", best + 1)
    }
}

impl PathDetail {
    fn render(&self, out: &mut String) {
        self.render_as_path(out);
        self.render_next_hops(out);
        self.render_marks(out);
        if let Some(all) = &self.community {
            _ = writeln!(out, "      Community: {}", all.string);
        }
        if let Some(all) = &self.extended_community {
            _ = writeln!(out, "      Extended Community: {}", all.string);
        }
        if let Some(all) = &self.large_community {
            _ = writeln!(out, "      Large Community: {}", all.string);
        }
        if let Some(originator) = self.originator_id {
            _ = write!(out, "      Originator: {originator}");
            if let Some(clusters) = &self.cluster_list {
                let list: Vec<_> = clusters.list.iter().map(Ipv4Addr::to_string).collect();
                _ = write!(out, ", Cluster list: {}", list.join(" "));
            }
            out.push('\n');
        }
        if let Some(reason) = &self.not_best_reason {
            _ = writeln!(out, "      Not best: {reason}");
        }
        if let Some(source) = &self.source {
            _ = writeln!(out, "      Source: {source}");
        }
        if self.addpath_rx_id.is_some() || self.addpath_tx_id_all.is_some() {
            let received = self.addpath_rx_id.unwrap_or_default();
            let sent = self.addpath_tx_id_all.unwrap_or_default();
            _ = writeln!(out, "      AddPath ID: RX {received}, TX-All {sent}");
        }
        _ = writeln!(out, "      Last update: {}", self.last_update.string);
        if let Some(seconds) = self.graceful_restart_seconds_remaining {
            _ = writeln!(out, "      Time until Graceful Restart stale route deleted: {seconds}");
        }
        if let Some(seconds) = self.llgr_seconds_remaining {
            _ = writeln!(out, "      Time until Long-lived stale route deleted: {seconds}");
        }
    }

    fn render_as_path(&self, out: &mut String) {
        _ = write!(out, "  {}", self.aspath.string);
        if self.suppressed {
            out.push_str(", (suppressed)");
        }
        if self.stale {
            out.push_str(", (stale)");
        }
        if let (Some(asn), Some(address)) = (self.aggregator_as, self.aggregator_id) {
            _ = write!(out, ", (aggregated by {asn} {address})");
        }
        out.push('\n');
    }

    fn render_next_hops(&self, out: &mut String) {
        let Some(first) = self.nexthops.first() else {
            return;
        };
        _ = write!(out, "    {}", text::next_hop(first.ip, first.hostname.as_deref()));
        if first.accessible == Some(false) {
            out.push_str(" (inaccessible)");
        } else if let Some(metric) = first.metric.filter(|metric| *metric > 0) {
            _ = write!(out, " (metric {metric})");
        }
        let peer = self.peer.interface.as_deref().unwrap_or(&self.peer.peer_id);
        let router_id = self.originator_id.unwrap_or(self.peer.router_id);
        _ = writeln!(out, " from {} ({router_id})", text::named(self.peer.hostname.as_deref(), peer));
        for hop in self.nexthops.iter().skip(1).filter(|hop| hop.scope == Some(Scope::LinkLocal)) {
            let state = match (hop.accessible, hop.used) {
                (Some(false), _) => "inaccessible",
                (_, true) => "used",
                (_, false) => "prefer-global",
            };
            _ = writeln!(out, "    ({}) ({state})", hop.ip);
        }
    }

    fn render_marks(&self, out: &mut String) {
        let mut marks = vec![format!("Origin {}", self.origin.name())];
        for (name, value) in [("metric", self.metric), ("localpref", self.loc_prf), ("weight", self.weight)] {
            if let Some(value) = value {
                marks.push(format!("{name} {value}"));
            }
        }
        if let Some(asn) = self.otc {
            marks.push(format!("otc {asn}"));
        }
        let internal = self.peer.r#type == Some(super::table::PathFrom::Internal);
        let external = self.peer.r#type == Some(super::table::PathFrom::External);
        let words = [
            (self.valid, "valid"),
            (!self.valid, "invalid"),
            (internal, "internal"),
            (external, "external"),
            (self.aggregated, "aggregated"),
            (self.sourced, "sourced"),
            (self.local, "local"),
            (self.atomic_aggregate, "atomic-aggregate"),
            (self.multipath, "multipath"),
        ];
        marks.extend(words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned()));
        if let Some(best) = &self.bestpath {
            match best.bestpath_from_as {
                Some(0) => marks.push("bestpath-from-AS Local".to_owned()),
                Some(asn) => marks.push(format!("bestpath-from-AS {asn}")),
                None => {}
            }
            if best.overall {
                let reason = best.selection_reason.as_deref().map(|reason| format!(" ({reason})"));
                marks.push(format!("best{}", reason.unwrap_or_default()));
            }
        }
        _ = writeln!(out, "      {}", marks.join(", "));
    }
}

/// Whether an address or a prefix was asked for, and which.
#[must_use]
pub fn parse_query(text: &str) -> Option<Query> {
    if let Ok(prefix) = text.parse::<ipnet::IpNet>() {
        return Some(Query::Prefix(prefix.trunc()));
    }
    text.parse::<IpAddr>().ok().map(Query::Address)
}

/// What to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Exactly this prefix.
    Prefix(ipnet::IpNet),
    /// The longest prefix that covers this address.
    Address(IpAddr),
}

impl Query {
    /// Whether it is about IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        match self {
            Self::Prefix(prefix) => matches!(prefix, ipnet::IpNet::V4(_)),
            Self::Address(address) => address.is_ipv4(),
        }
    }
}
