//! Malformed UPDATEs (RFC 7606): what is discarded, what is treated as a withdrawal, what ends the session, seen from a
//! BIRD behind rutter.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, RawPeer, Star, UPDATE, attribute, run};
use rutter_lab::{Bgpd, Bird};

use crate::daemons::{RUTTER, Wants, bird, over_v4, rutter};

struct Bench {
    _bgpd: Bgpd,
    bird: Bird,
    raw: RawPeer,
}

const HOSTS: [&str; 2] = ["raw", "bird"];

fn bench(star: &Star) -> Result<Bench> {
    let neighbors = [over_v4(1, 65_001).with("passive: true"), over_v4(2, 65_002)];
    let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
    let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
    let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
    raw.establish(65_001, [10, 0, 1, 2].into())?;
    bird.wait_established("10.0.2.1")?;
    Ok(Bench { _bgpd: bgpd, bird, raw })
}

const ORIGIN: &[u8] = &[0];
const AS_PATH: &[u8] = &[2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[10, 0, 1, 2];

fn good() -> Vec<Vec<u8>> {
    vec![attribute(0x40, 1, ORIGIN), attribute(0x40, 2, AS_PATH), attribute(0x40, 3, NEXT_HOP)]
}

/// The good attributes with one replaced or added.
fn with(flags: u8, code: u8, value: &[u8]) -> Vec<Vec<u8>> {
    let mut attributes = good();
    attributes.retain(|attribute| attribute[1] != code);
    attributes.push(attribute(flags, code, value));
    attributes
}

fn without(code: u8) -> Vec<Vec<u8>> {
    let mut attributes = good();
    attributes.retain(|attribute| attribute[1] != code);
    attributes
}

#[test]
fn treated_as_withdrawals() {
    run("treat-as-withdraw", &HOSTS, |star| {
        let mut bench = bench(star)?;
        let cases: [(&str, Vec<Vec<u8>>); 14] = [
            ("ORIGIN 7", with(0x40, 1, &[7])),
            ("ORIGIN of two octets", with(0x40, 1, &[0, 0])),
            ("ORIGIN flagged optional", with(0xc0, 1, &[0])),
            ("no ORIGIN", without(1)),
            ("no AS_PATH", without(2)),
            ("AS_PATH with an unknown segment type", with(0x40, 2, &[9, 1, 0, 0, 0xfd, 0xe9])),
            ("AS_PATH that overruns", with(0x40, 2, &[2, 5, 0, 0, 0xfd, 0xe9])),
            ("an empty segment in AS_PATH", with(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9, 2, 0])),
            ("no NEXT_HOP", without(3)),
            ("NEXT_HOP of three octets", with(0x40, 3, &[10, 0, 1])),
            ("MED of three octets", with(0x80, 4, &[0, 0, 1])),
            ("COMMUNITIES of five octets", with(0xc0, 8, &[0, 1, 0, 1, 0])),
            ("EXTENDED COMMUNITIES of nine octets", with(0xc0, 16, &[0; 9])),
            ("LARGE COMMUNITY of thirteen octets", with(0xc0, 32, &[0; 13])),
        ];
        for (index, (what, attributes)) in cases.iter().enumerate() {
            let prefix = format!("198.51.{index}.0/24");
            bench.raw.announce(&good(), &[&prefix])?;
            bench.bird.wait_path(&prefix)?;
            bench.raw.announce(attributes, &[&prefix])?;
            bench.bird.wait_gone(&prefix).map_err(|error| error.context(format!("after {what}")))?;
        }
        // The same session is still good for a good route.
        bench.raw.announce(&good(), &["198.52.0.0/24"])?;
        bench.bird.wait_path("198.52.0.0/24")?;
        ensure!(!bench.raw.closed_within(Duration::from_millis(200))?, "the session was closed");
        Ok(())
    });
}

#[test]
fn attributes_discarded_and_the_route_kept() {
    run("attribute-discard", &HOSTS, |star| {
        let mut bench = bench(star)?;
        let twice = [with(0x80, 4, &[0, 0, 0, 1]), vec![attribute(0x40, 1, &[2])]].concat();
        let cases: [(&str, Vec<Vec<u8>>); 5] = [
            ("ATOMIC_AGGREGATE with a value", with(0x40, 6, &[1])),
            ("AGGREGATOR of five octets", with(0xc0, 7, &[0, 0, 0, 1, 1])),
            ("AS4_PATH from a 4-octet speaker", with(0xc0, 17, &[2, 1, 0, 0, 0, 7])),
            ("LOCAL_PREF from outside, of two octets", with(0x40, 5, &[0, 1])),
            ("ORIGIN twice, the first counts", twice),
        ];
        for (index, (what, attributes)) in cases.iter().enumerate() {
            let prefix = format!("198.51.{index}.0/24");
            bench.raw.announce(attributes, &[&prefix])?;
            let path =
                bench.bird.wait_path(&prefix).map_err(|error| error.context(format!("after {what}")))?;
            ensure!(
                path.origin == "IGP"
                    && !path.atomic_aggregate
                    && path.aggregator.is_none()
                    && path.unknown.is_empty()
                    && path.as_path == "65000 65001",
                "{what}: {path:?}"
            );
        }
        ensure!(!bench.raw.closed_within(Duration::from_millis(200))?, "the session was closed");
        Ok(())
    });
}

#[test]
fn own_as_in_the_path_is_a_loop() {
    run("as-loop", &HOSTS, |star| {
        let mut bench = bench(star)?;
        let looped = with(0x40, 2, &[2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xe8]);
        bench.raw.announce(&good(), &["198.51.1.0/24", "198.51.2.0/24"])?;
        bench.bird.wait_path("198.51.1.0/24")?;
        // A loop replaces the good path: the prefix is gone, and its neighbour is not.
        bench.raw.announce(&looped, &["198.51.1.0/24"])?;
        bench.bird.wait_gone("198.51.1.0/24")?;
        bench.bird.wait_path("198.51.2.0/24")?;
        // RFC 4271 §6.3: the first AS of an external path must be the peer's; it is not believed otherwise.
        bench.raw.announce(&with(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xff]), &["198.51.3.0/24"])?;
        bench.bird.ensure_absent_for("198.51.3.0/24", Duration::from_secs(1))?;
        bench.bird.wait_path("198.51.2.0/24").map(drop)
    });
}

/// What RFC 7606 leaves to a reset: the message cannot be taken apart at all.
#[test]
fn beyond_repair() {
    let cases: [(&str, &[u8]); 3] = [
        ("withdrawn routes longer than the message", &[0, 200, 0, 0]),
        ("attributes longer than the message", &[0, 0, 1, 0, 0x40, 1, 1, 0]),
        ("a prefix length of 33", &[0, 5, 33, 10, 0, 0, 0, 0, 0]),
    ];
    for (index, (what, body)) in cases.into_iter().enumerate() {
        run(&format!("beyond-repair-{index}"), &HOSTS, |star| {
            let mut bench = bench(star)?;
            bench.raw.announce(&good(), &["198.51.1.0/24"])?;
            bench.bird.wait_path("198.51.1.0/24")?;
            bench.raw.send(UPDATE, body)?;
            let (code, _, _) = bench.raw.expect_notification(Duration::from_secs(5))?;
            ensure!(code == 3, "{what}: NOTIFICATION code {code} instead of UPDATE Message Error");
            bench.bird.wait_gone("198.51.1.0/24")
        });
    }
}
