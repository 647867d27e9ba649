//! What a group counts and holds, counted afresh for [`crate::rib::Rib::check`].

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::PeerId;
use crate::rib::interner::AttrId;
use crate::rib::path::{PathNumber, UNNUMBERED};
use crate::rib::table::DestId;

use super::entries::{ABSENT, CLEAN, DIRTY};
use super::group::Group;

impl Group {
    /// What is on the wire of a destination: path numbers, attributes, and where they came from.
    pub(in crate::rib) fn on_wire(&self, destination: DestId) -> Vec<(PathNumber, AttrId, PeerId)> {
        let routes = self.entries.routes(destination).into_iter();
        let routes = routes.map(|slot| (slot.path, self.entries.get(slot)));
        routes
            .filter(|(_, entry)| entry.wire != ABSENT)
            .map(|(path, entry)| (path, entry.wire, entry.source))
            .collect()
    }

    /// Counts everything that the group holds, and compares its counts.
    pub(in crate::rib) fn check_entries(
        &self,
        held: &mut HashMap<AttrId, u32, FixedState>,
        pins: &mut HashMap<DestId, u32, FixedState>,
    ) -> Result<(), String> {
        let mut advertised = 0;
        let mut own: BTreeMap<PeerId, u32> = self.members.keys().map(|peer| (*peer, 0)).collect();
        let mut last = None;
        for (slot, entry) in self.entries.occupied() {
            let destination = slot.destination;
            if last.replace(destination) != Some(destination) {
                *pins.entry(destination).or_default() += 1;
            }
            if slot.path == UNNUMBERED && self.key.several.is_some() && entry.wire != ABSENT {
                return Err(format!("group {}: {destination} was sent without a path number", self.id));
            }
            if entry.staged == DIRTY && !self.dirty.contains(&destination) {
                return Err(format!("group {}: {destination} is dirty and not queued", self.id));
            }
            if entry.staged != CLEAN && self.is_idle() {
                return Err(format!("group {}: {destination} is staged and the group idle", self.id));
            }
            if entry.wire == ABSENT {
                continue;
            }
            advertised += 1;
            if let Some(own) = own.get_mut(&entry.source) {
                *own += 1;
            }
            if entry.wire.is_handle() {
                *held.entry(entry.wire).or_default() += 1;
            }
        }
        let bucketed = self.buckets.keys().map(|key| key.attributes).filter(|id| id.is_handle());
        for id in bucketed.chain(self.memo.held()) {
            *held.entry(id).or_default() += 1;
        }
        let counted: BTreeMap<PeerId, u32> =
            self.members.iter().map(|(peer, member)| (*peer, member.own)).collect();
        if (advertised, &own) != (self.advertised, &counted) {
            return Err(format!(
                "group {}: {advertised} sent, own {own:?}; counted {}, {counted:?}",
                self.id, self.advertised
            ));
        }
        Ok(())
    }
}
