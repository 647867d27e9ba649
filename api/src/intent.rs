//! The intent: everything one owner (the agent, the configuration file, a person) wants a bgpd to do.
//!
//! An intent is level-triggered: `PUT /v1/intents/{owner}` replaces all that this owner wanted before, and bgpd applies
//! the difference. The same types are the body of bgpd's YAML configuration file, whose owner is `file`. Several owners
//! may name the same instance and the same peer: session parameters come from the first owner (by name) and must be
//! equal or absent elsewhere, routes and export statements add up.
//!
//! Invariant: an [`Intent`] that passes [`Intent::validate`] can be applied whole; nothing in it is refused later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod security;
mod template;
mod validate;

pub use security::{Secret, TcpAo, TcpAoAlgorithm, TcpAoKey};
pub use template::{DEFAULT_LIMIT, DynamicPeers, PeerGroup, TakenOver};
pub use validate::{InvalidIntent, Problem};

/// Everything one owner wants. An empty intent wants nothing: its instances, peers and routes go away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    /// Seconds for which bgpd keeps this intent after its owner stopped renewing it. Absent: until it is replaced or
    /// deleted, whatever happens to the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
    /// BGP instances, one speaker each, by unique name.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// One BGP speaker: its own ASN, router ID, RIB and, if wanted, listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    /// Name, unique in the process. Metrics and show commands carry it.
    pub name: String,
    /// Local autonomous system number, 1 to 4294967295 (RFC 6793). 23456 is refused.
    #[serde(rename = "localASN")]
    pub local_asn: u32,
    /// BGP Identifier (RFC 6286): any IPv4 address but 0.0.0.0.
    #[serde(rename = "routerID")]
    #[schema(value_type = String)]
    pub router_id: Ipv4Addr,
    /// TCP port to listen on for configured peers. Absent: no listener, an active-only speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
    /// Local addresses to listen on. Empty: all, IPv4 and IPv6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub listen_addresses: Vec<IpAddr>,
    /// Parameters that several peers share. A peer names its group, and what it says itself wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer_groups: Vec<PeerGroup>,
    /// Neighbours, by unique name.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// Neighbours that are known only by where they come from, by unique name. They need `listenPort`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_peers: Vec<DynamicPeers>,
    /// Routes this instance originates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Largest number of equal paths kept as multipath, 1 to 128. Absent: 1, no multipath.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_paths: Option<u8>,
    /// Whether paths of equal AS_PATH length but different content may be multipath together.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multipath_relax: bool,
    /// What this instance does when it was restarted (RFC 4724 §4.1). Absent: the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<InstanceRestart>,
    /// All sessions of this instance are about to end, see [`Peer::graceful_shutdown`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub graceful_shutdown: bool,
}

/// What an instance does when it was restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceRestart {
    /// For how many seconds nothing is advertised at most, whoever has not sent its End-of-RIB yet, 1 to 3600. Default 360.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_deferral_seconds: Option<u16>,
}

/// One neighbour. It is identified by name; a changed address or ASN is another session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Name, unique in the instance.
    pub name: String,
    /// Address of the neighbour. An IPv6 link-local address needs [`Peer::interface`].
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The peer group whose parameters this one takes over where it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The neighbour's ASN. Absent or 0: whatever it says in its OPEN.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    pub peer_asn: Option<u32>,
    /// TCP port of the neighbour. Default 179.
    #[serde(default = "default_port", skip_serializing_if = "is_default_port")]
    pub port: u16,
    /// Source address of the session. Absent: the kernel's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub local_address: Option<IpAddr>,
    /// Interface the session is bound to (scope of a link-local address).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Never dial, only accept. Needs the instance's `listenPort`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub passive: bool,
    /// Administratively down: configured, shown, not connected.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shutdown: bool,
    /// Free text for people, as FRR's `description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Session timers.
    #[serde(default)]
    pub timers: Timers,
    /// TTL of an eBGP session: absent or 1 means directly connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multihop: Option<u8>,
    /// TTL security (RFC 5082): the neighbour is at most this many hops away, 1 to 255, and what comes from further is
    /// dropped by the kernel. Both ends need it. Not together with `ebgpMultihop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_security_hops: Option<u8>,
    /// TCP MD5 password (RFC 2385). Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    /// TCP-AO keys (RFC 5925). Not together with `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_ao: Option<TcpAo>,
    /// Graceful restart (RFC 4724). Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<GracefulRestart>,
    /// Families to negotiate. Empty: IPv4 and IPv6 unicast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<Family>,
    /// Several paths per prefix (RFC 7911). Absent: one, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_path: Option<AddPath>,
    /// What is accepted from this neighbour. Absent: everything that RFC 4271 allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Policy>,
    /// What is sent to this neighbour. Absent: the instance's own and learned routes, by the rules of RFC 4271.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Policy>,
    /// How many prefixes are accepted per family: a number, above which the session is closed, or what happens in detail.
    /// Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<MaxPrefixes>,
    /// The neighbour is a route reflector client (RFC 4456). iBGP only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub route_reflector_client: bool,
    /// What this instance is to the neighbour (RFC 9234): the neighbour is told, must be the counterpart, and routes only go
    /// where such a relation lets them (ONLY_TO_CUSTOMER). eBGP only. Absent: nothing of all that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Refuse a neighbour that does not say its role. Needs [`Peer::role`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict_role: bool,
    /// The session is about to end (RFC 8326): routes are sent again with GRACEFUL_SHUTDOWN, or LOCAL_PREF 0 to an internal
    /// neighbour, and every other path is preferred to the neighbour's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub graceful_shutdown: bool,
    /// Do not believe the neighbour when it sends GRACEFUL_SHUTDOWN. Else its path gets LOCAL_PREF 0. eBGP only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_graceful_shutdown: bool,
}

/// What we are to a neighbour (RFC 9234 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PeerRole)]
pub enum Role {
    /// We provide transit; the neighbour is our customer.
    Provider,
    /// We are a route server; the neighbour is our client.
    RsServer,
    /// We are the client of a route server.
    RsClient,
    /// We get transit; the neighbour is our provider.
    Customer,
    /// Neither pays the other.
    Peer,
}

/// How many prefixes a neighbour may have per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "write a number, or {limit, warningPercent, action: warn|stop|restart, restartSeconds}"
)]
pub enum MaxPrefixes {
    /// So many; above, the session is closed until someone resets it.
    Limit(u32),
    /// In detail.
    Rules(PrefixRules),
}

/// A prefix limit in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrefixRules {
    /// Largest number of prefixes, 1 to 4294967295.
    pub limit: u32,
    /// Percentage of the limit above which a warning is logged and counted, 1 to 100. Default 75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning_percent: Option<u8>,
    /// What happens above the limit. Default `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<LimitAction>,
    /// With `restart`: for how many seconds the session stays closed, 1 to 86400. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_seconds: Option<u32>,
}

/// What happens above a prefix limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitAction {
    /// A warning is logged; the session and its routes stay.
    Warn,
    /// The session is closed until someone resets it.
    #[default]
    Stop,
    /// The session is closed and opened again after a while.
    Restart,
}

impl MaxPrefixes {
    /// The same in detail.
    #[must_use]
    pub fn rules(self) -> PrefixRules {
        match self {
            Self::Limit(limit) => {
                PrefixRules { limit, warning_percent: None, action: None, restart_seconds: None }
            }
            Self::Rules(rules) => rules,
        }
    }
}

/// Session timers, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timers {
    /// ConnectRetryTime (RFC 4271 §8.2.2), 1 to 2147483647. Default 120.
    pub connect_retry_seconds: u32,
    /// Proposed Hold Time, 0 or 3 to 65535. Default 90.
    pub hold_seconds: u16,
    /// Longest keepalive interval, at most the hold time; a third of the negotiated hold time wins if it is smaller. Default 30.
    pub keepalive_seconds: u16,
}

impl Default for Timers {
    fn default() -> Self {
        Self { connect_retry_seconds: 120, hold_seconds: 90, keepalive_seconds: 30 }
    }
}

/// Graceful restart parameters (RFC 4724 §3, RFC 9494 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GracefulRestart {
    /// Restart Time in seconds, 1 to 4095.
    pub restart_seconds: u16,
    /// For how many seconds after its session was lost the neighbour's routes are kept at most, whatever Restart Time it
    /// announces, 1 to 86400. Absent: its Restart Time, and 360 s from its return on. Long-lived stale routes are not meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_seconds: Option<u32>,
    /// Long-lived graceful restart (RFC 9494): for how many seconds after the Restart Time the neighbour shall keep our
    /// routes, and for how many at most we keep its routes, as a last resort. 1 to 16777215. Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_lived_seconds: Option<u32>,
    /// Send long-lived stale routes also to this neighbour if it does not know RFC 9494, with LOCAL_PREF 0 and NO_EXPORT
    /// (RFC 9494 §4.6). iBGP only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub demote_long_lived: bool,
}

impl GracefulRestart {
    /// Seconds for which a neighbour may hold our routes after it lost us.
    #[must_use]
    pub fn kept_seconds(&self) -> u32 {
        u32::from(self.restart_seconds).saturating_add(self.long_lived_seconds.unwrap_or(0))
    }
}

/// Several paths per prefix with a neighbour (RFC 7911 ADD-PATH).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddPath {
    /// Take several paths per prefix, if the neighbour sends them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub receive: bool,
    /// Send several paths per prefix, if the neighbour takes them: `all`, or a number for the best so many (1 to 255).
    /// Absent: the best one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<PathsSent>,
    /// In which of the peer's families. Empty: in all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<Family>,
}

/// Which paths of a prefix are sent: `all`, or the best so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PathsSent {
    /// The word `all`: every path that may be used.
    All(EveryPath),
    /// The best so many, 1 to 255.
    Best(u32),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum EveryPath {
    /// `all`.
    #[serde(rename = "all")]
    All,
}

/// An address family that rutter carries routes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// `ipv4-unicast` or `ipv6-unicast`, as in JSON and YAML.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4Unicast => "ipv4-unicast",
            Self::Ipv6Unicast => "ipv6-unicast",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A route that an instance originates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The prefix, without host bits.
    #[schema(value_type = String)]
    pub prefix: IpNet,
    /// ORIGIN. Default `igp`.
    #[serde(default, skip_serializing_if = "Origin::is_igp")]
    pub origin: Origin,
    /// NEXT_HOP. Absent: the local address of each session (next hop self).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// LOCAL_PREF, sent to internal peers only. Absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// Communities to attach, see [`Actions::add_communities`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,
    /// Large communities to attach, `a:b:c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_communities: Vec<String>,
    /// Why this route exists, for `show` and `explain`, e.g. `Service default/webpod LoadBalancerIP`. Never on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub source: Option<Arc<str>>,
}

/// ORIGIN attribute (RFC 4271 §5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp,
    /// Learned by EGP.
    Egp,
    /// Learned by other means.
    Incomplete,
}

impl Origin {
    fn is_igp(&self) -> bool {
        *self == Self::Igp
    }
}

/// Ordered statements; the first that matches decides, and if none does, `default_action`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Name for `show`, e.g. `peer-tor-switch-export`.
    pub name: String,
    /// What happens to a route that no statement matches.
    pub default_action: Verdict,
    /// The statements, in order of evaluation. Shared: peers with the same configuration have the same thousands of them,
    /// and from one intent to the next few change.
    #[serde(default)]
    #[schema(value_type = Vec<Statement>)]
    pub statements: Vec<Arc<Statement>>,
}

/// One policy statement: all conditions must hold; an absent condition always holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// Name for `show`, e.g. `PodCIDR-ipv4`.
    pub name: String,
    /// Families the statement is about. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<Family>,
    /// Prefixes the statement is about. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<PrefixMatch>,
    /// Communities of which a route must carry at least one. Empty: no condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_community: Vec<String>,
    /// Where the route must come from. Empty: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceMatch>,
    /// What to do with the route.
    pub action: Verdict,
    /// Changes to an accepted route.
    #[serde(default, skip_serializing_if = "Actions::is_empty")]
    pub set: Actions,
}

/// A prefix and the lengths, inside it, that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrefixMatch {
    /// The covering prefix.
    #[schema(value_type = String)]
    pub prefix: IpNet,
    /// Smallest matching length. Absent: the prefix's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u8>,
    /// Largest matching length. Absent: the smallest, so that without both only the exact prefix matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u8>,
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceMatch {
    /// Originated by this instance.
    Local,
    /// Learned from an internal peer.
    Internal,
    /// Learned from an external peer.
    External,
}

/// Accept or reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The route passes.
    Accept,
    /// The route does not pass.
    Reject,
}

/// Changes that a statement makes to a route it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Actions {
    /// Replace LOCAL_PREF. Has no effect towards external peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// Replace MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// Add communities: `65001:100`, a 32-bit number, or a well-known name (`no-export`, `blackhole`, ...).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_communities: Vec<String>,
    /// Add large communities, `a:b:c`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_large_communities: Vec<String>,
    /// Prepend the local ASN this many more times, up to 16. External peers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<u8>,
}

impl Actions {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn default_port() -> u16 {
    179
}

fn is_default_port(port: &u16) -> bool {
    *port == default_port()
}

fn is_false(value: &bool) -> bool {
    !*value
}
