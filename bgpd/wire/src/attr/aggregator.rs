//! AGGREGATOR (RFC 4271 §4.3 g, §5.1.7; RFC 6793 §3): who formed the aggregate.
//!
//! The AS number has two octets or four, as the session negotiated. Towards a two-octet peer a larger number becomes
//! AS_TRANS here and itself in AS4_AGGREGATOR.

use std::fmt;
use std::net::Ipv4Addr;

use super::PathAttributes;
use super::as_path::two_octet;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

/// AGGREGATOR: the speaker that formed an aggregate.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Aggregator {
    /// Its AS number.
    pub asn: u32,
    /// Its BGP Identifier.
    pub address: Ipv4Addr,
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.asn, self.address)
    }
}

pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let aggregator = if reader.context.four_octet_as { read(reader, "8")? } else { read_two_octet(reader)? };
    reader.attributes.partial.aggregator = reader.is_partial();
    reader.attributes.aggregator = Some(aggregator);
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, out: &mut AttributeWriter<'_>) {
    let Some(aggregator) = attributes.aggregator else { return };
    let (asn, partial) = (aggregator.asn, attributes.partial.aggregator);
    let address = aggregator.address.to_bits();
    if context.four_octet_as {
        out.write(partial, &(u64::from(asn) << 32 | u64::from(address)).to_be_bytes());
    } else {
        let [_, _, octets @ ..] = (u64::from(two_octet(asn)) << 32 | u64::from(address)).to_be_bytes();
        out.write(partial, &octets);
    }
}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.aggregator.map(|aggregator| aggregator.to_string())
}

/// Reads the value with a four-octet AS number, the form AS4_AGGREGATOR always has.
pub(super) fn read(
    reader: &mut AttributeReader<'_, '_>,
    expected: &'static str,
) -> Result<Aggregator, AttributeFault> {
    let [a, b, c, d, address @ ..] = reader.exactly::<8>(expected)?;
    checked(u32::from_be_bytes([a, b, c, d]), address)
}

fn read_two_octet(reader: &mut AttributeReader<'_, '_>) -> Result<Aggregator, AttributeFault> {
    let [a, b, address @ ..] = reader.exactly::<6>("6")?;
    checked(u32::from(u16::from_be_bytes([a, b])), address)
}

fn checked(asn: u32, address: [u8; 4]) -> Result<Aggregator, AttributeFault> {
    match asn {
        0 => Err(AttributeFault::AsZero),
        asn => Ok(Aggregator { asn, address: address.into() }),
    }
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    use proptest::prelude::*;
    let aggregator = (super::as_path::arbitrary_asn(), any::<Ipv4Addr>())
        .prop_map(|(asn, address)| Aggregator { asn, address });
    (base, proptest::option::of(aggregator), any::<bool>())
        .prop_map(|(mut attributes, aggregator, partial)| {
            attributes.aggregator = aggregator;
            attributes.partial.aggregator = partial && aggregator.is_some();
            attributes
        })
        .boxed()
}
