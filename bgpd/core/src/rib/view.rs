//! What `show` and `explain` read: pages, single prefixes, counters, and why a peer was not sent a route.
//!
//! Invariant: no function here looks at more destinations than it was asked for, times a small constant. A page may
//! therefore be short; only [`Page::next`] says whether there is more.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_wire::{Family, PathAttributes};
use bytes::Bytes;
use ipnet::IpNet;

use crate::PeerId;
use crate::policy::{SourceMatch, Verdict};
use crate::time::Time;

use super::adj_in::outcome;
use super::adj_out::Refusal;
use super::decision::select;
use super::interner::AttrId;
use super::loc::{FamilyRib, Judges, contenders};
use super::path::{LOCAL, Path, Standing};
use super::peer::Source;
use super::reason::{Ineligible, NotAdvertised, SelectionReason};
use super::table::{DestId, Destination};
use super::{NANOS_PER_SECOND, Rib, family_index};

/// Some entries of a table, in order of prefix.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page starts (pass it as `after`). None: this was the last one.
    pub next: Option<IpNet>,
}

/// A destination with all its paths.
#[derive(Clone, Debug)]
pub struct RibEntry {
    /// The prefix.
    pub prefix: IpNet,
    /// The table's version when the entry last changed (modulo 2^32).
    pub version: u32,
    /// The paths, the best one first, those beside it next, the ineligible ones last.
    pub paths: Vec<PathView>,
}

/// One path.
#[derive(Clone, Debug)]
pub struct PathView {
    /// Who sent it. None: the speaker originates it.
    pub peer: Option<PeerId>,
    /// What that peer calls it (RFC 7911); 0 without add-path.
    pub path_id: u32,
    /// The path identifier under which peers that take several paths are sent it; 0 while there is no such peer.
    pub number: u16,
    /// Where it comes from.
    pub source: SourceMatch,
    /// Router ID of who sent it.
    pub router_id: Ipv4Addr,
    /// The attributes as received.
    pub received: Arc<PathAttributes>,
    /// The attributes after the import policy.
    pub attributes: Arc<PathAttributes>,
    /// When these attributes came, in whole seconds.
    pub received_at: Time,
    /// What the decision process makes of it.
    pub standing: Standing,
    /// For the best path: the last step that was needed. For another one that takes part: the step at which it lost.
    pub selection: Option<SelectionReason>,
    /// The statement of the import policy that rejected it, if a statement did.
    pub rejected_by: Option<Arc<str>>,
    /// The session it came over ended, and the peer has not sent it again since (RFC 4724).
    pub stale: bool,
    /// The same, and for longer than the peer's Restart Time (RFC 9494).
    pub long_lived: bool,
    /// Why the route exists, for a route of our own.
    pub origin: Option<Arc<str>>,
}

/// A route as it was sent to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The path identifier on the wire (RFC 7911); 0 without add-path.
    pub path_id: u32,
    /// The attributes on the wire.
    pub attributes: Arc<PathAttributes>,
    /// When it was encoded, in whole seconds.
    pub sent_at: Time,
}

/// What a peer was told about a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertisement {
    /// It was sent this: one route, or several where the session carries several (RFC 7911).
    Sent(Vec<SentRoute>),
    /// It will be, as soon as the peer takes more messages.
    Queued,
    /// It was not, and why.
    Not(NotAdvertised),
}

/// Numbers of one peer and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Paths in the Adj-RIB-In: one for each prefix, unless the session carries several (RFC 7911).
    pub received: u32,
    /// Those that take part in the decision.
    pub accepted: u32,
    /// Those received that are stale (RFC 4724).
    pub stale: u32,
    /// Paths in the Adj-RIB-Out, on the wire.
    pub advertised: u32,
    /// Those received that take no part, in the order of [`Ineligible::ALL`].
    pub ineligible: [u32; Ineligible::ALL.len()],
}

/// Numbers of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Destinations with at least one path.
    pub prefixes: u32,
    /// Paths.
    pub paths: u32,
    /// Counts changes of the Loc-RIB (modulo 2^32).
    pub version: u32,
    /// Update groups.
    pub groups: usize,
    /// Distinct sets of attributes, of all families together.
    pub attribute_sets: usize,
}

/// Destinations a page looks at for each entry it may have, and in any case.
const LOOKED_AT: usize = 16;
const LOOKED_AT_LEAST: usize = 1_024;

impl Rib {
    /// Up to `limit` destinations after `after`.
    #[must_use]
    pub fn rib_page(&self, family: Family, after: Option<IpNet>, limit: usize) -> Page<RibEntry> {
        self.page(family, after, limit, |rib, _, found| self.entry(rib, found))
    }

    /// About `limit` paths received from a peer, after `after`: never a part of those to one destination. Ineligible ones are
    /// among them.
    #[must_use]
    pub fn adj_in_page(
        &self,
        peer: PeerId,
        family: Family,
        after: Option<IpNet>,
        limit: usize,
    ) -> Page<(IpNet, PathView)> {
        self.page(family, after, limit, |_, _, found| {
            let views =
                if found.paths.of(peer).next().is_some() { self.path_views(found) } else { Vec::new() };
            let prefix = found.prefix;
            views.into_iter().filter(move |view| view.peer == Some(peer)).map(move |view| (prefix, view))
        })
    }

    /// About `limit` routes that are on the wire to a peer, after `after`: never a part of those to one destination.
    #[must_use]
    pub fn adj_out_page(
        &self,
        peer: PeerId,
        family: Family,
        after: Option<IpNet>,
        limit: usize,
    ) -> Page<SentRoute> {
        self.page(family, after, limit, |rib, id, found| self.sent(rib, peer, id, found.prefix))
    }

    /// The destination with exactly this prefix.
    #[must_use]
    pub fn lookup(&self, prefix: &IpNet) -> Option<RibEntry> {
        let rib = self.family(Family::of(prefix))?;
        self.entry(rib, rib.table.get(rib.table.find(prefix)?)?)
    }

    /// The destination with the longest prefix that covers this one.
    #[must_use]
    pub fn longest_match(&self, prefix: &IpNet) -> Option<RibEntry> {
        let rib = self.family(Family::of(prefix))?;
        rib.table.covering(prefix).into_iter().find_map(|(_, found)| self.entry(rib, found))
    }

    /// The peers that have a route to this prefix from us.
    #[must_use]
    pub fn advertised_to(&self, prefix: &IpNet) -> Vec<PeerId> {
        let Some(rib) = self.family(Family::of(prefix)) else { return Vec::new() };
        let Some(id) = rib.table.find(prefix) else { return Vec::new() };
        let mut peers: Vec<_> =
            self.peers.keys().copied().filter(|peer| !rib.groups.sent(*peer, id).is_empty()).collect();
        peers.sort_unstable();
        peers
    }

    /// What a peer was told about a prefix, or why it was not.
    #[must_use]
    pub fn advertisement(&self, peer: PeerId, prefix: &IpNet) -> Advertisement {
        let Some(state) = self.peers.get(&peer) else { return Advertisement::Not(NotAdvertised::PeerDown) };
        let family = Family::of(prefix);
        if !state.params.families.contains(family) {
            return Advertisement::Not(NotAdvertised::FamilyNotNegotiated);
        }
        let found = self.family(family).and_then(|rib| Some((rib, rib.table.find(prefix)?)));
        let Some((rib, id)) = found else { return Advertisement::Not(NotAdvertised::NoBestPath) };
        if rib.groups.is_pending(peer, id) {
            return Advertisement::Queued;
        }
        let sent = self.sent(rib, peer, id, *prefix);
        if !sent.is_empty() {
            return Advertisement::Sent(sent);
        }
        let best = rib.table.get(id).and_then(|found| found.paths.best());
        let (Some(best), Some(group)) = (best, rib.groups.group_of(peer)) else {
            return Advertisement::Not(NotAdvertised::NoBestPath);
        };
        if best.peer == peer {
            return Advertisement::Not(NotAdvertised::LearnedFromPeer);
        }
        Advertisement::Not(match group.expected(self.reader(), prefix, best) {
            Err(refusal) => self.name(refusal, peer),
            // It would be sent and is not: `check` reports such a thing as a broken invariant.
            Ok(_) => return Advertisement::Queued,
        })
    }

    /// The UPDATE that tells a peer of a route it was sent. The message that went out may have carried other prefixes with
    /// equal attributes beside this one.
    #[must_use]
    pub fn update_of(&self, peer: PeerId, sent: &SentRoute) -> Option<Bytes> {
        let group = self.family(Family::of(&sent.prefix))?.groups.group_of(peer)?;
        group.update_of(&sent.attributes, sent.path_id, sent.prefix)
    }

    /// The statement of a peer's export policy that decides about a route it was sent. None: the default action, or there is
    /// no policy.
    #[must_use]
    pub fn statement_of(&self, peer: PeerId, sent: &SentRoute) -> Option<Arc<str>> {
        let rib = self.family(Family::of(&sent.prefix))?;
        let paths = &rib.table.get(rib.table.find(&sent.prefix)?)?.paths;
        let path = match u16::try_from(sent.path_id).ok()? {
            0 => paths.best(),
            number => paths.numbered(number),
        }?;
        let statement = rib.groups.group_of(peer)?.statement(self.reader(), &sent.prefix, path)?;
        let policy = self.peers.get(&peer)?.params.export.as_ref()?;
        policy.statements.get(usize::try_from(statement).ok()?).map(|statement| Arc::clone(&statement.name))
    }

    /// Numbers of a peer. None while it is down, unless routes of it are kept.
    #[must_use]
    pub fn counters(&self, peer: PeerId, family: Family) -> Option<PeerCounters> {
        let counters = self.peers.get(&peer)?.counters.get(family_index(family))?;
        Some(PeerCounters {
            received: counters.received,
            accepted: counters.accepted(),
            stale: counters.stale,
            advertised: self.family(family)?.groups.advertised(peer),
            ineligible: counters.ineligible,
        })
    }

    /// Numbers of a family.
    #[must_use]
    pub fn totals(&self, family: Family) -> Totals {
        let Some(rib) = self.family(family) else { return Totals::default() };
        Totals {
            prefixes: rib.prefixes,
            paths: rib.paths,
            version: rib.version,
            groups: rib.groups.len(),
            attribute_sets: self.interner.len(),
        }
    }

    fn sent(&self, rib: &FamilyRib, peer: PeerId, id: DestId, prefix: IpNet) -> Vec<SentRoute> {
        let sent = rib.groups.sent(peer, id).into_iter();
        let shown = sent.map(|sent| SentRoute {
            prefix,
            path_id: sent.path_id,
            attributes: Arc::clone(self.interner.get(sent.attributes)),
            sent_at: from_seconds(sent.at),
        });
        shown.collect()
    }

    fn family(&self, family: Family) -> Option<&FamilyRib> {
        self.families.iter().find(|rib| rib.family == family)
    }

    fn page<T, Entries: IntoIterator<Item = T>>(
        &self,
        family: Family,
        after: Option<IpNet>,
        limit: usize,
        mut entry: impl FnMut(&FamilyRib, DestId, &Destination) -> Entries,
    ) -> Page<T> {
        let mut page = Page { entries: Vec::new(), next: None };
        let Some(rib) = self.family(family) else { return page };
        let most = limit.saturating_mul(LOOKED_AT).max(LOOKED_AT_LEAST);
        let mut last = None;
        for (looked_at, (id, found)) in rib.table.iter_after(after.as_ref()).enumerate() {
            if looked_at >= most || page.entries.len() >= limit {
                page.next = last.or(after);
                break;
            }
            page.entries.extend(entry(rib, id, found));
            last = Some(found.prefix);
        }
        page
    }

    fn entry(&self, _rib: &FamilyRib, found: &Destination) -> Option<RibEntry> {
        if found.paths.is_empty() {
            return None;
        }
        let mut paths = self.path_views(found);
        paths.sort_by_key(|path| match path.standing {
            Standing::Best => 0,
            Standing::Multipath => 1,
            Standing::Eligible => 2,
            Standing::Ineligible(_) => 3,
        });
        Some(RibEntry { prefix: found.prefix, version: found.version, paths })
    }

    fn path_views(&self, found: &Destination) -> Vec<PathView> {
        let judges = Judges { config: &self.config, peers: &self.peers, next_hops: &self.next_hops };
        let paths = found.paths.as_slice();
        let mut views: Vec<_> = paths.iter().map(|path| self.path_view(&found.prefix, path)).collect();
        if !self.family(Family::of(&found.prefix)).is_some_and(|rib| rib.groups.send_several()) {
            views.iter_mut().for_each(|view| view.number = 0);
        }
        let (positions, contenders) = contenders(judges, &self.interner, paths);
        if let Some(selection) = select(&contenders, self.config.multipath_rule()) {
            for (lost_at, position) in selection.lost_at.iter().zip(positions) {
                if let Some(view) = views.get_mut(position) {
                    view.selection = Some(lost_at.unwrap_or(selection.decided_by));
                }
            }
        }
        views
    }

    fn path_view(&self, prefix: &IpNet, path: &Path) -> PathView {
        let source = Source::of(path.peer, &self.peers, self.config.router_id);
        let attributes = |id: AttrId| Arc::clone(self.interner.get(id));
        PathView {
            peer: (path.peer != LOCAL).then_some(path.peer),
            path_id: path.path_id,
            number: path.number,
            source: source.kind,
            router_id: source.router_id,
            received: attributes(path.received),
            attributes: attributes(path.effective),
            received_at: from_seconds(path.received_at),
            standing: path.standing,
            selection: None,
            rejected_by: self.rejected_by(prefix, path),
            stale: path.stale.is_stale(),
            long_lived: path.stale.is_long_lived(),
            origin: self
                .local
                .get(prefix)
                .filter(|_| path.peer == LOCAL)
                .and_then(|route| route.source.clone()),
        }
    }

    /// The statement of the import policy that rejected a path.
    fn rejected_by(&self, prefix: &IpNet, path: &Path) -> Option<Arc<str>> {
        if path.standing != Standing::Ineligible(Ineligible::ImportPolicy) {
            return None;
        }
        let peer = self.peers.get(&path.peer)?;
        let outcome = outcome(&self.interner, peer, prefix, path.received);
        let statement = outcome.statement.filter(|_| outcome.verdict == Verdict::Reject)?;
        peer.import.as_ref()?.statement(statement).map(|statement| Arc::clone(&statement.name))
    }

    /// A refusal with the names of the peer's policy in it.
    fn name(&self, refusal: Refusal, peer: PeerId) -> NotAdvertised {
        match refusal {
            Refusal::NoBestPath => NotAdvertised::NoBestPath,
            Refusal::InternalToInternal => NotAdvertised::InternalToInternal,
            Refusal::LongLivedStale => NotAdvertised::LongLivedStale,
            Refusal::NoAdvertise => NotAdvertised::NoAdvertise,
            Refusal::NoExport => NotAdvertised::NoExport,
            Refusal::NoExportSubconfed => NotAdvertised::NoExportSubconfed,
            Refusal::OnlyToCustomer => NotAdvertised::OnlyToCustomer,
            Refusal::NoNextHop => NotAdvertised::NoNextHop,
            Refusal::TooLong => NotAdvertised::TooLong,
            Refusal::Policy(statement) => {
                let policy = self.peers.get(&peer).and_then(|peer| peer.params.export.as_ref());
                let named = statement
                    .zip(policy)
                    .and_then(|(number, policy)| policy.statements.get(usize::try_from(number).ok()?));
                NotAdvertised::ExportPolicy {
                    policy: policy.map_or_else(|| Arc::from(""), |policy| Arc::clone(&policy.name)),
                    statement: named.map(|statement| Arc::clone(&statement.name)),
                }
            }
        }
    }
}

pub(super) fn from_seconds(seconds: u32) -> Time {
    Time::from_nanos(u64::from(seconds) * NANOS_PER_SECOND)
}
