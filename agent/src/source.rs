//! Where the objects come from: a directory of manifests, or an API server. Everything behind it is the same for both.
//!
//! Invariant: with an API server the operator's step is not taken here; the node configuration that it has is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_sync::cluster::{Cluster, Reflection};
use k8s_sync::lbipam::Allocation;
use k8s_sync::manifests::FileStatus;
use k8s_sync::object::ObjectRef;
use k8s_sync::report::{Location, Report};
use k8s_sync::snapshot::Snapshot;
use tokio::sync::watch;

use crate::manifests::Manifests;

/// Where the objects come from.
pub(crate) enum Source {
    /// A directory of manifests.
    Manifests(Box<Manifests>),
    /// An API server.
    ApiServer(Arc<Reflection>, watch::Receiver<u64>),
}

/// The same for the status page: what it is, not what it holds.
#[derive(Clone)]
pub(crate) enum Origin {
    /// This directory.
    Manifests(Place),
    /// This server, and what was read from it.
    ApiServer(Cluster, Arc<Reflection>),
}

/// A directory of manifests, and how addresses of its Services are given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// What is allocated.
    pub(crate) allocation: Allocation,
    /// The file that remembers the addresses, if it is not the one beside the manifests.
    pub(crate) state: Option<PathBuf>,
}

impl Source {
    pub(crate) fn new(origin: &Origin) -> Self {
        match origin {
            Origin::Manifests(Place { directory, allocation, state }) => {
                Self::Manifests(Box::new(Manifests::new(directory, allocation.clone(), state.as_deref())))
            }
            Origin::ApiServer(_, reflection) => Self::ApiServer(Arc::clone(reflection), reflection.changed()),
        }
    }

    /// Looks again. Whether anything may be different.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> bool {
        match self {
            Self::Manifests(manifests) => manifests.refresh(now),
            Self::ApiServer(_, changed) => {
                let different = changed.has_changed().unwrap_or_default();
                changed.mark_unchanged();
                different
            }
        }
    }

    /// Whether everything was read that could be read at all.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Manifests(_) => true,
            Self::ApiServer(reflection, _) => reflection.is_ready(),
        }
    }

    /// Whether nothing is unknown that an earlier life of this agent may have known.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            Self::Manifests(manifests) => manifests.directory.is_certain(),
            Self::ApiServer(reflection, _) => reflection.is_certain(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        match self {
            Self::Manifests(manifests) => manifests.snapshot(),
            Self::ApiServer(reflection, _) => Arc::new(reflection.snapshot()),
        }
    }

    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Manifests(manifests) => manifests.report(),
            Self::ApiServer(reflection, _) => reflection.report(),
        }
    }

    /// Whether cluster configurations are turned into node configurations here.
    pub(crate) fn takes_operators_step(&self) -> bool {
        matches!(self, Self::Manifests(_))
    }

    /// Fills in where the findings are written.
    pub(crate) fn locate(&self, report: &mut Report) {
        if let Self::Manifests(manifests) = self {
            let find = |object: &ObjectRef, field: Option<&str>| -> Option<Location> {
                manifests.directory.locate(object, field)
            };
            report.locate(find);
        }
    }

    pub(crate) fn files(&self) -> Vec<FileStatus> {
        match self {
            Self::Manifests(manifests) => manifests.directory.files(),
            Self::ApiServer(..) => Vec::new(),
        }
    }
}

impl Source {
    /// Pools, if addresses are given here.
    pub(crate) fn pools(&self) -> Vec<lbipam::PoolView> {
        match self {
            Self::Manifests(manifests) => manifests.pools(),
            Self::ApiServer(..) => Vec::new(),
        }
    }
}

impl Origin {
    /// The directory, if it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Manifests(place) => Some(&place.directory),
            Self::ApiServer(..) => None,
        }
    }
}
