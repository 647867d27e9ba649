//! What happened in an instance, counted where it happens and read through the published snapshot.
//!
//! Invariant: counters of a peer live and end with the peer; labels are the names of enum variants, never free text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bgp_core::{Event, EventKind, PeerId, RefreshEnd, State};
use bgp_wire::{Family, Notification};

use crate::instance::lateness::Lateness;

/// Counters of one instance.
#[derive(Clone, Debug, Default)]
pub struct InstanceCounters {
    refused: BTreeMap<&'static str, u64>,
    /// How long nothing was advertised after a restart.
    restart_millis: Option<u64>,
    peers: HashMap<PeerId, Arc<PeerCounters>>,
    keepalives: KeepaliveLateness,
}

/// How late KEEPALIVEs were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepaliveLateness {
    /// Those that found nothing before them in the queue.
    pub first: Lateness,
    /// Those that had to wait for the peer to take what was before them.
    pub behind: Lateness,
}

/// Counters of one peer, since it was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Changes of state, by the state entered.
    pub entered: BTreeMap<&'static str, u64>,
    /// NOTIFICATIONs sent, by code and subcode.
    pub notifications_sent: BTreeMap<(u8, u8), u64>,
    /// NOTIFICATIONs received, by code and subcode.
    pub notifications_received: BTreeMap<(u8, u8), u64>,
    /// Dials that did not come through.
    pub connect_failures: u64,
    /// Connections closed because another was kept (RFC 4271 §6.8).
    pub collisions: u64,
    /// UPDATEs whose routes were taken as withdrawn (RFC 7606).
    pub updates_withdrawn: u64,
    /// UPDATEs of which only attributes were dropped (RFC 7606).
    pub updates_discarded_attributes: u64,
    /// Times the prefix limit was passed.
    pub prefix_limit: u64,
    /// Times the warning level before it was passed.
    pub prefix_warnings: u64,
    /// Times the session ended and routes were kept (RFC 4724).
    pub restarts_helped: u64,
    /// Times a family's routes became a last resort (RFC 9494).
    pub long_lived: u64,
    /// Stale routes that were removed, by cause.
    pub stale_swept: BTreeMap<&'static str, u64>,
    /// How long the last End-of-RIB of a family came after the session.
    pub end_of_rib_millis: BTreeMap<Family, u64>,
    /// For how long nobody read or wrote when the session was taken over from another process.
    pub handover_pause: Option<Duration>,
    /// Paths not taken in because the peer had too many to one prefix (RFC 7911).
    pub paths_refused: u64,
    /// Refreshes that the peer asked for, ended or should not have sent, by what they were.
    pub refreshes: BTreeMap<&'static str, u64>,
}

impl PeerCounters {
    fn count_refresh(&mut self, outcome: &'static str) {
        *self.refreshes.entry(outcome).or_default() += 1;
    }
}

impl InstanceCounters {
    /// Counts a connection that was not accepted.
    pub fn refused(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Counts a KEEPALIVE that was written so late; `behind` octets that the peer had not taken.
    pub fn keepalive_sent(&mut self, late: Duration, behind: bool) {
        let lateness = if behind { &mut self.keepalives.behind } else { &mut self.keepalives.first };
        lateness.record(late);
    }

    /// How late KEEPALIVEs were.
    #[must_use]
    pub fn keepalives(&self) -> KeepaliveLateness {
        self.keepalives
    }

    /// Notes that a restart is over, and how long it took (RFC 4724 §4.1).
    pub fn restarted(&mut self, took: Duration) {
        self.restart_millis = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// How long nothing was advertised after a restart, if there was one.
    #[must_use]
    pub fn restart_millis(&self) -> Option<u64> {
        self.restart_millis
    }

    /// Counts an event of the speaker.
    pub fn count(&mut self, event: &Event) {
        let counters = Arc::make_mut(self.peers.entry(event.peer).or_default());
        let code = |notification: &Notification| (notification.code, notification.subcode);
        match &event.kind {
            EventKind::StateChanged { to, .. } => *counters.entered.entry(state_label(*to)).or_default() += 1,
            EventKind::NotificationSent(sent) => {
                *counters.notifications_sent.entry(code(sent)).or_default() += 1
            }
            EventKind::NotificationReceived(received) => {
                *counters.notifications_received.entry(code(received)).or_default() += 1;
            }
            EventKind::ConnectFailed { .. } => counters.connect_failures += 1,
            EventKind::CollisionResolved { .. } => counters.collisions += 1,
            EventKind::MalformedUpdate { withdrawn: true, .. } => counters.updates_withdrawn += 1,
            EventKind::MalformedUpdate { withdrawn: false, .. } => counters.updates_discarded_attributes += 1,
            EventKind::PrefixLimit { .. } => counters.prefix_limit += 1,
            EventKind::PrefixWarning { .. } => counters.prefix_warnings += 1,
            EventKind::EndOfRib { family, after } => {
                let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                counters.end_of_rib_millis.insert(*family, millis);
            }
            EventKind::StaleKept { .. } => counters.restarts_helped += 1,
            EventKind::LongLivedBegun { .. } => counters.long_lived += 1,
            EventKind::StaleSwept { routes, cause, .. } => {
                *counters.stale_swept.entry(cause.label()).or_default() += u64::from(*routes);
            }
            EventKind::SlowPeer { .. } | EventKind::SlowPeerOver { .. } | EventKind::RefreshBegan { .. } => {}
            EventKind::PathsRefused { paths, .. } => counters.paths_refused += u64::from(*paths),
            EventKind::RefreshRequested { .. } => counters.count_refresh("requested"),
            EventKind::RefreshOver { end: RefreshEnd::Marker, .. } => counters.count_refresh("completed"),
            EventKind::RefreshOver { end: RefreshEnd::Timeout, .. } => counters.count_refresh("timed-out"),
            EventKind::RefreshIgnored { fault, .. } => counters.count_refresh(fault.label()),
        }
    }

    /// Notes that a session was taken over from another process.
    pub fn taken_over(&mut self, peer: PeerId, pause: Duration) {
        Arc::make_mut(self.peers.entry(peer).or_default()).handover_pause = Some(pause);
    }

    /// Forgets peers that are gone.
    pub fn keep_only(&mut self, exists: impl Fn(PeerId) -> bool) {
        self.peers.retain(|peer, _| exists(*peer));
    }

    /// Connections not accepted, by reason.
    #[must_use]
    pub fn refused_by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// The counters of a peer, shared.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Arc<PeerCounters> {
        self.peers.get(&peer).cloned().unwrap_or_default()
    }
}

/// A state as metric labels and Cilium's tools write it.
#[must_use]
pub fn state_label(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Connect => "connect",
        State::Active => "active",
        State::OpenSent => "open_sent",
        State::OpenConfirm => "open_confirm",
        State::Established => "established",
    }
}

#[cfg(test)]
mod tests {
    use bgp_core::Reason;

    use super::*;

    #[test]
    fn events_are_counted_by_name() {
        let mut counters = InstanceCounters::default();
        let peer = PeerId::new(1);
        let event = |kind| Event { peer, name: Arc::from("tor"), kind };
        let change = |to| EventKind::StateChanged { from: State::Idle, to, reason: Reason::Started };
        counters.count(&event(change(State::Connect)));
        counters.count(&event(change(State::Connect)));
        let before = counters.peer(peer);
        counters.count(&event(EventKind::ConnectFailed { text: Arc::from("refused") }));
        assert_eq!(before.connect_failures, 0, "a published value does not change");
        assert_eq!(counters.peer(peer).entered["connect"], 2);
        assert_eq!(counters.peer(peer).connect_failures, 1);
        counters.keep_only(|_| false);
        assert_eq!(*counters.peer(peer), PeerCounters::default());
    }
}
