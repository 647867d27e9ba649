//! Services created one by one: when each was seen where.
//!
//! The API server's own watch latency is what a `kubectl get --raw` with a watch needs to see the object; "beyond" is what
//! comes after that, and negative if we are faster than that watch.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, ensure};
use rutter_lab::raw::{KEEPALIVE, RawPeer, UPDATE};
use rutter_lab::wait_for;

use super::stage::{SERVICES, Stage, resource_version, service, service_at, slice};
use crate::bench::seen::{Reader, Seen, Times, between, percentiles};
use crate::bench::writers::with_each;

/// Connections that create services.
const CREATORS: u32 = 4;
/// The raw peer's own KEEPALIVEs.
const KEEPALIVES: Duration = Duration::from_secs(20);

pub(super) fn measure(stage: &mut Stage, services: u32, rate: u32) -> Result<()> {
    println!(
        "\nlatency: {services} Services, {rate} per second, each with a slice of two endpoints before it"
    );
    with_each(&stage.cluster, 0..services, |number| {
        ("POST", super::stage::SLICES.to_owned(), Some(slice(number).to_string()))
    })?;
    let stop = Arc::new(AtomicBool::new(false));
    let (watched, told, installed) = (Seen::new(services), Seen::new(services), Seen::new(services));
    let raw = raw_peer(stage, told.clone(), Arc::clone(&stop))?;
    wait_for(Duration::from_secs(30), "the session to FRR", || stage.routes_at_frr().map(drop))?;
    let _watch = kubectl_watch(stage, watched.clone())?;
    let _routes = route_monitor(stage, installed.clone())?;
    thread::sleep(Duration::from_secs(2));

    let (cpu, log, begun) =
        (stage.cpu()?, stage.agent.daemon().log().len(), (Instant::now(), SystemTime::now()));
    let (sent, created) = create(stage, services, rate)?;
    wait_for(Duration::from_secs(60), "all Services everywhere", || {
        let counts = [watched.count(), told.count(), installed.count()];
        ensure!(counts.iter().all(|count| *count == services as usize), "watch, raw peer, FRR: {counts:?}");
        Ok(())
    })?;
    stop.store(true, Ordering::Relaxed);
    raw.join().map_err(|_panic| anyhow!("the raw peer panicked"))??;

    let (watched, told, installed) = (watched.all(), told.all(), installed.all());
    let received = received_by_frr(&stage.frr.daemon().log(), begun, services);
    println!("{:<44} {:>8} {:>8} {:>8}", "milliseconds", "p50", "p99", "max");
    let rows: [(&str, &Times, &Times); 9] = [
        ("request sent to answer", &sent, &created),
        ("request sent to kubectl's watch", &sent, &watched),
        ("request sent to UPDATE at the raw peer", &sent, &told),
        ("request sent to route at FRR", &sent, &received),
        ("request sent to route in the kernel behind FRR", &sent, &installed),
        ("UPDATE at the raw peer beyond the watch", &watched, &told),
        ("route at FRR beyond the watch", &watched, &received),
        ("route in the kernel beyond the watch", &watched, &installed),
        ("FRR's own: from its log to its kernel", &received, &installed),
    ];
    for (name, from, to) in rows {
        println!("{name:<44} {}", percentiles(between(from, to)));
    }
    steps(&stage.agent.daemon().log()[log..]);
    let after = stage.cpu()?;
    let used: Vec<String> =
        cpu.iter().map(|(name, before)| format!("{name} {:.2} s", after[name] - before)).collect();
    println!("CPU meanwhile: {}; peak memory: {}", used.join(", "), stage.memory()?);
    Ok(())
}

/// When FRR had each route, by its log. `begun` is one moment on both clocks.
fn received_by_frr(log: &str, begun: (Instant, SystemTime), services: u32) -> Times {
    /// Time zones differ by multiples of this, and no run lasts as long.
    const TURN: i64 = 15 * 60 * 1_000_000;
    let micros = |time: &str| -> Option<i64> {
        let (clock, fraction) = time.split_once('.')?;
        let units: Vec<i64> = clock.split(':').map_while(|unit| unit.parse().ok()).collect();
        let [hours, minutes, seconds] = units.as_slice() else { return None };
        Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction.parse::<i64>().ok()?)
    };
    let start = begun.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let start = i64::try_from(start).unwrap_or_default();
    let seen = Seen::new(services);
    for line in log.lines() {
        let Some(prefix) = line.split(" rcvd ").nth(1) else { continue };
        let address = prefix.split('/').next().and_then(|address| address.parse().ok());
        let time = line.split(' ').nth(1).and_then(micros);
        if let (Some(number), Some(time)) = (address.and_then(service_at), time) {
            let since = u64::try_from((time - start).rem_euclid(TURN)).unwrap_or_default();
            seen.note(number, begun.0 + Duration::from_micros(since));
        }
    }
    seen.all()
}

/// What the agent says about its runs.
fn steps(log: &str) {
    let millis = |line: &str, key: &str| -> Option<f64> {
        let text = line.split(&format!("{key}=")).nth(1)?.split(' ').next()?;
        let number = |unit: &str| text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
        number("ms").or_else(|| Some(number("µs")? / 1e3)).or_else(|| Some(number("s")? * 1e3))
    };
    let runs: Vec<&str> = log.lines().filter(|line| line.contains("an outcome")).collect();
    let of = |key: &str| runs.iter().filter_map(|line| millis(line, key)).collect::<Vec<f64>>();
    let (translated, all) = (of("translated"), of("all"));
    let put = all.iter().zip(&translated).map(|(all, translated)| all - translated).collect();
    println!("{:<44} {}", format!("the agent's {} runs: translation", runs.len()), percentiles(translated));
    println!("{:<44} {}", "   ... and PUT until bgpd has applied it", percentiles(put));
}

/// Creates the services at an even rate. When each request was sent and answered.
fn create(stage: &Stage, services: u32, rate: u32) -> Result<(Times, Times)> {
    let (sent, created) = (Seen::new(services), Seen::new(services));
    let (next, begun) = (AtomicU32::new(0), Instant::now());
    thread::scope(|scope| {
        let work = || -> Result<()> {
            let mut connection = stage.cluster.connection()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= services {
                    return Ok(());
                }
                let body = service(number).to_string();
                let at = begun + Duration::from_secs(1) * number / rate;
                thread::sleep(at.saturating_duration_since(Instant::now()));
                sent.note(number as usize, Instant::now());
                let reply = connection.request("POST", SERVICES, Some(&body))?;
                created.note(number as usize, Instant::now());
                ensure!(reply.status == 201, "{}", reply.body);
            }
        };
        let workers: Vec<_> = (0..CREATORS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_panic| anyhow!("a creator panicked"))?)
    })?;
    Ok((sent.all(), created.all()))
}

/// A neighbour that reads UPDATEs and nothing else.
fn raw_peer(stage: &Stage, told: Seen, stop: Arc<AtomicBool>) -> Result<JoinHandle<Result<()>>> {
    let mut peer = RawPeer::accept(&stage.raw_host, "10.2.0.2")?;
    peer.establish(65_000, Ipv4Addr::new(10, 2, 0, 2))?;
    Ok(thread::spawn(move || {
        let mut alive = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if alive.elapsed() > KEEPALIVES {
                alive = Instant::now();
                peer.send(KEEPALIVE, &[])?;
            }
            // An error is most often that nothing came.
            if let Ok(frame) = peer.expect(UPDATE, Duration::from_millis(500)) {
                let now = Instant::now();
                for address in announced(&frame.body) {
                    if let Some(number) = service_at(address) {
                        told.note(number, now);
                    }
                }
            }
        }
        Ok(())
    }))
}

/// The IPv4 hosts that an UPDATE announces outside of MP_REACH_NLRI.
fn announced(body: &[u8]) -> Vec<Ipv4Addr> {
    let skip = |body: &[u8]| -> Option<Vec<u8>> {
        let (length, rest) = body.split_first_chunk::<2>()?;
        Some(rest.get(usize::from(u16::from_be_bytes(*length))..)?.to_vec())
    };
    let mut rest = skip(body).and_then(|rest| skip(&rest)).unwrap_or_default();
    let mut addresses = Vec::new();
    while let Some((length, tail)) = rest.split_first() {
        let octets = usize::from(*length).div_ceil(8).min(tail.len());
        if let Some([a, b, c, d]) = tail.get(..octets).filter(|_| *length == 32) {
            addresses.push(Ipv4Addr::new(*a, *b, *c, *d));
        }
        rest = tail[octets..].to_vec();
    }
    addresses
}

/// A watch as kubectl has it, straight from the API server.
fn kubectl_watch(stage: &Stage, watched: Seen) -> Result<Reader> {
    let version = resource_version(&stage.cluster)?;
    let mut command = Command::new(stage.cluster.binaries().program("kubectl")?);
    command.args(["get", "--raw", &format!("{SERVICES}?watch=1&resourceVersion={version}")]);
    command.envs(stage.cluster.environment().iter().filter_map(|variable| variable.split_once('=')));
    stage.node.enter(|| {
        Reader::start(command, move |line, now| {
            let name = line.split("\"name\":\"service-").nth(1).and_then(|rest| rest.split('"').next());
            if let Some(number) =
                name.and_then(|number| number.parse().ok()).filter(|_| line.contains("\"ADDED\""))
            {
                watched.note(number, now);
            }
        })
    })?
}

/// The routes that FRR gives its kernel.
fn route_monitor(stage: &Stage, installed: Seen) -> Result<Reader> {
    let mut command = Command::new("ip");
    command.args(["-o", "monitor", "route"]);
    stage.frr_host.enter(|| {
        Reader::start(command, move |line, now| {
            let address = line.split([' ', '/']).next().and_then(|address| address.parse().ok());
            if let Some(number) = address.and_then(service_at).filter(|_| !line.starts_with("Deleted")) {
                installed.note(number, now);
            }
        })
    })?
}
