//! RFC 8538 with FRR and GoBGP: a session that ends with a NOTIFICATION keeps its routes if both ends said so (N), and loses
//! them if one did not or if the NOTIFICATION is a Hard Reset. A frozen process stands for a dead line: the hold timer expires.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star, run};
use rutter_lab::{Bgpd, Daemon, wait_for};
use serde_json::Value;

use crate::daemons::{Neighbor, RUTTER, Wants, announce_by_gobgp, frr, gobgp, over_v4, rutter};

const OURS: &str = "203.0.113.0/24";
const THEIRS: &str = "198.51.1.0/24";
/// Longer than the hold time, with room for a busy machine.
const HOLD: &str = "timers: {connectRetrySeconds: 1, holdSeconds: 3, keepaliveSeconds: 1}";

fn neighbor() -> Neighbor {
    over_v4(1, 65_001).with("gracefulRestart: {restartSeconds: 60}").with(HOLD)
}

/// How rutter has the neighbour's route: `None` if not at all, else whether it is stale.
fn stale(bgpd: &Bgpd) -> Result<Option<bool>> {
    let table = bgpd.get("/v1/show/bgp/ipv4?format=json")?;
    let path = &table["routes"][THEIRS][0];
    Ok((!path.is_null()).then(|| path["stale"] == Value::Bool(true)))
}

fn wait_theirs(bgpd: &Bgpd, wanted: Option<bool>) -> Result<()> {
    wait_for(PATIENCE, &format!("rutter to have {THEIRS} as {wanted:?}"), || {
        let found = stale(bgpd)?;
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
}

fn wait_session(bgpd: &Bgpd, established: bool) -> Result<()> {
    wait_for(PATIENCE, &format!("rutter to say established: {established}"), || {
        let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2?format=json")?;
        let state = &shown["10.0.1.2"]["bgpState"];
        ensure!((*state == "Established") == established, "{state}");
        Ok(())
    })
}

/// Freezes the neighbour until rutter gives the session up, and says how rutter has its route then.
fn freeze_neighbour(bgpd: &Bgpd, daemon: &Daemon) -> Result<Option<bool>> {
    wait_theirs(bgpd, Some(false))?;
    // The table is newer than what is published of the session, which may not say Established yet.
    wait_session(bgpd, true)?;
    daemon.pause()?;
    let down = wait_session(bgpd, false);
    let found = stale(bgpd);
    daemon.resume()?;
    down?;
    found
}

/// Freezes rutter until the neighbour gives the session up, and says whether it still has rutter's route a second later.
fn freeze_rutter(bgpd: &Bgpd, oracle: &dyn Oracle) -> Result<bool> {
    oracle.wait_path(OURS)?;
    bgpd.daemon().pause()?;
    let kept = oracle.wait_down("10.0.1.1", PATIENCE).and_then(|_| {
        std::thread::sleep(Duration::from_secs(1));
        Ok(!oracle.paths(OURS)?.is_empty())
    });
    bgpd.daemon().resume()?;
    kept
}

/// Both directions with N agreed; the session comes back each time and nothing stays stale.
fn both_keep(bgpd: &Bgpd, daemon: &Daemon, oracle: &dyn Oracle) -> Result<()> {
    ensure!(
        freeze_neighbour(bgpd, daemon)? == Some(true),
        "rutter dropped the route or does not call it stale"
    );
    oracle.wait_established("10.0.1.1")?;
    wait_theirs(bgpd, Some(false))?;
    ensure!(freeze_rutter(bgpd, oracle)?, "{} dropped rutter's route", oracle.kind());
    oracle.wait_established("10.0.1.1")?;
    wait_theirs(bgpd, Some(false))
}

fn with_frr(star: &Star, session: &str, neighbor: Neighbor) -> Result<(Bgpd, rutter_lab::Frr)> {
    let bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &[&format!("prefix: {OURS}")]))?;
    let session = format!(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n{session}");
    let wants = Wants { networks: &[THEIRS], session: &session, ..Wants::default() };
    let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
    frr.wait_established("10.0.1.1")?;
    Ok((bgpd, frr))
}

const NOTIFICATION: &str = " bgp graceful-restart notification";

#[test]
fn frr_and_rutter_keep_routes_over_an_expired_hold_timer() {
    run("gr-n-frr", &["frr"], |star| {
        let (bgpd, frr) = with_frr(star, NOTIFICATION, neighbor())?;
        both_keep(&bgpd, frr.daemon(), &frr)
    });
}

#[test]
fn without_n_an_expired_hold_timer_costs_the_routes() {
    run("gr-no-n-frr", &["frr"], |star| {
        let (bgpd, frr) = with_frr(star, " no bgp graceful-restart notification", neighbor())?;
        let found = freeze_neighbour(&bgpd, frr.daemon())?;
        ensure!(found.is_none(), "the route is still there, stale: {found:?}");
        frr.wait_established("10.0.1.1")?;
        wait_theirs(&bgpd, Some(false))
    });
}

#[test]
fn a_hard_reset_costs_the_routes_whatever_was_agreed() {
    run("gr-hard-frr", &["frr"], |star| {
        // Dialling again takes rutter longer than looking.
        let passive = over_v4(1, 65_001).with("gracefulRestart: {restartSeconds: 60}").with("passive: true");
        let (bgpd, frr) = with_frr(star, NOTIFICATION, passive)?;
        wait_theirs(&bgpd, Some(false))?;
        frr.vtysh(&["configure terminal", "router bgp 65001", "neighbor 10.0.1.1 shutdown"])?;
        wait_theirs(&bgpd, None)?;
        let shown = bgpd.request("GET", "/v1/show/bgp/neighbors/10.0.1.2/history?format=text", None)?.body;
        ensure!(shown.contains("Hard Reset"), "{shown}");
        Ok(())
    });
}

#[test]
fn gobgp_and_rutter_keep_routes_over_an_expired_hold_timer() {
    run("gr-n-gobgp", &["gobgp"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[neighbor()], &[&format!("prefix: {OURS}")]))?;
        let more = "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\nnotification-enabled = true";
        let family = "afi-safi-name = \"ipv4-unicast\"\n";
        let per_family =
            format!("{family}[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n");
        let config = gobgp(1, 65_001, "10.0.1.1", Wants { more, ..Wants::default() });
        let gobgp = star.peer(1)?.gobgp(&config.replace(family, &per_family))?;
        announce_by_gobgp(&gobgp, &[THEIRS])?;
        gobgp.wait_established("10.0.1.1")?;
        both_keep(&bgpd, gobgp.daemon(), &gobgp)
    });
}
