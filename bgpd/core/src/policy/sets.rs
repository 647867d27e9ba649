//! What statements match on, arranged so that finding the few statements a route may match does not mean reading all.
//!
//! A Kubernetes node's export policy has one statement per service with exact prefixes: ten thousand of them are normal.
//! [`PrefixIndex`] finds the statements whose prefixes cover a route with one hash look-up per distinct prefix length.
//!
//! Invariant: [`PrefixIndex::matching`] returns every statement with a [`PrefixMatch`] that holds, and no other.

use bgp_wire::PathAttributes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::{CommunityMatch, PrefixMatch};

/// Statement numbers in ascending order.
pub(super) type Candidates = SmallVec<[u32; 8]>;

/// Covering prefixes of one family, by prefix, with the statements that named them.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefixIndex {
    /// Lengths that occur among the covering prefixes, ascending.
    lengths: Vec<u8>,
    rows: HashMap<IpNet, SmallVec<[Row; 1]>, FixedState>,
}

/// One covering prefix in one statement.
#[derive(Clone, Copy, Debug)]
struct Row {
    statement: u32,
    min_length: u8,
    max_length: u8,
}

impl PrefixIndex {
    /// Adds what `statement` matches. The prefix must be of this index' family.
    pub(super) fn insert(&mut self, statement: u32, matched: &PrefixMatch) {
        let length = matched.prefix.prefix_len();
        if let Err(position) = self.lengths.binary_search(&length) {
            self.lengths.insert(position, length);
        }
        let row = Row { statement, min_length: matched.min_length, max_length: matched.max_length };
        self.rows.entry(matched.prefix).or_default().push(row);
    }

    /// The statements that match `prefix`, ascending, each once.
    pub(super) fn matching(&self, prefix: &IpNet) -> Candidates {
        let mut found = Candidates::new();
        for &length in self.lengths.iter().take_while(|length| **length <= prefix.prefix_len()) {
            let Ok(covering) = IpNet::new(prefix.addr(), length) else { continue };
            let Some(rows) = self.rows.get(&covering.trunc()) else { continue };
            let holds = |row: &&Row| (row.min_length..=row.max_length).contains(&prefix.prefix_len());
            found.extend(rows.iter().filter(holds).map(|row| row.statement));
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }
}

impl CommunityMatch {
    /// Whether a route carries this community.
    #[must_use]
    pub fn matches(&self, attributes: &PathAttributes) -> bool {
        match self {
            Self::Standard(community) => attributes.communities.contains(community),
            Self::Large(community) => attributes.large_communities.contains(community),
        }
    }
}
