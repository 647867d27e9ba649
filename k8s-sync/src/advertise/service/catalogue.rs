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

/// The Services, sorted by namespace and name.
#[derive(Debug, Default)]
pub(in crate::advertise) struct Catalogue {
    states: Vec<Arc<ServiceState>>,
    /// Indices of the same, by name and namespace: nearly the order of statement names, so that sorting those is cheap.
    by_name: Vec<usize>,
}

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
        // Where each Service of the catalogue before is now.
        let mut moved = vec![None; before.states.len()];
        let mut fresh = Vec::new();
        // Both maps are sorted by the name of the Service: one walk over each is enough.
        let mut all_slices = snapshot.endpoint_slices.iter().peekable();
        let mut at = 0;
        for (name, service) in snapshot.services.iter() {
            // Most have not changed, and comparing addresses of objects spares comparing names, which lie all over memory.
            let old = before.states.get(at).filter(|old| Arc::ptr_eq(&old.service, service));
            let next = all_slices.peek().map(|(_, slices)| slices.as_slice()).unwrap_or_default();
            if let Some(old) = old.filter(|old| !next.is_empty() && old.is_of(service, next)) {
                all_slices.next();
                moved[at] = Some(states.len());
                states.push(Arc::clone(old));
                at += 1;
                continue;
            }
            while all_slices.next_if(|(of, _)| **of < **name).is_some() {}
            let slices: &[Arc<EndpointSlice>] = all_slices
                .next_if(|(of, _)| **of == **name)
                .map(|(_, slices)| slices.as_slice())
                .unwrap_or_default();
            while before.states.get(at).is_some_and(|old| *old.name < **name) {
                at += 1;
            }
            let old = before.states.get(at).filter(|old| *old.name == **name);
            match (old, moved.get_mut(at)) {
                (Some(_), Some(moved)) => *moved = Some(states.len()),
                _ => fresh.push(states.len()),
            }
            states.push(match old.filter(|old| old.is_of(service, slices)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(ServiceState::new((service, slices), &local.name, view, options)),
            });
        }
        let kept = before.by_name.iter().filter_map(|old| *moved.get(*old)?).collect();
        Self { by_name: by_name(&states, kept, fresh), states }
    }

    pub(in crate::advertise) fn len(&self) -> usize {
        self.states.len()
    }

    pub(in crate::advertise) fn iter(&self) -> impl Iterator<Item = &Arc<ServiceState>> {
        self.states.iter()
    }

    /// Indices by name, then namespace.
    pub(in crate::advertise) fn by_name(&self) -> &[usize] {
        &self.by_name
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<&ServiceState> {
        let at = self.states.binary_search_by(|state| (*state.name).cmp(name)).ok()?;
        self.states.get(at).map(AsRef::as_ref)
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

/// All indices by name: those that were there before are in order, and few are fresh, but for the first time.
fn by_name(states: &[Arc<ServiceState>], mut sorted: Vec<usize>, fresh: Vec<usize>) -> Vec<usize> {
    let key = |index: usize| states.get(index).map(|state| (&state.name.name, &state.name.namespace));
    if fresh.len() > states.len() / 16 {
        sorted.extend(fresh);
        sorted.sort_by_key(|index| key(*index));
        return sorted;
    }
    for index in fresh {
        let at = sorted.partition_point(|other| key(*other) < key(index));
        sorted.insert(at, index);
    }
    sorted
}
