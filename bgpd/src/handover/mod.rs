//! A planned upgrade without a session event: the running bgpd hands everything to the next one and goes (decision 005).
//!
//! ```text
//! bgpd --take-over                                     running bgpd
//!   connect to SOCKET.handover ──── Hello, formats ────► same user? a format in common?
//!   ◄────────────── Process, Instances, sockets, routes ── stops reading and writing, between two messages
//!   builds everything, touches nothing
//!   Commit ────────────────────────────────────────────►  from here on it does nothing any more
//!   ◄─────────────────────────────────────────────── Bye
//!   reads, writes, renames its API sockets into place
//!   closes ────────────────────────────────────────────►  exits, without a word to anybody
//! ```
//!
//! | file | what |
//! |---|---|
//! | `channel` | frames and descriptors over a Unix socket, bounded in time |
//! | `parcel` | what is handed over, as values and as frames |
//! | `give` | the side of the running bgpd |
//! | `take` | the side of the new one |
//!
//! Invariants: at any time exactly one of the two reads and writes the sockets; before `Commit` the running bgpd can go on at
//! any moment as if nothing had been, and does so by itself when the other one is silent for [`PATIENCE`]; the new one
//! begins only after `Bye`.

mod channel;
pub mod give;
pub mod parcel;
pub mod take;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The format that this bgpd writes and reads. It grows when a reader of the one before would get something wrong.
pub const FORMAT: u32 = 1;

/// How long one side waits for the other before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What the new bgpd says first. This and [`Answer`] are understood by every version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    /// Formats it reads.
    formats: Vec<u32>,
    /// Its version, for people.
    version: String,
    want: Want,
}

/// What the new bgpd wants of the running one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Want {
    /// Everything.
    TakeOver,
    /// That it leaves, so that peers with graceful restart keep its routes.
    Leave,
}

/// What the running bgpd answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    /// Everything follows, in this format.
    Follows { format: u32, version: String },
    /// It will end by itself.
    Leaves,
    /// No, and why. It goes on.
    Refused { reason: String },
}

/// Where the running bgpd can be asked, given where its API is.
#[must_use]
pub fn socket_path(api: &Path) -> PathBuf {
    let mut name: OsString = api.into();
    name.push(".handover");
    name.into()
}

/// Nanoseconds on the clock that all processes of a machine share.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
