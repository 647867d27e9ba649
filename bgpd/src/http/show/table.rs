//! `show bgp ipv4|ipv6 unicast` and `show bgp neighbors X routes`, streamed.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use bgp_core::PeerId;
use bgp_core::rib::Page;
use bgp_wire::Family;
use ipnet::IpNet;
use rutter_api::control::ErrorBody;
use rutter_api::show::table::{Layout, Path as Row, Table, TableHead};

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::path::{DEFAULT_LOCAL_PREF, is_in_table, row, rows};
use crate::http::show::stream::{self, JsonObject, Paged, Place};
use crate::http::show::{Format, TableQuery, View, no_such_neighbor, parse_family};

/// `show bgp ipv4|ipv6 unicast`
#[utoipa::path(get, path = "/v1/show/bgp/{family}", tag = "show",
    params(("family" = String, Path, description = "`ipv4` or `ipv6`"), TableQuery),
    responses((status = 200, body = Table), (status = 404, body = ErrorBody)))]
pub(super) async fn show_table(
    State(state): State<ApiState>,
    family: Result<Path<String>, PathRejection>,
    query: Result<Query<TableQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(family), Query(query)) = (family?, query?);
    let family = parse_family(&family)?;
    let view = View::new(&state, query.instance.as_deref())?;
    respond(view, family, None, &query).await
}

/// `show bgp neighbors X routes`: what the neighbour sent and is used
#[utoipa::path(get, path = "/v1/show/bgp/neighbors/{peer}/routes", tag = "show",
    params(("peer" = String, Path, description = "Name, address or interface"), TableQuery),
    responses((status = 200, body = Table), (status = 404, body = ErrorBody)))]
pub(super) async fn show_neighbor_routes(
    State(state): State<ApiState>,
    peer: Result<Path<String>, PathRejection>,
    query: Result<Query<TableQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(peer), Query(query)) = (peer?, query?);
    let view = View::new(&state, query.instance.as_deref())?;
    let Some(peer) = view.find_peer(&peer) else { return Ok(no_such_neighbor(query.format)) };
    let (id, family) = (peer.id, query.family_of(peer)?);
    respond(view, family, Some(id), &query).await
}

async fn respond(
    view: View,
    family: Family,
    peer: Option<PeerId>,
    query: &TableQuery,
) -> Result<Response, ApiError> {
    let head = head(&view, family);
    let begin = match query.format {
        Format::Json => JsonObject::begin(&head, "routes"),
        // Written before the first row, if there is one.
        Format::Text => String::new(),
    };
    let table = TableStream {
        total_paths: view.snapshot.table(family).paths.into(),
        view: Arc::new(view),
        family,
        peer,
        format: query.format,
        head,
        json: JsonObject::default(),
        routes: 0,
        paths: 0,
        whole: peer.is_none() && query.after.is_none() && query.limit.is_none(),
    };
    stream::answer(query.format, begin, table, query.after, query.limit).await
}

fn head(view: &View, family: Family) -> TableHead {
    let snapshot = &view.snapshot;
    TableHead {
        vrf_id: view.vrf_id,
        vrf_name: view.vrf_name.clone(),
        table_version: snapshot.table(family).version.into(),
        router_id: snapshot.router_id,
        default_loc_prf: DEFAULT_LOCAL_PREF,
        local_as: snapshot.local_asn,
    }
}

struct TableStream {
    view: Arc<View>,
    family: Family,
    /// Only what this peer sent and is used.
    peer: Option<PeerId>,
    format: Format,
    head: TableHead,
    json: JsonObject,
    routes: u64,
    paths: u64,
    /// Everything is shown, from the first prefix to the last.
    whole: bool,
    total_paths: u64,
}

impl TableStream {
    async fn page(
        &self,
        after: Option<IpNet>,
        limit: usize,
    ) -> Result<(Vec<(IpNet, Vec<Row>)>, Option<IpNet>), ApiError> {
        let family = self.family;
        let Some(peer) = self.peer else {
            let Page { entries, next } = self
                .view
                .handle
                .inspect(move |speaker, _| speaker.rib().rib_page(family, after, limit))
                .await?;
            return Ok((entries.iter().map(|entry| (entry.prefix, rows(&self.view, entry))).collect(), next));
        };
        let Page { entries, next } = self
            .view
            .handle
            .inspect(move |speaker, _| speaker.rib().adj_in_page(peer, family, after, limit))
            .await?;
        // Several paths to a prefix, where the session carries them, are neighbours.
        let used: Vec<_> = entries.iter().filter(|(_, path)| is_in_table(path)).collect();
        let rows = used.chunk_by(|(one, _), (other, _)| one == other).filter_map(|paths| {
            let (prefix, _) = paths.first()?;
            Some((*prefix, paths.iter().map(|(_, path)| row(&self.view, *prefix, 0, path, true)).collect()))
        });
        Ok((rows.collect(), next))
    }
}

impl Paged for TableStream {
    async fn next(&mut self, place: Place, limit: usize) -> Result<(String, usize, Place), ApiError> {
        let Place::After(after) = place else { return Ok((String::new(), 0, Place::End)) };
        let (entries, next) = self.page(after, limit).await?;
        let mut out = String::new();
        for (prefix, paths) in entries.iter().filter(|(_, paths)| !paths.is_empty()) {
            let prefix = prefix.to_string();
            self.paths += paths.len() as u64;
            match self.format {
                Format::Json => self.json.entry(&mut out, &prefix, paths),
                Format::Text => {
                    if self.routes == 0 {
                        out.push_str(&Layout::head(&self.head));
                    }
                    Layout::prefix(&mut out, &prefix, paths);
                }
            }
            self.routes += 1;
        }
        let place = next.map_or(Place::End, |after| Place::After(Some(after)));
        let shown = entries.iter().filter(|(_, paths)| !paths.is_empty()).count();
        Ok((out, shown, place))
    }

    fn end(&mut self) -> String {
        if self.whole {
            // Counted now, so that both numbers are of the same table.
            self.total_paths = self.paths;
        }
        match self.format {
            Format::Json => self.json.end(&[("totalRoutes", self.routes), ("totalPaths", self.total_paths)]),
            Format::Text if self.routes == 0 => Layout::nothing(self.total_paths),
            Format::Text => Layout::foot(self.routes, self.total_paths),
        }
    }
}
