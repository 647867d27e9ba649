//! A directory of manifests as an API server with an operator would have its objects: read, checked, and with addresses.
//!
//! Invariant: reading and deciding are one step under one lock, see [`crate::memory_file`].

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_sync::lbipam::{Allocation, Caused, Local};
use k8s_sync::manifests::Directory;
use k8s_sync::report::Report;
use k8s_sync::snapshot::Snapshot;
use lbipam::Cause;

use crate::memory_file::MemoryFile;

/// The directory and who gives addresses for it.
#[derive(Debug)]
pub(crate) struct Manifests {
    pub(crate) directory: Directory,
    allocator: Local,
    memory: MemoryFile,
    problems: Report,
}

impl Manifests {
    pub(crate) fn new(directory: &Path, allocation: Allocation, state: Option<&Path>) -> Self {
        Self {
            directory: Directory::new(directory),
            allocator: Local::new(allocation),
            memory: MemoryFile::new(directory, state),
            problems: Report::default(),
        }
    }

    /// Reads the directory again. Whether anything may be different.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> bool {
        let lock = self.memory.lock();
        let mut changed = self.directory.refresh(now);
        if let Some(memory) = self.memory.read() {
            self.allocator.recall(memory);
        }
        let happened = self.allocator.step(&self.directory.snapshot(), self.directory.is_certain(), now);
        match lock {
            Ok(lock) => self.memory.write(self.allocator.memory(), &lock),
            Err(error) => self.memory.not_locked(self.allocator.memory(), &error),
        }
        if let Some(causes) = happened {
            changed = true;
            causes.iter().for_each(log);
        }
        let mut problems = self.allocator.report().clone();
        problems.merge(self.memory.report());
        changed |= problems != self.problems;
        self.problems = problems;
        changed
    }

    /// The objects, with addresses.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.allocator.snapshot()
    }

    /// What is wrong with the files, and with what is to be allocated.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.directory.report().clone();
        report.merge(self.problems.clone());
        report
    }

    /// The pools.
    pub(crate) fn pools(&self) -> Vec<lbipam::PoolView> {
        self.allocator.pools()
    }
}

/// Refusals and what was there before are in the report.
fn log((service, cause): &Caused) {
    match cause {
        Cause::Allocated { address, pool } => tracing::info!(%service, %address, %pool, "address given"),
        Cause::Released { address, why } => tracing::info!(%service, %address, ?why, "address taken back"),
        Cause::Refused { .. } | Cause::Adopted => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const POOL: &str = "apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: p}\nspec: {blocks: [{cidr: 10.0.0.0/24}]}\n";

    fn service(name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
        )
    }

    fn agent(folder: &Path) -> Manifests {
        Manifests::new(folder, Allocation::default(), None)
    }

    fn addresses(agent: &mut Manifests) -> Vec<String> {
        agent.refresh(Timestamp::UNIX_EPOCH);
        let snapshot = agent.snapshot();
        let of = |service: &Arc<k8s_sync::object::Service>| {
            let ip = service.spec.ingress.first().and_then(|entry| entry.ip.clone()).unwrap_or_default();
            format!("{}={ip}", service.name.name)
        };
        snapshot.services.values().map(of).collect()
    }

    #[test]
    fn agents_of_one_directory_agree_whoever_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.yaml"), POOL).unwrap();
        let (mut one, mut two) = (agent(folder.path()), agent(folder.path()));
        for (count, name) in ["m", "c", "x", "a"].into_iter().enumerate() {
            fs::write(folder.path().join(format!("{name}.yaml")), service(name)).unwrap();
            let (first, second) = if count == 2 { (&mut two, &mut one) } else { (&mut one, &mut two) };
            let expected = addresses(first);
            assert_eq!(expected.len(), count + 1);
            assert_eq!(addresses(second), expected);
            assert!(!first.refresh(Timestamp::UNIX_EPOCH), "both agree, so nothing goes to and fro");
        }
        let expected = addresses(&mut one);
        assert_eq!(expected, ["a=10.0.0.3", "c=10.0.0.1", "m=10.0.0.0", "x=10.0.0.2"]);
        assert_eq!(addresses(&mut agent(folder.path())), expected, "a third one that starts later");
        assert_eq!(one.pools()[0].ipv4.used, 4_u8.into());
    }

    #[test]
    fn without_anything_to_give_no_file_and_no_finding() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s.yaml"), service("s")).unwrap();
        assert_eq!(addresses(&mut agent(folder.path())), ["s="]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_memory_that_cannot_be_kept_is_said_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), format!("{POOL}---\n{}", service("s"))).unwrap();
        let state = folder.path().join("none/state.json");
        let mut agent = Manifests::new(folder.path(), Allocation::default(), Some(&state));
        assert_eq!(addresses(&mut agent), ["s=10.0.0.0"]);
        let report = agent.report().to_string();
        assert!(report.contains("AddressMemoryUnwritable"), "{report}");
        fs::create_dir(folder.path().join("none")).unwrap();
        assert_eq!(addresses(&mut agent), ["s=10.0.0.0"]);
        assert!(agent.report().is_empty() && state.exists(), "{}", agent.report());
    }
}
