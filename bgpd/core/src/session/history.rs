//! The last things that happened to a session: what an operator asks for when it is too late to watch.
//!
//! Five rings, because one alone forgets: a peer that cannot be reached fills any ring with failed dials. The ends of
//! sessions that were up, attempts that failed, NOTIFICATIONs, orders and changes of state are kept apart, and what repeats
//! is counted where it stands.
//!
//! Invariants: an entry is never changed into another one, so a later symptom cannot replace the first cause; attempts
//! cannot push the end of a session out; [`History::last_reset`] is only overwritten by another reset, never by a dial that
//! failed; no ring holds more than [`CAPACITY`] entries, no entry more than [`DATA`] octets that a peer sent.

use std::collections::VecDeque;

use bgp_wire::Notification;
use bytes::Bytes;

use crate::reason::Reason;
use crate::session::State;
use crate::time::Time;
use crate::view::{Direction, HistoryView, LastReset, Noted, Order, StateChange};

/// Entries of each kind kept per peer.
const CAPACITY: usize = 32;
/// Octets of a NOTIFICATION's data that are kept: more than RFC 9003 or any subcode needs.
const DATA: usize = 512;
/// How far back an entry may be that is counted instead of kept again: a dial that fails is a cycle of two.
const CYCLE: usize = 2;

/// What happened to one peer's session.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
pub(crate) struct History {
    states: Ring<StateChange>,
    sessions: Ring<LastReset>,
    attempts: Ring<LastReset>,
    notifications: Ring<(Direction, Notification)>,
    orders: Ring<Order>,
    last_reset: Option<LastReset>,
}

impl History {
    /// All of it.
    pub(crate) fn view(&self) -> HistoryView<'_> {
        HistoryView {
            sessions: &self.sessions.0,
            attempts: &self.attempts.0,
            notifications: &self.notifications.0,
            orders: &self.orders.0,
            states: &self.states.0,
        }
    }

    /// The last reset.
    pub(crate) const fn last_reset(&self) -> Option<&LastReset> {
        self.last_reset.as_ref()
    }

    /// Records a change of state. One that equals an entry of the last cycle (a dial that fails again and again) is
    /// counted there.
    pub(crate) fn record(&mut self, at: Time, from: State, to: State, reason: &Reason) {
        self.states.push(at, CYCLE, StateChange { from, to, reason: reason.clone() }, PartialEq::eq);
    }

    /// Records the end of a session, or of an attempt that got as far as messages.
    pub(crate) fn record_reset(&mut self, reset: LastReset) {
        // A peer that accepts and closes again says nothing new: it must not hide why the session went down.
        let trivial = !reset.was_established() && reset.notification.is_none() && self.last_reset.is_some();
        if !trivial {
            self.last_reset = Some(reset.clone());
        }
        if reset.was_established() {
            // Each counts: no two sessions are the same.
            self.sessions.push(reset.at, 0, reset, |_, _| false);
        } else {
            self.attempts.push(reset.at, CYCLE, reset, |one, other| {
                one.reason == other.reason && one.notification == other.notification
            });
        }
    }

    /// Records a NOTIFICATION.
    pub(crate) fn record_notification(
        &mut self,
        at: Time,
        direction: Direction,
        notification: &Notification,
    ) {
        self.notifications.push(at, CYCLE, (direction, notification.clone()), PartialEq::eq);
    }

    /// Records what an operator or a new configuration wanted.
    pub(crate) fn record_order(&mut self, at: Time, order: Order) {
        self.orders.push(at, 1, order, PartialEq::eq);
    }
}

/// A NOTIFICATION that may be kept: its data is cut to [`DATA`] octets, and what was cut is not held in memory either.
pub(crate) fn bounded(mut notification: Notification) -> Notification {
    if let Some(kept) = notification.data.get(..DATA) {
        notification.data = Bytes::copy_from_slice(kept);
    }
    notification
}

/// The last entries of one kind, newest last.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug)]
struct Ring<T>(VecDeque<Noted<T>>);

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Ring<T> {
    /// Adds an entry, or counts it at one of the last `cycle` that is the same.
    fn push(&mut self, at: Time, cycle: usize, what: T, same: impl Fn(&T, &T) -> bool) {
        let known = self.0.iter_mut().rev().take(cycle).find(|noted| same(&noted.what, &what));
        if let Some(noted) = known {
            noted.at = at;
            noted.repeated = noted.repeated.saturating_add(1);
            return;
        }
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(Noted { at, first: at, repeated: 1, what });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bgp_wire::cease;

    use super::*;

    fn reset(at: Time, reason: Reason, lasted: Option<Duration>) -> LastReset {
        let notification =
            reason.notification().map(|notification| (Direction::Received, notification.clone()));
        LastReset { at, reason, notification, lasted }
    }

    #[test]
    fn failing_dials_do_not_push_out_what_matters() {
        let mut history = History::default();
        history.record(Time::ZERO, State::Established, State::Idle, &Reason::HoldTimerExpired);
        for n in 1..500 {
            let at = Time::from_nanos(n);
            history.record(at, State::Active, State::Connect, &Reason::RetryTime);
            history.record(at, State::Connect, State::Active, &Reason::ConnectFailed("refused".into()));
        }
        let entries = history.view().states;
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].repeated, &entries[0].what.reason), (1, &Reason::HoldTimerExpired));
        assert_eq!((entries[2].repeated, entries[2].at), (499, Time::from_nanos(499)));
        assert_eq!(entries[2].first, Time::from_nanos(1));
    }

    #[test]
    fn the_rings_are_bounded() {
        let mut history = History::default();
        for n in 0..100 {
            let reason = Reason::PrefixLimit { limit: n };
            history.record(Time::ZERO, State::Established, State::Idle, &reason);
            history.record_reset(reset(Time::ZERO, reason, Some(Duration::ZERO)));
            history.record_order(Time::ZERO, Order::Disabled { text: Some(n.to_string().into()) });
            let notification = Notification::new(9, u8::try_from(n).unwrap());
            history.record_notification(Time::ZERO, Direction::Sent, &notification);
        }
        let view = history.view();
        let lengths = [view.states.len(), view.sessions.len(), view.notifications.len(), view.orders.len()];
        assert_eq!(lengths, [CAPACITY; 4]);
        assert_eq!(view.states.back().unwrap().what.reason, Reason::PrefixLimit { limit: 99 });
    }

    #[test]
    fn what_fails_afterwards_does_not_hide_why_a_session_ended() {
        let mut history = History::default();
        history.record_reset(reset(Time::ZERO, Reason::HoldTimerExpired, Some(Duration::from_secs(60))));
        for n in 0..1000 {
            // Each attempt fails in its own way, so none is a repetition.
            let text = format!("attempt {n}");
            let refused = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, Some(&text));
            let at = Time::from_nanos(n);
            history.record_notification(at, Direction::Received, &refused);
            history.record_reset(reset(at, Reason::NotificationReceived(refused), None));
            history.record(at, State::OpenSent, State::Idle, &Reason::ConnectFailed(text.into()));
        }
        let view = history.view();
        let sessions: Vec<_> = view.sessions.iter().map(|noted| &noted.what.reason).collect();
        assert_eq!(sessions, [&Reason::HoldTimerExpired]);
        assert_eq!(view.attempts.len(), CAPACITY);
    }

    #[test]
    fn what_a_peer_sends_is_kept_in_bounds() {
        let data = Bytes::from(vec![7; 60_000]);
        let kept = bounded(Notification { code: 3, subcode: 1, data });
        assert_eq!(kept.data.len(), DATA);
        let short = Notification::cease(cease::ADMINISTRATIVE_RESET, Some("short"));
        assert_eq!(bounded(short.clone()), short);
    }
}
