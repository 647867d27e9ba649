//! A watch: a response that does not end, one JSON event per line.
//!
//! Invariant: a stream that stops to tell anything ends: the server is dead ([`super::pulse`]), or this one connection is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::connect::{Cluster, chain};
use super::error::ApiError;

/// The server sends a bookmark about once a minute. Without three of them the connection is dead, though others may live.
const IDLE: Duration = Duration::from_secs(200);

/// One event.
#[derive(Deserialize)]
pub(super) struct Event<'l> {
    #[serde(rename = "type")]
    pub(super) type_: &'l str,
    #[serde(borrow)]
    pub(super) object: &'l RawValue,
}

/// The lines of a watch.
pub(super) struct Lines {
    cluster: Cluster,
    what: String,
    body: Body,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line's end.
    searched: usize,
    losses: watch::Receiver<u64>,
}

impl Lines {
    pub(super) fn new(cluster: &Cluster, what: String, body: Body) -> Self {
        let losses = cluster.shared.pulse.losses();
        Self { cluster: cluster.clone(), what, body, buffer: BytesMut::new(), searched: 0, losses }
    }

    /// The next line, or nothing when the server has ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            let frame = tokio::select! {
                frame = tokio::time::timeout(IDLE, self.body.frame()) => frame,
                _ = self.losses.changed() => return Err(self.broken("it does not answer any more")),
            };
            match frame {
                Ok(Some(Ok(frame))) => {
                    self.cluster.shared.pulse.beat();
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Ok(Some(Err(error))) => {
                    let cause = chain(&error);
                    return Err(self.broken(&cause));
                }
                Ok(None) => return Ok(None),
                Err(_elapsed) => return Err(ApiError::Timeout { what: self.what.clone(), after: IDLE }),
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end + 1).freeze();
        self.searched = 0;
        Some(line)
    }

    fn broken(&self, cause: &str) -> ApiError {
        let (what, server) = (self.what.clone(), self.cluster.server().to_owned());
        ApiError::Unreachable { what, server, cause: cause.to_owned() }
    }
}
