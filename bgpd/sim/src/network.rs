//! What happens between nodes: dials, accepts, and parcels on their way.
//!
//! A dial is a SYN that takes its time, an answer that takes its time, and an accept when the handshake is over, so that both
//! ends of a simultaneous open really cross. Octets leave a driver's queue in portions of any size, as the window allows.
//!
//! Invariant: a speaker hears of a connection exactly what its kernel could tell it, and nothing after it said `Close`.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_core::{CloseReason, ConnId, Connect, Endpoints, SEND_QUEUE_LEN};

use crate::stream::{Parcel, Phase, Stream};
use crate::world::{Failure, Link, LinkState, Node, What, World};

impl World {
    pub(crate) fn syn(&mut self, stream: usize) {
        let link = &self.links[self.streams[stream].link];
        if link.state != LinkState::Up {
            return;
        }
        let delay = link.delay;
        let listener = self.streams[stream].ends[1].node;
        if self.nodes[listener].speaker.is_some() {
            self.schedule(delay, What::Connected(stream));
            self.schedule(delay * 2, What::Accept(stream));
        } else {
            self.schedule(delay, What::Refused(stream));
        }
    }

    pub(crate) fn connected(&mut self, stream: usize) -> Result<(), Failure> {
        let Stream { ends: [mine, theirs], .. } = &self.streams[stream];
        let (node, conn, peer) = (mine.node, mine.conn, theirs.node);
        match mine.phase {
            Phase::Waiting => {}
            // Given up meanwhile: the other end learns it like any close.
            Phase::Closed => {
                self.post(stream, 1, Parcel::Fin);
                return Ok(());
            }
            Phase::Open | Phase::Forgotten => return Ok(()),
        }
        self.streams[stream].ends[0].phase = Phase::Open;
        self.release_held(stream, 0);
        let port = u16::try_from(20_000 + stream % 40_000).unwrap_or(20_000);
        let endpoints = endpoints(node, port, peer, 179);
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[node].speaker {
            speaker.handle_connected(conn, endpoints, now);
        }
        self.drive(node)
    }

    pub(crate) fn accept(&mut self, stream: usize) -> Result<(), Failure> {
        let Stream { ends: [theirs, mine], .. } = &self.streams[stream];
        let (node, peer) = (mine.node, theirs.node);
        if mine.phase != Phase::Waiting {
            return Ok(());
        }
        let now = self.now;
        let Node { speaker: Some(speaker), conns, next_accepted, .. } = &mut self.nodes[node] else {
            self.streams[stream].ends[1].phase = Phase::Forgotten;
            self.release_held(stream, 1);
            return Ok(());
        };
        let conn = *next_accepted;
        *next_accepted = conn.next();
        let port = u16::try_from(20_000 + stream % 40_000).unwrap_or(20_000);
        let answer = speaker.handle_accepted(conn, endpoints(node, 179, peer, port), None, now);
        let end = &mut self.streams[stream].ends[1];
        end.conn = conn;
        match answer {
            Ok(_) => {
                conns.insert(conn, (stream, 1));
                end.phase = Phase::Open;
            }
            Err(refusal) => {
                end.phase = Phase::Closed;
                end.enqueue(refusal.notification().encode());
                end.closing = true;
                self.note(format_args!("node {node} refuses node {peer}: {refusal}"));
                self.pump(stream, 1);
            }
        }
        self.release_held(stream, 1);
        self.drive(node)
    }

    pub(crate) fn arrive(&mut self, stream: usize, end: usize) -> Result<(), Failure> {
        let link_up = self.links[self.streams[stream].link].state == LinkState::Up;
        let state = &mut self.streams[stream].ends[end];
        if !link_up || state.phase == Phase::Waiting {
            state.held += 1;
            return Ok(());
        }
        let (node, conn, phase) = (state.node, state.conn, state.phase);
        if phase == Phase::Forgotten && self.nodes[node].speaker.is_none() {
            // The machine is off; it will answer when it is on again.
            state.held += 1;
            return Ok(());
        }
        let Some(parcel) = state.inbox.pop_front() else { return Ok(()) };
        if phase == Phase::Forgotten && matches!(parcel, Parcel::Data(_)) {
            self.post(stream, 1 - end, Parcel::Reset("connection reset by peer".into()));
        }
        let now = self.now;
        let reason = match parcel {
            Parcel::Data(bytes) => {
                self.figures.octets += bytes.len() as u64;
                self.streams[stream].ends[1 - end].in_flight -= bytes.len();
                if let Some(speaker) = self.nodes[node].speaker.as_mut().filter(|_| phase == Phase::Open) {
                    speaker.handle_bytes(conn, &bytes, now);
                }
                self.pump(stream, 1 - end);
                let other = self.streams[stream].ends[1 - end].node;
                self.drive(node)?;
                return self.drive(other);
            }
            Parcel::Fin => CloseReason::Eof,
            Parcel::Reset(text) => CloseReason::Error(text),
        };
        if phase == Phase::Open {
            let state = &mut self.streams[stream].ends[end];
            state.phase = Phase::Closed;
            state.clear();
            if !state.fin_sent {
                self.post(stream, 1 - end, Parcel::Fin);
                self.streams[stream].ends[end].fin_sent = true;
            }
            self.nodes[node].conns.remove(&conn);
            if let Some(speaker) = &mut self.nodes[node].speaker {
                speaker.handle_closed(conn, reason, now);
            }
            self.drive(node)?;
        }
        Ok(())
    }

    pub(crate) fn dial(&mut self, node: usize, connect: Connect) {
        self.figures.dials += 1;
        let target = (0..self.nodes.len()).find(|other| Self::address(*other) == connect.remote.ip());
        let link = target.and_then(|target| {
            self.links.iter().position(|link| link.ends == [node, target] || link.ends == [target, node])
        });
        let (Some(target), Some(link)) = (target, link) else { return };
        let window = 1 << (8 + self.dice.below(9));
        let stream = self.streams.len();
        self.streams.push(Stream::new(link, window, (node, connect.conn), (target, ConnId::new(u64::MAX))));
        self.nodes[node].conns.insert(connect.conn, (stream, 0));
        let delay = self.latency(link);
        if self.links[link].state == LinkState::Unreachable {
            self.schedule(delay, What::Refused(stream));
        } else {
            self.schedule(delay, What::Syn(stream));
        }
    }

    pub(crate) fn fail_dial(&mut self, stream: usize, text: &str) {
        let end = &mut self.streams[stream].ends[0];
        if end.phase != Phase::Waiting {
            return;
        }
        end.phase = Phase::Closed;
        let (node, conn) = (end.node, end.conn);
        self.nodes[node].conns.remove(&conn);
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[node].speaker {
            speaker.handle_connect_failed(conn, Arc::<str>::from(text), now);
        }
    }

    pub(crate) fn close(&mut self, node: usize, conn: ConnId) {
        let Some((stream, end)) = self.nodes[node].conns.remove(&conn) else { return };
        let state = &mut self.streams[stream].ends[end];
        let was = std::mem::replace(&mut state.phase, Phase::Closed);
        if was == Phase::Open {
            state.closing = true;
            self.schedule(LINGER, What::LingerOver(stream, end));
            self.pump(stream, end);
        }
    }

    /// Moves octets from a driver's queue onto the link, as the window allows, and tells the speaker.
    pub(crate) fn pump(&mut self, stream: usize, end: usize) {
        let Stream { link, window, ends } = &mut self.streams[stream];
        let (link, window) = (*link, *window);
        if ends[end].phase == Phase::Forgotten || self.links[link].state != LinkState::Up {
            return;
        }
        let mut moved = false;
        loop {
            let room = window.saturating_sub(self.streams[stream].ends[end].in_flight);
            if room == 0 {
                break;
            }
            // Any cut of the stream is possible.
            let portion = if self.dice.chance(30) { 1 + self.dice.below(room) } else { room };
            let Some(bytes) = self.streams[stream].ends[end].dequeue(portion) else { break };
            moved = true;
            self.streams[stream].ends[end].in_flight += bytes.len();
            self.post(stream, 1 - end, Parcel::Data(bytes));
        }
        let state = &mut self.streams[stream].ends[end];
        if state.closing && state.queue.is_empty() && !state.fin_sent {
            state.fin_sent = true;
            self.post(stream, 1 - end, Parcel::Fin);
        }
        let state = &self.streams[stream].ends[end];
        let (node, conn, free) = (state.node, state.conn, SEND_QUEUE_LEN.saturating_sub(state.queued));
        let now = self.now;
        if moved
            && state.phase == Phase::Open
            && let Some(speaker) = &mut self.nodes[node].speaker
        {
            speaker.handle_writable(conn, free, now);
        }
    }

    /// Puts a parcel on its way to an end.
    pub(crate) fn post(&mut self, stream: usize, end: usize, parcel: Parcel) {
        let latency = self.latency(self.streams[stream].link);
        let at = self.now + latency;
        let state = &mut self.streams[stream].ends[end];
        state.inbox.push_back(parcel);
        state.last_arrival = state.last_arrival.max(at);
        let at = state.last_arrival;
        self.schedule_at(at, What::Arrive(stream, end));
    }

    /// Lets arrivals happen that had to wait.
    pub(crate) fn release_held(&mut self, stream: usize, end: usize) {
        for _ in 0..std::mem::take(&mut self.streams[stream].ends[end].held) {
            self.schedule(Duration::ZERO, What::Arrive(stream, end));
        }
    }

    fn latency(&mut self, link: usize) -> Duration {
        let Link { delay, jitter, .. } = self.links[link];
        delay + self.dice.span(jitter)
    }

    /// Connections between two nodes that both speakers take for open.
    #[must_use]
    pub fn open_streams(&self, one: usize, other: usize) -> usize {
        let between = |stream: &&Stream| {
            let nodes = [stream.ends[0].node, stream.ends[1].node];
            nodes == [one, other] || nodes == [other, one]
        };
        let open = |stream: &&Stream| stream.ends.iter().all(|end| end.phase == Phase::Open);
        self.streams.iter().filter(between).filter(open).count()
    }

    /// Whether octets are queued or on their way between nodes that live.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.streams.iter().any(|stream| {
            stream.ends.iter().all(|end| end.phase == Phase::Open)
                && stream.ends.iter().any(|end| end.queued > 0 || end.in_flight > 0)
        })
    }

    /// A machine that was off is on again: what was sent to it meanwhile is answered.
    pub(crate) fn answer_for_the_dead(&mut self, node: usize) {
        for stream in 0..self.streams.len() {
            for end in 0..2 {
                let state = &self.streams[stream].ends[end];
                if state.node == node && state.phase == Phase::Forgotten {
                    self.release_held(stream, end);
                }
            }
        }
    }
}

/// Both ends of a connection, with an IPv6 address for each node so that both families have a next hop.
fn endpoints(node: usize, port: u16, peer: usize, peer_port: u16) -> Endpoints {
    let local = SocketAddr::new(World::address(node), port);
    let remote = SocketAddr::new(World::address(peer), peer_port);
    let low = u16::try_from(node + 1).unwrap_or_default();
    let local_v6 = Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low));
    Endpoints { local_v6, ..Endpoints::new(local, remote) }
}
/// How long a driver flushes before it closes.
const LINGER: Duration = Duration::from_secs(1);
