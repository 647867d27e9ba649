//! Routes through a session: End-of-RIB, refresh, prefix limit, malformed attributes, and peers that read slowly.

use std::ops::Range;

use bgp_wire::{
    AsPath, AttributeBlock, EncodeContext, NextHop, PathAttributes, encode_end_of_rib, encode_reach,
};
use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net};

use super::*;
use crate::config::{LimitAction, MaxPrefixes, OriginatedRoute};
use crate::view::Held;

/// Octets of the longest UPDATE: by so much a queue may be overfilled.
const MESSAGE: usize = 4096;

fn prefix(number: u32) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(0x0b00_0000 + (number << 8)), 24))
}

/// UPDATEs that announce these prefixes, with one attribute set for each `share` of them.
fn updates(numbers: Range<u32>, share: usize) -> Bytes {
    let numbers: Vec<_> = numbers.collect();
    let (context, mut out) = (EncodeContext::new(), BytesMut::new());
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    for chunk in numbers.chunks(share) {
        let attributes = PathAttributes {
            as_path: AsPath::sequence([65002, 100_000 + chunk[0]]),
            next_hop: Some(next_hop),
            ..PathAttributes::default()
        };
        let block = AttributeBlock::encode(&attributes, &context);
        let prefixes = chunk.iter().map(|number| prefix(*number));
        encode_reach(&mut out, &block, Family::IPV4_UNICAST, &next_hop, prefixes, &context).unwrap();
    }
    out.freeze()
}

fn end_of_rib() -> Bytes {
    let mut out = BytesMut::new();
    encode_end_of_rib(&mut out, Family::IPV4_UNICAST).unwrap();
    out.freeze()
}

/// A speaker with `tor`, which the tests play, and `spine`, AS 65003 at 192.0.2.3; both Established.
fn pair() -> (Script, ConnId, ConnId) {
    let mut script = Script::new(|settings| {
        let spine = PeerConfig::new("spine", "192.0.2.3".parse().unwrap(), Some(65003));
        settings.peers.push(spine);
    });
    let tor = script.dial().conn;
    let spine = script.dial().conn;
    script.connected(tor);
    let remote = "192.0.2.3:179".parse().unwrap();
    script.speaker.handle_connected(spine, Endpoints::new(LOCAL, remote), script.now);
    script.finish(tor);
    let capabilities = vec![Capability::MultiProtocol(Family::IPV4_UNICAST), Capability::FourOctetAs(65003)];
    let router_id = Ipv4Addr::new(10, 0, 0, 3);
    script.send(spine, &encoded(&Open { asn: 65003, hold_time: 90, router_id, capabilities }));
    script.send(spine, &KEEPALIVE);
    assert!(script.speaker.peers().all(|peer| peer.state == State::Established));
    script.sent(spine);
    (script, tor, spine)
}

/// Everything that the speaker hands out, by connection, without any of it being written.
fn unread(script: &mut Script) -> BTreeMap<ConnId, usize> {
    let mut octets = BTreeMap::new();
    while let Some(transmit) = script.speaker.poll_transmit(script.now) {
        *octets.entry(transmit.conn).or_default() += transmit.bytes.len();
    }
    octets
}

#[test]
fn own_routes_and_then_end_of_rib_are_sent_when_the_session_is_up() {
    let mut script = Script::new(|settings| {
        settings.routes = (0..3).map(|number| OriginatedRoute::new(prefix(number))).collect();
    });
    let conn = script.dial().conn;
    script.connected(conn);
    script.send(conn, &encoded(&open()));
    script.send(conn, &KEEPALIVE);
    let sent = script.sent(conn);
    let [Sent::Open(_), Sent::Keepalive, Sent::Update(_), Sent::Update(end)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(*end, end_of_rib().len(), "three prefixes in one UPDATE, then End-of-RIB");
    assert_eq!(script.peer().sent.updates, 2);
}

#[test]
fn the_peers_end_of_rib_is_noted_once() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.events();
    script.send(conn, &updates(0..10, 10));
    assert!(!script.peer().end_of_rib_received.contains(Family::IPV4_UNICAST));
    script.send(conn, &[end_of_rib(), end_of_rib()].concat());
    assert!(script.peer().end_of_rib_received.contains(Family::IPV4_UNICAST));
    let noted = script.events();
    assert!(
        matches!(noted.as_slice(), [EventKind::EndOfRib { family: Family::IPV4_UNICAST, .. }]),
        "{noted:?}"
    );
    let counters = script.speaker.rib().counters(script.id(), Family::IPV4_UNICAST).unwrap();
    assert_eq!((counters.received, counters.accepted), (10, 10));
}

#[test]
fn a_session_that_ends_takes_its_routes_along() {
    let (mut script, tor, spine) = pair();
    script.send(tor, &updates(0..100, 10));
    assert!(!script.sent(spine).is_empty());
    script.speaker.handle_closed(tor, CloseReason::Eof, script.now);
    assert!(!script.sent(spine).is_empty(), "withdrawn");
    assert_eq!(script.speaker.rib().totals(Family::IPV4_UNICAST).prefixes, 0);
    script.speaker.rib().check().unwrap();
}

#[test]
fn a_peer_that_reads_nothing_holds_back_only_its_own_routes() {
    let (mut script, tor, spine) = pair();
    // 3,000 attribute sets: UPDATEs of about 60 octets each, and more than the queue takes.
    let routes = updates(0..30_000, 3);
    let mut to_tor = 0;
    for chunk in routes.chunks(16 * 1024) {
        script.send(tor, chunk);
        let handed = unread(&mut script);
        to_tor += handed.get(&tor).copied().unwrap_or_default();
    }
    assert_eq!(to_tor, 0, "nothing of its own goes back");
    let spine_view = script.speaker.peer_by_name("spine").unwrap();
    assert!(spine_view.queued_out >= SEND_QUEUE_LEN && spine_view.queued_out <= SEND_QUEUE_LEN + MESSAGE);
    // Its KEEPALIVEs do not wait behind its routes.
    for _ in 0..8 {
        script.pass(Duration::from_secs(10));
        script.send(tor, &KEEPALIVE);
        script.send(spine, &KEEPALIVE);
    }
    let handed = unread(&mut script);
    assert!((19..=19 * 8).contains(&handed[&spine]), "KEEPALIVEs and no UPDATE: {handed:?}");
    assert!(handed[&tor] >= 19, "the other peer is served");
    // When it reads again, it gets all the rest, as it is now and not as it was.
    script.send(tor, &updates(0..30_000, 1000));
    let mut rest = Vec::new();
    script.speaker.handle_writable(spine, SEND_QUEUE_LEN, script.now);
    rest.extend(script.sent(spine));
    let messages = rest.iter().filter(|sent| matches!(sent, Sent::Update(_))).count();
    assert!(messages < 1_000, "30 sets now: {messages} messages");
    let spine = script.speaker.peer_by_name("spine").unwrap().id;
    assert_eq!(script.speaker.rib().counters(spine, Family::IPV4_UNICAST).unwrap().advertised, 30_000);
    script.speaker.rib().check().unwrap();
    script.speaker.check().unwrap();
}

#[test]
fn a_flood_of_refresh_requests_costs_one_more_table() {
    let (mut script, tor, spine) = pair();
    script.send(tor, &updates(0..1000, 10));
    let full = script.sent(spine).len();
    assert_eq!(full, 100);
    let request = RouteRefresh::request(Family::IPV4_UNICAST).encode();
    for _ in 0..500 {
        script.send(spine, &request);
    }
    let again = script.sent(spine).len();
    assert!((full..=full + 2).contains(&again), "{again} messages for 500 requests");
    assert_eq!(script.speaker.peer_by_name("spine").unwrap().received.route_refreshes, 500);
    let unknown = RouteRefresh::request(Family::IPV6_UNICAST).encode();
    script.send(spine, &unknown);
    assert_eq!(script.sent(spine), [], "a family that was not negotiated is ignored");
    let peer = script.speaker.peer_by_name("spine").unwrap().id;
    script.speaker.handle_command(Command::SoftOut { peer, family: None }, script.now).unwrap();
    assert!(script.sent(spine).len() >= full);
}

#[test]
fn too_many_prefixes_close_the_session_until_an_operator_says_so() {
    let mut script = Script::with_peer(|peer| peer.max_prefixes = Some(10.into()));
    let conn = script.establish();
    script.send(conn, &updates(0..10, 10));
    assert_eq!(script.state(), State::Established);
    script.events();
    script.send(conn, &updates(10..11, 10));
    let sent = script.sent(conn);
    let [Sent::Notification(sent)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((sent.code, sent.subcode), (6, cease::MAXIMUM_PREFIXES));
    assert_eq!(sent.data.as_ref(), [0, 1, 1, 0, 0, 0, 10], "family and limit (RFC 4486)");
    assert_eq!((script.state(), script.peer().held), (State::Idle, Some(Held::PrefixLimit { until: None })));
    assert_eq!(script.last_reason(), Reason::PrefixLimit { limit: 10 });
    script.closed();
    script.pass(Duration::from_secs(10_000));
    assert!(script.closed().is_empty(), "no dial");
    assert!(matches!(script.accept(), Err(AcceptRefusal::PrefixLimit { .. })));
    let command = Command::Reset { peer: script.id(), text: None };
    script.speaker.handle_command(command, script.now).unwrap();
    assert!(script.until_dial().1 < Duration::from_secs(1));
}

fn limited(limit: u32, action: LimitAction) -> Script {
    Script::with_peer(|peer| {
        peer.max_prefixes = Some(MaxPrefixes { action, ..limit.into() });
    })
}

impl Script {
    /// Warnings and passed limits, by the number that was told.
    fn limits(&mut self) -> (Vec<u32>, usize) {
        let (mut warned, mut passed) = (Vec::new(), 0);
        for event in self.events() {
            match event {
                EventKind::PrefixWarning { prefixes, .. } => warned.push(prefixes),
                EventKind::PrefixLimit { .. } => passed += 1,
                _ => {}
            }
        }
        (warned, passed)
    }
}

#[test]
fn a_prefix_warning_is_given_once_per_crossing() {
    let mut script = limited(8, LimitAction::Warn);
    let conn = script.establish();
    script.send(conn, &updates(0..6, 1));
    assert_eq!(script.limits(), (vec![], 0), "six of eight are 75 %");
    script.send(conn, &updates(6..8, 1));
    assert_eq!(script.limits(), (vec![7], 0));
    script.send(conn, &updates(8..12, 1));
    assert_eq!((script.limits(), script.state()), ((vec![], 1), State::Established), "only a warning");
    let mut settings = script.speaker.config().clone().into_settings();
    settings.peers[0].max_prefixes = Some(MaxPrefixes { action: LimitAction::Warn, ..100.into() });
    script.speaker.handle_config(SpeakerConfig::new(settings.clone()).unwrap(), script.now);
    assert_eq!(script.limits(), (vec![], 0));
    settings.peers[0].max_prefixes = Some(MaxPrefixes { action: LimitAction::Warn, ..11.into() });
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    assert_eq!(script.limits(), (vec![12], 1), "another limit is crossed anew");
}

#[test]
fn a_passed_limit_may_end_by_itself() {
    let mut script = limited(2, LimitAction::Restart(60));
    let conn = script.establish();
    script.send(conn, &updates(0..3, 1));
    let until = Some(script.now + Duration::from_secs(60));
    assert_eq!((script.state(), script.peer().held), (State::Idle, Some(Held::PrefixLimit { until })));
    script.closed();
    script.pass(Duration::from_secs(59));
    assert!(script.closed().is_empty(), "no dial yet");
    assert!(matches!(script.accept(), Err(AcceptRefusal::PrefixLimit { .. })));
    script.pass(Duration::from_secs(2));
    script.dial();
    assert_eq!(script.peer().held, None);
    // An operator need not wait.
    let mut script = limited(2, LimitAction::Restart(60));
    let conn = script.establish();
    script.send(conn, &updates(0..3, 1));
    script.closed();
    let command = Command::Reset { peer: script.id(), text: None };
    script.speaker.handle_command(command, script.now).unwrap();
    assert!(script.until_dial().1 < Duration::from_secs(1));
    script.speaker.check().unwrap();
}

#[test]
fn a_lowered_limit_counts_at_once_and_a_raised_one_lets_go() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.send(conn, &updates(0..10, 10));
    let mut settings = script.speaker.config().clone().into_settings();
    settings.peers[0].max_prefixes = Some(5.into());
    script.speaker.handle_config(SpeakerConfig::new(settings.clone()).unwrap(), script.now);
    assert_eq!(script.peer().held, Some(Held::PrefixLimit { until: None }));
    script.closed();
    settings.peers[0].max_prefixes = Some(20.into());
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    assert!(script.until_dial().1 < Duration::from_secs(1));
}

#[test]
fn malformed_attributes_cost_routes_and_not_the_session() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.events();
    let mut update = updates(0..1, 1).to_vec();
    // ORIGIN is the first attribute: flags, type, length, value.
    let origin = update.windows(4).position(|window| window == [0x40, 1, 1, 0]).unwrap();
    update[origin + 3] = 9;
    script.send(conn, &update);
    assert_eq!(script.state(), State::Established);
    let noted = script.events();
    let [EventKind::MalformedUpdate { errors, withdrawn: true }] = noted.as_slice() else {
        panic!("{noted:?}")
    };
    assert_eq!(errors.len(), 1);
    assert_eq!(script.speaker.rib().totals(Family::IPV4_UNICAST).prefixes, 0);
    // A length field that runs past the message cannot be lived with.
    update[19..21].copy_from_slice(&[0xff, 0xff]);
    script.send(conn, &update);
    assert_eq!(script.sent(conn).last(), Some(&Sent::Notification(Notification::new(3, 1))));
    assert_eq!(script.last_reason().label(), "protocol-error");
}

/// One UPDATE with 2,000 prefixes.
fn long_message() -> Vec<u8> {
    let mut stream = updates(0..2000, 2000).to_vec();
    // Put all the prefixes behind the attributes of the first message.
    let first = peek_frame(&stream, 65535).unwrap().unwrap();
    let (_, rest) = stream.split_at(first);
    let attributes = 23 + usize::from(u16::from_be_bytes([stream[21], stream[22]]));
    let mut tail = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let len = peek_frame(rest, 65535).unwrap().unwrap();
        tail.extend_from_slice(&rest[attributes..len]);
        rest = &rest[len..];
    }
    stream.truncate(first);
    stream.extend(tail);
    let len = u16::try_from(stream.len()).unwrap();
    assert!(len > 4096);
    stream[16..18].copy_from_slice(&len.to_be_bytes());
    stream
}

/// Our own offer to read long messages is what allows a peer to send them, not the peer's (RFC 8654 §4).
#[test]
fn long_messages_are_read_whatever_the_peer_offers() {
    for offers in [true, false] {
        let mut script = Script::new(|_| {});
        let conn = script.dial().conn;
        script.connected(conn);
        let mut open = open();
        open.capabilities.extend(offers.then_some(Capability::ExtendedMessage));
        script.send(conn, &encoded(&open));
        script.send(conn, &KEEPALIVE);
        script.sent(conn);
        script.send(conn, &long_message());
        assert_eq!(script.state(), State::Established);
        assert_eq!(script.speaker.rib().totals(Family::IPV4_UNICAST).prefixes, 2000);
    }
}
