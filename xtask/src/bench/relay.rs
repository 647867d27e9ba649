//! The relay: BIRD announces a table, the daemon under test passes it on, FRR receives it. CPU seconds and peak memory
//! are the kernel's own figures for the relay's process, read when the last route has arrived.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use rutter_lab::{Host, Lab, wait_for};

use super::configs;
use super::process::{cpu_seconds, peak_mib};
use crate::run;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How many routes.
    #[arg(long, default_value_t = 100_000)]
    routes: u32,
    /// How many different attribute sets they share; the number of routes for none shared.
    #[arg(long, default_value_t = 100)]
    sets: u32,
    /// Rounds; in each, every daemon relays once. Medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Only these daemons.
    #[arg(long, value_delimiter = ',', default_value = "bgpd,bird,frr,gobgp")]
    only: Vec<String>,
}

/// What one relay run took.
#[derive(Clone, Copy, Debug)]
struct Figures {
    wall: f64,
    cpu: f64,
    peak_mib: f64,
    updates: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let release = run::target_dir("release");
    println!(
        "{} IPv4 routes with {} attribute sets: BIRD -> relay -> FRR, {} round(s), bgpd from {}",
        args.routes,
        args.sets,
        args.rounds,
        release.display()
    );
    let mut results: Vec<(String, Vec<Figures>)> =
        args.only.iter().map(|name| (name.clone(), Vec::new())).collect();
    for round in 1..=args.rounds {
        for (name, figures) in &mut results {
            let one = relay(name, args)?;
            println!("round {round} {name:<6} {}", line(one));
            figures.push(one);
        }
    }
    print_medians(&results);
    Ok(())
}

fn print_medians(results: &[(String, Vec<Figures>)]) {
    println!("\nmedian         wall s    CPU s  peak MiB  UPDATEs out");
    let medians: Vec<(&str, Figures)> =
        results.iter().map(|(name, all)| (name.as_str(), median(all))).collect();
    for (name, figures) in &medians {
        println!("{name:<12} {}", line(*figures));
    }
    let Some((_, ours)) = medians.iter().find(|(name, _)| *name == "bgpd") else { return };
    for (name, theirs) in medians.iter().filter(|(name, _)| *name != "bgpd") {
        println!(
            "bgpd / {name:<6} CPU {:.2}, peak memory {:.2}",
            ours.cpu / theirs.cpu,
            ours.peak_mib / theirs.peak_mib
        );
    }
}

fn line(figures: Figures) -> String {
    format!("{:>8.2} {:>8.2} {:>9.1} {:>12.0}", figures.wall, figures.cpu, figures.peak_mib, figures.updates)
}

fn median(all: &[Figures]) -> Figures {
    let middle = |pick: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = all.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Figures {
        wall: middle(|f| f.wall),
        cpu: middle(|f| f.cpu),
        peak_mib: middle(|f| f.peak_mib),
        updates: middle(|f| f.updates),
    }
}

fn relay(name: &str, args: &Args) -> Result<Figures> {
    let lab = Lab::new(&format!("bench-{name}"))?;
    let (sender, dut, receiver) = (lab.host("sender")?, lab.host("dut")?, lab.host("receiver")?);
    lab.link(sender.port("eth0", &["10.1.0.1/24"]), dut.port("eth0", &["10.1.0.2/24"]))?;
    lab.link(dut.port("eth1", &["10.2.0.2/24"]), receiver.port("eth0", &["10.2.0.3/24"]))?;
    let frr = receiver.frr(configs::FRR_RECEIVER)?;
    let relay = Relay::start(name, &dut)?;
    let summary = || -> Result<serde_json::Value> {
        let json = frr.show_json("show bgp ipv4 unicast summary json")?;
        Ok(json["peers"]["10.2.0.2"].clone())
    };
    wait_for(Duration::from_secs(30), "the session from the relay to FRR", || {
        let peer = summary()?;
        ensure!(peer["state"] == "Established", "{peer}");
        Ok(())
    })?;
    let pid = relay.pid()?;
    let begun = Instant::now();
    let bird = sender.bird(&configs::bird_sender(args.routes, args.sets))?;
    wait_for(Duration::from_secs(180), "all routes on FRR", || {
        let peer = summary()?;
        ensure!(peer["pfxRcd"] == args.routes, "FRR has {}", peer["pfxRcd"]);
        Ok(())
    })?;
    let wall = begun.elapsed().as_secs_f64();
    let updates =
        frr.show_json("show bgp neighbors 10.2.0.2 json")?["10.2.0.2"]["messageStats"]["updatesRecv"]
            .as_f64()
            .context("FRR counts no UPDATEs")?;
    let figures = Figures { wall, cpu: cpu_seconds(pid)?, peak_mib: peak_mib(pid)?, updates };
    drop(bird);
    Ok(figures)
}

/// The daemon in the middle.
enum Relay {
    Bgpd(rutter_lab::Daemon),
    Bird(rutter_lab::Bird),
    Frr(rutter_lab::Frr),
    GoBgp(rutter_lab::GoBgp),
}

impl Relay {
    fn start(name: &str, host: &Host) -> Result<Self> {
        match name {
            "bgpd" => {
                let config = host.folder().join("relay.yaml");
                fs::write(&config, configs::BGPD)?;
                let program = run::target_dir("release").join("bgpd").display().to_string();
                let socket = host.folder().join("bgpd.sock").display().to_string();
                let config = config.display().to_string();
                host.spawn("relay", &[&program, "--config", &config, "--socket", &socket]).map(Self::Bgpd)
            }
            "bird" => host.bird(configs::BIRD).map(Self::Bird),
            "frr" => host.frr(configs::FRR).map(Self::Frr),
            "gobgp" => host.gobgp(configs::GOBGP).map(Self::GoBgp),
            other => anyhow::bail!("unknown relay `{other}`: bgpd, bird, frr or gobgp"),
        }
    }

    fn pid(&self) -> Result<u32> {
        match self {
            Self::Bgpd(daemon) => daemon.pid(),
            Self::Bird(bird) => bird.daemon().pid(),
            Self::Frr(frr) => frr.daemon().pid(),
            Self::GoBgp(gobgp) => gobgp.daemon().pid(),
        }
    }
}
