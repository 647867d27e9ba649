//! Prints what one more service costs bgpd when its owner puts the whole intent again: every step from the owner's
//! value to the UPDATEs for two peers, in milliseconds of CPU time.
//!
//! ```text
//! cargo run --release -p bgpd --example put_bench [SERVICES...]
//! ```
//!
//! A service is a route and, in the export policy of either peer, a statement with its exact prefix.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is odd")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_core::wire::{Capability, Family, KEEPALIVE, Open};
use bgp_core::{Action, Endpoints, SEND_QUEUE_LEN, Speaker, Time};
use bgpd::config::resolve::{InstanceConfig, resolve};
use bgpd::intents::Owner;
use bgpd::intents::merge::merge;
use nix::time::{ClockId, clock_gettime};
use rutter_api::intent::{Instance, Intent};
use serde_json::json;

/// How often each size is measured; the median counts.
const ROUNDS: u32 = 9;

fn main() {
    let mut sizes: Vec<u32> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    for services in sizes {
        let mut all: Vec<Steps> = Vec::new();
        let (mut speaker, mut held) = established(services);
        for round in 1..=ROUNDS {
            let (steps, now_held) = put(&mut speaker, &held, services + round);
            held = now_held;
            all.push(steps);
        }
        println!("\n{services} services, 2 peers");
        for (index, (name, _)) in all[0].iter().enumerate() {
            println!("  {name:<36} {:>8.2} ms", median(all.iter().map(|steps| steps[index].1).collect()));
        }
        let total = |steps: &Steps| steps.iter().map(|(_, took)| *took).sum::<Duration>();
        println!("  {:<36} {:>8.2} ms", "all", median(all.iter().map(total).collect()));
    }
}

type Steps = Vec<(&'static str, Duration)>;

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values[values.len() / 2].as_secs_f64() * 1e3
}

/// CPU time of this thread: the machine may be busy with something else.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::from(time)
}

/// Measures what is between two calls.
struct Stopwatch {
    last: Duration,
    steps: Steps,
}

impl Stopwatch {
    fn lap(&mut self, name: &'static str) {
        self.steps.push((name, cpu_time() - self.last));
        self.last = cpu_time();
    }
}

fn put(speaker: &mut Speaker, held: &Arc<Instance>, services: u32) -> (Steps, Arc<Instance>) {
    let intent = intent(services);
    let owner = Owner::new("kubernetes").unwrap();
    let mut watch = Stopwatch { last: cpu_time(), steps: Vec::new() };
    let body = serde_json::to_vec(&intent).unwrap();
    watch.lap("owner: intent to JSON");
    let plain: Intent = serde_json::from_slice(&body).unwrap();
    watch.lap("JSON to intent");
    let mut deserializer = serde_json::Deserializer::from_slice(&body);
    let read: Intent = serde_path_to_error::deserialize(&mut deserializer).unwrap();
    watch.lap("JSON to intent, with paths of errors");
    drop(plain);
    watch.lap("drop an intent");
    read.validate().unwrap();
    watch.lap("validate");
    let config = resolve(&read.instances[0], None).unwrap();
    watch.lap("resolve");
    drop(config);
    let instances: Vec<_> = read.instances.into_iter().map(Arc::new).collect();
    watch.last = cpu_time();
    let merged = merge([(&owner, instances.as_slice())]);
    watch.lap("merge");
    let instance = Arc::clone(&merged.instances["main"]);
    assert!(instance != *held);
    watch.lap("compare with the one before");
    let InstanceConfig { speaker: config, .. } = resolve(&instance, None).unwrap();
    watch.lap("resolve again");
    let _changes = speaker.handle_config(config, Time::ZERO);
    watch.lap("speaker: new configuration");
    let (octets, conns) = drain(speaker);
    watch.lap("speaker: UPDATEs");
    assert!(conns == 2 && octets < 1000, "{octets} octets on {conns} connections");
    (watch.steps, instance)
}

/// So many services.
fn intent(services: u32) -> Intent {
    let prefix = |service: u32| format!("{}/32", Ipv4Addr::from(0x0a60_0000 + service));
    let routes: Vec<_> = (0..services)
        .map(|service| {
            let source = format!("Service default/service-{service} LoadBalancerIP");
            json!({"prefix": prefix(service), "source": source})
        })
        .collect();
    let statements: Vec<_> = (0..services)
        .map(|service| {
            json!({
                "name": format!("Service-service-{service}-default-LoadBalancerIP-ipv4"), "action": "accept",
                "families": ["ipv4-unicast"],
                "prefixes": [{"prefix": prefix(service), "minLength": 32, "maxLength": 32}],
                "set": {"addCommunities": ["65000:99"], "localPreference": 99}
            })
        })
        .collect();
    let peer = |number: u8| {
        json!({
            "name": format!("tor-{number}"), "address": format!("192.0.2.{}", number + 2), "peerASN": 65_002,
            "export": {"name": format!("peer-tor-{number}-export"), "defaultAction": "reject", "statements": statements}
        })
    };
    let instance = json!({
        "name": "main", "localASN": 65_001, "routerID": "192.0.2.1", "peers": [peer(0), peer(1)], "routes": routes
    });
    serde_json::from_value(json!({"instances": [instance]})).unwrap()
}

/// A speaker that has told both peers everything.
fn established(services: u32) -> (Speaker, Arc<Instance>) {
    let held = Arc::new(intent(services).instances.remove(0));
    let config = resolve(&held, None).unwrap();
    let mut speaker = Speaker::new(config.speaker, 1, Time::ZERO);
    let mut conns = Vec::new();
    while let Some(Action::Connect(connect)) = speaker.poll_action() {
        conns.push((connect.conn, connect.remote));
    }
    for ((conn, remote), peer) in conns.iter().zip(0_u8..) {
        let local = SocketAddr::from(([192, 0, 2, 1], 40_000));
        speaker.handle_connected(*conn, Endpoints::new(local, *remote), Time::ZERO);
        let open = Open {
            asn: 65_002,
            hold_time: 90,
            router_id: Ipv4Addr::new(10, 0, 0, peer + 2),
            capabilities: vec![
                Capability::MultiProtocol(Family::IPV4_UNICAST),
                Capability::FourOctetAs(65_002),
            ],
        };
        speaker.handle_bytes(*conn, &open.encode().unwrap(), Time::ZERO);
        speaker.handle_bytes(*conn, &KEEPALIVE, Time::ZERO);
    }
    drain(&mut speaker);
    assert_eq!(speaker.rib().totals(Family::IPV4_UNICAST).prefixes, services);
    (speaker, held)
}

/// Takes all that is to be sent. How many octets, and on how many connections.
fn drain(speaker: &mut Speaker) -> (usize, usize) {
    let (mut octets, mut conns) = (0, std::collections::HashSet::new());
    while let Some(transmit) = speaker.poll_transmit(Time::ZERO) {
        octets += transmit.bytes.len();
        conns.insert(transmit.conn);
        speaker.handle_writable(transmit.conn, SEND_QUEUE_LEN, Time::ZERO);
    }
    (octets, conns.len())
}
