//! `cargo xtask demo`: the main job, end to end, on this machine: Cilium's YAML in, routes on a real FRR out; from a folder of
//! manifests, or with `--kubernetes` from a real API server.
//!
//! Invariant: whatever ends the demo (its end, an error, Ctrl-C, a kill), no namespace, process or file stays, unless
//! `--stay` asked for it; then `--down` removes them.

mod narrate;
mod respond;
mod source;
mod stage;
mod story;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use rutter_lab::Lab;

use crate::{deps, kubernetes, run};

/// Start of the names of the demo's namespaces: `rutter-demo-router` and so on.
const NAME: &str = "rutter-demo";

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// With a real Kubernetes API server and rutter-operator instead of a folder of manifests.
    #[arg(long, conflicts_with = "down")]
    kubernetes: bool,
    /// Leave everything running at the end, and print what to try.
    #[arg(long, conflicts_with = "down")]
    stay: bool,
    /// Remove what an earlier `--stay` left running.
    #[arg(long)]
    down: bool,
    /// Use the programs in target/debug as they are.
    #[arg(long)]
    no_build: bool,
}

/// Arguments of the small HTTP responder that stands in for a pod behind the VIP.
#[derive(ClapArgs)]
pub(crate) struct RespondArgs {
    /// What to answer: the node's name.
    name: String,
    /// Where to listen.
    listen: SocketAddr,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.down {
        return down();
    }
    deps::ensure(&[&deps::IPROUTE2, &deps::FRR, &deps::CURL])?;
    if args.kubernetes {
        kubernetes::obtain()?;
    }
    if !args.no_build {
        println!(
            "Building bgpd, rutter-agent, rutter-operator and rutterctl (the first build takes a few minutes)."
        );
        let packages = ["bgpd", "rutter-agent", "rutter-operator", "rutterctl"].map(|name| ["-p", name]);
        run::run(run::cargo().args(["build", "--quiet"]).args(packages.as_flattened()))?;
    }
    if !run::is_root() {
        return again_as_root(args);
    }
    // The commands that are shown name files of the checkout.
    std::env::set_current_dir(run::root())?;
    let begun = Instant::now();
    let narrator = narrate::Narrator::new();
    let stage = stage::Stage::build(NAME, &folder(), args.kubernetes, &narrator)?;
    match story::tell(&stage, &narrator) {
        Ok(()) => {}
        Err(error) => {
            eprintln!("{}", stage.logs());
            return Err(error);
        }
    }
    println!("\nThat took {:.0} s.", begun.elapsed().as_secs_f64());
    if args.stay {
        stage.leave_running();
        story::print_what_to_try(NAME, &folder(), args.kubernetes);
    } else {
        drop(stage);
        println!("Everything the demo made is gone again. `cargo xtask demo --stay` leaves it running.");
    }
    Ok(())
}

pub(crate) fn respond(args: &RespondArgs) -> Result<()> {
    respond::serve(&args.name, args.listen)
}

fn down() -> Result<()> {
    if !run::is_root() {
        let exe = std::env::current_exe()?;
        return run::run(run::as_root(exe).args(["demo", "--down"]));
    }
    if Lab::demolish(NAME, &folder()) {
        println!("The demo is gone: its namespaces, processes and files.");
    } else {
        println!("There is no demo running.");
    }
    Ok(())
}

/// Network namespaces need root: the same program again through sudo, which replaces this process.
fn again_as_root(args: &Args) -> Result<()> {
    println!("Network namespaces need root: going on with sudo.");
    let mut command = run::as_root(std::env::current_exe()?);
    command.env("RUTTER_BIN_DIR", run::target_dir("debug")).args(["demo", "--no-build"]);
    for (asked, option) in [(args.stay, "--stay"), (args.kubernetes, "--kubernetes")] {
        if asked {
            command.arg(option);
        }
    }
    Err(command.exec()).context("starting sudo")
}

/// Where the demo keeps its manifests, sockets and logs while it runs.
fn folder() -> PathBuf {
    std::env::temp_dir().join(NAME)
}
