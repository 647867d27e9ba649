//! Keeps bgpd holding our intent: puts it when it changed, and again when bgpd has lost it.
//!
//! bgpd keeps what it was told for as long as it runs, whatever becomes of us. Invariants: nothing is ever deleted here;
//! nothing is put before everything has been read; and what an earlier life of this agent put is not replaced by less
//! because a file happens to be broken, or the API server away, now.

use std::sync::Arc;
use std::time::Duration;

use rutter_api::client::{Client, ClientError};
use rutter_api::control::{Applied, IntentSummary};
use rutter_api::intent::Intent;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{Metrics, Put};
use crate::pipeline::Outcome;
use crate::status::{BgpdState, LastApplied, Published};

/// Our name among the owners of intents.
pub(crate) const OWNER: &str = "kubernetes";
/// How often bgpd is asked whether it still has our intent.
const CHECK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// A refusal will not go away by asking again, unless bgpd is replaced by another version.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);

/// Why an intent is kept back although everything that can be read was.
const UNCERTAIN: &str = "some objects cannot be read and were not read before by this process; bgpd keeps the intent it \
                         has until they can";

/// Hands intents to bgpd for as long as the process lives.
pub(crate) struct Pusher {
    client: Client,
    outcomes: watch::Receiver<Option<Arc<Outcome>>>,
    state: Published<BgpdState>,
    /// What bgpd holds of ours, as far as we know.
    held: Option<Arc<Intent>>,
    /// Whether this process has ever put something: from then on it knows better than what bgpd holds.
    has_put: bool,
    retry: Duration,
    last_error: Option<String>,
    /// Serial number of the last outcome that bgpd took or refused.
    settled: watch::Sender<u64>,
    metrics: Metrics,
}

impl Pusher {
    pub(crate) fn new(
        client: Client,
        outcomes: watch::Receiver<Option<Arc<Outcome>>>,
        state: Published<BgpdState>,
    ) -> Self {
        Self {
            client,
            outcomes,
            state,
            held: None,
            has_put: false,
            retry: FIRST_RETRY,
            last_error: None,
            settled: watch::Sender::new(0),
            metrics: Metrics::new(),
        }
    }

    /// Where runs are counted.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Tells which outcome bgpd has dealt with.
    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// Runs until the manifests' side is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let outcome = self.outcomes.borrow_and_update().clone();
            let pause = match outcome {
                Some(outcome) => {
                    let pause = self.step(&outcome).await;
                    self.settled.send_replace(outcome.serial);
                    pause
                }
                None => CHECK,
            };
            tokio::select! {
                changed = self.outcomes.changed() => if changed.is_err() { return },
                () = sleep_until(Instant::now() + pause) => {}
            }
        }
    }

    /// One look at bgpd; how long to wait before the next.
    async fn step(&mut self, outcome: &Outcome) -> Duration {
        if !outcome.complete {
            return self.not_yet();
        }
        let result = match &self.held {
            Some(held) if Arc::ptr_eq(held, &outcome.intent) || held == &outcome.intent => {
                self.check(outcome).await
            }
            _ => self.put(outcome).await,
        };
        match result {
            Ok(()) => {
                if self.last_error.take().is_some() {
                    tracing::info!(socket = %self.client.socket().display(), "bgpd answers again");
                }
                self.retry = FIRST_RETRY;
                CHECK
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Less than everything is not an intent.
    fn not_yet(&self) -> Duration {
        if self.state.read(|state| state.held_back.is_none()) {
            let text = "not everything was read from the API server yet; bgpd keeps what it has until then";
            tracing::info!("{text}");
            self.state.update(|state| {
                state.pending = true;
                state.held_back = Some(text.to_owned());
            });
        }
        CHECK
    }

    /// bgpd may have been restarted, or somebody may have changed our intent.
    async fn check(&mut self, outcome: &Outcome) -> Result<(), ClientError> {
        let owners = self.client.intents().await?;
        if owners.iter().any(|summary| describes(summary, &outcome.intent)) {
            self.state.update(|state| state.reachable = true);
            return Ok(());
        }
        tracing::warn!("bgpd no longer has our intent; putting it again");
        self.held = None;
        self.put(outcome).await
    }

    async fn put(&mut self, outcome: &Outcome) -> Result<(), ClientError> {
        if !self.has_put && !outcome.certain && self.hold_back().await? {
            return Ok(());
        }
        let intent = &outcome.intent;
        let begun = Instant::now();
        let answer = self.client.put_intent(OWNER, intent).await;
        let put = match &answer {
            Ok(_) => Put::Applied,
            Err(error) if error.is_transient() => Put::Failed,
            Err(_) => Put::Refused,
        };
        self.metrics.put(outcome, outcome.took + begun.elapsed(), put);
        let applied = answer?;
        log_applied(&applied);
        self.held = Some(Arc::clone(intent));
        self.has_put = true;
        let last = LastApplied::now(intent, &applied);
        self.state.update(|state| {
            state.reachable = true;
            state.pending = false;
            state.held_back = None;
            state.error = None;
            state.puts += 1;
            state.last_applied = Some(last);
        });
        Ok(())
    }

    /// Whether to leave alone what an earlier life of this agent put. It knew what the broken files held; we do not.
    async fn hold_back(&mut self) -> Result<bool, ClientError> {
        let owners = self.client.intents().await?;
        let hold = owners.iter().any(|summary| summary.owner == OWNER && summary.instances > 0);
        if hold && self.state.read(|state| state.held_back.as_deref() != Some(UNCERTAIN)) {
            tracing::error!("{UNCERTAIN}");
            self.state.update(|state| {
                state.reachable = true;
                state.pending = true;
                state.held_back = Some(UNCERTAIN.to_owned());
                state.error = None;
            });
        }
        Ok(hold)
    }

    fn failed(&mut self, error: &ClientError) -> Duration {
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            tracing::error!(error = %text, "bgpd does not have the newest intent");
        }
        let reachable = error.status().is_some();
        self.state.update(|state| {
            state.reachable = reachable;
            state.pending = true;
            state.error = Some(text.clone());
        });
        self.last_error = Some(text);
        if !error.is_transient() {
            return AFTER_REFUSAL;
        }
        // Whoever comes back may be a new bgpd, with nothing of ours.
        self.held = None;
        let pause = self.retry;
        self.retry = (self.retry * 2).min(LAST_RETRY);
        pause
    }
}

/// Whether bgpd's summary can be that of this intent.
fn describes(summary: &IntentSummary, intent: &Intent) -> bool {
    let peers: usize = intent.instances.iter().map(|instance| instance.peers.len()).sum();
    let routes: usize = intent.instances.iter().map(|instance| instance.routes.len()).sum();
    summary.owner == OWNER
        && (summary.instances, summary.peers, summary.routes) == (intent.instances.len(), peers, routes)
}

fn log_applied(applied: &Applied) {
    for change in &applied.changes {
        tracing::info!("bgpd: {change}");
    }
    for conflict in &applied.conflicts {
        tracing::warn!("bgpd: {conflict}");
    }
}

#[cfg(test)]
mod tests;
