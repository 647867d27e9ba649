//! TTL security (RFC 5082): packets leave with a TTL of 255, and those that come with less than the neighbour's hops allow
//! are dropped by the kernel.

use std::time::Duration;

use frr_interop_tests::{Oracle, run};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const HOPS: &str = "ttlSecurityHops: 1";

#[test]
fn neighbours_on_the_link_speak_with_ttl_255() {
    run("gtsm", &["frr", "bird"], |star| {
        let plain = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let secure = plain.clone().map(|neighbor| neighbor.with(HOPS));
        let routes = ["prefix: 203.0.1.0/24"];
        let bgpd = star.bgpd(&rutter(RUTTER, &plain, &routes))?;
        let session = " neighbor 10.0.1.1 ttl-security hops 1";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, ..Wants::default() }))?;
        let session = "ttl security on;";
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants { session, ..Wants::default() }))?;
        // What rutter sends without it has a TTL of 1, and neither takes that.
        frr.ensure_absent_for("203.0.1.0/24", Duration::from_secs(3))?;
        bird.ensure_absent_for("203.0.1.0/24", Duration::from_millis(100))?;
        bgpd.reload(&rutter(RUTTER, &secure, &routes))?;
        frr.wait_path("203.0.1.0/24")?;
        bird.wait_path("203.0.1.0/24")?;
        Ok(())
    });
}

#[test]
fn packets_from_further_away_are_dropped() {
    run("gtsm-far", &["frr", "bird"], |star| {
        let plain = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let secure = plain.clone().map(|neighbor| neighbor.with(HOPS));
        let routes = |more: &'static str| ["prefix: 203.0.1.0/24", more];
        let bgpd = star.bgpd(&rutter(RUTTER, &secure, &routes("prefix: 203.0.2.0/24")))?;
        // They send with a TTL of 1, as from 254 routers away.
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        frr.ensure_absent_for("203.0.1.0/24", Duration::from_secs(4))?;
        bird.ensure_absent_for("203.0.1.0/24", Duration::from_millis(100))?;
        bgpd.reload(&rutter(RUTTER, &plain, &routes("prefix: 203.0.2.0/24")))?;
        frr.wait_path("203.0.1.0/24")?;
        bird.wait_path("203.0.1.0/24")?;
        let before = (frr.wait_established("10.0.1.1")?, bird.wait_established("10.0.2.1")?);
        // On the live sockets: from now on nothing of theirs is heard, and what we send is not acknowledged.
        bgpd.reload(&rutter(RUTTER, &secure, &routes("prefix: 203.0.2.0/24")))?;
        std::thread::sleep(Duration::from_secs(2));
        // Taken back in time, the same sessions go on.
        bgpd.reload(&rutter(RUTTER, &plain, &routes("prefix: 203.0.3.0/24")))?;
        frr.wait_path("203.0.3.0/24")?;
        bird.wait_path("203.0.3.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before.0)?;
        bird.ensure_same_session("10.0.2.1", &before.1)
    });
}
