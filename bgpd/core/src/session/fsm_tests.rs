//! Every (state, input) pair, and what must hold for all of them.

use super::*;

const INPUTS: [Input; 19] = [
    Input::Start,
    Input::StartPassive,
    Input::Stop,
    Input::ConnectRetryExpired,
    Input::HoldExpired,
    Input::KeepaliveExpired,
    Input::SendHoldExpired,
    Input::Connected,
    Input::ConnectionFailed,
    Input::Open,
    Input::HeaderError,
    Input::OpenError,
    Input::CollisionLost,
    Input::NotificationVersion,
    Input::Notification,
    Input::Keepalive,
    Input::Update,
    Input::UpdateError,
    Input::RouteRefresh,
];

/// Next states of RFC 4271 §8.2.2, one row per input in the order of [`INPUTS`], one column per state: I(dle), C(onnect),
/// A(ctive), S (OpenSent), F (OpenConfirm), E(stablished).
const TABLE: [&str; 19] = [
    "CCASFE", // Start
    "ACASFE", // StartPassive
    "IIIIII", // Stop
    "ICCIII", // ConnectRetryExpired: unexpected once a connection exists
    "IIIIII", // HoldExpired
    "IIIIFE", // KeepaliveExpired
    "IIIIII", // SendHoldExpired
    "ISSSFE", // Connected
    "IAIAII", // ConnectionFailed
    "IIIFII", // Open
    "IIIIII", // HeaderError
    "IIIIII", // OpenError
    "IIIIII", // CollisionLost
    "IIIIII", // NotificationVersion
    "IIIIII", // Notification
    "IIIIEE", // Keepalive
    "IIIIIE", // Update
    "IIIIII", // UpdateError
    "IIIIIE", // RouteRefresh
];

fn letter(state: State) -> char {
    match state {
        State::Idle => 'I',
        State::Connect => 'C',
        State::Active => 'A',
        State::OpenSent => 'S',
        State::OpenConfirm => 'F',
        State::Established => 'E',
    }
}

fn pairs() -> impl Iterator<Item = (State, Input, Transition)> {
    State::ALL
        .into_iter()
        .flat_map(|state| INPUTS.into_iter().map(move |input| (state, input, transition(state, input))))
}

#[test]
fn next_states() {
    for (input, row) in INPUTS.into_iter().zip(TABLE) {
        let actual: String =
            State::ALL.into_iter().map(|state| letter(transition(state, input).next)).collect();
        assert_eq!(actual, row, "{input:?}");
    }
}

#[test]
fn a_connection_is_dropped_exactly_when_it_is_left() {
    for (state, input, Transition { next, effects }) in pairs() {
        let drops = effects.contains(&Effect::Drop);
        if state.is_open() {
            assert_eq!(drops, !next.is_open(), "{state} {input:?}");
        }
        if drops && next == State::Connect {
            assert_eq!(effects, [Effect::Drop, Effect::Dial], "{state} {input:?}");
        }
    }
}

#[test]
fn the_rib_hears_of_every_way_in_and_out_of_established() {
    for (state, input, Transition { next, effects }) in pairs() {
        let (was, is) = (state == State::Established, next == State::Established);
        assert_eq!(effects.contains(&Effect::Up), !was && is, "{state} {input:?}");
        assert_eq!(effects.contains(&Effect::Down), was && !is, "{state} {input:?}");
    }
}

#[test]
fn notifications_go_out_before_the_connection_and_only_on_one() {
    for (state, input, Transition { effects, .. }) in pairs() {
        let position = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
        if let Some(notify) = position(|effect| matches!(effect, Effect::Notify(_))) {
            assert!(state.is_open(), "{state} {input:?}");
            let drop = position(|effect| *effect == Effect::Drop);
            assert!(drop.is_some_and(|drop| notify < drop), "{state} {input:?}: the session ends with it");
        }
        if matches!(input, Input::Notification | Input::NotificationVersion | Input::ConnectionFailed) {
            assert!(position(|effect| matches!(effect, Effect::Notify(_))).is_none(), "{state} {input:?}");
        }
    }
}

#[test]
fn an_unexpected_message_is_answered_with_the_subcode_of_its_state() {
    let subcodes = [(State::OpenSent, 1), (State::OpenConfirm, 2), (State::Established, 3)];
    for (state, subcode) in subcodes {
        let unexpected = Effect::Notify(Notice::Unexpected(subcode));
        let answered: Vec<_> = INPUTS
            .into_iter()
            .filter(|input| {
                transition(state, *input)
                    .effects
                    .iter()
                    .any(|effect| matches!(effect, Effect::Notify(Notice::Unexpected(_))))
            })
            .inspect(|input| {
                assert!(transition(state, *input).effects.contains(&unexpected), "{state} {input:?}")
            })
            .collect();
        let expected: &[Input] = match state {
            State::OpenSent => &[
                Input::ConnectRetryExpired,
                Input::KeepaliveExpired,
                Input::Keepalive,
                Input::Update,
                Input::UpdateError,
                Input::RouteRefresh,
            ],
            State::OpenConfirm => &[
                Input::ConnectRetryExpired,
                Input::Open,
                Input::Update,
                Input::UpdateError,
                Input::RouteRefresh,
            ],
            _ => &[Input::ConnectRetryExpired, Input::Open, Input::OpenError],
        };
        assert_eq!(answered, expected, "{state}");
    }
}

#[test]
fn failures_are_counted_and_wishes_are_not() {
    for (state, input, Transition { effects, .. }) in pairs() {
        let counted = effects.contains(&Effect::CountFailure);
        let wish = matches!(input, Input::Stop | Input::CollisionLost | Input::Start | Input::StartPassive);
        assert!(!(counted && wish), "{state} {input:?}");
        if state.is_open() && effects.contains(&Effect::Drop) && !wish && input != Input::NotificationVersion
        {
            assert!(counted, "{state} {input:?}");
        }
    }
}

#[test]
fn sessions_that_go_on_keep_their_hold_timer_fresh() {
    for input in [Input::Keepalive, Input::Update, Input::RouteRefresh] {
        assert_eq!(transition(State::Established, input).effects, [Effect::RestartHold]);
    }
    assert!(transition(State::OpenConfirm, Input::Keepalive).effects.contains(&Effect::RestartHold));
    assert_eq!(transition(State::Established, Input::KeepaliveExpired).effects, [Effect::SendKeepalive]);
}

#[test]
fn whoever_waits_for_a_dial_has_a_timer() {
    for (state, input, Transition { next, effects }) in pairs() {
        let armed = effects.iter().any(|effect| matches!(effect, Effect::Dial | Effect::ArmRetry));
        match (state, next) {
            (_, State::Connect) if state != State::Connect => assert!(armed, "{state} {input:?}"),
            // Started passively there is nothing to wait for; otherwise a dial or an OPEN exchange failed.
            (State::Idle, State::Active) => assert_eq!(input, Input::StartPassive),
            (_, State::Active) if state != State::Active => assert!(armed, "{state} {input:?}"),
            _ => {}
        }
    }
}
