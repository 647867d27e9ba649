//! The loop: take in what changed, plan, and write what is due.
//!
//! ```text
//!            changed / term / deadline / answer
//!                          │
//!   Reflection ─► feed ─► Ipam ─► plan ─► queue ─► due? carried? ─► writes (AT_ONCE) ─► API server
//!                                           ▲                            │
//!                                           └── Flights ◄── watch ◄──────┘
//! ```
//! Writing never holds up planning: each write is a task, and what happens meanwhile is planned in at once. A plan is always whole
//! (level-triggered), so a queue that was not worked off is simply replaced by the next one.
//!
//! **Two operators never give one address to two Services.** Within a term the allocator knows every address that stands in a
//! status and every one that it planned, and [`Flights`] holds back an address while a request that carries it can still land.
//! Between terms:
//!
//! 1. A leader sends nothing after its deadline (`Writer`, down to the socket). The successor's term begins some seconds later
//!    (lease duration less renew deadline), or after the leader gave the lease back, which it does when its last write is
//!    answered.
//! 2. The successor then reads Services and pools *from the beginning*, in requests made after its term began
//!    (`Reflection::refresh`). Whatever its predecessor got acknowledged is in what it reads, however far its watch had lagged.
//! 3. What was delayed so long that it arrives after that reading (a stuck proxy, a server that hung) names the version of the
//!    Service it was computed from. The successor decides anew about each Service that waits, and its own write makes the late
//!    one fail. Only a late write for a Service that the successor leaves as it is could land; then both are in statuses, the
//!    watch shows it at once, and the younger of the two moves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_sync::cluster::{Cluster, Parts, Reflection, Round};
use k8s_sync::snapshot::Snapshot;
use kube_lease::{Leadership, Token};
use lbipam::node_ipam::Unreadable;
use lbipam::{PoolChange, Settings, status};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::causes;
use super::events::Recorder;
use super::flights::{Flights, Target};
use super::metrics::Counters;
use super::state::{Failing, State};
use super::write::{Done, Job, WriteError, Writer};

/// Writes on their way at the same time.
const AT_ONCE: usize = 16;
/// Between two writes of the same pool's counts.
const COUNTS: Duration = Duration::from_secs(1);
/// Longest rest between two passes while changes pour in.
const REST: Duration = Duration::from_millis(100);
/// How long the answers of the last writes are waited for when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(3);

const POOLS: &str = "CiliumLoadBalancerIPPool";
const RESERVATIONS: &str = "LoadBalancerIPReservation";

/// The controller of addresses.
pub(crate) struct Controller {
    pub(crate) cluster: Cluster,
    pub(crate) reflection: Arc<Reflection>,
    pub(crate) leadership: Leadership,
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) counters: Counters,
    pub(crate) state: Arc<Mutex<State>>,
}

/// What a run of the loop keeps.
struct Work {
    recorder: Recorder,
    term: Option<Term>,
    flights: Flights,
    writes: JoinSet<Done>,
    /// What the last plan wants written, in order.
    queue: VecDeque<Job>,
    /// What was told of annotations that cannot be read: uid of the Service, and what is wrong.
    unreadable: BTreeSet<(Box<str>, Box<str>)>,
    /// When the status of a pool was written last.
    pools: BTreeMap<Arc<str>, Instant>,
    /// Whether something changed that was not taken in yet.
    dirty: bool,
    /// Not before this moment the next pass begins.
    rest: Instant,
    /// When something is due by itself.
    wake: Option<Instant>,
}

/// A term of ours.
struct Term {
    token: Token,
    writer: Writer,
    /// What must be read before anything is planned; absent once it is.
    round: Option<Round>,
}

impl Controller {
    /// Runs until it is asked to stop, and then until the last write is answered.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.reflection.changed();
        let mut leadership = self.leadership.clone();
        let mut work = Work::new(Recorder::start(&self.cluster, self.counters.events.clone()));
        while !*stop.borrow() {
            let now = Instant::now();
            self.follow_term(&mut work);
            if work.dirty && now >= work.rest {
                work.dirty = false;
                self.pass(&mut work, now);
                // Never more than half of the time is spent on planning; a lone change waits for nothing.
                work.rest = Instant::now() + now.elapsed().min(REST);
            }
            self.launch(&mut work);
            let wake = if work.dirty { Some(work.rest) } else { work.wake };
            tokio::select! {
                _ = changed.changed() => work.dirty = true,
                _ = leadership.changed() => work.dirty = true,
                Some(done) = work.writes.join_next() => self.landed(&mut work, done.ok()),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => work.dirty = true,
                _ = stop.changed() => {}
            }
            while let Some(done) = work.writes.try_join_next() {
                self.landed(&mut work, done.ok());
            }
        }
        let drained = async { while work.writes.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some writes were not answered in time; each names the version it was meant for");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The term as it is now. A new one begins with reading everything anew.
    fn follow_term(&self, work: &mut Work) {
        let token = self.leadership.token();
        if token == work.term.as_ref().map(|term| term.token.clone()) {
            return;
        }
        work.dirty = true;
        work.queue.clear();
        work.writes.abort_all();
        work.flights.give_up_all(Instant::now());
        work.term = token.map(|token| Term {
            writer: Writer::new(&self.cluster, &self.leadership, &token),
            token,
            round: Some(self.reflection.refresh(self.parts)),
        });
        self.state().leads = false;
    }

    /// Takes in what changed, and plans if this process leads.
    fn pass(&self, work: &mut Work, began: Instant) {
        work.wake = None;
        if !self.reflection.is_certain_of(self.parts) {
            return;
        }
        let now = Timestamp::now();
        let mut state = self.state();
        state.certain = true;
        let fresh = work.term.as_ref().and_then(|term| term.round.as_ref());
        let fresh = fresh.is_some_and(|round| self.reflection.is_of_round(round));
        // Asked before the snapshot is taken, so that what is known is in it.
        let with_ranges = Parts { cluster_ranges: true, ..self.parts };
        let ranges_known = self.reflection.is_certain_of(with_ranges);
        let snapshot = self.reflection.snapshot();
        let differs = state.take_in(snapshot, fresh.then_some(&self.settings), now);
        let version = |target: &Target| version(state.seen(), target);
        work.flights.look(began, version);
        if fresh && let Some(term) = &mut work.term {
            tracing::info!(token = %term.token, "everything is read anew: addresses are given out from here");
            term.round = None;
        }
        state.leads = work.term.as_ref().is_some_and(|term| term.round.is_none());
        // What may be old is nothing to decide from, and a kind that is gone says nothing about its objects.
        // Nor does a pool refuse ranges of the cluster before they are known.
        let current = if state.ipam().needs_cluster_ranges() {
            ranges_known && self.reflection.is_current(with_ranges)
        } else {
            self.reflection.is_current(self.parts)
        };
        let queue =
            if state.leads && current { self.plan(work, &mut state, now, began) } else { VecDeque::new() };
        work.queue = queue;
        state.failing = failing(&work.flights);
        state.writing = work.flights.unanswered();
        drop(state);
        self.counters.observe(differs, began.elapsed());
    }

    /// What is to be written, and when to look again.
    fn plan(&self, work: &mut Work, state: &mut State, now: Timestamp, instant: Instant) -> VecDeque<Job> {
        let plan = state.plan(&self.settings, now);
        let unreadable: BTreeSet<_> = state
            .unreadable()
            .iter()
            .map(|unreadable| (unreadable.service.uid.clone(), unreadable.message.clone()))
            .collect();
        let news =
            |what: &&Unreadable| !work.unreadable.contains(&(what.service.uid.clone(), what.message.clone()));
        state
            .unreadable()
            .iter()
            .filter(news)
            .for_each(|what| work.recorder.tell(causes::of_unreadable(what)));
        work.unreadable = unreadable;
        let mut wake = state.ipam().poll_deadline().map(|at| instant + until(now, at));
        let collection = self.reflection.collection(POOLS);
        let mut jobs = VecDeque::with_capacity(plan.pools.len() + plan.services.len());
        for change in plan.pools {
            let Some(collection) = &collection else { continue };
            let name: Arc<str> = change.pool.metadata.name.as_deref().unwrap_or_default().into();
            let due = work.pools.get(&name).map(|at| *at + COUNTS).filter(|due| *due > instant);
            if let Some(due) = due.filter(|_| !is_urgent(&change)) {
                wake = Some(wake.map_or(due, |wake| wake.min(due)));
                continue;
            }
            let change = Arc::new(change);
            if !change.annotate.is_empty() {
                jobs.push_back(Job::PoolAnnotations(Arc::clone(&change), collection.clone()));
            }
            if !change.set.is_empty() || !change.remove.is_empty() {
                jobs.push_back(Job::PoolStatus(change, collection.clone()));
            }
        }
        // Before the Services: an address is kept before it goes to another.
        if let Some(collection) = self.reflection.collection(RESERVATIONS) {
            let job = |change| Job::Reservation(Arc::new(change), collection.clone());
            jobs.extend(plan.reservations.into_iter().map(job));
        }
        jobs.extend(plan.services.into_iter().map(|change| Job::Service(Arc::new(change))));
        work.flights.keep_only(jobs.iter().map(Job::target));
        let next = work.flights.next(instant);
        work.wake = [wake, next].into_iter().flatten().min();
        jobs
    }

    /// Sends what may be sent.
    fn launch(&self, work: &mut Work) {
        let Some(term) = work.term.as_ref().filter(|term| term.round.is_none()) else { return };
        if work.queue.is_empty() {
            return;
        }
        let (now, state) = (Instant::now(), self.state());
        let mut later = VecDeque::new();
        while work.writes.len() < AT_ONCE
            && let Some(job) = work.queue.pop_front()
        {
            let target = job.target();
            // The parts of a pool are one object and one version: one after the other.
            let part_is_flying = job.other_part().is_some_and(|other| work.flights.is_flying(&other));
            if part_is_flying || !work.flights.is_due(&target, job.version(), now) {
                continue;
            }
            let carried =
                |address| work.flights.is_carried(address, &target, |key| state.holds(key, address));
            if job.gives().any(carried) {
                later.push_back(job);
                continue;
            }
            let carries = job.gives().collect();
            let number = work.flights.begin(&target, job.version(), carries);
            if let Job::PoolStatus(change, _) = &job {
                work.pools.insert(change.pool.metadata.name.as_deref().unwrap_or_default().into(), now);
            }
            work.writes.spawn(term.writer.clone().write(job, target, number));
        }
        later.append(&mut work.queue);
        work.queue = later;
    }

    /// A write was answered. None: it was aborted, and its flight ends by what the watch shows.
    fn landed(&self, work: &mut Work, done: Option<Done>) {
        let now = Instant::now();
        let Some(Done { job, target, number, result, took }) = done else { return };
        let what = job.name();
        match result {
            Ok(()) => {
                tracing::debug!(object = %target.describe(), change = what, ?took, "written");
                work.flights.made(&target, number, now);
                self.counters.written(what, "made");
                let events = match &job {
                    Job::Service(change) => causes::of_service(change),
                    Job::PoolStatus(change, _) => causes::of_pool(change),
                    Job::PoolAnnotations(..) | Job::Reservation(..) => Vec::new(),
                };
                for event in events {
                    tracing::info!(object = %target.describe(), reason = ?event.reason, "{}", event.message);
                    work.recorder.tell(event);
                }
            }
            Err(WriteError::Deposed) => {
                work.flights.unsent(&target, number);
                tracing::warn!(object = %target.describe(), "not written: this process does not lead any more");
            }
            Err(WriteError::Api(error)) => {
                let (pause, fault) = work.flights.failed(&target, number, &error, now);
                work.dirty = true;
                if fault {
                    self.counters.written(what, "failed");
                    tracing::warn!(object = %target.describe(), change = what, %error, "not written, again in {pause:?}");
                } else {
                    self.counters.written(what, "stale");
                    tracing::debug!(object = %target.describe(), change = what, %error, "not written: it is another by now");
                }
            }
        }
    }
}

impl Work {
    fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            term: None,
            flights: Flights::default(),
            writes: JoinSet::new(),
            queue: VecDeque::new(),
            unreadable: BTreeSet::new(),
            pools: BTreeMap::new(),
            dirty: true,
            rest: Instant::now(),
            wake: None,
        }
    }
}

/// Whether more than counts changes.
fn is_urgent(change: &PoolChange) -> bool {
    let counts = [status::IPS_TOTAL, status::IPS_AVAILABLE, status::IPS_USED];
    let other = |condition: &rutter_crds::Condition| !counts.contains(&condition.type_.as_str());
    change.set.iter().any(other) || !change.remove.is_empty() || !change.annotate.is_empty()
}

/// The version of an object now.
fn version(snapshot: &Snapshot, target: &Target) -> Option<Box<str>> {
    match target {
        Target::Service(key) => {
            let name = k8s_sync::object::NamespacedName::new(&*key.namespace, &*key.name);
            snapshot.services.get(&name).map(|service| service.resource_version.clone())
        }
        Target::PoolStatus(name) | Target::PoolAnnotations(name) => {
            let pool = snapshot.lb_pools.get(&**name)?;
            Some(pool.metadata.resource_version.as_deref().unwrap_or_default().into())
        }
        // One that is not there has a version, too: the empty one, from which it can be created.
        Target::Reservation(name) => {
            let object = snapshot.lb_reservations.get(&**name);
            let version = object.and_then(|object| object.metadata.resource_version.as_deref());
            Some(version.unwrap_or_default().into())
        }
    }
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    let wait: SignedDuration = at.duration_since(now);
    Duration::try_from(wait).unwrap_or_default()
}

fn failing(flights: &Flights) -> Vec<Failing> {
    flights
        .failures()
        .map(|(object, failures, error)| Failing { object, failures, error: error.to_owned() })
        .collect()
}
