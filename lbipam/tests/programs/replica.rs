//! A replica of the operator: an allocator, what it was told so far, and what one who was told that much must remember.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use lbipam::{Ipam, Plan, Service, ServiceChange, Settings};

use rutter_crds::LoadBalancerIPReservation;

use crate::oracle;
use crate::server::{Author, Pool, Server};
use crate::step::SERVICES;

/// What a replica has seen, and remembers of what it saw.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) settings: Settings,
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) services: BTreeMap<usize, Arc<Service>>,
    /// Pools that went away, and until when their addresses stay where they are.
    pub(crate) gone: Vec<(Arc<Pool>, Timestamp)>,
    /// Uids of pools that an address of a Service (by uid) was last seen in.
    pub(crate) origins: BTreeMap<(Box<str>, IpAddr), Vec<String>>,
    /// Addresses that a Service (by uid) had at some time.
    pub(crate) had: BTreeSet<(Box<str>, IpAddr)>,
    /// Since when an address of a Service (by uid) is in no pool.
    pub(crate) lost: BTreeMap<(Box<str>, IpAddr), Timestamp>,
    /// It remembers nothing: this is the first plan of its maker.
    pub(crate) fresh: bool,
    pub(crate) reservations: Vec<Arc<LoadBalancerIPReservation>>,
    /// Whether quotas and reservations may keep addresses from some. Who gets which is not looked at then, only that it may.
    pub(crate) extras: bool,
    /// What the last plan gave to whom, by uid.
    pub(crate) given: BTreeMap<Box<str>, Vec<IpAddr>>,
}

impl View {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            pools: Vec::new(),
            services: BTreeMap::new(),
            gone: Vec::new(),
            origins: BTreeMap::new(),
            had: BTreeSet::new(),
            lost: BTreeMap::new(),
            fresh: true,
            reservations: Vec::new(),
            extras: false,
            given: BTreeMap::new(),
        }
    }

    fn see_pools(&mut self, pools: &[Arc<Pool>], now: Timestamp) {
        for old in &self.pools {
            if !pools.iter().any(|new| new.metadata.uid == old.metadata.uid) {
                self.gone.push((Arc::clone(old), now + self.settings.grace));
            }
        }
        self.pools = pools.to_vec();
    }

    /// Notes where each address comes from, as one does who plans.
    pub(crate) fn look(&mut self, now: Timestamp) {
        if self.pools.is_empty() {
            // Asleep.
            return;
        }
        // What went and comes back in a status is somebody's newly, with a time of grace of its own.
        let Self { services, given, lost, .. } = self;
        lost.retain(|(uid, ip), _| {
            given.get(uid).is_some_and(|given| given.contains(ip))
                || services
                    .values()
                    .any(|service| service.uid == *uid && oracle::addresses(service).contains(ip))
        });
        for service in self.services.values() {
            let having = oracle::addresses(service).into_iter();
            self.had.extend(having.map(|ip| (service.uid.clone(), ip)));
            let given = self.given.get(&service.uid).cloned().unwrap_or_default();
            for ip in oracle::addresses(service).into_iter().chain(given) {
                let at = (service.uid.clone(), ip);
                let covering: Vec<&Arc<Pool>> =
                    self.pools.iter().filter(|pool| oracle::covers(pool, ip)).collect();
                let may_select = |pool: &Pool| oracle::selects(pool, service) != Some(false);
                let unreadable =
                    self.pools.iter().any(|pool| oracle::has_bad_block(pool) && may_select(pool));
                let wanted = self.had.contains(&at) && oracle::wants(&self.settings, service, ip);
                let kept = unreadable || covering.iter().any(|pool| may_select(pool));
                // In a pool that is not for it, one of unknown origin goes at once.
                if wanted && !kept && (covering.is_empty() || self.origins.contains_key(&at)) {
                    self.lost.entry(at).or_insert(now);
                    continue;
                }
                if kept || !wanted {
                    self.lost.remove(&at);
                }
                let selecting = covering.iter().filter(|pool| may_select(pool));
                let uids: Vec<String> = selecting.filter_map(|pool| pool.metadata.uid.clone()).collect();
                // Of what was never wanted nobody asked where it comes from.
                if !uids.is_empty() && oracle::wants(&self.settings, service, ip) {
                    self.lost.remove(&at);
                    self.origins.insert(at, uids);
                }
            }
        }
    }
}

pub(crate) struct Replica {
    pub(crate) author: Author,
    pub(crate) ipam: Ipam,
    pub(crate) view: View,
    seen: [usize; SERVICES],
    seen_pools: usize,
    seen_reservations: usize,
    /// What it wrote and did not see yet: from which version, and with which addresses.
    flights: BTreeMap<usize, (Box<str>, Vec<IpAddr>)>,
    /// It has writes under way and does nothing until they are answered.
    pub(crate) frozen: bool,
}

impl Replica {
    /// One that has just started, and has read nothing.
    pub(crate) fn new(author: Author, settings: &Settings) -> Self {
        Self {
            author,
            ipam: Ipam::new(settings.clone()),
            view: View::new(settings.clone()),
            seen: [0; SERVICES],
            seen_pools: 0,
            seen_reservations: 0,
            flights: BTreeMap::new(),
            frozen: false,
        }
    }

    /// The watch on one Service brings one thing, or the newest.
    pub(crate) fn hear_service(&mut self, server: &Server, slot: usize, all: bool) {
        let news = server.news_of(slot, self.seen[slot]);
        let count = if all { news.len() } else { news.len().min(1) };
        match count.checked_sub(1).map(|last| &news[last]) {
            None => {}
            Some(Some(service)) => {
                if self.flights.get(&slot).is_some_and(|(version, _)| *version != service.resource_version) {
                    self.flights.remove(&slot);
                }
                self.ipam.handle_service(Arc::clone(service));
                self.view.services.insert(slot, Arc::clone(service));
            }
            Some(None) => {
                self.flights.remove(&slot);
                if let Some(old) = self.view.services.remove(&slot) {
                    self.ipam.handle_service_gone(&old.key);
                }
            }
        }
        self.seen[slot] += count;
    }

    /// The watches on pools and on reservations bring one set, or the newest.
    pub(crate) fn hear_pools(&mut self, server: &Server, all: bool) {
        let news = server.news_of_pools(self.seen_pools);
        let count = if all { news.len() } else { news.len().min(1) };
        if let Some(pools) = count.checked_sub(1).map(|last| &news[last]) {
            self.ipam.handle_pools(pools.clone(), server.now);
            self.view.see_pools(pools, server.now);
        }
        self.seen_pools += count;
        let news = server.news_of_reservations(self.seen_reservations);
        let count = if all { news.len() } else { news.len().min(1) };
        if let Some(reservations) = count.checked_sub(1).map(|last| &news[last]) {
            self.ipam.handle_reservations(reservations.clone());
            self.view.reservations.clone_from(reservations);
        }
        self.seen_reservations += count;
    }

    /// Hears everything there is, in this order of Services, pools among them at `pools_at`.
    pub(crate) fn hear_all(&mut self, server: &Server, order: &[usize], pools_at: usize) {
        for (at, slot) in order.iter().enumerate() {
            if at == pools_at {
                self.hear_pools(server, true);
            }
            self.hear_service(server, *slot, true);
        }
        self.hear_pools(server, true);
    }

    pub(crate) fn plan(&mut self, now: Timestamp) -> Plan {
        self.view.look(now);
        self.ipam.plan(now)
    }

    /// Whether a change may be written now: nothing of the object is unseen, and nobody's unseen write carries an address that
    /// is given here, unless both may be there.
    pub(crate) fn may_write(&self, slot: usize, change: &ServiceChange) -> bool {
        let given = change.ingress.iter().flat_map(|ingress| ingress.iter()).filter_map(|entry| entry.ip);
        let given: Vec<IpAddr> =
            given.filter(|ip| !oracle::addresses(&change.service).contains(ip)).collect();
        let clash = |(other, (_, carried)): (&usize, &(Box<str>, Vec<IpAddr>))| {
            let key = self.view.services.get(other).map(|service| &service.key);
            let holds = |ip: &IpAddr| self.ipam.holders(*ip).iter().any(|holder| Some(&holder.key) == key);
            given.iter().any(|ip| carried.contains(ip) && !holds(ip))
        };
        !self.flights.contains_key(&slot) && !self.flights.iter().any(clash)
    }

    /// A write goes out.
    pub(crate) fn takes_off(&mut self, slot: usize, change: &ServiceChange) {
        let ingress = change.ingress.iter().flat_map(|ingress| ingress.iter());
        let carried = ingress.filter_map(|entry| entry.ip).collect();
        self.flights.insert(slot, (change.service.resource_version.clone(), carried));
    }

    /// A write came to nothing, for sure.
    pub(crate) fn lands(&mut self, slot: usize) {
        self.flights.remove(&slot);
    }

    /// Notes what a plan gives, for the next one to be held to.
    pub(crate) fn remember(&mut self, plan: &Plan, now: Timestamp) {
        for service in self.view.services.values() {
            let change = plan.services.iter().find(|change| change.service.uid == service.uid);
            let ingress = change.and_then(|change| change.ingress.as_deref()).unwrap_or(&service.ingress);
            let addresses: Vec<IpAddr> = ingress.iter().filter_map(|entry| entry.ip).collect();
            // What was promised and is promised no more comes from nowhere, should it be written after all.
            let has = oracle::addresses(service);
            let known = |ip: &IpAddr| addresses.contains(ip) || has.contains(ip);
            self.view.origins.retain(|(uid, ip), _| *uid != service.uid || known(ip));
            self.view.given.insert(service.uid.clone(), addresses);
        }
        self.view.look(now);
        self.view.fresh = false;
    }
}
