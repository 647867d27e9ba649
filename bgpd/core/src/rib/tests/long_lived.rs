//! Routes that outlive the Restart Time: a last resort, and only for those who know (RFC 9494 §4.2, §4.3, §4.6).

use super::*;

const V4: Family = Family::IPV4_UNICAST;

fn knowing(number: u32, asn: u32, long_lived: LongLived) -> PeerParams {
    PeerParams { long_lived, ..params(number, asn) }
}

/// Neighbour 1 has routes; the others are an external and an internal one that know LLGR_STALE, the same that do not, and
/// an internal one that does not and gets them nevertheless.
fn lab() -> Lab {
    let mut lab = Lab::new(config());
    let (sent, withheld, demoted) = (LongLived::Sent, LongLived::Withheld, LongLived::Demoted);
    for (number, asn, long_lived) in [
        (1, 65_001, withheld),
        (2, 65_002, sent),
        (3, OWN_ASN, sent),
        (4, 65_004, withheld),
        (5, OWN_ASN, withheld),
        (6, OWN_ASN, demoted),
    ] {
        lab.up(knowing(number, asn, long_lived), number);
    }
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    let no_llgr = [Community::NO_LLGR].into_iter().collect();
    lab.announce(1, &PathAttributes { communities: no_llgr, ..via(1, "65001") }, &["10.2.0.0/16"]);
    lab.drain();
    lab
}

impl Lab {
    fn age(&mut self, number: u32) -> (u32, u32) {
        let aged = self.rib.age_stale(peer(number), V4);
        self.check();
        aged
    }

    fn sent_communities(&self, number: u32, prefix: &str) -> Vec<Community> {
        self.mirrors[&peer(number)].routes[&(net(prefix), 0)].communities.to_vec()
    }
}

#[test]
fn a_last_resort_is_told_to_those_who_know() {
    let mut lab = lab();
    assert_eq!(lab.lose(1, FamilySet::IPV4_UNICAST), 2);
    lab.drain();
    for number in 2..=6 {
        assert_eq!(lab.told(number), ["10.1.0.0/16", "10.2.0.0/16"]);
    }
    assert_eq!(lab.age(1), (1, 1), "one of them must not live long");
    lab.drain();
    for number in [2, 3] {
        assert_eq!(lab.told(number), ["10.1.0.0/16"]);
        assert_eq!(lab.sent_communities(number, "10.1.0.0/16"), [Community::LLGR_STALE]);
    }
    for number in [4, 5] {
        assert!(lab.told(number).is_empty());
        assert_eq!(lab.not_advertised(number, "10.1.0.0/16"), NotAdvertised::LongLivedStale);
    }
    assert_eq!(lab.sent_communities(6, "10.1.0.0/16"), [Community::LLGR_STALE, Community::NO_EXPORT]);
    assert_eq!(lab.mirrors[&peer(6)].routes[&(net("10.1.0.0/16"), 0)].local_pref, Some(0));
    assert_eq!(lab.age(1), (0, 0), "once is enough");
    assert_eq!(lab.sweep(1, V4), 1);
    lab.drain();
    assert!((2..=6).all(|number| lab.told(number).is_empty()));
}

#[test]
fn a_changed_mind_about_internal_peers_is_told_at_once() {
    let mut lab = lab();
    lab.lose(1, FamilySet::IPV4_UNICAST);
    lab.age(1);
    lab.drain();
    lab.rib.set_long_lived(peer(5), LongLived::Demoted, lab.now);
    lab.rib.set_long_lived(peer(6), LongLived::Withheld, lab.now);
    lab.drain();
    assert_eq!(lab.told(5), ["10.1.0.0/16"]);
    assert!(lab.told(6).is_empty());
}

#[test]
fn anything_else_is_better_and_a_fresh_one_takes_over() {
    let mut lab = lab();
    lab.announce(2, &via(2, "65002 65003 65003 65001"), &["10.1.0.0/16"]);
    lab.drain();
    lab.lose(1, FamilySet::IPV4_UNICAST);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)));
    lab.age(1);
    let entry = lab.entry("10.1.0.0/16");
    assert_eq!((entry.paths[0].peer, entry.paths[1].long_lived), (Some(peer(2)), true));
    assert_eq!(entry.paths[0].selection, Some(SelectionReason::LongLivedStale));
    lab.drain();
    lab.up(knowing(1, 65_001, LongLived::Sent), 1);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    let entry = lab.entry("10.1.0.0/16");
    assert_eq!((entry.paths[0].peer, entry.paths[0].long_lived), (Some(peer(1)), false));
    assert_eq!(lab.rib.counters(peer(1), V4).unwrap().stale, 0);
    lab.drain();
}

#[test]
fn what_a_peer_marks_itself_is_a_last_resort_too() {
    let mut lab = lab();
    let marked = [Community::LLGR_STALE].into_iter().collect();
    lab.announce(2, &PathAttributes { communities: marked, ..via(2, "65002") }, &["10.5.0.0/16"]);
    lab.announce(3, &via(3, "65009 65009 65009"), &["10.5.0.0/16"]);
    assert_eq!(lab.entry("10.5.0.0/16").paths[0].peer, Some(peer(3)));
    lab.drain();
    lab.withdraw(3, &["10.5.0.0/16"]);
    lab.drain();
    assert_eq!(lab.told(3), ["10.1.0.0/16", "10.2.0.0/16", "10.5.0.0/16"]);
    assert_eq!(lab.told(4), ["10.1.0.0/16", "10.2.0.0/16"], "passed on only to those who know");
    // Kept over a restart of its own, it is what it was.
    lab.lose(2, FamilySet::IPV4_UNICAST);
    assert_eq!(lab.age(2), (1, 0));
    lab.up(knowing(2, 65_002, LongLived::Sent), 2);
    let marked = [Community::LLGR_STALE].into_iter().collect();
    lab.announce(2, &PathAttributes { communities: marked, ..via(2, "65002") }, &["10.5.0.0/16"]);
    let path = &lab.entry("10.5.0.0/16").paths[0];
    assert!(!path.stale && !path.long_lived);
    lab.drain();
}

#[test]
fn a_policy_sees_the_mark_and_cannot_take_it_off() {
    let mut lab = lab();
    lab.lose(1, FamilySet::IPV4_UNICAST);
    lab.age(1);
    let statement = Statement {
        name: "last resorts".into(),
        families: Vec::new(),
        prefixes: Vec::new(),
        any_community: vec![crate::policy::CommunityMatch::Standard(Community::LLGR_STALE)],
        sources: Vec::new(),
        action: Verdict::Accept,
        set: Actions { local_preference: Some(7), ..Actions::default() },
    };
    let import =
        Policy { name: "test".into(), default_action: Verdict::Reject, statements: [statement].into() };
    lab.rib.set_policies(peer(1), Some(Arc::new(import)), None, lab.now);
    lab.check();
    let path = &lab.entry("10.1.0.0/16").paths[0];
    assert_eq!(path.attributes.local_pref, Some(7));
    assert!(path.attributes.communities.contains(&Community::LLGR_STALE));
    lab.drain();
}
