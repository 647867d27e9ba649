//! New configurations: what is reset, what is kept, and that nothing else is touched.

use super::*;
use bgp_wire::FamilySet;

use crate::config::{
    AddPath, AoAlgorithm, AoKey, GracefulRestart, OriginatedRoute, Password, PathsSent, TcpAo,
};
use crate::policy::{Policy, Verdict};
use crate::reconfigure::{ConfigEffect, ConfigField, Cost};

fn apply(script: &mut Script, change: impl FnOnce(&mut SpeakerSettings)) -> Vec<ConfigEffect> {
    let mut settings = script.speaker.config().clone().into_settings();
    change(&mut settings);
    let config = SpeakerConfig::new(settings).unwrap();
    script.speaker.handle_config(config, script.now).into_iter().map(|change| change.effect).collect()
}

fn apply_peer(script: &mut Script, change: impl FnOnce(&mut PeerConfig)) -> Vec<ConfigEffect> {
    apply(script, |settings| change(&mut settings.peers[0]))
}

type Change = fn(&mut PeerConfig);

#[test]
fn each_field_costs_what_its_row_says() {
    let rows: Vec<(ConfigField, Change)> = vec![
        (ConfigField::Address, |peer| peer.address = "192.0.2.3".parse().unwrap()),
        (ConfigField::RemoteAsn, |peer| peer.remote_asn = Some(65009)),
        (ConfigField::Group, |peer| peer.group = Some("tors".into())),
        (ConfigField::Port, |peer| peer.port = 1179),
        (ConfigField::LocalAddress, |peer| peer.local_address = Some("192.0.2.9".parse().unwrap())),
        (ConfigField::Interface, |peer| peer.interface = Some("eth0".into())),
        (ConfigField::Passive, |peer| peer.passive = true),
        (ConfigField::Shutdown, |peer| peer.shutdown = true),
        (ConfigField::Description, |peer| peer.description = Some("rack 7".into())),
        (ConfigField::HoldTime, |peer| peer.timers.hold = 60),
        (ConfigField::KeepaliveTime, |peer| peer.timers.keepalive = 10),
        (ConfigField::ConnectRetryTime, |peer| peer.timers.connect_retry = 5),
        (ConfigField::Multihop, |peer| peer.multihop = Some(3)),
        (ConfigField::TtlSecurity, |peer| peer.ttl_security = Some(1)),
        (ConfigField::Password, |peer| peer.password = Some(Password::new("secret"))),
        (ConfigField::TcpAo, |peer| peer.tcp_ao = Some(tcp_ao(1))),
        (ConfigField::GracefulRestart, |peer| {
            peer.graceful_restart = Some(GracefulRestart::new(120));
        }),
        (ConfigField::Families, |peer| peer.families = FamilySet::IPV6_UNICAST),
        // The peer of these tests does not know add-path: it makes no difference to it.
        (ConfigField::AddPath, |peer| peer.add_path = every_path()),
        (ConfigField::ImportPolicy, |peer| peer.import = Some(policy())),
        (ConfigField::ExportPolicy, |peer| peer.export = Some(policy())),
        (ConfigField::MaxPrefixes, |peer| peer.max_prefixes = Some(100.into())),
        (ConfigField::Role, |peer| peer.role = Some(bgp_wire::Role::Peer)),
        (ConfigField::GracefulShutdown, |peer| peer.graceful_shutdown = true),
        (ConfigField::IgnoreGracefulShutdown, |peer| peer.ignore_graceful_shutdown = true),
        (ConfigField::RouteReflectorClient, |peer| {
            peer.remote_asn = None;
            peer.route_reflector_client = true;
        }),
    ];
    let tried: Vec<ConfigField> = rows.iter().map(|(field, _)| *field).collect();
    for field in ConfigField::ALL {
        // The speaker's, and what changes only beside other fields: `long_lived` has tests of its own.
        let elsewhere = matches!(
            field,
            ConfigField::LocalAsn
                | ConfigField::RouterId
                | ConfigField::StaleTime
                | ConfigField::StrictRole
                | ConfigField::DemoteLongLived
        );
        assert!(elsewhere || tried.contains(field), "{field} is not tried here: add a line");
    }
    for (field, change) in rows {
        let mut script = Script::new(|_| {});
        let conn = script.establish();
        let resets = field.needs_reset() && field != ConfigField::AddPath;
        let planned = plan_peer(&script, change);
        assert_eq!(script.state(), State::Established, "{field}: a plan changes nothing");
        let effects = apply_peer(&mut script, change);
        assert_eq!(planned, effects, "{field}: what was planned is what was done");
        let [effect] = effects.as_slice() else { panic!("{field}: {effects:?}") };
        let (ConfigEffect::Reset(fields) | ConfigEffect::Kept(fields)) = effect else { panic!("{effect:?}") };
        assert!(fields.contains(&field), "{field}: {fields:?}");
        assert_eq!(matches!(effect, ConfigEffect::Reset(_)), resets, "{field}");
        assert_eq!(script.state() == State::Established, !resets, "{field}");
        if resets {
            let shutdown = field == ConfigField::Shutdown;
            let subcode =
                if shutdown { cease::ADMINISTRATIVE_SHUTDOWN } else { cease::OTHER_CONFIGURATION_CHANGE };
            assert_eq!(script.sent(conn), [Sent::cease(subcode)], "{field}");
            if !shutdown {
                assert_eq!(script.last_reason(), Reason::ConfigChanged(vec![field]), "{field}");
                assert!(script.until_dial().1 < Duration::from_secs(1), "{field}");
            }
        } else {
            assert_eq!((script.sent(conn), script.closed()), (vec![], vec![]), "{field}");
        }
        assert!(apply_peer(&mut script, |_| {}).is_empty(), "{field}: the same again changes nothing");
    }
}

fn every_path() -> AddPath {
    AddPath { families: FamilySet::ALL, receive: true, send: Some(PathsSent::All) }
}

fn plan_peer(script: &Script, change: Change) -> Vec<ConfigEffect> {
    let mut settings = script.speaker.config().clone().into_settings();
    change(&mut settings.peers[0]);
    let config = SpeakerConfig::new(settings).unwrap();
    script.speaker.plan_config(&config).into_iter().map(|change| change.effect).collect()
}

fn tcp_ao(id: u8) -> TcpAo {
    let secret = Password::new(format!("secret {id}"));
    let key = AoKey { send_id: id, recv_id: id, algorithm: AoAlgorithm::HmacSha1, secret };
    TcpAo { keys: Arc::from([key]) }
}

#[test]
fn a_session_that_already_is_as_wanted_is_spared() {
    let rows: [(ConfigField, Cost, Change); 4] = [
        // What the kernel chose, written down.
        (ConfigField::LocalAddress, Cost::None, |peer| peer.local_address = Some(LOCAL.ip())),
        (ConfigField::RemoteAsn, Cost::None, |peer| peer.remote_asn = None),
        (ConfigField::TtlSecurity, Cost::None, |peer| peer.ttl_security = Some(2)),
        (ConfigField::HoldTime, Cost::NextSession, |peer| peer.timers.hold = 200),
    ];
    for (field, cost, change) in rows {
        let mut script = Script::new(|_| {});
        script.establish();
        let mut settings = script.speaker.config().clone().into_settings();
        change(&mut settings.peers[0]);
        let changes = script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
        assert_eq!(changes[0].costs, [(field, cost)]);
        assert_eq!(script.state(), State::Established, "{field}");
    }
}

#[test]
fn a_family_that_the_peer_does_not_speak_may_come_and_go() {
    let mut script = Script::with_peer(|peer| peer.families = FamilySet::IPV4_UNICAST);
    // It speaks IPv4 only.
    script.establish();
    let added = apply_peer(&mut script, |peer| peer.families = FamilySet::ALL);
    assert_eq!(added, [ConfigEffect::Kept(vec![ConfigField::Families])]);
    let removed = apply_peer(&mut script, |peer| peer.families = FamilySet::IPV4_UNICAST);
    assert_eq!(removed, [ConfigEffect::Kept(vec![ConfigField::Families])]);
    assert_eq!(script.state(), State::Established);
    let other = apply_peer(&mut script, |peer| peer.families = FamilySet::IPV6_UNICAST);
    assert_eq!(other, [ConfigEffect::Reset(vec![ConfigField::Families])]);
}

#[test]
fn keys_and_ttls_go_to_the_live_connection() {
    let mut script = Script::with_peer(|peer| peer.password = Some(Password::new("old")));
    let conn = script.establish();
    let effects = apply_peer(&mut script, |peer| {
        peer.password = Some(Password::new("new"));
        peer.multihop = Some(7);
    });
    assert_eq!(effects, [ConfigEffect::Kept(vec![ConfigField::Multihop, ConfigField::Password])]);
    let Some(Action::Protect { conn: which, before, after }) = script.speaker.poll_action() else {
        panic!("the connection needs the new key")
    };
    assert_eq!((which, before.ttl, after.ttl), (conn, Some(1), Some(7)));
    assert_eq!(after.password, Some(Password::new("new")));
    assert!(script.speaker.poll_action().is_none());
    // TCP-AO keys are changed on a connection that is signed with them, and only there.
    let mut script = Script::with_peer(|peer| peer.tcp_ao = Some(tcp_ao(1)));
    let conn = script.establish();
    let effects = apply_peer(&mut script, |peer| peer.tcp_ao = Some(tcp_ao(2)));
    assert_eq!(effects, [ConfigEffect::Kept(vec![ConfigField::TcpAo])]);
    assert!(
        matches!(script.speaker.poll_action(), Some(Action::Protect { conn: which, .. }) if which == conn)
    );
    let effects = apply_peer(&mut script, |peer| peer.tcp_ao = None);
    assert_eq!(effects, [ConfigEffect::Reset(vec![ConfigField::TcpAo])]);
}

#[test]
fn a_dial_with_the_old_key_is_given_up() {
    let mut script = Script::new(|_| {});
    let old = script.dial().conn;
    apply_peer(&mut script, |peer| peer.password = Some(Password::new("new")));
    assert!(matches!(script.speaker.poll_action(), Some(Action::Close { conn }) if conn == old));
    assert_eq!(script.dial().protection.password, Some(Password::new("new")));
}

#[test]
fn what_came_in_unsigned_is_not_let_in_after_a_password_was_set() {
    let mut script = Script::with_peer(|peer| peer.passive = true);
    let conn = script.accept().unwrap();
    script.send(conn, &encoded(&open()));
    assert_eq!(script.state(), State::OpenConfirm);
    let effects = apply_peer(&mut script, |peer| peer.password = Some(Password::new("new")));
    assert_eq!(effects, [ConfigEffect::Reset(vec![ConfigField::Password])]);
    script.send(conn, &KEEPALIVE);
    assert_ne!(script.state(), State::Established);
}

#[test]
fn an_open_that_was_sent_is_what_counts() {
    let mut script = Script::new(|_| {});
    let conn = script.dial().conn;
    script.connected(conn);
    assert!(matches!(&script.sent(conn)[..], [Sent::Open(open)] if open.hold_time == 90));
    let effects = apply_peer(&mut script, |peer| {
        peer.timers.hold = 9;
        peer.timers.keepalive = 3;
    });
    assert!(matches!(effects[..], [ConfigEffect::Kept(_)]));
    script.send(conn, &encoded(&open()));
    assert_eq!(script.peer().hold_time, Duration::from_secs(90), "the peer saw 90 s and counts on them");
}

fn policy() -> Arc<Policy> {
    Arc::new(Policy { name: "all".into(), default_action: Verdict::Accept, statements: Arc::default() })
}

#[test]
fn a_keepalive_time_takes_effect_on_the_running_session() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    apply_peer(&mut script, |peer| peer.timers.keepalive = 5);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.sent(conn), [Sent::Keepalive]);
    assert_eq!(script.peer().keepalive_interval, Duration::from_secs(5));
}

#[test]
fn identity_resets_everybody_and_routes_nobody() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let route = OriginatedRoute::new("10.1.0.0/24".parse().unwrap());
    assert!(apply(&mut script, |settings| settings.routes.push(route)).is_empty());
    assert!(apply(&mut script, |settings| settings.maximum_paths = 8).is_empty());
    assert!(apply(&mut script, |settings| settings.hostname = Some("other".into())).is_empty());
    assert_eq!(script.state(), State::Established);
    let effects = apply(&mut script, |settings| settings.router_id = Ipv4Addr::new(10, 9, 9, 9));
    assert_eq!(effects, [ConfigEffect::Reset(vec![ConfigField::RouterId])]);
    assert_eq!(script.sent(conn).last(), Some(&Sent::cease(cease::OTHER_CONFIGURATION_CHANGE)));
    let connect = script.until_dial().0;
    script.connected(connect.conn);
    assert!(
        matches!(&script.sent(connect.conn)[..], [Sent::Open(open)] if open.router_id == Ipv4Addr::new(10, 9, 9, 9))
    );
}

#[test]
fn routes_are_kept_once_and_in_the_rib() {
    let route = |prefix: &str| OriginatedRoute::new(prefix.parse().unwrap());
    let mut settings = settings();
    settings.routes = vec![route("10.1.0.0/24"), route("10.2.0.0/24")];
    let mut script = Script::new(|initial| *initial = settings.clone());
    let prefixes = |script: &Script| -> Vec<String> {
        let page = script.speaker.rib().rib_page(Family::IPV4_UNICAST, None, 10);
        page.entries.iter().map(|entry| entry.prefix.to_string()).collect()
    };
    assert_eq!(prefixes(&script), ["10.1.0.0/24", "10.2.0.0/24"]);
    settings.routes = vec![route("10.2.0.0/24"), route("10.3.0.0/24")];
    script.speaker.handle_config(SpeakerConfig::new(settings).unwrap(), script.now);
    assert_eq!(prefixes(&script), ["10.2.0.0/24", "10.3.0.0/24"]);
    assert!(script.speaker.config().routes.is_empty());
}

#[test]
fn peers_come_and_go_and_the_others_stay() {
    let mut script = Script::new(|_| {});
    let conn = script.establish();
    let other = PeerConfig::new("spine", "192.0.2.3".parse().unwrap(), Some(65003));
    assert_eq!(apply(&mut script, |settings| settings.peers.push(other)), [ConfigEffect::Added]);
    let dial = script.dial();
    assert_eq!(dial.remote, "192.0.2.3:179".parse().unwrap());
    assert_eq!(apply(&mut script, |settings| settings.peers.truncate(1)), [ConfigEffect::Removed]);
    assert_eq!(script.closed(), [dial.conn]);
    assert_eq!(script.state(), State::Established);
    assert_eq!(apply(&mut script, |settings| settings.peers.clear()), [ConfigEffect::Removed]);
    assert_eq!(script.sent(conn), [Sent::cease(cease::PEER_DECONFIGURED)]);
    assert_eq!(script.closed(), [conn]);
    assert!(script.speaker.poll_timeout().is_none(), "nothing is left to wait for");
    assert!(matches!(script.accept(), Err(AcceptRefusal::UnknownPeer { .. })));
}

#[test]
fn an_address_may_move_from_one_peer_to_another() {
    let mut script = Script::new(|_| {});
    script.establish();
    let effects = apply_peer(&mut script, |peer| peer.name = "renamed".into());
    assert_eq!(effects, [ConfigEffect::Removed, ConfigEffect::Added], "a peer is its name");
    script.closed_and_dialed();
    assert_eq!(&*script.peer().config.name, "renamed");
}

#[test]
fn a_shutdown_taken_back_starts_the_peer() {
    let mut script = Script::with_peer(|peer| peer.shutdown = true);
    assert!(script.speaker.poll_action().is_none());
    let effects = apply_peer(&mut script, |peer| peer.shutdown = false);
    assert_eq!(effects, [ConfigEffect::Kept(vec![ConfigField::Shutdown])]);
    script.establish();
}

#[test]
fn a_peer_made_passive_while_it_waits_is_dialed_no_more() {
    let mut script = Script::new(|_| {});
    let conn = script.dial().conn;
    apply_peer(&mut script, |peer| peer.passive = true);
    assert_eq!(script.closed(), [conn]);
    assert_eq!(script.state(), State::Active);
    script.pass(Duration::from_secs(500));
    assert!(script.closed().is_empty());
}

impl Script {
    fn closed_and_dialed(&mut self) {
        assert!(matches!(self.speaker.poll_action(), Some(Action::Close { .. })));
        self.dial();
    }
}
