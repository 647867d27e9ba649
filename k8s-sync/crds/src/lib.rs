//! Cilium's custom resources as Rust types, one file per kind, and the one kind of our own.
//!
//! Invariant: names, limits, defaults and rules are exactly those of Cilium's CRDs; a test compares every property of
//! the generated schemas with the real manifests, version by version. The types are those of `v2`; [`schema`] also
//! knows `v2alpha1`, whose objects are read into the same types.

pub mod bgp_advertisement;
pub mod bgp_cluster_config;
pub mod bgp_node_config;
pub mod bgp_node_config_override;
pub mod bgp_peer_config;
pub mod cilium_node;
pub mod condition;
pub mod label_selector;
pub mod load_balancer_ip_pool;
pub mod load_balancer_ip_reservation;
pub mod manifest;
mod pattern;
pub mod pod_ip_pool;
pub mod schema;
pub mod selector_text;

pub use bgp_advertisement::{CiliumBGPAdvertisement, CiliumBGPAdvertisementSpec};
pub use bgp_cluster_config::{CiliumBGPClusterConfig, CiliumBGPClusterConfigSpec};
pub use bgp_node_config::{CiliumBGPNodeConfig, CiliumBGPNodeConfigSpec};
pub use bgp_node_config_override::{CiliumBGPNodeConfigOverride, CiliumBGPNodeConfigOverrideSpec};
pub use bgp_peer_config::{CiliumBGPPeerConfig, CiliumBGPPeerConfigSpec};
pub use cilium_node::{CiliumNode, CiliumNodeSpec};
pub use condition::{Condition, ConditionStatus};
pub use label_selector::{LabelSelector, LabelSelectorRequirement, SelectorOperator, SelectorProblem};
pub use load_balancer_ip_pool::{
    AllowFirstLastIPs, CiliumLoadBalancerIPPool, CiliumLoadBalancerIPPoolIPBlock,
    CiliumLoadBalancerIPPoolSpec, CiliumLoadBalancerIPPoolStatus,
};
pub use load_balancer_ip_reservation::{LoadBalancerIPReservation, LoadBalancerIPReservationSpec};
pub use pod_ip_pool::{CiliumPodIPPool, CiliumPodIPPoolSpec};
pub use selector_text::TextSelector;
