//! Connections in time: slow peers, collisions (RFC 4271 §6.8, RFC 6286 §2.3), hold timers, and how soon bgpd is back.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{KEEPALIVE, NOTIFICATION, OPEN, RawPeer, Star, UPDATE, run};

use super::{EXTERNAL, PARAMETERS, address, message, open, up, with};
use crate::daemons::{RUTTER, over_v4, rutter};

const BGPD: &str = "10.0.1.1";
const SOON: Duration = Duration::from_secs(5);
/// rutter is 192.0.2.1.
const HIGHER: [u8; 4] = [203, 0, 113, 1];
const LOWER: [u8; 4] = [10, 9, 0, 1];
const EQUAL: [u8; 4] = [192, 0, 2, 1];

/// Connections that this test opens and that bgpd opens, to one peer address.
struct Pair {
    /// Opened by bgpd.
    theirs: RawPeer,
    /// Opened by us.
    ours: RawPeer,
}

impl Pair {
    fn new(star: &Star, address: &str) -> Result<Self> {
        let theirs = RawPeer::accept(star.peer(1)?, address)?;
        let ours = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
        Ok(Self { theirs, ours })
    }
}

fn greet(peer: &mut RawPeer, id: [u8; 4]) -> Result<()> {
    peer.send_bytes(&open(4, 65_001, 90, id, &PARAMETERS))
}

/// The connection gets Cease/Connection Collision Resolution (RFC 4486) and ends.
fn lost(peer: &mut RawPeer) -> Result<()> {
    let (code, subcode, _) = peer.expect_notification(SOON)?;
    ensure!((code, subcode) == (6, 7), "NOTIFICATION {code}/{subcode} instead of 6/7");
    ensure!(peer.closed_within(Duration::from_secs(2))?, "the connection that lost stays open");
    Ok(())
}

/// The connection goes on to Established.
fn won(peer: &mut RawPeer) -> Result<()> {
    peer.send(KEEPALIVE, &[])?;
    peer.expect(UPDATE, SOON).map(drop)
}

fn alive(peer: &mut RawPeer) -> Result<()> {
    peer.send(KEEPALIVE, &[])?;
    let frames = peer.drain(Duration::from_millis(300))?;
    ensure!(frames.iter().all(|frame| frame.kind != NOTIFICATION), "the session that stays got {frames:?}");
    ensure!(!peer.closed_within(Duration::from_millis(1))?, "the session that stays was closed");
    Ok(())
}

/// OPENs on both connections, first on the one in `first`; the identifier decides.
fn both_open(star: &Star, address: &str, id: [u8; 4], ours_first: bool, ours_stays: bool) -> Result<()> {
    let Pair { mut theirs, mut ours } = Pair::new(star, address)?;
    let (first, second) = if ours_first { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
    greet(first, id)?;
    first.expect(KEEPALIVE, SOON)?;
    greet(second, id)?;
    let (winner, loser) = if ours_stays { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
    lost(loser)?;
    won(winner)
}

/// One connection is Established at both ends when the OPEN comes on the other: that one is closed, whatever the
/// identifiers. An UPDATE says that our end is Established; without one, time does.
fn established_stays(star: &Star, address: &str, id: [u8; 4], ours: bool, says_so: bool) -> Result<()> {
    let pair = Pair::new(star, address)?;
    let (mut first, mut second) = if ours { (pair.ours, pair.theirs) } else { (pair.theirs, pair.ours) };
    greet(&mut first, id)?;
    won(&mut first)?;
    if says_so {
        first.send(UPDATE, &[0; 4])?;
    }
    // Also the UPDATE has to be read before the OPEN on the other connection.
    sleep(Duration::from_millis(if says_so { 50 } else { 300 }));
    greet(&mut second, id)?;
    lost(&mut second)?;
    alive(&mut first)
}

/// A connection that comes up beside an Established session is turned away.
fn late(star: &Star, address: &str, id: [u8; 4]) -> Result<()> {
    let mut theirs = RawPeer::accept(star.peer(1)?, address)?;
    greet(&mut theirs, id)?;
    won(&mut theirs)?;
    let mut ours = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    lost(&mut ours)?;
    alive(&mut theirs)
}

/// Both connections are there and no OPEN comes: neither is closed.
fn both_silent(star: &Star, address: &str) -> Result<()> {
    let Pair { mut theirs, mut ours } = Pair::new(star, address)?;
    for peer in [&mut theirs, &mut ours] {
        peer.expect(OPEN, SOON)?;
        ensure!(!peer.closed_within(Duration::from_millis(300))?, "a connection was closed before any OPEN");
    }
    Ok(())
}

/// The OPEN on the other connection is refused: the first is not touched.
fn refused_beside(star: &Star, address: &str, id: [u8; 4]) -> Result<()> {
    let Pair { mut theirs, mut ours } = Pair::new(star, address)?;
    greet(&mut theirs, id)?;
    theirs.expect(KEEPALIVE, SOON)?;
    ours.send_bytes(&open(4, 65_099, 90, id, &PARAMETERS))?;
    let (code, subcode, _) = ours.expect_notification(SOON)?;
    ensure!((code, subcode) == (2, 2), "NOTIFICATION {code}/{subcode} instead of 2/2");
    won(&mut theirs)
}

fn byte_by_byte(star: &Star, address: &str) -> Result<()> {
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    for octet in up(&with(&PARAMETERS)) {
        peer.send_bytes(&[octet])?;
        sleep(Duration::from_millis(5));
    }
    peer.expect(UPDATE, SOON).map(drop)
}

/// Three seconds of silence end a session with that Hold Time, and not sooner.
fn hold_timer(star: &Star, address: &str) -> Result<()> {
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    peer.send_bytes(&up(&open(4, 65_001, 3, LOWER, &PARAMETERS)))?;
    let since = Instant::now();
    let (code, subcode, _) = peer.expect_notification(Duration::from_secs(6))?;
    ensure!((code, subcode) == (4, 0), "NOTIFICATION {code}/{subcode} instead of 4/0");
    ensure!(since.elapsed() >= Duration::from_millis(2800), "after {:?} already", since.elapsed());
    Ok(())
}

/// A peer that made a mistake may come back at once and do better.
fn second_try(star: &Star, address: &str) -> Result<()> {
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    peer.send_bytes(&open(3, 65_001, 90, LOWER, &PARAMETERS))?;
    peer.expect_notification(SOON)?;
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    peer.send_bytes(&up(&with(&PARAMETERS)))?;
    peer.expect(UPDATE, SOON).map(drop)
}

/// A peer that makes its mistake again and again is turned away at the door for a second each time, not for longer.
fn seventh_try(star: &Star, address: &str) -> Result<()> {
    let mut longest = Duration::ZERO;
    for _ in 0..7 {
        let since = Instant::now();
        loop {
            let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
            // It may be turned away before it says anything.
            let _ = peer.send_bytes(&open(3, 65_001, 90, LOWER, &PARAMETERS));
            let (code, subcode, _) = peer.expect_notification(SOON)?;
            if (code, subcode) == (2, 1) {
                break;
            }
            // RFC 4486: Connection Rejected.
            ensure!((code, subcode) == (6, 5), "NOTIFICATION {code}/{subcode}");
            sleep(Duration::from_millis(100));
        }
        longest = longest.max(since.elapsed());
    }
    println!("heard again after at most {longest:.3?}");
    ensure!(longest < Duration::from_secs(2), "{longest:?}");
    Ok(())
}

/// A peer that connects and goes without a word, and one that goes in the middle of its OPEN.
fn gone_without_a_word(star: &Star, address: &str) -> Result<()> {
    drop(RawPeer::connect_from(star.peer(1)?, address, BGPD)?);
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    peer.send_bytes(&with(&PARAMETERS)[..25])?;
    drop(peer);
    sleep(Duration::from_millis(50));
    let mut peer = RawPeer::connect_from(star.peer(1)?, address, BGPD)?;
    peer.send_bytes(&up(&with(&PARAMETERS)))?;
    peer.expect(UPDATE, SOON).map(drop)
}

/// How long bgpd takes to dial again after each of three refused OPENs.
fn dials_again(star: &Star, address: &str) -> Result<()> {
    let address = SocketAddr::new(address.parse::<IpAddr>()?, 179);
    let listener = star.peer(1)?.enter(|| TcpListener::bind(address))??;
    let dial = || -> Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    };
    let mut waits = Vec::new();
    let mut stream = dial()?;
    for _ in 0..3 {
        stream.write_all(&message(OPEN, &[&[3, 0xfd, 0xe9, 0, 90][..], &LOWER, &[0]].concat()))?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).context("waiting for the end of the refused connection")?;
        let refused = Instant::now();
        stream = dial()?;
        waits.push(refused.elapsed());
    }
    println!("dialed again after refused OPENs: {waits:.3?}");
    ensure!(waits[0] < Duration::from_secs(1), "{waits:?}");
    Ok(())
}

/// What it is about, whether bgpd waits for us to dial, and what happens.
type Script = (&'static str, bool, fn(&Star, &str) -> Result<()>);

#[test]
fn connections() {
    let scripts: &[Script] = &[
        ("higher identifier, OPEN on ours first", false, |star, at| both_open(star, at, HIGHER, true, true)),
        ("higher identifier, OPEN on theirs first", false, |star, at| {
            both_open(star, at, HIGHER, false, true)
        }),
        ("lower identifier, OPEN on ours first", false, |star, at| both_open(star, at, LOWER, true, false)),
        ("lower identifier, OPEN on theirs first", false, |star, at| {
            both_open(star, at, LOWER, false, false)
        }),
        // RFC 6286 §2.3: then the larger AS number has its way, and ours is the smaller.
        ("equal identifiers, OPEN on ours first", false, |star, at| both_open(star, at, EQUAL, true, true)),
        ("equal identifiers, OPEN on theirs first", false, |star, at| {
            both_open(star, at, EQUAL, false, true)
        }),
        ("higher identifier, ours is Established", false, |star, at| {
            established_stays(star, at, HIGHER, true, true)
        }),
        ("higher identifier, theirs is Established", false, |star, at| {
            established_stays(star, at, HIGHER, false, true)
        }),
        ("lower identifier, ours is Established", false, |star, at| {
            established_stays(star, at, LOWER, true, true)
        }),
        ("lower identifier, theirs is Established", false, |star, at| {
            established_stays(star, at, LOWER, false, true)
        }),
        ("higher identifier, theirs is silent", false, |star, at| {
            established_stays(star, at, HIGHER, false, false)
        }),
        ("lower identifier, ours is silent", false, |star, at| {
            established_stays(star, at, LOWER, true, false)
        }),
        ("higher identifier, beside Established", false, |star, at| late(star, at, HIGHER)),
        ("lower identifier, beside Established", false, |star, at| late(star, at, LOWER)),
        ("equal identifiers, beside Established", false, |star, at| late(star, at, EQUAL)),
        ("both silent", false, both_silent),
        ("an OPEN refused beside OpenConfirm", false, |star, at| refused_beside(star, at, HIGHER)),
        ("dials again", false, dials_again),
        ("octet by octet", true, byte_by_byte),
        ("hold timer", true, hold_timer),
        ("second try", true, second_try),
        ("seventh try", true, seventh_try),
        ("gone without a word", true, gone_without_a_word),
    ];
    run("open-connections", &["raw"], |star| {
        star.peer(1)?.ip(&["route", "add", "local", "10.9.0.0/16", "dev", "lo"])?;
        star.hub.ip(&["route", "add", "10.9.0.0/16", "via", "10.0.1.2"])?;
        let neighbors: Vec<_> = scripts
            .iter()
            .enumerate()
            .map(|(index, (_, passive, _))| {
                over_v4(index, EXTERNAL).at(&address(index)).with(&format!("passive: {passive}"))
            })
            .collect();
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        // All at once: each has a peer of its own, and most of the time is waiting.
        let wrong: Vec<_> = std::thread::scope(|scope| {
            let spawn = |(index, (what, _, script)): (usize, &Script)| {
                let (what, script) = (*what, *script);
                scope.spawn(move || {
                    script(star, &address(index)).err().map(|error| format!("{what}: {error:#}"))
                })
            };
            let running: Vec<_> = scripts.iter().enumerate().map(spawn).collect();
            running
                .into_iter()
                .filter_map(|script| script.join().unwrap_or_else(|_| Some("a panic".to_owned())))
                .collect()
        });
        println!("open-connections: {} cases, {} wrong", scripts.len(), wrong.len());
        ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), scripts.len(), wrong.join("\n"));
        Ok(())
    });
}
