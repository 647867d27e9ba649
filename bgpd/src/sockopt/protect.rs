//! What a [`Protection`] asks of a socket: keys and TTLs of dialed, accepted and live connections.
//!
//! Invariant: `Ok` means that the socket has all of it. Whoever gets an error closes the socket (fail closed).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use bgp_core::config::Protection;
use ipnet::IpNet;

use super::{SocketError, ao, md5};

/// `IP_MINTTL` and `IPV6_MINHOPCOUNT` of linux/in.h and linux/in6.h.
const IP_MINTTL: libc::c_int = 21;
const IPV6_MINHOPCOUNT: libc::c_int = 73;
/// The system's own TTL.
const DEFAULT_TTL: libc::c_int = -1;

/// Protects a socket before it dials.
///
/// # Errors
/// What cannot be had: the socket must not dial.
pub fn dialing(socket: &impl AsFd, remote: SocketAddr, wanted: &Protection) -> Result<(), SocketError> {
    let neighbour = IpNet::from(remote.ip());
    if let Some(password) = &wanted.password {
        md5::set_key(socket, neighbour, Some(password.expose()))?;
    }
    if let Some(tcp_ao) = &wanted.tcp_ao {
        ao::set_keys(socket, neighbour, tcp_ao)?;
    }
    // The answer to our SYN comes with whatever TTL the peer's system has.
    set_ttls(socket, remote, &Protection { least_ttl: None, ..wanted.clone() })
}

/// Completes the protection of a connection that was dialed, before anything is read from it.
///
/// # Errors
/// What cannot be had: the connection must not be read from.
pub fn connected(socket: &impl AsFd, remote: SocketAddr, wanted: &Protection) -> Result<(), SocketError> {
    set_ttls(socket, remote, wanted)
}

/// Protects a connection that a listener accepted. Keys it has from the listener; they may have changed since.
///
/// # Errors
/// What cannot be had: the connection must not be read from.
pub fn accepted(socket: &impl AsFd, remote: SocketAddr, wanted: &Protection) -> Result<(), SocketError> {
    // TCP MD5 and TCP-AO exclude each other on a socket, also the removal of a key that is not there.
    if wanted.tcp_ao.is_none() {
        let password = wanted.password.as_ref().map(|password| password.expose());
        let result = md5::set_key(socket, IpNet::from(canonical(remote)), password);
        if password.is_some() {
            result?;
        }
    }
    set_ttls(socket, remote, wanted)
}

/// Goes from one protection to another while the connection goes on.
///
/// # Errors
/// What cannot be had: the connection must end.
pub fn live(
    socket: &impl AsFd,
    remote: SocketAddr,
    before: &Protection,
    after: &Protection,
) -> Result<(), SocketError> {
    let neighbour = IpNet::from(canonical(remote));
    if before.password != after.password {
        let password = after.password.as_ref().map(|password| password.expose());
        md5::set_key(socket, neighbour, password)?;
    }
    match (&before.tcp_ao, &after.tcp_ao) {
        (before, after) if before == after => {}
        (Some(before), Some(after)) => ao::change_keys(socket, neighbour, before, after, true)?,
        // The speaker resets such a session.
        _ => return Err(SocketError::AoUnsupported { peer: super::shown(neighbour) }),
    }
    set_ttls(socket, remote, after)
}

/// The least TTL that a listener answers to; 0 takes all. It answers with a TTL of 255, which says nothing more than that. Connections begin with what their listener has, so that nothing of
/// a far neighbour's is read before its own limit is set.
///
/// # Errors
/// [`SocketError::Option`].
pub fn listening(socket: &impl AsFd, local: SocketAddr, least: u8) -> Result<(), SocketError> {
    let (level, option) =
        if local.is_ipv4() { (libc::IPPROTO_IP, IP_MINTTL) } else { (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT) };
    if least > 0 {
        let hops = if local.is_ipv4() { libc::IP_TTL } else { libc::IPV6_UNICAST_HOPS };
        set_number(socket, level, hops, u8::MAX.into())
            .map_err(|source| SocketError::Option { what: "answer with TTL 255".to_owned(), source })?;
    }
    set_number(socket, level, option, least.into()).map_err(|source| SocketError::Option {
        what: format!("drop packets with a TTL below {least}"),
        source,
    })
}

fn set_ttls(socket: &impl AsFd, remote: SocketAddr, wanted: &Protection) -> Result<(), SocketError> {
    let ttl = wanted.ttl.map_or(DEFAULT_TTL, libc::c_int::from);
    let least = wanted.least_ttl.map_or(0, libc::c_int::from);
    let [(level, hops), (_, minimum)] = if remote.is_ipv4() {
        [(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IP, IP_MINTTL)]
    } else {
        [(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS), (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT)]
    };
    set_number(socket, level, hops, ttl).map_err(|source| SocketError::Option {
        what: match wanted.ttl {
            Some(ttl) => format!("set TTL {ttl}"),
            None => "set the system's TTL".to_owned(),
        },
        source,
    })?;
    set_number(socket, level, minimum, least).map_err(|source| SocketError::Option {
        what: format!("drop packets with a TTL below {least}"),
        source,
    })
}

fn set_number(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the borrow, and all options of this file take an int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn canonical(remote: SocketAddr) -> IpAddr {
    remote.ip().to_canonical()
}
