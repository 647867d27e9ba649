//! All objects of a cluster or directory with an allocator that has read them, run until nothing is left to write: for
//! questions of the kind "what if".
//!
//! Invariant: what happens here is what would happen there; a world only takes the place of the API server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rutter_crds::{CiliumLoadBalancerIPPool, LoadBalancerIPReservation};
use serde::Serialize;

use crate::explain::Explanation;
use crate::ipam::Ipam;
use crate::plan::{Cause, Plan, ReservationChange, Verdict};
use crate::service::{Service, ServiceKey};
use crate::settings::Settings;

/// More rounds than any chain of consequences has: each Service and pool is written once, seldom twice.
const ROUNDS: usize = 100;

/// Objects, and what allocation makes of them.
#[derive(Clone, Debug)]
pub struct World {
    pools: BTreeMap<Box<str>, Arc<CiliumLoadBalancerIPPool>>,
    services: BTreeMap<Arc<ServiceKey>, Arc<Service>>,
    reservations: BTreeMap<Box<str>, Arc<LoadBalancerIPReservation>>,
    ipam: Ipam,
    now: Timestamp,
}

/// What becomes of one Service between two worlds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Which one.
    pub service: ServiceKey,
    /// In a word.
    pub effect: Effect,
    /// Its addresses before.
    pub before: Box<[IpAddr]>,
    /// And after.
    pub after: Box<[IpAddr]>,
    /// Its condition after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Verdict>,
    /// Why, in the order in which it happened.
    pub causes: Box<[Cause]>,
}

/// What becomes of a Service, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It loses an address and gets none for it.
    Released,
    /// It loses an address and gets another.
    Moved,
    /// It gets an address and loses none.
    Served,
    /// Its addresses stay; its condition says something else.
    Condition,
}

impl World {
    /// These objects. Nothing is decided yet.
    #[must_use]
    pub fn new(
        settings: Settings,
        pools: impl IntoIterator<Item = Arc<CiliumLoadBalancerIPPool>>,
        services: impl IntoIterator<Item = Arc<Service>>,
        now: Timestamp,
    ) -> Self {
        let mut world = Self::around(Ipam::new(settings), pools, services, [], now);
        world.ipam.handle_pools(world.pools.values().cloned().collect(), now);
        for service in world.services.values() {
            world.ipam.handle_service(Arc::clone(service));
        }
        world
    }

    /// The same around an allocator that was handed these objects already.
    #[must_use]
    pub fn around(
        ipam: Ipam,
        pools: impl IntoIterator<Item = Arc<CiliumLoadBalancerIPPool>>,
        services: impl IntoIterator<Item = Arc<Service>>,
        reservations: impl IntoIterator<Item = Arc<LoadBalancerIPReservation>>,
        now: Timestamp,
    ) -> Self {
        let by_name = |pool: Arc<CiliumLoadBalancerIPPool>| {
            (pool.metadata.name.clone().unwrap_or_default().into_boxed_str(), pool)
        };
        Self {
            pools: pools.into_iter().map(by_name).collect(),
            services: services.into_iter().map(|service| (Arc::clone(&service.key), service)).collect(),
            reservations: reservations.into_iter().map(|object| (name_of(&object), object)).collect(),
            ipam,
            now,
        }
    }

    /// The allocator.
    #[must_use]
    pub fn ipam(&self) -> &Ipam {
        &self.ipam
    }

    /// The pools by name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<CiliumLoadBalancerIPPool>> {
        self.pools.values()
    }

    /// The Services, sorted.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// A Service.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// Adds or replaces a pool.
    pub fn put_pool(&mut self, pool: Arc<CiliumLoadBalancerIPPool>) {
        let name = pool.metadata.name.clone().unwrap_or_default().into_boxed_str();
        self.pools.insert(name, pool);
        self.ipam.handle_pools(self.pools.values().cloned().collect(), self.now);
    }

    /// Takes a pool away. Whether it was there.
    pub fn remove_pool(&mut self, name: &str) -> bool {
        let was_there = self.pools.remove(name).is_some();
        self.ipam.handle_pools(self.pools.values().cloned().collect(), self.now);
        was_there
    }

    /// Adds or replaces a Service.
    pub fn put_service(&mut self, service: Arc<Service>) {
        self.services.insert(Arc::clone(&service.key), Arc::clone(&service));
        self.ipam.handle_service(service);
    }

    /// Adds or replaces a reservation, which keeps the status of the one of its name. Whether there was one.
    pub fn suppose_reservation(&mut self, reservation: &LoadBalancerIPReservation) -> bool {
        let (mut reservation, name) = (reservation.clone(), name_of(reservation));
        let was = self.reservations.get(&name);
        match was {
            Some(was) => {
                reservation.status.clone_from(&was.status);
                let (new, old) = (&mut reservation.metadata, &was.metadata);
                new.uid.clone_from(&old.uid);
                new.creation_timestamp.clone_from(&old.creation_timestamp);
            }
            None => reservation.metadata.creation_timestamp = Some(Time(self.now)),
        }
        let replaced = was.is_some();
        self.reservations.insert(name, Arc::new(reservation));
        self.tell_reservations();
        replaced
    }

    fn tell_reservations(&mut self) {
        self.ipam.handle_reservations(self.reservations.values().cloned().collect());
    }

    /// A pool as a file has it, in place of the one of its name: that one's status and identity stay. A new one is the
    /// youngest.
    pub fn suppose_pool(&mut self, pool: &CiliumLoadBalancerIPPool) {
        let mut pool = pool.clone();
        match self.pools.get(pool.metadata.name.as_deref().unwrap_or_default()) {
            Some(was) => {
                pool.status.clone_from(&was.status);
                let (new, old) = (&mut pool.metadata, &was.metadata);
                new.uid.clone_from(&old.uid);
                new.creation_timestamp.clone_from(&old.creation_timestamp);
                // The server counts edits of the spec; one that waits for confirmation is known by its number.
                new.generation =
                    old.generation.map(|generation| generation + i64::from(pool.spec != was.spec));
            }
            None => pool.metadata.creation_timestamp = Some(Time(self.now)),
        }
        self.put_pool(Arc::new(pool));
    }

    /// A Service as a file has it, in place of the one of its name: that one's status and identity stay. A new one is the
    /// youngest. An API server writes `ipFamilies` into every Service; a file seldom has them.
    pub fn suppose_service(&mut self, service: &Service) {
        let mut service = service.clone();
        match self.services.get(&service.key) {
            Some(was) => {
                service.uid.clone_from(&was.uid);
                service.created = was.created;
                service.ingress.clone_from(&was.ingress);
                service.condition.clone_from(&was.condition);
                if service.families.is_empty() {
                    service.families.clone_from(&was.families);
                }
            }
            None => {
                service.created = Some(self.now);
                service.ingress = Box::default();
                service.condition = None;
            }
        }
        self.put_service(Arc::new(service));
    }

    /// Explains a Service; nothing if it is not there.
    #[must_use]
    pub fn explain(&self, key: &ServiceKey) -> Option<Explanation> {
        self.ipam.explain(key, self.now)
    }

    /// Decides everything that is to be decided, and writes nothing of it.
    pub fn decide(&mut self) {
        self.ipam.plan(self.now);
    }

    /// Writes what there is to write until there is nothing, and lets the grace time of deleted pools pass. What happened,
    /// by Service.
    pub fn settle(&mut self) -> BTreeMap<Arc<ServiceKey>, Vec<Cause>> {
        let mut causes: BTreeMap<Arc<ServiceKey>, Vec<Cause>> = BTreeMap::new();
        let end = self.now + self.ipam.settings().grace + SignedDuration::from_secs(1);
        for _ in 0..ROUNDS {
            let plan = self.ipam.plan(self.now);
            if plan == Plan::default() {
                match self.ipam.poll_deadline().filter(|deadline| *deadline <= end && *deadline > self.now) {
                    Some(deadline) => self.now = deadline,
                    None => break,
                }
                continue;
            }
            for change in plan.services {
                let service = change.applied();
                causes.entry(Arc::clone(&service.key)).or_default().extend(change.causes);
                self.put_service(service);
            }
            for change in &plan.reservations {
                self.write_reservation(change);
            }
            if !plan.reservations.is_empty() {
                self.tell_reservations();
            }
            if plan.pools.is_empty() {
                continue;
            }
            for change in plan.pools {
                let pool = change.applied();
                self.pools.insert(pool.metadata.name.clone().unwrap_or_default().into_boxed_str(), pool);
            }
            self.ipam.handle_pools(self.pools.values().cloned().collect(), self.now);
        }
        causes
    }

    fn write_reservation(&mut self, change: &ReservationChange) {
        match change.applied() {
            Some(object) => {
                let mut object = LoadBalancerIPReservation::clone(&object);
                object.metadata.creation_timestamp.get_or_insert(Time(self.now));
                self.reservations.insert(name_of(&object), Arc::new(object));
            }
            None => {
                if let ReservationChange::Delete { object } = change {
                    self.reservations.remove(&name_of(object));
                }
            }
        }
    }

    /// What is different for whom, the worst first. `causes`: what [`settle`](Self::settle) said on the way from one to the other.
    #[must_use]
    pub fn compare(
        before: &Self,
        after: &Self,
        mut causes: BTreeMap<Arc<ServiceKey>, Vec<Cause>>,
    ) -> Vec<Move> {
        let mut moves = Vec::new();
        for (key, service) in &after.services {
            let old = before.services.get(key);
            let had = old.map(|service| addresses(service)).unwrap_or_default();
            let has = addresses(service);
            let lost = had.iter().any(|address| !has.contains(address));
            let got = has.iter().any(|address| !had.contains(address));
            let effect = match (lost, got) {
                (true, false) => Effect::Released,
                (true, true) => Effect::Moved,
                (false, true) => Effect::Served,
                (false, false)
                    if old.and_then(|old| old.condition.as_ref()) != service.condition.as_ref() =>
                {
                    Effect::Condition
                }
                (false, false) => continue,
            };
            moves.push(Move {
                service: ServiceKey::clone(key),
                effect,
                before: had.into(),
                after: has.into(),
                condition: service.condition.clone(),
                causes: causes.remove(key).unwrap_or_default().into(),
            });
        }
        moves.sort_by(|a, b| (a.effect, &a.service).cmp(&(b.effect, &b.service)));
        moves
    }
}

fn name_of(reservation: &LoadBalancerIPReservation) -> Box<str> {
    reservation.metadata.name.clone().unwrap_or_default().into_boxed_str()
}

/// The addresses in a Service's status.
fn addresses(service: &Service) -> Vec<IpAddr> {
    service.ingress.iter().filter_map(|entry| entry.ip).collect()
}
