//! rutter-operator: the cluster-wide half of the controller.
//!
//! `run` keeps a cluster: one CiliumBGPNodeConfig per selected node, and the conditions of what people wrote. `plan` prints
//! what it would write for a directory of manifests, for which the agents take this step themselves.
//!
//! ```text
//! Reflection ──► Snapshot ──► node_configs() (pure) ──► changes() (pure) ──► write(), if the fence lets it
//!                                                                                  ▲
//! Lease ──► kube_lease ──► Leadership::token() ────────────────────────────────────┘
//! ```

mod api;
mod args;
mod candidate;
mod changes;
mod controller;
mod lbipam;
mod metrics;
mod ownership;
mod plan;
mod retries;
mod run;
mod status;
mod write;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The cluster-wide half of the controller: from CiliumBGPClusterConfigs to one CiliumBGPNodeConfig per node.
///
/// Several can run; one leads by a Lease, the others stand by with everything already read. With a directory of manifests
/// none has to run: each rutter-agent takes this step itself.
#[derive(Debug, Parser)]
#[command(name = "rutter-operator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the CiliumBGPNodeConfigs and conditions of a cluster.
    Run(Box<args::RunArgs>),
    /// Print the CiliumBGPNodeConfigs, addresses of Services and conditions that a directory of manifests leads to.
    ///
    /// Findings go to standard error, one per line, with the errors and warnings that the nodes' agents would report. The exit
    /// code is 1 if one of them is an error, 0 otherwise.
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// Directory of manifests.
    #[arg(long, value_name = "DIR")]
    manifests: PathBuf,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
    /// Namespace of the Secrets with BGP passwords. Empty: CiliumBGPPeerConfigs get no conditions.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    bgp_secrets_namespace: String,
    #[command(flatten)]
    lbipam: lbipam::args::LbIpamArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// YAML documents.
    Yaml,
    /// One JSON list.
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = match Cli::parse().command {
        Command::Run(args) => return run::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Plan(args) => args,
    };
    let namespace = (!args.bgp_secrets_namespace.is_empty()).then_some(args.bgp_secrets_namespace);
    let plan = plan::plan(&args.manifests, namespace, args.lbipam.allocation())?;
    let mut errors = std::io::stderr().lock();
    write!(errors, "{}", plan.report)?;
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Yaml => out.write_all(plan.to_yaml()?.as_bytes())?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&plan.objects)?)?,
    }
    Ok(if plan.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
