//! Paths of a peer that restarts: kept and marked stale when its session ends, freshened by what it sends when it is back,
//! swept when that is over (RFC 4724 §4.2).
//!
//! When to keep and when to sweep is decided by the helper machine (`crate::gr`); this is what its decisions do. A stale
//! path takes part in the decision like any other, so nobody hears of a restart that ends well.
//!
//! Invariant: of a peer that is down exactly the stale paths of the kept families are there, and a family that was swept
//! has none.

use bgp_wire::{Family, FamilySet};
use smallvec::SmallVec;

use crate::PeerId;
use crate::time::Time;

use super::loc::Judges;
use super::path::{Path, PathKey};
use super::peer::{PathCounters, Peer, PeerParams};
use super::{Rib, family_index};

/// Which paths of a peer a sweep takes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swept {
    All,
    Stale,
}

impl Peer {
    /// Whether a new session is with the speaker that the kept paths came from, on the same side of the AS border. Else
    /// they would be judged as somebody else's.
    pub(super) fn is_same_speaker(&self, params: &PeerParams) -> bool {
        let identity = |params: &PeerParams| {
            (
                params.kind,
                params.remote_asn,
                params.remote_router_id,
                params.remote_address,
                params.route_reflector_client,
            )
        };
        !self.up && identity(&self.params) == identity(params)
    }
}

impl Rib {
    /// A session ended and the peer is expected back: its paths of `families` stay and are marked stale, all others go.
    /// Paths that were stale already go as well (RFC 4724 §4.2, consecutive restarts). Returns how many are kept.
    pub fn peer_down_stale(&mut self, peer: PeerId, families: FamilySet, _now: Time) -> u32 {
        let Some(state) = self.peers.get_mut(&peer) else { return 0 };
        let kept = families.intersection(state.params.families);
        state.up = false;
        let mut marked = 0;
        for rib in &mut self.families {
            rib.groups.leave(&mut rib.table, &mut self.interner, peer);
        }
        for family in FamilySet::ALL.iter() {
            if kept.contains(family) {
                self.sweep(peer, family, Swept::Stale);
                marked += self.mark_stale(peer, family);
            } else {
                self.sweep(peer, family, Swept::All);
            }
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.kept = kept;
        }
        self.forget_if_gone(peer);
        marked
    }

    /// Takes the stale paths of a peer and family out and keeps none any more. Returns how many there were.
    pub fn sweep_stale(&mut self, peer: PeerId, family: Family) -> u32 {
        let swept = self.sweep(peer, family, Swept::Stale);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.kept = state.kept.iter().filter(|kept| *kept != family).collect();
        }
        self.forget_if_gone(peer);
        swept
    }

    /// The families of which stale paths of a peer are kept.
    #[must_use]
    pub fn kept(&self, peer: PeerId) -> FamilySet {
        self.peers.get(&peer).map_or(FamilySet::EMPTY, |state| state.kept)
    }

    fn forget_if_gone(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|state| !state.up && state.kept.is_empty()) {
            self.peers.remove(&peer);
            self.policies.retain(|policy| policy.strong_count() > 0);
        }
    }

    fn mark_stale(&mut self, peer: PeerId, family: Family) -> u32 {
        let Some(rib) = self.families.iter_mut().find(|rib| rib.family == family) else { return 0 };
        let counters =
            self.peers.get_mut(&peer).and_then(|state| state.counters.get_mut(family_index(family)));
        let Some(counters) = counters else { return 0 };
        let mut left = counters.received;
        for id in 0..rib.table.end() {
            if left == 0 {
                break;
            }
            let paths = rib.table.get_mut(id).map(|found| found.paths.as_mut_slice()).unwrap_or_default();
            for path in paths.iter_mut().filter(|path| path.peer == peer) {
                path.stale = true;
                left -= 1;
            }
        }
        counters.stale = counters.received;
        counters.stale
    }

    /// Takes paths of a peer out, and stops looking when it has them all.
    fn sweep(&mut self, peer: PeerId, family: Family, which: Swept) -> u32 {
        let Some(rib) = self.families.iter_mut().find(|rib| rib.family == family) else { return 0 };
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let counters = self.peers.get(&peer).and_then(|state| state.counters.get(family_index(family)));
        let Some(counters) = counters else { return 0 };
        let wanted = if which == Swept::All { counters.received } else { counters.stale };
        let (mut left, mut gone) = (wanted, PathCounters::default());
        for id in 0..rib.table.end() {
            if left == 0 {
                break;
            }
            let Some(found) = rib.table.get(id) else { continue };
            let paths = found.paths.of(peer).filter(|path| which == Swept::All || path.stale);
            let keys: SmallVec<[PathKey; 2]> = paths.map(Path::key).collect();
            for key in keys {
                if let Some(path) = rib.remove_at(judges, &mut self.interner, id, key) {
                    gone.add_gone(path);
                    left -= 1;
                }
            }
        }
        self.count(peer, family, |counters| counters.subtract_all(&gone));
        wanted - left
    }
}
