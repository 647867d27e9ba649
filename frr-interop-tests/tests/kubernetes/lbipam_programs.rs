//! Random programs of edits on a real API server with two operators, of which one leads, is killed, frozen or asked to stop,
//! or loses the server for a while. What has to hold is read from the server's own history.
//!
//! The larger set of such programs runs on the pure allocator (`lbipam/tests/programs`); here are those parts that only a
//! server has: requests on their way, watches, conflicts, a Lease.

mod history;
mod oracle;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rutter_lab::kube::{Component, ControlPlane};
use rutter_lab::{HttpConnection, Operator, wait_for};
use serde_json::{Value, json};

use self::history::History;
use crate::cluster;
use crate::lbipam::{namespace, path, pool, service};
use crate::operator::operator;

/// Programs, each with a disaster of its own.
const SEEDS: u64 = 4;
/// Edits of a program.
const EDITS: usize = 40;
/// Short, so that a successor comes within the test's time.
const LEASE: [&str; 6] = [
    "--leader-election-lease-duration=5s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=500ms",
    "--lbipam-pool-grace=3s",
    "--enable-ipv6=false",
    "--enable-ipv4=true",
];
/// How long until all is quiet, after the last edit and the end of all trouble.
const PEACE: Duration = Duration::from_secs(40);

const NAMESPACES: [&str; 2] = ["prog-red", "prog-blue"];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const POOLS: [&str; 4] = ["p0", "p1", "p2", "p3"];
const BLOCKS: [&[&str]; 6] = [
    &["10.77.0.0/30"],
    &["10.77.0.4/30"],
    &["10.77.0.0/29"],
    &["10.77.0.8/31", "10.77.0.12/32"],
    &["10.77.0.2/31", "010.0.0.0/30"],
    &["10.77.0.16/30"],
];
const REQUESTS: [&str; 5] = ["10.77.0.1", "10.77.0.5, 10.77.0.6", "10.77.0.12", "192.0.2.1", "ten"];

/// Numbers out of a seed (xorshift): the same ones in each run, though what happens between the edits is not.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[test]
fn random_programs_hold_the_invariants_on_a_real_server() -> Result<()> {
    let cluster = cluster::private("lbipam-programs", &[])?;
    for name in NAMESPACES {
        namespace(&cluster, name)?;
    }
    let mut pair = [start(&cluster, "op-1", 9973)?, start(&cluster, "op-2", 9974)?];
    let begun = Instant::now();
    for seed in 1..=SEEDS {
        run(&cluster, &mut pair, seed).with_context(|| format!("seed {seed}"))?;
        println!("seed {seed} done after {:.1} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

fn start(cluster: &ControlPlane, name: &str, port: u16) -> Result<Operator> {
    operator(cluster, name, port, &LEASE)
}

fn leads(operator: &Operator) -> bool {
    operator.get("/v1/health").is_ok_and(|health| health["leader"] == true)
}

/// Waits until one of the two leads; its place.
fn leader(pair: &[Operator; 2]) -> Result<usize> {
    wait_for(PEACE, "one to lead", || pair.iter().position(leads).context("nobody leads"))
}

fn run(cluster: &ControlPlane, pair: &mut [Operator; 2], seed: u64) -> Result<()> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let history = History::follow(cluster)?;
    let first = leader(pair)?;
    let mut api = cluster.connection()?;
    for _ in 0..EDITS / 2 {
        edit(&mut api, &mut dice)?;
    }
    // The disaster, amid edits; by the end of the program everybody is well again.
    match seed % 4 {
        1 => drop(pair[first].daemon().terminate(Duration::from_secs(10))?),
        2 => pair[first].daemon().kill()?,
        3 => pair[first].daemon().pause()?,
        _ => cluster.pause(Component::ApiServer)?,
    }
    if seed.is_multiple_of(4) {
        std::thread::sleep(Duration::from_secs(6));
        cluster.resume(Component::ApiServer)?;
        api = wait_for(PEACE, "the server to answer", || {
            let mut api = cluster.connection()?;
            api.request("GET", "/readyz", None)?;
            Ok(api)
        })?;
    }
    for _ in 0..EDITS / 2 {
        edit(&mut api, &mut dice)?;
    }
    match seed % 4 {
        1 | 2 => {
            leader_is_another(pair, first)?;
            pair[first].start_again()?;
        }
        3 => {
            leader_is_another(pair, first)?;
            edit(&mut api, &mut dice)?;
            pair[first].daemon().resume()?;
        }
        _ => {}
    }
    settle(&mut api)?;
    let told = history.tell()?;
    let (given, went) = told.check()?;
    println!(
        "seed {seed}: {given} addresses given, {went} of them went, {} statuses written",
        told.writes_of_ours()
    );
    ensure!(told.writes_of_ours() <= 12 * EDITS, "{} writes for {EDITS} edits", told.writes_of_ours());
    clear(&mut api)
}

fn leader_is_another(pair: &[Operator; 2], first: usize) -> Result<()> {
    wait_for(PEACE, "the other one to lead", || {
        ensure!(leads(&pair[1 - first]), "it does not");
        Ok(())
    })
}

/// An edit that may miss: what it is about may be there or not.
fn edit(api: &mut HttpConnection, dice: &mut Dice) -> Result<()> {
    let (space, name) = (dice.pick(&NAMESPACES), dice.pick(&NAMES));
    let of_service = path(&service(space, name));
    let of_pool = path(&pool(dice.pick(&POOLS), None, &[]));
    match dice.below(12) {
        0..4 => post(api, &new_service(dice, space, name))?,
        4 => send(api, "DELETE", &of_service, None)?,
        5 => {
            let labels = json!({"color": dice.pick(&[Some("a"), Some("b"), None])});
            send(api, "PATCH", &of_service, Some(json!({"metadata": {"labels": labels}})))?;
        }
        6 => {
            let ips = dice.chance(60).then(|| dice.pick(&REQUESTS));
            let annotations = json!({"lbipam.cilium.io/ips": ips});
            send(api, "PATCH", &of_service, Some(json!({"metadata": {"annotations": annotations}})))?;
        }
        7 | 8 => post(api, &new_pool(dice))?,
        9 => send(api, "DELETE", &of_pool, None)?,
        10 => send(api, "PATCH", &of_pool, Some(json!({"spec": {"disabled": dice.chance(50)}})))?,
        _ => {
            let spec = new_pool(dice)["spec"].clone();
            send(api, "PATCH", &of_pool, Some(json!({"spec": spec})))?;
        }
    }
    std::thread::sleep(Duration::from_millis(dice.pick(&[0, 0, 5, 20, 60])));
    Ok(())
}

fn new_service(dice: &mut Dice, space: &str, name: &str) -> Value {
    let mut service = service(space, name);
    let mut annotations = json!({});
    if dice.chance(40) {
        annotations["lbipam.cilium.io/sharing-key"] = "k".into();
    }
    if dice.chance(25) {
        annotations["lbipam.cilium.io/ips"] = dice.pick(&REQUESTS).into();
    }
    service["metadata"]["annotations"] = annotations;
    if dice.chance(60) {
        service["metadata"]["labels"] = json!({"color": dice.pick(&["a", "b"])});
    }
    service["spec"]["ports"] = json!([{"port": dice.pick(&[80, 81, 82]), "protocol": "TCP"}]);
    service
}

fn new_pool(dice: &mut Dice) -> Value {
    let mut pool = pool(dice.pick(&POOLS), None, dice.pick(&BLOCKS));
    let selector = match dice.below(5) {
        0 => json!({"matchLabels": {"color": "a"}}),
        1 => json!({"matchLabels": {"io.kubernetes.service.namespace": "prog-red"}}),
        _ => Value::Null,
    };
    pool["spec"]["serviceSelector"] = selector;
    if dice.chance(25) {
        pool["spec"]["allowFirstLastIPs"] = "No".into();
    }
    pool
}

fn post(api: &mut HttpConnection, object: &Value) -> Result<()> {
    let path = path(object);
    let collection = path.rsplit_once('/').map(|(collection, _)| collection).unwrap_or_default();
    send(api, "POST", collection, Some(object.clone()))
}

/// One request; that the object is there already, or is not there, is nobody's fault.
fn send(api: &mut HttpConnection, method: &str, target: &str, body: Option<Value>) -> Result<()> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let reply = api.send(method, target, kind, body.map(|body| body.to_string()).as_deref())?;
    ensure!(
        matches!(reply.status, 200..=202 | 404 | 409),
        "{method} {target}: {} {}",
        reply.status,
        reply.body
    );
    Ok(())
}

/// Everything as it is now.
fn now(api: &mut HttpConnection) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut list = |target: &str| -> Result<Vec<Value>> {
        let reply = api.request("GET", target, None)?;
        match reply.json()?["items"].take() {
            Value::Array(items) => Ok(items),
            other => Err(anyhow!("{target}: {other}")),
        }
    };
    let mut services = list("/api/v1/services")?;
    services.retain(|service| service["spec"]["type"] == "LoadBalancer");
    Ok((services, list("/apis/cilium.io/v2/ciliumloadbalancerippools")?))
}

/// Waits until everything is as it has to be; and then nothing moves any more.
fn settle(api: &mut HttpConnection) -> Result<()> {
    let still = |(services, pools): &(Vec<Value>, Vec<Value>)| -> Vec<String> {
        let all = services.iter().chain(pools);
        all.map(|object| object["metadata"]["resourceVersion"].to_string()).collect()
    };
    let mut before = None;
    wait_for(PEACE, "everything to be as it has to be", || {
        let all = now(api)?;
        oracle::check(&all.0, &all.1)?;
        let versions = still(&all);
        let same = before.as_ref().is_some_and(|(at, old): &(Instant, Vec<String>)| {
            *old == versions && at.elapsed() > Duration::from_secs(2)
        });
        if before.as_ref().is_none_or(|(_, old)| *old != versions) {
            before = Some((Instant::now(), versions));
        }
        ensure!(same, "not yet quiet");
        Ok(())
    })
}

/// An empty stage for the next program.
fn clear(api: &mut HttpConnection) -> Result<()> {
    for name in POOLS {
        send(api, "DELETE", &path(&pool(name, None, &[])), None)?;
    }
    for space in NAMESPACES {
        for name in NAMES {
            send(api, "DELETE", &path(&service(space, name)), None)?;
        }
    }
    Ok(())
}
