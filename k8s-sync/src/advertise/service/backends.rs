//! Backends of a service: which of its endpoints are active, anywhere and on this node.
//!
//! An endpoint counts for an address when it serves one of the service's ports in the address's family. Active means
//! ready; a terminating endpoint counts only when the service publishes addresses that are not ready.

use std::net::IpAddr;
use std::sync::Arc;

use crate::object::endpoint_slice::{Endpoint, Family};
use crate::object::service::Port;
use crate::object::{EndpointSlice, Service};

/// Whether a service has active endpoints, per address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backends {
    ipv4: Reach,
    ipv6: Reach,
}

/// How many active endpoints there are, and how many of them on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) anywhere: usize,
    pub(super) here: usize,
}

impl Backends {
    /// Looks through the slices of a service.
    pub(super) fn of(service: &Service, slices: &[Arc<EndpointSlice>], node: &str) -> Self {
        let mut backends = Self::default();
        for slice in slices {
            let reach = match slice.spec.family {
                Some(Family::Ipv4) => &mut backends.ipv4,
                Some(Family::Ipv6) => &mut backends.ipv6,
                None => continue,
            };
            if !serves(slice, &service.spec.ports) {
                continue;
            }
            let publish_not_ready = service.spec.publish_not_ready_addresses;
            let endpoints = slice.spec.endpoints.iter();
            for endpoint in endpoints.filter(|endpoint| is_active(endpoint, publish_not_ready)) {
                reach.anywhere += 1;
                reach.here += usize::from(endpoint.node.as_deref() == Some(node));
            }
        }
        backends
    }

    /// The family with more endpoints.
    pub(super) fn most(&self) -> Reach {
        if self.ipv6.anywhere > self.ipv4.anywhere { self.ipv6 } else { self.ipv4 }
    }

    /// For addresses of this family.
    pub(super) fn reach(&self, address: IpAddr) -> Reach {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// Whether the slice has a port of the service: same name (absent and empty are the same), same protocol.
fn serves(slice: &EndpointSlice, ports: &[Port]) -> bool {
    slice.spec.ports.iter().any(|offered| ports.contains(offered))
}

fn is_active(endpoint: &Endpoint, publish_not_ready: bool) -> bool {
    endpoint.ready && (publish_not_ready || !endpoint.terminating)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reach(service: serde_json::Value, slice: serde_json::Value) -> Reach {
        let service: k8s_openapi::api::core::v1::Service = serde_json::from_value(service).unwrap();
        let slice: k8s_openapi::api::discovery::v1::EndpointSlice = serde_json::from_value(slice).unwrap();
        Backends::of(&service.into(), &[Arc::new(slice.into())], "here").reach(IpAddr::from([10, 0, 0, 1]))
    }

    fn service() -> serde_json::Value {
        json!({"spec": {"ports": [{"port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}})
    }

    fn slice(endpoint: serde_json::Value) -> serde_json::Value {
        json!({"addressType": "IPv4", "metadata": {}, "ports": [{"name": "", "port": 8080}], "endpoints": [endpoint]})
    }

    #[test]
    fn readiness_and_termination() {
        let at = |conditions| {
            slice(json!({"addresses": ["10.1.1.1"], "nodeName": "here", "conditions": conditions}))
        };
        let here = Reach { anywhere: 1, here: 1 };
        assert_eq!(reach(service(), at(json!({}))), here, "absent conditions mean ready");
        assert_eq!(reach(service(), at(json!({"ready": true, "terminating": false}))), here);
        assert_eq!(reach(service(), at(json!({"ready": false, "serving": true}))), Reach::default());
        let terminating = json!({"ready": true, "serving": true, "terminating": true});
        assert_eq!(reach(service(), at(terminating.clone())), Reach::default());
        let mut publishing = service();
        publishing["spec"]["publishNotReadyAddresses"] = json!(true);
        assert_eq!(reach(publishing, at(terminating)), here);
    }

    #[test]
    fn node_family_and_port_must_fit() {
        let elsewhere = slice(json!({"addresses": ["10.1.1.1"], "nodeName": "there"}));
        assert_eq!(reach(service(), elsewhere.clone()), Reach { anywhere: 1, here: 0 });
        let mut six = elsewhere.clone();
        six["addressType"] = json!("IPv6");
        assert_eq!(reach(service(), six), Reach::default());
        let mut other_port = elsewhere.clone();
        other_port["ports"] = json!([{"name": "dns", "port": 53, "protocol": "TCP"}]);
        assert_eq!(reach(service(), other_port), Reach::default(), "the protocol differs");
        let mut no_port = elsewhere;
        no_port["ports"] = json!([]);
        assert_eq!(reach(service(), no_port), Reach::default());
    }

    #[test]
    fn the_ingress_placeholder_is_no_backend() {
        let mut placeholder = slice(json!({"addresses": ["192.192.192.192"], "nodeName": "here"}));
        placeholder["ports"] = json!([{"name": "", "port": 9999}]);
        assert_eq!(reach(service(), placeholder), Reach::default());
    }
}
