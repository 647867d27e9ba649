//! The hostile mix: FRR, BIRD and a raw speaker with hold times of 9 s beside every attacker of [`rutter_lab::attackers`] at
//! once. First some quiet seconds, then the same with attacks; how late KEEPALIVEs left is bgpd's own histogram, what
//! reached the well-behaved is measured at their end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use rutter_lab::attackers::{ASN, ATTACKERS, listen};
use rutter_lab::{Bird, Daemon, Frr, Host, Lab, http_request, wait_for};

use super::process::{cpu_seconds, peak_mib};
use crate::run;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Seconds of the attack.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Seconds without attack before it.
    #[arg(long, default_value_t = 15)]
    quiet: u64,
    /// Routes that BIRD announces to everybody.
    #[arg(long, default_value_t = 100_000)]
    routes: u32,
    /// Only attackers whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Show bgpd's log afterwards.
    #[arg(long)]
    log: bool,
}

/// The well-behaved, and bgpd in the middle.
struct Stage {
    bgpd: Daemon,
    socket: std::path::PathBuf,
    frr: Frr,
    bird: Bird,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    allow_many_files()?;
    let lab = Lab::new("bench-hostile")?;
    let hub = lab.host("hub")?;
    let hosts: Vec<Host> =
        ["frr", "bird", "hostile", "clean"].iter().map(|name| lab.host(name)).collect::<Result<_>>()?;
    let [frr, bird, hostile, clean] = hosts.as_slice() else { unreachable!("four hosts") };
    for (index, host) in (1..).zip(&hosts) {
        let (ours, theirs) = (format!("10.0.{index}.1/24"), format!("10.0.{index}.2/24"));
        lab.link(hub.port(&format!("eth{index}"), &[&ours]), host.port("eth0", &[&theirs]))?;
    }
    // One that does not read should fill up soon.
    hostile.sysctl("net.ipv4.tcp_rmem", "4096 16384 65536")?;
    for attacker in ATTACKERS {
        hostile.ip(&["addr", "add", &format!("{}/24", attacker.address), "dev", "eth0"])?;
    }
    let stage = Stage::start(&hub, frr, bird, args.routes)?;
    let (over, silence) = (AtomicBool::new(false), AtomicBool::new(false));
    let wanted: Vec<_> = ATTACKERS.iter().filter(|one| one.name.contains(&args.only)).collect();
    let counters: Vec<AtomicU64> = wanted.iter().map(|_| AtomicU64::new(0)).collect();
    let figures = thread::scope(|scope| -> Result<String> {
        let listener = scope.spawn(|| listen(clean, "10.0.4.1", 65_004, &silence));
        let result = (|| {
            thread::sleep(Duration::from_secs(3));
            let quiet = stage.measure("quiet", Duration::from_secs(args.quiet), &[])?;
            let before = stage.incarnations()?;
            for (attacker, done) in wanted.iter().zip(&counters) {
                let over = &over;
                scope.spawn(move || attacker.run(hostile, over, done));
            }
            let work: Vec<(&str, &AtomicU64)> =
                wanted.iter().map(|attacker| attacker.name).zip(&counters).collect();
            let attacked = stage.measure("attacked", Duration::from_secs(args.seconds), &work);
            over.store(true, Ordering::Relaxed);
            let after = stage.incarnations()?;
            let events = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            Ok(format!("{quiet}{}session events at FRR and BIRD: {events}\n", attacked?))
        })();
        over.store(true, Ordering::Relaxed);
        silence.store(true, Ordering::Relaxed);
        let gaps = listener.join().map_err(|_panic| anyhow::anyhow!("the listener panicked"))??;
        let worst = gaps.iter().max().copied().unwrap_or_default();
        result.map(|text| {
            format!(
                "{text}longest silence at a raw speaker (KEEPALIVEs every 3 s): {:.3} s\n",
                worst.as_secs_f64()
            )
        })
    });
    if args.log || figures.is_err() {
        // Of the attackers there is too much to read.
        let log = stage.bgpd.log();
        let well_behaved = |line: &&str| !line.contains("10.0.3.");
        log.lines().filter(well_behaved).for_each(|line| println!("{line}"));
    }
    println!("{}", figures?);
    Ok(())
}

impl Stage {
    fn start(hub: &Host, frr: &Host, bird: &Host, routes: u32) -> Result<Self> {
        let (config, socket) = (hub.folder().join("hostile.yaml"), hub.folder().join("bgpd.sock"));
        fs::write(&config, bgpd_config())?;
        let program = run::target_dir("release").join("bgpd").display().to_string();
        let words = ["--config", &config.display().to_string(), "--socket", &socket.display().to_string()]
            .map(str::to_owned);
        let words: Vec<&str> =
            std::iter::once(program.as_str()).chain(words.iter().map(String::as_str)).collect();
        let bgpd = hub.spawn("bgpd", &words)?;
        let stage = Self { bgpd, socket, frr: frr.frr(FRR)?, bird: bird.bird(&bird_config(routes))? };
        wait_for(Duration::from_secs(120), "the table at FRR", || {
            let shown = stage.frr.show_json("show bgp ipv4 unicast summary json")?;
            let peer = &shown["peers"]["10.0.1.1"];
            ensure!(peer["pfxRcd"] == routes, "{peer}");
            Ok(())
        })?;
        Ok(stage)
    }

    /// What tells one session of FRR and of BIRD from the next.
    fn incarnations(&self) -> Result<Vec<String>> {
        let shown = self.frr.show_json("show bgp neighbors 10.0.1.1 json")?;
        let frr = &shown["10.0.1.1"];
        let log = self.bird.birdc("show protocols all rutter")?;
        let up = log.lines().find(|line| line.starts_with("rutter")).context("BIRD has no session")?;
        // The time is computed anew each time and moves by milliseconds.
        let since = up.split_whitespace().nth(4).unwrap_or_default();
        let since = since.split('.').next().unwrap_or_default().to_owned();
        let state = up.split_whitespace().nth(3).unwrap_or_default();
        Ok(vec![format!("{} {}", frr["bgpState"], frr["connectionsEstablished"]), format!("{state} {since}")])
    }

    /// Waits, and says what happened meanwhile.
    fn measure(&self, what: &str, lasting: Duration, work: &[(&str, &AtomicU64)]) -> Result<String> {
        let pid = self.bgpd.pid()?;
        let (before, cpu, begun) = (self.lateness()?, cpu_seconds(pid)?, Instant::now());
        let mut oldest = 0;
        while begun.elapsed() < lasting {
            thread::sleep(Duration::from_secs(1));
            self.bgpd.ensure_running()?;
            let shown = self.frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            oldest = oldest.max(shown["10.0.1.1"]["bgpTimerLastRead"].as_u64().unwrap_or_default());
        }
        let seconds = begun.elapsed().as_secs_f64();
        let share = (cpu_seconds(pid)? - cpu) / seconds * 100.0;
        let mut text =
            format!("{what}, {seconds:.0} s: CPU {share:.0} %, peak memory {:.1} MiB\n", peak_mib(pid)?);
        let after = self.lateness()?;
        for (waited_for, now) in &after {
            let earlier = before.get(waited_for).cloned().unwrap_or_default();
            _ = writeln!(text, "  KEEPALIVEs that waited for {waited_for}: {}", now.since(&earlier));
        }
        _ = writeln!(
            text,
            "  longest silence seen by FRR (sampled each second): {:.1} s",
            oldest as f64 / 1000.0
        );
        let summary = self.get("/v1/show/bgp/ipv4/summary")?;
        let summary: serde_json::Value = serde_json::from_str(&summary)?;
        for (peer, row) in summary["peers"].as_object().into_iter().flatten() {
            if row["slowPeer"] == true {
                _ = writeln!(text, "  shown as slow: {peer}");
            }
        }
        for (name, done) in work {
            _ = writeln!(text, "  {name}: {} times", done.load(Ordering::Relaxed));
        }
        Ok(text)
    }

    fn get(&self, path: &str) -> Result<String> {
        let reply = http_request(&self.socket, "GET", path, None)?;
        ensure!(reply.status == 200, "GET {path} answers {}", reply.status);
        Ok(reply.body)
    }

    fn lateness(&self) -> Result<BTreeMap<String, Histogram>> {
        let mut all: BTreeMap<String, Histogram> = BTreeMap::new();
        let text = self.get("/metrics")?;
        for line in text.lines().filter(|line| line.starts_with("bgpd_keepalive_lateness")) {
            let (labels, value) = line.rsplit_once(' ').context("no value")?;
            let label = |name: &str| {
                labels.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next())
            };
            let histogram = all.entry(label("waited_for").unwrap_or_default().to_owned()).or_default();
            match label("le") {
                Some("+Inf") => histogram.count = value.parse()?,
                Some(end) => histogram.buckets.push((end.parse()?, value.parse()?)),
                None if labels.contains("_max_") => histogram.max = value.parse()?,
                None => {}
            }
        }
        Ok(all)
    }
}

/// A distribution as the metric shows it: how many were not later than each bucket's end.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: Vec<(f64, u64)>,
    count: u64,
    max: f64,
}

impl Histogram {
    fn since(&self, before: &Self) -> String {
        let count = self.count - before.count;
        if count == 0 {
            return "none".to_owned();
        }
        let quantile = |share: f64| {
            let rank = (count as f64 * share).ceil() as u64;
            let reached = self.buckets.iter().enumerate().find(|(index, (_, upto))| {
                upto - before.buckets.get(*index).map_or(0, |(_, upto)| *upto) >= rank
            });
            reached.map_or_else(
                || "more than all buckets".to_owned(),
                |(_, (end, _))| format!("≤ {} ms", end * 1000.0),
            )
        };
        format!(
            "{count}, late by p50 {}, p99 {}, max so far {:.1} ms",
            quantile(0.5),
            quantile(0.99),
            self.max * 1000.0
        )
    }
}

/// Two attackers hold a thousand connections each.
fn allow_many_files() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most).context("cannot open many files")
}

fn bgpd_config() -> String {
    let timers =
        "families: [ipv4-unicast], timers: {connectRetrySeconds: 1, holdSeconds: 9, keepaliveSeconds: 3}";
    let mut text = format!(
        "instances:\n  - name: hostile\n    localASN: 65000\n    routerID: 192.0.2.1\n    listenPort: 179\n    peers:\n\
         \x20     - {{ name: frr, address: 10.0.1.2, peerASN: 65001, {timers} }}\n\
         \x20     - {{ name: bird, address: 10.0.2.2, peerASN: 65002, {timers} }}\n\
         \x20     - {{ name: clean, address: 10.0.4.2, peerASN: 65004, passive: true, {timers} }}\n"
    );
    for (number, attacker) in ATTACKERS.iter().enumerate().filter(|(_, attacker)| !attacker.is_stranger()) {
        _ = writeln!(
            text,
            "      - {{ name: hostile-{number}, address: {}, peerASN: {ASN}, passive: true, maxPrefixes: 100, families: [ipv4-unicast] }}",
            attacker.address
        );
    }
    text
}

const FRR: &str = "\
router bgp 65001
  bgp router-id 10.0.1.2
  no bgp ebgp-requires-policy
  no bgp network import-check
  neighbor 10.0.1.1 remote-as 65000
  neighbor 10.0.1.1 timers 3 9
  neighbor 10.0.1.1 timers connect 1
  address-family ipv4 unicast
    table-map NONE
  exit-address-family
route-map NONE deny 10
";

/// BIRD with a table in which few routes share their attributes, so that many UPDATEs are needed.
fn bird_config(routes: u32) -> String {
    let mut config = String::from(
        "router id 10.0.2.2;\nlog stderr { warning, error, fatal };\nprotocol device {}\n\
         protocol bgp rutter {\n  local 10.0.2.2 as 65002;\n  neighbor 10.0.2.1 as 65000;\n  hold time 9;\n\
         \x20 connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n\
         \x20 ipv4 { import all; export where source = RTS_STATIC; };\n}\nprotocol static {\n  ipv4;\n",
    );
    for route in 0..routes {
        let [a, b, c, _] = u32::to_be_bytes((16 << 24) + (route << 8));
        let (high, low) = (route / 2 / 60_000, route / 2 % 60_000);
        _ = writeln!(
            config,
            "  route {a}.{b}.{c}.0/24 blackhole {{ bgp_community.add(({}, {low})); }};",
            65_001 + high
        );
    }
    config.push_str("}\n");
    config
}
