//! What a new intent did to a running instance, in the words of the API.
//!
//! Invariant: every peer that the speaker touched is listed with the fields that made it do so, and secrets only by the
//! field's name.

use std::collections::BTreeMap;

use bgp_core::{ConfigChange, ConfigEffect, ConfigField, Cost};
use ipnet::IpNet;
use rutter_api::control::{Change, Effect, FieldChange};
use rutter_api::intent::{Instance, Route};
use serde_json::Value;

/// The changes of one instance, in the order of its peers, routes last.
#[must_use]
pub(super) fn of_instance(before: &Instance, after: &Instance, peers: &[ConfigChange]) -> Vec<Change> {
    let mut changes: Vec<Change> = peers.iter().map(|change| of_peer(before, after, change)).collect();
    if changes.is_empty() && listens_differently(before, after) {
        let reason = "listener changed".to_owned();
        changes.push(Change {
            instance: after.name.clone(),
            peer: None,
            effect: Effect::SessionKept,
            reason,
            fields: Vec::new(),
        });
    }
    if before.routes != after.routes {
        changes.push(Change {
            instance: after.name.clone(),
            peer: None,
            effect: Effect::RoutesChanged,
            reason: of_routes(&before.routes, &after.routes),
            fields: Vec::new(),
        });
    }
    changes
}

fn listens_differently(before: &Instance, after: &Instance) -> bool {
    (before.listen_port, &before.listen_addresses) != (after.listen_port, &after.listen_addresses)
}

fn of_peer(before: &Instance, after: &Instance, change: &ConfigChange) -> Change {
    let name = &*change.name;
    let describe = |costs: &[(ConfigField, Cost)]| {
        let old = before.peers.iter().find(|peer| peer.name == name);
        let new = after.peers.iter().find(|peer| peer.name == name);
        // An intent is always representable as JSON; if not, the field's name is enough. Policies may be long, and most
        // often it is they alone that change.
        let value = |peer| serde_json::to_value(peer).unwrap_or_default();
        let values = std::cell::LazyCell::new(|| (value(old), value(new)));
        let words = |(field, cost): &(ConfigField, Cost)| {
            let what = of_field(*field, before, after, || &values);
            if *cost == Cost::NextSession { format!("{what} from the next session on") } else { what }
        };
        costs.iter().map(words).collect::<Vec<_>>().join(", ")
    };
    let (effect, reason) = match &change.effect {
        ConfigEffect::Added => (Effect::Added, String::new()),
        ConfigEffect::Removed => (Effect::Removed, String::new()),
        ConfigEffect::Reset(_) => {
            // What did it; the other changes come with the new session.
            let causes: Vec<_> =
                change.costs.iter().filter(|(_, cost)| *cost == Cost::Reset).copied().collect();
            (Effect::SessionReset, describe(&causes))
        }
        ConfigEffect::Kept(_) => {
            let soft = change.costs.iter().any(|(_, cost)| *cost == Cost::Soft);
            (if soft { Effect::PolicyReapplied } else { Effect::SessionKept }, describe(&change.costs))
        }
    };
    let row = |(field, cost): &(ConfigField, Cost)| FieldChange {
        field: field.label().to_owned(),
        cost: cost.label().to_owned(),
        why: field.why().to_owned(),
    };
    let fields = change.costs.iter().map(row).collect();
    Change { instance: after.name.clone(), peer: Some(name.to_owned()), effect, reason, fields }
}

/// `timers.holdSeconds 90 -> 9`, or only the name where the values are secret or long.
fn of_field<'v>(
    field: ConfigField,
    before: &Instance,
    after: &Instance,
    values: impl FnOnce() -> &'v (Value, Value),
) -> String {
    let label = field.label();
    match field {
        ConfigField::LocalAsn => format!("{label} {} -> {}", before.local_asn, after.local_asn),
        ConfigField::RouterId => format!("{label} {} -> {}", before.router_id, after.router_id),
        ConfigField::Password
        | ConfigField::TcpAo
        | ConfigField::ImportPolicy
        | ConfigField::ExportPolicy => label.to_owned(),
        _ => {
            let pointer = format!("/{}", label.replace('.', "/"));
            let show = |value: &Value| value.pointer(&pointer).map_or_else(|| "none".to_owned(), plain);
            let (old, new) = values();
            let (old, new) = (show(old), show(new));
            // Defaults are not written, so both may look the same.
            if old == new { label.to_owned() } else { format!("{label} {old} -> {new}") }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn of_routes(before: &[Route], after: &[Route]) -> String {
    fn index(routes: &[Route]) -> BTreeMap<IpNet, &Route> {
        routes.iter().map(|route| (route.prefix, route)).collect()
    }
    let (before, after) = without_equal_ends(before, after);
    let (before, after) = (index(before), index(after));
    let added = after.keys().filter(|prefix| !before.contains_key(*prefix)).count();
    let withdrawn = before.keys().filter(|prefix| !after.contains_key(*prefix)).count();
    let changed =
        after.iter().filter(|(prefix, route)| before.get(*prefix).is_some_and(|old| old != *route)).count();
    let parts = [(added, "added"), (withdrawn, "withdrawn"), (changed, "changed")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "in another order".to_owned() } else { parts.join(", ") }
}

/// Both without what they have in common at the beginning and at the end: of ten thousand routes most often one is another.
fn without_equal_ends<'r, T: PartialEq>(mut before: &'r [T], mut after: &'r [T]) -> (&'r [T], &'r [T]) {
    while let ([first, rest @ ..], [other, others @ ..]) = (before, after)
        && first == other
    {
        (before, after) = (rest, others);
    }
    while let ([rest @ .., last], [others @ .., other]) = (before, after)
        && last == other
    {
        (before, after) = (rest, others);
    }
    (before, after)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bgp_core::PeerId;

    use super::*;

    fn instance(yaml: &str) -> Instance {
        serde_saphyr::from_str(yaml).expect("an instance")
    }

    #[test]
    fn says_what_changed_and_keeps_secrets() {
        let before = instance(
            "{name: m, localASN: 1, routerID: 10.0.0.1, routes: [{prefix: 10.1.0.0/16}, {prefix: 10.2.0.0/16}], peers: [{name: t, address: 192.0.2.1, password: old}]}",
        );
        let after = instance(
            "{name: m, localASN: 1, routerID: 10.0.0.1, routes: [{prefix: 10.1.0.0/16, med: 5}, {prefix: 10.3.0.0/16}], peers: [{name: t, address: 192.0.2.1, password: new, timers: {holdSeconds: 9, keepaliveSeconds: 3}, ebgpMultihop: 4}]}",
        );
        let fields = vec![ConfigField::HoldTime, ConfigField::Password, ConfigField::Multihop];
        let peers = [ConfigChange {
            peer: Some(PeerId::new(0)),
            name: Arc::from("t"),
            costs: fields.iter().map(|field| (*field, Cost::Reset)).collect(),
            effect: ConfigEffect::Reset(fields),
        }];
        let texts: Vec<String> =
            of_instance(&before, &after, &peers).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "m/t: session reset (timers.holdSeconds 90 -> 9, password, ebgpMultihop none -> 4)",
                "m: routes changed (1 added, 1 withdrawn, 1 changed)",
            ]
        );
    }
}
