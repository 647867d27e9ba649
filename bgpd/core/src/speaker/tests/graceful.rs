//! Graceful restart through a session: what is kept, what is swept, what OPENs say (RFC 4724, RFC 8538).

use bgp_wire::{
    AsPath, AttributeBlock, Community, EncodeContext, FamilySet, GracefulRestart, NextHop, PathAttributes,
    encode_end_of_rib, encode_reach,
};
use bytes::BytesMut;

use super::*;
use crate::SweepCause;
use crate::config::{GracefulRestart as Configured, OriginatedRoute};

pub(super) const V4: Family = Family::IPV4_UNICAST;
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn settings_with_restart(settings: &mut SpeakerSettings) {
    settings.forwarding_preserved = true;
    settings.peers[0].graceful_restart = Some(Configured::new(120));
    settings.routes = vec![OriginatedRoute::new("203.0.113.0/24".parse().unwrap())];
}

pub(super) fn theirs(restart_state: bool, notification: bool, forwarding: bool) -> Open {
    let mut open = open();
    let families = vec![(V4, forwarding)];
    let restart = GracefulRestart { restart_state, notification, restart_time: 60, families };
    open.capabilities.push(Capability::GracefulRestart(restart));
    open
}

pub(super) fn routes(prefixes: &[&str]) -> Bytes {
    routes_with(prefixes, [])
}

pub(super) fn routes_with(prefixes: &[&str], communities: impl IntoIterator<Item = Community>) -> Bytes {
    let (context, mut out) = (EncodeContext::new(), BytesMut::new());
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    let attributes = PathAttributes {
        as_path: AsPath::sequence([65002]),
        next_hop: Some(next_hop),
        communities: communities.into_iter().collect(),
        ..PathAttributes::default()
    };
    let block = AttributeBlock::encode(&attributes, &context);
    let prefixes = prefixes.iter().map(|prefix| prefix.parse().unwrap());
    encode_reach(&mut out, &block, V4, &next_hop, prefixes, &context).unwrap();
    out.freeze()
}

pub(super) fn end_of_rib() -> Bytes {
    let mut out = BytesMut::new();
    encode_end_of_rib(&mut out, V4).unwrap();
    out.freeze()
}

impl Script {
    pub(super) fn session(&mut self, open: &Open) -> ConnId {
        let (dial, _) = self.until_dial();
        self.connected(dial.conn);
        self.send(dial.conn, &encoded(open));
        self.send(dial.conn, &KEEPALIVE);
        assert_eq!(self.state(), State::Established);
        dial.conn
    }

    pub(super) fn held(&self) -> (u32, u32) {
        let counters = self.speaker.rib().counters(self.id(), V4).unwrap_or_default();
        self.speaker.check().unwrap();
        self.speaker.rib().check().unwrap();
        (counters.received, counters.stale)
    }

    pub(super) fn cut(&mut self, conn: ConnId) {
        self.speaker.handle_closed(conn, CloseReason::Eof, self.now);
    }

    pub(super) fn swept(&mut self) -> Vec<(u32, SweepCause)> {
        let swept = |kind| match kind {
            EventKind::StaleSwept { routes, cause, .. } => Some((routes, cause)),
            _ => None,
        };
        self.events().into_iter().filter_map(swept).collect()
    }
}

fn offer(sent: &[Sent]) -> GracefulRestart {
    let Some(Sent::Open(open)) = sent.first() else { panic!("{sent:?}") };
    let find = |capability: &Capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart.clone()),
        _ => None,
    };
    open.capabilities.iter().find_map(find).expect("the capability")
}

/// A speaker with two routes of a peer that can restart.
fn with_routes(open: &Open) -> (Script, ConnId) {
    let mut script = Script::new(settings_with_restart);
    let conn = script.session(open);
    script.send(conn, &routes(&["10.1.0.0/16", "10.2.0.0/16"]));
    script.send(conn, &end_of_rib());
    assert_eq!(script.held(), (2, 0));
    script.events();
    (script, conn)
}

#[test]
fn a_lost_connection_keeps_routes_until_end_of_rib() {
    let (mut script, conn) = with_routes(&theirs(false, false, true));
    script.cut(conn);
    assert_eq!(script.held(), (2, 2));
    assert_eq!(script.peer().stale, FamilySet::IPV4_UNICAST);
    assert_eq!(script.peer().restart_deadline, Some(script.now + SECOND * 60));
    let conn = script.session(&theirs(true, false, true));
    assert_eq!(script.held(), (2, 2));
    script.send(conn, &routes(&["10.2.0.0/16"]));
    assert_eq!(script.held(), (2, 1));
    script.send(conn, &end_of_rib());
    assert_eq!(script.held(), (1, 0));
    assert_eq!(script.swept(), [(1, SweepCause::EndOfRib)]);
    assert!(script.peer().stale.is_empty());
}

#[test]
fn a_peer_that_stays_away_loses_its_routes_after_its_restart_time() {
    let (mut script, conn) = with_routes(&theirs(false, false, true));
    script.cut(conn);
    script.pass(SECOND * 59);
    assert_eq!(script.held(), (2, 2));
    script.pass(SECOND * 2);
    assert_eq!(script.held(), (0, 0));
    assert_eq!(script.swept(), [(2, SweepCause::RestartTime)]);
}

#[test]
fn a_peer_that_never_ends_its_dump_loses_what_it_did_not_send() {
    let (mut script, conn) = with_routes(&theirs(false, false, true));
    script.cut(conn);
    let mut open = theirs(true, false, true);
    open.hold_time = 0;
    let conn = script.session(&open);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    script.pass(SECOND * 359);
    assert_eq!(script.held(), (2, 1));
    script.pass(SECOND * 2);
    assert_eq!(script.held(), (1, 0));
    assert_eq!(script.swept(), [(1, SweepCause::StaleTime)]);
}

#[test]
fn a_peer_that_forgot_its_forwarding_loses_everything_at_once() {
    let forgetful = [theirs(true, false, false), open()];
    for open in forgetful {
        let (mut script, conn) = with_routes(&theirs(false, false, true));
        script.cut(conn);
        script.session(&open);
        assert_eq!(script.held(), (0, 0), "{open:?}");
        assert_eq!(script.swept(), [(2, SweepCause::NotPreserved)]);
    }
}

#[test]
fn a_notification_keeps_routes_only_under_rfc_8538() {
    let hard = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, None).into_hard_reset();
    let soft = Notification::cease(cease::ADMINISTRATIVE_RESET, None);
    for (n, notification, kept) in
        [(true, &soft, (2, 2)), (true, &hard, (0, 0)), (false, &soft, (0, 0)), (false, &hard, (0, 0))]
    {
        let (mut script, conn) = with_routes(&theirs(false, n, true));
        script.send(conn, &notification.encode());
        assert_eq!(script.held(), kept, "N {n}, {notification}");
    }
    for (n, kept) in [(true, 2), (false, 0)] {
        let (mut script, _) = with_routes(&theirs(false, n, true));
        script.pass(SECOND * 91);
        assert_eq!(script.held().1, kept, "the hold timer expired, N {n}");
    }
}

#[test]
fn what_ends_on_purpose_ends_at_once_and_says_so() {
    for n in [true, false] {
        let (mut script, conn) = with_routes(&theirs(false, n, true));
        script.sent(conn);
        let peer = script.id();
        script.speaker.handle_command(Command::Disable { peer, text: None }, script.now).unwrap();
        assert_eq!(script.held(), (0, 0));
        let said = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, None);
        let said = if n { said.into_hard_reset() } else { said };
        assert_eq!(script.sent(conn), [Sent::Notification(said)]);
    }
    // And when the peer is away already.
    let (mut script, conn) = with_routes(&theirs(false, true, true));
    script.cut(conn);
    script.events();
    let peer = script.id();
    script.speaker.handle_command(Command::Disable { peer, text: None }, script.now).unwrap();
    assert_eq!((script.held(), script.swept()), ((0, 0), vec![(2, SweepCause::Given)]));
    let (mut script, conn) = with_routes(&theirs(false, true, true));
    script.cut(conn);
    let mut settings = settings();
    settings.peers.clear();
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    script.speaker.rib().check().unwrap();
    assert_eq!(script.speaker.rib().totals(V4).paths, 0);
}

#[test]
fn a_restart_does_not_count_twice_against_the_prefix_limit() {
    let sent = ["10.3.0.0/16", "10.4.0.0/16"];
    let (mut script, conn) = with_routes(&theirs(false, false, true));
    let mut settings = settings();
    settings_with_restart(&mut settings);
    settings.peers[0].max_prefixes = Some(2.into());
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    script.cut(conn);
    let conn = script.session(&theirs(true, false, true));
    script.send(conn, &routes(&sent));
    script.send(conn, &end_of_rib());
    assert_eq!((script.state(), script.held().0 as usize), (State::Established, 2));
    script.send(conn, &routes(&["10.5.0.0/16", "10.6.0.0/16", "10.7.0.0/16"]));
    assert_eq!(script.state(), State::Idle, "fresh ones count");
}

#[test]
fn a_peer_without_the_capability_is_not_helped() {
    let (mut script, conn) = with_routes(&open());
    script.cut(conn);
    assert_eq!(script.held(), (0, 0));
}

#[test]
fn opens_tell_the_truth_about_restarts() {
    let mut script = Script::new(settings_with_restart);
    let dial = script.dial().conn;
    script.connected(dial);
    let first = offer(&script.sent(dial));
    assert!(!first.restart_state && first.notification);
    assert_eq!(first.restart_time, 120);
    assert_eq!(first.families, [(V4, false), (Family::IPV6_UNICAST, false)], "a cold start");
    script.finish(dial);
    script.cut(dial);
    let (dial, _) = script.until_dial();
    script.connected(dial.conn);
    let second = offer(&script.sent(dial.conn));
    assert!(!second.restart_state);
    assert_eq!(second.families, [(V4, true), (Family::IPV6_UNICAST, true)], "the connection failed, not we");
}

/// A speaker that takes over from one before.
fn restarting() -> Script {
    let mut settings = settings();
    settings_with_restart(&mut settings);
    let now = Time::ZERO + SECOND * 1000;
    let config = SpeakerConfig::new(settings).unwrap();
    Script { speaker: Speaker::restarting(config, 42, now), now, accepted: ConnId::FIRST_ACCEPTED }
}

#[test]
fn a_restarting_speaker_says_nothing_before_it_knows_everything() {
    for intent_first in [true, false] {
        let mut script = restarting();
        let conn = script.dial().conn;
        script.connected(conn);
        let offer = offer(&script.sent(conn));
        assert!(offer.restart_state);
        assert_eq!(offer.families, [(V4, true), (Family::IPV6_UNICAST, true)]);
        script.send(conn, &encoded(&theirs(false, true, true)));
        script.send(conn, &KEEPALIVE);
        assert_eq!(script.sent(conn), [Sent::Keepalive]);
        script.pass(SECOND * 5);
        let steps: [&dyn Fn(&mut Script); 2] =
            [&|script| script.speaker.handle_intent_complete(script.now), &|script| {
                script.send(conn, &end_of_rib())
            }];
        let order = if intent_first { [0, 1] } else { [1, 0] };
        steps[order[0]](&mut script);
        script.pass(SECOND * 2);
        assert!(script.speaker.is_restarting());
        assert_eq!(script.sent(conn), []);
        steps[order[1]](&mut script);
        script.pass(SECOND * 2);
        assert!(!script.speaker.is_restarting());
        let sent = script.sent(conn);
        assert!(matches!(sent[..], [Sent::Update(route), Sent::Update(23)] if route > 23), "{sent:?}");
    }
}

#[test]
fn a_restarting_peer_and_one_without_the_capability_are_not_waited_for() {
    for open in [theirs(true, true, true), open()] {
        let mut script = restarting();
        script.speaker.handle_intent_complete(script.now);
        assert!(script.speaker.is_restarting());
        script.session(&open);
        assert!(!script.speaker.is_restarting(), "{open:?}");
    }
}

#[test]
fn a_restart_ends_by_time_if_by_nothing_else() {
    let mut script = restarting();
    script.speaker.handle_intent_complete(script.now);
    script.pass(SECOND * 119);
    assert!(script.speaker.is_restarting());
    script.pass(SECOND * 2);
    assert!(!script.speaker.is_restarting(), "the peer has given up on us");
    let mut script = restarting();
    script.pass(SECOND * 361);
    assert!(!script.speaker.is_restarting(), "without any word from the owner");
    let mut script = restarting();
    script.speaker.handle_intent_complete(script.now);
    let peer = script.id();
    script.speaker.handle_command(Command::Disable { peer, text: None }, script.now).unwrap();
    assert!(!script.speaker.is_restarting(), "nobody is waited for");
}

#[test]
fn who_leaves_says_nothing_to_a_peer_that_keeps_its_routes() {
    let (mut script, conn) = with_routes(&theirs(false, true, true));
    script.sent(conn);
    script.speaker.handle_command(Command::Leave, script.now).unwrap();
    assert_eq!(script.sent(conn), []);
    assert_eq!(script.closed(), [conn]);
    let mut script = Script::new(settings_with_restart);
    let conn = script.session(&open());
    script.sent(conn);
    script.speaker.handle_command(Command::Leave, script.now).unwrap();
    assert_eq!(script.sent(conn), [Sent::cease(cease::ADMINISTRATIVE_SHUTDOWN)]);
    assert_eq!(script.closed(), [conn]);
    script.speaker.check().unwrap();
}
