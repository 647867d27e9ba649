//! A small HTTP/1.1 client for bgpd's Unix socket (RFC 9112): one connection per request, bodies as JSON or text.
//!
//! Invariant: every failure says what could not be done, with whom, and what to try; a caller prints it as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::control::{Applied, ErrorBody, Health, IntentSummary};
use crate::intent::Intent;
pub use crate::show::command::percent_encode as path_segment;

/// Where bgpd listens unless it was told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/rutter/bgpd.sock";

type Connection = hyper::client::conn::http1::Connection<TokioIo<UnixStream>, Full<Bytes>>;

/// Talks to one daemon over its Unix socket. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    server: &'static str,
    hint: &'static str,
    timeout: Duration,
}

/// An answer whose body is still on its way.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status, whatever it is.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The body.
    pub body: hyper::body::Incoming,
}

/// Why a request did not get its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket, or we may not open it.
    #[error("cannot reach {server} at {}: {}; {advice}", .socket.display(), reason(.cause))]
    Unreachable {
        /// The daemon's name.
        server: &'static str,
        /// The path that was tried.
        socket: PathBuf,
        /// What to try.
        advice: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The daemon took the request and did not answer in time.
    #[error("{server} at {} did not answer {method} {path} within {} s", .socket.display(), .after.as_secs())]
    Timeout {
        /// The daemon's name.
        server: &'static str,
        /// Its socket.
        socket: PathBuf,
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// How long we waited.
        after: Duration,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("{server} broke off {method} {path}: {cause}")]
    Broken {
        /// The daemon's name.
        server: &'static str,
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// What hyper said.
        cause: hyper::Error,
    },
    /// The path is no valid HTTP request target.
    #[error("{path:?} cannot be asked for: {cause}")]
    Path {
        /// The path as given.
        path: String,
        /// What hyper said.
        cause: hyper::http::Error,
    },
    /// The daemon said no.
    #[error("{}", refused(.server, .body))]
    Refused {
        /// The daemon's name.
        server: &'static str,
        /// The HTTP status.
        status: u16,
        /// Its reason.
        body: ErrorBody,
        /// The same as it came.
        raw: String,
    },
    /// The answer does not have the expected shape: client and daemon differ in version.
    #[error(
        "{server} answered {method} {path} with something unexpected ({cause}); are both of the same version?"
    )]
    Decode {
        /// The daemon's name.
        server: &'static str,
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// Where the JSON differs.
        cause: serde_json::Error,
    },
    /// The request body cannot be written as JSON.
    #[error("the request body for {path} cannot be written as JSON: {cause}")]
    Encode {
        /// The request's path.
        path: String,
        /// Why.
        cause: serde_json::Error,
    },
}

impl ClientError {
    /// The HTTP status, if the daemon answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether trying the same again later can help: the daemon was not there or did not finish.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Path { .. } | Self::Decode { .. } | Self::Encode { .. } => false,
        }
    }
}

impl Client {
    /// A client of the bgpd behind `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), server: "bgpd", hint: "", timeout: Duration::from_secs(10) }
    }

    /// The same, for another daemon than bgpd: its name appears in errors.
    #[must_use]
    pub fn server(mut self, name: &'static str) -> Self {
        self.server = name;
        self
    }

    /// Adds advice for when the socket cannot be opened: `use --socket PATH`.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// Longest time for one request, 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET`, the answer read as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask_json(Method::GET, path, Bytes::new()).await
    }

    /// `GET`, the answer as it came.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.ask(Method::GET, path, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// `PUT` of a JSON body, the answer read as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body =
            serde_json::to_vec(body).map_err(|cause| ClientError::Encode { path: path.to_owned(), cause })?;
        self.ask_json(Method::PUT, path, Bytes::from(body)).await
    }

    /// `DELETE`, the answer read as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask_json(Method::DELETE, path, Bytes::new()).await
    }

    /// `POST` without a body, to a page that answers with a status alone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str) -> Result<(), ClientError> {
        self.ask(Method::POST, path, Bytes::new()).await.map(drop)
    }

    /// `GET /v1/health`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get_json("/v1/health").await
    }

    /// `GET /v1/intents`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn intents(&self) -> Result<Vec<IntentSummary>, ClientError> {
        self.get_json("/v1/intents").await
    }

    /// `GET /v1/intents/{owner}`. bgpd masks passwords in it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn intent(&self, owner: &str) -> Result<Intent, ClientError> {
        self.get_json(&format!("/v1/intents/{}", path_segment(owner))).await
    }

    /// `PUT /v1/intents/{owner}`: from now on this is all that the owner wants.
    ///
    /// # Errors
    /// See [`ClientError`]; a status of 422 names the field that bgpd does not accept, and nothing has changed.
    pub async fn put_intent(&self, owner: &str, intent: &Intent) -> Result<Applied, ClientError> {
        self.put_json(&format!("/v1/intents/{}", path_segment(owner)), intent).await
    }

    /// `PUT /v1/intents/{owner}?dry_run`: what putting this intent would do. `hostname` is the one it would come with.
    ///
    /// # Errors
    /// See [`ClientError`]; a status of 422 names the field that bgpd would not accept.
    pub async fn plan_intent(
        &self,
        owner: &str,
        intent: &Intent,
        hostname: Option<&str>,
    ) -> Result<Applied, ClientError> {
        let mut path = format!("/v1/intents/{}?dry_run", path_segment(owner));
        if let Some(hostname) = hostname {
            path.push_str(&format!("&hostname={}", path_segment(hostname)));
        }
        self.put_json(&path, intent).await
    }

    /// `DELETE /v1/intents/{owner}`: the owner wants nothing any more.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_intent(&self, owner: &str) -> Result<Applied, ClientError> {
        self.delete(&format!("/v1/intents/{}", path_segment(owner))).await
    }

    /// `GET`, the answer whatever its status and as it comes: for who hands it on. Only its beginning has a time limit.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn open(&self, path: &str) -> Result<Answer, ClientError> {
        let opened = async {
            let (mut sender, connection, request) = self.connect(&Method::GET, path, Bytes::new()).await?;
            // It ends with the body.
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(|cause| self.broken(&Method::GET, path, cause))
        };
        let response = match tokio::time::timeout(self.timeout, opened).await {
            Ok(response) => response?,
            Err(_elapsed) => return Err(self.late(Method::GET, path)),
        };
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: response.status().as_u16(), content_type, body: response.into_body() })
    }

    async fn ask_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method.clone(), path, body).await?;
        serde_json::from_slice(&answer).map_err(|cause| ClientError::Decode {
            server: self.server,
            method,
            path: path.to_owned(),
            cause,
        })
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        match tokio::time::timeout(self.timeout, self.exchange(&method, path, body)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.late(method, path)),
        }
    }

    fn late(&self, method: Method, path: &str) -> ClientError {
        ClientError::Timeout {
            server: self.server,
            socket: self.socket.clone(),
            method,
            path: path.to_owned(),
            after: self.timeout,
        }
    }

    fn broken(&self, method: &Method, path: &str, cause: hyper::Error) -> ClientError {
        ClientError::Broken { server: self.server, method: method.clone(), path: path.to_owned(), cause }
    }

    /// A connection, the task that drives it, and the request to send over it.
    async fn connect(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<(SendRequest<Full<Bytes>>, Connection, Request<Full<Bytes>>), ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|cause| ClientError::Path { path: path.to_owned(), cause })?;
        let stream = UnixStream::connect(&self.socket).await.map_err(|cause| self.unreachable(cause))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|cause| self.broken(method, path, cause))?;
        Ok((sender, connection, request))
    }

    async fn exchange(&self, method: &Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let (mut sender, connection, request) = self.connect(method, path, body).await?;
        // The connection must be polled while we wait for the answer; it ends with the last handle to it.
        let connection = tokio::spawn(connection);
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        }
        .await;
        connection.abort();
        let (status, body): (StatusCode, Bytes) = answer.map_err(|cause| self.broken(method, path, cause))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Refused {
            server: self.server,
            status: status.as_u16(),
            body: refusal(status, &body),
            raw: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn unreachable(&self, cause: io::Error) -> ClientError {
        let mut advice = match cause.kind() {
            io::ErrorKind::PermissionDenied => "you must be root or in the socket's group".to_owned(),
            _ => format!("is {} running?", self.server),
        };
        if !self.hint.is_empty() {
            advice = format!("{advice} {}", self.hint);
        }
        ClientError::Unreachable { server: self.server, socket: self.socket.clone(), advice, cause }
    }
}

/// Refusals of show commands read as FRR writes them, all others name who refused.
fn refused(server: &str, body: &ErrorBody) -> String {
    if body.error.starts_with('%') { body.error.clone() } else { format!("{server}: {}", body.error) }
}

/// bgpd always sends an [`ErrorBody`]; a proxy or an older bgpd may not.
fn refusal(status: StatusCode, body: &[u8]) -> ErrorBody {
    serde_json::from_slice(body).unwrap_or_else(|_not_ours| {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        ErrorBody::new(match text {
            "" => status.to_string(),
            // A show command as text refuses as FRR does.
            _ if text.starts_with('%') => text.to_owned(),
            _ => format!("{status}: {text}"),
        })
    })
}

/// The kernel's words without `(os error 2)`, which helps nobody.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers one request with these bytes and returns what was asked.
    async fn serve_once(listener: UnixListener, answer: String) -> String {
        let (mut stream, _) = listener.accept().await.expect("a client connects");
        let mut asked = vec![0; 4096];
        let read = stream.read(&mut asked).await.expect("a request");
        stream.write_all(answer.as_bytes()).await.expect("the answer is taken");
        String::from_utf8_lossy(&asked[..read]).into_owned()
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    async fn exchange_with(answer: String, path: &str) -> (Result<serde_json::Value, ClientError>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("bgpd.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let server = tokio::spawn(serve_once(listener, answer));
        let result = Client::new(&socket).get_json(path).await;
        (result, server.await.expect("the server ends"))
    }

    #[tokio::test]
    async fn reads_json() {
        let (answer, asked) = exchange_with(http("200 OK", r#"{"status":"ok"}"#), "/v1/health").await;
        assert_eq!(answer.expect("an answer")["status"], "ok");
        assert!(asked.starts_with("GET /v1/health HTTP/1.1\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn hands_on_the_refusal() {
        let body = r#"{"error":"instances[0].localASN: 23456 is reserved","field":"instances[0].localASN"}"#;
        let (answer, _) = exchange_with(http("422 Unprocessable Entity", body), "/v1/intents/x").await;
        let error = answer.expect_err("a refusal");
        assert_eq!(error.to_string(), "bgpd: instances[0].localASN: 23456 is reserved");
        assert_eq!(error.status(), Some(422));
        assert!(!error.is_transient());
    }

    #[tokio::test]
    async fn a_plain_text_error_is_kept() {
        let (answer, _) = exchange_with(http("404 Not Found", "no such page\n"), "/x").await;
        assert_eq!(answer.expect_err("a refusal").to_string(), "bgpd: 404 Not Found: no such page");
    }

    #[tokio::test]
    async fn names_the_socket_that_is_missing() {
        let error = Client::new("/nowhere/bgpd.sock")
            .hint("use --socket PATH")
            .get_json::<serde_json::Value>("/v1/health")
            .await
            .expect_err("nobody is there");
        assert_eq!(
            error.to_string(),
            "cannot reach bgpd at /nowhere/bgpd.sock: No such file or directory; is bgpd running? use --socket PATH"
        );
        assert!(error.is_transient());
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("bgpd.sock");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let client = Client::new(&socket).timeout(Duration::from_millis(50));
        let error = client.health().await.expect_err("no answer");
        assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_prefix_is_one_segment() {
        assert_eq!(path_segment("10.0.0.0/8"), "10.0.0.0%2F8");
        assert_eq!(path_segment("fe80::1"), "fe80::1");
        assert_eq!(path_segment("a b"), "a%20b");
    }
}
