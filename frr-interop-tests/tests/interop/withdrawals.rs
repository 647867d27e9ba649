//! Withdrawals (RFC 4271 §4.3, RFC 4760 §4): a route that its origin takes back, or whose session ends, goes away
//! everywhere, and no other does.

use anyhow::ensure;
use frr_interop_tests::{Oracle, PATIENCE, run};

use crate::daemons::{ASNS, Neighbor, RUTTER, TRIO, Trio, over_v4, over_v6, rutter};

fn neighbors(of: fn(usize, u32) -> Neighbor) -> Vec<Neighbor> {
    (1..).zip(ASNS).map(|(link, asn)| of(link, asn)).collect()
}

#[test]
fn an_own_ipv4_route_taken_back() {
    run("withdraw-own", &TRIO, |star| {
        let config = |routes: &[&str]| rutter(RUTTER, &neighbors(over_v4), routes);
        let bgpd = star.bgpd(&config(&["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("203.0.1.0/24")?;
        }
        bgpd.reload(&config(&["prefix: 203.0.2.0/24"]))?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_gone("203.0.1.0/24")?;
            oracle.wait_path("203.0.2.0/24")?;
        }
        bgpd.reload(&config(&["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]))?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("203.0.1.0/24")?;
        }
        Ok(())
    });
}

#[test]
fn an_own_ipv6_route_taken_back() {
    run("withdraw-own-v6", &TRIO, |star| {
        let config = |routes: &[&str]| rutter(RUTTER, &neighbors(over_v6), routes);
        let (one, two) = ("prefix: \"2001:db8:1::/48\"", "prefix: \"2001:db8:2::/48\"");
        let bgpd = star.bgpd(&config(&[one, two]))?;
        let trio = Trio::start(star, true, ASNS, [&[], &[], &[]])?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("2001:db8:1::/48")?;
        }
        bgpd.reload(&config(&[two]))?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_gone("2001:db8:1::/48")?;
            oracle.wait_path("2001:db8:2::/48")?;
        }
        Ok(())
    });
}

#[test]
fn a_learned_route_taken_back_by_each_daemon() {
    run("withdraw-learned", &TRIO, |star| {
        let networks: [&[&str]; 3] = [
            &["198.51.1.0/24", "198.52.1.0/24"],
            &["198.51.2.0/24", "198.52.2.0/24"],
            &["198.51.3.0/24", "198.52.3.0/24"],
        ];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors(over_v4), &[]))?;
        let trio = Trio::start(star, false, ASNS, networks)?;
        trio.bird.wait_path("198.51.1.0/24")?;
        trio.frr.wait_path("198.51.2.0/24")?;
        trio.frr.wait_path("198.51.3.0/24")?;

        trio.frr.configure(&[
            "router bgp 65001",
            "address-family ipv4 unicast",
            "no network 198.51.1.0/24",
        ])?;
        trio.bird.wait_gone("198.51.1.0/24")?;
        trio.gobgp.wait_gone("198.51.1.0/24")?;

        let without = crate::daemons::Wants { networks: &["198.52.2.0/24"], ..Default::default() };
        trio.bird.reconfigure(&crate::daemons::bird(2, 65_002, "10.0.2.1", without))?;
        trio.frr.wait_gone("198.51.2.0/24")?;
        trio.gobgp.wait_gone("198.51.2.0/24")?;

        trio.gobgp.gobgp(&["global", "rib", "del", "198.51.3.0/24"])?;
        trio.frr.wait_gone("198.51.3.0/24")?;
        trio.bird.wait_gone("198.51.3.0/24")?;

        trio.frr.wait_path("198.52.2.0/24")?;
        trio.frr.wait_path("198.52.3.0/24")?;
        trio.bird.wait_path("198.52.1.0/24").map(drop)
    });
}

#[test]
fn the_routes_of_a_lost_session() {
    run("withdraw-session", &TRIO, |star| {
        let networks: [&[&str]; 3] = [&["198.51.1.0/24"], &["198.51.2.0/24"], &[]];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors(over_v4), &[]))?;
        let trio = Trio::start(star, false, ASNS, networks)?;
        trio.gobgp.wait_path("198.51.1.0/24")?;
        trio.bird.wait_path("198.51.1.0/24")?;
        trio.frr.configure(&["router bgp 65001", "neighbor 10.0.1.1 shutdown"])?;
        trio.bird.wait_gone("198.51.1.0/24")?;
        trio.gobgp.wait_gone("198.51.1.0/24")?;
        let session = trio.frr.wait_down("10.0.1.1", PATIENCE)?;
        ensure!(session.state.starts_with("Idle"), "{session:?}");
        trio.gobgp.wait_path("198.51.2.0/24").map(drop)
    });
}

/// The second-best path takes over when the best is taken back, and the other way round: an implicit withdrawal.
#[test]
fn the_next_best_path_takes_over() {
    run("takes-over", &TRIO, |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors(over_v4), &[]))?;
        let networks: [&[&str]; 3] = [&["198.51.9.0/24"], &["198.51.9.0/24"], &[]];
        let trio = Trio::start(star, false, ASNS, networks)?;
        // Equal but for the router ID: FRR's 10.0.1.2 is lower than BIRD's 10.0.2.2 (RFC 4271 §9.1.2.2 f). An older
        // external path may be kept (RFC 5004), so the first answer may be either.
        trio.gobgp.wait_path("198.51.9.0/24")?;
        trio.frr.configure(&[
            "router bgp 65001",
            "address-family ipv4 unicast",
            "no network 198.51.9.0/24",
        ])?;
        trio.gobgp.wait_path_that("198.51.9.0/24", &|path| path.as_path == "65000 65002")?;
        trio.frr.configure(&["router bgp 65001", "address-family ipv4 unicast", "network 198.51.9.0/24"])?;
        trio.bird.birdc("disable rutter")?;
        trio.gobgp.wait_path_that("198.51.9.0/24", &|path| path.as_path == "65000 65001").map(drop)
    });
}
