//! The invariants of sessions, looked at from outside: for the simulator and for tests.

use crate::session::collision::Side;
use crate::session::{Peer, Run, State};

use super::Speaker;

impl Speaker {
    /// Looks at everything that must hold between calls. Walks all peers, no table.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        let mut conns = 0;
        for peer in self.peers.values() {
            self.check_peer(peer).map_err(|what| format!("peer {}: {what}", peer.config.name))?;
            conns += Side::BOTH.iter().filter(|side| peer.slot(**side).conn.is_some()).count();
        }
        if conns != self.shared.conns.len() {
            return Err(format!("{} connections are listed, peers hold {conns}", self.shared.conns.len()));
        }
        match self.shared.established.iter().find(|id| !self.peers.contains_key(*id)) {
            Some(id) => Err(format!("{id:?} is listed as established and does not exist")),
            None => Ok(()),
        }
    }

    fn check_peer(&self, peer: &Peer) -> Result<(), String> {
        let established =
            Side::BOTH.iter().filter(|side| peer.slot(**side).state == State::Established).count();
        if established > 1 {
            return Err("two connections are Established".into());
        }
        if self.shared.established.contains(&peer.id) != (established == 1) {
            return Err("the list of established peers is wrong".into());
        }
        for side in Side::BOTH {
            let slot = peer.slot(side);
            let listed = slot
                .conn
                .as_ref()
                .is_none_or(|conn| self.shared.conns.get(&conn.id) == Some(&(peer.id, side)));
            if !listed {
                return Err(format!("the {side:?} connection is not listed"));
            }
            let may_have_conn = slot.state.is_open() || slot.state == State::Connect;
            if slot.conn.is_some() != may_have_conn {
                return Err(format!(
                    "{side:?} is in {} with connection: {}",
                    slot.state,
                    slot.conn.is_some()
                ));
            }
        }
        peer.helper.check()?;
        let (kept, says) = (self.shared.rib.kept(peer.id), peer.helper.kept());
        if kept != says {
            return Err(format!("stale routes of {kept:?} are kept, the helper says {says:?}"));
        }
        let (refreshing, says) = (self.shared.rib.refreshing(peer.id), peer.refreshes.families());
        if refreshing != says {
            return Err(format!("{refreshing:?} are refreshed, deadlines are set for {says:?}"));
        }
        let connected = peer.dialed.conn.is_some() || peer.accepted.conn.is_some();
        if peer.run != Run::Enabled && connected {
            return Err(format!("{:?}, and has a connection", peer.run));
        }
        let listens = peer.config.passive && peer.dialed.state == State::Active;
        if peer.run == Run::Enabled && !connected && !listens && peer.session_deadline().is_none() {
            return Err(format!("in {} without a connection, it waits for nothing", peer.state()));
        }
        match (peer.wake, peer.next_deadline()) {
            (noted, Some(at)) if noted.is_none_or(|noted| noted > at) => {
                Err(format!("due at {at:?}, noted is {noted:?}"))
            }
            _ => Ok(()),
        }
    }
}
