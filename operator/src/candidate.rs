//! The Lease by which one of several operators leads, through the operator's own connection, so that its requests are
//! counted like all others.

use std::hash::{BuildHasher as _, RandomState};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_sync::cluster::{Address, ApiError, Cluster};
use kube_lease::{Failure, Transport};
use serde_json::{Value, json};

/// Field manager of the Lease.
const MANAGER: &str = "rutter-operator-leader-election";

/// One Lease.
pub(crate) struct LeaderLease {
    cluster: Cluster,
    namespace: String,
    name: String,
}

impl LeaderLease {
    pub(crate) fn new(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        Self { cluster: cluster.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn collection(&self) -> Address {
        Address::group("coordination.k8s.io", "v1", "leases").namespace(&self.namespace)
    }

    fn body(&self, lease: &Lease) -> Value {
        let mut body = json!(lease);
        body["apiVersion"] = "coordination.k8s.io/v1".into();
        body["kind"] = "Lease".into();
        body["metadata"]["name"] = self.name.as_str().into();
        body["metadata"]["namespace"] = self.namespace.as_str().into();
        body
    }
}

impl Transport for LeaderLease {
    async fn get(&self) -> Result<Option<Lease>, Failure> {
        match self.cluster.get(&self.collection().name(&self.name)).await {
            Ok(found) => read(found).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, Failure> {
        let created = self.cluster.create(&self.collection(), MANAGER, &self.body(lease)).await;
        created.map_err(|error| failure(&error)).and_then(read)
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Failure> {
        let address = self.collection().name(&self.name);
        let replaced = self.cluster.replace(&address, MANAGER, &self.body(lease)).await;
        replaced.map_err(|error| failure(&error)).and_then(read)
    }
}

fn read(lease: Value) -> Result<Lease, Failure> {
    serde_json::from_value(lease).map_err(|error| Failure::Refused(error.to_string().into()))
}

fn failure(error: &ApiError) -> Failure {
    match error.status() {
        Some(code) => Failure::from_status(code, &error.to_string()),
        None => Failure::Unavailable(error.to_string().into()),
    }
}

/// A name for this run of this process: the pod's (its host name), and something no other run has.
pub(crate) fn identity() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = match name.trim() {
        "" => "rutter-operator",
        name => name,
    };
    let run = RandomState::new().hash_one(std::process::id());
    format!("{name}_{run:016x}")
}
