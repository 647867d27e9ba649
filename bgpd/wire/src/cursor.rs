//! A bounded reader that knows where in the message it stands.
//!
//! Invariants: no read goes past the end of the slice the cursor was made for, a failed read consumes nothing, and
//! [`Cursor::offset`] counts from the first octet of the message (its marker), so an error names the octet a packet
//! capture shows.

/// A read wanted more octets than were left.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

/// A position in a message and the octets that may be read from there.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over `bytes`, the first of which is octet `offset` of the message.
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Octet of the message that is read next.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// How many octets are left.
    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left, without consuming it.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads exactly `N` octets.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Truncated)?;
        self.rest = tail;
        self.offset += N;
        Ok(*head)
    }

    /// Reads one octet.
    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// Reads two octets in network order.
    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads four octets in network order.
    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads `len` octets.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Truncated)?;
        self.rest = tail;
        self.offset += len;
        Ok(head)
    }

    /// Reads `len` octets as a cursor of their own: what is inside cannot read beyond them.
    pub(crate) fn sub(&mut self, len: usize) -> Result<Self, Truncated> {
        let offset = self.offset;
        self.take(len).map(|bytes| Self::new(bytes, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_network_order_and_counts_octets() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 19);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16(), Ok(0x0203));
        assert_eq!(cursor.u32(), Ok(0x0405_0607));
        assert_eq!((cursor.offset(), cursor.remaining()), (26, 2));
    }

    #[test]
    fn failed_read_consumes_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3], 0);
        assert_eq!(cursor.u32(), Err(Truncated));
        assert_eq!(cursor.take(4), Err(Truncated));
        assert_eq!((cursor.offset(), cursor.rest()), (0, &[1, 2, 3][..]));
    }

    #[test]
    fn sub_cursor_is_bounded_and_keeps_the_absolute_offset() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4], 100);
        assert_eq!(cursor.u8(), Ok(1));
        let mut inner = cursor.sub(2).unwrap();
        assert_eq!((inner.offset(), inner.u16(), inner.u8()), (101, Ok(0x0203), Err(Truncated)));
        assert_eq!((cursor.offset(), cursor.u8()), (103, Ok(4)));
    }
}
