//! Allocation without an API server: the objects of a directory, and what their status would say.
//!
//! ```text
//! objects of the directory + memory ─► as if a server had them ─► Ipam ─► plan ─► applied, until nothing is left to say
//! ```
//! Invariant: the outcome is what an operator would come to with the same objects. A Service that brings a status of its own
//! keeps it, and nobody else gets its addresses.

mod dress;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use lbipam::plan::ReservationChange;
use lbipam::{Cause, Ipam, PoolView, ServiceChange, ServiceKey, Settings, node_ipam};
use rutter_crds::{CiliumLoadBalancerIPPool, Condition, ConditionStatus, LoadBalancerIPReservation};

use super::memory::{Memory, RememberedPool};
use super::{feed, node_plan};
use crate::object::{NamespacedName, ObjectRef, Service};
use crate::report::{Finding, Reason, Report};
use crate::snapshot::Snapshot;

/// Each round writes what the one before decided; more than a few come only of a mistake.
const ROUNDS: usize = 20;
/// The class of a Service whose status is not ours to change: nobody's.
const PREPARED: &str = "rutter.dev/prepared";

/// What is allocated here.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Whether LB IPAM is on. (Whether Node IPAM is, stands in the settings.)
    pub lb_ipam: bool,
    /// The settings.
    pub settings: Settings,
}

impl Default for Allocation {
    fn default() -> Self {
        Self { lb_ipam: true, settings: Settings::default() }
    }
}

/// The allocator of one directory.
#[derive(Debug)]
pub struct Local {
    allocation: Allocation,
    ipam: Ipam,
    memory: Memory,
    /// Whether somebody else may have changed the memory.
    recalled: bool,
    /// The objects as they are written.
    raw: Arc<Snapshot>,
    /// The objects as the allocator saw them last.
    seen: Snapshot,
    /// Services that keep the status they brought although the allocator would give them another.
    pinned: BTreeSet<Arc<NamespacedName>>,
    /// The objects as a server would have them.
    snapshot: Arc<Snapshot>,
    report: Report,
}

/// Why a Service changed.
pub type Caused = (Arc<ServiceKey>, Cause);

impl Local {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(allocation: Allocation) -> Self {
        Self {
            ipam: Ipam::new(allocation.settings.clone()),
            allocation,
            memory: Memory::default(),
            recalled: false,
            raw: Arc::default(),
            seen: Snapshot::default(),
            pinned: BTreeSet::new(),
            snapshot: Arc::default(),
            report: Report::default(),
        }
    }

    /// One look at these objects, for whoever asks once: then [`Self::snapshot`] and [`Self::report`] have the answer.
    #[must_use]
    pub fn look(raw: &Arc<Snapshot>, allocation: Allocation, memory: Memory, now: Timestamp) -> Self {
        let mut local = Self::new(allocation);
        local.recall(memory);
        local.step(raw, true, now);
        local
    }

    /// What somebody remembers: this allocator in an earlier life, or one beside it.
    pub fn recall(&mut self, memory: Memory) {
        if self.memory != memory {
            self.memory = memory;
            self.recalled = true;
        }
    }

    /// What is to be remembered.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The objects with the addresses that they got.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// What there is to say about pools and Services.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The pools.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolView> {
        self.ipam.pools().collect()
    }

    /// Looks at the objects. `certain` says that they are all there are: otherwise nothing is forgotten. Gives what happened, or
    /// nothing if nothing can be different.
    pub fn step(&mut self, raw: &Arc<Snapshot>, certain: bool, now: Timestamp) -> Option<Vec<Caused>> {
        let due = self.ipam.poll_deadline().is_some_and(|deadline| deadline <= now);
        if Arc::ptr_eq(raw, &self.raw) && !due && !std::mem::take(&mut self.recalled) {
            return None;
        }
        self.recalled = false;
        let dressed = self.dress(raw, certain);
        self.raw = Arc::clone(raw);
        self.hand_over(dressed, now);
        let mut causes = Vec::new();
        let mut rounds = 0..ROUNDS;
        while rounds.next().is_some() && self.round(&mut causes, now) {}
        self.say_why();
        self.remember(certain, now);
        self.publish();
        Some(causes)
    }

    fn hand_over(&mut self, next: Snapshot, now: Timestamp) {
        if self.allocation.lb_ipam {
            feed(&mut self.ipam, &self.seen, &next, now);
        }
        self.seen = next;
    }

    /// Applies what is still to be said. Whether there was anything.
    fn round(&mut self, causes: &mut Vec<Caused>, now: Timestamp) -> bool {
        let mut next = self.seen.clone();
        let mut changes = node_plan(&self.allocation.settings, &self.seen).services;
        let mut changed = false;
        if self.allocation.lb_ipam {
            let plan = self.ipam.plan(now);
            changes.extend(plan.services);
            for change in plan.reservations {
                self.apply_reservation(&mut next, &change);
                changed = true;
            }
            for change in plan.pools {
                let pool = change.applied();
                self.note_pool(&pool, &change.annotate);
                let name = pool.metadata.name.clone().unwrap_or_default();
                Arc::make_mut(&mut next.lb_pools).insert(name, pool);
                changed = true;
            }
        }
        for change in changes {
            changed |= self.apply(&mut next, &change);
            causes.extend(change.causes.into_iter().map(|cause| (Arc::clone(&change.service.key), cause)));
        }
        if changed {
            self.hand_over(next, now);
        }
        changed
    }

    fn apply(&mut self, next: &mut Snapshot, change: &ServiceChange) -> bool {
        let key = &change.service.key;
        let name = NamespacedName::new(&*key.namespace, &*key.name);
        let Some((name, raw)) = self.raw.services.get_key_value(&name) else { return false };
        let service = if is_prepared(raw) && change.ingress.is_some() {
            if !self.pinned.insert(Arc::clone(name)) {
                return false;
            }
            let Some(ipam) = &raw.ipam else { return false };
            let nobodys = lbipam::Service {
                class: Some(PREPARED.into()),
                condition: None,
                ..lbipam::Service::clone(ipam)
            };
            Service { ipam: Some(Arc::new(nobodys)), ..Service::clone(raw) }
        } else {
            let Some(current) = next.services.get(name) else { return false };
            current.with_status_of(change.applied())
        };
        Arc::make_mut(&mut next.services).insert(Arc::clone(name), Arc::new(service));
        true
    }

    fn apply_reservation(&mut self, next: &mut Snapshot, change: &ReservationChange) {
        let name = match change {
            ReservationChange::Create { name, .. } => name.to_string(),
            ReservationChange::Spec { object, .. }
            | ReservationChange::Status { object, .. }
            | ReservationChange::Delete { object } => object.metadata.name.clone().unwrap_or_default(),
        };
        let reservations = Arc::make_mut(&mut next.lb_reservations);
        match change.applied() {
            Some(reservation) => {
                self.memory.reservations.insert(name.clone(), LoadBalancerIPReservation::clone(&reservation));
                reservations.insert(name, reservation);
            }
            None => {
                self.memory.reservations.remove(&name);
                reservations.remove(&name);
            }
        }
    }

    fn note_pool(&mut self, pool: &CiliumLoadBalancerIPPool, annotate: &[(&'static str, String)]) {
        if annotate.is_empty() {
            return;
        }
        let name = pool.metadata.name.clone().unwrap_or_default();
        let mut annotations =
            self.memory.pools.get(&name).map(|known| known.annotations.clone()).unwrap_or_default();
        annotations.extend(annotate.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let generation = pool.metadata.generation.unwrap_or(1);
        self.memory.pools.insert(name, RememberedPool { generation, spec: pool.spec.clone(), annotations });
    }

    /// Where no condition says why a Service has no address, we do.
    fn say_why(&mut self) {
        let mut said: BTreeMap<Arc<NamespacedName>, Arc<Service>> = BTreeMap::new();
        for (name, service) in self.seen.services.iter() {
            let Some(ipam) = service.ipam.as_ref().filter(|ipam| ipam.load_balancer) else { continue };
            if !ipam.ingress.is_empty() || ipam.condition.is_some() {
                continue;
            }
            let why = Some(self.why_none(ipam).into_boxed_str());
            if service.spec.waits != why {
                let mut service = Service::clone(service);
                service.spec.waits = why;
                said.insert(Arc::clone(name), Arc::new(service));
            }
        }
        if !said.is_empty() {
            Arc::make_mut(&mut self.seen.services).extend(said);
        }
    }

    fn why_none(&self, service: &lbipam::Service) -> String {
        let Allocation { lb_ipam, settings } = &self.allocation;
        if node_ipam::handles(settings, service) {
            return "Node IPAM finds no node with an address for it".to_owned();
        }
        match lbipam::handled(settings, service) {
            Err(not_handled) => not_handled.to_string(),
            Ok(()) if !lb_ipam => "LB IPAM is off (--enable-lb-ipam=false)".to_owned(),
            Ok(()) => "there is no CiliumLoadBalancerIPPool".to_owned(),
        }
    }

    fn remember(&mut self, certain: bool, now: Timestamp) {
        if !self.allocation.lb_ipam {
            return;
        }
        for (name, service) in self.seen.services.iter() {
            let Some(raw) = self.raw.services.get(name) else { continue };
            let of = service
                .ipam
                .as_ref()
                .filter(|ipam| !is_prepared(raw) && !node_ipam::handles(&self.allocation.settings, ipam));
            self.memory.note(name, of.map(|ipam| addresses(ipam)).unwrap_or_default());
        }
        if certain {
            let raw = &self.raw;
            self.memory.note_gone(|name| raw.services.contains_key(name), now);
            self.memory.pools.retain(|name, _| raw.lb_pools.contains_key(name));
            self.memory.reservations.retain(|name, reservation| {
                raw.lb_reservations.contains_key(name) || dress::is_made(reservation)
            });
        }
        for (name, remembered) in &mut self.memory.pools {
            let Some(pool) = self.seen.lb_pools.get(name) else { continue };
            remembered.generation = pool.metadata.generation.unwrap_or(remembered.generation);
            remembered.spec.clone_from(&pool.spec);
        }
    }

    fn publish(&mut self) {
        let mut snapshot = self.seen.clone();
        if snapshot.services.len() != self.raw.services.len() {
            Arc::make_mut(&mut snapshot.services).retain(|name, _| self.raw.services.contains_key(name));
        }
        for name in &self.pinned {
            if let Some(raw) = self.raw.services.get(name) {
                Arc::make_mut(&mut snapshot.services).insert(Arc::clone(name), Arc::clone(raw));
            }
        }
        self.snapshot = Arc::new(snapshot);
        let mut report = Report::default();
        for (name, pool) in self.seen.lb_pools.iter() {
            let object = ObjectRef::cluster("CiliumLoadBalancerIPPool", name);
            report.extend(complaints(pool).map(|reason| Finding::about(&object, reason)));
        }
        for (name, reservation) in self.seen.lb_reservations.iter() {
            let object = ObjectRef::cluster("LoadBalancerIPReservation", name);
            let conditions = reservation.status.iter().flat_map(|status| &status.conditions);
            let bad = conditions.filter(|condition| condition.status == ConditionStatus::False);
            let reason = |condition: &Condition| Reason::NotReserved {
                reason: condition.reason.clone(),
                message: condition.message.clone(),
            };
            report.extend(bad.map(|condition| Finding::about(&object, reason(condition))));
        }
        for unreadable in node_plan(&self.allocation.settings, &self.seen).unreadable {
            let key = &unreadable.service.key;
            let object = ObjectRef::namespaced("Service", &NamespacedName::new(&*key.namespace, &*key.name));
            let reason = Reason::NodeIpamSelectorInvalid { message: unreadable.message.into() };
            report.add(Finding::on(&object, "metadata.annotations", reason));
        }
        self.report = report;
    }
}

/// What the conditions of a pool complain about.
fn complaints(pool: &CiliumLoadBalancerIPPool) -> impl Iterator<Item = Reason> {
    let conditions = pool.status.iter().flat_map(|status| &status.conditions);
    let bad = conditions.filter(|condition| condition.status == ConditionStatus::True);
    bad.map(|condition| Reason::PoolCondition {
        condition: condition.type_.clone(),
        message: condition.message.clone(),
    })
}

/// Whether the allocator was told that it is nobody's.
fn is_nobodys(service: &Service) -> bool {
    service.ipam.as_ref().is_some_and(|ipam| ipam.class.as_deref() == Some(PREPARED))
}

/// Whether it brings a status of its own.
fn is_prepared(raw: &Service) -> bool {
    !raw.spec.ingress.is_empty()
}

/// The addresses that it brings.
fn prepared(raw: &Service) -> Vec<IpAddr> {
    raw.ipam.as_ref().filter(|_| is_prepared(raw)).map(|ipam| addresses(ipam)).unwrap_or_default()
}

fn addresses(service: &lbipam::Service) -> Vec<IpAddr> {
    service.ingress.iter().filter_map(|entry| entry.ip).collect()
}

#[cfg(test)]
mod tests;
