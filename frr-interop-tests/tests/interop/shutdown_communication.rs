//! Shutdown communication (RFC 9003): what one operator says when a session is closed is what the other operator reads,
//! both ways, and what a hostile peer says cannot harm a terminal.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{NOTIFICATION, Oracle, PATIENCE, RawPeer, run};
use rutter_lab::{Bgpd, rutter_binary, wait_for};
use serde_json::Value;

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

/// Words with a character of more than one octet.
const WORDS: &str = "maintenance in room é, back at six";

/// Runs rutterctl against this bgpd.
fn rutterctl(bgpd: &Bgpd, words: &[&str]) -> Result<String> {
    let run = Command::new(rutter_binary("rutterctl")?)
        .arg("--socket")
        .arg(bgpd.socket())
        .args(words)
        .output()
        .context("running rutterctl")?;
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    ensure!(run.status.success(), "rutterctl {words:?}: {out}{err}");
    Ok(out.into_owned())
}

/// What bgpd remembers of the neighbour on this link.
fn history(bgpd: &Bgpd, link: usize) -> Result<Value> {
    let key = format!("10.0.{link}.2");
    Ok(bgpd.get(&format!("/v1/show/bgp/neighbors/{key}/history"))?[&key].clone())
}

/// Waits until bgpd has received a Cease of this subcode with these words, as the end of its session.
fn wait_received(bgpd: &Bgpd, link: usize, subcode: u8, words: &str) -> Result<()> {
    wait_for(PATIENCE, "rutter to keep the words it received", || {
        let history = history(bgpd, link)?;
        let last = &history["endedSessions"][0]["notification"];
        ensure!(last["direction"] == "received" && last["code"] == 6, "{history:#}");
        ensure!(last["subcode"] == subcode && last["shutdownDescription"] == words, "{history:#}");
        let log = bgpd.daemon().log();
        ensure!(log.contains(words), "the log lacks them:\n{log}");
        Ok(())
    })
}

#[test]
fn words_to_and_from_frr() {
    run("shutdown-frr", &["frr"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &[]))?;
        // FRR takes a NOTIFICATION on its next try for an error of its own and forgets the words: let it wait for us.
        let wants = Wants { session: " neighbor 10.0.1.1 passive", ..Wants::default() };
        let config = frr(1, 65_001, "10.0.1.1", wants);
        let frr = star.peer(1)?.frr(&config)?;
        frr.wait_established("10.0.1.1")?;
        let done = rutterctl(&bgpd, &["neighbor", "link1", "shutdown", "message", WORDS])?;
        ensure!(done == "link1: shut down\n", "{done}");
        wait_for(PATIENCE, "FRR to show our words", || {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            let shown = &shown["10.0.1.1"];
            // FRR shows what is not ASCII octet by octet.
            let expected = WORDS.replace('é', r"\xc3\xa9");
            ensure!(shown["lastShutdownDescription"] == expected, "{shown:#}");
            ensure!(shown["lastErrorCodeSubcode"] == "0602", "{}", shown["lastErrorCodeSubcode"]);
            Ok(())
        })?;
        rutterctl(&bgpd, &["no", "neighbor", "link1", "shutdown"])?;
        frr.wait_established("10.0.1.1")?;
        // A reset carries words too (6/4), and the session is back by itself.
        rutterctl(&bgpd, &["clear", "bgp", "link1", "message", "new optics"])?;
        wait_for(PATIENCE, "FRR to show the words of a reset", || {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            ensure!(shown["10.0.1.1"]["lastShutdownDescription"] == "new optics", "{shown}");
            Ok(())
        })?;
        frr.wait_established("10.0.1.1")?;
        frr.configure(&["router bgp 65001", &format!("neighbor 10.0.1.1 shutdown message {WORDS}")])?;
        wait_received(&bgpd, 1, 2, WORDS)
    });
}

#[test]
fn words_to_and_from_bird() {
    run("shutdown-bird", &["bird"], |star| {
        let bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &[]))?;
        let bird = star.peer(1)?.bird(&bird(1, 65_001, "10.0.1.1", Wants::default()))?;
        bird.wait_established("10.0.1.1")?;
        rutterctl(&bgpd, &["neighbor", "10.0.1.2", "shutdown", "message", WORDS])?;
        wait_for(PATIENCE, "BIRD to show our words", || {
            let shown = bird.birdc("show protocols all rutter")?;
            ensure!(shown.contains(WORDS), "{shown}");
            Ok(())
        })?;
        rutterctl(&bgpd, &["no", "neighbor", "10.0.1.2", "shutdown"])?;
        bird.wait_established("10.0.1.1")?;
        bird.birdc(&format!("disable rutter \"{WORDS}\""))?;
        wait_received(&bgpd, 1, 2, WORDS)
    });
}

/// Octets on the wire: one of length, then UTF-8; and what comes back cannot move anybody's cursor.
#[test]
fn words_on_the_wire_and_from_a_hostile_peer() {
    run("shutdown-raw", &["raw"], |star| {
        let neighbor = over_v4(1, 65_001).with("passive: true");
        let bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &[]))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(65_001, [10, 0, 1, 2].into())?;
        let longest = "x".repeat(255);
        rutterctl(&bgpd, &["clear", "bgp", "link1", "message", &longest])?;
        let (code, subcode, data) = raw.expect_notification(PATIENCE)?;
        ensure!((code, subcode) == (6, 4), "{code}/{subcode}");
        ensure!(data.split_first() == Some((&255, longest.as_bytes())), "{data:?}");
        let long = "x".repeat(256);
        let refused = rutterctl(&bgpd, &["clear", "bgp", "link1", "message", &long]);
        ensure!(
            refused.is_err_and(|error| error.to_string().contains("256 octets")),
            "256 octets were taken"
        );

        for (words, shown) in [
            (&b"\x1b[2Jgone\x07\r\n"[..], Some("?[2Jgone???")),
            // Not UTF-8: kept as octets, shown as such.
            (&b"\xff\xfe\xfd"[..], None),
        ] {
            let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
            raw.establish(65_001, [10, 0, 1, 2].into())?;
            let mut body = vec![6, 2, u8::try_from(words.len())?];
            body.extend_from_slice(words);
            raw.send(NOTIFICATION, &body)?;
            let hex: String = body[2..].iter().map(|octet| format!("{octet:02x}")).collect();
            wait_for(PATIENCE, "rutter to keep the words", || {
                let history = history(&bgpd, 1)?;
                let last = &history["endedSessions"][0]["notification"];
                ensure!(last["data"] == *hex, "{history:#}");
                ensure!(last["shutdownDescription"].as_str() == shown, "{history:#}");
                Ok(())
            })?;
        }
        let text = rutterctl(&bgpd, &["show", "bgp", "neighbors", "link1", "history"])?;
        let log = bgpd.daemon().log();
        for (what, text) in [("show", text), ("log", log)] {
            ensure!(!text.contains(|c: char| c.is_control() && c != '\n'), "{what}: {text:?}");
            ensure!(text.contains("not UTF-8"), "{what}: {text}");
        }
        Ok(())
    });
}

/// `clear bgp * soft` moves no session, `clear bgp *` all.
#[test]
fn clear_soft_keeps_the_session_and_clear_does_not() {
    run("clear", &["frr", "bird"], |star| {
        let neighbors = [over_v4(1, 65_001), over_v4(2, 65_002)];
        let bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = Wants { networks: &["198.51.100.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", Wants::default()))?;
        bird.wait_path("198.51.100.0/24")?;
        let before = (frr.wait_established("10.0.1.1")?, bird.wait_established("10.0.2.1")?);
        let updates = || -> Result<u64> {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            let stats = &shown["10.0.1.1"]["messageStats"];
            Ok(stats["updatesRecv"].as_u64().unwrap_or_default()
                + stats["updatesSent"].as_u64().unwrap_or_default())
        };
        let seen = updates()?;
        rutterctl(&bgpd, &["clear", "bgp", "*", "soft"])?;
        wait_for(PATIENCE, "routes to cross again both ways", || {
            ensure!(updates()? >= seen + 2, "{} after {seen}", updates()?);
            Ok(())
        })?;
        frr.ensure_same_session("10.0.1.1", &before.0)?;
        bird.ensure_same_session("10.0.2.1", &before.1)?;
        rutterctl(&bgpd, &["clear", "bgp", "*"])?;
        wait_for(Duration::from_secs(20), "both to come back", || {
            ensure!(frr.session("10.0.1.1".parse()?)?.incarnation != before.0.incarnation, "FRR: the same");
            let now = bird.session("10.0.2.1".parse()?)?;
            ensure!(now.established && !bird.same_incarnation(&before.1, &now), "BIRD: the same");
            Ok(())
        })
    });
}
