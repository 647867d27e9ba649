//! Where the API listens: a Unix socket that only root and its group may open, and TCP when asked.
//!
//! Invariants: a socket file of a bgpd that answers is never taken away from it; what comes over TCP may change something
//! only with the token.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::http::error::ApiError;

/// Owner and group read and write.
const SOCKET_MODE: u32 = 0o660;

/// Why the API cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody serves this socket.
    #[error("{} is served by another bgpd; stop it, or use --socket PATH", .0.display())]
    InUse(PathBuf),
    /// Something else than a socket has this name.
    #[error("{} exists and is not a socket; remove it, or use --socket PATH", .0.display())]
    NotASocket(PathBuf),
    /// The system's refusal.
    #[error("cannot {what}: {source}; {advice}")]
    System {
        /// What was attempted.
        what: String,
        /// What to try.
        advice: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The token file cannot be used.
    #[error("token file {}: {reason}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The API's Unix socket. Its file goes away with it.
#[derive(Debug)]
pub struct ApiSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The name of a socket that we made.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(socket = %self.0.display(), %error, "the socket file stays behind");
        }
    }
}

impl ApiSocket {
    /// Opens the socket, in a folder that is made if it does not exist. The file of a bgpd that died is replaced.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|source| OpenError::System {
                what: format!("make the folder {}", folder.display()),
                advice: "use --socket PATH to put the socket where you may write",
                source,
            })?;
        }
        clear_stale(path)?;
        let system = |source| OpenError::System {
            what: format!("listen on {}", path.display()),
            advice: "use --socket PATH to put the socket where you may write",
            source,
        };
        let listener = UnixListener::bind(path).map_err(system)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(system)?;
        Ok(Self { listener, file })
    }

    /// Opens a socket that another bgpd serves under this name, beside it, so that it can take its place later.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn beside(path: &Path) -> Result<Self, OpenError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // What is there was left by somebody who did not come so far.
        let _left_over = fs::remove_file(&beside);
        Self::open(&beside)
    }

    /// Takes the place of the socket with this name.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(mut self, path: &Path) -> io::Result<Self> {
        fs::rename(&self.file.0, path)?;
        self.file.0 = path.to_owned();
        Ok(self)
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The system's.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> io::Result<()> {
        let Self { listener, file } = self;
        let result = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        drop(file);
        result
    }
}

fn clear_stale(path: &Path) -> Result<(), OpenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(OpenError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| OpenError::System {
                what: format!("replace the left-over socket {}", path.display()),
                advice: "remove it by hand",
                source,
            })
        }
        // It answers, or we may not even ask.
        _ => Err(OpenError::InUse(path.to_owned())),
    }
}

/// The API over TCP.
#[derive(Debug)]
pub struct ApiTcp {
    listener: TcpListener,
    token: Option<Token>,
}

impl ApiTcp {
    /// Opens the listener.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(address: SocketAddr, token_file: Option<&Path>) -> Result<Self, OpenError> {
        let token = token_file.map(Token::read).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|source| OpenError::System {
            what: format!("offer the API on {address}"),
            advice: "use another address or port",
            source,
        })?;
        Ok(Self { listener, token })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The system's.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> io::Result<()> {
        let router = router.layer(middleware::from_fn_with_state(self.token, guard));
        axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

/// What a writer over TCP must know. Never printed.
#[derive(Clone)]
struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("********")
    }
}

impl Token {
    fn read(path: &Path) -> Result<Self, OpenError> {
        let fault = |reason: String| OpenError::Token { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let token = text.trim();
        if token.len() < 16 {
            return Err(fault("holds fewer than 16 characters; write a long random word into it".to_owned()));
        }
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// Compares in a time that does not tell where the first difference is.
    fn matches(&self, given: &[u8]) -> bool {
        let differences = self.0.iter().zip(given).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        self.0.len() == given.len() && differences == 0
    }
}

async fn guard(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let Some(token) = token else {
        let text =
            "over TCP this bgpd is read-only; set api.tokenFile to allow writing, or use the Unix socket";
        return ApiError::new(StatusCode::FORBIDDEN, text).into_response();
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| token.matches(given)) {
        return next.run(request).await;
    }
    let text =
        "writing over TCP needs the header `Authorization: Bearer TOKEN` with the token of api.tokenFile";
    ApiError::new(StatusCode::UNAUTHORIZED, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/bgpd.sock");
        let first = ApiSocket::open(&path).expect("made with its folder");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        let error = ApiSocket::open(&path).expect_err("in use");
        assert!(error.to_string().contains("is served by another bgpd"), "{error}");
        // A crash closes the socket and leaves the file.
        let ApiSocket { listener, file } = first;
        std::mem::forget(file);
        drop(listener);
        assert!(path.exists());
        drop(ApiSocket::open(&path).expect("a left-over file is replaced"));
        assert!(!path.exists(), "an orderly end leaves nothing");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("precious");
        fs::write(&path, "data").expect("written");
        assert!(matches!(ApiSocket::open(&path), Err(OpenError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).expect("there"), "data");
    }

    #[test]
    fn tokens() {
        let token = Token(b"0123456789abcdef".to_vec());
        assert!(token.matches(b"0123456789abcdef"));
        assert!(!token.matches(b"0123456789abcdeX"));
        assert!(!token.matches(b"0123456789abcde"));
        assert!(!token.matches(b""));
        assert_eq!(format!("{token:?}"), "********");
    }
}
