//! Every refusal of a configuration, and that its text says where and what to do.

use std::net::Ipv6Addr;

use super::*;

fn peer() -> PeerConfig {
    PeerConfig::new("tor", IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), Some(65002))
}

fn settings() -> SpeakerSettings {
    let mut settings = SpeakerSettings::new("node", 65001, Ipv4Addr::new(10, 0, 0, 1));
    settings.peers = vec![peer()];
    settings
}

fn refused(change: impl FnOnce(&mut SpeakerSettings)) -> ConfigError {
    let mut settings = settings();
    change(&mut settings);
    SpeakerConfig::new(settings).expect_err("refused")
}

fn refused_peer(change: impl FnOnce(&mut PeerConfig)) -> PeerFault {
    match refused(|settings| change(&mut settings.peers[0])) {
        ConfigError::Peer { peer, fault } => {
            assert_eq!(&*peer, "tor");
            fault
        }
        other => panic!("{other}"),
    }
}

#[test]
fn speakers() {
    assert!(SpeakerConfig::new(settings()).is_ok());
    assert_eq!(refused(|settings| settings.local_asn = 0), ConfigError::LocalAsn(0));
    assert_eq!(refused(|settings| settings.local_asn = 23456), ConfigError::LocalAsn(23456));
    assert_eq!(refused(|settings| settings.router_id = Ipv4Addr::UNSPECIFIED), ConfigError::RouterId);
    assert_eq!(refused(|settings| settings.maximum_paths = 0), ConfigError::MaximumPaths(0));
    assert_eq!(refused(|settings| settings.maximum_paths = 129), ConfigError::MaximumPaths(129));
    assert_eq!(refused(|settings| settings.peers.push(peer())), ConfigError::DuplicateName("tor".into()));
}

#[test]
fn peers() {
    let v4 = |text: &str| text.parse::<IpAddr>().unwrap();
    let link_local = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    assert_eq!(refused_peer(|peer| peer.address = v4("0.0.0.0")), PeerFault::Address(v4("0.0.0.0")));
    assert_eq!(refused_peer(|peer| peer.address = v4("224.0.0.1")), PeerFault::Address(v4("224.0.0.1")));
    assert_eq!(refused_peer(|peer| peer.address = link_local), PeerFault::NeedsInterface(link_local));
    assert_eq!(refused_peer(|peer| peer.remote_asn = Some(23456)), PeerFault::RemoteAsn);
    assert_eq!(
        refused_peer(|peer| peer.local_address = Some(v4("::1"))),
        PeerFault::LocalAddressFamily(v4("::1"), v4("192.0.2.2"))
    );
    assert_eq!(refused_peer(|peer| peer.passive = true), PeerFault::PassiveWithoutListener);
    assert_eq!(refused_peer(|peer| peer.port = 0), PeerFault::Port);
    assert_eq!(refused_peer(|peer| peer.timers.hold = 2), PeerFault::HoldTime(2));
    assert_eq!(
        refused_peer(|peer| peer.timers.keepalive = 91),
        PeerFault::KeepaliveTime { keepalive: 91, hold: 90 }
    );
    assert_eq!(refused_peer(|peer| peer.timers.connect_retry = 0), PeerFault::ConnectRetryTime);
    let restart = |restart_time| Some(GracefulRestart::new(restart_time));
    assert_eq!(refused_peer(|peer| peer.graceful_restart = restart(0)), PeerFault::RestartTime(0));
    assert_eq!(refused_peer(|peer| peer.graceful_restart = restart(4096)), PeerFault::RestartTime(4096));
    assert_eq!(refused_peer(|peer| peer.families = FamilySet::EMPTY), PeerFault::NoFamily);
    assert_eq!(refused_peer(|peer| peer.add_path.send = Some(PathsSent::Best(0))), PeerFault::PathsSent);
    assert_eq!(refused_peer(|peer| peer.multihop = Some(0)), PeerFault::Multihop);
    assert_eq!(
        refused_peer(|peer| peer.route_reflector_client = true),
        PeerFault::ClientNotInternal { local: 65001, remote: 65002 }
    );
    assert_eq!(refused_peer(|peer| peer.password = Some(Password::new(""))), PeerFault::PasswordLength(0));
    let long = "x".repeat(81);
    assert_eq!(refused_peer(|peer| peer.password = Some(Password::new(long))), PeerFault::PasswordLength(81));
    assert_eq!(refused_peer(|peer| peer.max_prefixes = Some(0.into())), PeerFault::MaxPrefixes);
}

#[test]
fn two_peers_of_one_address_need_different_local_addresses() {
    let twin = |local: Option<&str>| PeerConfig {
        local_address: local.map(|local| local.parse().unwrap()),
        ..PeerConfig::new("twin", peer().address, None)
    };
    let error = refused(|settings| settings.peers.push(twin(Some("10.0.0.1"))));
    assert!(
        error.to_string().starts_with("peer \"twin\": address 192.0.2.2 is also peer \"tor\"'s"),
        "{error}"
    );
    let mut settings = settings();
    settings.peers[0].local_address = Some("10.0.0.2".parse().unwrap());
    settings.peers.push(twin(Some("10.0.0.1")));
    assert!(SpeakerConfig::new(settings).is_ok());
}

#[test]
fn routes() {
    let route = |prefix: &str| OriginatedRoute::new(prefix.parse().unwrap());
    let error = refused(|settings| settings.routes = vec![route("10.0.0.1/24")]);
    assert_eq!(error.to_string(), "route 10.0.0.1/24 has host bits set; write 10.0.0.0/24");
    let error = refused(|settings| settings.routes = vec![route("10.0.0.0/24"), route("10.0.0.0/24")]);
    assert_eq!(error, ConfigError::DuplicateRoute("10.0.0.0/24".parse().unwrap()));
    let next_hop = "255.255.255.255".parse().unwrap();
    let error = refused(|settings| {
        settings.routes = vec![OriginatedRoute { next_hop: Some(next_hop), ..route("10.0.0.0/24") }];
    });
    assert!(matches!(error, ConfigError::RouteNextHop { .. }));
}

#[test]
fn a_peer_asn_of_zero_means_any() {
    let mut settings = settings();
    settings.peers[0].remote_asn = Some(0);
    assert_eq!(SpeakerConfig::new(settings).unwrap().peers[0].remote_asn, None);
}

#[test]
fn passwords_do_not_print() {
    let peer = PeerConfig { password: Some(Password::new("hunter2")), ..peer() };
    let printed = format!("{peer:?}");
    assert!(!printed.contains("hunter2") && printed.contains("********"), "{printed}");
}
