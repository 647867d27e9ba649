//! Whether a plan is right for what its maker saw.
//!
//! Invariant: a plan without faults gives nobody what somebody else has, takes from nobody what is still valid, leaves
//! nobody waiting for what is free, and says of each who waits why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use lbipam::service::Ingress;
use lbipam::{ConditionChange, Family, Plan, Reason, Service, ServiceChange, Verdict};

use crate::oracle::{self, addresses, age, may_share};
use crate::replica::View;
use crate::server::Pool;
use crate::step;

/// What is wrong: its kind, for cutting a program down without changing the subject, and the details.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}

pub(crate) fn fault<T>(kind: &'static str, what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { kind, what: what.into() })
}

/// Whether an address may, must or cannot stay where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stay {
    /// It has to go.
    No,
    /// The contract leaves it open.
    Open,
    /// It has to stay.
    Yes,
}

/// One moment: what was seen, and what everybody will have once the plan is written.
pub(crate) struct Moment<'a> {
    pub(crate) view: &'a View,
    now: Timestamp,
    conflicting: BTreeSet<String>,
    /// What each Service will have.
    pub(crate) after: BTreeMap<usize, Vec<IpAddr>>,
    changes: BTreeMap<usize, &'a ServiceChange>,
}

impl<'a> Moment<'a> {
    pub(crate) fn new(view: &'a View, plan: &'a Plan, now: Timestamp) -> Result<Self, Fault> {
        let mut changes = BTreeMap::new();
        for change in &plan.services {
            let known = view.services.iter().find(|(_, service)| service.key == change.service.key);
            let Some((slot, known)) = known else {
                return fault("plan for nobody", format!("{} is not there", change.service.key));
            };
            if **known != *change.service {
                return fault("plan from an old object", change.service.key.to_string());
            }
            if changes.insert(*slot, change).is_some() {
                return fault("two changes of one", change.service.key.to_string());
            }
        }
        let after = view.services.iter().map(|(slot, service)| {
            let planned = changes.get(slot).and_then(|change| change.ingress.as_deref());
            let ingress = planned.unwrap_or(&service.ingress);
            (*slot, ingress.iter().filter_map(|entry| entry.ip).collect())
        });
        let after = after.collect();
        let conflicting = oracle::conflicting(view.pools.iter().map(|pool| &**pool));
        Ok(Self { view, now, conflicting, after, changes })
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        for (slot, service) in &self.view.services {
            self.check_service(*slot, service).map_err(|fault| {
                let what = format!("{} {}", step::name(*slot), fault.what);
                Fault { what, ..fault }
            })?;
        }
        Ok(())
    }

    fn check_service(&self, slot: usize, service: &Service) -> Result<(), Fault> {
        let change = self.changes.get(&slot).copied();
        self.check_form(service, change)?;
        if service.deleting {
            return Ok(());
        }
        if !oracle::handled(&self.view.settings, service) {
            return self.check_foreign(service, change);
        }
        if self.dormant() {
            return match change {
                Some(_) => fault("dormant, and planned", format!("{change:?}")),
                None => Ok(()),
            };
        }
        let (before, after) = (addresses(service), &self.after[&slot]);
        for ip in &before {
            let (kept, stay) = (after.contains(ip), self.stay(slot, service, *ip));
            match stay {
                Stay::Yes if !kept => return fault("taken away", format!("loses {ip}, which is valid")),
                Stay::No if kept => return fault("kept too long", format!("keeps {ip}, which is not valid")),
                _ => {}
            }
        }
        for ip in after.iter().filter(|ip| !before.contains(ip)) {
            self.check_given(slot, service, *ip)?;
        }
        self.check_promise(slot, service)?;
        self.check_verdict(slot, service, change)
    }

    /// No pool, nor one that just went.
    fn dormant(&self) -> bool {
        self.view.pools.is_empty() && self.view.gone.is_empty()
    }

    fn check_form(&self, service: &Service, change: Option<&ServiceChange>) -> Result<(), Fault> {
        let Some(change) = change else { return Ok(()) };
        if let Some(ingress) = &change.ingress {
            if *ingress == service.ingress {
                return fault("change of nothing", "the same ingress");
            }
            let foreign = |entry: &&Ingress| {
                let old = service.ingress.iter().find(|old| old.ip == entry.ip);
                old.is_some_and(|old| old != *entry)
            };
            if let Some(entry) = ingress.iter().find(foreign) {
                return fault("others' words lost", format!("{entry:?}"));
            }
            let distinct: BTreeSet<_> = ingress.iter().map(|entry| entry.ip).collect();
            if distinct.len() != ingress.len() {
                return fault("an address twice in one list", format!("{ingress:?}"));
            }
        }
        match &change.condition {
            Some(ConditionChange::Set(verdict)) if service.condition.as_ref() == Some(verdict) => {
                fault("change of nothing", "the same condition")
            }
            Some(ConditionChange::Remove) if service.condition.is_none() => {
                fault("change of nothing", "no condition to remove")
            }
            None if change.ingress.is_none() => fault("change of nothing", "an empty change"),
            _ => Ok(()),
        }
    }

    /// One that is not ours: our condition goes and addresses of our pools with it; all else is somebody else's.
    fn check_foreign(&self, service: &Service, change: Option<&ServiceChange>) -> Result<(), Fault> {
        if service.condition.is_none() {
            return match change {
                Some(change) => fault("not ours, and planned", format!("{change:?}")),
                None => Ok(()),
            };
        }
        match change.and_then(|change| change.condition.as_ref()) {
            Some(ConditionChange::Remove) => Ok(()),
            _ if self.view.pools.is_empty() => Ok(()),
            other => fault("not ours, and still said so", format!("{other:?}")),
        }
    }

    /// Pools that are seen, disabled or not, conflicting or not.
    fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.view.pools.iter().map(|pool| &**pool)
    }

    /// Whether a pool gives out anything new.
    fn gives(&self, pool: &Pool) -> bool {
        !pool.spec.disabled && !self.conflicting.contains(oracle::name(pool))
    }

    /// Whether a pool gives a Service what it did not ask for by number.
    fn gives_unasked(&self, pool: &Pool, service: &Service) -> bool {
        self.gives(pool) && oracle::selects(pool, service) == Some(true) && oracle::is_open_to(pool, service)
    }

    /// Whether an address that a Service has may stay, others aside.
    fn stay_alone(&self, service: &Service, ip: IpAddr) -> Stay {
        if self.view.pools.is_empty() {
            // Nobody decides anything but what follows from pools that went.
            let wanted = oracle::wants(&self.view.settings, service, ip);
            return if wanted { self.stay_uncovered(service, ip, false) } else { Stay::Open };
        }
        if !oracle::wants(&self.view.settings, service, ip) {
            return Stay::No;
        }
        let covered = self.pools().filter(|pool| oracle::covers(pool, ip));
        let covered = covered.map(|pool| match oracle::selects(pool, service) {
            Some(true) => Stay::Yes,
            Some(false) => Stay::No,
            // Nobody knows whom it means: whoever has an address keeps it.
            None => Stay::Yes,
        });
        let covered = covered.max();
        covered.unwrap_or(Stay::No).max(self.stay_uncovered(service, ip, covered.is_some()))
    }

    /// Whether an address may stay that no pool has for the Service: its pool just went, or a block cannot be read.
    fn stay_uncovered(&self, service: &Service, ip: IpAddr, elsewhere: bool) -> Stay {
        let at = (service.uid.clone(), ip);
        let may_select = |pool: &Pool| oracle::selects(pool, service) != Some(false);
        if self.pools().any(|pool| oracle::has_bad_block(pool) && may_select(pool)) {
            return Stay::Yes;
        }
        // Since nothing kept it: the time of grace may begin then, whenever its pool went.
        let since = self.view.lost.get(&at);
        let young = since.is_some_and(|since| self.now < *since + self.view.settings.grace);
        // Asleep, nobody decides anything but what follows from pools that went.
        let at_least = if young || self.view.pools.is_empty() { Stay::Open } else { Stay::No };
        let Some(origins) = self.view.origins.get(&at) else {
            return at_least;
        };
        let from = |pool: &Pool| pool.metadata.uid.as_ref().is_some_and(|uid| origins.contains(uid));
        let gone = || self.view.gone.iter().filter(|(pool, _)| from(pool));
        // It may count as narrowed instead of gone.
        let alive = self
            .pools()
            .any(|pool| from(pool) || gone().any(|(gone, _)| oracle::name(gone) == oracle::name(pool)));
        let recent = gone().filter(|(_, until)| self.now < *until);
        let sure = |pool: &Pool| {
            let had = oracle::covers(pool, ip) && oracle::selects(pool, service) == Some(true);
            had && !elsewhere && !alive
        };
        let stay = recent.map(|(pool, _)| if sure(pool) { Stay::Yes } else { Stay::Open }).max();
        let narrowed = alive && gone().next().is_none();
        stay.unwrap_or(Stay::No).max(if narrowed { Stay::No } else { at_least })
    }

    /// Whether an address that a Service has may stay there.
    fn stay(&self, slot: usize, service: &Service, ip: IpAddr) -> Stay {
        let alone = self.stay_alone(service, ip);
        let others = self.view.services.iter().filter(|(other, _)| **other != slot);
        let others =
            others.filter(|(_, other)| addresses(other).contains(&ip) && !self.may_share(service, other));
        let mut stay = alone;
        for (other, with) in others {
            let foreign = !oracle::handled(&self.view.settings, with) || with.deleting;
            let valid = if foreign { Stay::Open } else { self.stay_alone(with, ip) };
            let keeps = self.after[other].contains(&ip);
            stay = stay.min(match (valid, keeps) {
                // Asleep, nobody judges anew who may share with whom; what was judged before stands.
                _ if self.view.pools.is_empty() => Stay::Open,
                (Stay::No, _) => Stay::Yes,
                // Somebody of those who may not share it has to go: who changed, or came last.
                (Stay::Yes, true) if !self.view.fresh || age(with) < age(service) => Stay::No,
                (Stay::Yes, false) if !self.view.fresh => Stay::Yes,
                _ => Stay::Open,
            });
        }
        stay
    }

    /// Whether two may be at one address: both are ours, and their rules permit it.
    fn may_share(&self, one: &Service, other: &Service) -> bool {
        let ours = |service| oracle::handled(&self.view.settings, service);
        ours(one) && ours(other) && may_share(one, other)
    }

    /// Who has an address, or will have it, besides one.
    fn others_at(&self, slot: usize, ip: IpAddr) -> impl Iterator<Item = &Service> {
        let at = move |other: &&usize| {
            **other != slot
                && (self.after[*other].contains(&ip) || addresses(&self.view.services[*other]).contains(&ip))
        };
        self.view.services.keys().filter(at).map(|other| &*self.view.services[other])
    }

    /// Whether nobody has an address who may not share it.
    fn open_to(&self, slot: usize, service: &Service, ip: IpAddr) -> bool {
        self.others_at(slot, ip).all(|other| self.may_share(service, other))
    }

    /// Pools out of which a Service may get this address.
    fn sources(&self, slot: usize, service: &Service, ip: IpAddr) -> impl Iterator<Item = &Pool> {
        // An edge that somebody has is kept back no longer.
        let shared = self.others_at(slot, ip).next().is_some();
        self.pools()
            .filter(move |pool| self.gives(pool) && oracle::selects(pool, service) == Some(true))
            .filter(move |pool| oracle::covers(pool, ip) && (shared || !oracle::keeps_back(pool, ip)))
    }

    fn check_given(&self, slot: usize, service: &Service, ip: IpAddr) -> Result<(), Fault> {
        if let Some(other) = self.others_at(slot, ip).find(|other| !self.may_share(service, other)) {
            return fault("given twice", format!("gets {ip}, which {} has", other.key));
        }
        // What was promised may be written already, and what was lost in a status alone is somebody's still: both stay as
        // long as what everybody sees.
        let had = self.view.had.contains(&(service.uid.clone(), ip)) || self.was_given(service, ip);
        if had && (self.view.pools.is_empty() || self.stay_alone(service, ip) >= Stay::Open) {
            return Ok(());
        }
        if self.sources(slot, service, ip).next().is_none() {
            return fault("given from nowhere", format!("gets {ip}, which no pool has for it"));
        }
        if let Some(other) = oracle::reserved_for_another(&self.view.reservations, service, ip) {
            // Once that one has it, the rules of sharing decide.
            if self.others_at(slot, ip).all(|there| *there.key.name != *other) {
                return fault("given although reserved", format!("gets {ip}, which is kept for {other}"));
            }
        }
        let request = oracle::request(service);
        if !request.addresses.is_empty() || request.garbage {
            return match request.addresses.contains(&ip) {
                true => Ok(()),
                false => fault("given unasked", format!("gets {ip}, asks for {:?}", request.addresses)),
            };
        }
        let family = Family::of(ip);
        if !oracle::families(&self.view.settings, service).contains(&family) {
            return fault("given unasked", format!("gets {ip} of a family it does not want"));
        }
        let same: Vec<_> = self.after[&slot].iter().filter(|ip| Family::of(**ip) == family).collect();
        if same.len() > 1 {
            return fault("given unasked", format!("gets {ip} and will have {same:?}"));
        }
        if self.view.extras { Ok(()) } else { self.check_choice(slot, service, ip) }
    }

    /// Whether the plan before gave it this.
    fn was_given(&self, service: &Service, ip: IpAddr) -> bool {
        self.view.given.get(&service.uid).is_some_and(|given| given.contains(&ip))
    }

    /// Of all addresses it may get, it gets the right one: its key's, else the first free one.
    fn check_choice(&self, slot: usize, service: &Service, ip: IpAddr) -> Result<(), Fault> {
        if self.others_at(slot, ip).next().is_some() {
            return Ok(());
        }
        // Those who came later were served later.
        let before =
            |other: &Service, ip: IpAddr| age(other) < age(service) || addresses(other).contains(&ip);
        if let Some(other) = self.shareable(slot, service, Family::of(ip), before) {
            return fault("not shared", format!("gets {ip}, could share {other}"));
        }
        match self.first_free(slot, service, Family::of(ip)) {
            Some(first) if first != ip && !self.was_given(service, first) => {
                fault("not the first", format!("gets {ip}, {first} is free"))
            }
            _ => Ok(()),
        }
    }

    /// An address of others that a Service may share.
    fn shareable(
        &self,
        slot: usize,
        service: &Service,
        family: Family,
        with: impl Fn(&Service, IpAddr) -> bool,
    ) -> Option<IpAddr> {
        oracle::sharing_key(service)?;
        let others = self.after.iter().filter(|(other, _)| **other != slot);
        let taken = others.flat_map(|(other, after)| {
            let other = &self.view.services[other];
            after.iter().copied().filter(|ip| with(other, *ip))
        });
        let mut taken: Vec<IpAddr> = taken.filter(|ip| Family::of(*ip) == family).collect();
        taken.sort_unstable();
        taken
            .into_iter()
            .find(|ip| self.open_to(slot, service, *ip) && self.sources(slot, service, *ip).next().is_some())
    }

    /// The first address that nobody has, in the order of pools and blocks.
    fn first_free(&self, slot: usize, service: &Service, family: Family) -> Option<IpAddr> {
        let mut pools: Vec<&Pool> = self.pools().filter(|pool| self.gives_unasked(pool, service)).collect();
        pools.sort_by_key(|pool| oracle::rank(pool));
        let ranges =
            pools.iter().flat_map(|pool| oracle::ranges(pool).into_iter().map(move |range| (pool, range)));
        for (pool, range) in ranges.filter(|(_, range)| Family::of(range.first) == family) {
            let free = range
                .addresses()
                .find(|ip| !oracle::keeps_back(pool, *ip) && self.others_at(slot, *ip).next().is_none());
            if free.is_some() {
                return free;
            }
        }
        None
    }

    /// What the plan before gave, and nobody wrote yet, is given still.
    fn check_promise(&self, slot: usize, service: &Service) -> Result<(), Fault> {
        let after = &self.after[&slot];
        let request = oracle::request(service);
        for ip in self.view.given.get(&service.uid).into_iter().flatten().filter(|ip| !after.contains(ip)) {
            let had = addresses(service).contains(ip);
            let wanted = if request.addresses.is_empty() && !request.garbage {
                let family = Family::of(*ip);
                let other = after.iter().any(|other| Family::of(*other) == family);
                !other && oracle::families(&self.view.settings, service).contains(&family)
            } else {
                request.addresses.contains(ip)
            };
            if !self.view.extras
                && !had
                && wanted
                && self.open_to(slot, service, *ip)
                && self.sources(slot, service, *ip).next().is_some()
            {
                return fault("promise broken", format!("was to get {ip}, now it will have {after:?}"));
            }
        }
        Ok(())
    }

    fn check_verdict(
        &self,
        slot: usize,
        service: &Service,
        change: Option<&ServiceChange>,
    ) -> Result<(), Fault> {
        let verdict = match change.and_then(|change| change.condition.as_ref()) {
            Some(ConditionChange::Set(verdict)) => Some(verdict),
            Some(ConditionChange::Remove) => None,
            None => service.condition.as_ref(),
        };
        let Some(verdict) = verdict else {
            // The last pool went, and what it gave with it: asleep again.
            return if self.view.pools.is_empty() { Ok(()) } else { fault("no word", "has no condition") };
        };
        if self.view.pools.is_empty() {
            return Ok(());
        }
        if self.view.extras {
            return self.check_complete(slot, service, verdict);
        }
        let expected = self.expected(slot, service)?;
        if expected.is_empty() && *verdict == Verdict::satisfied() {
            return Ok(());
        }
        if !verdict.satisfied && expected.iter().any(|reason| reason.as_str() == &*verdict.reason) {
            return if verdict.message.is_empty() {
                fault("no reason given", "its message is empty")
            } else {
                Ok(())
            };
        }
        fault(
            "wrong word",
            format!("has {:?}, its condition says {verdict:?}, expected {expected:?}", self.after[&slot]),
        )
    }

    /// Whether the condition says satisfied exactly of those who have what they want.
    fn check_complete(&self, slot: usize, service: &Service, verdict: &Verdict) -> Result<(), Fault> {
        let (request, after) = (oracle::request(service), &self.after[&slot]);
        let families = oracle::families(&self.view.settings, service);
        let complete = match request.addresses.is_empty() && !request.garbage {
            true => families.iter().all(|family| after.iter().any(|ip| Family::of(*ip) == *family)),
            false => !request.garbage && request.addresses.iter().all(|ip| after.contains(ip)),
        };
        match complete == verdict.satisfied || verdict.reason.as_ref() == Reason::InvalidRequest.as_str() {
            true => Ok(()),
            false => fault("wrong word", format!("has {after:?}, its condition says {verdict:?}")),
        }
    }

    /// Reasons that the condition may give; none if all is there.
    fn expected(&self, slot: usize, service: &Service) -> Result<Vec<Reason>, Fault> {
        let request = oracle::request(service);
        let after = &self.after[&slot];
        if request.garbage {
            // Whatever else is wrong with it, the text has to be put right first.
            for ip in request.addresses.iter().filter(|ip| !after.contains(ip)) {
                self.reason_for(slot, service, *ip)?;
            }
            return Ok(vec![Reason::InvalidRequest]);
        }
        if !request.addresses.is_empty() {
            let missing = request.addresses.iter().filter(|ip| !after.contains(ip));
            let reasons: Result<Vec<Reason>, Fault> =
                missing.map(|ip| self.reason_for(slot, service, *ip)).collect();
            // The last one that fails.
            return Ok(reasons?.pop().into_iter().collect());
        }
        let families = oracle::families(&self.view.settings, service);
        let missing =
            families.into_iter().filter(|family| !after.iter().any(|ip| Family::of(*ip) == *family));
        missing.map(|family| self.reason_without(slot, service, family)).collect()
    }

    /// Why a Service has not what it asks for.
    fn reason_for(&self, slot: usize, service: &Service, ip: IpAddr) -> Result<Reason, Fault> {
        let with: Vec<&Pool> =
            self.pools().filter(|pool| self.gives(pool) && oracle::covers(pool, ip)).collect();
        if with.is_empty() {
            return Ok(Reason::NoPool);
        }
        if !with.iter().any(|pool| oracle::selects(pool, service) == Some(true)) {
            return Ok(Reason::PoolSelectorMismatch);
        }
        if self.sources(slot, service, ip).next().is_none() {
            return Ok(Reason::AlreadyAllocated);
        }
        if self.open_to(slot, service, ip) {
            return fault("left waiting", format!("asks for {ip}, which it may have"));
        }
        Ok(match oracle::sharing_key(service) {
            None => Reason::AlreadyAllocated,
            Some(_) => Reason::AlreadyAllocatedIncompatibleService,
        })
    }

    /// Why a Service has no address of a family.
    fn reason_without(&self, slot: usize, service: &Service, family: Family) -> Result<Reason, Fault> {
        if let Some(free) = self
            .shareable(slot, service, family, |_, _| true)
            .or_else(|| self.first_free(slot, service, family))
        {
            return fault("left waiting", format!("wants {family}, {free} may be had"));
        }
        let has = |pool: &&Pool| oracle::ranges(pool).iter().any(|range| Family::of(range.first) == family);
        let mut pools = self.pools().filter(|pool| self.gives_unasked(pool, service));
        Ok(if pools.any(|pool| has(&pool)) { Reason::OutOfIps } else { Reason::NoPool })
    }
}
