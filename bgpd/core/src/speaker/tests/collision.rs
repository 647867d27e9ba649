//! Two connections at once (RFC 4271 §6.8): whatever the order of events, one session comes of it.

use super::*;

/// An UPDATE of nothing.
const END_OF_RIB: &[u8] =
    &[255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 23, 2, 0, 0, 0, 0];

/// Two connections, both with our OPEN sent.
fn both(change: impl FnOnce(&mut SpeakerSettings)) -> (Script, ConnId, ConnId) {
    let mut script = Script::new(change);
    let dialed = script.dial().conn;
    script.connected(dialed);
    let accepted = script.accept().unwrap();
    let opens = |sent: Vec<Sent>| matches!(sent.as_slice(), [Sent::Open(_)]);
    let mut streams = BTreeMap::<_, Vec<u8>>::new();
    while let Some(transmit) = script.speaker.poll_transmit(script.now) {
        streams.entry(transmit.conn).or_default().extend_from_slice(&transmit.bytes);
    }
    assert!(opens(decode(&streams[&dialed])) && opens(decode(&streams[&accepted])));
    (script, dialed, accepted)
}

fn theirs(id: u8) -> Bytes {
    encoded(&Open { router_id: Ipv4Addr::new(10, 0, 0, id), ..open() })
}

/// How far the first connection is when the OPEN comes on the second.
#[derive(Clone, Copy, PartialEq)]
enum First {
    OpenConfirm,
    /// Established here; the peer may not know yet.
    Young,
    /// Established, and the peer sent an UPDATE.
    Spoken,
    /// Established for some time.
    Old,
}

#[test]
fn the_higher_identifier_keeps_its_connection_unless_the_other_is_settled() {
    // Our identifier is 10.0.0.1 or, in the second round, higher than the peer's.
    for ours_higher in [false, true] {
        for dialed_first in [false, true] {
            for state in [First::OpenConfirm, First::Young, First::Spoken, First::Old] {
                let ours = if ours_higher { 3 } else { 1 };
                let (mut script, dialed, accepted) =
                    both(|settings| settings.router_id = Ipv4Addr::new(10, 0, 0, ours));
                let (first, second) = if dialed_first { (dialed, accepted) } else { (accepted, dialed) };
                let settled = matches!(state, First::Spoken | First::Old);
                let (keeps, loses) = match (settled, ours_higher) {
                    (true, _) => (first, second),
                    (false, true) => (dialed, accepted),
                    (false, false) => (accepted, dialed),
                };
                script.send(first, &theirs(2));
                if state != First::OpenConfirm {
                    script.send(first, &KEEPALIVE);
                    assert_eq!(script.state(), State::Established);
                }
                match state {
                    First::OpenConfirm | First::Young => {}
                    First::Spoken => script.send(first, END_OF_RIB),
                    First::Old => script.pass(Duration::from_millis(200)),
                }
                script.sent(first);
                script.send(second, &theirs(2));
                assert_eq!(script.sent(loses), [Sent::cease(cease::COLLISION_RESOLUTION)]);
                assert_eq!(script.closed(), [loses]);
                let resolved = |event: &EventKind| matches!(event, EventKind::CollisionResolved { closed, kept } if (*closed, *kept) == (loses, keeps));
                assert_eq!(script.events().iter().filter(|event| resolved(event)).count(), 1);
                script.send(keeps, &KEEPALIVE);
                assert_eq!(script.state(), State::Established);
                assert!(script.peer().last_reset.is_none(), "a collision is no reset");
                script.pass(Duration::from_secs(60));
                assert!(script.closed().is_empty(), "nothing is dialed and nothing else closed");
            }
        }
    }
}

#[test]
fn equal_identifiers_are_decided_by_asn() {
    // The peer's ASN 65002 is higher than ours: its connection stays.
    let (mut script, dialed, accepted) = both(|_| {});
    script.send(dialed, &theirs(1));
    script.send(accepted, &theirs(1));
    assert_eq!(script.closed(), [dialed]);
}

#[test]
fn a_connection_whose_open_never_comes_is_closed_once_the_session_is_up() {
    let (mut script, dialed, accepted) = both(|_| {});
    script.finish(dialed);
    script.pass(Duration::from_secs(9));
    assert!(script.closed().is_empty());
    script.pass(Duration::from_secs(1));
    assert_eq!(script.closed(), [accepted]);
    assert_eq!(script.state(), State::Established);
}

#[test]
fn the_peer_closing_the_loser_is_no_failure() {
    for by_notification in [false, true] {
        let (mut script, dialed, accepted) = both(|_| {});
        if by_notification {
            script.send(dialed, &Notification::cease(cease::COLLISION_RESOLUTION, None).encode());
            assert_eq!(script.closed(), [dialed]);
        } else {
            script.speaker.handle_closed(dialed, CloseReason::Eof, script.now);
            assert!(script.closed().is_empty());
        }
        assert_eq!(script.state(), State::OpenSent);
        script.finish(accepted);
        script.pass(Duration::from_secs(60));
        assert!(script.closed().is_empty(), "no dial beside the session");
    }
}

#[test]
fn a_dial_under_way_is_given_up_when_the_peers_connection_is_confirmed() {
    let mut script = Script::new(|_| {});
    let dialed = script.dial().conn;
    let accepted = script.accept().unwrap();
    assert!(script.closed().is_empty(), "it may still come through first");
    script.send(accepted, &theirs(2));
    assert_eq!(script.closed(), [dialed]);
    script.send(accepted, &KEEPALIVE);
    assert_eq!(script.state(), State::Established);
    script.connected(dialed);
    assert_eq!(script.closed(), [dialed]);
    script.speaker.handle_connect_failed(dialed, "aborted", script.now);
    assert_eq!(script.state(), State::Established);
}

#[test]
fn when_both_connections_die_the_speaker_dials_again() {
    let (mut script, dialed, accepted) = both(|_| {});
    script.speaker.handle_closed(dialed, CloseReason::Eof, script.now);
    script.speaker.handle_closed(accepted, CloseReason::Eof, script.now);
    assert!(script.until_dial().1 <= Duration::from_secs(1));
}
