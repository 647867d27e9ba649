//! `show bgp summary`, filled from the published snapshot.

use std::borrow::Cow;

use bgp_wire::Family;
use rutter_api::show::summary::{BestPathOptions, FamilySummary, PeerState, PeerSummary, Summary};

use crate::http::show::View;
use crate::http::show::peer::millis;
use crate::instance::snapshot::PeerSnapshot;

/// Octets that an idle session costs, as measured (docs/src/bgpd.md); its queues come on top.
const PEER_OCTETS: u64 = 12 * 1024;

/// Estimates: a node of the tree with its destination, a path, a set of attributes of usual size.
const PREFIX_OCTETS: u64 = 96;
const PATH_OCTETS: u64 = 24;
const ATTRIBUTES_OCTETS: u64 = 256;

/// All families that have a peer.
#[must_use]
pub fn summary(view: &View) -> Summary {
    Summary {
        ipv4_unicast: family_summary(view, Family::IPV4_UNICAST),
        ipv6_unicast: family_summary(view, Family::IPV6_UNICAST),
    }
}

/// One family; nothing if no peer has it.
#[must_use]
pub fn family_summary(view: &View, family: Family) -> Option<FamilySummary> {
    let snapshot = &view.snapshot;
    let table = snapshot.table(family);
    let peers: Vec<&PeerSnapshot> = snapshot.peers.iter().filter(|peer| peer.carries(family)).collect();
    if peers.is_empty() {
        return None;
    }
    let count = peers.len() as u64;
    let failed = peers.iter().filter(|peer| !peer.exchanges(family)).count() as u64;
    let dynamic = peers.iter().filter(|peer| peer.config.dynamic.is_some()).count() as u64;
    let queued: u64 = peers.iter().map(|peer| (peer.queued_out + peer.queued_in) as u64).sum();
    Some(FamilySummary {
        router_id: snapshot.router_id,
        r#as: snapshot.local_asn,
        vrf_id: view.vrf_id,
        vrf_name: view.vrf_name.clone(),
        table_version: table.version.into(),
        rib_count: table.prefixes.into(),
        rib_memory: u64::from(table.prefixes) * PREFIX_OCTETS
            + u64::from(table.paths) * PATH_OCTETS
            + table.attribute_sets as u64 * ATTRIBUTES_OCTETS,
        peer_count: count,
        peer_memory: count * PEER_OCTETS + queued,
        peer_group_count: None,
        peer_group_memory: None,
        peers: peers.into_iter().map(|peer| (peer.shown_as(), row(view, peer, family))).collect(),
        failed_peers: failed,
        displayed_peers: count,
        total_peers: count,
        dynamic_peers: dynamic,
        best_path: BestPathOptions { multi_path_relax: snapshot.multipath_relax.to_string() },
    })
}

fn row(view: &View, peer: &PeerSnapshot, family: Family) -> PeerSummary {
    let now = &view.snapshot.taken;
    let since = peer.up_or_down_since();
    let routes = peer.family(family).filter(|_| peer.is_established()).copied().unwrap_or_default();
    let state = match peer.shown_state() {
        PeerState::Established if !peer.exchanges(family) => PeerState::NoNeg,
        other => other,
    };
    let told = peer.exchanges(family) && peer.queued_out == 0;
    PeerSummary {
        hostname: peer.hostname().map(Cow::into_owned),
        software_version: peer.software_version().unwrap_or(Cow::Borrowed("n/a")).into_owned(),
        remote_as: peer.remote_asn.unwrap_or_default(),
        local_as: view.snapshot.local_asn,
        version: 4,
        msg_rcvd: peer.received.total(),
        msg_sent: peer.sent.total(),
        table_version: if told { view.snapshot.table(family).version.into() } else { 0 },
        outq: peer.messages_queued(),
        inq: 0,
        peer_uptime: peer.shown_uptime(now),
        peer_uptime_msec: since.map_or(0, |since| millis(now.age(since))),
        peer_uptime_established_epoch: since.map(|since| now.epoch_seconds(since)),
        pfx_rcd: routes.accepted,
        pfx_snt: routes.advertised,
        state,
        peer_state: peer.held_by(),
        connections_established: peer.established_count,
        connections_dropped: peer.dropped_count,
        desc: peer.config.description.as_deref().map(str::to_owned),
        id_type: peer.id_type(),
        dynamic_peer: peer.config.dynamic.is_some(),
        slow_peer: peer.slow_since.is_some(),
    }
}
