//! Who decides which instances run: one task that holds the intents, adds them up and makes the instances follow.
//!
//! Invariants: an intent is applied whole or not at all; instances whose part of the merged intent did not change are not
//! touched; an instance that ends by a bug is named in the log and started again.

mod burst;
mod changes;
mod handover;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use rutter_api::control::{Applied, Change, Conflict, Effect, IntentSummary};
use rutter_api::intent::{Instance, Intent, InvalidIntent};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::config::resolve::{InstanceConfig, ResolveError, resolve};
use crate::handover::give::Gone;
use crate::handover::parcel::FrozenProcess;
use crate::instance::{Ended, InstanceHandle, RunningInstance, StopMode};
use crate::intents::Owner;
use crate::intents::store::IntentStore;
use crate::state::{Earlier, HEARTBEAT, Keeper, RestoredIntent};
use crate::supervisor::burst::{Burst, Waiting};

/// Orders that may wait.
const MAILBOX: usize = 16;
/// However many orders come: what is due is not done later than this.
const PATIENCE: Duration = Duration::from_millis(20);
/// Pause before an instance that ended by a bug, or could not be started, is tried again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

pub use self::handover::TakenOver;
pub(crate) use self::plan::plan_files;

/// Running instances by name, as everybody may see them.
pub type Directory = BTreeMap<String, InstanceHandle>;

/// Why an intent was not applied. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidIntent),
    /// It is valid, but the speaker cannot take it.
    #[error("instance {instance}: {source}")]
    Resolve {
        /// The instance.
        instance: String,
        /// Why.
        source: ResolveError,
    },
    /// bgpd is stopping.
    #[error("bgpd is stopping and takes no more intents")]
    Stopping,
}

enum Order {
    Put {
        owner: Owner,
        intent: Box<Intent>,
        reply: oneshot::Sender<Result<Applied, IntentError>>,
    },
    Plan {
        owner: Owner,
        hostname: Option<String>,
        intent: Box<Intent>,
        reply: oneshot::Sender<Result<Applied, IntentError>>,
    },
    Reload {
        hostname: Option<String>,
        intent: Box<Intent>,
        reply: oneshot::Sender<Result<Applied, IntentError>>,
    },
    Delete {
        owner: Owner,
        reply: oneshot::Sender<Option<Applied>>,
    },
    Excuse {
        owner: Owner,
        reply: oneshot::Sender<()>,
    },
    Get {
        owner: Owner,
        reply: oneshot::Sender<Option<Intent>>,
    },
    List {
        reply: oneshot::Sender<Vec<IntentSummary>>,
    },
    InForce {
        reply: oneshot::Sender<Vec<Instance>>,
    },
    Conflicts {
        reply: oneshot::Sender<Vec<Conflict>>,
    },
    Freeze {
        verdict: oneshot::Receiver<Gone>,
        reply: oneshot::Sender<Result<FrozenProcess, String>>,
    },
    Stop {
        mode: StopMode,
        reply: oneshot::Sender<()>,
    },
}

/// What others hold of the supervisor. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorHandle {
    orders: mpsc::Sender<Order>,
    directory: Arc<ArcSwap<Directory>>,
}

impl SupervisorHandle {
    /// Replaces what an owner wants.
    ///
    /// # Errors
    /// See [`IntentError`].
    pub async fn put(&self, owner: Owner, intent: Intent) -> Result<Applied, IntentError> {
        let order = |reply| Order::Put { owner, intent: Box::new(intent), reply };
        self.ask(order).await.unwrap_or(Err(IntentError::Stopping))
    }

    /// Says what putting this intent would do now, and does nothing. `hostname` is what the intent's file says, if it is a
    /// file's; else the one in force counts.
    ///
    /// # Errors
    /// See [`IntentError`].
    pub async fn plan(
        &self,
        owner: Owner,
        hostname: Option<String>,
        intent: Intent,
    ) -> Result<Applied, IntentError> {
        let order = |reply| Order::Plan { owner, hostname, intent: Box::new(intent), reply };
        self.ask(order).await.unwrap_or(Err(IntentError::Stopping))
    }

    /// Replaces what the configuration file wants.
    ///
    /// # Errors
    /// See [`IntentError`].
    pub async fn reload(&self, hostname: Option<String>, intent: Intent) -> Result<Applied, IntentError> {
        let order = |reply| Order::Reload { hostname, intent: Box::new(intent), reply };
        self.ask(order).await.unwrap_or(Err(IntentError::Stopping))
    }

    /// Forgets an owner. `None` if there is none of this name.
    pub async fn delete(&self, owner: Owner) -> Option<Applied> {
        self.ask(|reply| Order::Delete { owner, reply }).await.flatten()
    }

    /// Does not wait for an owner that was there before a restart: what is known without it is all there is.
    pub async fn excuse(&self, owner: Owner) {
        let _done = self.ask(|reply| Order::Excuse { owner, reply }).await;
    }

    /// What an owner wants.
    pub async fn get(&self, owner: Owner) -> Option<Intent> {
        self.ask(|reply| Order::Get { owner, reply }).await.flatten()
    }

    /// All owners.
    pub async fn list(&self) -> Vec<IntentSummary> {
        self.ask(|reply| Order::List { reply }).await.unwrap_or_default()
    }

    /// The merged intent as the instances follow it, without routes: those are in the tables.
    pub async fn in_force(&self) -> Vec<Instance> {
        self.ask(|reply| Order::InForce { reply }).await.unwrap_or_default()
    }

    /// What some owner does not get.
    pub async fn conflicts(&self) -> Vec<Conflict> {
        self.ask(|reply| Order::Conflicts { reply }).await.unwrap_or_default()
    }

    /// Ends all instances and waits until they have ended.
    pub async fn stop(&self, mode: StopMode) {
        // No answer means that the supervisor has ended already.
        let _ended = self.ask(|reply| Order::Stop { mode, reply }).await;
    }

    /// Running instances.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// An instance and the part of the merged intent that it follows.
struct Followed {
    running: RunningInstance,
    intent: Arc<Instance>,
    hostname: Option<String>,
    generation: u64,
}

struct Supervisor {
    clock: Clock,
    store: IntentStore,
    hostname: Option<String>,
    followed: BTreeMap<String, Followed>,
    ends: FuturesUnordered<BoxFuture<'static, (String, u64)>>,
    conflicts: Vec<Conflict>,
    directory: Arc<ArcSwap<Directory>>,
    generation: u64,
    restart_at: Option<Instant>,
    /// What the bgpd before had.
    earlier: Earlier,
    /// Owners that had an intent before a restart and have not put one since.
    awaited: BTreeSet<String>,
    /// Instances that ended by a bug: their peers keep their routes for a while.
    crashed: BTreeSet<String>,
    keeper: Keeper,
    beat_at: Instant,
    burst: Burst,
    /// What was put since the last application, as it was resolved when it was checked.
    resolved: Vec<(Arc<Instance>, InstanceConfig)>,
}

/// Starts the supervisor on the current runtime, without any intent. `earlier` is what the bgpd before left.
#[must_use]
pub fn start(clock: Clock, hostname: Option<String>, earlier: &Earlier, keeper: Keeper) -> SupervisorHandle {
    let (orders, mailbox) = mpsc::channel(MAILBOX);
    let mut awaited = earlier.owners();
    let store = restored(earlier, hostname.as_deref(), &mut awaited);
    let mut supervisor = Supervisor::idle(clock, hostname, store, awaited, keeper);
    supervisor.earlier = earlier.clone();
    let directory = Arc::clone(&supervisor.directory);
    tokio::spawn(supervisor.run(mailbox));
    SupervisorHandle { orders, directory }
}

/// What API owners wanted before, as far as it still can be done. Their owners are not waited for.
fn restored(earlier: &Earlier, hostname: Option<&str>, awaited: &mut BTreeSet<String>) -> IntentStore {
    let mut store = IntentStore::default();
    for RestoredIntent { owner: name, intent, left } in earlier.intents() {
        let refusal = match Owner::new(&name) {
            Ok(owner) => match check(&intent, hostname) {
                Ok(_resolved) => {
                    tracing::info!(%owner, "intent taken over from before the restart");
                    awaited.remove(&name);
                    store.hold(owner, intent, left, Instant::now());
                    continue;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        tracing::warn!(owner = name, error = refusal, "its intent from before the restart cannot be applied");
    }
    store
}

/// Finds what the speaker would not take before anything changes. Gives back what it would take, instance by instance.
///
/// # Errors
/// See [`IntentError`].
pub(crate) fn check(intent: &Intent, hostname: Option<&str>) -> Result<Vec<InstanceConfig>, IntentError> {
    intent.validate()?;
    let resolved = intent.instances.iter().map(|instance| {
        resolve(instance, hostname)
            .map_err(|source| IntentError::Resolve { instance: instance.name.clone(), source })
    });
    resolved.collect()
}

impl Supervisor {
    /// One that runs nothing yet.
    fn idle(
        clock: Clock,
        hostname: Option<String>,
        store: IntentStore,
        awaited: BTreeSet<String>,
        keeper: Keeper,
    ) -> Self {
        Self {
            clock,
            store,
            hostname,
            followed: BTreeMap::new(),
            ends: FuturesUnordered::new(),
            conflicts: Vec::new(),
            directory: Arc::new(ArcSwap::from_pointee(Directory::new())),
            generation: 0,
            restart_at: None,
            awaited,
            earlier: Earlier::default(),
            crashed: BTreeSet::new(),
            keeper,
            beat_at: Instant::now() + HEARTBEAT,
            burst: Burst::default(),
            resolved: Vec::new(),
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let due = [self.store.next_expiry(), self.restart_at, Some(self.beat_at), self.burst.due()];
            let deadline = due.into_iter().flatten().min();
            let overdue = deadline.is_some_and(|at| at + PATIENCE <= Instant::now());
            tokio::select! {
                biased;
                () = std::future::ready(()), if overdue => self.deadline().await,
                // Before what is due: what waits here may be more of the same burst.
                order = orders.recv() => match order {
                    Some(Order::Stop { mode, reply }) => {
                        match mode {
                            StopMode::Graceful { .. } => self.keeper.remove(),
                            StopMode::Restart => {
                                self.keeper.settle();
                                self.keeper.beat();
                            }
                        }
                        self.stop(mode).await;
                        let _gone = reply.send(());
                        return;
                    }
                    Some(order) => self.carry_out(order).await,
                    None => return self.stop(StopMode::Graceful { text: None }).await,
                },
                Some((name, generation)) = self.ends.next() => self.ended(&name, generation).await,
                () = sleep_until(deadline) => self.deadline().await,
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        // Whoever asked may have gone away; what was done is done.
        match order {
            Order::Put { owner, intent, reply } => match check(&intent, self.hostname.as_deref()) {
                Ok(resolved) => self.hold(owner, *intent, resolved, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Order::Plan { owner, hostname, intent, reply } => {
                let hostname = hostname.or_else(|| self.hostname.clone());
                let _gone = reply.send(self.plan(&owner, *intent, hostname.as_deref()).await);
            }
            Order::Reload { hostname, intent, reply } => match check(&intent, hostname.as_deref()) {
                Ok(resolved) => {
                    self.hostname = hostname;
                    self.hold(Owner::file(), *intent, resolved, reply);
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Order::Delete { owner, reply } => self.delete(owner, reply).await,
            Order::Excuse { owner, reply } => {
                self.flush().await;
                self.heard(&owner).await;
                let _gone = reply.send(());
            }
            Order::Get { owner, reply } => {
                let _gone = reply.send(self.store.get(&owner));
            }
            Order::List { reply } => {
                let _gone = reply.send(self.store.summaries(Instant::now()));
            }
            Order::InForce { reply } => {
                let _gone = reply
                    .send(self.followed.values().map(|followed| session_side(&followed.intent)).collect());
            }
            Order::Conflicts { reply } => {
                let _gone = reply.send(self.conflicts.clone());
            }
            Order::Freeze { verdict, reply } => self.freeze(verdict, reply).await,
            Order::Stop { .. } => {}
        }
    }

    /// From now on the owner wants this. It is applied when it is its turn.
    fn hold(
        &mut self,
        owner: Owner,
        intent: Intent,
        resolved: Vec<InstanceConfig>,
        reply: oneshot::Sender<Result<Applied, IntentError>>,
    ) {
        let instances = self.store.put(owner.clone(), intent, Instant::now());
        // One that was replaced before it was applied is nobody's any more.
        self.resolved.retain(|(instance, _)| Arc::strong_count(instance) > 1);
        self.resolved.extend(instances.iter().cloned().zip(resolved));
        self.burst.add(Waiting::Put(owner, reply), Instant::now());
    }

    /// Applies all that waits, and says to each what was done. Returns the changes.
    async fn flush(&mut self) -> Vec<Change> {
        let (waiting, begun) = (self.burst.take(), Instant::now());
        let changes = self.apply().await;
        self.burst.applied(begun, Instant::now());
        for one in &waiting {
            self.heard(one.owner()).await;
        }
        if !waiting.is_empty() {
            let unchanged = unchanged_peers(self.followed.values().map(|one| &*one.intent), &changes);
            burst::answer(waiting, &changes, unchanged, &self.conflicts);
        }
        changes
    }

    /// An owner has said what it wants. After the last one that was there before a restart, the instances are told.
    async fn heard(&mut self, owner: &Owner) {
        if self.awaited.remove(owner.as_str()) && self.awaited.is_empty() {
            for one in self.followed.values() {
                // One that has ended waits for nothing.
                let _ended = one.running.handle.intent_complete().await;
            }
        }
    }

    async fn delete(&mut self, owner: Owner, reply: oneshot::Sender<Option<Applied>>) {
        if self.store.remove(&owner) {
            self.burst.add(Waiting::Deleted(owner, reply), Instant::now());
        } else {
            self.heard(&owner).await;
            let _gone = reply.send(None);
        }
    }

    async fn deadline(&mut self) {
        if self.beat_at <= Instant::now() {
            self.beat_at = Instant::now() + HEARTBEAT;
            self.keeper.beat();
        }
        let gone = self.store.expire(Instant::now());
        let restart = self.restart_at.is_some_and(|at| at <= Instant::now());
        let burst = self.burst.due().is_some_and(|at| at <= Instant::now());
        if gone.is_empty() && !restart && !burst {
            return;
        }
        if restart {
            self.restart_at = None;
        }
        let changes = self.flush().await;
        for owner in &gone {
            report(owner.as_str(), "intent's hold time is over", &changes);
        }
    }

    /// Makes the instances follow the merged intent.
    async fn apply(&mut self) -> Vec<Change> {
        let merged = self.store.merged();
        self.conflicts = merged.conflicts;
        let mut changes = Vec::new();
        let gone: Vec<String> =
            self.followed.keys().filter(|name| !merged.instances.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(followed) = self.followed.remove(&name) {
                changes.push(whole_instance(&name, Effect::Removed, &followed.intent));
                end(followed.running).await;
            }
        }
        for (name, instance) in merged.instances {
            if let Some(followed) = self.followed.get_mut(&name)
                && followed.intent == instance
                && followed.hostname == self.hostname
            {
                // An equal one, put again: the one before need not be kept beside it.
                followed.intent = instance;
                continue;
            }
            let config = match self.resolve(&instance) {
                Ok(config) => config,
                Err(error) => {
                    // Each intent alone resolves; merging leaves out what does not fit. This is a bug, and the
                    // instance keeps what it had.
                    tracing::error!(instance = %name, %error, "the merged intents cannot be applied");
                    continue;
                }
            };
            match self.followed.get_mut(&name) {
                None => {
                    changes.push(whole_instance(&name, Effect::Added, &instance));
                    self.begin(name, instance, config).await;
                }
                Some(followed) => match followed.running.handle.configure(config).await {
                    Ok(peers) => {
                        changes.extend(changes::of_instance(&followed.intent, &instance, &peers));
                        followed.intent = instance;
                        followed.hostname.clone_from(&self.hostname);
                    }
                    Err(error) => tracing::error!(instance = %name, %error, "cannot be configured"),
                },
            }
        }
        self.resolved.clear();
        self.publish_directory();
        // Owners that are still awaited would be so again.
        let summaries = self.store.summaries(Instant::now());
        let owners = summaries.into_iter().map(|summary| summary.owner).chain(self.awaited.clone()).collect();
        let intents = self.store.saved(Instant::now());
        self.keeper.save(owners, self.followed.values().map(|followed| &*followed.intent), intents);
        changes
    }

    /// What was resolved when it was checked is not resolved again, unless it was merged with something else.
    fn resolve(&mut self, instance: &Arc<Instance>) -> Result<InstanceConfig, ResolveError> {
        let hostname = self.hostname.as_deref();
        match self.resolved.iter().position(|(known, _)| Arc::ptr_eq(known, instance)) {
            Some(position) if self.resolved[position].1.speaker.hostname.as_deref() == hostname => {
                Ok(self.resolved.swap_remove(position).1)
            }
            _ => resolve(instance, hostname),
        }
    }

    async fn begin(&mut self, name: String, intent: Arc<Instance>, config: InstanceConfig) {
        let restarting = self.crashed.remove(&name) || self.earlier.continues(&intent);
        let seed = RandomState::new().build_hasher().finish();
        match RunningInstance::start(config, seed, self.clock, restarting) {
            Ok((running, ended)) => {
                if self.awaited.is_empty() {
                    let _ended = running.handle.intent_complete().await;
                }
                self.follow(name, intent, running, ended);
            }
            Err(error) => {
                tracing::error!(instance = %name, %error, "cannot be started, trying again");
                self.restart_at = Some(Instant::now() + RESTART_PAUSE);
            }
        }
    }

    fn follow(&mut self, name: String, intent: Arc<Instance>, running: RunningInstance, ended: Ended) {
        self.generation += 1;
        let generation = self.generation;
        let ended_name = name.clone();
        self.ends.push(Box::pin(async move {
            let _either_way = ended.await;
            (ended_name, generation)
        }));
        let hostname = self.hostname.clone();
        self.followed.insert(name, Followed { running, intent, hostname, generation });
    }

    async fn ended(&mut self, name: &str, generation: u64) {
        if self.followed.get(name).is_none_or(|followed| followed.generation != generation) {
            return;
        }
        let Some(followed) = self.followed.remove(name) else { return };
        let orderly = followed.running.join().await;
        tracing::error!(
            instance = name,
            orderly,
            "the instance ended although it is wanted; starting it again"
        );
        self.publish_directory();
        self.crashed.insert(name.to_owned());
        self.restart_at = Some(Instant::now() + RESTART_PAUSE);
    }

    fn publish_directory(&self) {
        let directory = self
            .followed
            .iter()
            .map(|(name, followed)| (name.clone(), followed.running.handle.clone()))
            .collect();
        self.directory.store(Arc::new(directory));
    }

    async fn stop(mut self, mode: StopMode) {
        let followed = std::mem::take(&mut self.followed);
        self.publish_directory();
        for one in followed.values() {
            // One that has ended needs no stopping.
            let _ended = one.running.handle.stop(mode.clone()).await;
        }
        for (name, one) in followed {
            if !one.running.join().await {
                tracing::error!(instance = %name, "the instance ended by a bug");
            }
        }
    }
}

/// Stops an instance that is not wanted any more and reaps its thread in the background.
async fn end(running: RunningInstance) {
    let _ended = running.handle.stop(StopMode::Graceful { text: None }).await;
    tokio::spawn(running.join());
}

/// An instance without its routes, of which there may be many.
fn session_side(instance: &Instance) -> Instance {
    Instance {
        name: instance.name.clone(),
        listen_addresses: instance.listen_addresses.clone(),
        peer_groups: instance.peer_groups.clone(),
        peers: instance.peers.clone(),
        dynamic_peers: instance.dynamic_peers.clone(),
        routes: Vec::new(),
        ..*instance
    }
}

fn whole_instance(name: &str, effect: Effect, instance: &Instance) -> Change {
    let (peers, routes) = (instance.peers.len(), instance.routes.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let reason = format!("{peers} peer{}, {routes} route{}", plural(peers), plural(routes));
    Change { instance: name.to_owned(), peer: None, effect, reason, fields: Vec::new() }
}

/// How many peers are as they were.
fn unchanged_peers<'a>(instances: impl Iterator<Item = &'a Instance>, changes: &[Change]) -> usize {
    let count = |instance: &Instance| {
        let touched = |peer: Option<&str>| {
            changes.iter().any(|change| change.instance == instance.name && change.peer.as_deref() == peer)
        };
        let new = changes.iter().any(|change| {
            change.instance == instance.name && change.peer.is_none() && change.effect == Effect::Added
        });
        if new { 0 } else { instance.peers.iter().filter(|peer| !touched(Some(&peer.name))).count() }
    };
    instances.map(count).sum()
}

fn report(owner: &str, what: &str, changes: &[Change]) {
    if changes.is_empty() {
        tracing::debug!(owner, "{what}, nothing to change");
        return;
    }
    tracing::info!(owner, changes = changes.len(), "{what}");
    for change in changes {
        tracing::info!(owner, "{change}");
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
