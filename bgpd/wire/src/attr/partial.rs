//! The Partial bit of known optional transitive attributes.
//!
//! RFC 4271 §5: once some AS that did not know an attribute has set Partial, nobody may clear it. A speaker that decodes
//! the attribute and writes it anew therefore has to remember the bit.

/// Which attributes arrived with the Partial bit set.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Partial {
    /// AGGREGATOR
    pub aggregator: bool,
    /// COMMUNITIES
    pub communities: bool,
    /// EXTENDED COMMUNITIES
    pub extended_communities: bool,
    /// LARGE_COMMUNITY
    pub large_communities: bool,
    /// ONLY_TO_CUSTOMER
    pub only_to_customer: bool,
}
