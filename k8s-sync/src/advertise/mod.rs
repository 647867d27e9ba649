//! What a node offers to its peers: one file per advertisement type, one row in [`TYPES`].
//!
//! An offer becomes one statement of the export policies of the peers that select it, and its prefixes become routes of
//! the instance. Entries of the same kind about the same thing are merged: prefixes and communities add up, the highest
//! local preference wins. (Cilium merges Service entries so, and of two PodCIDR entries loses one.)

mod attributes;
mod interface;
mod pod_cidr;
mod pod_ip_pool;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use rutter_api::intent::{Family, Origin};
use rutter_crds::LabelSelector;
use rutter_crds::bgp_advertisement::{BGPAdvertisement, BGPAdvertisementType};

pub(crate) use attributes::Attributes;
use service::Catalogue;

use crate::object::{NamespacedName, ObjectRef};
use crate::options::Options;
use crate::report::{Finding, Report};
use crate::snapshot::{NodeView, Snapshot};
use crate::translate::LocalNode;

/// Prefixes that leave together, with the same attributes, for the same reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Order of evaluation among statements; smaller first.
    pub(crate) priority: u8,
    /// Name of the statement.
    pub(crate) statement: String,
    /// What it is about; two offers with the same statement name and different sources stay apart.
    pub(crate) source: String,
    pub(crate) family: Family,
    pub(crate) prefixes: BTreeSet<IpNet>,
    pub(crate) attributes: Attributes,
    pub(crate) origin: Origin,
}

/// Offers without duplicates, by priority and statement name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers(BTreeMap<(u8, String, String), Offer>);

impl Offers {
    /// Adds an offer, merged with an earlier one about the same thing.
    pub(crate) fn add(&mut self, offer: Offer) {
        let key = (offer.priority, offer.statement.clone(), offer.source.clone());
        match self.0.get_mut(&key) {
            Some(known) => {
                known.prefixes.extend(offer.prefixes);
                known.attributes.merge(offer.attributes);
            }
            None => {
                self.0.insert(key, offer);
            }
        }
    }

    /// Adds all offers of another peer.
    pub(crate) fn merge(&mut self, other: Self) {
        other.0.into_values().for_each(|offer| self.add(offer));
    }

    /// The offers, in order of evaluation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.0.values()
    }
}

/// Answers what a node offers; looks at each service once, however many peers ask.
pub(crate) struct Advertiser<'s> {
    snapshot: &'s Snapshot,
    local: &'s LocalNode,
    view: Option<NodeView<'s>>,
    options: &'s Options,
    services: Catalogue<'s>,
}

/// One entry of a CiliumBGPAdvertisement, with its place.
pub(crate) struct Entry<'s> {
    object: &'s ObjectRef,
    field: String,
    advertisement: &'s BGPAdvertisement,
    attributes: Attributes,
    family: Family,
}

/// Adds an offer, and records it; `service` is whose it is, if it is a Service's.
fn propose(offer: Offer, service: Option<&NamespacedName>, report: &mut Report, offers: &mut Offers) {
    report.record(|trace| trace.offer(service, &offer));
    offers.add(offer);
}

/// How a type turns an entry into offers.
type Offering = fn(&Advertiser<'_>, &Entry<'_>, &mut Report, &mut Offers);

/// The advertisement types. A new one is a file here and a row.
const TYPES: &[(BGPAdvertisementType, Offering)] = &[
    (BGPAdvertisementType::PodCIDR, pod_cidr::offer),
    (BGPAdvertisementType::Service, service::offer),
    (BGPAdvertisementType::CiliumPodIPPool, pod_ip_pool::offer),
    (BGPAdvertisementType::Interface, interface::offer),
];

impl<'s> Advertiser<'s> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        local: &'s LocalNode,
        view: Option<NodeView<'s>>,
        options: &'s Options,
    ) -> Self {
        let services = Catalogue::new(snapshot, local, view.as_ref(), options);
        Self { snapshot, local, view, options, services }
    }

    /// Collects what the selected advertisements offer in a family. Returns whether any was selected.
    pub(crate) fn offers(
        &self,
        selector: &LabelSelector,
        family: Family,
        report: &mut Report,
        offers: &mut Offers,
    ) -> bool {
        let mut found = false;
        for (name, advertisement) in self.snapshot.advertisements.iter() {
            let labels = advertisement.metadata.labels.as_ref();
            let label = |key: &str| labels?.get(key).map(String::as_str);
            report.record(|trace| {
                let unmet: Vec<String> = selector.unmet(label).map(|unmet| unmet.to_string()).collect();
                trace.advertisement(name, &unmet);
            });
            if !selector.matches(label) {
                continue;
            }
            found = true;
            let object = ObjectRef::cluster("CiliumBGPAdvertisement", name);
            for (index, advertisement) in advertisement.spec.advertisements.iter().enumerate() {
                let field = format!("spec.advertisements[{index}]");
                self.entry(&object, field, advertisement, family, report, offers);
            }
        }
        found
    }

    fn entry(
        &self,
        object: &ObjectRef,
        field: String,
        advertisement: &BGPAdvertisement,
        family: Family,
        report: &mut Report,
        offers: &mut Offers,
    ) {
        let row = TYPES.iter().find(|(kind, ..)| *kind == advertisement.advertisement_type);
        let Some((_, offering)) = row else { return };
        report.record(|trace| trace.entry(&field, advertisement.advertisement_type));
        match Attributes::read(advertisement.attributes.as_ref()) {
            Ok(attributes) => {
                offering(self, &Entry { object, field, advertisement, attributes, family }, report, offers);
            }
            // Without an attribute that was asked for, the route could go where it must not.
            Err(problems) => report.extend(
                problems
                    .into_iter()
                    .map(|(at, reason)| Finding::on(object, format!("{field}.attributes.{at}"), reason)),
            ),
        }
    }
}

/// `ipv4` or `ipv6`, as statement names end.
fn suffix(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

/// Whether a prefix or address of this kind is carried in the family.
fn fits(family: Family, is_ipv4: bool) -> bool {
    is_ipv4 == (family == Family::Ipv4Unicast)
}
