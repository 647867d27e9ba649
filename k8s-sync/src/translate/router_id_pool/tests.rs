use std::collections::BTreeSet;

use proptest::prelude::*;
use rutter_crds::bgp_node_config_override::{
    CiliumBGPNodeConfigInstanceOverride, CiliumBGPNodeConfigOverrideSpec,
};
use rutter_crds::{CiliumBGPClusterConfig, CiliumBGPNodeConfigOverride};
use serde_json::json;

use super::*;
use crate::object::Object;
use crate::options::Options;
use crate::translate::node_configs;

/// A cluster whose one configuration selects these nodes.
#[derive(Clone, Debug, Default)]
struct Cluster {
    nodes: BTreeSet<String>,
    instances: Vec<&'static str>,
    overrides: BTreeMap<(String, &'static str), String>,
    pool: String,
    /// What the last pass wrote.
    written: BTreeMap<String, Arc<rutter_crds::CiliumBGPNodeConfig>>,
    report: String,
}

impl Cluster {
    fn new(pool: &str, nodes: &[&str], instances: &[&'static str]) -> Self {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        Self { nodes, instances: instances.to_vec(), pool: pool.to_owned(), ..Self::default() }
    }

    fn pass(&mut self) {
        let node = |name: &String| json!({"metadata": {"name": name, "labels": {"bgp": "yes"}}});
        let mut objects: Vec<Object> = self
            .nodes
            .iter()
            .map(|name| Object::Node(Arc::new(serde_json::from_value(node(name)).unwrap())))
            .collect();
        let instances: Vec<_> = self.instances.iter().map(|name| json!({"name": name})).collect();
        let config = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumBGPClusterConfig",
            "metadata": {"name": "c"}, "spec": {"bgpInstances": instances}});
        let config: CiliumBGPClusterConfig = serde_json::from_value(config).unwrap();
        objects.push(Object::CiliumBGPClusterConfig(Arc::new(config)));
        for node in &self.nodes {
            let of_node = self.overrides.iter().filter(|((of, _), _)| of == node);
            let bgp_instances: Vec<_> = of_node
                .map(|((_, instance), id)| CiliumBGPNodeConfigInstanceOverride {
                    name: (*instance).to_owned(),
                    router_id: Some(id.clone()),
                    ..Default::default()
                })
                .collect();
            if !bgp_instances.is_empty() {
                let spec = CiliumBGPNodeConfigOverrideSpec { bgp_instances };
                let object = CiliumBGPNodeConfigOverride::new(node, spec);
                objects.push(Object::CiliumBGPNodeConfigOverride(Arc::new(object)));
            }
        }
        objects.extend(self.written.values().cloned().map(Object::CiliumBGPNodeConfig));
        let options = Options { router_ids: RouterIds::Pool(self.pool.clone()), ..Options::default() };
        let plan = node_configs(&Snapshot::new(objects), &options);
        self.written = plan.node_configs;
        self.report = plan.report.to_string();
    }

    fn ids(&self) -> BTreeMap<(String, String), String> {
        let mut ids = BTreeMap::new();
        for (node, config) in &self.written {
            for instance in &config.spec.bgp_instances {
                ids.insert((node.clone(), instance.name.clone()), instance.router_id.clone().unwrap());
            }
        }
        ids
    }

    fn id(&self, node: &str, instance: &str) -> Option<String> {
        self.ids().get(&(node.to_owned(), instance.to_owned())).cloned()
    }
}

#[test]
fn from_the_first_address_one_per_node_and_instance() {
    let mut cluster = Cluster::new("10.255.0.0/29", &["a", "b"], &["i", "j"]);
    cluster.pass();
    let ids: Vec<String> = cluster.ids().into_values().collect();
    assert_eq!(ids, ["10.255.0.0", "10.255.0.1", "10.255.0.2", "10.255.0.3"]);
    // A new node before the others by name takes what is free, and nobody moves.
    cluster.nodes.insert("Z-first".to_owned());
    cluster.pass();
    assert_eq!(cluster.id("Z-first", "i").as_deref(), Some("10.255.0.4"));
    assert_eq!(cluster.id("a", "i").as_deref(), Some("10.255.0.0"));
    // What is unselected is free again.
    cluster.nodes.remove("a");
    cluster.nodes.insert("c".to_owned());
    cluster.pass();
    assert_eq!(cluster.id("c", "j").as_deref(), Some("10.255.0.1"));
}

#[test]
fn the_whole_range_is_used_and_then_it_is_said() {
    let mut cluster = Cluster::new("10.255.0.0/31", &["a", "b", "c"], &["i"]);
    cluster.pass();
    assert_eq!(cluster.ids().len(), 2);
    assert!(
        cluster
            .report
            .contains("instance i does not run on node c: pool 10.255.0.0/31 has no router ID left")
    );
    let mut cluster = Cluster::new("0.0.0.0/31", &["a"], &["i"]);
    cluster.pass();
    assert_eq!(cluster.id("a", "i").as_deref(), Some("0.0.0.1"), "0.0.0.0 is no router ID");
}

#[test]
fn overrides_inside_must_be_free_and_outside_may_be_anything() {
    let mut cluster = Cluster::new("10.255.0.0/24", &["a", "b"], &["i"]);
    cluster.pass();
    cluster.overrides.insert(("b".to_owned(), "i"), "10.255.0.0".to_owned());
    cluster.pass();
    assert_eq!(cluster.id("b", "i").as_deref(), Some("10.255.0.1"), "it keeps what it has");
    assert!(cluster.report.contains("instance i of node a has it"), "{}", cluster.report);
    cluster.overrides.insert(("b".to_owned(), "i"), "10.255.0.77".to_owned());
    cluster.pass();
    assert_eq!(cluster.id("b", "i").as_deref(), Some("10.255.0.77"));
    for node in ["a", "b"] {
        cluster.overrides.insert((node.to_owned(), "i"), "192.0.2.1".to_owned());
    }
    cluster.pass();
    assert_eq!(cluster.ids().into_values().collect::<Vec<_>>(), ["192.0.2.1", "192.0.2.1"]);
    assert!(cluster.report.is_empty(), "{}", cluster.report);
}

#[test]
fn a_pool_that_is_none_keeps_what_is_there() {
    let mut cluster = Cluster::new("10.255.0.0/24", &["a"], &["i"]);
    cluster.pass();
    for pool in ["fd00::/64", "ten", ""] {
        cluster.pool = pool.to_owned();
        cluster.nodes.insert("b".to_owned());
        cluster.pass();
        assert_eq!(cluster.id("a", "i").as_deref(), Some("10.255.0.0"), "{pool}");
        assert_eq!(cluster.id("b", "i"), None);
        assert!(cluster.report.contains("RouterIdPoolInvalid"), "{}", cluster.report);
    }
    cluster.pool = "10.1.0.0/24".to_owned();
    cluster.pass();
    assert_eq!(cluster.id("a", "i").as_deref(), Some("10.1.0.0"), "another pool, another ID");
}

#[derive(Clone, Debug)]
enum Change {
    Select(u8),
    Unselect(u8),
    Override(u8, u8),
    NoOverride(u8),
    Instances(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0_u8..12).prop_map(Change::Select),
        (0_u8..12).prop_map(Change::Unselect),
        (0_u8..12, 0_u8..20).prop_map(|(node, id)| Change::Override(node, id)),
        (0_u8..12).prop_map(Change::NoOverride),
        (1_u8..4).prop_map(Change::Instances),
    ]
}

proptest! {
    /// Whatever happens: IDs of the pool are unique, whoever had one keeps it unless its override says otherwise, nobody goes
    /// without one while there are some, and a second pass changes nothing.
    #[test]
    fn unique_kept_and_settled(changes in prop::collection::vec(change(), 1..60)) {
        let mut cluster = Cluster::new("10.0.0.0/28", &[], &["i"]);
        let pool: Ipv4Net = "10.0.0.0/28".parse().unwrap();
        for change in changes {
            let node = |number: u8| format!("n{number}");
            match change {
                Change::Select(number) => { cluster.nodes.insert(node(number)); }
                Change::Unselect(number) => { cluster.nodes.remove(&node(number)); }
                Change::Override(number, id) => {
                    cluster.overrides.insert((node(number), "i"), format!("10.0.0.{id}"));
                }
                Change::NoOverride(number) => { cluster.overrides.remove(&(node(number), "i")); }
                Change::Instances(count) => {
                    cluster.instances = ["i", "j", "k"].into_iter().take(count.into()).collect();
                }
            }
            let before = cluster.ids();
            cluster.pass();
            let after = cluster.ids();
            let of_pool: Vec<Ipv4Addr> =
                after.values().map(|id| id.parse().unwrap()).filter(|id| pool.contains(id)).collect();
            prop_assert_eq!(of_pool.iter().collect::<BTreeSet<_>>().len(), of_pool.len(), "{:?}", after);
            for (key, id) in &after {
                let overridden = cluster.overrides.keys().any(|(node, instance)| *node == key.0 && *instance == key.1);
                let had = before.get(key).filter(|had| pool.contains(&had.parse::<Ipv4Addr>().unwrap()));
                if let Some(had) = had.filter(|_| !overridden) {
                    prop_assert_eq!(had, id, "{:?} moved", key);
                }
            }
            if of_pool.len() < 16 {
                prop_assert_eq!(after.len(), cluster.nodes.len() * cluster.instances.len());
            }
            cluster.pass();
            prop_assert_eq!(cluster.ids(), after, "a second pass");
        }
    }
}
