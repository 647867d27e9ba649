//! Services created at an even rate: when each was there for a watch, and when with its address.
//!
//! Beside them, in the same seconds, other Services get addresses by a plain status patch of ours: what the API server needs
//! for that is not the operator's time. "Beyond" is what remains.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rutter_lab::wait_for;
use serde_json::json;

use super::stage::{self, SERVICES, Stage, probe, requests, service};
use crate::bench::process::{cpu_seconds, peak_mib};
use crate::bench::seen::{Reader, Seen, Times, between, percentiles};
use crate::bench::writers::with_each;

/// Connections that create Services.
const CREATORS: u32 = 4;
/// One plain patch for so many Services.
const PROBES: u32 = 10;
/// How status is written.
const MERGE: &str = "application/merge-patch+json";

/// What a watch saw of Services whose names begin with a word.
#[derive(Clone)]
struct Watched {
    there: Seen,
    served: Seen,
}

impl Watched {
    fn new(count: u32) -> Self {
        Self { there: Seen::new(count), served: Seen::new(count) }
    }

    fn note(&self, word: &str, line: &str, now: Instant) {
        let name = line.split(&format!("\"name\":\"{word}-")).nth(1).and_then(|rest| rest.split('"').next());
        let Some(number) = name.and_then(|number| number.parse().ok()) else { return };
        self.there.note(number, now);
        if line.contains("\"ingress\":[{\"ip\"") {
            self.served.note(number, now);
        }
    }
}

pub(super) fn measure(stage: &Stage, services: u32, rate: u32) -> Result<()> {
    let probes = services / PROBES;
    println!(
        "\nlatency: {services} Services, {rate} per second, and {probes} plain status patches beside them"
    );
    with_each(&stage.cluster, 0..probes, |number| {
        ("POST", SERVICES.to_owned(), Some(probe(number).to_string()))
    })?;
    let (given, plain) = (Watched::new(services), Watched::new(probes));
    let _watch = watch(stage, given.clone(), plain.clone())?;
    std::thread::sleep(Duration::from_secs(2));

    let pid = stage.operator.daemon().pid()?;
    let (before, cpu, begun) = (requests(stage.status()?), cpu_seconds(pid)?, Instant::now());
    let (sent, patched) = create(stage, services, rate, probes)?;
    wait_for(Duration::from_secs(60), "all Services to have addresses", || {
        let counts = [given.served.count(), plain.served.count()];
        ensure!(counts == [services as usize, probes as usize], "with addresses: {counts:?}");
        Ok(())
    })?;
    let took = begun.elapsed();
    stage.until_settled(services, Duration::from_secs(60))?;
    std::thread::sleep(Duration::from_secs(2));
    let after = requests(stage.status()?);

    let (there, served) = (given.there.all(), given.served.all());
    println!("{:<52} {:>8} {:>8} {:>8}", "milliseconds", "p50", "p99", "max");
    let rows: [(&str, &Times, &Times); 4] = [
        ("request sent to the watch that sees the Service", &sent, &there),
        ("request sent to the watch that sees its address", &sent, &served),
        ("seen without to seen with its address", &there, &served),
        ("a plain status patch, sent to seen", &patched, &plain.served.all()),
    ];
    for (name, from, to) in rows {
        println!("{name:<52} {}", percentiles(between(from, to)));
    }
    let at = |values: Vec<f64>, share: usize| percentile(values, share);
    let plain_served = plain.served.all();
    let beyond =
        |share: usize| at(between(&there, &served), share) - at(between(&patched, &plain_served), share);
    println!(
        "{:<52} {:>8.1} {:>8.1} {:>8.1}",
        "beyond a plain status patch",
        beyond(50),
        beyond(99),
        beyond(100)
    );
    println!(
        "in {:.1} s: {}; CPU {:.2} s, peak {:.1} MiB",
        took.as_secs_f64(),
        stage::difference(&before, &after),
        cpu_seconds(pid)? - cpu,
        peak_mib(pid)?,
    );
    let patches = |resource: &str| {
        let of = |requests: &stage::Requests| -> u64 {
            let of_it = |((verb, name), _): &(&(String, String), &u64)| {
                name.starts_with(resource) && !matches!(&**verb, "get" | "list" | "watch")
            };
            requests.iter().filter(of_it).map(|(_, count)| count).sum()
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let count = of(&after).saturating_sub(of(&before)) as f64;
        count
    };
    println!(
        "{:.3} writes per Service; {:.2} writes of pools per second",
        patches("services") / f64::from(services),
        patches("ciliumloadbalancerippools") / took.as_secs_f64(),
    );
    Ok(())
}

fn percentile(mut values: Vec<f64>, share: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((values.len() * share / 100).min(last)).copied().unwrap_or(f64::NAN)
}

/// Creates Services at an even rate, and patches others meanwhile. When each request was sent.
fn create(stage: &Stage, services: u32, rate: u32, probes: u32) -> Result<(Times, Times)> {
    let (sent, patched) = (Seen::new(services), Seen::new(probes));
    let (next, begun) = (AtomicU32::new(0), Instant::now());
    let pause = |number: u32, rate: u32| {
        let at = begun + Duration::from_secs(1) * number / rate.max(1);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    };
    std::thread::scope(|scope| {
        let creator = || -> Result<()> {
            let mut connection = stage.cluster.connection()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= services {
                    return Ok(());
                }
                let body = service(number).to_string();
                pause(number, rate);
                sent.note(number as usize, Instant::now());
                let reply = connection.request("POST", SERVICES, Some(&body))?;
                ensure!(reply.status == 201, "{}", reply.body);
            }
        };
        let patcher = || -> Result<()> {
            let mut connection = stage.cluster.connection()?;
            for number in 0..probes {
                let ip = format!("203.0.113.{}", number % 256);
                let body = json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}).to_string();
                pause(number * PROBES, rate);
                patched.note(number as usize, Instant::now());
                let target = format!("{SERVICES}/probe-{number}/status");
                let reply = connection.send("PATCH", &target, MERGE, Some(&body))?;
                ensure!(reply.status == 200, "{}", reply.body);
            }
            Ok(())
        };
        let mut workers: Vec<_> = (0..CREATORS).map(|_| scope.spawn(creator)).collect();
        workers.push(scope.spawn(patcher));
        let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            worker.join().map_err(|_panic| anyhow!("a writer panicked"))?
        };
        workers.into_iter().try_for_each(join)
    })?;
    Ok((sent.all(), patched.all()))
}

/// A watch as kubectl has it, straight from the API server.
fn watch(stage: &Stage, given: Watched, plain: Watched) -> Result<Reader> {
    let version = stage.resource_version()?;
    let mut command = Command::new(stage.cluster.binaries().program("kubectl")?);
    command.args(["get", "--raw", &format!("{SERVICES}?watch=1&resourceVersion={version}")]);
    command.envs(stage.cluster.environment().iter().filter_map(|variable| variable.split_once('=')));
    stage.cluster.host().enter(|| {
        Reader::start(command, move |line, now| {
            given.note("service", line, now);
            plain.note("probe", line, now);
        })
    })?
}
