//! Update groups: peers come together, fall behind, part and come together again.

use super::*;

fn groups(lab: &Lab) -> usize {
    lab.rib.totals(Family::IPV4_UNICAST).groups
}

#[test]
fn equal_peers_get_the_very_same_octets() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003, OWN_ASN]);
    assert_eq!(groups(&lab), 2);
    lab.originate(vec![own("10.1.0.0/16"), own("10.2.0.0/16")]);
    let (one, two) = (lab.poll(1).unwrap(), lab.poll(2).unwrap());
    assert_eq!(one.as_ptr(), two.as_ptr(), "encoded once");
    let internal = lab.poll(4).unwrap();
    assert_ne!(internal, one);
    lab.drain();
}

#[test]
fn a_new_peer_joins_when_it_has_caught_up() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    lab.announce(1, &via(1, "65001"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.drain();
    assert_eq!(groups(&lab), 1);
    lab.up(params(3, 65_003), 3);
    assert_eq!(groups(&lab), 2);
    // The first group moves on before the new one has caught up.
    lab.withdraw(1, &["10.2.0.0/16"]);
    lab.drain_one(2);
    assert_eq!(lab.drain_one(3).len(), 3, "one route, two End-of-RIB");
    lab.drain();
    assert_eq!(groups(&lab), 1);
    lab.announce(1, &via(1, "65001"), &["10.3.0.0/16"]);
    let (two, three) = (lab.poll(2).unwrap(), lab.poll(3).unwrap());
    assert_eq!(two.as_ptr(), three.as_ptr());
}

#[test]
fn a_peer_that_does_not_read_goes_on_alone_and_costs_no_more_than_its_last_state() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    for round in 1..40 {
        lab.announce(1, &via(1, &format!("65001 {round}")), &["10.1.0.0/16"]);
        lab.drain_one(2);
    }
    assert_eq!(groups(&lab), 2, "peer 3 was left behind");
    // What was in the log when it was left behind, and then only the last of all changes since.
    let late = lab.drain_one(3);
    assert!(late.len() < 15, "{} messages", late.len());
    assert_eq!(lab.mirrors[&peer(3)].routes[&(net("10.1.0.0/16"), 0)].as_path.to_string(), "65000 65001 39");
    lab.drain();
    assert_eq!(groups(&lab), 1, "and is back");
}

#[test]
fn peers_whose_policies_change_together_stay_together() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003, 65_004]);
    lab.originate(vec![own("10.1.0.0/16"), own("10.2.0.0/16")]);
    lab.drain();
    let export = policy(&["10.1.0.0/16"], Verdict::Accept, Actions::default());
    for number in 1..=4 {
        let named = Arc::new(Policy { name: format!("to-{number}").into(), ..Policy::clone(&export) });
        lab.rib.set_policies(peer(number), None, Some(named), lab.now);
        lab.check();
    }
    // The last one found nobody left in the old group and took that along.
    assert_eq!(groups(&lab), 2);
    let (one, two) = (lab.poll(1).unwrap(), lab.poll(2).unwrap());
    assert_eq!(one.as_ptr(), two.as_ptr());
    lab.drain();
    assert_eq!(groups(&lab), 1);
    assert_eq!(lab.told(4), ["10.1.0.0/16"]);
}

/// Two routers of one AS announce the same, so that their routes are exported with equal attributes.
#[test]
fn when_the_source_changes_between_members_only_they_hear_of_it() {
    let mut lab = Lab::with_peers(&[65_001, 65_001, 65_003]);
    lab.announce(2, &via(2, "65001 7"), &["10.1.0.0/16"]);
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/16"]);
    assert!(lab.told(2).is_empty());
    let before = lab.mirrors[&peer(3)].messages;
    // Peer 1 has the lower router ID.
    lab.announce(1, &via(1, "65001 7"), &["10.1.0.0/16"]);
    lab.drain();
    assert!(lab.told(1).is_empty());
    assert_eq!(lab.told(2), ["10.1.0.0/16"]);
    assert_eq!(lab.mirrors[&peer(3)].messages, before, "nothing changed for peer 3");
    lab.withdraw(1, &["10.1.0.0/16"]);
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/16"]);
    assert!(lab.told(2).is_empty());
    assert_eq!(lab.mirrors[&peer(3)].messages, before);
}

#[test]
fn a_source_that_goes_away_takes_nothing_from_the_others() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    lab.announce(1, &via(1, "65001 7"), &["10.1.0.0/16"]);
    lab.announce(2, &via(2, "65002 8 9"), &["10.1.0.0/16"]);
    lab.drain();
    lab.down(1);
    lab.drain();
    assert!(lab.told(2).is_empty(), "the best path is its own now");
    assert_eq!(lab.mirrors[&peer(3)].routes[&(net("10.1.0.0/16"), 0)].as_path.to_string(), "65000 65002 8 9");
    lab.up(params(1, 65_001), 1);
    lab.drain();
    assert_eq!(lab.told(1), ["10.1.0.0/16"]);
    assert_eq!(groups(&lab), 1);
}

#[test]
fn a_full_bucket_leaves_before_everything_is_evaluated() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    let prefixes: Vec<String> =
        (0..3_000).map(|number| format!("10.{}.{}.0/24", number / 250, number % 250)).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    lab.announce(1, &via(1, "65001"), &prefixes);
    let messages = lab.drain_one(2);
    assert_eq!(lab.told(2).len(), 3_000);
    assert_eq!(messages.len(), 3, "as many as it takes");
    assert!(messages[..2].iter().all(|message| message.len() > 4_090));
}
