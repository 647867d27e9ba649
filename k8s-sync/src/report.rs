//! What was found on the way from objects to an intent: everything refused, ignored or not advertised, each with the
//! object and field to blame.
//!
//! Invariant: a report is a set. The same finding, met once per peer or family, is listed once and in a stable order, so
//! that two reports can be compared and only differences logged.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::object::ObjectRef;
pub use crate::reason::{Reason, Severity};
use crate::trace::Trace;

/// One thing that somebody should hear about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// Where it is written, when it was read from a file.
    pub location: Option<Location>,
    /// The object to blame, when it could be told.
    pub object: Option<ObjectRef>,
    /// The field inside the object, as `spec.bgpInstances[0].peers[1].peerAddress`.
    pub field: Option<String>,
    /// What it is.
    pub reason: Reason,
}

/// A place in a manifest file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, relative to the watched directory.
    pub file: PathBuf,
    /// Line, counted from 1. 0 stands for the file as a whole.
    pub line: u64,
}

impl Finding {
    /// A finding about a field of an object.
    #[must_use]
    pub fn on(object: &ObjectRef, field: impl Into<String>, reason: Reason) -> Self {
        Self { location: None, object: Some(object.clone()), field: Some(field.into()), reason }
    }

    /// A finding about an object as a whole.
    #[must_use]
    pub fn about(object: &ObjectRef, reason: Reason) -> Self {
        Self { location: None, object: Some(object.clone()), field: None, reason }
    }

    /// A finding about a place in a file.
    #[must_use]
    pub fn at(file: impl Into<PathBuf>, line: u64, reason: Reason) -> Self {
        let location = Some(Location { file: file.into(), line });
        Self { location, object: None, field: None, reason }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.reason.severity()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        write!(f, "{}", self.reason)
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 7)?;
        out.serialize_field("severity", self.severity().as_str())?;
        out.serialize_field("reason", self.reason.name())?;
        match &self.location {
            Some(location) => {
                out.serialize_field("file", &location.file)?;
                out.serialize_field("line", &location.line)?;
            }
            None => {
                out.skip_field("file")?;
                out.skip_field("line")?;
            }
        }
        match &self.object {
            Some(object) => out.serialize_field("object", object)?,
            None => out.skip_field("object")?,
        }
        match &self.field {
            Some(field) => out.serialize_field("field", field)?,
            None => out.skip_field("field")?,
        }
        out.serialize_field("message", &self.reason.to_string())?;
        out.end()
    }
}

/// All findings of one pass, without duplicates, in a stable order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Shared: what was found about an object that has not changed is not made anew in each pass.
    findings: BTreeSet<Arc<Finding>>,
    /// Only while an explanation is made.
    trace: Option<Box<Trace>>,
}

impl Report {
    /// Adds a finding, once.
    pub fn add(&mut self, finding: Finding) {
        if let Some(trace) = &mut self.trace {
            trace.finding(&finding);
        }
        self.findings.insert(Arc::new(finding));
    }

    /// Adds findings of an earlier pass; cheap where they come in order.
    pub(crate) fn add_all_again<'f>(&mut self, findings: impl Iterator<Item = &'f Arc<Finding>>) {
        self.findings.append(&mut findings.cloned().collect());
    }

    /// The findings, to be added again in later passes.
    pub(crate) fn into_findings(self) -> impl Iterator<Item = Arc<Finding>> {
        self.findings.into_iter()
    }

    /// Whether every step has to be taken, because somebody is watching.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Adds all findings of another report.
    pub fn merge(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
        self.trace = self.trace.take().or(other.trace);
    }

    /// An empty report that records what `trace` is about.
    pub(crate) fn traced(trace: Trace) -> Self {
        Self { findings: BTreeSet::new(), trace: Some(Box::new(trace)) }
    }

    /// An empty report for a part of the work, to be merged afterwards. The trace goes on in it.
    pub(crate) fn part(&mut self) -> Self {
        Self { findings: BTreeSet::new(), trace: self.trace.take() }
    }

    /// Records a step, if an explanation is made.
    pub(crate) fn record(&mut self, step: impl FnOnce(&mut Trace)) {
        if let Some(trace) = &mut self.trace {
            step(trace);
        }
    }

    /// What was recorded.
    pub(crate) fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take().map(|trace| *trace)
    }

    /// The findings, by file, object, field and reason.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().map(AsRef::as_ref)
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether this exact finding is in it.
    #[must_use]
    pub fn contains(&self, finding: &Finding) -> bool {
        self.findings.contains(finding)
    }

    /// How many findings are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// Fills in where each finding about an object is written, for those that do not say so yet.
    pub fn locate(&mut self, find: impl Fn(&ObjectRef, Option<&str>) -> Option<Location>) {
        self.findings = std::mem::take(&mut self.findings)
            .into_iter()
            .map(|finding| match (&finding.location, &finding.object) {
                (None, Some(object)) => match find(object, finding.field.as_deref()) {
                    Some(location) => {
                        Arc::new(Finding { location: Some(location), ..Finding::clone(&finding) })
                    }
                    None => finding,
                },
                _ => finding,
            })
            .collect();
    }
}

impl Extend<Finding> for Report {
    fn extend<T: IntoIterator<Item = Finding>>(&mut self, findings: T) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:<7} {:<28} {finding}", finding.severity().as_str(), finding.reason.name())?;
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.findings)
    }
}
