//! The control plane keeps its promises, without rutter: what other tests build on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{Component, ControlPlane, EndpointSlice, Node, Pod, SERVER, SERVER_PORT};
use rutter_lab::{Lab, wait_for};
use serde_json::json;

use crate::cluster;

/// Set for the process that plays the victim.
const VICTIM: &str = "RUTTER_LAB_VICTIM";

#[test]
fn kubectl_applies_the_lab_and_reads_it_back() -> Result<()> {
    let cluster = cluster::private("bgp-lab", &[])?;
    let said = cluster.apply_file(&cluster::checkout("examples/bgp-lab"))?;
    for created in ["node/k8s-w0", "service/webpod", "endpointslice.discovery.k8s.io/webpod-x7k2p"] {
        ensure!(said.contains(&format!("{created} created")), "{said}");
    }
    // The server fills in what the custom resource's schema says.
    let peer = cluster.get("ciliumbgppeerconfig", "cilium-peer")?;
    ensure!(peer["spec"]["timers"]["connectRetryTimeSeconds"] == 120, "{peer}");
    // A node's status is kept when somebody creates it; there is no kubelet to write it.
    let node = cluster.get("node", "k8s-w0")?;
    ensure!(node["status"]["addresses"][0]["address"] == "192.168.20.100", "{node}");
    let columns = cluster.kubectl(&["get", "cbgpcluster"])?;
    ensure!(columns.contains("cilium-bgp"), "{columns}");
    Ok(())
}

#[test]
fn nodes_pods_and_slices_are_written_with_their_status() -> Result<()> {
    let cluster = cluster::shared()?;
    cluster.write_node(&Node {
        name: "fixture-node",
        labels: &[("fixture", "yes")],
        pod_cidrs: &["10.9.0.0/24", "fd00:9::/64"],
        internal_ips: &["192.0.2.9", "2001:db8::9"],
    })?;
    let node = cluster.get("node", "fixture-node")?;
    ensure!(node["status"]["addresses"][1]["address"] == "2001:db8::9", "{node}");
    ensure!(
        node["spec"]["podCIDRs"][1] == "fd00:9::/64" && node["metadata"]["labels"]["fixture"] == "yes",
        "{node}"
    );
    let pod = Pod {
        namespace: "default",
        name: "fixture-pod",
        node: "fixture-node",
        ip: "10.9.0.7",
        ..Pod::default()
    };
    cluster.write_pod(&pod)?;
    cluster.write_pod(&Pod { ip: "10.9.0.8", ..pod })?;
    let pod = cluster.get("pod", "fixture-pod")?;
    ensure!(pod["status"]["podIP"] == "10.9.0.8" && pod["status"]["phase"] == "Running", "{pod}");
    cluster.write_endpoint_slice(&EndpointSlice {
        namespace: "default",
        name: "fixture-slice",
        service: "fixture",
        ports: &[("http", 80)],
        endpoints: &[("10.9.0.8", "fixture-node", true)],
    })?;
    let slice = cluster.get("endpointslice", "fixture-slice")?;
    ensure!(slice["endpoints"][0]["nodeName"] == "fixture-node", "{slice}");
    cluster.delete("pod", "fixture-pod")?;
    ensure!(!cluster.try_kubectl(&["get", "pod", "fixture-pod"])?.success, "the pod is still there");
    Ok(())
}

#[test]
fn an_attached_host_and_the_server_reach_each_other() -> Result<()> {
    let cluster = cluster::shared()?;
    let lab = Lab::new("attached")?;
    let host = lab.host("node")?;
    let attachment = cluster.attach(&host)?;
    let ran = cluster.run_on(&host, &["kubectl", "get", "--raw", "/readyz"])?;
    ensure!(ran.success && ran.stdout == "ok", "{ran:?}");

    // The pod proxy dials what runs on that host.
    let listener = host.enter(|| TcpListener::bind((attachment.address, 9972)))??;
    let answering = std::thread::spawn(move || answer_once(&listener));
    cluster.write_pod(&Pod {
        namespace: "default",
        name: "attached-pod",
        node: "attached-node",
        ip: &attachment.address.to_string(),
        ports: &[("http", 9972)],
        ..Pod::default()
    })?;
    let reply = cluster.request(
        "GET",
        "/api/v1/namespaces/default/pods/http:attached-pod:9972/proxy/v1/health",
        None,
    )?;
    ensure!(reply.status == 200 && reply.body == "well", "{reply:?}");
    let asked = answering.join().map_err(|_panic| anyhow::anyhow!("the pod panicked"))??;
    ensure!(asked.starts_with("GET /v1/health HTTP/1.1"), "{asked}");
    Ok(())
}

fn answer_once(listener: &TcpListener) -> std::io::Result<String> {
    let (mut stream, _) = listener.accept()?;
    let mut request = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut request)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell")?;
    Ok(request)
}

#[test]
fn a_service_account_may_do_what_rbac_says() -> Result<()> {
    let cluster = cluster::shared()?;
    cluster.apply(
        "apiVersion: v1
kind: ServiceAccount
metadata: { name: fixture-reader, namespace: default }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: fixture-reader }
rules: [{ apiGroups: [''], resources: [nodes], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: fixture-reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fixture-reader }
subjects: [{ kind: ServiceAccount, name: fixture-reader, namespace: default }]
",
    )?;
    let kubeconfig = cluster.kubeconfig_for("default", "fixture-reader")?.display().to_string();
    cluster.kubectl(&["--kubeconfig", &kubeconfig, "get", "nodes"])?;
    let refused = cluster.try_kubectl(&["--kubeconfig", &kubeconfig, "get", "services"])?;
    ensure!(!refused.success && refused.stderr.contains("cannot list resource \"services\""), "{refused:?}");
    Ok(())
}

#[test]
fn the_controller_manager_makes_slices_and_collects_garbage() -> Result<()> {
    let cluster = cluster::shared()?;
    cluster.controller_manager()?;
    cluster.apply(
        "apiVersion: v1
kind: Service
metadata: { name: fixture-web, namespace: default }
spec: { selector: { app: fixture-web }, ports: [{ port: 80 }] }
",
    )?;
    // Pods on nodes that do not exist are no endpoints.
    cluster.write_node(&Node { name: "fixture-web-node", ..Node::default() })?;
    cluster.write_pod(&Pod {
        namespace: "default",
        name: "fixture-web-1",
        labels: &[("app", "fixture-web")],
        node: "fixture-web-node",
        ip: "10.9.1.1",
        ..Pod::default()
    })?;
    let slice = wait_for(PATIENCE, "an EndpointSlice of fixture-web", || {
        let slices = cluster.list("endpointslices")?;
        slices
            .into_iter()
            .find(|slice| slice["endpoints"][0]["addresses"][0] == "10.9.1.1")
            .context("there is none")
    })
    .with_context(|| cluster.log(Component::ControllerManager).unwrap_or_default())?;
    ensure!(slice["endpoints"][0]["conditions"]["ready"] == true, "{slice}");
    cluster.delete("service", "fixture-web")?;
    wait_for(PATIENCE, "the slice to be collected", || {
        let slices = cluster.list("endpointslices")?;
        ensure!(
            !slices
                .iter()
                .any(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "fixture-web"),
            "it is there"
        );
        Ok(())
    })
}

#[test]
fn a_paused_server_hangs_a_killed_one_refuses_a_restarted_one_has_everything() -> Result<()> {
    let cluster = ControlPlane::start("faults", &[])?;
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}")?;
    let impatient = ["get", "configmap", "kept", "--request-timeout=2s", "-o", "name"];

    cluster.pause(Component::ApiServer)?;
    let begun = Instant::now();
    let ran = cluster.try_kubectl(&impatient)?;
    ensure!(!ran.success && begun.elapsed() >= Duration::from_secs(2), "{ran:?} after {:?}", begun.elapsed());
    cluster.resume(Component::ApiServer)?;
    wait_for(PATIENCE, "the server to go on", || cluster.kubectl(&impatient).map(drop))?;

    cluster.kill(Component::ApiServer)?;
    let at = SocketAddr::new(SERVER.into(), SERVER_PORT);
    let dialled = cluster.host().enter(|| TcpStream::connect(at))?;
    ensure!(dialled.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused), "not refused");
    cluster.restart(Component::ApiServer)?;
    cluster.get("configmap", "kept")?;

    cluster.pause(Component::Etcd)?;
    let written = cluster.try_kubectl(&["create", "configmap", "other", "--request-timeout=2s"])?;
    ensure!(!written.success, "written without a store: {written:?}");
    cluster.resume(Component::Etcd)?;
    cluster.kill(Component::Etcd)?;
    cluster.restart(Component::Etcd)?;
    wait_for(PATIENCE, "the server to find its store again", || cluster.get("configmap", "kept"))?;

    // Other options: at most one request at a time, and no fairness.
    cluster.restart_server_with(&["--enable-priority-and-fairness=false", "--max-requests-inflight=1"])?;
    ensure!(cluster.pid(Component::ApiServer).is_ok(), "it is gone");
    Ok(())
}

#[test]
fn writes_are_fast_on_one_connection() -> Result<()> {
    const WRITES: u32 = 200;
    let cluster = cluster::shared()?;
    let mut connection = cluster.connection()?;
    let begun = Instant::now();
    for number in 0..WRITES {
        let body =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("fast-{number}")}});
        let reply =
            connection.request("POST", "/api/v1/namespaces/default/configmaps", Some(&body.to_string()))?;
        ensure!(reply.status == 201, "{reply:?}");
    }
    let each = begun.elapsed() / WRITES;
    println!("{WRITES} writes on one connection, {each:?} each");
    let reply = connection.request(
        "DELETE",
        "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name!=x",
        None,
    )?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

/// Starts a control plane, says what it made, and waits to be killed.
fn victim() -> Result<()> {
    let cluster = ControlPlane::start("victim", &[])?;
    let (server, etcd) = (cluster.pid(Component::ApiServer)?, cluster.pid(Component::Etcd)?);
    println!("\nvictim {} {} {server} {etcd}", cluster.host().netns(), cluster.host().folder().display());
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// The test starts itself once more as the process that will be killed.
#[test]
fn nothing_is_left_after_kill_9() -> Result<()> {
    if std::env::var_os(VICTIM).is_some() {
        return victim();
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "fixture::nothing_is_left_after_kill_9", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().context("no stdout")?);
    let line = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("victim "))
        .context("the victim never said what it had made")?;
    let [_, netns, folder, server, etcd] = line.split(' ').collect::<Vec<_>>()[..] else {
        bail!("the victim said `{line}`");
    };
    let remains = || -> Result<()> {
        for path in [format!("/run/netns/{netns}"), folder.to_owned()] {
            ensure!(!fs::exists(&path)?, "{path} exists");
        }
        for pid in [server, etcd] {
            let mut status = String::new();
            if let Ok(mut file) = fs::File::open(format!("/proc/{pid}/status")) {
                // It may end while it is read.
                let _ = file.read_to_string(&mut status);
            }
            // A zombie is dead; who reaps it is init's business.
            ensure!(status.is_empty() || status.contains("State:\tZ"), "process {pid} lives");
        }
        Ok(())
    };
    ensure!(remains().is_err(), "nothing was there to be left");
    victim.kill()?;
    victim.wait()?;
    wait_for(Duration::from_secs(10), "the guardian to clean up", remains)
}
