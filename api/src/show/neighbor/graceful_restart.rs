//! Graceful restart of one neighbour (RFC 4724), as `show bgp neighbors` lists it.
//!
//! Invariant: every timer is the one its key names; FRR prints the stale-path time under two keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::show::ordered::Ordered;

/// Graceful restart of one neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowGracefulRestart)]
pub struct GracefulRestart {
    /// Milliseconds until a restarting peer must be back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart_timer_msecs: Option<u64>,
    /// Milliseconds until its stale paths go away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_stalepath_timer_msecs: Option<u64>,
    /// Families for which End-of-RIB was sent.
    pub end_of_rib_send: Ordered<bool>,
    /// Families for which End-of-RIB was received.
    pub end_of_rib_recv: Ordered<bool>,
    /// `Restart`, `Helper` or `Disable`; FRR adds `*` to a mode inherited from the instance.
    pub local_gr_mode: String,
    /// `Restart`, `Helper`, `Disable` or `NotApplicable`.
    pub remote_gr_mode: String,
    /// R bit of the peer: it has just restarted.
    pub r_bit: bool,
    /// N bit of the peer (RFC 8538).
    pub n_bit: bool,
    /// Times that hold for all families.
    pub timers: RestartTimers,
    /// IPv4 unicast, once negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_unicast: Option<FamilyRestart>,
    /// IPv6 unicast, once negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_unicast: Option<FamilyRestart>,
}

/// Times that hold for all families, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowRestartTimers)]
pub struct RestartTimers {
    /// Restart Time we announce.
    pub configured_restart_timer: u64,
    /// Stale time we announce (RFC 9494).
    pub configured_llgr_stale_time: u64,
    /// Restart Time of the peer.
    pub received_restart_timer: u64,
    /// What is left of it while the peer restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_timer_remaining: Option<u64>,
}

/// One family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowFamilyRestart)]
pub struct FamilyRestart {
    /// F bit of the peer: forwarding state was preserved.
    pub f_bit: bool,
    /// End-of-RIB markers.
    pub end_of_rib_status: EndOfRib,
    /// Times, in seconds.
    pub timers: FamilyTimers,
}

/// End-of-RIB markers of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowEndOfRib)]
pub struct EndOfRib {
    /// Sent.
    pub end_of_rib_send: bool,
    /// Sent again after an update.
    pub end_of_rib_sent_after_update: bool,
    /// Received.
    pub end_of_rib_recv: bool,
}

/// Times of a family, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowFamilyTimers)]
pub struct FamilyTimers {
    /// How long stale paths may stay.
    pub stale_path_timer: u64,
    /// For how long the peer wants its routes kept after that (RFC 9494).
    pub llgr_stale_time: u64,
    /// What is left of it while the peer is away for longer than its Restart Time. FRR has this in its text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llgr_stale_time_remaining: Option<u64>,
    /// How long a restarting speaker waits for End-of-RIB before it selects.
    pub selection_deferral_timer: u64,
}
