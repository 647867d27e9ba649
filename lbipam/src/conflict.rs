//! Pools whose addresses overlap: one of them serves on, the other gives nothing new until they no longer do.
//!
//! Invariant: who loses follows from the pools alone. Pools are looked at from the oldest to the youngest (then by name); one
//! that overlaps itself or one that serves already loses. So what serves never overlaps, and a pool that lost stands in
//! nobody's way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::pool::Pool;
use crate::range::Range;

/// Why a pool gives nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The range of this pool.
    pub ours: Range,
    /// The range that was there before.
    pub theirs: Range,
    /// The pool that has it; the same one if it overlaps itself.
    pub with: Arc<str>,
}

/// As Cilium writes it.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs, with } = self;
        write!(f, "Pool conflicts since range '{ours}' overlaps range '{theirs}' from IP Pool '{with}'")
    }
}

/// The pools that lose, by name.
#[must_use]
pub fn conflicts<'p>(pools: impl IntoIterator<Item = &'p Pool>) -> BTreeMap<Arc<str>, Conflict> {
    let mut pools: Vec<&Pool> = pools.into_iter().collect();
    pools.sort_by(|a, b| a.wins_over(b));
    let mut serving = Disjoint::default();
    let mut conflicts = BTreeMap::new();
    for pool in pools {
        let mut own = Disjoint::default();
        let within = pool.blocks.iter().find_map(|block| own.add(block.range, &pool.name));
        let between = || pool.blocks.iter().find_map(|block| serving.overlap(block.range));
        match within.or_else(between) {
            Some(conflict) => {
                conflicts.insert(pool.name.clone(), conflict);
            }
            None => {
                serving.0.extend(own.0);
            }
        }
    }
    conflicts
}

/// Ranges that do not overlap, by their first address, each with its pool.
#[derive(Default)]
struct Disjoint(BTreeMap<Range, Arc<str>>);

impl Disjoint {
    /// Adds a range, or says what it overlaps.
    fn add(&mut self, range: Range, pool: &Arc<str>) -> Option<Conflict> {
        let conflict = self.overlap(range);
        if conflict.is_none() {
            self.0.insert(range, pool.clone());
        }
        conflict
    }

    /// The lowest range that overlaps. Only the last one that starts before it may reach into it: they do not overlap.
    fn overlap(&self, range: Range) -> Option<Conflict> {
        let before = self.0.range(..range).next_back();
        let after = self.0.range(range..).next();
        before.into_iter().chain(after).find_map(|(theirs, with)| {
            range.intersection(theirs)?;
            Some(Conflict { ours: range, theirs: *theirs, with: with.clone() })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::tests::{object, pool};
    use crate::settings::Settings;

    fn aged(name: &str, second: i64, blocks: &[&str]) -> Pool {
        let mut object = object(name, blocks);
        let created = jiff::Timestamp::from_second(second).unwrap();
        object.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
        Pool::parse(Arc::new(object), &Settings::default())
    }

    fn losers(pools: &[Pool]) -> Vec<String> {
        conflicts(pools).keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_younger_loses_with_this_message() {
        let pools = [
            aged("a", 2, &["10.9.0.0/24", "10.0.0.0/24"]),
            aged("z", 1, &["10.0.0.128 - 10.0.1.5"]),
            aged("other", 3, &["10.8.0.0/24"]),
        ];
        let conflicts = conflicts(&pools);
        assert_eq!(conflicts.len(), 1);
        assert_eq!(
            conflicts["a"].to_string(),
            "Pool conflicts since range '10.0.0.0 - 10.0.0.255' overlaps range '10.0.0.128 - 10.0.1.5' from IP Pool 'z'"
        );
    }

    #[test]
    fn of_two_of_one_second_the_later_name_loses() {
        let (a, b) = (aged("a", 1, &["10.0.0.0/24"]), aged("b", 1, &["10.0.0.255 - 10.0.0.255"]));
        assert_eq!(losers(&[a.clone(), b.clone()]), ["b"]);
        assert_eq!(losers(&[b, a]), ["b"]);
        // In manifests nothing has a time.
        assert_eq!(losers(&[pool("b", &["fd00::/64"]), pool("a", &["fd00::1/128"])]), ["b"]);
    }

    #[test]
    fn of_three_the_oldest_serves_alone() {
        let pools = ["a", "b", "c"].map(|name| pool(name, &["10.0.0.0/24"]));
        assert_eq!(losers(&pools), ["b", "c"]);
    }

    #[test]
    fn who_lost_stands_in_nobodys_way() {
        let pools = [
            pool("a", &["10.0.0.0/24"]),
            pool("b", &["10.0.0.0/24", "10.0.1.0/24"]),
            pool("c", &["10.0.1.0/24"]),
        ];
        assert_eq!(losers(&pools), ["b"]);
    }

    #[test]
    fn a_pool_may_overlap_itself() {
        let pools = [pool("a", &["10.0.1.0/24", "10.0.0.0/16"]), pool("b", &["10.0.0.0/24"])];
        let conflicts = conflicts(&pools);
        assert_eq!(
            conflicts.keys().map(|name| &**name).collect::<Vec<_>>(),
            ["a"],
            "b has nobody against it"
        );
        assert_eq!(
            conflicts["a"].to_string(),
            "Pool conflicts since range '10.0.0.0 - 10.0.255.255' overlaps range '10.0.1.0 - 10.0.1.255' from IP Pool 'a'"
        );
        assert_eq!(losers(&[pool("twice", &["10.0.0.0/24", "10.0.0.0/24"])]), ["twice"]);
        // Neighbours do not overlap, nor do families.
        assert!(losers(&[pool("a", &["10.0.0.0/25", "10.0.0.128/25", "::/64"])]).is_empty());
    }

    #[test]
    fn bad_blocks_and_selectors_play_no_part() {
        let mut disabled = object("b", &["10.0.0.0/24"]);
        disabled.spec.disabled = true;
        assert_eq!(
            losers(&[
                pool("a", &["x", "10.0.0.0/24"]),
                Pool::parse(Arc::new(disabled), &Settings::default())
            ]),
            ["b"]
        );
        assert!(losers(&[pool("a", &["x"]), pool("b", &["x"])]).is_empty());
    }

    /// The rule as it is written, pair by pair.
    fn pair_by_pair(pools: &[Pool]) -> Vec<String> {
        let mut pools: Vec<&Pool> = pools.iter().collect();
        pools.sort_by(|a, b| a.wins_over(b));
        let overlap = |a: &Pool, b: &Pool| {
            a.blocks
                .iter()
                .any(|block| b.blocks.iter().any(|other| block.range.intersection(&other.range).is_some()))
        };
        let mut serving: Vec<&Pool> = Vec::new();
        let mut losers = Vec::new();
        for pool in pools {
            let itself = pool.blocks.iter().enumerate().any(|(at, block)| {
                pool.blocks.iter().skip(at + 1).any(|other| block.range.intersection(&other.range).is_some())
            });
            if itself || serving.iter().any(|other| overlap(pool, other)) {
                losers.push(pool.name.to_string());
            } else {
                serving.push(pool);
            }
        }
        losers.sort();
        losers
    }

    proptest! {
        #[test]
        fn as_pair_by_pair(
            ages in prop::collection::vec((0i64..3, prop::collection::vec((0u8..40, 0u8..6), 0..4)), 0..7),
            turn in 0usize..7,
        ) {
            let mut pools: Vec<Pool> = ages
                .iter()
                .enumerate()
                .map(|(index, (age, blocks))| {
                    let blocks: Vec<String> = blocks
                        .iter()
                        .map(|(first, length)| format!("10.0.0.{first} - 10.0.0.{}", first + length))
                        .collect();
                    aged(&format!("p{index}"), *age, &blocks.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            let before = conflicts(&pools);
            prop_assert_eq!(losers(&pools), pair_by_pair(&pools));
            let middle = turn.min(pools.len());
            pools.rotate_left(middle);
            prop_assert_eq!(before, conflicts(&pools), "the order they come in plays no part");
        }
    }
}
