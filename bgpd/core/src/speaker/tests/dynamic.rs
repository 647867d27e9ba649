//! Dynamic neighbours: who becomes one, how many may be, and when they go.

use super::*;
use crate::config::{DynamicPeers, GracefulRestart};
use crate::reconfigure::{ConfigEffect, ConfigField};

fn ranges() -> DynamicPeers {
    let mut template = PeerConfig::new("", IpAddr::V4(Ipv4Addr::UNSPECIFIED), None);
    template.remote_asns = Arc::from([65002, 65003]);
    DynamicPeers { name: "rack".into(), ranges: vec!["192.0.2.0/24".parse().unwrap()], limit: 2, template }
}

fn script(change: impl FnOnce(&mut DynamicPeers)) -> Script {
    Script::new(|settings| {
        settings.peers.clear();
        let mut dynamic = ranges();
        change(&mut dynamic);
        settings.dynamic.push(dynamic);
    })
}

fn accept_from(script: &mut Script, last: u8) -> Result<ConnId, AcceptRefusal> {
    let conn = script.accepted;
    script.accepted = conn.next();
    let local = SocketAddr::new(LOCAL.ip(), 179);
    let remote = SocketAddr::new(IpAddr::from([192, 0, 2, last]), 50000);
    script.speaker.handle_accepted(conn, Endpoints::new(local, remote), None, script.now).map(|_| conn)
}

fn names(script: &Script) -> Vec<String> {
    script.speaker.peers().map(|peer| peer.config.name.to_string()).collect()
}

fn establish(script: &mut Script, last: u8) -> ConnId {
    let conn = accept_from(script, last).unwrap();
    let mut theirs = open();
    theirs.router_id = Ipv4Addr::new(10, 0, 0, last);
    script.send(conn, &encoded(&theirs));
    script.send(conn, &KEEPALIVE);
    let state = script.speaker.peer_by_name(&format!("192.0.2.{last}")).unwrap().state;
    assert_eq!(state, State::Established);
    script.sent(conn);
    conn
}

fn configure(script: &mut Script, change: impl FnOnce(&mut SpeakerSettings)) -> Vec<ConfigEffect> {
    let mut settings = script.speaker.config().clone().into_settings();
    change(&mut settings);
    let config = SpeakerConfig::new(settings).unwrap();
    let planned: Vec<_> =
        script.speaker.plan_config(&config).into_iter().map(|change| change.effect).collect();
    let done: Vec<_> =
        script.speaker.handle_config(config, script.now).into_iter().map(|change| change.effect).collect();
    assert_eq!(planned, done);
    done
}

#[test]
fn a_connection_makes_a_peer_and_its_end_unmakes_it() {
    let mut script = script(|_| {});
    assert!(script.speaker.peers().next().is_none());
    let conn = establish(&mut script, 7);
    let peer = script.peer();
    assert_eq!((&*peer.config.name, peer.config.dynamic.as_deref()), ("192.0.2.7", Some("rack")));
    assert_eq!(peer.remote_asn, Some(65002));
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    script.pass(Duration::from_secs(59));
    assert_eq!(names(&script), ["192.0.2.7"], "it may be back in a moment");
    establish(&mut script, 7);
    assert_eq!(script.peer().established_count, 2);
    script.pass(Duration::from_secs(30));
    assert_eq!(names(&script), ["192.0.2.7"]);
    script.pass(Duration::from_secs(200));
    assert_eq!(names(&script), Vec::<String>::new(), "its hold timer expired, and a minute passed");
    assert!(script.speaker.poll_timeout().is_none());
    script.speaker.check().unwrap();
}

#[test]
fn who_is_not_in_a_range_or_has_another_asn_is_refused() {
    let mut script = script(|dynamic| dynamic.ranges = vec!["192.0.2.0/28".parse().unwrap()]);
    let refusal = accept_from(&mut script, 16).unwrap_err();
    assert!(matches!(refusal, AcceptRefusal::UnknownPeer { .. }));
    let conn = accept_from(&mut script, 15).unwrap();
    let mut stranger = open();
    stranger.asn = 65009;
    stranger.capabilities.retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
    script.send(conn, &encoded(&stranger));
    assert!(matches!(&script.sent(conn)[..], [Sent::Open(_), Sent::Notification(sent)]
        if (sent.code, sent.subcode) == (2, 2)));
}

#[test]
fn the_limit_holds_and_whoever_is_gone_makes_room() {
    let mut script = script(|_| {});
    let first = establish(&mut script, 7);
    establish(&mut script, 8);
    let refusal = accept_from(&mut script, 9).unwrap_err();
    assert_eq!(refusal, AcceptRefusal::DynamicLimit { group: "rack".into(), limit: 2 });
    assert_eq!(refusal.notification(), Notification::cease(cease::CONNECTION_REJECTED, None));
    assert_eq!(names(&script), ["192.0.2.7", "192.0.2.8"]);
    script.speaker.handle_closed(first, CloseReason::Eof, script.now);
    establish(&mut script, 9);
    assert_eq!(names(&script), ["192.0.2.8", "192.0.2.9"]);
    script.speaker.check().unwrap();
}

#[test]
fn a_peer_that_restarts_is_kept_as_long_as_its_routes() {
    let mut script = script(|dynamic| {
        dynamic.template.graceful_restart = Some(GracefulRestart::new(300));
    });
    let conn = accept_from(&mut script, 7).unwrap();
    let mut theirs = open();
    theirs.capabilities.push(Capability::GracefulRestart(bgp_wire::GracefulRestart {
        restart_state: false,
        notification: true,
        restart_time: 200,
        families: vec![(Family::IPV4_UNICAST, true)],
    }));
    script.send(conn, &encoded(&theirs));
    script.send(conn, &KEEPALIVE);
    script.speaker.handle_closed(conn, CloseReason::Eof, script.now);
    script.pass(Duration::from_secs(150));
    assert_eq!(names(&script), ["192.0.2.7"]);
    script.pass(Duration::from_secs(120));
    assert_eq!(names(&script), Vec::<String>::new());
}

#[test]
fn changes_follow_the_table_and_a_range_that_goes_takes_its_peers_along() {
    let mut script = script(|_| {});
    let conn = establish(&mut script, 7);
    let soft = configure(&mut script, |settings| settings.dynamic[0].template.timers.keepalive = 5);
    assert_eq!(soft, [ConfigEffect::Kept(vec![ConfigField::KeepaliveTime])]);
    let spared = configure(&mut script, |settings| settings.dynamic[0].template.remote_asns = [65002].into());
    assert_eq!(spared, [ConfigEffect::Kept(vec![ConfigField::RemoteAsn])]);
    let other = PeerConfig::new("other", "192.0.2.99".parse().unwrap(), Some(65003));
    assert_eq!(configure(&mut script, |settings| settings.peers.push(other)), [ConfigEffect::Added]);
    assert_eq!(script.sent(conn), []);
    let gone = configure(&mut script, |settings| settings.dynamic.clear());
    assert_eq!(gone, [ConfigEffect::Removed]);
    assert_eq!(script.sent(conn), [Sent::cease(cease::PEER_DECONFIGURED)]);
    assert_eq!(names(&script), ["other"]);
}

#[test]
fn a_static_peer_takes_an_address_over() {
    let mut script = script(|_| {});
    establish(&mut script, 7);
    let fixed = PeerConfig::new("fixed", "192.0.2.7".parse().unwrap(), Some(65002));
    let effects = configure(&mut script, |settings| settings.peers.push(fixed));
    assert_eq!(effects, [ConfigEffect::Removed, ConfigEffect::Added]);
    assert_eq!(names(&script), ["fixed"]);
}
