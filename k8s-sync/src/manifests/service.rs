//! What an API server checks of a Service, and no schema says.
//!
//! Invariant: a Service that one would refuse for its type or its addresses is not taken from a file without a word.

use std::net::IpAddr;

use super::document::items;
use super::schema::Remark;
use super::yaml::Node;
use crate::object::service::ServiceType;
use crate::report::Reason;

pub(super) fn remarks(service: &Node) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = type_(service).into_iter().collect();
    let ingress = service.field("status").and_then(|status| status.field("loadBalancer")?.field("ingress"));
    for (index, entry) in items(ingress).iter().enumerate() {
        let Some(ip) = entry.field("ip") else { continue };
        let value = ip.as_str().unwrap_or_default();
        if value.parse::<IpAddr>().is_err() {
            let path = format!("status.loadBalancer.ingress[{index}].ip");
            let reason = Reason::ServiceAddressInvalid { value: value.to_owned() };
            remarks.push(Remark { path, line: ip.line, reason });
        }
    }
    remarks
}

fn type_(service: &Node) -> Option<Remark> {
    let type_ = service.field("spec")?.field("type")?;
    let value = type_.as_str()?;
    (ServiceType::from(value) == ServiceType::Unknown).then(|| Remark {
        path: "spec.type".to_owned(),
        line: type_.line,
        reason: Reason::NotAllowed {
            value: format!("{value:?}"),
            allowed: "ClusterIP, NodePort, LoadBalancer, ExternalName".to_owned(),
        },
    })
}
