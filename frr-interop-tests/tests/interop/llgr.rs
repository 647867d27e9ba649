//! Long-lived graceful restart (RFC 9494) with real daemons: each side is killed and stays away for longer than its Restart
//! Time. What is kept is a last resort, told only to those who know, and fresh again when its owner is back.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::{Bgpd, wait_for};

use crate::daemons::{Neighbor, RUTTER, Wants, bird, frr, over_v4, rutter};

const LLGR_STALE: &str = "65535:6";
const NO_LLGR: &str = "65535:7";

const FRR: &str = " bgp graceful-restart\n bgp graceful-restart restart-time 3\n bgp graceful-restart preserve-fw-state\n \
                   bgp long-lived-graceful-restart stale-time 600";
const BIRD: &str = "graceful restart yes; graceful restart time 3; long lived graceful restart yes; \
                    long lived stale time 600;";

fn long_lived(link: usize, asn: u32) -> Neighbor {
    over_v4(link, asn).with("gracefulRestart: {restartSeconds: 3, longLivedSeconds: 900}")
}

/// The communities that rutter shows for the one path to a prefix; none if there is no path.
fn communities(bgpd: &Bgpd, prefix: &str) -> Result<Option<Vec<String>>> {
    let target = format!("/v1/show/bgp/ipv4/{}?format=json", prefix.replace('/', "%2F"));
    let shown = bgpd.get(&target)?;
    let Some(path) = shown["paths"].as_array().and_then(|paths| paths.first()) else { return Ok(None) };
    let list = path["community"]["list"].as_array().cloned().unwrap_or_default();
    Ok(Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()))
}

/// Rutter marks what `prefix` leads to as a last resort, and says for how long.
fn wait_last_resort(bgpd: &Bgpd, peer: &str, prefix: &str) -> Result<()> {
    wait_for(PATIENCE, &format!("rutter to keep {prefix} as a last resort"), || {
        let found = communities(bgpd, prefix)?;
        ensure!(
            found
                .as_ref()
                .is_some_and(|list| list.iter().any(|item| item == "llgrStale" || item == "llgr-stale")),
            "{found:?}"
        );
        Ok(())
    })?;
    let shown = bgpd.get(&format!("/v1/show/bgp/neighbors/{peer}?format=json"))?;
    let timers = &shown[peer]["gracefulRestartInfo"]["ipv4Unicast"]["timers"];
    ensure!(timers["llgrStaleTimeRemaining"].as_u64().is_some_and(|left| left > 500), "{shown}");
    let text = bgpd.request("GET", "/v1/show/bgp/ipv4?format=text", None)?.body;
    ensure!(text.lines().any(|line| line.starts_with(" S") && line.contains(prefix)), "{text}");
    Ok(())
}

fn is_marked(communities: &std::collections::BTreeSet<String>) -> bool {
    communities.contains(LLGR_STALE)
}

#[test]
fn rutter_keeps_frrs_routes_as_a_last_resort() {
    run("llgr-frr-away", &["frr", "bird", "deaf"], |star| {
        let neighbors = [long_lived(1, 65_001), long_lived(2, 65_002), long_lived(3, 65_003)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let map = "route-map fleeting permit 10\n set community no-llgr\nexit";
        let session = format!(
            "{FRR}\n address-family ipv4 unicast\n  network 198.51.9.0/24 route-map fleeting\n exit-address-family"
        );
        let wants = Wants { networks: &["198.51.1.0/24"], session: &session, more: map, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        // BIRD knows long-lived routes of others without being asked to; the third neighbour does not.
        let knows = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let session = "graceful restart off; long lived graceful restart off;";
        let deaf = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", Wants { session, ..Wants::default() }))?;
        for oracle in [&knows, &deaf] {
            oracle.wait_path("198.51.1.0/24")?;
            oracle.wait_path("198.51.9.0/24")?;
        }
        frr.daemon().kill()?;
        wait_last_resort(&bgpd, "10.0.1.2", "198.51.1.0/24")?;
        let path = knows.wait_path_that("198.51.1.0/24", &|path| is_marked(&path.communities))?;
        ensure!(!path.communities.contains(NO_LLGR), "{path:?}");
        deaf.wait_gone("198.51.1.0/24")?;
        // Its owner wanted it to end with the Restart Time.
        knows.wait_gone("198.51.9.0/24")?;

        frr.start_bgpd()?;
        frr.wait_established("10.0.1.1")?;
        knows.wait_path_that("198.51.1.0/24", &|path| !is_marked(&path.communities))?;
        deaf.wait_path("198.51.1.0/24")?;
        knows.wait_path("198.51.9.0/24")?;
        Ok(())
    });
}

#[test]
fn rutter_keeps_birds_routes_as_a_last_resort_and_frr_knows_it() {
    run("llgr-bird-away", &["bird", "frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[long_lived(1, 65_001), long_lived(2, 65_002)], &[]))?;
        let wants = Wants { networks: &["198.51.1.0/24"], session: BIRD, ..Wants::default() };
        let away = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        let knows =
            star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants { session: FRR, ..Wants::default() }))?;
        knows.wait_path("198.51.1.0/24")?;
        away.daemon().kill()?;
        wait_last_resort(&bgpd, "10.0.1.2", "198.51.1.0/24")?;
        knows.wait_path_that("198.51.1.0/24", &|path| is_marked(&path.communities))?;
        // Not started for recovery, BIRD does not say that it kept forwarding: what is stale goes, and comes again fresh.
        away.start_again()?;
        away.wait_established("10.0.1.1")?;
        knows.wait_path_that("198.51.1.0/24", &|path| !is_marked(&path.communities))?;
        Ok(())
    });
}

/// Kills rutter for longer than its Restart Time and starts it again.
fn stay_away(bgpd: &Bgpd, helper: &dyn Oracle) -> Result<()> {
    helper.wait_path("203.0.113.0/24")?;
    bgpd.daemon().kill()?;
    helper.wait_path_that("203.0.113.0/24", &|path| is_marked(&path.communities))?;
    std::thread::sleep(Duration::from_secs(1));
    bgpd.start_again()?;
    let begun = std::time::Instant::now();
    loop {
        let paths = helper.paths("203.0.113.0/24")?;
        ensure!(paths.len() == 1, "{} lost the route while rutter came back: {paths:?}", helper.kind());
        if !is_marked(&paths[0].communities) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{paths:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    helper.wait_established("10.0.1.1")?;
    Ok(())
}

#[test]
fn frr_keeps_rutters_routes_as_a_last_resort() {
    run("llgr-by-frr", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[long_lived(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let frr =
            star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session: FRR, ..Wants::default() }))?;
        stay_away(&bgpd, &frr)
    });
}

#[test]
fn bird_keeps_rutters_routes_as_a_last_resort() {
    run("llgr-by-bird", &["bird"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[long_lived(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let bird =
            star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", Wants { session: BIRD, ..Wants::default() }))?;
        stay_away(&bgpd, &bird)
    });
}
