//! Roles and ONLY_TO_CUSTOMER (RFC 9234) with FRR and BIRD: what fits has a session, what does not is refused with 2/11, and
//! routes go only where such a relation lets them.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, RawPeer, attribute, run};
use rutter_lab::{Bgpd, Bird, Frr};

use crate::daemons::{Neighbor, RUTTER, Wants, bird, frr, over_v4, rutter};

fn frr_as(link: usize, asn: u32, role: &str, networks: &[&str]) -> String {
    let remote = format!("10.0.{link}.1");
    let session = format!(" neighbor {remote} local-role {role}");
    frr(link, asn, &remote, Wants { networks, session: &session, ..Wants::default() })
}

fn bird_as(link: usize, asn: u32, role: &str, networks: &[&str]) -> String {
    let session = format!("local role {role};");
    bird(link, asn, &format!("10.0.{link}.1"), Wants { networks, session: &session, ..Wants::default() })
}

fn role(link: usize, asn: u32, role: &str) -> Neighbor {
    over_v4(link, asn).with(&format!("role: {role}"))
}

/// ONLY_TO_CUSTOMER as FRR shows it.
fn otc_at_frr(frr: &Frr, prefix: &str) -> Result<Option<u64>> {
    frr.wait_path(prefix)?;
    Ok(frr.show_json(&format!("show bgp ipv4 unicast {prefix} json"))?["paths"][0]["otc"].as_u64())
}

/// The same as BIRD shows it.
fn otc_at_bird(bird: &Bird, prefix: &str) -> Result<Option<u64>> {
    bird.wait_path(prefix)?;
    let shown = bird.birdc(&format!("show route for {prefix} all"))?;
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("BGP.otc:"));
    Ok(line.map(|value| value.trim().parse()).transpose()?)
}

fn otc_at_rutter(bgpd: &Bgpd, prefix: &str) -> Result<Option<u64>> {
    let target = format!("/v1/show/bgp/ipv4/{}?format=json", prefix.replace('/', "%2F"));
    Ok(bgpd.get(&target)?["paths"][0]["otc"].as_u64())
}

#[test]
fn routes_go_where_roles_let_them() {
    run("roles", &["frr", "bird", "frr2"], |star| {
        // Provider above (FRR), peer beside (BIRD), customer below (FRR).
        let neighbors = [role(1, 65_001, "customer"), role(2, 65_002, "peer"), role(3, 65_003, "provider")];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let above = star.peer(1)?.frr(&frr_as(1, 65_001, "provider", &["198.51.1.0/24"]))?;
        let beside = star.peer(2)?.bird(&bird_as(2, 65_002, "peer", &["198.51.2.0/24"]))?;
        let below = star.peer(3)?.frr(&frr_as(3, 65_003, "customer", &["198.51.3.0/24"]))?;
        above.wait_established("10.0.1.1")?;
        beside.wait_established("10.0.2.1")?;
        below.wait_established("10.0.3.1")?;
        let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2?format=json")?;
        let roles = (&shown["10.0.1.2"]["localRole"], &shown["10.0.1.2"]["remoteRole"]);
        ensure!(roles.0 == "customer" && roles.1 == "provider", "{roles:?}");

        // Down goes everything, marked with who brought it down or sideways.
        ensure!(otc_at_frr(&below, "198.51.1.0/24")? == Some(65_001));
        ensure!(otc_at_frr(&below, "198.51.2.0/24")? == Some(65_002));
        ensure!(otc_at_frr(&below, "203.0.113.0/24")? == Some(u64::from(RUTTER)));
        ensure!(otc_at_rutter(&bgpd, "198.51.1.0/24")? == Some(65_001));
        // Up and sideways go customers' routes and our own.
        ensure!(otc_at_bird(&beside, "198.51.3.0/24")? == Some(u64::from(RUTTER)));
        ensure!(otc_at_bird(&beside, "203.0.113.0/24")? == Some(u64::from(RUTTER)));
        above.wait_path("198.51.3.0/24")?;
        above.wait_path("203.0.113.0/24")?;
        above.ensure_absent_for("198.51.2.0/24", Duration::from_secs(1))?;
        beside.ensure_absent_for("198.51.1.0/24", Duration::from_millis(200))
    });
}

#[test]
fn a_route_server_and_its_client() {
    run("roles-rs", &["bird", "frr"], |star| {
        let neighbors = [role(1, 65_001, "rs-client"), role(2, 65_002, "rs-server")];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let server = star.peer(1)?.bird(&bird_as(1, 65_001, "rs_server", &["198.51.1.0/24"]))?;
        let client = star.peer(2)?.frr(&frr_as(2, 65_002, "rs-client", &["198.51.2.0/24"]))?;
        server.wait_established("10.0.1.1")?;
        client.wait_established("10.0.2.1")?;
        ensure!(otc_at_frr(&client, "198.51.1.0/24")? == Some(65_001));
        ensure!(otc_at_rutter(&bgpd, "198.51.1.0/24")? == Some(65_001));
        ensure!(otc_at_frr(&client, "203.0.113.0/24")? == Some(u64::from(RUTTER)));
        server.wait_path("198.51.2.0/24")?;
        Ok(())
    });
}

#[test]
fn roles_that_do_not_fit_are_refused() {
    run("roles-misfit", &["frr", "bird", "strict"], |star| {
        let strict = role(3, 65_003, "peer").with("strictRole: true");
        let neighbors = [role(1, 65_001, "provider"), role(2, 65_002, "peer"), strict];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let _frr = star.peer(1)?.frr(&frr_as(1, 65_001, "peer", &[]))?;
        let _bird = star.peer(2)?.bird(&bird_as(2, 65_002, "customer", &[]))?;
        let _silent = star.peer(3)?.frr(&frr(3, 65_003, "10.0.3.1", Wants::default()))?;
        for peer in ["10.0.1.2", "10.0.2.2", "10.0.3.2"] {
            rutter_lab::wait_for(frr_interop_tests::PATIENCE, &format!("a refusal of {peer}"), || {
                let shown = bgpd.get(&format!("/v1/show/bgp/neighbors/{peer}?format=json"))?;
                let shown = &shown[peer];
                ensure!(shown["bgpState"] != "Established", "{shown}");
                let told = shown["lastErrorCodeSubcode"].as_str().unwrap_or_default();
                ensure!(told == "020B", "{shown}");
                Ok(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn leaks_and_malformed_marks_are_not_used() {
    run("roles-leak", &["raw"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[role(1, 65_001, "provider")], &[]))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let path = [
            attribute(0x40, 1, &[0]),
            attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9]),
            attribute(0x40, 3, &[10, 0, 1, 2]),
        ];
        let with = |value: &[u8]| -> Vec<Vec<u8>> {
            path.iter().cloned().chain([attribute(0xc0, 35, value)]).collect()
        };
        raw.announce(&path, &["198.51.1.0/24", "198.51.3.0/24"])?;
        raw.announce(&with(&65_001u32.to_be_bytes()), &["198.51.2.0/24"])?;
        // RFC 9234 §5: a length other than 4 is treated as withdraw.
        raw.announce(&with(&[0, 0, 1]), &["198.51.3.0/24"])?;
        let state = |prefix: &str| -> Result<(bool, String)> {
            let target = format!("/v1/show/bgp/ipv4/{}?format=json", prefix.replace('/', "%2F"));
            let shown = bgpd.get(&target)?;
            let path = &shown["paths"][0];
            Ok((path["valid"] == true, path["notBestReason"].as_str().unwrap_or_default().to_owned()))
        };
        rutter_lab::wait_for(frr_interop_tests::PATIENCE, "rutter to have judged the routes", || {
            ensure!(state("198.51.1.0/24")?.0);
            let (valid, why) = state("198.51.2.0/24")?;
            ensure!(!valid && why.contains("only-to-customer"), "{why:?}");
            let third = bgpd.get("/v1/show/bgp/ipv4/198.51.3.0%2F24?format=json")?;
            ensure!(third["paths"].as_array().is_none_or(Vec::is_empty), "{third}");
            Ok(())
        })?;
        ensure!(!raw.closed_within(Duration::from_millis(200))?, "the session was closed");
        Ok(())
    });
}
