//! bgpd itself: health, metrics and the API's description.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use rutter_api::control::Health;

use crate::http::{ApiState, openapi_json};
use crate::metrics;

static DESCRIPTION: LazyLock<String> = LazyLock::new(openapi_json);

/// bgpd takes requests.
#[utoipa::path(get, path = "/v1/health", tag = "service", responses((status = 200, body = Health)))]
pub(super) async fn health(State(state): State<ApiState>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: state.clock.uptime().as_secs(),
        instances: state.supervisor.directory().len(),
        tcp_ao: crate::sockopt::ao::is_supported(),
    })
}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    let conflicts = state.supervisor.conflicts().await.len();
    let snapshots: Vec<_> = state.supervisor.directory().values().map(|handle| handle.snapshot()).collect();
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        metrics::render(&snapshots, conflicts, state.log.lost_lines(), &state.clock),
    )
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION.as_str())
}
