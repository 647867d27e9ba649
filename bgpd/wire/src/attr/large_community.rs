//! LARGE_COMMUNITY (RFC 8092): communities of three times four octets.

use std::fmt;
use std::str::FromStr;

use super::community::{decimal, read_set};
use super::row::{AttributeReader, AttributeWriter, Verdict};
use super::{ParseAttributeError, PathAttributes};
use crate::context::EncodeContext;

/// A large community.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct LargeCommunity {
    /// Global Administrator, by custom an AS number.
    pub global: u32,
    /// Local Data Part 1.
    pub local1: u32,
    /// Local Data Part 2.
    pub local2: u32,
}

impl LargeCommunity {
    /// A large community from its three parts.
    #[must_use]
    pub const fn new(global: u32, local1: u32, local2: u32) -> Self {
        Self { global, local1, local2 }
    }

    const fn from_octets(octets: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = octets;
        Self {
            global: u32::from_be_bytes([a, b, c, d]),
            local1: u32::from_be_bytes([e, f, g, h]),
            local2: u32::from_be_bytes([i, j, k, l]),
        }
    }

    fn octets(&self) -> [u8; 12] {
        let value = u128::from(self.global) << 64 | u128::from(self.local1) << 32 | u128::from(self.local2);
        let [_, _, _, _, octets @ ..] = value.to_be_bytes();
        octets
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseAttributeError;

    /// `65001:1:2`, the canonical form of RFC 8092 §4.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':').map(decimal);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(global)), Some(Some(local1)), Some(Some(local2)), None) => {
                Ok(Self { global, local1, local2 })
            }
            _ => Err(ParseAttributeError::LargeCommunity(text.to_owned())),
        }
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let set = read_set(reader.value.rest(), "a non-zero multiple of 12", LargeCommunity::from_octets)?;
    reader.attributes.partial.large_communities = reader.is_partial();
    reader.attributes.large_communities = set;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if !attributes.large_communities.is_empty() {
        let partial = attributes.partial.large_communities;
        out.write_set(partial, &attributes.large_communities, LargeCommunity::octets);
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    (!attributes.large_communities.is_empty()).then(|| attributes.large_communities.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    let community = any::<(u32, u32, u32)>().prop_map(|(a, b, c)| LargeCommunity::new(a, b, c));
    (base, proptest::collection::vec(community, 0..30), any::<bool>())
        .prop_map(|(mut attributes, communities, partial)| {
            attributes.partial.large_communities = partial && !communities.is_empty();
            attributes.large_communities = communities.into_iter().collect();
            attributes
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        let community = LargeCommunity::new(4_294_967_295, 0, 65001);
        assert_eq!("4294967295:0:65001".parse(), Ok(community));
        assert_eq!(community.to_string(), "4294967295:0:65001");
        for text in ["", "1:2", "1:2:3:4", "1:2:", "a:1:2", "4294967296:1:1", "1: 2:3"] {
            assert!(text.parse::<LargeCommunity>().is_err(), "{text}");
        }
    }
}
