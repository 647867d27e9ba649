//! Which objects are being written, and which are left alone for a while.
//!
//! Two things are held here that the allocator cannot know, because it knows objects and no requests:
//!
//! 1. **One write per object.** A flight begins when a request is made and ends when the watch shows another version of the object
//!    than the one the request was based on. Then the request has landed, or never will: it names its version. A request that was
//!    never answered may be made again: of two that name one version at most one lands.
//! 2. **No address twice.** While a flight that carries an address is not over, nobody else is given that address, unless the
//!    allocator counts the flight's object among its holders. Otherwise a decision that was dropped on its way (a pool changed)
//!    could land after its address had gone to another.
//!
//! An object that cannot be written holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_sync::cluster::ApiError;
use lbipam::ServiceKey;
use tokio::time::Instant;

/// First pause after a failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause while the server is away or overloaded: it may be back any moment.
const AWAY: Duration = Duration::from_secs(8);
/// Longest pause of what the server refuses.
const REFUSED: Duration = Duration::from_secs(300);
/// First look after somebody wrote in between; the watch usually brings it sooner.
const CONFLICT: Duration = Duration::from_millis(10);
/// How long a request whose answer never came can still land: a server gives up after a minute.
const LATE: Duration = Duration::from_secs(65);

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The status of a Service.
    Service(Arc<ServiceKey>),
    /// The status of a pool.
    PoolStatus(Arc<str>),
    /// The annotations of a pool.
    PoolAnnotations(Arc<str>),
    /// A reservation.
    Reservation(Arc<str>),
}

impl Target {
    /// As people write it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Service(key) => format!("Service {key}"),
            Self::PoolStatus(name) | Self::PoolAnnotations(name) => {
                format!("CiliumLoadBalancerIPPool {name}")
            }
            Self::Reservation(name) => format!("LoadBalancerIPReservation {name}"),
        }
    }
}

/// A request that was made.
#[derive(Debug)]
struct Flight {
    number: u64,
    based_on: Box<str>,
    carries: Box<[IpAddr]>,
    stage: Stage,
    /// Until when an earlier request from the same version can still land.
    doubtful: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The answer is waited for.
    Sent,
    /// The server made the change; the watch will show it.
    Made,
    /// Nobody waits for an answer any more, and what was sent may land or not.
    Lost,
}

/// An object that is left alone.
#[derive(Debug)]
struct Wait {
    until: Instant,
    failures: u32,
    error: String,
    based_on: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Somebody wrote in between, or it is gone: nothing is wrong.
    Stale,
    /// The server is away, or asks for time.
    Away,
    /// The server says no to this.
    Refused,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: BTreeMap<Target, Flight>,
    carried: BTreeMap<IpAddr, Vec<Target>>,
    waits: BTreeMap<Target, Wait>,
    count: u64,
}

impl Flights {
    /// Whether a request is on its way, or made and not seen yet.
    pub(super) fn is_flying(&self, target: &Target) -> bool {
        self.flights.get(target).is_some_and(|flight| flight.stage != Stage::Lost)
    }

    /// Whether this may be written now, from this version of the object.
    pub(super) fn is_due(&self, target: &Target, version: &str, now: Instant) -> bool {
        if self.is_flying(target) {
            return false;
        }
        self.waits.get(target).is_none_or(|wait| match wait.kind {
            // The same version again would fail again.
            Kind::Stale | Kind::Refused => wait.based_on.as_ref() != version || now >= wait.until,
            Kind::Away => now >= wait.until,
        })
    }

    /// Whether somebody else's unfinished request carries this address. `holds` tells whom the allocator counts as holder.
    pub(super) fn is_carried(
        &self,
        address: IpAddr,
        target: &Target,
        holds: impl Fn(&ServiceKey) -> bool,
    ) -> bool {
        self.carried
            .get(&address)
            .into_iter()
            .flatten()
            .any(|other| other != target && !matches!(other, Target::Service(key) if holds(key)))
    }

    /// A request is made. Gives its number.
    pub(super) fn begin(&mut self, target: &Target, based_on: &str, carries: Box<[IpAddr]>) -> u64 {
        self.count += 1;
        let mut carries = carries.into_vec();
        let lost = self.flights.get(target).filter(|lost| &*lost.based_on == based_on);
        let doubtful = lost.and_then(|lost| lost.doubtful);
        carries.extend(lost.iter().flat_map(|lost| &lost.carries));
        carries.sort_unstable();
        carries.dedup();
        self.end(target);
        for address in &carries {
            self.carried.entry(*address).or_default().push(target.clone());
        }
        let (number, based_on) = (self.count, based_on.into());
        let flight = Flight { number, based_on, carries: carries.into(), stage: Stage::Sent, doubtful };
        self.flights.insert(target.clone(), flight);
        number
    }

    /// The server made the change.
    pub(super) fn made(&mut self, target: &Target, number: u64, now: Instant) {
        if let Some(flight) = self.flights.get_mut(target).filter(|flight| flight.number == number) {
            flight.stage = Stage::Made;
            // What was created and is gone again before it was seen shows no other version.
            flight.doubtful = matches!(target, Target::Reservation(_)).then(|| now + LATE);
        }
        self.waits.remove(target);
    }

    /// The request was never sent.
    pub(super) fn unsent(&mut self, target: &Target, number: u64) {
        if self.flights.get(target).is_some_and(|flight| flight.number == number) {
            self.end_unless_doubtful(target);
        }
    }

    /// Nobody waits for the answers any more: what is on its way may land or not.
    pub(super) fn give_up_all(&mut self, now: Instant) {
        for flight in self.flights.values_mut().filter(|flight| flight.stage == Stage::Sent) {
            (flight.stage, flight.doubtful) = (Stage::Lost, Some(now + LATE));
        }
    }

    /// Nobody knows what became of the request.
    fn give_up(&mut self, target: &Target, number: u64, now: Instant) {
        if let Some(flight) = self.flights.get_mut(target).filter(|flight| flight.number == number) {
            (flight.stage, flight.doubtful) = (Stage::Lost, Some(now + LATE));
        }
    }

    /// The change was not made, or nobody knows. Gives the pause before the next attempt, and whether it is anybody's fault.
    pub(super) fn failed(
        &mut self,
        target: &Target,
        number: u64,
        error: &ApiError,
        now: Instant,
    ) -> (Duration, bool) {
        let (kind, definite) = judge(error);
        let mut based_on = Box::default();
        if let Some(flight) = self.flights.get(target).filter(|flight| flight.number == number) {
            based_on = flight.based_on.clone();
            if kind == Kind::Stale {
                self.end(target);
            } else if definite {
                self.end_unless_doubtful(target);
            } else {
                self.give_up(target, number, now);
            }
        }
        let before = self.waits.get(target).filter(|wait| wait.kind == kind);
        let failures = before.map_or(0, |wait| wait.failures) + 1;
        let (first, most) = match kind {
            Kind::Stale => (CONFLICT, AWAY),
            Kind::Away => (FIRST, AWAY),
            Kind::Refused => (FIRST, REFUSED),
        };
        let pause = (first * 2_u32.pow((failures - 1).min(20))).min(most);
        let pause = pause.max(error.retry_after().unwrap_or_default());
        let wait = Wait { until: now + pause, failures, error: error.to_string(), based_on, kind };
        self.waits.insert(target.clone(), wait);
        (pause, kind != Kind::Stale)
    }

    /// Ends what the world has answered. `version` gives an object's version now, or nothing when it is gone.
    pub(super) fn look(&mut self, now: Instant, version: impl Fn(&Target) -> Option<Box<str>>) {
        let over: Vec<Target> = self
            .flights
            .iter()
            .filter(|(target, flight)| {
                let late = flight.doubtful.is_some_and(|until| now >= until);
                let over = match flight.stage {
                    Stage::Sent => false,
                    Stage::Made => late,
                    Stage::Lost => late || flight.doubtful.is_none(),
                };
                over || version(target).as_deref() != Some(&flight.based_on)
            })
            .map(|(target, _)| target.clone())
            .collect();
        over.iter().for_each(|target| self.end(target));
        self.waits.retain(|target, wait| match version(target) {
            None => false,
            Some(version) => wait.kind == Kind::Away || version == wait.based_on || now < wait.until,
        });
    }

    /// Forgets failures of what nobody wants to write any more.
    pub(super) fn keep_only(&mut self, wanted: impl Iterator<Item = Target>) {
        if !self.waits.is_empty() {
            let wanted: BTreeSet<Target> = wanted.collect();
            self.waits.retain(|target, _| wanted.contains(target));
        }
    }

    /// The last request is over; one before it may not be.
    fn end_unless_doubtful(&mut self, target: &Target) {
        match self.flights.get_mut(target) {
            Some(flight) if flight.doubtful.is_some() => flight.stage = Stage::Lost,
            _ => self.end(target),
        }
    }

    fn end(&mut self, target: &Target) {
        let Some(flight) = self.flights.remove(target) else { return };
        for address in &flight.carries {
            if let Some(carriers) = self.carried.get_mut(address) {
                carriers.retain(|carrier| carrier != target);
                if carriers.is_empty() {
                    self.carried.remove(address);
                }
            }
        }
    }

    /// When to look again though nothing happens: the nearest moment after `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let lost = self.flights.values().filter(|flight| flight.stage != Stage::Sent);
        let flights = lost.filter_map(|flight| flight.doubtful);
        let waits = self.waits.values().map(|wait| wait.until);
        flights.chain(waits).filter(|at| *at > now).min()
    }

    /// How many requests are unanswered.
    pub(super) fn unanswered(&self) -> usize {
        self.flights.values().filter(|flight| flight.stage == Stage::Sent).count()
    }

    /// What cannot be written, how often it was tried, and why.
    pub(super) fn failures(&self) -> impl Iterator<Item = (String, u32, &str)> {
        self.waits
            .iter()
            .filter(|(_, wait)| wait.kind != Kind::Stale)
            .map(|(target, wait)| (target.describe(), wait.failures, wait.error.as_str()))
    }
}

/// What an error means, and whether the request is certain not to land.
fn judge(error: &ApiError) -> (Kind, bool) {
    match error.status() {
        None => (Kind::Away, false),
        Some(404 | 409) => (Kind::Stale, true),
        // Another object of that name: the server says so in words only.
        Some(422) if error.to_string().to_ascii_lowercase().contains("uid") => (Kind::Stale, true),
        Some(429) => (Kind::Away, true),
        // A gateway or a store that ran out of time may have done it all the same.
        Some(500..) => (Kind::Away, false),
        Some(_) => (Kind::Refused, true),
    }
}

#[cfg(test)]
mod tests;
