//! The decision process: one best path out of several (RFC 4271 §9.1.2.2, RFC 4456 §9), and those equal enough to be used
//! beside it.
//!
//! | step | prefers |
//! |---|---|
//! | 0 | routes without LLGR_STALE (RFC 9494 §4.3) |
//! | 1 | routes of our own |
//! | 2 | higher LOCAL_PREF (100 if absent) |
//! | 3 | shorter AS_PATH (a set counts one, confederation segments nothing) |
//! | 4 | lower ORIGIN: IGP, EGP, incomplete |
//! | 5 | lower MED (0 if absent), only among paths of one neighbouring AS |
//! | 6 | external before internal |
//! | 7 | lower IGP metric to the next hop |
//! | | *what is left here may be multipath* |
//! | 8 | lower router ID; ORIGINATOR_ID counts instead where present |
//! | 9 | shorter CLUSTER_LIST |
//! | 10 | lower peer address |
//!
//! Every step looks at all paths that are left and drops those that are beaten, as the RFC words it. Comparing pairs
//! instead would let MED make the outcome depend on the order of comparison; dropping does not. For the same reason the
//! age of a path plays no part (RFC 5004 is not used, FRR's default is): the same paths give the same best path in
//! whatever order they came, also after a restart, and two speakers with the same paths agree.
//!
//! Invariant: the outcome is a function of the set of paths, never of their order or of what was best before.

use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::{NextHop, Origin, PathAttributes};
use smallvec::{SmallVec, smallvec};

use super::reason::SelectionReason;

/// LOCAL_PREF of a path that carries none.
pub(super) const DEFAULT_LOCAL_PREF: u32 = 100;

/// A path that takes part, with what the decision needs to know beside its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender<'a> {
    pub(super) attributes: &'a PathAttributes,
    /// It carries LLGR_STALE (RFC 9494 §4.3).
    pub(super) last_resort: bool,
    /// We originate it ourselves.
    pub(super) local: bool,
    /// An external peer sent it.
    pub(super) external: bool,
    /// IGP metric to its next hop.
    pub(super) metric: u32,
    /// Router ID of the peer that sent it.
    pub(super) router_id: Ipv4Addr,
    /// Address of the peer that sent it.
    pub(super) address: IpAddr,
}

/// How many paths may be used at once, and how alike they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MultipathRule {
    /// Largest number of paths, the best one included.
    pub(super) maximum: u8,
    /// AS paths need only be of equal length.
    pub(super) relax: bool,
}

impl MultipathRule {
    /// One path and no other.
    pub(super) const ONE: Self = Self { maximum: 1, relax: false };
}

/// What the decision process decided, by position in the contenders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) best: usize,
    /// The last step that was needed to leave the best path alone.
    pub(super) decided_by: SelectionReason,
    /// Where each path lost; none for the best.
    pub(super) lost_at: SmallVec<[Option<SelectionReason>; 4]>,
    /// Used beside the best path.
    pub(super) multipath: SmallVec<[usize; 4]>,
}

/// Chooses among `contenders`. None if there are none.
pub(super) fn select(contenders: &[Contender<'_>], rule: MultipathRule) -> Option<Selection> {
    let mut race = Race {
        contenders,
        lost_at: smallvec![None; contenders.len()],
        decided_by: SelectionReason::FirstPath,
    };
    race.keep_lowest(SelectionReason::LongLivedStale, |path| path.last_resort);
    race.keep_lowest(SelectionReason::LocalRoute, |path| u64::from(!path.local));
    race.keep_lowest(SelectionReason::LocalPref, |path| u64::from(u32::MAX - path.local_pref()));
    race.keep_lowest(SelectionReason::AsPath, |path| path.attributes.as_path.hop_count() as u64);
    race.keep_lowest(SelectionReason::Origin, |path| origin_rank(path.attributes.origin));
    race.keep_lowest_med();
    race.keep_lowest(SelectionReason::PeerType, |path| u64::from(!path.external));
    race.keep_lowest(SelectionReason::IgpMetric, |path| u64::from(path.metric));
    let equal: SmallVec<[usize; 4]> = race.left().collect();
    race.keep_lowest(SelectionReason::RouterId, |path| u32::from(path.originator()));
    race.keep_lowest(SelectionReason::ClusterLength, |path| path.attributes.cluster_list.len());
    race.keep_lowest(SelectionReason::NeighborAddress, |path| path.address);
    race.keep_first();
    let best = race.left().next()?;
    let multipath = choose_multipath(contenders, best, equal, rule);
    Some(Selection { best, decided_by: race.decided_by, lost_at: race.lost_at, multipath })
}

/// Paths that are still in, and where the others lost.
struct Race<'a> {
    contenders: &'a [Contender<'a>],
    lost_at: SmallVec<[Option<SelectionReason>; 4]>,
    decided_by: SelectionReason,
}

impl<'a> Race<'a> {
    fn left(&self) -> impl Iterator<Item = usize> + '_ {
        self.lost_at.iter().enumerate().filter(|(_, lost)| lost.is_none()).map(|(position, _)| position)
    }

    fn left_with_paths(&self) -> impl Iterator<Item = &'a Contender<'a>> {
        self.contenders.iter().zip(&self.lost_at).filter(|(_, lost)| lost.is_none()).map(|(path, _)| path)
    }

    fn keep_lowest<K: Ord>(&mut self, step: SelectionReason, key: impl Fn(&Contender<'_>) -> K) {
        let Some(lowest) = self.left_with_paths().map(&key).min() else { return };
        self.drop_where(step, |path| key(path) > lowest);
    }

    /// A path loses if another one left, of the same neighbouring AS, has a lower MED.
    fn keep_lowest_med(&mut self) {
        let left: SmallVec<[(Option<u32>, u32); 4]> =
            self.left_with_paths().map(|path| (path.neighbor_as(), path.med())).collect();
        if left.len() < 2 {
            return;
        }
        self.drop_where(SelectionReason::Med, |path| {
            left.iter().any(|(neighbor, med)| *neighbor == path.neighbor_as() && *med < path.med())
        });
    }

    /// Two sessions with one address (one link-local address on two interfaces): the first in order of peers.
    fn keep_first(&mut self) {
        let mut first = true;
        self.drop_where(SelectionReason::NeighborAddress, |_| !std::mem::take(&mut first));
    }

    fn drop_where(&mut self, step: SelectionReason, mut loses: impl FnMut(&Contender<'_>) -> bool) {
        for (path, lost) in self.contenders.iter().zip(&mut self.lost_at) {
            if lost.is_none() && loses(path) {
                *lost = Some(step);
                self.decided_by = step;
            }
        }
    }
}

impl Contender<'_> {
    fn local_pref(&self) -> u32 {
        self.attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
    }

    fn med(&self) -> u32 {
        self.attributes.med.unwrap_or(0)
    }

    /// The AS the path came from; none for a path that has not left our AS.
    fn neighbor_as(&self) -> Option<u32> {
        self.attributes.as_path.first_asn()
    }

    fn originator(&self) -> Ipv4Addr {
        self.attributes.originator_id.unwrap_or(self.router_id)
    }
}

/// Fills the places beside the best path in the order of the remaining steps, one path per next hop.
fn choose_multipath(
    contenders: &[Contender<'_>],
    best: usize,
    equal: SmallVec<[usize; 4]>,
    rule: MultipathRule,
) -> SmallVec<[usize; 4]> {
    let Some(winner) = contenders.get(best).filter(|winner| rule.maximum > 1 && !winner.local) else {
        return SmallVec::new();
    };
    let alike = |path: &Contender<'_>| rule.relax || path.attributes.as_path == winner.attributes.as_path;
    let mut candidates: SmallVec<[(usize, &Contender<'_>); 4]> = equal
        .into_iter()
        .filter_map(|position| Some((position, contenders.get(position)?)))
        .filter(|(position, path)| *position != best && alike(path))
        .collect();
    candidates.sort_by_key(|(position, path)| {
        (path.originator(), path.attributes.cluster_list.len(), path.address, *position)
    });
    let next_hop = |path: &Contender<'_>| path.attributes.next_hop.as_ref().map(NextHop::address);
    let mut used: SmallVec<[Option<IpAddr>; 4]> = smallvec![next_hop(winner)];
    let mut chosen = SmallVec::new();
    for (position, path) in candidates {
        if used.len() < usize::from(rule.maximum) && !used.contains(&next_hop(path)) {
            used.push(next_hop(path));
            chosen.push(position);
        }
    }
    chosen
}

const fn origin_rank(origin: Origin) -> u64 {
    match origin {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    }
}

#[cfg(test)]
mod tests;
