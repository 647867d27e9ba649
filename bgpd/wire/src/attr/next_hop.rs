//! NEXT_HOP (RFC 4271 §5.1.3) and the next hops of MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3, RFC 8950).
//!
//! Invariant: a decoded [`NextHop`] is a host address. Whether it is reachable, or our own, is the speaker's question.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::PathAttributes;
use super::row::{AttributeReader, AttributeWriter, Verdict};
use crate::context::EncodeContext;
use crate::error::AttributeFault;

/// Where to send traffic for a route.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6 {
        /// The global address. Peers without one send `::` or repeat the link-local one.
        global: Ipv6Addr,
        /// The link-local address that goes with it on a shared link (RFC 2545 §3).
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address to resolve: the global one if there is one.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        match *self {
            Self::V4(address) => IpAddr::V4(address),
            Self::V6 { global, link_local: Some(link_local) } if global.is_unspecified() => {
                IpAddr::V6(link_local)
            }
            Self::V6 { global, .. } => IpAddr::V6(global),
        }
    }

    /// The link-local IPv6 address, in either place a peer may put it.
    #[must_use]
    pub const fn link_local(&self) -> Option<Ipv6Addr> {
        match *self {
            Self::V6 { link_local: Some(link_local), .. } => Some(link_local),
            Self::V6 { global, link_local: None } if global.is_unicast_link_local() => Some(global),
            _ => None,
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(global) => Self::V6 { global, link_local: None },
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V6 { global, link_local: Some(link_local) } => write!(f, "{global} {link_local}"),
            _ => self.address().fmt(f),
        }
    }
}

/// The address is judged later, if the message has an NLRI field it is for.
pub(super) fn decode(reader: &mut AttributeReader<'_, '_>) -> Verdict {
    let offset = reader.value.offset();
    reader.carried.next_hop = Some((reader.exactly::<4>("4")?.into(), offset));
    Ok(())
}

/// The next hop depends on the session as much as on the route, so it is not part of the attribute block that peers
/// share; [`crate::UpdateWriter`] puts it in.
pub(super) const fn encode(_: &PathAttributes, _: &EncodeContext, _: &mut AttributeWriter<'_>) {}

pub(super) fn show(attributes: &PathAttributes) -> Option<String> {
    attributes.next_hop.map(|next_hop| next_hop.to_string())
}

/// An IPv4 next hop, if the address can be a host's (RFC 4271 §6.3, RFC 1122 §3.2.1.3).
pub(crate) fn host_v4(address: Ipv4Addr) -> Result<NextHop, AttributeFault> {
    match address.octets() {
        [0 | 127 | 224..=255, ..] => Err(AttributeFault::NotAHost(address.into())),
        _ => Ok(NextHop::V4(address)),
    }
}

/// An IPv6 next hop, if the address can be a host's.
pub(super) fn host_v6(global: Ipv6Addr, second: Option<Ipv6Addr>) -> Result<NextHop, AttributeFault> {
    // Some peers without a global address send `::` before the link-local one, some the link-local one twice.
    let link_local = second.filter(Ipv6Addr::is_unicast_link_local);
    let usable = match global.to_ipv4_mapped() {
        Some(mapped) => host_v4(mapped).is_ok(),
        None => {
            !global.is_multicast()
                && !global.is_loopback()
                && (!global.is_unspecified() || link_local.is_some())
        }
    };
    if usable { Ok(NextHop::V6 { global, link_local }) } else { Err(AttributeFault::NotAHost(global.into())) }
}

#[cfg(test)]
pub(super) fn arbitrary(base: super::row::Base) -> super::row::Base {
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_others() {
        for text in ["192.0.2.1", "10.0.0.0", "100.64.0.255", "223.255.255.255"] {
            assert!(host_v4(text.parse().unwrap()).is_ok(), "{text}");
        }
        for text in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255"] {
            assert!(host_v4(text.parse().unwrap()).is_err(), "{text}");
        }
        for text in ["2001:db8::1", "fe80::1", "::ffff:192.0.2.1", "fd00::1"] {
            assert!(host_v6(text.parse().unwrap(), None).is_ok(), "{text}");
        }
        for text in ["::", "::1", "ff02::1", "::ffff:127.0.0.1"] {
            assert!(host_v6(text.parse().unwrap(), None).is_err(), "{text}");
        }
    }

    #[test]
    fn link_local_in_either_place() {
        let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
        let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let both = host_v6(global, Some(link_local)).unwrap();
        assert_eq!((both.address(), both.link_local()), (global.into(), Some(link_local)));
        let alone = host_v6(Ipv6Addr::UNSPECIFIED, Some(link_local)).unwrap();
        assert_eq!((alone.address(), alone.link_local()), (link_local.into(), Some(link_local)));
        let first = host_v6(link_local, None).unwrap();
        assert_eq!(first.link_local(), Some(link_local));
        let two_globals = host_v6(global, Some(global)).unwrap();
        assert_eq!(two_globals.link_local(), None, "the second address has to be link-local");
    }
}
