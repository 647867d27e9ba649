//! Which kinds are read, and what is said about all the others.
//!
//! Invariant: nothing that a person wrote is passed over in silence, and a kind that exists nowhere is answered with
//! what to write instead.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rutter_crds::schema::{self, GROUP, Kind as CustomKind, OWN_GROUP, OWN_VERSION, Version};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use super::schema::Schema;
use crate::report::Reason;

/// Our own kind.
const RESERVATION: &str = "LoadBalancerIPReservation";

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Service,
    EndpointSlice,
    Secret,
    ServiceCIDR,
    Reservation,
    Custom(CustomKind, Version),
}

/// What becomes of a document, by its apiVersion and kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lookup {
    /// It is read.
    Used(Kind),
    /// Its items are read.
    List,
    /// It is not, for this reason.
    Skipped(Reason),
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ServiceCIDR => "ServiceCIDR",
            Self::Reservation => RESERVATION,
            Self::Custom(kind, _) => match kind {
                CustomKind::CiliumBGPClusterConfig => "CiliumBGPClusterConfig",
                CustomKind::CiliumBGPPeerConfig => "CiliumBGPPeerConfig",
                CustomKind::CiliumBGPAdvertisement => "CiliumBGPAdvertisement",
                CustomKind::CiliumBGPNodeConfigOverride => "CiliumBGPNodeConfigOverride",
                CustomKind::CiliumBGPNodeConfig => "CiliumBGPNodeConfig",
                CustomKind::CiliumNode => "CiliumNode",
                CustomKind::CiliumPodIPPool => "CiliumPodIPPool",
                CustomKind::CiliumLoadBalancerIPPool => "CiliumLoadBalancerIPPool",
            },
        }
    }

    pub(crate) fn is_namespaced(self) -> bool {
        matches!(self, Self::Service | Self::EndpointSlice | Self::Secret)
    }

    /// The schema its documents are checked against.
    pub(crate) fn schema(self) -> &'static Schema {
        let found = SCHEMAS.iter().find(|(kind, _)| *kind == self);
        &found.expect("every kind that lookup returns has a schema").1
    }
}

/// What becomes of a document of this apiVersion and kind.
pub(crate) fn lookup(api_version: &str, kind: &str) -> Lookup {
    match (api_version, kind) {
        ("v1", "Node") => return Lookup::Used(Kind::Node),
        ("v1", "Service") => return Lookup::Used(Kind::Service),
        ("v1", "Secret") => return Lookup::Used(Kind::Secret),
        ("v1", "List" | "NodeList" | "ServiceList" | "SecretList") => return Lookup::List,
        ("discovery.k8s.io/v1", "EndpointSlice") => return Lookup::Used(Kind::EndpointSlice),
        ("discovery.k8s.io/v1", "EndpointSliceList") => return Lookup::List,
        ("networking.k8s.io/v1", "ServiceCIDR") => return Lookup::Used(Kind::ServiceCIDR),
        ("networking.k8s.io/v1", "ServiceCIDRList") => return Lookup::List,
        _ => {}
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if group == GROUP {
        return lookup_cilium(version, kind);
    }
    if group == OWN_GROUP {
        return lookup_own(version, kind);
    }
    let full = format!("{api_version} {kind}");
    match (group, kind) {
        ("discovery.k8s.io", "EndpointSlice") => {
            Lookup::Skipped(unknown(full, "write apiVersion: discovery.k8s.io/v1"))
        }
        ("", "Node" | "Service" | "Secret") => Lookup::Skipped(unknown(full, "write apiVersion: v1")),
        ("", "Endpoints") => Lookup::Skipped(Reason::KindNotRead {
            kind: full,
            instead: "Endpoints are deprecated; write an EndpointSlice (discovery.k8s.io/v1) with the label \
                      kubernetes.io/service-name",
        }),
        (_, kind) if looks_like_ours(kind) => {
            Lookup::Skipped(unknown(full, "Cilium's kinds have apiVersion: cilium.io/v2"))
        }
        _ => Lookup::Skipped(Reason::KindNotUsed { kind: full }),
    }
}

fn lookup_own(version: &str, kind: &str) -> Lookup {
    match (version, kind) {
        (OWN_VERSION, RESERVATION) => Lookup::Used(Kind::Reservation),
        (OWN_VERSION, "LoadBalancerIPReservationList") => Lookup::List,
        _ => Lookup::Skipped(unknown(
            format!("{OWN_GROUP}/{version} {kind}"),
            "the kind of this group is LoadBalancerIPReservation, apiVersion: rutter.dev/v1alpha1",
        )),
    }
}

fn lookup_cilium(version: &str, kind: &str) -> Lookup {
    let full = format!("{GROUP}/{version} {kind}");
    let custom = CustomKind::ALL.into_iter().find(|custom| Kind::Custom(*custom, Version::V2).name() == kind);
    if let Some(custom) = custom {
        let known = Version::ALL.into_iter().find(|candidate| candidate.as_str() == version);
        return match known.map(|version| Kind::Custom(custom, version)) {
            Some(kind) if SCHEMAS.iter().any(|(known, _)| *known == kind) => Lookup::Used(kind),
            _ if custom == CustomKind::CiliumPodIPPool => Lookup::Skipped(unknown(
                full,
                "write apiVersion: cilium.io/v2alpha1, the version that is served",
            )),
            _ => Lookup::Skipped(unknown(full, "write apiVersion: cilium.io/v2")),
        };
    }
    if kind.strip_suffix("List").is_some_and(|item| matches!(lookup_cilium(version, item), Lookup::Used(_))) {
        return Lookup::List;
    }
    match kind {
        "CiliumBGPPeeringPolicy" => Lookup::Skipped(unknown(
            full,
            "Cilium removed it in 1.19; write, all cilium.io/v2: a CiliumBGPClusterConfig (nodeSelector; each virtual \
             router as an instance with localASN and peers, peerAddress without its /32), a CiliumBGPPeerConfig \
             (timers, families) and a CiliumBGPAdvertisement (exportPodCIDR: type PodCIDR; serviceSelector: type \
             Service, addresses [LoadBalancerIP])",
        )),
        "CiliumBGPPeerPolicy" => Lookup::Skipped(unknown(
            full,
            "no Cilium has it; write a CiliumBGPClusterConfig with the localASN and the peers, and a \
             CiliumBGPPeerConfig with authSecretRef and families, all cilium.io/v2",
        )),
        "CiliumEgressGatewayPolicy" if version != "v2" => Lookup::Skipped(unknown(
            full,
            "write apiVersion: cilium.io/v2, and spec.destinationCIDRs, which it requires",
        )),
        "CiliumL2AnnouncementPolicy" => Lookup::Skipped(Reason::KindNotRead {
            kind: full,
            instead: "nothing here answers ARP or NDP yet; to announce the same addresses by BGP write a \
                      CiliumBGPAdvertisement of type Service with addresses [LoadBalancerIP, ExternalIP]",
        }),
        "CiliumEgressGatewayPolicy" => Lookup::Skipped(Reason::KindNotRead {
            kind: full,
            instead: "nothing here steers what leaves the cluster yet; leave it to the CNI that does",
        }),
        "CiliumBandwidthPolicy" => Lookup::Skipped(unknown(
            full,
            "no Cilium has it; write the annotation kubernetes.io/egress-bandwidth on the pods",
        )),
        _ if looks_like_ours(kind) => Lookup::Skipped(unknown(
            full,
            "the BGP kinds are CiliumBGPClusterConfig, CiliumBGPPeerConfig, CiliumBGPAdvertisement and \
             CiliumBGPNodeConfigOverride",
        )),
        _ => Lookup::Skipped(Reason::KindNotUsed { kind: full }),
    }
}

fn unknown(kind: String, instead: &'static str) -> Reason {
    Reason::KindUnknown { kind, instead }
}

fn looks_like_ours(kind: &str) -> bool {
    kind.starts_with("CiliumBGP")
}

static SCHEMAS: LazyLock<Vec<(Kind, Schema)>> = LazyLock::new(|| {
    let mut schemas = vec![
        (Kind::Node, built_in::<Node>()),
        (Kind::Service, built_in::<Service>()),
        (Kind::Secret, built_in::<Secret>()),
        (Kind::ServiceCIDR, built_in::<ServiceCIDR>()),
    ];
    let mut slice = built_in::<EndpointSlice>();
    // The server prints an empty list here as null.
    slice.not_required(&["endpoints"]);
    schemas.push((Kind::EndpointSlice, slice));
    let mut reservation = Schema::compile(&schema::reservation());
    reservation.set_property("metadata", built_in::<ObjectMeta>());
    schemas.push((Kind::Reservation, reservation));
    for (kind, version) in
        CustomKind::ALL.into_iter().flat_map(|kind| Version::ALL.map(|version| (kind, version)))
    {
        let Some(json) = kind.open_api_v3(version) else { continue };
        let mut schema = Schema::compile(&json);
        if kind == CustomKind::CiliumNode {
            // Our type is a subset for reading.
            schema.keep_unknown_fields();
        }
        schema.set_property("metadata", built_in::<ObjectMeta>());
        schemas.push((Kind::Custom(kind, version), schema));
    }
    schemas
});

fn built_in<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    Schema::compile(settings.into_generator().into_root_schema_for::<T>().as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_in_both_versions() {
        let custom = CustomKind::CiliumBGPPeerConfig;
        assert_eq!(
            lookup("cilium.io/v2", "CiliumBGPPeerConfig"),
            Lookup::Used(Kind::Custom(custom, Version::V2))
        );
        assert_eq!(
            lookup("cilium.io/v2alpha1", "CiliumBGPPeerConfig"),
            Lookup::Used(Kind::Custom(custom, Version::V2Alpha1))
        );
        assert_eq!(lookup("cilium.io/v2", "CiliumBGPPeerConfigList"), Lookup::List);
        assert!(matches!(
            lookup("cilium.io/v2alpha1", "CiliumNode"),
            Lookup::Skipped(Reason::KindUnknown { .. })
        ));
    }

    #[test]
    fn our_own_kind() {
        assert_eq!(
            lookup("rutter.dev/v1alpha1", "LoadBalancerIPReservation"),
            Lookup::Used(Kind::Reservation)
        );
        assert_eq!(lookup("rutter.dev/v1alpha1", "LoadBalancerIPReservationList"), Lookup::List);
        for (version, kind) in [("v1", "LoadBalancerIPReservation"), ("v1alpha1", "Reservation")] {
            let Lookup::Skipped(reason) = lookup(&format!("rutter.dev/{version}"), kind) else {
                panic!("{version} {kind} is skipped")
            };
            assert!(reason.to_string().contains("LoadBalancerIPReservation, apiVersion"), "{reason}");
        }
    }

    #[test]
    fn kinds_that_exist_nowhere_are_answered_with_what_to_write() {
        for kind in ["CiliumBGPPeerPolicy", "CiliumBGPPeeringPolicy", "CiliumBGPPolicy"] {
            let Lookup::Skipped(reason) = lookup("cilium.io/v2alpha1", kind) else {
                panic!("{kind} is skipped")
            };
            assert!(reason.to_string().contains("CiliumBGPClusterConfig"), "{reason}");
        }
    }

    #[test]
    fn every_used_kind_has_a_schema() {
        for kind in [
            Kind::Node,
            Kind::Service,
            Kind::Secret,
            Kind::EndpointSlice,
            Kind::ServiceCIDR,
            Kind::Reservation,
        ] {
            let _ = kind.schema();
        }
    }
}
