//! Extended messages (RFC 8654) with the daemons that have them: BIRD sends rutter an UPDATE of more than 4,096 octets,
//! rutter sends it on to FRR and back to another BIRD.

use anyhow::ensure;
use frr_interop_tests::{Oracle, run};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

const PREFIX: &str = "20.1.0.0/16";
/// Six thousand octets of communities.
const COMMUNITIES: usize = 1_500;

#[test]
fn a_long_update_passes_from_bird_through_rutter_to_frr_and_bird() {
    run("extended-messages", &["from", "frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let adds: String =
            (0..COMMUNITIES).map(|value| format!("bgp_community.add((65001,{value}));\n")).collect();
        let filter = format!("filter many {{ {adds} accept; }}\n");
        let session = "enable extended messages on; ipv4 { import all; export filter many; };";
        let wants = Wants { networks: &[PREFIX], session, more: &filter, ..Wants::default() };
        let from = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let wants = Wants { session: "enable extended messages on;", ..Wants::default() };
        let to = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", wants))?;

        frr.wait_path_that(PREFIX, &|path| path.communities.len() == COMMUNITIES)?;
        // BIRD shows the beginning of a long list only; without extended messages it would have no path at all.
        to.wait_path_that(PREFIX, &|path| path.communities.len() > 30)?;
        let before = from.wait_established("10.0.1.1")?;
        let shown = bgpd.get("/v1/show/bgp/neighbors")?;
        for neighbor in ["10.0.1.2", "10.0.2.2", "10.0.3.2"] {
            let capability = &shown[neighbor]["neighborCapabilities"]["extendedMessage"];
            ensure!(*capability == "advertisedAndReceived", "{neighbor}: {capability}");
        }
        // It goes as it came.
        let less = Wants { session: "enable extended messages on;", networks: &[], ..Wants::default() };
        from.reconfigure(&bird(1, 65_001, "10.0.1.1", less))?;
        frr.wait_gone(PREFIX)?;
        to.wait_gone(PREFIX)?;
        from.ensure_same_session("10.0.1.1", &before)
    });
}
