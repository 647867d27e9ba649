//! Nodes, links and the clock: one event at a time, the earliest first.
//!
//! A node is a real [`Speaker`] and what its driver would be. Everything between nodes is made up here: addresses, dials,
//! streams with delay and a window, links that are cut, machines that are restarted.
//!
//! Invariant: a run is a function of its seed and of the calls made on the [`World`]. Nothing reads a clock, an address of
//! memory or the order of a hash table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp_core::config::{SpeakerConfig, SpeakerSettings};
use bgp_core::{Action, Command, ConnId, Event, EventKind, Speaker, State, Time};

use crate::dice::Dice;
use crate::stream::{Parcel, Phase, Stream};
use crate::trace::Trace;

/// What went wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

/// How a link is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Packets arrive.
    Up,
    /// Packets vanish, and nobody is told.
    Cut,
    /// As cut, and dials fail at once.
    Unreachable,
}

/// How a node ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process: its machine closes all connections.
    Process,
    /// The machine: nobody is told.
    Machine,
}

/// A speaker and its machine.
pub struct Node {
    /// What it is configured to be, also while it is down.
    pub settings: SpeakerSettings,
    /// The speaker, unless the node is down.
    pub speaker: Option<Speaker>,
    pub(crate) conns: BTreeMap<ConnId, (usize, usize)>,
    pub(crate) next_accepted: ConnId,
    /// When it was killed last.
    pub died_at: Option<Time>,
    /// Its entry in the list of wake-ups.
    wake: Option<Time>,
}

/// A link between two nodes.
#[derive(Clone, Debug)]
pub struct Link {
    /// The nodes.
    pub ends: [usize; 2],
    /// How it is.
    pub state: LinkState,
    /// How long a packet takes.
    pub delay: Duration,
    /// By how much that varies.
    pub jitter: Duration,
}

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events handled.
    pub steps: u64,
    /// Connections dialed.
    pub dials: u64,
    /// Sessions that became Established, counted at both ends.
    pub established: u64,
    /// Sessions that went down, counted at both ends.
    pub dropped: u64,
    /// Collisions resolved.
    pub collisions: u64,
    /// Octets that arrived.
    pub octets: u64,
    /// Nodes that came back and said so (RFC 4724).
    pub restarts: u64,
    /// Ends of sessions after which routes were kept.
    pub kept: u64,
    /// Stale routes that were swept.
    pub swept: u64,
    /// Times the world fell into two parts.
    pub partitions: u64,
    /// Connections that no speaker opened.
    pub ghosts: u64,
    /// Configurations that changed something.
    pub configured: u64,
}

impl Figures {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.dials += other.dials;
        self.established += other.established;
        self.dropped += other.dropped;
        self.collisions += other.collisions;
        self.octets += other.octets;
        self.restarts += other.restarts;
        self.kept += other.kept;
        self.swept += other.swept;
        self.partitions += other.partitions;
        self.ghosts += other.ghosts;
        self.configured += other.configured;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A SYN reaches the listening end.
    Syn(usize),
    /// The answer reaches the dialing end.
    Connected(usize),
    /// A refusal reaches the dialing end.
    Refused(usize),
    /// The handshake is over at the listening end.
    Accept(usize),
    /// A parcel reaches an end.
    Arrive(usize, usize),
    /// An end that closes has had its time to flush.
    LingerOver(usize, usize),
    /// A connection that no speaker opened has lasted long enough.
    GhostOver(usize),
}

/// All of it.
pub struct World {
    /// The time.
    pub now: Time,
    /// All randomness.
    pub dice: Dice,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The links.
    pub links: Vec<Link>,
    /// What happened last.
    pub trace: Trace,
    /// Figures so far.
    pub figures: Figures,
    pub(crate) streams: Vec<Stream>,
    /// When which node wants to be woken.
    wakes: BTreeSet<(Time, usize)>,
    queue: BinaryHeap<Reverse<(Time, u64, What)>>,
    sequence: u64,
    /// Events since the clock moved last.
    crowd: u32,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64, trace: Trace) -> Self {
        Self {
            // Not zero: nothing may depend on the origin.
            now: Time::ZERO + Duration::from_secs(1_000_000),
            dice: Dice::new(seed),
            nodes: Vec::new(),
            links: Vec::new(),
            trace,
            figures: Figures::default(),
            streams: Vec::new(),
            wakes: BTreeSet::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            crowd: 0,
        }
    }

    /// The address of a node.
    #[must_use]
    pub fn address(node: usize) -> IpAddr {
        let [_, _, high, low] = u32::try_from(node + 1).unwrap_or_default().to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 200, high, low))
    }

    /// Adds a node that is down, configured as `settings` says.
    pub fn add_node(&mut self, settings: SpeakerSettings) -> usize {
        self.nodes.push(Node {
            settings,
            speaker: None,
            died_at: None,
            conns: BTreeMap::new(),
            next_accepted: ConnId::FIRST_ACCEPTED,
            wake: None,
        });
        self.nodes.len() - 1
    }

    /// Adds a link.
    pub fn add_link(&mut self, one: usize, other: usize, delay: Duration, jitter: Duration) -> usize {
        self.links.push(Link { ends: [one, other], state: LinkState::Up, delay, jitter });
        self.links.len() - 1
    }

    /// Starts a node, or restarts one that was killed.
    ///
    /// # Errors
    /// Its settings are refused.
    pub fn start(&mut self, node: usize) -> Result<(), Failure> {
        let seed = self.dice.seed();
        let config = SpeakerConfig::new(self.nodes[node].settings.clone())
            .map_err(|error| self.failure(format!("settings of node {node}: {error}")))?;
        self.note(format_args!("node {node} starts"));
        self.rise(node, Speaker::new(config, seed, self.now))
    }

    /// Restarts a node that was killed, so that it takes over from what it was. Its owner has not spoken yet
    /// ([`World::complete`]).
    ///
    /// # Errors
    /// Its settings are refused.
    pub fn restart(&mut self, node: usize) -> Result<(), Failure> {
        let seed = self.dice.seed();
        let config = SpeakerConfig::new(self.nodes[node].settings.clone())
            .map_err(|error| self.failure(format!("settings of node {node}: {error}")))?;
        self.note(format_args!("node {node} restarts"));
        self.figures.restarts += 1;
        self.rise(node, Speaker::restarting(config, seed, self.now))
    }

    /// The owner of a node says that its settings are all there is.
    ///
    /// # Errors
    /// What it leads to breaks an invariant.
    pub fn complete(&mut self, node: usize) -> Result<(), Failure> {
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[node].speaker {
            speaker.handle_intent_complete(now);
        }
        self.drive(node)
    }

    fn rise(&mut self, node: usize, speaker: Speaker) -> Result<(), Failure> {
        self.nodes[node].speaker = Some(speaker);
        self.answer_for_the_dead(node);
        self.drive(node)
    }

    /// Ends a node without a word from its speaker.
    pub fn kill(&mut self, node: usize, death: Death) {
        self.note(format_args!("node {node} dies: {death:?}"));
        self.nodes[node].speaker = None;
        self.nodes[node].died_at = Some(self.now);
        self.set_wake(node, None);
        let conns = std::mem::take(&mut self.nodes[node].conns);
        for (stream, end) in conns.into_values() {
            let mine = &mut self.streams[stream].ends[end];
            mine.clear();
            mine.phase = Phase::Forgotten;
            if death == Death::Process {
                let parcel = if self.dice.chance(50) {
                    Parcel::Fin
                } else {
                    Parcel::Reset("connection reset by peer".into())
                };
                self.post(stream, 1 - end, parcel);
            }
        }
    }

    /// Changes a link.
    pub fn set_link(&mut self, link: usize, state: LinkState) {
        let ends = self.links[link].ends;
        self.note(format_args!("link {link} {ends:?} is {state:?}"));
        let was = std::mem::replace(&mut self.links[link].state, state);
        if was != LinkState::Up && state == LinkState::Up {
            for stream in 0..self.streams.len() {
                if self.streams[stream].link == link {
                    self.release_held(stream, 0);
                    self.release_held(stream, 1);
                    self.pump(stream, 0);
                    self.pump(stream, 1);
                }
            }
        }
    }

    /// Cuts every link between some nodes and the others.
    pub fn partition(&mut self) {
        let side: Vec<bool> = self.nodes.iter().map(|_| self.dice.chance(50)).collect();
        let between = |link: &Link| side[link.ends[0]] != side[link.ends[1]];
        let cut: Vec<usize> =
            self.links.iter().enumerate().filter(|(_, link)| between(link)).map(|(link, _)| link).collect();
        self.figures.partitions += u64::from(!cut.is_empty());
        for link in cut {
            self.set_link(link, LinkState::Cut);
        }
    }

    /// Ends a node after its speaker said what it had to say ([`Command::Leave`], [`Command::Stop`]).
    ///
    /// # Errors
    /// What it leads to breaks an invariant.
    pub fn leave(&mut self, node: usize, command: Command) -> Result<(), Failure> {
        self.command(node, command)?;
        let until = self.now + Duration::from_secs(1);
        self.run_until(until)?;
        self.kill(node, Death::Process);
        Ok(())
    }

    /// Breaks the connections on a link, so that both ends are told.
    pub fn reset_link(&mut self, link: usize) {
        let ends = self.links[link].ends;
        self.note(format_args!("link {link} {ends:?} loses its connections"));
        for stream in 0..self.streams.len() {
            if self.streams[stream].link == link {
                for end in 0..2 {
                    if self.streams[stream].ends[end].phase == Phase::Open {
                        self.post(stream, end, Parcel::Reset("no route to host".into()));
                    }
                }
            }
        }
    }

    /// Gives a node the settings it holds now.
    ///
    /// # Errors
    /// They are refused, or what they lead to breaks an invariant.
    pub fn configure(&mut self, node: usize) -> Result<(), Failure> {
        let config = SpeakerConfig::new(self.nodes[node].settings.clone())
            .map_err(|error| self.failure(format!("settings of node {node}: {error}")))?;
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[node].speaker {
            let planned = speaker.plan_config(&config);
            let changes = speaker.handle_config(config, now);
            // Only a new peer's number is not known before.
            let effects = |changes: &[bgp_core::ConfigChange]| -> Vec<_> {
                changes.iter().map(|change| (change.name.clone(), change.effect.clone())).collect()
            };
            if effects(&planned) != effects(&changes) {
                return Err(self.failure(format!("node {node} planned {planned:?} and did {changes:?}")));
            }
            self.figures.configured += u64::from(!changes.is_empty());
            self.note(format_args!("node {node} is configured: {changes:?}"));
        }
        self.drive(node)
    }

    /// Gives a command to a node. A refusal is an answer, too.
    ///
    /// # Errors
    /// What it leads to breaks an invariant.
    pub fn command(&mut self, node: usize, command: Command) -> Result<(), Failure> {
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[node].speaker {
            let shown = format!("{command:?}");
            let answer = speaker.handle_command(command, now);
            self.note(format_args!("node {node} is told {shown}: {answer:?}"));
        }
        self.drive(node)
    }

    /// Runs until `end`, with everything that happens on the way.
    ///
    /// # Errors
    /// An invariant is broken, or the clock stands still.
    pub fn run_until(&mut self, end: Time) -> Result<(), Failure> {
        while self.step(end)? {}
        self.now = self.now.max(end);
        Ok(())
    }

    /// Handles the earliest event before `end`. Returns false if there is none.
    fn step(&mut self, end: Time) -> Result<bool, Failure> {
        let queued = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let timeout = self.wakes.first().copied();
        let next = [queued, timeout.map(|(at, _)| at)].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else { return Ok(false) };
        self.crowd = if at > self.now { 0 } else { self.crowd + 1 };
        if self.crowd > CROWD_LIMIT {
            return Err(self.failure(format!("livelock: {CROWD_LIMIT} events and the clock did not move")));
        }
        self.now = self.now.max(at);
        self.figures.steps += 1;
        match timeout {
            Some((due, node)) if queued.is_none_or(|queued| due <= queued) => {
                let now = self.now;
                if let Some(speaker) = &mut self.nodes[node].speaker {
                    speaker.handle_timeout(now);
                }
                self.drive(node)?;
            }
            _ => {
                if let Some(Reverse((_, _, what))) = self.queue.pop() {
                    self.handle(what)?;
                }
            }
        }
        Ok(true)
    }

    fn handle(&mut self, what: What) -> Result<(), Failure> {
        match what {
            What::Syn(stream) => {
                self.syn(stream);
                Ok(())
            }
            What::Connected(stream) => self.connected(stream),
            What::Refused(stream) => {
                let node = self.streams[stream].ends[0].node;
                self.fail_dial(stream, "connection refused");
                self.drive(node)
            }
            What::Accept(stream) => self.accept(stream),
            What::Arrive(stream, end) => self.arrive(stream, end),
            What::GhostOver(stream) => {
                self.end_ghost(stream);
                Ok(())
            }
            What::LingerOver(stream, end) => {
                let state = &mut self.streams[stream].ends[end];
                if state.closing && !state.fin_sent {
                    state.queue.clear();
                    state.queued = 0;
                    self.pump(stream, end);
                }
                Ok(())
            }
        }
    }

    /// Does what a driver does after every input: sends, acts, listens to events, until there is nothing left.
    pub(crate) fn drive(&mut self, node: usize) -> Result<(), Failure> {
        let now = self.now;
        for _ in 0..DRIVE_LIMIT {
            let Some(speaker) = &mut self.nodes[node].speaker else { return Ok(()) };
            if let Some(transmit) = speaker.poll_transmit(now) {
                let Some(&(stream, end)) = self.nodes[node].conns.get(&transmit.conn) else { continue };
                self.streams[stream].ends[end].enqueue(transmit.bytes);
                self.pump(stream, end);
                continue;
            }
            if let Some(action) = speaker.poll_action() {
                match action {
                    Action::Connect(connect) => self.dial(node, connect),
                    Action::Close { conn } => self.close(node, conn),
                    // Virtual links have neither keys nor hops.
                    Action::Protect { .. } => {}
                }
                continue;
            }
            while let Some(event) = speaker.poll_event() {
                self.figures.count(&event.kind);
                self.trace.note(now, format_args!("node {node} {}", shown(&event)));
            }
            let (wake, checked) = (speaker.poll_timeout(), speaker.check());
            self.set_wake(node, wake);
            return checked.map_err(|what| self.failure(format!("node {node}: {what}")));
        }
        Err(self.failure(format!("livelock: node {node} never runs out of things to do")))
    }

    pub(crate) fn set_wake(&mut self, node: usize, wake: Option<Time>) {
        let noted = std::mem::replace(&mut self.nodes[node].wake, wake);
        if noted != wake {
            noted.map(|at| self.wakes.remove(&(at, node)));
            wake.map(|at| self.wakes.insert((at, node)));
        }
    }

    pub(crate) fn schedule(&mut self, after: Duration, what: What) {
        self.schedule_at(self.now + after, what);
    }

    pub(crate) fn schedule_at(&mut self, at: Time, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, what)));
    }

    pub(crate) fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, line);
    }

    /// A failure, now.
    #[must_use]
    pub fn failure(&self, what: String) -> Failure {
        Failure { at: self.now, what }
    }
}

impl Figures {
    fn count(&mut self, event: &EventKind) {
        match event {
            EventKind::StateChanged { to: State::Established, .. } => self.established += 1,
            EventKind::StateChanged { from: State::Established, .. } => self.dropped += 1,
            EventKind::CollisionResolved { .. } => self.collisions += 1,
            EventKind::StaleKept { .. } => self.kept += 1,
            EventKind::StaleSwept { routes, .. } => self.swept += u64::from(*routes),
            _ => {}
        }
    }
}

fn shown(event: &Event) -> String {
    let Event { name, kind, .. } = event;
    match kind {
        EventKind::StateChanged { from, to, reason } => format!("{name}: {from} -> {to}, {reason}"),
        EventKind::NotificationSent(sent) => format!("{name}: sent {sent}"),
        EventKind::NotificationReceived(received) => format!("{name}: received {received}"),
        other => format!("{name}: {other:?}"),
    }
}

/// Events without the clock moving that are taken for a livelock.
const CROWD_LIMIT: u32 = 200_000;
/// Polls after one input that are taken for a livelock.
const DRIVE_LIMIT: u32 = 1_000_000;
