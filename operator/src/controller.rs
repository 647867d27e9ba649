//! The loop: whenever something changed and this process leads, plan anew from everything there is, and write the difference.
//!
//! Invariants: level-triggered, so a lost event costs nothing. A process that does not lead reads and writes nothing else than
//! the Lease. Nothing is written while a kind that matters could not be read: what is not known would look deleted.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::cluster::{ApiError, Cluster, Guard, Parts, Reflection};
use k8s_sync::journal;
use k8s_sync::report::Report;
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::node_configs;
use kube_lease::{Leadership, Token};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::changes::{Change, Policy, changes};
use crate::metrics::Metrics;
use crate::retries::Retries;
use crate::status::Passed;
use crate::write::{WriteError, Writer, served_version};

/// Writes on their way at the same time.
const AT_ONCE: usize = 8;
/// What must have been read.
const PARTS: Parts = Parts { bgp: true, lb_ipam: false, node_ipam: false, cluster_ranges: false };
/// Writes of one pass: what happens meanwhile is planned in before the next ones.
const AT_MOST: usize = 256;
/// Longest rest between two passes while changes pour in.
const REST: Duration = Duration::from_millis(500);

/// The controller of all node configurations and conditions.
pub(crate) struct Controller {
    pub(crate) cluster: Cluster,
    pub(crate) reflection: Arc<Reflection>,
    pub(crate) leadership: Leadership,
    pub(crate) options: Options,
    pub(crate) policy: Policy,
    pub(crate) metrics: Metrics,
    pub(crate) passed: watch::Sender<Passed>,
}

/// One term of ours.
struct Term {
    token: Token,
    writer: Writer,
    retries: Retries,
    /// What the last pass of this term looked at, if there is nothing left of it to do.
    planned: Option<Snapshot>,
    findings: Report,
}

impl Controller {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut changed = self.reflection.changed();
        let mut leadership = self.leadership.clone();
        let mut term: Option<Term> = None;
        let mut logged = Report::default();
        loop {
            changed.mark_unchanged();
            let began = Instant::now();
            term = self.term(term).await;
            let unread = self.reflection.report();
            let (mut findings, mut more) = (Report::default(), false);
            if let Some(term) = term.as_mut().filter(|_| self.reflection.is_certain_of(PARTS)) {
                let snapshot = ours(self.reflection.snapshot());
                if term.has_work(&snapshot, began) {
                    (term.findings, more) = self.pass(term, &snapshot).await;
                    term.planned = (!more).then_some(snapshot);
                    self.metrics.ran(began.elapsed());
                }
                findings.clone_from(&term.findings);
            }
            let failing = term.as_ref().map(|term| failing(&term.retries)).unwrap_or_default();
            self.passed.send_modify(|passed| {
                *passed = Passed { passes: passed.passes + 1, findings: findings.clone(), failing };
            });
            findings.merge(unread);
            journal::log_changes(&logged, &findings);
            logged = findings;
            if more {
                continue;
            }
            sleep(began.elapsed().min(REST)).await;
            let next = term.as_ref().and_then(|term| term.retries.next());
            tokio::select! {
                _ = changed.changed() => {}
                _ = leadership.changed() => {}
                () = sleep_until(next.unwrap_or(began)), if next.is_some() => {}
            }
        }
    }

    /// The term as it is now; what is remembered of an earlier one is forgotten.
    async fn term(&self, before: Option<Term>) -> Option<Term> {
        let token = self.leadership.token()?;
        if let Some(term) = before.filter(|term| term.token == token) {
            return Some(term);
        }
        let api_version = served_version(&self.cluster).await;
        let (fence, leadership) = (self.leadership.clone(), self.leadership.clone());
        let cluster = self.cluster.guarded(Guard::new(move || fence.token().is_some()));
        let writer = Writer { cluster, leadership, api_version };
        let (retries, findings) = (Retries::default(), Report::default());
        Some(Term { token, writer, retries, planned: None, findings })
    }

    /// Plans and writes. Gives what there is to say about the objects, and whether there is more to write.
    async fn pass(&self, term: &mut Term, snapshot: &Snapshot) -> (Report, bool) {
        let plan = node_configs(snapshot, &self.options);
        let wanted = changes(snapshot, &plan, self.policy, Timestamp::now());
        let now = Instant::now();
        term.retries.keep_only(&wanted, now);
        let mut due: Vec<Change> =
            wanted.into_iter().filter(|change| term.retries.is_due(change, now)).collect();
        let more = due.len() > AT_MOST;
        due.truncate(AT_MOST);
        let writer = &term.writer;
        let mut writes = futures::stream::iter(due)
            .map(|change| async move {
                let written = writer.write(&change).await;
                (change, written)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((change, written)) = writes.next().await {
            match written {
                Ok(version) => {
                    tracing::info!(object = %change.object, change = change.act.name(), "written");
                    self.metrics.made(&change.object, change.act.name());
                    term.retries.made(&change, version, Instant::now());
                }
                Err(WriteError::Deposed | WriteError::Api(ApiError::Withheld { .. })) => {
                    tracing::warn!(object = %change.object, "not written: this process does not lead any more");
                }
                Err(WriteError::Api(error)) => self.failed(&mut term.retries, &change, &error),
            }
        }
        (plan.report, more)
    }

    fn failed(&self, retries: &mut Retries, change: &Change, error: &ApiError) {
        let pause = retries.failed(change, error, Instant::now());
        let (object, what) = (&change.object, change.act.name());
        if error.is_conflict() {
            // Somebody wrote in between; the watch brings what, and then it is computed anew.
            tracing::debug!(%object, change = what, %error, "not written, again in {pause:?}");
        } else {
            self.metrics.failed(&change.blame);
            tracing::warn!(%object, change = what, %error, "not written, again in {pause:?}");
        }
    }
}

impl Term {
    /// Whether there is anything to do: objects that differ from those of the last pass, or a change that is due again.
    fn has_work(&self, now: &Snapshot, moment: Instant) -> bool {
        let due = self.retries.next().is_some_and(|next| next <= moment);
        let same = |last: &Snapshot| {
            Arc::ptr_eq(&last.nodes, &now.nodes)
                && Arc::ptr_eq(&last.cilium_nodes, &now.cilium_nodes)
                && Arc::ptr_eq(&last.secrets, &now.secrets)
                && Arc::ptr_eq(&last.cluster_configs, &now.cluster_configs)
                && Arc::ptr_eq(&last.peer_configs, &now.peer_configs)
                && Arc::ptr_eq(&last.overrides, &now.overrides)
                && Arc::ptr_eq(&last.node_configs, &now.node_configs)
        };
        due || !self.planned.as_ref().is_some_and(same)
    }
}

/// The part of a snapshot that node configurations follow from. Services come and go by the thousand and are not among them.
fn ours(snapshot: Snapshot) -> Snapshot {
    let Snapshot {
        nodes, cilium_nodes, secrets, cluster_configs, peer_configs, overrides, node_configs, ..
    } = snapshot;
    Snapshot {
        nodes,
        cilium_nodes,
        secrets,
        cluster_configs,
        peer_configs,
        overrides,
        node_configs,
        ..Snapshot::default()
    }
}

fn failing(retries: &Retries) -> Vec<(String, u32, String)> {
    retries
        .failures()
        .map(|(object, failures, error)| (object.to_string(), failures, error.to_owned()))
        .collect()
}
