//! `rutterctl status`: what is missing is named, `--wait` ends when nothing is missing any more.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::Operator;
use rutter_lab::kube::{ControlPlane, Pod, SERVER};
use rutter_lab::wait_for;
use serde_json::json;

use crate::cluster;
use crate::nodes::Rack;

const PORT: u16 = 9973;

/// An operator on the control plane's host, and its pod.
fn operator(rack: &Rack<'_>) -> Result<Operator> {
    let (cluster, address) = (rack.cluster, SocketAddr::from((SERVER, PORT)));
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let operator = cluster.host().operator("operator", address, &["--kubeconfig", &kubeconfig])?;
    cluster.write_pod(&Pod {
        namespace: rack.test,
        name: "rutter-operator-1",
        labels: &[("app.kubernetes.io/name", "rutter-operator")],
        node: &rack.name(1),
        ip: &SERVER.to_string(),
        ports: &[("http", PORT)],
        unready: false,
    })?;
    Ok(operator)
}

/// Status, and whether all is well.
fn status(rack: &Rack<'_>, words: &[&str]) -> Result<(serde_json::Value, bool)> {
    let ran = rack.rutterctl(&[&["status", "-o", "json"], words].concat())?;
    let answer = serde_json::from_str(&ran.stdout).with_context(|| format!("{ran:?}"))?;
    Ok((answer, ran.success))
}

#[test]
fn waiting_ends_when_all_is_well() {
    let cluster = cluster::private("status", &[]).unwrap_or_else(|error| panic!("{error:#}"));
    let rack = Rack::start("status", &cluster).unwrap_or_else(|error| panic!("{error:#}"));
    if let Err(error) = body(&rack, &cluster) {
        panic!("{error:#}\n{}", rack.star.lab.logs());
    }
}

fn body(rack: &Rack<'_>, cluster: &ControlPlane) -> Result<()> {
    // Nobody leads yet; the nodes are as they should be.
    let ran = rack.rutterctl(&["status"])?;
    ensure!(!ran.success && ran.stdout.contains("0 of 0 operators lead"), "{ran:?}");
    let ones = ran.stdout.lines().filter(|line| line.contains("  1/1  ")).count();
    ensure!(ones == 3 && ran.stderr.contains("not everything is well"), "{ran:?}");

    let operator = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(rack, &["--wait", "--timeout", "1m"]));
        let operator = operator(rack);
        let (answer, well) = waiting.join().map_err(|_panic| anyhow::anyhow!("it panicked"))??;
        ensure!(well && answer["well"] == true, "{answer:#}");
        ensure!(answer["operators"][0]["leader"] == true, "{answer:#}");
        ensure!(
            answer["nodes"][2]["sessionsUp"] == 1 && answer["nodes"][2]["bgpdReachable"] == true,
            "{answer:#}"
        );
        operator
    })
    .with_context(|| cluster.logs())?;

    // A node that joins without an agent; then a session, a bgpd, an agent: each is missed by name.
    let stranger = rack.name(9);
    cluster.write(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumBGPNodeConfig", "metadata": {"name": stranger},
        "spec": {"bgpInstances": [{"name": "main", "localASN": 65_001}]},
    }))?;
    rack.tor.configure(&["router bgp 65000", "neighbor 10.0.1.2 shutdown"])?;
    rack.nodes[1].bgpd.daemon().kill()?;
    rack.nodes[2].agent.daemon().kill()?;
    wait_for(PATIENCE, "all three to be missed", || {
        let (answer, well) = status(rack, &["--wait-duration", "5s"])?;
        let problems = answer["problems"].to_string();
        ensure!(!well && answer["well"] == false, "{answer:#}");
        ensure!(
            problems
                .contains(&format!("node {stranger}: it has a CiliumBGPNodeConfig and no pod of the agent")),
            "{problems}"
        );
        for (number, problem) in [
            (1, "0 of 1 sessions are established"),
            (2, "bgpd does not answer the agent"),
            (3, "pod rutter-agent-3"),
        ] {
            ensure!(problems.contains(&format!("node {}: {problem}", rack.name(number))), "{problems}");
        }
        Ok(())
    })?;
    let ran = rack.rutterctl(&["status", "--wait", "--timeout", "2s"])?;
    ensure!(!ran.success && ran.stderr.contains("not everything is well after "), "{ran:?}");
    drop(operator);
    Ok(())
}
