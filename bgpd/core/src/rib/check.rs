//! The invariants of the RIB, computed from scratch (for simulation and tests).
//!
//! Nothing here reads a count or a standing without computing it again from what is below it.

use bgp_wire::{Community, Family};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::PeerId;

use super::adj_out::Group;
use super::decision::select;
use super::interner::AttrId;
use super::loc::{FamilyRib, Judges, contenders};
use super::path::{LOCAL, Paths, Standing, UNNUMBERED};
use super::peer::{Gone, PathCounters, Peer};
use super::{Rib, family_index};

type Counts<K> = HashMap<K, u32, FixedState>;

impl Rib {
    /// Recomputes everything that must hold, and says what does not.
    ///
    /// # Errors
    /// The first broken invariant, for the person who debugs it.
    pub fn check(&self) -> Result<(), String> {
        let mut held = Counts::<AttrId>::default();
        for rib in &self.families {
            self.check_table(rib, &mut held)?;
            self.check_groups(rib, &mut held)?;
        }
        let holders: Counts<AttrId> = self.interner.holders().collect();
        if let Some((id, count)) = holders.iter().find(|(id, count)| held.get(*id) != Some(*count)) {
            return Err(format!("{id:?} counts {count} holders and has {:?}", held.get(id)));
        }
        if let Some(id) = held.keys().find(|id| !holders.contains_key(*id)) {
            return Err(format!("{id:?} is held and was dropped"));
        }
        self.check_own_routes()
    }

    fn check_table(&self, rib: &FamilyRib, held: &mut Counts<AttrId>) -> Result<(), String> {
        let (mut prefixes, mut paths) = (0, 0);
        let mut counted: HashMap<PeerId, PathCounters, FixedState> = HashMap::default();
        for (id, found) in rib.table.iter_after(None) {
            let prefix = found.prefix;
            if Family::of(&prefix) != rib.family || rib.table.find(&prefix) != Some(id) {
                return Err(format!("{prefix} is not where it belongs"));
            }
            if found.paths.is_empty() && found.pins == 0 {
                return Err(format!("{prefix} has no path, and no group remembers it"));
            }
            prefixes += u32::from(!found.paths.is_empty());
            for path in found.paths.as_slice() {
                paths += 1;
                if path.peer != LOCAL && !self.peers.contains_key(&path.peer) {
                    return Err(format!("{prefix} has a path from {:?}, which is gone", path.peer));
                }
                *held.entry(path.received).or_default() += 1;
                *held.entry(path.effective).or_default() += 1;
                let gone = Gone { reason: path.standing.reason(), stale: path.stale.is_stale() };
                counted.entry(path.peer).or_default().add_gone(gone);
                let source = self.peers.get(&path.peer);
                let effective = &self.interner.get(path.effective).communities;
                let resort = effective.contains(&Community::LLGR_STALE) || !path.standing.is_eligible();
                if path.stale.is_long_lived() && !resort {
                    return Err(format!("{prefix} has a long-lived path that is no last resort: {path:?}"));
                }
                let may_be_stale =
                    |peer: &Peer| peer.kept.contains(rib.family) || peer.refreshing.contains(rib.family);
                if path.stale.is_stale() && !source.is_some_and(may_be_stale) {
                    return Err(format!(
                        "{prefix} has a stale path from {:?}, of which none are kept",
                        path.peer
                    ));
                }
                if !path.stale.is_stale() && source.is_some_and(|peer| !peer.up) {
                    return Err(format!("{prefix} has a fresh path from {:?}, which is down", path.peer));
                }
            }
            check_paths(&found.paths).map_err(|broken| format!("{prefix}: {broken}"))?;
            let standings = self.standings(&found.paths);
            let actual: Vec<_> = found.paths.as_slice().iter().map(|path| path.standing).collect();
            if standings != actual {
                return Err(format!("{prefix} stands as {actual:?}, the decision says {standings:?}"));
            }
        }
        if (prefixes, paths) != (rib.prefixes, rib.paths) {
            return Err(format!(
                "{prefixes} prefixes, {paths} paths; counted {}, {}",
                rib.prefixes, rib.paths
            ));
        }
        for (id, peer) in &self.peers {
            if peer.refreshing.contains(rib.family) && (!peer.up || peer.kept.contains(rib.family)) {
                return Err(format!("{id:?} refreshes {} and is down or restarts", rib.family));
            }
            let counters = peer.counters.get(family_index(rib.family)).copied().unwrap_or_default();
            let real = counted.get(id).copied().unwrap_or_default();
            if counters != real {
                return Err(format!("{id:?} has {real:?} in {}, counted {counters:?}", rib.family));
            }
        }
        Ok(())
    }

    /// How the paths of a destination should stand.
    fn standings(&self, paths: &Paths) -> Vec<Standing> {
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let paths = paths.as_slice();
        let (positions, contenders) = contenders(judges, &self.interner, paths);
        let selection = select(&contenders, self.config.multipath_rule());
        let stands = |position: usize, standing: Standing| {
            let contender = positions.iter().position(|other| *other == position);
            match (&selection, contender) {
                (Some(selection), Some(contender)) if selection.best == contender => Standing::Best,
                (Some(selection), Some(contender)) if selection.multipath.contains(&contender) => {
                    Standing::Multipath
                }
                (_, Some(_)) => Standing::Eligible,
                (_, None) => standing,
            }
        };
        paths.iter().enumerate().map(|(position, path)| stands(position, path.standing)).collect()
    }

    fn check_groups(&self, rib: &FamilyRib, held: &mut Counts<AttrId>) -> Result<(), String> {
        let mut pins = Counts::<u32>::default();
        for group in rib.groups.iter() {
            group.check_entries(held, &mut pins)?;
            if group.is_idle() {
                self.check_wire(rib, group)?;
            }
        }
        for (id, found) in rib.table.iter_after(None) {
            let real = pins.get(&id).copied().unwrap_or_default();
            if u32::from(found.pins) != real {
                return Err(format!(
                    "{} is remembered by {real} groups, counted {}",
                    found.prefix, found.pins
                ));
            }
        }
        for (id, peer) in &self.peers {
            let member = rib.groups.group_of(*id).is_some();
            if member != (peer.up && peer.params.families.contains(rib.family)) {
                return Err(format!("{id:?} is in a group of {}: {member}", rib.family));
            }
        }
        Ok(())
    }

    /// A group with nothing left to send: what is on the wire is what the best paths say, or the paths it chose.
    fn check_wire(&self, rib: &FamilyRib, group: &Group) -> Result<(), String> {
        for (id, found) in rib.table.iter_after(None) {
            let mut expected: Vec<_> = group
                .chosen(self.reader(), &found.paths)
                .into_iter()
                .filter_map(|(number, path)| {
                    let attributes = group.expected(self.reader(), &found.prefix, &path).ok()?;
                    Some((number, attributes, path.peer))
                })
                .collect();
            expected.sort_by_key(|(number, ..)| *number);
            let wire = group.on_wire(id).into_iter();
            let wire = wire.map(|(number, attributes, source)| {
                (number, self.interner.get(attributes).as_ref().clone(), source)
            });
            let actual: Vec<_> = wire.collect();
            if expected != actual {
                return Err(format!("{} should be sent as {expected:?}, was as {actual:?}", found.prefix));
            }
        }
        Ok(())
    }

    fn check_own_routes(&self) -> Result<(), String> {
        let ours = |rib: &FamilyRib| {
            rib.table.iter_after(None).filter(|(_, found)| found.paths.of(LOCAL).next().is_some()).count()
        };
        let count: usize = self.families.iter().map(ours).sum();
        if count != self.local.len() {
            return Err(format!("{} routes of our own are configured, {count} are there", self.local.len()));
        }
        Ok(())
    }
}

/// Each path has a place, a name and a number of its own.
fn check_paths(paths: &Paths) -> Result<(), String> {
    let paths = paths.as_slice();
    if !paths.is_sorted_by(|one, other| one.key() < other.key()) {
        return Err(format!("paths are out of order or twice there: {:?}", paths));
    }
    let mut numbers: Vec<_> = paths.iter().map(|path| path.number).collect();
    numbers.sort_unstable();
    if numbers.first() == Some(&UNNUMBERED) || !numbers.is_sorted_by(|one, other| one < other) {
        return Err(format!("two paths have one number, or one has none: {numbers:?}"));
    }
    Ok(())
}
