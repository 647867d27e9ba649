//! What the sockets of an instance have to say, and the futures that wait for it.
//!
//! Invariant: a dial sets every option it was asked for before the first packet leaves, or fails with the reason.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bgp_core::{ConnId, Connect};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::instance::listener::Listener;
use crate::sockopt::{self, DialOptions};

/// What a socket of the instance has to say.
pub(super) enum IoEvent {
    /// Octets, an end or an error wait to be read.
    Readable(ConnId, io::Result<()>),
    /// The kernel takes octets again.
    Writable(ConnId, io::Result<()>),
    /// Somebody connected.
    Accepted(Listener, io::Result<(TcpStream, SocketAddr)>),
    /// A dial came through, or did not.
    Dialed(ConnId, Result<TcpStream, Arc<str>>),
    /// A dial that was given up, or a connection that said farewell.
    Done,
}

/// Something to wait for.
pub(super) type IoFuture = Pin<Box<dyn Future<Output = IoEvent> + Send>>;

/// Waits for the next connection.
pub(super) async fn accept(listener: Listener) -> IoEvent {
    let result = listener.socket.accept().await;
    IoEvent::Accepted(listener, result)
}

/// Dials.
pub(super) async fn dial(connect: Connect) -> Result<TcpStream, Arc<str>> {
    let fail = |text: String| -> Arc<str> { Arc::from(text) };
    let mut remote = connect.remote;
    if let (Some(interface), true) = (&connect.interface, sockopt::is_link_local(remote.ip())) {
        let scope = sockopt::interface_index(interface).map_err(|error| fail(error.to_string()))?;
        remote = sockopt::with_scope(remote, scope);
    }
    let socket = sockopt::dialer(&DialOptions {
        remote,
        local: connect.local,
        interface: connect.interface.as_deref(),
        protection: &connect.protection,
    })
    .map_err(|error| fail(error.to_string()))?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let stream = socket.connect(remote).await.map_err(|error| fail(plain(&error)))?;
    sockopt::protect::connected(&stream, remote, &connect.protection)
        .map_err(|error| fail(error.to_string()))?;
    Ok(stream)
}

/// A short read emptied the socket: the next news about it comes from the kernel, not from another read. (The runtime
/// clears readiness when a read would block, and this is such a read without the system call.)
pub(super) fn forget_readiness(stream: &TcpStream) {
    let _would_block = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
}

/// Sleeps until then; without a deadline, for good.
pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

/// The system's words without `(os error 111)`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
