//! The side of the new bgpd: it asks, gets everything, and says when it is ready.
//!
//! Invariants: before [`Taken::commit`] returned without an error nothing that was received is read from or written to;
//! dropping a [`Taken`] gives it back.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelError};
use super::give::{BYE, COMMIT};
use super::parcel::FrozenProcess;
use super::{Answer, FORMAT, Hello, Want};

/// How long a bgpd that was asked to leave may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// Why nothing was taken over. The running bgpd goes on.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The running bgpd cannot be asked.
    #[error("the running bgpd cannot be asked: {0}")]
    Connect(io::Error),
    /// It said no.
    #[error("the running bgpd refuses: {0}")]
    Refused(String),
    /// It writes what this one does not read.
    #[error("the running bgpd (version {version}) hands over in format {format}, this one reads {FORMAT}")]
    Format {
        /// The format.
        format: u32,
        /// The version of the running bgpd.
        version: String,
    },
    /// It was not understood, or went away.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// What came cannot be used here.
    #[error("what the running bgpd handed over cannot be used: {0}")]
    Unusable(String),
    /// It did not leave.
    #[error("the running bgpd was asked to leave and is still there after {} s", LEAVE_LIMIT.as_secs())]
    Stays,
}

/// Everything, received and not yet ours.
pub struct Taken {
    channel: Channel,
    /// What was received. Taken out by whoever builds something of it.
    pub process: Option<FrozenProcess>,
    /// The version of the bgpd that gave it.
    pub version: String,
}

/// Asks the running bgpd for everything. None: there is none.
///
/// # Errors
/// See [`TakeError`].
pub fn ask(path: &Path) -> Result<Option<Taken>, TakeError> {
    let Some(mut channel) = connect(path, Want::TakeOver)? else { return Ok(None) };
    match channel.get_value()? {
        Answer::Follows { format: FORMAT, version } => {
            let process = FrozenProcess::receive(&mut channel)?;
            Ok(Some(Taken { channel, process: Some(process), version }))
        }
        Answer::Follows { format, version } => Err(TakeError::Format { format, version }),
        Answer::Refused { reason } => Err(TakeError::Refused(reason)),
        Answer::Leaves => Err(TakeError::Refused("it leaves".to_owned())),
    }
}

impl Taken {
    /// From here on it is ours, unless this fails: then it never was.
    ///
    /// # Errors
    /// The running bgpd is not there any more, or goes on without us.
    pub fn commit(&mut self) -> Result<(), TakeError> {
        self.channel.put_value(&COMMIT)?;
        self.channel.flush()?;
        let word: String = self.channel.get_value()?;
        if word == BYE { Ok(()) } else { Err(ChannelError::Unexpected(word).into()) }
    }
}

/// Asks the running bgpd to leave for a restart, and waits until it is gone.
///
/// # Errors
/// See [`TakeError`]: it is still there.
pub fn ask_to_leave(path: &Path) -> Result<(), TakeError> {
    let Some(mut channel) = connect(path, Want::Leave)? else { return Ok(()) };
    match channel.get_value()? {
        Answer::Leaves => {}
        Answer::Refused { reason } => return Err(TakeError::Refused(reason)),
        Answer::Follows { .. } => return Err(TakeError::Refused("it hands over instead".to_owned())),
    }
    let begun = Instant::now();
    while begun.elapsed() < LEAVE_LIMIT {
        match channel.get() {
            Err(ChannelError::Closed) => return Ok(()),
            Err(ChannelError::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            // It was reset: as closed as it can be.
            Err(ChannelError::Io(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Err(TakeError::Stays)
}

fn connect(path: &Path, want: Want) -> Result<Option<Channel>, TakeError> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(TakeError::Connect(error)),
    };
    let mut channel = Channel::new(stream).map_err(TakeError::Connect)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    channel.put_value(&Hello { formats: vec![FORMAT], version, want })?;
    channel.flush()?;
    Ok(Some(channel))
}
