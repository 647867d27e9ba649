//! Routes on their way to the process that takes over: UPDATE messages, each with what the table knows beside them.
//!
//! The messages are written for a reader that can do everything (four-octet AS numbers, long messages, IPv6 next hops), not
//! for the peer: nothing is lost on the way, and the codec is the one that peers test every day.
//!
//! Invariant: [`RouteFrame::from_bytes`] of [`RouteFrame::to_bytes`] is the same frame, and octets that are no frame give an
//! error, never a panic.

use bgp_wire::{DecodeContext, EncodeContext, Family, FamilySet, PeerKind};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::PeerId;
use crate::time::Time;

/// What a frame says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteKind {
    /// The peer sent this at that time (Adj-RIB-In). `stale`: it has not sent it again since its session ended, and is
    /// expected to; `long_lived`: for so long that others are warned of it (RFC 9494).
    Received {
        /// When.
        at: Time,
        /// RFC 4724.
        stale: bool,
        /// RFC 9494.
        long_lived: bool,
    },
    /// These prefixes are our own since that time. The message withdraws them; what they are is in the configuration.
    Own {
        /// When.
        at: Time,
    },
    /// This was sent to the peer at that time (Adj-RIB-Out).
    Sent {
        /// When.
        at: Time,
    },
    /// Something was sent about the prefixes that this message withdraws, and it has to be sent again.
    Outdated,
    /// This message, in the peer's own encoding, is the next to be sent to it, ahead of everything else in this family.
    Queued(Family),
    /// End-of-RIB of this family is still to be sent to the peer.
    EndOfRibDue(Family),
    /// The end of a refresh of this family (RFC 7313) is still to be sent to the peer.
    RefreshEndDue(Family),
}

/// Some routes of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFrame {
    /// Whose.
    pub(crate) peer: PeerId,
    pub(crate) kind: RouteKind,
    /// What we call the paths in the message towards others, in their order, where that matters.
    pub(crate) numbers: Vec<u16>,
    pub(crate) message: Bytes,
}

/// Octets that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of routes is cut short or of unknown kind {0}")]
pub struct BadFrame(u8);

const RECEIVED: u8 = 1;
const OWN: u8 = 2;
const SENT: u8 = 3;
const OUTDATED: u8 = 4;
const QUEUED: u8 = 5;
const END_OF_RIB: u8 = 6;
const REFRESH_END: u8 = 7;
const STALE: u8 = 1;
const LONG_LIVED: u8 = 2;
const IPV6: u8 = 4;
/// Kind, flags, peer, time, count of numbers.
const HEAD: usize = 1 + 1 + 4 + 8 + 4;

impl RouteFrame {
    /// The frame as octets.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEAD + 2 * self.numbers.len() + self.message.len());
        let family = |family: Family| if family == Family::IPV6_UNICAST { IPV6 } else { 0 };
        let (kind, flags, at) = match self.kind {
            RouteKind::Received { at, stale, long_lived } => {
                let stale = if stale { STALE } else { 0 };
                (RECEIVED, stale | if long_lived { LONG_LIVED } else { 0 }, at)
            }
            RouteKind::Own { at } => (OWN, 0, at),
            RouteKind::Sent { at } => (SENT, 0, at),
            RouteKind::Outdated => (OUTDATED, 0, Time::ZERO),
            RouteKind::Queued(of) => (QUEUED, family(of), Time::ZERO),
            RouteKind::EndOfRibDue(of) => (END_OF_RIB, family(of), Time::ZERO),
            RouteKind::RefreshEndDue(of) => (REFRESH_END, family(of), Time::ZERO),
        };
        out.put_u8(kind);
        out.put_u8(flags);
        out.put_u32(self.peer.get());
        out.put_u64(at.as_nanos());
        out.put_u32(u32::try_from(self.numbers.len()).unwrap_or(u32::MAX));
        for number in &self.numbers {
            out.put_u16(*number);
        }
        out.put_slice(&self.message);
        out.freeze()
    }

    /// Reads what [`RouteFrame::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadFrame`].
    pub fn from_bytes(mut bytes: Bytes) -> Result<Self, BadFrame> {
        if bytes.len() < HEAD {
            return Err(BadFrame(0));
        }
        let (kind, flags) = (bytes.get_u8(), bytes.get_u8());
        let (peer, at) = (PeerId::new(bytes.get_u32()), Time::from_nanos(bytes.get_u64()));
        let count = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
        if count.saturating_mul(2) > bytes.len() {
            return Err(BadFrame(kind));
        }
        let numbers = (0..count).map(|_| bytes.get_u16()).collect();
        let family = if flags & IPV6 == 0 { Family::IPV4_UNICAST } else { Family::IPV6_UNICAST };
        let kind = match kind {
            RECEIVED => {
                let (stale, long_lived) = (flags & STALE != 0, flags & LONG_LIVED != 0);
                RouteKind::Received { at, stale, long_lived }
            }
            OWN => RouteKind::Own { at },
            SENT => RouteKind::Sent { at },
            OUTDATED => RouteKind::Outdated,
            QUEUED => RouteKind::Queued(family),
            END_OF_RIB => RouteKind::EndOfRibDue(family),
            REFRESH_END => RouteKind::RefreshEndDue(family),
            other => return Err(BadFrame(other)),
        };
        Ok(Self { peer, kind, numbers, message: bytes })
    }
}

/// How routes are written for the process that takes over.
pub(crate) const fn encode_context(add_path: FamilySet) -> EncodeContext {
    EncodeContext { four_octet_as: true, extended_message: true, extended_next_hop: true, add_path }
}

/// How they are read there.
pub(crate) const fn decode_context(peer: PeerKind, add_path: FamilySet) -> DecodeContext {
    DecodeContext { peer, four_octet_as: true, families: FamilySet::ALL, extended_next_hop: true, add_path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_frame_comes_back_as_it_was() {
        let at = Time::from_nanos(17_000_000_001);
        let kinds = [
            RouteKind::Received { at, stale: false, long_lived: true },
            RouteKind::Received { at, stale: true, long_lived: false },
            RouteKind::Own { at },
            RouteKind::Sent { at },
            RouteKind::Outdated,
            RouteKind::Queued(Family::IPV6_UNICAST),
            RouteKind::RefreshEndDue(Family::IPV6_UNICAST),
            RouteKind::EndOfRibDue(Family::IPV4_UNICAST),
        ];
        for kind in kinds {
            let message = Bytes::from_static(b"message");
            let frame = RouteFrame { peer: PeerId::new(7), kind, numbers: vec![3, 9], message };
            let bytes = frame.to_bytes();
            assert_eq!(RouteFrame::from_bytes(bytes.clone()), Ok(frame));
            for length in 0..HEAD + 4 {
                assert!(RouteFrame::from_bytes(bytes.slice(..length)).is_err(), "{length} octets");
            }
        }
        let mut unknown = vec![0; HEAD];
        unknown[0] = 99;
        assert_eq!(RouteFrame::from_bytes(unknown.into()), Err(BadFrame(99)));
    }
}
