//! From a Kubernetes API server to FRR: how long a Service takes, what a cold start on ten thousand of them costs, what
//! idling costs, and what a flood of changes does. A real kube-apiserver and etcd, one node, FRR and a raw BGP peer.
//!
//! Every time is taken in this process: when the request was sent, when a watch of kubectl's saw the object, when the
//! UPDATE with the prefix came in at the raw peer, and when the kernel behind FRR had the route.

mod latency;
mod scale;
mod stage;

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use self::stage::Stage;
use crate::run;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// What is measured, in this order: latency, cold, idle, flood.
    #[arg(long, value_delimiter = ',', default_value = "latency,cold,idle,flood")]
    only: Vec<String>,
    /// Services that are created one by one.
    #[arg(long, default_value_t = 1_000)]
    services: u32,
    /// So many of them per second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Services of the cold start, with two endpoints each.
    #[arg(long, default_value_t = 10_000)]
    cold_services: u32,
    /// Write the node's configuration by hand instead of running an operator.
    #[arg(long)]
    without_operator: bool,
    /// Seconds of idling.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Changes of the flood.
    #[arg(long, default_value_t = 10_000)]
    changes: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if std::env::var_os("RUTTER_BIN_DIR").is_none() {
        // The lab looks there for bgpd and the others; the agent says there how long each step took.
        let mut again = std::process::Command::new(std::env::current_exe()?);
        again
            .args(std::env::args_os().skip(1))
            .env("RUTTER_BIN_DIR", run::target_dir("release"))
            .env("RUST_LOG", "warn,rutter_agent::follow=debug");
        return run::run(&mut again);
    }
    let mut stage = Stage::new(!args.without_operator)?;
    println!("one node with {} beside FRR and a raw peer", stage.versions()?);
    for what in &args.only {
        match what.as_str() {
            "latency" => latency::measure(&mut stage, args.services, args.rate)?,
            "cold" => scale::cold_start(&mut stage, args.cold_services)?,
            "idle" => scale::idle(&stage, args.idle_seconds)?,
            "flood" => scale::flood(&stage, args.changes)?,
            other => bail!("there is no {other}; there are latency, cold, idle and flood"),
        }
    }
    Ok(())
}
