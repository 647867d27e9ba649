//! `/v1/lbipam`: pools, settings and the history of addresses, for `rutterctl lbipam show`. Read only.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lbipam::{DefaultIpam, Settings};
use serde_json::{Value, json};

use super::state::State;

/// Entries of the history of all addresses that one answer holds.
const MOST: usize = 1_000;

/// The state, for those who ask.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) settings: Settings,
    /// Whether LB IPAM is on.
    pub(crate) enabled: bool,
}

impl View {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes below `/v1/lbipam`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/v1/lbipam", get(overview))
            .route("/v1/lbipam/history", get(history))
            .route("/v1/lbipam/history/{address}", get(history_of))
            .with_state(self)
    }

    /// The counts, for `/v1/status` as well.
    pub(crate) fn counts(&self) -> Value {
        let state = self.lock();
        let (pools, conflicting) = state.ipam().pools().fold((0, 0), |(pools, conflicting), pool| {
            (pools + 1, conflicting + usize::from(pool.conflict.is_some()))
        });
        let (services, unsatisfied) = state.services();
        json!({
            "pools": pools,
            "conflictingPools": conflicting,
            "services": services,
            "unsatisfied": unsatisfied,
            "addresses": state.addresses(),
            "writing": state.writing,
            "failing": state.failing.len(),
        })
    }
}

async fn overview(Extracted(view): Extracted<View>) -> Response {
    let counts = view.counts();
    let state = view.lock();
    let pools: Vec<_> = state.ipam().pools().collect();
    Json(json!({
        "enabled": view.enabled,
        "leader": state.leads,
        "certain": state.certain,
        "settings": settings(&view.settings),
        "recordedSince": state.history.since(),
        "counts": counts,
        "pools": pools,
        "failing": state.failing,
    }))
    .into_response()
}

async fn history(Extracted(view): Extracted<View>) -> Response {
    let state = view.lock();
    let entries = state.history.entries(None, MOST);
    Json(json!({"since": state.history.since(), "entries": entries})).into_response()
}

async fn history_of(Extracted(view): Extracted<View>, Path(address): Path<String>) -> Response {
    let Ok(address) = address.parse::<IpAddr>() else {
        let error =
            format!("{address:?} is no address; write /v1/lbipam/history/192.0.2.1 or .../2001:db8::1");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    };
    let state = view.lock();
    let holders: Vec<String> = state.history.holders(address).map(ToString::to_string).collect();
    Json(json!({
        "address": address,
        "since": state.history.since(),
        "holders": holders,
        "entries": state.history.entries(Some(address), usize::MAX),
    }))
    .into_response()
}

fn settings(settings: &Settings) -> Value {
    let default = match settings.default_ipam {
        DefaultIpam::LbIpam => "lbipam",
        DefaultIpam::NodeIpam => "nodeipam",
        DefaultIpam::None => "none",
    };
    json!({
        "defaultLbServiceIpam": default,
        "bgpClass": settings.bgp_class,
        "l2Class": settings.l2_class,
        "nodeIpam": settings.node_ipam,
        "ipv4": settings.ipv4,
        "ipv6": settings.ipv6,
        "graceSeconds": settings.grace.as_secs(),
        "reservationGraceLimitSeconds": settings.reservation_grace_limit.as_secs(),
        "safeShrink": settings.safe_shrink,
        "refuseClusterRanges": settings.refuse_cluster_ranges,
        "forecastDays": settings.forecast_days,
    })
}
