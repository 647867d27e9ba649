//! What has to be so when all is quiet, out of nothing but the server's objects, for the Services and pools that the programs
//! make: IPv4, one sharing key, no priorities.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::lbipam::{addresses, condition, verdict};

/// First and last address, and whether `allowFirstLastIPs` means it.
type Range = (u32, u32, bool);

fn number(text: &str) -> Option<u32> {
    text.parse::<Ipv4Addr>().ok().map(u32::from)
}

/// The ranges of a pool, and whether there is a block that is none.
fn ranges(pool: &Value) -> (Vec<Range>, bool) {
    let range = |block: &Value| -> Option<Range> {
        let (ip, length) = block["cidr"].as_str()?.split_once('/')?;
        let (ip, length): (u32, u32) = (number(ip)?, length.parse().ok()?);
        let host = (1_u64 << 32_u32.checked_sub(length)?) - 1;
        let host = u32::try_from(host).ok()?;
        Some((ip & !host, ip | host, host > 1))
    };
    let blocks: Vec<Option<Range>> =
        pool["spec"]["blocks"].as_array().into_iter().flatten().map(range).collect();
    (blocks.iter().copied().flatten().collect(), blocks.contains(&None))
}

fn covers(pool: &Value, ip: u32) -> bool {
    ranges(pool).0.iter().any(|(first, last, _)| (*first..=*last).contains(&ip))
}

fn edges(pool: &Value) -> BTreeSet<u32> {
    let kept_back = pool["spec"]["allowFirstLastIPs"] == "No";
    let wide = ranges(pool).0.into_iter().filter(|(.., wide)| kept_back && *wide);
    wide.flat_map(|(first, last, _)| [first, last]).collect()
}

fn selects(pool: &Value, service: &Value) -> bool {
    let labels = pool["spec"]["serviceSelector"]["matchLabels"].as_object();
    labels.into_iter().flatten().all(|(key, value)| match &**key {
        "io.kubernetes.service.namespace" => service["metadata"]["namespace"] == *value,
        other => service["metadata"]["labels"][other] == *value,
    })
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Names of pools that overlap an older one that serves.
fn conflicting(pools: &[Value]) -> BTreeSet<&str> {
    let mut by_age: Vec<&Value> = pools.iter().collect();
    by_age.sort_by_key(|pool| (pool["metadata"]["creationTimestamp"].as_str(), name(pool)));
    let mut taken: Vec<Range> = Vec::new();
    let mut losers = BTreeSet::new();
    for pool in by_age {
        let own = ranges(pool).0;
        let overlaps = |one: &Range| taken.iter().any(|other| one.0 <= other.1 && other.0 <= one.1);
        if own.iter().any(overlaps) {
            losers.insert(name(pool));
        } else {
            taken.extend(own);
        }
    }
    losers
}

/// Addresses that a Service asks for, and whether something in the text is none.
fn request(service: &Value) -> (Vec<u32>, bool) {
    let text = service["metadata"]["annotations"]["lbipam.cilium.io/ips"].as_str().unwrap_or_default();
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<Option<u32>> = items.map(number).collect();
    (items.iter().copied().flatten().collect(), items.contains(&None))
}

/// Whether an address of a Service is still right, others at it aside.
pub(super) fn is_valid<'a>(
    service: &Value,
    address: &str,
    mut pools: impl Iterator<Item = &'a Value>,
) -> bool {
    let Some(ip) = number(address) else { return false };
    let (asked, garbage) = request(service);
    let wanted = garbage || asked.is_empty() || asked.contains(&ip);
    wanted && pools.any(|pool| selects(pool, service) && (covers(pool, ip) || ranges(pool).1))
}

pub(super) fn may_share(one: &Value, other: &Value) -> bool {
    let key = |service: &Value| service["metadata"]["annotations"]["lbipam.cilium.io/sharing-key"].clone();
    let ports = |service: &Value| -> Vec<Value> {
        service["spec"]["ports"].as_array().into_iter().flatten().map(|port| port["port"].clone()).collect()
    };
    !key(one).is_null()
        && key(one) == key(other)
        && one["metadata"]["namespace"] == other["metadata"]["namespace"]
        && !ports(one).iter().any(|port| ports(other).contains(port))
}

/// Everything at once.
pub(super) fn check(services: &[Value], pools: &[Value]) -> Result<()> {
    if pools.is_empty() {
        // Asleep.
        return Ok(());
    }
    for pool in pools {
        check_pool(pool, services, pools)?;
    }
    for service in services {
        check_service(service, services, pools)?;
    }
    Ok(())
}

fn held(service: &Value) -> impl Iterator<Item = u32> {
    addresses(service).into_iter().filter_map(|address| number(&address))
}

fn check_pool(pool: &Value, services: &[Value], pools: &[Value]) -> Result<()> {
    let count = |kind: &str| condition(pool, kind)["message"].as_str().and_then(|text| text.parse().ok());
    let all: BTreeSet<u32> = ranges(pool).0.into_iter().flat_map(|(first, last, _)| first..=last).collect();
    let mut used = edges(pool);
    used.extend(services.iter().flat_map(held).filter(|ip| all.contains(ip)));
    let expected = [all.len(), all.len() - used.len(), used.len()].map(Some);
    let said = ["cilium.io/IPsTotal", "cilium.io/IPsAvailable", "cilium.io/IPsUsed"].map(count);
    ensure!(said == expected, "pool {} says {said:?}, counted: {expected:?}", name(pool));
    let conflict = condition(pool, "cilium.io/PoolConflict")["status"].clone();
    let expected = if conflicting(pools).contains(name(pool)) { "True" } else { "False" };
    ensure!(conflict == expected, "pool {}: conflict is {conflict}, expected {expected}", name(pool));
    Ok(())
}

fn check_service(service: &Value, services: &[Value], pools: &[Value]) -> Result<()> {
    let who = format!("{}/{}", service["metadata"]["namespace"].as_str().unwrap_or_default(), name(service));
    let has: Vec<u32> = held(service).collect();
    for address in addresses(service) {
        ensure!(is_valid(service, &address, pools.iter()), "{who} has {address}, which is not valid");
    }
    let others: Vec<&Value> =
        services.iter().filter(|other| other["metadata"] != service["metadata"]).collect();
    let open =
        |ip: u32| others.iter().all(|other| !held(other).any(|one| one == ip) || may_share(service, other));
    ensure!(has.iter().all(|ip| open(*ip)), "{who} has {:?}, and so has another", addresses(service));
    let losers = conflicting(pools);
    let gives = |pool: &&Value| pool["spec"]["disabled"] != true && !losers.contains(name(pool));
    let giving: Vec<&Value> = pools.iter().filter(gives).collect();
    let taken = |ip: u32| others.iter().any(|other| held(other).any(|one| one == ip));
    let free = |pool: &Value, ip: u32| taken(ip) || !edges(pool).contains(&ip);
    let (asked, garbage) = request(service);
    let missing = asked.iter().filter(|ip| !has.contains(ip));
    let mut expected = "True/satisfied";
    for ip in missing {
        let with: Vec<&&Value> = giving.iter().filter(|pool| covers(pool, *ip)).collect();
        let selecting: Vec<&&&Value> = with.iter().filter(|pool| selects(pool, service)).collect();
        let key = !service["metadata"]["annotations"]["lbipam.cilium.io/sharing-key"].is_null();
        expected = match (with.is_empty(), selecting.is_empty()) {
            (true, _) => "False/no_pool",
            (_, true) => "False/pool_selector_mismatch",
            _ if !selecting.iter().any(|pool| free(pool, *ip)) => "False/already_allocated",
            _ if open(*ip) => "an address that it may have",
            _ if key => "False/already_allocated_incompatible_service",
            _ => "False/already_allocated",
        };
    }
    if garbage {
        expected = "False/invalid_request";
    } else if asked.is_empty() && has.is_empty() {
        let selecting: Vec<&Value> =
            giving.into_iter().filter(|pool| selects(pool, service) && !ranges(pool).0.is_empty()).collect();
        let any_free = selecting.iter().any(|pool| {
            let mut all = ranges(pool).0.into_iter().flat_map(|(first, last, _)| first..=last);
            all.any(|ip| open(ip) && free(pool, ip))
        });
        expected = match (any_free, selecting.is_empty()) {
            (true, _) => "an address, one is free",
            (_, true) => "False/no_pool",
            _ => "False/out_of_ips",
        };
    }
    ensure!(
        verdict(service) == expected,
        "{who} has {:?}, says {}, expected {expected}",
        addresses(service),
        verdict(service)
    );
    Ok(())
}
