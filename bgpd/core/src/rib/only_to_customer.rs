//! Which way routes may go, by our role towards a neighbour (RFC 9234 §5).
//!
//! | our role | the neighbour is | a route with the attribute | a route without it |
//! |---|---|---|---|
//! | customer | provider | comes in, does not go out | gets the neighbour's AS when it comes in |
//! | rs-client | route server | the same | the same |
//! | peer | peer | comes in if it names the neighbour, does not go out | gets the neighbour's AS on the way in, ours on the way out |
//! | provider | customer | is a leak when it comes in, goes out | gets our AS on the way out |
//! | rs-server | its client | the same | the same |
//!
//! Without a role, and between routers of one AS, the attribute is passed on as it is. What the neighbour said about itself
//! plays no part: a role that does not fit ours ended the session before it began.
//!
//! Invariant: whoever has a role sends no route up or sideways that already came down or sideways.

use bgp_wire::Role;

/// Whether a route with this value must not have come from the neighbour (§5, ingress 1 and 2).
pub(super) fn is_leak(role: Role, remote_asn: u32, only_to_customer: u32) -> bool {
    match role {
        Role::Provider | Role::RouteServer => true,
        Role::Peer => only_to_customer != remote_asn,
        Role::Customer | Role::RouteServerClient | Role::Unassigned(_) => false,
    }
}

/// Whether a route without the attribute gets the neighbour's AS when it comes in (§5, ingress 3).
pub(super) fn marks_what_comes(role: Role) -> bool {
    matches!(role, Role::Customer | Role::RouteServerClient | Role::Peer)
}

/// Whether a route without the attribute gets our AS when it goes out (§5, egress 1).
pub(super) fn marks_what_goes(role: Role) -> bool {
    matches!(role, Role::Provider | Role::RouteServer | Role::Peer)
}

/// Whether a route with the attribute may not go to the neighbour (§5, egress 2).
pub(super) fn keeps_down(role: Role) -> bool {
    matches!(role, Role::Customer | Role::RouteServerClient | Role::Peer)
}
