//! Golden folders: `tests/golden/<case>/*.yaml` in, `intent.<node>.json` and `report.txt` out;
//! `explain.txt` too where a file `explain` asks questions, `lbipam.txt` where there are pools.
//!
//! `UPDATE_GOLDEN=1 cargo test -p k8s-sync --test golden` writes the outputs anew; read the diff before committing it. An
//! optional file `options` in a case sets options, one `key=value` per line, and what nodes know about their network:
//! `node/link=address address [admin-down] [down|unknown]` and `node/default=gateway link metric`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as expected"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::conditions::ObjectConditions;
use k8s_sync::explain::explain;
use k8s_sync::lbipam::{Allocation, Local, Memory};
use k8s_sync::manifests::Directory;
use k8s_sync::network::{DefaultRoute, Link, OperState};
use k8s_sync::options::RouterIds;
use k8s_sync::report::{Reason, Report};
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::{ClusterPlan, LocalNode, Translator, intent_for_node, node_configs};
use rutter_api::explain::Subject;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Only the inputs, so that the outputs beside them are not read as manifests.
fn inputs(case: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

#[derive(Default)]
struct Setup {
    options: Options,
    allocation: Allocation,
    /// What nodes know about their own network.
    locals: BTreeMap<String, LocalNode>,
}

fn setup(case: &Path) -> Setup {
    let mut setup = Setup::default();
    let text = fs::read_to_string(case.join("options")).unwrap_or_default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').expect("key=value");
        match key {
            "bgp-secrets-namespace" => {
                setup.options.secrets_namespace = (!value.is_empty()).then(|| value.to_owned());
            }
            "enable-no-service-endpoints-routable" => {
                setup.options.no_service_endpoints_routable = value.parse().unwrap();
            }
            "enable-bgp-legacy-origin-attribute" => {
                setup.options.legacy_origin_attribute = value.parse().unwrap();
            }
            "bgp-router-id-allocation-ip-pool" => {
                setup.options.router_ids = RouterIds::Pool(value.to_owned());
            }
            "enable-node-ipam" => setup.allocation.settings.node_ipam = value.parse().unwrap(),
            "k8s-service-proxy-name" => setup.options.service_proxy_name = value.to_owned(),
            "ipam" => setup.options.ipam = value.parse().unwrap(),
            "honor-exclude-from-external-load-balancers" => {
                setup.options.exclude_from_load_balancers = value.parse().unwrap();
            }
            "enable-ipv6" => setup.options.enable_ipv6 = value.parse().unwrap(),
            of_node => {
                let (node, what) = of_node.split_once('/').expect("node/link=... or node/default=...");
                let local = setup.locals.entry(node.to_owned()).or_insert_with(|| LocalNode::named(node));
                let words: Vec<&str> = value.split_whitespace().collect();
                if what == "default" {
                    let [gateway, device, metric] = words[..] else {
                        panic!("gateway device metric: {value}")
                    };
                    local.network.default_routes.insert(DefaultRoute {
                        metric: metric.parse().unwrap(),
                        device: device.to_owned(),
                        gateway: gateway.parse().unwrap(),
                    });
                } else {
                    let addresses = words.iter().filter(|word| word.contains(['.', ':']));
                    let mut link = Link::up(addresses.map(|address| address.parse().unwrap()));
                    link.admin_up = !words.contains(&"admin-down");
                    for (word, state) in [("down", OperState::Down), ("unknown", OperState::Unknown)] {
                        if words.contains(&word) {
                            link.oper = state;
                        }
                    }
                    local.network.links.insert(what.to_owned(), link);
                }
            }
        }
    }
    setup
}

/// What LB IPAM says of pools and Services, if there is a pool.
fn addresses(allocator: &Local) -> Option<String> {
    let (snapshot, pools) = (allocator.snapshot(), allocator.pools());
    let mut text = String::new();
    for pool in &pools {
        let _ = writeln!(
            text,
            "pool {}: {} of {} IPv4, {} of {} IPv6 used",
            pool.name, pool.ipv4.used, pool.ipv4.total, pool.ipv6.used, pool.ipv6.total
        );
    }
    for (name, service) in snapshot.services.iter() {
        let Some(ipam) = service.ipam.as_ref().filter(|ipam| ipam.load_balancer) else { continue };
        let list: Vec<String> = ipam.ingress.iter().filter_map(|entry| Some(entry.ip?.to_string())).collect();
        let said = match &ipam.condition {
            Some(verdict) => format!("{} {} {:?}", verdict.satisfied, verdict.reason, verdict.message),
            None => "no condition".to_owned(),
        };
        let _ = writeln!(text, "service {name}: [{}] {said}", list.join(" "));
    }
    (!pools.is_empty()).then_some(text)
}

/// File name -> content.
fn run(case: &Path) -> BTreeMap<String, String> {
    let (folder, setup) = (inputs(case), setup(case));
    let mut directory = Directory::new(folder.path());
    directory.refresh(Timestamp::UNIX_EPOCH);
    let allocator = Local::look(
        &directory.snapshot(),
        setup.allocation.clone(),
        Memory::default(),
        Timestamp::UNIX_EPOCH,
    );
    let snapshot = allocator.snapshot();
    let plan = node_configs(&snapshot, &setup.options);
    let mut report: Report = directory.report().clone();
    report.merge(allocator.report().clone());
    report.merge(plan.report.clone());
    let mut conditions: Vec<ObjectConditions> = plan.conditions.clone();
    let mut outputs = BTreeMap::new();
    outputs.extend(addresses(&allocator).map(|text| ("lbipam.txt".to_owned(), text)));
    let mut nodes: BTreeSet<&str> = snapshot.node_names();
    nodes.extend(plan.foreign.keys().map(String::as_str));
    for node in nodes {
        let config = plan.node_config(node);
        let local = setup.locals.get(node).cloned().unwrap_or_else(|| LocalNode::named(node));
        let result = intent_for_node(&snapshot, config.map(AsRef::as_ref), &local, &setup.options);
        result
            .intent
            .validate()
            .unwrap_or_else(|invalid| panic!("{}: node {node}: {invalid}", case.display()));
        report.merge(result.report);
        conditions.extend(result.conditions);
        if config.is_some() {
            let text = serde_json::to_string_pretty(&result.intent).unwrap() + "\n";
            outputs.insert(format!("intent.{node}.json"), text);
        }
    }
    report.locate(|object, field| directory.locate(object, field));
    let mut text = report.to_string();
    for of_object in conditions {
        let _ = writeln!(text, "\n{}", of_object.object);
        for condition in of_object.conditions {
            let status = if condition.status { "True" } else { "False" };
            let _ =
                writeln!(text, "  {} {status} {} {:?}", condition.type_, condition.reason, condition.message);
        }
    }
    outputs.insert("report.txt".to_owned(), text);
    let questions = fs::read_to_string(case.join("explain")).unwrap_or_default();
    if !questions.is_empty() {
        outputs.insert("explain.txt".to_owned(), explained(&questions, &snapshot, &plan, &setup));
    }
    outputs
}

/// The answers of all nodes to the questions of a case, one per line: `service default/web`, `node w1`, `prefix 10.0.0.0/24`.
fn explained(questions: &str, snapshot: &Snapshot, plan: &ClusterPlan, setup: &Setup) -> String {
    let mut text = String::new();
    for question in questions.lines().filter(|line| !line.starts_with('#')) {
        let (kind, name) = question.split_once(' ').expect("KIND NAME");
        let subject = Subject::parse(kind, name).unwrap();
        let one = |node: &&str| {
            let local = setup.locals.get(*node).cloned().unwrap_or_else(|| LocalNode::named(*node));
            let config = plan.node_config(node).map(AsRef::as_ref);
            explain(snapshot, config, &local, &setup.options, &subject).ok()
        };
        let explanations: Vec<_> = snapshot.node_names().iter().filter_map(one).collect();
        let _ = write!(text, "# {question}\n{}\n", rutter_api::explain::text::many(&explanations, &[]));
    }
    text
}

fn recorded(case: &Path) -> BTreeMap<String, String> {
    let mut recorded = BTreeMap::new();
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if ["report.txt", "explain.txt", "lbipam.txt"].contains(&name.as_str()) || name.starts_with("intent.")
        {
            recorded.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    recorded
}

#[test]
fn every_case_gives_what_is_recorded() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    for case in cases() {
        let (outputs, recorded) = (run(&case), recorded(&case));
        if update {
            for stale in recorded.keys().filter(|name| !outputs.contains_key(*name)) {
                fs::remove_file(case.join(stale)).unwrap();
            }
            for (name, text) in &outputs {
                fs::write(case.join(name), text).unwrap();
            }
            continue;
        }
        let names: BTreeSet<&String> = outputs.keys().chain(recorded.keys()).collect();
        for name in names {
            let (now, before) = (outputs.get(name), recorded.get(name));
            if now != before {
                let case = case.file_name().unwrap().display();
                let (now, before) = (text_of(now), text_of(before));
                let _ = writeln!(failures, "=== {case}/{name}\n--- recorded\n{before}\n--- now\n{now}");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn text_of(text: Option<&String>) -> &str {
    text.map_or("(no such file)", String::as_str)
}

/// A memo never shows: one translator for all cases and nodes, twice over, answers like a new one each time.
#[test]
fn what_a_translator_has_seen_before_changes_nothing() {
    let mut translator = Translator::default();
    for case in cases() {
        let (folder, setup) = (inputs(&case), setup(&case));
        let mut directory = Directory::new(folder.path());
        directory.refresh(Timestamp::UNIX_EPOCH);
        let snapshot = directory.snapshot();
        let plan = node_configs(&snapshot, &setup.options);
        for round in 0..2 {
            for node in snapshot.node_names() {
                let config = plan.node_config(node).map(AsRef::as_ref);
                let local = setup.locals.get(node).cloned().unwrap_or_else(|| LocalNode::named(node));
                let fresh = intent_for_node(&snapshot, config, &local, &setup.options);
                for again in 0..2 {
                    let kept = translator.intent_for_node(&snapshot, config, &local, &setup.options);
                    let at = format!("{} {node} {round} {again}", case.display());
                    assert_eq!(kept.intent, fresh.intent, "{at}");
                    assert_eq!(kept.report, fresh.report, "{at}");
                    assert_eq!(kept.conditions, fresh.conditions, "{at}");
                }
            }
        }
    }
}

/// The same while Services and EndpointSlices come, change and go one by one.
#[test]
fn one_change_after_the_other() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/same-prefix");
    let text = fs::read_to_string(case.join("bgp.yaml")).unwrap()
        + "---\n"
        + &fs::read_to_string(case.join("node.yaml")).unwrap();
    let documents: Vec<&str> = text.split("---\n").collect();
    let more = [
        "apiVersion: v1\nkind: Service\nmetadata: {name: NAME, labels: {tier: gold}}\nspec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{port: 80}], externalTrafficPolicy: Local}\nstatus: {loadBalancer: {ingress: [{ip: 172.16.1.ADDRESS}]}}\n",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: NAME-1, labels: {kubernetes.io/service-name: NAME}}\naddressType: IPv4\nports: [{name: '', port: 80}]\nendpoints: [{addresses: [10.0.0.ADDRESS], nodeName: w1}]\n",
    ];
    let names = ["a", "gold2", "silver", "z"];
    let (mut translator, options) = (Translator::default(), Options::default());
    // A small generator of numbers, always the same.
    let mut state: u32 = 7;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 16).unwrap() % below
    };
    let folder = tempfile::tempdir().unwrap();
    for (index, document) in documents.iter().enumerate() {
        fs::write(folder.path().join(format!("{index}.yaml")), document).unwrap();
    }
    let mut directory = Directory::new(folder.path());
    for round in 0..150 {
        let file = folder.path().join(format!("more-{}.yaml", next(8)));
        let document = more[next(2)];
        let document =
            document.replace("NAME", names[next(4)]).replace("ADDRESS", &(next(3) + 1).to_string());
        match next(4) {
            0 if file.exists() => fs::remove_file(&file).unwrap(),
            _ => fs::write(&file, document).unwrap(),
        }
        directory.refresh(Timestamp::UNIX_EPOCH);
        let snapshot = directory.snapshot();
        let plan = node_configs(&snapshot, &options);
        let config = plan.node_config("w1").map(AsRef::as_ref);
        let local = LocalNode::named("w1");
        let fresh = intent_for_node(&snapshot, config, &local, &options);
        let kept = translator.intent_for_node(&snapshot, config, &local, &options);
        assert_eq!((kept.intent, kept.report), (fresh.intent, fresh.report), "round {round}");
    }
}

#[test]
fn there_are_enough_cases() {
    assert!(cases().len() >= 25, "{} cases", cases().len());
}

/// Reasons that no folder can bring about, with why.
const NOT_IN_FOLDERS: &[(&str, &str)] = &[
    ("DirectoryUnreadable", "needs a directory that fails; see the tests of `manifests::directory`"),
    ("FileUnreadable", "needs a file that fails"),
    ("FileEmpty", "needs an earlier state of the file; see the tests of `manifests::directory`"),
    ("DuplicateName", "the schema forbids it; only other sources of objects could"),
    ("PeerAsnMissing", "see case node-config-by-hand"),
    ("ServiceOptionsMissing", "a rule of the schema forbids it; only other sources of objects could"),
    ("InterfaceOptionsMissing", "a rule of the schema forbids it; only other sources of objects could"),
    ("CommunityInvalid", "a pattern of the schema forbids it; only other sources of objects could"),
    ("AdvertisementNotSelected", "an explanation's, see `explain.txt`"),
    ("ServiceNotSelected", "an explanation's, see `explain.txt`"),
    ("NoAddressOfType", "an explanation's, see `explain.txt`"),
    ("AddressOfOtherFamily", "an explanation's, see `explain.txt`"),
    ("AddressMemoryUnreadable", "needs a file that fails; see the agent's tests"),
    ("AddressMemoryUnwritable", "needs a file that fails; see the agent's tests"),
    ("ApiUnavailable", "needs an API server"),
    ("ApiForbidden", "needs an API server"),
    ("KindNotServed", "needs an API server"),
    ("ApiRefuses", "needs an API server"),
    ("ObjectUndecodable", "needs an API server"),
    ("RouterIdInvalid", "see case router-id"),
    ("Undecodable", "see case secrets"),
];

#[test]
fn every_reason_is_met_by_a_case() {
    let texts: String = cases().iter().map(|case| run(case)["report.txt"].clone()).collect();
    let missing: Vec<&&str> = Reason::NAMES
        .iter()
        .filter(|name| !texts.lines().any(|line| line.split_whitespace().nth(1) == Some(name)))
        .filter(|name| !NOT_IN_FOLDERS.iter().any(|(listed, _)| listed == *name))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}
