//! Fields of prefixes (RFC 4271 §4.3, RFC 4760 §5, RFC 7911 §3 for path identifiers; errors: RFC 7606 §5.3).
//!
//! Invariant: a field is checked whole before the first prefix is handed out, so nobody acts on half of a message that
//! turns out to be malformed. The check counts; iterating afterwards allocates nothing and cannot fail.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::cursor::Cursor;
use crate::error::NlriFault;
use crate::family::Family;

/// The prefixes of one field, read as they are asked for. Bits behind the prefix length are cleared.
#[derive(Clone, Debug)]
pub struct Prefixes<'a> {
    rest: &'a [u8],
    left: usize,
    v6: bool,
    path_ids: bool,
}

impl<'a> Prefixes<'a> {
    /// Checks a field and counts its prefixes. The error says at which octet of the message.
    pub(crate) fn read(
        field: Cursor<'a>,
        family: Family,
        path_ids: bool,
    ) -> Result<Self, (usize, NlriFault)> {
        let v6 = family == Family::IPV6_UNICAST;
        let max = if v6 { 128 } else { 32 };
        let skip = if path_ids { 4 } else { 0 };
        let mut left = 0;
        let mut rest = field.rest();
        while !rest.is_empty() {
            let fault = |fault| (field.offset() + field.remaining() - rest.len(), fault);
            let (len, tail) =
                rest.get(skip..).and_then(<[u8]>::split_first).ok_or_else(|| fault(NlriFault::Overrun))?;
            if *len > max {
                return Err(fault(NlriFault::PrefixLength { found: *len, max }));
            }
            rest = tail.get(octets(*len)..).ok_or_else(|| fault(NlriFault::Overrun))?;
            left += 1;
        }
        Ok(Self { rest: field.rest(), left, v6, path_ids })
    }

    /// A field without prefixes.
    pub(crate) const fn none() -> Self {
        Self { rest: &[], left: 0, v6: false, path_ids: false }
    }

    /// The family of the prefixes.
    #[must_use]
    pub const fn family(&self) -> Family {
        if self.v6 { Family::IPV6_UNICAST } else { Family::IPV4_UNICAST }
    }

    /// Whether no prefix is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// All that are left, each with its path identifier (see [`Self::next_path`]).
    pub fn paths(mut self) -> impl Iterator<Item = (u32, IpNet)> + 'a {
        std::iter::from_fn(move || self.next_path())
    }

    /// The next prefix with its path identifier, which is 0 where none was negotiated (RFC 7911).
    pub fn next_path(&mut self) -> Option<(u32, IpNet)> {
        let mut rest = self.rest;
        let mut path_id = 0;
        if self.path_ids {
            let (octets, tail) = rest.split_first_chunk()?;
            path_id = u32::from_be_bytes(*octets);
            rest = tail;
        }
        let (len, rest) = rest.split_first()?;
        let prefix = if self.v6 {
            let bits = u128::from_be_bytes(leading(rest)) & mask_v6(*len);
            IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(bits), *len).ok()?)
        } else {
            let bits = u32::from_be_bytes(leading(rest)) & mask_v4(*len);
            IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(bits), *len).ok()?)
        };
        self.rest = rest.get(octets(*len)..)?;
        self.left = self.left.saturating_sub(1);
        Some((path_id, prefix))
    }
}

impl Iterator for Prefixes<'_> {
    type Item = IpNet;

    fn next(&mut self) -> Option<IpNet> {
        self.next_path().map(|(_, prefix)| prefix)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Prefixes<'_> {}
impl std::iter::FusedIterator for Prefixes<'_> {}

/// Writes one prefix, with its path identifier if there is one.
pub(crate) fn put_prefix(out: &mut BytesMut, path_id: Option<u32>, prefix: &IpNet) {
    if let Some(path_id) = path_id {
        out.put_u32(path_id);
    }
    // A copy of fixed size compiles to a store or two; the octets too many are cut off again.
    let end = out.len() + 1 + octets(prefix.prefix_len());
    match prefix {
        IpNet::V4(prefix) => {
            let [a, b, c, d] = prefix.network().octets();
            out.put_slice(&[prefix.prefix_len(), a, b, c, d]);
        }
        IpNet::V6(prefix) => {
            out.put_u8(prefix.prefix_len());
            out.put_slice(&prefix.network().octets());
        }
    }
    out.truncate(end);
}

/// Octets one prefix takes, with its path identifier if there is one.
pub(crate) fn encoded_len(path_id: Option<u32>, prefix: &IpNet) -> usize {
    1 + octets(prefix.prefix_len()) + if path_id.is_some() { 4 } else { 0 }
}

/// Octets of an address that a prefix length covers.
const fn octets(prefix_len: u8) -> usize {
    (prefix_len as usize).div_ceil(8)
}

/// The first `N` octets, or all with zeros behind them. What does not belong to the prefix is masked by the caller, so
/// a long read costs nothing and saves a loop.
fn leading<const N: usize>(octets: &[u8]) -> [u8; N] {
    octets.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        padded
    })
}

const fn mask_v4(len: u8) -> u32 {
    match u32::MAX.checked_shl(32_u32.saturating_sub(len as u32)) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn mask_v6(len: u8) -> u128 {
    match u128::MAX.checked_shl(128_u32.saturating_sub(len as u32)) {
        Some(mask) => mask,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8], family: Family) -> Result<Vec<String>, (usize, NlriFault)> {
        let prefixes = Prefixes::read(Cursor::new(octets, 100), family, false)?;
        let count = prefixes.len();
        let list: Vec<_> = prefixes.map(|prefix| prefix.to_string()).collect();
        assert_eq!(list.len(), count, "the check counted what the iterator hands out");
        Ok(list)
    }

    #[test]
    fn every_length_and_stray_bits() {
        let octets = [0, 8, 10, 9, 10, 0xff, 24, 192, 0, 2, 32, 192, 0, 2, 1, 1, 0xff];
        let wanted =
            ["0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "192.0.2.0/24", "192.0.2.1/32", "128.0.0.0/1"];
        assert_eq!(read(&octets, Family::IPV4_UNICAST).unwrap(), wanted);
        let octets = [0, 32, 0x20, 1, 0x0d, 0xb8, 3, 0xff];
        assert_eq!(read(&octets, Family::IPV6_UNICAST).unwrap(), ["::/0", "2001:db8::/32", "e000::/3"]);
    }

    #[test]
    fn malformed_fields() {
        let too_long = |found, max| NlriFault::PrefixLength { found, max };
        assert_eq!(read(&[8, 10, 33, 1, 2, 3, 4, 5], Family::IPV4_UNICAST), Err((102, too_long(33, 32))));
        assert_eq!(read(&[24, 10, 0], Family::IPV4_UNICAST), Err((100, NlriFault::Overrun)));
        assert_eq!(read(&[129; 20], Family::IPV6_UNICAST), Err((100, too_long(129, 128))));
        let with_id = |octets| {
            Prefixes::read(Cursor::new(octets, 0), Family::IPV4_UNICAST, true).map(|list| list.len())
        };
        assert_eq!(with_id(&[0, 0, 0, 1]), Err((0, NlriFault::Overrun)));
        assert_eq!(with_id(&[0, 0, 0, 1, 8, 10]), Ok(1));
    }

    proptest! {
        #[test]
        fn round_trip(
            v4 in proptest::collection::vec((any::<u32>(), any::<Ipv4Addr>(), 0u8..=32), 0..50),
            v6 in proptest::collection::vec((any::<u32>(), any::<Ipv6Addr>(), 0u8..=128), 0..50),
            path_ids: bool,
        ) {
            let v4 = v4.into_iter().map(|(id, a, len)| (id, IpNet::V4(Ipv4Net::new(a, len).unwrap().trunc()))).collect();
            let v6 = v6.into_iter().map(|(id, a, len)| (id, IpNet::V6(Ipv6Net::new(a, len).unwrap().trunc()))).collect();
            let both: [(Family, Vec<(u32, IpNet)>); 2] = [(Family::IPV4_UNICAST, v4), (Family::IPV6_UNICAST, v6)];
            for (family, list) in both {
                let mut out = BytesMut::new();
                for (id, prefix) in &list {
                    let (id, before) = (path_ids.then_some(*id), out.len());
                    put_prefix(&mut out, id, prefix);
                    prop_assert_eq!(out.len() - before, encoded_len(id, prefix));
                }
                let mut read = Prefixes::read(Cursor::new(&out, 0), family, path_ids).unwrap();
                prop_assert_eq!(read.family(), family);
                for (id, prefix) in list {
                    prop_assert_eq!(read.next_path(), Some((if path_ids { id } else { 0 }, prefix)));
                }
                prop_assert_eq!(read.next_path(), None);
            }
        }
    }
}
