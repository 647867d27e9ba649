//! Rows about the fields of the message and the bounds of the attributes (RFC 4271 §4.3, §6.3, RFC 7606 §3, §4, §5).

use frr_interop_tests::attribute;

use super::Expect::{Kept, Replaced, Reset, Withdrawn};
use super::sender::{Sender, body};
use super::{ALL, ANY, Row, V4, V6, row};

/// The good UPDATE with other prefixes in the NLRI field.
fn announce(it: &Sender, nlri: &[u8]) -> Vec<u8> {
    body(&[], &it.attributes().concat(), nlri)
}

/// The good UPDATE with a Total Path Attribute Length that is off by this much.
fn attribute_length_off_by(it: &Sender, difference: i16) -> Vec<u8> {
    let mut good = it.good();
    let length = u16::from_be_bytes([good[2], good[3]]).wrapping_add_signed(difference);
    good[2..4].copy_from_slice(&length.to_be_bytes());
    good
}

pub(super) const ROWS: &[Row] = &[
    // §4: an attribute list that does not add up is treat-as-withdraw, because the NLRI field is where the lengths say.
    row("an attribute overruns the list", ALL, Withdrawn, |it| it.also(&[0xc0, 8, 8, 0, 1, 0, 2])),
    row("an attribute of 255 octets overruns the list", ALL, Withdrawn, |it| it.also(&[0xc0, 8, 255])),
    row("an attribute of 65,535 octets overruns the list", ALL, Withdrawn, |it| {
        it.also(&[0xd0, 8, 255, 255])
    }),
    row("an unknown attribute overruns the list", ALL, Withdrawn, |it| it.also(&[0xc0, 99, 8, 1])),
    row("one octet behind the attributes", ALL, Withdrawn, |it| it.also(&[0xc0])),
    row("two octets behind the attributes", ALL, Withdrawn, |it| it.also(&[0xc0, 8])),
    row("a length of two octets, and one is there", ALL, Withdrawn, |it| it.also(&[0xd0, 8, 0])),
    row("zeros behind the attributes", ALL, Reset(3, 2), |it| it.also(&[0, 0, 0])),
    row("ORIGIN overruns into AS_PATH", V4, Withdrawn, |it| {
        let mut attributes = it.attributes();
        attributes[0][2] = 2;
        it.with_attributes(&attributes)
    }),
    // §3 j: the prefixes are in what cannot be read.
    row("MP_REACH_NLRI overruns the list", V6, Reset(3, 1), |it| {
        let mut attributes = it.attributes();
        attributes.rotate_left(1);
        if let Some(reach) = attributes.last_mut() {
            reach[2] += 1;
        }
        it.with_attributes(&attributes)
    }),
    // §5.2: whatever the cut part was, no prefix could be read.
    row("an attribute overruns and no prefix was read", V6, Reset(3, 1), |it| {
        body(&[], &[it.attributes()[1..].concat(), vec![0xc0, 8, 200]].concat(), &[])
    }),
    row("MP_UNREACH_NLRI overruns the list", V6, Reset(3, 1), |it| {
        let mut unreach = it.unreach(&it.prefix());
        unreach[2] += 1;
        body(&[], &unreach, &[])
    }),
    // §3 b and RFC 4271 §6.3: the lengths of the fields themselves.
    row("withdrawn routes longer than the message", ALL, Reset(3, 1), |it| {
        [&[1, 0][..], &it.good()[2..]].concat()
    }),
    row("withdrawn routes to the last octet", V4, Reset(3, 1), |_| vec![0, 4, 24, 22, 0, 0]),
    row("attributes longer than the message", ALL, Reset(3, 1), |it| attribute_length_off_by(it, 2000)),
    row("attributes one octet longer than the message", V6, Reset(3, 1), |it| attribute_length_off_by(it, 1)),
    // The list swallows an octet of the prefix, which is no attribute; the rest of the field is no prefix.
    row("attributes one octet too long", V4, Reset(3, 10), |it| attribute_length_off_by(it, 1)),
    row("attributes 65,535 octets", ALL, Reset(3, 1), |it| {
        [&it.good()[..2], &[255, 255], &it.good()[4..]].concat()
    }),
    // §5.3 and RFC 4271 §6.3: syntax of the NLRI field.
    row("prefix length 33", V4, Reset(3, 10), |it| announce(it, &[33, 20, 0, 0, 0, 0])),
    row("prefix length 255", V4, Reset(3, 10), |it| announce(it, &[&[255][..], &[20; 32]].concat())),
    row("a good prefix before one of length 33", V4, Reset(3, 10), |it| {
        announce(it, &[&it.prefix()[..], &[33, 20, 0, 0, 0, 0]].concat())
    }),
    row("last prefix cut", V4, Reset(3, 10), |it| announce(it, &[&it.prefix()[..], &[24, 20]].concat())),
    row("a length at the end of the NLRI field", V4, Reset(3, 10), |it| {
        announce(it, &[&it.prefix()[..], &[8]].concat())
    }),
    row("malformed attributes and a malformed NLRI field", V4, Reset(3, 10), |it| {
        body(&[], &[0x40, 1, 1, 9], &[33, 1, 1, 1, 1, 1, it.number as u8])
    }),
    row("host bits set", V4, ANY, |it| {
        let mut prefix = it.prefix();
        prefix[0] = 23;
        prefix[3] |= 1;
        announce(it, &[prefix, it.prefix()].concat())
    }),
    row("a prefix twice", V4, ANY, |it| announce(it, &it.prefix().repeat(2))),
    row("two prefixes", V4, Replaced(|seen| seen.other), |it| {
        announce(it, &[it.prefix(), it.other()].concat())
    }),
    row("two prefixes and a malformed attribute", V4, Withdrawn, |it| {
        body(
            &[],
            &[it.attributes().concat(), vec![0x80, 4, 1, 0]].concat(),
            &[it.prefix(), it.other()].concat(),
        )
    }),
    row("the default route beside the prefix", V4, ANY, |it| {
        announce(it, &[&[0][..], &it.prefix()].concat())
    }),
    // Withdrawn Routes: §3 i, the same syntax.
    row("withdrawn", V4, Withdrawn, |it| body(&it.prefix(), &[], &[])),
    row("withdrawn with host bits", V4, Withdrawn, |it| {
        let mut prefix = it.prefix();
        prefix.push(77);
        prefix[0] = 32;
        body(&[prefix, it.prefix()].concat(), &[], &[])
    }),
    row("withdrawn twice", V4, Withdrawn, |it| body(&it.prefix().repeat(2), &[], &[])),
    row("another prefix withdrawn", V4, Kept, |it| body(&it.other(), &[], &[])),
    row("withdrawn prefix length 33", V4, Reset(3, 10), |_| body(&[33, 1, 2, 3, 4, 5], &[], &[])),
    row("withdrawn prefix cut", V4, Reset(3, 10), |_| body(&[24, 20], &[], &[])),
    row("withdrawn prefix cut, and a good route", V4, Reset(3, 10), |it| {
        body(&[24, 20], &it.attributes().concat(), &it.prefix())
    }),
    // RFC 4271 §4.3: processed as if the withdrawal were not there.
    row("withdrawn and announced", V4, ANY, |it| body(&it.prefix(), &it.attributes().concat(), &it.prefix())),
    row("withdrawn and announced, malformed", V4, Withdrawn, |it| {
        body(&it.prefix(), &[it.attributes().concat(), vec![0x80, 4, 1, 0]].concat(), &it.prefix())
    }),
    row("withdrawn, and another announced, malformed", V4, Withdrawn, |it| {
        body(&it.prefix(), &[it.attributes().concat(), vec![0x80, 4, 1, 0]].concat(), &it.other())
    }),
    row("withdrawn beside good attributes", V4, Withdrawn, |it| {
        body(&it.prefix(), &it.attributes().concat(), &[])
    }),
    // §5.2: attributes without prefixes.
    row("good attributes alone", V4, Kept, |it| body(&[], &it.attributes().concat(), &[])),
    row("ORIGIN alone: none is mandatory without prefixes", V4, Kept, |_| {
        body(&[], &attribute(0x40, 1, &[0]), &[])
    }),
    row("a malformed ORIGIN alone", V4, Reset(3, 6), |_| body(&[], &attribute(0x40, 1, &[9]), &[])),
    row("an ORIGIN of 2 octets alone", V4, Reset(3, 5), |_| body(&[], &attribute(0x40, 1, &[0, 0]), &[])),
    row("an optional ORIGIN alone", V4, Reset(3, 4), |_| body(&[], &attribute(0xc0, 1, &[0]), &[])),
    row("a malformed AS_PATH alone", V4, Reset(3, 11), |_| body(&[], &attribute(0x40, 2, &[9, 1]), &[])),
    row("a MED of 1 octet beside a withdrawal", V4, Reset(3, 5), |it| {
        body(&it.other(), &attribute(0x80, 4, &[1]), &[])
    }),
    row("a discarded attribute beside a withdrawal", V4, Withdrawn, |it| {
        body(&it.prefix(), &attribute(0x40, 6, &[1]), &[])
    }),
    row("a discarded attribute alone", V4, Kept, |_| body(&[], &attribute(0x40, 6, &[1]), &[])),
    row("End-of-RIB", V4, Kept, |_| body(&[], &[], &[])),
    // RFC 4271 §6.3: prefixes that mean nothing for unicast are ignored one by one.
    row("multicast beside the prefix", V4, Replaced(|seen| !seen.martian), |it| {
        announce(it, &[&[16, 224, 1][..], &it.prefix()].concat())
    }),
    row("loopback beside the prefix", V4, Replaced(|seen| !seen.martian), |it| {
        announce(it, &[&[8, 127][..], &it.prefix()].concat())
    }),
    // An UPDATE of the full 4,096 octets.
    row("a message of 4,096 octets", V4, ANY, |it| {
        let mut nlri = it.prefix();
        let room = 4096 - 19 - 4 - it.attributes().concat().len() - nlri.len();
        nlri.extend(it.prefix().repeat(room / 4));
        nlri.extend(std::iter::repeat_n(0, room % 4));
        announce(it, &nlri)
    }),
];
