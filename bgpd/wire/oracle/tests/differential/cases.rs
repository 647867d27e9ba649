//! Well-formed messages, octet by octet: what each means is written here, and all three codecs have to read it.

use bgp_wire::{DecodeContext, PathAttributes, PeerKind};
use bgp_wire_oracle::netgauze::{self, Structure};
use bgp_wire_oracle::{Class, Content, ours, rustbgpd};

use crate::message::{Attribute, Parts};

const GLOBAL: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Attributes, announced and withdrawn prefixes as text.
fn shown(content: &Content) -> [String; 3] {
    let announced: Vec<_> =
        content.announced.iter().map(|(prefix, via)| format!("{prefix} via {via}")).collect();
    let withdrawn: Vec<_> = content.withdrawn.iter().map(ToString::to_string).collect();
    [content.attributes.to_string(), announced.join(", "), withdrawn.join(", ")]
}

/// Has all three read the message, and compares what they say with `expected`.
fn agreed(what: &str, parts: &Parts, context: &DecodeContext, expected: [&str; 3]) {
    let frame = parts.frame();
    let ours = ours::read(&frame, context);
    assert_eq!(ours.class, Class::Accept, "{what}: {}", ours.why);
    let content = ours.content.expect("an accepted message has content");
    assert_eq!(shown(&content), expected, "{what}");
    let theirs = rustbgpd::read(&frame, context);
    assert_eq!(
        (theirs.class, theirs.content.as_ref()),
        (Class::Accept, Some(&content)),
        "{what}: {}",
        theirs.why
    );
    match netgauze::read(&frame, context.four_octet_as) {
        Structure::Read(written) => {
            assert_eq!(ours::read(&written, context).content, Some(content), "{what}")
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// An MP_REACH_NLRI attribute.
fn reach(afi: u8, next_hop: &[&[u8]], nlri: &[u8]) -> Attribute {
    let next_hop = next_hop.concat();
    let len = u8::try_from(next_hop.len()).expect("a next hop");
    Attribute::new(0x80, 14, &[&[0, afi, 1, len][..], &next_hop, &[0], nlri].concat())
}

/// The parts without what belongs to IPv4 in the NLRI field, with `first` before the other attributes.
fn multiprotocol(first: Attribute) -> Parts {
    let mut parts = Parts { nlri: vec![], ..Parts::plain(true) };
    parts.attributes.retain(|attribute| attribute.code != 3);
    parts.attributes.insert(0, first);
    parts
}

#[test]
fn every_attribute() {
    let mut parts = Parts { withdrawn: vec![8, 10, 12, 172, 16], ..Parts::plain(true) };
    parts.attributes.extend([
        Attribute::new(0x80, 4, &[0, 0, 0, 50]),
        Attribute::new(0x40, 5, &[0, 0, 0, 200]),
        Attribute::new(0x40, 6, &[]),
        Attribute::new(0xc0, 7, &[0, 1, 0x11, 0x70, 192, 0, 2, 9]),
        Attribute::new(0xc0, 8, &[0xff, 0xff, 0xff, 1, 0xfd, 0xe9, 0, 100]),
        Attribute::new(0x80, 9, &[192, 0, 2, 7]),
        Attribute::new(0x80, 10, &[192, 0, 2, 8, 192, 0, 2, 5]),
        Attribute::new(0xe0, 16, &[0, 2, 0xfd, 0xe9, 0, 0, 0, 100]),
        Attribute::new(0xd0, 32, &[0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1]),
        Attribute::new(0xe0, 99, &[1, 2, 3]),
    ]);
    let attributes = "ORIGIN: IGP; AS_PATH: 65001; MULTI_EXIT_DISC: 50; LOCAL_PREF: 200; ATOMIC_AGGREGATE: yes; \
                      AGGREGATOR: 70000 192.0.2.9; COMMUNITIES: 65001:100 no-export; ORIGINATOR_ID: 192.0.2.7; \
                      CLUSTER_LIST: 192.0.2.8 192.0.2.5; EXTENDED_COMMUNITIES: RT:65001:100; LARGE_COMMUNITY: 3:2:1; \
                      attribute 99: 0x010203";
    let expected = [attributes, "198.51.100.0/24 via 192.0.2.1", "10.0.0.0/8, 172.16.0.0/12"];
    agreed("every attribute", &parts, &DecodeContext::new(PeerKind::Internal), expected);
}

#[test]
fn ipv6_and_its_next_hops() {
    let context = DecodeContext::new(PeerKind::External);
    let attributes = "ORIGIN: IGP; AS_PATH: 65001";
    let nlri = [32, 0x20, 1, 0x0d, 0xb8, 0, 48, 0x20, 1, 0x0d, 0xb8, 0, 7];
    let announced = "::/0 via 2001:db8::1, 2001:db8::/32 via 2001:db8::1, 2001:db8:7::/48 via 2001:db8::1";
    let expected = [attributes, announced, ""];
    agreed("a global next hop", &multiprotocol(reach(2, &[&GLOBAL], &nlri)), &context, expected);
    let both = multiprotocol(reach(2, &[&GLOBAL, &LINK_LOCAL], &nlri));
    agreed("a link-local one beside it", &both, &context, expected);
    let gone = Attribute::new(0x80, 15, &[0, 2, 1, 32, 0x20, 1, 0x0d, 0xb8]);
    let parts = Parts { attributes: vec![gone], ..Parts::default() };
    agreed("a withdrawal", &parts, &context, ["ORIGIN: IGP; AS_PATH: ", "", "2001:db8::/32"]);
}

#[test]
fn ipv4_over_ipv6() {
    let context = DecodeContext { extended_next_hop: true, ..DecodeContext::new(PeerKind::External) };
    let parts = multiprotocol(reach(1, &[&GLOBAL], &[24, 198, 51, 100]));
    let expected = ["ORIGIN: IGP; AS_PATH: 65001", "198.51.100.0/24 via 2001:db8::1", ""];
    agreed("an IPv6 next hop", &parts, &context, expected);
    let parts = multiprotocol(reach(1, &[&[192, 0, 2, 1]], &[24, 198, 51, 100]));
    let expected = ["ORIGIN: IGP; AS_PATH: 65001", "198.51.100.0/24 via 192.0.2.1", ""];
    agreed("an IPv4 next hop in the attribute", &parts, &DecodeContext::new(PeerKind::External), expected);
}

#[test]
fn both_families_in_one_message() {
    let mut parts = Parts::plain(true);
    parts.attributes.push(reach(2, &[&GLOBAL], &[32, 0x20, 1, 0x0d, 0xb8]));
    let expected =
        ["ORIGIN: IGP; AS_PATH: 65001", "198.51.100.0/24 via 192.0.2.1, 2001:db8::/32 via 2001:db8::1", ""];
    agreed("both", &parts, &DecodeContext::new(PeerKind::External), expected);
}

/// NetGauze does not merge, so only rustbgpd is asked.
#[test]
fn two_octet_peers() {
    let context = DecodeContext { four_octet_as: false, ..DecodeContext::new(PeerKind::External) };
    let path = |asns: &[u16]| {
        let asns: Vec<_> = asns.iter().flat_map(|asn| asn.to_be_bytes()).collect();
        Attribute::new(0x40, 2, &[&[2, u8::try_from(asns.len() / 2).expect("few")][..], &asns].concat())
    };
    let as4_path = |asns: &[u32]| {
        let asns: Vec<_> = asns.iter().flat_map(|asn| asn.to_be_bytes()).collect();
        Attribute::new(0xc0, 17, &[&[2, u8::try_from(asns.len() / 4).expect("few")][..], &asns].concat())
    };
    let aggregator = |asn: u16| {
        let [a, b] = asn.to_be_bytes();
        Attribute::new(0xc0, 7, &[a, b, 192, 0, 2, 9])
    };
    let as4_aggregator = Attribute::new(0xc0, 18, &[0, 1, 0x11, 0x70, 192, 0, 2, 9]);
    let cases = [
        ("none", vec![path(&[65001, 23456])], "65001 23456", None),
        ("AS4_PATH", vec![path(&[65001, 23456]), as4_path(&[70000])], "65001 70000", None),
        ("too long", vec![path(&[65001]), as4_path(&[1, 2])], "65001", None),
        (
            "both",
            vec![path(&[65001, 23456]), aggregator(23456), as4_path(&[70000]), as4_aggregator.clone()],
            "65001 70000",
            Some("70000 192.0.2.9"),
        ),
        (
            "aggregated behind a two-octet speaker",
            vec![path(&[65001, 23456]), aggregator(65001), as4_path(&[70000]), as4_aggregator],
            "65001 23456",
            Some("65001 192.0.2.9"),
        ),
    ];
    for (what, attributes, as_path, aggregator) in cases {
        let mut parts = Parts::plain(false);
        parts.attributes.retain(|attribute| attribute.code != 2);
        parts.attributes.extend(attributes);
        let frame = parts.frame();
        let (ours, theirs) = (ours::read(&frame, &context), rustbgpd::read(&frame, &context));
        let content = ours.content.expect("content");
        let PathAttributes { as_path: merged, aggregator: found, .. } = &content.attributes;
        assert_eq!(
            (merged.to_string().as_str(), found.map(|found| found.to_string())),
            (as_path, aggregator.map(str::to_owned)),
            "{what}"
        );
        assert_eq!(theirs.content, Some(content), "{what}: {}", theirs.why);
    }
}
