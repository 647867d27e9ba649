//! The examples in the book's chapter on show commands are what the code prints.
//!
//! Each stands between `<!-- example: NAME -->` and `<!-- end -->`. `RUTTER_UPDATE_BOOK=1 cargo test -p rutter-api` writes
//! them again.

use std::path::PathBuf;

use bgp_wire::{AsPath, NextHop, PathAttributes};
use ipnet::IpNet;
use rutter_api::cilium::{peers, policies, routes};
use rutter_api::intent::{Family, Intent};
use rutter_api::show::adjacency::{AdjacencyHead, AdvertisedRoutes, ReceivedRoutes, WireRoute};
use rutter_api::show::history::{
    Direction, Ended, NeighborHistories, NeighborHistory, Notification, NotificationNoted, OrderNoted,
    StateChangeNoted, When,
};
use rutter_api::show::ordered::Ordered;
use rutter_api::show::prefix::{
    AdvertisedTo, BestPath, LastUpdate, PathDetail, PathPeer, PrefixEntry, PrefixLookup,
};
use rutter_api::show::summary::{BestPathOptions, FamilySummary, PeerState, PeerSummary, Summary};
use rutter_api::show::table::{self, NextHop as ShownNextHop, PathFrom, Table, TableHead};

const NODE: &str = "k8s-ctr";
const ROUTER_ID: [u8; 4] = [192, 168, 10, 100];
const TOR: &str = "192.168.10.200";
const OWN: [&str; 2] = ["172.16.1.1/32", "172.20.0.0/24"];
const LEARNED: [(&str, &str); 2] = [("172.20.1.0/24", "65000 65010"), ("192.168.20.0/24", "65000")];

#[test]
fn the_examples_are_what_the_code_prints() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/src/show.md");
    let chapter = std::fs::read_to_string(&path).expect("the chapter");
    let mut updated = chapter.clone();
    for (name, command, output) in examples() {
        let marker = format!("<!-- example: {name} -->\n");
        let start =
            updated.find(&marker).unwrap_or_else(|| panic!("{marker} is not in the chapter")) + marker.len();
        let end = start + updated[start..].find("<!-- end -->").expect("an end");
        let block = format!("```console\n$ {command}\n{output}```\n");
        updated.replace_range(start..end, &block);
    }
    if std::env::var_os("RUTTER_UPDATE_BOOK").is_some() {
        std::fs::write(&path, &updated).expect("the chapter can be written");
    } else {
        assert!(
            chapter == updated,
            "the examples have changed; RUTTER_UPDATE_BOOK=1 writes them into the chapter"
        );
    }
    let wanted = updated.matches("<!-- example: ").count();
    assert_eq!(wanted, examples().len(), "an example in the chapter is not generated");
}

fn examples() -> Vec<(&'static str, &'static str, String)> {
    vec![
        ("summary", "rutterctl show bgp summary", summary().to_text()),
        ("history", "rutterctl show bgp neighbors tor-switch history", history().to_text()),
        ("table", "rutterctl show bgp ipv4 unicast", table().to_text()),
        ("prefix", "rutterctl show bgp 172.20.1.0/24", lookup().to_text()),
        ("advertised", "rutterctl show bgp neighbors tor-switch advertised-routes", advertised().to_text()),
        ("received", "rutterctl show bgp neighbors tor-switch received-routes", received().to_text()),
        ("peers", "rutterctl --node k8s-ctr bgp peers", peers::to_text(&[peer()], Some(NODE))),
        (
            "routes",
            "rutterctl --node k8s-ctr bgp routes advertised ipv4 unicast",
            routes::to_text(&cilium_routes(), true, Some(NODE)),
        ),
        (
            "policies",
            "rutterctl bgp route-policies",
            policies::to_text(&policies::of_intent(&intent()), None),
        ),
    ]
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// What the ToR sends: its own path, with its address as next hop.
fn learned(path: &str) -> PathAttributes {
    PathAttributes {
        as_path: path.parse().expect("a path"),
        next_hop: Some(NextHop::V4(TOR.parse().expect("an address"))),
        ..PathAttributes::default()
    }
}

/// What goes to the ToR: our ASN in front, our address as next hop.
fn sent() -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([65001]),
        next_hop: Some(NextHop::V4(ROUTER_ID.into())),
        ..PathAttributes::default()
    }
}

fn summary() -> Summary {
    let mut peers = Ordered::new();
    let up = PeerSummary {
        hostname: Some("router".to_owned()),
        software_version: "FRRouting/10.3".to_owned(),
        remote_as: 65000,
        local_as: 65001,
        version: 4,
        msg_rcvd: 418,
        msg_sent: 415,
        table_version: 4,
        peer_uptime: "00:20:34".to_owned(),
        pfx_rcd: 2,
        pfx_snt: 2,
        state: PeerState::Established,
        ..PeerSummary::default()
    };
    let down = PeerSummary {
        hostname: None,
        software_version: "n/a".to_owned(),
        msg_rcvd: 0,
        msg_sent: 0,
        table_version: 0,
        peer_uptime: "never".to_owned(),
        pfx_rcd: 0,
        pfx_snt: 0,
        state: PeerState::Active,
        desc: Some("spare switch, not cabled yet".to_owned()),
        ..up.clone()
    };
    peers.push(TOR, up);
    peers.push("192.168.10.201", down);
    let family = FamilySummary {
        router_id: ROUTER_ID.into(),
        r#as: 65001,
        vrf_id: 0,
        vrf_name: "default".to_owned(),
        table_version: 4,
        rib_count: 4,
        rib_memory: 640,
        peer_count: 2,
        peer_memory: 4096,
        peer_group_count: None,
        peer_group_memory: None,
        peers,
        failed_peers: 1,
        displayed_peers: 2,
        total_peers: 2,
        dynamic_peers: 0,
        best_path: BestPathOptions { multi_path_relax: "true".to_owned() },
    };
    Summary { ipv4_unicast: Some(family), ipv6_unicast: None }
}

fn history() -> NeighborHistories {
    let when = |seconds: u64, times: u32| When {
        epoch: 1_795_219_788 - seconds,
        ago_msecs: seconds * 1000,
        times,
        first_epoch: (times > 1).then_some(1_795_219_700 - seconds),
    };
    let expired = Notification {
        direction: Direction::Sent,
        code: 4,
        subcode: 0,
        reason: "Hold Timer Expired".to_owned(),
        hard_reset_of: None,
        shutdown_description: None,
        data: String::new(),
    };
    let shutdown = Notification {
        direction: Direction::Received,
        code: 6,
        subcode: 2,
        reason: "Cease/Administrative Shutdown".to_owned(),
        shutdown_description: Some("new optics, back at six".to_owned()),
        ..expired.clone()
    };
    let ended = |seconds, cause: &str, reason: &str, lasted, notification: &Notification| Ended {
        when: when(seconds, 1),
        cause: cause.to_owned(),
        reason: reason.to_owned(),
        lasted_msecs: Some(lasted),
        notification: Some(notification.clone()),
    };
    let state = |seconds, times, from, to, reason: &str| StateChangeNoted {
        when: when(seconds, times),
        from,
        to,
        reason: reason.to_owned(),
    };
    let noted = |seconds, notification: &Notification| NotificationNoted {
        when: when(seconds, 1),
        notification: notification.clone(),
    };
    let words = "NOTIFICATION received: Cease/Administrative Shutdown (6/2): \"new optics, back at six\"";
    let history = NeighborHistory {
        peer_name: "tor-switch".to_owned(),
        remote_as: 65000,
        bgp_state: PeerState::Established,
        bgp_state_msecs: 1_234_000,
        connections_established: 3,
        connections_dropped: 2,
        ended_sessions: vec![
            ended(4_834, "notification-received", words, 86_400_000, &shutdown),
            ended(91_240, "hold-timer-expired", "hold timer expired", 5_043_000, &expired),
        ],
        failed_attempts: Vec::new(),
        notifications: vec![noted(4_834, &shutdown), noted(91_240, &expired)],
        orders: vec![OrderNoted {
            when: when(96_300, 1),
            order: "configuration changed, session kept: description".to_owned(),
        }],
        state_changes: vec![
            state(1_234, 1, PeerState::OpenConfirm, PeerState::Established, "OPEN confirmed"),
            state(1_260, 29, PeerState::Connect, PeerState::Active, "connect failed: Connection refused"),
            state(1_261, 30, PeerState::Active, PeerState::Connect, "time to dial"),
            state(4_834, 1, PeerState::Established, PeerState::Idle, words),
        ],
    };
    NeighborHistories([(TOR.to_owned(), history)].into_iter().collect())
}

fn table() -> Table {
    let mut routes = Ordered::new();
    for network in OWN {
        let mut path = table::Path::new(prefix(network), &PathAttributes::default());
        path.nexthops = vec![ShownNextHop::new([0, 0, 0, 0].into(), Some(NODE.to_owned()))];
        (path.valid, path.bestpath) = (true, true);
        routes.push(network, vec![path]);
    }
    for (network, as_path) in LEARNED {
        let attributes = learned(as_path);
        let mut path = table::Path::new(prefix(network), &attributes);
        path.nexthops = ShownNextHop::list(attributes.next_hop.expect("a next hop"), Some("router"), None);
        (path.weight, path.valid, path.bestpath) = (0, true, true);
        routes.push(network, vec![path]);
    }
    let head = TableHead {
        vrf_id: 0,
        vrf_name: "default".to_owned(),
        table_version: 4,
        router_id: ROUTER_ID.into(),
        default_loc_prf: 100,
        local_as: 65001,
    };
    Table { head, routes, total_routes: 4, total_paths: 4 }
}

fn lookup() -> PrefixLookup {
    let (network, as_path) = LEARNED[0];
    let attributes = PathAttributes {
        communities: ["65000:100".parse().expect("a community")].into_iter().collect(),
        ..learned(as_path)
    };
    let peer = PathPeer {
        peer_id: TOR.to_owned(),
        router_id: [192, 168, 20, 200].into(),
        hostname: Some("router".to_owned()),
        interface: None,
        r#type: Some(PathFrom::External),
    };
    let mut path = PathDetail::new(&attributes, peer, LastUpdate::at(1_795_219_788));
    path.valid = true;
    path.bestpath = Some(BestPath {
        bestpath_from_as: Some(65000),
        overall: true,
        selection_reason: Some("First path received".to_owned()),
    });
    path.nexthops = ShownNextHop::list(attributes.next_hop.expect("a next hop"), Some("router"), None);
    let told = [("192.168.10.210".to_owned(), AdvertisedTo { hostname: Some("k8s-edge".to_owned()) })];
    PrefixLookup::Found(Box::new(PrefixEntry {
        prefix: network.to_owned(),
        version: 3,
        advertised_to: Some(told.into_iter().collect()),
        paths: vec![path],
    }))
}

fn adjacency_head() -> AdjacencyHead {
    AdjacencyHead {
        bgp_table_version: 4,
        bgp_local_router_id: ROUTER_ID.into(),
        default_loc_prf: 100,
        local_as: 65001,
    }
}

fn advertised() -> AdvertisedRoutes {
    let route = |network: &str| WireRoute {
        weight: table::OWN_WEIGHT,
        valid: true,
        best: true,
        ..WireRoute::new(prefix(network), &sent())
    };
    AdvertisedRoutes {
        head: adjacency_head(),
        advertised_routes: OWN.iter().map(|network| ((*network).to_owned(), route(network))).collect(),
        total_prefix_counter: 2,
        filtered_prefix_counter: 0,
    }
}

fn received() -> ReceivedRoutes {
    let route = |index: usize, (network, path): (&str, &str)| {
        let mut route = WireRoute::new(prefix(network), &learned(path));
        (route.valid, route.best) = (index == 0, index == 0);
        (network.to_owned(), route)
    };
    ReceivedRoutes {
        head: adjacency_head(),
        received_routes: LEARNED.into_iter().enumerate().map(|(index, each)| route(index, each)).collect(),
        total_prefix_counter: 2,
        filtered_prefix_counter: 1,
    }
}

fn peer() -> peers::Peer {
    peers::Peer {
        instance: "instance-65001".to_owned(),
        name: "tor-switch".to_owned(),
        local_asn: 65001,
        peer_asn: 65000,
        peer_address: TOR.parse().expect("an address"),
        session_state: peers::SessionState::Established,
        uptime_nanoseconds: 1_234_000_000_000,
        families: vec![peers::FamilyState::new(Family::Ipv4Unicast, 2, 2, 2)],
        ..peers::Peer::default()
    }
}

fn cilium_routes() -> Vec<routes::Route> {
    let route = |network: &str| {
        let mut path = routes::Path::new(prefix(network), &sent());
        path.age_nanoseconds = 1_233_000_000_000;
        routes::Route {
            instance: "instance-65001".to_owned(),
            router_asn: 65001,
            neighbor: TOR.to_owned(),
            prefix: network.to_owned(),
            paths: vec![path],
        }
    };
    OWN.into_iter().map(route).collect()
}

fn intent() -> Intent {
    let text = r#"{"instances": [{"name": "instance-65001", "localASN": 65001, "routerID": "192.168.10.100", "peers": [
        {"name": "tor-switch", "address": "192.168.10.200", "peerASN": 65000,
         "export": {"name": "peer-tor-switch-export", "defaultAction": "reject", "statements": [
            {"name": "PodCIDR-ipv4", "families": ["ipv4-unicast"], "prefixes": [{"prefix": "172.20.0.0/24"}],
             "action": "accept"},
            {"name": "Service-webpod-default-LoadBalancerIP-ipv4", "families": ["ipv4-unicast"],
             "prefixes": [{"prefix": "172.16.1.1/32"}], "action": "accept",
             "set": {"addCommunities": ["65001:100"]}}]}}]}]}"#;
    serde_json::from_str(text).expect("an intent")
}
