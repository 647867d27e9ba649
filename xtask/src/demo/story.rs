//! The story the demo tells. Each step changes one thing, waits until FRR shows the effect, and prints the commands a
//! person would type with what they really answered. A step whose effect does not show fails the demo.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rutter_lab::wait_for;
use serde_json::Value;

use super::narrate::Narrator;
use super::source::{self, Change, VIP};
use super::stage::{Stage, program};

const PATIENCE: Duration = Duration::from_secs(20);
const VIP_PREFIX: &str = "172.16.1.1/32";

pub(crate) fn tell(stage: &Stage, narrator: &Narrator) -> Result<()> {
    sessions(stage, narrator)?;
    if let Some(cluster) = stage.source.cluster() {
        source::tell_of_the_cluster(cluster, narrator)?;
    }
    addresses(stage, narrator)?;
    table(stage, narrator)?;
    second_service(stage, narrator)?;
    traffic(stage, narrator)?;
    narrowed(stage, narrator)?;
    unlabelled(stage, narrator)?;
    agent_killed(stage, narrator)?;
    server_killed(stage, narrator)?;
    bgpd_replaced(stage, narrator)
}

pub(crate) fn print_what_to_try(name: &str, folder: &Path, kubernetes: bool) {
    let folder = folder.display().to_string();
    let bins = program("rutterctl").unwrap_or_else(|_| "rutterctl".into());
    let change = if kubernetes {
        source::print_how_to_reach_the_cluster(name, &folder);
        "change something with kubectl (something bad too)".to_owned()
    } else {
        format!("edit the YAML in {folder}/manifests (a bad file too)")
    };
    println!(
        "It goes on running. Try:\n\
         \x20 sudo vtysh --vty_socket {folder}/router/frr -c 'show bgp ipv4 unicast'\n\
         \x20 sudo {bins} --socket {folder}/k8s-w1/bgpd.sock show bgp neighbors\n\
         \x20 sudo {bins} --socket {folder}/k8s-w1/bgpd.sock show bgp neighbors 192.168.10.200 advertised-routes\n\
         \x20 sudo {bins} --socket {folder}/k8s-w1/bgpd.sock bgp route-policies\n\
         \x20 sudo ip netns exec {name}-router curl -s http://{VIP}/\n\
         \x20 {change} and look again; logs are in {folder}/*.log\n\
         End it with: cargo xtask demo --down"
    );
}

fn sessions(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step(
        "A router with FRR, three nodes with bgpd and rutter-agent; sessions come up from Cilium's YAML",
    );
    stage.source.fill(narrator)?;
    wait_for(PATIENCE, "three established sessions on FRR", || {
        let up = established(stage)?;
        ensure!(up.len() == 3, "established: {:?}", up.keys().collect::<Vec<_>>());
        Ok(())
    })?;
    let node = stage.node("k8s-w1")?;
    narrator
        .show(&node.host, &[&program("rutterctl")?, "--socket", &node.socket(), "show", "bgp", "summary"])?;
    narrator.vtysh(&stage.frr, "show bgp ipv4 unicast summary")?;
    Ok(())
}

fn addresses(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step("LB IPAM gives the service the first address of the pool 172.16.1.0/24 that may be given");
    stage.source.tell_of_addresses(narrator)?;
    let host = &stage.node("k8s-ctr")?.host;
    stage.source.lbipam(narrator, host, &["show"])?;
    narrator.say("Why this address, and what does each pool say?");
    stage.source.lbipam(narrator, host, &["explain", "default/webpod"])
}

/// Another service comes and goes; the first one keeps its address, and FRR hears of nothing.
fn second_service(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step("A second service wants an address, too: it gets the next one, and nothing else moves");
    let heard_by_all =
        || stage.nodes.iter().map(|node| heard(stage, node.address)).collect::<Result<Vec<_>>>();
    let before = heard_by_all()?;
    stage.source.change(narrator, Change::Second(true))?;
    let host = &stage.node("k8s-ctr")?.host;
    if let Some(cluster) = stage.source.cluster() {
        wait_for(PATIENCE, "the second service to have an address", || {
            source::given(cluster, "webshop", "172.16.1.2")
        })?;
        narrator.kubectl(cluster, &["get", "services", "webpod", "webshop"])?;
    } else {
        narrator.say("webshop.yaml, a Service of type LoadBalancer, is saved beside the others; every agent gives it the same address:");
        for node in &stage.nodes {
            wait_for(PATIENCE, &format!("{} to give it an address", node.name), || {
                let (program, agent) = (program("rutterctl")?, node.agent_socket());
                let question = [
                    "--socket",
                    &node.socket(),
                    "--agent-socket",
                    &agent,
                    "explain",
                    "service",
                    "default/webshop",
                ];
                let said = node.host.check(&[&[program.as_str()], &question[..]].concat())?;
                ensure!(said.contains("172.16.1.2 (LoadBalancerIP)"), "{said}");
                Ok(())
            })?;
        }
    }
    stage.source.lbipam(narrator, host, &["show", "addresses"])?;
    stage.source.change(narrator, Change::Second(false))?;
    thread::sleep(Duration::from_secs(2));
    let after = heard_by_all()?;
    ensure!(before == after, "it was noticed on FRR: {before:?}, then {after:?}");
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])?;
    narrator.say("It is gone again. FRR has heard of none of this, as no advertisement selects it.");
    Ok(())
}

fn table(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step("FRR has each node's PodCIDR once and the service's VIP with three next hops");
    for node in &stage.nodes {
        wait_for(PATIENCE, &format!("{} from {}", node.pod_cidr, node.address), || {
            let hops = next_hops(stage, node.pod_cidr)?;
            ensure!(hops == [node.address], "next hops: {hops:?}");
            Ok(())
        })?;
    }
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])?;
    narrator.vtysh(&stage.frr, "show bgp ipv4 unicast")?;
    let node = stage.node("k8s-w0")?;
    narrator.say("and what k8s-w0's bgpd says it really sent:");
    let rutterctl = program("rutterctl")?;
    let words = ["show", "bgp", "neighbors", "192.168.10.200", "advertised-routes"];
    let mut argv = vec![rutterctl.as_str(), "--socket"];
    let socket = node.socket();
    argv.push(&socket);
    argv.extend(words);
    narrator.show(&node.host, &argv)?;
    Ok(())
}

fn traffic(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step("The router's kernel balances over the three nodes, and more than one of them answers");
    wait_for(PATIENCE, "a route with three next hops in the kernel", || {
        let route = stage.router.ip(&["route", "show", VIP_PREFIX])?;
        ensure!(route.matches("nexthop").count() == 3, "{route}");
        Ok(())
    })?;
    narrator.show(&stage.router, &["ip", "route", "show", VIP_PREFIX])?;
    let answers = curl_until(stage, 2)?;
    let shown =
        answers.iter().map(|(node, count)| format!("{count:>4} {node}")).collect::<Vec<_>>().join("\n");
    narrator.command(
        &format!(
            "ip netns exec {} curl -s http://{VIP}/   (repeated, answers counted)",
            stage.router.netns()
        ),
        &shown,
    );
    Ok(())
}

fn narrowed(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step(
        "externalTrafficPolicy: Local, and k8s-w0's pod not ready: only nodes with a ready pod announce",
    );
    stage.source.change(narrator, Change::PodReady(false))?;
    stage.source.change(narrator, Change::Local(true))?;
    let took = Instant::now();
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101"])?;
    narrator.say(&format!(
        "The VIP lost one next hop on FRR, as seen {} ms after the change:",
        took.elapsed().as_millis()
    ));
    narrator.vtysh(&stage.frr, &format!("show bgp ipv4 unicast {VIP_PREFIX}"))?;
    narrator.say("Why not from k8s-w0? From the service down to the link of the chain where it stops:");
    explain(stage, narrator)?;
    narrator.say("and back to Cluster, where every selected node announces:");
    stage.source.change(narrator, Change::Local(false))?;
    stage.source.change(narrator, Change::PodReady(true))?;
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])?;
    narrator.show(&stage.router, &["ip", "route", "show", VIP_PREFIX])?;
    Ok(())
}

/// Asks about the service on k8s-w0: on the node itself, or from anywhere in the cluster.
fn explain(stage: &Stage, narrator: &Narrator) -> Result<()> {
    let question = ["explain", "service", "default/webpod"];
    if let Some(cluster) = stage.source.cluster() {
        return narrator
            .in_cluster(cluster, &[&["rutterctl"], &question[..], &["--node", "k8s-w0"]].concat());
    }
    let node = stage.node("k8s-w0")?;
    let (program, socket) = (program("rutterctl")?, node.socket());
    let agent = node.agent_socket();
    let words = [&[program.as_str(), "--socket", &socket, "--agent-socket", &agent], &question[..]].concat();
    narrator.show(&node.host, &words).map(drop)
}

fn unlabelled(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step("Node k8s-w1 loses its label enable-bgp: its session ends in order and everything from it is withdrawn");
    stage.source.change(narrator, Change::Labelled(false))?;
    wait_for_hops(stage, &["192.168.10.100", "192.168.20.100"])?;
    narrator.vtysh(&stage.frr, "show bgp ipv4 unicast")?;
    narrator.say("and the label back:");
    stage.source.change(narrator, Change::Labelled(true))?;
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])?;
    narrator.vtysh(&stage.frr, "show bgp ipv4 unicast summary")?;
    Ok(())
}

fn agent_killed(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step(
        "The agent on k8s-ctr is killed with -9: bgpd keeps the session and the routes, FRR hears nothing",
    );
    let node = stage.node("k8s-ctr")?;
    let before = heard(stage, node.address)?;
    node.agent.kill()?;
    narrator.say(&format!("killed; FRR had heard {before} from {}", node.address));
    thread::sleep(Duration::from_secs(4));
    let after = heard(stage, node.address)?;
    ensure!(before == after, "the kill was noticed on FRR: {before}, then {after}");
    narrator.say(&format!("4 s later it has heard {after}: nothing changed"));
    wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])?;
    node.agent.start()?;
    thread::sleep(Duration::from_secs(2));
    let again = heard(stage, node.address)?;
    ensure!(before == again, "the agent's return was noticed on FRR: {before}, then {again}");
    narrator
        .say(&format!("and 2 s after a new agent has started, {again}: it wanted what was already there"));
    narrator.vtysh(&stage.frr, "show bgp ipv4 unicast summary")?;
    Ok(())
}

fn server_killed(stage: &Stage, narrator: &Narrator) -> Result<()> {
    let Some(cluster) = stage.source.cluster() else { return Ok(()) };
    narrator.step("The API server is killed with -9: sessions and routes stay, FRR hears nothing");
    let heard_by_all =
        || stage.nodes.iter().map(|node| heard(stage, node.address)).collect::<Result<Vec<_>>>();
    let before = heard_by_all()?;
    source::without_the_server(cluster, narrator, || {
        thread::sleep(Duration::from_secs(4));
        let after = heard_by_all()?;
        ensure!(before == after, "it was noticed on FRR: {before:?}, then {after:?}");
        narrator.say(&format!("4 s later FRR has heard the same as before from each: {}", after.join("; ")));
        wait_for_hops(stage, &["192.168.10.100", "192.168.10.101", "192.168.20.100"])
    })
}

fn bgpd_replaced(stage: &Stage, narrator: &Narrator) -> Result<()> {
    narrator.step(
        "bgpd on k8s-w0 is replaced by a new process, as in an upgrade: the same TCP connection goes on",
    );
    let node = stage.node("k8s-w0")?;
    let before = heard(stage, node.address)?;
    let answered = node.take_over()?;
    narrator.command(
        &format!("ip netns exec {} bgpd --socket {} --take-over=or-fail", node.host.netns(), node.socket()),
        &answered,
    );
    thread::sleep(Duration::from_secs(2));
    let after = heard(stage, node.address)?;
    ensure!(before == after, "the new bgpd was noticed on FRR: {before}, then {after}");
    narrator.say(&format!("FRR had heard {before} from {}, and 2 s later {after}", node.address));
    let rutterctl = program("rutterctl")?;
    narrator.show(&node.host, &[&rutterctl, "--socket", &node.socket(), "show", "bgp", "summary"])?;
    Ok(())
}

/// What FRR has heard from a neighbour so far, in words that must not change.
fn heard(stage: &Stage, neighbor: &str) -> Result<String> {
    let json = stage.frr.show_json(&format!("show bgp neighbors {neighbor} json"))?;
    let peer = &json[neighbor];
    let number = |value: &Value| value.as_u64().with_context(|| format!("no such counter in {peer}"));
    Ok(format!(
        "{} UPDATEs in {} session(s), {} lost",
        number(&peer["messageStats"]["updatesRecv"])?,
        number(&peer["connectionsEstablished"])?,
        number(&peer["connectionsDropped"])?
    ))
}

fn established(stage: &Stage) -> Result<BTreeMap<String, Value>> {
    let json = stage.frr.show_json("show bgp ipv4 unicast summary json")?;
    let peers = json["peers"].as_object().context("FRR lists no peers")?;
    Ok(peers
        .iter()
        .filter(|(_, peer)| peer["state"] == "Established")
        .map(|(a, p)| (a.clone(), p.clone()))
        .collect())
}

/// Next hops of a prefix on FRR that are valid and in use (best or multipath), sorted.
fn next_hops(stage: &Stage, prefix: &str) -> Result<Vec<String>> {
    let json = stage.frr.show_json(&format!("show bgp ipv4 unicast {prefix} json"))?;
    let mut hops: Vec<String> = json["paths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|path| {
            path["valid"] == true && (path["multipath"] == true || path["bestpath"]["overall"] == true)
        })
        .flat_map(|path| path["nexthops"].as_array().cloned().unwrap_or_default())
        .filter_map(|hop| hop["ip"].as_str().map(str::to_owned))
        .collect();
    hops.sort();
    Ok(hops)
}

fn wait_for_hops(stage: &Stage, wanted: &[&str]) -> Result<()> {
    wait_for(PATIENCE, &format!("next hops {wanted:?} for {VIP_PREFIX} on FRR"), || {
        let hops = next_hops(stage, VIP_PREFIX)?;
        ensure!(hops == wanted, "next hops: {hops:?}");
        Ok(())
    })
}

/// Fetches the VIP until `nodes` different nodes have answered, at most 60 times; says who answered how often.
fn curl_until(stage: &Stage, nodes: usize) -> Result<BTreeMap<String, u32>> {
    let mut answers = BTreeMap::new();
    let url = format!("http://{VIP}/");
    for round in 0..60 {
        let answer = stage.router.check(&["curl", "-s", "--max-time", "2", &url])?;
        *answers.entry(answer.trim().to_owned()).or_insert(0) += 1;
        if answers.len() >= nodes && round >= 11 {
            return Ok(answers);
        }
    }
    anyhow::bail!("60 requests, answered by {answers:?}; {nodes} different nodes were expected")
}
