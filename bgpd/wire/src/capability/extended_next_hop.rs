//! Extended Next Hop Encoding (RFC 8950 §4): which families may come with a next hop of another family.

use bytes::{BufMut, BytesMut};

use crate::cursor::{Cursor, Truncated};
use crate::family::Family;

/// One pair of NLRI family and next hop family.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct ExtendedNextHop {
    /// Family of the prefixes.
    pub nlri: Family,
    /// Address family of the next hop.
    pub next_hop_afi: u16,
}

impl ExtendedNextHop {
    /// IPv4 unicast prefixes with IPv6 next hops.
    pub const IPV4_OVER_IPV6: Self = Self { nlri: Family::IPV4_UNICAST, next_hop_afi: 2 };

    pub(super) fn decode(value: &mut Cursor<'_>) -> Result<Self, Truncated> {
        // The SAFI has two octets here, and only here. One above 255 does not exist: it is taken as 0, which is reserved.
        let (afi, safi) = (value.u16()?, value.u16()?);
        let nlri = Family { afi, safi: u8::try_from(safi).unwrap_or_default() };
        Ok(Self { nlri, next_hop_afi: value.u16()? })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u16(self.nlri.afi);
        out.put_u16(self.nlri.safi.into());
        out.put_u16(self.next_hop_afi);
    }
}
