//! OPEN: the error table of RFC 4271 §6.2 and RFC 9072, and the round trip of every capability.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::capability::{AddPath, AddPathMode, ExtendedNextHop, GracefulRestart, LongLivedFamily, Role};
use crate::context::{DecodeContext, PeerKind};
use crate::family::Family;
use crate::{Message, peek_frame};

fn decode(frame: &[u8]) -> Result<Open, MessageError> {
    assert_eq!(peek_frame(frame, MAX_LEN), Ok(Some(frame.len())));
    match Message::decode(frame, &DecodeContext::new(PeerKind::External))? {
        Message::Open(open) => Ok(open),
        other => panic!("not an OPEN: {other:?}"),
    }
}

/// A message with these optional parameters, their length octet included.
fn message(version: u8, my_as: u16, hold_time: u16, router_id: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_header(&mut frame, HEADER_LEN + 9 + parameters.len(), MessageKind::Open);
    frame.put_u8(version);
    frame.put_u16(my_as);
    frame.put_u16(hold_time);
    frame.put_slice(&router_id);
    frame.put_slice(parameters);
    frame.to_vec()
}

fn with(parameters: &[u8]) -> Result<Open, MessageError> {
    decode(&message(4, 65001, 90, [192, 0, 2, 1], parameters))
}

#[test]
fn fixed_fields() {
    let id = [192, 0, 2, 1];
    let cases = [
        ("version 3", message(3, 65001, 90, id, &[0]), (2, 1), &[0, 4][..]),
        ("AS 0", message(4, 0, 90, id, &[0]), (2, 2), &[]),
        ("identifier 0.0.0.0", message(4, 65001, 90, [0; 4], &[0]), (2, 3), &[]),
        ("hold time 1", message(4, 65001, 1, id, &[0]), (2, 6), &[]),
        ("hold time 2", message(4, 65001, 2, id, &[0]), (2, 6), &[]),
    ];
    for (what, frame, code, data) in cases {
        let error = decode(&frame).unwrap_err();
        assert_eq!((error.fault.code(), error.data.as_ref()), (code, data), "{what}");
    }
    // One AS number said twice, also where two octets need no AS_TRANS.
    for my_as in [65001, 23456] {
        let frame = message(4, my_as, 90, id, &[8, 2, 6, 65, 4, 0, 0, 0xfd, 0xe9]);
        assert_eq!(decode(&frame).map(|open| open.asn), Ok(65001));
    }
    for hold_time in [0, 3, 65535] {
        let open = decode(&message(4, 65001, hold_time, id, &[0])).unwrap();
        assert_eq!((open.asn, open.hold_time, open.families()), (65001, hold_time, FamilySet::IPV4_UNICAST));
    }
}

#[test]
fn optional_parameter_faults() {
    let cases: &[(&str, &[u8], (u8, u8))] = &[
        ("length too small", &[2, 2, 2, 2, 0], (2, 0)),
        ("length too large", &[9, 2, 2, 2, 0], (2, 0)),
        ("no length of the parameter", &[1, 2], (2, 0)),
        ("parameter beyond the field", &[4, 2, 3, 2, 0], (2, 0)),
        ("capability beyond the parameter", &[4, 2, 2, 2, 1], (2, 0)),
        ("capability without length", &[3, 2, 1, 2], (2, 0)),
        ("authentication, deprecated", &[3, 1, 1, 0], (2, 4)),
        ("parameter 3", &[2, 3, 0], (2, 4)),
        ("route refresh with a value", &[5, 2, 3, 2, 1, 0], (2, 0)),
        ("multiprotocol of 3 octets", &[7, 2, 5, 1, 3, 0, 1, 0], (2, 0)),
        ("four-octet AS of 2 octets", &[6, 2, 4, 65, 2, 0, 1], (2, 0)),
        ("four-octet AS 0", &[8, 2, 6, 65, 4, 0, 0, 0, 0], (2, 2)),
        ("four-octet AS_TRANS", &[8, 2, 6, 65, 4, 0, 0, 0x5b, 0xa0], (2, 2)),
        ("graceful restart of 3 octets", &[7, 2, 5, 64, 3, 0, 1, 0], (2, 0)),
        ("extended, length too large", &[255, 255, 0, 9, 2, 0, 2, 2, 0], (2, 0)),
        ("extended, parameter beyond", &[255, 255, 0, 5, 2, 0, 3, 2, 0], (2, 0)),
        ("extended, no length", &[255, 255, 0], (2, 0)),
        ("extended, parameter 3", &[255, 255, 0, 3, 3, 0, 0], (2, 4)),
    ];
    for (what, parameters, code) in cases {
        assert_eq!(with(parameters).unwrap_err().fault.code(), *code, "{what}");
    }
}

#[test]
fn parameters_in_every_form() {
    let wanted = [Capability::RouteRefresh, Capability::FourOctetAs(70000)];
    let cases: &[&[u8]] = &[
        &[10, 2, 8, 2, 0, 65, 4, 0, 1, 0x11, 0x70],
        &[12, 2, 2, 2, 0, 2, 6, 65, 4, 0, 1, 0x11, 0x70],
        &[255, 255, 0, 11, 2, 0, 8, 2, 0, 65, 4, 0, 1, 0x11, 0x70],
        // RFC 9072 §2: the one-octet length is not looked at once the type says extended.
        &[1, 255, 0, 14, 2, 0, 2, 2, 0, 2, 0, 6, 65, 4, 0, 1, 0x11, 0x70],
    ];
    for parameters in cases {
        let open = decode(&message(4, 23456, 90, [192, 0, 2, 1], parameters)).unwrap();
        assert_eq!((open.asn, open.capabilities.as_slice()), (70000, &wanted[..]), "{parameters:?}");
        // My Autonomous System is another AS than the capability's.
        assert_eq!(with(parameters).unwrap_err().fault.code(), (2, 2), "{parameters:?}");
    }
}

#[test]
fn text_for_people_never_costs_the_session() {
    let capabilities = |octets: &[u8]| {
        let len = u8::try_from(octets.len()).unwrap();
        with(&[&[len + 2, 2, len], octets].concat()).unwrap().capabilities
    };
    let fqdn =
        |host: &str, domain: &str| Capability::Fqdn { host: host.to_owned(), domain: domain.to_owned() };
    assert_eq!(capabilities(&[73, 4, 2, b'n', b'1', 0]), [fqdn("n1", "")]);
    assert_eq!(capabilities(&[73, 4, 1, 0xff, 1, b'x']), [fqdn("\u{fffd}", "x")]);
    let kept = |code, value: &'static [u8]| [Capability::Unknown { code, value: Bytes::from_static(value) }];
    assert_eq!(capabilities(&[73, 2, 9, b'x']), kept(73, &[9, b'x']));
    assert_eq!(capabilities(&[75, 0]), kept(75, &[]));
    assert_eq!(capabilities(&[128, 0]), kept(128, &[]));
}

#[test]
fn families_are_those_of_the_multiprotocol_capabilities() {
    let open = |capabilities| Open { asn: 1, hold_time: 0, router_id: [1; 4].into(), capabilities };
    let v6 = Capability::MultiProtocol(Family::IPV6_UNICAST);
    let vpn = Capability::MultiProtocol(Family { afi: 1, safi: 128 });
    assert_eq!(open(vec![Capability::RouteRefresh]).families(), FamilySet::IPV4_UNICAST);
    assert_eq!(open(vec![v6]).families(), FamilySet::IPV6_UNICAST);
    assert_eq!(open(vec![vpn]).families(), FamilySet::EMPTY);
}

#[test]
fn lengths_that_do_not_fit() {
    let open = |capabilities| Open { asn: 1, hold_time: 0, router_id: [1; 4].into(), capabilities };
    let unknown = |len| Capability::Unknown { code: 200, value: vec![0; len].into() };
    // One octet of length up to 255 octets of parameters, two octets beyond.
    for (count, length) in [(251, 29 + 2 + 253), (252, 29 + 6 + 254)] {
        let sent = open(vec![unknown(count)]);
        let frame = sent.encode().unwrap();
        assert_eq!(frame.len(), length);
        assert_eq!(decode(&frame), Ok(sent));
    }
    assert_eq!(open(vec![unknown(256)]).encode(), Err(EncodeError::Capability { code: 200, len: 256 }));
    assert!(matches!(open(vec![unknown(255); 16]).encode(), Err(EncodeError::Open { len: 4147 })));
}

fn arbitrary_family() -> impl Strategy<Value = Family> {
    any::<(u16, u8)>().prop_map(|(afi, safi)| Family { afi, safi })
}

fn arbitrary_capability() -> impl Strategy<Value = Capability> {
    use proptest::collection::vec;
    let mode = prop_oneof![Just(AddPathMode::Receive), Just(AddPathMode::Send), Just(AddPathMode::Both)];
    let add_path = (arbitrary_family(), mode).prop_map(|(family, mode)| AddPath { family, mode });
    let next_hop = (arbitrary_family(), any::<u16>())
        .prop_map(|(nlri, next_hop_afi)| ExtendedNextHop { nlri, next_hop_afi });
    let long_lived = (arbitrary_family(), any::<bool>(), 0..1_u32 << 24)
        .prop_map(|(family, forwarding, stale_time)| LongLivedFamily { family, forwarding, stale_time });
    let restart = (any::<(bool, bool)>(), 0..4096_u16, vec((arbitrary_family(), any::<bool>()), 0..60))
        .prop_map(|((restart_state, notification), restart_time, families)| GracefulRestart {
            restart_state,
            notification,
            restart_time,
            families,
        });
    let asn = prop_oneof![1..AS_TRANS, AS_TRANS + 1..=u32::MAX];
    prop_oneof![
        arbitrary_family().prop_map(Capability::MultiProtocol),
        Just(Capability::RouteRefresh),
        vec(next_hop, 0..40).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        any::<u8>().prop_map(|octet| Capability::Role(Role::from(octet))),
        restart.prop_map(Capability::GracefulRestart),
        asn.prop_map(Capability::FourOctetAs),
        vec(add_path, 0..60).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        vec(long_lived, 0..30).prop_map(Capability::LongLivedGracefulRestart),
        ("[a-z0-9-]{0,64}", "[a-z.]{0,64}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        "[ -~]{0,64}".prop_map(Capability::SoftwareVersion),
        (128..=255_u8, vec(any::<u8>(), 0..200))
            .prop_map(|(code, value)| Capability::Unknown { code, value: value.into() }),
    ]
}

proptest! {
    #[test]
    fn round_trip(
        asn in prop_oneof![1..AS_TRANS, AS_TRANS + 1..=0xffff],
        hold_time in prop_oneof![Just(0_u16), 3..=u16::MAX],
        router_id in 1..=u32::MAX,
        capabilities in proptest::collection::vec(arbitrary_capability(), 0..12),
    ) {
        let mut sent = Open { asn, hold_time, router_id: Ipv4Addr::from_bits(router_id), capabilities };
        sent.asn = sent.four_octet_as().unwrap_or(asn);
        prop_assert_eq!(decode(&sent.encode().unwrap()), Ok(sent));
    }
}
