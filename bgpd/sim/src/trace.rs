//! What happened last in a run, for the one who reads a failure.
//!
//! Invariant: a run does the same with and without a trace.

use std::collections::VecDeque;
use std::fmt;

use bgp_core::Time;

/// Lines kept.
const CAPACITY: usize = 400;

/// The last lines of a run, if anybody wants them.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// A trace that keeps lines.
    #[must_use]
    pub fn kept() -> Self {
        Self { lines: Some(VecDeque::with_capacity(CAPACITY)) }
    }

    /// Notes a line.
    pub fn note(&mut self, now: Time, line: fmt::Arguments<'_>) {
        let Some(lines) = &mut self.lines else { return };
        if lines.len() == CAPACITY {
            lines.pop_front();
        }
        lines.push_back(format!("{now:?} {line}"));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}
