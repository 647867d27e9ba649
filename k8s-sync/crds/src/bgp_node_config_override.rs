//! CiliumBGPNodeConfigOverride: what one node does differently from the cluster configuration. Written by people; the
//! object's name is the node's.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one node does differently from the cluster configuration. The object's name is the node's.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumBGPNodeConfigOverride",
    plural = "ciliumbgpnodeconfigoverrides",
    shortname = "cbgpnodeoverride",
    category = "cilium",
    category = "ciliumbgp",
    derive = "PartialEq",
    doc = "What one node does differently from the cluster configuration. The object's name is the node's.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeConfigOverrideSpec {
    /// Instances to change, by the name they have in the cluster configuration.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Vec<CiliumBGPNodeConfigInstanceOverride>,
}

/// Changes to one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeConfigInstanceOverride {
    /// ASN instead of the cluster configuration's.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub local_asn: Option<u32>,
    /// Listening port instead of the cluster configuration's. The schema sets no range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<i32>,
    /// Name of the instance.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Peers to change, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Vec<CiliumBGPNodeConfigPeerOverride>,
    /// BGP Identifier of the instance on this node.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "ipv4"))]
    pub router_id: Option<String>,
}

/// Changes to one peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeConfigPeerOverride {
    /// Source address of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::pattern::IP_ADDRESS))]
    pub local_address: Option<String>,
    /// Accepted by the schema, used by nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<i32>,
    /// Name of the peer.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
}
