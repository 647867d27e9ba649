//! OPEN (RFC 4271 §4.2, §6.2), its optional parameters (RFC 5492 §4) and their extended form (RFC 9072).
//!
//! Invariant: a decoded [`Open`] has an AS number a peer can have, a Hold Time that can be kept and a BGP Identifier other
//! than 0.0.0.0. Whether they are the ones expected of this peer is the session's question.

use std::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::attr::as_path::{AS_TRANS, two_octet};
use crate::capability::Capability;
use crate::cursor::{Cursor, Truncated};
use crate::error::{EncodeError, MessageError, MessageFault};
use crate::family::FamilySet;
use crate::message::{HEADER_LEN, MAX_LEN, MessageKind, put_header};

/// An OPEN message.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Open {
    /// The sender's AS number: the one in the four-octet AS capability if there is one, else My Autonomous System.
    pub asn: u32,
    /// Proposed Hold Time in seconds, 0 for none.
    pub hold_time: u16,
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Capabilities in the order sent, those of all Capabilities parameters together.
    ///
    /// An AS number above 65,535 needs [`Capability::FourOctetAs`] among them; My Autonomous System says AS_TRANS then.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The unicast families the sender speaks. Without any multiprotocol capability that is IPv4 (RFC 4760 §8).
    #[must_use]
    pub fn families(&self) -> FamilySet {
        let mut families = self.capabilities.iter().filter_map(|capability| match capability {
            Capability::MultiProtocol(family) => Some(*family),
            _ => None,
        });
        match families.next() {
            Some(first) => families.chain([first]).collect(),
            None => FamilySet::IPV4_UNICAST,
        }
    }

    /// The AS number in the four-octet AS capability, if there is one.
    #[must_use]
    pub fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        })
    }

    /// The message, header included.
    ///
    /// # Errors
    /// A capability or all of them together are too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut capabilities = BytesMut::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities)?;
        }
        let total = capabilities.len();
        // All capabilities in one parameter; RFC 9072 §2 where its length, or that of all parameters, takes two octets.
        let (parameter, extended) = match total {
            0 => (0, false),
            1..=253 => (2 + total, false),
            _ => (3 + 3 + total, true),
        };
        let len = HEADER_LEN + FIXED + parameter;
        if len > MAX_LEN {
            return Err(EncodeError::Open { len });
        }
        let mut out = BytesMut::with_capacity(len);
        put_header(&mut out, len, MessageKind::Open);
        out.put_u8(VERSION);
        out.put_u16(two_octet(self.asn));
        out.put_u16(self.hold_time);
        out.put_u32(self.router_id.to_bits());
        let narrow = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let [high, low] = narrow(total);
        if extended {
            let [all_high, all_low] = narrow(3 + total);
            out.put_slice(&[255, EXTENDED, all_high, all_low, CAPABILITIES, high, low]);
        } else if total > 0 {
            out.put_slice(&[low + 2, CAPABILITIES, low]);
        } else {
            out.put_u8(0);
        }
        out.put_slice(&capabilities);
        Ok(out.freeze())
    }

    pub(crate) fn decode(mut body: Cursor<'_>) -> Result<Self, MessageError> {
        let start = body.offset();
        let short = |_: Truncated| MessageError::new(start, MessageFault::OptionalParameters);
        let (version, my_as, hold_time, router_id) = (
            body.u8().map_err(short)?,
            body.u16().map_err(short)?,
            body.u16().map_err(short)?,
            Ipv4Addr::from_bits(body.u32().map_err(short)?),
        );
        if version != VERSION {
            // RFC 4271 §6.2: the data is the version we would have taken.
            let data = u16::from(VERSION).to_be_bytes();
            return Err(MessageError::with_data(start, MessageFault::Version(version), &data));
        }
        if my_as == 0 {
            return Err(MessageError::new(start + 1, MessageFault::PeerAs(0)));
        }
        if matches!(hold_time, 1 | 2) {
            return Err(MessageError::new(start + 3, MessageFault::HoldTime(hold_time)));
        }
        if router_id.is_unspecified() {
            return Err(MessageError::new(start + 5, MessageFault::RouterIdZero));
        }
        let capabilities = optional_parameters(body)?;
        let mut open = Self { asn: my_as.into(), hold_time, router_id, capabilities };
        match open.four_octet_as() {
            Some(asn @ (0 | AS_TRANS)) => Err(MessageError::new(start + 1, MessageFault::PeerAs(asn))),
            // RFC 6793 §9: My Autonomous System is the same number, or AS_TRANS. A peer with two is not whom it says.
            Some(asn) if my_as != two_octet(asn) && u32::from(my_as) != AS_TRANS => {
                Err(MessageError::new(start + 1, MessageFault::PeerAs(my_as.into())))
            }
            real => {
                open.asn = real.unwrap_or(open.asn);
                Ok(open)
            }
        }
    }
}

/// Reads all optional parameters, in either form.
fn optional_parameters(mut body: Cursor<'_>) -> Result<Vec<Capability>, MessageError> {
    let start = body.offset();
    let malformed = |_: Truncated| MessageError::new(start, MessageFault::OptionalParameters);
    let length = body.u8().map_err(malformed)?;
    // RFC 9072 §2: the type tells the form; the one-octet length then only has to be other than 0.
    let extended = length != 0 && body.rest().first() == Some(&EXTENDED);
    let length = if extended {
        body.u8().map_err(malformed)?;
        body.u16().map_err(malformed)?.into()
    } else {
        usize::from(length)
    };
    if body.remaining() != length {
        return Err(malformed(Truncated));
    }
    let mut capabilities = Vec::new();
    while !body.is_empty() {
        let offset = body.offset();
        let kind = body.u8().map_err(malformed)?;
        let length = if extended {
            body.u16().map_err(malformed)?.into()
        } else {
            body.u8().map_err(malformed)?.into()
        };
        let mut value = body.sub(length).map_err(malformed)?;
        if kind != CAPABILITIES {
            return Err(MessageError::new(offset, MessageFault::OptionalParameter(kind)));
        }
        while !value.is_empty() {
            capabilities.push(Capability::decode(&mut value)?);
        }
    }
    Ok(capabilities)
}

const VERSION: u8 = 4;
/// Octets between the header and the first optional parameter.
const FIXED: usize = 10;
/// Optional parameter: Capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// Optional parameter: Extended Length (RFC 9072 §2).
const EXTENDED: u8 = 255;

#[cfg(test)]
mod tests;
