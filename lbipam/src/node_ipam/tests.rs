//! Tests of Node IPAM: who counts, which addresses, which Services.

use super::*;
use crate::service::PortStatus;

fn ips(texts: &[&str]) -> Box<[IpAddr]> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn node(name: &str, labels: &[(&str, &str)], external: &[&str], internal: &[&str]) -> Node {
    Node {
        name: name.into(),
        labels: labels.iter().copied().collect(),
        external: ips(external),
        internal: ips(internal),
        ..Node::default()
    }
}

fn service() -> Service {
    Service {
        load_balancer: true,
        class: Some(CLASS.into()),
        families: [Family::V4].into(),
        ..Service::default()
    }
}

fn settings() -> Settings {
    Settings { node_ipam: true, ..Settings::default() }
}

fn plan(nodes: &[Node], service: Service, ready: &[&str]) -> NodePlan {
    let mut plan = NodePlan::default();
    let ready = || ready.iter().map(|name| (*name).into()).collect();
    Nodes::new(nodes).add_to(&mut plan, &settings(), &Arc::new(service), ready);
    plan
}

/// The addresses that it comes to, as texts; nothing if nothing changes.
fn ingress(nodes: &[Node], service: Service) -> Option<Vec<String>> {
    let change = plan(nodes, service, &[]).services.pop()?;
    assert!(change.condition.is_none() && change.causes.is_empty(), "no condition, no Event");
    Some(change.ingress?.iter().map(|entry| entry.ip.unwrap().to_string()).collect())
}

#[test]
fn whose_services() {
    let on = settings();
    let by_default = Settings { default_ipam: DefaultIpam::NodeIpam, ..settings() };
    assert!(handles(&on, &service()));
    assert!(!handles(&Settings::default(), &service()), "off by default");
    assert!(!handles(&on, &Service { class: None, ..service() }));
    assert!(handles(&by_default, &Service { class: None, ..service() }));
    assert!(!handles(
        &by_default,
        &Service { class: Some("io.cilium/bgp-control-plane".into()), ..service() }
    ));
    assert!(!handles(&on, &Service { load_balancer: false, ..service() }));
}

#[test]
fn internal_addresses_sorted_as_texts_and_none_twice() {
    let nodes = [
        node("a", &[], &[], &["10.0.0.9", "fd00::1"]),
        node("b", &[], &[], &["10.0.0.10"]),
        node("c", &[], &[], &["10.0.0.9"]),
    ];
    assert_eq!(ingress(&nodes, service()).unwrap(), ["10.0.0.10", "10.0.0.9"]);
    let dual = Service { families: [Family::V6, Family::V4].into(), ..service() };
    assert_eq!(ingress(&nodes, dual).unwrap(), ["10.0.0.10", "10.0.0.9", "fd00::1"]);
}

#[test]
fn external_addresses_win_only_in_a_wanted_family() {
    let nodes =
        [node("a", &[], &[], &["10.0.0.1"]), node("b", &[], &["2001:db8::1"], &["10.0.0.2", "fd00::2"])];
    assert_eq!(ingress(&nodes, service()).unwrap(), ["10.0.0.1", "10.0.0.2"]);
    let v6 = Service { families: [Family::V6].into(), ..service() };
    assert_eq!(ingress(&nodes, v6).unwrap(), ["2001:db8::1"]);
    let dual = Service { families: [Family::V4, Family::V6].into(), ..service() };
    assert_eq!(ingress(&nodes, dual).unwrap(), ["2001:db8::1"], "as soon as one exists in either family");
}

#[test]
fn nodes_that_do_not_count() {
    let mut nodes = [
        node("deleting", &[], &[], &["10.0.0.1"]),
        node("excluded", &[(EXCLUDED, "")], &[], &["10.0.0.2"]),
        node("going", &[], &[], &["10.0.0.3"]),
        node("tainted", &[], &[], &["10.0.0.4"]),
    ];
    nodes[0].deleting = true;
    nodes[2].taints = [GOING.into()].into();
    nodes[3].taints = ["node.kubernetes.io/not-ready".into()].into();
    assert_eq!(ingress(&nodes, service()).unwrap(), ["10.0.0.4"], "a node that is not ready stays");
}

#[test]
fn the_annotation_narrows_and_what_is_no_selector_changes_nothing() {
    let nodes = [
        node("a", &[("zone", "a"), ("cores", "4")], &[], &["10.0.0.1"]),
        node("b", &[("zone", "b")], &[], &["10.0.0.2"]),
    ];
    let with = |text: &str| {
        let annotations = [(MATCH_NODE_LABELS, text)].into_iter().collect();
        Service { annotations, ingress: [Ingress::of("10.0.0.7".parse().unwrap())].into(), ..service() }
    };
    assert_eq!(ingress(&nodes, with("zone in (a, c)")).unwrap(), ["10.0.0.1"]);
    assert_eq!(ingress(&nodes, with("cores > 2, zone")).unwrap(), ["10.0.0.1"]);
    assert_eq!(ingress(&nodes, with("")).unwrap().len(), 2);
    let refused = plan(&nodes, with("zone in a"), &[]);
    assert!(refused.services.is_empty());
    assert_eq!(
        &*refused.unreadable[0].message,
        "annotation io.cilium.nodeipam/match-node-labels: \"zone in a\" is no label selector, so the addresses stay as \
         they are; write for example \"zone=a\" or \"tier in (edge, front), !spot\""
    );
}

#[test]
fn local_means_nodes_with_a_ready_endpoint() {
    let nodes = [node("a", &[], &[], &["10.0.0.1"]), node("b", &[], &[], &["10.0.0.2"])];
    let local = Service { traffic_policy: TrafficPolicy::Local, ..service() };
    let of = |ready: &[&str]| plan(&nodes, local.clone(), ready).services.pop();
    assert_eq!(of(&["b"]).unwrap().ingress.unwrap(), [Ingress::of("10.0.0.2".parse().unwrap())].into());
    assert!(of(&[]).is_none(), "none before, none now");
    let had = Service { ingress: [Ingress::of("10.0.0.1".parse().unwrap())].into(), ..local.clone() };
    assert_eq!(plan(&nodes, had, &[]).services[0].ingress.as_deref(), Some(&[][..]));
}

#[test]
fn what_is_right_stays_and_what_others_wrote_too() {
    let nodes = [node("a", &[], &[], &["10.0.0.1"]), node("b", &[], &[], &["10.0.0.2"])];
    let port = PortStatus { port: 80, protocol: "TCP".into(), error: None };
    let first = Ingress { ports: [port].into(), ..Ingress::of("10.0.0.1".parse().unwrap()) };
    let second = Ingress::of("10.0.0.2".parse().unwrap());
    let right = Service { ingress: [first.clone(), second.clone()].into(), ..service() };
    assert_eq!(plan(&nodes, right, &[]), NodePlan::default());
    let half = Service { ingress: [first.clone()].into(), ..service() };
    assert_eq!(plan(&nodes, half, &[]).services[0].ingress, Some([first, second].into()));
    let deleting = Service { deleting: true, ..service() };
    assert_eq!(plan(&nodes, deleting, &[]), NodePlan::default());
}

#[test]
fn without_an_api_server_the_families_follow_the_cluster() {
    let nodes = [node("a", &[], &[], &["10.0.0.1", "fd00::1"])];
    let none = Service { families: [].into(), ..service() };
    assert_eq!(ingress(&nodes, none.clone()).unwrap(), ["10.0.0.1"]);
    let both = Service { family_policy: FamilyPolicy::PreferDualStack, ..none };
    assert_eq!(ingress(&nodes, both).unwrap(), ["10.0.0.1", "fd00::1"]);
}
