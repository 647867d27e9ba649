//! `rutterctl status`: whether the operator leads, and every node's agent, bgpd and sessions are as they should be.
//!
//! Invariant: what is not known counts as not well.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use rutter_api::cilium::peers::{Peer, SessionState};
use rutter_api::cilium::table::Table;
use serde::{Deserialize, Serialize};

use crate::nodes::{Answers, Nodes, ask, pods};
use crate::reach::Reach;
use crate::{Cli, Format, explain, indent, output};

pub(crate) const OPERATOR_SELECTOR: &str = "app.kubernetes.io/name=rutter-operator";
pub(crate) const OPERATOR_PORT: u64 = 9973;
/// Between two looks while waiting.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Wait until everything is well
    #[arg(long)]
    wait: bool,
    /// How long to wait at most: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::reach::duration, requires = "wait")]
    timeout: Duration,
}

/// The whole answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    well: bool,
    /// What is not, in words.
    problems: Vec<String>,
    operators: Vec<Operator>,
    nodes: Vec<Node>,
}

/// An operator's pod.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Operator {
    node: String,
    identity: String,
    version: String,
    leader: bool,
    counts: Counts,
    /// Nodes that are to run BGP.
    #[serde(skip_serializing)]
    nodes: BTreeSet<String>,
}

/// A node.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node: String,
    version: String,
    /// Whether all objects were read.
    complete: bool,
    /// Whether all of them are understood.
    certain: bool,
    bgpd_reachable: bool,
    intent_pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bgpd_error: Option<String>,
    sessions_up: usize,
    sessions: usize,
    findings: Counts,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    errors: usize,
    warnings: usize,
    infos: usize,
}

/// `/v1/health` of the agent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    version: String,
}

/// `/v1/status` of the agent, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AgentStatus {
    node: String,
    manifests: Option<Source>,
    api_server: Option<Source>,
    counts: Counts,
    bgpd: BgpdState,
}

#[derive(Debug, Deserialize)]
struct Source {
    /// Manifests are always read at once.
    #[serde(default = "yes")]
    complete: bool,
    certain: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BgpdState {
    reachable: bool,
    pending: bool,
    held_back: Option<String>,
    error: Option<String>,
}

const fn yes() -> bool {
    true
}

/// What was heard of the agents, question by question.
struct Heard {
    health: Answers<Health>,
    status: Answers<AgentStatus>,
    peers: Answers<Vec<Peer>>,
}

pub(crate) async fn run(cli: &Cli, options: &Options) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let status = loop {
        let status = look(cli).await;
        let late = !options.wait || started.elapsed() >= options.timeout;
        match status {
            Ok(status) if status.well || late => break status,
            Err(error) if late => return Err(error),
            Ok(_) | Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    };
    let page = match cli.output {
        Format::Json => indent::json(&serde_json::to_string(&status)?),
        Format::Text => text(&status),
    };
    output::print(&page).context("cannot write the answer")?;
    if !status.well {
        let seconds = started.elapsed().as_secs();
        let waited = if options.wait { format!(" after {seconds} s") } else { String::new() };
        bail!("not everything is well{waited}");
    }
    Ok(())
}

async fn look(cli: &Cli) -> anyhow::Result<Status> {
    let mut status = Status::default();
    let heard = match cli.reach(cli.node.as_deref()).await? {
        Reach::Cluster(nodes) => {
            operators(cli, &nodes, &mut status).await?;
            Heard {
                health: nodes.ask_json("/v1/health").await,
                status: nodes.ask_json("/v1/status").await,
                peers: nodes.ask_json("/v1/bgp/peers").await,
            }
        }
        Reach::Socket(_) => of_this_machine(cli).await?,
    };
    of_nodes(heard, &mut status);
    if cli.node.is_none() {
        without_agent(&mut status);
    }
    status.well = status.problems.is_empty();
    Ok(status)
}

async fn of_this_machine(cli: &Cli) -> anyhow::Result<Heard> {
    let agent = explain::agent(cli);
    let status: AgentStatus = agent.get_json("/v1/status").await?;
    let name = status.node.clone();
    let peers = agent.get_json("/v1/bgp/peers").await;
    let peers = peers.map_err(|error| error.to_string());
    let one = |node: &str, health| Answers { heard: vec![(node.to_owned(), health)], unheard: Vec::new() };
    Ok(Heard {
        health: one(&name, agent.get_json("/v1/health").await?),
        peers: match peers {
            Ok(peers) => Answers { heard: vec![(name.clone(), peers)], unheard: Vec::new() },
            Err(why) => Answers { heard: Vec::new(), unheard: vec![(name.clone(), why)] },
        },
        status: Answers { heard: vec![(name, status)], unheard: Vec::new() },
    })
}

async fn operators(cli: &Cli, nodes: &Nodes, status: &mut Status) -> anyhow::Result<()> {
    let options = &cli.cluster;
    let found = pods(&nodes.cluster, &options.namespace, OPERATOR_SELECTOR, OPERATOR_PORT).await?;
    for pod in &found {
        // Replicas may share a node, so each is asked on its own.
        let answers =
            ask(&nodes.cluster, std::slice::from_ref(pod), "/v1/status", options.wait_duration).await;
        for (_, text) in answers.heard {
            let mut operator: Operator = serde_json::from_str(&text).unwrap_or_default();
            operator.node.clone_from(&pod.node);
            if operator.identity.is_empty() {
                operator.identity.clone_from(&pod.name);
            }
            status.operators.push(operator);
        }
        let silent = answers.unheard.iter().map(|(_, why)| format!("operator {}: {}", pod.name, why));
        status.problems.extend(silent);
    }
    let leaders = status.operators.iter().filter(|operator| operator.leader).count();
    if leaders != 1 {
        let all = found.len();
        status.problems.push(format!("{leaders} of {all} operators lead; one should"));
    }
    Ok(())
}

fn of_nodes(heard: Heard, status: &mut Status) {
    for (name, why) in heard.status.unheard {
        status.problems.push(format!("node {name}: {}", why));
    }
    for (name, agent) in heard.status.heard {
        let version = heard.health.heard.iter().find(|(node, _)| *node == name);
        let peers =
            heard.peers.heard.iter().find(|(node, _)| *node == name).map(|(_, peers)| peers.as_slice());
        let source = agent.api_server.or(agent.manifests);
        let (complete, certain) = source.map_or((false, false), |source| (source.complete, source.certain));
        let all = peers.unwrap_or_default();
        let node = Node {
            version: version.map(|(_, health)| health.version.clone()).unwrap_or_default(),
            complete,
            certain,
            bgpd_reachable: agent.bgpd.reachable && peers.is_some(),
            intent_pending: agent.bgpd.pending,
            bgpd_error: agent.bgpd.held_back.or(agent.bgpd.error),
            sessions_up: all.iter().filter(|peer| peer.session_state == SessionState::Established).count(),
            sessions: all.len(),
            findings: agent.counts,
            node: name,
        };
        problems(&node, &mut status.problems);
        status.nodes.push(node);
    }
}

/// A node that is to run BGP and has no agent announces nothing, and nobody else would say so.
fn without_agent(status: &mut Status) {
    let Some(leader) = status.operators.iter().find(|operator| operator.leader) else { return };
    let has_agent = |node: &str| {
        status.nodes.iter().any(|known| known.node == node)
            || status.problems.iter().any(|problem| problem.starts_with(&format!("node {node}: ")))
    };
    let missing: Vec<String> = leader
        .nodes
        .iter()
        .filter(|node| !has_agent(node))
        .map(|node| format!("node {node}: it has a CiliumBGPNodeConfig and no pod of the agent"))
        .collect();
    status.problems.extend(missing);
}

fn problems(node: &Node, problems: &mut Vec<String>) {
    let mut add = |what: String| problems.push(format!("node {}: {what}", node.node));
    if !node.complete {
        add("the agent has not read all objects yet".to_owned());
    } else if !node.certain {
        add("the agent does not understand all objects; /v1/status says which".to_owned());
    }
    if !node.bgpd_reachable {
        add("bgpd does not answer the agent".to_owned());
    } else if node.intent_pending {
        add("bgpd does not have the newest intent".to_owned());
    }
    if let Some(error) = &node.bgpd_error {
        add(error.clone());
    }
    if node.sessions_up < node.sessions {
        add(format!("{} of {} sessions are established", node.sessions_up, node.sessions));
    }
    if node.findings.errors > 0 {
        add(format!("{} findings are errors; explain node {} says more", node.findings.errors, node.node));
    }
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    if !status.operators.is_empty() {
        let mut table = Table::new(["Operator", "Node", "Version", "Role", "Errors", "Warnings"]);
        for operator in &status.operators {
            table.push([
                operator.identity.clone(),
                operator.node.clone(),
                operator.version.clone(),
                if operator.leader { "leader" } else { "standby" }.to_owned(),
                operator.counts.errors.to_string(),
                operator.counts.warnings.to_string(),
            ]);
        }
        out.push_str(&table.render());
        out.push('\n');
    }
    let mut table = Table::new([
        "Node", "Version", "Objects", "bgpd", "Intent", "Sessions", "Errors", "Warnings", "Infos",
    ]);
    for node in &status.nodes {
        let word = |good: bool, yes: &str, no: &str| if good { yes.to_owned() } else { no.to_owned() };
        table.push([
            node.node.clone(),
            node.version.clone(),
            if node.complete { word(node.certain, "read", "in doubt") } else { "reading".to_owned() },
            word(node.bgpd_reachable, "up", "unreachable"),
            word(node.intent_pending, "pending", "taken"),
            format!("{}/{}", node.sessions_up, node.sessions),
            node.findings.errors.to_string(),
            node.findings.warnings.to_string(),
            node.findings.infos.to_string(),
        ]);
    }
    out.push_str(&table.render());
    if !status.problems.is_empty() {
        out.push_str("\nNot well:\n");
        status.problems.iter().for_each(|problem| out.push_str(&format!("  {problem}\n")));
    }
    out
}
