//! Every manifest of the documents that this project started from, as a user would apply it: kubectl, schema validation,
//! a real server. Each object in them is either in force on a node, or somebody says what to write instead: the server, or
//! `rutter-operator plan`, which knows more about kinds that the server has never heard of.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Agent, Bgpd, Host, Lab, rutter_binary, wait_for};
use serde_json::{Value, json};

use crate::{cluster, lbipam};

/// What becomes of an object.
enum Fate {
    /// In force: operator, agent or bgpd act on it.
    Honoured,
    /// The server does not know the kind, and the plan says what to write instead.
    Unknown(&'static str),
}

use Fate::{Honoured, Unknown};

const POLICY: &str = "CiliumBGPPeeringPolicy";
const REPLACEMENT: &str = "a CiliumBGPClusterConfig (nodeSelector";
const ARP: &str = "CiliumBGPAdvertisement of type Service";
const OTHERS: &str = "is for the CNI or controller that implements it";

/// Every object: folder and file, kind, name.
const OBJECTS: &[(&str, &str, &str, Fate)] = &[
    ("beyond-cni/bgp.yaml", "CiliumBGPPeerConfig", "tor-peer", Honoured),
    ("beyond-cni/bgp.yaml", "CiliumBGPClusterConfig", "cilium-bgp", Honoured),
    ("beyond-cni/bgp.yaml", "CiliumBGPAdvertisement", "pod-and-lb", Honoured),
    (
        "beyond-cni/egress.yaml",
        "CiliumEgressGatewayPolicy",
        "billing-to-partner",
        Unknown("leave it to the CNI"),
    ),
    (
        "beyond-cni/egress.yaml",
        "CiliumEgressGatewayPolicy",
        "settlement-egress",
        Unknown("leave it to the CNI"),
    ),
    ("beyond-cni/lbipam-l2.yaml", "CiliumLoadBalancerIPPool", "lb-pool", Honoured),
    ("beyond-cni/lbipam-l2.yaml", "CiliumL2AnnouncementPolicy", "l2-default", Unknown(ARP)),
    ("beyond-cni/mesh.yaml", "Service", "checkout", Honoured),
    ("beyond-cni/mesh.yaml", "CiliumNetworkPolicy", "checkout-allow-east-only", Unknown(OTHERS)),
    ("bgp-lab/advertise-lb.yaml", "CiliumBGPAdvertisement", "bgp-advertisements-lb-exip-webpod", Honoured),
    ("bgp-lab/bgp.yaml", "CiliumBGPAdvertisement", "bgp-advertisements", Honoured),
    ("bgp-lab/bgp.yaml", "CiliumBGPPeerConfig", "cilium-peer", Honoured),
    ("bgp-lab/bgp.yaml", "CiliumBGPClusterConfig", "cilium-bgp", Honoured),
    ("bgp-lab/cluster.yaml", "Node", "k8s-ctr", Honoured),
    ("bgp-lab/cluster.yaml", "Node", "k8s-w1", Honoured),
    ("bgp-lab/cluster.yaml", "Node", "k8s-w0", Honoured),
    ("bgp-lab/cluster.yaml", "EndpointSlice", "webpod-x7k2p", Honoured),
    ("bgp-lab/pool.yaml", "CiliumLoadBalancerIPPool", "cilium-pool", Honoured),
    ("bgp-lab/webpod.yaml", "Service", "webpod", Honoured),
    ("certification/bgp.yaml", POLICY, "rack-1-bgp", Unknown(REPLACEMENT)),
    ("certification/bgp.yaml", POLICY, "lab-bgp", Unknown(REPLACEMENT)),
    ("certification/l2-egress.yaml", "CiliumL2AnnouncementPolicy", "l2-services", Unknown(ARP)),
    ("certification/l2-egress.yaml", "Service", "web", Honoured),
    (
        "certification/l2-egress.yaml",
        "CiliumEgressGatewayPolicy",
        "db-egress-via-gateway",
        Unknown("leave it to the CNI"),
    ),
    ("certification/policy-gateway.yaml", "CiliumNetworkPolicy", "api-l7-policy", Unknown(OTHERS)),
    (
        "certification/policy-gateway.yaml",
        "CiliumClusterwideNetworkPolicy",
        "allow-infrastructure",
        Unknown(OTHERS),
    ),
    ("certification/policy-gateway.yaml", "Gateway", "cilium-gw", Unknown(OTHERS)),
    ("certification/policy-gateway.yaml", "HTTPRoute", "app-routes", Unknown(OTHERS)),
    ("certification/policy-gateway.yaml", "GRPCRoute", "grpc-routes", Unknown(OTHERS)),
    (
        "certification/policy-gateway.yaml",
        "CiliumBandwidthPolicy",
        "rate-limit-batch-jobs",
        Unknown("write the annotation kubernetes.io/egress-bandwidth"),
    ),
    ("mesh-concepts/global-service.yaml", "Service", "api-server", Honoured),
    ("mesh-concepts/l2.yaml", "CiliumLoadBalancerIPPool", "home-lab-pool", Honoured),
    ("mesh-concepts/l2.yaml", "CiliumL2AnnouncementPolicy", "default-l2", Unknown(ARP)),
    ("mesh-concepts/l2.yaml", "CiliumL2AnnouncementPolicy", "l2-policy", Unknown(ARP)),
    ("mesh-concepts/l2.yaml", "Service", "nginx-lb", Honoured),
    ("mesh-concepts/peering-policies.yaml", POLICY, "rack-bgp", Unknown(REPLACEMENT)),
    ("mesh-concepts/peering-policies.yaml", POLICY, "dual-tor-bgp", Unknown(REPLACEMENT)),
    (
        "native-peering/egress.yaml",
        "CiliumEgressGatewayPolicy",
        "egress-to-internet",
        Unknown("write apiVersion: cilium.io/v2, and spec.destinationCIDRs"),
    ),
    (
        "native-peering/peer-policy.yaml",
        "CiliumBGPPeerPolicy",
        "bgp-policy-to-router1",
        Unknown("write a CiliumBGPClusterConfig with the localASN and the peers"),
    ),
    ("native-peering/service.yaml", "Service", "my-nginx-service", Honoured),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests")
}

/// Kind, name and first line of each document of a file, as far as the table needs them.
fn documents(file: &Path) -> Result<Vec<(String, String, usize)>> {
    let text = fs::read_to_string(file)?;
    let (mut found, mut kind, mut first) = (Vec::new(), None, None);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("---") {
            (kind, first) = (None, None);
        } else if !line.starts_with('#') && first.is_none() {
            first = Some(number + 1);
        }
        if let Some(word) = line.strip_prefix("kind: ") {
            kind = Some(word.to_owned());
        }
        if let (Some(name), Some(_)) = (line.strip_prefix("  name: "), &kind) {
            let kind = kind.take().context("a kind")?;
            found.push((kind, name.trim_matches('"').to_owned(), first.context("a line")?));
        }
    }
    Ok(found)
}

/// What `rutter-operator plan` says about a directory: the findings, and the objects it would write.
fn plan(folder: &Path) -> Result<(String, Vec<Value>)> {
    let output = Command::new(rutter_binary("rutter-operator")?)
        .args(["plan", "-o", "json", "--manifests"])
        .arg(folder)
        .output()?;
    let objects = serde_json::from_slice(&output.stdout).context("the plan's objects")?;
    Ok((String::from_utf8_lossy(&output.stderr).into_owned(), objects))
}

#[test]
fn the_table_has_every_object() -> Result<()> {
    let mut written = BTreeSet::new();
    for folder in fs::read_dir(data())? {
        let folder = folder?.path();
        for file in fs::read_dir(&folder)? {
            let file = file?.path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let name = file.strip_prefix(data())?.display().to_string();
            written
                .extend(documents(&file)?.into_iter().map(|(kind, object, _)| (name.clone(), kind, object)));
        }
    }
    let listed: BTreeSet<_> = OBJECTS
        .iter()
        .map(|(file, kind, name, _)| ((*file).to_owned(), (*kind).to_owned(), (*name).to_owned()))
        .collect();
    ensure!(written == listed, "in files only or in the table only: {:?}", &written ^ &listed);
    Ok(())
}

#[test]
fn every_object_is_in_force_or_answered_with_what_to_write() -> Result<()> {
    let cluster = cluster::private("manifests", &[])?;
    for namespace in ["shop", "production"] {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    let mut files: Vec<&str> = OBJECTS.iter().map(|(file, ..)| *file).collect();
    files.dedup();
    for file in files {
        apply(&cluster, file)?;
    }
    Ok(())
}

/// Applies a file and looks at each of its objects on the server and in the plan.
fn apply(cluster: &ControlPlane, file: &str) -> Result<()> {
    let path = data().join(file);
    let folder = path.parent().context("a folder")?;
    let ran = cluster.try_kubectl(&["apply", "--validate=strict", "-f", &path.display().to_string()])?;
    let (findings, _) = plan(folder)?;
    let name_in_folder = path.file_name().context("a name")?.to_string_lossy().into_owned();
    let lines = documents(&path)?;
    for (_, kind, name, fate) in OBJECTS.iter().filter(|(of, ..)| *of == file) {
        let what = format!("{file}: {kind} {name}");
        let line = lines.iter().find(|(of, object, _)| of == kind && object == name).map(|(.., line)| *line);
        let place = format!("{name_in_folder}:{}: ", line.context("a line")?);
        let said = findings.lines().find(|line| line.contains(&place)).unwrap_or_default();
        match fate {
            Honoured => {
                let applied = format!("/{name} ");
                ensure!(ran.stdout.contains(&applied), "{what} was not applied: {ran:?}");
            }
            Unknown(_) => {
                let refused = format!("no matches for kind \"{kind}\"");
                ensure!(!ran.success && ran.stderr.contains(&refused), "{what}: {ran:?}");
            }
        }
        match fate {
            Honoured => ensure!(!said.contains("error"), "{what}: {said}"),
            Unknown(words) => {
                ensure!(said.contains(words) && said.contains(*kind), "{what}: {place} {findings}");
            }
        }
    }
    Ok(())
}

/// A node with agent and bgpd, configured as the plan for a folder says.
struct Running {
    agent: Agent,
    _bgpd: Bgpd,
}

fn start(cluster: &ControlPlane, host: &Host, node: &str) -> Result<Running> {
    cluster.attach(host)?;
    let bgpd = host.bgpd("instances: []\n")?;
    let agent = host.agent(node, &["--kubeconfig", &cluster.kubeconfig().display().to_string()])?;
    Ok(Running { agent, _bgpd: bgpd })
}

/// Waits until the operator has given a Service this address.
fn given(cluster: &ControlPlane, namespace: &str, service: &str, address: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/services/{service}");
    lbipam::await_addresses(cluster, &path, &[address]).map(drop)
}

impl Running {
    /// Waits until the export policies of this node's bgpd have these statements.
    fn wait_statements(&self, wanted: &[&str]) -> Result<()> {
        wait_for(PATIENCE, &format!("statements {wanted:?}"), || {
            let policies = self.agent.get("/v1/bgp/route-policies")?.to_string();
            let missing: Vec<_> =
                wanted.iter().filter(|name| !policies.contains(&format!("\"{name}\""))).collect();
            ensure!(missing.is_empty(), "missing {missing:?} in {policies}");
            Ok(())
        })
    }

    /// Where the chain from a Service to the wire ends.
    fn explain(&self, service: &str) -> Result<String> {
        Ok(self.agent.get(&format!("/v1/explain/service/{service}"))?.to_string())
    }
}

#[test]
fn the_lab_and_the_document_beyond_it_are_in_force() -> Result<()> {
    let cluster = cluster::private("manifests-run", &[])?;
    let lab = Lab::new("manifests")?;
    let outcome = in_force(&cluster, &lab);
    outcome.map_err(|error| error.context(lab.logs()))
}

fn in_force(cluster: &ControlPlane, lab: &Lab) -> Result<()> {
    for namespace in ["shop", "production"] {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let listen = SocketAddr::from(([127, 0, 0, 1], 9981));
    let _operator = cluster.host().operator("operator", listen, &["--kubeconfig", &kubeconfig])?;
    for file in ["cluster.yaml", "bgp.yaml", "advertise-lb.yaml", "pool.yaml", "webpod.yaml"] {
        cluster.apply_file(&data().join("bgp-lab").join(file))?;
    }
    given(cluster, "default", "webpod", "172.16.1.1")?;
    let node = start(cluster, &lab.host("ctr")?, "k8s-ctr")?;
    node.wait_statements(&["PodCIDR-ipv4", "Service-webpod-default-LoadBalancerIP-ipv4"])?;
    let peers = node.agent.get("/v1/bgp/peers")?.to_string();
    ensure!(peers.contains("192.168.10.200"), "{peers}");

    // Its cluster configuration has the same name as the lab's, so it takes the lab's place; its pool the lab's pool's.
    cluster.delete("ciliumbgpclusterconfig", "cilium-bgp")?;
    cluster.delete("ciliumloadbalancerippool", "cilium-pool")?;
    cluster.kubectl(&["delete", "service", "webpod"])?;
    cluster.apply_file(&data().join("beyond-cni/bgp.yaml"))?;
    let (name, labels) = ("rack-1", [("bgp-enabled", "true")]);
    cluster.write_node(&Node {
        name,
        labels: &labels,
        pod_cidrs: &["10.244.7.0/24"],
        internal_ips: &["10.0.0.7"],
    })?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "shop", "namespace": "shop", "labels": {"announce": "bgp"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}]},
    });
    cluster.write(&service)?;
    // The other kind in the file is refused; the pool is created all the same.
    cluster.try_kubectl(&["apply", "-f", &data().join("beyond-cni/lbipam-l2.yaml").display().to_string()])?;
    given(cluster, "shop", "shop", "203.0.113.0")?;
    let node = start(cluster, &lab.host("rack")?, name)?;
    node.wait_statements(&["PodCIDR-ipv4", "Service-shop-shop-LoadBalancerIP-ipv4"])?;
    let peers = node.agent.get("/v1/bgp/peers")?.to_string();
    ensure!(peers.contains("10.0.0.1") && peers.contains("64512"), "{peers}");

    // Services that nobody announces: the agent knows them, and says where the way ends.
    for (file, service) in [
        ("beyond-cni/mesh.yaml", "shop/checkout"),
        ("certification/l2-egress.yaml", "default/web"),
        ("mesh-concepts/global-service.yaml", "default/api-server"),
        ("mesh-concepts/l2.yaml", "default/nginx-lb"),
        ("native-peering/service.yaml", "default/my-nginx-service"),
    ] {
        // Other kinds in the same file are refused; the Service is created all the same.
        cluster.try_kubectl(&["apply", "-f", &data().join(file).display().to_string()])?;
        wait_for(PATIENCE, &format!("an explanation of {service}"), || {
            let said = node.explain(service)?;
            // An address that no pool has is asked for; the others have one, and no advertisement selects them.
            let why = if service.ends_with("my-nginx-service") { "no_pool" } else { "announce" };
            ensure!(said.contains(why), "{said}");
            Ok(())
        })?;
    }
    // The older of the two was first.
    given(cluster, "default", "web", "192.168.1.240")?;
    given(cluster, "default", "nginx-lb", "192.168.1.241")?;
    Ok(())
}
