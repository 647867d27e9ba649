//! Where another codec is known to read a message differently, and which text says that ours is right, or that both are.

use std::net::Ipv4Addr;

use bgp_wire_oracle::{Class, Reading};
use ipnet::IpNet;

use crate::message::{Attribute, Parts};

/// One known difference.
pub(crate) struct Disagreement {
    /// What it is about.
    pub(crate) what: &'static str,
    /// Why we do as we do.
    pub(crate) reason: &'static str,
    applies: fn(&Parts, &Reading, &Reading) -> bool,
}

/// The known difference that explains these two readings.
pub(crate) fn explain(parts: &Parts, ours: &Reading, theirs: &Reading) -> Option<&'static Disagreement> {
    KNOWN.iter().find(|known| (known.applies)(parts, ours, theirs))
}

/// All of them; the tests see to it that each still occurs.
pub(crate) const KNOWN: &[Disagreement] = &[
    Disagreement {
        what: "AS_SET",
        reason: "RFC 4271 §4.3 defines it. RFC 9774 §3, newer, wants such routes withdrawn: a policy of the speaker here.",
        applies: |parts, _, _| has_segment(parts, 1),
    },
    Disagreement {
        what: "confederation segments",
        reason: "RFC 5065 §5: an error from peers outside the confederation. Internal peers may be inside one.",
        applies: |parts, _, _| has_segment(parts, 3) || has_segment(parts, 4),
    },
    Disagreement {
        what: "family that was not negotiated",
        reason: "RFC 4760 §8: not to be used, so it is not read. They read what they know and reset for what they do not.",
        applies: |parts, _, _| {
            let foreign =
                |attribute: &Attribute| !matches!(attribute.value.get(..3), Some([0, 1 | 2, 1]) | None);
            parts.attributes.iter().any(|attribute| matches!(attribute.code, 14 | 15) && foreign(attribute))
        },
    },
    Disagreement {
        what: "Partial bit where it cannot be",
        reason: "RFC 7606 §3 c: an error are the Optional and Transitive bits. They look at all of RFC 4271 §4.3.",
        applies: |parts, ours, theirs| ours.class < theirs.class && has_odd_partial(parts),
    },
    Disagreement {
        what: "flags of MP_REACH_NLRI and MP_UNREACH_NLRI",
        reason: "RFC 7606 §3 c: treat-as-withdraw, and the prefixes could be read. They reset the session.",
        applies: |parts, ours, theirs| {
            let conflict =
                |attribute: &Attribute| matches!(attribute.code, 14 | 15) && attribute.flags & 0xc0 != 0x80;
            ours.class < theirs.class && parts.attributes.iter().any(conflict)
        },
    },
    Disagreement {
        what: "next hops in 0.0.0.0/8 and 240.0.0.0/4",
        reason: "RFC 1122 §3.2.1.3: not host addresses, so syntactically incorrect by RFC 4271 §6.3. They only look for 0.0.0.0 and 255.255.255.255.",
        applies: |parts, ours, theirs| {
            ours.class > theirs.class
                && parts
                    .attribute(3)
                    .is_some_and(|next_hop| matches!(next_hop.value.first(), Some(0 | 240..)))
        },
    },
    Disagreement {
        what: "NEXT_HOP without prefixes it is for",
        reason: "RFC 4760 §3: beside MP_REACH_NLRI alone it is to be ignored. They look at its address all the same.",
        applies: |parts, ours, theirs| {
            ours.class < theirs.class && parts.nlri.is_empty() && parts.attribute(3).is_some()
        },
    },
    Disagreement {
        what: "unknown well-known attribute",
        reason: "RFC 4271 §6.3: session reset, and RFC 7606 revises that for known ones only. They withdraw.",
        applies: |_, ours, theirs| {
            theirs.class == Class::Withdraw && ours.why.contains("unrecognized well-known")
        },
    },
    Disagreement {
        what: "link-local next hop",
        reason: "RFC 2545 §3 wants a global address first, but peers on a link without one send the link-local address alone, or behind `::`; RFC 8950 sessions live of it.",
        applies: |parts, ours, theirs| {
            ours.class < theirs.class && parts.attribute(14).is_some_and(has_odd_link_local)
        },
    },
];

/// Faults of ours that NetGauze does not look for: they need the session, the whole message or the meaning of a value.
pub(crate) const NOT_STRUCTURE: &[&str] = &[
    "appears more than once",
    "missing",
    "sent by an external peer",
    "sent by a peer with four-octet AS numbers",
    "is not a host address",
    "AS number 0",
    "was not negotiated",
    "unrecognized well-known attribute",
    // RFC 6793: it has no word for this one and passes it on unread.
    "AS4_AGGREGATOR",
    // RFC 7606 §7.8, §7.14, RFC 8092 §6: a list of none. It reads one.
    "length 0, expected a non-zero multiple",
    // RFC 7606 §7.9 is structure, but it reads the first four octets of however many.
    "ORIGINATOR_ID",
];

/// Whether a message has something NetGauze does not read although it is well-formed.
pub(crate) fn beyond_netgauze(parts: &Parts, ours: &Reading) -> bool {
    // It wants confederation segments to be something else, the Partial bit only where it can be, and prefixes to be unicast. RFC 4271 §6.3 wants the latter
    // logged and ignored one by one, which is the speaker's business here.
    let multicast = |prefix: &IpNet| match prefix {
        IpNet::V4(prefix) => prefix.broadcast() >= Ipv4Addr::new(224, 0, 0, 0),
        IpNet::V6(prefix) => prefix.broadcast().is_multicast(),
    };
    let content = ours.content.as_ref();
    let mut prefixes = content
        .into_iter()
        .flat_map(|content| content.announced.iter().map(|(prefix, _)| prefix).chain(&content.withdrawn));
    has_segment(parts, 3) || has_segment(parts, 4) || has_odd_partial(parts) || prefixes.any(multicast)
}

/// Whether the Partial bit is set on an attribute that is not optional transitive.
fn has_odd_partial(parts: &Parts) -> bool {
    let odd = |attribute: &Attribute| {
        attribute.flags & 0x20 != 0 && matches!(attribute.code, 1..=6 | 9 | 10 | 14 | 15)
    };
    parts.attributes.iter().any(odd)
}

/// Whether any AS path has a segment of this type at its front.
fn has_segment(parts: &Parts, kind: u8) -> bool {
    parts
        .attributes
        .iter()
        .any(|attribute| matches!(attribute.code, 2 | 17) && attribute.value.first() == Some(&kind))
}

/// Whether an MP_REACH_NLRI has a next hop other than one global address, or a global and a link-local one.
fn has_odd_link_local(reach: &Attribute) -> bool {
    let link_local = |octets: Option<&[u8]>| matches!(octets, Some([0xfe, 0x80..=0xbf]));
    let (first, second) = (reach.value.get(4..6), reach.value.get(20..22));
    match reach.value.get(3) {
        Some(16) => link_local(first),
        Some(32) => link_local(first) || !link_local(second) || first == Some(&[0, 0]),
        _ => false,
    }
}
