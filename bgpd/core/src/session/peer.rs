//! One neighbour: its two slots, and the effects of the state machine on it.
//!
//! [`Peer::feed`] is the only way a session changes: it asks [`super::fsm::transition`], carries out the effects, and
//! [settles](Peer::settle) what waits.
//!
//! Invariants: a peer that may run always has a connection, a dial under way, or a deadline that leads to one (a passive
//! one listens instead); at most one slot is Established; the RIB knows of the peer exactly while one is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{FamilySet, Notification, PeerKind};

use crate::config::PeerConfig;
use crate::event::{Action, Endpoints, Event, EventKind};
use crate::gr::capability::{Agreed, long_lived_of};
use crate::gr::helper::Helper;
use crate::ids::PeerId;
use crate::reason::Reason;
use crate::rib::PeerParams;
use crate::session::backoff::Backoff;
use crate::session::collision::Side;
use crate::session::connection::{Conn, Slot};
use crate::session::fsm::{Effect, Input, Notice, State, transition};
use crate::session::history::History;
use crate::session::limit::Told;
use crate::session::refresh::Refreshes;
use crate::session::shared::{Cause, Shared};
use crate::session::timers::{self, LEFTOVER_HOLD_TIME};
use crate::time::Time;
use crate::view::{Direction, Held, LastReset, MessageCounters, Negotiated};

/// Whether a peer may have a session.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// It may.
    Enabled,
    /// The configuration says no.
    Shutdown,
    /// An operator said no, perhaps with words.
    Disabled(Option<Arc<str>>),
    /// It passed its prefix limit.
    PrefixLimit,
    /// The speaker ends.
    Stopped,
}

/// One neighbour.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: PeerConfig,
    pub(crate) created: Time,
    pub(crate) run: Run,
    pub(crate) dialed: Slot,
    pub(crate) accepted: Slot,
    /// ConnectRetryTimer: bounds a dial in Connect, leads to one in Active.
    pub(crate) retry: Option<Time>,
    /// IdleHoldTimer: leads out of Idle.
    pub(crate) idle_hold: Option<Time>,
    /// Until when the peer's own connections are refused, after it failed again and again.
    pub(crate) refuse_until: Option<Time>,
    /// When a dynamic peer without a session goes away.
    pub(crate) forget_at: Option<Time>,
    /// The deadline under which the speaker has noted this peer.
    pub(crate) wake: Option<Time>,
    pub(crate) backoff: Backoff,
    pub(crate) history: History,
    pub(crate) since: Time,
    pub(crate) established_at: Option<Time>,
    /// How long the last session was Established.
    pub(crate) last_uptime: Duration,
    pub(crate) established_count: u64,
    pub(crate) dropped_count: u64,
    /// How often its send queue was not empty for too long.
    pub(crate) slow_count: u64,
    pub(crate) remote_router_id: Option<Ipv4Addr>,
    /// What the last session agreed on.
    pub(crate) last_negotiated: Option<Negotiated>,
    pub(crate) received: MessageCounters,
    pub(crate) sent: MessageCounters,
    pub(crate) last_read: Option<Time>,
    pub(crate) last_write: Option<Time>,
    pub(crate) last_update: Option<Time>,
    pub(crate) last_connect_failure: Option<(Time, Arc<str>)>,
    pub(crate) end_of_rib: FamilySet,
    /// What becomes of its routes while it restarts.
    pub(crate) helper: Helper,
    /// Families to send again once the RIB has nothing more to send.
    pub(crate) refresh_pending: FamilySet,
    /// Refreshes that the peer began.
    pub(crate) refreshes: Refreshes,
    /// An operator said that the session is about to end (RFC 8326).
    pub(crate) drained: bool,
    /// What was told about its prefix limit.
    pub(crate) limit_told: Told,
    /// When the wait after a prefix limit ends by itself.
    pub(crate) limit_until: Option<Time>,
}

impl Peer {
    pub(crate) fn new(id: PeerId, config: PeerConfig, now: Time) -> Self {
        let run = if config.shutdown { Run::Shutdown } else { Run::Enabled };
        Self {
            id,
            config,
            created: now,
            run,
            dialed: Slot::default(),
            accepted: Slot::default(),
            retry: None,
            idle_hold: None,
            refuse_until: None,
            forget_at: None,
            wake: None,
            backoff: Backoff::default(),
            history: History::default(),
            since: now,
            established_at: None,
            last_uptime: Duration::ZERO,
            established_count: 0,
            dropped_count: 0,
            slow_count: 0,
            remote_router_id: None,
            last_negotiated: None,
            received: MessageCounters::default(),
            sent: MessageCounters::default(),
            last_read: None,
            last_write: None,
            last_update: None,
            last_connect_failure: None,
            end_of_rib: FamilySet::EMPTY,
            helper: Helper::default(),
            refresh_pending: FamilySet::EMPTY,
            refreshes: Refreshes::default(),
            drained: false,
            limit_told: Told::default(),
            limit_until: None,
        }
    }

    pub(crate) const fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Dialed => &self.dialed,
            Side::Accepted => &self.accepted,
        }
    }

    pub(crate) const fn slot_mut(&mut self, side: Side) -> &mut Slot {
        match side {
            Side::Dialed => &mut self.dialed,
            Side::Accepted => &mut self.accepted,
        }
    }

    /// The session's state: that of the slot that is furthest.
    pub(crate) fn state(&self) -> State {
        self.dialed.state.max(self.accepted.state)
    }

    /// The slot that is furthest.
    pub(crate) fn leading(&self) -> &Slot {
        if self.accepted.state > self.dialed.state { &self.accepted } else { &self.dialed }
    }

    /// The side whose connection is Established.
    pub(crate) fn established_side(&self) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.slot(*side).state == State::Established)
    }

    /// Why the peer stays in Idle, if it does.
    pub(crate) fn held(&self) -> Option<Held> {
        match self.run {
            Run::Shutdown | Run::Disabled(_) => Some(Held::AdminDown),
            Run::PrefixLimit => Some(Held::PrefixLimit { until: self.limit_until }),
            Run::Stopped => Some(Held::Stopped),
            Run::Enabled => self.idle_hold.filter(|_| self.state() == State::Idle).map(Held::IdleHold),
        }
    }

    /// An operator intervened: past failures no longer count.
    pub(crate) fn forgive(&mut self) {
        self.backoff = Backoff::default();
        self.refuse_until = None;
    }

    /// On which side of the AS border a peer with this ASN is.
    pub(crate) fn kind(shared: &Shared, remote_asn: u32) -> PeerKind {
        if remote_asn == shared.config.local_asn { PeerKind::Internal } else { PeerKind::External }
    }

    /// The earliest deadline of the session.
    pub(crate) fn session_deadline(&self) -> Option<Time> {
        let conn = |slot: &Slot| slot.conn.as_ref().and_then(|conn| conn.timers.earliest());
        timers::earliest([self.retry, self.idle_hold, conn(&self.dialed), conn(&self.accepted)])
    }

    /// The earliest deadline of all, those of graceful restart included.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let alone =
            [self.helper.deadline(), self.limit_deadline(), self.refreshes.deadline(), self.forget_at];
        alone.into_iter().chain([self.session_deadline()]).flatten().min()
    }

    /// Puts an input into one slot's state machine and carries out what it asks for.
    pub(crate) fn feed(
        &mut self,
        side: Side,
        input: Input,
        cause: impl Into<Cause>,
        shared: &mut Shared,
        now: Time,
    ) {
        let cause = cause.into();
        let before = self.state();
        let from = self.slot(side).state;
        let outcome = transition(from, input);
        for effect in outcome.effects {
            self.perform(side, from, *effect, &cause, shared, now);
        }
        // An accepted connection that is over leaves nothing to wait for: the dialing side does the waiting.
        let next = if side == Side::Accepted && !outcome.next.is_open() { State::Idle } else { outcome.next };
        self.slot_mut(side).state = next;
        self.settle(shared, now);
        self.note_state(before, &cause.reason, shared, now);
    }

    fn perform(
        &mut self,
        side: Side,
        from: State,
        effect: Effect,
        cause: &Cause,
        shared: &mut Shared,
        now: Time,
    ) {
        match effect {
            Effect::Dial => self.dial(shared, now),
            Effect::Drop => self.drop_conn(side, from, cause, shared, now),
            Effect::ArmRetry if side == Side::Dialed && !self.config.passive => {
                let wait = self.backoff.next_dial(self.config.timers.connect_retry(), &mut shared.rng);
                self.retry = Some(now + wait);
            }
            Effect::ClearRetry if side == Side::Dialed => self.retry = None,
            Effect::ArmRetry | Effect::ClearRetry => {}
            Effect::SendOpen => self.send_open(side, shared, now),
            Effect::SendKeepalive => self.send_keepalive(side, shared, now),
            Effect::RestartHold => self.restart_hold(side, now),
            Effect::Notify(notice) => {
                let notification = match notice {
                    Notice::Given => cause.notification.clone(),
                    Notice::HoldTimer => Some(Notification::hold_timer_expired()),
                    Notice::SendHoldTimer => Some(Notification::send_hold_timer_expired()),
                    Notice::Unexpected(subcode) => Some(Notification::new(FSM_ERROR, subcode)),
                };
                if let Some(notification) = notification {
                    self.send_notification(side, notification, shared, now);
                }
            }
            // One of two connections failing is not the session failing.
            Effect::CountFailure if self.slot(side.other()).state.is_open() => {}
            Effect::CountFailure => {
                let lasted = (from == State::Established).then_some(self.last_uptime);
                self.backoff.session_failed(lasted);
                // Being refused is no misdeed of the peer that would call for refusing it in turn.
                if !cause.reason.is_rejection() {
                    self.refuse_until = self.backoff.refusal().map(|refusal| now + refusal);
                }
            }
            Effect::Up => self.come_up(side, shared, now),
            Effect::Down => self.go_down(&cause.reason, shared, now),
        }
    }

    /// What the RIB has to know of a session.
    pub(crate) fn params(
        &self,
        negotiated: &Negotiated,
        endpoints: Endpoints,
        shared: &Shared,
    ) -> PeerParams {
        PeerParams {
            name: Arc::clone(&self.config.name),
            kind: Self::kind(shared, negotiated.remote_asn),
            remote_asn: negotiated.remote_asn,
            remote_router_id: negotiated.remote_router_id,
            remote_address: self.config.address,
            local_address_v4: endpoints.local_v4,
            local_address_v6: endpoints.local_v6,
            link_local: endpoints.link_local,
            families: negotiated.families,
            encode: negotiated.encode(),
            enhanced_refresh: negotiated.enhanced_refresh,
            paths_sent: self.config.add_path.send,
            import: self.config.import.clone(),
            export: self.config.export.clone(),
            route_reflector_client: self.config.route_reflector_client,
            enforce_first_as: true,
            role: self.config.role.filter(|_| negotiated.remote_asn != shared.config.local_asn),
            drain: self.drains(),
            ignore_graceful_shutdown: self.config.ignore_graceful_shutdown,
            long_lived: long_lived_of(negotiated, self.demotes_long_lived(negotiated.remote_asn, shared)),
        }
    }

    /// Whether the session is said to end soon (RFC 8326).
    pub(crate) const fn drains(&self) -> bool {
        self.config.graceful_shutdown || self.drained
    }

    /// The RIB learns what the configuration or an operator said about that. Nothing but routes is sent.
    pub(crate) fn apply_drain(&self, shared: &mut Shared, now: Time) {
        shared.rib.set_drain(self.id, self.drains(), self.config.ignore_graceful_shutdown, now);
    }

    /// The session reached Established on `side`.
    fn come_up(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let Some(conn) = self.slot(side).conn.as_ref() else { return };
        let (Some(negotiated), Some(endpoints)) = (conn.negotiated.clone(), conn.endpoints) else { return };
        let params = self.params(&negotiated, endpoints, shared);
        let agreed = Agreed::of(&negotiated);
        self.routes_up(params, &agreed, shared, now);
        shared.established.insert(self.id);
        self.last_negotiated = Some(negotiated);
        self.established_at = Some(now);
        self.established_count += 1;
        self.end_of_rib = FamilySet::EMPTY;
        self.limit_told = Told::default();
        self.refresh_pending = FamilySet::EMPTY;
        self.refreshes = Refreshes::default();
        // The peer may still prefer the other connection: then its OPEN comes soon, and the rule of §6.8 decides.
        if let Some(other) = self.slot_mut(side.other()).conn.as_mut() {
            other.timers.hold = Some(now + LEFTOVER_HOLD_TIME);
        }
    }

    fn go_down(&mut self, reason: &Reason, shared: &mut Shared, now: Time) {
        self.refreshes = Refreshes::default();
        self.routes_down(reason, shared, now);
        shared.established.remove(&self.id);
        self.last_uptime = self.established_at.take().map_or(Duration::ZERO, |at| now - at);
        self.dropped_count += 1;
    }

    /// Closes a slot's connection and remembers why, if that is worth remembering.
    fn drop_conn(&mut self, side: Side, from: State, cause: &Cause, shared: &mut Shared, now: Time) {
        self.recover(side, shared, now);
        let Some(conn) = self.slot_mut(side).conn.take() else { return };
        shared.conns.remove(&conn.id);
        if !conn.gone {
            shared.actions.push_back(Action::Close { conn: conn.id });
        }
        if !from.is_open() || cause.reason == Reason::CollisionLost {
            return;
        }
        let notification = match &cause.reason {
            Reason::NotificationReceived(received) => Some((Direction::Received, received.clone())),
            Reason::HoldTimerExpired => Some((Direction::Sent, Notification::hold_timer_expired())),
            Reason::SendHoldTimerExpired => Some((Direction::Sent, Notification::send_hold_timer_expired())),
            _ => cause.notification.clone().map(|sent| (Direction::Sent, sent)),
        };
        let lasted = (from == State::Established).then_some(self.last_uptime);
        let reason = cause.reason.clone();
        self.history.record_reset(LastReset { at: now, reason, notification, lasted });
    }

    /// Makes sure that a peer without a connection waits for the right thing, and one with a connection for nothing.
    fn settle(&mut self, shared: &mut Shared, now: Time) {
        self.note_forgetting(now);
        let connected = self.dialed.conn.is_some() || self.accepted.conn.is_some();
        if self.run != Run::Enabled {
            self.retry = None;
            self.idle_hold = None;
            if self.dialed.conn.is_none() {
                self.dialed.state = State::Idle;
            }
        } else if self.accepted.conn.is_some() && self.dialed.conn.is_none() {
            // The accepted connection may become the session: no dial until it is over.
            self.retry = None;
            self.idle_hold = None;
            self.dialed.state = State::Idle;
        } else if !connected && self.dialed.state == State::Idle && self.idle_hold.is_none() {
            let wait = self.backoff.idle_hold(self.config.timers.connect_retry(), &mut shared.rng);
            self.idle_hold = Some(now + wait);
        }
    }

    /// Tells the world about a changed state.
    fn note_state(&mut self, before: State, reason: &Reason, shared: &mut Shared, now: Time) {
        let after = self.state();
        if after == before {
            return;
        }
        self.since = now;
        self.history.record(now, before, after, reason);
        self.emit(EventKind::StateChanged { from: before, to: after, reason: reason.clone() }, shared);
    }

    pub(crate) fn emit(&self, kind: EventKind, shared: &mut Shared) {
        shared.events.push_back(Event { peer: self.id, name: Arc::clone(&self.config.name), kind });
    }

    fn restart_hold(&mut self, side: Side, now: Time) {
        let Some(conn) = self.slot_mut(side).conn.as_mut() else { return };
        let hold_time = conn.negotiated.as_ref().map_or(Duration::ZERO, |negotiated| negotiated.hold_time);
        conn.timers.hold = (!hold_time.is_zero()).then(|| now + hold_time);
    }

    /// Hold Time and keepalive interval in force, or what the configuration would propose.
    pub(crate) fn intervals(&self) -> (Duration, Duration) {
        match self.leading().conn.as_ref().and_then(|conn| conn.negotiated.as_ref()) {
            Some(negotiated) => (negotiated.hold_time, negotiated.keepalive_interval),
            None => {
                let timers = self.config.timers;
                (Duration::from_secs(timers.hold.into()), Duration::from_secs(timers.keepalive.into()))
            }
        }
    }

    /// What is agreed with the peer: on each connection, and as the last thing known.
    pub(crate) fn negotiated_mut(&mut self) -> impl Iterator<Item = &mut Negotiated> {
        let conns = [self.dialed.conn.as_mut(), self.accepted.conn.as_mut()];
        let agreed = conns.into_iter().flatten().filter_map(|conn| conn.negotiated.as_mut());
        agreed.chain(self.last_negotiated.as_mut())
    }

    /// Puts a connection into a slot: the slot and the list of connections move together.
    pub(crate) fn install(&mut self, side: Side, conn: Conn, shared: &mut Shared) {
        shared.conns.insert(conn.id, (self.id, side));
        self.slot_mut(side).conn = Some(conn);
    }
}

/// Finite State Machine Error (RFC 4271 §6.6).
pub(crate) const FSM_ERROR: u8 = 5;
