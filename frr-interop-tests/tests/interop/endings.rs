//! How sessions end and come back: crashed and frozen peers, hold timers (RFC 4271 §6.5), cut lines, our own crash and
//! our own orderly end (RFC 4486).

use std::time::{Duration, Instant};

use anyhow::ensure;
use frr_interop_tests::{KEEPALIVE, NOTIFICATION, Oracle, PATIENCE, RawPeer, run};
use rutter_lab::wait_for;

use crate::daemons::{ASNS, Neighbor, RUTTER, TRIO, Trio, Wants, bird, frr, over_v4, rutter};

/// Hold time of 3 s: the shortest that RFC 4271 allows.
fn impatient(link: usize, asn: u32) -> Neighbor {
    over_v4(link, asn).with("timers: {connectRetrySeconds: 1, holdSeconds: 3, keepaliveSeconds: 1}")
}

#[test]
fn each_daemon_crashes_and_comes_back() {
    run("peer-crash", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let networks: [&[&str]; 3] = [&["198.51.1.0/24"], &["198.51.2.0/24"], &["198.51.3.0/24"]];
        let trio = Trio::start(star, false, ASNS, networks)?;
        trio.bird.wait_path("198.51.1.0/24")?;
        trio.frr.wait_path("198.51.2.0/24")?;
        trio.frr.wait_path("198.51.3.0/24")?;

        trio.frr.daemon().kill()?;
        trio.bird.wait_gone("198.51.1.0/24")?;
        trio.frr.start_bgpd()?;
        trio.bird.wait_path("198.51.1.0/24")?;
        trio.frr.wait_path("203.0.113.0/24")?;

        trio.bird.daemon().kill()?;
        trio.frr.wait_gone("198.51.2.0/24")?;
        trio.bird.start_again()?;
        trio.frr.wait_path("198.51.2.0/24")?;
        trio.bird.wait_path("203.0.113.0/24")?;

        trio.gobgp.daemon().kill()?;
        trio.frr.wait_gone("198.51.3.0/24")?;
        trio.gobgp.start_again()?;
        trio.gobgp.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn a_frozen_peer_is_given_up_after_the_hold_time() {
    run("frozen-peer", &["frr", "bird"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[impatient(1, 65_001), over_v4(2, 65_002)], &[]))?;
        let wants = Wants { networks: &["198.51.1.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        bird.wait_path("198.51.1.0/24")?;
        frr.daemon().pause()?;
        let frozen = Instant::now();
        bird.wait_gone("198.51.1.0/24")?;
        let took = frozen.elapsed();
        // The last keepalive came at most one second before the freeze.
        ensure!((1_800..6_000).contains(&took.as_millis()), "withdrawn after {took:?}, the hold time is 3 s");
        frr.daemon().resume()?;
        bird.wait_path("198.51.1.0/24").map(drop)
    });
}

#[test]
fn a_peer_that_says_nothing_more_is_told_why() {
    run("silent-peer", &["raw"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[impatient(1, 65_001)], &[]))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let silent = Instant::now();
        let (code, subcode, _) = raw.expect_notification(Duration::from_secs(8))?;
        let took = silent.elapsed();
        ensure!((code, subcode) == (4, 0), "NOTIFICATION {code}/{subcode} instead of Hold Timer Expired");
        ensure!((2_500..5_000).contains(&took.as_millis()), "after {took:?}, the hold time is 3 s");
        ensure!(raw.closed_within(Duration::from_secs(2))?, "the connection stays open");
        Ok(())
    });
}

#[test]
fn short_hold_times_are_negotiated_and_kept_alive() {
    run("keepalive", &["frr", "bird"], |star| {
        let neighbors = [impatient(1, 65_001), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let wants = Wants { session: "hold time 4;", ..Wants::default() };
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        let before = (frr.wait_established("10.0.1.1")?, bird.wait_established("10.0.2.1")?);
        let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
        ensure!(shown["10.0.1.1"]["bgpTimerHoldTimeMsecs"] == 3_000, "{shown}");
        std::thread::sleep(Duration::from_secs(9));
        frr.ensure_same_session("10.0.1.1", &before.0)?;
        bird.ensure_same_session("10.0.2.1", &before.1)
    });
}

#[test]
fn a_frozen_rutter_is_given_up_and_comes_back() {
    run("frozen-rutter", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[impatient(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24")?;
        bgpd.daemon().pause()?;
        frr.wait_gone("203.0.113.0/24")?;
        bgpd.daemon().resume()?;
        frr.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn a_cut_line_ends_the_session_on_both_sides_and_a_mended_one_brings_it_back() {
    run("cut-line", &["frr", "bird"], |star| {
        let neighbors = [impatient(1, 65_001), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = Wants { networks: &["198.51.1.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24")?;
        bird.wait_path("198.51.1.0/24")?;
        star.hub.silence("eth1", "10.0.1.2")?;
        star.peer(1)?.silence("eth0", "10.0.1.1")?;
        frr.wait_gone("203.0.113.0/24")?;
        bird.wait_gone("198.51.1.0/24")?;
        star.hub.unsilence("eth1", "10.0.1.2")?;
        star.peer(1)?.unsilence("eth0", "10.0.1.1")?;
        frr.wait_path("203.0.113.0/24")?;
        bird.wait_path("198.51.1.0/24").map(drop)
    });
}

#[test]
fn an_interface_that_goes_down_and_up() {
    run("link-down", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[impatient(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24")?;
        star.hub.ip(&["link", "set", "eth1", "down"])?;
        frr.wait_gone("203.0.113.0/24")?;
        // Long enough for rutter to dial into a network that is unreachable.
        std::thread::sleep(Duration::from_secs(4));
        star.hub.ip(&["link", "set", "eth1", "up"])?;
        frr.wait_path("203.0.113.0/24")?;
        bgpd.daemon().ensure_running()
    });
}

#[test]
fn rutter_crashes_and_comes_back() {
    run("rutter-crash", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let networks: [&[&str]; 3] = [&["198.51.1.0/24"], &[], &[]];
        let trio = Trio::start(star, false, ASNS, networks)?;
        let mut before = Vec::new();
        for (link, oracle) in trio.oracles() {
            oracle.wait_path("203.0.113.0/24")?;
            before.push(oracle.session(format!("10.0.{link}.1").parse()?)?);
        }
        bgpd.daemon().kill()?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_gone("203.0.113.0/24")?;
        }
        bgpd.start_again()?;
        for ((link, oracle), before) in trio.oracles().into_iter().zip(before) {
            oracle.wait_path("203.0.113.0/24")?;
            let now = oracle.session(format!("10.0.{link}.1").parse()?)?;
            ensure!(!oracle.same_incarnation(&before, &now), "{}: {now:?}", oracle.kind());
        }
        trio.bird.wait_path("198.51.1.0/24").map(drop)
    });
}

#[test]
fn sigterm_says_goodbye() {
    run("sigterm", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        // FRR would dial again at once and forget what it was told before.
        trio.frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 passive"])?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("203.0.113.0/24")?;
        }
        let begun = Instant::now();
        let status = bgpd.daemon().terminate(Duration::from_secs(5))?;
        ensure!(status.success(), "bgpd ended with {status}");
        ensure!(begun.elapsed() < Duration::from_secs(3), "the end took {:?}", begun.elapsed());
        for (_, oracle) in trio.oracles() {
            oracle.wait_gone("203.0.113.0/24")?;
        }
        let session = trio.frr.session("10.0.1.1".parse()?)?;
        ensure!(session.last_error.contains("Cease/Administrative Shutdown"), "{session:?}");
        wait_for(PATIENCE, "BIRD to report the farewell", || {
            let session = trio.bird.session("10.0.2.1".parse()?)?;
            ensure!(session.last_error.starts_with("Received: Administrative"), "{session:?}");
            Ok(())
        })
    });
}

/// Hold time 0: no keepalives, no hold timer (RFC 4271 §4.2).
#[test]
fn hold_time_zero_means_no_timer() {
    run("hold-zero", &["bird"], |star| {
        let neighbor =
            over_v4(1, 65_001).with("timers: {connectRetrySeconds: 1, holdSeconds: 0, keepaliveSeconds: 0}");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &["prefix: 203.0.113.0/24"]))?;
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", Wants::default()))?;
        bird.wait_path("203.0.113.0/24")?;
        let shown = bird.birdc("show protocols all rutter")?;
        let hold = shown.lines().find(|line| line.contains("Hold timer")).unwrap_or_default().to_owned();
        ensure!(hold.trim_end().ends_with("/0"), "{hold}");
        Ok(())
    });
}

#[test]
fn refused_connections_do_not_stop_the_dialling() {
    run("late-peer", &["bird"], |star| {
        let config = rutter(RUTTER, &[over_v4(1, 65_001)], &["prefix: 203.0.113.0/24"]);
        let _bgpd = star.bgpd(&config.replace("    listenPort: 179\n", ""))?;
        // Nobody listens yet: every dial is refused at once.
        std::thread::sleep(Duration::from_secs(4));
        let wants = Wants { session: "passive yes;", ..Wants::default() };
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        bird.wait_path("203.0.113.0/24").map(drop)
    });
}

/// A rutter that slept (a frozen machine, a busy core) reads what came meanwhile before it judges its peers by its clock.
#[test]
fn keepalives_that_came_during_a_sleep_count() {
    run("late-riser", &["raw"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[impatient(1, 65_001).with("passive: true")], &[]))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        bgpd.daemon().pause()?;
        for _ in 0..5 {
            std::thread::sleep(Duration::from_secs(1));
            raw.send(KEEPALIVE, &[])?;
        }
        bgpd.daemon().resume()?;
        for _ in 0..3 {
            ensure!(
                !raw.closed_within(Duration::from_secs(1))?,
                "rutter gave up a peer that was never silent"
            );
            raw.send(KEEPALIVE, &[])?;
        }
        Ok(())
    });
}

/// The peer says why it goes and resets the connection, while rutter has much to tell it and may learn of the reset first.
#[test]
fn the_reason_of_the_end_is_not_lost_in_a_reset() {
    run("reason-and-reset", &["raw"], |star| {
        // More than the socket buffers take of a peer that does not read.
        let routes: Vec<String> = (0..20_000)
            .map(|index| format!("prefix: 20.{}.{}.0/24, med: {index}", index / 256, index % 256))
            .collect();
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001).with("passive: true")], &routes))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        std::thread::sleep(Duration::from_secs(1));
        raw.send(NOTIFICATION, &[6, 2])?;
        drop(raw);
        wait_for(PATIENCE, "rutter to show what the peer said", || {
            let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2")?;
            let reason = shown["10.0.1.2"]["lastNotificationReason"].as_str().unwrap_or_default().to_owned();
            ensure!(reason.contains("Cease/Administrative Shutdown"), "{shown}");
            Ok(())
        })
    });
}
