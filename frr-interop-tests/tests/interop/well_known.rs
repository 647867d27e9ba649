//! Well-known communities (RFC 1997, RFC 8326 by policy only): what must not be told to whom.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, run};

use crate::daemons::{RUTTER, Wants, announce_by_gobgp, bird, frr, gobgp, over_v4, rutter};

/// GoBGP, the sender, does not honour these communities itself, so rutter gets all four routes.
#[test]
fn learned_routes_stay_where_their_communities_say() {
    run("well-known", &["sender", "external", "internal"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, RUTTER)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let sender = star.peer(1)?.gobgp(&gobgp(1, 65_001, "10.0.1.1", Wants::default()))?;
        announce_by_gobgp(
            &sender,
            &[
                "198.51.1.0/24 community no-export",
                "198.51.2.0/24 community no-advertise",
                "198.51.3.0/24 community no-export-subconfed",
                "198.51.4.0/24 community 65001:1",
            ],
        )?;
        let external = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let internal = star.peer(3)?.frr(&frr(3, RUTTER, "10.0.3.1", Wants::default()))?;
        external.wait_path("198.51.4.0/24")?;
        let path = internal.wait_path("198.51.1.0/24")?;
        ensure!(path.communities.contains("65535:65281"), "{path:?}");
        internal.wait_path("198.51.3.0/24")?;
        internal.wait_path("198.51.4.0/24")?;
        external.ensure_absent_for("198.51.1.0/24", Duration::from_secs(2))?;
        external.ensure_absent_for("198.51.2.0/24", Duration::from_millis(200))?;
        external.ensure_absent_for("198.51.3.0/24", Duration::from_millis(200))?;
        internal.ensure_absent_for("198.51.2.0/24", Duration::from_millis(200))
    });
}

/// A community that the export policy attaches is a message to the neighbour, not to rutter: Cilium's advertisements
/// with `no-export` reach the ToR, which keeps them to itself.
#[test]
fn a_community_set_towards_a_peer_is_for_that_peer() {
    let policy = "export: {name: p, defaultAction: accept, statements: [\
        {name: s, action: accept, set: {addCommunities: [no-export]}}]}";
    run("well-known-set", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001).with(policy), over_v4(2, 65_002).with(policy)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        for oracle in [&frr as &dyn Oracle, &bird] {
            let path = oracle.wait_path("203.0.113.0/24")?;
            ensure!(path.communities.contains("65535:65281"), "{}: {path:?}", oracle.kind());
        }
        Ok(())
    });
}
