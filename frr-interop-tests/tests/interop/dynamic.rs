//! Dynamic neighbours: FRR, BIRD and GoBGP come from a range that no peer is configured for.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::wait_for;
use serde_json::Value;

use crate::daemons::{ASNS, RUTTER, TRIO, Trio};

fn config(ranges: &str, limit: u32, more: &str) -> String {
    format!(
        "instances:\n  - name: main\n    localASN: {RUTTER}\n    routerID: 192.0.2.1\n    listenPort: 179\n    peerGroups:\n      \
         - {{name: racks, families: [ipv4-unicast], description: from a rack}}\n    dynamicPeers:\n      \
         - {{name: all, ranges: [{ranges}], limit: {limit}, peerASNs: [65001, 65002, 65003], group: racks{more}}}\n    \
         routes: [{{prefix: 203.0.1.0/24}}]\n"
    )
}

#[test]
fn neighbours_of_a_range_come_up_to_a_limit_and_go_with_the_range() {
    run("dynamic", &TRIO, |star| {
        let bgpd = star.bgpd(&config("10.0.1.0/24, 10.0.2.0/24", 2, ""))?;
        let trio =
            Trio::start(star, false, ASNS, [&["198.51.1.0/24"], &["198.51.2.0/24"], &["198.51.3.0/24"]])?;
        trio.frr.wait_path("198.51.2.0/24")?;
        trio.bird.wait_path("198.51.1.0/24")?;
        trio.gobgp.ensure_absent_for("203.0.1.0/24", Duration::from_secs(1))?;
        let summary: Value = bgpd.get("/v1/show/bgp/summary")?;
        let family = &summary["ipv4Unicast"];
        ensure!(
            family["dynamicPeers"] == 2 && family["peers"]["10.0.1.2"]["dynamicPeer"] == true,
            "{summary}"
        );
        let text = bgpd.request("GET", "/v1/show/bgp/neighbors/10.0.1.2?format=text", None)?.body;
        ensure!(
            text.contains("BGP neighbor is *10.0.1.2") && text.contains("Member of peer-group racks"),
            "{text}"
        );
        let before = (trio.frr.wait_established("10.0.1.1")?, trio.bird.wait_established("10.0.2.1")?);

        // In a range now, but there are as many as may be.
        bgpd.reload(&config("10.0.0.0/16", 2, ""))?;
        wait_for(PATIENCE, "GoBGP to be refused for the limit", || {
            refused(&bgpd.request("GET", "/metrics", None)?.body)
        })?;
        trio.gobgp.ensure_absent_for("203.0.1.0/24", Duration::from_secs(1))?;
        bgpd.reload(&config("10.0.0.0/16", 3, ", timers: {holdSeconds: 60, keepaliveSeconds: 5}"))?;
        trio.gobgp.wait_path("203.0.1.0/24")?;
        trio.frr.wait_path("198.51.3.0/24")?;
        trio.frr.ensure_same_session("10.0.1.1", &before.0)?;
        trio.bird.ensure_same_session("10.0.2.1", &before.1)?;

        // The range of one goes, the others stay.
        let before = trio.bird.wait_established("10.0.2.1")?;
        bgpd.reload(&config("10.0.2.0/24, 10.0.3.0/24", 3, ""))?;
        trio.frr.wait_gone("203.0.1.0/24")?;
        let log = bgpd.daemon().log();
        let told = log.lines().any(|line| line.contains("Peer De-configured") && line.contains("10.0.1.2"));
        ensure!(told, "FRR is told why: {log}");
        trio.bird.ensure_same_session("10.0.2.1", &before)
    });
}

fn refused(metrics: &str) -> Result<()> {
    let line =
        metrics.lines().find(|line| line.contains("connections_refused") && line.contains("dynamic-limit"));
    ensure!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
    Ok(())
}
