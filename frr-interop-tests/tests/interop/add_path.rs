//! ADD-PATH (RFC 7911): rutter sends several paths to FRR, BIRD and GoBGP, and takes them from FRR and from BIRD.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Session, Star, run};
use rutter_lab::{Bgpd, Bird, Frr, wait_for};
use serde_json::Value;

use crate::daemons::{Neighbor, Wants, bird, frr, gobgp, over_v4, rutter};

const PREFIX: &str = "203.0.113.0/24";

/// Path identifiers and AS paths.
type Paths = BTreeMap<u64, String>;

fn as_paths(paths: &Paths) -> Vec<&str> {
    let mut all: Vec<&str> = paths.values().map(String::as_str).collect();
    all.sort_unstable();
    all
}

/// What FRR has of the prefix, by the identifiers under which it came.
fn in_frr(frr: &Frr) -> Result<Paths> {
    let shown = frr.show_json(&format!("show bgp ipv4 unicast {PREFIX} json"))?;
    let paths = shown["paths"].as_array().into_iter().flatten();
    let one = |path: &Value| {
        let id = path["addpathRxId"].as_u64().unwrap_or_default();
        (id, path["aspath"]["string"].as_str().unwrap_or_default().to_owned())
    };
    let list: Vec<_> = paths.map(one).collect();
    let map: Paths = list.iter().cloned().collect();
    ensure!(map.len() == list.len(), "two paths under one identifier: {list:?}");
    Ok(map)
}

fn wait_frr(frr: &Frr, wanted: &[&str]) -> Result<Paths> {
    wait_for(PATIENCE, &format!("FRR to have the paths {wanted:?}"), || {
        let paths = in_frr(frr)?;
        ensure!(as_paths(&paths) == wanted, "{paths:?}");
        Ok(paths)
    })
}

/// Waits until any daemon has exactly these paths to the prefix.
fn wait_paths(oracle: &dyn Oracle, wanted: &[&str]) -> Result<()> {
    wait_for(PATIENCE, &format!("{} to have the paths {wanted:?}", oracle.kind()), || {
        let paths = oracle.paths(PREFIX)?;
        let mut seen: Vec<_> = paths.iter().map(|path| path.as_path.clone()).collect();
        seen.sort();
        ensure!(seen == wanted, "{paths:?}");
        Ok(())
    })
}

/// Two sources of one prefix, on links 1 and 2: an FRR of AS 65001 and a BIRD of AS 65002.
fn sources(star: &Star) -> Result<(Frr, Bird)> {
    let wants = Wants { networks: &[PREFIX], ..Wants::default() };
    Ok((
        star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?,
        star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?,
    ))
}

const BOTH: [&str; 2] = ["65000 65001", "65000 65002"];

/// rutter with the two sources, and observers on links 3 to 5 that are sent what `send` says.
fn in_the_middle(send: &str) -> String {
    let line = format!("addPath: {{send: {send}}}");
    let observer = |link: usize, asn: u32| -> Neighbor { over_v4(link, asn).with(&line) };
    let neighbors = [
        over_v4(1, 65_001),
        over_v4(2, 65_002),
        observer(3, 65_003),
        observer(4, 65_004),
        observer(5, 65_005),
    ];
    rutter(65_000, &neighbors, &[])
}

#[test]
fn frr_bird_and_gobgp_take_all_paths_and_lose_them_one_by_one() {
    run("add-path-send", &["one", "two", "frr", "bird", "gobgp"], |star| {
        let bgpd = star.bgpd(&in_the_middle("all"))?;
        let (source, _other) = sources(star)?;
        let frr = star.peer(3)?.frr(&frr(3, 65_003, "10.0.3.1", Wants::default()))?;
        let channel = "ipv4 { import all; export all; add paths rx; };";
        let bird = star.peer(4)?.bird(&bird(
            4,
            65_004,
            "10.0.4.1",
            Wants { session: channel, ..Wants::default() },
        ))?;
        let go = gobgp(5, 65_005, "10.0.5.1", Wants::default())
            + "[neighbors.afi-safis.add-paths.config]\nreceive = true\n";
        let gobgp = star.peer(5)?.gobgp(&go)?;
        let observers: [(&str, &dyn Oracle); 3] =
            [("10.0.3.1", &frr), ("10.0.4.1", &bird), ("10.0.5.1", &gobgp)];

        let before = wait_frr(&frr, &BOTH)?;
        for (_, oracle) in observers {
            wait_paths(oracle, &BOTH)?;
        }
        ensure!(!before.contains_key(&0), "a path without identifier: {before:?}");
        shown_as_sent(&bgpd, &frr, &before)?;
        let sessions = observers
            .iter()
            .map(|(address, oracle)| oracle.wait_established(address))
            .collect::<Result<Vec<Session>>>()?;

        // One path goes; the other keeps its identifier.
        source.configure(&[
            "router bgp 65001",
            "address-family ipv4 unicast",
            &format!("no network {PREFIX}"),
        ])?;
        let left = wait_frr(&frr, &BOTH[1..])?;
        ensure!(left.iter().all(|(id, path)| before.get(id) == Some(path)), "{before:?} became {left:?}");
        for (_, oracle) in observers {
            wait_paths(oracle, &BOTH[1..])?;
        }
        source.configure(&[
            "router bgp 65001",
            "address-family ipv4 unicast",
            &format!("network {PREFIX}"),
        ])?;
        for (_, oracle) in observers {
            wait_paths(oracle, &BOTH)?;
        }

        // Another choice of paths is no reason to end a session.
        bgpd.reload(&in_the_middle("1"))?;
        for (_, oracle) in observers {
            wait_for(PATIENCE, &format!("{} to have the best path alone", oracle.kind()), || {
                let paths = oracle.paths(PREFIX)?;
                ensure!(paths.len() == 1, "{paths:?}");
                Ok(())
            })?;
        }
        bgpd.reload(&in_the_middle("all"))?;
        for ((address, oracle), session) in observers.iter().zip(&sessions) {
            wait_paths(*oracle, &BOTH)?;
            oracle.ensure_same_session(address, session)?;
        }

        // A new session is sent all of them again.
        frr.vtysh(&["clear bgp *"])?;
        bird.birdc("restart rutter")?;
        gobgp.gobgp(&["neighbor", "10.0.5.1", "reset"])?;
        for ((address, oracle), session) in observers.iter().zip(&sessions) {
            wait_for(PATIENCE, "a new session", || {
                ensure!(oracle.ensure_same_session(address, session).is_err(), "still the old one");
                Ok(())
            })?;
            wait_paths(*oracle, &BOTH)?;
        }
        Ok(())
    });
}

/// rutter shows the identifiers that FRR has, and what both said they can do.
fn shown_as_sent(bgpd: &Bgpd, frr: &Frr, paths: &Paths) -> Result<()> {
    let shown = bgpd.get("/v1/show/bgp/ipv4/203.0.113.0/24")?;
    let sent: Paths = shown["paths"]
        .as_array()
        .into_iter()
        .flatten()
        // FRR sends its best path back, which is our own AS again.
        .filter(|path| path["valid"] == true)
        .filter_map(|path| {
            let own = format!("65000 {}", path["aspath"]["string"].as_str()?);
            Some((path["addpathTxIdAll"].as_u64()?, own))
        })
        .collect();
    ensure!(sent == *paths, "FRR has {paths:?}, rutter shows {shown}");
    let routes = bgpd.get("/v1/show/bgp/neighbors/10.0.3.2/advertised-routes?family=ipv4")?;
    let route = &routes["advertisedRoutes"][PREFIX];
    let more = route["morePaths"].as_array().map_or(0, Vec::len);
    ensure!(routes["totalPrefixCounter"] == 2 && more == 1, "{routes}");
    let theirs = frr.show_json("show bgp neighbors 10.0.3.1 json")?;
    let theirs = &theirs["10.0.3.1"]["neighborCapabilities"]["addPath"]["ipv4Unicast"];
    ensure!(theirs["txReceived"] == true && theirs["rxAdvertised"] == true, "{theirs}");
    let ours = bgpd.get("/v1/show/bgp/neighbors/10.0.3.2")?;
    let ours = &ours["10.0.3.2"]["neighborCapabilities"]["addPath"]["ipv4Unicast"];
    ensure!(ours["txAdvertised"] == true && ours["rxReceived"] == true, "{ours}");
    ensure!(ours["txAdvertisedAndReceived"] == false, "{ours}");
    Ok(())
}

/// What rutter has of the prefix from its one neighbour, by the identifiers under which it came.
fn in_rutter(bgpd: &Bgpd) -> Result<Paths> {
    let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.3.1/received-routes?family=ipv4")?;
    let first = &shown["receivedRoutes"][PREFIX];
    let more = first["morePaths"].as_array().into_iter().flatten();
    let all = std::iter::once(first).filter(|first| first.is_object()).chain(more);
    let one = |route: &Value| {
        let id = route["pathId"].as_u64().ok_or_else(|| anyhow!("no identifier in {shown}"))?;
        Ok((id, route["path"].as_str().unwrap_or_default().to_owned()))
    };
    all.map(one).collect()
}

fn wait_rutter(bgpd: &Bgpd, wanted: &[&str]) -> Result<Paths> {
    wait_for(PATIENCE, &format!("rutter to have the paths {wanted:?}"), || {
        let paths = in_rutter(bgpd)?;
        ensure!(as_paths(&paths) == wanted, "{paths:?}");
        Ok(paths)
    })
}

/// rutter on link 3 takes what the daemon on the hub sends of two BIRDs on links 1 and 2. `restart` ends the session.
fn takes_paths(star: &Star, sender: &dyn Oracle, restart: &dyn Fn() -> Result<()>) -> Result<()> {
    let config = |networks: &'static [&'static str]| {
        bird(1, 65_001, "10.0.1.1", Wants { networks, ..Wants::default() })
    };
    let one = star.peer(1)?.bird(&config(&[PREFIX]))?;
    let wants = Wants { networks: &[PREFIX], ..Wants::default() };
    let _two = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants))?;
    let neighbor = over_v4(3, 65_000).at("10.0.3.1").with("addPath: {receive: true}");
    let bgpd = star.peer(3)?.bgpd(&rutter(65_003, &[neighbor], &[]))?;
    let before = wait_rutter(&bgpd, &BOTH)?;
    let session = sender.wait_established("10.0.3.2")?;
    let shown = bgpd.get("/v1/show/bgp/ipv4/203.0.113.0/24")?;
    let paths = shown["paths"].as_array().context("paths")?;
    ensure!(paths.len() == 2 && paths.iter().all(|path| path["addpathRxId"].as_u64() > Some(0)), "{shown}");

    one.reconfigure(&config(&[]))?;
    let left = wait_rutter(&bgpd, &BOTH[1..])?;
    ensure!(left.iter().all(|(id, path)| before.get(id) == Some(path)), "{before:?} became {left:?}");
    // It is back, under whatever identifier.
    one.reconfigure(&config(&[PREFIX]))?;
    wait_rutter(&bgpd, &BOTH)?;
    sender.ensure_same_session("10.0.3.2", &session)?;
    restart()?;
    wait_for(PATIENCE, "a new session", || {
        ensure!(sender.ensure_same_session("10.0.3.2", &session).is_err(), "still the old one");
        Ok(())
    })?;
    let after = wait_rutter(&bgpd, &BOTH)?;
    ensure!(after.len() == 2, "no path of the session before is left: {after:?}");
    Ok(())
}

#[test]
fn rutter_takes_all_paths_from_frr() {
    run("add-path-from-frr", &["one", "two", "rutter"], |star| {
        let mut config =
            "router bgp 65000\n bgp router-id 10.0.0.1\n no bgp ebgp-requires-policy\n".to_owned();
        for link in 1..=3 {
            let neighbor = format!(" neighbor 10.0.{link}.2");
            config.push_str(&format!("{neighbor} remote-as 6500{link}\n{neighbor} timers connect 1\n"));
        }
        config.push_str(" address-family ipv4 unicast\n  neighbor 10.0.3.2 addpath-tx-all-paths\n exit-address-family\nexit\n");
        let frr = star.hub.frr(&config)?;
        takes_paths(star, &frr, &|| frr.vtysh(&["clear bgp 10.0.3.2"]).map(drop))
    });
}

#[test]
fn rutter_takes_all_paths_from_bird() {
    run("add-path-from-bird", &["one", "two", "rutter"], |star| {
        let mut config = "router id 10.0.0.1;\nprotocol device {}\n".to_owned();
        for link in 1..=3 {
            let paths = if link == 3 { "add paths tx;" } else { "" };
            config.push_str(&format!(
                "protocol bgp link{link} {{ local 10.0.{link}.1 as 65000; neighbor 10.0.{link}.2 as 6500{link}; \
                 connect retry time 1; connect delay time 1; error wait time 1, 2; \
                 ipv4 {{ import all; export all; {paths} }}; }}\n"
            ));
        }
        let bird = star.hub.bird(&config)?;
        takes_paths(star, &bird, &|| bird.birdc("restart link3").map(drop))
    });
}
