//! One behaviour per test.

use super::*;

#[test]
fn a_route_goes_from_one_peer_to_the_others_and_away_again() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, OWN_ASN]);
    lab.announce(1, &via(1, "65001 1"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.drain();
    assert!(lab.told(1).is_empty(), "it is not sent back");
    assert_eq!(lab.told(2), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.mirrors[&peer(2)].routes[&(net("10.1.0.0/16"), 0)].as_path.to_string(), "65000 65001 1");
    assert_eq!(lab.mirrors[&peer(3)].routes[&(net("10.1.0.0/16"), 0)].local_pref, Some(100));
    lab.withdraw(1, &["10.1.0.0/16"]);
    lab.drain();
    assert_eq!(lab.told(2), ["10.2.0.0/16"]);
    lab.down(1);
    lab.drain();
    assert!(lab.told(2).is_empty() && lab.told(3).is_empty());
    assert_eq!(lab.rib.totals(Family::IPV4_UNICAST).prefixes, 0);
    assert_eq!(lab.rib.totals(Family::IPV4_UNICAST).attribute_sets, 0, "nothing is left behind");
}

#[test]
fn equal_attributes_leave_in_one_update() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001 1"), &["10.1.0.0/16"]);
    lab.announce(1, &via(1, "65001 2"), &["10.2.0.0/16"]);
    lab.announce(1, &via(1, "65001 1"), &["10.3.0.0/16", "10.4.0.0/16"]);
    assert_eq!(lab.drain_one(2).len(), 2);
    assert_eq!(lab.told(2).len(), 4);
}

#[test]
fn only_the_last_of_many_changes_is_sent() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    for hop in 1..=10 {
        lab.announce(1, &via(1, &format!("65001 {hop}")), &["10.1.0.0/16"]);
    }
    assert_eq!(lab.drain_one(2).len(), 1);
    assert_eq!(lab.mirrors[&peer(2)].routes[&(net("10.1.0.0/16"), 0)].as_path.to_string(), "65000 65001 10");
    // There and back again is no change at all, and what was never sent is not withdrawn.
    lab.announce(1, &via(1, "65001 9"), &["10.1.0.0/16"]);
    lab.announce(1, &via(1, "65001 10"), &["10.1.0.0/16"]);
    lab.announce(1, &via(1, "65001 1"), &["10.2.0.0/16"]);
    lab.withdraw(1, &["10.2.0.0/16"]);
    assert!(lab.drain_one(2).is_empty());
}

#[test]
fn end_of_rib_follows_the_first_routes_of_each_family() {
    let mut lab = Lab::new(config());
    lab.originate(vec![own("10.1.0.0/16"), own("2001:db8:1::/48")]);
    lab.up(params(1, 65_001), 1);
    assert!(lab.rib.has_output(peer(1)));
    let messages = lab.drain_one(1);
    assert_eq!(messages.len(), 4);
    assert_eq!(lab.mirrors[&peer(1)].end_of_rib.len(), 2);
    let ends_last = |family| {
        let mut mirror = Mirror { kind: Some(PeerKind::External), ..Mirror::default() };
        for message in &messages {
            mirror.read(message);
            if mirror.end_of_rib.last() == Some(&family) {
                return mirror.routes.keys().any(|(prefix, _)| Family::of(prefix) == family);
            }
        }
        false
    };
    assert!(ends_last(Family::IPV4_UNICAST) && ends_last(Family::IPV6_UNICAST));

    // A peer without routes to get hears it at once.
    lab.originate(Vec::new());
    let v4_only = PeerParams { families: FamilySet::IPV4_UNICAST, ..params(2, 65_002) };
    lab.up(v4_only, 2);
    assert_eq!(lab.drain_one(2).len(), 1);
    assert_eq!(lab.mirrors[&peer(2)].end_of_rib, [Family::IPV4_UNICAST]);
}

#[test]
fn a_refused_path_stays_and_says_why() {
    let mut lab = Lab::with_peers(&[65_001, OWN_ASN]);
    let external = |lab: &mut Lab, attributes: &PathAttributes| {
        let outcome = lab.announce(1, attributes, &["10.1.0.0/16"]);
        (outcome.ineligible, lab.entry("10.1.0.0/16").paths[0].standing)
    };
    let next_hop =
        |address: [u8; 4]| PathAttributes { next_hop: Some(NextHop::V4(address.into())), ..via(1, "65001") };
    for (attributes, reason) in [
        (via(1, "65001 65000"), Ineligible::AsLoop),
        (via(1, "65002"), Ineligible::FirstAsMismatch),
        (next_hop([192, 0, 2, 100]), Ineligible::OwnNextHop),
    ] {
        assert_eq!(external(&mut lab, &attributes), (1, Standing::Ineligible(reason)));
        let counters = lab.rib.counters(peer(1), Family::IPV4_UNICAST).unwrap();
        assert_eq!((counters.received, counters.accepted), (1, 0));
        assert_eq!(counters.ineligible[reason.index()], 1);
    }
    assert_eq!(external(&mut lab, &via(1, "65001")), (0, Standing::Best));

    let loops = [
        (
            PathAttributes { originator_id: Some(config().router_id), ..via(2, "") },
            Ineligible::OwnOriginatorId,
        ),
        (
            PathAttributes { cluster_list: Box::new([config().cluster_id]), ..via(2, "") },
            Ineligible::ClusterLoop,
        ),
    ];
    for (attributes, reason) in loops {
        lab.announce(2, &attributes, &["10.2.0.0/16"]);
        assert_eq!(lab.entry("10.2.0.0/16").paths[0].standing, Standing::Ineligible(reason));
    }
    lab.drain();
    assert!(lab.told(1).is_empty());
    assert_eq!(lab.not_advertised(1, "10.2.0.0/16"), NotAdvertised::NoBestPath);
}

#[test]
fn a_route_server_need_not_be_the_first_as() {
    let mut lab = Lab::new(config());
    lab.up(PeerParams { enforce_first_as: false, ..params(1, 65_001) }, 1);
    lab.announce(1, &via(1, "65002"), &["10.1.0.0/16"]);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].standing, Standing::Best);
}

#[test]
fn the_import_policy_is_undone_when_it_goes() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    let set = Actions { med: Some(7), local_preference: Some(300), ..Actions::default() };
    lab.rib.set_policies(peer(1), Some(policy(&["10.1.0.0/16"], Verdict::Accept, set)), None, lab.now);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    let accepted = lab.entry("10.1.0.0/16").paths.remove(0);
    assert_eq!((accepted.attributes.med, accepted.attributes.local_pref), (Some(7), Some(300)));
    assert_eq!((accepted.received.med, accepted.received.local_pref), (None, None));
    let rejected = lab.entry("10.2.0.0/16").paths.remove(0);
    assert_eq!(rejected.standing, Standing::Ineligible(Ineligible::ImportPolicy));
    assert_eq!(rejected.rejected_by, None, "the default action did");
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16"]);

    let reject = policy(&["10.1.0.0/16"], Verdict::Reject, Actions::default());
    lab.rib.set_policies(peer(1), Some(reject), None, lab.now);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].rejected_by.as_deref(), Some("some"));
    lab.drain();
    assert_eq!(lab.told(2), ["10.2.0.0/16"]);

    lab.rib.set_policies(peer(1), None, None, lab.now);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].attributes, lab.entry("10.1.0.0/16").paths[0].received);
}

#[test]
fn a_changed_export_policy_sends_only_the_difference() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
    lab.drain();
    let before = lab.mirrors[&peer(2)].messages;
    let export = policy(&["10.1.0.0/16", "10.2.0.0/16"], Verdict::Accept, Actions::default());
    lab.rib.set_policies(peer(2), None, Some(Arc::clone(&export)), lab.now);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.mirrors[&peer(2)].messages, before + 1, "one withdrawal");
    let default_action = NotAdvertised::ExportPolicy { policy: "test".into(), statement: None };
    assert_eq!(lab.not_advertised(2, "10.3.0.0/16"), default_action);

    // The same again, in other words, is nothing.
    let renamed = Arc::new(Policy { name: "renamed".into(), ..Policy::clone(&export) });
    lab.rib.set_policies(peer(2), None, Some(renamed), lab.now);
    assert!(!lab.rib.has_output(peer(2)));
    let renamed = NotAdvertised::ExportPolicy { policy: "renamed".into(), statement: None };
    assert_eq!(lab.not_advertised(2, "10.3.0.0/16"), renamed);
}

#[test]
fn every_refusal_has_its_name() {
    let mut lab = Lab::with_peers(&[65_001, OWN_ASN, OWN_ASN, 65_004]);
    lab.up(PeerParams { local_address_v6: None, ..params(5, 65_005) }, 5);
    lab.up(PeerParams { families: FamilySet::IPV4_UNICAST, ..params(6, 65_006) }, 6);
    let with =
        |community| PathAttributes { communities: [community].into_iter().collect(), ..via(1, "65001") };
    lab.announce(1, &via(1, "65001"), &["10.0.0.0/16"]);
    lab.announce(1, &with(Community::NO_EXPORT), &["10.1.0.0/16"]);
    lab.announce(1, &with(Community::NO_ADVERTISE), &["10.2.0.0/16"]);
    lab.announce(1, &with(Community::NO_EXPORT_SUBCONFED), &["10.3.0.0/16"]);
    lab.announce(2, &via(2, "65009"), &["10.4.0.0/16"]);
    lab.announce(1, &via_v6(1, "65001"), &["2001:db8:1::/48"]);
    let long = PathAttributes { communities: (0..982).map(Community).collect(), ..via(1, "65001") };
    let long = PathAttributes { as_path: AsPath::sequence([65_001; 30]), ..long };
    lab.announce(1, &long, &["10.5.0.0/16"]);
    lab.drain();
    for (number, prefix, reason) in [
        (1, "10.0.0.0/16", NotAdvertised::LearnedFromPeer),
        (4, "10.1.0.0/16", NotAdvertised::NoExport),
        (3, "10.2.0.0/16", NotAdvertised::NoAdvertise),
        (4, "10.3.0.0/16", NotAdvertised::NoExportSubconfed),
        (3, "10.4.0.0/16", NotAdvertised::InternalToInternal),
        (5, "2001:db8:1::/48", NotAdvertised::NoNextHop),
        (6, "2001:db8:1::/48", NotAdvertised::FamilyNotNegotiated),
        (4, "10.99.0.0/16", NotAdvertised::NoBestPath),
        (7, "10.0.0.0/16", NotAdvertised::PeerDown),
        (4, "10.5.0.0/16", NotAdvertised::TooLong),
    ] {
        assert_eq!(lab.not_advertised(number, prefix), reason, "{prefix} to {number}");
    }
    assert!(lab.told(3).contains(&"10.1.0.0/16".to_owned()), "no-export says nothing about internal peers");
    let sent = lab.rib.advertisement(peer(4), &net("10.0.0.0/16"));
    assert!(matches!(&sent, Advertisement::Sent(routes) if routes[0].sent_at == lab.now), "{sent:?}");
    assert_eq!(lab.rib.advertised_to(&net("10.0.0.0/16")), [2, 3, 4, 5, 6].map(peer));
    lab.announce(1, &via(1, "65001 2"), &["10.0.0.0/16"]);
    assert_eq!(lab.rib.advertisement(peer(4), &net("10.0.0.0/16")), Advertisement::Queued);
}

#[test]
fn a_path_that_became_too_long_is_withdrawn() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.5.0.0/16"]);
    lab.drain();
    let long = PathAttributes {
        communities: (0..982).map(Community).collect(),
        as_path: AsPath::sequence([65_001; 30]),
        ..via(1, "65001")
    };
    lab.announce(1, &long, &["10.5.0.0/16"]);
    lab.drain();
    assert!(lab.told(2).is_empty());
}

#[test]
fn prefixes_that_count_are_those_that_take_part() {
    let mut lab = Lab::new(config());
    let import = policy(&["10.9.0.0/16"], Verdict::Reject, Actions::default());
    lab.up(PeerParams { import: Some(import), ..params(1, 65_001) }, 1);
    let outcome = lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"]);
    assert_eq!(outcome, UpdateOutcome { announced: 3, ineligible: 1, ..UpdateOutcome::default() });
    lab.announce(1, &via(1, "65001 2"), &["10.1.0.0/16"]);
    assert_eq!(lab.rib.fresh_prefixes(peer(1), Family::IPV4_UNICAST), 2);
    lab.announce(1, &via(1, "65001"), &["10.3.0.0/16"]);
    assert_eq!(lab.rib.fresh_prefixes(peer(1), Family::IPV4_UNICAST), 3);
    assert_eq!(lab.rib.fresh_prefixes(peer(1), Family::IPV6_UNICAST), 0);
}

#[test]
fn an_equal_announcement_changes_nothing() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.drain();
    let before = lab.rib.totals(Family::IPV4_UNICAST);
    let received_at = lab.entry("10.1.0.0/16").paths[0].received_at;
    lab.now = Time::from_nanos(9_000_000_000);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    assert_eq!(lab.rib.totals(Family::IPV4_UNICAST), before);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].received_at, received_at);
    assert!(!lab.rib.has_output(peer(2)));
}

#[test]
fn own_routes_are_set_as_a_whole_and_only_differences_count() {
    let mut lab = Lab::with_peers(&[65_001]);
    let source: Arc<str> = "Service default/web".into();
    let web = OriginatedRoute { source: Some(Arc::clone(&source)), med: Some(5), ..own("10.1.0.0/32") };
    lab.originate(vec![web.clone(), own("2001:db8:1::/48")]);
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/32", "2001:db8:1::/48"]);
    assert_eq!(lab.mirrors[&peer(1)].routes[&(net("10.1.0.0/32"), 0)].med, Some(5));
    let path = lab.entry("10.1.0.0/32").paths.remove(0);
    assert_eq!((path.peer, path.source, path.origin), (None, SourceMatch::Local, Some(source)));

    let version = lab.rib.totals(Family::IPV4_UNICAST).version;
    let renamed = OriginatedRoute { source: Some("renamed".into()), ..web };
    lab.originate(vec![renamed, own("2001:db8:2::/48")]);
    assert_eq!(lab.rib.totals(Family::IPV4_UNICAST).version, version, "a source is no attribute");
    assert_eq!(lab.entry("10.1.0.0/32").paths[0].origin.as_deref(), Some("renamed"));
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/32", "2001:db8:2::/48"]);
}

#[test]
fn an_own_route_beats_a_learned_one_and_hands_back_to_it() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.originate(vec![own("10.1.0.0/16")]);
    let entry = lab.entry("10.1.0.0/16");
    assert_eq!((entry.paths[0].peer, entry.paths[0].selection), (None, Some(SelectionReason::LocalRoute)));
    assert_eq!(entry.paths[1].selection, Some(SelectionReason::LocalRoute));
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/16"]);
    lab.originate(Vec::new());
    lab.drain();
    assert!(lab.told(1).is_empty(), "now it is peer 1's own route again");
    assert_eq!(lab.mirrors[&peer(2)].routes[&(net("10.1.0.0/16"), 0)].as_path.to_string(), "65000 65001");
}

#[test]
fn multipath_stands_beside_the_best() {
    let mut lab = Lab::with_peers(&[65_001, 65_001, 65_001]);
    for number in 1..=3 {
        lab.announce(number, &via(number, "65001 7"), &["10.1.0.0/16"]);
    }
    let standings = |lab: &Lab| -> Vec<_> {
        lab.entry("10.1.0.0/16").paths.iter().map(|path| (path.peer.unwrap().get(), path.standing)).collect()
    };
    assert_eq!(standings(&lab), [(1, Standing::Best), (2, Standing::Eligible), (3, Standing::Eligible)]);
    lab.rib.set_config(RibConfig { maximum_paths: 2, ..config() }, lab.now);
    lab.check();
    assert_eq!(standings(&lab), [(1, Standing::Best), (2, Standing::Multipath), (3, Standing::Eligible)]);
    lab.down(1);
    assert_eq!(standings(&lab), [(2, Standing::Best), (3, Standing::Multipath)]);
}

#[test]
fn a_lost_next_hop_takes_its_paths_along() {
    let mut lab = Lab::with_peers(&[OWN_ASN, OWN_ASN, 65_003]);
    lab.announce(1, &via(1, "65009"), &["10.1.0.0/16"]);
    lab.announce(2, &via(2, "65009"), &["10.1.0.0/16"]);
    lab.drain();
    let best = |lab: &Lab| lab.entry("10.1.0.0/16").paths[0].peer.unwrap().get();
    let state = |lab: &mut Lab, number: u8, state| {
        lab.rib.set_next_hops([(IpAddr::from([192, 0, 2, number]), state)]);
        lab.check();
    };
    assert_eq!(best(&lab), 1);
    state(&mut lab, 1, NextHopState::Reachable { metric: 10 });
    assert_eq!(best(&lab), 2);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].selection, Some(SelectionReason::IgpMetric));
    state(&mut lab, 2, NextHopState::Unreachable);
    assert_eq!(best(&lab), 1);
    let unreachable = Standing::Ineligible(Ineligible::UnreachableNextHop);
    assert_eq!(lab.entry("10.1.0.0/16").paths[1].standing, unreachable);
    state(&mut lab, 1, NextHopState::Unreachable);
    lab.drain();
    assert!(lab.told(3).is_empty());
    state(&mut lab, 2, NextHopState::Reachable { metric: 0 });
    assert_eq!(best(&lab), 2);
}

#[test]
fn another_identity_is_applied_to_what_is_there() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001 65077"), &["10.1.0.0/16"]);
    lab.drain();
    lab.rib.set_config(RibConfig { local_asn: 65_077, ..config() }, lab.now);
    lab.drain();
    let reason = Standing::Ineligible(Ineligible::AsLoop);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].standing, reason);
    assert!(lab.told(2).is_empty());
}

#[test]
fn refresh_sends_everything_again() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.drain();
    lab.mirrors.get_mut(&peer(2)).unwrap().refreshing = true;
    let (two, three) = (lab.mirrors[&peer(2)].messages, lab.mirrors[&peer(3)].messages);
    lab.rib.refresh_out(peer(2), Family::IPV4_UNICAST, lab.now);
    lab.withdraw(1, &["10.2.0.0/16"]);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16"]);
    assert_eq!(lab.mirrors[&peer(2)].messages, two + 2, "one announcement again, one withdrawal");
    assert_eq!(lab.mirrors[&peer(3)].messages, three + 1, "the others did not ask");
}

#[test]
fn pages_go_on_where_the_last_ended() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    let prefixes: Vec<String> = (0..50).map(|number| format!("10.{number}.0.0/16")).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    lab.announce(1, &via(1, "65001"), &prefixes);
    lab.announce(2, &via(2, "65002"), &prefixes[40..]);
    lab.drain();
    let family = Family::IPV4_UNICAST;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = lab.rib.rib_page(family, after, 7);
        seen.extend(page.entries.iter().map(|entry| entry.prefix.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, prefixes);
    let page = lab.rib.adj_in_page(peer(2), family, None, 7);
    assert_eq!(page.entries.len(), 7);
    assert_eq!(page.entries[0].0, net("10.40.0.0/16"));
    let page = lab.rib.adj_in_page(peer(2), family, page.next, 7);
    assert_eq!((page.entries.len(), page.next), (3, None));
    assert_eq!(lab.rib.longest_match(&net("10.44.1.1/32")).unwrap().prefix, net("10.44.0.0/16"));
    assert!(lab.rib.longest_match(&net("192.0.2.1/32")).is_none());
}

#[test]
fn ipv4_goes_over_ipv6_to_peers_that_can_read_it() {
    let mut lab = Lab::new(config());
    let over_v6 = |number: u32| PeerParams {
        remote_address: format!("2001:db8::{number}").parse().unwrap(),
        local_address_v4: None,
        ..params(number, 65_000 + number)
    };
    let extended = EncodeContext { extended_next_hop: true, ..EncodeContext::new() };
    lab.up(PeerParams { encode: extended, ..over_v6(1) }, 1);
    lab.up(over_v6(2), 2);
    lab.originate(vec![own("10.1.0.0/16")]);
    lab.drain();
    let next_hop = lab.mirrors[&peer(1)].routes[&(net("10.1.0.0/16"), 0)].next_hop.unwrap();
    assert_eq!(next_hop.address(), "2001:db8::100".parse::<IpAddr>().unwrap());
    assert!(lab.told(2).is_empty());
    assert_eq!(lab.not_advertised(2, "10.1.0.0/16"), NotAdvertised::NoNextHop);
}
