//! Metrics of LB IPAM: Cilium's names of both generations, letter by letter, and ours.
//!
//! Invariants: what is a state is read at the time of the scrape. The number of series is bounded: pools are an administrator's,
//! Services are counted and not named, and of namespaces with a quota only the fullest are.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::state::State;

/// The three ways in which releases and exporters name the five gauges of Cilium.
const GENERATIONS: [(&str, &str); 3] =
    [("cilium_lbipam_", ""), ("cilium_lbipam_", "_total"), ("cilium_operator_lbipam_", "")];

/// Namespaces of one pool whose quota is shown.
const NAMESPACES: usize = 20;

/// What is counted while the operator runs.
#[derive(Clone)]
pub(crate) struct Counters {
    processing: HistogramVec,
    writes: IntCounterVec,
    pub(super) events: IntCounterVec,
}

impl Counters {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Self> {
        let options = HistogramOpts::new(
            "cilium_lbipam_event_processing_time_seconds",
            "Time from the look at what changed to the plan of what to write",
        );
        let processing = HistogramVec::new(options, &["event", "resource"])?;
        let writes = IntCounterVec::new(
            Opts::new(
                "rutter_operator_lbipam_writes_total",
                "Writes of addresses, conditions and annotations, by how they ended",
            ),
            &["what", "result"],
        )?;
        let events = IntCounterVec::new(
            Opts::new("rutter_operator_events_total", "Kubernetes Events, by what became of them"),
            &["result"],
        )?;
        registry.register(Box::new(processing.clone()))?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(events.clone()))?;
        Ok(Self { processing, writes, events })
    }

    /// A look at what changed took this long.
    pub(super) fn observe(&self, differs: Differs, took: Duration) {
        let labels = [
            (differs.services, ["upsert", "service"]),
            (differs.services_gone, ["delete", "service"]),
            (differs.pools, ["upsert", "pool"]),
            (differs.pools_gone, ["delete", "pool"]),
        ];
        for (_, labels) in labels.iter().filter(|(differs, _)| *differs) {
            self.processing.with_label_values(labels).observe(took.as_secs_f64());
        }
    }

    pub(super) fn written(&self, what: &str, result: &str) {
        self.writes.with_label_values(&[what, result]).inc();
    }
}

/// What differs between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Differs {
    pub(super) services: bool,
    pub(super) services_gone: bool,
    pub(super) pools: bool,
    pub(super) pools_gone: bool,
}

/// Adds the state of the moment.
pub(crate) fn gauges(registry: &Registry, state: &State) -> anyhow::Result<()> {
    let pools: Vec<_> = state.ipam().pools().collect();
    let (matching, unsatisfied) = state.services();
    let conflicting = pools.iter().filter(|pool| pool.conflict.is_some()).count();
    for (prefix, suffix) in GENERATIONS {
        let of_pool =
            |name: &str, help: &str, count: &dyn Fn(&lbipam::PoolView) -> f64| -> anyhow::Result<()> {
                let gauge = GaugeVec::new(Opts::new(format!("{prefix}{name}{suffix}"), help), &["pool"])?;
                for pool in &pools {
                    gauge.with_label_values(&[&*pool.name]).set(count(pool));
                }
                Ok(registry.register(Box::new(gauge))?)
            };
        let one = |name: &str, help: &str, count: usize| -> anyhow::Result<()> {
            let gauge = Gauge::with_opts(Opts::new(format!("{prefix}{name}{suffix}"), help))?;
            gauge.set(count as f64);
            Ok(registry.register(Box::new(gauge))?)
        };
        one("conflicting_pools", "The number of conflicting pools", conflicting)?;
        of_pool("ips_available", "The number of IPs available per pool", &|pool| {
            number(&pool.ipv4.available) + number(&pool.ipv6.available)
        })?;
        of_pool("ips_used", "The number of IPs used per pool", &|pool| {
            number(&pool.ipv4.used) + number(&pool.ipv6.used)
        })?;
        one("services_matching", "The number of matching services", matching)?;
        one(
            "services_unsatisfied",
            "The number of services which did not get all requested IPs",
            unsatisfied,
        )?;
    }
    let labels = ["pool", "family", "state"];
    let addresses = GaugeVec::new(
        Opts::new(
            "rutter_operator_lbipam_addresses",
            "Addresses of a pool, by family: total, used, available",
        ),
        &labels,
    )?;
    for pool in &pools {
        for (family, counts) in [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)] {
            for (state, count) in
                [("total", &counts.total), ("used", &counts.used), ("available", &counts.available)]
            {
                addresses.with_label_values(&[&*pool.name, family, state]).set(number(count));
            }
        }
    }
    registry.register(Box::new(addresses))?;
    let days = GaugeVec::new(
        Opts::new(
            "rutter_operator_lbipam_pool_days_to_full",
            "Days until a pool that grows is full, at the rate of the last days",
        ),
        &["pool", "family"],
    )?;
    let growth = GaugeVec::new(
        Opts::new("rutter_operator_lbipam_pool_growth_per_day", "Addresses that a pool gives per day, net"),
        &["pool", "family"],
    )?;
    for pool in &pools {
        for forecast in &pool.forecast {
            let labels = [&*pool.name, &*forecast.family.to_string()];
            growth.with_label_values(&labels).set(number(&forecast.per_day));
            if let Some(left) = &forecast.days_to_full {
                days.with_label_values(&labels).set(number(left));
            }
        }
    }
    registry.register(Box::new(days))?;
    registry.register(Box::new(growth))?;
    let quotas = GaugeVec::new(
        Opts::new(
            "rutter_operator_lbipam_quota",
            "Addresses of a pool that a namespace has and may have, for the fullest namespaces of each pool",
        ),
        &["pool", "namespace", "state"],
    )?;
    for pool in &pools {
        for (namespace, used, limit) in fullest(pool) {
            quotas.with_label_values(&[&*pool.name, namespace, "used"]).set(used);
            quotas.with_label_values(&[&*pool.name, namespace, "limit"]).set(limit);
        }
    }
    registry.register(Box::new(quotas))?;
    let failing = Gauge::with_opts(Opts::new(
        "rutter_operator_lbipam_writes_failing",
        "Objects whose write is tried again and again",
    ))?;
    failing.set(state.failing.len() as f64);
    registry.register(Box::new(failing))?;
    Ok(())
}

/// Namespaces of a pool with a quota, those first that have least left of it.
fn fullest(pool: &lbipam::PoolView) -> Vec<(&str, f64, f64)> {
    let limited = pool
        .quotas
        .iter()
        .filter_map(|quota| Some((&*quota.namespace, number(&quota.used), number(&quota.limit?))));
    let mut namespaces: Vec<(&str, f64, f64)> = limited.collect();
    namespaces.sort_by(|(_, used, limit), (_, other_used, other_limit)| {
        (limit - used).total_cmp(&(other_limit - other_used))
    });
    namespaces.truncate(NAMESPACES);
    namespaces
}

/// An IPv6 pool has more addresses than a gauge can count exactly.
fn number(count: &impl ToString) -> f64 {
    count.to_string().parse().unwrap_or(f64::INFINITY)
}
