//! What translation records about one subject while it decides: the links of [`rutter_api::explain::chain`].
//!
//! A [`Report`](crate::report::Report) carries a trace when somebody asked for an explanation, and none otherwise; every
//! finding that is added to the report is noted on the innermost link that is open. Invariant: nothing is decided here,
//! and a translation with a trace gives the same intent and the same findings as one without.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use rutter_api::explain::Stop;
use rutter_api::explain::chain::{
    AdvertisementChain, EntryChain, FamilyChain, InstanceChain, Offer, PeerChain,
};
use rutter_crds::bgp_advertisement::BGPAdvertisementType;

use crate::advertise;
use crate::object::{NamespacedName, ObjectRef};
use crate::report::{Finding, Reason};

/// Which objects the explanation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// These Services; only offers of these prefixes, if some are named.
    Services { names: BTreeSet<NamespacedName>, only: Option<IpNet> },
    /// A prefix that belongs to no Service.
    Prefix(IpNet),
    /// The node: links, but not the objects that its entries select.
    Node,
}

/// The links, in the order they were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    about: About,
    open: Level,
    pub(crate) node: Vec<Stop>,
    pub(crate) instances: Vec<InstanceChain>,
}

/// How deep the innermost open link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Node,
    Instance,
    Peer,
    Family,
    Entry,
}

impl Trace {
    pub(crate) fn new(about: About) -> Self {
        Self { about, open: Level::Node, node: Vec::new(), instances: Vec::new() }
    }

    /// An instance of the node's configuration comes next.
    pub(crate) fn instance(&mut self, name: &str) {
        self.open = Level::Instance;
        self.instances.push(InstanceChain { name: name.to_owned(), ..InstanceChain::default() });
    }

    /// A peer of the instance comes next.
    pub(crate) fn peer(&mut self, name: &str, config: Option<&str>) {
        self.open = Level::Peer;
        if let Some(instance) = self.instances.last_mut() {
            let peer_config = config.map(str::to_owned);
            instance.peers.push(PeerChain { name: name.to_owned(), peer_config, ..PeerChain::default() });
        }
    }

    /// A selector of advertisements of the peer comes next.
    pub(crate) fn family(&mut self, family: &str, field: &str, selector: String) {
        self.open = Level::Family;
        if let Some(peer) = self.last_peer() {
            let (family, field) = (family.to_owned(), field.to_owned());
            peer.families.push(FamilyChain { family, field, selector, ..FamilyChain::default() });
        }
    }

    /// An advertisement was compared with the selector: `unmet` is what its labels do not meet.
    pub(crate) fn advertisement(&mut self, name: &str, unmet: &[String]) {
        self.open = Level::Family;
        let stop = (!unmet.is_empty()).then(|| {
            let object = ObjectRef::cluster("CiliumBGPAdvertisement", name);
            stop(&Finding::about(&object, Reason::AdvertisementNotSelected { unmet: unmet.join("; ") }))
        });
        if let Some(family) = self.last_peer().and_then(|peer| peer.families.last_mut()) {
            let name = name.to_owned();
            family.advertisements.push(AdvertisementChain { name, stop, entries: Vec::new() });
        }
    }

    /// An entry of the advertisement comes next.
    pub(crate) fn entry(&mut self, field: &str, kind: BGPAdvertisementType) {
        self.open = Level::Entry;
        let family = self.last_peer().and_then(|peer| peer.families.last_mut());
        if let Some(advertisement) = family.and_then(|family| family.advertisements.last_mut()) {
            let (field, kind) = (field.to_owned(), format!("{kind:?}"));
            advertisement.entries.push(EntryChain { field, r#type: kind, ..EntryChain::default() });
        }
    }

    /// Whatever comes next is about the link of this level that is open.
    pub(crate) fn back_to(&mut self, level: Level) {
        self.open = self.open.min(level);
    }

    /// The entry selects a Service, or does not.
    pub(crate) fn service(&mut self, name: &NamespacedName, unmet: impl FnOnce() -> Vec<String>) {
        if !self.is_about(name) {
            return;
        }
        let object = ObjectRef::namespaced("Service", name);
        let unmet = unmet();
        let Some(entry) = self.last_entry() else { return };
        if unmet.is_empty() {
            entry.selected.push(object.to_string());
        } else {
            let reason = Reason::ServiceNotSelected { unmet: unmet.join("; ") };
            entry.notes.push(stop(&Finding::about(&object, reason)));
        }
    }

    /// Whether the explanation is about this Service.
    pub(crate) fn is_about(&self, service: &NamespacedName) -> bool {
        matches!(&self.about, About::Services { names, .. } if names.contains(service))
    }

    /// The entry offers prefixes; `service` is whose they are, if they are a Service's.
    pub(crate) fn offer(&mut self, service: Option<&NamespacedName>, offer: &advertise::Offer) {
        let about = self.about.clone();
        let wanted = |prefix: &IpNet| match &about {
            About::Services { names, only } => {
                let named = service.is_some_and(|service| names.contains(service));
                only.map_or(named, |only| only == *prefix)
            }
            About::Prefix(only) => only == prefix,
            About::Node => false,
        };
        let Some(entry) = self.last_entry() else { return };
        entry.prefixes += offer.prefixes.len();
        let wanted = offer.prefixes.iter().filter(|prefix| wanted(prefix));
        entry.offers.extend(wanted.map(|prefix| Offer {
            source: offer.source.to_string(),
            prefix: *prefix,
            statement: offer.statement.name.clone(),
        }));
    }

    /// A finding was made.
    pub(crate) fn finding(&mut self, finding: &Finding) {
        let service = finding.object.as_ref().filter(|object| object.kind == "Service");
        if let Some(service) = service {
            let namespace = service.namespace.as_deref().unwrap_or_default();
            if !self.is_about(&NamespacedName::new(namespace, &service.name)) {
                return;
            }
        }
        let elsewhere =
            |only: &IpNet| address(&finding.reason).is_some_and(|address| !only.contains(&address));
        if matches!(&self.about, About::Services { only: Some(only), .. } if elsewhere(only)) {
            return;
        }
        let about_services = matches!(self.about, About::Services { only: None, .. });
        let notes = match self.open {
            Level::Node => Some(&mut self.node),
            Level::Instance => self.instances.last_mut().map(|instance| &mut instance.notes),
            Level::Peer => self.last_peer().map(|peer| &mut peer.notes),
            Level::Family => {
                self.last_peer().and_then(|peer| peer.families.last_mut()).map(|family| &mut family.notes)
            }
            // What keeps a pod CIDR in is no answer to a question about a Service.
            Level::Entry => self
                .last_entry()
                .filter(|entry| entry.r#type == "Service" || !about_services)
                .map(|entry| &mut entry.notes),
        };
        let stop = stop(finding);
        if let Some(notes) = notes.filter(|notes| !notes.contains(&stop)) {
            notes.push(stop);
        }
    }

    fn last_peer(&mut self) -> Option<&mut PeerChain> {
        self.instances.last_mut()?.peers.last_mut()
    }

    fn last_entry(&mut self) -> Option<&mut EntryChain> {
        self.last_peer()?.families.last_mut()?.advertisements.last_mut()?.entries.last_mut()
    }
}

/// The address that a reason is about, if it is about one.
fn address(reason: &Reason) -> Option<IpAddr> {
    match reason {
        Reason::NoLocalEndpoint { address, .. }
        | Reason::NoEndpoint { address }
        | Reason::NodeExcluded { address }
        | Reason::FamilyDisabled { address }
        | Reason::AddressOfOtherFamily { address, .. } => Some(*address),
        _ => None,
    }
}

/// A finding as an explanation has it.
pub(crate) fn stop(finding: &Finding) -> Stop {
    Stop {
        reason: finding.reason.name().to_owned(),
        severity: finding.severity().as_str().to_owned(),
        object: finding.object.as_ref().map(ToString::to_string),
        field: finding.field.clone(),
        message: finding.reason.to_string(),
    }
}
