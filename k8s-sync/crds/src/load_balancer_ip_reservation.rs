//! LoadBalancerIPReservation: addresses that stay with one Service, whether it exists or not. A kind of rutter's own: Cilium has
//! nothing like it. Written by people, or by the operator for Services that ask for it; the state is the operator's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Addresses kept for one Service.
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
    doc = "Addresses kept for one Service.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.serviceRef.namespace"),
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.serviceRef.name"),
    printcolumn(name = "Addresses", type_ = "string", json_path = ".spec.addresses"),
    printcolumn(name = "Released", type_ = "date", json_path = ".status.releasedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerIPReservationSpec {
    /// The addresses. Nobody but the Service gets them.
    #[schemars(length(min = 1, max = 16), inner(length(min = 2, max = 45)), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// How long they are kept once the Service is gone, like 10m or 24h. Absent: as long as this object exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub grace_period: Option<String>,
    /// The Service.
    pub service_ref: ReservedFor,
}

/// The Service that a reservation is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservedFor {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace.
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
    /// Since when there is no such Service, or it has none of the addresses. Absent: it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub released_at: Option<Time>,
}
