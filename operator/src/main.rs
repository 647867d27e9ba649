//! rutter-operator: the cluster-wide half of the controller.
//!
//! In this release it only plans: `plan` prints what it would write for a directory of manifests. From manifests the
//! agent takes the operator's step itself, so no operator needs to run.

mod plan;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The cluster-wide half of the controller: from CiliumBGPClusterConfigs to one CiliumBGPNodeConfig per node.
///
/// This release has no connection to an API server: it does not watch a cluster and writes nothing anywhere. It can only
/// show, with `plan`, what it would write. With manifests no operator has to run: each rutter-agent does this step itself.
#[derive(Debug, Parser)]
#[command(name = "rutter-operator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CiliumBGPNodeConfigs and conditions that a directory of manifests leads to.
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// YAML documents.
    Yaml,
    /// One JSON list.
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Plan(args) = Cli::parse().command;
    let namespace = (!args.bgp_secrets_namespace.is_empty()).then_some(args.bgp_secrets_namespace);
    let plan = plan::plan(&args.manifests, namespace)?;
    let mut errors = std::io::stderr().lock();
    write!(errors, "{}", plan.report)?;
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Yaml => out.write_all(plan.to_yaml()?.as_bytes())?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&plan.objects)?)?,
    }
    Ok(if plan.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
