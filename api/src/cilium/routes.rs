//! `bgp routes available|advertised|received`: Loc-RIB, Adj-RIB-Out and Adj-RIB-In.
//!
//! Invariant: the attributes of an advertised route are those that were sent.

use bgp_wire::{EncodeContext, NextHop, PathAttributes};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::duration::go_duration;
use super::table::Table;
use super::{Family, base64, is_default};

/// A prefix and its paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CiliumRoute)]
pub struct Route {
    /// Name of the instance. rutter's own.
    #[serde(default)]
    pub instance: String,
    /// ASN of the instance.
    pub router_asn: u32,
    /// Address of the peer it was sent to or came from; absent for available routes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub neighbor: String,
    /// The prefix.
    pub prefix: String,
    /// Its paths.
    pub paths: Vec<Path>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CiliumPath)]
pub struct Path {
    /// Time since it came or was sent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub age_nanoseconds: u64,
    /// The winner of its prefix.
    #[serde(default, skip_serializing_if = "is_default")]
    pub best: bool,
    /// Kept over the restart of its peer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stale: bool,
    /// Family of the prefix.
    pub family: Family,
    /// The prefix as in an UPDATE.
    pub nlri: Octets,
    /// The attributes as in an UPDATE.
    pub path_attributes: Vec<Octets>,
    /// The next hop in words. rutter's own.
    #[serde(default)]
    pub next_hop: String,
    /// The attributes in words. rutter's own.
    #[serde(default)]
    pub attributes: String,
}

/// Octets in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CiliumOctets)]
pub struct Octets {
    /// The octets.
    pub base64: String,
}

impl Path {
    /// A path from its attributes. An own route has no next hop yet and shows the unspecified address.
    #[must_use]
    pub fn new(prefix: IpNet, attributes: &PathAttributes) -> Self {
        let (family, wire_family, unspecified): (_, _, std::net::IpAddr) = match prefix {
            IpNet::V4(_) => {
                let family = crate::intent::Family::Ipv4Unicast;
                (family, bgp_wire::Family::IPV4_UNICAST, std::net::Ipv4Addr::UNSPECIFIED.into())
            }
            IpNet::V6(_) => {
                let family = crate::intent::Family::Ipv6Unicast;
                (family, bgp_wire::Family::IPV6_UNICAST, std::net::Ipv6Addr::UNSPECIFIED.into())
            }
        };
        let next_hop = attributes.next_hop.unwrap_or_else(|| NextHop::from(unspecified));
        Self {
            age_nanoseconds: 0,
            best: false,
            stale: false,
            family: family.into(),
            nlri: Octets { base64: base64(&nlri(prefix)) },
            path_attributes: encoded(attributes, wire_family, next_hop, prefix),
            next_hop: next_hop.address().to_string(),
            attributes: in_words(prefix, attributes, next_hop),
        }
    }
}

/// A prefix in NLRI form (RFC 4271 §4.3).
fn nlri(prefix: IpNet) -> Vec<u8> {
    let length = prefix.prefix_len();
    let octets = match prefix {
        IpNet::V4(prefix) => prefix.network().octets().to_vec(),
        IpNet::V6(prefix) => prefix.network().octets().to_vec(),
    };
    let used = usize::from(length).div_ceil(8);
    std::iter::once(length).chain(octets.into_iter().take(used)).collect()
}

/// The attributes one by one. They are cut out of the UPDATE that would carry them, so they are what a peer would read.
fn encoded(
    attributes: &PathAttributes,
    family: bgp_wire::Family,
    next_hop: NextHop,
    prefix: IpNet,
) -> Vec<Octets> {
    let context = EncodeContext { extended_message: true, extended_next_hop: true, ..EncodeContext::new() };
    let block = bgp_wire::AttributeBlock::encode(attributes, &context);
    let mut message = bytes::BytesMut::new();
    if bgp_wire::encode_reach(&mut message, &block, family, &next_hop, [prefix], &context).is_err() {
        return Vec::new();
    }
    let mut rest = &message[bgp_wire::HEADER_LEN..];
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(taken)
    };
    let length = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    let mut cut = || {
        let withdrawn = length(take(2)?);
        take(withdrawn)?;
        let mut left = length(take(2)?);
        let mut all = Vec::new();
        while left > 0 {
            let head = take(2)?;
            let size = take(if head[0] & 0x10 == 0 { 1 } else { 2 })?;
            let value = take(length(size))?;
            let whole: Vec<u8> = [head, size, value].concat();
            left = left.checked_sub(whole.len())?;
            all.push(Octets { base64: base64(&whole) });
        }
        Some(all)
    };
    cut().unwrap_or_default()
}

/// The attributes as GoBGP prints them, which is what Cilium shows.
fn in_words(prefix: IpNet, attributes: &PathAttributes, next_hop: NextHop) -> String {
    let mut words = vec![format!("{{Origin: {}}}", origin_letter(attributes.origin))];
    let path = attributes.as_path.to_string();
    if !path.is_empty() {
        words.push(format!("{{AsPath: {path}}}"));
    }
    let multiprotocol = matches!(next_hop, NextHop::V6 { .. }) || matches!(prefix, IpNet::V6(_));
    if !multiprotocol {
        words.push(format!("{{Nexthop: {}}}", next_hop.address()));
    }
    if let Some(med) = attributes.med {
        words.push(format!("{{Med: {med}}}"));
    }
    if let Some(preference) = attributes.local_pref {
        words.push(format!("{{LocalPref: {preference}}}"));
    }
    if attributes.atomic_aggregate {
        words.push("{AtomicAggregate}".to_owned());
    }
    if let Some(aggregator) = &attributes.aggregator {
        words.push(format!("{{Aggregate: {{AS: {}, Address: {}}}}}", aggregator.asn, aggregator.address));
    }
    if !attributes.communities.is_empty() {
        // GoBGP knows one well-known community by an older name.
        let names = joined(attributes.communities.iter(), ", ").replace("graceful-shutdown", "planned-shut");
        words.push(format!("{{Communities: {names}}}"));
    }
    if let Some(originator) = attributes.originator_id {
        words.push(format!("{{Originator: {originator}}}"));
    }
    if !attributes.cluster_list.is_empty() {
        words.push(format!("{{ClusterList: [{}]}}", joined(attributes.cluster_list.iter(), " ")));
    }
    if !attributes.extended_communities.is_empty() {
        words.push(format!("{{Extcomms: [{}]}}", joined(attributes.extended_communities.iter(), ", ")));
    }
    if !attributes.large_communities.is_empty() {
        words.push(format!("{{LargeCommunity: [ {}]}}", joined(attributes.large_communities.iter(), ", ")));
    }
    if multiprotocol {
        let family = if matches!(prefix, IpNet::V4(_)) { "ipv4-unicast" } else { "ipv6-unicast" };
        let next_hop = next_hop.address();
        words.push(format!("{{MpReach({family}): {{Nexthop: {next_hop}, NLRIs: [{prefix}]}}}}"));
    }
    format!("[{}]", words.join(" "))
}

fn origin_letter(origin: bgp_wire::Origin) -> char {
    crate::show::attributes::Origin::from(origin).letter()
}

fn joined<T: std::fmt::Display>(values: impl Iterator<Item = T>, separator: &str) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(separator)
}

/// Cilium's table, with the column Node if the node is known and with the column Peer unless the routes are available
/// ones.
#[must_use]
pub fn to_text(routes: &[Route], with_peer: bool, node: Option<&str>) -> String {
    table(with_peer, node.is_some(), [(node.unwrap_or_default(), routes)])
}

/// The same of several nodes.
#[must_use]
pub fn of_nodes(nodes: &[(String, Vec<Route>)], with_peer: bool) -> String {
    table(with_peer, true, nodes.iter().map(|(node, routes)| (node.as_str(), routes.as_slice())))
}

fn table<'a>(
    with_peer: bool,
    with_node: bool,
    nodes: impl IntoIterator<Item = (&'a str, &'a [Route])>,
) -> String {
    let columns = [
        (with_node, "Node"),
        (true, "VRouter"),
        (with_peer, "Peer"),
        (true, "Prefix"),
        (true, "NextHop"),
        (true, "Age"),
        (true, "Attrs"),
    ];
    let shown = columns.map(|(shown, _)| shown);
    let mut table = Table::new(columns.into_iter().filter(|(shown, _)| *shown).map(|(_, name)| name));
    for (mut node, routes) in nodes {
        for (route, path) in routes.iter().flat_map(|route| route.paths.iter().map(move |path| (route, path)))
        {
            let cells = [
                std::mem::take(&mut node).to_owned(),
                route.router_asn.to_string(),
                route.neighbor.clone(),
                route.prefix.clone(),
                path.next_hop.clone(),
                go_duration(path.age_nanoseconds),
                path.attributes.clone(),
            ];
            table.push(cells.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(cell, _)| cell));
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use bgp_wire::AsPath;

    use super::*;

    fn attributes() -> PathAttributes {
        PathAttributes {
            as_path: AsPath::sequence([65001]),
            next_hop: Some(NextHop::V4("10.0.0.1".parse().expect("an address"))),
            local_pref: Some(100),
            communities: ["65000:99".parse().expect("a community")].into_iter().collect(),
            large_communities: ["1:2:3".parse().expect("a large community")].into_iter().collect(),
            ..PathAttributes::default()
        }
    }

    fn prefix(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn attributes_in_gobgp_form() {
        let path = Path::new(prefix("10.244.1.0/24"), &attributes());
        assert_eq!(
            path.attributes,
            "[{Origin: i} {AsPath: 65001} {Nexthop: 10.0.0.1} {LocalPref: 100} {Communities: 65000:99} \
             {LargeCommunity: [ 1:2:3]}]"
        );
        assert_eq!((path.next_hop.as_str(), path.family.afi.as_str()), ("10.0.0.1", "ipv4"));
    }

    #[test]
    fn an_own_ipv6_route_has_no_next_hop_yet() {
        let path = Path::new(prefix("fd00:1::/64"), &PathAttributes::default());
        assert_eq!(
            path.attributes,
            "[{Origin: i} {MpReach(ipv6-unicast): {Nexthop: ::, NLRIs: [fd00:1::/64]}}]"
        );
    }

    #[test]
    fn octets_are_those_of_an_update() {
        let path = Path::new(prefix("10.244.0.0/17"), &attributes());
        assert_eq!(path.nlri.base64, base64(&[17, 10, 244, 0]));
        let octets: Vec<_> = path.path_attributes.iter().map(|each| each.base64.as_str()).collect();
        let expected: [&[u8]; 6] = [
            &[0x40, 1, 1, 0],
            &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
            &[0x40, 3, 4, 10, 0, 0, 1],
            &[0x40, 5, 4, 0, 0, 0, 100],
            &[0xc0, 8, 4, 0xfd, 0xe8, 0, 99],
            &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        ];
        assert_eq!(octets, expected.map(base64));
    }

    #[test]
    fn the_table_of_advertised_routes() {
        let mut path = Path::new(prefix("10.244.1.0/24"), &PathAttributes::default());
        path.age_nanoseconds = 90_000_000_000;
        let route = |neighbor: &str| Route {
            instance: "65001".to_owned(),
            router_asn: 65001,
            neighbor: neighbor.to_owned(),
            prefix: "10.244.1.0/24".to_owned(),
            paths: vec![path.clone()],
        };
        let routes = [route("10.0.0.2"), route("fd00::2")];
        let expected = "\
Node   VRouter   Peer       Prefix          NextHop   Age     Attrs
n1     65001     10.0.0.2   10.244.1.0/24   0.0.0.0   1m30s   [{Origin: i} {Nexthop: 0.0.0.0}]
       65001     fd00::2    10.244.1.0/24   0.0.0.0   1m30s   [{Origin: i} {Nexthop: 0.0.0.0}]
";
        assert_eq!(to_text(&routes, true, Some("n1")), expected);
        let expected = "\
VRouter   Prefix          NextHop   Age     Attrs
65001     10.244.1.0/24   0.0.0.0   1m30s   [{Origin: i} {Nexthop: 0.0.0.0}]
";
        assert_eq!(to_text(&routes[..1], false, None), expected);
    }
}
