//! Which changes to leave alone for a while: those that just failed, and those that were made and not yet seen.
//!
//! Invariant: one object that cannot be written holds up no other, and a change that is another than the one that failed is
//! tried at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_sync::cluster::ApiError;
use k8s_sync::object::ObjectRef;
use rutter_crds::Condition;
use tokio::time::Instant;

use crate::changes::{Act, Change};

/// First pause after a failure. It doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);
/// Pause after the first conflict: what somebody wrote in between, such as an agent's status, is about to come.
const AFTER_CONFLICT: Duration = Duration::from_millis(100);
/// Failures after which the pause does not grow any more: about eight and a half minutes.
const STEPS: u32 = 10;
/// How long our own write may take to come back through the watch.
const ECHO: Duration = Duration::from_secs(5);

/// What there is to remember about objects.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    waiting: BTreeMap<(ObjectRef, bool), Wait>,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    act: Act,
    failures: u32,
    error: Option<String>,
    /// The version that our write led to.
    written: Option<String>,
}

/// Specs and statuses of one object fail on their own.
fn key(change: &Change) -> (ObjectRef, bool) {
    (change.object.clone(), matches!(change.act, Act::Apply { .. } | Act::Delete))
}

impl Retries {
    /// Whether to make this change now.
    pub(crate) fn is_due(&self, change: &Change, now: Instant) -> bool {
        let Some(wait) = self.waiting.get(&key(change)) else { return true };
        if wait.failures > 0 {
            return now >= wait.until || !same(&wait.act, &change.act);
        }
        // Computed from what was there before our own write: no news.
        let seen = change.based_on.as_ref().map(|based_on| based_on.version.as_str());
        let stale = match (number(wait.written.as_deref()), number(seen)) {
            (Some(written), Some(seen)) => seen < written,
            (Some(_), None) | (None, Some(_)) => same(&wait.act, &change.act),
            (None, None) => false,
        };
        now >= wait.until || !stale
    }

    /// The change was made.
    pub(crate) fn made(&mut self, change: &Change, written: Option<String>, now: Instant) {
        let wait = Wait { until: now + ECHO, act: change.act.clone(), failures: 0, error: None, written };
        self.waiting.insert(key(change), wait);
    }

    /// The change failed. Gives the pause before it is tried again.
    pub(crate) fn failed(&mut self, change: &Change, error: &ApiError, now: Instant) -> Duration {
        let (error, asked, conflict) = (error.to_string(), error.retry_after(), error.is_conflict());
        let failures = self.waiting.get(&key(change)).map_or(0, |wait| wait.failures) + 1;
        let first = if conflict && failures == 1 { AFTER_CONFLICT } else { FIRST };
        let pause = (first * 2_u32.pow((failures - 1).min(STEPS - 1))).max(asked.unwrap_or_default());
        let wait =
            Wait { until: now + pause, act: change.act.clone(), failures, error: Some(error), written: None };
        self.waiting.insert(key(change), wait);
        pause
    }

    /// Forgets what is over: changes that nobody wants any more.
    pub(crate) fn keep_only(&mut self, changes: &[Change], now: Instant) {
        let wanted: BTreeSet<_> = changes.iter().map(key).collect();
        self.waiting.retain(
            |waiting, wait| {
                if wait.failures > 0 { wanted.contains(waiting) } else { now < wait.until }
            },
        );
    }

    /// When to look again, if nothing else happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|wait| wait.until).min()
    }

    /// What cannot be written, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&ObjectRef, u32, &str)> {
        self.waiting
            .iter()
            .filter_map(|((object, _), wait)| Some((object, wait.failures, wait.error.as_deref()?)))
    }
}

/// Whether two changes are the same but for the moment they were computed at.
fn same(a: &Act, b: &Act) -> bool {
    match (a, b) {
        (Act::Conditions(a), Act::Conditions(b)) => {
            let without_time = |condition: &Condition| {
                let Condition { message, observed_generation, reason, status, type_, .. } = condition.clone();
                (message, observed_generation, reason, status, type_)
            };
            a.iter().map(without_time).eq(b.iter().map(without_time))
        }
        _ => a == b,
    }
}

fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::{NODE_CONFIG, Version};

    fn change(name: &str, version: Option<&str>, act: Act) -> Change {
        let object = ObjectRef::cluster(NODE_CONFIG, name);
        let based_on = version.map(|version| Version { uid: "u".to_owned(), version: version.to_owned() });
        Change { blame: object.clone(), object, based_on, act }
    }

    fn refused(status: u16, retry_after: Option<Duration>) -> ApiError {
        let (what, reason, message) = ("apply x".to_owned(), String::new(), "no".to_owned());
        ApiError::Refused { what, status, reason, message, retry_after }
    }

    #[test]
    fn failures_wait_longer_and_longer_and_alone() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let change = change("a", Some("1"), Act::Delete);
        let pauses: Vec<u64> =
            (0..12).map(|_| retries.failed(&change, &refused(422, None), now).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
        assert!(!retries.is_due(&change, now + Duration::from_secs(511)));
        assert!(retries.is_due(&change, now + Duration::from_secs(512)));
        let other = Change { object: ObjectRef::cluster(NODE_CONFIG, "b"), ..change.clone() };
        assert!(retries.is_due(&other, now));
        let different = Change { act: Act::Conditions(Vec::new()), ..change.clone() };
        assert!(retries.is_due(&different, now), "another change may succeed");
        retries.keep_only(&[], now);
        assert_eq!(retries.failures().count(), 0);
        let asked = retries.failed(&change, &refused(429, Some(Duration::from_secs(7))), now);
        assert_eq!(asked.as_secs(), 7);
        retries.keep_only(&[], now);
        let conflicts = [(); 3].map(|()| retries.failed(&change, &refused(409, None), now).as_millis());
        assert_eq!(conflicts, [100, 2000, 4000]);
    }

    #[test]
    fn our_own_write_is_not_repeated_until_it_came_back() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.made(&change("a", Some("5"), Act::Delete), Some("9".to_owned()), now);
        assert!(!retries.is_due(&change("a", Some("5"), Act::Delete), now));
        assert!(retries.is_due(&change("a", Some("10"), Act::Delete), now), "somebody wrote after us");
        assert!(retries.is_due(&change("a", Some("5"), Act::Delete), now + ECHO), "it does not come back");
        retries.made(&change("new", None, Act::Delete), Some("11".to_owned()), now);
        assert!(!retries.is_due(&change("new", None, Act::Delete), now));
    }
}
