//! What is made of a received path before it may take part: the checks of the protocol, then the import policy
//! (RFC 4271 §6.3, §9.1.1, §9.1.2; RFC 4456 §8; RFC 9234 §5; RFC 8326 §4).
//!
//! Whatever fails a check stays in the Adj-RIB-In with the name of the check: an operator can see it, and a changed policy
//! or next hop can let it in without asking the peer again.
//!
//! Invariant: the outcome depends on the received attributes, the prefix, the peer and the configuration, so looking at a
//! path again without a change of those changes nothing.

use std::borrow::Cow;
use std::net::IpAddr;

use bgp_wire::{Community, PathAttributes, PeerKind};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::policy::{Candidate, Outcome, SourceMatch, Verdict};

use super::interner::{AttrId, Interner};
use super::loc::Judges;
use super::nexthop::{NextHopState, is_host};
use super::only_to_customer::{is_leak, marks_what_comes};
use super::path::Standing;
use super::peer::Peer;
use super::reason::Ineligible;

/// The import of paths with equal received attributes from one peer: the checks once, the policy per prefix.
#[derive(Debug)]
pub(super) struct Import {
    received: AttrId,
    /// The attributes that the policy is put to.
    base: AttrId,
    refused: Option<Ineligible>,
    /// Attributes by the statement that accepted, so that each is computed once.
    accepted: SmallVec<[(Option<u32>, AttrId); 4]>,
}

impl Import {
    /// Checks `received` and holds what it needs until [`Import::finish`].
    ///
    /// With `aged` the paths are kept as a last resort: they carry LLGR_STALE, whatever the policy says (RFC 9494 §4.2).
    pub(super) fn new(
        judges: Judges<'_>,
        interner: &mut Interner,
        peer: &Peer,
        received: AttrId,
        aged: bool,
    ) -> Self {
        interner.hold(received, 1);
        let attributes = interner.get(received).clone();
        let refused = check(judges, peer, &attributes);
        let mut base = without_foreign_attributes(peer, &attributes);
        if aged && !base.communities.contains(&Community::LLGR_STALE) {
            let base = base.to_mut();
            base.communities = base.communities.with([Community::LLGR_STALE]);
        }
        let params = &peer.params;
        if params.role.is_some_and(marks_what_comes) && base.only_to_customer.is_none() {
            base.to_mut().only_to_customer = Some(params.remote_asn);
        }
        if leaves(peer, &base) && base.local_pref != Some(0) {
            base.to_mut().local_pref = Some(0);
        }
        let base = match base {
            Cow::Borrowed(_) => {
                interner.hold(received, 1);
                received
            }
            Cow::Owned(base) => interner.intern_owned(base),
        };
        Self { received, base, refused, accepted: SmallVec::new() }
    }

    /// Attributes and standing of the path to one prefix.
    pub(super) fn apply(
        &mut self,
        interner: &mut Interner,
        peer: &Peer,
        prefix: &IpNet,
    ) -> (AttrId, Standing) {
        if let Some(reason) = self.refused {
            return (self.received, Standing::Ineligible(reason));
        }
        if !is_unicast(prefix, peer.params.remote_address) {
            return (self.received, Standing::Ineligible(Ineligible::NotUnicast));
        }
        let Some(policy) = &peer.import else { return (self.base, Standing::Eligible) };
        let outcome = outcome(interner, peer, prefix, self.base);
        if outcome.verdict == Verdict::Reject {
            return (self.received, Standing::Ineligible(Ineligible::ImportPolicy));
        }
        let known = self.accepted.iter().find(|(statement, _)| *statement == outcome.statement);
        if let Some((_, effective)) = known {
            return (*effective, Standing::Eligible);
        }
        let effective = match policy.actions(outcome) {
            None => {
                interner.hold(self.base, 1);
                self.base
            }
            Some(actions) => {
                let mut attributes = PathAttributes::clone(interner.get(self.base));
                actions.apply(&mut attributes);
                if leaves(peer, &attributes) {
                    attributes.local_pref = Some(0);
                }
                interner.intern_owned(attributes)
            }
        };
        self.accepted.push((outcome.statement, effective));
        (effective, Standing::Eligible)
    }

    /// Lets go of everything.
    pub(super) fn finish(self, interner: &mut Interner) {
        interner.release(self.received);
        interner.release(self.base);
        for (_, effective) in self.accepted {
            interner.release(effective);
        }
    }
}

/// What the import policy says about a path, for imports and for explaining them. Accepts if there is no policy.
pub(super) fn outcome(interner: &Interner, peer: &Peer, prefix: &IpNet, attributes: AttrId) -> Outcome {
    let Some(policy) = &peer.import else { return Outcome { verdict: Verdict::Accept, statement: None } };
    let source = match peer.params.kind {
        PeerKind::Internal => SourceMatch::Internal,
        PeerKind::External => SourceMatch::External,
    };
    policy.evaluate(Candidate { prefix, attributes: interner.get(attributes), source })
}

/// Whether a path is going to end soon, by the external peer's word or by ours: then every other one is better, whatever the
/// policy says (RFC 8326 §4.1, §4.2).
fn leaves(peer: &Peer, attributes: &PathAttributes) -> bool {
    let params = &peer.params;
    let said = attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN);
    params.kind == PeerKind::External && (params.drain || said && !params.ignore_graceful_shutdown)
}

/// The first check that a path fails.
fn check(judges: Judges<'_>, peer: &Peer, attributes: &PathAttributes) -> Option<Ineligible> {
    let params = &peer.params;
    if attributes.as_path.contains(judges.config.local_asn) {
        return Some(Ineligible::AsLoop);
    }
    match params.kind {
        PeerKind::Internal => {
            if attributes.originator_id == Some(judges.config.router_id) {
                return Some(Ineligible::OwnOriginatorId);
            }
            if attributes.cluster_list.contains(&judges.config.cluster_id) {
                return Some(Ineligible::ClusterLoop);
            }
        }
        PeerKind::External => {
            let first = attributes.as_path.first_asn();
            if params.enforce_first_as && first != Some(params.remote_asn) {
                return Some(Ineligible::FirstAsMismatch);
            }
            let leak = |(role, value)| is_leak(role, params.remote_asn, value);
            if params.role.zip(attributes.only_to_customer).is_some_and(leak) {
                return Some(Ineligible::RouteLeak);
            }
        }
    }
    let Some(next_hop) = attributes.next_hop.filter(|next_hop| is_host(next_hop, params.remote_address))
    else {
        return Some(Ineligible::InvalidNextHop);
    };
    if params.is_own_address(next_hop.address()) {
        return Some(Ineligible::OwnNextHop);
    }
    match judges.next_hops.state(attributes) {
        NextHopState::Unreachable => Some(Ineligible::UnreachableNextHop),
        NextHopState::Reachable { .. } => None,
    }
}

/// Whether a prefix can be a destination for unicast routes: RFC 4271 §6.3 has the others logged and ignored, one by one.
/// Loopback addresses are, on a session that itself runs over loopback.
fn is_unicast(prefix: &IpNet, session: IpAddr) -> bool {
    // A shorter prefix covers more than the range it begins in, the default route first of all.
    match prefix {
        IpNet::V4(prefix) => {
            let (address, length) = (prefix.network(), prefix.prefix_len());
            let multicast = length >= 4 && address.is_multicast();
            let loopback = length >= 8 && address.is_loopback();
            !multicast && (!loopback || session.is_loopback())
        }
        IpNet::V6(prefix) => {
            let (address, length) = (prefix.network(), prefix.prefix_len());
            let multicast = length >= 8 && address.is_multicast();
            let link_local = length >= 10 && address.is_unicast_link_local();
            let loopback = length == 128 && address.is_loopback();
            !multicast && !link_local && (!loopback || session.is_loopback())
        }
    }
}

/// LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST mean nothing beyond their AS (RFC 4271 §5.1.5, RFC 7606 §7.9, §7.10).
fn without_foreign_attributes<'a>(peer: &Peer, attributes: &'a PathAttributes) -> Cow<'a, PathAttributes> {
    let foreign = attributes.local_pref.is_some()
        || attributes.originator_id.is_some()
        || !attributes.cluster_list.is_empty();
    if peer.params.kind == PeerKind::Internal || !foreign {
        return Cow::Borrowed(attributes);
    }
    let mut own = attributes.clone();
    own.local_pref = None;
    own.originator_id = None;
    own.cluster_list = Box::default();
    Cow::Owned(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicast_destinations() {
        let session = IpAddr::from([192, 0, 2, 1]);
        let is = |prefix: &str, session| is_unicast(&prefix.parse().unwrap(), session);
        for prefix in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "240.0.0.0/4",
            "224.0.0.0/3",
            "::/0",
            "2001:db8::/32",
            "fc00::/7",
            "fe00::/7",
        ] {
            assert!(is(prefix, session), "{prefix}");
        }
        for prefix in [
            "224.0.0.0/4",
            "239.1.2.0/24",
            "127.0.0.0/8",
            "127.0.0.1/32",
            "ff00::/8",
            "ff02::1/128",
            "fe80::/64",
            "::1/128",
        ] {
            assert!(!is(prefix, session), "{prefix}");
        }
        assert!(is("127.0.1.0/24", IpAddr::from([127, 0, 0, 1])));
    }
}
