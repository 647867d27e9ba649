//! Several BGP instances in one process: own ASN, router ID, port and table each, and nothing leaks between them.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, run};

use crate::daemons::{Wants, bird, frr, instance, over_v4};

#[test]
fn two_instances_on_two_ports() {
    run("instances", &["frr", "bird"], |star| {
        let red = instance(
            "red",
            64_512,
            "192.0.2.1",
            "listenPort: 179",
            &[over_v4(1, 65_001)],
            &["prefix: 203.0.1.0/24"],
        );
        let blue = instance(
            "blue",
            64_513,
            "192.0.2.2",
            "listenPort: 1179",
            &[over_v4(2, 65_002).with("passive: true")],
            &["prefix: 203.0.2.0/24"],
        );
        let bgpd = star.bgpd(&format!("instances:\n{red}{blue}"))?;
        let wants = Wants { remote_asn: 64_512, networks: &["198.51.1.0/24"], ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants))?;
        let wants = Wants { remote_asn: 64_513, networks: &["198.51.2.0/24"], ..Wants::default() };
        let config = bird(2, 65_002, "10.0.2.1", wants)
            .replace("neighbor 10.0.2.1 as", "neighbor 10.0.2.1 port 1179 as");
        let bird = star.peer(2)?.bird(&config)?;
        let path = frr.wait_path("203.0.1.0/24")?;
        ensure!(path.as_path == "64512", "{path:?}");
        let path = bird.wait_path("203.0.2.0/24")?;
        ensure!(path.as_path == "64513", "{path:?}");
        let shown = frr.show_json("show bgp neighbors 10.0.1.1 json")?;
        ensure!(shown["10.0.1.1"]["remoteRouterId"] == "192.0.2.1", "{shown}");
        let shown = bird.birdc("show protocols all rutter")?;
        ensure!(shown.contains("Neighbor ID:      192.0.2.2"), "{shown}");
        frr.ensure_absent_for("203.0.2.0/24", Duration::from_secs(2))?;
        frr.ensure_absent_for("198.51.2.0/24", Duration::from_millis(200))?;
        bird.ensure_absent_for("203.0.1.0/24", Duration::from_millis(200))?;
        bird.ensure_absent_for("198.51.1.0/24", Duration::from_millis(200))?;

        // One instance goes, the other does not notice.
        let before = frr.wait_established("10.0.1.1")?;
        bgpd.reload(&format!("instances:\n{red}"))?;
        bird.wait_gone("203.0.2.0/24")?;
        frr.ensure_same_session("10.0.1.1", &before)?;
        bgpd.reload(&format!("instances:\n{red}{blue}"))?;
        bird.wait_path("203.0.2.0/24").map(drop)
    });
}

#[test]
fn two_instances_on_one_port_and_two_addresses() {
    run("instances-addresses", &["frr", "bird"], |star| {
        let of = |name, asn, link: usize| {
            instance(
                name,
                asn,
                &format!("192.0.2.{link}"),
                &format!("listenPort: 179\n    listenAddresses: [10.0.{link}.1]"),
                &[over_v4(link, 65_000 + u32::try_from(link).unwrap_or_default()).with("passive: true")],
                &[&format!("prefix: 203.0.{link}.0/24")],
            )
        };
        let _bgpd = star.bgpd(&format!("instances:\n{}{}", of("red", 64_512, 1), of("blue", 64_513, 2)))?;
        let wants = |remote_asn| Wants { remote_asn, ..Wants::default() };
        let frr = star.peer(1)?.frr(&frr(1, 65_001, "10.0.1.1", wants(64_512)))?;
        let bird = star.peer(2)?.bird(&bird(2, 65_002, "10.0.2.1", wants(64_513)))?;
        frr.wait_path("203.0.1.0/24")?;
        bird.wait_path("203.0.2.0/24")?;
        frr.ensure_absent_for("203.0.2.0/24", Duration::from_secs(1))
    });
}
