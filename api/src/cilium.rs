//! The same state in Cilium's words: JSON models with the keys of its agent API, tables with its columns.
//!
//! Scalars that are zero are left out of the JSON and lists are not, as in Cilium. Keys that Cilium does not have are
//! marked as rutter's own.
//!
//! Invariant: a table is rendered from the JSON model alone, so a client needs nothing but the JSON.

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
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// The vectors of RFC 4648 §10.
    #[test]
    fn base64_of_every_remainder() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(octets.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
