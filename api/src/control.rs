//! What bgpd answers outside of the show commands: errors, intents and their effect, health.
//!
//! Invariant: every answer with a status of 400 or more has an [`ErrorBody`], whatever went wrong.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What was wrong, where, and what to do instead.
    pub error: String,
    /// The field of the request body that is to blame, as `instances[0].peers[2].timers.holdSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl ErrorBody {
    /// A refusal that no single field is to blame for.
    #[must_use]
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), field: None }
    }
}

impl From<&crate::intent::InvalidIntent> for ErrorBody {
    fn from(invalid: &crate::intent::InvalidIntent) -> Self {
        Self { error: invalid.to_string(), field: Some(invalid.field.clone()) }
    }
}

/// Answer to `PUT` and `DELETE /v1/intents/{owner}`: what changed, in the order it was applied. Empty: nothing had to.
/// Changes that came together are applied together, and then each of them is answered with all that was done. With
/// `?dry_run`, what would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// One entry per instance, peer or set of routes that changed.
    pub changes: Vec<Change>,
    /// How many peers of the instances nothing was done to.
    #[serde(default, rename = "unchangedPeers")]
    pub unchanged_peers: usize,
    /// What of this owner's intent is not in force, because another owner came first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// A value that one owner wants and another owner, first by name, has decided differently. `file` comes before all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The instance's name.
    pub instance: String,
    /// The peer's name, when the value is a peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What kind of conflict.
    pub kind: ConflictKind,
    /// The field, as in the intent: `timers.holdSeconds`; for a route its prefix.
    pub field: String,
    /// The owner whose value is in force.
    pub winner: String,
    /// The owner whose value is not.
    pub loser: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, peer, kind, field, winner, loser } = self;
        write!(f, "{instance}")?;
        if let Some(peer) = peer {
            write!(f, "/{peer}")?;
        }
        write!(f, ": {field} of owner {loser} is not in force: ")?;
        match kind {
            ConflictKind::DifferentValue => write!(f, "owner {winner} set another value"),
            ConflictKind::PeerAddressTaken => write!(f, "owner {winner} has another peer with this address"),
            ConflictKind::ListenPortTaken => write!(f, "owner {winner} has another instance on this port"),
            ConflictKind::RouteTaken => write!(f, "owner {winner} originates it with other attributes"),
            ConflictKind::NotApplicable => write!(f, "it does not fit the instance of owner {winner}"),
        }
    }
}

/// Why two owners cannot both have what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConflictKind {
    /// Both set the same parameter of the same instance or peer, differently.
    DifferentValue,
    /// Two peers of different names have the same address.
    PeerAddressTaken,
    /// Two instances want to listen on the same port of the same address.
    ListenPortTaken,
    /// Both originate the same prefix, with different attributes.
    RouteTaken,
    /// It is valid alone but not in the instance that another owner has set up, such as a passive peer of an instance
    /// that does not listen.
    NotApplicable,
}

/// One effect of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The instance's name.
    pub instance: String,
    /// The peer's name, when the change is a peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What was done.
    pub effect: Effect,
    /// Why, for people: `hold time 90 -> 9`, `3 routes added, 1 withdrawn`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Each field of the peer that changed, what that costs its session, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// One field of a peer that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field, as in the intent: `timers.holdSeconds`.
    pub field: String,
    /// What it costs this session: `none`, `next session` (in force when the next session begins), `soft` (routes are
    /// evaluated again) or `reset`.
    pub cost: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.instance)?;
        if let Some(peer) = &self.peer {
            write!(f, "/{peer}")?;
        }
        write!(f, ": {}", self.effect)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        Ok(())
    }
}

/// What an intent did to an instance, a peer or a set of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It is new.
    Added,
    /// It is gone: sessions closed, routes withdrawn.
    Removed,
    /// The session was closed and is being opened again, because the change cannot be made on a live one.
    SessionReset,
    /// The session stayed up; the change is in force from now on.
    SessionKept,
    /// The session stayed up; routes were evaluated again and only differences were sent.
    PolicyReapplied,
    /// The instance's own routes changed.
    RoutesChanged,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::SessionReset => "session reset",
            Self::SessionKept => "changed, session kept",
            Self::PolicyReapplied => "policy applied again, session kept",
            Self::RoutesChanged => "routes changed",
        })
    }
}

/// One row of `GET /v1/intents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentSummary {
    /// Who put it. `file` is the configuration file.
    pub owner: String,
    /// How many instances it names.
    pub instances: usize,
    /// How many peers, over all instances.
    pub peers: usize,
    /// How many routes it originates, over all instances.
    pub routes: usize,
    /// Seconds since it was last put.
    pub age_seconds: u64,
    /// Seconds after which it goes away unless it is put again. Absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
}

/// Answer to `GET /v1/health`: bgpd takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Always `ok`; a bgpd that is not ready does not answer.
    pub status: String,
    /// bgpd's version.
    pub version: String,
    /// Seconds since bgpd started. A number smaller than last time means a restart.
    pub uptime_seconds: u64,
    /// Running instances.
    pub instances: usize,
    /// The kernel has TCP-AO (RFC 5925). Without it, sessions with `tcpAo` stay down.
    #[serde(default)]
    pub tcp_ao: bool,
}
