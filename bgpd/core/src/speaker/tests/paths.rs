//! ADD-PATH through a session (RFC 7911): what is offered, what is agreed on, and what a change of it costs.

use bgp_wire::{
    AddPath, AddPathMode, AsPath, AttributeBlock, EncodeContext, FamilySet, NextHop, PathAttributes,
    encode_reach_paths,
};
use bytes::BytesMut;

use super::*;
use crate::config::{AddPath as Wanted, OriginatedRoute, PathsSent};

const V4: Family = Family::IPV4_UNICAST;
const IDS: EncodeContext = EncodeContext { add_path: FamilySet::ALL, ..EncodeContext::new() };

const BOTH_WAYS: Wanted = Wanted { families: FamilySet::ALL, receive: true, send: Some(PathsSent::All) };

fn theirs(mode: AddPathMode) -> Open {
    let mut open = open();
    open.capabilities.push(Capability::AddPath(vec![AddPath { family: V4, mode }]));
    open
}

/// A session with a peer that offers `mode`.
fn session(wanted: Wanted, mode: AddPathMode) -> (Script, ConnId) {
    let mut script = Script::new(|settings| {
        settings.peers[0].add_path = wanted;
        settings.routes = vec![OriginatedRoute::new("10.9.0.0/16".parse().unwrap())];
    });
    let conn = script.dial().conn;
    script.connected(conn);
    script.send(conn, &encoded(&theirs(mode)));
    script.send(conn, &KEEPALIVE);
    assert_eq!(script.state(), State::Established);
    (script, conn)
}

/// Takes what the speaker sends, and says how many messages. They have identifiers, which the others' tests do not read.
fn take(script: &mut Script) -> usize {
    let mut count = 0;
    while let Some(transmit) = script.speaker.poll_transmit(script.now) {
        script.speaker.handle_writable(transmit.conn, SEND_QUEUE_LEN, script.now);
        count += 1;
    }
    count
}

fn agreed(script: &Script) -> (FamilySet, FamilySet) {
    let negotiated = script.peer().negotiated.unwrap();
    (negotiated.add_path_receive, negotiated.add_path_send)
}

fn paths(ids: std::ops::Range<u32>) -> Bytes {
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    let attributes = PathAttributes {
        as_path: AsPath::sequence([65002]),
        next_hop: Some(next_hop),
        ..PathAttributes::default()
    };
    let mut out = BytesMut::new();
    let block = AttributeBlock::encode(&attributes, &IDS);
    let paths = ids.map(|id| (id, "10.1.0.0/16".parse().unwrap()));
    encode_reach_paths(&mut out, &block, V4, &next_hop, paths, &IDS).unwrap();
    out.freeze()
}

fn change(script: &mut Script, wanted: Wanted) -> bool {
    let mut settings = script.speaker.config().clone().into_settings();
    settings.peers[0].add_path = wanted;
    settings.routes = vec![OriginatedRoute::new("10.9.0.0/16".parse().unwrap())];
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    script.speaker.check().unwrap();
    script.state() == State::Established
}

#[test]
fn paths_come_and_go_by_their_identifiers() {
    let (mut script, conn) = session(BOTH_WAYS, AddPathMode::Both);
    assert_eq!(agreed(&script), (FamilySet::IPV4_UNICAST, FamilySet::IPV4_UNICAST));
    let offer = AddPath { family: V4, mode: AddPathMode::Both };
    let v6 = AddPath { family: Family::IPV6_UNICAST, mode: AddPathMode::Both };
    let sent = &script.peer().negotiated.unwrap().capabilities_sent;
    assert!(sent.contains(&Capability::AddPath(vec![offer, v6])), "{sent:?}");
    take(&mut script);
    script.events();
    script.send(conn, &paths(1..4));
    let id = script.id();
    assert_eq!(script.speaker.rib().counters(id, V4).unwrap().received, 3);
    script.send(conn, &paths(3..7));
    let refused = |kind| match kind {
        EventKind::PathsRefused { paths, .. } => Some(paths),
        _ => None,
    };
    assert_eq!(script.events().into_iter().filter_map(refused).collect::<Vec<_>>(), [2]);
    assert_eq!(script.state(), State::Established);
    let page = script.speaker.rib().adj_out_page(id, V4, None, 10);
    let ids: Vec<_> = page.entries.iter().map(|route| route.path_id).collect();
    assert_eq!(ids, [1], "what we send has an identifier as well");
}

#[test]
fn a_change_costs_the_session_only_if_something_else_would_be_agreed_on() {
    let best = Wanted { send: Some(PathsSent::Best(2)), ..BOTH_WAYS };
    let deaf = Wanted { receive: false, ..BOTH_WAYS };
    let mute = Wanted { send: None, ..BOTH_WAYS };
    let v6_only = Wanted { families: FamilySet::IPV6_UNICAST, ..BOTH_WAYS };
    let rows = [
        (AddPathMode::Both, best, true),
        (AddPathMode::Both, deaf, false),
        (AddPathMode::Both, mute, false),
        (AddPathMode::Both, v6_only, false),
        // The peer only takes paths: whether we would take some makes no difference to it.
        (AddPathMode::Receive, deaf, true),
        (AddPathMode::Receive, mute, false),
        (AddPathMode::Send, mute, true),
        (AddPathMode::Undefined(9), Wanted::default(), true),
    ];
    for (mode, wanted, stays) in rows {
        let (mut script, _) = session(BOTH_WAYS, mode);
        take(&mut script);
        assert_eq!(change(&mut script, wanted), stays, "{mode:?} {wanted:?}");
        if stays {
            assert_eq!(take(&mut script), 0, "{mode:?} {wanted:?}");
        }
    }
}

#[test]
fn a_change_between_the_two_opens_is_not_missed() {
    let mut script = Script::new(|settings| settings.peers[0].add_path = BOTH_WAYS);
    let conn = script.dial().conn;
    script.connected(conn);
    assert_eq!(script.state(), State::OpenSent);
    change(&mut script, Wanted::default());
    // Our OPEN promised identifiers: the peer would send them. Either that connection is over, or it is kept as promised.
    let kept = script.state() == State::OpenSent;
    if kept {
        script.send(conn, &encoded(&theirs(AddPathMode::Both)));
        script.send(conn, &KEEPALIVE);
        assert_eq!(agreed(&script).0, FamilySet::IPV4_UNICAST);
    }
}
