//! Long-Lived Graceful Restart (RFC 9494 §3.1).

use bytes::{BufMut, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::family::Family;

/// How long routes of one family are kept as stale.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct LongLivedFamily {
    /// The family.
    pub family: Family,
    /// Forwarding State bit (F).
    pub forwarding: bool,
    /// Long-Lived Stale Time in seconds, at most 16,777,215; what is above is cut when sent.
    pub stale_time: u32,
}

impl LongLivedFamily {
    pub(super) fn decode(value: &mut Cursor<'_>) -> Result<Self, Truncated> {
        let family = Family { afi: value.u16()?, safi: value.u8()? };
        let forwarding = value.u8()? & FORWARDING != 0;
        let [high, middle, low] = value.array()?;
        Ok(Self { family, forwarding, stale_time: u32::from_be_bytes([0, high, middle, low]) })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u16(self.family.afi);
        out.put_u8(self.family.safi);
        out.put_u8(if self.forwarding { FORWARDING } else { 0 });
        let [_, time @ ..] = self.stale_time.min(MAX_TIME).to_be_bytes();
        out.put_slice(&time);
    }
}

const FORWARDING: u8 = 0x80;
const MAX_TIME: u32 = 0x00ff_ffff;
