//! `rutterctl clear ...`, `neighbor ...` and `no ...`: telling sessions what to do.
//!
//! Invariant: which words are understood and what is asked for is decided by the table of orders in `rutter-api` alone.

use anyhow::{Context, bail};
use rutter_api::client::{Client, path_segment};
use rutter_api::operate::{Ordered as Order, parse};
use rutter_api::show::ordered::Ordered;

use crate::{Cli, Format, output};

pub(crate) async fn run(cli: &Cli, client: &Client, first: &str, words: &[String]) -> anyhow::Result<()> {
    let line: Vec<&str> = std::iter::once(first).chain(words.iter().map(String::as_str)).collect();
    let ordered = parse(&line)?;
    let instance = cli.instance.as_deref();
    if let Some(neighbor) = &ordered.neighbor {
        tell(client, &ordered, neighbor, instance).await?;
        return print(cli, &[(neighbor.clone(), Ok(()))], &ordered);
    }
    let query = instance.map_or_else(String::new, |name| format!("?instance={}", path_segment(name)));
    let neighbors: Ordered<serde::de::IgnoredAny> =
        client.get_json(&format!("/v1/show/bgp/neighbors{query}")).await?;
    let mut outcomes = Vec::new();
    for (neighbor, _) in neighbors.iter() {
        // One that cannot be told must not keep the others from being told.
        let outcome = tell(client, &ordered, neighbor, instance).await;
        outcomes.push((neighbor.to_owned(), outcome.map_err(|error| format!("{error:#}"))));
    }
    print(cli, &outcomes, &ordered)?;
    if !outcomes.is_empty() && outcomes.iter().all(|(_, outcome)| outcome.is_err()) {
        bail!("no neighbor could be told");
    }
    Ok(())
}

async fn tell(
    client: &Client,
    ordered: &Order,
    neighbor: &str,
    instance: Option<&str>,
) -> anyhow::Result<()> {
    for target in ordered.targets(neighbor, instance) {
        client.post(&target).await?;
    }
    Ok(())
}

fn print(cli: &Cli, outcomes: &[(String, Result<(), String>)], ordered: &Order) -> anyhow::Result<()> {
    let text = match cli.output {
        Format::Text => {
            let line = |(neighbor, outcome): &(String, Result<(), String>)| match outcome {
                Ok(()) => format!("{neighbor}: {}\n", ordered.done()),
                Err(error) => format!("{neighbor}: not done: {error}\n"),
            };
            outcomes.iter().map(line).collect()
        }
        Format::Json => {
            let rows: serde_json::Map<String, serde_json::Value> = outcomes
                .iter()
                .map(|(neighbor, outcome)| {
                    let row = match outcome {
                        Ok(()) => serde_json::json!({"done": ordered.done()}),
                        Err(error) => serde_json::json!({"error": error}),
                    };
                    (neighbor.clone(), row)
                })
                .collect();
            crate::indent::json(&serde_json::to_string(&rows)?)
        }
    };
    output::print(&text).context("cannot write the answer")
}
