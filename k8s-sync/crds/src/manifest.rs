//! The CustomResourceDefinitions that are installed with rutter: Cilium's kinds with both versions served and `v2` stored, and
//! our own.
//!
//! Invariant: nothing is written by hand here. Names and columns come from the types' derive, schemas from [`crate::schema`],
//! and a test compares the whole with Cilium's own manifests, value by value.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::LoadBalancerIPReservation;
use crate::schema::{self, Kind, OWN_VERSION, Version};

impl Kind {
    /// The kinds whose definitions rutter installs: those that it, or a person, writes. Other kinds belong to
    /// Cilium and are read where they exist.
    pub const INSTALLED: [Self; 6] = [
        Self::CiliumBGPClusterConfig,
        Self::CiliumBGPPeerConfig,
        Self::CiliumBGPAdvertisement,
        Self::CiliumBGPNodeConfigOverride,
        Self::CiliumBGPNodeConfig,
        Self::CiliumLoadBalancerIPPool,
    ];

    /// The whole CustomResourceDefinition; nothing for a kind that is not [installed](Self::INSTALLED).
    ///
    /// # Panics
    /// Never: the types are fixed at compile time, and a test generates every definition.
    #[must_use]
    pub fn manifest(self) -> Option<Value> {
        if !Self::INSTALLED.contains(&self) {
            return None;
        }
        let derived = serde_json::to_value(self.derived()).expect("a definition is plain JSON");
        let template = &derived["spec"]["versions"][0];
        let versions: Vec<Value> = Version::ALL
            .into_iter()
            .filter_map(|version| {
                let mut entry = json!({
                    "name": version.as_str(),
                    "served": true,
                    "storage": version == Version::V2,
                    "additionalPrinterColumns": template["additionalPrinterColumns"],
                    "subresources": template.get("subresources").cloned().unwrap_or_else(|| json!({})),
                    "schema": {"openAPIV3Schema": self.open_api_v3(version)?},
                });
                if version == Version::V2Alpha1 {
                    entry["deprecated"] = json!(true);
                }
                Some(entry)
            })
            .collect();
        Some(definition(&derived, versions))
    }
}

/// The whole CustomResourceDefinition of our own kind, LoadBalancerIPReservation.
///
/// # Panics
/// Never: the type is fixed at compile time, and a test generates the definition.
#[must_use]
pub fn reservation() -> Value {
    let derived = serde_json::to_value(LoadBalancerIPReservation::crd()).expect("a definition is plain JSON");
    let template = &derived["spec"]["versions"][0];
    let version = json!({
        "name": OWN_VERSION,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": template["additionalPrinterColumns"],
        "subresources": template["subresources"],
        "schema": {"openAPIV3Schema": schema::reservation()},
    });
    definition(&derived, vec![version])
}

/// Every definition that is installed.
#[must_use]
pub fn installed() -> Vec<Value> {
    Kind::INSTALLED.into_iter().filter_map(Kind::manifest).chain([reservation()]).collect()
}

fn definition(derived: &Value, versions: Vec<Value>) -> Value {
    let mut versions = Value::Array(versions);
    whole_numbers(&mut versions);
    let mut names = derived["spec"]["names"].clone();
    names["listKind"] = json!(format!("{}List", names["kind"].as_str().unwrap_or_default()));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": derived["metadata"]["name"]},
        "spec": {
            "group": derived["spec"]["group"],
            "names": names,
            "scope": derived["spec"]["scope"],
            "versions": versions,
        },
    })
}

/// Limits come out of the derive as floating point numbers; a person writes 255.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(whole) = text.strip_suffix(".0").and_then(|digits| digits.parse::<i64>().ok()) {
                *value = json!(whole);
            }
        }
        _ => {}
    }
}
