//! FQDN (draft-walton-bgp-hostname-capability): a host name and a domain name, each behind one octet of length.

use bytes::BytesMut;

use super::{Capability, put_text, text};
use crate::cursor::Cursor;

/// `None` if the two texts do not fit the value. The capability is kept as unknown then: a name is no reason to refuse
/// a session.
pub(super) fn decode(mut value: Cursor<'_>) -> Option<Capability> {
    let (host, domain) = (text(&mut value)?, text(&mut value)?);
    value.is_empty().then_some(Capability::Fqdn { host, domain })
}

/// Each name is cut to 64 octets, which keeps the capability within its length and is what the draft allows.
pub(super) fn encode(host: &str, domain: &str, out: &mut BytesMut) {
    put_text(host, MAX_NAME, out);
    put_text(domain, MAX_NAME, out);
}

const MAX_NAME: usize = 64;
