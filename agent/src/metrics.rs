//! `/metrics` in Prometheus' text format: Cilium's names and labels for what Cilium has, `rutter_agent_*` for the rest.
//!
//! Sessions and routes are bgpd's: they are asked for at each scrape, for [`PATIENCE`] at the most, and a bgpd that does not
//! answer makes them absent, not zero. Only runs are counted as they happen; everything else is read off what the agent holds.
//!
//! Invariant: a scrape changes nothing and waits for nobody but bgpd; a peer, kind or finding that is gone is gone here too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use k8s_sync::cluster::RequestCount;
use k8s_sync::conditions::ObjectConditions;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use rutter_api::cilium::peers::{Peer, SessionState};
use rutter_api::intent::Intent;

use crate::api::Api;
use crate::pipeline::Outcome;
use crate::source::Origin;
use crate::status::{BgpdState, Size};

/// Media type of the answer.
const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// For so long bgpd is waited for, as Cilium waits.
const PATIENCE: Duration = Duration::from_secs(5);

const NEIGHBOR: [&str; 4] = ["instance_name", "local_asn", "neighbor", "neighbor_asn"];
const NEIGHBOR_FAMILY: [&str; 6] = ["instance_name", "local_asn", "neighbor", "neighbor_asn", "afi", "safi"];

/// `GET /metrics`.
pub(crate) async fn serve(State(api): State<Arc<Api>>) -> Response {
    let asked = api.client.clone().timeout(PATIENCE);
    let peers: Option<Vec<Peer>> = match asked.get_json("/v1/bgp/peers").await {
        Ok(peers) => Some(peers),
        Err(error) => {
            tracing::debug!(%error, "no sessions in this scrape");
            None
        }
    };
    let outcome = api.outcomes.borrow().clone().unwrap_or_default();
    let (requests, objects, restarts) = match &api.origin {
        Origin::Manifests(_) => Default::default(),
        Origin::ApiServer(cluster, reflection) => {
            (cluster.requests(), reflection.objects(), reflection.restarts())
        }
    };
    let scene = Scene {
        outcome: &outcome,
        bgpd: &api.bgpd.read(Clone::clone),
        peers: peers.as_deref(),
        requests: &requests,
        objects: &objects,
        restarts: &restarts,
        now: Timestamp::now(),
    };
    match api.metrics.render(&scene) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// What is counted as it happens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Runs>);

struct Runs {
    registry: Registry,
    durations: HistogramVec,
    errors: IntCounterVec,
    puts: IntCounterVec,
}

/// What a scrape looks at.
struct Scene<'s> {
    outcome: &'s Outcome,
    bgpd: &'s BgpdState,
    /// bgpd's sessions; none if it did not answer.
    peers: Option<&'s [Peer]>,
    /// What was asked of the API server.
    requests: &'s [RequestCount],
    /// Objects held, by kind.
    objects: &'s [(&'static str, usize)],
    /// Watches that began again, by kind.
    restarts: &'s [(&'static str, u64)],
    now: Timestamp,
}

/// What became of an intent that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Applied,
    Refused,
    Failed,
}

impl Put {
    const ALL: [Self; 3] = [Self::Applied, Self::Refused, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self::try_new().expect("names and labels are written below, and tests read them")
    }

    fn try_new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "cilium_bgp_control_plane_reconcile_run_duration_seconds",
                "From the beginning of a translation until bgpd has applied it",
            ),
            &["instance_name"],
        )?;
        let errors = counter(
            "cilium_bgp_control_plane_reconcile_errors_total",
            "Runs in which something of the instance could not be done",
            &["instance_name"],
        )?;
        let puts = counter(
            "rutter_agent_intent_puts_total",
            "Intents handed to bgpd, by what became of them",
            &["outcome"],
        )?;
        for outcome in Put::ALL {
            puts.with_label_values(&[outcome.label()]).inc_by(0);
        }
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(puts.clone()))?;
        Ok(Self(Arc::new(Runs { registry, durations, errors, puts })))
    }

    /// An intent was put, `took` after its translation began. What was wrong with instances of it is in its conditions.
    pub(crate) fn put(&self, outcome: &Outcome, took: Duration, put: Put) {
        self.0.puts.with_label_values(&[put.label()]).inc();
        let in_error = instances_in_error(&outcome.conditions);
        for instance in names(&outcome.intent) {
            self.0.durations.with_label_values(&[instance]).observe(took.as_secs_f64());
            // So that a rate can be told from the first error on.
            let errors = self.0.errors.with_label_values(&[instance]);
            if put != Put::Applied && !in_error.contains(&instance) {
                errors.inc();
            }
        }
        for instance in in_error {
            self.0.errors.with_label_values(&[instance]).inc();
        }
    }

    /// One scrape.
    ///
    /// # Errors
    /// Prometheus': two values with the same labels, say.
    fn render(&self, scene: &Scene<'_>) -> prometheus::Result<String> {
        let mut scrape = Scrape { registry: Registry::new(), gauges: BTreeMap::new() };
        scrape.sessions(scene.peers)?;
        scrape.state(scene)?;
        scrape.cluster(scene)?;
        let mut families = self.0.registry.gather();
        families.extend(scrape.registry.gather());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The instances that a condition says something is wrong with: `instance: error`, line by line.
fn instances_in_error(conditions: &[ObjectConditions]) -> Vec<&str> {
    let all = conditions.iter().flat_map(|object| &object.conditions);
    let errors = all.filter(|condition| condition.type_ == "cilium.io/BGPReconcileError" && condition.status);
    let lines = errors.flat_map(|condition| condition.message.lines());
    let mut names: Vec<&str> =
        lines.filter_map(|line| line.split_once(": ")).map(|(instance, _)| instance).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn names(intent: &Intent) -> impl Iterator<Item = &str> {
    intent.instances.iter().map(|instance| instance.name.as_str())
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// Values that are read at the time of the scrape.
struct Scrape {
    registry: Registry,
    gauges: BTreeMap<&'static str, GaugeVec>,
}

impl Scrape {
    fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[&str],
        values: &[&str],
        value: f64,
    ) -> prometheus::Result<()> {
        let gauges = match self.gauges.get(name) {
            Some(gauges) => gauges,
            None => {
                let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
                self.registry.register(Box::new(gauges.clone()))?;
                self.gauges.entry(name).or_insert(gauges)
            }
        };
        gauges.with_label_values(values).set(value);
        Ok(())
    }

    fn counters<'c>(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[&str],
        values: impl Iterator<Item = (Vec<&'c str>, u64)>,
    ) -> prometheus::Result<()> {
        let counters = counter(name, help, labels)?;
        self.registry.register(Box::new(counters.clone()))?;
        for (values, count) in values {
            counters.with_label_values(&values).inc_by(count);
        }
        Ok(())
    }

    fn sessions(&mut self, peers: Option<&[Peer]>) -> prometheus::Result<()> {
        for peer in peers.unwrap_or_default() {
            let neighbor = std::net::SocketAddr::new(peer.peer_address, peer.peer_port).to_string();
            let (local_asn, peer_asn) = (peer.local_asn.to_string(), peer.peer_asn.to_string());
            let labels = [peer.instance.as_str(), &local_asn, &neighbor, &peer_asn];
            let established = peer.session_state == SessionState::Established;
            self.gauge(
                "cilium_bgp_control_plane_session_state",
                "1 while the session is Established, else 0",
                &NEIGHBOR,
                &labels,
                f64::from(u8::from(established)),
            )?;
            for family in peer.families.iter().filter(|_| established) {
                let labels: Vec<&str> = labels.into_iter().chain([&*family.afi, &*family.safi]).collect();
                self.gauge(
                    "cilium_bgp_control_plane_advertised_routes",
                    "Routes that the neighbour was sent",
                    &NEIGHBOR_FAMILY,
                    &labels,
                    float(family.advertised),
                )?;
                self.gauge(
                    "cilium_bgp_control_plane_received_routes",
                    "Routes that the neighbour has sent",
                    &NEIGHBOR_FAMILY,
                    &labels,
                    float(family.received),
                )?;
            }
        }
        Ok(())
    }

    fn state(&mut self, scene: &Scene<'_>) -> prometheus::Result<()> {
        let mut findings = BTreeMap::<(&str, &str), u64>::new();
        for finding in scene.outcome.report.iter() {
            *findings.entry((finding.reason.name(), finding.severity().as_str())).or_default() += 1;
        }
        for ((reason, severity), count) in findings {
            let help = "What is refused, ignored or not advertised, by reason";
            self.gauge(
                "rutter_agent_findings",
                help,
                &["reason", "severity"],
                &[reason, severity],
                float(count),
            )?;
        }
        let size = Size::of(&scene.outcome.intent);
        for (part, count) in [("instances", size.instances), ("peers", size.peers), ("routes", size.routes)] {
            let help = "Size of the newest intent";
            self.gauge("rutter_agent_intent_size", help, &["part"], &[part], float(count as u64))?;
        }
        let truth = |holds: bool| f64::from(u8::from(holds));
        let bgpd = scene.bgpd;
        let answers = scene.peers.is_some();
        self.gauge("rutter_agent_bgpd_up", "1 if bgpd answered this scrape", &[], &[], truth(answers))?;
        let help = "1 while bgpd does not have the newest intent";
        self.gauge("rutter_agent_intent_pending", help, &[], &[], truth(bgpd.pending))?;
        let help = "1 while an intent is not even offered, because less is known than bgpd was told before";
        self.gauge("rutter_agent_intent_held_back", help, &[], &[], truth(bgpd.held_back.is_some()))?;
        if let Some(last) = &bgpd.last_applied {
            let age = scene.now.duration_since(last.time).as_secs_f64().max(0.0);
            let help = "How long ago bgpd took an intent";
            self.gauge("rutter_agent_intent_applied_age_seconds", help, &[], &[], age)?;
            let help = "What of the intent is not in force because another owner comes first";
            let conflicts = float(last.conflicts.len() as u64);
            self.gauge("rutter_agent_intent_conflicts", help, &[], &[], conflicts)?;
        }
        Ok(())
    }

    fn cluster(&mut self, scene: &Scene<'_>) -> prometheus::Result<()> {
        let requests = scene.requests.iter();
        self.counters(
            "rutter_agent_api_server_requests_total",
            "Requests to the API server",
            &["verb", "resource", "code"],
            requests.map(|one| (vec![one.verb, &*one.resource, one.code], one.count)),
        )?;
        let restarts = scene.restarts.iter();
        self.counters(
            "rutter_agent_watch_restarts_total",
            "Watches that had to begin again",
            &["kind"],
            restarts.map(|(kind, count)| (vec![*kind], *count)),
        )?;
        for (kind, count) in scene.objects {
            let help = "Objects held";
            self.gauge("rutter_agent_objects", help, &["kind"], &[kind], float(*count as u64))?;
        }
        Ok(())
    }
}

/// As Prometheus has numbers: exact up to 2^53.
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
