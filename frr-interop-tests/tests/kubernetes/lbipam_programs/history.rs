//! What the server did to Services and pools, in the order in which it did it.
//!
//! Invariant: nothing is missed, however short; versions of one server order all its objects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use rutter_lab::HttpConnection;
use rutter_lab::kube::ControlPlane;
use serde_json::Value;

use super::oracle::{is_valid, may_share};
use crate::lbipam::addresses;

const SERVICES: &str = "/api/v1/services";
const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";

/// A change: the object as it is then; `gone` if that was its end.
struct Event {
    version: u64,
    pool: bool,
    gone: bool,
    object: Value,
}

/// Somebody who writes everything down.
pub(super) struct History {
    stop: Arc<AtomicBool>,
    before: Vec<Event>,
    threads: Vec<JoinHandle<Result<Vec<Event>>>>,
}

/// What was written down.
pub(super) struct Told(Vec<Event>);

fn version(object: &Value) -> Result<u64> {
    let text = object["metadata"]["resourceVersion"].as_str().context("no version")?;
    text.parse().with_context(|| format!("version {text}"))
}

impl History {
    pub(super) fn follow(cluster: &ControlPlane) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut before, mut threads) = (Vec::new(), Vec::new());
        for (target, pool) in [(SERVICES, false), (POOLS, true)] {
            let mut api = cluster.connection()?;
            let list = api.request("GET", target, None)?.json()?;
            for object in list["items"].as_array().into_iter().flatten() {
                before.push(Event { version: version(object)?, pool, gone: false, object: object.clone() });
            }
            let (from, stop) = (version(&list)?, Arc::clone(&stop));
            threads.push(std::thread::spawn(move || watch(api, target, pool, from, &stop)));
        }
        Ok(Self { stop, before, threads })
    }

    pub(super) fn tell(self) -> Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = self.before;
        for thread in self.threads {
            all.extend(thread.join().map_err(|_panic| anyhow!("a watch panicked"))??);
        }
        all.sort_by_key(|event| event.version);
        Ok(Told(all))
    }
}

/// Watches of a second each: the connection has no streams, and a watch goes on where the last one ended.
fn watch(
    mut api: HttpConnection,
    target: &str,
    pool: bool,
    mut from: u64,
    stop: &AtomicBool,
) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        let last = stop.load(Ordering::Relaxed);
        let watch = format!("{target}?watch=true&timeoutSeconds=1&resourceVersion={from}");
        let reply = api.request("GET", &watch, None)?;
        for line in reply.body.lines() {
            let mut event: Value = serde_json::from_str(line)?;
            ensure!(event["type"] != "ERROR", "{event}");
            let gone = event["type"] == "DELETED";
            let object = event["object"].take();
            from = version(&object)?;
            events.push(Event { version: from, pool, gone, object });
        }
        if last {
            return Ok(events);
        }
    }
}

impl Told {
    /// Nobody got what another had, and nobody lost what was right all the time. How many addresses were given, and how many went.
    pub(super) fn check(&self) -> Result<(usize, usize)> {
        let (mut given, mut went) = (0, 0);
        let mut pools: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut services: BTreeMap<&str, &Value> = BTreeMap::new();
        // By uid and address: whether it was right in every moment since it was given.
        let mut right: BTreeMap<(&str, String), bool> = BTreeMap::new();
        for event in &self.0 {
            let uid = event.object["metadata"]["uid"].as_str().context("no uid")?;
            let all = if event.pool { &mut pools } else { &mut services };
            let old = if event.gone { all.remove(uid) } else { all.insert(uid, &event.object) };
            if !event.pool && !event.gone {
                let (before, after) = (old.map(addresses).unwrap_or_default(), addresses(&event.object));
                for address in after.iter().filter(|address| !before.contains(address)) {
                    let other = services.iter().filter(|(other, _)| **other != uid).find(|(_, other)| {
                        addresses(other).contains(address) && !may_share(other, &event.object)
                    });
                    ensure!(
                        other.is_none(),
                        "{address} is given twice: {:#} {:#}",
                        event.object,
                        other.map_or(&Value::Null, |(_, other)| *other)
                    );
                    right.insert((uid, address.clone()), true);
                    given += 1;
                }
                for address in before.iter().filter(|address| !after.contains(address)) {
                    went += 1;
                    let was_right = right.remove(&(uid, address.clone())).unwrap_or_default();
                    ensure!(
                        !was_right,
                        "{address} was right all the time, and is taken away: {:#}",
                        event.object
                    );
                }
            }
            for ((uid, address), right) in &mut right {
                *right &= services
                    .get(uid)
                    .is_none_or(|service| is_valid(service, address, pools.values().copied()));
            }
        }
        Ok((given, went))
    }

    /// Changes of statuses.
    pub(super) fn writes_of_ours(&self) -> usize {
        let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut count = 0;
        for event in self.0.iter().filter(|event| !event.gone) {
            let uid = event.object["metadata"]["uid"].as_str().unwrap_or_default();
            let old = last.insert(uid, &event.object);
            count += usize::from(old.is_some_and(|old| old["status"] != event.object["status"]));
        }
        count
    }
}
