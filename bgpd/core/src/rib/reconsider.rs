//! Looking at paths again: the configuration, a policy or what is known about next hops changed.
//!
//! These are the only operations that walk a table. Each walks it once and touches only what it was asked about.
//!
//! Invariant: afterwards the RIB is as if the new configuration had been in force from the beginning, except that what was
//! received stays received when it was.

use std::net::IpAddr;
use std::sync::Arc;

use bgp_wire::NextHop;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::PeerId;
use crate::config::PathsSent;
use crate::policy::Policy;
use crate::time::Time;

use super::adj_in::Import;
use super::adj_out::GroupKey;
use super::interner::{AttrId, Interner};
use super::loc::{Arrival, FamilyRib, Judges, best_of};
use super::nexthop::NextHopState;
use super::path::Path;
use super::peer::LongLived;
use super::reason::Ineligible;
use super::table::DestId;
use super::{Environment, Rib, RibConfig};

/// Imports of one walk, by peer, received attributes and whether they are a last resort.
type Imports = HashMap<(PeerId, AttrId, bool), Import, FixedState>;

/// Imports remembered at most. Paths with equal attributes are usually neighbours in the table.
const MOST_IMPORTS: usize = 4_096;

/// A path that came to stand otherwise: whose, and the reasons before and after.
type Change = (PeerId, Option<Ineligible>, Option<Ineligible>);

impl Rib {
    /// Changes the configuration. Everything it touches is looked at again; nothing else is.
    pub fn set_config(&mut self, config: RibConfig, _now: Time) {
        if self.config == config {
            return;
        }
        let identity = |config: &RibConfig| (config.local_asn, config.router_id, config.cluster_id);
        let same_identity = identity(&config) == identity(&self.config);
        self.config = config;
        if !same_identity {
            self.import_again(|_| true);
            for family in &mut self.families {
                family.groups.sweep_all(&family.table, &mut self.interner);
            }
        }
        self.decide_all();
    }

    /// Changes the policies of a peer. Its paths are imported again, and it is sent the differences.
    pub fn set_policies(
        &mut self,
        peer: PeerId,
        import: Option<Arc<Policy>>,
        export: Option<Arc<Policy>>,
        now: Time,
    ) {
        let compiled_import = import.as_ref().map(|policy| self.compile(policy));
        let compiled_export = export.as_ref().map(|policy| self.compile(policy));
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let same = |one: &Option<Arc<_>>, other: &Option<Arc<_>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same_import = same(&state.import, &compiled_import);
        let same_export = same(&state.export, &compiled_export);
        let touched = match (&state.export, &compiled_export) {
            (Some(before), Some(after)) if !same_export => after.difference(before),
            _ => None,
        };
        state.params.import = import;
        state.params.export = export;
        state.import = compiled_import;
        state.export = compiled_export;
        if !same_import {
            self.import_again(|path| path.peer == peer);
        }
        if !same_export {
            self.export_again(peer, touched.as_deref(), now);
        }
        self.policies.retain(|policy| policy.strong_count() > 0);
    }

    /// Changes which paths a peer that takes several is sent. It is sent the differences.
    pub fn set_paths_sent(&mut self, peer: PeerId, paths_sent: Option<PathsSent>, now: Time) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.params.paths_sent = paths_sent;
            self.export_again(peer, None, now);
        }
    }

    /// Changes what a peer is told of routes that are kept as a last resort. It is sent the differences.
    pub fn set_long_lived(&mut self, peer: PeerId, long_lived: LongLived, now: Time) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if std::mem::replace(&mut state.params.long_lived, long_lived) != long_lived {
            self.export_again(peer, None, now);
        }
    }

    /// Changes what holds while a session is about to end, and whether the peer is believed when it says so (RFC 8326). Its
    /// paths are looked at again, and it is sent the differences.
    pub fn set_drain(&mut self, peer: PeerId, drain: bool, ignored: bool, now: Time) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let drains = std::mem::replace(&mut state.params.drain, drain) != drain;
        let ignores = std::mem::replace(&mut state.params.ignore_graceful_shutdown, ignored) != ignored;
        if drains || ignores {
            self.import_again(|path| path.peer == peer);
        }
        if drains {
            self.export_again(peer, None, now);
        }
    }

    /// Something that decides what a peer is sent changed: it is sent the differences. With `touched`, only the export of
    /// these prefixes may be another one now.
    fn export_again(&mut self, peer: PeerId, touched: Option<&[IpNet]>, now: Time) {
        let Some(state) = self.peers.get(&peer) else { return };
        for family in &mut self.families {
            let key = GroupKey::new(state, family.family);
            let mut env = Environment {
                table: &mut family.table,
                interner: &mut self.interner,
                peers: &self.peers,
                next_hops: &self.next_hops,
                config: &self.config,
                now,
            };
            family.groups.change_key(&mut env, peer, key, touched);
        }
    }

    /// What the routing system found out about next hops. Paths through those that changed are looked at again, which
    /// takes a walk over the table if there are any.
    pub fn set_next_hops(&mut self, states: impl IntoIterator<Item = (IpAddr, NextHopState)>) {
        let mut changed = HashSet::<IpAddr, FixedState>::default();
        for (address, state) in states {
            if self.next_hops.set(address, state) {
                changed.insert(address);
            }
        }
        if changed.is_empty() {
            return;
        }
        let touched: HashSet<AttrId, FixedState> = self
            .interner
            .holders()
            .map(|(id, _)| id)
            .filter(|id| {
                let next_hop = self.interner.get(*id).next_hop.as_ref();
                next_hop.is_some_and(|next_hop| changed.contains(&NextHop::address(next_hop)))
            })
            .collect();
        if !touched.is_empty() {
            self.import_again(|path| touched.contains(&path.received));
        }
    }

    /// Imports the paths that `wanted` says yes to once more, and makes the decision about their destinations again.
    pub(super) fn import_again(&mut self, wanted: impl Fn(&Path) -> bool) {
        for (position, rib) in self.families.iter_mut().enumerate() {
            let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
            let (mut imports, mut changes) = (Imports::default(), Vec::new());
            for id in 0..rib.table.end() {
                if imports.len() >= MOST_IMPORTS {
                    imports.drain().for_each(|(_, import)| import.finish(&mut self.interner));
                }
                let Some(destination) = rib.table.get(id) else { continue };
                let paths = destination.paths.as_slice().iter();
                let paths: SmallVec<[Path; 2]> = paths.filter(|path| wanted(path)).cloned().collect();
                for path in paths {
                    changes.extend(import_path_again(
                        judges,
                        &mut self.interner,
                        rib,
                        id,
                        &path,
                        &mut imports,
                    ));
                }
            }
            for import in imports.into_values() {
                import.finish(&mut self.interner);
            }
            for (peer, before, after) in changes {
                let counters = self.peers.get_mut(&peer).and_then(|peer| peer.counters.get_mut(position));
                if let Some(counters) = counters {
                    counters.subtract(before);
                    counters.add(after);
                }
            }
        }
    }

    /// Makes every decision again.
    fn decide_all(&mut self) {
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        for rib in &mut self.families {
            for id in 0..rib.table.end() {
                let before = rib.table.get(id).filter(|found| !found.paths.is_empty()).map(best_of);
                if let Some(before) = before {
                    rib.decide(judges, &self.interner, id, before);
                }
            }
        }
    }
}

fn import_path_again(
    judges: Judges<'_>,
    interner: &mut Interner,
    rib: &mut FamilyRib,
    id: DestId,
    path: &Path,
    imports: &mut Imports,
) -> Option<Change> {
    let peer = judges.peers.get(&path.peer)?;
    let prefix = rib.table.get(id)?.prefix;
    let import = imports
        .entry((path.peer, path.received, path.stale.is_long_lived()))
        .or_insert_with(|| Import::new(judges, interner, peer, path.received, path.stale.is_long_lived()));
    let (effective, standing) = import.apply(interner, peer, &prefix);
    let arrival = Arrival {
        peer: path.peer,
        path_id: path.path_id,
        received: path.received,
        effective,
        standing,
        at: path.received_at,
    };
    rib.replace_at(judges, interner, id, arrival);
    let (before, after) = (path.standing.reason(), standing.reason());
    (before != after).then_some((path.peer, before, after))
}
