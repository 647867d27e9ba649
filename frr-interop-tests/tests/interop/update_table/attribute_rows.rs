//! Rows about single attributes other than AS_PATH, NEXT_HOP and the multiprotocol ones.

use frr_interop_tests::attribute;

use super::Expect::{Replaced, Reset, Withdrawn};
use super::{ALL, ANY, EXTERNAL, Expect, FOUR_OCTET, INTERNAL, Row, Seen, TWO_OCTET, row};

const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0xc0;
const WELL_KNOWN: u8 = 0x40;

/// The new route is there, and the attribute with this code is not.
macro_rules! discarded {
    ($code:literal) => {
        Replaced(|seen: &Seen<'_>| !seen.external.has($code) && !seen.internal.has($code))
    };
}

/// The new route is there, and has the attribute with these flags and this value; internally only if so asked.
macro_rules! passed_on {
    ($code:literal, $flags:literal, $value:expr) => {
        Replaced(|seen: &Seen<'_>| {
            [seen.external, seen.internal]
                .iter()
                .all(|route| route.value($code) == Some(&$value[..]) && route.flags($code) == Some($flags))
        })
    };
}

macro_rules! internally {
    ($code:literal, $value:expr) => {
        Replaced(|seen: &Seen<'_>| {
            !seen.external.has($code) && seen.internal.value($code) == Some(&$value[..])
        })
    };
}

/// A sender's own LOCAL_PREF of 200 is gone and bgpd's default is in its place.
const DEFAULT_PREFERENCE: Expect = Replaced(|seen| seen.internal.value(5) == Some(&[0, 0, 0, 100]));

pub(super) const ROWS: &[Row] = &[
    row("a good route", ALL, ANY, |it| it.good()),
    // ORIGIN: RFC 7606 §7.1, §3 c, d, g.
    row("ORIGIN 1", ALL, Replaced(|seen| seen.external.value(1) == Some(&[1])), |it| {
        it.set(&attribute(WELL_KNOWN, 1, &[1]))
    }),
    row("ORIGIN 3", ALL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 1, &[3]))),
    row("ORIGIN 255", ALL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 1, &[255]))),
    row("ORIGIN empty", ALL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 1, &[]))),
    row("ORIGIN of 2 octets", ALL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 1, &[0, 0]))),
    row("ORIGIN optional", ALL, Withdrawn, |it| it.flags(1, 0xc0)),
    row("ORIGIN optional non-transitive", ALL, Withdrawn, |it| it.flags(1, 0x80)),
    row("ORIGIN non-transitive", ALL, Withdrawn, |it| it.flags(1, 0)),
    row("ORIGIN missing", ALL, Withdrawn, |it| it.without(&[1])),
    row("ORIGIN twice: the first counts", ALL, Replaced(|seen| seen.external.value(1) == Some(&[0])), |it| {
        it.also(&attribute(WELL_KNOWN, 1, &[2]))
    }),
    row("ORIGIN again, malformed: not looked at", ALL, ANY, |it| it.also(&attribute(WELL_KNOWN, 1, &[9, 9]))),
    // RFC 4271 §4.3 wants the Partial bit 0 here, but RFC 7606 §3 c took it out of what is an error.
    row("ORIGIN partial", ALL, ANY, |it| it.flags(1, 0x60)),
    row("ORIGIN with the unused flag bits", ALL, ANY, |it| it.flags(1, 0x4f)),
    row("ORIGIN with a length of two octets", ALL, ANY, |it| it.set(&[0x50, 1, 0, 1, 0])),
    // MULTI_EXIT_DISC: §7.4.
    row("MED", ALL, internally!(4, [0, 0, 0, 7]), |it| it.set(&attribute(OPTIONAL, 4, &[0, 0, 0, 7]))),
    row("MED with a length of two octets", ALL, internally!(4, [0, 0, 0, 7]), |it| {
        it.also(&[0x90, 4, 0, 4, 0, 0, 0, 7])
    }),
    row("MED of 3 octets", ALL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 4, &[0, 0, 7]))),
    row("MED of 5 octets", ALL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 4, &[0, 0, 0, 0, 7]))),
    row("MED empty", ALL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 4, &[]))),
    row("MED transitive", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 4, &[0, 0, 0, 7]))),
    row("MED well-known", ALL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 4, &[0, 0, 0, 7]))),
    row("MED twice: the first counts", ALL, internally!(4, [0, 0, 0, 7]), |it| {
        it.also(&[attribute(OPTIONAL, 4, &[0, 0, 0, 7]), attribute(OPTIONAL, 4, &[0, 0, 0, 8])].concat())
    }),
    // LOCAL_PREF: §7.5. From outside it is discarded unread; but wrong flags are §3 c before they are anything else.
    row("LOCAL_PREF from outside", EXTERNAL, DEFAULT_PREFERENCE, |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[0, 0, 0, 9]))
    }),
    row("LOCAL_PREF of 3 octets from outside", EXTERNAL, DEFAULT_PREFERENCE, |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[0, 0, 9]))
    }),
    row("LOCAL_PREF empty from outside", EXTERNAL, DEFAULT_PREFERENCE, |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[]))
    }),
    row("LOCAL_PREF from inside", INTERNAL, internally!(5, [0, 0, 0, 9]), |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[0, 0, 0, 9]))
    }),
    row("LOCAL_PREF of 3 octets from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[0, 0, 9]))
    }),
    row("LOCAL_PREF of 5 octets from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(WELL_KNOWN, 5, &[0, 0, 0, 0, 9]))
    }),
    row("LOCAL_PREF empty from inside", INTERNAL, Withdrawn, |it| it.set(&attribute(WELL_KNOWN, 5, &[]))),
    row("LOCAL_PREF optional from inside", INTERNAL, Withdrawn, |it| it.flags(5, 0xc0)),
    // Well-known, yet discretionary (RFC 4271 §5): §3 d is about mandatory ones only.
    row("LOCAL_PREF missing from inside", INTERNAL, DEFAULT_PREFERENCE, |it| it.without(&[5])),
    row("LOCAL_PREF twice: the first counts", INTERNAL, internally!(5, [0, 0, 0, 200]), |it| {
        it.also(&attribute(WELL_KNOWN, 5, &[0, 0, 0, 9]))
    }),
    // ATOMIC_AGGREGATE: §7.6. Wrong flags are §3 c and not a malformed value; §3 h lets the stronger action win.
    row("ATOMIC_AGGREGATE", ALL, passed_on!(6, 0x40, []), |it| it.set(&attribute(WELL_KNOWN, 6, &[]))),
    row("ATOMIC_AGGREGATE of 1 octet", ALL, discarded!(6), |it| it.set(&attribute(WELL_KNOWN, 6, &[0]))),
    row("ATOMIC_AGGREGATE of 4 octets", ALL, discarded!(6), |it| {
        it.set(&attribute(WELL_KNOWN, 6, &[1, 2, 3, 4]))
    }),
    row("ATOMIC_AGGREGATE optional", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 6, &[]))),
    row("ATOMIC_AGGREGATE twice", ALL, passed_on!(6, 0x40, []), |it| {
        it.set(&[attribute(WELL_KNOWN, 6, &[]), attribute(WELL_KNOWN, 6, &[1])].concat())
    }),
    // AGGREGATOR: §7.7, RFC 7607 §2.
    row("AGGREGATOR of 8 octets", FOUR_OCTET, passed_on!(7, 0xc0, [0, 0, 0xfd, 0xe7, 1, 2, 3, 4]), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0, 0, 0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR of 6 octets on a 4-octet session", FOUR_OCTET, discarded!(7), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR of 6 octets", TWO_OCTET, passed_on!(7, 0xc0, [0, 0, 0xfd, 0xe7, 1, 2, 3, 4]), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR of 8 octets on a 2-octet session", TWO_OCTET, discarded!(7), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0, 0, 0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR of 7 octets", ALL, discarded!(7), |it| it.set(&attribute(TRANSITIVE, 7, &[0; 7]))),
    row("AGGREGATOR empty", ALL, discarded!(7), |it| it.set(&attribute(TRANSITIVE, 7, &[]))),
    row("AGGREGATOR with AS 0", FOUR_OCTET, discarded!(7), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0, 0, 0, 0, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR with AS 0 in two octets", TWO_OCTET, discarded!(7), |it| {
        it.set(&attribute(TRANSITIVE, 7, &[0, 0, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR non-transitive", ALL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 7, &[0, 0, 0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row("AGGREGATOR well-known", ALL, Withdrawn, |it| {
        it.set(&attribute(WELL_KNOWN, 7, &[0, 0, 0xfd, 0xe7, 1, 2, 3, 4]))
    }),
    row(
        "AGGREGATOR partial stays partial",
        FOUR_OCTET,
        passed_on!(7, 0xe0, [0, 0, 0xfd, 0xe7, 1, 2, 3, 4]),
        |it| it.set(&attribute(0xe0, 7, &[0, 0, 0xfd, 0xe7, 1, 2, 3, 4])),
    ),
    // COMMUNITIES: §7.8.
    row("COMMUNITIES", ALL, passed_on!(8, 0xc0, [0xfd, 0xe9, 0, 2]), |it| {
        it.set(&attribute(TRANSITIVE, 8, &[0xfd, 0xe9, 0, 2]))
    }),
    row("COMMUNITIES partial stays partial", ALL, passed_on!(8, 0xe0, [0xfd, 0xe9, 0, 2]), |it| {
        it.set(&attribute(0xe0, 8, &[0xfd, 0xe9, 0, 2]))
    }),
    row("COMMUNITIES of 3 octets", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 8, &[0; 3]))),
    row("COMMUNITIES of 5 octets", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 8, &[1; 5]))),
    row("COMMUNITIES empty", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 8, &[]))),
    row("COMMUNITIES non-transitive", ALL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 8, &[0xfd, 0xe9, 0, 2]))
    }),
    row("COMMUNITIES well-known", ALL, Withdrawn, |it| {
        it.set(&attribute(WELL_KNOWN, 8, &[0xfd, 0xe9, 0, 2]))
    }),
    row("COMMUNITIES twice: the first counts", ALL, passed_on!(8, 0xc0, [0xfd, 0xe9, 0, 2]), |it| {
        it.set(
            &[attribute(TRANSITIVE, 8, &[0xfd, 0xe9, 0, 2]), attribute(TRANSITIVE, 8, &[0xfd, 0xe9, 0, 3])]
                .concat(),
        )
    }),
    // ORIGINATOR_ID: §7.9, RFC 4456 §8. rutter is 192.0.2.1.
    row("ORIGINATOR_ID from outside", EXTERNAL, discarded!(9), |it| {
        it.set(&attribute(OPTIONAL, 9, &[1, 2, 3, 4]))
    }),
    row("ORIGINATOR_ID of 3 octets from outside", EXTERNAL, discarded!(9), |it| {
        it.set(&attribute(OPTIONAL, 9, &[1, 2, 3]))
    }),
    row("our own ORIGINATOR_ID from outside", EXTERNAL, discarded!(9), |it| {
        it.set(&attribute(OPTIONAL, 9, &[192, 0, 2, 1]))
    }),
    row("ORIGINATOR_ID from inside", INTERNAL, internally!(9, [1, 2, 3, 4]), |it| {
        it.set(&attribute(OPTIONAL, 9, &[1, 2, 3, 4]))
    }),
    row("ORIGINATOR_ID of 3 octets from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 9, &[1, 2, 3]))
    }),
    row("ORIGINATOR_ID of 5 octets from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 9, &[1, 2, 3, 4, 5]))
    }),
    row("ORIGINATOR_ID empty from inside", INTERNAL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 9, &[]))),
    row("ORIGINATOR_ID transitive from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(TRANSITIVE, 9, &[1, 2, 3, 4]))
    }),
    row("our own ORIGINATOR_ID from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 9, &[192, 0, 2, 1]))
    }),
    // CLUSTER_LIST: §7.10.
    row(
        "CLUSTER_LIST from outside",
        EXTERNAL,
        Replaced(|seen| !seen.external.has(10) && !seen.internal.has(10)),
        |it| it.set(&attribute(OPTIONAL, 10, &[1, 2, 3, 4])),
    ),
    row("CLUSTER_LIST of 5 octets from outside", EXTERNAL, discarded!(10), |it| {
        it.set(&attribute(OPTIONAL, 10, &[1, 2, 3, 4, 5]))
    }),
    row("CLUSTER_LIST with our cluster from outside", EXTERNAL, discarded!(10), |it| {
        it.set(&attribute(OPTIONAL, 10, &[192, 0, 2, 1]))
    }),
    row("CLUSTER_LIST from inside", INTERNAL, internally!(10, [192, 0, 2, 1, 1, 2, 3, 4]), |it| {
        it.set(&attribute(OPTIONAL, 10, &[1, 2, 3, 4]))
    }),
    row("CLUSTER_LIST of 5 octets from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 10, &[1, 2, 3, 4, 5]))
    }),
    row("CLUSTER_LIST empty from inside", INTERNAL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 10, &[]))),
    row("CLUSTER_LIST well-known from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(WELL_KNOWN, 10, &[1, 2, 3, 4]))
    }),
    row("CLUSTER_LIST with our cluster from inside", INTERNAL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 10, &[1, 2, 3, 4, 192, 0, 2, 1]))
    }),
    // EXTENDED COMMUNITIES: §7.14.
    row("EXTENDED COMMUNITIES", ALL, passed_on!(16, 0xc0, [0, 2, 0xfd, 0xe9, 0, 0, 0, 1]), |it| {
        it.set(&attribute(TRANSITIVE, 16, &[0, 2, 0xfd, 0xe9, 0, 0, 0, 1]))
    }),
    row(
        "EXTENDED COMMUNITIES of unknown type",
        ALL,
        passed_on!(16, 0xc0, [0x3f, 9, 1, 2, 3, 4, 5, 6]),
        |it| it.set(&attribute(TRANSITIVE, 16, &[0x3f, 9, 1, 2, 3, 4, 5, 6])),
    ),
    row("EXTENDED COMMUNITIES of 7 octets", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 16, &[0; 7]))),
    row("EXTENDED COMMUNITIES of 12 octets", ALL, Withdrawn, |it| {
        it.set(&attribute(TRANSITIVE, 16, &[0; 12]))
    }),
    row("EXTENDED COMMUNITIES empty", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 16, &[]))),
    row("EXTENDED COMMUNITIES non-transitive", ALL, Withdrawn, |it| {
        it.set(&attribute(OPTIONAL, 16, &[0, 2, 0xfd, 0xe9, 0, 0, 0, 1]))
    }),
    // AS4_PATH and AS4_AGGREGATOR: RFC 6793 §4.1, §4.2.3, §6.
    row("AS4_PATH on a 4-octet session", FOUR_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[2, 1, 0, 0, 0, 7]))
    }),
    row("AS4_PATH, malformed, on a 4-octet session", FOUR_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[9]))
    }),
    row(
        "AS4_PATH",
        TWO_OCTET,
        Replaced(|seen| {
            !seen.external.has(17)
                && seen.external.value(2).is_some_and(|path| path.ends_with(&[0, 1, 0xe2, 0x40]))
        }),
        |it| {
            let mut attributes = it.attributes();
            attributes[1] =
                if it.kind.is_internal() { it.path(&[123_456]) } else { it.path(&[it.kind.asn(), 123_456]) };
            attributes.push(attribute(TRANSITIVE, 17, &[2, 1, 0, 1, 0xe2, 0x40]));
            it.with_attributes(&attributes)
        },
    ),
    row("AS4_PATH empty", TWO_OCTET, discarded!(17), |it| it.set(&attribute(TRANSITIVE, 17, &[]))),
    row("AS4_PATH of odd length", TWO_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[2, 1, 0, 0, 0]))
    }),
    row("AS4_PATH with an empty segment", TWO_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[2, 0]))
    }),
    row("AS4_PATH with segment type 9", TWO_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[9, 1, 0, 0, 0, 7]))
    }),
    row("AS4_PATH with AS 0", TWO_OCTET, discarded!(17), |it| {
        it.set(&attribute(TRANSITIVE, 17, &[2, 1, 0, 0, 0, 0]))
    }),
    // RFC 6793 §4.2.3: longer than AS_PATH, it is ignored.
    row(
        "AS4_PATH longer than AS_PATH",
        TWO_OCTET,
        Replaced(|seen| {
            !seen.external.has(17) && seen.external.value(2).is_some_and(|path| path.ends_with(&[0xfd, 0xe7]))
        }),
        |it| it.set(&attribute(TRANSITIVE, 17, &[2, 4, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0, 7])),
    ),
    row("AS4_AGGREGATOR on a 4-octet session", FOUR_OCTET, discarded!(18), |it| {
        it.set(&attribute(TRANSITIVE, 18, &[0, 1, 0, 0, 1, 2, 3, 4]))
    }),
    row("AS4_AGGREGATOR of 6 octets", TWO_OCTET, discarded!(18), |it| {
        it.set(&attribute(TRANSITIVE, 18, &[0, 1, 1, 2, 3, 4]))
    }),
    row("AS4_AGGREGATOR with AS 0", TWO_OCTET, discarded!(18), |it| {
        it.set(&attribute(TRANSITIVE, 18, &[0, 0, 0, 0, 1, 2, 3, 4]))
    }),
    row("AS4_AGGREGATOR for AS_TRANS", TWO_OCTET, passed_on!(7, 0xc0, [0, 1, 0, 0, 1, 2, 3, 4]), |it| {
        it.set(
            &[
                attribute(TRANSITIVE, 7, &[0x5b, 0xa0, 1, 2, 3, 4]),
                attribute(TRANSITIVE, 18, &[0, 1, 0, 0, 1, 2, 3, 4]),
            ]
            .concat(),
        )
    }),
    // LARGE_COMMUNITY: RFC 8092 §6.
    row("LARGE_COMMUNITY", ALL, passed_on!(32, 0xc0, [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]), |it| {
        it.set(&attribute(TRANSITIVE, 32, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]))
    }),
    row(
        "LARGE_COMMUNITY twice the same: once",
        ALL,
        passed_on!(32, 0xc0, [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
        |it| it.set(&attribute(TRANSITIVE, 32, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3].repeat(2))),
    ),
    row("LARGE_COMMUNITY of 11 octets", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 32, &[0; 11]))),
    row("LARGE_COMMUNITY of 16 octets", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 32, &[0; 16]))),
    row("LARGE_COMMUNITY empty", ALL, Withdrawn, |it| it.set(&attribute(TRANSITIVE, 32, &[]))),
    row("LARGE_COMMUNITY non-transitive", ALL, Withdrawn, |it| it.set(&attribute(OPTIONAL, 32, &[0; 12]))),
    // Unknown ones: RFC 4271 §5, §6.3, §9. RFC 7606 did not touch the well-known.
    row("unknown transitive: Partial is set", ALL, passed_on!(99, 0xe0, [1, 2]), |it| {
        it.set(&attribute(TRANSITIVE, 99, &[1, 2]))
    }),
    row("unknown transitive with Partial", ALL, passed_on!(99, 0xe0, [1, 2]), |it| {
        it.set(&attribute(0xe0, 99, &[1, 2]))
    }),
    row("unknown transitive, empty", ALL, passed_on!(99, 0xe0, []), |it| {
        it.set(&attribute(TRANSITIVE, 99, &[]))
    }),
    row("unknown transitive of 300 octets", ALL, passed_on!(99, 0xe0, [7; 300]), |it| {
        it.set(&attribute(TRANSITIVE, 99, &[7; 300]))
    }),
    row("unknown transitive twice: the first counts", ALL, passed_on!(99, 0xe0, [1]), |it| {
        it.set(&[attribute(TRANSITIVE, 99, &[1]), attribute(TRANSITIVE, 99, &[2])].concat())
    }),
    row("unknown non-transitive", ALL, discarded!(99), |it| it.set(&attribute(OPTIONAL, 99, &[1, 2]))),
    row("unknown non-transitive with Partial", ALL, discarded!(99), |it| {
        it.set(&attribute(0xa0, 99, &[1, 2]))
    }),
    row("unknown well-known", ALL, Reset(3, 2), |it| it.set(&attribute(WELL_KNOWN, 99, &[1, 2]))),
    row("unknown with no flag at all", ALL, Reset(3, 2), |it| it.set(&attribute(0, 99, &[1, 2]))),
    row("attribute 0, transitive", ALL, passed_on!(0, 0xe0, [1]), |it| {
        it.set(&attribute(TRANSITIVE, 0, &[1]))
    }),
    // RFC 7606 §3 h: the strongest of several.
    row("a discard and a withdrawal", ALL, Withdrawn, |it| {
        it.set(&[attribute(WELL_KNOWN, 6, &[1]), attribute(OPTIONAL, 4, &[1])].concat())
    }),
    row("a withdrawal and a reset", ALL, Reset(3, 2), |it| {
        it.set(&[attribute(OPTIONAL, 4, &[1]), attribute(WELL_KNOWN, 99, &[])].concat())
    }),
    row("two discards", ALL, Replaced(|seen| !seen.external.has(6) && !seen.external.has(7)), |it| {
        it.set(&[attribute(WELL_KNOWN, 6, &[1]), attribute(TRANSITIVE, 7, &[1])].concat())
    }),
];
