//! A session and graceful restart: what the helper machine and the restart of the speaker are told, and what their answers
//! do (RFC 4724, RFC 8538, RFC 9494).
//!
//! Invariant: the RIB keeps stale routes of exactly the families that the peer's [`Helper`](crate::gr::helper::Helper) says
//! it keeps.

use std::time::Duration;

use bgp_wire::{Capability, Family, FamilySet, Notification, PeerKind};

use crate::event::EventKind;
use crate::gr::capability::{Agreed, offered, offered_long_lived};
use crate::gr::helper::{Ending, FAMILIES, Kept, SweepCause};
use crate::gr::restarting::Input;
use crate::reason::Reason;
use crate::rib::PeerParams;
use crate::session::collision::Side;
use crate::session::fsm::State;
use crate::session::peer::{Peer, Run};
use crate::session::shared::Shared;
use crate::time::Time;

impl Peer {
    /// Our graceful restart capabilities, if it is configured.
    pub(crate) fn restart_capabilities(&self, shared: &Shared) -> Vec<Capability> {
        let Some(restart) = self.config.graceful_restart else { return Vec::new() };
        let stayed = shared.restarting.restarted() || self.established_count > 0;
        let preserved = shared.config.forwarding_preserved && stayed;
        let restarting = shared.restarting.is_deferring();
        let families = self.config.families;
        vec![
            offered(families, restart.restart_time, restarting, preserved),
            offered_long_lived(families, restart.long_lived_time, preserved),
        ]
    }

    /// Whether long-lived stale routes go to the peer although it may not know them: internal peers only (RFC 9494 §4.6).
    pub(crate) fn demotes_long_lived(&self, remote_asn: u32, shared: &Shared) -> bool {
        let wanted = self.config.graceful_restart.is_some_and(|restart| restart.demote_long_lived);
        wanted && Self::kind(shared, remote_asn) == PeerKind::Internal
    }

    /// The RIB learns of a session, and what the peer lost in between goes before.
    pub(crate) fn routes_up(&mut self, params: PeerParams, agreed: &Agreed, shared: &mut Shared, now: Time) {
        let families = params.families;
        let lost = self.helper.back(agreed, now);
        self.sweep(lost, SweepCause::NotPreserved, shared);
        shared.rib.peer_up(self.id, params, now);
        if shared.rib.kept(self.id) != self.helper.kept() {
            // Another speaker answers under this address: nothing of the one before is his.
            let given = self.helper.give_up();
            self.sweep(given, SweepCause::NotPreserved, shared);
        }
        let awaited = if agreed.both && !agreed.restarting { families } else { FamilySet::EMPTY };
        shared.restarting.feed(Input::Up(self.id, awaited), now);
    }

    /// The RIB learns that a session ended: its routes are kept for a while, or go.
    pub(crate) fn routes_down(&mut self, reason: &Reason, shared: &mut Shared, now: Time) {
        let mut agreed = self.last_negotiated.as_ref().map(Agreed::of).unwrap_or_default();
        let stale_time = self.config.graceful_restart.and_then(|restart| restart.stale_time);
        agreed.stale_time = stale_time.map(|seconds| Duration::from_secs(seconds.into()));
        let Kept { families, with_stale, aged } = self.helper.lost(&agreed, ending(reason), now);
        let routes = shared.rib.peer_down_stale(self.id, families, with_stale, now);
        if !families.is_empty() {
            let within = self.helper.restart_deadline().map_or(Duration::ZERO, |until| until.since(now));
            self.emit(EventKind::StaleKept { families, routes, within }, shared);
        }
        self.age(aged, shared, now);
        shared.restarting.feed(Input::Down(self.id), now);
    }

    /// End-of-RIB came in.
    pub(crate) fn routes_complete(&mut self, family: Family, shared: &mut Shared, now: Time) {
        if self.helper.end_of_rib(family) {
            self.sweep([family].into_iter().collect(), SweepCause::EndOfRib, shared);
            // While routes were stale they were not counted.
            self.check_prefix_limits(shared, now);
        }
        shared.restarting.feed(Input::EndOfRib(self.id, family), now);
    }

    /// The peer was stopped on purpose: it is not expected back to what it was.
    pub(crate) fn routes_given_up(&mut self, shared: &mut Shared, now: Time) {
        let families = self.helper.give_up();
        self.sweep(families, SweepCause::Given, shared);
        if self.run != Run::Enabled {
            shared.restarting.feed(Input::Gone(self.id), now);
        }
    }

    /// Acts on the helper's deadlines.
    pub(crate) fn restart_timeout(&mut self, shared: &mut Shared, now: Time) {
        while let Some(expired) = self.helper.handle_timeout(now) {
            self.age(expired.aged, shared, now);
            self.sweep(expired.swept, expired.cause, shared);
            // While routes were stale they were not counted.
            self.check_prefix_limits(shared, now);
        }
    }

    /// Stale routes become a last resort; those that must not live that long go (RFC 9494 §4.2).
    fn age(&self, families: FamilySet, shared: &mut Shared, now: Time) {
        let deadlines = FAMILIES.into_iter().zip(self.helper.long_lived_deadlines());
        for (family, until) in deadlines.filter(|(family, _)| families.contains(*family)) {
            let (routes, removed) = shared.rib.age_stale(self.id, family);
            let within = until.map_or(Duration::ZERO, |until| until.since(now));
            self.emit(EventKind::LongLivedBegun { family, routes, within }, shared);
            if removed > 0 {
                let cause = SweepCause::NoLongLived;
                self.emit(EventKind::StaleSwept { family, routes: removed, cause }, shared);
            }
        }
    }

    /// The NOTIFICATION that ends a connection on purpose: to a peer that would keep our routes after it (RFC 8538), a Hard
    /// Reset.
    pub(crate) fn final_notification(&self, side: Side, notification: &Notification) -> Notification {
        let slot = self.slot(side);
        let negotiated = slot.conn.as_ref().and_then(|conn| conn.negotiated.as_ref());
        let agreed = negotiated.filter(|_| slot.state == State::Established).map(Agreed::of);
        if agreed.is_some_and(|agreed| agreed.notification) && !notification.is_hard_reset() {
            notification.clone().into_hard_reset()
        } else {
            notification.clone()
        }
    }

    fn sweep(&self, families: FamilySet, cause: SweepCause, shared: &mut Shared) {
        for family in families.iter() {
            let routes = shared.rib.sweep_stale(self.id, family);
            self.emit(EventKind::StaleSwept { family, routes, cause }, shared);
        }
    }
}

/// What the end of a session says about the peer's return.
fn ending(reason: &Reason) -> Ending {
    match reason {
        // Of two connections one is left: the session goes on with that one.
        Reason::Closed(_) | Reason::CollisionLost => Ending::Failed,
        Reason::NotificationReceived(received) if received.is_hard_reset() => Ending::Meant,
        // RFC 8538 §1: without N, an expired hold timer is no restart. The line may be dead, and with it what is forwarded there.
        Reason::NotificationReceived(_)
        | Reason::HoldTimerExpired
        | Reason::SendHoldTimerExpired
        | Reason::ProtocolError { .. }
        | Reason::OpenRefused { .. } => Ending::Notified,
        Reason::Started
        | Reason::Connected
        | Reason::Accepted
        | Reason::OpenReceived
        | Reason::OpenConfirmed
        | Reason::RetryTime
        | Reason::ConnectFailed(_)
        | Reason::PrefixLimit { .. }
        | Reason::AdminReset { .. }
        | Reason::AdminShutdown { .. }
        | Reason::PeerRemoved
        | Reason::ConfigChanged(_)
        | Reason::HandedOver
        | Reason::Stopped { .. } => Ending::Meant,
    }
}
