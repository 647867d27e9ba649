//! What is known about next hops: whether they can be reached and how far they are (RFC 4271 §9.1.2.1).
//!
//! The core does not look at the system's routes. Whoever does (the FIB side of the driver) tells the RIB about changes
//! with [`super::Rib::set_next_hops`]; a next hop that nobody said anything about counts as directly connected.
//!
//! Invariant: only what differs from that default is stored, so a speaker without a FIB stores nothing.

use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::{NextHop, PathAttributes};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What the routing system says about a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopState {
    /// It can be reached.
    Reachable {
        /// IGP metric (RFC 4271 §9.1.2.2 e), 0 for a connected network.
        metric: u32,
    },
    /// There is no route to it.
    Unreachable,
}

impl Default for NextHopState {
    fn default() -> Self {
        Self::Reachable { metric: 0 }
    }
}

/// Next hops whose state is not the default.
#[derive(Clone, Debug, Default)]
pub(super) struct NextHops {
    known: HashMap<IpAddr, NextHopState, FixedState>,
}

impl NextHops {
    /// Notes a state. Returns whether anything changed.
    pub(super) fn set(&mut self, address: IpAddr, state: NextHopState) -> bool {
        let before = if state == NextHopState::default() {
            self.known.remove(&address)
        } else {
            self.known.insert(address, state)
        };
        before.unwrap_or_default() != state
    }

    /// The state of the next hop in `attributes`. A route of our own has none and is always reachable.
    pub(super) fn state(&self, attributes: &PathAttributes) -> NextHopState {
        if self.known.is_empty() {
            return NextHopState::default();
        }
        let address = attributes.next_hop.as_ref().map(NextHop::address);
        address.and_then(|address| self.known.get(&address).copied()).unwrap_or_default()
    }
}

/// Whether a next hop can be a host's address at all (RFC 4271 §6.3). Loopback addresses are, on a session that itself
/// runs over loopback.
pub(super) fn is_host(next_hop: &NextHop, session: IpAddr) -> bool {
    match next_hop.address() {
        IpAddr::V4(address) => {
            let class_e = address >= Ipv4Addr::new(240, 0, 0, 0);
            let this_network = address.octets().first() == Some(&0);
            !(class_e || this_network || address.is_multicast())
                && (!address.is_loopback() || session.is_loopback())
        }
        IpAddr::V6(address) => {
            !(address.is_unspecified() || address.is_multicast())
                && (!address.is_loopback() || session.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_only_what_differs_from_the_default() {
        let mut next_hops = NextHops::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let via = |address: [u8; 4]| PathAttributes {
            next_hop: Some(NextHop::V4(address.into())),
            ..PathAttributes::default()
        };
        assert!(!next_hops.set(address, NextHopState::Reachable { metric: 0 }));
        assert!(next_hops.set(address, NextHopState::Unreachable));
        assert!(!next_hops.set(address, NextHopState::Unreachable));
        assert_eq!(next_hops.state(&via([192, 0, 2, 1])), NextHopState::Unreachable);
        assert_eq!(next_hops.state(&via([192, 0, 2, 2])), NextHopState::Reachable { metric: 0 });
        assert_eq!(next_hops.state(&PathAttributes::default()), NextHopState::Reachable { metric: 0 });
        assert!(next_hops.set(address, NextHopState::Reachable { metric: 0 }));
        assert!(next_hops.known.is_empty());
    }

    #[test]
    fn hosts() {
        let session = IpAddr::from([192, 0, 2, 9]);
        let v4 = |octets: [u8; 4], session| is_host(&NextHop::V4(octets.into()), session);
        assert!(v4([192, 0, 2, 1], session));
        for martian in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 5], [255, 255, 255, 255]] {
            assert!(!v4(martian, session), "{martian:?}");
        }
        assert!(v4([127, 0, 0, 2], IpAddr::from([127, 0, 0, 2])));
    }
}
