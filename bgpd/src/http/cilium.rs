//! Cilium's words for the same: the models of its agent API, filled.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bgp_core::rib::{Ineligible, PathView, RibEntry, Standing};
use bgp_core::{PeerId, Speaker, State as Session};
use bgp_wire::{Family, PathAttributes};
use ipnet::IpNet;
use rutter_api::cilium::peers::{self, Capability, FamilyState, GracefulRestart, Peer, SessionState};
use rutter_api::cilium::policies::{self, RoutePolicy};
use rutter_api::cilium::routes::{self, Path, Route};
use rutter_api::control::ErrorBody;
use rutter_api::intent::Intent;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::clock::{Clock, Moment};
use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::stream::{self, PAGE, Paged, Place};
use crate::http::show::{Format, parse_family};
use crate::instance::InstanceHandle;
use crate::instance::snapshot::{InstanceSnapshot, PeerSnapshot};

/// What the list of peers and of policies take.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only this instance.
    pub instance: Option<String>,
    /// Only the instance of this ASN.
    pub vrouter: Option<u32>,
    /// `json` or `text`.
    #[serde(default)]
    pub format: Format,
}

/// What the list of routes takes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoutesQuery {
    /// Only this instance.
    pub instance: Option<String>,
    /// Only the instance of this ASN.
    pub vrouter: Option<u32>,
    /// Which table.
    #[serde(default)]
    pub table: RouteTable,
    /// `ipv4` or `ipv6`. Absent: `ipv4`.
    pub family: Option<String>,
    /// Only this peer, by name or address.
    pub peer: Option<String>,
    /// `json` or `text`.
    #[serde(default)]
    pub format: Format,
}

/// A table of routes in Cilium's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RouteTable {
    /// Loc-RIB.
    #[default]
    Available,
    /// Adj-RIB-Out.
    Advertised,
    /// Adj-RIB-In.
    Received,
}

/// `cilium bgp peers`
#[utoipa::path(get, path = "/v1/bgp/peers", tag = "cilium", params(ListQuery), responses((status = 200, body = Vec<Peer>)))]
pub(super) async fn peers(
    State(state): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let mut all: Vec<Peer> = selected(&state, query.instance.as_deref(), query.vrouter)
        .iter()
        .flat_map(|handle| {
            let snapshot = handle.snapshot();
            snapshot.peers.iter().map(|each| peer(&snapshot, each)).collect::<Vec<_>>()
        })
        .collect();
    peers::sort(&mut all);
    Ok(respond(query.format, &all, |all| peers::to_text(all, None)))
}

/// `cilium bgp routes available|advertised|received`
#[utoipa::path(get, path = "/v1/bgp/routes", tag = "cilium", params(RoutesQuery),
    responses((status = 200, body = Vec<Route>), (status = 404, body = ErrorBody)))]
pub(super) async fn routes(
    State(state): State<ApiState>,
    query: Result<Query<RoutesQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let family = parse_family(query.family.as_deref().unwrap_or("ipv4"))?;
    let sources = sources(&state, &query)?;
    let mut stream = RouteStream { sources, family, table: query.table, first: true };
    if query.format == Format::Json {
        return stream::answer(Format::Json, "[".to_owned(), stream, None, None).await;
    }
    let mut all = Vec::new();
    let mut after = None;
    while let Some((routes, next)) = stream.page(after, PAGE).await? {
        all.extend(routes);
        after = next;
    }
    let with_peer = query.table != RouteTable::Available;
    Ok(respond(query.format, &all, |all| routes::to_text(all, with_peer, None)))
}

/// `cilium bgp route-policies`
#[utoipa::path(get, path = "/v1/bgp/route-policies", tag = "cilium", params(ListQuery),
    responses((status = 200, body = Vec<RoutePolicy>)))]
pub(super) async fn route_policies(
    State(state): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let instances = state.supervisor.in_force().await;
    let wanted = |instance: &rutter_api::intent::Instance| {
        query.instance.as_ref().is_none_or(|name| *name == instance.name)
            && query.vrouter.is_none_or(|asn| asn == instance.local_asn)
    };
    let intent = Intent { hold_seconds: None, instances: instances.into_iter().filter(wanted).collect() };
    let all = policies::of_intent(&intent);
    Ok(respond(query.format, &all, |all| policies::to_text(all, None)))
}

fn respond<T: Serialize>(format: Format, all: &Vec<T>, text: impl FnOnce(&[T]) -> String) -> Response {
    match format {
        Format::Json => Json(all).into_response(),
        Format::Text => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text(all)).into_response(),
    }
}

fn selected(state: &ApiState, instance: Option<&str>, vrouter: Option<u32>) -> Vec<InstanceHandle> {
    let directory = state.supervisor.directory();
    let wanted = |handle: &&InstanceHandle| {
        instance.is_none_or(|name| name == &**handle.name())
            && vrouter.is_none_or(|asn| handle.snapshot().local_asn == asn)
    };
    directory.values().filter(wanted).cloned().collect()
}

fn peer(snapshot: &InstanceSnapshot, peer: &PeerSnapshot) -> Peer {
    let up = peer.is_established();
    let config = &peer.config;
    let capabilities = |list: &[bgp_wire::Capability]| list.iter().filter_map(capability).collect();
    let offered = |pick: fn(&bgp_core::Negotiated) -> &Vec<bgp_wire::Capability>| {
        peer.negotiated.as_ref().map(|negotiated| capabilities(pick(negotiated))).unwrap_or_default()
    };
    let seconds = |duration: std::time::Duration| if up { duration.as_secs() } else { 0 };
    Peer {
        instance: snapshot.name.to_string(),
        name: config.name.to_string(),
        local_asn: snapshot.local_asn,
        peer_asn: peer.remote_asn.unwrap_or_default(),
        peer_address: config.address,
        peer_port: config.port,
        session_state: session_state(peer.state),
        uptime_nanoseconds: peer.established_at.map_or(0, |at| nanos(&snapshot.taken, at)),
        families: peer
            .families
            .iter()
            .map(|(family, routes)| {
                // Cilium counts as accepted what passed the protocol's checks, before import policy.
                let accepted = routes.accepted + routes.rejected(Ineligible::ImportPolicy);
                FamilyState::new(intent_family(*family), routes.received, accepted, routes.advertised)
            })
            .collect(),
        connect_retry_time_seconds: config.timers.connect_retry.into(),
        configured_hold_time_seconds: config.timers.hold.into(),
        applied_hold_time_seconds: seconds(peer.hold_time),
        configured_keep_alive_time_seconds: config.timers.keepalive.into(),
        applied_keep_alive_time_seconds: seconds(peer.keepalive_interval),
        ebgp_multihop_ttl: config.multihop.unwrap_or_default().into(),
        graceful_restart: GracefulRestart {
            enabled: config.graceful_restart.is_some(),
            restart_time_seconds: config.graceful_restart.map_or(0, |restart| restart.restart_time.into()),
        },
        local_capabilities: offered(|negotiated| &negotiated.capabilities_sent),
        remote_capabilities: offered(|negotiated| &negotiated.capabilities_received),
        tcp_password_enabled: config.password.is_some(),
    }
}

/// Code, length and value of a capability.
fn capability(capability: &bgp_wire::Capability) -> Option<Capability> {
    let octets = capability.to_octets().ok()?;
    Some(Capability { capability: rutter_api::cilium::base64(&octets) })
}

fn session_state(state: Session) -> SessionState {
    match state {
        Session::Idle => SessionState::Idle,
        Session::Connect => SessionState::Connect,
        Session::Active => SessionState::Active,
        Session::OpenSent => SessionState::OpenSent,
        Session::OpenConfirm => SessionState::OpenConfirm,
        Session::Established => SessionState::Established,
    }
}

fn intent_family(family: Family) -> rutter_api::intent::Family {
    match family {
        Family::IPV6_UNICAST => rutter_api::intent::Family::Ipv6Unicast,
        // The core carries no third family.
        _ => rutter_api::intent::Family::Ipv4Unicast,
    }
}

fn nanos(now: &Moment, then: bgp_core::Time) -> u64 {
    u64::try_from(now.age(then).as_nanos()).unwrap_or(u64::MAX)
}

type PeerRoute = (IpNet, Arc<PathAttributes>, bgp_core::Time, bool);

/// A table to walk: an instance's, or what it exchanges with one peer.
struct Source {
    handle: InstanceHandle,
    snapshot: Arc<InstanceSnapshot>,
    peer: Option<(PeerId, String)>,
}

fn sources(state: &ApiState, query: &RoutesQuery) -> Result<VecDeque<Source>, ApiError> {
    let mut sources = VecDeque::new();
    for handle in selected(state, query.instance.as_deref(), query.vrouter) {
        let snapshot = handle.snapshot();
        if query.table == RouteTable::Available {
            sources.push_back(Source { handle, snapshot, peer: None });
            continue;
        }
        for peer in &snapshot.peers {
            let address = peer.config.address.to_string();
            if query.peer.as_ref().is_none_or(|wanted| *peer.config.name == **wanted || address == *wanted) {
                let (handle, snapshot) = (handle.clone(), Arc::clone(&snapshot));
                sources.push_back(Source { handle, snapshot, peer: Some((peer.id, address)) });
            }
        }
    }
    match &query.peer {
        Some(peer) if sources.is_empty() => Err(ApiError::not_found(format!("there is no peer {peer:?}"))),
        _ => Ok(sources),
    }
}

/// One table after the other, page by page.
struct RouteStream {
    sources: VecDeque<Source>,
    family: Family,
    table: RouteTable,
    first: bool,
}

impl RouteStream {
    /// The next page of the table at the front, and where the one after it begins. `None`: no table is left.
    async fn page(
        &mut self,
        after: Option<IpNet>,
        limit: usize,
    ) -> Result<Option<(Vec<Route>, Option<IpNet>)>, ApiError> {
        let Some(source) = self.sources.front() else { return Ok(None) };
        let (family, table) = (self.family, self.table);
        let (routes, next) = match &source.peer {
            None => {
                let look = move |speaker: &Speaker, _: &Clock| speaker.rib().rib_page(family, after, limit);
                let page = source.handle.inspect(look).await?;
                let routes = page.entries.iter().filter_map(|entry| available(&source.snapshot, entry));
                (routes.collect(), page.next)
            }
            Some((peer, address)) => {
                let peer = *peer;
                let look =
                    move |speaker: &Speaker, _: &Clock| peer_page(speaker, peer, table, family, after, limit);
                let (entries, next) = source.handle.inspect(look).await?;
                let one = |(prefix, attributes, since, best): PeerRoute| {
                    let path = shown(&source.snapshot, prefix, &attributes, since, best);
                    route(&source.snapshot, address.clone(), prefix, vec![path])
                };
                (entries.into_iter().map(one).collect::<Vec<_>>(), next)
            }
        };
        if next.is_none() {
            self.sources.pop_front();
        }
        Ok(Some((routes, next)))
    }
}

impl Paged for RouteStream {
    async fn next(&mut self, place: Place, limit: usize) -> Result<(String, usize, Place), ApiError> {
        let Place::After(after) = place else { return Ok((String::new(), 0, Place::End)) };
        let Some((routes, next)) = self.page(after, limit).await? else {
            return Ok((String::new(), 0, Place::End));
        };
        let mut out = String::new();
        for route in &routes {
            out.push_str(if self.first { "\n" } else { ",\n" });
            self.first = false;
            // A model of plain values is always representable.
            out.push_str(&serde_json::to_string(route).unwrap_or_default());
        }
        Ok((out, routes.len(), Place::After(next)))
    }

    fn end(&mut self) -> String {
        "\n]\n".to_owned()
    }
}

fn available(snapshot: &InstanceSnapshot, entry: &RibEntry) -> Option<Route> {
    let eligible = entry.paths.iter().filter(|path| path.standing.is_eligible());
    let one = |path: &PathView| {
        let best = path.standing == Standing::Best;
        let shown = shown(snapshot, entry.prefix, &path.attributes, path.received_at, best);
        Path { stale: path.stale, ..shown }
    };
    let paths: Vec<Path> = eligible.map(one).collect();
    (!paths.is_empty()).then(|| route(snapshot, String::new(), entry.prefix, paths))
}

fn peer_page(
    speaker: &Speaker,
    peer: PeerId,
    table: RouteTable,
    family: Family,
    after: Option<IpNet>,
    limit: usize,
) -> (Vec<PeerRoute>, Option<IpNet>) {
    if table == RouteTable::Advertised {
        let page = speaker.rib().adj_out_page(peer, family, after, limit);
        let entries = page.entries.into_iter().map(|sent| (sent.prefix, sent.attributes, sent.sent_at, true));
        return (entries.collect(), page.next);
    }
    let page = speaker.rib().adj_in_page(peer, family, after, limit);
    let entry = |(prefix, path): (IpNet, PathView)| {
        (prefix, path.received, path.received_at, path.standing == Standing::Best)
    };
    (page.entries.into_iter().map(entry).collect(), page.next)
}

fn route(snapshot: &InstanceSnapshot, neighbor: String, prefix: IpNet, paths: Vec<Path>) -> Route {
    Route {
        instance: snapshot.name.to_string(),
        router_asn: snapshot.local_asn,
        neighbor,
        prefix: prefix.to_string(),
        paths,
    }
}

fn shown(
    snapshot: &InstanceSnapshot,
    prefix: IpNet,
    attributes: &PathAttributes,
    since: bgp_core::Time,
    best: bool,
) -> Path {
    Path { age_nanoseconds: nanos(&snapshot.taken, since), best, ..Path::new(prefix, attributes) }
}
