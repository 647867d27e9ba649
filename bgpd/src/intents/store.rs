//! Who wants what, and until when.
//!
//! Invariant: an owner has one intent, whole. An intent with a hold time is gone once that long has passed since it was
//! last put, and not earlier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rutter_api::control::IntentSummary;
use rutter_api::intent::{Instance, Intent};

use crate::handover::parcel::HeldIntent;
use crate::intents::Owner;
use crate::intents::merge::{Merged, merge};
use crate::state::{SavedIntent, epoch_millis};

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
    expires: Option<Instant>,
}

impl IntentStore {
    /// Replaces what an owner wants and restarts its hold time. Gives back the instances as they are held.
    pub fn put(&mut self, owner: Owner, intent: Intent, now: Instant) -> &[Arc<Instance>] {
        let left = intent.hold_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        self.hold(owner, intent, left, now)
    }

    /// Takes an intent over from a bgpd before, with what is left of its hold time.
    pub fn hold(
        &mut self,
        owner: Owner,
        intent: Intent,
        left: Option<Duration>,
        now: Instant,
    ) -> &[Arc<Instance>] {
        let Intent { hold_seconds, instances } = intent;
        let instances = instances.into_iter().map(Arc::new).collect();
        // A hold time beyond the clock's range never ends.
        let expires = left.and_then(|left| now.checked_add(left));
        let held = Held { hold_seconds, instances, put_at: now, expires };
        &self.owners.entry(owner).insert_entry(held).into_mut().instances
    }

    /// What all owners want, for the process that takes over.
    #[must_use]
    pub fn held(&self, now: Instant) -> BTreeMap<String, HeldIntent> {
        let held = |held: &Held| HeldIntent {
            hold_seconds: held.hold_seconds,
            left: held.expires.map(|at| at.saturating_duration_since(now)),
            instances: held.instances.clone(),
        };
        self.owners.iter().map(|(owner, intent)| (owner.to_string(), held(intent))).collect()
    }

    /// Takes over what another process held.
    pub fn take_over(&mut self, owner: Owner, held: HeldIntent, now: Instant) {
        let HeldIntent { hold_seconds, left, instances } = held;
        let expires = left.and_then(|left| now.checked_add(left));
        self.owners.insert(owner, Held { hold_seconds, instances, put_at: now, expires });
    }

    /// What API owners want, for the bgpd after this one. Nothing of the configuration file: that is read again.
    #[must_use]
    pub fn saved(&self, now: Instant) -> BTreeMap<String, SavedIntent> {
        let wall = epoch_millis(SystemTime::now());
        let save = |held: &Held| SavedIntent {
            hold_seconds: held.hold_seconds,
            held_until: held.expires.map(|at| {
                let left = at.saturating_duration_since(now).as_millis();
                wall.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
            }),
            instances: held.instances.clone(),
        };
        let api = self.owners.iter().filter(|(owner, _)| !owner.is_file());
        api.map(|(owner, held)| (owner.to_string(), save(held))).collect()
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
            .filter(|(_, held)| held.expires.is_some_and(|at| at <= now))
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
        self.owners.values().filter_map(|held| held.expires).min()
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

    /// What all owners together would want if this one wanted something else.
    #[must_use]
    pub fn merged_with(&self, owner: &Owner, intent: Intent) -> Merged {
        let planned: Vec<Arc<Instance>> = intent.instances.into_iter().map(Arc::new).collect();
        let mut all: BTreeMap<&Owner, &[Arc<Instance>]> =
            self.owners.iter().map(|(owner, held)| (owner, held.instances.as_slice())).collect();
        all.insert(owner, &planned);
        merge(all)
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
