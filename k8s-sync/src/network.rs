//! The node's own network, as far as BGP asks about it: links with their addresses, and default routes.
//!
//! Pure values; whoever runs on the node fills them in. Invariant: equal networks compare equal, whatever order the kernel
//! listed things in, so that only real changes lead to a new translation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

/// Links and default routes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Links by name.
    pub links: BTreeMap<String, Link>,
    /// Default routes of the main table that have a gateway.
    pub default_routes: BTreeSet<DefaultRoute>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Whether somebody set it up.
    pub admin_up: bool,
    /// Whether it works.
    pub oper: OperState,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// Operational state of a link (RFC 2863 §3.1.14, as far as it matters here).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OperState {
    /// It passes packets.
    Up,
    /// Its driver does not say; such as loopback, dummy and tunnel devices.
    #[default]
    Unknown,
    /// Any other state.
    Down,
}

/// A default route, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultRoute {
    /// Smaller is better.
    pub metric: u32,
    /// Name of the link.
    pub device: String,
    /// The next hop. Its family is that of the route.
    pub gateway: IpAddr,
}

impl Link {
    /// A link that is up, with these addresses.
    #[must_use]
    pub fn up(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { admin_up: true, oper: OperState::Up, addresses: addresses.into_iter().collect() }
    }

    /// Whether addresses on it can be reached.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.admin_up && self.oper != OperState::Down
    }
}

impl Network {
    /// The gateway of the default route with the lowest metric, among those that can be a peer; else why there is none.
    /// Of several with the same metric it is the first by device and address.
    pub(crate) fn default_gateway(&self, ipv4: bool) -> Result<IpAddr, &'static str> {
        let mut why = "the node has no such route";
        for route in self.default_routes.iter().filter(|route| route.gateway.is_ipv4() == ipv4) {
            let link = self.links.get(&route.device);
            if !link.is_some_and(|link| link.admin_up && link.oper == OperState::Up) {
                why = "the link of such a route is down";
            } else if is_link_local(route.gateway) {
                why = "the gateway is a link-local address; write peerAddress with its interface, as fe80::1%eth0";
            } else {
                return Ok(route.gateway);
            }
        }
        Err(why)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(routes: &[(u32, &str, &str)]) -> Network {
        let route = |(metric, device, gateway): &(u32, &str, &str)| DefaultRoute {
            metric: *metric,
            device: (*device).to_owned(),
            gateway: gateway.parse().unwrap(),
        };
        let mut links =
            BTreeMap::from([("eth0".to_owned(), Link::up([])), ("eth1".to_owned(), Link::up([]))]);
        links.insert("tun0".to_owned(), Link { admin_up: true, ..Link::default() });
        Network { links, default_routes: routes.iter().map(route).collect() }
    }

    #[test]
    fn the_lowest_metric_of_what_can_be_a_peer() {
        let mut network = network(&[
            (0, "tun0", "10.9.0.1"),
            (10, "eth0", "169.254.1.1"),
            (100, "eth1", "10.1.0.1"),
            (100, "eth0", "10.0.0.1"),
            (50, "eth0", "fe80::1"),
            (1024, "eth0", "fd00::1"),
        ]);
        assert_eq!(network.default_gateway(true), Ok("10.0.0.1".parse().unwrap()));
        assert_eq!(network.default_gateway(false), Ok("fd00::1".parse().unwrap()));
        network
            .links
            .insert("eth0".to_owned(), Link { admin_up: true, oper: OperState::Down, ..Link::default() });
        assert_eq!(network.default_gateway(true), Ok("10.1.0.1".parse().unwrap()));
        assert!(network.default_gateway(false).unwrap_err().contains("down"));
    }

    #[test]
    fn why_there_is_none() {
        assert!(network(&[]).default_gateway(true).unwrap_err().contains("no such route"));
        let link_local = network(&[(1024, "eth0", "fe80::1")]);
        assert!(link_local.default_gateway(false).unwrap_err().contains("link-local"));
        assert!(link_local.default_gateway(true).unwrap_err().contains("no such route"));
    }
}
