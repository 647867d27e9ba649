//! What is known about addresses in this process: the allocator, what was seen, and what came of it.
//!
//! Invariant: a standby takes in everything and plans nothing. What was planned is held, and a standby's plans would be held for
//! nobody; a new term begins with an allocator that knows nothing but objects.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_sync::lbipam::{feed, node_plan, node_plan_may_differ};
use k8s_sync::snapshot::Snapshot;
use lbipam::node_ipam::NodePlan;
use lbipam::{Ipam, Plan, ServiceKey, Settings};

use super::history::History;
use super::metrics::Differs;

/// A change that cannot be made.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Failing {
    pub(super) object: String,
    pub(super) failures: u32,
    pub(super) error: String,
}

/// Everything that the loop, the API and the metrics share.
pub(crate) struct State {
    ipam: Ipam,
    /// Whether addresses out of pools are given at all (`--enable-lb-ipam`).
    allocates: bool,
    seen: Snapshot,
    /// Node IPAM's part, while nothing that it looks at differs.
    nodes: Option<NodePlan>,
    pub(super) history: History,
    /// Whether everything that decisions need was read.
    pub(super) certain: bool,
    /// Whether this process plans.
    pub(super) leads: bool,
    /// Requests that are unanswered.
    pub(super) writing: usize,
    pub(super) failing: Vec<Failing>,
}

impl State {
    pub(crate) fn new(settings: Settings, allocates: bool) -> Self {
        Self {
            ipam: Ipam::new(settings),
            allocates,
            seen: Snapshot::default(),
            nodes: None,
            history: History::default(),
            certain: false,
            leads: false,
            writing: 0,
            failing: Vec::new(),
        }
    }

    /// Takes in a snapshot; with settings, into an allocator that forgot everything else. Gives what differs from what was
    /// seen before.
    pub(super) fn take_in(
        &mut self,
        snapshot: Snapshot,
        fresh: Option<&Settings>,
        now: Timestamp,
    ) -> Differs {
        let differs = Differs {
            services: !Arc::ptr_eq(&self.seen.services, &snapshot.services),
            services_gone: snapshot.services.len() < self.seen.services.len(),
            pools: !Arc::ptr_eq(&self.seen.lb_pools, &snapshot.lb_pools),
            pools_gone: snapshot.lb_pools.len() < self.seen.lb_pools.len(),
        };
        self.history.observe(&self.seen, &snapshot, now);
        if fresh.is_some() || node_plan_may_differ(&self.seen, &snapshot) {
            self.nodes = None;
        }
        if self.allocates {
            match fresh {
                Some(settings) => {
                    self.ipam = Ipam::new(settings.clone());
                    feed(&mut self.ipam, &Snapshot::default(), &snapshot, now);
                }
                None => feed(&mut self.ipam, &self.seen, &snapshot, now),
            }
        }
        self.seen = snapshot;
        differs
    }

    /// Everything that the objects do not say yet.
    pub(super) fn plan(&mut self, settings: &Settings, now: Timestamp) -> Plan {
        let mut plan = if self.allocates { self.ipam.plan(now) } else { Plan::default() };
        if settings.node_ipam {
            let nodes = self.nodes.get_or_insert_with(|| node_plan(settings, &self.seen));
            plan.services.extend(nodes.services.iter().cloned());
        }
        plan
    }

    /// Services whose annotation for Node IPAM cannot be read: what to tell.
    pub(super) fn unreadable(&self) -> &[lbipam::node_ipam::Unreadable] {
        self.nodes.as_ref().map(|nodes| &*nodes.unreadable).unwrap_or_default()
    }

    pub(super) fn ipam(&self) -> &Ipam {
        &self.ipam
    }

    pub(super) fn seen(&self) -> &Snapshot {
        &self.seen
    }

    /// Whether a Service is counted among the holders of an address.
    pub(super) fn holds(&self, key: &ServiceKey, address: IpAddr) -> bool {
        self.ipam.held(key).contains(&address)
    }

    /// Services that LB IPAM serves, and those of them that miss something. Looks at all of them.
    pub(super) fn services(&self) -> (usize, usize) {
        let counts = self.ipam.service_counts();
        if self.leads {
            return (counts.handled, counts.unsatisfied);
        }
        // A standby has decided nothing: it goes by what the leader wrote.
        let refused = |service: &&Arc<k8s_sync::object::Service>| {
            let condition = service.ipam.as_ref().and_then(|service| service.condition.as_ref());
            condition.is_some_and(|condition| !condition.satisfied)
        };
        (counts.handled, self.seen.services.values().filter(refused).count())
    }

    /// How many addresses stand in statuses.
    pub(super) fn addresses(&self) -> usize {
        let services = self.seen.services.values().filter_map(|service| service.ipam.as_deref());
        let all: BTreeSet<IpAddr> =
            services.flat_map(|service| service.ingress.iter().filter_map(|entry| entry.ip)).collect();
        all.len()
    }
}
