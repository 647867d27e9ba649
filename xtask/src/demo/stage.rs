//! The stage: a router with a real FRR, and three nodes with a bgpd, an agent and a pod behind the VIP each, with the
//! addresses of `examples/bgp-lab`.
//!
//! Invariant: all nodes read one source, a folder of manifests or an API server.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rutter_lab::{Daemon, Frr, Host, Lab, rutter_binary, wait_for};

use super::narrate::Narrator;
use super::source::{Source, VIP};
use crate::run;

/// How long a take-over may last.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// A node of the lab.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    pub(crate) pod_cidr: &'static str,
    pub(crate) host: Host,
    bgpd: RefCell<Daemon>,
    pub(crate) agent: Daemon,
    pod: Daemon,
}

pub(crate) struct Stage {
    pub(crate) router: Host,
    pub(crate) frr: Frr,
    pub(crate) nodes: Vec<Node>,
    pub(crate) source: Source,
    // Last, so that it is dropped last: the daemons go first, then their namespaces.
    lab: Lab,
}

/// Name, address, gateway, pod CIDR.
const NODES: [(&str, &str, &str, &str); 3] = [
    ("k8s-ctr", "192.168.10.100", "192.168.10.200", "172.20.0.0/24"),
    ("k8s-w1", "192.168.10.101", "192.168.10.200", "172.20.1.0/24"),
    ("k8s-w0", "192.168.20.100", "192.168.20.200", "172.20.2.0/24"),
];

impl Stage {
    pub(crate) fn build(name: &str, folder: &Path, kubernetes: bool, narrator: &Narrator) -> Result<Self> {
        let lab = Lab::persistent(name, folder)?;
        let source = if kubernetes { Source::kubernetes(&lab, narrator)? } else { Source::manifests(&lab)? };
        let router = lab.host("router")?;
        let hosts: Vec<Host> = NODES.iter().map(|(name, ..)| lab.host(name)).collect::<Result<_>>()?;
        cable(&lab, &router, &hosts)?;
        let config = fs::read_to_string(run::root().join("examples/bgp-lab/frr.conf"))?;
        let frr = router.frr(&config)?;
        let nodes = NODES
            .into_iter()
            .zip(hosts)
            .map(|(facts, host)| Node::start(facts, host, &source))
            .collect::<Result<_>>()?;
        Ok(Self { router, frr, nodes, source, lab })
    }

    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name == name).with_context(|| format!("there is no node {name}"))
    }

    pub(crate) fn logs(&self) -> String {
        self.lab.logs()
    }

    /// Everything goes on running after this process.
    pub(crate) fn leave_running(self) {
        for node in self.nodes {
            node.bgpd.into_inner().leave_running();
            node.agent.leave_running();
            node.pod.leave_running();
        }
        self.frr.leave_running();
        self.source.leave_running();
        self.lab.leave_running();
    }
}

impl Node {
    fn start(
        facts: (&'static str, &'static str, &'static str, &'static str),
        host: Host,
        source: &Source,
    ) -> Result<Self> {
        let (name, address, _, pod_cidr) = facts;
        let socket = host.folder().join("bgpd.sock").display().to_string();
        let bgpd = host.spawn("bgpd", &[&program("bgpd")?, "--socket", &socket])?;
        let options = source.join(name, address, &host)?;
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let agent = host.agent(name, &options)?.into_daemon();
        let own = std::env::current_exe()?.display().to_string();
        let pod = host.spawn("pod", &[&own, "demo-respond", name, &format!("{VIP}:80")])?;
        Ok(Self { name, address, pod_cidr, host, bgpd: RefCell::new(bgpd), agent, pod })
    }

    /// Starts a second bgpd that takes everything over from the first, which then ends. What it says about that.
    pub(crate) fn take_over(&self) -> Result<String> {
        let program = program("bgpd")?;
        let next =
            self.host.spawn("bgpd-next", &[&program, "--socket", &self.socket(), "--take-over=or-fail"])?;
        let status = wait_for(TAKE_OVER, "the bgpd before to hand over and end", || {
            next.ensure_running()?;
            self.bgpd.borrow().ended()
        })?;
        ensure!(status.success(), "the bgpd before ended with {status}");
        let said = wait_for(TAKE_OVER, "the new bgpd to say what it took over", || {
            let log = next.log();
            let mut said =
                log.lines().filter(|line| line.starts_with("took over") || line.contains("): pause"));
            let first = said.next().context("nothing yet")?;
            Ok(said.fold(first.to_owned(), |text, line| text + "\n" + line))
        })?;
        self.bgpd.replace(next);
        Ok(said)
    }

    /// The socket of this node's agent.
    pub(crate) fn agent_socket(&self) -> String {
        self.host.folder().join("agent.sock").display().to_string()
    }

    /// The socket of this node's bgpd.
    pub(crate) fn socket(&self) -> String {
        self.host.folder().join("bgpd.sock").display().to_string()
    }
}

/// Path of one of rutter's programs.
pub(crate) fn program(name: &str) -> Result<String> {
    Ok(rutter_binary(name)?.display().to_string())
}

fn cable(lab: &Lab, router: &Host, nodes: &[Host]) -> Result<()> {
    let [ctr, w1, w0] = nodes else { anyhow::bail!("the lab has three nodes") };
    lab.switch(
        "switch",
        &[
            router.port("eth1", &["192.168.10.200/24"]),
            ctr.port("eth0", &["192.168.10.100/24"]),
            w1.port("eth0", &["192.168.10.101/24"]),
        ],
    )?;
    lab.link(router.port("eth2", &["192.168.20.200/24"]), w0.port("eth0", &["192.168.20.100/24"]))?;
    // The network that the router itself originates; on its loopback, because not every kernel has dummy links.
    router.ip(&["addr", "add", "10.10.1.200/24", "dev", "lo"])?;
    router.sysctl("net.ipv4.ip_forward", "1")?;
    // One flow, one node, but different flows from one client to different nodes.
    router.sysctl("net.ipv4.fib_multipath_hash_policy", "1")?;
    for (node, (_, _, gateway, _)) in nodes.iter().zip(NODES) {
        node.ip(&["route", "add", "default", "via", gateway])?;
        node.ip(&["addr", "add", &format!("{VIP}/32"), "dev", "lo"])?;
    }
    Ok(())
}
