//! One kind, kept up to date: the initial state, then every change, for as long as the process lives.
//!
//! ```text
//!            ┌── expired (410) ──────────────────────────┐
//!            ▼                                           │
//!   no version known ── initial state ──► version known ─┴─ watch from it ──┐
//!            ▲                                 ▲      any other end, backoff │
//!            └── refused: next API version     └─────────────────────────────┘
//! ```
//! Somebody who has to know what is true *now*, such as a new leader, asks for a new round: the state is read from the beginning.
//! The initial state comes as a stream where the server can (Kubernetes 1.34 on), else page by page. Invariants: what was
//! read is replaced only by a complete newer state; a watch goes on where the last one ended, so that a server that comes
//! back is not asked for everything again unless it has forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::address::encode;
use super::backoff::{Backoff, fraction};
use super::connect::Cluster;
use super::decode::{Peek, decode};
use super::error::{ApiError, StatusBody};
use super::request::{Call, PAGE};
use super::store::Store;
use super::stream::{Event, Lines};
use super::watched::{Detail, Source};
use crate::object::{NamespacedName, Object, ObjectRef};
use crate::report::{Finding, Reason, Report};

/// A watch ends by itself after between once and twice this time, so that many agents do not renew at the same moment.
const WATCH_SECONDS: f64 = 300.0;
/// Longest time for the first byte of a watch, and for a page of a list.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watch that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// What is too old for one is too old for all: they ask for the state again spread over this time.
const SPREAD: Duration = Duration::from_secs(1);

/// How far a kind is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody could say yet.
    #[default]
    Pending,
    /// All objects were read at least once.
    Listed,
    /// The server does not have the kind.
    NotServed,
    /// The server does not let us read it.
    Forbidden,
}

/// What a reflector tells about itself.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) standing: Standing,
    /// What keeps it from following the server now.
    problem: Option<Finding>,
    /// Objects whose newest version cannot be read.
    undecodable: BTreeMap<NamespacedName, Finding>,
    /// Whether the server, when last asked, did not have the kind (any more).
    missing: bool,
    /// The API version in use.
    pub(super) version: &'static str,
    /// How often it had to begin a watch again.
    pub(super) restarts: u64,
    /// Counts the rounds that were asked for: states that are to be read from the beginning.
    pub(super) asked: watch::Sender<u64>,
    /// The newest round whose whole state was read. Its request was made after that round was asked for.
    pub(super) round: Option<u64>,
}

impl Account {
    pub(super) fn report_to(&self, report: &mut Report) {
        report.extend(self.problem.iter().chain(self.undecodable.values()).cloned());
    }

    /// Whether what was read of the kind is followed, or the server never had any.
    pub(super) fn is_current(&self) -> bool {
        self.problem.is_none() && !(self.missing && self.standing == Standing::Listed)
    }
}

/// Follows one kind.
pub(super) struct Reflector {
    cluster: Cluster,
    source: Source,
    store: Arc<Store>,
    account: Arc<Mutex<Account>>,
    backoff: Backoff,
    /// Index of the API version in use.
    version: usize,
    /// Whether the server can stream the initial state.
    streams: bool,
    /// Where to go on.
    resource_version: Option<String>,
    watched_before: bool,
    /// Whether the last attempt found nobody.
    was_away: bool,
    /// Rounds that are asked for.
    asked: watch::Receiver<u64>,
    /// The round that is being read.
    round: u64,
}

impl Reflector {
    pub(super) fn new(
        cluster: &Cluster,
        source: Source,
        store: &Arc<Store>,
        account: &Arc<Mutex<Account>>,
    ) -> Self {
        let asked = account.lock().unwrap_or_else(PoisonError::into_inner).asked.subscribe();
        Self {
            asked,
            round: 0,
            cluster: cluster.clone(),
            source,
            store: Arc::clone(store),
            account: Arc::clone(account),
            backoff: Backoff::new(),
            version: 0,
            streams: true,
            resource_version: None,
            watched_before: false,
            was_away: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut returns = self.cluster.shared.pulse.returns();
        loop {
            returns.mark_unchanged();
            let start = Instant::now();
            self.begin();
            let pages = self.resource_version.is_none() && !self.streams;
            let result = if pages { self.pages().await } else { self.watch().await };
            if start.elapsed() > GOOD {
                self.backoff.reset();
            }
            match result {
                Ok(()) if self.asked.has_changed().unwrap_or(false) => {}
                // A server that ends watches as soon as they begin is not asked in a circle.
                Ok(()) if !pages && start.elapsed() < GOOD => sleep(self.backoff.pause(None)).await,
                // The end of a page list, or of a watch whose time was over.
                Ok(()) => {}
                Err(error) => {
                    let pause = self.failed(&error);
                    tracing::debug!(resource = self.resource(), %error, ?pause, "asking the API server again");
                    if !is_away(&error) {
                        sleep(pause).await;
                        continue;
                    }
                    self.cluster.shared.pulse.went();
                    // One of us finds the server again first; then the others need not wait any longer.
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = returns.changed() => {
                            self.backoff.reset();
                            sleep(SPREAD.mul_f64(fraction())).await;
                        }
                    }
                }
            }
        }
    }

    /// What is asked for before the request is made is in its answer.
    fn begin(&mut self) {
        let asked = *self.asked.borrow_and_update();
        if asked != self.round {
            self.resource_version = None;
            self.round = asked;
        }
    }

    fn api_version(&self) -> &'static str {
        self.source.watched.place().versions[self.version]
    }

    fn resource(&self) -> String {
        let place = self.source.watched.place();
        match place.group {
            "" => place.plural.to_owned(),
            group => format!("{}.{group}", place.plural),
        }
    }

    /// Watches from the known version, or streams the initial state and goes on from there.
    async fn watch(&mut self) -> Result<(), ApiError> {
        let timeout = (WATCH_SECONDS * (1.0 + fraction())) as u64;
        let mut query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={timeout}");
        match &self.resource_version {
            Some(version) => query.push_str(&format!("&resourceVersion={}", encode(version))),
            None => query.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
        }
        let call = self.call("watch", &query);
        let what = call.what();
        let body = self.cluster.accepted(call).await?.into_body();
        if std::mem::replace(&mut self.watched_before, true) {
            self.account(|account| account.restarts += 1);
        }
        let mut lines = Lines::new(&self.cluster, what, body);
        let initial = self.resource_version.is_none();
        if !initial {
            self.reached(false);
        }
        let mut state = initial.then(Vec::new);
        let mut undecodable = BTreeMap::new();
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                Ok(()) = self.asked.changed() => {
                    // Left as changed for `begin`, which decides.
                    self.asked.mark_changed();
                    return Ok(());
                }
            };
            let Some(line) = line else { return Ok(()) };
            let event: Event<'_> = self.parse(&line)?;
            match (event.type_, &mut state) {
                ("ERROR", _) => return Err(self.refusal(event.object)),
                ("BOOKMARK", state) => {
                    let peek = self.peek(event.object)?;
                    let ends = peek.ends_initial_state();
                    if let Some(objects) = state.take_if(|_| ends) {
                        self.listed(objects, std::mem::take(&mut undecodable));
                    }
                    if state.is_none() {
                        self.resource_version = Some(peek.metadata.resource_version);
                    }
                }
                (_, Some(objects)) => {
                    self.collect(event.object, objects, &mut undecodable)?;
                }
                (type_, None) => self.change(type_, event.object)?,
            }
        }
    }

    /// The initial state, page by page.
    async fn pages(&mut self) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct List<'l> {
            metadata: ListMetadata,
            #[serde(borrow, default)]
            items: Option<Vec<&'l RawValue>>,
        }
        #[derive(Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        #[derive(Default)]
        struct ListMetadata {
            resource_version: String,
            r#continue: String,
        }
        let (mut objects, mut undecodable, mut next) = (Vec::new(), BTreeMap::new(), String::new());
        loop {
            let mut query = format!("limit={PAGE}");
            if !next.is_empty() {
                query.push_str(&format!("&continue={}", encode(&next)));
            }
            let (what, bytes) = self.cluster.bytes(self.call("list", &query)).await?;
            let page: List<'_> = serde_json::from_slice(&bytes)
                .map_err(|error| ApiError::Unreadable { what, cause: error.to_string() })?;
            for item in page.items.into_iter().flatten() {
                self.collect(item, &mut objects, &mut undecodable)?;
            }
            if page.metadata.r#continue.is_empty() {
                self.listed(objects, undecodable);
                self.resource_version = Some(page.metadata.resource_version);
                return Ok(());
            }
            next = page.metadata.r#continue;
        }
    }

    fn call(&self, verb: &'static str, query: &str) -> Call {
        let selector = &self.source.selector;
        let query = if selector.is_empty() { query.to_owned() } else { format!("{selector}&{query}") };
        let mut call = Call::new(verb, &self.source.address(self.api_version()), Method::GET, &query);
        call.patience = PATIENCE;
        if self.source.detail == Detail::Metadata {
            let list = if verb == "list" { "List" } else { "" };
            let kind = format!("application/json;as=PartialObjectMetadata{list};g=meta.k8s.io;v=v1");
            call.headers.push((header::ACCEPT, kind));
        }
        call
    }

    /// An object of the initial state. One that did not change since it was last read is not read again.
    fn collect(
        &self,
        json: &RawValue,
        objects: &mut Vec<Object>,
        undecodable: &mut BTreeMap<NamespacedName, Finding>,
    ) -> Result<(), ApiError> {
        let peek = self.peek(json)?;
        let (watched, key) = (self.source.watched, peek.key());
        let known = self.store.get(watched, &key, peek.service().as_ref());
        let version = &peek.metadata.resource_version;
        if known.as_ref().is_some_and(|known| known.resource_version() == version) {
            objects.extend(known);
            return Ok(());
        }
        match decode(watched, self.source.detail, json.get()) {
            Ok(object) => objects.push(object),
            Err(wrong) => {
                objects.extend(known);
                undecodable.insert(key.clone(), self.undecodable(&key, wrong.path, wrong.error));
            }
        }
        Ok(())
    }

    /// The initial state is complete.
    fn listed(&mut self, objects: Vec<Object>, undecodable: BTreeMap<NamespacedName, Finding>) {
        let (kind, count) = (self.source.watched.place().kind, objects.len());
        tracing::debug!(kind, count, "initial state read");
        self.store.replace(self.source.watched, objects);
        let round = self.round;
        let first = self.account(|account| {
            account.undecodable = undecodable;
            account.round.replace(round) != Some(round)
        });
        self.reached(true);
        if first {
            self.store.wake();
        }
    }

    /// The server answers as it should.
    fn reached(&mut self, listed: bool) {
        self.cluster.shared.pulse.came();
        let version = self.api_version();
        let changed = self.account(|account| {
            let standing = if listed { Standing::Listed } else { account.standing };
            account.version = version;
            let changed = account.problem.is_some() || account.standing != standing;
            account.problem = None;
            account.missing = false;
            account.standing = standing;
            changed
        });
        if changed {
            self.store.wake();
        }
    }

    /// One change after the initial state.
    fn change(&mut self, type_: &str, json: &RawValue) -> Result<(), ApiError> {
        let peek = self.peek(json)?;
        let (watched, key, service) = (self.source.watched, peek.key(), peek.service());
        let mut wrong = None;
        if type_ == "DELETED" {
            self.store.remove(watched, &key, service.as_ref());
        } else {
            match decode(watched, self.source.detail, json.get()) {
                Ok(object) => self.store.apply(watched, &key, object, type_ == "MODIFIED"),
                Err(error) => wrong = Some(self.undecodable(&key, error.path, error.error)),
            }
        }
        let changed = self.account(|account| match wrong {
            Some(finding) => account.undecodable.insert(key, finding.clone()) != Some(finding),
            None => account.undecodable.remove(&key).is_some(),
        });
        if changed {
            self.store.wake();
        }
        self.resource_version = Some(peek.metadata.resource_version);
        Ok(())
    }

    fn undecodable(&self, key: &NamespacedName, path: String, error: String) -> Finding {
        let kind = self.source.watched.place().kind;
        let object = match key.namespace.as_str() {
            "" => ObjectRef::cluster(kind, &key.name),
            _ => ObjectRef::namespaced(kind, key),
        };
        Finding::on(&object, path, Reason::ObjectUndecodable { error })
    }

    /// What a failure means, and how long to wait before the next attempt.
    fn failed(&mut self, error: &ApiError) -> Duration {
        let place = self.source.watched.place();
        let resource = self.resource();
        // Somebody answers again. What a server says while it starts (RBAC is not loaded, a kind not served yet) is soon over.
        let away = is_away(error);
        if std::mem::replace(&mut self.was_away, away) && !away {
            self.backoff.reset();
        }
        let had_begun = self.resource_version.is_some();
        let problem = match error.status() {
            None if matches!(error, ApiError::Unreadable { .. }) => {
                // The same again would not be readable either; the whole state may be.
                self.resource_version = None;
                Some(Reason::ApiRefuses { resource, problem: message(error) })
            }
            Some(410) => {
                self.resource_version = None;
                self.backoff.reset();
                return SPREAD.mul_f64(fraction());
            }
            // A server without streams says that the parameter is wrong. From then on: pages.
            Some(400 | 422) if !had_begun && self.streams => {
                self.streams = false;
                return Duration::ZERO;
            }
            Some(404) => {
                // Perhaps in another version; only when all are gone the kind is.
                self.resource_version = None;
                self.version = (self.version + 1) % place.versions.len();
                if self.version != 0 {
                    return Duration::ZERO;
                }
                self.account(|account| account.missing = true);
                self.stands(Standing::NotServed);
                (!place.optional).then_some(Reason::KindNotServed { kind: place.kind, resource })
            }
            Some(403) => {
                self.stands(Standing::Forbidden);
                Some(Reason::ApiForbidden { resource, problem: message(error) })
            }
            Some(429 | 500..) | None => {
                let server = self.cluster.server().to_owned();
                Some(Reason::ApiUnavailable { server, problem: message(error) })
            }
            Some(_) => Some(Reason::ApiRefuses { resource, problem: message(error) }),
        };
        let finding = problem.map(|reason| Finding { location: None, object: None, field: None, reason });
        // A watch that broke is taken up again at once; only when that fails there is something to tell.
        let first = had_begun && self.backoff.is_fresh() && error.status().is_none();
        if !first
            && self.account(|account| std::mem::replace(&mut account.problem, finding.clone()) != finding)
        {
            self.store.wake();
        }
        self.backoff.pause(error.retry_after())
    }

    /// A definite answer of the server. It decides only for what was never read: what was read stays.
    fn stands(&self, standing: Standing) {
        let changed = self.account(|account| {
            let changed = account.standing != standing && account.standing != Standing::Listed;
            if changed {
                account.standing = standing;
            }
            changed
        });
        if changed {
            self.store.wake();
        }
    }

    fn account<R>(&self, change: impl FnOnce(&mut Account) -> R) -> R {
        change(&mut self.account.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn what(&self) -> String {
        format!("follow {}", self.resource())
    }

    fn parse<'l>(&self, line: &'l Bytes) -> Result<Event<'l>, ApiError> {
        serde_json::from_slice(line)
            .map_err(|error| ApiError::Unreadable { what: self.what(), cause: error.to_string() })
    }

    fn peek(&self, json: &RawValue) -> Result<Peek, ApiError> {
        Peek::at(json.get())
            .map_err(|error| ApiError::Unreadable { what: self.what(), cause: error.to_string() })
    }

    /// The error that a watch ends with.
    fn refusal(&self, object: &RawValue) -> ApiError {
        let status: StatusBody = serde_json::from_str(object.get()).unwrap_or_default();
        let code = status.code;
        status.refusal(self.what(), code, None)
    }
}

/// Whether the server cannot answer at all, rather than not to this, or not now.
fn is_away(error: &ApiError) -> bool {
    error.is_transient() && error.retry_after().is_none() && error.status() != Some(429)
}

/// The problem without verb and path, so that all kinds say the same of the same outage.
fn message(error: &ApiError) -> String {
    match error {
        ApiError::Unreachable { cause, .. } => cause.clone(),
        ApiError::Timeout { .. } => "no answer in time".to_owned(),
        ApiError::Withheld { .. } => "not asked".to_owned(),
        ApiError::Refused { status, message, .. } => format!("{status} {message}"),
        ApiError::Unreadable { cause, .. } => cause.clone(),
    }
}

#[cfg(test)]
mod tests;
