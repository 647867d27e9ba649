//! The laboratory proves itself without rutter: other daemons talk to each other, and nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star, run};
use rutter_lab::{Lab, wait_for};

/// Set for the process that plays the victim.
const VICTIM: &str = "RUTTER_LAB_VICTIM";

const FRR: &str = "
router bgp 65000
 bgp router-id 10.0.1.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.0.1.2 remote-as 65001
 neighbor 10.0.1.2 timers connect 1
 address-family ipv4 unicast
  network 203.0.113.0/24
";

#[test]
fn frr_and_bird_exchange_routes() {
    run("frr-bird", &["bird"], |star| {
        let frr = star.hub.frr(FRR)?;
        let bird = star.peer(1)?.bird(
            "router id 10.0.1.2;
             protocol device {}
             protocol static { ipv4; route 198.51.100.0/24 blackhole; }
             protocol bgp { local as 65001; neighbor 10.0.1.1 as 65000; connect retry time 1;
                            ipv4 { import all; export all; }; }",
        )?;
        frr.wait_established("10.0.1.2")?;
        bird.wait_established("10.0.1.1")?;
        let path = frr.wait_path("198.51.100.0/24")?;
        ensure!(path.as_path == "65001" && path.from == Some("10.0.1.2".parse()?), "{path:?}");
        let path = bird.wait_path("203.0.113.0/24")?;
        ensure!(path.as_path == "65000" && path.from == Some("10.0.1.1".parse()?), "{path:?}");
        Ok(())
    });
}

#[test]
fn frr_and_gobgp_exchange_routes_and_survive_a_crash() {
    run("frr-gobgp", &["gobgp"], |star| {
        let frr = star.hub.frr(FRR)?;
        let gobgp = star.peer(1)?.gobgp(
            "[global.config]
             as = 65001
             router-id = '10.0.1.2'
             [[neighbors]]
             [neighbors.config]
             neighbor-address = '10.0.1.1'
             peer-as = 65000
             [neighbors.timers.config]
             connect-retry = 1
             idle-hold-time-after-reset = 1",
        )?;
        gobgp.gobgp(&["global", "rib", "add", "198.51.100.0/24", "community", "65001:5"])?;
        gobgp.wait_established("10.0.1.1")?;
        let path = frr.wait_path("198.51.100.0/24")?;
        ensure!(path.communities.contains("65001:5"), "{path:?}");
        gobgp.wait_path("203.0.113.0/24")?;
        let before = gobgp.session("10.0.1.1".parse()?)?;

        frr.daemon().kill()?;
        frr.start_bgpd()?;
        wait_for(PATIENCE, "GoBGP to notice the restart", || {
            let now = gobgp.session("10.0.1.1".parse()?)?;
            ensure!(now.established && now.incarnation != before.incarnation, "{now:?}");
            Ok(())
        })?;
        frr.wait_path("198.51.100.0/24").map(drop)
    });
}

#[test]
fn nothing_is_left_after_a_panic() {
    let seen = std::panic::catch_unwind(|| {
        let star = Star::new("panic", &["other"]).unwrap();
        let _frr = star.hub.frr(FRR).unwrap();
        std::panic::panic_any((star.hub.netns().to_owned(), star.lab.folder().to_owned()));
    })
    .unwrap_err();
    let (netns, folder) =
        seen.downcast_ref::<(String, std::path::PathBuf)>().expect("what the body panicked with");
    assert!(!fs::exists(format!("/run/netns/{netns}")).unwrap(), "{netns} is still there");
    assert!(!folder.exists(), "{} is still there", folder.display());
}

/// Makes a lab, says what it made, and waits to be killed.
fn victim() -> Result<()> {
    let lab = Lab::new("victim")?;
    let host = lab.host("victim")?;
    let frr = host.frr(FRR)?;
    println!("\nvictim {} {} {}", host.netns(), lab.folder().display(), frr.daemon().pid()?);
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// The test starts itself once more as the process that will be killed.
#[test]
fn nothing_is_left_after_kill_9() -> Result<()> {
    if std::env::var_os(VICTIM).is_some() {
        return victim();
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "lab::nothing_is_left_after_kill_9", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().context("no stdout")?);
    let line = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("victim "))
        .context("the victim never said what it had made")?;
    let [_, netns, folder, pid] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("the victim said `{line}`");
    };
    let remains = || -> Result<()> {
        for path in [format!("/run/netns/{netns}"), folder.to_owned(), format!("/var/tmp/frr/bgpd.{pid}")] {
            ensure!(!fs::exists(&path)?, "{path} exists");
        }
        // A zombie is dead; who reaps it is init's business.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        ensure!(status.is_empty() || status.contains("State:\tZ"), "FRR's bgpd {pid} lives");
        Ok(())
    };
    ensure!(remains().is_err(), "nothing was there to be left");
    victim.kill()?;
    victim.wait()?;
    wait_for(Duration::from_secs(10), "the guardian to clean up", remains)
}
