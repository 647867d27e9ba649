//! Graceful restart (RFC 4724, RFC 8538) with real daemons, each side killed without a word: rutter helps FRR and BIRD, and
//! they help rutter. Somebody who listens to the helper tells whether a restart was noticed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, RawPeer, Star, run};
use rutter_lab::{Bgpd, wait_for};
use serde_json::Value;

use crate::daemons::{Neighbor, RUTTER, Wants, announce_by_gobgp, bird, frr, gobgp, over_v4, rutter};

const QUIET: Duration = Duration::from_millis(1_500);
const WATCHER: u32 = 65_009;

fn graceful(link: usize, asn: u32) -> Neighbor {
    over_v4(link, asn).with("gracefulRestart: {restartSeconds: 60}")
}

/// What an IPv4 listener is told: prefixes announced and withdrawn, until nothing more comes.
fn told(raw: &mut RawPeer) -> Result<(Vec<String>, Vec<String>)> {
    let (mut announced, mut withdrawn) = (Vec::new(), Vec::new());
    for frame in raw.drain(QUIET)? {
        ensure!(frame.kind != 3, "the listener's session ends: NOTIFICATION {:?}", frame.body);
        if frame.kind == 2 {
            let (gone, rest) = split(&frame.body)?;
            let (_, new) = split(rest)?;
            withdrawn.extend(prefixes(gone)?);
            announced.extend(prefixes(new)?);
        }
    }
    announced.sort();
    withdrawn.sort();
    Ok((announced, withdrawn))
}

/// A field with its length before it, and what follows.
fn split(body: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<2>().context("a short UPDATE")?;
    rest.split_at_checked(u16::from_be_bytes(*length).into()).context("a short UPDATE")
}

fn prefixes(mut field: &[u8]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = field.split_first() {
        let octets = usize::from(length.div_ceil(8));
        let (prefix, rest) = rest.split_at_checked(octets).context("a short prefix")?;
        let mut address = [0; 4];
        address[..octets].copy_from_slice(prefix);
        all.push(format!("{}/{length}", std::net::Ipv4Addr::from(address)));
        field = rest;
    }
    Ok(all)
}

/// The prefixes that rutter shows as stale, and the marks in its text.
fn stale(bgpd: &Bgpd) -> Result<Vec<String>> {
    let table = bgpd.get("/v1/show/bgp/ipv4?format=json")?;
    let routes = table["routes"].as_object().context("no routes")?;
    let is_stale =
        |paths: &Value| paths.as_array().is_some_and(|paths| paths.iter().any(|path| path["stale"] == true));
    Ok(routes.iter().filter(|(_, paths)| is_stale(paths)).map(|(prefix, _)| prefix.clone()).collect())
}

fn wait_stale(bgpd: &Bgpd, expected: &[&str]) -> Result<()> {
    wait_for(PATIENCE, &format!("rutter to show {expected:?} as stale"), || {
        let stale = stale(bgpd)?;
        ensure!(stale == expected, "{stale:?}");
        Ok(())
    })
}

/// Somebody on link 2 who has heard the neighbour's routes, this many, through rutter.
fn listener(star: &Star, bgpd: &Bgpd, neighbor: &dyn Oracle, routes: u32) -> Result<RawPeer> {
    let mut watch = RawPeer::connect(star.peer(2)?, "10.0.2.1")?;
    watch.establish(WATCHER, [10, 0, 2, 2].into())?;
    neighbor.wait_established("10.0.1.1")?;
    wait_for(PATIENCE, "rutter to have the neighbour's routes", || {
        let table = bgpd.get("/v1/show/bgp/ipv4?format=json")?;
        ensure!(table["totalRoutes"] == routes, "{table}");
        Ok(())
    })?;
    told(&mut watch)?;
    Ok(watch)
}

fn replace(file: &std::path::Path, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    ensure!(text.contains(from), "{} has no {from:?}", file.display());
    Ok(std::fs::write(file, text.replace(from, to))?)
}

#[test]
fn rutter_helps_frr_over_a_crash() {
    run("gr-helps-frr", &["frr", "watch"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[graceful(1, 65_001), over_v4(2, WATCHER)], &[]))?;
        let networks = ["198.51.1.0/24", "198.51.2.0/24"];
        let session = " bgp graceful-restart\n bgp graceful-restart preserve-fw-state";
        let wants = Wants { networks: &networks, session, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let mut watch = listener(star, &bgpd, &frr, 2)?;

        frr.daemon().kill()?;
        wait_stale(&bgpd, &networks)?;
        let text = bgpd.request("GET", "/v1/show/bgp/ipv4?format=text", None)?.body;
        ensure!(text.lines().any(|line| line.starts_with(" S>  198.51.1.0/24")), "{text}");
        let shown = bgpd.get("/v1/show/bgp/neighbors/10.0.1.2?format=json")?;
        let info = &shown["10.0.1.2"]["gracefulRestartInfo"];
        ensure!(info["localGrMode"] == "Restart", "{info}");
        ensure!(info["gracefulRestartTimerMsecs"].as_u64().is_some_and(|left| left > 10_000), "{info}");
        // What it has when it comes back is one of the two, and one more.
        let config = star.peer(1)?.folder().join("frr/bgpd.conf");
        replace(&config, "network 198.51.2.0/24", "network 198.51.3.0/24")?;
        frr.start_bgpd()?;
        frr.wait_established("10.0.1.1")?;
        wait_stale(&bgpd, &[])?;
        let (announced, withdrawn) = told(&mut watch)?;
        ensure!(announced == ["198.51.3.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        ensure!(withdrawn == ["198.51.2.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        Ok(())
    });
}

#[test]
fn rutter_helps_bird_over_a_crash() {
    run("gr-helps-bird", &["bird", "watch"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[graceful(1, 65_001), over_v4(2, WATCHER)], &[]))?;
        let networks = ["198.51.1.0/24", "198.51.2.0/24"];
        let wants = Wants { networks: &networks, session: "graceful restart yes;", ..Wants::default() };
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", wants))?;
        let mut watch = listener(star, &bgpd, &bird, 2)?;

        bird.daemon().kill()?;
        wait_stale(&bgpd, &networks)?;
        let (announced, withdrawn) = told(&mut watch)?;
        ensure!(announced.is_empty() && withdrawn.is_empty(), "{announced:?} {withdrawn:?}");
        // Started for recovery (-R) it says that forwarding was kept; without, everything would have to go at once.
        let (host, config) = (star.peer(1)?, star.peer(1)?.folder().join("bird.conf"));
        replace(&config, "route 198.51.2.0/24 blackhole;", "route 198.51.3.0/24 blackhole;")?;
        let (config, socket) =
            (config.display().to_string(), host.folder().join("bird.ctl").display().to_string());
        let _ = std::fs::remove_file(&socket);
        let _again =
            host.spawn("bird-again", &["/usr/sbin/bird", "-R", "-f", "-c", &config, "-s", &socket])?;
        bird.wait_established("10.0.1.1")?;
        wait_stale(&bgpd, &[])?;
        let (announced, withdrawn) = told(&mut watch)?;
        ensure!(announced == ["198.51.3.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        ensure!(withdrawn == ["198.51.2.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        Ok(())
    });
}

/// GoBGP restarts gracefully per neighbour and per family.
fn graceful_gobgp(link: usize, asn: u32) -> String {
    let more =
        "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\nnotification-enabled = true";
    let wants = Wants { more, ..Wants::default() };
    let family = "afi-safi-name = \"ipv4-unicast\"\n";
    let per_family = format!("{family}[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n");
    gobgp(link, asn, &format!("10.0.{link}.1"), wants).replace(family, &per_family)
}

#[test]
fn rutter_helps_gobgp_over_a_crash() {
    run("gr-helps-gobgp", &["gobgp", "watch"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[graceful(1, 65_001), over_v4(2, WATCHER)], &[]))?;
        let networks = ["198.51.1.0/24", "198.51.2.0/24"];
        let gobgp = star.peer(1)?.gobgp(&graceful_gobgp(1, 65_001))?;
        announce_by_gobgp(&gobgp, &networks)?;
        let mut watch = listener(star, &bgpd, &gobgp, 2)?;
        gobgp.daemon().kill()?;
        wait_stale(&bgpd, &networks)?;
        let (announced, withdrawn) = told(&mut watch)?;
        ensure!(announced.is_empty() && withdrawn.is_empty(), "{announced:?} {withdrawn:?}");
        // Started for recovery (-r) it says that forwarding was kept.
        let (host, daemon) = (star.peer(1)?, &rutter_lab::gobgp_binaries()?.gobgpd);
        let (program, file) = (daemon.display().to_string(), host.folder().join("gobgpd.toml"));
        let file = file.display().to_string();
        let args = ["-r", "-t", "toml", "--api-hosts", "127.0.0.1:50051", "--pprof-disable", "-f", &file];
        let argv: Vec<&str> = std::iter::once(program.as_str()).chain(args).collect();
        let _again = host.spawn("gobgpd-again", &argv)?;
        wait_for(PATIENCE, "GoBGP to answer", || gobgp.gobgp(&["global"]).map(drop))?;
        announce_by_gobgp(&gobgp, &["198.51.1.0/24", "198.51.3.0/24"])?;
        gobgp.wait_established("10.0.1.1")?;
        wait_stale(&bgpd, &[])?;
        let (announced, withdrawn) = told(&mut watch)?;
        ensure!(announced == ["198.51.3.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        ensure!(withdrawn == ["198.51.2.0/24"], "announced {announced:?}, withdrawn {withdrawn:?}");
        let metrics = bgpd.request("GET", "/metrics", None)?.body;
        let has = |name: &str| metrics.lines().any(|line| line.starts_with(name) && line.ends_with(" 1"));
        ensure!(has("bgpd_graceful_restarts_total") && has("bgpd_stale_routes_removed_total"), "{metrics}");
        Ok(())
    });
}

#[test]
fn a_peer_that_does_not_come_back_loses_its_routes() {
    run("gr-away", &["frr", "watch"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[graceful(1, 65_001), over_v4(2, WATCHER)], &[]))?;
        let session = " bgp graceful-restart\n bgp graceful-restart restart-time 5";
        let wants = Wants { networks: &["198.51.1.0/24"], session, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let mut watch = listener(star, &bgpd, &frr, 1)?;
        frr.daemon().kill()?;
        wait_stale(&bgpd, &["198.51.1.0/24"])?;
        std::thread::sleep(Duration::from_secs(5));
        let (_, withdrawn) = told(&mut watch)?;
        ensure!(withdrawn == ["198.51.1.0/24"], "{withdrawn:?}");
        Ok(())
    });
}

/// A cable from the helper's host (link 1) to the listener's (link 2), beside those to the hub.
fn cable(star: &Star) -> Result<()> {
    let (helper, watch) = (star.peer(1)?, star.peer(2)?);
    star.lab.link(helper.port("eth1", &["10.9.1.2/24"]), watch.port("eth1", &["10.9.1.3/24"]))
}

/// Rutter with a route of its own and one that it passes on from link 3.
fn rutter_between() -> String {
    let neighbors = [graceful(1, 65_001), graceful(3, 65_003)];
    rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"])
}

/// Kills rutter and starts it again; the listener must hear nothing of it.
fn crash(star: &Star, bgpd: &Bgpd, helper: &dyn Oracle) -> Result<()> {
    helper.wait_path("203.0.113.0/24")?;
    helper.wait_path("198.51.3.0/24")?;
    let mut watch = RawPeer::connect_from(star.peer(2)?, "10.9.1.3", "10.9.1.2")?;
    watch.establish(WATCHER, [10, 9, 1, 3].into())?;
    let mut announced = Vec::new();
    wait_for(PATIENCE, "the listener to have both routes", || {
        announced.extend(told(&mut watch)?.0);
        announced.sort();
        ensure!(announced == ["198.51.3.0/24", "203.0.113.0/24"], "{announced:?}");
        Ok(())
    })?;
    for round in 0..3 {
        bgpd.daemon().kill()?;
        helper.wait_down("10.0.1.1", PATIENCE)?;
        ensure!(helper.paths("203.0.113.0/24")?.len() == 1, "the helper dropped the route at once");
        bgpd.start_again()?;
        helper.wait_established("10.0.1.1")?;
        wait_for(PATIENCE, "the restart to be over", || {
            let peers = bgpd.get("/v1/show/bgp/neighbors?format=json")?;
            let sent = |peer: &str| peers[peer]["gracefulRestartInfo"]["endOfRibSend"]["ipv4Unicast"] == true;
            ensure!(sent("10.0.1.2") && sent("10.0.3.2"), "{peers}");
            Ok(())
        })?;
        let (_, withdrawn) = told(&mut watch)?;
        ensure!(withdrawn.is_empty(), "round {round}: the listener was told that {withdrawn:?} are gone");
        ensure!(helper.paths("203.0.113.0/24")?.len() == 1 && helper.paths("198.51.3.0/24")?.len() == 1);
    }
    Ok(())
}

#[test]
fn frr_helps_rutter_over_a_crash() {
    run("gr-by-frr", &["frr", "watch", "bird"], |star| {
        cable(star)?;
        let bgpd = star.bgpd(&rutter_between())?;
        let session = " neighbor 10.9.1.3 remote-as 65009\n neighbor 10.9.1.3 passive";
        let more = "router bgp 65001\n address-family ipv4 unicast\n  neighbor 10.9.1.3 activate\n exit-address-family\nexit";
        let frr =
            star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants { session, more, ..Wants::default() }))?;
        let wants = Wants { networks: &["198.51.3.0/24"], ..Wants::default() };
        let _bird = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", wants))?;
        let shown = |frr: &rutter_lab::Frr| -> Result<Value> {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            Ok(shown["10.0.1.1"]["gracefulRestartInfo"].clone())
        };
        frr.wait_established("10.0.1.1")?;
        let cold = shown(&frr)?;
        ensure!(cold["rBit"] == false, "a cold start: {cold}");
        crash(star, &bgpd, &frr)?;
        let info = shown(&frr)?;
        ensure!(info["rBit"] == true && info["remoteGrMode"] == "Restart", "{info}");
        ensure!(info["ipv4Unicast"]["fBit"] == true, "{info}");
        // Older FRR does not know N.
        ensure!(info.get("nBit").is_none_or(|bit| *bit == true), "{info}");

        // A stop on purpose is none: everything goes at once, and what starts then starts cold.
        bgpd.daemon().terminate(Duration::from_secs(5))?;
        frr.wait_gone("203.0.113.0/24")?;
        bgpd.start_again()?;
        frr.wait_path("203.0.113.0/24")?;
        let info = shown(&frr)?;
        ensure!(info["rBit"] == false, "{info}");
        Ok(())
    });
}

#[test]
fn bird_helps_rutter_over_a_crash() {
    run("gr-by-bird", &["bird", "watch", "frr"], |star| {
        cable(star)?;
        let bgpd = star.bgpd(&rutter_between())?;
        let more = "protocol bgp watch { local 10.9.1.2 as 65001; neighbor 10.9.1.3 as 65009; passive; \
                    ipv4 { import all; export all; }; }";
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", Wants { more, ..Wants::default() }))?;
        let wants = Wants { networks: &["198.51.3.0/24"], ..Wants::default() };
        let _frr = star.peer(3)?.frr(&frr(3, 65_003, "10.0.3.1", wants))?;
        crash(star, &bgpd, &bird)?;
        bgpd.daemon().terminate(Duration::from_secs(5))?;
        bird.wait_gone("203.0.113.0/24")
    });
}

#[test]
fn gobgp_helps_rutter_over_a_crash() {
    run("gr-by-gobgp", &["gobgp", "watch", "bird"], |star| {
        cable(star)?;
        let bgpd = star.bgpd(&rutter_between())?;
        let config = graceful_gobgp(1, 65_001)
            + "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"10.9.1.3\"\npeer-as = 65009\n\
               [neighbors.transport.config]\npassive-mode = true\n[[neighbors.afi-safis]]\n\
               [neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\"\n";
        let gobgp = star.peer(1)?.gobgp(&config)?;
        let wants = Wants { networks: &["198.51.3.0/24"], ..Wants::default() };
        let _bird = star.peer(3)?.bird(&bird(3, 65_003, "10.0.3.1", wants))?;
        crash(star, &bgpd, &gobgp)
    });
}
