//! Tests of `manifests::document`: documents, one line per way to be right or wrong.

use super::*;

fn one(text: &str) -> Document {
    let mut documents = read(text).unwrap();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn remarks(document: &Document) -> Vec<(u64, &str, &'static str)> {
    document.remarks.iter().map(|remark| (remark.line, remark.path.as_str(), remark.reason.name())).collect()
}

const CLUSTER: &str = "apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: c}
spec:
  bgpInstances:
    - name: i
      localASN: 65001
";

#[test]
fn a_right_document_becomes_an_object_with_defaults() {
    let document = one(&format!("{CLUSTER}      peers: [{{name: p, peerAddress: 192.0.2.1}}]\n"));
    assert!(document.remarks.is_empty(), "{:?}", document.remarks);
    let Some(Object::CiliumBGPClusterConfig(config)) = document.object else {
        panic!("no cluster configuration")
    };
    assert_eq!(config.spec.bgp_instances[0].peers[0].peer_asn, 0);
    assert_eq!(document.lines["spec.bgpInstances[0].localASN"], 7);
}

#[test]
fn unknown_fields_are_warned_about_with_their_line() {
    let document = one(&format!("{CLUSTER}      localAsn: 65002\n  bgpinstances: []\n"));
    assert!(document.object.is_some(), "the API server would prune them");
    assert_eq!(
        remarks(&document),
        [(9, "spec.bgpinstances", "UnknownField"), (8, "spec.bgpInstances[0].localAsn", "UnknownField")]
    );
}

#[test]
fn wrong_types_are_errors_with_their_line() {
    let document = one(&CLUSTER.replace("65001", "\"65001\""));
    assert!(document.bad);
    assert_eq!(remarks(&document), [(7, "spec.bgpInstances[0].localASN", "WrongType")]);
    assert_eq!(document.remarks[0].reason.to_string(), "must be an integer, not the string \"65001\"");
    let document = one(&CLUSTER.replace("{name: c}", "{name: c, labels: {a: true}}"));
    assert_eq!(remarks(&document), [(3, "metadata.labels.a", "WrongType")]);
}

#[test]
fn limits_of_the_schema() {
    for (from, to, reason) in [
        ("65001", "0", "OutOfRange"),
        ("65001", "4294967296", "OutOfRange"),
        ("- name: i", "- name: \"\"", "WrongLength"),
        ("name: i\n", "other: i\n", "Required"),
        ("localASN: 65001", "localPort: 65536", "OutOfRange"),
        ("localASN: 65001", "peers: [{name: p, peerAddress: 192.0.2.256}]", "Malformed"),
        ("localASN: 65001", "peers: [{name: p}, {name: q}, {name: p}]", "DuplicateKey"),
        ("localASN: 65001", "peers: [{name: p, autoDiscovery: {mode: Guess}}]", "NotAllowed"),
        ("{name: c}", "{name: C_1}", "NameInvalid"),
    ] {
        let document = one(&CLUSTER.replace(from, to));
        let names: Vec<_> = document.remarks.iter().map(|remark| remark.reason.name()).collect();
        assert!(names.contains(&reason), "{to}: {names:?}");
        assert!(document.bad, "{to}");
    }
    let document = one(
        "{apiVersion: cilium.io/v2, kind: CiliumBGPClusterConfig, metadata: {name: c}, spec: {bgpInstances: []}}",
    );
    assert_eq!(remarks(&document), [(1, "spec.bgpInstances", "WrongCount")]);
}

#[test]
fn blanks_around_an_address_pass_as_on_the_server() {
    assert!(!one(&CLUSTER.replace("localASN: 65001", "peers: [{name: p, peerAddress: ' 192.0.2.1 '}]")).bad);
}

const PEER: &str = "apiVersion: cilium.io/v2\nkind: CiliumBGPPeerConfig\nmetadata: {name: p}\nspec:\n";

#[test]
fn the_keepalive_rule_compares_after_defaulting() {
    let document = one(&format!("{PEER}  timers:\n    holdTimeSeconds: 15\n"));
    assert_eq!(remarks(&document), [(6, "spec.timers", "RuleBroken")]);
    let text = document.remarks[0].reason.to_string();
    assert!(text.starts_with("keepAliveTimeSeconds can not be larger than holdTimeSeconds"), "{text}");
    assert!(text.ends_with("holdTimeSeconds: 15 and keepAliveTimeSeconds: 5"), "{text}");
}

#[test]
fn nulls_are_pruned_and_then_defaulted() {
    let document = one(&format!("{PEER}  ebgpMultihop: null\n  authSecretRef:\n  families: ~\n"));
    assert!(document.remarks.is_empty(), "{:?}", document.remarks);
    let Some(Object::CiliumBGPPeerConfig(config)) = document.object else { panic!("no peer configuration") };
    assert_eq!(config.spec, rutter_crds::CiliumBGPPeerConfigSpec::default());
}

#[test]
fn rules_of_advertisements() {
    let entry = |entry: &str| {
        one(&format!(
            "apiVersion: cilium.io/v2\nkind: CiliumBGPAdvertisement\nmetadata: {{name: a}}\nspec:\n  advertisements:\n    - {entry}\n"
        ))
    };
    for (text, message) in [
        ("{advertisementType: Service}", "service field is required for the 'Service' advertisementType"),
        (
            "{advertisementType: PodCIDR, service: {addresses: [ClusterIP]}}",
            "service field is not allowed for non-'Service' advertisementType",
        ),
        (
            "{advertisementType: PodCIDR, selector: {}}",
            "selector field is not allowed for the 'PodCIDR' advertisementType",
        ),
        (
            "{advertisementType: Interface}",
            "interface field is required for the 'Interface' advertisementType",
        ),
    ] {
        let document = entry(text);
        assert_eq!(document.remarks.len(), 1, "{text}");
        assert_eq!(document.remarks[0].line, 6);
        assert!(
            document.remarks[0].reason.to_string().starts_with(message),
            "{text}: {:?}",
            document.remarks
        );
    }
    let odd = entry(
        "{advertisementType: PodCIDR, attributes: {localPreference: -5, communities: {standard: [\"1:2:3\"]}}}",
    );
    assert_eq!(remarks(&odd).len(), 1, "only the community has a pattern: {odd:?}");
}

#[test]
fn v2alpha1_is_read_into_the_same_types() {
    let text = "apiVersion: cilium.io/v2alpha1
kind: CiliumBGPPeerConfig
metadata: {name: p}
spec:
  transport: {localPort: 1790, sourceInterface: eth0}
";
    let document = one(text);
    assert_eq!(
        remarks(&document),
        [
            (5, "spec.transport.sourceInterface", "UnknownField"),
            (5, "spec.transport.localPort", "FieldIgnored")
        ]
    );
    let Some(Object::CiliumBGPPeerConfig(config)) = document.object else { panic!("no peer configuration") };
    assert_eq!(config.spec.transport.as_ref().unwrap().peer_port, 179);
    let text = CLUSTER.replace("/v2", "/v2alpha1").replace(
        "localASN: 65001",
        "peers: [{name: p, autoDiscovery: {mode: DefaultGateway}, peerConfigRef: {name: x, kind: Other}}]",
    );
    let document = one(&text);
    let names: Vec<_> = document.remarks.iter().map(|remark| remark.reason.name()).collect();
    assert_eq!(names, ["UnknownField", "FieldIgnored"]);
}

#[test]
fn lists_are_taken_apart() {
    let text = "apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Node, metadata: {name: a}}
  - {apiVersion: v1, kind: Node, metadata: {name: b}}
---
apiVersion: v1
kind: ServiceList
items:
  - {metadata: {name: s}}
---
apiVersion: v1
kind: List
items: {}
";
    let documents = read(text).unwrap();
    let keys: Vec<_> =
        documents.iter().map(|document| document.key.as_ref().map(ToString::to_string)).collect();
    assert_eq!(
        keys,
        [Some("Node a".to_owned()), Some("Node b".to_owned()), Some("Service default/s".to_owned()), None]
    );
    assert_eq!(documents[1].line, 5);
    assert!(documents[3].bad);
}

#[test]
fn documents_that_are_no_objects() {
    for (text, reason) in [
        ("just text", "NotAnObject"),
        ("[1, 2]", "NotAnObject"),
        ("kind: Node", "IdentityMissing"),
        ("{apiVersion: v1, kind: Node}", "IdentityMissing"),
        ("{apiVersion: v1, kind: Node, metadata: {name: 7}}", "WrongType"),
    ] {
        let document = one(text);
        assert!(document.bad, "{text}");
        assert_eq!(document.remarks[0].reason.name(), reason, "{text}");
    }
    let skipped = one("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}");
    assert!(!skipped.bad, "a kind that is not ours is no mistake");
}

#[test]
fn secrets_are_decoded_and_never_quoted() {
    let document = one(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {password: aHVudGVyMg==}, stringData: {other: x}}",
    );
    let Some(Object::Secret(secret)) = &document.object else { panic!("no secret") };
    assert_eq!(secret.0.data.as_ref().unwrap()["password"].0, b"hunter2");
    assert_eq!(secret.0.data.as_ref().unwrap()["other"].0, b"x");
    assert!(!format!("{document:?}").contains("104, 117, 110"), "the bytes of the password are in Debug");
    for text in [
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {password: hunter-2}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: 20212}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: [hunter-2, 20212]}",
    ] {
        let document = one(text);
        assert!(document.bad, "{text}");
        let said = document.remarks.iter().map(|remark| remark.reason.to_string()).collect::<String>();
        assert!(!said.contains("hunter") && !said.contains("20212"), "{said}");
    }
}

#[test]
fn built_in_kinds_as_the_server_takes_them() {
    let document =
        one("{apiVersion: v1, kind: Node, metadata: {name: n}, status: {capacity: {cpu: 4, memory: 1Gi}}}");
    assert!(document.object.is_some(), "quantities may be numbers: {:?}", document.remarks);
    let text = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e}, addressType: IPv4, endpoints: null}";
    assert!(one(text).object.is_some(), "the server prints an empty list as null");
    let document = one(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: http}], typ: ClusterIP}}",
    );
    let names: Vec<_> = document.remarks.iter().map(|remark| remark.reason.name()).collect();
    assert_eq!(names, ["UnknownField", "WrongType"]);
}

#[test]
fn what_an_api_server_would_refuse_of_a_service() {
    let document = one(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  loadBalancerIP: anything\n  type: Balancer\n",
    );
    assert!(document.bad);
    assert_eq!(remarks(&document), [(6, "spec.type", "NotAllowed")]);
    let document = one(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: LoadBalancer, loadBalancerIP: anything}\n\
         status:\n  loadBalancer:\n    ingress: [{hostname: x}, {ip: 10.0.0.1}, {ip: 010.0.0.1}]\n",
    );
    assert!(!document.bad);
    assert_eq!(remarks(&document), [(7, "status.loadBalancer.ingress[2].ip", "ServiceAddressInvalid")]);
}

#[test]
fn a_text_is_cut_where_documents_begin() {
    let text = "a: 1\n---\nb: |\n  ---\n ---\n--- # c\n---d: 1\n--- x\r\n---";
    let parts = split(text);
    assert_eq!(parts.iter().map(|(_, part)| *part).collect::<String>(), text);
    assert_eq!(parts.iter().map(|(before, _)| *before).collect::<Vec<_>>(), [0, 1, 5, 7, 8]);
    assert_eq!(split("%YAML 1.2\n---\na: 1\n---\nb: 1\n").len(), 1);
    assert_eq!(split(""), [(0, "")]);
    assert_eq!(split("---\na: 1\n"), [(0, "---\na: 1\n")]);
}
