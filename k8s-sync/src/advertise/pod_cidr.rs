//! Type PodCIDR: the pod CIDRs of the node itself, in IPAM modes where it has some.

use ipnet::IpNet;
use rutter_api::intent::Origin;

use super::{Advertiser, Entry, Offer, Offers, fits, propose, suffix};
use crate::object::ObjectRef;
use crate::options::Ipam;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::NodeView;

/// Statements of this type are evaluated after those of interfaces and before those of services.
const PRIORITY: u8 = 30;

pub(super) fn offer(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let mode = advertiser.options.ipam;
    if !mode.has_pod_cidrs() {
        let (kind, mode, wanted) = ("PodCIDR", mode.as_str(), "kubernetes or cluster-pool");
        let reason = Reason::NotInIpamMode { kind, mode, wanted };
        return report.add(Finding::on(entry.object, format!("{}.advertisementType", entry.field), reason));
    }
    let node = ObjectRef::cluster("Node", &advertiser.local.name);
    if mode == Ipam::Any && advertiser.view.as_ref().is_some_and(NodeView::lives_on_pools) {
        return report.add(Finding::on(&node, "spec.podCIDRs", Reason::PodsFromPools));
    }
    let written = advertiser.view.as_ref().map(|view| view.pod_cidrs()).unwrap_or_default();
    if written.is_empty() {
        return report.add(Finding::on(&node, "spec.podCIDRs", Reason::NoPodCidr));
    }
    let mut prefixes = Vec::new();
    for text in written {
        match text.parse::<IpNet>() {
            Ok(prefix) if fits(entry.family, matches!(prefix, IpNet::V4(_))) => {
                prefixes.push(prefix.trunc());
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
    let offer = Offer::new(
        PRIORITY,
        (format!("PodCIDR-{}", suffix(entry.family)), format!("PodCIDR {}", advertiser.local.name)),
        entry.family,
        prefixes,
        &entry.attributes,
        Origin::Igp,
    );
    propose(offer, None, report, offers);
}
