//! One prefix from several rutters at one FRR: multipath in its table and in its kernel (RFC 4271 §9.1.2.2 ties).

use anyhow::{Context, Result, ensure};
use frr_interop_tests::{Oracle, PATIENCE, Star, run};
use rutter_lab::{Bgpd, Frr, wait_for};

use crate::daemons::{Neighbor, Wants, frr, over_v4, over_v6, rutter};

const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// rutter on link `link`, whose neighbour is the FRR on the hub.
fn towards_hub(link: usize, v6: bool) -> Neighbor {
    if v6 {
        over_v6(link, 65_000).at(&format!("fd00:{link}::1"))
    } else {
        over_v4(link, 65_000).at(&format!("10.0.{link}.1"))
    }
}

/// FRR with one session per node and multipath.
fn router(star: &Star, asns: [u32; 3], v6: bool) -> Result<Frr> {
    let remote = |link: usize| if v6 { format!("fd00:{link}::2") } else { format!("10.0.{link}.2") };
    let family = if v6 { "ipv6" } else { "ipv4" };
    let mut session = " bgp bestpath as-path multipath-relax\n".to_owned();
    let mut activate = format!(" address-family {family} unicast\n  maximum-paths 8\n");
    for (link, asn) in (1..).zip(asns) {
        let remote = remote(link);
        session
            .push_str(&format!(" neighbor {remote} remote-as {asn}\n neighbor {remote} timers connect 1\n"));
        activate.push_str(&format!("  neighbor {remote} activate\n"));
    }
    session.push_str(&activate);
    session.push_str(" exit-address-family");
    let wants = Wants { session: &session, remote_asn: asns[0], ..Wants::default() };
    star.hub.frr(&frr(1, 65_000, &remote(1), wants))
}

fn node(star: &Star, link: usize, asn: u32, v6: bool, routes: &[&str]) -> Result<Bgpd> {
    let id = format!("192.0.2.{link}");
    let config = rutter(asn, &[towards_hub(link, v6)], routes).replace("192.0.2.1", &id);
    star.peer(link)?.bgpd(&config)
}

/// Waits until FRR uses exactly these next hops for the prefix, and so does its kernel.
fn wait_next_hops(star: &Star, frr: &Frr, prefix: &str, hops: &[&str]) -> Result<()> {
    let v6 = prefix.contains(':');
    wait_for(PATIENCE, &format!("{prefix} with the next hops {hops:?}"), || {
        let paths = frr.paths(prefix)?;
        let used = paths.iter().filter(|path| path.best || path.multipath).filter_map(|path| path.next_hop);
        let mut used: Vec<String> = used.map(|hop| hop.to_string()).collect();
        used.sort();
        ensure!(used == hops, "FRR's table has {used:?}: {paths:?}");
        let routes = star.hub.ip(&[if v6 { "-6" } else { "-4" }, "route", "show", prefix])?;
        let mut kernel: Vec<&str> = routes
            .split_whitespace()
            .zip(routes.split_whitespace().skip(1))
            .filter(|(word, _)| *word == "via")
            .map(|(_, hop)| hop)
            .collect();
        kernel.sort_unstable();
        ensure!(kernel == hops, "the kernel has {routes}");
        Ok(())
    })
    .context("ECMP")
}

#[test]
fn three_nodes_of_one_as_then_two_then_three() {
    run("ecmp", &NODES, |star| {
        let vip = "prefix: 172.16.1.1/32";
        let frr = router(star, [65_001; 3], false)?;
        let _one = node(star, 1, 65_001, false, &[vip])?;
        let two = node(star, 2, 65_001, false, &[vip])?;
        let three = node(star, 3, 65_001, false, &[vip])?;
        let all = ["10.0.1.2", "10.0.2.2", "10.0.3.2"];
        wait_next_hops(star, &frr, "172.16.1.1/32", &all)?;

        let without = rutter(65_001, &[towards_hub(2, false)], &[]).replace("192.0.2.1", "192.0.2.2");
        two.reload(&without)?;
        wait_next_hops(star, &frr, "172.16.1.1/32", &["10.0.1.2", "10.0.3.2"])?;
        let with = rutter(65_001, &[towards_hub(2, false)], &[vip]).replace("192.0.2.1", "192.0.2.2");
        two.reload(&with)?;
        wait_next_hops(star, &frr, "172.16.1.1/32", &all)?;

        three.daemon().kill()?;
        wait_next_hops(star, &frr, "172.16.1.1/32", &["10.0.1.2", "10.0.2.2"])
    });
}

#[test]
fn nodes_of_different_ases_over_ipv6() {
    run("ecmp-v6", &NODES, |star| {
        let vip = "prefix: \"2001:db8:ffff::1/128\"";
        let asns = [65_001, 65_002, 65_003];
        let frr = router(star, asns, true)?;
        let mut nodes = Vec::new();
        for (link, asn) in (1..).zip(asns) {
            nodes.push(node(star, link, asn, true, &[vip])?);
        }
        // FRR prefers the link-local address for the kernel, so only its table is compared.
        wait_for(PATIENCE, "three paths", || {
            let paths = frr.paths("2001:db8:ffff::1/128")?;
            let used = paths.iter().filter(|path| path.best || path.multipath).count();
            ensure!(used == 3, "{paths:?}");
            Ok(())
        })
    });
}

/// A worse MED from one node takes it out of the group: ECMP is a tie, not a habit.
#[test]
fn a_worse_path_is_no_multipath() {
    run("ecmp-med", &NODES, |star| {
        let frr = router(star, [65_001; 3], false)?;
        let _one = node(star, 1, 65_001, false, &["prefix: 172.16.1.1/32, med: 10"])?;
        let _two = node(star, 2, 65_001, false, &["prefix: 172.16.1.1/32, med: 20"])?;
        let _three = node(star, 3, 65_001, false, &["prefix: 172.16.1.1/32, med: 10"])?;
        wait_for(PATIENCE, "all three paths", || {
            let paths = frr.paths("172.16.1.1/32")?;
            ensure!(paths.len() == 3, "{paths:?}");
            Ok(())
        })?;
        wait_next_hops(star, &frr, "172.16.1.1/32", &["10.0.1.2", "10.0.3.2"])
    });
}
