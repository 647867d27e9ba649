//! Each rule of export, for each kind of peer it tells apart.

use std::net::{IpAddr, Ipv6Addr};

use bgp_wire::{AsPath, ExtendedCommunity, Origin};

use super::*;

const OWN_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THEIR_V4: NextHop = NextHop::V4(Ipv4Addr::new(198, 51, 100, 7));
const CLUSTER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

fn key(kind: PeerKind) -> GroupKey {
    GroupKey {
        kind,
        client: false,
        encode: EncodeContext::new(),
        several: None,
        next_hop_self: Some(NextHop::V4(OWN_V4)),
        policy: None,
        long_lived: LongLived::Withheld,
        role: None,
        drain: false,
    }
}

fn exporter(key: &GroupKey) -> Exporter<'_> {
    Exporter { key, family: Family::IPV4_UNICAST, local_asn: 65_000, cluster_id: CLUSTER }
}

fn source(kind: SourceMatch) -> Source {
    Source {
        kind,
        client: false,
        router_id: Ipv4Addr::new(10, 0, 0, 7),
        address: IpAddr::from([198, 51, 100, 7]),
    }
}

/// A route with everything that an export may have to take off.
fn learned() -> PathAttributes {
    PathAttributes {
        origin: Origin::Egp,
        as_path: AsPath::sequence([65_001, 65_002]),
        next_hop: Some(THEIR_V4),
        med: Some(50),
        local_pref: Some(200),
        communities: [Community::new(65_001, 1)].into_iter().collect(),
        ..PathAttributes::default()
    }
}

#[test]
fn external_peers_get_our_as_and_next_hop_and_no_internal_attributes() {
    let reflected = PathAttributes {
        originator_id: Some(Ipv4Addr::LOCALHOST),
        cluster_list: Box::new([Ipv4Addr::LOCALHOST]),
        ..learned()
    };
    let expected = PathAttributes {
        as_path: AsPath::sequence([65_000, 65_001, 65_002]),
        next_hop: Some(NextHop::V4(OWN_V4)),
        med: None,
        local_pref: None,
        ..learned()
    };
    for kind in [SourceMatch::External, SourceMatch::Internal] {
        let out = exporter(&key(PeerKind::External)).transform(source(kind), &reflected, None);
        assert_eq!(out, Ok(expected.clone()), "{kind:?}");
    }
}

#[test]
fn non_transitive_extended_communities_stay_inside() {
    // A route target, and a link bandwidth with the non-transitive bit (RFC 4360 §2).
    let target = ExtendedCommunity([0x00, 0x02, 0xfd, 0xe9, 0, 0, 0, 100]);
    let bandwidth = ExtendedCommunity([0x40, 0x04, 0xfd, 0xe9, 0x4b, 0x3e, 0xbc, 0x20]);
    let attributes =
        PathAttributes { extended_communities: [target, bandwidth].into_iter().collect(), ..learned() };
    let sent = |kind| {
        let out = exporter(&key(kind)).transform(source(SourceMatch::External), &attributes, None);
        out.unwrap().extended_communities
    };
    assert_eq!(sent(PeerKind::External), [target].into_iter().collect());
    assert_eq!(sent(PeerKind::Internal), attributes.extended_communities);
}

#[test]
fn confederation_segments_stay_inside() {
    let inside = PathAttributes { as_path: "(64512 64513) 65001".parse().unwrap(), ..learned() };
    let path = |kind| {
        let out = exporter(&key(kind)).transform(source(SourceMatch::Internal), &inside, None);
        out.unwrap().as_path.to_string()
    };
    assert_eq!(path(PeerKind::External), "65000 65001");
    assert_eq!(path(PeerKind::Internal), "(64512 64513) 65001");
}

#[test]
fn external_peers_get_the_med_of_own_routes_and_of_the_policy() {
    let key = key(PeerKind::External);
    let own = PathAttributes { med: Some(7), local_pref: Some(300), ..PathAttributes::default() };
    let out = exporter(&key).transform(source(SourceMatch::Local), &own, None).unwrap();
    assert_eq!((out.med, out.local_pref), (Some(7), None));
    assert_eq!(out.as_path, AsPath::sequence([65_000]));

    let actions = Actions { med: Some(8), local_preference: Some(1), prepend: 2, ..Actions::default() };
    let out = exporter(&key).transform(source(SourceMatch::External), &learned(), Some(&actions)).unwrap();
    assert_eq!((out.med, out.local_pref), (Some(8), None));
    assert_eq!(out.as_path, AsPath::sequence([65_000, 65_000, 65_000, 65_001, 65_002]));
}

#[test]
fn internal_peers_get_external_routes_as_they_are() {
    let key = key(PeerKind::Internal);
    let out = exporter(&key).transform(source(SourceMatch::External), &learned(), None);
    assert_eq!(out, Ok(learned()));
    let plain = PathAttributes { local_pref: None, ..learned() };
    let out = exporter(&key).transform(source(SourceMatch::External), &plain, None).unwrap();
    assert_eq!(out.local_pref, Some(100));
    let prepend = Actions { prepend: 2, ..Actions::default() };
    let out = exporter(&key).transform(source(SourceMatch::External), &learned(), Some(&prepend)).unwrap();
    assert_eq!(out.as_path, learned().as_path);
}

#[test]
fn own_routes_have_ourselves_as_next_hop_unless_they_say_otherwise() {
    for kind in [PeerKind::Internal, PeerKind::External] {
        let key = key(kind);
        let local = source(SourceMatch::Local);
        let own = PathAttributes::default();
        let explicit = PathAttributes { next_hop: Some(THEIR_V4), ..PathAttributes::default() };
        let next_hop = |attributes| exporter(&key).transform(local, attributes, None).unwrap().next_hop;
        assert_eq!(next_hop(&own), Some(NextHop::V4(OWN_V4)));
        assert_eq!(next_hop(&explicit), Some(THEIR_V4));
    }
}

#[test]
fn reflecting_marks_the_way() {
    let key = key(PeerKind::Internal);
    let client = Source { client: true, ..source(SourceMatch::Internal) };
    assert_eq!(exporter(&key).check(client, &learned()), Ok(()));
    let once = exporter(&key).transform(client, &learned(), None).unwrap();
    assert_eq!(once.originator_id, Some(client.router_id));
    assert_eq!(once.cluster_list[..], [CLUSTER]);
    assert_eq!((once.next_hop, once.med, once.local_pref), (Some(THEIR_V4), Some(50), Some(200)));
    let other = Source { router_id: Ipv4Addr::LOCALHOST, ..client };
    let twice = exporter(&key).transform(other, &once, None).unwrap();
    assert_eq!(twice.originator_id, Some(client.router_id), "the originator stays");
    assert_eq!(twice.cluster_list[..], [CLUSTER, CLUSTER]);
}

#[test]
fn internal_routes_go_to_internal_peers_only_through_a_reflector() {
    for (from_client, to_client, expected) in [
        (false, false, Err(Refusal::InternalToInternal)),
        (true, false, Ok(())),
        (false, true, Ok(())),
        (true, true, Ok(())),
    ] {
        let key = GroupKey { client: to_client, ..key(PeerKind::Internal) };
        let from = Source { client: from_client, ..source(SourceMatch::Internal) };
        assert_eq!(exporter(&key).check(from, &learned()), expected, "{from_client} {to_client}");
        let external = source(SourceMatch::External);
        assert_eq!(exporter(&key).check(external, &learned()), Ok(()));
    }
}

#[test]
fn well_known_communities_are_obeyed() {
    let rows = [
        (Community::NO_ADVERTISE, Err(Refusal::NoAdvertise), Err(Refusal::NoAdvertise)),
        (Community::NO_EXPORT, Err(Refusal::NoExport), Ok(())),
        (Community::NO_EXPORT_SUBCONFED, Err(Refusal::NoExportSubconfed), Ok(())),
        (Community::NO_PEER, Ok(()), Ok(())),
    ];
    for (community, to_external, to_internal) in rows {
        let route = PathAttributes { communities: learned().communities.with([community]), ..learned() };
        for (kind, expected) in [(PeerKind::External, to_external), (PeerKind::Internal, to_internal)] {
            let key = key(kind);
            let result = exporter(&key).check(source(SourceMatch::External), &route);
            assert_eq!(result, expected, "{community} to {kind:?}");
        }
    }
}

#[test]
fn what_the_policy_adds_does_not_keep_the_route_back() {
    let actions = Actions { add_communities: vec![Community::NO_EXPORT], ..Actions::default() };
    let key = key(PeerKind::External);
    let local = source(SourceMatch::Local);
    let own = PathAttributes::default();
    assert_eq!(exporter(&key).check(local, &own), Ok(()));
    let out = exporter(&key).transform(local, &own, Some(&actions)).unwrap();
    assert!(out.communities.contains(&Community::NO_EXPORT));
}

#[test]
fn a_next_hop_that_the_peer_cannot_read_is_refused() {
    let v6 = NextHop::V6 { global: OWN_V6, link_local: None };
    let over_v6 = PathAttributes { next_hop: Some(v6), ..learned() };
    let external = source(SourceMatch::External);
    let mut key = key(PeerKind::Internal);
    assert_eq!(exporter(&key).transform(external, &over_v6, None), Err(Refusal::NoNextHop));
    key.encode.extended_next_hop = true;
    assert_eq!(exporter(&key).transform(external, &over_v6, None).unwrap().next_hop, Some(v6));

    // An IPv4 next hop is never good for IPv6, and no address of ours at all is none either.
    let mut exporter = exporter(&key);
    exporter.family = Family::IPV6_UNICAST;
    assert_eq!(exporter.transform(external, &learned(), None), Err(Refusal::NoNextHop));
    let bare = GroupKey { next_hop_self: None, ..key.clone() };
    exporter.key = &bare;
    assert_eq!(exporter.transform(source(SourceMatch::Local), &learned(), None), Err(Refusal::NoNextHop));
}

#[test]
fn link_local_next_hops_stay_on_their_link() {
    let link_local = "fe80::1".parse().unwrap();
    let key = GroupKey {
        next_hop_self: Some(NextHop::V6 { global: OWN_V6, link_local: Some(link_local) }),
        ..key(PeerKind::Internal)
    };
    let exporter = Exporter { family: Family::IPV6_UNICAST, ..exporter(&key) };
    let next_hop = |next_hop| {
        let route = PathAttributes { next_hop: Some(next_hop), ..learned() };
        exporter.transform(source(SourceMatch::External), &route, None).unwrap().next_hop.unwrap()
    };
    let global: Ipv6Addr = "2001:db8::7".parse().unwrap();
    assert_eq!(
        next_hop(NextHop::V6 { global, link_local: Some(link_local) }),
        NextHop::V6 { global, link_local: None }
    );
    let alone = NextHop::V6 { global: link_local, link_local: None };
    assert_eq!(Some(next_hop(alone)), key.next_hop_self);
    let unspecified = NextHop::V6 { global: Ipv6Addr::UNSPECIFIED, link_local: Some(link_local) };
    assert_eq!(Some(next_hop(unspecified)), key.next_hop_self);
}

#[test]
fn attributes_without_room_for_a_prefix_are_refused() {
    let with = |count| PathAttributes { communities: (0..count).map(Community).collect(), ..learned() };
    let mut key = key(PeerKind::External);
    assert_eq!(exporter(&key).check_length(&with(10)), Ok(()));
    assert_eq!(exporter(&key).check_length(&with(1_000)), Ok(()));
    assert_eq!(exporter(&key).check_length(&with(1_100)), Err(Refusal::TooLong));
    key.encode.extended_message = true;
    assert_eq!(exporter(&key).check_length(&with(1_100)), Ok(()));
}
