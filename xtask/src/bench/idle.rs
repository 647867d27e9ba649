//! Memory of idle sessions: the same bgpd with more and more neighbours that exchange KEEPALIVEs and nothing else. What
//! the kernel keeps for the sockets is not in it.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use rutter_lab::raw::RawPeer;
use rutter_lab::{Lab, http_request, wait_for};

use super::process::{cpu_seconds, resident_kib};
use crate::run;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How many sessions, one bgpd for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,100,500")]
    sessions: Vec<u32>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    println!("sessions   resident KiB   KiB per session over one   CPU of ten idle seconds");
    let mut one = None;
    for sessions in &args.sessions {
        let (resident, cpu) = measure(*sessions)?;
        let (first, fewest) = *one.get_or_insert((resident, *sessions));
        let more = f64::from(sessions.saturating_sub(fewest));
        let each = if more > 0.0 { format!("{:.1}", (resident - first) / more) } else { "-".to_owned() };
        println!("{sessions:>8} {resident:>14.0} {each:>26} {:>24.1} ms", cpu * 1000.0);
    }
    Ok(())
}

fn measure(sessions: u32) -> Result<(f64, f64)> {
    let lab = Lab::new("bench-idle")?;
    let (hub, peers) = (lab.host("hub")?, lab.host("peers")?);
    lab.link(hub.port("eth0", &["10.0.0.1/16"]), peers.port("eth0", &["10.0.255.254/16"]))?;
    let address = |index: u32| {
        let [_, _, high, low] = (index + 256).to_be_bytes();
        format!("10.0.{high}.{low}")
    };
    let mut config = String::from(
        "instances:\n  - name: idle\n    localASN: 65000\n    routerID: 192.0.2.1\n    listenPort: 179\n    peers:\n",
    );
    for index in 0..sessions {
        let at = address(index);
        _ = writeln!(config, "      - {{ name: p{index}, address: {at}, peerASN: 65001, passive: true }}");
        peers.ip(&["addr", "add", &format!("{at}/16"), "dev", "eth0"])?;
    }
    let (file, socket) = (hub.folder().join("idle.yaml"), hub.folder().join("bgpd.sock"));
    fs::write(&file, config)?;
    let program = run::target_dir("release").join("bgpd").display().to_string();
    let (file, path) = (file.display().to_string(), socket.display().to_string());
    let bgpd = hub.spawn("bgpd", &[&program, "--config", &file, "--socket", &path])?;
    let mut speakers = Vec::new();
    for index in 0..sessions {
        let mut speaker = RawPeer::connect_from(&peers, &address(index), "10.0.0.1")?;
        speaker.establish(65_001, address(index).parse()?)?;
        speakers.push(speaker);
    }
    wait_for(Duration::from_secs(10), "all sessions", || {
        let reply = http_request(&socket, "GET", "/v1/show/bgp/ipv4/summary", None)?;
        ensure!(reply.json()?["failedPeers"] == 0, "{}", reply.json()?["failedPeers"]);
        Ok(())
    })?;
    thread::sleep(Duration::from_secs(2));
    let (pid, begun) = (bgpd.pid()?, Instant::now());
    let cpu = cpu_seconds(pid)?;
    thread::sleep(Duration::from_secs(10));
    let used = (cpu_seconds(pid)? - cpu) / begun.elapsed().as_secs_f64() * 10.0;
    let resident = resident_kib(pid).context("bgpd has gone")?;
    ensure!(!speakers.is_empty(), "no session");
    Ok((resident, used))
}
