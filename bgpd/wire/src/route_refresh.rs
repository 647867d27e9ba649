//! ROUTE-REFRESH (RFC 2918) and its begin and end markers (RFC 7313).
//!
//! Invariant: a begin or end marker is exactly four octets long; a request may carry an outbound route filter behind
//! them (RFC 5291), which is read over.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::error::{MessageError, MessageFault};
use crate::family::Family;
use crate::message::{HEADER_LEN, MessageKind, put_header};

/// A ROUTE-REFRESH message.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct RouteRefresh {
    /// Which family is meant.
    pub family: Family,
    /// Request or marker. Without enhanced route refresh negotiated, the receiver takes any value as a request.
    pub subtype: RefreshSubtype,
}

/// The octet between AFI and SAFI (RFC 7313 §3.2).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum RefreshSubtype {
    /// Send me your Adj-RIB-Out again.
    Request,
    /// Beginning of a route refresh.
    Begin,
    /// End of a route refresh.
    End,
    /// Undefined: to be ignored where enhanced route refresh was negotiated.
    Unknown(u8),
}

impl From<u8> for RefreshSubtype {
    fn from(octet: u8) -> Self {
        match octet {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Unknown(other),
        }
    }
}

impl From<RefreshSubtype> for u8 {
    fn from(subtype: RefreshSubtype) -> Self {
        match subtype {
            RefreshSubtype::Request => 0,
            RefreshSubtype::Begin => 1,
            RefreshSubtype::End => 2,
            RefreshSubtype::Unknown(other) => other,
        }
    }
}

impl RouteRefresh {
    /// A request for all routes of `family`.
    #[must_use]
    pub const fn request(family: Family) -> Self {
        Self { family, subtype: RefreshSubtype::Request }
    }

    /// The message, header included.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + 4);
        put_header(&mut out, HEADER_LEN + 4, MessageKind::RouteRefresh);
        out.put_u16(self.family.afi);
        out.put_u8(self.subtype.into());
        out.put_u8(self.family.safi);
        out.freeze()
    }

    /// Reads the body; `frame` is the whole message, which RFC 7313 §5 wants back in the NOTIFICATION.
    pub(crate) fn decode(mut body: Cursor<'_>, frame: &[u8]) -> Result<Self, MessageError> {
        let start = body.offset();
        let wrong = |_: Truncated| {
            MessageError::with_data(start, MessageFault::RefreshLength { length: frame.len() }, frame)
        };
        let (afi, subtype, safi) =
            (body.u16().map_err(wrong)?, body.u8().map_err(wrong)?, body.u8().map_err(wrong)?);
        let message = Self { family: Family { afi, safi }, subtype: subtype.into() };
        match message.subtype {
            RefreshSubtype::Begin | RefreshSubtype::End if !body.is_empty() => Err(wrong(Truncated)),
            _ => Ok(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8]) -> Result<RouteRefresh, MessageError> {
        RouteRefresh::decode(Cursor::new(body, HEADER_LEN), body)
    }

    #[test]
    fn round_trip_of_every_subtype() {
        for octet in 0..=u8::MAX {
            let sent = RouteRefresh { family: Family::IPV6_UNICAST, subtype: octet.into() };
            assert_eq!(decode(&sent.encode()[HEADER_LEN..]), Ok(sent));
        }
    }

    #[test]
    fn marker_of_wrong_length_ends_the_session() {
        let error = decode(&[0, 1, 1, 1, 0]).unwrap_err();
        assert_eq!(error.fault.code(), (7, 1));
        assert_eq!(error.data.as_ref(), [0, 1, 1, 1, 0]);
        assert!(decode(&[0, 1, 0, 1, 1, 64, 0, 0]).is_ok(), "a request may carry an outbound route filter");
    }
}
