//! TCP-AO keys (RFC 5925): whether the kernel has it (Linux 6.7, `CONFIG_TCP_AO`), and the keys of a socket.
//!
//! Invariant: `Ok` means that the kernel has exactly these keys for these neighbours on this socket; an error names whose
//! key and which, never the key.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use bgp_core::config::{AoAlgorithm, AoKey, TcpAo};
use ipnet::IpNet;

use super::SocketError;
use super::md5::socket_address;

const TCP_AO_ADD_KEY: libc::c_int = 38;
const TCP_AO_DEL_KEY: libc::c_int = 39;
const TCP_AO_INFO: libc::c_int = 40;
/// TCP_AO_MAXKEYLEN.
const KEY_MAX: usize = 80;
/// The first bit of the bit field that all three requests begin their flags with, and the second.
const SET_CURRENT: u32 = 1;
const SET_RNEXT: u32 = 2;

/// Whether this kernel has TCP-AO, asked once.
#[must_use]
pub fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        let kind = socket2::Type::STREAM.cloexec();
        let Ok(socket) = socket2::Socket::new(socket2::Domain::IPV4, kind, None) else { return false };
        let key = AoKey {
            send_id: 1,
            recv_id: 1,
            algorithm: AoAlgorithm::HmacSha1,
            secret: bgp_core::config::Password::new("probe"),
        };
        add(&socket, IpNet::from(std::net::IpAddr::from([127, 0, 0, 1])), &key).is_ok()
    })
}

/// Gives a socket that has no keys yet all of them. The first is the one that it signs with.
///
/// # Errors
/// [`SocketError::Ao`] or [`SocketError::AoUnsupported`].
pub fn set_keys(socket: &impl AsFd, neighbours: IpNet, tcp_ao: &TcpAo) -> Result<(), SocketError> {
    tcp_ao.keys.iter().try_for_each(|key| add(socket, neighbours, key))
}

/// Goes from some keys to others. On a live connection the peer is asked to sign with the first of the new ones, and we
/// sign with it, before any is deleted. A key that has the same identifiers and another secret cannot be told from the one
/// before by the peer, so it is replaced like any other.
///
/// # Errors
/// [`SocketError::Ao`] or [`SocketError::AoUnsupported`]: the connection must not go on.
pub fn change_keys(
    socket: &impl AsFd,
    neighbours: IpNet,
    before: &TcpAo,
    after: &TcpAo,
    live: bool,
) -> Result<(), SocketError> {
    let same_ids = |one: &AoKey, other: &AoKey| one.send_id == other.send_id || one.recv_id == other.recv_id;
    // What stands in the way of a new key has to go before it can come.
    for old in before.keys.iter() {
        let in_the_way = after.keys.iter().any(|new| same_ids(old, new) && old != new);
        if in_the_way {
            delete(socket, neighbours, old, None)?;
        }
    }
    for new in after.keys.iter().filter(|new| !before.keys.contains(new)) {
        add(socket, neighbours, new)?;
    }
    let first = after.keys.first();
    if let Some(first) = first.filter(|_| live) {
        switch(socket, neighbours, first)?;
    }
    for old in before.keys.iter() {
        let gone = !after.keys.iter().any(|new| same_ids(old, new));
        if gone {
            delete(socket, neighbours, old, first.filter(|_| live))?;
        }
    }
    Ok(())
}

/// Removes keys from a listener. One that is not there is as good as removed.
///
/// # Errors
/// [`SocketError::Ao`].
pub fn remove_keys(socket: &impl AsFd, neighbours: IpNet, tcp_ao: &TcpAo) -> Result<(), SocketError> {
    tcp_ao.keys.iter().try_for_each(|key| delete(socket, neighbours, key, None))
}

fn add(socket: &impl AsFd, neighbours: IpNet, key: &AoKey) -> Result<(), SocketError> {
    let secret = key.secret.expose().as_bytes();
    let (algorithm, mac_length): (&[u8], u8) = match key.algorithm {
        AoAlgorithm::HmacSha1 => (b"hmac(sha1)", 12),
        AoAlgorithm::AesCmac128 => (b"cmac(aes128)", 12),
        AoAlgorithm::HmacSha256 => (b"hmac(sha256)", 16),
    };
    let mut request = TcpAoAdd {
        address: socket_address(neighbours),
        algorithm: [0; 64],
        interface_index: 0,
        flags: 0,
        reserved: 0,
        prefix_length: neighbours.prefix_len(),
        send_id: key.send_id,
        recv_id: key.recv_id,
        mac_length,
        key_flags: 0,
        // The configuration allows no more than the kernel takes; should it do so, this refuses.
        key_length: u8::try_from(secret.len().min(KEY_MAX + 1)).unwrap_or(u8::MAX),
        key: [0; KEY_MAX],
    };
    request.algorithm[..algorithm.len()].copy_from_slice(algorithm);
    for (to, from) in request.key.iter_mut().zip(secret) {
        *to = *from;
    }
    set(socket, TCP_AO_ADD_KEY, &request).map_err(|source| failed("set", neighbours, key, source))
}

fn delete(
    socket: &impl AsFd,
    neighbours: IpNet,
    key: &AoKey,
    instead: Option<&AoKey>,
) -> Result<(), SocketError> {
    let request = TcpAoDel {
        address: socket_address(neighbours),
        interface_index: 0,
        flags: if instead.is_some() { SET_CURRENT | SET_RNEXT } else { 0 },
        reserved: 0,
        prefix_length: neighbours.prefix_len(),
        send_id: key.send_id,
        recv_id: key.recv_id,
        current_key: instead.map_or(0, |key| key.send_id),
        rnext: instead.map_or(0, |key| key.recv_id),
        key_flags: 0,
    };
    match set(socket, TCP_AO_DEL_KEY, &request) {
        Err(source) if source.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other.map_err(|source| failed("deleted", neighbours, key, source)),
    }
}

fn switch(socket: &impl AsFd, neighbours: IpNet, to: &AoKey) -> Result<(), SocketError> {
    let request = TcpAoInfo {
        flags: SET_CURRENT | SET_RNEXT,
        reserved: 0,
        current_key: to.send_id,
        rnext: to.recv_id,
        counters: [0; 5],
    };
    set(socket, TCP_AO_INFO, &request).map_err(|source| failed("signed with", neighbours, to, source))
}

fn failed(what: &'static str, neighbours: IpNet, key: &AoKey, source: io::Error) -> SocketError {
    let peer = super::shown(neighbours);
    if source.raw_os_error() == Some(libc::ENOPROTOOPT) {
        return SocketError::AoUnsupported { peer };
    }
    SocketError::Ao { peer, send_id: key.send_id, recv_id: key.recv_id, what, source }
}

fn set<T>(socket: &impl AsFd, option: libc::c_int, request: &T) -> io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the borrow; every caller passes the structure that linux/tcp.h
    // gives for the option, whole, with the length that goes with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            std::ptr::from_ref(request).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct tcp_ao_add` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoAdd {
    address: libc::sockaddr_storage,
    algorithm: [u8; 64],
    interface_index: i32,
    flags: u32,
    reserved: u16,
    prefix_length: u8,
    send_id: u8,
    recv_id: u8,
    mac_length: u8,
    key_flags: u8,
    key_length: u8,
    key: [u8; KEY_MAX],
}

/// `struct tcp_ao_del` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoDel {
    address: libc::sockaddr_storage,
    interface_index: i32,
    flags: u32,
    reserved: u16,
    prefix_length: u8,
    send_id: u8,
    recv_id: u8,
    current_key: u8,
    rnext: u8,
    key_flags: u8,
}

/// `struct tcp_ao_info_opt` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoInfo {
    flags: u32,
    reserved: u16,
    current_key: u8,
    rnext: u8,
    counters: [u64; 5],
}

// What the kernel's compiler makes of the same structures.
const _: () = {
    assert!(size_of::<TcpAoAdd>() == 288);
    assert!(size_of::<TcpAoDel>() == 144);
    assert!(size_of::<TcpAoInfo>() == 48);
};

#[cfg(test)]
mod tests {
    use bgp_core::config::Password;

    use super::*;

    #[test]
    fn a_key_is_set_or_refused_by_name_and_never_shown() {
        let kind = socket2::Type::STREAM;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).expect("a socket");
        let key = AoKey {
            send_id: 7,
            recv_id: 8,
            algorithm: AoAlgorithm::AesCmac128,
            secret: Password::new("geheim"),
        };
        let keys = TcpAo { keys: [key].into() };
        let neighbour: IpNet = "192.0.2.1/32".parse().expect("a prefix");
        match set_keys(&socket, neighbour, &keys) {
            Ok(()) => assert!(is_supported()),
            Err(error) => {
                assert!(!is_supported(), "{error}");
                let text = error.to_string();
                assert!(text.contains("192.0.2.1") && text.contains("CONFIG_TCP_AO"), "{text}");
                assert!(!format!("{text} {error:?}").contains("geheim"), "{text}");
            }
        }
    }
}
