//! Size costs by what is given, not by what could be; an event costs by what it changes, not by what there is. Counted in
//! allocations of memory, which is the same on each machine.

use std::alloc::System;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lbipam::{Family, Ipam, Service, ServiceKey, Settings};
use rutter_crds::CiliumLoadBalancerIPPool;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ipam(blocks: &[&str]) -> Ipam {
    let blocks: Vec<_> = blocks.iter().map(|block| json!({"cidr": block})).collect();
    let pool = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "p"}, "spec": {"blocks": blocks}});
    let pool: CiliumLoadBalancerIPPool = serde_json::from_value(pool).expect("a pool");
    let mut ipam = Ipam::new(Settings::default());
    ipam.handle_pools(vec![Arc::new(pool)], NOW);
    ipam
}

fn service(namespace: &str, number: i64, family: Family) -> Arc<Service> {
    Arc::new(Service {
        key: Arc::new(ServiceKey::new(namespace, format!("s{number}"))),
        created: Some(NOW + SignedDuration::from_secs(number)),
        load_balancer: true,
        families: [family].into(),
        ..Service::default()
    })
}

/// Plans, and writes the plan.
fn run(ipam: &mut Ipam) -> usize {
    let plan = ipam.plan(NOW);
    for change in &plan.services {
        ipam.handle_service(change.applied());
    }
    ipam.plan(NOW);
    plan.services.len()
}

/// An allocator with so many Services that have an address and so many that wait for one.
fn crowd(blocks: &[&str], served: i64, waiting: i64) -> Ipam {
    let mut ipam = ipam(blocks);
    for number in 0..served {
        ipam.handle_service(service("served", number, Family::V6));
    }
    for number in 0..waiting {
        ipam.handle_service(service("waiting", number, Family::V4));
    }
    run(&mut ipam);
    ipam
}

// One test: the figures are those of the whole process.
#[test]
fn costs_go_by_what_is_given_and_what_changes() {
    let bytes = |blocks: &[&str]| {
        let region = Region::new(MEMORY);
        let ipam = crowd(blocks, 5_000, 0);
        let change = region.change();
        drop(ipam);
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    };
    bytes(&["fd00::/112"]);
    let (small, large) = (bytes(&["fd00::/112"]), bytes(&["::/0"]));
    assert!(
        large <= small + small / 100,
        "{large} bytes of a pool that has everything, {small} of a small one"
    );
    assert!(small / 5_000 < 3_000, "{} bytes for each Service", small / 5_000);

    // One comes, one goes, and of all who wait for the address that is freed one gets it.
    let allocations = |size: i64| {
        let mut ipam = crowd(&["::/0", "10.0.0.0/32"], size, size);
        let region = Region::new(MEMORY);
        ipam.handle_service(service("served", size, Family::V6));
        assert_eq!(run(&mut ipam), 1);
        ipam.handle_service_gone(&ServiceKey::new("served", "s7"));
        assert_eq!(run(&mut ipam), 0);
        ipam.handle_service_gone(&ServiceKey::new("waiting", "s0"));
        assert_eq!(run(&mut ipam), 1);
        region.change().allocations
    };
    let (few, many) = (allocations(100), allocations(5_000));
    assert!(many <= few + 100, "{many} allocations among 10,000, {few} among 200");
}
