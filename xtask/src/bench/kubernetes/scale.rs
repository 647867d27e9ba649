//! Ten thousand services: a cold start, idling, a flood of changes.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::stage::{SERVICES, SLICES, Stage, service, slice};
use crate::bench::writers::with_each;

/// Longest time for anything here.
const PATIENCE: Duration = Duration::from_secs(300);

/// A new bgpd and a new agent, with everything in the API server already.
pub(super) fn cold_start(stage: &mut Stage, services: u32) -> Result<()> {
    let missing = stage.cluster_has()?..services;
    println!("\ncold start: {services} Services with {} endpoints", u64::from(services) * 2);
    let took = with_each(&stage.cluster, missing.clone(), |number| {
        ("POST", SLICES.to_owned(), Some(slice(number).to_string()))
    })? + with_each(&stage.cluster, missing, |number| {
        ("POST", SERVICES.to_owned(), Some(service(number).to_string()))
    })?;
    println!("the missing ones were created in {:.1} s", took.as_secs_f64());
    stage.until_frr_has(services.into(), PATIENCE)?;
    println!("peak memory with all of them created meanwhile: {}", stage.memory()?);
    for round in 1..=2 {
        let begun = Instant::now();
        stage.start_anew()?;
        let started = begun.elapsed();
        stage.until_bgpd_has(services.into(), PATIENCE)?;
        let complete = begun.elapsed();
        stage.until_frr_has(services.into(), PATIENCE)?;
        println!(
            "start {round}: both processes answer after {:.2} s, bgpd has the whole intent after {:.2} s, FRR all routes after {:.2} s",
            started.as_secs_f64(),
            complete.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        let requests =
            |verb: &str| stage.metric("rutter_agent_api_server_requests_total", &format!("verb=\"{verb}\""));
        println!(
            "   peak memory: {}; requests to the API server: {} list, {} watch, {} in all; {} PUT(s)",
            stage.memory()?,
            requests("list")?,
            requests("watch")?,
            stage.metric("rutter_agent_api_server_requests_total", "")?,
            stage.metric("rutter_agent_intent_puts_total", "applied")?,
        );
    }
    Ok(())
}

/// Nothing happens.
pub(super) fn idle(stage: &Stage, seconds: u64) -> Result<()> {
    std::thread::sleep(Duration::from_secs(8));
    let (before, begun) = (stage.cpu()?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let (after, took) = (stage.cpu()?, begun.elapsed().as_secs_f64());
    let each = before.iter().map(|(name, cpu)| {
        let used = after.get(name).copied().unwrap_or_default() - cpu;
        format!("{name} {:.0} ms ({:.2} %)", used * 1e3, used / took * 100.0)
    });
    println!(
        "\nidle for {took:.0} s with {} routes: CPU {}",
        stage.routes_at_bgpd()?,
        each.collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// Half of the changes take services away, the other half bring them back.
pub(super) fn flood(stage: &Stage, changes: u32) -> Result<()> {
    let all = stage.cluster_has()?;
    let some = 0..(changes / 2).min(all);
    let puts = stage.metric("rutter_agent_intent_puts_total", "applied")?;
    let cpu = stage.cpu()?;
    println!(
        "\nflood: {} Services deleted and {} created again, as fast as the API server takes it",
        some.end, some.end
    );
    let gone = with_each(&stage.cluster, some.clone(), |number| {
        ("DELETE", format!("{SERVICES}/service-{number}"), None)
    })?;
    let begun = Instant::now();
    stage.until_frr_has((all - some.end).into(), PATIENCE)?;
    println!(
        "deleted in {:.1} s; FRR was right {:.2} s after the last one",
        gone.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let back = with_each(&stage.cluster, some.clone(), |number| {
        ("POST", SERVICES.to_owned(), Some(service(number).to_string()))
    })?;
    let begun = Instant::now();
    stage.until_frr_has(all.into(), PATIENCE)?;
    println!(
        "created in {:.1} s; FRR was right {:.2} s after the last one",
        back.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let after = stage.cpu()?;
    let used: Vec<String> =
        cpu.iter().map(|(name, cpu)| format!("{name} {:.1} s", after[name] - cpu)).collect();
    println!(
        "{} PUTs for {} changes; CPU {}; peak memory: {}",
        stage.metric("rutter_agent_intent_puts_total", "applied")? - puts,
        some.end * 2,
        used.join(", "),
        stage.memory()?
    );
    Ok(())
}
