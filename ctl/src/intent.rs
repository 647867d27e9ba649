//! `rutterctl intent ...`: what bgpd was told to do, and telling it.
//!
//! Invariant: a file is checked here with the same rules as in bgpd, so a mistake is reported with its field before
//! anything is sent.

use std::io::Read;

use anyhow::Context;
use rutter_api::cilium::table::Table;
use rutter_api::client::Client;
use rutter_api::control::{Applied, IntentSummary};
use rutter_api::intent::Intent;
use rutter_api::show::text::uptime;

use crate::{Format, indent, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Who told bgpd to do how much
    List,
    /// What one owner wants, as JSON; passwords are masked
    Get {
        /// The owner's name: `kubernetes`, `file`, ...
        owner: String,
    },
    /// Replace all that one owner wants
    Put {
        /// The owner's name; not `file`, which is bgpd's configuration file, nor another program's
        owner: String,
        /// YAML or JSON with `instances:`, as in bgpd's configuration file; `-` reads standard input
        file: String,
    },
    /// Drop all that one owner wants: its sessions close, its routes are withdrawn
    Delete {
        /// The owner's name
        owner: String,
    },
}

pub(crate) async fn run(client: &Client, command: &Command, format: Format) -> anyhow::Result<()> {
    let answer = match command {
        Command::List => match format {
            Format::Json => indent::json(&client.get_text("/v1/intents").await?),
            Format::Text => list(&client.intents().await?),
        },
        Command::Get { owner } => {
            let path = format!("/v1/intents/{}", rutter_api::client::path_segment(owner));
            indent::json(&client.get_text(&path).await?)
        }
        Command::Put { owner, file } => applied(&client.put_intent(owner, &read(file)?).await?, format)?,
        Command::Delete { owner } => applied(&client.delete_intent(owner).await?, format)?,
    };
    output::print(&answer).context("cannot write the answer")
}

fn read(file: &str) -> anyhow::Result<Intent> {
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
    };
    let intent: Intent = serde_saphyr::from_str(&text).with_context(|| format!("{file} is no intent"))?;
    intent.validate().with_context(|| format!("{file} cannot be applied"))?;
    Ok(intent)
}

fn list(intents: &[IntentSummary]) -> String {
    let mut table = Table::new(["Owner", "Instances", "Peers", "Routes", "Age", "Kept for"]);
    for intent in intents {
        table.push([
            intent.owner.clone(),
            intent.instances.to_string(),
            intent.peers.to_string(),
            intent.routes.to_string(),
            uptime(intent.age_seconds),
            intent.hold_seconds.map_or_else(|| "ever".to_owned(), |seconds| format!("{seconds} s")),
        ]);
    }
    table.render()
}

fn applied(applied: &Applied, format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return Ok(indent::json(&serde_json::to_string(applied)?));
    }
    let mut text = String::new();
    for change in &applied.changes {
        text.push_str(&format!("{change}\n"));
    }
    if applied.changes.is_empty() {
        text.push_str("nothing had to change\n");
    }
    for conflict in &applied.conflicts {
        text.push_str(&format!("not in force: {conflict}\n"));
    }
    Ok(text)
}
