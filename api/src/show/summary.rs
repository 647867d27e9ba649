//! `show bgp summary`: one line per peer and family.
//!
//! Invariant: the text is rendered from the JSON value alone, so both always say the same.

use std::fmt::Write;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ordered::Ordered;
use super::table::is_false;
use super::text;

/// The answer over all families that have a peer. A family without peers is absent, as in FRR.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowSummary)]
pub struct Summary {
    /// IPv4 unicast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_unicast: Option<FamilySummary>,
    /// IPv6 unicast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_unicast: Option<FamilySummary>,
}

/// One family. `show bgp ipv4 summary json` answers this without the outer key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowSummaryFamily)]
pub struct FamilySummary {
    /// BGP Identifier of the instance.
    #[schema(value_type = String)]
    pub router_id: Ipv4Addr,
    /// Local ASN.
    pub r#as: u32,
    /// Number of the instance: 0 for the only or first one.
    pub vrf_id: i64,
    /// `default` when there is only one instance, else the instance's name.
    pub vrf_name: String,
    /// Grows with every change of a best path.
    pub table_version: u64,
    /// Prefixes in the table.
    pub rib_count: u64,
    /// Estimated bytes of these.
    pub rib_memory: u64,
    /// Peers with this family.
    pub peer_count: u64,
    /// Estimated bytes of these.
    pub peer_memory: u64,
    /// Peer groups. rutter has none and leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_group_count: Option<u64>,
    /// Bytes of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_group_memory: Option<u64>,
    /// By address, or by interface for peers known by one.
    pub peers: Ordered<PeerSummary>,
    /// Peers that are not Established, or did not negotiate the family.
    pub failed_peers: u64,
    /// Peers in this answer.
    pub displayed_peers: u64,
    /// Peers with this family.
    pub total_peers: u64,
    /// Peers without configuration of their own: a connection from a range made them.
    pub dynamic_peers: u64,
    /// Options of the decision process.
    pub best_path: BestPathOptions,
}

/// Options of the decision process, as FRR spells them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowBestPathOptions)]
pub struct BestPathOptions {
    /// `true` or `false`, as a string.
    pub multi_path_relax: String,
}

/// One peer in one family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowSummaryPeer)]
pub struct PeerSummary {
    /// What the peer calls itself (FQDN capability).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What the peer runs (software version capability), else `n/a`.
    pub software_version: String,
    /// The peer's ASN; 0 while it is not known.
    pub remote_as: u32,
    /// Our ASN towards it.
    pub local_as: u32,
    /// BGP version, 4.
    pub version: u8,
    /// Messages received since the peer exists.
    pub msg_rcvd: u64,
    /// Messages sent since the peer exists.
    pub msg_sent: u64,
    /// Table version the peer has been told.
    pub table_version: u64,
    /// Messages waiting to be sent.
    pub outq: u64,
    /// Messages waiting to be read.
    pub inq: u64,
    /// Time in this state as [`text::uptime`], or `never`.
    pub peer_uptime: String,
    /// The same in milliseconds, 0 for never.
    pub peer_uptime_msec: u64,
    /// When it went up or down, in seconds since 1970. Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_uptime_established_epoch: Option<u64>,
    /// Prefixes accepted from the peer.
    pub pfx_rcd: u64,
    /// Prefixes the peer has been sent.
    pub pfx_snt: u64,
    /// State of the session, or why it is held in Idle.
    pub state: PeerState,
    /// `OK`, `Admin` or `PfxCt`.
    pub peer_state: HeldBy,
    /// How often the session came up.
    pub connections_established: u64,
    /// How often it went down.
    pub connections_dropped: u64,
    /// The configured description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// What kind of name the peer is listed under.
    pub id_type: IdType,
    /// A connection made it; no configuration names it. Absent when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dynamic_peer: bool,
    /// It does not take what is sent to it. Ours; absent when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub slow_peer: bool,
}

/// State of a session (RFC 4271 §8.2.2) as FRR spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowPeerState)]
pub enum PeerState {
    /// Not trying.
    #[default]
    Idle,
    /// Shut down by configuration.
    #[serde(rename = "Idle (Admin)")]
    IdleAdmin,
    /// Closed because the peer sent too many prefixes.
    #[serde(rename = "Idle (PfxCt)")]
    IdlePfxCt,
    /// Dialling.
    Connect,
    /// Waiting to dial again, or to be dialled.
    Active,
    /// OPEN sent.
    OpenSent,
    /// OPEN received.
    OpenConfirm,
    /// Routes flow.
    Established,
    /// Established, but this family was not negotiated.
    NoNeg,
}

impl PeerState {
    /// The word in the table and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::IdleAdmin => "Idle (Admin)",
            Self::IdlePfxCt => "Idle (PfxCt)",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
            Self::NoNeg => "NoNeg",
        }
    }
}

/// What holds a peer in Idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShowPeerHeldBy)]
pub enum HeldBy {
    /// Nothing.
    #[default]
    #[serde(rename = "OK")]
    Nothing,
    /// The configuration.
    Admin,
    /// Its number of prefixes.
    PfxCt,
}

/// What kind of name a peer is listed under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShowPeerIdType)]
pub enum IdType {
    /// Its IPv4 address.
    #[default]
    Ipv4,
    /// Its IPv6 address.
    Ipv6,
    /// The interface it is reached through.
    Interface,
}

impl Summary {
    /// FRR's layout: a block per family.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (label, family) in [("IPv4 Unicast", &self.ipv4_unicast), ("IPv6 Unicast", &self.ipv6_unicast)] {
            if let Some(family) = family {
                _ = write!(out, "\n{label} Summary:\n{}", family.to_text());
            }
        }
        if out.is_empty() { "% No BGP neighbors found in VRF default\n".to_owned() } else { out }
    }
}

impl FamilySummary {
    /// FRR's layout of one family, without a heading.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let Self { router_id, r#as, vrf_name, vrf_id, .. } = self;
        _ = writeln!(
            out,
            "BGP router identifier {router_id}, local AS number {as} VRF {vrf_name} vrf-id {vrf_id}"
        );
        _ = writeln!(out, "BGP table version {}", self.table_version);
        let mut used = |what: &str, count: u64, bytes: u64| {
            _ = writeln!(out, "{what} {count}, using {} of memory", text::memory(bytes));
        };
        used("RIB entries", self.rib_count, self.rib_memory);
        used("Peers", self.peer_count, self.peer_memory);
        if let (Some(count), Some(bytes)) = (self.peer_group_count, self.peer_group_memory) {
            used("Peer groups", count, bytes);
        }
        let names: Vec<String> = self
            .peers
            .iter()
            .map(|(key, peer)| {
                let name = text::named(peer.hostname.as_deref(), key);
                if peer.dynamic_peer { format!("*{name}") } else { name }
            })
            .collect();
        let width = names.iter().map(|name| name.chars().count() + 1).max().unwrap_or_default().max(16);
        _ = writeln!(
            out,
            "\n{:width$}V         AS   MsgRcvd   MsgSent   TblVer  InQ OutQ  Up/Down State/PfxRcd   PfxSnt Desc",
            "Neighbor"
        );
        for (name, (_, peer)) in names.iter().zip(self.peers.iter()) {
            let received = match peer.state {
                PeerState::Established => peer.pfx_rcd.to_string(),
                other => other.name().to_owned(),
            };
            _ = writeln!(
                out,
                "{name:width$}4 {:>10} {:>9} {:>9} {:>8} {:>4} {:>4} {:>8} {received:>12} {:>8} {}",
                peer.remote_as,
                peer.msg_rcvd,
                peer.msg_sent,
                peer.table_version,
                peer.inq,
                peer.outq,
                peer.peer_uptime,
                peer.pfx_snt,
                format_args!("{}{}", if peer.slow_peer { "SLOW " } else { "" }, peer.described_as()),
            );
        }
        _ = writeln!(out, "\nTotal number of neighbors {}", self.total_peers);
        if self.dynamic_peers > 0 {
            _ = writeln!(out, "* - dynamic neighbor\n{} dynamic neighbor(s)", self.dynamic_peers);
        }
        out
    }
}

impl PeerSummary {
    /// The last column: the description, cut at a blank to 20 characters, or what the peer runs.
    fn described_as(&self) -> &str {
        const WIDEST: usize = 20;
        let Some(text) = self.desc.as_deref().filter(|text| !text.is_empty()) else {
            return if matches!(self.software_version.as_str(), "" | "n/a") {
                "N/A"
            } else {
                &self.software_version
            };
        };
        let Some((cut, _)) = text.char_indices().nth(WIDEST) else {
            return text;
        };
        match text[..cut].rfind(' ') {
            Some(blank) if blank > 0 => text[..blank].trim_end(),
            _ => &text[..cut],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_description_is_cut_at_a_blank() {
        let peer = |desc: &str| PeerSummary { desc: Some(desc.to_owned()), ..PeerSummary::default() };
        assert_eq!(peer("twenty characters...").described_as(), "twenty characters...");
        assert_eq!(peer("top of rack switch four").described_as(), "top of rack switch");
        assert_eq!(peer("abcdefghijklmnopqrstuvwxyz").described_as(), "abcdefghijklmnopqrst");
        assert_eq!(peer("ääääääääääääääääääääää").described_as(), "ääääääääääääääääääää");
    }

    #[test]
    fn no_peers_is_said() {
        assert_eq!(Summary::default().to_text(), "% No BGP neighbors found in VRF default\n");
    }
}
