//! `bgp peers`: the sessions.
//!
//! Invariant: sorted by local ASN, then by address as a number, as Cilium sorts them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::duration::go_duration;
use super::table::Table;
use super::{Family, is_default};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", default)]
#[schema(as = CiliumPeer)]
pub struct Peer {
    /// Name of the instance. rutter's own.
    pub instance: String,
    /// Name of the peer.
    pub name: String,
    /// Our ASN.
    pub local_asn: u32,
    /// The peer's ASN.
    #[serde(skip_serializing_if = "is_default")]
    pub peer_asn: u32,
    /// Its address.
    #[schema(value_type = String)]
    pub peer_address: IpAddr,
    /// Its TCP port.
    pub peer_port: u16,
    /// State of the session.
    pub session_state: SessionState,
    /// Time since Established.
    #[serde(skip_serializing_if = "is_default")]
    pub uptime_nanoseconds: u64,
    /// Negotiated families, configured ones while there is no session.
    pub families: Vec<FamilyState>,
    /// ConnectRetryTime.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_retry_time_seconds: u64,
    /// Hold Time we propose.
    #[serde(skip_serializing_if = "is_default")]
    pub configured_hold_time_seconds: u64,
    /// Negotiated Hold Time.
    #[serde(skip_serializing_if = "is_default")]
    pub applied_hold_time_seconds: u64,
    /// Configured keepalive interval.
    #[serde(skip_serializing_if = "is_default")]
    pub configured_keep_alive_time_seconds: u64,
    /// Keepalive interval in use.
    #[serde(skip_serializing_if = "is_default")]
    pub applied_keep_alive_time_seconds: u64,
    /// TTL of an external session.
    #[serde(skip_serializing_if = "is_default")]
    pub ebgp_multihop_ttl: u64,
    /// Graceful restart.
    pub graceful_restart: GracefulRestart,
    /// What we announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_capabilities: Vec<Capability>,
    /// What the peer announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_capabilities: Vec<Capability>,
    /// Whether the session uses a TCP MD5 password.
    #[serde(skip_serializing_if = "is_default")]
    pub tcp_password_enabled: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            instance: String::new(),
            name: String::new(),
            local_asn: 0,
            peer_asn: 0,
            peer_address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            peer_port: 179,
            session_state: SessionState::Unknown,
            uptime_nanoseconds: 0,
            families: Vec::new(),
            connect_retry_time_seconds: 0,
            configured_hold_time_seconds: 0,
            applied_hold_time_seconds: 0,
            configured_keep_alive_time_seconds: 0,
            applied_keep_alive_time_seconds: 0,
            ebgp_multihop_ttl: 0,
            graceful_restart: GracefulRestart::default(),
            local_capabilities: Vec::new(),
            remote_capabilities: Vec::new(),
            tcp_password_enabled: false,
        }
    }
}

/// State of a session (RFC 4271 §8.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CiliumSessionState)]
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub enum SessionState {
    #[default]
    Unknown,
    Idle,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

impl SessionState {
    /// `open_sent`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Idle => "idle",
            Self::Connect => "connect",
            Self::Active => "active",
            Self::OpenSent => "open_sent",
            Self::OpenConfirm => "open_confirm",
            Self::Established => "established",
        }
    }
}

/// One family of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CiliumPeerFamily)]
pub struct FamilyState {
    /// `ipv4` or `ipv6`.
    pub afi: String,
    /// `unicast`.
    pub safi: String,
    /// Routes in the Adj-RIB-In.
    #[serde(default, skip_serializing_if = "is_default")]
    pub received: u64,
    /// Those of them that passed the protocol's own checks, before import policy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub accepted: u64,
    /// Routes in the Adj-RIB-Out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub advertised: u64,
}

impl FamilyState {
    /// A family with its counters.
    #[must_use]
    pub fn new(family: crate::intent::Family, received: u64, accepted: u64, advertised: u64) -> Self {
        let Family { afi, safi } = family.into();
        Self { afi, safi, received, accepted, advertised }
    }
}

/// Graceful restart of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", default)]
#[schema(as = CiliumGracefulRestart)]
pub struct GracefulRestart {
    /// Whether it is configured.
    #[serde(skip_serializing_if = "is_default")]
    pub enabled: bool,
    /// Restart Time we announce.
    #[serde(skip_serializing_if = "is_default")]
    pub restart_time_seconds: u64,
}

/// A capability as it stood in the OPEN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CiliumCapability)]
pub struct Capability {
    /// Code, length and value in base64.
    pub capability: String,
}

impl Capability {
    /// The capability in words; as it came if it cannot be read.
    #[must_use]
    pub fn to_words(&self) -> String {
        super::octets(&self.capability)
            .and_then(|octets| bgp_wire::Capability::from_octets(&octets).ok())
            .map_or_else(|| self.capability.clone(), |capability| capability.to_string())
    }
}

/// Puts peers in Cilium's order.
pub fn sort(peers: &mut [Peer]) {
    peers.sort_by(|a, b| (a.local_asn, a.peer_address, &a.name).cmp(&(b.local_asn, b.peer_address, &b.name)));
}

/// Cilium's table; with the column Node if the node is known.
#[must_use]
pub fn to_text(peers: &[Peer], node: Option<&str>) -> String {
    table(node.is_some(), [(node.unwrap_or_default(), peers)])
}

/// The same of several nodes.
#[must_use]
pub fn of_nodes(nodes: &[(String, Vec<Peer>)]) -> String {
    table(true, nodes.iter().map(|(node, peers)| (node.as_str(), peers.as_slice())))
}

/// What each side of each session said in its OPEN that it can do, side by side.
#[must_use]
pub fn capabilities_to_text(peers: &[Peer], node: Option<&str>) -> String {
    capabilities(node.is_some(), [(node.unwrap_or_default(), peers)])
}

/// The same of several nodes.
#[must_use]
pub fn capabilities_of_nodes(nodes: &[(String, Vec<Peer>)]) -> String {
    capabilities(true, nodes.iter().map(|(node, peers)| (node.as_str(), peers.as_slice())))
}

fn capabilities<'a>(with_node: bool, nodes: impl IntoIterator<Item = (&'a str, &'a [Peer])>) -> String {
    let heading =
        ["Node", "Local AS", "Peer AS", "Peer Address", "Capabilities Local", "Capabilities Remote"];
    let skip = usize::from(!with_node);
    let mut table = Table::new(heading.into_iter().skip(skip));
    for (node, peers) in nodes {
        let mut node = node.to_owned();
        for peer in peers {
            let mut session = [
                std::mem::take(&mut node),
                peer.local_asn.to_string(),
                peer.peer_asn.to_string(),
                peer.peer_address.to_string(),
            ];
            let (ours, theirs) = (&peer.local_capabilities, &peer.remote_capabilities);
            for row in 0..ours.len().max(theirs.len()).max(1) {
                let cell = |list: &[Capability]| list.get(row).map(Capability::to_words).unwrap_or_default();
                table.push(session.iter().skip(skip).cloned().chain([cell(ours), cell(theirs)]));
                session.fill(String::new());
            }
        }
    }
    table.render()
}

fn table<'a>(with_node: bool, nodes: impl IntoIterator<Item = (&'a str, &'a [Peer])>) -> String {
    let heading = [
        "Node",
        "Local AS",
        "Peer AS",
        "Peer Address",
        "Session State",
        "Uptime",
        "Family",
        "Received",
        "Advertised",
    ];
    let skip = usize::from(!with_node);
    let mut table = Table::new(heading.into_iter().skip(skip));
    let named = |(node, peers): (&'a str, &'a [Peer])| {
        peers.iter().enumerate().map(move |(index, peer)| (if index == 0 { node } else { "" }, peer))
    };
    for (first, peer) in nodes.into_iter().flat_map(named) {
        let mut session = vec![
            first.to_owned(),
            peer.local_asn.to_string(),
            peer.peer_asn.to_string(),
            peer.peer_address.to_string(),
            peer.session_state.name().to_owned(),
            go_duration(peer.uptime_nanoseconds),
        ];
        if peer.families.is_empty() {
            table.push(session.drain(skip..));
            continue;
        }
        for family in &peer.families {
            let counters = [
                format!("{}/{}", family.afi, family.safi),
                family.received.to_string(),
                family.advertised.to_string(),
            ];
            table.push(session.iter().skip(skip).cloned().chain(counters));
            // Further families continue below the session, which is named once.
            session.fill(String::new());
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Family::{Ipv4Unicast, Ipv6Unicast};

    #[test]
    fn several_nodes_share_one_heading() {
        let one = Peer { local_asn: 65001, session_state: SessionState::Idle, ..Peer::default() };
        let text =
            of_nodes(&[("w1".to_owned(), vec![one.clone(), one.clone()]), ("w2".to_owned(), vec![one])]);
        let firsts: Vec<&str> = text.lines().map(|line| line[..4].trim()).collect();
        assert_eq!(firsts, ["Node", "w1", "", "w2"], "{text}");
    }

    fn peers() -> Vec<Peer> {
        let up = Peer {
            name: "tor-a".to_owned(),
            instance: "65001".to_owned(),
            local_asn: 65001,
            peer_asn: 65000,
            peer_address: "fd00:10::1".parse().expect("an address"),
            session_state: SessionState::Established,
            uptime_nanoseconds: 2_006_300_000_000,
            families: vec![FamilyState::new(Ipv4Unicast, 4, 4, 2), FamilyState::new(Ipv6Unicast, 0, 0, 1)],
            ..Peer::default()
        };
        let down = Peer {
            name: "tor-b".to_owned(),
            peer_address: "10.0.0.9".parse().expect("an address"),
            session_state: SessionState::OpenSent,
            uptime_nanoseconds: 0,
            families: vec![FamilyState::new(Ipv4Unicast, 0, 0, 0)],
            ..up.clone()
        };
        let mut peers = vec![up, down];
        sort(&mut peers);
        peers
    }

    #[test]
    fn capabilities_side_by_side() {
        let capability = |octets: &[u8]| Capability { capability: crate::cilium::base64(octets) };
        let mut peers = peers();
        peers[0].local_capabilities = vec![capability(&[2, 0]), capability(&[65, 4, 0, 0, 0xfd, 0xe9])];
        peers[0].remote_capabilities = vec![Capability { capability: "?".to_owned() }];
        let expected = "\
Node      Local AS   Peer AS   Peer Address   Capabilities Local    Capabilities Remote
worker1   65001      65000     10.0.0.9       route refresh         ?
                                              four-octet AS 65001
          65001      65000     fd00:10::1
";
        assert_eq!(capabilities_to_text(&peers, Some("worker1")), expected);
    }

    #[test]
    fn the_table() {
        let expected = "\
Node      Local AS   Peer AS   Peer Address   Session State   Uptime   Family         Received   Advertised
worker1   65001      65000     10.0.0.9       open_sent       0s       ipv4/unicast   0          0
          65001      65000     fd00:10::1     established     33m26s   ipv4/unicast   4          2
                                                                       ipv6/unicast   0          1
";
        assert_eq!(to_text(&peers(), Some("worker1")), expected);
        let without: String = expected.lines().map(|line| format!("{}\n", &line[10..])).collect();
        assert_eq!(to_text(&peers(), None), without);
    }

    #[test]
    fn zero_scalars_are_left_out() {
        let json = serde_json::to_value(&peers()[0]).expect("JSON");
        let keys: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        let expected = [
            "families",
            "graceful-restart",
            "instance",
            "local-asn",
            "name",
            "peer-address",
            "peer-asn",
            "peer-port",
            "session-state",
        ];
        assert_eq!(keys, expected);
        assert_eq!(json["families"], serde_json::json!([{"afi": "ipv4", "safi": "unicast"}]));
        assert_eq!(json["session-state"], "open_sent");
        assert_eq!(serde_json::from_value::<Peer>(json).expect("a peer"), peers()[0]);
    }
}
