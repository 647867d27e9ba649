//! `GET /v1/explain/service/{namespace}/{name}`, `/node/{name}`, `/prefix/{prefix}`: the way from the objects to the wire.
//!
//! Kubernetes' half is the translation run once more, off the thread that talks to bgpd; bgpd's half is asked for. With
//! `?bgpd=false` it is not.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use k8s_sync::explain::explain;
use k8s_sync::snapshot::Snapshot;
use k8s_sync::translate::LocalNode;
use rutter_api::cilium::peers::{Peer, SessionState};
use rutter_api::client::{ClientError, path_segment};
use rutter_api::control::ErrorBody;
use rutter_api::explain::wire::OnWire;
use rutter_api::explain::{BgpdAnswer, Explanation, Session, Subject};
use rutter_crds::CiliumBGPNodeConfig;
use serde::Deserialize;

use crate::api::Api;
use crate::source::Origin;

#[derive(Debug, Deserialize)]
struct Asked {
    /// Whether bgpd is asked.
    #[serde(default = "yes")]
    bgpd: bool,
}

const fn yes() -> bool {
    true
}

/// The pages.
pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/explain/service/{namespace}/{name}", get(service))
        .route("/v1/explain/node/{name}", get(node))
        .route("/v1/explain/prefix/{prefix}", get(prefix))
        .route("/v1/explain/prefix/{address}/{length}", get(prefix_with_length))
}

async fn service(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(&api, Subject::parse("service", &format!("{namespace}/{name}")), &asked).await
}

async fn node(State(api): State<Arc<Api>>, Path(name): Path<String>, Query(asked): Query<Asked>) -> Response {
    answer(&api, Subject::parse("node", &name), &asked).await
}

async fn prefix(
    State(api): State<Arc<Api>>,
    Path(prefix): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(&api, Subject::parse("prefix", &prefix), &asked).await
}

/// The pod proxy of an API server turns the `%2F` of a prefix into a slash.
async fn prefix_with_length(
    State(api): State<Arc<Api>>,
    Path((address, length)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(&api, Subject::parse("prefix", &format!("{address}/{length}")), &asked).await
}

async fn answer(
    api: &Arc<Api>,
    subject: Result<Subject, rutter_api::explain::NoSubject>,
    asked: &Asked,
) -> Response {
    let refuse = |status, error: String| (status, Json(ErrorBody::new(error))).into_response();
    let subject = match subject {
        Ok(subject) => subject,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let Some(inputs) = Inputs::now(api) else {
        let error = "the objects have not been read yet; ask again".to_owned();
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    let shared = Arc::clone(api);
    let explained = tokio::task::spawn_blocking(move || {
        explain(&inputs.snapshot, inputs.config.as_deref(), &inputs.local, &shared.options, &subject)
    });
    match explained.await {
        Ok(Ok(explanation)) if asked.bgpd => Json(with_bgpd(api, explanation).await).into_response(),
        Ok(Ok(explanation)) => Json(explanation).into_response(),
        Ok(Err(not_found)) => refuse(StatusCode::NOT_FOUND, not_found.to_string()),
        Err(failed) => refuse(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string()),
    }
}

/// What the translation is given.
struct Inputs {
    snapshot: Arc<Snapshot>,
    config: Option<Arc<CiliumBGPNodeConfig>>,
    local: LocalNode,
}

impl Inputs {
    /// As of now. A snapshot of an API server's objects is taken here and let go of soon: who keeps one makes the next change
    /// copy it.
    fn now(api: &Api) -> Option<Self> {
        let outcome = api.outcomes.borrow().clone().filter(|outcome| outcome.complete)?;
        let (snapshot, config) = match &api.origin {
            Origin::Manifests(_) => (Arc::clone(outcome.snapshot.as_ref()?), outcome.node_config.clone()),
            Origin::ApiServer(_, reflection) => {
                let snapshot = reflection.snapshot();
                let config = snapshot.node_configs.get(&api.node).cloned();
                (Arc::new(snapshot), config)
            }
        };
        let local = LocalNode { name: api.node.clone(), network: api.network.borrow().clone() };
        Some(Self { snapshot, config, local })
    }
}

async fn with_bgpd(api: &Api, explanation: Explanation) -> Explanation {
    let answer = match &explanation.subject {
        Subject::Node { .. } => sessions(api).await,
        Subject::Service { .. } | Subject::Prefix { .. } => prefixes(api, &explanation).await,
    };
    let answer = answer.unwrap_or_else(|error| BgpdAnswer::Unreachable { error: error.to_string() });
    explanation.with_bgpd(answer)
}

async fn prefixes(api: &Api, explanation: &Explanation) -> Result<BgpdAnswer, ClientError> {
    let mut prefixes: Vec<OnWire> = Vec::new();
    for prefix in explanation.prefixes() {
        let target = format!("/v1/explain/bgp/prefix/{}", path_segment(&prefix.to_string()));
        prefixes.push(api.client.get_json(&target).await?);
    }
    Ok(BgpdAnswer::Asked { prefixes, sessions: Vec::new(), intent_pending: is_pending(api) })
}

async fn sessions(api: &Api) -> Result<BgpdAnswer, ClientError> {
    let peers: Vec<Peer> = api.client.get_json("/v1/bgp/peers").await?;
    let session = |peer: Peer| Session {
        instance: peer.instance,
        peer: peer.name,
        established: peer.session_state == SessionState::Established,
        state: peer.session_state.name().to_owned(),
        uptime_seconds: peer.uptime_nanoseconds / 1_000_000_000,
        received: peer.families.iter().map(|family| family.received).sum(),
        advertised: peer.families.iter().map(|family| family.advertised).sum(),
    };
    let sessions = peers.into_iter().map(session).collect();
    Ok(BgpdAnswer::Asked { prefixes: Vec::new(), sessions, intent_pending: is_pending(api) })
}

fn is_pending(api: &Api) -> bool {
    api.bgpd.read(|state| state.pending)
}
