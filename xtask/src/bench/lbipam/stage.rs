//! The stage: a control plane, pools, and one operator beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rutter_lab::kube::ControlPlane;
use rutter_lab::{Operator, wait_for};
use serde_json::{Value, json};

use crate::run;

/// Where Services are.
pub(super) const SERVICES: &str = "/api/v1/namespaces/default/services";
/// Where pools are.
const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";

/// Everything that runs.
pub(super) struct Stage {
    pub(super) operator: Operator,
    pub(super) cluster: ControlPlane,
}

/// Requests of an operator so far, by verb and resource.
pub(super) type Requests = BTreeMap<(String, String), u64>;

impl Stage {
    /// With so many pools of 256 addresses.
    pub(super) fn new(pools: u32) -> Result<Self> {
        let cluster = ControlPlane::start("bench-lbipam", &[])?;
        let root = run::root();
        for kind in ["ciliumnodes.yaml", "ciliumpodippools.yaml"] {
            cluster.install_crds(&root.join("k8s-sync/crds/tests/data").join(kind))?;
        }
        cluster.install_crds(&root.join("deploy/crds"))?;
        for number in 0..pools {
            let blocks = json!([{"cidr": format!("198.18.{number}.0/24")}]);
            cluster.write(&json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
                "metadata": {"name": format!("pool-{number:03}")}, "spec": {"blocks": blocks},
            }))?;
        }
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let listen = "127.0.0.1:9973".parse()?;
        let operator = cluster.host().operator("operator", listen, &["--kubeconfig", &kubeconfig])?;
        let stage = Self { operator, cluster };
        wait_for(Duration::from_secs(60), "the operator to lead", || {
            let now = stage.lbipam()?;
            let pools_read = now["counts"]["pools"] == pools;
            ensure!(now["leader"] == true && pools_read, "{}", now["counts"]);
            Ok(())
        })?;
        Ok(stage)
    }

    /// What runs here, in which version.
    pub(super) fn versions(&self) -> Result<String> {
        let version = self.cluster.request("GET", "/version", None)?.json()?;
        Ok(format!("kube-apiserver {}", version["gitVersion"].as_str().unwrap_or("of unknown version")))
    }

    /// What the operator says of LB IPAM.
    pub(super) fn lbipam(&self) -> Result<Value> {
        self.operator.get("/v1/lbipam")
    }

    /// What the operator says of itself.
    pub(super) fn status(&self) -> Result<Value> {
        self.operator.get("/v1/status")
    }

    /// All objects of ours in a list.
    fn list(&self, target: &str) -> Result<Vec<Value>> {
        let mut list = self.cluster.request("GET", target, None)?.json()?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            other => Err(anyhow!("GET {target}: {other}")),
        }
    }

    /// How many Services of ours there are.
    pub(super) fn count(&self) -> Result<u32> {
        Ok(u32::try_from(self.list(&format!("{SERVICES}?labelSelector=bench%3Dgiven"))?.len())?)
    }

    /// Waits until so many Services have addresses, and the operator has nothing left to write.
    pub(super) fn until_settled(&self, services: u32, patience: Duration) -> Result<()> {
        wait_for(patience, &format!("{services} Services with addresses"), || {
            let now = self.lbipam()?;
            let number = |name: &str| now["counts"][name].as_u64().unwrap_or_default();
            let done = number("addresses") >= u64::from(services) && number("writing") == 0;
            ensure!(done && number("unsatisfied") == 0, "{}", now["counts"]);
            Ok(())
        })
    }

    /// The version of each Service and pool.
    pub(super) fn versions_of_all(&self) -> Result<BTreeMap<String, String>> {
        let all = self.list(SERVICES)?.into_iter().chain(self.list(POOLS)?);
        let version = |object: Value| {
            let text = |key: &str| object["metadata"][key].as_str().map(str::to_owned);
            Some((text("uid")?, text("resourceVersion")?))
        };
        Ok(all.filter_map(version).collect())
    }

    /// How many of them have another version now.
    pub(super) fn changed_since(&self, before: &BTreeMap<String, String>) -> Result<usize> {
        let now = self.versions_of_all()?;
        Ok(now.iter().filter(|(uid, version)| before.get(*uid) != Some(*version)).count())
    }

    /// The version that a list of Services would have now, to watch from.
    pub(super) fn resource_version(&self) -> Result<String> {
        let list = self.cluster.request("GET", &format!("{SERVICES}?limit=1"), None)?.json()?;
        list["metadata"]["resourceVersion"].as_str().map(str::to_owned).context("a list without a version")
    }
}

/// A Service that is to get an address.
pub(super) fn service(number: u32) -> Value {
    let mut service = probe(number);
    service["metadata"] = json!({
        "name": format!("service-{number}"),
        "labels": {"app.kubernetes.io/name": format!("service-{number}"), "bench": "given"},
        "annotations": {"example.com/owner": "the team that runs it"},
    });
    if let Some(spec) = service["spec"].as_object_mut() {
        spec.remove("loadBalancerClass");
    }
    service
}

/// A Service that is nobody's.
pub(super) fn probe(number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("probe-{number}")},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "example.com/nobody",
            // There are not enough ports on a node for so many.
            "allocateLoadBalancerNodePorts": false,
            "selector": {"app.kubernetes.io/name": format!("service-{number}")},
            "ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}],
        },
    })
}

/// Requests by verb and resource, out of the operator's status.
pub(super) fn requests(status: Value) -> Requests {
    let all = status["apiServer"]["requests"].as_array().cloned().unwrap_or_default();
    let mut requests = Requests::new();
    for request in all {
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let count = request["count"].as_u64().unwrap_or_default();
        *requests.entry((text("verb"), text("resource"))).or_default() += count;
    }
    requests
}

/// All that are not about the Lease.
pub(super) fn listed(requests: &Requests) -> String {
    let mut text = String::new();
    for ((verb, resource), count) in requests {
        if resource != "leases" && *count > 0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let _never_fails = write!(text, "{separator}{count} {verb} {resource}");
        }
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

/// Those that came in between.
pub(super) fn difference(before: &Requests, after: &Requests) -> String {
    let since = |(key, count): (&(String, String), &u64)| {
        (key.clone(), count - before.get(key).copied().unwrap_or_default().min(*count))
    };
    listed(&after.iter().map(since).collect())
}
