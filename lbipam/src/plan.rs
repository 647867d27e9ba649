//! What comes out: what each status is to say, and why, as values.
//!
//! Invariant: a change names the object it was computed from, so that whoever writes it can refuse to write over anything
//! newer. A plan holds only differences: what says the same already is not in it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rutter_crds::load_balancer_ip_reservation::LoadBalancerIPReservationSpec;
use rutter_crds::{CiliumLoadBalancerIPPool, Condition, LoadBalancerIPReservation};
use serde::Serialize;

use crate::service::{Ingress, Service};

/// Type of the condition on a Service.
pub const SATISFIED: &str = "cilium.io/IPAMRequestSatisfied";

/// Everything that is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By Service, in the order they should be written: who waits longest first.
    pub services: Vec<ServiceChange>,
    /// By pool.
    pub pools: Vec<PoolChange>,
    /// By reservation, one thing at a time for each.
    pub reservations: Vec<ReservationChange>,
}

/// What the status of one Service is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceChange {
    /// The object this was computed from.
    pub service: Arc<Service>,
    /// The whole new list, if it changes. Entries that stay keep what others wrote into them.
    pub ingress: Option<Box<[Ingress]>>,
    /// Our condition, if it changes.
    pub condition: Option<ConditionChange>,
    /// Why: one per address or refusal, for Events, log and history.
    pub causes: Vec<Cause>,
}

/// What becomes of our condition.
#[derive(Clone, Debug, PartialEq)]
pub enum ConditionChange {
    /// It says this.
    Set(Verdict),
    /// It goes: the Service is not ours (any more).
    Remove,
}

/// Our condition: status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether `status` is True.
    pub satisfied: bool,
    /// The reason, as written in the condition.
    pub reason: Box<str>,
    /// The message.
    pub message: Box<str>,
}

impl Verdict {
    /// All that was asked for is there.
    #[must_use]
    pub fn satisfied() -> Self {
        Self { satisfied: true, reason: Reason::Satisfied.as_str().into(), message: "".into() }
    }

    /// Something is missing.
    #[must_use]
    pub fn refused(reason: Reason, message: impl Into<Box<str>>) -> Self {
        Self { satisfied: false, reason: reason.as_str().into(), message: message.into() }
    }
}

/// Reasons of the condition on a Service. The first six are Cilium's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Everything is there.
    Satisfied,
    /// No pool has what is asked for.
    NoPool,
    /// A pool matches, and all its addresses are in use.
    OutOfIps,
    /// A pool has the address, and does not select the Service.
    PoolSelectorMismatch,
    /// Somebody else has the address.
    AlreadyAllocated,
    /// Somebody else has the address, and the two cannot share it.
    AlreadyAllocatedIncompatibleService,
    /// What is asked for cannot be understood, or not be granted as it is written.
    InvalidRequest,
    /// The namespace has as many addresses of the pool as it may have.
    QuotaExceeded,
    /// The address is kept for another Service.
    Reserved,
}

impl Reason {
    /// As it is written in the condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NoPool => "no_pool",
            Self::OutOfIps => "out_of_ips",
            Self::PoolSelectorMismatch => "pool_selector_mismatch",
            Self::AlreadyAllocated => "already_allocated",
            Self::AlreadyAllocatedIncompatibleService => "already_allocated_incompatible_service",
            Self::InvalidRequest => "invalid_request",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a Service changes: one Event, one line of the log, one entry of an address's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "cause")]
pub enum Cause {
    /// It gets an address.
    Allocated {
        /// The address.
        address: IpAddr,
        /// Out of which pool.
        pool: Arc<str>,
    },
    /// It loses an address.
    Released {
        /// The address.
        address: IpAddr,
        /// Why it cannot stay.
        why: Release,
    },
    /// It waits.
    Refused {
        /// For what reason.
        reason: Reason,
        /// In words, for the person who wrote the Service.
        message: Box<str>,
    },
    /// It had addresses when it was first seen; from now on its condition says so.
    Adopted,
}

/// Why an address cannot stay where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Release {
    /// No pool has it any more.
    NotInAnyPool,
    /// The pool that has it does not select the Service (any more).
    SelectorMismatch,
    /// The Service asks for other addresses.
    NotRequested,
    /// The Service does not want its family (any more).
    FamilyNotWanted,
    /// An older Service has it, and the two cannot share it (any more).
    CannotShare,
    /// The Service is no LoadBalancer, or somebody else's (any more).
    NotOurs,
}

/// What the status of one pool is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolChange {
    /// The object this was computed from.
    pub pool: Arc<CiliumLoadBalancerIPPool>,
    /// Conditions that change; all others stay as they are. `lastTransitionTime` is right already.
    pub set: Vec<Condition>,
    /// Types of conditions of ours that go.
    pub remove: Vec<&'static str>,
    /// Annotations that change, with their new values. They are not in the status: this is a write of the object itself. Only
    /// for pools whose owner asked for what needs it (`rutter.dev/safe-shrink`).
    pub annotate: Vec<(&'static str, String)>,
}

/// What becomes of one reservation.
#[derive(Clone, Debug, PartialEq)]
pub enum ReservationChange {
    /// It is made, with the label of those that the operator makes ([`Self::applied`] has the whole object).
    Create {
        /// `metadata.name`.
        name: Arc<str>,
        /// The spec.
        spec: LoadBalancerIPReservationSpec,
    },
    /// The spec of one that the operator made follows its Service.
    Spec {
        /// The object this was computed from.
        object: Arc<LoadBalancerIPReservation>,
        /// The whole spec.
        spec: LoadBalancerIPReservationSpec,
    },
    /// Its status.
    Status {
        /// The object this was computed from.
        object: Arc<LoadBalancerIPReservation>,
        /// Our condition, if it changes.
        set: Option<Condition>,
        /// `status.releasedAt`, if it changes: to this, or to nothing.
        released_at: Option<Option<Timestamp>>,
    },
    /// It goes: its time is over, or the Service does not want it any more.
    Delete {
        /// The object this was computed from.
        object: Arc<LoadBalancerIPReservation>,
    },
}
