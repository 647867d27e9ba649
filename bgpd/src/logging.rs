//! Logs: `tracing` to stderr, as text for people or JSON for machines.
//!
//! A thread of its own writes them. Whoever reads our stderr may stop to read it, and a pipe takes 64 KiB; sessions must not
//! wait for that.
//!
//! Invariants: a filter that cannot be read is refused at start and ignored with a warning at reload, it never silences bgpd;
//! nobody but the writing thread waits for stderr, and lines that it could not take in time are counted.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::file::LogFormat;

/// What is logged when nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// Lines that may wait for stderr: a few MiB.
const WAITING: usize = 16_384;

/// The thread that writes, until [`finish`].
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Changes what is logged while bgpd runs.
#[derive(Clone)]
pub struct LogControl {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
    lost: Option<ErrorCounter>,
}

/// A filter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "log level {text:?} is not understood ({reason}); write error, warn, info, debug, trace, or TARGET=LEVEL pairs"
)]
pub struct InvalidFilter {
    text: String,
    reason: String,
}

/// Starts logging. In a process that logs already, changes nothing.
///
/// # Errors
/// [`InvalidFilter`].
pub fn start(format: LogFormat, filter: &str) -> Result<LogControl, InvalidFilter> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let registry = tracing_subscriber::registry().with(filter);
    let (stderr, writer) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING).lossy(true).finish(std::io::stderr());
    let lost = stderr.error_counter();
    let started = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(stderr).with_target(false).with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(stderr).with_target(false))
            .try_init(),
    };
    Ok(match started {
        Ok(()) => {
            *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
            LogControl { filter: Some(handle), lost: Some(lost) }
        }
        Err(_logs_already) => LogControl::none(),
    })
}

/// Writes what waits, for a second at most. Nothing is logged after this: whoever ends the process calls it.
pub fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Checks a filter.
///
/// # Errors
/// [`InvalidFilter`].
pub fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| InvalidFilter { text: filter.to_owned(), reason: error.to_string() })
}

impl LogControl {
    /// A control without a log, for tests.
    #[must_use]
    pub fn none() -> Self {
        Self { filter: None, lost: None }
    }

    /// Lines that were not written because nobody read stderr.
    #[must_use]
    pub fn lost_lines(&self) -> usize {
        self.lost.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }

    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// [`InvalidFilter`]: the old one stays.
    pub fn set(&self, filter: &str) -> Result<(), InvalidFilter> {
        let parsed = parse(filter)?;
        if let Some(handle) = &self.filter {
            // Fails only if the subscriber is gone, and then there is no log to filter.
            let _gone = handle.reload(parsed);
        }
        Ok(())
    }
}
