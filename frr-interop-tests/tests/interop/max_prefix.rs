//! Prefix limits (RFC 4486) against FRR and BIRD: a warning alone, a session that stays closed, one that comes back by itself,
//! and limits that change under a live session.

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::{Bgpd, wait_for};
use serde_json::Value;

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const THREE: [&str; 3] = ["198.51.1.0/24", "198.51.2.0/24", "198.51.3.0/24"];

fn neighbor(bgpd: &Bgpd, peer: &str) -> Result<Value> {
    Ok(bgpd.get(&format!("/v1/show/bgp/neighbors/{peer}?format=json"))?[peer].clone())
}

fn metric(bgpd: &Bgpd, name: &str, peer: &str) -> Result<u64> {
    let text = bgpd.request("GET", "/metrics", None)?.body;
    let line =
        text.lines().find(|line| line.starts_with(name) && line.contains(&format!("neighbor=\"{peer}")));
    let value =
        line.and_then(|line| line.rsplit(' ').next()).with_context(|| format!("no {name} of {peer}"))?;
    Ok(value.parse()?)
}

fn configured(limit: &str) -> String {
    let peers = [(1, 65_001), (2, 65_002)]
        .map(|(link, asn)| over_v4(link, asn).with(&format!("maxPrefixes: {limit}")));
    rutter(RUTTER, &peers, &["prefix: 203.0.113.0/24"])
}

#[test]
fn a_limit_warns_and_changes_softly_then_closes_and_reopens() {
    run("max-prefix", &["frr", "bird"], |star| {
        let bgpd = star.bgpd(&configured("{limit: 2, action: warn}"))?;
        let wants = Wants { networks: &THREE, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        let oracles: [(&dyn Oracle, &str, &str); 2] =
            [(&frr, "10.0.1.1", "10.0.1.2"), (&bird, "10.0.2.1", "10.0.2.2")];
        // Only told, once per crossing.
        let mut before = Vec::new();
        for (oracle, ours, peer) in oracles {
            before.push(oracle.wait_established(ours)?);
            wait_for(PATIENCE, "the limit to be passed", || {
                ensure!(metric(&bgpd, "bgpd_prefix_limit_total", peer)? == 1);
                ensure!(metric(&bgpd, "bgpd_prefix_warnings_total", peer)? == 1);
                Ok(())
            })?;
            let shown = neighbor(&bgpd, peer)?;
            let family = &shown["addressFamilyInfo"]["ipv4Unicast"];
            ensure!(family["prefixAllowedMax"] == 2 && family["prefixAllowedMaxWarning"] == true, "{family}");
            ensure!(family["prefixAllowedWarningThresh"] == 75, "{family}");
        }
        // Higher: nothing happens to anybody.
        bgpd.reload(&configured("{limit: 10, warningPercent: 90, action: restart, restartSeconds: 3}"))?;
        for ((oracle, ours, peer), before) in oracles.into_iter().zip(&before) {
            wait_for(PATIENCE, "the new limit", || {
                let family = neighbor(&bgpd, peer)?["addressFamilyInfo"]["ipv4Unicast"].clone();
                ensure!(family["prefixAllowedRestartIntervalMsecs"] == 3000, "{family}");
                Ok(())
            })?;
            oracle.ensure_same_session(ours, before)?;
        }
        // Lower: closed with Cease/Maximum Number of Prefixes Reached, and open again after three seconds.
        bgpd.reload(&configured("{limit: 2, action: restart, restartSeconds: 3}"))?;
        for (oracle, ours, peer) in oracles {
            wait_for(PATIENCE, "the session to be closed", || {
                let shown = neighbor(&bgpd, peer)?;
                ensure!(shown["prefixesConfigExceedMax"] == true, "{shown}");
                ensure!(shown["reducePrefixNumFrom"] == true, "{shown}");
                ensure!(shown["restartInTimerMsec"].as_u64().is_some_and(|left| left <= 3000), "{shown}");
                ensure!(shown["lastErrorCodeSubcode"] == "0601", "{shown}");
                Ok(())
            })?;
            oracle.wait_gone("203.0.113.0/24")?;
            // It comes back by itself, and passes the limit again.
            wait_for(PATIENCE, "the session to come back", || {
                ensure!(metric(&bgpd, "bgpd_session_established_total", peer)? >= 2);
                Ok(())
            })?;
            let _ = ours;
        }
        // Stop: nothing comes back before the limit is raised.
        bgpd.reload(&configured("2"))?;
        for (_, _, peer) in oracles {
            wait_for(PATIENCE, "the session to be closed for good", || {
                let shown = neighbor(&bgpd, peer)?;
                ensure!(shown["reducePrefixNumAndClearIpBgp"] == true, "{shown}");
                Ok(())
            })?;
        }
        bgpd.reload(&configured("3"))?;
        for (oracle, ours, _) in oracles {
            oracle.wait_established(ours)?;
            oracle.wait_path("203.0.113.0/24")?;
        }
        Ok(())
    });
}
