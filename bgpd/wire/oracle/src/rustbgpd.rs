//! rustbgpd-wire's reading: decoding with RFC 7606 handling, then its validation of the attribute set.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bgp_wire::{
    Aggregator, AsPath, Community, DecodeContext, ExtendedCommunity, LargeCommunity, Origin, PathAttributes,
    PeerKind, SegmentKind, UnknownAttribute,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustbgpd_wire::validate::validate_update_attributes;
use rustbgpd_wire::{AsPathSegment, ErrorDisposition, ParsedUpdate, PathAttribute, Prefix, UpdateMessage};

use crate::{Class, Content, Reading};

/// Reads an UPDATE message whose header was found good.
#[must_use]
pub fn read(frame: &[u8], context: &DecodeContext) -> Reading {
    let reset = |why: String| Reading { class: Class::Reset, content: None, why };
    let mut body = frame.get(19..).unwrap_or_default();
    let internal = context.peer == PeerKind::Internal;
    let len = body.len();
    let parsed = UpdateMessage::decode(&mut body, len)
        .and_then(|update| update.parse_revised(context.four_octet_as, internal, false, &[]));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return reset(error.to_string()),
    };
    let mut class = Class::Accept;
    let mut why = Vec::new();
    for malformed in &parsed.malformed {
        class = class.max(class_of(malformed.disposition));
        why.push(format!("{}: {}", malformed.type_code, malformed.error));
    }
    let mut update = parsed.update;
    if !internal {
        // It leaves well-formed attributes that only internal peers may send to its caller (RFC 7606 §7.5, §7.9, §7.10).
        let before = update.attributes.len();
        update.attributes.retain(|attribute| !matches!(attribute.type_code(), 5 | 9 | 10));
        if update.attributes.len() < before {
            class = class.max(Class::Discard);
        }
    }
    let reaches = |attribute: &PathAttribute| matches!(attribute, PathAttribute::MpReachNlri(reach) if !reach.announced.is_empty());
    let mp = update.attributes.iter().any(reaches);
    let body_nlri = !update.announced.is_empty();
    // Only what decoded is validated: an attribute that was malformed is not missing as well.
    let missing = |code| !parsed.malformed.iter().any(|malformed| malformed.type_code == code);
    if let Err(error) = validate_update_attributes(&update.attributes, mp || body_nlri, body_nlri, true) {
        if error.subcode != 3 || error.data.first().is_some_and(|code| missing(*code)) {
            class = class.max(class_of(error.disposition));
        }
        why.push(format!("validation: subcode {}", error.subcode));
    }
    // RFC 7606 §5.2 is the caller's business there; the rule is the same for every codec.
    if class == Class::Withdraw && !mp && !body_nlri {
        class = Class::Reset;
    }
    let content = (class < Class::Withdraw).then(|| content(update));
    Reading { class, content, why: why.join("; ") }
}

const fn class_of(disposition: ErrorDisposition) -> Class {
    match disposition {
        ErrorDisposition::AttributeDiscard => Class::Discard,
        ErrorDisposition::TreatAsWithdraw => Class::Withdraw,
        ErrorDisposition::SessionReset => Class::Reset,
    }
}

fn content(update: ParsedUpdate) -> Content {
    let v4 = |prefix: rustbgpd_wire::Ipv4Prefix| Ipv4Net::new(prefix.addr, prefix.len).ok().map(IpNet::V4);
    let any = |prefix| match prefix {
        Prefix::V4(prefix) => v4(prefix),
        Prefix::V6(prefix) => Ipv6Net::new(prefix.addr, prefix.len).ok().map(IpNet::V6),
    };
    let mut withdrawn: BTreeSet<_> = update.withdrawn.iter().filter_map(|entry| v4(entry.prefix)).collect();
    let mut announced = BTreeSet::new();
    let mut next_hop = None;
    let mut attributes = PathAttributes::default();
    let mut unknown = Vec::new();
    for attribute in update.attributes {
        match attribute {
            PathAttribute::NextHop(address) => next_hop = Some(IpAddr::V4(address)),
            PathAttribute::MpReachNlri(reach) => {
                // `::` in the first place stands for the link-local address in the second.
                let address = match (reach.next_hop, reach.link_local_next_hop) {
                    (IpAddr::V6(first), Some(second)) if first.is_unspecified() => IpAddr::V6(second),
                    (first, _) => first,
                };
                announced
                    .extend(reach.announced.iter().filter_map(|entry| Some((any(entry.prefix)?, address))));
            }
            PathAttribute::MpUnreachNlri(unreach) => {
                withdrawn.extend(unreach.withdrawn.iter().filter_map(|entry| any(entry.prefix)));
            }
            other => set(&mut attributes, &mut unknown, other),
        }
    }
    unknown.sort_unstable_by_key(|attribute: &UnknownAttribute| attribute.code);
    attributes.unknown = unknown.into();
    announced.extend(update.announced.iter().filter_map(|entry| Some((v4(entry.prefix)?, next_hop?))));
    Content { attributes, announced, withdrawn }
}

fn set(attributes: &mut PathAttributes, unknown: &mut Vec<UnknownAttribute>, attribute: PathAttribute) {
    let large = |list: Vec<rustbgpd_wire::LargeCommunity>| {
        list.into_iter()
            .map(|community| {
                LargeCommunity::new(community.global_admin, community.local_data1, community.local_data2)
            })
            .collect()
    };
    let extended = |list: Vec<rustbgpd_wire::ExtendedCommunity>| {
        list.into_iter().map(|community| ExtendedCommunity(community.as_u64().to_be_bytes())).collect()
    };
    match attribute {
        PathAttribute::Origin(origin) => {
            attributes.origin = match origin {
                rustbgpd_wire::Origin::Igp => Origin::Igp,
                rustbgpd_wire::Origin::Egp => Origin::Egp,
                rustbgpd_wire::Origin::Incomplete => Origin::Incomplete,
            };
        }
        PathAttribute::AsPath(path) => {
            attributes.as_path =
                AsPath::from_segments(path.segments.into_iter().map(|segment| match segment {
                    AsPathSegment::AsSet(asns) => (SegmentKind::Set, asns),
                    AsPathSegment::AsSequence(asns) => (SegmentKind::Sequence, asns),
                }));
        }
        PathAttribute::Aggregator(aggregator) => {
            attributes.aggregator = Some(Aggregator { asn: aggregator.asn, address: aggregator.router_id });
            attributes.partial.aggregator = aggregator.partial;
        }
        PathAttribute::AtomicAggregate => attributes.atomic_aggregate = true,
        PathAttribute::LocalPref(value) => attributes.local_pref = Some(value),
        PathAttribute::Med(value) => attributes.med = Some(value),
        PathAttribute::Communities(list) => {
            attributes.communities = list.into_iter().map(Community).collect()
        }
        PathAttribute::CommunitiesPartial(list) => {
            attributes.communities = list.into_iter().map(Community).collect();
            attributes.partial.communities = true;
        }
        PathAttribute::ExtendedCommunities(list) => attributes.extended_communities = extended(list),
        PathAttribute::ExtendedCommunitiesPartial(list) => {
            attributes.extended_communities = extended(list);
            attributes.partial.extended_communities = true;
        }
        PathAttribute::LargeCommunities(list) => attributes.large_communities = large(list),
        PathAttribute::LargeCommunitiesPartial(list) => {
            attributes.large_communities = large(list);
            attributes.partial.large_communities = true;
        }
        PathAttribute::OriginatorId(id) => attributes.originator_id = Some(id),
        PathAttribute::ClusterList(list) => attributes.cluster_list = list.into(),
        PathAttribute::Unknown(raw) if raw.flags & 0xc0 == 0xc0 => {
            unknown.push(UnknownAttribute::passed_on(raw.type_code, &raw.data));
        }
        // Types it knows and we pass on unread are left out of the comparison by the tests.
        _ => {}
    }
}
