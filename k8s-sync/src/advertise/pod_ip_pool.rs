//! Type CiliumPodIPPool: the CIDRs that the node holds out of the selected pools (IPAM mode `multi-pool`).
//!
//! Invariant: a CIDR is announced only while its pool exists and cuts pieces of exactly that length.

use ipnet::IpNet;
use rutter_api::intent::{Family, Origin};
use rutter_crds::CiliumPodIPPool;

use super::{Advertiser, Entry, Offer, Offers, fits, propose, suffix};
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};

/// Statements of this type are evaluated last.
const PRIORITY: u8 = 50;
/// So much of a pool's name goes into the statement's: names of pools may have 253 characters, those of statements 255.
/// Two pools that are alike so far stay two, as their sources differ.
const NAME_IN_STATEMENT: usize = 220;
const NAME_LABEL: &str = "io.cilium.podippool.name";
const NAMESPACE_LABEL: &str = "io.cilium.podippool.namespace";

pub(super) fn offer(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    report: &mut Report,
    offers: &mut Offers,
) {
    let Entry { object, field, .. } = entry;
    let Some(selector) = entry.selector(report) else { return };
    if !advertiser.options.ipam.has_pools() {
        let (kind, mode) = ("CiliumPodIPPool", advertiser.options.ipam.as_str());
        let reason = Reason::NotInIpamMode { kind, mode, wanted: "multi-pool" };
        return report.add(Finding::on(object, format!("{field}.advertisementType"), reason));
    }
    let mut found = false;
    for (name, pool) in advertiser.snapshot.pod_ip_pools.iter() {
        let labels = pool.metadata.labels.as_ref();
        let selected = selector.matches(|key| match key {
            NAME_LABEL => Some(name.as_str()),
            // The kind is cluster-scoped; Cilium sets the label all the same.
            NAMESPACE_LABEL => Some(pool.metadata.namespace.as_deref().unwrap_or_default()),
            _ => labels?.get(key).map(String::as_str),
        });
        if selected {
            found = true;
            one_pool(advertiser, entry, name, pool, report, offers);
        }
    }
    if !found {
        report.add(Finding::on(object, format!("{field}.selector"), Reason::SelectorMatchesNoPool));
    }
}

fn one_pool(
    advertiser: &Advertiser<'_>,
    entry: &Entry<'_>,
    name: &str,
    pool: &CiliumPodIPPool,
    report: &mut Report,
    offers: &mut Offers,
) {
    let node = ObjectRef::cluster("CiliumNode", &advertiser.local.name);
    let allocated = advertiser.view.iter().flat_map(|view| view.pool_cidrs());
    let texts: Vec<&String> = allocated.filter(|(of, _)| *of == name).flat_map(|(_, cidrs)| cidrs).collect();
    if texts.is_empty() {
        let reason = Reason::NoPoolCidr { pool: name.to_owned() };
        return report.add(Finding::on(&node, "spec.ipam.pools.allocated", reason));
    }
    let mut prefixes = Vec::new();
    for text in texts {
        let reason = match text.parse::<IpNet>() {
            Ok(prefix) if !fits(entry.family, matches!(prefix, IpNet::V4(_))) => continue,
            Ok(prefix) => match mask_size(pool, entry.family) {
                Some(length) if length == prefix.prefix_len() => {
                    prefixes.push(prefix.trunc());
                    continue;
                }
                length => Reason::PoolMaskSizeDiffers {
                    prefix,
                    pool: name.to_owned(),
                    length: length.map_or_else(
                        || "no mask size for the family".to_owned(),
                        |n| format!("maskSize {n}"),
                    ),
                },
            },
            Err(_no_cidr) => Reason::PodCidrInvalid { value: text.clone() },
        };
        report.add(Finding::on(&node, "spec.ipam.pools.allocated", reason));
    }
    if prefixes.is_empty() {
        return;
    }
    let in_statement: String = name.chars().take(NAME_IN_STATEMENT).collect();
    let offer = Offer::new(
        PRIORITY,
        (
            format!("CiliumPodIPPool-{in_statement}-{}", suffix(entry.family)),
            format!("CiliumPodIPPool {name}"),
        ),
        entry.family,
        prefixes,
        &entry.attributes,
        Origin::Igp,
    );
    propose(offer, None, report, offers);
}

fn mask_size(pool: &CiliumPodIPPool, family: Family) -> Option<u8> {
    match family {
        Family::Ipv4Unicast => pool.spec.ipv4.as_ref().map(|part| part.mask_size),
        Family::Ipv6Unicast => pool.spec.ipv6.as_ref().map(|part| part.mask_size),
    }
}
