//! What to write: the difference between a plan and what the API server has, as a value.
//!
//! Invariants: what says the same already is not written. Nothing is deleted that the garbage collector has to collect, or
//! that no cluster configuration owns. Every change names the version of the object it was computed from.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_sync::conditions::{OPERATOR_TYPES, Reasons};
use k8s_sync::object::ObjectRef;
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::ClusterPlan;
use rutter_crds::{CiliumBGPNodeConfig, CiliumBGPNodeConfigSpec, Condition};

/// What the administrator decided about writing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Whether conditions are kept (`enable-bgp-control-plane-status-report`).
    pub(crate) report_status: bool,
    /// In whose words.
    pub(crate) reasons: Reasons,
}

/// One object to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// What is written.
    pub(crate) object: ObjectRef,
    /// The object to count an error against: what a person wrote.
    pub(crate) blame: ObjectRef,
    /// Version and uid of the object this was computed from; absent when there is none yet.
    pub(crate) based_on: Option<Version>,
    pub(crate) act: Act,
}

/// Which object, and which state of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) uid: String,
    pub(crate) version: String,
}

/// How it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// A node configuration is to be like this.
    Apply { owner: OwnerReference, spec: CiliumBGPNodeConfigSpec },
    /// A node configuration is to go.
    Delete,
    /// These conditions are to be like this, the others are not ours.
    Conditions(Vec<Condition>),
    /// Our conditions are to go; these stay.
    OnlyConditions(Vec<Condition>),
}

impl Act {
    /// Its name in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Delete => "delete",
            Self::Conditions(_) => "set conditions of",
            Self::OnlyConditions(_) => "remove conditions from",
        }
    }
}

const CLUSTER_CONFIG: &str = "CiliumBGPClusterConfig";
const PEER_CONFIG: &str = "CiliumBGPPeerConfig";
pub(crate) const NODE_CONFIG: &str = "CiliumBGPNodeConfig";

/// All changes that lead from the snapshot to the plan.
pub(crate) fn changes(
    snapshot: &Snapshot,
    plan: &ClusterPlan,
    policy: Policy,
    now: Timestamp,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if policy.report_status {
        for wanted in &plan.conditions {
            let Some((metadata, existing)) = conditions_of(snapshot, &wanted.object) else { continue };
            if let Some(conditions) = wanted.to_write(existing, policy.reasons, now) {
                let act = Act::Conditions(conditions);
                changes.push(Change::of(wanted.object.clone(), metadata, act));
            }
        }
    } else {
        changes.extend(cleared(snapshot));
    }
    // Conditions first: they are few, and what they say should not wait for thousands of nodes.
    changes.extend(plan.removed.iter().filter_map(|node| delete(snapshot, node)));
    changes.extend(plan.node_configs.iter().filter_map(|(node, wanted)| {
        apply(node, wanted, snapshot.node_configs.get(node).map(AsRef::as_ref))
    }));
    changes
}

impl Change {
    fn of(object: ObjectRef, metadata: &ObjectMeta, act: Act) -> Self {
        Self { blame: object.clone(), object, based_on: Some(Version::of(metadata)), act }
    }
}

impl Version {
    fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

fn apply(node: &str, wanted: &CiliumBGPNodeConfig, existing: Option<&CiliumBGPNodeConfig>) -> Option<Change> {
    let owner = controller(wanted)?.clone();
    if let Some(existing) = existing {
        // What is being deleted cannot be kept; its successor will be made when it is gone.
        let owned = controller(existing).is_some_and(|has| has.uid == owner.uid);
        let same = owned && in_order(&existing.spec) == in_order(&wanted.spec);
        if same || existing.metadata.deletion_timestamp.is_some() {
            return None;
        }
    }
    Some(Change {
        object: ObjectRef::cluster(NODE_CONFIG, node),
        blame: ObjectRef::cluster(CLUSTER_CONFIG, &owner.name),
        based_on: existing.map(|existing| Version::of(&existing.metadata)),
        act: Act::Apply { owner, spec: wanted.spec.clone() },
    })
}

/// Only what a living cluster configuration owns and does not want any more. What has lost its owner is the garbage
/// collector's: it knows better than a cache whether the owner is gone.
fn delete(snapshot: &Snapshot, node: &str) -> Option<Change> {
    let existing = snapshot.node_configs.get(node)?;
    let owner = controller(existing)?;
    let living = snapshot.cluster_configs.get(&owner.name)?.metadata.uid.as_deref() == Some(&owner.uid);
    let going = existing.metadata.deletion_timestamp.is_some();
    (living && !going).then(|| Change {
        blame: ObjectRef::cluster(CLUSTER_CONFIG, &owner.name),
        ..Change::of(ObjectRef::cluster(NODE_CONFIG, node), &existing.metadata, Act::Delete)
    })
}

fn cleared(snapshot: &Snapshot) -> impl Iterator<Item = Change> {
    let clusters = snapshot.cluster_configs.keys().map(|name| ObjectRef::cluster(CLUSTER_CONFIG, name));
    let peers = snapshot.peer_configs.keys().map(|name| ObjectRef::cluster(PEER_CONFIG, name));
    clusters.chain(peers).filter_map(|object| {
        let (metadata, existing) = conditions_of(snapshot, &object)?;
        let ours = |condition: &&Condition| OPERATOR_TYPES.contains(&condition.type_.as_str());
        existing.iter().any(|condition| ours(&condition)).then(|| {
            let others = existing.iter().filter(|condition| !ours(condition)).cloned().collect();
            Change::of(object.clone(), metadata, Act::OnlyConditions(others))
        })
    })
}

fn conditions_of<'s>(
    snapshot: &'s Snapshot,
    object: &ObjectRef,
) -> Option<(&'s ObjectMeta, &'s [Condition])> {
    match object.kind {
        CLUSTER_CONFIG => snapshot.cluster_configs.get(&object.name).map(|config| {
            (&config.metadata, config.status.as_ref().map_or(&[][..], |status| &status.conditions))
        }),
        PEER_CONFIG => snapshot.peer_configs.get(&object.name).map(|config| {
            (&config.metadata, config.status.as_ref().map_or(&[][..], |status| &status.conditions))
        }),
        _ => None,
    }
}

fn controller(config: &CiliumBGPNodeConfig) -> Option<&OwnerReference> {
    config.metadata.owner_references.iter().flatten().find(|owner| owner.kind == CLUSTER_CONFIG)
}

/// Both lists are maps by name: their order means nothing.
fn in_order(spec: &CiliumBGPNodeConfigSpec) -> CiliumBGPNodeConfigSpec {
    let mut spec = spec.clone();
    spec.bgp_instances.sort_by(|a, b| a.name.cmp(&b.name));
    for instance in &mut spec.bgp_instances {
        instance.peers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    spec
}

#[cfg(test)]
mod tests;
