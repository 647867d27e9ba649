//! A Service as explanations show it: what the catalogue decided about it, before any advertisement is asked.

use std::collections::BTreeSet;

use ipnet::IpNet;
use rutter_api::explain::Stop;
use rutter_api::explain::chain::{AddressFacts, ServiceFacts};

use super::{KINDS, ServiceState, word};
use crate::advertise::Advertiser;
use crate::object::{NamespacedName, ObjectRef};
use crate::report::{Finding, Reason};
use crate::trace::stop;

impl Advertiser<'_> {
    /// What is known about a Service here; nothing if there is none.
    pub(crate) fn service_facts(&self, name: &NamespacedName) -> Option<ServiceFacts> {
        let (service, state) = (self.snapshot.services.get(name)?, self.services.get(name)?);
        let object = ObjectRef::namespaced("Service", name);
        let note = |reason: &Reason| stop(&Finding::about(&object, reason.clone()));
        let spec = &service.spec;
        let mut addresses = Vec::new();
        for kind in KINDS {
            let of_kind = state.addresses(kind);
            let frontends = of_kind.frontends.iter().map(|frontend| {
                let stop = frontend.refused.as_ref().map(note);
                AddressFacts { r#type: word(kind).to_owned(), address: Some(frontend.address), stop }
            });
            addresses.extend(frontends);
            let refused = of_kind.refused.iter().map(|(field, reason)| AddressFacts {
                r#type: word(kind).to_owned(),
                address: None,
                stop: Some(Stop { field: Some((*field).to_owned()), ..note(reason) }),
            });
            addresses.extend(refused);
        }
        let reach = state.backends.most();
        let word_or = |word: Option<&str>, default: &str| word.unwrap_or(default).to_owned();
        Some(ServiceFacts {
            name: name.to_string(),
            r#type: spec.type_.as_str().to_owned(),
            load_balancer_class: spec.load_balancer_class.as_deref().map(str::to_owned),
            labels: spec.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            external_traffic_policy: word_or(spec.external_traffic_policy.as_deref(), "Cluster"),
            internal_traffic_policy: word_or(spec.internal_traffic_policy.as_deref(), "Cluster"),
            addresses,
            endpoints_here: reach.here,
            endpoints_anywhere: reach.anywhere,
            notes: state.refused.iter().chain(&state.ignored).map(note).collect(),
        })
    }

    /// The Services with an address inside a prefix, announced or not.
    pub(crate) fn services_within(&self, prefix: &IpNet) -> BTreeSet<NamespacedName> {
        let within = |state: &ServiceState| {
            let mut frontends = KINDS.into_iter().flat_map(|kind| &state.addresses(kind).frontends);
            frontends.any(|frontend| prefix.contains(&frontend.address))
        };
        self.services.iter().filter(|state| within(state)).map(|state| (*state.name).clone()).collect()
    }
}
