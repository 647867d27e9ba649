//! Everything goes to another process, or comes from one.
//!
//! Invariant: instances are built from the very intents that were in force, so that taking over changes nothing; what this
//! process itself wants is applied afterwards, like any other change.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::{Arc, BTreeSet, BuildHasher, Clock};
use super::{Hasher, Instance, Instant, IntentStore, Keeper, MAILBOX, Order, Owner, RandomState};
use super::{Supervisor, SupervisorHandle, mpsc, oneshot, resolve};
use crate::handover::give::Gone;
use crate::handover::parcel::{Common, FrozenProcess};
use crate::instance::{Prepared, RunningInstance, TakenSession};

impl SupervisorHandle {
    /// Stops everything at a moment between two messages, and waits for what becomes of it.
    ///
    /// # Errors
    /// Why it cannot be handed over now.
    pub async fn freeze(&self, verdict: oneshot::Receiver<Gone>) -> Result<FrozenProcess, String> {
        let frozen = self.ask(|reply| Order::Freeze { verdict, reply }).await;
        frozen.unwrap_or_else(|| Err("it is stopping".to_owned()))
    }
}

impl Supervisor {
    /// Hands everything out and waits. Returns only if we go on.
    pub(super) async fn freeze(
        &mut self,
        verdict: oneshot::Receiver<Gone>,
        reply: oneshot::Sender<Result<FrozenProcess, String>>,
    ) {
        // What waits for company is applied now: instances have to run what the intents say.
        self.flush().await;
        // From then on the state file is the other's.
        self.keeper.settle();
        let mut verdicts = Vec::new();
        let asked: Vec<_> = self
            .followed
            .values()
            .map(|one| {
                let (gone, verdict) = oneshot::channel();
                verdicts.push(gone);
                let handle = one.running.handle.clone();
                async move {
                    let frozen =
                        handle.freeze(verdict).await.unwrap_or_else(|stopped| Err(stopped.to_string()));
                    frozen.map_err(|reason| format!("instance {}: {reason}", handle.name()))
                }
            })
            .collect();
        let instances: Result<Vec<_>, String> = join_all(asked).await.into_iter().collect();
        let common = Common {
            origin_nanos: self.clock.origin_nanos(),
            hostname: self.hostname.clone(),
            intents: self.store.held(Instant::now()),
            awaited: self.awaited.iter().cloned().collect(),
        };
        let frozen = instances.map(|instances| FrozenProcess { common, instances });
        // Nobody asks any more, or something went wrong, or they changed their mind: dropping the verdicts lets all go on.
        let handed = frozen.is_ok();
        if reply.send(frozen).is_ok() && handed && verdict.await.is_ok() {
            for gone in verdicts {
                let _ended = gone.send(Gone);
            }
            // The process ends any moment; until then, nothing.
            std::future::pending::<()>().await;
        }
    }
}

/// What another process handed over, built and not begun. Dropping it gives it back.
pub struct TakenOver {
    clock: Clock,
    hostname: Option<String>,
    store: IntentStore,
    awaited: BTreeSet<String>,
    instances: BTreeMap<String, (Arc<Instance>, Prepared)>,
}

impl TakenOver {
    /// Builds everything.
    ///
    /// # Errors
    /// What does not fit.
    pub async fn prepare(process: FrozenProcess) -> Result<Self, String> {
        let FrozenProcess { common, instances: frozen } = process;
        let clock = Clock::since_nanos(common.origin_nanos);
        let mut store = IntentStore::default();
        for (owner, held) in common.intents {
            let owner = if owner == Owner::file().as_str() {
                Owner::file()
            } else {
                Owner::new(&owner).map_err(|error| error.to_string())?
            };
            store.take_over(owner, held, Instant::now());
        }
        let mut merged = store.merged().instances;
        let mut instances = BTreeMap::new();
        for one in frozen {
            let name = one.name.clone();
            let wrong = |what: String| format!("instance {name}: {what}");
            let intent = merged.remove(&name).ok_or_else(|| wrong("nobody wants it".to_owned()))?;
            let config =
                resolve(&intent, common.hostname.as_deref()).map_err(|error| wrong(error.to_string()))?;
            let seed = RandomState::new().build_hasher().finish();
            let prepared = RunningInstance::take_over(config, seed, clock, one)
                .map_err(|error| wrong(error.to_string()))?;
            instances.insert(name, (intent, prepared));
        }
        for (name, (_, prepared)) in &mut instances {
            prepared.ready().await.map_err(|error| format!("instance {name}: {error}"))?;
        }
        let (hostname, awaited) = (common.hostname, common.awaited.into_iter().collect());
        Ok(Self { clock, hostname, store, awaited, instances })
    }

    /// The clock of the sessions.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Begins. Says which sessions were taken over, by instance.
    pub async fn start(self, keeper: Keeper) -> (SupervisorHandle, Vec<(String, TakenSession)>) {
        let Self { clock, hostname, store, awaited, instances } = self;
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let mut supervisor = Supervisor::idle(clock, hostname, store, awaited, keeper);
        let directory = Arc::clone(&supervisor.directory);
        // All at once: while one is waited for, the others' sessions stand still.
        let begun =
            instances.into_iter().map(async |(name, (intent, prepared))| (name, intent, prepared.go().await));
        let mut taken = Vec::new();
        for (name, intent, (running, ended, sessions)) in join_all(begun).await {
            taken.extend(sessions.into_iter().map(|session| (name.clone(), session)));
            supervisor.follow(name, intent, running, ended);
        }
        // Nothing has changed; what runs is published and noted in the state file.
        supervisor.apply().await;
        tokio::spawn(supervisor.run(mailbox));
        (SupervisorHandle { orders, directory }, taken)
    }
}
