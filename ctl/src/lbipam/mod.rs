//! `rutterctl lbipam explain|plan|show`: which address a Service gets and why, what a change would move, and who has what.
//!
//! The objects come from an API server, with one LIST per kind, or from a directory of manifests; what is made of them is
//! decided by the allocator itself, in a copy. Invariant: nothing is decided here, and nothing is written anywhere.

mod explain;
mod objects;
mod operator;
mod plan;
mod show;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use lbipam::settings::DefaultIpam;

pub(crate) use objects::allocated;

use crate::Cli;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Which address a Service has or gets, what each pool says to it, and what comes out
    #[command(after_help = EXPLAIN)]
    Explain(explain::Question),
    /// Who would move, lose its address or be served if pools or Services were changed
    #[command(after_help = PLAN)]
    Plan(plan::Question),
    /// Pools and how full they are; addresses and who has them; Services; or one address with its history
    #[command(after_help = SHOW)]
    Show(show::Question),
}

const EXPLAIN: &str = "\
Examples:
  rutterctl lbipam explain shop/web              each pool: does it match, why not, what would it give
  rutterctl lbipam explain web -n shop           the same
  rutterctl lbipam explain -f service.yaml       a Service that does not exist yet, or as it would be after a change
  rutterctl lbipam explain --manifests DIR web   from files; no cluster is asked

It takes the rights to list services and ciliumloadbalancerippools, and writes nothing.";

const PLAN: &str = "\
Examples:
  rutterctl lbipam plan -f pool.yaml             what would be different with this pool
  rutterctl lbipam plan -f pools/ -f web.yaml    with all these objects together
  kubectl get ippool a -o yaml | sed s/24/25/ | rutterctl lbipam plan -f -
  rutterctl lbipam plan --delete old -f new.yaml a rename

Exit status: 0 nobody loses an address, 3 somebody does (listed as moved or released), 1 no answer, 2 not understood.";

const SHOW: &str = "\
Examples:
  rutterctl lbipam show               pools, and how full they are by family
  rutterctl lbipam show addresses     every address that is given, with who has it
  rutterctl lbipam show services      every Service that LB IPAM serves, with its condition
  rutterctl lbipam show reservations  addresses that are kept for a Service, also while it is gone
  rutterctl lbipam show 172.16.1.1    who has it, which pool it is of, who had it

History is kept by the operator that leads; it is asked through the API server's pod proxy (get on pods/proxy).";

/// Where the objects come from, and what is decided for the whole cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    /// Read a directory of manifests instead of a cluster
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Who serves Services without a class: lbipam, nodeipam or none. Default: as the operator says, else lbipam
    #[arg(long, value_name = "WHO", value_parser = default_ipam)]
    default_lb_service_ipam: Option<DefaultIpam>,
    /// Whether the cluster has IPv4. Default: as the operator says, else true
    #[arg(long, value_name = "BOOL")]
    enable_ipv4: Option<bool>,
    /// Whether the cluster has IPv6. Default: as the operator says, else true
    #[arg(long, value_name = "BOOL")]
    enable_ipv6: Option<bool>,
}

fn default_ipam(word: &str) -> Result<DefaultIpam, String> {
    match word {
        "lbipam" => Ok(DefaultIpam::LbIpam),
        "nodeipam" => Ok(DefaultIpam::NodeIpam),
        "none" => Ok(DefaultIpam::None),
        _ => Err("write lbipam, nodeipam or none".to_owned()),
    }
}

/// Words that mean nothing here; the exit status says so.
#[derive(Debug)]
pub(crate) struct Misunderstood(String);

impl std::fmt::Display for Misunderstood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misunderstood {}

pub(crate) async fn run(cli: &Cli, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Explain(question) => explain::run(cli, question).await.map(|()| ExitCode::SUCCESS),
        Command::Plan(question) => plan::run(cli, question).await,
        Command::Show(question) => show::run(cli, question).await.map(|()| ExitCode::SUCCESS),
    }
}
