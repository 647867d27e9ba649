//! Two operators that give addresses: the leader is killed or frozen amid 500 creations, or the API server is. Whatever
//! happens, no address stands in two statuses, not even for a moment, and in the end everybody has one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use frr_interop_tests::PATIENCE;
use rutter_lab::kube::{Component, ControlPlane};
use rutter_lab::{HttpConnection, Operator, wait_for};
use serde_json::{Value, json};

use crate::cluster;
use crate::lbipam::{
    addresses, await_object, condition, create, delete, ensure_unique, holders, merge, path, pool, service,
};
use crate::operator::operator;

const LEASE: Duration = Duration::from_secs(15);
const SERVICES: usize = 500;

/// Two operators, the leader first.
fn pair(cluster: &ControlPlane) -> Result<[Operator; 2]> {
    let first = operator(cluster, "op-1", 9973, &[])?;
    let leads = |operator: &Operator, leads: bool| {
        wait_for(PATIENCE, "an operator to be ready", || {
            let status = operator.get("/v1/status")?;
            ensure!(status["leader"] == leads && status["apiServer"]["certain"] == true, "{status:#}");
            Ok(())
        })
    };
    leads(&first, true)?;
    let second = operator(cluster, "op-2", 9974, &[])?;
    leads(&second, false)?;
    Ok([first, second])
}

/// Follows all Services and remembers, in the order in which the server made the changes, who had which address: a moment of
/// two is seen, however short.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<Vec<String>>>,
}

impl Witness {
    fn start(cluster: &ControlPlane) -> Result<Self> {
        let mut connection = cluster.connection()?;
        let list = connection.request("GET", "/api/v1/services", None)?.json()?;
        let mut version = list["metadata"]["resourceVersion"].as_str().context("no version")?.to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let socket = cluster.connection()?;
        let thread = std::thread::spawn(move || {
            let (mut api, mut has, mut seen) = (socket, BTreeMap::new(), Vec::new());
            let mut twice = Vec::new();
            for service in list["items"].as_array().into_iter().flatten() {
                note(service, false, &mut has, &mut twice);
            }
            loop {
                // Watches of a second each: the connection has no streams, and a watch goes on where the last one ended.
                let last = stopped.load(Ordering::Relaxed);
                let target =
                    format!("/api/v1/services?watch=true&timeoutSeconds=1&resourceVersion={version}");
                let Ok(reply) = api.request("GET", &target, None) else {
                    if last {
                        return Ok(twice);
                    }
                    return Err(anyhow!("the witness lost its connection after {} events", seen.len()));
                };
                for line in reply.body.lines() {
                    let event: Value = serde_json::from_str(line)?;
                    ensure!(event["type"] != "ERROR", "{event}");
                    let service = &event["object"];
                    version =
                        service["metadata"]["resourceVersion"].as_str().context("no version")?.to_owned();
                    note(service, event["type"] == "DELETED", &mut has, &mut twice);
                    seen.push(version.clone());
                }
                if last {
                    return Ok(twice);
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// What was seen twice.
    fn tell(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow!("the witness panicked"))?
    }
}

fn note(service: &Value, gone: bool, has: &mut BTreeMap<String, Vec<String>>, twice: &mut Vec<String>) {
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    has.remove(&name);
    let now = if gone { Vec::new() } else { addresses(service) };
    for address in &now {
        if let Some((other, _)) = has.iter().find(|(_, others)| others.contains(address)) {
            twice.push(format!("{address}: {other} has it, and {name} gets it"));
        }
    }
    has.insert(name, now);
}

/// Creates Services, half of them with a dispensable name, so that some go while others come.
fn flood(cluster: &ControlPlane) -> Result<std::thread::JoinHandle<Result<()>>> {
    let mut api = cluster.connection()?;
    Ok(std::thread::spawn(move || {
        for number in 0..SERVICES {
            // Not in the order of the names: who is older is not who comes first in a list.
            let name = format!("flood-{:03}", (number * 7) % SERVICES);
            create(&mut api, &service("default", &name))?;
            if number % 10 == 9 {
                let gone = format!("flood-{:03}", ((number - 5) * 7) % SERVICES);
                delete(&mut api, &format!("/api/v1/namespaces/default/services/{gone}"))?;
            }
        }
        Ok(())
    }))
}

/// Waits until somebody has an address.
fn amid(api: &mut HttpConnection) -> Result<usize> {
    wait_for(PATIENCE, "addresses to be given", || {
        let count = holders(api)?.len();
        ensure!(count >= 20, "{count}");
        Ok(count)
    })
}

fn all_served(api: &mut HttpConnection) -> Result<()> {
    let expected = SERVICES - SERVICES / 10;
    wait_for(LEASE + PATIENCE, "everybody to have an address", || {
        let holders = holders(api)?;
        ensure_unique(&holders)?;
        ensure!(holders.len() == expected, "{} of {expected}", holders.len());
        Ok(())
    })
}

fn served_counts(cluster: &ControlPlane) -> Result<()> {
    let expected = (SERVICES - SERVICES / 10).to_string();
    let path = "/apis/cilium.io/v2/ciliumloadbalancerippools/flood";
    await_object(cluster, path, "to count them", |pool| {
        condition(pool, "cilium.io/IPsUsed")["message"] == expected.as_str()
    })
    .map(drop)
}

#[test]
fn a_leader_killed_amid_500_creations_leaves_no_address_twice() -> Result<()> {
    let cluster = cluster::private("lbipam-kill", &[])?;
    let [first, second] = pair(&cluster)?;
    let mut api = cluster.connection()?;
    let witness = Witness::start(&cluster)?;
    create(&mut api, &pool("flood", None, &["172.17.0.0/22"]))?;
    let flood = flood(&cluster)?;
    let count = amid(&mut api)?;
    first.daemon().kill()?;
    println!("killed when {count} had an address");
    flood.join().map_err(|_panic| anyhow!("the flood panicked"))??;
    all_served(&mut api)?;
    served_counts(&cluster)?;
    let twice = witness.tell()?;
    ensure!(twice.is_empty(), "{twice:#?}");
    ensure!(second.get("/v1/health")?["leader"] == true, "the second leads");
    // The past is known to the one that only watched then.
    let told = second.get("/v1/lbipam/history")?;
    ensure!(
        told["entries"].as_array().is_some_and(|entries| entries.len() >= SERVICES - SERVICES / 10),
        "{}",
        told["since"]
    );
    Ok(())
}

#[test]
fn a_leader_frozen_amid_500_creations_gives_no_address_twice_when_it_wakes() -> Result<()> {
    let cluster = cluster::private("lbipam-freeze", &[])?;
    let [first, second] = pair(&cluster)?;
    let mut api = cluster.connection()?;
    let witness = Witness::start(&cluster)?;
    let pool = pool("flood", None, &["172.17.0.0/22"]);
    create(&mut api, &pool)?;
    let flood = flood(&cluster)?;
    let count = amid(&mut api)?;
    first.daemon().pause()?;
    println!("frozen when {count} had an address");
    flood.join().map_err(|_panic| anyhow!("the flood panicked"))??;
    wait_for(LEASE + PATIENCE, "the other one to lead", || {
        ensure!(second.get("/v1/health")?["leader"] == true, "it does not");
        Ok(())
    })?;
    // It wakes while the successor writes.
    first.daemon().resume()?;
    all_served(&mut api)?;
    // And what was decided when it slept is another decision by now: the first addresses are somebody else's to give.
    merge(
        &mut api,
        &path(&pool),
        &json!({"spec": {"blocks": [{"cidr": "172.17.0.0/22"}, {"cidr": "172.17.8.0/24"}]}}),
    )?;
    create(&mut api, &service("default", "after"))?;
    wait_for(PATIENCE, "the last one to be served", || {
        let count = holders(&mut api)?.len();
        ensure!(count == SERVICES - SERVICES / 10 + 1, "{count}");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(2));
    ensure_unique(&holders(&mut api)?)?;
    let twice = witness.tell()?;
    ensure!(twice.is_empty(), "{twice:#?}");
    ensure!(first.get("/v1/health")?["leader"] == false, "the woken one knows its place");
    Ok(())
}

#[test]
fn a_leader_that_is_asked_to_stop_leaves_nothing_half_done() -> Result<()> {
    let cluster = cluster::private("lbipam-term", &[])?;
    let [first, second] = pair(&cluster)?;
    let mut api = cluster.connection()?;
    let witness = Witness::start(&cluster)?;
    create(&mut api, &pool("flood", None, &["172.17.0.0/22"]))?;
    let flood = flood(&cluster)?;
    amid(&mut api)?;
    let status = first.daemon().terminate(Duration::from_secs(10))?;
    ensure!(status.success(), "{status}");
    flood.join().map_err(|_panic| anyhow!("the flood panicked"))??;
    all_served(&mut api)?;
    let twice = witness.tell()?;
    ensure!(twice.is_empty(), "{twice:#?}");
    drop(second);
    Ok(())
}

/// The server hangs, then is killed; everything goes on where it was when it is back, and nothing was released meanwhile.
#[test]
fn an_outage_amid_500_creations_takes_nothing_away() -> Result<()> {
    let cluster = cluster::private("lbipam-outage", &[])?;
    let [first, second] = pair(&cluster)?;
    let mut api = cluster.connection()?;
    create(&mut api, &pool("flood", None, &["172.17.0.0/22"]))?;
    let names: Vec<String> = (0..SERVICES).map(|number| format!("flood-{number:03}")).collect();
    for name in &names[..SERVICES / 2] {
        create(&mut api, &service("default", name))?;
    }
    let before = holders(&mut api)?;
    cluster.pause(Component::ApiServer)?;
    std::thread::sleep(Duration::from_secs(12));
    cluster.resume(Component::ApiServer)?;
    let mut api = wait_for(PATIENCE, "the server to answer", || {
        let mut api = cluster.connection()?;
        holders(&mut api)?;
        Ok(api)
    })?;
    for name in &names[SERVICES / 2..] {
        create(&mut api, &service("default", name))?;
    }
    cluster.kill(Component::ApiServer)?;
    std::thread::sleep(Duration::from_secs(2));
    cluster.restart(Component::ApiServer)?;
    wait_for(2 * LEASE + PATIENCE, "everybody to have an address", || {
        let holders = holders(&mut cluster.connection()?)?;
        ensure_unique(&holders)?;
        ensure!(holders.len() == SERVICES, "{}", holders.len());
        for (address, services) in &before {
            ensure!(holders.get(address) == Some(services), "{address} is not {services:?}'s any more");
        }
        Ok(())
    })?;
    drop((first, second));
    Ok(())
}
