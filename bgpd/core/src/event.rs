//! What goes over the edge of the core: commands in, actions and events out.
//!
//! Actions are what the driver must do, events what an operator may want to see. Both are values; the core never learns
//! what was done with an event.
//!
//! Invariant: every refusal and every change of a session's state is one of these, with a reason that has a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Family, FamilySet, Notification, cease};
use bytes::Bytes;

use crate::config::{LimitAction, Protection};
use crate::gr::helper::SweepCause;
use crate::ids::{ConnId, PeerId};
use crate::reason::Reason;
use crate::session::State;
use crate::time::Time;

/// How many octets a driver queues for one connection. The core hands out no more UPDATEs than fit; the driver reports
/// `free = SEND_QUEUE_LEN - queued` by [`crate::Speaker::handle_writable`].
pub const SEND_QUEUE_LEN: usize = 256 * 1024;

/// Something the driver must do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Dial. Ends in [`crate::Speaker::handle_connected`] or [`crate::Speaker::handle_connect_failed`].
    Connect(Connect),
    /// Write what [`crate::Speaker::poll_transmit`] gave for this connection, as far as the peer takes it within a second
    /// or so, then close. Of a dial that has not come through: give it up. Nothing is reported back.
    Close {
        /// The connection. It may already be gone.
        conn: ConnId,
    },
    /// Give a connection other keys and TTLs, while it goes on. If that cannot be done, it must end:
    /// [`crate::Speaker::handle_closed`] with the reason.
    Protect {
        /// The connection. It may already be gone.
        conn: ConnId,
        /// What it had.
        before: Protection,
        /// What it needs from now on.
        after: Protection,
    },
}

/// A connection to dial.
#[derive(Clone, Debug)]
pub struct Connect {
    /// For which peer.
    pub peer: PeerId,
    /// Its number from now on.
    pub conn: ConnId,
    /// Where to.
    pub remote: SocketAddr,
    /// From which address. Absent: the kernel's choice.
    pub local: Option<IpAddr>,
    /// On which interface. It is the scope of a link-local `remote`.
    pub interface: Option<Arc<str>>,
    /// Keys and TTLs. What cannot be set must fail the dial.
    pub protection: Protection,
}

/// Octets to send on one connection, whole messages in order.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// On which connection.
    pub conn: ConnId,
    /// What.
    pub bytes: Bytes,
    /// When it should have gone out: set for a KEEPALIVE that its timer sends, so that a driver can tell how late it is.
    pub due: Option<Time>,
}

/// Both ends of a connection, and which of our addresses a next hop to ourselves can name.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Our IPv4 address on the session's interface.
    pub local_v4: Option<Ipv4Addr>,
    /// Our global IPv6 address on the session's interface.
    pub local_v6: Option<Ipv6Addr>,
    /// Our link-local IPv6 address on the session's interface, if the peer shares the link.
    pub link_local: Option<Ipv6Addr>,
}

impl Endpoints {
    /// The two ends, and of our other addresses only what the local end itself says. IPv4 addresses that a socket for
    /// both families gave as IPv6 ones (`::ffff:192.0.2.1`) become what they are.
    #[must_use]
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let [local, remote] = [local, remote].map(|end| match end.ip().to_canonical() {
            v4 @ IpAddr::V4(_) => SocketAddr::new(v4, end.port()),
            IpAddr::V6(_) => end,
        });
        let (mut local_v4, mut local_v6, mut link_local) = (None, None, None);
        match local.ip() {
            IpAddr::V4(v4) => local_v4 = Some(v4),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => link_local = Some(v6),
            IpAddr::V6(v6) => local_v6 = Some(v6),
        }
        Self { local, remote, local_v4, local_v6, link_local }
    }
}

/// Why a connection ended, as the driver saw it.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it in order.
    Eof,
    /// The peer reset it, the network failed, or the socket did: the system's words.
    Error(Arc<str>),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("closed by the peer"),
            Self::Error(text) => f.write_str(text),
        }
    }
}

/// Why an accepted connection is not wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptRefusal {
    /// No peer has this address.
    #[error("no peer is configured with address {remote}")]
    UnknownPeer {
        /// Where it came from.
        remote: IpAddr,
    },
    /// A peer has the address, but another of ours was dialed.
    #[error("peer {peer:?} is configured with local address {expected}, the connection came to {actual}")]
    LocalAddress {
        /// The peer's name.
        peer: Arc<str>,
        /// As configured.
        expected: IpAddr,
        /// As dialed.
        actual: IpAddr,
    },
    /// There are as many dynamic neighbours as may be.
    #[error("there are {limit} dynamic neighbours of {group:?} already, as many as its limit allows")]
    DynamicLimit {
        /// Which dynamic neighbours.
        group: Arc<str>,
        /// Their limit.
        limit: u32,
    },
    /// The peer is shut down.
    #[error("peer {peer:?} is administratively down")]
    AdminDown {
        /// The peer's name.
        peer: Arc<str>,
        /// What the operator said. A peer that tries again is told again, or its operator would see a bare refusal instead.
        text: Option<Arc<str>>,
    },
    /// The peer sent too many prefixes, and waits for an operator or for some time.
    #[error("peer {peer:?} passed its prefix limit and is kept down; reset it to let it in")]
    PrefixLimit {
        /// The peer's name.
        peer: Arc<str>,
    },
    /// The peer failed so often that it has to wait.
    #[error("peer {peer:?} failed repeatedly and is refused for another {} s", remaining.as_secs_f32().ceil())]
    IdleHold {
        /// The peer's name.
        peer: Arc<str>,
        /// For how long.
        remaining: Duration,
    },
    /// The session is up (RFC 4271 §6.8).
    #[error("peer {peer:?} already has an established session")]
    AlreadyEstablished {
        /// The peer's name.
        peer: Arc<str>,
    },
    /// Another accepted connection is further than this one.
    #[error("another connection from peer {peer:?} is being set up")]
    AlreadyConnecting {
        /// The peer's name.
        peer: Arc<str>,
    },
    /// The driver gave this number before.
    #[error("connection number {0:?} is in use")]
    DuplicateConnection(ConnId),
}

impl AcceptRefusal {
    /// The NOTIFICATION to write before closing (RFC 4486).
    #[must_use]
    pub fn notification(&self) -> Notification {
        let subcode = match self {
            Self::AdminDown { .. } => cease::ADMINISTRATIVE_SHUTDOWN,
            Self::PrefixLimit { .. } => cease::MAXIMUM_PREFIXES,
            Self::AlreadyEstablished { .. } | Self::AlreadyConnecting { .. } => cease::COLLISION_RESOLUTION,
            Self::UnknownPeer { .. }
            | Self::LocalAddress { .. }
            | Self::DynamicLimit { .. }
            | Self::IdleHold { .. }
            | Self::DuplicateConnection(_) => cease::CONNECTION_REJECTED,
        };
        let text = match self {
            Self::AdminDown { text, .. } => text.as_deref(),
            _ => None,
        };
        Notification::cease(subcode, text)
    }

    /// The variant's name, for logs and metric labels.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownPeer { .. } => "unknown-peer",
            Self::LocalAddress { .. } => "local-address",
            Self::DynamicLimit { .. } => "dynamic-limit",
            Self::AdminDown { .. } => "admin-down",
            Self::PrefixLimit { .. } => "prefix-limit",
            Self::IdleHold { .. } => "idle-hold",
            Self::AlreadyEstablished { .. } => "already-established",
            Self::AlreadyConnecting { .. } => "already-connecting",
            Self::DuplicateConnection(_) => "duplicate-connection",
        }
    }
}

/// What an operator may tell the speaker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close the session and start again at once (Cease, Administrative Reset). Also ends a prefix limit's wait.
    Reset {
        /// Which peer.
        peer: PeerId,
        /// Shutdown communication (RFC 9003).
        text: Option<Arc<str>>,
    },
    /// Close the session and keep it down (Cease, Administrative Shutdown). Lasts until [`Command::Enable`] or a restart.
    Disable {
        /// Which peer.
        peer: PeerId,
        /// Shutdown communication (RFC 9003).
        text: Option<Arc<str>>,
    },
    /// Take back [`Command::Disable`].
    Enable {
        /// Which peer.
        peer: PeerId,
    },
    /// Ask the peer to send its routes again (RFC 2918).
    SoftIn {
        /// Which peer.
        peer: PeerId,
        /// Which family. Absent: all negotiated.
        family: Option<Family>,
    },
    /// Send our routes again.
    SoftOut {
        /// Which peer.
        peer: PeerId,
        /// Which family. Absent: all negotiated.
        family: Option<Family>,
    },
    /// The session is about to end: tell the peer and prefer other paths to its (RFC 8326). The session stays. Lasts until
    /// [`Command::Undrain`] or a restart.
    Drain {
        /// Which peer.
        peer: PeerId,
    },
    /// Take back [`Command::Drain`].
    Undrain {
        /// Which peer.
        peer: PeerId,
    },
    /// The process ends: close every session (Cease, Administrative Shutdown) and dial no more.
    Stop {
        /// Shutdown communication (RFC 9003).
        text: Option<Arc<str>>,
    },
    /// The process ends and another one takes over ([`crate::Speaker::restarting`]): as [`Command::Stop`], but connections
    /// to peers that keep our routes meanwhile (RFC 4724) end without a NOTIFICATION.
    Leave,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefusal {
    /// The peer is gone.
    #[error("no such peer")]
    UnknownPeer,
    /// Nobody to ask.
    #[error("the session is not established")]
    NotEstablished,
    /// RFC 2918 needs both sides.
    #[error("the peer did not offer route refresh; reset the session instead")]
    NoRouteRefresh,
    /// Only the configuration can take that back.
    #[error("gracefulShutdown is set in the configuration; take it out there")]
    DrainedByConfig,
    /// The family is not on this session.
    #[error("{0} was not negotiated on this session")]
    FamilyNotNegotiated(Family),
}

/// What ended a refresh.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RefreshEnd {
    /// The peer said so (EoRR).
    Marker,
    /// The peer said nothing for too long.
    Timeout,
}

/// Why a ROUTE-REFRESH was ignored.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshFault {
    /// Of a family that is not on the session.
    #[error("the family was not negotiated")]
    FamilyNotNegotiated,
    /// A marker, or an unknown subtype.
    #[error("enhanced route refresh was not negotiated")]
    NotNegotiated,
    /// RFC 7313 §5.
    #[error("the subtype is unknown")]
    UnknownSubtype,
    /// RFC 7313 §4.2: a peer that can restart sends End-of-RIB first.
    #[error("a refresh began before End-of-RIB")]
    BeforeEndOfRib,
    /// A peer that begins all the time would have us look at our table all the time.
    #[error("the last refresh began less than a second ago")]
    TooSoon,
    /// An end without a beginning.
    #[error("no refresh had begun")]
    WithoutBegin,
}

impl RefreshFault {
    /// The variant's name, for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FamilyNotNegotiated => "family-not-negotiated",
            Self::NotNegotiated => "not-negotiated",
            Self::UnknownSubtype => "unknown-subtype",
            Self::BeforeEndOfRib => "before-end-of-rib",
            Self::TooSoon => "too-soon",
            Self::WithoutBegin => "without-begin",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// To which peer. Its name and address follow from [`crate::Speaker::peer`], unless it was just removed.
    pub peer: PeerId,
    /// The peer's name.
    pub name: Arc<str>,
    /// What.
    pub kind: EventKind,
}

/// What happened to a peer.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The session's state changed.
    StateChanged {
        /// Before.
        from: State,
        /// Now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// A NOTIFICATION went out.
    NotificationSent(Notification),
    /// A NOTIFICATION came in.
    NotificationReceived(Notification),
    /// A dial did not come through.
    ConnectFailed {
        /// The system's words.
        text: Arc<str>,
    },
    /// One of two connections was closed (RFC 4271 §6.8).
    CollisionResolved {
        /// The one that was closed.
        closed: ConnId,
        /// The one that stays.
        kept: ConnId,
    },
    /// An UPDATE had malformed attributes and the session was kept (RFC 7606).
    MalformedUpdate {
        /// What was wrong with each.
        errors: Vec<bgp_wire::AttributeError>,
        /// Its routes were withdrawn; else only the attributes were dropped.
        withdrawn: bool,
    },
    /// The peer passed its prefix limit.
    PrefixLimit {
        /// In which family.
        family: Family,
        /// The limit.
        limit: u32,
        /// What that means for the session.
        action: LimitAction,
    },
    /// The peer comes near its prefix limit.
    PrefixWarning {
        /// In which family.
        family: Family,
        /// The limit.
        limit: u32,
        /// How many it has.
        prefixes: u32,
    },
    /// The peer has sent all it had when the session came up (RFC 4724 §2).
    EndOfRib {
        /// In which family.
        family: Family,
        /// How long after the session came up.
        after: Duration,
    },
    /// The session ended and the peer may be back: its routes stay in use (RFC 4724 §4.2).
    StaleKept {
        /// Of which families.
        families: FamilySet,
        /// How many.
        routes: u32,
        /// How long the peer is waited for.
        within: Duration,
    },
    /// The peer was not back within its Restart Time: its routes are kept as a last resort, with LLGR_STALE (RFC 9494).
    LongLivedBegun {
        /// Of which family.
        family: Family,
        /// How many.
        routes: u32,
        /// For how long.
        within: Duration,
    },
    /// Routes that were kept and not sent again are gone.
    StaleSwept {
        /// Of which family.
        family: Family,
        /// How many.
        routes: u32,
        /// Why now.
        cause: SweepCause,
    },
    /// The peer has not taken all that was queued for it for a while: it reads too slowly, or not at all.
    SlowPeer {
        /// Octets that wait in the driver's queue.
        queued: usize,
        /// For how long the queue has not been empty.
        since: Duration,
    },
    /// A slow peer has taken all that was queued, or its session ended.
    SlowPeerOver {
        /// For how long it was slow.
        lasted: Duration,
    },
    /// Paths that the peer announced were not taken in: it may have only so many to one prefix (RFC 7911 sets no bound).
    PathsRefused {
        /// How many.
        paths: u32,
        /// How many to one prefix it may have.
        most: usize,
    },
    /// The peer asked for our routes again.
    RefreshRequested {
        /// In which family.
        family: Family,
    },
    /// The peer begins to send its routes again (RFC 7313): those it had sent are stale until it does.
    RefreshBegan {
        /// In which family.
        family: Family,
        /// How many.
        routes: u32,
    },
    /// The peer has sent its routes again, or took too long: those it did not send are gone.
    RefreshOver {
        /// In which family.
        family: Family,
        /// How many were not sent again.
        routes: u32,
        /// What ended it.
        end: RefreshEnd,
    },
    /// A ROUTE-REFRESH meant nothing.
    RefreshIgnored {
        /// Its family.
        family: Family,
        /// Its subtype.
        subtype: u8,
        /// Why.
        fault: RefreshFault,
    },
}
