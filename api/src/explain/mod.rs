//! `explain`: the whole way from a Kubernetes object to the octets a neighbour was sent, or the link where it ends.
//!
//! ```text
//! object ─► selected by an advertisement's entry ─► which a family of a peer selects ─► statement of the peer's policy
//!        ─► route in bgpd's table ─► sent to the peer, when, with what        every arrow may end in a named reason
//! ```
//! [`chain`] is what translation decided and recorded, [`wire`] is what bgpd did with it, [`Explanation`] has both for
//! one node and [`text`] writes it for people.
//!
//! Invariant: nothing here decides anything. Every reason is one that translation or bgpd gave, under the name that
//! findings, logs and metrics have.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub mod chain;
mod outcome;
pub mod text;
pub mod wire;

use chain::{InstanceChain, NodeFacts, ServiceFacts};
use wire::OnWire;

pub use outcome::{Outcome, Verdict};

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[schema(as = ExplainSubject)]
pub enum Subject {
    /// A Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node.
    Node {
        /// Its name.
        name: String,
    },
    /// A prefix, wherever it comes from.
    Prefix {
        /// The prefix.
        #[schema(value_type = String)]
        prefix: ipnet::IpNet,
    },
}

/// Words that name no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not {expected}")]
pub struct NoSubject {
    word: String,
    expected: &'static str,
}

impl Subject {
    /// From words as people write them: `service default/web` (without namespace: `default`), `node w1`,
    /// `prefix 10.0.0.0/24` (an address alone: its /32 or /128).
    ///
    /// # Errors
    /// They name none.
    pub fn parse(kind: &str, name: &str) -> Result<Self, NoSubject> {
        let no = |word: &str, expected| NoSubject { word: word.to_owned(), expected };
        if name.is_empty() {
            return Err(no(name, "a name"));
        }
        match kind {
            "service" | "svc" => {
                let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
                if namespace.is_empty() || name.is_empty() || name.contains('/') {
                    return Err(no(&format!("{namespace}/{name}"), "a Service; write NAMESPACE/NAME"));
                }
                Ok(Self::Service { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            "node" => Ok(Self::Node { name: name.to_owned() }),
            "prefix" => {
                let address = || name.parse().ok().map(|address: std::net::IpAddr| address.into());
                let prefix: Option<ipnet::IpNet> = name.parse().ok().or_else(address);
                match prefix {
                    Some(prefix) if prefix.trunc() != prefix => {
                        Err(no(name, "a prefix: it has bits beyond its length"))
                    }
                    Some(prefix) => Ok(Self::Prefix { prefix }),
                    None => Err(no(name, "a prefix; write 10.0.0.0/24 or 2001:db8::/64")),
                }
            }
            _ => Err(no(kind, "something to explain; write service, node or prefix")),
        }
    }

    /// The path of its page at the agent: `/v1/explain/service/default/web`.
    #[must_use]
    pub fn path(&self) -> String {
        use crate::show::command::percent_encode as segment;
        match self {
            Self::Service { namespace, name } => {
                format!("/v1/explain/service/{}/{}", segment(namespace), segment(name))
            }
            Self::Node { name } => format!("/v1/explain/node/{}", segment(name)),
            Self::Prefix { prefix } => format!("/v1/explain/prefix/{}", segment(&prefix.to_string())),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name } => write!(f, "Service {namespace}/{name}"),
            Self::Node { name } => write!(f, "Node {name}"),
            Self::Prefix { prefix } => write!(f, "Prefix {prefix}"),
        }
    }
}

/// Where and why a way ends, or something that should be known about a link of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainStop)]
pub struct Stop {
    /// The name of the reason, as findings, logs and metrics have it.
    pub reason: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// The object to blame, as `Service default/web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The reason in words, and what to do.
    pub message: String,
}

/// What one node has to say about the subject: the answer to `GET /v1/explain/...` of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The node.
    pub node: String,
    /// What was asked about.
    pub subject: Subject,
    /// The short answer.
    pub outcome: Outcome,
    /// The Services in question: the one asked about, or those that have an address in the prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceFacts>,
    /// What makes the node run BGP, or not.
    pub node_facts: NodeFacts,
    /// The way through each instance that the node is configured with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceChain>,
    /// What bgpd says.
    pub bgpd: BgpdAnswer,
}

/// bgpd's half of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "state")]
#[schema(as = ExplainBgpdAnswer)]
pub enum BgpdAnswer {
    /// It was not asked.
    NotAsked {
        /// Why.
        why: String,
    },
    /// It did not answer.
    Unreachable {
        /// What went wrong.
        error: String,
    },
    /// It answered.
    #[serde(rename_all = "camelCase")]
    Asked {
        /// Each prefix in question.
        #[serde(default)]
        prefixes: Vec<OnWire>,
        /// Every session, where a node was asked about.
        #[serde(default)]
        sessions: Vec<Session>,
        /// Whether bgpd does not have the newest intent yet.
        #[serde(default)]
        intent_pending: bool,
    },
}

/// A session as bgpd sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainSession)]
pub struct Session {
    /// The instance.
    pub instance: String,
    /// The peer's name.
    pub peer: String,
    /// Whether it is established.
    pub established: bool,
    /// Its state in Cilium's words.
    pub state: String,
    /// Since when it is established, in seconds.
    #[serde(default)]
    pub uptime_seconds: u64,
    /// Routes received.
    #[serde(default)]
    pub received: u64,
    /// Routes advertised.
    #[serde(default)]
    pub advertised: u64,
}

impl Explanation {
    /// The prefixes that the subject leads to here, by what translation decided; the prefix itself if that was asked about.
    #[must_use]
    pub fn prefixes(&self) -> Vec<ipnet::IpNet> {
        let mut prefixes: Vec<_> = self
            .instances
            .iter()
            .flat_map(InstanceChain::offered)
            .map(|(_, offered)| offered.prefix)
            .collect();
        if let Subject::Prefix { prefix } = self.subject {
            prefixes.push(prefix);
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes
    }

    /// Adds bgpd's half, and draws the conclusion from both.
    #[must_use]
    pub fn with_bgpd(mut self, bgpd: BgpdAnswer) -> Self {
        self.bgpd = bgpd;
        self.outcome = Outcome::of(&self);
        self
    }
}
