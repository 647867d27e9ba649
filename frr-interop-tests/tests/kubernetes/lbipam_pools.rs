//! What a pool can be asked for beyond Cilium, on a real API server: edits that wait for confirmation, also over a restart of the
//! operator and with tools that replace objects; and pools over ranges of the cluster.

use anyhow::{Context, Result, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{ControlPlane, Node};
use rutter_lab::{Operator, wait_for};
use serde_json::{Value, json};

use crate::cluster;
use crate::lbipam::{
    addresses, await_addresses, await_object, condition, create, delete, events, path, pool, read, service,
    verdict,
};
use crate::operator::operate;

const STAGED: &str = "rutter.dev/EditStaged";
const COVERS: &str = "rutter.dev/CoversClusterRange";
const ACCEPTED: &str = "rutter.dev/accepted-spec";

/// A pool as a person writes it: without anything that the operator adds.
fn manifest(blocks: &[&str]) -> Value {
    let mut object = pool("shop", None, blocks);
    object["metadata"]["annotations"] = json!({"rutter.dev/safe-shrink": "true"});
    object
}

fn accepted(pool: &Value) -> Value {
    let text = pool["metadata"]["annotations"][ACCEPTED].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

/// CIDRs of the specs that count.
fn blocks(pool: &Value) -> Vec<Vec<String>> {
    let cidrs = |spec: &Value| {
        let blocks = spec["blocks"].as_array().into_iter().flatten();
        blocks.filter_map(|block| block["cidr"].as_str().map(str::to_owned)).collect()
    };
    accepted(pool).as_array().into_iter().flatten().map(cidrs).collect()
}

fn is_staged(pool: &Value) -> bool {
    condition(pool, STAGED)["status"] == "True"
}

fn await_leader(operator: &Operator) -> Result<()> {
    wait_for(PATIENCE, "the operator to lead again", || {
        let status = operator.get("/v1/lbipam")?;
        ensure!(status["leader"] == true, "{status:#}");
        Ok(())
    })
}

/// The Services' addresses are these, and have been for as long as the operator has known of the edit.
fn ensure_unmoved(cluster: &ControlPlane, services: &[&Value; 2], expected: [&str; 2]) -> Result<()> {
    for (service, expected) in services.iter().zip(expected) {
        let now = read(cluster, &path(service))?;
        ensure!(addresses(&now) == [expected] && verdict(&now) == "True/satisfied", "{now:#}");
    }
    Ok(())
}

#[test]
fn an_edit_that_would_move_addresses_waits_until_it_is_confirmed() -> Result<()> {
    let cluster = cluster::private("lbshrink", &[])?;
    let operator = operate(&cluster, &[])?;
    let mut api = cluster.connection()?;
    let shop = path(&manifest(&[]));
    cluster.apply(&manifest(&["172.16.0.0/31", "172.16.1.0/31"]).to_string())?;
    await_object(&cluster, &shop, "to be accepted", |pool| {
        blocks(pool) == [["172.16.0.0/31", "172.16.1.0/31"]]
    })?;
    let [web, db] = ["web", "db"].map(|name| service("default", name));
    for (service, address) in [(&web, "172.16.0.0"), (&db, "172.16.0.1")] {
        create(&mut api, service)?;
        await_addresses(&cluster, &path(service), &[address])?;
    }

    // A block goes, another one comes.
    cluster.apply(&manifest(&["172.16.1.0/31", "172.16.2.0/31"]).to_string())?;
    let pool = await_object(&cluster, &shop, "to be staged", is_staged)?;
    let message = condition(&pool, STAGED)["message"].as_str().context("no message")?.to_owned();
    ensure!(
        message.starts_with(
            "by this spec 2 addresses in use would move: 172.16.0.0 of default/web; 172.16.0.1 of default/db;"
        ),
        "{message}"
    );
    ensure_unmoved(&cluster, &[&web, &db], ["172.16.0.0", "172.16.0.1"])?;
    wait_for(PATIENCE, "an Event", || {
        let events = events(&cluster, "default", "shop")?;
        ensure!(events.iter().any(|event| event.starts_with("EditStaged: by this spec 2")), "{events:?}");
        Ok(())
    })?;
    let both = [["172.16.0.0/31", "172.16.1.0/31"], ["172.16.1.0/31", "172.16.2.0/31"]];
    await_object(&cluster, &shop, "to say which specs count", |pool| blocks(pool) == both)?;

    // Another process, which was not there when the pool had the block.
    operator.daemon().terminate(PATIENCE)?;
    operator.start_again()?;
    await_leader(&operator)?;
    // What the edit adds is given, by the new one.
    let new = service("default", "new");
    create(&mut api, &new)?;
    await_addresses(&cluster, &path(&new), &["172.16.1.0"])?;
    ensure_unmoved(&cluster, &[&web, &db], ["172.16.0.0", "172.16.0.1"])?;
    ensure!(is_staged(&read(&cluster, &shop)?), "it waits still");

    // A tool that replaces objects takes the annotation away, and confirms nothing by it.
    let file = cluster.kubeconfig().with_file_name("shop.json");
    std::fs::write(&file, manifest(&["172.16.1.0/31", "172.16.2.0/31"]).to_string())?;
    cluster.kubectl(&["replace", "-f", &file.display().to_string()])?;
    await_object(&cluster, &shop, "to have the annotation again", |pool| blocks(pool) == both)?;
    ensure_unmoved(&cluster, &[&web, &db], ["172.16.0.0", "172.16.0.1"])?;

    // The message says how to confirm: to the letter.
    let (_, command) = message.split_once("to move them now: kubectl ").context("no command")?;
    cluster.kubectl(&command.split(' ').collect::<Vec<_>>())?;
    // Both were created within a second or two, so either may count as the older one.
    let mut moved = Vec::new();
    for service in [&web, &db] {
        let fits = |service: &Value| addresses(service).iter().all(|ip| !ip.starts_with("172.16.0."));
        let now = await_object(&cluster, &path(service), "to move", |service| {
            fits(service) && verdict(service) == "True/satisfied"
        })?;
        moved.extend(addresses(&now));
    }
    moved.sort();
    ensure!(moved == ["172.16.1.1", "172.16.2.0"], "{moved:?}");
    await_object(&cluster, &shop, "to be accepted", |pool| {
        blocks(pool) == [["172.16.1.0/31", "172.16.2.0/31"]] && condition(pool, STAGED).is_null()
    })?;
    wait_for(PATIENCE, "an Event", || {
        let told = events(&cluster, "default", "web")?;
        ensure!(told.iter().any(|event| event.starts_with("IPMoved: ")), "{told:?}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_pool_over_ranges_of_the_cluster_gives_nothing_if_its_owner_asked() -> Result<()> {
    let cluster = cluster::private("lbranges", &["--service-cluster-ip-range=10.96.0.0/16"])?;
    cluster.write_node(&Node {
        name: "w1",
        internal_ips: &["172.16.0.77"],
        pod_cidrs: &["10.244.1.0/24"],
        ..Node::default()
    })?;
    let operator = operate(&cluster, &[])?;
    let mut api = cluster.connection()?;
    let asking = |name: &str, block: &str| {
        let mut object = pool(name, Some("default"), &[block]);
        object["metadata"]["annotations"] = json!({"rutter.dev/refuse-cluster-ranges": "true"});
        object
    };
    let [nodes, pods, services] = [
        asking("nodes", "172.16.0.0/24"),
        asking("pods", "10.244.0.0/20"),
        asking("services", "10.96.200.0/28"),
    ];
    for (pool, whose) in [
        (&nodes, "172.16.0.0 - 172.16.0.255 overlaps 172.16.0.77/32 (node addresses of Node w1)"),
        (&pods, "10.244.0.0 - 10.244.15.255 overlaps 10.244.1.0/24 (pod addresses of Node w1)"),
        (
            &services,
            "10.96.200.0 - 10.96.200.15 overlaps 10.96.0.0/16 (cluster IPs of ServiceCIDR kubernetes)",
        ),
    ] {
        create(&mut api, pool)?;
        await_object(&cluster, &path(pool), "to be refused", |pool| {
            let condition = condition(pool, COVERS);
            condition["status"] == "True"
                && condition["message"].as_str().is_some_and(|message| message.contains(whose))
        })?;
    }
    let web = service("default", "web");
    create(&mut api, &web)?;
    await_object(&cluster, &path(&web), "to wait", |service| verdict(service) == "False/no_pool")?;
    // The node leaves: the pool gives, and what it gave stays when another node comes.
    delete(&mut api, "/api/v1/nodes/w1")?;
    delete(&mut api, &path(&pods))?;
    await_addresses(&cluster, &path(&web), &["172.16.0.0"])?;
    await_object(&cluster, &path(&nodes), "to be opened", |pool| condition(pool, COVERS).is_null())?;
    cluster.write_node(&Node { name: "w2", internal_ips: &["172.16.0.78"], ..Node::default() })?;
    await_object(&cluster, &path(&nodes), "to be refused again", |pool| !condition(pool, COVERS).is_null())?;
    let other = service("default", "other");
    create(&mut api, &other)?;
    await_object(&cluster, &path(&other), "to wait", |service| verdict(service) == "False/no_pool")?;
    await_addresses(&cluster, &path(&web), &["172.16.0.0"])?;
    // One that has just started gives nothing before it knows the nodes.
    operator.daemon().terminate(PATIENCE)?;
    operator.start_again()?;
    await_leader(&operator)?;
    let third = service("default", "third");
    create(&mut api, &third)?;
    await_object(&cluster, &path(&third), "to wait", |service| verdict(service) == "False/no_pool")?;
    let other = read(&cluster, &path(&other))?;
    ensure!(addresses(&other).is_empty(), "{other:#}");
    await_addresses(&cluster, &path(&web), &["172.16.0.0"])?;
    Ok(())
}
