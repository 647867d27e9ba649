//! Odd corners of what Cilium does, one by one: where we do the same, and where better on purpose.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lbipam::plan::Release;
use lbipam::service::{FamilyPolicy, Ingress, Port, TrafficPolicy};
use lbipam::{Cause, Family, ServiceKey, Settings};
use serde_json::{Value, json};
use world::{World, annotate, ask, causes, ip};

const KEY: &str = "lbipam.cilium.io/sharing-key";
const CROSS: &str = "lbipam.cilium.io/sharing-cross-namespace";

fn aged(second: u32) -> Value {
    json!({"metadata": {"creationTimestamp": format!("2024-01-01T00:00:0{second}Z")}})
}

fn edges(allow: &str) -> Value {
    json!({"spec": {"allowFirstLastIPs": allow}})
}

fn shares(world: &mut World, namespace: &str, name: &str, port: u16) {
    world.service(name, |service| {
        service.key = Arc::new(ServiceKey::new(namespace, name));
        annotate(service, KEY, "k");
        service.ports = [Port { port, protocol: Some("TCP".into()) }].into();
    });
}

#[test]
fn dual_stack_as_far_as_the_cluster_and_the_pools_go() {
    let mut world = World::with(Settings { ipv6: false, ..Settings::default() });
    world.pool("p", &["10.0.0.0/29"]);
    world.service("require", |service| service.family_policy = FamilyPolicy::RequireDualStack);
    world.run();
    assert_eq!(
        (world.ips("require"), world.reason("require")),
        (vec!["10.0.0.0".into()], "satisfied".into())
    );
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("prefer", |service| service.family_policy = FamilyPolicy::PreferDualStack);
    let plans = world.run();
    assert_eq!((world.ips("prefer"), world.reason("prefer")), (vec!["10.0.0.0".into()], "no_pool".into()));
    assert_eq!(plans[0].services.len(), 1);
    world.pool("six", &["fd00::/64"]);
    world.run();
    assert_eq!(
        (world.ips("prefer"), world.reason("prefer")),
        (vec!["10.0.0.0".into(), "fd00::".into()], "satisfied".into())
    );
}

#[test]
fn a_request_may_be_of_any_family_and_what_it_gave_outlives_it() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29", "fd00::/64"]);
    world.service("six", |service| {
        service.families = [Family::V4].into();
        ask(service, "fd00::7");
    });
    world.service("two", |service| ask(service, "10.0.0.3,10.0.0.5"));
    world.run();
    assert_eq!(world.ips("six"), ["fd00::7"]);
    world.edit("two", |service| ask(service, ""));
    assert!(world.run().is_empty());
    assert_eq!(world.ips("two"), ["10.0.0.3", "10.0.0.5"]);
    world.edit("two", |service| ask(service, "10.0.0.5,10.0.0.6"));
    let plans = world.run();
    assert_eq!(world.ips("two"), ["10.0.0.5", "10.0.0.6"]);
    assert_eq!(
        causes(&plans),
        [
            ("two".to_owned(), Cause::Released { address: ip("10.0.0.3"), why: Release::NotRequested }),
            ("two".to_owned(), Cause::Allocated { address: ip("10.0.0.6"), pool: "p".into() }),
        ]
    );
}

#[test]
fn lowest_first_also_after_somebody_claimed_one() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/28"]);
    world.service("claims", |service| ask(service, "10.0.0.10"));
    world.run();
    for (name, address) in [("one", "10.0.0.0"), ("two", "10.0.0.1")] {
        world.service(name, |_| ());
        world.run();
        assert_eq!(world.ips(name), [address]);
    }
}

#[test]
fn edges_come_and_go_under_whoever_has_one() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/30"], edges("Yes"));
    world.service("edge", |_| ());
    world.run();
    for (allow, used) in [("No", "2"), ("Yes", "1"), ("No", "2")] {
        world.pool_with("p", &["10.0.0.0/30"], edges(allow));
        world.run();
        world.restart();
        assert!(world.run().is_empty());
        assert_eq!(world.ips("edge"), ["10.0.0.0"]);
        assert_eq!(world.ipam.pools().next().unwrap().ipv4.used.to_string(), used, "{allow}");
    }
    for (name, key) in [("asks", ""), ("asks-with-key", "k")] {
        world.service(name, |service| {
            ask(service, "10.0.0.3");
            annotate(service, KEY, key);
        });
        world.run();
        assert_eq!((world.ips(name).len(), world.reason(name)), (0, "already_allocated".into()));
    }
    // The same span written as a range has no edges.
    world.pool("p", &["10.0.0.0 - 10.0.0.3"]);
    world.run();
    assert_eq!(world.ips("asks"), ["10.0.0.3"]);
}

#[test]
fn split_merge_and_the_winner_of_a_conflict_deleted() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("low", |service| service.ingress = [Ingress::of(ip("10.0.0.1"))].into());
    world.service("high", |service| service.ingress = [Ingress::of(ip("10.0.0.6"))].into());
    world.run();
    let stay = |world: &mut World| {
        let plans = world.run();
        assert!(plans.iter().all(|plan| plan.services.is_empty()), "{plans:#?}");
        world.pass(60);
        let plans = world.run();
        assert!(plans.iter().all(|plan| plan.services.is_empty()), "{plans:#?}");
    };
    // Split: the new ones are there before, after, or at once.
    world.pool("q", &["10.0.0.0/30"]);
    world.delete_pool("p");
    world.pool("r", &["10.0.0.4/30"]);
    stay(&mut world);
    // Merge.
    world.delete_pool("q");
    world.delete_pool("r");
    world.pool("all", &["10.0.0.0/28"]);
    stay(&mut world);
    // A younger one over it loses; when the older one goes, it serves on with everybody where they are.
    world.pool_with("winner", &["10.0.0.0/28"], aged(1));
    world.delete_pool("all");
    world.pool_with("loser", &["10.0.0.0/27"], aged(2));
    stay(&mut world);
    assert!(world.ipam.pools().find(|pool| &*pool.name == "loser").unwrap().conflict.is_some());
    world.delete_pool("winner");
    stay(&mut world);
    assert!(world.ipam.pools().next().unwrap().conflict.is_none());
}

#[test]
fn one_address_is_not_given_twice_by_a_pool_that_grows_over_another() {
    let mut world = World::new();
    world.pool_with("old", &["10.0.0.0/30"], aged(1));
    world.pool_with("young", &["10.0.0.4/30"], aged(2));
    for name in ["one", "two"] {
        world.service(name, |service| ask(service, if name == "one" { "10.0.0.0" } else { "10.0.0.4" }));
    }
    world.run();
    world.pool_with("old", &["10.0.0.0/29"], aged(1));
    for name in ["a1", "a2", "a3", "a4", "a5", "a6", "late"] {
        world.service(name, |_| ());
    }
    world.run();
    assert_eq!(world.ips("a4"), ["10.0.0.5"], "not the one of the pool that lost");
    assert_eq!(world.reason("late"), "out_of_ips");
}

#[test]
fn pools_are_asked_by_priority_and_equal_ones_by_name() {
    let mut world = World::new();
    world.pool("b", &["10.0.1.0/32"]);
    world.pool("a", &["10.0.0.0/32"]);
    world.pool_with(
        "z",
        &["10.0.2.0/32"],
        json!({"metadata": {"annotations": {"rutter.dev/priority": "1"}}}),
    );
    for name in ["one", "two", "three"] {
        world.service(name, |_| ());
    }
    world.run();
    let ips = ["one", "two", "three"].map(|name| world.ips(name).concat());
    assert_eq!(ips, ["10.0.2.0", "10.0.0.0", "10.0.1.0"]);
}

#[test]
fn who_names_no_pool_gets_none_that_wants_to_be_named() {
    let mut world = World::new();
    world.pool_with(
        "gold",
        &["10.0.0.0/29"],
        json!({"metadata": {"annotations": {"rutter.dev/auto-assign": "false"}}}),
    );
    for (name, pools) in [("one", None), ("two", Some("gold")), ("three", Some("silver"))] {
        world.service(name, |service| {
            if let Some(pools) = pools {
                annotate(service, "rutter.dev/pool", pools);
            }
        });
    }
    world.service("asks", |service| ask(service, "10.0.0.5"));
    world.run();
    assert_eq!((world.ips("two"), world.ips("asks")), (vec!["10.0.0.0".into()], vec!["10.0.0.5".into()]));
    assert!(world.message("one").ends_with("(rutter.dev/auto-assign)"), "{}", world.message("one"));
    assert_eq!((world.reason("one"), world.reason("three")), ("no_pool".into(), "no_pool".into()));
}

#[test]
fn sharing_across_namespaces_needs_both() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/28"]);
    shares(&mut world, "a", "one", 80);
    shares(&mut world, "b", "two", 81);
    world.edit("b/two", |service| annotate(service, CROSS, "*"));
    world.run();
    assert_eq!((world.ips("one"), world.ips("b/two")), (vec!["10.0.0.0".into()], vec!["10.0.0.1".into()]));
    world.edit("one", |service| annotate(service, CROSS, " c, b "));
    assert!(world.run().is_empty(), "who has an address keeps it");
    shares(&mut world, "b", "three", 82);
    world.edit("b/three", |service| annotate(service, CROSS, "a"));
    shares(&mut world, "b", "four", 83);
    world.run();
    assert_eq!(world.ips("b/three"), ["10.0.0.0"], "the address of the oldest member");
    assert_eq!(world.ips("b/four"), ["10.0.0.1"], "its own namespace alone");
}

#[test]
fn a_key_with_a_request_and_what_speaks_against_it() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/28"]);
    shares(&mut world, "a", "leader", 80);
    world.edit("leader", |service| ask(service, "10.0.0.7,10.0.0.5"));
    shares(&mut world, "a", "follower", 81);
    shares(&mut world, "a", "clash", 80);
    world.edit("clash", |service| ask(service, "10.0.0.5"));
    shares(&mut world, "a", "local", 82);
    world.edit("local", |service| {
        ask(service, "10.0.0.7");
        service.traffic_policy = TrafficPolicy::Local;
    });
    world.run();
    assert_eq!(world.ips("follower"), ["10.0.0.5"], "one address, and the lowest one");
    for (name, why) in [("clash", "same port 80/TCP"), ("local", "different externalTrafficPolicy")] {
        assert_eq!(world.reason(name), "already_allocated_incompatible_service");
        assert!(world.message(name).ends_with(why), "{}", world.message(name));
    }
    world.delete("leader");
    world.run();
    assert_eq!((world.ips("clash"), world.ips("local")), (vec!["10.0.0.5".into()], vec!["10.0.0.7".into()]));
}

#[test]
fn a_release_comes_back_before_anybody_else_gets_the_address() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/31"]);
    world.service("one", |service| ask(service, "10.0.0.0"));
    world.service("two", |service| ask(service, "10.0.0.1"));
    world.run();
    world.edit("one", |service| ask(service, "10.0.0.1"));
    world.edit("two", |service| ask(service, "10.0.0.0"));
    let first = world.ipam.plan(world.now);
    assert!(
        first.services.iter().all(|change| change.ingress.as_ref().is_some_and(|ingress| ingress.is_empty()))
    );
    world.run();
    assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.1".into()], vec!["10.0.0.0".into()]));
}

#[test]
fn a_service_made_anew_under_its_name_is_another_one() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("first", |_| ());
    world.service("web", |_| ());
    world.run();
    world.delete("first");
    // The watch shows only the newer one.
    world.service("web", |service| service.created = Some(world_later()));
    world.run();
    assert_eq!(world.ips("web"), ["10.0.0.0"]);
}

fn world_later() -> Timestamp {
    Timestamp::from_second(2_000_000).unwrap() + SignedDuration::from_secs(1)
}

#[test]
fn who_is_being_deleted_is_left_alone_and_blocks_as_long_as_it_is_there() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/31"]);
    world.service("one", |_| ());
    world.run();
    world.edit("one", |service| service.deleting = true);
    world.pool("p", &["10.0.0.0/30"]);
    world.service("two", |service| ask(service, "10.0.0.0"));
    world.service("three", |service| service.deleting = true);
    world.run();
    assert_eq!((world.ips("one"), world.reason("one")), (vec!["10.0.0.0".into()], "satisfied".into()));
    assert_eq!((world.reason("two"), world.reason("three")), ("already_allocated".into(), String::new()));
    world.delete("one");
    world.run();
    assert_eq!(world.ips("two"), ["10.0.0.0"]);
}

#[test]
fn a_malformed_block_takes_nothing_from_anybody() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/30", "10.0.1.0/30"]);
    world.service("one", |service| ask(service, "10.0.1.1"));
    world.service("two", |_| ());
    world.run();
    world.pool("p", &["10.0.0.0/30", "10.0.1.0/33"]);
    for _ in 0..2 {
        let plans = world.run();
        assert!(plans.iter().all(|plan| plan.services.is_empty()));
        world.pass(1000);
        world.restart();
    }
    world.pool("p", &["10.0.0.0/30"]);
    world.pass(1000);
    world.run();
    world.pass(30);
    world.run();
    assert_eq!(
        (world.ips("one").len(), world.reason("one"), world.ips("two")),
        (0, "no_pool".into(), vec!["10.0.0.0".into()])
    );
}
