//! Pools that have addresses of the cluster itself, for owners who asked for that to be refused
//! (`rutter.dev/refuse-cluster-ranges`).
//!
//! Invariant: such a pool gives nothing new, its innocent addresses included, as with a conflict: a pool over the nodes' network
//! is a mistake that skipping one address today would only hide until the next node joins. What it gave stays.

use std::fmt;

use ipnet::IpNet;

use crate::annotation::REFUSE_CLUSTER_RANGES;
use crate::cluster_range::ClusterRange;
use crate::pool::Pool;
use crate::range::Range;
use crate::status::{COVERS_CLUSTER_RANGE, Wanted, listed};

/// A range of the pool, and what it has of the cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The range of the pool.
    pub ours: Range,
    /// The range that nodes, pods or cluster IPs are in.
    pub theirs: ClusterRange,
}

/// Both ranges, and whose the second one is.
impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} overlaps {}", self.ours, self.theirs)
    }
}

/// What the pool has of the cluster's ranges, by its own blocks in the order of the spec; empty if its owner did not ask.
#[must_use]
pub fn covered(pool: &Pool, cluster: &[ClusterRange]) -> Vec<Covered> {
    let asked = pool.refuses_cluster_ranges;
    let blocks = pool.blocks.iter().filter(|_| asked);
    blocks
        .flat_map(|block| {
            let overlaps = |theirs: &&ClusterRange| block.range.intersection(&range(theirs.net)).is_some();
            cluster
                .iter()
                .filter(overlaps)
                .map(|theirs| Covered { ours: block.range, theirs: theirs.clone() })
        })
        .collect()
}

/// The condition of a pool that has any.
#[must_use]
pub fn condition(covered: &[Covered]) -> Option<Wanted> {
    let message = || {
        format!(
            "nothing new is given out of this pool: {}; narrow spec.blocks, or set the annotation {REFUSE_CLUSTER_RANGES} \
             to \"false\"",
            listed(covered)
        )
    };
    (!covered.is_empty()).then(|| Wanted::holds(COVERS_CLUSTER_RANGE, "overlap", message()))
}

/// The addresses of a CIDR.
fn range(net: IpNet) -> Range {
    Range::new(net.network(), net.broadcast()).unwrap_or_else(|| Range::of(net.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_range::RangeUse;
    use crate::pool::tests::pool;

    fn cluster() -> Vec<ClusterRange> {
        [
            ("10.0.0.5/32", RangeUse::Node, "Node w1"),
            ("10.244.1.0/24", RangeUse::Pods, "Node w1"),
            ("10.96.0.0/12", RangeUse::Services, "ServiceCIDR kubernetes"),
        ]
        .map(|(net, what, of)| ClusterRange { net: net.parse().unwrap(), what, of: of.into() })
        .into()
    }

    fn asked(blocks: &[&str]) -> Pool {
        let mut pool = pool("p", blocks);
        pool.refuses_cluster_ranges = true;
        pool
    }

    #[test]
    fn only_who_asks_is_refused() {
        assert_eq!(covered(&pool("p", &["10.0.0.0/24"]), &cluster()), []);
        assert_eq!(covered(&asked(&["10.0.1.0/24", "fd00::/64"]), &cluster()), []);
        assert_eq!(condition(&[]), None);
    }

    #[test]
    fn the_condition_names_both_ranges() {
        let covered = covered(&asked(&["10.0.1.0/24", "10.0.0.0/24", "10.100.0.1 - 10.244.1.0"]), &cluster());
        assert_eq!(
            condition(&covered).unwrap().message,
            "nothing new is given out of this pool: 10.0.0.0 - 10.0.0.255 overlaps 10.0.0.5/32 (node addresses of Node w1); \
             10.100.0.1 - 10.244.1.0 overlaps 10.244.1.0/24 (pod addresses of Node w1); 10.100.0.1 - 10.244.1.0 overlaps \
             10.96.0.0/12 (cluster IPs of ServiceCIDR kubernetes); narrow spec.blocks, or set the annotation \
             rutter.dev/refuse-cluster-ranges to \"false\""
        );
    }
}
