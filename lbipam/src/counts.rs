//! How many addresses a pool has, and how many of them are in use.
//!
//! Invariant: total = available + used, in each family and altogether. Each address counts once, however many blocks it is in
//! and however many Services share it; edges that are not given out count as used, by whomever.

use std::net::IpAddr;

use num_bigint::BigUint;

use crate::pool::Pool;
use crate::service::Family;

/// How many addresses of a pool are held, kept up address by address. Edges that are not given out are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    v4: u64,
    v6: u64,
}

impl Tally {
    /// Of all addresses that are held, each named once; those that the pool does not have do not count.
    #[must_use]
    pub fn of(pool: &Pool, held: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut tally = Self::default();
        for address in held {
            tally.take(pool, address);
        }
        tally
    }

    /// An address that nobody held is held now.
    pub fn take(&mut self, pool: &Pool, address: IpAddr) {
        if counts(pool, address) {
            *self.of_family(Family::of(address)) += 1;
        }
    }

    /// The last one who held an address is gone.
    pub fn free(&mut self, pool: &Pool, address: IpAddr) {
        if counts(pool, address) {
            let held = self.of_family(Family::of(address));
            debug_assert!(*held > 0, "{address} was never taken in {}", pool.name);
            *held = held.saturating_sub(1);
        }
    }

    fn of_family(&mut self, family: Family) -> &mut u64 {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

fn counts(pool: &Pool, address: IpAddr) -> bool {
    pool.covers(address) && !pool.is_edge(address)
}

/// Addresses of a pool, or of one family of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: BigUint,
    /// Those in use.
    pub used: BigUint,
}

impl Counts {
    /// Of one family.
    #[must_use]
    pub fn of_family(pool: &Pool, tally: Tally, family: Family) -> Self {
        let edges = pool.edges().iter().filter(|edge| Family::of(**edge) == family).count();
        let held = match family {
            Family::V4 => tally.v4,
            Family::V6 => tally.v6,
        };
        Self { total: pool.total(family), used: BigUint::from(held) + edges }
    }

    /// Of the whole pool.
    #[must_use]
    pub fn of(pool: &Pool, tally: Tally) -> Self {
        let [v4, v6] = [Family::V4, Family::V6].map(|family| Self::of_family(pool, tally, family));
        Self { total: v4.total + v6.total, used: v4.used + v6.used }
    }

    /// Those not in use.
    #[must_use]
    pub fn available(&self) -> BigUint {
        if self.used < self.total { &self.total - &self.used } else { BigUint::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rutter_crds::AllowFirstLastIPs;

    use super::*;
    use crate::pool::tests::object;
    use crate::settings::Settings;

    fn pool(allow: AllowFirstLastIPs, blocks: &[&str]) -> Pool {
        let mut object = object("p", blocks);
        object.spec.allow_first_last_ips = Some(allow);
        Pool::parse(Arc::new(object), &Settings::default())
    }

    fn figures(pool: &Pool, held: &[&str]) -> (String, String, String) {
        let tally = Tally::of(pool, held.iter().map(|address| address.parse().unwrap()));
        let counts = Counts::of(pool, tally);
        assert_eq!(counts.total, counts.available() + &counts.used);
        (counts.total.to_string(), counts.available().to_string(), counts.used.to_string())
    }

    fn of(total: &str, available: &str, used: &str) -> (String, String, String) {
        (total.to_owned(), available.to_owned(), used.to_owned())
    }

    #[test]
    fn edges_count_as_used() {
        use AllowFirstLastIPs::{No, Yes};
        assert_eq!(figures(&pool(No, &["10.0.0.0/24"]), &[]), of("256", "254", "2"));
        assert_eq!(
            figures(&pool(No, &["10.0.0.0/24", "fd00::/64"]), &[]),
            of("18446744073709551872", "18446744073709551868", "4")
        );
        assert_eq!(figures(&pool(Yes, &["10.0.0.0/24"]), &[]), of("256", "256", "0"));
        assert_eq!(figures(&pool(No, &[]), &[]), of("0", "0", "0"));
        for (exempt, total) in
            [("10.0.0.0/31", "2"), ("10.0.0.0/32", "1"), ("fd00::/127", "2"), ("fd00::/128", "1")]
        {
            assert_eq!(figures(&pool(No, &[exempt]), &[]), of(total, total, "0"), "{exempt}");
        }
        assert_eq!(
            figures(&pool(Yes, &["::/0"]), &["fd00::1"]),
            of("340282366920938463463374607431768211456", "340282366920938463463374607431768211455", "1")
        );
    }

    #[test]
    fn an_edge_in_use_counts_once() {
        use AllowFirstLastIPs::{No, Yes};
        let held = ["10.0.0.0", "10.0.0.1", "10.0.1.0"];
        assert_eq!(figures(&pool(No, &["10.0.0.0/24"]), &held), of("256", "253", "3"));
        assert_eq!(figures(&pool(Yes, &["10.0.0.0/24"]), &held), of("256", "254", "2"));
    }

    #[test]
    fn an_address_in_two_blocks_counts_once() {
        use AllowFirstLastIPs::{No, Yes};
        let twice = ["10.0.0.0/24", "10.0.0.0/24", "10.0.0.5 - 10.0.0.9"];
        assert_eq!(figures(&pool(Yes, &twice), &["10.0.0.7"]), of("256", "255", "1"));
        assert_eq!(figures(&pool(No, &twice), &["10.0.0.7"]), of("256", "253", "3"));
        // An edge of one block inside of another.
        let nested = ["10.0.0.0/16", "10.0.0.0/24"];
        assert_eq!(figures(&pool(No, &nested), &["10.0.0.255"]), of("65536", "65533", "3"));
    }

    #[test]
    fn what_is_freed_is_available_again() {
        let pool = pool(AllowFirstLastIPs::No, &["10.0.0.0/29"]);
        let mut tally = Tally::default();
        for address in ["10.0.0.0", "10.0.0.1", "10.0.0.9"] {
            tally.take(&pool, address.parse().unwrap());
        }
        assert_eq!(Counts::of(&pool, tally).used, BigUint::from(3u8));
        for address in ["10.0.0.0", "10.0.0.1", "10.0.0.9"] {
            tally.free(&pool, address.parse().unwrap());
        }
        assert_eq!(tally, Tally::default());
    }
}
