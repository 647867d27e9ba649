//! How an instance looked a moment ago: what summaries, neighbour lists and metrics read without asking its owner.
//!
//! A snapshot is made after a batch of work, at most every [`INTERVAL`] unless an operator would notice (a state changed,
//! a request was carried out). What did not change since the last one is shared with it.
//!
//! Invariant: a snapshot is never older than [`INTERVAL`] plus one turn of the owner's loop, and reading one costs the
//! owner nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bgp_core::config::{PeerConfig, SpeakerConfig};
use bgp_core::rib::{Ineligible, PeerCounters as RouteCounters, Totals};
use bgp_core::{
    Endpoints, Held, LastReset, MessageCounters, Negotiated, PeerId, PeerView, Speaker, State, Time,
};
use bgp_wire::{Family, FamilySet};
use tokio::time::Instant;

use crate::clock::{Clock, Moment};
use crate::instance::counters::{InstanceCounters, KeepaliveLateness, PeerCounters};
use crate::instance::listener::{ListenFailure, Listeners};

/// Longest time that a change of a counter stays unpublished.
const INTERVAL: Duration = Duration::from_millis(200);
/// Shortest time between two: a snapshot walks over all peers, and one peer can make a thousand things happen in it.
const SHORTEST: Duration = Duration::from_millis(20);

/// One instance.
#[derive(Clone, Debug)]
pub struct InstanceSnapshot {
    /// When it was made.
    pub taken: Moment,
    /// Name.
    pub name: Arc<str>,
    /// Local ASN.
    pub local_asn: u32,
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Own host name, as peers are told.
    pub hostname: Option<Arc<str>>,
    /// Paths of different AS_PATH content may be multipath together.
    pub multipath_relax: bool,
    /// It was restarted, and advertises nothing yet (RFC 4724 §4.1).
    pub restarting: bool,
    /// How long that took, once it is over.
    pub restart_millis: Option<u64>,
    /// For how long after a restart nothing is advertised at most.
    pub selection_deferral: Duration,
    /// Where it should listen and does not.
    pub listen_failures: Vec<ListenFailure>,
    /// Connections not accepted, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// How late KEEPALIVEs were.
    pub keepalives: KeepaliveLateness,
    /// Tables, one per family.
    pub tables: Vec<(Family, Totals)>,
    /// Peers, in the order of their addresses.
    pub peers: Vec<PeerSnapshot>,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerSnapshot {
    /// Its handle.
    pub id: PeerId,
    /// Its configuration.
    pub config: Arc<PeerConfig>,
    /// State of the session.
    pub state: State,
    /// Why it is held in Idle.
    pub held: Option<Held>,
    /// When it entered this state.
    pub since: Time,
    /// When it was configured.
    pub created: Time,
    /// When it became Established, if it is.
    pub established_at: Option<Time>,
    /// How often it came up.
    pub established_count: u64,
    /// How often it went down.
    pub dropped_count: u64,
    /// Its ASN, if known.
    pub remote_asn: Option<u32>,
    /// Its BGP Identifier, if known.
    pub remote_router_id: Option<Ipv4Addr>,
    /// The ends of the connection.
    pub endpoints: Option<Endpoints>,
    /// What was negotiated last.
    pub negotiated: Option<Arc<Negotiated>>,
    /// Hold Time in force.
    pub hold_time: Duration,
    /// Keepalive interval in force.
    pub keepalive_interval: Duration,
    /// When octets last came in.
    pub last_read: Option<Time>,
    /// When a message last went out.
    pub last_write: Option<Time>,
    /// When an UPDATE last came in.
    pub last_update: Option<Time>,
    /// When it will be dialled next.
    pub next_connect: Option<Time>,
    /// Octets that wait to be written.
    pub queued_out: usize,
    /// Since when it has not taken all that waits, if that is too long.
    pub slow_since: Option<Time>,
    /// How often it was slow.
    pub slow_count: u64,
    /// Octets of an incomplete message.
    pub queued_in: usize,
    /// Messages received.
    pub received: MessageCounters,
    /// Messages sent.
    pub sent: MessageCounters,
    /// Why the last session ended.
    pub last_reset: Option<Arc<LastReset>>,
    /// The last dial that did not come through.
    pub last_connect_failure: Option<(Time, Arc<str>)>,
    /// It was sent everything it may have, End-of-RIB included.
    pub dumped: bool,
    /// Families whose End-of-RIB came in.
    pub end_of_rib_received: FamilySet,
    /// Families of which stale routes are kept (RFC 4724).
    pub stale: FamilySet,
    /// Until when it has to be back, or they go.
    pub restart_deadline: Option<Time>,
    /// Until when it has to have sent them again, now that it is back.
    pub stale_deadline: Option<Time>,
    /// The session is said to end soon (RFC 8326).
    pub drains: bool,
    /// Until when they are kept as a last resort, by family (RFC 9494).
    pub long_lived_deadlines: [(Family, Option<Time>); 2],
    /// What happened to it.
    pub counters: Arc<PeerCounters>,
    /// Its routes, by negotiated or else configured family.
    pub families: Vec<(Family, FamilyRoutes)>,
}

/// Routes of one peer and family. All zero while the session is down, unless routes of it are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyRoutes {
    /// Prefixes in the Adj-RIB-In.
    pub received: u64,
    /// Those that take part in the decision.
    pub accepted: u64,
    /// Prefixes in the Adj-RIB-Out.
    pub advertised: u64,
    /// Prefixes in the Adj-RIB-In that are stale.
    pub stale: u64,
    rejected: [u32; Ineligible::ALL.len()],
}

impl FamilyRoutes {
    /// Prefixes received that take no part, for one reason.
    #[must_use]
    pub fn rejected(&self, reason: Ineligible) -> u64 {
        self.rejected.get(reason.index()).copied().unwrap_or_default().into()
    }

    fn new(speaker: &Speaker, peer: PeerId, family: Family) -> Self {
        let counters: RouteCounters = speaker.rib().counters(peer, family).unwrap_or_default();
        Self {
            received: counters.received.into(),
            accepted: counters.accepted.into(),
            advertised: counters.advertised.into(),
            stale: counters.stale.into(),
            rejected: counters.ineligible,
        }
    }
}

impl InstanceSnapshot {
    /// An instance that has only just been started.
    #[must_use]
    pub fn starting(config: &SpeakerConfig, clock: &Clock) -> Self {
        Self {
            taken: Moment::now(clock),
            name: Arc::clone(&config.name),
            local_asn: config.local_asn,
            router_id: config.router_id,
            hostname: config.hostname.as_deref().map(Arc::from),
            multipath_relax: config.multipath_relax,
            selection_deferral: config.selection_deferral,
            restarting: false,
            restart_millis: None,
            listen_failures: Vec::new(),
            refused: BTreeMap::new(),
            keepalives: KeepaliveLateness::default(),
            tables: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// The peer of this name, or else of this address.
    #[must_use]
    pub fn find(&self, name_or_address: &str) -> Option<&PeerSnapshot> {
        let by_name = self.peers.iter().find(|peer| *peer.config.name == *name_or_address);
        by_name.or_else(|| {
            let (address, interface) = match name_or_address.split_once('%') {
                Some((address, interface)) => (address, Some(interface)),
                None => (name_or_address, None),
            };
            let address: IpAddr = address.parse().ok()?;
            self.peers.iter().find(|peer| {
                peer.config.address == address
                    && interface.is_none_or(|interface| peer.config.interface.as_deref() == Some(interface))
            })
        })
    }

    /// The peer of this handle.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&PeerSnapshot> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    /// The counters of a table.
    #[must_use]
    pub fn table(&self, family: Family) -> Totals {
        self.tables.iter().find(|(one, _)| *one == family).map(|(_, table)| *table).unwrap_or_default()
    }
}

impl PeerSnapshot {
    /// Where the session goes, as metrics name it: `192.0.2.1:179`, `[2001:db8::1]:179`.
    #[must_use]
    pub fn neighbor(&self) -> SocketAddr {
        SocketAddr::new(self.config.address, self.config.port)
    }

    /// Whether routes are exchanged.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// Its routes in a family; nothing if that is not one of its families.
    #[must_use]
    pub fn family(&self, family: Family) -> Option<&FamilyRoutes> {
        self.families.iter().find(|(one, _)| *one == family).map(|(_, counters)| counters)
    }

    /// Until when stale routes of the peer stay, unless it sends them again.
    #[must_use]
    pub fn stale_until(&self) -> Option<Time> {
        self.restart_deadline.or(self.stale_deadline)
    }

    /// Until when long-lived stale routes of a family stay, unless the peer sends them again.
    #[must_use]
    pub fn long_lived_until(&self, family: Family) -> Option<Time> {
        self.long_lived_deadlines.iter().find(|(one, _)| *one == family)?.1
    }

    fn new(view: &PeerView<'_>, speaker: &Speaker, counters: &InstanceCounters, last: Option<&Self>) -> Self {
        let families = match view.negotiated {
            Some(negotiated) if view.state == State::Established => negotiated.families,
            _ => view.config.families,
        };
        Self {
            id: view.id,
            config: share(view.config, last.map(|last| &last.config)),
            state: view.state,
            held: view.held,
            since: view.since,
            created: view.created,
            established_at: view.established_at,
            established_count: view.established_count,
            dropped_count: view.dropped_count,
            remote_asn: view.remote_asn,
            remote_router_id: view.remote_router_id,
            endpoints: view.endpoints,
            negotiated: view
                .negotiated
                .map(|negotiated| share(negotiated, last.and_then(|last| last.negotiated.as_ref()))),
            hold_time: view.hold_time,
            keepalive_interval: view.keepalive_interval,
            last_read: view.last_read,
            last_write: view.last_write,
            last_update: view.last_update,
            next_connect: view.next_connect,
            queued_out: view.queued_out,
            slow_since: view.slow_since,
            slow_count: view.slow_count,
            queued_in: view.queued_in,
            received: view.received.clone(),
            sent: view.sent.clone(),
            last_reset: view
                .last_reset
                .map(|reset| share(reset, last.and_then(|last| last.last_reset.as_ref()))),
            last_connect_failure: view.last_connect_failure.cloned(),
            dumped: view.state == State::Established
                && !speaker.is_restarting()
                && !speaker.rib().has_output(view.id),
            end_of_rib_received: view.end_of_rib_received,
            stale: view.stale,
            restart_deadline: view.restart_deadline,
            stale_deadline: view.stale_deadline,
            drains: view.drains,
            long_lived_deadlines: view.long_lived_deadlines,
            counters: counters.peer(view.id),
            families: families
                .iter()
                .map(|family| (family, FamilyRoutes::new(speaker, view.id, family)))
                .collect(),
        }
    }
}

/// The value of last time if it is still the same, else a copy.
fn share<T: PartialEq + Clone>(now: &T, last: Option<&Arc<T>>) -> Arc<T> {
    match last {
        Some(last) if **last == *now => Arc::clone(last),
        _ => Arc::new(now.clone()),
    }
}

/// Makes snapshots when it is time to.
#[derive(Debug)]
pub struct Publisher {
    place: Arc<ArcSwap<InstanceSnapshot>>,
    /// Something changed since the last one.
    due: Option<Instant>,
    /// When that was.
    last: Instant,
}

impl Publisher {
    /// Publishes to `place`, first thing.
    #[must_use]
    pub fn new(place: Arc<ArcSwap<InstanceSnapshot>>) -> Self {
        Self { place, due: Some(Instant::now()), last: Instant::now() - SHORTEST }
    }

    /// Something small changed: publish within [`INTERVAL`].
    pub fn mark(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + INTERVAL);
    }

    /// Something changed that people look for: publish at the end of this turn, unless that was done a moment ago.
    pub fn mark_urgent(&mut self) {
        let soon = self.last + SHORTEST;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Somebody asked for something and will look whether it was done: publish at the end of this turn.
    pub fn mark_now(&mut self) {
        self.due = Some(Instant::now());
    }

    /// The address of a peer as it was published last.
    #[must_use]
    pub fn address_of(&self, peer: PeerId) -> Option<IpAddr> {
        self.place.load().peer(peer).map(|peer| peer.config.address)
    }

    /// When the next one has to be made.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Makes one, if it is due.
    pub fn publish(
        &mut self,
        speaker: &Speaker,
        listeners: &Listeners,
        counters: &InstanceCounters,
        clock: &Clock,
    ) {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.due = None;
        self.last = Instant::now();
        let last = self.place.load();
        let known: HashMap<PeerId, &PeerSnapshot> = last.peers.iter().map(|peer| (peer.id, peer)).collect();
        let config = speaker.config();
        let mut snapshot = InstanceSnapshot::starting(config, clock);
        snapshot.listen_failures = listeners.failures().to_vec();
        snapshot.restarting = speaker.is_restarting();
        snapshot.restart_millis = counters.restart_millis();
        snapshot.refused.clone_from(counters.refused_by_reason());
        snapshot.keepalives = counters.keepalives();
        snapshot.tables =
            FamilySet::ALL.iter().map(|family| (family, speaker.rib().totals(family))).collect();
        snapshot.peers = speaker
            .peers()
            .map(|view| PeerSnapshot::new(&view, speaker, counters, known.get(&view.id).copied()))
            .collect();
        snapshot.peers.sort_by_key(|peer| (peer.config.address, peer.id));
        self.place.store(Arc::new(snapshot));
    }
}
