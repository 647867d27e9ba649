//! From Kubernetes objects to one node's intent for bgpd.
//!
//! ```text
//! manifests::Directory ─┐
//!  cluster::Reflection ─┴► snapshot::Snapshot ──► translate::node_configs ──► translate::intent_for_node ──► Intent
//!                                          └──────────── report::Report at every step ────────────┘
//! ```
//! Everything right of the snapshot is pure: objects in, values out. Invariant: whatever the objects say, the intent
//! passes `Intent::validate`; what cannot be part of it is left out alone, as a named finding in the report.

#![deny(missing_docs)]

mod advertise;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod conditions;
pub mod explain;
#[cfg(feature = "cluster")]
pub mod journal;
pub mod lbipam;
pub mod manifests;
pub mod network;
pub mod object;
pub mod options;
mod reason;
pub mod report;
pub mod snapshot;
mod trace;
pub mod translate;

pub use options::{Ipam, Options, RouterIds};
