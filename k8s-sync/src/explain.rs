//! Why a Service, a node or a prefix is announced from a node, or where the way ends: Kubernetes' half of `explain`.
//!
//! The translation is run once more, with a trace. Invariant: what is explained is what the node does, because the same
//! functions decided both; only the joining of links is done here.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use rutter_api::explain::chain::{InstanceChain, NodeFacts, Offered, PeerChain, Selection};
use rutter_api::explain::{BgpdAnswer, Explanation, Outcome, Subject};
use rutter_api::intent::{self, Intent, Verdict};
use rutter_crds::CiliumBGPNodeConfig;

use crate::advertise::{Advertiser, Memo};
use crate::object::NamespacedName;
use crate::options::Options;
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::trace::{About, Trace};
use crate::translate::{LocalNode, translate, unmet};

/// Why there is nothing to explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no such Service.
    #[error("there is no Service {0}")]
    Service(NamespacedName),
    /// There is no such node, or it is another one.
    #[error("node {asked:?} cannot be explained here, which is node {here}")]
    Node {
        /// The name that was asked for.
        asked: String,
        /// The name of this node.
        here: String,
    },
}

/// Explains a subject from the point of view of a node. `config` is the node's configuration, the one that
/// [`intent_for_node`](crate::translate::intent_for_node) is given.
///
/// # Errors
/// The subject does not exist.
pub fn explain(
    snapshot: &Snapshot,
    config: Option<&CiliumBGPNodeConfig>,
    local: &LocalNode,
    options: &Options,
    subject: &Subject,
) -> Result<Explanation, NotFound> {
    let advertiser = Advertiser::new(snapshot, local, snapshot.node(&local.name), options, Memo::default());
    let (about, names) = about(&advertiser, local, subject)?;
    let traced = Report::traced(Trace::new(about));
    let (mut translated, _) = translate(snapshot, config, local, options, (traced, Memo::default()));
    let trace = translated.report.take_trace();
    let (notes, mut instances) = trace.map(|trace| (trace.node, trace.instances)).unwrap_or_default();
    let wanted = wanted(subject, &instances);
    for chain in &mut instances {
        complete(chain, &translated.intent, &wanted);
    }
    let explanation = Explanation {
        node: local.name.clone(),
        subject: subject.clone(),
        outcome: Outcome::default(),
        services: names.iter().filter_map(|name| advertiser.service_facts(name)).collect(),
        node_facts: NodeFacts { notes, ..node_facts(snapshot, config, &local.name) },
        instances,
        bgpd: BgpdAnswer::NotAsked { why: String::new() },
    };
    Ok(explanation.with_bgpd(BgpdAnswer::NotAsked { why: "no bgpd was asked".to_owned() }))
}

fn about(
    advertiser: &Advertiser<'_>,
    local: &LocalNode,
    subject: &Subject,
) -> Result<(About, BTreeSet<NamespacedName>), NotFound> {
    Ok(match subject {
        Subject::Service { namespace, name } => {
            let name = NamespacedName::new(namespace, name);
            if advertiser.service_facts(&name).is_none() {
                return Err(NotFound::Service(name));
            }
            let names = BTreeSet::from([name]);
            (About::Services { names: names.clone(), only: None }, names)
        }
        Subject::Prefix { prefix } => {
            let names = advertiser.services_within(prefix);
            let about = match names.is_empty() {
                true => About::Prefix(*prefix),
                false => About::Services { names: names.clone(), only: Some(*prefix) },
            };
            (about, names)
        }
        Subject::Node { name } if *name == local.name => (About::Node, BTreeSet::new()),
        Subject::Node { name } => {
            return Err(NotFound::Node { asked: name.clone(), here: local.name.clone() });
        }
    })
}

/// The prefixes that the subject leads to.
fn wanted(subject: &Subject, instances: &[InstanceChain]) -> BTreeSet<IpNet> {
    if let Subject::Prefix { prefix } = subject {
        return BTreeSet::from([*prefix]);
    }
    let families = instances.iter().flat_map(|instance| &instance.peers).flat_map(|peer| &peer.families);
    let entries = families.flat_map(|family| &family.advertisements).flat_map(|one| &one.entries);
    entries.flat_map(|entry| &entry.offers).map(|offer| offer.prefix).collect()
}

/// Adds what became of an instance in the intent.
fn complete(chain: &mut InstanceChain, intent: &Intent, wanted: &BTreeSet<IpNet>) {
    let Some(instance) = intent.instances.iter().find(|instance| instance.name == chain.name) else { return };
    chain.runs = true;
    chain.local_asn = Some(instance.local_asn);
    chain.router_id = Some(instance.router_id.to_string());
    let peers: BTreeMap<&str, &intent::Peer> =
        instance.peers.iter().map(|peer| (peer.name.as_str(), peer)).collect();
    for peer in &mut chain.peers {
        if let Some(configured) = peers.get(peer.name.as_str()) {
            complete_peer(peer, configured, wanted);
        }
    }
}

fn complete_peer(chain: &mut PeerChain, peer: &intent::Peer, wanted: &BTreeSet<IpNet>) {
    chain.configured = true;
    chain.address = Some(peer.address.to_string());
    chain.peer_asn = peer.peer_asn;
    let Some(export) = &peer.export else { return };
    chain.policy.clone_from(&export.name);
    let accepting = || export.statements.iter().filter(|statement| statement.action == Verdict::Accept);
    chain.prefixes = accepting()
        .flat_map(|statement| &statement.prefixes)
        .map(|one| one.prefix)
        .collect::<BTreeSet<_>>()
        .len();
    for prefix in wanted {
        let first =
            accepting().find(|statement| statement.prefixes.iter().any(|range| contains(range, prefix)));
        chain.offered.extend(first.map(|statement| Offered {
            prefix: *prefix,
            statement: statement.name.clone(),
            actions: statement.set.clone(),
        }));
    }
}

fn contains(range: &intent::PrefixMatch, prefix: &IpNet) -> bool {
    let shortest = range.min_length.unwrap_or_else(|| range.prefix.prefix_len());
    let longest = range.max_length.unwrap_or(shortest);
    range.prefix.contains(prefix) && (shortest..=longest).contains(&prefix.prefix_len())
}

fn node_facts(snapshot: &Snapshot, config: Option<&CiliumBGPNodeConfig>, node: &str) -> NodeFacts {
    let view = snapshot.node(node);
    let owners = config.and_then(|config| config.metadata.owner_references.as_deref()).unwrap_or_default();
    let selections = snapshot.cluster_configs.iter().map(|(name, config)| Selection {
        name: name.clone(),
        selector: config
            .spec
            .node_selector
            .as_ref()
            .map_or_else(|| "everything".to_owned(), ToString::to_string),
        unmet: view.as_ref().map(|view| unmet(config, view)).unwrap_or_default(),
    });
    NodeFacts {
        cluster_config: owners
            .iter()
            .find(|owner| owner.kind == "CiliumBGPClusterConfig")
            .map(|owner| owner.name.clone()),
        configured: config.is_some(),
        cluster_configs: selections.collect(),
        pod_cidrs: view.iter().flat_map(|view| view.pod_cidrs()).map(str::to_owned).collect(),
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::manifests::Directory;
    use crate::translate::{intent_for_node, node_configs};

    /// Every folder of the golden tests, every node, every kind of question: who watches changes nothing.
    #[test]
    fn recording_changes_no_intent_and_no_finding() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut compared = 0;
        for case in std::fs::read_dir(root).unwrap() {
            let folder = tempfile::tempdir().unwrap();
            for file in std::fs::read_dir(case.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "yaml") {
                    std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
                }
            }
            let mut directory = Directory::new(folder.path());
            directory.refresh(Timestamp::UNIX_EPOCH);
            let (snapshot, options) = (directory.snapshot(), Options::default());
            let plan = node_configs(&snapshot, &options);
            for node in snapshot.node_names() {
                let (config, local) = (plan.node_config(node).map(AsRef::as_ref), LocalNode::named(node));
                let plain = intent_for_node(&snapshot, config, &local, &options);
                let services = snapshot.services.keys().map(|name| NamespacedName::clone(name));
                let names: BTreeSet<NamespacedName> = services.collect();
                let prefix = "172.16.1.1/32".parse().unwrap();
                for about in [
                    About::Node,
                    About::Prefix(prefix),
                    About::Services { names: names.clone(), only: None },
                    About::Services { names: names.clone(), only: Some(prefix) },
                ] {
                    let traced = (Report::traced(Trace::new(about)), Memo::default());
                    let (mut watched, _) = translate(&snapshot, config, &local, &options, traced);
                    assert!(watched.report.take_trace().is_some(), "the trace is lost on the way");
                    assert_eq!(watched.intent, plain.intent, "{}", folder.path().display());
                    assert_eq!(watched.report, plain.report);
                    compared += 1;
                }
            }
        }
        assert!(compared > 200, "{compared} comparisons");
    }
}
