//! From snapshots to the allocator of addresses, for operator, agent and `rutterctl` alike.
//!
//! Invariant: what the allocator is told follows from the snapshot alone.

mod feed;
mod local;
mod memory;
mod nodes;
mod ranges;

pub use feed::feed;
pub use local::{Allocation, Caused, Local};
pub use memory::{MEMORY_FILE, Memory, MemoryUnreadable};
pub use nodes::{node_plan, node_plan_may_differ};
pub use ranges::{cluster_ranges, cluster_ranges_may_differ};
