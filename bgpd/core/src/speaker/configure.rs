//! From one configuration to the next: what changed, and the least that makes it so.
//!
//! Invariant: a peer whose configuration did not change is not touched, and a session is reset only for a field that the
//! two speakers agreed on when it began, or that decides which connection it runs on ([`ConfigField::needs_reset`]).

use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{Notification, cease};
use hashbrown::HashMap;

use crate::config::{PeerConfig, SpeakerConfig};
use crate::event::{ConfigChange, ConfigEffect, ConfigField};
use crate::gr::restarting::Input;
use crate::ids::PeerId;
use crate::reason::Reason;
use crate::rib::RibConfig;
use crate::session::shared::Shared;
use crate::session::{Peer, Run, keepalive_interval};
use crate::time::Time;
use crate::view::Order;

use super::{Speaker, note_wake};

impl Speaker {
    pub(super) fn apply_initial(&mut self, now: Time) {
        let routes = self.shared.config.take_routes();
        self.shared.rib.set_local_routes(routes, now);
        for peer in self.shared.config.peers.clone() {
            self.add_peer(peer, now);
        }
    }

    pub(super) fn apply(&mut self, mut config: SpeakerConfig, now: Time) -> Vec<ConfigChange> {
        let routes = config.take_routes();
        let old = std::mem::replace(&mut self.shared.config, config);
        let config = self.shared.config.clone();
        let mut everywhere = Vec::new();
        if old.local_asn != config.local_asn {
            everywhere.push(ConfigField::LocalAsn);
        }
        if old.router_id != config.router_id {
            everywhere.push(ConfigField::RouterId);
        }
        let wanted: HashMap<&str, &PeerConfig, foldhash::fast::FixedState> =
            config.peers.iter().map(|peer| (&*peer.name, peer)).collect();
        let mut changes = Vec::new();
        // What goes away goes first: an address may have moved from one peer to another. Sessions that have to end do so
        // before the RIB learns who we are now.
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in &ids {
            let known = self.peers.get(id).map(|peer| Arc::clone(&peer.config.name));
            if let Some(name) = known.filter(|name| !wanted.contains_key(&**name)) {
                self.remove_peer(*id, now);
                changes.push(ConfigChange { peer: *id, name, effect: ConfigEffect::Removed });
            }
        }
        for id in &ids {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let Some(new) = wanted.get(&*peer.config.name) else { continue };
            let mut fields = everywhere.clone();
            fields.extend(differences(&peer.config, new));
            if fields.is_empty() {
                continue;
            }
            let effect = self.change_peer(*id, (*new).clone(), fields, now);
            changes.extend(effect);
        }
        self.shared.rib.set_config(rib_config(&config), now);
        self.shared.rib.set_local_routes(routes, now);
        let names: hashbrown::HashSet<Arc<str>, foldhash::fast::FixedState> =
            self.peers.values().map(|peer| Arc::clone(&peer.config.name)).collect();
        for peer in config.peers.iter().filter(|peer| !names.contains(&peer.name)) {
            let name = Arc::clone(&peer.name);
            let peer = self.add_peer(peer.clone(), now);
            changes.push(ConfigChange { peer, name, effect: ConfigEffect::Added });
        }
        changes
    }

    fn add_peer(&mut self, config: PeerConfig, now: Time) -> PeerId {
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

    fn remove_peer(&mut self, id: PeerId, now: Time) {
        let Some(mut peer) = self.peers.remove(&id) else { return };
        peer.run = Run::Stopped;
        let notification = Notification::cease(cease::PEER_DECONFIGURED, None);
        peer.stop(&Reason::PeerRemoved, &notification, &mut self.shared, now);
        if let Some(at) = peer.wake {
            self.shared.wake.remove(&(at, id));
        }
    }

    fn change_peer(
        &mut self,
        id: PeerId,
        new: PeerConfig,
        fields: Vec<ConfigField>,
        now: Time,
    ) -> Option<ConfigChange> {
        let peer = self.peers.get_mut(&id)?;
        let shared = &mut self.shared;
        let name = Arc::clone(&new.name);
        let changed = |field| fields.contains(&field);
        let had_session = peer.state().is_open();
        peer.config = new;
        let same_paths = !peer.add_path_differs();
        let resets =
            fields.iter().any(|field| field.needs_reset() && !(*field == ConfigField::AddPath && same_paths));
        let order = Order::Configured { fields: fields.clone(), reset: resets && had_session };
        peer.history.record_order(now, order);
        if changed(ConfigField::Shutdown) && peer.config.shutdown {
            peer.run = Run::Shutdown;
        } else if peer.run == Run::Shutdown && !peer.config.shutdown
            || peer.run == Run::PrefixLimit && (changed(ConfigField::MaxPrefixes) || resets)
        {
            peer.run = Run::Enabled;
        }
        if resets {
            let (subcode, reason) = if peer.run == Run::Shutdown {
                (cease::ADMINISTRATIVE_SHUTDOWN, Reason::AdminShutdown { text: None })
            } else {
                (cease::OTHER_CONFIGURATION_CHANGE, Reason::ConfigChanged(fields.clone()))
            };
            peer.forgive();
            peer.stop(&reason, &Notification::cease(subcode, None), shared, now);
        } else {
            soften(peer, &fields, shared, now);
        }
        // Whatever was being waited for belongs to the old configuration.
        if !had_session && (resets || changed(ConfigField::Passive) || changed(ConfigField::MaxPrefixes)) {
            peer.restart(shared, now);
        }
        note_wake(peer, shared);
        let effect =
            if resets && had_session { ConfigEffect::Reset(fields) } else { ConfigEffect::Kept(fields) };
        Some(ConfigChange { peer: id, name, effect })
    }
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
    if changed(ConfigField::MaxPrefixes) && peer.established_side().is_some() {
        let exceeded = shared.rib.set_max_prefixes(peer.id, peer.config.max_prefixes);
        if let Some(family) = exceeded {
            peer.pass_prefix_limit(family, shared, now);
        }
    }
    if changed(ConfigField::KeepaliveTime) {
        let configured = peer.config.timers.keepalive;
        for negotiated in peer.negotiated_mut() {
            negotiated.keepalive_interval = keepalive_interval(negotiated.hold_time, configured);
        }
        peer.hasten_keepalive(shared, now);
    }
}

/// Which fields differ.
fn differences(old: &PeerConfig, new: &PeerConfig) -> Vec<ConfigField> {
    let rows = [
        (ConfigField::Address, old.address != new.address),
        (ConfigField::RemoteAsn, old.remote_asn != new.remote_asn),
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
        (ConfigField::Password, old.password != new.password),
        (ConfigField::GracefulRestart, old.graceful_restart != new.graceful_restart),
        (ConfigField::Families, old.families != new.families),
        (ConfigField::AddPath, old.add_path != new.add_path),
        (ConfigField::ImportPolicy, old.import != new.import),
        (ConfigField::ExportPolicy, old.export != new.export),
        (ConfigField::MaxPrefixes, old.max_prefixes != new.max_prefixes),
        (ConfigField::RouteReflectorClient, old.route_reflector_client != new.route_reflector_client),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
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
