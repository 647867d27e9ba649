//! What a Service that misses something gets, and what its condition says.
//!
//! Invariant: whoever waits longest is served first. What is given is held from here on, written or not.

use std::net::IpAddr;
use std::sync::Arc;

use crate::ipam::Ipam;
use crate::offer::{Hopeless, Problem};
use crate::plan::Reason;
use crate::request::Wanted;
use crate::roster::{Age, Entry, Held, Id, Say, Waits};
use crate::service::{Family, Service};
use crate::sharing;
use crate::status::listed;
use crate::waiting::{ClassId, ClassKey};

impl Entry {
    /// Whether it has everything it asks for.
    pub(crate) fn is_complete(&self) -> bool {
        self.request.invalid.is_empty()
            && self.bad_grace.is_none()
            && match &self.request.wanted {
                Wanted::Families(families) => families.iter().all(|family| self.has(*family)),
                Wanted::Addresses(addresses) => addresses.iter().all(|address| self.holds(*address)),
            }
    }

    fn has(&self, family: Family) -> bool {
        self.held.iter().any(|held| Family::of(held.address) == family)
    }
}

impl Ipam {
    /// Serves everybody who has work to be done, oldest first, and whoever that makes work for.
    pub(crate) fn serve(&mut self) {
        // Classes for which something was freed: their members are tried one after the other until one cannot be helped.
        let mut hopeful = std::collections::BTreeSet::new();
        self.wake(&mut hopeful);
        while let Some((_, id)) = self.work.pop_first() {
            let before = self.stop_waiting(id);
            let waits = self.give(id);
            for class in before
                .classes
                .iter()
                .filter(|class| hopeful.contains(*class))
                .copied()
                .collect::<Vec<ClassId>>()
            {
                if waits.classes.contains(&class) {
                    hopeful.remove(&class);
                } else {
                    self.work.extend(self.waiting.oldest(class));
                }
            }
            self.wait(id, waits);
            self.review.insert(id);
            self.wake(&mut hopeful);
        }
    }

    /// Finds work for those whom the latest changes may help.
    fn wake(&mut self, hopeful: &mut std::collections::BTreeSet<ClassId>) {
        for address in std::mem::take(&mut self.touched) {
            self.reservations.stir(address);
            self.work.extend(self.waiting.for_address(address).map(|(age, id)| (age.clone(), id)));
            if self.occupancy.is_taken(address) {
                // Who left may have been all that kept others from joining those who are there.
                let there = self.occupancy.at(address).iter().filter_map(|id| self.roster.get(*id));
                self.touched_keys
                    .extend(there.filter_map(|entry| sharing::key(&entry.service)).map(Into::into));
                continue;
            }
            let family = Family::of(address);
            for (place, _) in self.pools.iter().filter(|(_, member)| member.pool.covers(address)) {
                for class in self.waiting.classes_of(u32::try_from(place).unwrap_or(u32::MAX), family) {
                    hopeful.insert(class);
                    self.work.extend(self.waiting.oldest(class));
                }
            }
        }
        for namespace in std::mem::take(&mut self.touched_namespaces) {
            self.work.extend(self.waiting.for_quota(&namespace).map(|(age, id)| (age.clone(), id)));
            for class in self.waiting.classes_in(&namespace) {
                hopeful.insert(class);
                self.work.extend(self.waiting.oldest(class));
            }
        }
        for key in std::mem::take(&mut self.touched_keys) {
            self.work.extend(self.waiting.for_key(&key).map(|(age, id)| (age.clone(), id)));
        }
    }

    /// Gives a Service what it misses, as far as there is any. What it has to wait for.
    fn give(&mut self, id: Id) -> Waits {
        let Some(entry) = self.roster.get(id) else { return Waits::default() };
        if !entry.is_served() || self.pools.is_empty() {
            return Waits::default();
        }
        let service = Arc::clone(&entry.service);
        let wanted = entry.request.wanted.clone();
        let mut waits = Waits::default();
        let problems = match &wanted {
            Wanted::Families(families) => self.give_families(id, &service, families, &mut waits),
            Wanted::Addresses(addresses) => self.give_addresses(id, &service, addresses, &mut waits),
        };
        let Some(entry) = self.roster.get_mut(id) else { return waits };
        let invalid = entry.request.invalid.iter().chain(entry.bad_grace.as_deref()).map(ToString::to_string);
        let messages: Vec<String> =
            invalid.chain(problems.iter().map(|problem| problem.message.clone())).collect();
        let reason = match problems.last() {
            _ if !entry.request.invalid.is_empty() => Some(Reason::InvalidRequest),
            Some(problem) => Some(problem.reason),
            None if entry.bad_grace.is_some() => Some(Reason::InvalidRequest),
            None => None,
        };
        entry.say = match reason {
            Some(reason) => Say::Refused(reason, listed(messages).into()),
            None => Say::Satisfied,
        };
        waits
    }

    fn give_families(
        &mut self,
        id: Id,
        service: &Service,
        families: &[Family],
        waits: &mut Waits,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for family in families {
            if self.roster.get(id).is_some_and(|entry| entry.has(*family)) {
                continue;
            }
            let found = match self.kept(id, service, *family, waits) {
                Kept::Given(address, pool) => Ok((address, pool)),
                Kept::Awaited(problem) => {
                    waits.note_quota(&problem, service);
                    problems.push(problem);
                    continue;
                }
                Kept::Nothing => match self.join(id, service, *family) {
                    Some(found) => Ok(found),
                    None => self.search(id, service, *family),
                },
            };
            match found {
                Ok((address, pool)) => self.hold(id, address, pool),
                Err(Hopeless { problem, pools, by_namespace }) => {
                    waits.note_quota(&problem, service);
                    problems.push(problem);
                    waits.key = sharing::key(service).map(Into::into);
                    if !pools.is_empty() {
                        let namespace = by_namespace.then(|| service.key.namespace.clone());
                        let class = ClassKey { family: *family, pools, namespace };
                        waits.classes.push(self.waiting.class(class));
                    }
                }
            }
        }
        problems
    }

    /// What is kept for a Service comes before anything else.
    fn kept(&self, id: Id, service: &Service, family: Family, waits: &mut Waits) -> Kept {
        let mut kept = Kept::Nothing;
        for (address, insists) in self.reservations.kept_for(&service.key) {
            if Family::of(address) != family {
                continue;
            }
            match self.search_address(id, service, address) {
                Ok(pool) => return Kept::Given(address, pool),
                Err(problem) => {
                    waits.addresses.push(address);
                    if insists {
                        let message = format!("{} (it is reserved for this Service)", problem.message);
                        kept = Kept::Awaited(Problem { message, ..problem });
                    }
                }
            }
        }
        kept
    }

    fn give_addresses(
        &mut self,
        id: Id,
        service: &Service,
        addresses: &[IpAddr],
        waits: &mut Waits,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for address in addresses {
            if self.roster.get(id).is_some_and(|entry| entry.holds(*address)) {
                continue;
            }
            match self.search_address(id, service, *address) {
                Ok(pool) => self.hold(id, *address, pool),
                Err(problem) => {
                    waits.note_quota(&problem, service);
                    problems.push(problem);
                    waits.addresses.push(*address);
                }
            }
        }
        problems
    }

    /// A Service has an address from now on.
    fn hold(&mut self, id: Id, address: IpAddr, pool: Arc<str>) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        entry.held.push(Held { address, pool: Some(pool), bare_since: None });
        entry.lost.retain(|lost| lost.held.address != address);
        let service = Arc::clone(&entry.service);
        self.occupy(id, address);
        self.touched.insert(address);
        self.touch_key(&service);
    }

    /// Somebody's waiting is over, or about to be looked at again.
    pub(crate) fn stop_waiting(&mut self, id: Id) -> Waits {
        let Some(entry) = self.roster.get_mut(id) else { return Waits::default() };
        let waits = std::mem::take(&mut entry.waits);
        self.waiting.leave(&entry.age, &waits);
        waits
    }

    fn wait(&mut self, id: Id, waits: Waits) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        self.waiting.enter(&entry.age, id, &waits);
        entry.waits = waits;
    }
}

impl Waits {
    fn note_quota(&mut self, problem: &Problem, service: &Service) {
        if problem.reason == Reason::QuotaExceeded {
            self.quota = Some(service.key.namespace.clone());
        }
    }
}

/// What comes of the addresses of a family that are kept for a Service.
enum Kept {
    /// There is none, or none that can be had.
    Nothing,
    /// This one can be had, out of that pool.
    Given(IpAddr, Arc<str>),
    /// A person reserved one for it that cannot be had: it waits for it, and takes no other.
    Awaited(Problem),
}

/// Ages with their numbers, for work that is done oldest first.
pub(crate) type Work = std::collections::BTreeMap<Age, Id>;
