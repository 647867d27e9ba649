//! ATOMIC_AGGREGATE (RFC 4271 §4.3 f, §5.1.6): the AS path may lack some of the aggregated ASes.

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let [] = reader.exactly("0")?;
    reader.attributes.atomic_aggregate = true;
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if attributes.atomic_aggregate {
        out.write(false, &[]);
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.atomic_aggregate.then(|| "yes".to_owned())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, any::<bool>())
        .prop_map(|(attributes, atomic_aggregate)| PathAttributes { atomic_aggregate, ..attributes })
        .boxed()
}
