use super::*;

fn service(name: &str) -> Target {
    Target::Service(Arc::new(ServiceKey::new("n", name)))
}

fn refused(status: u16, message: &str) -> ApiError {
    let (what, reason, message) = ("patch x".to_owned(), String::new(), message.to_owned());
    ApiError::Refused { what, status, reason, message, retry_after: None }
}

fn lost() -> ApiError {
    ApiError::Timeout { what: "patch x".to_owned(), after: Duration::from_secs(15) }
}

fn at(version: &str) -> impl Fn(&Target) -> Option<Box<str>> {
    let version: Box<str> = version.into();
    move |_| Some(version.clone())
}

const X: [u8; 4] = [10, 0, 0, 1];

#[test]
fn one_write_per_object_until_the_watch_shows_it() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let target = service("a");
    assert!(flights.is_due(&target, "5", now));
    let number = flights.begin(&target, "5", [].into());
    assert!(!flights.is_due(&target, "5", now) && flights.unanswered() == 1);
    flights.made(&target, number, now);
    flights.look(now, at("5"));
    assert!(!flights.is_due(&target, "5", now), "made, and not seen yet");
    flights.look(now, at("6"));
    assert!(flights.is_due(&target, "6", now));
}

#[test]
fn an_address_on_its_way_is_nobody_elses() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let (a, b) = (service("a"), service("b"));
    let number = flights.begin(&a, "5", [X.into()].into());
    assert!(
        flights.is_carried(X.into(), &b, |_| false),
        "the allocator changed its mind: not before it is over"
    );
    assert!(!flights.is_carried(X.into(), &b, |key| &*key.name == "a"), "they share it");
    assert!(!flights.is_carried(X.into(), &a, |_| false), "its own");
    // Nobody knows whether it landed: it can as long as the object is what it was.
    flights.failed(&a, number, &lost(), now);
    flights.look(now + AWAY, at("5"));
    assert!(flights.is_carried(X.into(), &b, |_| false));
    flights.look(now + AWAY, at("6"));
    assert!(!flights.is_carried(X.into(), &b, |_| false), "it names a version that is over");
    flights.begin(&a, "6", [X.into()].into());
    flights.look(now, |_| None);
    assert!(!flights.is_carried(X.into(), &b, |_| false), "the object is gone");
    let number = flights.begin(&a, "7", [X.into()].into());
    flights.failed(&a, number, &lost(), now);
    flights.look(now + LATE, at("7"));
    assert!(!flights.is_carried(X.into(), &b, |_| false), "no server works that long on a request");
}

#[test]
fn a_request_without_an_answer_is_made_again_and_both_count() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let (a, b) = (service("a"), service("b"));
    let y: IpAddr = [10, 0, 0, 2].into();
    let number = flights.begin(&a, "5", [X.into()].into());
    let (pause, _) = flights.failed(&a, number, &lost(), now);
    assert!(
        !flights.is_due(&a, "5", now) && flights.is_due(&a, "5", now + pause),
        "it need not wait for the doubt to end"
    );
    let number = flights.begin(&a, "5", [y].into());
    assert!(flights.is_carried(X.into(), &b, |_| false) && flights.is_carried(y, &b, |_| false));
    flights.failed(&a, number, &refused(403, "no"), now);
    flights.look(now, at("5"));
    assert!(flights.is_carried(X.into(), &b, |_| false), "the first one may still land");
    let number = flights.begin(&a, "5", [y].into());
    flights.failed(&a, number, &refused(409, "modified"), now);
    assert!(!flights.is_carried(X.into(), &b, |_| false), "the version is over for both");
    // A term ends: nobody waits for the answer, and the next term may write at once.
    flights.begin(&b, "7", [y].into());
    flights.give_up_all(now);
    assert!(flights.is_due(&b, "7", now) && flights.is_carried(y, &a, |_| false));
}

#[test]
fn what_is_created_is_not_created_again_before_it_was_seen() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let target = Target::Reservation("r".into());
    let number = flights.begin(&target, "", [].into());
    flights.made(&target, number, now);
    flights.look(now, at(""));
    assert!(!flights.is_due(&target, "", now));
    flights.look(now + LATE, at(""));
    assert!(flights.is_due(&target, "", now + LATE), "somebody took it away");
}

#[test]
fn a_conflict_waits_for_the_watch_and_no_longer() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    for error in
        [refused(409, "the object has been modified"), refused(404, "x"), refused(422, "UID in precondition")]
    {
        let target = service("a");
        let number = flights.begin(&target, "5", [X.into()].into());
        assert_eq!(flights.failed(&target, number, &error, now), (CONFLICT, false), "{error}");
        assert!(!flights.is_carried(X.into(), &service("b"), |_| false), "it did not land");
        assert!(!flights.is_due(&target, "5", now), "the same again would fail again");
        assert!(flights.is_due(&target, "6", now));
        flights.look(now, at("5"));
        assert_eq!((flights.failures().count(), flights.next(now)), (0, Some(now + CONFLICT)));
        flights.look(now, |_| None);
    }
}

#[test]
fn what_the_server_refuses_waits_alone_until_it_is_another() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let (a, b) = (service("a"), service("b"));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let number = flights.begin(&a, "5", [].into());
        pauses.push(flights.failed(&a, number, &refused(403, "no"), now).0.as_millis());
    }
    assert_eq!(pauses[..5], [500, 1000, 2000, 4000, 8000]);
    assert_eq!(pauses[11], REFUSED.as_millis());
    assert!(flights.is_due(&b, "5", now) && !flights.is_due(&a, "5", now) && flights.is_due(&a, "6", now));
    assert_eq!(flights.failures().count(), 1);
    flights.keep_only([b].into_iter());
    assert_eq!(flights.failures().count(), 0);
}

#[test]
fn an_outage_is_over_soon_and_a_time_that_is_asked_for_is_kept() {
    let (mut flights, now) = (Flights::default(), Instant::now());
    let a = service("a");
    for _ in 0..30 {
        let number = flights.begin(&a, "5", [].into());
        let (pause, _) = flights.failed(&a, number, &refused(503, "no"), now);
        assert!(pause <= AWAY, "{pause:?}");
        flights.look(now, at("6"));
        assert!(!flights.is_due(&a, "6", now), "it is the server, not the object");
    }
    let (what, reason, message) = Default::default();
    let asked =
        ApiError::Refused { what, status: 429, reason, message, retry_after: Some(Duration::from_secs(20)) };
    let number = flights.begin(&a, "6", [].into());
    assert_eq!(flights.failed(&a, number, &asked, now).0, Duration::from_secs(20));
}
