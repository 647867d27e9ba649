//! What must hold in a world: at any time, and when it has come to rest.
//!
//! Invariant: these functions only look.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bgp_core::rib::{Page, RibEntry, Standing};
use bgp_core::wire::{Family, FamilySet, PathAttributes};
use bgp_core::{PeerId, Speaker, State};
use ipnet::IpNet;

use crate::world::{Failure, LinkState, World};

impl World {
    /// The peer of `node` that stands for `other`.
    #[must_use]
    pub fn peer_of(&self, node: usize, other: usize) -> Option<PeerId> {
        let speaker = self.nodes[node].speaker.as_ref()?;
        let address = Self::address(other);
        speaker.peers().find(|peer| peer.config.address == address).map(|peer| peer.id)
    }

    /// State of the session from `node` to `other`.
    #[must_use]
    pub fn state(&self, node: usize, other: usize) -> State {
        let view = || self.nodes[node].speaker.as_ref()?.peer(self.peer_of(node, other)?);
        view().map_or(State::Idle, |view| view.state)
    }

    /// Whether both ends of a link want a session over it.
    fn is_wanted(&self, link: usize) -> bool {
        let [one, other] = self.links[link].ends;
        let wants = |node: usize, other: usize| {
            let address = Self::address(other);
            let settings = &self.nodes[node].settings;
            settings.peers.iter().any(|peer| peer.address == address && !peer.shutdown)
        };
        wants(one, other) && wants(other, one)
    }

    /// The RIB of every node, recomputed from scratch: Loc-RIB, Adj-RIB-Out, live sources, counts.
    ///
    /// # Errors
    /// What differs.
    pub fn check_ribs(&self) -> Result<(), Failure> {
        for (node, speaker) in self.speakers() {
            speaker.rib().check().map_err(|what| self.failure(format!("RIB of node {node}: {what}")))?;
        }
        Ok(())
    }

    fn speakers(&self) -> impl Iterator<Item = (usize, &Speaker)> {
        self.nodes.iter().enumerate().filter_map(|(node, state)| Some((node, state.speaker.as_ref()?)))
    }

    /// Whether every wanted session is up.
    #[must_use]
    pub fn sessions_are_up(&self) -> bool {
        (0..self.links.len()).filter(|link| self.is_wanted(*link)).all(|link| {
            let [one, other] = self.links[link].ends;
            self.state(one, other) == State::Established && self.state(other, one) == State::Established
        })
    }

    /// Whether every wanted session is up and nothing is on its way any more.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let quiet = |speaker: &Speaker| speaker.peers().all(|peer| !speaker.rib().has_output(peer.id));
        self.sessions_are_up() && self.speakers().all(|(_, speaker)| quiet(speaker)) && !self.is_busy()
    }

    /// Everything that must hold when the world has come to rest with all links up and all nodes alive.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check_at_rest(&self) -> Result<(), Failure> {
        for link in 0..self.links.len() {
            self.check_link(link)?;
        }
        self.check_ribs()?;
        self.check_restarts()?;
        self.check_origins()
    }

    /// Whoever restarted is done with it, and nobody holds on to anything.
    fn check_restarts(&self) -> Result<(), Failure> {
        for (node, speaker) in self.speakers() {
            if speaker.is_restarting() {
                return Err(self.failure(format!("node {node} still restarts, and all is well")));
            }
            if let Some(peer) = speaker.peers().find(|peer| !peer.stale.is_empty()) {
                let name = &peer.config.name;
                return Err(
                    self.failure(format!("node {node} keeps stale routes of {name}, and all is well"))
                );
            }
        }
        Ok(())
    }

    /// Exactly one connection per session, and both ends hold the same routes for it.
    fn check_link(&self, link: usize) -> Result<(), Failure> {
        let [one, other] = self.links[link].ends;
        if self.links[link].state != LinkState::Up || !self.is_wanted(link) {
            return Ok(());
        }
        for (node, peer) in [(one, other), (other, one)] {
            let state = self.state(node, peer);
            if state != State::Established {
                return Err(self.failure(format!("node {node} is {state} with node {peer}, and all is well")));
            }
        }
        let open = self.open_streams(one, other);
        if open != 1 {
            return Err(self.failure(format!("nodes {one} and {other} have {open} connections")));
        }
        self.check_adjacency(one, other)?;
        self.check_adjacency(other, one)
    }

    /// What one node says it sent is what the other has.
    fn check_adjacency(&self, sender: usize, receiver: usize) -> Result<(), Failure> {
        let sides = || {
            let (from, to) = (self.nodes[sender].speaker.as_ref()?, self.nodes[receiver].speaker.as_ref()?);
            Some((from, self.peer_of(sender, receiver)?, to, self.peer_of(receiver, sender)?))
        };
        let Some((from, from_peer, to, to_peer)) = sides() else { return Ok(()) };
        for family in FamilySet::ALL.iter() {
            let (sent, received) = (sent(from, from_peer, family), received(to, to_peer, family));
            if let Some(difference) = difference(&sent, &received) {
                return Err(self.failure(format!(
                    "{family} from node {sender} to node {receiver}, sent and received differ: {difference}"
                )));
            }
        }
        Ok(())
    }

    /// Every route that anybody holds is originated by a node that lives, and its AS path ends in that node's AS.
    fn check_origins(&self) -> Result<(), Failure> {
        let mut origins = BTreeMap::<_, BTreeSet<u32>>::new();
        for (node, _) in self.speakers() {
            let settings = &self.nodes[node].settings;
            for route in &settings.routes {
                origins.entry(route.prefix).or_default().insert(settings.local_asn);
            }
        }
        for (node, speaker) in self.speakers() {
            let own = self.nodes[node].settings.local_asn;
            for family in FamilySet::ALL.iter() {
                for (prefix, path) in best_paths(speaker, family) {
                    let origin = path.last().copied().unwrap_or(own);
                    if !origins.get(&prefix).is_some_and(|origins| origins.contains(&origin)) {
                        return Err(self.failure(format!(
                            "node {node} holds {prefix} with AS path {path:?}, which AS {origin} does not originate"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// In a world of external sessions without policies: everybody has every route, by the shortest way.
    ///
    /// # Errors
    /// A route that is missing or takes a detour.
    pub fn check_shortest_paths(&self) -> Result<(), Failure> {
        for origin in 0..self.nodes.len() {
            let hops = self.hops_from(origin);
            for (node, speaker) in self.speakers() {
                let Some(expected) = hops[node] else { continue };
                for family in FamilySet::ALL.iter() {
                    let held: BTreeMap<_, _> = best_paths(speaker, family).into_iter().collect();
                    for route in &self.nodes[origin].settings.routes {
                        if Family::of(&route.prefix) != family {
                            continue;
                        }
                        let actual = held.get(&route.prefix).map(Vec::len);
                        if actual != Some(expected) {
                            return Err(self.failure(format!(
                                "node {node} is {expected} hops from node {origin} and holds {} by {actual:?}",
                                route.prefix
                            )));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn hops_from(&self, origin: usize) -> Vec<Option<usize>> {
        let mut hops = vec![None; self.nodes.len()];
        hops[origin] = Some(0);
        let mut next = VecDeque::from([(origin, 0)]);
        while let Some((node, distance)) = next.pop_front() {
            for link in (0..self.links.len()).filter(|link| self.is_wanted(*link)) {
                let ends = self.links[link].ends;
                let Some(other) = ends.into_iter().find(|end| *end != node && ends.contains(&node)) else {
                    continue;
                };
                if hops[other].is_none() {
                    hops[other] = Some(distance + 1);
                    next.push_back((other, distance + 1));
                }
            }
        }
        hops
    }
}

/// Prefixes and path identifiers with what travels with them.
type Routes = BTreeMap<(IpNet, u32), PathAttributes>;

fn sent(speaker: &Speaker, peer: PeerId, family: Family) -> Routes {
    let routes = pages(|after| speaker.rib().adj_out_page(peer, family, after, PAGE));
    let routes = routes.into_iter();
    routes.map(|route| ((route.prefix, route.path_id), PathAttributes::clone(&route.attributes))).collect()
}

fn received(speaker: &Speaker, peer: PeerId, family: Family) -> Routes {
    let routes = pages(|after| speaker.rib().adj_in_page(peer, family, after, PAGE));
    let routes = routes.into_iter();
    routes.map(|(prefix, path)| ((prefix, path.path_id), PathAttributes::clone(&path.received))).collect()
}

/// Destinations with the AS path of their best path.
fn best_paths(speaker: &Speaker, family: Family) -> BTreeMap<IpNet, Vec<u32>> {
    let entries = pages(|after| speaker.rib().rib_page(family, after, PAGE));
    let best = |entry: RibEntry| {
        let path = entry.paths.into_iter().find(|path| matches!(path.standing, Standing::Best))?;
        Some((entry.prefix, path.attributes.as_path.asns().collect()))
    };
    entries.into_iter().filter_map(best).collect()
}

fn pages<T>(page: impl Fn(Option<IpNet>) -> Page<T>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let Page { entries, next } = page(after);
        all.extend(entries);
        if next.is_none() {
            return all;
        }
        after = next;
    }
}

/// The first prefix that is not the same on both sides.
fn difference(sent: &Routes, received: &Routes) -> Option<String> {
    let prefixes: BTreeSet<_> = sent.keys().chain(received.keys()).collect();
    prefixes.into_iter().find_map(|prefix| match (sent.get(prefix), received.get(prefix)) {
        (sent, received) if sent == received => None,
        (sent, received) => Some(format!("{prefix:?} {sent:?} / {received:?}")),
    })
}

/// Entries per page: small, so that paging is used.
const PAGE: usize = 7;
