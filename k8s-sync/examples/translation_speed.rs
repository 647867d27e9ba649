//! How long it takes from a snapshot to the intent of one node, and how many allocations.
//!
//! `cargo run --release -p k8s-sync --example translation_speed [SERVICES]`: that many Services (10,000 without the word) with two
//! endpoints each, two peers. Cold, again with nothing changed, and again with one Service changed. Prints figures; asserts
//! nothing about time.

#![expect(clippy::unwrap_used, reason = "a program that prints figures stops at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_sync::Options;
use k8s_sync::explain::explain;
use k8s_sync::object::Object;
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::{LocalNode, NodeIntent, Translator, node_configs};
use rutter_api::explain::Subject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const NODE: &str = "node-0";
const NODES: usize = 50;
const ROUNDS: usize = 20;

fn typed<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// As the API has it, and as it is kept.
fn compact<A: DeserializeOwned, T: From<A>>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value::<A>(value).unwrap().into())
}

fn service(number: usize, priority: &str) -> Object {
    let [_, high, low, _] = u32::try_from(number * 256).unwrap().to_be_bytes();
    let last = number % 250 + 1;
    // One in four is Local.
    let policy = if number.is_multiple_of(4) { "Local" } else { "Cluster" };
    Object::Service(compact::<Service, _>(json!({
        "metadata": {
            "name": format!("service-{number}"), "namespace": format!("team-{}", number % 40),
            "labels": {"app": format!("app-{number}"), "advertise": "bgp", "priority": priority},
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": format!("10.{}.{low}.{last}", 96 + high),
            "clusterIPs": [format!("10.{}.{low}.{last}", 96 + high)],
            "externalTrafficPolicy": policy, "ports": [{"port": 80}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": format!("172.{}.{low}.{last}", 16 + high)}]}},
    })))
}

fn slice(number: usize) -> Object {
    let endpoint = |which: usize| {
        json!({
            "addresses": [format!("10.244.{}.{}", (number + which) % NODES, number % 250 + 1)],
            "nodeName": format!("node-{}", (number + which) % NODES),
            "conditions": {"ready": true, "serving": true, "terminating": false},
        })
    };
    Object::EndpointSlice(compact::<EndpointSlice, _>(json!({
        "addressType": "IPv4",
        "metadata": {
            "name": format!("service-{number}-abcde"), "namespace": format!("team-{}", number % 40),
            "labels": {"kubernetes.io/service-name": format!("service-{number}")},
        },
        "endpoints": [endpoint(0), endpoint(1)],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    })))
}

fn objects(services: usize) -> Vec<Object> {
    let mut objects = vec![
        Object::Node(typed::<Node>(json!({
            "metadata": {"name": NODE}, "spec": {"podCIDRs": ["10.244.0.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
        }))),
        Object::CiliumBGPClusterConfig(typed(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPClusterConfig", "metadata": {"name": "cluster"},
            "spec": {"bgpInstances": [{"name": "main", "localASN": 65001, "peers": [
                {"name": "one", "peerASN": 65000, "peerAddress": "192.0.2.100", "peerConfigRef": {"name": "peer"}},
                {"name": "two", "peerASN": 65000, "peerAddress": "192.0.2.101", "peerConfigRef": {"name": "peer"}},
            ]}]},
        }))),
        Object::CiliumBGPPeerConfig(typed(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPPeerConfig", "metadata": {"name": "peer"},
            "spec": {"families": [{"afi": "ipv4", "safi": "unicast", "advertisements": {"matchLabels": {"advertise": "bgp"}}}]},
        }))),
        Object::CiliumBGPAdvertisement(typed(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumBGPAdvertisement",
            "metadata": {"name": "adverts", "labels": {"advertise": "bgp"}},
            "spec": {"advertisements": [
                {"advertisementType": "PodCIDR"},
                {"advertisementType": "Service", "service": {"addresses": ["LoadBalancerIP"]},
                 "selector": {"matchExpressions": [{"key": "advertise", "operator": "In", "values": ["bgp"]}]},
                 "attributes": {"communities": {"standard": ["65001:100"]}}},
            ]},
        }))),
    ];
    objects.extend((0..services).flat_map(|number| [service(number, "normal"), slice(number)]));
    objects
}

/// The fastest and the middle of several runs, and the allocations of one.
fn measure(mut work: impl FnMut() -> NodeIntent) -> ([Duration; 2], usize, usize) {
    let (mut times, mut allocations, mut bytes) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let region = Region::new(ALLOCATOR);
        let start = Instant::now();
        let result = work();
        times.push(start.elapsed());
        let change = region.change();
        (allocations, bytes) = (change.allocations + change.reallocations, change.bytes_allocated);
        drop(result);
    }
    times.sort();
    ([times[0], times[ROUNDS / 2]], allocations, bytes)
}

fn report(what: &str, (times, allocations, bytes): ([Duration; 2], usize, usize)) {
    let [fastest, middle] = times.map(|time| time.as_secs_f64() * 1e3);
    let kilobytes = bytes / 1024;
    println!(
        "{what:<20} fastest {fastest:>6.2} ms, median {middle:>6.2} ms {allocations:>8} allocations {kilobytes:>6} kB"
    );
}

fn main() {
    let services: usize = std::env::args().nth(1).map_or(10_000, |word| word.parse().unwrap());
    let mut snapshot = Snapshot::new(objects(services));
    let (options, local) = (Options::default(), LocalNode::named(NODE));
    let plan = node_configs(&snapshot, &options);
    let config = plan.node_config(NODE).unwrap();
    let cold = || Translator::default().intent_for_node(&snapshot, Some(config), &local, &options);
    let routes = cold().intent.instances[0].routes.len();
    println!("{services} services, {} endpoints, 2 peers: {routes} routes", services * 2);
    report("cold", measure(cold));
    let mut translator = Translator::default();
    let mut warm = || translator.intent_for_node(&snapshot, Some(config), &local, &options);
    warm();
    report("nothing changed", measure(warm));
    let mut flip = false;
    let one = || {
        flip = !flip;
        snapshot.insert(service(services / 2, if flip { "high" } else { "normal" }));
        let snapshot = snapshot.clone();
        translator.intent_for_node(&snapshot, Some(config), &local, &options)
    };
    report("one service changed", measure(one));
    let name = format!("team-{}/service-{}", services / 2 % 40, services / 2);
    let subject = Subject::parse("service", &name).unwrap();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let explanation = explain(&snapshot, Some(config), &local, &options, &subject).unwrap();
        assert_eq!(explanation.prefixes().len(), 1, "{explanation:?}");
    }
    let each = start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64;
    println!("{:<28} {each:>8.2} ms", "one service explained");
}
