//! Label selectors as the CRDs spell them: the schema is stricter than the one of built-in kinds (values have a
//! pattern, operators an enumeration), the meaning is that of Kubernetes.
//!
//! Invariant: [`LabelSelector::matches`] is the only place where a selector meets labels; an empty selector matches
//! everything, and what an absent selector means is for the field's owner to say.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A label selector. All requirements must hold; none at all matches every object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Requirements on label keys and values; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// Labels that must be present with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, MatchLabelsValue>,
}

/// A label value in `matchLabels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MatchLabelsValue(
    #[schemars(length(max = 63), regex(pattern = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"))]
    pub  String,
);

/// One requirement of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelectorRequirement {
    /// The label key.
    pub key: String,
    /// How the key and the values relate.
    pub operator: SelectorOperator,
    /// Values for `In` and `NotIn`; must be absent for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// Operator of a selector requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// Why a selector that the schema let through still cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorProblem {
    /// `In` or `NotIn` without values.
    ValuesMissing {
        /// The label key of the requirement.
        key: String,
        /// Its operator.
        operator: SelectorOperator,
    },
    /// `Exists` or `DoesNotExist` with values.
    ValuesNotAllowed {
        /// The label key of the requirement.
        key: String,
        /// Its operator.
        operator: SelectorOperator,
    },
}

impl LabelSelector {
    /// Whether an object with these labels is selected. A requirement that [`Self::problem`] names selects nothing.
    #[must_use]
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.unmet(label).next().is_none()
    }

    /// The requirements that these labels do not meet; none of them: the object is selected.
    pub fn unmet<'s, 'l: 's>(
        &'s self,
        label: impl Fn(&str) -> Option<&'l str> + 's,
    ) -> impl Iterator<Item = Unmet<'s>> {
        let labels = self.match_labels.iter().map(|(key, value)| Requirement::Label { key, value: &value.0 });
        let expressions = self.match_expressions.iter().map(Requirement::Expression);
        labels.chain(expressions).filter_map(move |requirement| {
            let found = label(requirement.key());
            (!requirement.holds(found)).then_some(Unmet { requirement, found })
        })
    }

    /// The first requirement that Kubernetes would refuse although the schema does not, if any.
    #[must_use]
    pub fn problem(&self) -> Option<SelectorProblem> {
        self.match_expressions.iter().find_map(|requirement| {
            let (key, operator) = (requirement.key.clone(), requirement.operator);
            match (operator, requirement.values.is_empty()) {
                (SelectorOperator::In | SelectorOperator::NotIn, true) => {
                    Some(SelectorProblem::ValuesMissing { key, operator })
                }
                (SelectorOperator::Exists | SelectorOperator::DoesNotExist, false) => {
                    Some(SelectorProblem::ValuesNotAllowed { key, operator })
                }
                _ => None,
            }
        })
    }
}

/// One requirement of a selector, from either list.
#[derive(Clone, Copy, Debug)]
enum Requirement<'s> {
    Label { key: &'s str, value: &'s str },
    Expression(&'s LabelSelectorRequirement),
}

/// A requirement that an object does not meet. Its text says what the label must be and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Unmet<'s> {
    requirement: Requirement<'s>,
    found: Option<&'s str>,
}

impl<'s> Requirement<'s> {
    fn key(&self) -> &'s str {
        match self {
            Self::Label { key, .. } => key,
            Self::Expression(requirement) => &requirement.key,
        }
    }

    fn holds(&self, found: Option<&str>) -> bool {
        match self {
            Self::Label { value, .. } => found == Some(value),
            Self::Expression(requirement) => requirement.holds(found),
        }
    }
}

impl fmt::Display for Requirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { key, value } => write!(f, "{key}={value}"),
            Self::Expression(requirement) => {
                let LabelSelectorRequirement { key, operator, values } = requirement;
                let values = values.join(", ");
                match operator {
                    SelectorOperator::In => write!(f, "{key} in ({values})"),
                    SelectorOperator::NotIn => write!(f, "{key} notin ({values})"),
                    SelectorOperator::Exists => write!(f, "{key}"),
                    SelectorOperator::DoesNotExist => write!(f, "!{key}"),
                }
            }
        }
    }
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.requirement)?;
        match self.found {
            Some(value) => write!(f, "{} is {value:?}", self.requirement.key()),
            None => write!(f, "there is no label {}", self.requirement.key()),
        }
    }
}

/// As `kubectl` writes selectors: `app=web, tier in (a, b)`; `everything` without requirements.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.match_labels.iter().map(|(key, value)| Requirement::Label { key, value: &value.0 });
        let all: Vec<String> = labels
            .chain(self.match_expressions.iter().map(Requirement::Expression))
            .map(|requirement| requirement.to_string())
            .collect();
        f.write_str(if all.is_empty() { "everything" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

impl LabelSelectorRequirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|candidate| candidate == value));
        match self.operator {
            SelectorOperator::In => listed,
            // An absent key satisfies NotIn, as everywhere in Kubernetes.
            SelectorOperator::NotIn => !listed && !self.values.is_empty(),
            SelectorOperator::Exists => value.is_some() && self.values.is_empty(),
            SelectorOperator::DoesNotExist => value.is_none() && self.values.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(selector: serde_json::Value, labels: &[(&str, &str)]) -> bool {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn empty_selector_matches_everything() {
        assert!(matches(json!({}), &[]));
        assert!(matches(json!({"matchLabels": {}}), &[("a", "b")]));
    }

    #[test]
    fn labels_and_expressions_are_anded() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]});
        assert!(matches(selector.clone(), &[("app", "web"), ("tier", "")]));
        assert!(!matches(selector.clone(), &[("app", "web")]));
        assert!(!matches(selector, &[("app", "db"), ("tier", "")]));
    }

    #[test]
    fn what_is_unmet_says_what_is_there() {
        let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"advertise": "bgp"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "DoesNotExist"}]}))
        .unwrap();
        assert_eq!(selector.to_string(), "advertise=bgp, tier in (a, b), !x");
        assert_eq!(LabelSelector::default().to_string(), "everything");
        let labels = [("tier", "c"), ("x", "")];
        let label = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let unmet: Vec<String> = selector.unmet(label).map(|unmet| unmet.to_string()).collect();
        assert_eq!(
            unmet,
            ["advertise=bgp: there is no label advertise", "tier in (a, b): tier is \"c\"", "!x: x is \"\""]
        );
    }

    #[test]
    fn operators() {
        let one = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
        assert!(matches(one("In", &["a", "b"]), &[("k", "b")]));
        assert!(!matches(one("In", &["a", "b"]), &[]));
        assert!(matches(one("NotIn", &["a"]), &[]), "an absent key is not in any list");
        assert!(!matches(one("NotIn", &["a"]), &[("k", "a")]));
        assert!(matches(one("DoesNotExist", &[]), &[("x", "a")]));
        assert!(!matches(one("DoesNotExist", &[]), &[("k", "a")]));
    }

    #[test]
    fn requirements_kubernetes_refuses_select_nothing_and_are_named() {
        let selector: LabelSelector =
            serde_json::from_value(json!({"matchExpressions": [{"key": "k", "operator": "NotIn"}]})).unwrap();
        assert!(!selector.matches(|_| None));
        assert_eq!(
            selector.problem(),
            Some(SelectorProblem::ValuesMissing { key: "k".into(), operator: SelectorOperator::NotIn })
        );
    }
}
