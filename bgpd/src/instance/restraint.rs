//! How much one peer may make us say: a log line costs a system call, and a peer that opens connections or sends malformed
//! UPDATEs without end would have us write millions of them while others wait for their KEEPALIVEs.
//!
//! Each subject may fill the log with [`BURST`] lines at once and [`PER_SECOND`] a second after that. What is left out is
//! counted, and the number is written with the next line. Counters and the history leave nothing out.
//!
//! Invariant: what one peer does never silences the lines about another, and a peer's malformed UPDATEs never those about
//! its session.

use std::collections::HashMap;

use bgp_core::{EventKind, PeerId, Time};

/// Lines at once.
const BURST: f64 = 100.0;
/// Lines a second.
const PER_SECOND: f64 = 2.0;

/// What lines are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// Connections that were not accepted.
    Refusals,
    /// A peer's session.
    Session(PeerId),
    /// What a peer sends on it.
    Messages(PeerId),
}

impl Subject {
    /// What the lines about an event are about.
    pub(super) fn of(peer: PeerId, kind: &EventKind) -> Self {
        match kind {
            EventKind::MalformedUpdate { .. }
            | EventKind::RefreshRequested { .. }
            | EventKind::RefreshBegan { .. }
            | EventKind::RefreshOver { .. }
            | EventKind::RefreshIgnored { .. }
            | EventKind::PathsRefused { .. }
            | EventKind::CollisionResolved { .. }
            | EventKind::EndOfRib { .. } => Self::Messages(peer),
            _ => Self::Session(peer),
        }
    }
}

/// How much has been said about whom.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    subjects: HashMap<Subject, Said>,
}

#[derive(Debug)]
struct Said {
    room: f64,
    at: Time,
    left_out: u64,
}

impl Restraint {
    /// Whether one more line may be written, and if so how many were left out before it.
    pub(super) fn admit(&mut self, subject: Subject, now: Time) -> Option<u64> {
        let said = self.subjects.entry(subject).or_insert(Said { room: BURST, at: now, left_out: 0 });
        let earned = now.since(said.at).as_secs_f64() * PER_SECOND;
        said.room = (said.room + earned).min(BURST);
        said.at = now;
        if said.room < 1.0 {
            said.left_out += 1;
            return None;
        }
        said.room -= 1.0;
        Some(std::mem::take(&mut said.left_out))
    }

    /// Forgets peers that are gone.
    pub(super) fn keep_only(&mut self, exists: impl Fn(PeerId) -> bool) {
        self.subjects.retain(|subject, _| match subject {
            Subject::Refusals => true,
            Subject::Session(peer) | Subject::Messages(peer) => exists(*peer),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_says_by_how_much() {
        let mut restraint = Restraint::default();
        let (loud, quiet) = (Subject::Messages(PeerId::new(1)), Subject::Session(PeerId::new(1)));
        let now = Time::ZERO;
        let written = (0..10_000).filter(|_| restraint.admit(loud, now).is_some()).count();
        assert_eq!(written, 100);
        assert_eq!(restraint.admit(quiet, now), Some(0), "others are not affected");
        let later = now + Duration::from_secs(1);
        assert_eq!(restraint.admit(loud, later), Some(9_900));
        assert_eq!(restraint.admit(loud, later), Some(0));
        assert_eq!(restraint.admit(loud, later), None);
        restraint.keep_only(|_| false);
        assert!(restraint.subjects.is_empty());
    }
}
