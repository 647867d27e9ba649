//! All Services as this node sees them, by name.
//!
//! Invariant: a Service is decided anew only if it, or one of its EndpointSlices, is another object than in the catalogue
//! before.

use std::sync::Arc;

use super::frontend::ServiceState;
use crate::object::{EndpointSlice, NamespacedName};
use crate::options::Options;
use crate::snapshot::{NodeView, Snapshot};
use crate::translate::LocalNode;

/// The Services, sorted by name.
#[derive(Debug, Default)]
pub(in crate::advertise) struct Catalogue(Vec<Arc<ServiceState>>);

impl Catalogue {
    /// The Services of a snapshot. `before` was made for the same node, labels and options.
    pub(in crate::advertise) fn new(
        snapshot: &Snapshot,
        local: &LocalNode,
        view: Option<&NodeView<'_>>,
        options: &Options,
        before: &Self,
    ) -> Self {
        let mut states = Vec::with_capacity(snapshot.services.len());
        // Both maps are sorted by the name of the Service: one walk over each is enough.
        let mut all_slices = snapshot.endpoint_slices.iter().peekable();
        let mut at = 0;
        for (name, service) in snapshot.services.iter() {
            while all_slices.next_if(|(of, _)| **of < **name).is_some() {}
            let slices: &[Arc<EndpointSlice>] = all_slices
                .next_if(|(of, _)| **of == **name)
                .map(|(_, slices)| slices.as_slice())
                .unwrap_or_default();
            while before.0.get(at).is_some_and(|old| !Arc::ptr_eq(&old.service, service) && old.name < *name)
            {
                at += 1;
            }
            let known = before.0.get(at).filter(|old| old.is_of(service, slices));
            states.push(match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(ServiceState::new((service, slices), &local.name, view, options)),
            });
        }
        Self(states)
    }

    pub(in crate::advertise) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::advertise) fn iter(&self) -> impl Iterator<Item = &Arc<ServiceState>> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<&ServiceState> {
        let at = self.0.binary_search_by(|state| (*state.name).cmp(name)).ok()?;
        self.0.get(at).map(AsRef::as_ref)
    }

    /// Where in a list that is sorted by Service the very state of this one is, if it is there. To be called with one Service
    /// after another; `at` is how far the list has been walked.
    pub(in crate::advertise) fn follow<T>(
        list: &[T],
        at: &mut usize,
        state_of: impl Fn(&T) -> &Arc<ServiceState>,
        state: &Arc<ServiceState>,
    ) -> Option<usize> {
        while let Some(old) = list.get(*at).map(&state_of) {
            if Arc::ptr_eq(old, state) {
                return Some(*at);
            }
            if old.name >= state.name {
                return None;
            }
            *at += 1;
        }
        None
    }
}
