//! AS_PATH (RFC 4271 §4.3 b, §5.1.2; RFC 5065 for confederation segments; RFC 6793 for four-octet AS numbers).
//!
//! A path is kept as the octets a four-octet peer gets: one allocation, compared and hashed as a slice, copied when sent.
//! Two-octet AS numbers are widened when read and narrowed when written.
//!
//! Invariant: the octets of an [`AsPath`] are a sequence of whole segments, each with 1 to 255 AS numbers, none of them 0.

use std::fmt;
use std::str::FromStr;

use bytes::BufMut;
use smallvec::SmallVec;

use super::community::decimal;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use super::{ParseAttributeError, PathAttributes};
use crate::context::{EncodeContext, PeerKind};
use crate::cursor::{Cursor, Truncated};
use crate::error::AttributeFault;

/// The AS number that stands for one that does not fit into two octets (RFC 6793 §2).
pub const AS_TRANS: u32 = 23456;

/// AS_PATH.
#[derive(Clone, Eq, PartialEq, Hash, Default)]
pub struct AsPath {
    wire: Box<[u8]>,
}

/// One segment of an AS path.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Segment<'a> {
    /// Whether the AS numbers have an order, and whether they are members of a confederation.
    pub kind: SegmentKind,
    asns: &'a [[u8; 4]],
}

/// AS_PATH segment types (RFC 4271 §4.3 b, RFC 5065 §3).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
#[repr(u8)]
pub enum SegmentKind {
    /// AS_SET
    Set = 1,
    /// AS_SEQUENCE
    Sequence = 2,
    /// AS_CONFED_SEQUENCE
    ConfedSequence = 3,
    /// AS_CONFED_SET
    ConfedSet = 4,
}

impl SegmentKind {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Set),
            2 => Some(Self::Sequence),
            3 => Some(Self::ConfedSequence),
            4 => Some(Self::ConfedSet),
            _ => None,
        }
    }

    /// Whether the segment is local to a confederation.
    #[must_use]
    pub const fn is_confederation(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }
}

impl<'a> Segment<'a> {
    /// The AS numbers, the nearest first.
    pub fn asns(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone + use<'a> {
        self.asns.iter().copied().map(u32::from_be_bytes)
    }

    /// What the segment adds to the length of the path (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3).
    #[must_use]
    pub const fn hop_count(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

impl AsPath {
    /// A path of one AS_SEQUENCE, the nearest AS first. Without AS numbers, the empty path.
    pub fn sequence(asns: impl IntoIterator<Item = u32>) -> Self {
        Self::from_segments([(SegmentKind::Sequence, asns)])
    }

    /// A path of these segments. Those without AS numbers are left out, those with more than 255 become several.
    ///
    /// AS number 0 must not be in them: a peer would take the route as withdrawn.
    pub fn from_segments<A: IntoIterator<Item = u32>>(
        segments: impl IntoIterator<Item = (SegmentKind, A)>,
    ) -> Self {
        let mut wire = Vec::new();
        for (kind, asns) in segments {
            let asns: SmallVec<[u32; 16]> = asns.into_iter().collect();
            for part in asns.chunks(MAX_SEGMENT) {
                wire.put_u8(kind as u8);
                wire.put_u8(u8::try_from(part.len()).unwrap_or(u8::MAX));
                part.iter().for_each(|asn| wire.put_u32(*asn));
            }
        }
        Self { wire: wire.into() }
    }

    /// Whether the path has no segment: the route originates in our own AS.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// The segments, the nearest first.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        Segments { rest: &self.wire }
    }

    /// All AS numbers, whatever segment they are in, the nearest first.
    pub fn asns(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments().flat_map(|segment| segment.asns())
    }

    /// The length that route selection compares (RFC 4271 §9.1.2.2 a): a set counts as one, a confederation not at all.
    #[must_use]
    pub fn hop_count(&self) -> usize {
        self.segments().map(|segment| segment.hop_count()).sum()
    }

    /// Whether `asn` is anywhere in the path.
    #[must_use]
    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|member| member == asn)
    }

    /// How often `asn` is in the path.
    #[must_use]
    pub fn count(&self, asn: u32) -> usize {
        self.asns().filter(|member| *member == asn).count()
    }

    /// The neighbouring AS: the first of the path, confederation segments aside. `None` if the path is empty or begins
    /// with a set.
    #[must_use]
    pub fn first_asn(&self) -> Option<u32> {
        let first = self.segments().find(|segment| !segment.kind.is_confederation())?;
        (first.kind == SegmentKind::Sequence).then(|| first.asns().next())?
    }

    /// The AS the route originates in: the last of the path. `None` if the path is empty or ends with a set.
    #[must_use]
    pub fn origin_asn(&self) -> Option<u32> {
        let last = self.segments().last()?;
        (last.kind == SegmentKind::Sequence).then(|| last.asns().next_back())?
    }

    /// Whether any segment is a set. RFC 9774 deprecates them; whether to take such a route is the speaker's policy.
    #[must_use]
    pub fn has_set(&self) -> bool {
        self.segments().any(|segment| matches!(segment.kind, SegmentKind::Set | SegmentKind::ConfedSet))
    }

    /// Whether any segment is local to a confederation.
    #[must_use]
    pub fn has_confederation(&self) -> bool {
        self.segments().any(|segment| segment.kind.is_confederation())
    }

    /// The path without what is local to a confederation, as it leaves the confederation (RFC 5065 §4.1 c).
    #[must_use]
    pub fn without_confederation(&self) -> Self {
        if !self.has_confederation() {
            return self.clone();
        }
        let segments = self.segments().filter(|segment| !segment.kind.is_confederation());
        Self::from_segments(segments.map(|segment| (segment.kind, segment.asns())))
    }

    /// The path with `asn` put before it `times` times (RFC 4271 §5.1.2).
    #[must_use]
    pub fn prepend(&self, asn: u32, times: usize) -> Self {
        let mut rest = Segments { rest: &self.wire };
        let mut sequence: SmallVec<[u32; 16]> = std::iter::repeat_n(asn, times).collect();
        let whole = rest.rest;
        match rest.next() {
            Some(first) if first.kind == SegmentKind::Sequence => sequence.extend(first.asns()),
            _ => rest.rest = whole,
        }
        let Self { wire } = Self::sequence(sequence);
        Self { wire: [&wire, rest.rest].concat().into() }
    }

    /// The value for a peer with four-octet AS numbers.
    pub(crate) const fn as_octets(&self) -> &[u8] {
        &self.wire
    }
}

impl fmt::Display for AsPath {
    /// As FRR prints it: `65001 65002 {65003,65004}`, confederations as `(…)` and `[…]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments().enumerate() {
            let (open, separator, close) = brackets(segment.kind);
            f.write_str(if position == 0 { "" } else { " " })?;
            f.write_str(open)?;
            for (position, asn) in segment.asns().enumerate() {
                f.write_str(if position == 0 { "" } else { separator })?;
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsPath({self})")
    }
}

impl FromStr for AsPath {
    type Err = ParseAttributeError;

    /// What `Display` prints. Neighbouring AS_SEQUENCE segments become one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseAttributeError::AsPath(text.to_owned());
        let asn = |digits: &str| decimal::<u32>(digits).filter(|asn| *asn != 0).ok_or_else(wrong);
        let mut segments: Vec<(SegmentKind, Vec<u32>)> = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let (token, kind) = match first {
                '{' => (rest.split_inclusive('}').next(), SegmentKind::Set),
                '(' => (rest.split_inclusive(')').next(), SegmentKind::ConfedSequence),
                '[' => (rest.split_inclusive(']').next(), SegmentKind::ConfedSet),
                _ => (rest.split([' ', '{', '(', '[']).next(), SegmentKind::Sequence),
            };
            let token = token.ok_or_else(wrong)?;
            rest = rest.get(token.len()..).ok_or_else(wrong)?.trim_start();
            let (open, separator, close) = brackets(kind);
            let inner =
                token.strip_prefix(open).and_then(|inner| inner.strip_suffix(close)).ok_or_else(wrong)?;
            let asns = inner.split(separator).map(asn).collect::<Result<Vec<_>, _>>()?;
            match segments.last_mut() {
                Some((SegmentKind::Sequence, last)) if kind == SegmentKind::Sequence => last.extend(asns),
                _ => segments.push((kind, asns)),
            }
        }
        Ok(Self::from_segments(segments))
    }
}

/// Walks the octets of a path. They were checked when the path was made; octets that are no segment end the walk.
#[derive(Clone)]
struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let ([kind, count], rest) = self.rest.split_first_chunk()?;
        let (asns, rest) = rest.split_at_checked(usize::from(*count) * 4)?;
        self.rest = rest;
        Some(Segment { kind: SegmentKind::from_code(*kind)?, asns: asns.as_chunks().0 })
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let path = read(reader.value, reader.context.four_octet_as)?;
    if reader.context.peer == PeerKind::External && path.has_confederation() {
        return Err(AttributeFault::ConfederationSegment);
    }
    reader.attributes.as_path = path;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, out: &mut AttributeWriter<'_>) {
    let path = &attributes.as_path;
    if context.four_octet_as {
        return out.write(false, path.as_octets());
    }
    out.header(false, path.segments().map(|segment| 2 + segment.asns.len() * 2).sum());
    for segment in path.segments() {
        out.out.put_u8(segment.kind as u8);
        out.out.put_u8(u8::try_from(segment.asns.len()).unwrap_or(u8::MAX));
        segment.asns().for_each(|asn| out.out.put_u16(two_octet(asn)));
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    Some(attributes.as_path.to_string())
}

/// Reads segments that fill the value (RFC 7606 §7.2).
pub(super) fn read(mut value: Cursor<'_>, four_octet: bool) -> Result<AsPath, AttributeFault> {
    let whole = value.rest();
    let mut wire = Vec::new();
    if !four_octet {
        wire.reserve_exact(whole.len() * 2);
    }
    while !value.is_empty() {
        let bounds = |_: Truncated| AttributeFault::SegmentBounds;
        let (code, count) = (value.u8().map_err(bounds)?, value.u8().map_err(bounds)?);
        let kind = SegmentKind::from_code(code).ok_or(AttributeFault::SegmentType(code))?;
        if count == 0 {
            return Err(AttributeFault::EmptySegment);
        }
        let width = if four_octet { 4 } else { 2 };
        let asns = value.take(usize::from(count) * width).map_err(bounds)?;
        let zero = if four_octet {
            asns.as_chunks().0.contains(&[0; 4])
        } else {
            wire.put_slice(&[kind as u8, count]);
            let asns = asns.as_chunks().0;
            asns.iter().for_each(|asn| wire.put_u32(u16::from_be_bytes(*asn).into()));
            asns.contains(&[0; 2])
        };
        if zero {
            return Err(AttributeFault::AsZero);
        }
    }
    // Four-octet segments are kept as they came.
    Ok(AsPath { wire: if four_octet { whole.into() } else { wire.into() } })
}

/// The AS number as two-octet peers see it.
pub(crate) fn two_octet(asn: u32) -> u16 {
    const TRANS: u16 = 23456;
    u16::try_from(asn).unwrap_or(TRANS)
}

const fn brackets(kind: SegmentKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        SegmentKind::Sequence => ("", " ", ""),
        SegmentKind::Set => ("{", ",", "}"),
        SegmentKind::ConfedSequence => ("(", " ", ")"),
        SegmentKind::ConfedSet => ("[", ",", "]"),
    }
}

/// AS numbers in a segment at most: the count has one octet.
const MAX_SEGMENT: usize = 255;

/// AS numbers of both sizes, not 0.
#[cfg(test)]
pub(super) fn arbitrary_asn() -> proptest::strategy::BoxedStrategy<u32> {
    use proptest::prelude::*;
    prop_oneof![1..=0xffff_u32, Just(AS_TRANS), 0x1_0000..=u32::MAX].boxed()
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    let segment = (
        prop_oneof![4 => Just(SegmentKind::Sequence), 1 => Just(SegmentKind::Set)],
        proptest::collection::vec(arbitrary_asn(), 1..300),
    );
    (base, proptest::collection::vec(segment, 0..3))
        .prop_map(|(attributes, segments)| PathAttributes {
            as_path: AsPath::from_segments(segments),
            ..attributes
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AsPath {
        text.parse().unwrap()
    }

    #[test]
    fn text_both_ways() {
        for text in ["", "65001", "65001 4200000000 {65003,65004}", "(65001 65002) 65003", "[1,2] {3} 4 5"] {
            assert_eq!(path(text).to_string(), text);
        }
        for text in ["0", "65001 x", "{1", "1}", "{}", "4294967296", "1,2", "{1 2}", "()"] {
            assert!(text.parse::<AsPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_route_selection_asks() {
        let all = path("(64512 64513) 65001 65002 65001 {1,2,3}");
        assert_eq!(all.hop_count(), 4);
        assert_eq!((all.first_asn(), all.origin_asn()), (Some(65001), None));
        assert_eq!((all.count(65001), all.contains(64513), all.contains(4)), (2, true, false));
        assert_eq!(path("{7} 8").first_asn(), None);
        assert_eq!(path("7 8").origin_asn(), Some(8));
        assert_eq!((AsPath::default().first_asn(), AsPath::default().hop_count()), (None, 0));
    }

    #[test]
    fn prepending_fills_the_first_sequence_and_opens_another() {
        assert_eq!(AsPath::default().prepend(65001, 2).to_string(), "65001 65001");
        assert_eq!(path("65002 {1}").prepend(65001, 1).to_string(), "65001 65002 {1}");
        assert_eq!(path("{1} 2").prepend(65001, 1).to_string(), "65001 {1} 2");
        assert_eq!(path("2").prepend(1, 0), path("2"));
        let full = AsPath::sequence(1..=255).prepend(9, 1);
        assert_eq!(full.hop_count(), 256);
        assert_eq!(full.segments().map(|segment| segment.asns().len()).collect::<Vec<_>>(), [255, 1]);
        assert_eq!(full.first_asn(), Some(9));
    }

    #[test]
    fn malformed_segments() {
        let fault = |octets: &[u8], four| read(Cursor::new(octets, 0), four).unwrap_err();
        assert_eq!(fault(&[5, 1, 0, 0, 0, 1], true), AttributeFault::SegmentType(5));
        assert_eq!(fault(&[2, 0], true), AttributeFault::EmptySegment);
        assert_eq!(fault(&[2, 2, 0, 0, 0, 1], true), AttributeFault::SegmentBounds);
        assert_eq!(fault(&[2, 1, 0, 0, 0, 1, 2], true), AttributeFault::SegmentBounds);
        assert_eq!(fault(&[2, 2, 0, 0, 0, 1, 0, 0, 0, 0], true), AttributeFault::AsZero);
        assert_eq!(fault(&[2, 1, 0, 0], false), AttributeFault::AsZero);
        assert_eq!(read(Cursor::new(&[2, 1, 0, 7], 0), false), Ok(path("7")));
        assert_eq!(read(Cursor::new(&[], 0), true), Ok(AsPath::default()));
    }
}
