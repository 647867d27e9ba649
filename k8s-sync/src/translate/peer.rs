//! One peer of a node: its address, its CiliumBGPPeerConfig, and the policies that let routes out and none in.
//!
//! Invariant: nothing leaves without a statement that names its prefix, and nothing received is used: Cilium's speaker
//! keeps what peers send in the Adj-RIB-In and rejects it there (policy `allow-local`).

use std::net::{IpAddr, Ipv6Addr};

use rutter_api::intent::{
    Actions, Family, GracefulRestart, Peer, Policy, PrefixMatch, SourceMatch, Statement, Timers, Verdict,
};
use rutter_crds::bgp_node_config::CiliumBGPNodePeer;
use rutter_crds::bgp_peer_config::{Afi, CiliumBGPFamilyWithAdverts, CiliumBGPTransport, Safi};
use rutter_crds::{CiliumBGPPeerConfigSpec, LabelSelector};

use super::cluster_config::selector_reason;
use super::instance::Scope;
use super::secret;
use crate::advertise::{Offer, Offers};
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};

/// A peer and what is offered to it.
pub(super) struct PeerOutcome {
    pub(super) peer: Peer,
    pub(super) offers: Offers,
}

/// An address, and the interface that a link-local one belongs to.
struct Endpoint {
    address: IpAddr,
    interface: Option<String>,
}

/// The peer, unless it has to be left out.
pub(super) fn build(
    scope: &Scope<'_>,
    config: &CiliumBGPNodePeer,
    instance: &str,
    path: &str,
    report: &mut Report,
) -> Option<PeerOutcome> {
    let mut refuse =
        |field: &str, reason| report.add(Finding::on(&scope.author, format!("{path}.{field}"), reason));
    let reference = config.peer_config_ref.as_ref();
    let peer_config = match reference {
        None => None,
        Some(reference) => match scope.snapshot.peer_configs.get(&reference.name) {
            Some(found) => Some(found),
            None => {
                let (peer, name) = (config.name.clone(), reference.name.clone());
                refuse("peerConfigRef.name", Reason::PeerConfigMissing { peer, name });
                return None;
            }
        },
    };
    let defaults = CiliumBGPPeerConfigSpec::default();
    let spec = peer_config.map_or(&defaults, |found| &found.spec);
    let transport = spec.transport.clone().unwrap_or_default();
    let Some(peer_asn) = config.peer_asn else {
        refuse("peerASN", Reason::PeerAsnMissing { peer: config.name.clone() });
        return None;
    };
    let remote = match endpoint(config, &transport) {
        Ok(remote) => remote,
        Err((field, reason)) => {
            refuse(field, reason);
            return None;
        }
    };
    let peer_object =
        ObjectRef::cluster("CiliumBGPPeerConfig", reference.map_or("", |reference| &reference.name));
    let local_address = match source_address(scope, config, &transport, &remote) {
        Ok(local_address) => local_address,
        Err(Blame::Node(reason)) => {
            report.add(override_finding(scope, instance, config, reason));
            return None;
        }
        Err(Blame::PeerConfig(reason)) => {
            report.add(Finding::on(&peer_object, "spec.transport.sourceInterface", reason));
            return None;
        }
    };
    let mut peer = Peer {
        name: config.name.clone(),
        address: remote.address,
        peer_asn: (peer_asn != 0).then_some(peer_asn),
        port: transport.peer_port,
        local_address,
        interface: remote.interface,
        passive: false,
        shutdown: false,
        description: None,
        timers: timers(spec),
        ebgp_multihop: (spec.ebgp_multihop > 1).then_some(spec.ebgp_multihop),
        password: None,
        graceful_restart: spec
            .graceful_restart
            .filter(|restart| restart.enabled)
            .map(|restart| GracefulRestart { restart_seconds: restart.restart_time_seconds }),
        families: Vec::new(),
        import: Some(import_policy()),
        export: None,
        max_prefixes: None,
        route_reflector_client: false,
    };
    authenticate(scope, spec, &peer_object, &mut peer, report);
    let families = families(scope, spec, &peer_object, &config.name, report)?;
    let mut offers = Offers::default();
    for (family, selectors) in families {
        peer.families.push(family);
        for (selector, field) in selectors {
            let found = scope.advertiser.offers(selector, family, report, &mut offers);
            if let (false, Some(field)) = (found, field) {
                report.add(Finding::on(&peer_object, field, Reason::AdvertisementsNotFound));
            }
        }
    }
    peer.export = Some(export_policy(&peer.name, &offers));
    Some(PeerOutcome { peer, offers })
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
    config: &CiliumBGPNodePeer,
    transport: &CiliumBGPTransport,
) -> Result<Endpoint, (&'static str, Reason)> {
    let peer = config.name.clone();
    let Some(text) = config.peer_address.as_deref().filter(|text| !text.is_empty()) else {
        return Err(if config.auto_discovery.is_some() {
            ("autoDiscovery", Reason::AutoDiscoveryNotSupported { peer })
        } else {
            ("peerAddress", Reason::PeerAddressMissing { peer })
        });
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
    let addresses = scope.local.interfaces.get(interface).map(Vec::as_slice).unwrap_or_default();
    let usable: Vec<IpAddr> =
        addresses.iter().copied().filter(|address| is_source(*address, remote.address)).collect();
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

/// A family and the selectors of what is advertised in it, each with its field if it is written.
type FamilyAdverts<'s> = (Family, Vec<(&'s LabelSelector, Option<String>)>);

fn families<'s>(
    scope: &Scope<'_>,
    spec: &'s CiliumBGPPeerConfigSpec,
    object: &ObjectRef,
    peer: &str,
    report: &mut Report,
) -> Option<Vec<FamilyAdverts<'s>>> {
    if spec.families.is_empty() {
        let object = if object.name.is_empty() { &scope.author } else { object };
        report.add(Finding::on(object, "spec.families", Reason::FamiliesAbsent));
        return Some(vec![(Family::Ipv4Unicast, Vec::new()), (Family::Ipv6Unicast, Vec::new())]);
    }
    let mut families: Vec<FamilyAdverts<'s>> = Vec::new();
    for (index, entry) in spec.families.iter().enumerate() {
        let field = format!("spec.families[{index}]");
        let Some(family) = supported(entry) else {
            let (afi, safi) = (word(&entry.afi), word(&entry.safi));
            report.add(Finding::on(object, field, Reason::FamilyNotSupported { afi, safi }));
            continue;
        };
        let at = families.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            families.push((family, Vec::new()));
            families.len() - 1
        });
        match &entry.advertisements {
            Some(selector) => {
                let field = format!("{field}.advertisements");
                if let Some(problem) = selector.problem() {
                    let field = format!("{field}.matchExpressions");
                    report.add(Finding::on(object, field, selector_reason(problem)));
                }
                families[at].1.push((selector, Some(field)));
            }
            None => {
                report.add(Finding::on(object, field, Reason::AdvertisementsAbsent));
            }
        }
    }
    if families.is_empty() {
        let reason = Reason::NoSupportedFamily { peer: peer.to_owned() };
        report.add(Finding::on(object, "spec.families", reason));
        return None;
    }
    families.sort_by_key(|(family, _)| *family);
    Some(families)
}

fn supported(entry: &CiliumBGPFamilyWithAdverts) -> Option<Family> {
    match (entry.afi, entry.safi) {
        (Afi::Ipv4, Safi::Unicast) => Some(Family::Ipv4Unicast),
        (Afi::Ipv6, Safi::Unicast) => Some(Family::Ipv6Unicast),
        _ => None,
    }
}

/// The word that the CRD has for an enumerated value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

fn import_policy() -> Policy {
    let accept_local = Statement {
        name: "accept-local".to_owned(),
        families: Vec::new(),
        prefixes: Vec::new(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: Actions::default(),
    };
    Policy { name: "allow-local".to_owned(), default_action: Verdict::Reject, statements: vec![accept_local] }
}

/// One statement per offer, by priority, then name. Offers that Cilium gives the same name (service `a-b` in `c` and `a`
/// in `b-c`) stay two statements here; the second name gets a number.
fn export_policy(peer: &str, offers: &Offers) -> Policy {
    let mut statements: Vec<Statement> = Vec::new();
    for offer in offers.iter() {
        let mut name = offer.statement.clone();
        let mut number = 2;
        while statements.iter().any(|statement| statement.name == name) {
            name = format!("{}-{number}", offer.statement);
            number += 1;
        }
        statements.push(statement(offer, name));
    }
    Policy { name: format!("peer-{peer}-export"), default_action: Verdict::Reject, statements }
}

fn statement(offer: &Offer, name: String) -> Statement {
    let exact = |prefix: &ipnet::IpNet| PrefixMatch { prefix: *prefix, min_length: None, max_length: None };
    Statement {
        name,
        families: vec![offer.family],
        prefixes: offer.prefixes.iter().map(exact).collect(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: offer.attributes.actions(),
    }
}
