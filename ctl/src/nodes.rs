//! The agents of a cluster, asked through the API server's pod proxy, all at once.
//!
//! Who may do that is RBAC's business (`get` on `pods/proxy`); where the pods are, the API server knows. Invariant: a node
//! that does not answer costs the others nothing, and is named.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_sync::cluster::{Address, Cluster};
use rutter_api::client::path_segment;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::reach::{ClusterOptions, connection};

/// Port of the agent's API where its pod does not name one `http`.
const AGENT_PORT: u64 = 9972;
/// Nodes that are asked at the same time.
const AT_ONCE: usize = 64;

/// The agents.
pub(crate) struct Nodes {
    pub(crate) cluster: Cluster,
    agents: Vec<Pod>,
    patience: Duration,
}

/// A pod with an API.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) node: String,
    pub(crate) name: String,
    namespace: String,
    port: u64,
    phase: String,
}

/// What nodes answered: those that did, and those that did not with why.
pub(crate) struct Answers<T> {
    pub(crate) heard: Vec<(String, T)>,
    pub(crate) unheard: Vec<(String, String)>,
}

impl Nodes {
    /// Lists the agents' pods; only that of `node`, if one is named.
    pub(crate) async fn find(options: &ClusterOptions, node: Option<&str>) -> anyhow::Result<Self> {
        let cluster = Cluster::connect(&connection(options)).await?;
        let (namespace, selector) = (&options.namespace, &options.agent_pod_selector);
        let mut agents = pods(&cluster, namespace, selector, AGENT_PORT).await?;
        if agents.is_empty() {
            bail!(
                "no agent is found: there is no pod with labels {selector} in namespace {namespace}; say otherwise with --agent-pod-selector and --namespace"
            );
        }
        if let Some(node) = node {
            let known: Vec<String> = agents.iter().map(|agent| agent.node.clone()).collect();
            agents.retain(|agent| agent.node == node);
            if agents.is_empty() {
                bail!("node {node:?} has no agent; nodes that have one: {}", known.join(", "));
            }
        }
        Ok(Self { cluster, agents, patience: options.wait_duration })
    }

    /// `GET` from every agent.
    pub(crate) async fn ask(&self, target: &str) -> Answers<String> {
        ask(&self.cluster, &self.agents, target, self.patience).await
    }

    /// The same, read as JSON.
    pub(crate) async fn ask_json<T: DeserializeOwned>(&self, target: &str) -> Answers<T> {
        let Answers { heard, mut unheard } = self.ask(target).await;
        let mut read = Vec::new();
        for (node, text) in heard {
            match serde_json::from_str(&text) {
                Ok(value) => read.push((node, value)),
                Err(error) => {
                    let why =
                        format!("its answer has another shape ({error}); are both of the same version?");
                    unheard.push((node, why));
                }
            }
        }
        Answers { heard: read, unheard }
    }
}

/// The pods with these labels, by node.
pub(crate) async fn pods(
    cluster: &Cluster,
    namespace: &str,
    selector: &str,
    port: u64,
) -> anyhow::Result<Vec<Pod>> {
    let query = format!("labelSelector={}", path_segment(selector));
    let address = Address::core("pods").namespace(namespace);
    let found = cluster.list(&address, &query).await.with_context(|| {
        format!(
            "cannot find the pods of rutter in namespace {namespace}; it takes the right to list pods there"
        )
    })?;
    let mut pods: Vec<Pod> = found.iter().filter_map(|pod| Pod::read(pod, namespace, port)).collect();
    // While a DaemonSet is rolled out the old pod and the new one share the node: the one that runs counts.
    pods.sort_by(|a, b| {
        (&a.node, a.phase != "Running", &a.name).cmp(&(&b.node, b.phase != "Running", &b.name))
    });
    Ok(pods)
}

/// `GET` from every pod, the first of each node.
pub(crate) async fn ask(
    cluster: &Cluster,
    pods: &[Pod],
    target: &str,
    patience: Duration,
) -> Answers<String> {
    let gate = std::sync::Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut by_node: BTreeMap<&str, &Pod> = BTreeMap::new();
    for pod in pods {
        by_node.entry(&pod.node).or_insert(pod);
    }
    for (node, pod) in by_node {
        let (cluster, gate, pod) = (cluster.clone(), std::sync::Arc::clone(&gate), pod.clone());
        let (node, target) = (node.to_owned(), target.to_owned());
        tasks.spawn(async move {
            let answer = tokio::time::timeout(patience, async {
                let _permit = gate.acquire().await;
                pod.get(&cluster, &target).await
            });
            let late = || format!("no answer within {} s", patience.as_secs_f32());
            (node, answer.await.unwrap_or_else(|_elapsed| Err(late())))
        });
    }
    let mut answers = Answers { heard: Vec::new(), unheard: Vec::new() };
    for (node, answer) in tasks.join_all().await {
        match answer {
            Ok(text) => answers.heard.push((node, text)),
            Err(why) => answers.unheard.push((node, why)),
        }
    }
    answers.heard.sort_by(|a, b| a.0.cmp(&b.0));
    answers.unheard.sort_by(|a, b| a.0.cmp(&b.0));
    answers
}

impl Pod {
    fn read(pod: &Value, namespace: &str, default: u64) -> Option<Self> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        let ports =
            containers.into_iter().flatten().filter_map(|container| container["ports"].as_array()).flatten();
        let named =
            ports.filter(|port| port["name"] == "http").find_map(|port| port["containerPort"].as_u64());
        Some(Self {
            node: text("/spec/nodeName")?,
            name: text("/metadata/name")?,
            namespace: namespace.to_owned(),
            port: named.unwrap_or(default),
            phase: text("/status/phase").unwrap_or_default(),
        })
    }

    async fn get(&self, cluster: &Cluster, target: &str) -> Result<String, String> {
        let Self { name, namespace, port, .. } = self;
        let path = format!("/api/v1/namespaces/{namespace}/pods/http:{name}:{port}/proxy{target}");
        let answer = cluster.get_raw("pods/proxy", &path).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if (200..300).contains(&answer.status) {
            return Ok(text);
        }
        Err(refusal(&text, answer.status, name))
    }
}

/// What a refusal says: the API server's `message`, or the `error` of ours.
fn refusal(text: &str, status: u16, pod: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let said = ["error", "message"].into_iter().find_map(|key| body[key].as_str());
    match said {
        Some(said) if body["kind"] == "Status" => format!("pod {pod}: {said} ({status})"),
        Some(said) => said.to_owned(),
        None if text.trim_start().starts_with('%') => text.trim().to_owned(),
        None => format!("pod {pod} answers {status}: {}", text.trim()),
    }
}

impl<T> Answers<T> {
    /// Names those that did not answer on standard error. An error if there are any, so that the exit status says so.
    pub(crate) fn complain(&self) -> anyhow::Result<()> {
        for (node, why) in &self.unheard {
            eprintln!("node {node}: {}", why);
        }
        if self.unheard.is_empty() {
            return Ok(());
        }
        let all = self.heard.len() + self.unheard.len();
        bail!("{} of {all} nodes did not answer", self.unheard.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_says_where_its_api_is() {
        let mut pod = json!({"metadata": {"name": "agent-x"}, "spec": {"nodeName": "w1", "containers": [
            {"name": "bgpd"}, {"name": "agent", "ports": [{"name": "metrics", "containerPort": 1}, {"name": "http", "containerPort": 4242}]}]}});
        let read = Pod::read(&pod, "rutter-system", AGENT_PORT).expect("a pod");
        assert_eq!((read.node.as_str(), read.port), ("w1", 4242));
        pod["spec"]["containers"] = json!([]);
        assert_eq!(Pod::read(&pod, "rutter-system", AGENT_PORT).expect("a pod").port, 9972);
        pod["spec"]["nodeName"] = Value::Null;
        assert!(Pod::read(&pod, "rutter-system", AGENT_PORT).is_none(), "it is not scheduled yet");
    }

    #[test]
    fn refusals_of_both_sides() {
        let server = r#"{"kind":"Status","message":"error trying to reach service: dial tcp: refused"}"#;
        assert_eq!(
            refusal(server, 503, "a"),
            "pod a: error trying to reach service: dial tcp: refused (503)"
        );
        assert_eq!(refusal(r#"{"error":"there is no Service x/y"}"#, 404, "a"), "there is no Service x/y");
        assert_eq!(refusal("<html>", 500, "a"), "pod a answers 500: <html>");
    }
}
