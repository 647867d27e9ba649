//! Type Service: the addresses of services, each as a route of its own or as part of an aggregate.
//!
//! [`Catalogue`] decides once per node which address of which service may be announced here at all (`frontend`,
//! `backends`); an entry of an advertisement then only selects among them. Invariant: an address that is selected and not
//! announced has a finding that says why.

mod backends;
mod catalogue;
mod facts;
mod frontend;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rutter_api::intent::{Family, Origin};
use rutter_crds::bgp_advertisement::{BGPServiceAddressType, BGPServiceOptions};

pub(super) use catalogue::Catalogue;
pub(super) use frontend::ServiceState;
use frontend::{Addresses, Frontend};

use super::memo::Part;
use super::{Advertiser, Entry, Offer, Offers, fits, propose, suffix};
use crate::object::{NamespacedName, ObjectRef};
use crate::report::{Finding, Reason, Report};
use crate::trace::Trace;

/// Exact addresses first, then aggregates, so that an address with its own statement keeps its own attributes.
const PRIORITY: u8 = 40;
const PRIORITY_AGGREGATE: u8 = 41;

/// Kinds of addresses, in the order in which they are looked at.
const KINDS: [BGPServiceAddressType; 3] = [
    BGPServiceAddressType::LoadBalancerIP,
    BGPServiceAddressType::ClusterIP,
    BGPServiceAddressType::ExternalIP,
];

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
    let Some(selector) = entry.selector(report) else { return };
    let mut found = false;
    if report.is_traced() {
        for state in advertiser.services.iter() {
            report.record(|trace| {
                trace.service(&state.name, || {
                    selector.unmet(|key| state.label(key)).map(|unmet| unmet.to_string()).collect()
                });
            });
            if selector.matches(|key| state.label(key)) {
                found = true;
                one_service(advertiser, entry, options, state, report, offers);
            }
        }
    } else {
        let services =
            advertiser.parts.borrow_mut().of(entry.of, entry.family, &advertiser.services, |state| {
                selector.matches(|key| state.label(key)).then(|| part(advertiser, entry, options, state))
            });
        let parts = || services.iter().filter_map(|of_service| of_service.part.as_ref());
        found = parts().next().is_some();
        report.add_all_again(parts().flat_map(|part| &part.findings));
        for index in advertiser.services.by_name() {
            let part = services.get(*index).and_then(|of_service| of_service.part.as_ref());
            for offer in part.iter().flat_map(|part| &part.offers) {
                offers.add(Arc::clone(offer));
            }
        }
    }
    if !found {
        report.add(Finding::on(object, format!("{field}.selector"), Reason::SelectorMatchesNothing));
    }
}

/// What an entry offers of one Service, for this pass and for later ones.
fn part(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    options: &BGPServiceOptions,
    state: &ServiceState,
) -> Part {
    let (mut report, mut offers) = (Report::default(), Offers::default());
    one_service(advertiser, entry, options, state, &mut report, &mut offers);
    Part { offers: offers.into_vec(), findings: report.into_findings().collect() }
}

fn one_service(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    options: &BGPServiceOptions,
    state: &ServiceState,
    report: &mut Report,
    offers: &mut Offers,
) {
    let name = &state.name;
    let object = || ObjectRef::namespaced("Service", name);
    for reason in &state.ignored {
        report.add(Finding::on(&object(), "metadata.annotations", reason.clone()));
    }
    if let Some(reason) = &state.refused {
        return report.add(Finding::about(&object(), reason.clone()));
    }
    for kind in KINDS.into_iter().filter(|kind| options.addresses.contains(kind)) {
        let addresses = state.addresses(kind);
        for (field, reason) in &addresses.refused {
            report.add(Finding::on(&object(), *field, reason.clone()));
        }
        report.record(|trace| unsuited(trace, entry.family, kind, addresses, name));
        let mut prefixes: Vec<(Option<u8>, IpNet)> = Vec::new();
        for frontend in
            addresses.frontends.iter().filter(|frontend| fits(entry.family, frontend.address.is_ipv4()))
        {
            if let Some(reason) = &frontend.refused {
                report.add(Finding::on(&object(), addresses.field, reason.clone()));
                continue;
            }
            let (length, prefix) = prefix(frontend, options);
            if length == Some(0) {
                let field = format!("{}.service.{}", entry.field, length_field(entry.family));
                report.add(Finding::on(entry.object, field, Reason::AggregateIsDefaultRoute { prefix }));
            }
            prefixes.push((length, prefix));
        }
        prefixes.sort_unstable();
        for group in prefixes.chunk_by(|a, b| a.0 == b.0) {
            let Some((length, _)) = group.first() else { continue };
            let (word, family) = (word(kind), suffix(entry.family));
            let statement = match length {
                Some(length) => {
                    format!("Service-{}-{}-{word}-{family}-agg-{length}", name.name, name.namespace)
                }
                None => format!("Service-{}-{}-{word}-{family}", name.name, name.namespace),
            };
            let offer = Offer::new(
                if length.is_some() { PRIORITY_AGGREGATE } else { PRIORITY },
                (statement, format!("Service {name} {word}")),
                entry.family,
                group.iter().map(|(_, prefix)| *prefix).collect(),
                &entry.attributes,
                origin(advertiser, kind),
            );
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
