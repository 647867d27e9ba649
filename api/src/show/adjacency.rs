//! `show bgp neighbors X advertised-routes` and `received-routes`: what crossed the wire, before or after policy.
//!
//! Invariant: an advertised route is what was encoded, AS_PATH and next hop included, not what it was made of.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::{NextHop, PathAttributes};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attributes::{Communities, ExtendedCommunities, Origin};
use super::ordered::Ordered;
use super::table::{Layout, Row, is_false};

/// What was sent to a neighbour in one family (its Adj-RIB-Out).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowAdvertisedRoutes)]
pub struct AdvertisedRoutes {
    /// What the instance says about itself.
    #[serde(flatten)]
    pub head: AdjacencyHead,
    /// By prefix.
    pub advertised_routes: Ordered<WireRoute>,
    /// How many these are.
    pub total_prefix_counter: u64,
    /// Best routes that policy or a well-known community keeps from this neighbour.
    pub filtered_prefix_counter: u64,
}

/// What came from a neighbour in one family, before import policy (its Adj-RIB-In).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowReceivedRoutes)]
pub struct ReceivedRoutes {
    /// What the instance says about itself.
    #[serde(flatten)]
    pub head: AdjacencyHead,
    /// By prefix.
    pub received_routes: Ordered<WireRoute>,
    /// How many these are.
    pub total_prefix_counter: u64,
    /// How many of them are not used: rejected by import policy, or by a rule of the protocol.
    pub filtered_prefix_counter: u64,
}

/// What stands above the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowAdjacencyHead)]
pub struct AdjacencyHead {
    /// Grows with every change of a best path.
    pub bgp_table_version: u64,
    /// BGP Identifier of the instance.
    #[schema(value_type = String)]
    pub bgp_local_router_id: Ipv4Addr,
    /// LOCAL_PREF of routes that come without one.
    pub default_loc_prf: u32,
    /// Local ASN.
    #[serde(rename = "localAS")]
    pub local_as: u32,
}

/// One route as it stood in an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowWireRoute)]
pub struct WireRoute {
    /// Address of the prefix.
    #[schema(value_type = String)]
    pub addr_prefix: IpAddr,
    /// Length of the prefix.
    pub prefix_len: u8,
    /// The prefix.
    pub network: String,
    /// NEXT_HOP, or an IPv4 next hop in MP_REACH_NLRI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_hop: Option<IpAddr>,
    /// IPv6 next hop in MP_REACH_NLRI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_hop_global: Option<IpAddr>,
    /// Its link-local companion (RFC 2545). rutter's own; FRR has no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_hop_link_local: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// LOCAL_PREF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loc_prf: Option<u32>,
    /// 32768 for own routes, else 0; never on the wire, but FRR's layout has the column.
    pub weight: u32,
    /// AS_PATH.
    pub path: String,
    /// ORIGIN.
    pub origin: Origin,
    /// COMMUNITIES. rutter's own; FRR shows them only in detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community: Option<Communities>,
    /// EXTENDED COMMUNITIES. rutter's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_community: Option<ExtendedCommunities>,
    /// LARGE_COMMUNITY. rutter's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_community: Option<Communities>,
    /// May be used. Present only when true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub valid: bool,
    /// The winner of its prefix. Present only when true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub best: bool,
    /// One of several winners. Present only when true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multipath: bool,
    /// Learned from an internal peer. rutter's own: FRR marks it in the text only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub internal: bool,
    /// Why the route is not used, in words. rutter's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_best_reason: Option<String>,
    /// Path identifier (RFC 7911), where the session has them. rutter's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_id: Option<u32>,
    /// The other paths of the prefix, where the session carries several. rutter's own: a JSON object has each key once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub more_paths: Vec<Self>,
}

impl WireRoute {
    /// A route from the attributes in its UPDATE. Marks are left to the caller.
    #[must_use]
    pub fn new(prefix: IpNet, attributes: &PathAttributes) -> Self {
        let (mut next_hop, mut next_hop_global, mut next_hop_link_local) = (None, None, None);
        match attributes.next_hop {
            Some(NextHop::V4(address)) => next_hop = Some(address.into()),
            Some(NextHop::V6 { global, link_local }) => {
                next_hop_global = Some(global.into());
                next_hop_link_local = link_local.map(IpAddr::from);
            }
            None => {}
        }
        Self {
            addr_prefix: prefix.addr(),
            prefix_len: prefix.prefix_len(),
            network: prefix.to_string(),
            next_hop,
            next_hop_global,
            next_hop_link_local,
            metric: attributes.med,
            loc_prf: attributes.local_pref,
            weight: 0,
            path: attributes.as_path.to_string(),
            origin: attributes.origin.into(),
            community: Communities::of(&attributes.communities),
            extended_community: ExtendedCommunities::of(&attributes.extended_communities),
            large_community: Communities::of(&attributes.large_communities),
            valid: false,
            best: false,
            multipath: false,
            internal: false,
            not_best_reason: None,
            path_id: None,
            more_paths: Vec::new(),
        }
    }

    /// How many routes these are.
    #[must_use]
    pub fn count(&self) -> u64 {
        1 + self.more_paths.len() as u64
    }
}

impl AdvertisedRoutes {
    /// FRR's layout.
    #[must_use]
    pub fn to_text(&self) -> String {
        render(&self.head, &self.advertised_routes, self.total_prefix_counter, self.filtered_prefix_counter)
    }
}

impl ReceivedRoutes {
    /// FRR's layout.
    #[must_use]
    pub fn to_text(&self) -> String {
        render(&self.head, &self.received_routes, self.total_prefix_counter, self.filtered_prefix_counter)
    }
}

fn render(head: &AdjacencyHead, routes: &Ordered<WireRoute>, total: u64, filtered: u64) -> String {
    let mut out = Layout::legend(
        head.bgp_table_version,
        head.bgp_local_router_id,
        0,
        head.default_loc_prf,
        head.local_as,
    );
    for (prefix, route) in routes.iter() {
        route.row(&mut out, prefix);
        route.more_paths.iter().for_each(|path| path.row(&mut out, ""));
    }
    _ = write!(out, "\nTotal number of prefixes {total}");
    if filtered > 0 {
        _ = write!(out, " ({filtered} filtered)");
    }
    out.push('\n');
    out
}

impl WireRoute {
    fn row(&self, out: &mut String, prefix: &str) {
        let next_hop = self.next_hop.or(self.next_hop_global).map(|address| address.to_string());
        let second = match self {
            Self { best: true, .. } => '>',
            Self { multipath: true, .. } => '=',
            _ => ' ',
        };
        let row = Row {
            marks: [if self.valid { '*' } else { ' ' }, second, if self.internal { 'i' } else { ' ' }],
            network: prefix,
            next_hop: next_hop.as_deref().unwrap_or_default(),
            metric: self.metric,
            loc_prf: self.loc_prf,
            weight: self.weight,
            path: &self.path,
            origin: self.origin,
        };
        row.render(out);
    }
}
