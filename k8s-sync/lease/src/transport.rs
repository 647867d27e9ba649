//! What the task needs of an API server, and how a Lease object and a [`Record`] become each other.
//!
//! Invariant: a replacement is the object that was read last with nothing changed but the election's fields, so labels,
//! annotations and fields of later Kubernetes releases stay; its `resourceVersion` makes the server compare.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::election::Failure;
use crate::record::{Observed, Record};

/// Requests about one Lease. Implementations need no timeout of their own.
pub trait Transport: Send + Sync + 'static {
    /// The Lease, if it exists.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, Failure>> + Send;

    /// Creates it. The metadata holds nothing; name and namespace are the implementation's.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Failure>> + Send;

    /// Replaces it (PUT), with `metadata.resourceVersion` and `metadata.uid` as given.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, Failure>> + Send;
}

/// The election's view of an object.
pub(crate) fn observed(lease: &Lease) -> Observed {
    let spec = lease.spec.clone().unwrap_or_default();
    let micros = |time: Option<MicroTime>| time.map(|time| time.0.as_microsecond());
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Observed {
        uid: lease.metadata.uid.as_deref().unwrap_or_default().into(),
        version: lease.metadata.resource_version.as_deref().unwrap_or_default().into(),
        record: Record {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Into::into),
            duration: Duration::from_secs(seconds.unwrap_or_default()),
            acquired: micros(spec.acquire_time),
            renewed: micros(spec.renew_time),
            transitions: spec.lease_transitions.unwrap_or_default(),
        },
    }
}

/// The object with this record in it.
pub(crate) fn with_record(lease: &Lease, record: &Record) -> Lease {
    let mut lease = lease.clone();
    let time =
        |micros: Option<i64>| micros.and_then(|at| Timestamp::from_microsecond(at).ok()).map(MicroTime);
    lease.metadata.managed_fields = None;
    lease.spec = Some(LeaseSpec {
        holder_identity: record.holder.as_deref().map(str::to_owned),
        lease_duration_seconds: i32::try_from(record.duration.as_secs()).ok(),
        acquire_time: time(record.acquired),
        renew_time: time(record.renewed),
        lease_transitions: Some(record.transitions),
        ..lease.spec.unwrap_or_default()
    });
    lease
}

#[cfg(feature = "kube")]
mod through_kube {
    use kube::api::{Api, PostParams};

    use super::{Failure, Lease, Transport};

    /// Name and client of one Lease.
    #[derive(Clone)]
    pub struct KubeLease {
        api: Api<Lease>,
        name: String,
    }

    impl KubeLease {
        /// The Lease of this name.
        #[must_use]
        pub fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
            Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
        }
    }

    impl Transport for KubeLease {
        async fn get(&self) -> Result<Option<Lease>, Failure> {
            self.api.get_opt(&self.name).await.map_err(failure)
        }

        async fn create(&self, lease: &Lease) -> Result<Lease, Failure> {
            let mut lease = lease.clone();
            lease.metadata.name = Some(self.name.clone());
            self.api.create(&PostParams::default(), &lease).await.map_err(failure)
        }

        async fn replace(&self, lease: &Lease) -> Result<Lease, Failure> {
            self.api.replace(&self.name, &PostParams::default(), lease).await.map_err(failure)
        }
    }

    fn failure(error: kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => Failure::from_status(status.code, &status.message),
            other => Failure::Unavailable(other.to_string().into()),
        }
    }
}

#[cfg(feature = "kube")]
pub use through_kube::KubeLease;

impl Failure {
    /// What an HTTP status of the API server means.
    #[must_use]
    pub fn from_status(code: u16, message: &str) -> Self {
        match code {
            404 => Self::Missing,
            409 => Self::Conflict,
            408 | 429 | 500.. => Self::Unavailable(format!("{code} {message}").into()),
            _ => Self::Refused(format!("{code} {message}").into()),
        }
    }
}
