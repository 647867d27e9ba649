//! The finite state machine of RFC 4271 §8, as a function from (state, input) to (state, effects).
//!
//! ```text
//!            Start                    Connected              Open                 Keepalive
//!   Idle ─────────────► Connect ─────────────────► OpenSent ──────► OpenConfirm ───────────► Established
//!    ▲ │ StartPassive    │    ▲                     ▲   │                │                        │
//!    │ └──────────────┐  │ConnectionFailed          │   │ConnectionFailed│                        │
//!    │                ▼  ▼    │ConnectRetryExpired  │   ▼                │                        │
//!    │               Active ──┴── Connected ────────┘ Active             │                        │
//!    └───────────────────── every error, Stop ───────────────────────────┴────────────────────────┘
//! ```
//!
//! One machine runs per connection: the peer's own (it dials, and waits in Idle, Connect and Active) and one for an
//! accepted connection, which begins in Active as if started passively. [`super::collision`] decides between the two.
//!
//! Inputs are the RFC's events; those that only DelayOpen or an unimplemented option could raise are left out. Where this
//! machine differs from §8.2.2, on purpose:
//! - a dial that fails leads to Active, where connections are accepted, not to Idle (the RFC does so only with DelayOpen);
//! - a passive peer never dials, so its ConnectRetryTimer does not run;
//! - a NOTIFICATION received in OpenSent or OpenConfirm is not answered with another one.
//!
//! Invariant: the function is total. Every pair has an outcome, no outcome can fail, and whoever leaves OpenSent,
//! OpenConfirm or Established for good drops the connection.

use std::fmt;

/// State of a session (RFC 4271 §8.2.2).
#[derive(
    serde::Serialize, serde::Deserialize, Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
)]
pub enum State {
    /// Refuses connections, or waits to be started.
    #[default]
    Idle,
    /// Waits for a dial to come through.
    Connect,
    /// Waits for the peer to connect, or for the time to dial.
    Active,
    /// Has sent an OPEN and waits for the peer's.
    OpenSent,
    /// Has agreed to the peer's OPEN and waits for the peer to agree to ours.
    OpenConfirm,
    /// Exchanges routes.
    Established,
}

impl State {
    /// All states, from the first to the last.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connect, Self::Active, Self::OpenSent, Self::OpenConfirm, Self::Established];

    /// The RFC's name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }

    /// Whether a connection exists on which messages are exchanged.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::OpenSent | Self::OpenConfirm | Self::Established)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What can happen to a session. The number is the RFC's (§8.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// ManualStart (1), AutomaticStart (3, 6), IdleHoldTimer_Expires (13).
    Start,
    /// The same for a passive peer (4, 5, 7).
    StartPassive,
    /// ManualStop (2), AutomaticStop (8): with the Cease to send.
    Stop,
    /// ConnectRetryTimer_Expires (9).
    ConnectRetryExpired,
    /// HoldTimer_Expires (10).
    HoldExpired,
    /// KeepaliveTimer_Expires (11).
    KeepaliveExpired,
    /// SendHoldTimer_Expires (29, RFC 9687).
    SendHoldExpired,
    /// Tcp_CR_Acked (16), TcpConnectionConfirmed (17).
    Connected,
    /// TcpConnectionFails (18).
    ConnectionFailed,
    /// BGPOpen (19), already found acceptable.
    Open,
    /// BGPHeaderErr (21), with the NOTIFICATION to send.
    HeaderError,
    /// BGPOpenMsgErr (22), with the NOTIFICATION to send.
    OpenError,
    /// OpenCollisionDump (23), with the NOTIFICATION to send.
    CollisionLost,
    /// NotifMsgVerErr (24).
    NotificationVersion,
    /// NotifMsg (25).
    Notification,
    /// KeepAliveMsg (26).
    Keepalive,
    /// UpdateMsg (27).
    Update,
    /// UpdateMsgErr (28), with the NOTIFICATION to send.
    UpdateError,
    /// A ROUTE-REFRESH message (RFC 2918).
    RouteRefresh,
}

/// What a transition asks to be done, in order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start a dial and the timer that bounds it.
    Dial,
    /// Close the connection, or give up the dial; stop the connection's timers.
    Drop,
    /// Start the ConnectRetryTimer until the next dial.
    ArmRetry,
    /// Stop the ConnectRetryTimer.
    ClearRetry,
    /// Send our OPEN and start the hold timer at its large value.
    SendOpen,
    /// Send a KEEPALIVE and restart the keepalive timer.
    SendKeepalive,
    /// Restart the hold timer with the negotiated Hold Time.
    RestartHold,
    /// Send a NOTIFICATION.
    Notify(Notice),
    /// Count a failure: the next automatic start waits longer (DampPeerOscillations).
    CountFailure,
    /// The session is up: routes may flow.
    Up,
    /// The session is down: its routes go, or are kept for a restart.
    Down,
}

/// Which NOTIFICATION to send.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The one that came with the input.
    Given,
    /// Hold Timer Expired.
    HoldTimer,
    /// Send Hold Timer Expired (RFC 9687).
    SendHoldTimer,
    /// Finite State Machine Error, with the subcode of the state (RFC 6608).
    Unexpected(u8),
}

/// The outcome of an input.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) next: State,
    pub(crate) effects: &'static [Effect],
}

/// What `input` does in `state`.
pub(crate) const fn transition(state: State, input: Input) -> Transition {
    let (next, effects) = match state {
        State::Idle => idle(input),
        State::Connect => connect(input),
        State::Active => active(input),
        State::OpenSent => open_sent(input),
        State::OpenConfirm => open_confirm(input),
        State::Established => established(input),
    };
    Transition { next, effects }
}

type Outcome = (State, &'static [Effect]);

const fn idle(input: Input) -> Outcome {
    match input {
        Input::Start => (State::Connect, &[Effect::Dial]),
        Input::StartPassive => (State::Active, &[]),
        Input::Connected => (State::Idle, &[Effect::Drop]),
        _ => (State::Idle, &[]),
    }
}

const fn connect(input: Input) -> Outcome {
    match input {
        Input::Start | Input::StartPassive => (State::Connect, &[]),
        Input::Stop => (State::Idle, &[Effect::ClearRetry, Effect::Drop]),
        Input::ConnectRetryExpired => (State::Connect, &[Effect::Drop, Effect::Dial]),
        Input::Connected => (State::OpenSent, &[Effect::ClearRetry, Effect::SendOpen]),
        Input::ConnectionFailed => (State::Active, &[Effect::Drop, Effect::ArmRetry]),
        Input::CollisionLost => (State::Idle, &[Effect::ClearRetry, Effect::Drop]),
        _ => (State::Idle, &[Effect::ClearRetry, Effect::Drop, Effect::CountFailure]),
    }
}

const fn active(input: Input) -> Outcome {
    match input {
        Input::Start | Input::StartPassive => (State::Active, &[]),
        Input::Stop | Input::CollisionLost => (State::Idle, &[Effect::ClearRetry, Effect::Drop]),
        Input::ConnectRetryExpired => (State::Connect, &[Effect::Dial]),
        Input::Connected => (State::OpenSent, &[Effect::ClearRetry, Effect::SendOpen]),
        _ => (State::Idle, &[Effect::ClearRetry, Effect::Drop, Effect::CountFailure]),
    }
}

const fn open_sent(input: Input) -> Outcome {
    const UNEXPECTED: &[Effect] =
        &[Effect::Notify(Notice::Unexpected(1)), Effect::Drop, Effect::CountFailure];
    match input {
        Input::Start | Input::StartPassive | Input::Connected => (State::OpenSent, &[]),
        Input::Stop | Input::CollisionLost => (State::Idle, &[Effect::Notify(Notice::Given), Effect::Drop]),
        Input::HoldExpired => {
            (State::Idle, &[Effect::Notify(Notice::HoldTimer), Effect::Drop, Effect::CountFailure])
        }
        Input::SendHoldExpired => {
            (State::Idle, &[Effect::Notify(Notice::SendHoldTimer), Effect::Drop, Effect::CountFailure])
        }
        Input::ConnectionFailed => (State::Active, &[Effect::Drop, Effect::CountFailure, Effect::ArmRetry]),
        Input::Open => (State::OpenConfirm, &[Effect::SendKeepalive, Effect::RestartHold]),
        Input::HeaderError | Input::OpenError => {
            (State::Idle, &[Effect::Notify(Notice::Given), Effect::Drop, Effect::CountFailure])
        }
        Input::NotificationVersion => (State::Idle, &[Effect::Drop]),
        Input::Notification => (State::Idle, &[Effect::Drop, Effect::CountFailure]),
        Input::ConnectRetryExpired
        | Input::KeepaliveExpired
        | Input::Keepalive
        | Input::Update
        | Input::UpdateError
        | Input::RouteRefresh => (State::Idle, UNEXPECTED),
    }
}

const fn open_confirm(input: Input) -> Outcome {
    const UNEXPECTED: &[Effect] =
        &[Effect::Notify(Notice::Unexpected(2)), Effect::Drop, Effect::CountFailure];
    match input {
        Input::Start | Input::StartPassive | Input::Connected => (State::OpenConfirm, &[]),
        Input::Stop | Input::CollisionLost => (State::Idle, &[Effect::Notify(Notice::Given), Effect::Drop]),
        Input::HoldExpired => {
            (State::Idle, &[Effect::Notify(Notice::HoldTimer), Effect::Drop, Effect::CountFailure])
        }
        Input::SendHoldExpired => {
            (State::Idle, &[Effect::Notify(Notice::SendHoldTimer), Effect::Drop, Effect::CountFailure])
        }
        Input::KeepaliveExpired => (State::OpenConfirm, &[Effect::SendKeepalive]),
        Input::HeaderError | Input::OpenError => {
            (State::Idle, &[Effect::Notify(Notice::Given), Effect::Drop, Effect::CountFailure])
        }
        Input::NotificationVersion => (State::Idle, &[Effect::Drop]),
        Input::ConnectionFailed | Input::Notification => (State::Idle, &[Effect::Drop, Effect::CountFailure]),
        Input::Keepalive => (State::Established, &[Effect::RestartHold, Effect::Up]),
        Input::ConnectRetryExpired
        | Input::Open
        | Input::Update
        | Input::UpdateError
        | Input::RouteRefresh => (State::Idle, UNEXPECTED),
    }
}

const fn established(input: Input) -> Outcome {
    const UNEXPECTED: &[Effect] =
        &[Effect::Notify(Notice::Unexpected(3)), Effect::Down, Effect::Drop, Effect::CountFailure];
    const REFUSED: &[Effect] =
        &[Effect::Notify(Notice::Given), Effect::Down, Effect::Drop, Effect::CountFailure];
    match input {
        Input::Start | Input::StartPassive | Input::Connected => (State::Established, &[]),
        Input::Stop | Input::CollisionLost => {
            (State::Idle, &[Effect::Notify(Notice::Given), Effect::Down, Effect::Drop])
        }
        Input::HoldExpired => (
            State::Idle,
            &[Effect::Notify(Notice::HoldTimer), Effect::Down, Effect::Drop, Effect::CountFailure],
        ),
        Input::SendHoldExpired => (
            State::Idle,
            &[Effect::Notify(Notice::SendHoldTimer), Effect::Down, Effect::Drop, Effect::CountFailure],
        ),
        Input::KeepaliveExpired => (State::Established, &[Effect::SendKeepalive]),
        Input::ConnectionFailed | Input::NotificationVersion | Input::Notification => {
            (State::Idle, &[Effect::Down, Effect::Drop, Effect::CountFailure])
        }
        Input::Keepalive | Input::Update | Input::RouteRefresh => {
            (State::Established, &[Effect::RestartHold])
        }
        Input::HeaderError | Input::UpdateError => (State::Idle, REFUSED),
        Input::ConnectRetryExpired | Input::Open | Input::OpenError => (State::Idle, UNEXPECTED),
    }
}

#[cfg(test)]
#[path = "fsm_tests.rs"]
mod tests;
