//! The objects that an answer is computed from: those of a cluster, or of a directory of manifests.
//!
//! Invariant: a cluster is asked with one LIST per kind, and nothing is ever written.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_sync::cluster::{Cluster, Parts, Scope};
use k8s_sync::lbipam::{Allocation, Local, Memory, cluster_ranges, feed};
use k8s_sync::manifests::{Directory, read_text};
use k8s_sync::object::Object;
use k8s_sync::report::{Report, Severity};
use k8s_sync::snapshot::Snapshot;
use lbipam::annotation::REFUSE_CLUSTER_RANGES;
use lbipam::world::World;
use lbipam::{Ipam, ServiceKey, Settings};

use super::Source;
use super::operator::Operator;
use crate::Cli;
use crate::reach::connection;

/// What there is.
pub(super) struct Objects {
    /// As it is: of a cluster with whatever its operator has still to do, of a directory after allocation.
    pub(super) world: World,
    /// Every Service's type by name, also of those that are no load balancers.
    types: BTreeMap<ServiceKey, String>,
    /// The operator that leads, if there is a cluster and it answered.
    pub(super) operator: Option<Operator>,
    /// Where the objects come from, for messages.
    pub(super) place: String,
}

impl Objects {
    /// Reads what there is. `supposed` is what the question adds to it, which may need more to be read.
    pub(super) async fn read(cli: &Cli, source: &Source, supposed: &Snapshot) -> anyhow::Result<Self> {
        match &source.manifests {
            Some(directory) => Self::of_directory(directory, source),
            None => Self::of_cluster(cli, source, supposed).await,
        }
    }

    fn of_directory(directory: &Path, source: &Source) -> anyhow::Result<Self> {
        let place = directory.display().to_string();
        if !directory.is_dir() {
            bail!("{place} is no directory; write --manifests DIR with a directory of YAML or JSON files");
        }
        let mut manifests = Directory::new(directory);
        manifests.refresh(Timestamp::now());
        let mut report = manifests.report().clone();
        report.locate(|object, field| manifests.locate(object, field));
        complain(&report);
        let settings = source.settings(None);
        let local = allocated(directory, &manifests, settings.clone());
        Ok(Self::of_snapshot(&local.snapshot(), settings, place))
    }

    async fn of_cluster(cli: &Cli, source: &Source, supposed: &Snapshot) -> anyhow::Result<Self> {
        let cluster = Cluster::connect(&connection(&cli.cluster))
            .await
            .context("no cluster to ask; --manifests DIR answers from files")?;
        let parts = Parts { lb_ipam: true, ..Parts::default() };
        let read = cluster.read_once(&Scope::Cluster(parts)).await;
        let (mut snapshot, report) = read.context(
            "the objects cannot be read; it takes the rights to list services and ciliumloadbalancerippools",
        )?;
        complain(&report);
        let operator = Operator::find(&cluster, &cli.cluster).await;
        if let Err(why) = &operator {
            eprintln!("(no operator could be asked, so its settings and history are not known: {why})");
        }
        let operator = operator.ok();
        let settings = source.settings(operator.as_ref());
        if settings.refuse_cluster_ranges || refuses(&snapshot) || refuses(supposed) {
            read_ranges(&cluster, &mut snapshot).await;
        }
        let objects = Self::of_snapshot(&snapshot, settings, cluster.server().to_owned());
        Ok(Self { operator, ..objects })
    }

    fn of_snapshot(snapshot: &Snapshot, settings: Settings, place: String) -> Self {
        let pools = snapshot.lb_pools.values().cloned();
        let services = snapshot.services.values().filter_map(|service| service.ipam.clone());
        let type_of = |service: &k8s_sync::object::Service| {
            let name = &service.name;
            let kind = service.spec.type_.as_str().to_owned();
            (ServiceKey::new(name.namespace.as_str(), name.name.as_str()), kind)
        };
        let types = snapshot.services.values().map(|service| type_of(service)).collect();
        let (mut ipam, now) = (Ipam::new(settings), Timestamp::now());
        feed(&mut ipam, &Snapshot::default(), snapshot, now);
        // Also while no pool asks for them: one that is only supposed may.
        ipam.handle_cluster_ranges(cluster_ranges(snapshot));
        let reservations = snapshot.lb_reservations.values().cloned();
        let world = World::around(ipam, pools, services, reservations, now);
        Self { world, types, operator: None, place }
    }

    /// The type of a Service that is none of LB IPAM's, or an error that names the nearest one.
    pub(super) fn type_of(&self, key: &ServiceKey) -> anyhow::Result<&str> {
        if let Some(kind) = self.types.get(key) {
            return Ok(kind);
        }
        let place = &self.place;
        match nearest(key, self.types.keys()) {
            Some(near) => bail!("there is no Service {key} in {place}; did you mean {near}?"),
            None => bail!("there is no Service {key} in {place}, which has {} Services", self.types.len()),
        }
    }
}

/// What a directory leads to: as an agent allocates that runs from it, with what such an agent remembers in it.
pub(crate) fn allocated(directory: &Path, manifests: &Directory, settings: Settings) -> Local {
    let memory = Memory::beside(directory).unwrap_or_else(|error| {
        eprintln!("({error})");
        Memory::default()
    });
    Local::look(&manifests.snapshot(), Allocation { lb_ipam: true, settings }, memory, Timestamp::now())
}

/// Whether a pool asks what ranges the cluster itself uses.
fn refuses(snapshot: &Snapshot) -> bool {
    let annotations = snapshot.lb_pools.values().filter_map(|pool| pool.metadata.annotations.as_ref());
    annotations.into_iter().any(|all| all.contains_key(REFUSE_CLUSTER_RANGES))
}

/// Adds the objects that name ranges of the cluster. Without them the rest of the answer is still right.
async fn read_ranges(cluster: &Cluster, snapshot: &mut Snapshot) {
    let parts = Parts { cluster_ranges: true, ..Parts::default() };
    match cluster.read_once(&Scope::Cluster(parts)).await {
        Ok((ranges, report)) => {
            complain(&report);
            snapshot.nodes = ranges.nodes;
            snapshot.cilium_nodes = ranges.cilium_nodes;
            snapshot.service_cidrs = ranges.service_cidrs;
        }
        Err(error) => eprintln!(
            "(the ranges of the cluster cannot be read, so pools that refuse them look as if they covered none: {error})"
        ),
    }
}

/// The pools and Services that files hold; everything in them has to be right.
pub(super) fn read_files(files: &[PathBuf]) -> anyhow::Result<Snapshot> {
    let mut all = Snapshot::default();
    let mut report = Report::default();
    for file in files {
        let (objects, said) = read_file(file)?;
        report.extend(said.iter().cloned());
        objects.into_iter().for_each(|object| all.insert(object));
    }
    complain(&report);
    if report.iter().any(|finding| finding.severity() == Severity::Error) {
        bail!("what is wrong has to be right before it can be answered");
    }
    Ok(all)
}

/// A file, a directory of files, or `-` for standard input.
fn read_file(file: &Path) -> anyhow::Result<(Vec<Object>, Report)> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(read_text(file, &text));
    }
    if file.is_dir() {
        let mut directory = Directory::new(file);
        directory.refresh(Timestamp::now());
        let snapshot = directory.snapshot();
        let pools = snapshot.lb_pools.values().cloned().map(Object::CiliumLoadBalancerIPPool);
        let services = snapshot.services.values().cloned().map(Object::Service);
        let reservations = snapshot.lb_reservations.values().cloned().map(Object::LoadBalancerIPReservation);
        return Ok((pools.chain(services).chain(reservations).collect(), directory.report().clone()));
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(read_text(file, &text))
}

fn complain(report: &Report) {
    for finding in report.iter().filter(|finding| finding.severity() == Severity::Error) {
        eprintln!("{}: {finding}", finding.reason.name());
    }
}

/// The name that is least different, if it is not too different to have been meant.
fn nearest<'a>(key: &ServiceKey, known: impl Iterator<Item = &'a ServiceKey>) -> Option<&'a ServiceKey> {
    let cost = |other: &ServiceKey| {
        // The right name in another namespace is nearer than any other name.
        let name = distance(&key.name, &other.name);
        2 * name + usize::from(key.namespace != other.namespace)
    };
    let near = known.map(|other| (cost(other), other)).min_by_key(|(cost, other)| (*cost, *other))?;
    (near.0 <= 2 * (key.name.len() / 3).max(2) + 1).then_some(near.1)
}

/// How many letters have to be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let known = ["shop/web", "shop/api", "bank/webshop"].map(|text| {
            let (namespace, name) = text.split_once('/').expect("two parts");
            ServiceKey::new(namespace, name)
        });
        let near = |namespace: &str, name: &str| {
            nearest(&ServiceKey::new(namespace, name), known.iter()).map(ToString::to_string)
        };
        assert_eq!(near("shop", "wbe").as_deref(), Some("shop/web"));
        assert_eq!(near("default", "web").as_deref(), Some("shop/web"));
        assert_eq!(near("shop", "webshop").as_deref(), Some("bank/webshop"));
        assert_eq!(near("shop", "completely-else"), None);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("web", "web", 0), ("web", "wbe", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
