//! Hosts, daemons and traffic of one measurement.
//!
//! Invariant: what runs in the background (pings, monitors, the mirror, the churn) runs from [`Stage::begin`] on over all
//! restarts, without a gap.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::neighbours::{
    Incarnation, bird_config, bird_incarnation, frr_config, frr_incarnation, gobgp_config, gobgp_incarnation,
    has_prefix, monitored,
};
use super::raw_peer::Counting;
use super::{Kind, Seen, Updates, soon};
use crate::raw::open;
use crate::{Bgpd, Bird, Daemon, Frr, GoBgp, Host, Lab, RawPeer, gobgp_binaries, http_request, wait_for};

pub(super) const RUTTER: u32 = 65_000;
pub(super) const PREFIX: &str = "203.0.113.0/24";
pub(super) const PASSWORD: &str = "not-a-secret";
/// Hold time of all sessions, in seconds: a pause that matters shows.
pub(super) const HELD: u64 = 9;
const TARGET: &str = "203.0.113.1";
const PATIENCE: Duration = Duration::from_secs(60);
const NAMES: [&str; 3] = ["frr", "bird", "gobgp"];
/// Between two pings, in seconds.
const PING: &str = "0.02";
/// Between two changes of routes.
const CHURN: Duration = Duration::from_millis(100);

/// All of it. Fields end in the order in which they stand here.
pub(super) struct Stage {
    churn: Option<Background>,
    mirror: Option<Background>,
    pings: Vec<Daemon>,
    monitors: Vec<Daemon>,
    counting: Option<Counting>,
    frr: Frr,
    bird: Bird,
    gobgp: GoBgp,
    bgpd: Bgpd,
    hosts: Vec<Host>,
    /// What bgpd's log held when the measurement began.
    logged: usize,
    changes: Arc<AtomicU64>,
    lab: Lab,
}

/// A thread that runs until it is dropped.
struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    fn start(mut step: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                step();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn bgpd_config(kind: Kind) -> String {
    let restart = if kind == Kind::Handover { "" } else { ", gracefulRestart: {restartSeconds: 60}" };
    let timers = format!("timers: {{connectRetrySeconds: 1, holdSeconds: {HELD}, keepaliveSeconds: 3}}");
    let peer = |link: u32, more: &str| {
        format!(
            "      - {{name: {}, address: 10.0.{link}.2, peerASN: {}, families: [ipv4-unicast], {timers}{more}}}\n",
            ["frr", "bird", "gobgp", "raw"].get(link as usize - 1).unwrap_or(&"raw"),
            65_000 + link
        )
    };
    format!(
        "instances:\n  - name: main\n    localASN: {RUTTER}\n    routerID: 192.0.2.1\n    listenPort: 179\n    peers:\n{}{}{}{} \
         \x20  routes:\n      - {{prefix: {PREFIX}}}\n",
        peer(1, &format!("{restart}, password: {PASSWORD}")),
        peer(2, restart),
        peer(3, restart),
        peer(4, ", passive: true"),
    )
}

impl Stage {
    pub(super) fn build(kind: Kind) -> Result<Self> {
        let lab = Lab::new("restarts")?;
        let hub = lab.host("hub")?;
        hub.ip(&["addr", "add", &format!("{TARGET}/32"), "dev", "lo"])?;
        let mut hosts = Vec::new();
        for (link, name) in (1..).zip(NAMES.into_iter().chain(["raw"])) {
            let host = lab.host(name)?;
            let (ours, theirs) = (format!("10.0.{link}.1/24"), format!("10.0.{link}.2/24"));
            lab.link(hub.port(&format!("eth{link}"), &[&ours]), host.port("eth0", &[&theirs]))?;
            hosts.push(host);
        }
        let bgpd = hub.bgpd_with(&bgpd_config(kind), &["--on-sigterm", "restart"])?;
        let host = |index: usize| hosts.get(index).context("a host is missing");
        Ok(Self {
            frr: host(0)?.frr(&frr_config(kind))?,
            bird: host(1)?.bird(&bird_config(kind))?,
            gobgp: host(2)?.gobgp(&gobgp_config(kind))?,
            bgpd,
            hosts,
            churn: None,
            mirror: None,
            pings: Vec::new(),
            monitors: Vec::new(),
            counting: None,
            logged: 0,
            changes: Arc::default(),
            lab,
        })
    }

    /// Waits until everybody has the prefix, in its table and in its kernel.
    pub(super) fn settle(&mut self) -> Result<()> {
        wait_for(PATIENCE, "all three to have the prefix", || {
            let there = has_prefix(&self.frr, &self.bird, &self.gobgp, PREFIX)?;
            ensure!(there == [true; 3], "FRR, BIRD, GoBGP: {there:?}");
            Ok(())
        })?;
        let gobgp = self.hosts.get(2).context("no host")?.clone();
        gobgp.ip(&["route", "replace", PREFIX, "via", "10.0.3.1"])?;
        let client = gobgp_binaries()?.gobgp.display().to_string();
        let monitor = gobgp.spawn("gobgp-monitor", &[&client, "monitor", "global", "rib", "-j"])?;
        self.mirror = Some(mirror(gobgp, monitor));
        for host in self.hosts.iter().take(NAMES.len()) {
            wait_for(PATIENCE, "the kernel's route", || {
                let route = host.ip(&["route", "get", TARGET])?;
                ensure!(route.contains("10.0."), "{route}");
                host.check(&["ping", "-c", "1", "-W", "1", TARGET])
            })?;
        }
        Ok(())
    }

    /// Begins to ping, to watch and to change routes.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.logged = self.bgpd.daemon().log().len();
        for host in self.hosts.iter().take(NAMES.len()) {
            self.monitors.push(host.spawn("ip-monitor", &["ip", "monitor", "route"])?);
            self.pings.push(host.spawn("ping", &["ping", "-i", PING, "-W", "1", TARGET])?);
        }
        if self.counts() {
            let mut raw = RawPeer::connect(self.hosts.get(3).context("no host")?, "10.0.4.1")?;
            raw.establish_with(&open(65_004, u16::try_from(HELD)?, Ipv4Addr::new(10, 0, 4, 2)))?;
            self.counting = Some(Counting::start(raw));
        }
        let (socket, changes) = (self.bgpd.socket().to_owned(), Arc::clone(&self.changes));
        let mut step = 0;
        self.churn = Some(Background::start(move || {
            // While nobody is there, nobody is told.
            if put_churn(&socket, step).is_ok() {
                changes.fetch_add(1, Ordering::Relaxed);
            }
            step += 1;
            std::thread::sleep(CHURN);
        }));
        Ok(())
    }

    /// GR is off, so that whoever counts is not in the way of a restart.
    fn counts(&self) -> bool {
        !self.frr_keeps()
    }

    fn frr_keeps(&self) -> bool {
        std::fs::read_to_string(self.bgpd.config()).is_ok_and(|config| config.contains("gracefulRestart"))
    }

    /// One restart. Gives the time at which the new process was started.
    pub(super) fn replace(&mut self, kind: Kind) -> Result<Instant> {
        match kind {
            Kind::Handover => {
                let begun = Instant::now();
                self.bgpd.take_over()?;
                return Ok(begun);
            }
            Kind::Kill => self.bgpd.daemon().kill()?,
            Kind::Sigterm => {
                self.bgpd.daemon().terminate(Duration::from_secs(10))?;
            }
        }
        let begun = Instant::now();
        self.bgpd.start_again()?;
        Ok(begun)
    }

    /// Whether End-of-RIB went to all three.
    pub(super) fn all_told(&self) -> Result<()> {
        let peers = self.bgpd.get("/v1/show/bgp/neighbors?format=json")?;
        for link in 1..=3 {
            let sent = &peers[format!("10.0.{link}.2")]["gracefulRestartInfo"]["endOfRibSend"]["ipv4Unicast"];
            ensure!(*sent == true, "link {link}: {sent}");
        }
        Ok(())
    }

    pub(super) fn incarnations(&self) -> Result<Vec<Incarnation>> {
        Ok(vec![frr_incarnation(&self.frr)?, bird_incarnation(&self.bird)?, gobgp_incarnation(&self.gobgp)?])
    }

    /// Ends the changes of routes. Says how many there were.
    pub(super) fn end_churn(&mut self) -> Result<u64> {
        self.churn = None;
        Ok(self.changes.load(Ordering::Relaxed))
    }

    /// What the raw speaker saw, and how far all tables differ from bgpd's.
    pub(super) fn updates(&mut self) -> Result<Option<Updates>> {
        let Some(counting) = self.counting.take() else { return Ok(None) };
        let counted = counting.finish()?;
        let mut updates = counted.updates;
        let told = self.bgpd.get("/v1/show/bgp/neighbors/10.0.4.2/advertised-routes?format=json")?;
        let told = keys(&told["advertisedRoutes"]);
        updates.lost = told.symmetric_difference(&counted.table).count() as u64;
        let ours = keys(&self.bgpd.get("/v1/show/bgp/ipv4?format=json")?["routes"]);
        let mut differences = 0;
        soon(Duration::from_secs(10), || {
            differences = self.differences(&ours).unwrap_or(u64::MAX);
            differences == 0
        });
        updates.lost = updates.lost.saturating_add(differences);
        Ok(Some(updates))
    }

    /// In how many prefixes the tables of the three differ from bgpd's.
    fn differences(&self, ours: &BTreeSet<String>) -> Result<u64> {
        let frr = keys(&self.frr.show_json("show bgp ipv4 unicast json")?["routes"]);
        let gobgp = keys(&self.gobgp.json(&["global", "rib"])?);
        let mut bird: BTreeSet<String> = BTreeSet::new();
        for line in self.bird.birdc("show route")?.lines() {
            bird.extend(line.split_whitespace().next().filter(|word| word.contains('/')).map(str::to_owned));
        }
        // What BIRD and FRR announce themselves they have as well; GoBGP announces nothing.
        let tables = [frr, bird, gobgp];
        Ok(tables.iter().map(|table| table.symmetric_difference(ours).count() as u64).sum())
    }

    /// The pauses that bgpd has told since the beginning.
    pub(super) fn pauses(&self) -> Vec<Duration> {
        let log = self.bgpd.daemon().log();
        let new = log.get(self.logged..).unwrap_or_default();
        let pause = |line: &str| {
            let (_, rest) = line.split_once("): pause ")?;
            let millis: f64 = rest.strip_suffix(" ms")?.parse().ok()?;
            Some(Duration::from_secs_f64(millis / 1000.0))
        };
        new.lines().filter_map(pause).collect()
    }

    /// Ends everything and adds it up.
    pub(super) fn finish(&mut self, sessions: &[u64]) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for (index, name) in NAMES.into_iter().enumerate() {
            let ping = self.pings.get(index).context("no ping")?;
            ping.signal(Signal::SIGINT)?;
            wait_for(Duration::from_secs(5), "ping to end", || ping.ended())?;
            let log = ping.log();
            let (pings, lost) = ping_summary(&log).with_context(|| format!("ping says {log}"))?;
            let monitor = self.monitors.get(index).context("no monitor")?.log();
            let removed =
                monitor.lines().filter(|line| line.starts_with(&format!("Deleted {PREFIX}"))).count();
            let sessions = sessions.get(index).copied().unwrap_or_default();
            seen.push(Seen { name, sessions, removed: removed as u64, pings, lost });
        }
        Ok(seen)
    }

    pub(super) fn logs(&self) -> String {
        self.lab.logs()
    }
}

/// Follows what GoBGP's table says with a route in its host's kernel, for GoBGP itself writes none.
fn mirror(host: Host, monitor: Daemon) -> Background {
    let mut read = 0;
    Background::start(move || {
        let log = monitor.log();
        while let Some(line) = log.get(read..).and_then(|new| new.split_once('\n')).map(|(line, _)| line) {
            read += line.len() + 1;
            let done = match monitored(line) {
                Some(true) => host.ip(&["route", "replace", PREFIX, "via", "10.0.3.1"]),
                Some(false) => host.ip(&["route", "del", PREFIX]),
                None => continue,
            };
            if let Err(error) = done {
                eprintln!("the mirror of GoBGP's table: {error:#}");
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    })
}

/// Other routes than before: some are there, some are not, some are another way.
fn put_churn(socket: &Path, step: u32) -> Result<()> {
    let routes: Vec<Value> = (0..60)
        .filter(|number| !(number + step).is_multiple_of(3))
        .map(|number| json!({"prefix": format!("10.100.{number}.0/24"), "med": (number + step) / 7}))
        .collect();
    let instance = json!({"name": "main", "localASN": RUTTER, "routerID": "192.0.2.1", "routes": routes});
    let body = json!({"instances": [instance]}).to_string();
    let reply = http_request(socket, "PUT", "/v1/intents/churn", Some(&body))?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.body);
    Ok(())
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// `N packets transmitted, M received`.
fn ping_summary(log: &str) -> Result<(u64, u64)> {
    let line = log.lines().find(|line| line.contains("packets transmitted")).context("no summary")?;
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [sent, received, ..] => Ok((*sent, sent.saturating_sub(*received))),
        _ => Err(anyhow!("{line}")),
    }
}
