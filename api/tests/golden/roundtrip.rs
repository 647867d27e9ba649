//! Every key of FRR's JSON has its place in our types, under the same name and with the same kind of value.

use rutter_api::show::adjacency::{AdvertisedRoutes, ReceivedRoutes};
use rutter_api::show::neighbor::Neighbors;
use rutter_api::show::prefix::PrefixLookup;
use rutter_api::show::summary::{FamilySummary, Summary};
use rutter_api::show::table::Table;

use super::sample::assert_roundtrip;

#[test]
fn summaries() {
    assert_roundtrip::<Summary>("bgp-summary");
    for name in ["bgp-ipv4-summary", "bgp-summary-shutdown", "bgp-summary-maxprefix"] {
        assert_roundtrip::<FamilySummary>(name);
    }
}

#[test]
fn tables() {
    for name in
        ["bgp-ipv4", "bgp-ipv6", "bgp-ipv4-stale", "bgp-cidr-only", "bgp-longer", "bgp-neighbor-routes"]
    {
        assert_roundtrip::<Table>(name);
    }
}

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
        "prefix-stale",
        "prefix-suppressed",
        "prefix-unnumbered",
    ];
    for name in names {
        assert_roundtrip::<PrefixLookup>(&format!("bgp-{name}"));
    }
}

#[test]
fn adjacencies() {
    assert_roundtrip::<AdvertisedRoutes>("bgp-neighbor-adv");
    assert_roundtrip::<ReceivedRoutes>("bgp-neighbor-rcvd");
}

#[test]
fn neighbors() {
    let names = [
        "neighbors",
        "neighbor-bird",
        "neighbor-down",
        "neighbor-gobgp",
        "neighbor-maxprefix",
        "neighbor-shutdown",
        "neighbor-stale",
        "neighbor-unnumbered",
    ];
    for name in names {
        assert_roundtrip::<Neighbors>(&format!("bgp-{name}"));
    }
}
