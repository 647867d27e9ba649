//! From buckets to UPDATE messages.
//!
//! Most routes go to all members in one message. Where the source of a route changes between members, single members
//! differ: the new source has to lose what it had, the old source has to get what it never had. Those get messages of
//! their own, in the same log, right after the common one.
//!
//! Invariant: after a route was emitted, every member that reads on has it, except the one it came from.

use bgp_wire::{
    AttributeBlock, EncodeError, NextHop, PathAttributes, UpdateWriter, encode_reach_paths,
    encode_unreach_paths,
};
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;

use crate::PeerId;
use crate::rib::Environment;

use super::bucket::{Bucket, BucketNumber};
use super::entries::{ABSENT, DIRTY, Entry, Slot, WITHDRAW};
use super::group::Group;
use super::log::Audience;

/// What single members need besides the message that all get.
#[derive(Default)]
struct Batch {
    /// What the source of the bucket had from somebody else.
    lost: Vec<(u32, IpNet)>,
    /// What members had not because it came from them, and now comes from somebody else with equal attributes.
    gained: Vec<(PeerId, (u32, IpNet))>,
}

impl Group {
    /// Emits one message's worth of a bucket.
    pub(super) fn emit(&mut self, env: &mut Environment<'_>, number: BucketNumber) {
        let Some(mut bucket) = self.buckets.take(number) else { return };
        self.revision += 1;
        let emitted = if bucket.key.attributes == WITHDRAW {
            self.emit_withdrawals(env, &mut bucket)
        } else {
            self.emit_routes(env, &mut bucket)
        };
        if emitted != Ok(true) {
            // The exporter lets nothing pass that has no next hop, no room or no encoder.
            debug_assert_eq!(emitted, Ok(true));
            self.discard(env, &mut bucket);
        }
        let gone = self.buckets.give_back(number, bucket);
        if let Some(key) = gone.filter(|key| key.attributes.is_handle()) {
            env.interner.release(key.attributes);
        }
    }

    /// False: the attributes cannot be sent.
    fn emit_routes(&mut self, env: &mut Environment<'_>, bucket: &mut Bucket) -> Result<bool, EncodeError> {
        let key = bucket.key;
        let attributes = env.interner.get(key.attributes).clone();
        let Some(next_hop) = attributes.next_hop else { return Ok(false) };
        let context = self.key.encode;
        let block = bucket.block.take().unwrap_or_else(|| AttributeBlock::encode(&attributes, &context));
        let mut message = std::mem::take(&mut self.scratch);
        let mut batch = Batch::default();
        {
            let mut writer = UpdateWriter::reach(&mut message, &block, self.family, &next_hop, &context)?;
            while let Some(slot) = bucket.front() {
                let Some((prefix, source)) = self.still_staged(env, bucket, slot) else {
                    bucket.advance();
                    continue;
                };
                let entry = self.entries.get(slot);
                let common = entry.wire != key.attributes;
                if common && writer.push_path(slot.path_id(), prefix).is_err() {
                    break;
                }
                batch.note(&entry, (slot.path_id(), prefix), source, key.except, common);
                self.commit(env, slot, key.attributes, source);
                bucket.advance();
            }
            writer.finish();
        }
        self.deliver(&message, key.except.map_or(Audience::All, Audience::Except));
        self.deliver_lost(&mut message, key.except, &batch)?;
        self.deliver_gained(&mut message, &block, &next_hop, &mut batch)?;
        message.clear();
        self.scratch = message;
        bucket.block = Some(block);
        Ok(true)
    }

    /// The message that would tell a member of one route alone, in the form this group sends.
    pub(in crate::rib) fn update_of(
        &self,
        attributes: &PathAttributes,
        path_id: u32,
        prefix: IpNet,
    ) -> Option<Bytes> {
        let (context, mut message) = (self.key.encode, BytesMut::new());
        let block = AttributeBlock::encode(attributes, &context);
        let next_hop = attributes.next_hop?;
        encode_reach_paths(&mut message, &block, self.family, &next_hop, [(path_id, prefix)], &context)
            .ok()?;
        Some(message.freeze())
    }

    fn emit_withdrawals(
        &mut self,
        env: &mut Environment<'_>,
        bucket: &mut Bucket,
    ) -> Result<bool, EncodeError> {
        let context = self.key.encode;
        let mut message = std::mem::take(&mut self.scratch);
        {
            let mut writer = UpdateWriter::unreach(&mut message, self.family, &context)?;
            while let Some(slot) = bucket.front() {
                let entry = self.entries.get(slot);
                let counts = entry.staged == WITHDRAW && !self.is_outdated(slot);
                let found = env.table.get(slot.destination).filter(|_| counts);
                if let Some(prefix) = found.map(|found| found.prefix) {
                    if writer.push_path(slot.path_id(), prefix).is_err() {
                        break;
                    }
                    self.commit(env, slot, ABSENT, entry.source);
                }
                bucket.advance();
            }
            writer.finish();
        }
        self.deliver(&message, bucket.key.except.map_or(Audience::All, Audience::Except));
        message.clear();
        self.scratch = message;
        Ok(true)
    }

    /// Prefix and source of a route, if this is the bucket it is to leave from.
    fn still_staged(
        &mut self,
        env: &Environment<'_>,
        bucket: &Bucket,
        slot: Slot,
    ) -> Option<(IpNet, PeerId)> {
        if self.entries.get(slot).staged != bucket.key.attributes || self.is_outdated(slot) {
            return None;
        }
        let found = env.table.get(slot.destination)?;
        let path =
            if self.key.several.is_some() { found.paths.numbered(slot.path) } else { found.paths.best() };
        let source = path.map(|path| path.peer);
        let except = source.filter(|source| self.members.contains_key(source));
        match source {
            Some(source) if except == bucket.key.except => Some((found.prefix, source)),
            // Equal attributes, but somebody else's now, or a member left: look again.
            _ => {
                self.unstage(slot);
                None
            }
        }
    }

    /// Whether the paths of a destination changed since one of them was staged: they will all be looked at again.
    fn is_outdated(&self, slot: Slot) -> bool {
        self.key.several.is_some() && self.entries.get(Slot::of(slot.destination)).staged == DIRTY
    }

    /// Appends a message to the log, unless it is empty or for nobody. A copy of just its length: messages may wait, and
    /// must not keep a buffer of the longest one.
    fn deliver(&mut self, message: &[u8], audience: Audience) {
        let anybody = self.members.keys().any(|member| audience.admits(*member));
        if !message.is_empty() && anybody {
            self.log.push(Bytes::copy_from_slice(message), audience, self.members.len());
        }
    }

    fn deliver_lost(
        &mut self,
        buffer: &mut BytesMut,
        except: Option<PeerId>,
        batch: &Batch,
    ) -> Result<(), EncodeError> {
        let Some(peer) = except.filter(|_| !batch.lost.is_empty()) else { return Ok(()) };
        buffer.clear();
        encode_unreach_paths(buffer, self.family, batch.lost.iter().copied(), &self.key.encode)?;
        self.deliver_each(buffer, Audience::Only(peer));
        Ok(())
    }

    fn deliver_gained(
        &mut self,
        buffer: &mut BytesMut,
        block: &AttributeBlock,
        next_hop: &NextHop,
        batch: &mut Batch,
    ) -> Result<(), EncodeError> {
        batch.gained.sort_unstable_by_key(|(peer, _)| *peer);
        for gained in batch.gained.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((peer, _)) = gained.first() else { continue };
            let paths = gained.iter().map(|(_, path)| *path);
            buffer.clear();
            encode_reach_paths(buffer, block, self.family, next_hop, paths, &self.key.encode)?;
            self.deliver_each(buffer, Audience::Only(*peer));
        }
        Ok(())
    }

    /// Appends several messages that stand in one buffer.
    fn deliver_each(&mut self, mut messages: &[u8], audience: Audience) {
        let longest = self.key.encode.max_message_len();
        while let Ok(Some(length)) = bgp_wire::peek_frame(messages, longest) {
            let Some((message, rest)) = messages.split_at_checked(length) else { return };
            self.deliver(message, audience);
            messages = rest;
        }
    }

    /// Gives up on a bucket that cannot be encoded: what it holds is looked at again when it changes.
    fn discard(&mut self, env: &mut Environment<'_>, bucket: &mut Bucket) {
        while let Some(slot) = bucket.front() {
            bucket.advance();
            let entry = self.entries.get(slot);
            if entry.staged == bucket.key.attributes {
                self.commit(env, slot, entry.wire, entry.source);
            }
        }
    }
}

impl Batch {
    fn note(
        &mut self,
        before: &Entry,
        path: (u32, IpNet),
        source: PeerId,
        except: Option<PeerId>,
        common: bool,
    ) {
        let was_there = before.wire != ABSENT;
        if except.is_some() && was_there && before.source != source {
            self.lost.push(path);
        }
        if !common && before.source != source {
            self.gained.push((before.source, path));
        }
    }
}
