//! What rutter shows of itself, held against what its neighbours show: advertised-routes is what really went over the
//! wire, policy and all, and the counters agree.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, SeenPath, run};
use rutter_lab::{Bgpd, wait_for};
use serde_json::Value;

use crate::daemons::{ASNS, RUTTER, TRIO, Trio, over_v4, over_v6, rutter};

/// The routes that rutter says it has sent to a neighbour.
fn advertised(bgpd: &Bgpd, neighbor: &str, family: &str) -> Result<BTreeMap<String, Value>> {
    let shown = bgpd.get(&format!("/v1/show/bgp/neighbors/{neighbor}/advertised-routes?family={family}"))?;
    let routes =
        shown["advertisedRoutes"].as_object().with_context(|| format!("no advertisedRoutes: {shown}"))?;
    ensure!(shown["totalPrefixCounter"] == routes.len(), "the counter is wrong: {shown}");
    Ok(routes.iter().map(|(prefix, route)| (prefix.clone(), route.clone())).collect())
}

/// Whether a route as shown by rutter is the path as shown by the neighbour.
fn agree(route: &Value, path: &SeenPath) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let next_hop = [&route["nextHop"], &route["nextHopGlobal"]].into_iter().find_map(Value::as_str);
    let communities = route["community"]["list"].as_array().map_or(0, Vec::len);
    text(&route["path"]) == path.as_path
        && text(&route["origin"]) == path.origin
        && next_hop.and_then(|hop| hop.parse().ok()) == path.next_hop
        && route["metric"].as_u64() == path.med.map(u64::from)
        && communities == path.communities.len()
}

/// Waits until every neighbour shows exactly what rutter says it has sent to it.
fn compare(bgpd: &Bgpd, trio: &Trio, v6: bool, prefixes: &[&str]) -> Result<()> {
    let (family, address) = if v6 { ("ipv6", "fd00:") } else { ("ipv4", "10.0.") };
    for (link, oracle) in trio.oracles() {
        let end = |end| if v6 { format!("{address}{link}::{end}") } else { format!("{address}{link}.{end}") };
        let (ours, theirs) = (end(1).parse()?, end(2));
        wait_for(PATIENCE, &format!("rutter and {} to agree", oracle.kind()), || {
            let mut said = advertised(bgpd, &theirs, family)?;
            for prefix in prefixes {
                let paths = oracle.paths(prefix)?;
                let seen = paths.iter().find(|path| path.from == Some(ours));
                match (said.remove(*prefix), seen) {
                    (Some(route), Some(path)) => ensure!(agree(&route, path), "{prefix}: {route} {path:?}"),
                    (None, None) => {}
                    (said, seen) => anyhow::bail!("{prefix}: rutter says {said:?}, the neighbour {seen:?}"),
                }
            }
            ensure!(said.is_empty(), "rutter claims more: {said:?}");
            Ok(())
        })?;
    }
    Ok(())
}

const POLICY: &str = "export: {name: p, defaultAction: accept, statements: [\
    {name: hidden, prefixes: [{prefix: 203.0.9.0/24}], action: reject}, \
    {name: own, sources: [local], action: accept, set: {prepend: 2, med: 40, addCommunities: [\"65000:5\"]}}]}";

#[test]
fn advertised_routes_are_what_the_neighbour_got() {
    run("shown-v4", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn).with(POLICY)).collect();
        let routes = [
            "prefix: 203.0.1.0/24, communities: [\"65000:1\"]",
            "prefix: 203.0.2.0/24, med: 3",
            "prefix: 203.0.9.0/24",
        ];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let networks: [&[&str]; 3] = [&["198.51.1.0/24"], &["198.51.2.0/24"], &["198.51.3.0/24"]];
        let trio = Trio::start(star, false, ASNS, networks)?;
        let all = [
            "203.0.1.0/24",
            "203.0.2.0/24",
            "203.0.9.0/24",
            "198.51.1.0/24",
            "198.51.2.0/24",
            "198.51.3.0/24",
        ];
        trio.frr.wait_path("198.51.3.0/24")?;
        trio.gobgp.wait_path("198.51.1.0/24")?;
        let path = trio.bird.wait_path("203.0.1.0/24")?;
        ensure!(path.as_path == "65000 65000 65000" && path.med == Some(40), "{path:?}");
        compare(&bgpd, &trio, false, &all)?;
        // The same after a change and a withdrawal.
        bgpd.reload(&rutter(RUTTER, &neighbors, &["prefix: 203.0.1.0/24, origin: egp"]))?;
        trio.bird.wait_gone("203.0.2.0/24")?;
        compare(&bgpd, &trio, false, &all)
    });
}

#[test]
fn advertised_ipv6_routes_are_what_the_neighbour_got() {
    run("shown-v6", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v6(link, asn)).collect();
        let routes = ["prefix: \"2001:db8:100::/48\", med: 8, communities: [\"65000:1\"]"];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &routes))?;
        let networks: [&[&str]; 3] = [&["2001:db8:1::/48"], &["2001:db8:2::/48"], &["2001:db8:3::/48"]];
        let trio = Trio::start(star, true, ASNS, networks)?;
        trio.frr.wait_path("2001:db8:3::/48")?;
        trio.gobgp.wait_path("2001:db8:1::/48")?;
        let all = ["2001:db8:100::/48", "2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48"];
        compare(&bgpd, &trio, true, &all)
    });
}

#[test]
fn counters_of_both_ends_agree() {
    run("shown-counters", &TRIO, |star| {
        let neighbors: Vec<_> = (1..).zip(ASNS).map(|(link, asn)| over_v4(link, asn)).collect();
        let bgpd =
            star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"]))?;
        let networks: [&[&str]; 3] = [&["198.51.1.0/24", "198.52.1.0/24"], &["198.51.2.0/24"], &[]];
        let trio = Trio::start(star, false, ASNS, networks)?;
        trio.gobgp.wait_path("198.52.1.0/24")?;
        wait_for(PATIENCE, "rutter and FRR to count alike", || {
            let ours = bgpd.get("/v1/show/bgp/summary")?;
            let ours = &ours["ipv4Unicast"]["peers"]["10.0.1.2"];
            let theirs = trio.frr.show_json("show bgp ipv4 unicast summary json")?;
            let theirs = &theirs["peers"]["10.0.1.1"];
            ensure!(ours["state"] == "Established" && ours["connectionsEstablished"] == 1, "{ours}");
            ensure!(ours["pfxSnt"] == theirs["pfxRcd"] && ours["pfxSnt"] == 3, "{ours} {theirs}");
            // FRR sends rutter's own routes back as well; rutter accepts only FRR's own two.
            ensure!(ours["pfxRcd"] == 2 && ours["remoteAs"] == 65_001, "{ours}");
            ensure!(ours["msgRcvd"] == theirs["msgSent"], "{ours} {theirs}");
            ensure!(ours["msgSent"] == theirs["msgRcvd"], "{ours} {theirs}");
            Ok(())
        })
    });
}
