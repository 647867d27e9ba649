//! The decision process (RFC 4271 §9.1.2.2, RFC 4456 §9) from outside: two speakers offer a path each, a BIRD behind
//! rutter sees which one rutter chose, in whichever order they came.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, RawPeer, attribute, run};
use rutter_lab::wait_for;

use crate::daemons::{RUTTER, Wants, bird, over_v4, rutter};

/// What one speaker offers; the last two AS numbers tell the paths apart.
#[derive(Clone, Copy)]
struct Offer {
    origin: u8,
    path: &'static [u32],
    med: Option<u32>,
}

const PLAIN: Offer = Offer { origin: 0, path: &[], med: None };

/// One rule: what the speakers on link 1 and 2 offer, and whether the first one's path wins.
struct Rule {
    what: &'static str,
    first: Offer,
    second: Offer,
    first_wins: bool,
}

/// Both speakers are in AS 65001, so that MED counts. Their router IDs are 10.0.1.2 and 10.0.2.2.
const RULES: [Rule; 8] = [
    Rule {
        what: "a shorter AS_PATH",
        first: Offer { path: &[7, 7], ..PLAIN },
        second: Offer { path: &[8], ..PLAIN },
        first_wins: false,
    },
    Rule {
        what: "IGP before EGP",
        first: Offer { origin: 1, path: &[7], ..PLAIN },
        second: Offer { origin: 0, path: &[8], ..PLAIN },
        first_wins: false,
    },
    Rule {
        what: "EGP before incomplete",
        first: Offer { origin: 1, path: &[7], ..PLAIN },
        second: Offer { origin: 2, path: &[8], ..PLAIN },
        first_wins: true,
    },
    Rule {
        what: "a lower MED",
        first: Offer { path: &[7], med: Some(20), ..PLAIN },
        second: Offer { path: &[8], med: Some(10), ..PLAIN },
        first_wins: false,
    },
    Rule {
        what: "an absent MED counts as the lowest",
        first: Offer { path: &[7], med: Some(1), ..PLAIN },
        second: Offer { path: &[8], ..PLAIN },
        first_wins: false,
    },
    Rule {
        what: "AS_PATH before ORIGIN and MED",
        first: Offer { origin: 2, path: &[7], med: Some(900) },
        second: Offer { origin: 0, path: &[8, 8], med: Some(1) },
        first_wins: true,
    },
    Rule {
        what: "ORIGIN before MED",
        first: Offer { origin: 0, path: &[7], med: Some(900) },
        second: Offer { origin: 2, path: &[8], med: Some(1) },
        first_wins: true,
    },
    Rule {
        what: "the lower router ID",
        first: Offer { path: &[7], ..PLAIN },
        second: Offer { path: &[8], ..PLAIN },
        first_wins: true,
    },
];

impl Offer {
    fn announce(self, raw: &mut RawPeer, link: u8, prefix: &str) -> Result<()> {
        let mut path = vec![2, u8::try_from(self.path.len() + 1)?];
        path.extend(65_001_u32.to_be_bytes());
        path.extend(self.path.iter().flat_map(|asn| asn.to_be_bytes()));
        let mut attributes = vec![
            attribute(0x40, 1, &[self.origin]),
            attribute(0x40, 2, &path),
            attribute(0x40, 3, &[10, 0, link, 2]),
        ];
        attributes.extend(self.med.map(|med| attribute(0x80, 4, &med.to_be_bytes())));
        raw.announce(&attributes, &[prefix])
    }

    fn seen(self) -> String {
        let path: String = self.path.iter().map(|asn| format!(" {asn}")).collect();
        format!("{RUTTER} 65001{path}")
    }
}

#[test]
fn each_rule_in_both_orders() {
    run("best-path", &["first", "second", "bird"], |star| {
        let passive = |link| over_v4(link, 65_001).with("passive: true");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[passive(1), passive(2), over_v4(3, 65_003)], &[]))?;
        let bird = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", Wants::default()))?;
        let mut speakers = Vec::new();
        for link in [1_u8, 2] {
            let mut raw = RawPeer::connect(star.peer(usize::from(link))?, &format!("10.0.{link}.1"))?;
            raw.establish(65_001, Ipv4Addr::new(10, 0, link, 2))?;
            speakers.push(raw);
        }
        let [first, second] = speakers.as_mut_slice() else { unreachable!("two were pushed") };
        for (index, rule) in RULES.iter().enumerate() {
            let (early, late) = (format!("20.{index}.0.0/16"), format!("21.{index}.0.0/16"));
            rule.first.announce(first, 1, &early)?;
            rule.second.announce(second, 2, &early)?;
            rule.second.announce(second, 2, &late)?;
            rule.first.announce(first, 1, &late)?;
        }
        for (index, rule) in RULES.iter().enumerate() {
            let (winner, loser) =
                if rule.first_wins { (rule.first, rule.second) } else { (rule.second, rule.first) };
            for octet in [20, 21] {
                let prefix = format!("{octet}.{index}.0.0/16");
                bird.wait_path_that(&prefix, &|path| path.as_path == winner.seen())
                    .with_context(|| rule.what.to_owned())?;
                // The winner goes, the loser takes over; the winner returns and wins again.
                let speaker = if rule.first_wins { &mut *first } else { &mut *second };
                speaker.withdraw(&[&prefix])?;
                bird.wait_path_that(&prefix, &|path| path.as_path == loser.seen())
                    .with_context(|| format!("{}, the winner withdrawn", rule.what))?;
            }
        }
        Ok(())
    });
}

/// LOCAL_PREF comes before everything, and an external path before an internal one.
#[test]
fn internal_and_external_paths() {
    run("best-path-ibgp", &["internal", "external", "bird"], |star| {
        let neighbors = [
            over_v4(1, RUTTER).with("passive: true"),
            over_v4(2, 65_002).with("passive: true"),
            over_v4(3, 65_003),
        ];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let bird = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", Wants::default()))?;
        let mut internal = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        internal.establish(RUTTER, [10, 0, 1, 2].into())?;
        let mut external = RawPeer::connect(star.peer(2)?, "10.0.2.1")?;
        external.establish(65_002, [10, 0, 2, 2].into())?;
        let inside = |local_pref: u32, path: &[u32]| {
            let mut segment = vec![2, u8::try_from(path.len()).unwrap_or_default()];
            segment.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
            vec![
                attribute(0x40, 1, &[0]),
                attribute(0x40, 2, &segment),
                attribute(0x40, 3, &[10, 0, 1, 2]),
                attribute(0x40, 5, &local_pref.to_be_bytes()),
            ]
        };
        let outside = [
            attribute(0x40, 1, &[0]),
            attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xea]),
            attribute(0x40, 3, &[10, 0, 2, 2]),
        ];
        internal.announce(&inside(200, &[7, 7, 7]), &["20.1.0.0/16"])?;
        internal.announce(&inside(50, &[7]), &["20.2.0.0/16"])?;
        internal.announce(&inside(100, &[7]), &["20.3.0.0/16"])?;
        external.announce(&outside, &["20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16"])?;
        let expected =
            [("20.1.0.0/16", "65000 7 7 7"), ("20.2.0.0/16", "65000 65002"), ("20.3.0.0/16", "65000 65002")];
        for (prefix, path) in expected {
            bird.wait_path_that(prefix, &|seen| seen.as_path == path).with_context(|| prefix.to_owned())?;
        }
        external.withdraw(&["20.3.0.0/16"])?;
        bird.wait_path_that("20.3.0.0/16", &|seen| seen.as_path == "65000 7").map(drop)
    });
}

/// rutter's own route is preferred to a learned one, and the learned one takes over when it goes.
#[test]
fn own_routes_come_first() {
    run("best-path-own", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.1.0/24"]))?;
        let wants = Wants { networks: &["203.0.1.0/24"], ..Wants::default() };
        let _frr = star.peer(1)?.frr(&crate::daemons::frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        bird.wait_path_that("203.0.1.0/24", &|path| path.as_path == "65000")?;
        wait_for(PATIENCE, "FRR's path to arrive too", || {
            let shown = bgpd.get("/v1/show/bgp/ipv4/203.0.1.0%2F24?format=json")?;
            ensure!(shown["paths"].as_array().is_some_and(|paths| paths.len() == 2), "{shown}");
            Ok(())
        })?;
        bird.wait_path_that("203.0.1.0/24", &|path| path.as_path == "65000")?;
        bgpd.reload(&rutter(RUTTER, &neighbors, &[]))?;
        bird.wait_path_that("203.0.1.0/24", &|path| path.as_path == "65000 65001").map(drop)
    });
}
