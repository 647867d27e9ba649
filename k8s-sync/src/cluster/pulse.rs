//! Whether the API server still says anything, over all connections together.
//!
//! A server that hangs sends nothing and closes nothing. Invariant: such a server is noticed within [`SILENCE`] plus the
//! time limit of one small request, and a server that merely has nothing to tell costs one such request per [`SILENCE`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Silence after which the server is asked whether it is there.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// When something came last, in milliseconds since `start`.
    heard: AtomicU64,
    /// Counts the times that the server was found dead: every stream ends then.
    lost: watch::Sender<u64>,
    /// Whether somebody found the server away.
    away: AtomicBool,
    /// Counts the times that it came back: whoever waits out a long pause tries again.
    back: watch::Sender<u64>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
            lost: watch::Sender::new(0),
            away: AtomicBool::new(false),
            back: watch::Sender::new(0),
        }
    }

    /// The server said something.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// For how long the server has said nothing.
    pub(super) fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    /// The server is dead: whoever reads from it gives up.
    pub(super) fn lose(&self) {
        self.lost.send_modify(|lost| *lost += 1);
    }

    /// Somebody found the server away.
    pub(super) fn went(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    /// Somebody was answered as it should be.
    pub(super) fn came(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            self.back.send_modify(|back| *back += 1);
        }
    }

    /// Resolves when the server is there again.
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.back.subscribe()
    }

    /// Resolves when the server is found dead.
    pub(super) fn losses(&self) -> watch::Receiver<u64> {
        let mut losses = self.lost.subscribe();
        losses.mark_unchanged();
        losses
    }
}
