//! The facade: one BGP speaker, and the only type a driver talks to.
//!
//! The speaker finds the peer that an input is about, lets it act, and notes when it wants to be woken. It decides nothing
//! about sessions or routes itself.
//!
//! Invariant: after every `handle_*`, the wake-up noted for each peer is not later than the peer's earliest deadline. It may
//! be earlier: deadlines that only move away (a hold timer that each message restarts) are not noted again until the old
//! one comes.

mod check;
mod configure;
mod dynamic;
mod handover;
mod view;

pub use configure::plan_between;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use bgp_wire::{Family, Notification, cease};
use rand_core::SeedableRng;
use rand_pcg::Pcg32;

use crate::config::SpeakerConfig;
use crate::event::{AcceptRefusal, Action, CloseReason, Command, CommandRefusal, Endpoints, Event, Transmit};
use crate::gr::restarting::{Input, Restarting};
use crate::ids::{ConnId, PeerId};
use crate::reason::Reason;
use crate::reconfigure::ConfigChange;
use crate::rib::Rib;
use crate::session::collision::Side;
use crate::session::shared::Shared;
use crate::session::{Peer, Run};
use crate::time::Time;
use crate::view::{Direction, Order};

/// A BGP speaker. See the crate for how to drive it.
pub struct Speaker {
    shared: Shared,
    peers: BTreeMap<PeerId, Peer>,
    next_peer: u32,
    /// The peer that was asked for an UPDATE last: the next one has its turn.
    turn: PeerId,
    stopped: bool,
}

impl Speaker {
    /// A speaker that begins to dial its peers at once. All its randomness comes from `seed`.
    #[must_use]
    pub fn new(config: SpeakerConfig, seed: u64, now: Time) -> Self {
        Self::start(config, seed, false, now)
    }

    /// A speaker that takes over from one that crashed or was replaced, within its Restart Time (RFC 4724 §4.1): it says so
    /// to its peers (R) and advertises nothing before [`Speaker::handle_intent_complete`] was called and its peers with
    /// graceful restart have sent their routes.
    #[must_use]
    pub fn restarting(config: SpeakerConfig, seed: u64, now: Time) -> Self {
        Self::start(config, seed, true, now)
    }

    fn start(config: SpeakerConfig, seed: u64, restarting: bool, now: Time) -> Self {
        let restarting = Restarting::new(restarting, config.selection_deferral, now);
        let rib = Rib::new(configure::rib_config(&config));
        let shared = Shared::new(config, rib, restarting, Pcg32::seed_from_u64(seed));
        let mut speaker =
            Self { shared, peers: BTreeMap::new(), next_peer: 0, turn: PeerId::new(0), stopped: false };
        speaker.apply_initial(now);
        speaker
    }

    /// Takes a new configuration and resets what cannot go on with it, and only that. Says what was done to which peer.
    pub fn handle_config(&mut self, config: SpeakerConfig, now: Time) -> Vec<ConfigChange> {
        if self.stopped {
            return Vec::new();
        }
        self.apply(config, now)
    }

    /// Everybody who had routes here before a restart has given them again: those in the configuration are all. Only a
    /// speaker that restarts waits for this.
    pub fn handle_intent_complete(&mut self, now: Time) {
        self.shared.restarting.feed(Input::IntentComplete, now);
    }

    /// A dial that [`Action::Connect`] asked for came through.
    pub fn handle_connected(&mut self, conn: ConnId, endpoints: Endpoints, now: Time) {
        let known = self.with_conn(conn, |peer, _, shared| peer.connected(conn, endpoints, shared, now));
        if known.is_none() {
            // Given up in the meantime.
            self.shared.actions.push_back(Action::Close { conn });
        }
    }

    /// A dial that [`Action::Connect`] asked for did not come through; `text` says why.
    pub fn handle_connect_failed(&mut self, conn: ConnId, text: impl Into<Arc<str>>, now: Time) {
        let text = text.into();
        self.with_conn(conn, |peer, _, shared| peer.connect_failed(conn, text, shared, now));
    }

    /// The listener accepted a connection, which the driver numbered `conn`.
    ///
    /// `interface` is where it came in; it is looked at for link-local peers only.
    ///
    /// # Errors
    /// The connection is not wanted: write [`AcceptRefusal::notification`] and close it.
    pub fn handle_accepted(
        &mut self,
        conn: ConnId,
        endpoints: Endpoints,
        interface: Option<&str>,
        now: Time,
    ) -> Result<PeerId, AcceptRefusal> {
        if self.shared.conns.contains_key(&conn) {
            return Err(AcceptRefusal::DuplicateConnection(conn));
        }
        let (local, remote) = (endpoints.local.ip().to_canonical(), endpoints.remote.ip().to_canonical());
        let id = match self.find_peer(local, remote, interface) {
            Err(AcceptRefusal::UnknownPeer { .. }) if !self.stopped => {
                self.make_dynamic(local, remote, now)?
            }
            found => found?,
        };
        let Some(peer) = self.peers.get_mut(&id) else { return Err(AcceptRefusal::UnknownPeer { remote }) };
        let outcome = peer.accept(conn, endpoints, &mut self.shared, now);
        if let Err(refusal) = &outcome {
            peer.history.record_notification(now, Direction::Sent, &refusal.notification());
        }
        note_wake(peer, &mut self.shared);
        outcome.map(|()| id)
    }

    /// Octets came in on a connection, in any portions.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Time) {
        self.with_conn(conn, |peer, side, shared| peer.receive(side, conn, bytes, shared, now));
    }

    /// A connection ended.
    pub fn handle_closed(&mut self, conn: ConnId, reason: CloseReason, now: Time) {
        self.with_conn(conn, |peer, side, shared| peer.closed(side, conn, reason, shared, now));
    }

    /// The driver wrote something to the socket; `free` octets of its queue for this connection are free now, of
    /// [`crate::SEND_QUEUE_LEN`].
    pub fn handle_writable(&mut self, conn: ConnId, free: usize, now: Time) {
        self.with_conn(conn, |peer, side, shared| peer.writable(side, conn, free, shared, now));
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.shared.restarting.feed(Input::Timeout, now);
        // Each peer is looked at once per call, whatever its deadlines do meanwhile: the work is bounded.
        let due: Vec<_> = self.shared.wake.iter().take_while(|(at, _)| *at <= now).copied().collect();
        for (at, id) in due {
            self.shared.wake.remove(&(at, id));
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.wake = None;
                peer.handle_timeout(&mut self.shared, now);
                peer.note_forgetting(now);
                note_wake(peer, &mut self.shared);
                self.forget(id, now);
            }
        }
    }

    /// An operator wants something.
    ///
    /// # Errors
    /// It cannot be done; nothing was changed.
    pub fn handle_command(&mut self, command: Command, now: Time) -> Result<(), CommandRefusal> {
        match command {
            Command::Reset { peer, text } => self.with_peer(peer, |peer, shared| {
                peer.history.record_order(now, Order::Reset { text: text.clone() });
                let notification = Notification::cease(cease::ADMINISTRATIVE_RESET, text.as_deref());
                if peer.run == Run::PrefixLimit {
                    peer.run = Run::Enabled;
                }
                peer.forgive();
                peer.idle_hold = None;
                peer.stop(&Reason::AdminReset { text }, &notification, shared, now);
                Ok(())
            }),
            Command::Disable { peer, text } => self.with_peer(peer, |peer, shared| {
                peer.history.record_order(now, Order::Disabled { text: text.clone() });
                if peer.run != Run::Shutdown && peer.run != Run::Stopped {
                    peer.run = Run::Disabled(text.clone());
                }
                let notification = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, text.as_deref());
                peer.stop(&Reason::AdminShutdown { text }, &notification, shared, now);
                Ok(())
            }),
            Command::Enable { peer } => self.with_peer(peer, |peer, shared| {
                peer.history.record_order(now, Order::Enabled);
                if matches!(peer.run, Run::Disabled(_)) {
                    peer.run = Run::Enabled;
                    peer.forgive();
                    peer.start(Reason::Started, shared, now);
                }
                Ok(())
            }),
            Command::SoftIn { peer, family } => self.with_peer(peer, |peer, shared| {
                let (side, families) = refreshable(peer, family)?;
                if !peer.last_negotiated.as_ref().is_some_and(|negotiated| negotiated.route_refresh) {
                    return Err(CommandRefusal::NoRouteRefresh);
                }
                peer.history.record_order(now, Order::SoftIn);
                for family in families {
                    peer.request_refresh(side, family, shared, now);
                }
                Ok(())
            }),
            Command::SoftOut { peer, family } => self.with_peer(peer, |peer, _| {
                let (_, families) = refreshable(peer, family)?;
                peer.history.record_order(now, Order::SoftOut);
                for family in families {
                    peer.refresh_pending.insert(family);
                }
                Ok(())
            }),
            Command::Drain { peer } => self.with_peer(peer, |peer, shared| {
                if !std::mem::replace(&mut peer.drained, true) {
                    peer.history.record_order(now, Order::Drained);
                    peer.apply_drain(shared, now);
                }
                Ok(())
            }),
            Command::Undrain { peer } => self.with_peer(peer, |peer, shared| {
                if std::mem::replace(&mut peer.drained, false) {
                    peer.history.record_order(now, Order::Undrained);
                    peer.apply_drain(shared, now);
                }
                if peer.drains() { Err(CommandRefusal::DrainedByConfig) } else { Ok(()) }
            }),
            Command::Stop { text } => {
                self.stopped = true;
                let notification = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, text.as_deref());
                let reason = Reason::Stopped { text };
                for peer in self.peers.values_mut() {
                    peer.run = Run::Stopped;
                    peer.stop(&reason, &notification, &mut self.shared, now);
                }
                Ok(())
            }
            Command::Leave => {
                self.stopped = true;
                for peer in self.peers.values_mut() {
                    peer.run = Run::Stopped;
                    peer.leave(&mut self.shared, now);
                }
                Ok(())
            }
        }
    }

    /// The next thing the driver must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shared.actions.pop_front()
    }

    /// The next octets to send. KEEPALIVEs and NOTIFICATIONs come first; UPDATEs go out peer by peer in turn, as far as
    /// there is room for them.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Transmit> {
        if let Some(transmit) = self.shared.transmits.pop_front() {
            return Some(transmit);
        }
        for _ in 0..self.shared.established.len() {
            let Some(id) = self.next_turn() else { break };
            self.turn = id;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if let Some(transmit) = peer.poll_update(&mut self.shared, now) {
                note_wake(peer, &mut self.shared);
                return Some(transmit);
            }
        }
        None
    }

    /// The next thing an operator may want to see.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.events.pop_front()
    }

    /// When [`Speaker::handle_timeout`] has to be called, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let peers = self.shared.wake.first().map(|(at, _)| *at);
        peers.into_iter().chain(self.shared.restarting.deadline()).min()
    }

    /// The Established peer after the one that had its turn last.
    fn next_turn(&self) -> Option<PeerId> {
        let established = &self.shared.established;
        let after = established.range((Bound::Excluded(self.turn), Bound::Unbounded)).next();
        after.or_else(|| established.first()).copied()
    }

    fn with_conn<R>(
        &mut self,
        conn: ConnId,
        act: impl FnOnce(&mut Peer, Side, &mut Shared) -> R,
    ) -> Option<R> {
        let (id, side) = *self.shared.conns.get(&conn)?;
        let peer = self.peers.get_mut(&id)?;
        let result = act(peer, side, &mut self.shared);
        note_wake(peer, &mut self.shared);
        Some(result)
    }

    fn with_peer<R>(
        &mut self,
        id: PeerId,
        act: impl FnOnce(&mut Peer, &mut Shared) -> Result<R, CommandRefusal>,
    ) -> Result<R, CommandRefusal> {
        let peer = self.peers.get_mut(&id).ok_or(CommandRefusal::UnknownPeer)?;
        let result = act(peer, &mut self.shared);
        note_wake(peer, &mut self.shared);
        result
    }

    fn find_peer(
        &self,
        local: IpAddr,
        remote: IpAddr,
        interface: Option<&str>,
    ) -> Result<PeerId, AcceptRefusal> {
        let link_local = matches!(remote, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let same_link = |peer: &&Peer| !link_local || peer.config.interface.as_deref() == interface;
        let mut refusal = AcceptRefusal::UnknownPeer { remote };
        for peer in self.peers.values().filter(|peer| peer.config.address == remote).filter(same_link) {
            match peer.config.local_address {
                Some(expected) if expected != local => {
                    let name = Arc::clone(&peer.config.name);
                    refusal = AcceptRefusal::LocalAddress { peer: name, expected, actual: local };
                }
                _ => return Ok(peer.id),
            }
        }
        Err(refusal)
    }
}

/// Notes when a peer wants to be woken, if that is earlier than what is noted.
fn note_wake(peer: &mut Peer, shared: &mut Shared) {
    let Some(at) = peer.next_deadline() else { return };
    if peer.wake.is_some_and(|noted| noted <= at) {
        return;
    }
    if let Some(noted) = peer.wake.replace(at) {
        shared.wake.remove(&(noted, peer.id));
    }
    shared.wake.insert((at, peer.id));
}

/// The connection and the families that a soft reset is about.
fn refreshable(peer: &Peer, family: Option<Family>) -> Result<(Side, Vec<Family>), CommandRefusal> {
    let side = peer.established_side().ok_or(CommandRefusal::NotEstablished)?;
    let negotiated = peer.last_negotiated.as_ref().ok_or(CommandRefusal::NotEstablished)?;
    match family {
        None => Ok((side, negotiated.families.iter().collect())),
        Some(family) if negotiated.families.contains(family) => Ok((side, vec![family])),
        Some(family) => Err(CommandRefusal::FamilyNotNegotiated(family)),
    }
}

#[cfg(test)]
mod tests;
