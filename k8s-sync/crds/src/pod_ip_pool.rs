//! CiliumPodIPPool: addresses for pods, handed to nodes in pieces by IPAM mode `multi-pool`. Written by people, read here to
//! know which pieces a node may announce; never written.

use kube::CustomResource;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cilium_node::items_are_cidrs;
use crate::label_selector::LabelSelector;

/// A pool of pod addresses.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2alpha1",
    kind = "CiliumPodIPPool",
    plural = "ciliumpodippools",
    shortname = "cpip",
    category = "cilium",
    derive = "PartialEq",
    doc = "A pool of pod addresses."
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumPodIPPoolSpec {
    /// Whether pods may get the first address of a piece.
    #[serde(default, rename = "allowFirstIP")]
    #[schemars(extend("x-kubernetes-validations" = immutable("allowFirstIP")))]
    pub allow_first_ip: bool,
    /// Whether pods may get the last address of a piece.
    #[serde(default, rename = "allowLastIP")]
    #[schemars(extend("x-kubernetes-validations" = immutable("allowLastIP")))]
    pub allow_last_ip: bool,
    /// IPv4 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IPv4PoolSpec>,
    /// IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IPv6PoolSpec>,
    /// Namespaces whose pods may use the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Pods that may use the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

/// IPv4 addresses of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPv4PoolSpec {
    /// Where the pieces come from.
    #[schemars(length(min = 1), transform = items_are_cidrs)]
    pub cidrs: Vec<String>,
    /// Prefix length of a piece.
    #[schemars(range(min = 1, max = 32), transform = mask_size)]
    pub mask_size: u8,
}

/// IPv6 addresses of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPv6PoolSpec {
    /// Where the pieces come from.
    #[schemars(length(min = 1), transform = items_are_cidrs)]
    pub cidrs: Vec<String>,
    /// Prefix length of a piece.
    #[schemars(range(min = 1, max = 128), transform = mask_size)]
    pub mask_size: u8,
}

fn immutable(field: &str) -> serde_json::Value {
    json!([{"rule": "self == oldSelf", "message": format!("{field} is immutable")}])
}

fn mask_size(schema: &mut Schema) {
    schema.remove("format");
    schema.insert("x-kubernetes-validations".into(), immutable("maskSize"));
}
