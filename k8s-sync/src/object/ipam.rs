//! A Service as the allocator of addresses reads it.
//!
//! Only for whoever allocates: ten thousand of them are as large again as what an agent keeps. Invariant: nothing that stands
//! in the object's status is lost on the way here, because what is written back is made from it.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use lbipam::plan::SATISFIED;
use lbipam::service::{FamilyPolicy, Ingress, Port, PortStatus, TrafficPolicy};
use lbipam::{Family, ServiceKey, Verdict};

use super::service::{self, waits};
use super::{NamespacedName, Service};

/// Annotations that decide about addresses.
const ANNOTATIONS: [&str; 4] = ["lbipam.cilium.io/", "io.cilium/", "io.cilium.nodeipam/", "rutter.dev/"];

impl Service {
    /// With what the allocator reads, if the Service can concern it: it is a load balancer, or still says that it was one.
    #[must_use]
    pub fn with_ipam(service: api::Service) -> Self {
        let ipam = of(&service).map(Arc::new);
        Self { ipam, ..Self::from(service) }
    }

    /// The same Service with the status of this one.
    #[must_use]
    pub fn with_status_of(&self, ipam: Arc<lbipam::Service>) -> Self {
        let mut service = self.clone();
        service.spec.ingress = ipam.ingress.iter().map(told).collect();
        let refused = ipam.condition.as_ref().filter(|verdict| !verdict.satisfied);
        service.spec.waits = refused.map(|verdict| waits(&verdict.reason, &verdict.message));
        service.ipam = Some(ipam);
        service
    }
}

fn of(service: &api::Service) -> Option<lbipam::Service> {
    let spec = service.spec.as_ref();
    let status = service.status.as_ref();
    let load_balancer = spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let condition = conditions.into_iter().find(|condition| condition.type_ == SATISFIED).map(verdict);
    if !load_balancer && condition.is_none() {
        return None;
    }
    let base = of_metadata(&service.metadata);
    let ingress = status.and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let ingress = ingress.into_iter().flatten().map(self::ingress).collect();
    let Some(spec) = spec else { return Some(lbipam::Service { ingress, condition, ..base }) };
    let policy = |value: &Option<String>| match value.as_deref() {
        Some("PreferDualStack") => FamilyPolicy::PreferDualStack,
        Some("RequireDualStack") => FamilyPolicy::RequireDualStack,
        _ => FamilyPolicy::SingleStack,
    };
    Some(lbipam::Service {
        load_balancer,
        class: spec.load_balancer_class.as_deref().map(Into::into),
        families: spec.ip_families.iter().flatten().filter_map(|word| family(word)).collect(),
        family_policy: policy(&spec.ip_family_policy),
        load_balancer_ip: spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty()).map(Into::into),
        ports: spec.ports.iter().flatten().map(port).collect(),
        traffic_policy: match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
        selector: spec.selector.iter().flatten().map(|(key, value)| (&**key, &**value)).collect(),
        ingress,
        condition,
        ..base
    })
}

fn of_metadata(metadata: &ObjectMeta) -> lbipam::Service {
    let name = NamespacedName::of(metadata);
    let annotations = metadata.annotations.iter().flatten();
    let annotations = annotations.filter(|(key, _)| ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)));
    lbipam::Service {
        key: Arc::new(ServiceKey::new(name.namespace, name.name)),
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        resource_version: metadata.resource_version.as_deref().unwrap_or_default().into(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        deleting: metadata.deletion_timestamp.is_some(),
        labels: metadata.labels.iter().flatten().map(|(key, value)| (&**key, &**value)).collect(),
        annotations: annotations.map(|(key, value)| (&**key, &**value)).collect(),
        ..lbipam::Service::default()
    }
}

fn family(word: &str) -> Option<Family> {
    match word {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    }
}

/// The server writes the default of the protocol; where none did (manifests), we do.
fn port(port: &api::ServicePort) -> Port {
    let number = u16::try_from(port.port).unwrap_or_default();
    Port { port: number, protocol: Some(port.protocol.as_deref().unwrap_or("TCP").into()) }
}

/// An address that is none is an entry without address, which nobody adopts; manifests say so where it is read.
fn ingress(entry: &api::LoadBalancerIngress) -> Ingress {
    Ingress {
        ip: entry.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()),
        hostname: entry.hostname.as_deref().map(Into::into),
        ip_mode: entry.ip_mode.as_deref().map(Into::into),
        ports: entry.ports.iter().flatten().map(port_status).collect(),
    }
}

/// An entry as translation reads it.
fn told(entry: &Ingress) -> service::Ingress {
    service::Ingress {
        ip: entry.ip.map(|ip| ip.to_string().into()),
        hostname: entry.hostname.clone(),
        ip_mode: entry.ip_mode.clone().filter(|mode| **mode != *"VIP"),
    }
}

fn port_status(status: &api::PortStatus) -> PortStatus {
    PortStatus {
        port: status.port,
        protocol: status.protocol.as_str().into(),
        error: status.error.as_deref().map(Into::into),
    }
}

fn verdict(condition: &Condition) -> Verdict {
    Verdict {
        satisfied: condition.status == "True",
        reason: condition.reason.as_str().into(),
        message: condition.message.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use lbipam::service::Words;
    use serde_json::{Value, json};

    use super::*;

    fn decoded(object: Value) -> Service {
        Service::with_ipam(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn everything_that_allocation_reads() {
        let service = decoded(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "namespace": "shop", "name": "web", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": "2026-01-02T03:04:06Z",
                "labels": {"app": "web"},
                "annotations": {
                    "lbipam.cilium.io/ips": "10.0.0.1", "io.cilium/lb-ipam-ips": "10.0.0.2",
                    "io.cilium.nodeipam/match-node-labels": "a=b", "rutter.dev/x": "y", "example.com/no": "z",
                },
            },
            "spec": {
                "type": "LoadBalancer", "loadBalancerClass": "io.cilium/node", "ipFamilies": ["IPv6", "IPv4"],
                "ipFamilyPolicy": "RequireDualStack", "loadBalancerIP": "10.0.0.3", "externalTrafficPolicy": "Local",
                "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}], "selector": {"app": "web"},
            },
            "status": {
                "loadBalancer": {"ingress": [
                    {"ip": "10.0.0.4", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP", "error": "Example"}]},
                    {"hostname": "example.com"},
                ]},
                "conditions": [
                    {"type": "example.com/Other", "status": "True", "reason": "r", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
                    {"type": "cilium.io/IPAMRequestSatisfied", "status": "False", "reason": "no_pool", "message": "m",
                     "lastTransitionTime": "2026-01-02T03:04:05Z"},
                ],
            },
        }));
        let ipam = service.ipam.unwrap();
        let expected = lbipam::Service {
            key: Arc::new(ServiceKey::new("shop", "web")),
            uid: "u".into(),
            resource_version: "7".into(),
            created: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            deleting: true,
            labels: [("app", "web")].into_iter().collect(),
            annotations: [
                ("lbipam.cilium.io/ips", "10.0.0.1"),
                ("io.cilium/lb-ipam-ips", "10.0.0.2"),
                ("io.cilium.nodeipam/match-node-labels", "a=b"),
                ("rutter.dev/x", "y"),
            ]
            .into_iter()
            .collect::<Words>(),
            load_balancer: true,
            class: Some("io.cilium/node".into()),
            families: [Family::V6, Family::V4].into(),
            family_policy: FamilyPolicy::RequireDualStack,
            load_balancer_ip: Some("10.0.0.3".into()),
            ports: [
                Port { port: 80, protocol: Some("TCP".into()) },
                Port { port: 53, protocol: Some("UDP".into()) },
            ]
            .into(),
            traffic_policy: TrafficPolicy::Local,
            selector: [("app", "web")].into_iter().collect(),
            ingress: [
                Ingress {
                    ip: Some("10.0.0.4".parse().unwrap()),
                    hostname: None,
                    ip_mode: Some("Proxy".into()),
                    ports: [PortStatus { port: 80, protocol: "TCP".into(), error: Some("Example".into()) }]
                        .into(),
                },
                Ingress { hostname: Some("example.com".into()), ..Ingress::default() },
            ]
            .into(),
            condition: Some(Verdict { satisfied: false, reason: "no_pool".into(), message: "m".into() }),
        };
        assert_eq!(*ipam, expected);
    }

    #[test]
    fn only_services_that_can_concern_the_allocator() {
        let service = |type_: &str, status: Value| {
            decoded(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": type_}, "status": status}),
            )
        };
        let ours = json!({"conditions": [{"type": "cilium.io/IPAMRequestSatisfied", "status": "True", "reason": "satisfied",
            "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]});
        assert!(service("ClusterIP", json!({})).ipam.is_none());
        assert!(service("LoadBalancer", json!({})).ipam.is_some());
        let former = service("ClusterIP", ours).ipam.unwrap();
        assert!(!former.load_balancer);
        assert_eq!(former.condition, Some(Verdict::satisfied()));
    }

    #[test]
    fn another_version_that_says_the_same() {
        let at = |version: &str, ip: &str| {
            decoded(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "resourceVersion": version},
                "spec": {"type": "LoadBalancer", "loadBalancerIP": ip}}),
            )
        };
        assert!(at("1", "10.0.0.1").says_the_same(&at("2", "10.0.0.1")));
        assert!(!at("1", "10.0.0.1").says_the_same(&at("1", "10.0.0.2")));
    }
}
