//! All randomness of a run, from one seed.
//!
//! Invariant: two runs that ask the same questions in the same order get the same answers, on every machine.

use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;

/// A source of randomness.
#[derive(Debug)]
pub struct Dice(Pcg32);

impl Dice {
    /// Dice that roll as `seed` says.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg32::seed_from_u64(seed))
    }

    /// A seed for something else that is random.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; zero if `end` is zero.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias of the remainder does not matter at these sizes.
        usize::try_from(self.0.next_u64() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several values.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// A span of time below `end`.
    pub fn span(&mut self, end: Duration) -> Duration {
        let nanos = u64::try_from(end.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.0.next_u64() % nanos)
    }
}
