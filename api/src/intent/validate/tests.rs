use serde_json::{Value, json};

use crate::intent::{EveryPath, Intent, PathsSent};

/// An intent that uses every field, and is valid.
fn full() -> Value {
    serde_json::from_str(FULL).expect("JSON")
}

const FULL: &str = r#"{
        "holdSeconds": 60,
        "instances": [{
            "name": "65001", "localASN": 65001, "routerID": "10.0.0.1", "listenPort": 179,
            "listenAddresses": ["10.0.0.1", "fd00::1"], "maximumPaths": 8, "multipathRelax": true,
            "gracefulRestart": {"selectionDeferralSeconds": 60},
            "peers": [{
                "name": "tor", "address": "10.0.0.2", "peerASN": 65002, "port": 1790, "localAddress": "10.0.0.1",
                "interface": "eth0", "passive": true, "shutdown": false, "description": "rack 4",
                "timers": {"connectRetrySeconds": 5, "holdSeconds": 9, "keepaliveSeconds": 3},
                "ebgpMultihop": 2, "password": "hidden", "gracefulRestart": {"restartSeconds": 120, "staleSeconds": 300, "longLivedSeconds": 86400},
                "families": ["ipv4-unicast", "ipv6-unicast"], "maxPrefixes": 100,
                "addPath": {"receive": true, "send": 3, "families": ["ipv4-unicast"]},
                "import": {"name": "in", "defaultAction": "accept"},
                "export": {"name": "out", "defaultAction": "reject", "statements": [{
                    "name": "a", "families": ["ipv4-unicast"],
                    "prefixes": [{"prefix": "10.0.0.0/8", "minLength": 16, "maxLength": 24}],
                    "anyCommunity": ["no-export"], "sources": ["local"], "action": "accept",
                    "set": {"localPreference": 200, "med": 5, "addCommunities": ["65001:1", "4294967041"],
                            "addLargeCommunities": ["1:2:3"], "prepend": 3}
                }]}
            }],
            "routes": [{"prefix": "10.1.0.0/24", "nextHop": "10.0.0.9", "communities": ["blackhole"],
                        "largeCommunities": ["4294967295:0:0"], "source": "test"}]
        }]
    }"#;

/// The error text after the value at `pointer` was replaced by `value`.
fn refused(pointer: &str, value: Value) -> String {
    let mut intent = full();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = intent.pointer_mut(parent).expect("the parent exists");
    match parent {
        Value::Array(items) => items.insert(key.parse().expect("an index"), value),
        parent => parent[key] = value,
    }
    let intent: Intent = serde_json::from_value(intent).expect("well typed");
    intent.validate().expect_err("a broken rule").to_string()
}

#[test]
fn a_full_intent_is_valid() {
    let intent: Intent = serde_json::from_value(full()).expect("well typed");
    intent.validate().expect("valid");
    Intent::default().validate().expect("nothing is wanted");
}

/// Pointer to the field, bad value, the whole text a person reads.
const RULES: &[(&str, &str, &str)] = &[
    ("/holdSeconds", r#"0"#, "holdSeconds: 0 is out of range; write 1 to 4294967295"),
    (
        "/instances/1",
        r#"{"name": "65001", "localASN": 1, "routerID": "1.1.1.1"}"#,
        "instances[1].name: 65001 is also at instances[0].name; give each instance its own name",
    ),
    (
        "/instances/1",
        r#"{"name": "b", "localASN": 1, "routerID": "1.1.1.1", "listenPort": 179}"#,
        "instances[1].listenPort: 179 is also at instances[0].listenPort; give each instance its own listenPort, \
             or disjoint listenAddresses",
    ),
    ("/instances/0/name", r#""""#, "instances[0].name: is empty; give it a name"),
    ("/instances/0/name", r#""a b""#, "instances[0].name: \"a b\" is not a name: it has blanks"),
    ("/instances/0/localASN", r#"0"#, "instances[0].localASN: 0 is reserved (RFC 7607)"),
    ("/instances/0/localASN", r#"23456"#, "instances[0].localASN: 23456 is reserved (AS_TRANS, RFC 6793)"),
    (
        "/instances/0/routerID",
        r#""0.0.0.0""#,
        "instances[0].routerID: 0.0.0.0 cannot be used here: a BGP Identifier is any IPv4 address but 0.0.0.0 (RFC 6286)",
    ),
    ("/instances/0/maximumPaths", r#"0"#, "instances[0].maximumPaths: 0 is out of range; write 1 to 128"),
    ("/instances/0/listenPort", r#"0"#, "instances[0].listenPort: 0 is out of range; write 1 to 65535"),
    (
        "/instances/0/listenPort",
        r#"null"#,
        "instances[0].peers[0].passive: needs listenPort: a passive peer can only be accepted, and this instance \
             does not listen",
    ),
    (
        "/instances/0/listenAddresses/0",
        r#""::""#,
        "instances[0].listenAddresses[0]: :: cannot be used here: it means no address",
    ),
    (
        "/instances/0/peers/1",
        r#"{"name": "tor", "address": "10.0.0.3"}"#,
        "instances[0].peers[1].name: tor is also at instances[0].peers[0].name; give each peer of an instance its \
             own name",
    ),
    (
        "/instances/0/peers/1",
        r#"{"name": "other", "address": "10.0.0.2"}"#,
        "instances[0].peers[1].address: 10.0.0.2 is also at instances[0].peers[0].address; one instance has one \
             session per neighbour address",
    ),
    (
        "/instances/0/peers/1",
        r#"{"name": "ll", "address": "fe80::1"}"#,
        "instances[0].peers[1].address: needs interface: a link-local address means something on one link only",
    ),
    (
        "/instances/0/peers/0/address",
        r#""224.0.0.5""#,
        "instances[0].peers[0].address: 224.0.0.5 cannot be used here: it is a multicast address",
    ),
    (
        "/instances/0/peers/0/address",
        r#""::ffff:10.0.0.1""#,
        "instances[0].peers[0].address: ::ffff:10.0.0.1 cannot be used here: it is an IPv4-mapped address; write \
             the IPv4 address",
    ),
    ("/instances/0/peers/0/port", r#"0"#, "instances[0].peers[0].port: 0 is out of range; write 1 to 65535"),
    (
        "/instances/0/peers/0/peerASN",
        r#"23456"#,
        "instances[0].peers[0].peerASN: 23456 is reserved (AS_TRANS, RFC 6793)",
    ),
    (
        "/instances/0/peers/0/localAddress",
        r#""fd00::1""#,
        "instances[0].peers[0].localAddress: fd00::1 is of another family than the peer's 10.0.0.2",
    ),
    (
        "/instances/0/peers/0/interface",
        r#""a/b""#,
        "instances[0].peers[0].interface: \"a/b\" is not an interface name (at most 15 characters, no blanks, no slash)",
    ),
    (
        "/instances/0/peers/0/description",
        r#""two\nlines""#,
        "instances[0].peers[0].description: \"two\\nlines\" is not one line of text: it has control characters",
    ),
    (
        "/instances/0/peers/0/timers/holdSeconds",
        r#"2"#,
        "instances[0].peers[0].timers.holdSeconds: 2 is out of range; write 0 or 3 to 65535 (RFC 4271 §4.2)",
    ),
    (
        "/instances/0/peers/0/timers/keepaliveSeconds",
        r#"30"#,
        "instances[0].peers[0].timers.keepaliveSeconds: contradicts holdSeconds: 30 is more than the hold time of \
             9 s; write 3 or less",
    ),
    (
        "/instances/0/peers/0/timers/keepaliveSeconds",
        r#"0"#,
        "instances[0].peers[0].timers.keepaliveSeconds: contradicts holdSeconds: without keepalives a hold time \
             of 9 s always expires",
    ),
    (
        "/instances/0/peers/0/timers/connectRetrySeconds",
        r#"0"#,
        "instances[0].peers[0].timers.connectRetrySeconds: 0 is out of range; write 1 to 2147483647",
    ),
    (
        "/instances/0/peers/0/ebgpMultihop",
        r#"0"#,
        "instances[0].peers[0].ebgpMultihop: 0 is out of range; write 1 to 255",
    ),
    (
        "/instances/0/peers/0/password",
        r#""""#,
        "instances[0].peers[0].password: is empty; write a password, or leave it out",
    ),
    (
        "/instances/0/peers/0/gracefulRestart/restartSeconds",
        r#"4096"#,
        "instances[0].peers[0].gracefulRestart.restartSeconds: 4096 is out of range; write 1 to 4095",
    ),
    (
        "/instances/0/peers/0/gracefulRestart/staleSeconds",
        r#"0"#,
        "instances[0].peers[0].gracefulRestart.staleSeconds: 0 is out of range; write 1 to 86400",
    ),
    (
        "/instances/0/peers/0/gracefulRestart/longLivedSeconds",
        r#"16777216"#,
        "instances[0].peers[0].gracefulRestart.longLivedSeconds: 16777216 is out of range; write 1 to 16777215",
    ),
    (
        "/instances/0/gracefulRestart/selectionDeferralSeconds",
        r#"0"#,
        "instances[0].gracefulRestart.selectionDeferralSeconds: 0 is out of range; write 1 to 3600",
    ),
    (
        "/instances/0/peers/0/families/0",
        r#""ipv6-unicast""#,
        "instances[0].peers[0].families[2]: ipv6-unicast is also at instances[0].peers[0].families[0]; list each \
             family once",
    ),
    (
        "/instances/0/peers/0/maxPrefixes",
        r#"0"#,
        "instances[0].peers[0].maxPrefixes: 0 is out of range; write 1 to 4294967295",
    ),
    (
        "/instances/0/peers/0/addPath/send",
        r#"0"#,
        "instances[0].peers[0].addPath.send: 0 is out of range; write 1 to 255",
    ),
    (
        "/instances/0/peers/0/addPath/send",
        r#"256"#,
        "instances[0].peers[0].addPath.send: 256 is out of range; write 1 to 255",
    ),
    (
        "/instances/0/peers/0/families",
        r#"["ipv6-unicast"]"#,
        "instances[0].peers[0].addPath.families[0]: contradicts families: ipv4-unicast is not among the peer's \
             families",
    ),
    (
        "/instances/0/peers/0/maxPrefixes",
        r#"{"limit": 9, "warningPercent": 101}"#,
        "instances[0].peers[0].maxPrefixes.warningPercent: 101 is out of range; write 1 to 100",
    ),
    (
        "/instances/0/peers/0/maxPrefixes",
        r#"{"limit": 9, "restartSeconds": 5}"#,
        "instances[0].peers[0].maxPrefixes.restartSeconds: needs action: restart: only the action `restart` opens the \
             session again",
    ),
    (
        "/instances/0/peers/0/strictRole",
        r#"true"#,
        "instances[0].peers[0].strictRole: needs role: without a role of ours the neighbour's does not matter",
    ),
    (
        "/instances/0/peers/1",
        r#"{"name": "i", "address": "10.0.0.7", "peerASN": 65001, "role": "peer"}"#,
        "instances[0].peers[1].role: contradicts peerASN: roles are between different ASes (RFC 9234)",
    ),
    (
        "/instances/0/peers/0/routeReflectorClient",
        r#"true"#,
        "instances[0].peers[0].routeReflectorClient: contradicts peerASN: routes are reflected between internal \
             peers only (RFC 4456)",
    ),
    (
        "/instances/0/peers/0/export/statements/0/prefixes/0/maxLength",
        r#"8"#,
        "instances[0].peers[0].export.statements[0].prefixes[0].maxLength: 8 is out of range; write 16 to 32",
    ),
    (
        "/instances/0/peers/0/export/statements/0/action",
        r#""reject""#,
        "instances[0].peers[0].export.statements[0].set: contradicts action: a rejected route is not changed",
    ),
    (
        "/instances/0/peers/0/export/statements/0/set/prepend",
        r#"17"#,
        "instances[0].peers[0].export.statements[0].set.prepend: 17 is out of range; write 1 to 16",
    ),
    (
        "/instances/0/peers/0/export/statements/0/set/addCommunities/1",
        r#""65536:1""#,
        "instances[0].peers[0].export.statements[0].set.addCommunities[1]: \"65536:1\" is not a community; write \
             ASN:VALUE (each 0 to 65535), a 32-bit number or a well-known name such as no-export",
    ),
    (
        "/instances/0/peers/0/export/statements/0/anyCommunity/0",
        r#""nonsense""#,
        "instances[0].peers[0].export.statements[0].anyCommunity[0]: \"nonsense\" is not a community; write \
             ASN:VALUE (each 0 to 65535), a 32-bit number or a well-known name such as no-export",
    ),
    (
        "/instances/0/routes/0/prefix",
        r#""10.1.0.1/24""#,
        "instances[0].routes[0].prefix: 10.1.0.1/24 has host bits set; write 10.1.0.0/24",
    ),
    (
        "/instances/0/routes/0/prefix",
        r#""fd00::/64""#,
        "instances[0].routes[0].nextHop: 10.0.0.9 is of another family than the prefix fd00::/64",
    ),
    (
        "/instances/0/routes/1",
        r#"{"prefix": "10.1.0.0/24"}"#,
        "instances[0].routes[1].prefix: 10.1.0.0/24 is also at instances[0].routes[0].prefix; an instance \
             originates a prefix once",
    ),
    (
        "/instances/0/routes/0/largeCommunities/0",
        r#""1:2""#,
        "instances[0].routes[0].largeCommunities[0]: \"1:2\" is not a large community; write \
             GLOBAL:LOCAL1:LOCAL2, each 0 to 4294967295",
    ),
];

#[test]
fn every_rule_names_its_field() {
    for (pointer, value, expected) in RULES {
        let value = serde_json::from_str(value).expect("JSON");
        assert_eq!(refused(pointer, value), *expected, "at {pointer}");
    }
}

#[test]
fn all_paths_or_a_number_of_them() {
    let send = |value: Value| {
        let mut intent = full();
        intent["instances"][0]["peers"][0]["addPath"] = json!({"send": value});
        serde_json::from_value::<Intent>(intent).map(|intent| intent.instances[0].peers[0].add_path.clone())
    };
    let sent = |value| send(value).expect("an intent").and_then(|add_path| add_path.send);
    assert_eq!(sent(json!("all")), Some(PathsSent::All(EveryPath::All)));
    assert_eq!(sent(json!(3)), Some(PathsSent::Best(3)));
    assert_eq!(serde_json::to_value(sent(json!("all"))).expect("JSON"), json!("all"));
    for wrong in [json!("some"), json!(-1), json!(true)] {
        send(wrong).expect_err("neither");
    }
}

#[test]
fn a_long_password_is_not_repeated() {
    let text = refused("/instances/0/peers/0/password", json!("secret".repeat(20)));
    assert_eq!(text, "instances[0].peers[0].password: is 120 bytes long; at most 80 are possible");
}

#[test]
fn one_port_on_disjoint_addresses_is_fine() {
    let mut intent = full();
    let other = json!({"name": "b", "localASN": 1, "routerID": "1.1.1.1", "listenPort": 179,
                       "listenAddresses": ["10.0.0.7"]});
    intent["instances"].as_array_mut().expect("instances").push(other);
    let intent: Intent = serde_json::from_value(intent).expect("well typed");
    intent.validate().expect("no overlap");
}

#[test]
fn keys_and_ttl_security() {
    let peer = |extra: &str| {
        let text = format!(
            r#"{{"instances": [{{"name": "m", "localASN": 1, "routerID": "10.0.0.1",
                "peers": [{{"name": "p", "address": "10.0.0.2", {extra}}}]}}]}}"#
        );
        let intent: Intent = serde_json::from_str(&text).expect("well typed");
        intent.validate().map_err(|error| error.to_string())
    };
    let key = |id: u8, secret: &str| {
        format!(r#"{{"sendId": {id}, "recvId": 1, "algorithm": "hmac-sha-1-96", "secret": "{secret}"}}"#)
    };
    assert_eq!(peer(r#""ttlSecurityHops": 1"#), Ok(()));
    assert_eq!(peer(&format!(r#""tcpAo": {{"keys": [{}]}}"#, key(0, "s"))), Ok(()));
    let rows = [
        (r#""ttlSecurityHops": 0"#.to_owned(), "ttlSecurityHops: 0 is out of range; write 1 to 255"),
        (
            r#""ttlSecurityHops": 1, "ebgpMultihop": 2"#.to_owned(),
            "ttlSecurityHops: contradicts ebgpMultihop",
        ),
        (r#""tcpAo": {"keys": []}"#.to_owned(), "tcpAo.keys: is empty"),
        (
            format!(r#""password": "x", "tcpAo": {{"keys": [{}]}}"#, key(0, "s")),
            "tcpAo: contradicts password",
        ),
        (format!(r#""tcpAo": {{"keys": [{}]}}"#, key(0, "")), "tcpAo.keys[0].secret: is empty"),
        (
            format!(r#""tcpAo": {{"keys": [{}, {}]}}"#, key(0, "geheim"), key(1, "geheim")),
            "tcpAo.keys[1].recvId: 1 is also at instances[0].peers[0].tcpAo.keys[0].recvId",
        ),
    ];
    for (extra, expected) in rows {
        let error = peer(&extra).expect_err(&extra);
        assert!(error.starts_with(&format!("instances[0].peers[0].{expected}")), "{error}");
        assert!(!error.contains("geheim"), "{error}");
    }
}
