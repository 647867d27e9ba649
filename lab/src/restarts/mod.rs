//! What a restart of bgpd costs its neighbours, measured with real ones: FRR, BIRD and GoBGP with hosts that ping a prefix
//! through the routes they learned, while routes come and go.
//!
//! ```text
//!                       ┌── frr    (TCP MD5)  zebra writes the kernel's route    ── ping 203.0.113.1
//!   hub: bgpd ──────────┼── bird              BIRD writes it                     ── ping
//!   203.0.113.1 on lo   ├── gobgp             a mirror of its table writes it    ── ping
//!                       └── raw               counts every UPDATE and its prefixes, sends some itself
//! ```
//!
//! Whoever benchmarks prints a [`Report`]; a test asserts on it.
//!
//! Invariant: nothing is asked of rutter that a neighbour can tell. Session events, removed routes, lost pings and repeated
//! UPDATEs are what the other side saw.

mod neighbours;
mod raw_peer;
mod stage;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::stage::Stage;
use crate::wait::wait_for;

/// How bgpd is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL and a new start; graceful restart on both sides.
    Kill,
    /// SIGTERM with `--on-sigterm restart` and a new start; graceful restart on both sides.
    Sigterm,
    /// `--take-over`; no graceful restart anywhere.
    Handover,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Sigterm => "sigterm",
            Self::Handover => "handover",
        })
    }
}

/// What one neighbour saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which daemon.
    pub name: &'static str,
    /// Sessions that came up after the first one.
    pub sessions: u64,
    /// Times the kernel's route to the prefix was removed.
    pub removed: u64,
    /// Pings sent through it.
    pub pings: u64,
    /// Those without an answer.
    pub lost: u64,
}

/// What the raw speaker saw, which counts UPDATEs and knows no graceful restart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Updates {
    /// Sessions that ended.
    pub ended: u64,
    /// UPDATEs received.
    pub received: u64,
    /// Prefixes announced with what they had already, or withdrawn when they were not there.
    pub repeated: u64,
    /// Prefixes that are wrong at the end: there and not announced, or the other way round.
    pub lost: u64,
    /// KEEPALIVEs or UPDATEs that came later than the hold time allows.
    pub longest_silence: Duration,
}

/// Everything about one kind.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub kind: Kind,
    /// Restarts made.
    pub restarts: usize,
    /// What the neighbours saw.
    pub seen: Vec<Seen>,
    /// From the start of the process to the last End-of-RIB, per restart. Empty for hand-overs.
    pub end_of_rib: Vec<Duration>,
    /// For how long a session was not read or written, per hand-over and session.
    pub pauses: Vec<Duration>,
    /// What the raw speaker saw of hand-overs.
    pub updates: Option<Updates>,
    /// Changes of routes that were made meanwhile.
    pub changes: u64,
}

/// Restarts bgpd `count` times.
pub fn measure(kind: Kind, count: usize) -> Result<Report> {
    let mut stage = Stage::build(kind)?;
    let outcome = stage.settle().and_then(|()| rounds(&mut stage, kind, count));
    match outcome {
        Ok(report) => Ok(report),
        Err(error) => Err(error.context(stage.logs())),
    }
}

fn rounds(stage: &mut Stage, kind: Kind, count: usize) -> Result<Report> {
    let before = stage.incarnations()?;
    let (mut end_of_rib, mut sessions) = (Vec::new(), vec![0; before.len()]);
    stage.begin()?;
    let mut last = before;
    for round in 1..=count {
        let begun = stage.replace(kind).with_context(|| format!("restart {round}"))?;
        if kind == Kind::Handover {
            std::thread::sleep(Duration::from_millis(300));
        } else {
            wait_for(Duration::from_secs(60), "End-of-RIB to everybody", || stage.all_told())?;
            end_of_rib.push(begun.elapsed());
            std::thread::sleep(Duration::from_millis(300));
        }
        let now = stage.incarnations()?;
        for ((sessions, last), now) in sessions.iter_mut().zip(&last).zip(&now) {
            *sessions += u64::from(!now.same(last));
        }
        last = now;
    }
    let changes = stage.end_churn()?;
    let updates = stage.updates()?;
    let pauses = stage.pauses();
    ensure!(kind != Kind::Handover || !pauses.is_empty(), "bgpd says nothing about pauses");
    Ok(Report { kind, restarts: count, seen: stage.finish(&sessions)?, end_of_rib, pauses, updates, changes })
}

/// Something that is asked until it is there, often enough to be a figure.
pub(crate) fn soon(within: Duration, mut there: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < within {
        if there() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

impl Report {
    /// One value of many: the largest that is not above `share` of them.
    #[must_use]
    pub fn percentile(values: &[Duration], share: f64) -> Duration {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let position = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(position.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} restarts, {} changes of routes meanwhile",
            self.kind, self.restarts, self.changes
        )?;
        writeln!(f, "  neighbour  new sessions  routes removed   pings  lost")?;
        for Seen { name, sessions, removed, pings, lost } in &self.seen {
            writeln!(f, "  {name:<9} {sessions:>13} {removed:>15} {pings:>7} {lost:>5}")?;
        }
        let line = |f: &mut fmt::Formatter<'_>, what: &str, values: &[Duration]| {
            let millis = |share| Self::percentile(values, share).as_secs_f64() * 1000.0;
            let (p50, p99, max) = (millis(0.5), millis(0.99), millis(1.0));
            writeln!(
                f,
                "  {what}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms ({} values)",
                values.len()
            )
        };
        if !self.end_of_rib.is_empty() {
            line(f, "start of the process to End-of-RIB", &self.end_of_rib)?;
        }
        if !self.pauses.is_empty() {
            line(f, "pause per session", &self.pauses)?;
        }
        if let Some(updates) = &self.updates {
            let Updates { ended, received, repeated, lost, longest_silence } = updates;
            writeln!(
                f,
                "  raw speaker: {ended} sessions ended, {received} UPDATEs, {repeated} repeated, {lost} lost; longest \
                 silence {:.1} s",
                longest_silence.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let values: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let at = |share| Report::percentile(&values, share).as_millis();
        assert_eq!((at(0.5), at(0.99), at(1.0)), (50, 99, 100));
        assert_eq!(Report::percentile(&[], 0.5), Duration::ZERO);
    }
}
