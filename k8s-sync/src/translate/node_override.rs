//! CiliumBGPNodeConfigOverride: what one node does differently.
//!
//! Invariant: only what names an instance and peer of the node takes effect, and everything that takes none is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use rutter_crds::bgp_node_config_override::CiliumBGPNodeConfigInstanceOverride;
use rutter_crds::{CiliumBGPNodeConfig, CiliumBGPNodeConfigOverrideSpec, CiliumBGPNodeConfigSpec};

use crate::object::ObjectRef;
use crate::report::{Finding, Reason, Report};
use crate::snapshot::Snapshot;

/// Applies the override of a node to its computed configuration.
pub(super) fn apply(
    overrides: &CiliumBGPNodeConfigOverrideSpec,
    node: &str,
    spec: &mut CiliumBGPNodeConfigSpec,
    report: &mut Report,
) {
    let object = ObjectRef::cluster("CiliumBGPNodeConfigOverride", node);
    for (index, change) in overrides.bgp_instances.iter().enumerate() {
        let path = format!("spec.bgpInstances[{index}]");
        let Some(instance) = spec.bgp_instances.iter_mut().find(|instance| instance.name == change.name)
        else {
            let reason = Reason::OverrideInstanceUnknown { name: change.name.clone() };
            report.add(Finding::on(&object, format!("{path}.name"), reason));
            continue;
        };
        instance.local_asn = change.local_asn.or(instance.local_asn);
        instance.router_id = change.router_id.clone().or_else(|| instance.router_id.clone());
        match change.local_port.map(|port| (port, u16::try_from(port))) {
            Some((_, Ok(port @ 1..))) => instance.local_port = Some(port),
            // The CRD has no range here, and the node configuration that would follow does.
            Some((port, _)) => {
                let reason = Reason::PortOutOfRange { port: port.into() };
                report.add(Finding::on(&object, format!("{path}.localPort"), reason));
            }
            None => {}
        }
        apply_peers(change, &object, &path, instance, report);
    }
}

fn apply_peers(
    change: &CiliumBGPNodeConfigInstanceOverride,
    object: &ObjectRef,
    path: &str,
    instance: &mut rutter_crds::bgp_node_config::CiliumBGPNodeInstance,
    report: &mut Report,
) {
    for (index, change) in change.peers.iter().enumerate() {
        let path = format!("{path}.peers[{index}]");
        if change.local_port.is_some() {
            let why = "the source port of a session is always the kernel's choice; remove it";
            report.add(Finding::on(object, format!("{path}.localPort"), Reason::FieldIgnored { why }));
        }
        match instance.peers.iter_mut().find(|peer| peer.name == change.name) {
            Some(peer) => {
                peer.local_address = change.local_address.clone().or_else(|| peer.local_address.clone())
            }
            None => {
                let reason = Reason::OverridePeerUnknown { name: change.name.clone() };
                report.add(Finding::on(object, format!("{path}.name"), reason));
            }
        }
    }
}

/// Overrides for nodes without a computed configuration.
pub(super) fn report_unused(
    snapshot: &Snapshot,
    node_configs: &BTreeMap<String, Arc<CiliumBGPNodeConfig>>,
    report: &mut Report,
) {
    for node in snapshot.overrides.keys().filter(|node| !node_configs.contains_key(*node)) {
        let object = ObjectRef::cluster("CiliumBGPNodeConfigOverride", node);
        report.add(Finding::on(&object, "metadata.name", Reason::OverrideUnused));
    }
}
