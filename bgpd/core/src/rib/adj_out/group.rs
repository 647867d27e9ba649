//! One update group: peers that are sent the same, what they were sent, and what they still have to be sent
//! (Adj-RIB-Out, RFC 4271 §9.1.3, §9.2).
//!
//! A destination passes through three places. A change marks it *dirty*, which costs a few nanoseconds and happens once
//! however often it changes before anybody pulls. When a member pulls, dirty destinations are *evaluated*: exported and
//! staged in the bucket of their new attributes. Full buckets, then old ones, are *emitted* as messages, and only then is
//! the destination *on the wire*.
//!
//! The member that a route came from is not sent that route. The group therefore notes with each route who that is
//! ([`Entry::source`]): every other member has the route, this one has not.
//!
//! Invariant: when nothing is dirty, staged or to be swept, every entry equals the export of the best path, and each
//! member that read the log to its end was sent exactly the entries whose source it is not.

use std::collections::{BTreeMap, VecDeque};

use bgp_wire::{Family, PathAttributes, RefreshSubtype, RouteRefresh};
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;

use crate::PeerId;
use crate::policy::{Candidate, Outcome, Verdict};
use crate::rib::interner::{AttrId, Interner};
use crate::rib::path::{LOCAL, Path};
use crate::rib::table::{DestId, Table};
use crate::rib::{Environment, Reader};

use super::bucket::{BucketKey, BucketNumber, Buckets};
use super::entries::{ABSENT, CLEAN, DIRTY, Entries, Entry, STALE, Slot, WITHDRAW};
use super::export::{Exporter, GroupKey, Refusal};
use super::log::Log;
use super::memo::{Memo, MemoKey};

/// Names a group. Never given out twice.
pub(in crate::rib) type GroupId = u64;

/// A peer in a group.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Messages from a group it was in before. They come first.
    pub(super) tail: VecDeque<Bytes>,
    /// The next message of the group's log.
    pub(super) cursor: u64,
    /// Entries whose source it is.
    pub(super) own: u32,
    /// End-of-RIB is still to be sent (RFC 4724 §2).
    pub(super) end_of_rib_due: bool,
    /// The marker behind a refresh is still to be sent (RFC 7313 §4.1).
    pub(super) refresh_end_due: bool,
}

/// A walk over all destinations, instead of marking each of them dirty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub(super) next: DestId,
    pub(super) end: DestId,
    /// Send also what did not change (RFC 2918).
    pub(super) resend: bool,
}

/// An update group.
#[derive(Debug)]
pub(in crate::rib) struct Group {
    pub(super) id: GroupId,
    pub(super) family: Family,
    pub(super) key: GroupKey,
    pub(super) members: BTreeMap<PeerId, Member>,
    pub(super) entries: Entries,
    /// Entries with something on the wire.
    pub(super) advertised: u32,
    pub(super) dirty: VecDeque<DestId>,
    pub(super) sweep: Option<Sweep>,
    pub(super) buckets: Buckets,
    pub(super) memo: Memo,
    pub(super) log: Log,
    /// Where messages are put together.
    pub(super) scratch: BytesMut,
    /// Grows whenever something goes on the wire.
    pub(super) revision: u64,
    /// The group it was split from, and that group's revision then.
    pub(super) lineage: Option<(GroupId, u64)>,
}

/// Destinations staged at most before the oldest bucket is emitted though more could join it.
const MOST_STAGED: usize = 65_536;
/// Buckets at most, for the same reason. Tests reach it.
const MOST_BUCKETS: usize = if cfg!(test) { 4 } else { 1_024 };

impl Group {
    pub(super) fn new(id: GroupId, family: Family, key: GroupKey) -> Self {
        let entries = Entries::new(key.several.is_some());
        Self {
            id,
            family,
            key,
            members: BTreeMap::new(),
            entries,
            advertised: 0,
            dirty: VecDeque::new(),
            sweep: None,
            buckets: Buckets::default(),
            memo: Memo::default(),
            log: Log::default(),
            scratch: BytesMut::new(),
            revision: 0,
            lineage: None,
        }
    }

    /// Whether everything is on the wire or at least in the log.
    pub(in crate::rib) fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.sweep.is_none() && self.buckets.is_empty()
    }

    /// Whether it is idle and no member has messages of another group before it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_idle() && self.members.values().all(|member| member.tail.is_empty())
    }

    /// Whether all members have read everything.
    pub(super) fn has_been_read(&self) -> bool {
        self.members.values().all(|member| member.tail.is_empty() && member.cursor == self.log.end())
    }

    /// A destination changed: its best path, or any of them in a group that sends several.
    #[inline]
    pub(super) fn mark(&mut self, table: &mut Table, destination: DestId) {
        let Some(was_vacant) = self.entries.mark(destination) else { return };
        if was_vacant {
            table.pin(destination);
        }
        self.dirty.push_back(destination);
    }

    /// What is staged has to be looked at again.
    pub(super) fn unstage(&mut self, slot: Slot) {
        let whole = Slot::of(slot.destination);
        let entry = self.entries.get(whole);
        if entry.staged != DIRTY {
            self.entries.set(whole, Entry { staged: DIRTY, ..entry });
            self.dirty.push_back(slot.destination);
        }
        if slot != whole {
            let entry = self.entries.get(slot);
            self.entries.set(slot, Entry { staged: CLEAN, ..entry });
        }
    }

    /// Everything has to be looked at again; with `resend`, everything has to be sent again.
    pub(super) fn sweep_all(&mut self, table: &Table, resend: bool) {
        let resend = resend || self.sweep.is_some_and(|sweep| sweep.resend);
        self.sweep = (table.end() > 0).then_some(Sweep { next: 0, end: table.end(), resend });
    }

    /// The rules of export changed, for these prefixes alone or for all: they are looked at again.
    pub(super) fn look_again(
        &mut self,
        table: &mut Table,
        interner: &mut Interner,
        touched: Option<&[IpNet]>,
    ) {
        let Some(touched) = touched else { return self.start_over(table, interner) };
        self.unstage_all(interner);
        for destination in touched.iter().filter_map(|prefix| table.find(prefix)).collect::<Vec<_>>() {
            self.mark(table, destination);
        }
    }

    /// The rules of export changed: everything has to be looked at again, also what is staged already.
    pub(super) fn start_over(&mut self, table: &Table, interner: &mut Interner) {
        self.unstage_all(interner);
        self.sweep_all(table, false);
    }

    /// Whatever was decided by rules that no longer hold, and is not on the wire, is decided again.
    fn unstage_all(&mut self, interner: &mut Interner) {
        self.memo.clear(interner);
        for key in self.buckets.clear().filter(|key| key.attributes.is_handle()) {
            interner.release(key.attributes);
        }
        let staged: Vec<Slot> = self
            .entries
            .occupied()
            .filter(|(_, entry)| entry.staged != CLEAN && entry.staged != DIRTY)
            .map(|(slot, _)| slot)
            .collect();
        for slot in staged {
            self.unstage(slot);
        }
    }

    /// Works until the log has one more message. False: there is nothing to send.
    pub(super) fn generate(&mut self, env: &mut Environment<'_>) -> bool {
        let end = self.log.end();
        while self.log.end() == end {
            let crowded = self.buckets.staged() >= MOST_STAGED || self.buckets.len() >= MOST_BUCKETS;
            let full = if crowded { None } else { self.evaluate_until_full(env) };
            let Some(number) = full.or_else(|| self.buckets.oldest()) else {
                self.memo.clear(env.interner);
                return false;
            };
            self.emit(env, number);
        }
        true
    }

    /// Evaluates dirty destinations until a bucket is worth a message, or there are too many buckets, or none is dirty.
    fn evaluate_until_full(&mut self, env: &mut Environment<'_>) -> Option<BucketNumber> {
        while self.buckets.staged() < MOST_STAGED && self.buckets.len() < MOST_BUCKETS {
            let destination = match self.dirty.pop_front() {
                Some(destination) => destination,
                None => self.sweep_next(env)?,
            };
            let full = self.evaluate(env, destination);
            if full.is_some() {
                return full;
            }
        }
        None
    }

    /// The next destination of the sweep that there is something to evaluate about, marked dirty.
    fn sweep_next(&mut self, env: &mut Environment<'_>) -> Option<DestId> {
        let mut sweep = self.sweep.take()?;
        while sweep.next < sweep.end {
            let destination = sweep.next;
            sweep.next += 1;
            let routes = self.entries.routes(destination);
            let exists = env.table.get(destination).is_some_and(|found| found.paths.best().is_some());
            if !exists && routes.iter().all(|slot| self.entries.get(*slot).wire == ABSENT) {
                continue;
            }
            for slot in routes.into_iter().filter(|_| sweep.resend) {
                let entry = self.entries.get(slot);
                if entry.wire.is_handle() {
                    env.interner.release(entry.wire);
                    self.entries.set(slot, Entry { wire: STALE, ..entry });
                }
            }
            let whole = Slot::of(destination);
            let entry = self.entries.get(whole);
            if entry.staged != DIRTY {
                if self.entries.is_vacant(destination) {
                    env.table.pin(destination);
                }
                self.entries.set(whole, Entry { staged: DIRTY, ..entry });
                self.sweep = Some(sweep);
                return Some(destination);
            }
        }
        None
    }

    /// Exports a dirty destination and stages the difference to what is on the wire. Gives back a bucket that is full.
    fn evaluate(&mut self, env: &mut Environment<'_>, destination: DestId) -> Option<BucketNumber> {
        if self.entries.get(Slot::of(destination)).staged != DIRTY {
            return None;
        }
        if let Some(which) = self.key.several {
            return self.evaluate_paths(env, destination, which);
        }
        let found = env.table.get(destination);
        let target = match found.and_then(|found| Some((found.prefix, found.paths.best()?.clone()))) {
            Some((prefix, best)) => self.target(env, &prefix, &best),
            None => Err(Refusal::NoBestPath),
        };
        self.stage(env, Slot::of(destination), target)
    }

    /// Stages the difference between what the group should have of a route and what is on the wire.
    pub(super) fn stage(
        &mut self,
        env: &mut Environment<'_>,
        slot: Slot,
        target: Result<(AttrId, PeerId), Refusal>,
    ) -> Option<BucketNumber> {
        let entry = self.entries.get(slot);
        let key = match target {
            Ok((attributes, source)) if attributes == entry.wire => {
                let except = self.members.contains_key(&source).then_some(source);
                if source == entry.source || (except.is_none() && !self.members.contains_key(&entry.source)) {
                    self.entries.set(slot, Entry { staged: CLEAN, source, ..entry });
                    return None;
                }
                BucketKey { attributes, except }
            }
            Ok((attributes, source)) => {
                BucketKey { attributes, except: self.members.contains_key(&source).then_some(source) }
            }
            Err(_) if entry.wire == ABSENT => {
                self.forget(env.table, slot);
                return None;
            }
            Err(_) => {
                let except = self.members.contains_key(&entry.source).then_some(entry.source);
                BucketKey { attributes: WITHDRAW, except }
            }
        };
        self.entries.set(slot, Entry { staged: key.attributes, ..entry });
        let prefix = env.table.get(slot.destination)?.prefix;
        let path_id = if self.key.several.is_some() { 4 } else { 0 };
        let length = path_id + 1 + usize::from(prefix.prefix_len().div_ceil(8));
        let (number, octets, new) = self.buckets.add(key, slot, length);
        if new && key.attributes.is_handle() {
            env.interner.hold(key.attributes, 1);
        }
        (octets >= self.key.encode.max_message_len()).then_some(number)
    }

    /// There is nothing to remember about a route any more.
    pub(super) fn forget(&mut self, table: &mut Table, slot: Slot) {
        self.entries.set(slot, Entry::default());
        if self.entries.is_vacant(slot.destination) {
            table.unpin(slot.destination);
        }
    }

    /// What the group should have of a path, and whom it comes from. The memo holds the attributes.
    pub(super) fn target(
        &mut self,
        env: &mut Environment<'_>,
        prefix: &IpNet,
        path: &Path,
    ) -> Result<(AttrId, PeerId), Refusal> {
        let outcome = self.outcome(env.reader(), prefix, path);
        let key = MemoKey { attributes: path.effective, peer: path.peer, statement: outcome.statement };
        if let Some(result) = self.memo.get(&key) {
            return result.map(|attributes| (attributes, key.peer));
        }
        let result = self.export(env.reader(), path, outcome).map(|out| env.interner.intern_owned(out));
        self.memo.insert(env.interner, key, result);
        result.map(|attributes| (attributes, key.peer))
    }

    /// What the group should have of a path, computed afresh.
    pub(in crate::rib) fn expected(
        &self,
        reader: Reader<'_>,
        prefix: &IpNet,
        path: &Path,
    ) -> Result<PathAttributes, Refusal> {
        self.export(reader, path, self.outcome(reader, prefix, path))
    }

    /// The number of the statement of the export policy that decides about a path. None: its default action, or there is no
    /// policy.
    pub(in crate::rib) fn statement(&self, reader: Reader<'_>, prefix: &IpNet, path: &Path) -> Option<u32> {
        self.outcome(reader, prefix, path).statement
    }

    fn outcome(&self, reader: Reader<'_>, prefix: &IpNet, path: &Path) -> Outcome {
        let Some(policy) = &self.key.policy else {
            return Outcome { verdict: Verdict::Accept, statement: None };
        };
        policy.evaluate(Candidate {
            prefix,
            attributes: reader.interner.get(path.effective),
            source: reader.source(path.peer).kind,
        })
    }

    fn export(&self, reader: Reader<'_>, path: &Path, outcome: Outcome) -> Result<PathAttributes, Refusal> {
        let exporter = Exporter {
            key: &self.key,
            family: self.family,
            local_asn: reader.config.local_asn,
            cluster_id: reader.config.cluster_id,
        };
        let attributes = reader.interner.get(path.effective);
        let source = reader.source(path.peer);
        exporter.check(source, attributes)?;
        if outcome.verdict == Verdict::Reject {
            return Err(Refusal::Policy(outcome.statement));
        }
        let actions = self.key.policy.as_ref().and_then(|policy| policy.actions(outcome));
        let out = exporter.transform(source, attributes, actions)?;
        exporter.check_length(&out)?;
        Ok(out)
    }

    /// The next message for a member.
    pub(super) fn poll(&mut self, env: &mut Environment<'_>, peer: PeerId) -> Option<Bytes> {
        let member = self.members.get_mut(&peer)?;
        if let Some(message) = member.tail.pop_front() {
            return Some(message);
        }
        loop {
            let member = self.members.get_mut(&peer)?;
            if let Some(message) = self.log.read(&mut member.cursor, peer) {
                return Some(message);
            }
            if !self.generate(env) {
                break;
            }
        }
        let member = self.members.get_mut(&peer)?;
        if !std::mem::take(&mut member.end_of_rib_due) {
            let end = RouteRefresh { family: self.family, subtype: RefreshSubtype::End };
            return std::mem::take(&mut member.refresh_end_due).then(|| end.encode());
        }
        let mut message = BytesMut::new();
        // The families of groups are those the codec carries.
        bgp_wire::encode_end_of_rib(&mut message, self.family).ok()?;
        Some(message.freeze())
    }

    /// Whether a member may get something from [`Group::poll`].
    pub(super) fn has_output(&self, peer: PeerId) -> bool {
        self.members.get(&peer).is_some_and(|member| {
            !member.tail.is_empty()
                || member.cursor < self.log.end()
                || member.end_of_rib_due
                || member.refresh_end_due
                || !self.is_idle()
        })
    }

    /// Notes that a route is on the wire with `wire` ([`ABSENT`]: withdrawn), coming from `source`.
    pub(super) fn commit(&mut self, env: &mut Environment<'_>, slot: Slot, wire: AttrId, source: PeerId) {
        let before = self.entries.get(slot);
        if wire.is_handle() {
            env.interner.hold(wire, 1);
        }
        if before.wire.is_handle() {
            env.interner.release(before.wire);
        }
        if before.wire != ABSENT {
            self.count(before.source, false);
        }
        if wire == ABSENT {
            self.forget(env.table, slot);
        } else {
            self.entries.set(slot, Entry { wire, staged: CLEAN, source, sent_at: env.seconds() });
            self.count(source, true);
        }
    }

    fn count(&mut self, source: PeerId, one_more: bool) {
        let change = |count: &mut u32| {
            *count = if one_more { *count + 1 } else { count.saturating_sub(1) };
        };
        change(&mut self.advertised);
        if source != LOCAL
            && let Some(member) = self.members.get_mut(&source)
        {
            change(&mut member.own);
        }
    }

    /// Takes a member out and gives back what it had not read yet.
    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Member> {
        let mut member = self.members.remove(&peer)?;
        while let Some(message) = self.log.read(&mut member.cursor, peer) {
            member.tail.push_back(message);
        }
        Some(member)
    }

    /// A group of its own for a member that left, with the same things on the wire.
    pub(super) fn split(&self, env: &mut Environment<'_>, id: GroupId, key: GroupKey) -> Self {
        let mut group = Self::new(id, self.family, key);
        for (slot, entry) in self.entries.occupied() {
            if entry.wire != ABSENT {
                if entry.wire.is_handle() {
                    env.interner.hold(entry.wire, 1);
                }
                if group.entries.is_vacant(slot.destination) {
                    env.table.pin(slot.destination);
                }
                group.entries.set(slot, Entry { staged: CLEAN, ..*entry });
            }
            if entry.staged != CLEAN {
                group.mark(env.table, slot.destination);
            }
        }
        group.advertised = self.advertised;
        group.sweep = self.sweep;
        group.lineage = Some((self.id, self.revision));
        group
    }

    /// Lets go of everything, before the group is dropped.
    pub(super) fn dissolve(&mut self, table: &mut Table, interner: &mut Interner) {
        let mut last = None;
        for (slot, entry) in self.entries.occupied() {
            if entry.wire.is_handle() {
                interner.release(entry.wire);
            }
            // The entries of one destination follow each other, and it was pinned once.
            if last.replace(slot.destination) != Some(slot.destination) {
                table.unpin(slot.destination);
            }
        }
        for key in self.buckets.keys().filter(|key| key.attributes.is_handle()) {
            interner.release(key.attributes);
        }
        self.memo.clear(interner);
    }
}
