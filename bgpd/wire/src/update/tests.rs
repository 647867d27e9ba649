//! The error table of UPDATE: what each fault costs, by RFC 7606, and what is left of the message.

use super::*;
use crate::context::PeerKind::{External, Internal};
use crate::family::FamilySet;
use crate::message::{HEADER_LEN, MessageKind, put_header};
use crate::{Message, Notification};

/// A message from its three fields.
fn message(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut frame = bytes::BytesMut::new();
    let length = HEADER_LEN + 4 + withdrawn.len() + attributes.len() + nlri.len();
    put_header(&mut frame, length, MessageKind::Update);
    for field in [withdrawn, attributes] {
        frame.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(field);
    }
    frame.extend_from_slice(nlri);
    frame.to_vec()
}

fn decode<'a>(frame: &'a [u8], context: &DecodeContext) -> Result<Update<'a>, MessageError> {
    match Message::decode(frame, context)? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// What became of a message, in one line: `accept`, `discard CODES`, `withdraw CODES` or `reset SUBCODE`.
fn verdict(frame: &[u8], context: &DecodeContext) -> String {
    let update = match decode(frame, context) {
        Ok(update) => update,
        Err(error) => {
            let Notification { code, subcode, .. } = error.notification();
            assert_eq!(code, 3, "an UPDATE Message Error");
            return format!("reset {subcode}");
        }
    };
    let codes: Vec<_> = update.errors.iter().map(|error| error.code.to_string()).collect();
    if update.treat_as_withdraw {
        assert_eq!(update.announced().len(), 0);
        format!("withdraw {}", codes.join(","))
    } else if codes.is_empty() {
        "accept".to_owned()
    } else {
        format!("discard {}", codes.join(","))
    }
}

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const MANDATORY: [&[u8]; 3] = [ORIGIN, AS_PATH, NEXT_HOP];
const NLRI: &[u8] = &[24, 198, 51, 100];
/// 2001:db8:1::/48 by 2001:db8::1.
const REACH_V6: &[u8] = &[
    0x80, 14, 28, 0, 2, 1, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 48, 0x20, 1, 0x0d,
    0xb8, 0, 1,
];
const UNREACH_V6: &[u8] = &[0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0x0d, 0xb8];

/// The mandatory attributes with `extra` behind them, announcing [`NLRI`].
fn with(extra: &[u8]) -> Vec<u8> {
    message(&[], &[&MANDATORY.concat(), extra].concat(), NLRI)
}

/// The mandatory attributes with one of them replaced.
fn instead(position: usize, other: &[u8]) -> Vec<u8> {
    let mut attributes = MANDATORY;
    attributes[position] = other;
    message(&[], &attributes.concat(), NLRI)
}

#[test]
fn attribute_faults_by_peer() {
    // What, octets behind the mandatory attributes, verdict from an external and from an internal peer.
    let cases: &[(&str, &[u8], &str, &str)] = &[
        ("nothing", &[], "accept", "accept"),
        ("MED", &[0x80, 4, 4, 0, 0, 0, 9], "accept", "accept"),
        ("MED length", &[0x80, 4, 3, 0, 0, 9], "withdraw 4", "withdraw 4"),
        ("MED transitive", &[0xc0, 4, 4, 0, 0, 0, 9], "withdraw 4", "withdraw 4"),
        ("LOCAL_PREF", &[0x40, 5, 4, 0, 0, 0, 9], "discard 5", "accept"),
        ("LOCAL_PREF length", &[0x40, 5, 5, 0, 0, 0, 9, 9], "discard 5", "withdraw 5"),
        ("LOCAL_PREF flags", &[0xc0, 5, 4, 0, 0, 0, 9], "withdraw 5", "withdraw 5"),
        ("ATOMIC_AGGREGATE", &[0x40, 6, 0], "accept", "accept"),
        ("ATOMIC_AGGREGATE length", &[0x40, 6, 1, 0], "discard 6", "discard 6"),
        ("ATOMIC_AGGREGATE flags", &[0xc0, 6, 0], "withdraw 6", "withdraw 6"),
        ("ATOMIC_AGGREGATE partial", &[0x60, 6, 0], "accept", "accept"),
        ("COMMUNITIES partial", &[0xe0, 8, 4, 0, 1, 0, 2], "accept", "accept"),
        ("CLUSTER_LIST partial", &[0xa0, 10, 4, 1, 2, 3, 4], "discard 10", "accept"),
        ("AGGREGATOR", &[0xc0, 7, 8, 0, 0, 0, 1, 1, 2, 3, 4], "accept", "accept"),
        ("AGGREGATOR two octets", &[0xc0, 7, 6, 0, 1, 1, 2, 3, 4], "discard 7", "discard 7"),
        ("AGGREGATOR AS 0", &[0xc0, 7, 8, 0, 0, 0, 0, 1, 2, 3, 4], "discard 7", "discard 7"),
        ("AGGREGATOR flags", &[0x40, 7, 8, 0, 0, 0, 1, 1, 2, 3, 4], "withdraw 7", "withdraw 7"),
        ("COMMUNITIES", &[0xc0, 8, 4, 0, 1, 0, 2], "accept", "accept"),
        ("COMMUNITIES length", &[0xc0, 8, 3, 0, 1, 0], "withdraw 8", "withdraw 8"),
        ("COMMUNITIES empty", &[0xc0, 8, 0], "withdraw 8", "withdraw 8"),
        ("COMMUNITIES flags", &[0x80, 8, 4, 0, 1, 0, 2], "withdraw 8", "withdraw 8"),
        ("ORIGINATOR_ID", &[0x80, 9, 4, 1, 2, 3, 4], "discard 9", "accept"),
        ("ORIGINATOR_ID length", &[0x80, 9, 3, 1, 2, 3], "discard 9", "withdraw 9"),
        ("CLUSTER_LIST", &[0x80, 10, 4, 1, 2, 3, 4], "discard 10", "accept"),
        ("CLUSTER_LIST length", &[0x80, 10, 5, 1, 2, 3, 4, 5], "discard 10", "withdraw 10"),
        ("CLUSTER_LIST empty", &[0x80, 10, 0], "discard 10", "withdraw 10"),
        ("EXTENDED COMMUNITIES", &[0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1], "accept", "accept"),
        ("EXTENDED COMMUNITIES length", &[0xc0, 16, 4, 0, 2, 0, 1], "withdraw 16", "withdraw 16"),
        ("EXTENDED COMMUNITIES empty", &[0xc0, 16, 0], "withdraw 16", "withdraw 16"),
        ("AS4_PATH", &[0xc0, 17, 6, 2, 1, 0, 0, 0, 1], "discard 17", "discard 17"),
        ("AS4_AGGREGATOR", &[0xc0, 18, 8, 0, 0, 0, 1, 1, 2, 3, 4], "discard 18", "discard 18"),
        ("LARGE_COMMUNITY", &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], "accept", "accept"),
        ("LARGE_COMMUNITY length", &[0xc0, 32, 4, 0, 0, 0, 1], "withdraw 32", "withdraw 32"),
        ("LARGE_COMMUNITY empty", &[0xc0, 32, 0], "withdraw 32", "withdraw 32"),
        ("ONLY_TO_CUSTOMER", &[0xc0, 35, 4, 0, 0, 0, 1], "accept", "accept"),
        ("ONLY_TO_CUSTOMER partial", &[0xe0, 35, 4, 0, 0, 0, 1], "accept", "accept"),
        ("ONLY_TO_CUSTOMER length", &[0xc0, 35, 3, 0, 0, 1], "withdraw 35", "withdraw 35"),
        ("ONLY_TO_CUSTOMER flags", &[0x80, 35, 4, 0, 0, 0, 1], "withdraw 35", "withdraw 35"),
        ("unknown transitive", &[0xc0, 99, 2, 1, 2], "accept", "accept"),
        ("unknown non-transitive", &[0x80, 99, 2, 1, 2], "accept", "accept"),
        ("unknown well-known", &[0x40, 99, 2, 1, 2], "reset 2", "reset 2"),
        ("a second MED", &[0x80, 4, 4, 0, 0, 0, 9, 0x80, 4, 1, 0], "discard 4", "discard 4"),
        ("a second ORIGIN, malformed", &[0x40, 1, 1, 9], "discard 1", "discard 1"),
        ("a second unknown", &[0xc0, 99, 0, 0xc0, 99, 0], "discard 99", "discard 99"),
        ("an attribute beyond the field", &[0xc0, 8, 8, 0, 1, 0, 2], "withdraw 8", "withdraw 8"),
        ("one octet left", &[0xc0], "withdraw 0", "withdraw 0"),
        ("two octets left", &[0xc0, 8], "withdraw 8", "withdraw 8"),
        ("extended length cut", &[0xd0, 8, 0], "withdraw 8", "withdraw 8"),
        ("MP_REACH_NLRI without length", &[0x80, 14], "reset 1", "reset 1"),
        ("extended length of a short value", &[0xd0, 8, 0, 4, 0, 1, 0, 2], "accept", "accept"),
        ("the strongest wins", &[0x40, 6, 1, 0, 0x80, 4, 1, 0], "withdraw 6,4", "withdraw 6,4"),
        ("reserved flag bits", &[0x8f, 4, 4, 0, 0, 0, 9], "accept", "accept"),
    ];
    for (what, extra, external, internal) in cases {
        let frame = with(extra);
        assert_eq!(verdict(&frame, &DecodeContext::new(External)), *external, "{what}, external");
        assert_eq!(verdict(&frame, &DecodeContext::new(Internal)), *internal, "{what}, internal");
    }
}

#[test]
fn mandatory_attribute_faults() {
    let context = DecodeContext::new(External);
    let cases: &[(&str, usize, &[u8], &str)] = &[
        ("no ORIGIN", 0, &[], "withdraw 1"),
        ("no AS_PATH", 1, &[], "withdraw 2"),
        ("no NEXT_HOP", 2, &[], "withdraw 3"),
        ("ORIGIN 3", 0, &[0x40, 1, 1, 3], "withdraw 1"),
        ("ORIGIN empty", 0, &[0x40, 1, 0], "withdraw 1"),
        ("ORIGIN of two octets", 0, &[0x40, 1, 2, 0, 0], "withdraw 1"),
        ("ORIGIN optional", 0, &[0xc0, 1, 1, 0], "withdraw 1"),
        ("ORIGIN partial", 0, &[0x60, 1, 1, 0], "accept"),
        ("AS_PATH empty", 1, &[0x40, 2, 0], "accept"),
        ("AS_PATH segment type 0", 1, &[0x40, 2, 6, 0, 1, 0, 0, 0, 1], "withdraw 2"),
        ("AS_PATH segment too long", 1, &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], "withdraw 2"),
        ("AS_PATH one octet too many", 1, &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2], "withdraw 2"),
        ("AS_PATH empty segment", 1, &[0x40, 2, 2, 2, 0], "withdraw 2"),
        ("AS_PATH with AS 0", 1, &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], "withdraw 2"),
        ("AS_PATH with a confederation", 1, &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], "withdraw 2"),
        ("NEXT_HOP of 16 octets", 2, &[&[0x40, 3, 16][..], &[1; 16]].concat(), "withdraw 3"),
        ("NEXT_HOP 0.0.0.0", 2, &[0x40, 3, 4, 0, 0, 0, 0], "withdraw 3"),
        ("NEXT_HOP 224.0.0.1", 2, &[0x40, 3, 4, 224, 0, 0, 1], "withdraw 3"),
        ("NEXT_HOP optional", 2, &[0x80, 3, 4, 192, 0, 2, 1], "withdraw 3"),
    ];
    for (what, position, other, expected) in cases {
        assert_eq!(verdict(&instead(*position, other), &context), *expected, "{what}");
    }
    let confederation = instead(1, &[0x40, 2, 6, 3, 1, 0, 0, 0, 1]);
    assert_eq!(verdict(&confederation, &DecodeContext::new(Internal)), "accept");
    assert_eq!(verdict(&message(&[], &[], NLRI), &context), "withdraw 1,2,3");
}

#[test]
fn multiprotocol_faults() {
    let v6 = |reach: &[u8]| message(&[], &[reach, ORIGIN, AS_PATH].concat(), &[]);
    let reach = |next_hop: &[u8], nlri: &[u8]| {
        let value = [&[0, 2, 1, u8::try_from(next_hop.len()).unwrap()][..], next_hop, &[0], nlri].concat();
        [&[0x80, 14, u8::try_from(value.len()).unwrap()][..], &value].concat()
    };
    let host = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut flags = REACH_V6.to_vec();
    flags[0] = 0xc0;
    let mut partial = REACH_V6.to_vec();
    partial[0] = 0xa0;
    let mut cut = reach(&host, &[64, 0x20, 1]);
    cut[0] = 0xc0;
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("as it should be", v6(REACH_V6), "accept"),
        ("NEXT_HOP beside it", v6(&[REACH_V6, NEXT_HOP].concat()), "accept"),
        ("NEXT_HOP 0.0.0.0 beside it", v6(&[REACH_V6, &[0x40, 3, 4, 0, 0, 0, 0]].concat()), "accept"),
        ("NEXT_HOP of 3 octets beside it", v6(&[REACH_V6, &[0x40, 3, 3, 1, 2, 3]].concat()), "withdraw 3"),
        ("next hop of 4 octets", v6(&reach(&[192, 0, 2, 1], &[0])), "reset 9"),
        ("next hop of 0 octets", v6(&reach(&[], &[0])), "reset 9"),
        ("next hop of 24 octets", v6(&reach(&[1; 24], &[0])), "reset 9"),
        ("next hop beyond the attribute", v6(&[0x80, 14, 6, 0, 2, 1, 16, 0, 0]), "reset 9"),
        ("value of 4 octets", v6(&[0x80, 14, 4, 0, 2, 1, 0]), "reset 9"),
        ("no reserved octet", v6(&[&[0x80, 14, 20, 0, 2, 1, 16][..], &host].concat()), "reset 9"),
        ("next hop ::", v6(&reach(&[0; 16], &[0])), "withdraw 14"),
        ("next hop ff02::1", v6(&reach(&[0xff; 16], &[0])), "withdraw 14"),
        ("prefix length 129", v6(&reach(&host, &[129])), "reset 9"),
        ("prefix beyond the attribute", v6(&reach(&host, &[64, 0x20, 1])), "reset 9"),
        ("transitive", v6(&flags), "withdraw 14"),
        ("transitive, its prefixes cut", v6(&cut), "reset 9"),
        ("partial", v6(&partial), "accept"),
        ("twice", v6(&[REACH_V6, REACH_V6].concat()), "reset 1"),
        ("beyond the field", message(&[], &[ORIGIN, AS_PATH, &REACH_V6[..30]].concat(), &[]), "reset 1"),
        ("no ORIGIN", message(&[], &[REACH_V6, AS_PATH].concat(), &[]), "withdraw 1"),
        ("withdrawal", message(&[], UNREACH_V6, &[]), "accept"),
        ("withdrawal twice", message(&[], &[UNREACH_V6, UNREACH_V6].concat(), &[]), "reset 1"),
        ("withdrawal transitive", message(&[], &[&[0xc0], &UNREACH_V6[1..]].concat(), &[]), "withdraw 15"),
        ("withdrawal of 2 octets", message(&[], &[0x80, 15, 2, 0, 2], &[]), "reset 9"),
        ("withdrawal cut", message(&[], &[0x80, 15, 5, 0, 2, 1, 64, 1], &[]), "reset 9"),
    ];
    for (what, frame, expected) in cases {
        assert_eq!(verdict(frame, &DecodeContext::new(External)), *expected, "{what}");
    }
}

#[test]
fn field_faults() {
    let context = DecodeContext::new(External);
    let mandatory = MANDATORY.concat();
    let mut long_withdrawn = message(&[8, 10], &mandatory, NLRI);
    long_withdrawn[20] = 200;
    let mut long_attributes = message(&[], &mandatory, NLRI);
    long_attributes[22] = 200;
    let mut no_room = message(&[8, 10], &[], &[]);
    no_room[20] = 4;
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("withdrawn length", long_withdrawn, "reset 1"),
        ("attribute length", long_attributes, "reset 1"),
        ("no room for the attribute length", no_room, "reset 1"),
        ("NLRI length 33", message(&[], &mandatory, &[33, 1, 2, 3, 4, 5]), "reset 10"),
        ("NLRI cut", message(&[], &mandatory, &[24, 1, 2]), "reset 10"),
        ("withdrawn length 33", message(&[33, 1, 2, 3, 4, 5], &[], &[]), "reset 10"),
        ("withdrawn cut", message(&[24, 1], &[], &[]), "reset 10"),
        ("NLRI cut and attributes malformed", message(&[], &[0x40, 1, 1, 9], &[24]), "reset 10"),
    ];
    for (what, frame, expected) in cases {
        assert_eq!(verdict(frame, &context), *expected, "{what}");
    }
}

/// RFC 7606 §5.2.
#[test]
fn malformed_attributes_without_prefixes_end_the_session() {
    let context = DecodeContext::new(External);
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("attributes alone", message(&[], &MANDATORY.concat(), &[]), "accept"),
        ("only a discard", message(&[], &[0x40, 6, 1, 0], &[]), "discard 6"),
        ("malformed ORIGIN alone", message(&[], &[0x40, 1, 1, 9], &[]), "reset 6"),
        ("malformed MED beside a withdrawal", message(&[8, 10], &[0x80, 4, 1, 0], &[]), "reset 5"),
        ("garbage behind MP_UNREACH_NLRI", message(&[], &[UNREACH_V6, &[0x40]].concat(), &[]), "reset 1"),
        (
            "MP_REACH_NLRI beyond reach",
            message(&[], &[&[0x40, 1, 99][..], REACH_V6].concat(), &[]),
            "reset 1",
        ),
    ];
    for (what, frame, expected) in cases {
        assert_eq!(verdict(frame, &context), *expected, "{what}");
    }
}

#[test]
fn treat_as_withdraw_withdraws_everything() {
    let attributes = [REACH_V6, UNREACH_V6, &MANDATORY.concat(), &[0x80, 4, 1, 0]].concat();
    let frame = message(&[8, 10], &attributes, NLRI);
    let update = decode(&frame, &DecodeContext::new(External)).unwrap();
    let withdrawn: Vec<_> =
        update.withdrawn().flat_map(|group| group.prefixes).map(|prefix| prefix.to_string()).collect();
    assert_eq!(withdrawn, ["10.0.0.0/8", "2001:db8::/32", "198.51.100.0/24", "2001:db8:1::/48"]);
    assert_eq!(update.attributes, PathAttributes::default());
    assert_eq!(
        update.errors[0].to_string(),
        "MULTI_EXIT_DISC at octet 87: length 1, expected 4 (treat-as-withdraw)"
    );
}

#[test]
fn both_places_at_once_keep_their_next_hops() {
    let attributes = [&MANDATORY.concat(), REACH_V6, UNREACH_V6].concat();
    let frame = message(&[8, 10], &attributes, NLRI);
    let update = decode(&frame, &DecodeContext::new(External)).unwrap();
    let groups: Vec<_> = update
        .announced()
        .map(|mut group| (group.next_hop.to_string(), group.prefixes.next().unwrap().to_string()))
        .collect();
    let expected = [("192.0.2.1", "198.51.100.0/24"), ("2001:db8::1", "2001:db8:1::/48")];
    assert_eq!(groups, expected.map(|(next_hop, prefix)| (next_hop.to_owned(), prefix.to_owned())));
    assert_eq!(update.attributes.next_hop.unwrap().to_string(), "192.0.2.1");
    assert_eq!(
        update.withdrawn().map(|group| group.family().to_string()).collect::<Vec<_>>(),
        ["ipv4-unicast", "ipv6-unicast"]
    );
    assert_eq!(update.end_of_rib, None);
}

#[test]
fn end_of_rib() {
    let eor = |frame: &[u8], families| {
        let update = decode(frame, &DecodeContext { families, ..DecodeContext::new(External) }).unwrap();
        assert_eq!(update.announced().len() + update.withdrawn().len(), 0);
        update.end_of_rib
    };
    let v4 = message(&[], &[], &[]);
    let v6 = message(&[], &[0x80, 15, 3, 0, 2, 1], &[]);
    let v4_by_attribute = message(&[], &[0x90, 15, 0, 3, 0, 1, 1], &[]);
    let with_more = message(&[], &[0x80, 15, 3, 0, 2, 1, 0x40, 1, 1, 0], &[]);
    assert_eq!(eor(&v4, FamilySet::ALL), Some(Family::IPV4_UNICAST));
    assert_eq!(eor(&v4, FamilySet::IPV6_UNICAST), None);
    assert_eq!(eor(&v6, FamilySet::ALL), Some(Family::IPV6_UNICAST));
    assert_eq!(eor(&v6, FamilySet::IPV4_UNICAST), None);
    assert_eq!(eor(&v4_by_attribute, FamilySet::ALL), Some(Family::IPV4_UNICAST));
    assert_eq!(eor(&with_more, FamilySet::ALL), None);
}

#[test]
fn families_that_were_not_negotiated_are_not_read() {
    let only_v4 = DecodeContext { families: FamilySet::IPV4_UNICAST, ..DecodeContext::new(External) };
    let only_v6 = DecodeContext { families: FamilySet::IPV6_UNICAST, ..DecodeContext::new(External) };
    let v6 = message(&[], &[REACH_V6, ORIGIN, AS_PATH].concat(), &[]);
    assert_eq!(verdict(&v6, &only_v4), "discard 14");
    assert_eq!(verdict(&message(&[], UNREACH_V6, &[]), &only_v4), "discard 15");
    assert_eq!(verdict(&with(&[]), &only_v6), "discard 0");
    let vpn = message(&[], &[&[0x80, 14, 6, 0, 1, 128, 0, 0, 1][..], ORIGIN, AS_PATH].concat(), &[]);
    assert_eq!(verdict(&vpn, &DecodeContext::new(External)), "discard 14");
    let malformed = message(&[], &[REACH_V6, &[0x40, 1, 1, 9], AS_PATH].concat(), &[]);
    assert_eq!(verdict(&malformed, &only_v4), "withdraw 14,1", "nothing is kept of it, nothing is lost");
}

#[test]
fn ipv4_with_ipv6_next_hop_needs_the_capability() {
    let host = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let reach = |next_hop: &[u8]| {
        let value = [&[0, 1, 1, u8::try_from(next_hop.len()).unwrap()][..], next_hop, &[0, 24, 198, 51, 100]]
            .concat();
        let header = [0x80, 14, u8::try_from(value.len()).unwrap()];
        message(&[], &[&header, &value[..], ORIGIN, AS_PATH].concat(), &[])
    };
    let plain = DecodeContext::new(External);
    let extended = DecodeContext { extended_next_hop: true, ..plain };
    for (next_hop, without, shown) in [
        (&[192, 0, 2, 1][..], "accept", "192.0.2.1"),
        (&host, "reset 9", "2001:db8::1"),
        (&[host, link_local].concat(), "reset 9", "2001:db8::1 fe80::1"),
    ] {
        let frame = reach(next_hop);
        assert_eq!(verdict(&frame, &plain), without, "{shown}");
        let update = decode(&frame, &extended).unwrap();
        let group = update.announced().next().unwrap();
        assert_eq!((group.family(), group.next_hop.to_string().as_str()), (Family::IPV4_UNICAST, shown));
    }
}

#[test]
fn two_octet_peers() {
    let context = DecodeContext { four_octet_as: false, ..DecodeContext::new(External) };
    let path = |extra: &[u8]| {
        let as_path = [0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0];
        message(&[], &[ORIGIN, &as_path, NEXT_HOP, extra].concat(), NLRI)
    };
    let as4_path: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    let real_aggregator: &[u8] = &[0xc0, 7, 6, 0xfd, 0xe9, 1, 2, 3, 4];
    let trans_aggregator: &[u8] = &[0xc0, 7, 6, 0x5b, 0xa0, 1, 2, 3, 4];
    let as4_aggregator: &[u8] = &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 5, 6, 7, 8];
    // Attributes behind the mandatory ones, path, aggregator.
    let cases: &[(Vec<u8>, &str, &str)] = &[
        (vec![], "65001 23456", ""),
        (as4_path.to_vec(), "65001 70000", ""),
        ([as4_path, real_aggregator].concat(), "65001 70000", "65001 1.2.3.4"),
        ([as4_path, trans_aggregator].concat(), "65001 70000", "23456 1.2.3.4"),
        ([trans_aggregator, as4_path, as4_aggregator].concat(), "65001 70000", "70000 5.6.7.8"),
        ([real_aggregator, as4_path, as4_aggregator].concat(), "65001 23456", "65001 1.2.3.4"),
        ([as4_path, as4_aggregator].concat(), "65001 70000", ""),
        (vec![0xc0, 17, 3, 2, 1, 0], "65001 23456", ""),
        (vec![0xc0, 17, 0], "65001 23456", ""),
    ];
    for (extra, as_path, aggregator) in cases {
        let frame = path(extra);
        let update = decode(&frame, &context).unwrap();
        assert!(!update.treat_as_withdraw);
        assert_eq!(update.attributes.as_path.to_string(), *as_path);
        let found = update.attributes.aggregator.map(|aggregator| aggregator.to_string());
        assert_eq!(found.unwrap_or_default(), *aggregator);
    }
    assert_eq!(verdict(&path(&[0xc0, 17, 3, 2, 1, 0]), &context), "discard 17");
    assert_eq!(verdict(&path(&[0xc0, 18, 6, 0, 0, 0, 0, 0, 1]), &context), "discard 18");
    assert_eq!(
        verdict(&with(&[]), &context),
        "withdraw 2",
        "a four-octet path does not read as a two-octet one"
    );
}

#[test]
fn unknown_transitive_attributes_are_ready_to_pass_on() {
    let frame = with(&[0xc0, 200, 1, 7, 0x80, 150, 1, 1, 0xd0, 99, 0, 2, 1, 2, 0xe0, 128, 0]);
    let update = decode(&frame, &DecodeContext::new(External)).unwrap();
    let unknown: Vec<_> = update
        .attributes
        .unknown
        .iter()
        .map(|unknown| (unknown.flags, unknown.code, unknown.value.len()))
        .collect();
    assert_eq!(unknown, [(0xe0, 99, 2), (0xe0, 128, 0), (0xe0, 200, 1)], "in order, Partial set");
}

#[test]
fn a_reset_names_the_attribute_it_is_for() {
    let context = DecodeContext::new(Internal);
    let error = decode(&with(&[0x40, 99, 2, 1, 2]), &context).unwrap_err();
    assert_eq!(error.data.as_ref(), [0x40, 99, 2, 1, 2]);
    assert_eq!(error.offset, 43);
    assert_eq!(error.to_string(), "attribute 99: unrecognized well-known attribute (octet 43)");
    let error = decode(&with(&[REACH_V6, REACH_V6].concat()), &context).unwrap_err();
    assert!(error.data.is_empty(), "Malformed Attribute List has no data");
}
