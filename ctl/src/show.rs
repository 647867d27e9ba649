//! `rutterctl show ...` and `rutterctl bgp ...`: words in, answer out, from one bgpd or from every node of a cluster.
//!
//! Invariant: which words are understood and what is asked for is decided by the table in `rutter-api` alone. This file
//! only knows that commands under `bgp` answer with Cilium's models, which a node's name may be added to.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use rutter_api::cilium::{peers, policies, routes};
use rutter_api::client::Client;
use rutter_api::show::command::{Request, Show, parse};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::nodes::{Answers, Nodes};
use crate::reach::Reach;
use crate::{Cli, Format, indent, output};

/// How peers are printed: the sessions, or what was said in the OPENs.
#[derive(Clone, Copy)]
struct PeerTable {
    of_one: fn(&[peers::Peer], Option<&str>) -> String,
    of_nodes: fn(&[PeersOfNode]) -> String,
}

/// A node's name and its peers.
type PeersOfNode = (String, Vec<peers::Peer>);

const SESSIONS: PeerTable = PeerTable { of_one: peers::to_text, of_nodes: peers::of_nodes };
const CAPABILITIES: PeerTable =
    PeerTable { of_one: peers::capabilities_to_text, of_nodes: peers::capabilities_of_nodes };

pub(crate) async fn run(cli: &Cli, first: &str, words: &[String], capabilities: bool) -> anyhow::Result<()> {
    let line: Vec<&str> = std::iter::once(first).chain(words.iter().map(String::as_str)).collect();
    let request = parse(&line)?;
    if capabilities && request.command.show != Show::CiliumPeers {
        bail!("--capabilities goes with `bgp peers` only");
    }
    let as_table = if capabilities { CAPABILITIES } else { SESSIONS };
    let format = if request.json { Format::Json } else { cli.output };
    match cli.reach(cli.node.as_deref()).await? {
        Reach::Socket(client) => one(cli, &client, &request, format, as_table).await,
        Reach::Cluster(nodes) => many(cli, &nodes, &request, format, as_table).await,
    }
}

async fn one(
    cli: &Cli,
    client: &Client,
    request: &Request,
    format: Format,
    as_table: PeerTable,
) -> anyhow::Result<()> {
    let instance = cli.instance.as_deref();
    let answer = match (request.command.show, format) {
        (Show::CiliumPeers | Show::CiliumRoutes | Show::CiliumPolicies, format) => {
            let json = client.get_text(&request.target("json", instance)).await?;
            match format {
                Format::Json => with_node(json, cli.node.as_deref())?,
                Format::Text => table(request, &json, cli.node.as_deref(), as_table)?,
            }
        }
        (_, Format::Json) => indent::json(&client.get_text(&request.target("json", instance)).await?),
        (_, Format::Text) => client.get_text(&request.target("text", instance)).await?,
    };
    output::print(&answer).context("cannot write the answer")
}

/// Every node's answer: one table in Cilium's words, one after the other in FRR's.
async fn many(
    cli: &Cli,
    nodes: &Nodes,
    request: &Request,
    format: Format,
    as_table: PeerTable,
) -> anyhow::Result<()> {
    let instance = cli.instance.as_deref();
    let json = request.target("json", instance);
    match (request.command.show, format) {
        (_, Format::Json) => {
            let answers: Answers<Box<RawValue>> = nodes.ask_json(&json).await;
            let by_node: BTreeMap<&str, &RawValue> =
                answers.heard.iter().map(|(node, value)| (node.as_str(), &**value)).collect();
            print(&answers, &indent::json(&serde_json::to_string(&by_node)?))
        }
        (Show::CiliumPeers, Format::Text) => {
            let mut answers: Answers<Vec<peers::Peer>> = nodes.ask_json(&json).await;
            answers.heard.iter_mut().for_each(|(_, list)| peers::sort(list));
            print(&answers, &(as_table.of_nodes)(&answers.heard))
        }
        (Show::CiliumRoutes, Format::Text) => {
            let answers = nodes.ask_json(&json).await;
            let with_peer = note_defaults(request) != "available";
            print(&answers, &routes::of_nodes(&answers.heard, with_peer))
        }
        (Show::CiliumPolicies, Format::Text) => {
            let answers = nodes.ask_json(&json).await;
            print(&answers, &policies::of_nodes(&answers.heard))
        }
        (_, Format::Text) => {
            let answers = nodes.ask(&request.target("text", instance)).await;
            let named = cli.node.is_none();
            let page = |(node, text): &(String, String)| {
                if named { format!("Node {node}:\n{text}\n") } else { text.clone() }
            };
            print(&answers, &answers.heard.iter().map(page).collect::<String>())
        }
    }
}

/// Prints what there is, and names the nodes that are missing in it.
fn print<T>(answers: &Answers<T>, text: &str) -> anyhow::Result<()> {
    if !answers.heard.is_empty() {
        output::print(text).context("cannot write the answer")?;
    }
    answers.complain()
}

/// Cilium's command-line tool asks many nodes and answers by node; so does this one if it knows the node's name.
fn with_node(json: String, node: Option<&str>) -> anyhow::Result<String> {
    let Some(node) = node else {
        return Ok(indent::json(&json));
    };
    let list = RawValue::from_string(json).context("bgpd's answer is no JSON")?;
    let by_node = BTreeMap::from([(node, list)]);
    Ok(indent::json(&serde_json::to_string(&by_node)?))
}

fn table(request: &Request, json: &str, node: Option<&str>, as_table: PeerTable) -> anyhow::Result<String> {
    Ok(match request.command.show {
        Show::CiliumPeers => {
            let mut list: Vec<peers::Peer> = read(json)?;
            peers::sort(&mut list);
            (as_table.of_one)(&list, node)
        }
        Show::CiliumRoutes => {
            let with_peer = note_defaults(request) != "available";
            routes::to_text(&read::<Vec<routes::Route>>(json)?, with_peer, node)
        }
        _ => policies::to_text(&read::<Vec<_>>(json)?, node),
    })
}

fn read<T: DeserializeOwned>(json: &str) -> anyhow::Result<T> {
    serde_json::from_str(json).context("bgpd's answer has another shape; are both of the same version?")
}

/// The table of routes that is asked for; says so where it was left to us.
fn note_defaults(request: &Request) -> &str {
    let table = request.value("table").unwrap_or("available");
    if request.value("table").is_none() || request.value("family").is_none() {
        let family = request.value("family").unwrap_or("ipv4");
        eprintln!("(showing {table} {family} unicast; say otherwise with: bgp routes TABLE FAMILY)");
    }
    table
}
