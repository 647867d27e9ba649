//! Why a request to the API server did not get its answer.
//!
//! Invariant: the text says what was attempted, and never repeats a body: an answer about a Secret could hold one.

use std::time::Duration;

use serde::Deserialize;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No connection, or it broke before the answer.
    #[error("cannot {what}: the API server at {server} is not reachable ({cause})")]
    Unreachable {
        /// Verb and path.
        what: String,
        /// The server's URL.
        server: String,
        /// What the network or TLS said.
        cause: String,
    },
    /// The connection stands and no answer comes.
    #[error("cannot {what}: no answer within {} s", .after.as_secs())]
    Timeout {
        /// Verb and path.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The server said no.
    #[error("cannot {what}: {message} ({status} {reason})")]
    Refused {
        /// Verb and path.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Kubernetes' word for it: `NotFound`, `Conflict`, `Forbidden`.
        reason: String,
        /// Its explanation.
        message: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Nothing was sent: at the last moment this process might not write any more ([`super::Guard`]).
    #[error("cannot {what}: this process may not write any more")]
    Withheld {
        /// Verb and path.
        what: String,
    },
    /// The answer is not what the API promises.
    #[error("cannot {what}: the answer cannot be read ({cause})")]
    Unreadable {
        /// Verb and path.
        what: String,
        /// Where it differs.
        cause: String,
    },
}

impl ApiError {
    /// The HTTP status, if the server answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When the server wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The object or its kind does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Somebody else wrote in between, or it exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// RBAC does not allow it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// The resource version we know is too old to go on from.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.status() == Some(410)
    }

    /// Whether the same request can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Unreadable { .. } | Self::Withheld { .. } => false,
        }
    }
}

/// `Status` of the API: the body of a refusal, and the object of an ERROR event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusBody {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) details: StatusDetails,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusDetails {
    #[serde(rename = "retryAfterSeconds")]
    pub(super) retry_after_seconds: u64,
}

impl StatusBody {
    /// The refusal this is.
    pub(super) fn refusal(self, what: String, status: u16, header: Option<Duration>) -> ApiError {
        let said = Duration::from_secs(self.details.retry_after_seconds);
        let retry_after = header.or_else(|| (!said.is_zero()).then_some(said));
        ApiError::Refused { what, status, reason: self.reason, message: self.message, retry_after }
    }
}
