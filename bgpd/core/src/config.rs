//! What a speaker is told to be: its identity, neighbours and own routes.
//!
//! [`SpeakerSettings`] is what a driver fills in; [`SpeakerConfig`] is the same after [`SpeakerConfig::new`] looked at
//! it, and the only form that a [`crate::Speaker`] takes.
//!
//! Invariant: a [`SpeakerConfig`] can be applied whole. Whatever could be refused was refused when it was made, with the
//! peer and the field named.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{AS_TRANS, Community, FamilySet, LargeCommunity, Origin, Role};
use hashbrown::HashSet;
use ipnet::IpNet;

use crate::policy::Policy;

mod dynamic;
mod security;

pub use dynamic::{DynamicFault, DynamicPeers};
pub use security::{AoAlgorithm, AoKey, Password, Protection, TcpAo};

/// One BGP speaker, not looked at yet.
#[derive(Clone, Debug)]
pub struct SpeakerSettings {
    /// Name, for logs and show commands.
    pub name: Arc<str>,
    /// Local AS number.
    pub local_asn: u32,
    /// BGP Identifier (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Cluster ID of a route reflector (RFC 4456). Absent: the router ID.
    pub cluster_id: Option<Ipv4Addr>,
    /// Port the driver listens on. Absent: it does not, so passive peers are refused here.
    pub listen_port: Option<u16>,
    /// Host name for the FQDN capability. Absent: the capability is not sent.
    pub hostname: Option<String>,
    /// Largest number of equal paths kept as multipath, 1 to 128.
    pub maximum_paths: u8,
    /// Paths of equal AS_PATH length but different content may be multipath together.
    pub multipath_relax: bool,
    /// What this speaker does not forward itself goes on without it: when it crashes or restarts, forwarding for its routes
    /// stays as it was (the F bit of RFC 4724).
    pub forwarding_preserved: bool,
    /// For how long after a restart nothing is advertised at most, whoever has not said its End-of-RIB yet
    /// (Selection_Deferral_Timer, RFC 4724 §4.1).
    pub selection_deferral: Duration,
    /// Neighbours.
    pub peers: Vec<PeerConfig>,
    /// Neighbours that are known only by where they come from.
    pub dynamic: Vec<DynamicPeers>,
    /// Routes this speaker originates, at most one per prefix.
    pub routes: Vec<OriginatedRoute>,
}

impl SpeakerSettings {
    /// A speaker without neighbours and routes, which does not listen.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, local_asn: u32, router_id: Ipv4Addr) -> Self {
        Self {
            name: name.into(),
            local_asn,
            router_id,
            cluster_id: None,
            listen_port: None,
            hostname: None,
            maximum_paths: 1,
            multipath_relax: false,
            forwarding_preserved: false,
            selection_deferral: DEFAULT_SELECTION_DEFERRAL,
            peers: Vec::new(),
            dynamic: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// Name, unique in the speaker. It identifies the neighbour across configurations.
    pub name: Arc<str>,
    /// Address of the neighbour. An IPv6 link-local one needs [`PeerConfig::interface`].
    pub address: IpAddr,
    /// The neighbour's ASN. Absent: one of [`PeerConfig::remote_asns`].
    pub remote_asn: Option<u32>,
    /// ASNs of which the neighbour may have any. Empty: whatever its OPEN says.
    pub remote_asns: Arc<[u32]>,
    /// The peer group its parameters come from, to be shown.
    pub group: Option<Arc<str>>,
    /// The dynamic neighbours it belongs to, if a connection made it.
    pub dynamic: Option<Arc<str>>,
    /// TCP port to dial.
    pub port: u16,
    /// Source address to dial from, and the only one to accept on. Absent: any.
    pub local_address: Option<IpAddr>,
    /// Interface the session is bound to.
    pub interface: Option<Arc<str>>,
    /// Never dial, only accept.
    pub passive: bool,
    /// Administratively down.
    pub shutdown: bool,
    /// Free text for people.
    pub description: Option<Arc<str>>,
    /// Session timers.
    pub timers: Timers,
    /// TTL of an external session. Absent: 1, the neighbour is directly connected.
    pub multihop: Option<u8>,
    /// TTL security (RFC 5082): the neighbour is at most this many hops away. Not together with [`PeerConfig::multihop`].
    pub ttl_security: Option<u8>,
    /// TCP MD5 password (RFC 2385).
    pub password: Option<Password>,
    /// TCP-AO keys (RFC 5925). Not together with [`PeerConfig::password`].
    pub tcp_ao: Option<TcpAo>,
    /// Graceful restart (RFC 4724). Absent: the capability is not sent.
    pub graceful_restart: Option<GracefulRestart>,
    /// Families to negotiate.
    pub families: FamilySet,
    /// Several paths per prefix (RFC 7911).
    pub add_path: AddPath,
    /// What is accepted from this neighbour. Absent: everything.
    pub import: Option<Arc<Policy>>,
    /// What is sent to this neighbour. Absent: everything.
    pub export: Option<Arc<Policy>>,
    /// How many prefixes are accepted per family. Absent: no limit.
    pub max_prefixes: Option<MaxPrefixes>,
    /// The neighbour is a route reflector client (RFC 4456). Internal peers only.
    pub route_reflector_client: bool,
    /// What we are to the neighbour (RFC 9234). External peers only. Absent: no role is spoken of.
    pub role: Option<Role>,
    /// A neighbour that says nothing about its role is refused.
    pub strict_role: bool,
    /// The session is about to end: the neighbour is told, and other paths are preferred to its (RFC 8326).
    pub graceful_shutdown: bool,
    /// The neighbour is not believed when it says that its session is about to end.
    pub ignore_graceful_shutdown: bool,
}

impl PeerConfig {
    /// A neighbour with default timers and both unicast families.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, address: IpAddr, remote_asn: Option<u32>) -> Self {
        Self {
            name: name.into(),
            address,
            remote_asn,
            remote_asns: Arc::from([]),
            group: None,
            dynamic: None,
            port: 179,
            local_address: None,
            interface: None,
            passive: false,
            shutdown: false,
            description: None,
            timers: Timers::default(),
            multihop: None,
            ttl_security: None,
            password: None,
            tcp_ao: None,
            graceful_restart: None,
            families: FamilySet::ALL,
            add_path: AddPath::default(),
            import: None,
            export: None,
            max_prefixes: None,
            route_reflector_client: false,
            role: None,
            strict_role: false,
            graceful_shutdown: false,
            ignore_graceful_shutdown: false,
        }
    }
}

/// Session timers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// ConnectRetryTime (RFC 4271 §8.2.2) in seconds: the longest wait between two dials.
    pub connect_retry: u32,
    /// Proposed Hold Time in seconds: 0 or at least 3.
    pub hold: u16,
    /// Longest keepalive interval in seconds, at most the hold time.
    pub keepalive: u16,
}

impl Timers {
    /// ConnectRetryTime.
    #[must_use]
    pub const fn connect_retry(&self) -> Duration {
        Duration::from_secs(self.connect_retry as u64)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self { connect_retry: 120, hold: 90, keepalive: 30 }
    }
}

/// Graceful restart parameters (RFC 4724 §3, RFC 9494 §3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Restart Time in seconds, 1 to 4095.
    pub restart_time: u16,
    /// For how many seconds after its session was lost a peer's routes are kept at most, whatever Restart Time it announces.
    /// Absent: its Restart Time, and 360 s from its return on. Long-lived stale routes are not meant.
    pub stale_time: Option<u32>,
    /// Long-lived stale time in seconds, 1 to 16777215: for how long after the Restart Time the peer shall keep our routes, and
    /// for how long at most we keep the peer's. Absent: neither.
    pub long_lived_time: Option<u32>,
    /// Long-lived stale routes go to this internal peer although it does not know them, with NO_EXPORT and LOCAL_PREF 0
    /// (RFC 9494 §4.6).
    pub demote_long_lived: bool,
}

impl GracefulRestart {
    /// Longest long-lived stale time that the capability has room for.
    pub const MAX_LONG_LIVED_TIME: u32 = 0x00ff_ffff;

    /// Graceful restart without long-lived routes, with this Restart Time.
    #[must_use]
    pub const fn new(restart_time: u16) -> Self {
        Self { restart_time, stale_time: None, long_lived_time: None, demote_long_lived: false }
    }
}

/// Selection deferral time where none is configured.
pub const DEFAULT_SELECTION_DEFERRAL: Duration = Duration::from_secs(360);

/// How many prefixes a neighbour may have per family, and what happens when it has more.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// So many.
    pub limit: u32,
    /// Part of the limit, in percent, above which a warning is given. 100: none before the limit itself.
    pub warning_percent: u8,
    /// What happens above the limit.
    pub action: LimitAction,
}

/// What happens to a neighbour above its prefix limit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LimitAction {
    /// It is told to the operator; the session goes on, and so do the routes.
    Warn,
    /// The session is closed until an operator resets it.
    Stop,
    /// The session is closed for so many seconds.
    Restart(u32),
}

impl MaxPrefixes {
    fn check(self) -> Result<(), PeerFault> {
        match self {
            Self { limit: 0, .. } => Err(PeerFault::MaxPrefixes),
            Self { warning_percent: 0 | 101.., .. } => Err(PeerFault::WarningPercent(self.warning_percent)),
            Self { action: LimitAction::Restart(0), .. } => Err(PeerFault::LimitRestart),
            _ => Ok(()),
        }
    }
}

impl From<u32> for MaxPrefixes {
    /// A limit that closes the session, with a warning at three quarters.
    fn from(limit: u32) -> Self {
        Self { limit, warning_percent: 75, action: LimitAction::Stop }
    }
}

/// Several paths per prefix with a neighbour (RFC 7911). Nothing by default.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct AddPath {
    /// In which families. Those that are not negotiated do not count.
    pub families: FamilySet,
    /// Whether several are taken.
    pub receive: bool,
    /// Which are sent. Absent: the best one alone.
    pub send: Option<PathsSent>,
}

impl AddPath {
    /// What we offer: families in which several paths are taken, and those in which several are sent.
    pub(crate) fn offered(self, families: FamilySet) -> (FamilySet, FamilySet) {
        let families = families.intersection(self.families);
        let unless = |off: bool| if off { FamilySet::EMPTY } else { families };
        (unless(!self.receive), unless(self.send.is_none()))
    }
}

/// Which paths of a prefix are sent to a neighbour that takes several.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PathsSent {
    /// All that take part in the decision.
    All,
    /// The best so many, at least one.
    Best(u8),
}

/// A route that the speaker originates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginatedRoute {
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// ORIGIN.
    pub origin: Origin,
    /// NEXT_HOP. Absent: the local address of each session.
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, for internal peers. Absent: 100.
    pub local_preference: Option<u32>,
    /// Communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// Why the route exists, for people. Never on the wire.
    pub source: Option<Arc<str>>,
}

impl OriginatedRoute {
    /// A route with nothing but its prefix: next hop self, ORIGIN IGP.
    #[must_use]
    pub fn new(prefix: IpNet) -> Self {
        Self {
            prefix,
            origin: Origin::Igp,
            next_hop: None,
            med: None,
            local_preference: None,
            communities: Vec::new(),
            large_communities: Vec::new(),
            source: None,
        }
    }
}

/// [`SpeakerSettings`] that were looked at and can be applied whole.
#[derive(Clone, Debug)]
pub struct SpeakerConfig(SpeakerSettings);

impl SpeakerConfig {
    /// Looks at `settings` and says what is wrong with them.
    ///
    /// # Errors
    /// The first field that cannot be applied.
    pub fn new(mut settings: SpeakerSettings) -> Result<Self, ConfigError> {
        if matches!(settings.local_asn, 0 | AS_TRANS) {
            return Err(ConfigError::LocalAsn(settings.local_asn));
        }
        if settings.router_id.is_unspecified() {
            return Err(ConfigError::RouterId);
        }
        if !(1..=128).contains(&settings.maximum_paths) {
            return Err(ConfigError::MaximumPaths(settings.maximum_paths));
        }
        let mut names = HashSet::with_hasher(foldhash::fast::FixedState::default());
        for peer in &mut settings.peers {
            if peer.remote_asn == Some(0) {
                peer.remote_asn = None;
            }
        }
        for (position, peer) in settings.peers.iter().enumerate() {
            if !names.insert(Arc::clone(&peer.name)) {
                return Err(ConfigError::DuplicateName(Arc::clone(&peer.name)));
            }
            check_peer(&settings, peer)
                .map_err(|fault| ConfigError::Peer { peer: Arc::clone(&peer.name), fault })?;
            if let Some(other) =
                settings.peers.iter().take(position).find(|other| same_neighbour(peer, other))
            {
                let fault = PeerFault::SameAddress(peer.address, Arc::clone(&other.name));
                return Err(ConfigError::Peer { peer: Arc::clone(&peer.name), fault });
            }
        }
        dynamic::check(&settings)?;
        let mut prefixes = HashSet::with_hasher(foldhash::fast::FixedState::default());
        for route in &settings.routes {
            if route.prefix.trunc() != route.prefix {
                return Err(ConfigError::HostBits { prefix: route.prefix, instead: route.prefix.trunc() });
            }
            if !prefixes.insert(route.prefix) {
                return Err(ConfigError::DuplicateRoute(route.prefix));
            }
            if let Some(next_hop) = route.next_hop.filter(|next_hop| !is_usable(*next_hop)) {
                return Err(ConfigError::RouteNextHop { prefix: route.prefix, next_hop });
            }
        }
        Ok(Self(settings))
    }

    /// Takes the routes out, for the one place that keeps them.
    pub(crate) fn take_routes(&mut self) -> Vec<OriginatedRoute> {
        std::mem::take(&mut self.0.routes)
    }

    /// The settings, to change them and have them looked at again.
    #[must_use]
    pub fn into_settings(self) -> SpeakerSettings {
        self.0
    }
}

impl Deref for SpeakerConfig {
    type Target = SpeakerSettings;

    fn deref(&self) -> &SpeakerSettings {
        &self.0
    }
}

/// Why settings cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// 0 and AS_TRANS are nobody's.
    #[error("local ASN {0} is reserved; use one from 1 to 4294967295 other than 23456")]
    LocalAsn(u32),
    /// RFC 6286 §2.1.
    #[error(
        "router ID 0.0.0.0 is not valid; use an address that no other router of the AS has as its router ID"
    )]
    RouterId,
    /// Out of 1 to 128.
    #[error("maximum paths is {0}; use 1 (no multipath) to 128")]
    MaximumPaths(u8),
    /// Two peers of one name.
    #[error("two peers are named {0:?}; a name must be unique in the speaker")]
    DuplicateName(Arc<str>),
    /// Something about one peer.
    #[error("peer {peer:?}: {fault}")]
    Peer {
        /// Which peer.
        peer: Arc<str>,
        /// What about it.
        fault: PeerFault,
    },
    /// Something about dynamic neighbours.
    #[error("dynamic neighbours {name:?}: {fault}")]
    Dynamic {
        /// Which.
        name: Arc<str>,
        /// What about them.
        fault: DynamicFault,
    },
    /// A route's prefix has host bits.
    #[error("route {prefix} has host bits set; write {instead}")]
    HostBits {
        /// The prefix as given.
        prefix: IpNet,
        /// The prefix without host bits.
        instead: IpNet,
    },
    /// The same prefix twice.
    #[error("route {0} is given twice")]
    DuplicateRoute(IpNet),
    /// A route's next hop is no unicast address.
    #[error("route {prefix}: next hop {next_hop} is not a unicast address; leave it out for next hop self")]
    RouteNextHop {
        /// The prefix.
        prefix: IpNet,
        /// The next hop as given.
        next_hop: IpAddr,
    },
}

/// What is wrong with one peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// Nobody can be reached there.
    #[error("address {0} is not a unicast address")]
    Address(IpAddr),
    /// Link-local without scope.
    #[error("address {0} is link-local and needs the interface it is on")]
    NeedsInterface(IpAddr),
    /// An accepted connection could be either's.
    #[error("address {0} is also peer {1:?}'s; connections from it could not be told apart")]
    SameAddress(IpAddr, Arc<str>),
    /// AS_TRANS.
    #[error(
        "peer ASN 23456 is reserved for two-octet speakers (RFC 6793); give the real ASN, or none to accept any"
    )]
    RemoteAsn,
    /// IPv4 from IPv6 or the other way.
    #[error("local address {0} and peer address {1} are of different families")]
    LocalAddressFamily(IpAddr, IpAddr),
    /// Nobody would come in.
    #[error("passive, but the speaker does not listen; set a listen port or make the peer active")]
    PassiveWithoutListener,
    /// Port 0.
    #[error("port 0 cannot be dialed; leave it out for 179")]
    Port,
    /// RFC 4271 §4.2.
    #[error("hold time {0} s is not allowed; use 0 (never expires) or 3 to 65535")]
    HoldTime(u16),
    /// A keepalive that comes too late is none.
    #[error("keepalive time {keepalive} s is above the hold time {hold} s; use a third of the hold time")]
    KeepaliveTime {
        /// As given.
        keepalive: u16,
        /// As given.
        hold: u16,
    },
    /// No wait at all.
    #[error("connect retry time must be at least 1 s")]
    ConnectRetryTime,
    /// Out of 1 to 4095.
    #[error("graceful restart time {0} s does not fit the capability; use 1 to 4095")]
    RestartTime(u16),
    /// Zero.
    #[error("graceful restart stale time 0 s would keep nothing; leave graceful restart out instead")]
    StaleTime,
    /// Out of 1 to 16777215.
    #[error("long-lived stale time {0} s does not fit the capability; use 1 to 16777215, or leave it out")]
    LongLivedTime(u32),
    /// A session about nothing.
    #[error("no address family; give at least one")]
    NoFamily,
    /// TTL 0.
    #[error("multihop TTL 0 reaches nobody; use 1 to 255")]
    Multihop,
    /// TTL security 0.
    #[error("TTL security of 0 hops accepts nobody; use 1 for a neighbour on the same link, up to 255")]
    TtlSecurity,
    /// RFC 5082 sends 255 and expects it; multihop sends less.
    #[error("TTL security and multihop exclude each other; write the number of hops as TTL security only")]
    TtlSecurityAndMultihop,
    /// One connection is signed in one way.
    #[error("a TCP MD5 password and TCP-AO keys exclude each other; remove one")]
    PasswordAndTcpAo,
    /// TCP-AO without a key.
    #[error("TCP-AO needs at least one key")]
    NoAoKey,
    /// Two keys with one identifier.
    #[error("two TCP-AO keys have {0} ID {1}; every key needs its own")]
    DuplicateAoKey(&'static str, u8),
    /// RFC 9234 is about the border of an AS.
    #[error("role: roles are between different ASes, and this peer is of ours; leave it out")]
    RoleInternal,
    /// Only what RFC 9234 §4.1 lists.
    #[error("role {0} is not assigned; use provider, rs-server, rs-client, customer or peer")]
    RoleUnassigned(u8),
    /// Strict about nothing.
    #[error("strict role without a role; give the role as well")]
    StrictWithoutRole,
    /// Empty, or longer than the kernel takes.
    #[error("the secret of the TCP-AO key with send ID {id} has {length} octets; use 1 to {max}", max = Password::MAX_LEN)]
    AoSecretLength {
        /// Which key.
        id: u8,
        /// How long.
        length: usize,
    },
    /// RFC 4456 is about internal peers.
    #[error("route reflector clients must be internal peers (ASN {local}), this one has ASN {remote}")]
    ClientNotInternal {
        /// Our ASN.
        local: u32,
        /// The peer's.
        remote: u32,
    },
    /// Empty, or longer than the kernel takes.
    #[error("password has {0} octets; TCP MD5 takes 1 to {max}", max = Password::MAX_LEN)]
    PasswordLength(usize),
    /// Not even the best path.
    #[error("add-path: sending the best 0 paths sends nothing; use 1 to 255, or the export policy")]
    PathsSent,
    /// Out of 1 to 100.
    #[error("warning level {0} % of the prefix limit; use 1 to 100")]
    WarningPercent(u8),
    /// A session that never rests.
    #[error("restart 0 s after the prefix limit would never rest; use at least 1")]
    LimitRestart,
    /// A limit that nobody can keep.
    #[error("maximum prefixes 0 would close every session; use the import policy to refuse everything")]
    MaxPrefixes,
}

fn check_peer(speaker: &SpeakerSettings, peer: &PeerConfig) -> Result<(), PeerFault> {
    if !is_usable(peer.address) {
        return Err(PeerFault::Address(peer.address));
    }
    if matches!(peer.address, IpAddr::V6(v6) if v6.is_unicast_link_local()) && peer.interface.is_none() {
        return Err(PeerFault::NeedsInterface(peer.address));
    }
    if peer.remote_asn == Some(AS_TRANS) {
        return Err(PeerFault::RemoteAsn);
    }
    if let Some(local) = peer.local_address.filter(|local| local.is_ipv4() != peer.address.is_ipv4()) {
        return Err(PeerFault::LocalAddressFamily(local, peer.address));
    }
    if peer.passive && speaker.listen_port.is_none() {
        return Err(PeerFault::PassiveWithoutListener);
    }
    if peer.port == 0 {
        return Err(PeerFault::Port);
    }
    let Timers { connect_retry, hold, keepalive } = peer.timers;
    if matches!(hold, 1 | 2) {
        return Err(PeerFault::HoldTime(hold));
    }
    if hold != 0 && keepalive > hold {
        return Err(PeerFault::KeepaliveTime { keepalive, hold });
    }
    if connect_retry == 0 {
        return Err(PeerFault::ConnectRetryTime);
    }
    if let Some(restart) = peer.graceful_restart {
        check_graceful_restart(restart)?;
    }
    if peer.families.is_empty() {
        return Err(PeerFault::NoFamily);
    }
    if peer.add_path.send == Some(PathsSent::Best(0)) {
        return Err(PeerFault::PathsSent);
    }
    if peer.multihop == Some(0) {
        return Err(PeerFault::Multihop);
    }
    if let Some(remote) = peer.remote_asn.filter(|remote| *remote != speaker.local_asn)
        && peer.route_reflector_client
    {
        return Err(PeerFault::ClientNotInternal { local: speaker.local_asn, remote });
    }
    match peer.role {
        None if peer.strict_role => return Err(PeerFault::StrictWithoutRole),
        Some(Role::Unassigned(role)) => return Err(PeerFault::RoleUnassigned(role)),
        Some(_) if peer.remote_asn == Some(speaker.local_asn) => return Err(PeerFault::RoleInternal),
        _ => {}
    }
    if let Some(password) = &peer.password
        && !(1..=Password::MAX_LEN).contains(&password.expose().len())
    {
        return Err(PeerFault::PasswordLength(password.expose().len()));
    }
    if let Some(max) = peer.max_prefixes {
        max.check()?;
    }
    check_security(peer)
}

fn check_security(peer: &PeerConfig) -> Result<(), PeerFault> {
    if let Some(hops) = peer.ttl_security {
        if hops == 0 {
            return Err(PeerFault::TtlSecurity);
        }
        if peer.multihop.is_some() {
            return Err(PeerFault::TtlSecurityAndMultihop);
        }
    }
    let Some(tcp_ao) = &peer.tcp_ao else { return Ok(()) };
    if peer.password.is_some() {
        return Err(PeerFault::PasswordAndTcpAo);
    }
    if tcp_ao.keys.is_empty() {
        return Err(PeerFault::NoAoKey);
    }
    for (position, key) in tcp_ao.keys.iter().enumerate() {
        let length = key.secret.expose().len();
        if !(1..=Password::MAX_LEN).contains(&length) {
            return Err(PeerFault::AoSecretLength { id: key.send_id, length });
        }
        for other in tcp_ao.keys.iter().take(position) {
            if other.send_id == key.send_id {
                return Err(PeerFault::DuplicateAoKey("send", key.send_id));
            }
            if other.recv_id == key.recv_id {
                return Err(PeerFault::DuplicateAoKey("receive", key.recv_id));
            }
        }
    }
    Ok(())
}

fn check_graceful_restart(restart: GracefulRestart) -> Result<(), PeerFault> {
    if !(1..=4095).contains(&restart.restart_time) {
        return Err(PeerFault::RestartTime(restart.restart_time));
    }
    if restart.stale_time == Some(0) {
        return Err(PeerFault::StaleTime);
    }
    match restart.long_lived_time {
        Some(time) if !(1..=GracefulRestart::MAX_LONG_LIVED_TIME).contains(&time) => {
            Err(PeerFault::LongLivedTime(time))
        }
        _ => Ok(()),
    }
}

/// Whether a connection from one peer's address would match the other too.
fn same_neighbour(one: &PeerConfig, other: &PeerConfig) -> bool {
    let overlap = |a: Option<IpAddr>, b: Option<IpAddr>| a.is_none() || b.is_none() || a == b;
    one.address == other.address
        && one.interface == other.interface
        && overlap(one.local_address, other.local_address)
}

fn is_usable(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests;
