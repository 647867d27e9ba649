//! How long a session waits before it is tried again: jittered, growing, forgiven when it held.
//!
//! Two things are counted apart. Failed dials lengthen the ConnectRetryTimer (RFC 4271 §8.2.2) up to the configured
//! ConnectRetryTime; failures of a session lengthen the idle hold (§8.1.1, DampPeerOscillations). The first try after
//! either comes within a second, so that a peer which was only restarted is back at once.
//!
//! Invariant: a wait is never zero and never longer than its cap, and jitter only shortens it (RFC 4271 §10).

use std::time::Duration;

use rand_core::Rng;
use rand_pcg::Pcg32;

/// First idle hold after a session that had been well.
const FIRST: Duration = Duration::from_millis(200);
/// Longest idle hold.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// A session that was Established for this long had been well.
const STABLE: Duration = Duration::from_secs(30);
/// So many failures in a row are let pass before connections from the peer are refused for a while after the next.
const TOLERATED: u32 = 4;
/// How long connections are refused then. Much shorter than an idle hold can be: two speakers that hold each other idle and
/// refuse each other meanwhile would never meet, and one session a second costs nothing, however it fails.
const REFUSAL: Duration = Duration::from_secs(1);
/// Doubling stops here at the latest; a second doubled so often is longer than any cap.
const MAX_DOUBLINGS: u32 = 31;

/// What went wrong in a row.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
pub(crate) struct Backoff {
    dials: u32,
    failures: u32,
}

impl Backoff {
    /// A connection got as far as the peer's OPEN. That it came through says little: a peer that does not want us accepts
    /// and closes at once.
    pub(crate) fn peer_answered(&mut self) {
        self.dials = 0;
    }

    /// A session failed, after having been Established for `established`.
    pub(crate) fn session_failed(&mut self, established: Option<Duration>) {
        if established.is_some_and(|lasted| lasted >= STABLE) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// The wait until the next dial, after one failed.
    pub(crate) fn next_dial(&mut self, connect_retry: Duration, rng: &mut Pcg32) -> Duration {
        let wait = doubled(self.dials).min(connect_retry);
        self.dials = self.dials.saturating_add(1);
        jittered(wait, rng)
    }

    /// The idle hold, after a session failed or was not wanted.
    pub(crate) fn idle_hold(&self, connect_retry: Duration, rng: &mut Pcg32) -> Duration {
        let wait = match self.failures {
            0 | 1 => FIRST,
            more => doubled(more - 2),
        };
        jittered(wait.min(LONGEST_HOLD).min(connect_retry), rng)
    }

    /// For how long the peer's own connections are refused after the failure that was counted last.
    pub(crate) fn refusal(&self) -> Option<Duration> {
        (self.failures > TOLERATED).then_some(REFUSAL)
    }
}

fn doubled(times: u32) -> Duration {
    Duration::from_secs(1 << times.min(MAX_DOUBLINGS))
}

/// A random part of `full`, from three quarters to all of it (RFC 4271 §10).
pub(crate) fn jittered(full: Duration, rng: &mut Pcg32) -> Duration {
    let quarter = full / 4;
    let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    full - quarter.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(120);

    fn rng() -> Pcg32 {
        Pcg32::new(7, 7)
    }

    #[test]
    fn jitter_only_shortens_and_at_most_by_a_quarter() {
        let mut rng = rng();
        let full = Duration::from_secs(4);
        let waits: Vec<_> = (0..1000).map(|_| jittered(full, &mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(3) && *wait <= full));
        let spread = *waits.iter().max().unwrap() - *waits.iter().min().unwrap();
        assert!(spread > Duration::from_millis(900), "the whole quarter is used: {spread:?}");
    }

    #[test]
    fn first_tries_come_within_a_second_and_then_grow_to_the_cap() {
        let (mut backoff, mut rng) = (Backoff::default(), rng());
        assert!(backoff.next_dial(RETRY, &mut rng) <= Duration::from_secs(1));
        let later: Vec<_> = (0..10).map(|_| backoff.next_dial(RETRY, &mut rng)).collect();
        assert!(later[..6].is_sorted(), "{later:?}");
        assert!(later.iter().all(|wait| *wait <= RETRY) && *later.last().unwrap() >= RETRY * 3 / 4);

        backoff.session_failed(None);
        assert!(backoff.idle_hold(RETRY, &mut rng) <= FIRST);
        for _ in 0..40 {
            backoff.session_failed(None);
        }
        let longest = backoff.idle_hold(RETRY, &mut rng);
        assert!(longest <= LONGEST_HOLD && longest >= LONGEST_HOLD * 3 / 4, "{longest:?}");
        assert!(backoff.idle_hold(Duration::from_secs(5), &mut rng) <= Duration::from_secs(5));
    }

    #[test]
    fn a_session_that_held_is_forgiven_and_one_that_flaps_is_not() {
        let (mut backoff, mut rng) = (Backoff::default(), rng());
        for _ in 0..6 {
            backoff.session_failed(Some(Duration::from_secs(1)));
        }
        assert!(backoff.refusal().is_some() && backoff.idle_hold(RETRY, &mut rng) > Duration::from_secs(10));
        backoff.session_failed(Some(STABLE));
        assert!(backoff.refusal().is_none() && backoff.idle_hold(RETRY, &mut rng) <= FIRST);
    }
}
