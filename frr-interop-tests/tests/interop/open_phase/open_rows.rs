//! Rows about the OPEN message itself.

use super::Expect::{Established, Told, ToldWith};
use super::Known::{External, FourOctets, Internal, OnlyV4, OnlyV6};
use super::{BASIC, ID, PARAMETERS, Row, capable, open, row, up, with};

/// A good OPEN in the extended form (RFC 9072 §2) with this one-octet length in front.
fn extended(short: u8, parameters: &[u8]) -> Vec<u8> {
    let length = u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes();
    up(&with(&[&[short, 255][..], &length, parameters].concat()))
}

/// A Capabilities parameter in the extended form.
fn parameter(capabilities: &[u8]) -> Vec<u8> {
    let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[2][..], &length, capabilities].concat()
}

/// [`BASIC`] and a capability of four octets AS.
fn four_octet_as(my_as: u16, asn: u32) -> Vec<u8> {
    let capabilities = [&BASIC[..], &[65, 4], &asn.to_be_bytes()].concat();
    let parameters = [&[22, 2, 20][..], &capabilities].concat();
    up(&open(4, my_as, 90, ID, &parameters))
}

pub(super) const ROWS: &[Row] = &[
    row("a good OPEN", External, Established, || up(&with(&PARAMETERS))),
    // Fixed fields: RFC 4271 §6.2, RFC 6286 §2.2, RFC 7607.
    row("version 0", External, ToldWith(2, 1, &[0, 4]), || up(&open(0, 65_001, 90, ID, &PARAMETERS))),
    row("version 3", External, ToldWith(2, 1, &[0, 4]), || up(&open(3, 65_001, 90, ID, &PARAMETERS))),
    row("version 5", External, ToldWith(2, 1, &[0, 4]), || up(&open(5, 65_001, 90, ID, &PARAMETERS))),
    row("version 3 and everything else wrong", External, ToldWith(2, 1, &[0, 4]), || {
        up(&open(3, 0, 1, [0; 4], &[9, 9]))
    }),
    row("AS 0", External, Told(2, 2), || up(&open(4, 0, 90, ID, &PARAMETERS))),
    row("another AS", External, Told(2, 2), || up(&open(4, 65_099, 90, ID, &PARAMETERS))),
    row("our own AS from an external peer", External, Told(2, 2), || {
        up(&open(4, 65_000, 90, ID, &PARAMETERS))
    }),
    row("another AS from an internal peer", Internal, Told(2, 2), || {
        up(&open(4, 65_001, 90, ID, &PARAMETERS))
    }),
    row("hold time 0", External, Established, || up(&open(4, 65_001, 0, ID, &PARAMETERS))),
    row("hold time 1", External, Told(2, 6), || up(&open(4, 65_001, 1, ID, &PARAMETERS))),
    row("hold time 2", External, Told(2, 6), || up(&open(4, 65_001, 2, ID, &PARAMETERS))),
    row("hold time 3", External, Established, || up(&open(4, 65_001, 3, ID, &PARAMETERS))),
    row("hold time 65,535", External, Established, || up(&open(4, 65_001, 65_535, ID, &PARAMETERS))),
    row("identifier 0.0.0.0", External, Told(2, 3), || up(&open(4, 65_001, 90, [0; 4], &PARAMETERS))),
    row("our own identifier from an internal peer", Internal, Told(2, 3), || {
        up(&open(4, 65_000, 90, [192, 0, 2, 1], &PARAMETERS))
    }),
    // RFC 6286 §2.1: unique only within an AS, and any number but 0; it need not be an address any more.
    row("our own identifier from an external peer", External, Established, || {
        up(&open(4, 65_001, 90, [192, 0, 2, 1], &PARAMETERS))
    }),
    row("identifier 224.0.0.1", External, Established, || {
        up(&open(4, 65_001, 90, [224, 0, 0, 1], &PARAMETERS))
    }),
    row("identifier 255.255.255.255", External, Established, || {
        up(&open(4, 65_001, 90, [255; 4], &PARAMETERS))
    }),
    row("identifier 127.0.0.1", External, Established, || {
        up(&open(4, 65_001, 90, [127, 0, 0, 1], &PARAMETERS))
    }),
    // Four-octet AS numbers: RFC 6793 §3, §9.
    row("AS_TRANS and the real AS in the capability", FourOctets, Established, || {
        four_octet_as(23_456, 4_200_000_001)
    }),
    row("AS_TRANS without the capability", FourOctets, Told(2, 2), || {
        up(&open(4, 23_456, 90, ID, &PARAMETERS))
    }),
    row("AS_TRANS and another AS in the capability", FourOctets, Told(2, 2), || {
        four_octet_as(23_456, 4_200_000_002)
    }),
    row("AS_TRANS and a small AS in the capability", External, Established, || four_octet_as(23_456, 65_001)),
    row("the same AS in both", External, Established, || four_octet_as(65_001, 65_001)),
    row("AS 0 in the capability", External, Told(2, 2), || four_octet_as(65_001, 0)),
    row("AS_TRANS in the capability", External, Told(2, 2), || four_octet_as(65_001, 23_456)),
    row("AS_TRANS in both", External, Told(2, 2), || four_octet_as(23_456, 23_456)),
    row("another AS in the capability", External, Told(2, 2), || four_octet_as(65_001, 65_099)),
    // RFC 6793 says nothing of two numbers that differ. Loop detection of the peer would run on one we do not know.
    row("another AS in front of the capability", External, Told(2, 2), || four_octet_as(65_099, 65_001)),
    row("AS 0 in front of the capability", External, Told(2, 2), || four_octet_as(0, 65_001)),
    // Optional parameters: RFC 4271 §4.2, §6.2, RFC 5492 §4.
    row("no optional parameter", External, Established, || up(&with(&[0]))),
    row("parameter 1, once authentication", External, Told(2, 4), || up(&with(&[4, 1, 2, 0, 0]))),
    row("parameter 7", External, Told(2, 4), || up(&with(&[2, 7, 0]))),
    row("parameter 0", External, Told(2, 4), || up(&with(&[2, 0, 0]))),
    row("parameter 7 behind the capabilities", External, Told(2, 4), || {
        up(&with(&[&[18][..], &PARAMETERS[1..], &[7, 0]].concat()))
    }),
    row("a parameter that overruns", External, Told(2, 0), || up(&with(&[3, 2, 9, 1]))),
    row("half a parameter", External, Told(2, 0), || up(&with(&[1, 2]))),
    row("octets behind the parameters", External, Told(2, 0), || {
        up(&with(&[&PARAMETERS[..], &[0]].concat()))
    }),
    row("parameters shorter than their length", External, Told(2, 0), || {
        up(&with(&[&[17], &PARAMETERS[1..]].concat()))
    }),
    row("parameters without their length", External, Told(2, 0), || {
        up(&with(&[&[0], &PARAMETERS[1..]].concat()))
    }),
    row("an empty Capabilities parameter", External, Established, || up(&with(&[2, 2, 0]))),
    row("a parameter for each capability", External, Established, || {
        up(&with(&[20, 2, 6, 1, 4, 0, 1, 0, 1, 2, 6, 1, 4, 0, 2, 0, 1, 2, 2, 2, 0]))
    }),
    // Capabilities: RFC 5492 §3, §5.
    row("an unknown capability", External, Established, || {
        capable(&[&BASIC[..], &[200, 3, 1, 2, 3]].concat())
    }),
    row("an unknown capability without value", External, Established, || {
        capable(&[&BASIC[..], &[200, 0]].concat())
    }),
    row("capability 0", External, Established, || capable(&[&BASIC[..], &[0, 0]].concat())),
    row("every capability twice", External, Established, || capable(&BASIC.repeat(2))),
    row("a capability that overruns its parameter", External, Told(2, 0), || {
        capable(&[&BASIC[..], &[200, 9, 1]].concat())
    }),
    row("half a capability", External, Told(2, 0), || capable(&[&BASIC[..], &[200]].concat())),
    row("a multiprotocol capability of 3 octets", External, Told(2, 0), || capable(&[1, 3, 0, 1, 0])),
    row("a multiprotocol capability of 5 octets", External, Told(2, 0), || capable(&[1, 5, 0, 1, 0, 1, 0])),
    row("a 4-octet AS capability of 2 octets", External, Told(2, 0), || {
        capable(&[&BASIC[..], &[65, 2, 0xfd, 0xe9]].concat())
    }),
    row("a graceful restart capability of 1 octet", External, Told(2, 0), || {
        capable(&[&BASIC[..], &[64, 1, 0]].concat())
    }),
    row("a host name longer than its capability", External, Established, || {
        capable(&[&BASIC[..], &[73, 2, 9, 65]].concat())
    }),
    row("a reserved octet other than 0 in a multiprotocol capability", External, Established, || {
        capable(&[1, 4, 0, 1, 9, 1])
    }),
    // Families: RFC 4760 §8, RFC 5492 §5 with what is missing in the data.
    row("one of two families", External, Established, || capable(&[1, 4, 0, 2, 0, 1])),
    row("a family nobody knows beside one we have", External, Established, || {
        capable(&[1, 4, 0, 1, 0, 1, 1, 4, 0x40, 4, 0, 71])
    }),
    row(
        "only a family nobody knows",
        External,
        ToldWith(2, 7, &[1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]),
        || capable(&[1, 4, 0x40, 4, 0, 71]),
    ),
    row("IPv6 where we have IPv4", OnlyV4, ToldWith(2, 7, &[1, 4, 0, 1, 0, 1]), || {
        capable(&[1, 4, 0, 2, 0, 1])
    }),
    row("IPv4 where we have IPv6", OnlyV6, ToldWith(2, 7, &[1, 4, 0, 2, 0, 1]), || {
        capable(&[1, 4, 0, 1, 0, 1])
    }),
    row("no capability where we have IPv6", OnlyV6, Told(2, 7), || up(&with(&[0]))),
    row("no capability where we have IPv4", OnlyV4, Established, || up(&with(&[0]))),
    row("capabilities, but no multiprotocol one", OnlyV4, Established, || capable(&[2, 0])),
    // Extended optional parameters: RFC 9072 §2.
    row("extended parameters", External, Established, || extended(255, &parameter(&BASIC))),
    row("extended parameters with a one-octet length of 1", External, Established, || {
        extended(1, &parameter(&BASIC))
    }),
    row("two extended parameters", External, Established, || {
        extended(255, &[parameter(&BASIC), parameter(&[200, 0])].concat())
    }),
    row("no parameter in the extended form", External, Established, || extended(255, &[])),
    row("extended parameters of 1,000 octets", External, Established, || {
        extended(
            255,
            &parameter(
                &[&BASIC[..], &[200, 198].into_iter().chain([7; 198]).collect::<Vec<_>>().repeat(5)].concat(),
            ),
        )
    }),
    row("an OPEN of 4,096 octets", External, Established, || {
        // 4,096 less header, fixed part, both extended headers and what the capabilities in front take.
        let rest = 4096 - 19 - 9 - 4 - 3 - BASIC.len();
        let filler: Vec<u8> =
            [201, 0].repeat(rest / 2 - rest % 2).into_iter().chain([202, 1, 0].repeat(rest % 2)).collect();
        extended(255, &parameter(&[&BASIC[..], &filler].concat()))
    }),
    row("an unknown parameter in the extended form", External, Told(2, 4), || extended(255, &[7, 0, 0])),
    row("an extended parameter that overruns", External, Told(2, 0), || extended(255, &[2, 0, 20, 1, 4])),
    row("half an extended parameter", External, Told(2, 0), || extended(255, &[2, 0])),
    row("extended parameters longer than the message", External, Told(2, 0), || {
        up(&with(&[&[255, 255, 0, 99][..], &parameter(&BASIC)].concat()))
    }),
    row("octets behind the extended parameters", External, Told(2, 0), || {
        up(&with(&[&[255, 255, 0, 17][..], &parameter(&BASIC), &[0]].concat()))
    }),
    row("half an extended length", External, Told(2, 0), || up(&with(&[255, 255, 0]))),
    // A type of 255 means the extended form only in front; elsewhere it is a parameter nobody knows.
    row("parameter 255 behind another", External, Told(2, 4), || {
        up(&with(&[&[19][..], &PARAMETERS[1..], &[255, 1, 0]].concat()))
    }),
    row("parameter 255 inside the extended form", External, Told(2, 4), || extended(255, &[255, 0, 1, 0])),
];
