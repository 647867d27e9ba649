//! CiliumNode: the part that BGP needs (addresses and pod CIDRs). Everything else in the object passes by unread, so
//! this type must never be written back whole.

use kube::CustomResource;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// What a CNI says about its node. A subset for reading.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumNode",
    plural = "ciliumnodes",
    shortname = "cn",
    shortname = "ciliumn",
    category = "cilium",
    derive = "PartialEq",
    doc = "What a CNI says about its node. A subset for reading."
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumNodeSpec {
    /// Addresses of the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// Address management.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<IPAMSpec>,
}

/// An address of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeAddress {
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its kind: `InternalIP`, `ExternalIP`, `CiliumInternalIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// Address management of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPAMSpec {
    /// Pod CIDRs of the node (IPAM modes `kubernetes` and `cluster-pool`).
    #[serde(default, rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = items_are_cidrs)]
    pub pod_cidrs: Vec<String>,
    /// Pools of the node (IPAM mode `multi-pool`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<IPAMPoolSpec>,
}

/// Pools of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPAMPoolSpec {
    /// CIDRs that the node got out of pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocated: Vec<IPAMPoolAllocation>,
}

/// CIDRs out of one pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPAMPoolAllocation {
    /// The CIDRs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = items_are_cidrs)]
    pub cidrs: Vec<String>,
    /// Name of the pool.
    #[schemars(length(min = 1))]
    pub pool: String,
}

pub(crate) fn items_are_cidrs(schema: &mut Schema) {
    schema.insert("items".into(), serde_json::json!({"type": "string", "format": "cidr"}));
}
