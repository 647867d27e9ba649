//! The last things that happened to a session.
//!
//! Two records, because a ring alone forgets: a peer that cannot be reached fills any ring with failed dials. The ring
//! counts repetitions instead of keeping them, and the last real reset is kept beside it.
//!
//! Invariant: [`History::last_reset`] is only overwritten by another reset, never by a dial that failed.

use std::collections::VecDeque;

use crate::reason::Reason;
use crate::session::State;
use crate::time::Time;
use crate::view::{HistoryEntry, LastReset};

/// Entries kept per peer.
const CAPACITY: usize = 32;

/// What happened to one peer's session.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<HistoryEntry>,
    last_reset: Option<LastReset>,
}

impl History {
    /// Entries, newest last.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.entries.iter()
    }

    /// The last reset.
    pub(crate) const fn last_reset(&self) -> Option<&LastReset> {
        self.last_reset.as_ref()
    }

    /// Records a change of state. One that equals an entry of the last cycle (a dial that fails again and again) is
    /// counted there.
    pub(crate) fn record(&mut self, at: Time, from: State, to: State, reason: &Reason) {
        let same =
            |entry: &&mut HistoryEntry| entry.from == from && entry.to == to && entry.reason == *reason;
        if let Some(entry) = self.entries.iter_mut().rev().take(2).find(same) {
            entry.at = at;
            entry.repeated = entry.repeated.saturating_add(1);
            return;
        }
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(HistoryEntry { at, from, to, reason: reason.clone(), repeated: 1 });
    }

    /// Records the end of a session, or of an attempt that got as far as messages.
    pub(crate) fn record_reset(&mut self, reset: LastReset) {
        self.last_reset = Some(reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_dials_do_not_push_out_what_matters() {
        let mut history = History::default();
        history.record(Time::ZERO, State::Established, State::Idle, &Reason::HoldTimerExpired);
        for n in 1..500 {
            let at = Time::from_nanos(n);
            history.record(at, State::Active, State::Connect, &Reason::RetryTime);
            history.record(at, State::Connect, State::Active, &Reason::ConnectFailed("refused".into()));
        }
        let entries: Vec<_> = history.entries().collect();
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].repeated, &entries[0].reason), (1, &Reason::HoldTimerExpired));
        assert_eq!((entries[2].repeated, entries[2].at), (499, Time::from_nanos(499)));
    }

    #[test]
    fn the_ring_is_bounded() {
        let mut history = History::default();
        for n in 0..100 {
            let reason = Reason::PrefixLimit { limit: n };
            history.record(Time::ZERO, State::Established, State::Idle, &reason);
        }
        assert_eq!(history.entries().count(), CAPACITY);
        assert_eq!(history.entries().last().unwrap().reason, Reason::PrefixLimit { limit: 99 });
    }
}
