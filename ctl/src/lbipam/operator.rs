//! The operator that leads: its settings, and what it remembers of addresses.
//!
//! Invariant: who has what is never asked here, only what the objects cannot say; without an operator the answers are
//! computed from the defaults, and it is said so.

use std::time::Duration;

use k8s_sync::cluster::Cluster;
use lbipam::Settings;
use lbipam::settings::DefaultIpam;
use serde::Deserialize;

use super::Source;
use crate::nodes::{Pod, ask, pods};
use crate::reach::ClusterOptions;
use crate::status::{OPERATOR_PORT, OPERATOR_SELECTOR};

/// Longest wait for the operator: the answer does not depend on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// An operator that leads.
pub(super) struct Operator {
    cluster: Cluster,
    pod: Pod,
    settings: Said,
}

/// `/v1/lbipam`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    leader: bool,
    settings: Said,
}

/// The operator's flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    default_lb_service_ipam: Option<String>,
    bgp_class: Option<bool>,
    l2_class: Option<bool>,
    node_ipam: Option<bool>,
    ipv4: Option<bool>,
    ipv6: Option<bool>,
    grace_seconds: Option<i64>,
    reservation_grace_limit_seconds: Option<i64>,
    safe_shrink: Option<bool>,
    refuse_cluster_ranges: Option<bool>,
    forecast_days: Option<u32>,
}

/// `/v1/lbipam/history/ADDRESS`.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct History {
    /// Since when it is kept.
    pub(super) since: Option<jiff::Timestamp>,
    /// The newest first.
    pub(super) entries: Vec<Entry>,
}

/// Something that happened to an address.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entry {
    pub(super) at: Option<jiff::Timestamp>,
    pub(super) service: String,
    pub(super) what: String,
}

impl Operator {
    /// Asks every operator's pod, and takes the one that leads.
    pub(super) async fn find(cluster: &Cluster, options: &ClusterOptions) -> Result<Self, String> {
        let namespace = &options.namespace;
        let found = pods(cluster, namespace, OPERATOR_SELECTOR, OPERATOR_PORT).await;
        let found = found.map_err(|error| format!("{error:#}"))?;
        if found.is_empty() {
            return Err(format!(
                "no pod with labels {OPERATOR_SELECTOR} in namespace {namespace}; --namespace NAME says otherwise"
            ));
        }
        let mut why = "none of them leads".to_owned();
        for pod in found {
            match get(cluster, &pod, "/v1/lbipam").await {
                Ok(answer) => {
                    let Answer { leader, settings } = serde_json::from_str(&answer).unwrap_or_default();
                    if leader {
                        return Ok(Self { cluster: cluster.clone(), pod, settings });
                    }
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// What it remembers of an address.
    pub(super) async fn history(&self, address: std::net::IpAddr) -> Result<History, String> {
        let path = format!("/v1/lbipam/history/{}", rutter_api::client::path_segment(&address.to_string()));
        let answer = get(&self.cluster, &self.pod, &path).await?;
        serde_json::from_str(&answer)
            .map_err(|error| format!("its answer has another shape ({error}); are both of the same version?"))
    }
}

async fn get(cluster: &Cluster, pod: &Pod, target: &str) -> Result<String, String> {
    let mut answers = ask(cluster, std::slice::from_ref(pod), target, PATIENCE).await;
    match (answers.heard.pop(), answers.unheard.pop()) {
        (Some((_, text)), _) => Ok(text),
        (None, Some((_, why))) => Err(why),
        (None, None) => Err("it was not asked".to_owned()),
    }
}

impl Source {
    /// The settings: what the command line says, else the operator, else the defaults.
    pub(super) fn settings(&self, operator: Option<&Operator>) -> Settings {
        let said = operator.map(|operator| operator.settings.clone()).unwrap_or_default();
        let default = Settings::default();
        let word = said.default_lb_service_ipam.as_deref();
        let default_ipam =
            word.and_then(|word| super::default_ipam(word).ok()).unwrap_or(DefaultIpam::LbIpam);
        Settings {
            default_ipam: self.default_lb_service_ipam.unwrap_or(default_ipam),
            bgp_class: said.bgp_class.unwrap_or(default.bgp_class),
            l2_class: said.l2_class.unwrap_or(default.l2_class),
            node_ipam: said.node_ipam.unwrap_or(default.node_ipam),
            ipv4: self.enable_ipv4.or(said.ipv4).unwrap_or(default.ipv4),
            ipv6: self.enable_ipv6.or(said.ipv6).unwrap_or(default.ipv6),
            grace: said.grace_seconds.map_or(default.grace, jiff::SignedDuration::from_secs),
            reservation_grace_limit: said
                .reservation_grace_limit_seconds
                .map_or(default.reservation_grace_limit, jiff::SignedDuration::from_secs),
            safe_shrink: said.safe_shrink.unwrap_or(default.safe_shrink),
            refuse_cluster_ranges: said.refuse_cluster_ranges.unwrap_or(default.refuse_cluster_ranges),
            forecast_days: said.forecast_days.or(default.forecast_days),
        }
    }
}
