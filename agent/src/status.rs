//! What the agent tells about itself: the JSON of `/v1/status`, and the shared values it is made of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_sync::cluster::{Cluster, Reflection, RequestCount};
use k8s_sync::conditions::ObjectConditions;
use k8s_sync::manifests::FileStatus;
use k8s_sync::report::{Report, Severity};
use rutter_api::control::{Applied, Conflict};
use rutter_api::intent::Intent;
use serde::Serialize;

use crate::pipeline::Outcome;
use crate::source::Origin;

/// A value that one task writes and others read whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published<T>(Arc<Mutex<T>>);

impl<T> Published<T> {
    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How things are between us and bgpd.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BgpdState {
    /// Whether bgpd answered the last time it was asked.
    pub(crate) reachable: bool,
    /// Whether bgpd does not have the newest intent.
    pub(crate) pending: bool,
    /// Why the newest intent is not even offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_back: Option<String>,
    /// What went wrong last, until it is right again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How many intents bgpd took from this process.
    pub(crate) puts: u64,
    /// The last intent that bgpd took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_applied: Option<LastApplied>,
}

/// An intent that bgpd took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastApplied {
    /// When.
    pub(crate) time: Timestamp,
    /// Its size.
    #[serde(flatten)]
    pub(crate) size: Size,
    /// What it changed.
    pub(crate) changes: Vec<String>,
    /// What of it is not in force because another owner came first.
    pub(crate) conflicts: Vec<Conflict>,
}

/// Size of an intent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    pub(crate) instances: usize,
    pub(crate) peers: usize,
    pub(crate) routes: usize,
}

impl Size {
    pub(crate) fn of(intent: &Intent) -> Self {
        Self {
            instances: intent.instances.len(),
            peers: intent.instances.iter().map(|instance| instance.peers.len()).sum(),
            routes: intent.instances.iter().map(|instance| instance.routes.len()).sum(),
        }
    }
}

impl LastApplied {
    pub(crate) fn now(intent: &Intent, applied: &Applied) -> Self {
        Self {
            time: Timestamp::now(),
            size: Size::of(intent),
            changes: applied.changes.iter().map(ToString::to_string).collect(),
            conflicts: applied.conflicts.clone(),
        }
    }
}

/// The answer to `GET /v1/status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status<'s> {
    node: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<ManifestStatus<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_server: Option<ApiServerStatus<'s>>,
    /// How many findings there are of each severity.
    counts: Counts,
    findings: &'s Report,
    conditions: &'s [ObjectConditions],
    /// Size of the newest intent.
    intent: Size,
    bgpd: BgpdState,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestStatus<'s> {
    directory: &'s std::path::Path,
    /// Whether everything the files mean is known.
    certain: bool,
    files: &'s [FileStatus],
    /// Pools that addresses of Services are given out of.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pools: &'s [lbipam::PoolView],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiServerStatus<'s> {
    server: &'s str,
    /// Whether everything was read once.
    complete: bool,
    /// Whether nothing is unknown that is needed.
    certain: bool,
    /// Objects held, by kind.
    objects: BTreeMap<&'static str, usize>,
    /// How often a watch had to begin again, by kind.
    watch_restarts: BTreeMap<&'static str, u64>,
    requests: Vec<Requests>,
}

/// Requests made of the API server.
#[derive(Debug, Serialize)]
struct Requests {
    verb: &'static str,
    resource: String,
    code: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Counts {
    errors: usize,
    warnings: usize,
    infos: usize,
}

impl<'s> Status<'s> {
    pub(crate) fn new(node: &'s str, origin: &'s Origin, outcome: &'s Outcome, bgpd: BgpdState) -> Self {
        let report = &outcome.report;
        let manifests = origin.directory().map(|directory| ManifestStatus {
            directory,
            certain: outcome.certain,
            files: &outcome.files,
            pools: &outcome.pools,
        });
        let api_server = match origin {
            Origin::Manifests(_) => None,
            Origin::ApiServer(cluster, reflection) => Some(ApiServerStatus::new(cluster, reflection)),
        };
        Self {
            node,
            manifests,
            api_server,
            counts: Counts {
                errors: report.count(Severity::Error),
                warnings: report.count(Severity::Warning),
                infos: report.count(Severity::Info),
            },
            findings: report,
            conditions: &outcome.conditions,
            intent: Size::of(&outcome.intent),
            bgpd,
        }
    }
}

impl<'s> ApiServerStatus<'s> {
    fn new(cluster: &'s Cluster, reflection: &Reflection) -> Self {
        let request = |count: RequestCount| Requests {
            verb: count.verb,
            resource: count.resource,
            code: count.code,
            count: count.count,
        };
        Self {
            server: cluster.server(),
            complete: reflection.is_ready(),
            certain: reflection.is_certain(),
            objects: reflection.objects().into_iter().collect(),
            watch_restarts: reflection.restarts().into_iter().collect(),
            requests: cluster.requests().into_iter().map(request).collect(),
        }
    }
}
