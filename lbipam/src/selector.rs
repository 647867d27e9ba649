//! Which Services a pool is for.
//!
//! Invariant: `io.kubernetes.service.namespace` and `io.kubernetes.service.name` always mean where the Service is and what it
//! is called; a label of that name, which its owner is free to write, never counts.

use rutter_crds::{LabelSelector, LabelSelectorRequirement, SelectorOperator, SelectorProblem};
use thiserror::Error;

use crate::service::Service;

/// The pseudo-label that holds a Service's namespace.
pub const NAMESPACE_LABEL: &str = "io.kubernetes.service.namespace";
/// The pseudo-label that holds a Service's name.
pub const NAME_LABEL: &str = "io.kubernetes.service.name";

/// `spec.serviceSelector`.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceSelector {
    /// Absent or empty: every Service.
    All,
    /// Services with these labels.
    Labels(LabelSelector),
    /// It cannot be evaluated: it selects no Service, and what was given before stays where it is.
    Unusable(BadSelector),
}

/// Why a selector cannot be evaluated, although the schema let it through. The text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSelector {
    /// `In` or `NotIn` without values.
    #[error("{operator:?} on {key:?} has no values: add some, or use Exists or DoesNotExist")]
    ValuesMissing {
        /// The label key.
        key: Box<str>,
        /// The operator.
        operator: SelectorOperator,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error("{operator:?} on {key:?} has values, which it takes none of: remove them, or use In or NotIn")]
    ValuesNotAllowed {
        /// The label key.
        key: Box<str>,
        /// The operator.
        operator: SelectorOperator,
    },
    /// No label can have this key.
    #[error("{key:?} is no label key: write name or prefix/name, letters, digits, '-', '_' and '.'")]
    Key {
        /// As written, shortened.
        key: Box<str>,
    },
    /// No label can have this value.
    #[error("{value:?}, wanted of {key:?}, is no label value: at most 63 letters, digits, '-', '_' and '.'")]
    Value {
        /// The label key.
        key: Box<str>,
        /// As written, shortened.
        value: Box<str>,
    },
}

impl ServiceSelector {
    /// From `spec.serviceSelector`.
    #[must_use]
    pub fn parse(selector: Option<&LabelSelector>) -> Self {
        let empty = |selector: &&LabelSelector| {
            selector.match_labels.is_empty() && selector.match_expressions.is_empty()
        };
        match selector {
            None => Self::All,
            Some(selector) if empty(&selector) => Self::All,
            Some(selector) => bad(selector).map_or_else(|| Self::Labels(selector.clone()), Self::Unusable),
        }
    }

    /// Whether a Service is selected.
    #[must_use]
    pub fn selects(&self, service: &Service) -> bool {
        match self {
            Self::All => true,
            Self::Labels(selector) => selector.matches(|key| label(service, key)),
            Self::Unusable(_) => false,
        }
    }

    /// What a Service lacks to be selected, in words. Empty: it is selected.
    #[must_use]
    pub fn unmet(&self, service: &Service) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Labels(selector) => {
                selector.unmet(|key| label(service, key)).map(|unmet| unmet.to_string()).collect()
            }
            Self::Unusable(problem) => vec![format!("spec.serviceSelector: {problem}")],
        }
    }
}

/// The value of a label or pseudo-label.
fn label<'s>(service: &'s Service, key: &str) -> Option<&'s str> {
    match key {
        NAMESPACE_LABEL => Some(&service.key.namespace),
        NAME_LABEL => Some(&service.key.name),
        key => service.labels.get(key),
    }
}

/// The first thing that Kubernetes would refuse.
fn bad(selector: &LabelSelector) -> Option<BadSelector> {
    match selector.problem() {
        Some(SelectorProblem::ValuesMissing { key, operator }) => {
            return Some(BadSelector::ValuesMissing { key: shortened(&key), operator });
        }
        Some(SelectorProblem::ValuesNotAllowed { key, operator }) => {
            return Some(BadSelector::ValuesNotAllowed { key: shortened(&key), operator });
        }
        None => {}
    }
    let labels = selector.match_labels.iter().map(|(key, value)| (key, std::slice::from_ref(&value.0)));
    let expressions = selector
        .match_expressions
        .iter()
        .map(|LabelSelectorRequirement { key, values, .. }| (key, values.as_slice()));
    labels.chain(expressions).find_map(|(key, values)| {
        if !is_label_key(key) {
            return Some(BadSelector::Key { key: shortened(key) });
        }
        let value = values.iter().find(|value| !value.is_empty() && !is_label_name(value))?;
        Some(BadSelector::Value { key: shortened(key), value: shortened(value) })
    })
}

fn is_label_key(key: &str) -> bool {
    let Some((prefix, name)) = key.split_once('/') else { return is_label_name(key) };
    let is_part = |part: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        edge(part.as_bytes().first())
            && edge(part.as_bytes().last())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    prefix.len() <= 253 && prefix.split('.').all(is_part) && is_label_name(name)
}

fn is_label_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Text of others as messages quote it: a condition is no place for a megabyte.
#[must_use]
pub(crate) fn shortened(text: &str) -> Box<str> {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::service::ServiceKey;

    fn service(labels: &[(&str, &str)]) -> Service {
        Service {
            key: Arc::new(ServiceKey::new("blue", "web")),
            labels: labels.iter().copied().collect(),
            ..Service::default()
        }
    }

    fn selector(selector: serde_json::Value) -> ServiceSelector {
        ServiceSelector::parse(Some(&serde_json::from_value(selector).unwrap()))
    }

    #[test]
    fn absent_and_empty_select_everything() {
        assert_eq!(ServiceSelector::parse(None), ServiceSelector::All);
        assert_eq!(selector(json!({})), ServiceSelector::All);
        assert!(ServiceSelector::All.selects(&service(&[])));
    }

    #[test]
    fn a_tenant_cannot_pretend_to_be_elsewhere() {
        let red = selector(json!({"matchLabels": {NAMESPACE_LABEL: "red"}}));
        let blue = selector(json!({"matchLabels": {NAMESPACE_LABEL: "blue", NAME_LABEL: "web"}}));
        let spoofed = service(&[(NAMESPACE_LABEL, "red"), (NAME_LABEL, "other")]);
        assert!(!red.selects(&spoofed));
        assert!(blue.selects(&spoofed));
        assert_eq!(
            red.unmet(&spoofed),
            ["io.kubernetes.service.namespace=red: io.kubernetes.service.namespace is \"blue\""]
        );
        let none = selector(json!({"matchExpressions": [{"key": NAME_LABEL, "operator": "DoesNotExist"}]}));
        assert!(!none.selects(&spoofed), "every Service has a name");
    }

    #[test]
    fn what_kubernetes_refuses_selects_nothing_and_says_why() {
        for (requirement, text) in [
            (
                json!({"key": "a", "operator": "In"}),
                "In on \"a\" has no values: add some, or use Exists or DoesNotExist",
            ),
            (
                json!({"key": "a", "operator": "Exists", "values": ["b"]}),
                "Exists on \"a\" has values, which it takes none of: remove them, or use In or NotIn",
            ),
            (
                json!({"key": "a b", "operator": "DoesNotExist"}),
                "\"a b\" is no label key: write name or prefix/name, letters, digits, '-', '_' and '.'",
            ),
            (
                json!({"key": "A.b/c", "operator": "DoesNotExist"}),
                "\"A.b/c\" is no label key: write name or prefix/name, letters, digits, '-', '_' and '.'",
            ),
            (
                json!({"key": "a", "operator": "NotIn", "values": ["ok", "", "b!"]}),
                "\"b!\", wanted of \"a\", is no label value: at most 63 letters, digits, '-', '_' and '.'",
            ),
        ] {
            let selector = selector(json!({"matchExpressions": [requirement]}));
            assert!(!selector.selects(&service(&[("a", "b")])));
            assert_eq!(selector.unmet(&service(&[])), [format!("spec.serviceSelector: {text}")]);
        }
        assert!(is_label_key("app.kubernetes.io/name") && is_label_key("a") && !is_label_key("a/b/c"));
    }

    #[test]
    fn long_text_is_shortened_between_characters() {
        let long = "ä".repeat(100);
        assert_eq!(shortened(&long).chars().count(), 81);
        assert_eq!(&*shortened("short"), "short");
    }
}
