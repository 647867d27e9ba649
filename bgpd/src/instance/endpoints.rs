//! Which of our addresses a next hop to ourselves may name (RFC 4271 §5.1.3, RFC 2545 §3): the other addresses of the
//! interface that a session's local end is on.
//!
//! Invariant: the local end itself always stands for its own family; other addresses only add to it.

use std::net::{IpAddr, SocketAddr};

use bgp_core::Endpoints;
use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{SockaddrLike as _, SockaddrStorage};

use crate::sockopt::is_link_local;

/// One address of one interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InterfaceAddress {
    interface: String,
    network: IpNet,
}

/// The ends of a connection with what the interfaces say now. If they cannot be listed, only the ends themselves.
#[must_use]
pub(super) fn endpoints(local: SocketAddr, remote: SocketAddr) -> Endpoints {
    let addresses = getifaddrs().map(|all| all.filter_map(|one| convert(&one)).collect()).unwrap_or_default();
    choose(local, remote, addresses)
}

/// The name of the interface that is the scope of a link-local remote end.
#[must_use]
pub(super) fn scope_name(remote: SocketAddr) -> Option<String> {
    match remote {
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            nix::net::if_::if_indextoname(address.scope_id()).ok()?.into_string().ok()
        }
        _ => None,
    }
}

fn choose(local: SocketAddr, remote: SocketAddr, addresses: Vec<InterfaceAddress>) -> Endpoints {
    let mut endpoints = Endpoints::new(local, remote);
    let scope = scope_name(local);
    let Some(interface) = addresses
        .iter()
        .find(|one| {
            one.network.addr() == local.ip() && scope.as_ref().is_none_or(|scope| *scope == one.interface)
        })
        .map(|one| one.interface.clone())
    else {
        return endpoints;
    };
    let on_link = |one: &InterfaceAddress| one.network.contains(&remote.ip());
    let here: Vec<_> = addresses.into_iter().filter(|one| one.interface == interface).collect();
    let shares_link = is_link_local(remote.ip()) || here.iter().any(on_link);
    for one in here {
        match one.network.addr() {
            address if address.is_loopback() => {}
            IpAddr::V4(v4) => endpoints.local_v4 = endpoints.local_v4.or(Some(v4)),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                if shares_link {
                    endpoints.link_local = endpoints.link_local.or(Some(v6));
                }
            }
            IpAddr::V6(v6) => endpoints.local_v6 = endpoints.local_v6.or(Some(v6)),
        }
    }
    endpoints
}

fn convert(one: &nix::ifaddrs::InterfaceAddress) -> Option<InterfaceAddress> {
    let address = ip(one.address.as_ref()?)?;
    let length = one.netmask.as_ref().and_then(ip).and_then(prefix_length).unwrap_or(match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    });
    Some(InterfaceAddress {
        interface: one.interface_name.clone(),
        network: IpNet::new(address, length).ok()?,
    })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => Some(IpAddr::V4(address.as_sockaddr_in()?.ip())),
        nix::sys::socket::AddressFamily::Inet6 => Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())),
        _ => None,
    }
}

fn prefix_length(mask: IpAddr) -> Option<u8> {
    ipnet::ip_mask_to_prefix(mask).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<InterfaceAddress> {
        [
            ("lo", "127.0.0.1/8"),
            ("lo", "::1/128"),
            ("eth0", "192.0.2.10/24"),
            ("eth0", "2001:db8::10/64"),
            ("eth0", "fe80::10/64"),
            ("eth1", "198.51.100.10/24"),
        ]
        .map(|(interface, network)| InterfaceAddress {
            interface: interface.to_owned(),
            network: network.parse().expect("a network"),
        })
        .to_vec()
    }

    fn ends(local: &str, remote: &str) -> Endpoints {
        choose(local.parse().expect("an address"), remote.parse().expect("an address"), machine())
    }

    #[test]
    fn a_neighbour_on_the_link_gets_all_addresses() {
        let ends = ends("192.0.2.10:179", "192.0.2.1:40000");
        assert_eq!(ends.local_v4, "192.0.2.10".parse().ok());
        assert_eq!(ends.local_v6, "2001:db8::10".parse().ok());
        assert_eq!(ends.link_local, "fe80::10".parse().ok());
    }

    #[test]
    fn a_neighbour_behind_a_router_gets_no_link_local() {
        assert_eq!(ends("192.0.2.10:179", "203.0.113.1:40000").link_local, None);
    }

    #[test]
    fn loopback_names_only_itself() {
        let ends = ends("127.0.0.1:179", "127.0.0.2:40000");
        assert_eq!((ends.local_v4, ends.local_v6), ("127.0.0.1".parse().ok(), None));
    }

    #[test]
    fn another_interface_is_not_asked() {
        assert_eq!(ends("198.51.100.10:179", "198.51.100.1:40000").local_v6, None);
    }
}
