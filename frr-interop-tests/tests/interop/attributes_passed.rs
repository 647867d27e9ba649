//! Every attribute that comes in from FRR, BIRD, GoBGP or a raw speaker and has to leave again towards external and
//! internal peers: what is kept, what is rewritten, what must not pass (RFC 4271 §5.1, RFC 1997, 4360, 8092, 4271 §9).

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use frr_interop_tests::{Oracle, RawPeer, SeenPath, Star, attribute, run};
use rutter_lab::{Bgpd, Bird, Frr};

use crate::daemons::{RUTTER, Wants, announce_by_gobgp, bird, frr, gobgp, over_v4, rutter};

/// Sender on link 1 (AS 65001), an external BIRD on link 2 (AS 65002), an internal FRR on link 3.
struct Relay {
    _bgpd: Bgpd,
    external: Bird,
    internal: Frr,
}

const HOSTS: [&str; 3] = ["sender", "external", "internal"];

impl Relay {
    fn start(star: &Star) -> Result<Self> {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, RUTTER)];
        Ok(Self {
            _bgpd: star.bgpd(&rutter(RUTTER, &neighbors, &[]))?,
            external: star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?,
            internal: star.peer(3)?.frr(&frr(3, RUTTER, "10.0.3.1", Wants::default()))?,
        })
    }

    /// Holds the two receivers against `expected`, which is the path as the sender sent it. At the external peer rutter's
    /// ASN comes in front and MED is gone; at the internal one AS_PATH and MED are the sender's and LOCAL_PREF is there.
    fn check(&self, prefix: &str, expected: &SeenPath) -> Result<()> {
        let outside = self.external.wait_path(prefix)?;
        let wanted = SeenPath {
            as_path: format!("{RUTTER} {}", expected.as_path),
            med: None,
            next_hop: Some("10.0.2.1".parse()?),
            from: Some("10.0.2.1".parse()?),
            // BIRD gives a route its own default.
            local_pref: Some(100),
            ..expected.clone()
        };
        ensure!(same(&outside, &wanted), "external BIRD:\n  wants {wanted:?}\n  shows {outside:?}");

        let inside = self.internal.wait_path(prefix)?;
        let wanted = SeenPath {
            local_pref: Some(100),
            from: Some("10.0.3.1".parse()?),
            // FRR has no place for attributes it does not know.
            unknown: Vec::new(),
            next_hop: inside.next_hop,
            ..expected.clone()
        };
        ensure!(
            same(&inside, &wanted) && inside.med == expected.med,
            "internal FRR:\n  wants {wanted:?}\n  shows {inside:?}"
        );
        // RFC 4271 §5.1.3: towards internal peers the next hop is the border's business; both answers are right.
        let hops = ["10.0.1.2".parse()?, "10.0.3.1".parse()?];
        ensure!(inside.next_hop.is_some_and(|hop| hops.contains(&hop)), "internal FRR: {inside:?}");
        Ok(())
    }
}

/// Equal, but for what the daemon adds by itself (whether it uses the path).
fn same(seen: &SeenPath, wanted: &SeenPath) -> bool {
    let neutral = |path: &SeenPath| SeenPath { best: false, multipath: false, med: None, ..path.clone() };
    let med = wanted.med.is_none() || seen.med == wanted.med;
    neutral(seen) == neutral(wanted) && med
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn from_frr() {
    run("passed-frr", &HOSTS, |star| {
        let relay = Relay::start(star)?;
        let wants = Wants {
            session: " aggregate-address 192.0.0.0/16 as-set",
            networks: &["198.51.1.0/24 route-map ALL", "198.51.2.0/24", "192.0.2.0/24 route-map PATH"],
            more: "route-map ALL permit 10\n set community 65001:1 64512:5\n set large-community 65001:1:2 1:2:3\n \
                   set extcommunity rt 65001:7\n set extcommunity soo 65001:8\n set metric 77\n \
                   set as-path prepend 65001 4200000001\n set aggregator as 65009 9.9.9.9\n set atomic-aggregate\n \
                   set origin incomplete\nexit\nroute-map PATH permit 10\n set as-path prepend 65201 65202\nexit\n",
            ..Wants::default()
        };
        let _sender = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let expected = SeenPath {
            as_path: "65001 65001 4200000001".to_owned(),
            origin: "incomplete".to_owned(),
            med: Some(77),
            atomic_aggregate: true,
            aggregator: Some((65_009, [9, 9, 9, 9].into())),
            communities: set(&["65001:1", "64512:5"]),
            large_communities: set(&["65001:1:2", "1:2:3"]),
            extended_communities: set(&["RT:65001:7", "SoO:65001:8"]),
            ..SeenPath::default()
        };
        relay.check("198.51.1.0/24", &expected)?;
        // FRR sends MED 0 with what it originates.
        let plain = SeenPath {
            as_path: "65001".to_owned(),
            origin: "IGP".to_owned(),
            med: Some(0),
            ..SeenPath::default()
        };
        relay.check("198.51.2.0/24", &plain)?;
        // The aggregate of one route has its path as it is; FRR signs it.
        let aggregate = SeenPath {
            as_path: "65001 65201 65202".to_owned(),
            aggregator: Some((65_001, [10, 0, 1, 2].into())),
            ..plain
        };
        relay.check("192.0.0.0/16", &aggregate)
    });
}

#[test]
fn from_bird() {
    run("passed-bird", &HOSTS, |star| {
        let relay = Relay::start(star)?;
        let wants = Wants {
            networks: &["198.51.1.0/24", "198.51.2.0/24"],
            session: "ipv4 { import all; export filter {
                if net = 198.51.1.0/24 then {
                    bgp_community.add((65001, 1)); bgp_community.add((64512, 5));
                    bgp_large_community.add((65001, 1, 2)); bgp_large_community.add((1, 2, 3));
                    bgp_ext_community.add((rt, 65001, 7)); bgp_ext_community.add((ro, 65001, 8));
                    bgp_med = 77; bgp_origin = ORIGIN_EGP;
                    bgp_path.prepend(4200000001); bgp_path.prepend(65001);
                }
                accept; }; };",
            ..Wants::default()
        };
        let _sender = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        let expected = SeenPath {
            as_path: "65001 65001 4200000001".to_owned(),
            origin: "EGP".to_owned(),
            med: Some(77),
            communities: set(&["65001:1", "64512:5"]),
            large_communities: set(&["65001:1:2", "1:2:3"]),
            extended_communities: set(&["RT:65001:7", "SoO:65001:8"]),
            ..SeenPath::default()
        };
        relay.check("198.51.1.0/24", &expected)?;
        let plain = SeenPath { as_path: "65001".to_owned(), origin: "IGP".to_owned(), ..SeenPath::default() };
        relay.check("198.51.2.0/24", &plain)
    });
}

#[test]
fn from_gobgp() {
    run("passed-gobgp", &HOSTS, |star| {
        let relay = Relay::start(star)?;
        let sender = star.peer(1)?.gobgp(&gobgp(1, 65_001, "10.0.1.1", Wants::default()))?;
        announce_by_gobgp(
            &sender,
            &[
                "198.51.1.0/24 origin egp aspath 65101,4200000001,{65102,65103} med 9 community 65001:1,64512:5 \
                 large-community 65001:1:2,1:2:3 aggregator 65009:9.9.9.9 rt 65001:7",
                "198.51.2.0/24",
            ],
        )?;
        let expected = SeenPath {
            as_path: "65001 65101 4200000001 {65102,65103}".to_owned(),
            origin: "EGP".to_owned(),
            med: Some(9),
            aggregator: Some((65_009, [9, 9, 9, 9].into())),
            communities: set(&["65001:1", "64512:5"]),
            large_communities: set(&["65001:1:2", "1:2:3"]),
            extended_communities: set(&["RT:65001:7"]),
            ..SeenPath::default()
        };
        relay.check("198.51.1.0/24", &expected)?;
        let plain =
            SeenPath { as_path: "65001".to_owned(), origin: "incomplete".to_owned(), ..SeenPath::default() };
        relay.check("198.51.2.0/24", &plain)
    });
}

/// RFC 4271 §5: an unknown optional transitive attribute is passed on with Partial set; a non-transitive one is not.
#[test]
fn unknown_attributes() {
    run("unknown", &["sender", "bird", "gobgp"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002), over_v4(3, 65_003)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let gobgp = star.peer(3)?.gobgp(&gobgp(3, 65_003, "10.0.3.1", Wants::default()))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let long: Vec<u8> = (0..=255).cycle().take(300).collect();
        raw.announce(
            &[
                attribute(0x40, 1, &[0]),
                attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9]),
                attribute(0x40, 3, &[10, 0, 1, 2]),
                attribute(0xc0, 0xe3, &[1, 2, 3]),
                attribute(0x80, 0xe4, &[4, 5, 6]),
                attribute(0xc0, 0xe5, &long),
            ],
            &["198.51.1.0/24"],
        )?;
        for oracle in [&bird as &dyn Oracle, &gobgp] {
            let path = oracle.wait_path("198.51.1.0/24")?;
            let [short, extended] = path.unknown.as_slice() else {
                anyhow::bail!("{}: {path:?}", oracle.kind());
            };
            ensure!(
                (short.code, short.value.as_slice()) == (0xe3, &[1, 2, 3]),
                "{}: {path:?}",
                oracle.kind()
            );
            // BIRD shows the beginning of a long value only.
            ensure!(
                extended.code == 0xe5 && extended.value.len() > 100 && long.starts_with(&extended.value),
                "{}: {path:?}",
                oracle.kind()
            );
        }
        let path = gobgp.wait_path("198.51.1.0/24")?;
        ensure!(path.unknown.iter().any(|unknown| unknown.value == long), "{path:?}");
        let flags: Vec<_> = path.unknown.iter().map(|unknown| unknown.flags).collect();
        // Optional, transitive and partial; the extended length is the encoder's choice.
        ensure!(flags.iter().all(|flags| flags.is_some_and(|flags| flags & 0xe0 == 0xe0)), "{path:?}");
        bird.ensure_absent_for("198.51.2.0/24", Duration::from_millis(100))
    });
}

/// RFC 4456 and RFC 4271 §5.1.4-5: attributes that are only for internal peers, sent by an external one, go no further.
#[test]
fn internal_attributes_from_outside_are_ignored() {
    run("ibgp-only", &HOSTS, |star| {
        let relay = Relay::start(star)?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        raw.announce(
            &[
                attribute(0x40, 1, &[0]),
                attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9]),
                attribute(0x40, 3, &[10, 0, 1, 2]),
                attribute(0x40, 5, &999_u32.to_be_bytes()),
                attribute(0x80, 9, &[1, 1, 1, 1]),
                attribute(0x80, 10, &[2, 2, 2, 2]),
            ],
            &["198.51.1.0/24"],
        )?;
        let expected =
            SeenPath { as_path: "65001".to_owned(), origin: "IGP".to_owned(), ..SeenPath::default() };
        relay.check("198.51.1.0/24", &expected)
    });
}

#[test]
fn import_policy_rejects_and_changes() {
    let policy = "import: {name: from-peer, defaultAction: reject, statements: [\
        {name: good, anyCommunity: [\"65001:1\"], action: accept, \
         set: {localPreference: 350, addCommunities: [\"65000:9\"]}}]}";
    run("import-policy", &HOSTS, |star| {
        let neighbors = [over_v4(1, 65_001).with(policy), over_v4(2, 65_002), over_v4(3, RUTTER)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let sender = star.peer(1)?.gobgp(&gobgp(1, 65_001, "10.0.1.1", Wants::default()))?;
        announce_by_gobgp(&sender, &["198.51.1.0/24 community 65001:1", "198.51.2.0/24 community 65001:2"])?;
        let external = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        let internal = star.peer(3)?.frr(&frr(3, RUTTER, "10.0.3.1", Wants::default()))?;
        let path = external.wait_path("198.51.1.0/24")?;
        ensure!(path.communities == set(&["65000:9", "65001:1"]), "{path:?}");
        let path = internal.wait_path("198.51.1.0/24")?;
        ensure!(path.local_pref == Some(350), "{path:?}");
        external.ensure_absent_for("198.51.2.0/24", Duration::from_secs(2))
    });
}
