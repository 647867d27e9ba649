//! TCP MD5 keys (RFC 2385) of one neighbour or of a whole prefix.
//!
//! Invariant: `Ok` means that the kernel drops every segment of these neighbours on this socket that the key did not sign;
//! an error names whose key it was, never the key.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use socket2::SockAddr;

use super::SocketError;

/// TCP_MD5SIG_MAXKEYLEN.
pub(super) const KEY_MAX: usize = 80;
/// TCP_MD5SIG_EXT, which takes a prefix.
const TCP_MD5SIG_EXT: libc::c_int = 32;
/// TCP_MD5SIG_FLAG_PREFIX.
const FLAG_PREFIX: u8 = 1;

/// Sets, or with `None` removes, the key for segments from and to `neighbours`. On a listener it holds for all connections
/// that they open: the kernel drops unsigned ones before we see them. On a live connection it holds from the next segment
/// on; what the peer signed with another key is dropped, and repeated by TCP until both have the same.
///
/// # Errors
/// [`SocketError::Md5TooLong`] or [`SocketError::Md5`].
pub fn set_key(socket: &impl AsFd, neighbours: IpNet, password: Option<&str>) -> Result<(), SocketError> {
    let key = password.unwrap_or_default().as_bytes();
    if key.len() > KEY_MAX {
        return Err(SocketError::Md5TooLong { length: key.len() });
    }
    let one = neighbours.prefix_len() == neighbours.max_prefix_len();
    let mut request = TcpMd5Sig {
        address: socket_address(neighbours),
        flags: if one { 0 } else { FLAG_PREFIX },
        prefix_length: if one { 0 } else { neighbours.prefix_len() },
        // At most 80, checked above.
        key_length: key.len() as u16,
        interface_index: 0,
        key: [0; KEY_MAX],
    };
    request.key[..key.len()].copy_from_slice(key);
    let option = if one { libc::TCP_MD5SIG } else { TCP_MD5SIG_EXT };
    // SAFETY: the descriptor is open for the duration of the borrow, and `request` has the layout of the kernel's
    // `struct tcp_md5sig` (linux/tcp.h), which both options take, and the length that is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            std::ptr::from_ref(&request).cast(),
            size_of::<TcpMd5Sig>() as libc::socklen_t,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    // Removing a key that is not there leaves what was asked for.
    if password.is_none() && source.raw_os_error() == Some(libc::ENOENT) {
        return Ok(());
    }
    Err(SocketError::Md5 { peer: super::shown(neighbours), source })
}

/// The first address of a prefix as the kernel takes it.
pub(super) fn socket_address(neighbours: IpNet) -> libc::sockaddr_storage {
    let address = SockAddr::from(SocketAddr::new(neighbours.network(), 0));
    // SAFETY: sockaddr_storage is plain data for which all zeroes is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    // SAFETY: `address` is a valid socket address of `address.len()` bytes, which is at most the size of
    // sockaddr_storage; the two regions are different objects.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            std::ptr::from_mut(&mut storage).cast::<u8>(),
            address.len() as usize,
        );
    }
    storage
}

/// `struct tcp_md5sig` of linux/tcp.h, which the libc crate does not have.
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface_index: libc::c_int,
    key: [u8; KEY_MAX],
}
