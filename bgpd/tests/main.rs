//! bgpd as a process: real sockets on loopback addresses, real signals, the real API.
//!
//! Each test has its own loopback addresses, its own folder and its own children, which end with it.

mod api;
mod config_errors;
mod fixture;
mod handover;
mod logging;
mod operating;
mod plan;
mod reconfiguration;
mod reload;
mod restart;
mod security;
mod sessions;
mod shutdown;
