//! Peers that do not take what is sent to them, and how late a KEEPALIVE is.

use super::*;
use crate::session::timers::SLOW_AFTER;

/// Time passes and the peer says that it lives, but takes nothing.
fn pass_without_writing(script: &mut Script, conn: ConnId, duration: Duration) {
    for _ in 0..duration.as_secs() {
        script.pass(Duration::from_secs(1));
        script.send(conn, &KEEPALIVE);
        while script.speaker.poll_transmit(script.now).is_some() {}
    }
}

fn slow_events(script: &mut Script) -> Vec<String> {
    let slow = |kind: &EventKind| matches!(kind, EventKind::SlowPeer { .. } | EventKind::SlowPeerOver { .. });
    script.events().iter().filter(|kind| slow(kind)).map(|kind| format!("{kind:?}")).collect()
}

#[test]
fn a_peer_that_does_not_read_is_slow_until_it_does() {
    let mut script = Script::with_peer(|peer| peer.timers.keepalive = 5);
    let conn = script.establish();
    script.events();
    pass_without_writing(&mut script, conn, SLOW_AFTER);
    assert!(slow_events(&mut script).is_empty(), "the first KEEPALIVE waits for less than that");
    pass_without_writing(&mut script, conn, Duration::from_secs(6));
    assert_eq!(slow_events(&mut script).len(), 1);
    let peer = script.peer();
    assert_eq!((peer.state, peer.slow_count), (State::Established, 1));
    assert!(script.now - peer.slow_since.unwrap() >= SLOW_AFTER);
    // It takes some, but not all: still slow, and not counted again.
    script.speaker.handle_writable(conn, SEND_QUEUE_LEN - 1, script.now);
    pass_without_writing(&mut script, conn, SLOW_AFTER * 2);
    assert!(slow_events(&mut script).is_empty());
    script.speaker.handle_writable(conn, SEND_QUEUE_LEN, script.now);
    assert_eq!(slow_events(&mut script).len(), 1, "and once it has taken all, it is said that it is over");
    assert_eq!((script.peer().slow_since, script.peer().slow_count), (None, 1));
    pass_without_writing(&mut script, conn, SLOW_AFTER + Duration::from_secs(10));
    assert_eq!(script.peer().slow_count, 2);
}

#[test]
fn a_slow_peer_that_goes_away_is_slow_no_longer() {
    let mut script = Script::with_peer(|peer| peer.timers.keepalive = 5);
    let conn = script.establish();
    pass_without_writing(&mut script, conn, SLOW_AFTER + Duration::from_secs(10));
    script.events();
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    assert_eq!(slow_events(&mut script).len(), 1);
    assert_eq!(script.peer().slow_since, None);
}

#[test]
fn a_keepalive_knows_when_it_was_due() {
    let mut script = Script::new(|_| {});
    script.establish();
    // The driver slept through its wake-up.
    let start = script.now;
    script.now = start + Duration::from_secs(35);
    script.speaker.handle_timeout(script.now);
    let transmit = script.speaker.poll_transmit(script.now).unwrap();
    assert_eq!(transmit.bytes.as_ref(), KEEPALIVE.as_slice());
    let after = transmit.due.unwrap() - start;
    assert!(after >= Duration::from_millis(22_500) && after <= Duration::from_secs(30), "{after:?}");
}
