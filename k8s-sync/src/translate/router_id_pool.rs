//! Router IDs out of a pool (`bgp-router-id-allocation-mode=ip-pool`): one per node and instance (RFC 4271 §4.2).
//!
//! There is no memory but the node configurations themselves. Invariants: no two instances of the cluster get the same ID
//! from the pool; an ID that an instance has stays its own as long as the instance does; an ID is free again with the pass
//! in which its instance is gone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use rutter_crds::bgp_node_config::CiliumBGPNodeInstance;

use super::cluster_config::ClusterPlan;
use crate::object::ObjectRef;
use crate::options::RouterIds;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::Snapshot;

/// An instance of a node.
type Key = (String, String);

/// Fills in the router IDs of all planned node configurations. An instance that can have none is taken out of its node's
/// configuration: without an ID of its own it could run with one that another node has.
pub(super) fn allocate(snapshot: &Snapshot, router_ids: &RouterIds, plan: &mut ClusterPlan) {
    let RouterIds::Pool(text) = router_ids else { return };
    let pool = parse(text).map_err(|problem| {
        let reason = Reason::RouterIdPoolInvalid { value: text.clone(), problem };
        let field = Some("--bgp-router-id-allocation-ip-pool".to_owned());
        plan.report.add(Finding { location: None, object: None, field, reason });
    });
    let ids = Allocation::new(snapshot, pool.ok(), plan).run(&mut plan.report);
    for (node, config) in &mut plan.node_configs {
        let owner = config.metadata.owner_references.iter().flatten().next();
        let owner = ObjectRef::cluster(
            "CiliumBGPClusterConfig",
            owner.map(|owner| owner.name.clone()).unwrap_or_default(),
        );
        for instance in &mut Arc::make_mut(config).spec.bgp_instances {
            instance.router_id = ids.get(&(node.clone(), instance.name.clone())).cloned();
            if instance.router_id.is_none() && pool.is_ok() {
                let (instance, node, pool) = (instance.name.clone(), node.clone(), text.clone());
                let reason = Reason::RouterIdPoolExhausted { instance, node, pool };
                plan.report.add(Finding::on(&owner, "spec.bgpInstances", reason));
            }
        }
        let has_id = |instance: &CiliumBGPNodeInstance| instance.router_id.is_some();
        Arc::make_mut(config).spec.bgp_instances.retain(has_id);
    }
    plan.node_configs.retain(|_, config| !config.spec.bgp_instances.is_empty());
}

fn parse(text: &str) -> Result<Ipv4Net, &'static str> {
    match text.trim().parse::<ipnet::IpNet>() {
        Ok(ipnet::IpNet::V4(net)) => Ok(net.trunc()),
        Ok(ipnet::IpNet::V6(_)) => Err("is IPv6, and router IDs are IPv4"),
        Err(_) => Err("is no CIDR"),
    }
}

struct Allocation {
    pool: Option<Ipv4Net>,
    /// Every instance that needs an ID: what its override wants, and what it has.
    wanted: BTreeMap<Key, (Option<String>, Option<String>)>,
    taken: BTreeMap<Ipv4Addr, Key>,
    given: BTreeMap<Key, String>,
}

impl Allocation {
    fn new(snapshot: &Snapshot, pool: Option<Ipv4Net>, plan: &ClusterPlan) -> Self {
        let mut wanted = BTreeMap::new();
        for (node, config) in &plan.node_configs {
            let existing = snapshot.node_configs.get(node);
            for instance in &config.spec.bgp_instances {
                let has = existing
                    .and_then(|config| config.spec.bgp_instances.iter().find(|has| has.name == instance.name))
                    .and_then(|has| has.router_id.clone());
                wanted.insert((node.clone(), instance.name.clone()), (instance.router_id.clone(), has));
            }
        }
        let mut taken = BTreeMap::new();
        for (node, config) in &plan.foreign {
            for instance in &config.spec.bgp_instances {
                if let Some(id) = instance.router_id.as_deref().and_then(|id| id.parse().ok()) {
                    taken.insert(id, (node.clone(), instance.name.clone()));
                }
            }
        }
        Self { pool, wanted, taken, given: BTreeMap::new() }
    }

    fn run(mut self, report: &mut Report) -> BTreeMap<Key, String> {
        let wanted = std::mem::take(&mut self.wanted);
        // What an instance has it keeps, so these come first: nobody else may be given it.
        for (key, (written, has)) in &wanted {
            match written.as_deref().or(has.as_deref()) {
                Some(id) if written.is_some() && !self.in_pool(id) => self.give(key, id),
                Some(id) if has.as_deref() == Some(id) => self.claim(key, id),
                _ => {}
            }
        }
        for (key, (written, has)) in &wanted {
            let Some(written) = written.as_deref().filter(|_| !self.given.contains_key(key)) else {
                continue;
            };
            if let Some((node, other)) = self.owner(written) {
                let holder = format!("instance {other} of node {node}");
                let object = ObjectRef::cluster("CiliumBGPNodeConfigOverride", &key.0);
                let (value, instance) = (written.to_owned(), key.1.clone());
                let reason = Reason::RouterIdTaken { value, instance, holder };
                report.add(Finding::on(&object, "spec.bgpInstances", reason));
                has.iter().for_each(|has| self.claim(key, has));
            } else {
                self.claim(key, written);
            }
        }
        let mut free = self
            .pool
            .into_iter()
            .flat_map(|pool| (u32::from(pool.network())..=u32::from(pool.broadcast())).map(Ipv4Addr::from));
        for key in wanted.keys() {
            if !self.given.contains_key(key)
                && let Some(id) = free.find(|id| !id.is_unspecified() && !self.taken.contains_key(id))
            {
                self.claim(key, &id.to_string());
            }
        }
        self.given
    }

    /// Without a pool that can be read, every ID that is there stays.
    fn in_pool(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: Ipv4Addr| self.pool.is_none_or(|pool| pool.contains(&id)))
    }

    fn owner(&self, id: &str) -> Option<&Key> {
        self.taken.get(&id.parse().ok()?)
    }

    fn give(&mut self, key: &Key, id: &str) {
        self.given.insert(key.clone(), id.to_owned());
    }

    /// Gives an ID of the pool, unless somebody else has it.
    fn claim(&mut self, key: &Key, id: &str) {
        let Some(address) = id.parse::<Ipv4Addr>().ok().filter(|_| self.in_pool(id)) else { return };
        if *self.taken.entry(address).or_insert_with(|| key.clone()) == *key {
            self.give(key, id);
        }
    }
}

#[cfg(test)]
mod tests;
