//! New configurations: what is reset, what is kept, and that nothing else is touched.

use super::*;
use bgp_wire::FamilySet;

use crate::config::{AddPath, GracefulRestart, OriginatedRoute, Password, PathsSent};
use crate::event::{ConfigEffect, ConfigField};
use crate::policy::{Policy, Verdict};

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
fn each_field_costs_what_it_must() {
    let rows: [(ConfigField, bool, Change); 20] = [
        (ConfigField::Address, true, |peer| peer.address = "192.0.2.3".parse().unwrap()),
        (ConfigField::RemoteAsn, true, |peer| peer.remote_asn = Some(65009)),
        (ConfigField::Port, true, |peer| peer.port = 1179),
        (ConfigField::LocalAddress, true, |peer| peer.local_address = Some(LOCAL.ip())),
        (ConfigField::Interface, true, |peer| peer.interface = Some("eth0".into())),
        (ConfigField::Passive, false, |peer| peer.passive = true),
        (ConfigField::Shutdown, true, |peer| peer.shutdown = true),
        (ConfigField::Description, false, |peer| peer.description = Some("rack 7".into())),
        (ConfigField::HoldTime, true, |peer| peer.timers.hold = 60),
        (ConfigField::KeepaliveTime, false, |peer| peer.timers.keepalive = 10),
        (ConfigField::ConnectRetryTime, false, |peer| peer.timers.connect_retry = 5),
        (ConfigField::Multihop, true, |peer| peer.multihop = Some(3)),
        (ConfigField::Password, true, |peer| peer.password = Some(Password::new("secret"))),
        (ConfigField::GracefulRestart, true, |peer| {
            peer.graceful_restart = Some(GracefulRestart { restart_time: 120 });
        }),
        (ConfigField::Families, true, |peer| peer.families = FamilySet::IPV4_UNICAST),
        // The peer of these tests does not know add-path: it makes no difference to it.
        (ConfigField::AddPath, false, |peer| peer.add_path = every_path()),
        (ConfigField::ImportPolicy, false, |peer| peer.import = Some(policy())),
        (ConfigField::ExportPolicy, false, |peer| peer.export = Some(policy())),
        (ConfigField::MaxPrefixes, false, |peer| peer.max_prefixes = Some(100)),
        (ConfigField::RouteReflectorClient, true, |peer| {
            peer.remote_asn = None;
            peer.route_reflector_client = true;
        }),
    ];
    for (field, resets, change) in rows {
        let mut script = Script::new(|_| {});
        let conn = script.establish();
        let effects = apply_peer(&mut script, change);
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
                assert_eq!(script.last_reason(), Reason::ConfigChanged(fields.clone()), "{field}");
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

fn policy() -> Arc<Policy> {
    Arc::new(Policy { name: "all".into(), default_action: Verdict::Accept, statements: Vec::new() })
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
