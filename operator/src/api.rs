//! The operator's own API, read only, over TCP: `/v1/health`, `/v1/status`, `/v1/lbipam` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::status::Sources;

/// What the handlers look at.
pub(crate) struct Api {
    pub(crate) sources: Sources,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
}

/// Opens the port.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; use --listen ADDR:PORT with an address of this machine")
    })
}

/// The routes.
pub(crate) fn router(api: Api) -> Router {
    let addresses = api.sources.addresses.clone().router();
    Router::new()
        .route("/v1/health", get(health))
        .route("/v1/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(api))
        .merge(addresses)
        .fallback(unknown)
}

/// Alive is all that is asked here: a standby, or an operator whose API server is away, need not be restarted.
async fn health(State(api): State<Arc<Api>>) -> Response {
    let body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": api.started.elapsed().as_secs(),
        "leader": api.sources.leadership.token().is_some(),
    });
    Json(body).into_response()
}

async fn status(State(api): State<Arc<Api>>) -> Response {
    match serde_json::to_vec_pretty(&api.sources.status().to_json()) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => failed(&format!("the status cannot be written as JSON: {error}")),
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    match api.metrics.text(&api.sources.status(), &api.sources.addresses) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => failed(&format!("the metrics cannot be written: {error:#}")),
    }
}

async fn unknown(uri: Uri) -> Response {
    let error = format!("there is no {uri} here; try /v1/status, /v1/lbipam, /v1/health or /metrics");
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

fn failed(error: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error }))).into_response()
}
