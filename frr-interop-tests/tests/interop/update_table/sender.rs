//! Who sends a row's UPDATE, and the good UPDATE that the row spoils.

use std::net::{Ipv4Addr, Ipv6Addr};

use frr_interop_tests::attribute;

use super::Nlri;
use crate::daemons::RUTTER;

/// Kinds of senders: external or internal, with 4-octet AS numbers or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    External,
    External2,
    Internal,
    Internal2,
}

impl Kind {
    pub(super) const fn is_internal(self) -> bool {
        matches!(self, Self::Internal | Self::Internal2)
    }

    pub(super) const fn has_four_octets(self) -> bool {
        matches!(self, Self::External | Self::Internal)
    }

    pub(super) const fn asn(self) -> u32 {
        match self {
            Self::External => 4_200_000_001,
            Self::External2 => 65_002,
            Self::Internal | Self::Internal2 => RUTTER,
        }
    }
}

/// One sender with prefixes of its own.
pub(super) struct Sender {
    pub(super) kind: Kind,
    pub(super) nlri: Nlri,
    /// Its number among the senders of one bench, below 40,000.
    pub(super) number: u16,
}

/// A community on the old route and on no new one.
pub(super) const OLD: [u8; 4] = [0xfd, 0xe9, 0, 1];

impl Sender {
    fn octets(&self) -> [u8; 2] {
        [(self.number / 200) as u8, (self.number % 200) as u8 + 1]
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        let [high, low] = self.octets();
        [10, 9, high, low].into()
    }

    pub(super) fn address_v6(&self) -> Ipv6Addr {
        [0xfd00, 9, 0, 0, 0, 0, 0, self.number + 1].into()
    }

    /// The row's prefix as octets of NLRI.
    pub(super) fn prefix(&self) -> Vec<u8> {
        self.numbered_prefix(20)
    }

    /// A prefix that only some rows use.
    pub(super) fn other(&self) -> Vec<u8> {
        self.numbered_prefix(21)
    }

    fn numbered_prefix(&self, first: u8) -> Vec<u8> {
        let [high, low] = self.octets();
        match self.nlri {
            Nlri::V4 => vec![24, first, high, low],
            Nlri::V6 => vec![48, 0x20, first, high, low, 0, 0],
        }
    }

    /// An IPv4 prefix that is announced last, to see that everything before was read.
    pub(super) fn sentinel(&self) -> Vec<u8> {
        let [high, low] = self.octets();
        vec![24, 22, high, low]
    }

    /// AS_PATH of these AS numbers in one AS_SEQUENCE.
    pub(super) fn path(&self, asns: &[u32]) -> Vec<u8> {
        self.segments(&[(2, asns)])
    }

    /// AS_PATH of these segments.
    pub(super) fn segments(&self, segments: &[(u8, &[u32])]) -> Vec<u8> {
        let mut value = Vec::new();
        for (kind, asns) in segments {
            value.extend([*kind, asns.len() as u8]);
            asns.iter().for_each(|asn| value.extend(self.asn(*asn)));
        }
        attribute(0x40, 2, &value)
    }

    /// An AS number as it stands in this sender's AS_PATH.
    pub(super) fn asn(&self, asn: u32) -> Vec<u8> {
        match u16::try_from(asn) {
            _ if self.kind.has_four_octets() => asn.to_be_bytes().to_vec(),
            Ok(short) => short.to_be_bytes().to_vec(),
            Err(_) => vec![0x5b, 0xa0],
        }
    }

    /// The AS_PATH of good routes.
    pub(super) fn good_path(&self) -> Vec<u8> {
        if self.kind.is_internal() { self.path(&[64_999]) } else { self.path(&[self.kind.asn(), 64_999]) }
    }

    pub(super) fn next_hop(&self) -> Vec<u8> {
        attribute(0x40, 3, &self.address().octets())
    }

    /// MP_REACH_NLRI with this next hop and these prefixes.
    pub(super) fn reach(&self, next_hop: &[u8], prefixes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(next_hop.len()).unwrap_or(u8::MAX);
        attribute(0x80, 14, &[&[0, 2, 1, length], next_hop, &[0], prefixes].concat())
    }

    /// The MP_REACH_NLRI of good routes, with these prefixes.
    pub(super) fn reach_for(&self, prefixes: &[u8]) -> Vec<u8> {
        self.reach(&self.address_v6().octets(), prefixes)
    }

    /// MP_UNREACH_NLRI of IPv6 unicast.
    pub(super) fn unreach(&self, prefixes: &[u8]) -> Vec<u8> {
        attribute(0x80, 15, &[&[0, 2, 1], prefixes].concat())
    }

    /// The good attributes: MP_REACH_NLRI first (RFC 7606 §5.1), the others in order.
    pub(super) fn attributes(&self) -> Vec<Vec<u8>> {
        let mut attributes = vec![attribute(0x40, 1, &[0]), self.good_path()];
        match self.nlri {
            Nlri::V4 => attributes.push(self.next_hop()),
            Nlri::V6 => attributes.insert(0, self.reach_for(&self.prefix())),
        }
        if self.kind.is_internal() {
            attributes.push(attribute(0x40, 5, &[0, 0, 0, 200]));
        }
        attributes
    }

    /// What belongs into the NLRI field.
    pub(super) fn field(&self) -> Vec<u8> {
        match self.nlri {
            Nlri::V4 => self.prefix(),
            Nlri::V6 => Vec::new(),
        }
    }

    /// The good UPDATE.
    pub(super) fn good(&self) -> Vec<u8> {
        self.with_attributes(&self.attributes())
    }

    /// The UPDATE that comes first: the good one with a community.
    pub(super) fn old(&self) -> Vec<u8> {
        self.also(&attribute(0xc0, 8, &OLD))
    }

    /// The good UPDATE with these attributes.
    pub(super) fn with_attributes(&self, attributes: &[Vec<u8>]) -> Vec<u8> {
        body(&[], &attributes.concat(), &self.field())
    }

    /// The good UPDATE with this attribute in the place of the one with its code, or behind all.
    pub(super) fn set(&self, bytes: &[u8]) -> Vec<u8> {
        let mut attributes = self.attributes();
        match attributes.iter_mut().find(|attribute| attribute[1] == bytes[1]) {
            Some(old) => *old = bytes.to_vec(),
            None => attributes.push(bytes.to_vec()),
        }
        self.with_attributes(&attributes)
    }

    /// The good UPDATE with more octets behind its attributes.
    pub(super) fn also(&self, bytes: &[u8]) -> Vec<u8> {
        let mut attributes = self.attributes();
        attributes.push(bytes.to_vec());
        self.with_attributes(&attributes)
    }

    /// The good UPDATE without the attributes with these codes.
    pub(super) fn without(&self, codes: &[u8]) -> Vec<u8> {
        let mut attributes = self.attributes();
        attributes.retain(|attribute| !codes.contains(&attribute[1]));
        self.with_attributes(&attributes)
    }

    /// The good UPDATE with other flags on one of its attributes.
    pub(super) fn flags(&self, code: u8, flags: u8) -> Vec<u8> {
        let mut attributes = self.attributes();
        for attribute in attributes.iter_mut().filter(|attribute| attribute[1] == code) {
            attribute[0] = flags;
        }
        self.with_attributes(&attributes)
    }

    /// The UPDATE of the sentinel.
    pub(super) fn last(&self) -> Vec<u8> {
        let v4 = Self { nlri: Nlri::V4, ..*self };
        body(&[], &v4.attributes().concat(), &self.sentinel())
    }
}

/// The body of an UPDATE.
pub(super) fn body(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |field: &[u8]| u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length(withdrawn)[..], withdrawn, &length(attributes), attributes, nlri].concat()
}
