//! Keys of sessions, as an intent has them: TCP MD5 passwords (RFC 2385) and TCP-AO keys (RFC 5925).
//!
//! Invariant: a [`Secret`] prints as asterisks.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret that prints as asterisks and leaves the process only inside an intent sent to bgpd.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    #[must_use]
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password itself, for the socket option only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// TCP-AO (RFC 5925): every segment is signed with the first key; those signed by the peer with any of them are taken.
///
/// To change keys while sessions go on: add the new one to both ends, then move it to the first place at both ends, then
/// remove the old one from both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpAo {
    /// At least one.
    pub keys: Vec<TcpAoKey>,
}

/// One master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpAoKey {
    /// KeyID of segments we send, 0 to 255: the peer's `recvId`.
    pub send_id: u8,
    /// KeyID of segments we receive, 0 to 255: the peer's `sendId`.
    pub recv_id: u8,
    /// How segments are signed.
    pub algorithm: TcpAoAlgorithm,
    /// The key, 1 to 80 octets. Never shown.
    #[schema(value_type = String)]
    pub secret: Secret,
}

/// A message authentication code of TCP-AO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum TcpAoAlgorithm {
    /// HMAC-SHA-1-96 (RFC 5926).
    #[serde(rename = "hmac-sha-1-96")]
    HmacSha1,
    /// AES-128-CMAC-96 (RFC 5926).
    #[serde(rename = "aes-128-cmac-96")]
    AesCmac128,
    /// HMAC-SHA-256 cut to 128 bits, which Linux has, too.
    #[serde(rename = "hmac-sha-256-128")]
    HmacSha256,
}
