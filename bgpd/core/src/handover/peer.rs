//! One neighbour as a value, with its session if it is Established.
//!
//! Invariant: [`Peer::export`] names every field of a [`Peer`], so a new field cannot be forgotten unseen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::FamilySet;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Endpoints;
use crate::gr::helper::Helper;
use crate::ids::{ConnId, PeerId};
use crate::reason::Reason;
use crate::session::backoff::Backoff;
use crate::session::collision::Side;
use crate::session::connection::Conn;
use crate::session::history::History;
use crate::session::limit::Told;
use crate::session::refresh::Refreshes;
use crate::session::shared::Shared;
use crate::session::timers::ConnTimers;
use crate::session::{Peer, Run, State};
use crate::time::Time;
use crate::view::{MessageCounters, Negotiated, Order};

/// A neighbour.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerState {
    pub(crate) id: PeerId,
    pub(crate) name: Arc<str>,
    /// The address of a dynamic neighbour: a connection made it, no configuration names it.
    #[serde(default)]
    pub(crate) dynamic: Option<IpAddr>,
    /// The state it was in; only Established is carried over.
    state: State,
    conn: Option<ConnState>,
    /// What the RIB knows of its end and ours, as long as it has routes of the peer.
    pub(crate) ends: Option<Ends>,
    created: Time,
    run: Run,
    idle_hold: Option<Time>,
    refuse_until: Option<Time>,
    backoff: Backoff,
    history: History,
    since: Time,
    established_at: Option<Time>,
    last_uptime: Duration,
    established_count: u64,
    dropped_count: u64,
    slow_count: u64,
    remote_router_id: Option<Ipv4Addr>,
    last_negotiated: Option<Negotiated>,
    received: MessageCounters,
    sent: MessageCounters,
    last_read: Option<Time>,
    last_write: Option<Time>,
    last_update: Option<Time>,
    last_connect_failure: Option<(Time, Arc<str>)>,
    end_of_rib: FamilySet,
    helper: Helper,
    refresh_pending: FamilySet,
    refreshes: Refreshes,
    drained: bool,
    limit_told: Told,
    limit_until: Option<Time>,
}

/// Our addresses towards a peer whose routes are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ends {
    pub(crate) local_v4: Option<Ipv4Addr>,
    pub(crate) local_v6: Option<Ipv6Addr>,
    pub(crate) link_local: Option<Ipv6Addr>,
    /// Families of which stale routes are kept.
    pub(crate) kept: FamilySet,
    /// Families that the peer is sending again.
    pub(crate) refreshing: FamilySet,
}

/// The connection of an Established session.
#[derive(Debug, Serialize, Deserialize)]
struct ConnState {
    id: ConnId,
    side: Side,
    endpoints: Endpoints,
    timers: ConnTimers,
    /// The beginning of a message whose rest has not come yet.
    partial: Bytes,
    negotiated: Negotiated,
    queued: usize,
    slow_since: Option<Time>,
}

impl PeerState {
    /// The connection of its session, if there is one.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        self.conn.as_ref().map(|conn| conn.id)
    }
}

impl Peer {
    /// The neighbour as a value.
    pub(crate) fn export(&self, shared: &Shared) -> PeerState {
        let Self {
            id,
            config,
            created,
            run,
            dialed: _,
            accepted: _,
            // Leads to a dial, which is made at once.
            retry: _,
            idle_hold,
            refuse_until,
            // Counted anew, for one without a session.
            forget_at: _,
            // Noted anew.
            wake: _,
            backoff,
            history,
            since,
            established_at,
            last_uptime,
            established_count,
            dropped_count,
            slow_count,
            remote_router_id,
            last_negotiated,
            received,
            sent,
            last_read,
            last_write,
            last_update,
            last_connect_failure,
            end_of_rib,
            helper,
            refresh_pending,
            refreshes,
            drained,
            limit_told,
            limit_until,
        } = self;
        PeerState {
            id: *id,
            name: Arc::clone(&config.name),
            dynamic: config.dynamic.as_ref().map(|_| config.address),
            state: self.state(),
            conn: self.export_conn(),
            ends: shared.rib.ends(*id),
            created: *created,
            run: run.clone(),
            idle_hold: *idle_hold,
            refuse_until: *refuse_until,
            backoff: backoff.clone(),
            history: history.clone(),
            since: *since,
            established_at: *established_at,
            last_uptime: *last_uptime,
            established_count: *established_count,
            dropped_count: *dropped_count,
            slow_count: *slow_count,
            remote_router_id: *remote_router_id,
            last_negotiated: last_negotiated.clone(),
            received: received.clone(),
            sent: sent.clone(),
            last_read: *last_read,
            last_write: *last_write,
            last_update: *last_update,
            last_connect_failure: last_connect_failure.clone(),
            end_of_rib: *end_of_rib,
            helper: helper.clone(),
            refresh_pending: *refresh_pending,
            refreshes: refreshes.clone(),
            drained: *drained,
            limit_told: *limit_told,
            limit_until: *limit_until,
        }
    }

    fn export_conn(&self) -> Option<ConnState> {
        let side = self.established_side()?;
        let conn = self.slot(side).conn.as_ref()?;
        Some(ConnState {
            id: conn.id,
            side,
            endpoints: conn.endpoints?,
            timers: conn.timers.clone(),
            partial: conn.inbound.partial(),
            negotiated: conn.negotiated.clone()?,
            queued: conn.queued,
            slow_since: conn.slow_since,
        })
    }

    /// Becomes what was exported. The RIB has to be told of its routes afterwards; nothing is dialed yet.
    pub(crate) fn import(&mut self, state: PeerState, shared: &mut Shared, now: Time) {
        self.created = state.created;
        self.run = state.run;
        self.idle_hold = state.idle_hold;
        self.refuse_until = state.refuse_until;
        self.backoff = state.backoff;
        self.history = state.history;
        self.since = state.since;
        self.established_at = state.established_at;
        self.last_uptime = state.last_uptime;
        self.established_count = state.established_count;
        self.dropped_count = state.dropped_count;
        self.slow_count = state.slow_count;
        self.remote_router_id = state.remote_router_id;
        self.last_negotiated = state.last_negotiated;
        self.received = state.received;
        self.sent = state.sent;
        self.last_read = state.last_read;
        self.last_write = state.last_write;
        self.last_update = state.last_update;
        self.last_connect_failure = state.last_connect_failure;
        self.end_of_rib = state.end_of_rib;
        self.helper = state.helper;
        self.refresh_pending = state.refresh_pending;
        self.refreshes = state.refreshes;
        self.drained = state.drained;
        self.limit_told = state.limit_told;
        self.limit_until = state.limit_until;
        self.history.record_order(now, Order::HandedOver);
        if let Some(conn) = state.conn {
            self.import_conn(conn, state.ends, shared);
        } else {
            if let Some((negotiated, ends)) = self.last_negotiated.clone().zip(state.ends) {
                let nowhere =
                    Endpoints::new((Ipv4Addr::UNSPECIFIED, 0).into(), (self.config.address, 0).into());
                let params = self.params(&negotiated, ends.over(nowhere), shared);
                shared.rib.resume_peer(self.id, params, false, (ends.kept, ends.refreshing));
            }
            if state.state != State::Idle {
                self.since = now;
                self.history.record(now, state.state, State::Idle, &Reason::HandedOver);
            }
        }
    }

    fn import_conn(&mut self, state: ConnState, ends: Option<Ends>, shared: &mut Shared) {
        let params = self.params(&state.negotiated, state.endpoints, shared);
        let kind = params.kind;
        let stale = ends.map(|ends| (ends.kept, ends.refreshing)).unwrap_or_default();
        shared.rib.resume_peer(self.id, params, true, stale);
        let mut conn = Conn::new(state.id, Some(state.endpoints));
        conn.agree(state.negotiated, kind);
        conn.timers = state.timers;
        conn.inbound.resume(&state.partial);
        conn.queued = state.queued;
        conn.slow_since = state.slow_since;
        self.install(state.side, conn, shared);
        self.slot_mut(state.side).state = State::Established;
        shared.established.insert(self.id);
    }
}

impl Ends {
    fn over(self, endpoints: Endpoints) -> Endpoints {
        let Self { local_v4, local_v6, link_local, kept: _, refreshing: _ } = self;
        Endpoints { local_v4, local_v6, link_local, ..endpoints }
    }
}
