use super::*;

const WALL: i64 = 1_790_000_000_000_000;

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn candidate(name: &str) -> Election {
    Election::new(Arc::new(Settings::default()), name.into(), 7)
}

fn lease(version: &str, holder: Option<&str>, renewed: i64, transitions: i32) -> Observed {
    let record = Record {
        holder: holder.map(Box::from),
        duration: Duration::from_secs(15),
        acquired: Some(1),
        renewed: Some(renewed),
        transitions,
    };
    Observed { uid: "u".into(), version: version.into(), record }
}

/// A leader since 0, with the version "2".
fn leader() -> Election {
    let mut election = candidate("a");
    assert_eq!(election.poll_request(at(0), WALL), Some(Request::Read));
    election.handle_read(at(0), Ok(Some(lease("1", None, 1, 4))));
    let Some(Request::Replace { version, record, .. }) = election.poll_request(at(0), WALL) else { panic!() };
    assert_eq!((&*version, record.transitions), ("1", 5));
    let observed = Observed { uid: "u".into(), version: "2".into(), record };
    election.handle_written(at(0), Ok(observed));
    assert_eq!(election.poll_event(), Some(Event::Holder(None)));
    assert!(matches!(election.poll_event(), Some(Event::Elected(token)) if token.transitions == 5));
    election
}

fn unavailable() -> Failure {
    Failure::Unavailable("timeout".into())
}

#[test]
fn a_record_runs_out_by_being_seen_unchanged_never_by_its_timestamps() {
    let mut election = candidate("b");
    // By its own time the record is decades old, and this candidate sees it for the first time.
    let old = lease("1", Some("a"), 1, 0);
    let mut now = at(0);
    while now < at(15_000) {
        match election.poll_request(now, WALL) {
            Some(Request::Read) => election.handle_read(now, Ok(Some(old.clone()))),
            None => {}
            Some(other) => panic!("at {now:?}: {other:?}"),
        }
        now = election.poll_timeout().unwrap().max(now + at(1));
    }
    assert!(now <= at(15_001), "it looks the moment the lease runs out, not a period later: {now:?}");
    let Some(Request::Replace { record, .. }) = election.poll_request(now, WALL) else { panic!() };
    assert_eq!((record.holder.as_deref(), record.transitions), (Some("b"), 1));
}

#[test]
fn any_change_is_a_sign_of_life() {
    let mut election = candidate("b");
    for (step, now) in (0..100).map(|step| (step, at(step * 10_000))) {
        // The renewal time even goes back: a clock that was set.
        let shown = lease(&step.to_string(), Some("a"), 1_000 - i64::try_from(step).unwrap(), 0);
        assert_eq!(election.poll_request(now, WALL), Some(Request::Read), "{step}");
        election.handle_read(now, Ok(Some(shown)));
    }
}

#[test]
fn a_leader_acts_until_the_deadline_after_it_sent() {
    let mut election = leader();
    let due = election.poll_timeout().unwrap();
    assert!(due >= at(1_200) && due <= at(1_500), "{due:?}");
    let Some(Request::Replace { record, .. }) = election.poll_request(due, WALL + 1) else { panic!() };
    // The answer takes four seconds.
    let answer = Observed { uid: "u".into(), version: "3".into(), record };
    election.handle_written(due + at(4_000), Ok(answer));
    assert!(election.token(due + at(9_999)).is_some());
    assert!(election.token(due + at(10_000)).is_none(), "counted from the sending, not the answer");
}

#[test]
fn errors_depose_at_the_deadline_and_it_comes_back_with_a_new_term() {
    let mut election = leader();
    let mut now = at(0);
    while election.term().is_some() {
        now = election.poll_timeout().unwrap();
        match election.poll_request(now, WALL) {
            Some(Request::Read) => election.handle_read(now, Err(unavailable())),
            Some(_) => election.handle_written(now, Err(unavailable())),
            None => {}
        }
    }
    assert_eq!(now, at(10_000));
    assert_eq!(election.poll_event(), Some(Event::Deposed(Deposed::RenewDeadline)));
    // The server is back, and the record still names this candidate: no wait, but another term.
    now = election.poll_timeout().unwrap();
    assert_eq!(election.poll_request(now, WALL), Some(Request::Read));
    election.handle_read(now, Ok(Some(lease("9", Some("a"), 1, 5))));
    let Some(Request::Replace { record, .. }) = election.poll_request(now, WALL) else { panic!() };
    assert_eq!(record.transitions, 6);
}

#[test]
fn a_conflict_is_looked_into_at_once_and_ends_only_a_term_that_was_taken() {
    for (shown, survives) in [
        (lease("7", Some("a"), 1, 5), true),
        (lease("7", Some("b"), 1, 6), false),
        (lease("7", Some("a"), 1, 6), false), // a twin with our name
        (Observed { uid: "other".into(), ..lease("7", Some("a"), 1, 5) }, false),
    ] {
        let mut election = leader();
        let now = election.poll_timeout().unwrap();
        assert!(matches!(election.poll_request(now, WALL), Some(Request::Replace { .. })));
        election.handle_written(now, Err(Failure::Conflict));
        assert_eq!(election.poll_request(now, WALL), Some(Request::Read));
        election.handle_read(now, Ok(Some(shown.clone())));
        assert_eq!(election.token(now).is_some(), survives, "{shown:?}");
        if survives {
            let next = election.poll_request(now, WALL);
            assert!(matches!(next, Some(Request::Replace { version, .. }) if &*version == "7"));
        } else {
            assert!(matches!(election.poll_event(), Some(Event::Deposed(_))));
        }
    }
}

#[test]
fn a_deleted_lease_ends_the_term_and_is_made_anew() {
    let mut election = leader();
    let now = election.poll_timeout().unwrap();
    assert!(election.poll_request(now, WALL).is_some());
    election.handle_written(now, Err(Failure::Missing));
    assert!(election.token(now).is_none());
    assert_eq!(election.poll_event(), Some(Event::Deposed(Deposed::LeaseDeleted)));
    assert_eq!(election.poll_request(now, WALL), Some(Request::Read));
    election.handle_read(now, Ok(None));
    assert!(
        matches!(election.poll_request(now, WALL), Some(Request::Create(record)) if record.transitions == 0)
    );
    // No namespace to create it in: no hurry.
    election.handle_written(now, Err(Failure::Missing));
    assert!(election.poll_timeout().unwrap() >= now + at(1_000));
}

#[test]
fn a_renewal_is_seen_even_if_the_wall_clock_stands_still() {
    let mut election = leader();
    let now = election.poll_timeout().unwrap();
    let Some(Request::Replace { record, .. }) = election.poll_request(now, WALL) else { panic!() };
    assert_eq!(record.renewed, Some(WALL + 1));
    assert_eq!(record.acquired, Some(WALL));
}

#[test]
fn stop_gives_the_lease_back_and_the_token_at_once() {
    let mut election = leader();
    election.handle_stop(at(100));
    assert!(election.token(at(100)).is_none() && !election.is_finished());
    assert_eq!(election.poll_event(), Some(Event::Deposed(Deposed::Released)));
    let Some(Request::Replace { record, .. }) = election.poll_request(at(100), WALL) else { panic!() };
    assert_eq!((&record.holder, record.duration, record.transitions), (&None, Duration::from_secs(1), 5));
    let answer = Observed { uid: "u".into(), version: "3".into(), record };
    election.handle_written(at(110), Ok(answer));
    assert!(election.is_finished() && election.poll_timeout().is_none());
}

#[test]
fn stop_while_a_lease_is_being_taken_gives_it_back_too() {
    let mut election = candidate("a");
    let _read = election.poll_request(at(0), WALL);
    election.handle_read(at(0), Ok(None));
    let Some(Request::Create(record)) = election.poll_request(at(0), WALL) else { panic!() };
    election.handle_stop(at(1));
    assert_eq!(election.poll_request(at(1), WALL), None);
    election.handle_written(at(2), Ok(Observed { uid: "u".into(), version: "1".into(), record }));
    assert!(election.token(at(2)).is_none());
    let due = election.poll_timeout().unwrap();
    let release = election.poll_request(due, WALL);
    assert!(matches!(release, Some(Request::Replace { record, .. }) if record.holder.is_none()));
}

#[test]
fn stop_without_a_server_ends_with_the_lease() {
    let mut election = leader();
    election.handle_stop(at(0));
    let mut now = at(0);
    while !election.is_finished() {
        match election.poll_request(now, WALL) {
            Some(Request::Read) => election.handle_read(now, Err(unavailable())),
            Some(_) => election.handle_written(now, Err(unavailable())),
            None => {}
        }
        now = election.poll_timeout().unwrap_or(now);
    }
    assert_eq!(now, at(10_000));
}

#[test]
fn a_watched_lease_costs_nothing_until_it_runs_out() {
    let mut election = Election::new(Arc::new(Settings::default().watched()), "b".into(), 1);
    assert_eq!((election.poll_timeout(), election.poll_request(at(0), WALL)), (None, None));
    election.handle_observed(at(0), Some(lease("1", Some("a"), 1, 0)));
    assert_eq!(election.poll_timeout(), Some(at(15_000)));
    election.handle_observed(at(5_000), Some(lease("2", Some("a"), 2, 0)));
    election.handle_observed(at(9_000), Some(lease("1", Some("a"), 1, 0))); // late news
    assert_eq!(election.poll_timeout(), Some(at(20_000)));
    assert!(matches!(election.poll_request(at(20_000), WALL), Some(Request::Replace { .. })));
    // Nobody has it: taken without a look.
    let mut election = Election::new(Arc::new(Settings::default().watched()), "b".into(), 1);
    election.handle_observed(at(0), None);
    assert!(matches!(election.poll_request(at(0), WALL), Some(Request::Create(_))));
}

#[test]
fn late_news_of_a_watch_do_not_depose() {
    let mut election = leader();
    election.handle_observed(at(1), Some(lease("1", Some("z"), 1, 4)));
    assert!(election.token(at(1)).is_some());
    election.handle_observed(at(2), Some(lease("8", Some("z"), 1, 6)));
    assert!(election.token(at(2)).is_none());
}

#[test]
fn thousands_of_them_are_cheap() {
    assert!(size_of::<Election>() <= 384, "{} bytes", size_of::<Election>());
}
