//! What the contract says of one moment, slowly and obviously: every question is answered by looking at everything.
//!
//! Invariant: nothing here is the allocator's code; two readings of the contract have to agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use lbipam::service::{FamilyPolicy, TrafficPolicy};
use lbipam::{DefaultIpam, Family, Service, Settings};
use rutter_crds::LoadBalancerIPReservation;
use rutter_crds::label_selector::{LabelSelector, SelectorOperator};
use rutter_crds::{AllowFirstLastIPs, CiliumLoadBalancerIPPoolIPBlock};

use crate::server::Pool;

/// Addresses from the first to the last, both in it. `edges`: they came from a CIDR of three or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
    pub(crate) wide_cidr: bool,
}

impl Range {
    pub(crate) fn covers(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && self.first <= ip && ip <= self.last
    }

    pub(crate) fn count(&self) -> u128 {
        number(self.last) - number(self.first) + 1
    }

    /// All of them, lowest first. There may be many.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let family = Family::of(self.first);
        (number(self.first)..=number(self.last)).map(move |number| address(family, number))
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.covers(other.first) || other.covers(self.first)
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

pub(crate) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).expect("an IPv4 address")).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// An address as people write it, nothing else: no leading zeros, no IPv4 in IPv6.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    match ip {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => None,
        other => Some(other),
    }
}

/// A block as a range, if it is one.
pub(crate) fn range(block: &CiliumLoadBalancerIPPoolIPBlock) -> Option<Range> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(cidr) = given(&block.cidr) {
        let (ip, length) = cidr.split_once('/')?;
        let (ip, length): (IpAddr, u32) = (parse(ip)?, length.parse().ok()?);
        let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
        let host = bits.checked_sub(length)?;
        let mask = if host == 128 { u128::MAX } else { (1 << host) - 1 };
        let family = Family::of(ip);
        let (first, last) = (number(ip) & !mask, number(ip) | mask);
        return Some(Range {
            first: address(family, first),
            last: address(family, last),
            wide_cidr: host >= 2,
        });
    }
    let first = parse(&given(&block.start)?)?;
    let last = given(&block.stop).map_or(Some(first), |stop| parse(&stop))?;
    let in_order = first.is_ipv4() == last.is_ipv4() && first <= last;
    in_order.then_some(Range { first, last, wide_cidr: false })
}

/// The good blocks of a pool, in order.
pub(crate) fn ranges(pool: &Pool) -> Vec<Range> {
    pool.spec.blocks.iter().filter_map(range).collect()
}

pub(crate) fn has_bad_block(pool: &Pool) -> bool {
    pool.spec.blocks.iter().any(|block| range(block).is_none())
}

pub(crate) fn covers(pool: &Pool, ip: IpAddr) -> bool {
    ranges(pool).iter().any(|range| range.covers(ip))
}

/// Whether a pool keeps an address of its own back because it is the edge of a CIDR.
pub(crate) fn keeps_back(pool: &Pool, ip: IpAddr) -> bool {
    pool.spec.allow_first_last_ips == Some(AllowFirstLastIPs::No)
        && ranges(pool).iter().any(|range| range.wide_cidr && (ip == range.first || ip == range.last))
}

pub(crate) fn name(pool: &Pool) -> &str {
    pool.metadata.name.as_deref().unwrap_or_default()
}

/// Whether a pool selects a Service. Nobody knows if the selector means nothing.
pub(crate) fn selects(pool: &Pool, service: &Service) -> Option<bool> {
    let Some(LabelSelector { match_labels, match_expressions }) = &pool.spec.service_selector else {
        return Some(true);
    };
    let mut labels: BTreeMap<&str, &str> = service.labels.iter().collect();
    labels.insert("io.kubernetes.service.namespace", &service.key.namespace);
    labels.insert("io.kubernetes.service.name", &service.key.name);
    let mut all = match_labels.iter().all(|(key, value)| labels.get(&**key) == Some(&&*value.0));
    for requirement in match_expressions {
        let value = labels.get(&*requirement.key);
        let among = value.is_some_and(|value| requirement.values.iter().any(|one| one == value));
        all &= match requirement.operator {
            SelectorOperator::In | SelectorOperator::NotIn if requirement.values.is_empty() => return None,
            SelectorOperator::In => among,
            SelectorOperator::NotIn => !among,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        };
    }
    Some(all)
}

fn word<'a>(pool: &'a Pool, key: &str) -> Option<&'a str> {
    pool.metadata.annotations.as_ref()?.get(key).map(|value| &**value)
}

/// Pools are asked in this order: those with a priority, lowest number first; then by name.
pub(crate) fn rank(pool: &Pool) -> impl Ord + use<> {
    let priority = word(pool, "rutter.dev/priority").and_then(|text| text.parse::<i64>().ok());
    (priority.is_none(), priority, name(pool).to_owned())
}

/// Whether a Service may get an address of a pool without naming the address: it names the pool, or no pool at all, and the
/// pool does not want to be asked.
pub(crate) fn is_open_to(pool: &Pool, service: &Service) -> bool {
    match service.annotations.get("rutter.dev/pool") {
        Some(names) => names.split(',').any(|one| one.trim() == name(pool)),
        None => word(pool, "rutter.dev/auto-assign").is_none_or(|text| text == "true"),
    }
}

/// Names of pools that overlap themselves, or an older one that is not in conflict.
pub(crate) fn conflicting<'a>(pools: impl IntoIterator<Item = &'a Pool>) -> BTreeSet<String> {
    let mut pools: Vec<&Pool> = pools.into_iter().collect();
    pools.sort_by_key(|pool| {
        (pool.metadata.creation_timestamp.as_ref().map(|time| time.0), name(pool).to_owned())
    });
    let mut sound: Vec<&Pool> = Vec::new();
    let mut losers = BTreeSet::new();
    for pool in pools {
        let own = ranges(pool);
        let itself =
            own.iter().enumerate().any(|(at, one)| own[..at].iter().any(|other| one.overlaps(other)));
        let others = sound.iter().flat_map(|other| ranges(other));
        if itself || others.into_iter().any(|other| own.iter().any(|range| range.overlaps(&other))) {
            losers.insert(name(pool).to_owned());
        } else {
            sound.push(pool);
        }
    }
    losers
}

/// Whether LB IPAM serves it.
pub(crate) fn handled(settings: &Settings, service: &Service) -> bool {
    service.load_balancer
        && match service.class.as_deref() {
            None => settings.default_ipam == DefaultIpam::LbIpam,
            Some("io.cilium/bgp-control-plane") => settings.bgp_class,
            Some("io.cilium/l2-announcer") => settings.l2_class,
            Some(_) => false,
        }
}

/// Families a Service wants if it does not ask for addresses.
pub(crate) fn families(settings: &Settings, service: &Service) -> BTreeSet<Family> {
    let has: BTreeSet<Family> =
        [Family::V4, Family::V6].into_iter().filter(|family| settings.has(*family)).collect();
    match service.family_policy {
        FamilyPolicy::SingleStack => match service.families.first() {
            Some(first) => [*first].into(),
            None => [if settings.ipv4 { Family::V4 } else { Family::V6 }].into(),
        },
        FamilyPolicy::PreferDualStack if service.families.is_empty() => has,
        FamilyPolicy::PreferDualStack => {
            service.families.iter().copied().filter(|family| has.contains(family)).collect()
        }
        FamilyPolicy::RequireDualStack => has,
    }
}

/// The value of an annotation by its new name, else by its old one.
fn annotation<'a>(service: &'a Service, new: &str, old: &str) -> Option<&'a str> {
    service.annotations.get(new).or_else(|| service.annotations.get(old))
}

/// What a Service asks for: addresses in order, and whether there is something that cannot be understood.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) garbage: bool,
}

pub(crate) fn request(service: &Service) -> Request {
    let field = service.load_balancer_ip.as_deref();
    let list = annotation(service, "lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips");
    let mut request = Request::default();
    for item in field.into_iter().chain(list).flat_map(|text| text.split(',')).map(str::trim) {
        match parse(item) {
            Some(ip) if !request.addresses.contains(&ip) => request.addresses.push(ip),
            None if !item.is_empty() => request.garbage = true,
            _ => {}
        }
    }
    request
}

/// Whether a Service wants an address, or may mean it: as long as something cannot be read, nobody knows what is not asked for.
pub(crate) fn wants(settings: &Settings, service: &Service, ip: IpAddr) -> bool {
    let request = request(service);
    request.garbage
        || match request.addresses.is_empty() {
            true => families(settings, service).contains(&Family::of(ip)),
            false => request.addresses.contains(&ip),
        }
}

pub(crate) fn sharing_key(service: &Service) -> Option<&str> {
    annotation(service, "lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key")
        .filter(|key| !key.is_empty())
}

fn lets_in(service: &Service, namespace: &str) -> bool {
    let list = annotation(
        service,
        "lbipam.cilium.io/sharing-cross-namespace",
        "io.cilium/lb-ipam-sharing-cross-namespace",
    );
    list.is_some_and(|list| list.split(',').map(str::trim).any(|item| item == "*" || item == namespace))
}

/// Whether two Services may have one address.
pub(crate) fn may_share(one: &Service, other: &Service) -> bool {
    let same_key = sharing_key(one).is_some() && sharing_key(one) == sharing_key(other);
    let (here, there) = (&*one.key.namespace, &*other.key.namespace);
    let near = here == there || (lets_in(one, there) && lets_in(other, here));
    let clash = one.ports.iter().any(|port| other.ports.contains(port));
    let same_pods = one.traffic_policy == TrafficPolicy::Cluster
        || (!one.selector.is_empty() && one.selector == other.selector);
    same_key && near && !clash && one.traffic_policy == other.traffic_policy && same_pods
}

/// For whom else an address is kept, if it is and not for this Service as well. Those that come and go with a Service aside.
pub(crate) fn reserved_for_another<'a>(
    reservations: &'a [Arc<LoadBalancerIPReservation>],
    service: &Service,
    ip: IpAddr,
) -> Option<&'a str> {
    let of = |reservation: &&'a Arc<LoadBalancerIPReservation>| {
        reservation.spec.addresses.iter().any(|address| parse(address) == Some(ip))
    };
    let its = |reservation: &Arc<LoadBalancerIPReservation>| {
        let kept_for = &reservation.spec.service_ref;
        kept_for.namespace == *service.key.namespace && kept_for.name == *service.key.name
    };
    let lasting = |reservation: &&'a Arc<LoadBalancerIPReservation>| reservation.spec.grace_period.is_none();
    let all: Vec<_> = reservations.iter().filter(of).collect();
    let mine = all.iter().any(|reservation| its(reservation));
    let other = all.iter().copied().find(lasting).filter(|_| !mine)?;
    Some(&other.spec.service_ref.name)
}

/// Who was there first.
pub(crate) fn age(service: &Service) -> impl Ord + use<> {
    (service.created, service.key.namespace.clone(), service.key.name.clone())
}

pub(crate) fn addresses(service: &Service) -> Vec<IpAddr> {
    service.ingress.iter().filter_map(|entry| entry.ip).collect()
}
