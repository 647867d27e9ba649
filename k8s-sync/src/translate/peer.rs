//! One peer of a node: its address, its CiliumBGPPeerConfig, its password.
//!
//! Invariant: a peer that cannot be configured as written is left out, or, when only its password is missing, stays down;
//! it is never configured otherwise than written.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use rutter_api::intent::{GracefulRestart, Peer, Timers};
use rutter_crds::CiliumBGPPeerConfigSpec;
use rutter_crds::bgp_cluster_config::{AutoDiscoveryMode, BGPAutoDiscovery, GatewayFamily};
use rutter_crds::bgp_node_config::CiliumBGPNodePeer;
use rutter_crds::bgp_peer_config::CiliumBGPTransport;

use super::family::{FamilyAdverts, both, families};
use super::instance::Scope;
use super::policy::{export_policy, import_policy};
use super::secret;
use crate::advertise::{OfferSet, Offers};
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};
use crate::trace::Level;

/// A peer and what is offered to it.
pub(super) struct PeerOutcome {
    pub(super) peer: Peer,
    pub(super) offers: Arc<OfferSet>,
}

/// An address, and the interface that a link-local one belongs to.
struct Endpoint {
    address: IpAddr,
    interface: Option<String>,
}

/// The CiliumBGPPeerConfig of a peer; without one everything has its default.
struct Settings<'s> {
    /// Absent only if the peer names no configuration, and then no field of it can be to blame.
    object: Option<ObjectRef>,
    spec: Cow<'s, CiliumBGPPeerConfigSpec>,
}

/// The peer, unless it has to be left out.
pub(super) fn build(
    scope: &Scope<'_>,
    config: &CiliumBGPNodePeer,
    instance: &str,
    path: &str,
    report: &mut Report,
) -> Option<PeerOutcome> {
    let identified = settings(scope, config).and_then(|settings| {
        let peer_asn = config
            .peer_asn
            .ok_or_else(|| ("peerASN", Reason::PeerAsnMissing { peer: config.name.clone() }))?;
        let transport = settings.spec.transport.clone().unwrap_or_default();
        let remote = endpoint(scope, config, &transport)?;
        Ok((settings, peer_asn, transport, remote))
    });
    let (settings, peer_asn, transport, remote) = match identified {
        Ok(identified) => identified,
        Err((field, reason)) => {
            report.add(Finding::on(&scope.author, format!("{path}.{field}"), reason));
            return None;
        }
    };
    if config.auto_discovery.is_some() && config.peer_address.as_deref().is_some_and(|text| !text.is_empty())
    {
        let reason = Reason::AutoDiscoveryNotNeeded { peer: config.name.clone() };
        report.add(Finding::on(&scope.author, format!("{path}.autoDiscovery"), reason));
    }
    let object = settings.object.as_ref().unwrap_or(&scope.author);
    let local_address = match source_address(scope, config, &transport, &remote) {
        Ok(local_address) => local_address,
        Err(Blame::Node(reason)) => {
            report.add(override_finding(scope, instance, config, reason));
            return None;
        }
        Err(Blame::PeerConfig(reason)) => {
            report.add(Finding::on(object, "spec.transport.sourceInterface", reason));
            return None;
        }
    };
    let families = if settings.object.is_some() {
        families(&settings.spec, object, &config.name, report)?
    } else {
        let reason = Reason::PeerConfigRefAbsent { peer: config.name.clone() };
        report.add(Finding::on(&scope.author, format!("{path}.peerConfigRef"), reason));
        both()
    };
    let offers = shared_offers(scope, instance, &settings, &families, object, report);
    let mut peer = Peer {
        name: config.name.clone(),
        address: remote.address,
        group: None,
        peer_asn: (peer_asn != 0).then_some(peer_asn),
        port: transport.peer_port,
        local_address,
        interface: remote.interface,
        passive: false,
        shutdown: false,
        description: None,
        timers: timers(&settings.spec),
        ebgp_multihop: (settings.spec.ebgp_multihop > 1).then_some(settings.spec.ebgp_multihop),
        ttl_security_hops: None,
        password: None,
        tcp_ao: None,
        graceful_restart: settings.spec.graceful_restart.filter(|restart| restart.enabled).map(|restart| {
            GracefulRestart { restart_seconds: restart.restart_time_seconds, ..GracefulRestart::default() }
        }),
        families: families.iter().map(|(family, _)| *family).collect(),
        import: Some(import_policy()),
        export: Some(export_policy(&config.name, &offers)),
        max_prefixes: None,
        add_path: None,
        route_reflector_client: false,
        role: None,
        strict_role: false,
        graceful_shutdown: false,
        ignore_graceful_shutdown: false,
    };
    report.record(|trace| trace.back_to(Level::Peer));
    authenticate(scope, &settings.spec, object, &mut peer, report);
    Some(PeerOutcome { peer, offers })
}

fn settings<'s>(
    scope: &Scope<'s>,
    config: &CiliumBGPNodePeer,
) -> Result<Settings<'s>, (&'static str, Reason)> {
    let Some(reference) = &config.peer_config_ref else {
        return Ok(Settings { object: None, spec: Cow::Owned(CiliumBGPPeerConfigSpec::default()) });
    };
    match scope.snapshot.peer_configs.get(&reference.name) {
        Some(found) => Ok(Settings {
            object: Some(ObjectRef::cluster("CiliumBGPPeerConfig", &reference.name)),
            spec: Cow::Borrowed(&found.spec),
        }),
        None => {
            let (peer, name) = (config.name.clone(), reference.name.clone());
            Err(("peerConfigRef.name", Reason::PeerConfigMissing { peer, name }))
        }
    }
}

/// What the peer is offered, which peers of the instance with the same configuration have in common.
fn shared_offers(
    scope: &Scope<'_>,
    instance: &str,
    settings: &Settings<'_>,
    families: &[FamilyAdverts<'_>],
    object: &ObjectRef,
    report: &mut Report,
) -> Arc<OfferSet> {
    let key = settings.object.as_ref().filter(|_| !report.is_traced());
    let Some(key) = key.map(|config| (instance.to_owned(), config.name.clone())) else {
        return Arc::new(offers(scope, families, object, report).settle());
    };
    let known = scope.shared.borrow().get(&key).cloned();
    known.unwrap_or_else(|| {
        let offers = Arc::new(offers(scope, families, object, report).settle());
        scope.shared.borrow_mut().insert(key, Arc::clone(&offers));
        offers
    })
}

/// What the selected advertisements offer, over all families.
fn offers(
    scope: &Scope<'_>,
    families: &[FamilyAdverts<'_>],
    object: &ObjectRef,
    report: &mut Report,
) -> Offers {
    let mut offers = Offers::default();
    for (family, selectors) in families {
        for (selector, field) in selectors {
            report.record(|trace| trace.family(family.name(), field, selector.to_string()));
            if !scope.advertiser.offers(selector, *family, report, &mut offers)
                && selector.problem().is_none()
            {
                report.record(|trace| trace.back_to(Level::Family));
                report.add(Finding::on(object, field.clone(), Reason::AdvertisementsNotFound));
            }
        }
    }
    offers
}

fn timers(spec: &CiliumBGPPeerConfigSpec) -> Timers {
    let timers = spec.timers.unwrap_or_default();
    Timers {
        connect_retry_seconds: timers.connect_retry_time_seconds,
        hold_seconds: timers.hold_time_seconds,
        keepalive_seconds: timers.keep_alive_time_seconds,
    }
}

/// Where the peer is.
fn endpoint(
    scope: &Scope<'_>,
    config: &CiliumBGPNodePeer,
    transport: &CiliumBGPTransport,
) -> Result<Endpoint, (&'static str, Reason)> {
    let peer = config.name.clone();
    let Some(text) = config.peer_address.as_deref().filter(|text| !text.is_empty()) else {
        return match &config.auto_discovery {
            Some(discovery) => discovered(scope, peer, discovery),
            None => Err(("peerAddress", Reason::PeerAddressMissing { peer })),
        };
    };
    let invalid = |problem| {
        ("peerAddress", Reason::PeerAddressInvalid { peer: peer.clone(), value: text.to_owned(), problem })
    };
    if text.trim() != text {
        return Err(invalid("has blanks around it; remove them"));
    }
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_no_address| invalid("is no IP address"))?;
    match (is_link_local(address), zone) {
        (true, Some(zone)) => Ok(Endpoint { address, interface: Some(zone.to_owned()) }),
        (true, None) => match &transport.source_interface {
            Some(interface) => Ok(Endpoint { address, interface: Some(interface.clone()) }),
            None => Err(invalid("is link-local and does not say on which interface; write fe80::1%eth0")),
        },
        (false, Some(_)) => Err(invalid("has a zone, which only a link-local address can have; remove it")),
        (false, None) => Ok(Endpoint { address, interface: None }),
    }
}

/// The address that auto-discovery finds.
fn discovered(
    scope: &Scope<'_>,
    peer: String,
    discovery: &BGPAutoDiscovery,
) -> Result<Endpoint, (&'static str, Reason)> {
    let AutoDiscoveryMode::DefaultGateway = discovery.mode;
    let Some(wanted) = &discovery.default_gateway else {
        return Err(("autoDiscovery.defaultGateway", Reason::DefaultGatewayFamilyMissing { peer }));
    };
    let (is_ipv4, family) = match wanted.address_family {
        GatewayFamily::Ipv4 => (true, "IPv4"),
        GatewayFamily::Ipv6 => (false, "IPv6"),
    };
    match scope.local.network.default_gateway(is_ipv4) {
        Ok(address) => Ok(Endpoint { address, interface: None }),
        Err(why) => Err(("autoDiscovery", Reason::NoDefaultGateway { peer, family, why })),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whose field a source address comes from.
enum Blame {
    Node(Reason),
    PeerConfig(Reason),
}

/// The override's address, else the single usable one of `sourceInterface`, else the kernel's choice.
fn source_address(
    scope: &Scope<'_>,
    config: &CiliumBGPNodePeer,
    transport: &CiliumBGPTransport,
    remote: &Endpoint,
) -> Result<Option<IpAddr>, Blame> {
    let peer = config.name.clone();
    if let Some(text) = config.local_address.as_deref().filter(|text| !text.is_empty()) {
        let invalid = |problem| {
            Blame::Node(Reason::LocalAddressInvalid { peer: peer.clone(), value: text.to_owned(), problem })
        };
        let address: IpAddr = text.parse().map_err(|_no_address| invalid("is no IP address"))?;
        if address.is_ipv4() != remote.address.is_ipv4() {
            return Err(invalid("is of another address family than peerAddress"));
        }
        return Ok(Some(address));
    }
    let Some(interface) = &transport.source_interface else { return Ok(None) };
    if remote.interface.is_some() {
        return Ok(None);
    }
    let link = scope.local.network.links.get(interface);
    let usable: Vec<IpAddr> = link
        .into_iter()
        .flat_map(|link| link.addresses.iter().copied())
        .filter(|address| is_source(*address, remote.address))
        .collect();
    match usable[..] {
        [address] => Ok(Some(address)),
        _ => Err(Blame::PeerConfig(Reason::SourceInterfaceUnusable {
            peer,
            interface: interface.clone(),
            usable: usable.len(),
        })),
    }
}

fn is_source(address: IpAddr, remote: IpAddr) -> bool {
    address.is_ipv4() == remote.is_ipv4()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unspecified()
        && !is_link_local(address)
        && !matches!(address, IpAddr::V6(address) if is_mapped(address))
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// `localAddress` reaches the node configuration through the override of the node, unless that was written by hand.
fn override_finding(
    scope: &Scope<'_>,
    instance: &str,
    config: &CiliumBGPNodePeer,
    reason: Reason,
) -> Finding {
    let node = &scope.local.name;
    if let Some(overrides) = scope.snapshot.overrides.get(node) {
        let instances = &overrides.spec.bgp_instances;
        let found = instances.iter().position(|candidate| candidate.name == instance).and_then(|i| {
            let p = instances[i].peers.iter().position(|candidate| candidate.name == config.name)?;
            Some(format!("spec.bgpInstances[{i}].peers[{p}].localAddress"))
        });
        if let Some(field) = found {
            return Finding::on(&ObjectRef::cluster("CiliumBGPNodeConfigOverride", node), field, reason);
        }
    }
    Finding::on(&scope.author, "spec.bgpInstances", reason)
}

/// Sets the password, or takes the session down and says in its description why.
fn authenticate(
    scope: &Scope<'_>,
    spec: &CiliumBGPPeerConfigSpec,
    object: &ObjectRef,
    peer: &mut Peer,
    report: &mut Report,
) {
    const FIELD: &str = "spec.authSecretRef";
    let Some(name) = &spec.auth_secret_ref else { return };
    match secret::password(scope.snapshot, scope.options, &peer.name, name) {
        Ok(found) => {
            peer.password = Some(found.password);
            report.extend(found.warning.map(|reason| Finding::on(object, FIELD, reason)));
        }
        Err(reason) => {
            peer.shutdown = true;
            peer.description = Some(clip(&format!("down: {object} {FIELD}: {reason}")));
            report.add(Finding::on(object, FIELD, reason));
        }
    }
}

/// A description has at most 255 bytes and no line breaks.
fn clip(text: &str) -> String {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(char::is_control, " ")
}
