//! Starting, stopping, dialing, accepting: what happens to connections, and what it means for the peer's other slot.
//!
//! Invariants: a peer that may not run keeps no connection; a connection that comes up beside an Established one is
//! refused before an OPEN is sent on it; an accepted connection that was replaced or lost leaves the dialing side waiting
//! for its turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Notification, cease};

use crate::event::{AcceptRefusal, Action, CloseReason, Connect, Endpoints, EventKind};
use crate::ids::ConnId;
use crate::reason::Reason;
use crate::session::backoff::jittered;
use crate::session::collision::Side;
use crate::session::connection::Conn;
use crate::session::fsm::{Input, State};
use crate::session::peer::{Peer, Run};
use crate::session::shared::{Cause, Shared};
use crate::session::timers::ConnTimer;
use crate::time::Time;

/// A dial is given up after this long and started anew: a SYN that was lost while the peer was away is repeated by the
/// kernel at ever longer intervals.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

impl Peer {
    /// Leaves Idle, if the peer may run.
    pub(crate) fn start(&mut self, reason: Reason, shared: &mut Shared, now: Time) {
        if self.run != Run::Enabled {
            return;
        }
        self.idle_hold = None;
        let input = if self.config.passive { Input::StartPassive } else { Input::Start };
        self.feed(Side::Dialed, input, reason, shared, now);
    }

    /// Begins anew with what the configuration says now, if there is no connection yet to go on with.
    pub(crate) fn restart(&mut self, shared: &mut Shared, now: Time) {
        if self.run != Run::Enabled || self.state().is_open() {
            return;
        }
        self.feed(Side::Dialed, Input::Stop, Reason::Started, shared, now);
        self.start(Reason::Started, shared, now);
    }

    /// Closes whatever there is. What happens next depends on [`Peer::run`].
    pub(crate) fn stop(
        &mut self,
        reason: &Reason,
        notification: &Notification,
        shared: &mut Shared,
        now: Time,
    ) {
        for side in Side::BOTH {
            let notification = Some(self.final_notification(side, notification));
            let cause = Cause { reason: reason.clone(), notification };
            self.feed(side, Input::Stop, cause, shared, now);
        }
        self.routes_given_up(shared, now);
    }

    pub(crate) fn dial(&mut self, shared: &mut Shared, now: Time) {
        let conn = shared.new_conn();
        self.install(Side::Dialed, Conn::new(conn, None), shared);
        let limit = DIAL_LIMIT.min(self.config.timers.connect_retry());
        self.retry = Some(now + jittered(limit, &mut shared.rng));
        shared.actions.push_back(Action::Connect(Connect {
            peer: self.id,
            conn,
            remote: SocketAddr::new(self.config.address, self.config.port),
            local: self.config.local_address,
            interface: self.config.interface.clone(),
            protection: self.config.protection(shared.config.local_asn),
        }));
    }

    /// Our dial came through.
    pub(crate) fn connected(&mut self, conn: ConnId, endpoints: Endpoints, shared: &mut Shared, now: Time) {
        let Some(held) = self.dialed.conn.as_mut().filter(|held| held.id == conn) else { return };
        if self.dialed.state != State::Connect {
            return;
        }
        held.endpoints = Some(endpoints);
        self.feed(Side::Dialed, Input::Connected, Reason::Connected, shared, now);
    }

    /// Our dial did not come through.
    pub(crate) fn connect_failed(&mut self, conn: ConnId, text: Arc<str>, shared: &mut Shared, now: Time) {
        let Some(held) = self.dialed.conn.as_mut().filter(|held| held.id == conn) else { return };
        held.gone = true;
        self.last_connect_failure = Some((now, Arc::clone(&text)));
        self.emit(EventKind::ConnectFailed { text: Arc::clone(&text) }, shared);
        self.feed(Side::Dialed, Input::ConnectionFailed, Reason::ConnectFailed(text), shared, now);
    }

    /// A connection ended.
    pub(crate) fn closed(
        &mut self,
        side: Side,
        conn: ConnId,
        reason: CloseReason,
        shared: &mut Shared,
        now: Time,
    ) {
        let Some(held) = self.slot_mut(side).conn.as_mut().filter(|held| held.id == conn) else { return };
        held.gone = true;
        self.feed(side, Input::ConnectionFailed, Reason::Closed(reason), shared, now);
    }

    /// Takes a connection that the peer opened, or says why not.
    pub(crate) fn accept(
        &mut self,
        conn: ConnId,
        endpoints: Endpoints,
        shared: &mut Shared,
        now: Time,
    ) -> Result<(), AcceptRefusal> {
        let peer = Arc::clone(&self.config.name);
        match &self.run {
            Run::Enabled => {}
            Run::PrefixLimit => return Err(AcceptRefusal::PrefixLimit { peer }),
            Run::Disabled(text) => return Err(AcceptRefusal::AdminDown { peer, text: text.clone() }),
            Run::Shutdown | Run::Stopped => return Err(AcceptRefusal::AdminDown { peer, text: None }),
        }
        if let Some(side) = self.established_side() {
            // If the peer lost its state, our next octet is answered with a reset and the way is free for its next try.
            self.send_keepalive(side, shared, now);
            return Err(AcceptRefusal::AlreadyEstablished { peer });
        }
        if let Some(until) = self.refuse_until.filter(|until| *until > now) {
            return Err(AcceptRefusal::IdleHold { peer, remaining: until - now });
        }
        match self.accepted.state {
            State::OpenSent => {
                // A peer that connects anew has given up the connection it never said a word on.
                self.lose_collision(Side::Accepted, shared, now);
            }
            State::OpenConfirm | State::Established => return Err(AcceptRefusal::AlreadyConnecting { peer }),
            State::Idle | State::Connect | State::Active => {}
        }
        self.install(Side::Accepted, Conn::new(conn, Some(endpoints)), shared);
        // As if this slot had been started passively before.
        self.accepted.state = State::Active;
        self.feed(Side::Accepted, Input::Connected, Reason::Accepted, shared, now);
        Ok(())
    }

    /// Closes the connection that RFC 4271 §6.8 decided against.
    pub(crate) fn lose_collision(&mut self, side: Side, shared: &mut Shared, now: Time) {
        let notification = Some(Notification::cease(cease::COLLISION_RESOLUTION, None));
        self.feed(
            side,
            Input::CollisionLost,
            Cause { reason: Reason::CollisionLost, notification },
            shared,
            now,
        );
    }

    /// Acts on every deadline that passed.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) {
        for side in Side::BOTH {
            while let Some((timer, due)) =
                self.slot_mut(side).conn.as_mut().and_then(|conn| conn.timers.expired(now))
            {
                self.conn_timer(side, timer, due, shared, now);
            }
        }
        self.restart_timeout(shared, now);
        self.refresh_timeout(shared, now);
        self.limit_timeout(shared, now);
        if self.retry.take_if(|at| *at <= now).is_some() {
            if self.dialed.state == State::Connect {
                let text: Arc<str> = "no answer".into();
                self.last_connect_failure = Some((now, Arc::clone(&text)));
                self.emit(EventKind::ConnectFailed { text }, shared);
            }
            self.feed(Side::Dialed, Input::ConnectRetryExpired, Reason::RetryTime, shared, now);
        }
        if self.idle_hold.is_some_and(|at| at <= now) {
            self.start(Reason::Started, shared, now);
        }
    }

    fn conn_timer(&mut self, side: Side, timer: ConnTimer, due: Time, shared: &mut Shared, now: Time) {
        match timer {
            ConnTimer::Hold if self.slot(side.other()).state == State::Established => {
                self.lose_collision(side, shared, now);
            }
            ConnTimer::Hold => self.feed(side, Input::HoldExpired, Reason::HoldTimerExpired, shared, now),
            ConnTimer::SendHold => {
                self.feed(side, Input::SendHoldExpired, Reason::SendHoldTimerExpired, shared, now);
            }
            ConnTimer::Keepalive => {
                if let Some(conn) = self.slot_mut(side).conn.as_mut() {
                    conn.keepalive_due = Some(due);
                }
                // No change of state comes of it, so the reason is never seen.
                self.feed(side, Input::KeepaliveExpired, Reason::OpenConfirmed, shared, now);
            }
            ConnTimer::Slow => self.become_slow(side, shared, now),
        }
    }
}
