//! Messages that go out: our OPEN, KEEPALIVE and NOTIFICATION ahead of everything, UPDATEs as the peer takes them.
//!
//! UPDATEs are not queued here. They are pulled from the RIB one by one while the driver's queue for the connection has
//! room, so a peer that reads slowly holds back its own routes and nobody's memory; what changes meanwhile is sent once,
//! in its last form.
//!
//! Invariants: no UPDATE is pulled while the driver holds [`SEND_QUEUE_LEN`] octets or more for the connection; while it
//! holds any, the send hold timer (RFC 9687) runs and is restarted only by progress.

use std::sync::Arc;

use bgp_wire::{
    AddPath, AddPathMode, Capability, ExtendedNextHop, Family, KEEPALIVE, MessageKind, Notification, Open,
    RouteRefresh,
};
use bytes::Bytes;

use crate::config::PeerConfig;
use crate::event::{EventKind, SEND_QUEUE_LEN, Transmit};
use crate::ids::ConnId;
use crate::session::backoff::jittered;
use crate::session::collision::Side;
use crate::session::negotiate::{Offer, add_path};
use crate::session::peer::Peer;
use crate::session::shared::Shared;
use crate::session::timers::{OPEN_HOLD_TIME, SLOW_AFTER, send_hold_time};
use crate::time::Time;
use crate::view::Direction;

impl Peer {
    /// What we put into our OPEN for this peer.
    pub(crate) fn offer(&self, shared: &Shared) -> Offer {
        let families = self.config.families;
        let mut capabilities: Vec<_> = families.iter().map(Capability::MultiProtocol).collect();
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::EnhancedRouteRefresh);
        if self.config.address.is_ipv6() && families.contains(Family::IPV4_UNICAST) {
            let tuple =
                ExtendedNextHop { nlri: Family::IPV4_UNICAST, next_hop_afi: Family::IPV6_UNICAST.afi };
            capabilities.push(Capability::ExtendedNextHop(vec![tuple]));
        }
        capabilities.push(Capability::ExtendedMessage);
        capabilities.extend(add_path_capability(&self.config));
        capabilities.extend(self.restart_capabilities(shared));
        capabilities.push(Capability::FourOctetAs(shared.config.local_asn));
        let internal = self.config.remote_asn == Some(shared.config.local_asn);
        capabilities.extend(self.config.role.filter(|_| !internal).map(Capability::Role));
        if let Some(host) = shared.config.hostname.clone() {
            capabilities.push(Capability::Fqdn { host, domain: String::new() });
        }
        Offer {
            local_asn: shared.config.local_asn,
            router_id: shared.config.router_id,
            remote_asn: self.config.remote_asn,
            remote_asns: Arc::clone(&self.config.remote_asns),
            timers: self.config.timers,
            families,
            capabilities,
            role: self.config.role,
            strict_role: self.config.strict_role,
        }
    }

    /// Whether the sessions that are up or coming up would have agreed on something else about add-path, had they begun with
    /// this configuration.
    pub(crate) fn add_path_differs(&self, wanted: &PeerConfig) -> bool {
        let ours: Vec<_> = add_path_capability(wanted).into_iter().collect();
        Side::BOTH.into_iter().map(|side| self.slot(side)).filter(|slot| slot.state.is_open()).any(|slot| {
            // Before the peer's OPEN ours is on the way, and the peer goes by that.
            let agreed = slot.conn.as_ref().and_then(|conn| conn.negotiated.as_ref());
            agreed.is_none_or(|agreed| {
                let now = add_path(&ours, &agreed.capabilities_received, agreed.families);
                now != (agreed.add_path_receive, agreed.add_path_send)
            })
        })
    }

    pub(crate) fn send_open(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let offer = self.offer(shared);
        let open = Open {
            asn: offer.local_asn,
            hold_time: offer.timers.hold,
            router_id: offer.router_id,
            capabilities: offer.capabilities.clone(),
        };
        // Only the host name has no bound of its own; without it an OPEN always fits.
        let encoded = open.encode().or_else(|_| {
            let mut short = open.clone();
            short.capabilities.retain(|capability| !matches!(capability, Capability::Fqdn { .. }));
            short.encode()
        });
        if let Ok(bytes) = encoded {
            self.sent.opens += 1;
            self.send(side, bytes, shared, now);
        }
        if let Some(conn) = self.slot_mut(side).conn.as_mut() {
            conn.timers.hold = Some(now + OPEN_HOLD_TIME);
            conn.offer = Some(offer);
        }
    }

    /// Sends a KEEPALIVE and sets the time for the next one.
    pub(crate) fn send_keepalive(&mut self, side: Side, shared: &mut Shared, now: Time) {
        if let Some(conn) = self.slot_mut(side).conn.as_mut() {
            shared.transmit_keepalive(conn.id, conn.keepalive_due.take());
            self.sent.keepalives += 1;
            self.count_sent(side, KEEPALIVE.len(), now);
        }
        self.arm_keepalive(side, shared, now);
    }

    fn arm_keepalive(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let Some(conn) = self.slot_mut(side).conn.as_mut() else { return };
        let interval = conn.negotiated.as_ref().map(|negotiated| negotiated.keepalive_interval);
        conn.timers.keepalive = interval
            .filter(|interval| !interval.is_zero())
            .map(|interval| now + jittered(interval, &mut shared.rng));
    }

    /// Brings the next KEEPALIVE forward after the interval became shorter.
    pub(crate) fn hasten_keepalive(&mut self, shared: &mut Shared, now: Time) {
        for side in Side::BOTH {
            if self.slot(side).conn.as_ref().is_some_and(|conn| conn.timers.keepalive.is_some()) {
                self.arm_keepalive(side, shared, now);
            }
        }
    }

    pub(crate) fn send_notification(
        &mut self,
        side: Side,
        notification: Notification,
        shared: &mut Shared,
        now: Time,
    ) {
        self.sent.notifications += 1;
        self.history.record_notification(now, Direction::Sent, &notification);
        self.send(side, notification.encode(), shared, now);
        self.emit(EventKind::NotificationSent(notification), shared);
    }

    /// Asks the peer for its routes again.
    pub(crate) fn request_refresh(&mut self, side: Side, family: Family, shared: &mut Shared, now: Time) {
        self.sent.route_refreshes += 1;
        self.send(side, RouteRefresh::request(family).encode(), shared, now);
    }

    /// Hands over a message that is not an UPDATE.
    fn send(&mut self, side: Side, bytes: Bytes, shared: &mut Shared, now: Time) {
        let len = bytes.len();
        let Some(conn) = self.slot(side).conn.as_ref().map(|conn| conn.id) else { return };
        shared.transmit(conn, bytes);
        self.count_sent(side, len, now);
    }

    fn count_sent(&mut self, side: Side, len: usize, now: Time) {
        self.sent.octets += len as u64;
        self.last_write = Some(now);
        let (hold_time, _) = self.intervals();
        if let Some(conn) = self.slot_mut(side).conn.as_mut() {
            conn.queued += len;
            conn.timers.send_hold.get_or_insert_with(|| now + send_hold_time(hold_time));
            if conn.slow_since.is_none() {
                conn.timers.slow.get_or_insert_with(|| now + SLOW_AFTER);
            }
        }
    }

    /// The driver wrote some: `free` octets of its queue are free now.
    pub(crate) fn writable(&mut self, side: Side, conn: ConnId, free: usize, shared: &mut Shared, now: Time) {
        let (hold_time, _) = self.intervals();
        let Some(held) = self.slot_mut(side).conn.as_mut().filter(|held| held.id == conn) else { return };
        let queued = SEND_QUEUE_LEN.saturating_sub(free);
        if queued == 0 {
            held.timers.send_hold = None;
            held.timers.slow = None;
        } else if queued < held.queued {
            held.timers.send_hold = Some(now + send_hold_time(hold_time));
        }
        held.queued = queued;
        if queued == 0 && held.slow_since.is_some() {
            self.recover(side, shared, now);
        }
    }

    /// The queue has not been empty for [`SLOW_AFTER`].
    pub(crate) fn become_slow(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let Some(conn) = self.slot_mut(side).conn.as_mut().filter(|conn| conn.queued > 0) else { return };
        conn.slow_since = Some(Time::ZERO + now.since(Time::ZERO + SLOW_AFTER));
        let queued = conn.queued;
        self.slow_count += 1;
        self.emit(EventKind::SlowPeer { queued, since: SLOW_AFTER }, shared);
    }

    /// What was queued is gone, in one way or the other.
    pub(crate) fn recover(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let slow = self.slot_mut(side).conn.as_mut().and_then(|conn| conn.slow_since.take());
        if let Some(since) = slow {
            self.emit(EventKind::SlowPeerOver { lasted: now - since }, shared);
        }
    }

    /// The next UPDATE, if the RIB has one and the driver has room for it.
    pub(crate) fn poll_update(&mut self, shared: &mut Shared, now: Time) -> Option<Transmit> {
        if shared.restarting.is_deferring() {
            return None;
        }
        let side = self.established_side()?;
        let conn = self.slot(side).conn.as_ref()?;
        let id = conn.id;
        if conn.queued >= SEND_QUEUE_LEN {
            return None;
        }
        let mut next = shared.rib.poll_output(self.id, now);
        if next.is_none() && !self.refresh_pending.is_empty() {
            for family in std::mem::take(&mut self.refresh_pending).iter() {
                shared.rib.refresh_out(self.id, family, now);
            }
            next = shared.rib.poll_output(self.id, now);
        }
        let bytes = next?;
        // The markers of a refresh go the way of the routes between them.
        match bytes.get(18).copied().and_then(MessageKind::from_code) {
            Some(MessageKind::RouteRefresh) => self.sent.route_refreshes += 1,
            _ => self.sent.updates += 1,
        }
        self.count_sent(side, bytes.len(), now);
        // RFC 4271 §4.4: an UPDATE says as much as a KEEPALIVE.
        self.arm_keepalive(side, shared, now);
        Some(Transmit { conn: id, bytes, due: None })
    }
}

/// Our ADD-PATH capability (RFC 7911 §4), if there is anything to say.
fn add_path_capability(config: &PeerConfig) -> Option<Capability> {
    let (receive, send) = config.add_path.offered(config.families);
    let entry = |family| {
        let mode = match (receive.contains(family), send.contains(family)) {
            (true, true) => AddPathMode::Both,
            (true, false) => AddPathMode::Receive,
            (false, true) => AddPathMode::Send,
            (false, false) => return None,
        };
        Some(AddPath { family, mode })
    };
    let entries: Vec<_> = config.families.iter().filter_map(entry).collect();
    (!entries.is_empty()).then_some(Capability::AddPath(entries))
}
