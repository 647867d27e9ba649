//! The operator's step: CiliumBGPClusterConfigs and overrides to one CiliumBGPNodeConfig per node, with conditions.
//!
//! Invariant: a node belongs to at most one cluster configuration: the one that owns it already, else the oldest that
//! selects it, else, at the same age, the first by name. Nothing is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use rutter_crds::bgp_node_config::{CiliumBGPNodeInstance, CiliumBGPNodePeer};
use rutter_crds::{CiliumBGPClusterConfig, CiliumBGPNodeConfig, CiliumBGPNodeConfigSpec, SelectorProblem};

use super::{node_override, router_id_pool};
use crate::conditions::{Condition, ObjectConditions, bracketed};
use crate::object::{NamespacedName, ObjectRef};
use crate::options::Options;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::{NodeView, Snapshot};

/// What the operator would write.
#[derive(Clone, Debug, Default)]
pub struct ClusterPlan {
    /// Node configurations to create or keep, by node.
    pub node_configs: BTreeMap<String, Arc<CiliumBGPNodeConfig>>,
    /// Existing node configurations that belong to no cluster configuration: they stay as they are.
    pub foreign: BTreeMap<String, Arc<CiliumBGPNodeConfig>>,
    /// Nodes whose existing configuration has lost its owner and is to be deleted.
    pub removed: Vec<String>,
    /// Conditions of cluster and peer configurations.
    pub conditions: Vec<ObjectConditions>,
    /// Everything refused or ignored.
    pub report: Report,
}

impl ClusterPlan {
    /// The configuration in force for a node.
    #[must_use]
    pub fn node_config(&self, node: &str) -> Option<&Arc<CiliumBGPNodeConfig>> {
        self.foreign.get(node).or_else(|| self.node_configs.get(node))
    }
}

/// Who has the node.
enum Owner<'s> {
    Nobody,
    ClusterConfig(&'s str),
    /// A node configuration without owner, written by hand.
    Foreign,
}

/// Computes the node configurations and the conditions of all cluster and peer configurations.
#[must_use]
pub fn node_configs(snapshot: &Snapshot, options: &Options) -> ClusterPlan {
    let mut plan = ClusterPlan::default();
    let mut configs: Vec<&CiliumBGPClusterConfig> =
        snapshot.cluster_configs.values().map(Arc::as_ref).collect();
    configs.sort_by_key(|config| age(config));
    let mut matching: BTreeMap<&str, usize> = BTreeMap::new();
    let mut conflicts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for config in &configs {
        check_selector(config, &mut plan.report);
    }
    for node in snapshot.node_names() {
        let selected: Vec<&&CiliumBGPClusterConfig> =
            configs.iter().filter(|config| selects(config, snapshot, node)).collect();
        for config in &selected {
            *matching.entry(name(config)).or_default() += 1;
        }
        match owner(snapshot, node, &selected, &mut plan.report) {
            Owner::Foreign => {
                if let Some(config) = snapshot.node_configs.get(node) {
                    plan.foreign.insert(node.to_owned(), Arc::clone(config));
                }
                for config in &selected {
                    let reason = Reason::NodeConfigNotOwned { node: node.to_owned() };
                    plan.report.add(Finding::on(&reference(config), "spec.nodeSelector", reason));
                }
            }
            Owner::Nobody => {}
            Owner::ClusterConfig(owner) => {
                for config in selected {
                    if name(config) == owner {
                        let computed = node_config(snapshot, config, node, &mut plan.report);
                        plan.node_configs.insert(node.to_owned(), Arc::new(computed));
                    } else {
                        conflicts.entry(name(config)).or_default().insert(owner);
                    }
                }
            }
        }
    }
    for (node, existing) in snapshot.node_configs.iter() {
        if !plan.node_configs.contains_key(node) && controller(existing).is_none() {
            plan.foreign.insert(node.clone(), Arc::clone(existing));
        }
    }
    router_id_pool::allocate(snapshot, &options.router_ids, &mut plan);
    // What belongs to a cluster configuration and is wanted by none any more.
    let wanted = |node: &&String| plan.node_configs.contains_key(*node) || plan.foreign.contains_key(*node);
    let removed: Vec<String> = snapshot.node_configs.keys().filter(|node| !wanted(node)).cloned().collect();
    plan.removed = removed;
    node_override::report_unused(snapshot, &plan.node_configs, &mut plan.report);
    for config in configs {
        let matching = matching.get(name(config)).copied().unwrap_or_default();
        let others: Vec<&str> = conflicts.get(name(config)).into_iter().flatten().copied().collect();
        cluster_conditions(snapshot, config, matching, &others, &mut plan);
    }
    peer_conditions(snapshot, options, &mut plan);
    plan
}

/// Oldest first, then by name. An object without a creation time counts as the newest.
fn age(config: &CiliumBGPClusterConfig) -> (bool, Option<jiff::Timestamp>, String) {
    let created = config.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, name(config).to_owned())
}

fn name(config: &CiliumBGPClusterConfig) -> &str {
    config.metadata.name.as_deref().unwrap_or_default()
}

fn reference(config: &CiliumBGPClusterConfig) -> ObjectRef {
    ObjectRef::cluster("CiliumBGPClusterConfig", name(config))
}

fn selects(config: &CiliumBGPClusterConfig, snapshot: &Snapshot, node: &str) -> bool {
    let Some(view) = snapshot.node(node) else { return false };
    config.spec.node_selector.as_ref().is_none_or(|selector| selector.matches(|key| view.label(key)))
}

/// What keeps a configuration from selecting a node that exists: the requirements that its labels do not meet.
pub(crate) fn unmet(config: &CiliumBGPClusterConfig, view: &NodeView<'_>) -> Vec<String> {
    let selector = config.spec.node_selector.iter();
    selector
        .flat_map(|selector| selector.unmet(|key| view.label(key)))
        .map(|unmet| unmet.to_string())
        .collect()
}

fn check_selector(config: &CiliumBGPClusterConfig, report: &mut Report) {
    if let Some(problem) = config.spec.node_selector.as_ref().and_then(|selector| selector.problem()) {
        report.add(Finding::on(
            &reference(config),
            "spec.nodeSelector.matchExpressions",
            selector_reason(problem),
        ));
    }
}

/// What Kubernetes says about a requirement that cannot be evaluated.
pub(crate) fn selector_reason(problem: SelectorProblem) -> Reason {
    match problem {
        SelectorProblem::ValuesMissing { key, .. } => {
            Reason::SelectorInvalid { key, problem: "has operator In or NotIn and no values" }
        }
        SelectorProblem::ValuesNotAllowed { key, .. } => {
            Reason::SelectorInvalid { key, problem: "has operator Exists or DoesNotExist and values" }
        }
    }
}

/// The controller of a node configuration, if it is a cluster configuration.
fn controller(config: &CiliumBGPNodeConfig) -> Option<&OwnerReference> {
    let owners = config.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.kind == "CiliumBGPClusterConfig")
}

fn owner<'s>(
    snapshot: &'s Snapshot,
    node: &str,
    selected: &[&&'s CiliumBGPClusterConfig],
    report: &mut Report,
) -> Owner<'s> {
    if let Some(existing) = snapshot.node_configs.get(node) {
        let Some(controller) = controller(existing) else { return Owner::Foreign };
        if let Some(config) = selected.iter().find(|config| name(config) == controller.name) {
            return Owner::ClusterConfig(name(config));
        }
        if !snapshot.cluster_configs.contains_key(&controller.name) {
            let object = ObjectRef::cluster("CiliumBGPNodeConfig", node);
            report
                .add(Finding::about(&object, Reason::NodeConfigOrphaned { owner: controller.name.clone() }));
        }
    }
    selected.first().map_or(Owner::Nobody, |config| Owner::ClusterConfig(name(config)))
}

fn node_config(
    snapshot: &Snapshot,
    config: &CiliumBGPClusterConfig,
    node: &str,
    report: &mut Report,
) -> CiliumBGPNodeConfig {
    let mut spec = CiliumBGPNodeConfigSpec {
        bgp_instances: config
            .spec
            .bgp_instances
            .iter()
            .map(|instance| CiliumBGPNodeInstance {
                name: instance.name.clone(),
                local_asn: instance.local_asn,
                local_port: instance.local_port,
                router_id: None,
                peers: instance
                    .peers
                    .iter()
                    .map(|peer| CiliumBGPNodePeer {
                        name: peer.name.clone(),
                        peer_address: peer.peer_address.clone(),
                        peer_asn: Some(peer.peer_asn),
                        auto_discovery: peer.auto_discovery.clone(),
                        local_address: None,
                        peer_config_ref: peer.peer_config_ref.clone(),
                    })
                    .collect(),
            })
            .collect(),
    };
    if let Some(overrides) = snapshot.overrides.get(node) {
        node_override::apply(&overrides.spec, node, &mut spec, report);
    }
    let owner = OwnerReference {
        api_version: "cilium.io/v2".to_owned(),
        kind: "CiliumBGPClusterConfig".to_owned(),
        name: name(config).to_owned(),
        uid: config.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let metadata = ObjectMeta {
        name: Some(node.to_owned()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    CiliumBGPNodeConfig { metadata, spec, status: None }
}

fn cluster_conditions(
    snapshot: &Snapshot,
    config: &CiliumBGPClusterConfig,
    matching: usize,
    others: &[&str],
    plan: &mut ClusterPlan,
) {
    let object = reference(config);
    let mut missing: Vec<&str> = config
        .spec
        .bgp_instances
        .iter()
        .flat_map(|instance| &instance.peers)
        .filter_map(|peer| peer.peer_config_ref.as_ref())
        .map(|reference| reference.name.as_str())
        .filter(|name| !snapshot.peer_configs.contains_key(*name))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if matching == 0 {
        plan.report.add(Finding::on(&object, "spec.nodeSelector", Reason::NoMatchingNode));
    }
    if !missing.is_empty() {
        let names = bracketed(&missing);
        plan.report.add(Finding::on(&object, "spec.bgpInstances", Reason::MissingPeerConfigs { names }));
    }
    if !others.is_empty() {
        let names = bracketed(others);
        plan.report.add(Finding::on(
            &object,
            "spec.nodeSelector",
            Reason::ConflictingClusterConfig { names },
        ));
    }
    plan.conditions.push(ObjectConditions {
        object,
        observed_generation: config.metadata.generation,
        // Sorted by type.
        conditions: vec![
            Condition::conflicting_cluster_config(others),
            Condition::missing_peer_configs(&missing),
            Condition::no_matching_node(matching == 0),
        ],
    });
}

/// Conditions of peer configurations are kept only where Secrets can be looked up at all.
fn peer_conditions(snapshot: &Snapshot, options: &Options, plan: &mut ClusterPlan) {
    let Some(namespace) = &options.secrets_namespace else { return };
    for (name, config) in snapshot.peer_configs.iter() {
        let object = ObjectRef::cluster("CiliumBGPPeerConfig", name);
        let secret =
            config.spec.auth_secret_ref.as_deref().map(|secret| {
                (secret, snapshot.secrets.contains_key(&NamespacedName::new(namespace, secret)))
            });
        if let Some((secret, false)) = secret {
            let reason = Reason::MissingAuthSecret { name: secret.to_owned(), namespace: namespace.clone() };
            plan.report.add(Finding::on(&object, "spec.authSecretRef", reason));
        }
        plan.conditions.push(ObjectConditions {
            object,
            observed_generation: config.metadata.generation,
            conditions: vec![Condition::missing_auth_secret(secret)],
        });
    }
}
