//! A speaker goes on in another process: nothing on the wire tells.

use super::refresh::routes;
use super::*;
use crate::config::OriginatedRoute;
use crate::handover::{Handover, RouteFrame};

impl Script {
    /// Everything through octets, into a speaker of the same configuration.
    fn hand_over(&mut self, change: impl FnOnce(&mut SpeakerSettings)) {
        let Handover { state, routes } = self.speaker.export().unwrap();
        let state = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
        let octets: Vec<Bytes> = routes.iter().map(RouteFrame::to_bytes).collect();
        let routes = octets.into_iter().map(|octets| RouteFrame::from_bytes(octets).unwrap()).collect();
        let mut settings = settings();
        change(&mut settings);
        let config = SpeakerConfig::new(settings).unwrap();
        let before: Vec<_> = self.speaker.established().collect();
        self.speaker = Speaker::import(config, 7, Handover { state, routes }, self.now).unwrap();
        assert_eq!(self.speaker.established().collect::<Vec<_>>(), before);
        self.speaker.check().unwrap();
        self.speaker.rib().check().unwrap();
    }
}

fn with_route(settings: &mut SpeakerSettings) {
    settings.routes = vec![OriginatedRoute::new("203.0.113.0/24".parse().unwrap())];
}

fn update(prefix: &str) -> Bytes {
    routes(&[prefix])
}

#[test]
fn a_session_goes_on_in_the_middle_of_a_message() {
    let mut script = Script::new(with_route);
    let conn = script.establish();
    script.pass(Duration::from_secs(10));
    script.sent(conn);
    let message = update("10.1.0.0/16");
    let (first, rest) = message.split_at(21);
    script.send(conn, first);
    let timeout = script.speaker.poll_timeout();
    let (since, counters) = (script.peer().established_at, script.peer().received.clone());
    script.hand_over(with_route);
    assert_eq!(script.sent(conn), [], "nothing is said");
    assert!(script.speaker.poll_action().is_none(), "nothing is dialed or closed");
    assert_eq!(script.speaker.poll_timeout(), timeout, "timers go on");
    assert_eq!((script.peer().established_at, script.peer().received), (since, &counters));
    assert_eq!(script.peer().queued_in, first.len());
    script.send(conn, rest);
    assert_eq!(script.speaker.rib().counters(script.id(), Family::IPV4_UNICAST).unwrap().received, 1);
    assert_eq!(script.peer().received.updates, counters.updates + 1);
    assert_eq!(script.peer().established_count, 1);
    // The hold timer is the one of before.
    script.hand_over(with_route);
    script.pass(Duration::from_secs(89));
    assert_eq!(script.state(), State::Established);
    script.pass(Duration::from_secs(1));
    assert_eq!(script.last_reason(), Reason::HoldTimerExpired);
}

#[test]
fn what_changed_meanwhile_is_sent_and_nothing_else() {
    let mut script = Script::new(with_route);
    let conn = script.establish();
    script.hand_over(with_route);
    assert_eq!(script.sent(conn), []);
    let mut settings = settings();
    with_route(&mut settings);
    settings.routes.push(OriginatedRoute::new("198.51.100.0/24".parse().unwrap()));
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    assert_eq!(script.sent(conn).len(), 1);
}

#[test]
fn a_peer_without_a_session_is_dialed_anew_and_its_past_is_known() {
    let mut script = Script::new(with_route);
    let conn = script.establish();
    script.pass(Duration::from_secs(60));
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    script.until_dial();
    script.hand_over(with_route);
    assert_eq!(script.peer().dropped_count, 1);
    assert_eq!(script.last_reason(), Reason::Closed(CloseReason::Eof));
    let next = script.dial().conn;
    assert!(next > conn, "connections are not numbered twice");
    script.connected(next);
    script.finish(next);
    let peer = script.id();
    let down = Command::Disable { peer, text: None };
    script.speaker.handle_command(down, script.now).unwrap();
    script.hand_over(with_route);
    assert!(script.speaker.poll_action().is_none(), "down by an operator's word, and stays so");
}

#[test]
fn a_hand_over_must_fit_the_configuration() {
    let mut script = Script::new(with_route);
    script.establish();
    let mut settings = settings();
    settings.peers[0].name = "another".into();
    let config = SpeakerConfig::new(settings).unwrap();
    let refused = Speaker::import(config, 7, script.speaker.export().unwrap(), script.now);
    assert_eq!(refused.err().unwrap().to_string(), "peer another is configured and was not handed over");
}

fn with_range(settings: &mut SpeakerSettings) {
    let mut template = PeerConfig::new("", IpAddr::V4(Ipv4Addr::UNSPECIFIED), None);
    template.remote_asns = Arc::from([65002]);
    let ranges = vec!["192.0.2.0/24".parse().unwrap()];
    settings.peers.clear();
    settings.dynamic.push(crate::config::DynamicPeers { name: "rack".into(), ranges, limit: 2, template });
}

#[test]
fn a_peer_that_nobody_named_goes_on_too() {
    let mut script = Script::new(with_range);
    let conn = script.accept().unwrap();
    script.finish(conn);
    script.hand_over(with_range);
    assert_eq!((script.state(), script.peer().established_count), (State::Established, 1));
    assert_eq!(script.peer().config.dynamic.as_deref(), Some("rack"));
    assert!(script.speaker.poll_action().is_none());
    script.send(conn, &KEEPALIVE);
    script.pass(Duration::from_secs(90));
    assert_eq!(script.last_reason(), Reason::HoldTimerExpired);
    script.hand_over(with_range);
    script.pass(Duration::from_secs(61));
    assert_eq!(script.speaker.peers().count(), 0, "it is forgotten in time");
}
