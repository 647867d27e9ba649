//! A TCP connection between two nodes, as far as BGP can tell: ordered octets, a window, an orderly end or a reset.
//!
//! Parcels arrive in the order they were sent, whatever the delay of each: an arrival takes the oldest parcel. While the
//! link is cut arrivals are only counted and happen when it is back, as if TCP had sent the parcels again.
//!
//! Invariant: no octet is lost, doubled or overtaken while both ends live.

use std::collections::VecDeque;
use std::sync::Arc;

use bgp_core::{ConnId, Time};
use bytes::Bytes;

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// Octets.
    Data(Bytes),
    /// The other side closed in order.
    Fin,
    /// The other side, or what is left of it, knows nothing of this connection.
    Reset(Arc<str>),
}

/// Where an end stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The dialing end before the answer, the other one before it is accepted.
    Waiting,
    /// Its speaker knows of it.
    Open,
    /// Its speaker is done with it, or was told that it ended. Queued octets may still be on their way.
    Closed,
    /// Its machine was restarted: it answers with a reset.
    Forgotten,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) conn: ConnId,
    pub(crate) phase: Phase,
    /// What the driver holds for the socket.
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) queued: usize,
    /// Octets sent to the other end that did not arrive.
    pub(crate) in_flight: usize,
    /// Close as soon as the queue is empty.
    pub(crate) closing: bool,
    pub(crate) fin_sent: bool,
    /// Parcels on their way to this end, oldest first.
    pub(crate) inbox: VecDeque<Parcel>,
    /// Arrivals that could not happen yet.
    pub(crate) held: usize,
    /// When the last parcel on its way to this end arrives.
    pub(crate) last_arrival: Time,
}

impl End {
    fn new(node: usize, conn: ConnId) -> Self {
        Self {
            node,
            conn,
            phase: Phase::Waiting,
            queue: VecDeque::new(),
            queued: 0,
            in_flight: 0,
            closing: false,
            fin_sent: false,
            inbox: VecDeque::new(),
            held: 0,
            last_arrival: Time::ZERO,
        }
    }

    /// Puts octets into the driver's queue.
    pub(crate) fn enqueue(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Takes up to `room` octets out of the driver's queue.
    pub(crate) fn dequeue(&mut self, room: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        let taken = front.split_to(room.min(front.len()));
        if front.is_empty() {
            self.queue.pop_front();
        }
        self.queued -= taken.len();
        Some(taken)
    }

    /// Forgets everything that is under way.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.queued = 0;
        self.closing = false;
    }
}

/// A connection. End 0 dialed.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) link: usize,
    pub(crate) window: usize,
    pub(crate) ends: [End; 2],
}

impl Stream {
    pub(crate) fn new(
        link: usize,
        window: usize,
        dialer: (usize, ConnId),
        listener: (usize, ConnId),
    ) -> Self {
        let ends = [End::new(dialer.0, dialer.1), End::new(listener.0, listener.1)];
        Self { link, window, ends }
    }
}
