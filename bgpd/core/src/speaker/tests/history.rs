//! What is remembered of a session when it is over.

use super::*;
use crate::event::CloseReason;
use crate::view::{Direction, Order};

fn disable(peer: PeerId, text: &str) -> Command {
    Command::Disable { peer, text: Some(text.into()) }
}

#[test]
fn the_cause_stays_whatever_comes_after() {
    let mut script = Script::new(|_| {});
    script.establish();
    script.pass(Duration::from_secs(100));
    // Then a peer that refuses us in ever new words, and one that closes without any.
    for n in 0..50 {
        let conn = script.until_dial().0.conn;
        script.connected(conn);
        if n % 2 == 0 {
            let text = format!("go away {n}");
            let refusal = Notification::cease(cease::CONNECTION_REJECTED, None).encode();
            let shutdown = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, Some(&text)).encode();
            script.send(conn, if n % 4 == 0 { &refusal } else { &shutdown });
        } else {
            script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
        }
    }
    let history = script.speaker.history(script.id()).unwrap();
    let sessions: Vec<_> = history.sessions.iter().collect();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].what.reason, Reason::HoldTimerExpired);
    assert_eq!(sessions[0].what.lasted, Some(Duration::from_secs(90)));
    assert_eq!(sessions[0].what.notification, Some((Direction::Sent, Notification::hold_timer_expired())));
    assert!(history.attempts.iter().any(|noted| noted.repeated > 1), "{:?}", history.attempts);
    let sent: Vec<_> = history.notifications.iter().filter(|noted| noted.what.0 == Direction::Sent).collect();
    assert_eq!(sent[0].what.1, Notification::hold_timer_expired());
}

#[test]
fn orders_and_changes_of_the_configuration_are_kept_with_their_effect() {
    let mut script = Script::new(|_| {});
    script.establish();
    let peer = script.id();
    script.speaker.handle_command(disable(peer, "new optics"), script.now).unwrap();
    script.speaker.handle_command(Command::Enable { peer }, script.now).unwrap();
    let mut settings = settings();
    settings.peers[0].timers.hold = 30;
    settings.peers[0].description = Some("spine".into());
    script.closed_or_dialed();
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    let history = script.speaker.history(peer).unwrap();
    let orders: Vec<_> = history.orders.iter().map(|noted| noted.what.to_string()).collect();
    assert_eq!(
        orders,
        [
            "added to the configuration",
            "shut down by an operator: \"new optics\"",
            "shutdown taken back by an operator",
            "configuration changed, session kept: description, timers.holdSeconds",
        ]
    );
    assert!(matches!(history.orders[1].what, Order::Disabled { .. }));
    let ended = &history.sessions[0].what;
    assert_eq!(ended.reason, Reason::AdminShutdown { text: Some("new optics".into()) });
    assert_eq!(ended.notification.as_ref().unwrap().1.text(), Some("new optics"));
}

#[test]
fn a_refused_connection_is_a_notification_that_was_sent() {
    let mut script = Script::new(|_| {});
    script.establish();
    for _ in 0..40 {
        script.accept().unwrap_err();
    }
    let history = script.speaker.history(script.id()).unwrap();
    let noted = history.notifications.back().unwrap();
    assert_eq!(noted.what, (Direction::Sent, Notification::cease(cease::COLLISION_RESOLUTION, None)));
    assert_eq!((noted.repeated, history.notifications.len()), (40, 1));
    assert!(history.sessions.is_empty() && history.attempts.is_empty());
}
