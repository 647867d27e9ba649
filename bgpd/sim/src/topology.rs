//! Worlds to run in: who is connected to whom, and what everybody originates.
//!
//! Invariant: prefixes of different nodes never coincide, so a route says whose it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bgp_core::config::{OriginatedRoute, PeerConfig, SpeakerSettings, Timers};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::world::World;

/// The `index`-th prefix of a node: every third one is IPv6.
#[must_use]
pub fn prefix(node: usize, index: usize) -> IpNet {
    let [_, _, high, low] = u32::try_from(node).unwrap_or_default().to_be_bytes();
    let index = u16::try_from(index).unwrap_or_default();
    if index % 3 == 2 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, u16::from_be_bytes([high, low]), index, 0, 0, 0, 0);
        IpNet::V6(Ipv6Net::new_assert(address, 64))
    } else {
        // 11.0.0.0/8 upwards: 256 routes of 256 nodes, /32 each within a node's /16.
        let [first, second] = index.to_be_bytes();
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(11 + high, low, first, second), 32))
    }
}

/// Settings of a node that originates `routes` prefixes.
#[must_use]
pub fn settings(node: usize, asn: u32, routes: usize) -> SpeakerSettings {
    let router_id = match World::address(node) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    let mut settings = SpeakerSettings::new(format!("node{node}"), asn, router_id);
    settings.listen_port = Some(179);
    settings.hostname = Some(format!("node{node}"));
    settings.routes = (0..routes).map(|index| OriginatedRoute::new(prefix(node, index))).collect();
    settings
}

/// What a node is configured with for its neighbour.
#[must_use]
pub fn peer(other: usize, asn: u32, timers: Timers) -> PeerConfig {
    PeerConfig { timers, ..PeerConfig::new(format!("to-node{other}"), World::address(other), Some(asn)) }
}

/// Timers that make a run short.
#[must_use]
pub const fn brisk() -> Timers {
    Timers { connect_retry: 5, hold: 9, keepalive: 3 }
}

impl World {
    /// Adds `count` nodes with an AS of their own each.
    pub fn add_external_nodes(&mut self, count: usize, routes: usize) {
        for _ in 0..count {
            let node = self.nodes.len();
            self.add_node(settings(node, asn(node), routes));
        }
    }

    /// Connects two nodes and makes them peers.
    pub fn connect(&mut self, one: usize, other: usize, timers: Timers) -> usize {
        for (node, neighbour) in [(one, other), (other, one)] {
            let asn = self.nodes[neighbour].settings.local_asn;
            self.nodes[node].settings.peers.push(peer(neighbour, asn, timers));
        }
        let delay = Duration::from_micros(100) + self.dice.span(Duration::from_millis(20));
        let jitter = self.dice.span(Duration::from_millis(10));
        self.add_link(one, other, delay, jitter)
    }
}

/// ASN of a node that has its own: two octets for some, four for others.
#[must_use]
pub fn asn(node: usize) -> u32 {
    let node = u32::try_from(node).unwrap_or_default();
    if node.is_multiple_of(2) { 64_512 + node } else { 4_200_000_000 + node }
}
