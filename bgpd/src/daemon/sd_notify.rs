//! A word to systemd, if it started us: who is the main process now.
//!
//! Invariant: without `NOTIFY_SOCKET`, and if systemd does not listen, nothing happens.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says that this process is the service's main one, and ready (sd_notify(3)).
pub(super) fn main_process() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let message = format!("MAINPID={}\nREADY=1\n", std::process::id());
    let sent = address.and_then(|address| {
        UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(message.as_bytes(), &address))
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd does not hear who the main process is");
    }
}
