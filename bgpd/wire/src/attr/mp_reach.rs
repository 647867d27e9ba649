//! MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3; errors: RFC 7606 §5.3, §7.11): prefixes of any family with
//! their next hop.
//!
//! Invariant: nothing behind a next hop of unexpected length is read. Where the NLRI begins would be a guess, so the
//! session ends.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::PathAttributes;
use super::next_hop::{NextHop, host_v4, host_v6};
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::{DecodeContext, EncodeContext};
use crate::cursor::{Cursor, Truncated};
use crate::error::AttributeFault;
use crate::family::Family;
use crate::nlri::Prefixes;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let short = AttributeFault::Length { found: reader.value.remaining(), expected: "at least 5" };
    let parse = |value: &mut Cursor<'_>| {
        let family = Family { afi: value.u16()?, safi: value.u8()? };
        let length = usize::from(value.u8()?);
        Ok((family, length))
    };
    let mut value = reader.value;
    let (family, length) = parse(&mut value).map_err(|Truncated| short.clone())?;
    if !reader.context.families.contains(family) {
        return Err(AttributeFault::FamilyNotNegotiated(family));
    }
    let wrong_length = AttributeFault::NextHopLength { family, length };
    let next_hop = value.take(length).map_err(|Truncated| wrong_length.clone())?;
    // One reserved octet, which "SHOULD be ignored upon receipt".
    value.u8().map_err(|Truncated| short)?;
    // The length first: with a bad one the rest is no NLRI. The address last: with a bad one the NLRI still is.
    let next_hop = read_next_hop(family, next_hop, reader.context).ok_or(wrong_length)?;
    let prefixes = Prefixes::read(value, family, reader.context.add_path.contains(family))
        .map_err(|(_, fault)| AttributeFault::Nlri(fault))?;
    let (next_hop, verdict) = match next_hop {
        Ok(next_hop) => (Some(next_hop), Ok(())),
        Err(fault) => (None, Err(fault)),
    };
    reader.carried.reach = Some((next_hop, prefixes));
    verdict
}

/// See [`super::next_hop::encode`].
pub(super) const fn encode(_: &PathAttributes, _: &EncodeContext, _: &mut AttributeWriter<'_>) {}

/// It is no attribute of the route but its carrier.
pub(super) const fn show(_: &PathAttributes) -> Option<String> {
    None
}

/// The next hop, or why the address cannot be one; `None` for a length the family does not have on this session.
fn read_next_hop(
    family: Family,
    octets: &[u8],
    context: &DecodeContext,
) -> Option<Result<NextHop, AttributeFault>> {
    let v6 = family == Family::IPV6_UNICAST || context.extended_next_hop;
    match (octets.len(), octets.as_chunks::<16>()) {
        (4, _) if family == Family::IPV4_UNICAST => {
            octets.first_chunk::<4>().map(|octets| host_v4(Ipv4Addr::from(*octets)))
        }
        (16, ([global], _)) if v6 => Some(host_v6(Ipv6Addr::from(*global), None)),
        (32, ([global, second], _)) if v6 => {
            Some(host_v6(Ipv6Addr::from(*global), Some(Ipv6Addr::from(*second))))
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    base
}
