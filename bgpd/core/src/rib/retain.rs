//! Paths of a peer that restarts: kept and marked stale when its session ends, freshened by what it sends when it is back,
//! swept when that is over (RFC 4724 §4.2), and a last resort if it takes too long (RFC 9494 §4.2).
//!
//! When to keep and when to sweep is decided by the helper machine (`crate::gr`); this is what its decisions do. A stale
//! path takes part in the decision like any other, so nobody hears of a restart that ends well.
//!
//! A peer that sends its routes again without a restart between marks where it begins and ends (RFC 7313): what it had sent
//! is stale in between. That is told apart by family ([`Peer::refreshing`]), for it says nothing about a restart.
//!
//! Invariant: of a peer that is down exactly the stale paths of the kept families are there, and a family that was swept
//! has none.

use bgp_wire::{Community, Family, FamilySet};
use smallvec::SmallVec;

use crate::PeerId;
use crate::time::Time;

use super::interner::Interner;
use super::loc::Judges;
use super::path::{Path, PathKey, Staleness};
use super::peer::{PathCounters, Peer, PeerParams};
use super::{Rib, family_index};

/// Which paths of a peer a sweep takes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swept {
    All,
    Stale,
    /// Stale ones that carry NO_LLGR.
    NoLongLived,
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
    /// Paths that were stale already go as well (RFC 4724 §4.2, consecutive restarts), unless the family is in `with_stale`
    /// (RFC 9494 §4.2). Returns how many are kept.
    pub fn peer_down_stale(
        &mut self,
        peer: PeerId,
        families: FamilySet,
        with_stale: FamilySet,
        _now: Time,
    ) -> u32 {
        let Some(state) = self.peers.get_mut(&peer) else { return 0 };
        let kept = families.intersection(state.params.families);
        state.up = false;
        let mut marked = 0;
        for rib in &mut self.families {
            rib.groups.leave(&mut rib.table, &mut self.interner, peer);
        }
        for family in self.refreshing(peer).iter() {
            // What it had not come to is as good as it was: not a remnant of a restart before this one.
            self.mark(peer, family, false);
        }
        for family in FamilySet::ALL.iter() {
            if kept.contains(family) {
                if !with_stale.contains(family) {
                    self.sweep(peer, family, Swept::Stale);
                }
                marked += self.mark(peer, family, true);
            } else {
                self.sweep(peer, family, Swept::All);
            }
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.kept = kept;
            state.refreshing = FamilySet::EMPTY;
        }
        self.forget_if_gone(peer);
        marked
    }

    /// The peer begins to send all its routes of a family again (RFC 7313 §4.2): those it has sent are stale until then.
    /// Returns how many.
    pub fn refresh_begins(&mut self, peer: PeerId, family: Family) -> u32 {
        let Some(state) = self.peers.get_mut(&peer).filter(|state| !state.kept.contains(family)) else {
            return 0;
        };
        state.refreshing.insert(family);
        self.mark(peer, family, true)
    }

    /// The peer sent all its routes of a family again: what is stale still goes. Returns how many these were.
    pub fn refresh_ends(&mut self, peer: PeerId, family: Family) -> u32 {
        if !self.refreshing(peer).contains(family) {
            return 0;
        }
        let swept = self.sweep(peer, family, Swept::Stale);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.refreshing = state.refreshing.iter().filter(|other| *other != family).collect();
        }
        swept
    }

    /// The families that a peer is sending again.
    #[must_use]
    pub fn refreshing(&self, peer: PeerId) -> FamilySet {
        self.peers.get(&peer).map_or(FamilySet::EMPTY, |state| state.refreshing)
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

    /// The peer was not back within its Restart Time: its stale paths of a family become a last resort (RFC 9494 §4.2).
    /// Returns how many, and how many went because they carry NO_LLGR.
    pub fn age_stale(&mut self, peer: PeerId, family: Family) -> (u32, u32) {
        let removed = self.sweep(peer, family, Swept::NoLongLived);
        let Some(rib) = self.families.iter_mut().find(|rib| rib.family == family) else { return (0, 0) };
        let mut aged = 0;
        for id in 0..rib.table.end() {
            let paths = rib.table.get_mut(id).map(|found| found.paths.as_mut_slice());
            let stale = paths.into_iter().flatten().filter(|path| path.peer == peer && path.stale.is_stale());
            for path in stale {
                aged += u32::from(!path.stale.is_long_lived());
                path.stale = Staleness::LongLived;
            }
        }
        if aged > 0 {
            self.import_again(|path| path.peer == peer && path.stale.is_long_lived());
        }
        (aged, removed)
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

    /// Marks all paths of a peer, or takes the marks off. Returns how many paths there are.
    fn mark(&mut self, peer: PeerId, family: Family, stale: bool) -> u32 {
        let Some(rib) = self.families.iter_mut().find(|rib| rib.family == family) else { return 0 };
        let counters =
            self.peers.get_mut(&peer).and_then(|state| state.counters.get_mut(family_index(family)));
        let Some(counters) = counters else { return 0 };
        // A peer that begins again and again has its paths looked through once.
        let done = counters.stale == if stale { counters.received } else { 0 };
        let mut left = if done { 0 } else { counters.received };
        for id in 0..rib.table.end() {
            if left == 0 {
                break;
            }
            let paths = rib.table.get_mut(id).map(|found| found.paths.as_mut_slice()).unwrap_or_default();
            for path in paths.iter_mut().filter(|path| path.peer == peer) {
                path.stale = if stale { path.stale.max(Staleness::Stale) } else { Staleness::Fresh };
                left -= 1;
            }
        }
        counters.stale = if stale { counters.received } else { 0 };
        counters.received
    }

    /// Takes paths of a peer out, and stops looking when it has them all.
    fn sweep(&mut self, peer: PeerId, family: Family, which: Swept) -> u32 {
        let Some(rib) = self.families.iter_mut().find(|rib| rib.family == family) else { return 0 };
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let counters = self.peers.get(&peer).and_then(|state| state.counters.get(family_index(family)));
        let Some(counters) = counters else { return 0 };
        let wanted = if which == Swept::All { counters.received } else { counters.stale };
        let no_llgr = |interner: &Interner, path: &Path| {
            interner.get(path.effective).communities.contains(&Community::NO_LLGR)
        };
        let (mut left, mut gone) = (wanted, PathCounters::default());
        for id in 0..rib.table.end() {
            if left == 0 {
                break;
            }
            let Some(found) = rib.table.get(id) else { continue };
            let goes = |path: &&Path| match which {
                Swept::All => true,
                Swept::Stale => path.stale.is_stale(),
                Swept::NoLongLived => path.stale.is_stale() && no_llgr(&self.interner, path),
            };
            let keys: SmallVec<[PathKey; 2]> = found.paths.of(peer).filter(goes).map(Path::key).collect();
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
