//! What peers were sent, told to another process and taken over from one (`rib/handover.rs`).
//!
//! Invariant: a peer is resumed alone in its group; nothing it was sent is staged, and a look at every destination follows.

use bytes::Bytes;

use crate::PeerId;
use crate::rib::interner::{AttrId, Interner};
use crate::rib::path::{LOCAL, PathNumber};
use crate::rib::table::{DestId, Table};

use super::Groups;
use super::entries::{CLEAN, Entry, STALE, Slot};
use super::export::GroupKey;
use super::group::{Group, Member};

/// What a peer was sent of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rib) enum SentEntry {
    /// These attributes, at that second.
    Sent { attributes: AttrId, at: u32 },
    /// Something that has to be sent again, whatever it was.
    Outdated,
}

/// What a peer has still to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rib) enum Owed {
    /// This, before everything else.
    Message(Bytes),
    /// End-of-RIB, after everything else.
    EndOfRib,
    /// The end of a refresh, after everything else.
    RefreshEnd,
}

impl Groups {
    /// Goes through what a peer was sent: what is on the wire, and what waits for it in a message. Each with its path
    /// number, where the peer takes several paths.
    pub(in crate::rib) fn each_sent(
        &self,
        peer: PeerId,
        mut each: impl FnMut(DestId, PathNumber, SentEntry),
    ) {
        let Some(group) = self.group_of(peer) else { return };
        for (slot, entry) in group.entries.occupied().filter(|(_, entry)| entry.source != peer) {
            let Slot { destination, path } = slot;
            let again = group
                .sweep
                .is_some_and(|sweep| sweep.resend && (sweep.next..sweep.end).contains(&destination));
            if entry.wire == STALE || entry.wire.is_handle() && again {
                each(destination, path, SentEntry::Outdated);
            } else if entry.wire.is_handle() {
                each(destination, path, SentEntry::Sent { attributes: entry.wire, at: entry.sent_at });
            }
        }
    }

    /// What a peer is owed beside what its routes say: messages that wait for it, and the markers after everything.
    pub(in crate::rib) fn waiting(&self, peer: PeerId) -> Vec<Owed> {
        let Some(group) = self.group_of(peer) else { return Vec::new() };
        let Some(member) = group.members.get(&peer) else { return Vec::new() };
        let mut owed: Vec<Owed> = member.tail.iter().cloned().map(Owed::Message).collect();
        owed.extend(group.log.unread(member.cursor, peer).map(Owed::Message));
        owed.extend(member.end_of_rib_due.then_some(Owed::EndOfRib));
        owed.extend(member.refresh_end_due.then_some(Owed::RefreshEnd));
        owed
    }

    /// Takes a peer over, if that has not been done.
    pub(in crate::rib) fn resume(&mut self, peer: PeerId, key: GroupKey) {
        if !self.members.contains_key(&peer) {
            let group = Group::new(self.new_id(), self.family, key);
            self.settle(group, peer, Member::default());
        }
    }

    /// Notes that a peer was sent something of a destination.
    pub(in crate::rib) fn resume_entry(
        &mut self,
        table: &mut Table,
        interner: &mut Interner,
        peer: PeerId,
        (destination, path): (DestId, PathNumber),
        entry: SentEntry,
    ) {
        let Some(position) = self.position_of(peer) else { return };
        let Some(group) = self.list.get_mut(position) else { return };
        let slot = Slot { destination, path };
        if !group.entries.get(slot).is_vacant() {
            return;
        }
        let (wire, sent_at) = match entry {
            SentEntry::Sent { attributes, at } => {
                interner.hold(attributes, 1);
                (attributes, at)
            }
            SentEntry::Outdated => (STALE, 0),
        };
        if group.entries.is_vacant(destination) {
            table.pin(destination);
        }
        // Whoever it came from then: not this peer.
        group.entries.set(slot, Entry { wire, staged: CLEAN, source: LOCAL, sent_at });
        group.advertised += 1;
    }

    /// Notes what a peer is owed.
    pub(in crate::rib) fn resume_waiting(&mut self, peer: PeerId, owed: Owed) {
        let Some(position) = self.position_of(peer) else { return };
        let member = self.list.get_mut(position).and_then(|group| group.members.get_mut(&peer));
        if let Some(member) = member {
            match owed {
                Owed::Message(message) => member.tail.push_back(message),
                Owed::EndOfRib => member.end_of_rib_due = true,
                Owed::RefreshEnd => member.refresh_end_due = true,
            }
        }
    }
}
