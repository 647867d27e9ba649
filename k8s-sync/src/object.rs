//! Objects of the kinds that matter here, and how they are named.
//!
//! Invariant: an object is immutable once it is wrapped; everybody shares it by `Arc`.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Secret};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rutter_crds::{
    CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig, CiliumBGPNodeConfigOverride,
    CiliumBGPPeerConfig, CiliumLoadBalancerIPPool, CiliumNode, CiliumPodIPPool, LoadBalancerIPReservation,
};
use serde::Serialize;

pub use endpoint_slice::EndpointSlice;
pub use service::Service;

pub mod endpoint_slice;
mod ipam;
pub mod service;

/// Kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// The kind, e.g. `Service`.
    pub kind: &'static str,
    /// The namespace, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// A cluster-scoped object.
    #[must_use]
    pub fn cluster(kind: &'static str, name: impl Into<String>) -> Self {
        Self { kind, namespace: None, name: name.into() }
    }

    /// A namespaced object.
    #[must_use]
    pub fn namespaced(kind: &'static str, name: &NamespacedName) -> Self {
        Self { kind, namespace: Some(name.namespace.clone()), name: name.name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Name of a namespaced object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl NamespacedName {
    /// From the two parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// From metadata; an absent namespace is `default`.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The namespace of an object that does not name one.
pub const DEFAULT_NAMESPACE: &str = "default";

/// An object of a kind that is used.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants are the kinds")]
pub enum Object {
    Node(Arc<Node>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Secret(SecretObject),
    ServiceCIDR(Arc<ServiceCIDR>),
    CiliumBGPClusterConfig(Arc<CiliumBGPClusterConfig>),
    CiliumBGPPeerConfig(Arc<CiliumBGPPeerConfig>),
    CiliumBGPAdvertisement(Arc<CiliumBGPAdvertisement>),
    CiliumBGPNodeConfigOverride(Arc<CiliumBGPNodeConfigOverride>),
    CiliumBGPNodeConfig(Arc<CiliumBGPNodeConfig>),
    CiliumNode(Arc<CiliumNode>),
    CiliumPodIPPool(Arc<CiliumPodIPPool>),
    CiliumLoadBalancerIPPool(Arc<CiliumLoadBalancerIPPool>),
    LoadBalancerIPReservation(Arc<LoadBalancerIPReservation>),
}

impl Object {
    /// Its name, without its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Service(service) => &service.name.name,
            Self::EndpointSlice(slice) => &slice.name,
            other => other.metadata().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default(),
        }
    }

    /// Its version at the API server; empty if it does not come from one.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        match self {
            Self::Service(service) => &service.resource_version,
            Self::EndpointSlice(slice) => &slice.resource_version,
            other => {
                let metadata = other.metadata();
                metadata.and_then(|metadata| metadata.resource_version.as_deref()).unwrap_or_default()
            }
        }
    }

    /// Its metadata, for the kinds that are kept with it.
    #[must_use]
    pub fn metadata(&self) -> Option<&ObjectMeta> {
        Some(match self {
            Self::Service(_) | Self::EndpointSlice(_) => return None,
            Self::Node(object) => &object.metadata,
            Self::Secret(object) => &object.0.metadata,
            Self::ServiceCIDR(object) => &object.metadata,
            Self::CiliumBGPClusterConfig(object) => &object.metadata,
            Self::CiliumBGPPeerConfig(object) => &object.metadata,
            Self::CiliumBGPAdvertisement(object) => &object.metadata,
            Self::CiliumBGPNodeConfigOverride(object) => &object.metadata,
            Self::CiliumBGPNodeConfig(object) => &object.metadata,
            Self::CiliumNode(object) => &object.metadata,
            Self::CiliumPodIPPool(object) => &object.metadata,
            Self::CiliumLoadBalancerIPPool(object) => &object.metadata,
            Self::LoadBalancerIPReservation(object) => &object.metadata,
        })
    }
}

/// A Secret whose `Debug` shows nothing but its name.
#[derive(Clone, PartialEq)]
pub struct SecretObject(pub Arc<Secret>);

impl fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", NamespacedName::of(&self.0.metadata))
    }
}
