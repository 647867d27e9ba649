//! When changes are applied: a lone one at once, those that come faster than they can be applied together.
//!
//! An intent that was put is held at once. It is applied at once too, unless the application before has not been paid back
//! yet: for as long as that one took, [`MOST`] at the most, changes are gathered, and then applied as one. So whatever comes,
//! and from however many owners, at least half of the time is left for everything else, and nobody waits longer than twice the
//! time that an application takes. Whoever put one is answered with what the application did; two that were applied together
//! get the same answer.
//!
//! Invariant: every waiting change is answered by the first application after it, and after none is anything left waiting.

use std::time::{Duration, Instant};

use rutter_api::control::{Applied, Change, Conflict};
use tokio::sync::oneshot;

use crate::intents::Owner;
use crate::supervisor::{IntentError, report};

/// Longest pause behind an application, whatever it took.
const MOST: Duration = Duration::from_millis(500);

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
    /// Since when.
    first: Option<Instant>,
    /// When the last application is paid back.
    paid_back: Option<Instant>,
}

impl Burst {
    /// One more.
    pub(super) fn add(&mut self, waiting: Waiting, now: Instant) {
        self.waiting.push(waiting);
        self.first.get_or_insert(now);
    }

    /// When to apply.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.first?;
        Some(self.paid_back.map_or(first, |paid_back| paid_back.max(first)))
    }

    /// Takes what was waiting when an application begins.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        self.first = None;
        std::mem::take(&mut self.waiting)
    }

    /// An application is over.
    pub(super) fn applied(&mut self, begun: Instant, now: Instant) {
        self.paid_back = Some(now + now.saturating_duration_since(begun).min(MOST));
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
    use futures::future::join_all;
    use rutter_api::intent::Intent;

    use crate::clock::Clock;
    use crate::state::{Earlier, Keeper};
    use crate::supervisor::{MAILBOX, StopMode, start};

    use super::*;

    // On one thread: all of them wait in the mailbox before the supervisor looks at the first.
    #[tokio::test]
    async fn what_waits_together_is_applied_once_and_answered_alike() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = Keeper::new(folder.path().join("state.json"));
        let supervisor = start(Clock::start(), None, &Earlier::default(), keeper);
        let intent = |routes: usize| -> Intent {
            let routes: Vec<_> = (0..routes).map(|route| format!("{{prefix: 10.9.{route}.0/24}}")).collect();
            let instance = "name: m, localASN: 65001, routerID: 10.0.0.1";
            let yaml = format!("instances: [{{{instance}, routes: [{}]}}]", routes.join(", "));
            serde_saphyr::from_str(&yaml).expect("an intent")
        };
        let owner = Owner::new("a").expect("a name");
        let puts = (1..=MAILBOX).map(|routes| supervisor.put(owner.clone(), intent(routes)));
        let answers: Vec<_> = join_all(puts).await.into_iter().map(|one| one.expect("applied")).collect();
        let changes: Vec<String> = answers[0].changes.iter().map(ToString::to_string).collect();
        assert_eq!(changes, [format!("m: added (0 peers, {MAILBOX} routes)")], "the last one, at once");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        supervisor.stop(StopMode::Graceful { text: None }).await;
    }

    fn put() -> Waiting {
        Waiting::Put(Owner::new("a").expect("a name"), oneshot::channel().0)
    }

    #[test]
    fn a_lone_change_does_not_wait_and_a_burst_waits_as_long_as_an_application_takes() {
        let (mut burst, start, millisecond) = (Burst::default(), Instant::now(), Duration::from_millis(1));
        assert_eq!(burst.due(), None);
        burst.add(put(), start);
        assert_eq!(burst.due(), Some(start), "the first one");
        assert_eq!(burst.take().len(), 1);
        burst.applied(start, start + 30 * millisecond);
        assert_eq!(burst.due(), None, "nothing waits");
        for step in 1..=40 {
            burst.add(put(), start + step * millisecond);
        }
        assert_eq!(burst.due(), Some(start + 60 * millisecond), "however many come");
        assert_eq!(burst.take().len(), 40);
        assert_eq!((burst.due(), burst.take().len()), (None, 0));
        burst.add(put(), start + 90 * millisecond);
        assert_eq!(burst.due(), Some(start + 90 * millisecond), "paid back long ago");
        burst.applied(start, start + 9 * MOST);
        assert_eq!(burst.due(), Some(start + 10 * MOST), "an application that took very long");
    }
}
