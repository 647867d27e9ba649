//! What a peer looks like from outside: all that `show bgp neighbors` and the metrics need.
//!
//! Invariant: a view is cheap (no walk over a table) and says only what the session knows; nothing in it is guessed.

use std::collections::VecDeque;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Capability, Family, FamilySet, Notification};

use crate::config::PeerConfig;
use crate::event::Endpoints;
use crate::ids::PeerId;
use crate::reason::Reason;
use crate::reconfigure::ConfigField;
use crate::session::State;
use crate::time::Time;

/// One peer, as it is now.
#[derive(Clone, Debug)]
pub struct PeerView<'a> {
    /// Its handle.
    pub id: PeerId,
    /// Its configuration.
    pub config: &'a PeerConfig,
    /// The session's state: that of the connection that is furthest.
    pub state: State,
    /// Why the peer is held in Idle, if it is.
    pub held: Option<Held>,
    /// When the session entered its state.
    pub since: Time,
    /// When the peer was configured.
    pub created: Time,
    /// When the session last became Established, if it is now.
    pub established_at: Option<Time>,
    /// How often the session became Established.
    pub established_count: u64,
    /// How often an Established session went down.
    pub dropped_count: u64,
    /// The peer's ASN: configured, or else from its OPEN.
    pub remote_asn: Option<u32>,
    /// The peer's BGP Identifier, from its last OPEN.
    pub remote_router_id: Option<Ipv4Addr>,
    /// The ends of the connection that is furthest.
    pub endpoints: Option<Endpoints>,
    /// What the last session negotiated. Kept after it ended, as the last thing known.
    pub negotiated: Option<&'a Negotiated>,
    /// Hold Time in force, or configured while there is no session.
    pub hold_time: Duration,
    /// Keepalive interval in force, or configured while there is no session.
    pub keepalive_interval: Duration,
    /// When octets last came in.
    pub last_read: Option<Time>,
    /// When a message last went out.
    pub last_write: Option<Time>,
    /// When an UPDATE last came in.
    pub last_update: Option<Time>,
    /// When the peer will be dialed next, if that is set.
    pub next_connect: Option<Time>,
    /// Octets handed to the driver that it did not report as written.
    pub queued_out: usize,
    /// Since when the peer has not taken all that waits, if that is too long.
    pub slow_since: Option<Time>,
    /// How often it was slow.
    pub slow_count: u64,
    /// Octets of an incomplete message.
    pub queued_in: usize,
    /// Messages received.
    pub received: &'a MessageCounters,
    /// Messages sent.
    pub sent: &'a MessageCounters,
    /// The last thing that ended a session or refused an OPEN. Failed dials do not overwrite it.
    pub last_reset: Option<&'a LastReset>,
    /// The last dial that did not come through, and when.
    pub last_connect_failure: Option<&'a (Time, Arc<str>)>,
    /// Families for which the peer sent End-of-RIB in this session.
    pub end_of_rib_received: FamilySet,
    /// Families of which stale routes are kept (RFC 4724).
    pub stale: FamilySet,
    /// Until when the peer has to be back, or they go.
    pub restart_deadline: Option<Time>,
    /// Until when it has to have sent them again, now that it is back.
    pub stale_deadline: Option<Time>,
    /// The session is said to end soon (RFC 8326).
    pub drains: bool,
    /// Until when they are kept as a last resort, by family (RFC 9494).
    pub long_lived_deadlines: [(Family, Option<Time>); 2],
}

/// Why a peer stays in Idle.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Shut down by the configuration or an operator.
    AdminDown,
    /// It passed its prefix limit; [`crate::Command::Reset`] ends this.
    PrefixLimit {
        /// So does this time, if there is one.
        until: Option<Time>,
    },
    /// It failed; this is when it is tried again.
    IdleHold(Time),
    /// The speaker was stopped.
    Stopped,
}

/// What two OPENs agreed on.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's ASN.
    pub remote_asn: u32,
    /// The peer's BGP Identifier.
    pub remote_router_id: Ipv4Addr,
    /// Hold Time the peer proposed.
    pub remote_hold_time: u16,
    /// Smaller of both Hold Times; zero: none.
    pub hold_time: Duration,
    /// Keepalive interval; zero: none.
    pub keepalive_interval: Duration,
    /// Families of the session.
    pub families: FamilySet,
    /// Both sides sent the four-octet AS capability.
    pub four_octet_as: bool,
    /// Both sides sent the extended message capability.
    pub extended_message: bool,
    /// Both sides can use IPv6 next hops for IPv4 unicast.
    pub extended_next_hop: bool,
    /// The peer understands ROUTE-REFRESH.
    pub route_refresh: bool,
    /// Both sides mark where a refresh begins and ends (RFC 7313).
    pub enhanced_refresh: bool,
    /// Families in which the peer sends path identifiers and we take several paths (RFC 7911).
    pub add_path_receive: FamilySet,
    /// Families in which we send path identifiers and the peer takes several paths.
    pub add_path_send: FamilySet,
    /// What we offered.
    pub capabilities_sent: Vec<Capability>,
    /// What the peer offered.
    pub capabilities_received: Vec<Capability>,
}

/// How many messages went one way, over all sessions with the peer.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageCounters {
    /// OPEN.
    pub opens: u64,
    /// UPDATE.
    pub updates: u64,
    /// NOTIFICATION.
    pub notifications: u64,
    /// KEEPALIVE.
    pub keepalives: u64,
    /// ROUTE-REFRESH.
    pub route_refreshes: u64,
    /// Octets, headers included.
    pub octets: u64,
}

impl MessageCounters {
    /// All messages.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.opens + self.updates + self.notifications + self.keepalives + self.route_refreshes
    }
}

/// The end of a session, or of an attempt that got as far as messages.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct LastReset {
    /// When.
    pub at: Time,
    /// Why.
    pub reason: Reason,
    /// The NOTIFICATION that went with it and whether we sent it.
    pub notification: Option<(Direction, Notification)>,
    /// How long the session had been Established. Absent: it never was.
    pub lasted: Option<Duration>,
}

impl LastReset {
    /// Whether the session had been Established.
    #[must_use]
    pub const fn was_established(&self) -> bool {
        self.lasted.is_some()
    }
}

/// Which way a message went.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us.
    Sent,
    /// To us.
    Received,
}

/// A peer's history, by kind. Each list is bounded and ordered, newest last.
#[derive(Copy, Clone, Debug)]
pub struct HistoryView<'a> {
    /// Sessions that were Established and ended, with the cause of each.
    pub sessions: &'a VecDeque<Noted<LastReset>>,
    /// Attempts that got as far as messages and failed.
    pub attempts: &'a VecDeque<Noted<LastReset>>,
    /// NOTIFICATIONs both ways.
    pub notifications: &'a VecDeque<Noted<(Direction, Notification)>>,
    /// What operators and configurations wanted.
    pub orders: &'a VecDeque<Noted<Order>>,
    /// Changes of state.
    pub states: &'a VecDeque<Noted<StateChange>>,
}

/// Something that happened, once or several times in a row.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Noted<T> {
    /// When it happened last.
    pub at: Time,
    /// When it happened first.
    pub first: Time,
    /// How often.
    pub repeated: u32,
    /// What.
    pub what: T,
}

/// A change of a session's state.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

/// What an operator, or a new configuration, wanted of a session.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The configuration named the peer for the first time.
    Added,
    /// These fields of the configuration changed.
    Configured {
        /// Which.
        fields: Vec<ConfigField>,
        /// Whether the session had to end for it.
        reset: bool,
    },
    /// Close the session and open it again.
    Reset {
        /// What the operator said to the peer.
        text: Option<Arc<str>>,
    },
    /// Close the session and keep it down.
    Disabled {
        /// What the operator said to the peer.
        text: Option<Arc<str>>,
    },
    /// Take that back.
    Enabled,
    /// Ask the peer for its routes again.
    SoftIn,
    /// Send our routes again.
    SoftOut,
    /// The session is about to end: tell the peer (RFC 8326).
    Drained,
    /// Take that back.
    Undrained,
    /// The wait after a prefix limit is over.
    LimitWaitOver,
    /// Another process took the peer over.
    HandedOver,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, what: &str, text: &Option<Arc<str>>| match text {
            Some(text) => write!(f, "{what}: {text:?}"),
            None => f.write_str(what),
        };
        match self {
            Self::Added => f.write_str("added to the configuration"),
            Self::Configured { fields, reset } => {
                let outcome = if *reset { "session reset" } else { "session kept" };
                write!(f, "configuration changed, {outcome}:")?;
                fields.iter().enumerate().try_for_each(|(position, field)| {
                    write!(f, "{} {field}", if position == 0 { "" } else { "," })
                })
            }
            Self::Reset { text } => said(f, "reset by an operator", text),
            Self::Disabled { text } => said(f, "shut down by an operator", text),
            Self::Enabled => f.write_str("shutdown taken back by an operator"),
            Self::SoftIn => f.write_str("routes asked for again by an operator"),
            Self::SoftOut => f.write_str("routes sent again by an operator"),
            Self::Drained => f.write_str("drained by an operator"),
            Self::Undrained => f.write_str("no longer drained"),
            Self::LimitWaitOver => f.write_str("tried again after the prefix limit"),
            Self::HandedOver => f.write_str("taken over by another process"),
        }
    }
}
