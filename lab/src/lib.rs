//! A laboratory: network namespaces as hosts, veth pairs and bridges as cables, real daemons as their software.
//!
//! A [`Lab`] owns hosts ([`Host`], one network namespace each) and the links between them; a host runs commands and
//! daemons: FRR ([`Frr`]), BIRD ([`Bird`]), GoBGP ([`GoBgp`]), a Kubernetes control plane ([`kube::ControlPlane`]) and rutter's
//! own [`Bgpd`], [`Agent`] and [`Operator`]. The interop tests build one lab
//! per test, `cargo xtask demo` builds one that may stay.
//!
//! Invariant: what a lab made is gone when the lab is: after `drop`, after a panic, and also when the owning process is
//! killed with -9, because a guardian process (a shell on a pipe) notices and cleans up in its place. A third belt, the sweep
//! in [`Lab::new`], removes what a lost guardian left.
//!
//! Errors are [`anyhow::Error`]: nobody branches on them, a person reads them in a failed test or demo.

mod agent;
pub mod attackers;
mod bgpd;
mod bird;
mod daemon;
mod frr;
mod go_tools;
mod gobgp;
mod gobgp_build;
mod guardian;
mod host;
mod http;
pub mod kube;
mod lab;
mod namespace;
mod operator;
pub mod raw;
pub mod restarts;
mod wait;

pub use agent::Agent;
pub use bgpd::{Bgpd, rutter_binary};
pub use bird::Bird;
pub use daemon::Daemon;
pub use frr::Frr;
pub use gobgp::GoBgp;
pub use gobgp_build::{GoBgpBinaries, can_build_gobgp, gobgp_binaries};
pub use host::{Host, Ran};
pub use http::{HttpConnection, HttpReply, http_request};
pub use lab::{Lab, LinkEnd};
pub use nix::sys::signal::Signal;
pub use operator::Operator;
pub use raw::RawPeer;
pub use wait::wait_for;
