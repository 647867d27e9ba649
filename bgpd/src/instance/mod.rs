//! Running instances: one thread each, which owns the speaker and its sockets, and the handle that others hold.
//!
//! A thread per instance means that a full table in one never delays the keepalives of another, and that neither waits
//! for HTTP. Requests are values over a bounded channel; what is asked often is read from a published snapshot instead.
//!
//! Invariant: nobody but its own thread touches an instance's state.

mod connection;
pub mod counters;
mod endpoints;
mod io;
mod journal;
pub mod lateness;
mod listener;
mod owner;
mod restraint;
pub mod snapshot;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use bgp_core::config::SpeakerConfig;
use bgp_core::{Command, CommandRefusal, ConfigChange, Speaker};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::config::resolve::InstanceConfig;
use crate::handover::give::Gone;
use crate::handover::parcel::FrozenInstance;
pub use crate::instance::listener::ListenFailure;
use crate::instance::owner::Owner;
pub use crate::instance::owner::{Freeze, TakenSession};
use crate::instance::snapshot::{InstanceSnapshot, Publisher};
use crate::sockopt::TcpState;

/// Requests that may wait; whoever sends more has to.
const MAILBOX: usize = 64;

/// Something for the owner of an instance to do.
pub enum Request {
    /// Follow a new configuration.
    Configure {
        /// The configuration, whole.
        config: Box<InstanceConfig>,
        /// What it did.
        reply: oneshot::Sender<Vec<ConfigChange>>,
    },
    /// Look at the speaker. Must be quick: sessions wait meanwhile. Tables are read in pages.
    Inspect(Question),
    /// Ask the kernel about every connection.
    TcpStates {
        /// By its two ends, local first.
        reply: oneshot::Sender<TcpStates>,
    },
    /// Do what an operator says.
    Command {
        /// What.
        command: Command,
        /// Whether it was done.
        reply: oneshot::Sender<Result<(), CommandRefusal>>,
    },
    /// All owners that had routes here before a restart have given them again.
    IntentComplete,
    /// Stop for a moment, or for good: another process takes over.
    Freeze(Freeze),
    /// End.
    Stop(StopMode),
}

/// What the kernel knows about connections, by their two ends, local first.
pub type TcpStates = HashMap<(SocketAddr, SocketAddr), TcpState>;

/// A look at the speaker, with the time it is looked at.
pub type Question = Box<dyn FnOnce(&Speaker, &Clock) + Send>;

/// How an instance ends.
#[derive(Clone, Debug)]
pub enum StopMode {
    /// A Cease to every peer, with words if there are any (RFC 9003), then the connections are closed in order.
    Graceful {
        /// Shutdown communication.
        text: Option<String>,
    },
    /// Another bgpd takes over in a moment: peers that keep our routes meanwhile (RFC 4724) see their connection end and
    /// hear nothing.
    Restart,
}

/// The instance's thread has ended; only a bug in bgpd ends it unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the instance has stopped")]
pub struct Stopped;

/// What others hold of an instance. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InstanceHandle {
    name: Arc<str>,
    requests: mpsc::Sender<Request>,
    published: Arc<ArcSwap<InstanceSnapshot>>,
}

impl InstanceHandle {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it looked a moment ago.
    #[must_use]
    pub fn snapshot(&self) -> Arc<InstanceSnapshot> {
        self.published.load_full()
    }

    /// Follows a new configuration.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn configure(&self, config: InstanceConfig) -> Result<Vec<ConfigChange>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Configure { config: Box::new(config), reply }).await?;
        answer.await.map_err(|_dropped| Stopped)
    }

    /// Looks at the speaker and returns what was seen.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Speaker, &Clock) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |speaker, clock| {
            // Whoever asked may have gone away.
            let _gone = reply.send(look(speaker, clock));
        });
        self.send(Request::Inspect(question)).await?;
        answer.await.map_err(|_dropped| Stopped)
    }

    /// Asks the kernel about every connection.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn tcp_states(&self) -> Result<TcpStates, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::TcpStates { reply }).await?;
        answer.await.map_err(|_dropped| Stopped)
    }

    /// Does what an operator says.
    ///
    /// # Errors
    /// [`Stopped`]; inside, why the speaker did not do it.
    pub async fn command(&self, command: Command) -> Result<Result<(), CommandRefusal>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Command { command, reply }).await?;
        answer.await.map_err(|_dropped| Stopped)
    }

    /// Says that all owners have given what they had before a restart.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn intent_complete(&self) -> Result<(), Stopped> {
        self.send(Request::IntentComplete).await
    }

    /// Starts to end the instance.
    ///
    /// # Errors
    /// [`Stopped`] already.
    pub async fn stop(&self, mode: StopMode) -> Result<(), Stopped> {
        self.send(Request::Stop(mode)).await
    }

    /// Hands the instance over to another process. Gives back what it is, or why not.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn freeze(
        &self,
        verdict: oneshot::Receiver<Gone>,
    ) -> Result<Result<FrozenInstance, String>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Freeze(Freeze { reply, verdict })).await?;
        answer.await.map_err(|_dropped| Stopped)
    }

    async fn send(&self, request: Request) -> Result<(), Stopped> {
        self.requests.send(request).await.map_err(|_closed| Stopped)
    }
}

/// A running instance: the handle, and the thread to wait for.
#[derive(Debug)]
pub struct RunningInstance {
    /// For everybody.
    pub handle: InstanceHandle,
    thread: JoinHandle<()>,
}

/// Resolves when an instance's thread has ended, in whatever way; an error means the same.
pub type Ended = oneshot::Receiver<()>;

impl RunningInstance {
    /// Starts an instance, or lets it take over from one that died a moment ago (`restarting`).
    ///
    /// # Errors
    /// The system's, if it gives no thread or no event queue.
    pub fn start(
        config: InstanceConfig,
        seed: u64,
        clock: Clock,
        restarting: bool,
    ) -> std::io::Result<(Self, Ended)> {
        Self::spawn(&config.speaker.clone(), clock, async move |publisher, mailbox| {
            Owner::new(config, seed, clock, publisher, restarting).run(mailbox).await;
        })
    }

    /// Builds an instance from what another process handed over. It does nothing before [`Prepared::go`].
    ///
    /// # Errors
    /// The system's, if it gives no thread or no event queue.
    pub fn take_over(
        config: InstanceConfig,
        seed: u64,
        clock: Clock,
        frozen: FrozenInstance,
    ) -> std::io::Result<Prepared> {
        let (say_ready, ready) = oneshot::channel();
        let (go, wait) = oneshot::channel::<()>();
        let (report, taken) = oneshot::channel();
        let frozen_nanos = frozen.frozen_nanos;
        let speaker = config.speaker.clone();
        let body = async move |publisher, mailbox| {
            let mut owner = match Owner::take_over(config, seed, clock, publisher, frozen) {
                Ok(owner) => owner,
                Err(reason) => {
                    // Nobody waits for the reason: so be it.
                    let _gone = say_ready.send(Err(reason));
                    return;
                }
            };
            // Without anybody who waits, or without a word to go, it is not ours: dropping it closes copies only.
            if say_ready.send(Ok(())).is_ok() && wait.await.is_ok() {
                let _gone = report.send(owner.resume(frozen_nanos));
                owner.run(mailbox).await;
            }
        };
        let (running, ended) = Self::spawn(&speaker, clock, body)?;
        Ok(Prepared { running, ended, ready, go, taken })
    }

    fn spawn<Body>(speaker: &SpeakerConfig, clock: Clock, body: Body) -> std::io::Result<(Self, Ended)>
    where
        Body: AsyncFnOnce(Publisher, mpsc::Receiver<Request>) + Send + 'static,
    {
        let name = Arc::clone(&speaker.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let published = Arc::new(ArcSwap::from_pointee(InstanceSnapshot::starting(speaker, &clock)));
        let (requests, mailbox) = mpsc::channel(MAILBOX);
        let (end, ended) = oneshot::channel();
        let publisher = Publisher::new(Arc::clone(&published));
        let thread = thread::Builder::new().name(thread_name(&name)).spawn(move || {
            // Dropped, and so resolved, also when a bug unwinds the thread.
            let _end: oneshot::Sender<()> = end;
            runtime.block_on(body(publisher, mailbox));
        })?;
        Ok((Self { handle: InstanceHandle { name, requests, published }, thread }, ended))
    }

    /// Waits for the end of the thread. False if it ended by a bug.
    pub async fn join(self) -> bool {
        tokio::task::spawn_blocking(move || self.thread.join().is_ok()).await.unwrap_or(false)
    }
}

/// An instance that was handed over, built and not begun. Dropping it gives it back.
pub struct Prepared {
    running: RunningInstance,
    ended: Ended,
    ready: oneshot::Receiver<Result<(), String>>,
    go: oneshot::Sender<()>,
    taken: oneshot::Receiver<Vec<TakenSession>>,
}

impl Prepared {
    /// Waits until it is built.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn ready(&mut self) -> Result<(), String> {
        (&mut self.ready).await.unwrap_or_else(|_dropped| Err("the instance ended by a bug".to_owned()))
    }

    /// Begins, and says what was taken over.
    pub async fn go(self) -> (RunningInstance, Ended, Vec<TakenSession>) {
        let Self { running, ended, ready: _, go, taken } = self;
        // If it has ended, that is noticed like the end of any other.
        let _ended = go.send(());
        (running, ended, taken.await.unwrap_or_default())
    }
}

/// Linux shows 15 characters.
fn thread_name(instance: &str) -> String {
    format!("bgp {instance}").chars().take(15).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::{Duration, Instant};

    use bgp_core::config::{PeerConfig, SpeakerConfig, SpeakerSettings};

    use super::*;

    /// A peer that refuses connections, dialled again every second.
    fn refused_peer() -> InstanceConfig {
        let refused =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound");
        let mut settings = SpeakerSettings::new("busy", 65001, Ipv4Addr::new(10, 0, 0, 1));
        let mut peer = PeerConfig::new("p", refused.ip(), Some(65002));
        (peer.port, peer.timers.connect_retry) = (refused.port(), 1);
        settings.peers.push(peer);
        InstanceConfig { speaker: SpeakerConfig::new(settings).expect("valid"), listen: Vec::new() }
    }

    // Answering takes longer than asking, so the mailbox is never empty.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn timers_run_however_much_is_asked() {
        let (running, _ended) =
            RunningInstance::start(refused_peer(), 1, Clock::start(), false).expect("a thread");
        let end = Instant::now() + Duration::from_secs(10);
        let failures = |handle: &InstanceHandle| {
            handle.snapshot().peers.first().map(|peer| peer.counters.connect_failures)
        };
        let askers: Vec<_> = (0..2 * MAILBOX)
            .map(|_| {
                let handle = running.handle.clone();
                tokio::spawn(async move {
                    while failures(&handle) < Some(2) && Instant::now() < end {
                        handle
                            .inspect(|_, _| thread::sleep(Duration::from_millis(2)))
                            .await
                            .expect("it runs");
                    }
                })
            })
            .collect();
        for asker in askers {
            asker.await.expect("no panic");
        }
        assert!(Instant::now() < end, "not dialled again as long as somebody asked");
        running.handle.stop(StopMode::Graceful { text: None }).await.expect("it runs");
        assert!(running.join().await);
    }
}
