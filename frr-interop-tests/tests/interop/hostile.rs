//! Neighbours that are a burden: they flap, flood, send what hardly fits; and many at once. The clean ones beside them
//! must not notice.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{KEEPALIVE, Oracle, ROUTE_REFRESH, RawPeer, UPDATE, attribute, open_extended, run};
use rutter_lab::Bgpd;

use crate::daemons::{Neighbor, RUTTER, Wants, bird, frr, over_v4, rutter};

fn plain() -> Vec<Vec<u8>> {
    vec![
        attribute(0x40, 1, &[0]),
        attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9]),
        attribute(0x40, 3, &[10, 0, 1, 2]),
    ]
}

fn passive(link: usize, asn: u32) -> Neighbor {
    over_v4(link, asn).with("passive: true")
}

/// CPU seconds that bgpd has used so far.
fn cpu_seconds(bgpd: &Bgpd) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", bgpd.daemon().pid()?))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("an empty stat")?.split_whitespace().collect();
    let ticks: f64 = [11, 12].into_iter().filter_map(|index| fields.get(index)?.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

#[test]
fn a_flapping_route_ends_as_it_was_left() {
    run("flapping", &["raw", "frr", "bird"], |star| {
        let neighbors = [passive(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let bird = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", Wants::default()))?;
        let before = (frr.wait_established("10.0.2.1")?, bird.wait_established("10.0.3.1")?);
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let prefixes: Vec<String> = (0..50).map(|index| format!("20.0.{index}.0/24")).collect();
        for round in 0..200_u32 {
            for (index, prefix) in prefixes.iter().enumerate() {
                let med = attribute(0x80, 4, &round.to_be_bytes());
                let community = attribute(0xc0, 8, &(0xfde9_0000 + round).to_be_bytes());
                raw.announce(&[plain(), vec![med, community]].concat(), &[prefix])?;
                if (index + usize::try_from(round)?).is_multiple_of(3) {
                    raw.withdraw(&[prefix])?;
                }
            }
        }
        // Round 199 was the last: a third of them ends withdrawn, the others with its community.
        for (index, prefix) in prefixes.iter().enumerate() {
            for oracle in [&frr as &dyn Oracle, &bird] {
                if (index + 199).is_multiple_of(3) {
                    oracle.wait_gone(prefix)?;
                } else {
                    oracle.wait_path_that(prefix, &|path| path.communities.contains("65001:199"))?;
                }
            }
        }
        frr.ensure_same_session("10.0.2.1", &before.0)?;
        bird.ensure_same_session("10.0.3.1", &before.1)
    });
}

#[test]
fn a_flood_of_refresh_requests() {
    run("refresh-flood", &["raw", "frr"], |star| {
        let impatient =
            over_v4(2, 65_002).with("timers: {connectRetrySeconds: 1, holdSeconds: 6, keepaliveSeconds: 2}");
        let routes: Vec<String> = (0..2_000)
            .map(|index| format!("prefix: 20.{}.{}.0/24, med: {index}", index / 256, index % 256))
            .collect();
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let bgpd = star.bgpd(&rutter(RUTTER, &[passive(1, 65_001), impatient], &routes))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let before = frr.wait_established("10.0.2.1")?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        // Asks again and again and reads nothing for a while: the answers must not pile up without bound.
        for _ in 0..2_000 {
            raw.send(ROUTE_REFRESH, &[0, 1, 0, 1])?;
        }
        std::thread::sleep(Duration::from_secs(7));
        raw.send(KEEPALIVE, &[])?;
        let updates = raw.drain(Duration::from_secs(2))?.iter().filter(|frame| frame.kind == UPDATE).count();
        ensure!(updates >= 2_000, "{updates} UPDATEs");
        let status = fs::read_to_string(format!("/proc/{}/status", bgpd.daemon().pid()?))?;
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
        let kib: u64 = peak.split_whitespace().nth(1).context("no figure")?.parse()?;
        ensure!(kib < 200_000, "bgpd grew to {kib} KiB");
        frr.ensure_same_session("10.0.2.1", &before)
    });
}

/// An UPDATE that just fits where it came from does not fit any more with one ASN in front: it cannot be passed on to
/// a peer without extended messages (RFC 8654 §4), which then must not keep an older path.
#[test]
fn attributes_that_do_not_fit_any_more() {
    run("too-long", &["raw", "bird", "frr"], |star| {
        let neighbors = [passive(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        // BIRD takes messages of 4,096 octets, FRR longer ones.
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let frr = star.peer(3)?.frr(&frr(3, 65_003, "10.0.3.1", Wants::default()))?;
        let before = bird.wait_established("10.0.2.1")?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish_with(&open_extended(65_001, [10, 0, 1, 2].into()))?;
        let communities = |count: u32| {
            let value: Vec<u8> = (0..count).flat_map(|index| (0xfde9_0000 + index).to_be_bytes()).collect();
            attribute(0xc0, 8, &value)
        };
        raw.announce(&plain(), &["20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16"])?;
        bird.wait_path("20.1.0.0/16")?;
        // 4,000 octets of communities still fit, 4,052 fit only on the way in, 8,000 only where messages are extended.
        raw.announce(&[plain(), vec![communities(1_000)]].concat(), &["20.1.0.0/16"])?;
        raw.announce(&[plain(), vec![communities(1_010)]].concat(), &["20.2.0.0/16"])?;
        raw.announce(&[plain(), vec![communities(2_000)]].concat(), &["20.3.0.0/16"])?;
        for (prefix, count) in [("20.1.0.0/16", 1_000), ("20.2.0.0/16", 1_010), ("20.3.0.0/16", 2_000)] {
            frr.wait_path_that(prefix, &|path| path.communities.len() == count)?;
        }
        // BIRD shows the beginning of a long list only.
        bird.wait_path_that("20.1.0.0/16", &|path| path.communities.len() > 30)?;
        bird.wait_gone("20.3.0.0/16")?;
        // And once it fits again it is told again.
        raw.announce(&plain(), &["20.3.0.0/16"])?;
        bird.wait_path_that("20.3.0.0/16", &|path| path.communities.is_empty())?;
        bird.ensure_same_session("10.0.2.1", &before)
    });
}

#[test]
fn forty_neighbours_and_quiet_afterwards() {
    run("forty", &["many"], |star| {
        let address = |index: usize| format!("10.0.1.{}", 10 + index);
        let neighbors: Vec<_> =
            (0..40).map(|index| passive(10 + index, 65_001).at(&address(index))).collect();
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let mut speakers = Vec::new();
        for index in 0..40 {
            star.peer(1)?.ip(&["addr", "add", &format!("{}/24", address(index)), "dev", "eth0"])?;
            let mut raw = RawPeer::connect_from(star.peer(1)?, &address(index), "10.0.1.1")?;
            raw.establish(65_001, [10, 0, 1, u8::try_from(10 + index)?].into())?;
            speakers.push(raw);
        }
        for raw in &mut speakers {
            raw.expect(UPDATE, Duration::from_secs(10))?;
        }
        // Forty idle sessions cost next to nothing.
        std::thread::sleep(Duration::from_secs(1));
        let (begun, used) = (Instant::now(), cpu_seconds(&bgpd)?);
        std::thread::sleep(Duration::from_secs(4));
        let share = (cpu_seconds(&bgpd)? - used) / begun.elapsed().as_secs_f64();
        ensure!(share < 0.05, "an idle bgpd uses {:.1} % of a core", share * 100.0);
        Ok(())
    });
}

/// The receiver's session is reset again and again while a table is on its way to it; in the end it has all of it.
#[test]
fn resets_in_the_middle_of_a_table() {
    run("reset-midway", &["sender", "frr"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        frr.wait_established("10.0.2.1")?;
        let mut statics = "protocol static many { ipv4;\n".to_owned();
        for index in 0..20_000 {
            statics.push_str(&format!(" route 20.{}.{}.0/24 blackhole;\n", index / 256, index % 256));
        }
        statics.push_str("}\n");
        let wants = Wants {
            more: &statics,
            session: "ipv4 { import all; export filter { bgp_med = 5; accept; }; };",
            ..Wants::default()
        };
        let sender = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(300));
            frr.vtysh(&["clear bgp 10.0.2.1"])?;
            sender.birdc("disable many")?;
            sender.birdc("enable many")?;
        }
        rutter_lab::wait_for(Duration::from_secs(60), "the whole table at FRR", || {
            let shown = frr.show_json("show bgp ipv4 unicast summary json")?;
            ensure!(shown["peers"]["10.0.2.1"]["pfxRcd"] == 20_000, "{}", shown["peers"]["10.0.2.1"]);
            Ok(())
        })?;
        bgpd.daemon().ensure_running()
    });
}
