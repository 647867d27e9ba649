//! One Lease, kept by a task.
//!
//! Invariant: [`Leadership::token`] compares this process's monotonic clock with the deadline at the moment of the call; it
//! needs no running task. A process that was stopped (SIGSTOP, a debugger, a starved CPU) and goes on finds no token,
//! before anything else could tell it that it was deposed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::election::{Election, Event, Failure, Request};
use crate::record::{Observed, Token};
use crate::settings::Settings;
use crate::transport::{Transport, observed, with_record};

/// A running candidate.
#[derive(Debug)]
pub struct Elector {
    leadership: Leadership,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

/// What the task knows, for those who act as leader. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    standing: watch::Receiver<Standing>,
}

/// Where the candidate stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    term: Option<(Token, Instant)>,
    /// Who holds the lease, by the newest record.
    pub holder: Option<String>,
    /// Why the newest request failed, if it did.
    pub failure: Option<String>,
}

impl Elector {
    /// Starts a candidate. `identity` must be unique to this run of this process, e.g. `<pod>_<random>`.
    pub fn start(transport: impl Transport, settings: Settings, identity: &str) -> Self {
        let (sender, standing) = watch::channel(Standing::default());
        let stop = Arc::new(Notify::new());
        let seed = identity.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let timeout = settings.request_timeout();
        let election = Election::new(Arc::new(settings), identity.into(), seed);
        let runner = Runner {
            transport: Arc::new(transport),
            timeout,
            election,
            lease: Lease::default(),
            origin: Instant::now(),
            sender,
        };
        let task = tokio::spawn(runner.run(Arc::clone(&stop)));
        Self { leadership: Leadership { standing }, stop, task }
    }

    /// The fence, and what to wait for.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Gives the lease back, if it is held, so that a successor need not wait. Whoever acts as leader must have stopped.
    pub async fn release(self) {
        self.stop.notify_one();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the election ended early; the lease runs out by itself");
        }
    }
}

impl Leadership {
    /// The token of the term, if this process leads at this very moment. To be asked right before each write.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.standing.borrow().token()
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until a term begins or ends, or another holder or failure is known; renewals are no news. `false`: the election
    /// has ended.
    pub async fn changed(&mut self) -> bool {
        self.standing.changed().await.is_ok()
    }
}

impl Standing {
    /// The token of the term, if it lasts at this very moment.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.term.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(token, _)| token.clone())
    }
}

struct Runner<T> {
    transport: Arc<T>,
    timeout: Duration,
    election: Election,
    /// The object as it was seen last: replacements start from it.
    lease: Lease,
    origin: Instant,
    sender: watch::Sender<Standing>,
}

/// A request on its way.
enum Answer {
    Read(Result<Option<Lease>, Failure>),
    Written(Result<Lease, Failure>),
}

impl<T: Transport> Runner<T> {
    async fn run(mut self, stop: Arc<Notify>) {
        let mut flight: Option<JoinHandle<Answer>> = None;
        let mut stopped = false;
        loop {
            if let Some(request) = self.election.poll_request(self.now(), wall()) {
                flight = Some(tokio::spawn(send(
                    Arc::clone(&self.transport),
                    self.lease.clone(),
                    request,
                    self.timeout,
                )));
            }
            self.tell();
            if self.election.is_finished() {
                return;
            }
            let wake = self.election.poll_timeout().map(|timeout| self.origin + timeout);
            tokio::select! {
                answer = async { flight.as_mut().expect("guarded").await }, if flight.is_some() => {
                    flight = None;
                    self.take(answer.ok());
                }
                () = tokio::time::sleep_until(wake.unwrap_or(self.origin)), if wake.is_some() => {}
                () = stop.notified(), if !stopped => {
                    stopped = true;
                    let now = self.now();
                    self.election.handle_stop(now);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn take(&mut self, answer: Option<Answer>) {
        let now = self.now();
        match answer {
            Some(Answer::Read(answer)) => {
                let answer = answer.map(|lease| lease.map(|lease| self.keep(lease)));
                self.election.handle_read(now, answer);
            }
            Some(Answer::Written(answer)) => {
                let answer = answer.map(|lease| self.keep(lease));
                self.election.handle_written(now, answer);
            }
            // The sending task panicked or was cancelled: whichever kind it was, it failed.
            None => {
                let failure = || Failure::Unavailable("the request was dropped".into());
                self.election.handle_read(now, Err(failure()));
                self.election.handle_written(now, Err(failure()));
            }
        }
    }

    fn keep(&mut self, lease: Lease) -> Observed {
        let seen = observed(&lease);
        self.lease = lease;
        seen
    }

    fn tell(&mut self) {
        while let Some(event) = self.election.poll_event() {
            match event {
                Event::Elected(token) => tracing::info!(%token, "elected: this process leads"),
                Event::Deposed(why) => tracing::warn!(%why, "deposed: this process does not lead any more"),
                Event::Holder(holder) => {
                    tracing::info!(
                        holder = holder.as_deref().unwrap_or("nobody"),
                        "the lease is held by another"
                    );
                }
            }
        }
        let failure = self.election.failure().map(ToString::to_string);
        let standing = Standing {
            term: self.election.term().map(|(token, until)| (token.clone(), self.origin + until)),
            holder: self.election.holder().map(str::to_owned),
            failure,
        };
        self.sender.send_if_modified(|published| {
            if let Some(failure) = standing.failure.as_ref().filter(|_| published.failure != standing.failure)
            {
                tracing::warn!(%failure, "the lease could not be read or written");
            }
            // A renewal moves the deadline and is no news: it would wake everybody once per period.
            let term = |standing: &Standing| standing.term.as_ref().map(|(token, _)| token.clone());
            let news = (term(published), &published.holder, &published.failure)
                != (term(&standing), &standing.holder, &standing.failure);
            *published = standing;
            news
        });
    }
}

async fn send<T: Transport>(transport: Arc<T>, lease: Lease, request: Request, timeout: Duration) -> Answer {
    let late = || Failure::Unavailable(format!("no answer within {timeout:?}").into());
    let written = |answer: Result<Result<Lease, Failure>, _>| {
        Answer::Written(answer.unwrap_or_else(|_elapsed| Err(late())))
    };
    match request {
        Request::Read => {
            let answer = tokio::time::timeout(timeout, transport.get()).await;
            Answer::Read(answer.unwrap_or_else(|_elapsed| Err(late())))
        }
        Request::Create(record) => {
            let lease = with_record(&Lease::default(), &record);
            written(tokio::time::timeout(timeout, transport.create(&lease)).await)
        }
        Request::Replace { uid, version, record } => {
            let mut lease = with_record(&lease, &record);
            lease.metadata.uid = Some(uid.into());
            lease.metadata.resource_version = Some(version.into());
            written(tokio::time::timeout(timeout, transport.replace(&lease)).await)
        }
    }
}

fn wall() -> i64 {
    Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests;
