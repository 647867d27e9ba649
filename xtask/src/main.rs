//! `cargo xtask`: everything about this project that is more than one cargo command. Each word says what it does before
//! it does it, installs what it needs, and cleans up after itself.

mod bench;
mod crds;
mod demo;
mod deps;
mod fuzz;
mod kubernetes;
mod run;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// rutter's own tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, beside real peers.
    Bench(bench::Args),
    /// Write deploy/crds, the CustomResourceDefinitions to install, from the Rust types.
    Crds,
    /// Real peering with a real FRR, from Cilium's YAML, on this machine; narrated, and cleaned up afterwards.
    Demo(demo::Args),
    /// Run each fuzz target for a while (nightly toolchain).
    Fuzz(fuzz::Args),
    #[command(hide = true, name = "demo-respond")]
    DemoRespond(demo::RespondArgs),
    /// Get kube-apiserver, etcd, kubectl and kube-controller-manager for the tests and the demo: built once by Go, or your own.
    Kubernetes,
    /// Run every test: format, lints, units, properties, oracles, simulation, fuzz builds, real FRR, BIRD, GoBGP and Kubernetes.
    Test(test::Args),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Crds => crds::write(),
        Command::Demo(args) => demo::run(&args),
        Command::DemoRespond(args) => demo::respond(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Kubernetes => kubernetes::obtain(),
        Command::Test(args) => test::run(&args),
    }
}
