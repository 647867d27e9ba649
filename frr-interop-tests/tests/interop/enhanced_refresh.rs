//! Enhanced route refresh (RFC 7313): rutter answers FRR and BIRD between markers, reads theirs, and takes out what a peer
//! that sends everything again no longer sends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{
    Oracle, PATIENCE, ROUTE_REFRESH, RawPeer, UPDATE, attribute, open_enhanced_refresh, run,
};
use rutter_lab::{Bgpd, Frr, wait_for};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const OURS: [&str; 2] = ["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"];

/// What rutter's metrics say of the refreshes of a neighbour with this outcome.
fn refreshes(bgpd: &Bgpd, outcome: &str) -> Result<u64> {
    let reply = bgpd.request("GET", "/metrics", None)?;
    let label = format!("outcome=\"{outcome}\"");
    let line = reply
        .body
        .lines()
        .find(|line| line.starts_with("bgpd_route_refreshes_total") && line.contains(&label));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.map_or(Ok(0), |value| Ok(value.parse::<f64>()? as u64))
}

fn wait_refreshes(bgpd: &Bgpd, outcome: &str, count: u64) -> Result<()> {
    wait_for(PATIENCE, &format!("{count} refreshes that are {outcome}"), || {
        let seen = refreshes(bgpd, outcome)?;
        ensure!(seen >= count, "{seen}");
        Ok(())
    })
}

fn ask(bgpd: &Bgpd, neighbor: &str) -> Result<()> {
    let reply = bgpd.request("POST", &format!("/v1/control/bgp/neighbors/{neighbor}/soft-in"), None)?;
    ensure!(reply.status < 300, "{}: {}", reply.status, reply.body);
    Ok(())
}

/// ROUTE-REFRESH messages that FRR received, markers included.
fn received_by(frr: &Frr) -> Result<u64> {
    let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
    shown["10.0.1.1"]["messageStats"]["routeRefreshRecv"].as_u64().context("routeRefreshRecv")
}

#[test]
fn with_frr_both_ways() {
    run("enhanced-refresh-frr", &["frr"], |star| {
        // FRR marks the end of a refresh only towards peers that can restart.
        let neighbor = over_v4(1, 65_001).with("gracefulRestart: {restartSeconds: 60}");
        let bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &OURS))?;
        let wants = Wants { networks: &["20.1.0.0/16", "20.2.0.0/16"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        frr.wait_path("203.0.1.0/24")?;
        let before = frr.wait_established("10.0.1.1")?;
        let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
        let capability = &shown["10.0.1.1"]["neighborCapabilities"]["enhancedRouteRefresh"];
        ensure!(*capability == "advertisedAndReceived", "FRR: {capability}");
        // FRR may be established before rutter has published that it is.
        wait_for(PATIENCE, "the capability at rutter", || {
            let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2")?;
            let capability = &shown["10.0.1.2"]["neighborCapabilities"]["enhancedRouteRefresh"];
            ensure!(*capability == "advertisedAndReceived", "rutter: {capability}");
            Ok(())
        })?;

        // FRR asks: a beginning and an end come back, and between them the routes, or FRR would throw them away.
        ensure!(received_by(&frr)? == 0, "nobody asked FRR for anything yet");
        frr.vtysh(&["clear bgp ipv4 unicast 10.0.1.1 soft in"])?;
        wait_refreshes(&bgpd, "requested", 1)?;
        wait_for(PATIENCE, "both markers at FRR", || {
            let seen = received_by(&frr)?;
            ensure!(seen == 2, "{seen}");
            Ok(())
        })?;
        std::thread::sleep(Duration::from_secs(1));
        frr.wait_path("203.0.1.0/24")?;
        frr.wait_path("203.0.2.0/24")?;

        // rutter asks: FRR marks its answer, and nothing of it is lost.
        ask(&bgpd, "10.0.1.2")?;
        wait_refreshes(&bgpd, "completed", 1)?;
        let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2/received-routes?family=ipv4")?;
        for prefix in ["20.1.0.0/16", "20.2.0.0/16"] {
            ensure!(shown["receivedRoutes"][prefix].is_object(), "{prefix} is gone: {shown}");
        }
        frr.ensure_same_session("10.0.1.1", &before)
    });
}

#[test]
fn with_bird_both_ways() {
    run("enhanced-refresh-bird", &["bird"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &OURS))?;
        let wants = Wants { networks: &["20.1.0.0/16", "20.2.0.0/16"], ..Wants::default() };
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        bird.wait_path("203.0.1.0/24")?;
        let before = bird.wait_established("10.0.1.1")?;
        let shown = bird.birdc("show protocols all rutter")?;
        let both = shown.matches("Enhanced refresh").count();
        ensure!(both == 2, "offered by {both} sides: {shown}");

        bird.birdc("reload in rutter")?;
        wait_refreshes(&bgpd, "requested", 1)?;
        std::thread::sleep(Duration::from_secs(2));
        // After the end marker BIRD drops what did not come before it.
        bird.wait_path("203.0.1.0/24")?;
        bird.wait_path("203.0.2.0/24")?;

        ask(&bgpd, "10.0.1.2")?;
        wait_refreshes(&bgpd, "completed", 1)?;
        let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2/received-routes?family=ipv4")?;
        ensure!(shown["totalPrefixCounter"] == 2, "{shown}");
        bird.ensure_same_session("10.0.1.1", &before)
    });
}

/// The body of a ROUTE-REFRESH for IPv4 unicast.
fn refresh(subtype: u8) -> [u8; 4] {
    [0, 1, subtype, 1]
}

/// A peer that forgot a route without withdrawing it: the end of its refresh takes it out of FRR's table behind rutter.
#[test]
fn what_is_not_sent_again_is_withdrawn_from_frr() {
    run("enhanced-refresh-raw", &["raw", "frr"], |star| {
        let neighbors = [over_v4(1, 65_001).with("passive: true"), over_v4(2, 65_002)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &OURS))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish_with(&open_enhanced_refresh(65_001, [10, 0, 1, 2].into()))?;
        let attributes = [
            attribute(0x40, 1, &[0]),
            attribute(0x40, 2, &[&[2, 1][..], &65_001_u32.to_be_bytes()].concat()),
            attribute(0x40, 3, &[10, 0, 1, 2]),
        ];
        raw.announce(&attributes, &["20.1.0.0/16", "20.2.0.0/16"])?;
        frr.wait_path("20.1.0.0/16")?;
        frr.wait_path("20.2.0.0/16")?;
        let before = frr.wait_established("10.0.2.1")?;

        raw.send(ROUTE_REFRESH, &refresh(1))?;
        raw.announce(&attributes, &["20.2.0.0/16"])?;
        std::thread::sleep(Duration::from_secs(1));
        frr.wait_path("20.1.0.0/16").context("a stale route is a route until the end")?;
        raw.send(ROUTE_REFRESH, &refresh(2))?;
        frr.wait_gone("20.1.0.0/16")?;
        frr.wait_path("20.2.0.0/16")?;

        // What it asks for comes between markers; an unknown subtype is passed over.
        raw.drain(Duration::from_millis(500))?;
        raw.send(ROUTE_REFRESH, &refresh(9))?;
        raw.send(ROUTE_REFRESH, &refresh(0))?;
        let kinds: Vec<(u8, Option<u8>)> = raw
            .drain(Duration::from_secs(1))?
            .iter()
            .filter(|frame| frame.kind == UPDATE || frame.kind == ROUTE_REFRESH)
            .map(|frame| (frame.kind, frame.body.get(2).copied().filter(|_| frame.kind == ROUTE_REFRESH)))
            .collect();
        let inner = kinds.len().saturating_sub(2);
        ensure!(inner > 0 && kinds.first() == Some(&(ROUTE_REFRESH, Some(1))), "{kinds:?}");
        ensure!(kinds.last() == Some(&(ROUTE_REFRESH, Some(2))), "{kinds:?}");
        ensure!(kinds.iter().skip(1).take(inner).all(|(kind, _)| *kind == UPDATE), "{kinds:?}");
        wait_refreshes(&bgpd, "unknown-subtype", 1)?;

        // A marker of another length: ROUTE-REFRESH Message Error, Invalid Message Length, with the message.
        raw.send(ROUTE_REFRESH, &[0, 1, 1, 1, 0])?;
        let (code, subcode, data) = raw.expect_notification(PATIENCE)?;
        ensure!((code, subcode) == (7, 1) && data.ends_with(&[0, 1, 1, 1, 0]), "{code}/{subcode} {data:?}");
        frr.ensure_same_session("10.0.2.1", &before)
    });
}
