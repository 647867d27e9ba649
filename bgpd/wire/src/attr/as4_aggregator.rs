//! AS4_AGGREGATOR (RFC 6793 §3, §4.2): the aggregator's AS number, carried past peers that only have two octets for it.

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use super::{aggregator, as_path::AS_TRANS};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    if reader.context.four_octet_as {
        return Err(AttributeFault::FromFourOctetPeer);
    }
    reader.carried.as4_aggregator = Some(aggregator::read(reader, "8")?);
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, out: &mut AttributeWriter<'_>) {
    match attributes.aggregator {
        Some(aggregator) if !context.four_octet_as && aggregator.asn > u32::from(u16::MAX) => {
            let value = u64::from(aggregator.asn) << 32 | u64::from(aggregator.address.to_bits());
            out.write(attributes.partial.aggregator, &value.to_be_bytes());
        }
        _ => {}
    }
}

/// It is shown as what it was merged into.
pub(super) fn show(_: &PathAttributes) -> Option<String> {
    None
}

/// Puts AS4_AGGREGATOR in the place of an AGGREGATOR that says AS_TRANS. Returns whether AS4_PATH counts: it does not if
/// AGGREGATOR names a real AS, since then a two-octet speaker aggregated after AS4_PATH was written (RFC 6793 §4.2.3).
pub(crate) fn merge(attributes: &mut PathAttributes, as4: Option<aggregator::Aggregator>) -> bool {
    match (attributes.aggregator, as4) {
        (Some(old), Some(new)) if old.asn == AS_TRANS => {
            attributes.aggregator = Some(new);
            true
        }
        (Some(_), Some(_)) => false,
        (_, _) => true,
    }
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    base
}
