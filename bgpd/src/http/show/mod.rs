//! The show commands: one file per thing shown, each filling a type of [`rutter_api::show`].
//!
//! Summaries and neighbours come from the published snapshot, tables page by page from the owner
//! (docs/decisions/002-show-pages.md).

mod adjacency;
mod history;
mod lookup;
pub mod neighbors;
pub mod path;
pub mod peer;
pub mod stream;
pub mod summary;
mod table;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bgp_wire::Family;
use rutter_api::control::ErrorBody;
use rutter_api::show::neighbor::{Neighbors, NoSuchNeighbor};
use rutter_api::show::summary::{FamilySummary, Summary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::instance::InstanceHandle;
use crate::instance::snapshot::{InstanceSnapshot, PeerSnapshot};

/// All show commands.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show_summary))
        .routes(routes!(show_neighbors))
        .routes(routes!(show_neighbor))
        .routes(routes!(table::show_table))
        .routes(routes!(show_family_summary))
        .routes(routes!(lookup::show_prefix))
        .routes(routes!(lookup::show_prefix_with_length))
        .routes(routes!(history::show_history))
        .routes(routes!(table::show_neighbor_routes))
        .routes(routes!(adjacency::show_advertised))
        .routes(routes!(adjacency::show_received))
}

/// JSON with FRR's keys, or text in FRR's layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// Text.
    Text,
}

/// What every show command takes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    /// The instance. Absent: the only one, or the first by name.
    pub instance: Option<String>,
    /// `json` or `text`.
    #[serde(default)]
    pub format: Format,
}

/// What commands about tables take besides.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TableQuery {
    /// The instance. Absent: the only one, or the first by name.
    pub instance: Option<String>,
    /// `json` or `text`.
    #[serde(default)]
    pub format: Format,
    /// `ipv4` or `ipv6`, for the routes of a neighbour. Absent: IPv4 if the neighbour has it, else IPv6.
    pub family: Option<String>,
    /// At most this many prefixes. Absent: all.
    pub limit: Option<usize>,
    /// Only prefixes after this one, in the order of the table.
    #[param(value_type = Option<String>)]
    pub after: Option<ipnet::IpNet>,
}

impl TableQuery {
    /// The family asked for, or the first that the peer has.
    fn family_of(&self, peer: &PeerSnapshot) -> Result<Family, ApiError> {
        match self.family.as_deref() {
            Some(family) => parse_family(family),
            None if peer.carries(Family::IPV4_UNICAST) => Ok(Family::IPV4_UNICAST),
            None => Ok(Family::IPV6_UNICAST),
        }
    }
}

/// An instance as a show command sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// How it looked a moment ago.
    pub snapshot: Arc<InstanceSnapshot>,
    /// To ask for pages.
    pub handle: InstanceHandle,
    /// Its number: 0 for the first.
    pub vrf_id: i64,
    /// `default` when there is only one.
    pub vrf_name: String,
}

impl View {
    /// The instance of this name, or the first one.
    ///
    /// # Errors
    /// 404.
    pub fn new(state: &ApiState, instance: Option<&str>) -> Result<Self, ApiError> {
        let directory = state.supervisor.directory();
        let found = match instance {
            Some(name) => directory.iter().enumerate().find(|(_, (each, _))| *each == name),
            None => directory.iter().enumerate().next(),
        };
        let Some((index, (name, handle))) = found else {
            return Err(match instance {
                Some(name) => ApiError::not_found(format!(
                    "there is no instance {name:?}; running: {}",
                    directory.keys().cloned().collect::<Vec<_>>().join(", ")
                )),
                None => ApiError::not_found("no BGP instance is running"),
            });
        };
        let vrf_name = if directory.len() == 1 { "default".to_owned() } else { name.clone() };
        Ok(Self {
            snapshot: handle.snapshot(),
            handle: handle.clone(),
            vrf_id: i64::try_from(index).unwrap_or(i64::MAX),
            vrf_name,
        })
    }

    /// The peer of this name, address or interface.
    #[must_use]
    pub fn find_peer(&self, peer: &str) -> Option<&PeerSnapshot> {
        let by_key = || self.snapshot.peers.iter().find(|each| each.shown_as() == peer);
        self.snapshot.find(peer).or_else(by_key)
    }
}

/// `ipv4`, `ipv6`, `ipv4-unicast`, `ipv6-unicast`.
///
/// # Errors
/// 404.
pub fn parse_family(text: &str) -> Result<Family, ApiError> {
    match text {
        "ipv4" | "ipv4-unicast" => Ok(Family::IPV4_UNICAST),
        "ipv6" | "ipv6-unicast" => Ok(Family::IPV6_UNICAST),
        _ => Err(ApiError::not_found(format!("{text:?} is no address family; use ipv4 or ipv6"))),
    }
}

/// Answers as text or JSON.
pub fn answer<T: Serialize>(format: Format, value: &T, text: impl FnOnce(&T) -> String) -> Response {
    match format {
        Format::Json => ([(header::CONTENT_TYPE, "application/json")], stream::pretty(value)).into_response(),
        Format::Text => plain_text(text(value)),
    }
}

fn plain_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn no_such_neighbor(format: Format) -> Response {
    let answer = NoSuchNeighbor::default();
    match format {
        Format::Json => (StatusCode::NOT_FOUND, Json(answer)).into_response(),
        Format::Text => (StatusCode::NOT_FOUND, plain_text(format!("{}\n", answer.error))).into_response(),
    }
}

/// `show bgp summary`
#[utoipa::path(get, path = "/v1/show/bgp/summary", tag = "show", params(ShowQuery),
    responses((status = 200, body = Summary), (status = 404, body = ErrorBody)))]
async fn show_summary(
    State(state): State<ApiState>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    if query.instance.is_none() && state.supervisor.directory().is_empty() {
        return Ok(answer(query.format, &Summary::default(), Summary::to_text));
    }
    let view = View::new(&state, query.instance.as_deref())?;
    Ok(answer(query.format, &summary::summary(&view), Summary::to_text))
}

/// `show bgp ipv4|ipv6 summary`
#[utoipa::path(get, path = "/v1/show/bgp/{family}/summary", tag = "show",
    params(("family" = String, Path, description = "`ipv4` or `ipv6`"), ShowQuery),
    responses((status = 200, body = FamilySummary), (status = 404, body = ErrorBody)))]
async fn show_family_summary(
    State(state): State<ApiState>,
    family: Result<Path<String>, PathRejection>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(family), Query(query)) = (family?, query?);
    let family = parse_family(&family)?;
    let view = View::new(&state, query.instance.as_deref())?;
    Ok(match summary::family_summary(&view, family) {
        Some(summary) => answer(query.format, &summary, FamilySummary::to_text),
        None => answer(query.format, &serde_json::json!({}), |_| Summary::default().to_text()),
    })
}

/// `show bgp neighbors`
#[utoipa::path(get, path = "/v1/show/bgp/neighbors", tag = "show", params(ShowQuery),
    responses((status = 200, body = Neighbors), (status = 404, body = ErrorBody)))]
async fn show_neighbors(
    State(state): State<ApiState>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    if query.instance.is_none() && state.supervisor.directory().is_empty() {
        return Ok(answer(query.format, &Neighbors::default(), Neighbors::to_text));
    }
    let view = View::new(&state, query.instance.as_deref())?;
    let connections = view.handle.tcp_states().await?;
    Ok(answer(query.format, &neighbors::neighbors(&view, &connections), Neighbors::to_text))
}

/// `show bgp neighbors X`
#[utoipa::path(get, path = "/v1/show/bgp/neighbors/{peer}", tag = "show",
    params(("peer" = String, Path, description = "Name, address or interface"), ShowQuery),
    responses((status = 200, body = Neighbors), (status = 404, body = NoSuchNeighbor)))]
async fn show_neighbor(
    State(state): State<ApiState>,
    peer: Result<Path<String>, PathRejection>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(peer), Query(query)) = (peer?, query?);
    let view = View::new(&state, query.instance.as_deref())?;
    let connections = view.handle.tcp_states().await?;
    Ok(match view.find_peer(&peer) {
        Some(peer) => answer(query.format, &neighbors::one(&view, peer, &connections), Neighbors::to_text),
        None => no_such_neighbor(query.format),
    })
}
