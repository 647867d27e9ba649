//! A RIB among peers that note what they are told, and fail when told something needless.

mod examples;
mod explain;
mod groups;
mod handover;
mod long_lived;
mod paths;
mod properties;
mod roles;
mod stale;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_wire::{
    AsPath, AttributeBlock, Community, DecodeContext, EncodeContext, FamilySet, Message, PeerKind,
    RefreshSubtype, encode_reach_paths, encode_unreach_paths, peek_frame,
};
use bytes::BytesMut;

use super::*;
use crate::policy::{Actions, PrefixMatch, SourceMatch, Statement, Verdict};

const OWN_ASN: u32 = 65_000;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn peer(number: u32) -> PeerId {
    PeerId::new(number)
}

fn config() -> RibConfig {
    RibConfig {
        local_asn: OWN_ASN,
        router_id: Ipv4Addr::new(10, 0, 0, 100),
        cluster_id: Ipv4Addr::new(10, 0, 0, 100),
        maximum_paths: 1,
        multipath_relax: false,
    }
}

/// A neighbour at `192.0.2.NUMBER`.
fn params(number: u32, remote_asn: u32) -> PeerParams {
    let [.., octet] = number.to_be_bytes();
    PeerParams {
        name: format!("peer{number}").into(),
        kind: if remote_asn == OWN_ASN { PeerKind::Internal } else { PeerKind::External },
        remote_asn,
        remote_router_id: Ipv4Addr::new(10, 0, 0, octet),
        remote_address: IpAddr::from([192, 0, 2, octet]),
        local_address_v4: Some(Ipv4Addr::new(192, 0, 2, 100)),
        local_address_v6: Some("2001:db8::100".parse().unwrap()),
        link_local: None,
        families: FamilySet::ALL,
        encode: EncodeContext::new(),
        paths_sent: None,
        enhanced_refresh: false,
        import: None,
        export: None,
        route_reflector_client: false,
        enforce_first_as: true,
        long_lived: LongLived::default(),
        role: None,
        drain: false,
        ignore_graceful_shutdown: false,
    }
}

/// Attributes as the neighbour at `192.0.2.NUMBER` sends them.
fn via(number: u32, as_path: &str) -> PathAttributes {
    let [.., octet] = number.to_be_bytes();
    PathAttributes {
        as_path: as_path.parse().unwrap(),
        next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, octet))),
        ..PathAttributes::default()
    }
}

/// The same route over IPv6.
fn via_v6(number: u32, as_path: &str) -> PathAttributes {
    let global = format!("2001:db8::{number}").parse().unwrap();
    PathAttributes { next_hop: Some(NextHop::V6 { global, link_local: None }), ..via(number, as_path) }
}

fn own(prefix: &str) -> OriginatedRoute {
    OriginatedRoute::new(net(prefix))
}

/// A policy with one statement about some prefixes (none: all) and another verdict for the rest.
fn policy(prefixes: &[&str], action: Verdict, set: Actions) -> Arc<Policy> {
    let rest = if action == Verdict::Accept { Verdict::Reject } else { Verdict::Accept };
    Arc::new(Policy {
        name: "test".into(),
        default_action: rest,
        statements: Arc::new([Statement {
            name: "some".into(),
            families: Vec::new(),
            prefixes: prefixes.iter().map(|prefix| PrefixMatch::exact(net(prefix))).collect(),
            any_community: Vec::new(),
            sources: Vec::new(),
            action,
            set,
        }]),
    })
}

/// As peers with path identifiers write.
const WITH_IDS: EncodeContext =
    EncodeContext { add_path: FamilySet::ALL, extended_message: true, ..EncodeContext::new() };

fn without_ids<'a>(prefixes: &[&'a str]) -> Vec<(u32, &'a str)> {
    prefixes.iter().map(|prefix| (0, *prefix)).collect()
}

/// What a neighbour has been told.
#[derive(Debug, Default)]
struct Mirror {
    kind: Option<PeerKind>,
    /// By prefix and path identifier.
    routes: BTreeMap<(IpNet, u32), PathAttributes>,
    /// Families in which it reads path identifiers.
    add_path: FamilySet,
    end_of_rib: Vec<Family>,
    /// It asked for everything again: hearing a thing twice is no fault.
    refreshing: bool,
    /// Families between the markers of a refresh.
    marked: FamilySet,
    messages: usize,
}

/// A RIB and its neighbours.
struct Lab {
    rib: Rib,
    now: Time,
    mirrors: BTreeMap<PeerId, Mirror>,
}

impl Lab {
    fn new(config: RibConfig) -> Self {
        Self { rib: Rib::new(config), now: Time::from_nanos(1_000_000_000), mirrors: BTreeMap::new() }
    }

    /// A lab with neighbours 1, 2, … of these ASNs, all up and in sync.
    fn with_peers(asns: &[u32]) -> Self {
        let mut lab = Self::new(config());
        for (number, asn) in (1..).zip(asns) {
            lab.up(params(number, *asn), number);
        }
        lab.drain();
        lab
    }

    fn up(&mut self, params: PeerParams, number: u32) {
        let add_path = params.encode.add_path;
        self.mirrors.insert(peer(number), Mirror { kind: Some(params.kind), add_path, ..Mirror::default() });
        self.rib.peer_up(peer(number), params, self.now);
        self.check();
    }

    fn down(&mut self, number: u32) {
        self.mirrors.remove(&peer(number));
        self.rib.peer_down(peer(number), self.now);
        self.check();
    }

    fn announce(&mut self, number: u32, attributes: &PathAttributes, prefixes: &[&str]) -> UpdateOutcome {
        self.announce_paths(number, attributes, &without_ids(prefixes))
    }

    /// What peers with path identifiers announce.
    fn announce_paths(
        &mut self,
        number: u32,
        attributes: &PathAttributes,
        paths: &[(u32, &str)],
    ) -> UpdateOutcome {
        let context = EncodeContext { extended_next_hop: true, ..WITH_IDS };
        let family = Family::of(&net(paths[0].1));
        let paths = paths.iter().map(|(id, prefix)| (*id, net(prefix)));
        let mut buffer = BytesMut::new();
        let block = AttributeBlock::encode(attributes, &context);
        let next_hop = attributes.next_hop.unwrap();
        encode_reach_paths(&mut buffer, &block, family, &next_hop, paths, &context).unwrap();
        self.receive(number, &buffer)
    }

    fn withdraw(&mut self, number: u32, prefixes: &[&str]) -> UpdateOutcome {
        self.withdraw_paths(number, &without_ids(prefixes))
    }

    fn withdraw_paths(&mut self, number: u32, paths: &[(u32, &str)]) -> UpdateOutcome {
        let family = Family::of(&net(paths[0].1));
        let paths = paths.iter().map(|(id, prefix)| (*id, net(prefix)));
        let mut buffer = BytesMut::new();
        encode_unreach_paths(&mut buffer, family, paths, &WITH_IDS).unwrap();
        self.receive(number, &buffer)
    }

    fn receive(&mut self, number: u32, mut frames: &[u8]) -> UpdateOutcome {
        let kind = self.rib.peers[&peer(number)].params.kind;
        // Without add-path identifiers are 0, and read as such.
        let context =
            DecodeContext { extended_next_hop: true, add_path: FamilySet::ALL, ..DecodeContext::new(kind) };
        let mut outcome = UpdateOutcome::default();
        while let Some(length) = peek_frame(frames, bgp_wire::MAX_EXTENDED_LEN).unwrap() {
            let Message::Update(update) = Message::decode(&frames[..length], &context).unwrap() else {
                panic!()
            };
            outcome = self.rib.handle_update(peer(number), &update, self.now);
            frames = &frames[length..];
        }
        self.check();
        outcome
    }

    fn originate(&mut self, routes: Vec<OriginatedRoute>) {
        self.rib.set_local_routes(routes, self.now);
        self.check();
    }

    /// One message to a neighbour, which notes what it says.
    fn poll(&mut self, number: u32) -> Option<Bytes> {
        let id = peer(number);
        assert!(
            self.rib.has_output(id) || self.rib.poll_output(id, self.now).is_none(),
            "output that has_output denies"
        );
        let message = self.rib.poll_output(id, self.now);
        self.check();
        let mirror = self.mirrors.get_mut(&id).unwrap();
        match &message {
            Some(message) => mirror.read(message),
            None => {
                mirror.refreshing = false;
                assert_eq!(mirror.marked, FamilySet::EMPTY, "a refresh that began has an end");
                assert!(!self.rib.has_output(id), "{id:?} is said to have output and has none");
            }
        }
        message
    }

    /// Everything for one neighbour. Returns the messages.
    fn drain_one(&mut self, number: u32) -> Vec<Bytes> {
        std::iter::from_fn(|| self.poll(number)).collect()
    }

    /// Everything for everybody, twice, so that groups that fit come together.
    fn drain(&mut self) {
        let numbers: Vec<u32> = self.mirrors.keys().map(|id| id.get()).collect();
        for number in numbers.iter().chain(&numbers) {
            self.drain_one(*number);
        }
        self.check_mirrors();
    }

    fn check(&self) {
        if let Err(broken) = self.rib.check() {
            panic!("{broken}");
        }
    }

    /// What neighbours were told is what the Adj-RIB-Out says, and groups are as few as can be.
    fn check_mirrors(&self) {
        for (id, mirror) in &self.mirrors {
            for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
                let page = self.rib.adj_out_page(*id, family, None, 10_000);
                assert_eq!(page.next, None);
                let sent: BTreeMap<_, _> = page
                    .entries
                    .into_iter()
                    .map(|route| ((route.prefix, route.path_id), PathAttributes::clone(&route.attributes)))
                    .collect();
                let told: BTreeMap<_, _> = mirror
                    .routes
                    .iter()
                    .filter(|((prefix, _), _)| Family::of(prefix) == family)
                    .map(|(path, attributes)| (*path, attributes.clone()))
                    .collect();
                assert_eq!(told, sent, "{id:?}");
                let advertised = self.rib.counters(*id, family).unwrap().advertised;
                assert_eq!(advertised as usize, told.len(), "{id:?}");
                let up = self.rib.peers[id].params.families.contains(family);
                let ends = mirror.end_of_rib.iter().filter(|end| **end == family).count();
                assert_eq!(ends, usize::from(up), "End-of-RIB of {family} to {id:?}");
            }
        }
        for rib in &self.rib.families {
            let mut keys: Vec<GroupKey> = Vec::new();
            let is_member = |peer: &&Peer| peer.up && peer.params.families.contains(rib.family);
            for peer in self.rib.peers.values().filter(is_member) {
                let key = GroupKey::new(peer, rib.family);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            assert_eq!(rib.groups.len(), keys.len(), "groups of {}", rib.family);
        }
    }

    fn told(&self, number: u32) -> Vec<String> {
        self.mirrors[&peer(number)].routes.keys().map(|(prefix, _)| prefix.to_string()).collect()
    }

    fn entry(&self, prefix: &str) -> RibEntry {
        self.rib.lookup(&net(prefix)).unwrap()
    }

    fn not_advertised(&self, number: u32, prefix: &str) -> NotAdvertised {
        match self.rib.advertisement(peer(number), &net(prefix)) {
            Advertisement::Not(reason) => reason,
            other => panic!("{other:?}"),
        }
    }
}

impl Mirror {
    fn read(&mut self, message: &Bytes) {
        self.messages += 1;
        let add_path = self.add_path;
        let context =
            DecodeContext { extended_next_hop: true, add_path, ..DecodeContext::new(self.kind.unwrap()) };
        let update = match Message::decode(message, &context).unwrap() {
            Message::Update(update) => update,
            Message::RouteRefresh(marker) => {
                let begins = marker.subtype == RefreshSubtype::Begin;
                assert_eq!(
                    begins,
                    !self.marked.contains(marker.family),
                    "{marker:?} after {:?}",
                    self.marked
                );
                self.marked = self.marked.iter().filter(|family| *family != marker.family).collect();
                if begins {
                    self.marked.insert(marker.family);
                }
                return;
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(update.errors, []);
        if let Some(family) = update.end_of_rib {
            self.end_of_rib.push(family);
            return;
        }
        for (id, prefix) in update.withdrawn().flat_map(|unreach| unreach.prefixes.paths()) {
            let known = self.routes.remove(&(prefix, id));
            assert!(known.is_some(), "path {id} to {prefix} is withdrawn and was never sent");
        }
        for reach in update.announced() {
            for (id, prefix) in reach.prefixes.paths() {
                let before = self.routes.insert((prefix, id), update.attributes.clone());
                let again = before.as_ref() == Some(&update.attributes);
                assert!(
                    !again || self.refreshing,
                    "path {id} to {prefix} is sent again with nothing changed"
                );
            }
        }
    }
}
