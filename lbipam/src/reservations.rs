//! All reservations: which addresses are kept for whom, and what has to be written about it.
//!
//! Invariant: what a Service wants to be kept for it is kept from the moment it has it, whether the object that says so has been
//! written or not. Times are those of the objects, so each replica comes to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rutter_crds::{Condition, ConditionStatus, LoadBalancerIPReservation};

use crate::plan::ReservationChange;
use crate::reservation::{RESERVED, Reservation, ReservationView, Wish, name_for, said};
use crate::service::ServiceKey;

/// Addresses that begin or cease to be kept for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) service: ServiceKey,
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) begins: bool,
}

/// The reservations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reservations {
    all: BTreeMap<Arc<str>, Reservation>,
    by_service: BTreeMap<ServiceKey, BTreeSet<Arc<str>>>,
    by_address: BTreeMap<IpAddr, BTreeSet<Arc<str>>>,
    /// When they are over.
    ends: BTreeSet<(Timestamp, Arc<str>)>,
    /// Those of which something may have to be written.
    unsettled: BTreeSet<Arc<str>>,
}

impl Reservations {
    /// Takes the whole set of objects.
    pub(crate) fn replace(&mut self, objects: Vec<Arc<LoadBalancerIPReservation>>) -> Vec<Shift> {
        let mut shifts = Vec::new();
        let name = |object: &LoadBalancerIPReservation| -> Arc<str> {
            object.metadata.name.as_deref().unwrap_or_default().into()
        };
        let new: BTreeMap<Arc<str>, Arc<LoadBalancerIPReservation>> =
            objects.into_iter().map(|object| (name(&object), object)).collect();
        // One whose object is still to be made is not missing.
        let missing = self.all.iter().filter(|(name, one)| one.object.is_some() && !new.contains_key(*name));
        for name in missing.map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>() {
            shifts.extend(self.remove(&name));
        }
        for (name, object) in new {
            let before = self.all.get(&name);
            if before.and_then(|one| one.object.as_ref()).is_some_and(|before| Arc::ptr_eq(before, &object)) {
                continue;
            }
            let mut one = Reservation::parse(object);
            if let Some(before) = before.filter(|before| before.service == one.service) {
                // What was decided and is not written yet.
                one.released_at = one.released_at.or(before.released_at);
            }
            shifts.extend(self.remove(&name));
            shifts.extend(self.insert(one));
        }
        shifts
    }

    /// What a Service that is there wants to be kept for it. None: it does not want that, or has nothing. Who wants it and has
    /// nothing is as good as gone: else it could keep for ever what no pool gives it any more.
    pub(crate) fn present(
        &mut self,
        service: &ServiceKey,
        wants: bool,
        wish: Option<Wish>,
        now: Timestamp,
    ) -> Vec<Shift> {
        let empty = wants && wish.is_none();
        let mut shifts = Vec::new();
        let name = name_for(service);
        let made = self.all.get(&name).filter(|one| one.managed && one.service == *service);
        match (made, wish) {
            (Some(one), Some(wish))
                if one.addresses != wish.addresses || one.grace != Some(wish.grace) || one.over =>
            {
                let mut one =
                    Reservation { object: one.object.clone(), ..Reservation::wished(service, &wish) };
                one.released_at = None;
                shifts.extend(self.remove(&name));
                shifts.extend(self.insert(one));
            }
            (None, Some(wish)) if !self.all.contains_key(&name) => {
                shifts.extend(self.insert(Reservation::wished(service, &wish)));
            }
            (Some(_), None) if !wants => shifts.extend(self.finish(&name)),
            _ => {}
        }
        for name in self.names_of(service) {
            let one = self.all.get(&name).filter(|one| empty && one.managed);
            let released_at = one.map(|one| one.released_at.unwrap_or_else(|| seconds(now)));
            self.set_released(&name, released_at);
        }
        shifts
    }

    /// There is no such Service.
    pub(crate) fn absent(&mut self, service: &ServiceKey, now: Timestamp) {
        for name in self.names_of(service) {
            if let Some(one) = self.all.get(&name) {
                let since = one.released_at.unwrap_or_else(|| seconds(now));
                self.set_released(&name, Some(since));
            }
        }
    }

    /// Those whose time is over cease to count.
    pub(crate) fn lapse(&mut self, now: Timestamp) -> Vec<Shift> {
        let mut shifts = Vec::new();
        while let Some((end, name)) = self.ends.first().cloned() {
            if now < end {
                break;
            }
            shifts.extend(self.finish(&name));
            self.ends.remove(&(end, name));
        }
        shifts
    }

    /// When the next one is over.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// For whom an address is kept; nobody: it is kept for nobody.
    pub(crate) fn services_of(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        let names = self.by_address.get(&address).into_iter().flatten();
        names.filter_map(|name| Some(&self.all.get(name)?.service))
    }

    /// What is kept for a Service, in the order of the names, and whether it takes nothing else meanwhile: what a person
    /// reserved for it is what it is to have.
    pub(crate) fn kept_for(&self, service: &ServiceKey) -> impl Iterator<Item = (IpAddr, bool)> {
        let names = self.by_service.get(service).into_iter().flatten();
        let effective = names.filter_map(|name| self.all.get(name)).filter(|one| !one.over);
        effective.flat_map(|one| one.addresses.iter().map(|address| (*address, !one.managed)))
    }

    /// Something that a condition may speak of has changed at an address.
    pub(crate) fn stir(&mut self, address: IpAddr) {
        if let Some(names) = self.by_address.get(&address) {
            self.unsettled.extend(names.iter().cloned());
        }
    }

    /// Whether anything is, or was, kept for a Service.
    pub(crate) fn concern(&self, service: &ServiceKey) -> bool {
        self.by_service.contains_key(service)
    }

    /// For `show`, by name.
    pub(crate) fn views(&self) -> impl Iterator<Item = ReservationView> {
        self.all.values().filter(|one| !one.over).map(|one| ReservationView {
            name: Arc::clone(&one.name),
            service: one.service.clone(),
            addresses: one.addresses.clone(),
            managed: one.managed,
            released_at: one.released_at,
            until: one.end(),
        })
    }

    /// What has to be written: one thing for each object, since each changes its version. `in_use` says who stands in the
    /// way of a Service at an address that is kept for it.
    pub(crate) fn changes(
        &mut self,
        now: Timestamp,
        in_use: impl Fn(&ServiceKey, IpAddr) -> Option<ServiceKey>,
    ) -> Vec<ReservationChange> {
        let mut changes = Vec::new();
        let over = self
            .unsettled
            .iter()
            .filter(|name| self.all.get(*name).is_none_or(|one| one.over && one.object.is_none()));
        for name in over.cloned().collect::<Vec<_>>() {
            self.remove(&name);
            self.unsettled.remove(&name);
        }
        self.unsettled.retain(|name| {
            let change = self.all.get(name).and_then(|one| change(one, now, &in_use));
            let differs = change.is_some();
            changes.extend(change);
            differs
        });
        changes
    }

    fn names_of(&self, service: &ServiceKey) -> Vec<Arc<str>> {
        self.by_service.get(service).into_iter().flatten().cloned().collect()
    }

    fn insert(&mut self, one: Reservation) -> Option<Shift> {
        let name = Arc::clone(&one.name);
        self.by_service.entry(one.service.clone()).or_default().insert(Arc::clone(&name));
        for address in &one.addresses {
            self.by_address.entry(*address).or_default().insert(Arc::clone(&name));
        }
        self.ends.extend(one.end().map(|end| (end, Arc::clone(&name))));
        self.unsettled.insert(Arc::clone(&name));
        let shift = Shift { service: one.service.clone(), addresses: one.addresses.clone(), begins: true };
        self.all.insert(name, one);
        Some(shift)
    }

    fn remove(&mut self, name: &Arc<str>) -> Option<Shift> {
        let shift = self.finish(name);
        let one = self.all.remove(name)?;
        if let Some(names) = self.by_service.get_mut(&one.service) {
            names.remove(name);
            if names.is_empty() {
                self.by_service.remove(&one.service);
            }
        }
        shift
    }

    /// It counts no longer; its object, if there is one, is to go.
    fn finish(&mut self, name: &Arc<str>) -> Option<Shift> {
        let one = self.all.get_mut(name).filter(|one| !one.over)?;
        one.over = true;
        if let Some(end) = one.end() {
            self.ends.remove(&(end, Arc::clone(name)));
        }
        for address in &one.addresses {
            if let Some(names) = self.by_address.get_mut(address) {
                names.remove(name);
                if names.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        self.unsettled.insert(Arc::clone(name));
        Some(Shift { service: one.service.clone(), addresses: one.addresses.clone(), begins: false })
    }

    fn set_released(&mut self, name: &Arc<str>, released_at: Option<Timestamp>) {
        let Some(one) = self.all.get_mut(name).filter(|one| !one.over) else { return };
        if let Some(end) = one.end() {
            self.ends.remove(&(end, Arc::clone(name)));
        }
        one.released_at = released_at;
        self.ends.extend(one.end().map(|end| (end, Arc::clone(name))));
        self.unsettled.insert(Arc::clone(name));
    }
}

/// The API keeps whole seconds.
fn seconds(now: Timestamp) -> Timestamp {
    now.round(Unit::Second).unwrap_or(now)
}

fn change(
    one: &Reservation,
    now: Timestamp,
    in_use: impl Fn(&ServiceKey, IpAddr) -> Option<ServiceKey>,
) -> Option<ReservationChange> {
    let Some(object) = &one.object else {
        return Some(ReservationChange::Create { name: Arc::clone(&one.name), spec: one.spec() });
    };
    let object = Arc::clone(object);
    if one.over {
        return Some(ReservationChange::Delete { object });
    }
    if one.managed && one.released_at.is_none() && object.spec != one.spec() {
        return Some(ReservationChange::Spec { object, spec: one.spec() });
    }
    let others = one.addresses.iter().filter_map(|address| {
        let other = in_use(&one.service, *address)?;
        Some(format!("{address} is in use by {other}, and stays there"))
    });
    let problems: Vec<String> = one.bad.iter().cloned().chain(others).collect();
    let (status, reason) = match (problems.is_empty(), one.bad.is_empty()) {
        (true, _) => (ConditionStatus::True, "reserved"),
        (false, true) => (ConditionStatus::False, "in_use"),
        (false, false) => (ConditionStatus::False, "invalid_spec"),
    };
    let conditions = object.status.as_ref().map_or(&[] as &[Condition], |status| &status.conditions);
    let before = conditions.iter().find(|condition| condition.type_ == RESERVED);
    let since = before.filter(|before| before.status == status);
    let now = Time(seconds(now));
    let condition = Condition {
        last_transition_time: since.map_or(now, |since| since.last_transition_time.clone()),
        message: problems.join("; "),
        observed_generation: object.metadata.generation,
        reason: reason.to_owned(),
        status,
        type_: RESERVED.to_owned(),
    };
    let set = (before != Some(&condition)).then_some(condition);
    let released_at = (said(&object) != one.released_at).then_some(one.released_at);
    (set.is_some() || released_at.is_some()).then_some(ReservationChange::Status { object, set, released_at })
}
