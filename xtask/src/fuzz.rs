//! `cargo xtask fuzz`: every fuzz target for a while, with coverage. Needs a nightly toolchain; cargo-fuzz is installed
//! when it is missing. A finding stays in the target's `artifacts` folder and ends the run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;

use crate::run;

/// Crates that have fuzz targets; each fuzz folder is a workspace of its own.
pub(crate) const FOLDERS: [&str; 2] = ["bgpd/wire/fuzz", "bgpd/core/fuzz"];

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only targets with this text in their name.
    #[arg(long, default_value = "")]
    only: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if run::cargo().args(["fuzz", "--version"]).output().map_or(true, |output| !output.status.success()) {
        println!("cargo-fuzz is missing and is installed now.");
        run::run(run::cargo().args(["install", "--locked", "cargo-fuzz"]))?;
    }
    for folder in FOLDERS {
        let fuzz = run::root().join(folder);
        for target in targets(&fuzz)?.iter().filter(|target| target.contains(&args.only)) {
            println!("\n== {folder}: {target}, {} s", args.seconds);
            let limit = format!("-max_total_time={}", args.seconds);
            // The rustup proxy, not this toolchain's cargo: `+nightly` is its word.
            let mut command = std::process::Command::new("cargo");
            command.current_dir(&fuzz).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
            command.args([
                "+nightly",
                "fuzz",
                "run",
                target,
                "--",
                &limit,
                "-rss_limit_mb=4096",
                "-print_final_stats=1",
            ]);
            run::run(&mut command)?;
        }
    }
    Ok(())
}

/// Names of the targets: one file each in `fuzz_targets`.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let folder = fuzz.join("fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(Result::ok)
        .filter_map(|entry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}
