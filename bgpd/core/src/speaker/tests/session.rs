//! A session's life: dial, OPEN, KEEPALIVE, timers, errors, and what is waited for after it.

use super::*;
use crate::config::Timers;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_active_session_comes_up() {
    let mut script = Script::new(|settings| settings.hostname = Some("node1".into()));
    let connect = script.dial();
    assert_eq!((connect.remote, connect.protection.ttl, connect.local), (REMOTE, Some(1), None));
    assert_eq!(script.state(), State::Connect);
    script.connected(connect.conn);
    let sent = script.sent(connect.conn);
    let [Sent::Open(ours)] = sent.as_slice() else { panic!("one OPEN was expected, not {sent:?}") };
    assert_eq!((ours.asn, ours.hold_time, ours.router_id), (65001, 90, Ipv4Addr::new(10, 0, 0, 1)));
    let capabilities = [
        Capability::MultiProtocol(Family::IPV4_UNICAST),
        Capability::MultiProtocol(Family::IPV6_UNICAST),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(65001),
        Capability::Fqdn { host: "node1".into(), domain: String::new() },
    ];
    assert_eq!(ours.capabilities, capabilities);
    script.send(connect.conn, &encoded(&open()));
    assert_eq!((script.state(), script.sent(connect.conn)), (State::OpenConfirm, vec![Sent::Keepalive]));
    script.send(connect.conn, &KEEPALIVE);
    let peer = script.peer();
    assert_eq!(
        (peer.state, peer.established_at, peer.established_count),
        (State::Established, Some(script.now), 1)
    );
    assert_eq!(peer.negotiated.unwrap().families, bgp_wire::FamilySet::IPV4_UNICAST);
    assert_eq!(
        (peer.sent.opens, peer.sent.keepalives, peer.received.opens, peer.received.keepalives),
        (1, 1, 1, 1)
    );
    let state = |event| match event {
        EventKind::StateChanged { to, .. } => to,
        other => panic!("{other:?}"),
    };
    let states: Vec<_> = script.events().into_iter().map(state).collect();
    assert_eq!(
        states,
        [State::Connect, State::OpenSent, State::OpenConfirm, State::Established],
        "each state once, in order"
    );
}

#[test]
fn the_stream_may_be_cut_anywhere() {
    let stream = [&encoded(&open())[..], &KEEPALIVE, &KEEPALIVE].concat();
    for size in [1, 7, 18, 19, 20, 64, stream.len()] {
        let mut script = Script::new(|_| {});
        let conn = script.dial().conn;
        script.connected(conn);
        for chunk in stream.chunks(size) {
            script.send(conn, chunk);
        }
        assert_eq!(script.state(), State::Established, "chunks of {size}");
        assert_eq!((script.peer().received.keepalives, script.peer().queued_in), (2, 0));
        assert_eq!(script.peer().received.octets, stream.len() as u64);
    }
}

#[test]
fn a_refused_open_is_answered_and_tried_again_within_a_second() {
    let v6_only = Open { capabilities: vec![Capability::MultiProtocol(Family::IPV6_UNICAST)], ..open() };
    let cases = [
        (
            Open { asn: 65003, capabilities: vec![], ..open() },
            (2, 2),
            "the peer is AS 65003, configured is AS 65002",
        ),
        (v6_only, (2, 7), "no address family in common"),
    ];
    for (theirs, code, text) in cases {
        let mut script = Script::with_peer(|peer| peer.families = bgp_wire::FamilySet::IPV4_UNICAST);
        let conn = script.dial().conn;
        script.connected(conn);
        script.sent(conn);
        script.send(conn, &encoded(&theirs));
        let sent = script.sent(conn);
        assert!(
            matches!(&sent[..], [Sent::Notification(sent)] if (sent.code, sent.subcode) == code),
            "{sent:?}"
        );
        assert_eq!(script.closed(), [conn]);
        assert_eq!(script.state(), State::Idle);
        let reason = script.last_reason();
        assert!(reason.to_string().contains(text), "{reason}");
        assert_eq!(reason.label(), "open-refused");
        assert!(script.until_dial().1 < SECOND);
    }
}

#[test]
fn repeated_failures_wait_longer_each_time_up_to_a_minute() {
    let mut script = Script::new(|_| {});
    let mut waits = Vec::new();
    let mut conn = script.dial().conn;
    for _ in 0..10 {
        script.connected(conn);
        script.send(conn, &encoded(&Open { asn: 65003, capabilities: vec![], ..open() }));
        let (connect, wait) = script.until_dial();
        conn = connect.conn;
        waits.push(wait);
    }
    assert!(waits[0] < SECOND && waits[1] <= SECOND, "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0].mul_f64(0.74)), "{waits:?}");
    assert!(waits[9] >= SECOND * 45 && waits[9] <= SECOND * 60, "{waits:?}");
}

#[test]
fn failed_dials_lead_to_active_and_do_not_hide_the_last_reset() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.pass(SECOND * 40);
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    assert_eq!((script.state(), script.peer().dropped_count), (State::Idle, 1));
    let mut waits = Vec::new();
    for _ in 0..9 {
        let (connect, wait) = script.until_dial();
        waits.push(wait);
        script.speaker.handle_connect_failed(connect.conn, "connection refused", script.now);
        assert_eq!(script.state(), State::Active);
        assert!(script.closed().is_empty(), "a dial that failed needs no closing");
    }
    assert!(waits[0] < SECOND && waits[1] <= SECOND, "a peer that was restarted is back at once: {waits:?}");
    assert!(waits.iter().all(|wait| *wait <= SECOND * 120) && waits[8] >= SECOND * 90, "{waits:?}");
    let peer = script.peer();
    assert_eq!(peer.last_reset.unwrap().reason, Reason::Closed(CloseReason::Eof));
    assert!(peer.last_reset.unwrap().was_established());
    assert_eq!(&*peer.last_connect_failure.unwrap().1, "connection refused");
    assert!(peer.next_connect.is_some());
    assert!(
        script.speaker.history(script.id()).unwrap().states.len() < 12,
        "repetitions are counted, not kept"
    );
}

#[test]
fn a_peer_that_accepts_and_closes_is_dialed_less_and_less() {
    let mut script = Script::new(|_| {});
    let mut conn = script.dial().conn;
    let mut waits = Vec::new();
    for _ in 0..8 {
        script.connected(conn);
        script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
        let (connect, wait) = script.until_dial();
        conn = connect.conn;
        waits.push(wait);
    }
    assert!(waits[0] <= SECOND && waits[7] >= SECOND * 60, "{waits:?}");
    script.connected(conn);
    script.finish(conn);
    script.pass(SECOND * 40);
    script.send(conn, &KEEPALIVE);
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    assert!(script.until_dial().1 < SECOND, "forgiven");
}

#[test]
fn a_dial_without_an_answer_is_started_anew() {
    let mut script = Script::new(|_| {});
    let first = script.dial().conn;
    script.pass(SECOND * 10);
    assert!(matches!(script.speaker.poll_action(), Some(Action::Close { conn }) if conn == first));
    let second = script.dial().conn;
    assert_ne!(first, second);
    assert_eq!(script.state(), State::Connect);
    script.connected(first);
    assert_eq!(script.closed(), [first], "a dial that was given up is not taken");
    assert_eq!(script.state(), State::Connect);
    script.connected(second);
    assert_eq!(script.state(), State::OpenSent);
}

#[test]
fn keepalives_go_out_before_a_third_of_the_hold_time() {
    let mut script = Script::with_peer(|peer| peer.timers = Timers { hold: 9, keepalive: 3, ..peer.timers });
    let conn = script.establish();
    assert_eq!(script.peer().hold_time, SECOND * 9);
    let (mut last, mut gaps) = (script.now, Vec::new());
    while gaps.len() < 20 {
        script.now = script.speaker.poll_timeout().unwrap();
        script.speaker.handle_timeout(script.now);
        for sent in script.sent(conn) {
            assert_eq!(sent, Sent::Keepalive);
            gaps.push(script.now - last);
            last = script.now;
            script.send(conn, &KEEPALIVE);
        }
    }
    assert!(gaps.iter().all(|gap| *gap >= SECOND * 9 / 4 && *gap <= SECOND * 3), "{gaps:?}");
    assert_eq!(script.state(), State::Established);
}

#[test]
fn silence_for_the_hold_time_ends_the_session() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.pass(SECOND * 60);
    script.send(conn, &KEEPALIVE);
    script.pass(SECOND * 89);
    assert_eq!(script.state(), State::Established);
    script.sent(conn);
    script.pass(SECOND);
    assert_eq!(script.state(), State::Idle);
    assert_eq!(script.sent(conn), [Sent::Notification(Notification::hold_timer_expired())]);
    assert_eq!(script.closed(), [conn]);
    let reset = script.peer().last_reset.unwrap().clone();
    assert_eq!((&reset.reason, reset.was_established()), (&Reason::HoldTimerExpired, true));
    assert_eq!(reset.notification.unwrap().1, Notification::hold_timer_expired());
}

#[test]
fn no_hold_time_means_no_timers() {
    for (ours, theirs) in [(0, 90), (90, 0)] {
        let mut script = Script::with_peer(|peer| peer.timers.hold = ours);
        let conn = script.dial().conn;
        script.connected(conn);
        script.send(conn, &encoded(&Open { hold_time: theirs, ..open() }));
        script.send(conn, &KEEPALIVE);
        script.sent(conn);
        script.pass(SECOND * 100_000);
        assert_eq!(script.state(), State::Established);
        assert_eq!(script.sent(conn), []);
    }
}

#[test]
fn a_peer_that_says_nothing_after_connecting_has_four_minutes() {
    let mut script = Script::with_peer(|peer| peer.timers = Timers { hold: 3, keepalive: 1, ..peer.timers });
    let conn = script.dial().conn;
    script.connected(conn);
    script.sent(conn);
    script.pass(SECOND * 239);
    assert_eq!(script.state(), State::OpenSent);
    script.pass(SECOND);
    assert_eq!(script.sent(conn), [Sent::Notification(Notification::hold_timer_expired())]);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut script = Script::with_peer(|peer| peer.timers.hold = 300);
    let conn = script.dial().conn;
    script.connected(conn);
    script.send(conn, &encoded(&Open { hold_time: 300, ..open() }));
    script.send(conn, &KEEPALIVE);
    script.sent(conn);
    let alive = |script: &mut Script, seconds: u32| {
        for _ in 0..seconds / 60 {
            script.pass(SECOND * 60);
            script.send(conn, &KEEPALIVE);
            while script.speaker.poll_transmit(script.now).is_some() {}
        }
    };
    alive(&mut script, 540);
    assert_eq!(script.state(), State::Established);
    script.speaker.handle_writable(conn, SEND_QUEUE_LEN - 1, script.now);
    alive(&mut script, 540);
    assert_eq!(script.state(), State::Established, "progress, however small, is progress");
    alive(&mut script, 180);
    assert_ne!(script.state(), State::Established);
    assert_eq!(script.last_reason(), Reason::SendHoldTimerExpired);
    let sent = script.peer().last_reset.unwrap().notification.clone().unwrap();
    assert_eq!((sent.1.code, sent.1.subcode), (8, 0));
}

#[test]
fn unexpected_messages_are_answered_with_the_subcode_of_the_state() {
    let update = [&KEEPALIVE[..16], &[0, 23, 2, 0, 0, 0, 0]].concat();
    let refresh = RouteRefresh::request(Family::IPV4_UNICAST).encode();
    let theirs = encoded(&open());
    let cases: [(State, &[u8], u8); 7] = [
        (State::OpenSent, &KEEPALIVE, 1),
        (State::OpenSent, &update, 1),
        (State::OpenSent, &refresh, 1),
        (State::OpenConfirm, &theirs, 2),
        (State::OpenConfirm, &update, 2),
        (State::OpenConfirm, &refresh, 2),
        (State::Established, &theirs, 3),
    ];
    for (state, message, subcode) in cases {
        let mut script = Script::new(|_| {});
        let conn = script.dial().conn;
        script.connected(conn);
        if state >= State::OpenConfirm {
            script.send(conn, &theirs);
        }
        if state == State::Established {
            script.send(conn, &KEEPALIVE);
        }
        assert_eq!(script.state(), state);
        script.sent(conn);
        script.send(conn, message);
        let expected = Notification::new(5, subcode);
        assert_eq!(script.sent(conn), [Sent::Notification(expected)], "{state} {message:?}");
        assert!(
            script.last_reason().to_string().contains(&format!("in {state}")),
            "{}",
            script.last_reason()
        );
    }
}

#[test]
fn a_broken_stream_ends_the_session_and_what_follows_is_not_read() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let mut stream = [&KEEPALIVE[..], &KEEPALIVE, &KEEPALIVE].concat();
    stream[20] = 0;
    script.send(conn, &stream);
    assert_eq!(script.sent(conn), [Sent::Notification(Notification::new(1, 1))]);
    assert_eq!(script.peer().received.keepalives, 2, "the one of the handshake and the one before the fault");
    script.send(conn, &KEEPALIVE);
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    script.speaker.handle_writable(conn, 0, script.now);
    assert_eq!(script.peer().received.keepalives, 2, "the connection is gone");
}

#[test]
fn a_notification_ends_the_session_without_an_answer() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let theirs = Notification::cease(cease::ADMINISTRATIVE_RESET, Some("maintenance"));
    script.send(conn, &theirs.encode());
    assert_eq!((script.sent(conn), script.closed()), (vec![], vec![conn]));
    assert_eq!(script.last_reason(), Reason::NotificationReceived(theirs));
    assert!(script.last_reason().to_string().contains("maintenance"));
    assert!(script.until_dial().1 < SECOND);
}

#[test]
fn internal_peers_are_dialed_with_any_ttl_and_external_ones_with_theirs() {
    let ttl = |asn, multihop| {
        let mut script = Script::with_peer(|peer| {
            peer.remote_asn = asn;
            peer.multihop = multihop;
        });
        script.dial().protection.ttl
    };
    assert_eq!(ttl(Some(65001), None), None);
    assert_eq!(ttl(Some(65002), None), Some(1));
    assert_eq!(ttl(Some(65002), Some(4)), Some(4));
    assert_eq!(ttl(None, None), None);
}
