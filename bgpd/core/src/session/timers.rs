//! The timers of one connection, as deadlines.
//!
//! Nothing ticks: a timer is the moment it expires, and the earliest of all is when the driver has to wake the core.
//!
//! Invariant: [`ConnTimers::expired`] returns each deadline once; whoever takes it either arms it again or ends the
//! connection, so a stale deadline cannot wake the core forever.

use std::time::Duration;

use crate::time::Time;

/// Hold Time while no OPEN has come in (RFC 4271 §8.2.2 suggests 4 minutes).
pub(crate) const OPEN_HOLD_TIME: Duration = Duration::from_secs(240);
/// How long a connection that lost its purpose may linger in OpenSent once the session is up on the other one.
pub(crate) const LEFTOVER_HOLD_TIME: Duration = Duration::from_secs(10);
/// Shortest SendHoldTime (RFC 9687 §4).
const MIN_SEND_HOLD_TIME: Duration = Duration::from_secs(8 * 60);

/// A send queue that has not been empty for this long belongs to a slow peer. A peer that reads empties it many times
/// while a whole table goes out.
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(30);

/// SendHoldTime: eight minutes or twice the Hold Time, whichever is longer (RFC 9687 §4).
pub(crate) fn send_hold_time(hold_time: Duration) -> Duration {
    MIN_SEND_HOLD_TIME.max(hold_time * 2)
}

/// Which timer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnTimer {
    Hold,
    Keepalive,
    SendHold,
    Slow,
}

/// Deadlines of one connection. An absent one is not running.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
pub(crate) struct ConnTimers {
    pub(crate) hold: Option<Time>,
    pub(crate) keepalive: Option<Time>,
    pub(crate) send_hold: Option<Time>,
    /// When the send queue will not have been empty for [`SLOW_AFTER`].
    pub(crate) slow: Option<Time>,
}

impl ConnTimers {
    /// The earliest deadline.
    pub(crate) fn earliest(&self) -> Option<Time> {
        earliest([self.hold, self.keepalive, self.send_hold, self.slow])
    }

    /// Takes one deadline that is due, and says when it was. The hold timers go first: a session that is over sends no
    /// KEEPALIVE.
    pub(crate) fn expired(&mut self, now: Time) -> Option<(ConnTimer, Time)> {
        let rows = [
            (ConnTimer::Hold, &mut self.hold),
            (ConnTimer::SendHold, &mut self.send_hold),
            (ConnTimer::Keepalive, &mut self.keepalive),
            (ConnTimer::Slow, &mut self.slow),
        ];
        rows.into_iter().find_map(|(timer, deadline)| Some((timer, deadline.take_if(|at| *at <= now)?)))
    }
}

/// The earliest of several deadlines.
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Time>; N]) -> Option<Time> {
    deadlines.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deadline_is_returned_once_and_hold_goes_first() {
        let at = |secs| Some(Time::ZERO + Duration::from_secs(secs));
        let mut timers = ConnTimers { hold: at(5), keepalive: at(1), send_hold: at(9), slow: None };
        assert_eq!(timers.earliest(), at(1));
        assert_eq!(timers.expired(Time::ZERO), None);
        let now = Time::ZERO + Duration::from_secs(5);
        assert_eq!(timers.expired(now), at(5).map(|at| (ConnTimer::Hold, at)));
        assert_eq!(timers.expired(now), at(1).map(|at| (ConnTimer::Keepalive, at)));
        assert_eq!(timers.expired(now), None);
        assert_eq!(timers.earliest(), at(9));
    }

    #[test]
    fn send_hold_time_follows_the_hold_time() {
        assert_eq!(send_hold_time(Duration::from_secs(90)), Duration::from_secs(480));
        assert_eq!(send_hold_time(Duration::from_secs(300)), Duration::from_secs(600));
        assert_eq!(send_hold_time(Duration::ZERO), Duration::from_secs(480));
    }
}
