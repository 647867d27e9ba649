//! The bodies of writes: what exactly goes to the API server, as values.
//!
//! Invariants: each names the object (uid) and the version it was computed from, so it changes that or nothing. Of a Service
//! only the ingress list and our own condition are named: a strategic merge patch leaves the conditions of others and every
//! other field as they are. A server-side apply would not do: it would drop `ports` and `ipMode` of the ingress, which is one
//! atomic list, and leave an empty condition behind where two own it.

use jiff::Timestamp;
use lbipam::plan::ReservationChange;
use lbipam::plan::SATISFIED;
use lbipam::{ConditionChange, PoolChange, ServiceChange};
use rutter_crds::LoadBalancerIPReservation;
use serde_json::{Value, json};

/// The patch of a Service's `status`.
pub(super) fn service_status(change: &ServiceChange, now: Timestamp) -> Value {
    let service = &change.service;
    let mut status = json!({});
    if let Some(ingress) = &change.ingress {
        // An empty list is not kept by the server; null takes the field away in one way for all versions.
        status["loadBalancer"]["ingress"] = if ingress.is_empty() { Value::Null } else { json!(ingress) };
    }
    match &change.condition {
        None => {}
        Some(ConditionChange::Remove) => {
            status["conditions"] = json!([{"$patch": "delete", "type": SATISFIED}]);
        }
        Some(ConditionChange::Set(verdict)) => {
            let mut condition = json!({
                "type": SATISFIED,
                "status": if verdict.satisfied { "True" } else { "False" },
                "reason": verdict.reason,
                "message": verdict.message,
            });
            let turned =
                service.condition.as_ref().is_none_or(|before| before.satisfied != verdict.satisfied);
            if turned {
                // Otherwise the time that is there stays: what a merge does not name.
                condition["lastTransitionTime"] = seconds(now).into();
            }
            if service.condition.is_some() {
                // Cilium writes one, of a Service, which has no generation.
                condition["observedGeneration"] = Value::Null;
            }
            status["conditions"] = json!([condition]);
        }
    }
    json!({"metadata": guard(&service.uid, &service.resource_version), "status": status})
}

/// The patch of a pool's `status`: all conditions, those of others as they were in the version that the guard names.
pub(super) fn pool_status(change: &PoolChange) -> Value {
    let applied = change.applied();
    let conditions = applied.status.as_ref().map(|status| &status.conditions);
    json!({"metadata": pool_guard(change), "status": {"conditions": conditions}})
}

/// Uid and version of the pool a change was computed from.
pub(super) fn pool_guard(change: &PoolChange) -> Value {
    let metadata = &change.pool.metadata;
    guard(
        metadata.uid.as_deref().unwrap_or_default(),
        metadata.resource_version.as_deref().unwrap_or_default(),
    )
}

/// What a reservation's write sends, but for its deletion: the whole object of a new one, else a patch.
pub(super) fn reservation(change: &ReservationChange) -> Value {
    let applied = change.applied();
    match change {
        ReservationChange::Create { .. } => json!(applied),
        ReservationChange::Spec { object, spec } => {
            let mut spec = json!(spec);
            if spec.get("gracePeriod").is_none() {
                spec["gracePeriod"] = Value::Null;
            }
            json!({"metadata": reservation_guard(object), "spec": spec})
        }
        ReservationChange::Status { object, .. } => {
            let status = applied.and_then(|applied| applied.status.clone()).unwrap_or_default();
            let released = status.released_at.map(|at| seconds(at.0));
            let status = json!({"conditions": status.conditions, "releasedAt": released});
            json!({"metadata": reservation_guard(object), "status": status})
        }
        ReservationChange::Delete { object } => json!({"metadata": reservation_guard(object)}),
    }
}

fn reservation_guard(object: &LoadBalancerIPReservation) -> Value {
    let metadata = &object.metadata;
    guard(
        metadata.uid.as_deref().unwrap_or_default(),
        metadata.resource_version.as_deref().unwrap_or_default(),
    )
}

fn guard(uid: &str, version: &str) -> Value {
    json!({"uid": uid, "resourceVersion": version})
}

/// Kubernetes' own precision.
pub(super) fn seconds(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lbipam::service::Ingress;
    use lbipam::{Reason, Service, Verdict};
    use rutter_crds::LoadBalancerIPReservationSpec;
    use rutter_crds::load_balancer_ip_reservation::ReservedFor;

    use super::*;

    fn change(condition: Option<Verdict>) -> ServiceChange {
        let service =
            Service { uid: "u".into(), resource_version: "7".into(), condition, ..Service::default() };
        ServiceChange { service: Arc::new(service), ingress: None, condition: None, causes: Vec::new() }
    }

    fn now() -> Timestamp {
        "2026-11-21T10:00:00.5Z".parse().unwrap()
    }

    #[test]
    fn a_first_address() {
        let mut change = change(None);
        change.ingress = Some([Ingress::of("10.0.0.1".parse().unwrap())].into());
        change.condition = Some(ConditionChange::Set(Verdict::satisfied()));
        assert_eq!(
            service_status(&change, now()),
            json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "status": {
                "loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]},
                "conditions": [{"type": "cilium.io/IPAMRequestSatisfied", "status": "True", "reason": "satisfied",
                                "message": "", "lastTransitionTime": "2026-11-21T10:00:00Z"}]}})
        );
    }

    #[test]
    fn the_time_of_the_transition_stays_while_the_status_does() {
        let refused = |reason| Verdict::refused(reason, "why");
        let mut change = change(Some(refused(Reason::NoPool)));
        change.condition = Some(ConditionChange::Set(refused(Reason::OutOfIps)));
        let patch = service_status(&change, now());
        let condition = &patch["status"]["conditions"][0];
        assert_eq!((&condition["reason"], condition.get("lastTransitionTime")), (&json!("out_of_ips"), None));
        assert!(patch["status"].get("loadBalancer").is_none(), "what does not change is not named");
        change.condition = Some(ConditionChange::Set(Verdict::satisfied()));
        assert!(service_status(&change, now())["status"]["conditions"][0]["lastTransitionTime"].is_string());
    }

    #[test]
    fn a_reservation_is_made_followed_and_marked() {
        let spec = |grace: Option<&str>| LoadBalancerIPReservationSpec {
            addresses: vec!["10.0.0.1".to_owned()],
            grace_period: grace.map(str::to_owned),
            service_ref: ReservedFor { name: "web".to_owned(), namespace: "shop".to_owned() },
        };
        let made = reservation(&ReservationChange::Create { name: "r".into(), spec: spec(Some("1h")) });
        assert_eq!(
            (&made["kind"], &made["metadata"]["name"]),
            (&json!("LoadBalancerIPReservation"), &json!("r"))
        );
        assert_eq!(made["spec"]["serviceRef"]["name"], "web");
        let mut object = LoadBalancerIPReservation::new("r", spec(Some("1h")));
        (object.metadata.uid, object.metadata.resource_version) = (Some("u".into()), Some("5".into()));
        let object = Arc::new(object);
        let change = ReservationChange::Spec { object: Arc::clone(&object), spec: spec(None) };
        let followed = reservation(&change);
        assert_eq!(followed["spec"]["gracePeriod"], Value::Null, "a merge takes away what is null");
        assert_eq!(followed["metadata"], json!({"uid": "u", "resourceVersion": "5"}));
        let change = ReservationChange::Status { object, set: None, released_at: Some(Some(now())) };
        assert_eq!(reservation(&change)["status"]["releasedAt"], "2026-11-21T10:00:00Z");
    }

    #[test]
    fn a_service_that_is_not_ours_any_more() {
        let mut change = change(Some(Verdict::satisfied()));
        (change.ingress, change.condition) = (Some([].into()), Some(ConditionChange::Remove));
        let patch = service_status(&change, now());
        assert_eq!(patch["status"]["conditions"][0]["$patch"], "delete");
        assert!(patch["status"]["loadBalancer"].get("ingress").is_some_and(Value::is_null));
    }
}
