//! Offers: prefixes that leave together, each with its policy statement, and the sets of them that peers are offered.
//!
//! Invariant: a set is sorted by priority, then name of the statement; each statement has its own name; and a prefix that
//! several offers of one priority have carries the attributes of all of them.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use rutter_api::intent::{Actions, Family, Origin, PrefixMatch, SourceMatch, Statement, Verdict};

use super::Attributes;

/// Prefixes that leave together, with the same attributes, for the same reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Order of evaluation among statements; smaller first.
    pub(crate) priority: u8,
    /// What it is about; two offers with the same statement name and different sources stay apart.
    pub(crate) source: Arc<str>,
    pub(crate) family: Family,
    /// In order, each once.
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) attributes: Arc<Attributes>,
    pub(crate) origin: Origin,
    /// The statement that lets them out.
    pub(crate) statement: Arc<Statement>,
}

impl Offer {
    /// An offer of these prefixes, which are put in order.
    pub(crate) fn new(
        priority: u8,
        (name, source): (String, impl Into<Arc<str>>),
        family: Family,
        mut prefixes: Vec<IpNet>,
        attributes: &Arc<Attributes>,
        origin: Origin,
    ) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup();
        let statement = Arc::new(statement(name, family, &prefixes, attributes));
        Self {
            priority,
            source: source.into(),
            family,
            prefixes,
            attributes: Arc::clone(attributes),
            origin,
            statement,
        }
    }

    fn key(&self) -> (u8, &str, &str) {
        (self.priority, &self.statement.name, &self.source)
    }

    /// Prefixes and communities add up, the highest local preference wins.
    fn merged(&self, other: &Self) -> Self {
        let mut attributes = Attributes::clone(&self.attributes);
        attributes.merge(&other.attributes);
        let prefixes = self.prefixes.iter().chain(&other.prefixes).copied().collect();
        let names = (self.statement.name.clone(), Arc::clone(&self.source));
        Self::new(self.priority, names, self.family, prefixes, &Arc::new(attributes), self.origin)
    }
}

/// Accepts exactly these prefixes.
fn statement(name: String, family: Family, prefixes: &[IpNet], attributes: &Attributes) -> Statement {
    let exact = |prefix: &IpNet| PrefixMatch { prefix: *prefix, min_length: None, max_length: None };
    Statement {
        name,
        families: vec![family],
        prefixes: prefixes.iter().map(exact).collect(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: if *attributes == Attributes::default() { Actions::default() } else { attributes.actions() },
    }
}

/// Offers as they come.
#[derive(Debug, Default)]
pub(crate) struct Offers(Vec<Arc<Offer>>);

impl Offers {
    pub(crate) fn add(&mut self, offer: Arc<Offer>) {
        self.0.push(offer);
    }

    pub(crate) fn into_vec(self) -> Vec<Arc<Offer>> {
        self.0
    }

    /// In order, with offers about the same thing merged.
    pub(crate) fn settle(self) -> OfferSet {
        let mut offers = self.0;
        offers.sort_by(|a, b| a.key().cmp(&b.key()));
        offers.dedup_by(|next, first| {
            let same = next.key() == first.key();
            // The same entry may be selected twice, which changes nothing.
            if same && !Arc::ptr_eq(next, first) {
                *first = Arc::new(first.merged(next));
            }
            same
        });
        OfferSet::new(offers)
    }
}

/// What a peer is offered.
#[derive(Debug, Default)]
pub(crate) struct OfferSet {
    offers: Vec<Arc<Offer>>,
    /// The statements of the export policy, in order of evaluation.
    pub(crate) statements: Vec<Arc<Statement>>,
    /// Every prefix with the offers that have it, as indices, in order.
    by_prefix: Vec<(IpNet, u32)>,
}

/// Other attributes than the offer's own, for some of its prefixes.
type United = HashMap<u32, Vec<(IpNet, Arc<Attributes>)>>;

impl OfferSet {
    fn new(offers: Vec<Arc<Offer>>) -> Self {
        let mut by_prefix = Vec::with_capacity(offers.len());
        for (index, offer) in (0_u32..).zip(&offers) {
            by_prefix.extend(offer.prefixes.iter().map(|prefix| (*prefix, index)));
        }
        by_prefix.sort_unstable();
        let united = united(&offers, &by_prefix);
        let statements = statements(&offers, &united);
        Self { offers, statements, by_prefix }
    }

    /// Every prefix with the offers that have it.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (IpNet, &Offer)> {
        self.by_prefix.iter().filter_map(|(prefix, index)| {
            Some((*prefix, self.offers.get(usize::try_from(*index).ok()?)?.as_ref()))
        })
    }
}

/// Where several offers of one priority have the same prefix with different attributes (a shared address, one aggregate
/// of several services), the union of those. The first statement that matches decides, so else the name of a service would.
fn united(offers: &[Arc<Offer>], by_prefix: &[(IpNet, u32)]) -> United {
    let mut united = United::new();
    let offer = |index: u32| usize::try_from(index).ok().and_then(|index| offers.get(index));
    let priority = |index: u32| offer(index).map(|offer| offer.priority);
    // Offers are sorted by priority, so of one prefix those of one priority are neighbours.
    for group in by_prefix.chunk_by(|a, b| a.0 == b.0 && priority(a.1) == priority(b.1)) {
        let mut attributes =
            group.iter().filter_map(|(_, index)| offer(*index)).map(|offer| &offer.attributes);
        let Some(first) = attributes.next() else { continue };
        if attributes.clone().all(|other| other == first) {
            continue;
        }
        let mut union = Attributes::clone(first);
        attributes.for_each(|other| union.merge(other));
        let union = Arc::new(union);
        for (prefix, index) in group {
            united.entry(*index).or_default().push((*prefix, Arc::clone(&union)));
        }
    }
    united
}

/// One statement per offer, more where its prefixes have come to differ in attributes. Statements that Cilium gives the same
/// name (service `a-b` in `c` and `a` in `b-c`) stay two here; the second name gets a number.
fn statements(offers: &[Arc<Offer>], united: &United) -> Vec<Arc<Statement>> {
    let mut statements: Vec<Arc<Statement>> = Vec::with_capacity(offers.len());
    // Equal names are neighbours: all names end with the family or the length, never with a number after it.
    let mut same: (Option<Arc<Statement>>, u32) = (None, 1);
    let mut add = |written: &Arc<Statement>, statement: Arc<Statement>| {
        let again = same.0.as_ref().is_some_and(|last| last.name == written.name);
        let number = if again { same.1 + 1 } else { 1 };
        same = (Some(Arc::clone(written)), number);
        statements.push(match number {
            1 => statement,
            number => {
                let name = format!("{}-{number}", written.name);
                Arc::new(Statement { name, ..Statement::clone(&statement) })
            }
        });
    };
    for (index, offer) in (0_u32..).zip(offers) {
        let Some(others) = united.get(&index) else {
            add(&offer.statement, Arc::clone(&offer.statement));
            continue;
        };
        let mut parts: Vec<(&Arc<Attributes>, Vec<IpNet>)> = Vec::new();
        for prefix in &offer.prefixes {
            let other = others.iter().find(|(of, _)| of == prefix).map(|(_, attributes)| attributes);
            let attributes = other.unwrap_or(&offer.attributes);
            match parts.iter_mut().find(|(known, _)| *known == attributes) {
                Some((_, prefixes)) => prefixes.push(*prefix),
                None => parts.push((attributes, vec![*prefix])),
            }
        }
        for (attributes, prefixes) in parts {
            let name = offer.statement.name.clone();
            add(&offer.statement, Arc::new(statement(name, offer.family, &prefixes, attributes)));
        }
    }
    statements
}
