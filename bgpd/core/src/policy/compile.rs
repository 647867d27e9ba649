//! A policy made ready for evaluation: statements indexed by prefix.
//!
//! Invariant: a [`CompiledPolicy`] holds the [`Policy`] it came from and is equal to another exactly when the policies
//! are, so "nothing changed" is one comparison.

use std::sync::Arc;

use bgp_wire::Family;
use ipnet::IpNet;

use super::sets::PrefixIndex;
use super::{Policy, Statement};

/// A policy with an index over its statements.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    pub(super) policy: Arc<Policy>,
    pub(super) ipv4: FamilyIndex,
    pub(super) ipv6: FamilyIndex,
}

/// The statements that can match a route of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct FamilyIndex {
    /// Statements with prefixes.
    pub(super) by_prefix: PrefixIndex,
    /// Statements without, ascending: they are read for every route.
    pub(super) for_any_prefix: Vec<u32>,
    /// No statement names a prefix, so that the outcome depends on attributes and source alone.
    pub(super) prefix_blind: bool,
}

impl CompiledPolicy {
    /// Indexes `policy`. Statements beyond 2^32 - 1 are unreachable in practice and left out.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let ipv4 = FamilyIndex::new(&policy, Family::IPV4_UNICAST);
        let ipv6 = FamilyIndex::new(&policy, Family::IPV6_UNICAST);
        Self { policy, ipv4, ipv6 }
    }

    /// What it was made from.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether this decides every route as `policy` does, by statements of equal names. The policies' own names may differ.
    #[must_use]
    pub fn decides_as(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
            || self.policy.default_action == policy.default_action
                && self.policy.statements == policy.statements
    }

    /// The only prefixes of which this policy may decide a route in another way than `other` does; none, if it may be any.
    ///
    /// A service that comes or goes is one statement more or less among thousands. What stands before and behind it is the
    /// same in both, so a route that it does not match meets the same statement as before.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Vec<IpNet>> {
        let (policy, other) = (&self.policy, &other.policy);
        if policy.default_action != other.default_action {
            return None;
        }
        let (ours, theirs) = without_equal_ends(&policy.statements, &other.statements);
        let mut prefixes = Vec::new();
        for statement in ours.iter().chain(theirs) {
            if statement.prefixes.is_empty() || prefixes.len() > MOST_DIFFERENT {
                return None;
            }
            for matched in &statement.prefixes {
                prefixes.push(matched.only()?);
            }
        }
        Some(prefixes)
    }

    /// The statement with this number, as [`super::Outcome::statement`] gives it.
    #[must_use]
    pub fn statement(&self, number: u32) -> Option<&Statement> {
        self.policy.statements.get(usize::try_from(number).ok()?)
    }

    /// Whether two routes of `family` with equal attributes and sources always meet the same fate.
    #[must_use]
    pub fn is_prefix_blind(&self, family: Family) -> bool {
        self.index(family).prefix_blind
    }

    pub(super) fn index(&self, family: Family) -> &FamilyIndex {
        if family == Family::IPV6_UNICAST { &self.ipv6 } else { &self.ipv4 }
    }
}

/// So many prefixes are looked for one by one. More, and walking over the table is as good.
const MOST_DIFFERENT: usize = 1_024;

/// Both without what they have in common at the beginning and at the end.
fn without_equal_ends<'s>(
    mut ours: &'s [Statement],
    mut theirs: &'s [Statement],
) -> (&'s [Statement], &'s [Statement]) {
    while let (Some((one, rest)), Some((other, others))) = (ours.split_first(), theirs.split_first())
        && one == other
    {
        (ours, theirs) = (rest, others);
    }
    while let (Some((one, rest)), Some((other, others))) = (ours.split_last(), theirs.split_last())
        && one == other
    {
        (ours, theirs) = (rest, others);
    }
    (ours, theirs)
}

impl PartialEq for CompiledPolicy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy) || self.policy == other.policy
    }
}

impl Eq for CompiledPolicy {}

impl FamilyIndex {
    fn new(policy: &Policy, family: Family) -> Self {
        let mut index = Self { prefix_blind: true, ..Self::default() };
        for (number, statement) in (0_u32..).zip(&*policy.statements) {
            if !statement.families.is_empty() && !statement.families.contains(&family) {
                continue;
            }
            if statement.prefixes.is_empty() {
                index.for_any_prefix.push(number);
                continue;
            }
            for matched in statement.prefixes.iter().filter(|matched| Family::of(&matched.prefix) == family) {
                index.prefix_blind = false;
                index.by_prefix.insert(number, matched);
            }
        }
        index
    }
}
