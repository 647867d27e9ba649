//! Every attacker at once beside FRR, BIRD and a raw speaker with hold times of 9 s: none of these may notice. The longer
//! run with figures is `cargo xtask bench hostile`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, RawPeer, run};
use rutter_lab::attackers::{ASN, ATTACKERS, listen};
use rutter_lab::wait_for;

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const IMPATIENT: &str = "timers: {connectRetrySeconds: 1, holdSeconds: 9, keepaliveSeconds: 3}";

#[test]
fn all_attackers_at_once_and_the_others_do_not_notice() {
    run("hostile-mix", &["frr", "bird", "hostile", "clean"], |star| {
        let hostile = star.peer(3)?;
        hostile.sysctl("net.ipv4.tcp_rmem", "4096 16384 65536")?;
        let mut neighbors = vec![
            over_v4(1, 65_001).with(IMPATIENT),
            over_v4(2, 65_002).with(IMPATIENT),
            over_v4(4, 65_004).with(IMPATIENT).with("passive: true"),
        ];
        for (number, attacker) in (10..).zip(ATTACKERS) {
            hostile.ip(&["addr", "add", &format!("{}/24", attacker.address), "dev", "eth0"])?;
            if !attacker.is_stranger() {
                let limited = over_v4(number, ASN).at(attacker.address).with("passive: true");
                neighbors.push(limited.with("maxPrefixes: 100"));
            }
        }
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let mut statics = "protocol static many { ipv4;\n".to_owned();
        for index in 0..20_000 {
            let (high, low) = (index / 256, index % 256);
            statics.push_str(&format!(
                " route 20.{high}.{low}.0/24 blackhole {{ bgp_community.add((65002,{index})); }};\n"
            ));
        }
        statics.push_str("}\n");
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let wants = Wants { more: &statics, ..Wants::default() };
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        wait_for(Duration::from_secs(60), "the table at FRR", || {
            let shown = frr.show_json("show bgp ipv4 unicast summary json")?;
            ensure!(shown["peers"]["10.0.1.1"]["pfxRcd"] == 20_000, "{}", shown["peers"]["10.0.1.1"]);
            Ok(())
        })?;
        let before = (frr.wait_established("10.0.1.1")?, bird.wait_established("10.0.2.1")?);
        let (over, work) = (AtomicBool::new(false), AtomicU64::new(0));
        let gaps = thread::scope(|scope| -> Result<Vec<Duration>> {
            let clean = scope.spawn(|| listen(star.peer(4)?, "10.0.4.1", 65_004, &over));
            for attacker in ATTACKERS {
                scope.spawn(|| attacker.run(hostile, &over, &work));
            }
            thread::sleep(Duration::from_secs(15));
            over.store(true, Ordering::Relaxed);
            clean.join().expect("the well-behaved speaker does not panic")
        })?;
        ensure!(work.load(Ordering::Relaxed) > 1_000, "the attackers did not get to work");
        let longest = gaps.iter().max().copied().unwrap_or_default();
        ensure!(longest < Duration::from_secs(9), "a well-behaved speaker heard nothing for {longest:?}");
        frr.ensure_same_session("10.0.1.1", &before.0)?;
        bird.ensure_same_session("10.0.2.1", &before.1)?;
        bgpd.daemon().ensure_running()
    });
}

/// A neighbour that does not take its table is shown as slow, counted, and no longer shown once it reads.
#[test]
fn a_peer_that_stops_reading_is_shown_as_slow() {
    run("slow-peer", &["deaf", "bird"], |star| {
        star.peer(1)?.sysctl("net.ipv4.tcp_rmem", "4096 16384 65536")?;
        let neighbors = [over_v4(1, 65_001).with("passive: true"), over_v4(2, 65_002)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let mut statics = "protocol static many { ipv4;\n".to_owned();
        for index in 0..60_000 {
            let (high, low) = (index / 256, index % 256);
            statics.push_str(&format!(
                " route 20.{high}.{low}.0/24 blackhole {{ bgp_community.add((65002,{index})); }};\n"
            ));
        }
        statics.push_str("}\n");
        let wants = Wants { more: &statics, ..Wants::default() };
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        let before = bird.wait_established("10.0.2.1")?;
        let mut deaf = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        deaf.establish(65_001, [10, 0, 1, 2].into())?;
        let shown =
            || Ok::<_, anyhow::Error>(bgpd.get("/v1/show/bgp/neighbors/10.0.1.2")?["10.0.1.2"].clone());
        wait_for(Duration::from_secs(60), "rutter to show it as slow", || {
            let shown = shown()?;
            ensure!(shown["slowPeerMsecs"].as_u64() >= Some(30_000), "{}", shown["queuedOctets"]);
            ensure!(shown["queuedOctets"].as_u64() <= Some(512 * 1024), "the queue has no bound: {shown}");
            Ok(())
        })?;
        let summary = bgpd.get("/v1/show/bgp/ipv4/summary")?;
        ensure!(summary["peers"]["10.0.1.2"]["slowPeer"] == true, "{summary}");
        ensure!(summary["peers"]["10.0.2.2"]["slowPeer"].is_null(), "{summary}");
        let metrics = bgpd.request("GET", "/metrics", None)?.body;
        let slow = |line: &&str| line.starts_with("bgpd_slow_peer_total") && line.contains("10.0.1.2");
        let line = metrics.lines().find(slow).unwrap_or_default();
        ensure!(line.ends_with(" 1"), "{line}");
        ensure!(bgpd.daemon().log().contains("slow peer"), "the log says nothing");
        deaf.drain(Duration::from_secs(2))?;
        wait_for(Duration::from_secs(20), "rutter to show that it reads again", || {
            let shown = shown()?;
            ensure!(shown["slowPeerMsecs"].is_null() && shown["slowPeerCount"] == 1, "{shown}");
            Ok(())
        })?;
        bird.ensure_same_session("10.0.2.1", &before)
    });
}
