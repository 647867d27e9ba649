//! What both sides of a session said they can do (RFC 5492), as `show bgp neighbors` lists it.
//!
//! Invariant: a capability that neither side announced is absent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::show::ordered::Ordered;
use crate::show::table::is_false;

/// Capabilities by name. The misspelt keys are FRR's, which others read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowCapabilities)]
pub struct Capabilities {
    /// RFC 6793.
    #[serde(default, rename = "4byteAs", skip_serializing_if = "Option::is_none")]
    pub four_byte_as: Option<Exchange>,
    /// RFC 8654.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_message: Option<Exchange>,
    /// RFC 7911, by family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_path: Option<Ordered<AddPath>>,
    /// Limit of paths per prefix, by family. rutter does not announce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths_limit: Option<Ordered<PathsLimit>>,
    /// Dynamic capability. rutter does not announce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<Exchange>,
    /// RFC 8950.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_nexthop: Option<Exchange>,
    /// Families for which the peer announced RFC 8950.
    #[serde(default, rename = "extendedNexthopFamililesByPeer", skip_serializing_if = "Option::is_none")]
    pub extended_nexthop_families_by_peer: Option<Ordered<String>>,
    /// RFC 9494.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_lived_graceful_restart: Option<Exchange>,
    /// Families for which the peer announced RFC 9494.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_lived_graceful_restart_by_peer: Option<Ordered<String>>,
    /// RFC 2918.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_refresh: Option<Exchange>,
    /// RFC 7313.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced_route_refresh: Option<Exchange>,
    /// RFC 4760, by family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiprotocol_extensions: Option<Ordered<FamilyExchange>>,
    /// Host and domain names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<HostNames>,
    /// Software versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<SoftwareVersions>,
    /// RFC 4724.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<Exchange>,
    /// Restart Time the peer announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart_remote_timer_msecs: Option<u64>,
    /// Families for which the peer announced RFC 4724, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_families_by_peer: Option<RestartFamilies>,
}

/// Who announced a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowExchange)]
pub enum Exchange {
    /// We did.
    Advertised,
    /// The peer did.
    Received,
    /// Both did.
    AdvertisedAndReceived,
}

impl Exchange {
    /// Nothing if neither side announced it.
    #[must_use]
    pub fn of(advertised: bool, received: bool) -> Option<Self> {
        match (advertised, received) {
            (true, true) => Some(Self::AdvertisedAndReceived),
            (true, false) => Some(Self::Advertised),
            (false, true) => Some(Self::Received),
            (false, false) => None,
        }
    }

    /// `advertised and received`, as in the text.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Advertised => "advertised",
            Self::Received => "received",
            Self::AdvertisedAndReceived => "advertised and received",
        }
    }
}

/// The same for a family, as one true key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowFamilyExchange)]
pub struct FamilyExchange {
    /// Both did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub advertised_and_received: bool,
    /// Only we did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub advertised: bool,
    /// Only the peer did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub received: bool,
}

impl From<Exchange> for FamilyExchange {
    fn from(exchange: Exchange) -> Self {
        Self {
            advertised_and_received: exchange == Exchange::AdvertisedAndReceived,
            advertised: exchange == Exchange::Advertised,
            received: exchange == Exchange::Received,
        }
    }
}

/// Additional paths of a family, per direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowAddPath)]
pub struct AddPath {
    /// Both can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_advertised_and_received: Option<bool>,
    /// We can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_advertised: Option<bool>,
    /// The peer can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_received: Option<bool>,
    /// Both can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_advertised_and_received: Option<bool>,
    /// We can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_advertised: Option<bool>,
    /// The peer can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_received: Option<bool>,
}

/// Limit of paths of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowPathsLimit)]
pub struct PathsLimit {
    /// Both announced one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub advertised_and_received: bool,
    /// Only we did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub advertised: bool,
    /// Only the peer did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub received: bool,
    /// Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_paths_limit: Option<u16>,
    /// The peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_paths_limit: Option<u16>,
}

/// FQDN capability of both sides; an empty name is `n/a`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowHostNames)]
pub struct HostNames {
    /// Our host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adv_host_name: Option<String>,
    /// Our domain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adv_domain_name: Option<String>,
    /// The peer's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcv_host_name: Option<String>,
    /// The peer's domain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcv_domain_name: Option<String>,
}

/// Software version capability of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowSoftwareVersions)]
pub struct SoftwareVersions {
    /// Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_software_version: Option<String>,
    /// The peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_software_version: Option<String>,
}

/// Families of a graceful restart capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ShowRestartFamilies)]
pub enum RestartFamilies {
    /// The word `none`.
    None(String),
    /// By family.
    Families(Ordered<RestartFamily>),
}

/// One family of a graceful restart capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ShowRestartFamily)]
pub struct RestartFamily {
    /// The F bit: forwarding state was preserved. Present only when true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preserved: bool,
}
