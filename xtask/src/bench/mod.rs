//! `cargo xtask bench`: figures, not verdicts. Each program prints what it measured beside what real peers need for the
//! same work in the same run.

mod configs;
mod hostile;
mod idle;
mod kubernetes;
mod lbipam;
mod process;
mod relay;
mod restarts;
mod seen;
mod writers;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use crate::{deps, run};

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Use what is in target/release as it is.
    #[arg(long, global = true)]
    no_build: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A table from BIRD through bgpd, BIRD, FRR and GoBGP in turn to FRR: CPU seconds and peak memory of the relay.
    Relay(relay::Args),
    /// Restarts of bgpd beside FRR, BIRD and GoBGP: session events, lost pings, End-of-RIB, pauses.
    Restarts(restarts::Args),
    /// Neighbours that flood, drip, never read and never stop calling, all at once: how late KEEPALIVEs to the others leave.
    Hostile(hostile::Args),
    /// Memory of sessions that have nothing to say.
    Idle(idle::Args),
    /// From a real API server to FRR: latency of a Service, cold start, idling, a flood of changes.
    Kubernetes(kubernetes::Args),
    /// LB IPAM on a real API server: adoption of ten thousand Services, latency from a Service to its address.
    Lbipam(lbipam::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    deps::ensure_peers()?;
    if !args.no_build {
        let mut packages = vec!["build", "--quiet", "--release", "-p", "bgpd"];
        if matches!(args.what, What::Kubernetes(_)) {
            packages.extend(["-p", "rutter-agent"]);
        }
        if matches!(args.what, What::Kubernetes(_) | What::Lbipam(_)) {
            packages.extend(["-p", "rutter-operator"]);
        }
        run::run(run::cargo().args(packages))?;
    }
    if !run::is_root() {
        let own = std::env::current_exe()?;
        let words = std::env::args().skip(1).chain(["--no-build".to_owned()]);
        return run::run(run::as_root(own).args(words));
    }
    match &args.what {
        What::Relay(args) => relay::run(args),
        What::Restarts(args) => restarts::run(args),
        What::Hostile(args) => hostile::run(args),
        What::Idle(args) => idle::run(args),
        What::Kubernetes(args) => kubernetes::run(args),
        What::Lbipam(args) => lbipam::run(args),
    }
}
