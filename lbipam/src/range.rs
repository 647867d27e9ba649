//! Addresses from a first to a last one, both included, of one family.
//!
//! Invariant: first ≤ last, and no range crosses families. Sizes are exact: `::/0` has 2^128 addresses, which fits into no
//! built-in integer.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use num_bigint::BigUint;

use crate::service::Family;

/// An inclusive range. The order is by family, then by first, then by last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    family: Family,
    first: u128,
    last: u128,
}

impl Range {
    /// From both ends; none if they are of two families or the wrong way round.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let family = Family::of(first);
        let (first, bits) = (number(first), number(last));
        (family == Family::of(last) && first <= bits).then_some(Self { family, first, last: bits })
    }

    /// A single address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self { family: Family::of(address), first: number(address), last: number(address) }
    }

    /// From the numbers of both ends; none if the wrong way round or beyond the family.
    #[must_use]
    pub fn from_numbers(family: Family, first: u128, last: u128) -> Option<Self> {
        (first <= last && last <= highest(family)).then_some(Self { family, first, last })
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        address(self.family, self.first)
    }

    /// The last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        address(self.family, self.last)
    }

    /// The first address as a number.
    #[must_use]
    pub fn first_number(&self) -> u128 {
        self.first
    }

    /// The last address as a number.
    #[must_use]
    pub fn last_number(&self) -> u128 {
        self.last
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        self.family == Family::of(address) && self.first <= number && number <= self.last
    }

    /// Whether all of the other range is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.first && other.last <= self.last
    }

    /// The addresses that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.family != other.family {
            return None;
        }
        Self::from_numbers(self.family, self.first.max(other.first), self.last.min(other.last))
    }

    /// How many addresses.
    #[must_use]
    pub fn size(&self) -> BigUint {
        BigUint::from(self.last - self.first) + 1u8
    }

    /// The same addresses as these ranges have together, as few ranges as possible: sorted, none touching another.
    #[must_use]
    pub fn union(ranges: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut ranges: Vec<Self> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut union: Vec<Self> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match union.last_mut() {
                Some(last) if last.family == range.family && range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => union.push(range),
            }
        }
        union
    }
}

/// `first - last`, as conditions write it; a single address too.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.first(), self.last())
    }
}

/// An address as a number of its family.
#[must_use]
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address of a number. Numbers beyond IPv4 are cut off to it; nothing in this crate makes one.
#[must_use]
pub fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// The highest number of a family.
fn highest(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Range {
        Range::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn ends_are_in_it() {
        let range = range("10.0.0.1", "10.0.0.9");
        for (address, within) in [
            ("10.0.0.0", false),
            ("10.0.0.1", true),
            ("10.0.0.9", true),
            ("10.0.0.10", false),
            ("::a00:1", false),
        ] {
            assert_eq!(range.contains(address.parse().unwrap()), within, "{address}");
        }
        assert_eq!(range.to_string(), "10.0.0.1 - 10.0.0.9");
        assert_eq!(Range::of("fd00::1".parse().unwrap()).to_string(), "fd00::1 - fd00::1");
    }

    #[test]
    fn ends_of_two_families_or_the_wrong_way_round_are_no_range() {
        let new = |first: &str, last: &str| Range::new(first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(new("10.0.0.1", "fd00::1"), None);
        assert_eq!(new("10.0.0.2", "10.0.0.1"), None);
        assert_eq!(Range::from_numbers(Family::V4, 0, 1 << 32), None);
    }

    #[test]
    fn what_two_have_in_common() {
        let (a, b) = (range("10.0.0.0", "10.0.0.9"), range("10.0.0.9", "10.0.0.20"));
        assert_eq!(a.intersection(&b), Some(range("10.0.0.9", "10.0.0.9")));
        assert_eq!(a.intersection(&range("10.0.0.10", "10.0.0.20")), None);
        assert_eq!(a.intersection(&range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), None);
        assert!(a.covers(&range("10.0.0.3", "10.0.0.9")) && !a.covers(&b));
    }

    #[test]
    fn sizes_are_exact() {
        let all = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(all.size().to_string(), "340282366920938463463374607431768211456");
        assert_eq!(range("0.0.0.0", "255.255.255.255").size().to_string(), "4294967296");
        assert_eq!(range("10.0.0.1", "10.0.0.1").size().to_string(), "1");
    }

    #[test]
    fn a_union_counts_each_address_once() {
        let all = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        let union = Range::union([
            all,
            range("fd00::", "fd00::1"),
            range("10.0.0.5", "10.0.0.9"),
            range("10.0.0.0", "10.0.0.6"),
            range("10.0.0.10", "10.0.0.11"),
            range("10.0.0.13", "10.0.0.13"),
        ]);
        assert_eq!(union, [range("10.0.0.0", "10.0.0.11"), range("10.0.0.13", "10.0.0.13"), all]);
    }
}
