//! A peer restarts and we help: its routes stay in use until it had its chance to send them again (RFC 4724 §4.2,
//! RFC 8538 §4), and for much longer, but as a last resort only, if both sides want that (RFC 9494 §4.2).
//!
//! One state per family of a peer:
//!
//! ```text
//!             Lost: mark stale             BackPreserved
//!    Fresh ────────────────────► Awaited ────────────────► Refreshing ─┐ Lost: sweep what is still stale,
//!      ▲                           │ ▲ │                      │  │     │ mark the rest stale (LostLong: mark all)
//!      │  RestartTime, Back,       │ └─│──────────────────────│──┼─────┘
//!      │  Gone: sweep              │   │ LongLivedBegins: age │  │
//!      ├───────────────────────────┘   ▼       BackPreserved  │  │
//!      ├─────────────────────────── LongLived ──────────────► LongRefreshing ─┐ LostLong: mark all, age
//!      │  LongLivedTime, Back,         ▲                      │  │    │       │
//!      │  Gone: sweep                  └──────────────────────│──│────│───────┘
//!      └──────────────────────────────────────────────────────┘  │    │
//!           EndOfRib, StaleTime, LongLivedTime, Back, Gone: sweep ◄───┘
//! ```
//!
//! *Awaited*: there is no session, the restart timer runs (the peer's Restart Time). *LongLived*: there is still none, and the
//! long-lived stale timer of the family runs; its routes carry LLGR_STALE. *Refreshing*: there is a session again, the stale
//! timer runs ([`STALE_TIME`], from when the session came up). *LongRefreshing*: the same, and the long-lived stale timer
//! still runs: nothing but the end of the peer's dump stops it (RFC 9494 §4.2).
//!
//! How a session may end ([`Ending`]): routes are kept when the connection failed or the hold timer expired, and after a
//! NOTIFICATION of either side if both set the N bit (RFC 8538) and it was no Hard Reset. They are never kept when somebody
//! meant the session to end. A hold timer that expires is taken for the sign of a peer that died, N bit or not.
//!
//! A peer that comes back before we noticed that it went is not treated as RFC 4724 §4.2 has it (the new connection ends the
//! established one): a KEEPALIVE on the old connection makes a peer that restarted reset it, and one that did not keep it.
//!
//! Invariants: the function is total; a family has stale routes only in states other than Fresh, and long-lived ones only in
//! LongLived and LongRefreshing; each of these has a timer that leads out of it.

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
    /// The same for longer than the peer's Restart Time.
    LongLived,
    /// The session is back, End-of-RIB is not.
    Refreshing,
    /// The same, and the peer was away for longer than its Restart Time.
    LongRefreshing,
}

impl State {
    const fn is_long_lived(self) -> bool {
        matches!(self, Self::LongLived | Self::LongRefreshing)
    }
}

/// What can happen to a family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The session ended, and the peer said of this family that it can restart.
    Lost,
    /// The same, and both sides want its routes kept beyond its Restart Time.
    LostLong,
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
    /// The restart timer expired, and both sides want routes kept beyond that.
    LongLivedBegins,
    /// The stale timer expired.
    StaleTime,
    /// The long-lived stale timer expired.
    LongLivedTime,
}

/// What to do with the routes of a family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Take out what is stale, and mark what is left.
    Mark,
    /// Mark all, and leave what was stale before (RFC 9494 §4.2, consecutive restarts).
    MarkAll,
    /// Make what is stale a last resort: LLGR_STALE.
    Age,
    /// Mark all, and make all of it a last resort.
    MarkAndAge,
    /// Take out what is stale.
    Sweep,
}

/// What `input` does in `state`.
pub(crate) const fn transition(state: State, input: Input) -> (State, Effect) {
    match (state, input) {
        (State::Fresh, Input::Lost | Input::LostLong) | (State::Refreshing, Input::Lost) => {
            (State::Awaited, Effect::Mark)
        }
        (State::Refreshing, Input::LostLong) => (State::Awaited, Effect::MarkAll),
        (State::LongRefreshing, Input::LostLong) => (State::LongLived, Effect::MarkAndAge),
        // The session in between gave no time for long-lived routes any more.
        (State::LongRefreshing, Input::Lost) => (State::Awaited, Effect::Mark),
        // There is no session that could end.
        (State::Awaited | State::LongLived, Input::Lost | Input::LostLong) => (state, Effect::None),
        (State::Fresh, _) => (State::Fresh, Effect::None),
        (State::Awaited, Input::BackPreserved) => (State::Refreshing, Effect::None),
        (State::LongLived, Input::BackPreserved) => (State::LongRefreshing, Effect::None),
        (State::Awaited, Input::LongLivedBegins) => (State::LongLived, Effect::Age),
        (_, Input::Gone | Input::Back) => (State::Fresh, Effect::Sweep),
        (State::Awaited, Input::RestartTime) => (State::Fresh, Effect::Sweep),
        (State::Refreshing | State::LongRefreshing, Input::EndOfRib | Input::StaleTime) => {
            (State::Fresh, Effect::Sweep)
        }
        (State::LongLived | State::LongRefreshing, Input::LongLivedTime) => (State::Fresh, Effect::Sweep),
        // Timers of other states, and what only a session can bring.
        (State::Awaited | State::LongLived, Input::EndOfRib | Input::StaleTime)
        | (State::LongLived | State::LongRefreshing, Input::RestartTime | Input::LongLivedBegins)
        | (State::Refreshing, Input::RestartTime | Input::LongLivedBegins)
        | (State::Refreshing | State::LongRefreshing, Input::BackPreserved)
        | (State::Awaited | State::Refreshing, Input::LongLivedTime) => (state, Effect::None),
    }
}

/// How a session ended, as far as it matters here.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The connection failed.
    Failed,
    /// A hold timer expired, or either side sent another NOTIFICATION that is not a Hard Reset.
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
    /// The peer's routes were kept for as long as it may ever be away (RFC 9494).
    LongLivedTime,
    /// The routes carry NO_LLGR: they are not kept beyond the Restart Time.
    NoLongLived,
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
            Self::LongLivedTime => "long-lived-time",
            Self::NoLongLived => "no-llgr",
            Self::NotPreserved => "not-preserved",
            Self::Given => "given-up",
        }
    }
}

/// What becomes of the routes of a session that ended.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// They stay.
    pub(crate) families: FamilySet,
    /// Also those that were stale already.
    pub(crate) with_stale: FamilySet,
    /// They are a last resort at once.
    pub(crate) aged: FamilySet,
}

/// What a timer does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Stale routes of these go.
    pub(crate) swept: FamilySet,
    /// Why.
    pub(crate) cause: SweepCause,
    /// Stale routes of these become a last resort.
    pub(crate) aged: FamilySet,
}

/// All families of one peer, and their timers.
#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
pub(crate) struct Helper {
    states: [State; FAMILIES.len()],
    restart: Option<Time>,
    stale: Option<Time>,
    /// Until when the peer's routes are kept in all, if that is bounded.
    cap: Option<Time>,
    /// Until when the long-lived routes of a family are kept.
    long: [Option<Time>; FAMILIES.len()],
    /// For how long that will be, once the Restart Time is over.
    long_time: [Duration; FAMILIES.len()],
}

/// In the order of everything that is kept per family here.
pub(crate) const FAMILIES: [Family; 2] = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];

impl Helper {
    /// A session ended. Says what becomes of its routes.
    pub(crate) fn lost(&mut self, agreed: &Agreed, ending: Ending, now: Time) -> Kept {
        let keep = match ending {
            Ending::Failed => true,
            Ending::Notified => agreed.notification,
            Ending::Meant => false,
        };
        let restart_time = agreed.restart_time.min(agreed.stale_time.unwrap_or(Duration::MAX));
        let long = agreed.long_lived;
        let short = |family| agreed.families.contains(family) && keep && !restart_time.is_zero();
        let effects = self.feed_each(|position, family| match (short(family), long.get(position)) {
            (_, Some(time)) if keep && !time.is_zero() => Input::LostLong,
            (true, _) => Input::Lost,
            (false, _) => Input::Gone,
        });
        let mut kept = Kept { families: self.kept(), ..Kept::default() };
        kept.with_stale = effects.iter_where(|effect| matches!(effect, Effect::MarkAll | Effect::MarkAndAge));
        kept.aged = effects.iter_where(|effect| effect == Effect::MarkAndAge);
        self.long_time = long;
        // Families without a Restart Time of their own are a last resort from the beginning.
        let at_once = self.begin_long_lived(now, |family| !short(family));
        kept.aged = kept.aged.iter().chain(at_once.iter()).collect();
        self.restart = self.states.contains(&State::Awaited).then(|| now + restart_time);
        self.cap = agreed.stale_time.map(|time| now + time);
        self.stale = None;
        self.forget_timers();
        kept
    }

    /// A session came up. Says of which families the stale routes go at once.
    pub(crate) fn back(&mut self, agreed: &Agreed, now: Time) -> FamilySet {
        let states = self.states;
        let preserved = |position: usize, family| match states.get(position) {
            Some(State::LongLived) => agreed.long_preserved.contains(family),
            _ => agreed.preserved.contains(family),
        };
        let effects =
            self.feed_each(
                |position, family| {
                    if preserved(position, family) { Input::BackPreserved } else { Input::Back }
                },
            );
        self.restart = None;
        let until = now + STALE_TIME;
        // Who was away for longer than our own limit is not held to it: its routes are long-lived.
        let cap = self.cap.take().filter(|cap| *cap > now);
        self.stale = (!self.kept().is_empty()).then(|| cap.unwrap_or(until));
        self.forget_timers();
        effects.iter_where(|effect| effect == Effect::Sweep)
    }

    /// End-of-RIB came in. Says whether stale routes go.
    pub(crate) fn end_of_rib(&mut self, family: Family) -> bool {
        let swept = self.feed_where(|other| other == family, Input::EndOfRib);
        if self.kept().is_empty() {
            self.stale = None;
        }
        self.forget_timers();
        !swept.is_empty()
    }

    /// The peer is not expected any more. Says of which families stale routes go.
    pub(crate) fn give_up(&mut self) -> FamilySet {
        (self.restart, self.stale) = (None, None);
        let swept = self.feed_where(|_| true, Input::Gone);
        self.forget_timers();
        swept
    }

    /// Time has passed. Says what to do about it; to be called until it says nothing.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Expired> {
        if self.restart.take_if(|at| *at <= now).is_some() {
            let aged = self.begin_long_lived(now, |_| true);
            let swept = self.feed_where(|_| true, Input::RestartTime);
            return Some(Expired { swept, cause: SweepCause::RestartTime, aged });
        }
        let aged = FamilySet::EMPTY;
        if self.stale.take_if(|at| *at <= now).is_some() {
            let swept = self.feed_where(|_| true, Input::StaleTime);
            self.forget_timers();
            return Some(Expired { swept, cause: SweepCause::StaleTime, aged });
        }
        let over = self.long.iter_mut().position(|long| long.take_if(|at| *at <= now).is_some())?;
        let family = FAMILIES.get(over).copied();
        let swept = self.feed_where(|other| Some(other) == family, Input::LongLivedTime);
        if self.kept().is_empty() {
            self.stale = None;
        }
        Some(Expired { swept, cause: SweepCause::LongLivedTime, aged })
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

    /// Until when the long-lived stale routes of each family are kept, in the order of [`FAMILIES`].
    pub(crate) const fn long_lived_deadlines(&self) -> [Option<Time>; FAMILIES.len()] {
        self.long
    }

    /// The same with the families.
    pub(crate) fn long_lived(&self) -> [(Family, Option<Time>); FAMILIES.len()] {
        let mut deadlines = self.long.into_iter();
        FAMILIES.map(|family| (family, deadlines.next().flatten()))
    }

    /// When [`Helper::handle_timeout`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.restart, self.stale].into_iter().chain(self.long).flatten().min()
    }

    /// What must hold at any time, for the simulation.
    pub(crate) fn check(&self) -> Result<(), String> {
        let awaited = self.states.contains(&State::Awaited);
        let away = awaited || self.states.contains(&State::LongLived);
        let refreshing =
            self.states.iter().any(|state| matches!(state, State::Refreshing | State::LongRefreshing));
        if away && refreshing {
            return Err(format!("families both with and without a session: {:?}", self.states));
        }
        let timed = |(state, long): (&State, &Option<Time>)| state.is_long_lived() == long.is_some();
        if awaited != self.restart.is_some()
            || refreshing != self.stale.is_some()
            || !self.states.iter().zip(&self.long).all(timed)
        {
            let timers = (self.restart, self.stale, self.long);
            return Err(format!("{:?} with timers {timers:?}", self.states));
        }
        Ok(())
    }

    /// Families whose Restart Time is over, and which live on beyond it.
    fn begin_long_lived(&mut self, now: Time, wanted: impl Fn(Family) -> bool) -> FamilySet {
        let mut aged = FamilySet::EMPTY;
        let timers = self.long.iter_mut().zip(self.long_time);
        for ((family, state), (until, time)) in FAMILIES.into_iter().zip(&mut self.states).zip(timers) {
            if *state == State::Awaited && wanted(family) && !time.is_zero() {
                let (next, effect) = transition(*state, Input::LongLivedBegins);
                *state = next;
                if effect == Effect::Age {
                    *until = Some(now + time);
                    aged.insert(family);
                }
            }
        }
        aged
    }

    /// Timers of what is not long-lived any more.
    fn forget_timers(&mut self) {
        for (state, long) in self.states.iter().zip(&mut self.long) {
            if !state.is_long_lived() {
                *long = None;
            }
        }
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

    fn feed_each(&mut self, input: impl Fn(usize, Family) -> Input) -> Effects {
        let mut effects = Effects([Effect::None; FAMILIES.len()]);
        let places = self.states.iter_mut().zip(&mut effects.0);
        for (position, (family, (state, effect))) in FAMILIES.into_iter().zip(places).enumerate() {
            (*state, *effect) = transition(*state, input(position, family));
        }
        effects
    }
}

/// An effect for each family.
struct Effects([Effect; FAMILIES.len()]);

impl Effects {
    fn iter_where(&self, wanted: impl Fn(Effect) -> bool) -> FamilySet {
        FAMILIES
            .into_iter()
            .zip(self.0)
            .filter(|(_, effect)| wanted(*effect))
            .map(|(family, _)| family)
            .collect()
    }
}

#[cfg(test)]
#[path = "helper_tests.rs"]
mod tests;
