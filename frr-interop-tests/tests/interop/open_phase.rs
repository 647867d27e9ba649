//! The way to Established as a table: what a peer says first, and what it is told (RFC 4271 §4.2, §6.1, §6.2, §8.2.2;
//! RFC 5492, 6286, 6608, 6793, 7607, 8654, 9072).
//!
//! Every row is a peer of its own with one bgpd, and all of them speak at once. [`dialed`] is the other half: connections
//! that bgpd opens, collisions (§6.8), and how soon it comes back.

mod dialed;
mod open_rows;
mod stream_rows;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use frr_interop_tests::{KEEPALIVE, NOTIFICATION, OPEN, RawPeer, Star, UPDATE, run};

use crate::daemons::{RUTTER, over_v4, rutter};

/// ASN of the external peers.
const EXTERNAL: u32 = 65_001;
/// ASN of those whose number needs four octets.
const FOUR_OCTETS: u32 = 4_200_000_001;

/// What bgpd knows of a row's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// AS [`EXTERNAL`], IPv4 and IPv6.
    External,
    /// AS [`FOUR_OCTETS`], IPv4 and IPv6.
    FourOctets,
    /// Our own AS.
    Internal,
    /// AS [`EXTERNAL`], IPv4 only.
    OnlyV4,
    /// AS [`EXTERNAL`], IPv6 only.
    OnlyV6,
}

/// What bgpd has to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A NOTIFICATION with this code and subcode, and the end of the connection.
    Told(u8, u8),
    /// The same, with these octets of data.
    ToldWith(u8, u8, &'static [u8]),
    /// Routes: the session is Established.
    Established,
    /// The end of the connection without a NOTIFICATION, because the peer sent one (RFC 4271 §6.4).
    Closed,
    /// Nothing: it goes on waiting.
    Patience,
}

/// One line of the table.
struct Row {
    what: &'static str,
    known: Known,
    expect: Expect,
    /// All octets that the peer sends.
    stream: fn() -> Vec<u8>,
}

const fn row(what: &'static str, known: Known, expect: Expect, stream: fn() -> Vec<u8>) -> Row {
    Row { what, known, expect, stream }
}

/// How long bgpd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a row that expects nothing is watched.
const WATCHED: Duration = Duration::from_millis(500);

/// A message with a right header.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    header(kind, u16::try_from(19 + body.len()).unwrap_or(u16::MAX), body)
}

/// A message with this length in its header, right or not.
fn header(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// An OPEN with these optional parameters, their length in front as it is to be sent.
fn open(version: u8, asn: u16, hold_time: u16, id: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let body = [&[version][..], &asn.to_be_bytes(), &hold_time.to_be_bytes(), &id, parameters].concat();
    message(OPEN, &body)
}

/// A good OPEN with these optional parameters.
fn with(parameters: &[u8]) -> Vec<u8> {
    open(4, 65_001, 90, ID, parameters)
}

/// A good OPEN of these capabilities, then a KEEPALIVE.
fn capable(capabilities: &[u8]) -> Vec<u8> {
    let length = u8::try_from(capabilities.len()).unwrap_or(u8::MAX - 2);
    up(&with(&[&[length + 2, 2, length], capabilities].concat()))
}

/// The OPEN and a KEEPALIVE.
fn up(open: &[u8]) -> Vec<u8> {
    [open, &message(KEEPALIVE, &[])].concat()
}

/// Multiprotocol capabilities of both families and route refresh.
const BASIC: [u8; 14] = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0];
/// [`BASIC`] in a Capabilities parameter, with the length of all parameters.
const PARAMETERS: [u8; 17] = [16, 2, 14, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0];
/// BGP Identifier of the peers, lower than rutter's 192.0.2.1.
const ID: [u8; 4] = [10, 9, 0, 1];

#[test]
fn opens() {
    judge("open-phase", open_rows::ROWS);
}

#[test]
fn streams() {
    judge("open-streams", stream_rows::ROWS);
}

#[track_caller]
fn judge(name: &str, rows: &[Row]) {
    run(name, &["raw"], |star| {
        let _bgpd = start(star, rows)?;
        let mut peers = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let mut peer = RawPeer::connect_from(star.peer(1)?, &address(index), "10.0.1.1")?;
            // bgpd may close the connection in the middle of it.
            let _ = peer.send_bytes(&(row.stream)());
            peers.push((row, peer, Instant::now()));
        }
        let mut wrong = Vec::new();
        for (row, mut peer, since) in peers {
            if let Err(error) = verdict(row, &mut peer, since) {
                wrong.push(format!("{}: {error:#}", row.what));
            }
        }
        println!("{name}: {} cases, {} wrong", rows.len(), wrong.len());
        ensure!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        Ok(())
    });
}

fn address(index: usize) -> String {
    format!("10.9.0.{}", index + 1)
}

fn start(star: &Star, rows: &[Row]) -> Result<rutter_lab::Bgpd> {
    // Every address of the peers' network is one of the peer host.
    star.peer(1)?.ip(&["route", "add", "local", "10.9.0.0/16", "dev", "lo"])?;
    star.hub.ip(&["route", "add", "10.9.0.0/16", "via", "10.0.1.2"])?;
    let neighbors: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let (asn, families) = match row.known {
                Known::External => (EXTERNAL, "ipv4-unicast, ipv6-unicast"),
                Known::FourOctets => (FOUR_OCTETS, "ipv4-unicast, ipv6-unicast"),
                Known::Internal => (RUTTER, "ipv4-unicast, ipv6-unicast"),
                Known::OnlyV4 => (EXTERNAL, "ipv4-unicast"),
                Known::OnlyV6 => (EXTERNAL, "ipv6-unicast"),
            };
            let families = format!("families: [{families}]");
            over_v4(index, asn).at(&address(index)).with("passive: true").with(&families)
        })
        .collect();
    star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24", "prefix: \"2001:db8:1::/48\""]))
}

fn verdict(row: &Row, peer: &mut RawPeer, since: Instant) -> Result<()> {
    match row.expect {
        Expect::Established => peer.expect(UPDATE, PATIENCE).map(drop),
        Expect::Told(code, subcode) => told(peer, code, subcode, None),
        Expect::ToldWith(code, subcode, data) => told(peer, code, subcode, Some(data)),
        Expect::Closed => {
            let frames = peer.drain(Duration::from_secs(2))?;
            let notification = frames.iter().find(|frame| frame.kind == NOTIFICATION);
            ensure!(notification.is_none(), "{notification:?} in answer to a NOTIFICATION");
            ensure!(peer.closed_within(Duration::from_secs(1))?, "the connection stays open");
            Ok(())
        }
        Expect::Patience => {
            let left = (since + WATCHED).saturating_duration_since(Instant::now());
            let frames = peer.drain(left.max(Duration::from_millis(1)))?;
            let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
            ensure!(kinds == [OPEN], "messages {kinds:?} instead of one OPEN");
            ensure!(!peer.closed_within(Duration::from_millis(1))?, "the connection was closed");
            Ok(())
        }
    }
}

fn told(peer: &mut RawPeer, code: u8, subcode: u8, data: Option<&[u8]>) -> Result<()> {
    let (a, b, found) = peer.expect_notification(PATIENCE)?;
    let right = (a, b) == (code, subcode) && data.is_none_or(|data| found == data);
    ensure!(right, "NOTIFICATION {a}/{b} {found:?} instead of {code}/{subcode} with {data:?}");
    ensure!(peer.closed_within(Duration::from_secs(2))?, "the connection stays open");
    Ok(())
}
