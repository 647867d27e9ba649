//! Settings of a session that only the other side can judge: ports, source addresses, TTL, and what a reload does with
//! passwords, ASNs and addresses.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::{Lab, wait_for};

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, over_v6, rutter};

#[test]
fn another_port() {
    run("port", &["bird"], |star| {
        let config = rutter(RUTTER, &[over_v4(1, 65_001).with("port: 1179")], &["prefix: 203.0.113.0/24"]);
        let _bgpd = star.bgpd(&config.replace("    listenPort: 179\n", ""))?;
        let config = bird(1, 65_001, "10.0.1.1", Wants { session: "passive yes;", ..Wants::default() })
            .replace("local 10.0.1.2 as", "local 10.0.1.2 port 1179 as");
        let bird = star.peer(1)?.bird(&config)?;
        bird.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn a_source_address_of_its_own() {
    run("source", &["frr", "frr6"], |star| {
        star.hub.ip(&["addr", "add", "10.0.1.50/24", "dev", "eth1"])?;
        star.hub.ip(&["addr", "add", "fd00:2::50/64", "dev", "eth2"])?;
        let neighbors = [
            over_v4(1, 65_001).with("localAddress: 10.0.1.50"),
            over_v6(2, 65_002).with("localAddress: \"fd00:2::50\""),
        ];
        let routes = ["prefix: 203.0.113.0/24", "prefix: \"2001:db8:1::/48\""];
        let config = rutter(RUTTER, &neighbors, &routes).replace("    listenPort: 179\n", "");
        let _bgpd = star.bgpd(&config)?;
        // FRR knows only the second address, and waits for it.
        let session = " neighbor 10.0.1.50 passive";
        let v4 = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.50", Wants { session, ..Wants::default() }))?;
        let session = " neighbor fd00:2::50 passive";
        let v6 = star.peer(2)?.frr(&frr(2, 65_002, "fd00:2::50", Wants { session, ..Wants::default() }))?;
        let path = v4.wait_path("203.0.113.0/24")?;
        ensure!(path.next_hop == Some("10.0.1.50".parse()?), "{path:?}");
        let path = v6.wait_path("2001:db8:1::/48")?;
        ensure!(path.next_hop == Some("fd00:2::50".parse()?), "{path:?}");
        Ok(())
    });
}

/// An external session is for direct neighbours unless multihop says otherwise (RFC 4271 §5.1.3, FRR's habit too).
#[test]
fn behind_a_router_only_with_multihop() -> Result<()> {
    let lab = Lab::new("hops")?;
    let (near, middle, far) = (lab.host("near")?, lab.host("middle")?, lab.host("far")?);
    lab.link(near.port("eth0", &["10.1.0.1/24"]), middle.port("eth0", &["10.1.0.2/24"]))?;
    lab.link(middle.port("eth1", &["10.2.0.2/24"]), far.port("eth0", &["10.2.0.3/24"]))?;
    middle.sysctl("net.ipv4.ip_forward", "1")?;
    near.ip(&["route", "add", "10.2.0.0/24", "via", "10.1.0.2"])?;
    far.ip(&["route", "add", "10.1.0.0/24", "via", "10.2.0.2"])?;
    let config = |more: &str| {
        rutter(RUTTER, &[over_v4(1, 65_001).at("10.2.0.3").with(more)], &["prefix: 203.0.113.0/24"])
    };
    let session = " neighbor 10.1.0.1 ebgp-multihop 4";
    let frr = far.frr(&frr(2, 65_001, "10.1.0.1", Wants { session, ..Wants::default() }))?;
    let bgpd = near.bgpd(&config("description: direct"))?;
    frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(4))?;
    bgpd.reload(&config("ebgpMultihop: 2"))?;
    frr.wait_path("203.0.113.0/24").map(drop).map_err(|error| error.context(lab.logs()))
}

#[test]
fn a_new_password_by_reload() {
    run("new-password", &["frr", "bird"], |star| {
        let config = |password: &str| {
            rutter(
                RUTTER,
                &[over_v4(1, 65_001).with(&format!("password: {password}")), over_v4(2, 65_002)],
                &["prefix: 203.0.113.0/24"],
            )
        };
        let bgpd = star.bgpd(&config("first"))?;
        let session = " neighbor 10.0.1.1 password first";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, ..Wants::default() }))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24")?;
        let before = bird.wait_established("10.0.2.1")?;
        // The key of the live session changes under it (see md5.rs); FRR resets it to follow.
        bgpd.reload(&config("second"))?;
        frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 password second"])?;
        frr.wait_path("203.0.113.0/24")?;
        bird.ensure_same_session("10.0.2.1", &before)?;
        let log = bgpd.daemon().log();
        ensure!(!log.contains("first") && !log.contains("second"), "a password is in the log:\n{log}");
        Ok(())
    });
}

#[test]
fn another_asn_and_router_id_by_reload() {
    run("new-asn", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24")?;
        frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 remote-as 64999"])?;
        let changed = rutter(64_999, &[over_v4(1, 65_001)], &["prefix: 203.0.113.0/24"]);
        bgpd.reload(&changed.replace("192.0.2.1", "192.0.2.77"))?;
        frr.wait_path_that("203.0.113.0/24", &|path| path.as_path == "64999")?;
        wait_for(PATIENCE, "FRR to see the new router ID", || {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            ensure!(
                shown["10.0.1.1"]["remoteRouterId"] == "192.0.2.77",
                "{}",
                shown["10.0.1.1"]["remoteRouterId"]
            );
            Ok(())
        })
    });
}

#[test]
fn a_neighbour_moves_to_another_address() {
    run("moved", &["frr", "bird"], |star| {
        let config = |address: &str| {
            rutter(RUTTER, &[over_v4(1, 65_001).at(address), over_v4(2, 65_002)], &["prefix: 203.0.113.0/24"])
        };
        let bgpd = star.bgpd(&config("10.0.1.99"))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let before = bird.wait_established("10.0.2.1")?;
        frr.ensure_absent_for("203.0.113.0/24", Duration::from_secs(2))?;
        bgpd.reload(&config("10.0.1.2"))?;
        frr.wait_path("203.0.113.0/24")?;
        bgpd.reload(&config("10.0.1.99"))?;
        frr.wait_gone("203.0.113.0/24")?;
        bird.ensure_same_session("10.0.2.1", &before)
    });
}
