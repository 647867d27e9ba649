//! Long-lived graceful restart through a session: what OPENs say, what outlives the Restart Time and what ends it (RFC 9494).

use bgp_wire::{Community, LongLivedFamily};

use super::graceful::{SECOND, V4, end_of_rib, routes, routes_with, settings_with_restart, theirs};
use super::*;
use crate::SweepCause;

/// Our own time is a day, the peer's as the test has it.
fn with_long_lived(settings: &mut SpeakerSettings) {
    settings_with_restart(settings);
    if let Some(restart) = &mut settings.peers[0].graceful_restart {
        restart.long_lived_time = Some(86_400);
    }
}

fn long_lived(open: &Open) -> Vec<LongLivedFamily> {
    let find = |capability: &Capability| match capability {
        Capability::LongLivedGracefulRestart(families) => Some(families.clone()),
        _ => None,
    };
    open.capabilities.iter().find_map(find).expect("the capability")
}

fn theirs_long(stale_time: u32, forwarding: bool) -> Open {
    let mut open = theirs(false, true, true);
    let entry = LongLivedFamily { family: V4, forwarding, stale_time };
    open.capabilities.push(Capability::LongLivedGracefulRestart(vec![entry]));
    open
}

/// A speaker with two routes of a peer, one of which must not live long.
fn with_routes(open: &Open) -> (Script, ConnId) {
    let mut script = Script::new(with_long_lived);
    let conn = script.session(open);
    script.send(conn, &routes(&["10.1.0.0/16"]));
    script.send(conn, &routes_with(&["10.2.0.0/16"], [Community::NO_LLGR]));
    script.send(conn, &end_of_rib());
    assert_eq!(script.held(), (2, 0));
    script.events();
    (script, conn)
}

impl Script {
    /// Time passes in which dials come to nothing.
    fn away(&mut self, seconds: u32) {
        self.pass(SECOND * seconds);
        while self.speaker.poll_action().is_some() {}
    }

    fn last_resorts(&self) -> Vec<String> {
        let page = self.speaker.rib().adj_in_page(self.id(), V4, None, 10);
        let is_last = |community: &Community| *community == Community::LLGR_STALE;
        let last = page.entries.iter().filter(|(_, path)| path.attributes.communities.iter().any(is_last));
        last.map(|(prefix, _)| prefix.to_string()).collect()
    }
}

#[test]
fn opens_offer_what_is_configured_and_know_the_community_anyway() {
    for (configured, expected) in [(Some(86_400), Some(86_400)), (None, None)] {
        let mut script = Script::new(|settings| {
            with_long_lived(settings);
            settings.peers[0].graceful_restart.as_mut().unwrap().long_lived_time = configured;
        });
        for forwarding in [false, true] {
            let (dial, _) = script.until_dial();
            script.connected(dial.conn);
            let sent = script.sent(dial.conn);
            let Some(Sent::Open(open)) = sent.first() else { panic!("{sent:?}") };
            let entry =
                |family| expected.map(|stale_time| LongLivedFamily { family, forwarding, stale_time });
            let entries: Vec<_> = [V4, Family::IPV6_UNICAST].into_iter().filter_map(entry).collect();
            assert_eq!(long_lived(open), entries, "F is {forwarding}");
            script.finish(dial.conn);
            script.cut(dial.conn);
        }
    }
    let mut script = Script::new(|_| ());
    let dial = script.dial().conn;
    script.connected(dial);
    let sent = script.sent(dial);
    let Some(Sent::Open(open)) = sent.first() else { panic!("{sent:?}") };
    let named = |capability: &Capability| matches!(capability, Capability::LongLivedGracefulRestart(_));
    assert!(!open.capabilities.iter().any(named), "without graceful restart it says nothing");
}

#[test]
fn after_the_restart_time_routes_are_a_last_resort_for_the_shorter_time() {
    for (theirs, shorter) in [(3_600, 3_600), (1_000_000, 86_400)] {
        let (mut script, conn) = with_routes(&theirs_long(theirs, true));
        script.cut(conn);
        script.pass(SECOND * 59);
        assert_eq!((script.held(), script.last_resorts().len()), ((2, 2), 0));
        script.pass(SECOND);
        assert_eq!(script.held(), (1, 1));
        assert_eq!(script.last_resorts(), ["10.1.0.0/16"]);
        assert_eq!(script.swept(), [(1, SweepCause::NoLongLived)]);
        script.pass(SECOND * (shorter - 1));
        assert_eq!(script.held(), (1, 1));
        script.pass(SECOND);
        assert_eq!(script.held(), (0, 0));
        assert_eq!(script.swept(), [(1, SweepCause::LongLivedTime)]);
    }
}

#[test]
fn a_time_of_zero_is_plain_graceful_restart() {
    let (mut script, conn) = with_routes(&theirs_long(0, true));
    script.cut(conn);
    script.pass(SECOND * 60);
    assert_eq!(script.held(), (0, 0));
    assert_eq!(script.swept(), [(2, SweepCause::RestartTime)]);
}

#[test]
fn who_is_back_late_freshens_its_routes() {
    let (mut script, conn) = with_routes(&theirs_long(3_600, true));
    script.cut(conn);
    script.away(600);
    assert_eq!(script.last_resorts(), ["10.1.0.0/16"]);
    let conn = script.session(&theirs_long(3_600, true));
    assert_eq!(script.last_resorts(), ["10.1.0.0/16"], "until it is sent again");
    script.send(conn, &routes(&["10.1.0.0/16", "10.3.0.0/16"]));
    assert_eq!((script.held(), script.last_resorts().len()), ((2, 0), 0));
    script.send(conn, &end_of_rib());
    assert_eq!(script.held(), (2, 0));
    assert!(script.peer().stale.is_empty());
}

#[test]
fn who_is_back_late_and_forgot_or_does_not_care_any_more_loses_everything() {
    let forgot = theirs_long(3_600, false);
    let careless = theirs(false, true, true);
    let mut without_restart = open();
    let entry = LongLivedFamily { family: V4, forwarding: true, stale_time: 3_600 };
    without_restart.capabilities.push(Capability::LongLivedGracefulRestart(vec![entry]));
    for open in [forgot, careless, without_restart] {
        let (mut script, conn) = with_routes(&theirs_long(3_600, true));
        script.cut(conn);
        script.away(600);
        script.events();
        script.session(&open);
        assert_eq!(script.held(), (0, 0), "{open:?}");
        assert_eq!(script.swept(), [(1, SweepCause::NotPreserved)]);
    }
}

#[test]
fn what_is_meant_ends_it() {
    let hard = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, None).into_hard_reset();
    let (mut script, conn) = with_routes(&theirs_long(3_600, true));
    script.send(conn, &hard.encode());
    assert_eq!(script.held(), (0, 0));
    let (mut script, conn) = with_routes(&theirs_long(3_600, true));
    script.cut(conn);
    script.away(600);
    let peer = script.id();
    script.speaker.handle_command(Command::Disable { peer, text: None }, script.now).unwrap();
    assert_eq!(script.held(), (0, 0));
}

#[test]
fn a_session_lost_again_leaves_a_last_resort_at_once() {
    let (mut script, conn) = with_routes(&theirs_long(3_600, true));
    script.cut(conn);
    script.away(600);
    let conn = script.session(&theirs_long(3_600, true));
    script.send(conn, &routes(&["10.3.0.0/16"]));
    script.cut(conn);
    assert_eq!(script.held(), (2, 2));
    assert_eq!(script.last_resorts(), ["10.1.0.0/16", "10.3.0.0/16"]);
    script.pass(SECOND * 3_100);
    assert_eq!(script.held(), (0, 0), "the timer did not begin anew");
}

#[test]
fn our_own_stale_time_is_changed_without_a_word_to_the_peer() {
    let (mut script, conn) = with_routes(&theirs(false, true, true));
    let mut changed = settings();
    with_long_lived(&mut changed);
    changed.peers[0].graceful_restart.as_mut().unwrap().stale_time = Some(20);
    script.speaker.handle_config(SpeakerConfig::new(changed).unwrap(), script.now);
    assert_eq!(script.state(), State::Established);
    script.cut(conn);
    script.pass(SECOND * 19);
    assert_eq!(script.held(), (2, 2));
    script.pass(SECOND);
    assert_eq!(script.held(), (0, 0));
}
