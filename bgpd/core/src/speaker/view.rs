//! Getters: what the speaker and its peers look like from outside.
//!
//! Invariant: a getter walks at most the list of peers, never a table of routes.

use crate::config::SpeakerConfig;
use crate::ids::PeerId;
use crate::rib::Rib;
use crate::session::{Peer, State};
use crate::view::{HistoryView, PeerView};

use super::Speaker;

impl Speaker {
    /// The configuration in force, without its routes: there may be many, and the RIB has them.
    #[must_use]
    pub fn config(&self) -> &SpeakerConfig {
        &self.shared.config
    }

    /// Whether this speaker restarts: it advertises nothing yet ([`Speaker::restarting`]).
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.shared.restarting.is_deferring()
    }

    /// The routes. All that shows them page by page is there.
    #[must_use]
    pub fn rib(&self) -> &Rib {
        &self.shared.rib
    }

    /// All peers, in the order they were configured.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.peers.values().map(view)
    }

    /// One peer.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<PeerView<'_>> {
        self.peers.get(&id).map(view)
    }

    /// One peer, by its name.
    #[must_use]
    pub fn peer_by_name(&self, name: &str) -> Option<PeerView<'_>> {
        self.peers.values().find(|peer| &*peer.config.name == name).map(view)
    }

    /// What happened to a peer's session.
    #[must_use]
    pub fn history(&self, id: PeerId) -> Option<HistoryView<'_>> {
        self.peers.get(&id).map(|peer| peer.history.view())
    }
}

fn view(peer: &Peer) -> PeerView<'_> {
    let leading = peer.leading().conn.as_ref();
    let current = leading.and_then(|conn| conn.negotiated.as_ref());
    let negotiated = current.or(peer.last_negotiated.as_ref());
    let (hold_time, keepalive_interval) = peer.intervals();
    let next_connect = match peer.state() {
        State::Active => peer.retry,
        State::Idle => peer.idle_hold.filter(|_| !peer.config.passive),
        _ => None,
    };
    PeerView {
        id: peer.id,
        config: &peer.config,
        state: peer.state(),
        held: peer.held(),
        since: peer.since,
        created: peer.created,
        established_at: peer.established_at,
        established_count: peer.established_count,
        dropped_count: peer.dropped_count,
        remote_asn: peer.config.remote_asn.or_else(|| negotiated.map(|negotiated| negotiated.remote_asn)),
        remote_router_id: peer.remote_router_id,
        endpoints: leading.and_then(|conn| conn.endpoints),
        negotiated,
        hold_time,
        keepalive_interval,
        last_read: peer.last_read,
        last_write: peer.last_write,
        last_update: peer.last_update,
        next_connect,
        queued_out: leading.map_or(0, |conn| conn.queued),
        slow_since: leading.and_then(|conn| conn.slow_since),
        slow_count: peer.slow_count,
        queued_in: leading.map_or(0, |conn| conn.inbound.len()),
        received: &peer.received,
        sent: &peer.sent,
        last_reset: peer.history.last_reset(),
        last_connect_failure: peer.last_connect_failure.as_ref(),
        end_of_rib_received: peer.end_of_rib,
        stale: peer.helper.kept(),
        restart_deadline: peer.helper.restart_deadline(),
        stale_deadline: peer.helper.stale_deadline(),
        drains: peer.drains(),
        long_lived_deadlines: peer.helper.long_lived(),
    }
}
