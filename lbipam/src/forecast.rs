//! When a pool will be full if things go on as they did.
//!
//! Invariant: a function of the objects and of the hour, so that each replica says the same, also one that has just started.
//! That is why nothing is measured: what a pool grew by is read from the creation times of those who hold its addresses now.
//! Who came and went is not seen, and who was there before and left is not subtracted, so it is an upper bound of the net
//! growth (and the days a lower one), as long as Services get their addresses when they are created.

use std::collections::{BTreeMap, btree_map};
use std::net::IpAddr;

use jiff::Timestamp;
use num_bigint::BigUint;

use crate::annotation::FORECAST_DAYS;
use crate::counts::Counts;
use crate::pool::Pool;
use crate::service::Family;
use crate::status::{NEARLY_FULL, Wanted};

/// How far back it looks.
const WINDOW_HOURS: u32 = 7 * 24;
/// How far back at least, however young the pool: the first hour of a pool says nothing of its days.
const LEAST_HOURS: u32 = 24;

/// Since when addresses of a pool are held: since the hour in which the oldest of those who are at an address was created. Kept
/// up address by address, and only for pools that want a forecast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    of: BTreeMap<IpAddr, i64>,
    hours: BTreeMap<(Family, i64), u64>,
}

impl Since {
    /// Who is at an address has changed: the oldest one was created then. None: nobody is, or nobody whose creation is known
    /// (manifests); that is no growth.
    pub fn note(&mut self, address: IpAddr, created: Option<Timestamp>) {
        let family = Family::of(address);
        let after = created.map(hour);
        let before = match after {
            Some(hour) => self.of.insert(address, hour),
            None => self.of.remove(&address),
        };
        if before == after {
            return;
        }
        if let Some(hour) = after {
            *self.hours.entry((family, hour)).or_default() += 1;
        }
        if let Some(hour) = before
            && let btree_map::Entry::Occupied(mut count) = self.hours.entry((family, hour))
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Addresses held since that hour or a later one.
    fn from(&self, family: Family, hour: i64) -> u64 {
        self.hours.range((family, hour)..=(family, i64::MAX)).map(|(_, count)| count).sum()
    }
}

/// What is to be expected of one family of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The family.
    pub family: Family,
    /// Addresses there are.
    pub counts: Counts,
    /// Addresses that are held since the window began.
    pub grown: u64,
    /// How long the window is, in hours.
    pub hours: u32,
}

impl Forecast {
    /// Of each family that the pool has.
    #[must_use]
    pub fn of(pool: &Pool, since: &Since, counts: impl Fn(Family) -> Counts, now: Timestamp) -> Vec<Self> {
        let age = pool.created.map_or(i64::MAX, |created| hour(now).saturating_sub(hour(created)));
        let hours = u32::try_from(age).unwrap_or(0).clamp(LEAST_HOURS, WINDOW_HOURS);
        let hours = if pool.created.is_none() { WINDOW_HOURS } else { hours };
        let begin = hour(now) - i64::from(hours);
        [Family::V4, Family::V6]
            .into_iter()
            .filter(|family| pool.has(*family))
            .map(|family| Self { family, counts: counts(family), grown: since.from(family, begin), hours })
            .collect()
    }

    /// Addresses a day.
    #[must_use]
    pub fn per_day(&self) -> f64 {
        // Far below 2^52 addresses fit into any memory.
        #[expect(clippy::cast_precision_loss, reason = "a rate for people and gauges")]
        let grown = self.grown as f64;
        grown * 24.0 / f64::from(self.hours)
    }

    /// Whole days until the last address is gone; none without growth, or beyond what counts as days at all.
    #[must_use]
    pub fn days_to_full(&self) -> Option<u64> {
        if self.grown == 0 {
            return None;
        }
        let days = self.counts.available() * self.hours / (BigUint::from(self.grown) * 24u8);
        u64::try_from(days).ok()
    }
}

/// When a forecast may differ by time alone: the next full hour.
#[must_use]
pub fn next(now: Timestamp) -> Timestamp {
    Timestamp::from_second((hour(now) + 1) * 3600).unwrap_or(Timestamp::MAX)
}

/// The condition of a pool that is full in fewer days than its owner wants to have.
#[must_use]
pub fn condition(pool: &Pool, forecasts: &[Forecast]) -> Option<Wanted> {
    let threshold = pool.forecast_days?;
    let near = forecasts.iter().filter_map(|forecast| {
        let days = forecast.days_to_full().filter(|days| *days < u64::from(threshold))?;
        let Counts { total, .. } = &forecast.counts;
        Some(format!(
            "{} of {total} {} addresses are free, and {} were taken in the last {} days ({:.1} a day): at this rate the \
             last one goes in {}",
            forecast.counts.available(),
            forecast.family,
            forecast.grown,
            forecast.hours.div_ceil(24),
            forecast.per_day(),
            match days {
                0 => "less than a day".to_owned(),
                1 => "a day".to_owned(),
                days => format!("{days} days"),
            },
        ))
    });
    let near: Vec<String> = near.collect();
    (!near.is_empty()).then(|| {
        let message =
            format!("{}; add a block to spec.blocks ({FORECAST_DAYS} is {threshold})", near.join("; "));
        Wanted::holds(NEARLY_FULL, "nearly_full", message)
    })
}

/// Hours since 1970.
fn hour(time: Timestamp) -> i64 {
    time.as_second().div_euclid(3600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool as parse;

    const HOUR: i64 = 3600;
    const NOW: i64 = 1_000 * 24 * HOUR + 1_800;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pool(age_hours: Option<i64>, days: Option<u32>) -> Pool {
        let created = age_hours.map(|hours| at(NOW - hours * HOUR));
        let mut pool = parse("p", &["10.0.0.0/24", "fd00::/64"]);
        (pool.created, pool.forecast_days) = (created, days);
        pool
    }

    fn ip(index: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + index).into()
    }

    /// Held since so many hours before now.
    fn since(hours: &[i64]) -> Since {
        let mut since = Since::default();
        for (index, hours) in (0u32..).zip(hours) {
            since.note(ip(index), Some(at(NOW - hours * HOUR)));
        }
        since
    }

    fn forecast(pool: &Pool, since: &Since, used: u32) -> Vec<Forecast> {
        let counts = |family| Counts { total: pool.total(family), used: used.into() };
        Forecast::of(pool, since, counts, at(NOW))
    }

    #[test]
    fn growth_is_who_came_within_the_window() {
        let since = since(&[0, 1, 100, 168, 169, 5_000]);
        let forecasts = forecast(&pool(None, None), &since, 6);
        assert_eq!(forecasts.len(), 2);
        let v4 = &forecasts[0];
        assert_eq!((v4.family, v4.grown, v4.hours), (Family::V4, 4, 168));
        assert_eq!(v4.days_to_full(), Some(250 * 7 / 4));
        assert_eq!(format!("{:.2}", v4.per_day()), "0.57");
        assert_eq!((forecasts[1].grown, forecasts[1].days_to_full()), (0, None), "no growth, no end");
    }

    #[test]
    fn a_young_pool_has_a_short_window() {
        let since = since(&[0, 1, 30, 40]);
        let hours = |age| forecast(&pool(Some(age), None), &since, 4)[0].hours;
        assert_eq!([0, 23, 24, 48, 168, 9_999].map(hours), [24, 24, 24, 48, 168, 168]);
        assert_eq!(forecast(&pool(Some(1), None), &since, 4)[0].grown, 2);
        assert_eq!(forecast(&pool(Some(48), None), &since, 4)[0].grown, 4);
    }

    #[test]
    fn who_leaves_is_no_growth() {
        let mut since = since(&[1, 1, 2]);
        since.note(ip(0), None);
        since.note(ip(2), None);
        since.note(ip(9), None);
        assert_eq!(forecast(&pool(None, None), &since, 1)[0].grown, 1);
        // An older one joins, and leaves again.
        since.note(ip(1), Some(at(NOW - 1_000 * HOUR)));
        assert_eq!(forecast(&pool(None, None), &since, 1)[0].grown, 0);
        since.note(ip(1), Some(at(NOW - HOUR)));
        assert_eq!(forecast(&pool(None, None), &since, 1)[0].grown, 1);
        since.note(ip(1), None);
        assert_eq!(since, Since::default(), "nothing is left behind");
    }

    #[test]
    fn warns_below_the_threshold_alone() {
        let since = since(&[1; 70]);
        let said = |days, used| {
            let pool = pool(None, days);
            condition(&pool, &forecast(&pool, &since, used)).map(|wanted| wanted.message)
        };
        assert_eq!(said(None, 250), None, "nobody asked");
        assert_eq!(said(Some(0), 256), None, "nothing is below 0");
        assert_eq!(said(Some(5), 206), None, "50 left, 10 a day");
        assert_eq!(
            said(Some(6), 206).unwrap(),
            "50 of 256 IPv4 addresses are free, and 70 were taken in the last 7 days (10.0 a day): at this rate the last one \
             goes in 5 days; add a block to spec.blocks (rutter.dev/forecast-days is 6)"
        );
        assert!(said(Some(1), 256).unwrap().contains("goes in less than a day"));
        let pool = pool(None, Some(100));
        assert_eq!(condition(&pool, &forecast(&pool, &Since::default(), 256)), None, "full and nobody comes");
    }

    #[test]
    fn differs_at_full_hours_alone() {
        assert_eq!(next(at(NOW)), at(NOW + 1_800));
        assert_eq!(next(at(NOW + 1_800)), at(NOW + 1_800 + HOUR));
    }
}
