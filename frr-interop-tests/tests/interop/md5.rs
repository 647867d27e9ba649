//! TCP MD5 (RFC 2385): a key that changes while the session goes on, and one key for a whole range of neighbours.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::{Bgpd, wait_for};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

fn ensure_nothing_secret(bgpd: &Bgpd, secrets: &[&str]) -> Result<()> {
    let log = bgpd.daemon().log();
    ensure!(!secrets.iter().any(|secret| log.contains(secret)), "a password is in the log:\n{log}");
    for page in ["/v1/show/bgp/neighbors", "/v1/intents/file", "/metrics"] {
        let text = bgpd.request("GET", page, None)?.body;
        ensure!(!secrets.iter().any(|secret| text.contains(secret)), "a password is shown:\n{text}");
    }
    Ok(())
}

/// Neither FRR nor BIRD can change a key without a reset, so they keep theirs: rutter changes its own and back again. In
/// between nothing comes through, which shows that the live socket has the new key; afterwards TCP has repeated what was
/// lost, in the same session.
#[test]
fn the_key_of_a_live_session_changes_without_a_reset() {
    run("md5-live", &["frr", "bird"], |star| {
        let config = |password: &str, routes: &[&str]| {
            let signed = |link, asn| over_v4(link, asn).with(&format!("password: {password}"));
            rutter(RUTTER, &[signed(1, 65_001), signed(2, 65_002)], routes)
        };
        let (one, both) = (["prefix: 203.0.1.0/24"], ["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]);
        let bgpd = star.bgpd(&config("first-key", &one))?;
        let session = " neighbor 10.0.1.1 password first-key";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, ..Wants::default() }))?;
        let session = "password \"first-key\";";
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants { session, ..Wants::default() }))?;
        frr.wait_path("203.0.1.0/24")?;
        bird.wait_path("203.0.1.0/24")?;
        let before = (frr.wait_established("10.0.1.1")?, bird.wait_established("10.0.2.1")?);

        bgpd.reload(&config("second-key", &one))?;
        wait_for(PATIENCE, "the new key to be set", || {
            let log = bgpd.daemon().log();
            ensure!(log.contains("main/link2: changed, session kept (password)"), "{log}");
            Ok(())
        })?;
        bgpd.reload(&config("second-key", &both))?;
        frr.ensure_absent_for("203.0.2.0/24", Duration::from_secs(3))?;
        bird.ensure_absent_for("203.0.2.0/24", Duration::from_millis(100))?;
        bgpd.reload(&config("first-key", &both))?;
        frr.wait_path("203.0.2.0/24")?;
        bird.wait_path("203.0.2.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before.0)?;
        bird.ensure_same_session("10.0.2.1", &before.1)?;
        let log = bgpd.daemon().log();
        ensure!(log.contains("main/link1: changed, session kept (password)"), "{log}");
        ensure_nothing_secret(&bgpd, &["first-key", "second-key"])
    });
}

#[test]
fn a_range_of_neighbours_has_one_key() {
    run("md5-range", &["frr", "bird"], |star| {
        let config = |password: &str| {
            format!(
                "instances:\n  - name: main\n    localASN: {RUTTER}\n    routerID: 192.0.2.1\n    listenPort: 179\n    \
                 dynamicPeers:\n      - name: racks\n        ranges: [10.0.0.0/16]\n        password: {password}\n    \
                 routes: [{{prefix: 203.0.1.0/24}}]\n"
            )
        };
        let bgpd = star.bgpd(&config("first-key"))?;
        let session = " neighbor 10.0.1.1 password first-key";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, ..Wants::default() }))?;
        let session = "password \"other-key\";";
        let wants = Wants { session, ..Wants::default() };
        let far = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        frr.wait_path("203.0.1.0/24")?;
        far.ensure_absent_for("203.0.1.0/24", Duration::from_secs(3))?;
        let session = "password \"first-key\";";
        far.reconfigure(&bird(2, 65_002, "10.0.2.1", Wants { session, ..Wants::default() }))?;
        far.wait_path("203.0.1.0/24")?;
        let before = far.wait_established("10.0.2.1")?;
        // A new key for the range reaches the listener and both sockets; the old one brings both back.
        bgpd.reload(&config("second-key"))?;
        std::thread::sleep(Duration::from_secs(1));
        bgpd.reload(&config("first-key").replace("203.0.1.0/24", "203.0.2.0/24"))?;
        frr.wait_path("203.0.2.0/24")?;
        far.wait_path("203.0.2.0/24")?;
        far.ensure_same_session("10.0.2.1", &before)?;
        ensure_nothing_secret(&bgpd, &["first-key", "second-key", "other-key"])
    });
}
