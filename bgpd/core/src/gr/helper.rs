//! A peer restarts and we help: its routes stay in use until it had its chance to send them again (RFC 4724 §4.2,
//! RFC 8538 §4).
//!
//! One state per family of a peer:
//!
//! ```text
//!             Lost: mark stale             BackPreserved
//!    Fresh ────────────────────► Awaited ────────────────► Refreshing ─┐ Lost: sweep what is still stale,
//!      ▲                           │ ▲                        │  │     │ mark the rest stale
//!      │  RestartTime, Back,       │ └────────────────────────│──┼─────┘
//!      │  Gone: sweep              │                          │  │
//!      ├───────────────────────────┘                          │  │
//!      └──────────────────────────────────────────────────────┘  │
//!           EndOfRib, StaleTime, Back, Gone: sweep ◄─────────────┘
//! ```
//!
//! *Awaited*: there is no session, the restart timer runs (the peer's Restart Time). *Refreshing*: there is a session
//! again, the stale timer runs ([`STALE_TIME`], from when the session came up).
//!
//! How a session may end ([`Ending`]): routes are kept when the connection failed or the hold timer expired, and after a
//! NOTIFICATION of either side if both set the N bit (RFC 8538) and it was no Hard Reset. They are never kept when somebody
//! meant the session to end. A hold timer that expires is taken for the sign of a peer that died, N bit or not.
//!
//! A peer that comes back before we noticed that it went is not treated as RFC 4724 §4.2 has it (the new connection ends the
//! established one): a KEEPALIVE on the old connection makes a peer that restarted reset it, and one that did not keep it.
//!
//! Invariants: the function is total; a family has stale routes only in Awaited and Refreshing; each of these has a timer
//! that leads out of it.

use std::time::Duration;

use bgp_wire::{Family, FamilySet};

use crate::gr::capability::Agreed;
use crate::time::Time;

/// Longest time between a peer's return and the end of what it did not send again.
pub(crate) const STALE_TIME: Duration = Duration::from_secs(360);

/// State of one family.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// No stale routes.
    #[default]
    Fresh,
    /// The session is gone, its routes are kept.
    Awaited,
    /// The session is back, End-of-RIB is not.
    Refreshing,
}

/// What can happen to a family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The session ended, and the peer said of this family that it can restart.
    Lost,
    /// The session ended, or it is clear that the peer does not come back to it: nothing is kept.
    Gone,
    /// A session came up, and the peer kept forwarding for this family.
    BackPreserved,
    /// A session came up, and the peer did not, or the family is not there any more.
    Back,
    /// End-of-RIB came in.
    EndOfRib,
    /// The restart timer expired.
    RestartTime,
    /// The stale timer expired.
    StaleTime,
}

/// What to do with the routes of a family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Take out what is stale, and mark what is left.
    Mark,
    /// Take out what is stale.
    Sweep,
}

/// What `input` does in `state`.
pub(crate) const fn transition(state: State, input: Input) -> (State, Effect) {
    match (state, input) {
        (State::Fresh | State::Refreshing, Input::Lost) => (State::Awaited, Effect::Mark),
        // There is no session that could end.
        (State::Awaited, Input::Lost) => (State::Awaited, Effect::None),
        (State::Fresh, _) => (State::Fresh, Effect::None),
        (State::Awaited, Input::BackPreserved) => (State::Refreshing, Effect::None),
        (State::Awaited, Input::Gone | Input::Back | Input::RestartTime) => (State::Fresh, Effect::Sweep),
        (State::Awaited, Input::EndOfRib | Input::StaleTime) => (State::Awaited, Effect::None),
        (State::Refreshing, Input::Gone | Input::Back | Input::EndOfRib | Input::StaleTime) => {
            (State::Fresh, Effect::Sweep)
        }
        (State::Refreshing, Input::BackPreserved | Input::RestartTime) => (State::Refreshing, Effect::None),
    }
}

/// How a session ended, as far as it matters here.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The connection failed, or the peer fell silent.
    Failed,
    /// Either side sent a NOTIFICATION that is not a Hard Reset.
    Notified,
    /// Either side wanted it to end for good.
    Meant,
}

/// Why routes were swept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SweepCause {
    /// The peer sent End-of-RIB: what it did not send again is gone.
    EndOfRib,
    /// The peer was not back in time.
    RestartTime,
    /// The peer was back and sent no End-of-RIB in time.
    StaleTime,
    /// The peer came back without having kept its forwarding.
    NotPreserved,
    /// The peer is not expected any more: shut down, reset or reconfigured.
    Given,
}

impl SweepCause {
    /// The variant's name, for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::EndOfRib => "end-of-rib",
            Self::RestartTime => "restart-time",
            Self::StaleTime => "stale-time",
            Self::NotPreserved => "not-preserved",
            Self::Given => "given-up",
        }
    }
}

/// All families of one peer, and their timers.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
pub(crate) struct Helper {
    states: [State; FAMILIES.len()],
    restart: Option<Time>,
    stale: Option<Time>,
}

const FAMILIES: [Family; 2] = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];

impl Helper {
    /// A session ended. Says of which families the routes are kept.
    pub(crate) fn lost(&mut self, agreed: &Agreed, ending: Ending, now: Time) -> FamilySet {
        let keep = match ending {
            Ending::Failed => true,
            Ending::Notified => agreed.notification,
            Ending::Meant => false,
        };
        let may = if keep && !agreed.restart_time.is_zero() { agreed.families } else { FamilySet::EMPTY };
        self.feed_each(|family| if may.contains(family) { Input::Lost } else { Input::Gone });
        self.restart = (!may.is_empty()).then(|| now + agreed.restart_time);
        self.stale = None;
        may
    }

    /// A session came up. Says of which families the stale routes go at once.
    pub(crate) fn back(&mut self, agreed: &Agreed, now: Time) -> FamilySet {
        let preserved = agreed.preserved;
        let swept = self
            .feed_each(|family| if preserved.contains(family) { Input::BackPreserved } else { Input::Back });
        self.restart = None;
        self.stale = (!self.kept().is_empty()).then(|| now + STALE_TIME);
        swept
    }

    /// End-of-RIB came in. Says whether stale routes go.
    pub(crate) fn end_of_rib(&mut self, family: Family) -> bool {
        let swept = self.feed_where(|other| other == family, Input::EndOfRib);
        if self.kept().is_empty() {
            self.stale = None;
        }
        !swept.is_empty()
    }

    /// The peer is not expected any more. Says of which families stale routes go.
    pub(crate) fn give_up(&mut self) -> FamilySet {
        (self.restart, self.stale) = (None, None);
        self.feed_where(|_| true, Input::Gone)
    }

    /// Time has passed. Says of which families stale routes go, and why.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<(FamilySet, SweepCause)> {
        if self.restart.take_if(|at| *at <= now).is_some() {
            return Some((self.feed_where(|_| true, Input::RestartTime), SweepCause::RestartTime));
        }
        if self.stale.take_if(|at| *at <= now).is_some() {
            return Some((self.feed_where(|_| true, Input::StaleTime), SweepCause::StaleTime));
        }
        None
    }

    /// Families that have stale routes, or may have.
    pub(crate) fn kept(&self) -> FamilySet {
        let states = FAMILIES.into_iter().zip(self.states);
        states.filter(|(_, state)| *state != State::Fresh).map(|(family, _)| family).collect()
    }

    /// Until when the peer has to be back.
    pub(crate) const fn restart_deadline(&self) -> Option<Time> {
        self.restart
    }

    /// Until when it has to have sent its routes again.
    pub(crate) const fn stale_deadline(&self) -> Option<Time> {
        self.stale
    }

    /// What must hold at any time, for the simulation.
    pub(crate) fn check(&self) -> Result<(), String> {
        let awaited = self.states.contains(&State::Awaited);
        let refreshing = self.states.contains(&State::Refreshing);
        if awaited && refreshing {
            return Err(format!("families both with and without a session: {:?}", self.states));
        }
        if awaited != self.restart.is_some() || refreshing != self.stale.is_some() {
            return Err(format!("{:?} with timers {:?}, {:?}", self.states, self.restart, self.stale));
        }
        Ok(())
    }

    fn feed_where(&mut self, wanted: impl Fn(Family) -> bool, input: Input) -> FamilySet {
        let mut swept = FamilySet::EMPTY;
        for (family, state) in FAMILIES.into_iter().zip(&mut self.states) {
            if wanted(family) {
                let (next, effect) = transition(*state, input);
                *state = next;
                if effect == Effect::Sweep {
                    swept.insert(family);
                }
            }
        }
        swept
    }

    fn feed_each(&mut self, input: impl Fn(Family) -> Input) -> FamilySet {
        let mut swept = FamilySet::EMPTY;
        for (family, state) in FAMILIES.into_iter().zip(&mut self.states) {
            let (next, effect) = transition(*state, input(family));
            *state = next;
            if effect == Effect::Sweep {
                swept.insert(family);
            }
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Every state with every input.
    #[test]
    fn the_whole_table() {
        use Effect::{Mark, None, Sweep};
        use Input::{Back, BackPreserved, EndOfRib, Gone, Lost, RestartTime, StaleTime};
        use State::{Awaited, Fresh, Refreshing};
        let rows = [
            (
                Fresh,
                [
                    (Lost, Awaited, Mark),
                    (Gone, Fresh, None),
                    (BackPreserved, Fresh, None),
                    (Back, Fresh, None),
                ],
            ),
            (
                Awaited,
                [
                    (Lost, Awaited, None),
                    (Gone, Fresh, Sweep),
                    (BackPreserved, Refreshing, None),
                    (Back, Fresh, Sweep),
                ],
            ),
            (
                Refreshing,
                [
                    (Lost, Awaited, Mark),
                    (Gone, Fresh, Sweep),
                    (BackPreserved, Refreshing, None),
                    (Back, Fresh, Sweep),
                ],
            ),
        ];
        let more = [
            (Fresh, [(EndOfRib, Fresh, None), (RestartTime, Fresh, None), (StaleTime, Fresh, None)]),
            (Awaited, [(EndOfRib, Awaited, None), (RestartTime, Fresh, Sweep), (StaleTime, Awaited, None)]),
            (
                Refreshing,
                [(EndOfRib, Fresh, Sweep), (RestartTime, Refreshing, None), (StaleTime, Fresh, Sweep)],
            ),
        ];
        let rows = rows.iter().flat_map(|(state, row)| row.iter().map(move |cell| (*state, *cell)));
        let more = more.iter().flat_map(|(state, row)| row.iter().map(move |cell| (*state, *cell)));
        let mut seen = 0;
        for (state, (input, next, effect)) in rows.chain(more) {
            assert_eq!(transition(state, input), (next, effect), "{state:?} {input:?}");
            seen += 1;
        }
        assert_eq!(seen, 3 * 7);
    }

    fn agreed() -> Agreed {
        Agreed {
            both: true,
            restarting: false,
            notification: true,
            restart_time: SECOND * 120,
            families: FamilySet::ALL,
            preserved: FamilySet::ALL,
        }
    }

    #[test]
    fn what_is_kept_depends_on_how_the_session_ended() {
        let deaf = Agreed { notification: false, ..agreed() };
        let no_time = Agreed { restart_time: Duration::ZERO, ..agreed() };
        let rows = [
            (agreed(), Ending::Failed, FamilySet::ALL),
            (agreed(), Ending::Notified, FamilySet::ALL),
            (agreed(), Ending::Meant, FamilySet::EMPTY),
            (deaf, Ending::Failed, FamilySet::ALL),
            (deaf, Ending::Notified, FamilySet::EMPTY),
            (no_time, Ending::Failed, FamilySet::EMPTY),
            (Agreed::default(), Ending::Failed, FamilySet::EMPTY),
        ];
        for (agreed, ending, kept) in rows {
            let mut helper = Helper::default();
            assert_eq!(helper.lost(&agreed, ending, Time::ZERO), kept, "{agreed:?} {ending:?}");
            assert_eq!(helper.kept(), kept);
            helper.check().unwrap();
        }
    }

    #[test]
    fn each_family_ends_by_its_own_end_of_rib() {
        let mut helper = Helper::default();
        helper.lost(&agreed(), Ending::Failed, Time::ZERO);
        assert_eq!(helper.restart_deadline(), Some(Time::ZERO + SECOND * 120));
        let v4_only = Agreed { preserved: FamilySet::IPV4_UNICAST, ..agreed() };
        assert_eq!(helper.back(&v4_only, Time::ZERO + SECOND), FamilySet::IPV6_UNICAST);
        assert_eq!(helper.restart_deadline(), None);
        assert_eq!(helper.stale_deadline(), Some(Time::ZERO + SECOND + STALE_TIME));
        assert!(!helper.end_of_rib(Family::IPV6_UNICAST));
        assert!(helper.end_of_rib(Family::IPV4_UNICAST));
        assert!(!helper.end_of_rib(Family::IPV4_UNICAST));
        assert_eq!(helper.stale_deadline(), None);
        helper.check().unwrap();
    }

    #[test]
    fn timers_end_what_nothing_else_ends() {
        let mut helper = Helper::default();
        helper.lost(&agreed(), Ending::Failed, Time::ZERO);
        assert_eq!(helper.handle_timeout(Time::ZERO + SECOND * 119), None);
        let all = |cause| Some((FamilySet::ALL, cause));
        assert_eq!(helper.handle_timeout(Time::ZERO + SECOND * 120), all(SweepCause::RestartTime));
        helper.check().unwrap();
        helper.lost(&agreed(), Ending::Failed, Time::ZERO);
        assert_eq!(helper.back(&agreed(), Time::ZERO), FamilySet::EMPTY);
        assert_eq!(helper.handle_timeout(Time::ZERO + STALE_TIME), all(SweepCause::StaleTime));
        helper.check().unwrap();
        helper.lost(&agreed(), Ending::Failed, Time::ZERO);
        assert_eq!(helper.give_up(), FamilySet::ALL);
        assert_eq!((helper.restart_deadline(), helper.give_up()), (None, FamilySet::EMPTY));
    }
}
