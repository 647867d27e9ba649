//! Rows about headers (RFC 4271 §6.1, RFC 8654) and about messages that come at the wrong time (§8.2.2, RFC 6608).

use frr_interop_tests::{KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE};

use super::Expect::{Closed, Established, Patience, Told, ToldWith};
use super::Known::External;
use super::{BASIC, ID, PARAMETERS, Row, capable, header, message, open, row, up, with};

fn good() -> Vec<u8> {
    with(&PARAMETERS)
}

fn then(parts: &[Vec<u8>]) -> Vec<u8> {
    [vec![good()], parts.to_vec()].concat().concat()
}

fn established_then(part: Vec<u8>) -> Vec<u8> {
    [up(&good()), part].concat()
}

fn end_of_rib() -> Vec<u8> {
    message(UPDATE, &[0; 4])
}

/// A well-formed UPDATE of so many octets, withdrawing 0.0.0.0/0 again and again.
fn update(length: usize) -> Vec<u8> {
    let withdrawn = vec![0; length - 19 - 4];
    let field = u16::try_from(withdrawn.len()).unwrap_or(u16::MAX).to_be_bytes();
    message(UPDATE, &[&field[..], &withdrawn, &[0, 0]].concat())
}

const REFRESH: [u8; 4] = [0, 1, 0, 1];

pub(super) const ROWS: &[Row] = &[
    // Headers before the session: §6.1, with the wrong field as data.
    row("marker of zeros", External, Told(1, 1), || [&[0; 16][..], &good()[16..]].concat()),
    row("one wrong octet in the marker", External, Told(1, 1), || {
        [&[0xff; 15][..], &[0xfe], &good()[16..]].concat()
    }),
    row("length 0", External, ToldWith(1, 2, &[0, 0]), || header(OPEN, 0, &[])),
    row("length 18", External, ToldWith(1, 2, &[0, 18]), || header(KEEPALIVE, 18, &[])),
    row("an OPEN of 19 octets", External, ToldWith(1, 2, &[0, 19]), || header(OPEN, 19, &[])),
    row("an OPEN of 28 octets", External, ToldWith(1, 2, &[0, 28]), || {
        header(OPEN, 28, &[4, 0xfd, 0xe9, 0, 90, 10, 9, 0, 1])
    }),
    row("an OPEN of 4,097 octets", External, ToldWith(1, 2, &[16, 1]), || header(OPEN, 4097, &[])),
    row("an OPEN of 65,535 octets", External, ToldWith(1, 2, &[255, 255]), || header(OPEN, 65_535, &[])),
    row("a KEEPALIVE of 20 octets", External, ToldWith(1, 2, &[0, 20]), || header(KEEPALIVE, 20, &[0])),
    row("type 0", External, ToldWith(1, 3, &[0]), || header(0, 19, &[])),
    row("type 6", External, ToldWith(1, 3, &[6]), || header(6, 19, &[])),
    row("type 255", External, ToldWith(1, 3, &[255]), || header(255, 19, &[])),
    row("wrong marker and wrong length: the marker is looked at first", External, Told(1, 1), || vec![0; 19]),
    // Headers in Established.
    row("marker of zeros in Established", External, Told(1, 1), || established_then(vec![0; 19])),
    row("length 18 in Established", External, ToldWith(1, 2, &[0, 18]), || {
        established_then(header(KEEPALIVE, 18, &[]))
    }),
    row("an UPDATE of 22 octets", External, ToldWith(1, 2, &[0, 22]), || {
        established_then(header(UPDATE, 22, &[0; 3]))
    }),
    row("a NOTIFICATION of 20 octets", External, ToldWith(1, 2, &[0, 20]), || {
        established_then(header(NOTIFICATION, 20, &[6]))
    }),
    row("a ROUTE-REFRESH of 22 octets", External, ToldWith(1, 2, &[0, 22]), || {
        established_then(header(ROUTE_REFRESH, 22, &[0; 3]))
    }),
    row("a KEEPALIVE of 4,097 octets", External, ToldWith(1, 2, &[16, 1]), || {
        established_then(header(KEEPALIVE, 4097, &[]))
    }),
    row("type 6 in Established", External, ToldWith(1, 3, &[6]), || established_then(header(6, 19, &[]))),
    row("an UPDATE of 4,096 octets", External, Established, || established_then(update(4096))),
    // RFC 8654 §4: only a listener that has not advertised the capability refuses, and rutter advertises it to everybody.
    row("an UPDATE of 4,097 octets from a peer that offers none", External, Established, || {
        established_then(update(4097))
    }),
    row("an UPDATE of 65,535 octets with the capability", External, Established, || {
        [capable(&[&BASIC[..], &[6, 0]].concat()), update(65_535)].concat()
    }),
    row("an OPEN of 4,097 octets with the capability", External, ToldWith(1, 2, &[16, 1]), || {
        [capable(&[&BASIC[..], &[6, 0]].concat()), header(OPEN, 4097, &[])].concat()
    }),
    // The wrong message: RFC 6608 has a subcode for each state.
    row("KEEPALIVE first", External, Told(5, 1), || message(KEEPALIVE, &[])),
    row("UPDATE first", External, Told(5, 1), end_of_rib),
    row("a malformed UPDATE first", External, Told(5, 1), || message(UPDATE, &[0, 9, 0, 0])),
    row("ROUTE-REFRESH first", External, Told(5, 1), || message(ROUTE_REFRESH, &REFRESH)),
    row("UPDATE in OpenConfirm", External, Told(5, 2), || then(&[end_of_rib()])),
    row("ROUTE-REFRESH in OpenConfirm", External, Told(5, 2), || then(&[message(ROUTE_REFRESH, &REFRESH)])),
    row("a second OPEN in OpenConfirm", External, Told(5, 2), || then(&[good()])),
    row("a second, malformed OPEN in OpenConfirm", External, Told(5, 2), || then(&[open(3, 0, 1, ID, &[0])])),
    row("a second OPEN in Established", External, Told(5, 3), || established_then(good())),
    row("a second, malformed OPEN in Established", External, Told(5, 3), || {
        established_then(open(3, 0, 1, ID, &[0]))
    }),
    // A NOTIFICATION is not answered by one (§6.4), whatever it says.
    row("NOTIFICATION first", External, Closed, || message(NOTIFICATION, &[6, 5])),
    row("NOTIFICATION of a wrong version first", External, Closed, || message(NOTIFICATION, &[2, 1, 0, 3])),
    row("NOTIFICATION in OpenConfirm", External, Closed, || then(&[message(NOTIFICATION, &[2, 2])])),
    row("NOTIFICATION in Established", External, Closed, || established_then(message(NOTIFICATION, &[6, 2]))),
    row("NOTIFICATION with an unknown code", External, Closed, || {
        established_then(message(NOTIFICATION, &[99, 99, 1, 2, 3]))
    }),
    row("NOTIFICATION with code 0", External, Closed, || message(NOTIFICATION, &[0, 0])),
    row("what comes behind a NOTIFICATION is not read", External, Closed, || {
        [message(NOTIFICATION, &[6, 5]), vec![0; 19]].concat()
    }),
    // Waiting is allowed for as long as the hold timer runs.
    row("nothing", External, Patience, Vec::new),
    row("half a header", External, Patience, || good()[..10].to_vec()),
    row("an OPEN that lacks its last octet", External, Patience, || {
        let open = good();
        open[..open.len() - 1].to_vec()
    }),
    // The hold timer: the agreed time runs from the OPEN on.
    row("silence in OpenConfirm with a hold time of 3", External, Told(4, 0), || {
        open(4, 65_001, 3, ID, &PARAMETERS)
    }),
    row("silence in Established with a hold time of 3", External, Established, || {
        up(&open(4, 65_001, 3, ID, &PARAMETERS))
    }),
    // All at once.
    row(
        "OPEN, KEEPALIVE and UPDATE in one segment",
        External,
        Established,
        || established_then(end_of_rib()),
    ),
    row("two KEEPALIVEs", External, Established, || established_then(message(KEEPALIVE, &[]))),
    row("ROUTE-REFRESH in Established", External, Established, || {
        established_then(message(ROUTE_REFRESH, &REFRESH))
    }),
    row("ROUTE-REFRESH of a family nobody knows", External, Established, || {
        established_then(message(ROUTE_REFRESH, &[0x40, 4, 0, 71]))
    }),
    row("ROUTE-REFRESH of an unknown subtype (RFC 7313 §5)", External, Established, || {
        established_then(message(ROUTE_REFRESH, &[0, 1, 9, 1]))
    }),
];
