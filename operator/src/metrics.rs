//! `/metrics` in Prometheus' text format: Cilium's names for what Cilium has, `rutter_operator_*` for the rest.
//!
//! Invariant: counters live here; everything that is a state is read at the time of the scrape.

use std::time::Duration;

use k8s_sync::object::ObjectRef;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::lbipam::{self, Counters, View};
use crate::status::Status;

/// What is counted while the operator runs.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    errors: IntCounterVec,
    runs: Histogram,
    writes: IntCounterVec,
    /// Those of LB IPAM.
    pub(crate) lbipam: Counters,
}

impl Metrics {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let errors = IntCounterVec::new(
            Opts::new(
                "cilium_operator_bgp_control_plane_reconcile_errors_total",
                "Changes that could not be made, by the object that asked for them",
            ),
            &["resource_kind", "resource_name"],
        )?;
        let runs = Histogram::with_opts(HistogramOpts::new(
            "cilium_bgp_control_plane_reconcile_run_duration_seconds",
            "Time of one pass over all objects, writing included",
        ))?;
        let writes = IntCounterVec::new(
            Opts::new("rutter_operator_changes_total", "Changes made, by what was done"),
            &["resource_kind", "change"],
        )?;
        let registry = Registry::new();
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(runs.clone()))?;
        registry.register(Box::new(writes.clone()))?;
        let lbipam = Counters::new(&registry)?;
        Ok(Self { registry, errors, runs, writes, lbipam })
    }

    pub(crate) fn failed(&self, object: &ObjectRef) {
        self.errors.with_label_values(&[object.kind, object.name.as_str()]).inc();
    }

    pub(crate) fn made(&self, object: &ObjectRef, change: &str) {
        self.writes.with_label_values(&[object.kind, change]).inc();
    }

    pub(crate) fn ran(&self, took: Duration) {
        self.runs.observe(took.as_secs_f64());
    }

    /// The counters, and the state as it is now.
    pub(crate) fn text(&self, status: &Status, addresses: &View) -> anyhow::Result<Vec<u8>> {
        let now = Registry::new();
        lbipam::metrics::gauges(&now, &addresses.lock())?;
        let gauges = |name: &str, help: &str, labels: &[&str]| -> anyhow::Result<IntGaugeVec> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            now.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let leader = gauges("rutter_operator_leader", "1 on the operator that leads", &["holder"])?;
        let holder = status.holder.as_deref().unwrap_or_default();
        leader.with_label_values(&[holder]).set(i64::from(status.leader));
        let failing =
            gauges("rutter_operator_changes_failing", "Changes that are tried again and again", &[])?;
        failing.with_label_values::<&str>(&[]).set(i64::try_from(status.failing.len())?);
        let findings = gauges("rutter_operator_findings", "Findings, by name", &["severity", "reason"])?;
        for finding in status.findings.iter() {
            findings.with_label_values(&[finding.severity().as_str(), finding.reason.name()]).inc();
        }
        let objects = gauges("rutter_operator_objects", "Objects held, by kind", &["kind"])?;
        for (kind, count) in &status.objects {
            objects.with_label_values(&[kind]).set(i64::try_from(*count)?);
        }
        let counters = |name: &str, help: &str, labels: &[&str]| -> anyhow::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            now.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let restarts =
            counters("rutter_operator_watch_restarts_total", "Watches that began again", &["kind"])?;
        for (kind, count) in &status.watch_restarts {
            restarts.with_label_values(&[kind]).inc_by(*count);
        }
        let requests = counters(
            "rutter_operator_api_requests_total",
            "Requests to the API server",
            &["verb", "resource", "code"],
        )?;
        for request in &status.requests {
            requests
                .with_label_values(&[request.verb, request.resource.as_str(), request.code])
                .inc_by(request.count);
        }
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        encoder.encode(&now.gather(), &mut text)?;
        Ok(text)
    }
}
