//! GRACEFUL_SHUTDOWN (RFC 8326) with FRR and BIRD: a session is drained by routes alone, from either end.

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, run};
use rutter_lab::Bgpd;

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const GRACEFUL_SHUTDOWN: &str = "65535:0";

fn control(bgpd: &Bgpd, peer: &str, command: &str) -> Result<u16> {
    Ok(bgpd.request("POST", &format!("/v1/control/bgp/neighbors/{peer}/{command}"), None)?.status)
}

#[test]
fn rutter_drains_sessions_without_a_reset() {
    run("gshut-send", &["frr", "bird", "ibgp"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, RUTTER)];
        let routes = ["prefix: 203.0.113.0/24"];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let frr_out = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird_out = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let inside = star.peer(3)?.frr(&frr(3, RUTTER, "10.0.3.1", Wants::default()))?;
        let oracles: [(&dyn Oracle, &str, &str); 2] =
            [(&frr_out, "10.0.1.1", "10.0.1.2"), (&bird_out, "10.0.2.1", "10.0.2.2")];
        let marked = |wanted: bool| {
            move |path: &frr_interop_tests::SeenPath| path.communities.contains(GRACEFUL_SHUTDOWN) == wanted
        };
        for (oracle, session, peer) in oracles {
            oracle.wait_path_that("203.0.113.0/24", &marked(false))?;
            let before = oracle.wait_established(session)?;
            ensure!(control(&bgpd, peer, "drain")? == 204);
            oracle.wait_path_that("203.0.113.0/24", &marked(true))?;
            let shown = bgpd.get(&format!("/v1/show/bgp/neighbors/{peer}?format=json"))?;
            ensure!(shown[peer]["gracefulShutdown"] == true, "{shown}");
            ensure!(control(&bgpd, peer, "undrain")? == 204);
            oracle.wait_path_that("203.0.113.0/24", &marked(false))?;
            oracle.ensure_same_session(session, &before)?;
        }
        // The whole instance, by configuration.
        let before = inside.wait_established("10.0.3.1")?;
        inside.wait_path_that("203.0.113.0/24", &|path| path.local_pref == Some(100))?;
        let drained = rutter(RUTTER, &neighbors, &routes)
            .replace("    peers:\n", "    gracefulShutdown: true\n    peers:\n");
        bgpd.reload(&drained)?;
        inside.wait_path_that("203.0.113.0/24", &|path| {
            path.local_pref == Some(0) && !path.communities.contains(GRACEFUL_SHUTDOWN)
        })?;
        frr_out.wait_path_that("203.0.113.0/24", &marked(true))?;
        bird_out.wait_path_that("203.0.113.0/24", &marked(true))?;
        ensure!(control(&bgpd, "10.0.1.2", "undrain")? == 409, "the configuration wants it");
        bgpd.reload(&rutter(RUTTER, &neighbors, &routes))?;
        inside.wait_path_that("203.0.113.0/24", &|path| path.local_pref == Some(100))?;
        inside.ensure_same_session("10.0.3.1", &before)
    });
}

#[test]
fn rutter_leaves_the_paths_of_those_who_leave() {
    run("gshut-receive", &["frr", "bird", "ibgp"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, RUTTER)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        // FRR's path is the shorter one.
        let leaves = star.peer(1)?.frr(&frr(
            1,
            65_001,
            "10.0.1.1",
            Wants { networks: &["198.51.1.0/24"], ..Wants::default() },
        ))?;
        let session = "ipv4 { import all; export filter { bgp_path.prepend(65002); accept; }; };";
        let stays = star.peer(2)?.bird(&bird(
            2,
            65_002,
            "10.0.2.1",
            Wants { networks: &["198.51.1.0/24"], session, ..Wants::default() },
        ))?;
        let watch = star.peer(3)?.frr(&frr(3, RUTTER, "10.0.3.1", Wants::default()))?;
        leaves.wait_established("10.0.1.1")?;
        stays.wait_established("10.0.2.1")?;
        watch.wait_path_that("198.51.1.0/24", &|path| path.as_path == "65001")?;
        leaves.configure(&["router bgp 65001", "bgp graceful-shutdown"])?;
        watch.wait_path_that("198.51.1.0/24", &|path| path.as_path == "65002 65002")?;
        leaves.configure(&["router bgp 65001", "no bgp graceful-shutdown"])?;
        watch.wait_path_that("198.51.1.0/24", &|path| path.as_path == "65001")?;
        // Who is not believed stays the best.
        let deaf =
            [over_v4(1, 65_001).with("ignoreGracefulShutdown: true"), over_v4(2, 65_002), over_v4(3, RUTTER)];
        leaves.configure(&["router bgp 65001", "bgp graceful-shutdown"])?;
        watch.wait_path_that("198.51.1.0/24", &|path| path.as_path == "65002 65002")?;
        bgpd.reload(&rutter(RUTTER, &deaf, &[]))?;
        watch.wait_path_that("198.51.1.0/24", &|path| {
            path.as_path == "65001" && path.communities.contains(GRACEFUL_SHUTDOWN)
        })?;
        Ok(())
    });
}
