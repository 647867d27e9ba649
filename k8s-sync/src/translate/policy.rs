//! The two policies of every peer: what it is told, and what of its routes is used.
//!
//! Invariant: nothing leaves without a statement that names its prefix, and nothing received is used: Cilium's speaker
//! keeps what peers send in the Adj-RIB-In and rejects it there (policy `allow-local`).

use std::collections::{BTreeSet, HashMap, HashSet};

use ipnet::IpNet;
use rutter_api::intent::{Actions, Policy, PrefixMatch, SourceMatch, Statement, Verdict};

use crate::advertise::{Attributes, Offer, Offers};

/// Rejects everything received.
pub(super) fn import_policy() -> Policy {
    let accept_local = Statement {
        name: "accept-local".to_owned(),
        families: Vec::new(),
        prefixes: Vec::new(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: Actions::default(),
    };
    Policy { name: "allow-local".to_owned(), default_action: Verdict::Reject, statements: vec![accept_local] }
}

/// One statement per offer, by priority, then name. Offers that Cilium gives the same name (service `a-b` in `c` and `a`
/// in `b-c`) stay two statements here; the second name gets a number.
///
/// The first statement that matches decides, so a prefix that several offers of one priority have (a shared address, one
/// aggregate of several services) gets the attributes of all of them, in each: else the name of a service would decide.
pub(super) fn export_policy(peer: &str, offers: &Offers) -> Policy {
    let united = united(offers);
    let mut names: HashSet<String> = HashSet::new();
    let mut statements = Vec::new();
    for offer in offers.iter() {
        if united.is_empty() {
            statements.push(statement(
                offer,
                unused(&offer.statement, &mut names),
                &offer.prefixes,
                &offer.attributes,
            ));
            continue;
        }
        let mut parts: Vec<(&Attributes, BTreeSet<IpNet>)> = Vec::new();
        for prefix in &offer.prefixes {
            let attributes = united.get(&(offer.priority, *prefix)).unwrap_or(&offer.attributes);
            match parts.iter_mut().find(|(known, _)| *known == attributes) {
                Some((_, prefixes)) => drop(prefixes.insert(*prefix)),
                None => parts.push((attributes, BTreeSet::from([*prefix]))),
            }
        }
        for (attributes, prefixes) in parts {
            statements.push(statement(offer, unused(&offer.statement, &mut names), &prefixes, attributes));
        }
    }
    Policy { name: format!("peer-{peer}-export"), default_action: Verdict::Reject, statements }
}

/// Prefixes that several offers of one priority have with different attributes, and the union of those.
fn united(offers: &Offers) -> HashMap<(u8, IpNet), Attributes> {
    let mut seen: HashMap<(u8, IpNet), &Attributes> = HashMap::new();
    let mut united: HashMap<(u8, IpNet), Attributes> = HashMap::new();
    for offer in offers.iter() {
        for prefix in &offer.prefixes {
            let key = (offer.priority, *prefix);
            let first = *seen.entry(key).or_insert(&offer.attributes);
            if *first != offer.attributes {
                united.entry(key).or_insert_with(|| first.clone()).merge(offer.attributes.clone());
            }
        }
    }
    united
}

fn unused(wanted: &str, names: &mut HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{wanted}-{number}");
        number += 1;
    }
    name
}

fn statement(offer: &Offer, name: String, prefixes: &BTreeSet<IpNet>, attributes: &Attributes) -> Statement {
    let exact = |prefix: &IpNet| PrefixMatch { prefix: *prefix, min_length: None, max_length: None };
    Statement {
        name,
        families: vec![offer.family],
        prefixes: prefixes.iter().map(exact).collect(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: attributes.actions(),
    }
}
