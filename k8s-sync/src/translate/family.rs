//! Families of a peer, and the selectors of what is advertised in each.
//!
//! Cilium's words are kept: no `families` means IPv4 and IPv6 unicast with nothing advertised; a family without
//! `advertisements` advertises nothing. Invariant: a family that carries no routes here is refused by name.

use rutter_api::intent::Family;
use rutter_crds::bgp_peer_config::{Afi, CiliumBGPFamilyWithAdverts, Safi};
use rutter_crds::{CiliumBGPPeerConfigSpec, LabelSelector};

use super::cluster_config::selector_reason;
use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};

/// A family and the selectors of what is advertised in it, each with its field.
pub(super) type FamilyAdverts<'s> = (Family, Vec<(&'s LabelSelector, String)>);

/// The families of a peer; nothing if none of them is supported.
pub(super) fn families<'s>(
    spec: &'s CiliumBGPPeerConfigSpec,
    object: &ObjectRef,
    peer: &str,
    report: &mut Report,
) -> Option<Vec<FamilyAdverts<'s>>> {
    if spec.families.is_empty() {
        report.add(Finding::on(object, "spec.families", Reason::FamiliesAbsent));
        return Some(both());
    }
    let mut families: Vec<FamilyAdverts<'s>> = Vec::new();
    for (index, entry) in spec.families.iter().enumerate() {
        let field = format!("spec.families[{index}]");
        let Some(family) = supported(entry) else {
            let (afi, safi) = (word(&entry.afi), word(&entry.safi));
            report.add(Finding::on(object, field, Reason::FamilyNotSupported { afi, safi }));
            continue;
        };
        let at = families.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            families.push((family, Vec::new()));
            families.len() - 1
        });
        match &entry.advertisements {
            Some(selector) => {
                let field = format!("{field}.advertisements");
                if let Some(problem) = selector.problem() {
                    let field = format!("{field}.matchExpressions");
                    report.add(Finding::on(object, field, selector_reason(problem)));
                }
                families[at].1.push((selector, field));
            }
            None => {
                report.add(Finding::on(object, field, Reason::AdvertisementsAbsent));
            }
        }
    }
    if families.is_empty() {
        let reason = Reason::NoSupportedFamily { peer: peer.to_owned() };
        report.add(Finding::on(object, "spec.families", reason));
        return None;
    }
    families.sort_by_key(|(family, _)| *family);
    Some(families)
}

/// The families of a peer without configuration.
pub(super) fn both<'s>() -> Vec<FamilyAdverts<'s>> {
    vec![(Family::Ipv4Unicast, Vec::new()), (Family::Ipv6Unicast, Vec::new())]
}

fn supported(entry: &CiliumBGPFamilyWithAdverts) -> Option<Family> {
    match (entry.afi, entry.safi) {
        (Afi::Ipv4, Safi::Unicast) => Some(Family::Ipv4Unicast),
        (Afi::Ipv6, Safi::Unicast) => Some(Family::Ipv6Unicast),
        _ => None,
    }
}

/// The word that the CRD has for an enumerated value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
