//! Dynamic neighbours: peers that a connection makes and that go away when their session is over.
//!
//! A peer without a session stays for [`LINGER`], so that one that comes back at once is the same peer with its history and
//! counters; for as long as its routes are kept for a graceful restart; and for as long as an operator or a prefix limit
//! holds it down. When the limit is reached, the one that lingers longest makes room.
//!
//! Invariant: there are never more dynamic peers of a group than its limit says, and none whose range is not configured.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{PeerConfig, SpeakerConfig};
use crate::event::AcceptRefusal;
use crate::ids::PeerId;
use crate::session::{Peer, Run};
use crate::time::Time;

use super::Speaker;
use super::configure::ByName;

/// So long a peer without a session stays.
const LINGER: Duration = Duration::from_secs(60);

impl Peer {
    /// Whether nothing would be lost with this peer.
    fn is_over(&self) -> bool {
        let connected = self.dialed.conn.is_some() || self.accepted.conn.is_some();
        !connected && self.run == Run::Enabled && self.helper.kept().is_empty()
    }

    /// Notes when a dynamic peer goes away, or that it does not.
    pub(crate) fn note_forgetting(&mut self, now: Time) {
        if self.config.dynamic.is_none() || !self.is_over() {
            self.forget_at = None;
        } else if self.forget_at.is_none() {
            self.forget_at = Some(now + LINGER);
        }
    }
}

impl Speaker {
    /// Makes a peer for a connection that no peer is configured for.
    pub(super) fn make_dynamic(
        &mut self,
        local: IpAddr,
        remote: IpAddr,
        now: Time,
    ) -> Result<PeerId, AcceptRefusal> {
        let Some(group) = self.shared.config.dynamic_for(remote) else {
            return Err(AcceptRefusal::UnknownPeer { remote });
        };
        let (name, limit, config) = (Arc::clone(&group.name), group.limit, group.peer(remote));
        if config.shutdown {
            return Err(AcceptRefusal::AdminDown { peer: name, text: None });
        }
        if let Some(expected) = config.local_address.filter(|expected| *expected != local) {
            return Err(AcceptRefusal::LocalAddress { peer: name, expected, actual: local });
        }
        if self.peers.values().any(|peer| peer.config.name == config.name) {
            // A static peer is called like this address and has another one.
            return Err(AcceptRefusal::UnknownPeer { remote });
        }
        let of_group = |peer: &&Peer| peer.config.dynamic.as_ref() == Some(&name);
        let count = self.peers.values().filter(of_group).count();
        if u32::try_from(count).is_ok_and(|count| count >= limit) {
            let lingering = self.peers.values().filter(of_group).filter(|peer| peer.is_over());
            let Some(oldest) = lingering.min_by_key(|peer| peer.forget_at).map(|peer| peer.id) else {
                return Err(AcceptRefusal::DynamicLimit { group: name, limit });
            };
            self.remove_peer(oldest, now);
        }
        Ok(self.add_peer(config, now))
    }

    /// Lets a dynamic peer go whose time has come.
    pub(super) fn forget(&mut self, id: PeerId, now: Time) {
        let due = |peer: &Peer| peer.is_over() && peer.forget_at.is_some_and(|at| at <= now);
        if self.peers.get(&id).is_some_and(due) {
            self.remove_peer(id, now);
        }
    }
}

/// What a configuration wants a peer to be: a static one by its name, a dynamic one by its address as long as no static one
/// has taken its name or address.
pub(super) fn wanted(config: &SpeakerConfig, named: &ByName<'_>, peer: &Peer) -> Option<PeerConfig> {
    let current = &peer.config;
    let Some(group) = &current.dynamic else { return named.get(&*current.name).map(|new| (*new).clone()) };
    let taken = named.contains_key(&*current.name)
        || config.peers.iter().any(|other| other.address == current.address);
    let found = config.dynamic_for(current.address).filter(|found| !taken && found.name == *group)?;
    Some(found.peer(current.address))
}
