//! `cargo xtask test`: every rung of the ladder, cheapest first, so that a failure shows early. One failed step ends the
//! run; at the end each step's time is printed.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::{deps, fuzz, kubernetes, run};

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Leave out the tests that need root and real daemons (FRR, BIRD, GoBGP, kube-apiserver).
    #[arg(long)]
    no_interop: bool,
    /// Seeds of the simulation.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
}

type Step = (&'static str, Box<dyn FnOnce() -> Result<()>>);

pub(crate) fn run(args: &Args) -> Result<()> {
    let seeds = args.seeds;
    let mut steps: Vec<Step> = vec![
        ("tools", Box::new(|| deps::ensure(&[&deps::CXX]))),
        ("format", Box::new(|| run::run(run::cargo().args(["fmt", "--all", "--check"])))),
        ("codec and speaker", Box::new(|| cargo(&["test", "--quiet", "-p", "bgp-wire", "-p", "bgp-core"]))),
        (
            "lints",
            Box::new(|| {
                cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
            }),
        ),
        ("everything else", Box::new(workspace)),
        ("documentation", Box::new(documentation)),
        ("fuzz targets", Box::new(fuzz_builds)),
        ("simulation", Box::new(move || simulation(seeds))),
    ];
    if !args.no_interop {
        steps.push(("kubernetes", Box::new(kubernetes::obtain)));
        steps.push(("interop", Box::new(interop)));
    }
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let start = Instant::now();
        step()?;
        times.push((name, start.elapsed()));
    }
    println!("\nAll tests passed.");
    for (name, time) in times {
        println!("  {name:<20} {:>6.1} s", time.as_secs_f64());
    }
    Ok(())
}

fn cargo(words: &[&str]) -> Result<()> {
    run::run(run::cargo().args(words))
}

fn workspace() -> Result<()> {
    cargo(&[
        "build",
        "--quiet",
        "-p",
        "bgpd",
        "-p",
        "rutter-agent",
        "-p",
        "rutter-operator",
        "-p",
        "rutterctl",
    ])?;
    cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--exclude",
        "bgp-wire",
        "--exclude",
        "bgp-core",
        "--exclude",
        "frr-interop-tests",
        "--exclude",
        "rutter-lab",
    ])
}

fn documentation() -> Result<()> {
    run::run(run::cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--quiet",
        "--no-deps",
        "-p",
        "bgp-wire",
        "-p",
        "bgp-core",
        "-p",
        "rutter-api",
        "-p",
        "k8s-sync",
    ]))
}

/// The fuzz crates are workspaces of their own; here they are only compiled, `cargo xtask fuzz` runs them.
fn fuzz_builds() -> Result<()> {
    for folder in fuzz::FOLDERS {
        let target = run::target_dir("fuzz-check");
        let mut command = run::cargo();
        command
            .current_dir(run::root().join(folder))
            .env("CARGO_TARGET_DIR", target)
            .args(["check", "--quiet", "--bins"]);
        run::run(&mut command)?;
    }
    Ok(())
}

fn simulation(seeds: u64) -> Result<()> {
    let range = format!("0..{seeds}");
    cargo(&["run", "--quiet", "--release", "-p", "bgp-sim", "--", "--seeds", &range])
}

/// The interop tests mostly wait for other daemons, so more of them run at once than there are processors.
const INTEROP_THREADS: &str = "4";

/// The interop tests make network namespaces, so their program runs as root; it is built as the caller.
fn interop() -> Result<()> {
    deps::ensure_peers()?;
    let bins = run::target_dir("debug");
    if run::is_root() {
        let mut command = run::cargo();
        command.env("RUTTER_BIN_DIR", &bins).env("RUST_TEST_THREADS", INTEROP_THREADS).args([
            "test",
            "--quiet",
            "-p",
            "rutter-lab",
            "-p",
            "frr-interop-tests",
        ]);
        return run::run(&mut command);
    }
    for program in test_programs(&["rutter-lab", "frr-interop-tests"])? {
        run::run(
            run::as_root(program).env("RUTTER_BIN_DIR", &bins).env("RUST_TEST_THREADS", INTEROP_THREADS),
        )?;
    }
    Ok(())
}

/// Builds the tests of `packages` and returns the programs.
fn test_programs(packages: &[&str]) -> Result<Vec<String>> {
    let mut command: Command = run::cargo();
    command.args(["test", "--no-run", "--quiet", "--message-format=json"]);
    for package in packages {
        command.args(["-p", package]);
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "building the interop tests failed");
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| message["executable"].as_str().map(str::to_owned))
        .collect())
}
