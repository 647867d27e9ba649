//! What one pool says to one question: may this Service have an address of this family, or this very address?
//!
//! Invariant: this is the only place where an address is found to be giveable. Whoever explains a decision asks here too, so
//! that there is no second opinion.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::annotation::QUOTA;
use crate::conflict::Conflict;
use crate::ipam::Ipam;
use crate::plan::Reason;
use crate::pool::Pool;
use crate::pools::Member;
use crate::range::Range;
use crate::refusal::Covered;
use crate::roster::{Entry, Id};
use crate::selector::ServiceSelector;
use crate::service::{Family, Service, ServiceKey};
use crate::sharing::{self, Incompatible};

/// What a pool is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Want {
    /// Any address of a family.
    Family(Family),
    /// This address.
    Address(IpAddr),
}

/// What a pool gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The address.
    pub address: IpAddr,
    /// Whether somebody is at it already, with whom it would be shared.
    pub shared: bool,
}

/// Why a pool does not give what it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The address is in no block of it.
    NotInPool,
    /// No block has addresses of the family.
    NoAddressOfFamily,
    /// `spec.disabled`.
    Disabled,
    /// It overlaps another pool, which was there before.
    Conflict(Conflict),
    /// It has addresses of the cluster's own, the first of which is this, and its owner wants that refused.
    CoversClusterRange(Covered),
    /// It does not select the Service; [`Pool::unmet`] says in which terms.
    Selector,
    /// Its selector cannot be evaluated, so it selects nobody.
    UnusableSelector,
    /// It is there on request only, and the Service does not ask for it.
    OnRequestOnly,
    /// The Service names other pools.
    OtherPoolsNamed,
    /// All its addresses of the family are in use.
    Full,
    /// The Service's namespace has as many of its addresses as it may have.
    Quota {
        /// How many it has.
        used: u64,
        /// How many it may have.
        limit: u32,
    },
    /// The address is kept for another Service.
    Reserved,
    /// The address is the first or last one of a block, and those are not given out.
    Edge,
    /// Somebody is at the address with whom the Service cannot share it.
    Taken {
        /// Who, oldest first.
        by: Box<[Arc<ServiceKey>]>,
        /// What speaks against sharing it with the oldest of those that something speaks against.
        incompatible: Incompatible,
    },
}

impl Refusal {
    /// The reason for the condition.
    #[must_use]
    pub fn reason(&self, service: &Service) -> Reason {
        match self {
            Self::NotInPool
            | Self::NoAddressOfFamily
            | Self::Disabled
            | Self::Conflict(_)
            | Self::CoversClusterRange(_)
            | Self::OnRequestOnly
            | Self::OtherPoolsNamed => Reason::NoPool,
            Self::Selector | Self::UnusableSelector => Reason::PoolSelectorMismatch,
            Self::Full => Reason::OutOfIps,
            Self::Quota { .. } => Reason::QuotaExceeded,
            Self::Reserved => Reason::Reserved,
            Self::Edge => Reason::AlreadyAllocated,
            Self::Taken { .. } if sharing::key(service).is_none() => Reason::AlreadyAllocated,
            Self::Taken { .. } => Reason::AlreadyAllocatedIncompatibleService,
        }
    }

    /// How close the pool came to giving the address: of several pools the closest one is named.
    fn closeness(&self) -> u8 {
        match self {
            Self::NotInPool | Self::NoAddressOfFamily => 0,
            Self::Disabled | Self::Conflict(_) | Self::CoversClusterRange(_) => 1,
            Self::Selector | Self::UnusableSelector => 2,
            Self::OnRequestOnly | Self::OtherPoolsNamed => 3,
            Self::Full | Self::Quota { .. } | Self::Reserved | Self::Edge | Self::Taken { .. } => 4,
        }
    }
}

/// Why no pool gives what is asked for: what the condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// Why nothing was found, and the places of the pools that would give if something were freed in them.
pub(crate) struct Hopeless {
    pub(crate) problem: Problem,
    pub(crate) pools: Box<[u32]>,
    /// Whether one of those counts by namespace.
    pub(crate) by_namespace: bool,
}

impl Ipam {
    /// What a pool says.
    ///
    /// # Errors
    ///
    /// Why it does not give it.
    pub(crate) fn offer(
        &self,
        member: &Member,
        id: Id,
        service: &Service,
        want: Want,
    ) -> Result<Offer, Refusal> {
        let pool = &member.pool;
        match want {
            Want::Family(family) if !pool.has(family) => return Err(Refusal::NoAddressOfFamily),
            Want::Address(address) if !pool.covers(address) => return Err(Refusal::NotInPool),
            _ => {}
        }
        if pool.disabled {
            return Err(Refusal::Disabled);
        }
        if let Some(conflict) = &member.conflict {
            return Err(Refusal::Conflict(conflict.clone()));
        }
        if let Some(covered) = member.covered.first() {
            return Err(Refusal::CoversClusterRange(covered.clone()));
        }
        if matches!(pool.selector, ServiceSelector::Unusable(_)) {
            return Err(Refusal::UnusableSelector);
        }
        if !pool.selects(service) {
            return Err(Refusal::Selector);
        }
        match want {
            Want::Family(_) if !pool.gives_unasked(service) => Err(if pool.annotations.on_request_only {
                Refusal::OnRequestOnly
            } else {
                Refusal::OtherPoolsNamed
            }),
            Want::Family(family) => {
                self.within_quota(member, id, service, None)?;
                let address = self.lowest_free(pool, family).ok_or(Refusal::Full)?;
                Ok(Offer { address, shared: false })
            }
            Want::Address(address) if self.occupancy.at(address).iter().any(|other| *other != id) => {
                self.may_join(address, id, service)?;
                self.not_kept(address, service)?;
                self.within_quota(member, id, service, Some(address))?;
                Ok(Offer { address, shared: true })
            }
            Want::Address(address) if pool.is_edge(address) => Err(Refusal::Edge),
            Want::Address(address) => {
                self.not_kept(address, service)?;
                self.within_quota(member, id, service, Some(address))?;
                Ok(Offer { address, shared: false })
            }
        }
    }

    /// Whether the Service's namespace may have one more address of the pool. What the Service itself is about to leave does
    /// not count, nor does an address at which the namespace is already.
    fn within_quota(
        &self,
        member: &Member,
        id: Id,
        service: &Service,
        address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let namespace = &service.key.namespace;
        let Some(limit) = member.pool.annotations.quota.as_ref().and_then(|quota| quota.limit(namespace))
        else {
            return Ok(());
        };
        if address.is_some_and(|address| self.is_there(namespace, address, Some(id))) {
            return Ok(());
        }
        let leaving = self.roster.get(id).map_or(0, |entry| {
            let leaving = entry.standing.iter().filter(|address| {
                !entry.holds(**address)
                    && member.pool.covers(**address)
                    && !self.is_there(namespace, **address, Some(id))
            });
            leaving.count() as u64
        });
        let used = member.by_namespace.get(namespace).copied().unwrap_or(0).saturating_sub(leaving);
        if used < limit.into() { Ok(()) } else { Err(Refusal::Quota { used, limit }) }
    }

    fn not_kept(&self, address: IpAddr, service: &Service) -> Result<(), Refusal> {
        if self.is_kept_from(address, service) { Err(Refusal::Reserved) } else { Ok(()) }
    }

    /// Whether the Service can share the address with everybody who is at it.
    fn may_join(&self, address: IpAddr, id: Id, service: &Service) -> Result<(), Refusal> {
        let occupants = self.occupancy.at(address).iter().filter(|other| **other != id);
        let others = occupants.filter_map(|other| self.roster.get(*other));
        let answer = |other: &Entry| {
            if other.ours { sharing::compatible(service, &other.service) } else { Err(Incompatible::NotOurs) }
        };
        if others.clone().all(|other| answer(other).is_ok()) {
            return Ok(());
        }
        let mut others: Vec<&Entry> = others.collect();
        others.sort_by(|one, other| one.age.cmp(&other.age));
        let against = others.iter().find_map(|other| answer(other).err());
        let Some(incompatible) = against else { return Ok(()) };
        let by = others.iter().map(|other| Arc::clone(&other.service.key)).collect();
        Err(Refusal::Taken { by, incompatible })
    }

    /// The lowest free address of the first block that has one, edges aside.
    fn lowest_free(&self, pool: &Pool, family: Family) -> Option<IpAddr> {
        pool.blocks.iter().filter(|block| block.range.family() == family).find_map(|block| {
            let range = block.range;
            let skipped = |edge| u128::from(pool.is_edge(edge));
            let first = range.first_number().checked_add(skipped(range.first()))?;
            let last = range.last_number().checked_sub(skipped(range.last()))?;
            self.occupancy.lowest_free(Range::from_numbers(family, first, last)?)
        })
    }

    /// The first pool that gives the Service a new address of the family, or why there is none.
    pub(crate) fn search(
        &self,
        id: Id,
        service: &Service,
        family: Family,
    ) -> Result<(IpAddr, Arc<str>), Hopeless> {
        let (mut hopes, mut by_namespace, mut quota, mut unasked) = (Vec::new(), false, None, None);
        for (place, member) in self.pools.iter() {
            match self.offer(member, id, service, Want::Family(family)) {
                Ok(offer) => return Ok((offer.address, Arc::clone(&member.pool.name))),
                Err(Refusal::Full) => {
                    hopes.extend(u32::try_from(place));
                    by_namespace |= member.has_quota();
                }
                Err(Refusal::Quota { used, limit }) if quota.is_none() => {
                    quota = Some(quota_message(service, &member.pool, used, limit));
                }
                Err(Refusal::OnRequestOnly) => {
                    unasked = Some("gives without being asked for (rutter.dev/auto-assign)")
                }
                Err(Refusal::OtherPoolsNamed) => unasked = Some("is one that it names (rutter.dev/pool)"),
                Err(_) => {}
            }
        }
        let problem = if let Some(message) = quota {
            Problem { reason: Reason::QuotaExceeded, message }
        } else if hopes.is_empty() {
            let message = match unasked {
                Some(what) => {
                    format!("no enabled pool has {family} addresses, selects this Service, and {what}")
                }
                None => format!("no enabled pool has {family} addresses and selects this Service"),
            };
            Problem { reason: Reason::NoPool, message }
        } else {
            let message = format!("all {family} addresses of the pools that select this Service are in use");
            Problem { reason: Reason::OutOfIps, message }
        };
        Err(Hopeless { problem, pools: hopes.into(), by_namespace })
    }

    /// The pool that gives the Service this very address, or why none does.
    pub(crate) fn search_address(
        &self,
        id: Id,
        service: &Service,
        address: IpAddr,
    ) -> Result<Arc<str>, Problem> {
        let mut closest: Option<(Refusal, &Member)> = None;
        for (_, member) in self.pools.iter() {
            match self.offer(member, id, service, Want::Address(address)) {
                Ok(_) => return Ok(Arc::clone(&member.pool.name)),
                Err(refusal) => {
                    if closest.as_ref().is_none_or(|(best, _)| best.closeness() < refusal.closeness()) {
                        closest = Some((refusal, member));
                    }
                }
            }
        }
        let reason = closest.as_ref().map_or(Reason::NoPool, |(refusal, _)| refusal.reason(service));
        let name = closest.as_ref().map_or("", |(_, member)| &member.pool.name);
        let message = match closest.as_ref().map(|(refusal, _)| refusal) {
            Some(Refusal::Disabled) => format!("pool {name} has {address}, and is disabled"),
            Some(Refusal::Conflict(_)) => {
                format!("pool {name} has {address}, and is in conflict with another pool")
            }
            Some(Refusal::CoversClusterRange(_)) => {
                format!(
                    "pool {name} has {address}, and gives nothing new, since it has addresses of the cluster itself"
                )
            }
            Some(Refusal::Selector) => format!("pool {name} has {address}, and does not select this Service"),
            Some(Refusal::UnusableSelector) => {
                format!("pool {name} has {address}, and its selector cannot be evaluated")
            }
            Some(Refusal::Quota { used, limit }) => closest
                .as_ref()
                .map(|(_, member)| quota_message(service, &member.pool, *used, *limit))
                .unwrap_or_default(),
            Some(Refusal::Reserved) => format!("{address} is kept for another Service"),
            Some(Refusal::Edge) => format!(
                "{address} is the first or last address of a block, and pool {name} does not give those out \
                 (allowFirstLastIPs: No)"
            ),
            Some(Refusal::Taken { incompatible, .. })
                if reason == Reason::AlreadyAllocatedIncompatibleService =>
            {
                format!(
                    "{address} is in use by a Service with which this one cannot share it: {incompatible}"
                )
            }
            Some(Refusal::Taken { .. }) => format!("{address} is in use by another Service"),
            _ => format!("no pool has {address}"),
        };
        Err(Problem { reason, message })
    }

    /// The address of the Service's sharing key: of its members from the oldest on, the lowest one that it can join.
    pub(crate) fn join(&self, id: Id, service: &Service, family: Family) -> Option<(IpAddr, Arc<str>)> {
        let mut seen = std::collections::BTreeSet::new();
        for member in self.keys.candidates(service) {
            if member == id {
                continue;
            }
            let Some(entry) = self.roster.get(member) else { continue };
            let mut addresses: Vec<IpAddr> = entry.held.iter().map(|held| held.address).collect();
            addresses.sort_unstable();
            for address in addresses {
                if Family::of(address) != family || !seen.insert(address) {
                    continue;
                }
                if let Ok(pool) = self.search_address(id, service, address) {
                    return Some((address, pool));
                }
            }
        }
        None
    }
}

fn quota_message(service: &Service, pool: &Pool, used: u64, limit: u32) -> String {
    let namespace = &service.key.namespace;
    format!(
        "namespace {namespace} has {used} of the addresses of pool {}, and may have {limit} ({QUOTA})",
        pool.name
    )
}
