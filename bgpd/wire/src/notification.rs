//! NOTIFICATION: why a session ended (RFC 4271 §4.5, §6), with the shutdown text of RFC 9003 and the hard reset of
//! RFC 8538.
//!
//! Invariant: whatever a peer sends as text is shown only after it was checked to be UTF-8 of the announced length; a
//! text we send is cut at a character boundary so that it always passes the same check.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::message::{HEADER_LEN, MAX_LEN, MessageKind, put_header};

/// Error code of Cease.
const CEASE: u8 = 6;

/// Octets of a shutdown text at most (RFC 9003 §2).
pub const MAX_SHUTDOWN_TEXT: usize = 255;

/// Subcodes of Cease (RFC 4486, RFC 8538, RFC 9384).
pub mod cease {
    /// Maximum Number of Prefixes Reached.
    pub const MAXIMUM_PREFIXES: u8 = 1;
    /// Administrative Shutdown.
    pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
    /// Peer De-configured.
    pub const PEER_DECONFIGURED: u8 = 3;
    /// Administrative Reset.
    pub const ADMINISTRATIVE_RESET: u8 = 4;
    /// Connection Rejected.
    pub const CONNECTION_REJECTED: u8 = 5;
    /// Other Configuration Change.
    pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
    /// Connection Collision Resolution.
    pub const COLLISION_RESOLUTION: u8 = 7;
    /// Out of Resources.
    pub const OUT_OF_RESOURCES: u8 = 8;
    /// Hard Reset (RFC 8538).
    pub const HARD_RESET: u8 = 9;
    /// BFD Down (RFC 9384).
    pub const BFD_DOWN: u8 = 10;
}

/// A NOTIFICATION message.
#[derive(serde::Serialize, serde::Deserialize, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode, 0 where the code has none.
    pub subcode: u8,
    /// Data field, as the code and subcode define it.
    pub data: Bytes,
}

impl Notification {
    /// A NOTIFICATION without data.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Bytes::new() }
    }

    /// Hold Timer Expired.
    #[must_use]
    pub const fn hold_timer_expired() -> Self {
        Self::new(4, 0)
    }

    /// Send Hold Timer Expired (RFC 9687).
    #[must_use]
    pub const fn send_hold_timer_expired() -> Self {
        Self::new(8, 0)
    }

    /// Cease with one of the subcodes in [`cease`]. `text` goes along where RFC 9003 has a place for it (Administrative
    /// Shutdown and Reset), cut to 255 octets; elsewhere it is left out.
    #[must_use]
    pub fn cease(subcode: u8, text: Option<&str>) -> Self {
        let data = match text {
            Some(text) if carries_text(subcode) => shutdown_text(text),
            _ => Bytes::new(),
        };
        Self { code: CEASE, subcode, data }
    }

    /// Wraps this NOTIFICATION into a Cease/Hard Reset (RFC 8538 §3): the receiver must not keep our routes as stale.
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = BytesMut::with_capacity(2 + self.data.len());
        data.put_u8(self.code);
        data.put_u8(self.subcode);
        data.extend_from_slice(&self.data);
        Self { code: CEASE, subcode: cease::HARD_RESET, data: data.freeze() }
    }

    /// Whether this is a Cease/Hard Reset (RFC 8538).
    #[must_use]
    pub const fn is_hard_reset(&self) -> bool {
        self.code == CEASE && self.subcode == cease::HARD_RESET
    }

    /// What a hard reset wraps, if this is one that says.
    #[must_use]
    pub fn wrapped(&self) -> Option<Self> {
        match self.data.as_ref() {
            [code, subcode, rest @ ..] if self.is_hard_reset() => {
                Some(Self { code: *code, subcode: *subcode, data: self.data.slice_ref(rest) })
            }
            _ => None,
        }
    }

    /// The operator's text of an Administrative Shutdown or Reset (RFC 9003), also inside a hard reset. `None` if there
    /// is none or it is not UTF-8 of the announced length.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let (len, rest) = self.text_field()?.split_first()?;
        let text = rest.get(..usize::from(*len))?;
        std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
    }

    /// Whether there is something in the place of a text that is none (RFC 9003 §3: to be logged).
    #[must_use]
    pub fn has_unreadable_text(&self) -> bool {
        let field = self.text_field().unwrap_or_default();
        !matches!(field, [] | [0, ..]) && self.text().is_none()
    }

    /// The data of an Administrative Shutdown or Reset, also inside a hard reset.
    fn text_field(&self) -> Option<&[u8]> {
        let (code, subcode, data) = match self.data.as_ref() {
            [code, subcode, rest @ ..] if self.is_hard_reset() => (*code, *subcode, rest),
            data => (self.code, self.subcode, data),
        };
        (code == CEASE && carries_text(subcode)).then_some(data)
    }

    /// The RFC's words for code and subcode, e.g. `Cease/Administrative Shutdown`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        Reason { code: self.code, subcode: self.subcode }
    }

    /// The message, header included. Data beyond the 4,096 octets every peer reads is cut.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let room = MAX_LEN - HEADER_LEN - 2;
        let data = self.data.get(..room).unwrap_or(&self.data);
        let mut out = BytesMut::with_capacity(HEADER_LEN + 2 + data.len());
        put_header(&mut out, HEADER_LEN + 2 + data.len(), MessageKind::Notification);
        out.put_u8(self.code);
        out.put_u8(self.subcode);
        out.extend_from_slice(data);
        out.freeze()
    }

    pub(crate) fn decode(mut body: Cursor<'_>) -> Result<Self, Truncated> {
        let (code, subcode) = (body.u8()?, body.u8()?);
        Ok(Self { code, subcode, data: Bytes::copy_from_slice(body.rest()) })
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.reason(), self.code, self.subcode)?;
        if let Some(inner) = self.wrapped() {
            write!(f, ", {}", inner.reason())?;
        }
        match self.text() {
            // Debug quotes the text and escapes control characters: it comes from the peer and goes to terminals.
            Some(text) => write!(f, ": {text:?}"),
            None if self.has_unreadable_text() => {
                f.write_str(", with a text that is not UTF-8 of its length")
            }
            None => Ok(()),
        }
    }
}

/// Code and subcode of a NOTIFICATION in the RFC's words.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Reason {
    code: u8,
    subcode: u8,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, subcodes) = match self.code {
            1 => ("Message Header Error", HEADER_SUBCODES),
            2 => ("OPEN Message Error", OPEN_SUBCODES),
            3 => ("UPDATE Message Error", UPDATE_SUBCODES),
            4 => ("Hold Timer Expired", NO_SUBCODES),
            5 => ("Finite State Machine Error", FSM_SUBCODES),
            CEASE => ("Cease", CEASE_SUBCODES),
            7 => ("ROUTE-REFRESH Message Error", REFRESH_SUBCODES),
            8 => ("Send Hold Timer Expired", NO_SUBCODES),
            other => return write!(f, "Error {other}/{}", self.subcode),
        };
        f.write_str(code)?;
        match subcodes.iter().find(|(subcode, _)| *subcode == self.subcode) {
            Some((_, name)) => write!(f, "/{name}"),
            None if self.subcode == 0 => Ok(()),
            None => write!(f, "/{}", self.subcode),
        }
    }
}

/// Whether RFC 9003 gives this Cease subcode a text.
const fn carries_text(subcode: u8) -> bool {
    matches!(subcode, cease::ADMINISTRATIVE_SHUTDOWN | cease::ADMINISTRATIVE_RESET)
}

/// The data field of RFC 9003: one octet of length, then UTF-8.
fn shutdown_text(text: &str) -> Bytes {
    let text = text.get(..text.floor_char_boundary(MAX_SHUTDOWN_TEXT)).unwrap_or_default();
    let mut data = BytesMut::with_capacity(1 + text.len());
    data.put_u8(u8::try_from(text.len()).unwrap_or_default());
    data.extend_from_slice(text.as_bytes());
    data.freeze()
}

type Subcodes = &'static [(u8, &'static str)];

const NO_SUBCODES: Subcodes = &[];
const HEADER_SUBCODES: Subcodes =
    &[(1, "Connection Not Synchronized"), (2, "Bad Message Length"), (3, "Bad Message Type")];
const OPEN_SUBCODES: Subcodes = &[
    (0, "Unspecific"),
    (1, "Unsupported Version Number"),
    (2, "Bad Peer AS"),
    (3, "Bad BGP Identifier"),
    (4, "Unsupported Optional Parameter"),
    (6, "Unacceptable Hold Time"),
    (7, "Unsupported Capability"),
    (11, "Role Mismatch"),
];
const UPDATE_SUBCODES: Subcodes = &[
    (0, "Unspecific"),
    (1, "Malformed Attribute List"),
    (2, "Unrecognized Well-known Attribute"),
    (3, "Missing Well-known Attribute"),
    (4, "Attribute Flags Error"),
    (5, "Attribute Length Error"),
    (6, "Invalid ORIGIN Attribute"),
    (8, "Invalid NEXT_HOP Attribute"),
    (9, "Optional Attribute Error"),
    (10, "Invalid Network Field"),
    (11, "Malformed AS_PATH"),
];
const FSM_SUBCODES: Subcodes = &[
    (0, "Unspecified Error"),
    (1, "Receive Unexpected Message in OpenSent State"),
    (2, "Receive Unexpected Message in OpenConfirm State"),
    (3, "Receive Unexpected Message in Established State"),
];
const CEASE_SUBCODES: Subcodes = &[
    (cease::MAXIMUM_PREFIXES, "Maximum Number of Prefixes Reached"),
    (cease::ADMINISTRATIVE_SHUTDOWN, "Administrative Shutdown"),
    (cease::PEER_DECONFIGURED, "Peer De-configured"),
    (cease::ADMINISTRATIVE_RESET, "Administrative Reset"),
    (cease::CONNECTION_REJECTED, "Connection Rejected"),
    (cease::OTHER_CONFIGURATION_CHANGE, "Other Configuration Change"),
    (cease::COLLISION_RESOLUTION, "Connection Collision Resolution"),
    (cease::OUT_OF_RESOURCES, "Out of Resources"),
    (cease::HARD_RESET, "Hard Reset"),
    (cease::BFD_DOWN, "BFD Down"),
];
const REFRESH_SUBCODES: Subcodes = &[(1, "Invalid Message Length")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shutdown_text_is_cut_at_a_character() {
        let long = "é".repeat(200);
        let sent = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, Some(&long));
        assert_eq!(sent.data.len(), 255, "one octet of length and 127 two-octet characters");
        assert_eq!(sent.text(), Some("é".repeat(127).as_str()));
        assert_eq!(Notification::cease(cease::PEER_DECONFIGURED, Some("no place for it")).data.len(), 0);
    }

    #[test]
    fn text_that_lies_is_no_text() {
        let data =
            |octets: &'static [u8]| Notification { code: 6, subcode: 2, data: Bytes::from_static(octets) };
        assert_eq!(data(&[5, b'h', b'i']).text(), None, "announces more than there is");
        assert_eq!(data(&[2, 0xff, 0xfe]).text(), None, "not UTF-8");
        assert_eq!(
            data(&[2, 0xff, 0xfe]).to_string(),
            "Cease/Administrative Shutdown (6/2), with a text that is not UTF-8 of its length"
        );
        assert!(!data(&[0]).has_unreadable_text() && !data(&[]).has_unreadable_text());
        assert_eq!(data(&[0]).text(), None);
        assert_eq!(data(&[]).text(), None);
        assert_eq!(data(&[2, b'h', b'i', b'!']).text(), Some("hi"));
        assert_eq!(
            data(&[3, b'a', 0x1b, b'b']).to_string(),
            r#"Cease/Administrative Shutdown (6/2): "a\u{1b}b""#
        );
    }

    #[test]
    fn hard_reset_wraps_and_shows_the_real_reason() {
        let sent = Notification::cease(cease::ADMINISTRATIVE_RESET, Some("upgrade")).into_hard_reset();
        assert_eq!(sent.text(), Some("upgrade"));
        assert_eq!(sent.wrapped().map(|inner| (inner.code, inner.subcode)), Some((6, 4)));
        assert_eq!(sent.to_string(), r#"Cease/Hard Reset (6/9), Cease/Administrative Reset: "upgrade""#);
    }

    #[test]
    fn names_of_codes() {
        let name = |code, subcode| Notification::new(code, subcode).reason().to_string();
        assert_eq!(name(2, 2), "OPEN Message Error/Bad Peer AS");
        assert_eq!(name(4, 0), "Hold Timer Expired");
        assert_eq!(name(3, 7), "UPDATE Message Error/7");
        assert_eq!(name(99, 1), "Error 99/1");
        assert_eq!(name(8, 0), "Send Hold Timer Expired");
    }

    #[test]
    fn long_data_is_cut_to_what_every_peer_reads() {
        let sent = Notification { code: 3, subcode: 9, data: Bytes::from(vec![7; 5000]) }.encode();
        assert_eq!(sent.len(), 4096);
    }
}
