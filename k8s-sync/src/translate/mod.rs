//! Translation, in two pure steps: the operator's ([`node_configs`]) and the agent's ([`intent_for_node`]).
//!
//! In a cluster two processes take one step each, with a CiliumBGPNodeConfig between them; from a directory of manifests
//! one process takes both. Invariant: the same snapshot always gives the same answer.

mod cluster_config;
mod family;
mod instance;
mod node_override;
mod peer;
mod policy;
mod router_id;
mod router_id_pool;
mod secret;
mod translator;

pub use cluster_config::{ClusterPlan, node_configs};
pub(crate) use cluster_config::{selector_reason, unmet};
pub(crate) use instance::translate;
pub use instance::{LocalNode, NodeIntent, intent_for_node};
pub use translator::Translator;
