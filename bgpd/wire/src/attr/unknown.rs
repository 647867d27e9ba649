//! Attributes the codec has no row for (RFC 4271 §5, §9).
//!
//! Invariant: only optional transitive ones are kept, with the Partial bit set: they are ready to be passed on as they
//! are. Optional non-transitive ones are dropped when read; a well-known one nobody knows ends the session.

use std::fmt;

use super::row::{AttributeWriter, flag};

/// An optional transitive attribute to be passed on unread.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct UnknownAttribute {
    /// Attribute Flags; the Extended Length bit is left out and set by length when written.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// Attribute Value.
    pub value: Box<[u8]>,
}

impl UnknownAttribute {
    /// The attribute as it is passed on: optional, transitive, partial.
    #[must_use]
    pub fn passed_on(code: u8, value: &[u8]) -> Self {
        let flags = flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL;
        Self { flags, code, value: value.into() }
    }

    pub(crate) fn encode(&self, out: &mut bytes::BytesMut) {
        AttributeWriter { out, code: self.code, flags: self.flags & !flag::EXTENDED_LENGTH }
            .write(false, &self.value);
    }
}

impl fmt::Display for UnknownAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attribute {}: 0x", self.code)?;
        self.value.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
