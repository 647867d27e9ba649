//! From the objects to the intent of this node. From manifests: the operator's step and the agent's, in one process.
//!
//! Invariant: an [`Outcome`] is complete and never changes; whoever shows or applies it looks at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_sync::Options;
use k8s_sync::conditions::ObjectConditions;
use k8s_sync::manifests::FileStatus;
use k8s_sync::network::Network;
use k8s_sync::report::Report;
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::{LocalNode, Translator, node_configs};
use rutter_api::intent::Intent;
use rutter_crds::CiliumBGPNodeConfig;
use tokio::sync::watch;

use crate::source::Source;

/// Reads the objects and translates them.
pub(crate) struct Pipeline {
    source: Source,
    options: Options,
    local: LocalNode,
    network: watch::Receiver<Network>,
    translator: Translator,
    outcome: Option<Arc<Outcome>>,
    serial: u64,
}

/// What the objects lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What bgpd is to do.
    pub(crate) intent: Arc<Intent>,
    /// Counts outcomes.
    pub(crate) serial: u64,
    /// Whether everything was read once. Before that the intent is empty, and must not be put.
    pub(crate) complete: bool,
    /// Whether all objects are understood, now or earlier in the life of this process.
    pub(crate) certain: bool,
    /// Everything wrong, refused or not advertised, with its place.
    pub(crate) report: Report,
    /// Conditions of all objects that have some.
    pub(crate) conditions: Vec<ObjectConditions>,
    /// The files.
    pub(crate) files: Vec<FileStatus>,
    /// Pools that addresses are given out of, if they are given here.
    pub(crate) pools: Vec<lbipam::PoolView>,
    /// How long the translation took.
    pub(crate) took: Duration,
    /// What the intent was made from, if the node has one.
    pub(crate) node_config: Option<Arc<CiliumBGPNodeConfig>>,
    /// The objects, if they come from manifests. (Who keeps a snapshot of an API server's makes the next change copy it.)
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

impl Pipeline {
    pub(crate) fn new(
        source: Source,
        node: &str,
        options: Options,
        network: watch::Receiver<Network>,
    ) -> Self {
        let local = LocalNode::named(node);
        let translator = Translator::default();
        Self { source, options, local, network, translator, outcome: None, serial: 0 }
    }

    /// Looks at everything again. Returns the outcome if it may differ from the one before.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> Option<Arc<Outcome>> {
        let objects_changed = self.source.refresh(now);
        let network = self.network.borrow_and_update();
        let network_changed = *network != self.local.network;
        if network_changed {
            self.local.network = network.clone();
        }
        drop(network);
        if !objects_changed && !network_changed && self.outcome.is_some() {
            return None;
        }
        self.serial += 1;
        let begun = Instant::now();
        let mut outcome = self.translate();
        outcome.took = begun.elapsed();
        let outcome = Arc::new(outcome);
        self.outcome = Some(Arc::clone(&outcome));
        Some(outcome)
    }

    fn translate(&mut self) -> Outcome {
        let mut report = self.source.report();
        if !self.source.is_complete() {
            return Outcome { serial: self.serial, report, ..Outcome::default() };
        }
        let snapshot = self.source.snapshot();
        let mut conditions = Vec::new();
        let config = if self.source.takes_operators_step() {
            let plan = node_configs(&snapshot, &self.options);
            let config = plan.node_config(&self.local.name).cloned();
            report.merge(plan.report);
            conditions.extend(plan.conditions);
            config
        } else {
            snapshot.node_configs.get(&self.local.name).cloned()
        };
        let node = self.translator.intent_for_node(&snapshot, config.as_deref(), &self.local, &self.options);
        report.merge(node.report);
        self.source.locate(&mut report);
        conditions.extend(node.conditions);
        // An unchanged intent stays the same allocation, so that comparing it costs nothing.
        let intent = match &self.outcome {
            Some(last) if *last.intent == node.intent => Arc::clone(&last.intent),
            _ => Arc::new(node.intent),
        };
        Outcome {
            intent,
            serial: self.serial,
            complete: true,
            certain: self.source.is_certain(),
            report,
            conditions,
            files: self.source.files(),
            pools: self.source.pools(),
            took: Duration::ZERO,
            node_config: config,
            snapshot: self.source.takes_operators_step().then_some(snapshot),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::source::{Origin, Place};

    fn pipeline(folder: &Path) -> Pipeline {
        let source =
            Source::new(&Origin::Manifests(Place { directory: folder.to_owned(), ..Place::default() }));
        Pipeline::new(source, "w1", Options::default(), watch::channel(Network::default()).1)
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
