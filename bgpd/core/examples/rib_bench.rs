//! Prints what routes cost in the RIB: time and memory for 100,000 and 1,000,000 prefixes, with 100 sets of attributes, with
//! one for six prefixes as in the Internet's table, and with every set distinct, from one sender to 1 and to 16 receivers;
//! what a policy of 10,000 statements costs; and how long the owner of a RIB is kept by one page of a show command.
//!
//! ```text
//! cargo run --release -p bgp-core --example rib_bench [PREFIXES]
//! ```
//!
//! `in` is the time to take decoded UPDATE messages in (import, decision, marking), `decode` that to decode them before,
//! `out` the time until the last receiver was handed its last message. `octets` is what the heap has more per route once
//! everything is sent; `peak` the most it had on the way. A receiver is a peer of its own whose messages are dropped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bgp_core::policy::{
    Actions, Candidate, CompiledPolicy, Policy, PrefixMatch, SourceMatch, Statement, Verdict,
};
use bgp_core::rib::{LongLived, PeerParams, Rib, RibConfig};
use bgp_core::{PeerId, Time};
use bgp_wire::{
    AsPath, AttributeBlock, Community, DecodeContext, EncodeContext, Family, FamilySet, MAX_LEN, Message,
    NextHop, PathAttributes, PeerKind, encode_reach, peek_frame,
};
use bytes::{Bytes, BytesMut};
use ipnet::{IpNet, Ipv4Net};

fn main() {
    let only: Option<u32> = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let sizes = only.map_or_else(|| vec![100_000, 1_000_000], |size| vec![size]);
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "prefixes",
        "sets",
        "receivers",
        "decode",
        "in",
        "out",
        "in+out",
        "octets",
        "peak",
        "down",
        "messages"
    );
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "", "", "ns/route", "ns/route", "ns/route", "ms", "/route", "/route", "ms", ""
    );
    for size in sizes {
        for sets in [100, size / 6, size] {
            for receivers in [1, 16] {
                run(size, sets, receivers);
            }
        }
    }
    policies();
    pages(100_000);
}

/// Pages of 512 as bgpd's API asks for them: the table, what a peer was sent, and a peer that sent nothing, whose pages look
/// at many destinations for no entry.
fn pages(size: u32) {
    let context = DecodeContext::new(PeerKind::External);
    let mut rib = empty();
    let (sender, receiver, now) = (PeerId::new(0), PeerId::new(1), Time::from_nanos(1_000_000_000));
    rib.peer_up(sender, peer(0), now);
    rib.peer_up(receiver, peer(1), now);
    for frame in &frames(size, size / 6) {
        if let Ok(Message::Update(update)) = Message::decode(frame, &context) {
            rib.handle_update(sender, &update, now);
        }
    }
    while rib.poll_output(receiver, now).is_some() {}
    let family = Family::IPV4_UNICAST;
    walk("of the table", |after| rib.rib_page(family, after, 512).next);
    walk("of what a peer was sent", |after| {
        let page = rib.rib_page(family, after, 512);
        for entry in &page.entries {
            std::hint::black_box(rib.advertisement(receiver, &entry.prefix));
        }
        page.next
    });
    walk("of a peer that sent nothing", |after| rib.adj_in_page(receiver, family, after, 512).next);
}

fn walk(what: &str, mut page: impl FnMut(Option<IpNet>) -> Option<IpNet>) {
    let (mut times, mut after) = (Vec::new(), None);
    loop {
        let start = cpu_time();
        after = page(after);
        times.push(cpu_time() - start);
        if after.is_none() {
            break;
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() - 1) * percent / 100).copied().unwrap_or_default();
    println!("{} pages {what}: median {:?}, longest {:?}", times.len(), at(50), at(100));
}

/// One statement per service, as a Kubernetes node's export policy has them.
fn policies() {
    for size in [10, 10_000_u32] {
        let service = |number: u32| IpNet::V4(Ipv4Net::from(Ipv4Addr::from(0x0a60_0000 + number)));
        let statement = |number| Statement {
            name: "service".into(),
            families: Vec::new(),
            prefixes: vec![PrefixMatch::exact(service(number))],
            any_community: Vec::new(),
            sources: vec![SourceMatch::Local],
            action: Verdict::Accept,
            set: Actions::default(),
        };
        let statements = (0..size).map(statement).collect();
        let policy = Policy { name: "export".into(), default_action: Verdict::Reject, statements };
        let start = cpu_time();
        let policy = CompiledPolicy::new(policy.into());
        let compiled = cpu_time() - start;
        let attributes = PathAttributes::default();
        let rounds = 1_000_000_u32;
        let start = cpu_time();
        for round in 0..rounds {
            let prefix = service(round.wrapping_mul(0x9e37_79b1) % size);
            let candidate =
                Candidate { prefix: &prefix, attributes: &attributes, source: SourceMatch::Local };
            std::hint::black_box(policy.evaluate(candidate));
        }
        let evaluated = (cpu_time() - start).as_nanos() / u128::from(rounds);
        println!("policy of {size} statements: compiled in {compiled:?}, {evaluated} ns per evaluation");
    }
}

/// One sender, some receivers: everything in, everything out, and everything away again.
fn run(size: u32, sets: u32, receivers: u32) {
    let frames = frames(size, sets);
    let context = DecodeContext::new(PeerKind::External);
    let before = ALLOCATOR.now();
    ALLOCATOR.forget_peak();

    let mut rib = empty();
    let sender = PeerId::new(0);
    let now = Time::from_nanos(1_000_000_000);
    for number in 0..=receivers {
        rib.peer_up(PeerId::new(number), peer(number), now);
        while rib.poll_output(PeerId::new(number), now).is_some() {}
    }

    let start = cpu_time();
    for frame in &frames {
        std::hint::black_box(Message::decode(frame, &context).is_ok());
    }
    let decode = cpu_time() - start;

    let start = cpu_time();
    for frame in &frames {
        if let Ok(Message::Update(update)) = Message::decode(frame, &context) {
            rib.handle_update(sender, &update, now);
        }
    }
    let incoming = (cpu_time() - start).saturating_sub(decode);

    let start = cpu_time();
    let mut messages = 0;
    // Round robin, as a driver does that serves whichever socket is ready.
    loop {
        let sent =
            (1..=receivers).filter(|number| rib.poll_output(PeerId::new(*number), now).is_some()).count();
        messages += sent;
        if sent == 0 {
            break;
        }
    }
    let outgoing = cpu_time() - start;
    let held = ALLOCATOR.now().saturating_sub(before);
    let peak = ALLOCATOR.peak().saturating_sub(before);
    let last = PeerId::new(receivers);
    let advertised = rib.counters(last, Family::IPV4_UNICAST).map_or(0, |counters| counters.advertised);
    assert_eq!(advertised, size, "every receiver has every route");

    let start = cpu_time();
    rib.peer_down(sender, now);
    let down = cpu_time() - start;

    let per_route = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(size);
    let octets = |octets: usize| octets as f64 / f64::from(size);
    println!(
        "{size:>9} {sets:>9} {receivers:>9} {:>9.0} {:>9.0} {:>9.0} {:>9.1} {:>9.0} {:>9.0} {:>9.1} {messages:>9}",
        per_route(decode),
        per_route(incoming),
        per_route(outgoing),
        (incoming + outgoing).as_secs_f64() * 1e3,
        octets(held),
        octets(peak),
        down.as_secs_f64() * 1e3,
    );
}

fn empty() -> Rib {
    Rib::new(RibConfig {
        local_asn: 65_000,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        cluster_id: Ipv4Addr::new(10, 0, 0, 1),
        maximum_paths: 1,
        multipath_relax: false,
    })
}

/// UPDATE messages for `size` prefixes, neighbouring ones with different attributes, as a full table comes.
fn frames(size: u32, sets: u32) -> Vec<Bytes> {
    let context = EncodeContext::new();
    let next_hop = NextHop::V4(Ipv4Addr::new(10, 0, 1, 1));
    let mut frames = Vec::new();
    for set in 0..sets {
        let attributes = PathAttributes {
            as_path: AsPath::sequence([65_100, 200_000 + set / 1_000, 300_000 + set]),
            next_hop: Some(next_hop),
            communities: [Community::new(65_100, 1), Community(set)].into_iter().collect(),
            ..PathAttributes::default()
        };
        let prefixes = (set..size).step_by(sets as usize).filter_map(prefix);
        let mut buffer = BytesMut::new();
        let block = AttributeBlock::encode(&attributes, &context);
        if encode_reach(&mut buffer, &block, Family::IPV4_UNICAST, &next_hop, prefixes, &context).is_err() {
            continue;
        }
        let mut buffer = buffer.freeze();
        while let Ok(Some(length)) = peek_frame(&buffer, MAX_LEN) {
            frames.push(buffer.split_to(length));
        }
    }
    frames
}

/// Three quarters /24, the rest /22 in a block of their own.
fn prefix(number: u32) -> Option<IpNet> {
    let net = if number % 4 == 3 {
        Ipv4Net::new(Ipv4Addr::from(0x8000_0000 + (number / 4) * 1024), 22)
    } else {
        Ipv4Net::new(Ipv4Addr::from(0x0100_0000 + number * 256), 24)
    };
    net.ok().map(IpNet::V4)
}

fn peer(number: u32) -> PeerParams {
    PeerParams {
        name: format!("peer{number}").into(),
        kind: PeerKind::External,
        remote_asn: 65_100 + number,
        remote_router_id: Ipv4Addr::from(0x0a00_0100 + number),
        remote_address: IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + number)),
        local_address_v4: Some(Ipv4Addr::new(10, 0, 0, 1)),
        local_address_v6: None,
        link_local: None,
        families: FamilySet::IPV4_UNICAST,
        encode: EncodeContext::new(),
        paths_sent: None,
        enhanced_refresh: false,
        import: None,
        export: None,
        route_reflector_client: false,
        enforce_first_as: true,
        long_lived: LongLived::default(),
        role: None,
        drain: false,
        ignore_graceful_shutdown: false,
    }
}

/// Time this thread spent on a CPU: what else the machine does counts as little as can be. Linux brings the figure up to
/// date when the thread gives the CPU away.
fn cpu_time() -> Duration {
    std::thread::yield_now();
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = figures.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or(Duration::ZERO, Duration::from_nanos)
}

/// The system's allocator, counting what is in use.
struct Counting {
    now: AtomicUsize,
    peak: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { now: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

impl Counting {
    fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn forget_peak(&self) {
        self.peak.store(self.now(), Ordering::Relaxed);
    }

    fn more(&self, octets: usize) {
        let now = self.now.fetch_add(octets, Ordering::Relaxed) + octets;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn less(&self, octets: usize) {
        self.now.fetch_sub(octets, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches nothing but two atomics.
#[expect(
    unsafe_code,
    reason = "a global allocator cannot be written otherwise, and this is no part of the crate"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.more(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.less(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.more(size);
        self.less(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
