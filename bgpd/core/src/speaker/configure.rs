//! From one configuration to the next: what changed, and the least that makes it so.
//!
//! A plan ([`Speaker::plan_config`]) and its application read the same costs, so that what was announced is what happens.
//!
//! Invariant: a peer whose configuration did not change is not touched, and a session is reset only for a field whose row
//! in [`crate::reconfigure`] says so, and then only if this session cannot be spared ([`cost_here`]).

use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Notification, cease};
use hashbrown::HashMap;

use crate::config::{PeerConfig, Protection, SpeakerConfig, SpeakerSettings};
use crate::event::Action;
use crate::gr::capability::long_lived_of;
use crate::gr::restarting::Input;
use crate::ids::PeerId;
use crate::reason::Reason;
use crate::reconfigure::{ConfigChange, ConfigEffect, ConfigField, Cost};
use crate::rib::RibConfig;
use crate::session::collision::Side;
use crate::session::shared::Shared;
use crate::session::{FsmInput, Peer, Run, State, families_of, keepalive_interval};
use crate::time::Time;
use crate::view::Order;

use super::dynamic::wanted;
use super::{Speaker, note_wake};

impl Speaker {
    pub(super) fn apply_initial(&mut self, now: Time) {
        let routes = self.shared.config.take_routes();
        self.shared.rib.set_local_routes(routes, now);
        for peer in self.shared.config.peers.clone() {
            self.add_peer(peer, now);
        }
    }

    /// What [`Speaker::handle_config`] would do now. Nothing is changed.
    #[must_use]
    pub fn plan_config(&self, config: &SpeakerConfig) -> Vec<ConfigChange> {
        let everywhere = identity_changes(&self.shared.config, config);
        let named = by_name(config);
        let mut changes = Vec::new();
        for peer in self.peers.values().filter(|peer| wanted(config, &named, peer).is_none()) {
            changes.push(ConfigChange::of(peer, ConfigEffect::Removed, Vec::new()));
        }
        for peer in self.peers.values() {
            let Some(new) = wanted(config, &named, peer) else { continue };
            let costs = costs(peer, &new, &everywhere);
            if !costs.is_empty() {
                changes.push(ConfigChange::of(peer, effect(peer, &costs), costs));
            }
        }
        for peer in &config.peers {
            let same = |known: &Peer| known.config.name == peer.name && known.config.dynamic.is_none();
            if !self.peers.values().any(same) {
                let name = Arc::clone(&peer.name);
                changes.push(ConfigChange {
                    peer: None,
                    name,
                    effect: ConfigEffect::Added,
                    costs: Vec::new(),
                });
            }
        }
        changes
    }

    pub(super) fn apply(&mut self, mut config: SpeakerConfig, now: Time) -> Vec<ConfigChange> {
        let routes = config.take_routes();
        let old = std::mem::replace(&mut self.shared.config, config);
        let config = self.shared.config.clone();
        let everywhere = identity_changes(&old, &config);
        let named = by_name(&config);
        let mut changes = Vec::new();
        // What goes away goes first: an address may have moved from one peer to another. Sessions that have to end do so
        // before the RIB learns who we are now.
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in &ids {
            let Some(peer) = self.peers.get(id) else { continue };
            if wanted(&config, &named, peer).is_none() {
                changes.push(ConfigChange::of(peer, ConfigEffect::Removed, Vec::new()));
                self.remove_peer(*id, now);
            }
        }
        for id in &ids {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let Some(new) = wanted(&config, &named, peer) else { continue };
            let costs = costs(peer, &new, &everywhere);
            if costs.is_empty() {
                continue;
            }
            let before = peer.config.protection(old.local_asn);
            let change = ConfigChange::of(peer, effect(peer, &costs), costs);
            change_peer(peer, new, &change, &before, &mut self.shared, now);
            changes.push(change);
        }
        self.shared.restarting.set_limit(config.selection_deferral);
        self.shared.rib.set_config(rib_config(&config), now);
        self.shared.rib.set_local_routes(routes, now);
        let names: hashbrown::HashSet<Arc<str>, foldhash::fast::FixedState> =
            self.peers.values().map(|peer| Arc::clone(&peer.config.name)).collect();
        for peer in config.peers.iter().filter(|peer| !names.contains(&peer.name)) {
            let name = Arc::clone(&peer.name);
            let peer = Some(self.add_peer(peer.clone(), now));
            changes.push(ConfigChange { peer, name, effect: ConfigEffect::Added, costs: Vec::new() });
        }
        changes
    }

    pub(super) fn add_peer(&mut self, config: PeerConfig, now: Time) -> PeerId {
        let id = PeerId::new(self.next_peer);
        self.next_peer += 1;
        let mut peer = Peer::new(id, config, now);
        peer.history.record_order(now, Order::Added);
        if let Some(restart) = peer.config.graceful_restart.filter(|_| peer.run == Run::Enabled) {
            let within = Duration::from_secs(restart.restart_time.into());
            self.shared.restarting.feed(Input::Expect(id, within), now);
        }
        peer.start(Reason::Started, &mut self.shared, now);
        note_wake(&mut peer, &mut self.shared);
        self.peers.insert(id, peer);
        id
    }

    pub(super) fn remove_peer(&mut self, id: PeerId, now: Time) {
        let Some(mut peer) = self.peers.remove(&id) else { return };
        peer.run = Run::Stopped;
        let notification = Notification::cease(cease::PEER_DECONFIGURED, None);
        peer.stop(&Reason::PeerRemoved, &notification, &mut self.shared, now);
        if let Some(at) = peer.wake {
            self.shared.wake.remove(&(at, id));
        }
    }
}

impl ConfigChange {
    fn of(peer: &Peer, effect: ConfigEffect, costs: Vec<(ConfigField, Cost)>) -> Self {
        Self { peer: Some(peer.id), name: Arc::clone(&peer.config.name), effect, costs }
    }
}

fn change_peer(
    peer: &mut Peer,
    new: PeerConfig,
    change: &ConfigChange,
    before: &Protection,
    shared: &mut Shared,
    now: Time,
) {
    let causes: Vec<ConfigField> =
        change.costs.iter().filter(|(_, cost)| *cost == Cost::Reset).map(|(field, _)| *field).collect();
    let fields: Vec<ConfigField> = change.costs.iter().map(|(field, _)| *field).collect();
    let changed = |field| fields.contains(&field);
    let had_session = peer.state().is_open();
    let reset = matches!(change.effect, ConfigEffect::Reset(_));
    let told = if reset { causes.clone() } else { fields.clone() };
    peer.history.record_order(now, Order::Configured { fields: told, reset });
    peer.config = new;
    if changed(ConfigField::Shutdown) && peer.config.shutdown {
        peer.run = Run::Shutdown;
    } else if peer.run == Run::Shutdown && !peer.config.shutdown
        || peer.run == Run::PrefixLimit && (changed(ConfigField::MaxPrefixes) || !causes.is_empty())
    {
        peer.run = Run::Enabled;
    }
    if causes.is_empty() {
        soften(peer, &fields, shared, now);
        protect(peer, before, shared, now);
    } else {
        let (subcode, reason) = if peer.run == Run::Shutdown {
            (cease::ADMINISTRATIVE_SHUTDOWN, Reason::AdminShutdown { text: None })
        } else {
            (cease::OTHER_CONFIGURATION_CHANGE, Reason::ConfigChanged(causes.clone()))
        };
        peer.forgive();
        peer.stop(&reason, &Notification::cease(subcode, None), shared, now);
    }
    // Whatever was being waited for belongs to the old configuration.
    let waits_for_another = fields.iter().any(|field| decides_about_dials(*field));
    if !had_session && (!causes.is_empty() || waits_for_another) {
        peer.restart(shared, now);
    }
    note_wake(peer, shared);
}

/// Whether a peer that has no session yet may get one sooner, or in another way, when this field changes.
const fn decides_about_dials(field: ConfigField) -> bool {
    matches!(
        field,
        ConfigField::Passive
            | ConfigField::MaxPrefixes
            | ConfigField::Port
            | ConfigField::Multihop
            | ConfigField::TtlSecurity
            | ConfigField::Password
            | ConfigField::TcpAo
    )
}

/// Gives live connections the keys and TTLs of the new configuration. A dial under way has the old ones: it is given up.
fn protect(peer: &mut Peer, before: &Protection, shared: &mut Shared, now: Time) {
    let after = peer.config.protection(shared.config.local_asn);
    if after == *before {
        return;
    }
    if peer.dialed.state == State::Connect && peer.state().is_open() {
        let text: Arc<str> = "given up, the configuration changed".into();
        peer.feed(Side::Dialed, FsmInput::ConnectionFailed, Reason::ConnectFailed(text), shared, now);
    }
    for side in Side::BOTH {
        if let Some(conn) = peer.slot(side).conn.as_ref().filter(|conn| conn.endpoints.is_some()) {
            let (conn, before, after) = (conn.id, before.clone(), after.clone());
            shared.actions.push_back(Action::Protect { conn, before, after });
        }
    }
}

/// What going from one configuration to another costs sessions that are up, when nothing is known about them but that:
/// every field costs what its row says at most.
#[must_use]
pub fn plan_between(old: &SpeakerConfig, new: &SpeakerConfig) -> Vec<ConfigChange> {
    let everywhere = identity_changes(old, new);
    let (before, after) = (by_name(old), by_name(new));
    let change =
        |name: &Arc<str>, effect, costs| ConfigChange { peer: None, name: Arc::clone(name), effect, costs };
    let mut changes = Vec::new();
    for peer in &old.peers {
        let Some(wanted) = after.get(&*peer.name) else {
            changes.push(change(&peer.name, ConfigEffect::Removed, Vec::new()));
            continue;
        };
        let fields: Vec<_> = everywhere.iter().copied().chain(differences(peer, wanted)).collect();
        if fields.is_empty() {
            continue;
        }
        let rollover = peer.tcp_ao.is_some() && wanted.tcp_ao.is_some();
        let cost = |field: ConfigField| match field {
            ConfigField::TcpAo if rollover => Cost::None,
            ConfigField::Shutdown if peer.shutdown => Cost::None,
            _ => field.cost(),
        };
        let costs: Vec<_> = fields.iter().map(|field| (*field, cost(*field))).collect();
        let resets = costs.iter().any(|(_, cost)| *cost == Cost::Reset);
        let effect = if resets { ConfigEffect::Reset(fields) } else { ConfigEffect::Kept(fields) };
        changes.push(change(&peer.name, effect, costs));
    }
    for peer in new.peers.iter().filter(|peer| !before.contains_key(&*peer.name)) {
        changes.push(change(&peer.name, ConfigEffect::Added, Vec::new()));
    }
    changes
}

/// What is about the speaker and so about every peer.
fn identity_changes(old: &SpeakerSettings, new: &SpeakerSettings) -> Vec<ConfigField> {
    let rows = [
        (ConfigField::LocalAsn, old.local_asn != new.local_asn),
        (ConfigField::RouterId, old.router_id != new.router_id),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

pub(super) type ByName<'a> = HashMap<&'a str, &'a PeerConfig, foldhash::fast::FixedState>;

fn by_name(config: &SpeakerConfig) -> ByName<'_> {
    config.peers.iter().map(|peer| (&*peer.name, peer)).collect()
}

/// What each field that differs costs this peer now.
fn costs(peer: &Peer, new: &PeerConfig, everywhere: &[ConfigField]) -> Vec<(ConfigField, Cost)> {
    let fields = everywhere.iter().copied().chain(differences(&peer.config, new));
    fields.map(|field| (field, cost_here(field, peer, new))).collect()
}

fn effect(peer: &Peer, costs: &[(ConfigField, Cost)]) -> ConfigEffect {
    let fields = costs.iter().map(|(field, _)| *field).collect();
    let resets = costs.iter().any(|(_, cost)| *cost == Cost::Reset);
    if resets && peer.state().is_open() { ConfigEffect::Reset(fields) } else { ConfigEffect::Kept(fields) }
}

/// What a field costs this session: less than its row says if the session already is as the new value wants it.
fn cost_here(field: ConfigField, peer: &Peer, new: &PeerConfig) -> Cost {
    let Some(conn) = peer.established_side().and_then(|side| peer.slot(side).conn.as_ref()) else {
        // What came in unsigned and has not proved anything yet has to come again, signed.
        let begins = field == ConfigField::Password && peer.config.password.is_none();
        return if begins { Cost::Reset } else { field.cost() };
    };
    let (Some(negotiated), Some(endpoints)) = (&conn.negotiated, conn.endpoints) else { return field.cost() };
    let (fits, cost) = match field {
        ConfigField::RemoteAsn => (accepts_asn(new, negotiated.remote_asn), Cost::None),
        ConfigField::LocalAddress => {
            (new.local_address.is_none_or(|address| address == endpoints.local.ip()), Cost::None)
        }
        ConfigField::Families => {
            let agreed = new.families.intersection(families_of(&negotiated.capabilities_received));
            (agreed == negotiated.families, Cost::NextSession)
        }
        ConfigField::AddPath => (!peer.add_path_differs(new), Cost::Soft),
        // Keys come and go on a live connection; being signed at all does not.
        ConfigField::TcpAo => (peer.config.tcp_ao.is_some() && new.tcp_ao.is_some(), Cost::None),
        _ => (false, Cost::None),
    };
    if fits { cost } else { field.cost() }
}

/// Applies changed fields to a session that goes on.
fn soften(peer: &mut Peer, fields: &[ConfigField], shared: &mut Shared, now: Time) {
    let changed = |field| fields.contains(&field);
    if changed(ConfigField::ImportPolicy) || changed(ConfigField::ExportPolicy) {
        // Also of a peer that is down: its stale routes are judged like any other.
        let (import, export) = (peer.config.import.clone(), peer.config.export.clone());
        shared.rib.set_policies(peer.id, import, export, now);
    }
    if changed(ConfigField::AddPath) {
        shared.rib.set_paths_sent(peer.id, peer.config.add_path.send, now);
    }
    if changed(ConfigField::MaxPrefixes) {
        peer.forget_limit_told();
        peer.check_prefix_limits(shared, now);
    }
    if changed(ConfigField::GracefulShutdown) || changed(ConfigField::IgnoreGracefulShutdown) {
        peer.apply_drain(shared, now);
    }
    if changed(ConfigField::DemoteLongLived)
        && let Some(negotiated) = peer.last_negotiated.as_ref().filter(|_| peer.established_side().is_some())
    {
        let demoted = peer.demotes_long_lived(negotiated.remote_asn, shared);
        shared.rib.set_long_lived(peer.id, long_lived_of(negotiated, demoted), now);
    }
    if changed(ConfigField::KeepaliveTime) {
        let configured = peer.config.timers.keepalive;
        for negotiated in peer.negotiated_mut() {
            negotiated.keepalive_interval = keepalive_interval(negotiated.hold_time, configured);
        }
        peer.hasten_keepalive(shared, now);
    }
}

/// Whether a peer with this ASN is the one that is configured.
fn accepts_asn(config: &PeerConfig, asn: u32) -> bool {
    match config.remote_asn {
        Some(expected) => expected == asn,
        None => config.remote_asns.is_empty() || config.remote_asns.contains(&asn),
    }
}

/// Which fields differ.
fn differences(old: &PeerConfig, new: &PeerConfig) -> Vec<ConfigField> {
    let rows = [
        (ConfigField::Address, old.address != new.address),
        (ConfigField::RemoteAsn, (old.remote_asn, &old.remote_asns) != (new.remote_asn, &new.remote_asns)),
        (ConfigField::Group, old.group != new.group),
        (ConfigField::Port, old.port != new.port),
        (ConfigField::LocalAddress, old.local_address != new.local_address),
        (ConfigField::Interface, old.interface != new.interface),
        (ConfigField::Passive, old.passive != new.passive),
        (ConfigField::Shutdown, old.shutdown != new.shutdown),
        (ConfigField::Description, old.description != new.description),
        (ConfigField::HoldTime, old.timers.hold != new.timers.hold),
        (ConfigField::KeepaliveTime, old.timers.keepalive != new.timers.keepalive),
        (ConfigField::ConnectRetryTime, old.timers.connect_retry != new.timers.connect_retry),
        (ConfigField::Multihop, old.multihop != new.multihop),
        (ConfigField::TtlSecurity, old.ttl_security != new.ttl_security),
        (ConfigField::Password, old.password != new.password),
        (ConfigField::TcpAo, old.tcp_ao != new.tcp_ao),
        (ConfigField::GracefulRestart, restart_offer(old) != restart_offer(new)),
        (ConfigField::StaleTime, stale_time(old) != stale_time(new)),
        (ConfigField::DemoteLongLived, demotes(old) != demotes(new)),
        (ConfigField::Families, old.families != new.families),
        (ConfigField::AddPath, old.add_path != new.add_path),
        (ConfigField::ImportPolicy, old.import != new.import),
        (ConfigField::ExportPolicy, old.export != new.export),
        (ConfigField::MaxPrefixes, old.max_prefixes != new.max_prefixes),
        (ConfigField::RouteReflectorClient, old.route_reflector_client != new.route_reflector_client),
        (ConfigField::Role, old.role != new.role),
        (ConfigField::StrictRole, old.strict_role != new.strict_role),
        (ConfigField::GracefulShutdown, old.graceful_shutdown != new.graceful_shutdown),
        (ConfigField::IgnoreGracefulShutdown, old.ignore_graceful_shutdown != new.ignore_graceful_shutdown),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

/// What the OPEN says of graceful restart.
fn restart_offer(peer: &PeerConfig) -> Option<(u16, Option<u32>)> {
    peer.graceful_restart.map(|restart| (restart.restart_time, restart.long_lived_time))
}

fn stale_time(peer: &PeerConfig) -> Option<u32> {
    peer.graceful_restart.and_then(|restart| restart.stale_time)
}

fn demotes(peer: &PeerConfig) -> bool {
    peer.graceful_restart.is_some_and(|restart| restart.demote_long_lived)
}

pub(super) fn rib_config(config: &SpeakerConfig) -> RibConfig {
    RibConfig {
        local_asn: config.local_asn,
        router_id: config.router_id,
        cluster_id: config.cluster_id.unwrap_or(config.router_id),
        maximum_paths: config.maximum_paths,
        multipath_relax: config.multipath_relax,
    }
}
