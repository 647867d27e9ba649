//! Who gets what, who keeps what, and what the condition says: rule by rule.

mod world;

use lbipam::plan::Release;
use lbipam::service::{FamilyPolicy, Ingress, Port};
use lbipam::{Cause, Family};
use serde_json::json;
use world::{World, annotate, ask, causes, ip};

const KEY: &str = "lbipam.cilium.io/sharing-key";

#[test]
fn the_lowest_free_one_and_one_write() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/30"], json!({"spec": {"allowFirstLastIPs": "No"}}));
    for name in ["one", "two", "three"] {
        world.service(name, |_| ());
    }
    let plans = world.run();
    assert_eq!(
        (world.ips("one"), world.ips("two"), world.ips("three")),
        (vec!["10.0.0.1".into()], vec!["10.0.0.2".into()], vec![])
    );
    assert_eq!((world.reason("one"), world.reason("three")), ("satisfied".into(), "out_of_ips".into()));
    assert_eq!((plans.len(), plans[0].services.len()), (1, 3), "one write each");
    world.delete("one");
    world.run();
    assert_eq!(world.ips("three"), ["10.0.0.1"], "whoever waits is served when something is freed");
}

#[test]
fn dormant_without_pools_and_adopted_with_the_first() {
    let mut world = World::new();
    world.service("one", |service| service.ingress = [Ingress::of(ip("10.0.0.7"))].into());
    world.service("two", |_| ());
    assert_eq!(world.run().len(), 0);
    world.pool("p", &["10.0.0.0/29"]);
    let plans = world.run();
    assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.7".into()], vec!["10.0.0.0".into()]));
    assert_eq!(causes(&plans)[0], ("one".to_owned(), Cause::Adopted));
    world.restart();
    assert_eq!(world.run().len(), 0, "what says everything already is left alone");
}

#[test]
fn families_and_specific_addresses() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29", "fd00::/64"]);
    world.service("dual", |service| service.family_policy = FamilyPolicy::PreferDualStack);
    world.service("six", |service| service.families = [Family::V6].into());
    world.service("asks", |service| {
        service.load_balancer_ip = Some("10.0.0.5".into());
        ask(service, "fd00::5, 10.0.0.5,10.9.9.9");
    });
    world.run();
    assert_eq!(world.ips("dual"), ["10.0.0.0", "fd00::"]);
    assert_eq!(world.ips("six"), ["fd00::1"]);
    assert_eq!(
        (world.ips("asks"), world.reason("asks")),
        (vec!["10.0.0.5".into(), "fd00::5".into()], "no_pool".into())
    );
    world.service("late", |service| ask(service, "10.0.0.5"));
    world.run();
    assert_eq!((world.ips("late").len(), world.reason("late")), (0, "already_allocated".into()));
    world.edit("asks", |service| {
        service.load_balancer_ip = None;
        ask(service, "fd00::5");
    });
    let plans = world.run();
    assert_eq!((world.ips("asks"), world.ips("late")), (vec!["fd00::5".into()], vec!["10.0.0.5".into()]));
    assert!(causes(&plans).contains(&(
        "asks".to_owned(),
        Cause::Released { address: ip("10.0.0.5"), why: Release::NotRequested }
    )));
    assert!(
        plans[0].services.iter().all(|change| &*change.service.key.name != "late"),
        "not before the status lets go of it"
    );
}

#[test]
fn a_typing_error_gives_no_other_address_and_takes_none() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("one", |service| ask(service, "10.0.0.x"));
    world.service("two", |service| ask(service, "10.0.0.3"));
    world.run();
    assert_eq!((world.ips("one").len(), world.reason("one")), (0, "invalid_request".into()));
    world.edit("two", |service| ask(service, "10.0.0.3x, 10.0.0.4"));
    world.run();
    assert_eq!(
        (world.ips("two"), world.reason("two")),
        (vec!["10.0.0.3".into(), "10.0.0.4".into()], "invalid_request".into())
    );
    assert!(world.message("two").contains("\"10.0.0.3x\""));
    world.edit("two", |service| ask(service, "10.0.0.4"));
    world.run();
    assert_eq!((world.ips("two"), world.reason("two")), (vec!["10.0.0.4".into()], "satisfied".into()));
}

#[test]
fn a_pool_that_is_off_or_in_conflict_takes_nothing_away_at_restart_either() {
    let mut world = World::new();
    world.pool_with(
        "old",
        &["10.0.0.0/29"],
        json!({"metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"}}),
    );
    world.pool_with(
        "young",
        &["10.0.1.0/29"],
        json!({"metadata": {"creationTimestamp": "2024-01-02T00:00:00Z"}}),
    );
    world.service("one", |_| ());
    world.service("two", |service| ask(service, "10.0.1.1"));
    world.run();
    world.pool_with(
        "old",
        &["10.0.0.0/29", "10.0.1.0/24"],
        json!({"spec": {"disabled": false}, "metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"}}),
    );
    for _ in 0..2 {
        world.run();
        assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.0".into()], vec!["10.0.1.1".into()]));
        world.restart();
    }
    world.pool_with(
        "old",
        &["10.0.0.0/29", "10.0.1.0/24"],
        json!({"spec": {"disabled": true}, "metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"}}),
    );
    world.service("three", |service| ask(service, "10.0.0.6"));
    for _ in 0..2 {
        world.run();
        assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.0".into()], vec!["10.0.1.1".into()]));
        assert_eq!(world.reason("three"), "no_pool");
        world.restart();
    }
}

#[test]
fn a_renamed_pool_moves_nothing_and_a_deleted_one_nothing_before_its_time() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.pool("q", &["10.0.1.0/29"]);
    world.service("one", |service| ask(service, "10.0.0.5"));
    world.service("two", |service| ask(service, "10.0.0.6"));
    world.run();
    world.edit("one", |service| ask(service, ""));
    world.delete_pool("p");
    assert_eq!(world.run().len(), 0);
    assert_eq!(world.ipam.poll_deadline(), Some(world.now + jiff::SignedDuration::from_secs(30)));
    world.pass(29);
    assert_eq!(world.run().len(), 0);
    world.pool("renamed", &["10.0.0.0/28"]);
    world.pass(100);
    world.run();
    assert_eq!((world.ips("one"), world.ipam.poll_deadline()), (vec!["10.0.0.5".into()], None));
    world.delete_pool("renamed");
    world.run();
    world.pass(30);
    let plans = world.run();
    assert_eq!(plans[0].services.len(), 2, "moved or released in one write");
    assert_eq!((world.ips("one"), world.reason("one")), (vec!["10.0.1.0".into()], "satisfied".into()));
    assert_eq!((world.ips("two").len(), world.reason("two")), (0, "no_pool".into()));
    world.delete_pool("q");
    world.pass(30);
    world.run();
    world.pass(30);
    world.run();
    assert_eq!((world.ips("one").len(), world.reason("one")), (0, "no_pool".into()));
    world.service("three", |_| ());
    assert_eq!((world.run().len(), world.reason("three")), (0, String::new()), "dormant again");
}

#[test]
fn a_block_that_goes_and_a_selector_that_changes_move_at_once() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29", "10.0.1.0/29"]);
    world.service("one", |_| ());
    world.run();
    world.pool("p", &["10.0.1.0/29"]);
    let plans = world.run();
    assert_eq!((world.ips("one"), plans[0].services.len()), (vec!["10.0.1.0".into()], 1));
    world.pool_with("p", &["10.0.1.0/29"], json!({"spec": {"serviceSelector": {"matchLabels": {"a": "b"}}}}));
    world.run();
    assert_eq!((world.ips("one").len(), world.reason("one")), (0, "no_pool".into()));
}

fn shares(world: &mut World, name: &str, port: u16) {
    world.service(name, |service| {
        annotate(service, KEY, "k");
        service.ports = [Port { port, protocol: Some("TCP".into()) }].into();
    });
}

#[test]
fn a_key_is_one_address_as_far_as_ports_allow() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    for (name, port) in [("a", 80), ("b", 81), ("c", 80), ("d", 82)] {
        shares(&mut world, name, port);
    }
    world.run();
    let ips = |world: &World| ["a", "b", "c", "d"].map(|name| world.ips(name).concat());
    assert_eq!(ips(&world), ["10.0.0.0", "10.0.0.0", "10.0.0.1", "10.0.0.0"]);
    assert_eq!(world.ipam.pools().next().unwrap().ipv4.used.to_string(), "2");
    world.restart();
    assert_eq!(world.run().len(), 0);
    // The member that changes moves, even if it is the oldest one.
    world.edit("a", |service| service.ports = [Port { port: 81, protocol: Some("TCP".into()) }].into());
    world.run();
    assert_eq!(ips(&world), ["10.0.0.1", "10.0.0.0", "10.0.0.1", "10.0.0.0"]);
    world.edit("b", |service| annotate(service, KEY, ""));
    world.run();
    assert_eq!(ips(&world), ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.0"]);
}

#[test]
fn a_follower_is_served_out_of_pools_that_select_it_only() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/29"], json!({"spec": {"serviceSelector": {"matchLabels": {"a": "b"}}}}));
    shares(&mut world, "leader", 80);
    world.edit("leader", |service| service.labels = [("a", "b")].into_iter().collect());
    shares(&mut world, "follower", 81);
    world.run();
    assert_eq!((world.ips("leader"), world.ips("follower").len()), (vec!["10.0.0.0".into()], 0));
    assert_eq!(world.reason("follower"), "no_pool");
    world.edit("follower", |service| service.labels = [("a", "b")].into_iter().collect());
    world.run();
    assert_eq!(world.ips("follower"), ["10.0.0.0"]);
}

#[test]
fn one_address_in_two_statuses_stays_with_the_elder() {
    let mut world = World::new();
    let has = |service: &mut lbipam::Service| service.ingress = [Ingress::of(ip("10.0.0.3"))].into();
    world.service("elder", has);
    world.service("younger", has);
    world.pool("p", &["10.0.0.0/29"]);
    world.run();
    assert_eq!(
        (world.ips("elder"), world.ips("younger")),
        (vec!["10.0.0.3".into()], vec!["10.0.0.0".into()])
    );
}

#[test]
fn whoever_stops_being_ours_leaves_without_a_trace_and_others_entries_stay() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("one", |_| ());
    world.service("other", |service| {
        service.class = Some("example.com/lb".into());
        service.ingress = [Ingress::of(ip("10.0.0.1"))].into();
    });
    world.service("two", |_| ());
    world.run();
    assert_eq!(world.ips("two"), ["10.0.0.2"], "what stands in any status is nobody else's");
    world.edit("one", |service| {
        let mut ingress = service.ingress.to_vec();
        ingress.push(Ingress::of(ip("192.0.2.1")));
        service.ingress = ingress.into();
        service.class = Some("example.com/lb".into());
    });
    world.run();
    assert_eq!((world.ips("one"), world.reason("one")), (vec!["192.0.2.1".into()], String::new()));
    assert_eq!((world.ips("other"), world.reason("other")), (vec!["10.0.0.1".into()], String::new()));
}

#[test]
fn entries_keep_what_others_wrote_into_them() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29", "fd00::/120"]);
    let full = Ingress { ip_mode: Some("VIP".into()), ..Ingress::of(ip("10.0.0.3")) };
    let hostname = Ingress { hostname: Some("x.example".into()), ..Ingress::default() };
    world.service("one", |service| service.ingress = [hostname.clone(), full.clone(), full.clone()].into());
    world.run();
    world.edit("one", |service| service.ingress = [full.clone(), hostname.clone()].into());
    assert_eq!(world.run().len(), 0, "a hostname alone is no reason to write");
    world.edit("one", |service| service.family_policy = FamilyPolicy::RequireDualStack);
    world.run();
    assert_eq!(*world.services.values().next().unwrap().ingress, [full, Ingress::of(ip("fd00::"))]);
}

#[test]
fn a_status_that_somebody_emptied_is_put_right() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("one", |_| ());
    world.service("two", |_| ());
    world.run();
    world.edit("one", |service| service.ingress = [].into());
    world.run();
    assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.0".into()], vec!["10.0.0.1".into()]));
    // Another leader gave it another address: what stands in the status counts.
    world.edit("one", |service| service.ingress = [Ingress::of(ip("10.0.0.4"))].into());
    assert_eq!(world.run().len(), 0, "nothing to write, the counts are the same too");
    assert_eq!(world.ips("one"), ["10.0.0.4"]);
}

#[test]
fn a_thousand_mistakes_fit_into_a_condition() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/24"]);
    world.service("a", |service| ask(service, &"x,".repeat(10_000)));
    world.run();
    assert_eq!(world.reason("a"), "invalid_request");
    let message = world.message("a");
    assert!(message.len() < 32_768 && message.ends_with("more"), "{} {message}", message.len());
    world.service("b", |service| {
        ask(service, &(0..500).map(|n| format!("192.0.2.{},", n % 256)).collect::<String>())
    });
    world.run();
    assert_eq!(world.reason("b"), "no_pool");
    assert!(world.message("b").len() < 32_768);
}
