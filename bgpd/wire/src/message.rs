//! The message header and the five message types (RFC 4271 §4.1, §6.1; RFC 8654 for long messages).
//!
//! Invariant: a frame that [`peek_frame`] measured has a length its type can have, so the decoders behind it never see
//! a body shorter than their fixed part.

use bytes::{BufMut, BytesMut};

use crate::context::DecodeContext;
use crate::cursor::{Cursor, Truncated};
use crate::error::{MessageError, MessageFault};
use crate::notification::Notification;
use crate::open::Open;
use crate::route_refresh::RouteRefresh;
use crate::update::Update;

/// Octets of the message header.
pub const HEADER_LEN: usize = 19;
/// Longest message without the extended message capability (RFC 4271 §4).
pub const MAX_LEN: usize = 4096;
/// Longest message with the extended message capability (RFC 8654).
pub const MAX_EXTENDED_LEN: usize = 65535;

/// A KEEPALIVE message.
pub const KEEPALIVE: [u8; HEADER_LEN] =
    [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 19, 4];

const MARKER: [u8; 16] = [0xff; 16];

/// Message types (RFC 4271 §4.1, RFC 2918).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
#[repr(u8)]
pub enum MessageKind {
    /// OPEN
    Open = 1,
    /// UPDATE
    Update = 2,
    /// NOTIFICATION
    Notification = 3,
    /// KEEPALIVE
    Keepalive = 4,
    /// ROUTE-REFRESH
    RouteRefresh = 5,
}

impl MessageKind {
    /// The type with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// Whether a message of this type may have `length` octets where the session allows `max`.
    const fn allows(self, length: usize, max: usize) -> bool {
        match self {
            // RFC 8654 §4: an OPEN is never long, whatever the peers can do.
            Self::Open => length >= 29 && length <= MAX_LEN,
            Self::Update => length >= 23 && length <= max,
            Self::Notification => length >= 21 && length <= max,
            Self::Keepalive => length == HEADER_LEN,
            Self::RouteRefresh => length >= 23 && length <= max,
        }
    }
}

/// A decoded message. An UPDATE borrows its prefixes from the frame.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every message is an UPDATE: a box would be an allocation each"
)]
pub enum Message<'a> {
    /// OPEN
    Open(Open),
    /// UPDATE
    Update(Update<'a>),
    /// NOTIFICATION
    Notification(Notification),
    /// KEEPALIVE
    Keepalive,
    /// ROUTE-REFRESH
    RouteRefresh(RouteRefresh),
}

impl<'a> Message<'a> {
    /// Decodes one whole message, as long as [`peek_frame`] said.
    ///
    /// # Errors
    /// An error ends the session; it knows the NOTIFICATION to send. What RFC 7606 lets a session survive is not an error
    /// here but listed in [`Update::errors`].
    pub fn decode(frame: &'a [u8], context: &DecodeContext) -> Result<Self, MessageError> {
        let (kind, length) = read_header(frame, MAX_EXTENDED_LEN)?
            .filter(|(_, length)| *length == frame.len())
            .ok_or_else(|| bad_length(frame.len(), frame.get(18).copied().unwrap_or_default()))?;
        let body = Cursor::new(frame.get(HEADER_LEN..).unwrap_or_default(), HEADER_LEN);
        match kind {
            MessageKind::Open => Open::decode(body).map(Message::Open),
            MessageKind::Update => Update::decode(body, context).map(Message::Update),
            MessageKind::Notification => Notification::decode(body)
                .map(Message::Notification)
                .map_err(|Truncated| bad_length(length, kind as u8)),
            MessageKind::Keepalive => Ok(Message::Keepalive),
            MessageKind::RouteRefresh => RouteRefresh::decode(body, frame).map(Message::RouteRefresh),
        }
    }

    /// The type of the message.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Open(_) => MessageKind::Open,
            Self::Update(_) => MessageKind::Update,
            Self::Notification(_) => MessageKind::Notification,
            Self::Keepalive => MessageKind::Keepalive,
            Self::RouteRefresh(_) => MessageKind::RouteRefresh,
        }
    }
}

/// How many octets the message at the front of `stream` has, once its header is there.
///
/// `max` is the longest message this session accepts: [`MAX_LEN`] or, after we offered the extended message capability,
/// [`MAX_EXTENDED_LEN`]. The answer may be more than `stream` holds yet.
///
/// # Errors
/// Marker, length or type are wrong: the stream cannot be followed further (RFC 4271 §6.1).
pub fn peek_frame(stream: &[u8], max: usize) -> Result<Option<usize>, MessageError> {
    read_header(stream, max).map(|header| header.map(|(_, length)| length))
}

fn read_header(stream: &[u8], max: usize) -> Result<Option<(MessageKind, usize)>, MessageError> {
    let Some(([marker @ .., high, low, code], _)) = stream.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if *marker != MARKER {
        return Err(MessageError::new(0, MessageFault::Marker));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length < HEADER_LEN || length > max {
        return Err(bad_length(length, *code));
    }
    let kind = MessageKind::from_code(*code)
        .ok_or_else(|| MessageError::with_data(18, MessageFault::Type(*code), &[*code]))?;
    if !kind.allows(length, max) {
        return Err(bad_length(length, *code));
    }
    Ok(Some((kind, length)))
}

fn bad_length(length: usize, kind: u8) -> MessageError {
    let field = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    MessageError::with_data(16, MessageFault::Length { length, kind }, &field)
}

/// Writes a header for a message of `length` octets in all. A length beyond 65,535 is the caller's error and is written
/// as 65,535.
pub(crate) fn put_header(out: &mut BytesMut, length: usize, kind: MessageKind) {
    out.put_slice(&MARKER);
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    out.put_u8(kind as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PeerKind;

    fn header(length: u16, kind: u8) -> Vec<u8> {
        let mut octets = vec![0xff; 16];
        octets.extend(length.to_be_bytes());
        octets.push(kind);
        octets
    }

    fn code(stream: &[u8], max: usize) -> ((u8, u8), Vec<u8>) {
        let error = peek_frame(stream, max).unwrap_err();
        (error.fault.code(), error.data.to_vec())
    }

    #[test]
    fn lengths_by_type() {
        // (type, length, max, accepted): RFC 4271 §6.1, RFC 2918, RFC 8654 §4.
        let cases = [
            (1, 28, MAX_LEN, false),
            (1, 29, MAX_LEN, true),
            (1, 4097, MAX_EXTENDED_LEN, false),
            (2, 22, MAX_LEN, false),
            (2, 23, MAX_LEN, true),
            (2, 4096, MAX_LEN, true),
            (2, 4097, MAX_LEN, false),
            (2, 65535, MAX_EXTENDED_LEN, true),
            (3, 20, MAX_LEN, false),
            (3, 21, MAX_LEN, true),
            (4, 18, MAX_LEN, false),
            (4, 19, MAX_LEN, true),
            (4, 20, MAX_LEN, false),
            (5, 22, MAX_LEN, false),
            (5, 23, MAX_LEN, true),
        ];
        for (kind, length, max, accepted) in cases {
            let stream = header(length, kind);
            if accepted {
                assert_eq!(peek_frame(&stream, max), Ok(Some(usize::from(length))), "{kind} {length}");
            } else {
                assert_eq!(code(&stream, max), ((1, 2), length.to_be_bytes().to_vec()), "{kind} {length}");
            }
        }
    }

    #[test]
    fn header_faults_and_their_data() {
        assert_eq!(code(&header(19, 0), MAX_LEN), ((1, 3), vec![0]));
        assert_eq!(code(&header(19, 6), MAX_LEN), ((1, 3), vec![6]));
        let mut stream = header(19, 4);
        stream[7] = 0xfe;
        assert_eq!(code(&stream, MAX_LEN), ((1, 1), vec![]));
    }

    #[test]
    fn half_a_header_is_no_answer_yet() {
        for len in 0..HEADER_LEN {
            assert_eq!(peek_frame(&KEEPALIVE[..len], MAX_LEN), Ok(None));
        }
        assert_eq!(peek_frame(&KEEPALIVE, MAX_LEN), Ok(Some(19)));
    }

    #[test]
    fn frame_and_length_must_agree() {
        let context = DecodeContext::new(PeerKind::External);
        assert!(matches!(Message::decode(&KEEPALIVE, &context), Ok(Message::Keepalive)));
        for frame in [&KEEPALIVE[..18], &[&KEEPALIVE[..], &[0]].concat()] {
            assert_eq!(Message::decode(frame, &context).unwrap_err().fault.code(), (1, 2));
        }
    }
}
