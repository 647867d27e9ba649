//! What peers are sent: update groups (Adj-RIB-Out, RFC 4271 §3.2, §9.1.3).
//!
//! Peers whose export cannot differ ([`GroupKey`]) share a [`Group`]: one evaluation, one encoding, the same octets to
//! each. Members stay together as long as they keep up. A member that is new, was asked to send everything again, or lags
//! by more than [`MOST_LAG`] gets a group of its own, which sends only what is still missing by then; as soon as that group
//! and the one it would fit into have nothing left to send, they hold the same and become one again.
//!
//! | file | what |
//! |---|---|
//! | `export` | a route on its way out: rules, policy actions, refusals |
//! | `group` | what changed, what is staged, what is sent next |
//! | `entries` | what is on the wire |
//! | `several` | which paths go to those who take several (RFC 7911) |
//! | `bucket` | destinations that will leave with equal attributes |
//! | `emit` | buckets to messages |
//! | `log` | messages not all members have taken |
//! | `resume` | what peers were sent, for another process |
//! | `memo` | exports computed before |
//!
//! Invariant: a peer is in exactly one group per family it negotiated, and in none after it went down.

mod bucket;
mod check;
mod emit;
mod entries;
mod export;
mod group;
mod log;
mod memo;
mod resume;
mod several;

use bgp_wire::{Family, RefreshSubtype, RouteRefresh};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::PeerId;

use self::entries::{CLEAN, STALE, Slot};
use self::group::{GroupId, Member};
use self::log::Audience;
use super::Environment;
use super::interner::{AttrId, Interner};
use super::table::{DestId, Table};

pub(super) use self::export::{GroupKey, Refusal};
pub(super) use self::group::Group;
pub(super) use self::resume::{Owed, SentEntry};

/// All update groups of one family.
#[derive(Debug)]
pub(super) struct Groups {
    family: Family,
    /// In ascending order of their ids.
    list: Vec<Group>,
    next_id: GroupId,
    members: HashMap<PeerId, GroupId, FixedState>,
}

/// A route as a peer was sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// 0 without add-path.
    pub(super) path_id: u32,
    pub(super) attributes: AttrId,
    /// In seconds.
    pub(super) at: u32,
}

/// Octets that a member may have waiting in the log of its group before it has to go on alone. Tests reach it.
const MOST_LAG: usize = if cfg!(test) { 512 } else { 4 << 20 };

impl Groups {
    pub(super) fn new(family: Family) -> Self {
        Self { family, list: Vec::new(), next_id: 0, members: HashMap::default() }
    }

    /// The best path of a destination changed.
    #[inline]
    pub(super) fn mark(&mut self, table: &mut Table, destination: DestId) {
        for group in &mut self.list {
            group.mark(table, destination);
        }
    }

    /// Something about the paths of a destination changed, and not which is the best one.
    #[inline]
    pub(super) fn mark_paths(&mut self, table: &mut Table, destination: DestId) {
        for group in self.list.iter_mut().filter(|group| group.key.several.is_some()) {
            group.mark(table, destination);
        }
    }

    /// The rules of export changed.
    pub(super) fn sweep_all(&mut self, table: &Table, interner: &mut Interner) {
        for group in &mut self.list {
            group.start_over(table, interner);
        }
    }

    /// A peer came up: it is sent everything and then End-of-RIB.
    pub(super) fn join(&mut self, table: &Table, peer: PeerId, key: GroupKey) {
        debug_assert!(!self.members.contains_key(&peer), "{peer:?} is in a group already");
        let member = Member { end_of_rib_due: true, ..Member::default() };
        // A group whose members asked for everything again may send things twice.
        let blank = |group: &&mut Group| {
            let resends = group.sweep.is_some_and(|sweep| sweep.resend);
            group.key == key && group.advertised == 0 && group.buckets.is_empty() && !resends
        };
        if let Some(group) = self.list.iter_mut().find(blank) {
            self.members.insert(peer, group.id);
            let cursor = group.log.end();
            group.members.insert(peer, Member { cursor, ..member });
            return;
        }
        let mut group = Group::new(self.new_id(), self.family, key);
        group.sweep_all(table, false);
        self.settle(group, peer, member);
    }

    /// A peer went down.
    pub(super) fn leave(&mut self, table: &mut Table, interner: &mut Interner, peer: PeerId) {
        if let Some(id) = self.members.remove(&peer)
            && let Some(group) = self.group_mut(id)
        {
            group.remove(peer);
            self.drop_if_empty(table, interner, id);
        }
    }

    /// The export of a peer changed: it is sent the difference. With `touched`, only that of these prefixes may be another
    /// one now.
    pub(super) fn change_key(
        &mut self,
        env: &mut Environment<'_>,
        peer: PeerId,
        key: GroupKey,
        touched: Option<&[IpNet]>,
    ) {
        let Some(position) = self.position_of(peer) else { return };
        let Some(group) = self.list.get_mut(position).filter(|group| group.key != key) else { return };
        if group.members.len() == 1 {
            group.key = key;
            group.look_again(env.table, env.interner, touched);
            group.lineage = None;
            return;
        }
        let origin = (group.id, group.revision);
        let Some(mut member) = group.remove(peer) else { return };
        // Peers often change together. A group that split from the same one, with nothing sent by either since, has on
        // the wire what this peer has.
        let twin = |group: &&mut Group| {
            group.key == key
                && group.lineage == Some(origin)
                && group.revision == 0
                && group.buckets.is_empty()
        };
        if let Some(twin) = self.list.iter_mut().find(twin) {
            member.cursor = twin.log.end();
            twin.members.insert(peer, member);
            self.members.insert(peer, twin.id);
            return;
        }
        let id = self.new_id();
        let Some(group) = self.list.get(position) else { return };
        let mut group = group.split(env, id, key);
        group.look_again(env.table, env.interner, touched);
        self.settle(group, peer, member);
    }

    /// A peer wants everything again (RFC 2918); `marked`, with a marker before and after it (RFC 7313 §4.1).
    pub(super) fn refresh(&mut self, env: &mut Environment<'_>, peer: PeerId, marked: bool) {
        self.split_off(env, peer);
        if let Some(position) = self.position_of(peer)
            && let Some(group) = self.list.get_mut(position)
        {
            group.lineage = None;
            group.sweep_all(env.table, true);
            // One that has begun and not ended begins anew without a word: everything comes before its end.
            if marked
                && let Some(member) = group.members.get_mut(&peer)
                && !std::mem::replace(&mut member.refresh_end_due, true)
            {
                // Alone in its group: nobody else hears of it, and what was on its way stays before it.
                let begin = RouteRefresh { family: group.family, subtype: RefreshSubtype::Begin };
                group.log.push(begin.encode(), Audience::All, group.members.len());
            }
        }
    }

    /// Whether [`Groups::poll`] may have something for a peer.
    pub(super) fn has_output(&self, peer: PeerId) -> bool {
        self.group_of(peer).is_some_and(|group| group.has_output(peer))
    }

    /// The next message for a peer.
    pub(super) fn poll(&mut self, env: &mut Environment<'_>, peer: PeerId) -> Option<Bytes> {
        let id = *self.members.get(&peer)?;
        let group = self.group_mut(id)?;
        let message = group.poll(env, peer);
        if message.is_none() {
            self.merge(env, id);
        } else if group.log.octets() > MOST_LAG {
            self.split_laggards(env, id);
        }
        message
    }

    /// How many routes a peer has from us.
    pub(super) fn advertised(&self, peer: PeerId) -> u32 {
        let Some(group) = self.group_of(peer) else { return 0 };
        group.members.get(&peer).map_or(0, |member| group.advertised.saturating_sub(member.own))
    }

    /// What a peer was sent for a destination.
    pub(super) fn sent(&self, peer: PeerId, destination: DestId) -> SmallVec<[Sent; 1]> {
        let Some(group) = self.group_of(peer) else { return SmallVec::new() };
        let routes = group.entries.routes(destination).into_iter();
        let routes = routes.map(|slot| (slot, group.entries.get(slot)));
        routes
            .filter(|(_, entry)| entry.wire.is_handle() && entry.source != peer)
            .map(|(slot, entry)| Sent { path_id: slot.path_id(), attributes: entry.wire, at: entry.sent_at })
            .collect()
    }

    /// Whether something about a destination still has to be sent to a peer.
    pub(super) fn is_pending(&self, peer: PeerId, destination: DestId) -> bool {
        self.group_of(peer).is_some_and(|group| {
            let swept = group.sweep.is_some_and(|sweep| (sweep.next..sweep.end).contains(&destination));
            let routes = group.entries.routes(destination).into_iter().chain([Slot::of(destination)]);
            let mut entries = routes.map(|slot| group.entries.get(slot));
            swept || entries.any(|entry| entry.staged != CLEAN || entry.wire == STALE)
        })
    }

    /// Whether any peer is sent several paths.
    pub(super) fn send_several(&self) -> bool {
        self.list.iter().any(|group| group.key.several.is_some())
    }

    /// The group of a peer.
    pub(super) fn group_of(&self, peer: PeerId) -> Option<&Group> {
        self.list.get(self.position_of(peer)?)
    }

    /// All groups.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.list.iter()
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Groups with nothing left to send that could be one are made one. Members of the one that is given up have to have
    /// read everything; and whoever still reads messages of a group before stays where it is, or it could gather more of
    /// them with every change of group.
    fn merge(&mut self, env: &mut Environment<'_>, id: GroupId) {
        let Some(group) = self.group(id) else { return };
        // The key first: whether a group is settled takes a look at every member, and every member asks.
        let fits = |other: &&Group| other.id != id && other.key == group.key && other.is_settled();
        let Some(other) = self.list.iter().find(fits).filter(|_| group.is_settled()) else { return };
        let (from, into) =
            if group.members.len() > other.members.len() { (other, group) } else { (group, other) };
        let (from, into) = if from.has_been_read() { (from.id, into.id) } else { (into.id, from.id) };
        if !self.group(from).is_some_and(Group::has_been_read) {
            return;
        }
        let Ok(position) = self.list.binary_search_by_key(&from, |group| group.id) else { return };
        let mut group = self.list.remove(position);
        let movers: Vec<PeerId> = group.members.keys().copied().collect();
        for peer in movers {
            let Some(mut member) = group.remove(peer) else { continue };
            if let Some(home) = self.group_mut(into) {
                member.cursor = home.log.end();
                home.members.insert(peer, member);
                self.members.insert(peer, into);
            }
        }
        group.dissolve(env.table, env.interner);
    }

    /// Members that have not read the oldest message of a log that grew too long go on alone.
    fn split_laggards(&mut self, env: &mut Environment<'_>, id: GroupId) {
        let Some(group) = self.group(id) else { return };
        let oldest = group.log.first();
        let behind = group.members.iter().filter(|(_, member)| member.cursor <= oldest);
        let behind: Vec<PeerId> = behind.map(|(peer, _)| *peer).collect();
        for peer in behind {
            self.split_off(env, peer);
        }
    }

    /// Gives a member a group of its own, if it has none.
    fn split_off(&mut self, env: &mut Environment<'_>, peer: PeerId) {
        let Some(position) = self.position_of(peer) else { return };
        let id = self.new_id();
        let Some(group) = self.list.get_mut(position).filter(|group| group.members.len() > 1) else { return };
        let Some(member) = group.remove(peer) else { return };
        let key = group.key.clone();
        let alone = group.split(env, id, key);
        self.settle(alone, peer, member);
    }

    fn settle(&mut self, mut group: Group, peer: PeerId, member: Member) {
        let cursor = group.log.end();
        group.members.insert(peer, Member { cursor, ..member });
        self.members.insert(peer, group.id);
        self.list.push(group);
    }

    fn drop_if_empty(&mut self, table: &mut Table, interner: &mut Interner, id: GroupId) {
        if let Ok(position) = self.list.binary_search_by_key(&id, |group| group.id)
            && self.list.get(position).is_some_and(|group| group.members.is_empty())
        {
            self.list.remove(position).dissolve(table, interner);
        }
    }

    fn new_id(&mut self) -> GroupId {
        self.next_id += 1;
        self.next_id
    }

    fn group(&self, id: GroupId) -> Option<&Group> {
        let position = self.list.binary_search_by_key(&id, |group| group.id).ok()?;
        self.list.get(position)
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        let position = self.list.binary_search_by_key(&id, |group| group.id).ok()?;
        self.list.get_mut(position)
    }

    fn position_of(&self, peer: PeerId) -> Option<usize> {
        let id = self.members.get(&peer)?;
        self.list.binary_search_by_key(id, |group| group.id).ok()
    }
}
