//! An API server in the smallest: objects, and an allocator whose plans are written into them.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test's world: what is missing in it is a mistake of the test")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lbipam::service::Port;
use lbipam::{Cause, Ipam, Plan, ReservationChange, Service, ServiceKey, Settings};
use rutter_crds::{CiliumLoadBalancerIPPool, LoadBalancerIPReservation};
use serde_json::{Value, json};

/// Objects and an allocator.
pub(crate) struct World {
    pub(crate) ipam: Ipam,
    pub(crate) services: BTreeMap<ServiceKey, Arc<Service>>,
    pub(crate) pools: BTreeMap<String, Arc<CiliumLoadBalancerIPPool>>,
    pub(crate) reservations: BTreeMap<String, Arc<LoadBalancerIPReservation>>,
    pub(crate) now: Timestamp,
    version: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self {
            ipam: Ipam::new(settings),
            services: BTreeMap::new(),
            pools: BTreeMap::new(),
            reservations: BTreeMap::new(),
            now: Timestamp::from_second(1_000_000).unwrap(),
            version: 0,
        }
    }

    /// A pool with these blocks: CIDRs or `first - last`.
    pub(crate) fn pool(&mut self, name: &str, blocks: &[&str]) {
        self.pool_with(name, blocks, json!({}));
    }

    /// A pool with blocks and more: `{"spec": .., "metadata": ..}` is merged in.
    pub(crate) fn pool_with(&mut self, name: &str, blocks: &[&str], more: Value) {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|block| match block.split_once(" - ") {
                Some((start, stop)) => json!({"start": start, "stop": stop}),
                None => json!({"cidr": block}),
            })
            .collect();
        let mut object = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
            "metadata": {"name": name}, "spec": {"blocks": blocks},
        });
        for part in ["metadata", "spec"] {
            for (key, value) in more.get(part).and_then(Value::as_object).into_iter().flatten() {
                object[part][key] = value.clone();
            }
        }
        let status = self.pools.get(name).and_then(|pool| pool.status.clone());
        let mut object: CiliumLoadBalancerIPPool = serde_json::from_value(object).unwrap();
        object.status = status;
        self.pools.insert(name.to_owned(), Arc::new(object));
        self.tell_pools();
    }

    /// Changes a pool as an API server would: a spec that differs is another generation.
    pub(crate) fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut CiliumLoadBalancerIPPool)) {
        let mut pool = CiliumLoadBalancerIPPool::clone(&self.pools[name]);
        edit(&mut pool);
        if pool.spec != self.pools[name].spec {
            pool.metadata.generation = Some(pool.metadata.generation.unwrap_or(1) + 1);
        }
        self.pools.insert(name.to_owned(), Arc::new(pool));
        self.tell_pools();
    }

    /// A condition of a pool: status, reason and message, with blanks between; empty if there is none.
    pub(crate) fn condition(&self, pool: &str, type_: &str) -> String {
        let status = self.pools[pool].status.as_ref();
        let condition = status.and_then(|status| status.conditions.iter().find(|one| one.type_ == type_));
        condition.map_or(String::new(), |one| format!("{:?} {} {}", one.status, one.reason, one.message))
    }

    pub(crate) fn delete_pool(&mut self, name: &str) {
        self.pools.remove(name).unwrap();
        self.tell_pools();
    }

    pub(crate) fn tell_pools(&mut self) {
        self.ipam.handle_pools(self.pools.values().cloned().collect(), self.now);
    }

    /// A Service of namespace `a`, or what `edit` makes of it. Those made later are younger.
    pub(crate) fn service(&mut self, name: &str, edit: impl FnOnce(&mut Service)) {
        let mut service = Service {
            key: Arc::new(ServiceKey::new("a", name)),
            created: Some(self.now + SignedDuration::from_secs(i64::try_from(self.services.len()).unwrap())),
            load_balancer: true,
            ports: [Port { port: 80, protocol: Some("TCP".into()) }].into(),
            ..Service::default()
        };
        edit(&mut service);
        self.version += 1;
        service.uid = format!("uid-{}", self.version).into();
        self.put(service);
    }

    /// Changes a Service.
    pub(crate) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Service)) {
        let mut service = Service::clone(&self.services[&find(&self.services, name)]);
        edit(&mut service);
        self.put(service);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        let key = find(&self.services, name);
        self.services.remove(&key);
        self.ipam.handle_service_gone(&key);
    }

    pub(crate) fn put(&mut self, mut service: Service) {
        self.version += 1;
        service.resource_version = self.version.to_string().into();
        let service = Arc::new(service);
        self.services.insert((*service.key).clone(), Arc::clone(&service));
        self.ipam.handle_service(service);
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Writes a plan, until there is nothing left to write. All plans.
    pub(crate) fn run(&mut self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for _ in 0..10 {
            let plan = self.ipam.plan(self.now);
            if plan.services.is_empty() && plan.pools.is_empty() && plan.reservations.is_empty() {
                return plans;
            }
            self.write(&plan);
            plans.push(plan);
        }
        panic!("there is always something to write: {:?}", plans.last());
    }

    pub(crate) fn write(&mut self, plan: &Plan) {
        for change in &plan.services {
            self.put(Service::clone(&change.applied()));
        }
        for change in &plan.pools {
            let pool = change.applied();
            self.pools.insert(pool.metadata.name.clone().unwrap(), pool);
        }
        self.tell_pools();
        for change in &plan.reservations {
            match (change.applied(), change) {
                (Some(object), _) => {
                    let name = object.metadata.name.clone().unwrap();
                    let mut object = LoadBalancerIPReservation::clone(&object);
                    object.metadata.creation_timestamp.get_or_insert(Time(self.now));
                    self.reservations.insert(name, Arc::new(object));
                }
                (None, ReservationChange::Delete { object }) => {
                    self.reservations.remove(object.metadata.name.as_ref().unwrap()).unwrap();
                }
                (None, other) => panic!("{other:?}"),
            }
        }
        self.tell_reservations();
    }

    pub(crate) fn tell_reservations(&mut self) {
        self.ipam.handle_reservations(self.reservations.values().cloned().collect());
    }

    /// A reservation that a person writes.
    pub(crate) fn reserve(&mut self, name: &str, service: &str, addresses: &[&str], grace: Option<&str>) {
        let (namespace, service) = service.split_once('/').unwrap_or(("a", service));
        let object = json!({
            "apiVersion": "rutter.dev/v1alpha1", "kind": "LoadBalancerIPReservation", "metadata": {"name": name},
            "spec": {"serviceRef": {"namespace": namespace, "name": service}, "addresses": addresses, "gracePeriod": grace},
        });
        self.reservations.insert(name.to_owned(), Arc::new(serde_json::from_value(object).unwrap()));
        self.tell_reservations();
    }

    /// Another process takes over.
    pub(crate) fn restart(&mut self) {
        self.ipam = Ipam::new(self.ipam.settings().clone());
        self.tell_pools();
        self.tell_reservations();
        for service in self.services.values() {
            self.ipam.handle_service(Arc::clone(service));
        }
    }

    /// The addresses in a Service's status.
    pub(crate) fn ips(&self, name: &str) -> Vec<String> {
        let service = &self.services[&find(&self.services, name)];
        service.ingress.iter().filter_map(|entry| entry.ip).map(|ip| ip.to_string()).collect()
    }

    /// Reason of a Service's condition; empty if it has none.
    pub(crate) fn reason(&self, name: &str) -> String {
        let service = &self.services[&find(&self.services, name)];
        service.condition.as_ref().map(|verdict| verdict.reason.to_string()).unwrap_or_default()
    }

    /// Message of a Service's condition; empty if it has none.
    pub(crate) fn message(&self, name: &str) -> String {
        let service = &self.services[&find(&self.services, name)];
        service.condition.as_ref().map(|verdict| verdict.message.to_string()).unwrap_or_default()
    }
}

fn find(services: &BTreeMap<ServiceKey, Arc<Service>>, name: &str) -> ServiceKey {
    let (namespace, name) = name.split_once('/').unwrap_or(("a", name));
    let key = ServiceKey::new(namespace, name);
    assert!(services.contains_key(&key), "{key}");
    key
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Adds or replaces an annotation.
pub(crate) fn annotate(service: &mut Service, key: &str, value: &str) {
    let mut all: BTreeMap<String, String> =
        service.annotations.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    all.insert(key.to_owned(), value.to_owned());
    service.annotations = all.into_iter().collect();
}

/// Asks for addresses.
pub(crate) fn ask(service: &mut Service, addresses: &str) {
    annotate(service, "lbipam.cilium.io/ips", addresses);
}

/// All causes of plans, with the Service's name.
pub(crate) fn causes(plans: &[Plan]) -> Vec<(String, Cause)> {
    let changes = plans.iter().flat_map(|plan| &plan.services);
    changes
        .flat_map(|change| {
            change.causes.iter().map(|cause| (change.service.key.name.to_string(), cause.clone()))
        })
        .collect()
}
