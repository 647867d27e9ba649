//! What a session has negotiated, as far as it changes the reading and writing of messages.
//!
//! The two directions are apart because capabilities can differ by direction: RFC 8654 lets one side send long messages
//! to a peer that may not answer in kind, and RFC 7911 negotiates path identifiers per direction.

use crate::family::FamilySet;
use crate::message::{MAX_EXTENDED_LEN, MAX_LEN};

/// Which side of the AS border a peer is on. RFC 7606 §7 handles some attributes by it.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum PeerKind {
    /// A peer in another AS (eBGP).
    External,
    /// A peer in our own AS (iBGP).
    Internal,
}

/// How to read a peer's UPDATE messages.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct DecodeContext {
    /// On which side of the AS border the peer is.
    pub peer: PeerKind,
    /// Both sides sent the four-octet AS capability (RFC 6793): AS_PATH and AGGREGATOR carry four octets per AS.
    pub four_octet_as: bool,
    /// Families negotiated (RFC 4760 §8). NLRI of any other family is not read.
    pub families: FamilySet,
    /// IPv4 unicast NLRI may come with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// Families whose NLRI the peer precedes with a path identifier (RFC 7911).
    pub add_path: FamilySet,
}

impl DecodeContext {
    /// A peer that has both unicast families and four-octet AS numbers, and nothing else.
    #[must_use]
    pub const fn new(peer: PeerKind) -> Self {
        Self {
            peer,
            four_octet_as: true,
            families: FamilySet::ALL,
            extended_next_hop: false,
            add_path: FamilySet::EMPTY,
        }
    }
}

/// How to write UPDATE messages for a peer, or for a group of peers that negotiated the same.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct EncodeContext {
    /// The peer reads four octets per AS (RFC 6793).
    pub four_octet_as: bool,
    /// The peer reads messages of up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// The peer takes IPv4 unicast NLRI with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// Families whose NLRI the peer wants preceded by a path identifier (RFC 7911).
    pub add_path: FamilySet,
}

impl EncodeContext {
    /// A peer with four-octet AS numbers and nothing else.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            four_octet_as: true,
            extended_message: false,
            extended_next_hop: false,
            add_path: FamilySet::EMPTY,
        }
    }

    /// Longest message the peer reads, header included.
    #[must_use]
    pub const fn max_message_len(&self) -> usize {
        if self.extended_message { MAX_EXTENDED_LEN } else { MAX_LEN }
    }
}

impl Default for EncodeContext {
    fn default() -> Self {
        Self::new()
    }
}
