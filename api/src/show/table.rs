//! `show bgp ipv4|ipv6 unicast` and `... neighbors X routes`: the table, one line per path.
//!
//! A table can be long. [`Layout`] therefore renders it piece by piece, and [`Table::to_text`] is made of the same pieces.
//!
//! Invariant: a row depends on nothing but its own path and whether it is the first of its prefix.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::PathAttributes;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attributes::Origin;
use super::ordered::Ordered;
use super::text;

/// The table, or what one neighbour contributed to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowTable)]
pub struct Table {
    /// What the instance says about itself.
    #[serde(flatten)]
    pub head: TableHead,
    /// Paths by prefix, in the order of the table.
    pub routes: Ordered<Vec<Path>>,
    /// Prefixes in this answer.
    pub total_routes: u64,
    /// Paths in the whole table.
    pub total_paths: u64,
}

/// What stands above the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowTableHead)]
pub struct TableHead {
    /// Number of the instance: 0 for the only or first one.
    pub vrf_id: i64,
    /// `default` when there is only one instance, else the instance's name.
    pub vrf_name: String,
    /// Grows with every change of a best path.
    pub table_version: u64,
    /// BGP Identifier of the instance.
    #[schema(value_type = String)]
    pub router_id: Ipv4Addr,
    /// LOCAL_PREF of routes that come without one.
    pub default_loc_prf: u32,
    /// Local ASN.
    #[serde(rename = "localAS")]
    pub local_as: u32,
}

/// One path of a prefix. Marks are present only when true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowTablePath)]
pub struct Path {
    /// Withdrawn, not yet gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
    /// Kept over the restart of its peer (RFC 4724).
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
    /// Not advertised because an aggregate covers it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suppressed: bool,
    /// May be used: next hop reachable, no loop, accepted by policy.
    #[serde(default, skip_serializing_if = "is_false")]
    pub valid: bool,
    /// The winner.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bestpath: bool,
    /// Why it won over the next best. Only on the winner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_reason: Option<String>,
    /// Used beside the winner, or a winner that is not alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multipath: bool,
    /// `internal` for paths of internal peers, else `external`; own routes count as external here, as in FRR.
    pub path_from: PathFrom,
    /// Address of the prefix.
    #[schema(value_type = String)]
    pub prefix: IpAddr,
    /// Length of the prefix.
    pub prefix_len: u8,
    /// The prefix.
    pub network: String,
    /// Table version at the prefix' last change.
    pub version: u64,
    /// MULTI_EXIT_DISC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// LOCAL_PREF, if the path has one or a policy set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loc_prf: Option<u32>,
    /// FRR's local preference of own routes: 32768 for these, else 0. Only shown; rutter does not rank by it.
    pub weight: u32,
    /// Address of the peer, `(unspec)` for own routes.
    pub peer_id: String,
    /// AS_PATH; empty for own routes.
    pub path: String,
    /// ORIGIN.
    pub origin: Origin,
    /// Where it leads; two entries when an IPv6 next hop has a link-local companion.
    pub nexthops: Vec<NextHop>,
    /// Why the path is not the winner, in words. rutter's own; FRR has no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_best_reason: Option<String>,
}

impl Path {
    /// A path with everything that its attributes tell. Marks, version, peer and next hop are left to the caller; it
    /// counts as an own route until they are set.
    #[must_use]
    pub fn new(prefix: IpNet, attributes: &PathAttributes) -> Self {
        Self {
            removed: false,
            stale: false,
            suppressed: false,
            valid: false,
            bestpath: false,
            selection_reason: None,
            multipath: false,
            path_from: PathFrom::External,
            prefix: prefix.addr(),
            prefix_len: prefix.prefix_len(),
            network: prefix.to_string(),
            version: 0,
            metric: attributes.med,
            loc_prf: attributes.local_pref,
            weight: OWN_WEIGHT,
            peer_id: "(unspec)".to_owned(),
            path: attributes.as_path.to_string(),
            origin: attributes.origin.into(),
            nexthops: Vec::new(),
            not_best_reason: None,
        }
    }
}

/// FRR's weight of own routes.
pub const OWN_WEIGHT: u32 = 32768;

/// From which kind of peer a path came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShowPathFrom)]
pub enum PathFrom {
    /// A peer of our own AS.
    Internal,
    /// Another AS, or this router.
    #[default]
    External,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowNextHop)]
pub struct NextHop {
    /// Interface of a link-local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// Host name of the peer that advertised it, our own for own routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `ipv4` or `ipv6`.
    pub afi: Afi,
    /// `global` or `link-local`, of IPv6 ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Metric of the route to it; only in the display of one prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Whether it can be reached; only in the display of one prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessible: Option<bool>,
    /// FRR's `bgp network import-check`, written for next hops that cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_check_enabled: Option<bool>,
    /// The one of two that is used.
    #[serde(default, skip_serializing_if = "is_false")]
    pub used: bool,
}

impl NextHop {
    /// A single next hop, in use.
    #[must_use]
    pub fn new(ip: IpAddr, hostname: Option<String>) -> Self {
        let (afi, scope) = match ip {
            IpAddr::V4(_) => (Afi::Ipv4, None),
            IpAddr::V6(_) => (Afi::Ipv6, Some(Scope::Global)),
        };
        let (interface, metric, accessible, import_check_enabled) = (None, None, None, None);
        Self { interface, ip, hostname, afi, scope, metric, accessible, import_check_enabled, used: true }
    }

    /// The next hop of a path, and behind it the link-local one that came with it. `interface` is that of a peer known by
    /// its interface.
    #[must_use]
    pub fn list(next_hop: bgp_wire::NextHop, hostname: Option<&str>, interface: Option<&str>) -> Vec<Self> {
        let hostname = || hostname.map(str::to_owned);
        let first = match next_hop {
            bgp_wire::NextHop::V4(address) => return vec![Self::new(address.into(), hostname())],
            bgp_wire::NextHop::V6 { global, .. } => Self::new(global.into(), hostname()),
        };
        let Some(link_local) = next_hop.link_local() else {
            return vec![first];
        };
        if first.ip == link_local && interface.is_none() {
            return vec![first];
        }
        let mut second = Self::new(link_local.into(), hostname()).link_local(interface.map(str::to_owned));
        second.used = next_hop.address() == link_local && first.ip != link_local;
        vec![Self { used: !second.used, ..first }, second]
    }

    /// The link-local companion of an IPv6 next hop.
    #[must_use]
    pub fn link_local(self, interface: Option<String>) -> Self {
        Self { interface, scope: Some(Scope::LinkLocal), ..self }
    }
}

/// Family of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShowAfi)]
pub enum Afi {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Scope of an IPv6 next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ShowScope)]
pub enum Scope {
    /// Any but link-local. FRR also calls a link-local address global that stands in the global's place.
    Global,
    /// Link-local.
    LinkLocal,
}

impl Table {
    /// FRR's layout.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.routes.is_empty() {
            return Layout::nothing(self.total_paths);
        }
        let mut out = Layout::head(&self.head);
        for (prefix, paths) in self.routes.iter() {
            Layout::prefix(&mut out, prefix, paths);
        }
        out.push_str(&Layout::foot(self.total_routes, self.total_paths));
        out
    }
}

/// The pieces of a table in FRR's layout, for those who render it page by page.
#[derive(Clone, Copy, Debug)]
pub struct Layout;

impl Layout {
    /// Everything above the first row.
    #[must_use]
    pub fn head(head: &TableHead) -> String {
        Self::legend(head.table_version, head.router_id, head.vrf_id, head.default_loc_prf, head.local_as)
    }

    /// The same from single values; the tables per neighbour know no more.
    pub(super) fn legend(
        table_version: u64,
        router_id: Ipv4Addr,
        vrf_id: i64,
        default_loc_prf: u32,
        local_as: u32,
    ) -> String {
        format!(
            "BGP table version is {table_version}, local router ID is {router_id}, vrf id {vrf_id}\n\
             Default local pref {default_loc_prf}, local AS {local_as}\n{LEGEND}"
        )
    }

    /// All rows of one prefix.
    pub fn prefix(out: &mut String, prefix: &str, paths: &[Path]) {
        for (index, path) in paths.iter().enumerate() {
            let row = Row {
                marks: path.marks(),
                network: if index == 0 { prefix } else { "" },
                next_hop: &path.shown_next_hop(),
                metric: path.metric,
                loc_prf: path.loc_prf,
                weight: path.weight,
                path: &path.path,
                origin: path.origin,
            };
            row.render(out);
        }
    }

    /// Everything below the last row.
    #[must_use]
    pub fn foot(routes: u64, paths: u64) -> String {
        format!("\nDisplayed {routes} routes and {paths} total paths\n")
    }

    /// What is said instead of an empty table.
    #[must_use]
    pub fn nothing(total_paths: u64) -> String {
        format!("No BGP prefixes displayed, {total_paths} exist\n")
    }
}

impl Path {
    /// The three status columns.
    fn marks(&self) -> [char; 3] {
        let first = match self {
            Self { removed: true, .. } => 'R',
            Self { stale: true, .. } => 'S',
            Self { suppressed: true, .. } => 's',
            Self { valid: true, .. } => '*',
            _ => ' ',
        };
        let second = match self {
            Self { bestpath: true, .. } => '>',
            Self { multipath: true, .. } => '=',
            _ => ' ',
        };
        let third = if self.path_from == PathFrom::Internal { 'i' } else { ' ' };
        [first, second, third]
    }

    /// A peer known by its interface shows that, else the next hop in use.
    fn shown_next_hop(&self) -> String {
        if let Some(interface) = self.nexthops.iter().find_map(|hop| hop.interface.as_deref()) {
            return interface.to_owned();
        }
        match self.nexthops.iter().find(|hop| hop.used).or_else(|| self.nexthops.first()) {
            Some(hop) => text::next_hop(hop.ip, hop.hostname.as_deref()),
            None => String::new(),
        }
    }
}

/// One line of a table, or two or three when its fields are wide.
pub(super) struct Row<'a> {
    pub(super) marks: [char; 3],
    pub(super) network: &'a str,
    pub(super) next_hop: &'a str,
    pub(super) metric: Option<u32>,
    pub(super) loc_prf: Option<u32>,
    pub(super) weight: u32,
    pub(super) path: &'a str,
    pub(super) origin: Origin,
}

impl Row<'_> {
    pub(super) fn render(&self, out: &mut String) {
        let [first, second, third] = self.marks;
        // The first column is FRR's RPKI state, which is always blank here.
        _ = write!(out, " {first}{second}{third} {:NETWORK$}", self.network);
        if self.network.len() >= NETWORK {
            _ = write!(out, "\n{:AFTER_NETWORK$}", "");
        }
        _ = write!(out, "{:NEXT_HOP$}", self.next_hop);
        if self.next_hop.chars().count() >= NEXT_HOP {
            _ = write!(out, "\n{:AFTER_NEXT_HOP$}", "");
        }
        let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
        _ = write!(out, "{:>10}{:>7}{:>7} ", number(self.metric), number(self.loc_prf), self.weight);
        if !self.path.is_empty() {
            _ = write!(out, "{} ", self.path);
        }
        out.push(self.origin.letter());
        out.push('\n');
    }
}

/// Widths of FRR's columns, and where it goes on after a field that fills its column.
const NETWORK: usize = 17;
const AFTER_NETWORK: usize = 20;
const NEXT_HOP: usize = 16;
const AFTER_NEXT_HOP: usize = 36;

const LEGEND: &str = "\
Status codes:  s suppressed, d damped, h history, u unsorted, * valid, > best, = multipath,
               i internal, r RIB-failure, S Stale, R Removed
Nexthop codes: @NNN nexthop's vrf id, < announce-nh-self
Origin codes:  i - IGP, e - EGP, ? - incomplete
RPKI validation codes: V valid, I invalid, N Not found

     Network          Next Hop            Metric LocPrf Weight Path
";

pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops() {
        let v6 = |global: &str, link_local: Option<&str>| bgp_wire::NextHop::V6 {
            global: global.parse().expect("an address"),
            link_local: link_local.map(|text| text.parse().expect("an address")),
        };
        let used = |next_hop, interface| {
            let hops = NextHop::list(next_hop, Some("tor"), interface);
            hops.iter().map(|hop| (hop.ip.to_string(), hop.used)).collect::<Vec<_>>()
        };
        let hop = |address: &str, used| (address.to_owned(), used);
        assert_eq!(used(bgp_wire::NextHop::V4([10, 0, 0, 1].into()), None), [hop("10.0.0.1", true)]);
        assert_eq!(used(v6("fd00::1", None), None), [hop("fd00::1", true)]);
        assert_eq!(used(v6("fd00::1", Some("fe80::1")), None), [hop("fd00::1", true), hop("fe80::1", false)]);
        assert_eq!(used(v6("::", Some("fe80::1")), None), [hop("::", false), hop("fe80::1", true)]);
        assert_eq!(used(v6("fe80::1", None), Some("eth0")), [hop("fe80::1", true), hop("fe80::1", false)]);
    }

    #[test]
    fn an_own_route() {
        let mut path = Path::new("10.0.0.0/24".parse().expect("a prefix"), &PathAttributes::default());
        path.nexthops = vec![NextHop::new([0, 0, 0, 0].into(), Some("node1".to_owned()))];
        (path.valid, path.bestpath) = (true, true);
        let mut out = String::new();
        Layout::prefix(&mut out, "10.0.0.0/24", &[path]);
        assert_eq!(out, " *>  10.0.0.0/24      0.0.0.0(node1)                     32768 i\n");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Layout::nothing(0), "No BGP prefixes displayed, 0 exist\n");
    }
}
