//! Which of two connections to one peer survives (RFC 4271 §6.8, RFC 6286 §2.3).
//!
//! Both sides must decide alike without asking each other, or both connections close:
//! - when an acceptable OPEN comes in on one connection while the other is in OpenConfirm, the identifier decides;
//! - when the other is Established, it stays, whatever the identifiers: a session that carries routes is not given up for a
//!   connection that carries none. But while it is so young that the peer may still see it in OpenConfirm and decide by
//!   identifier, so do we (the RFC's option CollisionDetectEstablishedState): it is old enough when the peer sent an UPDATE on
//!   it, or after [`SETTLED`];
//! - a connection that comes up after the session became Established is closed before an OPEN is sent on it
//!   ([`crate::AcceptRefusal::AlreadyEstablished`]), so the peer never gets to apply its rule.
//!
//! Invariant: for two speakers with different (identifier, ASN) exactly one of the two names the other's connection.

use std::net::Ipv4Addr;
use std::time::Duration;

/// After this time the peer's end of a session is Established too, whether or not it said so.
pub(crate) const SETTLED: Duration = Duration::from_millis(200);

/// Who opened a connection.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// We did.
    Dialed,
    /// The peer did.
    Accepted,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Dialed, Self::Accepted];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Dialed => Self::Accepted,
            Self::Accepted => Self::Dialed,
        }
    }
}

/// What the rule compares of one speaker.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) router_id: Ipv4Addr,
    pub(crate) asn: u32,
}

/// The connection that stays: the one opened by the speaker with the higher BGP Identifier, or, if those are equal, with
/// the higher ASN.
pub(crate) fn survivor(local: Identity, remote: Identity) -> Side {
    if local > remote { Side::Dialed } else { Side::Accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: u32, asn: u32) -> Identity {
        Identity { router_id: Ipv4Addr::from(id), asn }
    }

    #[test]
    fn higher_identifier_keeps_its_own() {
        // 0x0a000009 < 0x0a000100: compared as numbers, not octet by octet as text.
        let (low, high) = (identity(0x0a00_0009, 65002), identity(0x0a00_0100, 65001));
        assert_eq!(survivor(high, low), Side::Dialed);
        assert_eq!(survivor(low, high), Side::Accepted);
    }

    #[test]
    fn equal_identifiers_are_told_apart_by_asn() {
        let (low, high) = (identity(1, 65001), identity(1, 65002));
        assert_eq!(survivor(high, low), Side::Dialed);
        assert_eq!(survivor(low, high), Side::Accepted);
    }

    #[test]
    fn two_speakers_never_keep_different_connections() {
        let speakers: Vec<_> =
            (0..4).flat_map(|id| (0..4).map(move |asn| identity((id << 24) | (3 - id), asn))).collect();
        for &a in &speakers {
            for &b in speakers.iter().filter(|b| **b != a) {
                assert_eq!(survivor(a, b), survivor(b, a).other(), "{a:?} {b:?}");
            }
        }
    }
}
