//! A model of the API server: objects with versions, guarded writes, and what each watch has yet to bring.
//!
//! Invariant: a write that was computed from another version, or for another object of the same name, changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use lbipam::plan::ReservationChange;
use lbipam::service::{FamilyPolicy, Ingress, Port, PortStatus, TrafficPolicy, Words};
use lbipam::{ConditionChange, Family, PoolChange, Service, ServiceChange, ServiceKey};
use rutter_crds::label_selector::{
    LabelSelector, LabelSelectorRequirement, MatchLabelsValue, SelectorOperator,
};
use rutter_crds::load_balancer_ip_reservation::{LoadBalancerIPReservationSpec, ReservedFor};
use rutter_crds::{
    AllowFirstLastIPs, CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPoolIPBlock,
    CiliumLoadBalancerIPPoolSpec, LoadBalancerIPReservation,
};

use crate::step::{
    AUTO_ASSIGN, BLOCKS, CLASSES, CROSS, INHERITED, KEEP, KEYS, LABELS, NAMES, NAMESPACES, POOL_NAMES, PORTS,
    PRIORITIES, PoolEdit, PoolSpec, QUOTAS, REQUESTS, ServiceEdit, ServiceSpec,
};

pub(crate) type Pool = CiliumLoadBalancerIPPool;

/// Which run of which replica wrote something.
pub(crate) type Author = u32;

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Conflict,
    Gone,
}

pub(crate) struct Server {
    pub(crate) now: Timestamp,
    version: u64,
    pub(crate) services: BTreeMap<usize, Arc<Service>>,
    /// Each state of each Service, for watches.
    log: BTreeMap<usize, Vec<Option<Arc<Service>>>>,
    pub(crate) pools: BTreeMap<usize, Arc<Pool>>,
    pool_log: Vec<Vec<Arc<Pool>>>,
    pub(crate) reservations: BTreeMap<String, Arc<LoadBalancerIPReservation>>,
    reservation_log: Vec<Vec<Arc<LoadBalancerIPReservation>>>,
    /// Who wrote an address into a status, and whether it landed when its author led no more. By uid.
    pub(crate) written: BTreeMap<(Box<str>, IpAddr), (Author, bool)>,
    /// Writes of ours to an object since the last settling, by uid.
    pub(crate) writes: BTreeMap<Box<str>, usize>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            now: Timestamp::from_second(1_800_000_000).expect("a time"),
            version: 1,
            services: BTreeMap::new(),
            log: BTreeMap::new(),
            pools: BTreeMap::new(),
            pool_log: vec![Vec::new()],
            reservations: BTreeMap::new(),
            reservation_log: vec![Vec::new()],
            written: BTreeMap::new(),
            writes: BTreeMap::new(),
        }
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn next_version(&mut self) -> Box<str> {
        self.version += 1;
        self.version.to_string().into()
    }

    fn store(&mut self, slot: usize, mut service: Service) {
        service.resource_version = self.next_version();
        let service = Arc::new(service);
        self.services.insert(slot, Arc::clone(&service));
        self.log.entry(slot).or_default().push(Some(service));
    }

    fn remove(&mut self, slot: usize) {
        if self.services.remove(&slot).is_some() {
            self.log.entry(slot).or_default().push(None);
        }
    }

    /// States of a Service that a watch which has seen `seen` of them has not.
    pub(crate) fn news_of(&self, slot: usize, seen: usize) -> &[Option<Arc<Service>>] {
        self.log.get(&slot).map_or(&[][..], |log| log.get(seen..).unwrap_or_default())
    }

    /// Sets of pools that a watch which has seen `seen` of them has not.
    pub(crate) fn news_of_pools(&self, seen: usize) -> &[Vec<Arc<Pool>>] {
        self.pool_log.get(seen..).unwrap_or_default()
    }

    /// Sets of reservations that a watch which has seen `seen` of them has not.
    pub(crate) fn news_of_reservations(&self, seen: usize) -> &[Vec<Arc<LoadBalancerIPReservation>>] {
        self.reservation_log.get(seen..).unwrap_or_default()
    }

    pub(crate) fn reserve(&mut self, slot: usize, address: &str) {
        let name = format!("reserved-{slot}");
        let service_ref = ReservedFor {
            namespace: NAMESPACES[slot / NAMES.len()].into(),
            name: NAMES[slot % NAMES.len()].into(),
        };
        let addresses = vec![address.to_owned()];
        let spec = LoadBalancerIPReservationSpec { addresses, grace_period: None, service_ref };
        let mut object = LoadBalancerIPReservation::new(&name, spec);
        object.metadata.uid = Some(format!("reservation-{}", self.next_version()));
        self.store_reservation(name, Some(object));
    }

    pub(crate) fn unreserve(&mut self, slot: usize) {
        self.store_reservation(format!("reserved-{slot}"), None);
    }

    fn store_reservation(&mut self, name: String, object: Option<LoadBalancerIPReservation>) {
        match object {
            None => drop(self.reservations.remove(&name)),
            Some(mut object) => {
                object.metadata.resource_version = Some(self.next_version().into());
                self.reservations.insert(name, Arc::new(object));
            }
        }
        self.reservation_log.push(self.reservations.values().cloned().collect());
    }

    /// Writes what a plan says about a reservation.
    pub(crate) fn write_reservation(&mut self, change: &ReservationChange) -> Result<(), Refused> {
        let (name, based_on) = match change {
            ReservationChange::Create { name, .. } => (name.to_string(), None),
            ReservationChange::Spec { object, .. }
            | ReservationChange::Status { object, .. }
            | ReservationChange::Delete { object } => {
                (object.metadata.name.clone().unwrap_or_default(), Some(object))
            }
        };
        let current = self.reservations.get(&name);
        let version = |object: &Arc<LoadBalancerIPReservation>| object.metadata.resource_version.clone();
        if current.map(version) != based_on.map(version) {
            return Err(Refused::Conflict);
        }
        let object = change.applied().map(|object| {
            let mut object = LoadBalancerIPReservation::clone(&object);
            object.metadata.uid.get_or_insert_with(|| format!("{name}-{}", self.version));
            object
        });
        *self.writes.entry(name.clone().into()).or_default() += 1;
        self.store_reservation(name, object);
        Ok(())
    }

    /// Writes what a plan says about a Service.
    pub(crate) fn write_service(
        &mut self,
        slot: usize,
        change: &ServiceChange,
        (author, late): (Author, bool),
    ) -> Result<(), Refused> {
        let current = self.services.get(&slot).ok_or(Refused::Gone)?;
        if current.uid != change.service.uid {
            return Err(Refused::Gone);
        }
        if current.resource_version != change.service.resource_version {
            return Err(Refused::Conflict);
        }
        let mut service = Service::clone(current);
        if let Some(ingress) = &change.ingress {
            for ip in ingress.iter().filter_map(|entry| entry.ip) {
                if !service.ingress.iter().any(|entry| entry.ip == Some(ip)) {
                    self.written.insert((service.uid.clone(), ip), (author, late));
                }
            }
            service.ingress.clone_from(ingress);
        }
        match &change.condition {
            Some(ConditionChange::Set(verdict)) => service.condition = Some(verdict.clone()),
            Some(ConditionChange::Remove) => service.condition = None,
            None => {}
        }
        *self.writes.entry(service.uid.clone()).or_default() += 1;
        self.store(slot, service);
        Ok(())
    }

    /// Writes what a plan says about a pool.
    pub(crate) fn write_pool(&mut self, change: &PoolChange) -> Result<(), Refused> {
        let uid = change.pool.metadata.uid.clone();
        let found = self.pools.iter().find(|(_, pool)| pool.metadata.uid == uid);
        let (index, current) = found.map(|(index, pool)| (*index, pool)).ok_or(Refused::Gone)?;
        if current.metadata.resource_version != change.pool.metadata.resource_version {
            return Err(Refused::Conflict);
        }
        let mut pool = Pool::clone(current);
        let conditions = &mut pool.status.get_or_insert_default().conditions;
        conditions.retain(|old| !change.remove.contains(&&*old.type_));
        for new in &change.set {
            match conditions.iter_mut().find(|old| old.type_ == new.type_) {
                Some(old) => old.clone_from(new),
                None => conditions.push(new.clone()),
            }
        }
        *self.writes.entry(uid.unwrap_or_default().into()).or_default() += 1;
        self.store_pool(index, pool);
        self.tell_pools();
        Ok(())
    }

    fn store_pool(&mut self, index: usize, mut pool: Pool) {
        pool.metadata.resource_version = Some(self.next_version().into());
        self.pools.insert(index, Arc::new(pool));
    }

    fn tell_pools(&mut self) {
        self.pool_log.push(self.pools.values().cloned().collect());
    }

    pub(crate) fn edit_pools(&mut self, edits: &[PoolEdit]) {
        for edit in edits {
            self.edit_pool(edit);
        }
        self.tell_pools();
    }

    fn edit_pool(&mut self, edit: &PoolEdit) {
        match edit {
            PoolEdit::Put { pool, spec } => {
                self.put_pool(*pool, spec_of(spec));
                self.annotate_pool(*pool, spec);
            }
            PoolEdit::Delete(pool) => {
                self.pools.remove(pool);
            }
            PoolEdit::Disable(pool, disabled) => self.change_pool(*pool, |spec| spec.disabled = *disabled),
            PoolEdit::Quota(pool, quota) => {
                let Some(old) = self.pools.get(pool) else { return };
                let mut changed = Pool::clone(old);
                let words = changed.metadata.annotations.get_or_insert_default();
                words.remove("rutter.dev/quota");
                words.extend(quota.map(|at| ("rutter.dev/quota".to_owned(), QUOTAS[at].to_owned())));
                self.store_pool(*pool, changed);
            }
            PoolEdit::Edges(pool, edges) => {
                self.change_pool(*pool, |spec| spec.allow_first_last_ips = edges.map(edges_of));
            }
            PoolEdit::Select(pool, selector) => {
                self.change_pool(*pool, |spec| spec.service_selector = selector_of(*selector));
            }
            PoolEdit::Blocks(pool, blocks) => {
                self.change_pool(*pool, |spec| {
                    spec.blocks = blocks.iter().map(|block| block_of(*block)).collect()
                });
            }
            PoolEdit::Rename { from, to } => {
                if let Some(pool) = self.pools.remove(from) {
                    self.put_pool(*to, pool.spec.clone());
                }
            }
            PoolEdit::Split { from, to, at } => {
                let Some(pool) = self.pools.get(from).filter(|_| from != to) else { return };
                let mut spec = pool.spec.clone();
                let moved = spec.blocks.split_off((*at).min(spec.blocks.len()));
                let other = CiliumLoadBalancerIPPoolSpec { blocks: moved, ..spec.clone() };
                self.change_pool(*from, |old| *old = spec.clone());
                self.put_pool(*to, other);
            }
            PoolEdit::Merge { from, to } => {
                if from == to || !self.pools.contains_key(to) {
                    return;
                }
                if let Some(pool) = self.pools.remove(from) {
                    self.change_pool(*to, |spec| spec.blocks.extend(pool.spec.blocks.iter().cloned()));
                }
            }
        }
    }

    /// Creates a pool, or gives it another spec.
    fn put_pool(&mut self, index: usize, spec: CiliumLoadBalancerIPPoolSpec) {
        if self.pools.contains_key(&index) {
            return self.change_pool(index, |old| *old = spec.clone());
        }
        let uid = format!("pool-{}", self.next_version());
        let metadata = ObjectMeta {
            name: Some(format!("p{index}")),
            uid: Some(uid),
            creation_timestamp: Some(Time(self.now)),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        self.store_pool(index, Pool { metadata, spec, status: None });
    }

    fn annotate_pool(&mut self, index: usize, spec: &PoolSpec) {
        let Some(pool) = self.pools.get(&index) else { return };
        let priority = spec.priority.map(|at| ("rutter.dev/priority", PRIORITIES[at]));
        let auto_assign = spec.auto_assign.map(|at| ("rutter.dev/auto-assign", AUTO_ASSIGN[at]));
        let words = priority.into_iter().chain(auto_assign);
        let words: BTreeMap<String, String> = words.map(|(key, value)| (key.into(), value.into())).collect();
        let words = Some(words).filter(|words| !words.is_empty());
        if pool.metadata.annotations != words {
            let mut pool = Pool::clone(pool);
            pool.metadata.annotations = words;
            self.store_pool(index, pool);
        }
    }

    fn change_pool(&mut self, index: usize, change: impl Fn(&mut CiliumLoadBalancerIPPoolSpec)) {
        let Some(pool) = self.pools.get(&index) else { return };
        let mut pool = Pool::clone(pool);
        let before = pool.spec.clone();
        change(&mut pool.spec);
        if pool.spec != before {
            pool.metadata.generation = pool.metadata.generation.map(|generation| generation + 1);
            self.store_pool(index, pool);
        }
    }

    pub(crate) fn edit_service(&mut self, slot: usize, edit: &ServiceEdit) {
        match edit {
            ServiceEdit::Create(spec) => {
                if !self.services.contains_key(&slot) {
                    let service = self.created(slot, spec);
                    self.store(slot, service);
                }
            }
            ServiceEdit::Delete => self.remove(slot),
            ServiceEdit::Recreate => {
                let Some(old) = self.services.get(&slot).cloned() else { return };
                self.remove(slot);
                let uid = format!("service-{}", self.next_version()).into();
                let created = Some(self.now);
                let service = Service {
                    uid,
                    created,
                    ingress: Box::default(),
                    condition: None,
                    ..Service::clone(&old)
                };
                self.store(slot, service);
            }
            other => {
                let Some(old) = self.services.get(&slot) else { return };
                let mut service = Service::clone(old);
                change_service(&mut service, other);
                if *other == ServiceEdit::Touch || service != **old {
                    self.store(slot, service);
                }
            }
        }
    }

    fn created(&mut self, slot: usize, spec: &ServiceSpec) -> Service {
        let mut service = Service {
            key: Arc::new(ServiceKey::new(NAMESPACES[slot / NAMES.len()], NAMES[slot % NAMES.len()])),
            uid: format!("service-{}", self.next_version()).into(),
            created: Some(self.now),
            ..Service::default()
        };
        let edits = [
            ServiceEdit::Label(spec.label),
            ServiceEdit::Families(spec.families),
            ServiceEdit::Ip(spec.ip),
            ServiceEdit::Ips(spec.ips),
            ServiceEdit::Key(spec.key),
            ServiceEdit::Cross(spec.cross),
            ServiceEdit::Ports(spec.ports),
            ServiceEdit::Local(spec.local),
            ServiceEdit::Selector(spec.selector),
            ServiceEdit::FromPool(spec.from_pool),
            ServiceEdit::Back(spec.class),
        ];
        edits.iter().for_each(|edit| change_service(&mut service, edit));
        service
    }
}

fn change_service(service: &mut Service, edit: &ServiceEdit) {
    let text = |texts: &[&'static str], at: &Option<usize>| at.map(|at| texts[at]);
    match edit {
        ServiceEdit::Create(_) | ServiceEdit::Delete | ServiceEdit::Recreate | ServiceEdit::Touch => {}
        ServiceEdit::Label(label) => {
            service.labels = words(&service.labels, "color", text(LABELS, label));
        }
        ServiceEdit::Families(number) => {
            let (families, policy) = families_of(*number);
            service.families = families.into();
            service.family_policy = policy;
        }
        ServiceEdit::Ip(ip) => service.load_balancer_ip = text(REQUESTS, ip).map(Into::into),
        // Odd ones by the old name.
        ServiceEdit::Ips(ips) => {
            let old = ips.is_some_and(|ips| ips % 2 == 1);
            let (new_name, old_name) = ("lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips");
            let value = text(REQUESTS, ips);
            service.annotations = words(&service.annotations, new_name, value.filter(|_| !old));
            service.annotations = words(&service.annotations, old_name, value.filter(|_| old));
        }
        ServiceEdit::Key(key) => {
            service.annotations =
                words(&service.annotations, "lbipam.cilium.io/sharing-key", text(KEYS, key));
        }
        ServiceEdit::Cross(cross) => {
            let name = "lbipam.cilium.io/sharing-cross-namespace";
            service.annotations = words(&service.annotations, name, text(CROSS, cross));
        }
        ServiceEdit::Ports(ports) => {
            let port =
                |(port, protocol): &(u16, &str)| Port { port: *port, protocol: Some((*protocol).into()) };
            service.ports = PORTS[*ports].iter().map(port).collect();
        }
        ServiceEdit::Local(local) => {
            service.traffic_policy = if *local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
        }
        ServiceEdit::Selector(selector) => {
            service.selector = words(&service.selector, "app", text(LABELS, selector));
        }
        ServiceEdit::FromPool(pools) => {
            service.annotations = words(&service.annotations, "rutter.dev/pool", text(POOL_NAMES, pools));
        }
        ServiceEdit::Keep(grace) => {
            service.annotations =
                words(&service.annotations, "rutter.dev/reservation-grace", text(KEEP, grace));
        }
        // The server empties the list, and leaves the condition.
        ServiceEdit::Away => {
            service.load_balancer = false;
            service.class = None;
            service.ingress = Box::default();
        }
        ServiceEdit::Back(class) if !service.load_balancer => {
            service.load_balancer = true;
            service.class = CLASSES[*class].map(Into::into);
        }
        ServiceEdit::Back(_) => {}
        ServiceEdit::PortStatus => {
            for entry in &mut service.ingress {
                entry.ports = [PortStatus { port: 80, protocol: "TCP".into(), error: None }].into();
            }
        }
        ServiceEdit::Inherit(addresses) => {
            if service.load_balancer && service.ingress.is_empty() {
                let entry = |at: &usize| Ingress::of(INHERITED[*at].parse().expect("an address"));
                service.ingress = addresses.iter().map(entry).collect();
            }
        }
    }
}

/// The same words with another value for one key.
fn words(old: &Words, key: &str, value: Option<&str>) -> Words {
    let others = old.iter().filter(|(name, _)| *name != key);
    others.chain(value.map(|value| (key, value))).collect()
}

fn families_of(number: usize) -> (&'static [Family], FamilyPolicy) {
    match number {
        0 => (&[Family::V4], FamilyPolicy::SingleStack),
        1 => (&[Family::V6], FamilyPolicy::SingleStack),
        2 => (&[Family::V4, Family::V6], FamilyPolicy::PreferDualStack),
        3 => (&[Family::V6, Family::V4], FamilyPolicy::RequireDualStack),
        4 => (&[Family::V6], FamilyPolicy::PreferDualStack),
        5 => (&[], FamilyPolicy::SingleStack),
        _ => (&[Family::V4], FamilyPolicy::PreferDualStack),
    }
}

fn spec_of(spec: &PoolSpec) -> CiliumLoadBalancerIPPoolSpec {
    CiliumLoadBalancerIPPoolSpec {
        allow_first_last_ips: spec.edges.map(edges_of),
        blocks: spec.blocks.iter().map(|block| block_of(*block)).collect(),
        disabled: spec.disabled,
        service_selector: selector_of(spec.selector),
    }
}

fn edges_of(edges: bool) -> AllowFirstLastIPs {
    if edges { AllowFirstLastIPs::Yes } else { AllowFirstLastIPs::No }
}

fn block_of(block: usize) -> CiliumLoadBalancerIPPoolIPBlock {
    let (cidr, start, stop) = BLOCKS[block];
    CiliumLoadBalancerIPPoolIPBlock {
        cidr: cidr.map(Into::into),
        start: start.map(Into::into),
        stop: stop.map(Into::into),
    }
}

fn selector_of(number: usize) -> Option<LabelSelector> {
    let labels = |pairs: &[(&str, &str)]| {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), MatchLabelsValue((*value).to_owned()));
        LabelSelector { match_labels: pairs.iter().map(pair).collect(), ..LabelSelector::default() }
    };
    let expression = |key: &str, operator: SelectorOperator, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let requirement = LabelSelectorRequirement { key: key.to_owned(), operator, values };
        LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() }
    };
    match number {
        0 | 1 => None,
        2 => Some(LabelSelector::default()),
        3 => Some(labels(&[("color", "a")])),
        4 => Some(expression("color", SelectorOperator::NotIn, &["a"])),
        5 => Some(expression("io.kubernetes.service.namespace", SelectorOperator::In, &["red", "blue"])),
        6 => Some(expression("color", SelectorOperator::Exists, &[])),
        // No selector.
        _ => Some(expression("color", SelectorOperator::In, &[])),
    }
}
