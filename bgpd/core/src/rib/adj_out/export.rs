//! What a route becomes on its way to a peer, or why it does not go there (RFC 4271 §5.1, §9.1.3, §9.2; RFC 4456 §8;
//! RFC 1997; RFC 9494 §4.3; RFC 9234 §5; RFC 8326 §4).
//!
//! | attribute | external peer | internal peer |
//! |---|---|---|
//! | AS_PATH | our AS in front, more often if the policy says so; no confederation segments | as it is |
//! | NEXT_HOP | ourselves; an explicit one of an own route stays | as it is; ourselves for own routes without one |
//! | MED | of own routes and set by policy; a learned one stays behind | as it is |
//! | LOCAL_PREF | never | as it is, 100 if absent |
//! | ORIGINATOR_ID, CLUSTER_LIST | never | added when reflecting |
//! | LLGR_STALE among the COMMUNITIES | not at all unless the peer knows it | the same; or with LOCAL_PREF 0 and NO_EXPORT |
//! | EXTENDED COMMUNITIES | transitive ones only (RFC 4360 §6) | as they are |
//! | ONLY_TO_CUSTOMER | by our role (RFC 9234) | as it is |
//! | GRACEFUL_SHUTDOWN, while draining (RFC 8326) | added | LOCAL_PREF 0 instead |
//! | everything else | as it is | as it is |
//!
//! External peers always get ourselves as next hop of learned routes, also where RFC 4271 §5.1.3 would allow a third
//! party on the same network: the peer's traffic then follows the path that BGP compared, and no peer depends on a
//! neighbour it has no session with.
//!
//! Invariant: the outcome depends on the route and on the [`GroupKey`] and on nothing else of a peer, which is why a group
//! of peers can share it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::{
    AttributeBlock, Community, EncodeContext, EncodeError, Family, NextHop, PathAttributes, PeerKind, Role,
    UpdateWriter,
};
use bytes::BytesMut;

use crate::config::PathsSent;
use crate::policy::{Actions, CompiledPolicy, SourceMatch};
use crate::rib::decision::DEFAULT_LOCAL_PREF;
use crate::rib::only_to_customer::{keeps_down, marks_what_goes};
use crate::rib::peer::{LongLived, Peer, Source};

/// Everything about a peer that its export depends on. Peers with equal keys get equal routes in equal octets.
#[derive(Clone, Debug)]
pub(in crate::rib) struct GroupKey {
    pub(super) kind: PeerKind,
    pub(super) client: bool,
    pub(super) encode: EncodeContext,
    /// Which paths are sent. None: the best one, and without path identifier.
    pub(super) several: Option<PathsSent>,
    pub(super) next_hop_self: Option<NextHop>,
    pub(super) policy: Option<Arc<CompiledPolicy>>,
    pub(super) long_lived: LongLived,
    pub(super) role: Option<Role>,
    pub(super) drain: bool,
}

impl GroupKey {
    pub(in crate::rib) fn new(peer: &Peer, family: Family) -> Self {
        let mut encode = peer.params.encode;
        // What holds for the other family plays no part here.
        encode.add_path = [family].into_iter().filter(|family| encode.add_path.contains(*family)).collect();
        let several = (!encode.add_path.is_empty()).then(|| {
            let sent = peer.params.paths_sent;
            sent.unwrap_or(PathsSent::Best(1))
        });
        Self {
            kind: peer.params.kind,
            client: peer.params.route_reflector_client,
            encode,
            several,
            next_hop_self: peer.params.next_hop_self(family),
            policy: peer.export.clone(),
            long_lived: peer.params.long_lived,
            role: peer.params.role,
            drain: peer.params.drain,
        }
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        // Equal policies share one compiled form (`Rib::compile`), so comparing handles compares policies.
        let policy = match (&self.policy, &other.policy) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (one, another) => one.is_none() && another.is_none(),
        };
        policy
            && self.kind == other.kind
            && self.client == other.client
            && self.encode == other.encode
            && self.several == other.several
            && self.next_hop_self == other.next_hop_self
            && self.long_lived == other.long_lived
            && self.role == other.role
            && self.drain == other.drain
    }
}

/// Why a route is not for a group. [`crate::rib::NotAdvertised`] without texts, cheap enough to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rib) enum Refusal {
    NoBestPath,
    InternalToInternal,
    LongLivedStale,
    NoAdvertise,
    NoExport,
    NoExportSubconfed,
    OnlyToCustomer,
    /// The statement; none: the default action.
    Policy(Option<u32>),
    NoNextHop,
    TooLong,
}

/// What an export needs beside route and key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exporter<'a> {
    pub(super) key: &'a GroupKey,
    pub(super) family: Family,
    pub(super) local_asn: u32,
    pub(super) cluster_id: Ipv4Addr,
}

impl Exporter<'_> {
    /// What the protocol itself keeps from this group, whatever the policy says.
    pub(super) fn check(&self, source: Source, attributes: &PathAttributes) -> Result<(), Refusal> {
        let internal = self.key.kind == PeerKind::Internal;
        if internal && source.kind == SourceMatch::Internal && !source.client && !self.key.client {
            return Err(Refusal::InternalToInternal);
        }
        if attributes.only_to_customer.is_some() && self.key.role.is_some_and(keeps_down) {
            return Err(Refusal::OnlyToCustomer);
        }
        if attributes.communities.is_empty() {
            return Ok(());
        }
        if self.key.long_lived == LongLived::Withheld
            && attributes.communities.contains(&Community::LLGR_STALE)
        {
            return Err(Refusal::LongLivedStale);
        }
        if attributes.communities.contains(&Community::NO_ADVERTISE) {
            return Err(Refusal::NoAdvertise);
        }
        if !internal && attributes.communities.contains(&Community::NO_EXPORT) {
            return Err(Refusal::NoExport);
        }
        if !internal && attributes.communities.contains(&Community::NO_EXPORT_SUBCONFED) {
            return Err(Refusal::NoExportSubconfed);
        }
        Ok(())
    }

    /// The attributes as the group gets them, `actions` being the policy's.
    pub(super) fn transform(
        &self,
        source: Source,
        attributes: &PathAttributes,
        actions: Option<&Actions>,
    ) -> Result<PathAttributes, Refusal> {
        let next_hop = self.next_hop(source, attributes)?;
        let mut out = attributes.clone();
        out.next_hop = Some(next_hop);
        match self.key.kind {
            PeerKind::External => self.shape_for_external(source, &mut out, actions),
            PeerKind::Internal => self.shape_for_internal(source, &mut out, actions),
        }
        Ok(out)
    }

    fn shape_for_external(&self, source: Source, out: &mut PathAttributes, actions: Option<&Actions>) {
        if source.kind != SourceMatch::Local {
            out.med = None;
        }
        if let Some(actions) = actions {
            actions.apply(out);
        }
        out.local_pref = None;
        out.originator_id = None;
        out.cluster_list = Box::default();
        if !out.extended_communities.is_empty() {
            out.extended_communities =
                out.extended_communities.without(|community| !community.is_transitive());
        }
        if self.key.role.is_some_and(marks_what_goes) {
            out.only_to_customer.get_or_insert(self.local_asn);
        }
        if self.key.drain {
            out.communities = out.communities.with([Community::GRACEFUL_SHUTDOWN]);
        }
        let more = actions.map_or(0, |actions| actions.prepend);
        // An internal peer may be in a confederation whose members mean nothing outside of it (RFC 5065 §4.1 c).
        out.as_path = out.as_path.without_confederation().prepend(self.local_asn, 1 + usize::from(more));
    }

    fn shape_for_internal(&self, source: Source, out: &mut PathAttributes, actions: Option<&Actions>) {
        if let Some(actions) = actions {
            actions.apply(out);
        }
        out.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
        if self.key.drain {
            out.local_pref = Some(0);
        }
        if self.key.long_lived == LongLived::Demoted && out.communities.contains(&Community::LLGR_STALE) {
            out.local_pref = Some(0);
            out.communities = out.communities.with([Community::NO_EXPORT]);
        }
        if source.kind == SourceMatch::Internal {
            out.originator_id.get_or_insert(source.router_id);
            let clusters = std::iter::once(self.cluster_id).chain(out.cluster_list.iter().copied());
            out.cluster_list = clusters.collect();
        }
    }

    /// Whether a prefix fits behind the attributes into the longest message the group reads.
    pub(super) fn check_length(&self, attributes: &PathAttributes) -> Result<(), Refusal> {
        let longest = self.key.encode.max_message_len();
        if length_at_most(attributes) <= longest {
            return Ok(());
        }
        let next_hop = attributes.next_hop.ok_or(Refusal::NoNextHop)?;
        let block = AttributeBlock::encode(attributes, &self.key.encode);
        let mut message = BytesMut::new();
        match UpdateWriter::reach(&mut message, &block, self.family, &next_hop, &self.key.encode) {
            Ok(_) => Ok(()),
            Err(EncodeError::TooLong { .. }) => Err(Refusal::TooLong),
            Err(_) => Err(Refusal::NoNextHop),
        }
    }

    fn next_hop(&self, source: Source, attributes: &PathAttributes) -> Result<NextHop, Refusal> {
        let keeps = self.key.kind == PeerKind::Internal || source.kind == SourceMatch::Local;
        let kept = attributes.next_hop.as_ref().filter(|_| keeps).and_then(beyond_the_link);
        let next_hop = kept.or(self.key.next_hop_self).ok_or(Refusal::NoNextHop)?;
        let readable = match next_hop {
            NextHop::V4(_) => self.family == Family::IPV4_UNICAST,
            NextHop::V6 { .. } => self.family == Family::IPV6_UNICAST || self.key.encode.extended_next_hop,
        };
        readable.then_some(next_hop).ok_or(Refusal::NoNextHop)
    }
}

/// A next hop as it can be told to somebody on another link: without its link-local part, and not at all if that is all.
fn beyond_the_link(next_hop: &NextHop) -> Option<NextHop> {
    match next_hop.address() {
        IpAddr::V6(address) if address.is_unicast_link_local() => None,
        address => Some(NextHop::from(address)),
    }
}

/// An upper bound of the length of a message with one prefix and these attributes, cheaper than encoding them.
fn length_at_most(attributes: &PathAttributes) -> usize {
    let segments = attributes.as_path.segments().count();
    let path = attributes.as_path.asns().count() * 4 + segments * 2;
    // Old speakers get the path and the aggregator twice (RFC 6793 §4.2.2).
    let communities = attributes.communities.len() * 4
        + attributes.extended_communities.len() * 8
        + attributes.large_communities.len() * 12;
    let unknown: usize = attributes.unknown.iter().map(|unknown| unknown.value.len() + 4).sum();
    EVERYTHING_ELSE + 2 * path + communities + attributes.cluster_list.len() * 4 + unknown
}

/// Header, length fields, attribute headers, fixed-size attributes, next hops and a prefix, with room to spare.
const EVERYTHING_ELSE: usize = 256;

#[cfg(test)]
mod tests;
