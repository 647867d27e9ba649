//! `show bgp neighbors [X]`, filled from the published snapshot.

use std::borrow::Cow;
use std::time::Duration;

use bgp_core::config::LimitAction;
use bgp_core::{Direction, Held};
use bgp_wire::{AddPathMode, Capability, Family, FamilySet, LongLivedFamily, Role};
use rutter_api::show::neighbor::capabilities::{
    AddPath, Capabilities, Exchange, HostNames, RestartFamilies, RestartFamily, SoftwareVersions,
};
use rutter_api::show::neighbor::graceful_restart::{
    EndOfRib, FamilyRestart, FamilyTimers, GracefulRestart, RestartTimers,
};
use rutter_api::show::neighbor::{
    Connection, FamilyInfo, LastReset, MessageStats, Neighbor, Neighbors, PrefixStats, Switch,
};
use rutter_api::show::ordered::Ordered;
use rutter_api::show::text;

use bgp_core::rib::Ineligible;

use crate::clock::Moment;
use crate::http::show::View;
use crate::http::show::peer::{family_key, millis, printable};
use crate::instance::TcpStates;
use crate::instance::snapshot::PeerSnapshot;
use crate::sockopt::is_link_local;

/// How long stale routes stay after a peer's return where nothing else is configured: bgp-core's time.
const GRACE: Duration = Duration::from_secs(360);

/// All neighbours.
#[must_use]
pub fn neighbors(view: &View, connections: &TcpStates) -> Neighbors {
    let one = |peer: &PeerSnapshot| (peer.shown_as(), neighbor(view, peer, connections));
    Neighbors(view.snapshot.peers.iter().map(one).collect())
}

/// One neighbour, under the name it is listed by.
#[must_use]
pub fn one(view: &View, peer: &PeerSnapshot, connections: &TcpStates) -> Neighbors {
    Neighbors(std::iter::once((peer.shown_as(), neighbor(view, peer, connections))).collect())
}

fn neighbor(view: &View, peer: &PeerSnapshot, connections: &TcpStates) -> Neighbor {
    let tcp = peer.endpoints.and_then(|ends| connections.get(&(ends.local, ends.remote))).copied();
    let snapshot = &view.snapshot;
    let now = &snapshot.taken;
    let age = |then: Option<bgp_core::Time>| then.map(|then| millis(now.age(then)));
    let internal = peer.remote_asn == Some(snapshot.local_asn);
    let connected = peer.endpoints.is_some();
    let switch = if connected { Switch::On } else { Switch::Off };
    let (limit_passed, limit_until) = match peer.held {
        Some(Held::PrefixLimit { until }) => (true, until),
        _ => (false, None),
    };
    let configured = &peer.config.timers;
    Neighbor {
        bgp_neighbor_addr: is_link_local(peer.config.address).then(|| peer.config.address.to_string()),
        remote_as: peer.remote_asn.unwrap_or_default(),
        local_as: snapshot.local_asn,
        local_as_replace_as_dual_as: false,
        nbr_external_link: !internal,
        nbr_internal_link: internal,
        local_role: peer.config.role.map_or("undefined", Role::label).to_owned(),
        remote_role: remote_role(peer),
        nbr_desc: peer.config.description.as_deref().map(str::to_owned),
        peer_group: peer.config.group.as_deref().map(str::to_owned),
        dynamic_peer: peer.config.dynamic.is_some(),
        peer_subnet_range_group: peer.config.dynamic.as_deref().map(str::to_owned),
        hostname: peer.hostname().unwrap_or(Cow::Borrowed("Unknown")).into_owned(),
        admin_shut_down: peer.held == Some(Held::AdminDown),
        bgp_version: 4,
        remote_router_id: peer.remote_router_id.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
        local_router_id: snapshot.router_id,
        bgp_state: peer.shown_state(),
        bgp_timer_up_msec: age(peer.established_at),
        bgp_timer_up_string: peer.established_at.map(|at| text::uptime(now.age(at).as_secs())),
        bgp_timer_up_established_epoch: peer.established_at.map(|at| now.epoch_seconds(at)),
        bgp_timer_last_read: age(peer.last_read),
        bgp_timer_last_write: age(peer.last_write),
        bgp_in_update_elapsed_time_msecs: age(peer.last_update),
        bgp_timer_configured_hold_time_msecs: u64::from(configured.hold) * 1000,
        bgp_timer_configured_keep_alive_interval_msecs: u64::from(configured.keepalive) * 1000,
        bgp_timer_hold_time_msecs: millis(peer.hold_time),
        bgp_timer_keep_alive_interval_msecs: millis(peer.keepalive_interval),
        bgp_tcp_mss_configured: 0,
        bgp_tcp_mss_synced: tcp.unwrap_or_default().segment_size,
        extended_optional_parameters_length: false,
        bgp_timer_configured_conditional_advertisements_sec: None,
        neighbor_capabilities: peer.negotiated.is_some().then(|| capabilities(peer)),
        graceful_restart_info: graceful_restart(peer, view.snapshot.selection_deferral, now),
        message_stats: message_stats(peer),
        prefix_stats: prefix_stats(peer),
        min_btwn_advertisement_runs_timer_msecs: 0,
        address_family_info: peer
            .config
            .families
            .iter()
            .map(|family| (family_key(family).to_owned(), family_info(peer, family)))
            .collect(),
        connections_established: peer.established_count,
        connections_dropped: peer.dropped_count,
        slow_peer_msecs: age(peer.slow_since),
        slow_peer_count: (peer.slow_count > 0).then_some(peer.slow_count),
        queued_octets: (peer.queued_out > 0).then_some(peer.queued_out as u64),
        last_reset: last_reset(peer, now),
        prefixes_config_exceed_max: limit_passed,
        reduce_prefix_num_from: limit_until.is_some(),
        restart_in_timer_msec: limit_until.map(|until| millis(until.since(now.time))),
        reduce_prefix_num_and_clear_ip_bgp: limit_passed && limit_until.is_none(),
        graceful_shutdown: peer.drains,
        external_bgp_nbr_max_hops_away: (!internal)
            .then(|| peer.config.ttl_security.or(peer.config.multihop).unwrap_or(1)),
        internal_bgp_nbr_max_hops_away: internal.then_some(255),
        connection: connection(peer),
        connect_retry_timer: configured.connect_retry.into(),
        next_connect_timer_due_in_msecs: peer.next_connect.map(|at| millis(at.since(now.time))),
        estimated_rtt_in_msecs: tcp.map(|tcp| u64::from(tcp.round_trip_micros.div_ceil(1000))),
        authentication_enabled: (peer.config.password.is_some() || peer.config.tcp_ao.is_some()).then_some(1),
        read_thread: switch,
        write_thread: switch,
        peer_bfd_info: None,
        file_descriptor: None,
    }
}

fn remote_role(peer: &PeerSnapshot) -> String {
    let role = peer.received(|capability| match capability {
        Capability::Role(role) => Some(role.label().to_owned()),
        _ => None,
    });
    role.unwrap_or_else(|| "undefined".to_owned())
}

/// Who offered a capability that `matches`.
fn exchange(peer: &PeerSnapshot, matches: impl Fn(&Capability) -> bool) -> Option<Exchange> {
    let negotiated = peer.negotiated.as_ref()?;
    let offered = |list: &[Capability]| list.iter().any(&matches);
    Exchange::of(offered(&negotiated.capabilities_sent), offered(&negotiated.capabilities_received))
}

fn capabilities(peer: &PeerSnapshot) -> Capabilities {
    let restart = peer.received(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    });
    let long_lived = long_lived(peer).filter(|families| !families.is_empty());
    Capabilities {
        four_byte_as: exchange(peer, |capability| matches!(capability, Capability::FourOctetAs(_))),
        extended_message: exchange(peer, |capability| matches!(capability, Capability::ExtendedMessage)),
        add_path: add_path(peer),
        paths_limit: None,
        dynamic: None,
        extended_nexthop: exchange(peer, |capability| matches!(capability, Capability::ExtendedNextHop(_))),
        extended_nexthop_families_by_peer: extended_next_hop_families(peer),
        long_lived_graceful_restart: exchange(peer, |capability| {
            matches!(capability, Capability::LongLivedGracefulRestart(_))
        }),
        long_lived_graceful_restart_by_peer: long_lived.map(|families| {
            families
                .iter()
                .map(|entry| (family_key(entry.family).to_owned(), "received".to_owned()))
                .collect()
        }),
        route_refresh: exchange(peer, |capability| matches!(capability, Capability::RouteRefresh)),
        enhanced_route_refresh: exchange(peer, |capability| {
            matches!(capability, Capability::EnhancedRouteRefresh)
        }),
        multiprotocol_extensions: multiprotocol(peer),
        host_name: host_names(peer),
        software_version: software_versions(peer),
        graceful_restart: exchange(peer, |capability| matches!(capability, Capability::GracefulRestart(_))),
        graceful_restart_remote_timer_msecs: restart.map(|restart| u64::from(restart.restart_time) * 1000),
        address_families_by_peer: restart.map(|restart| {
            if restart.families.is_empty() {
                return RestartFamilies::None("none".to_owned());
            }
            let entry = |(family, preserved): &(Family, bool)| {
                (family_key(*family).to_owned(), RestartFamily { preserved: *preserved })
            };
            RestartFamilies::Families(restart.families.iter().map(entry).collect())
        }),
    }
}

/// Per family and direction: do we, does the peer, do both? A direction that neither offers is not listed.
fn add_path(peer: &PeerSnapshot) -> Option<Ordered<AddPath>> {
    let negotiated = peer.negotiated.as_ref()?;
    let offers = |list: &[Capability], family: Family, does: fn(AddPathMode) -> bool| {
        let entries = list.iter().filter_map(|capability| match capability {
            Capability::AddPath(entries) => Some(entries),
            _ => None,
        });
        entries.flatten().any(|entry| entry.family == family && does(entry.mode))
    };
    let direction = |family: Family, does: fn(AddPathMode) -> bool| {
        let ours = offers(&negotiated.capabilities_sent, family, does);
        let theirs = offers(&negotiated.capabilities_received, family, does);
        (ours || theirs).then_some((ours && theirs, ours, theirs))
    };
    let families = FamilySet::ALL.iter().filter_map(|family| {
        let (tx, rx) = (direction(family, AddPathMode::sends), direction(family, AddPathMode::receives));
        let shown = AddPath {
            tx_advertised_and_received: tx.map(|(both, _, _)| both),
            tx_advertised: tx.map(|(_, ours, _)| ours),
            tx_received: tx.map(|(_, _, theirs)| theirs),
            rx_advertised_and_received: rx.map(|(both, _, _)| both),
            rx_advertised: rx.map(|(_, ours, _)| ours),
            rx_received: rx.map(|(_, _, theirs)| theirs),
        };
        (tx.is_some() || rx.is_some()).then(|| (family_key(family).to_owned(), shown))
    });
    let families: Ordered<_> = families.collect();
    (!families.is_empty()).then_some(families)
}

fn extended_next_hop_families(peer: &PeerSnapshot) -> Option<Ordered<String>> {
    peer.received(|capability| match capability {
        Capability::ExtendedNextHop(entries) if !entries.is_empty() => Some(
            entries
                .iter()
                .filter(|entry| FamilySet::ALL.contains(entry.nlri))
                .map(|entry| (family_key(entry.nlri).to_owned(), "recieved".to_owned()))
                .collect(),
        ),
        _ => None,
    })
}

fn multiprotocol(
    peer: &PeerSnapshot,
) -> Option<Ordered<rutter_api::show::neighbor::capabilities::FamilyExchange>> {
    let entries: Ordered<_> = FamilySet::ALL
        .iter()
        .filter_map(|family| {
            let who = exchange(peer, |capability| *capability == Capability::MultiProtocol(family))?;
            Some((family_key(family).to_owned(), who.into()))
        })
        .collect();
    (!entries.is_empty()).then_some(entries)
}

fn host_names(peer: &PeerSnapshot) -> Option<HostNames> {
    let negotiated = peer.negotiated.as_ref()?;
    let names = |list: &[Capability]| {
        list.iter().find_map(|capability| match capability {
            Capability::Fqdn { host, domain } => {
                let shown = |name: &String| {
                    if name.is_empty() { "n/a".to_owned() } else { printable(name).into_owned() }
                };
                Some((shown(host), shown(domain)))
            }
            _ => None,
        })
    };
    let (sent, received) = (names(&negotiated.capabilities_sent), names(&negotiated.capabilities_received));
    if sent.is_none() && received.is_none() {
        return None;
    }
    let (adv_host_name, adv_domain_name) = sent.unzip();
    let (rcv_host_name, rcv_domain_name) = received.unzip();
    Some(HostNames { adv_host_name, adv_domain_name, rcv_host_name, rcv_domain_name })
}

fn software_versions(peer: &PeerSnapshot) -> Option<SoftwareVersions> {
    let received = peer.software_version()?;
    Some(SoftwareVersions {
        advertised_software_version: None,
        received_software_version: Some(received.into_owned()),
    })
}

/// What the peer says about long-lived graceful restart (RFC 9494).
fn long_lived(peer: &PeerSnapshot) -> Option<&[LongLivedFamily]> {
    peer.received(|capability| match capability {
        Capability::LongLivedGracefulRestart(families) => Some(families.as_slice()),
        _ => None,
    })
}

/// FRR's modes: `Restart` is both to help and to be helped, which is what bgpd does wherever it is configured.
fn graceful_restart(peer: &PeerSnapshot, selection_deferral: Duration, now: &Moment) -> GracefulRestart {
    let left = |until: Option<bgp_core::Time>| until.map(|until| millis(until.since(now.time)));
    let restart = peer.received(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    });
    let (config, long_lived) = (peer.config.graceful_restart, long_lived(peer).unwrap_or_default());
    let remote_mode = match restart {
        None if peer.negotiated.is_none() => "NotApplicable",
        None => "Disable",
        Some(restart) if restart.families.is_empty() => "Helper",
        Some(_) => "Restart",
    };
    let negotiated = peer.negotiated.as_ref().filter(|_| peer.is_established());
    let families = negotiated.map_or(FamilySet::EMPTY, |negotiated| negotiated.families);
    let per_family = |family: Family| {
        let away = peer.stale.contains(family);
        (families.contains(family) || away).then(|| FamilyRestart {
            f_bit: restart.is_some_and(|restart| restart.families.contains(&(family, true))),
            end_of_rib_status: EndOfRib {
                end_of_rib_send: peer.dumped,
                end_of_rib_sent_after_update: false,
                end_of_rib_recv: peer.end_of_rib_received.contains(family),
            },
            timers: FamilyTimers {
                stale_path_timer: config
                    .and_then(|restart| restart.stale_time)
                    .map_or(GRACE.as_secs(), u64::from),
                llgr_stale_time: long_lived
                    .iter()
                    .find(|entry| entry.family == family)
                    .map_or(0, |entry| entry.stale_time.into()),
                llgr_stale_time_remaining: left(peer.long_lived_until(family)).map(|msecs| msecs / 1000),
                selection_deferral_timer: selection_deferral.as_secs(),
            },
        })
    };
    // As in FRR, a mark that is not set is not listed.
    let marks = |mark: &dyn Fn(Family) -> bool| -> Ordered<bool> {
        let set = families.iter().filter(|family| mark(*family));
        set.map(|family| (family_key(family).to_owned(), true)).collect()
    };
    GracefulRestart {
        graceful_restart_timer_msecs: left(peer.restart_deadline),
        graceful_stalepath_timer_msecs: left(peer.stale_deadline),
        end_of_rib_send: marks(&|_| peer.dumped),
        end_of_rib_recv: marks(&|family| peer.end_of_rib_received.contains(family)),
        local_gr_mode: if peer.config.graceful_restart.is_some() { "Restart" } else { "Disable" }.to_owned(),
        remote_gr_mode: remote_mode.to_owned(),
        r_bit: restart.is_some_and(|restart| restart.restart_state),
        n_bit: restart.is_some_and(|restart| restart.notification),
        timers: RestartTimers {
            configured_restart_timer: config.map_or(0, |restart| restart.restart_time.into()),
            configured_llgr_stale_time: config
                .and_then(|restart| restart.long_lived_time)
                .map_or(0, u64::from),
            received_restart_timer: restart.map_or(0, |restart| restart.restart_time.into()),
            restart_timer_remaining: left(peer.restart_deadline).map(|msecs| msecs / 1000),
        },
        ipv4_unicast: per_family(Family::IPV4_UNICAST),
        ipv6_unicast: per_family(Family::IPV6_UNICAST),
    }
}

fn message_stats(peer: &PeerSnapshot) -> MessageStats {
    let (sent, received) = (&peer.sent, &peer.received);
    MessageStats {
        depth_inq: 0,
        depth_outq: peer.messages_queued(),
        opens_sent: sent.opens,
        opens_recv: received.opens,
        notifications_sent: sent.notifications,
        notifications_recv: received.notifications,
        updates_sent: sent.updates,
        updates_recv: received.updates,
        keepalives_sent: sent.keepalives,
        keepalives_recv: received.keepalives,
        route_refresh_sent: sent.route_refreshes,
        route_refresh_recv: received.route_refreshes,
        capability_sent: 0,
        capability_recv: 0,
        total_sent: sent.total(),
        total_recv: received.total(),
    }
}

fn prefix_stats(peer: &PeerSnapshot) -> PrefixStats {
    let rejected =
        |reason: Ineligible| peer.families.iter().map(|(_, counters)| counters.rejected(reason)).sum::<u64>();
    PrefixStats {
        inbound_filtered: rejected(Ineligible::ImportPolicy),
        aspath_loop: rejected(Ineligible::AsLoop),
        originator_loop: rejected(Ineligible::OwnOriginatorId),
        cluster_loop: rejected(Ineligible::ClusterLoop),
        invalid_next_hop: rejected(Ineligible::InvalidNextHop) + rejected(Ineligible::OwnNextHop),
        withdrawn: peer.counters.updates_withdrawn,
        attributes_discarded: peer.counters.updates_discarded_attributes,
    }
}

fn family_info(peer: &PeerSnapshot, family: Family) -> FamilyInfo {
    let routes = peer.family(family).filter(|_| peer.is_established()).copied().unwrap_or_default();
    let up = peer.exchanges(family);
    let policy_name = |policy: &Option<std::sync::Arc<bgp_core::policy::Policy>>| {
        policy.as_ref().map(|policy| policy.name.to_string())
    };
    let max = peer.config.max_prefixes;
    FamilyInfo {
        update_group_id: None,
        sub_group_id: None,
        packet_queue_length: up.then(|| peer.messages_queued()),
        route_reflector_client: peer.config.route_reflector_client,
        inbound_soft_config_permit: true,
        router_always_next_hop: false,
        comm_attri_sent_to_nbr: "extendedAndStandard".to_owned(),
        inbound_path_policy_config: peer.config.import.is_some(),
        outbound_path_policy_config: peer.config.export.is_some(),
        route_map_for_incoming_advertisements: policy_name(&peer.config.import),
        route_map_for_outgoing_advertisements: policy_name(&peer.config.export),
        accepted_prefix_counter: routes.accepted,
        sent_prefix_counter: up.then_some(routes.advertised),
        prefix_allowed_max: max.map(|max| max.limit.into()),
        prefix_allowed_max_warning: max.is_some_and(|max| max.action == LimitAction::Warn),
        prefix_allowed_warning_thresh: max.map(|max| max.warning_percent),
        prefix_allowed_restart_interval_msecs: max.and_then(|max| match max.action {
            LimitAction::Restart(seconds) => Some(u64::from(seconds) * 1000),
            LimitAction::Warn | LimitAction::Stop => None,
        }),
    }
}

fn last_reset(peer: &PeerSnapshot, now: &Moment) -> LastReset {
    let Some(reset) = &peer.last_reset else { return LastReset::never() };
    let ago = millis(now.age(reset.at));
    match &reset.notification {
        None => LastReset::local(ago, reset.reason.to_string()),
        Some((direction, notification)) => LastReset {
            last_shutdown_description: notification.text().map(|text| printable(text).into_owned()),
            ..LastReset::notification(
                ago,
                *direction == Direction::Sent,
                notification.code,
                notification.subcode,
                notification.reason().to_string(),
            )
        },
    }
}

fn connection(peer: &PeerSnapshot) -> Connection {
    let Some(ends) = &peer.endpoints else { return Connection::default() };
    let or_none = |address: Option<String>, none: &str| address.unwrap_or_else(|| none.to_owned());
    Connection {
        host_local: ends.local.ip().to_string(),
        port_local: ends.local.port().into(),
        host_foreign: ends.remote.ip().to_string(),
        port_foreign: ends.remote.port().into(),
        nexthop: or_none(ends.local_v4.map(|address| address.to_string()), "0.0.0.0"),
        nexthop_global: or_none(ends.local_v6.map(|address| address.to_string()), "::"),
        nexthop_local: or_none(ends.link_local.map(|address| address.to_string()), "::"),
        bgp_connection: if ends.link_local.is_some() { "sharedNetwork" } else { "nonSharedNetwork" }
            .to_owned(),
    }
}
