//! ONLY_TO_CUSTOMER (RFC 9234 §5): the AS from which on a route may only go down, to customers.

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let asn = u32::from_be_bytes(reader.exactly("4")?);
    reader.attributes.partial.only_to_customer = reader.is_partial();
    reader.attributes.only_to_customer = Some(asn);
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if let Some(asn) = attributes.only_to_customer {
        out.write(attributes.partial.only_to_customer, &asn.to_be_bytes());
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.only_to_customer.map(|asn| asn.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, any::<Option<u32>>(), any::<bool>())
        .prop_map(|(mut attributes, asn, partial)| {
            attributes.partial.only_to_customer = partial && asn.is_some();
            attributes.only_to_customer = asn;
            attributes
        })
        .boxed()
}
