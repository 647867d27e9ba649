//! ONLY_TO_CUSTOMER by role (RFC 9234 §5), and sessions that are about to end (RFC 8326).

use bgp_wire::Role;

use super::*;

fn with_role(number: u32, asn: u32, role: Role) -> PeerParams {
    PeerParams { role: Some(role), ..params(number, asn) }
}

/// Towards neighbours 1 to 5 we are provider, rs-server, rs-client, customer and peer; 6 and 7 have no role, 7 is internal.
fn lab() -> Lab {
    let mut lab = Lab::new(config());
    let roles = [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer];
    for (number, role) in (1..).zip(roles) {
        lab.up(with_role(number, 65_000 + number, role), number);
    }
    lab.up(params(6, 65_006), 6);
    lab.up(params(7, OWN_ASN), 7);
    lab.drain();
    lab
}

fn marked(number: u32, as_path: &str, asn: u32) -> PathAttributes {
    PathAttributes { only_to_customer: Some(asn), ..via(number, as_path) }
}

impl Lab {
    fn sent_mark(&self, number: u32, prefix: &str) -> Option<Option<u32>> {
        self.mirrors[&peer(number)].routes.get(&(net(prefix), 0)).map(|route| route.only_to_customer)
    }
}

#[test]
fn what_comes_from_above_or_beside_goes_down_only() {
    // From rs, provider and peer: marked with their AS where it is not yet.
    for (from, asn) in [(3, 65_003), (4, 65_004), (5, 65_005)] {
        for attributes in [via(from, &asn.to_string()), marked(from, &asn.to_string(), asn)] {
            let mut lab = lab();
            lab.announce(from, &attributes, &["10.1.0.0/16"]);
            lab.drain();
            for to in (1..=7).filter(|to| *to != from) {
                let goes = matches!(to, 1 | 2 | 6 | 7);
                assert_eq!(lab.sent_mark(to, "10.1.0.0/16"), goes.then_some(Some(asn)), "{from} to {to}");
                if !goes {
                    assert_eq!(lab.not_advertised(to, "10.1.0.0/16"), NotAdvertised::OnlyToCustomer);
                }
            }
        }
    }
}

#[test]
fn what_comes_from_below_or_is_our_own_goes_everywhere_and_is_marked_on_the_way_down() {
    for from in [1, 2, 6] {
        let mut lab = lab();
        lab.announce(from, &via(from, &(65_000 + from).to_string()), &["10.1.0.0/16"]);
        lab.originate(vec![own("10.2.0.0/16")]);
        lab.drain();
        for to in 1..=7 {
            let mark = matches!(to, 1 | 2 | 5).then_some(OWN_ASN);
            assert_eq!(lab.sent_mark(to, "10.2.0.0/16"), Some(mark), "our own to {to}");
            if to != from {
                assert_eq!(lab.sent_mark(to, "10.1.0.0/16"), Some(mark), "{from} to {to}");
            }
        }
    }
}

#[test]
fn leaks_are_not_used_and_say_why() {
    for (from, asn, value, leak) in [
        (1, 65_001, 65_001, true),
        (2, 65_002, 65_009, true),
        (5, 65_005, 65_009, true),
        (5, 65_005, 65_005, false),
        (3, 65_003, 65_009, false),
        (4, 65_004, 65_009, false),
        (6, 65_006, 65_009, false),
        (7, 65_007, 65_009, false),
    ] {
        let mut lab = lab();
        lab.announce(from, &marked(from, &asn.to_string(), value), &["10.1.0.0/16"]);
        let path = &lab.entry("10.1.0.0/16").paths[0];
        let expected = if leak { Standing::Ineligible(Ineligible::RouteLeak) } else { Standing::Best };
        assert_eq!(path.standing, expected, "from {from}");
        assert_eq!(path.received.only_to_customer, Some(value), "as received");
    }
}

#[test]
fn a_neighbour_that_says_it_leaves_is_the_last_choice() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, OWN_ASN]);
    let leaving = PathAttributes {
        communities: [Community::GRACEFUL_SHUTDOWN].into_iter().collect(),
        ..via(1, "65001")
    };
    lab.announce(2, &via(2, "65002 65003 65001"), &["10.1.0.0/16"]);
    lab.announce(1, &leaving, &["10.1.0.0/16"]);
    let entry = lab.entry("10.1.0.0/16");
    assert_eq!(entry.paths[0].peer, Some(peer(2)));
    assert_eq!(entry.paths[1].attributes.local_pref, Some(0));
    // A policy does not make it better.
    let better = Actions { local_preference: Some(500), ..Actions::default() };
    lab.rib.set_policies(peer(1), Some(policy(&[], Verdict::Accept, better)), None, lab.now);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(2)));
    lab.rib.set_policies(peer(1), None, None, lab.now);
    // Who is not believed is as good as ever.
    lab.rib.set_drain(peer(1), false, true, lab.now);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)));
    lab.drain();
    // Within the AS LOCAL_PREF itself says so.
    lab.announce(3, &PathAttributes { local_pref: Some(100), ..leaving.clone() }, &["10.2.0.0/16"]);
    assert_eq!(lab.entry("10.2.0.0/16").paths[0].attributes.local_pref, Some(100));
    lab.drain();
}

#[test]
fn draining_tells_external_peers_by_community_and_internal_ones_by_preference() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, OWN_ASN]);
    lab.originate(vec![own("10.9.0.0/16")]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.announce(2, &via(2, "65002 65003 65001"), &["10.1.0.0/16"]);
    lab.drain();
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)));
    for number in [1, 3] {
        lab.rib.set_drain(peer(number), true, false, lab.now);
    }
    lab.check();
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(2)), "traffic leaves the session, too");
    lab.drain();
    let sent = |lab: &Lab, number: u32, prefix: &str| {
        let route = &lab.mirrors[&peer(number)].routes[&(net(prefix), 0)];
        (route.communities.contains(&Community::GRACEFUL_SHUTDOWN), route.local_pref)
    };
    assert_eq!(sent(&lab, 1, "10.9.0.0/16"), (true, None));
    assert_eq!(sent(&lab, 2, "10.9.0.0/16"), (false, None));
    assert_eq!(sent(&lab, 3, "10.9.0.0/16"), (false, Some(0)));
    for number in [1, 3] {
        lab.rib.set_drain(peer(number), false, false, lab.now);
    }
    lab.drain();
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)));
    assert_eq!(sent(&lab, 1, "10.9.0.0/16"), (false, None));
    assert_eq!(sent(&lab, 3, "10.9.0.0/16"), (false, Some(100)));
}
