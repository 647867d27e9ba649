//! LOCAL_PREF (RFC 4271 §4.3 e, §5.1.5): the degree of preference inside our AS.
//!
//! The table takes it from internal peers only (RFC 7606 §7.5). Whether to send it is the speaker's decision: the encoder
//! writes what it is given.

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    reader.attributes.local_pref = Some(u32::from_be_bytes(reader.exactly("4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if let Some(local_pref) = attributes.local_pref {
        out.write(false, &local_pref.to_be_bytes());
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.local_pref.map(|local_pref| local_pref.to_string())
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, any::<Option<u32>>())
        .prop_map(|(attributes, local_pref)| PathAttributes { local_pref, ..attributes })
        .boxed()
}
