//! When each of many things was seen, and what that makes in milliseconds.
//!
//! Invariant: what was seen first counts; what was never seen is left out of the figures, not guessed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

/// When each service was seen, by number.
pub(super) type Times = Vec<Option<Instant>>;

/// The same while it is being noted.
#[derive(Clone)]
pub(super) struct Seen(Arc<Mutex<Times>>);

impl Seen {
    pub(super) fn new(services: u32) -> Self {
        Self(Arc::new(Mutex::new(vec![None; services as usize])))
    }

    pub(super) fn note(&self, number: usize, at: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.get_mut(number) {
            place.get_or_insert(at);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.all().iter().flatten().count()
    }

    pub(super) fn all(&self) -> Times {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A program whose lines are read as they come; killed in the end.
pub(super) struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Reader {
    pub(super) fn start(
        mut command: Command,
        mut line: impl FnMut(&str, Instant) + Send + 'static,
    ) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let out = child.stdout.take().context("no pipe")?;
        thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                line(&text, Instant::now());
            }
        });
        Ok(Self(child))
    }
}

/// Milliseconds from one to the other, negative if it was the other way round.
pub(super) fn between(from: &Times, to: &Times) -> Vec<f64> {
    let millis = |(from, to): (&Option<Instant>, &Option<Instant>)| {
        let (from, to) = ((*from)?, (*to)?);
        let forward = to.saturating_duration_since(from).as_secs_f64();
        Some((forward - from.saturating_duration_since(to).as_secs_f64()) * 1e3)
    };
    from.iter().zip(to).filter_map(millis).collect()
}

/// Milliseconds, sorted: median, 99th percentile and maximum.
pub(super) fn percentiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values.get((values.len() * share / 100).min(values.len().saturating_sub(1)));
    match (at(50), at(99), values.last()) {
        (Some(p50), Some(p99), Some(max)) => format!("{p50:>8.1} {p99:>8.1} {max:>8.1}"),
        _ => "nothing was measured".to_owned(),
    }
}
