//! Route refresh (RFC 2918), End-of-RIB and the graceful restart capability (RFC 4724), as FRR and BIRD use them.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, PATIENCE, run};
use rutter_lab::wait_for;

use crate::daemons::{RUTTER, Wants, bird, frr, over_v4, rutter};

#[test]
fn frr_asks_again_after_a_changed_filter() {
    run("refresh-frr", &["frr"], |star| {
        let _bgpd = star.bgpd(&rutter(
            RUTTER,
            &[over_v4(1, 65_001)],
            &["prefix: 203.0.1.0/24", "prefix: 203.0.2.0/24"],
        ))?;
        let wants = Wants {
            more: "ip prefix-list ONE permit 203.0.1.0/24\nroute-map IN permit 10\n match ip address prefix-list ONE\nexit\n",
            ..Wants::default()
        };
        let config = frr(1, 65_001, "10.0.1.1", wants).replace(
            "  neighbor 10.0.1.1 activate\n",
            "  neighbor 10.0.1.1 activate\n  neighbor 10.0.1.1 route-map IN in\n",
        );
        let frr = star.peer(1)?.frr(&config)?;
        frr.wait_path("203.0.1.0/24")?;
        let before = frr.wait_established("10.0.1.1")?;
        frr.ensure_absent_for("203.0.2.0/24", Duration::from_secs(1))?;
        // FRR keeps nothing of what it filtered, so it has to ask rutter.
        frr.configure(&["ip prefix-list ONE permit 203.0.2.0/24"])?;
        frr.vtysh(&["clear bgp ipv4 unicast 10.0.1.1 soft in"])?;
        frr.wait_path("203.0.2.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before)?;
        let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
        ensure!(shown["10.0.1.1"]["messageStats"]["routeRefreshSent"].as_u64() > Some(0), "{shown}");
        Ok(())
    });
}

#[test]
fn bird_asks_again_on_reload() {
    run("refresh-bird", &["bird"], |star| {
        let _bgpd = star.bgpd(&rutter(RUTTER, &[over_v4(1, 65_001)], &["prefix: 203.0.1.0/24"]))?;
        let config = |import: &str| {
            let session = format!("ipv4 {{ import {import}; export all; }};");
            bird(1, 65_001, "10.0.1.1", Wants { session: &session, ..Wants::default() })
        };
        let bird = star.peer(1)?.bird(&config("none"))?;
        let before = bird.wait_established("10.0.1.1")?;
        bird.ensure_absent_for("203.0.1.0/24", Duration::from_secs(1))?;
        bird.reconfigure(&config("all"))?;
        bird.wait_path("203.0.1.0/24")?;
        bird.ensure_same_session("10.0.1.1", &before)
    });
}

#[test]
fn end_of_rib_and_the_restart_capability() {
    run("end-of-rib", &["frr"], |star| {
        let neighbor = over_v4(1, 65_001).with("gracefulRestart: {restartSeconds: 99}");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[neighbor], &["prefix: 203.0.1.0/24"]))?;
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", Wants::default()))?;
        frr.wait_path("203.0.1.0/24")?;
        wait_for(PATIENCE, "FRR to see End-of-RIB", || {
            let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
            let restart = &shown["10.0.1.1"]["gracefulRestartInfo"];
            ensure!(restart["endOfRibRecv"]["ipv4Unicast"] == true, "{restart}");
            ensure!(restart["timers"]["receivedRestartTimer"] == 99, "{restart}");
            let capability = &shown["10.0.1.1"]["neighborCapabilities"]["gracefulRestart"];
            ensure!(*capability == "advertisedAndReceived", "{capability}");
            Ok(())
        })
    });
}
