//! `/metrics` in Prometheus' text format: Cilium's names for what Cilium has, `bgpd_*` for the rest.
//!
//! Everything is taken from the instances' snapshots at the time of the scrape, into a registry made for it: a peer that
//! is gone is gone here too, and counting costs the sessions nothing.
//!
//! Invariant: label values come from typed functions ([`NeighborLabels`] and the `label` of enums), so a misspelt label
//! does not compile.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bgp_core::Time;
use bgp_core::rib::Ineligible;
use bgp_wire::Family;
use prometheus::core::{AtomicU64, GenericCounterVec, GenericGaugeVec};
use prometheus::{Encoder, Opts, Registry, TextEncoder};

use crate::clock::Clock;
use crate::instance::snapshot::{InstanceSnapshot, PeerSnapshot};

type Counters = GenericCounterVec<AtomicU64>;
type Gauges = GenericGaugeVec<AtomicU64>;

/// Media type of the answer.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The labels that every metric of a session has, as Cilium names them.
struct NeighborLabels {
    instance_name: String,
    local_asn: String,
    neighbor: String,
    neighbor_asn: String,
}

impl NeighborLabels {
    const NAMES: [&'static str; 4] = ["instance_name", "local_asn", "neighbor", "neighbor_asn"];

    fn new(instance: &InstanceSnapshot, peer: &PeerSnapshot) -> Self {
        Self {
            instance_name: instance.name.to_string(),
            local_asn: instance.local_asn.to_string(),
            neighbor: peer.neighbor().to_string(),
            neighbor_asn: peer.remote_asn.unwrap_or_default().to_string(),
        }
    }

    fn values(&self) -> [&str; 4] {
        [&self.instance_name, &self.local_asn, &self.neighbor, &self.neighbor_asn]
    }

    fn with<'a, const N: usize>(&'a self, more: [&'a str; N]) -> Vec<&'a str> {
        self.values().into_iter().chain(more).collect()
    }
}

/// The two labels of a family.
fn family_labels(family: Family) -> [&'static str; 2] {
    match family {
        Family::IPV6_UNICAST => ["ipv6", "unicast"],
        // The core carries no third family.
        _ => ["ipv4", "unicast"],
    }
}

/// One scrape.
#[must_use]
pub fn render(
    instances: &[Arc<InstanceSnapshot>],
    conflicts: usize,
    lost_lines: usize,
    clock: &Clock,
) -> String {
    let scrape = Scrape::default();
    scrape.process(conflicts, lost_lines, clock);
    for instance in instances {
        scrape.instance(instance);
        for peer in &instance.peers {
            scrape.peer(instance, peer);
        }
    }
    scrape.text() + &lateness(instances)
}

/// How late KEEPALIVEs were, as histograms: they come whole from the snapshot, so the registry would only be in the way.
fn lateness(instances: &[Arc<InstanceSnapshot>]) -> String {
    const NAME: &str = "bgpd_keepalive_lateness_seconds";
    let mut text = format!(
        "# HELP {NAME} From the moment a KEEPALIVE was due to the moment it was written\n# TYPE {NAME} histogram\n"
    );
    for instance in instances {
        let name = instance.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (waited_for, lateness) in
            [("nothing", &instance.keepalives.first), ("peer", &instance.keepalives.behind)]
        {
            let labels = format!("instance_name=\"{name}\",waited_for=\"{waited_for}\"");
            for (end, count) in lateness.cumulative() {
                _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{end}\"}} {count}");
            }
            _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"+Inf\"}} {}", lateness.count);
            _ = writeln!(text, "{NAME}_sum{{{labels}}} {}", lateness.sum.as_secs_f64());
            _ = writeln!(text, "{NAME}_count{{{labels}}} {}", lateness.count);
        }
    }
    _ = writeln!(
        text,
        "# HELP bgpd_keepalive_lateness_max_seconds The latest KEEPALIVE\n# TYPE bgpd_keepalive_lateness_max_seconds gauge"
    );
    for instance in instances {
        let name = instance.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (waited_for, lateness) in
            [("nothing", &instance.keepalives.first), ("peer", &instance.keepalives.behind)]
        {
            let max = lateness.max.as_secs_f64();
            _ = writeln!(
                text,
                "bgpd_keepalive_lateness_max_seconds{{instance_name=\"{name}\",waited_for=\"{waited_for}\"}} {max}"
            );
        }
    }
    text
}

#[derive(Default)]
struct Scrape {
    registry: Registry,
    counters: std::cell::RefCell<BTreeMap<&'static str, Counters>>,
    gauges: std::cell::RefCell<BTreeMap<&'static str, Gauges>>,
}

impl Scrape {
    fn process(&self, conflicts: usize, lost_lines: usize, clock: &Clock) {
        self.gauge("bgpd_uptime_seconds", "Seconds since bgpd started", &[], &[], clock.uptime().as_secs());
        self.gauge(
            "bgpd_intent_conflicts",
            "Values of intents that are not in force because another owner comes first",
            &[],
            &[],
            conflicts as u64,
        );
        self.counter(
            "bgpd_log_lines_lost_total",
            "Lines of the log that were not written because nobody read them",
            &[],
            &[],
            lost_lines as u64,
        );
    }

    fn instance(&self, instance: &InstanceSnapshot) {
        let name = &*instance.name;
        for (reason, count) in &instance.refused {
            self.counter(
                "bgpd_connections_refused_total",
                "Connections that were not accepted",
                &["instance_name", "reason"],
                &[name, reason],
                *count,
            );
        }
        self.gauge(
            "bgpd_restarting",
            "1 while nothing is advertised after a restart, else 0 (RFC 4724)",
            &["instance_name"],
            &[name],
            u64::from(instance.restarting),
        );
        if let Some(millis) = instance.restart_millis {
            self.gauge(
                "bgpd_restart_milliseconds",
                "How long nothing was advertised after the restart",
                &["instance_name"],
                &[name],
                millis,
            );
        }
        let failures = instance.listen_failures.len() as u64;
        self.gauge(
            "bgpd_listen_failures",
            "Addresses that the instance should listen on and does not",
            &["instance_name"],
            &[name],
            failures,
        );
        for (family, table) in &instance.tables {
            let [afi, safi] = family_labels(*family);
            let labels = ["instance_name", "afi", "safi"];
            let values = [name, afi, safi];
            self.gauge("bgpd_rib_prefixes", "Prefixes in the table", &labels, &values, table.prefixes.into());
            self.gauge("bgpd_rib_paths", "Paths in the table", &labels, &values, table.paths.into());
            self.counter(
                "bgpd_rib_version_total",
                "Changes of best paths",
                &labels,
                &values,
                table.version.into(),
            );
        }
    }

    fn peer(&self, instance: &InstanceSnapshot, peer: &PeerSnapshot) {
        let labels = NeighborLabels::new(instance, peer);
        let established = peer.is_established();
        let names = NeighborLabels::NAMES;
        self.gauge(
            "cilium_bgp_control_plane_session_state",
            "1 while the session is Established, else 0",
            &names,
            &labels.values(),
            u64::from(established),
        );
        if established {
            self.routes(&labels, peer);
        }
        self.messages(&labels, peer);
        self.counter(
            "bgpd_session_established_total",
            "Times the session came up",
            &names,
            &labels.values(),
            peer.established_count,
        );
        self.counter(
            "bgpd_session_dropped_total",
            "Times an Established session went down",
            &names,
            &labels.values(),
            peer.dropped_count,
        );
        self.counter(
            "bgpd_connect_failures_total",
            "Dials that did not come through",
            &names,
            &labels.values(),
            peer.counters.connect_failures,
        );
        self.counter(
            "bgpd_collisions_total",
            "Connections closed because another one to the same peer was kept",
            &names,
            &labels.values(),
            peer.counters.collisions,
        );
        self.prefix_limit(&labels, peer);
        self.gauge(
            "bgpd_draining",
            "1 while the session is said to end soon (RFC 8326), else 0",
            &names,
            &labels.values(),
            u64::from(peer.drains),
        );
        if let Some(pause) = peer.counters.handover_pause {
            self.gauge(
                "bgpd_handover_pause_microseconds",
                "How long nobody read or wrote when this process took the session over",
                &names,
                &labels.values(),
                u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
            );
        }
        self.gauge(
            "bgpd_slow_peer",
            "1 while the peer does not take what is sent to it",
            &names,
            &labels.values(),
            u64::from(peer.slow_since.is_some()),
        );
        self.counter(
            "bgpd_slow_peer_total",
            "Times the peer did not take what was sent to it for too long",
            &names,
            &labels.values(),
            peer.slow_count,
        );
        self.gauge(
            "bgpd_queued_octets",
            "Octets that wait to be written to the peer",
            &names,
            &labels.values(),
            peer.queued_out as u64,
        );
        let with_state = extend(names, ["state"]);
        for (state, count) in &peer.counters.entered {
            self.counter(
                "bgpd_session_state_changes_total",
                "Changes of the session's state, by the state entered",
                &with_state,
                &labels.with([state]),
                *count,
            );
        }
        self.restarts(&labels, instance, peer);
        self.paths(&labels, peer);
        let with_disposition = extend(names, ["disposition"]);
        for (disposition, count) in [
            ("treat-as-withdraw", peer.counters.updates_withdrawn),
            ("attribute-discard", peer.counters.updates_discarded_attributes),
        ] {
            self.counter(
                "bgpd_update_errors_total",
                "Malformed UPDATEs that did not end the session (RFC 7606)",
                &with_disposition,
                &labels.with([disposition]),
                count,
            );
        }
    }

    fn prefix_limit(&self, labels: &NeighborLabels, peer: &PeerSnapshot) {
        let names = NeighborLabels::NAMES;
        self.counter(
            "bgpd_prefix_limit_total",
            "Times the peer passed its prefix limit",
            &names,
            &labels.values(),
            peer.counters.prefix_limit,
        );
        self.counter(
            "bgpd_prefix_warnings_total",
            "Times the peer came near its prefix limit",
            &names,
            &labels.values(),
            peer.counters.prefix_warnings,
        );
    }

    /// Graceful restart of a neighbour, as its helper sees it (RFC 4724, RFC 9494).
    fn restarts(&self, labels: &NeighborLabels, instance: &InstanceSnapshot, peer: &PeerSnapshot) {
        let names = NeighborLabels::NAMES;
        let (with_family, with_cause) = (extend(names, ["afi", "safi"]), extend(names, ["cause"]));
        let left = |until: Time| until.since(instance.taken.time).as_secs();
        self.counter(
            "bgpd_graceful_restarts_total",
            "Times the session ended and the peer's routes were kept",
            &names,
            &labels.values(),
            peer.counters.restarts_helped,
        );
        self.counter(
            "bgpd_long_lived_restarts_total",
            "Times routes of a family were kept beyond the peer's Restart Time (RFC 9494)",
            &names,
            &labels.values(),
            peer.counters.long_lived,
        );
        for (cause, count) in &peer.counters.stale_swept {
            self.counter(
                "bgpd_stale_routes_removed_total",
                "Stale routes that were removed",
                &with_cause,
                &labels.with([cause]),
                *count,
            );
        }
        for (name, help, until) in [
            ("bgpd_restart_timer_seconds", "Seconds until a peer has to be back", peer.restart_deadline),
            (
                "bgpd_stale_timer_seconds",
                "Seconds until a peer has to have sent its routes again",
                peer.stale_deadline,
            ),
        ] {
            if let Some(until) = until {
                self.gauge(name, help, &names, &labels.values(), left(until));
            }
        }
        for (family, until) in peer.long_lived_deadlines {
            if let Some(until) = until {
                let [afi, safi] = family_labels(family);
                self.gauge(
                    "bgpd_long_lived_timer_seconds",
                    "Seconds until long-lived stale routes of a peer are removed (RFC 9494)",
                    &with_family,
                    &labels.with([afi, safi]),
                    left(until),
                );
            }
        }
        for (family, routes) in &peer.families {
            let [afi, safi] = family_labels(*family);
            self.gauge(
                "bgpd_stale_routes",
                "Routes of the peer that are kept and not yet sent again",
                &with_family,
                &labels.with([afi, safi]),
                routes.stale,
            );
        }
        for (family, millis) in &peer.counters.end_of_rib_millis {
            let [afi, safi] = family_labels(*family);
            self.gauge(
                "bgpd_end_of_rib_milliseconds",
                "From the last start of the session to the peer's End-of-RIB",
                &with_family,
                &labels.with([afi, safi]),
                *millis,
            );
        }
    }

    fn paths(&self, labels: &NeighborLabels, peer: &PeerSnapshot) {
        let names = NeighborLabels::NAMES;
        self.counter(
            "bgpd_paths_refused_total",
            "Paths from the peer that were not taken in because it had too many to one prefix (RFC 7911)",
            &names,
            &labels.values(),
            peer.counters.paths_refused,
        );
        let with_outcome = extend(names, ["outcome"]);
        for (outcome, count) in &peer.counters.refreshes {
            self.counter(
                "bgpd_route_refreshes_total",
                "ROUTE-REFRESHes from the peer (RFC 2918, RFC 7313), by what became of them",
                &with_outcome,
                &labels.with([outcome]),
                *count,
            );
        }
    }

    fn routes(&self, labels: &NeighborLabels, peer: &PeerSnapshot) {
        let with_family = extend(NeighborLabels::NAMES, ["afi", "safi"]);
        let with_reason = extend(NeighborLabels::NAMES, ["afi", "safi", "reason"]);
        for (family, counters) in &peer.families {
            let [afi, safi] = family_labels(*family);
            let values = labels.with([afi, safi]);
            self.gauge(
                "cilium_bgp_control_plane_advertised_routes",
                "Routes advertised to the peer",
                &with_family,
                &values,
                counters.advertised,
            );
            self.gauge(
                "cilium_bgp_control_plane_received_routes",
                "Routes received from the peer",
                &with_family,
                &values,
                counters.received,
            );
            self.gauge(
                "bgpd_accepted_routes",
                "Routes received from the peer that take part in the decision",
                &with_family,
                &values,
                counters.accepted,
            );
            for reason in Ineligible::ALL {
                let count = counters.rejected(reason);
                if count > 0 {
                    self.gauge(
                        "bgpd_rejected_routes",
                        "Routes received from the peer that take no part in the decision",
                        &with_reason,
                        &labels.with([afi, safi, reason.label()]),
                        count,
                    );
                }
            }
        }
    }

    fn messages(&self, labels: &NeighborLabels, peer: &PeerSnapshot) {
        let with_type = extend(NeighborLabels::NAMES, ["direction", "type"]);
        let with_direction = extend(NeighborLabels::NAMES, ["direction"]);
        let with_code = extend(NeighborLabels::NAMES, ["direction", "code", "subcode"]);
        for (direction, messages, notifications) in [
            ("received", &peer.received, &peer.counters.notifications_received),
            ("sent", &peer.sent, &peer.counters.notifications_sent),
        ] {
            for (kind, count) in [
                ("open", messages.opens),
                ("update", messages.updates),
                ("notification", messages.notifications),
                ("keepalive", messages.keepalives),
                ("route-refresh", messages.route_refreshes),
            ] {
                self.counter(
                    "bgpd_messages_total",
                    "BGP messages",
                    &with_type,
                    &labels.with([direction, kind]),
                    count,
                );
            }
            self.counter(
                "bgpd_octets_total",
                "Octets of BGP messages",
                &with_direction,
                &labels.with([direction]),
                messages.octets,
            );
            for ((code, subcode), count) in notifications {
                let (code, subcode) = (code.to_string(), subcode.to_string());
                self.counter(
                    "bgpd_notifications_total",
                    "NOTIFICATIONs by code and subcode",
                    &with_code,
                    &labels.with([direction, &code, &subcode]),
                    *count,
                );
            }
        }
    }

    fn gauge(&self, name: &'static str, help: &'static str, labels: &[&str], values: &[&str], value: u64) {
        let mut gauges = self.gauges.borrow_mut();
        let gauge =
            gauges.entry(name).or_insert_with(|| register(&self.registry, name, help, labels, Gauges::new));
        if let Ok(gauge) = gauge.get_metric_with_label_values(values) {
            gauge.set(value);
        }
    }

    fn counter(&self, name: &'static str, help: &'static str, labels: &[&str], values: &[&str], value: u64) {
        let mut counters = self.counters.borrow_mut();
        let counter = counters
            .entry(name)
            .or_insert_with(|| register(&self.registry, name, help, labels, Counters::new));
        if let Ok(counter) = counter.get_metric_with_label_values(values) {
            counter.inc_by(value);
        }
    }

    fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory cannot fail, and names and labels are checked by the tests.
        let _cannot_fail = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

fn register<T: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    make: impl FnOnce(Opts, &[&str]) -> prometheus::Result<T>,
) -> T {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals of this file, each registered once"
    )]
    let metric = make(Opts::new(name, help), labels).expect("a valid metric name");
    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals of this file, each registered once"
    )]
    registry.register(Box::new(metric.clone())).expect("a metric name is registered once");
    metric
}

fn extend<const N: usize>(names: [&'static str; 4], more: [&'static str; N]) -> Vec<&'static str> {
    names.into_iter().chain(more).collect()
}
