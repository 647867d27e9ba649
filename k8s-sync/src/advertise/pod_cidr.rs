//! Type PodCIDR: the pod CIDRs of the node itself.

use std::collections::BTreeSet;

use ipnet::IpNet;
use rutter_api::intent::Origin;

use super::{Advertiser, Entry, Offer, Offers, fits, suffix};
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};

/// Statements of this type are evaluated after those of interfaces and before those of services.
const PRIORITY: u8 = 30;

pub(super) fn offer(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let node = ObjectRef::cluster("Node", &advertiser.local.name);
    let written = advertiser.view.as_ref().map(|view| view.pod_cidrs()).unwrap_or_default();
    if written.is_empty() {
        return report.add(Finding::on(&node, "spec.podCIDRs", Reason::NoPodCidr));
    }
    let mut prefixes = BTreeSet::new();
    for text in written {
        match text.parse::<IpNet>() {
            Ok(prefix) if fits(entry.family, matches!(prefix, IpNet::V4(_))) => {
                prefixes.insert(prefix.trunc());
            }
            Ok(_other_family) => {}
            Err(_no_cidr) => {
                let reason = Reason::PodCidrInvalid { value: text.to_owned() };
                report.add(Finding::on(&node, "spec.podCIDRs", reason));
            }
        }
    }
    if prefixes.is_empty() {
        return;
    }
    offers.add(Offer {
        priority: PRIORITY,
        statement: format!("PodCIDR-{}", suffix(entry.family)),
        source: format!("PodCIDR {}", advertiser.local.name),
        family: entry.family,
        prefixes,
        attributes: entry.attributes.clone(),
        origin: Origin::Igp,
    });
}
