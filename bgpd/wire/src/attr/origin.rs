//! ORIGIN (RFC 4271 §4.3 a, §5.1.1): how the route got into BGP.

use std::fmt;

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

/// ORIGIN, in order of preference.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
#[repr(u8)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp = 0,
    /// Learned by EGP.
    Egp = 1,
    /// Learned by other means.
    Incomplete = 2,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "IGP",
            Self::Egp => "EGP",
            Self::Incomplete => "incomplete",
        })
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    reader.attributes.origin = match reader.exactly("1")? {
        [0] => Origin::Igp,
        [1] => Origin::Egp,
        [2] => Origin::Incomplete,
        [other] => return Err(AttributeFault::UndefinedOrigin(other)),
    };
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    out.write(false, &[attributes.origin as u8]);
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    Some(attributes.origin.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)])
        .prop_map(|(attributes, origin)| PathAttributes { origin, ..attributes })
        .boxed()
}
