//! Manifests: Kubernetes objects from a directory of YAML and JSON files instead of an API server.
//!
//! [`Directory`] does to the files what an API server does to requests: it checks, completes, refuses, and keeps what
//! was there before when something new is wrong.

mod cel;
mod directory;
mod document;
mod kind;
mod schema;
mod service;
mod text;
mod yaml;

pub use directory::{Directory, FileStatus};
pub use text::read_text;
