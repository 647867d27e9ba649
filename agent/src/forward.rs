//! bgpd's read-only pages through the agent: whoever reaches the agent sees the node's sessions and routes too.
//!
//! Answers are streamed as they come; a table of a million routes takes no memory here. Invariant: only `GET`, and only
//! what shows: nothing that comes this way can change bgpd.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rutter_api::client::ClientError;
use rutter_api::control::ErrorBody;

use crate::api::Api;

/// The pages: sessions and routes in Cilium's words and in FRR's.
pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/bgp/{*page}", get(page)).route("/v1/show/{*page}", get(page))
}

async fn page(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let target = uri.path_and_query().map_or_else(|| uri.path(), |target| target.as_str());
    match api.client.open(target).await {
        Ok(answer) => {
            let kind = answer.content_type.unwrap_or_else(|| "application/json".to_owned());
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, [(header::CONTENT_TYPE, kind)], Body::new(answer.body)).into_response()
        }
        Err(error) => unreachable(&error),
    }
}

/// bgpd gave no answer.
pub(crate) fn unreachable(error: &ClientError) -> Response {
    (StatusCode::BAD_GATEWAY, Json(ErrorBody::new(error.to_string()))).into_response()
}
