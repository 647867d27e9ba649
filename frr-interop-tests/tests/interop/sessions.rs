//! Sessions: IPv4, IPv6, IPv4 routes over IPv6 (RFC 8950), both directions of the TCP connection, 4-octet ASNs (RFC 6793),
//! internal and external, and what crosses them.

use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, run};

use crate::daemons::{ASNS, Neighbor, RUTTER, TRIO, Trio, Wants, bird, frr, over_v4, over_v6, rutter};

/// Own route to all, and every peer's route to the two others, with rutter as the next hop.
fn everybody_sees_everybody(
    trio: &Trio,
    own: &str,
    theirs: [&str; 3],
    next_hop: &dyn Fn(usize) -> String,
) -> Result<()> {
    for (link, oracle) in trio.oracles() {
        let hop = next_hop(link).parse()?;
        let path = oracle.wait_path(own)?;
        ensure!(
            path.as_path == RUTTER.to_string() && path.origin == "IGP" && path.next_hop == Some(hop),
            "{}: {path:?}",
            oracle.kind()
        );
        for (other, (prefix, asn)) in (1..).zip(theirs.iter().zip(ASNS)) {
            if other == link {
                continue;
            }
            let path = oracle.wait_path(prefix)?;
            ensure!(
                path.as_path == format!("{RUTTER} {asn}") && path.next_hop == Some(hop),
                "{}: {prefix} {path:?}",
                oracle.kind()
            );
        }
    }
    Ok(())
}

fn trio_neighbors(of: impl Fn(usize, u32) -> Neighbor) -> Vec<Neighbor> {
    (1..).zip(ASNS).map(|(link, asn)| of(link, asn)).collect()
}

#[test]
fn ipv4_with_each_daemon() {
    run("sessions-v4", &TRIO, |star| {
        let theirs = ["198.51.1.0/24", "198.51.2.0/24", "198.51.3.0/24"];
        let _bgpd = star.bgpd(&rutter(RUTTER, &trio_neighbors(over_v4), &["prefix: 203.0.113.0/24"]))?;
        let trio = Trio::start(star, false, ASNS, theirs.each_ref().map(std::slice::from_ref))?;
        everybody_sees_everybody(&trio, "203.0.113.0/24", theirs, &|link| format!("10.0.{link}.1"))
    });
}

#[test]
fn ipv6_with_each_daemon() {
    run("sessions-v6", &TRIO, |star| {
        let theirs = ["2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48"];
        let _bgpd =
            star.bgpd(&rutter(RUTTER, &trio_neighbors(over_v6), &["prefix: \"2001:db8:100::/48\""]))?;
        let trio = Trio::start(star, true, ASNS, theirs.each_ref().map(std::slice::from_ref))?;
        everybody_sees_everybody(&trio, "2001:db8:100::/48", theirs, &|link| format!("fd00:{link}::1"))
    });
}

#[test]
fn ipv4_routes_over_ipv6_sessions() {
    run("rfc8950", &TRIO, |star| {
        let theirs = ["198.51.1.0/24", "198.51.2.0/24", "198.51.3.0/24"];
        let both = |link, asn| over_v6(link, asn).with("families: [ipv4-unicast, ipv6-unicast]");
        let routes = ["prefix: 203.0.113.0/24", "prefix: \"2001:db8:100::/48\""];
        let _bgpd = star.bgpd(&rutter(RUTTER, &trio_neighbors(both), &routes))?;
        let trio = Trio::start(star, true, ASNS, theirs.each_ref().map(std::slice::from_ref))?;
        everybody_sees_everybody(&trio, "203.0.113.0/24", theirs, &|link| format!("fd00:{link}::1"))?;
        for (_, oracle) in trio.oracles() {
            oracle.wait_path("2001:db8:100::/48")?;
        }
        // FRR has put the route into the kernel with an IPv6 next hop: the encoding was not only accepted, it works.
        let kernel = star.peer(1)?.ip(&["route", "show", "203.0.113.0/24"])?;
        ensure!(kernel.contains("via inet6"), "{kernel}");
        Ok(())
    });
}

#[test]
fn ipv4_next_hop_again_where_an_ipv6_next_hop_came_in() {
    run("rfc8950-to-v4", &["bird6", "frr4"], |star| {
        let from = over_v6(1, 65_001).with("families: [ipv4-unicast, ipv6-unicast]");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[from, over_v4(2, 65_002)], &[]))?;
        let wants = Wants { networks: &["198.51.1.0/24"], ..Wants::default() };
        let _bird = star.peer(1)?.bird(&bird(1, 65_001, "fd00:1::1", wants))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let path = frr.wait_path("198.51.1.0/24")?;
        ensure!(path.next_hop == Some("10.0.2.1".parse()?) && path.as_path == "65000 65001", "{path:?}");
        Ok(())
    });
}

#[test]
fn link_local_session_with_bird() {
    run("link-local", &["bird"], |star| {
        star.hub.ip(&["addr", "add", "fe80::1/64", "dev", "eth1"])?;
        star.peer(1)?.ip(&["addr", "add", "fe80::2/64", "dev", "eth0"])?;
        let neighbor = over_v6(1, 65_001).with("interface: eth1").at("fe80::2");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &["prefix: \"2001:db8:100::/48\""]))?;
        let bird = star.peer(1)?.bird(
            "router id 10.0.1.2; protocol device {}
             protocol bgp rutter { local fe80::2 as 65001; neighbor fe80::1 % 'eth0' as 65000;
                connect retry time 1; connect delay time 1; error wait time 1, 2; ipv6 { import all; export all; }; }",
        )?;
        bird.wait_path("2001:db8:100::/48").map(drop)
    });
}

#[test]
fn rutter_dials_and_never_listens() {
    run("active", &["frr", "bird"], |star| {
        let config = rutter(RUTTER, &[over_v4(1, 65_001), over_v4(2, 65_002)], &["prefix: 203.0.113.0/24"])
            .replace("    listenPort: 179\n", "");
        let _bgpd = star.bgpd(&config)?;
        let passive = Wants { session: " neighbor 10.0.1.1 passive", ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", passive))?;
        let passive = Wants { session: "passive yes;", ..Wants::default() };
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", passive))?;
        frr.wait_path("203.0.113.0/24")?;
        bird.wait_path("203.0.113.0/24")?;
        let sockets = star.hub.check(&["ss", "-Hltn"])?;
        ensure!(!sockets.contains(":179"), "rutter listens without being told to: {sockets}");
        Ok(())
    });
}

#[test]
fn rutter_listens_and_never_dials() {
    run("passive", &["frr", "bird"], |star| {
        let passive = |link, asn| over_v4(link, asn).with("passive: true");
        let neighbors = [passive(1, 65_001), passive(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        // A passive BIRD at the other end: two passive sides never meet.
        let wants = Wants { session: "passive yes;", ..Wants::default() };
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
        frr.wait_path("203.0.113.0/24")?;
        bird.ensure_absent_for("203.0.113.0/24", Duration::from_secs(3))
    });
}

#[test]
fn internal_sessions_keep_the_path_and_do_not_pass_routes_on() {
    run("ibgp", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, RUTTER), over_v4(2, RUTTER)];
        let _bgpd =
            star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24, localPreference: 250"]))?;
        let wants = Wants { networks: &["198.51.1.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, RUTTER, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, RUTTER, "10.0.2.1", Wants::default()))?;
        for (link, oracle) in [(1, &frr as &dyn Oracle), (2, &bird)] {
            let path = oracle.wait_path("203.0.113.0/24")?;
            let hop = format!("10.0.{link}.1").parse()?;
            ensure!(
                path.as_path.is_empty() && path.local_pref == Some(250) && path.next_hop == Some(hop),
                "{}: {path:?}",
                oracle.kind()
            );
        }
        // Learned from one internal peer, so not for the other (RFC 4271 §9.2).
        bird.ensure_absent_for("198.51.1.0/24", Duration::from_secs(3))
    });
}

#[test]
fn four_octet_asns() {
    run("as4", &TRIO, |star| {
        let asns = [4_200_000_001, 4_200_000_002, 4_200_000_003];
        let own = 4_259_840_000_u32;
        let neighbors: Vec<Neighbor> = (1..).zip(asns).map(|(link, asn)| over_v4(link, asn)).collect();
        let _bgpd = star.bgpd(&rutter(own, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = |networks| Wants { networks, remote_asn: own, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, asns[0], "10.0.1.1", wants(&["198.51.1.0/24"])))?;
        let bird = star.peer(2)?.bird(&bird(2, asns[1], "10.0.2.1", wants(&["198.51.2.0/24"])))?;
        let gobgp = star.peer(3)?.gobgp(&crate::daemons::gobgp(3, asns[2], "10.0.3.1", wants(&[])))?;
        for oracle in [&frr as &dyn Oracle, &bird, &gobgp] {
            let path = oracle.wait_path("203.0.113.0/24")?;
            ensure!(path.as_path == own.to_string(), "{}: {path:?}", oracle.kind());
        }
        let path = frr.wait_path("198.51.2.0/24")?;
        ensure!(path.as_path == format!("{own} {}", asns[1]), "{path:?}");
        let path = gobgp.wait_path("198.51.1.0/24")?;
        ensure!(path.as_path == format!("{own} {}", asns[0]), "{path:?}");
        Ok(())
    });
}

#[test]
fn a_peer_without_configured_asn_is_taken_at_its_word() {
    run("any-asn", &["frr"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 0).any_asn()], &["prefix: 203.0.113.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 64_777, "10.0.1.1", Wants::default()))?;
        frr.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn multihop_reaches_a_loopback() {
    run("multihop", &["frr"], |star| {
        star.peer(1)?.ip(&["addr", "add", "192.0.2.99/32", "dev", "lo"])?;
        star.hub.ip(&["route", "add", "192.0.2.99/32", "via", "10.0.1.2"])?;
        let neighbor =
            over_v4(1, 65_001).with("ebgpMultihop: 5").with("localAddress: 10.0.1.1").at("192.0.2.99");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &["prefix: 203.0.113.0/24"]))?;
        let session = " neighbor 10.0.1.1 ebgp-multihop 5\n neighbor 10.0.1.1 update-source 192.0.2.99";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, ..Wants::default() }))?;
        frr.wait_path("203.0.113.0/24").map(drop)
    });
}

#[test]
fn frr_names_the_capabilities_it_got() {
    run("capabilities", &["frr"], |star| {
        let both = over_v6(1, 65_001).with("families: [ipv4-unicast, ipv6-unicast]");
        let config = format!("hostname: rutter-node\n{}", rutter(RUTTER, &[both], &[]));
        let _bgpd = star.bgpd(&config)?;
        let session = " neighbor fd00:1::1 capability extended-nexthop";
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "fd00:1::1", Wants { session, ..Wants::default() }))?;
        frr.wait_established("fd00:1::1")?;
        let shown = frr.show_json("show bgp neighbors fd00:1::1 json")?;
        let capabilities = &shown["fd00:1::1"]["neighborCapabilities"];
        for key in ["4byteAs", "extendedMessage"] {
            ensure!(capabilities[key] == "advertisedAndReceived", "{key}: {capabilities}");
        }
        let refresh = capabilities["routeRefresh"].as_str().unwrap_or_default();
        ensure!(refresh.starts_with("advertisedAndReceived"), "{capabilities}");
        for family in ["ipv4Unicast", "ipv6Unicast"] {
            let multiprotocol = &capabilities["multiprotocolExtensions"][family]["advertisedAndReceived"];
            ensure!(*multiprotocol == true, "{family}: {capabilities}");
        }
        ensure!(capabilities["extendedNexthop"] == "advertisedAndReceived", "{capabilities}");
        ensure!(capabilities["hostName"]["rcvHostName"] == "rutter-node", "{capabilities}");
        Ok(())
    });
}

/// Cilium's default: one IPv4 session for both families. The IPv6 next hop is rutter's own address on that link.
#[test]
fn ipv6_routes_over_ipv4_sessions() {
    run("v6-over-v4", &["frr", "bird"], |star| {
        let both = |link, asn| over_v4(link, asn).with("families: [ipv4-unicast, ipv6-unicast]");
        let routes = ["prefix: 203.0.113.0/24", "prefix: \"2001:db8:100::/48\""];
        let _bgpd = star.bgpd(&rutter(RUTTER, &[both(1, 65_001), both(2, 65_002)], &routes))?;
        let config = frr(1, 65_001, "10.0.1.1", Wants { networks: &["2001:db8:1::/48"], ..Wants::default() })
            .replace(
                " address-family ipv6 unicast\n",
                " address-family ipv6 unicast\n  neighbor 10.0.1.1 activate\n",
            );
        let frr = star.peer(1)?.frr(&config)?;
        let session = "ipv4 { import all; export all; }; ipv6 { import all; export all; };";
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants { session, ..Wants::default() }))?;
        for (link, oracle) in [(1, &frr as &dyn Oracle), (2, &bird)] {
            oracle.wait_path("203.0.113.0/24")?;
            let path = oracle.wait_path("2001:db8:100::/48")?;
            let hop = format!("fd00:{link}::1").parse()?;
            ensure!(path.next_hop == Some(hop), "{}: {path:?}", oracle.kind());
        }
        let path = bird.wait_path("2001:db8:1::/48")?;
        ensure!(path.next_hop == Some("fd00:2::1".parse()?), "{path:?}");
        // FRR uses the route: its kernel has it.
        let kernel = star.peer(1)?.ip(&["-6", "route", "show", "2001:db8:100::/48"])?;
        ensure!(kernel.contains("eth0"), "{kernel}");
        Ok(())
    });
}
