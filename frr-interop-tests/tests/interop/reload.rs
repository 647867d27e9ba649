//! SIGHUP: the new file takes effect, sessions that it does not change do not notice, and a bad file changes nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Session, run};
use rutter_lab::wait_for;

use crate::daemons::{ASNS, Neighbor, RUTTER, TRIO, Trio, over_v4, rutter};

fn neighbors() -> Vec<Neighbor> {
    (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect()
}

fn sessions(trio: &Trio) -> Result<Vec<Session>> {
    trio.oracles()
        .into_iter()
        .map(|(link, oracle)| oracle.wait_established(&format!("10.0.{link}.1")))
        .collect()
}

fn ensure_untouched(trio: &Trio, before: &[Session], links: &[usize]) -> Result<()> {
    for ((link, oracle), before) in trio.oracles().into_iter().zip(before) {
        if links.contains(&link) {
            oracle.ensure_same_session(&format!("10.0.{link}.1"), before)?;
        }
    }
    Ok(())
}

#[test]
fn routes_and_policies_change_without_a_reset() {
    run("reload-routes", &TRIO, |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors(), &["prefix: 203.0.1.0/24"]))?;
        let trio = Trio::start(star, false, ASNS, [&["198.51.1.0/24"], &[], &[]])?;
        let before = sessions(&trio)?;
        trio.gobgp.wait_path("198.51.1.0/24")?;

        bgpd.reload(&rutter(
            RUTTER,
            &neighbors(),
            &["prefix: 203.0.1.0/24, med: 5", "prefix: 203.0.2.0/24"],
        ))?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("203.0.2.0/24")?;
            oracle.wait_path_that("203.0.1.0/24", &|path| path.med == Some(5))?;
        }
        let policy = "export: {name: p, defaultAction: reject, statements: [{name: s, \
            prefixes: [{prefix: 203.0.1.0/24}], action: accept, set: {prepend: 1}}]}";
        let mut changed = neighbors();
        changed[1] = changed[1].clone().with(policy);
        bgpd.reload(&rutter(RUTTER, &changed, &["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]))?;
        trio.bird.wait_path_that("203.0.1.0/24", &|path| path.as_path == "65000 65000")?;
        trio.bird.wait_gone("203.0.2.0/24")?;
        trio.bird.wait_gone("198.51.1.0/24")?;
        trio.frr.wait_path_that("203.0.1.0/24", &|path| path.as_path == "65000")?;

        // The import policy is applied again to what FRR sent long ago.
        let import = "import: {name: i, defaultAction: accept, statements: [{name: s, action: accept, \
            set: {addCommunities: [\"65000:77\"]}}]}";
        changed[0] = changed[0].clone().with(import);
        bgpd.reload(&rutter(RUTTER, &changed, &["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]))?;
        trio.gobgp.wait_path_that("198.51.1.0/24", &|path| path.communities.contains("65000:77"))?;
        ensure_untouched(&trio, &before, &[1, 2, 3])
    });
}

#[test]
fn one_peer_changes_comes_or_goes_and_the_others_stay() {
    run("reload-peers", &TRIO, |star| {
        let all = neighbors();
        let routes = ["prefix: 203.0.1.0/24"];
        let bgpd = star.bgpd(&rutter(RUTTER, &all[..2], &routes))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        // FRR would dial again at once, be refused, and forget what it was told before.
        trio.frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 passive"])?;
        let before: Vec<Session> =
            vec![trio.frr.wait_established("10.0.1.1")?, trio.bird.wait_established("10.0.2.1")?];

        bgpd.reload(&rutter(RUTTER, &all, &routes))?;
        trio.gobgp.wait_path("203.0.1.0/24")?;
        ensure_untouched(&trio, &before, &[1, 2])?;

        // Gone from the file: the peer is told so (RFC 4486, subcode 3).
        bgpd.reload(&rutter(RUTTER, &all[1..], &routes))?;
        trio.frr.wait_gone("203.0.1.0/24")?;
        wait_for(PATIENCE, "FRR to report Cease/Peer De-configured", || {
            let session = trio.frr.session("10.0.1.1".parse()?)?;
            ensure!(session.last_error.contains("Cease/Peer De-configured"), "{session:?}");
            Ok(())
        })?;
        ensure_untouched(&trio, &before, &[2])?;

        // Administratively down and up again.
        let mut down = all.clone();
        down[2] = down[2].clone().with("shutdown: true");
        bgpd.reload(&rutter(RUTTER, &down, &routes))?;
        trio.gobgp.wait_down("10.0.3.1", PATIENCE)?;
        trio.frr.wait_path("203.0.1.0/24")?;
        bgpd.reload(&rutter(RUTTER, &all, &routes))?;
        trio.gobgp.wait_path("203.0.1.0/24")?;
        ensure_untouched(&trio, &before, &[2])
    });
}

#[test]
fn a_bad_file_changes_nothing() {
    run("reload-bad", &TRIO, |star| {
        let good = rutter(RUTTER, &neighbors(), &["prefix: 203.0.1.0/24"]);
        let bgpd = star.bgpd(&good)?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("203.0.1.0/24")?;
        }
        let before = sessions(&trio)?;
        let bad = good.replace("203.0.1.0/24", "203.0.1.0/33");
        for text in [bad.as_str(), "instances: [", "instances:\n  - name: x\n"] {
            bgpd.reload(text)?;
            std::thread::sleep(Duration::from_millis(500));
            bgpd.daemon().ensure_running()?;
            ensure_untouched(&trio, &before, &[1, 2, 3])?;
            for (_, oracle) in trio.oracles() {
                oracle.wait_path("203.0.1.0/24")?;
            }
        }
        ensure!(bgpd.daemon().log().contains("bgpd.yaml"), "the log does not say which file was bad");
        // And a good file after a bad one works.
        bgpd.reload(&good.replace("203.0.1.0/24", "203.0.2.0/24"))?;
        trio.frr.wait_path("203.0.2.0/24")?;
        trio.frr.wait_gone("203.0.1.0/24")
    });
}
