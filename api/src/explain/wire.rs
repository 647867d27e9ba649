//! bgpd's half: the paths to a prefix, and what each peer was told about it, down to the octets.
//!
//! Answer to `GET /v1/explain/bgp/prefix/{prefix}`. Invariant: `update` is what bgpd's own encoder makes for that peer
//! today; the message that went out had the same attributes, and may have carried other prefixes beside this one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::show::prefix::LastUpdate;

/// A prefix in all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnWire {
    /// The prefix.
    pub prefix: String,
    /// The instances that run.
    pub instances: Vec<InstanceOnWire>,
}

/// A prefix in one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOnWire {
    /// The instance's name.
    pub instance: String,
    /// It was restarted and advertises nothing yet (RFC 4724 §4.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarting: bool,
    /// The paths, the best one first. None: the prefix is not in the table.
    pub paths: Vec<PathOnWire>,
    /// Every peer.
    pub peers: Vec<PeerOnWire>,
}

/// A path to the prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathOnWire {
    /// The peer it came from; absent: a route of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What a route of our own exists for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether it is the best.
    pub best: bool,
    /// Why it is the best, or why not: the label of a step of the decision, or of what keeps it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its attributes in words.
    pub attributes: String,
    /// Since when.
    pub since: LastUpdate,
}

/// What a peer was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerOnWire {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// State of the session: `Established`, ...
    pub state: String,
    /// Seconds in that state.
    pub state_seconds: u64,
    /// Why the session is down, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// Octets that wait for the peer to take them: it may not have read yet what was sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queued_octets: u64,
    /// What it was told.
    pub told: Told,
}

/// What a peer was told about a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "told")]
pub enum Told {
    /// This.
    Sent {
        /// One route, or several where the session carries several (RFC 7911).
        routes: Vec<SentOnWire>,
    },
    /// It will be told as soon as it takes more messages.
    Queued,
    /// Nothing.
    Withheld {
        /// Why, by its label: `export_policy`, `peer_down`, ...
        reason: String,
        /// The same in words, with the policy's statement.
        message: String,
    },
}

/// A route as a peer was sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentOnWire {
    /// When, to the second.
    pub sent: LastUpdate,
    /// The path identifier (RFC 7911).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_id: Option<u32>,
    /// The statement of the export policy that let it pass; absent: its default action, or there is no policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// The next hop.
    pub next_hop: String,
    /// The attributes in words.
    pub attributes: String,
    /// The UPDATE in hexadecimal digits.
    pub update: String,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
