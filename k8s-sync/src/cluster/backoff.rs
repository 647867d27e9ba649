//! How long to wait before trying again: doubling, capped, and never two clients at the same moment.
//!
//! Invariant: a server that comes back after an outage meets its clients spread over time, not all at once.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(30);

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    last: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST, last: LAST }
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Whether nothing went wrong since it last went well.
    pub(super) fn is_fresh(&self) -> bool {
        self.next == FIRST
    }

    /// The next pause: between half of the step and the whole step, and never shorter than the server asked for.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.last);
        match asked {
            // Everybody was told the same number, so everybody adds some.
            Some(asked) => asked.min(2 * LAST) + step.min(asked.max(FIRST)).mul_f64(fraction()),
            None => step.mul_f64(0.5 + fraction() / 2.0),
        }
    }
}

/// A random number in 0..1. Its quality does not matter, only that two processes do not draw the same.
pub(super) fn fraction() -> f64 {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_start_again() {
        let mut backoff = Backoff::new();
        let first = backoff.pause(None);
        assert!(first >= FIRST / 2 && first <= FIRST, "{first:?}");
        for _ in 0..20 {
            backoff.pause(None);
        }
        let capped = backoff.pause(None);
        assert!(capped >= LAST / 2 && capped <= LAST, "{capped:?}");
        backoff.reset();
        assert!(backoff.pause(None) <= FIRST);
    }

    #[test]
    fn what_the_server_asks_for_is_the_least() {
        let mut backoff = Backoff::new();
        let pause = backoff.pause(Some(Duration::from_secs(2)));
        assert!(pause >= Duration::from_secs(2) && pause <= Duration::from_millis(2200), "{pause:?}");
    }

    #[test]
    fn two_processes_do_not_draw_the_same() {
        let drawn: Vec<f64> = (0..20).map(|_| fraction()).collect();
        assert!(drawn.iter().any(|number| (number - drawn[0]).abs() > 0.01), "{drawn:?}");
        assert!(drawn.iter().all(|number| (0.0..=1.0).contains(number)), "{drawn:?}");
    }
}
