//! What can be wrong with a message, and what it costs: RFC 4271 §6, RFC 7606.
//!
//! Two scales, two types. A [`MessageError`] ends the session and knows the NOTIFICATION to send. An
//! [`AttributeError`] spoils at most the routes of one UPDATE and is reported beside what was decoded.
//!
//! Invariant: every fault is a variant. Code, subcode and disposition are computed from it in one place each, so a
//! fault cannot be answered with another fault's NOTIFICATION.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use thiserror::Error;

use crate::attr::table;
use crate::family::Family;
use crate::notification::Notification;

/// What a malformed attribute costs (RFC 7606 §2), weakest first.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Disposition {
    /// The attribute is dropped, the routes stay.
    Discard,
    /// All routes of the UPDATE are taken as withdrawn.
    TreatAsWithdraw,
    /// The session ends with a NOTIFICATION.
    SessionReset,
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discard => "attribute discard",
            Self::TreatAsWithdraw => "treat-as-withdraw",
            Self::SessionReset => "session reset",
        })
    }
}

/// A path attribute of a received UPDATE that was not taken as it came.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[error("{} at octet {offset}: {fault} ({disposition})", table::name(*code))]
pub struct AttributeError {
    /// Attribute type code. 0 for what belongs to no single attribute.
    pub code: u8,
    /// Octet of the message where the attribute begins.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: AttributeFault,
    /// What it costs. In [`crate::Update::errors`] never [`Disposition::SessionReset`]: that is a [`MessageError`].
    pub disposition: Disposition,
}

/// What is wrong with a path attribute.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum AttributeFault {
    /// Optional or Transitive bit is not as the attribute's RFC says (RFC 7606 §3 c).
    #[error("flags {found:#04x}, expected {expected:#04x}")]
    Flags {
        /// Attribute Flags as received.
        found: u8,
        /// Optional and Transitive bits of this attribute type.
        expected: u8,
    },
    /// The value has a length this attribute cannot have.
    #[error("length {found}, expected {expected}")]
    Length {
        /// Attribute Length as received.
        found: usize,
        /// What lengths are allowed, in words.
        expected: &'static str,
    },
    /// The attribute is longer than what the Total Path Attribute Length leaves (RFC 7606 §4).
    #[error("length {announced} runs past the path attributes, {left} octets are left")]
    Overrun {
        /// Attribute Length as received.
        announced: usize,
        /// Octets left in the path attributes.
        left: usize,
    },
    /// Too few octets for an attribute header at the end of the path attributes (RFC 7606 §4).
    #[error("{left} octets are left, too few for an attribute")]
    ShortHeader {
        /// Octets left in the path attributes.
        left: usize,
    },
    /// The attribute came before in the same message; the first one counts (RFC 7606 §3 g).
    #[error("appears more than once")]
    Duplicate,
    /// A mandatory attribute is not there although prefixes are announced (RFC 7606 §3 d).
    #[error("missing")]
    Missing,
    /// An attribute only internal peers may send came from an external one (RFC 7606 §7.5, §7.9, §7.10).
    #[error("sent by an external peer")]
    FromExternalPeer,
    /// A four-octet attribute from a peer whose AS numbers have four octets anyway (RFC 6793 §4.1).
    #[error("sent by a peer with four-octet AS numbers")]
    FromFourOctetPeer,
    /// A well-known attribute type that nobody has defined (RFC 4271 §6.3).
    #[error("unrecognized well-known attribute")]
    UnrecognizedWellKnown,
    /// An ORIGIN value other than 0, 1, 2.
    #[error("undefined ORIGIN {0}")]
    UndefinedOrigin(u8),
    /// An AS_PATH segment type other than 1 to 4.
    #[error("undefined AS_PATH segment type {0}")]
    SegmentType(u8),
    /// An AS_PATH segment without AS numbers.
    #[error("AS_PATH segment without AS numbers")]
    EmptySegment,
    /// An AS_PATH segment longer than the attribute, or octets left behind the last one.
    #[error("AS_PATH segments do not fill the attribute")]
    SegmentBounds,
    /// A confederation segment from a peer outside any confederation (RFC 5065 §5).
    #[error("confederation segment from an external peer")]
    ConfederationSegment,
    /// AS number 0 (RFC 7607).
    #[error("AS number 0")]
    AsZero,
    /// A next hop that is no host address (RFC 4271 §6.3).
    #[error("{0} is not a host address")]
    NotAHost(IpAddr),
    /// NLRI of a family that was not negotiated.
    #[error("family {0} was not negotiated")]
    FamilyNotNegotiated(Family),
    /// Next hop length that the family does not have (RFC 7606 §7.11).
    #[error("next hop of {length} octets for {family}")]
    NextHopLength {
        /// Family of the NLRI.
        family: Family,
        /// Length of Next Hop Network Address as received.
        length: usize,
    },
    /// NLRI inside MP_REACH_NLRI or MP_UNREACH_NLRI is syntactically incorrect (RFC 7606 §5.3).
    #[error(transparent)]
    Nlri(#[from] NlriFault),
}

/// What is wrong with a field of prefixes (RFC 7606 §5.3).
#[derive(Copy, Clone, Eq, PartialEq, Debug, Error)]
pub enum NlriFault {
    /// A prefix is longer than an address of its family.
    #[error("prefix length {found}, at most {max} for this family")]
    PrefixLength {
        /// Prefix length as received.
        found: u8,
        /// Bits of an address.
        max: u8,
    },
    /// The last prefix is longer than the field.
    #[error("the last prefix runs past the field")]
    Overrun,
}

/// A message that ends the session.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[error("{fault} (octet {offset})")]
pub struct MessageError {
    /// Octet of the message where the fault is.
    pub offset: usize,
    /// What is wrong.
    pub fault: MessageFault,
    /// Data field of the NOTIFICATION.
    pub data: Bytes,
}

impl MessageError {
    pub(crate) fn new(offset: usize, fault: MessageFault) -> Self {
        Self { offset, fault, data: Bytes::new() }
    }

    pub(crate) fn with_data(offset: usize, fault: MessageFault, data: &[u8]) -> Self {
        Self { offset, fault, data: Bytes::copy_from_slice(data) }
    }

    /// The NOTIFICATION that tells the peer.
    #[must_use]
    pub fn notification(&self) -> Notification {
        let (code, subcode) = self.fault.code();
        Notification { code, subcode, data: self.data.clone() }
    }
}

/// Why a message ends the session.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum MessageFault {
    /// The marker is not all ones: the stream is out of step.
    #[error("marker is not all ones")]
    Marker,
    /// Message length outside what the type and the session allow.
    #[error("message length {length} not possible for message type {kind}")]
    Length {
        /// Length field as received.
        length: usize,
        /// Type field as received.
        kind: u8,
    },
    /// Undefined message type.
    #[error("undefined message type {0}")]
    Type(u8),
    /// BGP version other than 4.
    #[error("BGP version {0}, only 4 is spoken here")]
    Version(u8),
    /// AS number 0, or AS_TRANS where a real one belongs (RFC 7607, RFC 6793 §9).
    #[error("AS number {0} cannot be a peer's")]
    PeerAs(u32),
    /// BGP Identifier 0.0.0.0 (RFC 6286).
    #[error("BGP Identifier 0.0.0.0")]
    RouterIdZero,
    /// Hold Time of one or two seconds.
    #[error("Hold Time of {0} s, must be 0 or at least 3")]
    HoldTime(u16),
    /// Optional parameter other than Capabilities.
    #[error("unsupported optional parameter {0}")]
    OptionalParameter(u8),
    /// Optional parameters that do not fill their field.
    #[error("malformed optional parameters")]
    OptionalParameters,
    /// A capability whose value has a length or content its RFC does not allow.
    #[error("malformed capability {code}")]
    Capability {
        /// Capability code.
        code: u8,
    },
    /// Withdrawn Routes Length or Total Path Attribute Length exceeds the message (RFC 7606 §3 b).
    #[error("{field} of {announced} octets exceeds the message, {left} octets are left")]
    FieldLength {
        /// Which length field.
        field: &'static str,
        /// The length it announces.
        announced: usize,
        /// Octets left in the message.
        left: usize,
    },
    /// The Withdrawn Routes or the NLRI field is syntactically incorrect (RFC 7606 §5.3).
    #[error("{field} field: {fault}")]
    Nlri {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        fault: NlriFault,
    },
    /// An attribute fault for which the session has to end.
    #[error("{}: {fault}", table::name(*code))]
    Attribute {
        /// Attribute type code.
        code: u8,
        /// What is wrong with it.
        fault: AttributeFault,
    },
    /// ROUTE-REFRESH of a length its subtype does not have (RFC 7313 §5).
    #[error("ROUTE-REFRESH of {length} octets")]
    RefreshLength {
        /// Length of the whole message.
        length: usize,
    },
}

impl MessageFault {
    /// Error code and subcode of the NOTIFICATION (RFC 4271 §4.5, RFC 7313 §5).
    #[must_use]
    pub const fn code(&self) -> (u8, u8) {
        match self {
            Self::Marker => (1, 1),
            Self::Length { .. } => (1, 2),
            Self::Type(_) => (1, 3),
            Self::OptionalParameters | Self::Capability { .. } => (2, 0),
            Self::Version(_) => (2, 1),
            Self::PeerAs(_) => (2, 2),
            Self::RouterIdZero => (2, 3),
            Self::OptionalParameter(_) => (2, 4),
            Self::HoldTime(_) => (2, 6),
            Self::FieldLength { .. } => (3, 1),
            Self::Nlri { .. } => (3, 10),
            Self::Attribute { code, fault } => (3, fault.subcode(*code)),
            Self::RefreshLength { .. } => (7, 1),
        }
    }
}

impl AttributeFault {
    /// Subcode of the UPDATE Message Error, should this fault end the session.
    const fn subcode(&self, code: u8) -> u8 {
        match (self, code) {
            // RFC 4760 §7 has one subcode for all that is wrong inside MP_REACH_NLRI and MP_UNREACH_NLRI,
            // RFC 7606 §3 g another one for their repetition.
            (Self::Duplicate | Self::Overrun { .. } | Self::ShortHeader { .. }, _) => 1,
            (_, table::MP_REACH_NLRI | table::MP_UNREACH_NLRI) => 9,
            (Self::UnrecognizedWellKnown, _) => 2,
            (Self::Missing, _) => 3,
            (Self::Flags { .. }, _) => 4,
            (Self::Length { .. }, _) => 5,
            (_, table::ORIGIN) => 6,
            (_, table::NEXT_HOP) => 8,
            (_, table::AS_PATH) => 11,
            _ => 9,
        }
    }
}

/// A value that cannot be put on the wire.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Attributes and one prefix do not fit into one message: the route cannot be sent to this peer.
    #[error("path attributes need a message of {needed} octets, the peer reads {max}")]
    TooLong {
        /// Octets of a message with one prefix of full length.
        needed: usize,
        /// Longest message the peer reads.
        max: usize,
    },
    /// A family without an encoder.
    #[error("cannot write NLRI of family {0}")]
    Family(Family),
    /// The next hop's address family does not go with the NLRI on this session.
    #[error("next hop {next_hop} cannot be sent with {family} prefixes on this session")]
    NextHop {
        /// Family of the NLRI.
        family: Family,
        /// The next hop.
        next_hop: IpAddr,
    },
    /// A prefix of another family than the message's.
    #[error("a prefix of another family was given for a {0} message")]
    PrefixFamily(Family),
    /// A capability value of more than 255 octets.
    #[error("capability {code} has a value of {len} octets, at most 255 fit")]
    Capability {
        /// Capability code.
        code: u8,
        /// Octets of the value.
        len: usize,
    },
    /// Capabilities that do not fit into one OPEN message.
    #[error("OPEN of {len} octets, at most 4096 fit")]
    Open {
        /// Octets of the message.
        len: usize,
    },
}
