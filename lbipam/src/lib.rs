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
mod change;
pub mod cluster_range;
pub mod conflict;
pub mod counts;
pub mod duration;
pub mod explain;
pub mod forecast;
mod give;
pub mod ipam;
mod keep;
mod keys;
pub mod node_ipam;
mod occupancy;
pub mod offer;
pub mod plan;
pub mod pool;
mod pools;
pub mod quota;
pub mod range;
pub mod refusal;
pub mod request;
pub mod reservation;
mod reservations;
mod reserve;
mod roster;
pub mod selector;
pub mod service;
pub mod settings;
pub mod sharing;
mod staging;
pub mod status;
pub mod view;
mod waiting;
pub mod world;

pub use block::{BadBlock, Block};
pub use cluster_range::{ClusterRange, RangeUse};
pub use conflict::Conflict;
pub use counts::{Counts, Tally};
pub use explain::Explanation;
pub use ipam::Ipam;
pub use offer::{Offer, Refusal, Want};
pub use plan::{Cause, ConditionChange, Plan, PoolChange, Reason, ReservationChange, ServiceChange, Verdict};
pub use pool::Pool;
pub use quota::{Quota, QuotaUse};
pub use range::Range;
pub use request::{NotHandled, Request, Wanted, handled};
pub use reservation::ReservationView;
pub use service::{Family, Service, ServiceKey};
pub use settings::{DefaultIpam, Settings};
pub use sharing::Incompatible;
pub use view::{Outlook, PoolView, ServiceCounts, Use};
pub use world::World;
