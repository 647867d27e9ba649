//! Translation's half: objects, selectors, statements.
//!
//! A link has notes where something was found on it, and the way goes on through the links below. Invariant: `offered` of a peer is what its export policy really has.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stop;
use crate::intent::Actions;

/// A Service as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFacts {
    /// `namespace/name`.
    pub name: String,
    /// `LoadBalancer`, `ClusterIP`, ...
    pub r#type: String,
    /// `loadBalancerClass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// What selectors see, beside its name and namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The policy that governs LoadBalancerIP and ExternalIP.
    pub external_traffic_policy: String,
    /// The policy that governs ClusterIP.
    pub internal_traffic_policy: String,
    /// Its addresses, by type.
    pub addresses: Vec<AddressFacts>,
    /// Active endpoints on this node, of the family that has more.
    pub endpoints_here: usize,
    /// Active endpoints on all nodes, of the family that has more.
    pub endpoints_anywhere: usize,
    /// Why nothing of it is announced here, and what is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
}

/// An address of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressFacts {
    /// `LoadBalancerIP`, `ClusterIP` or `ExternalIP`.
    pub r#type: String,
    /// The address; absent where there is none yet, or none that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
    /// Why it is not announced from this node, whoever selects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// What makes the node run BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// The CiliumBGPClusterConfig that its CiliumBGPNodeConfig comes from; absent if it was written by hand, or there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_config: Option<String>,
    /// Whether there is a CiliumBGPNodeConfig for it.
    pub configured: bool,
    /// The cluster configurations that are known here, and whether they select the node. An agent in a cluster sees none:
    /// that step is the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_configs: Vec<Selection>,
    /// Pod CIDRs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,
    /// What was found about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
}

/// An object whose selector was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainSelection)]
pub struct Selection {
    /// The name of the object.
    pub name: String,
    /// The selector.
    pub selector: String,
    /// The requirements that are not met. Empty: it selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
}

/// One instance of the node's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceChain {
    /// Its name.
    pub name: String,
    /// Whether it is part of the intent.
    pub runs: bool,
    /// Its ASN, if it runs.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    pub local_asn: Option<u32>,
    /// Its router ID, if it runs.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// What was found about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
    /// Its peers.
    pub peers: Vec<PeerChain>,
}

/// One peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerChain {
    /// Its name.
    pub name: String,
    /// Whether it is part of the intent.
    pub configured: bool,
    /// Its address, if it is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its ASN as configured; absent: whatever it says.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    pub peer_asn: Option<u32>,
    /// The CiliumBGPPeerConfig it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_config: Option<String>,
    /// Its export policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// What was found about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
    /// The selectors of its families, in the order they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<FamilyChain>,
    /// What of the subject its export policy lets out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<Offered>,
    /// How many prefixes its export policy lets out in all.
    #[serde(default)]
    pub prefixes: usize,
}

/// A selector of advertisements in a family of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FamilyChain {
    /// `ipv4-unicast` or `ipv6-unicast`.
    pub family: String,
    /// The field with the selector.
    pub field: String,
    /// The selector.
    pub selector: String,
    /// What was found about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
    /// Every advertisement there is.
    pub advertisements: Vec<AdvertisementChain>,
}

/// A CiliumBGPAdvertisement as a selector sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvertisementChain {
    /// Its name.
    pub name: String,
    /// Why it is not selected: the requirements of the peer's selector that its labels do not meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Its entries, if it is selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryChain>,
}

/// An entry of a CiliumBGPAdvertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryChain {
    /// `spec.advertisements[0]`.
    pub field: String,
    /// `Service`, `PodCIDR`, ...
    pub r#type: String,
    /// How many prefixes it offers in this family, of whatever object.
    #[serde(default)]
    pub prefixes: usize,
    /// The Services in question that it selects. Those that it does not are among the notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<String>,
    /// What of the subject it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// What it refuses or ignores, of the subject or as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Stop>,
}

/// A prefix that an entry offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainOffer)]
pub struct Offer {
    /// What it is for: `Service default/web LoadBalancerIP`, `PodCIDR w1`.
    pub source: String,
    /// The prefix.
    #[schema(value_type = String)]
    pub prefix: IpNet,
    /// The statement it goes into.
    pub statement: String,
}

/// A prefix that a peer's export policy lets out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainOffered)]
pub struct Offered {
    /// The prefix.
    #[schema(value_type = String)]
    pub prefix: IpNet,
    /// The first statement that has it.
    pub statement: String,
    /// What that statement changes.
    #[serde(default, skip_serializing_if = "Actions::is_empty")]
    pub actions: Actions,
}

impl InstanceChain {
    /// What its peers are offered.
    pub fn offered(&self) -> impl Iterator<Item = (&PeerChain, &Offered)> {
        self.peers.iter().flat_map(|peer| peer.offered.iter().map(move |offered| (peer, offered)))
    }
}
