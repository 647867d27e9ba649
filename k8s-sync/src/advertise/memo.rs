//! What one pass leaves to the next: decisions about objects that have not changed.
//!
//! Objects are immutable and shared, so an object that is still the same allocation is the same object. Invariant: a pass
//! with a memo gives exactly what it gives without; what is kept here is only ever a result of the same function from
//! the same inputs. Everything that is not an input of one Service's decision is the [`Context`], and when that changes nothing is kept.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use rutter_api::intent::Family;
use rutter_crds::CiliumBGPAdvertisement;

use super::offers::Offer;
use super::service::{Catalogue, ServiceState};
use crate::options::Options;
use crate::report::Finding;
use crate::snapshot::{NodeView, Snapshot};
use crate::translate::LocalNode;

/// Decisions of the pass before.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    context: Option<Context>,
    services: Catalogue,
    parts: Parts,
}

/// What every Service's decision depends on, beside the Service and its EndpointSlices.
#[derive(Clone, Debug, PartialEq)]
struct Context {
    node: String,
    labels: Option<BTreeMap<String, String>>,
    options: Options,
}

impl Context {
    fn new(local: &LocalNode, view: Option<&NodeView<'_>>, options: &Options) -> Self {
        let labels = view.and_then(NodeView::labels).cloned();
        Self { node: local.name.clone(), labels, options: options.clone() }
    }
}

impl Memo {
    /// All Services of a snapshot, and what entries offered of them.
    pub(super) fn catalogue(
        self,
        snapshot: &Snapshot,
        local: &LocalNode,
        view: Option<&NodeView<'_>>,
        options: &Options,
    ) -> (Catalogue, Parts) {
        let kept = self.context == Some(Context::new(local, view, options));
        let (before, parts) = if kept { (self.services, self.parts) } else { Default::default() };
        let before_parts = Parts { before: parts.now, now: Vec::new() };
        (Catalogue::new(snapshot, local, view, options, &before), before_parts)
    }

    pub(super) fn of(
        local: &LocalNode,
        view: Option<&NodeView<'_>>,
        options: &Options,
        services: Catalogue,
        parts: Parts,
    ) -> Self {
        Self { context: Some(Context::new(local, view, options)), services, parts }
    }
}

/// What entries offer of Services.
#[derive(Debug, Default)]
pub(super) struct Parts {
    before: Vec<OfEntry>,
    now: Vec<OfEntry>,
}

/// One entry, in one family.
#[derive(Clone, Debug)]
struct OfEntry {
    advertisement: Arc<CiliumBGPAdvertisement>,
    index: usize,
    family: Family,
    services: Arc<Vec<OfService>>,
}

/// What one entry offers of one Service.
#[derive(Clone, Debug)]
pub(super) struct OfService {
    state: Arc<ServiceState>,
    /// Nothing if the entry does not select it.
    pub(super) part: Option<Arc<Part>>,
}

/// Offers and findings.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) offers: Vec<Arc<Offer>>,
    pub(super) findings: Vec<Arc<Finding>>,
}

impl Parts {
    /// What an entry offers, Service by Service in the catalogue's order. `decide` is asked only about those that are new or have
    /// changed since the pass before.
    pub(super) fn of(
        &mut self,
        (advertisement, index): (&Arc<CiliumBGPAdvertisement>, usize),
        family: Family,
        catalogue: &Catalogue,
        mut decide: impl FnMut(&ServiceState) -> Option<Part>,
    ) -> Arc<Vec<OfService>> {
        let is_it = |entry: &&OfEntry| {
            Arc::ptr_eq(&entry.advertisement, advertisement) && entry.index == index && entry.family == family
        };
        if let Some(known) = self.now.iter().find(is_it) {
            return Arc::clone(&known.services);
        }
        let before = self.before.iter().position(|entry| is_it(&entry)).map(|at| self.before.swap_remove(at));
        let mut before = before.map(|entry| Arc::unwrap_or_clone(entry.services)).unwrap_or_default();
        let mut at = 0;
        let mut services = Vec::with_capacity(catalogue.len());
        for state in catalogue.iter() {
            let known = Catalogue::follow(&before, &mut at, |old: &OfService| &old.state, state);
            let part = match known.and_then(|known| before.get_mut(known)) {
                Some(known) => mem::take(&mut known.part),
                None => decide(state).map(Arc::new),
            };
            services.push(OfService { state: Arc::clone(state), part });
        }
        let services = Arc::new(services);
        let advertisement = Arc::clone(advertisement);
        self.now.push(OfEntry { advertisement, index, family, services: Arc::clone(&services) });
        services
    }
}
