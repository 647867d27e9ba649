//! How many addresses of a pool a namespace may have.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::sync::Arc;

use lbipam::ServiceKey;
use lbipam::service::Port;
use serde_json::{Value, json};
use world::{World, annotate, ask};

fn quota(text: &str) -> Value {
    json!({"metadata": {"annotations": {"rutter.dev/quota": text}}})
}

fn service(world: &mut World, namespace: &str, name: &str, port: u16, sharing: bool) {
    world.service(name, |service| {
        service.key = Arc::new(ServiceKey::new(namespace, name));
        service.ports = [Port { port, protocol: Some("TCP".into()) }].into();
        if sharing {
            annotate(service, "lbipam.cilium.io/sharing-key", "k");
            annotate(service, "lbipam.cilium.io/sharing-cross-namespace", "*");
        }
    });
}

#[test]
fn a_namespace_gets_as_many_as_it_may_have() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/28"], quota("*=1, b=2"));
    for name in ["a1", "a2", "a3"] {
        service(&mut world, "a", name, 80, false);
    }
    service(&mut world, "b", "b1", 80, false);
    world.service("asks", |service| ask(service, "10.0.0.9"));
    world.run();
    assert_eq!((world.ips("a1"), world.ips("b/b1")), (vec!["10.0.0.0".into()], vec!["10.0.0.1".into()]));
    for name in ["a2", "asks"] {
        assert_eq!((world.reason(name), world.ips(name).len()), ("quota_exceeded".into(), 0));
        assert_eq!(
            world.message(name),
            "namespace a has 1 of the addresses of pool p, and may have 1 (rutter.dev/quota)"
        );
    }
    let view = world.ipam.pools().next().unwrap();
    let used: Vec<_> = view.quotas.iter().map(|quota| (&*quota.namespace, quota.used, quota.limit)).collect();
    assert_eq!(used, [("a", 1, Some(1)), ("b", 1, Some(2))]);
    // Whoever waits longest comes next, and the order is the same at restart.
    world.restart();
    assert!(world.run().is_empty());
    world.delete("a1");
    world.run();
    assert_eq!((world.ips("a2"), world.reason("a3")), (vec!["10.0.0.0".into()], "quota_exceeded".into()));
    world.pool_with("p", &["10.0.0.0/28"], quota("*=3"));
    world.run();
    assert_eq!((world.ips("a3"), world.ips("asks")), (vec!["10.0.0.2".into()], vec!["10.0.0.9".into()]));
    // Lowering takes nothing away.
    world.pool_with("p", &["10.0.0.0/28"], quota("*=0"));
    assert!(world.run().iter().all(|plan| plan.services.is_empty()));
    service(&mut world, "a", "late", 80, false);
    world.run();
    assert!(
        world.message("late").starts_with("namespace a has 3 of the addresses of pool p, and may have 0")
    );
    world.delete("asks");
    world.run();
    assert!(world.message("late").starts_with("namespace a has 2 "), "figures are those of now");
}

#[test]
fn a_shared_address_counts_once_for_each_namespace() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/28"], quota("a=1, b=1"));
    service(&mut world, "a", "a1", 80, true);
    service(&mut world, "a", "a2", 81, true);
    service(&mut world, "b", "b1", 82, true);
    service(&mut world, "b", "b2", 83, false);
    world.run();
    for name in ["a1", "a2", "b/b1"] {
        assert_eq!(world.ips(name), ["10.0.0.0"], "{name}");
    }
    assert_eq!(world.reason("b/b2"), "quota_exceeded");
    world.delete("b/b1");
    world.run();
    assert_eq!(world.ips("b/b2"), ["10.0.0.1"]);
    // The other namespace has one already, so it may not join another one's.
    service(&mut world, "b", "b3", 84, true);
    world.run();
    assert_eq!(world.reason("b/b3"), "quota_exceeded");
}

#[test]
fn a_service_that_moves_counts_once() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/28"], quota("*=1"));
    world.service("one", |_| ());
    world.run();
    world.edit("one", |service| ask(service, "10.0.0.5"));
    let plans = world.run();
    assert_eq!((world.ips("one"), world.reason("one")), (vec!["10.0.0.5".into()], "satisfied".into()));
    assert_eq!(plans[0].services.len(), 1, "in one write");
}

#[test]
fn a_full_namespace_goes_on_to_the_next_pool() {
    let mut world = World::new();
    world.pool_with("p", &["10.0.0.0/28"], quota("a=1"));
    world.pool("q", &["10.0.1.0/32"]);
    for name in ["one", "two", "three"] {
        world.service(name, |_| ());
    }
    world.run();
    assert_eq!((world.ips("one"), world.ips("two")), (vec!["10.0.0.0".into()], vec!["10.0.1.0".into()]));
    assert_eq!(world.reason("three"), "quota_exceeded");
}
