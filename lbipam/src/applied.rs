//! Objects as they are once a change is written: for whoever has no API server to write it to.
//!
//! Invariant: what a change does not name stays as it was; applying is all that a write does, never a decision.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rutter_crds::{CiliumLoadBalancerIPPool, LoadBalancerIPReservation};

use crate::plan::{ConditionChange, PoolChange, ReservationChange, ServiceChange};
use crate::reservation::{MANAGED_BY, OPERATOR};
use crate::service::Service;

impl ServiceChange {
    /// The Service once this is written. Its `resource_version` stays: only a server gives new ones.
    #[must_use]
    pub fn applied(&self) -> Arc<Service> {
        let mut service = Service::clone(&self.service);
        if let Some(ingress) = &self.ingress {
            service.ingress.clone_from(ingress);
        }
        match &self.condition {
            Some(ConditionChange::Set(verdict)) => service.condition = Some(verdict.clone()),
            Some(ConditionChange::Remove) => service.condition = None,
            None => {}
        }
        Arc::new(service)
    }
}

impl PoolChange {
    /// The pool once this is written: conditions are a map by type.
    #[must_use]
    pub fn applied(&self) -> Arc<CiliumLoadBalancerIPPool> {
        let mut pool = CiliumLoadBalancerIPPool::clone(&self.pool);
        for (key, value) in &self.annotate {
            pool.metadata.annotations.get_or_insert_default().insert((*key).to_owned(), value.clone());
        }
        let conditions = &mut pool.status.get_or_insert_default().conditions;
        conditions.retain(|condition| !self.remove.contains(&condition.type_.as_str()));
        for new in &self.set {
            match conditions.iter_mut().find(|condition| condition.type_ == new.type_) {
                Some(condition) => condition.clone_from(new),
                None => conditions.push(new.clone()),
            }
        }
        Arc::new(pool)
    }
}

impl ReservationChange {
    /// The reservation once this is written; none if it is gone.
    #[must_use]
    pub fn applied(&self) -> Option<Arc<LoadBalancerIPReservation>> {
        match self {
            Self::Create { name, spec } => {
                let mut object = LoadBalancerIPReservation::new(name, spec.clone());
                let labels = [(MANAGED_BY.to_owned(), OPERATOR.to_owned())];
                object.metadata.labels = Some(labels.into_iter().collect());
                Some(Arc::new(object))
            }
            Self::Spec { object, spec } => {
                let mut object = LoadBalancerIPReservation::clone(object);
                object.spec = spec.clone();
                Some(Arc::new(object))
            }
            Self::Status { object, set, released_at } => {
                let mut object = LoadBalancerIPReservation::clone(object);
                let status = object.status.get_or_insert_default();
                if let Some(released_at) = released_at {
                    status.released_at = released_at.map(Time);
                }
                if let Some(new) = set {
                    status.conditions.retain(|condition| condition.type_ != new.type_);
                    status.conditions.push(new.clone());
                }
                Some(Arc::new(object))
            }
            Self::Delete { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rutter_crds::Condition;
    use serde_json::json;

    use super::*;
    use crate::plan::Verdict;
    use crate::service::Ingress;

    #[test]
    fn a_service_keeps_what_the_change_does_not_name() {
        let address = Ingress::of("10.0.0.1".parse().unwrap());
        let service = Service { ingress: [address.clone()].into(), ..Service::default() };
        let change = ServiceChange {
            service: Arc::new(service),
            ingress: None,
            condition: Some(ConditionChange::Set(Verdict::satisfied())),
            causes: Vec::new(),
        };
        let applied = change.applied();
        assert_eq!((&*applied.ingress, &applied.condition), (&[address][..], &Some(Verdict::satisfied())));
        let removed = ServiceChange {
            service: applied,
            ingress: Some([].into()),
            condition: Some(ConditionChange::Remove),
            causes: Vec::new(),
        };
        assert_eq!(*removed.applied(), Service::default());
    }

    #[test]
    fn conditions_of_a_pool_are_a_map() {
        let condition = |kind: &str, message: &str| -> Condition {
            serde_json::from_value(json!({"type": kind, "status": "Unknown", "reason": "noreason",
                "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}))
            .unwrap()
        };
        let pool: CiliumLoadBalancerIPPool = serde_json::from_value(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "p"}, "spec": {},
            "status": {"conditions": [condition("a", "1"), condition("b", "1"), condition("c", "1")]},
        }))
        .unwrap();
        let set = vec![condition("b", "2"), condition("d", "2")];
        let change = PoolChange {
            pool: Arc::new(pool),
            set,
            remove: vec!["a"],
            annotate: vec![("rutter.dev/accepted-spec", "{}".to_owned())],
        };
        let annotations = change.applied().metadata.annotations.clone().unwrap();
        assert_eq!(annotations["rutter.dev/accepted-spec"], "{}");
        let said: Vec<(String, String)> = change
            .applied()
            .status
            .clone()
            .unwrap()
            .conditions
            .into_iter()
            .map(|condition| (condition.type_, condition.message))
            .collect();
        let said: Vec<(&str, &str)> =
            said.iter().map(|(kind, message)| (kind.as_str(), message.as_str())).collect();
        assert_eq!(said, [("b", "2"), ("c", "1"), ("d", "2")]);
    }
}
