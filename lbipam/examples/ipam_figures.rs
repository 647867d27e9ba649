//! What allocation costs: time per Service and octets per allocation, at 1,000, 10,000 and 100,000 Services in one IPv6 /64.
//!
//! ```text
//! cargo run --release -p lbipam --example ipam_figures [SERVICES...]
//! ```
//!
//! `adopt` is the first plan over Services that have their addresses; `give` the first one over Services that have none;
//! `create` and `delete` are one Service more and one less, each with its plans until nothing is left to write. `holes`: the
//! same after every second Service was deleted; `named`: Services that ask for an address somewhere in the /64. `octets` is
//! what the allocator's heap has more per Service; the Services themselves are not in it, their owner has them anyway.
//! Prints figures; asserts nothing about time.

#![expect(clippy::expect_used, reason = "a program that prints figures stops at the first surprise")]

use std::alloc::System;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lbipam::service::{Family, Ingress, Port};
use lbipam::{Ipam, Service, ServiceChange, ServiceKey, Settings, Verdict};
use rutter_crds::{CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPoolIPBlock, CiliumLoadBalancerIPPoolSpec};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One more and one less, so many times.
const SAMPLES: u64 = 2_000;

fn main() {
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1_000, 10_000, 100_000] } else { asked };
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "services", "adopt", "give", "octets", "create", "delete", "create", "create", "nothing new"
    );
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "", "ms", "ms", "/service", "ns", "ns", "holes, ns", "named, ns", "plan, ns"
    );
    for size in sizes {
        measure(size);
    }
}

fn measure(size: u64) {
    let (adopt, octets) = adopt(size);
    let services: Vec<Arc<Service>> = (0..size).map(|number| service(number).into()).collect();
    let mut ipam = Ipam::new(Settings::default());
    let begun = now();
    ipam.handle_pools(vec![pool()], time(0));
    services.iter().for_each(|service| ipam.handle_service(Arc::clone(service)));
    let plan = ipam.plan(time(0));
    let give = begun.elapsed();
    assert_eq!(plan.services.len() as u64, size, "everybody gets one");
    let written: Vec<Arc<Service>> = plan.services.iter().map(ServiceChange::applied).collect();
    drop((plan, services));
    written.iter().for_each(|service| ipam.handle_service(Arc::clone(service)));
    settle_pools(&mut ipam);

    let (create, delete) = churn(&mut ipam, size, service);
    let idle = per(SAMPLES, || {
        for _ in 0..SAMPLES {
            assert!(ipam.plan(time(1)).services.is_empty(), "nothing is new");
        }
    });
    written.iter().step_by(2).for_each(|service| ipam.handle_service_gone(&service.key));
    settle_pools(&mut ipam);
    let (holes, _) = churn(&mut ipam, size, service);
    let (named, _) = churn(&mut ipam, size, |number| {
        // Far apart, and never the same.
        let host = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | (1 << 63);
        Service { load_balancer_ip: Some(address(host).to_string().into()), ..service(number) }
    });
    println!(
        "{size:>9} {:>10.1} {:>10.1} {octets:>10} {create:>12} {delete:>12} {holes:>12} {named:>12} {idle:>12}",
        adopt.as_secs_f64() * 1e3,
        give.as_secs_f64() * 1e3,
    );
}

/// Time of the first plan over Services that have their addresses, and octets per Service.
fn adopt(size: u64) -> (Duration, i64) {
    let services: Vec<Arc<Service>> = (0..size).map(|number| with_address(number).into()).collect();
    let region = Region::new(ALLOCATOR);
    let mut ipam = Ipam::new(Settings::default());
    let begun = now();
    ipam.handle_pools(vec![pool()], time(0));
    services.iter().for_each(|service| ipam.handle_service(Arc::clone(service)));
    let plan = ipam.plan(time(0));
    let took = begun.elapsed();
    assert!(plan.services.is_empty(), "adoption writes nothing");
    drop(plan);
    let live = region.change();
    let octets = i64::try_from(live.bytes_allocated - live.bytes_deallocated).expect("less than there is");
    (took, octets / i64::try_from(size).expect("a small number"))
}

/// Nanoseconds of one Service more, and of one less.
fn churn(ipam: &mut Ipam, size: u64, make: impl Fn(u64) -> Service) -> (u128, u128) {
    let mut written = Vec::new();
    let new: Vec<Arc<Service>> = (size..size + SAMPLES).map(|number| make(number).into()).collect();
    let create = per(SAMPLES, || {
        for service in &new {
            ipam.handle_service(Arc::clone(service));
            let plan = ipam.plan(time(1));
            let change = plan.services.first().expect("it gets an address");
            assert!(change.ingress.is_some(), "{change:?}");
            let service = change.applied();
            ipam.handle_service(Arc::clone(&service));
            written.push(service);
            settle_pools(ipam);
        }
    });
    let delete = per(SAMPLES, || {
        for service in &written {
            ipam.handle_service_gone(&service.key);
            settle_pools(ipam);
        }
    });
    (create, delete)
}

/// Writes what the pool says of itself.
fn settle_pools(ipam: &mut Ipam) {
    let plan = ipam.plan(time(1));
    assert!(plan.services.is_empty(), "all Services are settled");
    if let Some(change) = plan.pools.first() {
        ipam.handle_pools(vec![change.applied()], time(1));
    }
}

fn per(count: u64, work: impl FnOnce()) -> u128 {
    let begun = now();
    work();
    begun.elapsed().as_nanos() / u128::from(count)
}

fn pool() -> Arc<CiliumLoadBalancerIPPool> {
    let block = CiliumLoadBalancerIPPoolIPBlock { cidr: Some("fd00::/64".into()), ..Default::default() };
    let spec = CiliumLoadBalancerIPPoolSpec { blocks: vec![block], ..Default::default() };
    Arc::new(CiliumLoadBalancerIPPool::new("pool", spec))
}

fn address(host: u64) -> Ipv6Addr {
    Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(host))
}

fn service(number: u64) -> Service {
    Service {
        key: Arc::new(ServiceKey::new(format!("team-{}", number % 40), format!("service-{number}"))),
        uid: format!("uid-{number}").into(),
        resource_version: "1".into(),
        created: Some(time(0)),
        labels: [("app", format!("app-{number}"))].into_iter().collect(),
        load_balancer: true,
        families: [Family::V6].into(),
        ports: [Port { port: 80, protocol: Some("TCP".into()) }].into(),
        ..Service::default()
    }
}

fn with_address(number: u64) -> Service {
    let (ingress, condition) = ([Ingress::of(address(number).into())].into(), Some(Verdict::satisfied()));
    Service { ingress, condition, ..service(number) }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

#[expect(clippy::disallowed_methods, reason = "a clock is what this program is about; the crate has none")]
fn now() -> Instant {
    Instant::now()
}
