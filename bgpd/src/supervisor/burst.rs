//! A burst of changes becomes one application.
//!
//! An intent that was put is held at once and applied once nothing new came for [`QUIET`], at most [`LONGEST`] after the
//! first. Whoever put one waits for that and is answered with what the application did; two that came together get the
//! same answer. While nothing runs yet there is nothing to spare, and the first is applied at once.
//!
//! Invariant: every waiting change is answered by the first application after it, and after none is anything left waiting.

use std::time::{Duration, Instant};

use rutter_api::control::{Applied, Change, Conflict};
use tokio::sync::oneshot;

use crate::intents::Owner;
use crate::supervisor::{IntentError, report};

/// So long nothing new must come.
const QUIET: Duration = Duration::from_millis(50);
/// And so long the first of a burst waits at most.
const LONGEST: Duration = Duration::from_millis(500);

/// Who waits for an answer.
pub(super) enum Waiting {
    Put(Owner, oneshot::Sender<Result<Applied, IntentError>>),
    Deleted(Owner, oneshot::Sender<Option<Applied>>),
}

impl Waiting {
    pub(super) fn owner(&self) -> &Owner {
        match self {
            Self::Put(owner, _) | Self::Deleted(owner, _) => owner,
        }
    }

    /// Whoever asked may have gone away; what was done is done.
    fn answer(self, applied: Applied) {
        match self {
            Self::Put(_, reply) => drop(reply.send(Ok(applied))),
            Self::Deleted(_, reply) => drop(reply.send(Some(applied))),
        }
    }
}

/// The changes that wait to be applied together.
#[derive(Default)]
pub(super) struct Burst {
    waiting: Vec<Waiting>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Burst {
    /// One more.
    pub(super) fn add(&mut self, waiting: Waiting, now: Instant) {
        self.waiting.push(waiting);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When to apply.
    pub(super) fn due(&self) -> Option<Instant> {
        Some((self.last? + QUIET).min(self.first? + LONGEST))
    }

    /// Takes what was waiting when an application begins.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        (self.first, self.last) = (None, None);
        std::mem::take(&mut self.waiting)
    }
}

/// Says what an application did, once, and answers all who waited for it.
pub(super) fn answer(waiting: Vec<Waiting>, changes: &[Change], unchanged: usize, conflicts: &[Conflict]) {
    let mut names: Vec<String> = waiting.iter().map(|one| one.owner().to_string()).collect();
    names.sort();
    names.dedup();
    let what = match waiting.as_slice() {
        [Waiting::Deleted(..)] => "intent deleted",
        [_] => "intent applied",
        _ => "intents applied together",
    };
    report(&names.join(","), what, changes);
    for one in waiting {
        let own = |conflict: &&Conflict| conflict.loser == one.owner().as_str();
        let conflicts: Vec<Conflict> = conflicts.iter().filter(own).cloned().collect();
        for conflict in &conflicts {
            tracing::warn!(owner = %one.owner(), "{conflict}");
        }
        one.answer(Applied { changes: changes.to_vec(), unchanged_peers: unchanged, conflicts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put() -> Waiting {
        Waiting::Put(Owner::new("a").expect("a name"), oneshot::channel().0)
    }

    #[test]
    fn a_burst_ends_when_it_is_quiet_or_has_lasted_long_enough() {
        let mut burst = Burst::default();
        let start = Instant::now();
        assert_eq!(burst.due(), None);
        burst.add(put(), start);
        assert_eq!(burst.due(), Some(start + QUIET));
        for step in 1..=40 {
            burst.add(put(), start + step * QUIET / 2);
        }
        assert_eq!(burst.due(), Some(start + LONGEST), "however many come");
        assert_eq!(burst.take().len(), 41);
        assert_eq!((burst.due(), burst.take().len()), (None, 0));
    }
}
