//! `show bgp neighbors X history`: what happened to a session, kinds apart and newest first. FRR has no such command; the
//! keys follow its style.
//!
//! Invariant: the text is rendered from the JSON value alone, so both always say the same.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ordered::Ordered;
use super::summary::PeerState;
use super::text;

/// One neighbour's history, under the name it is listed by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = ShowNeighborHistories)]
pub struct NeighborHistories(
    /// The neighbour.
    pub Ordered<NeighborHistory>,
);

/// What happened to one session since bgpd knows the neighbour. Every list is bounded; what repeats is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowNeighborHistory)]
pub struct NeighborHistory {
    /// The neighbour's name in the configuration.
    pub peer_name: String,
    /// Its ASN; 0 while it is not known.
    pub remote_as: u32,
    /// State of the session.
    pub bgp_state: PeerState,
    /// For how long it has been in it.
    pub bgp_state_msecs: u64,
    /// How often the session came up.
    pub connections_established: u64,
    /// How often it went down.
    pub connections_dropped: u64,
    /// Sessions that were Established and ended. The cause is the first one; what failed later is no part of it.
    pub ended_sessions: Vec<Ended>,
    /// Attempts that got as far as messages and failed.
    pub failed_attempts: Vec<Ended>,
    /// NOTIFICATIONs both ways.
    pub notifications: Vec<NotificationNoted>,
    /// What operators and changed configurations wanted of the session.
    pub orders: Vec<OrderNoted>,
    /// Changes of the session's state.
    pub state_changes: Vec<StateChangeNoted>,
}

/// When something happened, and how often in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryWhen)]
pub struct When {
    /// In seconds since 1970.
    pub epoch: u64,
    /// How long ago.
    pub ago_msecs: u64,
    /// How often, 1 for once.
    pub times: u32,
    /// When it happened first, if it did several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_epoch: Option<u64>,
}

/// The end of a session or of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryEnded)]
pub struct Ended {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// The cause's name: `hold-timer-expired`.
    pub cause: String,
    /// The cause in words.
    pub reason: String,
    /// How long the session had been Established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_msecs: Option<u64>,
    /// The NOTIFICATION that went with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
}

/// A NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryNotification)]
pub struct Notification {
    /// `sent` or `received`.
    pub direction: Direction,
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Both in words: `Cease/Administrative Shutdown`.
    pub reason: String,
    /// What a hard reset (RFC 8538) carries inside, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_reset_of: Option<String>,
    /// The operator's words (RFC 9003). Control characters are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_description: Option<String>,
    /// Its data in hexadecimal, at most the first 512 octets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShowHistoryDirection)]
pub enum Direction {
    /// From us.
    Sent,
    /// To us.
    Received,
}

/// A NOTIFICATION and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryNotificationNoted)]
pub struct NotificationNoted {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// What.
    #[serde(flatten)]
    pub notification: Notification,
}

/// An order and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryOrder)]
pub struct OrderNoted {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// What was wanted, in words.
    pub order: String,
}

/// A change of state and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHistoryStateChange)]
pub struct StateChangeNoted {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// Before.
    pub from: PeerState,
    /// After.
    pub to: PeerState,
    /// Why.
    pub reason: String,
}

impl NeighborHistories {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let blocks: Vec<String> = self.0.iter().map(|(key, history)| history.to_text(key)).collect();
        blocks.join("\n")
    }
}

impl NeighborHistory {
    fn to_text(&self, key: &str) -> String {
        let mut out = String::new();
        let state = self.bgp_state.name();
        _ = writeln!(
            out,
            "BGP neighbor {key} ({}), remote AS {}: {state} for {}",
            self.peer_name,
            self.remote_as,
            text::uptime(self.bgp_state_msecs / 1000)
        );
        _ = writeln!(
            out,
            "  Connections established {}; dropped {}",
            self.connections_established, self.connections_dropped
        );
        block(&mut out, "Sessions that ended", &self.ended_sessions, |ended| (&ended.when, ended.lines()));
        block(&mut out, "Attempts that failed", &self.failed_attempts, |ended| (&ended.when, ended.lines()));
        block(&mut out, "Notifications", &self.notifications, |noted| {
            (&noted.when, vec![noted.notification.line()])
        });
        block(&mut out, "Orders", &self.orders, |noted| (&noted.when, vec![noted.order.clone()]));
        block(&mut out, "States", &self.state_changes, |noted| {
            let change = format!("{} -> {}", noted.from.name(), noted.to.name());
            (&noted.when, vec![format!("{change:<26} {}", noted.reason)])
        });
        out
    }
}

/// One kind of entries: a line for each, its details below it.
fn block<T>(out: &mut String, title: &str, entries: &[T], row: impl Fn(&T) -> (&When, Vec<String>)) {
    _ = writeln!(out, "\n  {title}, newest first:");
    if entries.is_empty() {
        _ = writeln!(out, "    none");
    }
    for entry in entries {
        let (when, lines) = row(entry);
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        let times = if when.times > 1 { format!(" ({} times)", when.times) } else { String::new() };
        let ago = text::uptime(when.ago_msecs / 1000);
        _ = writeln!(out, "    {}  {ago:>9} ago  {first}{times}", text::date(when.epoch));
        for line in lines {
            _ = writeln!(out, "{:45}{line}", "");
        }
    }
}

impl Ended {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.reason.clone()];
        if let Some(lasted) = self.lasted_msecs {
            lines.push(format!("after {} in Established", text::uptime(lasted / 1000)));
        }
        // One that was received is in the reason already.
        let sent = self.notification.as_ref().filter(|one| one.direction == Direction::Sent);
        lines.extend(sent.map(Notification::line));
        lines
    }
}

impl Notification {
    fn line(&self) -> String {
        let way = match self.direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        let mut line = format!("{way:<8} {}/{} {}", self.code, self.subcode, self.reason);
        if let Some(inner) = &self.hard_reset_of {
            _ = write!(line, " of {inner}");
        }
        match &self.shutdown_description {
            Some(words) => _ = write!(line, ": {words:?}"),
            None if !self.data.is_empty() => _ = write!(line, ", data {}", self.data),
            None => {}
        }
        line
    }
}
