//! One TCP connection of a session: what is queued for it, and how it is read, written and brought to an end.
//!
//! The owner task reads and writes by itself when the kernel says it can; nothing is handed between tasks, and an idle
//! connection owns no buffer.
//!
//! Invariant: octets leave in the order they were queued, and a connection that is closed in order has sent all that was
//! queued before, as far as the peer took it in time.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use bgp_core::Time;
use bytes::{Buf, Bytes, BytesMut};
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::net::TcpStream;

/// Messages gathered into one write. 64 UPDATEs of full size are 256 KiB.
const GATHER: usize = 64;
/// How long a closing peer may take to read the last words.
const LINGER: Duration = Duration::from_secs(1);

/// A connection that belongs to a session.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// KEEPALIVEs in the queue that a timer sent.
    keepalives: VecDeque<QueuedKeepalive>,
    /// Octets queued and written since the beginning.
    pushed: u64,
    written: u64,
    /// Somebody waits for the socket to take more.
    pub write_armed: bool,
}

/// A KEEPALIVE that waits to be written.
#[derive(Debug)]
struct QueuedKeepalive {
    /// It is out when so many octets are.
    end: u64,
    due: Time,
    behind: bool,
}

/// A KEEPALIVE that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentKeepalive {
    /// When its timer wanted it to go out.
    pub due: Time,
    /// It had to wait for octets before it that the peer had not taken.
    pub behind: bool,
}

impl Connection {
    /// Wraps a connected stream.
    #[must_use]
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream: Arc::new(stream),
            queue: VecDeque::new(),
            queued: 0,
            keepalives: VecDeque::new(),
            pushed: 0,
            written: 0,
            write_armed: false,
        }
    }

    /// Wraps a stream that another process used, with what that one had still to write.
    #[must_use]
    pub(super) fn resume(stream: TcpStream, unsent: Bytes) -> Self {
        let mut connection = Self::new(stream);
        if !unsent.is_empty() {
            connection.push(unsent, None);
        }
        connection
    }

    /// What is still to be written, for another process.
    #[must_use]
    pub(super) fn unsent(&self) -> Bytes {
        let mut unsent = BytesMut::with_capacity(self.queued);
        self.queue.iter().for_each(|bytes| unsent.extend_from_slice(bytes));
        unsent.freeze()
    }

    /// The stream, to wait for it.
    #[must_use]
    pub(super) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Octets that wait to be written.
    #[must_use]
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Queues octets; `due` is when they should have gone out, of a KEEPALIVE that its timer sends.
    pub(super) fn push(&mut self, bytes: Bytes, due: Option<Time>) {
        let behind = self.queued > 0;
        self.pushed += bytes.len() as u64;
        self.queued += bytes.len();
        self.queue.push_back(bytes);
        if let Some(due) = due {
            self.keepalives.push_back(QueuedKeepalive { end: self.pushed, due, behind });
        }
    }

    /// The next KEEPALIVE that was written and not returned yet.
    pub(super) fn sent_keepalive(&mut self) -> Option<SentKeepalive> {
        let front = self.keepalives.front().filter(|front| front.end <= self.written)?;
        let sent = SentKeepalive { due: front.due, behind: front.behind };
        self.keepalives.pop_front();
        Some(sent)
    }

    /// Reads what the kernel has, whether or not the runtime has heard of it.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if there is nothing.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
    }

    /// Writes until the queue is empty or the kernel takes no more. Returns how much went out.
    ///
    /// # Errors
    /// The system's, if the connection is broken.
    pub(super) fn write(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); GATHER];
            let mut gathered = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
                gathered += 1;
            }
            match self.stream.try_write_vectored(&slices[..gathered]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.consume(length);
                    written += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn consume(&mut self, mut length: usize) {
        self.queued -= length;
        self.written += length as u64;
        while length > 0 {
            let Some(front) = self.queue.front_mut() else { return };
            if length < front.len() {
                front.advance(length);
                return;
            }
            length -= front.len();
            self.queue.pop_front();
        }
        // A queue that was long once need not stay so.
        if self.queue.is_empty() && self.queue.capacity() > GATHER {
            self.queue = VecDeque::new();
        }
    }

    /// Ends the connection at once. Whoever waits for the stream still holds it; this wakes them, so that the descriptor
    /// is freed and the peer hears of it.
    pub(super) fn abandon(self) {
        // One that the peer has reset is as closed as it can be.
        let _closed = SockRef::from(&*self.stream).shutdown(Shutdown::Both);
    }

    /// Ends the connection in order: writes the rest, says that nothing follows, and reads until the peer has closed
    /// too, so that the kernel does not throw a last NOTIFICATION away with a reset. Bounded in time.
    pub(super) async fn close(self) {
        let Self { stream, queue, .. } = self;
        let farewell = async {
            for bytes in queue {
                write_all(&stream, &bytes).await?;
            }
            SockRef::from(&*stream).shutdown(Shutdown::Write)?;
            let mut rest = [0; 512];
            loop {
                stream.readable().await?;
                match stream.try_read(&mut rest) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        };
        // Whether the peer took it is no longer ours to know.
        let _outcome: Result<io::Result<()>, _> = tokio::time::timeout(LINGER, farewell).await;
        // Wakes whoever still waits for the stream, so that the descriptor is freed.
        let _closed = SockRef::from(&*stream).shutdown(Shutdown::Both);
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Connection::new(dialed.expect("connected")), accepted.expect("accepted").0)
    }

    #[tokio::test]
    async fn writes_in_order_across_many_small_pieces() {
        let (mut connection, mut peer) = pair().await;
        let expected: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
        for chunk in expected.chunks(7) {
            connection.push(Bytes::copy_from_slice(chunk), None);
        }
        assert_eq!(connection.queued(), expected.len());
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.expect("read");
            all
        });
        while connection.queued() > 0 {
            connection.write().expect("written");
            tokio::task::yield_now().await;
        }
        connection.close().await;
        assert_eq!(reader.await.expect("the reader ends"), expected);
    }

    #[tokio::test]
    async fn keepalives_are_known_by_when_they_were_written() {
        let (mut connection, mut peer) = pair().await;
        let due = |second| Some(Time::ZERO + Duration::from_secs(second));
        connection.push(Bytes::from_static(b"alive"), due(1));
        assert_eq!(connection.sent_keepalive(), None);
        connection.write().expect("written");
        assert_eq!(connection.sent_keepalive(), Some(SentKeepalive { due: due(1).unwrap(), behind: false }));
        assert_eq!(connection.sent_keepalive(), None);
        // More than the kernel takes while the peer does not read.
        connection.push(Bytes::from(vec![0; 32 << 20]), None);
        connection.push(Bytes::from_static(b"alive"), due(2));
        connection.write().expect("written");
        assert_eq!(connection.sent_keepalive(), None);
        let reader = tokio::spawn(async move { while peer.read(&mut [0; 65536]).await.unwrap_or(0) > 0 {} });
        while connection.queued() > 0 {
            connection.stream().writable().await.expect("the peer reads");
            connection.write().expect("written");
        }
        assert_eq!(connection.sent_keepalive(), Some(SentKeepalive { due: due(2).unwrap(), behind: true }));
        drop(connection);
        reader.await.expect("it ends");
    }

    #[tokio::test]
    async fn an_abandoned_connection_is_closed_although_somebody_waits_for_it() {
        let (connection, mut peer) = pair().await;
        let stream = Arc::clone(connection.stream());
        let waiting = tokio::spawn(async move { stream.readable().await });
        tokio::task::yield_now().await;
        connection.abandon();
        let end = tokio::time::timeout(Duration::from_secs(5), peer.read(&mut [0; 8])).await;
        assert_eq!(end.expect("the peer hears of it").expect("in order"), 0);
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .expect("woken")
            .expect("ends")
            .expect("ready");
    }

    #[tokio::test]
    async fn the_last_words_arrive_although_the_peer_was_talking() {
        let (mut connection, mut peer) = pair().await;
        peer.try_write(&[1; 1000]).expect("the peer talks and we do not listen");
        connection.push(Bytes::from_static(b"farewell"), None);
        let closing = tokio::spawn(connection.close());
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.expect("no reset");
        assert_eq!(all, b"farewell");
        drop(peer);
        closing.await.expect("closed");
    }
}
