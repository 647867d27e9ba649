//! Who wants what, and until when.
//!
//! Invariant: an owner has one intent, whole. An intent with a hold time is gone once that long has passed since it was
//! last put, and not earlier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rutter_api::control::IntentSummary;
use rutter_api::intent::{Instance, Intent};

use crate::intents::Owner;
use crate::intents::merge::{Merged, merge};

/// The intents of all owners.
#[derive(Debug, Default)]
pub struct IntentStore {
    owners: BTreeMap<Owner, Held>,
}

#[derive(Debug)]
struct Held {
    hold_seconds: Option<u32>,
    /// Shared with whoever follows them.
    instances: Vec<Arc<Instance>>,
    put_at: Instant,
}

impl Held {
    fn expires(&self) -> Option<Instant> {
        let hold = Duration::from_secs(self.hold_seconds?.into());
        // A hold time beyond the clock's range never ends.
        self.put_at.checked_add(hold)
    }
}

impl IntentStore {
    /// Replaces what an owner wants and restarts its hold time.
    pub fn put(&mut self, owner: Owner, intent: Intent, now: Instant) {
        let Intent { hold_seconds, instances } = intent;
        let instances = instances.into_iter().map(Arc::new).collect();
        self.owners.insert(owner, Held { hold_seconds, instances, put_at: now });
    }

    /// Forgets an owner. False if there is none of this name.
    pub fn remove(&mut self, owner: &Owner) -> bool {
        self.owners.remove(owner).is_some()
    }

    /// Forgets owners whose hold time is over and returns them.
    pub fn expire(&mut self, now: Instant) -> Vec<Owner> {
        let gone: Vec<Owner> = self
            .owners
            .iter()
            .filter(|(_, held)| held.expires().is_some_and(|at| at <= now))
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in &gone {
            self.owners.remove(owner);
        }
        gone
    }

    /// When the next hold time is over.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.owners.values().filter_map(Held::expires).min()
    }

    /// What an owner wants.
    #[must_use]
    pub fn get(&self, owner: &Owner) -> Option<Intent> {
        let Held { hold_seconds, instances, .. } = self.owners.get(owner)?;
        let instances = instances.iter().map(|instance| Instance::clone(instance)).collect();
        Some(Intent { hold_seconds: *hold_seconds, instances })
    }

    /// What all owners together want.
    #[must_use]
    pub fn merged(&self) -> Merged {
        merge(self.owners.iter().map(|(owner, held)| (owner, held.instances.as_slice())))
    }

    /// One row per owner.
    #[must_use]
    pub fn summaries(&self, now: Instant) -> Vec<IntentSummary> {
        let row = |(owner, held): (&Owner, &Held)| IntentSummary {
            owner: owner.to_string(),
            instances: held.instances.len(),
            peers: held.instances.iter().map(|instance| instance.peers.len()).sum(),
            routes: held.instances.iter().map(|instance| instance.routes.len()).sum(),
            age_seconds: now.saturating_duration_since(held.put_at).as_secs(),
            hold_seconds: held.hold_seconds,
        };
        self.owners.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(name).expect("a name")
    }

    #[test]
    fn an_intent_outlives_its_owner_by_the_hold_time() {
        let mut store = IntentStore::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        store.put(owner("a"), Intent { hold_seconds: Some(10), ..Intent::default() }, start);
        store.put(owner("b"), Intent::default(), start);
        assert_eq!(store.next_expiry(), Some(start + 10 * second));
        assert!(store.expire(start + 9 * second).is_empty());
        store.put(owner("a"), Intent { hold_seconds: Some(10), ..Intent::default() }, start + 9 * second);
        assert!(store.expire(start + 18 * second).is_empty(), "a PUT renews");
        assert_eq!(store.expire(start + 19 * second), [owner("a")]);
        assert_eq!(store.next_expiry(), None);
        assert!(store.get(&owner("b")).is_some(), "without a hold time it stays");
    }

    #[test]
    fn the_file_comes_first() {
        let mut owners = [owner("zeta"), owner("alpha"), Owner::file()];
        owners.sort();
        assert_eq!(owners.map(|owner| owner.to_string()), ["file", "alpha", "zeta"]);
        assert!(Owner::new("a/b").is_err());
        assert!(Owner::new("").is_err());
    }
}
