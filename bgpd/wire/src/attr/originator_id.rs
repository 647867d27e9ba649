//! ORIGINATOR_ID (RFC 4456 §8): the router that brought the route into our AS.

use std::net::Ipv4Addr;

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    reader.attributes.originator_id = Some(Ipv4Addr::from(reader.exactly::<4>("4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if let Some(originator) = attributes.originator_id {
        out.write(false, &originator.octets());
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.originator_id.map(|originator| originator.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, any::<Option<Ipv4Addr>>())
        .prop_map(|(attributes, originator_id)| PathAttributes { originator_id, ..attributes })
        .boxed()
}
