//! A Service, as far as allocation looks at it.
//!
//! Invariant: everything here is as the object says it; what it means is decided elsewhere. There are a hundred thousand of
//! them, so lists are boxed and nothing is kept that nobody reads.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::Verdict;

/// Namespace and name. The order is that of `kubectl get -A`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl ServiceKey {
    /// From the two parts.
    #[must_use]
    pub fn new(namespace: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An address family of `spec.ipFamilies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Family {
    /// `IPv4`.
    #[serde(rename = "IPv4")]
    V4,
    /// `IPv6`.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the field's own words")]
pub enum FamilyPolicy {
    #[default]
    SingleStack,
    PreferDualStack,
    RequireDualStack,
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the variants are the field's own words")]
pub enum TrafficPolicy {
    #[default]
    Cluster,
    Local,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub key: Arc<ServiceKey>,
    /// `metadata.uid`; empty in manifests.
    pub uid: Box<str>,
    /// The version of the object that this was read from; empty in manifests.
    pub resource_version: Box<str>,
    /// `metadata.creationTimestamp`. Absent (manifests) counts as older than everything.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted (`metadata.deletionTimestamp`).
    pub deleting: bool,
    /// Its labels.
    pub labels: Words,
    /// Annotations under `lbipam.cilium.io/`, `io.cilium/`, `io.cilium.nodeipam/` and `rutter.dev/`.
    pub annotations: Words,
    /// Whether `spec.type` is LoadBalancer.
    pub load_balancer: bool,
    /// `spec.loadBalancerClass`.
    pub class: Option<Box<str>>,
    /// `spec.ipFamilies`.
    pub families: Box<[Family]>,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// `spec.loadBalancerIP`, as written.
    pub load_balancer_ip: Option<Box<str>>,
    /// `spec.ports`.
    pub ports: Box<[Port]>,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.selector`.
    pub selector: Words,
    /// `status.loadBalancer.ingress`.
    pub ingress: Box<[Ingress]>,
    /// Our condition in `status.conditions`, if it is there.
    pub condition: Option<Verdict>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// `port`.
    pub port: u16,
    /// `protocol`; absent only where no API server wrote its default.
    pub protocol: Option<Box<str>>,
}

/// An entry of `status.loadBalancer.ingress`, whole: what others wrote into it has to survive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// `ip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// `hostname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Box<str>>,
    /// `ipMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_mode: Option<Box<str>>,
    /// `ports`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ports: Box<[PortStatus]>,
}

impl Ingress {
    /// An entry of nothing but an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self { ip: Some(ip), ..Self::default() }
    }
}

/// State of one port at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortStatus {
    /// `port`.
    pub port: i32,
    /// `protocol`.
    pub protocol: Box<str>,
    /// `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
}

impl Default for ServiceKey {
    fn default() -> Self {
        Self::new("default", "")
    }
}

/// Labels, annotations or a selector: few, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Box<[(Box<str>, Box<str>)]>);

impl Words {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// All of them, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Words {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        pairs.sort_unstable();
        Self(pairs.into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        let words: Words = [("b", "2"), ("a", "1")].into_iter().collect();
        assert_eq!((words.get("a"), words.get("b"), words.get("c")), (Some("1"), Some("2"), None));
    }

    #[test]
    fn in_the_order_of_kubectl() {
        let mut keys = [ServiceKey::new("b", "a"), ServiceKey::new("a", "b"), ServiceKey::new("a", "a")];
        keys.sort_unstable();
        assert_eq!(keys.map(|key| key.to_string()), ["a/a", "a/b", "b/a"]);
    }
}
