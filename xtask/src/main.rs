//! `cargo xtask`: everything about this project that is more than one cargo command. Each word says what it does before
//! it does it, installs what it needs, and cleans up after itself.

mod deps;
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
    /// Run every test: format, lints, units, properties, oracles, simulation, fuzz builds, real FRR, BIRD and GoBGP.
    Test(test::Args),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Test(args) => test::run(&args),
    }
}
