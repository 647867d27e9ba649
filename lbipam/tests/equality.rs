//! Once everything is written, an allocator that was there all along and one that has just started agree, and neither of the
//! rules that protect people is broken on the way: random programs of edits.

#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lbipam::service::{FamilyPolicy, Ingress, Port, TrafficPolicy};
use lbipam::sharing;
use lbipam::{Family, Ipam, Service};
use proptest::prelude::*;
use serde_json::json;
use world::{World, annotate, ask};

/// One step of a program. Numbers choose among few names, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Service {
        name: u8,
        edit: Edit,
    },
    Delete {
        name: u8,
    },
    Pool {
        name: u8,
        blocks: u8,
        selector: u8,
        disabled: bool,
        edges: bool,
        age: u8,
        quota: u8,
    },
    DeletePool {
        name: u8,
    },
    Pass {
        seconds: u8,
    },
    Plan,
    Run,
    Restart,
    /// A person reserves addresses for a Service, or takes that back.
    Reserve {
        name: u8,
        addresses: Option<u8>,
        grace: bool,
    },
    /// The status is what somebody else made of it.
    Status {
        name: u8,
        last: Option<u8>,
    },
}

#[derive(Clone, Debug)]
enum Edit {
    Ask(u8),
    Key(u8, u8),
    Dual(u8),
    Label(u8),
    Class(bool),
    Local(bool),
    Age(u8),
    Deleting,
    Keep(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (0u8..10).prop_map(Edit::Ask),
        4 => (0u8..4, 0u8..3).prop_map(|(key, port)| Edit::Key(key, port)),
        2 => (0u8..4).prop_map(Edit::Dual),
        2 => (0u8..3).prop_map(Edit::Label),
        1 => any::<bool>().prop_map(Edit::Class),
        1 => any::<bool>().prop_map(Edit::Local),
        1 => (0u8..4).prop_map(Edit::Age),
        1 => Just(Edit::Deleting),
        3 => (0u8..4).prop_map(Edit::Keep),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..7, edit()).prop_map(|(name, edit)| Step::Service { name, edit }),
        3 => (0u8..7).prop_map(|name| Step::Delete { name }),
        6 => (0u8..4, 0u8..9, 0u8..4, prop::bool::weighted(0.2), any::<bool>(), 0u8..3, 0u8..6).prop_map(
            |(name, blocks, selector, disabled, edges, age, quota)| Step::Pool { name, blocks, selector, disabled, edges, age, quota }
        ),
        2 => (0u8..4).prop_map(|name| Step::DeletePool { name }),
        1 => (1u8..40).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Plan),
        3 => Just(Step::Run),
        1 => Just(Step::Restart),
        1 => (0u8..7, prop::option::of(0u8..12)).prop_map(|(name, last)| Step::Status { name, last }),
        2 => (0u8..7, prop::option::of(0u8..12), any::<bool>())
            .prop_map(|(name, addresses, grace)| Step::Reserve { name, addresses, grace }),
    ]
}

const BLOCKS: [&[&str]; 9] = [
    &["10.0.0.0/30"],
    &["10.0.0.0/29"],
    &["10.0.0.4 - 10.0.0.6", "10.0.0.0/31"],
    &["10.0.0.8/30", "fd00::/126"],
    &["fd00::4/127"],
    &["10.0.0.2 - 10.0.0.9", "nonsense"],
    &[],
    &["10.0.0.8 - 10.0.0.8"],
    &["10.0.0.0/30", "10.0.0.8/30", "fd00::/64"],
];

fn name(number: u8) -> String {
    format!("s{number}")
}

fn apply(world: &mut World, step: &Step) {
    match step {
        Step::Service { name: number, edit } => {
            let name = name(*number);
            let exists = world.services.keys().any(|key| *key.name == *name);
            if !exists {
                world.service(&name, |service| {
                    let at = 999_000 + i64::from(*number % 4);
                    service.created = Some(jiff::Timestamp::from_second(at).unwrap());
                    if number % 3 == 2 {
                        service.key = Arc::new(lbipam::ServiceKey::new("b", &*name));
                    }
                });
            }
            let full = if number % 3 == 2 { format!("b/{name}") } else { name };
            world.edit(&full, |service| change(service, edit));
        }
        Step::Delete { name: number } => {
            let name = name(*number);
            let full = if number % 3 == 2 { format!("b/{name}") } else { name.clone() };
            if world.services.keys().any(|key| *key.name == *name) {
                world.delete(&full);
            }
        }
        Step::Pool { name, blocks, selector, disabled, edges, age, quota } => {
            let selector = match selector {
                0 => json!({"matchLabels": {"tier": "1"}}),
                1 => json!({"matchLabels": {"io.kubernetes.service.namespace": "a"}}),
                _ => json!(null),
            };
            let quota = ["*=1", "a=2, b=1", "b=0, a=1"].get(usize::from(*quota));
            let annotations = quota.map(|quota| json!({"rutter.dev/quota": quota}));
            let more = json!({
                "metadata": {"annotations": annotations, "creationTimestamp": format!("2024-01-0{}T00:00:00Z", 1 + age)},
                "spec": {"serviceSelector": selector, "disabled": disabled,
                    "allowFirstLastIPs": if *edges { "Yes" } else { "No" }},
            });
            world.pool_with(&format!("p{name}"), BLOCKS[usize::from(*blocks)], more);
        }
        Step::DeletePool { name } => {
            let name = format!("p{name}");
            if world.pools.contains_key(&name) {
                world.delete_pool(&name);
            }
        }
        Step::Pass { seconds } => world.pass((*seconds).into()),
        Step::Plan => {
            world.ipam.plan(world.now);
        }
        Step::Run => {
            world.run();
        }
        Step::Restart => world.restart(),
        Step::Reserve { name: number, addresses, grace } => {
            let service = if number % 3 == 2 { format!("b/{}", name(*number)) } else { name(*number) };
            match addresses {
                Some(last) => {
                    let address = format!("10.0.0.{last}");
                    let six = format!("fd00::{last}");
                    world.reserve("by-hand", &service, &[&address, &six], grace.then_some("30s"));
                }
                None => {
                    world.reservations.remove("by-hand");
                    world.tell_reservations();
                }
            }
        }
        Step::Status { name: number, last } => {
            let found = world.services.values().find(|service| *service.key.name == *name(*number)).cloned();
            if let Some(found) = found {
                let mut service = Service::clone(&found);
                let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
                service.ingress = last.iter().map(|last| Ingress::of(ip(*last))).collect();
                world.put(service);
            }
        }
    }
}

fn change(service: &mut Service, edit: &Edit) {
    match edit {
        Edit::Ask(0..=3) => ask(service, ""),
        Edit::Ask(4) => ask(service, "10.0.0.5,10.0.0.x"),
        Edit::Ask(5) => ask(service, "fd00::1, 10.0.0.2"),
        Edit::Ask(last) => ask(service, &format!("10.0.0.{last}")),
        Edit::Key(key, port) => {
            annotate(service, "lbipam.cilium.io/sharing-key", ["", "", "k", "l"][usize::from(*key)]);
            annotate(service, "lbipam.cilium.io/sharing-cross-namespace", if *port == 0 { "" } else { "*" });
            service.ports = [Port { port: 80 + u16::from(*port), protocol: Some("TCP".into()) }].into();
        }
        Edit::Dual(0) => service.family_policy = FamilyPolicy::SingleStack,
        Edit::Dual(1) => service.families = [Family::V6].into(),
        Edit::Dual(2) => service.families = [].into(),
        Edit::Dual(_) => service.family_policy = FamilyPolicy::RequireDualStack,
        Edit::Label(tier) => service.labels = [("tier", tier.to_string())].into_iter().collect(),
        Edit::Class(other) => service.class = other.then(|| "example.com/lb".into()),
        Edit::Local(local) => {
            service.traffic_policy = if *local { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
        }
        Edit::Age(age) => service.created = jiff::Timestamp::from_second(998_000 + i64::from(*age)).ok(),
        Edit::Deleting => service.deleting = true,
        Edit::Keep(grace) => {
            annotate(service, "rutter.dev/reservation-grace", ["0", "20s", "1h", "x"][usize::from(*grace)]);
        }
    }
}

/// No two that may not share are at one address, by status.
fn never_twice(world: &World) {
    let mut at: BTreeMap<IpAddr, Vec<&Service>> = BTreeMap::new();
    for service in world.services.values().filter(|service| service.class.is_none() && !service.deleting) {
        for ip in service.ingress.iter().filter_map(|entry| entry.ip) {
            at.entry(ip).or_default().push(service);
        }
    }
    for (ip, services) in at {
        for (index, one) in services.iter().enumerate() {
            for other in services.iter().skip(index + 1) {
                assert!(
                    sharing::compatible(one, other).is_ok(),
                    "{ip} has both {} and {}",
                    one.key,
                    other.key
                );
            }
        }
    }
}

/// Everything written and all time of grace over.
fn settle(world: &mut World) {
    for _ in 0..4 {
        world.run();
        world.pass(60);
    }
    assert!(world.run().is_empty());
}

fn counts_add_up(world: &World) {
    for pool in world.ipam.pools() {
        for family in [pool.ipv4, pool.ipv6] {
            assert_eq!(family.total, family.used + family.available, "{}", pool.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_new_allocator_has_nothing_to_add(steps in prop::collection::vec(step(), 1..40), turn in 0usize..8) {
        let mut world = World::new();
        for step in &steps {
            apply(&mut world, step);
        }
        settle(&mut world);
        counts_add_up(&world);
        if !world.pools.is_empty() {
            never_twice(&world);
        }
        // The same objects, in any order.
        let mut fresh = Ipam::new(world.ipam.settings().clone());
        let mut services: Vec<_> = world.services.values().cloned().collect();
        let middle = turn.min(services.len());
        services.rotate_left(middle);
        let early = turn % 2 == 0;
        if early {
            fresh.handle_pools(world.pools.values().cloned().collect(), world.now);
        }
        for service in services {
            fresh.handle_service(service);
        }
        if !early {
            fresh.handle_pools(world.pools.values().cloned().collect(), world.now);
        }
        fresh.handle_reservations(world.reservations.values().cloned().collect());
        let plan = fresh.plan(world.now);
        prop_assert!(
            plan.services.is_empty() && plan.pools.is_empty() && plan.reservations.is_empty(),
            "{plan:#?}"
        );
        let held = |ipam: &Ipam| ipam.addresses().map(|(ip, holders)| (ip, holders.len())).collect::<Vec<_>>();
        if !world.pools.is_empty() {
            prop_assert_eq!(held(&fresh), held(&world.ipam));
        }
    }

    #[test]
    fn the_order_between_two_plans_plays_no_part(steps in prop::collection::vec(step(), 1..30), turn in 0usize..8) {
        let mut world = World::new();
        for step in &steps {
            apply(&mut world, step);
        }
        // All services and the pools as they are now, in two orders, for two allocators that know nothing.
        let plans: Vec<_> = [0, turn]
            .into_iter()
            .map(|turn| {
                let mut ipam = Ipam::new(world.ipam.settings().clone());
                let mut services: Vec<_> = world.services.values().cloned().collect();
                let middle = turn.min(services.len());
                services.rotate_left(middle);
                for service in services.iter().skip(turn / 2).chain(services.iter().take(turn / 2)) {
                    ipam.handle_service(Arc::clone(service));
                }
                ipam.handle_pools(world.pools.values().cloned().collect(), world.now);
                ipam.handle_reservations(world.reservations.values().cloned().collect());
                ipam.plan(world.now)
            })
            .collect();
        prop_assert_eq!(&plans[0], &plans[1]);
    }
}
