//! Several owners' intents as one: the same instance or peer may be named by more than one of them.
//!
//! Session parameters come from the first owner and must be equal or absent elsewhere; routes and export statements add
//! up. What a later owner does not get is a [`Conflict`] with a name, never silence.
//!
//! Invariant: merging valid intents gives a valid intent. A peer or route that would break a rule in the company of
//! others is left out and reported. An instance that one owner alone describes is that owner's own, not a copy.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use rutter_api::control::{Conflict, ConflictKind};
use rutter_api::intent::{Instance, Peer, Policy, Route, Statement, Timers};

use crate::intents::Owner;

/// What all owners together want.
#[derive(Debug, Default)]
pub struct Merged {
    /// Instances by name.
    pub instances: BTreeMap<String, Arc<Instance>>,
    /// What some owner does not get.
    pub conflicts: Vec<Conflict>,
}

/// Adds intents up, in the order of their owners.
#[must_use]
pub fn merge<'a>(intents: impl IntoIterator<Item = (&'a Owner, &'a [Arc<Instance>])>) -> Merged {
    let mut merge = Merge::default();
    for (owner, instances) in intents {
        for instance in instances {
            merge.add_instance(owner, instance);
        }
    }
    merge.finish()
}

#[derive(Default)]
struct Merge<'a> {
    instances: BTreeMap<String, Draft<'a>>,
    conflicts: Vec<Conflict>,
}

/// An instance in the making, and who decided what of it.
struct Draft<'a> {
    owner: &'a Owner,
    /// The first owner's instance, as long as there is no other: its routes are not in `merged` yet.
    only: Option<&'a Arc<Instance>>,
    /// All but the peers.
    merged: Instance,
    /// Copied as soon as they are no longer as one owner has them.
    peers: Vec<Cow<'a, Peer>>,
    peer_owners: Vec<&'a Owner>,
    route_owners: Vec<&'a Owner>,
    /// Owners after the first, for conflicts found at the end.
    last_owner: &'a Owner,
}

impl<'a> Merge<'a> {
    fn add_instance(&mut self, owner: &'a Owner, instance: &'a Arc<Instance>) {
        let (draft, first) = match self.instances.entry(instance.name.clone()) {
            Entry::Vacant(vacant) => (vacant.insert(Draft::new(owner, instance)), true),
            Entry::Occupied(occupied) => (occupied.into_mut(), false),
        };
        let mut conflicts = Differences::new(&instance.name, None, draft.owner, owner);
        if !first {
            if let Some(only) = draft.only.take() {
                draft.add_routes(draft.owner, &only.routes, &mut conflicts.found);
            }
            draft.last_owner = owner;
            compare_instances(&mut conflicts, &draft.merged, instance);
        }
        for peer in &instance.peers {
            draft.add_peer(owner, peer, &mut conflicts.found);
        }
        if !first {
            draft.add_routes(owner, &instance.routes, &mut conflicts.found);
        }
        self.conflicts.append(&mut conflicts.found);
    }

    fn finish(mut self) -> Merged {
        self.separate_listeners();
        let mut instances = BTreeMap::new();
        for (name, mut draft) in self.instances {
            draft.drop_misfits(&mut self.conflicts);
            instances.insert(name, draft.into_instance());
        }
        self.conflicts.sort();
        Merged { instances, conflicts: self.conflicts }
    }

    /// Two instances cannot share a port; the one whose owner comes first keeps it.
    fn separate_listeners(&mut self) {
        let mut order: Vec<(&Owner, String)> =
            self.instances.iter().map(|(name, draft)| (draft.owner, name.clone())).collect();
        order.sort();
        let mut taken: Vec<(u16, Vec<IpAddr>, &Owner)> = Vec::new();
        for (owner, name) in order {
            let Some(draft) = self.instances.get_mut(&name) else { continue };
            let Some(port) = draft.merged.listen_port else { continue };
            let addresses = &draft.merged.listen_addresses;
            let overlaps = |other: &Vec<IpAddr>| {
                other.is_empty()
                    || addresses.is_empty()
                    || other.iter().any(|address| addresses.contains(address))
            };
            match taken.iter().find(|(other, addresses, _)| *other == port && overlaps(addresses)) {
                None => taken.push((port, addresses.clone(), owner)),
                Some((_, _, winner)) => {
                    self.conflicts.push(Conflict {
                        instance: name,
                        peer: None,
                        kind: ConflictKind::ListenPortTaken,
                        field: "listenPort".to_owned(),
                        winner: winner.to_string(),
                        loser: owner.to_string(),
                    });
                    draft.merged.listen_port = None;
                    draft.merged.listen_addresses.clear();
                }
            }
        }
    }
}

impl<'a> Draft<'a> {
    fn new(owner: &'a Owner, instance: &'a Arc<Instance>) -> Self {
        let merged = Instance {
            name: instance.name.clone(),
            listen_addresses: instance.listen_addresses.clone(),
            peer_groups: instance.peer_groups.clone(),
            peers: Vec::new(),
            dynamic_peers: instance.dynamic_peers.clone(),
            routes: Vec::new(),
            ..**instance
        };
        let only = Some(instance);
        let (peers, peer_owners, route_owners) = (Vec::new(), Vec::new(), Vec::new());
        Self { owner, only, merged, peers, peer_owners, route_owners, last_owner: owner }
    }

    fn into_instance(mut self) -> Arc<Instance> {
        let own = |peers: Vec<Cow<'a, Peer>>| peers.into_iter().map(Cow::into_owned).collect();
        let Some(only) = self.only else {
            self.merged.peers = own(self.peers);
            return Arc::new(self.merged);
        };
        let listener = |instance: &Instance| (instance.listen_port, instance.listen_addresses.len());
        // All that being merged can take from the only owner: the listener, and with it passive peers.
        if listener(&self.merged) == listener(only) && self.peers.len() == only.peers.len() {
            return Arc::clone(only);
        }
        self.merged.peers = own(self.peers);
        self.merged.routes.clone_from(&only.routes);
        Arc::new(self.merged)
    }

    fn add_peer(&mut self, owner: &'a Owner, peer: &'a Peer, conflicts: &mut Vec<Conflict>) {
        if let Some(index) = self.peers.iter().position(|other| other.name == peer.name) {
            let winner = self.peer_owners[index];
            let mut differences = Differences::new(&self.merged.name, Some(&peer.name), winner, owner);
            compare_peers(&mut differences, &self.peers[index], peer);
            if let Some(more) = &peer.export {
                add_export(&mut differences, &mut self.peers[index].to_mut().export, more);
            }
            conflicts.append(&mut differences.found);
            return;
        }
        let key = session_key(peer);
        if let Some(index) = self.peers.iter().position(|other| session_key(other) == key) {
            let mut differences =
                Differences::new(&self.merged.name, Some(&peer.name), self.peer_owners[index], owner);
            differences.report(ConflictKind::PeerAddressTaken, "address");
            conflicts.append(&mut differences.found);
            return;
        }
        self.peers.push(Cow::Borrowed(peer));
        self.peer_owners.push(owner);
    }

    fn add_routes(&mut self, owner: &'a Owner, routes: &[Route], conflicts: &mut Vec<Conflict>) {
        // Within one intent prefixes are unique, so only routes of earlier owners can be in the way.
        let earlier: BTreeMap<_, _> =
            self.merged.routes.iter().enumerate().map(|(index, route)| (route.prefix, index)).collect();
        let mut added = Vec::new();
        for route in routes {
            match earlier
                .get(&route.prefix)
                .map(|index| (&self.merged.routes[*index], self.route_owners[*index]))
            {
                None => added.push(route.clone()),
                Some((other, winner)) => {
                    // The reason for a route is not part of it.
                    if (Route { source: other.source.clone(), ..route.clone() }) != *other {
                        let mut differences = Differences::new(&self.merged.name, None, winner, owner);
                        differences.report(ConflictKind::RouteTaken, &route.prefix.to_string());
                        conflicts.append(&mut differences.found);
                    }
                }
            }
        }
        self.route_owners.extend(std::iter::repeat_n(owner, added.len()));
        // The merged instance is kept; with a hundred thousand routes, so would be the room that growing left over.
        self.merged.routes.reserve_exact(added.len());
        self.merged.routes.append(&mut added);
    }

    /// Leaves out peers that are valid in their own intent but not in the merged instance.
    fn drop_misfits(&mut self, conflicts: &mut Vec<Conflict>) {
        let Self { owner, merged, peers, peer_owners, last_owner, .. } = self;
        let (listens, local_asn) = (merged.listen_port.is_some(), merged.local_asn);
        if !listens && !merged.dynamic_peers.is_empty() {
            merged.dynamic_peers.clear();
            let mut differences = Differences::new(&merged.name, None, owner, last_owner);
            differences.report(ConflictKind::NotApplicable, "dynamicPeers");
            conflicts.append(&mut differences.found);
        }
        let signed = |peer: &Peer| peer.password.is_some() || peer.tcp_ao.is_some();
        let signed_ranges: Vec<_> = merged
            .dynamic_peers
            .iter()
            .filter(|dynamic| signed(&dynamic.peer))
            .flat_map(|dynamic| dynamic.ranges.clone())
            .collect();
        let mut kept = Vec::new();
        for (peer, peer_owner) in peers.drain(..).zip(peer_owners.drain(..)) {
            let external = peer.peer_asn.is_some_and(|asn| asn != 0 && asn != local_asn);
            let field = if peer.passive && !listens {
                Some("passive")
            } else if peer.route_reflector_client && external {
                Some("routeReflectorClient")
            } else if !signed(&peer) && signed_ranges.iter().any(|range| range.contains(&peer.address)) {
                // The kernel would ask it for the range's key.
                Some("password")
            } else {
                None
            };
            match field {
                None => kept.push(peer),
                Some(field) => {
                    // Its own owner lost the port or ASN to another one.
                    let loser = if peer_owner == *owner { *last_owner } else { peer_owner };
                    let mut differences = Differences::new(&merged.name, Some(&peer.name), owner, loser);
                    differences.report(ConflictKind::NotApplicable, field);
                    conflicts.append(&mut differences.found);
                }
            }
        }
        *peers = kept;
    }
}

/// Conflicts between one owner and the one that decided before.
struct Differences<'a> {
    instance: &'a str,
    peer: Option<&'a str>,
    winner: &'a Owner,
    loser: &'a Owner,
    found: Vec<Conflict>,
}

impl<'a> Differences<'a> {
    fn new(instance: &'a str, peer: Option<&'a str>, winner: &'a Owner, loser: &'a Owner) -> Self {
        Self { instance, peer, winner, loser, found: Vec::new() }
    }

    fn report(&mut self, kind: ConflictKind, field: &str) {
        self.found.push(Conflict {
            instance: self.instance.to_owned(),
            peer: self.peer.map(str::to_owned),
            kind,
            field: field.to_owned(),
            winner: self.winner.to_string(),
            loser: self.loser.to_string(),
        });
    }

    /// A value that is absent (or its default) claims nothing.
    fn check<T: PartialEq>(&mut self, field: &str, winner: &T, loser: &T, absent: &T) {
        if loser != absent && loser != winner {
            self.report(ConflictKind::DifferentValue, field);
        }
    }
}

fn compare_instances(differences: &mut Differences<'_>, winner: &Instance, loser: &Instance) {
    // Every owner must write these two, so here "absent" does not exist.
    if winner.local_asn != loser.local_asn {
        differences.report(ConflictKind::DifferentValue, "localASN");
    }
    if winner.router_id != loser.router_id {
        differences.report(ConflictKind::DifferentValue, "routerID");
    }
    differences.check("listenPort", &winner.listen_port, &loser.listen_port, &None);
    differences.check("listenAddresses", &winner.listen_addresses, &loser.listen_addresses, &Vec::new());
    differences.check("maximumPaths", &winner.maximum_paths, &loser.maximum_paths, &None);
    differences.check("multipathRelax", &winner.multipath_relax, &loser.multipath_relax, &false);
    differences.check("gracefulRestart", &winner.graceful_restart, &loser.graceful_restart, &None);
    differences.check("dynamicPeers", &winner.dynamic_peers, &loser.dynamic_peers, &Vec::new());
    differences.check("gracefulShutdown", &winner.graceful_shutdown, &loser.graceful_shutdown, &false);
}

fn compare_peers(differences: &mut Differences<'_>, winner: &Peer, loser: &Peer) {
    let absent = Timers::default();
    if winner.address != loser.address {
        differences.report(ConflictKind::DifferentValue, "address");
    }
    differences.check("group", &winner.group, &loser.group, &None);
    differences.check("peerASN", &winner.peer_asn, &loser.peer_asn, &None);
    differences.check("port", &winner.port, &loser.port, &179);
    differences.check("localAddress", &winner.local_address, &loser.local_address, &None);
    differences.check("interface", &winner.interface, &loser.interface, &None);
    differences.check("passive", &winner.passive, &loser.passive, &false);
    differences.check("shutdown", &winner.shutdown, &loser.shutdown, &false);
    differences.check("description", &winner.description, &loser.description, &None);
    let (first, second) = (&winner.timers, &loser.timers);
    differences.check(
        "timers.connectRetrySeconds",
        &first.connect_retry_seconds,
        &second.connect_retry_seconds,
        &absent.connect_retry_seconds,
    );
    differences.check("timers.holdSeconds", &first.hold_seconds, &second.hold_seconds, &absent.hold_seconds);
    differences.check(
        "timers.keepaliveSeconds",
        &first.keepalive_seconds,
        &second.keepalive_seconds,
        &absent.keepalive_seconds,
    );
    differences.check("ebgpMultihop", &winner.ebgp_multihop, &loser.ebgp_multihop, &None);
    differences.check("ttlSecurityHops", &winner.ttl_security_hops, &loser.ttl_security_hops, &None);
    differences.check("tcpAo", &winner.tcp_ao, &loser.tcp_ao, &None);
    differences.check("password", &winner.password, &loser.password, &None);
    differences.check("gracefulRestart", &winner.graceful_restart, &loser.graceful_restart, &None);
    differences.check("families", &winner.families, &loser.families, &Vec::new());
    differences.check("addPath", &winner.add_path, &loser.add_path, &None);
    differences.check("import", &winner.import, &loser.import, &None);
    differences.check("maxPrefixes", &winner.max_prefixes, &loser.max_prefixes, &None);
    differences.check(
        "routeReflectorClient",
        &winner.route_reflector_client,
        &loser.route_reflector_client,
        &false,
    );
    differences.check("role", &winner.role, &loser.role, &None);
    differences.check("strictRole", &winner.strict_role, &loser.strict_role, &false);
    differences.check("gracefulShutdown", &winner.graceful_shutdown, &loser.graceful_shutdown, &false);
    differences.check(
        "ignoreGracefulShutdown",
        &winner.ignore_graceful_shutdown,
        &loser.ignore_graceful_shutdown,
        &false,
    );
}

/// Statements add up in the order of owners; an owner without an export policy adds none.
fn add_export(differences: &mut Differences<'_>, merged: &mut Option<Policy>, more: &Policy) {
    let Some(merged) = merged else {
        *merged = Some(more.clone());
        return;
    };
    let (winner, loser) = (Some(merged.default_action), Some(more.default_action));
    differences.check("export.defaultAction", &winner, &loser, &None);
    // Within one policy names are unique, between owners they need not be.
    let mut known = HashMap::<&str, Vec<&Arc<Statement>>>::new();
    for statement in &merged.statements {
        known.entry(&statement.name).or_default().push(statement);
    }
    let is_new = |statement: &&Arc<Statement>| {
        known.get(statement.name.as_str()).is_none_or(|others| !others.contains(statement))
    };
    let new: Vec<Arc<Statement>> = more.statements.iter().filter(is_new).cloned().collect();
    merged.statements.extend(new);
}

/// What tells two sessions apart.
fn session_key(peer: &Peer) -> (IpAddr, Option<&str>) {
    let link_local = matches!(peer.address, IpAddr::V6(address) if address.is_unicast_link_local());
    (peer.address, if link_local { peer.interface.as_deref() } else { None })
}

#[cfg(test)]
mod tests {
    use rutter_api::intent::Intent;

    use super::*;

    fn intent(yaml: &str) -> Vec<Arc<Instance>> {
        let intent: Intent = serde_saphyr::from_str(yaml).expect("an intent");
        intent.validate().expect("a valid intent");
        intent.instances.into_iter().map(Arc::new).collect()
    }

    fn merged(intents: &[(&str, &str)]) -> Merged {
        let mut intents: Vec<_> =
            intents.iter().map(|(name, yaml)| (Owner::new(name).expect("a name"), intent(yaml))).collect();
        intents.sort_by(|a, b| a.0.cmp(&b.0));
        merge(intents.iter().map(|(owner, instances)| (owner, instances.as_slice())))
    }

    fn texts(merged: &Merged) -> Vec<String> {
        merged.conflicts.iter().map(ToString::to_string).collect()
    }

    const BASE: &str = "instances: [{name: m, localASN: 65001, routerID: 10.0.0.1, peers: [{name: tor, address: 192.0.2.1, peerASN: 65010}]}]";

    #[test]
    fn what_one_owner_alone_describes_is_not_copied() {
        let (owner, mine) = (Owner::new("a").expect("a name"), intent(BASE));
        let merged = merge([(&owner, mine.as_slice())]);
        assert!(Arc::ptr_eq(&merged.instances["m"], &mine[0]));
    }

    #[test]
    fn routes_and_statements_add_up() {
        let policy = |name: &str, prefix: &str| {
            format!(
                "instances: [{{name: m, localASN: 65001, routerID: 10.0.0.1, routes: [{{prefix: {prefix}}}], peers: [{{name: tor, address: 192.0.2.1, \
                 export: {{name: out, defaultAction: reject, statements: [{{name: {name}, action: accept, prefixes: [{{prefix: {prefix}}}]}}]}}}}]}}]"
            )
        };
        let merged = merged(&[
            ("b", &policy("two", "10.2.0.0/16")),
            ("file", BASE),
            ("a", &policy("one", "10.1.0.0/16")),
        ]);
        assert_eq!(texts(&merged), Vec::<String>::new());
        let instance = &merged.instances["m"];
        assert_eq!(instance.peers[0].peer_asn, Some(65010));
        assert_eq!(instance.routes.len(), 2);
        let export = instance.peers[0].export.as_ref().expect("a policy");
        let names: Vec<_> = export.statements.iter().map(|statement| statement.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn the_first_owner_decides_and_the_loser_is_told() {
        let other = "instances: [{name: m, localASN: 65002, routerID: 10.0.0.1, peers: [{name: tor, address: 192.0.2.1, \
                     peerASN: 65011, timers: {holdSeconds: 30, keepaliveSeconds: 10}}]}]";
        let merged = merged(&[("z", other), ("file", BASE)]);
        assert_eq!(
            texts(&merged),
            [
                "m: localASN of owner z is not in force: owner file set another value",
                "m/tor: peerASN of owner z is not in force: owner file set another value",
                "m/tor: timers.holdSeconds of owner z is not in force: owner file set another value",
                "m/tor: timers.keepaliveSeconds of owner z is not in force: owner file set another value",
            ]
        );
        assert_eq!(merged.instances["m"].local_asn, 65001);
    }

    #[test]
    fn one_address_is_one_session() {
        let other = "instances: [{name: m, localASN: 65001, routerID: 10.0.0.1, peers: [{name: tor2, address: 192.0.2.1}]}]";
        let merged = merged(&[("z", other), ("file", BASE)]);
        assert_eq!(
            texts(&merged),
            ["m/tor2: address of owner z is not in force: owner file has another peer with this address"]
        );
        assert_eq!(merged.instances["m"].peers.len(), 1);
    }

    #[test]
    fn equal_routes_do_not_conflict_and_different_ones_do() {
        let routes = |med: u32| {
            format!(
                "instances: [{{name: m, localASN: 65001, routerID: 10.0.0.1, routes: [{{prefix: 10.1.0.0/16, source: med {med}}}, {{prefix: 10.2.0.0/16, med: {med}}}]}}]"
            )
        };
        let merged = merged(&[("a", &routes(1)), ("b", &routes(2))]);
        assert_eq!(
            texts(&merged),
            ["m: 10.2.0.0/16 of owner b is not in force: owner a originates it with other attributes"]
        );
        assert_eq!(merged.instances["m"].routes.len(), 2);
    }

    #[test]
    fn a_port_belongs_to_one_instance() {
        let one = |name: &str| {
            format!(
                "instances: [{{name: {name}, localASN: 65001, routerID: 10.0.0.1, listenPort: 1179, peers: [{{name: p, address: 192.0.2.9, passive: true}}]}}]"
            )
        };
        let merged = merged(&[("a", &one("x")), ("b", &one("w"))]);
        assert_eq!(
            texts(&merged),
            [
                "w: listenPort of owner b is not in force: owner a has another instance on this port",
                "w/p: passive of owner b is not in force: it does not fit the instance of owner b",
            ]
        );
        assert_eq!(merged.instances["w"].listen_port, None);
        assert!(merged.instances["w"].peers.is_empty());
    }
}
