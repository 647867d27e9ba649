//! The one place where bgpd reads clocks: monotonic time for the core, wall time for people.
//!
//! Invariant: core time never goes back and has the same origin in all instances of the process.

use std::time::{Duration, Instant, SystemTime};

use bgp_core::Time;

use crate::handover::monotonic_nanos;

/// Maps the monotonic clock to the core's [`Time`]. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The clock of another process, whose origin the machine's monotonic clock showed as `nanos`.
    #[must_use]
    pub fn since_nanos(nanos: u64) -> Self {
        let age = Duration::from_nanos(monotonic_nanos().saturating_sub(nanos));
        let now = Instant::now();
        Self { origin: now.checked_sub(age).unwrap_or(now) }
    }

    /// What the machine's monotonic clock showed at the origin.
    #[must_use]
    pub fn origin_nanos(&self) -> u64 {
        let age = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        monotonic_nanos().saturating_sub(age)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// When the monotonic clock shows `time`.
    #[must_use]
    pub fn instant(&self, time: Time) -> Instant {
        // The end of time stands for "never"; a day is long enough for whoever asks again.
        const FAR: Duration = Duration::from_secs(86_400);
        self.origin.checked_add(time.since(Time::ZERO)).unwrap_or_else(|| Instant::now() + FAR)
    }

    /// How long bgpd has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// One moment on both clocks, to tell wall times of earlier moments.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Core time.
    pub time: Time,
    /// Wall time.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now(clock: &Clock) -> Self {
        Self { time: clock.now(), wall: SystemTime::now() }
    }

    /// How long ago `earlier` was.
    #[must_use]
    pub fn age(&self, earlier: Time) -> Duration {
        self.time.since(earlier)
    }

    /// Seconds since 1970 at `earlier`.
    #[must_use]
    pub fn epoch_seconds(&self, earlier: Time) -> u64 {
        let wall = self.wall.checked_sub(self.age(earlier)).unwrap_or(SystemTime::UNIX_EPOCH);
        wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_only_grows() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.instant(Time::MAX) > Instant::now());
    }

    #[test]
    fn earlier_moments_have_earlier_wall_times() {
        let clock = Clock::start();
        let now = Moment { time: Time::ZERO + Duration::from_secs(100), ..Moment::now(&clock) };
        let then = Time::ZERO + Duration::from_secs(40);
        assert_eq!(now.age(then), Duration::from_secs(60));
        assert_eq!(now.epoch_seconds(now.time) - now.epoch_seconds(then), 60);
    }
}
