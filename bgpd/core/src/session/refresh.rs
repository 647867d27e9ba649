//! Route refresh: routes that somebody asks for again (RFC 2918), and the markers around them (RFC 7313).
//!
//! ```text
//! they ask:  REQUEST ──► noted ──► all that waits is sent ──► BoRR, every route, EoRR
//! they send: BoRR ──► their routes are stale ──► routes freshen theirs ──► EoRR, or too late: what is stale goes
//! ```
//!
//! However often a peer asks, its table is sent once more after what is being sent now. Without enhanced route refresh
//! negotiated there are no markers.
//!
//! Invariant: the RIB says of exactly those families that they are being refreshed for which a deadline is set here.

use std::time::Duration;

use bgp_wire::{Capability, Family, FamilySet, RefreshSubtype, RouteRefresh};

use crate::event::{EventKind, RefreshEnd, RefreshFault};
use crate::reason::Reason;
use crate::session::collision::Side;
use crate::session::fsm::{Input, State};
use crate::session::peer::Peer;
use crate::session::receive::unexpected_message;
use crate::session::shared::Shared;
use crate::session::timers::earliest;
use crate::time::Time;

/// How long a peer may take to send its routes again, until those that it has not sent go (RFC 7313 §4.2).
pub(crate) const REFRESH_TIME: Duration = Duration::from_secs(360);

/// Shortest time between two beginnings. Each costs a look at the whole table, and a beginning is a short message.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The refreshes that a peer began.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Refreshes {
    /// Until when they have to be over.
    until: [Option<Time>; FAMILIES.len()],
    /// When the last one began.
    began: [Option<Time>; FAMILIES.len()],
}

const FAMILIES: [Family; 2] = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];

impl Refreshes {
    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Time> {
        earliest(self.until)
    }

    /// Families that are being refreshed.
    pub(crate) fn families(&self) -> FamilySet {
        let until = FAMILIES.into_iter().zip(self.until);
        until.filter(|(_, until)| until.is_some()).map(|(family, _)| family).collect()
    }

    fn of(&mut self, family: Family) -> Option<&mut Option<Time>> {
        let until = FAMILIES.into_iter().zip(&mut self.until);
        until.filter(|(other, _)| *other == family).map(|(_, until)| until).next()
    }

    /// Whether a refresh may begin now; if so it has.
    fn begin(&mut self, family: Family, now: Time) -> bool {
        let mut began = FAMILIES.into_iter().zip(&mut self.began).filter(|(other, _)| *other == family);
        began.next().is_some_and(|(_, began)| {
            let soon = began.is_some_and(|began| now.since(began) < REFRESH_INTERVAL);
            *began = if soon { *began } else { Some(now) };
            !soon
        })
    }

    /// Takes a family that is due.
    fn expired(&mut self, now: Time) -> Option<Family> {
        let mut until = FAMILIES.into_iter().zip(&mut self.until);
        until.find_map(|(family, until)| until.take_if(|at| *at <= now).map(|_| family))
    }
}

impl Peer {
    /// A ROUTE-REFRESH came in.
    pub(crate) fn handle_refresh(
        &mut self,
        side: Side,
        refresh: RouteRefresh,
        shared: &mut Shared,
        now: Time,
    ) {
        let state = self.slot(side).state;
        if state != State::Established {
            let reason = unexpected_message(Some(bgp_wire::MessageKind::RouteRefresh), state);
            self.feed(side, Input::RouteRefresh, reason, shared, now);
            return;
        }
        self.feed(side, Input::RouteRefresh, Reason::OpenConfirmed, shared, now);
        let RouteRefresh { family, subtype } = refresh;
        let outcome = match subtype {
            _ if !self.exchanges(side, family) => Err(RefreshFault::FamilyNotNegotiated),
            RefreshSubtype::Request => {
                self.emit(EventKind::RefreshRequested { family }, shared);
                self.refresh_pending.insert(family);
                Ok(())
            }
            _ if !self.marks_refreshes() => Err(RefreshFault::NotNegotiated),
            RefreshSubtype::Begin => self.refresh_begins(family, shared, now),
            RefreshSubtype::End => self.refresh_ends(family, shared, now),
            RefreshSubtype::Unknown(_) => Err(RefreshFault::UnknownSubtype),
        };
        if let Err(fault) = outcome {
            self.emit(EventKind::RefreshIgnored { family, subtype: subtype.into(), fault }, shared);
        }
    }

    fn exchanges(&self, side: Side, family: Family) -> bool {
        self.slot(side).conn.as_ref().is_some_and(|conn| conn.decode.families.contains(family))
    }

    fn marks_refreshes(&self) -> bool {
        self.last_negotiated.as_ref().is_some_and(|negotiated| negotiated.enhanced_refresh)
    }

    /// BoRR. Before End-of-RIB a peer that can restart has nothing to refresh, and its stale routes are another matter
    /// (RFC 7313 §4.2).
    fn refresh_begins(&mut self, family: Family, shared: &mut Shared, now: Time) -> Result<(), RefreshFault> {
        let restarts = |capability: &Capability| matches!(capability, Capability::GracefulRestart(_));
        let received = self.last_negotiated.as_ref().map(|negotiated| &negotiated.capabilities_received);
        let awaited =
            received.is_some_and(|all| all.iter().any(restarts)) && !self.end_of_rib.contains(family);
        if awaited || self.helper.kept().contains(family) {
            return Err(RefreshFault::BeforeEndOfRib);
        }
        if !self.refreshes.begin(family, now) {
            // One that is under way goes on as it is; what came since it began is as fresh as can be.
            return Err(RefreshFault::TooSoon);
        }
        let Some(until) = self.refreshes.of(family) else { return Err(RefreshFault::FamilyNotNegotiated) };
        *until = Some(now + REFRESH_TIME);
        let routes = shared.rib.refresh_begins(self.id, family);
        self.emit(EventKind::RefreshBegan { family, routes }, shared);
        Ok(())
    }

    /// EoRR.
    fn refresh_ends(&mut self, family: Family, shared: &mut Shared, now: Time) -> Result<(), RefreshFault> {
        let until = self.refreshes.of(family).and_then(Option::take);
        until.ok_or(RefreshFault::WithoutBegin)?;
        self.refresh_over(family, RefreshEnd::Marker, shared, now);
        Ok(())
    }

    /// Acts on the deadlines of refreshes.
    pub(crate) fn refresh_timeout(&mut self, shared: &mut Shared, now: Time) {
        while let Some(family) = self.refreshes.expired(now) {
            self.refresh_over(family, RefreshEnd::Timeout, shared, now);
        }
    }

    fn refresh_over(&mut self, family: Family, end: RefreshEnd, shared: &mut Shared, now: Time) {
        let routes = shared.rib.refresh_ends(self.id, family);
        self.emit(EventKind::RefreshOver { family, routes, end }, shared);
        self.check_prefix_limits(shared, now);
    }
}
