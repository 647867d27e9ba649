//! Frames and file descriptors over a Unix socket.
//!
//! A frame is its length (four octets), its kind (one octet) and its content. Descriptors travel beside the octets of a frame
//! of their own (`SCM_RIGHTS`) and are given out in the order in which they came.
//!
//! Invariants: nothing waits longer than [`PATIENCE`]; a descriptor that is received belongs to somebody at once, so none
//! leaks; no frame is longer than [`LONGEST`].

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PATIENCE;

/// More than this is no frame.
const LONGEST: usize = 1 << 30;
/// Descriptors in one frame; the kernel takes 253.
const DESCRIPTORS: usize = 128;
/// Octets written or read at once.
const CHUNK: usize = 256 << 10;
/// Length and kind.
const HEAD: usize = 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A value, as JSON.
    Value = 1,
    /// So many descriptors came with it.
    Descriptors = 2,
    /// Routes.
    Routes = 3,
    /// Octets that a session has still to write.
    Unsent = 4,
    /// The end of a list.
    End = 5,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Value, Self::Descriptors, Self::Routes, Self::Unsent, Self::End];
}

/// Why the other side is not understood, or not there any more.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The system's words; a time-out among them.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The connection ended.
    #[error("the other bgpd closed the connection")]
    Closed,
    /// Something came that does not belong here.
    #[error("the other bgpd sent what is not understood: {0}")]
    Unexpected(String),
}

/// One end.
pub(super) struct Channel {
    stream: UnixStream,
    out: BytesMut,
    read: BytesMut,
    descriptors: VecDeque<OwnedFd>,
}

impl Channel {
    /// A channel over a connected socket.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, out: BytesMut::new(), read: BytesMut::new(), descriptors: VecDeque::new() })
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> io::Result<rustix::net::UCred> {
        Ok(rustix::net::sockopt::socket_peercred(&self.stream)?)
    }

    /// Queues a frame.
    pub(super) fn put(&mut self, kind: Kind, content: &[u8]) -> Result<(), ChannelError> {
        self.out.reserve(HEAD + content.len());
        let length = u32::try_from(content.len()).ok().filter(|length| *length as usize <= LONGEST);
        let length = length.ok_or_else(|| ChannelError::Unexpected("a frame without end".to_owned()))?;
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(&[kind as u8]);
        self.out.extend_from_slice(content);
        if self.out.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Queues a value.
    pub(super) fn put_value(&mut self, value: &impl Serialize) -> Result<(), ChannelError> {
        let json = serde_json::to_vec(value).map_err(|error| ChannelError::Unexpected(error.to_string()))?;
        self.put(Kind::Value, &json)
    }

    /// Sends descriptors, after everything that is queued. The other side gets copies.
    pub(super) fn put_descriptors(&mut self, descriptors: &[OwnedFd]) -> Result<(), ChannelError> {
        for some in descriptors.chunks(DESCRIPTORS) {
            self.flush()?;
            let borrowed: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&borrowed));
            let count = u8::try_from(some.len()).unwrap_or(u8::MAX);
            let frame = [0, 0, 0, 1, Kind::Descriptors as u8, count];
            let sent = sendmsg(&self.stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)
                .map_err(io::Error::from)?;
            // The rest of a frame that was cut goes without them: they are there already.
            self.out.extend_from_slice(frame.get(sent..).unwrap_or_default());
        }
        Ok(())
    }

    /// Writes everything that is queued.
    pub(super) fn flush(&mut self) -> Result<(), ChannelError> {
        while !self.out.is_empty() {
            let mut control = SendAncillaryBuffer::default();
            let sent = sendmsg(&self.stream, &[IoSlice::new(&self.out)], &mut control, SendFlags::NOSIGNAL);
            match sent {
                Ok(sent) => self.out.advance(sent),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// The next frame.
    pub(super) fn get(&mut self) -> Result<(Kind, Bytes), ChannelError> {
        while self.read.len() < HEAD {
            self.fill()?;
        }
        let length = self.read.get_u32() as usize;
        let code = self.read.get_u8();
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == code);
        let kind = kind.filter(|_| length <= LONGEST);
        let kind = kind.ok_or_else(|| ChannelError::Unexpected(format!("a frame of kind {code}")))?;
        while self.read.len() < length {
            self.fill()?;
        }
        Ok((kind, self.read.split_to(length).freeze()))
    }

    /// The next frame, if it is of this kind; else an error.
    pub(super) fn get_only(&mut self, wanted: Kind) -> Result<Bytes, ChannelError> {
        match self.get()? {
            (kind, content) if kind == wanted => Ok(content),
            (kind, _) => Err(ChannelError::Unexpected(format!("{kind:?} where {wanted:?} belongs"))),
        }
    }

    /// The next frame as a value.
    pub(super) fn get_value<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        let json = self.get_only(Kind::Value)?;
        serde_json::from_slice(&json).map_err(|error| ChannelError::Unexpected(error.to_string()))
    }

    /// The next `count` descriptors.
    pub(super) fn get_descriptors(&mut self, count: usize) -> Result<Vec<OwnedFd>, ChannelError> {
        let mut expected = 0;
        while expected < count {
            expected += usize::from(self.get_only(Kind::Descriptors)?.first().copied().unwrap_or_default());
        }
        if self.descriptors.len() != count {
            let there = self.descriptors.len();
            return Err(ChannelError::Unexpected(format!("{there} descriptors where {count} belong")));
        }
        Ok(self.descriptors.drain(..).collect())
    }

    /// Waits until the other side has closed, at most [`PATIENCE`].
    pub(super) fn wait_closed(&mut self) {
        while self.fill().is_ok() {}
    }

    fn fill(&mut self) -> Result<(), ChannelError> {
        let before = self.read.len();
        self.read.resize(before + CHUNK, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut place = [IoSliceMut::new(&mut self.read[before..])];
        let received = recvmsg(&self.stream, &mut place, &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = received.as_ref().map_or(0, |received| received.bytes);
        self.read.truncate(before + length);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        match received {
            Ok(_) if length == 0 => Err(ChannelError::Closed),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive_in_order() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, mut right) = (Channel::new(left).unwrap(), Channel::new(right).unwrap());
        let pipes: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
        let (ours, theirs): (Vec<UnixStream>, Vec<UnixStream>) = pipes.into_iter().unzip();
        let sender = std::thread::spawn(move || {
            left.put_value(&"first").unwrap();
            let ours: Vec<OwnedFd> = ours.into_iter().map(OwnedFd::from).collect();
            left.put_descriptors(&ours).unwrap();
            left.put(Kind::Routes, &vec![7; 3 * CHUNK]).unwrap();
            left.put(Kind::End, &[]).unwrap();
            left.flush().unwrap();
            left
        });
        assert_eq!(right.get_value::<String>().unwrap(), "first");
        let received = right.get_descriptors(200).unwrap();
        assert_eq!(right.get_only(Kind::Routes).unwrap().len(), 3 * CHUNK);
        assert!(matches!(right.get_only(Kind::Value), Err(ChannelError::Unexpected(_))));
        for (number, (ours, mut theirs)) in (0_u8..).zip(received.into_iter().zip(theirs)) {
            UnixStream::from(ours).write_all(&[number]).unwrap();
            let mut octet = [0];
            theirs.read_exact(&mut octet).unwrap();
            assert_eq!(octet, [number]);
        }
        drop(sender.join().unwrap());
        assert!(matches!(right.get(), Err(ChannelError::Closed)));
    }

    #[test]
    fn an_unknown_frame_is_an_error() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&[0, 0, 0, 0, 99]).unwrap();
        let error = Channel::new(right).unwrap().get().unwrap_err();
        assert_eq!(error.to_string(), "the other bgpd sent what is not understood: a frame of kind 99");
    }
}
