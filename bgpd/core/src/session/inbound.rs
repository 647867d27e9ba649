//! From chunks of a stream to whole messages.
//!
//! Messages that lie whole in a chunk are handed on where they are; only the one that a chunk boundary cuts is copied.
//!
//! Invariant: at most one incomplete message is kept, so a connection never holds more than the longest message the
//! session accepts, whatever the peer sends.

use bgp_wire::{HEADER_LEN, MessageError, peek_frame};
use bytes::Bytes;

/// The incomplete message at the end of what came in so far.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    partial: Vec<u8>,
}

/// One step through a chunk.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A whole message.
    Frame(&'a [u8]),
    /// The chunk is used up.
    Starved,
    /// The stream cannot be followed any further.
    Broken(MessageError),
}

impl Inbound {
    /// Octets kept.
    pub(crate) fn len(&self) -> usize {
        self.partial.len()
    }

    /// What is kept, for somebody who goes on from here.
    pub(crate) fn partial(&self) -> Bytes {
        Bytes::copy_from_slice(&self.partial)
    }

    /// Goes on from there.
    pub(crate) fn resume(&mut self, partial: &[u8]) {
        self.partial = partial.to_vec();
    }

    /// The next whole message; `chunk` is moved past what was used.
    ///
    /// [`Inbound::consumed`] has to be called after a frame was handled.
    pub(crate) fn step<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8], max: usize) -> Step<'a> {
        if self.partial.is_empty() {
            return match peek_frame(chunk, max) {
                Err(error) => Step::Broken(error),
                Ok(length) => match length.and_then(|length| chunk.split_at_checked(length)) {
                    Some((frame, rest)) => {
                        *chunk = rest;
                        Step::Frame(frame)
                    }
                    None => {
                        self.partial.extend_from_slice(chunk);
                        *chunk = &[];
                        Step::Starved
                    }
                },
            };
        }
        // First the header is completed, then what it says.
        self.fill(chunk, HEADER_LEN);
        match peek_frame(&self.partial, max) {
            Err(error) => Step::Broken(error),
            Ok(None) => Step::Starved,
            Ok(Some(length)) => {
                self.fill(chunk, length);
                if self.partial.len() < length { Step::Starved } else { Step::Frame(&self.partial) }
            }
        }
    }

    /// Whether the frame that [`Inbound::step`] returned last was put together here and must be forgotten now.
    pub(crate) fn consumed(&mut self) {
        self.partial.clear();
    }

    fn fill(&mut self, chunk: &mut &[u8], wanted: usize) {
        let missing = wanted.saturating_sub(self.partial.len()).min(chunk.len());
        if let Some((taken, rest)) = chunk.split_at_checked(missing) {
            self.partial.extend_from_slice(taken);
            *chunk = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bgp_wire::{KEEPALIVE, MAX_LEN, Notification};

    fn read(inbound: &mut Inbound, mut chunk: &[u8]) -> Result<Vec<Vec<u8>>, MessageError> {
        let mut frames = Vec::new();
        loop {
            match inbound.step(&mut chunk, MAX_LEN) {
                Step::Frame(frame) => frames.push(frame.to_vec()),
                Step::Starved => return Ok(frames),
                Step::Broken(error) => return Err(error),
            }
            inbound.consumed();
        }
    }

    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages() {
        let message = Notification::new(6, 4).encode();
        let stream = [&KEEPALIVE[..], &message, &KEEPALIVE, &message].concat();
        let whole = read(&mut Inbound::default(), &stream).unwrap();
        assert_eq!(whole.len(), 4);
        for size in 1..stream.len() {
            let mut inbound = Inbound::default();
            let mut frames = Vec::new();
            for chunk in stream.chunks(size) {
                frames.extend(read(&mut inbound, chunk).unwrap());
                assert!(inbound.len() < MAX_LEN);
            }
            assert_eq!(frames, whole, "chunks of {size}");
            assert_eq!(inbound.len(), 0);
        }
    }

    #[test]
    fn a_bad_header_is_found_as_soon_as_it_is_whole() {
        let mut stream = KEEPALIVE.to_vec();
        stream[16] = 0xff;
        let mut inbound = Inbound::default();
        assert!(read(&mut inbound, &stream[..18]).unwrap().is_empty());
        assert_eq!(read(&mut inbound, &stream[18..]).unwrap_err().fault.code(), (1, 2));
    }
}
