//! bgpd: the tokio driver around [`bgp_core::Speaker`], its configuration, its HTTP API and its metrics.
//!
//! ```text
//!  file, PUT /v1/intents/{owner} ──► supervisor (adds intents up) ──► one thread per instance: Owner = Speaker + sockets
//!                                                                       │ publishes            ▲ pages by request
//!                       GET /v1/show/..., /metrics ◄── http ◄───────────┴──────────────────────┘
//! ```
//!
//! The binary is a thin `main`; everything is here so that tests reach it.

pub mod check;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod handover;
pub mod http;
pub mod instance;
pub mod intents;
pub mod logging;
pub mod metrics;
pub mod options;
pub mod sockopt;
pub mod state;
pub mod supervisor;
