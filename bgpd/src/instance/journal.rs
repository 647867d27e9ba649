//! What the log says about sessions: one line per change of state at info, NOTIFICATIONs in words, malformed UPDATEs.
//!
//! Invariant: every line names instance, peer and address; none holds a password or a whole message.

use std::net::IpAddr;

use bgp_core::config::LimitAction;
use bgp_core::{Event, EventKind, RefreshEnd, Speaker};

use crate::instance::counters::state_label;

/// Writes one event to the log. `gone` is the address of a peer that the speaker has just forgotten.
pub(super) fn record(speaker: &Speaker, event: &Event, gone: Option<IpAddr>) {
    let instance = &*speaker.config().name;
    let peer = &*event.name;
    let address = speaker.peer(event.peer).map(|view| view.config.address).or(gone);
    let address = address.map_or_else(String::new, |address| address.to_string());
    match &event.kind {
        EventKind::StateChanged { from, to, reason } => {
            let (old, new) = (state_label(*from), state_label(*to));
            let label = reason.label();
            tracing::info!(
                instance,
                peer,
                address,
                from = old,
                to = new,
                reason = label,
                "session {new}: {reason}"
            );
        }
        EventKind::NotificationSent(notification) => {
            tracing::info!(
                instance,
                peer,
                address,
                code = notification.code,
                subcode = notification.subcode,
                "NOTIFICATION sent: {notification}"
            );
        }
        EventKind::NotificationReceived(notification) => {
            tracing::info!(
                instance,
                peer,
                address,
                code = notification.code,
                subcode = notification.subcode,
                "NOTIFICATION received: {notification}"
            );
        }
        EventKind::ConnectFailed { text } => {
            // The change of state that follows says the same.
            tracing::debug!(instance, peer, address, "connect failed: {text}");
        }
        EventKind::CollisionResolved { closed, kept } => {
            tracing::info!(instance, peer, address, closed = ?closed, kept = ?kept, "two connections to one peer, one closed");
        }
        EventKind::MalformedUpdate { errors, withdrawn } => {
            let what = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let consequence =
                if *withdrawn { "its routes are taken as withdrawn" } else { "the attributes are dropped" };
            tracing::warn!(instance, peer, address, "malformed UPDATE, {consequence}: {what}");
        }
        EventKind::PrefixLimit { family, limit, action } => {
            let consequence = match action {
                LimitAction::Warn => "the session goes on".to_owned(),
                LimitAction::Stop => "the session stays down until it is reset".to_owned(),
                LimitAction::Restart(seconds) => format!("the session stays down for {seconds} s"),
            };
            tracing::error!(instance, peer, address, %family, limit, "more prefixes than allowed; {consequence}");
        }
        EventKind::PrefixWarning { family, limit, prefixes } => {
            tracing::warn!(instance, peer, address, %family, limit, prefixes, "the prefix limit is near");
        }
        EventKind::EndOfRib { .. }
        | EventKind::StaleKept { .. }
        | EventKind::LongLivedBegun { .. }
        | EventKind::StaleSwept { .. } => record_restart(instance, peer, &address, &event.kind),
        EventKind::SlowPeer { queued, since } => {
            let seconds = since.as_secs();
            tracing::warn!(
                instance,
                peer,
                address,
                queued,
                "slow peer: it has not taken all we sent for {seconds} s; others do not wait for it"
            );
        }
        EventKind::SlowPeerOver { lasted } => {
            let seconds = lasted.as_secs();
            tracing::info!(instance, peer, address, seconds, "slow peer no longer: nothing waits for it");
        }
        EventKind::PathsRefused { paths, most } => {
            tracing::warn!(
                instance,
                peer,
                address,
                paths,
                "more than {most} paths to one prefix; the further ones are not taken in"
            );
        }
        EventKind::RefreshRequested { .. }
        | EventKind::RefreshBegan { .. }
        | EventKind::RefreshOver { .. }
        | EventKind::RefreshIgnored { .. } => record_refresh(instance, peer, &address, &event.kind),
    }
}

/// Routes that one side sends again (RFC 2918, RFC 7313).
fn record_refresh(instance: &str, peer: &str, address: &str, kind: &EventKind) {
    match kind {
        EventKind::RefreshRequested { family } => {
            tracing::info!(instance, peer, address, %family, "the peer asked for our routes again");
        }
        EventKind::RefreshBegan { family, routes } => {
            tracing::debug!(instance, peer, address, %family, routes, "the peer begins to send its routes again");
        }
        EventKind::RefreshOver { family, routes, end: RefreshEnd::Marker } => {
            tracing::info!(instance, peer, address, %family, routes, "the peer sent its routes again; those it did not send are removed");
        }
        EventKind::RefreshOver { family, routes, end: RefreshEnd::Timeout } => {
            tracing::warn!(instance, peer, address, %family, routes, "the peer began to send its routes again and did not say that it is done; those it did not send are removed");
        }
        EventKind::RefreshIgnored { family, subtype, fault } => {
            let reason = fault.label();
            tracing::warn!(instance, peer, address, %family, subtype, reason, "ROUTE-REFRESH ignored: {fault}");
        }
        _ => {}
    }
}

/// What belongs to a graceful restart of a peer.
fn record_restart(instance: &str, peer: &str, address: &str, kind: &EventKind) {
    match kind {
        EventKind::EndOfRib { family, after } => {
            tracing::debug!(instance, peer, address, %family, ?after, "End-of-RIB received")
        }
        EventKind::StaleKept { families, routes, within } => {
            let seconds = within.as_secs();
            tracing::info!(
                instance,
                peer,
                address,
                ?families,
                routes,
                seconds,
                "its routes are kept while it restarts"
            );
        }
        EventKind::LongLivedBegun { family, routes, within } => {
            let seconds = within.as_secs();
            tracing::warn!(instance, peer, address, %family, routes, seconds, "it is not back: its routes stay as a last resort");
        }
        EventKind::StaleSwept { family, routes, cause } => {
            let cause = cause.label();
            tracing::info!(instance, peer, address, %family, routes, cause, "stale routes removed");
        }
        _ => {}
    }
}
