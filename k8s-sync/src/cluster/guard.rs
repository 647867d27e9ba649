//! A last look before a write leaves the process.
//!
//! Between asking "may I write" and the write to the socket lie queues, and a process can be stopped in any of them for minutes. So
//! the question is asked once more where the body goes into the connection's buffer, right before that is written to the socket.
//! Without its body a server does nothing with a request. Invariant: a request that was withheld here has not been made.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;

/// Whether this process may write at this moment.
#[derive(Clone)]
pub struct Guard(Arc<dyn Fn() -> bool + Send + Sync>);

impl Guard {
    /// From a question that is cheap and never waits.
    #[must_use]
    pub fn new(may_write: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may_write))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Makes bodies that ask. The client has a type of its own for bodies and makes it of foreign ones only where it receives them: so
/// a client that sends nothing anywhere answers with them.
#[derive(Clone)]
pub(super) struct Bodies(Client);

impl Bodies {
    pub(super) fn new() -> Self {
        let answer = tower::service_fn(|request: Request<Body>| async move {
            let guarded = request.extensions().get::<Guarded>().cloned().unwrap_or_default();
            Ok::<_, Infallible>(Response::new(guarded))
        });
        Self(Client::new(answer, ""))
    }

    /// The body, and whether it was withheld, once it is known.
    pub(super) async fn make(&self, bytes: Vec<u8>, guard: Guard) -> (Body, Arc<AtomicBool>) {
        let withheld = Arc::new(AtomicBool::new(false));
        let guarded =
            Guarded { bytes: Some(bytes.into()), guard: Some(guard), withheld: Arc::clone(&withheld) };
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(guarded);
        match self.0.send(request).await {
            Ok(response) => (response.into_body(), withheld),
            Err(_impossible) => {
                withheld.store(true, Ordering::Relaxed);
                (Body::empty(), withheld)
            }
        }
    }
}

#[derive(Clone, Default)]
struct Guarded {
    bytes: Option<Bytes>,
    guard: Option<Guard>,
    withheld: Arc<AtomicBool>,
}

/// The term is over.
#[derive(Debug, thiserror::Error)]
#[error("this process may not write any more")]
struct Withheld;

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        if self.guard.as_ref().is_some_and(|guard| (guard.0)()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.withheld.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(Withheld)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::{Address, ApiError, Cluster, Connect};

    /// What a server gets to read of one patch, and what the client makes of it.
    async fn patch(may: bool) -> (String, Result<serde_json::Value, ApiError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: c, cluster: {{server: 'http://{server}'}}}}], contexts: [{{name: a, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(&file, text).unwrap();
        let cluster = Cluster::connect(&Connect { kubeconfig: Some(file), context: None }).await.unwrap();
        let reading = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut all, mut part) = (String::new(), [0; 4096]);
            while !all.contains("IT") {
                match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut part)).await {
                    Ok(Ok(count)) if count > 0 => all.push_str(&String::from_utf8_lossy(&part[..count])),
                    _ => return all,
                }
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).await.unwrap();
            all
        });
        let cluster = cluster.guarded(Guard::new(move || may));
        let made = cluster.merge_patch(&Address::core("nodes").name("n"), "m", &json!({"what": "IT"})).await;
        (reading.await.unwrap(), made)
    }

    #[tokio::test]
    async fn a_write_goes_out_whole_or_not_at_all() {
        let (read, made) = patch(true).await;
        assert_eq!(made, Ok(json!({})));
        assert!(
            read.to_ascii_lowercase().contains("content-length: 13") && read.ends_with("{\"what\":\"IT\"}"),
            "{read}"
        );
        let (read, made) = patch(false).await;
        assert!(matches!(made, Err(ApiError::Withheld { .. })), "{made:?}");
        assert!(!read.contains("IT"), "{read}");
    }
}
