//! LB IPAM on a real kube-apiserver and etcd: what the adoption of ten thousand Services costs, and how long a new Service
//! waits for its address.
//!
//! Every time is taken in this process, or is the kernel's; requests are the operator's own count.

mod latency;
mod stage;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args as ClapArgs;
use rutter_lab::wait_for;

use self::stage::{SERVICES, Stage, requests};
use crate::bench::process::{cpu_seconds, peak_mib, resident_kib};
use crate::bench::writers::with_each;
use crate::run;

/// Longest time for anything here.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// What is measured, in this order: latency, adopt.
    #[arg(long, value_delimiter = ',', default_value = "latency,adopt")]
    only: Vec<String>,
    /// Services that are created one by one.
    #[arg(long, default_value_t = 3_000)]
    services: u32,
    /// So many of them per second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Services that are there when an operator starts.
    #[arg(long, default_value_t = 10_000)]
    adopted: u32,
    /// Pools, each an IPv4 /24.
    #[arg(long, default_value_t = 50)]
    pools: u32,
    /// Starts of the operator over the same Services.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if std::env::var_os("RUTTER_BIN_DIR").is_none() {
        // The lab looks there for the operator.
        let mut again = std::process::Command::new(std::env::current_exe()?);
        again.args(std::env::args_os().skip(1)).env("RUTTER_BIN_DIR", run::target_dir("release"));
        return run::run(&mut again);
    }
    let mut stage = Stage::new(args.pools)?;
    println!("{}, {} pools, one operator", stage.versions()?, args.pools);
    for what in &args.only {
        match what.as_str() {
            "latency" => latency::measure(&stage, args.services, args.rate)?,
            "adopt" => adopt(&mut stage, args)?,
            other => bail!("there is no {other}; there are latency and adopt"),
        }
    }
    Ok(())
}

/// Ten thousand Services get addresses; then operators start that find them there.
fn adopt(stage: &mut Stage, args: &Args) -> Result<()> {
    let missing = stage.count()?..args.adopted;
    println!("\nadoption: {} Services", args.adopted);
    let begun = Instant::now();
    let before = requests(stage.status()?);
    with_each(&stage.cluster, missing.clone(), |number| {
        ("POST", SERVICES.to_owned(), Some(stage::service(number).to_string()))
    })?;
    let created = begun.elapsed();
    stage.until_settled(args.adopted, PATIENCE)?;
    println!(
        "{} more were created in {:.1} s; all had addresses {:.1} s after that; requests meanwhile: {}",
        missing.len(),
        created.as_secs_f64(),
        (begun.elapsed() - created).as_secs_f64(),
        stage::difference(&before, &requests(stage.status()?)),
    );
    let pid = stage.operator.daemon().pid()?;
    println!("the operator that gave them: peak {:.1} MiB, CPU {:.1} s", peak_mib(pid)?, cpu_seconds(pid)?);
    for round in 1..=args.rounds {
        let versions = stage.versions_of_all()?;
        // It gives the Lease back, so that the next one need not wait for its end.
        stage.operator.daemon().terminate(Duration::from_secs(10))?;
        let begun = Instant::now();
        stage.operator.daemon().start()?;
        wait_for(PATIENCE, "the operator to have adopted everything", || {
            let now = stage.lbipam()?;
            let services = now["counts"]["services"].as_u64().unwrap_or_default();
            ensure!(now["leader"] == true && services >= u64::from(args.adopted), "{}", now["counts"]);
            Ok(())
        })?;
        let took = begun.elapsed();
        // What it would write, it writes now.
        std::thread::sleep(Duration::from_secs(3));
        let status = stage.status()?;
        let changed = stage.changed_since(&versions)?;
        let pid = stage.operator.daemon().pid()?;
        println!(
            "start {round}: adopted after {:.2} s; {changed} objects changed; requests: {}; resident {:.1} MiB, peak {:.1} MiB, CPU {:.2} s",
            took.as_secs_f64(),
            stage::listed(&requests(status)),
            resident_kib(pid)? / 1024.0,
            peak_mib(pid)?,
            cpu_seconds(pid)?,
        );
    }
    Ok(())
}
