//! The API server is gone, in every way in which it can be: what was announced stays, what changed meanwhile catches up, and
//! nobody asks for everything again and again.
//!
//! "Stays" is counted by the router: not one UPDATE, the same session.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{PATIENCE, run};
use rutter_lab::kube::{Component, ControlPlane};
use rutter_lab::wait_for;
use serde_json::Value;

use crate::cluster;
use crate::one_node::{OneNode, kubeconfig};

/// Kinds that an agent follows: no more initial states than that per outage.
const KINDS: u64 = 9;
const SERVICES: u8 = 20;
const ETCD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2379);
/// After this a hanging server must have been noticed: 20 s of silence, and 10 s for the question.
const NOTICED: Duration = Duration::from_secs(45);

/// The address of service `number`, third byte `third`.
fn address(third: u8, number: u8) -> String {
    format!("172.31.{third}.{number}")
}

fn expected(third: u8, last: u8) -> Vec<String> {
    let services = (1..=last).map(|number| format!("{}/32", address(third, number)));
    services.chain(["10.200.1.0/24".to_owned()]).collect()
}

fn wait_all(node: &OneNode<'_>, routes: &[String]) -> Result<()> {
    node.wait_routes(&routes.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Does something to the server and holds that the router notices nothing of it.
fn unnoticed(node: &OneNode<'_>, what: &str, fault: impl FnOnce() -> Result<()>) -> Result<()> {
    let (before, session, updates) = (node.routes()?, node.session()?, node.updates()?);
    let begun = Instant::now();
    fault().with_context(|| what.to_owned())?;
    ensure!(node.routes()? == before, "{what}: the routes are others");
    ensure!(node.session()?.incarnation == session.incarnation, "{what}: the session is another");
    ensure!(node.updates()? == updates, "{what}: {} UPDATEs", node.updates()? - updates);
    println!("{what}: {:.1} s, {} routes stayed, 0 UPDATEs", begun.elapsed().as_secs_f64(), before.len());
    Ok(())
}

/// A change after the outage, and how long it takes to the router.
fn catches_up(node: &OneNode<'_>, what: &str, last: u8) -> Result<()> {
    let begun = Instant::now();
    // A server that has just come back refuses a few writes.
    wait_for(PATIENCE, "the server to take a change", || {
        node.write_service(&format!("outage-{last}"), &address(1, last))
    })?;
    let written = begun.elapsed();
    wait_all(node, &expected(1, last))?;
    let asked = node.asked()?;
    println!(
        "{what}: the next change was taken after {written:.1?}, and at the router {:.1?} later; so far {asked:?}",
        begun.elapsed() - written
    );
    Ok(())
}

fn etcd(cluster: &ControlPlane, target: &str, body: &str) -> Result<Value> {
    let reply = cluster.host().http(ETCD, "POST", target, Some(body))?;
    ensure!(reply.status == 200, "etcd: POST {target} answers {}: {}", reply.status, reply.body);
    reply.json()
}

/// Forgets everything before now.
fn compact(cluster: &ControlPlane) -> Result<()> {
    let range = etcd(cluster, "/v3/kv/range", "{\"key\":\"AA==\"}")?;
    let revision = range["header"]["revision"].as_str().context("no revision")?;
    etcd(cluster, "/v3/kv/compaction", &format!("{{\"revision\":\"{revision}\"}}")).map(drop)
}

#[test]
fn routes_stay_and_changes_catch_up() {
    run("outage", &["frr"], |star| {
        let cluster = cluster::private("outage-cluster", &[])?;
        let node = OneNode::start(&cluster, star, "outage", &[])?;
        for number in 1..=SERVICES {
            node.write_service(&format!("outage-{number}"), &address(1, number))?;
        }
        wait_all(&node, &expected(1, SERVICES))?;
        ensure!(node.asked()?.lists == 0, "this server streams the initial state: {:?}", node.asked()?);
        refused(&node, SERVICES + 1)?;
        hanging(&node, SERVICES + 2)?;
        store_hangs(&node, SERVICES + 3)?;
        expired(&node, SERVICES + 4)
    });
}

fn refused(node: &OneNode<'_>, last: u8) -> Result<()> {
    let before = node.asked()?;
    unnoticed(node, "server killed", || {
        node.cluster.kill(Component::ApiServer)?;
        node.wait_finding("ApiUnavailable", true, PATIENCE)?;
        std::thread::sleep(Duration::from_secs(8));
        node.cluster.restart(Component::ApiServer)
    })?;
    catches_up(node, "server killed", last)?;
    node.wait_finding("ApiUnavailable", false, PATIENCE)?;
    // A server that starts anew has forgotten where its watches were; each kind asks for its state once more.
    let watches = node.asked()?.watches - before.watches;
    println!("server killed: {watches} watches for {KINDS} kinds, refused ones included");
    ensure!(watches <= KINDS * 12, "a storm: {watches} watches");
    Ok(())
}

fn hanging(node: &OneNode<'_>, last: u8) -> Result<()> {
    let before = node.asked()?;
    unnoticed(node, "server frozen", || {
        node.cluster.pause(Component::ApiServer)?;
        let begun = Instant::now();
        node.wait_finding("ApiUnavailable", true, NOTICED + Duration::from_secs(35))?;
        println!("server frozen: noticed after {:.1?}", begun.elapsed());
        // A new life of the agent in the middle of it finds nobody and leaves bgpd alone.
        node.agent.daemon().kill()?;
        node.agent.start_again()?;
        std::thread::sleep(Duration::from_secs(3));
        ensure!(node.status()?["bgpd"]["pending"] == true, "{:#}", node.status()?["bgpd"]);
        node.cluster.resume(Component::ApiServer)
    })?;
    catches_up(node, "server frozen", last)?;
    println!("server frozen: {before:?} before, {:?} by the new agent", node.asked()?);
    Ok(())
}

fn store_hangs(node: &OneNode<'_>, last: u8) -> Result<()> {
    unnoticed(node, "store frozen", || {
        node.cluster.pause(Component::Etcd)?;
        node.agent.daemon().kill()?;
        node.agent.start_again()?;
        std::thread::sleep(Duration::from_secs(12));
        println!("store frozen: {:?}", node.asked()?);
        node.cluster.resume(Component::Etcd)
    })?;
    wait_for(Duration::from_secs(60), "the store to answer", || {
        let reply = node.cluster.request("GET", "/readyz", None)?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(())
    })?;
    catches_up(node, "store frozen", last)
}

/// The server goes, the agent sleeps, the server comes, objects go and come, the store forgets that they did, and the server
/// starts anew: where the agent's watches were, nobody knows any more.
fn expired(node: &OneNode<'_>, last: u8) -> Result<()> {
    let before = node.asked()?;
    unnoticed(node, "watches expired", || {
        // Killed first, or what changes would wait in the sleeping agent's sockets.
        node.cluster.kill(Component::ApiServer)?;
        node.agent.daemon().pause()?;
        node.cluster.restart(Component::ApiServer)?;
        node.cluster.delete("service", "outage-1")?;
        node.write_service("outage-2", &address(2, 2))?;
        compact(node.cluster)?;
        node.cluster.restart(Component::ApiServer)
    })?;
    let begun = Instant::now();
    node.agent.daemon().resume()?;
    let mut routes: BTreeSet<String> = expected(1, last - 1).into_iter().collect();
    routes.remove("172.31.1.1/32");
    routes.remove("172.31.1.2/32");
    routes.insert("172.31.2.2/32".to_owned());
    wait_all(node, &routes.into_iter().collect::<Vec<_>>())?;
    let now = node.asked()?;
    println!("watches expired: caught up after {:.1?}; {before:?} before, {now:?} now", begun.elapsed());
    // Most are told that they are too old, and begin anew.
    let more = now.watches - before.watches;
    ensure!(now.lists == before.lists && (KINDS..=8 * KINDS).contains(&more), "{more} watches more");
    Ok(())
}

#[test]
fn ten_thousand_changes_are_few_intents() {
    const CHANGES: u32 = 10_000;
    const WRITERS: u32 = 4;
    const EACH: u8 = 50;
    run("flood", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "flood", &[])?;
        for number in 1..=EACH {
            node.write_service(&format!("flood-{number}"), &address(3, number))?;
        }
        wait_all(&node, &expected(3, EACH))?;
        let (asked, puts) = (node.asked()?, puts(&node)?);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    scope.spawn({
                        let node = &node;
                        move || -> Result<()> {
                            let mut connection = node.cluster.connection()?;
                            for change in (writer..CHANGES).step_by(usize::try_from(WRITERS)?) {
                                let number = u8::try_from(change % u32::from(EACH))? + 1;
                                let third = 10 + u8::try_from(change / u32::from(EACH) % 100)?;
                                node.move_service(
                                    &mut connection,
                                    &format!("flood-{number}"),
                                    &address(third, number),
                                )?;
                            }
                            Ok(())
                        }
                    })
                })
                .collect();
            writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
        })?;
        let written = begun.elapsed();
        for number in 1..=EACH {
            node.write_service(&format!("flood-{number}"), &address(4, number))?;
        }
        let settled = Instant::now();
        wait_all(&node, &expected(4, EACH))?;
        let puts = self::puts(&node)? - puts;
        let now = node.asked()?;
        println!(
            "{CHANGES} changes in {written:.1?}: {puts} intents; all right {:.1?} after the last; {} requests",
            settled.elapsed(),
            now.all - asked.all
        );
        // What matters is the rate: a slow machine needs longer for the changes.
        ensure!(puts <= 40 * (written.as_secs() + 1), "{puts} intents for {CHANGES} changes");
        ensure!(now.lists == asked.lists && now.watches == asked.watches, "{asked:?}, then {now:?}");
        Ok(())
    });
}

/// How many intents bgpd has taken from this agent.
fn puts(node: &OneNode<'_>) -> Result<u64> {
    node.status()?["bgpd"]["puts"].as_u64().context("the agent counts no intents")
}

#[test]
fn agent_and_server_restart_under_changes() {
    run("restarts", &["frr"], |star| {
        let cluster = cluster::private("restarts-cluster", &[])?;
        let node = OneNode::start(&cluster, star, "restarts", &[])?;
        for number in 1..=SERVICES {
            node.write_service(&format!("restarts-{number}"), &address(5, number))?;
        }
        wait_all(&node, &expected(5, SERVICES))?;
        let session = node.session()?;
        for round in 6..9 {
            // Half of the changes before, half after the restarts, some of them into the void.
            for number in 1..=SERVICES / 2 {
                node.write_service(&format!("restarts-{number}"), &address(round, number))?;
            }
            node.agent.daemon().kill()?;
            cluster.kill(Component::ApiServer)?;
            let _ = node.write_service("restarts-1", &address(round, 1));
            node.agent.start_again()?;
            cluster.restart(Component::ApiServer)?;
            for number in 1..=SERVICES {
                wait_for(PATIENCE, "the server to take a change", || {
                    node.write_service(&format!("restarts-{number}"), &address(round, number))
                })?;
            }
            let begun = Instant::now();
            wait_all(&node, &expected(round, SERVICES))?;
            println!(
                "round {round}: caught up {:.1?} after the last change; {:?}",
                begun.elapsed(),
                node.asked()?
            );
        }
        ensure!(node.session()?.incarnation == session.incarnation, "the session is another");
        Ok(())
    });
}

/// A clock that is a month ahead, for one process.
const CLOCK: &str = "#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
    int result = real(which, now);
    if (result == 0 && which == CLOCK_REALTIME) now->tv_sec += 30 * 24 * 3600;
    return result;
}
";

#[test]
fn a_wrong_clock_changes_nothing() {
    run("clock", &["frr"], |star| {
        let node = OneNode::start(cluster::shared()?, star, "clock", &[])?;
        let path = |name: &str| star.hub.folder().join(name).display().to_string();
        std::fs::write(path("clock.c"), CLOCK)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-o", &path("clock.so"), &path("clock.c"), "-ldl"])
            .output()
            .context("starting `cc`, which Rust needs too")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        node.write_service("clock-1", &address(9, 1))?;
        wait_all(&node, &expected(9, 1))?;
        let program = rutter_lab::rutter_binary("rutter-agent")?.display().to_string();
        let preload = format!("LD_PRELOAD={}", path("clock.so"));
        let (bgpd, own) = (path("bgpd.sock"), path("agent.sock"));
        // It runs for as long as it is held.
        let mut skewed = None;
        unnoticed(&node, "the clock a month ahead", || {
            node.agent.daemon().kill()?;
            skewed = Some(star.hub.spawn(
                "skewed-agent",
                &[
                    "env",
                    &preload,
                    &program,
                    "--node",
                    "clock",
                    &kubeconfig(node.cluster),
                    "--bgpd-socket",
                    &bgpd,
                    "--socket",
                    &own,
                ],
            )?);
            wait_for(PATIENCE, "the agent to have put its intent", || {
                ensure!(node.status()?["bgpd"]["lastApplied"].is_object(), "{:#}", node.status()?);
                Ok(())
            })
        })?;
        let time = node.status()?["bgpd"]["lastApplied"]["time"].to_string();
        println!("the agent believes that it is {time}");
        node.write_service("clock-2", &address(9, 2))?;
        wait_all(&node, &expected(9, 2))?;
        skewed.context("it was not started")?.ensure_running()
    });
}
