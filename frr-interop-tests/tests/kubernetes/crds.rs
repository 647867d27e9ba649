//! An API server with our definitions and one with Cilium's own answer the same requests in the same words.
//!
//! The requests are made from Cilium's schemas: a whole, right object per kind and version, and from it one variant for
//! each default, limit, enumeration, pattern, required field, list key and CEL rule. Every one is a dry run; its status
//! code, what is stored (defaults filled in, unknown fields pruned) and what a refusal says are compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use rutter_lab::HttpConnection;
use rutter_lab::kube::ControlPlane;
use serde_json::{Value, json};

use crate::cluster;

const VERSIONS: [&str; 2] = ["v2", "v2alpha1"];

/// One request: what it is about, and what is sent to which path.
#[derive(Debug)]
struct Sample {
    about: String,
    method: &'static str,
    target: String,
    body: Value,
}

#[test]
fn our_definitions_and_ciliums_answer_alike() -> Result<()> {
    let cluster = ControlPlane::start("crds", &[])?;
    let real = cluster::real_crds();
    for kind in KINDS {
        cluster.install_crds(&real.join(format!("{}.yaml", plural(kind))))?;
    }
    let samples = samples(&cluster)?;
    let theirs = answers(&cluster, &samples)?;
    for kind in KINDS {
        cluster.delete("crd", &format!("{}.cilium.io", plural(kind)))?;
    }
    cluster.install_crds(&cluster::checkout("deploy/crds"))?;
    let ours = answers(&cluster, &samples)?;
    let mut differences = Vec::new();
    for (sample, (theirs, ours)) in samples.iter().zip(theirs.iter().zip(&ours)) {
        // What the variants start from has to be right, or they are refused for a reason that they are not about.
        ensure!(
            !sample.about.contains(" 0 as it is") || theirs.starts_with("20"),
            "{}: {theirs}",
            sample.about
        );
        if theirs != ours {
            differences.push(format!("{}\n  real {theirs}\n  ours {ours}", sample.about));
        }
    }
    let refused = theirs.iter().filter(|answer| !answer.starts_with("20")).count();
    println!("{} requests, {refused} of them refused", samples.len());
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    // The comparison is worth nothing if nothing was refused, or everything.
    ensure!(refused > 200 && samples.len() - refused > 200, "{refused} of {} refused", samples.len());
    Ok(())
}

/// The rules that surprise people, in the words that they read.
#[test]
fn refusals_read_as_ciliums() -> Result<()> {
    let cluster = cluster::shared()?;
    let refused = |spec: &str, words: &str| -> Result<()> {
        let ran = cluster.try_kubectl(&["create", "--dry-run=server", "-f", &written(cluster, spec)?])?;
        ensure!(!ran.success && ran.stderr.contains(words), "wanted `{words}`, got {ran:?}");
        Ok(())
    };
    refused(
        "kind: CiliumBGPPeerConfig\nspec: {timers: {holdTimeSeconds: 15}}",
        "keepAliveTimeSeconds can not be larger than holdTimeSeconds",
    )?;
    refused(
        "kind: CiliumBGPAdvertisement\nspec: {advertisements: [{advertisementType: Service, selector: {}}]}",
        "service field is required",
    )?;
    refused(
        "kind: CiliumBGPClusterConfig\nspec: {bgpInstances: [{name: a, localASN: 65001}, {name: a, localASN: 65002}]}",
        "Duplicate value",
    )?;
    let ran = cluster.try_kubectl(&["get", "ciliumbgppeerconfigs.v2alpha1.cilium.io"])?;
    ensure!(ran.success && ran.stderr.contains("deprecated"), "v2alpha1 is served, with a warning: {ran:?}");
    Ok(())
}

/// The one kind that is no Cilium's: served, checked, and printed in columns that a person wants.
#[test]
fn reservations_are_served() -> Result<()> {
    let cluster = cluster::shared()?;
    let reservation = |spec: Value| {
        json!({"apiVersion": "rutter.dev/v1alpha1", "kind": "LoadBalancerIPReservation",
               "metadata": {"name": "crds-kept"}, "spec": spec})
    };
    let path = "/apis/rutter.dev/v1alpha1/loadbalanceripreservations";
    let service = json!({"namespace": "crds-nobody", "name": "web"});
    for (spec, words) in [
        (json!({"addresses": [], "serviceRef": service}), "should have at least 1 items"),
        (json!({"addresses": ["10.0.0.1", "10.0.0.1"], "serviceRef": service}), "Duplicate value"),
        (
            json!({"addresses": ["10.0.0.1"], "serviceRef": {"namespace": "x"}}),
            "spec.serviceRef.name: Required value",
        ),
    ] {
        let reply = cluster.request("POST", path, Some(&reservation(spec).to_string()))?;
        ensure!(reply.status == 422 && reply.body.contains(words), "wanted `{words}`, got {reply:?}");
    }
    let spec = json!({"addresses": ["192.0.2.200"], "serviceRef": service, "gracePeriod": "1h"});
    let reply = cluster.request("POST", path, Some(&reservation(spec).to_string()))?;
    ensure!(reply.status == 201, "{reply:?}");
    let printed = cluster.kubectl(&["get", "lbres", "crds-kept", "--no-headers"])?;
    let words: Vec<&str> = printed.split_whitespace().collect();
    ensure!(words.starts_with(&["crds-kept", "crds-nobody", "web", "[\"192.0.2.200\"]"]), "{printed}");
    cluster.delete("loadbalanceripreservation", "crds-kept")
}

fn written(cluster: &ControlPlane, spec: &str) -> Result<String> {
    let path = cluster.host().folder().join(format!("refused-{}.yaml", spec.len()));
    std::fs::write(&path, format!("apiVersion: cilium.io/v2\nmetadata: {{name: refused}}\n{spec}\n"))?;
    Ok(path.display().to_string())
}

/// What the server says to each: its status code, and what would be stored or why not.
fn answers(cluster: &ControlPlane, samples: &[Sample]) -> Result<Vec<String>> {
    let mut connection = cluster.connection()?;
    // Objects whose status is written; they stay until the definitions go.
    for (kind, object) in with_status() {
        let body = json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": "sample"}, "spec": object["spec"]});
        let path = format!("/apis/cilium.io/v2/{}", plural(kind));
        let reply = connection.request("POST", &path, Some(&body.to_string()))?;
        ensure!(reply.status == 201, "the object for {kind}'s status: {reply:?}");
    }
    samples.iter().map(|sample| answer(&mut connection, sample)).collect()
}

fn answer(connection: &mut HttpConnection, sample: &Sample) -> Result<String> {
    let content_type =
        if sample.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let reply =
        connection.send(sample.method, &sample.target, content_type, Some(&sample.body.to_string()))?;
    let said = reply.json()?;
    Ok(match reply.status {
        200 | 201 => format!("{} {} {}", reply.status, said["spec"], said["status"]),
        status => {
            // The server lists causes in the order in which a map happened to give them.
            let causes: BTreeSet<String> =
                said["details"]["causes"].as_array().into_iter().flatten().map(Value::to_string).collect();
            let message = if causes.is_empty() { said["message"].to_string() } else { String::new() };
            format!("{status} {message}{causes:?}")
        }
    })
}

fn samples(cluster: &ControlPlane) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for kind in KINDS {
        let definition = cluster.get("crd", &format!("{}.cilium.io", plural(kind)))?;
        for version in VERSIONS {
            let schema = definition["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|candidate| candidate["name"] == version)
                .map(|found| found["schema"]["openAPIV3Schema"].clone())
                .with_context(|| format!("{kind} has no {version}"))?;
            let path = format!("/apis/cilium.io/{version}/{}", plural(kind));
            for (index, whole) in whole_objects(kind, version).into_iter().enumerate() {
                for (about, object) in variants(&schema, &json!({"spec": whole})) {
                    let mut body = object;
                    body["apiVersion"] = json!(format!("cilium.io/{version}"));
                    body["kind"] = json!(kind);
                    body["metadata"] = json!({"name": "dry"});
                    for validation in ["Strict", "Ignore"] {
                        samples.push(Sample {
                            about: format!("{kind} {version} spec {index} {about} ({validation})"),
                            method: "POST",
                            target: format!("{path}?dryRun=All&fieldValidation={validation}"),
                            body: body.clone(),
                        });
                    }
                }
            }
            for (_, object) in with_status().into_iter().filter(|(of, _)| *of == kind) {
                for (about, body) in variants(&schema, &json!({"status": object["status"]})) {
                    samples.push(Sample {
                        about: format!("{kind} {version} status 0 {about}"),
                        method: "PATCH",
                        target: format!("{path}/sample/status?dryRun=All"),
                        body,
                    });
                }
            }
        }
    }
    Ok(samples)
}

/// The object itself, and variants of it that differ in one place each.
fn variants(schema: &Value, whole: &Value) -> Vec<(String, Value)> {
    let mut changes = BTreeMap::new();
    for (field, value) in whole.as_object().into_iter().flatten() {
        let here = format!("/{field}");
        walk(&schema["properties"][field], value, &here, &mut changes);
    }
    let mut variants = vec![("as it is".to_owned(), whole.clone())];
    for (pointer, values) in changes {
        for (what, value) in values {
            let mut variant = whole.clone();
            match value {
                Some(value) => put(&mut variant, &pointer, value),
                None => remove(&mut variant, &pointer),
            }
            variants.push((format!("{pointer} {what}"), variant));
        }
    }
    variants
}

type Changes = BTreeMap<String, Vec<(String, Option<Value>)>>;

/// What can be changed at this place and below, so that something in the schema has to say something about it.
fn walk(schema: &Value, value: &Value, pointer: &str, changes: &mut Changes) {
    let mut here: Vec<(String, Option<Value>)> = vec![
        ("absent".into(), None),
        ("null".into(), Some(Value::Null)),
        ("of a wrong type".into(), Some(if value.is_boolean() { json!(7) } else { json!(true) })),
    ];
    let number = |key: &str| schema[key].as_f64().map(|number| number.round() as i64);
    if let Some(least) = number("minimum") {
        here.push(("too small".into(), Some(json!(least - 1))));
        here.push(("smallest".into(), Some(json!(least))));
    }
    if let Some(most) = number("maximum") {
        here.push(("too large".into(), Some(json!(most + 1))));
        here.push(("largest".into(), Some(json!(most))));
    }
    if schema["type"] == "integer" {
        here.push(("negative".into(), Some(json!(-5))));
        here.push(("zero".into(), Some(json!(0))));
        here.push(("beyond 32 bits".into(), Some(json!(1_u64 << 40))));
    }
    if schema["type"] == "string" {
        for text in [
            "",
            "no such word",
            "x",
            "10.0.0.0/8",
            "65000:100",
            "4294967296:1",
            "1:2:3",
            "2001:db8::1",
            "10.0.0.1",
        ] {
            here.push((format!("`{text}`"), Some(json!(text))));
        }
        for length in [256, 300] {
            here.push((format!("{length} letters long"), Some(json!("a".repeat(length)))));
        }
    }
    for word in schema["enum"].as_array().into_iter().flatten() {
        here.push((format!("`{word}`"), Some(word.clone())));
    }
    match value {
        Value::Object(map) => {
            let mut more = value.clone();
            more["unheardOf"] = json!(1);
            here.push(("with an unknown field".into(), Some(more)));
            here.push(("empty".into(), Some(json!({}))));
            for (key, inner) in map {
                let property = &schema["properties"][key];
                let property = if property.is_null() { &schema["additionalProperties"] } else { property };
                walk(property, inner, &format!("{pointer}/{}", key.replace('/', "~1")), changes);
            }
        }
        Value::Array(items) => {
            here.push(("empty".into(), Some(json!([]))));
            if let Some(first) = items.first() {
                here.push(("with something twice".into(), Some(json!([first, first]))));
                here.push((
                    "with very many".into(),
                    Some((0..40).map(|number| numbered(first, number)).collect()),
                ));
                walk(&schema["items"], first, &format!("{pointer}/0"), changes);
            }
        }
        _ => {}
    }
    changes.insert(pointer.to_owned(), here);
}

/// A copy that differs from others in what may be a list's key.
fn numbered(item: &Value, number: u32) -> Value {
    let mut item = item.clone();
    for key in ["name", "type", "afi"] {
        if let Some(text) = item.get(key).and_then(Value::as_str) {
            item[key] = json!(format!("{text}{number}"));
        }
    }
    if item.is_string() { json!(format!("{}:{number}", 65_000)) } else { item }
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = object.pointer_mut(pointer) {
        *place = value;
    }
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.remove(&key.replace("~1", "/"))),
        Some(Value::Array(items)) => items.clear(),
        _ => {}
    }
}

fn plural(kind: &str) -> String {
    kind.to_lowercase() + "s"
}

const KINDS: [&str; 6] = [
    "CiliumBGPClusterConfig",
    "CiliumBGPPeerConfig",
    "CiliumBGPAdvertisement",
    "CiliumBGPNodeConfigOverride",
    "CiliumBGPNodeConfig",
    "CiliumLoadBalancerIPPool",
];

/// Right specs that between them have every field.
fn whole_objects(kind: &str, version: &str) -> Vec<Value> {
    let alpha = version == "v2alpha1";
    let selector = json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
    });
    let reference = if alpha {
        json!({"name": "peer", "group": "cilium.io", "kind": "CiliumBGPPeerConfig"})
    } else {
        json!({"name": "peer"})
    };
    let peer = |extra: Value| {
        let mut peer =
            json!({"name": "tor", "peerAddress": "10.0.0.1", "peerASN": 65000, "peerConfigRef": reference});
        for (key, value) in extra.as_object().into_iter().flatten() {
            peer[key] = value.clone();
        }
        peer
    };
    let gateway = json!({"mode": "DefaultGateway", "defaultGateway": {"addressFamily": "ipv4"}});
    match kind {
        "CiliumBGPClusterConfig" => {
            let instance =
                |peer: Value| json!({"name": "i", "localASN": 65001, "localPort": 179, "peers": [peer]});
            let mut specs =
                vec![json!({"nodeSelector": selector, "bgpInstances": [instance(peer(json!({})))]})];
            if !alpha {
                let mut found = peer(json!({"autoDiscovery": gateway}));
                if let Some(fields) = found.as_object_mut() {
                    fields.remove("peerAddress");
                }
                specs.push(json!({"bgpInstances": [instance(found)]}));
                specs.push(json!({"bgpInstances": [instance(peer(json!({"autoDiscovery": gateway})))]}));
            }
            specs
        }
        "CiliumBGPNodeConfig" => {
            let mut extra = json!({"localAddress": "10.0.0.2"});
            if !alpha {
                extra["autoDiscovery"] = gateway;
            }
            vec![json!({"bgpInstances": [{
                "name": "i", "localASN": 65001, "routerID": "1.2.3.4", "localPort": 179, "peers": [peer(extra)],
            }]})]
        }
        "CiliumLoadBalancerIPPool" => {
            let blocks =
                [json!({"cidr": "10.0.10.0/24"}), json!({"start": "10.0.20.1", "stop": "10.0.20.9"})];
            let pool = |block: &Value| json!({"blocks": [block], "allowFirstLastIPs": "No", "disabled": true, "serviceSelector": selector});
            blocks.iter().map(pool).collect()
        }
        "CiliumBGPNodeConfigOverride" => vec![json!({"bgpInstances": [{
            "name": "i", "routerID": "1.2.3.4", "localPort": 179, "localASN": 65001,
            "peers": [{"name": "tor", "localAddress": "10.0.0.2", "localPort": 180}],
        }]})],
        "CiliumBGPPeerConfig" => {
            let mut transport = json!({"peerPort": 179});
            transport[if alpha { "localPort" } else { "sourceInterface" }] =
                if alpha { json!(180) } else { json!("eth0") };
            vec![json!({
                "authSecretRef": "secret",
                "ebgpMultihop": 2,
                "transport": transport,
                "timers": {"connectRetryTimeSeconds": 5, "holdTimeSeconds": 9, "keepAliveTimeSeconds": 3},
                "gracefulRestart": {"enabled": true, "restartTimeSeconds": 15},
                "families": [{"afi": "ipv4", "safi": "unicast", "advertisements": selector}],
            })]
        }
        _ => {
            let attributes = json!({
                "communities": {"standard": ["65000:100"], "wellKnown": ["no-export"], "large": ["1:2:3"]},
                "localPreference": 150,
            });
            let service = json!({
                "addresses": ["LoadBalancerIP", "ClusterIP"], "aggregationLengthIPv4": 24, "aggregationLengthIPv6": 64,
            });
            let mut specs = vec![
                json!({"advertisements": [{
                    "advertisementType": "Service", "service": service, "selector": selector, "attributes": attributes,
                }]}),
                json!({"advertisements": [{"advertisementType": "PodCIDR", "attributes": attributes}]}),
                json!({"advertisements": [{"advertisementType": "PodCIDR", "selector": selector}]}),
                json!({"advertisements": [{"advertisementType": "PodCIDR", "service": service}]}),
                json!({"advertisements": [{"advertisementType": "CiliumPodIPPool", "selector": selector}]}),
            ];
            let interface = json!({"name": "lo"});
            specs.push(
                json!({"advertisements": [{"advertisementType": "Interface", "interface": interface}]}),
            );
            specs.push(json!({"advertisements": [{"advertisementType": "PodCIDR", "interface": interface}]}));
            specs
        }
    }
}

/// Kinds with a status, a right object of each with a whole status.
fn with_status() -> Vec<(&'static str, Value)> {
    let condition = json!({
        "type": "cilium.io/Sample", "status": "True", "reason": "Sampled", "message": "as it should be",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let instance = json!({
        "name": "i", "localASN": 65001,
        "peers": [{
            "name": "tor", "peerAddress": "10.0.0.1", "peerASN": 65000, "peeringState": "established",
            "establishedTime": "2026-01-02T03:04:05Z",
            "timers": {"appliedHoldTimeSeconds": 9, "appliedKeepaliveSeconds": 3},
            "routeCount": [{"afi": "ipv4", "safi": "unicast", "received": 1, "advertised": 2}],
        }],
    });
    let conditions = json!({"conditions": [condition]});
    let instances = json!([{"name": "i", "localASN": 65001}]);
    vec![
        ("CiliumBGPClusterConfig", json!({"spec": {"bgpInstances": instances}, "status": conditions})),
        ("CiliumBGPPeerConfig", json!({"spec": {}, "status": conditions})),
        ("CiliumLoadBalancerIPPool", json!({"spec": {}, "status": conditions})),
        (
            "CiliumBGPNodeConfig",
            json!({
                "spec": {"bgpInstances": instances},
                "status": {"bgpInstances": [instance], "conditions": [condition]},
            }),
        ),
    ]
}
