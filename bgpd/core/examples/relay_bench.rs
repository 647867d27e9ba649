//! Prints what routes cost through a whole speaker: octets of one peer in, octets for others out.
//!
//! ```text
//! cargo run --release -p bgp-core --example relay_bench [ROUTES [RECEIVERS]]
//! ```
//!
//! Beside `rib_bench` this has framing, decoding, the session and its timers in it: what a daemon pays, less its sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgp_core::config::{PeerConfig, SpeakerConfig, SpeakerSettings};
use bgp_core::wire::{
    AsPath, AttributeBlock, Capability, EncodeContext, Family, KEEPALIVE, NextHop, Open, PathAttributes,
    encode_reach,
};
use bgp_core::{Action, ConnId, Endpoints, SEND_QUEUE_LEN, Speaker, Time};
use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net};

/// Octets that a driver reads at once.
const CHUNK: usize = 64 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let routes: u32 = arguments.next().unwrap_or(100_000);
    let receivers: u8 = arguments.next().and_then(|receivers| receivers.try_into().ok()).unwrap_or(1);
    println!("{:>9} {:>9} {:>9} {:>12} {:>9}", "routes", "sets", "receivers", "ns/route", "ms");
    for sets in [100, routes / 6, routes] {
        let stream = announce(routes, sets.max(1));
        let (mut speaker, sender) = speaker(receivers);
        #[expect(clippy::disallowed_methods, reason = "a benchmark is about the clock")]
        let start = Instant::now();
        let mut sent = 0;
        for chunk in stream.chunks(CHUNK) {
            speaker.handle_bytes(sender, chunk, Time::ZERO);
            sent += drain(&mut speaker);
        }
        let took = start.elapsed();
        let per_route = took.as_nanos() / u128::from(routes);
        println!("{routes:>9} {sets:>9} {receivers:>9} {per_route:>12} {:>9.1}", took.as_secs_f64() * 1e3);
        let prefixes = speaker.rib().totals(Family::IPV4_UNICAST).prefixes;
        assert!(
            prefixes == routes && sent > usize::from(receivers) * routes as usize * 4,
            "{prefixes} {sent}"
        );
    }
}

/// Takes all that is to be sent, as a driver with patient peers would.
fn drain(speaker: &mut Speaker) -> usize {
    let mut octets = 0;
    while let Some(transmit) = speaker.poll_transmit(Time::ZERO) {
        octets += transmit.bytes.len();
        speaker.handle_writable(transmit.conn, SEND_QUEUE_LEN, Time::ZERO);
    }
    octets
}

/// A speaker with one peer that sends and some that receive, all Established.
fn speaker(receivers: u8) -> (Speaker, ConnId) {
    let address = |peer: u8| IpAddr::V4(Ipv4Addr::new(192, 0, 2, peer + 2));
    let mut settings = SpeakerSettings::new("bench", 65001, Ipv4Addr::new(10, 0, 0, 1));
    settings.peers = (0..=receivers)
        .map(|peer| PeerConfig::new(format!("p{peer}"), address(peer), Some(asn(peer))))
        .collect();
    let config = SpeakerConfig::new(settings).expect("the settings are sound");
    let mut speaker = Speaker::new(config, 1, Time::ZERO);
    let mut conns = Vec::new();
    while let Some(Action::Connect(connect)) = speaker.poll_action() {
        conns.push((connect.conn, connect.remote));
    }
    for ((conn, remote), peer) in conns.iter().zip(0..) {
        let local = SocketAddr::from(([192, 0, 2, 1], 40_000));
        speaker.handle_connected(*conn, Endpoints::new(local, *remote), Time::ZERO);
        let open = Open {
            asn: asn(peer),
            hold_time: 90,
            router_id: Ipv4Addr::new(10, 0, 0, peer + 2),
            capabilities: vec![
                Capability::MultiProtocol(Family::IPV4_UNICAST),
                Capability::FourOctetAs(asn(peer)),
            ],
        };
        speaker.handle_bytes(*conn, &open.encode().expect("a short OPEN"), Time::ZERO);
        speaker.handle_bytes(*conn, &KEEPALIVE, Time::ZERO);
    }
    drain(&mut speaker);
    (speaker, conns[0].0)
}

fn asn(peer: u8) -> u32 {
    65_002 + u32::from(peer)
}

/// UPDATEs for so many prefixes, packed, with so many sets of attributes.
fn announce(routes: u32, sets: u32) -> BytesMut {
    let (context, mut out) = (EncodeContext::new(), BytesMut::new());
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    let share = routes.div_ceil(sets);
    for set in 0..sets {
        let attributes = PathAttributes {
            as_path: AsPath::sequence([asn(0), 200_000 + set, 3_356]),
            next_hop: Some(next_hop),
            ..PathAttributes::default()
        };
        let block = AttributeBlock::encode(&attributes, &context);
        let numbers = set * share..routes.min((set + 1) * share);
        let prefixes = numbers
            .map(|number| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(0x0b00_0000 + (number << 8)), 24)));
        encode_reach(&mut out, &block, Family::IPV4_UNICAST, &next_hop, prefixes, &context)
            .expect("these fit");
    }
    out
}
