//! Writing UPDATE messages: as many prefixes of one attribute set per message as fit.
//!
//! An [`AttributeBlock`] holds the attributes of one set, encoded once. It leaves out the next hop, which differs by
//! session, so one block serves all messages to all peers that read the same AS number size. [`UpdateWriter`] puts header,
//! next hop and prefixes around it.
//!
//! Invariants: a message never exceeds what the peer reads, and it carries prefixes in one place only, MP_REACH_NLRI and
//! MP_UNREACH_NLRI first among the attributes (RFC 7606 §5.1), the others in order of their code (RFC 4271 §5). A message
//! without prefixes is not written.

use bytes::{BufMut, Bytes, BytesMut};
use ipnet::IpNet;
use smallvec::SmallVec;
use thiserror::Error;

use crate::attr::PathAttributes;
use crate::attr::next_hop::NextHop;
use crate::attr::row::{AttributeWriter, flag};
use crate::attr::table;
use crate::context::EncodeContext;
use crate::error::EncodeError;
use crate::family::{Family, FamilySet};
use crate::message::{HEADER_LEN, MessageKind, put_header};
use crate::nlri::{encoded_len, put_prefix};

/// The encoded attributes of one set, without next hop and NLRI. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeBlock {
    octets: Bytes,
    /// Where NEXT_HOP goes.
    split: usize,
}

impl AttributeBlock {
    /// Encodes everything in `attributes` but the next hop, for peers of this AS number size.
    ///
    /// What is there is written: whether LOCAL_PREF, ORIGINATOR_ID or CLUSTER_LIST may go to a peer is the speaker's rule.
    #[must_use]
    pub fn encode(attributes: &PathAttributes, context: &EncodeContext) -> Self {
        let mut out = BytesMut::with_capacity(64);
        let mut split = 0;
        let mut unknown = attributes.unknown.iter().peekable();
        for row in table::ROWS {
            while let Some(passed_on) = unknown.next_if(|unknown| unknown.code < row.code) {
                passed_on.encode(&mut out);
            }
            if row.code == table::NEXT_HOP {
                split = out.len();
            }
            let mut writer = AttributeWriter { out: &mut out, code: row.code, flags: row.class.flags() };
            (row.encode)(attributes, context, &mut writer);
        }
        unknown.for_each(|unknown| unknown.encode(&mut out));
        Self { octets: out.freeze(), split }
    }

    /// Octets of the attributes, next hop and NLRI not counted.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "ORIGIN and AS_PATH are always there")]
    pub const fn len(&self) -> usize {
        self.octets.len()
    }
}

/// Why a prefix was not taken into a message.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Error)]
pub enum PushError {
    /// The message is full: finish it and begin another.
    #[error("the message is full")]
    Full,
    /// The prefix is of another family than the message.
    #[error("a prefix of another family")]
    Family,
}

/// Writes one UPDATE at the end of a buffer.
///
/// ```
/// # use bgp_wire::*;
/// # use bytes::BytesMut;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let context = EncodeContext::new();
/// let block = AttributeBlock::encode(&PathAttributes::default(), &context);
/// let next_hop = NextHop::V4("192.0.2.1".parse()?);
/// let mut out = BytesMut::new();
/// let mut writer = UpdateWriter::reach(&mut out, &block, Family::IPV4_UNICAST, &next_hop, &context)?;
/// writer.push("10.0.0.0/8".parse()?)?;
/// writer.finish();
/// assert_eq!(peek_frame(&out, MAX_LEN), Ok(Some(out.len())));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a message that is not finished is taken back"]
pub struct UpdateWriter<'o, 'b> {
    out: &'o mut BytesMut,
    start: usize,
    /// Where the prefixes begin, and where they must end.
    nlri: usize,
    limit: usize,
    layout: Layout<'b>,
    family: Family,
    path_ids: bool,
    prefixes: usize,
    finished: bool,
}

/// Where the prefixes are, and with that which lengths are still to be filled in and what follows.
#[derive(Debug)]
enum Layout<'b> {
    /// In the NLRI field: nothing.
    Nlri,
    /// In the Withdrawn Routes field; an empty attribute field follows.
    Withdrawn,
    /// In an MP attribute, the first one; these attributes follow.
    Attribute(&'b [u8]),
}

/// Octets of a header and the two length fields.
const FIXED: usize = HEADER_LEN + 4;
/// Octets of an attribute header with two octets of length.
const LONG_HEADER: usize = 4;

impl<'o, 'b> UpdateWriter<'o, 'b> {
    /// Begins an UPDATE that announces prefixes of `family`.
    ///
    /// IPv4 prefixes with an IPv4 next hop go into the NLRI field, all others into MP_REACH_NLRI. An IPv4 next hop for
    /// IPv6 prefixes is sent as IPv4-mapped address (RFC 4291 §2.5.5.2).
    ///
    /// # Errors
    /// The attributes leave no room for a prefix, or the next hop cannot go with the family on this session. Nothing is
    /// written then.
    pub fn reach(
        out: &'o mut BytesMut,
        block: &'b AttributeBlock,
        family: Family,
        next_hop: &NextHop,
        context: &EncodeContext,
    ) -> Result<Self, EncodeError> {
        let next_hop = next_hop_octets(family, next_hop, context)?;
        let in_nlri_field = next_hop.len() == 4;
        let around = next_hop.len() + if in_nlri_field { 3 } else { LONG_HEADER + 5 };
        let path_ids = context.add_path.contains(family);
        let longest = if path_ids { 4 } else { 0 } + if family == Family::IPV4_UNICAST { 5 } else { 17 };
        let (needed, max) = (FIXED + around + block.len() + longest, context.max_message_len());
        if needed > max {
            return Err(EncodeError::TooLong { needed, max });
        }

        let start = out.len();
        put_header(out, 0, MessageKind::Update);
        out.put_u16(0);
        let (layout, tail) = if in_nlri_field {
            out.put_u16(narrow(around + block.len()));
            let (before, after) = block.octets.split_at_checked(block.split).unwrap_or_default();
            out.put_slice(before);
            out.put_slice(&[flag::TRANSITIVE, table::NEXT_HOP, 4]);
            out.put_slice(&next_hop);
            out.put_slice(after);
            (Layout::Nlri, 0)
        } else {
            out.put_u16(0);
            out.put_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, table::MP_REACH_NLRI, 0, 0]);
            out.put_u16(family.afi);
            out.put_u8(family.safi);
            out.put_u8(if next_hop.len() == 32 { 32 } else { 16 });
            out.put_slice(&next_hop);
            out.put_u8(0);
            (Layout::Attribute(&block.octets), block.len())
        };
        let (nlri, limit) = (out.len(), start + max - tail);
        Ok(Self { out, start, nlri, limit, layout, family, path_ids, prefixes: 0, finished: false })
    }

    /// Begins an UPDATE that withdraws prefixes of `family`. IPv4 prefixes go into the Withdrawn Routes field, others
    /// into MP_UNREACH_NLRI.
    ///
    /// # Errors
    /// The codec has no encoder for the family.
    pub fn unreach(
        out: &'o mut BytesMut,
        family: Family,
        context: &EncodeContext,
    ) -> Result<Self, EncodeError> {
        if !FamilySet::ALL.contains(family) {
            return Err(EncodeError::Family(family));
        }
        let start = out.len();
        put_header(out, 0, MessageKind::Update);
        out.put_u16(0);
        let (layout, tail) = if family == Family::IPV4_UNICAST {
            (Layout::Withdrawn, 2)
        } else {
            out.put_u16(0);
            out.put_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, table::MP_UNREACH_NLRI, 0, 0]);
            out.put_u16(family.afi);
            out.put_u8(family.safi);
            (Layout::Attribute(&[]), 0)
        };
        let (nlri, limit) = (out.len(), start + context.max_message_len() - tail);
        let path_ids = context.add_path.contains(family);
        Ok(Self { out, start, nlri, limit, layout, family, path_ids, prefixes: 0, finished: false })
    }

    /// Adds a prefix, with path identifier 0 where one is negotiated.
    ///
    /// # Errors
    /// See [`Self::push_path`].
    #[inline]
    pub fn push(&mut self, prefix: IpNet) -> Result<(), PushError> {
        self.push_path(0, prefix)
    }

    /// Adds a prefix. The path identifier is left out where none is negotiated (RFC 7911).
    ///
    /// # Errors
    /// The message is full, or the prefix is of another family. It is not in the message then.
    #[inline]
    pub fn push_path(&mut self, path_id: u32, prefix: IpNet) -> Result<(), PushError> {
        if Family::of(&prefix) != self.family {
            return Err(PushError::Family);
        }
        let path_id = self.path_ids.then_some(path_id);
        if self.out.len() + encoded_len(path_id, &prefix) > self.limit {
            return Err(PushError::Full);
        }
        put_prefix(self.out, path_id, &prefix);
        self.prefixes += 1;
        Ok(())
    }

    /// How many prefixes the message has so far.
    #[must_use]
    pub const fn prefixes(&self) -> usize {
        self.prefixes
    }

    /// Completes the message and tells how many octets it has: 0 if there was no prefix, since then there is no message.
    pub fn finish(mut self) -> usize {
        if self.prefixes == 0 {
            return 0;
        }
        self.finished = true;
        let prefixes = self.out.len() - self.nlri;
        match self.layout {
            Layout::Nlri => {}
            Layout::Withdrawn => {
                self.set_u16(HEADER_LEN, prefixes);
                self.out.put_u16(0);
            }
            Layout::Attribute(after) => {
                let header = self.start + FIXED + LONG_HEADER;
                self.set_u16(FIXED + 2, self.out.len() - header);
                self.out.put_slice(after);
                self.set_u16(HEADER_LEN + 2, self.out.len() - self.start - FIXED);
            }
        }
        let length = self.out.len() - self.start;
        self.set_u16(16, length);
        length
    }

    /// Fills in a length, `at` octets into the message.
    fn set_u16(&mut self, at: usize, value: usize) {
        let at = self.start + at;
        if let Some(field) = self.out.get_mut(at..at + 2) {
            field.copy_from_slice(&narrow(value).to_be_bytes());
        }
    }
}

impl Drop for UpdateWriter<'_, '_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Writes as many UPDATE messages as it takes to announce `prefixes`, and tells how many.
///
/// # Errors
/// See [`UpdateWriter::reach`]; also a prefix of another family. Messages that were complete before stay written.
pub fn encode_reach(
    out: &mut BytesMut,
    block: &AttributeBlock,
    family: Family,
    next_hop: &NextHop,
    prefixes: impl IntoIterator<Item = IpNet>,
    context: &EncodeContext,
) -> Result<usize, EncodeError> {
    encode_reach_paths(out, block, family, next_hop, without_ids(prefixes), context)
}

/// As [`encode_reach`], each prefix behind the path identifier it is announced under. The identifiers are left out where
/// none are negotiated (RFC 7911).
///
/// # Errors
/// See [`encode_reach`].
pub fn encode_reach_paths(
    out: &mut BytesMut,
    block: &AttributeBlock,
    family: Family,
    next_hop: &NextHop,
    paths: impl IntoIterator<Item = (u32, IpNet)>,
    context: &EncodeContext,
) -> Result<usize, EncodeError> {
    pack(out, family, paths, |out| UpdateWriter::reach(out, block, family, next_hop, context))
}

/// Writes as many UPDATE messages as it takes to withdraw `prefixes`, and tells how many.
///
/// # Errors
/// The codec has no encoder for the family, or a prefix is of another one. Messages that were complete before stay written.
pub fn encode_unreach(
    out: &mut BytesMut,
    family: Family,
    prefixes: impl IntoIterator<Item = IpNet>,
    context: &EncodeContext,
) -> Result<usize, EncodeError> {
    encode_unreach_paths(out, family, without_ids(prefixes), context)
}

/// As [`encode_unreach`], each prefix behind the path identifier it was announced under.
///
/// # Errors
/// See [`encode_unreach`].
pub fn encode_unreach_paths(
    out: &mut BytesMut,
    family: Family,
    paths: impl IntoIterator<Item = (u32, IpNet)>,
    context: &EncodeContext,
) -> Result<usize, EncodeError> {
    pack(out, family, paths, |out| UpdateWriter::unreach(out, family, context))
}

fn without_ids(prefixes: impl IntoIterator<Item = IpNet>) -> impl Iterator<Item = (u32, IpNet)> {
    prefixes.into_iter().map(|prefix| (0, prefix))
}

/// Writes the End-of-RIB marker of a family (RFC 4724 §2).
///
/// # Errors
/// The codec has no encoder for the family.
pub fn encode_end_of_rib(out: &mut BytesMut, family: Family) -> Result<(), EncodeError> {
    match family {
        Family::IPV4_UNICAST => {
            put_header(out, FIXED, MessageKind::Update);
            out.put_u32(0);
        }
        Family::IPV6_UNICAST => {
            put_header(out, FIXED + 6, MessageKind::Update);
            out.put_slice(&[0, 0, 0, 6, flag::OPTIONAL, table::MP_UNREACH_NLRI, 3]);
            out.put_u16(family.afi);
            out.put_u8(family.safi);
        }
        other => return Err(EncodeError::Family(other)),
    }
    Ok(())
}

fn pack<'b>(
    out: &mut BytesMut,
    family: Family,
    paths: impl IntoIterator<Item = (u32, IpNet)>,
    begin: impl for<'o> Fn(&'o mut BytesMut) -> Result<UpdateWriter<'o, 'b>, EncodeError>,
) -> Result<usize, EncodeError> {
    let mut messages = 0;
    let mut paths = paths.into_iter();
    let mut next = paths.next();
    while let Some((mut id, mut prefix)) = next {
        let mut writer = begin(out)?;
        loop {
            match writer.push_path(id, prefix) {
                Ok(()) => {}
                Err(PushError::Full) => {
                    next = Some((id, prefix));
                    break;
                }
                Err(PushError::Family) => return Err(EncodeError::PrefixFamily(family)),
            }
            next = paths.next();
            match next {
                Some(following) => (id, prefix) = following,
                None => break,
            }
        }
        writer.finish();
        messages += 1;
    }
    Ok(messages)
}

/// The next hop as it is sent with prefixes of `family`.
fn next_hop_octets(
    family: Family,
    next_hop: &NextHop,
    context: &EncodeContext,
) -> Result<SmallVec<[u8; 32]>, EncodeError> {
    let (first, second) = match (family, next_hop) {
        (Family::IPV4_UNICAST, NextHop::V4(address)) => return Ok(SmallVec::from_slice(&address.octets())),
        (Family::IPV4_UNICAST, NextHop::V6 { .. }) if !context.extended_next_hop => {
            return Err(EncodeError::NextHop { family, next_hop: next_hop.address() });
        }
        (Family::IPV4_UNICAST | Family::IPV6_UNICAST, NextHop::V6 { global, link_local }) => {
            (*global, *link_local)
        }
        (Family::IPV6_UNICAST, NextHop::V4(address)) => (address.to_ipv6_mapped(), None),
        _ => return Err(EncodeError::Family(family)),
    };
    let mut octets = SmallVec::from_slice(&first.octets());
    second.into_iter().for_each(|second| octets.extend_from_slice(&second.octets()));
    Ok(octets)
}

/// A length that was checked to fit a message.
fn narrow(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
