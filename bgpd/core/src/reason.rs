//! Why a session changed its state: one name for each cause.
//!
//! The history, the last reset and the events of a peer all carry a [`Reason`], so that `show`, the log and a metric
//! label say the same.
//!
//! Invariant: a session never goes down without a reason, and the reason is the first cause, not the last symptom (a hold
//! timer that expired stays that, also when closing the connection fails afterwards).

use std::fmt;
use std::sync::Arc;

use bgp_wire::{Notification, cease};

use crate::event::CloseReason;
use crate::reconfigure::ConfigField;

/// Why a session changed its state.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer was configured, enabled or reset, or its idle hold ended.
    Started,
    /// A dial came through.
    Connected,
    /// The peer's connection was accepted.
    Accepted,
    /// An acceptable OPEN came in.
    OpenReceived,
    /// A KEEPALIVE confirmed our OPEN.
    OpenConfirmed,
    /// It is time to dial again.
    RetryTime,
    /// A dial did not come through: the system's words.
    ConnectFailed(Arc<str>),
    /// The connection ended without a NOTIFICATION.
    Closed(CloseReason),
    /// The peer sent a NOTIFICATION.
    NotificationReceived(Notification),
    /// Nothing came from the peer for the whole hold time.
    HoldTimerExpired,
    /// The peer took nothing from us for the whole send hold time (RFC 9687).
    SendHoldTimerExpired,
    /// The peer sent something that ends a session: what was wrong, and the answer.
    ProtocolError {
        /// What was wrong.
        fault: Arc<str>,
        /// The NOTIFICATION sent.
        notification: Notification,
    },
    /// The peer's OPEN cannot be accepted: why, and the answer.
    OpenRefused {
        /// Why.
        fault: Arc<str>,
        /// The NOTIFICATION sent.
        notification: Notification,
    },
    /// Another connection to the same peer was preferred (RFC 4271 §6.8).
    CollisionLost,
    /// The peer passed its prefix limit.
    PrefixLimit {
        /// The limit.
        limit: u32,
    },
    /// An operator reset the session.
    AdminReset {
        /// What the operator said.
        text: Option<Arc<str>>,
    },
    /// An operator or the configuration shut the peer down.
    AdminShutdown {
        /// What the operator said.
        text: Option<Arc<str>>,
    },
    /// The peer was taken out of the configuration.
    PeerRemoved,
    /// These fields of the configuration changed.
    ConfigChanged(Vec<ConfigField>),
    /// Another process took over while no session was up.
    HandedOver,
    /// The process ends.
    Stopped {
        /// What the operator said.
        text: Option<Arc<str>>,
    },
}

impl Reason {
    /// The variant's name, for logs and metric labels.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Connected => "connected",
            Self::Accepted => "accepted",
            Self::OpenReceived => "open-received",
            Self::OpenConfirmed => "open-confirmed",
            Self::RetryTime => "retry-time",
            Self::ConnectFailed(_) => "connect-failed",
            Self::Closed(_) => "closed",
            Self::NotificationReceived(_) => "notification-received",
            Self::HoldTimerExpired => "hold-timer-expired",
            Self::SendHoldTimerExpired => "send-hold-timer-expired",
            Self::ProtocolError { .. } => "protocol-error",
            Self::OpenRefused { .. } => "open-refused",
            Self::CollisionLost => "collision-lost",
            Self::PrefixLimit { .. } => "prefix-limit",
            Self::AdminReset { .. } => "admin-reset",
            Self::AdminShutdown { .. } => "admin-shutdown",
            Self::PeerRemoved => "peer-removed",
            Self::ConfigChanged(_) => "config-changed",
            Self::HandedOver => "handed-over",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Whether the peer did not want the connection at all (RFC 4486 §4).
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, Self::NotificationReceived(received)
            if (received.code, received.subcode) == (CEASE, cease::CONNECTION_REJECTED))
    }

    /// The NOTIFICATION that came or went for this reason, if one did.
    #[must_use]
    pub const fn notification(&self) -> Option<&Notification> {
        match self {
            Self::NotificationReceived(notification)
            | Self::ProtocolError { notification, .. }
            | Self::OpenRefused { notification, .. } => Some(notification),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, what: &str, text: &Option<Arc<str>>| match text {
            Some(text) => write!(f, "{what}: {text:?}"),
            None => f.write_str(what),
        };
        match self {
            Self::Started => f.write_str("started"),
            Self::Connected => f.write_str("connected"),
            Self::Accepted => f.write_str("connection accepted"),
            Self::OpenReceived => f.write_str("OPEN received"),
            Self::OpenConfirmed => f.write_str("OPEN confirmed"),
            Self::RetryTime => f.write_str("time to dial"),
            Self::ConnectFailed(text) => write!(f, "connect failed: {text}"),
            Self::Closed(reason) => write!(f, "connection lost: {reason}"),
            Self::NotificationReceived(notification) => write!(f, "NOTIFICATION received: {notification}"),
            Self::HoldTimerExpired => f.write_str("hold timer expired"),
            Self::SendHoldTimerExpired => f.write_str("send hold timer expired"),
            Self::ProtocolError { fault, notification } => {
                write!(f, "{fault}; NOTIFICATION sent: {notification}")
            }
            Self::OpenRefused { fault, notification } => {
                write!(f, "OPEN refused, {fault}; NOTIFICATION sent: {notification}")
            }
            Self::CollisionLost => f.write_str("another connection to the same peer was preferred"),
            Self::PrefixLimit { limit } => write!(f, "more than {limit} prefixes received"),
            Self::AdminReset { text } => said(f, "reset by an operator", text),
            Self::AdminShutdown { text } => said(f, "shut down by an operator", text),
            Self::PeerRemoved => f.write_str("peer removed from the configuration"),
            Self::ConfigChanged(fields) => {
                f.write_str("configuration changed:")?;
                fields.iter().enumerate().try_for_each(|(position, field)| {
                    write!(f, "{} {field}", if position == 0 { "" } else { "," })
                })
            }
            Self::HandedOver => f.write_str("another process took over"),
            Self::Stopped { text } => said(f, "speaker stopped", text),
        }
    }
}

/// Error code of Cease.
const CEASE: u8 = 6;
