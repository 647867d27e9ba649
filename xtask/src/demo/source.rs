//! Where the nodes of the demo learn what there is: a folder of manifests, or a real Kubernetes API server.
//!
//! Invariant: the story does not know which. It asks for a [`Change`], and each source makes it in the way a person would there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rutter_lab::kube::{Attachment, Component, ControlPlane, Pod, SERVER};
use rutter_lab::{Daemon, Host, Lab, wait_for};

use super::narrate::Narrator;
use crate::run;

/// The first address of the lab's pool, which LB IPAM gives to the lab's service.
pub(crate) const VIP: &str = "172.16.1.1";
/// Where rutter's own pods are.
const NAMESPACE: &str = "rutter-system";
/// The port of the agents' read-only API.
const AGENT_PORT: u16 = 9972;
/// The port of the operator's.
const OPERATOR_PORT: u16 = 9973;
const LAB: &str = "examples/bgp-lab";
/// What `kubectl create service loadbalancer webshop --tcp=80` makes.
const SECOND: &str = "apiVersion: v1
kind: Service
metadata: { name: webshop, labels: { app: webshop } }
spec: { type: LoadBalancer, selector: { app: webshop }, ports: [{ port: 80 }] }
";

/// What the story changes in the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Whether the pod on k8s-w0 is ready.
    PodReady(bool),
    /// Whether the service's `externalTrafficPolicy` is Local.
    Local(bool),
    /// Whether k8s-w1 has the label `enable-bgp`.
    Labelled(bool),
    /// Whether there is a second service that wants an address of the pool.
    Second(bool),
}

pub(crate) enum Source {
    Manifests(PathBuf),
    Kubernetes(Box<Cluster>),
}

/// The control plane of the demo, and the operator beside it.
pub(crate) struct Cluster {
    operator: Daemon,
    pub(crate) control_plane: ControlPlane,
}

impl Source {
    /// A folder in the lab's, with the manifests of the example.
    pub(crate) fn manifests(lab: &Lab) -> Result<Self> {
        let folder = lab.folder().join("manifests");
        copy_manifests(&folder)?;
        Ok(Self::Manifests(folder))
    }

    /// A control plane on a host of its own, with the custom resources and the operator; still without the example's objects.
    pub(crate) fn kubernetes(lab: &Lab, narrator: &Narrator) -> Result<Self> {
        narrator.step("A Kubernetes API server, rutter's definitions of Cilium's kinds, and rutter-operator");
        let control_plane = ControlPlane::in_lab(lab, &[])?;
        let definitions = run::root().join("deploy/crds").display().to_string();
        control_plane.install_crds(Path::new(&definitions))?;
        narrator.kubectl(&control_plane, &["apply", "--server-side", "-f", "deploy/crds"])?;
        narrator.kubectl(&control_plane, &["api-resources", "--categories=ciliumbgp"])?;
        narrator.say("Both programs work with the rights that they have in production, and no others:");
        narrator.kubectl(&control_plane, &["apply", "-f", "deploy/rbac.yaml"])?;
        let kubeconfig = control_plane.kubeconfig_for(NAMESPACE, "rutter-operator")?.display().to_string();
        let operator = control_plane
            .host()
            .operator(
                "rutter-operator",
                (SERVER, OPERATOR_PORT).into(),
                &["--kubeconfig", &kubeconfig, "--k8s-namespace", NAMESPACE],
            )?
            .into_daemon();
        // What a kubelet would say of the operator's pod, for who looks for it.
        control_plane.write_pod(&Pod {
            namespace: NAMESPACE,
            name: "rutter-operator",
            labels: &[("app.kubernetes.io/name", "rutter-operator")],
            node: "k8s-ctr",
            ip: &SERVER.to_string(),
            ports: &[("http", OPERATOR_PORT)],
            ..Pod::default()
        })?;
        Ok(Self::Kubernetes(Box::new(Cluster { operator, control_plane })))
    }

    pub(crate) const fn cluster(&self) -> Option<&ControlPlane> {
        match self {
            Self::Manifests(_) => None,
            Self::Kubernetes(cluster) => Some(&cluster.control_plane),
        }
    }

    /// Makes a node's host part of the cluster, and returns what the agent on it is told about where to look.
    pub(crate) fn join(&self, node: &str, address: &str, host: &Host) -> Result<Vec<String>> {
        match self {
            Self::Manifests(folder) => Ok(vec!["--manifests".into(), folder.display().to_string()]),
            Self::Kubernetes(cluster) => {
                let control_plane = &cluster.control_plane;
                let attachment: Attachment = control_plane.attach(host)?;
                control_plane.route(&format!("{address}/32"), &attachment)?;
                // What a kubelet would say of the agent's pod, which has the node's network.
                control_plane.write_pod(&Pod {
                    namespace: NAMESPACE,
                    name: &format!("rutter-agent-{node}"),
                    labels: &[("app.kubernetes.io/name", "rutter-agent")],
                    node,
                    ip: address,
                    ports: &[("http", AGENT_PORT)],
                    ..Pod::default()
                })?;
                let kubeconfig =
                    control_plane.kubeconfig_for(NAMESPACE, "rutter-agent")?.display().to_string();
                Ok(vec![
                    "--kubeconfig".into(),
                    kubeconfig,
                    "--listen".into(),
                    format!("{address}:{AGENT_PORT}"),
                ])
            }
        }
    }

    /// Puts the example's objects where the nodes read them, if they are not there yet.
    pub(crate) fn fill(&self, narrator: &Narrator) -> Result<()> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        narrator.kubectl(cluster, &["apply", "-f", LAB])
    }

    /// What there is to see of the pool and the service's address, once it is given.
    pub(crate) fn tell_of_addresses(&self, narrator: &Narrator) -> Result<()> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        wait_for(Duration::from_secs(20), "the service to have its address", || {
            given(cluster, "webpod", VIP)
        })?;
        narrator.kubectl(cluster, &["get", "ippools"])?;
        narrator.kubectl(cluster, &["get", "service", "webpod"])?;
        let condition = "jsonpath={.status.conditions[0].type} {.status.conditions[0].status}";
        narrator.kubectl(cluster, &["get", "service", "webpod", "-o", condition])
    }

    /// Asks `rutterctl lbipam` about the same objects that the nodes read.
    pub(crate) fn lbipam(&self, narrator: &Narrator, host: &Host, words: &[&str]) -> Result<()> {
        match self {
            Self::Manifests(folder) => {
                let (rutterctl, folder) = (super::stage::program("rutterctl")?, folder.display().to_string());
                let argv = [&[rutterctl.as_str(), "lbipam"], words, &["--manifests", &folder]].concat();
                narrator.show(host, &argv).map(drop)
            }
            Self::Kubernetes(cluster) => {
                narrator.in_cluster(&cluster.control_plane, &[&["rutterctl", "lbipam"], words].concat())
            }
        }
    }

    /// Makes the change, as an editor or kubectl would.
    pub(crate) fn change(&self, narrator: &Narrator, change: Change) -> Result<()> {
        match self {
            Self::Manifests(folder) => change.edit(folder),
            Self::Kubernetes(cluster) => {
                let words = change.words();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                narrator.kubectl(&cluster.control_plane, &words)
            }
        }
    }

    pub(crate) fn leave_running(self) {
        if let Self::Kubernetes(cluster) = self {
            cluster.operator.leave_running();
            cluster.control_plane.leave_running();
        }
    }
}

impl Change {
    /// The change in the folder of manifests: the file appears whole.
    fn edit(self, folder: &Path) -> Result<()> {
        let (local, labelled) = ("\n  externalTrafficPolicy: Local", ", enable-bgp: \"true\"");
        let swap = |file: &str, with: &str, without: &str, on: bool| {
            let (from, to) = if on { (without, with) } else { (with, without) };
            edit(&folder.join(file), from, to)
        };
        match self {
            Self::PodReady(on) => {
                let conditions = |ready| format!("nodeName: k8s-w0, conditions: {{ ready: {ready}");
                swap("cluster.yaml", &conditions(true), &conditions(false), on)
            }
            Self::Local(on) => {
                let kind = "type: LoadBalancer";
                swap("webpod.yaml", &format!("{kind}{local}"), kind, on)
            }
            Self::Labelled(on) => {
                let labels = "hostname: k8s-w1, kubernetes.io/os: linux";
                swap("cluster.yaml", &format!("{labels}{labelled}"), labels, on)
            }
            Self::Second(true) => appear(&folder.join("webshop.yaml"), SECOND),
            Self::Second(false) => Ok(fs::remove_file(folder.join("webshop.yaml"))?),
        }
    }

    /// The change as a kubectl command.
    fn words(self) -> Vec<String> {
        let words: Vec<&str> = match self {
            // There is no endpoint controller in this demo; this is what it would write.
            Self::PodReady(_) => vec!["patch", "endpointslice", "webpod-x7k2p", "--type=json", "-p"],
            Self::Local(_) => vec!["patch", "service", "webpod", "-p"],
            Self::Labelled(_) => vec!["label", "node", "k8s-w1"],
            Self::Second(true) => vec!["create", "service", "loadbalancer", "webshop"],
            Self::Second(false) => vec!["delete", "service"],
        };
        let last = match self {
            Self::PodReady(ready) => {
                format!(r#"[{{"op":"replace","path":"/endpoints/2/conditions/ready","value":{ready}}}]"#)
            }
            Self::Local(local) => {
                let policy = if local { "Local" } else { "Cluster" };
                format!(r#"{{"spec":{{"externalTrafficPolicy":"{policy}"}}}}"#)
            }
            Self::Labelled(true) => "enable-bgp=true".to_owned(),
            Self::Labelled(false) => "enable-bgp-".to_owned(),
            Self::Second(true) => "--tcp=80".to_owned(),
            Self::Second(false) => "webshop".to_owned(),
        };
        words.into_iter().map(str::to_owned).chain([last]).collect()
    }
}

/// Replaces `from` by `to` in a file.
fn edit(path: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    ensure!(text.contains(from), "{} does not contain `{from}`", path.display());
    appear(path, &text.replacen(from, to, 1))
}

/// Writes a file so that it is there as a whole or not at all.
fn appear(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().context("a file without a name")?.to_string_lossy().into_owned();
    let fresh = path.with_file_name(format!(".{name}.new"));
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)?;
    Ok(())
}

/// Whether a service has this address.
pub(crate) fn given(cluster: &ControlPlane, service: &str, address: &str) -> Result<()> {
    let services = cluster.list("services")?;
    let found =
        services.iter().find(|one| one["metadata"]["name"] == service).context("it does not exist")?;
    let status = &found["status"];
    ensure!(status["loadBalancer"]["ingress"][0]["ip"] == address, "its status is {status}");
    Ok(())
}

/// The lab's manifests.
fn copy_manifests(to: &Path) -> Result<()> {
    let from = run::root().join(LAB);
    fs::create_dir_all(to)?;
    for file in ["cluster.yaml", "bgp.yaml", "advertise-lb.yaml", "pool.yaml", "webpod.yaml"] {
        fs::copy(from.join(file), to.join(file)).with_context(|| format!("copying {file}"))?;
    }
    Ok(())
}

/// What only a cluster has to show: columns, conditions, the state that the agents report, and all nodes at once.
pub(crate) fn tell_of_the_cluster(cluster: &ControlPlane, narrator: &Narrator) -> Result<()> {
    narrator.step(
        "What kubectl shows: one node configuration per selected node, conditions, and the sessions' state",
    );
    narrator.kubectl(cluster, &["get", "cbgpcluster,cbgppeer,cbgpadvert,cbgpnode"])?;
    wait_for(Duration::from_secs(30), "every node to report its session", || {
        let established =
            cluster.list("cbgpnode")?.iter().filter(|node| state(node) == "established").count();
        ensure!(established == 3, "{established} report one");
        Ok(())
    })?;
    let columns = "NODE:.metadata.name,PEER:.status.bgpInstances[*].peers[*].name,\
                   STATE:.status.bgpInstances[*].peers[*].peeringState,\
                   SINCE:.status.bgpInstances[*].peers[*].establishedTime,\
                   ADVERTISED:.status.bgpInstances[*].peers[*].routeCount[*].advertised";
    narrator.kubectl(cluster, &["get", "cbgpnode", "-o", &format!("custom-columns={columns}")])?;
    narrator.kubectl(cluster, &["describe", "cbgpcluster", "cilium-bgp"])?;
    narrator.say("and all nodes at once, through the API server's pod proxy:");
    narrator.in_cluster(cluster, &["rutterctl", "bgp", "peers"])?;
    narrator.in_cluster(cluster, &["rutterctl", "status", "--wait"])
}

/// A shell in which kubectl and rutterctl find the cluster that `--stay` left running.
pub(crate) fn print_how_to_reach_the_cluster(name: &str, folder: &str) {
    let programs = |name: &str| {
        super::stage::program(name).ok().and_then(|path| Some(PathBuf::from(path).parent()?.to_owned()))
    };
    let rutter = programs("rutterctl").unwrap_or_default();
    let kubernetes = rutter_lab::kube::Binaries::find_or_build()
        .map(|found| found.folder().to_owned())
        .unwrap_or_default();
    println!(
        "\nA shell with kubectl and rutterctl:\n\
         \x20 sudo ip netns exec {name}-kubernetes env KUBECONFIG={folder}/kubernetes/kubeconfig \\\n\
         \x20     PATH={}:{}:$PATH bash\n\
         \x20     kubectl get cbgpcluster,cbgpnode; kubectl describe cbgpnode k8s-w1; kubectl label node k8s-w0 enable-bgp-; rutterctl bgp peers",
        kubernetes.display(),
        rutter.display()
    );
}

fn state(node: &serde_json::Value) -> &str {
    node["status"]["bgpInstances"][0]["peers"][0]["peeringState"].as_str().unwrap_or_default()
}

/// Kills the API server, tries `unchanged` without it, and starts it again.
pub(crate) fn without_the_server(
    cluster: &ControlPlane,
    narrator: &Narrator,
    unchanged: impl Fn() -> Result<()>,
) -> Result<()> {
    let pid = cluster.pid(Component::ApiServer)?;
    cluster.kill(Component::ApiServer)?;
    narrator.command(&format!("kill -9 {pid}   (kube-apiserver)"), "");
    unchanged()?;
    cluster.restart(Component::ApiServer)?;
    narrator.say("and with a new API server:");
    unchanged()
}
