//! `explain`: what became of a prefix, instance by instance and peer by peer.
//!
//! One question per instance, about one destination (docs/decisions/002-show-pages.md); the reasons are the core's own.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bgp_core::rib::{Advertisement, PathView, RibEntry, SentRoute, Standing};
use bgp_core::{Held, PeerId};
use bytes::Bytes;
use ipnet::IpNet;
use rutter_api::cilium::routes;
use rutter_api::control::ErrorBody;
use rutter_api::explain::wire::{InstanceOnWire, OnWire, PathOnWire, PeerOnWire, SentOnWire, Told};
use rutter_api::show::prefix::LastUpdate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::clock::Moment;
use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::instance::InstanceHandle;
use crate::instance::snapshot::{InstanceSnapshot, PeerSnapshot};

/// What `explain` takes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// Only this instance.
    pub instance: Option<String>,
}

/// Everything about one prefix: its paths, and what each peer was told, when, and in which octets
#[utoipa::path(get, path = "/v1/explain/bgp/prefix/{prefix}", tag = "show",
    params(("prefix" = String, Path, description = "The prefix, with %2F for its slash"), ExplainQuery),
    responses((status = 200, body = OnWire), (status = 400, body = ErrorBody)))]
pub(super) async fn explain_prefix(
    State(state): State<ApiState>,
    prefix: Result<Path<String>, PathRejection>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<OnWire>, ApiError> {
    let (Path(text), Query(query)) = (prefix?, query?);
    let prefix: IpNet = text.parse().map_err(|_no_prefix| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("{text:?} is no prefix; write 10.0.0.0/24"))
    })?;
    let prefix = prefix.trunc();
    let mut instances = Vec::new();
    for handle in state.supervisor.directory().values() {
        if query.instance.as_deref().is_none_or(|wanted| wanted == &**handle.name()) {
            instances.push(one_instance(handle, prefix).await?);
        }
    }
    Ok(Json(OnWire { prefix: prefix.to_string(), instances }))
}

/// What a peer was told, with what only the owner of the table can look up.
enum Answer {
    Sent(Vec<(SentRoute, Option<Arc<str>>, Option<Bytes>)>),
    Other(Advertisement),
}

async fn one_instance(handle: &InstanceHandle, prefix: IpNet) -> Result<InstanceOnWire, ApiError> {
    let (entry, answers, taken) = handle
        .inspect(move |speaker, clock| {
            let rib = speaker.rib();
            let answers: Vec<(PeerId, Answer)> = speaker
                .peers()
                .map(|peer| {
                    let answer = match rib.advertisement(peer.id, &prefix) {
                        Advertisement::Sent(routes) => {
                            let all = routes.into_iter().map(|route| {
                                let (statement, update) =
                                    (rib.statement_of(peer.id, &route), rib.update_of(peer.id, &route));
                                (route, statement, update)
                            });
                            Answer::Sent(all.collect())
                        }
                        other => Answer::Other(other),
                    };
                    (peer.id, answer)
                })
                .collect();
            (rib.lookup(&prefix), answers, Moment::now(clock))
        })
        .await?;
    let snapshot = handle.snapshot();
    let mut peers: Vec<PeerOnWire> = answers
        .into_iter()
        .filter_map(|(id, answer)| Some(peer(snapshot.peer(id)?, prefix, answer, &taken)))
        .collect();
    peers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(InstanceOnWire {
        instance: snapshot.name.to_string(),
        restarting: snapshot.restarting,
        paths: entry.iter().flat_map(|entry| paths(&snapshot, entry, &taken)).collect(),
        peers,
    })
}

fn paths(snapshot: &InstanceSnapshot, entry: &RibEntry, taken: &Moment) -> Vec<PathOnWire> {
    entry.paths.iter().map(|path| path_on_wire(snapshot, entry.prefix, path, taken)).collect()
}

fn path_on_wire(snapshot: &InstanceSnapshot, prefix: IpNet, path: &PathView, taken: &Moment) -> PathOnWire {
    let selection = path.selection.map(|step| (step.label(), step.to_string()));
    let (reason, message) = match path.standing {
        Standing::Best => selection.unzip(),
        Standing::Multipath => (Some("multipath"), Some("used beside the best".to_owned())),
        Standing::Eligible => {
            let (label, step) = selection.unzip();
            (label, step.map(|step| format!("lost on {step}")))
        }
        Standing::Ineligible(reason) => {
            let statement = path.rejected_by.as_deref();
            let by = statement.map(|statement| format!(", statement {statement}")).unwrap_or_default();
            (Some(reason.label()), Some(format!("{reason}{by}")))
        }
    };
    PathOnWire {
        peer: path.peer.map(|peer| name_of(snapshot, peer)),
        source: path.origin.as_deref().map(str::to_owned),
        best: path.standing == Standing::Best,
        reason: reason.map(str::to_owned),
        message: message.unwrap_or_default(),
        attributes: routes::Path::new(prefix, &path.attributes).attributes,
        since: LastUpdate::at(taken.epoch_seconds(path.received_at)),
    }
}

fn name_of(snapshot: &InstanceSnapshot, peer: PeerId) -> String {
    snapshot.peer(peer).map_or_else(|| "a peer that is gone".to_owned(), |peer| peer.config.name.to_string())
}

fn peer(peer: &PeerSnapshot, prefix: IpNet, answer: Answer, taken: &Moment) -> PeerOnWire {
    let told = match answer {
        Answer::Sent(sent) => Told::Sent {
            routes: sent
                .into_iter()
                .map(|(route, statement, update)| sent_on_wire(prefix, &route, statement, update, taken))
                .collect(),
        },
        Answer::Other(Advertisement::Not(reason)) => {
            Told::Withheld { reason: reason.label().to_owned(), message: reason.to_string() }
        }
        Answer::Other(_) => Told::Queued,
    };
    PeerOnWire {
        name: peer.config.name.to_string(),
        address: peer.config.address.to_string(),
        state: peer.state.to_string(),
        state_seconds: taken.age(peer.since).as_secs(),
        down: (!peer.is_established()).then(|| why_down(peer)).flatten(),
        queued_octets: peer.queued_out as u64,
        told,
    }
}

fn sent_on_wire(
    prefix: IpNet,
    route: &SentRoute,
    statement: Option<Arc<str>>,
    update: Option<Bytes>,
    taken: &Moment,
) -> SentOnWire {
    let words = routes::Path::new(prefix, &route.attributes);
    let hex = |octets: &Bytes| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    SentOnWire {
        sent: LastUpdate::at(taken.epoch_seconds(route.sent_at)),
        path_id: Some(route.path_id).filter(|id| *id != 0),
        statement: statement.as_deref().map(str::to_owned),
        next_hop: words.next_hop,
        attributes: words.attributes,
        update: update.as_ref().map(hex).unwrap_or_default(),
    }
}

/// What stands between the session and Established: why it is held, else why the last dial failed, else how it ended.
fn why_down(peer: &PeerSnapshot) -> Option<String> {
    let described = || peer.config.description.as_deref().map(str::to_owned);
    let held = match peer.held {
        Some(Held::AdminDown) => described().or_else(|| Some("shut down administratively".to_owned())),
        Some(Held::PrefixLimit { .. }) => Some("closed because of too many prefixes".to_owned()),
        Some(Held::Stopped) => Some("the instance stops".to_owned()),
        Some(Held::IdleHold(_)) | None => None,
    };
    let failed = || peer.last_connect_failure.as_ref().map(|(_, text)| format!("connect failed: {text}"));
    held.or_else(failed).or_else(|| peer.last_reset.as_ref().map(|reset| reset.reason.to_string()))
}
