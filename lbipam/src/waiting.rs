//! Who waits for what, so that whatever becomes free finds whom it helps without asking everybody.
//!
//! Invariant: a Service that misses something is registered under everything that could give it, apart from a change of the
//! pools or of itself, after which it is judged anyway. Services that are in the same position, out of the same pools, form a
//! class: if its oldest member cannot be helped, none can.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::roster::{Age, Id, Waits};
use crate::service::Family;

/// Number of a class.
pub(crate) type ClassId = u32;

/// What the members of a class have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassKey {
    pub(crate) family: Family,
    /// The pools out of which they could be served, by place.
    pub(crate) pools: Box<[u32]>,
    /// Their namespace, if one of the pools counts by namespace.
    pub(crate) namespace: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct Class {
    key: ClassKey,
    members: BTreeMap<Age, Id>,
}

/// Who waits for what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    classes: BTreeMap<ClassId, Class>,
    next: ClassId,
    by_class: BTreeMap<ClassKey, ClassId>,
    by_pool: BTreeMap<(u32, Family), BTreeSet<ClassId>>,
    by_address: BTreeMap<IpAddr, BTreeMap<Age, Id>>,
    by_key: BTreeMap<Box<str>, BTreeMap<Age, Id>>,
    by_quota: BTreeMap<Box<str>, BTreeMap<Age, Id>>,
    by_namespace: BTreeMap<Box<str>, BTreeSet<ClassId>>,
}

impl Waiting {
    /// The class of this kind, made if there is none.
    pub(crate) fn class(&mut self, key: ClassKey) -> ClassId {
        if let Some(id) = self.by_class.get(&key) {
            return *id;
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        for pool in &key.pools {
            self.by_pool.entry((*pool, key.family)).or_default().insert(id);
        }
        if let Some(namespace) = &key.namespace {
            self.by_namespace.entry(namespace.clone()).or_default().insert(id);
        }
        self.by_class.insert(key.clone(), id);
        self.classes.insert(id, Class { key, members: BTreeMap::new() });
        id
    }

    /// Somebody begins to wait.
    pub(crate) fn enter(&mut self, age: &Age, id: Id, waits: &Waits) {
        for class in &waits.classes {
            if let Some(class) = self.classes.get_mut(class) {
                class.members.insert(age.clone(), id);
            }
        }
        for address in &waits.addresses {
            self.by_address.entry(*address).or_default().insert(age.clone(), id);
        }
        if let Some(key) = &waits.key {
            self.by_key.entry(key.clone()).or_default().insert(age.clone(), id);
        }
        if let Some(namespace) = &waits.quota {
            self.by_quota.entry(namespace.clone()).or_default().insert(age.clone(), id);
        }
    }

    /// Somebody waits no longer.
    pub(crate) fn leave(&mut self, age: &Age, waits: &Waits) {
        for id in &waits.classes {
            let Some(class) = self.classes.get_mut(id) else { continue };
            class.members.remove(age);
            if class.members.is_empty() {
                self.forget(*id);
            }
        }
        for address in &waits.addresses {
            leave(&mut self.by_address, address, age);
        }
        if let Some(key) = &waits.key {
            leave(&mut self.by_key, key, age);
        }
        if let Some(namespace) = &waits.quota {
            leave(&mut self.by_quota, namespace, age);
        }
    }

    fn forget(&mut self, id: ClassId) {
        let Some(class) = self.classes.remove(&id) else { return };
        self.by_class.remove(&class.key);
        if let Some(namespace) = &class.key.namespace
            && let Some(classes) = self.by_namespace.get_mut(namespace)
        {
            classes.remove(&id);
            if classes.is_empty() {
                self.by_namespace.remove(namespace);
            }
        }
        for pool in &class.key.pools {
            let place = (*pool, class.key.family);
            if let Some(classes) = self.by_pool.get_mut(&place) {
                classes.remove(&id);
                if classes.is_empty() {
                    self.by_pool.remove(&place);
                }
            }
        }
    }

    /// The classes that a pool could serve with a family.
    pub(crate) fn classes_of(&self, pool: u32, family: Family) -> impl Iterator<Item = ClassId> {
        self.by_pool.get(&(pool, family)).into_iter().flatten().copied()
    }

    /// The classes that a pool which counts by namespace could serve, of one namespace.
    pub(crate) fn classes_in(&self, namespace: &str) -> impl Iterator<Item = ClassId> {
        self.by_namespace.get(namespace).into_iter().flatten().copied()
    }

    /// The oldest member of a class.
    pub(crate) fn oldest(&self, class: ClassId) -> Option<(Age, Id)> {
        let (age, id) = self.classes.get(&class)?.members.first_key_value()?;
        Some((age.clone(), *id))
    }

    /// Who waits for this very address.
    pub(crate) fn for_address(&self, address: IpAddr) -> impl Iterator<Item = (&Age, Id)> {
        all(self.by_address.get(&address))
    }

    /// Who waits because its namespace has enough of a pool.
    pub(crate) fn for_quota(&self, namespace: &str) -> impl Iterator<Item = (&Age, Id)> {
        all(self.by_quota.get(namespace))
    }

    /// Who waits and has this sharing key.
    pub(crate) fn for_key(&self, key: &str) -> impl Iterator<Item = (&Age, Id)> {
        all(self.by_key.get(key))
    }
}

fn all(waiting: Option<&BTreeMap<Age, Id>>) -> impl Iterator<Item = (&Age, Id)> {
    waiting.into_iter().flatten().map(|(age, id)| (age, *id))
}

fn leave<K: Ord + Borrow<Q>, Q: Ord + ?Sized>(
    waiting: &mut BTreeMap<K, BTreeMap<Age, Id>>,
    key: &Q,
    age: &Age,
) {
    let Some(all) = waiting.get_mut(key) else { return };
    all.remove(age);
    if all.is_empty() {
        waiting.remove(key);
    }
}
