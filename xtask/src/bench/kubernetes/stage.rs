//! The stage: a control plane, a node with bgpd and the agent, FRR and a raw peer as its neighbours.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Agent, Bgpd, Frr, Host, Lab, Operator, wait_for};
use serde_json::{Value, json};

use crate::bench::process::{cpu_seconds, peak_mib};
use crate::run;

/// The node's name.
const NODE: &str = "bench";
/// Cluster IPs of the services: one after the other from here.
const FIRST_IP: Ipv4Addr = Ipv4Addr::new(10, 100, 0, 1);

/// It logs what comes in, with microseconds: what FRR does with a route afterwards takes its own time.
const FRR: &str = "log timestamp precision 6
debug bgp updates in
router bgp 65000
 bgp router-id 10.1.0.2
 no bgp ebgp-requires-policy
 neighbor 10.1.0.1 remote-as 65001
 neighbor 10.1.0.1 timers 10 30
";

/// Everything that runs.
pub(super) struct Stage {
    pub(super) agent: Agent,
    pub(super) bgpd: Bgpd,
    pub(super) operator: Option<Operator>,
    pub(super) frr: Frr,
    pub(super) frr_host: Host,
    pub(super) raw_host: Host,
    pub(super) node: Host,
    pub(super) cluster: ControlPlane,
    /// Last, so that it is dropped last.
    _lab: Lab,
}

impl Stage {
    /// With an operator, or with a node configuration written by hand.
    pub(super) fn new(with_operator: bool) -> Result<Self> {
        let lab = Lab::new("bench-kube")?;
        let cluster = ControlPlane::in_lab(&lab, &[])?;
        let root = run::root();
        for kind in ["ciliumnodes.yaml", "ciliumpodippools.yaml"] {
            cluster.install_crds(&root.join("k8s-sync/crds/tests/data").join(kind))?;
        }
        cluster.install_crds(&root.join("deploy/crds"))?;
        let (node, frr_host, raw_host) = (lab.host("node")?, lab.host("frr")?, lab.host("raw")?);
        lab.link(node.port("eth0", &["10.1.0.1/24"]), frr_host.port("eth0", &["10.1.0.2/24"]))?;
        lab.link(node.port("eth1", &["10.2.0.1/24"]), raw_host.port("eth0", &["10.2.0.2/24"]))?;
        cluster.attach(&node)?;
        cluster.write_node(&Node {
            name: NODE,
            labels: &[("bgp", "bench")],
            pod_cidrs: &["10.244.1.0/24"],
            internal_ips: &["10.1.0.1"],
        })?;
        for object in configuration(with_operator) {
            cluster.write(&object)?;
        }
        let frr = frr_host.frr(FRR)?;
        let state = node.folder().join("bgpd.state").display().to_string();
        let bgpd = node.bgpd_with("{}\n", &["--state", &state])?;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let listen = "127.0.0.1:9973".parse()?;
        let operator = with_operator
            .then(|| node.operator("operator", listen, &["--kubeconfig", &kubeconfig]))
            .transpose()?;
        let agent = node.agent(NODE, &["--kubeconfig", &kubeconfig])?;
        Ok(Self { agent, bgpd, operator, frr, frr_host, raw_host, node, cluster, _lab: lab })
    }

    /// What runs here, in which version.
    pub(super) fn versions(&self) -> Result<String> {
        let version = self.cluster.request("GET", "/version", None)?.json()?;
        Ok(format!("kube-apiserver {}", version["gitVersion"].as_str().unwrap_or("of unknown version")))
    }

    /// Stops bgpd and the agent, and starts both anew with nothing.
    pub(super) fn start_anew(&self) -> Result<()> {
        self.agent.daemon().kill()?;
        self.bgpd.daemon().kill()?;
        // What it left for its successor would come back with it.
        let _nothing_there = std::fs::remove_file(self.node.folder().join("bgpd.state"));
        self.bgpd.start_again()?;
        self.agent.start_again()
    }

    /// How many of our services there are.
    pub(super) fn cluster_has(&self) -> Result<u32> {
        let target = format!("{SERVICES}?labelSelector=bgp%3Dyes");
        let all = self.cluster.request("GET", &target, None)?.json()?;
        Ok(u32::try_from(all["items"].as_array().map_or(0, Vec::len))?)
    }

    /// How many routes the agent's intent has at bgpd.
    pub(super) fn routes_at_bgpd(&self) -> Result<u64> {
        let owners = self.bgpd.get("/v1/intents")?;
        let ours = owners.as_array().into_iter().flatten().find(|owner| owner["owner"] == "kubernetes");
        Ok(ours.and_then(|owner| owner["routes"].as_u64()).unwrap_or_default())
    }

    /// How many routes FRR has from bgpd.
    pub(super) fn routes_at_frr(&self) -> Result<u64> {
        let summary = self.frr.show_json("show bgp ipv4 unicast summary json")?;
        let peer = &summary["peers"]["10.1.0.1"];
        ensure!(peer["state"] == "Established", "{peer}");
        Ok(peer["pfxRcd"].as_u64().unwrap_or_default())
    }

    /// Waits until bgpd has so many routes of the agent's.
    pub(super) fn until_bgpd_has(&self, routes: u64, patience: Duration) -> Result<()> {
        wait_for(patience, &format!("{routes} routes at bgpd"), || {
            let has = self.routes_at_bgpd()?;
            ensure!(has == routes, "it has {has}");
            Ok(())
        })
    }

    /// Waits until FRR has so many routes.
    pub(super) fn until_frr_has(&self, routes: u64, patience: Duration) -> Result<()> {
        wait_for(patience, &format!("{routes} routes at FRR"), || {
            let has = self.routes_at_frr()?;
            ensure!(has == routes, "it has {has}");
            Ok(())
        })
    }

    /// The sum of a metric of the agent's over all labels that contain `label`.
    pub(super) fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let reply = self.agent.request("GET", "/metrics")?;
        ensure!(reply.status == 200, "/metrics answers {}", reply.status);
        let ours = |line: &&str| line.split(['{', ' ']).next() == Some(name) && line.contains(label);
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        // Nothing adds up to minus zero.
        Ok(reply.body.lines().filter(ours).filter_map(value).sum::<f64>() + 0.0)
    }

    /// The processes that are ours.
    pub(super) fn processes(&self) -> Result<BTreeMap<&'static str, u32>> {
        let mut all =
            BTreeMap::from([("agent", self.agent.daemon().pid()?), ("bgpd", self.bgpd.daemon().pid()?)]);
        if let Some(operator) = &self.operator {
            all.insert("operator", operator.daemon().pid()?);
        }
        Ok(all)
    }

    /// Peak memory of each.
    pub(super) fn memory(&self) -> Result<String> {
        let each =
            self.processes()?.into_iter().map(|(name, pid)| Ok(format!("{name} {:.1} MiB", peak_mib(pid)?)));
        Ok(each.collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// CPU seconds of each so far.
    pub(super) fn cpu(&self) -> Result<BTreeMap<&'static str, f64>> {
        self.processes()?.into_iter().map(|(name, pid)| Ok((name, cpu_seconds(pid)?))).collect()
    }
}

/// Where services are.
pub(super) const SERVICES: &str = "/api/v1/namespaces/default/services";
/// Where slices are.
pub(super) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// The cluster IP of a service.
pub(super) fn address(service: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST_IP) + service)
}

/// The service with this cluster IP.
pub(super) fn service_at(address: Ipv4Addr) -> Option<usize> {
    usize::try_from(u32::from(address).checked_sub(u32::from(FIRST_IP))?).ok()
}

/// A Service as users write them: labels, two ports, a selector.
pub(super) fn service(number: u32) -> Value {
    let port =
        |name: &str, port: u16| json!({"name": name, "protocol": "TCP", "port": port, "targetPort": port});
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": format!("service-{number}"),
            "labels": {"app.kubernetes.io/name": format!("service-{number}"), "app.kubernetes.io/part-of": "bench", "bgp": "yes"},
            "annotations": {"example.com/owner": "the team that runs it", "example.com/contact": "team@example.com"},
        },
        "spec": {
            "clusterIP": address(number).to_string(),
            "selector": {"app.kubernetes.io/name": format!("service-{number}")},
            "ports": [port("http", 80), port("metrics", 9090)],
        },
    })
}

/// Its endpoints: two pods, one of them on our node.
pub(super) fn slice(number: u32) -> Value {
    let pod =
        |index: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 245, 0, 0)) + number * 2 + index).to_string();
    let endpoint = |index: u32, node: &str| {
        json!({
            "addresses": [pod(index)], "nodeName": node,
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("service-{number}-{index}")},
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("service-{number}-x"),
            "labels": {"kubernetes.io/service-name": format!("service-{number}")},
        },
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}, {"name": "metrics", "protocol": "TCP", "port": 9090}],
        "endpoints": [endpoint(0, NODE), endpoint(1, "another")],
    })
}

/// What BGP is to do: all services' cluster IPs to both neighbours.
fn configuration(for_operator: bool) -> Vec<Value> {
    let peer = |name: &str, address: &str| json!({"name": name, "peerASN": 65_000, "peerAddress": address, "peerConfigRef": {"name": "peers"}});
    let instance = json!({"name": "main", "localASN": 65_001, "peers": [peer("frr", "10.1.0.2"), peer("raw", "10.2.0.2")]});
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": name, "labels": {"advertise": "bgp"}}, "spec": spec});
    vec![
        object(
            "CiliumBGPPeerConfig",
            "peers",
            json!({
                "timers": {"connectRetryTimeSeconds": 1, "holdTimeSeconds": 90, "keepAliveTimeSeconds": 30},
                "families": [{"afi": "ipv4", "safi": "unicast", "advertisements": {"matchLabels": {"advertise": "bgp"}}}],
            }),
        ),
        object(
            "CiliumBGPAdvertisement",
            "services",
            json!({"advertisements": [{
                "advertisementType": "Service", "service": {"addresses": ["ClusterIP"]},
                "selector": {"matchLabels": {"bgp": "yes"}},
                "attributes": {"communities": {"standard": ["65000:99"]}},
            }]}),
        ),
        if for_operator {
            let selector = json!({"matchLabels": {"bgp": "bench"}});
            object(
                "CiliumBGPClusterConfig",
                "bench",
                json!({"nodeSelector": selector, "bgpInstances": [instance]}),
            )
        } else {
            object("CiliumBGPNodeConfig", NODE, json!({"bgpInstances": [instance]}))
        },
    ]
}

/// The version that a list would have now, to watch from.
pub(super) fn resource_version(cluster: &ControlPlane) -> Result<String> {
    let list = cluster.request("GET", &format!("{SERVICES}?limit=1"), None)?.json()?;
    list["metadata"]["resourceVersion"].as_str().map(str::to_owned).context("a list without a version")
}
