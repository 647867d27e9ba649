//! What protects the TCP connection of a session: TCP MD5 (RFC 2385), TCP-AO (RFC 5925), TTL security (RFC 5082).
//!
//! Invariants: a secret prints as asterisks; a [`Protection`] is whole, so a socket that took one has all that its peer's
//! configuration asks for, and one that did not take it must not be used.

use std::fmt;
use std::sync::Arc;

use super::PeerConfig;

/// A password that prints as asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

impl Password {
    /// Longest key that Linux takes for TCP MD5 and for TCP-AO.
    pub const MAX_LEN: usize = 80;

    /// Wraps a password.
    #[must_use]
    pub fn new(password: impl Into<Arc<str>>) -> Self {
        Self(password.into())
    }

    /// The password itself, for the socket option only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// The master keys of a TCP-AO session. The first is the one we sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAo {
    /// At least one, with different identifiers each.
    pub keys: Arc<[AoKey]>,
}

/// One master key tuple (RFC 5925 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKey {
    /// KeyID of segments we send: the peer's `recv_id`.
    pub send_id: u8,
    /// KeyID of segments we receive: the peer's `send_id`.
    pub recv_id: u8,
    /// How segments are signed.
    pub algorithm: AoAlgorithm,
    /// The master key.
    pub secret: Password,
}

/// A MAC of TCP-AO (RFC 5926), and what Linux has beside the two that everybody must have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    AesCmac128,
    /// HMAC-SHA-256-128.
    HmacSha256,
}

impl AoAlgorithm {
    /// As the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha-1-96",
            Self::AesCmac128 => "aes-128-cmac-96",
            Self::HmacSha256 => "hmac-sha-256-128",
        }
    }
}

/// What every socket of a session gets before a BGP message is read from it, dialed or accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// TTL of outgoing packets. Absent: the system's own.
    pub ttl: Option<u8>,
    /// Packets with less are dropped by the kernel (RFC 5082). Absent: none.
    pub least_ttl: Option<u8>,
    /// TCP MD5 password.
    pub password: Option<Password>,
    /// TCP-AO keys.
    pub tcp_ao: Option<TcpAo>,
}

impl PeerConfig {
    /// What sockets of this peer need.
    #[must_use]
    pub fn protection(&self, local_asn: u32) -> Protection {
        Protection {
            ttl: self.ttl(local_asn),
            least_ttl: self.ttl_security.map(|hops| (256 - u16::from(hops).max(1)) as u8),
            password: self.password.clone(),
            tcp_ao: self.tcp_ao.clone(),
        }
    }

    /// TTL of packets to this neighbour. `None`: the system's own, for internal peers and those that may be internal.
    #[must_use]
    pub fn ttl(&self, local_asn: u32) -> Option<u8> {
        if self.ttl_security.is_some() {
            return Some(u8::MAX);
        }
        match self.remote_asn {
            Some(remote) if remote == local_asn => None,
            Some(_) => Some(self.multihop.unwrap_or(1)),
            // With a list it is known, too, unless we are on it.
            None if !self.remote_asns.is_empty() && !self.remote_asns.contains(&local_asn) => {
                Some(self.multihop.unwrap_or(1))
            }
            None => self.multihop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_security_sends_255_and_takes_no_less_than_its_hops_away() {
        let mut peer = PeerConfig::new("p", "192.0.2.2".parse().unwrap(), Some(65002));
        assert_eq!(peer.protection(65001), Protection { ttl: Some(1), ..Protection::default() });
        for (hops, least) in [(1, 255), (2, 254), (254, 2), (255, 1)] {
            peer.ttl_security = Some(hops);
            let protection = peer.protection(65001);
            assert_eq!((protection.ttl, protection.least_ttl), (Some(255), Some(least)), "{hops} hops");
        }
    }

    #[test]
    fn secrets_print_as_asterisks() {
        let secret = Password::new("geheim");
        let key = AoKey { send_id: 1, recv_id: 2, algorithm: AoAlgorithm::HmacSha1, secret: secret.clone() };
        let protection = Protection {
            password: Some(secret),
            tcp_ao: Some(TcpAo { keys: Arc::from([key]) }),
            ..Protection::default()
        };
        let text = format!("{protection:?}");
        assert!(!text.contains("geheim") && text.contains("********"), "{text}");
    }
}
