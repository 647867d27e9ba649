//! Connection collisions (RFC 4271 §6.8): both sides dial, one connection remains, and it is the right one.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{KEEPALIVE, OPEN, RawPeer, run};
use rutter_lab::{Host, wait_for};

use crate::daemons::{ASNS, RUTTER, TRIO, Trio, over_v4, rutter};

/// Connections that are established between the hub and this peer.
fn connections(hub: &Host, link: usize) -> Result<usize> {
    let peer = format!("10.0.{link}.2");
    Ok(hub.check(&["ss", "-Htn", "state", "established", "dst", &peer])?.lines().count())
}

#[test]
fn both_sides_dial_again_and_again() {
    run("collision", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        for _round in 0..5 {
            for (link, oracle) in trio.oracles() {
                oracle.wait_established(&format!("10.0.{link}.1"))?;
            }
            trio.frr.vtysh(&["clear bgp *"])?;
            trio.bird.birdc("restart rutter")?;
            // Older GoBGPs stay idle for 30 s after a reset by hand.
            trio.gobgp.daemon().kill()?;
            trio.gobgp.start_again()?;
            std::thread::sleep(Duration::from_millis(200));
        }
        for (link, oracle) in trio.oracles() {
            oracle.wait_path("203.0.113.0/24")?;
            let session = oracle.wait_established(&format!("10.0.{link}.1"))?;
            wait_for(Duration::from_secs(5), "one connection to remain", || {
                let count = connections(&star.hub, link)?;
                ensure!(count == 1, "{count} connections to {}", oracle.kind());
                Ok(())
            })?;
            std::thread::sleep(Duration::from_secs(1));
            oracle.ensure_same_session(&format!("10.0.{link}.1"), &session)?;
        }
        Ok(())
    });
}

/// The peer takes rutter's connection and dials itself, and sends its OPEN on both. With the higher identifier its own
/// connection survives, with the lower one rutter's does; the other is closed with Cease, subcode 7 (RFC 4486).
fn collide(name: &str, router_id: [u8; 4], own_survives: bool) {
    run(name, &["raw"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let mut theirs = RawPeer::accept(star.peer(1)?, "10.0.1.2")?;
        let mut own = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        theirs.send_open(65_001, router_id.into())?;
        theirs.expect(OPEN, Duration::from_secs(5))?;
        own.send_open(65_001, router_id.into())?;
        let (mut winner, mut loser) = if own_survives { (own, theirs) } else { (theirs, own) };
        let (code, subcode, _) = loser.expect_notification(Duration::from_secs(5))?;
        ensure!((code, subcode) == (6, 7), "NOTIFICATION {code}/{subcode} instead of Cease/collision");
        ensure!(loser.closed_within(Duration::from_secs(3))?, "the loser stays open");
        // The winner goes on to Established: its OPEN may have been read above or not.
        winner.send(KEEPALIVE, &[])?;
        winner.expect(KEEPALIVE, Duration::from_secs(5))?;
        winner.expect(frr_interop_tests::UPDATE, Duration::from_secs(5)).map(drop)
    });
}

#[test]
fn the_higher_identifier_keeps_its_own_connection() {
    collide("collision-higher", [203, 0, 113, 1], true);
}

#[test]
fn the_lower_identifier_loses_its_own_connection() {
    collide("collision-lower", [10, 0, 1, 2], false);
}

/// An established session is not shaken by one more connection from the same peer.
#[test]
fn a_second_connection_does_not_disturb_the_first() {
    run("second-connection", &["raw"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001).with("passive: true")], &[]))?;
        let mut first = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        first.establish(65_001, [203, 0, 113, 1].into())?;
        first.drain(Duration::from_millis(300))?;
        let mut second = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        let _ = second.send_open(65_001, [203, 0, 113, 1].into());
        ensure!(second.closed_within(Duration::from_secs(5))?, "the second connection stays open");
        first.send(KEEPALIVE, &[])?;
        ensure!(!first.closed_within(Duration::from_secs(1))?, "the first connection was closed");
        Ok(())
    });
}
