//! Conditions in the status of a pool: Cilium's to the letter, and ours where Cilium says nothing.
//!
//! Invariant: only what differs from the object is written. Cilium's conditions are always there; ours only while there is
//! something to say. Conditions of others are none of our business.

use std::fmt::Display;

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rutter_crds::{Condition, ConditionStatus};

use crate::conflict::Conflict;
use crate::counts::Counts;
use crate::plan::PoolChange;
use crate::pool::Pool;
use crate::selector::ServiceSelector;

/// Whether the pool overlaps another one, or itself.
pub const POOL_CONFLICT: &str = "cilium.io/PoolConflict";
/// How many addresses the pool has, in the message.
pub const IPS_TOTAL: &str = "cilium.io/IPsTotal";
/// How many of them are free, in the message.
pub const IPS_AVAILABLE: &str = "cilium.io/IPsAvailable";
/// How many of them are in use, in the message.
pub const IPS_USED: &str = "cilium.io/IPsUsed";
/// Blocks that are not understood.
pub const INVALID_BLOCK: &str = "rutter.dev/InvalidBlock";
/// A selector that cannot be evaluated.
pub const INVALID_SELECTOR: &str = "rutter.dev/InvalidSelector";
/// Annotations that are not understood.
pub const INVALID_ANNOTATION: &str = "rutter.dev/InvalidAnnotation";
/// Addresses in use would move: the edit waits.
pub const EDIT_STAGED: &str = "rutter.dev/EditStaged";
/// The pool has addresses of nodes, pods or other Services.
pub const COVERS_CLUSTER_RANGE: &str = "rutter.dev/CoversClusterRange";
/// At the rate of the last days the pool is full soon.
pub const NEARLY_FULL: &str = "rutter.dev/NearlyFull";

/// Our own conditions: they go when there is nothing to say.
pub const OWN: [&str; 6] =
    [INVALID_BLOCK, INVALID_SELECTOR, INVALID_ANNOTATION, EDIT_STAGED, COVERS_CLUSTER_RANGE, NEARLY_FULL];

/// What a condition is to say; the times are found out when it is compared with the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The type.
    pub type_: &'static str,
    /// The status.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: &'static str,
    /// Text for people.
    pub message: String,
}

impl Wanted {
    /// One of our own conditions.
    #[must_use]
    pub fn holds(type_: &'static str, reason: &'static str, message: String) -> Self {
        Self { type_, status: ConditionStatus::True, reason, message }
    }
}

/// What the conditions of a pool are to say.
#[must_use]
pub fn wanted(pool: &Pool, counts: &Counts, conflict: Option<&Conflict>) -> Vec<Wanted> {
    let count = |type_, number: String| Wanted {
        type_,
        status: ConditionStatus::Unknown,
        reason: "noreason",
        message: number,
    };
    let (status, reason) = match conflict {
        Some(_) => (ConditionStatus::True, "cidr_overlap"),
        None => (ConditionStatus::False, "resolved"),
    };
    let message = conflict.map(ToString::to_string).unwrap_or_default();
    let mut wanted = vec![
        Wanted { type_: POOL_CONFLICT, status, reason, message },
        count(IPS_TOTAL, counts.total.to_string()),
        count(IPS_AVAILABLE, counts.available().to_string()),
        count(IPS_USED, counts.used.to_string()),
    ];
    if !pool.bad_blocks.is_empty() {
        let blocks = pool.bad_blocks.iter().map(|(index, bad)| format!("spec.blocks[{index}] {bad}"));
        wanted.push(Wanted::holds(INVALID_BLOCK, "invalid_block", listed(blocks)));
    }
    if let ServiceSelector::Unusable(bad) = &pool.selector {
        wanted.push(Wanted::holds(
            INVALID_SELECTOR,
            "invalid_selector",
            format!("spec.serviceSelector: {bad}"),
        ));
    }
    if !pool.annotations.bad.is_empty() {
        let bad = listed(&pool.annotations.bad);
        wanted.push(Wanted::holds(INVALID_ANNOTATION, "invalid_annotation", bad));
    }
    wanted
}

/// What has to be written for the object to say what is wanted, annotations that differ included; nothing if it does. The transition time is that of the object
/// while the status stays the same.
#[must_use]
pub fn difference(
    pool: &Pool,
    wanted: Vec<Wanted>,
    annotate: Vec<(&'static str, String)>,
    now: Timestamp,
) -> Option<PoolChange> {
    let existing = pool.object.status.as_ref().map_or(&[] as &[Condition], |status| &status.conditions);
    // The API keeps whole seconds.
    let now = Time(now.round(Unit::Second).unwrap_or(now));
    let remove: Vec<&'static str> = OWN
        .into_iter()
        .filter(|own| existing.iter().any(|condition| condition.type_ == *own))
        .filter(|own| wanted.iter().all(|wanted| wanted.type_ != *own))
        .collect();
    let set: Vec<Condition> = wanted
        .into_iter()
        .filter_map(|wanted| {
            let before = existing.iter().find(|condition| condition.type_ == wanted.type_);
            let since = before.filter(|before| before.status == wanted.status);
            let condition = Condition {
                last_transition_time: since.map_or(&now, |since| &since.last_transition_time).clone(),
                message: cut(wanted.message),
                observed_generation: pool.object.metadata.generation,
                reason: wanted.reason.to_owned(),
                status: wanted.status,
                type_: wanted.type_.to_owned(),
            };
            (before != Some(&condition)).then_some(condition)
        })
        .collect();
    let differs = !(set.is_empty() && remove.is_empty() && annotate.is_empty());
    differs.then(|| PoolChange { pool: pool.object.clone(), set, remove, annotate })
}

/// A message that the schema takes: it allows 32,768 characters, and would refuse the whole status for one more.
fn cut(mut message: String) -> String {
    const LONGEST: usize = 32_000;
    if message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Items as a message lists them: the first ones, and how many more there are.
#[must_use]
pub(crate) fn listed<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 20;
    let mut items = items.into_iter();
    let mut shown: Vec<String> = items.by_ref().take(SHOWN).map(|item| item.to_string()).collect();
    let more = items.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rutter_crds::CiliumLoadBalancerIPPoolStatus;
    use serde_json::json;

    use super::*;
    use crate::conflict::conflicts;
    use crate::counts::Tally;
    use crate::pool::tests::from_json;
    use crate::settings::Settings;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn change(pool: &Pool, held: &[&str], now: i64) -> Option<PoolChange> {
        let tally = Tally::of(pool, held.iter().map(|address| address.parse().unwrap()));
        let conflicts = conflicts([pool]);
        let wanted = wanted(pool, &Counts::of(pool, tally), conflicts.get(&pool.name));
        difference(pool, wanted, Vec::new(), at(now))
    }

    /// The pool after the change was written.
    fn written(pool: &Pool, change: &PoolChange) -> Pool {
        let mut object = (*pool.object).clone();
        let status = object.status.get_or_insert_with(CiliumLoadBalancerIPPoolStatus::default);
        status.conditions.retain(|condition| {
            !change.remove.contains(&&*condition.type_)
                && change.set.iter().all(|set| set.type_ != condition.type_)
        });
        status.conditions.extend(change.set.iter().cloned());
        Pool::parse(Arc::new(object), &Settings::default())
    }

    fn pool(spec: serde_json::Value, generation: i64) -> Pool {
        let object = json!({"metadata": {"name": "p", "generation": generation}, "spec": spec});
        Pool::parse(Arc::new(from_json(object)), &Settings::default())
    }

    #[test]
    fn first_sight_to_the_letter() {
        let pool = pool(json!({"blocks": [{"cidr": "10.0.0.0/24"}], "allowFirstLastIPs": "No"}), 7);
        let change = change(&pool, &[], 10).unwrap();
        assert_eq!(
            serde_json::to_value(&change.set).unwrap(),
            json!([
                {"type": "cilium.io/PoolConflict", "status": "False", "reason": "resolved", "message": "",
                 "observedGeneration": 7, "lastTransitionTime": "1970-01-01T00:00:10Z"},
                {"type": "cilium.io/IPsTotal", "status": "Unknown", "reason": "noreason", "message": "256",
                 "observedGeneration": 7, "lastTransitionTime": "1970-01-01T00:00:10Z"},
                {"type": "cilium.io/IPsAvailable", "status": "Unknown", "reason": "noreason", "message": "254",
                 "observedGeneration": 7, "lastTransitionTime": "1970-01-01T00:00:10Z"},
                {"type": "cilium.io/IPsUsed", "status": "Unknown", "reason": "noreason", "message": "2",
                 "observedGeneration": 7, "lastTransitionTime": "1970-01-01T00:00:10Z"},
            ])
        );
        assert!(change.remove.is_empty());
    }

    #[test]
    fn only_differences_and_times_move_with_the_status_alone() {
        let spec = json!({"blocks": [{"cidr": "10.0.0.0/24"}]});
        let first = pool(spec, 1);
        let first = written(&first, &change(&first, &[], 10).unwrap());
        assert_eq!(change(&first, &[], 20), None);
        let second = change(&first, &["10.0.0.0"], 30).unwrap();
        let types: Vec<&str> = second.set.iter().map(|condition| &*condition.type_).collect();
        assert_eq!(types, [IPS_AVAILABLE, IPS_USED]);
        assert!(second.set.iter().all(|condition| condition.last_transition_time.0 == at(10)));
        let mut edited = (*written(&first, &second).object).clone();
        edited.metadata.generation = Some(2);
        edited.spec.blocks.push(edited.spec.blocks[0].clone());
        let edited = Pool::parse(Arc::new(edited), &Settings::default());
        let third = change(&edited, &["10.0.0.0"], 40).unwrap();
        let said: Vec<_> = third
            .set
            .iter()
            .map(|condition| (&*condition.type_, &*condition.reason, condition.last_transition_time.0))
            .collect();
        assert_eq!(
            said,
            [
                (POOL_CONFLICT, "cidr_overlap", at(40)),
                (IPS_TOTAL, "noreason", at(10)),
                (IPS_AVAILABLE, "noreason", at(10)),
                (IPS_USED, "noreason", at(10)),
            ]
        );
        assert_eq!((third.set[0].status, third.set[0].observed_generation), (ConditionStatus::True, Some(2)));
        assert_eq!(third.set[1].message, "256", "the second of two equal blocks adds nothing");
    }

    #[test]
    fn ours_come_and_go_and_others_stay() {
        let mut object = (*pool(
            json!({"blocks": [{"cidr": "10.0.0.0/24"}, {}, {"cidr": "010.1.0.0/24"}],
                "serviceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            1,
        )
        .object)
            .clone();
        object.metadata.annotations =
            Some([("rutter.dev/priority".to_owned(), "x".to_owned())].into_iter().collect());
        let theirs: Vec<Condition> = serde_json::from_value(json!([
            {"type": "io.cilium/conflict", "status": "False", "reason": "resolved", "message": "",
             "lastTransitionTime": "2024-01-01T00:00:00Z"},
        ]))
        .unwrap();
        object.status = Some(CiliumLoadBalancerIPPoolStatus { conditions: theirs.clone() });
        let bad = Pool::parse(Arc::new(object), &Settings::default());
        let first = change(&bad, &[], 10).unwrap();
        let ours: Vec<_> = first.set[4..]
            .iter()
            .map(|condition| (&*condition.type_, condition.status, &*condition.reason, &*condition.message))
            .collect();
        assert_eq!(
            ours,
            [
                (
                    INVALID_BLOCK,
                    ConditionStatus::True,
                    "invalid_block",
                    "spec.blocks[1] is empty: write cidr, or start, or start and stop; spec.blocks[2] cidr \
                     \"010.1.0.0/24\" has leading zeros, which may be read as octal: write 10.1.0.0/24"
                ),
                (
                    INVALID_SELECTOR,
                    ConditionStatus::True,
                    "invalid_selector",
                    "spec.serviceSelector: In on \"a\" has no values: add some, or use Exists or DoesNotExist"
                ),
                (
                    INVALID_ANNOTATION,
                    ConditionStatus::True,
                    "invalid_annotation",
                    "rutter.dev/priority is \"x\": write a whole number; until then it counts as absent"
                ),
            ]
        );
        let bad = written(&bad, &first);
        assert_eq!(change(&bad, &[], 20), None);
        let mut good = (*bad.object).clone();
        good.spec.blocks.truncate(1);
        good.spec.service_selector = None;
        good.metadata.annotations = None;
        let good = Pool::parse(Arc::new(good), &Settings::default());
        let second = change(&good, &[], 30).unwrap();
        assert_eq!(second.set, []);
        assert_eq!(second.remove, [INVALID_BLOCK, INVALID_SELECTOR, INVALID_ANNOTATION]);
        let status = written(&good, &second).object.status.clone().unwrap();
        assert!(status.conditions.contains(&theirs[0]));
    }

    #[test]
    fn a_message_has_an_end() {
        assert_eq!(listed(["a", "b"]), "a; b");
        assert!(listed(0..25).ends_with("; 19; and 5 more"));
        assert_eq!(cut("ä".repeat(20_000)).chars().count(), 16_001);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
