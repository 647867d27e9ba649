//! Rows about MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760, RFC 7606 §3 g, j, §5, §7.11, RFC 2545 §3).

use frr_interop_tests::attribute;

use super::Expect::{Kept, Replaced, Reset, Withdrawn};
use super::sender::{Sender, body};
use super::{ANY, Row, V4, V6, row};

/// The good UPDATE with a next hop of so many octets in MP_REACH_NLRI.
fn next_hop(it: &Sender, octets: &[u8]) -> Vec<u8> {
    it.set(&it.reach(octets, &it.prefix()))
}

/// The good UPDATE with this value in MP_REACH_NLRI.
fn reach(it: &Sender, value: &[u8]) -> Vec<u8> {
    it.set(&attribute(0x80, 14, value))
}

/// An UPDATE that is nothing but a MP_UNREACH_NLRI with this value.
fn unreach(value: &[u8]) -> Vec<u8> {
    body(&[], &attribute(0x80, 15, value), &[])
}

fn unreach_flags(it: &Sender, flags: u8) -> Vec<u8> {
    let mut attribute = it.unreach(&it.prefix());
    attribute[0] = flags;
    body(&[], &attribute, &[])
}

const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(super) const ROWS: &[Row] = &[
    row("MP_REACH_NLRI last", V6, ANY, |it| {
        let mut attributes = it.attributes();
        attributes.rotate_left(1);
        it.with_attributes(&attributes)
    }),
    // §7.11: with a next hop of unexpected length nobody knows where the prefixes begin.
    row("next hop of 0 octets", V6, Reset(3, 9), |it| next_hop(it, &[])),
    row("next hop of 4 octets", V6, Reset(3, 9), |it| next_hop(it, &it.address().octets())),
    row("next hop of 12 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 12])),
    row("next hop of 15 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 15])),
    row("next hop of 17 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 17])),
    row("next hop of 24 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 24])),
    row("next hop of 33 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 33])),
    row("next hop of 48 octets", V6, Reset(3, 9), |it| next_hop(it, &[0x20; 48])),
    row("next hop of 255 octets that are not there", V6, Reset(3, 9), |it| {
        reach(it, &[0, 2, 1, 255, 0x20, 1])
    }),
    row("next hop of 32 octets", V6, ANY, |it| {
        next_hop(it, &[&it.address_v6().octets()[..], &LINK_LOCAL].concat())
    }),
    row("next hop link-local alone", V6, Replaced(|seen| seen.internal.has(14)), |it| {
        next_hop(it, &LINK_LOCAL)
    }),
    // RFC 2545 §3 has a link-local address second. Another one there is of no use, and no harm.
    row("next hop of two global addresses", V6, ANY, |it| next_hop(it, &it.address_v6().octets().repeat(2))),
    // These lengths are right, so the prefixes can be read and withdrawn.
    row("next hop ::", V6, Withdrawn, |it| next_hop(it, &[0; 16])),
    row("next hop ::1", V6, Withdrawn, |it| next_hop(it, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
    row("next hop ff02::1", V6, Withdrawn, |it| {
        next_hop(it, &[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    }),
    row("next hop is our own address", V6, Withdrawn, |it| {
        next_hop(it, &[0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    }),
    row("value empty", V6, Reset(3, 9), |it| reach(it, &[])),
    row("value of 1 octet", V6, Reset(3, 9), |it| reach(it, &[0])),
    row("value of 3 octets", V6, Reset(3, 9), |it| reach(it, &[0, 2, 1])),
    row("value of 4 octets", V6, Reset(3, 9), |it| reach(it, &[0, 2, 1, 16])),
    row("value ends behind the next hop", V6, Reset(3, 9), |it| {
        reach(it, &[&[0, 2, 1, 16][..], &it.address_v6().octets()].concat())
    }),
    row("reserved octet 255", V6, ANY, |it| {
        reach(it, &[&[0, 2, 1, 16][..], &it.address_v6().octets(), &[255], &it.prefix()].concat())
    }),
    row("no prefix", V6, Kept, |it| it.set(&it.reach_for(&[]))),
    row("prefix length 129", V6, Reset(3, 9), |it| {
        it.set(&it.reach_for(&[&[129][..], &[0x20; 17]].concat()))
    }),
    row("prefix length 255", V6, Reset(3, 9), |it| {
        it.set(&it.reach_for(&[&[255][..], &[0x20; 32]].concat()))
    }),
    row("last prefix cut", V6, Reset(3, 9), |it| {
        it.set(&it.reach_for(&[&it.prefix()[..], &[64, 0x20]].concat()))
    }),
    row("one octet behind the prefixes", V6, Reset(3, 9), |it| {
        it.set(&it.reach_for(&[&it.prefix()[..], &[8]].concat()))
    }),
    row("host bits set", V6, ANY, |it| {
        let mut prefix = it.prefix();
        prefix[0] = 44;
        prefix[6] = 0x0f;
        it.set(&it.reach_for(&[&it.prefix()[..], &prefix].concat()))
    }),
    // §3 c: wrong flags are treat-as-withdraw, and the prefixes could be read (§3 j).
    row("MP_REACH_NLRI transitive", V6, Withdrawn, |it| it.flags(14, 0xc0)),
    row("MP_REACH_NLRI well-known", V6, Withdrawn, |it| it.flags(14, 0x40)),
    row("MP_REACH_NLRI transitive, and its prefix cut", V6, Reset(3, 9), |it| {
        let mut attribute = it.reach_for(&[64, 0x20]);
        attribute[0] = 0xc0;
        it.set(&attribute)
    }),
    row("MP_REACH_NLRI partial", V6, ANY, |it| it.flags(14, 0xa0)),
    row("MP_REACH_NLRI with a length of two octets", V6, ANY, |it| {
        let reach = it.reach_for(&it.prefix());
        it.set(&[&[0x90, 14, 0, reach[2]], &reach[3..]].concat())
    }),
    row("MP_REACH_NLRI twice", V6, Reset(3, 1), |it| it.also(&it.reach_for(&it.other()))),
    row("MP_REACH_NLRI twice the same", V6, Reset(3, 1), |it| it.also(&it.reach_for(&it.prefix()))),
    row("a second MP_REACH_NLRI, malformed", V6, Reset(3, 1), |it| it.also(&[0x80, 14, 0])),
    // RFC 4760 §8: a family that was not agreed on is not looked at.
    row("another SAFI", V6, Kept, |it| {
        reach(it, &[&[0, 2, 2, 16][..], &it.address_v6().octets(), &[0], &it.prefix()].concat())
    }),
    row("another AFI", V6, Kept, |it| reach(it, &[0, 25, 65, 4, 10, 0, 0, 1, 0, 1, 2, 3])),
    row("another AFI beside a good route", V4, ANY, |it| {
        it.also(&attribute(0x80, 14, &[0x40, 4, 71, 4, 10, 0, 0, 1, 0, 1, 2, 3]))
    }),
    row("AFI 0", V6, Kept, |it| reach(it, &[0, 0, 1, 4, 10, 0, 0, 1, 0, 1, 2, 3])),
    // IPv4 in MP_REACH_NLRI is as good as in the NLRI field (RFC 4760 §5); with an IPv6 next hop only after RFC 8950.
    row("IPv4 in MP_REACH_NLRI", V4, ANY, |it| {
        let value = [&[0, 1, 1, 4][..], &it.address().octets(), &[0], &it.prefix()].concat();
        let kept = it.attributes().into_iter().filter(|attribute| attribute[1] != 3);
        let attributes: Vec<_> = kept.chain([attribute(0x80, 14, &value)]).collect();
        body(&[], &attributes.concat(), &[])
    }),
    row("IPv4 in MP_REACH_NLRI with an IPv6 next hop", V4, Reset(3, 9), |it| {
        let value = [&[0, 1, 1, 16][..], &it.address_v6().octets(), &[0], &it.prefix()].concat();
        body(&[], &[it.attributes().concat(), attribute(0x80, 14, &value)].concat(), &[])
    }),
    row("both kinds of NLRI", V4, Replaced(|seen| !seen.external.has(14)), |it| {
        it.also(&it.reach_for(&[32, 0x20, 0x30, 1, 1]))
    }),
    // Attributes are common to both; without NEXT_HOP the IPv4 prefixes are, and with them all, withdrawn (§3 d, h).
    row("both kinds of NLRI without NEXT_HOP", V4, Withdrawn, |it| {
        let mut attributes = it.attributes();
        attributes.retain(|attribute| attribute[1] != 3);
        attributes.push(it.reach_for(&[32, 0x20, 0x30, 1, 1]));
        it.with_attributes(&attributes)
    }),
    // MP_UNREACH_NLRI.
    row("withdrawn", V6, Withdrawn, |it| body(&[], &it.unreach(&it.prefix()), &[])),
    row("withdrawn with host bits", V6, Withdrawn, |it| {
        let mut prefix = it.prefix();
        prefix[0] = 47;
        prefix[6] = 1;
        body(&[], &it.unreach(&[prefix, it.prefix()].concat()), &[])
    }),
    row("another prefix withdrawn", V6, Kept, |it| body(&[], &it.unreach(&it.other()), &[])),
    row("withdrawn beside good attributes", V6, Withdrawn, |it| {
        let attributes: Vec<_> =
            it.attributes().into_iter().skip(1).chain([it.unreach(&it.prefix())]).collect();
        body(&[], &attributes.concat(), &[])
    }),
    // RFC 4271 §4.3: processed as if the withdrawal were not there.
    row("withdrawn and announced", V6, ANY, |it| it.also(&it.unreach(&it.prefix()))),
    row("withdrawn before it is announced", V6, ANY, |it| {
        body(&[], &[it.unreach(&it.prefix()), it.attributes().concat()].concat(), &[])
    }),
    row("another withdrawn by a malformed UPDATE", V6, Withdrawn, |it| {
        it.also(&[it.unreach(&it.other()), attribute(0x80, 4, &[1])].concat())
    }),
    row("End-of-RIB", V6, Kept, |_| unreach(&[0, 2, 1])),
    row("End-of-RIB of a family that was not agreed on", V6, Kept, |_| unreach(&[0, 25, 65])),
    row("MP_UNREACH_NLRI empty", V6, Reset(3, 9), |_| unreach(&[])),
    row("MP_UNREACH_NLRI of 2 octets", V6, Reset(3, 9), |_| unreach(&[0, 2])),
    row("MP_UNREACH_NLRI with prefix length 129", V6, Reset(3, 9), |_| {
        unreach(&[&[0, 2, 1, 129][..], &[0x20; 17]].concat())
    }),
    row("MP_UNREACH_NLRI cut", V6, Reset(3, 9), |_| unreach(&[0, 2, 1, 64, 0x20, 1])),
    // §5.2 is about other attributes than this one: what it withdraws could be read.
    row("MP_UNREACH_NLRI transitive", V6, Withdrawn, |it| unreach_flags(it, 0xc0)),
    row("MP_UNREACH_NLRI well-known", V6, Withdrawn, |it| unreach_flags(it, 0x40)),
    row("MP_UNREACH_NLRI partial", V6, Withdrawn, |it| unreach_flags(it, 0xa0)),
    row("MP_UNREACH_NLRI with a length of two octets", V6, Withdrawn, |it| {
        let attribute = it.unreach(&it.prefix());
        body(&[], &[&[0x90, 15, 0, attribute[2]], &attribute[3..]].concat(), &[])
    }),
    row("MP_UNREACH_NLRI twice", V6, Reset(3, 1), |it| {
        body(&[], &[it.unreach(&it.other()), it.unreach(&it.other())].concat(), &[])
    }),
    row("MP_UNREACH_NLRI of IPv4", V4, Withdrawn, |it| unreach(&[&[0, 1, 1][..], &it.prefix()].concat())),
    // §5.2: attributes that announce nothing, and one of them malformed.
    row("MP_UNREACH_NLRI and a malformed ORIGIN", V6, Reset(3, 6), |it| {
        body(&[], &[it.unreach(&it.other()), vec![0x40, 1, 1, 9]].concat(), &[])
    }),
    row("MP_UNREACH_NLRI and a discarded attribute", V6, Withdrawn, |it| {
        body(&[], &[it.unreach(&it.prefix()), vec![0x40, 6, 1, 9]].concat(), &[])
    }),
    // RFC 4271 §6.3: prefixes that mean nothing are ignored one by one.
    row("multicast beside a good prefix", V6, Replaced(|seen| !seen.martian), |it| {
        it.set(&it.reach_for(&[&[32, 0xff, 0x0e, 1, 2][..], &it.prefix()].concat()))
    }),
];
