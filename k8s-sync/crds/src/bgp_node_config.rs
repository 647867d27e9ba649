//! CiliumBGPNodeConfig: what one node runs, as the operator computed it. Spec by the operator, status by the agent.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bgp_cluster_config::{BGPAutoDiscovery, PeerConfigReference};
use crate::bgp_peer_config::{Afi, Safi};
use crate::condition::Condition;

/// What one node runs. The object's name is the node's; the operator writes it, people only read it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumBGPNodeConfig",
    plural = "ciliumbgpnodeconfigs",
    shortname = "cbgpnode",
    category = "cilium",
    category = "ciliumbgp",
    status = "CiliumBGPNodeStatus",
    derive = "PartialEq",
    doc = "What one node runs. The object's name is the node's; the operator writes it, people only read it.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeConfigSpec {
    /// BGP instances of the node, by unique name.
    #[schemars(
        length(min = 1, max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub bgp_instances: Vec<CiliumBGPNodeInstance>,
}

/// One instance of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeInstance {
    /// Autonomous system number of the instance.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub local_asn: Option<u32>,
    /// Port to listen on. Absent: no listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub local_port: Option<u16>,
    /// Name of the instance.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Neighbours, by unique name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Vec<CiliumBGPNodePeer>,
    /// BGP Identifier. Absent: the agent takes the node's IPv4 address.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "ipv4"))]
    pub router_id: Option<String>,
}

/// One neighbour of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodePeer {
    /// How to find the address of the peer when `peerAddress` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_discovery: Option<BGPAutoDiscovery>,
    /// Source address of the session, from the override of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::pattern::IP_ADDRESS))]
    pub local_address: Option<String>,
    /// Name of the peer.
    pub name: String,
    /// ASN of the peer. 0: whatever the peer says in its OPEN.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub peer_asn: Option<u32>,
    /// Address of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::pattern::IP_ADDRESS))]
    pub peer_address: Option<String>,
    /// The CiliumBGPPeerConfig with the session's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_config_ref: Option<PeerConfigReference>,
}

/// What the agent reports about the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeStatus {
    /// State of the instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub bgp_instances: Vec<CiliumBGPNodeInstanceStatus>,
    /// Current conditions, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// State of one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodeInstanceStatus {
    /// ASN of the instance.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    pub local_asn: Option<i64>,
    /// Name of the instance.
    pub name: String,
    /// State of the peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Vec<CiliumBGPNodePeerStatus>,
}

/// State of one peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNodePeerStatus {
    /// Since when the session is established, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub established_time: Option<String>,
    /// Name of the peer.
    pub name: String,
    /// ASN of the peer.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    pub peer_asn: Option<i64>,
    /// Address of the peer.
    pub peer_address: String,
    /// State of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peering_state: Option<String>,
    /// Routes exchanged, per family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route_count: Vec<BGPFamilyRouteCount>,
    /// Negotiated timers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<CiliumBGPTimersState>,
}

/// Routes exchanged with a peer in one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPFamilyRouteCount {
    /// Number of routes sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<i32>,
    /// Address family.
    pub afi: Afi,
    /// Number of routes received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i32>,
    /// Subsequent address family.
    pub safi: Safi,
}

/// Negotiated timers of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPTimersState {
    /// Hold time in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_hold_time_seconds: Option<i32>,
    /// Keepalive interval in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_keepalive_seconds: Option<i32>,
}
