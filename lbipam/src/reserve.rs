//! Reservations at work: addresses that nobody else gets while they are kept for a Service.
//!
//! Invariant: who has an address keeps it, whatever is reserved for whom; reservations stand in the way of new holders only.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rutter_crds::LoadBalancerIPReservation;

use crate::ipam::Ipam;
use crate::occupancy::{Arrival, Departure};
use crate::plan::ReservationChange;
use crate::reservation::{self, RESERVATION_GRACE, ReservationView};
use crate::reservations::Shift;
use crate::roster::Id;
use crate::service::{Service, ServiceKey};

impl Ipam {
    /// All reservations there are. Those that are the same objects as before cost nothing.
    pub fn handle_reservations(&mut self, reservations: Vec<Arc<LoadBalancerIPReservation>>) {
        for shift in self.reservations.replace(reservations) {
            self.present.insert(shift.service.clone());
            self.shift(shift);
        }
    }

    /// The reservations, by name; also those of which the object is not written yet.
    pub fn reservations(&self) -> impl Iterator<Item = ReservationView> {
        self.reservations.views()
    }

    /// Addresses begin or cease to be kept for a Service.
    fn shift(&mut self, shift: Shift) {
        let Shift { service, addresses, begins } = shift;
        let namespace = &*service.namespace;
        for address in addresses {
            let there = self.is_there(namespace, address, None);
            if begins {
                if self.occupancy.reserve(address, namespace) == Arrival::First {
                    self.pools.take(address);
                }
                if !there && self.pools.namespace_comes(address, namespace) {
                    self.touched_namespaces.insert(namespace.into());
                }
            } else {
                if self.occupancy.release(address, namespace) == Departure::Last {
                    self.pools.free(address);
                }
                if there
                    && !self.is_there(namespace, address, None)
                    && self.pools.namespace_goes(address, namespace)
                {
                    self.touched_namespaces.insert(namespace.into());
                }
            }
            self.touched.insert(address);
        }
        if let Some((id, entry)) = self.roster.find(&service).and_then(|id| Some((id, self.roster.get(id)?)))
            && !entry.is_complete()
        {
            self.work.insert(entry.age.clone(), id);
        }
    }

    /// Reservations whose time is over cease to count.
    pub(crate) fn lapse(&mut self, now: Timestamp) {
        for shift in self.reservations.lapse(now) {
            self.shift(shift);
        }
    }

    /// Notes that it has to be found out whether a Service is there and what it wants to be kept for it.
    pub(crate) fn attend_to(&mut self, service: &Service) {
        if service.annotations.get(RESERVATION_GRACE).is_some() || self.reservations.concern(&service.key) {
            self.present.insert(ServiceKey::clone(&service.key));
        }
    }

    /// Tells the reservations who is there and what it wants to be kept for it.
    pub(crate) fn attend(&mut self, now: Timestamp) {
        for key in std::mem::take(&mut self.present) {
            let entry = self.roster.find(&key).and_then(|id| self.roster.get(id)).filter(|entry| entry.ours);
            let Some(entry) = entry else {
                self.reservations.absent(&key, now);
                continue;
            };
            if entry.service.deleting {
                continue;
            }
            let held = entry.held.iter().map(|held| held.address);
            let wish = reservation::wish(&self.settings, &entry.service, held);
            // One that has nothing at the moment wants to have again what it had.
            let wants = wish.is_some();
            let wish = wish.filter(|wish| !wish.addresses.is_empty());
            for shift in self.reservations.present(&key, wants, wish, now) {
                self.shift(shift);
            }
        }
    }

    /// Whether an address is kept for others, none of whom has it. Who has it decides by itself with whom it shares.
    pub(crate) fn is_kept_from(&self, address: IpAddr, service: &Service) -> bool {
        let mut owners = self.reservations.services_of(address).peekable();
        owners.peek().is_some() && owners.all(|owner| *owner != *service.key && !self.has(owner, address))
    }

    /// Whether a namespace is at an address, or has it kept for it; one Service aside.
    pub(crate) fn is_there(&self, namespace: &str, address: IpAddr, aside: Option<Id>) -> bool {
        let others = self.occupancy.at(address).iter().filter(|other| Some(**other) != aside);
        let mut others = others.filter_map(|other| self.roster.get(*other));
        self.occupancy.reserved(address).any(|reserved| reserved == namespace)
            || others.any(|other| *other.service.key.namespace == *namespace)
    }

    /// What has to be written about reservations.
    pub(crate) fn reservation_changes(&mut self, now: Timestamp) -> Vec<ReservationChange> {
        let mut reservations = std::mem::take(&mut self.reservations);
        let changes = reservations.changes(now, |service, address| {
            if self.has(service, address) {
                return None;
            }
            let others = self.occupancy.at(address).iter().filter_map(|id| self.roster.get(*id));
            let oldest =
                others.filter(|other| *other.service.key != *service).min_by(|a, b| a.age.cmp(&b.age))?;
            Some(ServiceKey::clone(&oldest.service.key))
        });
        self.reservations = reservations;
        changes
    }

    fn has(&self, service: &ServiceKey, address: IpAddr) -> bool {
        let entry = self.roster.find(service).and_then(|id| self.roster.get(id));
        entry.is_some_and(|entry| entry.holds(address))
    }
}
