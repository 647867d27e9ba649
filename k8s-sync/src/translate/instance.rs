//! The agent's step: a CiliumBGPNodeConfig to the intent of one node.
//!
//! Invariant: the intent always passes `Intent::validate`. Every instance and every peer is tried alone by bgpd's own
//! rules first; what fails is left out by name and the rest runs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use rutter_api::intent::{Instance, Intent, Origin, Peer, Route};
use rutter_crds::CiliumBGPNodeConfig;
use rutter_crds::bgp_node_config::CiliumBGPNodeInstance;

use super::peer::{self, PeerOutcome};
use super::router_id::router_id;
use super::translator::Translator;
use crate::advertise::{Advertiser, Memo, Offer, OfferSet};
use crate::conditions::{Condition, ObjectConditions};
use crate::network::Network;
use crate::object::ObjectRef;
use crate::options::Options;
use crate::report::{Finding, Reason, Report, Severity};
use crate::snapshot::{NodeView, Snapshot};
use crate::trace::Level;

/// What only the node itself knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalNode {
    /// Name of the node.
    pub name: String,
    /// Its links and default routes.
    pub network: Network,
}

impl LocalNode {
    /// A node of this name whose network is not known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), network: Network::default() }
    }
}

/// What a node is to do.
#[derive(Clone, Debug, Default)]
pub struct NodeIntent {
    /// The intent for bgpd.
    pub intent: Intent,
    /// Conditions of the node's CiliumBGPNodeConfig, if it has one.
    pub conditions: Option<ObjectConditions>,
    /// Everything refused, ignored or not advertised.
    pub report: Report,
}

/// All that the agent's step looks at.
pub(super) struct Scope<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) options: &'s Options,
    pub(super) local: &'s LocalNode,
    pub(super) view: Option<NodeView<'s>>,
    pub(super) advertiser: Advertiser<'s>,
    /// Whom to blame for what the node configuration says: its cluster configuration, if one wrote it.
    pub(super) author: ObjectRef,
    /// What peers are offered, by instance and CiliumBGPPeerConfig: it is the same for all that name it.
    pub(super) shared: RefCell<BTreeMap<(String, String), Arc<OfferSet>>>,
}

/// Translates the configuration of a node.
#[must_use]
pub fn intent_for_node(
    snapshot: &Snapshot,
    config: Option<&CiliumBGPNodeConfig>,
    local: &LocalNode,
    options: &Options,
) -> NodeIntent {
    Translator::default().intent_for_node(snapshot, config, local, options)
}

/// The same, with what is recorded on the way in the report.
pub(crate) fn translate(
    snapshot: &Snapshot,
    config: Option<&CiliumBGPNodeConfig>,
    local: &LocalNode,
    options: &Options,
    (report, memo): (Report, Memo),
) -> (NodeIntent, Memo) {
    let mut result = NodeIntent { report, ..NodeIntent::default() };
    let node = ObjectRef::cluster("Node", &local.name);
    let view = snapshot.node(&local.name);
    if view.is_none() {
        result.report.add(Finding::about(&node, Reason::NodeUnknown));
    }
    let Some(config) = config else {
        result.report.add(Finding::about(&node, Reason::NodeNotSelected));
        return (result, Memo::default());
    };
    let scope = Scope {
        snapshot,
        options,
        local,
        advertiser: Advertiser::new(snapshot, local, view.clone(), options, memo),
        shared: RefCell::default(),
        view,
        author: author(config, &local.name),
    };
    let mut errors: Vec<(String, String)> = Vec::new();
    let mut listeners = BTreeMap::new();
    for (index, instance) in config.spec.bgp_instances.iter().enumerate() {
        let mut report = result.report.part();
        report.record(|trace| trace.instance(&instance.name));
        let path = format!("spec.bgpInstances[{index}]");
        if config.spec.bgp_instances[..index].iter().any(|earlier| earlier.name == instance.name) {
            let what = format!("instance {}", instance.name);
            report.add(Finding::on(&scope.author, format!("{path}.name"), Reason::DuplicateName { what }));
        } else if let Some(built) = build(&scope, instance, &path, &mut listeners, &mut report) {
            result.intent.instances.push(built);
        }
        let failed = report.iter().filter(|finding| finding.severity() == Severity::Error);
        errors.extend(failed.map(|finding| (instance.name.clone(), finding.to_string())));
        result.report.merge(report);
    }
    result.conditions = Some(ObjectConditions {
        object: ObjectRef::cluster("CiliumBGPNodeConfig", &local.name),
        observed_generation: config.metadata.generation,
        conditions: vec![Condition::reconcile_error(&errors)],
    });
    (result, scope.advertiser.into_memo())
}

/// People write cluster configurations; only a node configuration without one was written itself. The indices of
/// instances and peers are the same in both.
fn author(config: &CiliumBGPNodeConfig, node: &str) -> ObjectRef {
    let owners = config.metadata.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.kind == "CiliumBGPClusterConfig") {
        Some(owner) => ObjectRef::cluster("CiliumBGPClusterConfig", &owner.name),
        None => ObjectRef::cluster("CiliumBGPNodeConfig", node),
    }
}

fn build(
    scope: &Scope<'_>,
    config: &CiliumBGPNodeInstance,
    path: &str,
    listeners: &mut BTreeMap<u16, String>,
    report: &mut Report,
) -> Option<Instance> {
    let mut instance = shell(scope, config, path, report)?;
    if let Some(port) = config.local_port {
        match listeners.get(&port) {
            Some(other) => {
                let (instance, other) = (config.name.clone(), other.clone());
                let reason = Reason::ListenPortTaken { port, instance, other };
                report.add(Finding::on(&scope.author, format!("{path}.localPort"), reason));
            }
            None => {
                listeners.insert(port, config.name.clone());
                instance.listen_port = Some(port);
            }
        }
    }
    let bare = instance.clone();
    let mut offers: Vec<Arc<OfferSet>> = Vec::new();
    for (index, peer) in config.peers.iter().enumerate() {
        let path = format!("{path}.peers[{index}]");
        let peer_config = peer.peer_config_ref.as_ref().map(|reference| reference.name.as_str());
        report.record(|trace| trace.peer(&peer.name, peer_config));
        if config.peers[..index].iter().any(|earlier| earlier.name == peer.name) {
            let what = format!("peer {}", peer.name);
            report.add(Finding::on(&scope.author, format!("{path}.name"), Reason::DuplicateName { what }));
            continue;
        }
        let Some(PeerOutcome { peer, offers: of_peer }) =
            peer::build(scope, peer, &config.name, &path, report)
        else {
            continue;
        };
        report.record(|trace| trace.back_to(Level::Peer));
        if let Some(finding) = objection(&scope.author, (&bare, &instance.peers), &peer, &path) {
            report.add(finding);
            continue;
        }
        instance.peers.push(peer);
        if !offers.iter().any(|known| Arc::ptr_eq(known, &of_peer)) {
            offers.push(of_peer);
        }
    }
    instance.routes = routes(&offers);
    Some(instance)
}

/// The instance without peers and routes, if it can run.
fn shell(
    scope: &Scope<'_>,
    config: &CiliumBGPNodeInstance,
    path: &str,
    report: &mut Report,
) -> Option<Instance> {
    let mut refuse = |field: String, reason| report.add(Finding::on(&scope.author, field, reason));
    let Some(local_asn) = config.local_asn else {
        refuse(format!("{path}.localASN"), Reason::MissingLocalAsn { instance: config.name.clone() });
        return None;
    };
    let router_id = match router_id(&config.name, config.router_id.as_deref(), scope.view.as_ref()) {
        Ok(router_id) => router_id,
        Err(reason) => {
            refuse(path.to_owned(), reason);
            return None;
        }
    };
    let instance = Instance {
        name: config.name.clone(),
        local_asn,
        router_id,
        listen_port: None,
        listen_addresses: Vec::new(),
        peers: Vec::new(),
        routes: Vec::new(),
        maximum_paths: None,
        multipath_relax: false,
        peer_groups: Vec::new(),
        dynamic_peers: Vec::new(),
        graceful_restart: None,
        graceful_shutdown: false,
    };
    let alone = Intent { hold_seconds: None, instances: vec![instance.clone()] };
    if let Err(invalid) = alone.validate() {
        let field = invalid.field.trim_start_matches("instances[0].").to_owned();
        let what = format!("instance {}", config.name);
        refuse(format!("{path}.{field}"), Reason::NotAccepted { what, problem: invalid.problem.to_string() });
        return None;
    }
    Some(instance)
}

/// Why bgpd would not take the peer: an address twice, or bgpd's own rules. Statements are left out of that: what they are
/// made of is right by construction, and there may be thousands.
fn objection(
    author: &ObjectRef,
    (bare, others): (&Instance, &[Peer]),
    peer: &Peer,
    path: &str,
) -> Option<Finding> {
    let same = |other: &&Peer| other.address == peer.address && other.interface == peer.interface;
    if let Some(other) = others.iter().find(same) {
        let (other, address) = (other.name.clone(), peer.address.to_string());
        let reason = Reason::PeerAddressTaken { peer: peer.name.clone(), other, address };
        return Some(Finding::on(author, format!("{path}.peerAddress"), reason));
    }
    let mut alone = peer.clone();
    if let Some(export) = &mut alone.export {
        export.statements = Vec::new();
    }
    let alone = Instance { peers: vec![alone], ..bare.clone() };
    let invalid = Intent { hold_seconds: None, instances: vec![alone] }.validate().err()?;
    let field = invalid.field.trim_start_matches("instances[0].peers[0].");
    let problem = format!("{field}: {}", invalid.problem);
    Some(Finding::on(author, path, Reason::NotAccepted { what: format!("peer {}", peer.name), problem }))
}

/// The routes behind the statements of all peers. Policies decide who hears of which.
fn routes(sets: &[Arc<OfferSet>]) -> Vec<Route> {
    let mut all: Vec<(IpNet, &Offer)> = sets.iter().flat_map(|set| set.prefixes()).collect();
    if sets.len() > 1 {
        all.sort_by_key(|(prefix, _)| *prefix);
    }
    all.chunk_by(|a, b| a.0 == b.0)
        .filter_map(|same| {
            let (prefix, first) = *same.first()?;
            let incomplete = same.iter().any(|(_, offer)| offer.origin == Origin::Incomplete);
            let source = match same {
                [_] => Arc::clone(&first.source),
                several => {
                    let sources: BTreeSet<&str> = several.iter().map(|(_, offer)| &*offer.source).collect();
                    sources.into_iter().collect::<Vec<_>>().join(", ").into()
                }
            };
            Some(Route {
                prefix,
                origin: if incomplete { Origin::Incomplete } else { Origin::Igp },
                next_hop: None,
                med: None,
                local_preference: None,
                communities: Vec::new(),
                large_communities: Vec::new(),
                source: Some(source),
            })
        })
        .collect()
}
