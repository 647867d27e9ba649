//! Conditions as Cilium 1.20 writes them: types, reasons and messages to the letter.
//!
//! They are computed without a clock: whoever writes them adds the transition time when the status changed.

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rutter_crds::ConditionStatus;
use serde::{Serialize, Serializer};

use crate::object::ObjectRef;

/// A condition, but for its transition time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Type, e.g. `cilium.io/NoMatchingNode`.
    #[serde(rename = "type")]
    pub type_: &'static str,
    /// Whether it holds.
    #[serde(serialize_with = "true_or_false")]
    pub status: bool,
    /// Reason, one word.
    pub reason: &'static str,
    /// Text for people; empty when the condition does not hold and there is nothing to say.
    pub message: String,
}

/// All conditions of one object, sorted by type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectConditions {
    /// The object.
    pub object: ObjectRef,
    /// The generation of the object they were computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// Types that the operator writes, sorted.
pub const OPERATOR_TYPES: [&str; 4] = [
    "cilium.io/ConflictingClusterConfig",
    "cilium.io/MissingAuthSecret",
    "cilium.io/MissingPeerConfigs",
    "cilium.io/NoMatchingNode",
];

/// Whose words the reasons are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reasons {
    /// Cilium 1.20 and later: one word per outcome.
    #[default]
    Cilium120,
    /// Cilium 1.19 and earlier: one word per type, whatever the outcome.
    Cilium119,
}

impl ObjectConditions {
    /// The conditions to write, given those that the object has, or nothing if they say the same already. Conditions of
    /// other types are none of our business and not in the answer.
    #[must_use]
    pub fn to_write(
        &self,
        existing: &[rutter_crds::Condition],
        reasons: Reasons,
        now: Timestamp,
    ) -> Option<Vec<rutter_crds::Condition>> {
        // The API keeps whole seconds.
        let now = Time(now.round(Unit::Second).unwrap_or(now));
        let wanted: Vec<_> = self
            .conditions
            .iter()
            .map(|condition| {
                let status = if condition.status { ConditionStatus::True } else { ConditionStatus::False };
                let before = existing
                    .iter()
                    .find(|existing| existing.type_ == condition.type_ && existing.status == status);
                rutter_crds::Condition {
                    last_transition_time: before.map_or(&now, |before| &before.last_transition_time).clone(),
                    message: condition.message.clone(),
                    observed_generation: self.observed_generation,
                    reason: condition.reason_of(reasons).to_owned(),
                    status,
                    type_: condition.type_.to_owned(),
                }
            })
            .collect();
        let same = wanted.iter().all(|condition| existing.contains(condition));
        (!same).then_some(wanted)
    }
}

/// Errors per instance that a condition's message lists at most.
const MAX_ERRORS_PER_INSTANCE: usize = 5;
/// Bytes that a condition's message may have; the schema allows 32768 characters.
const MAX_MESSAGE: usize = 32 * 1024 - 1;

impl Condition {
    fn new(type_: &'static str, reasons: (&'static str, &'static str), message: Option<String>) -> Self {
        let status = message.is_some();
        let reason = if status { reasons.0 } else { reasons.1 };
        Self { type_, status, reason, message: message.unwrap_or_default() }
    }

    /// The reason in the words of one generation of Cilium.
    #[must_use]
    pub fn reason_of(&self, reasons: Reasons) -> &'static str {
        match (reasons, self.type_) {
            (Reasons::Cilium120, _) => self.reason,
            // The one whose reason was in the plural.
            (Reasons::Cilium119, "cilium.io/ConflictingClusterConfig") => "ConflictingClusterConfigs",
            (Reasons::Cilium119, type_) => type_.strip_prefix("cilium.io/").unwrap_or(type_),
        }
    }

    /// No node matches the cluster configuration.
    #[must_use]
    pub fn no_matching_node(none: bool) -> Self {
        let message = none.then(|| "No node matches spec.nodeSelector".to_owned());
        Self::new("cilium.io/NoMatchingNode", ("MatchingNodeUnavailable", "MatchingNodeSelected"), message)
    }

    /// Peer configurations that the cluster configuration names are missing.
    #[must_use]
    pub fn missing_peer_configs(names: &[&str]) -> Self {
        let message = (!names.is_empty())
            .then(|| format!("Referenced CiliumBGPPeerConfig(s) are missing: {}", bracketed(names)));
        Self::new("cilium.io/MissingPeerConfigs", ("PeerConfigsMissing", "PeerConfigsResolved"), message)
    }

    /// Other cluster configurations own nodes that this one selects.
    #[must_use]
    pub fn conflicting_cluster_config(names: &[&str]) -> Self {
        let message = (!names.is_empty())
            .then(|| format!("Selecting the same node(s) with ClusterConfig(s): {}", bracketed(names)));
        let reasons = ("ClusterConfigConflict", "ClusterConfigValidated");
        Self::new("cilium.io/ConflictingClusterConfig", reasons, message)
    }

    /// The Secret of a peer configuration: not named, there, or missing.
    #[must_use]
    pub fn missing_auth_secret(secret: Option<(&str, bool)>) -> Self {
        const TYPE: &str = "cilium.io/MissingAuthSecret";
        match secret {
            None => Self {
                type_: TYPE,
                status: false,
                reason: "AuthSecretNotConfigured",
                message: "Auth Secret is not configured".to_owned(),
            },
            Some((name, exists)) => {
                let message = (!exists).then(|| format!("Referenced Auth Secret {name:?} is missing"));
                Self::new(TYPE, ("AuthSecretMissing", "AuthSecretValidated"), message)
            }
        }
    }

    /// What went wrong on a node, by instance.
    #[must_use]
    pub fn reconcile_error(errors: &[(String, String)]) -> Self {
        let mut message = String::new();
        let mut of_instance = (None, 0);
        for (instance, error) in errors {
            of_instance = match of_instance {
                (Some(last), count) if last == instance => (Some(instance), count + 1),
                _ => (Some(instance), 1),
            };
            let line = format!("{instance}: {error}");
            if of_instance.1 > MAX_ERRORS_PER_INSTANCE || message.len() + line.len() + 1 > MAX_MESSAGE {
                continue;
            }
            if !message.is_empty() {
                message.push('\n');
            }
            message.push_str(&line);
        }
        let message = (!errors.is_empty()).then_some(message);
        Self::new("cilium.io/BGPReconcileError", ("ReconcileFailed", "ReconcileSucceeded"), message)
    }
}

/// Names as Go prints a list of them.
pub(crate) fn bracketed(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn true_or_false<S: Serializer>(status: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *status { "True" } else { "False" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_messages() {
        let condition = Condition::missing_peer_configs(&["a", "b"]);
        assert_eq!((condition.status, condition.reason), (true, "PeerConfigsMissing"));
        assert_eq!(condition.message, "Referenced CiliumBGPPeerConfig(s) are missing: [a b]");
        assert_eq!(Condition::missing_peer_configs(&[]).reason, "PeerConfigsResolved");
        let condition = Condition::missing_auth_secret(Some(("x", false)));
        assert_eq!(condition.message, "Referenced Auth Secret \"x\" is missing");
        assert_eq!(Condition::missing_auth_secret(None).reason, "AuthSecretNotConfigured");
    }

    #[test]
    fn five_errors_per_instance_and_a_limit_in_bytes() {
        let errors: Vec<_> = (0..8).map(|n| ("a".to_owned(), format!("error {n}"))).collect();
        let condition = Condition::reconcile_error(&errors);
        assert_eq!(condition.message.lines().count(), 5);
        let errors: Vec<_> = (0..50).map(|n| (format!("i{n}"), "x".repeat(1000))).collect();
        assert!(Condition::reconcile_error(&errors).message.len() < 32 * 1024);
    }

    #[test]
    fn reasons_of_older_releases_are_the_type() {
        assert_eq!(Condition::no_matching_node(true).reason_of(Reasons::Cilium119), "NoMatchingNode");
        assert_eq!(Condition::no_matching_node(false).reason_of(Reasons::Cilium119), "NoMatchingNode");
        let conflict = Condition::conflicting_cluster_config(&[]);
        assert_eq!(conflict.reason_of(Reasons::Cilium119), "ConflictingClusterConfigs");
        assert_eq!(conflict.reason_of(Reasons::Cilium120), "ClusterConfigValidated");
    }

    #[test]
    fn written_on_change_and_the_time_moves_with_the_status_alone() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let conditions = |missing: &[&str], generation| ObjectConditions {
            object: ObjectRef::cluster("CiliumBGPClusterConfig", "c"),
            observed_generation: Some(generation),
            conditions: vec![Condition::missing_peer_configs(missing), Condition::no_matching_node(false)],
        };
        let write =
            |of: &ObjectConditions, existing: &[_], now| of.to_write(existing, Reasons::default(), at(now));
        let first = write(&conditions(&["a"], 1), &[], 10).unwrap();
        assert_eq!(write(&conditions(&["a"], 1), &first, 20), None);
        let second = write(&conditions(&["a", "b"], 1), &first, 30).unwrap();
        assert_eq!(second[0].last_transition_time, Time(at(10)), "the message changed, the status did not");
        let third = write(&conditions(&["a", "b"], 2), &second, 40).unwrap();
        assert_eq!((third[0].observed_generation, third[0].last_transition_time.0), (Some(2), at(10)));
        let mut fourth = write(&conditions(&[], 2), &third, 50).unwrap();
        assert_eq!((fourth[0].last_transition_time.0, fourth[1].last_transition_time.0), (at(50), at(10)));
        // Somebody else's condition is no reason to write, and is not written.
        fourth.push(rutter_crds::Condition { type_: "example.com/Seen".to_owned(), ..fourth[0].clone() });
        assert_eq!(write(&conditions(&[], 2), &fourth, 60), None);
        assert_eq!(write(&conditions(&[], 3), &fourth, 60).unwrap().len(), 2);
    }
}
