//! Leader election on a Kubernetes Lease.
//!
//! [`Election`] is a state machine without clock and without I/O: requests come out of `poll_request`, answers go into
//! `handle_read` and `handle_written`, and every call that needs the time gets it. The rule is that of Kubernetes' own
//! components: **a lease has run out when this process has seen its record unchanged for the lease duration**, by its own
//! monotonic clock. Timestamps of different machines are never compared, so wrong wall clocks change nothing.
//!
//! ```text
//!                  record gone, released, or unchanged for the lease duration
//!       ┌─────────┐ ───────────────────── write ok ─────────────────────────► ┌─────────┐
//!       │ Standby │                                                           │ Leading │ ─┐ write ok: deadline
//!       └─────────┘ ◄──────────────────────────────────────────────────────── └─────────┘ ◄┘ = sent + renew_deadline
//!            │       renew deadline passed, taken over, lease deleted              │
//!            │ handle_stop                                           handle_stop   │
//!            ▼                                                                     ▼
//!         finished ◄──────────────── released, or lease ran out ────────────── Releasing
//! ```
//!
//! **Two leaders.** A leader may act until `renew_deadline` after it *sent* its last successful write. A successor waits
//! `lease_duration` from when it *received* that write. With clocks that run at rates within `1 ± d` of real time and `d ≤
//! (lease - deadline) / (lease + deadline)`, no two leaders act at the same time. With worse clocks they overlap for at
//! most `deadline / slow - lease / fast` (rates of the leader's and the successor's clock). What a leader had already sent when its
//! time ran out can still arrive later: writes should carry a precondition (`resourceVersion`), or the [`Token`] where
//! the receiver can compare it.
//!
//! One election, driven by hand:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use kube_lease::{Election, Event, Observed, Record, Request, Settings};
//!
//! let at = Duration::from_secs;                  // monotonic, any origin
//! let wall = 1_790_000_000_000_000;              // microseconds since 1970, for people only
//! let mut election = Election::new(Arc::new(Settings::default()), "pod-a".into(), 42);
//!
//! assert_eq!(election.poll_request(at(0), wall), Some(Request::Read));
//! election.handle_read(at(0), Ok(None));         // no such Lease
//! let Some(Request::Create(record)) = election.poll_request(at(0), wall) else { panic!() };
//! election.handle_written(at(1), Ok(Observed { uid: "u".into(), version: "1".into(), record }));
//! assert_eq!(election.poll_event(), Some(Event::Holder(None)));
//! assert!(matches!(election.poll_event(), Some(Event::Elected(_))));
//! assert!(election.token(at(1)).is_some());      // ask right before each act
//! assert!(election.token(at(10)).is_none());     // nobody renewed: over, whatever the server thinks
//! ```
//!
//! Thousands of leases are one [`Election`] each (well under a kilobyte, one shared [`Settings`]), fed by one watch: see
//! [`Settings::watched`]. A single lease is simplest with the feature `driver`: a task around the machine (`Elector`), and the fence that
//! everybody who acts asks right before each act (`Leadership::token`). The feature `kube` brings its requests.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(feature = "driver")]
mod driver;
mod election;
mod record;
mod settings;
#[cfg(feature = "driver")]
mod transport;

#[cfg(feature = "driver")]
pub use driver::{Elector, Leadership, Standing};
pub use election::{Deposed, Election, Event, Failure, Request};
pub use record::{Observed, Record, Token};
pub use settings::{Settings, SettingsError};
#[cfg(feature = "kube")]
pub use transport::KubeLease;
#[cfg(feature = "driver")]
pub use transport::Transport;
