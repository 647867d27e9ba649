//! Putting a route through a policy.
//!
//! Invariant: the outcome is that of the first statement, in the order written, whose conditions all hold. The index only
//! leaves out statements that cannot match.

use std::cmp::Ordering;

use bgp_wire::{Family, PathAttributes};
use ipnet::IpNet;

use super::{Actions, CompiledPolicy, SourceMatch, Statement, Verdict};

/// A route as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The prefix.
    pub prefix: &'a IpNet,
    /// The attributes before any action of this policy.
    pub attributes: &'a PathAttributes,
    /// Where the route comes from.
    pub source: SourceMatch,
}

/// What a policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Accept or reject.
    pub verdict: Verdict,
    /// The statement that decided; none: the default action did.
    pub statement: Option<u32>,
}

impl CompiledPolicy {
    /// The outcome for `route`.
    #[must_use]
    pub fn evaluate(&self, route: Candidate<'_>) -> Outcome {
        match self.first_match(route) {
            Some((number, statement)) => Outcome { verdict: statement.action, statement: Some(number) },
            None => Outcome { verdict: self.policy().default_action, statement: None },
        }
    }

    /// The changes that go with an outcome of this policy. None for a rejected route.
    #[must_use]
    pub fn actions(&self, outcome: Outcome) -> Option<&Actions> {
        let statement = self.statement(outcome.statement?)?;
        (outcome.verdict == Verdict::Accept && !statement.set.is_empty()).then_some(&statement.set)
    }

    fn first_match(&self, route: Candidate<'_>) -> Option<(u32, &Statement)> {
        let index = self.index(Family::of(route.prefix));
        let by_prefix = index.by_prefix.matching(route.prefix);
        let candidates = merge(by_prefix.iter().copied(), index.for_any_prefix.iter().copied());
        candidates
            .filter_map(|number| Some((number, self.statement(number)?)))
            .find(|(_, statement)| statement.holds_beside_prefix(route))
    }
}

impl Statement {
    /// The conditions other than family and prefix.
    fn holds_beside_prefix(&self, route: Candidate<'_>) -> bool {
        (self.sources.is_empty() || self.sources.contains(&route.source))
            && (self.any_community.is_empty()
                || self.any_community.iter().any(|community| community.matches(route.attributes)))
    }
}

impl Actions {
    /// Applies what is the same on the way in and on the way out: preference, MED and communities. AS_PATH prepending
    /// belongs to the export towards external peers and is done there.
    pub fn apply(&self, attributes: &mut PathAttributes) {
        if let Some(preference) = self.local_preference {
            attributes.local_pref = Some(preference);
        }
        if let Some(med) = self.med {
            attributes.med = Some(med);
        }
        if !self.add_communities.is_empty() {
            attributes.communities = attributes.communities.with(self.add_communities.iter().copied());
        }
        if !self.add_large_communities.is_empty() {
            attributes.large_communities =
                attributes.large_communities.with(self.add_large_communities.iter().copied());
        }
    }
}

/// Two ascending sequences without common members as one.
fn merge(left: impl Iterator<Item = u32>, right: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(l), Some(r)) if l.cmp(r) == Ordering::Greater => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

#[cfg(test)]
mod tests;
