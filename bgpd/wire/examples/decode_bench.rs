//! Prints what one prefix costs to decode and to encode, for UPDATE messages with few and with many prefixes.
//!
//! `cargo run --release -p bgp-wire --example decode_bench`
//!
//! Decoding means: header, attributes, check of the whole field, and every prefix handed out once. Encoding means: header
//! and prefixes around an attribute block that is encoded once. The best of several rounds is shown, since only
//! disturbances make a round slower.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark has to read the clock; the library it measures does not"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use bgp_wire::{
    AsPath, AttributeBlock, Community, DecodeContext, EncodeContext, Family, LargeCommunity, Message,
    NextHop, PathAttributes, PeerKind, encode_reach,
};
use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!(
        "{:<14} {:>8} {:>8} {:>14} {:>14} {:>14}",
        "family", "prefixes", "octets", "decode", "encode", "attributes"
    );
    for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
        for count in [1, 100, 400, 800] {
            let prefixes: Vec<IpNet> =
                (0..count).map(|number| prefix(family, number)).collect::<Result<_, _>>()?;
            row(family, &prefixes)?;
        }
    }
    Ok(())
}

fn row(family: Family, prefixes: &[IpNet]) -> Result<(), Failure> {
    let context = EncodeContext { extended_message: true, ..EncodeContext::new() };
    let attributes = PathAttributes {
        as_path: AsPath::sequence([65001, 4_200_000_001, 65003]),
        med: Some(10),
        communities: [Community::new(65001, 100), Community::new(65001, 200)].into_iter().collect(),
        large_communities: [LargeCommunity::new(65001, 1, 2)].into_iter().collect(),
        ..Default::default()
    };
    let next_hop = match family {
        Family::IPV6_UNICAST => NextHop::V6 { global: "2001:db8::1".parse()?, link_local: None },
        _ => NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)),
    };
    let block = AttributeBlock::encode(&attributes, &context);
    let mut message = BytesMut::new();
    encode_reach(&mut message, &block, family, &next_hop, prefixes.iter().copied(), &context)?;

    let session = DecodeContext::new(PeerKind::External);
    let decode = best(prefixes.len(), || {
        let Ok(Message::Update(update)) = Message::decode(black_box(&message), &session) else { return };
        for group in update.announced() {
            group.prefixes.for_each(|prefix| {
                black_box(prefix);
            });
        }
        black_box(&update.attributes);
    });
    let mut out = BytesMut::with_capacity(1 << 16);
    let encode = best(prefixes.len(), || {
        out.clear();
        let sent = black_box(prefixes).iter().copied();
        let _ = black_box(encode_reach(&mut out, &block, family, &next_hop, sent, &context));
    });
    let block = best(1, || {
        black_box(AttributeBlock::encode(black_box(&attributes), &context));
    });
    println!(
        "{:<14} {:>8} {:>8} {decode:>11.1} ns {encode:>11.1} ns {block:>11.1} ns",
        family.to_string(),
        prefixes.len(),
        message.len()
    );
    Ok(())
}

/// Nanoseconds per item of the fastest round.
fn best(items: usize, mut work: impl FnMut()) -> f64 {
    const ROUNDS: usize = 30;
    let repeats = (200_000 / items).max(1);
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..repeats).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e9 / (repeats * items) as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn prefix(family: Family, number: u32) -> Result<IpNet, ipnet::PrefixLenError> {
    match family {
        Family::IPV6_UNICAST => {
            let bits = 0x2001_0db8_u128 << 96 | u128::from(number) << 80;
            Ipv6Net::new(Ipv6Addr::from_bits(bits), 48).map(IpNet::V6)
        }
        _ => Ipv4Net::new(Ipv4Addr::from_bits(0x0a00_0000 + (number << 8)), 24).map(IpNet::V4),
    }
}
