//! MULTI_EXIT_DISC (RFC 4271 §4.3 d, §5.1.4): which of several entries into our AS the neighbour prefers.

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    reader.attributes.med = Some(u32::from_be_bytes(reader.exactly("4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if let Some(med) = attributes.med {
        out.write(false, &med.to_be_bytes());
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.med.map(|med| med.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, any::<Option<u32>>()).prop_map(|(attributes, med)| PathAttributes { med, ..attributes }).boxed()
}
