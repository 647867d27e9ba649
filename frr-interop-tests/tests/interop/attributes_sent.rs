//! Every attribute that rutter can attach to its own routes (RFC 4271 §5.1, RFC 1997, RFC 8092), as FRR, BIRD and GoBGP
//! show it.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, SeenPath, run};

use crate::daemons::{ASNS, RUTTER, TRIO, Trio, over_v4, over_v6, rutter};

/// A route in rutter's configuration, and what everybody has to show of it.
struct Case {
    route: &'static str,
    prefix: &'static str,
    check: fn(&SeenPath) -> bool,
}

fn has(set: &std::collections::BTreeSet<String>, wanted: &[&str]) -> bool {
    set.iter().map(String::as_str).eq(wanted.iter().copied())
}

const CASES: [Case; 10] = [
    Case {
        route: "prefix: 203.0.1.0/24",
        prefix: "203.0.1.0/24",
        check: |path| {
            path.origin == "IGP"
                && path.as_path == "65000"
                && path.med.unwrap_or(0) == 0
                && path.communities.is_empty()
                && path.large_communities.is_empty()
                && !path.atomic_aggregate
                && path.aggregator.is_none()
        },
    },
    Case {
        route: "prefix: 203.0.2.0/24, origin: egp",
        prefix: "203.0.2.0/24",
        check: |path| path.origin == "EGP",
    },
    Case {
        route: "prefix: 203.0.3.0/24, origin: incomplete",
        prefix: "203.0.3.0/24",
        check: |path| path.origin == "incomplete",
    },
    Case {
        route: "prefix: 203.0.4.0/24, med: 4294967295",
        prefix: "203.0.4.0/24",
        check: |path| path.med == Some(u32::MAX),
    },
    Case {
        route: "prefix: 203.0.5.0/24, communities: [\"65000:100\", \"64512:1\"]",
        prefix: "203.0.5.0/24",
        check: |path| has(&path.communities, &["64512:1", "65000:100"]),
    },
    Case {
        route: "prefix: 203.0.6.0/24, communities: [blackhole, \"4259840002\"]",
        prefix: "203.0.6.0/24",
        check: |path| {
            // FRR adds NO_EXPORT to a blackhole route for itself.
            let seen: Vec<_> = path.communities.iter().filter(|text| *text != "65535:65281").collect();
            seen == ["65000:2", "65535:666"]
        },
    },
    Case {
        route: "prefix: 203.0.7.0/24, largeCommunities: [\"4200000000:1:2\", \"65000:0:4294967295\"]",
        prefix: "203.0.7.0/24",
        check: |path| has(&path.large_communities, &["4200000000:1:2", "65000:0:4294967295"]),
    },
    Case { route: "prefix: 203.0.8.1/32", prefix: "203.0.8.1/32", check: |path| path.origin == "IGP" },
    Case { route: "prefix: 0.0.0.0/0", prefix: "0.0.0.0/0", check: |path| path.as_path == "65000" },
    Case {
        route: "prefix: 203.0.10.0/23, localPreference: 777",
        prefix: "203.0.10.0/23",
        // LOCAL_PREF is not for external peers: BIRD and GoBGP would show it.
        check: |path| path.local_pref != Some(777),
    },
];

#[test]
fn own_attributes_at_external_peers() {
    run("attributes-sent", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let routes = CASES.each_ref().map(|case| case.route);
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        for (link, oracle) in trio.oracles() {
            let hop = format!("10.0.{link}.1").parse()?;
            for case in &CASES {
                let path = oracle.wait_path(case.prefix)?;
                ensure!((case.check)(&path), "{}: {} is shown as {path:?}", oracle.kind(), case.route);
                ensure!(path.next_hop == Some(hop), "{}: {path:?}", oracle.kind());
            }
        }
        Ok(())
    });
}

#[test]
fn local_preference_and_med_at_internal_peers() {
    run("attributes-ibgp", &TRIO, |star| {
        let neighbors: Vec<_> = (1..=3).map(|link| over_v4(link, RUTTER)).collect();
        let routes = ["prefix: 203.0.1.0/24, localPreference: 4000000000, med: 7", "prefix: 203.0.2.0/24"];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let trio = Trio::start(star, false, [RUTTER; 3], [&[], &[], &[]])?;
        for (_, oracle) in trio.oracles() {
            let path = oracle.wait_path("203.0.1.0/24")?;
            ensure!(
                path.local_pref == Some(4_000_000_000) && path.med == Some(7) && path.as_path.is_empty(),
                "{}: {path:?}",
                oracle.kind()
            );
            let path = oracle.wait_path("203.0.2.0/24")?;
            ensure!(path.local_pref == Some(100), "{}: {path:?}", oracle.kind());
        }
        Ok(())
    });
}

#[test]
fn a_next_hop_of_a_third_party_is_kept() {
    run("third-party", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let routes: Vec<String> =
            (1..=3).map(|link| format!("prefix: 203.0.{link}.0/24, nextHop: 10.0.{link}.77")).collect();
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &[]])?;
        for (link, oracle) in trio.oracles() {
            let path = oracle.wait_path(&format!("203.0.{link}.0/24"))?;
            ensure!(path.next_hop == Some(format!("10.0.{link}.77").parse()?), "{}: {path:?}", oracle.kind());
        }
        Ok(())
    });
}

#[test]
fn ipv6_routes_carry_attributes_too() {
    run("attributes-v6", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v6(link, asn)).collect();
        let route = "prefix: \"2001:db8:1::/48\", origin: incomplete, med: 9, communities: [\"65000:1\"], \
                     largeCommunities: [\"65000:1:2\"]";
        let host = "prefix: \"2001:db8:2::1/128\"";
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[route, host]))?;
        let trio = Trio::start(star, true, ASNS, [&[], &[], &[]])?;
        for (link, oracle) in trio.oracles() {
            let path = oracle.wait_path("2001:db8:1::/48")?;
            ensure!(
                path.origin == "incomplete"
                    && path.med == Some(9)
                    && has(&path.communities, &["65000:1"])
                    && has(&path.large_communities, &["65000:1:2"])
                    && path.next_hop == Some(format!("fd00:{link}::1").parse()?),
                "{}: {path:?}",
                oracle.kind()
            );
            oracle.wait_path("2001:db8:2::1/128")?;
        }
        Ok(())
    });
}

#[test]
fn export_policy_rejects_and_changes() {
    let policy = "export: {name: to-all, defaultAction: reject, statements: [\
        {name: changed, prefixes: [{prefix: 203.0.0.0/16, minLength: 24, maxLength: 24}], action: accept, \
         set: {med: 50, prepend: 3, addCommunities: [\"65000:9\"], addLargeCommunities: [\"65000:9:9\"]}}]}";
    run("export-policy", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn).with(policy)).collect();
        let routes = ["prefix: 203.0.1.0/24, communities: [\"65000:1\"]", "prefix: 203.0.2.0/25"];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let trio = Trio::start(star, false, ASNS, [&[], &[], &["198.51.3.0/24"]])?;
        for (_, oracle) in trio.oracles() {
            let path = oracle.wait_path("203.0.1.0/24")?;
            ensure!(
                path.as_path == "65000 65000 65000 65000"
                    && path.med == Some(50)
                    && has(&path.communities, &["65000:1", "65000:9"])
                    && has(&path.large_communities, &["65000:9:9"]),
                "{}: {path:?}",
                oracle.kind()
            );
        }
        trio.frr.ensure_absent_for("203.0.2.0/25", Duration::from_secs(2))?;
        trio.bird.ensure_absent_for("198.51.3.0/24", Duration::from_millis(200))
    });
}
