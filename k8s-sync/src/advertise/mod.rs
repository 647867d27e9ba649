//! What a node offers to its peers: one file per advertisement type, one row in [`TYPES`].
//!
//! An offer becomes one statement of the export policies of the peers that select it, and its prefixes become routes of
//! the instance. Entries of the same kind about the same thing are merged: prefixes and communities add up, the highest
//! local preference wins. (Cilium merges Service entries so, and of two PodCIDR entries loses one.)

mod attributes;
mod interface;
mod memo;
mod offers;
mod pod_cidr;
mod pod_ip_pool;
mod service;

use std::cell::RefCell;
use std::sync::Arc;

use rutter_api::intent::Family;
use rutter_crds::bgp_advertisement::{BGPAdvertisement, BGPAdvertisementType};
use rutter_crds::{CiliumBGPAdvertisement, LabelSelector};

pub(crate) use attributes::Attributes;
pub(crate) use memo::Memo;
use memo::Parts;
pub(crate) use offers::{Offer, OfferSet, Offers};
use service::Catalogue;

use crate::object::{NamespacedName, ObjectRef};
use crate::options::Options;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::{NodeView, Snapshot};
use crate::translate::{LocalNode, selector_reason};

/// Answers what a node offers; looks at each service once, however many peers ask.
pub(crate) struct Advertiser<'s> {
    snapshot: &'s Snapshot,
    local: &'s LocalNode,
    view: Option<NodeView<'s>>,
    options: &'s Options,
    services: Catalogue,
    /// What entries offer of Services, from the pass before and from this one.
    parts: RefCell<Parts>,
}

/// One entry of a CiliumBGPAdvertisement, with its place.
pub(crate) struct Entry<'s> {
    object: &'s ObjectRef,
    field: String,
    advertisement: &'s BGPAdvertisement,
    /// The object it is in, and where.
    of: (&'s Arc<CiliumBGPAdvertisement>, usize),
    attributes: Arc<Attributes>,
    family: Family,
}

impl<'s> Entry<'s> {
    /// The selector, if there is one that can be evaluated; else the report says what to write.
    fn selector(&self, report: &mut Report) -> Option<&'s LabelSelector> {
        let Some(selector) = &self.advertisement.selector else {
            let field = format!("{}.selector", self.field);
            report.add(Finding::on(self.object, field, Reason::SelectorAbsent));
            return None;
        };
        if let Some(problem) = selector.problem() {
            let field = format!("{}.selector.matchExpressions", self.field);
            report.add(Finding::on(self.object, field, selector_reason(problem)));
            return None;
        }
        Some(selector)
    }
}

/// Adds an offer, and records it; `service` is whose it is, if it is a Service's.
fn propose(offer: Offer, service: Option<&NamespacedName>, report: &mut Report, offers: &mut Offers) {
    report.record(|trace| trace.offer(service, &offer));
    offers.add(Arc::new(offer));
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
        memo: Memo,
    ) -> Self {
        let (services, parts) = memo.catalogue(snapshot, local, view.as_ref(), options);
        Self { snapshot, local, view, options, services, parts: RefCell::new(parts) }
    }

    /// What the next pass can use.
    pub(crate) fn into_memo(self) -> Memo {
        Memo::of(self.local, self.view.as_ref(), self.options, self.services, self.parts.into_inner())
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
            for index in 0..advertisement.spec.advertisements.len() {
                self.entry(&object, (advertisement, index), family, report, offers);
            }
        }
        found
    }

    fn entry(
        &self,
        object: &ObjectRef,
        of: (&Arc<CiliumBGPAdvertisement>, usize),
        family: Family,
        report: &mut Report,
        offers: &mut Offers,
    ) {
        let Some(advertisement) = of.0.spec.advertisements.get(of.1) else { return };
        let field = format!("spec.advertisements[{}]", of.1);
        let row = TYPES.iter().find(|(kind, ..)| *kind == advertisement.advertisement_type);
        let Some((_, offering)) = row else { return };
        report.record(|trace| trace.entry(&field, advertisement.advertisement_type));
        match Attributes::read(advertisement.attributes.as_ref()) {
            Ok(attributes) => {
                let entry =
                    Entry { object, field, advertisement, of, attributes: Arc::new(attributes), family };
                offering(self, &entry, report, offers);
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
