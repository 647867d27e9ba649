//! Routing policy as it is written: ordered statements, the first that matches decides (RFC 4271 §9.1.1, §9.1.3).
//!
//! The types here are the validated form of what an operator wrote: communities are parsed, lengths are resolved.
//! [`CompiledPolicy`] is the form that routes are put through.
//!
//! Invariant: the compiled form decides exactly as reading the statements from the first to the last would.

mod compile;
mod eval;
mod sets;

use std::sync::Arc;

use bgp_wire::{Community, Family, LargeCommunity};
use ipnet::IpNet;

pub use self::compile::CompiledPolicy;
pub use self::eval::{Candidate, Outcome};

/// Ordered statements; the first that matches decides, and if none does, [`Policy::default_action`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name for `show`, e.g. `peer-tor-switch-export`.
    pub name: Arc<str>,
    /// What happens to a route that no statement matches.
    pub default_action: Verdict,
    /// The statements, in order of evaluation. Peers may share them: a node's peers are often told the same.
    pub statements: Arc<[Statement]>,
}

/// One statement: all conditions must hold; an empty condition always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Name for `show`, e.g. `PodCIDR-ipv4`.
    pub name: Arc<str>,
    /// Families the statement is about. Empty: all.
    pub families: Vec<Family>,
    /// Prefixes the statement is about. Empty: all.
    pub prefixes: Vec<PrefixMatch>,
    /// Communities of which a route must carry at least one. Empty: no condition.
    pub any_community: Vec<CommunityMatch>,
    /// Where the route must come from. Empty: anywhere.
    pub sources: Vec<SourceMatch>,
    /// What to do with the route.
    pub action: Verdict,
    /// Changes to an accepted route.
    pub set: Actions,
}

/// A covering prefix and the lengths, inside it, that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixMatch {
    /// The covering prefix, without host bits.
    pub prefix: IpNet,
    /// Smallest matching length.
    pub min_length: u8,
    /// Largest matching length.
    pub max_length: u8,
}

impl PrefixMatch {
    /// Only this prefix.
    #[must_use]
    pub fn exact(prefix: IpNet) -> Self {
        Self::new(prefix, None, None)
    }

    /// Resolves absent lengths: the smallest defaults to the prefix's own, the largest to the smallest. A smallest
    /// length below the prefix's own means the prefix's own, because nothing shorter lies inside.
    #[must_use]
    pub fn new(prefix: IpNet, min_length: Option<u8>, max_length: Option<u8>) -> Self {
        let prefix = prefix.trunc();
        let own = prefix.prefix_len();
        let min_length = min_length.map_or(own, |length| length.max(own));
        Self { prefix, min_length, max_length: max_length.unwrap_or(min_length) }
    }

    /// The prefix that matches, if only one does.
    #[must_use]
    pub fn only(&self) -> Option<IpNet> {
        let own = self.prefix.prefix_len();
        ((self.min_length, self.max_length) == (own, own)).then_some(self.prefix)
    }

    /// Whether a route's prefix matches.
    #[must_use]
    pub fn matches(&self, prefix: &IpNet) -> bool {
        (self.min_length..=self.max_length).contains(&prefix.prefix_len()) && self.prefix.contains(prefix)
    }
}

/// A community that a route may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommunityMatch {
    /// A community of RFC 1997.
    Standard(Community),
    /// A large community of RFC 8092.
    Large(LargeCommunity),
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMatch {
    /// Originated by this instance.
    Local,
    /// Learned from an internal peer.
    Internal,
    /// Learned from an external peer.
    External,
}

/// Accept or reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The route passes.
    Accept,
    /// The route does not pass.
    Reject,
}

/// Changes that a statement makes to a route it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Replace LOCAL_PREF. Has no effect towards external peers.
    pub local_preference: Option<u32>,
    /// Replace MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Communities to add; those already there stay where they are.
    pub add_communities: Vec<Community>,
    /// Large communities to add; those already there stay where they are.
    pub add_large_communities: Vec<LargeCommunity>,
    /// Prepend the local ASN this many more times, on export to external peers only: elsewhere it would make a loop of
    /// a route that is none.
    pub prepend: u8,
}

impl Actions {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
