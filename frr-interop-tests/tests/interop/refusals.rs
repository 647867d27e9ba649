//! Who is turned away, and what the refused side is told (RFC 4271 §6.2): wrong ASN, unknown address, wrong password
//! (RFC 2385), nonsense in the OPEN, too many prefixes (RFC 4486).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{KEEPALIVE, OPEN, Oracle, PATIENCE, RawPeer, Session, open, run};
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

/// A neighbour that does one thing wrong: from an address of its own, because a neighbour that was refused again and
/// again has to wait before it is heard.
struct Mistake<'a> {
    what: &'a str,
    make: &'a dyn Fn(&mut RawPeer) -> Result<()>,
    /// Code and subcode of the NOTIFICATION that has to follow.
    told: (u8, u8),
}

/// Lets each neighbour make its mistake and reads what it is told; then an honest one must still be welcome.
fn make(name: &str, mistakes: &[Mistake<'_>]) {
    run(name, &["raw"], |star| {
        let address = |index: usize| format!("10.0.1.{}", 100 + index);
        let neighbor = |index: usize| over_v4(100 + index, 65_001).at(&address(index)).with("passive: true");
        let mut neighbors: Vec<_> = (0..mistakes.len()).map(neighbor).collect();
        neighbors.push(over_v4(1, 65_001).with("passive: true"));
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        for (index, mistake) in mistakes.iter().enumerate() {
            star.peer(1)?.ip(&["addr", "add", &format!("{}/24", address(index)), "dev", "eth0"])?;
            let mut raw = RawPeer::connect_from(star.peer(1)?, &address(index), "10.0.1.1")?;
            (mistake.make)(&mut raw)?;
            let (code, subcode, data) =
                raw.expect_notification(Duration::from_secs(5)).with_context(|| mistake.what.to_owned())?;
            ensure!((code, subcode) == mistake.told, "{}: NOTIFICATION {code}/{subcode}", mistake.what);
            if mistake.told == (2, 1) {
                ensure!(data == [0, 4], "the version that rutter speaks is missing: {data:?}");
            }
            ensure!(
                raw.closed_within(Duration::from_secs(3))?,
                "{}: the connection stays open",
                mistake.what
            );
        }
        RawPeer::connect_from(star.peer(1)?, "10.0.1.2", "10.0.1.1")?
            .establish(65_001, [10, 0, 1, 2].into())
            .map(drop)
    });
}

/// RFC 4271 §6.2: each mistake in the OPEN is answered by name.
#[test]
fn nonsense_in_the_open_is_named() {
    let good = || open(65_001, 90, [10, 0, 1, 2].into());
    let send = |body: Vec<u8>| move |raw: &mut RawPeer| raw.send(OPEN, &body);
    let (mut version, mut parameter) = (good(), good());
    version[0] = 3;
    parameter[10] = 77;
    make(
        "open-errors",
        &[
            Mistake { what: "version 3", make: &send(version), told: (2, 1) },
            Mistake {
                what: "another ASN",
                make: &send(open(64_999, 90, [10, 0, 1, 2].into())),
                told: (2, 2),
            },
            Mistake { what: "router ID 0.0.0.0", make: &send(open(65_001, 90, [0; 4].into())), told: (2, 3) },
            Mistake { what: "an unknown parameter", make: &send(parameter), told: (2, 4) },
            Mistake { what: "hold time 1", make: &send(open(65_001, 1, [10, 0, 1, 2].into())), told: (2, 6) },
            Mistake { what: "hold time 2", make: &send(open(65_001, 2, [10, 0, 1, 2].into())), told: (2, 6) },
            // RFC 6608: what came where an OPEN was due.
            Mistake { what: "KEEPALIVE, no OPEN", make: &|raw| raw.send(KEEPALIVE, &[]), told: (5, 1) },
        ],
    );
}

/// RFC 4271 §6.1: errors in the message header.
#[test]
fn broken_headers_are_named() {
    let send = |marker: u8, length: u16, kind: u8, rest: usize| {
        move |raw: &mut RawPeer| {
            raw.establish(65_001, [10, 0, 1, 2].into())?;
            let mut bytes = vec![marker; 16];
            bytes.extend(length.to_be_bytes());
            bytes.push(kind);
            bytes.resize(bytes.len() + rest, 0);
            raw.send_bytes(&bytes)
        }
    };
    make(
        "header-errors",
        &[
            Mistake { what: "a marker of zeros", make: &send(0, 19, 4, 0), told: (1, 1) },
            Mistake { what: "length 18", make: &send(0xff, 18, 4, 0), told: (1, 2) },
            // rutter takes extended messages, but RFC 8654 §4 has no extended KEEPALIVE.
            Mistake { what: "a KEEPALIVE of 4097 octets", make: &send(0xff, 4097, 4, 0), told: (1, 2) },
            Mistake { what: "an UPDATE of 19 octets", make: &send(0xff, 19, 2, 0), told: (1, 2) },
            Mistake { what: "a KEEPALIVE of 20 octets", make: &send(0xff, 20, 4, 1), told: (1, 2) },
            Mistake { what: "type 9", make: &send(0xff, 19, 9, 0), told: (1, 3) },
        ],
    );
}

#[test]
fn too_many_prefixes_close_the_session() {
    run("max-prefixes", &["frr", "gobgp"], |star| {
        let neighbors =
            [over_v4(1, 65_001).with("maxPrefixes: 2"), over_v4(2, 65_002).with("maxPrefixes: 2")];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        // An FRR that dials would be refused afterwards, and forget what it was told.
        let three = Wants {
            networks: &["198.51.1.0/24", "198.51.2.0/24", "198.51.3.0/24"],
            session: " neighbor 10.0.1.1 passive",
            ..Wants::default()
        };
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
