//! Allocation without an API server: the objects of a directory, and what their status would say.
//!
//! ```text
//! objects of the directory + memory ─► as if a server had them ─► Ipam ─► plan ─► applied, until nothing is left to say
//! ```
//! Invariant: the outcome is what an operator would come to with the same objects. A Service that brings a status of its own
//! keeps it, and nobody else gets its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use lbipam::service::Ingress;
use lbipam::{Cause, Ipam, PoolView, ServiceChange, ServiceKey, Settings, node_ipam};
use rutter_crds::{CiliumLoadBalancerIPPool, ConditionStatus};

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

    /// The objects as a server would have them before anything new is decided.
    fn dress(&mut self, raw: &Arc<Snapshot>, certain: bool) -> Snapshot {
        let mut dressed = Snapshot::clone(raw);
        let pools = |snapshot: &Snapshot| Arc::clone(&snapshot.lb_pools);
        if !Arc::ptr_eq(&pools(raw), &pools(&self.raw)) {
            // What did not fit the pools may fit them now.
            self.pinned.clear();
        }
        self.pinned.retain(|name| {
            let same = |of: &Snapshot| of.services.get(name).map(Arc::as_ptr);
            same(raw) == same(&self.raw)
        });
        let prepared: BTreeSet<IpAddr> =
            raw.services.values().flat_map(|service| prepared(service)).collect();
        let services = raw.services.iter().map(|(name, service)| {
            (Arc::clone(name), self.dressed(name, service, |address| prepared.contains(&address)))
        });
        let mut services: BTreeMap<_, _> = services.collect();
        if !certain {
            // Whom a broken file keeps from being known has its addresses all the same.
            let unknown = self.memory.present().filter(|(name, _)| !raw.services.contains_key(name));
            services.extend(unknown.map(|(name, addresses)| absent(name, addresses)));
        }
        dressed.services = Arc::new(services);
        let pools = raw.lb_pools.iter().map(|(name, pool)| (name.clone(), self.dressed_pool(name, pool)));
        dressed.lb_pools = Arc::new(pools.collect());
        dressed
    }

    fn dressed(
        &self,
        name: &Arc<NamespacedName>,
        raw: &Arc<Service>,
        taken: impl Fn(IpAddr) -> bool,
    ) -> Arc<Service> {
        let Some(ipam) = &raw.ipam else { return Arc::clone(raw) };
        let same = self.raw.services.get(name).is_some_and(|before| Arc::ptr_eq(before, raw));
        let seen = self.seen.services.get(name);
        if is_prepared(raw) {
            let stays = |seen: &&Arc<Service>| same && (self.pinned.contains(name) || !is_nobodys(seen));
            return Arc::clone(seen.filter(stays).unwrap_or(raw));
        }
        let ours = self.allocation.lb_ipam && lbipam::handled(&self.allocation.settings, ipam).is_ok();
        let remembered = self.memory.of(name).filter(|_| ours).map(|remembered| &*remembered.addresses);
        let had = seen.filter(|seen| !is_nobodys(seen)).and_then(|seen| seen.ipam.as_ref());
        let had_addresses = had.map(|had| addresses(had)).unwrap_or_default();
        if let Some(seen) = seen
            && same
            && remembered.is_none_or(|remembered| *remembered == had_addresses)
        {
            return Arc::clone(seen);
        }
        let given = match remembered {
            Some(_) => self.memory.free_addresses(name, taken),
            None => had_addresses,
        };
        let entry = |address: &IpAddr| {
            let kept = had.and_then(|had| had.ingress.iter().find(|entry| entry.ip == Some(*address)));
            kept.cloned().unwrap_or_else(|| Ingress::of(*address))
        };
        let ipam = lbipam::Service {
            ingress: given.iter().map(entry).collect(),
            condition: had.unwrap_or(ipam).condition.clone(),
            ..lbipam::Service::clone(ipam)
        };
        Arc::new(raw.with_status_of(Arc::new(ipam)))
    }

    fn dressed_pool(&self, name: &str, raw: &Arc<CiliumLoadBalancerIPPool>) -> Arc<CiliumLoadBalancerIPPool> {
        let seen = self.seen.lb_pools.get(name);
        if let Some(seen) = seen
            && self.raw.lb_pools.get(name).is_some_and(|before| Arc::ptr_eq(before, raw))
        {
            return Arc::clone(seen);
        }
        let mut pool = CiliumLoadBalancerIPPool::clone(raw);
        if let Some(seen) = seen {
            pool.status.clone_from(&seen.status);
        }
        if let Some(RememberedPool { generation, spec, annotations }) = self.memory.pools.get(name) {
            let generation = if *spec == pool.spec { *generation } else { generation + 1 };
            pool.metadata.generation.get_or_insert(generation);
            let present = pool.metadata.annotations.get_or_insert_default();
            for (key, value) in annotations {
                present.entry(key.clone()).or_insert_with(|| value.clone());
            }
        } else {
            pool.metadata.generation.get_or_insert(1);
        }
        Arc::new(pool)
    }

    /// Applies what is still to be said. Whether there was anything.
    fn round(&mut self, causes: &mut Vec<Caused>, now: Timestamp) -> bool {
        let mut next = self.seen.clone();
        let mut changes = node_plan(&self.allocation.settings, &self.seen).services;
        let mut changed = false;
        if self.allocation.lb_ipam {
            let plan = self.ipam.plan(now);
            changes.extend(plan.services);
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

/// A Service that is known by its addresses alone, for the allocator to give them to nobody.
fn absent(name: NamespacedName, addresses: &[IpAddr]) -> (Arc<NamespacedName>, Arc<Service>) {
    let ipam = lbipam::Service {
        key: Arc::new(ServiceKey::new(name.namespace.as_str(), name.name.as_str())),
        load_balancer: true,
        class: Some(PREPARED.into()),
        ingress: addresses.iter().map(|address| Ingress::of(*address)).collect(),
        ..lbipam::Service::default()
    };
    let name = Arc::new(name);
    let service = Service { name: Arc::clone(&name), ipam: Some(Arc::new(ipam)), ..Service::default() };
    (name, Arc::new(service))
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
