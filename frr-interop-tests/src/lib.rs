//! What the interop tests share: one shape for what FRR, BIRD and GoBGP show, and the topology most tests use.
//!
//! The tests are black-box: rutter's bgpd is a binary with a YAML file, and the truth is what the *other* daemon shows.
//! [`Oracle`] reads that from FRR, BIRD and GoBGP alike, so one test body can run against all three.

mod bird;
mod frr;
mod gobgp;
mod oracle;
mod seen;
mod star;

pub use oracle::Oracle;
pub use rutter_lab::raw::{
    Frame, KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, RawPeer, UPDATE, attribute, open,
    open_enhanced_refresh, open_extended, open_two_octet,
};
pub use seen::{SeenPath, Session, UnknownAttribute};
pub use star::{PATIENCE, Star, run};
