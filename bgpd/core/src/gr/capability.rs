//! What two OPENs say about graceful restart (RFC 4724 §3, RFC 8538 §2).
//!
//! We list every configured family. R is set while we restart. F is set when forwarding was kept: by a speaker that
//! restarts, and by one that had a session with the peer before, if its driver says that its end leaves forwarding alone
//! ([`crate::config::SpeakerSettings::forwarding_preserved`]). N is always set: we follow RFC 8538.
//!
//! Invariant: what the peer sent counts only if we sent the capability, too.

use std::time::Duration;

use bgp_wire::{Capability, Family, FamilySet, GracefulRestart};

use crate::view::Negotiated;

/// The Restart Time field has twelve bits; nobody is waited for longer.
const LONGEST_RESTART: u16 = 4_095;

/// The capability for our OPEN.
pub(crate) fn offered(
    families: FamilySet,
    restart_time: u16,
    restarting: bool,
    preserved: bool,
) -> Capability {
    Capability::GracefulRestart(GracefulRestart {
        restart_state: restarting,
        notification: true,
        restart_time: restart_time.min(LONGEST_RESTART),
        families: families.iter().map(|family| (family, preserved)).collect(),
    })
}

/// What a session agreed on about graceful restart.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Both sides sent the capability.
    pub(crate) both: bool,
    /// The peer has just restarted.
    pub(crate) restarting: bool,
    /// Both sides set N.
    pub(crate) notification: bool,
    /// For how long the peer is waited for.
    pub(crate) restart_time: Duration,
    /// Families of the session whose routes are kept when it ends.
    pub(crate) families: FamilySet,
    /// Those of them whose forwarding the peer kept.
    pub(crate) preserved: FamilySet,
}

impl Agreed {
    /// Reads it out of what was negotiated.
    pub(crate) fn of(negotiated: &Negotiated) -> Self {
        let find = |list: &[Capability]| {
            list.iter().find_map(|capability| match capability {
                Capability::GracefulRestart(restart) => Some(restart.clone()),
                _ => None,
            })
        };
        let both = find(&negotiated.capabilities_sent).zip(find(&negotiated.capabilities_received));
        let Some((ours, theirs)) = both else { return Self::default() };
        let listed = |wanted: &dyn Fn(bool) -> bool| -> FamilySet {
            let listed = theirs.families.iter().filter(|(_, preserved)| wanted(*preserved));
            listed.map(|(family, _): &(Family, bool)| *family).collect()
        };
        Self {
            both: true,
            restarting: theirs.restart_state,
            notification: ours.notification && theirs.notification,
            restart_time: Duration::from_secs(theirs.restart_time.min(LONGEST_RESTART).into()),
            families: listed(&|_| true).intersection(negotiated.families),
            preserved: listed(&|preserved| preserved).intersection(negotiated.families),
        }
    }
}
