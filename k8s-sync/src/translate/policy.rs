//! The two policies of every peer: what it is told, and what of its routes is used.
//!
//! Invariant: nothing leaves without a statement that names its prefix, and nothing received is used: Cilium's speaker
//! keeps what peers send in the Adj-RIB-In and rejects it there (policy `allow-local`).

use std::collections::BTreeSet;

use rutter_api::intent::{Actions, Policy, PrefixMatch, SourceMatch, Statement, Verdict};

use crate::advertise::{Offer, Offers};

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
pub(super) fn export_policy(peer: &str, offers: &Offers) -> Policy {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut statements = Vec::new();
    for offer in offers.iter() {
        let mut name = offer.statement.clone();
        let mut number = 2;
        while !names.insert(name.clone()) {
            name = format!("{}-{number}", offer.statement);
            number += 1;
        }
        statements.push(statement(offer, name));
    }
    Policy { name: format!("peer-{peer}-export"), default_action: Verdict::Reject, statements }
}

fn statement(offer: &Offer, name: String) -> Statement {
    let exact = |prefix: &ipnet::IpNet| PrefixMatch { prefix: *prefix, min_length: None, max_length: None };
    Statement {
        name,
        families: vec![offer.family],
        prefixes: offer.prefixes.iter().map(exact).collect(),
        any_community: Vec::new(),
        sources: vec![SourceMatch::Local],
        action: Verdict::Accept,
        set: offer.attributes.actions(),
    }
}
