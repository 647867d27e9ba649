//! Where an instance accepts connections, and the TCP MD5 keys (RFC 2385) that must be in place before it does.
//!
//! Invariant: a neighbour with a password whose key the kernel did not take is never accepted (fail closed); a socket
//! that cannot be opened is tried again and named, and does not stop the others; a port that is not wanted any more is free
//! at once.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_core::config::{Password, SpeakerConfig};
use socket2::{SockRef, Socket};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::sockopt::{self, SocketError};

/// How long to wait before a socket is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The listening sockets of one instance.
#[derive(Debug, Default)]
pub struct Listeners {
    wanted: Vec<SocketAddr>,
    open: Vec<Listener>,
    keys: HashMap<IpAddr, Password>,
    /// Neighbours whose key is missing, and why.
    unprotected: HashMap<IpAddr, String>,
    retry_at: Option<Instant>,
    failures: Vec<ListenFailure>,
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
}

impl Listeners {
    /// Follows a new configuration: closes what is not wanted, sets keys, opens what is. Returns the sockets opened now.
    pub fn configure(
        &mut self,
        wanted: &[SocketAddr],
        speaker: &SpeakerConfig,
        now: Instant,
    ) -> Vec<Listener> {
        self.wanted = wanted.to_vec();
        for gone in self.open.extract_if(.., |listener| !wanted.contains(&listener.address)) {
            gone.shut();
        }
        let passwords: HashMap<IpAddr, Password> =
            speaker.peers.iter().filter_map(|peer| Some((peer.address, peer.password.clone()?))).collect();
        self.unprotected.clear();
        for listener in &self.open {
            for gone in self.keys.keys().filter(|address| !passwords.contains_key(address)) {
                if gone.is_ipv4() == listener.address.is_ipv4() {
                    // The neighbour stays locked out until the key is gone; that is the safe side.
                    if let Err(error) = sockopt::set_md5_key(&listener.socket, *gone, None) {
                        tracing::warn!(peer = %gone, listener = %listener.address, %error, "the old TCP MD5 key stays on the listener");
                    }
                }
            }
        }
        self.keys = passwords;
        for listener in self.open.clone() {
            self.protect(&listener.socket, listener.address);
        }
        self.open_missing(now)
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
        self.unprotected.get(&neighbour).map(String::as_str)
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
        sockopt::listen(&socket, address)?;
        let socket = into_tokio(socket, address)?;
        Ok(Listener { address, socket: Arc::new(socket) })
    }

    fn protect(&mut self, socket: &impl std::os::fd::AsFd, address: SocketAddr) {
        for (peer, password) in &self.keys {
            if peer.is_ipv4() != address.is_ipv4() {
                continue;
            }
            if let Err(error) = sockopt::set_md5_key(socket, *peer, Some(password.expose())) {
                tracing::error!(%peer, listener = %address, %error, "connections from this peer are refused");
                self.unprotected.insert(*peer, error.to_string());
            }
        }
    }
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
        assert!(listeners.configure(&[address], &speaker(None), now).is_empty());
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
        let opened = listeners.configure(&[any], &speaker(Some("secret")), now);
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
        let opened = listeners.configure(&[any], &speaker(None), now).remove(0);
        let address = opened.socket.local_addr().expect("bound");
        let waiting = tokio::spawn(async move { opened.socket.accept().await.map(drop) });
        tokio::task::yield_now().await;
        listeners.configure(&[], &speaker(None), now);
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
        assert_eq!(
            listeners.configure(&[address], &speaker(None), now).len(),
            1,
            "{:?}",
            listeners.failures()
        );
        let woken = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(woken.expect("woken").expect("no panic").is_err());
    }
}
