//! Why a Service has the addresses it has, and what each pool says to it.
//!
//! Invariant: nothing is decided here. Every line comes out of the functions that allocate, and the outcome is the plan of a
//! copy of the allocator.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::annotation::QUOTA;
use crate::ipam::Ipam;
use crate::offer::{Refusal, Want};
use crate::plan::{Cause, Verdict};
use crate::pool::Pool;
use crate::pools::Member;
use crate::request::{self, Request, Wanted};
use crate::roster::{Entry, Id};
use crate::service::{Family, Service, ServiceKey};
use crate::sharing;

/// The whole answer about one Service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Which one.
    pub service: ServiceKey,
    /// Whether LB IPAM serves it.
    pub handled: bool,
    /// Why, or why not, in words.
    pub standing: Box<str>,
    /// What it asks for.
    pub asks: Asks,
    /// What it has: the addresses in its status.
    pub has: Box<[Holding]>,
    /// Our condition in its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Verdict>,
    /// The other Services with its sharing key, the oldest first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub sharers: Box<[Sharer]>,
    /// What each pool says, in the order in which they are asked.
    pub pools: Box<[PoolAnswer]>,
    /// What comes out.
    pub outcome: Outcome,
}

/// What a Service asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asks {
    /// One address of each of these; of no meaning if addresses are named.
    pub families: Box<[Family]>,
    /// These addresses.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub addresses: Box<[IpAddr]>,
    /// What cannot be read, with why.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub unreadable: Box<[Box<str>]>,
    /// To share with Services of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing_key: Option<Box<str>>,
    /// Of these namespaces beside its own.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub sharing_namespaces: Box<[Box<str>]>,
}

/// An address that a Service has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The address.
    pub address: IpAddr,
    /// The pool that has it, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Arc<str>>,
    /// Until when it stays although no pool has it: its pool was deleted, and may come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    /// Who else is at it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub shared_with: Box<[ServiceKey]>,
}

/// Another Service with the sharing key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sharer {
    /// Which one.
    pub service: ServiceKey,
    /// Its addresses.
    pub addresses: Box<[IpAddr]>,
    /// Why the two cannot share one; absent if they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Box<str>>,
}

/// What a pool says to what a Service asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolAnswer {
    /// The pool.
    pub pool: Arc<str>,
    /// Its priority; a pool without one comes after all that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// What of it is not understood.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub notes: Box<[Box<str>]>,
    /// To each thing that is asked for.
    pub answers: Box<[Answer]>,
}

/// What a pool says to one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What is asked for: `IPv4`, `IPv6` or an address.
    pub wants: Box<str>,
    /// The address that the Service has of it, or would be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The answer in a word: `has`, `gives`, `would_give`, or why not.
    pub word: &'static str,
    /// The same for people.
    pub message: Box<str>,
}

/// What comes out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The condition, if there is to be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Verdict>,
    /// The addresses that the Service has then.
    pub addresses: Box<[IpAddr]>,
    /// What has to be written for that, and why; nothing if all is as it should be.
    pub causes: Box<[Cause]>,
}

impl Explanation {
    /// Of a Service that the allocator does not even look at.
    #[must_use]
    pub fn not_handled(service: ServiceKey, standing: impl Into<Box<str>>) -> Self {
        Self {
            service,
            handled: false,
            standing: standing.into(),
            asks: Asks::default(),
            has: Box::default(),
            condition: None,
            sharers: Box::default(),
            pools: Box::default(),
            outcome: Outcome::default(),
        }
    }
}

impl Ipam {
    /// Explains a Service; nothing if it was never handed over.
    #[must_use]
    pub fn explain(&self, key: &ServiceKey, now: Timestamp) -> Option<Explanation> {
        let mut after = self.clone();
        let plan = after.plan(now);
        let id = after.roster.find(key)?;
        let entry = after.roster.get(id)?;
        let service = &*entry.service;
        let before: Vec<IpAddr> = service.ingress.iter().filter_map(|entry| entry.ip).collect();
        let change = plan.services.into_iter().find(|change| *change.service.key == *key);
        let outcome = match &change {
            Some(change) => {
                let applied = change.applied();
                Outcome {
                    condition: applied.condition.clone(),
                    addresses: applied.ingress.iter().filter_map(|entry| entry.ip).collect(),
                    causes: change.causes.clone().into(),
                }
            }
            None => Outcome {
                condition: service.condition.clone(),
                addresses: before.clone().into(),
                causes: Box::default(),
            },
        };
        let handled = request::handled(&self.settings, service);
        let pools = match handled {
            Ok(()) => {
                after.pools.iter().map(|(_, member)| after.answers(member, id, entry, &before)).collect()
            }
            Err(_) => Box::default(),
        };
        Some(Explanation {
            service: key.clone(),
            handled: handled.is_ok(),
            standing: match &handled {
                Err(why) => why.to_string().into(),
                Ok(()) if service.deleting => {
                    "it is being deleted: nothing is decided for it any more".into()
                }
                Ok(()) => match &service.class {
                    Some(class) => format!("its loadBalancerClass is {class}").into(),
                    None => "it has no loadBalancerClass, and those are LB IPAM's (default-lb-service-ipam)"
                        .into(),
                },
            },
            asks: Asks::of(&entry.request, service),
            has: before.iter().map(|address| after.holding(*address, id)).collect(),
            condition: service.condition.clone(),
            sharers: after.sharers(id, service),
            pools,
            outcome,
        })
    }

    /// What a pool says to each thing that the Service asks for.
    fn answers(&self, member: &Member, id: Id, entry: &Entry, before: &[IpAddr]) -> PoolAnswer {
        let pool = &member.pool;
        let wants: Vec<Want> = match &entry.request.wanted {
            Wanted::Families(families) => families.iter().map(|family| Want::Family(*family)).collect(),
            Wanted::Addresses(addresses) => addresses.iter().map(|address| Want::Address(*address)).collect(),
        };
        let blocks = pool.bad_blocks.iter().map(|(index, bad)| format!("spec.blocks[{index}]: {bad}").into());
        let annotations = pool.annotations.bad.iter().map(|bad| bad.to_string().into());
        PoolAnswer {
            pool: Arc::clone(&pool.name),
            priority: pool.annotations.priority,
            notes: blocks.chain(annotations).collect(),
            answers: wants.into_iter().map(|want| self.answer(member, id, entry, want, before)).collect(),
        }
    }

    fn answer(&self, member: &Member, id: Id, entry: &Entry, want: Want, before: &[IpAddr]) -> Answer {
        let pool = &member.pool;
        let fits = |address: IpAddr| match want {
            Want::Family(family) => Family::of(address) == family,
            Want::Address(wanted) => wanted == address,
        };
        let wants = match want {
            Want::Family(family) => family.to_string().into(),
            Want::Address(address) => address.to_string().into(),
        };
        let held = entry.held.iter().map(|held| held.address).find(|address| fits(*address));
        let answer =
            |address, word, message: String| Answer { wants, address, word, message: message.into() };
        if let Some(address) = held.filter(|address| pool.covers(*address)) {
            let shared = self.occupancy.at(address).len() > 1;
            return match (before.contains(&address), shared) {
                (true, _) => answer(Some(address), "has", "it stays".to_owned()),
                (false, true) => answer(Some(address), "gives", "shared with others of its key".to_owned()),
                (false, false) => answer(Some(address), "gives", "the lowest free one".to_owned()),
            };
        }
        match self.offer(member, id, &entry.service, want) {
            Ok(offer) if held.is_some() => {
                answer(Some(offer.address), "would_give", "the Service has one already".to_owned())
            }
            Ok(offer) => answer(Some(offer.address), "would_give", String::new()),
            Err(refusal) => {
                let mut message = refusal.explain(pool, &entry.service);
                if let (Refusal::Reserved, Want::Address(address)) = (&refusal, want) {
                    let whom = self.reservations().filter(|one| one.addresses.contains(&address));
                    let whom: Vec<String> =
                        whom.map(|one| format!("{} by {}", one.service, one.name)).collect();
                    message.push_str(&format!(": {}", whom.join(", ")));
                }
                answer(None, refusal.word(), message)
            }
        }
    }

    /// The pools that have an address, in the order in which they are asked; several only if they are in conflict.
    pub fn pools_of(&self, address: IpAddr) -> impl Iterator<Item = &Arc<str>> {
        let members = self.pools.iter().map(|(_, member)| &member.pool);
        members.filter(move |pool| pool.covers(address)).map(|pool| &pool.name)
    }

    fn holding(&self, address: IpAddr, id: Id) -> Holding {
        let others = self.occupancy.at(address).iter().filter(|other| **other != id);
        Holding {
            address,
            pool: self.pools_of(address).next().cloned(),
            kept_until: self.roster.get(id).and_then(|entry| {
                let held = entry.held.iter().find(|held| held.address == address)?;
                held.bare_since?.checked_add(self.settings.grace).ok()
            }),
            shared_with: others
                .filter_map(|other| Some(ServiceKey::clone(&self.roster.get(*other)?.service.key)))
                .collect(),
        }
    }

    /// All Services with this one's key, also those with which it may not share.
    fn sharers(&self, id: Id, service: &Service) -> Box<[Sharer]> {
        let Some(key) = sharing::key(service) else { return Box::default() };
        let mut others: Vec<&Entry> = self
            .roster
            .iter()
            .filter(|(other, entry)| *other != id && entry.ours && sharing::key(&entry.service) == Some(key))
            .map(|(_, entry)| entry)
            .collect();
        others.sort_by(|one, other| one.age.cmp(&other.age));
        let sharer = |entry: &Entry| Sharer {
            service: ServiceKey::clone(&entry.service.key),
            addresses: entry.held.iter().map(|held| held.address).collect(),
            against: sharing::compatible(service, &entry.service).err().map(|why| why.to_string().into()),
        };
        others.into_iter().map(sharer).collect()
    }
}

impl Asks {
    fn of(request: &Request, service: &Service) -> Self {
        let (families, addresses) = match &request.wanted {
            Wanted::Families(families) => (families.iter().copied().collect(), Box::default()),
            Wanted::Addresses(addresses) => (Box::default(), addresses.clone()),
        };
        Self {
            families,
            addresses,
            unreadable: request.invalid.iter().map(|item| item.to_string().into()).collect(),
            sharing_key: sharing::key(service).map(Into::into),
            sharing_namespaces: sharing::namespaces(service).map(Into::into).collect(),
        }
    }
}

impl Refusal {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotInPool => "not_in_pool",
            Self::NoAddressOfFamily => "no_address_of_family",
            Self::Disabled => "disabled",
            Self::Conflict(_) => "conflict",
            Self::CoversClusterRange(_) => "covers_cluster_range",
            Self::Selector => "not_selected",
            Self::UnusableSelector => "selector_unusable",
            Self::OnRequestOnly => "on_request_only",
            Self::OtherPoolsNamed => "other_pools_named",
            Self::Full => "full",
            Self::Quota { .. } => "quota",
            Self::Reserved => "reserved",
            Self::Edge => "edge",
            Self::Taken { .. } => "taken",
        }
    }

    /// For people: which term, who, with what.
    #[must_use]
    pub fn explain(&self, pool: &Pool, service: &Service) -> String {
        match self {
            Self::NotInPool => "no block has the address".to_owned(),
            Self::NoAddressOfFamily => "no block has addresses of this family".to_owned(),
            Self::Disabled => "spec.disabled: it gives nothing new".to_owned(),
            Self::Conflict(conflict) => conflict.to_string(),
            Self::CoversClusterRange(covered) => {
                format!("{covered}, and rutter.dev/refuse-cluster-ranges is on: it gives nothing new")
            }
            Self::Selector | Self::UnusableSelector => pool.unmet(service).join("; "),
            Self::OnRequestOnly => {
                "rutter.dev/auto-assign is \"false\": it gives only to who asks for an address of it, or for it (rutter.dev/pool)"
                    .to_owned()
            }
            Self::OtherPoolsNamed => "the Service names other pools (rutter.dev/pool)".to_owned(),
            Self::Full => "all its addresses of this family are in use".to_owned(),
            Self::Quota { used, limit } => {
                let namespace = &service.key.namespace;
                format!("namespace {namespace} has {used} of its addresses, and may have {limit} ({QUOTA})")
            }
            Self::Reserved => "it is kept for another Service (LoadBalancerIPReservation)".to_owned(),
            Self::Edge => {
                "it is the first or last address of a block, and those are kept back (allowFirstLastIPs: No)".to_owned()
            }
            Self::Taken { by, incompatible } => {
                let by: Vec<String> = by.iter().map(ToString::to_string).collect();
                match sharing::key(service) {
                    Some(_) => format!("{} has it: {incompatible}", by.join(", ")),
                    None => format!("{} has it", by.join(", ")),
                }
            }
        }
    }
}
