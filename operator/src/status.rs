//! What the operator thinks, for `/v1/status` and `/metrics`: one value, put together when somebody asks.

use std::sync::Arc;

use k8s_sync::cluster::{Cluster, Reflection, RequestCount};
use k8s_sync::report::{Report, Severity};
use kube_lease::Leadership;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::lbipam::View;

/// What the last pass found, for those who ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// How many passes there were.
    pub(crate) passes: u64,
    /// What the plan says about the objects.
    pub(crate) findings: Report,
    /// Changes that cannot be made: object, failures so far, why.
    pub(crate) failing: Vec<(String, u32, String)>,
}

/// Where the parts come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) identity: String,
    pub(crate) cluster: Cluster,
    pub(crate) reflection: Arc<Reflection>,
    pub(crate) leadership: Leadership,
    pub(crate) passed: watch::Receiver<Passed>,
    pub(crate) addresses: View,
}

/// Everything at one moment.
pub(crate) struct Status {
    identity: String,
    pub(crate) leader: bool,
    token: Option<String>,
    pub(crate) holder: Option<String>,
    lease_failure: Option<String>,
    complete: bool,
    certain: bool,
    passes: u64,
    pub(crate) findings: Report,
    pub(crate) failing: Vec<(String, u32, String)>,
    pub(crate) objects: Vec<(&'static str, usize)>,
    pub(crate) watch_restarts: Vec<(&'static str, u64)>,
    pub(crate) requests: Vec<RequestCount>,
    /// Nodes that are to run BGP: those with a CiliumBGPNodeConfig.
    nodes: Vec<String>,
    /// Counts of LB IPAM.
    addresses: Value,
}

impl Sources {
    pub(crate) fn status(&self) -> Status {
        let standing = self.leadership.standing();
        let token = standing.token();
        let passed = self.passed.borrow().clone();
        let mut findings = self.reflection.report();
        findings.merge(passed.findings);
        Status {
            identity: self.identity.clone(),
            leader: token.is_some(),
            token: token.map(|token| token.to_string()),
            holder: standing.holder,
            lease_failure: standing.failure,
            complete: self.reflection.is_ready(),
            certain: self.reflection.is_certain(),
            passes: passed.passes,
            findings,
            failing: passed.failing,
            objects: self.reflection.objects(),
            watch_restarts: self.reflection.restarts(),
            requests: self.cluster.requests(),
            nodes: self.reflection.snapshot().node_configs.keys().cloned().collect(),
            addresses: self.addresses.counts(),
        }
    }
}

impl Status {
    pub(crate) fn to_json(&self) -> Value {
        let failing: Vec<Value> = self
            .failing
            .iter()
            .map(|(object, failures, error)| json!({"object": object, "failures": failures, "error": error}))
            .collect();
        let by_kind = |list: &[(&'static str, u64)]| -> Value {
            list.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect()
        };
        let objects: Vec<(&'static str, u64)> =
            self.objects.iter().map(|(kind, count)| (*kind, *count as u64)).collect();
        let requests: Vec<Value> = self
            .requests
            .iter()
            .map(|r| json!({"verb": r.verb, "resource": r.resource, "code": r.code, "count": r.count}))
            .collect();
        json!({
            "identity": self.identity,
            "version": env!("CARGO_PKG_VERSION"),
            "leader": self.leader,
            "lease": {"holder": self.holder, "token": self.token, "failure": self.lease_failure},
            "passes": self.passes,
            "counts": {
                "errors": self.findings.count(Severity::Error),
                "warnings": self.findings.count(Severity::Warning),
                "infos": self.findings.count(Severity::Info),
            },
            "findings": self.findings,
            "failing": failing,
            "nodes": self.nodes,
            "lbipam": self.addresses,
            "apiServer": {
                "complete": self.complete,
                "certain": self.certain,
                "objects": by_kind(&objects),
                "watchRestarts": by_kind(&self.watch_restarts),
                "requests": requests,
            },
        })
    }
}
