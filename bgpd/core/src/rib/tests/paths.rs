//! Several paths per prefix (RFC 7911): taken in, chosen from, sent.

use super::*;
use crate::config::PathsSent;

const V4: Family = Family::IPV4_UNICAST;
const TEN: &str = "10.1.0.0/16";

/// A neighbour that takes several paths.
pub(super) fn taking(params: PeerParams, which: PathsSent) -> PeerParams {
    let encode = EncodeContext { add_path: FamilySet::ALL, ..params.encode };
    PeerParams { encode, paths_sent: Some(which), ..params }
}

/// Three external neighbours, and a fourth that takes what `which` says.
fn lab(which: PathsSent) -> Lab {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    lab.up(taking(params(4, 65_004), which), 4);
    lab.drain();
    lab
}

impl Lab {
    /// Path identifiers and AS paths as a neighbour was told them.
    fn paths_told(&self, number: u32) -> Vec<(u32, String)> {
        let routes = self.mirrors[&peer(number)].routes.iter();
        routes.map(|((_, id), attributes)| (*id, attributes.as_path.to_string())).collect()
    }

    fn received(&self, number: u32) -> Vec<(u32, String)> {
        let page = self.rib.adj_in_page(peer(number), V4, None, 100);
        page.entries.iter().map(|(_, path)| (path.path_id, path.received.as_path.to_string())).collect()
    }
}

fn told(paths: &[(u32, &str)]) -> Vec<(u32, String)> {
    paths.iter().map(|(id, path)| (*id, (*path).to_owned())).collect()
}

#[test]
fn paths_of_one_peer_live_and_die_apart() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce_paths(1, &via(1, "65001 7 8"), &[(5, TEN)]);
    lab.announce_paths(1, &via(1, "65001 7"), &[(9, TEN), (9, "10.2.0.0/16")]);
    lab.drain();
    assert_eq!(lab.received(1), told(&[(5, "65001 7 8"), (9, "65001 7"), (9, "65001 7")]));
    let entry = lab.entry(TEN);
    assert_eq!((entry.paths[0].path_id, entry.paths[0].standing), (9, Standing::Best));
    assert_eq!(entry.paths[1].selection, Some(SelectionReason::AsPath));
    let counters = lab.rib.counters(peer(1), V4).unwrap();
    assert_eq!((counters.received, lab.rib.totals(V4).prefixes, lab.rib.totals(V4).paths), (3, 2, 3));
    assert_eq!(
        lab.paths_told(2),
        told(&[(0, "65000 65001 7"), (0, "65000 65001 7")]),
        "one path is enough here"
    );
    // Another route under the same identifier replaces it, and it alone.
    lab.announce_paths(1, &via(1, "65001 7 9 9"), &[(9, TEN)]);
    lab.drain();
    assert_eq!(lab.entry(TEN).paths[0].path_id, 5);
    lab.withdraw_paths(1, &[(7, TEN)]);
    assert_eq!(lab.entry(TEN).paths.len(), 2, "nobody called a path 7");
    lab.withdraw_paths(1, &[(5, TEN)]);
    lab.drain();
    assert_eq!(lab.received(1), told(&[(9, "65001 7 9 9"), (9, "65001 7")]));
    lab.down(1);
    lab.drain();
    assert_eq!((lab.rib.totals(V4).paths, lab.told(2).len()), (0, 0));
}

#[test]
fn every_path_that_may_be_used_is_sent_and_withdrawn_by_its_own_identifier() {
    let mut lab = lab(PathsSent::All);
    lab.announce(2, &via(2, "65002 7"), &[TEN]);
    lab.announce(1, &via(1, "65001 7 8"), &[TEN]);
    lab.announce(3, &via(3, "65003 65000"), &[TEN]);
    lab.drain();
    assert_eq!(
        lab.paths_told(4),
        told(&[(1, "65000 65002 7"), (2, "65000 65001 7 8")]),
        "a looped path is none"
    );
    // The best path goes: the other keeps its identifier.
    lab.withdraw(2, &[TEN]);
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(2, "65000 65001 7 8")]));
    lab.announce(1, &via(1, "65001 9"), &[TEN]);
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(2, "65000 65001 9")]));
    // Own routes are paths as well.
    lab.originate(vec![own(TEN)]);
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(1, "65000"), (2, "65000 65001 9")]));
    assert_eq!(lab.rib.counters(peer(4), V4).unwrap().advertised, 2);
    let sent = lab.rib.advertisement(peer(4), &net(TEN));
    assert!(matches!(&sent, Advertisement::Sent(routes) if routes.len() == 2), "{sent:?}");
    let numbers: Vec<_> = lab.entry(TEN).paths.iter().map(|path| path.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_path_that_changes_without_being_best_is_told_to_those_who_take_all() {
    let mut lab = lab(PathsSent::All);
    lab.announce(1, &via(1, "65001"), &[TEN]);
    lab.announce(2, &via(2, "65002 7"), &[TEN]);
    lab.drain();
    lab.announce(2, &via(2, "65002 8"), &[TEN]);
    assert!(lab.drain_one(3).is_empty(), "the best path is what it was");
    assert_eq!(lab.drain_one(4).len(), 1);
    lab.check_mirrors();
}

#[test]
fn the_best_so_many_and_no_more() {
    let mut lab = lab(PathsSent::Best(2));
    for (number, path) in [(1, "65001 7 8 9"), (2, "65002 7"), (3, "65003 7 8")] {
        lab.announce(number, &via(number, path), &[TEN]);
    }
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(2, "65000 65002 7"), (3, "65000 65003 7 8")]));
    // The third becomes the second best.
    lab.withdraw(2, &[TEN]);
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(1, "65000 65001 7 8 9"), (3, "65000 65003 7 8")]));
    lab.rib.set_paths_sent(peer(4), Some(PathsSent::Best(1)), lab.now);
    lab.check();
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(3, "65000 65003 7 8")]));
    lab.announce(2, &via(2, "65002 7"), &[TEN]);
    lab.rib.set_paths_sent(peer(4), Some(PathsSent::All), lab.now);
    lab.drain();
    assert_eq!(lab.paths_told(4).len(), 3);
}

#[test]
fn nobody_is_sent_its_own_paths_and_rules_hold_for_each_path() {
    let mut lab = Lab::new(config());
    for number in [1, 2, 3] {
        lab.up(taking(params(number, 65_000 + number), PathsSent::All), number);
    }
    lab.up(taking(params(4, OWN_ASN), PathsSent::All), 4);
    lab.up(taking(params(5, OWN_ASN), PathsSent::All), 5);
    lab.drain();
    lab.announce_paths(1, &via(1, "65001 7"), &[(1, TEN)]);
    lab.announce_paths(1, &via(1, "65001 8"), &[(2, TEN)]);
    lab.announce_paths(2, &via(2, "65002"), &[(1, TEN)]);
    let secret = PathAttributes { communities: [Community::NO_EXPORT].into_iter().collect(), ..via(4, "") };
    lab.announce_paths(4, &secret, &[(3, TEN)]);
    lab.drain();
    assert_eq!(lab.paths_told(1), told(&[(3, "65000 65002")]));
    assert_eq!(lab.paths_told(2), told(&[(1, "65000 65001 7"), (2, "65000 65001 8")]));
    assert_eq!(lab.paths_told(3).len(), 3, "all but what may not leave the AS");
    assert_eq!(lab.paths_told(4).len(), 3);
    assert_eq!(lab.paths_told(5).len(), 3, "an internal path is not for another internal peer");
    assert_eq!(lab.rib.families[0].groups.len(), 2, "external ones together, internal ones together");
}

#[test]
fn a_number_that_passes_to_another_peers_path_is_told_right() {
    let mut lab = Lab::new(config());
    for number in [1, 2, 3] {
        lab.up(taking(params(number, 65_000 + number), PathsSent::All), number);
    }
    lab.drain();
    lab.announce(1, &via(1, "65001"), &[TEN]);
    lab.drain();
    // Path 1 was the first peer's and is the second's before anybody was told.
    lab.withdraw(1, &[TEN]);
    lab.announce(2, &via(2, "65002"), &[TEN]);
    lab.drain();
    assert_eq!(lab.paths_told(1), told(&[(1, "65000 65002")]));
    assert_eq!(lab.paths_told(2), told(&[]));
    assert_eq!(lab.paths_told(3), told(&[(1, "65000 65002")]));
}

#[test]
fn a_refresh_and_a_policy_reach_every_path() {
    let mut lab = lab(PathsSent::All);
    lab.announce(1, &via(1, "65001"), &[TEN]);
    lab.announce(2, &via(2, "65002"), &[TEN, "10.2.0.0/16"]);
    lab.drain();
    lab.mirrors.get_mut(&peer(4)).unwrap().refreshing = true;
    lab.rib.refresh_out(peer(4), V4, lab.now);
    lab.check();
    assert_eq!(lab.drain_one(4).len(), 2, "two sets of attributes, two messages");
    let reject = policy(&[TEN], Verdict::Reject, Actions::default());
    lab.rib.set_policies(peer(4), None, Some(reject), lab.now);
    lab.drain();
    assert_eq!(lab.told(4), ["10.2.0.0/16"]);
    lab.rib.set_policies(peer(4), None, None, lab.now);
    lab.drain();
    assert_eq!(lab.told(4).len(), 3);
}

#[test]
fn a_peer_with_too_many_paths_keeps_those_it_has() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    let all: Vec<_> = (1..=6).map(|id| (id, TEN)).collect();
    let outcome = lab.announce_paths(1, &via(1, "65001"), &all);
    assert_eq!((outcome.announced, outcome.crowded), (6, 2));
    assert_eq!(lab.rib.counters(peer(1), V4).unwrap().received, 4);
    lab.withdraw_paths(1, &[(1, TEN), (6, TEN)]);
    assert_eq!(lab.announce_paths(1, &via(1, "65001"), &[(6, TEN)]).crowded, 0);
    lab.drain();
}

#[test]
fn paths_of_a_peer_that_restarts_are_kept_and_swept_one_by_one() {
    let mut lab = lab(PathsSent::All);
    lab.announce_paths(1, &via(1, "65001 7"), &[(1, TEN)]);
    lab.announce_paths(1, &via(1, "65001 8"), &[(2, TEN)]);
    lab.drain();
    assert_eq!(lab.lose(1, FamilySet::ALL), 2);
    assert!(lab.drain_one(4).is_empty());
    lab.up(params(1, 65_001), 1);
    // It is back, and counts its paths from the start: one is as before, one is new, one is not there.
    lab.announce_paths(1, &via(1, "65001 8"), &[(2, TEN)]);
    lab.announce_paths(1, &via(1, "65001 9"), &[(3, TEN)]);
    assert_eq!(lab.sweep(1, V4), 1);
    lab.drain();
    assert_eq!(lab.paths_told(4), told(&[(2, "65000 65001 8"), (3, "65000 65001 9")]));
}
