//! The agent's own API, read only: `/v1/health` and `/v1/status`, over a Unix socket and, if asked for, over TCP.
//!
//! A new route is one line in [`router`] and a handler that takes `State<Arc<Api>>`. Whatever it needs is a field of [`Api`].

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use k8s_sync::Options;
use k8s_sync::network::Network;
use rutter_api::client::Client;
use rutter_api::control::ErrorBody;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::explain;
use crate::forward;
use crate::metrics::{self, Metrics};
use crate::pipeline::Outcome;
use crate::source::Origin;
use crate::status::{BgpdState, Published, Status};

/// What the handlers look at.
pub(crate) struct Api {
    pub(crate) node: String,
    pub(crate) origin: Origin,
    pub(crate) outcomes: watch::Receiver<Option<Arc<Outcome>>>,
    pub(crate) bgpd: Published<BgpdState>,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    /// To bgpd.
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) network: watch::Receiver<Network>,
}

/// Opens the socket, for root and its group only. A socket that nobody listens on any more is replaced.
pub(crate) async fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the directory {}", folder.display()))?;
    }
    if socket.exists() {
        if UnixStream::connect(socket).await.is_ok() {
            bail!("{} is in use: is another rutter-agent running? Use --socket PATH", socket.display());
        }
        fs::remove_file(socket)
            .with_context(|| format!("cannot remove the old socket {}", socket.display()))?;
    }
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("cannot listen on {}; use --socket PATH", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of {}", socket.display()))?;
    Ok(listener)
}

/// Opens the TCP port. What is served there is readable for whoever reaches it.
pub(crate) async fn listen_tcp(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; use --listen ADDR:PORT with an address of this machine")
    })
}

/// The routes.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/health", get(health))
        .route("/v1/status", get(status))
        .merge(forward::routes())
        .merge(explain::routes())
        .route("/metrics", get(metrics::serve))
        .fallback(unknown)
        .with_state(api)
}

async fn health(State(api): State<Arc<Api>>) -> Response {
    let body = serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": api.started.elapsed().as_secs(),
        "node": api.node,
    });
    Json(body).into_response()
}

async fn status(State(api): State<Arc<Api>>) -> Response {
    let outcome = api.outcomes.borrow().clone().unwrap_or_default();
    let status = Status::new(&api.node, &api.origin, &outcome, api.bgpd.read(Clone::clone));
    // Findings are many and read by people: indented.
    match serde_json::to_vec_pretty(&status) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            let body = ErrorBody::new(format!("the status cannot be written as JSON: {error}"));
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}

async fn unknown(uri: Uri) -> Response {
    let body = ErrorBody::new(format!(
        "there is no {uri} here; try /v1/status, /v1/health, /metrics, /v1/bgp/peers, /v1/show/bgp/summary or /v1/explain/node/NAME"
    ));
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
