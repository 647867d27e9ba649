//! LB IPAM: which Service of type LoadBalancer gets which address out of which pool, and why.
//!
//! ```text
//! pools ───────┐
//! services ────┼─► Ipam::handle_* ─► Ipam::plan(now) ─► Plan: what to write into which status, and why
//! reservations ┘                         │
//!                                        └─► Ipam::poll_deadline(): when time alone changes the plan
//! ```
//! Pure: no I/O, no clock, no randomness. Invariants: two Services that may not share never get one address; an address that
//! is still valid never changes; the same objects give the same plan on any replica and in any order.

#![deny(missing_docs)]

pub mod accepted;
pub mod annotation;
mod applied;
pub mod block;
pub mod cluster_range;
pub mod conflict;
pub mod counts;
pub mod forecast;
pub mod node_ipam;
pub mod plan;
pub mod pool;
pub mod range;
pub mod refusal;
pub mod selector;
pub mod service;
pub mod settings;
pub mod status;

pub use block::{BadBlock, Block};
pub use cluster_range::{ClusterRange, RangeUse};
pub use conflict::Conflict;
pub use counts::{Counts, Tally};
pub use plan::{Cause, ConditionChange, Plan, PoolChange, Reason, ServiceChange, Verdict};
pub use pool::Pool;
pub use range::Range;
pub use service::{Family, Service, ServiceKey};
pub use settings::{DefaultIpam, Settings};
