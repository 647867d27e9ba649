//! The text rendered from FRR's JSON is FRR's text, byte for byte, with the exceptions each test names.

use rutter_api::show::adjacency::{AdvertisedRoutes, ReceivedRoutes};
use rutter_api::show::neighbor::Neighbors;
use rutter_api::show::prefix::PrefixLookup;
use rutter_api::show::summary::{FamilySummary, Summary};
use rutter_api::show::table::Table;

use super::sample::{assert_text, text, texts, value};

#[test]
fn summaries() {
    assert_text("bgp-summary", &value::<Summary>("bgp-summary").to_text(), &text("bgp-summary"));
    let mut single = value::<FamilySummary>("bgp-ipv4-summary");
    // One more message was sent between FRR's text and its JSON.
    single.peers.0[3].1.msg_sent -= 1;
    assert_text("bgp-ipv4-summary", &single.to_text(), &text("bgp-ipv4-summary"));
    let maxprefix = value::<FamilySummary>("bgp-summary-maxprefix").to_text();
    assert_text("bgp-summary-maxprefix", &maxprefix, &texts("bgp-summary-maxprefix")[0].1);
}

#[test]
fn tables() {
    for name in ["bgp-ipv4", "bgp-ipv6", "bgp-cidr-only", "bgp-longer", "bgp-neighbor-routes"] {
        assert_text(name, &value::<Table>(name).to_text(), &text(name));
    }
    let stale = value::<Table>("bgp-ipv4-stale").to_text();
    assert_text("bgp-stale", &stale, &texts("bgp-stale")[1].1);
}

/// The samples of text and JSON were taken up to a second apart, so a path may be a second older in one of them.
#[test]
fn prefixes() {
    let names = [
        "address-lookup",
        "prefix-aggregate",
        "prefix-badnh",
        "prefix-comm",
        "prefix-ecmp",
        "prefix-local-ext",
        "prefix-missing",
        "prefix-suppressed",
        "prefix-unnumbered",
    ];
    let seconds = |text: &str| -> String {
        text.lines()
            .map(|line| match line.trim_start().strip_prefix("Last update: ") {
                Some(date) => format!("Last update: {}\n", &date[..date.len() - "39 2026".len()]),
                None => format!("{line}\n"),
            })
            .collect()
    };
    for name in names.map(|name| format!("bgp-{name}")) {
        assert_text(&name, &seconds(&value::<PrefixLookup>(&name).to_text()), &seconds(&text(&name)));
    }
    let stale = value::<PrefixLookup>("bgp-prefix-stale").to_text();
    // FRR forgot the router ID of the restarting peer in the text and kept it in JSON.
    let stale = stale.replace("(10.0.0.2)", "(0.0.0.0)");
    assert_text("bgp-stale", &stale, &texts("bgp-stale")[2].1);
}

/// What the text has and the JSON has not: the socket's number, and the selection deferral time, where FRR's JSON repeats
/// the stale-path time.
fn complete(neighbors: &mut Neighbors, descriptors: &[i32]) {
    for ((_, neighbor), descriptor) in neighbors.0.0.iter_mut().zip(descriptors) {
        neighbor.file_descriptor = Some(*descriptor);
        let info = &mut neighbor.graceful_restart_info;
        for family in [&mut info.ipv4_unicast, &mut info.ipv6_unicast].into_iter().flatten() {
            family.timers.selection_deferral_timer = 360;
        }
        if let Some(capabilities) = &mut neighbor.neighbor_capabilities
            && let Some(families) = &mut capabilities.long_lived_graceful_restart_by_peer
        {
            // FRR prints the heading and no family below it.
            families.0.clear();
        }
    }
}

#[test]
fn one_neighbor() {
    for (name, descriptor) in [("bird", 26), ("gobgp", 23), ("unnumbered", 25)] {
        let name = format!("bgp-neighbor-{name}");
        let mut neighbors = value::<Neighbors>(&name);
        complete(&mut neighbors, &[descriptor]);
        assert_text(&name, &format!("{}\n", neighbors.to_text()), &text(&name));
    }
}

#[test]
fn neighbors_that_are_down() {
    let mut neighbors = value::<Neighbors>("bgp-neighbor-down");
    complete(&mut neighbors, &[-1]);
    // FRR's text says never; its JSON has the time since the machine booted.
    neighbors.0.0[0].1.bgp_timer_last_write = None;
    assert_text("bgp-neighbor-down", &format!("{}\n", neighbors.to_text()), &text("bgp-neighbor-down"));

    let mut neighbors = value::<Neighbors>("bgp-neighbor-shutdown");
    complete(&mut neighbors, &[-1]);
    // A second passed between FRR's text and its JSON.
    let bfd = neighbors.0.0[0].1.peer_bfd_info.as_mut().expect("BFD is configured");
    bfd.last_update = "0:00:00:01".to_owned();
    assert_text(
        "bgp-neighbor-shutdown",
        &format!("{}\n", neighbors.to_text()),
        &texts("bgp-neighbor-shutdown")[1].1,
    );
}

#[test]
fn a_restarting_neighbor() {
    let mut neighbors = value::<Neighbors>("bgp-neighbor-stale");
    complete(&mut neighbors, &[23]);
    // FRR prints the remaining time twice; once is enough.
    let twice = "      Restart Time Remaining(sec): 56\n".repeat(2);
    let sample = texts("bgp-stale")[3].1.replace(&twice, "      Restart Time Remaining(sec): 56\n");
    assert_text("bgp-stale", &format!("{}\n", neighbors.to_text()), &sample);
}

#[test]
fn all_neighbors() {
    let mut neighbors = value::<Neighbors>("bgp-neighbors");
    complete(&mut neighbors, &[25, 23, 26, 24, -1]);
    neighbors.0.0[4].1.bgp_timer_last_write = None;
    assert_text("bgp-neighbors", &format!("{}\n", neighbors.to_text()), &text("bgp-neighbors"));
}

/// The layout is FRR's; the rows are not: FRR lists the paths behind an advertisement, we list the advertisement. The rows
/// expected here are what BIRD on the other side of this very session received, next hop and prepended path included.
#[test]
fn advertised_routes() {
    let mut routes = value::<AdvertisedRoutes>("bgp-neighbor-adv");
    for (_, route) in &mut routes.advertised_routes.0 {
        route.path = format!("65001 {}", route.path);
        route.next_hop = Some("10.1.3.1".parse().expect("an address"));
        route.next_hop_global = None;
        route.loc_prf = None;
    }
    let sample = text("bgp-neighbor-adv");
    let head = sample.split_inclusive('\n').take(9).collect::<String>();
    let rows = " \
*>  10.200.0.0/16    10.1.3.1                 0         32768 65001 65001 65001 i
 *>  100.64.1.0/24    10.1.3.1                               0 65001 65001 65001 65002 ?
 *>  100.64.2.0/24    10.1.3.1                               0 65001 65001 65001 65003 i
 *>  100.64.3.0/24    10.1.3.1                               0 65001 65001 65001 65003 64999 i
 *>  172.16.4.0/24    10.1.3.1                               0 65001 65001 65001 i
 *>  172.20.0.0/16    10.1.3.1                               0 65001 65001 65001 65100 i
 *>  203.0.113.0/24   10.1.3.1                               0 65001 65001 65001 65003 i

Total number of prefixes 7
";
    assert_text("bgp-neighbor-adv", &routes.to_text(), &format!("{head}{rows}"));
}

/// Differences: FRR's rows stand one column left of their headings, and every row is marked best; ours tells which route
/// the import policy rejected (192.0.2.0/24) and which is one of several winners.
#[test]
fn received_routes() {
    let mut routes = value::<ReceivedRoutes>("bgp-neighbor-rcvd");
    for (prefix, route) in &mut routes.received_routes.0 {
        route.valid = prefix != "192.0.2.0/24";
        route.best = route.valid && prefix != "203.0.113.0/24";
    }
    let sample = text("bgp-neighbor-rcvd")
        .replace(" *> 192", "     192")
        .replace(" *> 203", " *=  203")
        .replace(" *> ", " *>  ");
    assert_text("bgp-neighbor-rcvd", &routes.to_text(), &sample);
}
