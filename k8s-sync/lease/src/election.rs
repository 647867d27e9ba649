//! The state machine of one candidate for one Lease.
//!
//! Invariants: at most one request is in flight. [`Election::token`] is `Some` only before `sent + renew_deadline` of the last
//! write that the server confirmed. A term begins with a write that raised the number of transitions, and never goes on
//! after another uid, holder or number was seen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::record::{Observed, Record, Token};
use crate::settings::Settings;

/// One candidate's view of one Lease.
#[derive(Clone, Debug)]
pub struct Election {
    settings: Arc<Settings>,
    identity: Arc<str>,
    random: u64,
    known: Known,
    /// The version in `known` cannot be written over: somebody else wrote, or an answer was lost.
    stale: bool,
    /// What is in `known` came with the last answer, so it may be replaced without another look.
    confirmed: bool,
    conflicts: u8,
    term: Option<Term>,
    flight: Option<Flight>,
    due: Duration,
    stopping: bool,
    finished: bool,
    failure: Option<Failure>,
    events: VecDeque<Event>,
}

#[derive(Clone, Debug)]
enum Known {
    Nothing,
    Absent,
    Lease { observed: Observed, since: Duration },
}

#[derive(Clone, Debug)]
struct Term {
    token: Token,
    valid_until: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    kind: Kind,
    sent: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Acquire,
    Renew,
    Release,
}

/// What to ask the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Get the Lease; answer with [`Election::handle_read`].
    Read,
    /// Create the Lease, failing if it exists; answer with [`Election::handle_written`].
    Create(Record),
    /// Replace the Lease if it still is this version of this object; answer with [`Election::handle_written`].
    Replace {
        /// `metadata.uid` that it must have.
        uid: Box<str>,
        /// `metadata.resourceVersion` that it must have.
        version: Box<str>,
        /// What to write.
        record: Record,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This candidate leads from now on.
    Elected(Token),
    /// It does not any more.
    Deposed(Deposed),
    /// Somebody else holds the lease, or nobody.
    Holder(Option<Box<str>>),
}

/// Why a term ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Deposed {
    /// No renewal succeeded in time.
    #[error("the lease could not be renewed within the renew deadline")]
    RenewDeadline,
    /// The lease names somebody else, or another term.
    #[error("the lease is held by {holder:?} now")]
    TakenOver {
        /// Who holds it, if anybody.
        holder: Option<Box<str>>,
    },
    /// The Lease object is gone, or is another one.
    #[error("the Lease object was deleted")]
    LeaseDeleted,
    /// This candidate was asked to stop.
    #[error("released on request")]
    Released,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another version is there (409), also for a creation.
    #[error("the Lease was changed by somebody else")]
    Conflict,
    /// There is no such object to replace, or no such namespace to create in (404).
    #[error("there is no such Lease, or no such namespace")]
    Missing,
    /// No answer, or one that says to come back; whether a write happened is unknown.
    #[error("the API server cannot be reached: {0}")]
    Unavailable(Box<str>),
    /// The server understood and said no: rights, validation.
    #[error("the API server refused: {0}")]
    Refused(Box<str>),
}

impl Election {
    /// A candidate. The identity must be unlike that of every other candidate, also of another run of this one; `seed`
    /// spreads the requests of candidates that start together.
    #[must_use]
    pub fn new(settings: Arc<Settings>, identity: Arc<str>, seed: u64) -> Self {
        Self {
            settings,
            identity,
            random: seed,
            known: Known::Nothing,
            stale: false,
            confirmed: false,
            conflicts: 0,
            term: None,
            flight: None,
            due: Duration::ZERO,
            stopping: false,
            finished: false,
            failure: None,
            events: VecDeque::new(),
        }
    }

    /// The token of the current term, if this candidate may act at this moment.
    #[must_use]
    pub fn token(&self, now: Duration) -> Option<&Token> {
        self.term().filter(|(_, valid_until)| now < *valid_until).map(|(token, _)| token)
    }

    /// The token of the current term, and until when it may be used without asking again.
    #[must_use]
    pub fn term(&self) -> Option<(&Token, Duration)> {
        self.term.as_ref().filter(|_| !self.stopping).map(|term| (&term.token, term.valid_until))
    }

    /// Who holds the lease, by the newest record.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.lease().and_then(|(observed, _)| observed.record.holder.as_deref())
    }

    /// Why the newest request failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether it was stopped and holds nothing any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The next request to send now, if any. Each one must be answered, with a failure if no answer came in time. `wall` is the
    /// time for people, in microseconds since 1970.
    pub fn poll_request(&mut self, now: Duration, wall: i64) -> Option<Request> {
        self.expire(now);
        if self.finished || self.flight.is_some() {
            return None;
        }
        if self.stopping && self.term.is_none() {
            self.finished = true;
            return None;
        }
        if now < self.due || self.awaits_watch() {
            return None;
        }
        let (kind, request) = self.next_request(now, wall)?;
        self.confirmed = false;
        self.flight = Some(Flight { kind, sent: now });
        Some(request)
    }

    fn next_request(&self, now: Duration, wall: i64) -> Option<(Kind, Request)> {
        let (observed, since) = match &self.known {
            Known::Absent if self.confirmed => {
                return Some((Kind::Acquire, Request::Create(self.record(wall, wall, 0))));
            }
            Known::Lease { observed, since } if !self.stale => (observed, *since),
            Known::Nothing | Known::Absent | Known::Lease { .. } => return Some((Kind::Read, Request::Read)),
        };
        let old = &observed.record;
        // A renewal that changed nothing would be no sign of life, even if the wall clock stands still.
        let renewed = if old.renewed == Some(wall) { wall.saturating_add(1) } else { wall };
        let (kind, record) = match &self.term {
            Some(_) if self.stopping => (
                Kind::Release,
                Record {
                    holder: None,
                    duration: Duration::from_secs(1),
                    acquired: None,
                    renewed: Some(renewed),
                    transitions: old.transitions,
                },
            ),
            Some(_) => {
                let acquired = old.acquired.unwrap_or(wall);
                (Kind::Renew, self.record(acquired, renewed, old.transitions))
            }
            None if self.is_free(observed, since, now) && (self.confirmed || self.settings.is_watched()) => {
                (Kind::Acquire, self.record(wall, renewed, old.transitions.saturating_add(1)))
            }
            None => return Some((Kind::Read, Request::Read)),
        };
        let (uid, version) = (observed.uid.clone(), observed.version.clone());
        Some((kind, Request::Replace { uid, version, record }))
    }

    fn record(&self, acquired: i64, renewed: i64, transitions: i32) -> Record {
        Record {
            holder: Some(self.identity.as_ref().into()),
            duration: self.settings.lease_duration(),
            acquired: Some(acquired),
            renewed: Some(renewed),
            transitions,
        }
    }

    /// What happened since the last call, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::poll_request`] again at the latest, if no answer comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.finished {
            return None;
        }
        let request = (self.flight.is_none() && !self.awaits_watch()).then_some(self.due);
        let deadline = self.term.as_ref().map(|term| term.valid_until);
        request.into_iter().chain(deadline).min()
    }

    /// The answer to [`Request::Read`]: the Lease, or that there is none.
    pub fn handle_read(&mut self, now: Duration, answer: Result<Option<Observed>, Failure>) {
        self.expire(now);
        if self.flight.take_if(|flight| flight.kind == Kind::Read).is_none() {
            return;
        }
        match answer {
            Ok(found) => {
                self.failure = None;
                self.stale = false;
                self.confirmed = true;
                match found {
                    Some(observed) => self.observe(now, observed),
                    None => self.absent(now),
                }
            }
            // Reading what is not there is `Ok(None)`; whatever this means, asking at once again would not help.
            Err(failure) => self.fail(now, failure),
        }
    }

    /// The Lease as a watch showed it; absent when it was deleted. Older news than what is known are ignored.
    pub fn handle_observed(&mut self, now: Duration, found: Option<Observed>) {
        self.expire(now);
        let Some(observed) = found else {
            self.due = now;
            if self.term.is_some() {
                // The deletion may be older than the creation that this leader was told of: look.
                self.stale = true;
            } else {
                // A creation fails if the news is old.
                self.confirmed = true;
                self.set_known(Known::Absent);
            }
            return;
        };
        if self.lease().is_some_and(|(known, _)| observed.is_older_than(known)) {
            return;
        }
        // A write in flight will be answered; what it finds there decides.
        self.observe(now, observed);
    }

    /// The answer to [`Request::Create`] or [`Request::Replace`]: the Lease as it is now.
    pub fn handle_written(&mut self, now: Duration, answer: Result<Observed, Failure>) {
        self.expire(now);
        let Some(flight) = self.flight.take_if(|flight| flight.kind != Kind::Read) else { return };
        let observed = match answer {
            Ok(observed) => observed,
            Err(failure) => return self.unwritten(now, flight.kind, failure),
        };
        (self.failure, self.stale, self.conflicts) = (None, false, 0);
        let valid_until = flight.sent + self.settings.renew_deadline();
        let (uid, version) = (observed.uid.clone(), observed.version.clone());
        let transitions = observed.record.transitions;
        self.known = Known::Lease { observed, since: now };
        // Whoever waits for the release should not wait for a period that nobody needs any more.
        self.due = if self.stopping { now } else { flight.sent + self.retry() };
        match flight.kind {
            Kind::Release => {
                self.term = None;
                self.finished = true;
            }
            // Too late to count: the renewal may have been seen by others up to a deadline ago.
            _ if now >= valid_until => self.due = now,
            Kind::Renew => {
                if let Some(term) = &mut self.term {
                    term.valid_until = valid_until;
                }
            }
            Kind::Acquire | Kind::Read => {
                let token = Token { uid, transitions, version };
                if !self.stopping {
                    self.events.push_back(Event::Elected(token.clone()));
                }
                self.term = Some(Term { token, valid_until });
            }
        }
    }

    /// Give the lease back, if it is held. The caller must have stopped acting: [`Self::token`] is `None` from here on.
    pub fn handle_stop(&mut self, now: Duration) {
        self.expire(now);
        if !self.stopping && self.term.is_some() {
            self.events.push_back(Event::Deposed(Deposed::Released));
        }
        self.stopping = true;
        self.due = now;
    }

    fn unwritten(&mut self, now: Duration, kind: Kind, failure: Failure) {
        match (&failure, kind) {
            (Failure::Conflict, _) => {
                self.stale = true;
                // The first conflict is looked into at once; who writes over us all the time is not raced.
                self.due = if self.conflicts == 0 { now } else { now + self.retry() / 8 };
                self.conflicts = self.conflicts.saturating_add(1);
                self.failure = Some(failure);
            }
            (Failure::Missing, Kind::Renew | Kind::Release) => {
                self.failure = Some(failure);
                self.absent(now);
            }
            _ => {
                // The write may have happened all the same.
                self.stale = true;
                self.fail(now, failure);
            }
        }
    }

    fn fail(&mut self, now: Duration, failure: Failure) {
        self.failure = Some(failure);
        self.due = now + self.retry();
    }

    fn absent(&mut self, now: Duration) {
        self.depose(Deposed::LeaseDeleted);
        self.set_known(Known::Absent);
        self.due = now;
    }

    fn observe(&mut self, now: Duration, observed: Observed) {
        let same_object = self.lease().is_some_and(|(known, _)| known.uid == observed.uid);
        let since = match self.lease() {
            Some((known, since)) if same_object && known.record == observed.record => since,
            _ => now,
        };
        if let Some(term) = &self.term {
            let (token, record) = (&term.token, &observed.record);
            if observed.uid != token.uid {
                self.depose(Deposed::LeaseDeleted);
            } else if record.holder.as_deref() != Some(&*self.identity)
                || record.transitions != token.transitions
            {
                self.depose(Deposed::TakenOver { holder: record.holder.clone() });
            }
        }
        let next_look = now + self.retry();
        self.due = match &self.term {
            // Nothing new about when to renew, unless the renewal waited for this answer.
            Some(_) if self.confirmed => now,
            Some(_) => self.due,
            None if self.is_free(&observed, since, now) => now,
            None if self.settings.is_watched() => since + self.duration(&observed.record),
            None => next_look.min(since + self.duration(&observed.record)),
        };
        self.set_known(Known::Lease { observed, since });
    }

    fn set_known(&mut self, known: Known) {
        let before = self.holder().map(Box::from);
        let unknown = matches!(self.known, Known::Nothing);
        self.known = known;
        let after: Option<Box<str>> = self.holder().map(Box::from);
        if (unknown || before != after) && after.as_deref() != Some(&*self.identity) {
            self.events.push_back(Event::Holder(after));
        }
    }

    /// Whether it is the watch's turn to say what there is.
    fn awaits_watch(&self) -> bool {
        self.settings.is_watched() && matches!(self.known, Known::Nothing) && !self.stopping
    }

    fn lease(&self) -> Option<(&Observed, Duration)> {
        match &self.known {
            Known::Lease { observed, since } => Some((observed, *since)),
            Known::Nothing | Known::Absent => None,
        }
    }

    /// Whether this candidate may take the lease. What it holds itself, from a write whose answer was lost or from a
    /// term that ran out, it need not wait for.
    fn is_free(&self, observed: &Observed, since: Duration, now: Duration) -> bool {
        match observed.record.holder.as_deref() {
            None | Some("") => true,
            Some(holder) if holder == &*self.identity => true,
            Some(_) => now >= since + self.duration(&observed.record),
        }
    }

    /// What the holder asked for; ours where it asked for nothing.
    fn duration(&self, record: &Record) -> Duration {
        if record.duration.is_zero() { self.settings.lease_duration() } else { record.duration }
    }

    fn expire(&mut self, now: Duration) {
        if self.term.as_ref().is_some_and(|term| now >= term.valid_until) {
            self.depose(Deposed::RenewDeadline);
            self.stale = true;
        }
    }

    fn depose(&mut self, why: Deposed) {
        if self.term.take().is_some() && !self.stopping {
            self.events.push_back(Event::Deposed(why));
        }
    }

    /// The retry period, shortened by up to a fifth: candidates that started together drift apart.
    fn retry(&mut self) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((bits ^ (bits >> 31)) % 201).unwrap_or(0);
        self.settings.retry_period() * (1000 - part) / 1000
    }
}

#[cfg(test)]
mod tests;
