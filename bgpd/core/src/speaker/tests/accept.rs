//! Connections that the peer opens: which are taken, and the name of every refusal.

use super::*;

#[test]
fn a_passive_peer_is_never_dialed_and_accepted_at_once() {
    let mut script = Script::with_peer(|peer| peer.passive = true);
    assert_eq!(script.state(), State::Active);
    script.pass(Duration::from_secs(1000));
    assert!(script.closed().is_empty());
    let conn = script.accept().unwrap();
    assert_eq!(script.state(), State::OpenSent);
    script.finish(conn);
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    script.pass(Duration::from_secs(1));
    assert_eq!(script.state(), State::Active);
    let conn = script.accept().unwrap();
    script.finish(conn);
}

#[test]
fn a_peer_that_was_restarted_is_accepted_at_once() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    assert_eq!(script.state(), State::Idle);
    let conn = script.accept().unwrap();
    script.finish(conn);
    script.pass(Duration::from_secs(60));
    assert!(script.closed().is_empty(), "no dial beside the session");
}

#[test]
fn strangers_and_wrong_doors_are_refused_by_name() {
    let mut script = Script::with_peer(|peer| peer.local_address = Some(LOCAL.ip()));
    let stranger: SocketAddr = "192.0.2.77:1234".parse().unwrap();
    let now = script.now;
    let mut accept = |local, remote| {
        let conn = script.accepted;
        script.accepted = conn.next();
        script.speaker.handle_accepted(conn, Endpoints::new(local, remote), None, now)
    };
    let refusal = accept(LOCAL, stranger).unwrap_err();
    assert_eq!(refusal, AcceptRefusal::UnknownPeer { remote: stranger.ip() });
    assert_eq!(refusal.notification(), Notification::cease(cease::CONNECTION_REJECTED, None));
    assert_eq!(refusal.to_string(), "no peer is configured with address 192.0.2.77");
    let refusal = accept("192.0.2.9:179".parse().unwrap(), REMOTE).unwrap_err();
    assert_eq!(refusal.label(), "local-address");
    assert!(refusal.to_string().contains("192.0.2.1") && refusal.to_string().contains("192.0.2.9"));
    let mapped = "[::ffff:192.0.2.2]:50000".parse().unwrap();
    assert!(
        accept("[::ffff:192.0.2.1]:179".parse().unwrap(), mapped).is_ok(),
        "one socket for both families"
    );
}

#[test]
fn link_local_peers_are_told_apart_by_interface() {
    let remote: SocketAddr = "[fe80::2]:50000".parse().unwrap();
    let mut script = Script::new(|settings| {
        settings.peers = ["eth0", "eth1"]
            .map(|interface| PeerConfig {
                interface: Some(interface.into()),
                ..PeerConfig::new(interface, remote.ip(), Some(65002))
            })
            .to_vec();
    });
    let local = "[fe80::1]:179".parse().unwrap();
    let conn = script.accepted;
    let id = script
        .speaker
        .handle_accepted(conn, Endpoints::new(local, remote), Some("eth1"), script.now)
        .unwrap();
    assert_eq!(&*script.speaker.peer(id).unwrap().config.name, "eth1");
    let refusal =
        script.speaker.handle_accepted(conn.next(), Endpoints::new(local, remote), Some("eth2"), script.now);
    assert_eq!(refusal, Err(AcceptRefusal::UnknownPeer { remote: remote.ip() }));
}

#[test]
fn an_established_session_is_probed_and_kept() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let refusal = script.accept().unwrap_err();
    assert_eq!(refusal, AcceptRefusal::AlreadyEstablished { peer: "tor".into() });
    assert_eq!(refusal.notification(), Notification::cease(cease::COLLISION_RESOLUTION, None));
    assert_eq!(script.sent(conn), [Sent::Keepalive], "a peer that lost its state answers this with a reset");
    assert_eq!(script.state(), State::Established);
    script.speaker.handle_closed(conn, CloseReason::Error("connection reset by peer".into()), script.now);
    assert!(script.accept().is_ok());
}

#[test]
fn a_second_accepted_connection_replaces_one_that_never_spoke() {
    let mut script = Script::with_peer(|peer| peer.passive = true);
    let first = script.accept().unwrap();
    let second = script.accept().unwrap();
    assert_eq!(script.closed(), [first]);
    script.send(second, &encoded(&open()));
    let refusal = script.accept().unwrap_err();
    assert_eq!(refusal, AcceptRefusal::AlreadyConnecting { peer: "tor".into() });
    script.send(second, &KEEPALIVE);
    assert_eq!(script.state(), State::Established);
}

#[test]
fn a_peer_that_fails_again_and_again_is_refused_for_a_while() {
    let mut script = Script::with_peer(|peer| peer.passive = true);
    let wrong = encoded(&Open { asn: 65003, capabilities: vec![], ..open() });
    let mut taken = 0;
    let refusal = loop {
        match script.accept() {
            Ok(conn) => script.send(conn, &wrong),
            Err(refusal) => break refusal,
        }
        taken += 1;
        assert!(taken < 100);
    };
    assert!(taken >= 3, "the first failures are forgiven: {taken}");
    let AcceptRefusal::IdleHold { remaining, .. } = refusal else { panic!("{refusal}") };
    assert!(remaining <= Duration::from_secs(5));
    script.pass(remaining);
    assert!(script.accept().is_ok());
}

#[test]
fn a_peer_that_is_down_on_purpose_is_refused() {
    let mut script = Script::with_peer(|peer| peer.shutdown = true);
    assert_eq!(script.accept(), Err(AcceptRefusal::AdminDown { peer: "tor".into(), text: None }));
    assert!(script.speaker.poll_action().is_none() && script.speaker.poll_timeout().is_none());
    let notification = AcceptRefusal::AdminDown { peer: "tor".into(), text: None }.notification();
    assert_eq!(notification, Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, None));
}

#[test]
fn a_number_is_given_only_once() {
    let mut script = Script::with_peer(|peer| peer.passive = true);
    let conn = script.accept().unwrap();
    script.accepted = conn;
    assert_eq!(script.accept(), Err(AcceptRefusal::DuplicateConnection(conn)));
}
