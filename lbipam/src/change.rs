//! What has to be written into a Service's status, from what it says and what is decided.
//!
//! Invariant: a function of the two and of nothing that happened between, so it stays the same until the object comes back
//! saying it. Entries that stay keep what others wrote into them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::ipam::Ipam;
use crate::plan::{Cause, ConditionChange, Release, ServiceChange, Verdict};
use crate::roster::{Entry, Say};
use crate::service::Ingress;

impl Ipam {
    /// What has to be written, if anything.
    pub(crate) fn change(&self, entry: &Entry) -> Option<ServiceChange> {
        let service = &entry.service;
        if service.deleting {
            return None;
        }
        let verdict = match &entry.say {
            Say::Satisfied => Verdict::satisfied(),
            Say::Refused(reason, message) => Verdict::refused(*reason, message.clone()),
            Say::Nothing if entry.ours => return None,
            Say::Nothing => return self.farewell(entry),
        };
        let (said, held) = (&entry.standing, &entry.held);
        let differs = said.len() != held.len() || said.iter().any(|address| !entry.holds(*address));
        let condition = (service.condition.as_ref() != Some(&verdict)).then(|| verdict.clone());
        if !differs && condition.is_none() {
            return None;
        }
        let mut causes: Vec<Cause> = released(entry, said.iter().filter(|address| !entry.holds(**address)));
        for held in held.iter().filter(|held| !said.contains(&held.address)) {
            let pool = held.pool.clone().unwrap_or_else(|| "".into());
            causes.push(Cause::Allocated { address: held.address, pool });
        }
        if service.condition.is_none() && held.iter().any(|held| said.contains(&held.address)) {
            causes.push(Cause::Adopted);
        }
        if let Say::Refused(reason, message) = &entry.say
            && condition.is_some()
        {
            causes.push(Cause::Refused { reason: *reason, message: message.clone() });
        }
        let ingress = with_new(kept(&service.ingress, |address| entry.holds(address)), entry);
        Some(ServiceChange {
            service: Arc::clone(service),
            ingress: (*ingress != *service.ingress).then(|| ingress.into()),
            condition: condition.map(ConditionChange::Set),
            causes,
        })
    }

    /// What has to be written into a Service that is not ours: if our condition is there, it goes, and with it the addresses
    /// that are ours. Without it we never wrote anything.
    fn farewell(&self, entry: &Entry) -> Option<ServiceChange> {
        let service = &entry.service;
        if service.condition.is_none() || (self.pools.is_empty() && entry.lost.is_empty()) {
            return None;
        }
        let is_ours = |address: IpAddr| {
            entry.loses(address) || self.pools.iter().any(|(_, member)| member.pool.covers(address))
        };
        let mut ingress = service.ingress.to_vec();
        ingress.retain(|entry| !entry.ip.is_some_and(is_ours));
        Some(ServiceChange {
            service: Arc::clone(service),
            ingress: (*ingress != *service.ingress).then(|| ingress.into()),
            condition: Some(ConditionChange::Remove),
            causes: released(entry, entry.standing.iter().filter(|address| is_ours(**address))),
        })
    }
}

fn released<'a>(entry: &Entry, addresses: impl Iterator<Item = &'a IpAddr>) -> Vec<Cause> {
    let why = |address| {
        let lost = entry.lost.iter().find(|lost| lost.held.address == address);
        lost.map_or(Release::NotOurs, |lost| lost.why)
    };
    addresses.map(|address| Cause::Released { address: *address, why: why(*address) }).collect()
}

/// Entries of addresses that stay, each address once.
fn kept(ingress: &[Ingress], stays: impl Fn(IpAddr) -> bool) -> Vec<Ingress> {
    let mut kept: Vec<Ingress> = Vec::with_capacity(ingress.len());
    for entry in ingress {
        let Some(address) = entry.ip.filter(|address| stays(*address)) else { continue };
        if kept.iter().all(|other| other.ip != Some(address)) {
            kept.push(entry.clone());
        }
    }
    kept
}

fn with_new(mut ingress: Vec<Ingress>, entry: &Entry) -> Vec<Ingress> {
    for held in &entry.held {
        if ingress.iter().all(|entry| entry.ip != Some(held.address)) {
            ingress.push(Ingress::of(held.address));
        }
    }
    ingress
}
