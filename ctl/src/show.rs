//! `rutterctl show ...` and `rutterctl bgp ...`: words in, answer out.
//!
//! Invariant: which words are understood and what is asked for is decided by the table in `rutter-api` alone. This file
//! only knows that commands under `bgp` answer with Cilium's models, which a node's name may be added to.

use anyhow::Context;
use rutter_api::cilium::{peers, policies, routes};
use rutter_api::client::Client;
use rutter_api::show::command::{Request, Show, parse};
use serde_json::value::RawValue;

use crate::{Cli, Format, indent, output};

pub(crate) async fn run(cli: &Cli, client: &Client, first: &str, words: &[String]) -> anyhow::Result<()> {
    let line: Vec<&str> = std::iter::once(first).chain(words.iter().map(String::as_str)).collect();
    let request = parse(&line)?;
    let format = if request.json { Format::Json } else { cli.output };
    let instance = cli.instance.as_deref();
    let answer = match (request.command.show, format) {
        (Show::CiliumPeers | Show::CiliumRoutes | Show::CiliumPolicies, format) => {
            let json = client.get_text(&request.target("json", instance)).await?;
            match format {
                Format::Json => with_node(json, cli.node.as_deref())?,
                Format::Text => table(&request, &json, cli.node.as_deref())?,
            }
        }
        (_, Format::Json) => indent::json(&client.get_text(&request.target("json", instance)).await?),
        (_, Format::Text) => client.get_text(&request.target("text", instance)).await?,
    };
    output::print(&answer).context("cannot write the answer")
}

/// Cilium's command-line tool asks many nodes and answers by node; so does this one if it knows the node's name.
fn with_node(json: String, node: Option<&str>) -> anyhow::Result<String> {
    let Some(node) = node else {
        return Ok(indent::json(&json));
    };
    let list = RawValue::from_string(json).context("bgpd's answer is no JSON")?;
    let by_node = std::collections::BTreeMap::from([(node, list)]);
    Ok(indent::json(&serde_json::to_string(&by_node)?))
}

fn table(request: &Request, json: &str, node: Option<&str>) -> anyhow::Result<String> {
    const MISMATCH: &str = "bgpd's answer has another shape; are both of the same version?";
    Ok(match request.command.show {
        Show::CiliumPeers => {
            let mut list: Vec<peers::Peer> = serde_json::from_str(json).context(MISMATCH)?;
            peers::sort(&mut list);
            peers::to_text(&list, node)
        }
        Show::CiliumRoutes => {
            let list: Vec<routes::Route> = serde_json::from_str(json).context(MISMATCH)?;
            let table = request.value("table").unwrap_or("available");
            if request.value("table").is_none() || request.value("family").is_none() {
                let family = request.value("family").unwrap_or("ipv4");
                eprintln!("(showing {table} {family} unicast; say otherwise with: bgp routes TABLE FAMILY)");
            }
            routes::to_text(&list, table != "available", node)
        }
        _ => policies::to_text(&serde_json::from_str::<Vec<_>>(json).context(MISMATCH)?, node),
    })
}
