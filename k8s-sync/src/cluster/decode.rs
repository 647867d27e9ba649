//! From the server's JSON to an [`Object`], with everything that is never looked at left behind.
//!
//! Invariant: what is kept of an object is what translation, conditions and explanations read. managedFields and the copy
//! that `kubectl apply` keeps are often the greater part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use rutter_crds::CiliumBGPNodeConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::watched::{Detail, Watched};
use crate::object::endpoint_slice::SERVICE_NAME_LABEL;
use crate::object::{NamespacedName, Object, SecretObject};

/// What is read of every object before it is decided whether to read all of it.
#[derive(Debug, Deserialize)]
pub(super) struct Peek {
    #[serde(default)]
    pub(super) metadata: PeekMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PeekMetadata {
    name: String,
    namespace: String,
    pub(super) resource_version: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Why an object cannot be read, and in which field.
#[derive(Debug)]
pub(super) struct Undecodable {
    pub(super) path: String,
    pub(super) error: String,
}

impl Peek {
    pub(super) fn at(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Namespace (empty where there is none) and name.
    pub(super) fn key(&self) -> NamespacedName {
        NamespacedName::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// The Service that an EndpointSlice belongs to.
    pub(super) fn service(&self) -> Option<NamespacedName> {
        let service = self.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
        Some(NamespacedName::new(&self.metadata.namespace, service))
    }

    /// Whether this bookmark ends the initial state.
    pub(super) fn ends_initial_state(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key("k8s.io/initial-events-end"))
    }
}

/// Reads one object.
pub(super) fn decode(watched: Watched, detail: Detail, json: &str) -> Result<Object, Undecodable> {
    Ok(match watched {
        Watched::Node => Object::Node(Arc::new(node(typed(json)?))),
        Watched::Service => {
            let service = typed::<Service>(json)?;
            Object::Service(Arc::new(match detail {
                Detail::Allocation => crate::object::Service::with_ipam(service),
                Detail::Metadata | Detail::Translation => service.into(),
            }))
        }
        Watched::EndpointSlice => Object::EndpointSlice(Arc::new(typed::<EndpointSlice>(json)?.into())),
        Watched::Secret => Object::Secret(SecretObject(Arc::new(secret(json, detail)?))),
        Watched::ServiceCIDR => {
            let mut range: ServiceCIDR = typed(json)?;
            trim(&mut range.metadata);
            range.status = None;
            Object::ServiceCIDR(Arc::new(range))
        }
        Watched::CiliumNode => Object::CiliumNode(custom(json)?),
        Watched::ClusterConfig => Object::CiliumBGPClusterConfig(custom(json)?),
        Watched::PeerConfig => Object::CiliumBGPPeerConfig(custom(json)?),
        Watched::Advertisement => Object::CiliumBGPAdvertisement(custom(json)?),
        Watched::Override => Object::CiliumBGPNodeConfigOverride(custom(json)?),
        Watched::PodIPPool => Object::CiliumPodIPPool(custom(json)?),
        Watched::LbPool => Object::CiliumLoadBalancerIPPool(custom(json)?),
        Watched::LbReservation => Object::LoadBalancerIPReservation(custom(json)?),
        Watched::NodeConfig => {
            let mut config: Arc<CiliumBGPNodeConfig> = custom(json)?;
            // The state of the sessions is ours to write; reading it back would be a change each time.
            if let Some(status) = Arc::make_mut(&mut config).status.as_mut() {
                status.bgp_instances = Vec::new();
            }
            Object::CiliumBGPNodeConfig(config)
        }
    })
}

fn typed<T: DeserializeOwned>(json: &str) -> Result<T, Undecodable> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Undecodable { path: error.path().to_string(), error: error.inner().to_string() })
}

fn custom<T: DeserializeOwned + Resource>(json: &str) -> Result<Arc<T>, Undecodable> {
    let mut object: T = typed(json)?;
    trim(object.meta_mut());
    Ok(Arc::new(object))
}

/// What may be said about objects people write: who owns them, since when they exist, which one of that name.
fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.self_link = None;
    metadata.generate_name = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| ANNOTATIONS.iter().any(|prefix| name.starts_with(prefix)));
    }
    if metadata.annotations.as_ref().is_some_and(BTreeMap::is_empty) {
        metadata.annotations = None;
    }
}

/// Annotations that mean something to somebody here.
const ANNOTATIONS: &[&str] =
    &["service.cilium.io/", "rutter.dev/", "cilium.io/", "io.cilium/", "lbipam.cilium.io/"];

fn node(mut node: Node) -> Node {
    trim(&mut node.metadata);
    if let Some(status) = node.status.take() {
        let addresses = status.addresses;
        node.status = Some(k8s_openapi::api::core::v1::NodeStatus { addresses, ..Default::default() });
    }
    node
}

/// The one key of a Secret that is read.
const PASSWORD: &str = "password";

/// Errors of a Secret name no value: serde would quote it.
fn secret(json: &str, detail: Detail) -> Result<Secret, Undecodable> {
    #[derive(Deserialize)]
    struct Partial {
        metadata: ObjectMeta,
    }
    let read = if detail == Detail::Metadata {
        typed(json).map(|Partial { metadata }| Secret { metadata, ..Secret::default() })
    } else {
        typed(json)
    };
    let mut secret: Secret = read.map_err(|Undecodable { path, .. }| Undecodable {
        path,
        error: "the value is not what a Secret holds there".to_owned(),
    })?;
    trim(&mut secret.metadata);
    // The namespace holds more than passwords of sessions; none of that is kept.
    if let Some(data) = &mut secret.data {
        data.retain(|key, _| key == PASSWORD);
    }
    secret.string_data = None;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_left_behind() {
        let json = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"n","uid":"u",
            "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","service.cilium.io/type":"ClusterIP"},
            "managedFields":[{"manager":"kubectl"}]},"spec":{"selector":{"a":"b"},"ports":[{"port":80}]}}"#;
        let Object::Service(service) = decode(Watched::Service, Detail::Translation, json).unwrap() else {
            panic!("a Service")
        };
        assert_eq!(service.spec.annotations.iter().count(), 1);
        assert_eq!(service.spec.ports.len(), 1);
    }

    #[test]
    fn both_versions_are_one_type() {
        for version in ["v2", "v2alpha1"] {
            let json = format!(
                r#"{{"apiVersion":"cilium.io/{version}","kind":"CiliumBGPPeerConfig","metadata":{{"name":"p"}},"spec":{{}}}}"#
            );
            assert!(decode(Watched::PeerConfig, Detail::Translation, &json).is_ok());
        }
    }

    #[test]
    fn an_error_names_the_field_and_never_a_secret() {
        let json = r#"{"metadata":{"name":"c"},"spec":{"bgpInstances":[{"name":7}]}}"#;
        let error = decode(Watched::NodeConfig, Detail::Translation, json).unwrap_err();
        assert_eq!(error.path, "spec.bgpInstances[0].name");
        let json = r#"{"metadata":{"name":"s"},"data":{"password":"*geheim*"}}"#;
        let error = decode(Watched::Secret, Detail::Translation, json).unwrap_err();
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    }

    #[test]
    fn of_a_secret_only_the_password() {
        let json = r#"{"metadata":{"name":"s"},"data":{"password":"eA==","release":"SDRzSUFBQQ=="}}"#;
        let Object::Secret(secret) = decode(Watched::Secret, Detail::Translation, json).unwrap() else {
            panic!("a Secret")
        };
        assert_eq!(secret.0.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["password"]);
    }

    #[test]
    fn of_a_secret_only_its_name() {
        let json = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"s","namespace":"n"}}"#;
        let object = decode(Watched::Secret, Detail::Metadata, json).unwrap();
        assert_eq!(object.name(), "s");
    }
}
