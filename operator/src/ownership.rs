//! Field ownership: taking over what another program, such as Cilium's operator, wrote by updates.
//!
//! Server-side apply removes a field that is no longer applied only if nobody else owns it. An object that was written by
//! updates would keep its old instances and peers for ever. So the owned parts are moved to our own entry first; then our next
//! apply decides about them. Invariant: only `spec` and the owner references move; everything else, status above all, stays
//! with whoever owns it.

use serde_json::{Map, Value, json};

/// The parts of a node configuration that are the operator's.
const OURS: [&[&str]; 2] = [&["f:spec"], &["f:metadata", "f:ownerReferences"]];

/// The list of managers with everything that updates own of our parts moved to `manager`; nothing if nothing is to move.
pub(crate) fn taken_over(managers: &[Value], manager: &str, api_version: &str) -> Option<Vec<Value>> {
    let is_ours = |entry: &Value| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null()
    };
    let mut moved = Value::Object(Map::new());
    let mut others = Vec::new();
    let mut any = false;
    for entry in managers.iter().filter(|entry| !is_ours(entry)) {
        let mut entry = entry.clone();
        if entry["operation"] == "Update" && entry["subresource"].is_null() {
            for path in OURS {
                if let Some(part) = take(&mut entry["fieldsV1"], path) {
                    any = true;
                    insert(&mut moved, path, part);
                }
            }
        }
        if entry["fieldsV1"].as_object().is_none_or(|fields| !fields.is_empty()) {
            others.push(entry);
        }
    }
    if !any {
        return None;
    }
    let mut ours = managers.iter().find(|entry| is_ours(entry)).cloned().unwrap_or_else(
        || json!({"manager": manager, "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": {}}),
    );
    merge(&mut ours["fieldsV1"], moved);
    others.push(ours);
    Some(others)
}

/// Takes a part out, and what is empty without it.
fn take(fields: &mut Value, path: &[&str]) -> Option<Value> {
    let fields = fields.as_object_mut()?;
    match path {
        [] => None,
        [last] => fields.remove(*last),
        [first, rest @ ..] => {
            let inner = fields.get_mut(*first)?;
            let part = take(inner, rest)?;
            if inner.as_object().is_some_and(Map::is_empty) {
                fields.remove(*first);
            }
            Some(part)
        }
    }
}

fn insert(fields: &mut Value, path: &[&str], part: Value) {
    let wrapped = path.iter().rev().fold(part, |inner, name| {
        let mut outer = Map::new();
        outer.insert((*name).to_owned(), inner);
        Value::Object(outer)
    });
    merge(fields, wrapped);
}

/// The union of two sets of fields.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, part) in from {
                merge(into.entry(name).or_insert_with(|| Value::Object(Map::new())), part);
            }
        }
        (into, from) if into.is_null() => *into = from,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(manager: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "cilium.io/v2", "fieldsType": "FieldsV1",
               "fieldsV1": fields, "time": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn what_an_operator_wrote_by_updates_becomes_ours() {
        let owners = json!({".": {}, "k:{\"uid\":\"u\"}": {}});
        let spec = json!({".": {}, "f:bgpInstances": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}}});
        let theirs =
            update("cilium-operator", json!({"f:metadata": {"f:ownerReferences": owners}, "f:spec": spec}));
        let mut status = update("cilium-agent", json!({"f:status": {}}));
        status["subresource"] = "status".into();
        let label = update(
            "kubectl",
            json!({"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {"f:bgpInstances": {"k:{\"name\":\"b\"}": {}}}}),
        );
        let managers = taken_over(&[theirs, status.clone(), label], "us", "cilium.io/v2").unwrap();
        assert_eq!(managers.len(), 3, "{managers:?}");
        assert_eq!(managers[0], status);
        assert_eq!(managers[1]["fieldsV1"], json!({"f:metadata": {"f:labels": {"f:x": {}}}}));
        let ours = &managers[2];
        assert_eq!((&ours["manager"], &ours["operation"]), (&json!("us"), &json!("Apply")));
        let instances = ours["fieldsV1"]["f:spec"]["f:bgpInstances"].as_object().unwrap();
        assert_eq!(instances.len(), 2);
        assert_eq!(ours["fieldsV1"]["f:metadata"]["f:ownerReferences"], owners);
    }

    #[test]
    fn what_is_ours_already_is_left_alone() {
        let mut ours = update("us", json!({"f:spec": {"f:bgpInstances": {}}}));
        ours["operation"] = "Apply".into();
        assert_eq!(taken_over(&[ours.clone()], "us", "v"), None);
        let both = taken_over(&[ours, update("us", json!({"f:spec": {"f:x": {}}}))], "us", "v").unwrap();
        assert_eq!(both.len(), 1, "an update of our own is folded in too");
        assert_eq!(both[0]["fieldsV1"]["f:spec"], json!({"f:bgpInstances": {}, "f:x": {}}));
    }
}
