//! The process ends and another one takes over (RFC 4724 §4): what each peer sees of it.
//!
//! Invariant: a NOTIFICATION goes to exactly those peers that would not keep our routes without one.

use bgp_wire::{Notification, cease};

use crate::gr::capability::Agreed;
use crate::reason::Reason;
use crate::session::collision::Side;
use crate::session::fsm::{Input, State};
use crate::session::peer::Peer;
use crate::session::shared::{Cause, Shared};
use crate::time::Time;

impl Peer {
    /// Ends all connections: of a peer that keeps our routes over a restart without a word, for a NOTIFICATION would take
    /// them away; any other is told.
    pub(crate) fn leave(&mut self, shared: &mut Shared, now: Time) {
        for side in Side::BOTH {
            let slot = self.slot(side);
            let negotiated = slot.conn.as_ref().and_then(|conn| conn.negotiated.as_ref());
            let helped = slot.state == State::Established
                && negotiated.is_some_and(|negotiated| Agreed::of(negotiated).both);
            let cease = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, None);
            let cause = Cause {
                reason: Reason::Stopped { text: Some("restart".into()) },
                notification: (!helped).then_some(cease),
            };
            self.feed(side, Input::Stop, cause, shared, now);
        }
        self.routes_given_up(shared, now);
    }
}
