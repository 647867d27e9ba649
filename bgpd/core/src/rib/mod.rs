//! The routing information base: what was received, what was chosen, what is sent (RFC 4271 §3.2, §9).
//!
//! ```text
//! UPDATE ──► adj_in: checks, import policy ──► table: paths per destination ──► decision ──► best path changed
//!                                                                                             │ mark dirty
//! UPDATE ◄── emit ◄── buckets of equal attributes ◄── export rules and policy ◄── groups of equal peers ◄┘
//! ```
//!
//! Everything to the right of a mark happens when a peer's queue has room and [`Rib::poll_output`] is called: a prefix
//! that changed ten times by then is exported and sent once, and a peer that does not read costs nothing.
//!
//! | file | what |
//! |---|---|
//! | `interner` | attribute sets, each once, by handle |
//! | `table`, `chunks`, `path` | destinations and their paths |
//! | `adj_in` | checks and import policy |
//! | `decision`, `nexthop` | the best path |
//! | `loc` | changing a destination: the one place where all of the above meet |
//! | `adj_out/` | update groups |
//! | `handover` | everything to messages for another process, and back |
//! | `only_to_customer` | which way routes may go (RFC 9234) |
//! | `retain` | paths of a peer that restarts: kept, swept |
//! | `reconsider` | looking at paths again when configuration, policy or next hops changed |
//! | `reason` | every refusal and choice by name |
//! | `view` | pages for `show` and `explain` |
//! | `check` | the invariants, recomputed |
//!
//! Invariants, which [`Rib::check`] recomputes from scratch: every path has a source that is live or expected
//! back; the standing of every path is
//! what the decision process says; a group with nothing left to send has on the wire exactly the export of every best
//! path; all counts add up.

mod adj_in;
mod adj_out;
mod check;
mod chunks;
mod decision;
mod handover;
mod interner;
mod loc;
mod nexthop;
mod only_to_customer;
mod path;
mod peer;
mod reason;
mod reconsider;
mod retain;
mod table;
mod view;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

use bgp_wire::{Family, FamilySet, NextHop, PathAttributes, Prefixes, Update};
use bytes::Bytes;
use ipnet::IpNet;

use crate::PeerId;
use crate::config::OriginatedRoute;
use crate::policy::{CompiledPolicy, Policy};
use crate::time::Time;

use self::adj_in::Import;
use self::adj_out::GroupKey;
use self::interner::{AttrId, Interner};
use self::loc::{Arrival, FamilyRib, Judges, Replaced};
use self::nexthop::NextHops;
use self::path::LOCAL;
use self::peer::{Peer, Peers, Source};
use self::table::Table;

pub use self::nexthop::NextHopState;
pub use self::path::{MOST_PATHS, Standing};
pub use self::peer::{LongLived, PeerParams};
pub use self::reason::{Ineligible, NotAdvertised, SelectionReason};
pub use self::view::{Advertisement, Page, PathView, PeerCounters, RibEntry, SentRoute, Totals};

/// What the RIB needs to know about the speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibConfig {
    /// Local AS number.
    pub local_asn: u32,
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Cluster ID as a route reflector (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Largest number of paths used at once; 1: no multipath.
    pub maximum_paths: u8,
    /// Multipath needs AS paths of equal length only, not equal ones.
    pub multipath_relax: bool,
}

/// What an UPDATE did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateOutcome {
    /// Prefixes announced.
    pub announced: u32,
    /// Prefixes withdrawn, whether or not there was a path.
    pub withdrawn: u32,
    /// Announced prefixes that take no part in the decision.
    pub ineligible: u32,
    /// Announced paths that were not taken in: of one destination the peer has as many as it may have.
    pub crowded: u32,
}

/// The routing information base of one speaker.
#[derive(Debug)]
pub struct Rib {
    config: RibConfig,
    interner: Interner,
    next_hops: NextHops,
    peers: Peers,
    families: [FamilyRib; 2],
    /// The routes of our own, as they were given.
    local: BTreeMap<IpNet, OriginatedRoute>,
    /// Compiled policies in use. Peers with equal policies share one.
    policies: Vec<Weak<CompiledPolicy>>,
}

/// What exporting reads and changes, of one family.
struct Environment<'a> {
    table: &'a mut Table,
    interner: &'a mut Interner,
    peers: &'a Peers,
    next_hops: &'a NextHops,
    config: &'a RibConfig,
    now: Time,
}

/// What exporting reads.
#[derive(Clone, Copy)]
struct Reader<'a> {
    interner: &'a Interner,
    peers: &'a Peers,
    next_hops: &'a NextHops,
    config: &'a RibConfig,
}

impl Rib {
    /// An empty RIB.
    #[must_use]
    pub fn new(config: RibConfig) -> Self {
        Self {
            config,
            interner: Interner::new(),
            next_hops: NextHops::default(),
            peers: Peers::default(),
            families: [FamilyRib::new(Family::IPV4_UNICAST), FamilyRib::new(Family::IPV6_UNICAST)],
            local: BTreeMap::new(),
            policies: Vec::new(),
        }
    }

    /// A session reached Established. The peer is sent everything it may have, and then End-of-RIB for each family.
    pub fn peer_up(&mut self, peer: PeerId, params: PeerParams, now: Time) {
        debug_assert_ne!(peer, LOCAL, "this number stands for the speaker itself");
        if self.peers.get(&peer).is_some_and(|known| !known.is_same_speaker(&params)) {
            self.peer_down(peer, now);
        }
        let import = params.import.as_ref().map(|policy| self.compile(policy));
        let export = params.export.as_ref().map(|policy| self.compile(policy));
        let known = self.peers.remove(&peer);
        let (kept, counters) = known.map(|known| (known.kept, known.counters)).unwrap_or_default();
        let refreshing = FamilySet::EMPTY;
        let state = Peer { params, up: true, kept, refreshing, import, export, counters, next_family: 0 };
        for family in &mut self.families {
            if state.params.families.contains(family.family) {
                let key = GroupKey::new(&state, family.family);
                family.groups.join(&family.table, peer, key);
            }
        }
        self.peers.insert(peer, state);
        if !kept.is_empty() {
            // Policy, limits or our addresses may be others than before.
            self.import_again(|path| path.peer == peer);
        }
    }

    /// A session ended, or its peer is not expected back any more. All routes of the peer go, stale or not, and nothing is
    /// sent to it any more.
    pub fn peer_down(&mut self, peer: PeerId, now: Time) {
        self.peer_down_stale(peer, FamilySet::EMPTY, FamilySet::EMPTY, now);
    }

    /// Takes the routes of one UPDATE in.
    pub fn handle_update(&mut self, peer: PeerId, update: &Update<'_>, now: Time) -> UpdateOutcome {
        let mut outcome = UpdateOutcome::default();
        for unreach in update.withdrawn() {
            outcome.withdrawn += self.withdraw(peer, unreach.family(), unreach.prefixes);
        }
        for reach in update.announced() {
            let family = reach.family();
            let received = if update.attributes.next_hop == Some(reach.next_hop) {
                self.interner.intern(&update.attributes)
            } else {
                let next_hop = Some(reach.next_hop);
                self.interner.intern_owned(PathAttributes { next_hop, ..update.attributes.clone() })
            };
            self.announce(peer, family, received, reach.prefixes, now, &mut outcome);
            self.interner.release(received);
        }
        outcome
    }

    /// Replaces the routes that the speaker originates. Only differences count. Of several routes with one prefix the
    /// first counts.
    pub fn set_local_routes(&mut self, mut routes: Vec<OriginatedRoute>, now: Time) {
        // Most often in order already, and all but one as before.
        routes.sort_by_key(|route| route.prefix.trunc());
        routes.dedup_by_key(|route| route.prefix.trunc());
        let is_wanted =
            |prefix: &IpNet| routes.binary_search_by_key(prefix, |route| route.prefix.trunc()).is_ok();
        let gone: Vec<IpNet> = self.local.keys().filter(|prefix| !is_wanted(prefix)).copied().collect();
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        for prefix in gone {
            let family = family_mut(&mut self.families, Family::of(&prefix));
            family.remove(judges, &mut self.interner, &prefix, (LOCAL, 0));
            self.local.remove(&prefix);
        }
        for route in routes {
            let prefix = route.prefix.trunc();
            if self.local.get(&prefix) == Some(&route) {
                continue;
            }
            let attributes = self.interner.intern_owned(attributes_of(&route));
            let arrival = Arrival {
                peer: LOCAL,
                path_id: 0,
                received: attributes,
                effective: attributes,
                standing: Standing::Eligible,
                at: seconds(now),
            };
            family_mut(&mut self.families, Family::of(&prefix)).insert(
                judges,
                &mut self.interner,
                &prefix,
                arrival,
            );
            self.interner.release(attributes);
            self.local.insert(prefix, route);
        }
    }

    /// Prefixes of a peer that take part in the decision and are not stale.
    #[must_use]
    pub fn fresh_prefixes(&self, peer: PeerId, family: Family) -> u32 {
        let counters = self.peers.get(&peer).and_then(|state| state.counters.get(family_index(family)));
        counters.map_or(0, |counters| counters.accepted().saturating_sub(counters.stale))
    }

    /// A peer asked for its routes again (RFC 2918). It is sent all of them, between markers if it knows them (RFC 7313).
    pub fn refresh_out(&mut self, peer: PeerId, family: Family, now: Time) {
        let Some(family) = self.families.iter_mut().find(|rib| rib.family == family) else { return };
        let mut env = Environment {
            table: &mut family.table,
            interner: &mut self.interner,
            peers: &self.peers,
            next_hops: &self.next_hops,
            config: &self.config,
            now,
        };
        let marked = self.peers.get(&peer).is_some_and(|state| state.params.enhanced_refresh);
        family.groups.refresh(&mut env, peer, marked);
    }

    /// Whether [`Rib::poll_output`] may have something for a peer. End-of-RIB counts. It may turn out to be nothing: a
    /// change whose export changes nothing is found out only then.
    #[must_use]
    pub fn has_output(&self, peer: PeerId) -> bool {
        self.families.iter().any(|family| family.groups.has_output(peer))
    }

    /// The next message for a peer, whole and ready to be sent.
    pub fn poll_output(&mut self, peer: PeerId, now: Time) -> Option<Bytes> {
        let first = self.peers.get(&peer)?.next_family;
        for turn in [first, 1 - first] {
            let Some(family) = self.families.get_mut(turn) else { continue };
            let mut env = Environment {
                table: &mut family.table,
                interner: &mut self.interner,
                peers: &self.peers,
                next_hops: &self.next_hops,
                config: &self.config,
                now,
            };
            if let Some(message) = family.groups.poll(&mut env, peer) {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.next_family = 1 - turn;
                }
                return Some(message);
            }
        }
        None
    }

    /// Takes prefixes of a peer out. Returns how many it looked at.
    fn withdraw(&mut self, peer: PeerId, family: Family, prefixes: Prefixes<'_>) -> u32 {
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let family = family_mut(&mut self.families, family);
        let (mut seen, mut gone) = (0, peer::PathCounters::default());
        for (path_id, prefix) in prefixes.paths() {
            seen += 1;
            if let Some(path) = family.remove(judges, &mut self.interner, &prefix, (peer, path_id)) {
                gone.add_gone(path);
            }
        }
        let family = family.family;
        self.count(peer, family, |counters| counters.subtract_all(&gone));
        seen
    }

    /// Puts paths of a peer in, and counts them.
    fn announce(
        &mut self,
        id: PeerId,
        family: Family,
        received: AttrId,
        prefixes: Prefixes<'_>,
        now: Time,
        outcome: &mut UpdateOutcome,
    ) {
        let exchanges = |peer: &&Peer| peer.up && peer.params.families.contains(family);
        let Some(peer) = self.peers.get(&id).filter(exchanges) else { return };
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let rib = family_mut(&mut self.families, family);
        let mut import = Import::new(judges, &mut self.interner, peer, received, false);
        let (mut came, mut gone) = (peer::PathCounters::default(), peer::PathCounters::default());
        let at = seconds(now);
        for (path_id, prefix) in prefixes.paths() {
            let (effective, standing) = import.apply(&mut self.interner, peer, &prefix);
            outcome.announced += 1;
            outcome.ineligible += u32::from(!standing.is_eligible());
            let arrival = Arrival { peer: id, path_id, received, effective, standing, at };
            match rib.insert(judges, &mut self.interner, &prefix, arrival) {
                Replaced::Equal => {}
                Replaced::NoRoom => outcome.crowded += 1,
                Replaced::Refreshed => gone.stale += 1,
                Replaced::Nothing => came.add(standing.reason()),
                Replaced::Path(old) => {
                    came.add(standing.reason());
                    gone.add_gone(old);
                }
            }
        }
        import.finish(&mut self.interner);
        self.count(id, family, |counters| {
            counters.add_all(&came);
            counters.subtract_all(&gone);
        });
    }

    fn count(&mut self, peer: PeerId, family: Family, change: impl FnOnce(&mut peer::PathCounters)) {
        if let Some(state) = self.peers.get_mut(&peer)
            && let Some(counters) = state.counters.get_mut(family_index(family))
        {
            change(counters);
        }
    }

    /// The compiled form of a policy, shared with every peer whose policy decides alike.
    fn compile(&mut self, policy: &Arc<Policy>) -> Arc<CompiledPolicy> {
        let known = self.policies.iter().filter_map(Weak::upgrade).find(|known| known.decides_as(policy));
        known.unwrap_or_else(|| {
            let compiled = Arc::new(CompiledPolicy::new(Arc::clone(policy)));
            self.policies.push(Arc::downgrade(&compiled));
            compiled
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            interner: &self.interner,
            peers: &self.peers,
            next_hops: &self.next_hops,
            config: &self.config,
        }
    }
}

impl Environment<'_> {
    fn reader(&self) -> Reader<'_> {
        Reader { interner: self.interner, peers: self.peers, next_hops: self.next_hops, config: self.config }
    }

    /// The time in seconds.
    fn seconds(&self) -> u32 {
        seconds(self.now)
    }
}

impl<'a> Reader<'a> {
    const fn judges(&self) -> Judges<'a> {
        Judges { config: self.config, peers: self.peers, next_hops: self.next_hops }
    }

    fn source(&self, peer: PeerId) -> Source {
        Source::of(peer, self.peers, self.config.router_id)
    }
}

/// The attributes of a route of our own, before any session is known.
fn attributes_of(route: &OriginatedRoute) -> PathAttributes {
    PathAttributes {
        origin: route.origin,
        next_hop: route.next_hop.map(NextHop::from),
        med: route.med,
        local_pref: route.local_preference,
        communities: route.communities.iter().copied().collect(),
        large_communities: route.large_communities.iter().copied().collect(),
        ..PathAttributes::default()
    }
}

/// Position of a family in everything that is kept per family.
const fn family_index(family: Family) -> usize {
    if family.afi == Family::IPV6_UNICAST.afi { 1 } else { 0 }
}

const fn family_mut(families: &mut [FamilyRib; 2], family: Family) -> &mut FamilyRib {
    let [v4, v6] = families;
    if family_index(family) == 1 { v6 } else { v4 }
}

/// A time in whole seconds, which is all that is shown of it and half of what it takes.
fn seconds(time: Time) -> u32 {
    u32::try_from(time.as_nanos() / NANOS_PER_SECOND).unwrap_or(u32::MAX)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
