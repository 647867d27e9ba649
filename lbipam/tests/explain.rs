//! Explanations and what-ifs say what the allocator does, and change nothing.

#![allow(clippy::unwrap_used, reason = "what is missing in a test's world is a mistake of the test")]

mod world;

use std::collections::BTreeMap;

use lbipam::explain::Answer;
use lbipam::plan::Release;
use lbipam::service::{FamilyPolicy, Ingress};
use lbipam::world::Effect;
use lbipam::{Cause, Explanation, ServiceKey, Settings};
use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use world::{World, annotate, ask, ip};

fn explained(world: &World, name: &str) -> Explanation {
    world.ipam.explain(&ServiceKey::new("a", name), world.now).unwrap()
}

/// Pool and word of each answer.
fn words(explanation: &Explanation) -> Vec<(&str, &str)> {
    let pools = explanation.pools.iter();
    pools.flat_map(|pool| pool.answers.iter().map(|answer| (&*pool.pool, answer.word))).collect()
}

fn message<'e>(explanation: &'e Explanation, pool: &str) -> &'e Answer {
    &explanation.pools.iter().find(|one| *one.pool == *pool).unwrap().answers[0]
}

#[test]
fn every_pool_has_its_answer() {
    let mut world = World::new();
    let selects = json!({"spec": {"serviceSelector": {"matchLabels": {"tier": "gold"}}}});
    world.pool_with("a-gold", &["10.1.0.0/24"], selects);
    world.pool("b-six", &["fd00::/64"]);
    world.pool_with("c-off", &["10.2.0.0/24"], json!({"spec": {"disabled": true}}));
    world.pool("d-one", &["10.3.0.0/32"]);
    world.pool("e-late", &["10.3.0.0/24"]);
    world.pool_with(
        "f-asked",
        &["10.4.0.0/24"],
        json!({"metadata": {"annotations": {"rutter.dev/auto-assign": "false"}}}),
    );
    world.pool("g-wide", &["10.5.0.0/24"]);
    world.pool("h-more", &["10.6.0.0/24"]);
    world.service("first", |_| ());
    world.service("web", |_| ());
    world.run();
    let web = explained(&world, "web");
    let expected = [
        ("a-gold", "not_selected"),
        ("b-six", "no_address_of_family"),
        ("c-off", "disabled"),
        ("d-one", "full"),
        ("e-late", "conflict"),
        ("f-asked", "on_request_only"),
        ("g-wide", "has"),
        ("h-more", "would_give"),
    ];
    assert_eq!(words(&web), expected);
    assert_eq!(&*message(&web, "a-gold").message, "tier=gold: there is no label tier");
    assert!(message(&web, "e-late").message.contains("from IP Pool 'd-one'"));
    assert!(web.outcome.causes.is_empty() && web.has[0].pool.as_deref() == Some("g-wide"));

    world.service("asks", |service| ask(service, "10.3.0.0,10.2.0.9"));
    let asks = explained(&world, "asks");
    let taken = &asks.pools.iter().find(|pool| &*pool.pool == "d-one").unwrap().answers;
    assert_eq!(
        (taken[0].word, &*taken[0].message, taken[1].word),
        ("taken", "a/first has it", "not_in_pool")
    );
    assert_eq!(asks.outcome.condition.as_ref().map(|verdict| verdict.satisfied), Some(false));
}

#[test]
fn whoever_is_not_served_is_told_why() {
    let mut world = World::new();
    world.service("web", |_| ());
    assert!(explained(&world, "web").pools.is_empty(), "there is no pool");
    world.pool("p", &["10.0.0.0/24"]);
    world.service("other", |service| service.class = Some("example.com/x".into()));
    let other = explained(&world, "other");
    assert!(!other.handled && other.standing.contains("example.com/x") && other.outcome.causes.is_empty());
    assert!(world.ipam.explain(&ServiceKey::new("a", "nobody"), world.now).is_none());
}

#[test]
fn sharers_and_what_speaks_against_them() {
    const KEY: &str = "lbipam.cilium.io/sharing-key";
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/24"]);
    world.service("one", |service| annotate(service, KEY, "k"));
    world.service("two", |service| annotate(service, KEY, "k"));
    world.run();
    let two = explained(&world, "two");
    assert_eq!(two.sharers.len(), 1);
    assert!(two.sharers[0].against.as_deref().is_some_and(|why| why.contains("port 80")), "{two:?}");
}

#[test]
fn what_is_kept_for_a_pool_that_is_gone() {
    let mut world = World::new();
    world.pool("p", &["10.0.0.0/24"]);
    world.pool_with("q", &["10.1.0.0/24"], json!({"spec": {"disabled": true}}));
    world.service("web", |_| ());
    world.run();
    world.delete_pool("p");
    world.run();
    let web = explained(&world, "web");
    let until = web.has[0].kept_until.unwrap();
    assert_eq!((web.has[0].pool.as_deref(), until.duration_since(world.now).as_secs()), (None, 30));
}

/// Two hundred small worlds, with everything outstanding at once.
#[test]
fn the_answers_agree_with_the_plan() {
    let (mut gets, mut waits) = (0, 0);
    for seed in 0..200 {
        let mut world = random(seed);
        let untouched = world.ipam.clone().plan(world.now);
        let mut decided: BTreeMap<String, Explanation> = BTreeMap::new();
        for key in world.services.keys().cloned().collect::<Vec<_>>() {
            decided.insert(key.to_string(), world.ipam.explain(&key, world.now).unwrap());
        }
        assert_eq!(world.ipam.plan(world.now), untouched, "seed {seed}: asking changed something");
        for change in &untouched.services {
            let explanation = &decided[&change.service.key.to_string()];
            assert_eq!(*explanation.outcome.causes, *change.causes, "seed {seed}");
            for cause in &change.causes {
                let Cause::Allocated { address, pool } = cause else { continue };
                let given = explanation.pools.iter().find(|one| one.pool == *pool).unwrap();
                let gives = |answer: &Answer| answer.word == "gives" && answer.address == Some(*address);
                assert!(given.answers.iter().any(gives), "seed {seed}: {given:?}");
                gets += 1;
            }
        }
        for explanation in decided.values().filter(|one| one.handled) {
            for family in &explanation.asks.families {
                let of_family = |address: &std::net::IpAddr| lbipam::Family::of(*address) == *family;
                if explanation.outcome.addresses.iter().any(of_family) {
                    continue;
                }
                waits += 1;
                let wants = family.to_string();
                let answers = explanation.pools.iter().flat_map(|pool| &pool.answers);
                let offers =
                    answers.filter(|answer| *answer.wants == *wants && answer.address.is_some()).count();
                assert_eq!(offers, 0, "seed {seed}: {explanation:?}");
            }
        }
        world.run();
    }
    assert!(gets > 200 && waits > 100, "{gets} got one, {waits} wait");
}

fn random(seed: u64) -> World {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut below = move |limit: u32| rng.next_u32() % limit;
    let mut world = World::new();
    for number in 0..1 + below(5) {
        let v4 = format!("10.{}.0.{}/30", below(4), 4 * below(3));
        let v6 = format!("fd00:{number}::/127");
        let blocks: Vec<&str> = if below(3) == 0 { vec![&v4, &v6] } else { vec![&v4] };
        let mut spec = json!({"disabled": below(5) == 0});
        if below(3) == 0 {
            spec["serviceSelector"] = json!({"matchLabels": {"tier": "gold"}});
        }
        if below(3) == 0 {
            spec["allowFirstLastIPs"] = json!("No");
        }
        world.pool_with(&format!("p{number}"), &blocks, json!({"spec": spec}));
    }
    for number in 0..1 + below(12) {
        let (gold, policy, wants, has) = (below(2) == 0, below(3), below(5), below(4));
        let address = format!("10.{}.0.{}", below(4), below(12));
        world.service(&format!("s{number}"), |service| {
            if gold {
                service.labels = [("tier", "gold")].into_iter().collect();
            }
            service.family_policy =
                if policy == 0 { FamilyPolicy::PreferDualStack } else { FamilyPolicy::SingleStack };
            match wants {
                0 => ask(service, &address),
                1 => annotate(service, "lbipam.cilium.io/sharing-key", "k"),
                _ => {}
            }
            if has == 0 {
                service.ingress = [Ingress::of(ip(&address))].into();
            }
        });
    }
    world
}

/// What-ifs, on the library's own worlds.
mod what_if {
    use super::*;

    fn real(world: &World) -> lbipam::World {
        let (pools, services) = (world.pools.values().cloned(), world.services.values().cloned());
        lbipam::World::new(Settings::default(), pools, services, world.now)
    }

    fn compared(before: &lbipam::World, mut after: lbipam::World) -> Vec<(String, Effect, Vec<Cause>)> {
        let causes = after.settle();
        let moves = lbipam::World::compare(before, &after, causes);
        moves.into_iter().map(|one| (one.service.to_string(), one.effect, one.causes.into())).collect()
    }

    #[test]
    fn a_renamed_pool_moves_nobody_and_a_deleted_one_does_in_the_end() {
        let mut world = World::new();
        world.pool("old", &["10.0.0.0/24"]);
        world.service("web", |_| ());
        let mut before = real(&world);
        before.settle();
        let mut renamed = before.clone();
        assert!(renamed.remove_pool("old") && !renamed.remove_pool("old"));
        let mut fresh = World::new();
        fresh.pool("new", &["10.0.0.0/24"]);
        renamed.suppose_pool(&fresh.pools["new"]);
        assert_eq!(compared(&before, renamed), []);

        let mut deleted = before.clone();
        deleted.remove_pool("old");
        let moves = compared(&before, deleted);
        assert_eq!((moves.len(), moves[0].1), (1, Effect::Released), "the grace time passes in it");
        let released = Cause::Released { address: ip("10.0.0.0"), why: Release::NotInAnyPool };
        assert!(moves[0].2.contains(&released), "{moves:?}");
    }

    #[test]
    fn new_objects_are_the_youngest_and_changed_ones_keep_what_they_are() {
        let mut world = World::new();
        world.pool("p", &["10.0.0.0/31"]);
        world.service("one", |_| ());
        let mut before = real(&world);
        before.settle();
        // The same range again, in a pool whose name sorts first: it is the newcomer that gives nothing.
        let mut after = before.clone();
        let mut more = World::new();
        more.pool("a", &["10.0.0.0/24"]);
        after.suppose_pool(&more.pools["a"]);
        assert_eq!(compared(&before, after.clone()), []);
        assert!(after.ipam().pools().any(|pool| &*pool.name == "a" && pool.conflict.is_some()));

        more.service("two", |_| ());
        more.service("one", |service| service.labels = [("x", "y")].into_iter().collect());
        let mut after = before.clone();
        more.services.values().for_each(|service| after.suppose_service(service));
        let moves = compared(&before, after);
        assert_eq!(moves.len(), 1, "the one that has an address keeps it: {moves:?}");
        assert_eq!((moves[0].0.as_str(), moves[0].1), ("a/two", Effect::Served));
    }
}
