//! CLUSTER_LIST (RFC 4456 §8): the reflection clusters a route passed, the nearest first.

use std::net::Ipv4Addr;

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    match reader.value.rest().as_chunks::<4>() {
        (clusters, []) if !clusters.is_empty() => {
            reader.attributes.cluster_list = clusters.iter().copied().map(Ipv4Addr::from).collect();
            Ok(())
        }
        _ => Err(AttributeFault::Length {
            found: reader.value.remaining(),
            expected: "a non-zero multiple of 4",
        }),
    }
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, out: &mut AttributeWriter<'_>) {
    if !attributes.cluster_list.is_empty() {
        out.write_set(false, &attributes.cluster_list, Ipv4Addr::octets);
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    let list: Vec<_> = attributes.cluster_list.iter().map(Ipv4Addr::to_string).collect();
    (!list.is_empty()).then(|| list.join(" "))
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    (base, proptest::collection::vec(any::<Ipv4Addr>(), 0..6))
        .prop_map(|(attributes, list)| PathAttributes { cluster_list: list.into(), ..attributes })
        .boxed()
}
