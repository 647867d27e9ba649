//! The same state in Cilium's words: JSON models with the keys of its agent API, tables with its columns.
//!
//! Scalars that are zero are left out of the JSON and lists are not, as in Cilium. Keys that Cilium does not have are
//! marked as rutter's own.
//!
//! Invariant: a table is rendered from the JSON model alone, so a client needs nothing but the JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub mod duration;
pub mod peers;
pub mod policies;
pub mod routes;
pub mod table;

/// An address family, as Cilium spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = CiliumFamily)]
pub struct Family {
    /// `ipv4` or `ipv6`.
    pub afi: String,
    /// `unicast`.
    pub safi: String,
}

impl From<crate::intent::Family> for Family {
    fn from(family: crate::intent::Family) -> Self {
        let afi = match family {
            crate::intent::Family::Ipv4Unicast => "ipv4",
            crate::intent::Family::Ipv6Unicast => "ipv6",
        };
        Self { afi: afi.to_owned(), safi: "unicast".to_owned() }
    }
}

/// Octets as Cilium's API carries them.
#[must_use]
pub fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Octets out of what [`base64`] makes; nothing if the text is none.
fn octets(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
