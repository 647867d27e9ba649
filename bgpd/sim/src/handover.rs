//! Processes that take over from each other in the midst of everything, and nobody may notice (decision 005).
//!
//! Invariant: a hand-over changes nothing that another node can tell. What was sent is not sent again, what was not sent is,
//! sessions stay, and what was on its way to be a session is dialed anew.

use std::collections::BTreeSet;
use std::time::Duration;

use bgp_core::config::{AddPath, GracefulRestart, OriginatedRoute, PathsSent, SpeakerConfig, Timers};
use bgp_core::handover::{ExportError, Handover, RouteFrame};
use bgp_core::wire::FamilySet;
use bgp_core::{ConnId, Reason, Speaker};

use crate::chaos::rest;
use crate::stream::{Parcel, Phase};
use crate::topology::{asn, prefix, settings};
use crate::trace::Trace;
use crate::world::{Death, Failure, World};

/// How long it is watched whether anybody says anything.
const WATCHED: Duration = Duration::from_secs(20);

impl World {
    /// Another process takes over from a node, through octets. False if there is nothing to take over.
    ///
    /// # Errors
    /// It does not go on as it was.
    pub fn hand_over(&mut self, node: usize) -> Result<bool, Failure> {
        let Some(speaker) = &self.nodes[node].speaker else { return Ok(false) };
        let (state, routes) = match speaker.export() {
            Ok(Handover { state, routes }) => (state, routes),
            Err(ExportError::Stopping) => return Ok(false),
            Err(error) => return Err(self.failure(format!("node {node} cannot be handed over: {error}"))),
        };
        let before: Vec<_> = speaker.established().collect();
        let unreadable = |what: String| Failure { at: self.now, what: format!("node {node}: {what}") };
        let json = serde_json::to_vec(&state).map_err(|error| unreadable(error.to_string()))?;
        let state = serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
        let routes = routes.iter().map(RouteFrame::to_bytes).map(RouteFrame::from_bytes);
        let routes = routes.collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))?;
        let config = SpeakerConfig::new(self.nodes[node].settings.clone())
            .map_err(|error| unreadable(error.to_string()))?;
        let (seed, now) = (self.dice.seed(), self.now);
        let next = Speaker::import(config, seed, Handover { state, routes }, now)
            .map_err(|error| self.failure(format!("node {node} cannot be taken over: {error}")))?;
        if next.established().collect::<Vec<_>>() != before {
            return Err(self.failure(format!("node {node} has other sessions than before")));
        }
        next.check()
            .and_then(|()| next.rib().check())
            .map_err(|what| self.failure(format!("node {node}, taken over: {what}")))?;
        self.note(format_args!("node {node} is taken over with {} sessions", before.len()));
        self.nodes[node].speaker = Some(next);
        self.drop_but(node, &before.iter().map(|(conn, _)| *conn).collect());
        self.drive(node)?;
        Ok(true)
    }

    /// The process before ends, and with it the connections that it did not hand over.
    fn drop_but(&mut self, node: usize, kept: &BTreeSet<ConnId>) {
        let conns = std::mem::take(&mut self.nodes[node].conns);
        for (conn, (stream, end)) in conns {
            if kept.contains(&conn) {
                self.nodes[node].conns.insert(conn, (stream, end));
                continue;
            }
            let mine = &mut self.streams[stream].ends[end];
            mine.clear();
            mine.phase = Phase::Forgotten;
            self.post(stream, 1 - end, Parcel::Fin);
        }
    }

    /// Nobody misread a stream: a message that was cut by a hand-over is put together again.
    fn nobody_erred(&self) -> Result<(), Failure> {
        let speakers = self.nodes.iter().filter_map(|node| node.speaker.as_ref());
        let mut resets = speakers.flat_map(Speaker::peers).filter_map(|peer| peer.last_reset);
        match resets.find(|reset| matches!(reset.reason, Reason::ProtocolError { .. })) {
            Some(reset) => Err(self.failure(format!("a stream was misread: {}", reset.reason))),
            None => Ok(()),
        }
    }

    /// UPDATEs received and sessions lost, of all nodes.
    fn heard(&self) -> Vec<(u64, u64)> {
        let speakers = self.nodes.iter().filter_map(|node| node.speaker.as_ref());
        speakers.flat_map(Speaker::peers).map(|peer| (peer.received.updates, peer.dropped_count)).collect()
    }
}

/// A world of the seed's making in which hand-overs happen at any time. In the end, when all is quiet, every node is
/// handed over, and it has to stay quiet.
pub fn run(seed: u64, trace: Trace) -> (Result<(), Failure>, World) {
    let mut world = World::new(seed, trace);
    let outcome = build(&mut world).and_then(|()| trouble(&mut world)).and_then(|()| quiet(&mut world));
    (outcome, world)
}

fn build(world: &mut World) -> Result<(), Failure> {
    let count = 2 + world.dice.below(4);
    for node in 0..count {
        // Many make long messages, which short windows cut.
        let most = world.dice.pick(&[12, 12, 150]);
        let routes = world.dice.below(most);
        let shared = world.dice.chance(25);
        world.add_node(settings(node, if shared { asn(0) } else { asn(node) }, routes));
    }
    for node in 1..count {
        let (hold, keepalive) = world.dice.pick(&[(3, 1), (9, 3), (90, 30)]);
        let other = world.dice.below(node);
        world.connect(node, other, Timers { connect_retry: 1, hold, keepalive });
    }
    for node in 0..count {
        for position in 0..world.nodes[node].settings.peers.len() {
            let graceful = world.dice.chance(50);
            let send = world.dice.pick(&[None, None, Some(PathsSent::All), Some(PathsSent::Best(2))]);
            let receive = world.dice.chance(50);
            let peer = &mut world.nodes[node].settings.peers[position];
            peer.graceful_restart = graceful.then(|| GracefulRestart::new(120));
            peer.add_path = AddPath { families: FamilySet::ALL, receive, send };
        }
    }
    (0..count).try_for_each(|node| world.start(node))
}

fn trouble(world: &mut World) -> Result<(), Failure> {
    for _ in 0..60 {
        let most =
            world.dice.pick(&[Duration::from_millis(5), Duration::from_millis(60), Duration::from_secs(3)]);
        let pause = world.dice.span(most);
        let until = world.now + pause;
        world.run_until(until)?;
        let node = world.dice.below(world.nodes.len());
        match world.dice.below(10) {
            0 => {
                let link = world.dice.below(world.links.len());
                world.reset_link(link);
            }
            1 if world.nodes[node].speaker.is_some() => {
                world.kill(node, Death::Process);
                world.restart(node)?;
                world.complete(node)?;
            }
            2..=4 => {
                let index = world.dice.below(12);
                turn_route(world, node, index);
                world.configure(node)?;
            }
            _ => {
                world.hand_over(node)?;
            }
        }
        world.nobody_erred()?;
    }
    world.check_ribs()
}

fn turn_route(world: &mut World, node: usize, index: usize) {
    let prefix = prefix(node, index);
    let routes = &mut world.nodes[node].settings.routes;
    match routes.iter().position(|route| route.prefix == prefix) {
        Some(position) => drop(routes.remove(position)),
        None => routes.push(OriginatedRoute { med: Some(5), ..OriginatedRoute::new(prefix) }),
    }
}

fn quiet(world: &mut World) -> Result<(), Failure> {
    rest(world)?;
    world.check_at_rest()?;
    let before = world.heard();
    for node in 0..world.nodes.len() {
        world.hand_over(node)?;
    }
    let until = world.now + WATCHED;
    world.run_until(until)?;
    let after = world.heard();
    if before != after {
        return Err(world.failure(format!("somebody heard of a hand-over: {before:?}, then {after:?}")));
    }
    world.check_at_rest()
}
