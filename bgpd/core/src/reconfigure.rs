//! What each field of the configuration costs when it changes: the one table that the engine, the plan and the book read.
//!
//! A row is a field, its name in the intent, its price and the reason. The price is what the field costs at most; where a
//! live session can be spared under a condition, the row says so and `speaker::configure` looks at the session.
//!
//! Invariant: there is no field without a row, and nothing but this table decides that a session is reset.

use std::fmt;
use std::sync::Arc;

use crate::ids::PeerId;

/// What a change costs a session that is up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Nothing. In force at once, also on the live session.
    None,
    /// Nothing. A value that is agreed on when a session begins: the live one goes on with what it agreed on.
    NextSession,
    /// Routes are evaluated again, and only what differs is sent. The session stays.
    Soft,
    /// The session is closed and begins again.
    Reset,
}

impl Cost {
    /// One word, as in the book and in plans.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NextSession => "next session",
            Self::Soft => "soft",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $variant:ident = $label:literal, $cost:ident, $why:literal;)+) => {
        /// A field of the configuration that changed.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum ConfigField {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ConfigField {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The field's name, as in the intent.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What it costs a live session at most when this field changes.
            #[must_use]
            pub const fn cost(self) -> Cost {
                match self { $(Self::$variant => Cost::$cost,)+ }
            }

            /// Why it costs that, and when less.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $(Self::$variant => $why,)+ }
            }
        }
    };
}

fields! {
    /// Our ASN.
    LocalAsn = "localASN", Reset, "both OPENs carry it, and every AS_PATH sent";
    /// Our BGP Identifier.
    RouterId = "routerID", Reset, "our OPEN carries it, and the peer breaks ties and finds loops by it";
    /// The peer's address.
    Address = "address", Reset, "it is another neighbour";
    /// The peer's ASN.
    RemoteAsn = "peerASN", Reset, "the peer's OPEN must carry it; nothing if the live session's peer has this ASN";
    /// The peer group.
    Group = "group", None, "only its name; what the peer takes over from it is listed by itself";
    /// The port to dial.
    Port = "port", NextSession, "only a dial uses it";
    /// Our address.
    LocalAddress = "localAddress", Reset, "the connection ends there; nothing if the live session already uses this address, or none is asked for";
    /// The interface.
    Interface = "interface", Reset, "the connection is bound to it";
    /// Whether we dial.
    Passive = "passive", None, "it decides about the next dial; a connection that is up goes on";
    /// Whether the peer is shut down.
    Shutdown = "shutdown", Reset, "that is what it is for";
    /// The description.
    Description = "description", None, "only people read it";
    /// The hold time.
    HoldTime = "timers.holdSeconds", NextSession, "both OPENs agree on it; the live session keeps what was agreed";
    /// The keepalive time.
    KeepaliveTime = "timers.keepaliveSeconds", None, "it is ours alone: the next KEEPALIVE follows it";
    /// The connect retry time.
    ConnectRetryTime = "timers.connectRetrySeconds", None, "it decides about the next dial";
    /// The TTL.
    Multihop = "ebgpMultihop", None, "the TTL is set on the live socket";
    /// The TTL security of RFC 5082.
    TtlSecurity = "ttlSecurityHops", None, "TTL and least TTL are set on the live socket; packets of a peer that does not follow within the hold time are dropped by the kernel";
    /// The TCP MD5 password.
    Password = "password", None, "the key is set on the listener and on the live socket; TCP repeats what is lost until the peer has it too, within the hold time";
    /// The TCP-AO keys.
    TcpAo = "tcpAo", Reset, "a live connection can neither begin nor cease to be signed with it; nothing where both have keys: new ones are added, the first is signed with, old ones deleted";
    /// Graceful restart parameters that the peer is told.
    GracefulRestart = "gracefulRestart", NextSession, "both OPENs agree on it; the live session keeps what was agreed";
    /// For how long a restarting peer's routes are kept at most.
    StaleTime = "gracefulRestart.staleSeconds", None, "it is ours alone: the next loss of the session follows it";
    /// Whether long-lived stale routes go to an internal peer that does not know them.
    DemoteLongLived = "gracefulRestart.demoteLongLived", Soft, "such routes are sent or withdrawn";
    /// The families.
    Families = "families", Reset, "both OPENs agree on them; nothing if what the live session agreed on stays the same";
    /// Which paths are sent and taken.
    AddPath = "addPath", Reset, "both OPENs agree on it; nothing if what the live session agreed on stays the same";
    /// The import policy.
    ImportPolicy = "import", Soft, "received routes are kept as received and evaluated again; the peer need not send them again";
    /// The export policy.
    ExportPolicy = "export", Soft, "routes are evaluated again and differences are sent";
    /// The prefix limit.
    MaxPrefixes = "maxPrefixes", None, "counted from now on; a peer above the new limit is closed for that";
    /// Whether the peer is our route reflector client.
    RouteReflectorClient = "routeReflectorClient", Reset, "what went both ways, and to all other internal peers, was chosen by it";
    /// What we are to the peer.
    Role = "role", Reset, "both OPENs carry it, and the two must fit";
    /// Whether a peer without a role is refused.
    StrictRole = "strictRole", NextSession, "it decides about the peer's next OPEN";
    /// Whether the session is about to end.
    GracefulShutdown = "gracefulShutdown", Soft, "routes are sent again with the community, and received ones evaluated again";
    /// Whether the peer is believed when it says so.
    IgnoreGracefulShutdown = "ignoreGracefulShutdown", Soft, "received routes are evaluated again";
}

impl ConfigField {
    /// Whether a live session may have to be reset when this field changes.
    #[must_use]
    pub const fn needs_reset(self) -> bool {
        matches!(self.cost(), Cost::Reset)
    }
}

impl fmt::Display for ConfigField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a new configuration does, or would do, to one peer. Peers it does nothing to are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Which peer; absent in a plan for one that does not exist yet.
    pub peer: Option<PeerId>,
    /// Its name.
    pub name: Arc<str>,
    /// What was done.
    pub effect: ConfigEffect,
    /// What each changed field costs here.
    pub costs: Vec<(ConfigField, Cost)>,
}

/// How far a changed configuration reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEffect {
    /// The peer is new.
    Added,
    /// The peer is gone.
    Removed,
    /// The session was closed and starts again, because of these fields.
    Reset(Vec<ConfigField>),
    /// The session stays, or there was none; routes were evaluated again or a value shown, because of these fields.
    Kept(Vec<ConfigField>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_something_of_its_own() {
        for (position, field) in ConfigField::ALL.iter().enumerate() {
            assert!(!field.label().is_empty() && !field.why().is_empty(), "{field:?}");
            let again =
                ConfigField::ALL.iter().skip(position + 1).any(|other| other.label() == field.label());
            assert!(!again, "{field} has two rows");
        }
    }
}
