//! What a server would have before anything new is decided: the objects that are written, with the status that they got.
//!
//! Invariant: what did not change since the last look is the same object again, so that nobody looks at it twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lbipam::ServiceKey;
use lbipam::reservation::{MANAGED_BY, OPERATOR};
use lbipam::service::Ingress;
use rutter_crds::{CiliumLoadBalancerIPPool, LoadBalancerIPReservation};

use super::{Local, PREPARED, addresses, is_nobodys, is_prepared, prepared};
use crate::lbipam::memory::RememberedPool;
use crate::object::{NamespacedName, Service};
use crate::snapshot::Snapshot;

impl Local {
    /// The objects as a server would have them before anything new is decided.
    pub(super) fn dress(&mut self, raw: &Arc<Snapshot>, certain: bool) -> Snapshot {
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
        dressed.lb_reservations = Arc::new(self.dressed_reservations(raw));
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

    /// Those that are written, with their status, and those that were made here.
    fn dressed_reservations(&self, raw: &Snapshot) -> BTreeMap<String, Arc<LoadBalancerIPReservation>> {
        let known = |name: &str| {
            let seen = self.seen.lb_reservations.get(name).map(Arc::as_ref);
            seen.or_else(|| self.memory.reservations.get(name))
        };
        let written = raw.lb_reservations.iter().map(|(name, reservation)| {
            let before = self.raw.lb_reservations.get(name).filter(|before| Arc::ptr_eq(before, reservation));
            if let Some(seen) = before.and_then(|_| self.seen.lb_reservations.get(name)) {
                return (name.clone(), Arc::clone(seen));
            }
            let mut reservation = Arc::clone(reservation);
            let status = known(name).and_then(|known| known.status.as_ref());
            if reservation.status.is_none() && status.is_some() {
                Arc::make_mut(&mut reservation).status = status.cloned();
            }
            (name.clone(), reservation)
        });
        let made = self.memory.reservations.iter().filter(|(_, reservation)| is_made(reservation));
        let made = made.filter(|(name, _)| !raw.lb_reservations.contains_key(*name)).map(|(name, made)| {
            let seen = self.seen.lb_reservations.get(name).filter(|seen| ***seen == *made);
            (name.clone(), seen.cloned().unwrap_or_else(|| Arc::new(made.clone())))
        });
        written.chain(made).collect()
    }
}

/// Whether it was made for a Service that asks for it.
pub(super) fn is_made(reservation: &LoadBalancerIPReservation) -> bool {
    let labels = reservation.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == OPERATOR)
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
