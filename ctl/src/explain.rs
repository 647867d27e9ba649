//! `rutterctl explain service|node|prefix ...`: from the object to the octets on the wire, or the link where it ends.
//!
//! Three sources, one answer: this machine's agent, the agents of a cluster, or a directory of manifests with nobody asked
//! at all. Invariant: nothing is decided here; with manifests the agent's own code runs in this process.

use std::path::{Path, PathBuf};

use ::lbipam::Settings;
use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::explain::{NotFound, explain};
use k8s_sync::manifests::Directory;
use k8s_sync::report::Severity;
use k8s_sync::translate::{LocalNode, node_configs};
use rutter_api::client::{Client, ClientError, path_segment};
use rutter_api::explain::chain::NodeFacts;
use rutter_api::explain::{BgpdAnswer, Explanation, Outcome, Subject, text};

use crate::lbipam::allocated;
use crate::nodes::Answers;
use crate::reach::Reach;
use crate::{Cli, Format, indent, output};

/// What to explain, and from what.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// `service`, `node` or `prefix`
    kind: String,
    /// NAMESPACE/NAME of a Service, name of a node, or a prefix such as 10.0.0.0/24
    name: String,
    /// Explain what a directory of manifests leads to; nobody is asked
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
}

pub(crate) async fn run(cli: &Cli, question: &Question) -> anyhow::Result<()> {
    let subject = Subject::parse(&question.kind, &question.name)?;
    let named = match &subject {
        Subject::Node { name } => Some(name.as_str()),
        Subject::Service { .. } | Subject::Prefix { .. } => cli.node.as_deref(),
    };
    let answers = match &question.manifests {
        Some(directory) => offline(directory, &subject, named)?,
        None => ask(cli, &subject, named).await?,
    };
    if answers.heard.is_empty() {
        let reasons: std::collections::BTreeSet<&str> =
            answers.unheard.iter().map(|(_, why)| why.as_str()).collect();
        // Every node has the same objects: what one of them does not know, it need not say for each.
        bail!("{}", reasons.into_iter().collect::<Vec<_>>().join("\n"));
    }
    let explanations: Vec<Explanation> = answers.heard.iter().map(|(_, one)| one.clone()).collect();
    let page = match cli.output {
        Format::Json => indent::json(&serde_json::to_string(&explanations)?),
        Format::Text => text::many(&explanations, &answers.unheard),
    };
    output::print(&page).context("cannot write the answer")?;
    answers.complain()
}

async fn ask(cli: &Cli, subject: &Subject, node: Option<&str>) -> anyhow::Result<Answers<Explanation>> {
    match cli.reach(node).await? {
        Reach::Cluster(nodes) => Ok(nodes.ask_json(&subject.path()).await),
        Reach::Socket(bgpd) => {
            let explanation = match (agent(cli).get_json(&subject.path()).await, subject) {
                // A plain router has no agent, and its routes can be explained all the same.
                (Err(ClientError::Unreachable { .. }), Subject::Prefix { prefix }) => {
                    of_plain_router(&bgpd, subject, *prefix).await?
                }
                (answer, _) => answer?,
            };
            Ok(Answers { heard: vec![(explanation.node.clone(), explanation)], unheard: Vec::new() })
        }
    }
}

/// What bgpd alone knows about a prefix.
async fn of_plain_router(
    bgpd: &Client,
    subject: &Subject,
    prefix: ipnet::IpNet,
) -> anyhow::Result<Explanation> {
    let target = format!("/v1/explain/bgp/prefix/{}", path_segment(&prefix.to_string()));
    let explanation = Explanation {
        node: "of this machine, without an agent".to_owned(),
        subject: subject.clone(),
        outcome: Outcome::default(),
        services: Vec::new(),
        node_facts: NodeFacts::default(),
        instances: Vec::new(),
        bgpd: BgpdAnswer::NotAsked { why: String::new() },
    };
    let prefixes = vec![bgpd.get_json(&target).await?];
    Ok(explanation.with_bgpd(BgpdAnswer::Asked { prefixes, sessions: Vec::new(), intent_pending: false }))
}

/// The agent of this machine.
pub(crate) fn agent(cli: &Cli) -> Client {
    Client::new(&cli.agent_socket)
        .server("rutter-agent")
        .hint("use --agent-socket PATH, or --all-nodes to ask a cluster")
}

/// What the manifests lead to on each node, as an agent there would translate them.
fn offline(directory: &Path, subject: &Subject, node: Option<&str>) -> anyhow::Result<Answers<Explanation>> {
    let mut manifests = Directory::new(directory);
    manifests.refresh(Timestamp::now());
    let mut report = manifests.report().clone();
    report.locate(|object, field| manifests.locate(object, field));
    for finding in report.iter().filter(|finding| finding.severity() == Severity::Error) {
        eprintln!("{}: {finding}", finding.reason.name());
    }
    // Addresses of Services are given as the agent gives them.
    let snapshot = allocated(directory, &manifests, Settings::default()).snapshot();
    let options = Options::default();
    let plan = node_configs(&snapshot, &options);
    let mut answers = Answers { heard: Vec::new(), unheard: Vec::new() };
    for name in snapshot.node_names().into_iter().filter(|name| node.is_none_or(|node| node == *name)) {
        let config = plan.node_config(name).map(AsRef::as_ref);
        match explain(&snapshot, config, &LocalNode::named(name), &options, subject) {
            Ok(explanation) => {
                let why = "not asked: this is what the manifests say. The node's own interfaces and default routes are not known here";
                let explanation = explanation.with_bgpd(BgpdAnswer::NotAsked { why: why.to_owned() });
                answers.heard.push((name.to_owned(), explanation));
            }
            Err(not_found @ (NotFound::Service(_) | NotFound::Node { .. })) => {
                answers.unheard.push((name.to_owned(), not_found.to_string()));
            }
        }
    }
    if answers.heard.is_empty() && answers.unheard.is_empty() {
        let known: Vec<&str> = snapshot.node_names().into_iter().collect();
        let place = directory.display();
        match node {
            Some(node) => bail!("{place} has no Node {node:?}; it has: {}", known.join(", ")),
            None => bail!("{place} has no Node, so there is nothing to explain"),
        }
    }
    Ok(answers)
}
