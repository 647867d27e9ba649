//! A BGP speaker made of bytes, for what no real daemon would send.
//!
//! It opens the session as a daemon does and then sends exactly the bytes a test gives it. It never retries and never
//! repairs: what the other side does about it is the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use crate::host::Host;
use crate::wait::wait_for;

const HEADER: usize = 19;
/// Message type.
pub const OPEN: u8 = 1;
/// Message type.
pub const UPDATE: u8 = 2;
/// Message type.
pub const NOTIFICATION: u8 = 3;
/// Message type.
pub const KEEPALIVE: u8 = 4;
/// Message type.
pub const ROUTE_REFRESH: u8 = 5;
const AS_TRANS: u16 = 23_456;
/// Hold time it proposes; no test lasts that long, so it owes few keepalives.
const HOLD_TIME: u16 = 180;

/// A session with nothing behind it.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Message type: 1 OPEN, 2 UPDATE, 3 NOTIFICATION, 4 KEEPALIVE, 5 ROUTE-REFRESH.
    pub kind: u8,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl RawPeer {
    /// Dials port 179 of `remote` from `host`, trying for a while because the listener may not be up yet.
    pub fn connect(host: &Host, remote: &str) -> Result<Self> {
        Self::connect_from(host, "0.0.0.0", remote)
    }

    /// Dials as [`RawPeer::connect`], from one of the host's addresses.
    pub fn connect_from(host: &Host, local: &str, remote: &str) -> Result<Self> {
        let (local, remote): (IpAddr, IpAddr) = (local.parse()?, remote.parse()?);
        let stream = wait_for(Duration::from_secs(10), &format!("a connection to {remote}"), || {
            host.enter(|| dial(SocketAddr::new(local, 0), SocketAddr::new(remote, 179)))?
        })?;
        Self::new(stream)
    }

    /// Listens on `host` at `local` and takes the first connection.
    pub fn accept(host: &Host, local: &str) -> Result<Self> {
        let local: IpAddr = local.parse()?;
        let listener = host.enter(|| TcpListener::bind(SocketAddr::new(local, 179)))??;
        listener.set_nonblocking(true)?;
        let stream = wait_for(Duration::from_secs(30), "the other side to connect", || {
            Ok(listener.accept().map(|(stream, _)| stream)?)
        })?;
        stream.set_nonblocking(false)?;
        Self::new(stream)
    }

    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Exchanges OPEN and KEEPALIVE: IPv4 and IPv6 unicast, route refresh, 4-octet ASNs. Returns the other side's OPEN.
    pub fn establish(&mut self, asn: u32, router_id: Ipv4Addr) -> Result<Frame> {
        self.establish_with(&open(asn, HOLD_TIME, router_id))
    }

    /// Exchanges this OPEN and KEEPALIVE. Returns the other side's OPEN.
    pub fn establish_with(&mut self, body: &[u8]) -> Result<Frame> {
        self.send(OPEN, body)?;
        let open = self.expect(OPEN, Duration::from_secs(10))?;
        self.send(KEEPALIVE, &[])?;
        self.expect(KEEPALIVE, Duration::from_secs(10))?;
        Ok(open)
    }

    /// Sends the OPEN of [`RawPeer::establish`] and waits for nothing.
    pub fn send_open(&mut self, asn: u32, router_id: Ipv4Addr) -> Result<()> {
        self.send(OPEN, &open(asn, HOLD_TIME, router_id))
    }

    /// Sends one message of this type with this body; header and length are right.
    pub fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let mut message = vec![0xff; 16];
        message.extend(u16::try_from(HEADER + body.len())?.to_be_bytes());
        message.push(kind);
        message.extend(body);
        self.send_bytes(&message)
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending to the other side")
    }

    /// Sends an UPDATE that withdraws these IPv4 prefixes.
    pub fn withdraw(&mut self, prefixes: &[&str]) -> Result<()> {
        let mut withdrawn = Vec::new();
        for prefix in prefixes {
            withdrawn.extend(nlri(prefix)?);
        }
        let mut body = u16::try_from(withdrawn.len())?.to_be_bytes().to_vec();
        body.extend(withdrawn);
        body.extend([0, 0]);
        self.send(UPDATE, &body)
    }

    /// Sends an UPDATE with these path attributes (see [`attribute`]) and IPv4 prefixes.
    pub fn announce(&mut self, attributes: &[Vec<u8>], prefixes: &[&str]) -> Result<()> {
        let attributes = attributes.concat();
        let mut body = vec![0, 0];
        body.extend(u16::try_from(attributes.len())?.to_be_bytes());
        body.extend(attributes);
        for prefix in prefixes {
            body.extend(nlri(prefix)?);
        }
        self.send(UPDATE, &body)
    }

    /// Waits for a message of this type; others are passed over, but an unexpected NOTIFICATION is an error.
    pub fn expect(&mut self, kind: u8, within: Duration) -> Result<Frame> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no message of type {kind} within {within:?}");
            match self.next_frame(left)? {
                Some(frame) if frame.kind == kind => return Ok(frame),
                Some(frame) if frame.kind == NOTIFICATION => {
                    bail!("waited for a message of type {kind}, got NOTIFICATION {:?}", frame.body)
                }
                Some(_) => {}
                None => bail!("waited for a message of type {kind}, the connection was closed"),
            }
        }
    }

    /// Waits for a NOTIFICATION and returns code, subcode and data.
    pub fn expect_notification(&mut self, within: Duration) -> Result<(u8, u8, Vec<u8>)> {
        match self.expect(NOTIFICATION, within)?.body.as_slice() {
            [code, subcode, data @ ..] => Ok((*code, *subcode, data.to_vec())),
            short => bail!("a NOTIFICATION of {} octets", short.len()),
        }
    }

    /// The type of the next message, if one arrives in time.
    pub fn poll(&mut self, within: Duration) -> Result<Option<u8>> {
        match self.next_frame(within) {
            Ok(Some(frame)) => Ok(Some(frame.kind)),
            Ok(None) => bail!("the other side closed the connection"),
            Err(error) if timed_out(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything that arrives until nothing has for `quiet`.
    pub fn drain(&mut self, quiet: Duration) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            match self.next_frame(quiet) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Ok(frames),
                Err(error) if timed_out(&error) => return Ok(frames),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the other side has closed or reset the connection within this time.
    pub fn closed_within(&mut self, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        loop {
            match self
                .next_frame(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
            {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(error) if timed_out(&error) => return Ok(false),
                Err(_) => return Ok(true),
            }
        }
    }

    /// The next message, or `None` once the other side has closed.
    fn next_frame(&mut self, within: Duration) -> Result<Option<Frame>> {
        self.stream.set_read_timeout(Some(within))?;
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(read) => self.received.extend_from_slice(&chunk[..read]),
                // A read with a timeout is not restarted after this process was stopped and continued.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<Frame>> {
        let Some(header) = self.received.first_chunk::<HEADER>() else { return Ok(None) };
        ensure!(header[..16] == [0xff; 16], "a message without its marker");
        let (length, kind) = (usize::from(u16::from_be_bytes([header[16], header[17]])), header[18]);
        ensure!(length >= HEADER, "a message of length {length}");
        if self.received.len() < length {
            return Ok(None);
        }
        let message: Vec<u8> = self.received.drain(..length).collect();
        Ok(Some(Frame { kind, body: message[HEADER..].to_vec() }))
    }
}

fn dial(local: SocketAddr, remote: SocketAddr) -> Result<TcpStream> {
    let family = if remote.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if !local.ip().is_unspecified() {
        bind(socket.as_raw_fd(), &SockaddrStorage::from(local))?;
    }
    connect(socket.as_raw_fd(), &SockaddrStorage::from(remote))?;
    Ok(TcpStream::from(socket))
}

fn timed_out(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// One path attribute with these flags, whatever they are; the length is right and extended if needed.
#[must_use]
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 4);
    match u8::try_from(value.len()) {
        Ok(length) => bytes.extend([flags & !0x10, code, length]),
        Err(_) => {
            bytes.extend([flags | 0x10, code]);
            bytes.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend(value);
    bytes
}

/// The body of an OPEN: IPv4 and IPv6 unicast, route refresh, 4-octet ASNs.
#[must_use]
pub fn open(asn: u32, hold_time: u16, router_id: Ipv4Addr) -> Vec<u8> {
    let mut capabilities = BASIC_CAPABILITIES.to_vec();
    capabilities.extend([65, 4]);
    capabilities.extend(asn.to_be_bytes());
    open_with(u16::try_from(asn).unwrap_or(AS_TRANS), hold_time, router_id, &capabilities)
}

/// The body of an OPEN from a speaker that knows only 2-octet ASNs.
#[must_use]
pub fn open_two_octet(asn: u16, router_id: Ipv4Addr) -> Vec<u8> {
    open_with(asn, HOLD_TIME, router_id, &BASIC_CAPABILITIES)
}

/// The body of an OPEN that takes extended messages (RFC 8654) too.
#[must_use]
pub fn open_extended(asn: u16, router_id: Ipv4Addr) -> Vec<u8> {
    let mut capabilities = BASIC_CAPABILITIES.to_vec();
    capabilities.extend([6, 0, 65, 4]);
    capabilities.extend(u32::from(asn).to_be_bytes());
    open_with(asn, HOLD_TIME, router_id, &capabilities)
}

/// The body of an OPEN that marks where a refresh begins and ends (RFC 7313) too.
#[must_use]
pub fn open_enhanced_refresh(asn: u16, router_id: Ipv4Addr) -> Vec<u8> {
    let mut capabilities = BASIC_CAPABILITIES.to_vec();
    capabilities.extend([70, 0, 65, 4]);
    capabilities.extend(u32::from(asn).to_be_bytes());
    open_with(asn, HOLD_TIME, router_id, &capabilities)
}

/// Multiprotocol IPv4 and IPv6 unicast, route refresh.
const BASIC_CAPABILITIES: [u8; 14] = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0];

fn open_with(asn: u16, hold_time: u16, router_id: Ipv4Addr, capabilities: &[u8]) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(asn.to_be_bytes());
    body.extend(hold_time.to_be_bytes());
    body.extend(router_id.octets());
    let length = u8::try_from(capabilities.len()).unwrap_or(u8::MAX - 2);
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    body
}

fn nlri(prefix: &str) -> Result<Vec<u8>> {
    let (address, length) = prefix.split_once('/').context("a prefix without a length")?;
    let length: u8 = length.parse()?;
    let octets = address.parse::<Ipv4Addr>()?.octets();
    let mut bytes = vec![length];
    bytes.extend(octets.iter().take(usize::from(length).div_ceil(8)));
    Ok(bytes)
}
