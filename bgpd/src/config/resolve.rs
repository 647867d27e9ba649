//! From an intent's instance to what the speaker and its listeners take.
//!
//! Invariant: an instance that passed [`rutter_api::intent::Intent::validate`] resolves. What two owners together could
//! break was taken out by [`crate::intents::merge`] before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_core::config::{
    AddPath, AoAlgorithm, AoKey, ConfigError, DynamicPeers, GracefulRestart, LimitAction, MaxPrefixes,
    OriginatedRoute, Password, PathsSent, PeerConfig, SpeakerConfig, SpeakerSettings, TcpAo, Timers,
};
use bgp_core::policy;
use bgp_wire::{Community, Family, FamilySet, LargeCommunity, Origin, Role};
use rutter_api::intent;

/// One instance as its driver takes it.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// The speaker.
    pub speaker: SpeakerConfig,
    /// Where to listen. Empty: nowhere.
    pub listen: Vec<SocketAddr>,
}

/// Why an instance cannot be set up although its intent is valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The speaker refuses it.
    #[error(transparent)]
    Speaker(#[from] ConfigError),
    /// A community that cannot be read.
    #[error("{text:?} is no community: {reason}")]
    Community {
        /// As written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Resolves one instance. `hostname` goes into the FQDN capability.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve(instance: &intent::Instance, hostname: Option<&str>) -> Result<InstanceConfig, ResolveError> {
    let mut settings = SpeakerSettings::new(instance.name.as_str(), instance.local_asn, instance.router_id);
    settings.listen_port = instance.listen_port;
    settings.hostname = hostname.map(str::to_owned);
    settings.maximum_paths = instance.maximum_paths.unwrap_or(1);
    settings.multipath_relax = instance.multipath_relax;
    // No route of bgpd's is in the kernel yet: what forwards is not bgpd, and goes on without it.
    settings.forwarding_preserved = true;
    if let Some(seconds) = instance.graceful_restart.and_then(|restart| restart.selection_deferral_seconds) {
        settings.selection_deferral = Duration::from_secs(seconds.into());
    }
    let mut known = Known::default();
    settings.peers = instance.peers.iter().map(|one| peer(one, &mut known)).collect::<Result<_, _>>()?;
    let dynamic = |one| dynamic(one, &mut known);
    settings.dynamic = instance.dynamic_peers.iter().map(dynamic).collect::<Result<_, _>>()?;
    let ranges = settings.dynamic.iter_mut().map(|dynamic| &mut dynamic.template);
    for peer in settings.peers.iter_mut().chain(ranges) {
        peer.graceful_shutdown |= instance.graceful_shutdown;
    }
    settings.routes = instance.routes.iter().map(route).collect::<Result<_, _>>()?;
    Ok(InstanceConfig { speaker: SpeakerConfig::new(settings)?, listen: listen(instance) })
}

fn listen(instance: &intent::Instance) -> Vec<SocketAddr> {
    let Some(port) = instance.listen_port else { return Vec::new() };
    if instance.listen_addresses.is_empty() {
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        return any.map(|address| SocketAddr::new(address, port)).to_vec();
    }
    instance.listen_addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

/// Statements that were resolved before. Equal ones are resolved once and shared, and so are all comparisons of them.
#[derive(Default)]
struct Known<'i>(Vec<(Written<'i>, Arc<[policy::Statement]>)>);

/// Statements as an intent has them.
type Written<'i> = &'i [Arc<intent::Statement>];

fn dynamic<'i>(
    dynamic: &'i intent::DynamicPeers,
    known: &mut Known<'i>,
) -> Result<DynamicPeers, ResolveError> {
    let mut template = peer(&dynamic.peer, known)?;
    template.remote_asns = Arc::from(dynamic.peer_asns.as_slice());
    Ok(DynamicPeers {
        name: Arc::clone(&template.name),
        ranges: dynamic.ranges.clone(),
        limit: dynamic.limit,
        template,
    })
}

fn peer<'i>(peer: &'i intent::Peer, known: &mut Known<'i>) -> Result<PeerConfig, ResolveError> {
    let mut config = PeerConfig::new(peer.name.as_str(), peer.address, peer.peer_asn.filter(|asn| *asn != 0));
    config.group = peer.group.as_deref().map(Arc::from);
    config.port = peer.port;
    config.local_address = peer.local_address;
    config.interface = peer.interface.as_deref().map(Arc::from);
    config.passive = peer.passive;
    config.shutdown = peer.shutdown;
    config.description = peer.description.as_deref().map(Arc::from);
    config.timers = Timers {
        connect_retry: peer.timers.connect_retry_seconds,
        hold: peer.timers.hold_seconds,
        keepalive: peer.timers.keepalive_seconds,
    };
    config.multihop = peer.ebgp_multihop;
    config.ttl_security = peer.ttl_security_hops;
    config.tcp_ao = peer.tcp_ao.as_ref().map(tcp_ao);
    config.password = peer.password.as_ref().map(|secret| Password::new(secret.expose()));
    config.graceful_restart = peer.graceful_restart.map(|restart| GracefulRestart {
        restart_time: restart.restart_seconds,
        stale_time: restart.stale_seconds,
        long_lived_time: restart.long_lived_seconds,
        demote_long_lived: restart.demote_long_lived,
    });
    config.families = families(&peer.families);
    config.add_path = peer.add_path.as_ref().map(add_path).unwrap_or_default();
    config.import = peer.import.as_ref().map(|one| policy(one, known)).transpose()?.map(Arc::new);
    config.export = peer.export.as_ref().map(|one| policy(one, known)).transpose()?.map(Arc::new);
    config.max_prefixes = peer.max_prefixes.map(|max| max_prefixes(max.rules()));
    config.route_reflector_client = peer.route_reflector_client;
    config.role = peer.role.map(role);
    config.strict_role = peer.strict_role;
    config.graceful_shutdown = peer.graceful_shutdown;
    config.ignore_graceful_shutdown = peer.ignore_graceful_shutdown;
    Ok(config)
}

fn tcp_ao(tcp_ao: &intent::TcpAo) -> TcpAo {
    let key = |key: &intent::TcpAoKey| AoKey {
        send_id: key.send_id,
        recv_id: key.recv_id,
        algorithm: match key.algorithm {
            intent::TcpAoAlgorithm::HmacSha1 => AoAlgorithm::HmacSha1,
            intent::TcpAoAlgorithm::AesCmac128 => AoAlgorithm::AesCmac128,
            intent::TcpAoAlgorithm::HmacSha256 => AoAlgorithm::HmacSha256,
        },
        secret: Password::new(key.secret.expose()),
    };
    TcpAo { keys: tcp_ao.keys.iter().map(key).collect() }
}

/// All, if none is named.
fn families(families: &[intent::Family]) -> FamilySet {
    if families.is_empty() { FamilySet::ALL } else { families.iter().copied().map(wire_family).collect() }
}

fn add_path(add_path: &intent::AddPath) -> AddPath {
    let send = add_path.send.map(|send| match send {
        intent::PathsSent::All(intent::EveryPath::All) => PathsSent::All,
        intent::PathsSent::Best(number) => PathsSent::Best(u8::try_from(number).unwrap_or(u8::MAX)),
    });
    AddPath { families: families(&add_path.families), receive: add_path.receive, send }
}

fn role(role: intent::Role) -> Role {
    match role {
        intent::Role::Provider => Role::Provider,
        intent::Role::RsServer => Role::RouteServer,
        intent::Role::RsClient => Role::RouteServerClient,
        intent::Role::Customer => Role::Customer,
        intent::Role::Peer => Role::Peer,
    }
}

fn max_prefixes(rules: intent::PrefixRules) -> MaxPrefixes {
    let standard = MaxPrefixes::from(rules.limit);
    MaxPrefixes {
        warning_percent: rules.warning_percent.unwrap_or(standard.warning_percent),
        action: match rules.action.unwrap_or_default() {
            intent::LimitAction::Warn => LimitAction::Warn,
            intent::LimitAction::Stop => LimitAction::Stop,
            intent::LimitAction::Restart => {
                LimitAction::Restart(rules.restart_seconds.unwrap_or(DEFAULT_LIMIT_RESTART))
            }
        },
        ..standard
    }
}

/// For how many seconds a session stays closed after its prefix limit, where nothing else is said.
const DEFAULT_LIMIT_RESTART: u32 = 300;

fn route(route: &intent::Route) -> Result<OriginatedRoute, ResolveError> {
    Ok(OriginatedRoute {
        prefix: route.prefix,
        origin: match route.origin {
            intent::Origin::Igp => Origin::Igp,
            intent::Origin::Egp => Origin::Egp,
            intent::Origin::Incomplete => Origin::Incomplete,
        },
        next_hop: route.next_hop,
        med: route.med,
        local_preference: route.local_preference,
        communities: communities(&route.communities)?,
        large_communities: large_communities(&route.large_communities)?,
        source: route.source.clone(),
    })
}

fn policy<'i>(policy: &'i intent::Policy, known: &mut Known<'i>) -> Result<policy::Policy, ResolveError> {
    let written = policy.statements.as_slice();
    let statements = match known.0.iter().find(|(other, _)| *other == written) {
        Some((_, statements)) => Arc::clone(statements),
        None => {
            let statements: Arc<[_]> = written.iter().map(|one| statement(one)).collect::<Result<_, _>>()?;
            known.0.push((written, Arc::clone(&statements)));
            statements
        }
    };
    let default_action = verdict(policy.default_action);
    Ok(policy::Policy { name: Arc::from(policy.name.as_str()), default_action, statements })
}

fn statement(statement: &intent::Statement) -> Result<policy::Statement, ResolveError> {
    Ok(policy::Statement {
        name: Arc::from(statement.name.as_str()),
        families: statement.families.iter().copied().map(wire_family).collect(),
        prefixes: statement
            .prefixes
            .iter()
            .map(|prefix| policy::PrefixMatch::new(prefix.prefix, prefix.min_length, prefix.max_length))
            .collect(),
        any_community: communities(&statement.any_community)?
            .into_iter()
            .map(policy::CommunityMatch::Standard)
            .collect(),
        sources: statement
            .sources
            .iter()
            .map(|source| match source {
                intent::SourceMatch::Local => policy::SourceMatch::Local,
                intent::SourceMatch::Internal => policy::SourceMatch::Internal,
                intent::SourceMatch::External => policy::SourceMatch::External,
            })
            .collect(),
        action: verdict(statement.action),
        set: policy::Actions {
            local_preference: statement.set.local_preference,
            med: statement.set.med,
            add_communities: communities(&statement.set.add_communities)?,
            add_large_communities: large_communities(&statement.set.add_large_communities)?,
            prepend: statement.set.prepend.unwrap_or(0),
        },
    })
}

fn verdict(verdict: intent::Verdict) -> policy::Verdict {
    match verdict {
        intent::Verdict::Accept => policy::Verdict::Accept,
        intent::Verdict::Reject => policy::Verdict::Reject,
    }
}

/// The family as the wire has it.
#[must_use]
pub fn wire_family(family: intent::Family) -> Family {
    match family {
        intent::Family::Ipv4Unicast => Family::IPV4_UNICAST,
        intent::Family::Ipv6Unicast => Family::IPV6_UNICAST,
    }
}

fn communities(texts: &[String]) -> Result<Vec<Community>, ResolveError> {
    parse_all(texts)
}

fn large_communities(texts: &[String]) -> Result<Vec<LargeCommunity>, ResolveError> {
    parse_all(texts)
}

fn parse_all<T: std::str::FromStr<Err: std::fmt::Display>>(texts: &[String]) -> Result<Vec<T>, ResolveError> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|error: T::Err| ResolveError::Community {
                text: text.clone(),
                reason: error.to_string(),
            })
        })
        .collect()
}
