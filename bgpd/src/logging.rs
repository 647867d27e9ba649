//! Logs: `tracing` to stderr, as text for people or JSON for machines.
//!
//! Invariant: a filter that cannot be read is refused at start and ignored with a warning at reload; it never silences
//! bgpd.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::file::LogFormat;

/// What is logged when nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// Changes what is logged while bgpd runs.
#[derive(Clone)]
pub struct LogControl {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
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
    let started = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry
                .with(fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours))
                .try_init()
        }
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_target(false))
            .try_init(),
    };
    Ok(LogControl { filter: started.is_ok().then_some(handle) })
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
        Self { filter: None }
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
