//! LoadBalancerIPReservation: addresses that stay with one Service, or with one namespace, whether it exists or not. A kind of
//! rutter's own: Cilium has nothing like it. Written by people; the state is the operator's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Addresses kept for one Service or one namespace.
#[expect(clippy::duplicated_attributes, reason = "print columns have the same type")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "rutter.dev",
    version = "v1alpha1",
    kind = "LoadBalancerIPReservation",
    plural = "loadbalanceripreservations",
    shortname = "lbres",
    category = "rutter",
    status = "LoadBalancerIPReservationStatus",
    derive = "PartialEq",
    doc = "Addresses kept for one Service or one namespace.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.service.namespace"),
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.service.name"),
    printcolumn(name = "Addresses", type_ = "string", json_path = ".spec.addresses"),
    printcolumn(name = "Keep For", type_ = "string", json_path = ".spec.keepFor"),
    printcolumn(name = "Unused Since", type_ = "date", json_path = ".status.unusedSince"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerIPReservationSpec {
    /// The addresses. Nobody else gets them, and the Service gets them before any other of their family.
    #[schemars(length(min = 1, max = 64), inner(length(min = 2, max = 45)), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// How long they are kept while the Service does not use them, like 10m or 24h. Absent: as long as this object exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub keep_for: Option<String>,
    /// Whom they are for.
    pub service: ReservedFor,
}

/// Whom a reservation is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservedFor {
    /// The Service's name. Absent: every Service of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// The Service's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

/// State of a reservation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerIPReservationStatus {
    /// What there is to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Since when the Service uses none of the addresses. Absent: it uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub unused_since: Option<Time>,
}
