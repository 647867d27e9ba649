//! Our generated schemas against Cilium's real CRD manifests: every property, limit, default and rule, per version.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rutter_crds::schema::{Kind, Version};
use serde_json::{Map, Value, json};

/// Properties of the real manifests that our types deliberately do not have, with the reason.
const NOT_MODELLED: &[(Kind, &str, &str)] = &[
    (Kind::CiliumNode, ".spec.", "only addresses and pod CIDRs are read; the object is never written"),
    (Kind::CiliumNode, ".status", "never read"),
];

fn manifest(kind: Kind) -> Value {
    let name = format!("{kind:?}").to_lowercase();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}s.yaml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_str(&text).unwrap()
}

fn real_schema(kind: Kind, version: Version) -> Option<Value> {
    let manifest = manifest(kind);
    let versions = manifest["spec"]["versions"].as_array().unwrap();
    versions
        .iter()
        .find(|candidate| candidate["name"] == version.as_str() && candidate["served"] == true)
        .map(|found| found["schema"]["openAPIV3Schema"].clone())
}

/// Path -> everything the schema says there, but descriptions.
fn flatten(schema: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
    let mut here = Map::new();
    for (key, value) in schema.as_object().unwrap() {
        match key.as_str() {
            "description" => {}
            "properties" => {
                for (name, property) in value.as_object().unwrap() {
                    flatten(property, &format!("{path}.{name}"), out);
                }
            }
            "items" => flatten(value, &format!("{path}[]"), out),
            "additionalProperties" if value.is_object() => flatten(value, &format!("{path}.*"), out),
            "minimum" | "maximum" => {
                here.insert(key.clone(), json!(value.as_f64().unwrap()));
            }
            "required" => {
                let mut names: Vec<String> = serde_json::from_value(value.clone()).unwrap();
                names.sort();
                here.insert(key.clone(), json!(names));
            }
            _ => {
                here.insert(key.clone(), value.clone());
            }
        }
    }
    out.insert(path.to_owned(), Value::Object(here));
}

fn flat(schema: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    flatten(schema, "", &mut out);
    out
}

fn listed(kind: Kind, path: &str) -> bool {
    NOT_MODELLED.iter().any(|(of, prefix, _)| *of == kind && path.starts_with(prefix))
}

#[test]
fn every_property_is_known_with_the_same_limits_and_defaults() {
    let mut differences = Vec::new();
    for kind in Kind::ALL {
        for version in Version::ALL {
            let (real, ours) = (real_schema(kind, version), kind.open_api_v3(version));
            assert_eq!(real.is_some(), ours.is_some(), "{kind:?} {version:?} is served by one side only");
            let (Some(real), Some(ours)) = (real, ours) else { continue };
            let (real, ours) = (flat(&real), flat(&ours));
            let paths: BTreeSet<&String> = real.keys().chain(ours.keys()).collect();
            for path in paths {
                let (theirs, mine) = (real.get(path), ours.get(path));
                let known = mine.is_some() || listed(kind, path);
                let subset = kind == Kind::CiliumNode && path.is_empty();
                if !known || (mine.is_some() && theirs != mine && !subset) {
                    differences
                        .push(format!("{kind:?} {version:?} {path}\n  real {theirs:?}\n  ours {mine:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_written_list_has_no_stale_entry() {
    for (kind, prefix, _) in NOT_MODELLED {
        let (real, ours) = (real_schema(*kind, Version::V2).unwrap(), kind.open_api_v3(Version::V2).unwrap());
        let ours = flat(&ours);
        assert!(
            flat(&real).keys().any(|path| path.starts_with(prefix) && !ours.contains_key(path)),
            "{kind:?} {prefix}: everything is modelled, remove the entry"
        );
    }
}

#[test]
fn names_scope_and_columns_are_those_of_the_manifests() {
    use kube::CustomResourceExt as _;
    use rutter_crds::*;
    let ours = [
        (Kind::CiliumBGPClusterConfig, CiliumBGPClusterConfig::crd()),
        (Kind::CiliumBGPPeerConfig, CiliumBGPPeerConfig::crd()),
        (Kind::CiliumBGPAdvertisement, CiliumBGPAdvertisement::crd()),
        (Kind::CiliumBGPNodeConfigOverride, CiliumBGPNodeConfigOverride::crd()),
        (Kind::CiliumBGPNodeConfig, CiliumBGPNodeConfig::crd()),
        (Kind::CiliumNode, CiliumNode::crd()),
        (Kind::CiliumPodIPPool, CiliumPodIPPool::crd()),
        (Kind::CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPool::crd()),
    ];
    for (kind, crd) in ours {
        let (real, ours) = (manifest(kind), serde_json::to_value(crd).unwrap());
        for field in ["kind", "plural", "singular", "shortNames", "categories"] {
            assert_eq!(real["spec"]["names"][field], ours["spec"]["names"][field], "{kind:?} {field}");
        }
        assert_eq!(real["spec"]["scope"], ours["spec"]["scope"], "{kind:?}");
        if matches!(kind, Kind::CiliumNode | Kind::CiliumPodIPPool) {
            continue; // Read only, never installed by us.
        }
        let (real, ours) = (&real["spec"]["versions"][0], &ours["spec"]["versions"][0]);
        assert_eq!(real["additionalPrinterColumns"], ours["additionalPrinterColumns"], "{kind:?}");
        assert_eq!(real["subresources"]["status"], ours["subresources"]["status"], "{kind:?}");
    }
}

/// What the definitions that we install may say otherwise than the real manifests, with the reason.
const SAID_OTHERWISE: &[(&str, &str)] = &[
    ("description", "the texts are ours; nothing depends on them but `kubectl explain`"),
    ("annotations", "names the tool that wrote Cilium's manifests, which did not write ours"),
];

/// Path -> value, for everything that is no object or list of objects; lists whose order means nothing are sorted.
fn leaves(value: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in
                map.iter().filter(|(key, _)| !SAID_OTHERWISE.iter().any(|(name, _)| name == key))
            {
                leaves(inner, &format!("{path}.{key}"), out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, inner) in items.iter().enumerate() {
                leaves(inner, &format!("{path}[{index}]"), out);
            }
        }
        Value::Array(items) if path.ends_with(".required") => {
            let mut sorted: Vec<String> = items.iter().map(Value::to_string).collect();
            sorted.sort();
            out.insert(path.to_owned(), json!(sorted));
        }
        // 1 and 1.0 are the same limit.
        Value::Number(number) => drop(out.insert(path.to_owned(), json!(number.as_f64()))),
        _ => drop(out.insert(path.to_owned(), value.clone())),
    }
}

#[test]
fn the_installed_definitions_are_the_real_ones_value_by_value() {
    let mut differences = Vec::new();
    for kind in Kind::INSTALLED {
        let (mut real, mut ours) = (BTreeMap::new(), BTreeMap::new());
        leaves(&manifest(kind), "", &mut real);
        leaves(&kind.manifest().unwrap(), "", &mut ours);
        assert!(real.len() > 50, "{kind:?} has almost nothing: {real:?}");
        for path in real.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            let (theirs, mine) = (real.get(path), ours.get(path));
            if theirs != mine {
                differences.push(format!("{kind:?} {path}\n  real {theirs:?}\n  ours {mine:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_is_said_otherwise_is_still_said_by_the_real_ones() {
    for (name, reason) in SAID_OTHERWISE {
        let real = Kind::INSTALLED.map(|kind| manifest(kind).to_string());
        assert!(
            real.iter().any(|text| text.contains(&format!("\"{name}\":"))),
            "{name} ({reason}) is listed for nothing"
        );
    }
}

#[test]
fn defaults_are_filled_in_by_the_types_too() {
    use rutter_crds::{CiliumBGPClusterConfigSpec, CiliumBGPNodeConfigSpec, CiliumBGPPeerConfigSpec};
    let peer: CiliumBGPPeerConfigSpec =
        serde_json::from_value(json!({"timers": {}, "transport": {}, "gracefulRestart": {"enabled": true}}))
            .unwrap();
    let (timers, transport) = (peer.timers.unwrap(), peer.transport.unwrap());
    assert_eq!(timers.connect_retry_time_seconds, 120);
    assert_eq!(timers.hold_time_seconds, 90);
    assert_eq!(timers.keep_alive_time_seconds, 30);
    assert_eq!(transport.peer_port, 179);
    assert_eq!(peer.graceful_restart.unwrap().restart_time_seconds, 120);
    assert_eq!(peer.ebgp_multihop, 1);
    assert_eq!(CiliumBGPPeerConfigSpec::default(), serde_json::from_value(json!({})).unwrap());

    let instances = json!({"bgpInstances": [{"name": "i", "peers": [{"name": "p"}]}]});
    let cluster: CiliumBGPClusterConfigSpec = serde_json::from_value(instances.clone()).unwrap();
    assert_eq!(cluster.bgp_instances[0].peers[0].peer_asn, 0, "a cluster configuration's ASN defaults to 0");
    let node: CiliumBGPNodeConfigSpec = serde_json::from_value(instances).unwrap();
    assert_eq!(node.bgp_instances[0].peers[0].peer_asn, None, "a node configuration's stays absent");
}
