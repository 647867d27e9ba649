//! Commands of an operator.

use super::*;

fn text(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

#[test]
fn reset_says_why_and_starts_again() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let command = Command::Reset { peer: script.id(), text: text("new optics") };
    script.speaker.handle_command(command, script.now).unwrap();
    let expected = Notification::cease(cease::ADMINISTRATIVE_RESET, Some("new optics"));
    assert_eq!(script.sent(conn), [Sent::Notification(expected)]);
    assert_eq!(script.last_reason(), Reason::AdminReset { text: text("new optics") });
    assert!(script.until_dial().1 < Duration::from_secs(1));
}

#[test]
fn disable_lasts_until_enable() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let peer = script.id();
    script.speaker.handle_command(Command::Disable { peer, text: text("drain") }, script.now).unwrap();
    let expected = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, Some("drain"));
    assert_eq!(script.sent(conn), [Sent::Notification(expected)]);
    assert_eq!(script.closed(), [conn]);
    script.pass(Duration::from_secs(1000));
    assert!(script.closed().is_empty());
    assert_eq!(script.peer().held, Some(crate::view::Held::AdminDown));
    let refusal = script.accept().unwrap_err();
    assert!(matches!(refusal, AcceptRefusal::AdminDown { .. }));
    assert_eq!(refusal.notification().text(), Some("drain"), "whoever tries again reads it again");
    script.speaker.handle_command(Command::Reset { peer, text: None }, script.now).unwrap();
    assert!(script.speaker.poll_action().is_none(), "a reset does not enable");
    script.speaker.handle_command(Command::Enable { peer }, script.now).unwrap();
    script.establish();
}

#[test]
fn soft_resets_need_a_session_and_the_family() {
    let mut script = Script::new(|_| {});
    let peer = script.id();
    let soft_in = |family| Command::SoftIn { peer, family };
    assert_eq!(script.speaker.handle_command(soft_in(None), script.now), Err(CommandRefusal::NotEstablished));
    let conn = script.establish();
    script.speaker.handle_command(soft_in(None), script.now).unwrap();
    assert_eq!(script.sent(conn), [Sent::Refresh(RouteRefresh::request(Family::IPV4_UNICAST))]);
    let v6 = Family::IPV6_UNICAST;
    let refused = script.speaker.handle_command(soft_in(Some(v6)), script.now);
    assert_eq!(refused, Err(CommandRefusal::FamilyNotNegotiated(v6)));
    let unknown = Command::Enable { peer: PeerId::new(99) };
    assert_eq!(script.speaker.handle_command(unknown, script.now), Err(CommandRefusal::UnknownPeer));
}

#[test]
fn a_peer_without_route_refresh_cannot_be_asked() {
    let mut script = Script::new(|_| {});
    let conn = script.dial().conn;
    script.connected(conn);
    script.send(conn, &encoded(&Open { capabilities: vec![], ..open() }));
    script.send(conn, &KEEPALIVE);
    let command = Command::SoftIn { peer: script.id(), family: None };
    assert_eq!(script.speaker.handle_command(command, script.now), Err(CommandRefusal::NoRouteRefresh));
}

#[test]
fn stop_closes_everything_for_good() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.speaker.handle_command(Command::Stop { text: text("bye") }, script.now).unwrap();
    let expected = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, Some("bye"));
    assert_eq!(script.sent(conn), [Sent::Notification(expected)]);
    assert_eq!(script.closed(), [conn]);
    script.pass(Duration::from_secs(1000));
    assert!(script.closed().is_empty() && script.accept().is_err());
    let config = script.speaker.config().clone();
    assert!(script.speaker.handle_config(config, script.now).is_empty());
}

#[test]
fn draining_is_said_by_routes_alone_and_taken_back() {
    let mut script = Script::new(|settings| {
        settings.routes = vec![crate::config::OriginatedRoute::new("203.0.113.0/24".parse().unwrap())];
    });
    let conn = script.establish();
    script.sent(conn);
    let peer = script.id();
    for (command, drains) in [(Command::Drain { peer }, true), (Command::Undrain { peer }, false)] {
        script.speaker.handle_command(command.clone(), script.now).unwrap();
        assert_eq!((script.state(), script.peer().drains), (State::Established, drains));
        assert!(matches!(script.sent(conn)[..], [Sent::Update(_)]), "one route, sent once more");
        let again = script.speaker.handle_command(command, script.now);
        assert_eq!((again, script.sent(conn)), (Ok(()), Vec::new()), "said once is enough");
    }
    let mut script = Script::with_peer(|peer| peer.graceful_shutdown = true);
    script.establish();
    let peer = script.id();
    let refused = script.speaker.handle_command(Command::Undrain { peer }, script.now);
    assert_eq!(refused, Err(CommandRefusal::DrainedByConfig));
}
