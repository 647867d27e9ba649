//! Addresses that are kept for a Service, whether it exists or not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::sync::Arc;

use jiff::SignedDuration;
use lbipam::service::Port;
use lbipam::{ServiceKey, Settings};
use serde_json::json;
use world::{World, annotate, ask};

const GRACE: &str = "rutter.dev/reservation-grace";

fn kept(world: &mut World, name: &str, grace: &str) {
    world.service(name, |service| annotate(service, GRACE, grace));
}

fn spec(world: &World, name: &str) -> serde_json::Value {
    serde_json::to_value(&world.reservations[name].spec).unwrap()
}

/// Status and reason of the condition.
fn condition(world: &World, name: &str) -> String {
    let status = world.reservations[name].status.as_ref().unwrap();
    let condition = &status.conditions[0];
    format!("{:?} {} {}", condition.status, condition.reason, condition.message)
}

#[test]
fn a_service_that_is_made_again_gets_what_it_had() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.service("first", |_| ());
    kept(&mut world, "web", "1h");
    world.run();
    let name = "svc.a.web";
    assert_eq!(
        spec(&world, name),
        json!({"addresses": ["10.0.0.1"], "gracePeriod": "1h0m0s", "serviceRef": {"namespace": "a", "name": "web"}})
    );
    assert_eq!(condition(&world, name), "True reserved ");
    assert_eq!(
        world.reservations[name].metadata.labels.as_ref().unwrap().values().next().unwrap(),
        "rutter-operator"
    );
    world.delete("web");
    world.delete("first");
    world.service("next", |_| ());
    world.service("third", |_| ());
    world.service("asks", |service| ask(service, "10.0.0.1"));
    world.run();
    assert_eq!((world.ips("next"), world.ips("third")), (vec!["10.0.0.0".into()], vec!["10.0.0.2".into()]));
    assert_eq!((world.ips("asks").len(), world.reason("asks")), (0, "reserved".into()));
    assert!(world.reservations[name].status.as_ref().unwrap().released_at.is_some());
    assert_eq!(world.ipam.poll_deadline(), Some(world.now + SignedDuration::from_hours(1)));
    world.pass(3599);
    world.restart();
    assert!(world.run().is_empty());
    kept(&mut world, "web", "1h");
    world.run();
    assert_eq!(
        (world.ips("web"), world.reason("asks")),
        (vec!["10.0.0.1".into()], "already_allocated".into())
    );
    assert!(world.reservations[name].status.as_ref().unwrap().released_at.is_none());
    world.delete("web");
    world.run();
    world.pass(3601);
    world.run();
    assert!(world.reservations.is_empty());
    assert_eq!(world.ips("asks"), ["10.0.0.1"]);
}

#[test]
fn a_service_deleted_while_nobody_looked_is_waited_for() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    kept(&mut world, "web", "1h");
    world.run();
    let key = ServiceKey::new("a", "web");
    world.services.remove(&key).unwrap();
    world.service("next", |_| ());
    world.restart();
    world.run();
    assert_eq!(world.ips("next"), ["10.0.0.1"]);
}

#[test]
fn what_is_not_written_yet_is_kept_all_the_same() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    kept(&mut world, "web", "1h");
    world.ipam.plan(world.now);
    world.delete("web");
    world.service("next", |_| ());
    world.run();
    assert_eq!(world.ips("next"), ["10.0.0.1"]);
    assert!(world.reservations["svc.a.web"].status.as_ref().unwrap().released_at.is_some());
}

#[test]
fn the_reservation_follows_its_service() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    kept(&mut world, "web", "1000h");
    world.run();
    assert_eq!(spec(&world, "svc.a.web")["gracePeriod"], "24h0m0s", "no longer than the settings allow");
    world.edit("web", |service| ask(service, "10.0.0.5"));
    world.run();
    assert_eq!(spec(&world, "svc.a.web")["addresses"], json!(["10.0.0.5"]));
    // Somebody deletes it, or changes it: it is put right.
    world.reservations.clear();
    world.tell_reservations();
    world.run();
    assert_eq!(spec(&world, "svc.a.web")["addresses"], json!(["10.0.0.5"]));
    world.edit("web", |service| annotate(service, GRACE, "0"));
    world.run();
    assert!(world.reservations.is_empty());
    world.edit("web", |service| annotate(service, GRACE, "soon"));
    world.run();
    assert_eq!((world.ips("web"), world.reason("web")), (vec!["10.0.0.5".into()], "invalid_request".into()));
    assert!(world.message("web").contains("\"soon\" is no duration"));
    let off = Settings { reservation_grace_limit: SignedDuration::ZERO, ..Settings::default() };
    let mut world = World::with(off);
    world.pool("p", &["10.0.0.0/29"]);
    kept(&mut world, "web", "1h");
    world.run();
    assert!(world.reservations.is_empty());
}

#[test]
fn a_person_reserves_before_there_is_a_service() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    world.reserve("for-web", "web", &["10.0.0.0", "10.0.0.x"], None);
    world.service("other", |_| ());
    world.run();
    assert_eq!(world.ips("other"), ["10.0.0.1"]);
    assert!(
        condition(&world, "for-web")
            .starts_with("False invalid_spec spec.addresses[1]: \"10.0.0.x\" is no IP address")
    );
    assert_eq!(world.ipam.pools().next().unwrap().ipv4.used.to_string(), "2");
    world.pass(1_000_000);
    world.service("web", |_| ());
    world.run();
    assert_eq!(world.ips("web"), ["10.0.0.0"]);
    assert!(world.reservations.contains_key("for-web"));
    // What is reserved and cannot be had is waited for; nothing else is taken.
    world.reserve("for-db", "db", &["10.0.0.1"], None);
    world.service("db", |_| ());
    world.run();
    assert_eq!((world.ips("db").len(), world.reason("db")), (0, "already_allocated".into()));
    assert_eq!(condition(&world, "for-db"), "False in_use 10.0.0.1 is in use by a/other, and stays there");
    world.delete("other");
    world.run();
    assert_eq!(
        (world.ips("db"), condition(&world, "for-db")),
        (vec!["10.0.0.1".into()], "True reserved ".into())
    );
}

#[test]
fn whoever_shares_goes_on_sharing() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    for (name, port) in [("one", 80), ("two", 81)] {
        kept(&mut world, name, "1h");
        world.edit(name, |service| {
            annotate(service, "lbipam.cilium.io/sharing-key", "k");
            service.ports = [Port { port, protocol: Some("TCP".into()) }].into();
        });
    }
    world.run();
    assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.0".into()], vec!["10.0.0.0".into()]));
    let two = world.services[&ServiceKey::new("a", "two")].clone();
    world.delete("one");
    world.delete("two");
    world.run();
    world.service("two", |service| {
        service.annotations = two.annotations.clone();
        service.ports = two.ports.clone();
    });
    world.run();
    assert_eq!(world.ips("two"), ["10.0.0.0"]);
}

#[test]
fn who_has_lost_its_address_for_good_keeps_it_from_others_for_a_time_only() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/29"]);
    kept(&mut world, "web", "1h");
    world.run();
    world.pool_with("p", &["10.0.0.0/29"], json!({"spec": {"serviceSelector": {"matchLabels": {"a": "b"}}}}));
    world.service("next", |service| service.labels = [("a", "b")].into_iter().collect());
    world.run();
    assert_eq!((world.ips("web").len(), world.ips("next")), (0, vec!["10.0.0.1".into()]));
    world.pass(3600);
    world.run();
    assert!(world.reservations.is_empty());
    world.service("third", |service| service.labels = [("a", "b")].into_iter().collect());
    world.run();
    assert_eq!(world.ips("third"), ["10.0.0.0"]);
}

#[test]
fn what_is_kept_counts_against_the_quota() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/29"], json!({"metadata": {"annotations": {"rutter.dev/quota": "*=1"}}}));
    kept(&mut world, "web", "1h");
    world.run();
    world.delete("web");
    world.service("next", |_| ());
    world.run();
    assert_eq!(world.reason("next"), "quota_exceeded");
    kept(&mut world, "web", "1h");
    world.run();
    assert_eq!(world.ips("web"), ["10.0.0.0"], "its own does not");
    world.service("elsewhere", |service| service.key = Arc::new(ServiceKey::new("b", "elsewhere")));
    world.run();
    assert_eq!(world.ips("b/elsewhere"), ["10.0.0.1"]);
    world.edit("web", |service| annotate(service, GRACE, "0"));
    world.run();
    world.delete("web");
    world.run();
    assert_eq!(world.ips("next"), ["10.0.0.0"]);
}
