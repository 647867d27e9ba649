//! ADD-PATH (RFC 7911 §4): several paths per prefix, told apart by a path identifier.

use bytes::{BufMut, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::family::Family;

/// What the sender does with several paths in one family.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct AddPath {
    /// The family.
    pub family: Family,
    /// In which direction.
    pub mode: AddPathMode,
}

/// Send/Receive of an ADD-PATH entry.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum AddPathMode {
    /// Takes several paths.
    Receive,
    /// Sends several paths.
    Send,
    /// Both.
    Both,
    /// Any other value: the entry is to be ignored.
    Undefined(u8),
}

impl AddPathMode {
    /// Whether the sender takes several paths.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::Both)
    }

    /// Whether the sender sends several paths.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Both)
    }
}

impl AddPath {
    pub(super) fn decode(value: &mut Cursor<'_>) -> Result<Self, Truncated> {
        let family = Family { afi: value.u16()?, safi: value.u8()? };
        let mode = match value.u8()? {
            1 => AddPathMode::Receive,
            2 => AddPathMode::Send,
            3 => AddPathMode::Both,
            other => AddPathMode::Undefined(other),
        };
        Ok(Self { family, mode })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u16(self.family.afi);
        out.put_u8(self.family.safi);
        out.put_u8(match self.mode {
            AddPathMode::Receive => 1,
            AddPathMode::Send => 2,
            AddPathMode::Both => 3,
            AddPathMode::Undefined(other) => other,
        });
    }
}
