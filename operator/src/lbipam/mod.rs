//! LB IPAM: the second controller. It keeps the addresses of Services, and the conditions of Services and pools.
//!
//! What is decided is decided in the crate `lbipam`; here it is fed, asked and written down.

mod api;
pub(crate) mod args;
mod causes;
mod controller;
mod events;
mod flights;
mod history;
pub(crate) mod metrics;
mod patch;
mod state;
mod write;

pub(crate) use api::View;
pub(crate) use controller::Controller;
pub(crate) use metrics::Counters;
pub(crate) use state::State;
