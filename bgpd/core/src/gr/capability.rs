//! What two OPENs say about graceful restart (RFC 4724 §3, RFC 8538 §2, RFC 9494 §3).
//!
//! We list every configured family. R is set while we restart. F is set when forwarding was kept: by a speaker that
//! restarts, and by one that had a session with the peer before, if its driver says that its end leaves forwarding alone
//! ([`crate::config::SpeakerSettings::forwarding_preserved`]). N is always set: we follow RFC 8538.
//!
//! The long-lived capability goes along always, without any family where no stale time is configured: it says that we know
//! what LLGR_STALE means, and a peer that hears it may send us such routes.
//!
//! Invariant: what the peer sent counts only if we sent the capability, too; and without graceful restart its long-lived
//! companion says nothing (RFC 9494 §4.1).

use std::time::Duration;

use bgp_wire::{Capability, Family, FamilySet, GracefulRestart, LongLivedFamily};

use crate::gr::helper::FAMILIES;
use crate::rib::LongLived;
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

/// The long-lived capability for our OPEN. Without a stale time it names no family.
pub(crate) fn offered_long_lived(
    families: FamilySet,
    stale_time: Option<u32>,
    preserved: bool,
) -> Capability {
    let entry =
        |family| stale_time.map(|stale_time| LongLivedFamily { family, forwarding: preserved, stale_time });
    Capability::LongLivedGracefulRestart(families.iter().filter_map(entry).collect())
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
    /// For how long routes are kept after the Restart Time, by position in [`FAMILIES`]: the shorter of what both want.
    pub(crate) long_lived: [Duration; FAMILIES.len()],
    /// Families whose forwarding the peer kept over a long-lived restart.
    pub(crate) long_preserved: FamilySet,
    /// For how long we keep routes before that, whatever the peer wants. Not in the OPENs.
    pub(crate) stale_time: Option<Duration>,
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
        let (ours_long, theirs_long) =
            (long_lived(&negotiated.capabilities_sent), long_lived(&negotiated.capabilities_received));
        let time = |list: &[LongLivedFamily], family| {
            list.iter().find(|entry| entry.family == family).map_or(0, |entry| entry.stale_time)
        };
        let long_lived = FAMILIES.map(|family| {
            let seconds = time(ours_long, family).min(time(theirs_long, family));
            let seconds = if negotiated.families.contains(family) { seconds } else { 0 };
            Duration::from_secs(seconds.into())
        });
        let long_preserved: FamilySet =
            theirs_long.iter().filter(|entry| entry.forwarding).map(|entry| entry.family).collect();
        Self {
            both: true,
            restarting: theirs.restart_state,
            notification: ours.notification && theirs.notification,
            restart_time: Duration::from_secs(theirs.restart_time.min(LONGEST_RESTART).into()),
            families: listed(&|_| true).intersection(negotiated.families),
            preserved: listed(&|preserved| preserved).intersection(negotiated.families),
            long_lived,
            long_preserved: long_preserved.intersection(negotiated.families),
            stale_time: None,
        }
    }
}

/// What the peer does with routes that carry LLGR_STALE, as far as its OPEN says; `demoted` is what the configuration has
/// for internal peers that do not know them.
pub(crate) fn long_lived_of(negotiated: &Negotiated, demoted: bool) -> LongLived {
    let received = &negotiated.capabilities_received;
    let has = |wanted: fn(&Capability) -> bool| received.iter().any(wanted);
    if has(|capability| matches!(capability, Capability::LongLivedGracefulRestart(_)))
        && has(|capability| matches!(capability, Capability::GracefulRestart(_)))
    {
        LongLived::Sent
    } else if demoted {
        LongLived::Demoted
    } else {
        LongLived::Withheld
    }
}

fn long_lived(list: &[Capability]) -> &[LongLivedFamily] {
    let found = list.iter().find_map(|capability| match capability {
        Capability::LongLivedGracefulRestart(families) => Some(families.as_slice()),
        _ => None,
    });
    found.unwrap_or_default()
}
