//! MP_UNREACH_NLRI (RFC 4760 §4; errors: RFC 7606 §5.3, §7.12): withdrawn prefixes of any family. Without prefixes it is
//! the family's End-of-RIB (RFC 4724 §2).

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::cursor::Truncated;
use crate::error::AttributeFault;
use crate::family::Family;
use crate::nlri::Prefixes;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let short =
        |Truncated| AttributeFault::Length { found: reader.value.remaining(), expected: "at least 3" };
    let mut value = reader.value;
    let family = Family { afi: value.u16().map_err(short)?, safi: value.u8().map_err(short)? };
    if !reader.context.families.contains(family) {
        return Err(AttributeFault::FamilyNotNegotiated(family));
    }
    let prefixes = Prefixes::read(value, family, reader.context.add_path.contains(family))
        .map_err(|(_, fault)| AttributeFault::Nlri(fault))?;
    reader.carried.unreach = Some(prefixes);
    Ok(())
}

/// Withdrawn prefixes are no attribute of a route: [`crate::UpdateWriter`] writes them.
pub(super) const fn encode(_: &PathAttributes, _: &EncodeContext, _: &mut AttributeWriter<'_>) {}

/// It is no attribute of the route.
pub(super) const fn show(_: &PathAttributes) -> Option<String> {
    None
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    base
}
