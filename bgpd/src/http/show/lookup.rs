//! `show bgp ipv4|ipv6 unicast PREFIX|ADDRESS`.

use std::borrow::Cow;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bgp_core::rib::RibEntry;
use bgp_wire::Family;
use ipnet::IpNet;
use rutter_api::control::ErrorBody;
use rutter_api::show::prefix::{AdvertisedTo, PrefixEntry, PrefixLookup, Query as Wanted, parse_query};

use crate::http::ApiState;
use crate::http::error::ApiError;
use crate::http::show::path::detail;
use crate::http::show::{ShowQuery, View, answer, parse_family};
use crate::instance::snapshot::PeerSnapshot;

/// `show bgp ipv4|ipv6 unicast PREFIX|ADDRESS`, the prefix as one path segment
#[utoipa::path(get, path = "/v1/show/bgp/{family}/{prefix}", tag = "show",
    params(("family" = String, Path, description = "`ipv4` or `ipv6`"),
           ("prefix" = String, Path, description = "An address (longest match) or a prefix with %2F for its slash"), ShowQuery),
    responses((status = 200, body = PrefixLookup), (status = 404, body = ErrorBody)))]
pub(super) async fn show_prefix(
    State(state): State<ApiState>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path((family, prefix)), Query(query)) = (path?, query?);
    respond(&state, &family, &prefix, &query).await
}

/// `show bgp ipv4|ipv6 unicast PREFIX`, the prefix as two path segments
#[utoipa::path(get, path = "/v1/show/bgp/{family}/{prefix}/{length}", tag = "show",
    params(("family" = String, Path, description = "`ipv4` or `ipv6`"),
           ("prefix" = String, Path, description = "Address of the prefix"),
           ("length" = String, Path, description = "Its length"), ShowQuery),
    responses((status = 200, body = PrefixLookup), (status = 404, body = ErrorBody)))]
pub(super) async fn show_prefix_with_length(
    State(state): State<ApiState>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path((family, prefix, length)), Query(query)) = (path?, query?);
    respond(&state, &family, &format!("{prefix}/{length}"), &query).await
}

async fn respond(
    state: &ApiState,
    family: &str,
    text: &str,
    query: &ShowQuery,
) -> Result<Response, ApiError> {
    let family = parse_family(family)?;
    let wanted = parse_query(text).filter(|wanted| wanted.is_ipv4() == (family == Family::IPV4_UNICAST));
    let Some(wanted) = wanted else {
        let error = format!("{text:?} is no {family} address or prefix");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
    };
    let view = View::new(state, query.instance.as_deref())?;
    let found = view
        .handle
        .inspect(move |speaker, _| {
            let rib = speaker.rib();
            let entry = match wanted {
                Wanted::Prefix(prefix) => rib.lookup(&prefix),
                Wanted::Address(address) => rib.longest_match(&IpNet::from(address)),
            }?;
            let told = rib.advertised_to(&entry.prefix);
            Some((entry, told))
        })
        .await?;
    let lookup = match found {
        Some((entry, told)) => {
            let peers = told.into_iter().filter_map(|peer| view.snapshot.peer(peer));
            PrefixLookup::Found(Box::new(shown(&view, &entry, peers)))
        }
        None => PrefixLookup::NotInTable {},
    };
    Ok(answer(query.format, &lookup, PrefixLookup::to_text))
}

fn shown<'a>(view: &View, entry: &RibEntry, told: impl Iterator<Item = &'a PeerSnapshot>) -> PrefixEntry {
    let advertised_to: rutter_api::show::ordered::Ordered<AdvertisedTo> = told
        .map(|peer| (peer.shown_as(), AdvertisedTo { hostname: peer.hostname().map(Cow::into_owned) }))
        .collect();
    PrefixEntry {
        prefix: entry.prefix.to_string(),
        version: entry.version.into(),
        advertised_to: (!advertised_to.is_empty()).then_some(advertised_to),
        paths: entry.paths.iter().map(|path| detail(view, entry, path)).collect(),
    }
}
