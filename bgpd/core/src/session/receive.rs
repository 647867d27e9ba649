//! Messages that came in: framed, decoded once, and put into the state machine.
//!
//! Invariants: an UPDATE is decoded only in Established; a message after the one that ended the connection is not looked
//! at; what RFC 7606 lets a session survive never ends it.

use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Message, MessageError, MessageKind, Notification, Open, Update, cease};

use crate::event::EventKind;
use crate::ids::ConnId;
use crate::reason::Reason;
use crate::rib::MOST_PATHS;
use crate::session::collision::{Identity, SETTLED, Side, survivor};
use crate::session::fsm::{Input, State};
use crate::session::history::bounded;
use crate::session::inbound::Step;
use crate::session::negotiate::negotiate;
use crate::session::peer::{FSM_ERROR, Peer};
use crate::session::shared::{Cause, Shared};
use crate::time::Time;
use crate::view::Direction;

impl Peer {
    /// Octets came in.
    pub(crate) fn receive(&mut self, side: Side, conn: ConnId, bytes: &[u8], shared: &mut Shared, now: Time) {
        let Some(held) = self.slot_mut(side).conn.as_mut().filter(|held| held.id == conn) else { return };
        let mut inbound = std::mem::take(&mut held.inbound);
        let mut max = held.max_len();
        self.last_read = Some(now);
        self.received.octets += bytes.len() as u64;
        let mut chunk = bytes;
        loop {
            match inbound.step(&mut chunk, max) {
                Step::Frame(frame) => self.handle_frame(side, frame, shared, now),
                Step::Starved => break,
                Step::Broken(error) => self.refuse(side, Input::HeaderError, &error, shared, now),
            }
            inbound.consumed();
            // The message may have ended this connection, or changed how the next one is read.
            let Some(held) = self.slot(side).conn.as_ref().filter(|held| held.id == conn) else { return };
            max = held.max_len();
        }
        if let Some(held) = self.slot_mut(side).conn.as_mut() {
            held.inbound = inbound;
        }
    }

    fn handle_frame(&mut self, side: Side, frame: &[u8], shared: &mut Shared, now: Time) {
        let slot = self.slot(side);
        let (state, Some(conn)) = (slot.state, slot.conn.as_ref()) else { return };
        let kind = frame.get(18).copied().and_then(MessageKind::from_code);
        let unexpected = match (kind, state) {
            (Some(MessageKind::Open), State::OpenConfirm | State::Established) => Some(Input::Open),
            (Some(MessageKind::Update), State::OpenSent | State::OpenConfirm) => Some(Input::Update),
            _ => None,
        };
        if let Some(input) = unexpected {
            self.count_received(kind);
            self.feed(side, input, unexpected_message(kind, state), shared, now);
            return;
        }
        match Message::decode(frame, &conn.decode) {
            Ok(message) => {
                self.count_received(Some(message.kind()));
                match message {
                    Message::Open(open) => self.handle_open(side, open, shared, now),
                    Message::Update(update) => self.handle_update(side, &update, shared, now),
                    Message::Notification(notification) => {
                        self.handle_notification(side, notification, shared, now);
                    }
                    Message::Keepalive => {
                        let reason = match state {
                            State::OpenSent => unexpected_message(kind, state),
                            _ => Reason::OpenConfirmed,
                        };
                        self.feed(side, Input::Keepalive, reason, shared, now);
                    }
                    Message::RouteRefresh(refresh) => self.handle_refresh(side, refresh, shared, now),
                }
            }
            Err(error) => {
                self.count_received(kind);
                let input = match kind {
                    Some(MessageKind::Open) => Input::OpenError,
                    Some(MessageKind::Update | MessageKind::RouteRefresh) => Input::UpdateError,
                    _ => Input::HeaderError,
                };
                self.refuse(side, input, &error, shared, now);
            }
        }
    }

    /// Ends a connection on which something came in that cannot be lived with.
    fn refuse(&mut self, side: Side, input: Input, error: &MessageError, shared: &mut Shared, now: Time) {
        let (fault, notification) = (Arc::from(error.to_string()), error.notification());
        let reason = match input {
            Input::OpenError => Reason::OpenRefused { fault, notification },
            _ => Reason::ProtocolError { fault, notification },
        };
        self.feed(side, input, reason, shared, now);
    }

    fn handle_open(&mut self, side: Side, open: Open, shared: &mut Shared, now: Time) {
        self.remote_router_id = Some(open.router_id);
        let sent = self.slot_mut(side).conn.as_mut().and_then(|conn| conn.offer.take());
        let mut offer = sent.unwrap_or_else(|| self.offer(shared));
        // The one timer that an OPEN does not carry.
        offer.timers.keepalive = self.config.timers.keepalive;
        let negotiated = match negotiate(offer, open) {
            Ok(negotiated) => negotiated,
            Err(refusal) => {
                let notification = refusal.notification();
                let reason = Reason::OpenRefused { fault: refusal.to_string().into(), notification };
                self.feed(side, Input::OpenError, reason, shared, now);
                return;
            }
        };
        let remote = Identity { router_id: negotiated.remote_router_id, asn: negotiated.remote_asn };
        if matches!(self.slot(side.other()).state, State::OpenConfirm | State::Established) {
            let kept = if self.is_settled(now) { side.other() } else { survivor(shared.identity(), remote) };
            self.emit_collision(kept, shared);
            self.lose_collision(kept.other(), shared, now);
            if kept != side {
                return;
            }
        }
        self.backoff.peer_answered();
        let kind = Self::kind(shared, negotiated.remote_asn);
        if let Some(conn) = self.slot_mut(side).conn.as_mut() {
            conn.agree(negotiated, kind);
        }
        self.feed(side, Input::Open, Reason::OpenReceived, shared, now);
        if side == Side::Accepted && self.dialed.state == State::Connect {
            // The peer is on the line: no need to go on ringing.
            self.lose_collision(Side::Dialed, shared, now);
        }
    }

    /// Whether the session is Established, and surely so at the peer's end too.
    fn is_settled(&self, now: Time) -> bool {
        self.established_at
            .is_some_and(|at| now.since(at) >= SETTLED || self.last_update.is_some_and(|update| update >= at))
    }

    fn emit_collision(&self, kept: Side, shared: &mut Shared) {
        let id = |side| self.slot(side).conn.as_ref().map(|conn| conn.id);
        if let (Some(kept), Some(closed)) = (id(kept), id(kept.other())) {
            self.emit(EventKind::CollisionResolved { closed, kept }, shared);
        }
    }

    fn handle_notification(&mut self, side: Side, received: Notification, shared: &mut Shared, now: Time) {
        let received = bounded(received);
        self.history.record_notification(now, Direction::Received, &received);
        self.emit(EventKind::NotificationReceived(received.clone()), shared);
        let input = match (received.code, received.subcode) {
            UNSUPPORTED_VERSION => Input::NotificationVersion,
            _ => Input::Notification,
        };
        // The peer prefers the other connection: that is no failure of the session.
        let collision = (received.code, received.subcode) == (CEASE, cease::COLLISION_RESOLUTION);
        if collision && self.slot(side.other()).state.is_open() {
            let cause = Cause { reason: Reason::CollisionLost, notification: None };
            self.feed(side, Input::CollisionLost, cause, shared, now);
            return;
        }
        let cause = Cause { reason: Reason::NotificationReceived(received), notification: None };
        self.feed(side, input, cause, shared, now);
    }

    fn handle_update(&mut self, side: Side, update: &Update<'_>, shared: &mut Shared, now: Time) {
        self.last_update = Some(now);
        if !update.errors.is_empty() {
            let (errors, withdrawn) = (update.errors.clone(), update.treat_as_withdraw);
            self.emit(EventKind::MalformedUpdate { errors, withdrawn }, shared);
        }
        // No change of state comes of it, so the reason is never seen.
        self.feed(side, Input::Update, Reason::OpenConfirmed, shared, now);
        let outcome = shared.rib.handle_update(self.id, update, now);
        if outcome.crowded > 0 {
            self.emit(EventKind::PathsRefused { paths: outcome.crowded, most: MOST_PATHS }, shared);
        }
        if let Some(family) = update.end_of_rib.filter(|family| !self.end_of_rib.contains(*family)) {
            self.end_of_rib.insert(family);
            let after = self.established_at.map_or(Duration::ZERO, |at| now.since(at));
            self.emit(EventKind::EndOfRib { family, after }, shared);
        }
        if let Some(family) = update.end_of_rib {
            self.routes_complete(family, shared, now);
        }
        self.check_prefix_limits(shared, now);
    }

    fn count_received(&mut self, kind: Option<MessageKind>) {
        let counter = match kind {
            Some(MessageKind::Open) => &mut self.received.opens,
            Some(MessageKind::Update) => &mut self.received.updates,
            Some(MessageKind::Notification) => &mut self.received.notifications,
            Some(MessageKind::Keepalive) => &mut self.received.keepalives,
            Some(MessageKind::RouteRefresh) => &mut self.received.route_refreshes,
            None => return,
        };
        *counter += 1;
    }
}

pub(crate) fn unexpected_message(kind: Option<MessageKind>, state: State) -> Reason {
    let subcode = match state {
        State::OpenSent => 1,
        State::OpenConfirm => 2,
        _ => 3,
    };
    let what = match kind {
        Some(MessageKind::Open) => "OPEN",
        Some(MessageKind::Update) => "UPDATE",
        Some(MessageKind::Notification) => "NOTIFICATION",
        Some(MessageKind::Keepalive) => "KEEPALIVE",
        Some(MessageKind::RouteRefresh) => "ROUTE-REFRESH",
        None => "message",
    };
    Reason::ProtocolError {
        fault: format!("unexpected {what} in {state}").into(),
        notification: Notification::new(FSM_ERROR, subcode),
    }
}

const CEASE: u8 = 6;
const UNSUPPORTED_VERSION: (u8, u8) = (2, 1);
