//! The agent's step, pass after pass: what has not changed since the pass before is not decided again.
//!
//! Invariant: whatever a translator has seen before, it answers what [`intent_for_node`](super::intent_for_node) answers.

use rutter_crds::CiliumBGPNodeConfig;

use super::instance::{LocalNode, NodeIntent, translate};
use crate::advertise::Memo;
use crate::options::Options;
use crate::report::Report;
use crate::snapshot::Snapshot;

/// Translates one snapshot after another.
#[derive(Debug, Default)]
pub struct Translator {
    memo: Memo,
}

impl Translator {
    /// Translates the configuration of a node.
    pub fn intent_for_node(
        &mut self,
        snapshot: &Snapshot,
        config: Option<&CiliumBGPNodeConfig>,
        local: &LocalNode,
        options: &Options,
    ) -> NodeIntent {
        let memo = std::mem::take(&mut self.memo);
        let (intent, memo) = translate(snapshot, config, local, options, (Report::default(), memo));
        self.memo = memo;
        intent
    }
}
