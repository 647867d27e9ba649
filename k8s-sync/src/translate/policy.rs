//! The two policies of every peer: what it is told, and what of its routes is used.
//!
//! Invariant: nothing leaves without a statement that names its prefix, and nothing received is used: Cilium's speaker
//! keeps what peers send in the Adj-RIB-In and rejects it there (policy `allow-local`).

use std::sync::Arc;

use rutter_api::intent::{Actions, Policy, SourceMatch, Statement, Verdict};

use crate::advertise::OfferSet;

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
    Policy {
        name: "allow-local".to_owned(),
        default_action: Verdict::Reject,
        statements: vec![Arc::new(accept_local)],
    }
}

/// Accepts what a peer is offered, and nothing else.
pub(super) fn export_policy(peer: &str, offers: &OfferSet) -> Policy {
    let statements = offers.statements.clone();
    Policy { name: format!("peer-{peer}-export"), default_action: Verdict::Reject, statements }
}
