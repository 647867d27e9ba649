//! What the RIB knows about a peer that is established, or was and is expected back.
//!
//! Invariant: a peer is in the RIB from `peer_up` to `peer_down`, or after `peer_down_stale` until the last of its families
//! was swept; every path but our own belongs to a peer that is in the RIB, and to one that is down only while it is stale.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgp_wire::{EncodeContext, Family, FamilySet, NextHop, PeerKind, Role};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::PeerId;
use crate::config::PathsSent;
use crate::policy::{CompiledPolicy, Policy, SourceMatch};

use super::path::LOCAL;
use super::reason::Ineligible;

/// All peers, by handle.
pub(super) type Peers = HashMap<PeerId, Peer, FixedState>;

/// What the session with a peer agreed on, as far as routes are concerned.
#[derive(Clone, Debug)]
pub struct PeerParams {
    /// Name of the peer, for texts.
    pub name: Arc<str>,
    /// Same AS or another one.
    pub kind: PeerKind,
    /// The peer's AS number.
    pub remote_asn: u32,
    /// The peer's BGP Identifier.
    pub remote_router_id: Ipv4Addr,
    /// The peer's address.
    pub remote_address: IpAddr,
    /// Our IPv4 address towards this peer, for next hop self.
    pub local_address_v4: Option<Ipv4Addr>,
    /// Our global IPv6 address towards this peer, for next hop self.
    pub local_address_v6: Option<Ipv6Addr>,
    /// Our link-local address on the link that the peer is on, if it is directly connected.
    pub link_local: Option<Ipv6Addr>,
    /// Families that were negotiated.
    pub families: FamilySet,
    /// How the peer wants its messages.
    pub encode: EncodeContext,
    /// Which paths it is sent in families in which it takes several ([`EncodeContext::add_path`]). None: the best one alone.
    pub paths_sent: Option<PathsSent>,
    /// Both sides mark where a refresh begins and ends (RFC 7313).
    pub enhanced_refresh: bool,
    /// What is accepted from the peer. None: everything.
    pub import: Option<Arc<Policy>>,
    /// What is sent to the peer. None: everything the protocol allows.
    pub export: Option<Arc<Policy>>,
    /// The peer is a route reflector client (RFC 4456).
    pub route_reflector_client: bool,
    /// Whether the AS_PATH of an external peer has to start with its AS. Off for route servers (RFC 7947 §2.2.2).
    pub enforce_first_as: bool,
    /// Whether the peer gets routes that are kept as a last resort.
    pub long_lived: LongLived,
    /// Our role towards an external peer (RFC 9234).
    pub role: Option<Role>,
    /// The session will end soon, and traffic should have left it by then (RFC 8326).
    pub drain: bool,
    /// The peer's own word that its session will end soon is not listened to.
    pub ignore_graceful_shutdown: bool,
}

/// What a peer is told of routes with LLGR_STALE (RFC 9494 §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongLived {
    /// Nothing: it does not know that they are a last resort.
    #[default]
    Withheld,
    /// All.
    Sent,
    /// It does not know them, but is internal, and every router would leave them alone: LOCAL_PREF 0, NO_EXPORT
    /// (RFC 9494 §4.6).
    Demoted,
}

impl PeerParams {
    /// What we would put in as next hop of `family`, if it were us.
    ///
    /// IPv4 over an IPv6 session takes our IPv6 address if the peer can read that (RFC 8950). There is no other
    /// substitute: an IPv4-mapped IPv6 address, which some speakers send over IPv4 sessions, is no address of ours and
    /// forwards nothing, so without an address of the family there is no next hop.
    pub(super) fn next_hop_self(&self, family: Family) -> Option<NextHop> {
        let v4 = self.local_address_v4.map(NextHop::V4);
        let v6 = match (self.local_address_v6, self.link_local) {
            (Some(global), link_local) => Some(NextHop::V6 { global, link_local }),
            (None, Some(link_local)) => Some(NextHop::V6 { global: link_local, link_local: None }),
            (None, None) => None,
        };
        if family == Family::IPV6_UNICAST {
            return v6;
        }
        let v6 = v6.filter(|_| self.encode.extended_next_hop);
        if self.remote_address.is_ipv6() { v6.or(v4) } else { v4.or(v6) }
    }

    /// Whether an address is ours on this session.
    pub(super) fn is_own_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.local_address_v4 == Some(address),
            IpAddr::V6(address) => self.local_address_v6 == Some(address) || self.link_local == Some(address),
        }
    }
}

/// A peer that is established, or was and is expected back.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) params: PeerParams,
    /// Its session is established.
    pub(super) up: bool,
    /// Families of which stale paths are kept.
    pub(super) kept: FamilySet,
    /// Families that the peer is sending again: what it has not sent yet is stale (RFC 7313 §4).
    pub(super) refreshing: FamilySet,
    pub(super) import: Option<Arc<CompiledPolicy>>,
    pub(super) export: Option<Arc<CompiledPolicy>>,
    /// Paths in the Adj-RIB-In per family, in the order of the RIB's families.
    pub(super) counters: [PathCounters; 2],
    /// The family that is asked first when output is polled, so that neither waits for the other.
    pub(super) next_family: usize,
}

/// Paths in the Adj-RIB-In of one peer and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PathCounters {
    pub(super) received: u32,
    pub(super) ineligible: [u32; Ineligible::ALL.len()],
    /// Stale ones among those received.
    pub(super) stale: u32,
}

/// A path that went away, as far as it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) reason: Option<Ineligible>,
    pub(super) stale: bool,
}

impl PathCounters {
    pub(super) fn accepted(&self) -> u32 {
        self.received.saturating_sub(self.ineligible.iter().sum())
    }

    /// Counts a path that came in.
    pub(super) fn add(&mut self, reason: Option<Ineligible>) {
        self.received += 1;
        if let Some(count) = reason.and_then(|reason| self.ineligible.get_mut(reason.index())) {
            *count += 1;
        }
    }

    /// Counts all of `other` in.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.received += other.received;
        self.stale += other.stale;
        for (count, more) in self.ineligible.iter_mut().zip(other.ineligible) {
            *count += more;
        }
    }

    /// Counts all of `other` out.
    pub(super) fn subtract_all(&mut self, other: &Self) {
        self.received = self.received.saturating_sub(other.received);
        self.stale = self.stale.saturating_sub(other.stale);
        for (count, less) in self.ineligible.iter_mut().zip(other.ineligible) {
            *count = count.saturating_sub(less);
        }
    }

    /// Counts a path that is to be counted out.
    pub(super) fn add_gone(&mut self, gone: Gone) {
        self.add(gone.reason);
        self.stale += u32::from(gone.stale);
    }

    /// Counts a path whose reason is another one now.
    pub(super) fn subtract(&mut self, reason: Option<Ineligible>) {
        self.received = self.received.saturating_sub(1);
        if let Some(count) = reason.and_then(|reason| self.ineligible.get_mut(reason.index())) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Where a path comes from, as far as decision and export ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) kind: SourceMatch,
    pub(super) client: bool,
    pub(super) router_id: Ipv4Addr,
    pub(super) address: IpAddr,
}

impl Source {
    /// The source of paths of `peer`. `own_router_id` is that of our own routes.
    pub(super) fn of(peer: PeerId, peers: &Peers, own_router_id: Ipv4Addr) -> Self {
        match peers.get(&peer) {
            Some(peer) => Self {
                kind: match peer.params.kind {
                    PeerKind::Internal => SourceMatch::Internal,
                    PeerKind::External => SourceMatch::External,
                },
                client: peer.params.route_reflector_client,
                router_id: peer.params.remote_router_id,
                address: peer.params.remote_address,
            },
            None => {
                debug_assert_eq!(peer, LOCAL, "a path without its peer");
                Self {
                    kind: SourceMatch::Local,
                    client: false,
                    router_id: own_router_id,
                    address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(remote: &str) -> PeerParams {
        PeerParams {
            name: "peer".into(),
            kind: PeerKind::External,
            remote_asn: 65002,
            remote_router_id: Ipv4Addr::new(192, 0, 2, 2),
            remote_address: remote.parse().unwrap(),
            local_address_v4: None,
            local_address_v6: None,
            link_local: None,
            families: FamilySet::ALL,
            encode: EncodeContext::new(),
            paths_sent: None,
            enhanced_refresh: false,
            import: None,
            export: None,
            route_reflector_client: false,
            enforce_first_as: true,
            long_lived: LongLived::default(),
            role: None,
            drain: false,
            ignore_graceful_shutdown: false,
        }
    }

    #[test]
    fn next_hop_self_is_of_the_family_unless_the_peer_takes_the_other() {
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        let v6: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let link_local: Ipv6Addr = "fe80::1".parse().unwrap();

        let over_v4 = PeerParams { local_address_v4: Some(v4), ..params("192.0.2.2") };
        assert_eq!(over_v4.next_hop_self(Family::IPV4_UNICAST), Some(NextHop::V4(v4)));
        assert_eq!(over_v4.next_hop_self(Family::IPV6_UNICAST), None);

        let mut over_v6 = PeerParams { local_address_v6: Some(v6), ..params("2001:db8::2") };
        assert_eq!(over_v6.next_hop_self(Family::IPV4_UNICAST), None);
        over_v6.encode.extended_next_hop = true;
        let global = NextHop::V6 { global: v6, link_local: None };
        assert_eq!(over_v6.next_hop_self(Family::IPV4_UNICAST), Some(global));
        over_v6.local_address_v4 = Some(v4);
        assert_eq!(over_v6.next_hop_self(Family::IPV4_UNICAST), Some(global));

        let unnumbered = PeerParams { link_local: Some(link_local), ..params("fe80::2") };
        let alone = NextHop::V6 { global: link_local, link_local: None };
        assert_eq!(unnumbered.next_hop_self(Family::IPV6_UNICAST), Some(alone));
    }
}
