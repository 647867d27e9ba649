//! An EndpointSlice, as far as it is ever looked at: where endpoints are, and whether they are active.
//!
//! Addresses of endpoints are not kept: what is announced are addresses of Services. The one that matters is a placeholder.

use k8s_openapi::api::discovery::v1 as api;

use super::NamespacedName;
use super::service::Port;

/// The placeholder that Cilium's ingress controller writes where Envoy is the backend.
const INGRESS_PLACEHOLDER: (&str, i32) = ("192.192.192.192", 9999);
/// The label that names the Service.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// The version of the object at the API server.
    pub resource_version: Box<str>,
    /// What it says.
    pub spec: EndpointSliceSpec,
}

/// What an EndpointSlice says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSliceSpec {
    /// The name of the Service it belongs to.
    pub service: Option<Box<str>>,
    /// The address family, if it is one.
    pub family: Option<Family>,
    /// `ports`.
    pub ports: Box<[Port]>,
    /// `endpoints`, without placeholders.
    pub endpoints: Box<[Endpoint]>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the families")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The node it is on.
    pub node: Option<Box<str>>,
    /// `conditions.ready`; absent means ready.
    pub ready: bool,
    /// `conditions.terminating`; absent means no.
    pub terminating: bool,
}

impl EndpointSlice {
    /// The Service it belongs to.
    #[must_use]
    pub fn service(&self) -> Option<NamespacedName> {
        Some(NamespacedName::new(&*self.namespace, &**self.spec.service.as_ref()?))
    }
}

impl From<api::EndpointSlice> for EndpointSlice {
    fn from(slice: api::EndpointSlice) -> Self {
        let NamespacedName { namespace, name } = NamespacedName::of(&slice.metadata);
        let (address, port) = INGRESS_PLACEHOLDER;
        let ports = slice.ports.unwrap_or_default();
        let holds_place = ports.iter().any(|candidate| candidate.port == Some(port));
        let endpoints = slice.endpoints.into_iter();
        let endpoints = endpoints.filter(|endpoint| {
            !(holds_place && endpoint.addresses.iter().any(|candidate| candidate == address))
        });
        let service = slice.metadata.labels.and_then(|mut labels| labels.remove(SERVICE_NAME_LABEL));
        Self {
            namespace: namespace.into(),
            name: name.into(),
            resource_version: slice.metadata.resource_version.unwrap_or_default().into(),
            spec: EndpointSliceSpec {
                service: service.map(Into::into),
                family: match slice.address_type.as_str() {
                    "IPv4" => Some(Family::Ipv4),
                    "IPv6" => Some(Family::Ipv6),
                    _ => None,
                },
                ports: ports.into_iter().map(|port| Port::new(port.name, port.protocol)).collect(),
                endpoints: endpoints.map(Endpoint::from).collect(),
            },
        }
    }
}

impl From<api::Endpoint> for Endpoint {
    fn from(endpoint: api::Endpoint) -> Self {
        let conditions = endpoint.conditions.unwrap_or_default();
        Self {
            node: endpoint.node_name.map(Into::into),
            ready: conditions.ready.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_enough_for_ten_thousands() {
        assert!(size_of::<EndpointSlice>() <= 104, "{}", size_of::<EndpointSlice>());
        assert!(size_of::<Endpoint>() <= 24, "{}", size_of::<Endpoint>());
    }
}
