//! Who is turned away, and what the refused side is told (RFC 4271 §6.2): wrong ASN, unknown address, wrong password
//! (RFC 2385), nonsense in the OPEN, too many prefixes (RFC 4486).

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{KEEPALIVE, OPEN, Oracle, PATIENCE, RawPeer, Session, Star, open, run};
use rutter_lab::{Frr, wait_for};

use crate::daemons::{RUTTER, Wants, announce_by_gobgp, bird, frr, gobgp, over_v4, over_v6, rutter};

/// Waits until FRR's account of the last reset contains `text`.
fn wait_reset(frr: &Frr, neighbor: &str, text: &str) -> Result<Session> {
    let address = neighbor.parse()?;
    wait_for(PATIENCE, &format!("FRR to report `{text}`"), || {
        let session = frr.session(address)?;
        ensure!(session.last_error.contains(text), "{session:?}");
        Ok(session)
    })
}

#[test]
fn rutter_refuses_a_wrong_asn() {
    run("wrong-asn", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_099), over_v4(2, 65_098)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        wait_reset(&frr, "10.0.1.1", "OPEN Message Error/Bad Peer AS")?;
        wait_for(PATIENCE, "BIRD to report Bad peer AS", || {
            let session = bird.session("10.0.2.1".parse()?)?;
            ensure!(session.last_error.contains("Bad peer AS") && !session.established, "{session:?}");
            Ok(())
        })?;
        frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(1))
    });
}

#[test]
fn frr_refuses_a_wrong_asn_and_rutter_lives_with_it() {
    run("wrong-asn-frr", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = Wants { remote_asn: 65_055, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        wait_reset(&frr, "10.0.1.1", "Bad Peer AS")?;
        bird.wait_path("203.0.113.0/24")?;
        // Once FRR's mistake is mended, the session comes up by itself.
        frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 remote-as 65000"])?;
        frr.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn an_unknown_address_gets_no_session() {
    run("unknown-address", &["stranger", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let before = bird.wait_established("10.0.2.1")?;
        // The stranger has the right ASN and link, but not the address that rutter knows.
        star.peer(1)?.ip(&["addr", "del", "10.0.1.2/24", "dev", "eth0"])?;
        star.peer(1)?.ip(&["addr", "add", "10.0.1.66/24", "dev", "eth0"])?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(3))?;
        let session = frr.session("10.0.1.1".parse()?)?;
        ensure!(!session.established && session.incarnation == "0", "{session:?}");
        // The stranger's connection itself is cut; whether a NOTIFICATION says why is rutter's choice.
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        let _ = raw.send_open(65_001, [10, 0, 1, 66].into());
        ensure!(raw.closed_within(Duration::from_secs(5))?, "rutter keeps a stranger's connection open");
        bird.ensure_same_session("10.0.2.1", &before)
    });
}

#[test]
fn the_right_password_opens_and_a_wrong_one_does_not() {
    run("md5", &["frr", "bird", "gobgp"], |star| {
        let neighbor = |link: usize| {
            let asn = 65_000 + u32::try_from(link).unwrap_or_default();
            over_v4(link, asn).with("password: correct-horse")
        };
        let neighbors = [neighbor(1), neighbor(2), neighbor(3)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = |session| Wants { session, ..Wants::default() };
        let good = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants("password \"correct-horse\";")))?;
        let gobgp =
            star.peer(3)?.gobgp(&gobgp(3, 65_003, "10.0.3.1", wants("auth-password = \"correct-horse\"")))?;
        let bad = wants(" neighbor 10.0.1.1 password battery");
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", bad))?;
        good.wait_path("203.0.113.0/24")?;
        gobgp.wait_path("203.0.113.0/24")?;
        frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(3))?;
        frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 password correct-horse"])?;
        frr.wait_path("203.0.113.0/24")?;
        // rutter with a password must not talk to a peer without one.
        frr.configure(&["router bgp 65001", "no neighbor 10.0.1.1 password"])?;
        frr.wait_gone("203.0.113.0/24")?;
        frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(2))
    });
}

#[test]
fn passwords_work_over_ipv6_and_in_both_directions() {
    run("md5-v6", &["frr", "passive-frr"], |star| {
        let listens = over_v6(1, 65_001).with("password: secret-one").with("passive: true");
        let dials = over_v6(2, 65_002).with("password: secret-two");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[listens, dials], &["prefix: \"2001:db8:1::/48\""]))?;
        let session = " neighbor fd00:1::1 password secret-one";
        let active =
            star.peer(1)?.frr(&frr(1, 65_001, "fd00:1::1", Wants { session, ..Wants::default() }))?;
        let session = " neighbor fd00:2::1 password secret-two\n neighbor fd00:2::1 passive";
        let passive =
            star.peer(2)?.frr(&frr(2, 65_002, "fd00:2::1", Wants { session, ..Wants::default() }))?;
        active.wait_path("2001:db8:1::/48")?;
        passive.wait_path("2001:db8:1::/48").map(drop)
    });
}

/// One connection per mistake in the OPEN; each is answered with the NOTIFICATION that RFC 4271 §6.2 names.
#[test]
fn nonsense_in_the_open_is_named() {
    run("open-errors", &["raw"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001).with("passive: true")], &[]))?;
        let good = || open(65_001, 90, [10, 0, 1, 2].into());
        let mut version = good();
        version[0] = 3;
        let mut parameter = good();
        parameter[10] = 77;
        let cases: [(&str, Vec<u8>, (u8, u8)); 6] = [
            ("version 3", version, (2, 1)),
            ("another ASN", open(64_999, 90, [10, 0, 1, 2].into()), (2, 2)),
            ("router ID 0.0.0.0", open(65_001, 90, [0, 0, 0, 0].into()), (2, 3)),
            ("an unknown parameter", parameter, (2, 4)),
            ("hold time 1", open(65_001, 1, [10, 0, 1, 2].into()), (2, 6)),
            ("hold time 2", open(65_001, 2, [10, 0, 1, 2].into()), (2, 6)),
        ];
        for (what, body, (code, subcode)) in cases {
            let told = told(star, what, |raw| raw.send(OPEN, &body))?;
            ensure!((told.0, told.1) == (code, subcode), "{what}: NOTIFICATION {told:?}");
            if what == "version 3" {
                ensure!(told.2 == [0, 4], "the version that rutter speaks is missing: {told:?}");
            }
        }
        let told = told(star, "KEEPALIVE instead of OPEN", |raw| raw.send(KEEPALIVE, &[]))?;
        ensure!(told.0 == 5, "KEEPALIVE instead of OPEN: NOTIFICATION {told:?}");
        // After all this an honest neighbour is still welcome.
        honest(star)
    });
}

/// RFC 4271 §6.1: errors in the message header.
#[test]
fn broken_headers_are_named() {
    run("header-errors", &["raw"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001).with("passive: true")], &[]))?;
        let header = |marker: u8, length: u16, kind: u8| {
            let mut bytes = vec![marker; 16];
            bytes.extend(length.to_be_bytes());
            bytes.push(kind);
            bytes
        };
        let cases = [
            ("a marker of zeros", header(0, 19, 4), (1, 1)),
            ("length 18", header(0xff, 18, 4), (1, 2)),
            ("length 4097 before it was negotiated", header(0xff, 4097, 2), (1, 2)),
            ("a KEEPALIVE of 20 octets", [header(0xff, 20, 4), vec![0]].concat(), (1, 2)),
            ("type 9", header(0xff, 19, 9), (1, 3)),
        ];
        for (what, bytes, (code, subcode)) in cases {
            let told = told(star, what, |raw| {
                raw.establish(65_001, [10, 0, 1, 2].into())?;
                raw.send_bytes(&bytes)
            })?;
            ensure!((told.0, told.1) == (code, subcode), "{what}: NOTIFICATION {told:?}");
        }
        honest(star)
    });
}

/// Connects, does `work`, and returns the NOTIFICATION that follows. A neighbour that was just refused may have to wait
/// until rutter takes it again, so a connection that is cut without a word is tried once more.
fn told(star: &Star, what: &str, work: impl Fn(&mut RawPeer) -> Result<()>) -> Result<(u8, u8, Vec<u8>)> {
    wait_for(PATIENCE, &format!("a NOTIFICATION about {what}"), || {
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        work(&mut raw)?;
        raw.expect_notification(Duration::from_secs(5))
    })
}

fn honest(star: &Star) -> Result<()> {
    wait_for(PATIENCE, "an honest session", || {
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into()).map(drop)
    })
}

#[test]
fn too_many_prefixes_close_the_session() {
    run("max-prefixes", &["frr", "gobgp"], |star| {
        let neighbors =
            [over_v4(1, 65_001).with("maxPrefixes: 2"), over_v4(2, 65_002).with("maxPrefixes: 2")];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let three =
            Wants { networks: &["198.51.1.0/24", "198.51.2.0/24", "198.51.3.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", three))?;
        let gobgp = star.peer(2)?.gobgp(&gobgp(2, 65_002, "10.0.2.1", Wants::default()))?;
        announce_by_gobgp(&gobgp, &["198.52.1.0/24", "198.52.2.0/24"])?;
        wait_reset(&frr, "10.0.1.1", "Cease/Maximum Number of Prefixes Reached")?;
        // Two are allowed, and another peer's limit is its own.
        gobgp.wait_path("203.0.113.0/24")?;
        let before = gobgp.wait_established("10.0.2.1")?;
        std::thread::sleep(Duration::from_secs(1));
        gobgp.ensure_same_session("10.0.2.1", &before)
    });
}
