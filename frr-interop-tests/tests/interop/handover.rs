//! bgpd is replaced while FRR (TCP MD5), BIRD and GoBGP look on and ping through it: three times each way what
//! `cargo xtask bench restarts` measures fifty times. Graceful restart is off for hand-overs.

use std::io::Read;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, RawPeer, run};
use rutter_lab::raw::open;
use rutter_lab::restarts::{Kind, Report, measure};
use rutter_lab::wait_for;
use serde_json::json;

use crate::daemons::{RUTTER, Wants, frr, over_v4, rutter};

const COUNT: usize = 3;

/// Nobody lost a route or a ping.
fn unharmed(kind: Kind) -> Report {
    let report = measure(kind, COUNT).unwrap_or_else(|error| panic!("{error:#}"));
    for seen in &report.seen {
        assert_eq!((seen.removed, seen.lost), (0, 0), "{report}");
        assert!(seen.pings > 40, "{report}");
    }
    assert!(report.changes > 0, "{report}");
    report
}

/// The sessions really ended: FRR counts them, the others show a time.
fn restarted(report: &Report) {
    let sessions: Vec<u64> = report.seen.iter().map(|seen| seen.sessions).collect();
    assert_eq!(sessions.first(), Some(&(COUNT as u64)), "{report}");
    assert!(sessions.iter().all(|sessions| *sessions > 0), "{report}");
    assert_eq!(report.end_of_rib.len(), COUNT, "{report}");
}

#[test]
fn three_hand_overs_are_no_event_for_anybody() {
    let report = unharmed(Kind::Handover);
    assert!(report.seen.iter().all(|seen| seen.sessions == 0), "{report}");
    let updates = report.updates.expect("counted");
    assert_eq!((updates.ended, updates.repeated, updates.lost), (0, 0, 0), "{report}");
    assert!(updates.received > 0, "{report}");
    assert_eq!(report.pauses.len(), COUNT * 4, "{report}");
}

#[test]
fn three_crashes_cost_no_route_and_no_ping() {
    restarted(&unharmed(Kind::Kill));
}

#[test]
fn three_restarts_by_sigterm_cost_no_route_and_no_ping() {
    restarted(&unharmed(Kind::Sigterm));
}

/// A peer that takes nothing for a while: bgpd holds half a message for it when it is replaced.
#[test]
fn what_was_half_sent_is_sent_to_its_end() {
    run("handover-slow", &["slow", "frr"], |star| {
        let mut bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_004), over_v4(2, 65_001)], &[]))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_001, "10.0.2.1", Wants::default()))?;
        let mut slow = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        slow.establish_with(&open(65_004, 60, Ipv4Addr::new(10, 0, 1, 2)))?;
        let session = frr.wait_established("10.0.2.1")?;
        // Each with attributes of its own, so that each is a message: some megabytes.
        let routes: Vec<_> = (0..20_000_u32)
            .map(|number| {
                let communities: Vec<String> = (0..40).map(|at| format!("{}:{at}", number % 60_000)).collect();
                let [_, _, high, low] = number.to_be_bytes();
                json!({"prefix": format!("10.{}.{low}.0/24", high + 100), "med": number, "communities": communities})
            })
            .collect();
        let instance = json!({"name": "main", "localASN": RUTTER, "routerID": "192.0.2.1", "routes": routes});
        bgpd.put_intent("many", &json!({"instances": [instance]}))?;
        let queued = || -> Result<u64> {
            let metrics = bgpd.request("GET", "/metrics", None)?.body;
            let line = metrics
                .lines()
                .find(|line| line.starts_with("bgpd_queued_octets{") && line.contains("10.0.1.2"))
                .context("no such metric")?;
            Ok(line.rsplit(' ').next().context("no value")?.parse::<f64>()? as u64)
        };
        wait_for(PATIENCE, "octets to wait for the slow peer", || {
            let queued = queued()?;
            ensure!(queued > 0, "{queued}");
            Ok(())
        })?;
        for _ in 0..3 {
            bgpd.take_over()?;
        }
        let (mut prefixes, mut keepalive) = (0, Instant::now());
        let begun = Instant::now();
        while prefixes < 20_000 {
            ensure!(begun.elapsed() < 2 * PATIENCE, "{prefixes} prefixes came");
            if keepalive.elapsed() > Duration::from_secs(5) {
                slow.send(4, &[])?;
                keepalive = Instant::now();
            }
            for frame in slow.drain(Duration::from_millis(20))? {
                ensure!(frame.kind != 3, "the session ends: {:?}", frame.body);
                prefixes += if frame.kind == 2 { announced(&frame.body)? } else { 0 };
            }
        }
        ensure!(prefixes == 20_000, "{prefixes} prefixes: some came twice");
        let now = frr.session("10.0.2.1".parse()?)?;
        ensure!(frr.same_incarnation(&session, &now), "{session:?} {now:?}");
        wait_for(PATIENCE, "FRR to have them all", || {
            let table = frr.show_json("show bgp ipv4 unicast json")?;
            let count = table["routes"].as_object().map_or(0, serde_json::Map::len);
            ensure!(count == 20_000, "{count}");
            Ok(())
        })
    });
}

/// How many prefixes an IPv4 UPDATE announces.
fn announced(mut body: &[u8]) -> Result<usize> {
    for _ in 0..2 {
        let mut length = [0; 2];
        body.read_exact(&mut length)?;
        body = body.get(usize::from(u16::from_be_bytes(length))..).context("a short UPDATE")?;
    }
    let mut count = 0;
    while let Some((length, rest)) = body.split_first() {
        body = rest.get(usize::from(length.div_ceil(8))..).context("a short prefix")?;
        count += 1;
    }
    Ok(count)
}
