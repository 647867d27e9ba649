//! We restart: nothing is advertised before what will be advertised is known, so that no helper sweeps a route that only
//! comes a moment later (RFC 4724 §4.1).
//!
//! One machine per speaker:
//!
//! ```text
//!    start, after a crash or upgrade ──► Deferring ──────────────────────────────────────────────► Normal
//!    start, cold ─────────────────────────────────────────────────────────────────────────────────► ▲
//!                                           │  own routes complete, and End-of-RIB from every peer   │
//!                                           │  that is waited for; or the selection deferral timer   │
//!                                           └────────────────────────────────────────────────────────┘
//! ```
//!
//! While *Deferring*, OPENs carry R, and no UPDATE leaves, neither routes nor End-of-RIB. The RIB goes on selecting, which
//! comes to the same: the outcome depends on the set of paths and not on their history, and nobody is told before the end.
//!
//! Waited for are the peers with graceful restart configured. One is not waited for any more when it sent End-of-RIB for
//! every family of its session, when it turns out not to do graceful
//! restart, when it restarts itself (R), when it may not run, and when it has no session after the Restart Time we announce to
//! it: then it holds nothing of ours that could be swept, and what it would send is late in any case.
//!
//! *Own routes complete* is what the owners of the configuration say ([`crate::Speaker::handle_intent_complete`]). Both
//! conditions have to hold: End-of-RIB before our own routes would have helpers sweep those, and before our peers' routes those
//! that we pass on. The timer bounds either.
//!
//! After the last End-of-RIB [`SETTLE_TIME`] passes before the end. FRR (seen with 8.4.4) sends the marker as soon as it has
//! nothing queued, which is also before it has queued its first route.
//!
//! Invariant: Normal is never left, and Deferring ends at the Selection Deferral Time at the latest.

use std::collections::BTreeMap;
use std::time::Duration;

use bgp_wire::{Family, FamilySet};

use crate::ids::PeerId;
use crate::time::Time;

/// How long an End-of-RIB is not quite believed.
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(2);

/// What can happen while we restart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A peer with graceful restart is configured, and has this long to have a session.
    Expect(PeerId, Duration),
    /// A peer's session is up, and End-of-RIB is to come for these families (none: the peer is not waited for).
    Up(PeerId, FamilySet),
    /// A peer's session ended.
    Down(PeerId),
    /// End-of-RIB came in.
    EndOfRib(PeerId, Family),
    /// A peer may not run, or is not there any more.
    Gone(PeerId),
    /// The owners have said all of their first word.
    IntentComplete,
    /// Time has passed.
    Timeout,
}

/// A peer that is waited for.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Debug, PartialEq, Eq)]
enum Awaited {
    /// It has until then to come up.
    Session(Time),
    /// It is up; these End-of-RIBs are missing.
    EndOfRib(FamilySet),
}

/// The machine.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug)]
pub(crate) enum Restarting {
    /// We do not restart, or not any more.
    Normal {
        /// We did when we were started.
        restarted: bool,
    },
    /// We do.
    Deferring(Deferral),
}

/// What the end of a restart waits for.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug)]
pub(crate) struct Deferral {
    since: Time,
    /// Selection_Deferral_Timer (RFC 4724 §4.1).
    limit: Duration,
    complete: bool,
    awaited: BTreeMap<PeerId, Awaited>,
    /// Until when the last peer may still send what it should have sent before its End-of-RIB.
    settled: Time,
}

impl Restarting {
    /// A speaker that starts `restarting`, for `limit` at most, or cold.
    pub(crate) const fn new(restarting: bool, limit: Duration, now: Time) -> Self {
        if restarting {
            let awaited = BTreeMap::new();
            Self::Deferring(Deferral { since: now, limit, complete: false, awaited, settled: now })
        } else {
            Self::Normal { restarted: false }
        }
    }

    /// Whether we restart: R is set, and nothing is advertised.
    pub(crate) const fn is_deferring(&self) -> bool {
        matches!(self, Self::Deferring(_))
    }

    /// Whether this speaker took over from one before.
    pub(crate) const fn restarted(&self) -> bool {
        matches!(self, Self::Deferring(_) | Self::Normal { restarted: true })
    }

    /// The configuration changed how long this may last.
    pub(crate) const fn set_limit(&mut self, limit: Duration) {
        if let Self::Deferring(deferral) = self {
            deferral.limit = limit;
        }
    }

    /// When [`Input::Timeout`] has to come.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let Self::Deferring(deferral) = self else { return None };
        let sessions = deferral.awaited.values().filter_map(|awaited| match awaited {
            Awaited::Session(until) => Some(*until),
            Awaited::EndOfRib(_) => None,
        });
        let settled = deferral.is_satisfied().then_some(deferral.settled);
        sessions.chain(settled).chain([deferral.end()]).min()
    }

    /// How many peers are waited for.
    #[cfg(test)]
    pub(crate) fn awaited(&self) -> usize {
        if let Self::Deferring(deferral) = self { deferral.awaited.len() } else { 0 }
    }

    /// Puts an input in. True: the restart has just ended.
    pub(crate) fn feed(&mut self, input: Input, now: Time) -> bool {
        let Self::Deferring(deferral) = self else { return false };
        deferral.note(input, now);
        let over = now >= deferral.end();
        if over || deferral.is_satisfied() && now >= deferral.settled {
            *self = Self::Normal { restarted: true };
            return true;
        }
        false
    }
}

impl Deferral {
    /// When it is over, whatever is missing.
    fn end(&self) -> Time {
        self.since + self.limit
    }

    /// Whether nothing is waited for but time.
    fn is_satisfied(&self) -> bool {
        self.complete && self.awaited.is_empty()
    }

    fn note(&mut self, input: Input, now: Time) {
        match input {
            Input::Expect(peer, within) => {
                let until = self.since + within;
                // A peer that was asked for late, or again, gets no second chance.
                if until > now {
                    self.awaited.entry(peer).or_insert(Awaited::Session(until));
                }
            }
            Input::Up(peer, families) if families.is_empty() => {
                self.awaited.remove(&peer);
            }
            Input::Up(peer, families) => {
                if let Some(awaited) = self.awaited.get_mut(&peer) {
                    *awaited = Awaited::EndOfRib(families);
                }
            }
            Input::Down(peer) => {
                let end = self.end();
                if let Some(awaited) = self.awaited.get_mut(&peer) {
                    // It may come back, as long as it still can: the timer bounds it.
                    *awaited = Awaited::Session(end);
                }
            }
            Input::EndOfRib(peer, family) => {
                if let Some(Awaited::EndOfRib(missing)) = self.awaited.get_mut(&peer) {
                    *missing = missing.iter().filter(|other| *other != family).collect();
                    if missing.is_empty() {
                        self.awaited.remove(&peer);
                        self.settled = now + SETTLE_TIME;
                    }
                }
            }
            Input::Gone(peer) => {
                self.awaited.remove(&peer);
            }
            Input::IntentComplete => self.complete = true,
            Input::Timeout => {
                self.awaited
                    .retain(|_, awaited| !matches!(awaited, Awaited::Session(until) if *until <= now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(360);
    const ONE: PeerId = PeerId::new(1);
    const TWO: PeerId = PeerId::new(2);

    fn at(seconds: u32) -> Time {
        Time::ZERO + SECOND * seconds
    }

    fn inputs(peer: PeerId) -> Vec<Input> {
        vec![
            Input::Expect(peer, SECOND * 120),
            Input::Up(peer, FamilySet::EMPTY),
            Input::Up(peer, FamilySet::ALL),
            Input::Down(peer),
            Input::EndOfRib(peer, Family::IPV4_UNICAST),
            Input::Gone(peer),
            Input::IntentComplete,
            Input::Timeout,
        ]
    }

    fn deferring(awaited: &[(PeerId, Awaited)], complete: bool) -> Restarting {
        let awaited = awaited.iter().copied().collect();
        Restarting::Deferring(Deferral { since: at(0), limit: LIMIT, complete, awaited, settled: at(0) })
    }

    /// Every state with every input: whether the restart ends, and how many peers are waited for then.
    #[test]
    fn the_whole_table() {
        let session = (ONE, Awaited::Session(at(120)));
        let one_left = (ONE, Awaited::EndOfRib(FamilySet::IPV4_UNICAST));
        let both_left = (ONE, Awaited::EndOfRib(FamilySet::ALL));
        let (on, end) = (false, true);
        // In the order of `inputs`, at second 10.
        type Row<'a> = (&'a [(PeerId, Awaited)], bool, [(bool, usize); 8]);
        let rows: [Row<'_>; 7] = [
            (&[], false, [(on, 1), (on, 0), (on, 0), (on, 0), (on, 0), (on, 0), (end, 0), (on, 0)]),
            (&[session], false, [(on, 1), (on, 0), (on, 1), (on, 1), (on, 1), (on, 0), (on, 1), (on, 1)]),
            (&[one_left], false, [(on, 1), (on, 0), (on, 1), (on, 1), (on, 0), (on, 0), (on, 1), (on, 1)]),
            (&[both_left], false, [(on, 1), (on, 0), (on, 1), (on, 1), (on, 1), (on, 0), (on, 1), (on, 1)]),
            (&[session], true, [(on, 1), (end, 0), (on, 1), (on, 1), (on, 1), (end, 0), (on, 1), (on, 1)]),
            (&[one_left], true, [(on, 1), (end, 0), (on, 1), (on, 1), (on, 0), (end, 0), (on, 1), (on, 1)]),
            (&[both_left], true, [(on, 1), (end, 0), (on, 1), (on, 1), (on, 1), (end, 0), (on, 1), (on, 1)]),
        ];
        for (awaited, complete, outcomes) in rows {
            for (input, outcome) in inputs(ONE).into_iter().zip(outcomes) {
                let mut machine = deferring(awaited, complete);
                let ended = machine.feed(input, at(10));
                assert_eq!((ended, machine.awaited()), outcome, "{awaited:?} {complete} {input:?}");
                assert_eq!(ended, !machine.is_deferring());
                assert!(machine.restarted());
            }
        }
        for input in inputs(ONE) {
            for restarted in [false, true] {
                let mut machine = Restarting::Normal { restarted };
                assert!(!machine.feed(input, at(10)) && !machine.is_deferring());
                assert_eq!((machine.restarted(), machine.deadline()), (restarted, None));
            }
        }
    }

    #[test]
    fn a_peer_that_is_not_back_within_the_restart_time_is_not_waited_for() {
        let mut machine = Restarting::new(true, LIMIT, at(0));
        machine.feed(Input::Expect(ONE, SECOND * 120), at(0));
        machine.feed(Input::Expect(TWO, SECOND * 20), at(0));
        machine.feed(Input::IntentComplete, at(1));
        assert_eq!(machine.deadline(), Some(at(20)));
        assert!(!machine.feed(Input::Timeout, at(20)));
        assert_eq!((machine.awaited(), machine.deadline()), (1, Some(at(120))));
        machine.feed(Input::Up(ONE, FamilySet::ALL), at(30));
        assert_eq!(machine.deadline(), Some(at(360)), "it is there, now only its End-of-RIB counts");
        machine.feed(Input::EndOfRib(ONE, Family::IPV6_UNICAST), at(31));
        assert!(!machine.feed(Input::EndOfRib(ONE, Family::IPV4_UNICAST), at(32)));
        assert_eq!(machine.deadline(), Some(at(34)), "a moment for what comes behind its marker");
        assert!(!machine.feed(Input::Timeout, at(33)));
        assert!(machine.feed(Input::Timeout, at(34)));
    }

    #[test]
    fn the_deferral_timer_ends_whatever_is_missing() {
        let mut machine = Restarting::new(true, LIMIT, at(0));
        machine.feed(Input::Expect(ONE, SECOND * 120), at(0));
        machine.feed(Input::Up(ONE, FamilySet::ALL), at(1));
        assert!(!machine.feed(Input::Timeout, at(359)));
        assert!(machine.feed(Input::Timeout, at(360)));
    }
}
