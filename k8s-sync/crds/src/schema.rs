//! The OpenAPI schemas of the kinds, generated from the types, for both served versions.
//!
//! `v2alpha1` is written down as its differences from `v2`, which are few and closed: that version is deprecated.
//! Invariant: what this module returns is what the API server validates, prunes and defaults with.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{
    CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig, CiliumBGPNodeConfigOverride,
    CiliumBGPPeerConfig, CiliumLoadBalancerIPPool, CiliumNode, CiliumPodIPPool, LoadBalancerIPReservation,
};

/// API group of Cilium's kinds.
pub const GROUP: &str = "cilium.io";
/// API group of our own kind.
pub const OWN_GROUP: &str = "rutter.dev";
/// The one version of our own kind.
pub const OWN_VERSION: &str = "v1alpha1";

/// A served version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The stored one.
    V2,
    /// The deprecated one, served beside it.
    V2Alpha1,
}

impl Version {
    /// All served versions, the stored one first.
    pub const ALL: [Self; 2] = [Self::V2, Self::V2Alpha1];

    /// The version as `apiVersion` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Alpha1 => "v2alpha1",
        }
    }
}

/// One of Cilium's kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are the kinds")]
pub enum Kind {
    CiliumBGPClusterConfig,
    CiliumBGPPeerConfig,
    CiliumBGPAdvertisement,
    CiliumBGPNodeConfigOverride,
    CiliumBGPNodeConfig,
    CiliumNode,
    CiliumPodIPPool,
    CiliumLoadBalancerIPPool,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::CiliumBGPClusterConfig,
        Self::CiliumBGPPeerConfig,
        Self::CiliumBGPAdvertisement,
        Self::CiliumBGPNodeConfigOverride,
        Self::CiliumBGPNodeConfig,
        Self::CiliumNode,
        Self::CiliumPodIPPool,
        Self::CiliumLoadBalancerIPPool,
    ];

    /// The schema of a version, or nothing if the kind is not served in it.
    ///
    /// # Panics
    /// Never: the types are fixed at compile time, and a test generates every schema.
    #[must_use]
    pub fn open_api_v3(self, version: Version) -> Option<Value> {
        let mut schema = completed(self.derived())?;
        match (self, version) {
            // Its v2 exists upstream and is not served.
            (Self::CiliumPodIPPool, Version::V2) => None,
            (Self::CiliumPodIPPool, Version::V2Alpha1) => {
                schema["required"] = json!(["spec"]);
                Some(schema)
            }
            (_, Version::V2) => Some(schema),
            (_, Version::V2Alpha1) => self.to_v2alpha1(schema),
        }
    }

    /// What the type's derive knows of the definition.
    pub(crate) fn derived(self) -> CustomResourceDefinition {
        match self {
            Self::CiliumBGPClusterConfig => CiliumBGPClusterConfig::crd(),
            Self::CiliumBGPPeerConfig => CiliumBGPPeerConfig::crd(),
            Self::CiliumBGPAdvertisement => CiliumBGPAdvertisement::crd(),
            Self::CiliumBGPNodeConfigOverride => CiliumBGPNodeConfigOverride::crd(),
            Self::CiliumBGPNodeConfig => CiliumBGPNodeConfig::crd(),
            Self::CiliumNode => CiliumNode::crd(),
            Self::CiliumPodIPPool => CiliumPodIPPool::crd(),
            Self::CiliumLoadBalancerIPPool => CiliumLoadBalancerIPPool::crd(),
        }
    }

    fn to_v2alpha1(self, mut schema: Value) -> Option<Value> {
        match self {
            Self::CiliumBGPClusterConfig | Self::CiliumBGPNodeConfig => {
                let peer = at(&mut schema, "spec.bgpInstances[].peers[]");
                properties(peer).remove("autoDiscovery");
                let reference = properties(at(peer, "peerConfigRef"));
                reference.insert("group".into(), json!({"type": "string", "default": GROUP}));
                reference.insert("kind".into(), json!({"type": "string", "default": "CiliumBGPPeerConfig"}));
            }
            Self::CiliumBGPPeerConfig => {
                let transport = properties(at(&mut schema, "spec.transport"));
                transport.remove("sourceInterface");
                transport.insert(
                    "localPort".into(),
                    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}),
                );
            }
            Self::CiliumBGPAdvertisement => {
                let advertisement = at(&mut schema, "spec.advertisements[]");
                properties(advertisement).remove("interface");
                array(at(advertisement, "advertisementType"), "enum").retain(|value| value != "Interface");
                // v2alpha1 never got the rules that forbid `service` for other types, nor those about `interface`.
                array(advertisement, "x-kubernetes-validations").retain(|rule| {
                    rule["rule"] == "self.advertisementType != 'Service' || has(self.service)"
                        || rule["rule"] == "self.advertisementType != 'PodCIDR' || !has(self.selector)"
                });
            }
            Self::CiliumBGPNodeConfigOverride | Self::CiliumPodIPPool | Self::CiliumLoadBalancerIPPool => {}
            Self::CiliumNode => return None,
        }
        Some(schema)
    }
}

/// The schema of our own kind, LoadBalancerIPReservation.
///
/// # Panics
/// Never: the type is fixed at compile time, and a test generates the schema.
#[must_use]
pub fn reservation() -> Value {
    completed(LoadBalancerIPReservation::crd()).expect("the derive writes a schema")
}

fn completed(derived: CustomResourceDefinition) -> Option<Value> {
    let props = derived.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
    let mut schema = serde_json::to_value(props).expect("a schema is plain JSON");
    remove_nullable(&mut schema);
    add_object_fields(&mut schema);
    Some(schema)
}

/// `Option` fields come out as nullable; Cilium's are not: a null there is dropped by the API server.
fn remove_nullable(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.remove("nullable").is_some()
                && let Some(Value::Array(words)) = map.get_mut("enum")
            {
                words.retain(|word| !word.is_null());
            }
            map.values_mut().for_each(remove_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nullable),
        _ => {}
    }
}

fn add_object_fields(schema: &mut Value) {
    let fields = properties(schema);
    fields.insert("apiVersion".into(), json!({"type": "string"}));
    fields.insert("kind".into(), json!({"type": "string"}));
    fields.insert("metadata".into(), json!({"type": "object"}));
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    schema["required"] = json!(["metadata", "spec"]);
}

/// The subschema at a dotted path, `[]` standing for the items of a list.
fn at<'s>(schema: &'s mut Value, path: &str) -> &'s mut Value {
    path.split('.').fold(schema, |schema, step| match step.strip_suffix("[]") {
        Some(list) => &mut schema["properties"][list]["items"],
        None => &mut schema["properties"][step],
    })
}

fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    schema["properties"].as_object_mut().expect("the path of a v2alpha1 difference names an object")
}

fn array<'s>(schema: &'s mut Value, key: &str) -> &'s mut Vec<Value> {
    schema[key].as_array_mut().expect("the path of a v2alpha1 difference names a list")
}
