//! EXTENDED COMMUNITIES (RFC 4360, RFC 5668 for four-octet AS numbers): eight octets, of which the first one or two say
//! what the rest means.
//!
//! Kept as octets: a type the codec has no words for is carried and shown like any other.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::community::{decimal, read_set};
use super::row::{AttributeReader, AttributeWriter, Verdict};
use super::{ParseAttributeError, PathAttributes};
use crate::context::EncodeContext;

/// An extended community.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// Whether it may leave the AS it was set in (RFC 4360 §2, bit T).
    #[must_use]
    pub const fn is_transitive(&self) -> bool {
        let [kind, ..] = self.0;
        kind & NON_TRANSITIVE == 0
    }

    /// A two-octet AS, four-octet AS or IPv4 address specific community, whichever `administrator` fits.
    fn specific(subtype: u8, administrator: &str, local: &str) -> Option<Self> {
        if let Some(asn) = decimal::<u16>(administrator) {
            let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), decimal::<u32>(local)?.to_be_bytes());
            return Some(Self([TWO_OCTET_AS, subtype, a, b, c, d, e, f]));
        }
        let ([e, f], kind, value) = match decimal::<u32>(administrator) {
            Some(asn) => (decimal::<u16>(local)?.to_be_bytes(), FOUR_OCTET_AS, asn),
            None => {
                let address: Ipv4Addr = administrator.parse().ok()?;
                (decimal::<u16>(local)?.to_be_bytes(), IPV4_ADDRESS, address.to_bits())
            }
        };
        let [a, b, c, d] = value.to_be_bytes();
        Some(Self([kind, subtype, a, b, c, d, e, f]))
    }
}

impl fmt::Display for ExtendedCommunity {
    /// `RT:65001:100`, `SoO:192.0.2.1:100`; 16 hexadecimal digits for any other type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        let Some((_, name)) = SUBTYPES.iter().find(|(code, _)| *code == subtype) else {
            return write!(f, "0x{:016x}", u64::from_be_bytes(self.0));
        };
        let local = u16::from_be_bytes([e, g]);
        match kind {
            TWO_OCTET_AS => {
                write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))
            }
            // A four-octet number small enough for two would read back as another community.
            FOUR_OCTET_AS if [a, b] != [0, 0] => {
                write!(f, "{name}:{}:{local}", u32::from_be_bytes([a, b, c, d]))
            }
            IPV4_ADDRESS => write!(f, "{name}:{}:{local}", Ipv4Addr::new(a, b, c, d)),
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseAttributeError;

    /// What `Display` prints; the names in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            if let Some(digits) = text.strip_prefix("0x") {
                let plain = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                return plain
                    .then(|| u64::from_str_radix(digits, 16).ok())
                    .flatten()
                    .map(|value| Self(value.to_be_bytes()));
            }
            let mut parts = text.split(':');
            let (name, administrator, local) = (parts.next()?, parts.next()?, parts.next()?);
            let (subtype, _) = SUBTYPES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name))?;
            parts.next().is_none().then(|| Self::specific(*subtype, administrator, local))?
        };
        parse().ok_or_else(|| ParseAttributeError::ExtendedCommunity(text.to_owned()))
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let set = read_set(reader.value.rest(), "a non-zero multiple of 8", ExtendedCommunity)?;
    reader.attributes.partial.extended_communities = reader.is_partial();
    reader.attributes.extended_communities = set;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if !attributes.extended_communities.is_empty() {
        let partial = attributes.partial.extended_communities;
        out.write_set(partial, &attributes.extended_communities, |community| community.0);
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    (!attributes.extended_communities.is_empty()).then(|| attributes.extended_communities.to_string())
}

const TWO_OCTET_AS: u8 = 0x00;
const IPV4_ADDRESS: u8 = 0x01;
const FOUR_OCTET_AS: u8 = 0x02;
const NON_TRANSITIVE: u8 = 0x40;

/// Subtypes that mean the same in all three AS and address specific types.
const SUBTYPES: &[(u8, &str)] = &[(0x02, "RT"), (0x03, "SoO")];

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    let community = any::<[u8; 8]>().prop_map(ExtendedCommunity);
    (base, proptest::collection::vec(community, 0..40), any::<bool>())
        .prop_map(|(mut attributes, communities, partial)| {
            attributes.partial.extended_communities = partial && !communities.is_empty();
            attributes.extended_communities = communities.into_iter().collect();
            attributes
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_both_ways() {
        for (text, octets) in [
            ("RT:65001:100", [0, 2, 0xfd, 0xe9, 0, 0, 0, 100]),
            ("SoO:192.0.2.1:7", [1, 3, 192, 0, 2, 1, 0, 7]),
            ("RT:70000:1", [2, 2, 0, 1, 0x11, 0x70, 0, 1]),
            ("0x4004fde949cb12c0", [0x40, 4, 0xfd, 0xe9, 0x49, 0xcb, 0x12, 0xc0]),
        ] {
            assert_eq!(text.parse(), Ok(ExtendedCommunity(octets)), "{text}");
            assert_eq!(ExtendedCommunity(octets).to_string(), text);
        }
        for text in [
            "",
            "RT",
            "RT:1",
            "RT:1:2:3",
            "XX:1:2",
            "RT:70000:65536",
            "RT:1.2.3:4",
            "0x12",
            "0x+00fde949cb12c0",
        ] {
            assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_shown_reads_back(octets: [u8; 8], kind in 0u8..4, subtype in 0u8..4) {
            let mut octets = octets;
            octets[..2].copy_from_slice(&[kind, subtype]);
            let community = ExtendedCommunity(octets);
            prop_assert_eq!(community.to_string().parse(), Ok(community));
        }
    }
}
