//! One path as the tables show it.
//!
//! Invariant: a path that is not the winner says why, in the words of the core's reasons.

use std::borrow::Cow;

use bgp_core::policy::SourceMatch;
use bgp_core::rib::{Ineligible, PathView, RibEntry, Standing};
use bgp_wire::{Family, PathAttributes};
use ipnet::IpNet;
use rutter_api::show::adjacency::WireRoute;
use rutter_api::show::prefix::{BestPath, LastUpdate, PathDetail, PathPeer};
use rutter_api::show::table::{NextHop, Path, PathFrom};

use crate::http::show::View;
use crate::instance::snapshot::PeerSnapshot;
use crate::sockopt::is_link_local;

/// LOCAL_PREF of routes that come without one.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// The paths of a prefix that the table shows, as rows.
#[must_use]
pub fn rows(view: &View, entry: &RibEntry) -> Vec<Path> {
    let alone = !entry.paths.iter().any(|path| path.standing == Standing::Multipath);
    let shown = entry.paths.iter().filter(|path| is_in_table(path));
    shown.map(|path| row(view, entry.prefix, entry.version, path, alone)).collect()
}

/// FRR's tables list what may be used, now or once its next hop can be reached. What policy or a rule of the protocol
/// keeps out is listed by `received-routes` and by the display of one prefix, with the reason.
#[must_use]
pub fn is_in_table(path: &PathView) -> bool {
    match path.standing {
        Standing::Best | Standing::Multipath | Standing::Eligible => true,
        Standing::Ineligible(reason) => reason == Ineligible::UnreachableNextHop,
    }
}

/// One path, as a row. `alone`: the prefix has no path beside the winner.
#[must_use]
pub fn row(view: &View, prefix: IpNet, version: u32, path: &PathView, alone: bool) -> Path {
    let peer = path.peer.and_then(|peer| view.snapshot.peer(peer));
    let mut row = Path::new(prefix, &path.attributes);
    row.version = version.into();
    row.stale = path.stale;
    row.valid = path.standing.is_eligible();
    row.bestpath = path.standing == Standing::Best;
    row.multipath = path.standing == Standing::Multipath || (row.bestpath && !alone);
    row.selection_reason = selection_reason(path);
    row.not_best_reason = not_best_reason(path);
    row.path_from = path_from(path.source);
    row.nexthops = next_hops(view, prefix, path, peer);
    if path.source != SourceMatch::Local {
        row.weight = 0;
        row.peer_id = peer.map_or_else(|| path.router_id.to_string(), |peer| peer.config.address.to_string());
    }
    row
}

/// One path with everything about it.
#[must_use]
pub fn detail(view: &View, entry: &RibEntry, path: &PathView) -> PathDetail {
    let snapshot = &view.snapshot;
    let local = path.source == SourceMatch::Local;
    let peer = path.peer.and_then(|peer| snapshot.peer(peer));
    let from = PathPeer {
        peer_id: match peer {
            Some(peer) => peer.config.address.to_string(),
            None => unspecified(entry.prefix),
        },
        router_id: path.router_id,
        hostname: peer.and_then(PeerSnapshot::hostname).map(Cow::into_owned),
        interface: peer.and_then(known_by),
        r#type: (!local).then(|| path_from(path.source)),
    };
    let mut detail = PathDetail::new(
        &path.attributes,
        from,
        LastUpdate::at(snapshot.taken.epoch_seconds(path.received_at)),
    );
    let best = path.standing == Standing::Best;
    detail.weight = local.then_some(32_768);
    detail.valid = path.standing.is_eligible();
    detail.stale = path.stale;
    if path.stale {
        let left = |until: bgp_core::Time| until.since(snapshot.taken.time).as_secs();
        detail.graceful_restart_seconds_remaining =
            peer.and_then(PeerSnapshot::stale_until).filter(|_| !path.long_lived).map(left);
        let family = Family::of(&entry.prefix);
        detail.llgr_seconds_remaining =
            peer.and_then(|peer| peer.long_lived_until(family)).filter(|_| path.long_lived).map(left);
    }
    detail.version = entry.version.into();
    detail.sourced = local;
    detail.local = local;
    detail.multipath = match path.standing {
        Standing::Multipath => true,
        Standing::Best => entry.paths.iter().any(|other| other.standing == Standing::Multipath),
        _ => false,
    };
    detail.bestpath = best.then(|| BestPath {
        bestpath_from_as: Some(path.attributes.as_path.first_asn().unwrap_or_default()),
        overall: true,
        selection_reason: selection_reason(path),
    });
    detail.nexthops = next_hops(view, entry.prefix, path, peer)
        .into_iter()
        .map(|next_hop| NextHop { accessible: Some(true), metric: Some(0), ..next_hop })
        .collect();
    detail.not_best_reason = not_best_reason(path);
    detail.addpath_rx_id = Some(path.path_id).filter(|id| *id != 0);
    detail.addpath_tx_id_all = Some(path.number).filter(|number| *number != 0).map(u32::from);
    detail.source = path.origin.as_deref().map(str::to_owned);
    detail
}

/// A route as it stood in an UPDATE, with how its path stands.
#[must_use]
pub fn wire_route(prefix: IpNet, attributes: &PathAttributes, path: &PathView) -> WireRoute {
    let mut route = WireRoute::new(prefix, attributes);
    route.weight = if path.source == SourceMatch::Local { 32_768 } else { 0 };
    route.valid = path.standing.is_eligible();
    route.best = path.standing == Standing::Best;
    route.multipath = path.standing == Standing::Multipath;
    route.internal = path.source == SourceMatch::Internal;
    route.not_best_reason = not_best_reason(path);
    route
}

fn path_from(source: SourceMatch) -> PathFrom {
    if source == SourceMatch::Internal { PathFrom::Internal } else { PathFrom::External }
}

fn selection_reason(path: &PathView) -> Option<String> {
    path.selection.filter(|_| path.standing == Standing::Best).map(|reason| reason.to_string())
}

fn not_best_reason(path: &PathView) -> Option<String> {
    match path.standing {
        Standing::Best | Standing::Multipath => None,
        Standing::Eligible => path.selection.map(|reason| format!("lost on {reason}")),
        Standing::Ineligible(reason) => Some(match &path.rejected_by {
            Some(statement) => format!("{reason}, statement {statement}"),
            None => reason.to_string(),
        }),
    }
}

fn next_hops(view: &View, prefix: IpNet, path: &PathView, peer: Option<&PeerSnapshot>) -> Vec<NextHop> {
    let hostname = match path.source {
        SourceMatch::Local => view.snapshot.hostname.as_deref().map(Cow::Borrowed),
        _ => peer.and_then(PeerSnapshot::hostname),
    };
    match path.attributes.next_hop {
        Some(next_hop) => NextHop::list(next_hop, hostname.as_deref(), peer.and_then(known_by).as_deref()),
        // An own route whose next hop is the local address of each session.
        None => {
            let any = match Family::of(&prefix) {
                Family::IPV6_UNICAST => std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
                _ => std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            };
            vec![NextHop::new(any, hostname.map(Cow::into_owned))]
        }
    }
}

fn unspecified(prefix: IpNet) -> String {
    if matches!(prefix, IpNet::V4(_)) { "0.0.0.0" } else { "::" }.to_owned()
}

/// The interface of a peer that is known by it alone.
fn known_by(peer: &PeerSnapshot) -> Option<String> {
    peer.config.interface.as_deref().filter(|_| is_link_local(peer.config.address)).map(str::to_owned)
}
