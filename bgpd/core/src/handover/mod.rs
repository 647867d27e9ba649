//! A speaker as a value: everything that another process needs to go on where this one stops, so that no peer notices.
//!
//! [`crate::Speaker::export`] looks and changes nothing; a speaker that was exported may go on as if nothing had been.
//! [`crate::Speaker::import`] makes a speaker that answers the next octet as the exported one would have: same timers (as
//! moments of a clock that both share), same half of a message, same tables, same idea of what each peer has been sent. From
//! there on the usual comparison of what a peer has with what it should have sends what is new, and nothing else.
//!
//! The configuration is not part of it. The importer is given the one that was in force at the exporter; a new one is applied
//! afterwards, as any change of configuration.
//!
//! Only sessions that are Established are carried over. What was on its way there is dialed anew.
//!
//! | file | what |
//! |---|---|
//! | `frame` | routes |
//! | `peer` | a neighbour and its session |
//! | `rib/handover.rs` | the tables to frames and back |
//! | `speaker/handover.rs` | all of it |
//!
//! Invariant: exporting what was imported gives the same value, apart from what time and dials have changed.

pub(crate) mod frame;
pub(crate) mod peer;

use serde::{Deserialize, Serialize};

use crate::gr::restarting::Restarting;
use crate::ids::ConnId;

use self::peer::PeerState;

pub use self::frame::{BadFrame, RouteFrame};

/// A speaker without its routes. What is in it is nobody's business but the importer's.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpeakerState {
    pub(crate) next_peer: u32,
    pub(crate) next_conn: ConnId,
    pub(crate) restarting: Restarting,
    pub(crate) peers: Vec<PeerState>,
}

/// A speaker, whole.
#[derive(Debug)]
pub struct Handover {
    /// Sessions, timers, counters, history.
    pub state: SpeakerState,
    /// Routes, in the order in which they have to be taken in.
    pub routes: Vec<RouteFrame>,
}

/// Why a speaker cannot be handed over. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It ends.
    #[error("the speaker is stopping")]
    Stopping,
    /// A route cannot be written down.
    #[error("a route from or to {peer} cannot be encoded: {source}")]
    Encode {
        /// Whose.
        peer: String,
        /// Why not.
        source: bgp_wire::EncodeError,
    },
}

/// Why a speaker cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The configuration has a peer that is not in the hand-over.
    #[error("peer {0} is configured and was not handed over")]
    PeerMissing(String),
    /// The hand-over has a peer that is not in the configuration.
    #[error("peer {0} was handed over and is not configured")]
    PeerUnknown(String),
    /// Routes of nobody.
    #[error("routes of a peer without a session were handed over (peer {0})")]
    RoutesUnknown(u32),
    /// Routes that cannot be read.
    #[error("routes of peer {peer} cannot be read: {fault}")]
    Routes {
        /// Whose.
        peer: u32,
        /// What is wrong.
        fault: String,
    },
}
