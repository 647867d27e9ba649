//! Where an instance accepts connections, and the keys (RFC 2385, RFC 5925) that must be in place before it does.
//!
//! Invariant: a neighbour with a key that the kernel did not take is never accepted (fail closed), nor is a connection that
//! came in before its neighbour had one; a socket that cannot be opened is tried again and named, and does not stop the
//! others; a port that is not wanted any more is free at once.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bgp_core::config::{Password, PeerConfig, SpeakerConfig, TcpAo};
use ipnet::IpNet;
use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::sockopt::{self, SocketError, ao, md5};

/// How long to wait before a socket is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The listening sockets of one instance.
#[derive(Debug, Default)]
pub struct Listeners {
    wanted: Vec<SocketAddr>,
    open: Vec<Listener>,
    keys: BTreeMap<IpNet, Key>,
    /// Below this, nobody of the family is near enough (RFC 5082): IPv4, IPv6.
    least_ttl: [u8; 2],
    /// Neighbours whose key is missing, and why.
    unprotected: HashMap<IpNet, String>,
    retry_at: Option<Instant>,
    failures: Vec<ListenFailure>,
}

/// How connections of some neighbours are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Md5(Password),
    Ao(TcpAo),
}

impl Key {
    fn of(peer: &PeerConfig) -> Option<Self> {
        let ao = peer.tcp_ao.clone().map(Self::Ao);
        ao.or_else(|| peer.password.clone().map(Self::Md5))
    }

    fn set(&self, socket: &impl AsFd, neighbours: IpNet) -> Result<(), SocketError> {
        match self {
            Self::Md5(password) => md5::set_key(socket, neighbours, Some(password.expose())),
            Self::Ao(keys) => ao::set_keys(socket, neighbours, keys),
        }
    }

    fn remove(&self, socket: &impl AsFd, neighbours: IpNet) -> Result<(), SocketError> {
        match self {
            Self::Md5(_) => md5::set_key(socket, neighbours, None),
            Self::Ao(keys) => ao::remove_keys(socket, neighbours, keys),
        }
    }

    /// Makes a listener that has `before` have this one.
    fn replace(&self, socket: &impl AsFd, neighbours: IpNet, before: &Self) -> Result<(), SocketError> {
        match (before, self) {
            (before, now) if before == now => Ok(()),
            (Self::Md5(_), Self::Md5(password)) => md5::set_key(socket, neighbours, Some(password.expose())),
            (Self::Ao(before), Self::Ao(now)) => ao::change_keys(socket, neighbours, before, now, false),
            (before, now) => {
                before.remove(socket, neighbours)?;
                now.set(socket, neighbours)
            }
        }
    }
}

/// What a new configuration did to the listening sockets.
#[derive(Debug, Default)]
pub struct Reconfigured {
    /// Sockets opened now.
    pub opened: Vec<Listener>,
    /// Connections that waited on open sockets while keys were added: they have to be admitted or refused now.
    pub waiting: Vec<(TcpStream, SocketAddr)>,
    /// Neighbours that must sign from now on and did not have to before.
    newly_signed: Vec<IpNet>,
}

impl Reconfigured {
    /// Whether a connection that waited was opened by a neighbour that did not have to sign then and has to now.
    #[must_use]
    pub fn is_unsigned(&self, neighbour: IpAddr) -> bool {
        let neighbour = neighbour.to_canonical();
        self.newly_signed.iter().any(|net| net.contains(&neighbour))
    }
}

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket.
    pub socket: Arc<TcpListener>,
}

/// A socket that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenFailure {
    /// Where it should have listened.
    pub address: SocketAddr,
    /// Why not.
    pub reason: String,
}

impl Listener {
    /// Gives the port back now. Whoever waits for a connection still holds the socket; shutting it down makes the kernel
    /// refuse connections and wakes the waiter.
    fn shut(&self) {
        if let Err(error) = SockRef::from(&*self.socket).shutdown(Shutdown::Both) {
            tracing::warn!(listener = %self.address, %error, "the port stays taken until somebody connects");
        }
    }

    fn holds(&self, neighbours: IpNet) -> bool {
        neighbours.addr().is_ipv4() == self.address.is_ipv4()
    }

    /// Takes every connection that the kernel has accepted so far. A key holds for what comes in after it was set: what
    /// waited before is told apart by being here.
    fn drain(&self, into: &mut Vec<(TcpStream, SocketAddr)>) {
        let socket = SockRef::from(&*self.socket);
        // The queue is bounded by the kernel; so many at once are looked at and no more.
        for _ in 0..sockopt::BACKLOG {
            let Ok((stream, remote)) = socket.accept() else { return };
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream.into()));
            if let (Ok(stream), Some(remote)) = (stream, remote.as_socket()) {
                into.push((stream, remote));
            }
        }
    }
}

impl Listeners {
    /// Follows a new configuration: closes what is not wanted, sets keys, opens what is.
    pub fn configure(
        &mut self,
        wanted: &[SocketAddr],
        speaker: &SpeakerConfig,
        now: Instant,
    ) -> Reconfigured {
        self.wanted = wanted.to_vec();
        for gone in self.open.extract_if(.., |listener| !wanted.contains(&listener.address)) {
            gone.shut();
        }
        let before = std::mem::replace(&mut self.keys, keys(speaker));
        self.least_ttl = [true, false].map(|v4| least_ttl(speaker, v4));
        for listener in &self.open {
            self.limit(&listener.socket, listener.address);
        }
        let locked_out = std::mem::take(&mut self.unprotected);
        for listener in self.open.clone() {
            self.change_keys(&listener, &before, &locked_out);
        }
        let newly_signed: Vec<IpNet> =
            self.keys.keys().filter(|net| !before.contains_key(*net)).copied().collect();
        let mut waiting = Vec::new();
        if !newly_signed.is_empty() {
            self.open.iter().for_each(|listener| listener.drain(&mut waiting));
        }
        Reconfigured { opened: self.open_missing(now), waiting, newly_signed }
    }

    fn change_keys(
        &mut self,
        listener: &Listener,
        before: &BTreeMap<IpNet, Key>,
        locked_out: &HashMap<IpNet, String>,
    ) {
        let socket = &listener.socket;
        for (net, key) in before.iter().filter(|(net, _)| listener.holds(**net)) {
            if !self.keys.contains_key(net)
                // The neighbour stays locked out until the key is gone; that is the safe side.
                && let Err(error) = key.remove(socket, *net)
            {
                tracing::warn!(peer = %net, listener = %listener.address, %error, "the old key stays on the listener");
            }
        }
        for (net, key) in self.keys.iter().filter(|(net, _)| listener.holds(**net)) {
            let result = match before.get(net) {
                Some(old) if !locked_out.contains_key(net) => key.replace(socket, *net, old),
                _ => key.set(socket, *net),
            };
            if let Err(error) = result {
                tracing::error!(peer = %net, listener = %listener.address, %error, "connections from this peer are refused");
                self.unprotected.insert(*net, error.to_string());
            }
        }
    }

    /// The sockets of another process, which have their keys. `locked_out` are neighbours whose keys they do not have.
    pub fn take_over(
        wanted: &[SocketAddr],
        speaker: &SpeakerConfig,
        sockets: BTreeMap<SocketAddr, TcpListener>,
        locked_out: Vec<(IpNet, String)>,
        now: Instant,
    ) -> Self {
        let sockets = sockets.into_iter();
        let open = sockets.map(|(address, socket)| Listener { address, socket: Arc::new(socket) }).collect();
        Self {
            wanted: wanted.to_vec(),
            open,
            keys: keys(speaker),
            least_ttl: [true, false].map(|v4| least_ttl(speaker, v4)),
            unprotected: locked_out.into_iter().collect(),
            // What it had not could be opened is tried again.
            retry_at: Some(now),
            failures: Vec::new(),
        }
    }

    /// The open sockets, for another process.
    pub fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        self.open.iter().map(|listener| (listener.address, &*listener.socket))
    }

    /// The open sockets.
    #[must_use]
    pub fn all(&self) -> Vec<Listener> {
        self.open.clone()
    }

    /// Neighbours from which nothing is accepted because their key could not be set, and why.
    #[must_use]
    pub fn all_locked_out(&self) -> Vec<(IpNet, String)> {
        self.unprotected.iter().map(|(net, why)| (*net, why.clone())).collect()
    }

    /// Tries sockets that could not be opened before. Returns those that could now.
    pub fn retry(&mut self, now: Instant) -> Vec<Listener> {
        if self.retry_at.is_some_and(|at| at <= now) { self.open_missing(now) } else { Vec::new() }
    }

    /// When to call [`Listeners::retry`].
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Why connections from this neighbour must not be accepted, if that is so.
    #[must_use]
    pub fn locked_out(&self, neighbour: IpAddr) -> Option<&str> {
        let neighbour = neighbour.to_canonical();
        let (_, why) = self.unprotected.iter().find(|(net, _)| net.contains(&neighbour))?;
        Some(why)
    }

    /// Sockets that are wanted and not open.
    #[must_use]
    pub fn failures(&self) -> &[ListenFailure] {
        &self.failures
    }

    /// Whether this socket is still wanted.
    #[must_use]
    pub fn is_open(&self, listener: &Listener) -> bool {
        self.open.iter().any(|open| Arc::ptr_eq(&open.socket, &listener.socket))
    }

    /// Closes all.
    pub fn close(&mut self) {
        self.open.iter().for_each(Listener::shut);
        *self = Self::default();
    }

    fn open_missing(&mut self, now: Instant) -> Vec<Listener> {
        let missing: Vec<SocketAddr> = self
            .wanted
            .iter()
            .filter(|address| !self.open.iter().any(|listener| listener.address == **address))
            .copied()
            .collect();
        let before = std::mem::take(&mut self.failures);
        let mut opened = Vec::new();
        for address in missing {
            match self.open(address) {
                Ok(listener) => {
                    tracing::info!(listener = %address, "listening");
                    self.open.push(listener.clone());
                    opened.push(listener);
                }
                Err(error) => {
                    let failure = ListenFailure { address, reason: error.to_string() };
                    if !before.contains(&failure) {
                        tracing::error!(listener = %address, %error, "not listening, trying again every {} s", RETRY.as_secs());
                    }
                    self.failures.push(failure);
                }
            }
        }
        self.retry_at = (!self.failures.is_empty()).then(|| now + RETRY);
        opened
    }

    fn open(&mut self, address: SocketAddr) -> Result<Listener, SocketError> {
        let socket = sockopt::bound(address)?;
        // Before the first connection can come in: what the kernel accepted without a key stays without one.
        self.protect(&socket, address);
        self.limit(&socket, address);
        sockopt::listen(&socket, address)?;
        let socket = into_tokio(socket, address)?;
        Ok(Listener { address, socket: Arc::new(socket) })
    }

    /// Each connection gets its own limit when it is admitted; this one only keeps early octets out.
    fn limit(&self, socket: &impl AsFd, address: SocketAddr) {
        let [v4, v6] = self.least_ttl;
        let least = if address.is_ipv4() { v4 } else { v6 };
        if let Err(error) = sockopt::protect::listening(socket, address, least) {
            tracing::warn!(listener = %address, %error, "far packets are kept out only after a connection is accepted");
        }
    }

    fn protect(&mut self, socket: &impl AsFd, address: SocketAddr) {
        for (net, key) in self.keys.iter().filter(|(net, _)| net.addr().is_ipv4() == address.is_ipv4()) {
            if let Err(error) = key.set(socket, *net) {
                tracing::error!(peer = %net, listener = %address, %error, "connections from this peer are refused");
                self.unprotected.insert(*net, error.to_string());
            }
        }
    }
}

/// The least TTL that any neighbour of a family may have; 0 if one of them may have any.
fn least_ttl(speaker: &SpeakerConfig, v4: bool) -> u8 {
    let fixed = speaker.peers.iter().filter(|peer| peer.address.is_ipv4() == v4);
    let here = |net: &IpNet| net.addr().is_ipv4() == v4;
    let ranges = speaker.dynamic.iter().filter(|group| group.ranges.iter().any(here));
    let all = fixed.chain(ranges.map(|group| &group.template));
    let least = |peer: &PeerConfig| peer.protection(speaker.local_asn).least_ttl.unwrap_or(0);
    all.map(least).min().unwrap_or(0)
}

/// The key of each neighbour, and of each range of neighbours, that has one.
fn keys(speaker: &SpeakerConfig) -> BTreeMap<IpNet, Key> {
    let fixed = speaker.peers.iter().map(|peer| (IpNet::from(peer.address), peer));
    let ranges =
        speaker.dynamic.iter().flat_map(|group| group.ranges.iter().map(|range| (*range, &group.template)));
    fixed.chain(ranges).filter_map(|(net, peer)| Some((net, Key::of(peer)?))).collect()
}

fn into_tokio(socket: Socket, address: SocketAddr) -> Result<TcpListener, SocketError> {
    TcpListener::from_std(socket.into())
        .map_err(|source| SocketError::Option { what: format!("wait for connections on {address}"), source })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bgp_core::config::{PeerConfig, SpeakerSettings};

    use super::*;

    fn speaker(password: Option<&str>) -> SpeakerConfig {
        let mut settings = SpeakerSettings::new("m", 65001, Ipv4Addr::new(10, 0, 0, 1));
        let mut peer = PeerConfig::new("p", IpAddr::V4(Ipv4Addr::LOCALHOST), Some(65002));
        peer.password = password.map(Password::new);
        settings.peers.push(peer);
        SpeakerConfig::new(settings).expect("valid")
    }

    #[tokio::test]
    async fn a_taken_port_is_tried_again() {
        let first = sockopt::bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = first.local_addr().expect("bound").as_socket().expect("an IP address");
        sockopt::listen(&first, address).expect("a listener");
        let mut listeners = Listeners::default();
        let now = Instant::now();
        assert!(listeners.configure(&[address], &speaker(None), now).opened.is_empty());
        assert!(listeners.failures()[0].reason.contains("listen on"), "{:?}", listeners.failures());
        assert!(listeners.retry(now).is_empty(), "not before its time");
        drop(first);
        assert_eq!(listeners.retry(now + RETRY).len(), 1);
        assert_eq!(listeners.retry_at(), None);
    }

    #[tokio::test]
    async fn what_is_not_wanted_is_closed() {
        let mut listeners = Listeners::default();
        let now = Instant::now();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opened = listeners.configure(&[any], &speaker(Some("secret")), now).opened;
        assert_eq!(opened.len(), 1);
        assert!(listeners.locked_out(IpAddr::V4(Ipv4Addr::LOCALHOST)).is_none());
        assert!(listeners.is_open(&opened[0]));
        listeners.configure(&[], &speaker(None), now);
        assert!(!listeners.is_open(&opened[0]));
    }

    #[tokio::test]
    async fn a_port_given_up_is_free_although_somebody_waits_for_a_connection() {
        let mut listeners = Listeners::default();
        let now = Instant::now();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opened = listeners.configure(&[any], &speaker(None), now).opened.remove(0);
        let address = opened.socket.local_addr().expect("bound");
        let waiting = tokio::spawn(async move { opened.socket.accept().await.map(drop) });
        tokio::task::yield_now().await;
        listeners.configure(&[], &speaker(None), now);
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
        assert_eq!(
            listeners.configure(&[address], &speaker(None), now).opened.len(),
            1,
            "{:?}",
            listeners.failures()
        );
        let woken = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(woken.expect("woken").expect("no panic").is_err());
    }

    #[tokio::test]
    async fn what_came_in_before_a_key_is_told_from_what_comes_after() {
        let mut listeners = Listeners::default();
        let now = Instant::now();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opened = listeners.configure(&[any], &speaker(None), now).opened.remove(0);
        let address = opened.socket.local_addr().expect("bound");
        // Accepted by the kernel and not yet by us.
        let _unsigned = std::net::TcpStream::connect(address).expect("nobody asks for a key yet");
        let changed = listeners.configure(&[any], &speaker(Some("secret")), now);
        assert_eq!(changed.waiting.len(), 1, "it is not left for later, when it would look like any other");
        assert!(changed.is_unsigned(changed.waiting[0].1.ip()));
        let again = listeners.configure(&[any], &speaker(Some("other")), now);
        assert!(again.waiting.is_empty() && !again.is_unsigned(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
