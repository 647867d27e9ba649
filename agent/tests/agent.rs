//! The agent as a process: a directory of files in, intents at a bgpd out. The bgpd here only keeps what it is told.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};
use rutter_api::client::Client;
use rutter_api::control::{Applied, IntentSummary};
use rutter_api::intent::Intent;
use serde_json::Value;

type Held = Arc<Mutex<Option<Intent>>>;

struct Lab {
    folder: tempfile::TempDir,
    held: Held,
    agent: Child,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

async fn keep(State(held): State<Held>, Json(intent): Json<Intent>) -> Json<Applied> {
    *held.lock().unwrap() = Some(intent);
    Json(Applied::default())
}

async fn list(State(held): State<Held>) -> Json<Vec<IntentSummary>> {
    let summary = |intent: &Intent| IntentSummary {
        owner: "kubernetes".to_owned(),
        instances: intent.instances.len(),
        peers: intent.instances.iter().map(|instance| instance.peers.len()).sum(),
        routes: intent.instances.iter().map(|instance| instance.routes.len()).sum(),
        age_seconds: 0,
        hold_seconds: None,
    };
    Json(held.lock().unwrap().iter().map(summary).collect())
}

async fn peers() -> Json<Value> {
    let family = serde_json::json!({"afi": "ipv4", "safi": "unicast", "received": 0, "advertised": 1});
    Json(serde_json::json!([{
        "instance": "main", "local-asn": 65001, "peer-asn": 65000, "peer-address": "192.0.2.200",
        "session-state": "established", "families": [family]}]))
}

fn start_bgpd(socket: &Path) -> Held {
    let held = Held::default();
    let app = Router::new()
        .route("/v1/intents", get(list))
        .route("/v1/intents/kubernetes", put(keep))
        .route("/v1/bgp/peers", get(peers))
        .route("/v1/explain/bgp/prefix/{prefix}", get(async || Json(serde_json::json!({
            "prefix": "10.1.0.0/24",
            "instances": [{"instance": "main", "paths": [], "peers": [{
                "name": "tor", "address": "192.0.2.200", "state": "Active", "stateSeconds": 3, "down": "refused",
                "told": {"told": "withheld", "reason": "peer_down", "message": "the session is not established"},
            }]}],
        }))))
        .with_state(Arc::clone(&held));
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    held
}

fn start_agent(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rutter-agent"))
        .args(["--node", "w1", "--log-format", "json"])
        .arg("--manifests")
        .arg(folder.join("manifests"))
        .arg("--bgpd-socket")
        .arg(folder.join("bgpd.sock"))
        .arg("--socket")
        .arg(folder.join("agent.sock"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        let held = start_bgpd(&folder.path().join("bgpd.sock"));
        let agent = start_agent(folder.path());
        Self { folder, held, agent }
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.folder.path().join("manifests").join(name)
    }

    fn prefixes(&self) -> Vec<String> {
        let held = self.held.lock().unwrap();
        let instances = held.iter().flat_map(|intent| &intent.instances);
        instances.flat_map(|instance| &instance.routes).map(|route| route.prefix.to_string()).collect()
    }

    /// Waits until bgpd holds these prefixes; how long that took.
    async fn until(&self, prefixes: &[&str]) -> Duration {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.prefixes() == prefixes {
                return start.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("bgpd has {:?} and not {prefixes:?}", self.prefixes());
    }

    async fn status(&self) -> Value {
        Client::new(self.folder.path().join("agent.sock")).get_json("/v1/status").await.unwrap()
    }
}

const BGP: &str = "apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: c}
spec:
  bgpInstances:
    - name: main
      localASN: 65001
      peers: [{name: tor, peerASN: 65000, peerAddress: 192.0.2.200, peerConfigRef: {name: p}}]
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {name: p}
spec:
  families: [{afi: ipv4, safi: unicast, advertisements: {}}]
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {name: a}
spec:
  advertisements: [{advertisementType: PodCIDR}]
";

fn node(cidr: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: w1}}\nspec: {{podCIDRs: [{cidr}]}}\nstatus: {{addresses: [{{type: InternalIP, address: 192.0.2.1}}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_join_the_objects_and_the_wire() {
    let lab = Lab::new();
    fs::write(lab.manifest("node.yaml"), node("10.1.0.0/24")).unwrap();
    fs::write(lab.manifest("bgp.yaml"), BGP).unwrap();
    lab.until(&["10.1.0.0/24"]).await;
    let agent = Client::new(lab.folder.path().join("agent.sock"));
    let answer: Value = agent.get_json("/v1/explain/prefix/10.1.0.0%2F24").await.unwrap();
    assert_eq!(answer["outcome"]["verdict"], "notAnnounced", "{answer:#}");
    assert_eq!(answer["outcome"]["summary"], "not announced: peer_down");
    assert_eq!(answer["outcome"]["stops"][0]["message"], "the session is not established: refused");
    let peer = &answer["instances"][0]["peers"][0];
    assert_eq!(peer["offered"][0]["statement"], "PodCIDR-ipv4", "{answer:#}");
    assert_eq!(peer["families"][0]["advertisements"][0]["entries"][0]["offers"][0]["source"], "PodCIDR w1");
    let alone: Value = agent.get_json("/v1/explain/prefix/10.1.0.0%2F24?bgpd=false").await.unwrap();
    assert_eq!(
        (&alone["outcome"]["verdict"], &alone["bgpd"]["state"]),
        (&"offered".into(), &"notAsked".into())
    );
    let answer: Value = agent.get_json("/v1/explain/node/w1").await.unwrap();
    assert_eq!(answer["nodeFacts"]["clusterConfig"], "c", "{answer:#}");
    for (page, status) in [
        ("/v1/explain/node/w2", 404),
        ("/v1/explain/service/default/none", 404),
        ("/v1/explain/prefix/nonsense", 400),
        ("/v1/show/bgp/summary", 404),
    ] {
        assert_eq!(agent.get_text(page).await.unwrap_err().status(), Some(status), "{page}");
    }
    let (bgpd, forwarded) = (Client::new(lab.folder.path().join("bgpd.sock")), "/v1/bgp/peers");
    assert_eq!(agent.get_text(forwarded).await.unwrap(), bgpd.get_text(forwarded).await.unwrap());
    assert_eq!(agent.post("/v1/bgp/peers").await.unwrap_err().status(), Some(405));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_ciliums_names_and_ours() {
    let lab = Lab::new();
    fs::write(lab.manifest("all.yaml"), format!("{BGP}---\n{}", node("10.1.0.0/24"))).unwrap();
    lab.until(&["10.1.0.0/24"]).await;
    let client = Client::new(lab.folder.path().join("agent.sock"));
    let start = Instant::now();
    let mut text = String::new();
    // The put is seen here before its answer has reached the agent.
    while !text.contains("intent_puts_total{outcome=\"applied\"} 1")
        && start.elapsed() < Duration::from_secs(5)
    {
        text = client.get_text("/metrics").await.unwrap();
    }
    for expected in [
        "cilium_bgp_control_plane_session_state{instance_name=\"main\",local_asn=\"65001\",neighbor=\"192.0.2.200:179\",neighbor_asn=\"65000\"} 1",
        "cilium_bgp_control_plane_advertised_routes{afi=\"ipv4\",instance_name=\"main\",local_asn=\"65001\",neighbor=\"192.0.2.200:179\",neighbor_asn=\"65000\",safi=\"unicast\"} 1",
        "cilium_bgp_control_plane_received_routes{afi=\"ipv4\",",
        "cilium_bgp_control_plane_reconcile_errors_total{instance_name=\"main\"} 0",
        "cilium_bgp_control_plane_reconcile_run_duration_seconds_count{instance_name=\"main\"} 1",
        "rutter_agent_intent_puts_total{outcome=\"applied\"} 1",
        "rutter_agent_intent_size{part=\"routes\"} 1",
        "rutter_agent_intent_pending 0",
        "rutter_agent_bgpd_up 1",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let (labels, page) = (["vrouter=", "peer_address="], &text);
    assert!(labels.iter().all(|old| !page.contains(old)), "labels before 1.20 are out:\n{page}");
}

const WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn files_take_effect_within_a_second_and_mistakes_take_none() {
    let mut lab = Lab::new();
    fs::write(lab.manifest("node.yaml"), node("10.1.0.0/24")).unwrap();
    fs::write(lab.manifest("bgp.yaml"), BGP).unwrap();
    lab.until(&["10.1.0.0/24"]).await;

    fs::write(lab.manifest("node.yaml"), node("10.2.0.0/24")).unwrap();
    let took = lab.until(&["10.2.0.0/24"]).await;
    assert!(took < WITHIN, "an edit took {took:?}");

    // Half written, then whole.
    fs::write(lab.manifest("node.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {na").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(lab.prefixes(), ["10.2.0.0/24"]);
    let status = lab.status().await;
    assert_eq!(status["counts"]["errors"], 1, "{status:#}");
    assert_eq!(status["findings"][0]["reason"], "Syntax");
    assert_eq!(status["findings"][0]["file"], "node.yaml");
    fs::write(lab.manifest("node.yaml"), node("10.3.0.0/24")).unwrap();
    let took = lab.until(&["10.3.0.0/24"]).await;
    assert!(took < WITHIN, "mending took {took:?}");

    // The directory itself goes: nothing changes. It comes back: what is in it counts.
    fs::remove_dir_all(lab.folder.path().join("manifests")).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(lab.prefixes(), ["10.3.0.0/24"]);
    fs::create_dir(lab.folder.path().join("manifests")).unwrap();
    fs::write(lab.manifest("all.yaml"), format!("{BGP}---\n{}", node("10.4.0.0/24"))).unwrap();
    let took = lab.until(&["10.4.0.0/24"]).await;
    assert!(took < WITHIN, "a new directory took {took:?}");

    fs::remove_file(lab.manifest("all.yaml")).unwrap();
    let took = lab.until(&[]).await;
    assert!(took < WITHIN, "deleting took {took:?}");
    assert!(lab.agent.try_wait().unwrap().is_none(), "the agent is alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_changes_nothing_and_a_new_bgpd_is_told_everything() {
    let mut lab = Lab::new();
    fs::write(lab.manifest("all.yaml"), format!("{BGP}---\n{}", node("10.1.0.0/24"))).unwrap();
    lab.until(&["10.1.0.0/24"]).await;
    // The put is seen here before its answer has reached the agent.
    let mut status = lab.status().await;
    for _ in 0..100 {
        if status["bgpd"]["reachable"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = lab.status().await;
    }
    assert_eq!(status["bgpd"]["reachable"], true, "{status:#}");
    assert_eq!(status["conditions"][2]["conditions"][0]["reason"], "ReconcileSucceeded", "{status:#}");

    *lab.held.lock().unwrap() = None;
    lab.until(&["10.1.0.0/24"]).await;

    lab.agent.kill().unwrap();
    lab.agent.wait().unwrap();
    assert_eq!(lab.prefixes(), ["10.1.0.0/24"]);

    // The socket that the killed agent left behind does not keep its successor from starting.
    fs::write(lab.manifest("all.yaml"), format!("{BGP}---\n{}", node("10.5.0.0/24"))).unwrap();
    lab.agent = start_agent(lab.folder.path());
    lab.until(&["10.5.0.0/24"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_links_lead_to_takes_effect_within_a_second_too() {
    let lab = Lab::new();
    let elsewhere = |name: &str| lab.folder.path().join(name);
    fs::write(lab.manifest("bgp.yaml"), BGP).unwrap();
    fs::write(elsewhere("node.yaml"), node("10.1.0.0/24")).unwrap();
    std::os::unix::fs::symlink("../node.yaml", lab.manifest("node.yaml")).unwrap();
    lab.until(&["10.1.0.0/24"]).await;
    fs::write(elsewhere("node.yaml"), node("10.2.0.0/24")).unwrap();
    let took = lab.until(&["10.2.0.0/24"]).await;
    assert!(took < WITHIN, "an edit behind a link took {took:?}");

    // As editors save: a new file takes the name.
    fs::write(elsewhere("new"), node("10.3.0.0/24")).unwrap();
    fs::rename(elsewhere("new"), elsewhere("node.yaml")).unwrap();
    let took = lab.until(&["10.3.0.0/24"]).await;
    assert!(took < WITHIN, "a file that replaced another behind a link took {took:?}");

    // As kubelet updates a mounted ConfigMap: one link below all the others is swapped.
    let data = |name: &str| lab.manifest(name);
    fs::create_dir(data("..1")).unwrap();
    fs::write(data("..1/node.yaml"), node("10.4.0.0/24")).unwrap();
    std::os::unix::fs::symlink("..1", data("..data")).unwrap();
    std::os::unix::fs::symlink("..data/node.yaml", data(".link")).unwrap();
    fs::rename(data(".link"), data("node.yaml")).unwrap();
    lab.until(&["10.4.0.0/24"]).await;
    fs::create_dir(data("..2")).unwrap();
    fs::write(data("..2/node.yaml"), node("10.5.0.0/24")).unwrap();
    std::os::unix::fs::symlink("..2", data("..data_tmp")).unwrap();
    fs::rename(data("..data_tmp"), data("..data")).unwrap();
    let took = lab.until(&["10.5.0.0/24"]).await;
    assert!(took < WITHIN, "a ConfigMap's update took {took:?}");
}

const POOL: &str = "apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: {name: pool}
spec: {blocks: [{cidr: 172.16.1.0/24}], allowFirstLastIPs: 'No'}
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {name: a}
spec: {advertisements: [{advertisementType: Service, service: {addresses: [LoadBalancerIP]}, selector: {}}]}
";

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_addresses_of_the_pool_that_lies_there_and_keep_them() {
    let mut lab = Lab::new();
    let bgp = BGP.split("---\n").take(2).collect::<Vec<_>>().join("---\n");
    fs::write(lab.manifest("bgp.yaml"), format!("{bgp}---\n{}---\n{POOL}", node("10.1.0.0/24"))).unwrap();
    fs::write(lab.manifest("z.yaml"), service("z")).unwrap();
    lab.until(&["172.16.1.1/32"]).await;
    fs::write(lab.manifest("a.yaml"), service("a")).unwrap();
    let took = lab.until(&["172.16.1.1/32", "172.16.1.2/32"]).await;
    assert!(took < WITHIN, "a new Service took {took:?}");
    let status = lab.status().await;
    assert_eq!(status["manifests"]["pools"][0]["ipv4"]["available"], "252", "{status:#}");

    // A new process: by name alone `a` would come first.
    lab.agent.kill().unwrap();
    lab.agent.wait().unwrap();
    fs::remove_file(lab.manifest("z.yaml")).unwrap();
    *lab.held.lock().unwrap() = None;
    lab.agent = start_agent(lab.folder.path());
    lab.until(&["172.16.1.2/32"]).await;
    fs::write(lab.manifest("z.yaml"), service("z")).unwrap();
    lab.until(&["172.16.1.1/32", "172.16.1.2/32"]).await;
    let agent = Client::new(lab.folder.path().join("agent.sock"));
    let answer: Value = agent.get_json("/v1/explain/service/default/a?bgpd=false").await.unwrap();
    assert!(answer.to_string().contains("172.16.1.2"), "{answer:#}");
}
