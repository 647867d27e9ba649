//! Graceful Restart (RFC 4724 §3), with the N bit of RFC 8538 §2.

use bytes::{BufMut, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::family::Family;

/// Graceful Restart capability.
#[derive(serde::Serialize, serde::Deserialize, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct GracefulRestart {
    /// Restart State (R): the sender has restarted.
    pub restart_state: bool,
    /// Graceful Notification (N): NOTIFICATION messages keep routes too.
    pub notification: bool,
    /// Restart Time in seconds, at most 4095; what is above is cut when sent.
    pub restart_time: u16,
    /// Families whose routes are kept, each with the Forwarding State bit (F).
    pub families: Vec<(Family, bool)>,
}

impl GracefulRestart {
    pub(super) fn decode(value: &mut Cursor<'_>) -> Result<Self, Truncated> {
        let head = value.u16()?;
        let families = super::entries(value, |value| {
            let family = Family { afi: value.u16()?, safi: value.u8()? };
            Ok((family, value.u8()? & FORWARDING != 0))
        })?;
        Ok(Self {
            restart_state: head & RESTART != 0,
            notification: head & NOTIFICATION != 0,
            restart_time: head & TIME,
            families,
        })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let restart = if self.restart_state { RESTART } else { 0 };
        let notification = if self.notification { NOTIFICATION } else { 0 };
        out.put_u16(restart | notification | self.restart_time.min(TIME));
        for (family, forwarding) in &self.families {
            out.put_u16(family.afi);
            out.put_u8(family.safi);
            out.put_u8(if *forwarding { FORWARDING } else { 0 });
        }
    }
}

const RESTART: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const TIME: u16 = 0x0fff;
const FORWARDING: u8 = 0x80;
