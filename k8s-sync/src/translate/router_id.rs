//! The BGP Identifier of an instance (RFC 4271 §4.2, RFC 6286): written down, or the node's IPv4 address.

use std::net::{IpAddr, Ipv4Addr};

use crate::report::Reason;
use crate::snapshot::NodeView;

/// The router ID, or why there is none.
pub(super) fn router_id(
    instance: &str,
    written: Option<&str>,
    node: Option<&NodeView<'_>>,
) -> Result<Ipv4Addr, Reason> {
    if let Some(text) = written {
        return match text.parse::<Ipv4Addr>() {
            Ok(id) if !id.is_unspecified() => Ok(id),
            _ => Err(Reason::RouterIdInvalid { instance: instance.to_owned(), value: text.to_owned() }),
        };
    }
    let address = |wanted: &str| {
        node?.addresses().find_map(|(kind, address)| match address {
            IpAddr::V4(address) if kind == wanted && !address.is_unspecified() => Some(address),
            _ => None,
        })
    };
    address("InternalIP")
        .or_else(|| address("ExternalIP"))
        .ok_or_else(|| Reason::RouterIdUnknown { instance: instance.to_owned() })
}
