//! The side of the running bgpd: it answers on a socket of its own, stops at a moment of its choice, hands everything over,
//! and either ends without a word to anybody or goes on as if it had not been asked.
//!
//! Invariants: only its own user and root are answered; it ends only after the other side said `Commit` and `Bye` is on its
//! way there; whatever goes wrong before lets it go on.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, ChannelError};
use super::{Answer, FORMAT, Hello, Want};
use crate::supervisor::SupervisorHandle;

/// Nobody else may ask.
const MODE: u32 = 0o600;

/// What the other side says when it has everything and is ready.
pub(super) const COMMIT: &str = "commit";
/// What this side says when it does nothing any more.
pub(super) const BYE: &str = "bye";

/// The end of a hand-over, for those who were handed over: with the value, somebody else has the sockets. Without one (the
/// sender is dropped), they go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The socket that a new bgpd asks at. Its file is replaced by whoever takes over, and removed at an orderly end.
#[derive(Debug)]
pub struct HandoverSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl HandoverSocket {
    /// Opens the socket. A file of that name is replaced: the API's socket has told that no other bgpd runs, or that it is
    /// gone.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(MODE))?;
        fs::rename(&beside, path)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers those who ask, one after the other. `leave` hears of one who wants bgpd to end for a restart.
    pub async fn serve(self, supervisor: SupervisorHandle, leave: mpsc::Sender<()>) {
        loop {
            let asked = match self.listener.accept().await {
                Ok((stream, _)) => stream.into_std(),
                Err(error) => Err(error),
            };
            let (supervisor, leave, runtime) = (supervisor.clone(), leave.clone(), Handle::current());
            let answered = match asked {
                Ok(stream) => {
                    // It blocks: nothing else is to happen meanwhile to what is handed over.
                    let answer = move || answer(stream, &supervisor, &leave, &runtime);
                    tokio::task::spawn_blocking(answer).await.unwrap_or(Ok(()))
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "a hand-over did not come about; this bgpd goes on");
            }
        }
    }
}

impl Drop for HandoverSocket {
    fn drop(&mut self) {
        // Somebody may have removed it.
        let _gone = fs::remove_file(&self.path);
    }
}

fn answer(
    stream: UnixStream,
    supervisor: &SupervisorHandle,
    leave: &mpsc::Sender<()>,
    runtime: &Handle,
) -> Result<(), ChannelError> {
    let mut channel = Channel::new(stream)?;
    let peer = channel.peer()?;
    let us = rustix::process::geteuid();
    if peer.uid != us && !peer.uid.is_root() {
        let reason = format!("user {} may not take over from user {}", peer.uid.as_raw(), us.as_raw());
        tracing::warn!(pid = peer.pid.as_raw_nonzero().get(), reason, "hand-over refused");
        return refuse(&mut channel, reason);
    }
    let hello: Hello = channel.get_value()?;
    let pid = peer.pid.as_raw_nonzero().get();
    if hello.want == Want::Leave {
        tracing::info!(pid, version = hello.version, "another bgpd starts and wants this one to leave");
        channel.put_value(&Answer::Leaves)?;
        channel.flush()?;
        // Open until the process ends: that is how the other one knows.
        std::mem::forget(channel);
        // No receiver: it is ending already.
        let _ending = leave.blocking_send(());
        return Ok(());
    }
    if !hello.formats.contains(&FORMAT) {
        let reason = format!(
            "bgpd {} writes hand-over format {FORMAT}, bgpd {} reads {:?}",
            env!("CARGO_PKG_VERSION"),
            hello.version,
            hello.formats
        );
        tracing::warn!(pid, reason, "hand-over refused");
        return refuse(&mut channel, reason);
    }
    tracing::info!(pid, version = hello.version, "another bgpd takes over");
    let (gone, verdict) = oneshot::channel();
    match runtime.block_on(supervisor.freeze(verdict)) {
        Err(reason) => {
            tracing::warn!(pid, reason, "hand-over refused");
            refuse(&mut channel, reason)
        }
        Ok(frozen) => {
            // Whatever fails here drops `gone`, and with it everybody goes on.
            let version = env!("CARGO_PKG_VERSION").to_owned();
            channel.put_value(&Answer::Follows { format: FORMAT, version })?;
            frozen.send(&mut channel)?;
            let word: String = channel.get_value()?;
            if word != COMMIT {
                return Err(ChannelError::Unexpected(word));
            }
            channel.put_value(&BYE)?;
            channel.flush()?;
            // No receiver: it is gone, too.
            let _parked = gone.send(Gone);
            tracing::info!(pid, "handed over, this bgpd ends");
            channel.wait_closed();
            // Not in order: an orderly end would close what is not ours any more.
            crate::logging::finish();
            std::process::exit(0);
        }
    }
}

fn refuse(channel: &mut Channel, reason: String) -> Result<(), ChannelError> {
    channel.put_value(&Answer::Refused { reason })?;
    channel.flush()
}
