//! Socket options of a BGP session: keys and TTLs ([`protect`]), device, DSCP.
//!
//! Only here and in the files below does bgpd have `unsafe`: the kernel's interfaces for MD5, TCP-AO and TCP_INFO have no
//! safe wrapper.
//!
//! Invariant: a function that returns `Ok` has set what it was asked to set; a caller that gets an error must not use
//! the socket as if it had.

#![expect(
    unsafe_code,
    reason = "TCP_MD5SIG, TCP_AO and TCP_INFO have no safe wrapper; every block carries its safety note"
)]

pub mod ao;
pub mod md5;
pub mod protect;

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use bgp_core::config::Protection;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Internetwork control (CS6), which networks keep alive under load.
const DSCP_CS6: u32 = 0xC0;
/// Waiting SYNs of all neighbours of an instance.
pub const BACKLOG: i32 = 1024;

/// What the kernel cannot be made to do for a session.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// An option could not be set.
    #[error("cannot {what}: {source}")]
    Option {
        /// What was attempted.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The configured interface does not exist here.
    #[error("interface {name} does not exist: {source}")]
    Interface {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A password longer than the kernel takes.
    #[error("the TCP MD5 password has {length} bytes; the kernel takes at most {max}", max = md5::KEY_MAX)]
    Md5TooLong {
        /// Its length.
        length: usize,
    },
    /// The key was not accepted, so the session must not be opened without it.
    #[error("the TCP MD5 key for {peer} cannot be set, so the session stays down: {source}")]
    Md5 {
        /// Whose key.
        peer: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no TCP-AO.
    #[error(
        "the TCP-AO keys for {peer} cannot be set, so the session stays down: this kernel has no TCP-AO; it takes Linux \
         6.7 or newer, built with CONFIG_TCP_AO"
    )]
    AoUnsupported {
        /// Whose keys.
        peer: String,
    },
    /// A TCP-AO key was not accepted.
    #[error(
        "the TCP-AO key {send_id}/{recv_id} for {peer} cannot be {what}, so the session stays down: {source}"
    )]
    Ao {
        /// Whose key.
        peer: String,
        /// Its KeyID for what we send.
        send_id: u8,
        /// Its KeyID for what we receive.
        recv_id: u8,
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a dialled socket needs before `connect`.
#[derive(Clone, Copy, Debug)]
pub struct DialOptions<'a> {
    /// The neighbour.
    pub remote: SocketAddr,
    /// Source address, if chosen.
    pub local: Option<IpAddr>,
    /// Device to bind to.
    pub interface: Option<&'a str>,
    /// Keys and TTLs.
    pub protection: &'a Protection,
}

/// A socket ready for a non-blocking `connect`.
///
/// # Errors
/// [`SocketError`]: nothing is dialled with less than what was asked for.
pub fn dialer(options: &DialOptions<'_>) -> Result<Socket, SocketError> {
    let socket = new_socket(options.remote)?;
    protect::dialing(&socket, options.remote, options.protection)?;
    if let Some(interface) = options.interface {
        socket.bind_device(Some(interface.as_bytes())).map_err(|source| SocketError::Option {
            what: format!("bind to interface {interface}"),
            source,
        })?;
    }
    set_session_options(&socket, options.remote)?;
    if let Some(local) = options.local {
        let scope = match options.interface {
            Some(interface) if is_link_local(local) => interface_index(interface)?,
            _ => 0,
        };
        let local = with_scope(SocketAddr::new(local, 0), scope);
        socket.bind(&SockAddr::from(local)).map_err(|source| SocketError::Option {
            what: format!("use source address {}", local.ip()),
            source,
        })?;
    }
    Ok(socket)
}

/// A socket that holds a port and does not listen yet, so that keys can be set before anybody can connect. IPv6 sockets
/// take IPv6 only, so that both families can listen on one port.
///
/// # Errors
/// [`SocketError`], most often because the port is taken or needs more rights.
pub fn bound(address: SocketAddr) -> Result<Socket, SocketError> {
    let socket = new_socket(address)?;
    let option = |what: &str| {
        let what = what.to_owned();
        move |source| SocketError::Option { what, source }
    };
    socket.set_reuse_address(true).map_err(option("set SO_REUSEADDR"))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(option("set IPV6_V6ONLY"))?;
    }
    socket.bind(&SockAddr::from(address)).map_err(option(&format!("listen on {address}")))?;
    Ok(socket)
}

/// Lets others connect to a bound socket.
///
/// # Errors
/// [`SocketError::Option`], for example if another socket listens on the port.
pub fn listen(socket: &Socket, address: SocketAddr) -> Result<(), SocketError> {
    let what = || format!("listen on {address}");
    socket.listen(BACKLOG).map_err(|source| SocketError::Option { what: what(), source })
}

/// Options that both dialled and accepted sessions get.
///
/// # Errors
/// [`SocketError::Option`].
pub fn set_session_options(socket: &impl AsFd, remote: SocketAddr) -> Result<(), SocketError> {
    let socket = SockRef::from(socket);
    socket
        .set_tcp_nodelay(true)
        .map_err(|source| SocketError::Option { what: "set TCP_NODELAY".to_owned(), source })?;
    let dscp = if remote.is_ipv4() { socket.set_tos_v4(DSCP_CS6) } else { socket.set_tclass_v6(DSCP_CS6) };
    dscp.map_err(|source| SocketError::Option { what: "mark packets as network control".to_owned(), source })
}

/// One neighbour by its address, many by their prefix.
fn shown(neighbours: IpNet) -> String {
    if neighbours.prefix_len() == neighbours.max_prefix_len() {
        neighbours.addr().to_string()
    } else {
        neighbours.to_string()
    }
}

/// What the kernel knows about a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpState {
    /// Largest segment it sends, in octets.
    pub segment_size: u32,
    /// Smoothed round-trip time, in microseconds.
    pub round_trip_micros: u32,
}

/// Asks the kernel about a connection.
///
/// # Errors
/// The system's.
pub fn tcp_state(socket: &impl AsFd) -> io::Result<TcpState> {
    // SAFETY: tcp_info is plain data for which all zeroes is a valid value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the duration of the borrow; the kernel writes at most `length` octets, which is
    // the size of `info`, and a shorter answer leaves the rest zero.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut info).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpState { segment_size: info.tcpi_snd_mss, round_trip_micros: info.tcpi_rtt })
}

/// The index of an interface, the scope of link-local addresses on it.
///
/// # Errors
/// [`SocketError::Interface`].
pub fn interface_index(name: &str) -> Result<u32, SocketError> {
    nix::net::if_::if_nametoindex(name)
        .map_err(|errno| SocketError::Interface { name: name.to_owned(), source: errno.into() })
}

/// The same address with a scope, where scopes have a meaning.
#[must_use]
pub fn with_scope(address: SocketAddr, scope: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(mut address) if is_link_local(IpAddr::V6(*address.ip())) => {
            address.set_scope_id(scope);
            SocketAddr::V6(address)
        }
        other => other,
    }
}

/// fe80::/10.
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn new_socket(address: SocketAddr) -> Result<Socket, SocketError> {
    let kind = Type::STREAM.nonblocking().cloexec();
    Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))
        .map_err(|source| SocketError::Option { what: "open a TCP socket".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use bgp_core::config::Password;

    use super::*;

    fn set_md5_key(socket: &impl AsFd, peer: IpAddr, password: Option<&str>) -> Result<(), SocketError> {
        md5::set_key(socket, IpNet::from(peer), password)
    }

    fn dial(to: SocketAddr, password: Option<&str>) -> io::Result<TcpStream> {
        let password = password.map(Password::new);
        let protection = Protection { ttl: Some(1), password, ..Protection::default() };
        let options = DialOptions { remote: to, local: None, interface: None, protection: &protection };
        let socket = dialer(&options).expect("a socket");
        socket.set_nonblocking(false)?;
        socket.connect_timeout(&SockAddr::from(to), Duration::from_millis(300))?;
        Ok(socket.into())
    }

    fn listener(address: SocketAddr) -> Result<Socket, SocketError> {
        let socket = bound(address)?;
        listen(&socket, address)?;
        Ok(socket)
    }

    #[test]
    fn a_key_set_before_listening_holds_from_the_first_connection_on() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = bound(any).expect("a port");
        let address = server.local_addr().expect("bound").as_socket().expect("an IP address");
        assert!(dial(address, None).is_err(), "nobody listens yet");
        set_md5_key(&server, IpAddr::V4(Ipv4Addr::LOCALHOST), Some("right")).expect("the kernel has TCP MD5");
        listen(&server, address).expect("listening");
        assert!(dial(address, None).is_err(), "no key must not connect");
        dial(address, Some("right")).expect("the key connects");
    }

    #[test]
    fn md5_keys_must_agree() {
        let server = listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a listener");
        let address = server.local_addr().expect("bound").as_socket().expect("an IP address");
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        set_md5_key(&server, loopback, Some("right")).expect("the kernel has TCP MD5");
        assert!(dial(address, Some("wrong")).is_err(), "a wrong key must not connect");
        assert!(dial(address, None).is_err(), "no key must not connect");
        let mut client = dial(address, Some("right")).expect("equal keys connect");
        server.set_nonblocking(false).expect("blocking");
        let (mut accepted, _) = server.accept().expect("accepted");
        let state = tcp_state(&client).expect("a TCP socket");
        assert!(state.segment_size > 500, "{state:?}");
        client.write_all(b"x").expect("sent");
        let mut byte = [0];
        accepted.read_exact(&mut byte).expect("received");
        set_md5_key(&server, loopback, None).expect("removed");
        set_md5_key(&server, loopback, None).expect("removing twice is the same");
        dial(address, None).expect("without the key again");
    }

    #[test]
    fn a_key_that_is_too_long_is_refused() {
        let server = listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a listener");
        let long = "x".repeat(81);
        let error = set_md5_key(&server, IpAddr::V4(Ipv4Addr::LOCALHOST), Some(&long)).expect_err("too long");
        assert_eq!(error.to_string(), "the TCP MD5 password has 81 bytes; the kernel takes at most 80");
    }

    #[test]
    fn both_families_listen_on_one_port() {
        let v4 = listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("IPv4");
        let port = v4.local_addr().expect("bound").as_socket().expect("an IP address").port();
        listener(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))).expect("IPv6 on the same port");
    }

    #[test]
    fn a_missing_interface_is_named() {
        let error = interface_index("no-such-if0").expect_err("no such interface");
        assert!(error.to_string().starts_with("interface no-such-if0 does not exist"), "{error}");
    }
}
