//! How many prefixes a peer may have, and what happens when it has more (RFC 4486 §4).
//!
//! What is stale does not count: it will be sent again or go, and counted twice a restart would pass the limit.
//!
//! Invariant: each crossing of the warning level and of the limit is told once, and told again only after the number of
//! prefixes was below it.

use std::time::Duration;

use bgp_wire::{Family, FamilySet, Notification, cease};
use bytes::{BufMut, Bytes, BytesMut};

use crate::config::{LimitAction, MaxPrefixes};
use crate::event::EventKind;
use crate::reason::Reason;
use crate::session::peer::{Peer, Run};
use crate::session::shared::Shared;
use crate::time::Time;
use crate::view::Order;

/// What was told about the prefix limit.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    /// Families above the warning level.
    near: FamilySet,
    /// Families above the limit. The session goes on only if that is all there is to it.
    over: FamilySet,
}

impl Peer {
    /// Looks at how many prefixes the peer has, and closes the session if they are too many.
    pub(crate) fn check_prefix_limits(&mut self, shared: &mut Shared, now: Time) {
        let Some(max) = self.config.max_prefixes.filter(|_| self.established_side().is_some()) else {
            self.limit_told = Told::default();
            return;
        };
        for family in FamilySet::ALL.iter() {
            let prefixes = shared.rib.fresh_prefixes(self.id, family);
            let near = u64::from(prefixes) * 100 > u64::from(max.limit) * u64::from(max.warning_percent);
            let limit = max.limit;
            if crossed(&mut self.limit_told.near, family, near) {
                self.emit(EventKind::PrefixWarning { family, limit, prefixes }, shared);
            }
            if crossed(&mut self.limit_told.over, family, prefixes > limit) {
                self.emit(EventKind::PrefixLimit { family, limit, action: max.action }, shared);
                if max.action != LimitAction::Warn {
                    self.pass_prefix_limit(family, max, shared, now);
                    return;
                }
            }
        }
    }

    /// Closes the session and waits, for an operator or for some time.
    fn pass_prefix_limit(&mut self, family: Family, max: MaxPrefixes, shared: &mut Shared, now: Time) {
        self.run = Run::PrefixLimit;
        self.limit_told = Told::default();
        self.limit_until = match max.action {
            LimitAction::Restart(seconds) => Some(now + Duration::from_secs(seconds.into())),
            LimitAction::Warn | LimitAction::Stop => None,
        };
        let mut data = BytesMut::with_capacity(7);
        data.put_u16(family.afi);
        data.put_u8(family.safi);
        data.put_u32(max.limit);
        let notification =
            Notification { code: CEASE, subcode: cease::MAXIMUM_PREFIXES, data: Bytes::from(data) };
        self.stop(&Reason::PrefixLimit { limit: max.limit }, &notification, shared, now);
    }

    /// There is another limit now.
    pub(crate) fn forget_limit_told(&mut self) {
        self.limit_told = Told::default();
    }

    /// When the wait after a prefix limit ends by itself.
    pub(crate) fn limit_deadline(&self) -> Option<Time> {
        self.limit_until.filter(|_| self.run == Run::PrefixLimit)
    }

    /// Acts on that.
    pub(crate) fn limit_timeout(&mut self, shared: &mut Shared, now: Time) {
        if self.limit_deadline().is_some_and(|until| until <= now) {
            self.limit_until = None;
            self.run = Run::Enabled;
            self.history.record_order(now, Order::LimitWaitOver);
            self.idle_hold = None;
            self.start(Reason::Started, shared, now);
        }
    }
}

/// Whether a family has just come to be in `told`. Takes it out where it is not.
fn crossed(told: &mut FamilySet, family: Family, is: bool) -> bool {
    if !is {
        *told = told.iter().filter(|other| *other != family).collect();
        return false;
    }
    let new = !told.contains(family);
    told.insert(family);
    new
}

/// Error code of Cease.
const CEASE: u8 = 6;
