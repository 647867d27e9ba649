//! Layout and packing of UPDATE messages, and the round trip of every row of the attribute table.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;
use crate::context::{DecodeContext, PeerKind};
use crate::message::{MAX_EXTENDED_LEN, MAX_LEN};
use crate::{AsPath, Message, UnknownAttribute, Update, peek_frame};

/// Splits a stream into messages, each of which has to be one this session allows.
fn frames(mut stream: &[u8], max: usize) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let (frame, rest) = stream.split_at(peek_frame(stream, max).unwrap().unwrap());
        frames.push(frame);
        stream = rest;
    }
    frames
}

fn update<'a>(frame: &'a [u8], context: &DecodeContext) -> Update<'a> {
    match Message::decode(frame, context).unwrap() {
        Message::Update(update) => update,
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// The decoder's view of an encoder's context.
fn mirror(context: &EncodeContext) -> DecodeContext {
    DecodeContext {
        four_octet_as: context.four_octet_as,
        extended_next_hop: context.extended_next_hop,
        add_path: context.add_path,
        ..DecodeContext::new(PeerKind::Internal)
    }
}

fn hosts(count: u32) -> impl Iterator<Item = IpNet> {
    (0..count).map(|number| IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(0x0a00_0000 + number), 32).unwrap()))
}

const V4: NextHop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));

fn v6(text: &str, link_local: Option<&str>) -> NextHop {
    NextHop::V6 { global: text.parse().unwrap(), link_local: link_local.map(|text| text.parse().unwrap()) }
}

#[test]
fn layout_of_an_ipv4_update() {
    let attributes =
        PathAttributes { as_path: AsPath::sequence([65001]), med: Some(5), ..Default::default() };
    let context = EncodeContext::new();
    let block = AttributeBlock::encode(&attributes, &context);
    let mut out = BytesMut::new();
    let prefixes = ["198.51.100.0/24", "0.0.0.0/0"].map(|text| text.parse().unwrap());
    assert_eq!(encode_reach(&mut out, &block, Family::IPV4_UNICAST, &V4, prefixes, &context), Ok(1));
    let expected = [
        0, 0, 0, 27, // no withdrawn routes, 27 octets of attributes
        0x40, 1, 1, 0, // ORIGIN
        0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, // AS_PATH
        0x40, 3, 4, 192, 0, 2, 1, // NEXT_HOP
        0x80, 4, 4, 0, 0, 0, 5, // MULTI_EXIT_DISC
        24, 198, 51, 100, 0,
    ];
    assert_eq!(out[HEADER_LEN..], expected);
}

#[test]
fn mp_reach_comes_first_and_unknown_attributes_in_order() {
    let unknown = [11, 200].map(|code| UnknownAttribute::passed_on(code, &[code]));
    let attributes = PathAttributes { unknown: unknown.into(), local_pref: Some(1), ..Default::default() };
    let context = EncodeContext::new();
    let block = AttributeBlock::encode(&attributes, &context);
    let mut out = BytesMut::new();
    let prefixes = ["2001:db8::/32".parse().unwrap()];
    encode_reach(&mut out, &block, Family::IPV6_UNICAST, &v6("2001:db8::1", None), prefixes, &context)
        .unwrap();
    let mut codes = Vec::new();
    let mut rest = &out[HEADER_LEN + 4..];
    while let [flags, code, tail @ ..] = rest {
        let (len, tail) = match tail {
            [high, low, tail @ ..] if flags & 0x10 != 0 => {
                (usize::from(u16::from_be_bytes([*high, *low])), tail)
            }
            [len, tail @ ..] => (usize::from(*len), tail),
            [] => panic!("cut"),
        };
        codes.push(*code);
        rest = &tail[len..];
    }
    assert_eq!(codes, [14, 1, 2, 5, 11, 200]);
}

#[test]
fn messages_are_filled_to_the_limit() {
    for (extended_message, max) in [(false, MAX_LEN), (true, MAX_EXTENDED_LEN)] {
        let context = EncodeContext { extended_message, ..EncodeContext::new() };
        let block = AttributeBlock::encode(&PathAttributes::default(), &context);
        let mut out = BytesMut::new();
        let written =
            encode_reach(&mut out, &block, Family::IPV4_UNICAST, &V4, hosts(30_000), &context).unwrap();
        let mut withdrawn = BytesMut::new();
        let taken_back =
            encode_unreach(&mut withdrawn, Family::IPV4_UNICAST, hosts(30_000), &context).unwrap();
        for (stream, count) in [(&out, written), (&withdrawn, taken_back)] {
            let messages = frames(stream, max);
            assert_eq!(messages.len(), count);
            for full in &messages[..count - 1] {
                assert!(full.len() > max - 5, "{} octets of {max}", full.len());
            }
        }
        let sent: Vec<_> = frames(&out, max)
            .iter()
            .flat_map(|frame| {
                update(frame, &mirror(&context))
                    .announced()
                    .flat_map(|group| group.prefixes)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(sent.into_iter().eq(hosts(30_000)), "all, once, in order");
        let back: Vec<_> = frames(&withdrawn, max)
            .iter()
            .flat_map(|frame| {
                update(frame, &mirror(&context))
                    .withdrawn()
                    .flat_map(|group| group.prefixes)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(back.into_iter().eq(hosts(30_000)));
    }
}

#[test]
fn attributes_without_room_for_a_prefix_are_refused() {
    let context = EncodeContext::new();
    let mut out = BytesMut::from(&b"kept"[..]);
    // 4096 - 23 fixed - 7 NEXT_HOP - 5 prefix - 7 ORIGIN and AS_PATH - 4 header of the unknown one.
    for (len, fits) in [(4050, true), (4051, false), (70_000, false)] {
        let unknown = UnknownAttribute::passed_on(99, &vec![0; len]);
        let attributes = PathAttributes { unknown: [unknown].into(), ..Default::default() };
        let block = AttributeBlock::encode(&attributes, &context);
        let result = encode_reach(&mut out, &block, Family::IPV4_UNICAST, &V4, hosts(1), &context);
        if fits {
            assert_eq!(result, Ok(1));
            assert_eq!(out.len(), 4 + 4096);
            out.truncate(4);
        } else {
            assert_eq!(result, Err(EncodeError::TooLong { needed: 4096 + len - 4050, max: 4096 }));
        }
    }
    assert_eq!(out, b"kept"[..]);
}

#[test]
fn nothing_is_written_for_nothing() {
    let context = EncodeContext::new();
    let block = AttributeBlock::encode(&PathAttributes::default(), &context);
    let mut out = BytesMut::new();
    assert_eq!(encode_reach(&mut out, &block, Family::IPV4_UNICAST, &V4, [], &context), Ok(0));
    assert_eq!(encode_unreach(&mut out, Family::IPV6_UNICAST, [], &context), Ok(0));
    assert_eq!(UpdateWriter::unreach(&mut out, Family::IPV6_UNICAST, &context).unwrap().finish(), 0);
    let mut writer = UpdateWriter::unreach(&mut out, Family::IPV4_UNICAST, &context).unwrap();
    writer.push("10.0.0.0/8".parse().unwrap()).unwrap();
    drop(writer);
    assert!(out.is_empty(), "a writer that is dropped takes its message back");
}

#[test]
fn what_cannot_be_sent() {
    let (mut out, plain) = (BytesMut::new(), EncodeContext::new());
    let block = AttributeBlock::encode(&PathAttributes::default(), &plain);
    let vpn = Family { afi: 1, safi: 128 };
    let mut reach = |family, next_hop: &NextHop, prefix: &str, context: &EncodeContext| {
        encode_reach(&mut out, &block, family, next_hop, [prefix.parse().unwrap()], context)
    };
    let global = v6("2001:db8::1", None);
    let wrong = EncodeError::NextHop { family: Family::IPV4_UNICAST, next_hop: global.address() };
    assert_eq!(reach(Family::IPV4_UNICAST, &global, "10.0.0.0/8", &plain), Err(wrong));
    assert_eq!(reach(vpn, &V4, "10.0.0.0/8", &plain), Err(EncodeError::Family(vpn)));
    let other = Err(EncodeError::PrefixFamily(Family::IPV4_UNICAST));
    assert_eq!(reach(Family::IPV4_UNICAST, &V4, "::/0", &plain), other);
    assert!(out.is_empty());
    assert_eq!(encode_end_of_rib(&mut out, vpn), Err(EncodeError::Family(vpn)));
    assert!(UpdateWriter::unreach(&mut out, vpn, &plain).is_err());
}

#[test]
fn next_hops_arrive_as_they_were_sent() {
    let extended = EncodeContext { extended_next_hop: true, ..EncodeContext::new() };
    let (mapped, both) = (v6("::ffff:192.0.2.1", None), v6("2001:db8::1", Some("fe80::1")));
    let only_local = v6("::", Some("fe80::1"));
    for (prefix, sent, received) in [
        ("10.0.0.0/8", V4, V4),
        ("10.0.0.0/8", both, both),
        ("10.0.0.0/8", v6("fe80::1", None), v6("fe80::1", None)),
        ("2001:db8::/32", both, both),
        ("2001:db8::/32", only_local, only_local),
        ("2001:db8::/32", V4, mapped),
    ] {
        let prefix: IpNet = prefix.parse().unwrap();
        let block = AttributeBlock::encode(&PathAttributes::default(), &extended);
        let mut out = BytesMut::new();
        encode_reach(&mut out, &block, Family::of(&prefix), &sent, [prefix], &extended).unwrap();
        let update = update(&out, &mirror(&extended));
        assert_eq!(update.attributes.next_hop, Some(received));
        let group = update.announced().next().unwrap();
        assert_eq!((group.next_hop, group.prefixes.collect::<Vec<_>>()), (received, vec![prefix]));
    }
}

#[test]
fn end_of_rib_arrives() {
    for family in FamilySet::ALL.iter() {
        let mut out = BytesMut::new();
        encode_end_of_rib(&mut out, family).unwrap();
        assert_eq!(update(&out, &DecodeContext::new(PeerKind::External)).end_of_rib, Some(family));
    }
}

/// Attributes with an arbitrary value in the given rows.
fn arbitrary_attributes<'r>(rows: impl IntoIterator<Item = &'r table::Row>) -> BoxedStrategy<PathAttributes> {
    rows.into_iter().fold(Just(PathAttributes::default()).boxed(), |base, row| (row.arbitrary)(base))
}

fn round_trip(attributes: &PathAttributes, context: &EncodeContext) -> Result<(), TestCaseError> {
    let block = AttributeBlock::encode(attributes, context);
    let mut out = BytesMut::new();
    for (prefix, next_hop) in [("10.0.0.0/8", V4), ("2001:db8::/32", v6("2001:db8::1", Some("fe80::1")))] {
        let prefix: IpNet = prefix.parse().unwrap();
        out.clear();
        encode_reach(&mut out, &block, Family::of(&prefix), &next_hop, [prefix], context).unwrap();
        let update = update(&out, &mirror(context));
        prop_assert_eq!(&update.errors, &[]);
        let expected = PathAttributes { next_hop: Some(next_hop), ..attributes.clone() };
        prop_assert_eq!(&update.attributes, &expected, "{}", attributes);
    }
    Ok(())
}

fn contexts() -> [EncodeContext; 2] {
    let long = EncodeContext { extended_message: true, ..EncodeContext::new() };
    [long, EncodeContext { four_octet_as: false, ..long }]
}

#[test]
fn round_trip_of_every_row() {
    for row in table::ROWS {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
        let strategy = arbitrary_attributes([row]);
        let result = runner.run(&strategy, |attributes| {
            contexts().iter().try_for_each(|context| round_trip(&attributes, context))
        });
        if let Err(error) = result {
            panic!("{}: {error}", row.name);
        }
    }
}

fn arbitrary_unknown() -> BoxedStrategy<Box<[UnknownAttribute]>> {
    let free = any::<u8>().prop_filter("has no row", |code| table::row(*code).is_none());
    proptest::collection::btree_map(free, proptest::collection::vec(any::<u8>(), 0..300), 0..4)
        .prop_map(|map| {
            map.into_iter().map(|(code, value)| UnknownAttribute::passed_on(code, &value)).collect()
        })
        .boxed()
}

fn arbitrary_prefixes() -> BoxedStrategy<Vec<(u32, IpNet)>> {
    let v4 =
        (any::<Ipv4Addr>(), 0..=32_u8).prop_map(|(a, len)| IpNet::V4(Ipv4Net::new(a, len).unwrap().trunc()));
    let v6 = (any::<std::net::Ipv6Addr>(), 0..=128_u8)
        .prop_map(|(a, len)| IpNet::V6(Ipv6Net::new(a, len).unwrap().trunc()));
    let list = |prefix: BoxedStrategy<IpNet>| proptest::collection::vec((any::<u32>(), prefix), 1..2000);
    prop_oneof![list(v4.boxed()), list(v6.boxed())].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip_of_all_rows_together(
        attributes in arbitrary_attributes(table::ROWS),
        unknown in arbitrary_unknown(),
    ) {
        let attributes = PathAttributes { unknown, ..attributes };
        for context in contexts() {
            round_trip(&attributes, &context)?;
        }
    }

    /// Whatever is announced or withdrawn arrives, once and in order, in messages no longer than allowed.
    #[test]
    fn round_trip_of_prefixes(
        attributes in arbitrary_attributes(table::ROWS),
        prefixes in arbitrary_prefixes(),
        extended_message: bool,
        path_ids: bool,
    ) {
        let add_path = if path_ids { FamilySet::ALL } else { FamilySet::EMPTY };
        let context = EncodeContext { extended_message, add_path, ..EncodeContext::new() };
        let family = Family::of(&prefixes[0].1);
        let next_hop = if family == Family::IPV4_UNICAST { V4 } else { v6("2001:db8::1", None) };
        let block = AttributeBlock::encode(&attributes, &context);
        let mut out = BytesMut::new();
        let mut rest = prefixes.as_slice();
        while !rest.is_empty() {
            let mut writer = match UpdateWriter::reach(&mut out, &block, family, &next_hop, &context) {
                Ok(writer) => writer,
                Err(EncodeError::TooLong { needed, max }) => {
                    prop_assert!(needed > max && !extended_message);
                    return Ok(());
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            };
            while let [(path_id, prefix), tail @ ..] = rest {
                match writer.push_path(*path_id, *prefix) {
                    Ok(()) => rest = tail,
                    Err(error) => {
                        prop_assert_eq!(error, PushError::Full);
                        break;
                    }
                }
            }
            prop_assert!(writer.prefixes() > 0);
            writer.finish();
        }
        let mut received = Vec::new();
        for frame in frames(&out, context.max_message_len()) {
            for mut group in update(frame, &mirror(&context)).announced() {
                received.extend(std::iter::from_fn(|| group.prefixes.next_path()));
            }
        }
        let expected: Vec<_> =
            prefixes.iter().map(|(id, prefix)| (if path_ids { *id } else { 0 }, *prefix)).collect();
        prop_assert_eq!(&received, &expected);

        out.clear();
        encode_unreach_paths(&mut out, family, prefixes.iter().copied(), &context).unwrap();
        let mut withdrawn = Vec::new();
        for frame in frames(&out, context.max_message_len()) {
            withdrawn.extend(update(frame, &mirror(&context)).withdrawn().flat_map(|group| group.prefixes.paths()));
        }
        prop_assert_eq!(withdrawn, expected);
    }
}
