//! How late KEEPALIVEs leave: the figure that says whether one peer hurts another.
//!
//! A KEEPALIVE that found the peer's own octets still unsent says something about that peer; one that did not says
//! something about us. They are counted apart.
//!
//! Invariant: a fixed number of counters per instance, however many peers it has.

use std::time::Duration;

/// Upper ends of the buckets, in microseconds.
pub const BUCKETS: [u64; 12] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000];

/// A distribution of delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Delays up to each bucket's end and beyond the one before.
    counts: [u64; BUCKETS.len()],
    /// All delays.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// The longest.
    pub max: Duration,
}

impl Lateness {
    /// Counts one.
    pub fn record(&mut self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BUCKETS.iter().position(|end| micros <= *end) {
            self.counts[bucket] += 1;
        }
        self.count += 1;
        self.sum += late;
        self.max = self.max.max(late);
    }

    /// Each bucket's end in seconds, with how many delays were not longer than that.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        BUCKETS.into_iter().zip(self.counts).map(move |(end, count)| {
            sum += count;
            (Duration::from_micros(end).as_secs_f64(), sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delay_is_in_its_bucket_and_all_above() {
        let mut lateness = Lateness::default();
        for millis in [0, 1, 3, 700, 60_000] {
            lateness.record(Duration::from_millis(millis));
        }
        let rows: Vec<_> = lateness.cumulative().collect();
        assert_eq!((rows[0], rows[1], rows[3]), ((0.0005, 1), (0.001, 2), (0.005, 3)));
        assert_eq!(rows.last(), Some(&(5.0, 4)), "a minute is beyond all buckets");
        assert_eq!((lateness.count, lateness.max), (5, Duration::from_secs(60)));
    }
}
