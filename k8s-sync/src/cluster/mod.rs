//! A real API server: the connection, reflectors that keep a [`Snapshot`] up to date, and the few ways to write.
//!
//! ```text
//! Connect ──► Cluster ──► Reflection (one reflector per kind) ──► Store ──► Snapshot, Report, "something changed"
//!                  └────► get, list, apply, patch, delete of one Address
//! ```
//! Nothing outside this folder names the types of the Kubernetes client (decision 006). Invariants: an outage, whatever its
//! kind, never takes an object out of the store; an object that cannot be read keeps its last good version; every request
//! is counted and has a time limit; nothing here depends on our clock being right.
//!
//! [`Snapshot`]: crate::snapshot::Snapshot

mod address;
mod backoff;
mod connect;
mod decode;
mod error;
mod guard;
mod once;
mod pulse;
mod reflection;
mod reflector;
mod request;
mod requests;
mod store;
mod stream;
mod watched;

pub use address::Address;
pub use connect::{Cluster, Connect, ConnectError};
pub use error::ApiError;
pub use guard::Guard;
pub use reflection::{Parts, Reflection, Round, Scope};
pub use request::{Answer, Preconditions};
pub use requests::RequestCount;
