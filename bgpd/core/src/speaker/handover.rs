//! The speaker to a value and back ([`crate::handover`]).
//!
//! Invariant: an imported speaker has sent nothing and dialed nobody that the exported one had a session with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::SeedableRng;
use rand_pcg::Pcg32;

use crate::config::SpeakerConfig;
use crate::handover::{ExportError, Handover, ImportError, SpeakerState};
use crate::ids::{ConnId, PeerId};
use crate::reason::Reason;
use crate::rib::Rib;
use crate::session::shared::Shared;
use crate::session::{Peer, State};
use crate::time::Time;

use super::{Speaker, configure, note_wake};

impl Speaker {
    /// The speaker as a value, for another process. Call it when there is nothing left to poll but UPDATEs: what
    /// [`Speaker::poll_transmit`] and [`Speaker::poll_action`] would give is not part of it. Nothing is changed.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(&self) -> Result<Handover, ExportError> {
        if self.stopped {
            return Err(ExportError::Stopping);
        }
        let name = |id: PeerId| {
            let peer = self.peers.get(&id);
            peer.map_or_else(|| "ourselves".to_owned(), |peer| peer.config.name.to_string())
        };
        let routes = self
            .shared
            .rib
            .export()
            .map_err(|(peer, source)| ExportError::Encode { peer: name(peer), source })?;
        let state = SpeakerState {
            next_peer: self.next_peer,
            next_conn: self.shared.next_conn(),
            restarting: self.shared.restarting.clone(),
            peers: self.peers.values().map(|peer| peer.export(&self.shared)).collect(),
        };
        Ok(Handover { state, routes })
    }

    /// A speaker that goes on where the exported one stopped. `config` is the configuration that was in force there, and
    /// `now` is on the same clock.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn import(
        config: SpeakerConfig,
        seed: u64,
        handover: Handover,
        now: Time,
    ) -> Result<Self, ImportError> {
        let Handover { state, routes } = handover;
        let rib = Rib::new(configure::rib_config(&config));
        let mut shared = Shared::new(config, rib, state.restarting, Pcg32::seed_from_u64(seed));
        shared.set_next_conn(state.next_conn);
        let own = shared.config.take_routes();
        shared.rib.set_local_routes(own, now);
        let mut speaker = Self {
            shared,
            peers: BTreeMap::new(),
            next_peer: state.next_peer,
            turn: PeerId::new(0),
            stopped: false,
        };
        let mut known: BTreeMap<Arc<str>, _> =
            state.peers.into_iter().map(|peer| (Arc::clone(&peer.name), peer)).collect();
        let mut configs = speaker.shared.config.peers.clone();
        for address in known.values().filter_map(|peer| peer.dynamic) {
            let range = speaker.shared.config.dynamic_for(address);
            configs.extend(range.map(|group| group.peer(address)));
        }
        for config in configs {
            let name = Arc::clone(&config.name);
            let state = known.remove(&name).ok_or_else(|| ImportError::PeerMissing(name.to_string()))?;
            let mut peer = Peer::new(state.id, config, now);
            peer.import(state, &mut speaker.shared, now);
            speaker.peers.insert(peer.id, peer);
        }
        if let Some(name) = known.into_keys().next() {
            return Err(ImportError::PeerUnknown(name.to_string()));
        }
        for frame in routes {
            speaker.shared.rib.resume_routes(frame)?;
        }
        speaker.shared.rib.resume_output();
        for peer in speaker.peers.values_mut() {
            if peer.state() == State::Idle && peer.idle_hold.is_none() {
                peer.start(Reason::Started, &mut speaker.shared, now);
            }
            note_wake(peer, &mut speaker.shared);
        }
        Ok(speaker)
    }

    /// The connections of Established sessions, with their peers. An importer has the same.
    pub fn established(&self) -> impl Iterator<Item = (ConnId, PeerId)> {
        let peers = self.peers.values();
        peers.filter_map(|peer| {
            let side = peer.established_side()?;
            Some((peer.slot(side).conn.as_ref()?.id, peer.id))
        })
    }
}

impl SpeakerState {
    /// The connections of the sessions that are handed over.
    #[must_use]
    pub fn connections(&self) -> BTreeSet<ConnId> {
        self.peers.iter().filter_map(crate::handover::peer::PeerState::conn).collect()
    }
}
