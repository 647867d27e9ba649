//! One connection to a peer, from the dial or the accept to its end.
//!
//! Invariant: everything that belongs to a connection is in its [`Conn`]; dropping it is the cleanup.

use bgp_wire::{DecodeContext, EncodeContext, MAX_EXTENDED_LEN, MAX_LEN, PeerKind};

use crate::event::Endpoints;
use crate::ids::ConnId;
use crate::session::fsm::State;
use crate::session::inbound::Inbound;
use crate::session::negotiate::Offer;
use crate::session::timers::ConnTimers;
use crate::time::Time;
use crate::view::Negotiated;

/// A place for one connection and its state machine. A peer has two: one it dials, one it accepts.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) state: State,
    pub(crate) conn: Option<Conn>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    /// Absent while the dial is under way.
    pub(crate) endpoints: Option<Endpoints>,
    pub(crate) timers: ConnTimers,
    pub(crate) inbound: Inbound,
    /// What our OPEN said. The configuration may have changed since; the peer answers to this.
    pub(crate) offer: Option<Offer>,
    /// Set when an acceptable OPEN came in.
    pub(crate) negotiated: Option<Negotiated>,
    pub(crate) decode: DecodeContext,
    /// Octets handed to the driver that it did not report as written.
    pub(crate) queued: usize,
    /// Since when the queue has not been empty, once that is longer than usual.
    pub(crate) slow_since: Option<Time>,
    /// When the KEEPALIVE to be sent next was due.
    pub(crate) keepalive_due: Option<Time>,
    /// The driver knows that it ended.
    pub(crate) gone: bool,
}

impl Conn {
    pub(crate) fn new(id: ConnId, endpoints: Option<Endpoints>) -> Self {
        Self {
            id,
            endpoints,
            timers: ConnTimers::default(),
            inbound: Inbound::default(),
            offer: None,
            negotiated: None,
            decode: DecodeContext::new(PeerKind::External),
            queued: 0,
            slow_since: None,
            keepalive_due: None,
            gone: false,
        }
    }

    /// Takes over what two OPENs agreed on.
    pub(crate) fn agree(&mut self, negotiated: Negotiated, kind: PeerKind) {
        self.decode = DecodeContext {
            peer: kind,
            four_octet_as: negotiated.four_octet_as,
            families: negotiated.families,
            extended_next_hop: negotiated.extended_next_hop,
            add_path: negotiated.add_path_receive,
        };
        self.negotiated = Some(negotiated);
    }

    /// Longest message accepted on this connection. We offer extended messages to everybody, and it is the listener's
    /// offer that counts (RFC 8654 §4): a peer that sends one after its OPEN is within its rights, whatever it offers.
    pub(crate) const fn max_len(&self) -> usize {
        if self.negotiated.is_some() { MAX_EXTENDED_LEN } else { MAX_LEN }
    }
}

impl Negotiated {
    /// How UPDATEs for this session are written.
    pub(crate) const fn encode(&self) -> EncodeContext {
        EncodeContext {
            four_octet_as: self.four_octet_as,
            extended_message: self.extended_message,
            extended_next_hop: self.extended_next_hop,
            add_path: self.add_path_send,
        }
    }
}
