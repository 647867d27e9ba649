//! The Services that are known, and what is decided of each.
//!
//! Invariant: one entry per namespace and name. Entries have numbers, which are used again once an entry is gone; whatever
//! refers to a number is told before. Everything that has an order goes by age: who was created first, then namespace and name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::plan::{Reason, Release};
use crate::request::{self, InvalidItem, Request};
use crate::reservation;
use crate::service::{Service, ServiceKey};
use crate::settings::Settings;
use crate::waiting::ClassId;

/// Number of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u32);

/// Place in the order of Services: by creation, then by key. No creation (manifests) is older than any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    created: Option<Timestamp>,
    key: Arc<ServiceKey>,
}

impl Age {
    pub(crate) fn of(service: &Service) -> Self {
        Self { created: service.created, key: Arc::clone(&service.key) }
    }
}

/// What is known and decided of a Service.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) service: Arc<Service>,
    pub(crate) age: Age,
    /// Whether it is LB IPAM's.
    pub(crate) ours: bool,
    pub(crate) request: Request,
    /// What is wrong with how long it wants its addresses to be kept.
    pub(crate) bad_grace: Option<Box<InvalidItem>>,
    /// Its addresses, in the order they came.
    pub(crate) held: SmallVec<[Held; 1]>,
    /// The addresses of its status, each once, in their order. It is at these too, as far as others are concerned.
    pub(crate) standing: SmallVec<[IpAddr; 1]>,
    /// Why addresses that stand in the status are not held any more.
    pub(crate) lost: Vec<Lost>,
    pub(crate) say: Say,
    pub(crate) news: News,
    /// What it waits for.
    pub(crate) waits: Waits,
}

/// An address that a Service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) address: IpAddr,
    /// The pool on whose account it was last seen to be held.
    pub(crate) pool: Option<Arc<str>>,
    /// Since when no pool covers it; it goes when the time of grace is over.
    pub(crate) bare_since: Option<Timestamp>,
}

impl Held {
    pub(crate) fn adopted(address: IpAddr) -> Self {
        Self { address, pool: None, bare_since: None }
    }
}

/// An address that a Service has to give up, as long as its status still says it: if the reason goes before that is written,
/// it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// As it was held.
    pub(crate) held: Held,
    /// Why it has to go.
    pub(crate) why: Release,
}

/// What the condition is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Say {
    /// It is not looked at: no pool, not ours, or being deleted.
    #[default]
    Nothing,
    /// All is there.
    Satisfied,
    /// Something is missing.
    Refused(Reason, Box<str>),
}

/// What happened to a Service since it was last judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// It was never judged: its addresses are those of its status, and age decides between it and others.
    pub(crate) first_sight: bool,
    /// Something that sharing depends on changed: it yields to those that stayed as they were.
    pub(crate) rules: bool,
    /// Somebody else wrote other addresses into its status.
    pub(crate) restated: bool,
}

impl News {
    /// Whether its claims are made anew rather than kept.
    pub(crate) fn unseats(self) -> bool {
        self.first_sight || self.rules || self.restated
    }
}

/// What a Service waits for; empty if for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) classes: SmallVec<[ClassId; 2]>,
    pub(crate) addresses: SmallVec<[IpAddr; 1]>,
    pub(crate) key: Option<Box<str>>,
    /// The namespace, if it has enough of a pool.
    pub(crate) quota: Option<Box<str>>,
}

impl Entry {
    pub(crate) fn new(settings: &Settings, service: Arc<Service>) -> Self {
        Self {
            age: Age::of(&service),
            ours: request::handled(settings, &service).is_ok(),
            request: Request::of(settings, &service),
            bad_grace: reservation::grace_of(settings, &service).err().map(Box::new),
            held: SmallVec::new(),
            standing: standing(&service),
            lost: Vec::new(),
            say: Say::Nothing,
            news: News { first_sight: true, ..News::default() },
            waits: Waits::default(),
            service,
        }
    }

    /// Whether the Service holds the address.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.held.iter().any(|held| held.address == address)
    }

    /// Whether the Service is at the address as far as others are concerned.
    pub(crate) fn is_at(&self, address: IpAddr) -> bool {
        self.holds(address) || self.standing.contains(&address)
    }

    /// Whether it has to give this address up.
    pub(crate) fn loses(&self, address: IpAddr) -> bool {
        self.lost.iter().any(|lost| lost.held.address == address)
    }

    /// Whether addresses are decided for it.
    pub(crate) fn is_served(&self) -> bool {
        self.ours && !self.service.deleting
    }
}

/// The addresses of a status, each once.
pub(crate) fn standing(service: &Service) -> SmallVec<[IpAddr; 1]> {
    let mut standing: SmallVec<[IpAddr; 1]> = SmallVec::new();
    for address in service.ingress.iter().filter_map(|entry| entry.ip) {
        if !standing.contains(&address) {
            standing.push(address);
        }
    }
    standing
}

/// The entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    entries: Vec<Option<Entry>>,
    vacant: Vec<Id>,
    by_key: BTreeMap<Arc<ServiceKey>, Id>,
}

impl Roster {
    pub(crate) fn find(&self, key: &ServiceKey) -> Option<Id> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn insert(&mut self, entry: Entry) -> Id {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            Id(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
        });
        self.by_key.insert(Arc::clone(&entry.service.key), id);
        if let Some(place) = self.entries.get_mut(id.0 as usize) {
            *place = Some(entry);
        }
        id
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<Entry> {
        let entry = self.entries.get_mut(id.0 as usize)?.take()?;
        self.by_key.remove(&entry.service.key);
        self.vacant.push(id);
        Some(entry)
    }

    /// All of them, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &Entry)> {
        self.by_key.values().filter_map(|id| Some((*id, self.get(*id)?)))
    }
}
