//! Conditions as Cilium 1.20 writes them: types, reasons and messages to the letter.
//!
//! They are computed without a clock: whoever writes them adds the transition time when the status changed.

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
}
