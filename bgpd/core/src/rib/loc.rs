//! Adj-RIB-In and Loc-RIB of one family in one table: paths come and go, the decision is made again, and whoever is sent
//! the destination is told (RFC 4271 §9.1.2, §9.1.3).
//!
//! Invariant: after each of the functions here the standing of every path of the destination is what the decision process
//! says, every group was marked if the best path is another one or has other attributes, and those that are sent several
//! paths if anything at all may have changed.

use bgp_wire::{Community, Family};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::PeerId;
use crate::policy::SourceMatch;

use super::RibConfig;
use super::adj_out::Groups;
use super::decision::{Contender, MultipathRule, Selection, select};
use super::interner::{AttrId, Interner};
use super::nexthop::{NextHopState, NextHops};
use super::path::{Inserted, Path, PathKey, Staleness, Standing, UNNUMBERED};
use super::peer::{Gone, Peers, Source};
use super::table::{DestId, Destination, Table};

/// Everything about one family.
#[derive(Debug)]
pub(super) struct FamilyRib {
    pub(super) family: Family,
    pub(super) table: Table,
    pub(super) groups: Groups,
    /// Counts changes (modulo 2^32).
    pub(super) version: u32,
    /// Destinations with at least one path.
    pub(super) prefixes: u32,
    /// Paths of all destinations.
    pub(super) paths: u32,
}

/// What the decision process reads.
#[derive(Clone, Copy)]
pub(super) struct Judges<'a> {
    pub(super) config: &'a RibConfig,
    pub(super) peers: &'a Peers,
    pub(super) next_hops: &'a NextHops,
}

/// A path as it comes in, and what the import made of it. The caller holds the attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) peer: PeerId,
    /// What the peer calls the path; 0 without add-path.
    pub(super) path_id: u32,
    pub(super) received: AttrId,
    pub(super) effective: AttrId,
    /// [`Standing::Eligible`] or [`Standing::Ineligible`].
    pub(super) standing: Standing,
    /// In seconds.
    pub(super) at: u32,
}

/// What a path took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// There was none.
    Nothing,
    /// There was none, and it did not get in either: the peer has as many paths to the destination as it may have.
    NoRoom,
    /// An equal one: nothing changed.
    Equal,
    /// An equal one that was stale and is not any more.
    Refreshed,
    /// Another one.
    Path(Gone),
}

impl FamilyRib {
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            table: Table::new(family),
            groups: Groups::new(family),
            version: 0,
            prefixes: 0,
            paths: 0,
        }
    }

    /// Puts a path in.
    pub(super) fn insert(
        &mut self,
        judges: Judges<'_>,
        interner: &mut Interner,
        prefix: &IpNet,
        arrival: Arrival,
    ) -> Replaced {
        let Some(id) = self.table.find_or_insert(prefix) else { return Replaced::Equal };
        let Some(destination) = self.table.get_mut(id) else { return Replaced::Equal };
        let same = destination.paths.as_mut_slice().iter_mut().find(|old| old.key() == arrival.key());
        if let Some(old) = same.filter(|old| arrival.equals(old)) {
            return if std::mem::take(&mut old.stale).is_stale() {
                Replaced::Refreshed
            } else {
                Replaced::Equal
            };
        }
        let before = best_of(destination);
        let was_empty = destination.paths.is_empty();
        let old = match destination.paths.insert(arrival.into_path()) {
            Inserted::NoRoom => return Replaced::NoRoom,
            Inserted::New => None,
            Inserted::Instead(old) => Some(old),
        };
        interner.hold(arrival.received, 1);
        interner.hold(arrival.effective, 1);
        self.prefixes += u32::from(was_empty);
        self.paths += u32::from(old.is_none());
        self.decide(judges, interner, id, before);
        let Some(old) = old else { return Replaced::Nothing };
        release(interner, &old);
        Replaced::Path(gone(&old))
    }

    /// Takes a path out. Gives back how it was counted.
    pub(super) fn remove(
        &mut self,
        judges: Judges<'_>,
        interner: &mut Interner,
        prefix: &IpNet,
        key: PathKey,
    ) -> Option<Gone> {
        let id = self.table.find(prefix)?;
        self.remove_at(judges, interner, id, key)
    }

    /// Takes a path to a known destination out. Gives back how it was counted.
    pub(super) fn remove_at(
        &mut self,
        judges: Judges<'_>,
        interner: &mut Interner,
        id: DestId,
        key: PathKey,
    ) -> Option<Gone> {
        let destination = self.table.get_mut(id)?;
        let before = best_of(destination);
        let old = destination.paths.remove(key)?;
        self.paths = self.paths.saturating_sub(1);
        self.prefixes = self.prefixes.saturating_sub(u32::from(destination.paths.is_empty()));
        self.decide(judges, interner, id, before);
        self.table.remove_if_unused(id);
        release(interner, &old);
        Some(gone(&old))
    }

    /// Puts a path in again after its import was looked at again. Its time of arrival stays.
    pub(super) fn replace_at(
        &mut self,
        judges: Judges<'_>,
        interner: &mut Interner,
        id: DestId,
        arrival: Arrival,
    ) {
        let Some(destination) = self.table.get_mut(id) else { return };
        let before = best_of(destination);
        let mut paths = destination.paths.as_mut_slice().iter_mut();
        let Some(path) = paths.find(|path| path.key() == arrival.key()) else { return };
        interner.hold(arrival.effective, 1);
        let old = std::mem::replace(&mut path.effective, arrival.effective);
        if path.standing.reason() != arrival.standing.reason() {
            path.standing = arrival.standing;
        }
        self.decide(judges, interner, id, before);
        interner.release(old);
    }

    /// Makes the decision for one destination, of which something changed. `before` is what was best.
    pub(super) fn decide(
        &mut self,
        judges: Judges<'_>,
        interner: &Interner,
        id: DestId,
        before: Option<(PeerId, AttrId)>,
    ) {
        let Some(destination) = self.table.get_mut(id) else { return };
        let changed = match destination.paths.as_mut_slice() {
            [] => true,
            [only] if only.standing.is_eligible() => {
                std::mem::replace(&mut only.standing, Standing::Best) != Standing::Best
            }
            [_] => false,
            paths => decide_among(judges, interner, paths),
        };
        let after = best_of(destination);
        if changed || before != after {
            self.version = self.version.wrapping_add(1);
            destination.version = self.version;
        }
        if before != after {
            self.groups.mark(&mut self.table, id);
        } else {
            self.groups.mark_paths(&mut self.table, id);
        }
    }
}

impl Arrival {
    const fn key(&self) -> PathKey {
        (self.peer, self.path_id)
    }

    const fn into_path(self) -> Path {
        Path {
            peer: self.peer,
            path_id: self.path_id,
            received: self.received,
            effective: self.effective,
            received_at: self.at,
            number: UNNUMBERED,
            standing: self.standing,
            stale: Staleness::Fresh,
        }
    }

    fn equals(&self, path: &Path) -> bool {
        self.received == path.received
            && self.effective == path.effective
            && self.standing.reason() == path.standing.reason()
    }
}

/// The best path: whose it is and its attributes.
pub(super) fn best_of(destination: &Destination) -> Option<(PeerId, AttrId)> {
    destination.paths.best().map(|best| (best.peer, best.effective))
}

/// The paths that take part, by their position, with what the decision reads.
pub(super) fn contenders<'a>(
    judges: Judges<'a>,
    interner: &'a Interner,
    paths: &[Path],
) -> (SmallVec<[usize; 4]>, SmallVec<[Contender<'a>; 4]>) {
    let eligible = paths.iter().enumerate().filter(|(_, path)| path.standing.is_eligible());
    eligible
        .map(|(position, path)| {
            let attributes = interner.get(path.effective).as_ref();
            let source = Source::of(path.peer, judges.peers, judges.config.router_id);
            let metric = match judges.next_hops.state(attributes) {
                NextHopState::Reachable { metric } => metric,
                NextHopState::Unreachable => u32::MAX,
            };
            let contender = Contender {
                attributes,
                last_resort: attributes.communities.contains(&Community::LLGR_STALE),
                local: source.kind == SourceMatch::Local,
                external: source.kind == SourceMatch::External,
                metric,
                router_id: source.router_id,
                address: source.address,
            };
            (position, contender)
        })
        .unzip()
}

/// Runs the decision process and notes the outcome in the paths. Returns whether any path stands otherwise than before.
fn decide_among(judges: Judges<'_>, interner: &Interner, paths: &mut [Path]) -> bool {
    let (positions, contenders) = contenders(judges, interner, paths);
    let Some(Selection { best, multipath, .. }) = select(&contenders, judges.config.multipath_rule()) else {
        return false;
    };
    let mut changed = false;
    for (contender, position) in positions.into_iter().enumerate() {
        let standing = if contender == best {
            Standing::Best
        } else if multipath.contains(&contender) {
            Standing::Multipath
        } else {
            Standing::Eligible
        };
        if let Some(path) = paths.get_mut(position) {
            changed |= std::mem::replace(&mut path.standing, standing) != standing;
        }
    }
    changed
}

const fn gone(path: &Path) -> Gone {
    Gone { reason: path.standing.reason(), stale: path.stale.is_stale() }
}

fn release(interner: &mut Interner, path: &Path) {
    interner.release(path.received);
    interner.release(path.effective);
}

impl RibConfig {
    pub(super) const fn multipath_rule(&self) -> MultipathRule {
        MultipathRule { maximum: self.maximum_paths, relax: self.multipath_relax }
    }
}
