//! A BGP speaker as a value: sessions, RIB and policy, without sockets and without a clock.
//!
//! A driver owns a [`Speaker`] and moves values between it and the world:
//!
//! 1. something happened: call the `handle_*` method for it, with the time;
//! 2. call [`Speaker::poll_action`], [`Speaker::poll_transmit`] and [`Speaker::poll_event`] until each says `None`;
//! 3. sleep until [`Speaker::poll_timeout`], at most, then call [`Speaker::handle_timeout`]. Calling it too early is legal
//!    and does nothing.
//!
//! Getters ([`Speaker::peers`], [`Speaker::peer`], [`Speaker::rib`] and what it pages) may be called at any time.
//!
//! Three invariants hold for the whole crate. Nothing that arrives from the network can panic, so the lints below deny
//! everything that could. Time and randomness enter as arguments, so a run can be repeated from its seed. And a speaker
//! does a bounded amount of work per call: proportional to the octets it was given, or to one message to send.

#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod config;
mod event;
mod gr;
pub mod handover;
mod ids;
pub mod policy;
mod reason;
mod reconfigure;
pub mod rib;
mod session;
mod speaker;
mod time;
mod view;

pub use bgp_wire as wire;

pub use event::{
    AcceptRefusal, Action, CloseReason, Command, CommandRefusal, Connect, Endpoints, Event, EventKind,
    RefreshEnd, RefreshFault, SEND_QUEUE_LEN, Transmit,
};
pub use gr::helper::SweepCause;
pub use ids::{ConnId, PeerId};
pub use reason::Reason;
pub use reconfigure::{ConfigChange, ConfigEffect, ConfigField, Cost};
pub use session::State;
pub use speaker::{Speaker, plan_between};
pub use time::Time;
pub use view::{
    Direction, Held, HistoryView, LastReset, MessageCounters, Negotiated, Noted, Order, PeerView, StateChange,
};
