//! `rutterctl lbipam plan`: what would be different, and for whom, if these objects were applied.
//!
//! Invariant: both sides of the comparison are run until nothing is left to write, so that what the operator has still to do
//! anyway is not blamed on the change.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use lbipam::world::{Effect, Move, World};
use serde::Serialize;

use super::objects::{Objects, read_files};
use super::{Source, text};
use crate::{Cli, Format, indent, output};

/// Somebody would lose an address.
const MOVES: u8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// Pools and Services as they would be: a file of YAML or JSON, a directory of them, or `-` for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required_unless_present = "delete")]
    file: Vec<PathBuf>,
    /// A pool that would be deleted
    #[arg(long, value_name = "POOL")]
    delete: Vec<String>,
    #[command(flatten)]
    source: Source,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// Whether anybody loses an address.
    moves: bool,
    changes: Vec<String>,
    services: Vec<Move>,
    /// How many Services stay as they are.
    unchanged: usize,
}

pub(crate) async fn run(cli: &Cli, question: &Question) -> anyhow::Result<ExitCode> {
    let supposed = read_files(&question.file)?;
    let objects = Objects::read(cli, &question.source, &supposed).await?;
    let mut before = objects.world.clone();
    before.settle();
    let mut after = before.clone();
    let mut changes = Vec::new();
    for name in &question.delete {
        if !after.remove_pool(name) {
            let known: Vec<&str> = before.pools().filter_map(|pool| pool.metadata.name.as_deref()).collect();
            bail!("there is no pool {name:?} to delete in {}; there is: {}", objects.place, known.join(", "));
        }
        changes.push(format!("pool {name} deleted"));
    }
    for (name, pool) in &*supposed.lb_pools {
        let was = before.pools().find(|was| was.metadata.name.as_ref() == Some(name));
        changes.push(match was {
            Some(was) if was.spec == pool.spec && was.metadata.annotations == pool.metadata.annotations => {
                format!("pool {name} as it is")
            }
            Some(_) => format!("pool {name} changed"),
            None => format!("pool {name} new"),
        });
        after.suppose_pool(pool);
    }
    for (name, reservation) in &*supposed.lb_reservations {
        let what = if after.suppose_reservation(reservation) { "changed" } else { "new" };
        changes.push(format!("reservation {name} {what}"));
    }
    for service in supposed.services.values().filter_map(|service| service.ipam.as_ref()) {
        let what = if before.service(&service.key).is_some() { "changed" } else { "new" };
        changes.push(format!("Service {} {what}", service.key));
        after.suppose_service(service);
    }
    if changes.is_empty() {
        bail!(
            "there is no CiliumLoadBalancerIPPool, no LoadBalancerIPReservation and no Service of type LoadBalancer in what was given"
        );
    }
    let answer = compare(&before, after, changes);
    let page = match cli.output {
        Format::Json => indent::json(&serde_json::to_string(&answer)?),
        Format::Text => {
            let changes = answer.changes.join(", ");
            format!("With {changes}:\n\n{}", text::moves(&answer.services, answer.unchanged))
        }
    };
    output::print(&page).context("cannot write the answer")?;
    Ok(if answer.moves { ExitCode::from(MOVES) } else { ExitCode::SUCCESS })
}

fn compare(before: &World, mut after: World, changes: Vec<String>) -> Answer {
    let causes = after.settle();
    let services = World::compare(before, &after, causes);
    let moves = services.iter().any(|one| matches!(one.effect, Effect::Released | Effect::Moved));
    let unchanged = after.services().count() - services.len();
    Answer { moves, changes, services, unchanged }
}
