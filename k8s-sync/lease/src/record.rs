//! What a Lease says, and what a leader shows to prove its term.

use std::fmt;
use std::time::Duration;

/// The election's part of a Lease's spec.
///
/// The two times are microseconds since 1970 by the *holder's* wall clock. They are for people; no decision reads them,
/// except that a change of any field counts as a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds the lease; absent when it was released.
    pub holder: Option<Box<str>>,
    /// For how long the holder asks others to wait after a sign of life.
    pub duration: Duration,
    /// When the holder got it.
    pub acquired: Option<i64>,
    /// When the holder renewed it.
    pub renewed: Option<i64>,
    /// The number of the term.
    pub transitions: i32,
}

/// A Lease as the API server showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`.
    pub version: Box<str>,
    /// Its content.
    pub record: Record,
}

/// One term of one leader: a fencing token.
///
/// Every term of a Lease object has a higher number of transitions than the one before, also if the same process is
/// elected again. A Lease that was deleted and made anew starts over with another `uid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `metadata.uid` of the Lease.
    pub uid: Box<str>,
    /// `spec.leaseTransitions` of the term.
    pub transitions: i32,
    /// `metadata.resourceVersion` that the term began with.
    pub version: Box<str>,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.uid, self.transitions, self.version)
    }
}

impl Observed {
    /// Whether this is an older version of the same object than `other`. Versions that are no numbers are never older.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let number = |version: &str| version.parse::<u64>().ok();
        self.uid == other.uid
            && matches!((number(&self.version), number(&other.version)), (Some(a), Some(b)) if a < b)
    }
}
