//! What bgpd, the agent and their clients say to each other: the intent a client wants in force, the answers of the
//! show commands, and how both look to a person.
//!
//! The invariant: everything in this crate is a value. Nothing here opens a file, asks a clock or holds a session; the
//! one exception is the small HTTP client behind the `client` feature.

#![deny(missing_docs)]

pub mod cilium;
#[cfg(feature = "client")]
pub mod client;
pub mod control;
pub mod explain;
pub mod intent;
pub mod operate;
pub mod show;
