//! Routes of a peer that restarts: kept, freshened, swept (RFC 4724 §4.2).

use super::*;

const V4: Family = Family::IPV4_UNICAST;

impl Lab {
    pub(super) fn lose(&mut self, number: u32, families: FamilySet) -> u32 {
        self.mirrors.remove(&peer(number));
        let kept = self.rib.peer_down_stale(peer(number), families, FamilySet::EMPTY, self.now);
        self.check();
        kept
    }

    pub(super) fn sweep(&mut self, number: u32, family: Family) -> u32 {
        let swept = self.rib.sweep_stale(peer(number), family);
        self.check();
        swept
    }

    fn stale(&self, number: u32) -> Vec<String> {
        let page = self.rib.adj_in_page(peer(number), V4, None, 100);
        let stale = page.entries.into_iter().filter(|(_, path)| path.stale);
        stale.map(|(prefix, _)| prefix.to_string()).collect()
    }
}

#[test]
fn a_restart_that_ends_well_is_heard_by_nobody() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.drain();
    assert_eq!(lab.lose(1, FamilySet::ALL), 2);
    assert_eq!(lab.stale(1), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].standing, Standing::Best);
    for other in [2, 3] {
        assert!(lab.drain_one(other).is_empty(), "{other} was told something");
    }
    lab.up(params(1, 65_001), 1);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.rib.counters(peer(1), V4).unwrap().stale, 0);
    assert_eq!(lab.sweep(1, V4), 0);
    assert_eq!(lab.sweep(1, Family::IPV6_UNICAST), 0);
    assert!(lab.drain_one(2).is_empty() && lab.drain_one(3).is_empty());
    lab.drain();
    assert!(lab.told(1).is_empty(), "its own routes do not come back to it");
}

#[test]
fn exactly_what_was_not_sent_again_is_swept() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"]);
    lab.drain();
    lab.lose(1, FamilySet::ALL);
    lab.up(params(1, 65_001), 1);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.announce(1, &via(1, "65001 65009"), &["10.2.0.0/16"]);
    lab.withdraw(1, &["10.3.0.0/16"]);
    assert_eq!(lab.stale(1), ["10.4.0.0/16"]);
    let counters = lab.rib.counters(peer(1), V4).unwrap();
    assert_eq!((counters.received, counters.stale), (3, 1));
    assert_eq!(lab.sweep(1, V4), 1);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(lab.rib.kept(peer(1)), FamilySet::IPV6_UNICAST);
}

#[test]
fn families_that_are_not_kept_go_at_once_and_an_old_restart_does_not_count_twice() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.announce(1, &via_v6(1, "65001"), &["2001:db8:1::/48"]);
    lab.drain();
    assert_eq!(lab.lose(1, FamilySet::IPV4_UNICAST), 2);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16", "10.2.0.0/16"]);
    lab.up(params(1, 65_001), 1);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    // Down again before it was done: what was stale then is too old now.
    assert_eq!(lab.lose(1, FamilySet::ALL), 1);
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16"]);
    assert_eq!(lab.sweep(1, V4), 1);
    assert!(lab.rib.counters(peer(1), V4).is_some(), "one family is still kept");
    lab.sweep(1, Family::IPV6_UNICAST);
    assert!(lab.rib.counters(peer(1), V4).is_none());
    lab.drain();
    assert!(lab.told(2).is_empty());
}

#[test]
fn a_peer_that_is_given_up_takes_its_stale_routes_along() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.lose(1, FamilySet::ALL);
    lab.down(1);
    lab.drain();
    assert!(lab.told(2).is_empty());
    assert_eq!(lab.rib.totals(V4).paths, 0);
}

#[test]
fn another_speaker_at_the_same_address_inherits_nothing() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.lose(1, FamilySet::ALL);
    lab.up(PeerParams { remote_router_id: Ipv4Addr::new(10, 9, 9, 9), ..params(1, 65_001) }, 1);
    assert!(lab.rib.kept(peer(1)).is_empty());
    lab.drain();
    assert!(lab.told(2).is_empty());
}

#[test]
fn stale_routes_lose_and_win_like_others_and_follow_a_changed_policy() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16"]);
    lab.announce(2, &via(2, "65002 65001"), &["10.1.0.0/16"]);
    lab.drain();
    lab.lose(1, FamilySet::ALL);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)), "stale and still the shortest");
    let reject = policy(&["10.1.0.0/16"], Verdict::Reject, Actions::default());
    lab.rib.set_policies(peer(1), Some(reject.clone()), None, lab.now);
    lab.check();
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(2)));
    // Back with the old policy: what was refused is judged again.
    lab.up(params(1, 65_001), 1);
    assert_eq!(lab.entry("10.1.0.0/16").paths[0].peer, Some(peer(1)));
    lab.drain();
}
