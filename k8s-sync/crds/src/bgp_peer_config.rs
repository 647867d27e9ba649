//! CiliumBGPPeerConfig: session parameters and families, shared by any number of peers. Written by people.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::condition::Condition;
use crate::label_selector::LabelSelector;

/// Session parameters and families, shared by any number of peers.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumBGPPeerConfig",
    plural = "ciliumbgppeerconfigs",
    shortname = "cbgppeer",
    category = "cilium",
    category = "ciliumbgp",
    status = "CiliumBGPPeerConfigStatus",
    derive = "PartialEq",
    doc = "Session parameters and families, shared by any number of peers.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPPeerConfigSpec {
    /// Name of the Secret whose key `password` holds the TCP MD5 password. Absent: no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<String>,
    /// TTL of eBGP sessions. 1: the peer is directly connected.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 255), extend("format" = "int32"))]
    pub ebgp_multihop: u8,
    /// Families to negotiate and what is advertised in them. Absent: IPv4 and IPv6 unicast, and nothing advertised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<CiliumBGPFamilyWithAdverts>,
    /// Graceful restart. Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<CiliumBGPNeighborGracefulRestart>,
    /// Session timers. Absent: defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<CiliumBGPTimers>,
    /// Transport parameters. Absent: defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<CiliumBGPTransport>,
}

impl Default for CiliumBGPPeerConfigSpec {
    fn default() -> Self {
        Self {
            auth_secret_ref: None,
            ebgp_multihop: one(),
            families: Vec::new(),
            graceful_restart: None,
            timers: None,
            transport: None,
        }
    }
}

/// A family and the advertisements that are sent in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPFamilyWithAdverts {
    /// Selects CiliumBGPAdvertisements by their labels. Absent: none; empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertisements: Option<LabelSelector>,
    /// Address family.
    pub afi: Afi,
    /// Subsequent address family.
    pub safi: Safi,
}

/// Address family identifiers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum Afi {
    Ipv4,
    Ipv6,
    L2vpn,
    Ls,
    Opaque,
}

/// Subsequent address family identifiers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum Safi {
    Unicast,
    Multicast,
    MplsLabel,
    Encapsulation,
    Vpls,
    Evpn,
    Ls,
    SrPolicy,
    Mup,
    MplsVpn,
    MplsVpnMulticast,
    RouteTargetConstraints,
    FlowspecUnicast,
    FlowspecVpn,
    KeyValue,
}

/// Graceful restart parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPNeighborGracefulRestart {
    /// Whether the capability is sent.
    pub enabled: bool,
    /// Restart time that is advertised.
    #[serde(default = "two_minutes")]
    #[schemars(range(min = 1, max = 4095), extend("format" = "int32"))]
    pub restart_time_seconds: u16,
}

/// Session timers in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([{
    "rule": "self.keepAliveTimeSeconds <= self.holdTimeSeconds",
    "message": "keepAliveTimeSeconds can not be larger than holdTimeSeconds",
}])))]
pub struct CiliumBGPTimers {
    /// Time between attempts to connect.
    #[serde(default = "connect_retry")]
    #[schemars(range(min = 1, max = 2_147_483_647), extend("format" = "int32"))]
    pub connect_retry_time_seconds: u32,
    /// Proposed hold time.
    #[serde(default = "hold")]
    #[schemars(range(min = 3, max = 65535), extend("format" = "int32"))]
    pub hold_time_seconds: u16,
    /// Time between keepalives, at most the hold time.
    #[serde(default = "keep_alive")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub keep_alive_time_seconds: u16,
}

impl Default for CiliumBGPTimers {
    fn default() -> Self {
        Self {
            connect_retry_time_seconds: connect_retry(),
            hold_time_seconds: hold(),
            keep_alive_time_seconds: keep_alive(),
        }
    }
}

/// Transport parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPTransport {
    /// Port of the peer.
    #[serde(default = "bgp_port")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub peer_port: u16,
    /// Local interface whose address is the source of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_interface: Option<String>,
}

impl Default for CiliumBGPTransport {
    fn default() -> Self {
        Self { peer_port: bgp_port(), source_interface: None }
    }
}

/// What the operator reports about a peer configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPPeerConfigStatus {
    /// Current conditions, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

fn one() -> u8 {
    1
}

fn two_minutes() -> u16 {
    120
}

fn connect_retry() -> u32 {
    120
}

fn hold() -> u16 {
    90
}

fn keep_alive() -> u16 {
    30
}

fn bgp_port() -> u16 {
    179
}
