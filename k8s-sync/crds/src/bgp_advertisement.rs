//! CiliumBGPAdvertisement: which routes are offered to the peers that select it, with which attributes. Written by people.

use kube::CustomResource;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::label_selector::LabelSelector;

/// Which routes are offered to the peers that select this object by its labels.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cilium.io",
    version = "v2",
    kind = "CiliumBGPAdvertisement",
    plural = "ciliumbgpadvertisements",
    shortname = "cbgpadvert",
    category = "cilium",
    category = "ciliumbgp",
    derive = "PartialEq",
    doc = "Which routes are offered to the peers that select this object by its labels.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CiliumBGPAdvertisementSpec {
    /// The advertisements.
    pub advertisements: Vec<BGPAdvertisement>,
}

/// One kind of routes with the attributes they carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = json!([
    {"rule": "self.advertisementType != 'Service' || has(self.service)",
     "message": "service field is required for the 'Service' advertisementType"},
    {"rule": "self.advertisementType == 'Service' || !has(self.service)",
     "message": "service field is not allowed for non-'Service' advertisementType"},
    {"rule": "self.advertisementType != 'Interface' || has(self.interface)",
     "message": "interface field is required for the 'Interface' advertisementType"},
    {"rule": "self.advertisementType == 'Interface' || !has(self.interface)",
     "message": "interface field is not allowed for non-'Interface' advertisementType"},
    {"rule": "self.advertisementType != 'PodCIDR' || !has(self.selector)",
     "message": "selector field is not allowed for the 'PodCIDR' advertisementType"},
])))]
pub struct BGPAdvertisement {
    /// What is advertised.
    pub advertisement_type: BGPAdvertisementType,
    /// Attributes of the routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BGPAttributes>,
    /// For type `Interface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<BGPInterfaceOptions>,
    /// Which objects of the type are advertised. Absent: none. Not for `PodCIDR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// For type `Service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<BGPServiceOptions>,
}

/// What can be advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum BGPAdvertisementType {
    PodCIDR,
    CiliumPodIPPool,
    Service,
    Interface,
}

/// Options of type `Interface`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPInterfaceOptions {
    /// Name of the interface whose addresses are advertised.
    pub name: String,
}

/// Options of type `Service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPServiceOptions {
    /// Which addresses of the services.
    #[schemars(length(min = 1))]
    pub addresses: Vec<BGPServiceAddressType>,
    /// Advertise IPv4 addresses as prefixes of this length. Absent: /32.
    #[serde(default, rename = "aggregationLengthIPv4", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31), transform = without_format)]
    pub aggregation_length_ipv4: Option<u8>,
    /// Advertise IPv6 addresses as prefixes of this length. Absent: /128.
    #[serde(default, rename = "aggregationLengthIPv6", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 127), transform = without_format)]
    pub aggregation_length_ipv6: Option<u8>,
}

/// Addresses of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum BGPServiceAddressType {
    LoadBalancerIP,
    ClusterIP,
    ExternalIP,
}

/// Path attributes of advertised routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPAttributes {
    /// Communities to attach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub communities: Option<BGPCommunities>,
    /// LOCAL_PREF towards internal peers. The schema sets no range; the protocol has 0 to 4294967295.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<i64>,
}

/// Communities of three kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BGPCommunities {
    /// Large communities, `a:b:c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large: Vec<LargeCommunityText>,
    /// Communities as one 32-bit number or as `a:b`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standard: Vec<StandardCommunityText>,
    /// Communities by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub well_known: Vec<WellKnownCommunity>,
}

/// A large community as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LargeCommunityText(#[schemars(regex(pattern = crate::pattern::LARGE_COMMUNITY))] pub String);

/// A community as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StandardCommunityText(#[schemars(regex(pattern = crate::pattern::STANDARD_COMMUNITY))] pub String);

/// Communities that have a name (RFC 1997 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the variants are the CRD's own words; a doc comment would split the enum schema"
)]
pub enum WellKnownCommunity {
    Internet,
    PlannedShut,
    AcceptOwn,
    #[serde(rename = "route-filter-translated-v4")]
    RouteFilterTranslatedV4,
    #[serde(rename = "route-filter-v4")]
    RouteFilterV4,
    #[serde(rename = "route-filter-translated-v6")]
    RouteFilterTranslatedV6,
    #[serde(rename = "route-filter-v6")]
    RouteFilterV6,
    LlgrStale,
    NoLlgr,
    Blackhole,
    NoExport,
    NoAdvertise,
    NoExportSubconfed,
    NoPeer,
}

impl WellKnownCommunity {
    /// The value on the wire.
    #[must_use]
    pub fn value(self) -> u32 {
        match self {
            Self::Internet => 0,
            Self::PlannedShut => 0xffff_0000,
            Self::AcceptOwn => 0xffff_0001,
            Self::RouteFilterTranslatedV4 => 0xffff_0002,
            Self::RouteFilterV4 => 0xffff_0003,
            Self::RouteFilterTranslatedV6 => 0xffff_0004,
            Self::RouteFilterV6 => 0xffff_0005,
            Self::LlgrStale => 0xffff_0006,
            Self::NoLlgr => 0xffff_0007,
            Self::Blackhole => 0xffff_029a,
            Self::NoExport => 0xffff_ff01,
            Self::NoAdvertise => 0xffff_ff02,
            Self::NoExportSubconfed => 0xffff_ff03,
            Self::NoPeer => 0xffff_ff04,
        }
    }
}

/// The CRD gives the aggregation lengths no integer format.
fn without_format(schema: &mut Schema) {
    schema.remove("format");
}
