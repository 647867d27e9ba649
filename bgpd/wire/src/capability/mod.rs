//! Capabilities (RFC 5492): what a speaker says in its OPEN that it can do. One file each where there is something to say.
//!
//! Invariant: a capability whose value has a length its RFC does not define is an OPEN Message Error, since guessing at
//! what was negotiated breaks the session later and less clearly. Unknown ones and those that are only text for people
//! never cost a session: they are kept.

mod add_path;
mod display;
mod extended_next_hop;
mod fqdn;
mod graceful_restart;
mod long_lived;
mod role;
mod software_version;

use bytes::{BufMut, Bytes, BytesMut};

pub use add_path::{AddPath, AddPathMode};
pub use extended_next_hop::ExtendedNextHop;
pub use graceful_restart::GracefulRestart;
pub use long_lived::LongLivedFamily;
pub use role::Role;

use crate::cursor::{Cursor, Truncated};
use crate::error::{EncodeError, MessageError, MessageFault};
use crate::family::Family;

/// A capability.
#[derive(serde::Serialize, serde::Deserialize, Clone, Eq, PartialEq, Hash, Debug)]
#[non_exhaustive]
pub enum Capability {
    /// Multiprotocol Extensions (RFC 4760 §8).
    MultiProtocol(Family),
    /// Route Refresh (RFC 2918).
    RouteRefresh,
    /// Extended Next Hop Encoding (RFC 8950).
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// BGP Extended Message (RFC 8654).
    ExtendedMessage,
    /// BGP Role (RFC 9234).
    Role(Role),
    /// Graceful Restart (RFC 4724, RFC 8538).
    GracefulRestart(GracefulRestart),
    /// Support for four-octet AS numbers (RFC 6793).
    FourOctetAs(u32),
    /// ADD-PATH (RFC 7911).
    AddPath(Vec<AddPath>),
    /// Enhanced Route Refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// Long-Lived Graceful Restart (RFC 9494).
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// FQDN (draft-walton-bgp-hostname-capability): what the speaker is called.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name, may be empty.
        domain: String,
    },
    /// Software Version (draft-abraitis-bgp-version-capability).
    SoftwareVersion(String),
    /// Any other, as received.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        value: Bytes,
    },
}

impl Capability {
    /// Capability code (IANA "Capability Codes").
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::MultiProtocol(_) => 1,
            Self::RouteRefresh => 2,
            Self::ExtendedNextHop(_) => 5,
            Self::ExtendedMessage => 6,
            Self::Role(_) => 9,
            Self::GracefulRestart(_) => 64,
            Self::FourOctetAs(_) => 65,
            Self::AddPath(_) => 69,
            Self::EnhancedRouteRefresh => 70,
            Self::LongLivedGracefulRestart(_) => 71,
            Self::Fqdn { .. } => 73,
            Self::SoftwareVersion(_) => 75,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// One capability as it stands in an OPEN: code, length, value.
    ///
    /// # Errors
    /// The octets are not exactly one capability, or the value has a length that its RFC does not define.
    pub fn from_octets(octets: &[u8]) -> Result<Self, MessageError> {
        let mut list = Cursor::new(octets, 0);
        let capability = Self::decode(&mut list)?;
        if list.is_empty() {
            Ok(capability)
        } else {
            Err(MessageError::new(list.offset(), MessageFault::OptionalParameters))
        }
    }

    /// The capability as it stands in an OPEN: code, length, value.
    ///
    /// # Errors
    /// The value is longer than 255 octets.
    pub fn to_octets(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        self.encode(&mut out)?;
        Ok(out.freeze())
    }

    pub(crate) fn decode(list: &mut Cursor<'_>) -> Result<Self, MessageError> {
        let offset = list.offset();
        let cut = |Truncated| MessageError::new(offset, MessageFault::OptionalParameters);
        let (code, length) = (list.u8().map_err(cut)?, list.u8().map_err(cut)?);
        let value = list.sub(length.into()).map_err(cut)?;
        Self::read(code, value)
            .map_err(|Truncated| MessageError::new(offset, MessageFault::Capability { code }))
    }

    /// Reads a value that has to be used up exactly.
    fn read(code: u8, mut value: Cursor<'_>) -> Result<Self, Truncated> {
        let whole = value.rest();
        let capability = match code {
            1 => {
                let (afi, _reserved, safi) = (value.u16()?, value.u8()?, value.u8()?);
                Self::MultiProtocol(Family { afi, safi })
            }
            2 => Self::RouteRefresh,
            5 => Self::ExtendedNextHop(entries(&mut value, ExtendedNextHop::decode)?),
            6 => Self::ExtendedMessage,
            9 => Self::Role(value.u8()?.into()),
            64 => Self::GracefulRestart(GracefulRestart::decode(&mut value)?),
            65 => Self::FourOctetAs(value.u32()?),
            69 => Self::AddPath(entries(&mut value, AddPath::decode)?),
            70 => Self::EnhancedRouteRefresh,
            71 => Self::LongLivedGracefulRestart(entries(&mut value, LongLivedFamily::decode)?),
            73 => return Ok(fqdn::decode(value).unwrap_or_else(|| Self::unknown(code, whole))),
            75 => return Ok(software_version::decode(value).unwrap_or_else(|| Self::unknown(code, whole))),
            _ => return Ok(Self::unknown(code, whole)),
        };
        if value.is_empty() { Ok(capability) } else { Err(Truncated) }
    }

    fn unknown(code: u8, value: &[u8]) -> Self {
        Self::Unknown { code, value: Bytes::copy_from_slice(value) }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_slice(&[self.code(), 0]);
        match self {
            Self::MultiProtocol(Family { afi, safi }) => {
                out.put_u16(*afi);
                out.put_slice(&[0, *safi]);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(entries) => entries.iter().for_each(|entry| entry.encode(out)),
            Self::Role(role) => out.put_u8((*role).into()),
            Self::GracefulRestart(restart) => restart.encode(out),
            Self::FourOctetAs(asn) => out.put_u32(*asn),
            Self::AddPath(entries) => entries.iter().for_each(|entry| entry.encode(out)),
            Self::LongLivedGracefulRestart(entries) => entries.iter().for_each(|entry| entry.encode(out)),
            Self::Fqdn { host, domain } => fqdn::encode(host, domain, out),
            Self::SoftwareVersion(version) => software_version::encode(version, out),
            Self::Unknown { value, .. } => out.put_slice(value),
        }
        let len = out.len() - start - 2;
        match (u8::try_from(len), out.get_mut(start + 1)) {
            (Ok(len), Some(field)) => {
                *field = len;
                Ok(())
            }
            _ => Err(EncodeError::Capability { code: self.code(), len }),
        }
    }
}

/// Reads entries until the value is used up.
fn entries<'a, T>(
    value: &mut Cursor<'a>,
    decode: impl Fn(&mut Cursor<'a>) -> Result<T, Truncated>,
) -> Result<Vec<T>, Truncated> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push(decode(value)?);
    }
    Ok(list)
}

/// Reads a text behind one octet of length. What is not UTF-8 is replaced: it is for people only.
fn text(value: &mut Cursor<'_>) -> Option<String> {
    let length = value.u8().ok()?;
    value.take(length.into()).ok().map(|octets| String::from_utf8_lossy(octets).into_owned())
}

/// Writes a text behind one octet of length, cut to `max` octets at a character boundary.
fn put_text(text: &str, max: usize, out: &mut BytesMut) {
    let text = text.get(..text.floor_char_boundary(max.min(255))).unwrap_or_default();
    out.put_u8(u8::try_from(text.len()).unwrap_or_default());
    out.put_slice(text.as_bytes());
}
