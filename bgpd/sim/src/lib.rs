//! Many speakers in one process, on links that do not exist, in time that does not pass.
//!
//! The speakers are the ones that ship: [`bgp_core::Speaker`], driven as a daemon drives it. The world around them is made
//! up from one seed, so every failure is a number that brings it back:
//!
//! ```text
//! cargo run -p bgp-sim --release -- --seeds 0..10000
//! cargo run -p bgp-sim --release -- --seeds 4711 --trace
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`world`] | nodes, links, the clock |
//! | `network` | what happens between nodes |
//! | `stream` | a TCP connection as far as BGP can tell |
//! | [`invariant`] | what must hold |
//! | `ghost` | connections that no speaker opened |
//! | [`topology`] | who is connected to whom |
//! | [`handover`] | processes that take over from each other |
//! | [`chaos`] | a random world with random trouble |
//! | [`dice`], [`trace`] | the seed, and the way back from a failure |
//!
//! Named scenarios are tests (`tests/scenarios.rs`).

pub mod chaos;
pub mod dice;
mod ghost;
pub mod handover;
pub mod invariant;
mod network;
mod stream;
pub mod topology;
pub mod trace;
pub mod world;
