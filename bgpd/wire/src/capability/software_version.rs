//! Software Version (draft-abraitis-bgp-version-capability): a text behind one octet of length.

use bytes::BytesMut;

use super::{Capability, put_text, text};
use crate::cursor::Cursor;

/// `None` if the text does not fit the value; see [`super::fqdn::decode`].
pub(super) fn decode(mut value: Cursor<'_>) -> Option<Capability> {
    let version = text(&mut value)?;
    value.is_empty().then_some(Capability::SoftwareVersion(version))
}

/// The text is cut to 64 octets, as the draft wants.
pub(super) fn encode(version: &str, out: &mut BytesMut) {
    put_text(version, MAX_VERSION, out);
}

const MAX_VERSION: usize = 64;
