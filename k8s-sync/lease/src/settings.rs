//! The three durations of an election, checked once.
//!
//! Invariant: a leader gives up before anybody may take over: `renew_deadline < lease_duration`, and there is room for
//! at least two attempts to renew before the deadline.

use std::time::Duration;

/// How long leases last and how often they are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    watched: bool,
}

/// Why durations do not make an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A Lease carries whole seconds.
    #[error("the lease duration is {0:?}; write whole seconds, at least 1")]
    LeaseDuration(Duration),
    /// The leader would act after its lease has run out.
    #[error("the renew deadline {deadline:?} is not shorter than the lease duration {lease:?}; shorten it")]
    RenewDeadline {
        /// The deadline.
        deadline: Duration,
        /// The lease duration.
        lease: Duration,
    },
    /// One lost request would cost the leadership.
    #[error(
        "the retry period {retry:?} must be above zero and at most half of the renew deadline {deadline:?}"
    )]
    RetryPeriod {
        /// The period.
        retry: Duration,
        /// The deadline.
        deadline: Duration,
    },
}

impl Settings {
    /// Checks three durations.
    ///
    /// * `lease_duration`: for how long a candidate must see the record unchanged before it takes over.
    /// * `renew_deadline`: for how long a leader acts after it *sent* its last successful renewal. The difference of the
    ///   two is the room for clocks that do not run at the same rate: with 15 s and 10 s, 20 % each.
    /// * `retry_period`: how often a leader renews and a candidate looks, shortened at random by up to a fifth.
    ///
    /// ```
    /// # use {kube_lease::Settings, std::time::Duration};
    /// let seconds = Duration::from_secs;
    /// assert!(Settings::new(seconds(15), seconds(10), seconds(2)).is_ok());
    /// assert!(Settings::new(seconds(15), seconds(15), seconds(2)).is_err());
    /// ```
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, SettingsError> {
        let (lease, deadline, retry) = (lease_duration, renew_deadline, retry_period);
        if lease.is_zero() || lease.subsec_nanos() != 0 || lease.as_secs() > i32::MAX as u64 {
            return Err(SettingsError::LeaseDuration(lease));
        }
        if deadline >= lease {
            return Err(SettingsError::RenewDeadline { deadline, lease });
        }
        if retry.is_zero() || retry * 2 > deadline {
            return Err(SettingsError::RetryPeriod { retry, deadline });
        }
        Ok(Self { lease_duration, renew_deadline, retry_period, watched: false })
    }

    /// The records come from a watch that the caller feeds with [`Election::handle_observed`](crate::Election::handle_observed):
    /// candidates then ask nothing on their own until a lease runs out. One watch can feed thousands of elections.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// For how long a record must stay unchanged before others take over.
    #[must_use]
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// For how long a leader acts without a renewal.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How often to renew, and to look.
    #[must_use]
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// How long to wait for one answer of the API server: a hanging server leaves time for a second attempt.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        (self.renew_deadline / 2).min(Duration::from_secs(5))
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }
}

/// client-go's lease duration and renew deadline. The retry period is shorter than its 2 s, so that a successor acts at
/// most two seconds after the lease has run out, wherever in the period the leader died.
impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_millis(1500),
            watched: false,
        }
    }
}
