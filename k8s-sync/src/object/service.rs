//! A Service, as far as it is ever looked at.
//!
//! The API's own type takes two kilobytes for a Service of one port, and there are ten thousands. Invariant: everything that
//! decides whether and how an address is announced, or that explains it, is here; a test of the manifests' golden folders
//! would miss it otherwise.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lbipam::plan::SATISFIED;
pub use lbipam::service::Words;

use super::NamespacedName;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub name: Arc<NamespacedName>,
    /// The version of the object at the API server.
    pub resource_version: Box<str>,
    /// What it says.
    pub spec: ServiceSpec,
    /// What the allocator of addresses reads, where somebody asked for it, of a Service that can concern the allocator.
    pub ipam: Option<Arc<lbipam::Service>>,
}

impl Service {
    /// Whether it is the same as another version but for the number of the version.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let ipam = match (&self.ipam, &other.ipam) {
            (Some(a), Some(b)) => {
                let a = lbipam::Service { resource_version: b.resource_version.clone(), ..(**a).clone() };
                a == **b
            }
            (a, b) => a.is_none() && b.is_none(),
        };
        ipam && self.spec == other.spec
    }
}

/// What a Service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its labels.
    pub labels: Words,
    /// The annotations that mean something here.
    pub annotations: Words,
    /// `spec.type`.
    pub type_: ServiceType,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<Box<str>>,
    /// `spec.externalTrafficPolicy`, unless it is the default, Cluster.
    pub external_traffic_policy: Option<Box<str>>,
    /// `spec.internalTrafficPolicy`, unless it is the default, Cluster.
    pub internal_traffic_policy: Option<Box<str>>,
    /// Whether `spec.clusterIP` is None.
    pub headless: bool,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// `spec.clusterIPs`, or the one `spec.clusterIP`.
    pub cluster_ips: Box<[Box<str>]>,
    /// `spec.externalIPs`.
    pub external_ips: Box<[Box<str>]>,
    /// `spec.ports`.
    pub ports: Box<[Port]>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Box<[Ingress]>,
    /// Why it has no address: reason and message of LB IPAM's condition, while that says no.
    pub waits: Option<Box<str>>,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the field's own words")]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
    /// No such type: an API server refuses it, and a manifest with it is a bad one.
    Unknown,
}

impl ServiceType {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<&str> for ServiceType {
    fn from(word: &str) -> Self {
        match word {
            "ClusterIP" => Self::ClusterIP,
            "NodePort" => Self::NodePort,
            "LoadBalancer" => Self::LoadBalancer,
            "ExternalName" => Self::ExternalName,
            _ => Self::Unknown,
        }
    }
}

/// A port, of a Service or of an EndpointSlice. It has no number: ports belong together by name and protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; empty if it has none.
    pub name: Box<str>,
    /// Its protocol, unless it is the default, TCP.
    pub protocol: Option<Box<str>>,
}

/// An address of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// `ip`.
    pub ip: Option<Box<str>>,
    /// `hostname`.
    pub hostname: Option<Box<str>>,
    /// `ipMode`, unless it is the default, VIP.
    pub ip_mode: Option<Box<str>>,
}

/// Annotations that somebody here reads.
const ANNOTATIONS: [&str; 2] = ["service.cilium.io/", "rutter.dev/"];

impl From<api::Service> for Service {
    fn from(service: api::Service) -> Self {
        let metadata = service.metadata;
        let name = Arc::new(NamespacedName::of(&metadata));
        let ipam = None;
        let annotations = metadata.annotations.unwrap_or_default().into_iter();
        let annotations =
            annotations.filter(|(key, _)| ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)));
        let spec = service.spec.unwrap_or_default();
        let status = service.status.unwrap_or_default();
        let waits = status.conditions.iter().flatten().find_map(refusal);
        let status = status.load_balancer.unwrap_or_default();
        let cluster_ips = spec.cluster_ips.filter(|list| !list.is_empty());
        let cluster_ip = spec.cluster_ip.filter(|ip| !ip.is_empty());
        let headless = cluster_ip.as_deref().is_some_and(|ip| ip.eq_ignore_ascii_case("None"));
        Self {
            name,
            resource_version: metadata.resource_version.unwrap_or_default().into(),
            spec: ServiceSpec {
                labels: metadata.labels.unwrap_or_default().into_iter().collect(),
                annotations: annotations.collect(),
                type_: spec.type_.as_deref().map(ServiceType::from).unwrap_or_default(),
                load_balancer_class: spec.load_balancer_class.map(Into::into),
                external_traffic_policy: unless("Cluster", spec.external_traffic_policy),
                internal_traffic_policy: unless("Cluster", spec.internal_traffic_policy),
                headless,
                publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or_default(),
                cluster_ips: boxed(cluster_ips.unwrap_or_else(|| cluster_ip.into_iter().collect())),
                external_ips: boxed(spec.external_ips.unwrap_or_default()),
                ports: spec
                    .ports
                    .into_iter()
                    .flatten()
                    .map(|port| Port::new(port.name, port.protocol))
                    .collect(),
                ingress: status.ingress.into_iter().flatten().map(Ingress::from).collect(),
                waits,
            },
            ipam,
        }
    }
}

impl Port {
    pub(super) fn new(name: Option<String>, protocol: Option<String>) -> Self {
        Self { name: name.unwrap_or_default().into(), protocol: unless("TCP", protocol) }
    }
}

impl From<api::LoadBalancerIngress> for Ingress {
    fn from(ingress: api::LoadBalancerIngress) -> Self {
        Self {
            ip: ingress.ip.map(Into::into),
            hostname: ingress.hostname.map(Into::into),
            ip_mode: unless("VIP", ingress.ip_mode),
        }
    }
}

/// What LB IPAM's condition says, if this is it and it says no.
fn refusal(condition: &Condition) -> Option<Box<str>> {
    let says_no = condition.type_ == SATISFIED && condition.status != "True";
    says_no.then(|| waits(&condition.reason, &condition.message))
}

/// Reason and message in one text.
pub(super) fn waits(reason: &str, message: &str) -> Box<str> {
    match message {
        "" => reason.into(),
        message => format!("{reason}: {message}").into(),
    }
}

fn unless(default: &str, value: Option<String>) -> Option<Box<str>> {
    value.filter(|value| value != default).map(Into::into)
}

fn boxed(texts: Vec<String>) -> Box<[Box<str>]> {
    texts.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_enough_for_ten_thousands() {
        assert!(size_of::<Service>() <= 208, "{}", size_of::<Service>());
        assert!(size_of::<Port>() <= 32 && size_of::<Ingress>() <= 48);
    }
}
