//! Carrying out one change of a status at the API server.
//!
//! Invariant: nothing is sent without the token of the term the change was computed in, asked for right before, and once more
//! where the request goes to the socket. And whatever is sent names object and version, so what was on its way when the term
//! ended cannot undo what the next leader wrote.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_sync::cluster::{Address, ApiError, Cluster, Guard, Preconditions};
use kube_lease::{Leadership, Token};
use lbipam::plan::ReservationChange;
use lbipam::{PoolChange, ServiceChange};
use rutter_crds::LoadBalancerIPReservation;
use serde_json::json;
use tokio::time::Instant;

use super::flights::Target;
use super::patch;

/// Field manager, as `kubectl get --show-managed-fields` shows it.
const MANAGER: &str = "rutter-operator-lb-ipam";

/// One write.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// The status of a Service.
    Service(Arc<ServiceChange>),
    /// The status of a pool, in this collection.
    PoolStatus(Arc<PoolChange>, Address),
    /// The annotations of a pool.
    PoolAnnotations(Arc<PoolChange>, Address),
    /// A reservation.
    Reservation(Arc<ReservationChange>, Address),
}

/// How a write ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) target: Target,
    pub(super) number: u64,
    pub(super) result: Result<(), WriteError>,
    pub(super) took: Duration,
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The term is over; nothing was sent.
    Deposed,
    /// The API server said no, or nothing.
    Api(ApiError),
}

impl Job {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Service(change) => Target::Service(Arc::clone(&change.service.key)),
            Self::PoolStatus(change, _) => Target::PoolStatus(name(change)),
            Self::PoolAnnotations(change, _) => Target::PoolAnnotations(name(change)),
            Self::Reservation(change, _) => Target::Reservation(reserved(change)),
        }
    }

    /// The other part of the same object, which is written on its own.
    pub(super) fn other_part(&self) -> Option<Target> {
        match self {
            Self::Service(_) | Self::Reservation(..) => None,
            Self::PoolStatus(change, _) => Some(Target::PoolAnnotations(name(change))),
            Self::PoolAnnotations(change, _) => Some(Target::PoolStatus(name(change))),
        }
    }

    /// The version of the object it was computed from.
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Service(change) => &change.service.resource_version,
            Self::PoolStatus(change, _) | Self::PoolAnnotations(change, _) => {
                change.pool.metadata.resource_version.as_deref().unwrap_or_default()
            }
            Self::Reservation(change, _) => {
                let object = object(change);
                object.and_then(|object| object.metadata.resource_version.as_deref()).unwrap_or_default()
            }
        }
    }

    /// Addresses that the object has once this is written and does not have now.
    pub(super) fn gives(&self) -> impl Iterator<Item = IpAddr> {
        let change = match self {
            Self::Service(change) => Some(change),
            _ => None,
        };
        let list = change.and_then(|change| change.ingress.as_deref()).unwrap_or_default();
        list.iter().filter_map(|entry| entry.ip).filter(move |address| {
            !change.is_some_and(|change| change.service.ingress.iter().any(|old| old.ip == Some(*address)))
        })
    }

    /// What it does, for the log and the metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Service(_) => "service status",
            Self::PoolStatus(..) => "pool status",
            Self::PoolAnnotations(..) => "pool annotations",
            Self::Reservation(..) => "reservation",
        }
    }
}

fn name(change: &PoolChange) -> Arc<str> {
    change.pool.metadata.name.as_deref().unwrap_or_default().into()
}

fn reserved(change: &ReservationChange) -> Arc<str> {
    match change {
        ReservationChange::Create { name, .. } => Arc::clone(name),
        _ => object(change).and_then(|object| object.metadata.name.as_deref()).unwrap_or_default().into(),
    }
}

/// The reservation that a change was computed from.
fn object(change: &ReservationChange) -> Option<&LoadBalancerIPReservation> {
    match change {
        ReservationChange::Create { .. } => None,
        ReservationChange::Spec { object, .. }
        | ReservationChange::Status { object, .. }
        | ReservationChange::Delete { object } => Some(object),
    }
}

/// Writes, as long as the term lasts.
#[derive(Clone)]
pub(super) struct Writer {
    cluster: Cluster,
    leadership: Leadership,
    token: Token,
}

impl Writer {
    pub(super) fn new(cluster: &Cluster, leadership: &Leadership, token: &Token) -> Self {
        let (fence, term) = (leadership.clone(), token.clone());
        let guard = Guard::new(move || fence.token().is_some_and(|token| token == term));
        Self { cluster: cluster.guarded(guard), leadership: leadership.clone(), token: token.clone() }
    }

    pub(super) async fn write(self, job: Job, target: Target, number: u64) -> Done {
        let began = Instant::now();
        let result = self.send(&job).await;
        Done { job, target, number, result, took: began.elapsed() }
    }

    async fn send(&self, job: &Job) -> Result<(), WriteError> {
        let cluster = &self.cluster;
        match job {
            Job::Service(change) => {
                let key = &change.service.key;
                let address = Address::core("services").namespace(&key.namespace).name(&key.name);
                let body = patch::service_status(change, Timestamp::now());
                self.fence()?;
                cluster.strategic_merge_patch(&address.subresource("status"), MANAGER, &body).await?;
            }
            Job::PoolStatus(change, pools) => {
                let address = pools.clone().name(&name(change)).subresource("status");
                let body = patch::pool_status(change);
                self.fence()?;
                cluster.merge_patch(&address, MANAGER, &body).await?;
            }
            Job::PoolAnnotations(change, pools) => {
                let mut metadata = patch::pool_guard(change);
                metadata["annotations"] =
                    change.annotate.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
                let address = pools.clone().name(&name(change));
                self.fence()?;
                cluster.merge_patch(&address, MANAGER, &json!({"metadata": metadata})).await?;
            }
            Job::Reservation(change, reservations) => self.reserve(change, reservations).await?,
        }
        Ok(())
    }

    async fn reserve(&self, change: &ReservationChange, reservations: &Address) -> Result<(), WriteError> {
        let cluster = &self.cluster;
        let (address, body) = (reservations.clone().name(&reserved(change)), patch::reservation(change));
        self.fence()?;
        match change {
            // Only if the name is free: what came into being meanwhile is not written over.
            ReservationChange::Create { .. } => cluster.create(reservations, MANAGER, &body).await?,
            ReservationChange::Spec { .. } => cluster.merge_patch(&address, MANAGER, &body).await?,
            ReservationChange::Status { .. } => {
                cluster.merge_patch(&address.subresource("status"), MANAGER, &body).await?
            }
            ReservationChange::Delete { object } => {
                let metadata = &object.metadata;
                let (uid, resource_version) = (metadata.uid.clone(), metadata.resource_version.clone());
                cluster.delete(&address, &Preconditions { uid, resource_version }).await?
            }
        };
        Ok(())
    }

    fn fence(&self) -> Result<(), WriteError> {
        let same = self.leadership.token().is_some_and(|token| token == self.token);
        if same { Ok(()) } else { Err(WriteError::Deposed) }
    }
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Withheld { .. } => Self::Deposed,
            error => Self::Api(error),
        }
    }
}
