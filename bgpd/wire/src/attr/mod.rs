//! Path attributes: the decoded set, and one file per attribute.
//!
//! To add an attribute: a field in [`PathAttributes`], a file beside this one with `decode`, `encode`, `show` and
//! `arbitrary`, and one row in [`table`]. The decoder, the encoder, `Display` and the round-trip tests walk the table.
//!
//! Invariant: a [`PathAttributes`] is canonical. Communities are sorted sets, AS paths are their own octets, unknown attributes
//! are in order of their code. Equal attributes are therefore equal values and equal octets: interning and packing need
//! no second look.

pub mod aggregator;
pub(crate) mod as4_aggregator;
pub(crate) mod as4_path;
pub mod as_path;
pub(crate) mod atomic_aggregate;
pub(crate) mod cluster_list;
pub mod community;
pub mod extended_community;
pub mod large_community;
pub(crate) mod local_pref;
pub(crate) mod med;
pub(crate) mod mp_reach;
pub(crate) mod mp_unreach;
pub mod next_hop;
pub(crate) mod only_to_customer;
pub mod origin;
pub(crate) mod originator_id;
pub mod partial;
pub(crate) mod row;
pub mod table;
pub mod unknown;

use std::fmt;
use std::net::Ipv4Addr;

use thiserror::Error;

use aggregator::Aggregator;
use as_path::AsPath;
use community::{Community, CommunitySet};
use extended_community::ExtendedCommunity;
use large_community::LargeCommunity;
use next_hop::NextHop;
use origin::Origin;
use partial::Partial;
use unknown::UnknownAttribute;

/// All path attributes of a route.
///
/// The next hop is here, wherever the message carried it, so that routes with different next hops differ in their
/// attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathAttributes {
    /// ORIGIN
    pub origin: Origin,
    /// AS_PATH, AS4_PATH merged in
    pub as_path: AsPath,
    /// NEXT_HOP or the next hop of MP_REACH_NLRI
    pub next_hop: Option<NextHop>,
    /// MULTI_EXIT_DISC
    pub med: Option<u32>,
    /// LOCAL_PREF
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE
    pub atomic_aggregate: bool,
    /// AGGREGATOR, AS4_AGGREGATOR merged in
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES
    pub communities: CommunitySet<Community>,
    /// EXTENDED COMMUNITIES
    pub extended_communities: CommunitySet<ExtendedCommunity>,
    /// LARGE_COMMUNITY
    pub large_communities: CommunitySet<LargeCommunity>,
    /// ONLY_TO_CUSTOMER
    pub only_to_customer: Option<u32>,
    /// ORIGINATOR_ID
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST, nearest cluster first
    pub cluster_list: Box<[Ipv4Addr]>,
    /// Which of the optional transitive attributes above passed a speaker that did not know them
    pub partial: Partial,
    /// Unrecognized transitive attributes, to be passed on, in order of their code
    pub unknown: Box<[UnknownAttribute]>,
}

impl fmt::Display for PathAttributes {
    /// `ORIGIN: IGP; AS_PATH: 65001 65002; …`, for logs and tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = table::ROWS.iter().filter_map(|row| Some((row.name, (row.show)(self)?)));
        for (position, (name, value)) in known.enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{name}: {value}")?;
        }
        self.unknown.iter().try_for_each(|unknown| write!(f, "; {unknown}"))
    }
}

/// A text that does not name an attribute value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseAttributeError {
    /// Not a standard community.
    #[error(
        "{0:?} is no community: write two numbers up to 65535 as \"65001:100\", one number, or a well-known name"
    )]
    Community(String),
    /// Not a large community.
    #[error("{0:?} is no large community: write three numbers up to 4294967295 as \"65001:1:2\"")]
    LargeCommunity(String),
    /// Not an extended community.
    #[error(
        "{0:?} is no extended community: write \"RT:65001:100\", \"SoO:192.0.2.1:100\" or 16 hexadecimal digits after 0x"
    )]
    ExtendedCommunity(String),
    /// Not an AS path.
    #[error("{0:?} is no AS path: write AS numbers as \"65001 65002 {{65003,65004}}\"")]
    AsPath(String),
}
