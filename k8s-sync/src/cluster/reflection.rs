//! All reflectors of a process, and what they have read.
//!
//! Invariant: [`Reflection::snapshot`] never becomes poorer because the server is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::address::Address;
use super::connect::Cluster;
use super::pulse::SILENCE;
use super::reflector::{Account, Reflector, Standing};
use super::request::Call;
use super::store::Store;
use super::watched::{Watched, sources};
use crate::report::Report;
use crate::snapshot::Snapshot;

/// Longest time for the answer to "are you there".
const PROBE: Duration = Duration::from_secs(10);

/// How much of the cluster is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What one node's agent needs: its own Node, CiliumNode and CiliumBGPNodeConfig, and all objects that say what is
    /// advertised.
    Node {
        /// Name of the node.
        name: String,
    },
    /// What the operator needs for these parts of its work.
    Cluster(Parts),
}

/// Parts of an operator's work; each needs kinds of its own, and the rights to list and watch them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Node configurations: all nodes and all BGP configuration, and which Secrets exist.
    pub bgp: bool,
    /// LB IPAM: Services, with what allocation reads, and pools.
    pub lb_ipam: bool,
    /// Node IPAM: Services, nodes, EndpointSlices.
    pub node_ipam: bool,
    /// What pools must not cover: nodes, and the ranges of pods and Services.
    pub cluster_ranges: bool,
}

impl Scope {
    pub(super) fn reads_secrets(&self) -> bool {
        matches!(self, Self::Node { .. } | Self::Cluster(Parts { bgp: true, .. }))
    }
}

/// A moment from which on the snapshot is new enough, see [`Reflection::refresh`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round(Vec<(usize, u64)>);

/// Objects kept up to date, until it is dropped.
#[derive(Debug)]
pub struct Reflection {
    store: Arc<Store>,
    kinds: Vec<(Watched, Arc<Mutex<Account>>)>,
    _tasks: JoinSet<()>,
}

impl Reflection {
    /// Begins to follow. Without a namespace for secrets no Secret is read.
    #[must_use]
    pub fn start(cluster: &Cluster, scope: &Scope, secrets_namespace: Option<&str>) -> Self {
        let store = Arc::new(Store::new());
        let mut tasks = JoinSet::new();
        let mut kinds = Vec::new();
        for source in sources(scope, secrets_namespace) {
            let account = Arc::default();
            kinds.push((source.watched, Arc::clone(&account)));
            tasks.spawn(Reflector::new(cluster, source, &store, &account).run());
        }
        tasks.spawn(probe(cluster.clone()));
        Self { store, kinds, _tasks: tasks }
    }

    /// Waits until the server has said something definite about every kind.
    pub async fn ready(&self) {
        let mut changed = self.changed();
        while !self.is_ready() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether the server has said something definite about every kind: all its objects, or that we cannot have them.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.all(|_, standing| standing != Standing::Pending)
    }

    /// Whether every kind that is needed was read. If not, the snapshot may hold less than what an earlier process knew.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.all(certain)
    }

    /// [`is_certain`](Self::is_certain) for these parts alone: what the others lack need not stop them.
    #[must_use]
    pub fn is_certain_of(&self, parts: Parts) -> bool {
        let needed = sources(&Scope::Cluster(parts), Some(""));
        self.kinds
            .iter()
            .filter(|(watched, _)| needed.iter().any(|source| source.watched == *watched))
            .all(|(watched, account)| certain(*watched, lock(account).standing))
    }

    /// Whether the kinds of these parts are followed at this moment, so that the snapshot is as new as a watch is. If not (an
    /// outage, a right that was taken away, a kind that was removed), it is what was read last.
    #[must_use]
    pub fn is_current(&self, parts: Parts) -> bool {
        let needed = sources(&Scope::Cluster(parts), None);
        let kinds = self.kinds.iter();
        let mut kinds = kinds.filter(|(watched, _)| needed.iter().any(|source| source.watched == *watched));
        kinds.all(|(_, account)| lock(account).is_current())
    }

    /// Asks for the objects of these parts to be read from the beginning, so that everything the server had acknowledged before
    /// this call is in the snapshot once [`is_of_round`](Self::is_of_round) says so. Objects that did not change are not decoded
    /// again.
    #[must_use]
    pub fn refresh(&self, parts: Parts) -> Round {
        let needed = sources(&Scope::Cluster(parts), None);
        let asked = |(at, (watched, account)): (usize, &(Watched, Arc<Mutex<Account>>))| {
            needed.iter().any(|source| source.watched == *watched).then(|| {
                let account = lock(account);
                account.asked.send_modify(|round| *round += 1);
                (at, *account.asked.borrow())
            })
        };
        Round(self.kinds.iter().enumerate().filter_map(asked).collect())
    }

    /// Whether what was asked for is read.
    #[must_use]
    pub fn is_of_round(&self, round: &Round) -> bool {
        round.0.iter().all(|(at, wanted)| {
            self.kinds.get(*at).is_some_and(|(watched, account)| {
                let account = lock(account);
                let missing = account.standing == Standing::NotServed && watched.place().optional;
                missing || account.round.is_some_and(|read| read >= *wanted)
            })
        })
    }

    fn all(&self, holds: impl Fn(Watched, Standing) -> bool) -> bool {
        self.kinds.iter().all(|(watched, account)| holds(*watched, lock(account).standing))
    }

    /// Tells when the snapshot or the report may be different. Any number of changes is one.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.store.changed()
    }

    /// Everything as it is now. Costs a few references.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// What keeps us from knowing more: the server is away, a kind is missing, an object cannot be read.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for (_, account) in &self.kinds {
            lock(account).report_to(&mut report);
        }
        report
    }

    /// The collection of a kind in the version that the server has, once it was read.
    #[must_use]
    pub fn collection(&self, kind: &str) -> Option<Address> {
        let (watched, account) = self.kinds.iter().find(|(watched, _)| watched.place().kind == kind)?;
        let account = lock(account);
        let place = watched.place();
        (account.standing == Standing::Listed)
            .then(|| Address::group(place.group, account.version, place.plural))
    }

    /// How many objects are held, by kind.
    #[must_use]
    pub fn objects(&self) -> Vec<(&'static str, usize)> {
        self.kinds.iter().map(|(watched, _)| (watched.place().kind, self.store.count(*watched))).collect()
    }

    /// How often a watch had to begin again, by kind.
    #[must_use]
    pub fn restarts(&self) -> Vec<(&'static str, u64)> {
        self.kinds.iter().map(|(watched, account)| (watched.place().kind, lock(account).restarts)).collect()
    }
}

fn certain(watched: Watched, standing: Standing) -> bool {
    standing == Standing::Listed || (standing == Standing::NotServed && watched.place().optional)
}

fn lock(account: &Mutex<Account>) -> std::sync::MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks a silent server whether it is there; ends all streams of a dead one.
async fn probe(cluster: Cluster) {
    loop {
        let silence = cluster.shared.pulse.silence();
        if silence < SILENCE {
            tokio::time::sleep(SILENCE - silence).await;
            continue;
        }
        let mut call = Call::to("get", "version".to_owned(), Method::GET, "/version".to_owned());
        call.patience = PROBE;
        match cluster.accepted(call).await {
            Err(error) if error.status().is_none() => {
                tracing::debug!(%error, "the API server is gone");
                cluster.shared.pulse.lose();
                tokio::time::sleep(SILENCE).await;
            }
            _ => cluster.shared.pulse.beat(),
        }
    }
}
