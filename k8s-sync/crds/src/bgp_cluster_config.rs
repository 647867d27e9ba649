//! CiliumBGPClusterConfig: which nodes run which BGP instances with which peers. Written by people.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::label_selector::LabelSelector;

/// Which nodes run which BGP instances with which peers.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumBGPClusterConfig",
    plural = "ciliumbgpclusterconfigs",
    shortname = "cbgpcluster",
    category = "cilium",
    category = "ciliumbgp",
    status = "CiliumBGPClusterConfigStatus",
    derive = "PartialEq",
    doc = "Which nodes run which BGP instances with which peers.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPClusterConfigSpec {
    /// BGP instances to run on every selected node, by unique name.
    #[schemars(
        length(min = 1, max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub bgp_instances: Vec<CiliumBGPInstance>,
    /// Nodes this applies to, by their labels. Absent or empty: all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
}

/// A BGP instance: one speaker with its own ASN and RIB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPInstance {
    /// Autonomous system number of the instance. Needed, here or in the override of the node.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub local_asn: Option<u32>,
    /// Port to listen on. Absent: no listener, the speaker only dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub local_port: Option<u16>,
    /// Name of the instance.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Neighbours of the instance, by unique name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Vec<CiliumBGPPeer>,
}

/// A neighbour of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPPeer {
    /// How to find the address of the peer when `peerAddress` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_discovery: Option<BGPAutoDiscovery>,
    /// Name of the peer.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// ASN of the peer. 0: whatever the peer says in its OPEN.
    #[serde(default, rename = "peerASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub peer_asn: u32,
    /// IPv4 or IPv6 address of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::pattern::IP_ADDRESS))]
    pub peer_address: Option<String>,
    /// The CiliumBGPPeerConfig with the session's parameters. Absent: defaults, and nothing advertised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_config_ref: Option<PeerConfigReference>,
}

/// How to find a peer's address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPAutoDiscovery {
    /// Parameters of mode `DefaultGateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_gateway: Option<DefaultGateway>,
    /// The way to find it.
    pub mode: AutoDiscoveryMode,
}

/// Parameters of discovery by default gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultGateway {
    /// Family of the default route whose gateway is the peer.
    pub address_family: GatewayFamily,
}

/// Ways to find a peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum AutoDiscoveryMode {
    DefaultGateway,
}

/// Family of a default gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum GatewayFamily {
    Ipv4,
    Ipv6,
}

/// Names a CiliumBGPPeerConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerConfigReference {
    /// Name of the CiliumBGPPeerConfig.
    pub name: String,
}

/// What the operator reports about a cluster configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPClusterConfigStatus {
    /// Current conditions, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
