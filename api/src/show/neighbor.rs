//! `show bgp neighbors [X]`: everything about a session.
//!
//! Invariant: the text is rendered from the JSON value and from one field marked as text only, for which FRR has no key.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ordered::Ordered;
use super::summary::PeerState;
use super::table::is_false;

pub mod capabilities;
pub mod graceful_restart;
mod text;

use capabilities::Capabilities;
use graceful_restart::GracefulRestart;

/// Neighbours by address, or by interface for those known by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = ShowNeighbors)]
pub struct Neighbors(
    /// The neighbours.
    pub Ordered<Neighbor>,
);

/// The answer about a neighbour that does not exist, with status 404.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowNoSuchNeighbor)]
pub struct NoSuchNeighbor {
    /// FRR's key; true.
    pub bgp_no_such_neighbor: bool,
    /// The same in words, as in every refusal.
    pub error: String,
}

impl Default for NoSuchNeighbor {
    fn default() -> Self {
        Self { bgp_no_such_neighbor: true, error: "% No such neighbor or address family".to_owned() }
    }
}

/// One neighbour. Keys are FRR's; a doc comment says where a key means something else here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowNeighbor)]
pub struct Neighbor {
    /// Its address, when it is listed under an interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_neighbor_addr: Option<String>,
    /// Its ASN; 0 while it is not known.
    pub remote_as: u32,
    /// Our ASN towards it.
    pub local_as: u32,
    /// Always false: one ASN per instance.
    pub local_as_replace_as_dual_as: bool,
    /// Another AS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nbr_external_link: bool,
    /// Our own AS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nbr_internal_link: bool,
    /// Our role (RFC 9234), `undefined` if not configured.
    pub local_role: String,
    /// Its role, `undefined` if it did not say.
    pub remote_role: String,
    /// The configured description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbr_desc: Option<String>,
    /// The peer group whose parameters it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_group: Option<String>,
    /// A connection made it; no configuration names it. Absent when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dynamic_peer: bool,
    /// The dynamic neighbours it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_subnet_range_group: Option<String>,
    /// What it calls itself, `Unknown` if it did not say.
    pub hostname: String,
    /// Shut down by configuration. Present only when true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub admin_shut_down: bool,
    /// 4.
    pub bgp_version: u8,
    /// Its BGP Identifier, 0.0.0.0 while it is not known.
    #[schema(value_type = String)]
    pub remote_router_id: Ipv4Addr,
    /// Ours.
    #[schema(value_type = String)]
    pub local_router_id: Ipv4Addr,
    /// State of the session.
    pub bgp_state: PeerState,
    /// Time since Established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_up_msec: Option<u64>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_up_string: Option<String>,
    /// Moment of Established, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_up_established_epoch: Option<u64>,
    /// Time since something was read, in milliseconds. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_last_read: Option<u64>,
    /// Time since something was written, in milliseconds. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_last_write: Option<u64>,
    /// Time since the last UPDATE was read. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_in_update_elapsed_time_msecs: Option<u64>,
    /// Configured Hold Time.
    pub bgp_timer_configured_hold_time_msecs: u64,
    /// Configured keepalive interval.
    pub bgp_timer_configured_keep_alive_interval_msecs: u64,
    /// Negotiated Hold Time, or the configured one while there is no session.
    pub bgp_timer_hold_time_msecs: u64,
    /// Keepalive interval in use.
    pub bgp_timer_keep_alive_interval_msecs: u64,
    /// Always 0: rutter leaves the segment size to the kernel.
    pub bgp_tcp_mss_configured: u32,
    /// Segment size of the connection, 0 without one.
    pub bgp_tcp_mss_synced: u32,
    /// Whether RFC 9072 is used in the OPEN.
    pub extended_optional_parameters_length: bool,
    /// FRR's conditional advertisement; rutter has none and leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp_timer_configured_conditional_advertisements_sec: Option<u64>,
    /// What both sides can do. Absent while no OPEN was exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbor_capabilities: Option<Capabilities>,
    /// Graceful restart (RFC 4724).
    pub graceful_restart_info: GracefulRestart,
    /// Messages since the neighbour exists.
    pub message_stats: MessageStats,
    /// Routes that were received and not used.
    pub prefix_stats: PrefixStats,
    /// Always 0: changes are sent when they are made.
    pub min_btwn_advertisement_runs_timer_msecs: u64,
    /// By family: `ipv4Unicast`, `ipv6Unicast`.
    pub address_family_info: Ordered<FamilyInfo>,
    /// How often the session came up.
    pub connections_established: u64,
    /// How often it went down.
    pub connections_dropped: u64,
    /// For how long it has not taken all that was sent to it. Ours, as the next one; absent unless that is too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_peer_msecs: Option<u64>,
    /// How often that was so. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_peer_count: Option<u64>,
    /// Octets that wait to be written to it. Ours; absent when none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_octets: Option<u64>,
    /// Why and when it went down last.
    #[serde(flatten)]
    pub last_reset: LastReset,
    /// The session was closed because of too many prefixes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefixes_config_exceed_max: bool,
    /// It is opened again by itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reduce_prefix_num_from: bool,
    /// When, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_in_timer_msec: Option<u64>,
    /// The session is said to end soon (RFC 8326). rutter's own; FRR has such a mark for the whole instance only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub graceful_shutdown: bool,
    /// It stays closed until someone resets it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reduce_prefix_num_and_clear_ip_bgp: bool,
    /// TTL of packets to an external neighbour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_bgp_nbr_max_hops_away: Option<u8>,
    /// TTL of packets to an internal neighbour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_bgp_nbr_max_hops_away: Option<u8>,
    /// The TCP connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// Seconds between two attempts to connect.
    pub connect_retry_timer: u64,
    /// Time until the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_connect_timer_due_in_msecs: Option<u64>,
    /// Round-trip time of the TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_rtt_in_msecs: Option<u64>,
    /// 1 with a TCP MD5 password, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_enabled: Option<u8>,
    /// `on` while messages are read.
    pub read_thread: Switch,
    /// `on` while messages are written.
    pub write_thread: Switch,
    /// BFD (RFC 5880) of this neighbour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_bfd_info: Option<BfdInfo>,
    /// Text only: the socket's number. -1 without one.
    #[serde(skip)]
    pub file_descriptor: Option<i32>,
}

/// On or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShowSwitch)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    #[default]
    Off,
}

/// Messages by type since the neighbour exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are the documentation: message type and direction")]
#[schema(as = ShowMessageStats)]
pub struct MessageStats {
    pub depth_inq: u64,
    pub depth_outq: u64,
    pub opens_sent: u64,
    pub opens_recv: u64,
    pub notifications_sent: u64,
    pub notifications_recv: u64,
    pub updates_sent: u64,
    pub updates_recv: u64,
    pub keepalives_sent: u64,
    pub keepalives_recv: u64,
    pub route_refresh_sent: u64,
    pub route_refresh_recv: u64,
    pub capability_sent: u64,
    pub capability_recv: u64,
    pub total_sent: u64,
    pub total_recv: u64,
}

/// Routes that were received and not used, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowPrefixStats)]
pub struct PrefixStats {
    /// Rejected by import policy.
    pub inbound_filtered: u64,
    /// Our ASN is in AS_PATH.
    pub aspath_loop: u64,
    /// Our BGP Identifier is ORIGINATOR_ID.
    pub originator_loop: u64,
    /// Our cluster ID is in CLUSTER_LIST.
    pub cluster_loop: u64,
    /// The next hop cannot be one.
    pub invalid_next_hop: u64,
    /// Treated as withdrawn (RFC 7606).
    pub withdrawn: u64,
    /// Attributes that were dropped (RFC 7606).
    pub attributes_discarded: u64,
}

/// One family of a neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowNeighborFamily)]
pub struct FamilyInfo {
    /// Number of the group of neighbours that get the same updates. Absent while not Established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_group_id: Option<u64>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_group_id: Option<u64>,
    /// Updates that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_queue_length: Option<u64>,
    /// The neighbour is a route reflector client.
    #[serde(default, skip_serializing_if = "is_false")]
    pub route_reflector_client: bool,
    /// What was received is kept before policy. Always so here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inbound_soft_config_permit: bool,
    /// The next hop is always rewritten.
    #[serde(default, skip_serializing_if = "is_false")]
    pub router_always_next_hop: bool,
    /// Which communities are sent; all kinds.
    pub comm_attri_sent_to_nbr: String,
    /// There is an import policy.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inbound_path_policy_config: bool,
    /// There is an export policy.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outbound_path_policy_config: bool,
    /// Name of the import policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_map_for_incoming_advertisements: Option<String>,
    /// Name of the export policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_map_for_outgoing_advertisements: Option<String>,
    /// Prefixes received and used.
    pub accepted_prefix_counter: u64,
    /// Prefixes sent. Absent while not Established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_prefix_counter: Option<u64>,
    /// Limit of received prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_allowed_max: Option<u64>,
    /// Above the limit only a warning is given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefix_allowed_max_warning: bool,
    /// For how long the session stays closed above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_allowed_restart_interval_msecs: Option<u64>,
    /// Percentage of the limit at which a warning is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_allowed_warning_thresh: Option<u8>,
}

/// Why and when a session went down last; or `lastReset: never` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowLastReset)]
pub struct LastReset {
    /// `never`, if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset: Option<String>,
    /// How long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_timer_msecs: Option<u64>,
    /// Code and subcode of the NOTIFICATION in hexadecimal: `060A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_code_subcode: Option<String>,
    /// Its words: `Cease/Administrative Shutdown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_notification_reason: Option<String>,
    /// Whether it asked to forget all routes (RFC 8538).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_notification_hard_reset: Option<bool>,
    /// Shutdown text (RFC 9003), sent or received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shutdown_description: Option<String>,
    /// The reason in words. `BGP Notification send` and `BGP Notification received` are FRR's spellings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_due_to: Option<String>,
    /// FRR's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_code: Option<u32>,
    /// What the neighbour ran then, else `n/a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
}

impl LastReset {
    /// It never went down.
    #[must_use]
    pub fn never() -> Self {
        Self { last_reset: Some("never".to_owned()), ..Self::default() }
    }

    /// It went down without a NOTIFICATION.
    #[must_use]
    pub fn local(ago_msecs: u64, reason: impl Into<String>) -> Self {
        Self {
            last_reset_timer_msecs: Some(ago_msecs),
            last_reset_due_to: Some(reason.into()),
            software_version: Some("n/a".to_owned()),
            ..Self::default()
        }
    }

    /// A NOTIFICATION ended it.
    #[must_use]
    pub fn notification(ago_msecs: u64, sent: bool, code: u8, subcode: u8, words: impl Into<String>) -> Self {
        let (due_to, number) =
            if sent { ("BGP Notification send", 14) } else { ("BGP Notification received", 15) };
        Self {
            last_reset_timer_msecs: Some(ago_msecs),
            last_error_code_subcode: Some(format!("{code:02X}{subcode:02X}")),
            last_notification_reason: Some(words.into()),
            last_notification_hard_reset: Some(code == 6 && subcode == 9),
            last_reset_due_to: Some(due_to.to_owned()),
            last_reset_code: Some(number),
            software_version: Some("n/a".to_owned()),
            ..Self::default()
        }
    }
}

/// The TCP connection; `Unknown` and -1 without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowConnection)]
pub struct Connection {
    /// Our address.
    pub host_local: String,
    /// Our port.
    pub port_local: i32,
    /// Its address.
    pub host_foreign: String,
    /// Its port.
    pub port_foreign: i32,
    /// Our IPv4 next hop towards it.
    pub nexthop: String,
    /// Our IPv6 next hop towards it.
    pub nexthop_global: String,
    /// Our link-local next hop towards it.
    pub nexthop_local: String,
    /// `sharedNetwork` or `nonSharedNetwork`.
    pub bgp_connection: String,
}

impl Default for Connection {
    fn default() -> Self {
        let unknown = || "Unknown".to_owned();
        Self {
            host_local: unknown(),
            port_local: -1,
            host_foreign: unknown(),
            port_foreign: -1,
            nexthop: unknown(),
            nexthop_global: unknown(),
            nexthop_local: unknown(),
            bgp_connection: unknown(),
        }
    }
}

/// BFD of one neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowBfdInfo)]
pub struct BfdInfo {
    /// `single hop` or `multi hop`.
    pub r#type: String,
    /// Detect multiplier.
    pub detect_multiplier: u8,
    /// Smallest receive interval, in milliseconds.
    pub rx_min_interval: u64,
    /// Smallest transmit interval, in milliseconds.
    pub tx_min_interval: u64,
    /// `Up`, `Down`, ...
    pub status: String,
    /// Time since that changed, `d:hh:mm:ss`.
    pub last_update: String,
}

impl Neighbors {
    /// FRR's layout, one neighbour after the other.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(key, neighbor)| neighbor.to_text(key)).collect()
    }
}
