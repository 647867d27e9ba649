//! Kubernetes Events: what `kubectl describe` shows below a Service or a pool.
//!
//! Invariants: an Event is told after the status was written, and waits for nobody: what the queue cannot hold is counted and
//! dropped. The same about the same object is counted up, not repeated. Nothing is told twice because an operator started: what is
//! already in a status changes nothing, and what changes nothing is not told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_sync::cluster::{Address, Cluster};
use prometheus::IntCounterVec;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::patch::seconds;

/// Events that wait.
const QUEUE: usize = 4_096;
/// Events that are remembered, to be counted up when they happen again.
const MEMORY: usize = 4_096;
/// For how long; the server forgets them after an hour.
const REMEMBERED: Duration = Duration::from_secs(1_200);
/// New Events about one object: so many at once, and then one per [`REFILL`].
const BURST: f64 = 20.0;
const REFILL: Duration = Duration::from_secs(30);
/// Longest message; the server takes 1,024 bytes.
const LONGEST: usize = 1_000;
const COMPONENT: &str = "rutter-operator";

/// The object an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct About {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespace: Option<Box<str>>,
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) about: About,
    pub(super) reason: Told,
    pub(super) message: String,
}

/// Reasons of Events, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    IPAllocated,
    IPMoved,
    IPReleased,
    IPAllocationFailed,
    PoolConflict,
    PoolConflictResolved,
    InvalidBlock,
    EditStaged,
    NearlyFull,
    CoversClusterRange,
    InvalidSelector,
    InvalidAnnotation,
}

impl Told {
    fn is_warning(self) -> bool {
        !matches!(self, Self::IPAllocated | Self::IPMoved | Self::IPReleased | Self::PoolConflictResolved)
    }
}

/// Where Events are put. Cheap to clone.
#[derive(Clone)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Event>,
    counts: IntCounterVec,
}

impl Recorder {
    /// Starts to send. Ends when the last recorder is dropped.
    pub(super) fn start(cluster: &Cluster, counts: IntCounterVec) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let sender = Sender { cluster: cluster.clone(), counts: counts.clone(), memory: Memory::default() };
        tokio::spawn(sender.run(receiver));
        Self { queue, counts }
    }

    pub(super) fn tell(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.counts.with_label_values(&["dropped"]).inc();
        }
    }
}

struct Sender {
    cluster: Cluster,
    counts: IntCounterVec,
    memory: Memory,
}

impl Sender {
    async fn run(mut self, mut queue: mpsc::Receiver<Event>) {
        while let Some(event) = queue.recv().await {
            let result = self.send(&event).await;
            self.counts.with_label_values(&[result]).inc();
        }
    }

    async fn send(&mut self, event: &Event) -> &'static str {
        let now = Instant::now();
        let namespace = event.about.namespace.as_deref().unwrap_or("default");
        let events = Address::core("events").namespace(namespace);
        if let Some((name, count)) = self.memory.again(event, now) {
            let patch = json!({"count": count, "lastTimestamp": seconds(Timestamp::now())});
            match self.cluster.merge_patch(&events.clone().name(&name), COMPONENT, &patch).await {
                Ok(_) => return "counted",
                Err(error) if error.is_not_found() => self.memory.forget(event),
                Err(error) => return failed(event, &error),
            }
        }
        if !self.memory.may_tell(&event.about, now) {
            return "limited";
        }
        let body = body(event, namespace, Timestamp::now());
        match self.cluster.create(&events, COMPONENT, &body).await {
            Ok(created) => {
                let name = created["metadata"]["name"].as_str().unwrap_or_default();
                self.memory.told(event, name, now);
                "sent"
            }
            Err(error) => failed(event, &error),
        }
    }
}

fn failed(event: &Event, error: &k8s_sync::cluster::ApiError) -> &'static str {
    tracing::debug!(object = %event.about.name, %error, "an Event could not be written");
    "failed"
}

fn body(event: &Event, namespace: &str, now: Timestamp) -> Value {
    let Event { about, reason, message } = event;
    let mut message = message.clone();
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    let name: String = about.name.chars().take(200).collect();
    let at = seconds(now);
    let mut object = json!({
        "apiVersion": about.api_version, "kind": about.kind, "name": about.name, "uid": about.uid,
    });
    if let Some(namespace) = &about.namespace {
        object["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": format!("{name}."), "namespace": namespace},
        "involvedObject": object,
        "type": if reason.is_warning() { "Warning" } else { "Normal" },
        "reason": format!("{reason:?}"),
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    })
}

/// What was told lately.
#[derive(Default)]
struct Memory {
    told: BTreeMap<Key, Known>,
    order: VecDeque<(Key, Instant)>,
    tokens: BTreeMap<About, (f64, Instant)>,
}

type Key = Arc<(About, Told, String)>;

struct Known {
    name: String,
    count: u64,
    at: Instant,
}

fn key(event: &Event) -> Key {
    Arc::new((event.about.clone(), event.reason, event.message.clone()))
}

impl Memory {
    /// The name of the Event that said so before, and how often it happened with this time.
    fn again(&mut self, event: &Event, now: Instant) -> Option<(String, u64)> {
        self.expire(now);
        let known = self.told.get_mut(&key(event))?;
        known.count += 1;
        Some((known.name.clone(), known.count))
    }

    fn told(&mut self, event: &Event, name: &str, now: Instant) {
        let key = key(event);
        self.told.insert(Arc::clone(&key), Known { name: name.to_owned(), count: 1, at: now });
        self.order.push_back((key, now));
    }

    fn forget(&mut self, event: &Event) {
        self.told.remove(&key(event));
    }

    fn expire(&mut self, now: Instant) {
        while let Some((key, at)) = self.order.front() {
            if self.order.len() <= MEMORY && now.duration_since(*at) < REMEMBERED {
                break;
            }
            if self.told.get(key).is_some_and(|known| known.at == *at) {
                self.told.remove(key);
            }
            self.order.pop_front();
        }
    }

    /// Whether the object may have another Event of its own.
    fn may_tell(&mut self, about: &About, now: Instant) -> bool {
        if self.tokens.len() > MEMORY {
            // Whoever is full again is as good as new.
            self.tokens.retain(|_, (tokens, at)| refilled(*tokens, *at, now) < BURST);
        }
        let (tokens, at) = self.tokens.get(about).copied().unwrap_or((BURST, now));
        let tokens = refilled(tokens, at, now);
        let may = tokens >= 1.0;
        self.tokens.insert(about.clone(), (if may { tokens - 1.0 } else { tokens }, now));
        may
    }
}

fn refilled(tokens: f64, at: Instant, now: Instant) -> f64 {
    (tokens + now.duration_since(at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, message: &str) -> Event {
        let about = About {
            api_version: "v1",
            kind: "Service",
            namespace: Some("n".into()),
            name: name.into(),
            uid: "u".into(),
        };
        Event { about, reason: Told::IPAllocationFailed, message: message.to_owned() }
    }

    #[test]
    fn what_kubectl_describe_looks_for() {
        let body = body(&event("s", &"ä".repeat(2_000)), "n", Timestamp::UNIX_EPOCH);
        assert_eq!(body["involvedObject"]["uid"], "u");
        assert_eq!((&body["type"], &body["reason"]), (&json!("Warning"), &json!("IPAllocationFailed")));
        assert!(body["message"].as_str().unwrap().len() <= 1_024);
        assert_eq!(body["firstTimestamp"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn the_same_again_is_counted() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let event = event("s", "no_pool");
        assert_eq!(memory.again(&event, now), None);
        memory.told(&event, "s.1", now);
        assert_eq!(memory.again(&event, now), Some(("s.1".to_owned(), 2)));
        assert_eq!(memory.again(&event, now), Some(("s.1".to_owned(), 3)));
        assert_eq!(memory.again(&event, now + REMEMBERED), None, "the server forgets it, too");
    }

    #[test]
    fn one_object_cannot_flood_and_memory_is_bounded() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let flood = event("flood", "");
        let told = (0..100).filter(|_| memory.may_tell(&flood.about, now)).count();
        assert_eq!(told, 20);
        assert!(memory.may_tell(&event("other", "").about, now));
        assert!(memory.may_tell(&flood.about, now + REFILL));
        for number in 0..3 * MEMORY {
            let event = event(&number.to_string(), "");
            memory.again(&event, now);
            memory.told(&event, "x", now);
            memory.may_tell(&event.about, now + REFILL * u32::try_from(number).unwrap());
        }
        assert!(memory.told.len() <= MEMORY + 1 && memory.tokens.len() <= MEMORY + 1);
    }
}
