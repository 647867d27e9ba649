//! COMMUNITIES (RFC 1997), and the canonical set all three kinds of communities are kept in.
//!
//! Invariant: a [`CommunitySet`] is sorted and free of duplicates. RFC 1997 and RFC 4360 call the attribute a set,
//! RFC 8092 §5 wants duplicates removed; the canonical order makes equal sets equal octets, so they are interned once and
//! leave in one UPDATE.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::ParseAttributeError;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::{PathAttributes, error::AttributeFault};

/// A community: four octets, by custom an AS number and a value.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Community(pub u32);

impl Community {
    /// Do not send to external peers (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// Do not send to any peer (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// Do not send to external peers, nor to other members of a confederation (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// Do not send to bilateral peers (RFC 3765).
    pub const NO_PEER: Self = Self(0xffff_ff04);
    /// Prefer any other path, this one is about to go (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// Long-lived stale route (RFC 9494).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// Do not keep as long-lived stale (RFC 9494).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// Discard traffic to this prefix (RFC 7999).
    pub const BLACKHOLE: Self = Self(0xffff_029a);

    /// A community from its two customary halves.
    #[must_use]
    pub const fn new(asn: u16, value: u16) -> Self {
        Self((asn as u32) << 16 | value as u32)
    }
}

impl fmt::Display for Community {
    /// The well-known name as FRR prints it, else `65001:100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(community, _)| community == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = ParseAttributeError;

    /// `65001:100`, a plain number, or a well-known name of FRR's or IANA's, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = WELL_KNOWN.iter().chain(ALIASES).find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((community, _)) = known {
            return Ok(*community);
        }
        let wrong = || ParseAttributeError::Community(text.to_owned());
        match text.split_once(':') {
            Some((asn, value)) => {
                Ok(Self::new(decimal(asn).ok_or_else(wrong)?, decimal(value).ok_or_else(wrong)?))
            }
            None => decimal(text).map(Self).ok_or_else(wrong),
        }
    }
}

/// A sorted set of communities of one kind.
#[derive(Clone, Eq, PartialEq, Hash)]
pub struct CommunitySet<T>(Box<[T]>);

impl<T: Copy + Ord> CommunitySet<T> {
    /// Whether `community` is in the set.
    #[must_use]
    pub fn contains(&self, community: &T) -> bool {
        self.0.binary_search(community).is_ok()
    }

    /// The set with `added` as well.
    #[must_use]
    pub fn with(&self, added: impl IntoIterator<Item = T>) -> Self {
        self.iter().copied().chain(added).collect()
    }

    /// The set without those `removed` says yes to.
    #[must_use]
    pub fn without(&self, mut removed: impl FnMut(&T) -> bool) -> Self {
        Self(self.iter().filter(|community| !removed(community)).copied().collect())
    }
}

impl<T: Copy + Ord> FromIterator<T> for CommunitySet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(communities: I) -> Self {
        let mut list: Vec<T> = communities.into_iter().collect();
        // Most senders sort already; looking costs less than sorting.
        if !list.is_sorted_by(|a, b| a < b) {
            list.sort_unstable();
            list.dedup();
        }
        Self(list.into_boxed_slice())
    }
}

impl<T> Default for CommunitySet<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Deref for CommunitySet<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for CommunitySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for CommunitySet<T> {
    /// Separated by spaces, as FRR prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, community) in self.0.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{community}")?;
        }
        Ok(())
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let partial = reader.is_partial();
    let attributes = &mut *reader.attributes;
    attributes.communities = read_set(reader.value.rest(), "a non-zero multiple of 4", |octets| {
        Community(u32::from_be_bytes(octets))
    })?;
    attributes.partial.communities = partial;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if !attributes.communities.is_empty() {
        out.write_set(attributes.partial.communities, &attributes.communities, |community| {
            community.0.to_be_bytes()
        });
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    (!attributes.communities.is_empty()).then(|| attributes.communities.to_string())
}

/// Reads a set of `N`-octet communities that fill `octets` and are at least one (RFC 7606 §7.8, §7.14).
pub(super) fn read_set<T: Copy + Ord, const N: usize>(
    octets: &[u8],
    expected: &'static str,
    community: impl Fn([u8; N]) -> T,
) -> Result<CommunitySet<T>, AttributeFault> {
    match octets.as_chunks() {
        (chunks, []) if !chunks.is_empty() => Ok(chunks.iter().copied().map(community).collect()),
        _ => Err(AttributeFault::Length { found: octets.len(), expected }),
    }
}

/// A number in plain decimal digits. `FromStr` alone would also take a sign.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

const WELL_KNOWN: &[(Community, &str)] = &[
    (Community(0), "internet"),
    (Community::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
    (Community(0xffff_0001), "accept-own"),
    (Community(0xffff_0002), "route-filter-translated-v4"),
    (Community(0xffff_0003), "route-filter-v4"),
    (Community(0xffff_0004), "route-filter-translated-v6"),
    (Community(0xffff_0005), "route-filter-v6"),
    (Community::LLGR_STALE, "llgr-stale"),
    (Community::NO_LLGR, "no-llgr"),
    (Community(0xffff_0008), "accept-own-nexthop"),
    (Community::BLACKHOLE, "blackhole"),
    (Community::NO_EXPORT, "no-export"),
    (Community::NO_ADVERTISE, "no-advertise"),
    (Community::NO_EXPORT_SUBCONFED, "local-AS"),
    (Community::NO_PEER, "no-peer"),
];

const ALIASES: &[(Community, &str)] = &[
    (Community::GRACEFUL_SHUTDOWN, "planned-shut"),
    (Community::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
];

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    let communities = proptest::collection::vec(any::<u32>().prop_map(Community), 0..40);
    (base, communities, any::<bool>())
        .prop_map(|(mut attributes, communities, partial)| {
            attributes.partial.communities = partial && !communities.is_empty();
            attributes.communities = communities.into_iter().collect();
            attributes
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        for (text, value) in [
            ("65001:100", 0xfde9_0064),
            ("no-export", 0xffff_ff01),
            ("NO-Export-Subconfed", 0xffff_ff03),
            ("local-as", 0xffff_ff03),
            ("4294967295", u32::MAX),
            ("0", 0),
            ("65535:666", 0xffff_029a),
        ] {
            assert_eq!(text.parse(), Ok(Community(value)), "{text}");
        }
        for text in
            ["", ":", "1:", ":1", "65536:1", "1:65536", "4294967296", "+1:2", "1:2:3", "no export", "-1"]
        {
            assert!(text.parse::<Community>().is_err(), "{text}");
        }
        for (community, name) in WELL_KNOWN {
            assert_eq!(name.parse(), Ok(*community));
            assert_eq!(community.to_string(), *name);
        }
        assert_eq!(Community::new(65001, 100).to_string(), "65001:100");
    }

    #[test]
    fn set_is_canonical() {
        let set: CommunitySet<_> = [3, 1, 2, 1].map(Community).into_iter().collect();
        assert_eq!(set.as_ref(), [1, 2, 3].map(Community));
        assert!(set.contains(&Community(2)));
        assert_eq!(set.with([Community(0), Community(3)]).to_string(), "internet 0:1 0:2 0:3");
        assert_eq!(set.without(|community| community.0 == 2).to_string(), "0:1 0:3");
    }
}
