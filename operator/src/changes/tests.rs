use std::sync::Arc;

use k8s_sync::Options;
use k8s_sync::object::Object;
use k8s_sync::translate::node_configs;
use rutter_crds::CiliumBGPClusterConfig;
use serde_json::{Value, json};

use super::*;

const POLICY: Policy = Policy { report_status: true, reasons: Reasons::Cilium120 };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn node(name: &str) -> Object {
    Object::Node(typed(json!({"metadata": {"name": name}})))
}

fn config(name: &str, uid: &str) -> CiliumBGPClusterConfig {
    serde_json::from_value(json!({"apiVersion": "cilium.io/v2", "kind": CLUSTER_CONFIG,
        "metadata": {"name": name, "uid": uid, "generation": 3, "resourceVersion": "7"},
        "spec": {"bgpInstances": [{"name": "b", "localASN": 2}, {"name": "a", "localASN": 1}]}}))
    .unwrap()
}

fn owned(node: &str, owner: &str, uid: &str, spec: Value) -> Object {
    Object::CiliumBGPNodeConfig(typed(json!({"apiVersion": "cilium.io/v2", "kind": NODE_CONFIG,
        "metadata": {"name": node, "uid": "n", "resourceVersion": "5", "ownerReferences": [
            {"apiVersion": "cilium.io/v2", "kind": CLUSTER_CONFIG, "name": owner, "uid": uid, "controller": true}]},
        "spec": spec})))
}

fn all(objects: Vec<Object>, policy: Policy) -> Vec<Change> {
    let snapshot = Snapshot::new(objects);
    let plan = node_configs(&snapshot, &Options::default());
    changes(&snapshot, &plan, policy, at(100))
}

fn node_changes(objects: Vec<Object>) -> Vec<(&'static str, String)> {
    let changes = all(objects, POLICY);
    let of_nodes = changes.iter().filter(|change| change.object.kind == NODE_CONFIG);
    of_nodes.map(|change| (change.act.name(), change.object.name.clone())).collect()
}

fn cluster_config(name: &str, uid: &str) -> Object {
    Object::CiliumBGPClusterConfig(Arc::new(config(name, uid)))
}

#[test]
fn only_what_differs_is_written_and_order_is_no_difference() {
    let same = json!({"bgpInstances": [{"name": "a", "localASN": 1}, {"name": "b", "localASN": 2}]});
    let other = json!({"bgpInstances": [{"name": "a", "localASN": 1}]});
    let with = |existing| node_changes(vec![node("w"), cluster_config("c", "u"), existing]);
    assert_eq!(node_changes(vec![node("w"), cluster_config("c", "u")]), [("apply", "w".to_owned())]);
    assert_eq!(with(owned("w", "c", "u", same.clone())), []);
    assert_eq!(with(owned("w", "c", "u", other)), [("apply", "w".to_owned())]);
    // The configuration was deleted and made again: the collector must not find the old owner.
    assert_eq!(with(owned("w", "c", "old", same)), [("apply", "w".to_owned())]);
}

#[test]
fn deleted_is_only_what_a_living_configuration_owns() {
    let spec = json!({"bgpInstances": [{"name": "a", "localASN": 1}]});
    let gone = |owner: &str, uid: &str| {
        node_changes(vec![cluster_config("c", "u"), owned("w", owner, uid, spec.clone())])
    };
    assert_eq!(gone("c", "u"), [("delete", "w".to_owned())]);
    assert_eq!(gone("c", "old"), [], "the collector's");
    assert_eq!(gone("another", "x"), [], "the collector's");
}

#[test]
fn conditions_are_written_once_and_removed_when_nobody_wants_them() {
    let written = |status: bool, conditions: &[Condition]| {
        let mut config = config("c", "u");
        let status_of = json!({ "conditions": conditions });
        config.status = Some(serde_json::from_value(status_of).unwrap());
        let objects = vec![Object::CiliumBGPClusterConfig(Arc::new(config))];
        all(objects, Policy { report_status: status, ..POLICY })
    };
    let first = written(true, &[]);
    let [Change { act: Act::Conditions(conditions), based_on: Some(based_on), .. }] = first.as_slice() else {
        panic!("{first:?}")
    };
    assert_eq!((based_on.version.as_str(), conditions.len()), ("7", 3));
    assert_eq!(written(true, conditions), []);
    let mut with_foreign = conditions.clone();
    with_foreign.push(Condition { type_: "example.com/Seen".to_owned(), ..conditions[0].clone() });
    let removed = written(false, &with_foreign);
    let [Change { act: Act::OnlyConditions(others), .. }] = removed.as_slice() else { panic!("{removed:?}") };
    assert_eq!(others.as_slice(), &with_foreign[3..]);
    assert_eq!(written(false, others), []);
}
