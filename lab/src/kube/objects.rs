//! Objects that a kubelet or a controller would write, written by the test: through the API, status included.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kube::ControlPlane;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
/// Kinds that live in a namespace; without one in their metadata, in `default`.
const NAMESPACED: [&str; 9] = [
    "ConfigMap",
    "EndpointSlice",
    "Lease",
    "Pod",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// A node, as its kubelet would register it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Labels besides `kubernetes.io/hostname`.
    pub labels: &'a [(&'a str, &'a str)],
    /// `spec.podCIDRs`; cannot be changed later.
    pub pod_cidrs: &'a [&'a str],
    /// `status.addresses` of type InternalIP.
    pub internal_ips: &'a [&'a str],
}

/// A pod that runs and is ready, unless said otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// The node it runs on.
    pub node: &'a str,
    /// `status.podIP`.
    pub ip: &'a str,
    /// Named container ports.
    pub ports: &'a [(&'a str, u16)],
    /// Whether it is not ready.
    pub unready: bool,
}

/// An EndpointSlice, as its controller would write it.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointSlice<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The Service it belongs to.
    pub service: &'a str,
    /// Ports by name; an unnamed port has the name "".
    pub ports: &'a [(&'a str, u16)],
    /// Address, node and whether it is ready. All addresses are of one family.
    pub endpoints: &'a [(&'a str, &'a str, bool)],
}

impl ControlPlane {
    /// Creates or updates a node, its status included.
    pub fn write_node(&self, node: &Node<'_>) -> Result<()> {
        let addresses: Vec<Value> = node
            .internal_ips
            .iter()
            .map(|address| json!({"type": "InternalIP", "address": address}))
            .chain([json!({"type": "Hostname", "address": node.name})])
            .collect();
        let mut labels = map(node.labels);
        labels["kubernetes.io/hostname"] = node.name.into();
        let mut spec = json!({});
        if let Some(first) = node.pod_cidrs.first() {
            spec = json!({"podCIDR": first, "podCIDRs": node.pod_cidrs});
        }
        self.write(&json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node.name, "labels": labels},
            "spec": spec,
            "status": {
                "addresses": addresses,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }))
    }

    /// Creates or updates a pod, its status included.
    pub fn write_pod(&self, pod: &Pod<'_>) -> Result<()> {
        let ports: Vec<Value> =
            pod.ports.iter().map(|(name, port)| json!({"name": name, "containerPort": port})).collect();
        let ready = if pod.unready { "False" } else { "True" };
        let condition = |kind: &str| json!({"type": kind, "status": ready});
        self.write(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": map(pod.labels)},
            "spec": {
                "nodeName": pod.node,
                "containers": [{"name": "main", "image": "lab", "ports": ports}],
            },
            "status": {
                "phase": "Running",
                "podIP": pod.ip,
                "podIPs": [{"ip": pod.ip}],
                "conditions": [condition("Ready"), condition("ContainersReady")],
            },
        }))
    }

    /// Creates or updates an EndpointSlice.
    pub fn write_endpoint_slice(&self, slice: &EndpointSlice<'_>) -> Result<()> {
        let ipv6 = slice.endpoints.first().is_some_and(|(address, ..)| address.contains(':'));
        let ports: Vec<Value> = slice
            .ports
            .iter()
            .map(|(name, port)| json!({"name": name, "protocol": "TCP", "port": port}))
            .collect();
        let endpoints: Vec<Value> = slice
            .endpoints
            .iter()
            .map(|(address, node, ready)| {
                let conditions = json!({"ready": ready, "serving": ready, "terminating": false});
                json!({"addresses": [address], "nodeName": node, "conditions": conditions})
            })
            .collect();
        self.write(&json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": slice.name,
                "namespace": slice.namespace,
                "labels": {"kubernetes.io/service-name": slice.service},
            },
            "addressType": if ipv6 { "IPv6" } else { "IPv4" },
            "ports": ports,
            "endpoints": endpoints,
        }))
    }

    /// Creates or updates any object with `apiVersion`, `kind` and `metadata.name`, and then its status, if it has one.
    pub fn write(&self, object: &Value) -> Result<()> {
        let path = path_of(object)?;
        let mut main = object.clone();
        let status = main.as_object_mut().and_then(|fields| fields.remove("status"));
        self.patch(&path, APPLY, &main)?;
        match status {
            // Not by server-side apply: the server thinks that a node has at most one address of a type.
            Some(status) => self.patch(&format!("{path}/status"), MERGE, &json!({"status": status})),
            None => Ok(()),
        }
    }

    fn patch(&self, path: &str, kind: &str, patch: &Value) -> Result<()> {
        let target = format!("{path}?fieldManager=lab{}", if kind == APPLY { "&force=true" } else { "" });
        let reply = self.connection()?.send("PATCH", &target, kind, Some(&patch.to_string()))?;
        ensure!(matches!(reply.status, 200 | 201), "PATCH {path} answers {}: {}", reply.status, reply.body);
        Ok(())
    }
}

/// Where the API has an object.
fn path_of(object: &Value) -> Result<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let version = text(&object["apiVersion"]).context("an object without apiVersion")?;
    let kind = text(&object["kind"]).context("an object without kind")?;
    let name = text(&object["metadata"]["name"]).context("an object without a name")?;
    let root = if version.contains('/') { "apis" } else { "api" };
    let namespace = text(&object["metadata"]["namespace"])
        .or_else(|| NAMESPACED.contains(&kind.as_str()).then(|| "default".into()));
    let folder = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
    let mut plural = kind.to_lowercase();
    if plural.ends_with("policy") {
        plural.truncate(plural.len() - 1);
        plural.push_str("ies");
    } else {
        plural.push('s');
    }
    Ok(format!("/{root}/{version}/{folder}{plural}/{name}"))
}

fn map(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_their_paths() {
        let path = |version: &str, kind: &str| {
            path_of(&json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}})).unwrap()
        };
        assert_eq!(path("v1", "Node"), "/api/v1/nodes/x");
        assert_eq!(path("v1", "Service"), "/api/v1/namespaces/default/services/x");
        assert_eq!(path("cilium.io/v2", "CiliumBGPPeerConfig"), "/apis/cilium.io/v2/ciliumbgppeerconfigs/x");
        assert_eq!(
            path("cilium.io/v2alpha1", "CiliumL2AnnouncementPolicy"),
            "/apis/cilium.io/v2alpha1/ciliuml2announcementpolicies/x"
        );
    }
}
