//! Whether pools say of themselves what is so: total, available, used, conflict, and what cannot be read.
//!
//! Invariant: total = available + used; each address counts once, and so does each edge that is kept back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use lbipam::{Family, Plan};
use num_bigint::BigUint;
use rutter_crds::{Condition, ConditionStatus};

use crate::check::{Fault, fault};
use crate::oracle::{self, Range, addresses};
use crate::server::{Pool, Server};

/// What changes says something new, and times move with the status alone.
pub(crate) fn check_form(plan: &Plan, now: Timestamp) -> Result<(), Fault> {
    for change in &plan.pools {
        let conditions = conditions(&change.pool);
        if change.set.is_empty() && change.remove.is_empty() {
            return fault("change of nothing", format!("of pool {}", oracle::name(&change.pool)));
        }
        for new in &change.set {
            let old = conditions.iter().find(|old| old.type_ == new.type_);
            if old == Some(new) {
                return fault("change of nothing", format!("{new:?}"));
            }
            let since =
                old.filter(|old| old.status == new.status).map_or(now, |old| old.last_transition_time.0);
            if new.last_transition_time.0 != since {
                return fault("wrong time", format!("{new:?} over {old:?}"));
            }
        }
    }
    Ok(())
}

fn conditions(pool: &Pool) -> &[Condition] {
    pool.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// All pools, when everything is written.
pub(crate) fn check(server: &Server) -> Result<(), Fault> {
    let losers = oracle::conflicting(server.pools.values().map(|pool| &**pool));
    let mut held: BTreeSet<IpAddr> =
        server.services.values().flat_map(|service| addresses(service)).collect();
    // What is reserved nobody else can have, so it is in use.
    let reserved = server.reservations.values().flat_map(|reservation| &reservation.spec.addresses);
    held.extend(reserved.filter_map(|address| oracle::parse(address)));
    for pool in server.pools.values() {
        let name = oracle::name(pool);
        let said = |kind: &str| conditions(pool).iter().find(|condition| condition.type_ == kind);
        let number = |kind: &str| {
            let condition =
                said(kind).filter(|one| one.status == ConditionStatus::Unknown && one.reason == "noreason");
            condition.and_then(|condition| condition.message.parse::<BigUint>().ok())
        };
        let numbers = ["cilium.io/IPsTotal", "cilium.io/IPsAvailable", "cilium.io/IPsUsed"].map(number);
        let [Some(total), Some(available), Some(used)] = numbers else {
            return fault("no counts", format!("{name} says {:?}", conditions(pool)));
        };
        let kept_back =
            |range: &Range| [range.first, range.last].into_iter().filter(|ip| oracle::keeps_back(pool, *ip));
        let mut in_use: BTreeSet<IpAddr> = oracle::ranges(pool).iter().flat_map(kept_back).collect();
        in_use.extend(held.iter().filter(|ip| oracle::covers(pool, **ip)));
        if total != size(pool) || used != BigUint::from(in_use.len()) || total != &available + &used {
            let ours = format!("total {}, used {in_use:?}", size(pool));
            return fault("wrong counts", format!("{name} says {total} = {available} + {used}; {ours}"));
        }
        let conflict = said("cilium.io/PoolConflict").map(|one| (one.status, &*one.reason));
        let expected = match losers.contains(name) {
            true => (ConditionStatus::True, "cidr_overlap"),
            false => (ConditionStatus::False, "resolved"),
        };
        if conflict != Some(expected) {
            return fault("wrong conflict", format!("{name} says {conflict:?}, expected {expected:?}"));
        }
        if said("rutter.dev/InvalidBlock").is_some() != oracle::has_bad_block(pool) {
            return fault("bad block unsaid", format!("{name} says {:?}", conditions(pool)));
        }
    }
    Ok(())
}

/// How many addresses a pool has, each once: ranges that overlap are cut at each other's edges.
fn size(pool: &Pool) -> BigUint {
    [Family::V4, Family::V6]
        .into_iter()
        .map(|family| {
            let mut ranges = oracle::ranges(pool);
            ranges.retain(|range| Family::of(range.first) == family);
            ranges.sort_by_key(|range| range.first);
            let mut sum = BigUint::ZERO;
            let mut reached: Option<IpAddr> = None;
            for range in ranges {
                let rest = match reached {
                    Some(last) if range.last <= last => continue,
                    Some(last) if range.first <= last => Range { first: last, ..range }.count() - 1,
                    _ => range.count(),
                };
                sum += rest;
                reached = Some(range.last);
            }
            sum
        })
        .sum()
}
