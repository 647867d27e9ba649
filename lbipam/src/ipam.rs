//! The allocator: objects in, plan out.
//!
//! ```text
//! handle_*: an object is noted ─► plan: everybody concerned keeps what is still right (keep), oldest first; then whoever
//!                                 misses something is served (give), oldest first; then what the objects do not say yet
//!                                 is what has to be written (change)
//! ```
//! Invariant: nothing is decided before `plan`, so the order in which objects come plays no part. What is decided is held from
//! then on, and nobody else gets an address that somebody holds or that stands in any status.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rutter_crds::CiliumLoadBalancerIPPool;

use crate::cluster_range::ClusterRange;
use crate::give::Work;
use crate::keys::Keys;
use crate::occupancy::{Arrival, Departure, Occupancy};
use crate::plan::Plan;
use crate::pools::{Difference, Pools};
use crate::request::{self, Request};
use crate::reservation;
use crate::reservations::Reservations;
use crate::roster::{Age, Entry, Held, Id, News, Roster, Say, standing};
use crate::service::{Service, ServiceKey};
use crate::settings::Settings;
use crate::sharing;
use crate::waiting::Waiting;

/// The allocator.
#[derive(Clone, Debug)]
pub struct Ipam {
    pub(crate) settings: Settings,
    pub(crate) pools: Pools,
    pub(crate) roster: Roster,
    pub(crate) occupancy: Occupancy,
    pub(crate) keys: Keys,
    pub(crate) waiting: Waiting,
    pub(crate) reservations: Reservations,
    /// Services of which it has to be found out whether they are there, since something is kept for them.
    pub(crate) present: BTreeSet<ServiceKey>,
    /// Who has to be looked at because something about it, or about the pools, changed.
    dirty: Work,
    /// Who has to be served.
    pub(crate) work: Work,
    /// Whose object has to be compared with what is decided.
    pub(crate) review: BTreeSet<Id>,
    /// Addresses at which somebody arrived or from which somebody left.
    pub(crate) touched: BTreeSet<IpAddr>,
    /// Namespaces that came to addresses or left them, in pools that count that.
    pub(crate) touched_namespaces: BTreeSet<Box<str>>,
    /// Sharing keys of which a member changed or moved.
    pub(crate) touched_keys: BTreeSet<Box<str>>,
    /// Whose object does not say what is decided.
    outstanding: Work,
    /// When addresses go by time alone.
    deadlines: BTreeSet<(Timestamp, Age, Id)>,
    deadline_of: BTreeMap<Id, Timestamp>,
    /// Whether anybody was looked at, came or left since edits that wait were last looked at.
    pub(crate) stirred: bool,
}

impl Ipam {
    /// An allocator that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            pools: Pools::default(),
            roster: Roster::default(),
            occupancy: Occupancy::default(),
            keys: Keys::default(),
            waiting: Waiting::default(),
            reservations: Reservations::default(),
            present: BTreeSet::new(),
            dirty: Work::new(),
            work: Work::new(),
            review: BTreeSet::new(),
            touched: BTreeSet::new(),
            touched_namespaces: BTreeSet::new(),
            touched_keys: BTreeSet::new(),
            outstanding: Work::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            stirred: false,
        }
    }

    /// What an administrator decided.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All pools there are. Cheap if nothing but their statuses differs from the last time.
    pub fn handle_pools(&mut self, pools: Vec<Arc<CiliumLoadBalancerIPPool>>, now: Timestamp) {
        let was_empty = self.pools.is_empty();
        let oldest = |address| oldest(&self.roster, &self.occupancy, address);
        if self.pools.replace(pools, &self.occupancy, &oldest, &self.settings, now) == Difference::None {
            return;
        }
        self.pools
            .count_namespaces(&self.occupancy, |address| namespaces(&self.roster, &self.occupancy, address));
        self.judge_everybody(was_empty);
    }

    /// All ranges that the cluster itself uses. Cheap if they are the same as before.
    pub fn handle_cluster_ranges(&mut self, ranges: Vec<ClusterRange>) {
        if self.pools.cover(ranges) == Difference::Decisive {
            self.judge_everybody(false);
        }
    }

    /// Whether any pool is to refuse ranges of the cluster: then nothing should be given before they are known.
    #[must_use]
    pub fn needs_cluster_ranges(&self) -> bool {
        self.pools.iter().any(|(_, member)| member.pool.refuses_cluster_ranges)
    }

    /// Notes that the pools decide differently from now on.
    fn judge_everybody(&mut self, was_empty: bool) {
        self.waiting = Waiting::default();
        let ids: Vec<Id> = self.roster.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(entry) = self.roster.get_mut(id) else { continue };
            entry.waits = Default::default();
            // Without pools nobody was seated, so now age decides.
            entry.news.first_sight |= was_empty;
            self.dirty.insert(entry.age.clone(), id);
        }
    }

    /// A Service that is new or changed.
    pub fn handle_service(&mut self, service: Arc<Service>) {
        let Some(id) = self.roster.find(&service.key) else { return self.arrive(service) };
        let Some(entry) = self.roster.get(id) else { return };
        if *entry.service == *service {
            return;
        }
        let known = |uid: &str| !uid.is_empty();
        if entry.service.uid != service.uid && known(&entry.service.uid) && known(&service.uid) {
            // Another one of the same name.
            self.depart(id);
            return self.arrive(service);
        }
        self.update(id, service);
    }

    /// A Service that is no longer there.
    pub fn handle_service_gone(&mut self, key: &ServiceKey) {
        if let Some(id) = self.roster.find(key) {
            self.depart(id);
        }
    }

    /// Everything that the objects do not say yet. Stays in the plan until they do.
    pub fn plan(&mut self, now: Timestamp) -> Plan {
        self.settle(now);
        self.stage();
        let services =
            self.outstanding.values().filter_map(|id| self.change(self.roster.get(*id)?)).collect();
        Plan { services, pools: self.pools.changes(now), reservations: self.reservation_changes(now) }
    }

    /// When [`Self::plan`] would differ although nothing was handled.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let deadline = self.deadlines.first().map(|(deadline, ..)| *deadline);
        deadline.into_iter().chain(self.pools.forecast_due()).chain(self.reservations.deadline()).min()
    }

    fn arrive(&mut self, service: Arc<Service>) {
        let entry = Entry::new(&self.settings, service);
        let (age, standing, served) = (entry.age.clone(), entry.standing.clone(), entry.is_served());
        let service = Arc::clone(&entry.service);
        let id = self.roster.insert(entry);
        self.attend_to(&service);
        for address in standing {
            self.occupy(id, address);
            self.touched.insert(address);
        }
        if served {
            self.keys.insert(&service, &age, id);
        }
        self.dirty.insert(age, id);
    }

    fn depart(&mut self, id: Id) {
        self.stop_waiting(id);
        let Some(entry) = self.roster.remove(id) else { return };
        self.keys.remove(&entry.service, &entry.age);
        self.touch_key(&entry.service);
        self.attend_to(&entry.service);
        for address in entry.held.iter().map(|held| held.address).chain(entry.standing) {
            self.leave(id, address, &entry.service.key.namespace);
        }
        self.dirty.remove(&entry.age);
        self.work.remove(&entry.age);
        self.review.remove(&id);
        self.outstanding.remove(&entry.age);
        if let Some(deadline) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(deadline, entry.age, id));
        }
    }

    /// Notes a new state of a Service that is known.
    fn update(&mut self, id: Id, service: Arc<Service>) {
        let (ours, request) =
            (request::handled(&self.settings, &service).is_ok(), Request::of(&self.settings, &service));
        let bad_grace = reservation::grace_of(&self.settings, &service).err();
        let Some(entry) = self.roster.get_mut(id) else { return };
        let before = std::mem::replace(&mut entry.service, Arc::clone(&service));
        let old_age = std::mem::replace(&mut entry.age, Age::of(&service));
        let (was_served, old_standing) =
            (entry.ours && !before.deleting, std::mem::replace(&mut entry.standing, standing(&service)));
        let rules = !sharing::unchanged(&before, &service);
        let restated = entry.standing != old_standing
            && !entry.standing.is_empty()
            && (entry.standing.len() != entry.held.len()
                || entry.standing.iter().any(|address| !entry.holds(*address)));
        // Written away by somebody, and nowhere to be had: it goes.
        let bare = |held: &Held| held.bare_since.is_some() && !entry.standing.contains(&held.address);
        let concerned = rules
            || restated
            || entry.held.iter().any(bare)
            || decides(&before) != decides(&service)
            || old_age != entry.age;
        entry.ours = ours;
        entry.request = request;
        entry.bad_grace = bad_grace.map(Box::new);
        entry.news = News {
            first_sight: entry.news.first_sight || (ours && !was_served),
            rules: entry.news.rules || rules,
            restated: entry.news.restated || restated,
        };
        let present = entry.standing.clone();
        entry.lost.retain(|lost| present.contains(&lost.held.address));
        let (age, is_served, held) = (entry.age.clone(), entry.is_served(), entry.held.clone());
        if old_age != age {
            self.rename(id, &old_age, &age);
        }
        for address in &present {
            if !old_standing.contains(address) {
                self.occupy(id, *address);
                self.touched.insert(*address);
            }
        }
        for address in old_standing {
            self.vacate(id, address);
        }
        if rules || was_served != is_served || old_age != age {
            self.keys.remove(&before, &old_age);
            if is_served {
                self.keys.insert(&service, &age, id);
            }
            self.touch_key(&before);
            self.touch_key(&service);
            self.touched.extend(held.iter().map(|held| held.address).chain(present));
        }
        if concerned {
            self.dirty.insert(age, id);
        } else {
            self.review.insert(id);
        }
    }

    /// Moves an entry to another place in the order. Only `created` can do that, so it hardly ever happens.
    fn rename(&mut self, id: Id, old: &Age, new: &Age) {
        if let Some(waits) = self.roster.get(id).map(|entry| entry.waits.clone()) {
            self.waiting.leave(old, &waits);
            self.waiting.enter(new, id, &waits);
        }
        for work in [&mut self.dirty, &mut self.work, &mut self.outstanding] {
            if work.remove(old).is_some() {
                work.insert(new.clone(), id);
            }
        }
        if let Some(deadline) = self.deadline_of.get(&id) {
            self.deadlines.remove(&(*deadline, old.clone(), id));
            self.deadlines.insert((*deadline, new.clone(), id));
        }
    }

    /// Decides everything that is to be decided.
    fn settle(&mut self, now: Timestamp) {
        self.lapse(now);
        while let Some((deadline, age, id)) = self.deadlines.first().cloned() {
            if now < deadline {
                break;
            }
            self.deadlines.remove(&(deadline, age.clone(), id));
            self.deadline_of.remove(&id);
            self.dirty.insert(age, id);
        }
        self.stirred |= !(self.dirty.is_empty() && self.work.is_empty() && self.touched.is_empty());
        let mut dirty = Work::new();
        let mut next = std::mem::take(&mut self.dirty);
        next.extend(self.bereaved());
        while !next.is_empty() {
            let claims: Vec<_> = next.values().map(|id| (*id, self.claims(*id))).collect();
            for (id, claims) in claims {
                self.keep(id, claims, now);
            }
            dirty.append(&mut next);
            next.extend(self.bereaved().into_iter().filter(|(age, _)| !dirty.contains_key(age)));
        }
        for (age, id) in dirty {
            self.review.insert(id);
            let Some(entry) = self.roster.get_mut(id) else { continue };
            if !entry.is_served() {
                entry.say = Say::Nothing;
            } else if self.pools.is_empty() {
                // Nothing is said, or what was said when the last pool went.
            } else if entry.is_complete() {
                entry.say = Say::Satisfied;
            } else {
                self.work.insert(age, id);
                continue;
            }
            self.stop_waiting(id);
        }
        loop {
            self.serve();
            for id in std::mem::take(&mut self.review) {
                self.compare(id);
            }
            self.attend(now);
            if self.is_at_rest() {
                break;
            }
        }
        self.pools.forget_gone();
    }

    /// Whether nothing is left that may help anybody.
    fn is_at_rest(&self) -> bool {
        self.work.is_empty()
            && self.touched.is_empty()
            && self.touched_keys.is_empty()
            && self.touched_namespaces.is_empty()
    }

    /// Who has to give up an address at which something changed, and may keep it now.
    fn bereaved(&self) -> Work {
        let mut bereaved = Work::new();
        for address in &self.touched {
            for id in self.occupancy.at(*address) {
                if let Some(entry) = self.roster.get(*id).filter(|entry| entry.loses(*address)) {
                    bereaved.insert(entry.age.clone(), *id);
                }
            }
        }
        bereaved
    }

    /// Compares what an object says with what is decided, and notes when that changes by itself.
    fn compare(&mut self, id: Id) {
        let Some(entry) = self.roster.get(id) else { return };
        let (age, deadline, differs) =
            (entry.age.clone(), entry.deadline(self), self.change(entry).is_some());
        let service = Arc::clone(&entry.service);
        if differs {
            self.outstanding.insert(age.clone(), id);
        } else {
            self.outstanding.remove(&age);
        }
        if let Some(old) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(old, age.clone(), id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, age, id));
            self.deadline_of.insert(id, deadline);
        }
        self.attend_to(&service);
    }

    /// Somebody is at an address from now on.
    pub(crate) fn occupy(&mut self, id: Id, address: IpAddr) {
        let arrival = self.occupancy.enter(address, id);
        if arrival == Arrival::None {
            return;
        }
        if arrival == Arrival::First {
            self.pools.take(address);
        }
        if let Some(namespace) = self.roster.get(id).map(|entry| entry.service.key.namespace.clone())
            && !self.is_there(&namespace, address, Some(id))
            && self.pools.namespace_comes(address, &namespace)
        {
            self.touched_namespaces.insert(namespace);
        }
        self.note(address);
    }

    fn note(&mut self, address: IpAddr) {
        self.pools.note(address, &|address| oldest(&self.roster, &self.occupancy, address));
    }

    /// Somebody may be at an address no longer; it is, as long as it holds it or its status says so.
    pub(crate) fn vacate(&mut self, id: Id, address: IpAddr) {
        let Some(entry) = self.roster.get(id) else { return };
        if entry.is_at(address) {
            self.touched.insert(address);
        } else {
            let namespace = entry.service.key.namespace.clone();
            self.leave(id, address, &namespace);
        }
    }

    fn leave(&mut self, id: Id, address: IpAddr, namespace: &str) {
        match self.occupancy.leave(address, id) {
            Departure::None => return,
            Departure::Last => self.pools.free(address),
            Departure::Further => {}
        }
        if !self.is_there(namespace, address, Some(id)) && self.pools.namespace_goes(address, namespace) {
            self.touched_namespaces.insert(namespace.into());
        }
        self.note(address);
        self.touched.insert(address);
    }

    pub(crate) fn touch_key(&mut self, service: &Service) {
        if let Some(key) = sharing::key(service) {
            self.touched_keys.insert(key.into());
        }
    }
}

/// The namespaces of those who are at an address or for whom it is kept.
fn namespaces<'a>(
    roster: &'a Roster,
    occupancy: &'a Occupancy,
    address: IpAddr,
) -> impl Iterator<Item = &'a str> {
    let entries = occupancy.at(address).iter().filter_map(|id| roster.get(*id));
    entries.map(|entry| &*entry.service.key.namespace).chain(occupancy.reserved(address))
}

/// When the oldest of those who are at an address was created.
fn oldest(roster: &Roster, occupancy: &Occupancy, address: IpAddr) -> Option<Timestamp> {
    let entries = occupancy.at(address).iter().filter_map(|id| roster.get(*id));
    entries.map(|entry| entry.service.created).min().flatten()
}

/// Everything of a Service that a decision looks at, apart from what sharing looks at and from its status.
fn decides(service: &Service) -> impl PartialEq {
    let Service { labels, annotations, class, families, family_policy, load_balancer_ip, .. } = service;
    (
        (labels.clone(), annotations.clone(), class.clone(), families.clone()),
        (*family_policy, load_balancer_ip.clone(), service.load_balancer, service.deleting),
    )
}
