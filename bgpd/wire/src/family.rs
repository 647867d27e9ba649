//! Address families: AFI and SAFI (RFC 4760 §3), and the set of those this codec carries NLRI for.
//!
//! Invariant: a [`FamilySet`] only ever holds families whose NLRI the codec can read and write, so whoever iterates a
//! set never meets a family without a decoder.

use std::fmt;

use ipnet::IpNet;

/// An address family: what kind of prefixes an NLRI carries.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Family {
    /// Address Family Identifier (IANA "Address Family Numbers").
    pub afi: u16,
    /// Subsequent Address Family Identifier (IANA "SAFI Values").
    pub safi: u8,
}

impl Family {
    /// AFI 1, SAFI 1.
    pub const IPV4_UNICAST: Self = Self { afi: 1, safi: 1 };
    /// AFI 2, SAFI 1.
    pub const IPV6_UNICAST: Self = Self { afi: 2, safi: 1 };

    /// The unicast family a prefix belongs to.
    #[must_use]
    pub const fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::IPV4_UNICAST,
            IpNet::V6(_) => Self::IPV6_UNICAST,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4_UNICAST => f.write_str("ipv4-unicast"),
            Self::IPV6_UNICAST => f.write_str("ipv6-unicast"),
            Self { afi, safi } => write!(f, "afi-{afi}-safi-{safi}"),
        }
    }
}

/// A set of the families this codec carries: IPv4 and IPv6 unicast.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Default)]
pub struct FamilySet(u8);

impl FamilySet {
    /// No family.
    pub const EMPTY: Self = Self(0);
    /// IPv4 unicast alone.
    pub const IPV4_UNICAST: Self = Self(1);
    /// IPv6 unicast alone.
    pub const IPV6_UNICAST: Self = Self(2);
    /// Every family the codec carries.
    pub const ALL: Self = Self(3);

    const MEMBERS: [(Family, Self); 2] =
        [(Family::IPV4_UNICAST, Self::IPV4_UNICAST), (Family::IPV6_UNICAST, Self::IPV6_UNICAST)];

    const fn bit(family: Family) -> u8 {
        match family {
            Family::IPV4_UNICAST => Self::IPV4_UNICAST.0,
            Family::IPV6_UNICAST => Self::IPV6_UNICAST.0,
            _ => 0,
        }
    }

    /// Whether `family` is in the set. A family the codec does not carry never is.
    #[must_use]
    pub const fn contains(self, family: Family) -> bool {
        self.0 & Self::bit(family) != 0
    }

    /// Adds a family. Returns false, and changes nothing, for a family the codec does not carry.
    pub fn insert(&mut self, family: Family) -> bool {
        self.0 |= Self::bit(family);
        Self::bit(family) != 0
    }

    /// Whether no family is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Families in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Self::MEMBERS.into_iter().filter(move |(_, bit)| self.0 & bit.0 != 0).map(|(family, _)| family)
    }
}

impl FromIterator<Family> for FamilySet {
    /// Collects the families the codec carries; others are left out.
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut set = Self::EMPTY;
        for family in families {
            set.insert(family);
        }
        set
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|family| family.to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_holds_only_families_with_a_decoder() {
        let vpn = Family { afi: 1, safi: 128 };
        let set: FamilySet = [Family::IPV6_UNICAST, vpn].into_iter().collect();
        assert_eq!(set, FamilySet::IPV6_UNICAST);
        assert!(!set.contains(vpn));
        assert!(!set.contains(Family::IPV4_UNICAST));
        assert_eq!(FamilySet::ALL.iter().collect::<Vec<_>>(), [Family::IPV4_UNICAST, Family::IPV6_UNICAST]);
    }

    #[test]
    fn names() {
        assert_eq!(Family::IPV4_UNICAST.to_string(), "ipv4-unicast");
        assert_eq!(Family { afi: 25, safi: 70 }.to_string(), "afi-25-safi-70");
    }
}
