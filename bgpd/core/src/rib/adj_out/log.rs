//! Messages of an update group that not all members have taken yet.
//!
//! A message is encoded when the first member asks for it and handed to the others as the same octets. Members read at
//! their own pace; what everybody has read is forgotten.
//!
//! Invariant: every member reads the messages in the order they were appended, so two messages about one prefix never
//! overtake each other.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::PeerId;

/// Which members of a group a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    All,
    /// All but the one that the routes came from.
    Except(PeerId),
    /// One that differs from the others.
    Only(PeerId),
}

impl Audience {
    pub(super) fn admits(self, peer: PeerId) -> bool {
        match self {
            Self::All => true,
            Self::Except(other) => peer != other,
            Self::Only(other) => peer == other,
        }
    }
}

/// The messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<LogEntry>,
    /// Number of the oldest message.
    first: u64,
    octets: usize,
}

#[derive(Debug)]
struct LogEntry {
    message: Bytes,
    audience: Audience,
    /// How many members have not passed it yet.
    unread: usize,
}

impl Log {
    /// The number that the next message will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The number of the oldest message.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Octets kept for members that have not read them.
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }

    /// Appends a message that `members` members will pass.
    pub(super) fn push(&mut self, message: Bytes, audience: Audience, members: usize) {
        self.octets += message.len();
        self.entries.push_back(LogEntry { message, audience, unread: members });
    }

    /// The next message for `peer`, whose position is `cursor`.
    pub(super) fn read(&mut self, cursor: &mut u64, peer: PeerId) -> Option<Bytes> {
        while *cursor < self.end() {
            let position = usize::try_from(cursor.saturating_sub(self.first)).unwrap_or(usize::MAX);
            *cursor += 1;
            let Some(entry) = self.entries.get_mut(position) else { continue };
            entry.unread = entry.unread.saturating_sub(1);
            let message = entry.audience.admits(peer).then(|| entry.message.clone());
            if position == 0 {
                self.forget_read();
            }
            if message.is_some() {
                return message;
            }
        }
        None
    }

    /// What `peer`, whose position is `cursor`, would read.
    pub(super) fn unread(&self, cursor: u64, peer: PeerId) -> impl Iterator<Item = Bytes> {
        let read = usize::try_from(cursor.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let unread = self.entries.iter().skip(read);
        unread.filter(move |entry| entry.audience.admits(peer)).map(|entry| entry.message.clone())
    }

    fn forget_read(&mut self) {
        while let Some(entry) = self.entries.front().filter(|entry| entry.unread == 0) {
            self.octets = self.octets.saturating_sub(entry.message.len());
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_reads_its_messages_in_order() {
        let (one, two) = (PeerId::new(1), PeerId::new(2));
        let mut log = Log::default();
        log.push(Bytes::from_static(b"a"), Audience::All, 2);
        log.push(Bytes::from_static(b"b"), Audience::Except(one), 2);
        log.push(Bytes::from_static(b"c"), Audience::Only(one), 2);
        let read_all = |log: &mut Log, cursor: &mut u64, peer| {
            std::iter::from_fn(|| log.read(cursor, peer)).flatten().collect::<Vec<u8>>()
        };
        let mut cursor = 0;
        assert_eq!(read_all(&mut log, &mut cursor, one), b"ac");
        assert_eq!((log.first(), log.octets()), (0, 3));
        let mut other = 0;
        assert_eq!(read_all(&mut log, &mut other, two), b"ab");
        assert_eq!((log.first(), log.end(), log.octets()), (3, 3, 0));
        assert_eq!((cursor, other), (3, 3));
    }
}
