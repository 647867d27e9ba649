//! The tables as messages for another process, and back ([`crate::handover`]).
//!
//! Adj-RIB-In leaves as what each peer sent, Adj-RIB-Out as what each peer was sent, with everything that is still to be sent
//! before anything else. Loc-RIB does not leave at all: it follows from the Adj-RIBs-In and the configuration. The importer
//! puts each peer into an update group of its own with what it was sent, and has the group look at every destination: what is
//! as it should be is not sent again. Groups with nothing to send become one as always.
//!
//! Invariant: a peer that is taken over has been sent exactly what it had been sent, and is owed exactly what it was owed.

use std::collections::BTreeMap;

use bgp_wire::{
    AttributeBlock, EncodeError, Family, FamilySet, Message, PathAttributes, PeerKind, Prefixes, Update,
    encode_reach_paths, encode_unreach_paths, peek_frame,
};
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;

use crate::PeerId;
use crate::handover::ImportError;
use crate::handover::frame::{RouteFrame, RouteKind, decode_context, encode_context};
use crate::handover::peer::Ends;
use crate::time::Time;

use super::adj_out::{GroupKey, Owed, SentEntry};
use super::interner::AttrId;
use super::loc::FamilyRib;
use super::path::{LOCAL, Path, PathKey, PathNumber, Staleness};
use super::peer::{Peer, PeerParams};
use super::view::from_seconds;
use super::{Rib, family_index, family_mut, seconds};

/// Longest message for ourselves.
const LONGEST: usize = bgp_wire::MAX_EXTENDED_LEN;
/// In messages for ourselves every path has its identifier.
const IDS: FamilySet = FamilySet::ALL;

/// A path identifier and a prefix.
type PathName = (u32, IpNet);

/// Paths with everything in common but the prefix.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    peer: PeerId,
    received: Option<AttrId>,
    at: u32,
    stale: Staleness,
}

type Failure = (PeerId, EncodeError);

impl Rib {
    /// Our addresses towards a peer, while the RIB knows of it.
    pub(crate) fn ends(&self, peer: PeerId) -> Option<Ends> {
        let state = self.peers.get(&peer)?;
        Some(Ends {
            local_v4: state.params.local_address_v4,
            local_v6: state.params.local_address_v6,
            link_local: state.params.link_local,
            kept: state.kept,
            refreshing: state.refreshing,
        })
    }

    /// Everything, in the order in which [`Rib::resume_routes`] has to get it.
    pub(crate) fn export(&self) -> Result<Vec<RouteFrame>, Failure> {
        let mut frames = Vec::new();
        for family in &self.families {
            self.export_received(family, &mut frames)?;
        }
        for family in &self.families {
            for peer in self.peers.iter().filter(|(_, state)| state.up).map(|(peer, _)| *peer) {
                self.export_sent(family, peer, &mut frames).map_err(|error| (peer, error))?;
            }
        }
        Ok(frames)
    }

    fn export_received(&self, rib: &FamilyRib, frames: &mut Vec<RouteFrame>) -> Result<(), Failure> {
        // Nobody is told what we call a path but those that take several.
        let numbered = self.peers.values().any(|state| state.params.paths_sent.is_some());
        let mut alike: BTreeMap<Alike, (Vec<PathName>, Vec<u16>)> = BTreeMap::new();
        for (_, found) in rib.table.iter_after(None) {
            for path in found.paths.as_slice() {
                let received = (path.peer != LOCAL).then_some(path.received);
                let key = Alike { peer: path.peer, received, at: path.received_at, stale: path.stale };
                let (paths, numbers) = alike.entry(key).or_default();
                paths.push((path.path_id, found.prefix));
                if numbered {
                    numbers.push(path.number);
                }
            }
        }
        for (Alike { peer, received, at, stale }, (paths, numbers)) in alike {
            let at = from_seconds(at);
            let mut messages = BytesMut::new();
            let kind = match received {
                Some(received) => {
                    self.write_reach(&mut messages, rib.family, received, &paths)
                        .map_err(|error| (peer, error))?;
                    let (stale, long_lived) = (stale.is_stale(), stale.is_long_lived());
                    RouteKind::Received { at, stale, long_lived }
                }
                None => {
                    write_unreach(&mut messages, rib.family, &paths).map_err(|error| (peer, error))?;
                    RouteKind::Own { at }
                }
            };
            // They stand in one message after the other in the order in which they were written.
            let mut numbers = numbers.into_iter();
            each_message(messages, |message| {
                let count = if numbered { paths_in(&message) } else { 0 };
                let numbers = numbers.by_ref().take(count).collect();
                frames.push(RouteFrame { peer, kind, numbers, message });
            });
        }
        Ok(())
    }

    fn export_sent(
        &self,
        rib: &FamilyRib,
        peer: PeerId,
        frames: &mut Vec<RouteFrame>,
    ) -> Result<(), EncodeError> {
        let mut alike: BTreeMap<(AttrId, u32), Vec<PathName>> = BTreeMap::new();
        let mut outdated = Vec::new();
        rib.groups.each_sent(peer, |destination, number, entry| {
            let Some(found) = rib.table.get(destination) else { return };
            match entry {
                SentEntry::Sent { attributes, at } => {
                    alike.entry((attributes, at)).or_default().push((number.into(), found.prefix));
                }
                SentEntry::Outdated => outdated.push((number.into(), found.prefix)),
            }
        });
        let mut push = |kind, messages| {
            each_message(messages, |message| {
                frames.push(RouteFrame { peer, kind, numbers: Vec::new(), message });
            });
        };
        for ((attributes, at), prefixes) in alike {
            let mut messages = BytesMut::new();
            self.write_reach(&mut messages, rib.family, attributes, &prefixes)?;
            push(RouteKind::Sent { at: from_seconds(at) }, messages);
        }
        let mut messages = BytesMut::new();
        write_unreach(&mut messages, rib.family, &outdated)?;
        push(RouteKind::Outdated, messages);
        for owed in rib.groups.waiting(peer) {
            let (kind, message) = match owed {
                Owed::Message(message) => (RouteKind::Queued(rib.family), message),
                Owed::EndOfRib => (RouteKind::EndOfRibDue(rib.family), Bytes::new()),
                Owed::RefreshEnd => (RouteKind::RefreshEndDue(rib.family), Bytes::new()),
            };
            frames.push(RouteFrame { peer, kind, numbers: Vec::new(), message });
        }
        Ok(())
    }

    fn write_reach(
        &self,
        out: &mut BytesMut,
        family: Family,
        attributes: AttrId,
        paths: &[PathName],
    ) -> Result<(), EncodeError> {
        let attributes = self.interner.get(attributes);
        // Nothing is taken in or sent without one.
        let Some(next_hop) = attributes.next_hop else { return Ok(()) };
        let context = encode_context(IDS);
        let block = AttributeBlock::encode(attributes, &context);
        encode_reach_paths(out, &block, family, &next_hop, paths.iter().copied(), &context).map(drop)
    }

    /// A peer of the process before, with a session (`up`) or awaited, and the families in which it has stale routes: those
    /// it had before it went, those it sends again. Its routes follow.
    pub(crate) fn resume_peer(
        &mut self,
        peer: PeerId,
        params: PeerParams,
        up: bool,
        (kept, refreshing): (FamilySet, FamilySet),
    ) {
        let import = params.import.as_ref().map(|policy| self.compile(policy));
        let export = params.export.as_ref().map(|policy| self.compile(policy));
        let counters = Default::default();
        self.peers
            .insert(peer, Peer { params, up, kept, refreshing, import, export, counters, next_family: 0 });
    }

    /// Takes in what [`Rib::export`] gave.
    ///
    /// # Errors
    /// [`ImportError`].
    pub(crate) fn resume_routes(&mut self, frame: RouteFrame) -> Result<(), ImportError> {
        let RouteFrame { peer, kind, numbers, message } = frame;
        let of = peer.get();
        let fail = |fault: String| ImportError::Routes { peer: of, fault };
        match kind {
            RouteKind::Queued(family) => return self.resume_member(peer, family, Owed::Message(message)),
            RouteKind::EndOfRibDue(family) => return self.resume_member(peer, family, Owed::EndOfRib),
            RouteKind::RefreshEndDue(family) => return self.resume_member(peer, family, Owed::RefreshEnd),
            _ => {}
        }
        let side = match self.peers.get(&peer) {
            Some(state) => state.params.kind,
            None if peer == LOCAL => PeerKind::Internal,
            None => return Err(ImportError::RoutesUnknown(of)),
        };
        let update = match Message::decode(&message, &decode_context(side, IDS)) {
            Ok(Message::Update(update)) => update,
            Ok(_) => return Err(fail("not an UPDATE".to_owned())),
            Err(error) => return Err(fail(error.to_string())),
        };
        match kind {
            RouteKind::Received { at, stale, long_lived } => {
                if let Some(error) = update.errors.first() {
                    return Err(fail(error.to_string()));
                }
                let stale = match (stale, long_lived) {
                    (_, true) => Staleness::LongLived,
                    (true, false) => Staleness::Stale,
                    (false, false) => Staleness::Fresh,
                };
                self.resume_received(peer, &update, at, stale, &numbers);
            }
            RouteKind::Own { at } => self.resume_own(&update, at, &numbers),
            RouteKind::Sent { at } => {
                for reach in update.announced() {
                    let attributes =
                        PathAttributes { next_hop: Some(reach.next_hop), ..update.attributes.clone() };
                    let attributes = self.interner.intern_owned(attributes);
                    let (family, entry) = (reach.family(), SentEntry::Sent { attributes, at: seconds(at) });
                    self.resume_sent(peer, family, entry, reach.prefixes)?;
                    self.interner.release(attributes);
                }
            }
            RouteKind::Outdated => {
                for unreach in update.withdrawn() {
                    self.resume_sent(peer, unreach.family(), SentEntry::Outdated, unreach.prefixes)?;
                }
            }
            RouteKind::Queued(_) | RouteKind::EndOfRibDue(_) | RouteKind::RefreshEndDue(_) => {}
        }
        Ok(())
    }

    /// After all routes: every peer is looked at for what it should have and has not.
    pub(crate) fn resume_output(&mut self) {
        if self.peers.values().any(|state| !state.kept.is_empty()) {
            // They were taken in as received; as a last resort they are others (RFC 9494).
            self.import_again(|path| path.stale.is_long_lived());
        }
        for rib in &mut self.families {
            for (peer, state) in self.peers.iter().filter(|(_, state)| state.up) {
                if state.params.families.contains(rib.family) {
                    rib.groups.resume(*peer, GroupKey::new(state, rib.family));
                }
            }
            rib.groups.sweep_all(&rib.table, &mut self.interner);
        }
    }

    fn resume_received(
        &mut self,
        peer: PeerId,
        update: &Update<'_>,
        at: Time,
        stale: Staleness,
        numbers: &[u16],
    ) {
        // What is kept of a peer that is away was taken in while it was there.
        let up = self.peers.get_mut(&peer).map(|state| std::mem::replace(&mut state.up, true));
        self.handle_update(peer, update, at);
        if let (Some(up), Some(state)) = (up, self.peers.get_mut(&peer)) {
            state.up = up;
        }
        let mut numbers = numbers.iter();
        for reach in update.announced() {
            let family = reach.family();
            let mut marked = 0;
            for (path_id, prefix) in reach.prefixes.paths() {
                let number = numbers.next();
                let Some(path) = self.path_mut(&prefix, (peer, path_id)) else { continue };
                marked += u32::from(stale.is_stale() && !path.stale.is_stale());
                path.stale = path.stale.max(stale);
                path.number = number.copied().unwrap_or(path.number);
            }
            self.count(peer, family, |counters| counters.stale += marked);
        }
    }

    /// Our own routes are there already, from the configuration; only since when, and what they are called, is told.
    fn resume_own(&mut self, update: &Update<'_>, at: Time, numbers: &[u16]) {
        let mut numbers = numbers.iter();
        for unreach in update.withdrawn() {
            for (path_id, prefix) in unreach.prefixes.paths() {
                let number = numbers.next();
                let Some(path) = self.path_mut(&prefix, (LOCAL, path_id)) else { continue };
                path.received_at = seconds(at);
                path.number = number.copied().unwrap_or(path.number);
            }
        }
    }

    fn path_mut(&mut self, prefix: &IpNet, key: PathKey) -> Option<&mut Path> {
        let rib = family_mut(&mut self.families, Family::of(prefix));
        let id = rib.table.find(prefix)?;
        let paths = rib.table.get_mut(id)?.paths.as_mut_slice();
        paths.iter_mut().find(|path| path.key() == key)
    }

    fn resume_sent(
        &mut self,
        peer: PeerId,
        family: Family,
        entry: SentEntry,
        prefixes: Prefixes<'_>,
    ) -> Result<(), ImportError> {
        let state = self.peers.get(&peer).filter(|state| state.up);
        let state = state.ok_or_else(|| ImportError::RoutesUnknown(peer.get()))?;
        let Some(rib) = self.families.get_mut(family_index(family)) else { return Ok(()) };
        rib.groups.resume(peer, GroupKey::new(state, family));
        for (number, prefix) in prefixes.paths() {
            let slot = rib.table.find_or_insert(&prefix).zip(PathNumber::try_from(number).ok());
            if let Some(slot) = slot {
                rib.groups.resume_entry(&mut rib.table, &mut self.interner, peer, slot, entry);
            }
        }
        Ok(())
    }

    /// What the peer is owed beside its routes.
    fn resume_member(&mut self, peer: PeerId, family: Family, owed: Owed) -> Result<(), ImportError> {
        let state = self.peers.get(&peer).filter(|state| state.up);
        let state = state.ok_or_else(|| ImportError::RoutesUnknown(peer.get()))?;
        let Some(rib) = self.families.get_mut(family_index(family)) else { return Ok(()) };
        rib.groups.resume(peer, GroupKey::new(state, family));
        rib.groups.resume_waiting(peer, owed);
        Ok(())
    }
}

fn write_unreach(out: &mut BytesMut, family: Family, paths: &[PathName]) -> Result<(), EncodeError> {
    encode_unreach_paths(out, family, paths.iter().copied(), &encode_context(IDS)).map(drop)
}

/// Several messages that stand in one buffer, one by one.
fn each_message(messages: BytesMut, mut each: impl FnMut(Bytes)) {
    let mut rest = messages.freeze();
    while let Ok(Some(length)) = peek_frame(&rest, LONGEST) {
        if length > rest.len() {
            return;
        }
        each(rest.split_to(length));
    }
}

/// How many paths a message of our own names.
fn paths_in(message: &[u8]) -> usize {
    match Message::decode(message, &decode_context(PeerKind::Internal, IDS)) {
        Ok(Message::Update(update)) => {
            let announced = update.announced().map(|reach| reach.prefixes.count()).sum::<usize>();
            // What is announced is never withdrawn in the same message.
            announced + update.withdrawn().map(|unreach| unreach.prefixes.count()).sum::<usize>()
        }
        _ => 0,
    }
}
