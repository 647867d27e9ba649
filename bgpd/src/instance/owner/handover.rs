//! An instance stops at a moment between two messages and is taken apart; and one is put together again in another process.
//!
//! Invariants: nothing is read or written between the export and the verdict; an instance that goes on does so as if it had
//! only been busy for a while.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use bgp_core::handover::ExportError;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::handover::give::Gone;
use crate::handover::monotonic_nanos;
use crate::handover::parcel::{FrozenConnection, FrozenInstance};

/// How often the speaker is asked for more before it is taken as it is.
const LAST_ROUNDS: usize = 64;

/// Stop, say what there is, and wait for what becomes of it.
pub struct Freeze {
    /// What there is, or why there is nothing.
    pub reply: oneshot::Sender<Result<FrozenInstance, String>>,
    /// What becomes of it. A sender that is dropped says: go on.
    pub verdict: oneshot::Receiver<Gone>,
}

/// A session that was taken over.
#[derive(Clone, Debug)]
pub struct TakenSession {
    /// The peer's name.
    pub peer: Arc<str>,
    /// Its address.
    pub address: std::net::IpAddr,
    /// For how long nobody read or wrote.
    pub pause: Duration,
}

impl Owner {
    /// Hands everything out and waits. Returns only if the instance goes on.
    pub(super) async fn freeze(&mut self, freeze: Freeze) {
        for _ in 0..LAST_ROUNDS {
            self.pump();
            if !self.more {
                break;
            }
        }
        let frozen = self.take_apart();
        let handed = frozen.is_ok();
        if freeze.reply.send(frozen).is_ok() && handed && freeze.verdict.await.is_ok() {
            // Somebody else has the sockets. The process ends any moment; until then, nothing.
            std::future::pending::<()>().await;
        }
        self.publisher.mark_urgent();
    }

    fn take_apart(&self) -> Result<FrozenInstance, String> {
        let frozen_nanos = monotonic_nanos();
        let system = |error: io::Error| format!("a socket cannot be handed over: {error}");
        let copy = |socket: &dyn AsFd| socket.as_fd().try_clone_to_owned().map_err(system);
        let mut connections = Vec::new();
        for (conn, _) in self.speaker.established() {
            let Some(connection) = self.connections.get(&conn) else {
                return Err("a session has just lost its connection; try again".to_owned());
            };
            let socket = copy(connection.stream())?;
            connections.push(FrozenConnection { conn, socket, unsent: connection.unsent() });
        }
        let mut listeners = Vec::new();
        for (address, socket) in self.listeners.sockets() {
            listeners.push((address, copy(socket)?));
        }
        let speaker = self.speaker.export().map_err(|error: ExportError| error.to_string())?;
        Ok(FrozenInstance {
            name: self.speaker.config().name.to_string(),
            frozen_nanos,
            next_accepted: self.next_accepted,
            locked_out: self.listeners.all_locked_out(),
            speaker,
            connections,
            listeners,
        })
    }

    /// An instance that goes on where the one in another process stopped. Nothing is read or written before
    /// [`Owner::resume`].
    ///
    /// # Errors
    /// What was handed over does not fit.
    pub(in crate::instance) fn take_over(
        config: InstanceConfig,
        seed: u64,
        clock: Clock,
        publisher: Publisher,
        frozen: FrozenInstance,
    ) -> Result<Self, String> {
        let mut speaker = Speaker::import(config.speaker.clone(), seed, frozen.speaker, clock.now())
            .map_err(|error| error.to_string())?;
        let system = |error: io::Error| format!("a socket cannot be taken over: {error}");
        let mut connections = HashMap::new();
        for FrozenConnection { conn, socket, unsent } in frozen.connections {
            let stream = TcpStream::from_std(socket.into()).map_err(system)?;
            connections.insert(conn, Connection::resume(stream, unsent));
        }
        if let Some((conn, _)) = speaker.established().find(|(conn, _)| !connections.contains_key(conn)) {
            return Err(format!("the session on connection {} came without its socket", conn.get()));
        }
        let mut sockets = BTreeMap::new();
        for (address, socket) in frozen.listeners {
            sockets.insert(address, TcpListener::from_std(socket.into()).map_err(system)?);
        }
        let listeners =
            Listeners::take_over(&config.listen, &config.speaker, sockets, frozen.locked_out, Instant::now());
        // What it would say about the past has been said.
        while speaker.poll_event().is_some() {}
        Ok(Self {
            restarting: speaker.is_restarting(),
            clock,
            speaker,
            listeners,
            connections,
            dials: HashMap::new(),
            io: FuturesUnordered::new(),
            lingering: 0,
            next_accepted: frozen.next_accepted,
            buffer: vec![0; READ_LEN],
            counters: InstanceCounters::default(),
            restraint: Restraint::default(),
            publisher,
            stopping: None,
            started: Instant::now(),
            freeze: None,
            more: false,
        })
    }

    /// Begins to read and write. `frozen_nanos` is when the other process stopped.
    pub(in crate::instance) fn resume(&mut self, frozen_nanos: u64) -> Vec<TakenSession> {
        let sessions: Vec<(ConnId, PeerId)> = self.speaker.established().collect();
        for (conn, _) in &sessions {
            self.wait_readable(*conn);
            // What the other process had queued goes first.
            self.write(*conn);
        }
        self.accept_from(self.listeners.all());
        self.pump();
        let pause = Duration::from_nanos(monotonic_nanos().saturating_sub(frozen_nanos));
        let instance = Arc::clone(&self.speaker.config().name);
        let taken = sessions.into_iter().filter_map(|(_, peer)| {
            self.counters.taken_over(peer, pause);
            let view = self.speaker.peer(peer)?;
            let (name, address) = (Arc::clone(&view.config.name), view.config.address);
            tracing::info!(%instance, peer = %name, %address, pause_ms = pause.as_millis(), "session taken over");
            Some(TakenSession { peer: name, address, pause })
        });
        taken.collect()
    }
}
