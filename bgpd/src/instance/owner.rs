//! The task that owns one instance: its speaker, its sockets and its timers. It moves values between them and decides
//! nothing about BGP.
//!
//! There is no lock and no other task: the kernel says which sockets are ready ([`IoEvent`]), requests come in over a
//! bounded channel, and after each the speaker is polled until it has nothing more to say.
//!
//! Invariants: [`bgp_core::Action::Close`] is carried out after everything that was to be sent before it was queued; no
//! connection holds more than [`SEND_QUEUE_LEN`] octets of UPDATEs; one turn of the loop does a bounded amount of work, so
//! that timers and requests are never starved; between two turns the runtime looks at every socket, so that no peer is
//! heard at the cost of another.

mod handover;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_core::config::Protection;
use bgp_core::{
    Action, CloseReason, Command, ConfigChange, ConnId, Connect, PeerId, SEND_QUEUE_LEN, Speaker,
};
use futures::future::{AbortHandle, FutureExt, abortable};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::handover::{Freeze, TakenSession};

use crate::clock::Clock;
use crate::config::resolve::InstanceConfig;
use crate::instance::connection::Connection;
use crate::instance::counters::InstanceCounters;
use crate::instance::endpoints::{endpoints, scope_name};
use crate::instance::io::{IoEvent, IoFuture, accept, dial, forget_readiness, plain, sleep_until};
use crate::instance::journal;
use crate::instance::listener::{Listener, Listeners};
use crate::instance::restraint::{Restraint, Subject};
use crate::instance::snapshot::Publisher;
use crate::instance::{Request, StopMode, TcpStates};
use crate::sockopt;

/// One read takes at most this much; one buffer of this size serves all connections of the instance.
const READ_LEN: usize = 64 * 1024;
/// How often one turn refills and writes before other events get a look.
const ROUNDS: usize = 8;
/// How many sockets are served before the speaker is asked for its answers.
const READY_EVENTS: usize = 16;
/// So long may serving them take; then the speaker's answers, KEEPALIVEs among them, get out first.
const TURN: Duration = Duration::from_millis(20);
/// A deadline that is later than this says more about us than about the peers.
const LATE: Duration = Duration::from_millis(50);
/// Closing connections that may wait for their peers at the same time; more are closed at once.
const LINGERING: usize = 256;
/// How much of a broken connection is still read, in buffers.
const LAST_READS: usize = 16;
/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long a pause after the kernel refused to accept (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All that belongs to one running instance.
pub(super) struct Owner {
    clock: Clock,
    speaker: Speaker,
    listeners: Listeners,
    connections: HashMap<ConnId, Connection>,
    dials: HashMap<ConnId, AbortHandle>,
    io: FuturesUnordered<IoFuture>,
    lingering: usize,
    next_accepted: ConnId,
    buffer: Vec<u8>,
    counters: InstanceCounters,
    restraint: Restraint,
    publisher: Publisher,
    stopping: Option<Instant>,
    /// The log has not said yet that the restart is over.
    restarting: bool,
    started: Instant,
    /// Another process wants to take over.
    freeze: Option<Freeze>,
    more: bool,
}

impl Owner {
    /// A new instance. Call within its runtime.
    #[must_use]
    pub(super) fn new(
        config: InstanceConfig,
        seed: u64,
        clock: Clock,
        publisher: Publisher,
        restarting: bool,
    ) -> Self {
        let begin = if restarting { Speaker::restarting } else { Speaker::new };
        let mut owner = Self {
            clock,
            speaker: begin(config.speaker.clone(), seed, clock.now()),
            restarting,
            started: Instant::now(),
            listeners: Listeners::default(),
            connections: HashMap::new(),
            dials: HashMap::new(),
            io: FuturesUnordered::new(),
            lingering: 0,
            next_accepted: ConnId::FIRST_ACCEPTED,
            buffer: vec![0; READ_LEN],
            counters: InstanceCounters::default(),
            restraint: Restraint::default(),
            publisher,
            stopping: None,
            freeze: None,
            more: false,
        };
        if restarting {
            let instance = &*config.speaker.name;
            tracing::info!(instance, "graceful restart: routes are advertised when all are known again");
        }
        let changed = owner.listeners.configure(&config.listen, &config.speaker, Instant::now());
        owner.accept_from(changed.opened);
        owner.pump();
        owner
    }

    /// Runs until a stop was carried out or every [`Request`] sender is gone.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            self.publish();
            // The runtime asks the kernel for news only when we let it. A socket that is always ready (a peer that floods)
            // would otherwise be the only one we hear of, until every other peer's hold timer had expired.
            tokio::task::yield_now().await;
            let deadline = self.deadline();
            tokio::select! {
                biased;
                request = requests.recv(), if self.stopping.is_none() => match request {
                    Some(request) => self.handle_request(request),
                    None => self.stop(StopMode::Graceful { text: None }),
                },
                () = sleep_until(deadline) => {}
                Some(event) = self.io.next() => self.handle_io(event),
                // More to do at once.
                () = std::future::ready(()), if self.more => {}
            }
            if let Some(freeze) = self.freeze.take() {
                self.freeze(freeze).await;
            }
            // What a peer said in time counts before its hold timer does.
            self.take_ready_io();
            // In every turn: whoever asks without end must not keep us from our KEEPALIVEs.
            if deadline.is_some_and(|at| at <= Instant::now()) {
                self.handle_deadline();
            }
            self.pump();
            if self.stopping.is_some_and(|limit| self.is_quiet() || limit <= Instant::now()) {
                self.publish();
                return;
            }
        }
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Configure { config, reply } => {
                let changes = self.configure(*config);
                // Whoever asked may have gone away; the configuration holds all the same.
                let _gone = reply.send(changes);
            }
            Request::Inspect(question) => {
                question(&self.speaker, &self.clock);
                return;
            }
            Request::TcpStates { reply } => {
                let _gone = reply.send(self.tcp_states());
                return;
            }
            Request::Command { command, reply } => {
                let _gone = reply.send(self.speaker.handle_command(command, self.clock.now()));
            }
            Request::IntentComplete => self.speaker.handle_intent_complete(self.clock.now()),
            Request::Freeze(freeze) => self.freeze = Some(freeze),
            Request::Stop(mode) => self.stop(mode),
        }
        self.publisher.mark_now();
    }

    fn tcp_states(&self) -> TcpStates {
        let state = |connection: &Connection| {
            let stream = connection.stream();
            let ends = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
            Some((ends, sockopt::tcp_state(stream).ok()?))
        };
        self.connections.values().filter_map(state).collect()
    }

    fn configure(&mut self, config: InstanceConfig) -> Vec<ConfigChange> {
        let mut listening = self.listeners.configure(&config.listen, &config.speaker, Instant::now());
        self.accept_from(std::mem::take(&mut listening.opened));
        let changes = self.speaker.handle_config(config.speaker, self.clock.now());
        for (stream, remote) in std::mem::take(&mut listening.waiting) {
            if listening.is_unsigned(remote.ip()) {
                let instance = &*self.speaker.config().name;
                tracing::warn!(instance, %remote, "connection refused: it came in unsigned, just before its key was set");
                self.counters.refused("unsigned");
            } else {
                self.admit(stream, remote);
            }
        }
        self.counters.keep_only(|peer| self.speaker.peer(peer).is_some());
        self.restraint.keep_only(|peer| self.speaker.peer(peer).is_some());
        changes
    }

    fn stop(&mut self, mode: StopMode) {
        self.listeners.close();
        self.stopping = Some(Instant::now() + STOP_LIMIT);
        let command = match mode {
            StopMode::Graceful { text } => Command::Stop { text: text.map(Arc::from) },
            StopMode::Restart => Command::Leave,
        };
        // Stopping cannot be refused: it names no peer.
        let _always_done = self.speaker.handle_command(command, self.clock.now());
    }

    fn is_quiet(&self) -> bool {
        self.connections.is_empty() && self.lingering == 0
    }

    fn deadline(&self) -> Option<Instant> {
        let speaker = self.speaker.poll_timeout().map(|at| Instant::from_std(self.clock.instant(at)));
        [speaker, self.listeners.retry_at(), self.publisher.due(), self.stopping].into_iter().flatten().min()
    }

    fn handle_deadline(&mut self) {
        // We slept or were busy: what came meanwhile counts before any peer is judged by the clock.
        if self.deadline().is_some_and(|at| at.elapsed() > LATE) {
            let all: Vec<ConnId> = self.connections.keys().copied().collect();
            for conn in all {
                self.read_now(conn);
            }
        }
        self.speaker.handle_timeout(self.clock.now());
        let opened = self.listeners.retry(Instant::now());
        self.accept_from(opened);
    }

    fn publish(&mut self) {
        self.publisher.publish(&self.speaker, &self.listeners, &self.counters, &self.clock);
    }

    // What the sockets say.

    /// Takes what else is ready, so that one answer covers what came together.
    fn take_ready_io(&mut self) {
        let begun = Instant::now();
        for _ in 0..READY_EVENTS {
            if begun.elapsed() > TURN {
                return;
            }
            match self.io.next().now_or_never() {
                Some(Some(event)) => self.handle_io(event),
                _ => return,
            }
        }
    }

    fn handle_io(&mut self, event: IoEvent) {
        match event {
            IoEvent::Readable(conn, result) => self.read(conn, result),
            IoEvent::Writable(conn, result) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.write_armed = false;
                    match result {
                        Ok(()) => self.write(conn),
                        Err(error) => self.lost(conn, &error),
                    }
                }
            }
            IoEvent::Accepted(listener, result) => self.accepted(&listener, result),
            IoEvent::Dialed(conn, result) => self.dialed(conn, result),
            IoEvent::Done => self.lingering = self.lingering.saturating_sub(1),
        }
    }

    fn read(&mut self, conn: ConnId, ready: io::Result<()>) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let result = ready.and_then(|()| connection.stream().try_read(&mut self.buffer));
        match result {
            Ok(0) => self.closed(conn, CloseReason::Eof),
            Ok(length) => {
                if length < self.buffer.len() {
                    forget_readiness(connection.stream());
                }
                self.speaker.handle_bytes(conn, &self.buffer[..length], self.clock.now());
                self.publisher.mark();
                self.wait_readable(conn);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.wait_readable(conn);
            }
            Err(error) => self.lost(conn, &error),
        }
    }

    /// Reads once without having been told that there is something. Returns whether there may be more.
    fn read_now(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get(&conn) else { return false };
        match connection.read_now(&mut self.buffer) {
            Ok(length) if length > 0 => {
                self.speaker.handle_bytes(conn, &self.buffer[..length], self.clock.now());
                self.publisher.mark();
                true
            }
            // An end is reported to whoever waits for the socket.
            Ok(_) => false,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                false
            }
            // The kernel says it once only.
            Err(error) => {
                self.lost(conn, &error);
                false
            }
        }
    }

    fn write(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.write() {
            Ok(written) => {
                let queued = connection.queued();
                let now = self.clock.now();
                while let Some(sent) = connection.sent_keepalive() {
                    self.counters.keepalive_sent(now.since(sent.due), sent.behind);
                }
                if queued > 0 && !connection.write_armed {
                    connection.write_armed = true;
                    let stream = Arc::clone(connection.stream());
                    self.io.push(Box::pin(async move { IoEvent::Writable(conn, stream.writable().await) }));
                }
                if written > 0 {
                    let free = SEND_QUEUE_LEN.saturating_sub(queued);
                    self.speaker.handle_writable(conn, free, self.clock.now());
                }
            }
            Err(error) => {
                // A peer that closes says why before it resets the connection; its last words are still there.
                for _ in 0..LAST_READS {
                    if !self.read_now(conn) {
                        break;
                    }
                }
                self.lost(conn, &error);
            }
        }
    }

    fn lost(&mut self, conn: ConnId, error: &io::Error) {
        self.closed(conn, CloseReason::Error(Arc::from(plain(error))));
    }

    fn closed(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(connection) = self.connections.remove(&conn) {
            connection.abandon();
            self.speaker.handle_closed(conn, reason, self.clock.now());
        }
    }

    fn dialed(&mut self, conn: ConnId, result: Result<TcpStream, Arc<str>>) {
        if self.dials.remove(&conn).is_none() {
            return;
        }
        let ends = result.and_then(|stream| match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(remote)) => Ok((stream, endpoints(local, remote))),
            (Err(error), _) | (_, Err(error)) => Err(Arc::from(plain(&error))),
        });
        match ends {
            Ok((stream, ends)) => {
                self.connections.insert(conn, Connection::new(stream));
                self.wait_readable(conn);
                self.speaker.handle_connected(conn, ends, self.clock.now());
            }
            Err(text) => self.speaker.handle_connect_failed(conn, text, self.clock.now()),
        }
    }

    fn accepted(&mut self, listener: &Listener, result: io::Result<(TcpStream, SocketAddr)>) {
        if !self.listeners.is_open(listener) {
            return;
        }
        match result {
            Ok((stream, remote)) => {
                self.accept_from([listener.clone()]);
                self.admit(stream, remote);
            }
            Err(error) => {
                tracing::warn!(listener = %listener.address, %error, "cannot accept a connection");
                self.counters.refused("accept-failed");
                let listener = listener.clone();
                self.io.push(Box::pin(async move {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    accept(listener).await
                }));
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, remote: SocketAddr) {
        let instance = Arc::clone(&self.speaker.config().name);
        if let Some(reason) = self.listeners.locked_out(remote.ip()) {
            if let Some(left_out) = self.restraint.admit(Subject::Refusals, self.clock.now()) {
                tracing::warn!(%instance, %remote, reason, left_out, "connection refused");
            }
            self.counters.refused("key-not-set");
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        if let Err(error) = sockopt::set_session_options(&stream, remote) {
            tracing::warn!(%instance, %remote, %error, "session socket");
        }
        let conn = self.next_accepted;
        self.next_accepted = conn.next();
        let scope = scope_name(remote);
        let now = self.clock.now();
        match self.speaker.handle_accepted(conn, endpoints(local, remote), scope.as_deref(), now) {
            // Before anything is read from it.
            Ok(peer) => match self.protect(peer, &stream, remote) {
                Ok(()) => {
                    self.connections.insert(conn, Connection::new(stream));
                    self.wait_readable(conn);
                }
                Err(error) => {
                    tracing::error!(%instance, %remote, %error, "the accepted connection is closed");
                    self.counters.refused("not-protected");
                    let reason = CloseReason::Error(Arc::from(error.to_string()));
                    self.speaker.handle_closed(conn, reason, now);
                }
            },
            Err(refusal) => {
                if let Some(left_out) = self.restraint.admit(Subject::Refusals, self.clock.now()) {
                    let reason = refusal.label();
                    tracing::info!(%instance, %remote, reason, left_out, "connection refused: {refusal}");
                }
                self.counters.refused(refusal.label());
                self.publisher.mark();
                let mut connection = Connection::new(stream);
                connection.push(refusal.notification().encode(), None);
                self.farewell(connection);
            }
        }
    }

    /// An external session stays on the link unless it is multihop, whoever opened it; keys may have changed since the
    /// kernel accepted it.
    fn protect(
        &self,
        peer: PeerId,
        stream: &TcpStream,
        remote: SocketAddr,
    ) -> Result<(), sockopt::SocketError> {
        let Some(view) = self.speaker.peer(peer) else { return Ok(()) };
        let protection = view.config.protection(self.speaker.config().local_asn);
        sockopt::protect::accepted(stream, remote, &protection)
    }

    /// Gives a live connection other keys and TTLs, or ends it.
    fn protect_anew(&mut self, conn: ConnId, before: &Protection, after: &Protection) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let stream = Arc::clone(connection.stream());
        let Ok(remote) = stream.peer_addr() else { return };
        if let Err(error) = sockopt::protect::live(&*stream, remote, before, after) {
            let instance = &*self.speaker.config().name;
            tracing::error!(instance, %remote, %error, "the session is closed");
            self.closed(conn, CloseReason::Error(Arc::from(error.to_string())));
        }
    }

    // What the speaker says.

    /// Lets the speaker talk until it is quiet, or until others should have a turn.
    fn pump(&mut self) {
        self.more = false;
        for round in 0..ROUNDS {
            let sent = self.transmit();
            let acted = self.act();
            self.report();
            if !sent && !acted {
                return;
            }
            self.publisher.mark();
            self.more = round + 1 == ROUNDS;
        }
    }

    fn transmit(&mut self) -> bool {
        let now = self.clock.now();
        let mut touched: Vec<ConnId> = Vec::new();
        while let Some(transmit) = self.speaker.poll_transmit(now) {
            // A connection that was lost meanwhile: its peer was told by handle_closed.
            if let Some(connection) = self.connections.get_mut(&transmit.conn) {
                connection.push(transmit.bytes, transmit.due);
                if touched.last() != Some(&transmit.conn) && !touched.contains(&transmit.conn) {
                    touched.push(transmit.conn);
                }
            }
        }
        let any = !touched.is_empty();
        for conn in touched {
            if self.connections.get(&conn).is_some_and(|connection| !connection.write_armed) {
                self.write(conn);
            }
        }
        any
    }

    fn act(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.speaker.poll_action() {
            any = true;
            match action {
                Action::Connect(connect) => self.dial(connect),
                Action::Protect { conn, before, after } => self.protect_anew(conn, &before, &after),
                Action::Close { conn } => {
                    // What was polled for it since `transmit` must be queued first.
                    while let Some(transmit) = self.speaker.poll_transmit(self.clock.now()) {
                        if let Some(connection) = self.connections.get_mut(&transmit.conn) {
                            connection.push(transmit.bytes, transmit.due);
                        }
                    }
                    if let Some(connection) = self.connections.remove(&conn) {
                        self.farewell(connection);
                    } else if let Some(dial) = self.dials.remove(&conn) {
                        dial.abort();
                    }
                }
            }
        }
        if any {
            let waiting: Vec<ConnId> = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.queued() > 0 && !connection.write_armed)
                .map(|(conn, _)| *conn)
                .collect();
            for conn in waiting {
                self.write(conn);
            }
        }
        any
    }

    fn report(&mut self) {
        if self.restarting && !self.speaker.is_restarting() {
            self.restarting = false;
            self.counters.restarted(self.started.elapsed());
            let instance = &*self.speaker.config().name;
            tracing::info!(instance, "the graceful restart is over, routes are advertised");
            self.publisher.mark_urgent();
        }
        while let Some(event) = self.speaker.poll_event() {
            self.counters.count(&event);
            let subject = Subject::of(event.peer, &event.kind);
            if let Some(left_out) = self.restraint.admit(subject, self.clock.now()) {
                let gone = self.publisher.address_of(event.peer);
                journal::record(&self.speaker, &event, gone);
                if left_out > 0 {
                    let (instance, peer) = (&*self.speaker.config().name, &*event.name);
                    tracing::warn!(
                        instance,
                        peer,
                        left_out,
                        "{left_out} lines like the one above were left out"
                    );
                }
            }
            self.publisher.mark_urgent();
        }
    }

    fn dial(&mut self, connect: Connect) {
        let conn = connect.conn;
        let (attempt, handle) = abortable(dial(connect));
        self.dials.insert(conn, handle);
        self.io.push(Box::pin(async move {
            match attempt.await {
                Ok(result) => IoEvent::Dialed(conn, result),
                // The speaker gave it up and expects nothing.
                Err(_aborted) => IoEvent::Dialed(conn, Err(Arc::from("given up"))),
            }
        }));
    }

    fn farewell(&mut self, mut connection: Connection) {
        // Most often all fits into the socket at once.
        let broken = connection.write().is_err();
        if broken || self.lingering >= LINGERING {
            connection.abandon();
            return;
        }
        self.lingering += 1;
        self.io.push(Box::pin(async move {
            connection.close().await;
            IoEvent::Done
        }));
    }

    fn wait_readable(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get(&conn) {
            let stream = Arc::clone(connection.stream());
            self.io.push(Box::pin(async move { IoEvent::Readable(conn, stream.readable().await) }));
        }
    }

    fn accept_from(&mut self, listeners: impl IntoIterator<Item = Listener>) {
        for listener in listeners {
            self.io.push(Box::pin(accept(listener)));
        }
    }
}
