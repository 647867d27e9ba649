//! Neighbours nobody wants, each a thread with a raw speaker: what they do to us is in their names.
//!
//! Used by `cargo xtask bench hostile` and by the interop test of the same name.
//!
//! Invariant: an attacker never waits for us longer than a moment, and ends when it is told to; whatever happens to its
//! connection, it opens another one.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::host::Host;
use crate::raw::{self, RawPeer, UPDATE, attribute};

/// Where bgpd is.
pub const TARGET: &str = "10.0.3.1";
/// The ASN of all of them.
pub const ASN: u32 = 65_003;
/// Connections that one attacker tries to hold open.
const CONNECTIONS: usize = 1_000;
/// What the greedy one announces; its limit is a tenth.
const GREEDY: u32 = 1_000;

/// One attacker.
#[derive(Debug)]
pub struct Attacker {
    /// What it does, in words.
    pub name: &'static str,
    /// Where it calls from.
    pub address: &'static str,
    attack: fn(&Attack<'_>) -> Result<()>,
}

/// All of them. Their addresses are configured, but for the stranger's.
pub static ATTACKERS: &[Attacker] = &[
    Attacker { name: "flood of malformed UPDATEs", address: "10.0.3.11", attack: flood },
    Attacker { name: "sessions ended by garbage", address: "10.0.3.12", attack: garbage },
    Attacker { name: "a thousand connections", address: "10.0.3.13", attack: connections },
    Attacker { name: "a thousand connections of a stranger", address: "10.0.3.14", attack: connections },
    Attacker { name: "one octet a second", address: "10.0.3.15", attack: drip },
    Attacker { name: "never reads", address: "10.0.3.16", attack: deaf },
    Attacker { name: "announces past its limit", address: "10.0.3.17", attack: greedy },
];

/// What an attack needs to know.
struct Attack<'a> {
    host: &'a Host,
    address: &'a str,
    over: &'a AtomicBool,
    done: &'a AtomicU64,
}

impl Attacker {
    /// Whether bgpd knows it.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.name.ends_with("stranger")
    }

    /// Attacks until it is over; counts what it has done in units of its own.
    pub fn run(&self, host: &Host, over: &AtomicBool, done: &AtomicU64) {
        let attack = Attack { host, address: self.address, over, done };
        while !attack.is_over() {
            // A refusal or a reset is what it may expect; it tries again.
            if (self.attack)(&attack).is_err() {
                sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Attack<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    fn connect(&self) -> Result<RawPeer> {
        RawPeer::connect_from(self.host, self.address, TARGET)
    }

    fn session(&self) -> Result<RawPeer> {
        let mut peer = self.connect()?;
        peer.establish(ASN, self.address.parse::<Ipv4Addr>()?)?;
        Ok(peer)
    }

    fn attributes(&self) -> Result<Vec<u8>> {
        let next_hop = self.address.parse::<Ipv4Addr>()?.octets();
        let path = [&[2, 1][..], &ASN.to_be_bytes()].concat();
        Ok([attribute(0x40, 1, &[0]), attribute(0x40, 2, &path), attribute(0x40, 3, &next_hop)].concat())
    }
}

/// UPDATEs that RFC 7606 lets a session survive, as fast as they are taken.
fn flood(attack: &Attack<'_>) -> Result<()> {
    let mut peer = attack.session()?;
    let mut attributes = attack.attributes()?;
    // An ORIGIN of a value that does not exist: treat-as-withdraw.
    attributes[3] = 9;
    let mut burst = Vec::new();
    for index in 0..100_u8 {
        burst.extend(message(UPDATE, &update(&attributes, &[24, 100, index, 0])?)?);
    }
    while !attack.is_over() {
        peer.send_bytes(&burst)?;
        attack.count(100);
    }
    Ok(())
}

/// A session, then octets that are no message; again and again.
fn garbage(attack: &Attack<'_>) -> Result<()> {
    let mut peer = attack.session()?;
    peer.send_bytes(&[0x5a; 64])?;
    attack.count(1);
    peer.closed_within(Duration::from_millis(500))?;
    Ok(())
}

/// As many connections as it gets, none with a word on it.
fn connections(attack: &Attack<'_>) -> Result<()> {
    let mut held = Vec::with_capacity(CONNECTIONS);
    while !attack.is_over() {
        if held.len() == CONNECTIONS {
            held.clear();
        }
        held.push(attack.connect()?);
        attack.count(1);
    }
    Ok(())
}

/// A session on which every octet takes a second.
fn drip(attack: &Attack<'_>) -> Result<()> {
    let mut peer = attack.session()?;
    let bytes = message(UPDATE, &update(&attack.attributes()?, &[24, 101, 0, 0])?)?;
    for octet in bytes.iter().cycle() {
        if attack.is_over() {
            break;
        }
        peer.send_bytes(&[*octet])?;
        attack.count(1);
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// A session whose other end has a table to send, and nobody who takes it.
fn deaf(attack: &Attack<'_>) -> Result<()> {
    let mut peer = attack.session()?;
    let mut last = Instant::now();
    while !attack.is_over() {
        if last.elapsed() > Duration::from_secs(20) {
            peer.send(raw::KEEPALIVE, &[])?;
            last = Instant::now();
        }
        sleep(Duration::from_millis(100));
        attack.count(1);
    }
    Ok(())
}

/// More prefixes than it may announce, as often as it is let in.
fn greedy(attack: &Attack<'_>) -> Result<()> {
    let mut peer = attack.session()?;
    let attributes = attack.attributes()?;
    let mut burst = Vec::new();
    for index in 0..GREEDY {
        let [_, _, high, low] = index.to_be_bytes();
        burst.extend(message(UPDATE, &update(&attributes, &[24, 102, high, low])?)?);
    }
    peer.send_bytes(&burst)?;
    attack.count(u64::from(GREEDY));
    peer.closed_within(Duration::from_secs(1))?;
    Ok(())
}

fn update(attributes: &[u8], prefix: &[u8]) -> Result<Vec<u8>> {
    let mut body = vec![0, 0];
    body.extend(u16::try_from(attributes.len())?.to_be_bytes());
    body.extend(attributes);
    body.extend(prefix);
    Ok(body)
}

fn message(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = vec![0xff; 16];
    bytes.extend(u16::try_from(19 + body.len())?.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    Ok(bytes)
}

/// A neighbour that behaves, and writes down how long it waited for each KEEPALIVE.
pub fn listen(host: &Host, target: &str, asn: u32, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut peer = RawPeer::connect_from(host, "0.0.0.0", target)?;
    peer.establish_with(&raw::open(asn, 9, "10.0.4.2".parse()?))?;
    let (mut gaps, mut last, mut spoke) = (Vec::new(), Instant::now(), Instant::now());
    while !over.load(Ordering::Relaxed) {
        if spoke.elapsed() > Duration::from_secs(2) {
            peer.send(raw::KEEPALIVE, &[])?;
            spoke = Instant::now();
        }
        // Routes are passed over; any message counts as a sign of life.
        if let Some(kind) = peer.poll(Duration::from_millis(100))? {
            gaps.push(last.elapsed());
            last = Instant::now();
            ensure!(
                kind != raw::NOTIFICATION,
                "the well-behaved neighbour was sent away after {} messages",
                gaps.len()
            );
        }
    }
    Ok(gaps)
}
