//! Communities and local preference of an advertisement, checked where the CRD's schema does not.
//!
//! Invariant: values are kept as numbers, so that `no-export`, `65535:65281` and `4294967041` are one community.

use std::collections::BTreeSet;

use rutter_api::intent::Actions;
use rutter_crds::bgp_advertisement::BGPAttributes;

use crate::report::Reason;

/// Attributes that an export statement sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    communities: BTreeSet<u32>,
    large_communities: BTreeSet<[u32; 3]>,
    local_preference: Option<u32>,
}

impl Attributes {
    /// Reads the attributes of an entry; every field that is wrong, with its path below `attributes`.
    pub(crate) fn read(written: Option<&BGPAttributes>) -> Result<Self, Vec<(String, Reason)>> {
        let (mut read, mut problems) = (Self::default(), Vec::new());
        let Some(written) = written else { return Ok(read) };
        if let Some(value) = written.local_preference {
            match u32::try_from(value) {
                Ok(value) => read.local_preference = Some(value),
                Err(_out_of_range) => {
                    problems
                        .push(("localPreference".to_owned(), Reason::LocalPreferenceOutOfRange { value }));
                }
            }
        }
        if let Some(communities) = &written.communities {
            read.communities.extend(communities.well_known.iter().map(|community| community.value()));
            for (index, text) in communities.standard.iter().enumerate() {
                match standard(&text.0) {
                    Some(value) => drop(read.communities.insert(value)),
                    None => problems.push((
                        format!("communities.standard[{index}]"),
                        Reason::CommunityInvalid {
                            value: text.0.clone(),
                            expected: "a number from 0 to 4294967295, or two from 0 to 65535 like 65001:100",
                        },
                    )),
                }
            }
            for (index, text) in communities.large.iter().enumerate() {
                match large(&text.0) {
                    Some(value) => drop(read.large_communities.insert(value)),
                    None => problems.push((
                        format!("communities.large[{index}]"),
                        Reason::CommunityInvalid {
                            value: text.0.clone(),
                            expected: "three numbers from 0 to 4294967295 like 65001:1:2",
                        },
                    )),
                }
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    /// The union of communities and the higher local preference.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.communities.extend(&other.communities);
        self.large_communities.extend(&other.large_communities);
        self.local_preference = self.local_preference.max(other.local_preference);
    }

    /// As actions of a statement.
    pub(crate) fn actions(&self) -> Actions {
        let community = |value: &u32| format!("{}:{}", value >> 16, value & 0xffff);
        let large = |[global, local1, local2]: &[u32; 3]| format!("{global}:{local1}:{local2}");
        Actions {
            local_preference: self.local_preference,
            med: None,
            add_communities: self.communities.iter().map(community).collect(),
            add_large_communities: self.large_communities.iter().map(large).collect(),
            prepend: None,
        }
    }
}

fn standard(text: &str) -> Option<u32> {
    match text.split_once(':') {
        Some((high, low)) => Some(u32::from(number::<u16>(high)?) << 16 | u32::from(number::<u16>(low)?)),
        None => number(text),
    }
}

fn large(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split(':').map(number);
    let value = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(value)
}

/// Digits only: `parse` alone would also take a leading plus sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: serde_json::Value) -> Result<Attributes, Vec<(String, Reason)>> {
        let written: BGPAttributes = serde_json::from_value(json).unwrap();
        Attributes::read(Some(&written))
    }

    #[test]
    fn one_community_by_three_names() {
        let attributes = read(json!({"communities":
            {"standard": ["65535:65281", "4294967041", "64512:7"], "wellKnown": ["no-export"]}}))
        .unwrap();
        assert_eq!(attributes.actions().add_communities, ["64512:7", "65535:65281"]);
    }

    #[test]
    fn wrong_values_are_named_each() {
        let problems = read(json!({"localPreference": -5, "communities":
            {"standard": ["1:65536", "+1"], "large": ["1:2"]}}))
        .unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            ["localPreference", "communities.standard[0]", "communities.standard[1]", "communities.large[0]"]
        );
    }

    #[test]
    fn merging_takes_the_union_and_the_maximum() {
        let mut first = read(json!({"localPreference": 100, "communities": {"large": ["1:2:3"]}})).unwrap();
        first.merge(
            &read(json!({"localPreference": 50, "communities": {"large": ["1:2:3", "0:0:1"]}})).unwrap(),
        );
        let actions = first.actions();
        assert_eq!(actions.local_preference, Some(100));
        assert_eq!(actions.add_large_communities, ["0:0:1", "1:2:3"]);
    }
}
