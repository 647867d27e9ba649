//! What is told about a change once it is written: Events on the Service or the pool.
//!
//! Invariant: only what changes is told, so what stands in a status already is not told again after a restart.

use std::net::IpAddr;

use lbipam::node_ipam::Unreadable;
use lbipam::plan::Release;
use lbipam::{Cause, Family, PoolChange, Service, ServiceChange, status};

use super::events::{About, Event, Told};

/// Types of our conditions on a pool, and the reason of the Event when they turn True.
const TURNED: [(&str, Told); 7] = [
    (status::POOL_CONFLICT, Told::PoolConflict),
    (status::INVALID_BLOCK, Told::InvalidBlock),
    (status::INVALID_SELECTOR, Told::InvalidSelector),
    (status::INVALID_ANNOTATION, Told::InvalidAnnotation),
    (status::EDIT_STAGED, Told::EditStaged),
    (status::COVERS_CLUSTER_RANGE, Told::CoversClusterRange),
    (status::NEARLY_FULL, Told::NearlyFull),
];

/// Events on a Service: one per address that came or went, a release and an allocation of one family together as a move.
pub(super) fn of_service(change: &ServiceChange) -> Vec<Event> {
    let about = about(&change.service);
    let event = |reason, message| Event { about: about.clone(), reason, message };
    let mut released: Vec<(IpAddr, Release)> = change
        .causes
        .iter()
        .filter_map(|cause| match cause {
            Cause::Released { address, why } => Some((*address, *why)),
            _ => None,
        })
        .collect();
    let mut events = Vec::new();
    for cause in &change.causes {
        match cause {
            Cause::Allocated { address, pool } => {
                let of_family = |(other, _): &(IpAddr, Release)| Family::of(*other) == Family::of(*address);
                events.push(match released.iter().position(of_family) {
                    Some(at) => {
                        let (old, why) = released.remove(at);
                        let why = because(why);
                        event(Told::IPMoved, format!("{address} from pool {pool} instead of {old}: {why}"))
                    }
                    None => event(Told::IPAllocated, format!("{address} from pool {pool}")),
                });
            }
            Cause::Refused { reason, message } if message.is_empty() => {
                events.push(event(Told::IPAllocationFailed, reason.to_string()));
            }
            Cause::Refused { reason, message } => {
                events.push(event(Told::IPAllocationFailed, format!("{reason}: {message}")));
            }
            Cause::Released { .. } | Cause::Adopted => {}
        }
    }
    let gone = released
        .into_iter()
        .map(|(address, why)| event(Told::IPReleased, format!("{address} is released: {}", because(why))));
    events.extend(gone);
    events
}

/// The Event on a Service whose annotation for Node IPAM is no selector.
pub(super) fn of_unreadable(what: &Unreadable) -> Event {
    Event {
        about: about(&what.service),
        reason: Told::InvalidAnnotation,
        message: what.message.clone().into_string(),
    }
}

fn about(service: &Service) -> About {
    About {
        api_version: "v1",
        kind: "Service",
        namespace: Some(service.key.namespace.clone()),
        name: service.key.name.clone(),
        uid: service.uid.clone(),
    }
}

fn because(why: Release) -> &'static str {
    match why {
        Release::NotInAnyPool => "no pool has it any more",
        Release::SelectorMismatch => "the pool that has it does not select the Service",
        Release::NotRequested => "the Service asks for other addresses",
        Release::FamilyNotWanted => "the Service does not want an address of this family",
        Release::CannotShare => "an older Service has it, and the two cannot share it",
        Release::NotOurs => "the Service does not want an address from here any more",
    }
}

/// Events on a pool: conditions that turned.
pub(super) fn of_pool(change: &PoolChange) -> Vec<Event> {
    let metadata = &change.pool.metadata;
    let about = About {
        api_version: "cilium.io/v2",
        kind: "CiliumLoadBalancerIPPool",
        namespace: None,
        name: metadata.name.as_deref().unwrap_or_default().into(),
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
    };
    let before = |type_: &str| {
        let conditions = change.pool.status.iter().flat_map(|status| &status.conditions);
        conditions.filter(|condition| condition.type_ == type_).map(said).next()
    };
    let told = |condition: &rutter_crds::Condition| {
        let (_, reason) = TURNED.iter().find(|(type_, _)| *type_ == condition.type_)?;
        let (holds, message) = said(condition);
        let (held, already) = before(&condition.type_).unwrap_or_default();
        let reason = match (held, holds) {
            // How many days are left is another text each time.
            (true, true) if already == message || *reason == Told::NearlyFull => return None,
            (_, true) => *reason,
            (true, false) if *reason == Told::PoolConflict => Told::PoolConflictResolved,
            (_, false) => return None,
        };
        let message = if message.is_empty() { "no overlap is left".to_owned() } else { message };
        Some(Event { about: about.clone(), reason, message })
    };
    change.set.iter().filter_map(told).collect()
}

/// Whether a condition is True, and its message.
fn said(condition: &rutter_crds::Condition) -> (bool, String) {
    (serde_json::json!(condition.status) == "True", condition.message.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lbipam::Reason;
    use serde_json::{Value, json};

    use super::*;

    fn of(causes: Vec<Cause>) -> Vec<String> {
        let change =
            ServiceChange { service: Arc::new(Service::default()), ingress: None, condition: None, causes };
        of_service(&change).iter().map(|event| format!("{:?}: {}", event.reason, event.message)).collect()
    }

    fn got(address: &str) -> Cause {
        Cause::Allocated { address: address.parse().unwrap(), pool: "blue".into() }
    }

    fn lost(address: &str, why: Release) -> Cause {
        Cause::Released { address: address.parse().unwrap(), why }
    }

    #[test]
    fn one_event_per_address_and_a_move_is_one() {
        assert_eq!(of(vec![got("10.0.0.1")]), ["IPAllocated: 10.0.0.1 from pool blue"]);
        assert_eq!(of(vec![Cause::Adopted]), [""; 0]);
        let moved = of(vec![lost("10.0.0.1", Release::SelectorMismatch), got("10.0.0.9"), got("fd00::1")]);
        assert_eq!(
            moved,
            [
                "IPMoved: 10.0.0.9 from pool blue instead of 10.0.0.1: the pool that has it does not select the Service",
                "IPAllocated: fd00::1 from pool blue"
            ]
        );
        let refused = Cause::Refused { reason: Reason::NoPool, message: "none".into() };
        assert_eq!(
            of(vec![lost("10.0.0.1", Release::NotInAnyPool), refused]),
            [
                "IPAllocationFailed: no_pool: none",
                "IPReleased: 10.0.0.1 is released: no pool has it any more"
            ]
        );
    }

    fn of_conditions(before: &Value, set: &Value) -> Vec<Told> {
        let with_time = |conditions: &Value| -> Value {
            let mut conditions = conditions.clone();
            for condition in conditions.as_array_mut().unwrap() {
                condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
                condition["reason"] = json!("x");
            }
            conditions
        };
        let pool = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
            "metadata": {"name": "p"}, "spec": {}, "status": {"conditions": with_time(before)}});
        let set = serde_json::from_value(with_time(set)).unwrap();
        let pool = Arc::new(serde_json::from_value(pool).unwrap());
        let change = PoolChange { pool, set, remove: Vec::new(), annotate: Vec::new() };
        of_pool(&change).iter().map(|event| event.reason).collect()
    }

    #[test]
    fn conditions_that_turned() {
        let conflict = |status: &str, message: &str| json!([{"type": "cilium.io/PoolConflict", "status": status, "message": message}]);
        assert_eq!(of_conditions(&json!([]), &conflict("False", "")), []);
        assert_eq!(of_conditions(&conflict("False", ""), &conflict("True", "a")), [Told::PoolConflict]);
        assert_eq!(of_conditions(&conflict("True", "a"), &conflict("True", "b")), [Told::PoolConflict]);
        assert_eq!(of_conditions(&conflict("True", "a"), &conflict("True", "a")), []);
        assert_eq!(
            of_conditions(&conflict("True", "a"), &conflict("False", "")),
            [Told::PoolConflictResolved]
        );
        let count = json!([{"type": "cilium.io/IPsUsed", "status": "Unknown", "message": "7"}]);
        assert_eq!(of_conditions(&json!([]), &count), []);
    }
}
