//! What a row of the attribute table consists of, and what its functions read from and write to.
//!
//! Invariant: an attribute's code never handles flags or lengths of the attribute header itself. Both are checked
//! before its `decode` runs and written by [`AttributeWriter`], for all attributes alike.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use super::PathAttributes;
use super::aggregator::Aggregator;
use super::as_path::AsPath;
use super::next_hop::NextHop;
use crate::context::{DecodeContext, EncodeContext, PeerKind};
use crate::cursor::Cursor;
use crate::error::{AttributeFault, Disposition};
use crate::nlri::Prefixes;

/// Attribute Flags (RFC 4271 §4.3).
pub(crate) mod flag {
    pub(crate) const OPTIONAL: u8 = 0x80;
    pub(crate) const TRANSITIVE: u8 = 0x40;
    pub(crate) const PARTIAL: u8 = 0x20;
    pub(crate) const EXTENDED_LENGTH: u8 = 0x10;
}

/// Category of an attribute (RFC 4271 §5).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Class {
    /// In every UPDATE that announces prefixes.
    Mandatory,
    /// Known to everybody, sent where it applies.
    Discretionary,
    /// Passed on even by those who do not know it.
    OptionalTransitive,
    /// Dropped by those who do not know it.
    OptionalNonTransitive,
}

impl Class {
    /// The Optional and Transitive bits of this class.
    #[must_use]
    pub const fn flags(self) -> u8 {
        match self {
            Self::Mandatory | Self::Discretionary => flag::TRANSITIVE,
            Self::OptionalTransitive => flag::OPTIONAL | flag::TRANSITIVE,
            Self::OptionalNonTransitive => flag::OPTIONAL,
        }
    }
}

/// From whom an attribute is taken (RFC 7606 §7.5, §7.9, §7.10).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Sender {
    /// Any peer.
    Anyone,
    /// Internal peers; from external ones the attribute is discarded.
    Internal,
}

impl Sender {
    /// Whether the attribute is taken from this kind of peer.
    #[must_use]
    pub const fn allows(self, peer: PeerKind) -> bool {
        matches!((self, peer), (Self::Anyone, _) | (Self::Internal, PeerKind::Internal))
    }
}

/// One path attribute: everything the codec knows about it.
pub struct Row {
    /// Attribute type code.
    pub code: u8,
    /// The RFC's name.
    pub name: &'static str,
    /// Category, and with it the flags.
    pub class: Class,
    /// What a malformed value costs.
    pub malformed: Disposition,
    /// From whom it is taken.
    pub sender: Sender,
    pub(crate) decode: fn(&mut AttributeReader<'_, '_>) -> Verdict,
    /// Writes the attribute if it is there. Does nothing for what depends on the message rather than on the attribute
    /// set (next hop and NLRI): [`crate::UpdateWriter`] writes those.
    pub(crate) encode: fn(&PathAttributes, &EncodeContext, &mut AttributeWriter<'_>),
    pub(crate) show: fn(&PathAttributes) -> Option<String>,
    /// Gives arbitrary attributes an arbitrary value of this one, for the round-trip tests.
    #[cfg(test)]
    pub(crate) arbitrary: fn(Base) -> Base,
}

impl Row {
    /// What `fault` costs in this attribute.
    pub(crate) const fn disposition(&self, fault: &AttributeFault) -> Disposition {
        match fault {
            // The RFCs that name these say so for whatever attribute it is.
            AttributeFault::Duplicate
            | AttributeFault::FromExternalPeer
            | AttributeFault::FromFourOctetPeer
            | AttributeFault::FamilyNotNegotiated(_) => Disposition::Discard,
            // The prefixes behind a bad next hop or bad flags could be read, so they can be withdrawn (RFC 7606 §3 c, j).
            AttributeFault::NotAHost(_) | AttributeFault::Missing | AttributeFault::Flags { .. } => {
                Disposition::TreatAsWithdraw
            }
            AttributeFault::UnrecognizedWellKnown => Disposition::SessionReset,
            _ => self.malformed,
        }
    }
}

/// What became of one attribute's value.
pub(crate) type Verdict = Result<(), AttributeFault>;

/// The value of one attribute, and where what it says goes.
pub(crate) struct AttributeReader<'r, 'a> {
    /// The Attribute Value, and nothing beyond it.
    pub(crate) value: Cursor<'a>,
    pub(crate) flags: u8,
    pub(crate) context: &'r DecodeContext,
    pub(crate) attributes: &'r mut PathAttributes,
    pub(crate) carried: &'r mut Carried<'a>,
}

impl AttributeReader<'_, '_> {
    /// Whether a speaker that did not know the attribute passed it on.
    pub(crate) const fn is_partial(&self) -> bool {
        self.flags & flag::PARTIAL != 0
    }

    /// The value as exactly `N` octets.
    pub(crate) fn exactly<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<[u8; N], AttributeFault> {
        self.value
            .rest()
            .try_into()
            .map_err(|_other_length| AttributeFault::Length { found: self.value.remaining(), expected })
    }
}

/// What attributes carry that is no attribute of the routes.
#[derive(Default)]
pub(crate) struct Carried<'a> {
    /// NEXT_HOP, and the octet of the message it is at.
    pub(crate) next_hop: Option<(Ipv4Addr, usize)>,
    /// AS4_PATH, until it is merged into the AS path.
    pub(crate) as4_path: Option<AsPath>,
    /// AS4_AGGREGATOR, until it takes the place of the aggregator.
    pub(crate) as4_aggregator: Option<Aggregator>,
    /// MP_REACH_NLRI, unless its family was not negotiated. Without a next hop if that is no host address.
    pub(crate) reach: Option<(Option<NextHop>, Prefixes<'a>)>,
    /// MP_UNREACH_NLRI, unless its family was not negotiated.
    pub(crate) unreach: Option<Prefixes<'a>>,
}

/// Writes one attribute with its header.
pub(crate) struct AttributeWriter<'o> {
    pub(crate) out: &'o mut BytesMut,
    pub(crate) code: u8,
    pub(crate) flags: u8,
}

impl AttributeWriter<'_> {
    /// Writes the attribute with this value.
    pub(crate) fn write(&mut self, partial: bool, value: &[u8]) {
        self.header(partial, value.len());
        self.out.put_slice(value);
    }

    /// Writes the attribute with the items' octets as value.
    pub(crate) fn write_set<T, const N: usize>(
        &mut self,
        partial: bool,
        items: &[T],
        octets: impl Fn(&T) -> [u8; N],
    ) {
        self.header(partial, items.len() * N);
        for item in items {
            self.out.put_slice(&octets(item));
        }
    }

    /// Writes the header for a value of `len` octets, which the caller writes next.
    ///
    /// A length beyond 65,535 is written as 65,535. No message has room for such an attribute, and
    /// [`crate::UpdateWriter`] refuses it before anything is sent.
    pub(crate) fn header(&mut self, partial: bool, len: usize) {
        let partial = if partial { flag::PARTIAL } else { 0 };
        match u8::try_from(len) {
            Ok(len) => self.out.put_slice(&[self.flags | partial, self.code, len]),
            Err(_) => {
                let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
                let flags = self.flags | partial | flag::EXTENDED_LENGTH;
                self.out.put_slice(&[flags, self.code, high, low]);
            }
        }
    }
}

#[cfg(test)]
pub(crate) type Base = proptest::strategy::BoxedStrategy<PathAttributes>;
