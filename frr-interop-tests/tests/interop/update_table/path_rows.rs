//! Rows about AS_PATH (RFC 7606 §7.2, RFC 5065 §5, RFC 7607) and NEXT_HOP (RFC 7606 §7.3, RFC 4271 §5.1.3, §6.3).

use frr_interop_tests::attribute;

use super::Expect::{Replaced, Reset, Withdrawn};
use super::sender::{Sender, body};
use super::{ALL, ANY, EXTERNAL, FOUR_OCTET, INTERNAL, Row, TWO_OCTET, V4, V6, row};
use crate::daemons::RUTTER;

/// An AS_PATH that begins as the peer's has to and goes on with these segments.
fn then(it: &Sender, segments: &[(u8, &[u32])]) -> Vec<u8> {
    let own = [it.kind.asn()];
    let first: &[(u8, &[u32])] = if it.kind.is_internal() { &[] } else { &[(2, &own)] };
    it.set(&it.segments(&[first, segments].concat()))
}

/// The good AS_PATH with more octets behind.
fn behind(it: &Sender, octets: &[u8]) -> Vec<u8> {
    let value = [&it.good_path()[3..], octets].concat();
    it.set(&attribute(0x40, 2, &value))
}

fn next_hop(it: &Sender, octets: [u8; 4]) -> Vec<u8> {
    it.set(&attribute(0x40, 3, &octets))
}

pub(super) const ROWS: &[Row] = &[
    row("AS_PATH missing", ALL, Withdrawn, |it| it.without(&[2])),
    row("AS_PATH optional", ALL, Withdrawn, |it| it.flags(2, 0xc0)),
    row("AS_PATH non-transitive", ALL, Withdrawn, |it| it.flags(2, 0)),
    row("AS_PATH partial", ALL, ANY, |it| it.flags(2, 0x60)),
    row("AS_PATH with a length of two octets", ALL, ANY, |it| {
        let path = it.good_path();
        it.set(&[&[0x50, 2, 0, path[2]], &path[3..]].concat())
    }),
    row("AS_PATH twice: the first counts", ALL, ANY, |it| it.also(&it.path(&[RUTTER]))),
    row("AS_PATH with segment type 0", ALL, Withdrawn, |it| then(it, &[(0, &[64_998])])),
    row("AS_PATH with segment type 5", ALL, Withdrawn, |it| then(it, &[(5, &[64_998])])),
    row("AS_PATH with segment type 255", ALL, Withdrawn, |it| then(it, &[(255, &[64_998])])),
    row("AS_PATH with an empty segment", ALL, Withdrawn, |it| behind(it, &[2, 0])),
    row("AS_PATH with an empty set", ALL, Withdrawn, |it| behind(it, &[1, 0])),
    row("AS_PATH of an empty segment only", ALL, Withdrawn, |it| it.set(&attribute(0x40, 2, &[2, 0]))),
    row("AS_PATH with one octet too many", ALL, Withdrawn, |it| behind(it, &[2])),
    row("AS_PATH with a segment that overruns", ALL, Withdrawn, |it| behind(it, &[2, 9, 0xfd, 0xe6])),
    row("AS_PATH with one AS cut", ALL, Withdrawn, |it| behind(it, &[2, 1, 0xfd])),
    row("AS_PATH of one octet", ALL, Withdrawn, |it| it.set(&attribute(0x40, 2, &[2]))),
    row("AS_PATH of two octets per AS on a 4-octet session", FOUR_OCTET, Withdrawn, |it| {
        it.set(&attribute(0x40, 2, &[2, 2, 0xfd, 0xe9, 0xfd, 0xe7]))
    }),
    row("AS_PATH of four octets per AS on a 2-octet session", TWO_OCTET, Withdrawn, |it| {
        it.set(&attribute(0x40, 2, &[2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xe7]))
    }),
    row("AS_PATH with AS 0 (RFC 7607)", ALL, Withdrawn, |it| then(it, &[(2, &[0])])),
    row("AS_PATH with AS 0 in a set", ALL, Withdrawn, |it| then(it, &[(1, &[64_998, 0])])),
    row("AS_PATH with a set", ALL, ANY, |it| then(it, &[(1, &[64_997, 64_998])])),
    row("AS_PATH with AS_TRANS", ALL, ANY, |it| then(it, &[(2, &[23_456])])),
    row("AS_PATH of 255 ASes in one segment", ALL, ANY, |it| then(it, &[(2, &[64_998; 255])])),
    row("AS_PATH of 300 segments", ALL, ANY, |it| then(it, &[(2, &[64_998][..]); 300])),
    // A loop is no error of the message: the route is not used, and it did replace the one before (RFC 4271 §9.1.2).
    row("our own AS in the path", ALL, Withdrawn, |it| then(it, &[(2, &[64_998, RUTTER])])),
    row("our own AS in a set", ALL, Withdrawn, |it| then(it, &[(1, &[RUTTER])])),
    // RFC 4271 §6.3 lets us check the leftmost AS; then RFC 7606 has it treated as a withdrawal.
    row("another AS first", EXTERNAL, Withdrawn, |it| it.set(&it.path(&[64_998, it.kind.asn()]))),
    row("a set first", EXTERNAL, Withdrawn, |it| it.set(&it.segments(&[(1, &[it.kind.asn()])]))),
    row("AS_PATH empty from outside", EXTERNAL, Withdrawn, |it| it.set(&attribute(0x40, 2, &[]))),
    row("AS_PATH empty from inside", INTERNAL, ANY, |it| it.set(&attribute(0x40, 2, &[]))),
    row("another AS first from inside", INTERNAL, ANY, |it| it.set(&it.path(&[64_998, 64_999]))),
    // RFC 5065 §5: malformed from outside the confederation. An internal peer may be inside one; what is local to it must not
    // leave it (§4.1 c).
    row("AS_CONFED_SEQUENCE from outside", EXTERNAL, Withdrawn, |it| then(it, &[(3, &[64_998])])),
    row("AS_CONFED_SEQUENCE first from outside", EXTERNAL, Withdrawn, |it| {
        it.set(&it.segments(&[(3, &[64_998]), (2, &[it.kind.asn()])]))
    }),
    row("AS_CONFED_SET from outside", EXTERNAL, Withdrawn, |it| then(it, &[(4, &[64_998])])),
    row(
        "AS_CONFED_SEQUENCE from inside goes no further",
        INTERNAL,
        Replaced(|seen| {
            seen.external.value(2) == Some(&[2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe7])
                && seen.internal.value(2) == Some(&[3, 1, 0, 0, 0xfd, 0xe6, 2, 1, 0, 0, 0xfd, 0xe7])
        }),
        |it| it.set(&it.segments(&[(3, &[64_998]), (2, &[64_999])])),
    ),
    row(
        "AS_CONFED_SET from inside goes no further",
        INTERNAL,
        Replaced(|seen| seen.external.value(2) == Some(&[2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe7])),
        |it| it.set(&it.segments(&[(4, &[64_998]), (2, &[64_999])])),
    ),
    // NEXT_HOP.
    row("NEXT_HOP missing", V4, Withdrawn, |it| it.without(&[3])),
    row("NEXT_HOP of 3 octets", V4, Withdrawn, |it| it.set(&attribute(0x40, 3, &[10, 9, 0]))),
    row("NEXT_HOP of 5 octets", V4, Withdrawn, |it| it.set(&attribute(0x40, 3, &[10, 9, 0, 1, 1]))),
    row("NEXT_HOP of 16 octets", V4, Withdrawn, |it| it.set(&attribute(0x40, 3, &it.address_v6().octets()))),
    row("NEXT_HOP empty", V4, Withdrawn, |it| it.set(&attribute(0x40, 3, &[]))),
    row("NEXT_HOP optional", V4, Withdrawn, |it| it.flags(3, 0xc0)),
    row("NEXT_HOP non-transitive", V4, Withdrawn, |it| it.flags(3, 0)),
    row("NEXT_HOP partial", V4, ANY, |it| it.flags(3, 0x60)),
    row("NEXT_HOP with a length of two octets", V4, ANY, |it| {
        it.set(&[&[0x50, 3, 0, 4][..], &it.address().octets()].concat())
    }),
    row("NEXT_HOP twice: the first counts", V4, ANY, |it| it.also(&attribute(0x40, 3, &[0; 4]))),
    // No valid host addresses: syntactically incorrect (RFC 4271 §6.3), so RFC 7606 §7.3.
    row("NEXT_HOP 0.0.0.0", V4, Withdrawn, |it| next_hop(it, [0; 4])),
    row("NEXT_HOP 224.0.0.5", V4, Withdrawn, |it| next_hop(it, [224, 0, 0, 5])),
    row("NEXT_HOP 255.255.255.255", V4, Withdrawn, |it| next_hop(it, [255; 4])),
    row("NEXT_HOP 240.0.0.1", V4, Withdrawn, |it| next_hop(it, [240, 0, 0, 1])),
    row("NEXT_HOP 127.0.0.1", V4, Withdrawn, |it| next_hop(it, [127, 0, 0, 1])),
    // Semantically incorrect: the route is ignored, the session stays. It has replaced the old one all the same.
    row("NEXT_HOP is our own address", V4, Withdrawn, |it| next_hop(it, [10, 0, 1, 1])),
    // RFC 4760 §3: not used beside MP_REACH_NLRI alone, and to be ignored. A wrong length is an error of the attribute list
    // all the same (RFC 7606 §7.3), and its stronger action wins.
    row("NEXT_HOP 0.0.0.0 beside MP_REACH_NLRI", V6, ANY, |it| next_hop(it, [0; 4])),
    row("NEXT_HOP beside MP_REACH_NLRI", V6, ANY, |it| next_hop(it, [10, 9, 0, 1])),
    row("NEXT_HOP of 3 octets beside MP_REACH_NLRI", V6, Withdrawn, |it| {
        it.set(&attribute(0x40, 3, &[10, 9, 0]))
    }),
    // All three mandatory attributes at once, and a message of one mandatory attribute.
    row("no attribute at all", V4, Withdrawn, |it| body(&[], &[], &it.field())),
    row("MP_REACH_NLRI alone", V6, Withdrawn, |it| body(&[], &it.attributes()[0], &[])),
    row("no attribute at all and a prefix too long", V4, Reset(3, 10), |it| {
        body(&[], &[], &[33, 1, 2, 3, 4, 5, it.number as u8])
    }),
];
