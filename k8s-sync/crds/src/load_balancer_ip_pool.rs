//! CiliumLoadBalancerIPPool: addresses for Services of type LoadBalancer. The spec is written by people, the conditions by
//! whoever allocates.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::label_selector::LabelSelector;

/// A pool of addresses for Services of type LoadBalancer.
#[expect(clippy::duplicated_attributes, reason = "two print columns have the same type")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumLoadBalancerIPPool",
    plural = "ciliumloadbalancerippools",
    shortname = "ippools",
    shortname = "ippool",
    shortname = "lbippool",
    shortname = "lbippools",
    category = "cilium",
    status = "CiliumLoadBalancerIPPoolStatus",
    derive = "PartialEq",
    doc = "A pool of addresses for Services of type LoadBalancer.",
    printcolumn(name = "Disabled", type_ = "boolean", json_path = ".spec.disabled"),
    printcolumn(
        name = "Conflicting",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"cilium.io/PoolConflict\")].status"
    ),
    printcolumn(
        name = "IPs Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"cilium.io/IPsAvailable\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumLoadBalancerIPPoolSpec {
    /// Whether the first and the last address of each CIDR are given out. Absent: yes. Of no meaning for /31, /32, /127 and
    /// /128, and for ranges.
    #[serde(default, rename = "allowFirstLastIPs", skip_serializing_if = "Option::is_none")]
    pub allow_first_last_ips: Option<AllowFirstLastIPs>,
    /// The addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<CiliumLoadBalancerIPPoolIPBlock>,
    /// Whether nothing new is given out. What was given stays.
    #[serde(default)]
    pub disabled: bool,
    /// Services that may get an address. Absent and empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
}

/// Whether the edges of a CIDR are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum AllowFirstLastIPs {
    Yes,
    No,
}

/// Addresses: a CIDR, one address (`start`), or a range with both ends in it. A CIDR wins over a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumLoadBalancerIPPoolIPBlock {
    /// A CIDR; bits of the host are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "cidr"))]
    pub cidr: Option<String>,
    /// The first address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The last address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
}

/// State of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumLoadBalancerIPPoolStatus {
    /// Counts, conflicts and what else there is to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
