//! A random world, random trouble, then peace: from one seed.
//!
//! Some worlds have only external sessions and no policies; there the outcome is known to the last hop. In the others
//! nodes share ASes and policies refuse routes; there the two ends of every session must still agree.
//!
//! Invariant: whatever happened, once all links are up and all nodes alive, the world comes to rest within
//! [`PATIENCE`] and everything in [`World::check_at_rest`] holds. One exception is BGP's own: policies that set
//! LOCAL_PREF or MED at random can contradict each other so that no stable outcome exists (RFC 4264, RFC 3345). Such a
//! world need not rest; its sessions must be up and its RIBs right all the same.

use std::sync::Arc;
use std::time::Duration;

use bgp_core::config::{AddPath, GracefulRestart, OriginatedRoute, PathsSent, Timers};
use bgp_core::policy::{Actions, Policy, PrefixMatch, Statement, Verdict};
use bgp_core::wire::{Community, Family, FamilySet};
use bgp_core::{Command, Time};

use crate::topology::{asn, brisk, peer, prefix, settings};
use crate::trace::Trace;
use crate::world::{Death, Failure, Figures, LinkState, World};

/// How long a world may take to come to rest.
pub const PATIENCE: Duration = Duration::from_secs(400);
/// How long the trouble lasts at most.
const TROUBLE: Duration = Duration::from_secs(120);

/// Seeds that once found something.
#[must_use]
pub fn kept_seeds() -> Vec<u64> {
    let lines = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// Runs the world of `seed`.
///
/// # Errors
/// An invariant does not hold. With [`Trace::kept`] the trace says what led to it.
pub fn run(seed: u64, trace: Trace) -> (Result<(), Failure>, World) {
    let mut world = World::new(seed, trace);
    let plain = world.dice.chance(50);
    let outcome = build(&mut world, plain)
        .and_then(|()| trouble(&mut world, plain))
        .and_then(|()| peace(&mut world, plain));
    (outcome, world)
}

/// Runs the world of `seed` for its figures.
///
/// # Errors
/// As [`run`].
pub fn figures(seed: u64) -> Result<Figures, Failure> {
    let (outcome, world) = run(seed, Trace::default());
    outcome.map(|()| world.figures)
}

fn build(world: &mut World, plain: bool) -> Result<(), Failure> {
    let count = 2 + world.dice.below(6);
    for node in 0..count {
        let shared = !plain && world.dice.chance(40);
        let asn = if shared { asn(0) } else { asn(node) };
        let routes = world.dice.below(8);
        let mut settings = settings(node, asn, routes);
        settings.forwarding_preserved = world.dice.chance(80);
        settings.maximum_paths = world.dice.pick(&[1, 1, 4]);
        world.add_node(settings);
    }
    let timers = |world: &mut World| {
        let (hold, keepalive) = world.dice.pick(&[(0, 0), (3, 1), (9, 3), (9, 9), (30, 10), (90, 30)]);
        Timers { connect_retry: world.dice.pick(&[1, 3, 10, 30]), hold, keepalive }
    };
    for node in 1..count {
        let other = world.dice.below(node);
        let timers = timers(world);
        world.connect(node, other, timers);
    }
    for _ in 0..world.dice.below(count) {
        let (one, other) = (world.dice.below(count), world.dice.below(count));
        let known = world.links.iter().any(|link| link.ends == [one, other] || link.ends == [other, one]);
        if one != other && !known {
            let timers = timers(world);
            world.connect(one, other, timers);
        }
    }
    for node in 0..count {
        vary_peers(world, node, plain);
    }
    // Some at once, some later.
    for node in 0..count {
        if world.dice.chance(30) {
            let pause = world.dice.span(Duration::from_secs(3));
            let until = world.now + pause;
            world.run_until(until)?;
        }
        world.start(node)?;
    }
    Ok(())
}

fn vary_peers(world: &mut World, node: usize, plain: bool) {
    for position in 0..world.nodes[node].settings.peers.len() {
        let neighbour = world.nodes[node].settings.peers[position].address;
        let other_is_passive =
            (0..world.nodes.len()).filter(|other| World::address(*other) == neighbour).any(|other| {
                world.nodes[other]
                    .settings
                    .peers
                    .iter()
                    .any(|peer| peer.passive && peer.address == World::address(node))
            });
        // Without a hold time only the one who was restarted can find out, and it must be able to dial.
        let has_hold = world.nodes[node].settings.peers[position].timers.hold > 0;
        let passive = has_hold && !other_is_passive && world.dice.chance(15);
        let single = world.dice.chance(10) && !plain;
        let client = world.dice.chance(50);
        let any_asn = world.dice.chance(15);
        let export = (!plain).then(|| policy(world)).flatten();
        let import = (!plain).then(|| policy(world)).flatten();
        let graceful = world.dice.chance(60);
        let restart_time = world.dice.pick(&[1, 5, 20, 120, 4095]);
        let add_path = add_path(world);
        let long_lived = world.dice.chance(40);
        let local_asn = world.nodes[node].settings.local_asn;
        let peer = &mut world.nodes[node].settings.peers[position];
        peer.passive = passive;
        peer.graceful_restart = graceful.then_some(GracefulRestart {
            long_lived_time: long_lived.then_some(30),
            demote_long_lived: client,
            ..GracefulRestart::new(restart_time)
        });
        peer.route_reflector_client = client && peer.remote_asn == Some(local_asn);
        if any_asn && !peer.route_reflector_client {
            peer.remote_asn = None;
        }
        peer.add_path = add_path;
        if single {
            peer.families = FamilySet::IPV4_UNICAST;
        }
        peer.export = export;
        peer.import = import;
    }
}

/// Several paths per prefix for some, in either direction or both.
fn add_path(world: &mut World) -> AddPath {
    let send = [None, None, Some(PathsSent::All), Some(PathsSent::Best(2)), Some(PathsSent::Best(1))];
    let families = world.dice.pick(&[FamilySet::ALL, FamilySet::ALL, FamilySet::IPV4_UNICAST]);
    AddPath { families, receive: world.dice.chance(50), send: world.dice.pick(&send) }
}

/// A policy that refuses some nodes' routes and marks others'. Often none at all.
fn policy(world: &mut World) -> Option<Arc<Policy>> {
    if world.dice.chance(60) {
        return None;
    }
    let statements = (0..1 + world.dice.below(3))
        .map(|position| {
            let (node, index) = (world.dice.below(world.nodes.len()), world.dice.below(8));
            let action = world.dice.pick(&[Verdict::Accept, Verdict::Reject]);
            let mut set = Actions::default();
            if action == Verdict::Accept {
                set.med = world.dice.chance(50).then_some(7);
                set.local_preference = world.dice.chance(30).then_some(200);
                set.prepend = u8::try_from(world.dice.below(3)).unwrap_or_default();
                if world.dice.chance(30) {
                    set.add_communities = vec![Community(65_000 << 16 | 1)];
                }
            }
            Statement {
                name: format!("s{position}").into(),
                families: Vec::new(),
                prefixes: vec![PrefixMatch::exact(prefix(node, index))],
                any_community: Vec::new(),
                sources: Vec::new(),
                action,
                set,
            }
        })
        .collect();
    let default_action = if world.dice.chance(80) { Verdict::Accept } else { Verdict::Reject };
    Some(Arc::new(Policy { name: "random".into(), default_action, statements }))
}

fn trouble(world: &mut World, plain: bool) -> Result<(), Failure> {
    let lasting = world.dice.span(TROUBLE);
    let end = world.now + lasting;
    let mut checks = 0;
    while world.now < end {
        let most =
            world.dice.pick(&[Duration::from_millis(20), Duration::from_secs(1), Duration::from_secs(15)]);
        let pause = world.dice.span(most);
        let until = (world.now + pause).min(end);
        world.run_until(until)?;
        strike(world, plain)?;
        checks += 1;
        if checks % 4 == 0 {
            world.check_ribs()?;
        }
    }
    Ok(())
}

fn strike(world: &mut World, plain: bool) -> Result<(), Failure> {
    let node = world.dice.below(world.nodes.len());
    let link = world.dice.below(world.links.len());
    match world.dice.below(18) {
        0 => world.set_link(link, LinkState::Cut),
        1 => world.set_link(link, LinkState::Unreachable),
        2 | 3 => world.set_link(link, LinkState::Up),
        4 | 5 => world.reset_link(link),
        6 if world.nodes[node].speaker.is_some() => {
            let death = world.dice.pick(&[Death::Process, Death::Machine]);
            world.kill(node, death);
        }
        6 | 7 if world.nodes[node].speaker.is_none() => revive(world, node)?,
        8 => {
            let index = world.dice.below(8);
            toggle_route(world, node, index);
            world.configure(node)?;
        }
        9 | 13 => {
            // A burst of changes is one.
            for _ in 0..1 + world.dice.below(3) {
                reconfigure(world, node, plain);
            }
            world.configure(node)?;
        }
        10 => world.complete(node)?,
        14 => world.partition(),
        15 => {
            for link in 0..world.links.len() {
                world.set_link(link, LinkState::Up);
            }
        }
        16 => world.haunt(link),
        17 if world.nodes[node].speaker.is_some() => {
            let command = if world.dice.chance(80) {
                Command::Leave
            } else {
                Command::Stop { text: Some("bye".into()) }
            };
            world.leave(node, command)?;
            if world.dice.chance(80) {
                revive(world, node)?;
            }
        }
        _ => command(world, node)?,
    }
    Ok(())
}

/// Starts a node that was killed: cold, or as one that takes over; with the owner's word at once, or later.
fn revive(world: &mut World, node: usize) -> Result<(), Failure> {
    if world.nodes[node].died_at.is_none() || world.dice.chance(30) {
        return world.start(node);
    }
    world.restart(node)?;
    if world.dice.chance(70) { world.complete(node) } else { Ok(()) }
}

fn toggle_route(world: &mut World, node: usize, index: usize) {
    let prefix = prefix(node, index);
    let routes = &mut world.nodes[node].settings.routes;
    match routes.iter().position(|route| route.prefix == prefix) {
        Some(position) => {
            routes.remove(position);
        }
        None => routes.push(OriginatedRoute { med: Some(5), ..OriginatedRoute::new(prefix) }),
    }
}

fn reconfigure(world: &mut World, node: usize, plain: bool) {
    let count = world.nodes[node].settings.peers.len();
    if count == 0 {
        return;
    }
    let position = world.dice.below(count);
    let choice = world.dice.below(12);
    let restart_time = world.dice.pick(&[1, 20, 120]);
    let policy = if plain { None } else { policy(world) };
    let paths = add_path(world);
    if choice == 8 {
        return turn_identity(world, node);
    }
    if choice == 9 {
        return forget_or_remember(world, node, position);
    }
    let peer = &mut world.nodes[node].settings.peers[position];
    match choice {
        7 => peer.graceful_restart = Some(GracefulRestart::new(restart_time)),
        10 => peer.graceful_restart = None,
        11 if !plain && peer.families == FamilySet::ALL => peer.families = FamilySet::IPV4_UNICAST,
        11 => peer.families = FamilySet::ALL,
        0 => peer.shutdown = !peer.shutdown,
        1 => peer.description = Some("changed".into()),
        2 => peer.export = policy,
        3 => peer.import = policy,
        4 => peer.add_path = paths,
        5 if peer.timers.hold > 0 => peer.timers.hold = if peer.timers.hold == 30 { 90 } else { 30 },
        _ => peer.timers.connect_retry = 2,
    }
}

/// Another BGP Identifier, which no other node has.
fn turn_identity(world: &mut World, node: usize) {
    let [_, network, high, low] = world.nodes[node].settings.router_id.octets();
    let network = if network == 200 { 201 } else { 200 };
    world.nodes[node].settings.router_id = [10, network, high, low].into();
}

/// Takes a peer out of the configuration, or puts back what was taken out.
fn forget_or_remember(world: &mut World, node: usize, position: usize) {
    if !remember(world, node) {
        world.nodes[node].settings.peers.remove(position);
    }
}

/// Puts back peers that were taken out of the configuration. Says whether there were any.
fn remember(world: &mut World, node: usize) -> bool {
    let knows = |other: usize| {
        let address = World::address(other);
        world.nodes[node].settings.peers.iter().any(|peer| peer.address == address)
    };
    let neighbours = world.links.iter().filter(|link| link.ends.contains(&node));
    let others = neighbours.flat_map(|link| link.ends).filter(|other| *other != node && !knows(*other));
    let missing: Vec<usize> = others.collect();
    for other in &missing {
        let asn = world.nodes[*other].settings.local_asn;
        world.nodes[node].settings.peers.push(peer(*other, asn, brisk()));
    }
    !missing.is_empty()
}

fn command(world: &mut World, node: usize) -> Result<(), Failure> {
    let peers: Vec<_> =
        world.nodes[node].speaker.iter().flat_map(|speaker| speaker.peers()).map(|peer| peer.id).collect();
    if peers.is_empty() {
        return Ok(());
    }
    let peer = world.dice.pick(&peers);
    let family = world.dice.pick(&[None, Some(Family::IPV4_UNICAST), Some(Family::IPV6_UNICAST)]);
    let command = match world.dice.below(7) {
        0 => Command::Reset { peer, text: Some("simulated".into()) },
        1 => Command::Disable { peer, text: None },
        2 => Command::Enable { peer },
        3 => Command::SoftIn { peer, family },
        4 => Command::Drain { peer },
        5 => Command::Undrain { peer },
        _ => Command::SoftOut { peer, family },
    };
    world.command(node, command)
}

/// Ends all trouble and waits until nothing happens any more.
fn peace(world: &mut World, plain: bool) -> Result<(), Failure> {
    for link in 0..world.links.len() {
        world.set_link(link, LinkState::Up);
    }
    for node in 0..world.nodes.len() {
        if world.nodes[node].speaker.is_none() {
            revive(world, node)?;
        }
        world.complete(node)?;
        remember(world, node);
        for peer in &mut world.nodes[node].settings.peers {
            peer.shutdown = false;
        }
        world.configure(node)?;
        let peers: Vec<_> = world.nodes[node]
            .speaker
            .iter()
            .flat_map(|speaker| speaker.peers())
            .map(|peer| peer.id)
            .collect();
        for peer in peers {
            world.command(node, Command::Enable { peer })?;
            world.command(node, Command::Undrain { peer })?;
        }
    }
    match rest(world) {
        Err(_) if !plain && may_dispute(world) && world.sessions_are_up() => return world.check_ribs(),
        outcome => outcome?,
    }
    world.check_at_rest()?;
    if plain { world.check_shortest_paths() } else { Ok(()) }
}

/// Whether policies prefer routes by something else than their length.
fn may_dispute(world: &World) -> bool {
    let peers = world.nodes.iter().flat_map(|node| &node.settings.peers);
    let statements =
        peers.flat_map(|peer| [&peer.import, &peer.export]).flatten().flat_map(|policy| &*policy.statements);
    statements.map(|statement| &statement.set).any(|set| set.local_preference.is_some() || set.med.is_some())
}

/// Runs until the world is at rest.
///
/// # Errors
/// It does not come to rest in time.
pub fn rest(world: &mut World) -> Result<(), Failure> {
    let end: Time = world.now + PATIENCE;
    while world.now < end {
        let until = world.now + Duration::from_secs(1);
        world.run_until(until)?;
        if world.is_at_rest() {
            return Ok(());
        }
    }
    // The checks say best what is missing.
    world.check_at_rest()?;
    Err(world.failure("the world does not come to rest".into()))
}
