//! What all sessions of a speaker share: configuration, RIB, randomness, and the queues towards the driver.
//!
//! Invariant: [`Shared::conns`] lists exactly the connections that some peer's slot holds, so an event for any other
//! connection is late and is ignored.

use std::collections::{BTreeSet, VecDeque};

use bgp_wire::{KEEPALIVE, Notification};
use bytes::Bytes;
use hashbrown::HashMap;
use rand_pcg::Pcg32;

use crate::config::SpeakerConfig;
use crate::event::{Action, Event, Transmit};
use crate::gr::restarting::Restarting;
use crate::ids::{ConnId, PeerId};
use crate::rib::Rib;
use crate::session::collision::{Identity, Side};
use crate::time::Time;

pub(crate) type ConnMap = HashMap<ConnId, (PeerId, Side), foldhash::fast::FixedState>;

/// State beside the peers.
pub(crate) struct Shared {
    pub(crate) config: SpeakerConfig,
    pub(crate) rib: Rib,
    /// Whether we restart. While we do, no UPDATE leaves.
    pub(crate) restarting: Restarting,
    pub(crate) rng: Pcg32,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) conns: ConnMap,
    /// Peers whose session is Established, in order.
    pub(crate) established: BTreeSet<PeerId>,
    /// When which peer has to be looked at, at the latest.
    pub(crate) wake: BTreeSet<(Time, PeerId)>,
    next_conn: ConnId,
}

impl Shared {
    pub(crate) fn new(config: SpeakerConfig, rib: Rib, restarting: Restarting, rng: Pcg32) -> Self {
        Self {
            config,
            rib,
            restarting,
            rng,
            actions: VecDeque::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            conns: ConnMap::default(),
            established: BTreeSet::new(),
            wake: BTreeSet::new(),
            next_conn: ConnId::new(0),
        }
    }

    /// A number for a connection to be dialed.
    pub(crate) fn new_conn(&mut self) -> ConnId {
        let conn = self.next_conn;
        self.next_conn = conn.next();
        conn
    }

    /// The number that the next connection to be dialed will have.
    pub(crate) const fn next_conn(&self) -> ConnId {
        self.next_conn
    }

    /// Goes on counting connections from there.
    pub(crate) const fn set_next_conn(&mut self, next: ConnId) {
        self.next_conn = next;
    }

    /// Queues a message ahead of all UPDATEs.
    pub(crate) fn transmit(&mut self, conn: ConnId, bytes: Bytes) {
        self.transmits.push_back(Transmit { conn, bytes, due: None });
    }

    /// Queues a KEEPALIVE whose time came at `due`.
    pub(crate) fn transmit_keepalive(&mut self, conn: ConnId, due: Option<Time>) {
        self.transmits.push_back(Transmit { conn, bytes: Bytes::from_static(&KEEPALIVE), due });
    }

    /// What RFC 4271 §6.8 compares of us.
    pub(crate) fn identity(&self) -> Identity {
        Identity { router_id: self.config.router_id, asn: self.config.local_asn }
    }
}

/// Why an input is fed to a session.
pub(crate) struct Cause {
    pub(crate) reason: crate::reason::Reason,
    /// What [`super::fsm::Notice::Given`] sends.
    pub(crate) notification: Option<Notification>,
}

impl From<crate::reason::Reason> for Cause {
    fn from(reason: crate::reason::Reason) -> Self {
        let notification = reason.notification().cloned();
        Self { reason, notification }
    }
}
