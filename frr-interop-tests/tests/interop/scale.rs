//! Many routes: they arrive complete, leave completely, share UPDATEs where they share attributes (RFC 4271 §4.3), and a
//! peer that does not read holds nobody up.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, RawPeer, UPDATE, run};
use rutter_lab::{Bird, Frr, wait_for};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const MANY: u32 = 100_000;
/// How long a full table may take with an unoptimised bgpd on a busy machine.
const LONG: Duration = Duration::from_secs(90);

/// BIRD's static routes: `count` prefixes of /24 from 20.0.0.0 on, with `sets` different communities.
fn statics(count: u32, sets: u32) -> String {
    let mut text = "protocol static many { ipv4;\n".to_owned();
    for index in 0..count {
        let address = Ipv4Addr::from(0x1400_0000 + (index << 8));
        let set = index % sets;
        let _ = writeln!(text, " route {address}/24 blackhole {{ bgp_community.add((65001,{set})); }};");
    }
    text + "}\n"
}

fn sender(count: u32, sets: u32) -> String {
    bird(1, 65_001, "10.0.1.1", Wants { more: &statics(count, sets), ..Wants::default() })
}

/// How many prefixes FRR has accepted from rutter.
fn accepted(frr: &Frr, neighbor: &str) -> Result<u64> {
    let shown = frr.show_json("show bgp ipv4 unicast summary json")?;
    shown["peers"][neighbor]["pfxRcd"].as_u64().with_context(|| format!("{shown}"))
}

/// How many routes BIRD has imported from rutter.
fn imported(bird: &Bird) -> Result<u32> {
    let shown = bird.birdc("show protocols all rutter")?;
    let line =
        shown.lines().find(|line| line.trim().starts_with("Routes:")).with_context(|| shown.clone())?;
    line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).with_context(|| shown.clone())
}

#[test]
fn a_hundred_thousand_routes_arrive_and_leave() {
    run("full-table", &["sender", "frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let receiver = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", Wants::default()))?;
        receiver.wait_established("10.0.3.1")?;
        frr.wait_established("10.0.2.1")?;
        let sender_bird = star.peer(1)?.bird(&sender(MANY, 100))?;
        wait_for(LONG, "all routes at FRR", || {
            let count = accepted(&frr, "10.0.2.1")?;
            ensure!(count == u64::from(MANY), "{count} of {MANY}");
            Ok(())
        })?;
        wait_for(LONG, "all routes at BIRD", || {
            let count = imported(&receiver)?;
            ensure!(count == MANY, "{count} of {MANY}");
            Ok(())
        })?;
        // Not only the number: each prefix with its own community, here the first, the last and one between.
        for index in [0, 54_321, MANY - 1] {
            let prefix = format!("{}/24", Ipv4Addr::from(0x1400_0000 + (index << 8)));
            let path = frr.wait_path(&prefix)?;
            let community = format!("65001:{}", index % 100);
            ensure!(
                path.as_path == "65000 65001" && path.communities.contains(&community),
                "{prefix} {path:?}"
            );
        }
        sender_bird.birdc("disable many")?;
        wait_for(LONG, "no route at FRR and BIRD", || {
            let (count, other) = (accepted(&frr, "10.0.2.1")?, imported(&receiver)?);
            ensure!(count == 0 && other == 0, "{count} at FRR, {other} at BIRD");
            Ok(())
        })?;
        bgpd.daemon().ensure_running()
    });
}

#[test]
fn equal_attributes_share_updates() {
    run("packing", &["raw"], |star| {
        let routes: Vec<String> =
            (0..1_000).map(|index| format!("prefix: 20.{}.{}.0/24", index / 256, index % 256)).collect();
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &routes))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let frames = raw.drain(Duration::from_secs(2))?;
        let updates: Vec<_> =
            frames.iter().filter(|frame| frame.kind == UPDATE && frame.body.len() > 4).collect();
        // 4 octets each: 4,000 octets of prefixes fit into one UPDATE, or two.
        ensure!((1..=3).contains(&updates.len()), "{} UPDATEs for 1,000 equal routes", updates.len());
        Ok(())
    });
}

#[test]
fn a_peer_that_never_reads_holds_nobody_up() {
    run("slow-peer", &["sender", "bird", "deaf"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003).with("passive: true")];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let mut deaf = RawPeer::connect(star.peer(3)?, "10.0.3.1")?;
        deaf.establish(65_003, [10, 0, 3, 2].into())?;
        let receiver = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        receiver.wait_established("10.0.2.1")?;
        // Every route has its own attributes: more than any socket buffer takes.
        let _sender = star.peer(1)?.bird(&sender(50_000, 50_000))?;
        wait_for(LONG, "all routes at BIRD", || {
            let count = imported(&receiver)?;
            ensure!(count == 50_000, "{count}");
            Ok(())
        })?;
        // The deaf one was not forgotten: once it reads, it gets everything. Each has an UPDATE of its own.
        let frames = deaf.drain(Duration::from_secs(3))?;
        let updates = frames.iter().filter(|frame| frame.kind == UPDATE && frame.body.len() > 4).count();
        ensure!(updates >= 50_000, "{updates} UPDATEs");
        bgpd.daemon().ensure_running()
    });
}

/// A table that comes and goes, a policy that changes under it, and people who look at all of it: keepalives of a session
/// with a short hold time keep coming, and nothing grows. (Not the shortest: this bgpd is not optimised, and shares two
/// cores with the other tests.)
#[test]
fn keepalives_come_while_everything_is_busy() {
    run("busy", &["sender", "frr"], |star| {
        let timers = "timers: {connectRetrySeconds: 1, holdSeconds: 9, keepaliveSeconds: 3}";
        let config = |tag: u32| {
            let policy = format!(
                "import: {{name: i, defaultAction: accept, statements: [{{name: s, action: accept, \
                 set: {{addCommunities: [\"65000:{tag}\"]}}}}]}}"
            );
            let neighbors = [over_v4(1, 65_001).with(&policy), over_v4(2, 65_002).with(timers)];
            rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"])
        };
        let bgpd = star.bgpd(&config(0))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let before = frr.wait_established("10.0.2.1")?;
        let sender = star.peer(1)?.bird(&sender(MANY / 2, 1_000))?;
        let arrived = |tag: u32| {
            wait_for(LONG, &format!("all routes at FRR with tag {tag}"), || {
                let count = accepted(&frr, "10.0.2.1")?;
                ensure!(count == u64::from(MANY / 2) + 1, "{count}");
                let path = frr.paths("20.195.79.0/24")?;
                ensure!(
                    path.iter().any(|path| path.communities.contains(&format!("65000:{tag}"))),
                    "{path:?}"
                );
                Ok(())
            })
        };
        arrived(0)?;
        let mut peaks = Vec::new();
        for tag in 1..=4 {
            bgpd.reload(&config(tag))?;
            let shown = bgpd.request("GET", "/v1/show/bgp/ipv4?format=text", None)?;
            ensure!(shown.status == 200 && shown.body.contains("20.195.79.0/24"), "status {}", shown.status);
            arrived(tag)?;
            sender.birdc("disable many")?;
            sender.birdc("enable many")?;
            arrived(tag)?;
            let status = std::fs::read_to_string(format!("/proc/{}/status", bgpd.daemon().pid()?))?;
            let line = status.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
            peaks.push(line.split_whitespace().nth(1).context("no figure")?.parse::<u64>()?);
        }
        frr.ensure_same_session("10.0.2.1", &before)?;
        // The first round may still grow; after that the same table needs the same memory.
        ensure!(peaks[3] < peaks[0] * 3 / 2, "resident KiB after each round: {peaks:?}");
        Ok(())
    });
}

/// An orderly end does not wait for a table that is still on its way.
#[test]
fn sigterm_in_the_middle_of_a_table() {
    run("sigterm-midway", &["sender", "deaf"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002).with("passive: true")];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let mut deaf = RawPeer::connect(star.peer(2)?, "10.0.2.1")?;
        deaf.establish(65_002, [10, 0, 2, 2].into())?;
        let sender = star.peer(1)?.bird(&sender(50_000, 50_000))?;
        sender.wait_established("10.0.1.1")?;
        std::thread::sleep(Duration::from_secs(1));
        let begun = std::time::Instant::now();
        let status = bgpd.daemon().terminate(Duration::from_secs(15))?;
        ensure!(status.success(), "bgpd ended with {status}");
        ensure!(begun.elapsed() < Duration::from_secs(10), "the end took {:?}", begun.elapsed());
        Ok(())
    });
}
