//! From the manifests to the intent of this node: the operator's step and the agent's, in one process.
//!
//! Invariant: an [`Outcome`] is complete and never changes; whoever shows or applies it looks at one moment.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::conditions::ObjectConditions;
use k8s_sync::manifests::{Directory, FileStatus};
use k8s_sync::network::Network;
use k8s_sync::report::Report;
use k8s_sync::translate::{LocalNode, intent_for_node, node_configs};
use rutter_api::intent::Intent;
use tokio::sync::watch;

/// Reads the manifests and translates them.
pub(crate) struct Pipeline {
    directory: Directory,
    options: Options,
    local: LocalNode,
    network: watch::Receiver<Network>,
    outcome: Option<Arc<Outcome>>,
}

/// What the manifests lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What bgpd is to do.
    pub(crate) intent: Arc<Intent>,
    /// Whether all manifests are understood, now or earlier in the life of this process.
    pub(crate) certain: bool,
    /// Everything wrong, refused or not advertised, with its place.
    pub(crate) report: Report,
    /// Conditions of all objects that have some.
    pub(crate) conditions: Vec<ObjectConditions>,
    /// The files.
    pub(crate) files: Vec<FileStatus>,
}

impl Pipeline {
    pub(crate) fn new(
        manifests: impl Into<PathBuf>,
        node: &str,
        options: Options,
        network: watch::Receiver<Network>,
    ) -> Self {
        let local = LocalNode::named(node);
        Self { directory: Directory::new(manifests), options, local, network, outcome: None }
    }

    /// Looks at everything again. Returns the outcome if it may differ from the one before.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> Option<Arc<Outcome>> {
        let files_changed = self.directory.refresh(now);
        let network = self.network.borrow_and_update();
        let network_changed = *network != self.local.network;
        if network_changed {
            self.local.network = network.clone();
        }
        drop(network);
        if !files_changed && !network_changed && self.outcome.is_some() {
            return None;
        }
        let outcome = Arc::new(self.translate());
        self.outcome = Some(Arc::clone(&outcome));
        Some(outcome)
    }

    fn translate(&self) -> Outcome {
        let snapshot = self.directory.snapshot();
        let plan = node_configs(&snapshot, &self.options);
        let config = plan.node_config(&self.local.name);
        let node = intent_for_node(&snapshot, config.map(AsRef::as_ref), &self.local, &self.options);
        let mut report = self.directory.report().clone();
        report.merge(plan.report);
        report.merge(node.report);
        report.locate(|object, field| self.directory.locate(object, field));
        let mut conditions = plan.conditions;
        conditions.extend(node.conditions);
        // An unchanged intent stays the same allocation, so that comparing it costs nothing.
        let intent = match &self.outcome {
            Some(last) if *last.intent == node.intent => Arc::clone(&last.intent),
            _ => Arc::new(node.intent),
        };
        Outcome {
            intent,
            certain: self.directory.is_certain(),
            report,
            conditions,
            files: self.directory.files(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn pipeline(folder: &Path) -> Pipeline {
        Pipeline::new(folder, "w1", Options::default(), watch::channel(Network::default()).1)
    }

    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: w1}\nspec: {podCIDRs: [10.1.0.0/24]}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n";
    const CONFIG: &str = "apiVersion: cilium.io/v2\nkind: CiliumBGPClusterConfig\nmetadata: {name: c}\nspec: {bgpInstances: [{name: i, localASN: 65001}]}\n";

    #[test]
    fn an_outcome_only_when_something_changed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("n.yaml"), NODE).unwrap();
        let mut pipeline = pipeline(folder.path());
        let first = pipeline.refresh(Timestamp::UNIX_EPOCH).unwrap();
        assert!(first.intent.instances.is_empty());
        assert!(pipeline.refresh(Timestamp::UNIX_EPOCH).is_none());
        fs::write(folder.path().join("c.yaml"), CONFIG).unwrap();
        let second = pipeline.refresh(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(second.intent.instances[0].local_asn, 65001);
        fs::write(folder.path().join("c.yaml"), format!("# a comment\n{CONFIG}")).unwrap();
        let third = pipeline.refresh(Timestamp::UNIX_EPOCH).unwrap();
        assert!(Arc::ptr_eq(&second.intent, &third.intent));
    }

    #[test]
    fn findings_know_their_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("c.yaml"),
            format!("# one\n# two\n{}", CONFIG.replace(", localASN: 65001", "")),
        )
        .unwrap();
        fs::write(folder.path().join("n.yaml"), NODE).unwrap();
        let outcome = pipeline(folder.path()).refresh(Timestamp::UNIX_EPOCH).unwrap();
        let texts: Vec<String> = outcome.report.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|text| text.starts_with("c.yaml:6: CiliumBGPClusterConfig c")), "{texts:?}");
    }
}
