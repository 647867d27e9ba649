//! Every state with every input, and the timers (RFC 4724, RFC 8538, RFC 9494).

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Every state with every input.
#[test]
fn the_whole_table() {
    use Effect::{Age, Mark, MarkAll, MarkAndAge, None, Sweep};
    use State::{Awaited, Fresh, LongLived, LongRefreshing, Refreshing};
    let inputs = [
        Input::Lost,
        Input::LostLong,
        Input::Gone,
        Input::BackPreserved,
        Input::Back,
        Input::EndOfRib,
        Input::RestartTime,
        Input::LongLivedBegins,
        Input::StaleTime,
        Input::LongLivedTime,
    ];
    let (stay, gone) = (Option::None, Some((Fresh, Sweep)));
    // In the order of `inputs`; `stay`: nothing happens.
    let rows = [
        (
            Fresh,
            [Some((Awaited, Mark)), Some((Awaited, Mark)), stay, stay, stay, stay, stay, stay, stay, stay],
        ),
        (
            Awaited,
            [
                stay,
                stay,
                gone,
                Some((Refreshing, None)),
                gone,
                stay,
                gone,
                Some((LongLived, Age)),
                stay,
                stay,
            ],
        ),
        (LongLived, [stay, stay, gone, Some((LongRefreshing, None)), gone, stay, stay, stay, stay, gone]),
        (
            Refreshing,
            [Some((Awaited, Mark)), Some((Awaited, MarkAll)), gone, stay, gone, gone, stay, stay, gone, stay],
        ),
        (
            LongRefreshing,
            [
                Some((Awaited, Mark)),
                Some((LongLived, MarkAndAge)),
                gone,
                stay,
                gone,
                gone,
                stay,
                stay,
                gone,
                gone,
            ],
        ),
    ];
    for (state, outcomes) in rows {
        for (input, outcome) in inputs.into_iter().zip(outcomes) {
            let expected = outcome.unwrap_or((state, None));
            assert_eq!(transition(state, input), expected, "{state:?} {input:?}");
        }
    }
}

fn agreed() -> Agreed {
    Agreed {
        both: true,
        restarting: false,
        notification: true,
        restart_time: SECOND * 120,
        families: FamilySet::ALL,
        preserved: FamilySet::ALL,
        ..Agreed::default()
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
        assert_eq!(helper.lost(&agreed, ending, Time::ZERO).families, kept, "{agreed:?} {ending:?}");
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
    let aged = FamilySet::EMPTY;
    let all = |cause| Some(Expired { swept: FamilySet::ALL, cause, aged });
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

const V4: FamilySet = FamilySet::IPV4_UNICAST;
const V6: FamilySet = FamilySet::IPV6_UNICAST;

/// IPv4 routes are kept for an hour after the Restart Time of 120 s.
fn long() -> Agreed {
    Agreed { long_lived: [SECOND * 3600, Duration::ZERO], long_preserved: V4, ..agreed() }
}

fn at(seconds: u32) -> Time {
    Time::ZERO + SECOND * seconds
}

/// A helper that waits for a peer beyond its Restart Time.
fn waiting_long() -> Helper {
    let mut helper = Helper::default();
    let kept = helper.lost(&long(), Ending::Failed, at(0));
    assert_eq!(kept, Kept { families: FamilySet::ALL, ..Kept::default() });
    let expired = Expired { swept: V6, cause: SweepCause::RestartTime, aged: V4 };
    assert_eq!(helper.handle_timeout(at(120)), Some(expired));
    assert_eq!(helper.handle_timeout(at(120)), None);
    assert_eq!((helper.kept(), helper.deadline()), (V4, Some(at(3720))));
    helper.check().unwrap();
    helper
}

#[test]
fn a_family_lives_on_after_the_restart_time_and_ends_with_its_own_timer() {
    let mut helper = waiting_long();
    assert_eq!(helper.handle_timeout(at(3719)), None);
    let expired = Expired { swept: V4, cause: SweepCause::LongLivedTime, aged: FamilySet::EMPTY };
    assert_eq!(helper.handle_timeout(at(3720)), Some(expired));
    assert_eq!((helper.kept(), helper.deadline()), (FamilySet::EMPTY, None));
    helper.check().unwrap();
}

#[test]
fn who_comes_back_late_needs_the_long_lived_f_bit() {
    for (preserved, long_preserved, swept) in [
        (FamilySet::ALL, V4, FamilySet::EMPTY),
        (FamilySet::EMPTY, V4, FamilySet::EMPTY),
        (FamilySet::ALL, FamilySet::EMPTY, V4),
        (FamilySet::ALL, V6, V4),
    ] {
        let mut helper = waiting_long();
        let back = Agreed { preserved, long_preserved, ..long() };
        assert_eq!(helper.back(&back, at(1000)), swept);
        helper.check().unwrap();
    }
    let mut helper = waiting_long();
    assert_eq!(helper.back(&Agreed::default(), at(1000)), V4, "without the capability");
}

#[test]
fn the_long_lived_timer_goes_on_until_the_dump_is_over() {
    let mut helper = waiting_long();
    helper.back(&long(), at(3600));
    assert_eq!(helper.deadline(), Some(at(3720)));
    let expired = Expired { swept: V4, cause: SweepCause::LongLivedTime, aged: FamilySet::EMPTY };
    assert_eq!(helper.handle_timeout(at(3720)), Some(expired));
    assert_eq!((helper.stale_deadline(), helper.deadline()), (None, None));
    helper.check().unwrap();

    let mut helper = waiting_long();
    helper.back(&long(), at(1000));
    // Lost again before it was done: neither timer begins anew, and everything is a last resort at once.
    let kept = helper.lost(&long(), Ending::Failed, at(1100));
    assert_eq!(kept.aged, V4);
    assert_eq!(kept.with_stale, V4);
    assert_eq!(helper.long_lived_deadlines(), [Some(at(3720)), None]);
    helper.check().unwrap();
    helper.back(&long(), at(1200));
    assert!(helper.end_of_rib(Family::IPV4_UNICAST));
    assert_eq!(helper.long_lived_deadlines(), [None, None]);
    helper.end_of_rib(Family::IPV6_UNICAST);
    helper.check().unwrap();
}

#[test]
fn a_second_restart_in_time_keeps_what_the_first_left() {
    let mut helper = Helper::default();
    helper.lost(&long(), Ending::Failed, at(0));
    helper.back(&long(), at(10));
    let kept = helper.lost(&long(), Ending::Failed, at(20));
    assert_eq!((kept.families, kept.with_stale, kept.aged), (FamilySet::ALL, V4, FamilySet::EMPTY));
    assert_eq!(helper.restart_deadline(), Some(at(140)));
    helper.check().unwrap();
}

#[test]
fn without_a_restart_time_routes_are_a_last_resort_at_once() {
    let no_time = Agreed { restart_time: Duration::ZERO, ..long() };
    let not_listed = Agreed { families: V6, ..long() };
    for (agreed, families) in [(no_time, V4), (not_listed, FamilySet::ALL)] {
        let mut helper = Helper::default();
        let kept = helper.lost(&agreed, Ending::Failed, at(0));
        assert_eq!((kept.families, kept.aged), (families, V4));
        assert_eq!(helper.long_lived_deadlines(), [Some(at(3600)), None]);
        helper.check().unwrap();
    }
}

#[test]
fn what_is_meant_ends_long_lived_routes_too() {
    let mut helper = waiting_long();
    assert_eq!(helper.give_up(), V4);
    assert_eq!(helper.deadline(), None);
    let mut helper = Helper::default();
    assert_eq!(helper.lost(&long(), Ending::Meant, at(0)), Kept::default());
    let deaf = Agreed { notification: false, ..long() };
    assert_eq!(helper.lost(&deaf, Ending::Notified, at(0)), Kept::default());
    helper.check().unwrap();
}

#[test]
fn our_own_stale_time_counts_if_it_is_shorter_or_longer_afterwards() {
    let short = Agreed { stale_time: Some(SECOND * 30), ..long() };
    let mut helper = Helper::default();
    helper.lost(&short, Ending::Failed, at(0));
    assert_eq!(helper.restart_deadline(), Some(at(30)));
    helper.back(&short, at(10));
    assert_eq!(helper.stale_deadline(), Some(at(30)), "since the session was lost");
    let mut helper = Helper::default();
    helper.lost(&short, Ending::Failed, at(0));
    assert_eq!(helper.handle_timeout(at(30)).map(|expired| expired.aged), Some(V4));
    helper.back(&short, at(100));
    assert_eq!(helper.stale_deadline(), Some(at(100) + STALE_TIME), "long-lived routes are not meant");
    let long = Agreed { stale_time: Some(SECOND * 1000), ..agreed() };
    let mut helper = Helper::default();
    helper.lost(&long, Ending::Failed, at(0));
    assert_eq!(helper.restart_deadline(), Some(at(120)));
    helper.back(&long, at(100));
    assert_eq!(helper.stale_deadline(), Some(at(1000)));
}
