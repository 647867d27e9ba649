//! What pools do to allocation beyond blocks and selectors: ranges of the cluster, edits that wait, forecasts.

mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use lbipam::status::{COVERS_CLUSTER_RANGE, EDIT_STAGED, IPS_AVAILABLE, NEARLY_FULL};
use lbipam::{ClusterRange, RangeUse, Settings};
use proptest::prelude::*;
use rutter_crds::{AllowFirstLastIPs, CiliumLoadBalancerIPPool};
use serde_json::json;

use crate::world::World;

fn annotate(pool: &mut CiliumLoadBalancerIPPool, key: &str, value: &str) {
    pool.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}

fn annotation(world: &World, pool: &str, key: &str) -> Option<String> {
    world.pools[pool].metadata.annotations.as_ref()?.get(key).cloned()
}

fn blocks(pool: &mut CiliumLoadBalancerIPPool, blocks: &[&str]) {
    let blocks: Vec<_> = blocks.iter().map(|cidr| json!({"cidr": cidr})).collect();
    pool.spec.blocks = serde_json::from_value(json!(blocks)).expect("blocks");
}

/// A pool of two blocks with safe shrink, and a Service in each.
fn shrinkable() -> World {
    let mut world = World::new();
    let metadata = json!({"uid": "u", "generation": 1, "annotations": {"rutter.dev/safe-shrink": "true"}});
    world.pool_with("p", &["10.0.0.0/31", "10.0.1.0/31"], json!({"metadata": metadata}));
    for name in ["a", "b", "c"] {
        world.service(name, |_| {});
    }
    world.run();
    assert_eq!((world.ips("a"), world.ips("b"), world.ips("c")), of("10.0.0.0", "10.0.0.1", "10.0.1.0"));
    world
}

fn of(a: &str, b: &str, c: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    (vec![a.to_owned()], vec![b.to_owned()], vec![c.to_owned()])
}

#[test]
fn an_edit_waits_while_anybody_would_move() {
    let mut world = shrinkable();
    world.edit_pool("p", |pool| blocks(pool, &["10.0.1.0/31", "10.0.2.0/31"]));
    let plans = world.run();
    assert!(plans.iter().all(|plan| plan.services.is_empty()), "nobody moves: {plans:?}");
    assert_eq!(
        world.condition("p", EDIT_STAGED),
        "True would_move by this spec 2 addresses in use would move: 10.0.0.0 of a/a; 10.0.0.1 of a/b; they stay, and nothing \
         new is given of what it takes away. Once nobody has them the edit is accepted by itself; to move them now: kubectl \
         annotate ciliumloadbalancerippool p --overwrite rutter.dev/confirm-edit=2"
    );
    // What it adds counts at once, what it takes away is given to nobody.
    assert_eq!(world.condition("p", IPS_AVAILABLE), "Unknown noreason 3");
    for name in ["d", "e"] {
        world.service(name, |_| {});
    }
    world.service("f", |service| world::ask(service, "10.0.0.1"));
    world.delete("b");
    world.run();
    assert_eq!((world.ips("d"), world.ips("e")), (vec!["10.0.1.1".to_owned()], vec!["10.0.2.0".to_owned()]));
    assert_eq!(world.reason("f"), "no_pool");
    assert!(
        world
            .condition("p", EDIT_STAGED)
            .contains("by this spec 1 address in use would move: 10.0.0.0 of a/a;")
    );
    // A replica that starts anew knows.
    world.restart();
    assert!(world.run().is_empty());
    // The last one goes: accepted by itself.
    world.delete("a");
    world.run();
    assert_eq!(world.condition("p", EDIT_STAGED), "");
    let accepted = annotation(&world, "p", "rutter.dev/accepted-spec").unwrap();
    assert_eq!(accepted, serde_json::to_string(&[&world.pools["p"].spec]).unwrap());
}

#[test]
fn a_confirmed_edit_moves_and_confirms_no_later_one() {
    let mut world = shrinkable();
    world.edit_pool("p", |pool| blocks(pool, &["10.0.1.0/31", "10.0.2.0/31"]));
    world.run();
    world.edit_pool("p", |pool| annotate(pool, "rutter.dev/confirm-edit", "2"));
    world.run();
    assert_eq!((world.ips("a"), world.ips("b"), world.ips("c")), of("10.0.1.1", "10.0.2.0", "10.0.1.0"));
    assert_eq!(world.condition("p", EDIT_STAGED), "");
    world.edit_pool("p", |pool| blocks(pool, &["10.0.2.0/31"]));
    world.run();
    assert_eq!((world.ips("a"), world.ips("b"), world.ips("c")), of("10.0.1.1", "10.0.2.0", "10.0.1.0"));
    assert!(world.condition("p", EDIT_STAGED).ends_with("rutter.dev/confirm-edit=3"));
    // Taken back: as if it had never been.
    world.edit_pool("p", |pool| blocks(pool, &["10.0.1.0/31", "10.0.2.0/31"]));
    world.run();
    assert_eq!(world.condition("p", EDIT_STAGED), "");
}

#[test]
fn a_selector_waits_too_and_another_pool_that_covers_moves_nobody() {
    let mut world = shrinkable();
    world.edit_pool("p", |pool| {
        let selector = json!({"matchLabels": {"app": "web"}});
        pool.spec.service_selector = serde_json::from_value(selector).unwrap();
    });
    world.service("d", |_| {});
    world.run();
    assert_eq!((world.ips("a"), world.reason("d").as_str()), (vec!["10.0.0.0".to_owned()], "no_pool"));
    assert!(world.condition("p", EDIT_STAGED).contains("3 addresses in use would move"));
    // Who fits stays by the new spec.
    world.edit("a", |service| service.labels = [("app", "web")].into_iter().collect());
    world.run();
    assert!(world.condition("p", EDIT_STAGED).contains("2 addresses in use would move: 10.0.0.1 of a/b;"));
    // So does who is covered elsewhere, whatever conflict that is.
    world.pool("q", &["10.0.0.0/23"]);
    world.run();
    assert_eq!(world.condition("p", EDIT_STAGED), "");
    assert_eq!((world.ips("a"), world.ips("b"), world.ips("c")), of("10.0.0.0", "10.0.0.1", "10.0.1.0"));
}

#[test]
fn an_address_that_many_share_is_one() {
    let mut world = World::new();
    let metadata = json!({"generation": 1, "annotations": {"rutter.dev/safe-shrink": "true"}});
    world.pool_with("p", &["10.0.0.0/31"], json!({"metadata": metadata}));
    for port in 0..5 {
        world.service(&format!("s{port}"), |service| {
            world::annotate(service, "lbipam.cilium.io/sharing-key", "k");
            service.ports = [lbipam::service::Port { port: 80 + port, protocol: Some("TCP".into()) }].into();
        });
    }
    world.run();
    world.edit_pool("p", |pool| blocks(pool, &[]));
    world.run();
    let said = world.condition("p", EDIT_STAGED);
    let shown = "1 address in use would move: 10.0.0.0 of a/s0, a/s1, a/s2 and 2 more; they stay";
    assert!(said.contains(shown), "{said}");
}

#[test]
fn replacing_the_object_does_not_confirm() {
    let mut world = shrinkable();
    world.edit_pool("p", |pool| {
        pool.metadata.annotations.as_mut().unwrap().remove("rutter.dev/accepted-spec");
        blocks(pool, &["10.0.1.0/31"]);
    });
    world.run();
    assert_eq!(world.ips("a"), ["10.0.0.0"]);
    assert!(annotation(&world, "p", "rutter.dev/accepted-spec").unwrap().contains("10.0.0.0/31"));
    world.restart();
    assert!(world.run().is_empty());
    assert_eq!(world.ips("a"), ["10.0.0.0"]);
}

#[test]
fn a_pool_over_ranges_of_the_cluster_gives_nothing_new_and_takes_nothing_away() {
    let node =
        |net: &str| ClusterRange { net: net.parse().unwrap(), what: RangeUse::Node, of: "Node w1".into() };
    let mut world = World::with(Settings { refuse_cluster_ranges: true, ..Settings::default() });
    world.pool("p", &["10.0.0.0/24"]);
    assert!(world.ipam.needs_cluster_ranges());
    world.service("a", |_| {});
    world.run();
    world.ipam.handle_cluster_ranges(vec![node("192.0.2.1/32"), node("10.0.0.9/32")]);
    world.service("b", |_| {});
    world.service("c", |service| world::ask(service, "10.0.0.77"));
    world.run();
    assert_eq!((world.ips("a"), world.reason("b").as_str()), (vec!["10.0.0.0".to_owned()], "no_pool"));
    assert_eq!(
        world.message("c"),
        "pool p has 10.0.0.77, and gives nothing new, since it has addresses of the cluster itself"
    );
    assert!(world.condition("p", COVERS_CLUSTER_RANGE).starts_with(
        "True overlap nothing new is given out of this pool: 10.0.0.0 - 10.0.0.255 overlaps 10.0.0.9/32 (node addresses of \
         Node w1);"
    ));
    // A restart takes nothing away, a node that leaves opens the pool.
    world.restart();
    world.ipam.handle_cluster_ranges(vec![node("10.0.0.9/32"), node("192.0.2.1/32")]);
    assert!(world.run().is_empty());
    world.ipam.handle_cluster_ranges(vec![node("192.0.2.1/32")]);
    world.run();
    assert_eq!((world.ips("a"), world.ips("b"), world.ips("c")), of("10.0.0.0", "10.0.0.1", "10.0.0.77"));
    assert_eq!(world.condition("p", COVERS_CLUSTER_RANGE), "");
}

#[test]
fn nobody_who_did_not_ask_is_refused() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/24"]);
    assert!(!world.ipam.needs_cluster_ranges());
    let net = "10.0.0.0/8".parse().unwrap();
    world.ipam.handle_cluster_ranges(vec![ClusterRange { net, what: RangeUse::Pods, of: "Node w1".into() }]);
    world.service("a", |_| {});
    world.run();
    assert_eq!(world.ips("a"), ["10.0.0.0"]);
}

#[test]
fn a_pool_that_is_full_soon_says_so_on_every_replica_alike() {
    const DAY: i64 = 86_400;
    let mut world = World::new();
    world.now = Timestamp::from_second(1_000 * DAY).unwrap();
    let metadata = json!({"annotations": {"rutter.dev/forecast-days": "5"}});
    world.pool_with("p", &["10.0.0.0/28"], json!({"metadata": metadata}));
    for index in 0..7 {
        // One a day, the last one now.
        let created = world.now - SignedDuration::from_secs((6 - index) * DAY);
        world.service(&format!("s{index}"), |service| service.created = Some(created));
    }
    world.run();
    assert_eq!(world.condition("p", NEARLY_FULL), "", "9 left at 1 a day");
    for index in 7..11 {
        let now = world.now;
        world.service(&format!("s{index}"), |service| service.created = Some(now));
    }
    world.run();
    let said = "True nearly_full 5 of 16 IPv4 addresses are free, and 11 were taken in the last 7 days (1.6 a day): at this rate \
                the last one goes in 3 days; add a block to spec.blocks (rutter.dev/forecast-days is 5)";
    assert_eq!(world.condition("p", NEARLY_FULL), said);
    let view = world.ipam.pools().next().unwrap();
    assert_eq!((view.forecast[0].days_to_full, view.forecast[0].warns_below_days), (Some(3), Some(5)));
    world.restart();
    assert!(world.run().is_empty(), "another replica says the same");
    // Nothing happens, time passes: the plan says when to look again.
    for _ in 0..8 * 24 {
        let due = world.ipam.poll_deadline().unwrap();
        assert!(world.now < due && due <= world.now + SignedDuration::from_hours(1));
        world.now = due;
        world.run();
    }
    assert_eq!(world.condition("p", NEARLY_FULL), "");
}

#[test]
fn without_a_forecast_nothing_is_due() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/28"]);
    world.service("a", |_| {});
    world.run();
    assert_eq!(world.ipam.poll_deadline(), None);
    assert!(world.ipam.pools().next().unwrap().forecast.is_empty());
}

/// One step of a program about pools that have everything switched on.
#[derive(Clone, Debug)]
enum Step {
    Blocks { pool: u8, blocks: u8 },
    Selector { pool: u8, selector: u8 },
    Edges { pool: u8, no: bool },
    Confirm { pool: u8 },
    Unannotate { pool: u8 },
    Service { name: u8, label: u8 },
    Delete { name: u8 },
    Node { last: Option<u8> },
    Pass { hours: u8 },
    Restart,
}

const BLOCKS: [&[&str]; 7] = [
    &["10.0.0.0/29"],
    &["10.0.0.0/30"],
    &["10.0.0.4/30", "10.0.0.0/31"],
    &["10.0.0.8/29"],
    &["10.0.0.2/31", "10.0.0.8/30"],
    &["10.0.0.0/29", "nonsense"],
    &[],
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..2, 0u8..7).prop_map(|(pool, blocks)| Step::Blocks { pool, blocks }),
        3 => (0u8..2, 0u8..4).prop_map(|(pool, selector)| Step::Selector { pool, selector }),
        1 => (0u8..2, any::<bool>()).prop_map(|(pool, no)| Step::Edges { pool, no }),
        2 => (0u8..2).prop_map(|pool| Step::Confirm { pool }),
        1 => (0u8..2).prop_map(|pool| Step::Unannotate { pool }),
        6 => (0u8..8, 0u8..3).prop_map(|(name, label)| Step::Service { name, label }),
        2 => (0u8..8).prop_map(|name| Step::Delete { name }),
        1 => prop::option::of(0u8..16).prop_map(|last| Step::Node { last }),
        1 => (1u8..40).prop_map(|hours| Step::Pass { hours }),
        1 => Just(Step::Restart),
    ]
}

fn apply(world: &mut World, cluster: &mut Vec<ClusterRange>, step: &Step) {
    let pool = |number: &u8| format!("p{number}");
    match step {
        Step::Blocks { pool: number, blocks: chosen } => {
            world.edit_pool(&pool(number), |pool| blocks(pool, BLOCKS[usize::from(*chosen)]));
        }
        Step::Selector { pool: number, selector } => world.edit_pool(&pool(number), |pool| {
            let selector = match selector {
                0 => json!({"matchLabels": {"tier": "1"}}),
                1 => json!({"matchExpressions": [{"key": "tier", "operator": "In"}]}),
                _ => json!(null),
            };
            pool.spec.service_selector = serde_json::from_value(selector).expect("a selector");
        }),
        Step::Edges { pool: number, no } => world.edit_pool(&pool(number), |pool| {
            pool.spec.allow_first_last_ips = no.then_some(AllowFirstLastIPs::No);
        }),
        Step::Confirm { pool: number } => world.edit_pool(&pool(number), |pool| {
            let generation = pool.metadata.generation.unwrap_or_default();
            annotate(pool, "rutter.dev/confirm-edit", &generation.to_string());
        }),
        Step::Unannotate { pool: number } => world.edit_pool(&pool(number), |pool| {
            pool.metadata.annotations.get_or_insert_default().remove("rutter.dev/accepted-spec");
        }),
        Step::Service { name, label } => {
            let (name, now) = (format!("s{name}"), world.now);
            if !world.services.keys().any(|key| *key.name == *name) {
                world.service(&name, |service| service.created = Some(now));
            }
            let labels = [("tier", label.to_string())];
            world.edit(&name, |service| service.labels = labels.into_iter().collect());
        }
        Step::Delete { name } => {
            let name = format!("s{name}");
            if world.services.keys().any(|key| *key.name == *name) {
                world.delete(&name);
            }
        }
        Step::Node { last } => {
            let net = |last| format!("10.0.0.{last}/32").parse().expect("a CIDR");
            let node = |last| ClusterRange { net: net(last), what: RangeUse::Node, of: "Node w1".into() };
            *cluster = last.iter().copied().map(node).collect();
            world.ipam.handle_cluster_ranges(cluster.clone());
        }
        Step::Pass { hours } => world.pass(i64::from(*hours) * 3600),
        Step::Restart => {
            world.restart();
            world.ipam.handle_cluster_ranges(cluster.clone());
        }
    }
}

/// Addresses by Service, as the statuses say.
fn statuses(world: &World) -> BTreeMap<String, Vec<String>> {
    world.services.keys().map(|key| (key.name.to_string(), world.ips(&key.name))).collect()
}

/// Counts by looking at every single address.
fn counts_are_right(world: &World) {
    for view in world.ipam.pools() {
        let pool = lbipam::Pool::parse(world.pools[&*view.name].clone(), world.ipam.settings());
        let all = (0..=255).map(|last| IpAddr::from([10, 0, 0, last])).filter(|ip| pool.covers(*ip));
        let used = |ip: &IpAddr| !world.ipam.occupants(*ip).is_empty() || pool.is_edge(*ip);
        let (total, used) = (all.clone().count(), all.filter(used).count());
        let (counted, free) = (view.ipv4, total - used);
        assert_eq!(
            [counted.total, counted.used, counted.available].map(|count| count.to_string()),
            [total, used, free].map(|count| count.to_string()),
            "{}",
            view.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_takes_an_address_away_unasked(steps in prop::collection::vec(step(), 1..40)) {
        let settings = Settings {
            safe_shrink: true,
            refuse_cluster_ranges: true,
            forecast_days: Some(3),
            // What goes goes at once, so that each step shows what it does.
            grace: SignedDuration::ZERO,
            ..Settings::default()
        };
        let mut world = World::with(settings);
        let mut cluster = Vec::new();
        for (name, block) in [("p0", "10.0.0.0/29"), ("p1", "10.0.0.8/29")] {
            world.pool_with(name, &[block], json!({"metadata": {"uid": name, "generation": 1}}));
        }
        world.run();
        for step in &steps {
            let before = statuses(&world);
            apply(&mut world, &mut cluster, step);
            world.run();
            if !matches!(step, Step::Confirm { .. } | Step::Service { .. } | Step::Delete { .. }) {
                for (name, addresses) in statuses(&world) {
                    prop_assert!(before[&name].is_empty() || before[&name] == addresses, "{name} moved by {step:?}");
                }
            }
            counts_are_right(&world);
        }
        // Another replica has nothing to add, and sees the same.
        let seen: Vec<_> = world.ipam.pools().collect();
        world.restart();
        world.ipam.handle_cluster_ranges(cluster);
        let plans = world.run();
        prop_assert!(plans.is_empty(), "{plans:#?}");
        prop_assert_eq!(seen, world.ipam.pools().collect::<Vec<_>>());
    }
}
