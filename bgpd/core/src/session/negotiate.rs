//! What two OPENs agree on, or why they do not (RFC 4271 §6.2, RFC 5492, RFC 4760 §8, RFC 6286, RFC 7313,
//! RFC 7911 §4, RFC 8654, RFC 8950).
//!
//! The codec has already refused what no speaker may send (version, Hold Time of 1 or 2, identifier or ASN of zero); here
//! is what depends on who we are.
//!
//! Invariant: a session has at least one family, and every capability in [`Negotiated`] was offered by both sides if it
//! takes both.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::{AddPath, AddPathMode, Capability, Family, FamilySet, Notification, Open, Role};
use bytes::{BufMut, BytesMut};

use crate::config::Timers;
use crate::view::Negotiated;

/// Our side of a negotiation.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) local_asn: u32,
    pub(crate) router_id: Ipv4Addr,
    /// The peer's ASN as configured. Absent: any.
    pub(crate) remote_asn: Option<u32>,
    /// Any of these, if not empty.
    pub(crate) remote_asns: Arc<[u32]>,
    pub(crate) timers: Timers,
    pub(crate) families: FamilySet,
    pub(crate) capabilities: Vec<Capability>,
    /// What we are to an external peer.
    pub(crate) role: Option<Role>,
    pub(crate) strict_role: bool,
}

/// Why a peer's OPEN cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenRefusal {
    /// Bad Peer AS.
    #[error("the peer is AS {actual}, configured is AS {expected}")]
    PeerAs { expected: u32, actual: u32 },
    /// Bad Peer AS, too: none of several.
    #[error("the peer is AS {actual}, configured are only {allowed:?}")]
    PeerAsNotListed { allowed: Arc<[u32]>, actual: u32 },
    /// Bad BGP Identifier: RFC 6286 §2.2 allows a duplicate only across ASes.
    #[error("the peer has our router ID {0}; internal peers need different ones")]
    RouterId(Ipv4Addr),
    /// Role Mismatch (RFC 9234 §4.2).
    #[error("roles do not fit: we are {} to the peer, the peer says it is {}", ours.label(), theirs.label())]
    RoleMismatch { ours: Role, theirs: Role },
    /// Role Mismatch: strict, and the peer says nothing.
    #[error("we are {} to the peer and strict about it, and the peer does not say what it is", ours.label())]
    RoleMissing { ours: Role },
    /// Unsupported Capability: nothing to exchange routes of.
    #[error("no address family in common: configured {configured:?}, the peer offers {offered:?}")]
    NoCommonFamily { configured: FamilySet, offered: FamilySet },
}

impl OpenRefusal {
    /// The NOTIFICATION that tells the peer.
    pub(crate) fn notification(&self) -> Notification {
        match self {
            Self::PeerAs { .. } | Self::PeerAsNotListed { .. } => Notification::new(OPEN_ERROR, 2),
            Self::RouterId(_) => Notification::new(OPEN_ERROR, 3),
            Self::RoleMismatch { .. } | Self::RoleMissing { .. } => {
                Notification::new(OPEN_ERROR, ROLE_MISMATCH)
            }
            Self::NoCommonFamily { configured, .. } => {
                // RFC 5492 §5: the capabilities that the peer lacks, as they would stand in its OPEN.
                let mut data = BytesMut::new();
                for Family { afi, safi } in configured.iter() {
                    data.put_slice(&[MULTI_PROTOCOL, 4]);
                    data.put_u16(afi);
                    data.put_slice(&[0, safi]);
                }
                Notification { code: OPEN_ERROR, subcode: 7, data: data.freeze() }
            }
        }
    }
}

/// Puts our offer and the peer's OPEN together.
pub(crate) fn negotiate(offer: Offer, open: Open) -> Result<Negotiated, OpenRefusal> {
    if let Some(expected) = offer.remote_asn.filter(|expected| *expected != open.asn) {
        return Err(OpenRefusal::PeerAs { expected, actual: open.asn });
    }
    let listed = offer.remote_asns.is_empty() || offer.remote_asns.contains(&open.asn);
    if offer.remote_asn.is_none() && !listed {
        return Err(OpenRefusal::PeerAsNotListed { allowed: offer.remote_asns, actual: open.asn });
    }
    if open.asn == offer.local_asn && open.router_id == offer.router_id {
        return Err(OpenRefusal::RouterId(open.router_id));
    }
    if open.asn != offer.local_asn {
        check_role(offer.role, offer.strict_role, &open.capabilities)?;
    }
    let theirs = Theirs::read(&open.capabilities);
    let families = offer.families.intersection(theirs.families);
    if families.is_empty() {
        return Err(OpenRefusal::NoCommonFamily { configured: offer.families, offered: theirs.families });
    }
    let extended_next_hop_offered =
        offer.capabilities.iter().any(|capability| matches!(capability, Capability::ExtendedNextHop(_)));
    let refreshes = |capabilities: &[Capability]| capabilities.contains(&Capability::EnhancedRouteRefresh);
    let enhanced_refresh = refreshes(&offer.capabilities) && refreshes(&open.capabilities);
    let (add_path_receive, add_path_send) = add_path(&offer.capabilities, &open.capabilities, families);
    let hold_time = Duration::from_secs(open.hold_time.min(offer.timers.hold).into());
    Ok(Negotiated {
        remote_asn: open.asn,
        remote_router_id: open.router_id,
        remote_hold_time: open.hold_time,
        hold_time,
        keepalive_interval: keepalive_interval(hold_time, offer.timers.keepalive),
        families,
        four_octet_as: theirs.four_octet_as,
        extended_message: theirs.extended_message,
        extended_next_hop: theirs.extended_next_hop && extended_next_hop_offered,
        route_refresh: theirs.route_refresh || enhanced_refresh,
        enhanced_refresh,
        add_path_receive,
        add_path_send,
        capabilities_sent: offer.capabilities,
        capabilities_received: open.capabilities,
    })
}

/// Families in which the peer sends several paths and we take them, and those in which it is the other way round
/// (RFC 7911 §4). Of several entries for one family the last counts, as of anything else that is said twice.
pub(crate) fn add_path(
    ours: &[Capability],
    theirs: &[Capability],
    families: FamilySet,
) -> (FamilySet, FamilySet) {
    let mode = |capabilities: &[Capability], family: Family| {
        let entries = capabilities.iter().filter_map(|capability| match capability {
            Capability::AddPath(entries) => Some(entries),
            _ => None,
        });
        let known =
            |entry: &&AddPath| entry.family == family && (entry.mode.sends() || entry.mode.receives());
        entries.flatten().filter(known).last().map_or(AddPathMode::Undefined(0), |entry| entry.mode)
    };
    let both = |we: fn(AddPathMode) -> bool, they: fn(AddPathMode) -> bool| -> FamilySet {
        families.iter().filter(|family| we(mode(ours, *family)) && they(mode(theirs, *family))).collect()
    };
    (both(AddPathMode::receives, AddPathMode::sends), both(AddPathMode::sends, AddPathMode::receives))
}

/// Families that a peer with these capabilities can be spoken to about.
pub(crate) fn families_of(capabilities: &[Capability]) -> FamilySet {
    Theirs::read(capabilities).families
}

/// A third of the Hold Time, or what is configured if that is shorter (RFC 4271 §4.4); nothing without a Hold Time.
pub(crate) fn keepalive_interval(hold_time: Duration, configured: u16) -> Duration {
    let third = hold_time / 3;
    match configured {
        0 => third,
        secs => third.min(Duration::from_secs(secs.into())),
    }
}

#[derive(Default)]
struct Theirs {
    families: FamilySet,
    four_octet_as: bool,
    extended_message: bool,
    extended_next_hop: bool,
    route_refresh: bool,
}

impl Theirs {
    fn read(capabilities: &[Capability]) -> Self {
        let mut theirs = Self::default();
        let mut multi_protocol = false;
        for capability in capabilities {
            match capability {
                Capability::MultiProtocol(family) => {
                    multi_protocol = true;
                    theirs.families.insert(*family);
                }
                Capability::RouteRefresh => theirs.route_refresh = true,
                Capability::ExtendedMessage => theirs.extended_message = true,
                Capability::FourOctetAs(_) => theirs.four_octet_as = true,
                Capability::ExtendedNextHop(tuples) => {
                    theirs.extended_next_hop |= tuples.iter().any(|tuple| {
                        tuple.nlri == Family::IPV4_UNICAST && tuple.next_hop_afi == Family::IPV6_UNICAST.afi
                    });
                }
                _ => {}
            }
        }
        if !multi_protocol {
            // A speaker that names no family speaks plain RFC 4271.
            theirs.families.insert(Family::IPV4_UNICAST);
        }
        theirs
    }
}

/// Whether the two roles fit (RFC 9234 §4.2). Of several that contradict each other at least one does not.
fn check_role(ours: Option<Role>, strict: bool, theirs: &[Capability]) -> Result<(), OpenRefusal> {
    let Some(ours) = ours else { return Ok(()) };
    let mut said = theirs.iter().filter_map(|capability| match capability {
        Capability::Role(role) => Some(*role),
        _ => None,
    });
    let mut none = true;
    let misfit = said.by_ref().inspect(|_| none = false).find(|theirs| !ours.fits(*theirs));
    match misfit {
        Some(theirs) => Err(OpenRefusal::RoleMismatch { ours, theirs }),
        None if none && strict => Err(OpenRefusal::RoleMissing { ours }),
        None => Ok(()),
    }
}

/// Role Mismatch (RFC 9234 §4.2).
const ROLE_MISMATCH: u8 = 11;
/// OPEN Message Error.
const OPEN_ERROR: u8 = 2;
/// Capability code of multiprotocol extensions.
const MULTI_PROTOCOL: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use bgp_wire::ExtendedNextHop;

    fn offer(capabilities: Vec<Capability>) -> Offer {
        Offer {
            local_asn: 65001,
            router_id: Ipv4Addr::new(10, 0, 0, 1),
            remote_asn: Some(65002),
            remote_asns: Arc::from([]),
            timers: Timers { hold: 90, keepalive: 30, connect_retry: 120 },
            families: FamilySet::ALL,
            capabilities,
            role: None,
            strict_role: false,
        }
    }

    fn open(capabilities: Vec<Capability>) -> Open {
        Open { asn: 65002, hold_time: 180, router_id: Ipv4Addr::new(10, 0, 0, 2), capabilities }
    }

    #[test]
    fn asn_must_be_the_configured_one_or_anything() {
        let mut ours = offer(vec![]);
        ours.remote_asn = Some(65003);
        let refusal = negotiate(ours.clone(), open(vec![])).unwrap_err();
        assert_eq!(refusal.to_string(), "the peer is AS 65002, configured is AS 65003");
        assert_eq!(refusal.notification(), Notification::new(2, 2));
        ours.remote_asn = None;
        assert_eq!(negotiate(ours, open(vec![])).unwrap().remote_asn, 65002);
    }

    #[test]
    fn router_id_may_be_shared_only_across_ases() {
        let mut theirs = open(vec![]);
        theirs.router_id = Ipv4Addr::new(10, 0, 0, 1);
        assert!(negotiate(offer(vec![]), theirs.clone()).is_ok());
        theirs.asn = 65001;
        let ours = Offer { remote_asn: Some(65001), ..offer(vec![]) };
        assert_eq!(negotiate(ours, theirs).unwrap_err().notification(), Notification::new(2, 3));
    }

    #[test]
    fn families_are_those_of_both() {
        let v6 = Capability::MultiProtocol(Family::IPV6_UNICAST);
        let vpn = Capability::MultiProtocol(Family { afi: 1, safi: 128 });
        let families = |theirs| negotiate(offer(vec![]), open(theirs)).map(|negotiated| negotiated.families);
        assert_eq!(families(vec![]), Ok(FamilySet::IPV4_UNICAST), "no capability: RFC 4271 alone");
        assert_eq!(families(vec![v6.clone(), vpn.clone()]), Ok(FamilySet::IPV6_UNICAST));
        let refusal = families(vec![vpn]).unwrap_err();
        assert_eq!(refusal.notification().subcode, 7);
        assert_eq!(refusal.notification().data.as_ref(), [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]);
        let ours = Offer { families: FamilySet::IPV4_UNICAST, ..offer(vec![]) };
        assert!(matches!(negotiate(ours, open(vec![v6])), Err(OpenRefusal::NoCommonFamily { .. })));
    }

    #[test]
    fn timers_are_the_smaller_ones() {
        let agreed = |hold, keepalive, theirs| {
            let mut ours = offer(vec![]);
            ours.timers = Timers { hold, keepalive, connect_retry: 1 };
            let negotiated = negotiate(ours, Open { hold_time: theirs, ..open(vec![]) }).unwrap();
            (negotiated.hold_time.as_secs(), negotiated.keepalive_interval.as_secs_f32())
        };
        assert_eq!(agreed(90, 30, 180), (90, 30.0));
        assert_eq!(agreed(90, 30, 9), (9, 3.0));
        assert_eq!(agreed(90, 10, 90), (90, 10.0));
        assert_eq!(agreed(90, 0, 90), (90, 30.0));
        assert_eq!(agreed(4, 4, 90).0, 4);
        assert!(agreed(4, 4, 90).1 < 1.34, "a third, not a whole second");
        assert_eq!(agreed(0, 0, 90), (0, 0.0));
        assert_eq!(agreed(90, 30, 0), (0, 0.0));
    }

    #[test]
    fn several_paths_go_where_one_sends_and_the_other_takes_them() {
        use AddPathMode::{Both, Receive, Send, Undefined};
        let entry = |family, mode| AddPath { family, mode };
        let v4 = |mode| Capability::AddPath(vec![entry(Family::IPV4_UNICAST, mode)]);
        let (none, one) = (FamilySet::EMPTY, FamilySet::IPV4_UNICAST);
        let rows = [
            (v4(Both), v4(Both), (one, one)),
            (v4(Receive), v4(Both), (one, none)),
            (v4(Send), v4(Both), (none, one)),
            (v4(Send), v4(Receive), (none, one)),
            (v4(Send), v4(Send), (none, none)),
            (v4(Receive), v4(Receive), (none, none)),
            (v4(Both), v4(Undefined(7)), (none, none)),
            (v4(Both), Capability::AddPath(vec![entry(Family::IPV6_UNICAST, Both)]), (none, none)),
            (
                v4(Both),
                Capability::AddPath(vec![
                    entry(Family::IPV4_UNICAST, Both),
                    entry(Family::IPV4_UNICAST, Send),
                ]),
                (one, none),
            ),
        ];
        for (ours, theirs, (receive, send)) in rows {
            let context = format!("{ours:?} {theirs:?}");
            let negotiated = negotiate(offer(vec![ours]), open(vec![theirs])).unwrap();
            assert_eq!((negotiated.add_path_receive, negotiated.add_path_send), (receive, send), "{context}");
        }
        // Not where the family itself is not.
        let v6 = Capability::MultiProtocol(Family::IPV6_UNICAST);
        let negotiated = negotiate(offer(vec![v4(Both)]), open(vec![v6, v4(Both)])).unwrap();
        assert_eq!((negotiated.add_path_receive, negotiated.add_path_send), (none, none));
    }

    #[test]
    fn what_takes_both_needs_both() {
        let tuple = ExtendedNextHop { nlri: Family::IPV4_UNICAST, next_hop_afi: 2 };
        let next_hop = Capability::ExtendedNextHop(vec![tuple]);
        let all = vec![
            Capability::ExtendedMessage,
            Capability::FourOctetAs(65002),
            Capability::RouteRefresh,
            next_hop.clone(),
        ];
        let negotiated = negotiate(offer(vec![]), open(all.clone())).unwrap();
        assert!(negotiated.extended_message && negotiated.four_octet_as && negotiated.route_refresh);
        assert!(!negotiated.extended_next_hop, "we did not offer it");
        assert!(negotiate(offer(vec![next_hop]), open(all)).unwrap().extended_next_hop);
        let plain = negotiate(offer(vec![]), open(vec![])).unwrap();
        assert!(!plain.extended_message && !plain.four_octet_as && !plain.route_refresh);
    }

    #[test]
    fn roles_must_fit() {
        use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient, Unassigned};
        let fitting = [
            (Provider, Customer),
            (Customer, Provider),
            (RouteServer, RouteServerClient),
            (RouteServerClient, RouteServer),
            (Peer, Peer),
        ];
        let all = [Provider, Customer, RouteServer, RouteServerClient, Peer, Unassigned(9)];
        let agreed = |ours: Option<Role>, strict_role, theirs: &[Role]| {
            let offer = Offer { role: ours, strict_role, ..offer(vec![]) };
            negotiate(offer, open(theirs.iter().map(|role| Capability::Role(*role)).collect())).map(|_| ())
        };
        for ours in all.into_iter().take(5) {
            for theirs in all {
                let outcome = agreed(Some(ours), false, &[theirs]);
                assert_eq!(outcome.is_ok(), fitting.contains(&(ours, theirs)), "{ours:?} {theirs:?}");
                if let Err(refusal) = outcome {
                    assert_eq!(refusal.notification(), Notification::new(2, 11));
                }
            }
        }
        assert!(agreed(None, false, &[Provider]).is_ok());
        assert!(agreed(Some(Peer), false, &[]).is_ok());
        assert_eq!(agreed(Some(Peer), true, &[]), Err(OpenRefusal::RoleMissing { ours: Peer }));
        assert!(agreed(Some(Peer), false, &[Peer, Peer]).is_ok());
        assert!(agreed(Some(Peer), false, &[Peer, Customer]).is_err(), "it cannot be both");
        let internal = Offer { role: Some(Peer), remote_asn: None, local_asn: 65002, ..offer(vec![]) };
        assert!(negotiate(internal, open(vec![Capability::Role(Provider)])).is_ok(), "not within an AS");
    }
}
