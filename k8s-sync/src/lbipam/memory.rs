//! What an allocator without an API server has to remember: who had which address, and what was accepted of which pool.
//!
//! With an API server all of it stands in the objects. Invariant: nothing in here is needed for addresses to be right, only for
//! them to stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rutter_crds::{CiliumLoadBalancerIPPoolSpec, LoadBalancerIPReservation};
use serde::{Deserialize, Serialize};

use crate::object::NamespacedName;

/// How long the addresses of a Service that is gone are remembered. A file that is written in two steps, and a Service that is
/// moved from one file to another, is gone for a moment.
pub(super) const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// Its file beside the manifests; hidden files there are no manifests.
pub const MEMORY_FILE: &str = ".rutter-lbipam.json";

/// The memory, to be kept across restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// By Service, `namespace/name`.
    pub(super) services: BTreeMap<String, Remembered>,
    /// By pool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) pools: BTreeMap<String, RememberedPool>,
    /// Reservations: those that were made for Services, and the status of those that are written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reservations: BTreeMap<String, LoadBalancerIPReservation>,
}

/// The memory of addresses cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("what the agent remembers of addresses cannot be read: {}: {error}; repair the file or delete it", path.display())]
pub struct MemoryUnreadable {
    path: PathBuf,
    error: String,
}

/// What is remembered of a Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remembered {
    /// Its addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// Since when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<Timestamp>,
}

/// What is remembered of a pool whose edits may wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RememberedPool {
    /// How often its spec changed, as `metadata.generation` would say.
    pub(super) generation: i64,
    /// The spec of that generation.
    pub(super) spec: CiliumLoadBalancerIPPoolSpec,
    /// Annotations that the allocator put there.
    pub(super) annotations: BTreeMap<String, String>,
}

impl Memory {
    /// What an agent of this directory remembers; nothing if none ever ran there.
    ///
    /// # Errors
    /// The file is there, and cannot be read or understood.
    pub fn beside(manifests: &Path) -> Result<Self, MemoryUnreadable> {
        let path = manifests.join(MEMORY_FILE);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        };
        read.map_err(|error| MemoryUnreadable { path, error })
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.pools.is_empty() && self.reservations.is_empty()
    }

    /// The addresses of a Service.
    pub(super) fn of(&self, name: &NamespacedName) -> Option<&Remembered> {
        self.services.get(&name.to_string())
    }

    /// All Services that are not gone, with their addresses.
    pub(super) fn present(&self) -> impl Iterator<Item = (NamespacedName, &[IpAddr])> {
        let present = self.services.iter().filter(|(_, remembered)| remembered.gone.is_none());
        present.filter_map(|(key, remembered)| {
            let (namespace, name) = key.split_once('/')?;
            Some((NamespacedName::new(namespace, name), &*remembered.addresses))
        })
    }

    /// Those addresses of a Service that nobody else has. One that was gone may find that somebody else moved in.
    pub(super) fn free_addresses(
        &self,
        name: &NamespacedName,
        taken: impl Fn(IpAddr) -> bool,
    ) -> Vec<IpAddr> {
        let key = name.to_string();
        let Some(remembered) = self.services.get(&key) else { return Vec::new() };
        if remembered.gone.is_none() {
            return remembered.addresses.clone();
        }
        let others = || self.services.iter().filter(|(other, of)| **other != key && of.gone.is_none());
        let free =
            |address: &IpAddr| !taken(*address) && !others().any(|(_, of)| of.addresses.contains(address));
        remembered.addresses.iter().copied().filter(free).collect()
    }

    /// Notes the addresses of a Service, or that it has none.
    pub(super) fn note(&mut self, name: &NamespacedName, addresses: Vec<IpAddr>) {
        let key = name.to_string();
        if addresses.is_empty() {
            self.services.remove(&key);
        } else {
            self.services.insert(key, Remembered { addresses, gone: None });
        }
    }

    /// Notes which Services are gone, and forgets those that have been for long.
    pub(super) fn note_gone(&mut self, is_there: impl Fn(&NamespacedName) -> bool, now: Timestamp) {
        self.services.retain(|key, remembered| {
            let Some((namespace, name)) = key.split_once('/') else { return false };
            if is_there(&NamespacedName::new(namespace, name)) {
                return true;
            }
            let since = *remembered.gone.get_or_insert(now);
            now.duration_since(since) < REMEMBERED
        });
    }
}
