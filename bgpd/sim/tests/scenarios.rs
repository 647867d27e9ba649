//! Named scenarios: what a person would draw on a board, and what must come of it.

use std::time::Duration;

use bgp_core::config::{GracefulRestart, Timers};
use bgp_core::{State, Time};
use bgp_sim::chaos;
use bgp_sim::topology::{brisk, settings};
use bgp_sim::trace::Trace;
use bgp_sim::world::{Death, Failure, Figures, LinkState, World};

const SECOND: Duration = Duration::from_secs(1);

/// A world of external sessions in a line, all started at once.
fn line(seed: u64, count: usize, routes: usize, timers: Timers) -> World {
    let mut world = World::new(seed, Trace::kept());
    world.add_external_nodes(count, routes);
    for node in 1..count {
        world.connect(node - 1, node, timers);
    }
    for node in 0..count {
        let outcome = world.start(node);
        demand(&world, outcome);
    }
    world
}

/// Runs the world for a while. A failure shows how it came to it.
fn pass(world: &mut World, duration: Duration) {
    let end = world.now + duration;
    let outcome = world.run_until(end);
    demand(world, outcome);
}

fn rest(world: &mut World) {
    let outcome = chaos::rest(world).and_then(|()| world.check_at_rest());
    demand(world, outcome);
}

fn demand(world: &World, outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        panic!("{}\n{:?} {}", world.trace, failure.at, failure.what);
    }
}

/// Runs until a session is up at both ends, and says how long it took.
fn until_up(world: &mut World, one: usize, other: usize) -> Duration {
    let start = world.now;
    while world.state(one, other) != State::Established || world.state(other, one) != State::Established {
        pass(world, Duration::from_millis(10));
        assert!(world.now - start < SECOND * 120, "no session after two minutes\n{}", world.trace);
    }
    world.now - start
}

#[test]
fn two_speakers_exchange_their_routes() {
    let mut world = line(1, 2, 30, brisk());
    assert!(until_up(&mut world, 0, 1) < SECOND);
    rest(&mut world);
    let outcome = world.check_shortest_paths();
    demand(&world, outcome);
    pass(&mut world, SECOND * 600);
    assert_eq!((world.figures.established, world.figures.dropped), (2, 0), "ten quiet minutes");
}

#[test]
fn speakers_that_dial_each_other_at_once_keep_one_connection() {
    let mut collisions = 0;
    for seed in 0..300 {
        let mut world = line(seed, 2, 3, brisk());
        // Nothing but chance in the delays decides which connection is first.
        let up = until_up(&mut world, 0, 1);
        rest(&mut world);
        assert!(up < SECOND, "seed {seed}: {up:?}\n{}", world.trace);
        pass(&mut world, SECOND * 30);
        rest(&mut world);
        assert_eq!(world.open_streams(0, 1), 1, "seed {seed}");
        assert_eq!(world.figures.dials, 2, "seed {seed}: nobody had to try again\n{}", world.trace);
        collisions += world.figures.collisions;
    }
    assert!(collisions > 100, "the case that this is about happens: {collisions}");
}

#[test]
fn a_lost_link_is_noticed_by_the_hold_timer_and_healed() {
    let mut world = line(3, 3, 10, brisk());
    rest(&mut world);
    world.set_link(0, LinkState::Cut);
    pass(&mut world, SECOND * 5);
    assert_eq!(world.state(0, 1), State::Established, "nobody is told");
    pass(&mut world, SECOND * 5);
    assert_ne!(world.state(0, 1), State::Established);
    assert_ne!(world.state(1, 0), State::Established);
    pass(&mut world, SECOND);
    demand(&world, world.check_ribs());
    let left =
        world.nodes[2].speaker.as_ref().unwrap().rib().totals(bgp_core::wire::Family::IPV4_UNICAST).prefixes;
    assert_eq!(left, 14, "the routes of nodes 1 and 2; those of node 0 are gone");
    pass(&mut world, SECOND * 120);
    world.set_link(0, LinkState::Up);
    assert!(until_up(&mut world, 0, 1) < SECOND * 6, "the connect retry time bounds the wait");
    rest(&mut world);
    demand(&world, world.check_shortest_paths());
}

#[test]
fn a_flapping_link_is_damped_and_then_forgiven() {
    let mut world = line(4, 2, 10, brisk());
    rest(&mut world);
    let before = world.figures.dials;
    for _ in 0..60 {
        world.reset_link(0);
        pass(&mut world, SECOND);
    }
    let dials = world.figures.dials - before;
    assert!((10..80).contains(&dials), "a minute of flaps costs {dials} dials");
    until_up(&mut world, 0, 1);
    rest(&mut world);
    pass(&mut world, SECOND * 60);
    world.reset_link(0);
    pass(&mut world, Duration::from_millis(100));
    assert!(until_up(&mut world, 0, 1) < SECOND, "a minute without a flap is forgiven");
}

#[test]
fn a_restarted_peer_is_back_within_two_seconds() {
    for death in [Death::Process, Death::Machine] {
        // A hold time that plays no part: what counts is that the new process gets through.
        let timers = Timers { hold: 90, keepalive: 30, connect_retry: 120 };
        let mut world = line(5, 2, 10, timers);
        rest(&mut world);
        pass(&mut world, SECOND * 40);
        world.kill(1, death);
        pass(&mut world, SECOND * 3);
        world.start(1).unwrap();
        let back = until_up(&mut world, 0, 1);
        assert!(back < SECOND * 2, "{death:?}: {back:?}\n{}", world.trace);
        rest(&mut world);
        demand(&world, world.check_shortest_paths());
    }
}

#[test]
fn a_graceful_restart_is_heard_by_nobody_two_hops_away() {
    for (death, middle) in
        [(Death::Process, false), (Death::Process, true), (Death::Machine, false), (Death::Machine, true)]
    {
        let mut world = World::new(7, Trace::kept());
        world.add_external_nodes(3, 10);
        for node in 1..3 {
            world.connect(node - 1, node, brisk());
        }
        for node in 0..3 {
            let settings = &mut world.nodes[node].settings;
            settings.forwarding_preserved = true;
            for peer in &mut settings.peers {
                peer.graceful_restart = Some(GracefulRestart::new(60));
            }
        }
        for node in 0..3 {
            world.start(node).unwrap();
        }
        rest(&mut world);
        let family = bgp_core::wire::Family::IPV4_UNICAST;
        let version = |world: &World| world.nodes[2].speaker.as_ref().unwrap().rib().totals(family).version;
        let before = version(&world);
        // The one in the middle passes on what the first one has; both ways it must come back as it was.
        let who = usize::from(middle);
        world.kill(who, death);
        pass(&mut world, SECOND * 5);
        world.restart(who).unwrap();
        pass(&mut world, SECOND * 5);
        demand(&world, world.check_ribs());
        assert!(world.nodes[who].speaker.as_ref().unwrap().is_restarting(), "the owner has not spoken");
        world.complete(who).unwrap();
        rest(&mut world);
        demand(&world, world.check_shortest_paths());
        assert_eq!(version(&world), before, "{death:?}, middle {middle}\n{}", world.trace);
        assert_eq!(world.figures.swept, 0);
        assert!(world.figures.kept > 0);
    }
}

#[test]
fn a_long_absence_leaves_a_last_resort_that_two_hops_know_and_the_return_freshens() {
    use bgp_core::wire::{Community, Family};
    let mut world = World::new(9, Trace::kept());
    world.add_external_nodes(3, 5);
    world.connect(0, 1, brisk());
    world.connect(1, 2, brisk());
    for node in 0..3 {
        let settings = &mut world.nodes[node].settings;
        settings.forwarding_preserved = true;
        for peer in &mut settings.peers {
            let restart = GracefulRestart::new(5);
            peer.graceful_restart = Some(GracefulRestart { long_lived_time: Some(600), ..restart });
        }
    }
    for node in 0..3 {
        world.start(node).unwrap();
    }
    rest(&mut world);
    let marked = |world: &World, node: usize| {
        let rib = world.nodes[node].speaker.as_ref().unwrap().rib();
        let page = rib.rib_page(Family::IPV4_UNICAST, None, 1000);
        let is_marked =
            |path: &bgp_core::rib::PathView| path.attributes.communities.contains(&Community::LLGR_STALE);
        page.entries.iter().filter(|entry| entry.paths.iter().any(is_marked)).count()
    };
    let routes = world.nodes[0].settings.routes.len();
    world.kill(0, Death::Process);
    pass(&mut world, SECOND * 4);
    assert_eq!((marked(&world, 1), marked(&world, 2)), (0, 0));
    pass(&mut world, SECOND * 30);
    let ipv4 = marked(&world, 1);
    assert!(ipv4 > 0 && ipv4 <= routes, "{}", world.trace);
    assert_eq!(marked(&world, 2), ipv4, "who is two hops away knows it too");
    demand(&world, world.check_ribs());
    world.restart(0).unwrap();
    pass(&mut world, SECOND * 5);
    world.complete(0).unwrap();
    rest(&mut world);
    assert_eq!((marked(&world, 1), marked(&world, 2)), (0, 0));
    assert_eq!(world.figures.swept, 0, "{}", world.trace);
    demand(&world, world.check_shortest_paths());
    // Away for good: the end comes by the long-lived timer.
    world.kill(0, Death::Process);
    pass(&mut world, SECOND * 500);
    assert_eq!(marked(&world, 2), ipv4);
    pass(&mut world, SECOND * 110);
    assert_eq!((marked(&world, 1), marked(&world, 2)), (0, 0));
}

#[test]
fn fifty_speakers_agree_through_deaths_and_cuts() {
    let mut world = World::new(50, Trace::kept());
    world.add_external_nodes(50, 2);
    for node in 0..50 {
        world.connect(node, (node + 1) % 50, brisk());
    }
    for _ in 0..12 {
        let (one, other) = (world.dice.below(50), world.dice.below(50));
        let known = world.links.iter().any(|link| link.ends == [one, other] || link.ends == [other, one]);
        if one != other && !known {
            world.connect(one, other, brisk());
        }
    }
    for node in 0..50 {
        world.start(node).unwrap();
    }
    rest(&mut world);
    demand(&world, world.check_shortest_paths());
    for round in 0..2 {
        let death = if round % 2 == 0 { Death::Process } else { Death::Machine };
        let (node, link) = (world.dice.below(50), world.dice.below(world.links.len()));
        world.kill(node, death);
        world.set_link(link, LinkState::Cut);
        pass(&mut world, SECOND * 15);
        demand(&world, world.check_ribs());
        world.set_link(link, LinkState::Up);
        world.start(node).unwrap();
        pass(&mut world, SECOND * 2);
    }
    rest(&mut world);
    demand(&world, world.check_shortest_paths());
}

#[test]
fn a_slow_link_carries_a_big_table_and_keeps_the_session() {
    let mut world = World::new(6, Trace::kept());
    let mut big = settings(0, 64512, 5_000);
    // One attribute set per prefix: UPDATEs that cannot be packed.
    for (position, route) in (0..).zip(&mut big.routes) {
        route.med = Some(position);
    }
    world.add_node(big);
    world.add_node(settings(1, 64513, 0));
    world.connect(0, 1, brisk());
    world.links[0].delay = Duration::from_millis(15);
    world.start(0).unwrap();
    world.start(1).unwrap();
    let start = world.now;
    rest(&mut world);
    assert_eq!(world.figures.dropped, 0, "after {:?}", Time::since(world.now, start));
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [7, 77, 777] {
        let (first, second) = (chaos::run(seed, Trace::kept()).1, chaos::run(seed, Trace::kept()).1);
        assert_eq!(first.figures, second.figures);
        assert_eq!(first.trace.to_string(), second.trace.to_string());
        assert_eq!(chaos::figures(seed).unwrap(), first.figures, "a trace changes nothing");
    }
}

/// Runs worlds of these seeds; together they must have seen every kind of trouble.
fn come_to_rest(seeds: impl IntoIterator<Item = u64>) -> Figures {
    let mut total = Figures::default();
    for seed in seeds {
        match chaos::figures(seed) {
            Ok(figures) => total.add(&figures),
            Err(failure) => panic!(
                "seed {seed} at {:?}: {}\n{}",
                failure.at,
                failure.what,
                chaos::run(seed, Trace::kept()).1.trace
            ),
        }
    }
    total
}

#[test]
fn random_worlds_come_to_rest() {
    let figures = come_to_rest(0..150);
    assert!(figures.is_complete(), "some trouble never happened: {figures:?}");
}

#[test]
fn kept_seeds_hold() {
    let seeds = chaos::kept_seeds();
    assert!(!seeds.is_empty(), "seeds.txt is read");
    come_to_rest(seeds);
}

/// What is left of a dead process, or another one under its address, must not keep the real session from coming up.
#[test]
fn connections_that_nobody_opened_do_not_keep_a_session_down() {
    for seed in 0..20 {
        let mut world = line(seed, 2, 5, brisk());
        for _ in 0..20 {
            world.haunt(0);
            pass(&mut world, Duration::from_millis(700));
        }
        // The longest of them is gone after a minute.
        pass(&mut world, SECOND * 61);
        until_up(&mut world, 0, 1);
        rest(&mut world);
        demand(&world, world.check_shortest_paths());
        assert_eq!(world.open_streams(0, 1), 1);
    }
}

/// A session that is up is not taken over by a newcomer from the peer's address.
#[test]
fn an_established_session_survives_duplicate_connections() {
    for seed in 0..20 {
        let mut world = line(seed, 2, 5, brisk());
        rest(&mut world);
        pass(&mut world, SECOND * 10);
        // Two dials that cross may cost one of them a moment of being Established.
        let before = world.figures.dropped;
        for _ in 0..30 {
            world.haunt(0);
            pass(&mut world, Duration::from_millis(300));
        }
        pass(&mut world, SECOND * 61);
        assert_eq!(world.figures.dropped, before, "seed {seed}\n{}", world.trace);
    }
}

#[test]
fn two_halves_of_a_world_find_together_again() {
    let mut world = World::new(11, Trace::kept());
    world.add_external_nodes(12, 4);
    for node in 0..12 {
        world.connect(node, (node + 1) % 12, brisk());
    }
    for node in 0..12 {
        world.start(node).unwrap();
    }
    rest(&mut world);
    world.partition();
    // Long enough for every hold timer, and for one node to be replaced meanwhile.
    let outcome = world.leave(3, bgp_core::Command::Leave);
    demand(&world, outcome);
    pass(&mut world, SECOND * 60);
    demand(&world, world.check_ribs());
    let outcome = world.start(3);
    demand(&world, outcome);
    for link in 0..world.links.len() {
        world.set_link(link, LinkState::Up);
    }
    rest(&mut world);
    demand(&world, world.check_shortest_paths());
    assert!(world.figures.partitions == 1 && world.figures.dropped > 0);
}
