//! Whether two Services may be at one address.
//!
//! Invariant: the answer is the same both ways round, and it depends on nothing but the two Services.

use serde::Serialize;
use thiserror::Error;

use crate::request::Annotation;
use crate::service::{Service, TrafficPolicy};

/// Services with the same key share, if nothing else speaks against it.
pub const KEY: Annotation =
    Annotation { name: "lbipam.cilium.io/sharing-key", alias: "io.cilium/lb-ipam-sharing-key" };
/// Namespaces with which a Service shares besides its own, or `*`.
pub const CROSS_NAMESPACE: Annotation = Annotation {
    name: "lbipam.cilium.io/sharing-cross-namespace",
    alias: "io.cilium/lb-ipam-sharing-cross-namespace",
};
/// Whether a Service that keeps traffic on the node may share with one that has other pods.
pub const DIFFERENT_PODS: Annotation = Annotation {
    name: "lbipam.cilium.io/sharing-permit-different-pods",
    alias: "io.cilium/lb-ipam-sharing-permit-different-pods",
};

/// Why two Services cannot be at one address.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Incompatible {
    /// The other one is given its address by somebody else.
    #[error("the other Service is not LB IPAM's")]
    NotOurs,
    /// No key, or not the same one.
    #[error("different sharing key")]
    Key,
    /// Two namespaces that do not both list each other.
    #[error("different namespace, and not permitted by both ({})", CROSS_NAMESPACE.name)]
    Namespace,
    /// Both listen on it.
    #[error("same port {port}/{}", protocol.as_deref().unwrap_or("any"))]
    Port {
        /// The port.
        port: u16,
        /// The protocol.
        protocol: Option<Box<str>>,
    },
    /// One keeps traffic on the node, the other does not.
    #[error("different externalTrafficPolicy")]
    TrafficPolicy,
    /// Both keep traffic on the node, and one of them selects no pods.
    #[error("externalTrafficPolicy Local, and a Service without selector ({})", DIFFERENT_PODS.name)]
    NoSelector,
    /// Both keep traffic on the node, and they select different pods.
    #[error("externalTrafficPolicy Local, and different pods ({})", DIFFERENT_PODS.name)]
    Pods,
}

/// The sharing key, if there is one.
#[must_use]
pub fn key(service: &Service) -> Option<&str> {
    KEY.of(&service.annotations).filter(|key| !key.is_empty())
}

/// The namespaces, besides its own, with which a Service shares; `*` is all.
pub fn namespaces(service: &Service) -> impl Iterator<Item = &str> {
    let list = CROSS_NAMESPACE.of(&service.annotations).unwrap_or_default();
    list.split(',').map(str::trim).filter(|namespace| !namespace.is_empty())
}

/// Whether two Services may be at one address.
///
/// # Errors
///
/// The first thing that speaks against it.
pub fn compatible(one: &Service, other: &Service) -> Result<(), Incompatible> {
    if key(one).is_none() || key(one) != key(other) {
        return Err(Incompatible::Key);
    }
    if one.key.namespace != other.key.namespace && !(lists(one, other) && lists(other, one)) {
        return Err(Incompatible::Namespace);
    }
    if let Some(port) = one.ports.iter().find(|port| other.ports.contains(port)) {
        return Err(Incompatible::Port { port: port.port, protocol: port.protocol.clone() });
    }
    if one.traffic_policy != other.traffic_policy {
        return Err(Incompatible::TrafficPolicy);
    }
    if one.traffic_policy == TrafficPolicy::Local && !(permits(one) && permits(other)) {
        if one.selector.is_empty() || other.selector.is_empty() {
            return Err(Incompatible::NoSelector);
        }
        if one.selector != other.selector {
            return Err(Incompatible::Pods);
        }
    }
    Ok(())
}

/// Whether everything that [`compatible`] looks at is the same in two states of one Service.
pub(crate) fn unchanged(before: &Service, after: &Service) -> bool {
    key(before) == key(after)
        && before.ports == after.ports
        && before.traffic_policy == after.traffic_policy
        && before.selector == after.selector
        && permits(before) == permits(after)
        && namespaces(before).eq(namespaces(after))
}

fn lists(service: &Service, other: &Service) -> bool {
    namespaces(service).any(|namespace| namespace == "*" || *namespace == *other.key.namespace)
}

fn permits(service: &Service) -> bool {
    DIFFERENT_PODS.of(&service.annotations).is_some_and(|text| text.trim() == "true")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::service::{Port, ServiceKey};

    fn service(namespace: &str, port: u16, annotations: &[(&str, &str)]) -> Service {
        let key = [(KEY.name, "k")];
        Service {
            key: Arc::new(ServiceKey::new(namespace, "web")),
            ports: [Port { port, protocol: Some("TCP".into()) }].into(),
            annotations: key.iter().chain(annotations).copied().collect(),
            ..Service::default()
        }
    }

    fn both_ways(one: &Service, other: &Service) -> Result<(), Incompatible> {
        let answer = compatible(one, other);
        assert_eq!(answer, compatible(other, one));
        answer
    }

    #[test]
    fn the_key() {
        let (a, b) = (service("x", 80, &[]), service("x", 81, &[]));
        assert_eq!(both_ways(&a, &b), Ok(()));
        let keyless =
            Service { annotations: [(KEY.name, ""), (KEY.alias, "k")].into_iter().collect(), ..b.clone() };
        assert_eq!(both_ways(&a, &keyless), Err(Incompatible::Key), "an empty new name hides the old one");
        assert_eq!(both_ways(&keyless, &keyless), Err(Incompatible::Key));
        let alias = Service { annotations: [(KEY.alias, "k")].into_iter().collect(), ..b };
        assert_eq!(both_ways(&a, &alias), Ok(()));
    }

    #[test]
    fn namespaces_both_ways() {
        let of = |namespace, list| {
            service(namespace, if namespace == "x" { 80 } else { 81 }, &[(CROSS_NAMESPACE.name, list)])
        };
        assert_eq!(both_ways(&of("x", ""), &of("y", "*")), Err(Incompatible::Namespace));
        assert_eq!(both_ways(&of("x", "z , y"), &of("y", "*")), Ok(()));
        assert_eq!(both_ways(&of("x", "y"), &of("y", "x")), Ok(()));
        assert_eq!(both_ways(&of("x", "y"), &of("z", "x")), Err(Incompatible::Namespace));
    }

    #[test]
    fn ports_by_protocol() {
        let a = service("x", 80, &[]);
        assert_eq!(both_ways(&a, &a), Err(Incompatible::Port { port: 80, protocol: Some("TCP".into()) }));
        let of = |protocol: Option<&str>| Service {
            ports: [Port { port: 80, protocol: protocol.map(Into::into) }].into(),
            ..a.clone()
        };
        assert_eq!(both_ways(&a, &of(Some("UDP"))), Ok(()));
        assert_eq!(both_ways(&a, &of(None)), Ok(()), "unset equals unset only");
        assert!(both_ways(&of(None), &of(None)).is_err());
    }

    #[test]
    fn local_traffic_and_pods() {
        let of = |port, policy, selector: &[(&str, &str)], permit: &str| Service {
            traffic_policy: policy,
            selector: selector.iter().copied().collect(),
            ..service("x", port, &[(DIFFERENT_PODS.name, permit)])
        };
        let (app, other) = (&[("app", "a")][..], &[("app", "b")][..]);
        use TrafficPolicy::{Cluster, Local};
        assert_eq!(
            both_ways(&of(1, Cluster, app, ""), &of(2, Local, app, "")),
            Err(Incompatible::TrafficPolicy)
        );
        assert_eq!(both_ways(&of(1, Local, app, ""), &of(2, Local, app, "")), Ok(()));
        assert_eq!(both_ways(&of(1, Local, app, ""), &of(2, Local, other, "true")), Err(Incompatible::Pods));
        assert_eq!(both_ways(&of(1, Local, app, "true"), &of(2, Local, other, "true")), Ok(()));
        assert_eq!(both_ways(&of(1, Local, &[], ""), &of(2, Local, &[], "")), Err(Incompatible::NoSelector));
        assert_eq!(both_ways(&of(1, Cluster, app, ""), &of(2, Cluster, other, "")), Ok(()));
    }
}
