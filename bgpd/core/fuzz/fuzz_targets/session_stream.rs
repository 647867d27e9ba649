#![no_main]
//! Octets into an established session, in any portions: never a panic, and sessions and RIB stay what they must be.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bgp_core::config::{PeerConfig, SpeakerConfig, SpeakerSettings};
use bgp_core::wire::{Capability, Family, KEEPALIVE, Open};
use bgp_core::{Action, ConnId, Endpoints, SEND_QUEUE_LEN, Speaker, State, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[session, pace], mut rest)) = data.split_first_chunk() else { return };
    let mut now = Time::ZERO + Duration::from_secs(1);
    let asn = if session & 1 == 0 { 65002 } else { 65001 };
    let Some((mut speaker, conn)) = established(asn, session & 2 != 0, now) else { return };
    while !rest.is_empty() {
        // Frames are built around the input, as a length that fits is more than the fuzzer can guess; sometimes not.
        let (head, tail) = rest.split_at(1);
        let (body, tail) = tail.split_at(tail.len().min(usize::from(head[0])));
        rest = tail;
        let stream = match body.split_first() {
            Some((kind, body)) if *kind & 0xf0 == 0 => framed(*kind, body),
            _ => body.to_vec(),
        };
        for portion in stream.chunks(usize::from(pace) + 1) {
            speaker.handle_bytes(conn, portion, now);
        }
        now += Duration::from_millis(u64::from(pace));
        drain(&mut speaker, now);
        if let Err(what) = speaker.check() {
            panic!("{what}");
        }
    }
    if let Err(what) = speaker.rib().check() {
        panic!("{what}");
    }
});

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

fn drain(speaker: &mut Speaker, now: Time) {
    while let Some(transmit) = speaker.poll_transmit(now) {
        speaker.handle_writable(transmit.conn, SEND_QUEUE_LEN, now);
    }
    while speaker.poll_action().is_some() {}
    while speaker.poll_event().is_some() {}
}

fn established(asn: u32, limited: bool, now: Time) -> Option<(Speaker, ConnId)> {
    let mut settings = SpeakerSettings::new("fuzz", 65001, Ipv4Addr::new(10, 0, 0, 1));
    let remote: SocketAddr = SocketAddr::from(([192, 0, 2, 2], 179));
    let mut peer = PeerConfig::new("peer", remote.ip(), None);
    peer.max_prefixes = limited.then_some(8.into());
    settings.peers.push(peer);
    let mut speaker = Speaker::new(SpeakerConfig::new(settings).ok()?, 1, now);
    let Some(Action::Connect(connect)) = speaker.poll_action() else { return None };
    let mut endpoints = Endpoints::new(SocketAddr::from(([192, 0, 2, 1], 40000)), remote);
    endpoints.local_v6 = Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    speaker.handle_connected(connect.conn, endpoints, now);
    let open = Open {
        asn,
        hold_time: 90,
        router_id: Ipv4Addr::new(10, 0, 0, 2),
        capabilities: vec![
            Capability::MultiProtocol(Family::IPV4_UNICAST),
            Capability::MultiProtocol(Family::IPV6_UNICAST),
            Capability::RouteRefresh,
            Capability::ExtendedMessage,
            Capability::FourOctetAs(asn),
        ],
    };
    speaker.handle_bytes(connect.conn, &open.encode().ok()?, now);
    speaker.handle_bytes(connect.conn, &KEEPALIVE, now);
    assert_eq!(speaker.peers().next().map(|peer| peer.state), Some(State::Established));
    drain(&mut speaker, now);
    Some((speaker, connect.conn))
}
