//! rutterctl over all nodes of a cluster, through the API server: Cilium's tables, FRR's words, status; as a kubectl plugin;
//! with a node that does not answer, and with wrong names.

use anyhow::{Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::{Ran, wait_for};

use crate::nodes::{Rack, run};

fn said(ran: &Ran, expected: &[&str]) -> Result<()> {
    for text in expected {
        ensure!(ran.stdout.contains(text) || ran.stderr.contains(text), "{text:?} is not in {ran:#?}");
    }
    Ok(())
}

#[test]
fn every_node_answers_in_one_table() {
    run("commands", |rack| {
        for number in 1..=3 {
            rack.heard_from(&format!("10.24{number}.0.0/24"), &[number])?;
        }
        peers(rack)?;
        routes_and_policies(rack)?;
        frr_words(rack)?;
        plugin(rack)?;
        wrong_names(rack)?;
        rights(rack)?;
        one_node_down(rack)
    });
}

fn peers(rack: &Rack<'_>) -> Result<()> {
    let ran = rack.rutterctl(&["bgp", "peers"])?;
    ensure!(ran.success, "{ran:?}");
    let lines: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(lines.len() == 4 && lines[0][..3] == ["Node", "Local", "AS"], "{}", ran.stdout);
    for (number, line) in (1u8..).zip(&lines[1..]) {
        let (name, address) = (rack.name(number), format!("10.0.{number}.1"));
        ensure!(line[..5] == [&name, "65001", "65000", &address, "established"], "{}", ran.stdout);
        ensure!(line[6] == "ipv4/unicast", "{}", ran.stdout);
    }
    let json = rack.rutterctl_json(&["bgp", "peers"])?;
    ensure!(json.as_object().is_some_and(|nodes| nodes.len() == 3), "{json}");
    ensure!(json[rack.name(2)][0]["session-state"] == "established", "{json}");
    let one = rack.rutterctl_json(&["bgp", "peers", "--node", &rack.name(2)])?;
    ensure!(one.as_object().is_some_and(|nodes| nodes.len() == 1), "{one}");
    Ok(())
}

fn routes_and_policies(rack: &Rack<'_>) -> Result<()> {
    let ran = rack.rutterctl(&["bgp", "routes", "advertised", "ipv4", "unicast"])?;
    said(&ran, &["VRouter", "Peer", "10.241.0.0/24", "10.242.0.0/24", "10.243.0.0/24"])?;
    let json = rack.rutterctl_json(&["bgp", "routes", "available", "ipv4", "unicast"])?;
    ensure!(json[rack.name(3)][0]["prefix"] == "10.243.0.0/24", "{json}");
    let policies = rack.rutterctl(&["bgp", "route-policies"])?;
    let rows = policies.stdout.lines().filter(|line| line.contains("peer-tor-export")).count();
    ensure!(rows == 3 && policies.stdout.contains("PodCIDR-ipv4"), "{policies:?}");
    Ok(())
}

fn frr_words(rack: &Rack<'_>) -> Result<()> {
    let all = rack.rutterctl(&["show", "bgp", "summary"])?;
    said(&all, &[&format!("Node {}:", rack.name(1)), &format!("Node {}:", rack.name(3)), "10.0.3.1"])?;
    let one = rack.rutterctl(&["--node", &rack.name(2), "show", "bgp", "10.242.0.0/24"])?;
    ensure!(one.stdout.starts_with("BGP routing table entry for 10.242.0.0/24"), "{one:?}");
    let none = rack.rutterctl(&["--node", &rack.name(2), "show", "bgp", "neighbors", "10.9.9.9"])?;
    ensure!(!none.success && none.stderr.contains("No such neighbor"), "{none:?}");
    Ok(())
}

/// `kubectl rutter`: the same program by another name, and the cluster without being told.
fn plugin(rack: &Rack<'_>) -> Result<()> {
    let folder = rack.star.lab.folder().join("plugins");
    std::fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(rutter_lab::rutter_binary("rutterctl")?, folder.join("kubectl-rutter"))?;
    let line = format!("PATH={}:$PATH kubectl rutter --namespace {} bgp peers", folder.display(), rack.test);
    let ran = rack.cluster.run_on(rack.star.peer(1)?, &["sh", "-c", &line])?;
    ensure!(ran.success, "{ran:?}");
    said(&ran, &[&rack.name(1), &rack.name(3), "established"])
}

fn wrong_names(rack: &Rack<'_>) -> Result<()> {
    let host = rack.star.peer(1)?;
    for (words, expected) in [
        (vec!["--namespace", rack.test, "--node", "nobody", "bgp", "peers"], rack.name(3)),
        (vec!["--namespace", "nowhere", "bgp", "peers"], "--agent-pod-selector and --namespace".to_owned()),
        (vec!["--context", "nothing", "bgp", "peers"], "Choose with --context NAME".to_owned()),
    ] {
        let line: Vec<&str> = ["rutterctl", "--all-nodes"].into_iter().chain(words).collect();
        let ran = rack.cluster.run_on(host, &line)?;
        ensure!(!ran.success && ran.stderr.contains(&expected), "{line:?}: {ran:?}");
    }
    let misspelt = rack.rutterctl(&["bgp", "piers"])?;
    ensure!(!misspelt.success && misspelt.stderr.contains("Unknown command"), "{misspelt:?}");
    let order = rack.rutterctl(&["clear", "bgp", "all"])?;
    ensure!(!order.success && order.stderr.contains("orders go to one bgpd"), "{order:?}");
    Ok(())
}

/// What it takes, and what is said to those who lack it.
fn rights(rack: &Rack<'_>) -> Result<()> {
    let (test, host) = (rack.test, rack.star.peer(1)?);
    for (account, rules) in [
        (
            "all",
            "[{ apiGroups: [''], resources: [pods], verbs: [list] }, { apiGroups: [''], resources: [pods/proxy], verbs: [get] }]",
        ),
        ("list", "[{ apiGroups: [''], resources: [pods], verbs: [list] }]"),
        ("none", "[]"),
    ] {
        rack.cluster.apply(&format!(
            "apiVersion: v1
kind: ServiceAccount
metadata: {{ name: {account}, namespace: {test} }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: {account}, namespace: {test} }}
rules: {rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: {account}, namespace: {test} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: {account} }}
subjects: [{{ kind: ServiceAccount, name: {account}, namespace: {test} }}]
"
        ))?;
    }
    for (account, expected) in [
        ("all", None),
        ("list", Some("cannot get resource \"pods/proxy\"")),
        ("none", Some("it takes the right to list pods there")),
    ] {
        let kubeconfig = rack.cluster.kubeconfig_for(test, account)?.display().to_string();
        let line = ["rutterctl", "--kubeconfig", &kubeconfig, "--namespace", test, "bgp", "peers"];
        let ran = rack.cluster.run_on(host, &line)?;
        match expected {
            None => ensure!(ran.success && ran.stdout.contains(&rack.name(3)), "{account}: {ran:?}"),
            Some(text) => ensure!(!ran.success && ran.stderr.contains(text), "{account}: {ran:?}"),
        }
    }
    Ok(())
}

fn one_node_down(rack: &Rack<'_>) -> Result<()> {
    rack.nodes[2].agent.daemon().kill()?;
    let (down, up) = (rack.name(3), rack.name(1));
    let ran = rack.rutterctl(&["bgp", "peers", "--wait-duration", "10s"])?;
    ensure!(!ran.success, "{ran:?}");
    ensure!(ran.stdout.contains(&up) && !ran.stdout.contains(&down), "{ran:?}");
    ensure!(ran.stderr.contains(&format!("node {down}: pod rutter-agent-3: ")), "{ran:?}");
    ensure!(ran.stderr.contains("1 of 3 nodes did not answer"), "{ran:?}");

    // One that hangs costs the others as long as was said.
    rack.nodes[1].agent.daemon().pause()?;
    let begun = std::time::Instant::now();
    let ran = rack.rutterctl(&["bgp", "peers", "--wait-duration", "2s"])?;
    ensure!(begun.elapsed().as_secs() < 6, "it took {:?}", begun.elapsed());
    ensure!(ran.stdout.contains(&up) && ran.stderr.contains("no answer within 2 s"), "{ran:?}");
    rack.nodes[1].agent.daemon().resume()?;

    // The session of the node whose agent died has not noticed anything.
    rack.established(3, true)?;
    rack.nodes[2].agent.start_again()?;
    wait_for(PATIENCE, "all nodes to answer", || {
        let ran = rack.rutterctl(&["bgp", "peers"])?;
        ensure!(ran.success, "{ran:?}");
        Ok(())
    })
}
