//! `rutterctl lbipam` on a real API server: what it says of a Service is what the operator then does; with nothing but the
//! right to list, and with good words where even that is missing.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{ControlPlane, Pod, SERVER};
use rutter_lab::{Operator, Ran, wait_for};
use serde_json::Value;

use crate::cluster;

const NAMESPACE: &str = "lbipam-ctl";
const PORT: u16 = 9973;

const RIGHTS: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: lbipam-ctl }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader, namespace: lbipam-ctl }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: nobody, namespace: lbipam-ctl }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: lbipam-reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: rutterctl-lbipam }
subjects: [{ kind: ServiceAccount, name: reader, namespace: lbipam-ctl }]
";

const POOLS: &str = "
apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: { name: first }
spec: { allowFirstLastIPs: 'No', blocks: [{ cidr: 10.70.0.0/30 }] }
---
apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata: { name: gold }
spec: { blocks: [{ cidr: 10.71.0.0/24 }], serviceSelector: { matchLabels: { tier: gold } } }
";

struct Stage {
    cluster: ControlPlane,
    operator: Option<Operator>,
}

impl Stage {
    /// rutterctl on the control plane's host, with everybody's rights.
    fn rutterctl(&self, words: &[&str]) -> Result<Ran> {
        let line = [&["rutterctl", "lbipam"], words, &["--namespace", NAMESPACE]].concat();
        self.cluster.run_on(self.cluster.host(), &line)
    }

    /// The same as this service account.
    fn as_account(&self, account: &str, words: &[&str]) -> Result<Ran> {
        let kubeconfig = self.cluster.kubeconfig_for(NAMESPACE, account)?.display().to_string();
        self.rutterctl(&[words, &["--kubeconfig", &kubeconfig]].concat())
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let ran = self.rutterctl(&[words, &["-o", "json"]].concat())?;
        serde_json::from_str(&ran.stdout).with_context(|| format!("{words:?}: {ran:?}"))
    }

    fn service(&self, name: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\n\
             spec: {{ type: LoadBalancer, ports: [{{ port: 80 }}]{more} }}\n"
        );
        self.cluster.apply(&yaml).map(drop)
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.cluster.host().folder().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Waits until the API server says that the Service has this address.
    fn given(&self, name: &str, address: &str) -> Result<()> {
        wait_for(PATIENCE, &format!("{name} to have {address}"), || {
            let service = self.cluster.get_in(NAMESPACE, "service", name)?;
            let ip = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
            ensure!(*ip == address, "{}", service["status"]);
            Ok(())
        })
    }

    /// An operator that allocates, and its pod.
    fn operate(&mut self) -> Result<()> {
        let cluster = &self.cluster;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let at = SocketAddr::from((SERVER, PORT));
        let operator = cluster.host().operator("operator", at, &["--kubeconfig", &kubeconfig])?;
        cluster.write_pod(&Pod {
            namespace: NAMESPACE,
            name: "rutter-operator-1",
            labels: &[("app.kubernetes.io/name", "rutter-operator")],
            node: "somewhere",
            ip: &SERVER.to_string(),
            ports: &[("http", PORT)],
            ..Pod::default()
        })?;
        self.operator = Some(operator);
        Ok(())
    }
}

#[test]
fn what_it_says_is_what_happens() {
    let cluster = cluster::private("lbipam-ctl", &[]).unwrap_or_else(|error| panic!("{error:#}"));
    let mut stage = Stage { cluster, operator: None };
    if let Err(error) = body(&mut stage) {
        panic!("{error:#}\n{}", stage.cluster.logs());
    }
}

fn body(stage: &mut Stage) -> Result<()> {
    stage.cluster.apply_file(&cluster::checkout("deploy/rbac.yaml"))?;
    stage.cluster.apply(RIGHTS)?;
    rights(stage)?;
    stage.cluster.apply(POOLS)?;
    stage.service("web", "")?;
    before_anybody_allocates(stage)?;
    stage.operate()?;
    stage.given("web", "10.70.0.1")?;
    afterwards(stage)?;
    plans_come_true(stage)
}

/// No operator, no rights, no such Service: each has its own words.
fn rights(stage: &Stage) -> Result<()> {
    let ran = stage.as_account("nobody", &["show"])?;
    ensure!(!ran.success && ran.stderr.contains("it takes the rights to list services"), "{ran:?}");
    ensure!(ran.stderr.contains("403") && ran.stderr.contains("nobody"), "{ran:?}");
    let ran = stage.as_account("reader", &["show"])?;
    ensure!(ran.success && ran.stdout.contains("There is no pool"), "{ran:?}");
    ensure!(ran.stderr.contains("no operator could be asked"), "{ran:?}");
    Ok(())
}

/// What will happen is said before there is anybody who does it, and nothing is written for that.
fn before_anybody_allocates(stage: &Stage) -> Result<()> {
    let web = format!("{NAMESPACE}/web");
    let ran = stage.as_account("reader", &["explain", &web])?;
    ensure!(ran.success && ran.stdout.starts_with(&format!("Service {web}: gets 10.70.0.1\n")), "{ran:?}");
    ensure!(ran.stdout.contains("tier=gold: there is no label tier"), "{ran:?}");
    let answer = stage.json(&["explain", "web", "-n", NAMESPACE])?;
    ensure!(answer["outcome"]["addresses"][0] == "10.70.0.1" && answer["handled"] == true, "{answer:#}");
    let ran = stage.rutterctl(&["explain", "wbe", "-n", NAMESPACE])?;
    ensure!(!ran.success && ran.stderr.contains(&format!("did you mean {web}?")), "{ran:?}");
    let ran = stage.rutterctl(&["explain", "default/kubernetes"])?;
    ensure!(ran.success && ran.stdout.contains("its type is ClusterIP, not LoadBalancer"), "{ran:?}");
    let service = stage.cluster.get_in(NAMESPACE, "service", "web")?;
    ensure!(service["status"]["loadBalancer"] == serde_json::json!({}), "{}", service["status"]);
    Ok(())
}

fn afterwards(stage: &Stage) -> Result<()> {
    let web = format!("{NAMESPACE}/web");
    wait_for(PATIENCE, "the explanation to say that all is done", || {
        let ran = stage.rutterctl(&["explain", &web])?;
        ensure!(ran.stdout.starts_with(&format!("Service {web}: has 10.70.0.1\n")), "{ran:?}");
        ensure!(ran.stdout.contains("condition  True satisfied") && ran.stderr.is_empty(), "{ran:?}");
        Ok(())
    })?;
    let pools = stage.json(&["show"])?;
    ensure!(pools[0]["name"] == "first" && pools[0]["ipv4"]["used"] == "3", "{pools:#}");
    let addresses = stage.json(&["show", "addresses"])?;
    ensure!(
        addresses[0]["address"] == "10.70.0.1" && addresses[0]["services"][0]["service"] == *web,
        "{addresses:#}"
    );
    let ran = stage.rutterctl(&["show", "10.70.0.1"])?;
    ensure!(ran.stdout.contains(&format!("of pool first; {web} has it")), "{ran:?}");
    ensure!(ran.stdout.contains("allocated"), "its history is missing: {ran:?}");
    let by_bgp = stage.cluster.run_on(
        stage.cluster.host(),
        &[
            "kubectl",
            "get",
            "ippool",
            "first",
            "-o",
            "jsonpath={.status.conditions[?(@.type=='cilium.io/IPsAvailable')].message}",
        ],
    )?;
    ensure!(
        by_bgp.stdout == pools[0]["ipv4"]["available"].as_str().unwrap_or_default(),
        "{by_bgp:?} {pools:#}"
    );
    Ok(())
}

/// A plan, and then the same for real.
fn plans_come_true(stage: &Stage) -> Result<()> {
    stage.service("api", "")?;
    stage.given("api", "10.70.0.2")?;
    stage.service("late", "")?;
    wait_for(PATIENCE, "late to be refused", || {
        let ran = stage.rutterctl(&["explain", "late", "-n", NAMESPACE])?;
        ensure!(ran.stdout.contains("condition  False out_of_ips"), "{ran:?}");
        Ok(())
    })?;
    let wider = POOLS.replace("10.70.0.0/30", "10.70.0.0/29");
    let file = stage.file("wider.yaml", &wider)?;
    let ran = stage.rutterctl(&["plan", "-f", &file])?;
    ensure!(ran.success && ran.stdout.contains("0 released, 0 moved, 1 served"), "{ran:?}");
    ensure!(ran.stdout.contains("10.70.0.3"), "{ran:?}");
    stage.cluster.apply(&wider)?;
    stage.given("late", "10.70.0.3")?;
    stage.given("web", "10.70.0.1")?;

    let elsewhere = POOLS.replace("10.70.0.0/30", "10.70.9.0/29");
    let file = stage.file("elsewhere.yaml", &elsewhere)?;
    let plan = stage.json(&["plan", "-f", &file])?;
    ensure!(
        plan["moves"] == true && plan["services"].as_array().is_some_and(|all| all.len() == 3),
        "{plan:#}"
    );
    stage.cluster.apply(&elsewhere)?;
    for moved in plan["services"].as_array().into_iter().flatten() {
        let name = moved["service"]["name"].as_str().unwrap_or_default();
        stage.given(name, moved["after"][0].as_str().context("an address")?)?;
    }
    let ran = stage.rutterctl(&["plan", "--delete", "first"])?;
    ensure!(!ran.success && ran.stdout.contains("3 released"), "{ran:?}");
    ensure!(ran.stdout.contains("no_pool"), "{ran:?}");
    Ok(())
}
