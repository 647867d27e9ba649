//! Type Service: the addresses of services, each as a route of its own or as part of an aggregate.
//!
//! [`Catalogue`] decides once per node which address of which service may be announced here at all (`frontend`,
//! `backends`); an entry of an advertisement then only selects among them. Invariant: an address that is selected and not
//! announced has a finding that says why.

mod backends;
mod facts;
mod frontend;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rutter_api::intent::{Family, Origin};
use rutter_crds::SelectorProblem;
use rutter_crds::bgp_advertisement::{BGPServiceAddressType, BGPServiceOptions};

pub(super) use frontend::Catalogue;
use frontend::{Addresses, Frontend, ServiceState};

use super::{Advertiser, Entry, Offer, Offers, fits, propose, suffix};
use crate::object::{NamespacedName, ObjectRef};
use crate::report::{Finding, Reason, Report};
use crate::trace::Trace;

/// Exact addresses first, then aggregates, so that an address with its own statement keeps its own attributes.
const PRIORITY: u8 = 40;
const PRIORITY_AGGREGATE: u8 = 41;

pub(super) fn offer(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let Entry { object, field, advertisement, .. } = entry;
    let Some(options) = &advertisement.service else {
        return report.add(Finding::on(object, format!("{field}.service"), Reason::ServiceOptionsMissing));
    };
    let Some(selector) = &advertisement.selector else {
        return report.add(Finding::on(object, format!("{field}.selector"), Reason::SelectorAbsent));
    };
    if let Some(problem) = selector.problem() {
        let reason = refused(problem);
        return report.add(Finding::on(object, format!("{field}.selector.matchExpressions"), reason));
    }
    let mut found = false;
    for (name, state) in advertiser.services.iter() {
        report.record(|trace| {
            trace.service(name, || {
                selector.unmet(|key| label(name, state, key)).map(|unmet| unmet.to_string()).collect()
            });
        });
        if selector.matches(|key| label(name, state, key)) {
            found = true;
            one_service(advertiser, entry, options, name, state, report, offers);
        }
    }
    if !found {
        report.add(Finding::on(object, format!("{field}.selector"), Reason::SelectorMatchesNothing));
    }
}

fn refused(problem: SelectorProblem) -> Reason {
    crate::translate::selector_reason(problem)
}

/// Service labels, and two that stand for name and namespace.
fn label<'l>(name: &'l NamespacedName, state: &ServiceState<'l>, key: &str) -> Option<&'l str> {
    match key {
        "io.kubernetes.service.name" => Some(&*name.name),
        "io.kubernetes.service.namespace" => Some(&*name.namespace),
        _ => state.labels?.get(key).map(String::as_str),
    }
}

fn one_service(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    options: &BGPServiceOptions,
    name: &NamespacedName,
    state: &ServiceState<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let object = ObjectRef::namespaced("Service", name);
    for reason in &state.ignored {
        report.add(Finding::on(&object, "metadata.annotations", reason.clone()));
    }
    if let Some(reason) = &state.refused {
        return report.add(Finding::about(&object, reason.clone()));
    }
    let kinds: BTreeSet<BGPServiceAddressType> = options.addresses.iter().copied().collect();
    for kind in kinds {
        let addresses = state.addresses(kind);
        for (field, reason) in &addresses.refused {
            report.add(Finding::on(&object, *field, reason.clone()));
        }
        report.record(|trace| unsuited(trace, entry.family, kind, addresses, name));
        let mut prefixes: BTreeMap<Option<u8>, BTreeSet<IpNet>> = BTreeMap::new();
        for frontend in
            addresses.frontends.iter().filter(|frontend| fits(entry.family, frontend.address.is_ipv4()))
        {
            if let Some(reason) = &frontend.refused {
                report.add(Finding::on(&object, addresses.field, reason.clone()));
                continue;
            }
            let (length, prefix) = prefix(frontend, options);
            if length == Some(0) {
                let field = format!("{}.service.{}", entry.field, length_field(entry.family));
                report.add(Finding::on(entry.object, field, Reason::AggregateIsDefaultRoute { prefix }));
            }
            prefixes.entry(length).or_default().insert(prefix);
        }
        for (length, prefixes) in prefixes {
            let mut statement =
                format!("Service-{}-{}-{}-{}", name.name, name.namespace, word(kind), suffix(entry.family));
            if let Some(length) = length {
                statement.push_str(&format!("-agg-{length}"));
            }
            let offer = Offer {
                priority: if length.is_some() { PRIORITY_AGGREGATE } else { PRIORITY },
                statement,
                source: format!("Service {name} {}", word(kind)),
                family: entry.family,
                prefixes,
                attributes: entry.attributes.clone(),
                origin: origin(advertiser, kind),
            };
            propose(offer, Some(name), report, offers);
        }
    }
}

/// Notes what the entry passes over without a word: it may well be meant for other addresses.
fn unsuited(
    trace: &mut Trace,
    family: Family,
    kind: BGPServiceAddressType,
    addresses: &Addresses,
    name: &NamespacedName,
) {
    let object = ObjectRef::namespaced("Service", name);
    if addresses.frontends.is_empty() && addresses.refused.is_empty() {
        let reason = Reason::NoAddressOfType { kind: word(kind) };
        trace.finding(&Finding::on(&object, addresses.field, reason));
    }
    for frontend in addresses.frontends.iter().filter(|frontend| !fits(family, frontend.address.is_ipv4())) {
        let reason = Reason::AddressOfOtherFamily { address: frontend.address, family: family.name() };
        trace.finding(&Finding::on(&object, addresses.field, reason));
    }
}

/// The prefix of an address, and the length if it is an aggregate. Where the policy is Local an aggregate would draw
/// traffic of nodes that serve another part of it, so there it is always the address alone.
fn prefix(frontend: &Frontend, options: &BGPServiceOptions) -> (Option<u8>, IpNet) {
    let full = IpNet::from(frontend.address);
    let length = match frontend.address {
        IpAddr::V4(_) => options.aggregation_length_ipv4,
        IpAddr::V6(_) => options.aggregation_length_ipv6,
    };
    match length.filter(|_| !frontend.local) {
        Some(length) => match IpNet::new(frontend.address, length) {
            Ok(prefix) => (Some(length), prefix.trunc()),
            Err(_too_long) => (None, full),
        },
        None => (None, full),
    }
}

fn length_field(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "aggregationLengthIPv4",
        Family::Ipv6Unicast => "aggregationLengthIPv6",
    }
}

fn origin(advertiser: &Advertiser<'_>, kind: BGPServiceAddressType) -> Origin {
    match kind {
        BGPServiceAddressType::LoadBalancerIP if advertiser.options.legacy_origin_attribute => {
            Origin::Incomplete
        }
        _ => Origin::Igp,
    }
}

fn word(kind: BGPServiceAddressType) -> &'static str {
    match kind {
        BGPServiceAddressType::LoadBalancerIP => "LoadBalancerIP",
        BGPServiceAddressType::ClusterIP => "ClusterIP",
        BGPServiceAddressType::ExternalIP => "ExternalIP",
    }
}
