//! Sessions: from a configured neighbour to messages that the RIB may see.
//!
//! | file | what |
//! |---|---|
//! | [`fsm`] | the state machine of RFC 4271 §8, a pure table |
//! | [`collision`] | which of two connections survives (§6.8) |
//! | [`negotiate`] | what two OPENs agree on, or why they do not (§6.2, RFC 5492) |
//! | [`timers`], [`backoff`] | deadlines of a connection, waits between attempts |
//! | [`inbound`] | chunks of a stream to messages |
//! | [`connection`] | one connection's state |
//! | [`peer`] | one neighbour: two slots, and the effects of the machine |
//! | [`arbiter`] | dials, accepts and closes, and what they mean for the other slot |
//! | [`receive`] | messages that came in |
//! | [`outbound`] | messages that go out, and back-pressure |
//! | [`graceful`] | what the machines of graceful restart are told and do |
//! | [`leave`] | the process ends and another one takes over |
//! | [`history`] | what happened lately |
//! | [`shared`] | what all sessions of a speaker share |

mod arbiter;
pub(crate) mod backoff;
pub(crate) mod collision;
pub(crate) mod connection;
mod fsm;
mod graceful;
pub(crate) mod history;
mod inbound;
mod leave;
pub(crate) mod limit;
mod negotiate;
mod outbound;
mod peer;
mod receive;
pub(crate) mod refresh;
pub(crate) mod shared;
pub(crate) mod timers;

pub(crate) use fsm::Input as FsmInput;
pub use fsm::State;
pub(crate) use negotiate::{families_of, keepalive_interval};
pub(crate) use peer::{Peer, Run};
