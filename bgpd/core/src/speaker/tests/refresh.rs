//! Route refresh with markers (RFC 7313): what is sent between them, what they do to the peer's routes, what is ignored.

use bgp_wire::{
    AsPath, AttributeBlock, EncodeContext, GracefulRestart, NextHop, PathAttributes, RefreshSubtype,
    encode_end_of_rib, encode_reach,
};
use bytes::BytesMut;
use ipnet::IpNet;

use super::*;
use crate::config::OriginatedRoute;
use crate::event::{RefreshEnd, RefreshFault};
use crate::session::refresh::{REFRESH_INTERVAL, REFRESH_TIME};

const V4: Family = Family::IPV4_UNICAST;

fn marker(subtype: RefreshSubtype) -> RouteRefresh {
    RouteRefresh { family: V4, subtype }
}

pub(super) fn routes(prefixes: &[&str]) -> Bytes {
    let (context, mut out) = (EncodeContext::new(), BytesMut::new());
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    let attributes = PathAttributes {
        as_path: AsPath::sequence([65002]),
        next_hop: Some(next_hop),
        ..PathAttributes::default()
    };
    let block = AttributeBlock::encode(&attributes, &context);
    let prefixes = prefixes.iter().map(|prefix| prefix.parse::<IpNet>().unwrap());
    encode_reach(&mut out, &block, V4, &next_hop, prefixes, &context).unwrap();
    out.freeze()
}

fn enhanced() -> Open {
    let mut open = open();
    open.capabilities.push(Capability::EnhancedRouteRefresh);
    open
}

impl Script {
    fn up(&mut self, open: &Open) -> ConnId {
        let (dial, _) = self.until_dial();
        self.connected(dial.conn);
        self.send(dial.conn, &encoded(open));
        self.send(dial.conn, &KEEPALIVE);
        assert_eq!(self.state(), State::Established);
        self.sent(dial.conn);
        self.events();
        dial.conn
    }

    fn mark(&mut self, conn: ConnId, subtype: RefreshSubtype) {
        self.send(conn, &marker(subtype).encode());
        self.speaker.check().unwrap();
        self.speaker.rib().check().unwrap();
    }

    /// Routes of the peer, and those of them that are stale.
    fn holds(&self) -> (u32, u32) {
        let counters = self.speaker.rib().counters(self.id(), V4).unwrap_or_default();
        (counters.received, counters.stale)
    }

    fn faults(&mut self) -> Vec<RefreshFault> {
        let fault = |kind| match kind {
            EventKind::RefreshIgnored { fault, .. } => Some(fault),
            _ => None,
        };
        self.events().into_iter().filter_map(fault).collect()
    }

    fn over(&mut self) -> Vec<(u32, RefreshEnd)> {
        let over = |kind| match kind {
            EventKind::RefreshOver { routes, end, .. } => Some((routes, end)),
            _ => None,
        };
        self.events().into_iter().filter_map(over).collect()
    }
}

#[test]
fn what_a_peer_asks_for_comes_between_markers() {
    let mut script =
        Script::new(|settings| settings.routes = vec![OriginatedRoute::new("10.9.0.0/16".parse().unwrap())]);
    let conn = script.up(&enhanced());
    script.send(conn, &RouteRefresh::request(V4).encode());
    let sent = script.sent(conn);
    let [Sent::Refresh(begin), Sent::Update(_), Sent::Refresh(end)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((*begin, *end), (marker(RefreshSubtype::Begin), marker(RefreshSubtype::End)));
    assert_eq!(script.peer().sent.route_refreshes, 2);
    let peer = script.id();
    script.speaker.handle_command(Command::SoftOut { peer, family: None }, script.now).unwrap();
    assert_eq!(script.sent(conn).len(), 3, "one that nobody asked for is marked as well");
    // A second request while the first is answered is answered afterwards, once.
    for _ in 0..3 {
        script.send(conn, &RouteRefresh::request(V4).encode());
    }
    assert_eq!(script.sent(conn).len(), 3);
}

#[test]
fn a_peer_without_markers_gets_none() {
    let mut script =
        Script::new(|settings| settings.routes = vec![OriginatedRoute::new("10.9.0.0/16".parse().unwrap())]);
    let conn = script.up(&open());
    script.send(conn, &RouteRefresh::request(V4).encode());
    let sent = script.sent(conn);
    assert!(matches!(sent.as_slice(), [Sent::Update(_)]), "{sent:?}");
    for subtype in [RefreshSubtype::Begin, RefreshSubtype::End, RefreshSubtype::Unknown(9)] {
        script.mark(conn, subtype);
    }
    assert_eq!(script.faults(), [RefreshFault::NotNegotiated; 3]);
    assert_eq!(script.sent(conn), []);
}

#[test]
fn what_is_not_sent_again_goes() {
    let mut script = Script::new(|_| {});
    let conn = script.up(&enhanced());
    script.send(conn, &routes(&["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]));
    script.mark(conn, RefreshSubtype::Begin);
    assert_eq!(script.holds(), (3, 3));
    script.send(conn, &routes(&["10.1.0.0/16", "10.4.0.0/16"]));
    assert_eq!(script.holds(), (4, 2));
    // It begins anew: what came since the first beginning has to come again.
    script.pass(REFRESH_INTERVAL);
    script.mark(conn, RefreshSubtype::Begin);
    assert_eq!(script.holds(), (4, 4));
    script.send(conn, &routes(&["10.1.0.0/16", "10.4.0.0/16"]));
    script.mark(conn, RefreshSubtype::End);
    assert_eq!(script.holds(), (2, 0));
    assert_eq!(script.over(), [(2, RefreshEnd::Marker)]);
    script.mark(conn, RefreshSubtype::End);
    assert_eq!(script.faults(), [RefreshFault::WithoutBegin]);
    assert_eq!(script.holds(), (2, 0));
}

#[test]
fn a_peer_that_begins_all_the_time_is_heard_once_a_second() {
    let mut script = Script::new(|_| {});
    let conn = script.up(&enhanced());
    script.send(conn, &routes(&["10.1.0.0/16", "10.2.0.0/16"]));
    script.mark(conn, RefreshSubtype::Begin);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    for _ in 0..5 {
        script.mark(conn, RefreshSubtype::Begin);
    }
    assert_eq!(script.holds(), (2, 1), "the refresh that is under way goes on");
    assert_eq!(script.faults(), [RefreshFault::TooSoon; 5]);
    script.mark(conn, RefreshSubtype::End);
    assert_eq!(script.holds(), (1, 0));
    script.events();
    script.mark(conn, RefreshSubtype::Begin);
    script.mark(conn, RefreshSubtype::End);
    assert_eq!(script.faults(), [RefreshFault::TooSoon, RefreshFault::WithoutBegin]);
    assert_eq!(script.holds(), (1, 0), "what was not marked is not taken out");
    script.pass(REFRESH_INTERVAL);
    script.mark(conn, RefreshSubtype::Begin);
    assert_eq!(script.holds(), (1, 1));
}

#[test]
fn an_end_that_never_comes_is_not_waited_for() {
    let mut script = Script::new(|_| {});
    let conn = script.up(&enhanced());
    script.send(conn, &routes(&["10.1.0.0/16", "10.2.0.0/16"]));
    script.mark(conn, RefreshSubtype::Begin);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    for _ in 0..REFRESH_TIME.as_secs() / 30 {
        assert_eq!(script.holds(), (2, 1));
        script.send(conn, &KEEPALIVE);
        script.pass(Duration::from_secs(30));
    }
    assert_eq!((script.state(), script.holds()), (State::Established, (1, 0)));
    assert_eq!(script.over(), [(1, RefreshEnd::Timeout)]);
}

#[test]
fn a_session_that_ends_in_a_refresh_leaves_routes_that_a_restart_keeps() {
    let mut script = Script::with_peer(|peer| {
        peer.graceful_restart = Some(crate::config::GracefulRestart::new(60));
    });
    let mut theirs = enhanced();
    theirs.capabilities.push(Capability::GracefulRestart(GracefulRestart {
        restart_state: false,
        notification: true,
        restart_time: 60,
        families: vec![(V4, true)],
    }));
    let conn = script.up(&theirs);
    script.send(conn, &routes(&["10.1.0.0/16", "10.2.0.0/16"]));
    script.mark(conn, RefreshSubtype::Begin);
    assert_eq!(script.faults(), [RefreshFault::BeforeEndOfRib]);
    let mut end_of_rib = BytesMut::new();
    encode_end_of_rib(&mut end_of_rib, V4).unwrap();
    script.send(conn, &end_of_rib);
    script.mark(conn, RefreshSubtype::Begin);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    assert_eq!(script.holds(), (2, 1));
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    assert_eq!(script.holds(), (2, 2), "what was not refreshed yet is no remnant of an earlier restart");
    script.speaker.check().unwrap();
    let conn = script.up(&theirs);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    // The peer is back and has not come to its end: a refresh would sweep what the restart keeps.
    script.mark(conn, RefreshSubtype::Begin);
    script.mark(conn, RefreshSubtype::End);
    assert_eq!(script.holds(), (2, 1));
    script.send(conn, &end_of_rib);
    assert_eq!(script.holds(), (1, 0));
}

#[test]
fn a_marker_of_another_length_ends_the_session_and_an_unknown_subtype_does_not() {
    let mut script = Script::new(|_| {});
    let conn = script.up(&enhanced());
    script.mark(conn, RefreshSubtype::Unknown(3));
    assert_eq!(script.faults(), [RefreshFault::UnknownSubtype]);
    let mut long = marker(RefreshSubtype::Begin).encode().to_vec();
    long.push(0);
    long[17] += 1;
    script.send(conn, &long);
    let sent = script.sent(conn);
    let [Sent::Notification(sent)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((sent.code, sent.subcode, sent.data.as_ref()), (7, 1, long.as_slice()));
}
