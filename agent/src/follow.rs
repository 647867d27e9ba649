//! When to look at the objects again, for each of the two sources.
//!
//! Invariant: the first change after a quiet time is looked at at once; while changes keep coming, bgpd gets as many
//! intents as it can take, not as many as there are changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_sync::journal;
use k8s_sync::network::Network;
use k8s_sync::report::Report;
use tokio::sync::watch;

use crate::pipeline::{Outcome, Pipeline};
use crate::watch::DirectoryWatch;

/// Longest wait for bgpd to take an intent, and longest rest after it has: as long as the translation took.
const REST: Duration = Duration::from_millis(500);

/// Reads the manifests whenever they may have changed, until nobody listens any more. Runs on a thread of its own.
pub(crate) fn directory(
    mut pipeline: Pipeline,
    mut watch: DirectoryWatch,
    sender: &watch::Sender<Option<Arc<Outcome>>>,
) {
    let mut last = None;
    while !sender.is_closed() {
        watch.arm();
        if let Some(outcome) = pipeline.refresh(Timestamp::now()) {
            publish(sender, &mut last, outcome);
        }
        watch.wait();
    }
}

/// Wakes the reading thread when links or routes have changed.
pub(crate) async fn wake(mut network: watch::Receiver<Network>, waker: std::sync::mpsc::Sender<()>) {
    while network.changed().await.is_ok() && waker.send(()).is_ok() {}
}

/// Translates whenever the API server told something, or this machine's network changed. `settled` is the serial number of
/// the last outcome that bgpd took or refused.
pub(crate) async fn api_server(
    mut pipeline: Pipeline,
    mut changed: watch::Receiver<u64>,
    mut network: watch::Receiver<Network>,
    mut settled: watch::Receiver<u64>,
    sender: watch::Sender<Option<Arc<Outcome>>>,
) -> anyhow::Result<()> {
    let mut last = None;
    while !sender.is_closed() {
        let start = Instant::now();
        changed.mark_unchanged();
        network.mark_unchanged();
        let refresh = move || {
            let outcome = pipeline.refresh(Timestamp::now());
            (pipeline, outcome)
        };
        let outcome;
        (pipeline, outcome) = tokio::task::spawn_blocking(refresh).await?;
        if let Some(outcome) = outcome {
            let (serial, translated) = (outcome.serial, start.elapsed());
            publish(&sender, &mut last, outcome);
            let _ = tokio::time::timeout(REST, settled.wait_for(|settled| *settled >= serial)).await;
            tracing::debug!(?translated, all = ?start.elapsed(), serial, "an outcome");
            // Our own work is paid back; what bgpd's costs, bgpd pays back itself.
            tokio::time::sleep(translated.min(REST)).await;
        }
        tokio::select! {
            alive = changed.changed() => if alive.is_err() { return Ok(()) },
            // Without news from the kernel the objects go on.
            Ok(()) = network.changed() => {}
        }
    }
    Ok(())
}

fn publish(
    sender: &watch::Sender<Option<Arc<Outcome>>>,
    last: &mut Option<Arc<Outcome>>,
    outcome: Arc<Outcome>,
) {
    let nothing = Report::default();
    journal::log_changes(last.as_ref().map_or(&nothing, |last| &last.report), &outcome.report);
    *last = Some(Arc::clone(&outcome));
    sender.send_replace(Some(outcome));
}
