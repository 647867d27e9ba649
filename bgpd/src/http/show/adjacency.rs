//! `show bgp neighbors X advertised-routes` and `received-routes`: what crossed the wire.
//!
//! JSON is streamed; the text layout is made from the whole value.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use bgp_core::PeerId;
use bgp_core::rib::{Advertisement, NotAdvertised, PathView, Standing};
use bgp_wire::Family;
use ipnet::IpNet;
use rutter_api::control::ErrorBody;
use rutter_api::show::adjacency::{AdjacencyHead, AdvertisedRoutes, ReceivedRoutes, WireRoute};
use rutter_api::show::ordered::Ordered;

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::path::{DEFAULT_LOCAL_PREF, wire_route};
use crate::http::show::stream::{self, JsonObject, PAGE, Paged, Place};
use crate::http::show::{Format, TableQuery, View, no_such_neighbor, plain_text};

/// `show bgp neighbors X advertised-routes`: what was really sent
#[utoipa::path(get, path = "/v1/show/bgp/neighbors/{peer}/advertised-routes", tag = "show",
    params(("peer" = String, Path, description = "Name, address or interface"), TableQuery),
    responses((status = 200, body = AdvertisedRoutes), (status = 404, body = ErrorBody)))]
pub(super) async fn show_advertised(
    State(state): State<ApiState>,
    peer: Result<Path<String>, PathRejection>,
    query: Result<Query<TableQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    respond(&state, Direction::Advertised, peer?, query?.0).await
}

/// `show bgp neighbors X received-routes`: what the neighbour sent, before import policy
#[utoipa::path(get, path = "/v1/show/bgp/neighbors/{peer}/received-routes", tag = "show",
    params(("peer" = String, Path, description = "Name, address or interface"), TableQuery),
    responses((status = 200, body = ReceivedRoutes), (status = 404, body = ErrorBody)))]
pub(super) async fn show_received(
    State(state): State<ApiState>,
    peer: Result<Path<String>, PathRejection>,
    query: Result<Query<TableQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    respond(&state, Direction::Received, peer?, query?.0).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Advertised,
    Received,
}

impl Direction {
    fn member(self) -> &'static str {
        match self {
            Self::Advertised => "advertisedRoutes",
            Self::Received => "receivedRoutes",
        }
    }
}

async fn respond(
    state: &ApiState,
    direction: Direction,
    Path(peer): Path<String>,
    query: TableQuery,
) -> Result<Response, ApiError> {
    let view = View::new(state, query.instance.as_deref())?;
    let Some(peer) = view.find_peer(&peer) else { return Ok(no_such_neighbor(query.format)) };
    let (peer, family) = (peer.id, query.family_of(peer)?);
    let head = AdjacencyHead {
        bgp_table_version: view.snapshot.table(family).version.into(),
        bgp_local_router_id: view.snapshot.router_id,
        default_loc_prf: DEFAULT_LOCAL_PREF,
        local_as: view.snapshot.local_asn,
    };
    let begin = JsonObject::begin(&head, direction.member());
    let routes = RouteStream {
        view: Arc::new(view),
        direction,
        peer,
        family,
        json: JsonObject::default(),
        total: 0,
        filtered: 0,
    };
    match query.format {
        Format::Json => stream::answer(Format::Json, begin, routes, query.after, query.limit).await,
        Format::Text => routes.whole_text(head, query.after, query.limit.unwrap_or(usize::MAX)).await,
    }
}

struct RouteStream {
    view: Arc<View>,
    direction: Direction,
    peer: PeerId,
    family: Family,
    json: JsonObject,
    total: u64,
    filtered: u64,
}

struct RoutePage {
    routes: Vec<(IpNet, WireRoute)>,
    filtered: u64,
    place: Place,
}

impl RouteStream {
    async fn page(&self, after: Option<IpNet>, limit: usize) -> Result<RoutePage, ApiError> {
        let (peer, family) = (self.peer, self.family);
        let page = match self.direction {
            Direction::Advertised => {
                self.view
                    .handle
                    .inspect(move |speaker, _| advertised(speaker, peer, family, after, limit))
                    .await?
            }
            Direction::Received => {
                self.view
                    .handle
                    .inspect(move |speaker, _| received(speaker, peer, family, after, limit))
                    .await?
            }
        };
        Ok(page)
    }

    async fn whole_text(
        mut self,
        head: AdjacencyHead,
        after: Option<IpNet>,
        limit: usize,
    ) -> Result<Response, ApiError> {
        let mut routes = Ordered::new();
        let mut place = Place::After(after);
        while let Place::After(after) = place {
            let left = limit - routes.len();
            if left == 0 {
                break;
            }
            let page = self.page(after, left.min(PAGE)).await?;
            for (prefix, route) in page.routes {
                routes.push(prefix.to_string(), route);
            }
            self.filtered += page.filtered;
            place = page.place;
        }
        let total_prefix_counter = routes.iter().map(|(_, route)| route.count()).sum();
        let filtered_prefix_counter = self.filtered;
        Ok(plain_text(match self.direction {
            Direction::Advertised => AdvertisedRoutes {
                head,
                advertised_routes: routes,
                total_prefix_counter,
                filtered_prefix_counter,
            }
            .to_text(),
            Direction::Received => ReceivedRoutes {
                head,
                received_routes: routes,
                total_prefix_counter,
                filtered_prefix_counter,
            }
            .to_text(),
        }))
    }
}

impl Paged for RouteStream {
    async fn next(&mut self, place: Place, limit: usize) -> Result<(String, usize, Place), ApiError> {
        let Place::After(after) = place else { return Ok((String::new(), 0, Place::End)) };
        let page = self.page(after, limit).await?;
        let mut out = String::new();
        for (prefix, route) in &page.routes {
            self.json.entry(&mut out, &prefix.to_string(), route);
        }
        self.total += page.routes.iter().map(|(_, route)| route.count()).sum::<u64>();
        self.filtered += page.filtered;
        Ok((out, page.routes.len(), page.place))
    }

    fn end(&mut self) -> String {
        self.json.end(&[("totalPrefixCounter", self.total), ("filteredPrefixCounter", self.filtered)])
    }
}

/// Best routes, each with what the peer was told about it: sent, or kept from it by policy or a community.
fn advertised(
    speaker: &bgp_core::Speaker,
    peer: PeerId,
    family: Family,
    after: Option<IpNet>,
    limit: usize,
) -> RoutePage {
    let page = speaker.rib().rib_page(family, after, limit);
    let mut routes = Vec::new();
    let mut filtered = 0;
    for entry in &page.entries {
        match speaker.rib().advertisement(peer, &entry.prefix) {
            Advertisement::Sent(sent) => {
                for sent in sent {
                    // Without path identifiers it is the best path, which is the first.
                    let numbered = |path: &&PathView| u32::from(path.number) == sent.path_id;
                    let path = entry.paths.iter().find(numbered).filter(|_| sent.path_id != 0);
                    let Some(path) = path.or_else(|| entry.paths.first()) else { continue };
                    let mut route = wire_route(entry.prefix, &sent.attributes, path);
                    route.path_id = Some(sent.path_id).filter(|id| *id != 0);
                    add(&mut routes, entry.prefix, route);
                }
            }
            Advertisement::Not(
                NotAdvertised::ExportPolicy { .. }
                | NotAdvertised::NoExport
                | NotAdvertised::NoExportSubconfed
                | NotAdvertised::NoAdvertise,
            ) => filtered += 1,
            Advertisement::Queued | Advertisement::Not(_) => {}
        }
    }
    RoutePage { routes, filtered, place: page.next.map_or(Place::End, |after| Place::After(Some(after))) }
}

fn received(
    speaker: &bgp_core::Speaker,
    peer: PeerId,
    family: Family,
    after: Option<IpNet>,
    limit: usize,
) -> RoutePage {
    let page = speaker.rib().adj_in_page(peer, family, after, limit);
    let unused = |path: &PathView| matches!(path.standing, Standing::Ineligible(_));
    let filtered = page.entries.iter().filter(|(_, path)| unused(path)).count() as u64;
    let mut routes: Vec<(IpNet, WireRoute)> = Vec::new();
    for (prefix, path) in &page.entries {
        let mut route = wire_route(*prefix, &path.received, path);
        route.path_id = Some(path.path_id).filter(|id| *id != 0);
        add(&mut routes, *prefix, route);
    }
    RoutePage { routes, filtered, place: page.next.map_or(Place::End, |after| Place::After(Some(after))) }
}

/// Appends a route; one more path to the last prefix goes with the others.
fn add(routes: &mut Vec<(IpNet, WireRoute)>, prefix: IpNet, route: WireRoute) {
    match routes.last_mut() {
        Some((last, first)) if *last == prefix => first.more_paths.push(route),
        _ => routes.push((prefix, route)),
    }
}
