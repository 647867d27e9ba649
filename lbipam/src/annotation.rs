//! What a pool says in annotations: what Cilium's schema has no field for.
//!
//! Invariant: an annotation that is not understood touches nothing but itself, is named in a condition, and is read as
//! whatever gives out less: an address that was not given can be given later, the reverse hurts somebody.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::quota::Quota;
use crate::selector::shortened;

/// Order among the pools: a lower number comes first, pools without it come last.
pub const PRIORITY: &str = "rutter.dev/priority";
/// `"false"`: only for Services that ask for an address of the pool, or for the pool.
pub const AUTO_ASSIGN: &str = "rutter.dev/auto-assign";
/// `"true"`: edits that would move addresses in use wait for confirmation.
pub const SAFE_SHRINK: &str = "rutter.dev/safe-shrink";
/// The `metadata.generation` whose edit may move addresses.
pub const CONFIRM_EDIT: &str = "rutter.dev/confirm-edit";
/// Written by us on pools with safe shrink: the specs that count, as a JSON list, the present one last. One: it is accepted.
pub const ACCEPTED_SPEC: &str = "rutter.dev/accepted-spec";
/// `"true"`: gives nothing that nodes, pods or other Services have.
pub const REFUSE_CLUSTER_RANGES: &str = "rutter.dev/refuse-cluster-ranges";
/// Below how many days to exhaustion the pool warns; `"0"`: never.
pub const FORECAST_DAYS: &str = "rutter.dev/forecast-days";
/// How many addresses each namespace may have, like `*=5, team-a=20`.
pub const QUOTA: &str = "rutter.dev/quota";
/// On a Service: names of pools, separated by commas, that it is to get its addresses from.
pub const SERVICE_POOL: &str = "rutter.dev/pool";

/// All that a person may write on a pool.
const KNOWN: [&str; 7] =
    [PRIORITY, AUTO_ASSIGN, QUOTA, SAFE_SHRINK, CONFIRM_EDIT, REFUSE_CLUSTER_RANGES, FORECAST_DAYS];

/// The annotations of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolAnnotations {
    /// Order among the pools; absent: after all that have one.
    pub priority: Option<i64>,
    /// Whether Services that do not ask for it are kept out.
    pub on_request_only: bool,
    /// Whether edits wait; absent: as the operator's settings say.
    pub safe_shrink: Option<bool>,
    /// The generation that is confirmed.
    pub confirmed: Option<i64>,
    /// The accepted spec, as written.
    pub accepted_spec: Option<Box<str>>,
    /// Whether ranges of the cluster are refused; absent: as the operator's settings say.
    pub refuse_cluster_ranges: Option<bool>,
    /// Days; absent: as the operator's settings say; 0: never.
    pub forecast_days: Option<u32>,
    /// How many addresses each namespace may have; absent: as many as there are.
    pub quota: Option<Quota>,
    /// What was not understood.
    pub bad: Vec<BadAnnotation>,
}

/// An annotation that is not understood. The text says how it is read until it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadAnnotation {
    /// Not `"true"` or `"false"`.
    #[error("{key} is {value:?}: write \"true\" or \"false\"; until then it counts as {read_as:?}")]
    NotABoolean {
        /// The annotation.
        key: &'static str,
        /// As written, shortened.
        value: Box<str>,
        /// What it counts as.
        read_as: bool,
    },
    /// No whole number, or none of the size that is meant.
    #[error("{key} is {value:?}: write a whole number{range}; until then it counts as absent")]
    NotANumber {
        /// The annotation.
        key: &'static str,
        /// As written, shortened.
        value: Box<str>,
        /// Which numbers, if not all.
        range: &'static str,
    },
    /// No limit for a namespace.
    #[error(
        "{key} has {item:?}: write each namespace once, like team-a=5, or *=5 for all others; until then it allows \
         nothing to whom it names, or to all others"
    )]
    NotALimit {
        /// The annotation.
        key: &'static str,
        /// The item, shortened.
        item: Box<str>,
    },
    /// None of ours, although it is called so: most likely misspelt.
    #[error("{key:?} is no annotation of pools, and means nothing; there are {}", KNOWN.join(", "))]
    Unknown {
        /// As written, shortened.
        key: Box<str>,
    },
    /// More blocks than [`ACCEPTED_SPEC`] can hold.
    #[error("{key} is of no effect beyond {most} blocks: split the pool, or write fewer and larger blocks")]
    TooManyBlocks {
        /// The annotation.
        key: &'static str,
        /// How many it may have.
        most: usize,
    },
}

impl PoolAnnotations {
    /// From `metadata.annotations`.
    #[must_use]
    pub fn parse(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let mut parsed = Self::default();
        let Some(annotations) = annotations else { return parsed };
        let text = |key: &str| annotations.get(key).map(String::as_str);
        let bad = &mut parsed.bad;
        parsed.priority = whole(PRIORITY, text(PRIORITY), "", bad);
        parsed.on_request_only = boolean(AUTO_ASSIGN, text(AUTO_ASSIGN), false, bad) == Some(false);
        parsed.safe_shrink = boolean(SAFE_SHRINK, text(SAFE_SHRINK), true, bad);
        parsed.confirmed = whole(CONFIRM_EDIT, text(CONFIRM_EDIT), ", the generation of the edit", bad);
        parsed.accepted_spec = text(ACCEPTED_SPEC).map(Into::into);
        parsed.refuse_cluster_ranges = boolean(REFUSE_CLUSTER_RANGES, text(REFUSE_CLUSTER_RANGES), true, bad);
        parsed.forecast_days =
            whole(FORECAST_DAYS, text(FORECAST_DAYS), " of days from 0 (never) to 4294967295", bad);
        let unknown = annotations.keys().filter(|key| {
            key.starts_with("rutter.dev/") && **key != ACCEPTED_SPEC && !KNOWN.contains(&key.as_str())
        });
        bad.extend(unknown.map(|key| BadAnnotation::Unknown { key: shortened(key) }));
        parsed.quota = text(QUOTA).map(|text| {
            let (quota, items) = Quota::parse(text);
            bad.extend(items.into_iter().map(|item| BadAnnotation::NotALimit { key: QUOTA, item }));
            quota
        });
        parsed
    }
}

fn boolean(
    key: &'static str,
    text: Option<&str>,
    read_as: bool,
    bad: &mut Vec<BadAnnotation>,
) -> Option<bool> {
    match text?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        value => {
            bad.push(BadAnnotation::NotABoolean { key, value: shortened(value), read_as });
            Some(read_as)
        }
    }
}

fn whole<N: std::str::FromStr>(
    key: &'static str,
    text: Option<&str>,
    range: &'static str,
    bad: &mut Vec<BadAnnotation>,
) -> Option<N> {
    let value = text?.trim();
    let number = value.parse().ok();
    if number.is_none() {
        bad.push(BadAnnotation::NotANumber { key, value: shortened(value), range });
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(annotations: &[(&str, &str)]) -> PoolAnnotations {
        let annotations =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PoolAnnotations::parse(Some(&annotations))
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(PoolAnnotations::parse(None), PoolAnnotations::default());
        let parsed = parse(&[
            (PRIORITY, "-5"),
            (AUTO_ASSIGN, "false"),
            (SAFE_SHRINK, "true"),
            (CONFIRM_EDIT, "12"),
            (REFUSE_CLUSTER_RANGES, " false "),
            (FORECAST_DAYS, "14"),
            (QUOTA, "a=1"),
            ("example.com/other", "x"),
        ]);
        assert_eq!(
            parsed,
            PoolAnnotations {
                priority: Some(-5),
                on_request_only: true,
                safe_shrink: Some(true),
                confirmed: Some(12),
                accepted_spec: None,
                refuse_cluster_ranges: Some(false),
                forecast_days: Some(14),
                quota: Some(Quota::parse("a=1").0),
                bad: Vec::new(),
            }
        );
        assert!(!parse(&[(AUTO_ASSIGN, "true")]).on_request_only);
    }

    #[test]
    fn what_is_not_understood_gives_out_less_and_says_so() {
        let parsed = parse(&[
            (PRIORITY, "high"),
            (AUTO_ASSIGN, "no"),
            (SAFE_SHRINK, "yes"),
            (REFUSE_CLUSTER_RANGES, ""),
            (FORECAST_DAYS, "-1"),
            (QUOTA, "a=1, all"),
        ]);
        assert_eq!((parsed.priority, parsed.forecast_days), (None, None));
        assert_eq!(
            (parsed.on_request_only, parsed.safe_shrink, parsed.refuse_cluster_ranges),
            (true, Some(true), Some(true))
        );
        let texts: Vec<String> = parsed.bad.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "rutter.dev/priority is \"high\": write a whole number; until then it counts as absent",
                "rutter.dev/auto-assign is \"no\": write \"true\" or \"false\"; until then it counts as false",
                "rutter.dev/safe-shrink is \"yes\": write \"true\" or \"false\"; until then it counts as true",
                "rutter.dev/refuse-cluster-ranges is \"\": write \"true\" or \"false\"; until then it counts as true",
                "rutter.dev/forecast-days is \"-1\": write a whole number of days from 0 (never) to 4294967295; until \
                 then it counts as absent",
                "rutter.dev/quota has \"all\": write each namespace once, like team-a=5, or *=5 for all others; until then it \
                 allows nothing to whom it names, or to all others",
            ]
        );
    }

    #[test]
    fn a_misspelt_annotation_is_not_passed_over() {
        let parsed =
            parse(&[("rutter.dev/prioritty", "1"), ("rutterdev/priority", "1"), (ACCEPTED_SPEC, "[]")]);
        assert_eq!(parsed.bad.len(), 1);
        assert_eq!(
            parsed.bad[0].to_string(),
            "\"rutter.dev/prioritty\" is no annotation of pools, and means nothing; there are rutter.dev/priority, \
             rutter.dev/auto-assign, rutter.dev/quota, rutter.dev/safe-shrink, rutter.dev/confirm-edit, \
             rutter.dev/refuse-cluster-ranges, rutter.dev/forecast-days"
        );
    }
}
