//! The book's page about what a change costs, made from the table that the engine itself reads, and the proof that no field
//! of an intent or of a Kubernetes object is missing in it.
//!
//! `RUTTER_UPDATE=1` writes the page anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bgp_core::{ConfigField, Cost};
use serde_json::Value;

/// Fields of an intent that are no peer's, and those of a peer that make it another one.
const INTENT: &[(&str, Cost, &str)] = &[
    ("holdSeconds", Cost::None, "for how long the intent outlives its owner"),
    ("instances[].name", Cost::Reset, "another name is another instance: the sessions of the old one end"),
    (
        "instances[].listenPort",
        Cost::None,
        "sockets are opened and closed; connections that were accepted go on",
    ),
    (
        "instances[].listenAddresses",
        Cost::None,
        "sockets are opened and closed; connections that were accepted go on",
    ),
    ("instances[].maximumPaths", Cost::Soft, "best paths are chosen again"),
    ("instances[].multipathRelax", Cost::Soft, "best paths are chosen again"),
    ("instances[].gracefulRestart", Cost::None, "it counts while bgpd itself restarts"),
    ("instances[].gracefulShutdown", Cost::Soft, "routes are sent again with the community"),
    ("instances[].routes", Cost::Soft, "only routes that differ are sent or withdrawn"),
    (
        "instances[].peerGroups",
        Cost::None,
        "nothing by itself: peers that take a field over change in that field",
    ),
    ("instances[].peers[].name", Cost::Reset, "another name is another peer"),
    ("instances[].dynamicPeers[].name", Cost::Reset, "another name is another list of ranges: its peers end"),
    (
        "instances[].dynamicPeers[].ranges",
        Cost::Reset,
        "sessions from a range that goes end; nothing for those of ranges that stay",
    ),
    ("instances[].dynamicPeers[].limit", Cost::None, "it decides about the next connection"),
    (
        "instances[].dynamicPeers[].peerASNs",
        Cost::Reset,
        "as `peerASN`: nothing for a peer that has one of them",
    ),
];

/// Fields of Kubernetes objects, and where in the intent they end.
const OBJECTS: &[(&str, &str, &[&str])] = &[
    ("CiliumBGPClusterConfig", "spec.nodeSelector", &["instances[].name"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].name", &["instances[].name"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].localASN", &["localASN"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].localPort", &["instances[].listenPort"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].peers[].name", &["instances[].peers[].name"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].peers[].peerASN", &["peerASN"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].peers[].peerAddress", &["address"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].peers[].autoDiscovery", &["address"]),
    ("CiliumBGPClusterConfig", "spec.bgpInstances[].peers[].peerConfigRef", &["instances[].peerGroups"]),
    ("CiliumBGPPeerConfig", "spec.authSecretRef", &["password"]),
    ("CiliumBGPPeerConfig", "spec.ebgpMultihop", &["ebgpMultihop"]),
    ("CiliumBGPPeerConfig", "spec.families[].afi", &["families"]),
    ("CiliumBGPPeerConfig", "spec.families[].safi", &["families"]),
    ("CiliumBGPPeerConfig", "spec.families[].advertisements", &["export", "instances[].routes"]),
    ("CiliumBGPPeerConfig", "spec.gracefulRestart", &["gracefulRestart"]),
    ("CiliumBGPPeerConfig", "spec.timers.connectRetryTimeSeconds", &["timers.connectRetrySeconds"]),
    ("CiliumBGPPeerConfig", "spec.timers.holdTimeSeconds", &["timers.holdSeconds"]),
    ("CiliumBGPPeerConfig", "spec.timers.keepAliveTimeSeconds", &["timers.keepaliveSeconds"]),
    ("CiliumBGPPeerConfig", "spec.transport.peerPort", &["port"]),
    ("CiliumBGPPeerConfig", "spec.transport.sourceInterface", &["localAddress"]),
    ("CiliumBGPAdvertisement", "spec.advertisements", &["export", "instances[].routes"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].name", &["instances[].name"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].localASN", &["localASN"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].localPort", &["instances[].listenPort"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].routerID", &["routerID"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].peers[].name", &["instances[].peers[].name"]),
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].peers[].localAddress", &["localAddress"]),
    // Read, and refused with a condition: bgpd chooses the source port itself.
    ("CiliumBGPNodeConfigOverride", "spec.bgpInstances[].peers[].localPort", &[]),
];

const HEAD: &str = "\
# What a change costs

<!-- Made by `RUTTER_UPDATE=1 cargo test -p bgpd reconfiguration` from the table that bgpd itself reads. -->

A session is reset only if it cannot go on. Every field has a price, and a test fails for a field that has none:

- **none**: in force at once, on the live session, too
- **next session**: the live session goes on with what it agreed on; the new value is in the next OPEN
- **soft**: routes are evaluated again and differences are sent; the session stays
- **reset**: the session is closed (Cease, Other Configuration Change) and begins again at once; only that one

`bgpd --check FILE` says what a file would do to the sessions of the running bgpd, `bgpd --check FILE --against OLD` what the
step from one file to another costs at most, and `PUT /v1/intents/{owner}?dry_run` what an intent would do. The answer to the
`PUT` itself, and the log, say the same afterwards. A lone change is applied at once. Changes that come while one is being
applied, or in the same time again after it (half a second at most), from whomever, are applied together; each `PUT` is
answered when that is done.

When a key changes, there is a moment in which both ends have different ones. The kernel drops what the other key signed, TCP
sends it again, and the session goes on if both ends agree within the hold time.
";

fn cost_of(field: &str) -> Option<(Cost, &'static str)> {
    let peer = ConfigField::ALL.iter().find(|known| known.label() == field);
    let peer = peer.map(|known| (known.cost(), known.why()));
    peer.or_else(|| INTENT.iter().find(|(path, ..)| *path == field).map(|(_, cost, why)| (*cost, *why)))
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## A peer, or a list of dynamic ones\n\n| field | cost | why |\n|---|---|---|\n");
    for field in ConfigField::ALL {
        page.push_str(&format!("| `{field}` | {} | {} |\n", field.cost(), field.why()));
    }
    page.push_str("\n## The rest of an intent or file\n\n| field | cost | why |\n|---|---|---|\n");
    page.push_str("| `hostname` (file) | next session | both OPENs carry it |\n");
    for (path, cost, why) in INTENT {
        page.push_str(&format!("| `{path}` | {cost} | {why} |\n"));
    }
    page.push_str("\n## Kubernetes objects\n\n| kind | field | becomes | cost |\n|---|---|---|---|\n");
    for (kind, path, into) in OBJECTS {
        let costs = into.iter().map(|field| cost_of(field).unwrap_or_else(|| panic!("{field} has no row")).0);
        let cost = costs.max().unwrap_or(Cost::None);
        let into: Vec<String> = into.iter().map(|field| format!("`{field}`")).collect();
        let into = if into.is_empty() { "nothing".to_owned() } else { into.join(", ") };
        page.push_str(&format!("| {kind} | `{path}` | {into} | {cost} |\n"));
    }
    page
}

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn the_page_is_what_the_engine_does() {
    let path = book().join("src/reconfiguration.md");
    if std::env::var_os("RUTTER_UPDATE").is_some() {
        std::fs::write(&path, page()).expect("written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/src/reconfiguration.md is not current: run this test with RUTTER_UPDATE=1"
    );
}

/// Every leaf below a schema, with `[]` for items.
fn leaves(root: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        // A policy, a route and a list of keys are each one value to the engine.
        if matches!(name, "Policy" | "Route" | "TcpAo") {
            found.push(path.to_owned());
            return;
        }
        return leaves(root, &root["components"]["schemas"][name], path, found);
    }
    let variants = ["oneOf", "allOf", "anyOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(variants) = variants {
        let inner: Vec<&Value> = variants.iter().filter(|variant| variant["type"] != "null").collect();
        match inner.as_slice() {
            [one] => leaves(root, one, path, found),
            _ => found.push(path.to_owned()),
        }
    } else if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            leaves(root, property, &path, found);
        }
    } else if schema["items"].is_object() && path.matches("[]").count() < 2 {
        leaves(root, &schema["items"], &format!("{path}[]"), found);
    } else {
        found.push(path.to_owned());
    }
}

fn covers(row: &str, path: &str) -> bool {
    path.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[test]
fn no_field_of_an_intent_is_without_a_row() {
    let text = std::fs::read_to_string(book().join("openapi/bgpd.json")).expect("the description of the API");
    let api: Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    leaves(&api, &api["components"]["schemas"]["Intent"], "", &mut found);
    assert!(found.len() > 60, "the walk found only {found:?}");
    let peer_field = |path: &str| {
        ["instances[].peers[].", "instances[].dynamicPeers[]."]
            .iter()
            .find_map(|head| path.strip_prefix(head))
            .or_else(|| {
                path.strip_prefix("instances[].").filter(|rest| ["localASN", "routerID"].contains(rest))
            })
            .is_some_and(|field| ConfigField::ALL.iter().any(|row| covers(row.label(), field)))
    };
    let missing: Vec<&String> = found
        .iter()
        .filter(|path| !peer_field(path) && !INTENT.iter().any(|(row, ..)| covers(row, path)))
        .collect();
    assert!(
        missing.is_empty(),
        "these fields have no cost: {missing:?}; give them a row in bgpd/core/src/reconfigure.rs, or here if they are no \
         peer's"
    );
}

#[test]
fn no_field_of_an_object_is_without_a_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s-sync/crds/tests/data");
    let files = [
        "ciliumbgpclusterconfigs",
        "ciliumbgppeerconfigs",
        "ciliumbgpadvertisements",
        "ciliumbgpnodeconfigoverrides",
    ];
    let mut rows: BTreeMap<(&str, &str), usize> =
        OBJECTS.iter().map(|(kind, path, _)| ((*kind, *path), 0)).collect();
    let mut missing = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(folder.join(format!("{file}.yaml"))).expect("a CRD");
        let crd: Value = serde_saphyr::from_str(&text).expect("YAML");
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
        let versions = crd["spec"]["versions"].as_array().cloned().unwrap_or_default();
        let stored = versions.iter().find(|version| version["storage"] == true).expect("a stored version");
        let mut found = Vec::new();
        walk_object(&stored["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec", &mut found);
        for path in found {
            let row = rows.iter_mut().find(|((of, row), _)| *of == kind && covers(row, &path));
            match row {
                Some((_, uses)) => *uses += 1,
                None => missing.push(format!("{kind} {path}")),
            }
        }
    }
    assert!(missing.is_empty(), "these fields have no row in OBJECTS: {missing:?}");
    let idle: Vec<_> = rows.iter().filter(|(_, uses)| **uses == 0).map(|(row, _)| row).collect();
    assert!(idle.is_empty(), "these rows are about no field: {idle:?}");
}

fn walk_object(schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema["items"].is_object() {
        walk_object(&schema["items"], &format!("{path}[]"), found);
    } else if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            walk_object(property, &format!("{path}.{name}"), found);
        }
    } else {
        found.push(path.to_owned());
    }
}
