//! bgpd's API: intents in, show answers and metrics out, over HTTP/1.1 on a Unix socket.
//!
//! Handlers run on the API's own thread. Summaries and metrics are read from snapshots that the instances publish; tables
//! are asked for page by page, so that no question holds an instance up.
//!
//! Invariant: every route is in the OpenAPI description, because both come from the same handler.

#![expect(unused_qualifications, reason = "utoipa's path macro writes them")]

mod cilium;
mod commands;
pub mod error;
mod explain;
mod intents;
pub mod server;
mod service;
pub mod show;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::logging::LogControl;
use crate::supervisor::SupervisorHandle;

/// Largest request body: an intent of some hundred thousand routes.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// What every handler has.
#[derive(Clone)]
pub struct ApiState {
    /// Intents and running instances.
    pub supervisor: SupervisorHandle,
    /// The time.
    pub clock: Clock,
    /// The log.
    pub log: LogControl,
}

/// The API's description without its paths, which the handlers add.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "bgpd",
        description = "A BGP speaker. Intents in, show answers and metrics out. Every status of 400 or more has the body \
                       `{error, field}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(show::Format, cilium::RouteTable, commands::PeerCommand)),
    tags(
        (name = "intents", description = "What each owner wants"),
        (name = "show", description = "FRR's show commands: `format=json` (default) or `format=text`"),
        (name = "control", description = "What an operator tells a session to do"),
        (name = "cilium", description = "The models of Cilium's agent API"),
        (name = "service", description = "bgpd itself")
    )
)]
struct Description;

/// The whole API.
pub fn router(state: ApiState) -> Router {
    let (router, _description) = routes().split_for_parts();
    router
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(state)
}

/// The OpenAPI description as JSON.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = description().0.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The description, and the show commands that it lacks: there must be none.
#[must_use]
pub fn description() -> (utoipa::openapi::OpenApi, Vec<String>) {
    let (_router, mut description) = routes().split_for_parts();
    let missing = rutter_api::show::command::describe(&mut description);
    (description, missing.into_iter().map(|path| path.to_string()).collect())
}

fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(intents::list))
        .routes(routes!(intents::get, intents::put, intents::delete))
        .routes(routes!(intents::conflicts))
        .routes(routes!(service::health))
        .routes(routes!(service::metrics))
        .routes(routes!(service::openapi))
        .routes(routes!(commands::command))
        .routes(routes!(cilium::peers))
        .routes(routes!(cilium::routes))
        .routes(routes!(cilium::route_policies))
        .routes(routes!(explain::explain_prefix))
        .merge(show::routes())
}

async fn no_such_page(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no {}; /openapi.json lists what there is", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let text = format!("{} does not take {method}; /openapi.json lists what it takes", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text)
}
