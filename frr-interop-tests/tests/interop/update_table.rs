//! Malformed and odd UPDATEs as a table: what goes in as octets, what becomes of the session and of the route.
//!
//! Right is what RFC 4271 §6.3, 7606, 4760, 6793, 7607, 8092, 4456 and 5065 say; where they leave a choice, the row says
//! which and why. Every row runs once per kind of peer it names, on a session of its own: first a good route to its
//! prefix, then the row's UPDATE, then a good route to a second prefix. Two clean peers, one external and one internal,
//! show what bgpd made of it.

mod attribute_rows;
mod bench;
mod message_rows;
mod multiprotocol_rows;
mod path_rows;
mod sender;
mod watcher;

use sender::{Kind, Sender};
use watcher::Route;

/// Sender and family of the routes.
type Setting = (Kind, Nlri);

/// Where the row's prefix is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nlri {
    /// IPv4, in the NLRI field.
    V4,
    /// IPv6, in MP_REACH_NLRI.
    V6,
}

const EXTERNAL: &[Setting] =
    &[(Kind::External, Nlri::V4), (Kind::External2, Nlri::V4), (Kind::External, Nlri::V6)];
const INTERNAL: &[Setting] =
    &[(Kind::Internal, Nlri::V4), (Kind::Internal2, Nlri::V4), (Kind::Internal, Nlri::V6)];
const ALL: &[Setting] = &[
    (Kind::External, Nlri::V4),
    (Kind::External2, Nlri::V4),
    (Kind::External, Nlri::V6),
    (Kind::Internal, Nlri::V4),
    (Kind::Internal2, Nlri::V4),
    (Kind::Internal, Nlri::V6),
];
const V4: &[Setting] = &[
    (Kind::External, Nlri::V4),
    (Kind::External2, Nlri::V4),
    (Kind::Internal, Nlri::V4),
    (Kind::Internal2, Nlri::V4),
];
const V6: &[Setting] = &[(Kind::External, Nlri::V6), (Kind::Internal, Nlri::V6)];
const FOUR_OCTET: &[Setting] = &[
    (Kind::External, Nlri::V4),
    (Kind::External, Nlri::V6),
    (Kind::Internal, Nlri::V4),
    (Kind::Internal, Nlri::V6),
];
const TWO_OCTET: &[Setting] = &[(Kind::External2, Nlri::V4), (Kind::Internal2, Nlri::V4)];

/// One line of the table.
struct Row {
    what: &'static str,
    on: &'static [Setting],
    /// The body of the UPDATE.
    body: fn(&Sender) -> Vec<u8>,
    expect: Expect,
}

/// What has to come of it.
#[derive(Clone, Copy)]
enum Expect {
    /// The session stays, the new route is in the place of the old one, and is as this says.
    Replaced(fn(&Seen<'_>) -> bool),
    /// The session stays, the old route is gone.
    Withdrawn,
    /// The session stays, and so does the old route.
    Kept,
    /// NOTIFICATION with this code and subcode, and the old route is gone.
    Reset(u8, u8),
}

/// What the clean peers have.
struct Seen<'a> {
    /// The route to the row's prefix at the external peer.
    external: &'a Route,
    /// The same at the internal one, a route reflector client, so that internal routes and attributes are seen too.
    internal: &'a Route,
    /// Whether the external peer has the sender's other prefix.
    other: bool,
    /// Whether the external peer has a prefix that is no unicast destination.
    martian: bool,
}

/// The prefixes of rows about those that are no unicast destinations.
const MARTIANS: [&[u8]; 4] = [&[16, 224, 1], &[8, 127], &[32, 0xff, 0x0e, 1, 2], &[16, 0xfe, 0x80]];

const ANY: Expect = Expect::Replaced(|_| true);

const fn row(
    what: &'static str,
    on: &'static [Setting],
    expect: Expect,
    body: fn(&Sender) -> Vec<u8>,
) -> Row {
    Row { what, on, body, expect }
}

#[test]
fn attributes() {
    bench::judge("update-attributes", attribute_rows::ROWS);
}

#[test]
fn paths_and_next_hops() {
    bench::judge("update-paths", path_rows::ROWS);
}

#[test]
fn multiprotocol() {
    bench::judge("update-multiprotocol", multiprotocol_rows::ROWS);
}

#[test]
fn messages() {
    bench::judge("update-messages", message_rows::ROWS);
}
